/* EL3 in flash (virt,secure=on,virtualization=on): calls, returns, the security state, traps, routing, its translation, the controller's two faces: prints what
 * it sees; the test compares with another emulator. */
#include "tests/guest/print.h"

#define READ(r) ({ u64 v_; __asm__ volatile("mrs %0, " #r : "=r"(v_)); v_; })
#define WRITE(r, v) __asm__ volatile("msr " #r ", %0\nisb" : : "r"((u64)(v)) : "memory")
#define RUN(spsr, what, code) do { u64 f_; __asm__ volatile("b 2f\n1: " code "\nret\n2: adr %0, 1b" : "=r"(f_)); run(spsr, f_, what); } while (0)
#define GET(spsr, what, code) do { u64 f_; __asm__ volatile("b 2f\n1: " code "\nret\n2: adr %0, 1b" : "=r"(f_)); show(what, run_at(spsr, f_, 0)); } while (0)
enum { GICD = 0x8000000, GICC = 0x8010000, POWER_PINS = 0x90b0000 };
enum { EL0T = 0x3c0, EL1H = 0x3c5, EL2H = 0x3c9, EL3H = 0x3cd };
/* SCR_EL3: AArch64 below, and what is reserved as 1 */
enum { SEC = 0x430, NS = 0x431, IRQ = 2, FIQ = 4, SMD = 1 << 7, HCE = 1 << 8, ST = 1 << 11, TWI = 1 << 12 };

u64 run_at(u64 spsr, u64 fn, u64 arg);
void run_end(void);
void levels_main(void);
void trap(u64 kind, u64 *regs);

static volatile u64 n_traps, last_esr, last_far, last_kind, last_elr, interrupts, began;

/* An exception of EL1 or EL2: said, and gone on behind the instruction. */
static void trap_below(u64 kind, u64 *regs)
{
    u64 esr = kind >> 4 == 1 ? READ(esr_el1) : READ(esr_el2), ec = esr >> 26;
    if (ec == 0x15 && (esr & 0xffff) == 0x77)
        __asm__ volatile("mov x0, %0\nsmc #0x77" : : "r"(regs[0]) : "x0");
    print("below: kind ");
    print_hex(kind);
    show(" esr", esr);
    if (ec == 0x17)
        WRITE(hcr_el2, READ(hcr_el2) & ~(1ull << 19));
    if (ec != 0x15 && ec != 0x16)
        regs[31] += 4;
    regs[32] &= ~(1ull << 20);
}

void trap(u64 kind, u64 *regs)
{
    if (kind >> 4 != 3) {
        trap_below(kind, regs);
        return;
    }
    u64 esr = READ(esr_el3), ec = esr >> 26, imm = esr & 0xffff;
    if ((kind & 3) == 1 || (kind & 3) == 2) {
        uint32_t n = REG32(GICC + 0xc);
        interrupts++;
        print("interrupt ");
        print_hex(kind);
        show(" number", n);
        WRITE(cntps_ctl_el1, 0);
        REG32(GICC + 0x10) = n;
        return;
    }
    if (ec == 0x17 && imm == 0x77) {
        regs[31] = (u64)run_end;
        regs[32] = EL3H;
        return;
    }
    n_traps++;
    last_kind = kind;
    last_esr = esr;
    last_far = READ(far_el3);
    last_elr = regs[31];
    if (ec == 0x20 || ec == 0x21 || ec == 0x22)         /* fetch: back to the caller */
        regs[31] = regs[30];
    else if (ec != 0x15 && ec != 0x16 && ec != 0x17)
        regs[31] += 4;
    regs[32] &= ~(1ull << 20);
}

static void report(const char *what)
{
    print(what);
    if (n_traps) {
        print(": kind ");
        print_hex(last_kind);
        show(" esr", last_esr);
        if (last_esr >> 26 >= 0x20 && last_esr >> 26 < 0x28)
            show("    far", last_far);
        if (began)
            show("    behind", last_elr - began);
    } else {
        print(": no trap\n");
    }
    n_traps = 0;
}

static void run(u64 spsr, u64 fn, const char *what)
{
    began = fn;
    run_at(spsr, fn, 0);
    report(what);
    began = 0;
}

static void finish(void)
{
    REG32(POWER_PINS + 0x400) = 1;
    REG32(POWER_PINS + 4) = 1;
    for (;;)
        ;
}

