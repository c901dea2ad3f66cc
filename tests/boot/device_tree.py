#!/usr/bin/env python3
"""device_tree.py TANDEM: the virt machines write their device tree, take it back with what is new in /chosen, and refuse what is none."""
import os
import subprocess
import sys
import tempfile

IMAGES = {'aarch64': '/usr/share/AAVMF/AAVMF_CODE.fd', 'riscv64': '/usr/lib/riscv64-linux-gnu/opensbi/generic/fw_dynamic.bin'}


def run(tandem, arch, *args):
    r = subprocess.run([tandem, '-arch', arch, '-nodefaults', '-monitor', 'none'] + list(args), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    return r.returncode, r.stderr


def check(tandem, arch, folder):
    one, two, bad = (os.path.join(folder, n) for n in ('one', 'two', 'bad'))
    assert run(tandem, arch, '-machine', 'virt,dumpdtb=' + one)[0] == 0
    code, said = run(tandem, arch, '-machine', 'virt,dumpdtb=' + two, '-dtb', one, '-smp', '2')
    a, b = open(one, 'rb').read(), open(two, 'rb').read()
    assert code == 0 and a[:4] == b[:4] == b'\xd0\x0d\xfe\xed', said
    assert b'cpu@0' in b and b'cpu@1' not in b, 'the tree given is the tree used'
    for wrong in (a[:3], a[:-200], b'x' * 4096):
        with open(bad, 'wb') as f:
            f.write(wrong)
        code, said = run(tandem, arch, '-machine', 'virt,dumpdtb=' + two, '-dtb', bad)
        assert code == 1 and 'is no device tree' in said, said
    code, said = run(tandem, arch, '-machine', 'virt,dumpdtb=' + folder + '/none/x')
    assert code == 1 and said.count('\n') == 1, said


def main():
    missing = [path for path in IMAGES.values() if not os.path.exists(path)]
    if missing:
        print('not installed: ' + ' '.join(missing))
        return 77
    with tempfile.TemporaryDirectory() as folder:
        for arch in IMAGES:
            check(sys.argv[1], arch, folder)
    return 0


if __name__ == '__main__':
    sys.exit(main())
