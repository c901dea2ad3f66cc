/*
 * x87 on the host's x87. While s->x87_live the guest's registers are the host's and translated code works on them (IR_NATIVE); load and settle move
 * them. Where the guest unmasks exceptions, and for the reference back end, an instruction is executed here: the whole state is loaded (FRSTOR), the
 * very instruction run out of a table of all of them, and the state taken back (FNSAVE, which does not wait, so that an unmasked exception stays
 * pending in the state and never reaches the host). Control instructions are done here. SDM 1 chapter 8.
 */
#include "tcg/guest/x86/sys.h"

/* Every register form {op, modrm, ret} and every memory form on [rdi]. */
void x87_reg_forms(void);
void x87_mem_forms(void);
__asm__(".text\n.balign 16\nx87_reg_forms:\n"
        ".set i, 0xd8\n.rept 8\n.set j, 0xc0\n.rept 64\n.byte i, j, 0xc3, 0x90\n.set j, j + 1\n.endr\n.set i, i + 1\n.endr\n"
        "x87_mem_forms:\n"
        ".set i, 0xd8\n.rept 8\n.set j, 0x07\n.rept 8\n.byte i, j, 0xc3, 0x90\n.set j, j + 8\n.endr\n.set i, i + 1\n.endr\n");

/* FSAVE image, 32-bit protected format (SDM 1 figure 8-9). */
typedef struct Image { uint32_t cw, sw, tw, fip, fcs_op, fdp, fds; uint8_t st[8][10]; } __attribute__((packed)) Image;

static unsigned top_of(const X86State *s) { return s->fsw >> 11 & 7; }

static void update_es(X86State *s)
{
    if (s->fsw & ~s->fcw & 0x3f)
        s->fsw |= 0x8080;
    else
        s->fsw &= (uint16_t)~0x8080;
}

static void check_pending(X86State *s)
{
    if (s->fsw & 0x80 && s->cr0 & X86_CR0_NE)
        x86_raise(s, X86_MF);
}

/* Two tag bits a register; the host computes zero and special ones itself. */
static uint16_t full_tags(const X86State *s)
{
    uint16_t tw = 0;
    for (unsigned r = 0; r < 8; r++) {
        const X86Fpr *f = &s->fpr[r];
        unsigned exp = f->exp & 0x7fff, tag = 0;
        if (!(s->ftw >> r & 1))
            tag = 3;
        else if (!exp && !f->mant)
            tag = 1;
        else if (exp == 0 || exp == 0x7fff || !(f->mant >> 63))
            tag = 2;
        tw |= (uint16_t)(tag << (2 * r));
    }
    return tw;
}

static void regs_to(const X86State *s, uint8_t (*st)[10])
{
    for (unsigned n = 0; n < 8; n++) {
        const X86Fpr *f = &s->fpr[(top_of(s) + n) & 7];
        __builtin_memcpy(st[n], &f->mant, 8);
        __builtin_memcpy(st[n] + 8, &f->exp, 2);
    }
}

static void regs_from(X86State *s, const uint8_t (*st)[10], uint16_t tw)
{
    s->ftw = 0;
    for (unsigned r = 0; r < 8; r++)
        s->ftw |= (uint8_t)(((tw >> (2 * r) & 3) != 3) << r);
    for (unsigned n = 0; n < 8; n++) {
        X86Fpr *f = &s->fpr[(top_of(s) + n) & 7];
        __builtin_memcpy(&f->mant, st[n], 8);
        __builtin_memcpy(&f->exp, st[n] + 8, 2);
    }
}

/* ---- between struct and host ---- */
static void image_of(const X86State *s, Image *im)
{
    *im = (Image){ .cw = s->fcw, .sw = s->fsw & ~0x8080u, .tw = full_tags(s) };
    regs_to(s, im->st);
}

void x86_x87_load(TcgCpu *cpu)
{
    X86State *s = tcg_cpu_state(cpu);
    Image im;
    image_of(s, &im);
    __asm__ volatile("frstor %0" : : "m"(im) : "memory");
    s->x87_live = 1;
}

