/* Decoder, tables and disassembler, all of opcodes.def. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "tcg/guest/riscv/translate.h"

#include "tcg/riscv_opcodes_tab.h"

static int32_t arg_of(const RiscvArgs *a, const RiscvOperand *o)
{
    int32_t v;
    memcpy(&v, (const char *)a + o->offset, sizeof(v));
    return v;
}

static int print_operand(char *buf, int size, const RiscvOperand *o, int32_t v, uint64_t pc)
{
    static const char *const rm[8] = { "rne", "rtz", "rdn", "rup", "rmm", "rm5", "rm6", "dyn" };
    const char *name;
    switch (o->kind) {
    case RISCV_KIND_X: return snprintf(buf, (size_t)size, "%s", riscv_x_name((unsigned)v));
    case RISCV_KIND_F: return snprintf(buf, (size_t)size, "%s", riscv_f_name((unsigned)v));
    case RISCV_KIND_RM: return snprintf(buf, (size_t)size, "%s", rm[v & 7]);
    case RISCV_KIND_PCREL: return snprintf(buf, (size_t)size, "%#llx", (unsigned long long)(pc + (uint64_t)(int64_t)v));
    case RISCV_KIND_CSR:
        name = riscv_csr_name((unsigned)v);
        return name ? snprintf(buf, (size_t)size, "%s", name) : snprintf(buf, (size_t)size, "%#x", (unsigned)v);
    default: return snprintf(buf, (size_t)size, "%d", (int)v);
    }
}

static void print_insn(char *buf, int size, const RiscvArgs *a, uint64_t pc)
{
    const RiscvOpInfo *i = &riscv_op_info[a->op];
    int n = snprintf(buf, (size_t)size, "%s%s", i->name, *i->format ? " " : "");
    unsigned operand = 0;
    for (const char *f = i->format; *f && n < size - 1; f++) {
        const RiscvOperand *o = &i->operand[operand];
        if (*f == '%') {
            n += print_operand(buf + n, size - n, o, arg_of(a, o), pc);
            operand++;
        } else {
            n += snprintf(buf + n, (size_t)(size - n), "%c", *f);
        }
    }
}

int riscv_disas(const uint8_t *code, unsigned avail, uint64_t mode, uint64_t pc, char *buf, int size)
{
    RiscvArgs a = { 0 };
    (void)mode;
    int len = (code[0] & 3) == 3 ? 4 : 2;
    if (avail < (unsigned)len) {
        snprintf(buf, (size_t)size, "(cut short)");
        return (int)avail;
    }
    uint32_t insn = code[0] | (uint32_t)code[1] << 8;
    if (len == 4)
        insn |= (uint32_t)code[2] << 16 | (uint32_t)code[3] << 24;
    if (len == 2 ? riscv_decode16(insn, &a) : riscv_decode32(insn, &a))
        print_insn(buf, size, &a, pc);
    else
        snprintf(buf, (size_t)size, ".insn %#x", insn);
    return len;
}
