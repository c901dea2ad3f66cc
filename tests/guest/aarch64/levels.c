/* EL2 over EL1 and EL0: calls, returns, traps, interrupts, its own translation, stage 2: prints what it sees; the test compares with another emulator. */
#include "tests/guest/print.h"

#define READ(r) ({ u64 v_; __asm__ volatile("mrs %0, " #r : "=r"(v_)); v_; })
#define WRITE(r, v) __asm__ volatile("msr " #r ", %0\nisb" : : "r"((u64)(v)) : "memory")
#define RUN(spsr, what, code) do { u64 f_; __asm__ volatile("b 2f\n1: " code "\nret\n2: adr %0, 1b" : "=r"(f_)); run(spsr, f_, what); } while (0)
enum { GICD = 0x8000000, GICC = 0x8010000 };
enum { EL0T = 0x3c0, EL1H = 0x3c5, EL2H = 0x3c9, EL1H_OPEN = 0x305 };
#define HCR_VM 1ull
#define HCR_IMO (1ull << 4)
#define HCR_VI (1ull << 7)
#define HCR_TGE (1ull << 27)
#define HCR_RW (1ull << 31)

u64 run_at(u64 spsr, u64 fn, u64 arg);
void run_end(void);
void levels_main(void);
void trap(u64 kind, u64 *regs);

static volatile u64 n_traps, last_esr, last_far, last_hpfar, last_kind, last_elr, interrupts, began;

static void interrupt(u64 kind)
{
    uint32_t n = REG32(GICC + 0xc);
    interrupts++;
    print("interrupt ");
    print_hex(kind);
    show(" number", n);
    WRITE(cnthp_ctl_el2, 0);
    REG32(GICC + 0x10) = n;
}

/* An exception of EL1: said, and gone on behind the instruction. */
static void trap1(u64 kind, u64 *regs)
{
    u64 esr = READ(esr_el1);
    if ((kind & 3) == 1) {
        print("interrupt of EL1 ");
        print_hex(kind);
        show(" isr", READ(isr_el1));
        __asm__ volatile("hvc #0x78");
        return;
    }
    if (esr >> 26 == 0x15 && (esr & 0xffff) == 0x77)
        __asm__ volatile("mov x0, %0\nhvc #0x77" : : "r"(regs[0]) : "x0");
    print("EL1 kind ");
    print_hex(kind);
    show(" esr", esr);
    if (esr >> 26 != 0x15)
        regs[31] += 4;
    regs[32] &= ~(1ull << 20);
}

void trap(u64 kind, u64 *regs)
{
    if (kind >> 4 == 1) {
        trap1(kind, regs);
        return;
    }
    u64 esr = READ(esr_el2), ec = esr >> 26, imm = esr & 0xffff;
    if ((kind & 3) == 1) {
        interrupt(kind);
        return;
    }
    if ((ec == 0x16 || ec == 0x15) && imm == 0x77) {
        regs[31] = (u64)run_end;
        regs[32] = EL2H;
        return;
    }
    if (ec == 0x16 && imm == 0x78) {                    /* EL1 has seen the virtual interrupt */
        WRITE(hcr_el2, READ(hcr_el2) & ~HCR_VI);
        return;
    }
    n_traps++;
    last_kind = kind;
    last_esr = esr;
    last_far = READ(far_el2);
    last_hpfar = READ(hpfar_el2);
    last_elr = regs[31];
    if (ec == 0x20 || ec == 0x21 || ec == 0x22)         /* fetch: back to the caller */
        regs[31] = regs[30];
    else if (ec != 0x15 && ec != 0x16)
        regs[31] += 4;
    regs[32] &= ~(1ull << 20);
}

/* Without what emulators say of EL2's own accesses; a table's fault without its level, which is stage 2's (ARM D17.2.37), but elsewhere stage 1's. */
static u64 comparable(u64 esr) { return esr >> 26 == 0x25 ? esr & ~0x1ffc000ull : esr >> 26 == 0x24 && esr & 0x80 ? esr & ~3ull : esr; }
/* The same of PAR_EL1; of an address without attributes. */
static void show_par(void)
{
    u64 par = READ(par_el1);
    show("par", par & 1 ? par & (par & 0x100 ? 0x379 : 0x37f) : par & 0xfffffffff000);
}

