#!/usr/bin/env python3
"""Make everything that follows from the instruction list of a fixed-width guest (tcg/guest/<isa>/opcodes*.def).

    gen_fixed_opcodes.py opcodes.def... ISA <isa>_opcodes.h <isa>_opcodes_tab.h

Several lists are read as one, in their order. ISA is the prefix of names in CamelCase ("Riscv", "Arm64"). Nothing here knows an
instruction set. `#` at the start of a line or behind a blank starts a comment.

    %operand NAME KIND VALUE [FIELD]     what a template may name. KIND is a word for the disassembler (becomes ISA_KIND_x); FIELD is the
                                         member of ISAArgs that receives the value (default NAME).
    %attr NAME                           a flag that lines may carry (ISA_ATTR_x, for the translator and the random-program generator)

    VALUE: [s|u]:LETTERS[<<n][+n]        the fields of these letters joined, highest first, sign- or zero-extended, shifted, added to

One line an instruction, columns separated by blanks:

    NAME  PATTERN  EMIT  TEMPLATE  ATTRIBUTES...

NAME      mnemonic, or mnemonic:form: `form` is not shown, it tells lines with one mnemonic apart (ISA_OP_MNEMONIC_FORM)
PATTERN   most significant bit first: 0 1 fixed, `.` ignored, a letter a bit of that letter's field (in order of appearance, highest
          first); `_` only separates. Its length is the instruction's width (16 or 32), each width has its own decoder.
EMIT      function, or function(constant): emitter that translates it, ISAArgs.k is the constant (0 without)
TEMPLATE  operands as the disassembler shows them: `rd,off(rs1)`; every word that is an operand's name is extracted and printed,
          other words stand for themselves; `-` none
ATTRIBUTES  ext=NAME     extension the instruction belongs to (ISA_EXT_NAME; default BASE)
            FIELD=VALUE  sets a member of ISAArgs: a number or the name of another (extracted) member
            +OPERAND     extracted without being shown
            FIELD!=N     (on extracted members) the line does not match there; the next that fits is tried
            NAME         a flag declared by %attr

Where two patterns overlap, one must be more special than the other (it is tried first), or carry a condition.

<isa>_opcodes.h      enum ISA_OP_*, ISA_EXT_*, ISA_KIND_*, ISA_ATTR_*; struct ISAArgs; struct ISAOpInfo; emitters' prototypes
<isa>_opcodes_tab.h  for one source file to include: isa_op_info[] (name, emitter, template, pattern, flags: disassembler, random
                     programs and coverage all read this), isa_decode16/32(insn, ISAArgs *): a tree of switches, false = no such instruction
"""
import re
import sys


def die(where, text):
    sys.exit('%s: %s' % (where, text))


class Operand:
    def __init__(self, where, words):
        if len(words) not in (3, 4):
            die(where, '%operand NAME KIND VALUE [FIELD]')
        self.name, self.kind = words[0], words[1]
        self.field = words[3] if len(words) == 4 else words[0]
        m = re.fullmatch(r'([su]):([A-Za-z]+)(?:<<(\d+))?(?:\+(\d+))?', words[2])
        if not m:
            die(where, 'bad value %s' % words[2])
        self.signed = m.group(1) == 's'
        self.letters, self.shift, self.plus = m.group(2), int(m.group(3) or 0), int(m.group(4) or 0)


def runs_of(pattern, letter):
    """[(low bit, length)] of a letter's bits, highest first."""
    width, out, i = len(pattern), [], 0
    while i < width:
        j = i
        while j < width and pattern[j] == letter:
            j += 1
        if j > i:
            out.append((width - j, j - i))
        i = max(j, i + 1)
    return out


