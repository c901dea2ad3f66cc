#!/usr/bin/env python3
"""Every rule of the sandbox's table is used, and nothing that a running machine does is refused.

    sandbox.py TANDEM TANDEM-IMG GUEST-IMAGE [--guest DIR]

Boots Linux (disk with a backing file, user network with a forwarded port, DNS, monitor and console on sockets) and, where the host has
KVM, GUEST-IMAGE under it, both under strace, which says who called what after the filter was put on. Rules marked rare in `-sandbox help` need not show.
"""
import argparse
import collections
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, 'scripts'))
import console  # noqa: E402

PROMPT = r'tandem# '


def table(tandem):
    """{name: (roles, rare)}"""
    text = subprocess.run([tandem, '-sandbox', 'help'], stdout=subprocess.PIPE, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in text.splitlines()]
    return {r[0]: (set(r[1].split(',')) - {'-'}, '(rare: ' in r[2]) for r in rows}


def calls(path, used):
    """Add role -> names of what was called after the filter of the process."""
    roles, begun, main = {}, False, None
    for line in open(path, errors='replace'):
        m = re.match(r'(\d+)\s+(?:<\.\.\. )?(\w+)', line)
        if not m:
            continue
        tid, name = m.groups()
        main = main or tid
        named = re.search(r'prctl\(PR_SET_NAME, "(\w+?)\d*"', line)
        if named:
            roles[tid] = named.group(1)
        if name == 'seccomp' and 'TSYNC' in line:
            begun = True
        elif begun and 'resumed' not in line:
            used[roles.get(tid, 'process' if tid == main else 'block')].add(name)
    assert begun, 'no filter was put on'


def traced(path, argv):
    return ['strace', '-f', '-qq', '-o', path] + argv


def ask(path, *commands):
    """Commands to the monitor on the socket; all it said."""
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(60)
    s.connect(path)
    said = ''
    for c in commands:
        s.sendall((c + '\n').encode())
        while said.count('(tandem)') + said.count('(qemu)') < commands.index(c) + 2:
            data = s.recv(4096)
            if not data:
                break
            said += data.decode(errors='replace')
    s.close()
    return said


def echo_server():
    """A port on the host that answers what it gets, once."""
    s = socket.socket()
    s.bind(('127.0.0.1', 0))
    s.listen(1)

    def serve():
        c, _ = s.accept()
        c.sendall(b'hello ' + c.recv(100))
        c.close()
    threading.Thread(target=serve, daemon=True).start()
    return s.getsockname()[1]


def linux(args, work, trace):
    guest = console.Guest(args.guest)
    disk = os.path.join(work, 'disk.qcow2')
    shutil.copyfile(guest.disk, os.path.join(work, 'base.qcow2'))
    subprocess.run([args.tandem_img, 'create', '-f', 'qcow2', '-b', 'base.qcow2', '-F', 'qcow2', disk], check=True, stdout=subprocess.DEVNULL)
    monitor = os.path.join(work, 'monitor')
    argv = console.tandem(args.tandem, 'tcg') + [a for a in guest.linux('', memory=256) if a != '-no-reboot'] + [
        '-drive', 'file=%s,format=qcow2,if=virtio,discard=unmap' % disk, '-monitor', 'unix:%s,server=on,wait=off' % monitor, '-device', 'virtio-rng-pci',
        '-netdev', 'user,id=n0', '-device', 'virtio-net-pci,netdev=n0', '-d', 'guest_errors']
    c = console.Console(traced(trace, argv), os.path.join(work, 'console.log'))
    with c:
        c.expect(r'TANDEM-READY', 400)
        c.expect(PROMPT, 60)
        c.run('n=0; until ip addr show eth0 | grep -q "inet 10.0.2.15/"; do n=$((n+1)); [ $n -lt 60 ] || break; sleep 1; done', 200)
        answer = c.run('echo there | nc 10.0.2.2 %d' % echo_server(), 120)
        assert 'hello there' in answer, answer
        c.run('nslookup localhost 10.0.2.3; true', 120)
        c.run('mkdir -p /mnt; mount /dev/vda /mnt; dd if=/dev/urandom of=/mnt/x bs=64k count=32 conv=fsync; rm /mnt/x; sync; fstrim /mnt; umount /mnt', 120)
        c.run('dd if=/dev/urandom of=/dev/vda bs=64k seek=16 count=64 conv=fsync; dd if=/dev/vda of=/dev/null bs=64k count=128', 200)
        said = ask(monitor, 'info status', 'info block', 'system_reset', 'stop', 'cont')
        assert 'running' in said, said
        c.expect(r'TANDEM-READY', 400)
        c.expect(PROMPT, 60)
        c.send('poweroff\n')
        assert c.wait(300) == 0, c.status
        return c.text


def image(args, work, trace, accel):
    argv = [args.tandem, '-accel', accel, '-nodefaults', '-serial', 'stdio', '-m', '16', '-smp', '2', '-bios', args.image,
            '-device', 'isa-debug-exit,iobase=0x501,iosize=2', '-device', 'pc-testdev', '-no-reboot']
    p = subprocess.run(traced(trace, argv), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
    return p.stdout


def main():
    p = argparse.ArgumentParser()
    p.add_argument('tandem')
    p.add_argument('tandem_img')
    p.add_argument('image')
    p.add_argument('--guest', default=os.path.join(ROOT, 'build', 'guest'))
    args = p.parse_args()
    if not shutil.which('strace'):
        print('strace is not installed')
        return 77
    if subprocess.run(['strace', '-o', '/dev/null', 'true'], stderr=subprocess.DEVNULL).returncode:
        print('this host does not let processes be traced')
        return 77
    subprocess.run([os.path.join(ROOT, 'scripts', 'make-guest'), args.guest], check=True, stdout=subprocess.DEVNULL)
    used, text, rules = collections.defaultdict(set), '', table(args.tandem)
    work = tempfile.mkdtemp(prefix='sandbox-')
    try:
        text += linux(args, work, os.path.join(work, 'linux'))
        calls(os.path.join(work, 'linux'), used)
        if os.access('/dev/kvm', os.R_OK | os.W_OK):
            text += image(args, work, os.path.join(work, 'kvm'), 'kvm')
            calls(os.path.join(work, 'kvm'), used)
    finally:
        shutil.rmtree(work)
    everything = set().union(*used.values())
    bad = ['refused: ' + line for line in re.findall(r'the sandbox refused.*', text)]
    bad += ['%s: no thread used it' % n for n, (roles, rare) in rules.items() if not rare and n not in everything]
    for role in ('vcpu', 'block'):
        bad += ['%s: used by %s, not in its table' % (n, role) for n in sorted(used[role]) if n in rules and role not in rules[n][0]]
    bad += ['%s: used, in no table' % n for n in sorted(everything - set(rules))]
    print('%d rules, %d used, %d of them marked rare' % (len(rules), len(everything & set(rules)), sum(rules[n][1] for n in everything if n in rules)))
    print('\n'.join(bad))
    return bool(bad)


sys.exit(main())
