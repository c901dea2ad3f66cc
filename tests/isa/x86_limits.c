/*
 * x86_limits [SEED [COUNT]]: accesses near the limits of segments in 32-bit and 16-bit code. The oracle is the host itself: descriptors come from
 * modify_ldt(2), a signal's return enters the code, and the signal that ends it tells vector, error code and registers. The same is then asked of interp and
 * the translator. 77 where the host has no modify_ldt.
 */
#include <asm/ldt.h>
#include <glib.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "tests/isa/random.h"
#include "tests/isa/x86_flat.h"

enum { RAM_SIZE = 1 << 20, IDT = 0x1000, GDT = 0x2000, TSS = 0x3000, STACK0 = 0x6000, HANDLERS = 0x7000, CODE = 0x10000, AREA = 0x20000, AREA_SIZE = 0x30000,
       BASE_AT = 0x10000, SKIP = 77, USER32_CS = 0x23, USER_DS = 0x2b };
enum { BP = 3, SS = 12, GP = 13 };

/* An instruction at [ebx] (string: es:[edi]; stack: where esp or ebp points); size: bytes of operand. */
typedef struct Insn { const char *bytes; uint8_t n, size; bool stack; } Insn;
#define I(b, size) { b, sizeof(b) - 1, size, false }
#define S(b, size) { b, sizeof(b) - 1, size, true }
static const Insn insns[] = {
    I("\x8a\x03", 1), I("\x88\x03", 1), I("\x8b\x03", 4), I("\x89\x03", 4), I("\x66\x8b\x03", 2), I("\x66\x89\x03", 2), I("\x0f\x10\x03", 16), I("\x0f\x11\x03", 16),
    I("\x0f\x12\x03", 8), I("\x0f\x13\x03", 8), I("\x87\x03", 4), I("\x01\x03", 4), I("\xdd\x03", 8), I("\xdb\x2b", 10), I("\x0f\xc7\x0b", 8), I("\x0f\xb6\x03", 1),
    I("\x8d\x03", 4), I("\xaa", 1), I("\xab", 4), I("\x0f\xab\x03", 4), I("\xf0\x0f\xc1\x03", 4), I("\xfe\x03", 1), I("\x83\x3b\x05", 4),
    S("\x50", 4), S("\x58", 4), S("\x66\x50", 2), S("\x60", 32), S("\x61", 32), S("\xc8\x08\x00\x00", 4), S("\xc9", 4), S("\x8b\x45\x00", 4), S("\x88\x45\x00", 1),
    S("\x68\x11\x22\x33\x44", 4), S("\x66\x61", 16),
};

typedef struct Case {
    uint32_t limit, gpr[8];            /* limit in bytes */
    bool down, big, read_only, pages, code16, stack, addr16;
    uint8_t code[64];
    unsigned n, start;                 /* start: behind what loads segment registers on the host */
} Case;
typedef struct Result { unsigned vector, error; uint32_t eip, gpr[8]; uint8_t area[AREA_SIZE]; } Result;

/* ---- cases ---- */

static void put(Case *c, const void *b, unsigned n) { memcpy(c->code + c->n, b, n); c->n += n; }
static void put1(Case *c, uint8_t b) { c->code[c->n++] = b; }

static void mov_eax(Case *c, uint32_t v)
{
    if (c->code16)
        put1(c, 0x66);
    put1(c, 0xb8);
    put(c, &v, 4);
}

static uint32_t near_edge(const Case *c, uint64_t *rng)
{
    uint64_t r = rnd_next(rng);
    uint32_t by = (uint32_t)(r >> 8) % 40, edge = r % 4 == 0 ? 0 : r % 4 == 1 ? 0x10000 : c->limit;
    uint32_t at = edge + 20 - by;
    return c->addr16 ? at & 0xffff : at;
}

