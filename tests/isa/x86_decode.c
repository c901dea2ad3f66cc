/*
 * The decoder alone: every line of opcodes.def decodes to itself, and random bytes decode as Zydis decodes them (length and
 * mnemonic) in 16-, 32- and 64-bit code. Lines that are not written yet are no difference: only what both know is compared,
 * and integer instructions that Zydis knows and we refuse.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef HAVE_ZYDIS
#include <Zydis/Zydis.h>
#endif

#include "tcg/guest/x86/translate.h"
#include "tests/isa/random.h"

static uint64_t rnd(uint64_t *s)
{
    return rnd_next(s);
}

static unsigned pick(uint32_t bits, uint64_t *s)
{
    unsigned n;
    if (!bits)
        return 0;
    do
        n = rnd(s) & 31;
    while (!(bits >> n & 1));
    return n;
}

/* Some encoding that satisfies the entry's conditions, in 64-bit code if it is allowed there. */
static unsigned encode(const X86Op *op, uint8_t *b, uint64_t mode, uint64_t *s)
{
    static const uint8_t pfx_byte[4] = { 0, 0x66, 0xf3, 0xf2 };
    unsigned n = 0, pfx = pick(op->accept >> X86K_PFX & 15, s), osz = pick(op->accept >> X86K_OSZ & 7, s), w = pick(op->accept >> X86K_W & 3, s), l = pick(op->accept >> X86K_L & 3, s);
    if (osz == 2)
        w = 1;
    if (op->map >= X86_MAP_V1) {
        b[n++] = 0xc4;
        b[n++] = 0xe0 | (op->map - X86_MAP_V1 + 1);
        b[n++] = (uint8_t)(w << 7 | (op->accept >> 31 ? rnd(s) & 0x78 : 0x78) | l << 2 | pfx);
    } else {
        bool want16 = osz == 0 && (op->accept >> X86K_OSZ & 7) != 7, is16 = X86M_CODE(mode) == X86M_CODE16;
        if ((op->accept >> X86K_OSZ & 7) != 7 && osz < 2 && want16 != is16 && pfx != 1)
            b[n++] = 0x66;
        if (pfx)
            b[n++] = pfx_byte[pfx];
        if (w && X86M_CODE(mode) == X86M_CODE64)
            b[n++] = 0x48;
        if (op->map)
            b[n++] = 0x0f;
        if (op->map >= X86_MAP_38)
            b[n++] = op->map == X86_MAP_38 ? 0x38 : 0x3a;
    }
    b[n++] = op->opcode;
    unsigned mod3 = pick(op->accept >> X86K_MOD & 3, s), reg = pick(op->accept & 0xff, s), rm = pick(op->accept >> 8 & 0xff, s);
    b[n++] = (uint8_t)((mod3 ? 0xc0 : 0x40) | reg << 3 | rm);
    while (n < 15)
        b[n++] = (uint8_t)rnd(s);
    return n;
}

static unsigned self_test(uint64_t *s)
{
    static const uint64_t modes[3] = { X86M_CODE64 | X86M_PE, X86M_CODE32 | X86M_PE, X86M_CODE16 | X86M_PE };
    unsigned bad = 0;
    for (unsigned k = 0; k < X86_N_OPS; k++) {
        const X86Op *op = &x86_ops[k];
        bool found = false;
        for (unsigned tries = 0; tries < 3000 && !found; tries++) {
            uint8_t b[16];
            X86Insn in;
            uint64_t mode = modes[rnd(s) % 3];
            encode(op, b, mode, s);
            found = x86_decode(b, 15, mode, &in) == X86D_OK && in.op == op;
        }
        if (!found) {
            printf("opcodes.def:%u %s: no encoding decodes to it\n", op->line, op->name);
            bad++;
        }
    }
    return bad;
}

