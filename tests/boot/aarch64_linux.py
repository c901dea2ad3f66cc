#!/usr/bin/env python3
"""aarch64_linux.py TANDEM [--smp N] [--gic N] [--firmware]: Debian's arm64 installer (package debian-installer-12-netboot-arm64) to its first screen;
--firmware: EDK II (package qemu-efi-aarch64) starts the kernel that it finds in fw_cfg. --gic 3: before that, a shell reads random numbers of a PCI device,
whose messages come through the interrupt translation service, to the first and then to the last CPU. --el2: with EL2, to where the kernel has set itself up there."""
import argparse
import os
import re
import selectors
import subprocess
import sys
import time

DIR = '/usr/lib/debian-installer/images/12/arm64/text/debian-installer/arm64/'
AAVMF = '/usr/share/AAVMF/AAVMF_CODE.fd'
LIMIT_S = 600
SHELL = b"""mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev; modprobe virtio_pci; modprobe virtio-rng
on() { for i in /proc/irq/*; do echo $1 >$i/smp_affinity; done 2>/dev/null; dd if=/dev/hwrng of=/dev/null bs=64 count=99; grep ITS-MSI /proc/interrupts; }
on 1; on %x; umount /dev /sys /proc; exec /init
"""


def main():
    p = argparse.ArgumentParser()
    p.add_argument('tandem')
    p.add_argument('--smp', default='1')
    p.add_argument('--gic', default='2')
    p.add_argument('--firmware', action='store_true')
    p.add_argument('--el2', action='store_true')
    a = p.parse_args()
    for path in [DIR + 'linux'] + ([AAVMF] if a.firmware else []):
        if not os.path.exists(path):
            print('%s is not installed' % path)
            return 77
    args = [a.tandem, '-arch', 'aarch64', '-M', 'virt,gic-version=' + a.gic + (',virtualization=on' if a.el2 else ''), '-smp', a.smp, '-m', '1G', '-kernel', DIR + 'linux', '-initrd', DIR + 'initrd.gz',
            '-append', 'console=ttyAMA0', '-nodefaults', '-serial', 'stdio', '-monitor', 'none']
    shell = a.gic == '3'
    if shell:
        args[args.index('-append') + 1] += ' rdinit=/bin/sh'
        args += ['-device', 'virtio-rng-pci']
    guest = subprocess.Popen(args + (['-bios', AAVMF] if a.firmware else []), stdin=subprocess.PIPE if shell else subprocess.DEVNULL, stdout=subprocess.PIPE)
    seen, end = b'', time.time() + LIMIT_S
    sel = selectors.DefaultSelector()
    sel.register(guest.stdout, selectors.EVENT_READ)
    goal = b'Hyp mode initialized successfully' if a.el2 else b'[!!]'
    while goal not in seen and b'Kernel panic' not in seen and time.time() < end and sel.select(end - time.time()):
        data = os.read(guest.stdout.fileno(), 4096)
        if not data:
            break
        seen += data
        if shell and b'# ' in seen[-40:]:
            guest.stdin.write(SHELL % (1 << (int(a.smp) - 1)))
            guest.stdin.flush()
            shell = False
    guest.kill()
    guest.wait()
    counts = [[int(n) for n in c.split()] for c in re.findall(rb'\d+: +((?:\d+ +)+)ITS-MSI \d+ Edge +virtio\d+-input', seen)]
    told = a.gic != '3' or (len(counts) == 2 and counts[0][0] > 0 and counts[1][int(a.smp) - 1] > counts[0][int(a.smp) - 1])
    if not told:
        print('interrupts of the PCI device: %s' % counts)
    if goal in seen and b'Kernel panic' not in seen and told and (not a.el2 or b'CPU: All CPU(s) started at EL2' in seen):
        return 0
    sys.stdout.buffer.write(seen[-8000:])
    return 1


if __name__ == '__main__':
    sys.exit(main())