static void make(Case *c, uint64_t *rng)
{
    uint64_t r = rnd_next(rng);
    const Insn *in = &insns[r % G_N_ELEMENTS(insns)];
    /* What PUSHA and POPA leave behind half-way, and ENTER in EBP's upper half, is AMD's here; nobody looked at others. */
    while (!__builtin_cpu_is("amd") && (in->size > 10 || *in->bytes == '\xc8') && in->stack)
        in = &insns[rnd_next(rng) % G_N_ELEMENTS(insns)];
    *c = (Case){ .down = r >> 16 & 1, .big = r >> 17 & 1, .read_only = !(r >> 18 & 7) && !in->stack, .pages = !(r >> 21 & 3), .code16 = r >> 24 & 1, .stack = in->stack };
    c->limit = c->pages ? (uint32_t)(rnd_next(rng) % 0x1e) << 12 | 0xfff : (uint32_t)(rnd_next(rng) % (r >> 26 & 1 ? 0x1f000 : 0x100));
    c->addr16 = c->code16 && !in->stack && r >> 25 & 1;
    for (unsigned n = 0; n < 8; n++)
        c->gpr[n] = (uint32_t)rnd_next(rng);
    uint32_t at = near_edge(c, rng);
    /* over the end of 4 GiB, and of 16-bit addresses: models differ */
    if (at > (uint32_t)-in->size || (c->addr16 && at > 0x10000u - in->size))
        at -= in->size;
    c->gpr[X86_RBX] = c->gpr[X86_RDI] = c->gpr[X86_RSP] = c->gpr[X86_RBP] = at;
    if (in->bytes[1] == '\xab')        /* BTS: its bit is in the operand itself */
        c->gpr[X86_RAX] &= 15;
    if (in->bytes[0] == '\xc8')        /* ENTER: what its upper half is then */
        c->gpr[X86_RBP] = (uint32_t)rnd_next(rng);
    mov_eax(c, 0 << 3 | 7);
    put(c, in->stack ? "\x8e\xd0" : "\x8e\xc0", 2);
    c->start = c->n;
    mov_eax(c, c->gpr[X86_RAX]);
    /* 16-bit code: the same operand and address sizes by prefixes, or [di] and [bx] with 16-bit addresses */
    const uint8_t *b = (const uint8_t *)in->bytes;
    unsigned n = in->n;
    bool narrow = *b == 0x66, string = *b == 0xaa || *b == 0xab, sse = *b == 0x0f && (b[1] & 0xf0) == 0x10;
    if (narrow) {
        b++;
        n--;
    }
    if (narrow != c->code16 && !sse)
        put1(c, 0x66);
    if (c->code16 && !c->addr16 && (!in->stack || *b == 0x8b || *b == 0x88))
        put1(c, 0x67);
    if (!in->stack)
        put1(c, 0x26);
    put(c, b, n);
    if (c->addr16 && !string) {         /* mod 0, rm 7: [bx]; the immediate of 83h stands behind */
        uint8_t *modrm = &c->code[c->n - 1 - (*b == 0x83)];
        *modrm = (uint8_t)((*modrm & ~7) | 7);
    }
    put1(c, 0xcc);
}

/* ---- the host ---- */

typedef struct Native {
    uint8_t *code, *area, alt[1 << 16];
    ucontext_t back;
    volatile int state;                /* 0: to enter, 1: inside, 2: done */
    const Case *c;
    Result *r;
} Native;
static const int greg[8] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI };

static Native *native(Native *set)
{
    static __thread Native *n;         /* a signal handler has no argument of ours */
    return n = set ? set : n;
}

static void on_signal(int sig, siginfo_t *info, void *opaque)
{
    ucontext_t *u = opaque;
    Native *n = native(NULL);
    greg_t *g = u->uc_mcontext.gregs;
    if (n->state == 0 && sig == SIGUSR1) {
        memcpy(n->back.uc_mcontext.gregs, g, sizeof(n->back.uc_mcontext.gregs));
        n->state = 1;
        for (unsigned i = 0; i < 8; i++)
            g[greg[i]] = n->c->gpr[i];
        u->uc_mcontext.fpregs->_xmm[0] = (struct _libc_xmmreg){ 0 };
        g[REG_RIP] = n->c->code16 ? 0 : (greg_t)(uintptr_t)n->code;
        g[REG_EFL] &= ~0x8d5;
        g[REG_CSGSFS] = (greg_t)(((uint64_t)g[REG_CSGSFS] & ~0xffffull) | (n->c->code16 ? 2 << 3 | 7 : USER32_CS));
        return;
    }
    if (n->state != 1)
        _exit(99);
    n->state = 2;
    n->r->vector = (unsigned)g[REG_TRAPNO];
    n->r->error = (unsigned)g[REG_ERR];
    n->r->eip = (uint32_t)g[REG_RIP] - (n->c->code16 ? 0 : (uint32_t)(uintptr_t)n->code);
    for (unsigned i = 0; i < 8; i++)
        n->r->gpr[i] = (uint32_t)g[greg[i]];
    memcpy(g, n->back.uc_mcontext.gregs, sizeof(n->back.uc_mcontext.gregs));
}

static bool set_ldt(unsigned i, uint32_t base, uint32_t limit, unsigned contents, bool big, bool read_only, bool pages)
{
    struct user_desc d = { .entry_number = i, .base_addr = base, .limit = pages ? limit >> 12 : limit, .seg_32bit = big, .contents = contents & 3,
                           .read_exec_only = read_only, .limit_in_pages = pages, .useable = 1 };
    return syscall(SYS_modify_ldt, 0x11, &d, sizeof(d)) == 0;
}