class Insn:
    def __init__(self, where, words, operands, attrs):
        if len(words) < 4:
            die(where, 'NAME PATTERN EMIT TEMPLATE ATTRIBUTES...')
        self.where, self.name, self.shown_name = where, words[0], words[0].split(':')[0]
        self.pattern = words[1].replace('_', '')
        if len(self.pattern) not in (16, 32) or not re.fullmatch(r'[01.A-Za-z]+', self.pattern):
            die(where, 'bad pattern (%d bits)' % len(self.pattern))
        self.width = len(self.pattern)
        self.mask = int(''.join('1' if c in '01' else '0' for c in self.pattern), 2)
        self.value = int(''.join(c if c in '01' else '0' for c in self.pattern), 2)
        m = re.fullmatch(r'(\w+)(?:\((.*)\))?', words[2])
        if not m:
            die(where, 'bad emitter %s' % words[2])
        self.emit, self.k = m.group(1), m.group(2) or '0'
        self.template = '' if words[3] == '-' else words[3]
        self.ext, self.flags, self.sets, self.conds = 'BASE', [], [], []
        names = [w for w in re.findall(r'\w+', self.template) if w in operands]
        for w in words[4:]:
            if w.startswith('ext='):
                self.ext = w[4:]
            elif re.fullmatch(r'\w+!=\d+', w):
                self.conds.append(w.split('!='))
            elif '=' in w:
                self.sets.append(w.split('=', 1))
            elif w.startswith('+') and w[1:] in operands:
                names.append(w[1:])
            elif w in attrs:
                self.flags.append(w)
            else:
                die(where, 'unknown attribute %s' % w)
        self.operands = [operands[n] for n in names]
        for o in self.operands:
            for c in o.letters:
                if c not in self.pattern:
                    die(where, 'operand %s needs letter %s' % (o.name, c))

    def ident(self):
        return re.sub(r'\W', '_', self.name).upper()

    def extraction(self, o):
        """C expression of an operand's value."""
        parts, at = [], 0
        for c in reversed(o.letters):
            for low, n in reversed(runs_of(self.pattern, c)):
                parts.append('(insn >> %du & 0x%xu) << %du' % (low, (1 << n) - 1, at))
                at += n
        text = ' | '.join('(%s)' % p for p in reversed(parts))
        if o.signed:
            text = '(int32_t)((%s) << %du) >> %d' % (text, 32 - at, 32 - at)
            text = '(int32_t)((uint32_t)(%s) << %du)' % (text, o.shift) if o.shift else text
        else:
            text = '(int32_t)((%s) << %du)' % (text, o.shift)
        return '%s + %d' % (text, o.plus) if o.plus else text


def parse(path, operands, attrs, insns, seen):
    with open(path, encoding='utf-8') as f:
        for no, line in enumerate(f, 1):
            words = re.split(r'(?:^|\s)#', line)[0].split()
            where = '%s:%d' % (path, no)
            if not words:
                continue
            if words[0] == '%operand':
                o = Operand(where, words[1:])
                if o.name in operands:
                    die(where, 'operand %s twice' % o.name)
                operands[o.name] = o
            elif words[0] == '%attr':
                attrs += words[1:]
            else:
                i = Insn(where, words, operands, attrs)
                if i.ident() in seen:
                    die(where, '%s is also in %s' % (i.name, seen[i.ident()]))
                seen[i.ident()] = where
                insns.append(i)


def check_overlaps(insns):
    for n, a in enumerate(insns):
        for b in insns[n + 1:]:
            common = a.mask & b.mask
            if a.width != b.width or (a.value ^ b.value) & common:
                continue
            if (common != a.mask and common != b.mask or a.mask == b.mask) and not a.conds and not b.conds:
                die(b.where, '%s overlaps %s (%s)' % (b.name, a.name, a.where))


def ordered(group):
    """More special first; lines with conditions before those of the same pattern without."""
    return sorted(group, key=lambda i: (-bin(i.mask).count('1'), not i.conds))


