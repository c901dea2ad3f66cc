#include <stdarg.h>
#include <stdio.h>

#include "tcg/guest/x86/translate.h"
#include "util/bits.h"

/* Text of one instruction, in Intel's operand order. For logs and trdump. */

typedef struct Out { char *buf; int size, n; } Out;

static void put(Out *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(Out *o, const char *fmt, ...)
{
    if (o->n >= o->size)
        return;
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(o->buf + o->n, (size_t)(o->size - o->n), fmt, ap);
    va_end(ap);
    o->n += n > 0 ? n : 0;
}

static const char *const seg_names[8] = { "es", "cs", "ss", "ds", "fs", "gs", "?", "?" };

static void put_reg(Out *o, const X86Insn *in, unsigned log2, unsigned r)
{
    static const char low[8][3] = { "ax", "cx", "dx", "bx", "sp", "bp", "si", "di" };
    static const char bytes[8][4] = { "al", "cl", "dl", "bl", "ah", "ch", "dh", "bh" };
    static const char rex_bytes[8][4] = { "al", "cl", "dl", "bl", "spl", "bpl", "sil", "dil" };
    static const char suffix[4][2] = { "b", "w", "d", "" };
    if (r >= 8)
        put(o, "r%u%s", r, suffix[log2 & 3]);
    else if (log2 == 0)
        put(o, "%s", in->rex ? rex_bytes[r] : bytes[r]);
    else
        put(o, "%s%s", log2 == 1 ? "" : log2 == 2 ? "e" : "r", low[r]);
}

static void put_mem(Out *o, const X86Insn *in, unsigned size, uint64_t pc)
{
    static const char *const names[] = { "byte ", "word ", "dword ", "qword ", "xmmword ", "ymmword " };
    unsigned log2 = x86_opnd_log2(in, size);
    if (log2 < ARRAY_LEN(names))
        put(o, "%s", names[log2]);
    if (in->seg_pfx != X86_NO_REG)
        put(o, "%s:", seg_names[in->seg_pfx & 7]);
    put(o, "[");
    uint64_t mask = bits_mask(8u << in->adsize);
    if (in->base == X86_REG_PC) {
        put(o, "0x%llx]", (unsigned long long)((pc + in->len + (uint64_t)(int64_t)in->disp) & mask));
        return;
    }
    bool any = false;
    if (in->base != X86_NO_REG) {
        put_reg(o, in, in->adsize, in->base);
        any = true;
    }
    if (in->index != X86_NO_REG) {
        put(o, any ? "+" : "");
        if (in->op->attrs & X86A_VSIB)
            put(o, "vec%u", in->index);
        else
            put_reg(o, in, in->adsize, in->index);
        if (in->scale)
            put(o, "*%u", 1u << in->scale);
        any = true;
    }
    if (!any)
        put(o, "0x%llx", (unsigned long long)((uint64_t)(int64_t)in->disp & mask));
    else if (in->disp)
        put(o, "%c0x%x", in->disp < 0 ? '-' : '+', in->disp < 0 ? 0u - (unsigned)in->disp : (unsigned)in->disp);
    put(o, "]");
}

static void put_vec(Out *o, const X86Insn *in, unsigned size, unsigned r)
{
    put(o, "%cmm%u", x86_opnd_log2(in, size) == 5 ? 'y' : 'x', r);
}

static void put_fixed(Out *o, const X86Insn *in, X86Opnd d)
{
    switch (d.kind) {
    case X86O_REG: put_reg(o, in, x86_opnd_log2(in, d.size), d.reg); break;
    case X86O_SEG: put(o, "%s", seg_names[d.reg & 7]); break;
    case X86O_XMM: put(o, "xmm%u", d.reg); break;
    case X86O_ST: put(o, "st"); break;
    default: put(o, "1"); break;
    }
}

static void put_string_operand(Out *o, const X86Insn *in, X86Opnd d)
{
    put(o, "%s:[", d.kind == X86O_X ? seg_names[in->seg & 7] : "es");
    put_reg(o, in, in->adsize, d.kind == X86O_X ? X86_RSI : X86_RDI);
    put(o, "]");
}

static void put_opnd(Out *o, const X86Insn *in, unsigned n, uint64_t pc)
{
    X86Opnd d = in->op->opnd[n];
    unsigned log2 = x86_opnd_log2(in, d.size);
    int64_t imm = n > 1 && in->op->opnd[n - 1].kind == X86O_I ? in->imm2 : in->imm;
    switch (d.kind) {
    case X86O_E: case X86O_M: case X86O_R:
        if (in->mod == 3)
            put_reg(o, in, log2, in->rm);
        else
            put_mem(o, in, d.size, pc);
        break;
    case X86O_W: case X86O_U:
        if (in->mod == 3)
            put_vec(o, in, d.size, in->rm);
        else
            put_mem(o, in, d.size, pc);
        break;
    case X86O_Q: case X86O_N:
        if (in->mod == 3)
            put(o, "mm%u", in->rm & 7);
        else
            put_mem(o, in, d.size, pc);
        break;
    case X86O_G: put_reg(o, in, log2, in->reg); break;
    case X86O_Z: put_reg(o, in, log2, (in->opcode & 7) | (in->rex << 3 & 8)); break;
    case X86O_B: put_reg(o, in, log2, in->vvvv); break;
    case X86O_V: put_vec(o, in, d.size, in->reg); break;
    case X86O_H: put_vec(o, in, d.size, in->vvvv); break;
    case X86O_L: put_vec(o, in, d.size, imm >> 4 & 15); break;
    case X86O_P: put(o, "mm%u", in->reg & 7); break;
    case X86O_T: put(o, "st(%u)", in->rm & 7); break;
    case X86O_S: put(o, "%s", seg_names[in->reg & 7]); break;
    case X86O_C: put(o, "cr%u", in->reg); break;
    case X86O_D: put(o, "dr%u", in->reg); break;
    case X86O_I: put(o, "0x%llx", (unsigned long long)((uint64_t)imm & bits_mask(8u << (d.size == X86Z_z ? in->opsize : log2)))); break;
    case X86O_J: put(o, "0x%llx", (unsigned long long)((pc + in->len + (uint64_t)in->imm) & bits_mask(8u << in->opsize))); break;
    case X86O_A: put(o, "0x%x:0x%x", (unsigned)in->imm2, (unsigned)in->imm & (unsigned)bits_mask(8u << in->opsize)); break;
    case X86O_O: put(o, "%s:[0x%llx]", seg_names[in->seg & 7], (unsigned long long)((uint64_t)in->imm & bits_mask(8u << in->adsize))); break;
    case X86O_X: case X86O_Y: put_string_operand(o, in, d); break;
    default: put_fixed(o, in, d); break;
    }
}

int x86_disas(const uint8_t *code, unsigned avail, uint64_t mode, uint64_t pc, char *buf, int size)
{
    Out o = { buf, size, 0 };
    X86Insn in;
    if (size > 0)
        buf[0] = 0;
    X86DecodeResult r = x86_decode(code, avail, mode, &in);
    if (r != X86D_OK) {
        put(&o, r == X86D_SHORT ? "(cut off)" : "(bad)");
        return in.len ? in.len : 1;
    }
    if (in.lock)
        put(&o, "lock ");
    if (in.rep && in.op->map == X86_MAP_1 && (in.opcode & 0xfe) != 0x90)
        put(&o, in.rep == 0xf3 ? "rep " : "repne ");
    if (in.op->map == X86_MAP_1 && in.opcode == 0x90 && !(in.rex & 1) && !in.rep) {
        put(&o, "nop");
        return in.len;
    }
    put(&o, "%s", in.op->name);
    for (unsigned n = 0; n < 4 && in.op->opnd[n].kind; n++) {
        put(&o, n ? ", " : " ");
        put_opnd(&o, &in, n, pc);
    }
    return in.len;
}
