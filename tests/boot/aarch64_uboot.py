#!/usr/bin/env python3
"""aarch64_uboot.py TANDEM KEY_IMAGE [MACHINE]: Debian's U-Boot from flash to its prompt, which sees the disk on PCI and its own environment in flash, resets the
machine and switches it off; without MACHINE, the power key reaches a program that waits for it."""
import os
import signal
import sys
import tempfile

from talk import talk

UBOOT = '/usr/lib/u-boot/qemu_arm64/u-boot.bin'


def main():
    if not os.path.exists(UBOOT):
        print('%s is not installed' % UBOOT)
        return 77
    common = [sys.argv[1], '-arch', 'aarch64', '-M', (sys.argv + ['virt'])[3], '-m', '256M', '-nodefaults', '-serial', 'stdio', '-monitor', 'none']
    with tempfile.NamedTemporaryFile() as disk, tempfile.NamedTemporaryFile() as flash:
        disk.truncate(1 << 20)
        flash.write(b'\xff' * (64 << 20))
        flash.flush()
        steps = [(b'Hit any key', b'\n'), (b'=> ', b'virtio scan; virtio info; virtio read 44000000 0 8\n'), (b'blocks read: OK', b'\n'),
                 (b'=> ', b'setenv place flash; saveenv; reset\n'), (b'OK', b''), (b'Hit any key', b'\n'), (b'=> ', b'printenv place\n'),
                 (b'place=flash', b'poweroff\n'), (b'poweroff ...', b'')]
        args = common + ['-smp', '2', '-bios', UBOOT, '-drive', 'if=virtio,format=raw,file=' + disk.name, '-drive',
                         'if=pflash,unit=1,format=raw,file=' + flash.name]
        if not talk(args, steps):
            return 1
        with open(flash.name, 'rb') as f:
            if b'place=flash' not in f.read():
                print('the environment is not in the flash image')
                return 1
    if len(sys.argv) > 3:          # the program is one for EL1
        return 0
    steps = [(b'ready', signal.SIGTERM), (b'interrupt 27', b''), (b'key 8', b''), (b'level 8', b'')]
    return 0 if talk(common + ['-kernel', sys.argv[2]], steps) else 1


if __name__ == '__main__':
    sys.exit(main())
