#!/usr/bin/env python3
"""scripts/gen_registry.py lists what is there, nothing private, and refuses a name twice."""
import os
import subprocess
import sys
import tempfile

GEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../scripts/gen_registry.py')
SOURCES = {
    'z.c': 'const PciClass nic = {\nstatic const DeviceClass hidden = {\n    const DeviceClass inner = {\n',
    'a.c': 'const DeviceClass uart = { 0 };\nconst DeviceClass *pointer = 0;\n',
    'twice.c': 'const DeviceClass uart = {\n',
}


def run(folder, names):
    for name in names:
        with open(os.path.join(folder, name), 'w', encoding='utf-8') as f:
            f.write(SOURCES[name])
    out = os.path.join(folder, 'out.c')
    r = subprocess.run([sys.executable, GEN, '--type', 'DeviceClass', '--name', 'device', '--include', 'vmm/device.h',
                        '--derived', 'PciClass:hw/pci/pci.h', '-o', out] + [os.path.join(folder, n) for n in names],
                       capture_output=True, text=True, check=False)
    return r.returncode, open(out, encoding='utf-8').read() if r.returncode == 0 else r.stderr


def main():
    with tempfile.TemporaryDirectory() as folder:
        status, text = run(folder, ['z.c', 'a.c'])
        assert status == 0, text
        table = text[text.index('= {'):]
        assert table.split() == ['=', '{', '&uart,', '(const', 'DeviceClass', '*)&nic,', 'NULL', '};'], text
        assert '#include "hw/pci/pci.h"' in text
        status, text = run(folder, ['a.c', 'twice.c'])
        assert status != 0 and 'uart is also defined' in text, text


if __name__ == '__main__':
    main()
