/* Decoder, tables and disassembler, all of opcodes*.def. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "tcg/guest/aarch64/simd.h"

#include "tcg/a64_opcodes_tab.h"

static int32_t arg_of(const A64Args *a, const A64Operand *o)
{
    int32_t v;
    memcpy(&v, (const char *)a + o->offset, sizeof(v));
    return v;
}

static int print_reg(char *buf, size_t size, bool wide, int32_t n, bool sp)
{
    if (n == 31)
        return snprintf(buf, size, "%s", sp ? wide ? "sp" : "wsp" : wide ? "xzr" : "wzr");
    return snprintf(buf, size, "%c%d", wide ? 'x' : 'w', (int)n);
}

static int print_operand(char *buf, size_t size, const A64Args *a, const A64Operand *o, uint64_t pc)
{
    int32_t v = arg_of(a, o);
    switch (o->kind) {
    case A64_KIND_R: return print_reg(buf, size, a->sf, v, false);
    case A64_KIND_RSP: return print_reg(buf, size, a->sf, v, true);
    case A64_KIND_X: return print_reg(buf, size, true, v, false);
    case A64_KIND_XSP: return print_reg(buf, size, true, v, true);
    case A64_KIND_PCREL: return snprintf(buf, size, "%#llx", (unsigned long long)(pc + (uint64_t)(int64_t)v));
    default: return a64_print_simd(buf, size, a, o, v);
    }
}

static void print_insn(char *buf, int size, const A64Args *a, uint64_t pc)
{
    const A64OpInfo *i = &a64_op_info[a->op];
    bool two = i->attrs & A64_ATTR_TWO && (a->arr | a->q) & 1;
    int n = snprintf(buf, (size_t)size, "%s%s%s", i->name, two ? "2" : "", *i->format ? " " : "");
    unsigned operand = 0;
    for (const char *f = i->format; *f && n < size - 1; f++) {
        if (*f == '%')
            n += print_operand(buf + n, (size_t)(size - n), a, &i->operand[operand++], pc);
        else
            n += snprintf(buf + n, (size_t)(size - n), "%c", *f);
    }
}

int a64_disas(const uint8_t *code, unsigned avail, uint64_t mode, uint64_t pc, char *buf, int size)
{
    A64Args a = { 0 };
    (void)mode;
    if (avail < 4) {
        snprintf(buf, (size_t)size, "(cut short)");
        return (int)avail;
    }
    uint32_t insn = code[0] | (uint32_t)code[1] << 8 | (uint32_t)code[2] << 16 | (uint32_t)code[3] << 24;
    if (a64_decode32(insn, &a))
        print_insn(buf, size, &a, pc);
    else
        snprintf(buf, (size_t)size, ".inst %#x", insn);
    return 4;
}
