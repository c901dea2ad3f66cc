#!/usr/bin/env python3
"""usage: devices.py TANDEM SOURCE_ROOT    each device that -device help lists is in the table below with the test whose guest drives it, and the test exists.

A guest's driver is what Linux, firmware or a bare-metal image does with it: being there, or being read without a CPU, is not enough.
"""
import re
import subprocess
import sys

# device: (tests/... file, the test's name in that folder's meson.build, what in the file drives it)
DRIVEN = {
    'isa-debug-exit': ('guest/guest.inc', 'guest-', r'EXIT_PORT'),                    # the verdict of every image
    'pc-testdev': ('guest/irq.S', 'irq', r'0x2000'),                                # its lines; ports and memory: state.S, table.S
    'ide-hd': ('boot/boot.py', 'devices', r'ide-hd,'),
    'ide-cd': ('boot/boot.py', 'devices', r'ide-cd,'),
    'virtio-blk-pci': ('boot/boot.py', 'devices', r'virtio-blk-pci'),
    'virtio-net-pci': ('boot/boot.py', 'devices', r'virtio-net-pci'),
    'virtio-console-pci': ('boot/boot.py', 'devices', r'virtio-console-pci'),
    'virtio-rng-pci': ('boot/boot.py', 'devices', r'virtio-rng-pci'),
    'virtio-blk-device': ('guest/virtio.c', '-virtio', r'BLOCK, 1'),
    'virtio-net-device': ('guest/virtio.c', '-virtio', r'NET, 2'),
    'virtio-console-device': ('guest/virtio.c', '-virtio', r'CONSOLE, 2'),
    'virtio-rng-device': ('guest/virtio.c', '-virtio', r'RANDOM, 1'),
}


def read(path):
    with open(path, encoding='utf-8') as f:
        return f.read()


def main():
    tandem, root = sys.argv[1:3]
    listed, bad = {}, []
    for arch in 'x86_64', 'riscv64', 'aarch64':
        r = subprocess.run([tandem, '-arch', arch, '-device', 'help'], capture_output=True, text=True, check=True)
        names = [line.split()[0] for line in r.stdout.splitlines()]
        listed.update(dict.fromkeys(names))
        # and what is listed for a machine can be plugged into it: its own help is there, and no other machine's bus is named
        if any(n.endswith('-device') for n in names) == (arch == 'x86_64') or ('ide-hd' in names) != (arch == 'x86_64'):
            bad.append('%s lists devices that it has no bus for: %s' % (arch, ' '.join(names)))
    for name in listed:
        if name not in DRIVEN:
            bad.append('%s: no test has a guest that drives it; write one and add it to this table' % name)
        elif not subprocess.run([tandem, '-device', name + ',help'], capture_output=True, text=True, check=True).stdout.startswith(name):
            bad.append('%s: -device %s,help does not say what it is' % (name, name))
    for name, (path, test, text) in DRIVEN.items():
        if name not in listed:
            bad.append('%s: not in -device help of any machine' % name)
        if not re.search(text, read('%s/tests/%s' % (root, path))):
            bad.append('%s: nothing like %s in %s' % (name, text, path))
        build = re.sub(r'#.*', '', read('%s/tests/%s/meson.build' % (root, path.split('/', maxsplit=1)[0])))
        if "'%s" % test not in build and "%s'" % test not in build:
            bad.append('%s: no test %s' % (name, test))
    print('\n'.join(bad) or '%d devices, each driven by a guest' % len(listed))
    return bool(bad)


sys.exit(main())
