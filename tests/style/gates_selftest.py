#!/usr/bin/env python3
"""Every gate fails on a planted violation, names it, and passes on the same tree without it."""
import json
import os
import subprocess
import sys
import tempfile

SCRIPTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../scripts')

LONG_FUNCTION = 'int f(int a)\n{\n' + '    a++;\n' * 60 + '    return a;\n}\n'
TABLE = 'const int t[] = {\n' + '    1,\n' * 900 + '};\n'

# gate, {path: text}, what the message must contain ('' = the gate must pass)
CASES = [
    ('layers', {'hw/a.c': '#include "accel/kvm/k.h"\n', 'accel/kvm/k.h': ''}, 'hw/ may not include accel/'),
    ('layers', {'vmm/a.c': '#include "hw/h.h"\n', 'hw/h.h': ''}, 'vmm/ may not include hw/'),
    ('layers', {'hw/a.c': '#include "block/node.h"\n', 'block/node.h': ''}, 'block/block.h only'),
    ('layers', {'hw/a.c': '#include "block/block.h"\n', 'block/block.h': ''}, ''),
    ('layers', {'tcg/guest/x86/a.c': '#include "tcg/host/x86_64/e.h"\n', 'tcg/host/x86_64/e.h': ''}, 'no host back end'),
    ('layers', {'tcg/guest/x86/a.c': '#include "tcg/guest/riscv/d.h"\n', 'tcg/guest/riscv/d.h': ''}, 'no other guest'),
    ('layers', {'tcg/host/x86_64/a.c': '#include "tcg/guest/x86/d.h"\n', 'tcg/guest/x86/d.h': ''}, 'knows no guest'),
    ('layers', {'tcg/pair/x86_x86_64/a.c': '#include "tcg/guest/riscv/d.h"\n', 'tcg/guest/riscv/d.h': ''}, 'own guest and host'),
    ('layers', {'tcg/pair/x86_x86_64/a.c': '#include "tcg/guest/x86/d.h"\n', 'tcg/guest/x86/d.h': ''}, ''),
    ('layers', {'accel/kvm/a.c': '#include "tcg/tcg.h"\n', 'tcg/tcg.h': ''}, 'no translator'),
    ('layers', {'accel/tcg/a.c': '#include "tcg/tcg.h"\n', 'tcg/tcg.h': ''}, ''),
    ('layers', {'hw/pci/a.c': '#include "vmm/mem-internal.h"\n', 'vmm/mem-internal.h': ''}, 'private to vmm/'),
    ('layers', {'util/a.c': '#include "log.h"\n', 'util/log.h': ''}, 'path from the root'),
    ('layers', {'util/a.c': '#include "util/none.h"\n'}, 'no such file'),
    ('layers', {'util/a.c': '#include "util/made.h"\n', 'util/meson.build': "output: 'made.h'\n"}, ''),
    ('layers', {'hw/a.c': '#include <linux/kvm.h>\n'}, 'only accel/kvm'),
    ('globals', {'util/a.c': 'int counter;\n'}, 'counter: writable'),
    ('globals', {'util/a.c': 'int f(void);\nint f(void) { static int once; return once++; }\n'}, 'once: writable'),
    ('globals', {'util/a.c': 'static __thread int t;\nint *f(void);\nint *f(void) { return &t; }\n'}, 't: writable'),
    ('globals', {'util/a.c': 'int f(void);\nint f(void) { return 1; }\nint (*const t[])(void) = { f };\nconst int k = 1;\n'}, ''),
    ('headers', {'util/a.h': '#pragma once\nuint32_t f(void);\n'}, 'does not compile alone'),
    ('headers', {'util/a.h': 'typedef struct A { int x; } A;\n'}, 'does not compile alone'),
    ('headers', {'util/a.h': '#pragma once\n#include <stdint.h>\nuint32_t f(void);\n'}, ''),
    ('sizes', {'hw/a.c': 'int x;\n' * 841}, '841 lines'),
    ('sizes', {'hw/a.c': TABLE}, ''),
    ('sizes', {'hw/a.c': LONG_FUNCTION}, 'f: function of 64 lines'),
    ('banned', {'hw/a.c': 'void f(void)\n{\n    exit(1);\n}\n'}, 'exit: line 3'),
    ('banned', {'hw/a.c': 'int f(void) { return time(0); }\n'}, 'time enters'),
    ('banned', {'vmm/clock.c': 'int f(void) { return time(0); }\n'}, ''),
    ('banned', {'hw/a.c': 'int f(X *x) { /* exit(1) */ return x->exit("exit(2)"); }\n'}, ''),
    ('banned', {'tests/a.c': 'void f(char *a, char *b) { strcpy(a, b); }\n'}, 'strcpy'),
    ('banned', {'block/a.c': 'void f(void) { fputs("x", stderr); }\n'}, 'never prints'),
    ('banned', {'hw/a.c': '__attribute__((constructor)) static void f(void) { }\n'}, 'no constructors'),
    ('banned', {'tools/a.c': 'int f(void) { return system("ls"); }\n'}, 'no shell'),
    ('banned', {'hw/a.c': 'void f(void) { exit(1); }\n', 'scripts/gate-exceptions': 'banned hw/a.c:exit it is the reset line\n'}, ''),
    ('banned', {'scripts/gate-exceptions': 'banned hw/b.c:exit file is gone\n'}, 'remove it'),
]


def plant(root, files):
    for path, text in files.items():
        full = os.path.join(root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, 'w', encoding='utf-8') as f:
            f.write(text)


def compile_objects(root, files):
    """A build directory as meson leaves it, of the planted C files that compile."""
    build = os.path.join(root, 'build/release')
    os.makedirs(os.path.join(build, 'util/libutil.a.p'))
    commands = []
    for path in ['util/none.c'] + [p for p in files if p.startswith('util/') and p.endswith('.c')]:
        if path == 'util/none.c':
            plant(root, {path: 'extern const int none;\nconst int none = 1;\n'})
        obj = 'util/libutil.a.p/%s.o' % os.path.basename(path)
        subprocess.run(['gcc', '-c', '-fPIC', os.path.join(root, path), '-o', os.path.join(build, obj)], stderr=subprocess.DEVNULL, check=False)
        commands.append({'directory': build, 'file': '../../' + path, 'output': obj})
    with open(os.path.join(build, 'compile_commands.json'), 'w', encoding='utf-8') as f:
        json.dump(commands, f)


def run_case(gate, files, want):
    with tempfile.TemporaryDirectory() as root:
        plant(root, files)
        compile_objects(root, files)
        r = subprocess.run([sys.executable, os.path.join(SCRIPTS, 'gates.py'), '--root', root, gate],
                           capture_output=True, text=True, check=False)
    if want:
        return r.returncode == 1 and want in r.stdout and r.stdout.endswith('0 1 0\n'), r
    return r.returncode == 0, r


def main():
    bad = 0
    for gate, files, want in CASES:
        ok, r = run_case(gate, files, want)
        if not ok:
            bad += 1
            print('gate %s, %s: wanted "%s", got status %d:\n%s%s' % (gate, list(files), want or 'no violation', r.returncode, r.stdout, r.stderr))
    print('%d planted trees, %d wrong' % (len(CASES), bad))
    sys.exit(bad != 0)


if __name__ == '__main__':
    main()
