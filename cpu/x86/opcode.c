#include "cpu/x86/opcode.h"

/* Where an instruction's opcode is (SDM 2A 2.1, 2.3, 2.7), for statistics: 64-bit mode, where C4, C5 and 62 are always VEX and EVEX. */

static bool is_prefix(uint8_t b)
{
    return b == 0x26 || b == 0x2e || b == 0x36 || b == 0x3e || (b >= 0x64 && b <= 0x67) || b == 0xf0 || b == 0xf2 || b == 0xf3 || (b & 0xf0) == 0x40;
}

unsigned x86_opcode_bytes(const uint8_t *insn, unsigned n, unsigned *ret_first)
{
    unsigned at = 0, len = 1;
    while (at < n && is_prefix(insn[at]))
        at++;
    *ret_first = at < n ? at : 0;
    if (at >= n)
        return n;
    if (insn[at] == 0x0f)
        len = at + 1 < n && (insn[at + 1] == 0x38 || insn[at + 1] == 0x3a) ? 3 : at + 1 < n && (insn[at + 1] == 0x01 || insn[at + 1] == 0xae ||
              insn[at + 1] == 0xc7) ? 3 : 2;        /* groups by their ModRM byte */
    else if (insn[at] == 0xc5)
        len = 3;
    else if (insn[at] == 0xc4)
        len = 4;
    else if (insn[at] == 0x62)
        len = 5;
    return at + len <= n ? len : n - at;
}
