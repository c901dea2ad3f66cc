#!/usr/bin/env python3
"""aarch64_tfa.py TANDEM SOURCE_ROOT: Trusted Firmware-A (scripts/make-tfa) in EL3 starts U-Boot, which takes Debian's arm64 installer kernel out of fw_cfg: two CPUs at
EL2, the second switched on by the firmware's PSCI; and U-Boot's poweroff goes through the firmware to the machine's pins."""
import os
import subprocess
import sys

from talk import talk

DIR = '/usr/lib/debian-installer/images/12/arm64/text/debian-installer/arm64/'
FLASH = os.path.join(os.environ.get('XDG_CACHE_HOME', os.path.expanduser('~/.cache')), 'tandem/tfa/flash.bin')


def main():
    if not os.path.exists(DIR + 'linux'):
        print('%s is not installed' % DIR)
        return 77
    if subprocess.run([os.path.join(sys.argv[2], 'scripts/make-tfa')]).returncode:
        return 77
    common = [sys.argv[1], '-arch', 'aarch64', '-m', '1G', '-smp', '2', '-nodefaults', '-serial', 'stdio', '-monitor', 'none', '-bios', FLASH]
    steps = [(b'BL31: v', b''), (b'Hit any key', b'\n'), (b'=> ', b'poweroff\n'), (b'System Power off: with GPIO', b'')]
    if not talk(common + ['-M', 'virt,secure=on'], steps):
        return 1
    # the kernel finds no root file system, and says so by a reset
    steps = [(b'BL31: v', b''), (b'PSCIv1.1 detected in firmware', b''), (b'Brought up 1 node, 2 CPUs', b''), (b'CPU: All CPU(s) started at EL2', b''),
             (b'Hyp mode initialized successfully', b''), (b'Kernel panic', b''), (b'BL31: v', b''), (b'Hit any key', b'\n'), (b'=> ', b'poweroff\n')]
    args = common + ['-M', 'virt,secure=on,virtualization=on', '-kernel', DIR + 'linux', '-append', 'console=ttyAMA0 panic=1']
    return 0 if talk(args, steps) else 1


if __name__ == '__main__':
    sys.exit(main())
