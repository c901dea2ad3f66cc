#!/usr/bin/env python3
"""usage: drives.py TANDEM    -drive and its options, good and bad: a bad one ends at once with one line, which names it."""
import os, subprocess, sys, tempfile

GOOD = [
    'file=a.qcow2', 'a.qcow2', 'file.filename=a.qcow2,driver=qcow2', 'file=a.raw,format=raw,cache=none,aio=native',
    'file=a.qcow2,cache=directsync', 'file=a.qcow2,cache=writethrough,aio=threads', 'file=a.qcow2,cache.direct=on,cache.no-flush=off',
    'file=a.qcow2,cache=unsafe,detect-zeroes=unmap,discard=unmap', 'file=a.qcow2,discard=ignore,detect-zeroes=on',
    'file=a.qcow2,snapshot=on', 'file=a.qcow2,snapshot=on,readonly=on', 'file=a.qcow2,rerror=stop,werror=ignore', 'file=a.qcow2,werror=enospc',
    'file=a.qcow2,bps=1000000,iops_rd=5,iops_wr=6', 'file=a.qcow2,throttling.bps-read=5,throttling.bps-read-max=50,throttling.bps-read-max-length=9',
    'file=a.qcow2,iops=10,iops_max=20,iops_size=4096',
]
BAD = [
    ('file=missing', 'missing'), ('format=raw', 'file='), ('file=a.qcow2,file.filename=a.qcow2', 'give one'), ('file=a.qcow2,format=jpeg', 'jpeg'),
    ('file=a.qcow2,cache=maybe', 'cache'), ('file=a.qcow2,cache=none,cache.no-flush=on', 'no-flush'), ('file=a.qcow2,cache.direct=7', 'cache.direct'),
    ('file=a.qcow2,aio=fast', 'aio'), ('file=a.qcow2,discard=all', 'discard'), ('file=a.qcow2,detect-zeroes=yes', 'detect-zeroes'),
    ('file=a.qcow2,detect-zeroes=unmap,discard=off', 'discard=unmap'), ('file=a.qcow2,snapshot=perhaps', 'snapshot'),
    ('file=a.qcow2,rerror=enospc', 'rerror'), ('file=a.qcow2,werror=panic', 'werror'), ('file=a.qcow2,bps=-1', 'bps'), ('file=a.qcow2,iops=fast', 'iops'),
    ('file=a.qcow2,bps=1,bps_rd=1', 'same time'), ('file=a.qcow2,iops_max=5', 'corresponding'), ('file=a.qcow2,iops=5,iops_max=4', 'lower'),
    ('file=a.qcow2,throttling.iops-total=5,throttling.iops-total-max-length=4', 'burst'), ('file=a.qcow2,bps=5,iops_size=4096', 'iops size'),
    ('file=a.qcow2,iops=5,iops_max=9,iops_max_length=0', 'iops_max_length'), ('file=a.qcow2,colour=red', 'colour'), ('file=a.qcow2,if=floppy', 'if='),
    ('file=a.qcow2,index=9', 'index'), ('file=a.qcow2,media=tape', 'media'), ('file=odd', 'not a disk image'), ('file=odd,snapshot=on', 'not a disk image'),
]


def run(tandem, cwd, args, text='quit\n'):
    cmd = [tandem, '-M', 'none', '-S', '-nodefaults', '-serial', 'none', '-monitor', 'stdio'] + args
    return subprocess.run(cmd, cwd=cwd, input=text, capture_output=True, text=True, timeout=120)


def main():
    tandem, img = (os.path.abspath(p) for p in sys.argv[1:3])
    bad = 0
    with tempfile.TemporaryDirectory() as d:
        subprocess.run([img, 'create', '-q', '-f', 'qcow2', 'a.qcow2', '1M'], cwd=d, check=True)
        subprocess.run([img, 'create', '-q', '-f', 'raw', 'a.raw', '1M'], cwd=d, check=True)
        with open(os.path.join(d, 'odd'), 'w') as f:
            f.write('no disk')
        for text in GOOD:
            r = run(tandem, d, ['-drive', text + ',if=none'])
            if r.returncode:
                bad += 1
                print('%s: refused: %s' % (text, r.stderr))
        for text, word in BAD:
            r = run(tandem, d, ['-drive', text + ('' if 'if=' in text else ',if=none')])
            if r.returncode != 1 or word not in r.stderr or r.stderr.count('\n') != 1:
                bad += 1
                print('%s: status %d, %s' % (text, r.returncode, r.stderr))
        r = run(tandem, d, ['-snapshot', '-drive', 'file=a.qcow2,if=none,id=x', '-drive', 'file=a.raw,format=raw,if=none,snapshot=off,id=y'],
                'info block\ncommit x\ncommit y\ncommit z\ncommit all\ncommit\nquit\n')
        for word in 'on top of a.qcow2', 'x: committed', 'does not have a backing file', "'z' not found", 'usage: commit':
            if word not in r.stdout:
                bad += 1
                print('monitor: no "%s" in %s' % (word, r.stdout))
    print('%d texts, %d wrong' % (len(GOOD) + len(BAD), bad))
    return 1 if bad else 0


sys.exit(main())