static bool native_open(Native *n)
{
    void *low = mmap(NULL, AREA_SIZE + 0x2000, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    if (low == MAP_FAILED || !set_ldt(0, 0, 0, 0, true, false, false))
        return false;
    n->area = low;
    n->code = n->area + AREA_SIZE + 0x1000;
    native(n);
    static const int sigs[] = { SIGUSR1, SIGSEGV, SIGBUS, SIGTRAP, SIGILL, SIGFPE };
    struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK };
    stack_t alt = { .ss_sp = n->alt, .ss_size = sizeof(n->alt) };
    sigaltstack(&alt, NULL);
    sigfillset(&sa.sa_mask);
    for (unsigned i = 0; i < G_N_ELEMENTS(sigs); i++)
        sigaction(sigs[i], &sa, NULL);
    return true;
}

static bool native_run(Native *n, const Case *c, Result *r)
{
    memset(n->area, 0x5a, AREA_SIZE);
    memcpy(n->code, c->code, c->n);
    if (!set_ldt(0, (uint32_t)(uintptr_t)n->area + BASE_AT, c->limit, c->down, c->big, c->read_only, c->pages) ||
        !set_ldt(2, (uint32_t)(uintptr_t)n->code, 0xfff, 2, false, false, false))
        return false;
    n->c = c;
    n->r = r;
    n->state = 0;
    raise(SIGUSR1);
    __asm__ volatile("mov %0, %%es" : : "r"(0));
    memcpy(r->area, n->area, AREA_SIZE);
    return n->state == 2;
}

/* ---- ours ---- */

typedef struct Ours { uint8_t *ram; TcgContext *ctx; TcgCpu *cpu; X86State *s; } Ours;

static uint8_t *cb_page(void *opaque, uint64_t gpa, unsigned *flags)
{
    Ours *o = opaque;
    *flags = 0;
    return gpa < RAM_SIZE ? o->ram + gpa : NULL;
}
static uint64_t cb_io_read(void *opaque, uint64_t gpa, unsigned size) { return ~0ull; }
static void cb_io_write(void *opaque, uint64_t gpa, uint64_t v, unsigned size) { }
static const TcgCallbacks callbacks = { .page = cb_page, .io_read = cb_io_read, .io_write = cb_io_write, FLAT_CALLBACKS };

static void ours_open(Ours *o, TcgTier tier)
{
    TcgConfig config = { .cache_size = 16 << 20, .tier = tier };
    *o = (Ours){ .ram = g_aligned_alloc0(1, RAM_SIZE, 4096), .s = g_aligned_alloc0(1, sizeof(X86State), 64) };
    static const uint64_t gdt[] = { 0, 0x00cf9b000000ffffull, 0x00cf93000000ffffull };
    uint32_t tss[2] = { STACK0, 0x10 };
    memcpy(o->ram + GDT, gdt, sizeof(gdt));
    memcpy(o->ram + TSS + 4, tss, sizeof(tss));
    for (unsigned v = 0; v < 32; v++) {
        uint64_t gate = (HANDLERS + 16 * v) | 8 << 16 | 0xee00ull << 32;
        memcpy(o->ram + IDT + 8 * v, &gate, 8);
        o->ram[HANDLERS + 16 * v] = 0xf4;
    }
    o->ctx = tcg_new(&config, NULL);
    o->cpu = tcg_cpu_new(o->ctx, &x86_isa, o->s, &callbacks, o);
}

static void ours_close(Ours *o)
{
    tcg_cpu_free(o->cpu);
    tcg_free(o->ctx);
    g_aligned_free(o->s);
    g_aligned_free(o->ram);
}

static void ours_state(X86State *s, const Case *c)
{
    x86_state_reset(s, false, true);
    for (int n = 0; n < X86_SEGS; n++)
        s->seg[n] = (X86Seg){ .limit = 0xffffffff, .attr = 0xc0f3, .sel = USER_DS };
    s->seg[X86_CS] = (X86Seg){ .base = c->code16 ? CODE : 0, .limit = c->code16 ? 0xfff : 0xffffffff, .attr = c->code16 ? 0xfb : 0xc0fb, .sel = USER32_CS };
    s->seg[c->stack ? X86_SS : X86_ES] = (X86Seg){ .base = AREA + BASE_AT, .limit = c->limit, .sel = 7,
        .attr = (c->read_only ? 0xf1u : 0xf3u) | (c->down ? 4 : 0) | (c->big ? 0x4000 : 0) | (c->pages ? 0x8000 : 0) };
    s->seg[X86_TR] = (X86Seg){ .base = TSS, .limit = 0x67, .attr = 0x8b, .sel = 0x38 };
    s->seg[X86_LDTR] = (X86Seg){ .attr = 0x10000 };
    s->gdt = (X86Dtr){ .base = GDT, .limit = 0x17 };
    s->idt = (X86Dtr){ .base = IDT, .limit = 0xff };
    s->cr0 = 0x31;
    s->cr4 = 0x600;
    s->cpl = 3;
    x86_set_rflags(s, 2);
    s->ev.mp_state = X86_MP_RUNNABLE;
    for (unsigned n = 0; n < 8; n++)
        s->gpr[n] = c->gpr[n];
    s->rip = (c->code16 ? 0 : CODE) + c->start;
}

