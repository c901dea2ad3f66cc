/* Random x87 programs: loads and stores of every format, arithmetic, comparisons, transcendental functions, stack and environment
 * instructions, control words that unmask exceptions now and then, MMX among it. */
#include "tests/isa/x86_random_x87.h"

#include <string.h>

enum { CELLS = 0, SCRATCH = 0x800, IMAGES32 = 0x6000, IMAGES16 = 0x6200, FXIMAGES = 0x6400, WORDS = 0x6c00, OUT32 = 0x8000, OUT16 = 0x8400, OUTFX = 0x8800,
       OUT_END = 0x9800 };
enum { N_IMAGES = 4, N_OUT = 8, N_WORDS = 32 };

typedef struct Out { uint8_t *b; unsigned n; X87Rnd *rnd; bool code32; } Out;

/* Register forms by opcode and modrm, memory forms by opcode and modrm.reg. */
static struct { uint8_t reg[8][64], mem[8][8]; } seen;

static void put(Out *o, const void *p, unsigned n)
{
    memcpy(o->b + o->n, p, n);
    o->n += n;
}

static void byte(Out *o, unsigned v) { o->b[o->n++] = (uint8_t)v; }

static void operand(Out *o, unsigned reg, uint32_t disp)
{
    byte(o, 0x86 | reg << 3);  /* [rsi + disp32] */
    put(o, &disp, 4);
}

static uint32_t pick(Out *o, uint32_t base, unsigned n, unsigned step) { return base + step * (uint32_t)(o->rnd() % n); }

static void environment(Out *o, unsigned op, unsigned reg)
{
    bool w16 = o->rnd() & 1;
    if (w16)
        byte(o, 0x66);
    byte(o, 0xd8 + op);
    if (reg == 4)
        operand(o, reg, pick(o, w16 ? IMAGES16 : IMAGES32, N_IMAGES, 128));
    else
        operand(o, reg, pick(o, w16 ? OUT16 : OUT32, N_OUT, 128));
}

static void memory_form(Out *o, unsigned op, unsigned reg)
{
    static const uint8_t stores[8] = { [1] = 0xcc, [3] = 0x8e, [5] = 0xce, [7] = 0xce }, bad[8] = { [1] = 2, [3] = 0x50, [5] = 0x20 };
    seen.mem[op][reg] = 1;
    if ((op == 1 || op == 5) && (reg == 4 || reg == 6)) {
        environment(o, op, reg);
        return;
    }
    if (bad[op] >> reg & 1 && o->rnd() % 16)
        return;
    byte(o, 0xd8 + op);
    if (op == 1 && reg == 5)
        operand(o, reg, pick(o, WORDS, N_WORDS, 2));
    else if (stores[op] >> reg & 1)
        operand(o, reg, SCRATCH + (uint32_t)(o->rnd() % 0x7e0));
    else
        operand(o, reg, o->rnd() % 8 ? pick(o, CELLS, 128, 16) : CELLS + (uint32_t)(o->rnd() % 0xff0));
}

static void mmx(Out *o)
{
    static const uint8_t ops[] = { 0xfc, 0xfd, 0xef, 0xd5, 0x60, 0x6f, 0xeb, 0x74 };
    unsigned r = o->rnd() % 64;
    byte(o, 0x0f);
    switch (o->rnd() % 4) {
    case 0: byte(o, 0x77); break;                                                          /* emms */
    case 1: byte(o, 0x6f); operand(o, r & 7, pick(o, CELLS, 128, 16)); break;              /* movq mm, m */
    case 2: byte(o, 0x7f); operand(o, r & 7, SCRATCH + (uint32_t)(o->rnd() % 0x7e0)); break;
    default: byte(o, ops[o->rnd() % sizeof(ops)]); byte(o, 0xc0 | r); break;
    }
}

static void fx(Out *o)
{
    bool save = o->rnd() & 1;
    put(o, "\x0f\xae", 2);
    operand(o, !save, save ? pick(o, OUTFX, 4, 512) : pick(o, FXIMAGES, N_IMAGES, 512));
}

