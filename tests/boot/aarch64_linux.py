#!/usr/bin/env python3
"""aarch64_linux.py TANDEM [--smp N] [--gic N] [--firmware]: Debian's arm64 installer (package debian-installer-12-netboot-arm64) to its first screen;
--firmware: EDK II (package qemu-efi-aarch64) starts the kernel that it finds in fw_cfg."""
import argparse
import os
import selectors
import subprocess
import sys
import time

DIR = '/usr/lib/debian-installer/images/12/arm64/text/debian-installer/arm64/'
AAVMF = '/usr/share/AAVMF/AAVMF_CODE.fd'
LIMIT_S = 600


def main():
    p = argparse.ArgumentParser()
    p.add_argument('tandem')
    p.add_argument('--smp', default='1')
    p.add_argument('--gic', default='2')
    p.add_argument('--firmware', action='store_true')
    a = p.parse_args()
    for path in [DIR + 'linux'] + ([AAVMF] if a.firmware else []):
        if not os.path.exists(path):
            print('%s is not installed' % path)
            return 77
    args = [a.tandem, '-arch', 'aarch64', '-M', 'virt,gic-version=' + a.gic, '-smp', a.smp, '-m', '1G', '-kernel', DIR + 'linux', '-initrd', DIR + 'initrd.gz',
            '-append', 'console=ttyAMA0', '-nodefaults', '-serial', 'stdio', '-monitor', 'none']
    guest = subprocess.Popen(args + (['-bios', AAVMF] if a.firmware else []), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    seen, end = b'', time.time() + LIMIT_S
    sel = selectors.DefaultSelector()
    sel.register(guest.stdout, selectors.EVENT_READ)
    while b'[!!]' not in seen and b'Kernel panic' not in seen and time.time() < end and sel.select(end - time.time()):
        data = os.read(guest.stdout.fileno(), 4096)
        if not data:
            break
        seen += data
    guest.kill()
    guest.wait()
    if b'[!!]' in seen and b'Kernel panic' not in seen:
        return 0
    sys.stdout.buffer.write(seen[-8000:])
    return 1


if __name__ == '__main__':
    sys.exit(main())