static void test_calls(void)
{
    show("currentel", READ(currentel));
    show("levels", (READ(id_aa64pfr0_el1) >> 8 & 15) && (READ(id_aa64pfr0_el1) >> 12 & 15));
    WRITE(hcr_el2, 1ull << 31);
    WRITE(scr_el3, NS | HCE);
    RUN(EL1H, "smc of EL1", "smc #0x1234");
    RUN(EL2H, "smc of EL2", "smc #0x1235");
    RUN(EL0T, "smc of EL0", "smc #1");
    RUN(EL1H, "hvc of EL1", "hvc #2");
    RUN(EL2H, "hvc of EL2", "hvc #3");
    GET(EL1H, "currentel of EL1", "mrs x0, currentel");
    GET(EL2H, "currentel of EL2", "mrs x0, currentel");
    RUN(EL2H, "el3 register", "mrs x0, scr_el3");
    RUN(EL2H, "tlbi of EL3", "tlbi alle3");
    __asm__ volatile("smc #0x55");
    report("smc of EL3");
    __asm__ volatile("udf #0");
    report("undefined");
    WRITE(scr_el3, NS);
    RUN(EL1H, "hvc not allowed", "hvc #4");
    WRITE(scr_el3, SEC | HCE);
    GET(EL1H, "Secure EL1", "mrs x0, currentel");
    __asm__ volatile("mov x0, #0x3c9\nmsr spsr_el3, x0\nadr x0, 1f\nmsr elr_el3, x0\neret\n1: nop\nnop" : : : "x0");
    report("return to Secure EL2");
    WRITE(scr_el3, NS);
    WRITE(hcr_el2, 1ull << 31 | 1 << 19);
    RUN(EL1H, "smc that EL2 wants", "smc #6\nmrs x0, currentel");
    WRITE(hcr_el2, 1ull << 31);
}

static void test_traps(void)
{
    WRITE(scr_el3, NS | TWI);
    RUN(EL2H, "wfi of EL2", "wfi");
    RUN(EL1H, "wfi of EL1", "wfi");
    WRITE(scr_el3, NS);
    WRITE(cptr_el3, 1 << 10);
    RUN(EL1H, "fp of EL1", "fmov d0, xzr");
    RUN(EL2H, "fp of EL2", "fmov d0, xzr");
    __asm__ volatile("fmov d0, xzr" : : : "v0");
    report("fp of EL3");
    WRITE(cptr_el3, 1ull << 31);
    RUN(EL1H, "cpacr", "mrs x0, cpacr_el1");
    RUN(EL2H, "cptr", "mrs x0, cptr_el2");
    WRITE(cptr_el3, 0);
    RUN(EL1H, "secure timer of NS EL1", "mrs x0, cntps_ctl_el1");
    WRITE(scr_el3, SEC);
    RUN(EL1H, "secure timer of EL1", "mrs x0, cntps_ctl_el1");
    WRITE(scr_el3, SEC | ST);
    RUN(EL1H, "secure timer allowed", "mrs x0, cntps_ctl_el1");
    WRITE(scr_el3, NS);
    WRITE(tpidr_el3, -3);
    show("tpidr", READ(tpidr_el3));
    WRITE(sp_el2, READ(sp_el2));
    WRITE(mair_el3, 0x44ff);
    show("mair", READ(mair_el3));
}