static void fold_pointers(X86State *s)
{
    if (!s->x87_last)
        return;
    s->fip = s->x87_base + (s->x87_last & 0xffff);
    if (!x86_code64(s))
        s->fip = (uint32_t)s->fip;
    s->fop = s->x87_last >> 16 & 0x7ff;
    if (s->x87_dseg)
        s->fds = s->seg[s->x87_dseg - 1].sel;
    s->x87_last = s->x87_dseg = 0;
}

void x86_x87_settle(X86State *s)
{
    if (s->x87_live) {
        Image im;
        __asm__ volatile("fnsave %0" : "=m"(im) : : "memory");
        s->x87_live = 0;
        s->fsw = (uint16_t)im.sw;
        regs_from(s, (const uint8_t(*)[10])im.st, (uint16_t)im.tw);
    }
    fold_pointers(s);
}

bool x86_x87_settle_cpu(TcgCpu *cpu)
{
    X86State *s = tcg_cpu_state(cpu);
    bool live = s->x87_live;
    x86_x87_settle(s);
    return live;
}

/* The kernel gave the signal handler an x87 of its own and put the guest's into an FXSAVE image (SDM 1 table 10-2). */
void x86_x87_signal(TcgCpu *cpu, const void *fxsave)
{
    X86State *s = tcg_cpu_state(cpu);
    const uint8_t *p = fxsave;
    if (s->x87_live) {
        s->x87_live = 0;
        __builtin_memcpy(&s->fsw, p + 2, 2);
        s->ftw = p[4];
        for (unsigned n = 0; n < 8; n++) {
            X86Fpr *f = &s->fpr[(top_of(s) + n) & 7];
            __builtin_memcpy(&f->mant, p + 32 + 16 * n, 8);
            __builtin_memcpy(&f->exp, p + 40 + 16 * n, 2);
        }
    }
    fold_pointers(s);
}

uint64_t x86_h_x87_settle(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    x86_x87_settle(state);
    return 0;
}

/* The one instruction at @fn with rdi = @mem, EFLAGS in and out. */
static uint64_t execute(Image *im, void (*fn)(void), void *mem, uint64_t flags)
{
    __asm__ volatile("frstor %[im]\n\tpush %[fl]\n\tpopfq\n\tcall *%[fn]\n\tpushfq\n\tpop %[fl]\n\tfnsave %[im]"
                     : [im] "+m"(*im), [fl] "+r"(flags)
                     : [fn] "r"(fn), "D"(mem)
                     : "memory", "cc");
    return flags;
}

static void run(X86State *s, unsigned op, unsigned modrm, uint8_t *mem)
{
    /* an exception that is pending already stays out of the host, where it would trap */
    uint16_t pending = s->fsw & ~s->fcw & 0x3f;
    Image im;
    image_of(s, &im);
    im.sw &= ~(uint32_t)pending;
    uintptr_t fn = modrm >= 0xc0 ? (uintptr_t)x87_reg_forms + 4 * (op * 64 + modrm - 0xc0) : (uintptr_t)x87_mem_forms + 4 * (op * 8 + (modrm >> 3 & 7));
    uint64_t fl = execute(&im, (void (*)(void))fn, mem, (x86_rflags(s) & X86_ARITH) | 0x202);
    s->fsw = (uint16_t)im.sw | pending;
    regs_from(s, (const uint8_t(*)[10])im.st, (uint16_t)im.tw);
    update_es(s);
    bool fcomi = modrm >= 0xe8 && modrm <= 0xf7 && (op == 3 || op == 7);
    if (fcomi)
        x86_set_rflags(s, (s->rflags_rest & ~(uint64_t)X86_ARITH) | (fl & X86_ARITH));
}

static void put(uint8_t *p, uint64_t v, unsigned n) { __builtin_memcpy(p, &v, n == 2 ? 2 : 4); }
static uint32_t take(const uint8_t *p, unsigned n)
{
    uint32_t v = 0;
    if (n == 2)
        __builtin_memcpy(&v, p, 2);
    else
        __builtin_memcpy(&v, p, 4);
    return v;
}