class Tree:
    """A decoder for one width as nested switches."""

    def __init__(self, isa, upper, args, width):
        self.isa, self.upper, self.args, self.width, self.lines = isa, upper, args, width, []

    def put(self, depth, text):
        self.lines.append('    ' * depth + text)

    def leaf(self, depth, i, tested):
        rest = i.mask & ~tested
        conds = ['(insn & 0x%xu) == 0x%xu' % (rest, i.value & rest)] if rest else []
        if conds:
            self.put(depth, 'if (%s) {' % conds[0])
            depth += 1
        for o in i.operands:
            self.put(depth, 'a->%s = %s;' % (o.field, i.extraction(o)))
        for field, value in i.sets:
            self.put(depth, 'a->%s = %s;' % (field, value if re.fullmatch(r'-?\d+', value) else 'a->' + value))
        if i.conds:
            self.put(depth, 'if (%s) {' % ' && '.join('a->%s != %s' % (f, v) for f, v in i.conds))
            depth += 1
        self.put(depth, 'a->op = %s_OP_%s;' % (self.upper, i.ident()))
        self.put(depth, 'return true;')
        if i.conds:
            depth -= 1
            self.put(depth, '}')
        if conds:
            self.put(depth - 1, '}')
        return bool(conds or i.conds)

    def node(self, depth, group, tested):
        """Whether code behind may be reached."""
        common = ~tested
        for i in group:
            common &= i.mask
        common &= (1 << self.width) - 1
        if len(group) > 1 and common and len({i.value & common for i in group}) > 1:
            self.put(depth, 'switch (insn & 0x%xu) {' % common)
            for value in sorted({i.value & common for i in group}):
                self.put(depth, 'case 0x%xu:' % value)
                if self.node(depth + 1, [i for i in group if i.value & common == value], tested | common):
                    self.put(depth + 1, 'break;')
            self.put(depth, '}')
            return True
        if len(group) > 6:
            bit = self.best_bit(group, tested)
            if bit:
                self.put(depth, 'if (insn & 0x%xu) {' % bit)
                self.node(depth + 1, [i for i in group if not i.mask & bit or i.value & bit], tested | bit)
                self.put(depth, '} else {')
                self.node(depth + 1, [i for i in group if not i.mask & bit or not i.value & bit], tested | bit)
                self.put(depth, '}')
                return True
        for i in ordered(group):
            if not self.leaf(depth, i, tested):
                return False
        return True

    def best_bit(self, group, tested):
        """The bit that splits best; patterns that ignore it go both ways."""
        best, score = 0, 0
        for n in range(self.width):
            bit = 1 << n
            if tested & bit:
                continue
            ones = sum(1 for i in group if i.mask & bit and i.value & bit)
            zeros = sum(1 for i in group if i.mask & bit and not i.value & bit)
            if min(ones, zeros) > score:
                best, score = bit, min(ones, zeros)
        return best

    def render(self, group):
        self.put(0, 'bool %s_decode%d(uint32_t insn, %sArgs *a)' % (self.isa, self.width, self.args))
        self.put(0, '{')
        if not group or self.node(1, group, 0):
            self.put(1, 'return false;')
        self.put(0, '}')
        return self.lines