static void report(const char *what)
{
    print(what);
    if (n_traps) {
        print(": kind ");
        print_hex(last_kind);
        show(" esr", comparable(last_esr));
        if (last_esr >> 26 >= 0x20 && last_esr >> 26 < 0x28)
            show("    far", last_far);
        if (last_esr >> 26 == 0x20 || last_esr >> 26 == 0x24)
            show("    hpfar", last_hpfar);
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
    register u64 x0 __asm__("x0") = 0x84000008;
    __asm__ volatile("smc #0" : "+r"(x0) : : "memory", "x1", "x2", "x3");
    for (;;)
        ;
}

/* ---- calls, returns ---- */
static void test_calls(void)
{
    show("currentel", READ(currentel));
    show("el2 of pfr0", (READ(id_aa64pfr0_el1) >> 8 & 15) != 0);
    show("el3 of pfr0", READ(id_aa64pfr0_el1) >> 12 & 15);
    show("hcr", READ(hcr_el2) & ~HCR_RW & ~2ull);
    WRITE(hcr_el2, HCR_RW);
    RUN(EL1H, "hvc of EL1", "hvc #0x1234");
    RUN(EL1H, "svc of EL1", "svc #3");
    RUN(EL0T, "svc of EL0", "svc #4");
    RUN(EL0T, "hvc of EL0", "hvc #5");
    RUN(EL1H, "currentel of EL1", "mrs x0, currentel");
    RUN(EL0T, "currentel of EL0", "mrs x0, currentel");
    RUN(EL1H, "el2 register of EL1", "mrs x0, vbar_el2");
    RUN(EL1H, "tlbi of EL2 in EL1", "tlbi alle2");
    RUN(EL1H, "eret of EL1 to EL2", "mov x0, #0x3c9\nmsr spsr_el1, x0\nadr x0, 3f\nmsr elr_el1, x0\neret\n3: nop\nnop");
    __asm__ volatile("hvc #0x55");
    report("hvc of EL2");
    __asm__ volatile("svc #0x56");
    report("svc of EL2");
    __asm__ volatile("mrs x0, scr_el3" : : : "x0");
    report("el3 register");
    __asm__ volatile("udf #0");
    report("undefined");
    WRITE(hcr_el2, HCR_RW | HCR_TGE);
    RUN(EL0T, "svc of EL0 to EL2", "svc #6");
    RUN(EL0T, "undefined of EL0 to EL2", "udf #0");
    WRITE(hcr_el2, HCR_RW);
}

/* ---- traps ---- */
static void test_traps(void)
{
    WRITE(hcr_el2, HCR_RW | 1ull << 13 | 1ull << 14);
    RUN(EL1H, "wfi", "wfi");
    WRITE(hcr_el2, HCR_RW | 1ull << 19);
    RUN(EL1H, "smc", "smc #9");
    WRITE(hcr_el2, HCR_RW | 1ull << 26);
    RUN(EL1H, "write ttbr0", "msr ttbr0_el1, x0");
    RUN(EL1H, "write contextidr", "msr contextidr_el1, x5");
    RUN(EL1H, "read ttbr0", "mrs x0, ttbr0_el1");
    WRITE(hcr_el2, HCR_RW | 1ull << 30);
    RUN(EL1H, "write far", "msr far_el1, x7");
    RUN(EL1H, "read far", "mrs x30, far_el1\nadr x30, 3f\nret\n3:hvc #0x77");
    WRITE(hcr_el2, HCR_RW | 1ull << 16 | 1ull << 17 | 1ull << 18 | 1ull << 21);
    RUN(EL1H, "id registers", "mrs x1, id_aa64isar0_el1");
    RUN(EL1H, "revidr", "mrs x2, revidr_el1");
    RUN(EL1H, "ccsidr", "mrs x3, ccsidr_el1");
    RUN(EL1H, "ctr", "mrs x5, ctr_el0");
    RUN(EL1H, "actlr", "mrs x4, actlr_el1");
    WRITE(hcr_el2, HCR_RW | 1ull << 22 | 1ull << 23 | 1ull << 24 | 1ull << 25);
    RUN(EL1H, "dc isw", "dc isw, x0");
    RUN(EL1H, "dc civac", "dc civac, x0");
    RUN(EL1H, "ic ialluis", "ic ialluis");
    RUN(EL1H, "tlbi", "tlbi vmalle1");
    WRITE(hcr_el2, HCR_RW);
    WRITE(cptr_el2, 0x33ff | 1 << 10);
    RUN(EL1H, "fp of EL1", "fmov d0, xzr");
    RUN(EL0T, "fp of EL0", "fmov d0, xzr");
    __asm__ volatile("fmov d0, xzr" : : : "v0");
    report("fp of EL2");
    WRITE(cpacr_el1, 0);
    RUN(EL0T, "fp of EL0 for EL1", "fmov d0, xzr");
    WRITE(cpacr_el1, 3 << 20);
    WRITE(cptr_el2, 0x33ff | 1ull << 31);
    RUN(EL1H, "cpacr", "mrs x0, cpacr_el1");
    WRITE(cptr_el2, 0x33ff);
    WRITE(cnthctl_el2, 0);
    RUN(EL1H, "counter", "mrs x0, cntpct_el0");
    RUN(EL1H, "timer", "msr cntp_ctl_el0, xzr");
    WRITE(cnthctl_el2, 3);
    RUN(EL1H, "timer allowed", "msr cntp_ctl_el0, xzr");
    WRITE(mdcr_el2, 1 << 9 | 1 << 10 | 1 << 11);
    RUN(EL1H, "mdscr", "mrs x0, mdscr_el1");
    RUN(EL1H, "oslar", "msr oslar_el1, xzr");
    WRITE(mdcr_el2, 1 << 8);
    RUN(EL1H, "brk", "brk #8");
    WRITE(mdcr_el2, 0);
}

static void test_registers(void)
{
    WRITE(vpidr_el2, 0x12345678);
    WRITE(vmpidr_el2, 0x80000102);
    u64 f;
    __asm__ volatile("b 2f\n1: mrs x0, midr_el1\nret\n2: adr %0, 1b" : "=r"(f));
    show("midr of EL1", run_at(EL1H, f, 0));
    __asm__ volatile("b 2f\n1: mrs x0, mpidr_el1\nret\n2: adr %0, 1b" : "=r"(f));
    show("mpidr of EL1", run_at(EL1H, f, 0));
    show("midr", READ(midr_el1));
    show("mpidr", READ(mpidr_el1));
    WRITE(tpidr_el2, -5);
    show("tpidr", READ(tpidr_el2));
    WRITE(cntvoff_el2, 1ull << 40);
    u64 a = READ(cntpct_el0), b = READ(cntvct_el0), c = READ(cntpct_el0);
    show("offset", b + (1ull << 40) >= a && b + (1ull << 40) <= c);
    __asm__ volatile("b 2f\n1: mrs x1, cntvct_el0\nmrs x0, cntpct_el0\nsub x0, x0, x1\nlsr x0, x0, #36\nret\n2: adr %0, 1b" : "=r"(f));
    show("offset of EL1", run_at(EL1H, f, 0));
    WRITE(cntvoff_el2, 0);
    WRITE(elr_el2, 0x123456789);
    show("elr", READ(elr_el2));
    WRITE(mair_el2, 0xff44);
    show("mair", READ(mair_el2));
    WRITE(sp_el1, READ(sp_el1));
}

/* ---- interrupts ---- */
static void wait_here(void)
{
    u64 start = READ(cntpct_el0);
    while (!interrupts && READ(cntpct_el0) - start < READ(cntfrq_el0) / 50)
        ;
}

static u64 loop(u64 x)
{
    wait_here();
    return x;
}

static void hyp_timer(void)
{
    interrupts = 0;
    WRITE(cnthp_cval_el2, 0);
    WRITE(cnthp_ctl_el2, 1);
}

static void test_interrupts(void)
{
    REG32(GICD) = 1;
    REG32(GICC) = 1;
    REG32(GICC + 4) = 0xf0;
    REG32(GICD + 0x100) = 1 << 26;
    hyp_timer();
    show("isr of EL2", READ(isr_el1));
    __asm__ volatile("msr daifclr, #2");
    wait_here();
    show("not EL2's", interrupts);                      /* IMO is clear: it is EL1's, which is not reached */
    WRITE(hcr_el2, HCR_RW | HCR_IMO);
    wait_here();
    show("EL2's", interrupts);
    __asm__ volatile("msr daifset, #2");
    hyp_timer();
    wait_here();
    show("masked", interrupts);
    run_at(EL1H, (u64)loop, 0);
    show("from EL1, which cannot mask it", interrupts);
    hyp_timer();
    run_at(EL0T, (u64)loop, 0);
    show("from EL0", interrupts);
    hyp_timer();
    RUN(EL1H, "isr of EL1", "mrs x0, isr_el1");
    show("taken", interrupts);
    WRITE(hcr_el2, HCR_RW | HCR_IMO | HCR_VI);
    RUN(EL1H, "virtual, masked", "mrs x0, isr_el1");
    show("waits", READ(hcr_el2) >> 7 & 1);
    RUN(EL1H_OPEN, "virtual", "nop");
    show("seen", READ(hcr_el2) >> 7 & 1);
    WRITE(hcr_el2, HCR_RW);
}

/* ---- EL2's translation: 4 KiB, 39 bits: level 1 first ---- */
enum { VALID = 1, PAGE = 3, AP1 = 1 << 6, RO = 1 << 7, SH = 3 << 8, AF = 1 << 10 };
#define XN (1ull << 54)
static u64 top[1024] __attribute__((aligned(8192))), mid[512] __attribute__((aligned(4096))), low[512] __attribute__((aligned(4096)));
static u64 page[512] __attribute__((aligned(4096))), other[512] __attribute__((aligned(4096)));

static u64 load(u64 va)
{
    u64 v = 0xdead;
    __asm__ volatile("ldr %0, [%1]" : "+r"(v) : "r"(va) : "memory");
    return v;
}
static void store(u64 va) { __asm__ volatile("str %0, [%1]" : : "r"(0x77ull), "r"(va) : "memory"); }
static void jump(u64 va) { __asm__ volatile("blr %0" : : "r"(va) : "x30", "memory"); }

static void tables(u64 leaf, u64 flags)
{
    for (unsigned n = 0; n < 512; n++)
        top[n] = mid[n] = low[n] = 0;
    top[0] = 0 | leaf | 4;
    top[1] = 0x40000000 | leaf;
    top[2] = (u64)mid | PAGE;
    mid[0] = (u64)low | PAGE;
    low[0] = (u64)page | flags;
}

static void test_mmu2(void)
{
    static const u64 flags[] = { PAGE | AF | SH | AP1, PAGE | AF | SH | AP1 | RO, PAGE | AF | SH | AP1 | XN, PAGE | SH | AP1, 0, 1 };
    page[0] = other[0] = 0xd65f03c0d65f03c0;
    other[1] = 0x99;
    page[1] = 0x88;
    tables(VALID | AF | SH | AP1, PAGE | AF | SH | AP1);
    WRITE(mair_el2, 0x00ff);
    WRITE(tcr_el2, 1ull << 31 | 1 << 23 | 2 << 16 | 25);
    WRITE(ttbr0_el2, top);
    __asm__ volatile("tlbi alle2\ndsb sy\nisb");
    WRITE(sctlr_el2, READ(sctlr_el2) | 1);
    for (unsigned n = 0; n < sizeof(flags) / sizeof(flags[0]); n++) {
        low[0] = (u64)page | flags[n];
        __asm__ volatile("dsb sy\ntlbi vae2is, %0\ndsb sy\nisb" : : "r"(0x80000000ull >> 12));
        show("flags", flags[n]);
        show("load", load(0x80000008));
        report("load");
        store(0x80000010);
        report("store");
        jump(0x80000000);
        report("jump");
        __asm__ volatile("at s1e2w, %0\nisb" : : "r"(0x80000000ull));
        show_par();
    }
    low[0] = (u64)other | PAGE | AF | SH | AP1;
    __asm__ volatile("dsb sy\ntlbi alle2\ndsb sy\nisb");
    show("another page", load(0x80000008));
    load(1ull << 40);
    report("beyond");
    load(~7ull);
    report("no upper range");
    WRITE(sctlr_el2, READ(sctlr_el2) & ~1ull);
}

/* ---- stage 2: 4 KiB, 40 bits, from level 1: two tables side by side ---- */
enum { S2_R = 1 << 6, S2_W = 1 << 7, S2_NORMAL = 15 << 2 };
static void flush2(void) { __asm__ volatile("dsb sy\ntlbi vmalls12e1is\ndsb sy\nisb" : : : "memory"); }
static u64 at_load(u64 x) { return load(x); }
static u64 at_store(u64 x) { return store(x), 0; }
static u64 at_jump(u64 x) { return jump(x), 0; }

static void accesses2(const char *what)
{
    print(what);
    show(" load", run_at(EL1H, (u64)at_load, 0x80000008));
    report("load");
    run_at(EL1H, (u64)at_store, 0x80000010);
    report("store");
    run_at(EL1H, (u64)at_jump, 0x80000000);
    report("jump");
    __asm__ volatile("at s12e1r, %0\nisb" : : "r"(0x80000008ull));
    show_par();
}

static void test_stage2(void)
{
    static const u64 flags[] = { S2_R | S2_W | AF | PAGE, S2_R | AF | PAGE, S2_W | AF | PAGE, S2_R | S2_W | AF | PAGE | XN, S2_R | S2_W | PAGE, 0 };
    u64 leaf = VALID | AF | SH | S2_NORMAL | S2_R | S2_W;
    for (unsigned n = 0; n < 1024; n++)
        top[n] = 0;
    tables(leaf & ~(u64)S2_NORMAL, 0);
    top[1] = 0x40000000 | leaf;
    WRITE(vtcr_el2, 1ull << 31 | 2 << 16 | 3 << 12 | 1 << 10 | 1 << 8 | 1 << 6 | 24);
    WRITE(vttbr_el2, (u64)top | 5ull << 48);
    WRITE(hcr_el2, HCR_RW | HCR_VM);
    for (unsigned n = 0; n < sizeof(flags) / sizeof(flags[0]); n++) {
        low[0] = (u64)page | flags[n] | (flags[n] ? SH | S2_NORMAL : 0);
        flush2();
        show("flags", flags[n]);
        accesses2("stage 2");
    }
    print("syndromes\n");
    RUN(EL1H, "ldrb", "mov x9, #0x80000000\nldrb w3, [x9, #3]");
    RUN(EL1H, "ldrsh", "mov x9, #0x80000000\nldrsh x4, [x9, #2]");
    RUN(EL1H, "ldrsb", "mov x9, #0x80000000\nldrsb w4, [x9, #2]");
    RUN(EL1H, "ldr register", "mov x9, #0x80000000\nldr w10, [x9, xzr]");
    RUN(EL1H, "ldur", "mov x9, #0x80000000\nldur x11, [x9, #5]");
    RUN(EL1H, "str", "mov x9, #0x80000000\nstr w12, [x9, #4]");
    RUN(EL1H, "strh", "mov x9, #0x80000000\nstrh wzr, [x9, #4]");
    RUN(EL1H, "post-indexed", "mov x9, #0x80000000\nldr x13, [x9], #8");
    RUN(EL1H, "pair", "mov x9, #0x80000000\nldp x13, x14, [x9]");
    RUN(EL1H, "ldar", "mov x9, #0x80000000\nldar w15, [x9]");
    RUN(EL1H, "stlr", "mov x9, #0x80000000\nstlr x16, [x9]");
    RUN(EL1H, "ldrsw", "mov x9, #0x80000000\nldrsw x3, [x9, #4]");
    RUN(EL1H, "simd", "mov x9, #0x80000000\nldr d0, [x9]");
    run_at(EL1H, (u64)at_load, 1ull << 41);
    report("beyond");
    /* another VM's pages under the same addresses */
    static u64 top2[1024] __attribute__((aligned(8192))), mid2[512] __attribute__((aligned(4096))), low2[512] __attribute__((aligned(4096)));
    for (unsigned n = 0; n < 512; n++)
        top2[n] = top[n];
    top2[2] = (u64)mid2 | PAGE;
    mid2[0] = (u64)low2 | PAGE;
    low[0] = (u64)page | leaf | PAGE;
    low2[0] = (u64)other | leaf | PAGE;
    flush2();
    for (unsigned n = 0; n < 4; n++) {
        WRITE(vttbr_el2, n & 1 ? (u64)top2 | 6ull << 48 : (u64)top | 5ull << 48);
        show(n & 1 ? "second" : "first", run_at(EL1H, (u64)at_load, 0x80000008));
        WRITE(hcr_el2, HCR_RW);
        WRITE(hcr_el2, HCR_RW | HCR_VM);
    }
    WRITE(vttbr_el2, (u64)top | 5ull << 48);
    low[0] = (u64)other | leaf | PAGE;
    __asm__ volatile("dsb sy\ntlbi ipas2e1is, %0\ndsb sy\ntlbi vmalle1is\ndsb sy\nisb" : : "r"(0x80000000ull >> 12));
    show("moved", run_at(EL1H, (u64)at_load, 0x80000008));
}

/* Both stages: stage 1's tables in what stage 2 may refuse. 4 KiB, 39 bits. */
static u64 s1[512] __attribute__((aligned(4096)));
static void test_both(void)
{
    u64 leaf = VALID | AF | SH | S2_NORMAL | S2_R | S2_W;
    for (unsigned n = 0; n < 512; n++)
        s1[n] = 0;
    s1[0] = VALID | AF | 4;
    s1[1] = 0x40000000 | VALID | AF | SH;
    s1[4] = 0x80000000 | VALID | AF | SH;               /* VA 0x100000000 is IPA 0x80000000 */
    s1[5] = 0x80000000 | PAGE;                          /* a table there */
    other[0] = 0;
    WRITE(mair_el1, 0x00ff);
    WRITE(tcr_el1, 2ull << 32 | 1 << 23 | 25 | 25 << 16);
    WRITE(ttbr0_el1, s1);
    WRITE(sctlr_el1, READ(sctlr_el1) | 1);
    low[0] = (u64)page | leaf | PAGE;
    flush2();
    show("load", run_at(EL1H, (u64)at_load, 0x100000008));
    report("load");
    run_at(EL1H, (u64)at_load, 0x140000000);
    report("table");
    low[0] = 0;
    flush2();
    run_at(EL1H, (u64)at_load, 0x100000008);
    report("load");
    run_at(EL1H, (u64)at_load, 0x140000000);
    report("table");
    run_at(EL1H, (u64)at_store, 0x140000010);
    report("table for a store");
    run_at(EL1H, (u64)at_load, 0x180000000);
    report("stage 1");
    __asm__ volatile("at s12e1r, %0\nisb" : : "r"(0x100000008ull));
    show_par();
    __asm__ volatile("at s12e1r, %0\nisb" : : "r"(0x140000000ull));
    show_par();
    __asm__ volatile("at s1e1r, %0\nisb" : : "r"(0x100000008ull));
    show_par();
    WRITE(sctlr_el1, READ(sctlr_el1) & ~1ull);
    WRITE(hcr_el2, HCR_RW);
}

void levels_main(void)
{
    test_calls();
    test_traps();
    test_registers();
    test_interrupts();
    test_mmu2();
    test_stage2();
    test_both();
    finish();
}
