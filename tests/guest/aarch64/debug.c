/* Breakpoints, watchpoints, software step at both levels: prints what it sees; the test compares with another emulator. */
#include "tests/guest/aarch64/guest.h"

enum { SS = 1 << 21, PS_D = 1 << 9, EL0T = 0x3c0, EL1H = 0x3c5, MDE = 1 << 15, KDE = 1 << 13, MAX_LOG = 40 };
typedef struct Log { u64 kind, esr, elr, far, spsr; } Log;
static Log log_[MAX_LOG];
static u64 n_log, steps, text, data_base;
static u64 (*step_fn)(u64);
static _Alignas(4096) u64 data[64];

/* The numbered registers have no names that every assembler takes with an index in a variable. */
#define POINT(n) \
    case n: WRITE(dbgbvr##n##_el1, v); WRITE(dbgbcr##n##_el1, c); break
static void set_break(unsigned n, u64 v, u64 c)
{
    switch (n) { POINT(0); POINT(1); POINT(4); POINT(5); default: break; }
}
static void set_watch(unsigned n, u64 v, u64 c)
{
    switch (n) {
    case 0: WRITE(dbgwvr0_el1, v); WRITE(dbgwcr0_el1, c); break;
    case 3: WRITE(dbgwvr3_el1, v); WRITE(dbgwcr3_el1, c); break;
    default: break;
    }
}
static void all_off(void)
{
    for (unsigned n = 0; n < 6; n++) {
        set_break(n, 0, 0);
        set_watch(n, 0, 0);
    }
    WRITE(mdscr_el1, 0);
}

void trap(u64 kind, u64 *regs)
{
    u64 esr = READ(esr_el1), ec = esr >> 26;
    if (n_log < MAX_LOG)
        log_[n_log++] = (Log){ kind, esr, regs[31], READ(far_el1), regs[32] };
    if (ec == 0x15 && (esr & 0xffff) == 0x77) {
        regs[31] = (u64)run_end;
        regs[32] = EL1H;
        return;
    }
    if (ec == 0x15 && (esr & 0xffff) == 0x78) {         /* call step_fn, stepping */
        n_log = 0;
        regs[30] = regs[31];
        regs[31] = (u64)step_fn;
        regs[32] |= SS;
        return;
    }
    if (ec == 0x32 || ec == 0x33) {                     /* step: once more, while there is something to do */
        if (steps && --steps)
            regs[32] |= SS;
        else
            WRITE(mdscr_el1, READ(mdscr_el1) & ~1ull);
    } else if (ec == 0x30 || ec == 0x31) {              /* breakpoint: over it by a step of one, with breakpoints off */
        WRITE(mdscr_el1, (READ(mdscr_el1) & ~(u64)MDE) | 1);
        regs[32] |= SS;
        steps = 1;
    } else if (ec != 0x15) {
        regs[31] += 4;
    }
}

static void dump(const char *what)
{
    print(what);
    put('\n');
    for (u64 n = 0; n < n_log; n++) {
        const Log *l = &log_[n];
        u64 ec = l->esr >> 26;
        print("  kind ");
        print_hex(l->kind);
        print(" esr ");
        print_hex(l->esr);
        print(" at ");
        print_hex(l->elr - text);
        print(" ss ");
        print_hex(l->spsr >> 21 & 1);
        if (ec == 0x24 || ec == 0x25 || ec == 0x34 || ec == 0x35) {
            print(" far ");
            print_hex(l->far - data_base);
        }
        put('\n');
    }
    n_log = 0;
}

/* ---- the code that is looked at ---- */
u64 insns(u64 arg);
__asm__(".text\n.balign 64\n.globl insns\n"
        "insns: add x0, x0, #1\n"                       /* 0 */
        "add x0, x0, #2\n"
        "cbz xzr, 1f\n"                                 /* 8: over the next */
        "add x0, x0, #4\n"
        "1: mov x1, #3\n"                               /* 10 */
        "2: subs x1, x1, #1\n"
        "b.ne 2b\n"                                     /* 18 */
        "ret\n");
u64 insns_el0(u64 arg);
__asm__(".globl insns_el0\n"
        "insns_el0: ldxr w1, [x0]\n"                    /* 20 */
        "stxr w2, w1, [x0]\n"
        "svc #1\n"                                      /* 28 */
        "mov x3, #0x10\n"
        "movk x3, #0xdead, lsl #48\n"                   /* 30 */
        "ldr x4, [x3]\n"                                /* faults, is left out */
        "svc #2\n"                                      /* 38 */
        "nop\n"
        "ret\n");

/* With debug exceptions of EL1 unmasked. */
static u64 el1(u64 (*fn)(u64), u64 arg)
{
    __asm__ volatile("msr daifclr, #8\nisb" : : : "memory");
    u64 v = fn(arg);
    __asm__ volatile("msr daifset, #8" : : : "memory");
    return v;
}

/* EL0 with PSTATE.SS: the SVC that trap() sees first sends it there. */
static u64 step_into(u64 arg)
{
    register u64 x0 __asm__("x0") = arg;
    __asm__ volatile("svc #0x78" : "+r"(x0) : : "memory", "x1", "x2", "x3", "x4", "x30");
    return x0;
}
static void run_el0_step(u64 (*fn)(u64), u64 arg)
{
    step_fn = fn;
    run_el0(step_into, arg);
}

/* ---- breakpoints ---- */
enum { E = 1, PMC1 = 2, PMC0 = 4, BAS = 0x1e0, SSC_SECURE = 2 << 14, LINKED = 1 << 20, CONTEXT = 2 << 20, CONTEXT_LINKED = 3 << 20 };
static u64 el1_control(void) { return E | PMC1 | BAS; }

static void run_both(const char *what)
{
    static const u64 control[] = { MDE | KDE, MDE, KDE };
    print(what);
    put('\n');
    for (unsigned n = 0; n < 3; n++) {
        WRITE(mdscr_el1, control[n]);
        show("EL1 =", el1(insns, n));
        dump("EL1");
        WRITE(mdscr_el1, control[n]);
        show("EL0 =", run_el0(insns, n));
        dump("EL0");
    }
    WRITE(mdscr_el1, MDE | KDE);
    insns(0);
    dump("masked");
    all_off();
}

static void test_breaks(void)
{
    set_break(0, text + 4, el1_control());
    set_break(5, text + 0x14, E | PMC0 | BAS);
    run_both("breakpoints");
    set_break(1, text + 8, el1_control() | PMC0);
    set_break(0, text + 12, el1_control());             /* is not executed */
    run_both("two levels");
    set_break(1, text + 0x1c, (el1_control() | PMC0) & ~(u64)E);
    set_break(0, text + 0x18, el1_control() | SSC_SECURE);
    run_both("off, secure");
    set_break(0, text + 4, el1_control() | PMC0 | LINKED | 4 << 16);
    set_break(4, 0x1234, el1_control() | PMC0 | CONTEXT_LINKED);
    WRITE(contextidr_el1, 0x1233);
    run_both("linked, another context");
    set_break(0, text + 4, el1_control() | PMC0 | LINKED | 4 << 16);
    set_break(4, 0x1234, el1_control() | PMC0 | CONTEXT_LINKED);
    WRITE(contextidr_el1, 0x1234);
    run_both("linked, this context");
}

/* ---- watchpoints ---- */
enum { WE = 1, PAC1 = 2, PAC0 = 4, LOAD = 8, STORE = 16 };
#define BYTES(m) ((u64)(m) << 5)
#define MASK(n) ((u64)(n) << 24 | BYTES(0xff))
#define TRY(code) \
    do { \
        set_watch(watch_n, watch_at, watch_control);    /* anew: the other emulator keeps the kind of the last hit */ \
        __asm__ volatile("mov x0, %0\nmov x3, #0\nmov x4, #1\n" code : : "r"(at) : "x0", "x1", "x2", "x3", "x4", "cc", "memory"); \
        dump("  " code); \
    } while (0)

static u64 watch_n, watch_at, watch_control;
static u64 accesses(u64 at)
{
    TRY("ldrb w1, [x0]");
    TRY("ldrb w1, [x0, #3]");
    TRY("ldr w1, [x0, #4]");
    TRY("ldr x1, [x0], #8");
    TRY("ldur w1, [x0, #-4]");
    TRY("str w1, [x0]");
    TRY("strb w1, [x0, #5]");
    TRY("str x1, [x0, #16]!");
    TRY("stur w1, [x0, #-4]");
    TRY("ldp x1, x2, [x0, #-8]");
    TRY("stp x1, x2, [x0, #-8]");
    TRY("ldp w1, w2, [x0, #-8]");
    TRY("stp q0, q1, [x0, #-32]");
    TRY("ldp q0, q1, [x0, #-16]");
    TRY("ldr q0, [x0, #-16]");
    TRY("ld4 {v0.16b-v3.16b}, [x0]");
    TRY("st3 {v0.4h-v2.4h}, [x0]");
    TRY("ld1 {v0.b}[3], [x0]");
    TRY("st2 {v0.h-v1.h}[1], [x0]");
    TRY("ld2r {v0.4s-v1.4s}, [x0]");
    TRY("ldxr x1, [x0]\nclrex");
    TRY("sub x0, x0, #8\nldxp x1, x2, [x0]\nclrex");
    TRY("ldar w1, [x0]");
    TRY("stlr w1, [x0]");
    TRY("ldtr x1, [x0]");
    TRY("sttr x1, [x0]");
    TRY("prfm pldl1keep, [x0]");
    TRY("ldr x1, [x0, x3, lsl #3]");
    return 0;
}

static u64 loads(u64 at)
{
    u64 v;
    __asm__ volatile("ldr %0, [%1]\nldr %0, [%1, #8]\nldrb %w0, [%1, #7]\nldrh %w0, [%1, #4]\nldr %0, [%1]" : "=&r"(v) : "r"(at) : "memory");
    return v & 0;
}

static u64 stores(u64 at)
{
    __asm__ volatile("str xzr, [%0]\nstr xzr, [%0, #8]\nstrb wzr, [%0, #7]\nstrh wzr, [%0, #4]\nstr xzr, [%0]" : : "r"(at) : "memory");
    return 0;
}

static void watch(const char *what, unsigned n, u64 at, u64 control)
{
    print("== ");
    print(what);
    put('\n');
    watch_n = n;
    watch_at = at;
    watch_control = control | WE;
    WRITE(mdscr_el1, MDE | KDE);
    el1(accesses, data_base + 64);
    set_watch(n, at, control | WE);
    run_el0(loads, data_base + 64);
    dump("EL0 loads");
    set_watch(n, at, control | WE);
    run_el0(stores, data_base + 64);
    dump("EL0 stores");
    all_off();
}

static void test_watches(void)
{
    u64 at = data_base + 64;
    watch("a doubleword", 0, at, BYTES(0xff) | PAC1 | PAC0 | LOAD | STORE);
    watch("stores", 3, at, BYTES(0xff) | PAC1 | STORE);
    watch("loads, EL0", 0, at, BYTES(0xff) | PAC0 | LOAD);
    watch("a byte", 0, at, BYTES(8) | PAC1 | PAC0 | LOAD | STORE);
    watch("the upper word", 0, at + 4, BYTES(15) | PAC1 | PAC0 | LOAD | STORE);
    watch("32 bytes", 0, at - 64, MASK(7) | PAC1 | PAC0 | STORE);
    watch("elsewhere", 0, at + 1024, BYTES(0xff) | PAC1 | PAC0 | LOAD | STORE);
    set_watch(0, at, WE | BYTES(0xff) | PAC1 | LOAD | STORE);
    WRITE(mdscr_el1, MDE);
    el1(loads, at);
    dump("no KDE");
    WRITE(mdscr_el1, MDE | KDE);
    loads(at);
    dump("masked");
    all_off();
}

/* ---- software step ---- */
static void test_step(void)
{
    /* EL0: entered by an exception return with SS */
    for (unsigned n = 1; n < 24; n += 11) {
        steps = n;
        WRITE(mdscr_el1, 1);
        run_el0_step(insns, 7);
        dump("step at EL0");
    }
    steps = 24;
    WRITE(mdscr_el1, 1);
    run_el0_step(insns_el0, data_base);
    dump("step over exceptions");
    /* without MDSCR.SS PSTATE.SS means nothing */
    all_off();
    run_el0_step(insns, 1);
    dump("no step");
    /* EL1: pending as soon as it is unmasked */
    steps = 12;
    WRITE(mdscr_el1, KDE | 1);
    show("EL1 =", el1(insns, 3));
    dump("step at EL1");
    all_off();
}

static void test_registers(void)
{
    show("dfr0 points", READ(id_aa64dfr0_el1) & 0xf0f0f00f);
    set_break(0, 0xffff812345678ffcull, 0xffffffff & ~(u64)E);
    set_watch(0, 0x0001812345678fffull, 0xffffffff & ~(u64)WE);
    show("bvr", READ(dbgbvr0_el1));
    show("wvr", READ(dbgwvr0_el1));
    show("oslsr", READ(oslsr_el1));
    WRITE(oslar_el1, 1);
    show("oslsr", READ(oslsr_el1));
    WRITE(oslar_el1, 0);
    show("oslsr", READ(oslsr_el1));
    all_off();
}

void cpu_main(u64 cpu)
{
    (void)cpu;
    text = (u64)insns;
    data_base = (u64)data;
    WRITE(oslar_el1, 0);
    WRITE(osdlr_el1, 0);
    test_registers();
    test_breaks();
    test_watches();
    test_step();
    finish();
}
