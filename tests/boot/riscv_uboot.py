#!/usr/bin/env python3
"""riscv_uboot.py TANDEM: OpenSBI and U-Boot of Debian to U-Boot's prompt, which sees the disk on PCI, then power off."""
import os
import selectors
import subprocess
import sys
import tempfile
import time

UBOOT = '/usr/lib/u-boot/qemu-riscv64_smode/uboot.elf'
OPENSBI = '/usr/lib/riscv64-linux-gnu/opensbi/generic/fw_dynamic.bin'
LIMIT_S = 240


def main():
    for path in (UBOOT, OPENSBI):
        if not os.path.exists(path):
            print('%s is not installed' % path)
            return 77
    with tempfile.NamedTemporaryFile() as disk:
        disk.truncate(1 << 20)
        p = subprocess.Popen([sys.argv[1], '-arch', 'riscv64', '-smp', '2', '-m', '256M', '-kernel', UBOOT, '-nodefaults', '-serial', 'stdio',
                              '-monitor', 'none', '-drive', 'if=virtio,format=raw,file=' + disk.name], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        steps = [(b'Hit any key', b'\n'), (b'=> ', b'virtio scan; virtio info; virtio read 84000000 0 8\n'), (b'blocks read: OK', b'poweroff\n'), (b'poweroff ...', b'')]
        seen, at, end = b'', 0, time.time() + LIMIT_S
        sel = selectors.DefaultSelector()
        sel.register(p.stdout, selectors.EVENT_READ)
        while steps and time.time() < end and sel.select(end - time.time()):
            data = os.read(p.stdout.fileno(), 4096)
            if not data:
                break
            seen += data
            while steps and steps[0][0] in seen[at:]:
                at = seen.index(steps[0][0], at) + len(steps[0][0])
                p.stdin.write(steps.pop(0)[1])
                p.stdin.flush()
        try:
            code = p.wait(max(1, end - time.time()))
        except subprocess.TimeoutExpired:
            p.kill()
            code = None
    if steps or code != 0 or b'OpenSBI' not in seen:
        sys.stdout.buffer.write(seen)
        print('\nended with %s, waiting for %s' % (code, steps[0][0] if steps else 'nothing'))
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