/* ---- the controller: group 0 is Secure's ---- */
static void test_controller(void)
{
    show("typer", REG32(GICD + 4) >> 10 & 1);
    REG32(GICD + 0x80) = ~0u & ~(1u << 29);             /* the secure timer is group 0 */
    REG32(GICD + 0x84) = 0xff;
    REG32(GICD + 0x100) = 1 << 29 | 1 << 30;
    for (unsigned n = 28; n < 32; n++)
        *(volatile uint8_t *)(u64)(GICD + 0x400 + n) = n == 29 ? 0x40 : 0xd0;
    REG32(GICD) = 3;
    REG32(GICC + 4) = 0xf0;
    REG32(GICC) = 1 | 2 | 8;                            /* group 0 is FIQ */
    show("groups", REG32(GICD + 0x80));
    GET(EL1H, "groups of NS", "mov x1, #0x8000000\nldr w0, [x1, #0x80]");
    GET(EL1H, "enabled of NS", "mov x1, #0x8000000\nldr w0, [x1, #0x100]");
    GET(EL1H, "control of NS", "mov x1, #0x8000000\nldr w0, [x1]");
    GET(EL1H, "priority of NS", "mov x1, #0x8000000\nldr w0, [x1, #0x41c]");
    GET(EL1H, "interface of NS", "mov x1, #0x8000000\nadd x1, x1, #0x10000\nldr w0, [x1]");
    GET(EL1H, "mask of NS", "mov x1, #0x8000000\nadd x1, x1, #0x10000\nldr w0, [x1, #4]");
    GET(EL1H, "written by NS", "mov x1, #0x8000000\nmov w2, #0x80\nstrb w2, [x1, #0x41d]\nstrb w2, [x1, #0x41e]\nmov w3, #-1\nstr w3, [x1, #0x80]\nldr w0, [x1, #0x41c]");
    show("priorities", REG32(GICD + 0x41c));
    show("groups", REG32(GICD + 0x80));
    GET(EL1H, "mask written by NS", "mov x1, #0x8000000\nadd x1, x1, #0x10000\nmov w2, #0xa0\nstr w2, [x1, #4]\nldr w0, [x1, #4]");
    show("mask", REG32(GICC + 4));
    REG32(GICC + 8) = 4;
    REG32(GICC + 0x1c) = 6;
    GET(EL1H, "binary point of NS", "mov x1, #0x8000000\nadd x1, x1, #0x10000\nldr w0, [x1, #8]");
    REG32(GICC) = 1 | 2 | 8 | 0x10;                     /* one for both */
    GET(EL1H, "common one", "mov x1, #0x8000000\nadd x1, x1, #0x10000\nmov w2, #7\nstr w2, [x1, #8]\nldr w0, [x1, #8]");
    REG32(GICC) = 1 | 2 | 8;
    show("own one", REG32(GICC + 0x1c));
    REG32(GICC + 4) = 0xf0;
    WRITE(cntps_cval_el1, 0);
    WRITE(cntps_ctl_el1, 1);
    show("pending", REG32(GICC + 0x18));
    GET(EL1H, "pending of NS", "mov x1, #0x8000000\nadd x1, x1, #0x10000\nldr w0, [x1, #0x18]");
    GET(EL1H, "taken by NS", "mov x1, #0x8000000\nadd x1, x1, #0x10000\nldr w0, [x1, #0xc]");
    WRITE(scr_el3, NS | FIQ);
    interrupts = 0;
    GET(EL1H, "FIQ of EL1 for EL3", "mov x2, #9000\n3: subs x2, x2, #1\nb.ne 3b\nmov x0, #7");
    show("taken", interrupts);
    WRITE(cntps_cval_el1, 0);
    WRITE(cntps_ctl_el1, 1);
    show("isr", READ(isr_el1));
    interrupts = 0;
    __asm__ volatile("msr daifclr, #1\nmov x2, #9000\n3: subs x2, x2, #1\nb.ne 3b\nmsr daifset, #1" : : : "x2");
    show("taken by EL3", interrupts);
    WRITE(cntps_ctl_el1, 0);
    WRITE(scr_el3, NS);
}

/* ---- EL3's translation: 4 KiB, 32 bits: a table of four entries within a page ---- */
enum { VALID = 1, PAGE = 3, AP1 = 1 << 6, RO = 1 << 7, SH = 3 << 8, AF = 1 << 10 };
static u64 top[4] __attribute__((aligned(32))), mid[512] __attribute__((aligned(4096))), low[512] __attribute__((aligned(4096))), page[512] __attribute__((aligned(4096)));

static u64 load(u64 va)
{
    u64 v = 0xdead;
    __asm__ volatile("ldr %0, [%1]" : "+r"(v) : "r"(va) : "memory");
    return v;
}
static void store(u64 va) { __asm__ volatile("str %0, [%1]" : : "r"(0x77ull), "r"(va) : "memory"); }

static void test_mmu3(void)
{
    page[1] = 0x99;
    top[0] = VALID | AF | 4 | AP1;
    top[1] = 0x40000000 | VALID | AF | SH | AP1;
    top[2] = (u64)mid | PAGE;
    mid[0] = (u64)low | PAGE;
    low[0] = (u64)page | PAGE | AF | SH | AP1;
    low[1] = (u64)page | PAGE | AF | SH | AP1 | RO;
    WRITE(mair_el3, 0x00ff);
    WRITE(tcr_el3, 1ull << 31 | 1 << 23 | 2 << 16 | 32);
    WRITE(ttbr0_el3, top);
    __asm__ volatile("tlbi alle3\ndsb sy\nisb");
    WRITE(sctlr_el3, READ(sctlr_el3) | 1);
    show("load", load(0x80000008));
    report("load");
    store(0x80001010);
    report("read-only");
    load(0x80002000);
    report("nothing there");
    load(1ull << 33);
    report("beyond");
    __asm__ volatile("at s1e3r, %0\nisb" : : "r"(0x80000008ull));
    show("par", READ(par_el1) & 0xfffffffff001);
    low[0] = 0;
    __asm__ volatile("dsb sy\ntlbi vae3is, %0\ndsb sy\nisb" : : "r"(0x80000000ull >> 12));
    load(0x80000008);
    report("gone");
    GET(EL1H, "EL1 below it", "mrs x0, currentel");
    WRITE(sctlr_el3, READ(sctlr_el3) & ~1ull);
}

void levels_main(void)
{
    test_calls();
    test_traps();
    test_controller();
    test_mmu3();
    finish();
}