#ifdef HAVE_ZYDIS
/* Zydis names with operand sizes in the mnemonic, and other differences of spelling. */
static bool same_name(const char *ours, const char *theirs)
{
    static const char *const pairs[][2] = { { "movs", "movsb" }, { "movs", "movsw" }, { "movs", "movsd" }, { "movs", "movsq" }, { "stos", "stosb" }, { "stos", "stosw" },
        { "stos", "stosd" }, { "stos", "stosq" }, { "lods", "lodsb" }, { "lods", "lodsw" }, { "lods", "lodsd" }, { "lods", "lodsq" }, { "scas", "scasb" },
        { "scas", "scasw" }, { "scas", "scasd" }, { "scas", "scasq" }, { "cmps", "cmpsb" }, { "cmps", "cmpsw" }, { "cmps", "cmpsd" }, { "cmps", "cmpsq" },
        { "ins", "insb" }, { "ins", "insw" }, { "ins", "insd" }, { "outs", "outsb" }, { "outs", "outsw" }, { "outs", "outsd" }, { "pusha", "pushad" },
        { "popa", "popad" }, { "pushf", "pushfd" }, { "pushf", "pushfq" }, { "popf", "popfd" }, { "popf", "popfq" }, { "iret", "iretd" }, { "iret", "iretq" },
        { "callf", "call" }, { "jmpf", "jmp" }, { "retf", "ret" }, { "jrcxz", "jcxz" }, { "jrcxz", "jecxz" }, { "sal", "shl" }, { "jb", "jb" }, { "jae", "jnb" },
        { "je", "jz" }, { "jne", "jnz" }, { "ja", "jnbe" }, { "jge", "jnl" }, { "jg", "jnle" }, { "setae", "setnb" }, { "sete", "setz" }, { "setne", "setnz" },
        { "seta", "setnbe" }, { "setge", "setnl" }, { "setg", "setnle" }, { "cmovae", "cmovnb" }, { "cmove", "cmovz" }, { "cmovne", "cmovnz" }, { "cmova", "cmovnbe" },
        { "cmovge", "cmovnl" }, { "cmovg", "cmovnle" }, { "salc", "salc" }, { "prefetch", "prefetchnta" }, { "prefetch", "prefetcht0" }, { "prefetch", "prefetcht1" },
        { "prefetch", "prefetcht2" }, { "sysret", "sysretd" }, { "xchg", "nop" }, { "wbinvd", "invd" }, { "fneni", "feni8087_nop" }, { "fndisi", "fdisi8087_nop" }, { "fnsetpm", "fsetpm287_nop" },
        { "fxsave", "fxsave64" }, { "fxrstor", "fxrstor64" }, { "xsave", "xsave64" }, { "xrstor", "xrstor64" }, { "xsaveopt", "xsaveopt64" }, { "xsavec", "xsavec64" },
        { "xsaves", "xsaves64" }, { "xrstors", "xrstors64" }, { "movd", "movq" }, { "vmovd", "vmovq" } };
    if (!strcmp(ours, theirs) || !strncmp(ours, "x87_", 4) || !strcmp(ours, "nop") || !strcmp(ours, "prefetch") || !strcmp(ours, "prefetchw"))
        return true;
    for (unsigned n = 0; n < sizeof(pairs) / sizeof(pairs[0]); n++)
        if (!strcmp(ours, pairs[n][0]) && !strcmp(theirs, pairs[n][1]))
            return true;
    return false;
}

static bool integer_isa(const ZydisDecodedInstruction *z)
{
    switch (z->meta.isa_set) {
    case ZYDIS_ISA_SET_I86: case ZYDIS_ISA_SET_I186: case ZYDIS_ISA_SET_I286REAL: case ZYDIS_ISA_SET_I286PROTECTED: case ZYDIS_ISA_SET_I386:
    case ZYDIS_ISA_SET_I486: case ZYDIS_ISA_SET_I486REAL: case ZYDIS_ISA_SET_PENTIUMREAL: case ZYDIS_ISA_SET_LONGMODE: case ZYDIS_ISA_SET_BMI1:
    case ZYDIS_ISA_SET_BMI2: case ZYDIS_ISA_SET_ADOX_ADCX: case ZYDIS_ISA_SET_CMOV: case ZYDIS_ISA_SET_LZCNT: case ZYDIS_ISA_SET_MOVBE:
    case ZYDIS_ISA_SET_POPCNT: case ZYDIS_ISA_SET_RDRAND: case ZYDIS_ISA_SET_RDSEED: case ZYDIS_ISA_SET_SMAP: case ZYDIS_ISA_SET_RDWRFSGS:
        return true;
    default:
        return false;
    }
}

