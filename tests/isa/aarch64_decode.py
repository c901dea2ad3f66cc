#!/usr/bin/env python3
"""aarch64_decode.py PROGRAM PREFIX-OF-BINUTILS: the decoder's mnemonics against binutils', and what it refuses against what they know."""
import os
import re
import subprocess
import sys
import tempfile

ORDERS = re.compile(r'(cas|casp|swp|ldadd|ldclr|ldeor|ldset|ldsmax|ldsmin|ldumax|ldumin)(a|l|al)?(b|h)?')
# what binutils calls by another name
SAME = {'dc': {'sys'}, 'hint': {'dgh', 'psb', 'tsb', 'nop', 'bti'}, 'dsb': {'ssbb', 'pssbb'}, 'ldpsw': {'.inst'},   # ldpsw: of one register twice
        'movi': {'fmov', 'mvni', 'orr', 'bic'}}


def same(name, other):
    if name == 'b.cond':
        return other.startswith('b.')
    m = ORDERS.fullmatch(other)
    if m and name == m.group(1) + (m.group(3) or ''):
        return True
    return other in (name, name + '2') or other in SAME.get(name, ())


def disassemble(prefix, code, options):
    with tempfile.TemporaryDirectory() as d:
        source, obj, text = (os.path.join(d, n) for n in ('a.s', 'a.o', 'a.bin'))
        with open(source, 'w', encoding='ascii') as f:
            f.write('.text\n.inst 0\n')      # an $x symbol
        with open(text, 'wb') as f:
            f.write(code)
        subprocess.run([prefix + 'as', source, '-o', obj], check=True)
        subprocess.run([prefix + 'objcopy', '--update-section', '.text=' + text, obj], check=True, stderr=subprocess.DEVNULL)
        dump = subprocess.run([prefix + 'objdump', '-d', *options, obj], capture_output=True, text=True, check=True,
                              env=dict(os.environ, LC_ALL='C')).stdout
    return {int(m.group(1), 16): m.group(3) for m in re.finditer(r'^\s*([0-9a-f]+):\s+([0-9a-f]+)\s+(\S+)', dump, re.M)}




def main():
    out = subprocess.run([sys.argv[1]], capture_output=True, text=True, check=True).stdout
    lines = [l.split('\t') for l in out.splitlines()]
    code = b''.join(int(bits, 16).to_bytes(4, 'little') for bits, _ in lines)
    theirs, aliases = disassemble(sys.argv[2], code, ['-M', 'no-aliases']), disassemble(sys.argv[2], code, [])   # named hints are aliases
    bad, refused = 0, {}
    for at, (bits, text) in enumerate(lines):
        name, other = text.split()[0], theirs.get(4 * at, 'nothing')
        if name == '-':
            refused.setdefault(other, bits)
        elif not same(name, other) and not same(name, aliases.get(4 * at, '')):
            print('%s: %s, binutils says %s' % (bits, text, other))
            bad += 1
    if '-v' in sys.argv:
        print('refused:', ' '.join('%s(%s)' % i for i in sorted(refused.items())))
    print('%d instructions, %d differ' % (len(lines), bad))
    return bad != 0


if __name__ == '__main__':
    sys.exit(main())
