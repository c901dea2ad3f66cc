#!/usr/bin/env python3
"""Make the x86 decoder's tables of tcg/guest/x86/opcodes.def, whose head explains the columns.

    gen_x86_opcodes.py opcodes.def x86_opcodes.h x86_opcodes_tab.h

The first output has the emitters' prototypes and the feature numbers, the second the tables, which decode.c alone includes.
"""
import re
import sys

MAPS = ['1', '0F', '38', '3A', 'V1', 'V2', 'V3']
CC = 'o no b ae e ne be a s ns p np l ge le g'.split()
SIZES = 'b w d q v z y n bs dq qq x ps pd ss sd s p a t'.split()
KINDS = 'EGMRIJOSCDAXYZBVWHULPQNT'
FIXED = {'AL': ('REG', 'b', 0), 'CL': ('REG', 'b', 1), 'DX': ('REG', 'w', 2), 'rAX': ('REG', 'v', 0), 'eAX': ('REG', 'z', 0),
         'XMM0': ('XMM', 'dq', 0), 'ST0': ('ST', 't', 0), '1': ('ONE', 'b', 0)}
FIXED.update({s: ('SEG', 'w', i) for i, s in enumerate(['ES', 'CS', 'SS', 'DS', 'FS', 'GS'])})
MODRM = set('EGMRSCDVWUPQNT')
# the one-hot fields of the match key, see X86K_ in decode.h
FIELDS = [('/0 /1 /2 /3 /4 /5 /6 /7', 0), ('rm0 rm1 rm2 rm3 rm4 rm5 rm6 rm7', 8), ('mem mod3', 16), ('np 66 F3 F2', 18), ('64 no64', 22),
          ('o16 o32 o64', 24), ('W0 W1', 27), ('L0 L1', 29)]
# features.def's ID where it is not the name in capitals
FEATURE_ID = {'lahf': 'LAHF_LM', 'pni': 'SSE3'}
ATTRS = {'d64': 1, 'f64': 2, 'lock': 4, 'vsib': 8}


def accept_mask(conds, where):
    """The mask of key bits that an entry accepts, and its attributes."""
    mask, attrs, known = 1 << 31, 0, set(ATTRS) | {'vnone', 'nrep', '-'}
    for names, shift in FIELDS:
        names = names.split()
        known |= set(names)
        bits = sum(1 << (shift + i) for i, n in enumerate(names) if n in conds)
        if names[0] == 'np' and 'nrep' in conds:
            bits = 3 << shift
        mask |= bits or ((1 << len(names)) - 1) << shift
    if 'vnone' in conds:
        mask &= ~(1 << 31)
    for c in conds:
        if c not in known:
            sys.exit('%s: unknown condition %s' % (where, c))
        attrs |= ATTRS.get(c, 0)
    return mask, attrs


def operand(text, where):
    if text in FIXED:
        return FIXED[text]
    kind, size = text[0], text[1:]
    if kind not in KINDS or (size and size not in SIZES):
        sys.exit('%s: unknown operand %s' % (where, text))
    return (kind, size or 'none', 0)


def parse(path):
    entries = []
    with open(path, encoding='utf-8') as f:
        for no, line in enumerate(f, 1):
            line = line.rstrip('\n')
            if not line.strip() or line.startswith('#'):
                continue
            where = '%s:%d' % (path, no)
            cols = line.split()
            if len(cols) != 8 or cols[0] not in MAPS:
                sys.exit('%s: eight columns wanted' % where)
            mp, opc, cond, name, opnds, emit, feat, undef = cols
            conds = cond.split(',')
            ops = [] if opnds == '-' else [operand(o, where) for o in opnds.split(',')]
            if mp[0] == 'V' and not any(o[0] in 'BH' for o in ops):
                conds.append('vnone')
            mask, attrs = accept_mask(conds, where)
            modrm = any(o[0] in MODRM for o in ops) or any(re.match(r'/\d|rm\d|mem|mod3', c) for c in conds)
            base, _, span = opc.partition('+')
            n = {'': 1, 'r': 8, 'cc': 16}[span]
            for i in range(n):
                nm = name.replace('%cc', CC[i]) if span == 'cc' else name
                entries.append((MAPS.index(mp), int(base, 16) + i, nm, ops, emit, mask, attrs, modrm, feat, undef, no))
    entries.sort(key=lambda e: (e[0], e[1]))
    return entries


def c_op(o):
    return '{ X86O_%s, X86Z_%s, %d }' % o


def main():
    src, out_h, out_tab = sys.argv[1:4]
    ent = parse(src)
    emits = sorted({e[4].split(':')[0] for e in ent})
    feats = sorted({e[8] for e in ent} - {'-'})
    h = ['#pragma once', '/* Made by scripts/gen_x86_opcodes.py of opcodes.def; do not edit. */', 'struct X86Tr;']
    h += ['void x86_e_%s(struct X86Tr *t);' % e for e in emits]
    h += ['/* CPUID features that instructions need, named as /proc/cpuinfo does. */', 'enum { X86F_NONE, %s, X86F_COUNT };' % ', '.join('X86F_' + f for f in feats)]
    bits = ['X86_FEAT_' + FEATURE_ID.get(f, f.upper()) for f in feats]
    h += ['#define X86_FEATURE_BITS 0, %s' % ', '.join(bits)]
    h += ['#define X86_FEATURE_NAMES NULL, %s' % ', '.join('"%s"' % f for f in feats)]
    h += ['enum { X86_N_OPS = %d };' % len(ent), '']
    t = ['/* Made by scripts/gen_x86_opcodes.py of opcodes.def; do not edit. */', 'const X86Op x86_ops[X86_N_OPS] = {']
    for mp, opc, name, ops, emit, mask, attrs, modrm, feat, undef, no in ent:
        fn, _, arg = emit.partition(':')
        ub = sum(1 << i for i, f in enumerate('CPAZSO') if f in undef)
        t.append('    { "%s", x86_e_%s, %s, 0x%08xu, %s, %d, %d, %d, %d, %d, { %s } },' % (
            name, fn, arg or '0', mask, 'X86F_NONE' if feat == '-' else 'X86F_' + feat, attrs, ub, mp, opc, no, ', '.join(map(c_op, ops)) or '{ 0 }'))
    t += ['};', '/* First entry of each opcode, one map after the other; an opcode ends where the next begins. */', 'static const uint16_t op_first[X86_MAPS * 256 + 1] = {']
    pos, firsts, has = 0, [], []
    for k in range(len(MAPS) * 256):
        firsts.append(pos)
        m = False
        while pos < len(ent) and ent[pos][0] * 256 + ent[pos][1] == k:
            m |= ent[pos][7]
            pos += 1
        has.append(int(m or (k // 256 >= 2 and k != MAPS.index('V1') * 256 + 0x77)))   # VZEROUPPER alone has none
    firsts.append(pos)
    t += ['    ' + ', '.join(map(str, firsts[i:i + 16])) + ',' for i in range(0, len(firsts), 16)]
    t += ['};', 'static const uint8_t op_modrm[X86_MAPS * 256] = {']
    t += ['    ' + ', '.join(map(str, has[i:i + 32])) + ',' for i in range(0, len(has), 32)]
    t += ['};', '']
    for path, lines in ((out_h, h), (out_tab, t)):
        with open(path, 'w', encoding='utf-8') as f:
            f.write('\n'.join(lines))


main()