static void one(Out *o)
{
    static const uint8_t common[][2] = { { 0xd9, 0xe8 }, { 0xd9, 0xc9 }, { 0xd8, 0xc1 }, { 0xde, 0xc1 }, { 0xdc, 0xc9 }, { 0xd9, 0xfa }, { 0xdb, 0xf1 }, { 0xdf, 0xf2 },
                                         { 0xd9, 0xc0 }, { 0xdd, 0xd8 }, { 0xda, 0xc1 }, { 0xdf, 0xe0 }, { 0xd9, 0xf7 }, { 0xd9, 0xf6 }, { 0xdd, 0xc1 } };
    unsigned what = o->rnd() % 32;
    if (what < 13) {
        unsigned op = o->rnd() & 7, m = o->rnd() & 63;
        bool wipes = (op == 3 && (m & 0x38) == 0x20) || (op == 1 && m >= 0x10 && m < 0x30 && o->rnd() % 4) || (op == 2 && m >= 0x20 && m != 0x29);
        if (wipes && o->rnd() % 4)
            return;
        seen.reg[op][m] = 1;
        byte(o, 0xd8 + op);
        byte(o, 0xc0 | m);
    } else if (what < 20) {
        unsigned op = o->rnd() & 7, reg = o->rnd() & 7;
        bool whole = (op == 1 || op == 5) && (reg == 4 || reg == 6);
        if (!whole || o->rnd() % 3 == 0)
            memory_form(o, op, reg);
    } else if (what < 24) {                    /* keep something on the stack */
        static const uint8_t load[][2] = { { 1, 0 }, { 5, 0 }, { 3, 5 }, { 3, 0 }, { 7, 5 } };
        const uint8_t *l = load[o->rnd() % 5];
        memory_form(o, l[0], l[1]);
    } else if (what < 29) {
        put(o, common[o->rnd() % (sizeof(common) / 2)], 2);
    } else if (what == 29) {
        static const char ints[][3] = { "\x01\xc8", "\x39\xd1", "\x85\xc0", "\x9b\x9e" };  /* add eax,ecx; cmp ecx,edx; test eax,eax; fwait, sahf */
        put(o, ints[o->rnd() & 3], 2);
    } else if (what == 30) {
        mmx(o);
    } else if (o->rnd() % 3 == 0) {
        fx(o);
    }
}

unsigned x87_make(uint8_t *b, X87Rnd *rnd, uint64_t data, bool code32)
{
    Out o = { .b = b, .rnd = rnd, .code32 = code32 };
    if (!code32)
        byte(&o, 0x48);
    byte(&o, 0xbe);
    put(&o, &data, code32 ? 4 : 8);
    byte(&o, 0xdd);            /* FRSTOR: even empty registers have a content that shows */
    operand(&o, 4, pick(&o, IMAGES32, N_IMAGES, 128));
    if (rnd() % 4)
        put(&o, "\xdb\xe3", 2);
    for (unsigned k = 1 + rnd() % 40; k > 0; k--)
        one(&o);
    byte(&o, 0xdd);            /* what is left */
    operand(&o, 6, OUT_END);
    return o.n;
}

static uint16_t control_word(X87Rnd *rnd) { return (uint16_t)(0x7f | (rnd() & 0x1f00) | (rnd() % 8 ? 0 : rnd() & 0xe0c0)) & (uint16_t)~(rnd() % 6 ? 0 : 1u << rnd() % 6); }

/* An operand of every format begins at each cell. */
static void cell(uint8_t *p, X87Rnd *rnd)
{
    static const uint16_t exps[] = { 0, 0, 1, 0x3ffe, 0x3fff, 0x4000, 0x403d, 0x403e, 0x403f, 0x7ffe, 0x7fff, 0x7fff, 0x3c01, 0x3c00, 0x43ff, 0x3f81, 0x407f };
    static const double d[] = { 0, 1, -1, 1.5, 3.25e38, 1e-310, 1e300, -2147483648.5, 32767.5, 9.3e18, 0.1 };
    static const float f[] = { 0, 1, -2.5f, 1e38f, 1e-40f, 3e9f, 0.75f };
    uint64_t v = rnd();
    uint16_t e = (uint16_t)((rnd() & 0x8000) | (rnd() & 1 ? exps[rnd() % 17] : 0x3fff + rnd() % 128 - 64));
    memcpy(p + 10, &v, 6);
    switch (rnd() % 8) {
    case 0: memcpy(&v, &d[rnd() % 11], 8); break;
    case 1: memcpy(&v, &f[rnd() % 7], 4); break;
    case 2: v = rnd() % 3; break;
    case 3: v = 1ull << 63; break;
    case 4: v |= 3ull << 62; break;
    case 5: for (unsigned k = 0; k < 8; k++) p[k] = (uint8_t)((rnd() % 10) << 4 | rnd() % 10); memcpy(&v, p, 8); e = (uint16_t)((rnd() & 0x8000) | (rnd() % 10) << 4 | rnd() % 10); break;
    default: v |= 1ull << 63; break;
    }
    memcpy(p, &v, 8);
    memcpy(p + 8, &e, 2);
}

