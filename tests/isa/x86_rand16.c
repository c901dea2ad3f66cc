/*
 * x86_rand16 SEED COUNT: assembler text of COUNT random 16-bit sequences for start16.S: an entry of the opcode table each, its memory operands aimed at
 * the data area, in both operand and address sizes. What the host cannot run natively an independent emulator does (x86sys/rand16).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tcg/guest/x86/translate.h"
#include "tests/isa/random.h"
#include "util/bits.h"

typedef struct Gen { uint64_t rng; uint8_t b[64]; unsigned n; } Gen;
static const uint64_t MODE = X86M_CODE16;

static uint64_t rnd(Gen *g)
{
    return rnd_next(&g->rng);
}

static bool wanted(const X86Op *op)
{
    static const char *const names[] = { "add", "or", "adc", "sbb", "and", "sub", "xor", "cmp", "test", "inc", "dec", "neg", "not", "xchg", "xadd",
        "cmpxchg", "cmpxchg8b", "lahf", "sahf", "cmc", "clc", "stc", "rol", "ror", "rcl", "rcr", "shl", "shr", "sal", "sar", "shld", "shrd", "mul", "imul",
        "div", "idiv", "bt", "bts", "btr", "btc", "bsf", "bsr", "popcnt", "bswap", "mov", "movzx", "movsx", "lea", "cbw", "cwde", "cwd",
        "cdq", "xlat", "push", "pop", "enter", "leave", "movs", "stos", "lods", "cmps", "scas", "nop", "pushf", "cld", "std", "pusha", "popa", "daa", "das",
        "aaa", "aas", "aam", "aad", "salc", "into", "bound", "arpl" };
    if (op->map >= X86_MAP_V1 || !(op->accept >> (X86K_MODE + 1) & 1))
        return false;
    for (unsigned n = 0; n < 2; n++)
        if (op->opnd[n].kind == X86O_SEG || op->opnd[n].kind == X86O_S || op->opnd[n].kind == X86O_C || op->opnd[n].kind == X86O_D || op->opnd[n].kind == X86O_O)
            return false;
    for (unsigned n = 0; n < ARRAY_LEN(names); n++)
        if (!strcmp(op->name, names[n]))
            return true;
    return !strncmp(op->name, "cmov", 4) || !strncmp(op->name, "set", 3);
}

/* Where QEMU 7.2 is no oracle: F6 and F7 /1 (TEST by another name) and the hint NOPs with a register are #UD there, BSWAP of 16 bits is undefined, MOVBE
 * and CRC32 take their operand size from the prefix as if code were 32-bit. */
static bool left_out(const X86Insn *in)
{
    return (!strcmp(in->op->name, "test") && (in->op->opcode & 0xfe) == 0xf6 && (in->reg & 7) == 1) || (!strcmp(in->op->name, "nop") && in->op->map) ||
           (!strcmp(in->op->name, "bswap") && in->opsize == 1);
}

static bool make_bytes(Gen *g, const X86Op *op, uint8_t *b, X86Insn *in)
{
    static const uint8_t pfx_byte[4] = { 0, 0x66, 0xf3, 0xf2 };
    bool string = op->map == 0 && ((op->opcode >= 0xa4 && op->opcode <= 0xa7) || (op->opcode >= 0xaa && op->opcode <= 0xaf));
    unsigned n = 0, pfx = rnd(g) & 3;
    if (!(op->accept >> (X86K_PFX + pfx) & 1) || (op->map == 0 && pfx >= 2 && !string))
        return false;
    if (rnd(g) % 4 == 0)
        b[n++] = 0x67;
    if (pfx)
        b[n++] = pfx_byte[pfx];
    if (op->attrs & X86A_LOCK && rnd(g) % 4 == 0)
        b[n++] = 0xf0;
    if (op->map)
        b[n++] = 0x0f;
    if (op->map >= X86_MAP_38)
        b[n++] = op->map == X86_MAP_38 ? 0x38 : 0x3a;
    b[n++] = op->opcode;
    uint8_t modrm = (uint8_t)rnd(g);
    for (unsigned r = 0; r < 8; r++)
        if ((op->accept & 0xff) == 1u << r)
            modrm = (uint8_t)((modrm & ~0x38) | r << 3);
    if (!(op->accept >> X86K_MOD & 1))
        modrm |= 0xc0;
    if (!(op->accept >> (X86K_MOD + 1) & 1) && modrm >= 0xc0)
        modrm &= 0x7f;
    b[n++] = modrm;
    while (n < 15)
        b[n++] = (uint8_t)rnd(g);
    return x86_decode(b, 15, MODE, in) == X86D_OK && in->op == op && in->seg_pfx == X86_NO_REG;
}

static void mov_imm(Gen *g, unsigned reg, uint32_t v)
{
    g->b[g->n++] = 0x66;
    g->b[g->n++] = (uint8_t)(0xb8 | reg);
    memcpy(g->b + g->n, &v, 4);
    g->n += 4;
}

static bool named(const X86Insn *in, const char *const *names)
{
    for (; *names; names++)
        if (!strcmp(in->op->name, *names))
            return true;
    return false;
}

