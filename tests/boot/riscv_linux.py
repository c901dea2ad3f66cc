#!/usr/bin/env python3
"""riscv_linux.py TANDEM [--smp N] [--guest DIR] [--emulator qemu]: OpenSBI and a Linux of our own (scripts/make-riscv-guest) to a shell.

The shell sees its CPUs, runs processes on all of them, reads and writes an ext4 disk (virtio on PCI), and powers off. 77: the guest has not been made.
"""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, 'scripts'))
import console  # noqa: E402

PROMPT = r'tandem# '
# Work for all CPUs: processes, pipes, floating point kept over switches (awk), memory.
WORK = 'for i in 1 2 3 4; do (awk "BEGIN { s = 0; for (k = 1; k < 20000; k++) s += 1 / k; print s }"; seq 1 2000 | sort -r | md5sum) & done; wait'


def disk(folder):
    path = os.path.join(folder, 'disk.raw')
    with open(path, 'wb') as f:
        f.truncate(16 << 20)
    subprocess.run(['mke2fs', '-q', '-F', '-t', 'ext4', path], check=True, env=dict(os.environ, PATH=os.environ['PATH'] + ':/usr/sbin:/sbin'))
    return path


def check(c, smp, scale):
    c.expect(r'OpenSBI v', 60 * scale)
    c.expect(r'Linux version', 60 * scale)
    ready = c.expect(r'TANDEM-READY \S+ root=initrd cpus=(\d+)', 120 * scale)
    assert ready.group(1) == str(smp), ready.group(0)
    c.expect(PROMPT, 60 * scale)
    assert c.run('uname -m') == 'riscv64'
    assert c.run('nproc') == str(smp)
    lines = sorted(x for x in c.run(WORK, 120 * scale).splitlines() if not x.startswith('['))     # the kernel may have a word
    assert len(lines) == 8 and len(set(lines)) == 2 and lines[0] == '10.4807', lines
    c.run('mkdir -p /disk && mount -t ext4 /dev/vda /disk && dd if=/dev/urandom of=/disk/a bs=64k count=64 2>/dev/null && cp /disk/a /tmp/a', 60 * scale)
    c.run('umount /disk && mount -t ext4 /dev/vda /disk && cmp /disk/a /tmp/a && umount /disk', 60 * scale)
    assert int(c.run("awk '/riscv-timer/ { print $2 }' /proc/interrupts")) > 0
    if smp > 1:
        c.run('for i in 1 2 3; do taskset 1 true && taskset 2 true || exit 1; done')
    c.send('poweroff\n')
    assert c.wait(60 * scale) == 0, 'ended with %s after poweroff' % c.status


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    p.add_argument('program')
    p.add_argument('--smp', type=int, default=1)
    p.add_argument('--guest', help='folder of scripts/make-riscv-guest')
    p.add_argument('--emulator', choices=('tandem', 'qemu'), default='tandem')
    p.add_argument('--timeout-scale', type=float, default=1)
    args = p.parse_args()
    guest = console.ForeignGuest('riscv64', args.guest)
    if guest.missing() or not shutil.which('mke2fs', path=os.environ['PATH'] + ':/usr/sbin:/sbin'):
        print(guest.missing() or 'no mke2fs here (e2fsprogs)')
        return 77
    with tempfile.TemporaryDirectory() as work:
        drive = 'if=none,id=d,format=raw,file=' + disk(work)
        argv = guest.argv('qemu' if args.emulator == 'qemu' else args.program, memory=256, smp=args.smp)
        with console.Console(argv + ['-drive', drive, '-device', 'virtio-blk-pci,drive=d']) as c:
            check(c, args.smp, args.timeout_scale)
    return 0


if __name__ == '__main__':
    sys.exit(main())