def header(src, isa, operands, attrs, insns):
    up = isa.upper()
    fields = list(dict.fromkeys([o.field for o in operands.values()] + [f for i in insns for f, _ in i.sets]))
    exts = list(dict.fromkeys(['BASE'] + [i.ext for i in insns]))
    kinds = list(dict.fromkeys(o.kind for o in operands.values()))
    out = ['/* Made by scripts/gen_fixed_opcodes.py of %s; do not edit. */' % src, '#pragma once', '#include <stdbool.h>', '#include <stdint.h>', '']
    out += ['typedef enum %sOp {' % isa] + ['    %s_OP_%s,' % (up, i.ident()) for i in insns] + ['    %s_OPS' % up, '} %sOp;' % isa]
    out += ['typedef enum %sExt { %s, %s_EXTS } %sExt;' % (isa, ', '.join('%s_EXT_%s' % (up, e.upper()) for e in exts), up, isa)]
    out += ['typedef enum %sKind { %s } %sKind;' % (isa, ', '.join('%s_KIND_%s' % (up, k.upper()) for k in kinds), isa)]
    if attrs:
        out += ['enum { %s };' % ', '.join('%s_ATTR_%s = 1 << %d' % (up, a.upper(), n) for n, a in enumerate(attrs))]
    out += ['/* Members that the line does not set are unspecified. k: the emitter\'s constant, set by whoever looks the emitter up. */']
    out += ['typedef struct %sArgs { uint16_t op; int32_t k, %s; } %sArgs;' % (isa, ', '.join(fields), isa)]
    out += ['struct %sTr;' % isa, 'typedef bool %sEmit(struct %sTr *t, const %sArgs *a);' % (isa, isa, isa)]
    out += ['typedef struct %sOperand { const char *name; uint16_t offset; uint8_t kind; } %sOperand;' % (isa, isa)]
    out += ['typedef struct %sOpInfo {' % isa, '    const char *name, *format;  /* format: each % is the next operand */',
            '    %sEmit *emit;' % isa, '    int32_t k;', '    uint32_t mask, value;       /* of the pattern */', '    uint32_t attrs;',
            '    uint8_t width, ext, n_operands;', '    %sOperand operand[8];' % isa, '} %sOpInfo;' % isa]
    out += ['extern const %sOpInfo %s_op_info[%s_OPS];' % (isa, isa.lower(), up)]
    out += ['extern const char *const %s_ext_name[%s_EXTS];' % (isa.lower(), up)]
    for w in (16, 32):
        out += ['bool %s_decode%d(uint32_t insn, %sArgs *a);' % (isa.lower(), w, isa)]
    out += ['%sEmit %s;' % (isa, ', '.join(sorted({i.emit for i in insns}))), '']
    return '\n'.join(out)


def info_line(isa, operands, i):
    up = isa.upper()
    shown = []

    def replace(m):
        if m.group(0) in operands:
            shown.append(operands[m.group(0)])
            return '%'
        return m.group(0)
    fmt = re.sub(r'\w+', replace, i.template)
    ops = ', '.join('{ "%s", offsetof(%sArgs, %s), %s_KIND_%s }' % (o.name, isa, o.field, up, o.kind.upper()) for o in shown)
    flags = ' | '.join('%s_ATTR_%s' % (up, f.upper()) for f in i.flags) or '0'
    return '    [%s_OP_%s] = { "%s", "%s", %s, %s, 0x%xu, 0x%xu, %s, %d, %s_EXT_%s, %d, { %s } },' % (
        up, i.ident(), i.shown_name, fmt, i.emit, i.k, i.mask, i.value, flags, i.width, up, i.ext.upper(), len(shown), ops or '{ 0 }')


def tables(src, isa, operands, insns):
    low, up = isa.lower(), isa.upper()
    exts = list(dict.fromkeys(['BASE'] + [i.ext for i in insns]))
    out = ['/* Made by scripts/gen_fixed_opcodes.py of %s; do not edit. */' % src]
    out += ['const char *const %s_ext_name[%s_EXTS] = { %s };' % (low, up, ', '.join('"%s"' % e for e in exts))]
    out += ['const %sOpInfo %s_op_info[%s_OPS] = {' % (isa, low, up)] + [info_line(isa, operands, i) for i in insns] + ['};', '']
    for w in (16, 32):
        out += Tree(low, up, isa, w).render([i for i in insns if i.width == w]) + ['']
    return '\n'.join(out)


def main():
    if len(sys.argv) < 5:
        sys.exit(__doc__)
    sources, (isa, h, tab) = sys.argv[1:-3], sys.argv[-3:]
    operands, attrs, insns, seen = {}, [], [], {}
    for path in sources:
        parse(path, operands, attrs, insns, seen)
    check_overlaps(insns)
    src = ', '.join(path.split('/')[-1] for path in sources)
    for path, text in ((h, header(src, isa, operands, attrs, insns)), (tab, tables(src, isa, operands, insns))):
        with open(path, 'w', encoding='utf-8') as f:
            f.write(text)


if __name__ == '__main__':
    main()