/* Registers of memory operands; false: leave it out. */
static bool aim(Gen *g, const X86Insn *in)
{
    static const char *const stack[] = { "push", "pop", "enter", "leave", "pushf", "pusha", "popa", NULL };
    uint32_t where = 0x200 + (uint32_t)(rnd(g) % 0x600), junk = in->adsize == 1 ? (uint32_t)rnd(g) << 16 : 0;
    bool mem = false, string = false;
    for (unsigned n = 0; n < 4; n++) {
        mem |= x86_opnd_is_mem(in, n);
        string |= in->op->opnd[n].kind == X86O_X || in->op->opnd[n].kind == X86O_Y;
    }
    /* A 16-bit double shift by more than 15 is undefined. */
    if (in->op->opnd[2].kind && !strncmp(in->op->name, "sh", 2) && in->opsize == 1 && !(in->op->opnd[2].kind == X86O_I && (in->imm & 31) < 16))
        return false;
    if (!strcmp(in->op->name, "xlat")) {
        mov_imm(g, X86_RBX, where | junk);
        return true;
    }
    if (string) {
        mov_imm(g, X86_RSI, where | junk);
        mov_imm(g, X86_RDI, (0x200 + (uint32_t)(rnd(g) % 0x600)) | junk);
        mov_imm(g, X86_RCX, (uint32_t)(rnd(g) % 20) | junk);
        return true;
    }
    /* The frame must not end beyond the stack segment's limit: QEMU does not look there. x86_limits asks the host. */
    if (!strcmp(in->op->name, "enter") && (in->imm & 0xffff) > 0x1000)
        return false;
    if (named(in, stack)) {
        mov_imm(g, X86_RSP, 0x1800 + 2 * (uint32_t)(rnd(g) % 64));
        if (in->op->name[0] == 'l' || in->op->name[0] == 'e')
            mov_imm(g, X86_RBP, 0x1880);
    }
    if (!mem || !strcmp(in->op->name, "lea") || !strcmp(in->op->name, "nop"))
        return true;
    if (in->base == X86_NO_REG || in->base == X86_RSP || in->base == in->index)
        return false;
    uint32_t index = 0;
    if (in->index != X86_NO_REG) {
        index = (uint32_t)(rnd(g) % 64);
        mov_imm(g, in->index, index | junk);
    }
    uint32_t base = where - (uint32_t)in->disp - (index << in->scale);
    mov_imm(g, in->base, in->adsize == 1 ? (base & 0xffff) | junk : base);
    if (in->op->name[0] == 'b' && in->op->name[1] == 't' && in->op->opnd[1].kind == X86O_G) {
        if (in->reg == in->base || in->reg == in->index)
            return false;
        mov_imm(g, in->reg, (uint32_t)(rnd(g) % 2048) - 1024);
    }
    return true;
}

/* What the manual leaves open is masked; the stack pointer must stay one. */
static unsigned mask_of(const X86Insn *in)
{
    static const uint16_t bit[6] = { 1, 4, 0x10, 0x40, 0x80, 0x800 };
    unsigned m = 0xcd5;
    for (unsigned n = 0; n < 6; n++)
        if (in->op->undef >> n & 1)
            m &= ~(unsigned)bit[n];
    return m & ~0x300u;
}

static bool moves_sp(const X86Insn *in)
{
    static const char *const fine[] = { "push", "pop", "enter", "leave", "pushf", "pusha", "popa", NULL };
    if (named(in, fine))
        return in->op->name[0] == 'p' && in->op->name[1] == 'o' && in->op->name[2] == 'p' && in->op->name[3] == 0 && (in->rm == X86_RSP || (in->op->opcode & 7) == 4);
    for (unsigned n = 0; n < 3; n++) {
        unsigned k = in->op->opnd[n].kind;
        unsigned reg = k == X86O_G ? in->reg : k == X86O_Z ? in->op->opcode & 7 : k == X86O_R || (k == X86O_E && in->mod == 3) ? in->rm : 0;
        if (reg == X86_RSP)
            return true;
    }
    return false;
}

int main(int argc, char **argv)
{
    Gen g = { .rng = strtoull(argc > 1 ? argv[1] : "1", NULL, 0) * 0x9e3779b97f4a7c15ull | 1 };
    unsigned count = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 0) : 500, made = 0, mask[4096];
    const X86Op *ops[X86_N_OPS];
    unsigned n_ops = 0, at = 0, failed = 0;
    for (unsigned k = 0; k < X86_N_OPS; k++)
        if (wanted(&x86_ops[k]))
            ops[n_ops++] = &x86_ops[k];
    printf(".code16\n");
    for (unsigned tries = 0; made < MIN(count, 4096u) && tries < 100 * count; tries++) {
        X86Insn in;
        uint8_t b[16];
        char text[128];
        g.n = 0;
        if (!make_bytes(&g, ops[at % n_ops], b, &in) || moves_sp(&in) || left_out(&in) || !aim(&g, &in)) {
            at += ++failed % 60 == 0;          /* not in this mode: the next */
            continue;
        }
        at++;
        memcpy(g.b + g.n, b, in.len);
        x86_disas(b, in.len, MODE, 0, text, sizeof(text));
        g.n += in.len;
        printf("s%u: .byte ", made);
        for (unsigned k = 0; k < g.n; k++)
            printf("%s0x%02x", k ? "," : "", g.b[k]);
        printf("\nint $0x60 /* %s */\n", text);
        mask[made++] = mask_of(&in);
    }
    printf(".set n_sequences, %u\ntable:\n", made);
    for (unsigned k = 0; k < made; k++)
        printf(".word s%u - start16, 0x%x\n", k, mask[k]);
    return 0;
}
