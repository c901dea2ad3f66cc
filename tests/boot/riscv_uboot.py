#!/usr/bin/env python3
"""riscv_uboot.py TANDEM: OpenSBI and U-Boot of Debian to U-Boot's prompt, which sees the disk on PCI, then power off."""
import os
import sys
import tempfile

from talk import talk

UBOOT = '/usr/lib/u-boot/qemu-riscv64_smode/uboot.elf'
OPENSBI = '/usr/lib/riscv64-linux-gnu/opensbi/generic/fw_dynamic.bin'


def main():
    for path in (UBOOT, OPENSBI):
        if not os.path.exists(path):
            print('%s is not installed' % path)
            return 77
    with tempfile.NamedTemporaryFile() as disk:
        disk.truncate(1 << 20)
        args = [sys.argv[1], '-arch', 'riscv64', '-smp', '2', '-m', '256M', '-kernel', UBOOT, '-nodefaults', '-serial', 'stdio', '-monitor', 'none',
                '-drive', 'if=virtio,format=raw,file=' + disk.name]
        steps = [(b'Hit any key', b'\n'), (b'=> ', b'virtio scan; virtio info; virtio read 84000000 0 8\n'), (b'blocks read: OK', b'poweroff\n'), (b'poweroff ...', b'')]
        seen = talk(args, steps)
    if seen and b'OpenSBI' not in seen:
        print('OpenSBI said nothing')
    return 0 if seen and b'OpenSBI' in seen else 1


if __name__ == '__main__':
    sys.exit(main())