static bool ours_run(Ours *o, const Case *c, Result *r)
{
    memset(o->ram + AREA, 0x5a, AREA_SIZE);
    memcpy(o->ram + CODE, c->code, c->n);
    tcg_invalidate_range(o->ctx, CODE, sizeof(c->code));
    ours_state(o->s, c);
    if (tcg_cpu_run(o->cpu, 0) != TCG_LEAVE_HALTED)
        return false;
    r->vector = (unsigned)(o->s->rip - 1 - HANDLERS) / 16;
    uint32_t frame[6];
    bool error = r->vector == SS || r->vector == GP || r->vector == 14;
    memcpy(frame, o->ram + STACK0 - (error ? 24 : 20), sizeof(frame));
    r->error = error ? frame[0] : 0;
    r->eip = frame[error] - (c->code16 ? 0 : CODE);
    for (unsigned n = 0; n < 8; n++)
        r->gpr[n] = (uint32_t)o->s->gpr[n];
    r->gpr[X86_RSP] = frame[error + 3];
    memcpy(r->area, o->ram + AREA, AREA_SIZE);
    return true;
}

/* ---- comparison ---- */

static bool same(const Case *c, const Result *a, const Result *b)
{
    /* POPA, PUSHA and ENTER that fault half way may have loaded or stored some: models differ */
    if (a->vector != BP && c->stack)
        return a->vector == b->vector && a->error == b->error && a->eip == b->eip && a->gpr[X86_RSP] == b->gpr[X86_RSP];
    return a->vector == b->vector && a->error == b->error && a->eip == b->eip && !memcmp(a->gpr, b->gpr, sizeof(a->gpr)) && !memcmp(a->area, b->area, AREA_SIZE);
}

static void print(const char *name, const Result *r)
{
    printf("  %-7s vector %u error %#x eip %#x eax %#x ebx %#x esp %#x ebp %#x edi %#x\n", name, r->vector, r->error, r->eip, r->gpr[0], r->gpr[3], r->gpr[4],
           r->gpr[5], r->gpr[7]);
}

static void explain(unsigned n, const char *name, const Case *c, const Result *host, const Result *got)
{
    printf("case %u: %s-bit code, limit %#x%s%s%s%s%s:", n, c->code16 ? "16" : "32", c->limit, c->down ? ", expand-down" : "", c->big ? ", B" : "",
           c->read_only ? ", read-only" : "", c->pages ? ", G" : "", c->stack ? ", stack" : "");
    for (unsigned i = c->start; i < c->n; i++)
        printf(" %02x", c->code[i]);
    printf("\n");
    print("host", host);
    print(name, got);
    for (unsigned i = 0; i < AREA_SIZE; i++)
        if (host->area[i] != got->area[i]) {
            printf("  memory at base%+d differs first\n", (int)i - BASE_AT);
            break;
        }
}

int main(int argc, char **argv)
{
    static const struct { const char *name; TcgTier tier; } tiers[] = { { "interp", TCG_TIER_INTERP }, { "tier1", TCG_TIER_1 }, { "tier2", TCG_TIER_2 } };
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    unsigned count = argc > 2 ? (unsigned)atoi(argv[2]) : 1500, vectors[32] = { 0 }, bad = 0;
    Native host = { 0 };
    Ours ours[G_N_ELEMENTS(tiers)];
    g_autofree Result *want = g_new0(Result, 1), *got = g_new0(Result, 1);
    if (!native_open(&host)) {
        printf("the host has no modify_ldt\n");
        return SKIP;
    }
    for (unsigned t = 0; t < G_N_ELEMENTS(tiers); t++)
        ours_open(&ours[t], tiers[t].tier);
    for (unsigned n = 0; n < count && bad < 5; n++) {
        Case c;
        make(&c, &seed);
        if (!native_run(&host, &c, want)) {
            printf("the host runs no such code\n");
            return SKIP;
        }
        vectors[want->vector & 31]++;
        for (unsigned t = 0; t < G_N_ELEMENTS(tiers); t++)
            if (!ours_run(&ours[t], &c, got) || !same(&c, want, got)) {
                explain(n, tiers[t].name, &c, want, got);
                bad++;
            }
    }
    for (unsigned t = 0; t < G_N_ELEMENTS(tiers); t++)
        ours_close(&ours[t]);
    printf("%u cases: %u ended, %u #GP, %u #SS; %u differ\n", count, vectors[BP], vectors[GP], vectors[SS], bad);
    return bad || !vectors[BP] || !vectors[GP] || !vectors[SS];
}
