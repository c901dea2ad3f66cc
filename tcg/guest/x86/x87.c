/* x87: decoding is the opcode and modrm byte itself, the operation is help_x87.c's. */
#include "tcg/guest/x86/vec.h"

/* Bytes of memory operands by opcode (D8..DF) and modrm.reg; 0: environment or state, by operand size. */
static const uint8_t mem_bytes[8][8] = {
    { 4, 4, 4, 4, 4, 4, 4, 4 }, { 4, 0xff, 4, 4, 0, 2, 0, 2 }, { 4, 4, 4, 4, 4, 4, 4, 4 }, { 4, 4, 4, 4, 0xff, 10, 0xff, 10 },
    { 8, 8, 8, 8, 8, 8, 8, 8 }, { 8, 8, 8, 8, 0, 0xff, 0, 2 }, { 2, 2, 2, 2, 2, 2, 2, 2 }, { 2, 2, 2, 2, 10, 8, 10, 8 },
};

void x86_e_x87(X86Tr *t)
{
    unsigned op = t->in.opcode & 7, reg = t->in.modrm >> 3 & 7;
    bool mem = t->in.mod != 3;
    unsigned bytes = mem ? mem_bytes[op][reg] : 0;
    IrVal lin = 0;

    if (bytes == 0xff) {
        x86_emit_ud(t);
        return;
    }
    if (t->mode & (X86M_EM | X86M_TS)) {
        x86_emit_raise(t, X86_NM);
        return;
    }
    if (mem)
        lin = x86_mem(t, bytes ? bytes : 1, false);
    IrVal k = x86_k(t, t->in.opcode << 8 | t->in.modrm | t->in.opsize << 16);
    x86_call(t, X86H_x87, k, lin, x86_rip(t, t->off), x86_k(t, bytes));
}