/* The emitter, not the decoder, refuses segment, control and debug registers that do not exist; hint NOPs with prefixes are MPX to Zydis. */
static bool refused_later(const X86Insn *in)
{
    for (unsigned n = 0; n < 2; n++)
        if (in->op->opnd[n].kind == X86O_S || in->op->opnd[n].kind == X86O_C || in->op->opnd[n].kind == X86O_D)
            return true;
    /* x87 has one line an opcode, its emitter looks at the rest. */
    return !strcmp(in->op->name, "nop") || !strncmp(in->op->name, "x87_", 4);
}

typedef struct Tally { unsigned n, both, length, name, ours_only, theirs_only; } Tally;

static void say(const char *what, const uint8_t *b, unsigned mode, const char *ours, const char *theirs, unsigned len, unsigned zlen, unsigned *count)
{
    if ((*count)++ >= 12)
        return;
    printf("%s (code width %u):", what, 16u << mode);
    for (unsigned n = 0; n < 15; n++)
        printf(" %02x", b[n]);
    printf("  ours %s/%u zydis %s/%u\n", ours, len, theirs, zlen);
}

static void compare(const ZydisDecoder *dec, unsigned mode, const uint8_t *b, Tally *t)
{
    ZydisDecodedInstruction z;
    X86Insn in;
    ZyanStatus st = ZydisDecoderDecodeInstruction(dec, NULL, b, 15, &z);
    X86DecodeResult r = x86_decode(b, 15, mode | X86M_PE, &in);
    bool theirs = ZYAN_SUCCESS(st), ours = r == X86D_OK;
    const char *zname = theirs ? ZydisMnemonicGetString(z.mnemonic) : "-", *name = ours ? in.op->name : "-";
    t->n++;
    if (ours && theirs) {
        t->both++;
        if (in.len != z.length)
            say("length", b, mode, name, zname, in.len, z.length, &t->length);
        else if (!same_name(name, zname))
            say("mnemonic", b, mode, name, zname, in.len, z.length, &t->name);
    } else if (ours && !refused_later(&in)) {
        say("ours only", b, mode, name, zname, in.len, 0, &t->ours_only);
    } else if (theirs && integer_isa(&z)) {
        say("zydis only", b, mode, name, zname, 0, z.length, &t->theirs_only);
    }
}

static unsigned against_zydis(uint64_t *s, unsigned rounds)
{
    static const ZydisMachineMode mm[3] = { ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_MACHINE_MODE_LONG_64 };
    static const ZydisStackWidth sw[3] = { ZYDIS_STACK_WIDTH_16, ZYDIS_STACK_WIDTH_32, ZYDIS_STACK_WIDTH_64 };
    unsigned bad = 0;
    for (unsigned mode = 0; mode < 3; mode++) {
        ZydisDecoder dec;
        Tally t = { 0 };
        ZydisDecoderInit(&dec, mm[mode], sw[mode]);
        for (unsigned k = 0; k < rounds; k++) {
            static const uint8_t lead[] = { 0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x48, 0x41, 0x2e, 0x64, 0x0f, 0xc4, 0xc5 };
            uint8_t b[16];
            for (unsigned n = 0; n < 15; n++)
                b[n] = (uint8_t)rnd(s);
            for (unsigned n = 0; n < 4 && rnd(s) & 1; n++)
                b[n] = lead[rnd(s) % sizeof(lead)];
            compare(&dec, mode, b, &t);
        }
        printf("code %u: %u tried, %u both, differences: length %u mnemonic %u ours only %u zydis only %u\n", 16u << mode, t.n, t.both, t.length, t.name, t.ours_only, t.theirs_only);
        bad += t.length + t.name + t.ours_only + t.theirs_only;
    }
    return bad;
}
#endif

int main(int argc, char **argv)
{
    uint64_t s = argc > 1 ? strtoull(argv[1], NULL, 0) * 2 + 1 : 88172645463325252ull;
    unsigned bad = self_test(&s);
#ifdef HAVE_ZYDIS
    bad += against_zydis(&s, argc > 2 ? (unsigned)atoi(argv[2]) : 400000);
#endif
    printf("%u entries, %u failures\n", (unsigned)X86_N_OPS, bad);
    return bad != 0;
}