/* The environment in the four formats: 16/32 bits, protected or real/virtual-8086 (SDM 1 figures 8-9 to 8-12). */
static unsigned env_to(const X86State *s, uint8_t *p, unsigned w)
{
    bool real = !(s->cr0 & X86_CR0_PE) || s->rflags_rest & X86_VM;
    __builtin_memset(p, w == 4 ? 0xff : 0, 7 * w);
    uint32_t hi = w == 4 ? 0xffff0000u : 0;
    put(p, s->fcw | hi, w);
    put(p + w, s->fsw | hi, w);
    put(p + 2 * w, full_tags(s) | hi, w);
    if (real) {
        uint32_t ip = (uint32_t)s->fip + 16u * s->fcs, dp = (uint32_t)s->fdp + 16u * s->fds;
        put(p + 3 * w, w == 2 ? ip : (ip & 0xffff) | hi, w);
        put(p + 4 * w, w == 2 ? (ip >> 4 & 0xf000) | (s->fop & 0x7ff) : (ip >> 16) << 12 | (s->fop & 0x7ff), w);
        put(p + 5 * w, w == 2 ? dp : (dp & 0xffff) | hi, w);
        put(p + 6 * w, w == 2 ? dp >> 4 & 0xf000 : (dp >> 16) << 12, w);
    } else {
        put(p + 3 * w, s->fip, w);
        put(p + 4 * w, w == 2 ? s->fcs : s->fcs | (uint32_t)(s->fop & 0x7ff) << 16, w);
        put(p + 5 * w, s->fdp, w);
        put(p + 6 * w, s->fds | hi, w);
    }
    return 7 * w;
}

static unsigned env_from(X86State *s, const uint8_t *p, unsigned w)
{
    bool real = !(s->cr0 & X86_CR0_PE) || s->rflags_rest & X86_VM;
    uint16_t tw = (uint16_t)take(p + 2 * w, w);
    s->fcw = (uint16_t)((take(p, w) & 0x1f7f) | 0x40);
    s->fsw = (uint16_t)take(p + w, w);
    s->ftw = 0;
    for (unsigned r = 0; r < 8; r++)
        s->ftw |= (uint8_t)(((tw >> (2 * r) & 3) != 3) << r);
    s->fip = take(p + 3 * w, w);
    s->fdp = take(p + 5 * w, w);
    if (real) {
        uint32_t x = take(p + 4 * w, w), y = take(p + 6 * w, w);
        s->fop = x & 0x7ff;
        s->fip = (s->fip & 0xffff) | (uint64_t)(x >> 12) << 16;
        s->fdp = (s->fdp & 0xffff) | (uint64_t)(y >> 12) << 16;
        s->fcs = s->fds = 0;
    } else {
        s->fcs = (uint16_t)take(p + 4 * w, w);
        s->fop = w == 4 ? take(p + 4 * w, w) >> 16 & 0x7ff : 0;
        s->fds = (uint16_t)take(p + 6 * w, w);
    }
    update_es(s);
    return 7 * w;
}

static void init_fpu(X86State *s)
{
    s->fcw = 0x37f;
    s->fsw = 0;
    s->ftw = 0;
    s->fip = s->fdp = 0;
    s->fcs = s->fds = s->fop = 0;
}