static void image(uint8_t *p, X87Rnd *rnd, unsigned w)
{
    uint16_t cw = control_word(rnd), sw = (uint16_t)(rnd() & (rnd() % 3 ? 0x7f00 : 0xffff)), tw = (uint16_t)rnd();
    for (unsigned k = 0; k < 7 * w; k++)
        p[k] = (uint8_t)rnd();
    memcpy(p, &cw, 2);
    memcpy(p + w, &sw, 2);
    memcpy(p + 2 * w, &tw, 2);
    for (unsigned k = 0; k < 8; k++) {
        uint8_t c[16];
        cell(c, rnd);
        memcpy(p + 7 * w + 10 * k, c, 10);
    }
}

static void fx_image(uint8_t *p, X87Rnd *rnd)
{
    uint16_t cw = control_word(rnd), sw = (uint16_t)(rnd() & 0x7f00);
    uint32_t mxcsr = 0x1f80, ip = (uint32_t)rnd(), dp = (uint32_t)rnd();
    memset(p, 0, 512);
    memcpy(p, &cw, 2);
    memcpy(p + 2, &sw, 2);
    p[4] = (uint8_t)rnd();
    p[6] = (uint8_t)rnd();
    memcpy(p + 8, &ip, 4);
    memcpy(p + 16, &dp, 4);
    memcpy(p + 24, &mxcsr, 4);
    for (unsigned k = 0; k < 8; k++) {
        cell(p + 32 + 16 * k, rnd);
        memset(p + 42 + 16 * k, 0, 6);
    }
}

void x87_inputs(uint8_t *data, X87Rnd *rnd)
{
    memset(data + IMAGES32, 0, 0x10000 - IMAGES32);
    for (unsigned k = 0; k < 128; k++)
        cell(data + CELLS + 16 * k, rnd);
    for (unsigned k = 0; k < N_IMAGES; k++) {
        image(data + IMAGES32 + 128 * k, rnd, 4);
        image(data + IMAGES16 + 128 * k, rnd, 2);
        fx_image(data + FXIMAGES + 512 * k, rnd);
    }
    for (unsigned k = 0; k < N_WORDS; k++) {
        uint16_t w = control_word(rnd);
        memcpy(data + WORDS + 2 * k, &w, 2);
    }
}

void x87_normalise(uint8_t *data)
{
    for (unsigned k = 0; k < N_OUT; k++) {
        memset(data + OUT32 + 128 * k + 16, 0, 2);
        memset(data + OUT32 + 128 * k + 24, 0, 2);
        memset(data + OUT16 + 128 * k + 8, 0, 2);
        memset(data + OUT16 + 128 * k + 12, 0, 2);
    }
    memset(data + OUT_END + 16, 0, 2);
    memset(data + OUT_END + 24, 0, 2);
    for (unsigned k = 0; k < 4; k++) {
        uint8_t *p = data + OUTFX + 512 * k;
        memset(p + 6, 0, 26);
        memset(p + 160, 0, 352);
    }
}

const char *x87_differs(const uint8_t *fxsave, const X86State *s)
{
    uint16_t cw, sw;
    memcpy(&cw, fxsave, 2);
    memcpy(&sw, fxsave + 2, 2);
    if (cw != s->fcw)
        return "control word";
    if (sw != s->fsw)
        return "status word";
    if (fxsave[4] != s->ftw)
        return "tag word";
    for (unsigned k = 0; k < 8; k++) {
        const X86Fpr *f = &s->fpr[((s->fsw >> 11 & 7) + k) & 7];
        if (memcmp(&f->mant, fxsave + 32 + 16 * k, 8) || memcmp(&f->exp, fxsave + 40 + 16 * k, 2))
            return "x87 register";
    }
    return NULL;
}

unsigned x87_covered(unsigned *ret_of)
{
    unsigned n = 0;
    const uint8_t *p = (const uint8_t *)&seen;
    for (unsigned k = 0; k < sizeof(seen); k++)
        n += p[k];
    *ret_of = sizeof(seen);
    return n;
}
