#!/usr/bin/env python3
"""Write the registry of one kind of class: a NULL-terminated table of every such const struct.

    gen_registry.py --type DeviceClass --name device --include vmm/device.h \\
        [--derived PciClass:hw/pci/pci.h ...] -o device_registry.c SOURCES...

A class is listed when a source has a line `const TYPE name = {` in column 0 (so `static const`
stays private). A derived type has TYPE as its first member; its address is the address of TYPE.
The table has type `const TYPE *const NAME_registry[]` and is sorted by source file, then line.
Compiled into tools and tests only: libraries are handed the table, they do not know it.
"""
import argparse
import re
import sys


def scan(path, types):
    """Yield (type, name) for each definition in @path, in order."""
    line_re = re.compile(r'^const\s+(%s)\s+([A-Za-z_]\w*)\s*=' % '|'.join(map(re.escape, types)))
    with open(path, encoding='utf-8') as f:
        for line in f:
            m = line_re.match(line)
            if m:
                yield m.group(1), m.group(2)


def render(args, found):
    out = ['/* Made by scripts/gen_registry.py; do not edit. */']
    for inc in dict.fromkeys(args.include + [d.split(':', 1)[1] for d in args.derived if ':' in d]):
        out.append('#include "%s"' % inc)
    out += ['#include <stddef.h>', '']
    out += ['extern const %s %s;' % tn for tn in found]
    out += ['extern const %s *const %s_registry[];' % (args.type, args.name), '']
    out.append('const %s *const %s_registry[] = {' % (args.type, args.name))
    for t, name in found:
        cast = '' if t == args.type else '(const %s *)' % args.type
        out.append('    %s&%s,' % (cast, name))
    out += ['    NULL', '};', '']
    return '\n'.join(out)


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    p.add_argument('--type', required=True)
    p.add_argument('--name', required=True)
    p.add_argument('--include', action='append', default=[])
    p.add_argument('--derived', action='append', default=[], metavar='TYPE:HEADER')
    p.add_argument('-o', '--output', required=True)
    p.add_argument('sources', nargs='*')
    args = p.parse_args()
    types = [args.type] + [d.split(':', 1)[0] for d in args.derived]
    found, seen = [], {}
    for path in sorted(s for s in args.sources if s.endswith('.c')):
        for t, name in scan(path, types):
            if name in seen:
                sys.exit('%s: %s is also defined in %s' % (path, name, seen[name]))
            seen[name] = path
            found.append((t, name))
    with open(args.output, 'w', encoding='utf-8') as f:
        f.write(render(args, found))


if __name__ == '__main__':
    main()