/* FLDENV FNSTENV FRSTOR FNSAVE; the control words are fpctl.c's. */
static bool control_mem(X86State *s, unsigned op, unsigned reg, uint64_t va, unsigned w)
{
    TcgCpu *cpu = x86_cpu(s);
    unsigned regime = x86_regime_now(s), n;
    uint8_t buf[108];
    if (op == 1 && reg == 4) {
        tcg_load_bytes(cpu, va, buf, 7 * w, regime);
        env_from(s, buf, w);
    } else if (op == 1 && reg == 6) {
        n = env_to(s, buf, w);
        tcg_store_bytes(cpu, va, buf, n, regime);
        s->fcw |= 0x3f;
        update_es(s);
    } else if (op == 5 && reg == 4) {
        tcg_load_bytes(cpu, va, buf, 7 * w + 80, regime);
        n = env_from(s, buf, w);
        regs_from(s, (const uint8_t(*)[10])(buf + n), (uint16_t)take(buf + 2 * w, w));
    } else if (op == 5 && reg == 6) {
        n = env_to(s, buf, w);
        regs_to(s, (uint8_t(*)[10])(buf + n));
        tcg_store_bytes(cpu, va, buf, n + 80, regime);
        init_fpu(s);
    } else {
        return false;
    }
    return true;
}

uint64_t x86_h_fninit(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    x86_x87_settle(state);
    init_fpu(state);
    return 0;
}

/* Unmasking a flag that is set, or masking the last one, changes ES (SDM 1 8.1.3.3). */
uint64_t x86_h_fldcw(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;
    x86_x87_settle(s);
    s->fcw = (uint16_t)((a & 0x1f7f) | 0x40);
    update_es(s);
    return 0;
}

typedef struct Stack { X86Fpr fpr[8]; uint16_t fsw; uint8_t ftw; } Stack;

static Stack stack_of(const X86State *s)
{
    Stack k = { .fsw = s->fsw, .ftw = s->ftw };
    __builtin_memcpy(k.fpr, s->fpr, sizeof(k.fpr));
    return k;
}

static void stack_put(X86State *s, const Stack *k)
{
    s->fsw = k->fsw;
    s->ftw = k->ftw;
    __builtin_memcpy(s->fpr, k->fpr, sizeof(s->fpr));
}

/* Control instructions that are IR_NATIVE too. FLDCW: the slot is written already. */
static bool control_reg(X86State *s, unsigned op, unsigned modrm)
{
    if (op == 3 && modrm == 0xe2)
        s->fsw &= 0x7f00;
    return (op == 3 && modrm == 0xe2) || (op == 7 && modrm == 0xe0) || (op == 1 && modrm < 0xc0 && (modrm >> 3 & 7) == 5);
}

/*
 * a: opcode << 8 | modrm | log2 of the operand size << 16, b: linear address, d: bytes of the memory operand, 0 for none and for environments.
 * Returns what IR_NATIVE would: packed flags of FCOMI and its kin, FNSTSW's status word.
 */
uint64_t x86_h_x87(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;
    TcgCpu *cpu = x86_cpu(s);
    unsigned op = (unsigned)a >> 8 & 7, modrm = (unsigned)a & 255, reg = modrm >> 3 & 7, regime = x86_regime_now(s);
    bool mem = modrm < 0xc0;
    uint8_t buf[16];

    x86_x87_settle(s);
    if (control_reg(s, op, modrm))
        return s->fsw;
    bool waits = !mem || reg != 6 || (op != 1 && op != 5);      /* FNSTENV and FNSAVE do not */
    if (waits)
        check_pending(s);
    if (mem && control_mem(s, op, reg, b, (a >> 16 & 3) == 1 ? 2 : 4))
        return 0;
    if (!mem || !x86_x87_stores(op, reg)) {
        if (mem)
            tcg_load_bytes(cpu, b, buf, (unsigned)d, regime);
        run(s, op, modrm, buf);
        return s->cc;
    }
    /* where an unmasked exception keeps the store from happening, the old bytes go back */
    tcg_probe(cpu, b, (unsigned)d, TCG_WRITE, regime);
    tcg_load_bytes(cpu, b, buf, (unsigned)d, regime);
    Stack before = stack_of(s);
    run(s, op, modrm, buf);
    Stack after = stack_of(s);
    stack_put(s, &before);     /* a store into the running code starts the instruction again */
    tcg_store_bytes(cpu, b, buf, (unsigned)d, regime);
    stack_put(s, &after);
    return s->cc;
}
