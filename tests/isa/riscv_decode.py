#!/usr/bin/env python3
"""riscv_decode.py PROGRAM PREFIX-OF-BINUTILS: the decoder's mnemonics against binutils'."""
import os
import re
import subprocess
import sys
import tempfile

# binutils 2.40 does not have Zicond
UNKNOWN = ('czero.eqz', 'czero.nez')
# what binutils calls by another name
SAME = {'c.addi': {'c.nop'}, 'fence': {'fence.tso', 'pause'}, 'c.slli': {'c.slli64'}, 'c.srli': {'c.srli64'}, 'c.srai': {'c.srai64'}}
# fields that the hardware ignores and binutils wants 0: rounding mode of exact conversions, registers of fences
EXACT = ('fcvt.d.w', 'fcvt.d.wu', 'fcvt.d.s', 'fence', 'fence.i')


def same(name, other):
    other = re.sub(r'\.(aq|rl|aqrl)$', '', other)
    return other == name or other in SAME.get(name, ()) or name in UNKNOWN or (name in EXACT and other == '.4byte')


def main():
    out = subprocess.run([sys.argv[1]], capture_output=True, text=True, check=True).stdout
    lines = [l.split('\t') for l in out.splitlines()]
    code = b''.join(int(bits, 16).to_bytes(len(bits) // 2, 'little') for bits, _ in lines)
    with tempfile.TemporaryDirectory() as d:
        source, obj, text = (os.path.join(d, n) for n in ('a.s', 'a.o', 'a.bin'))
        with open(source, 'w', encoding='ascii') as f:
            f.write('.attribute arch, "rv64imafdc_zicsr_zifencei_zba_zbb_zbc_zbs"\n.text\nnop\n')   # objdump goes by the attribute
        with open(text, 'wb') as f:
            f.write(code)
        prefix = sys.argv[2]
        subprocess.run([prefix + 'as', source, '-o', obj], check=True)
        subprocess.run([prefix + 'objcopy', '--update-section', '.text=' + text, obj], check=True, stderr=subprocess.DEVNULL)
        dump = subprocess.run([prefix + 'objdump', '-d', '-M', 'no-aliases', obj], capture_output=True, text=True, check=True,
                              env=dict(os.environ, LC_ALL='C')).stdout
    theirs = {int(m.group(1), 16): m.group(3) for m in re.finditer(r'^\s*([0-9a-f]+):\s+([0-9a-f]+)\s+(\S+)', dump, re.M)}
    at, bad = 0, 0
    for bits, text in lines:
        name = text.split()[0]
        other = theirs.get(at, 'nothing')
        if not same(name, other):
            print('%s: %s, binutils says %s' % (bits, text, other))
            bad += 1
        at += len(bits) // 2
    print('%d instructions, %d differ' % (len(lines), bad))
    return bad != 0


if __name__ == '__main__':
    sys.exit(main())
