/* Exceptions, system registers, translation with granules of 4, 16 and 64 KiB: prints what it sees; the test compares with another emulator. */
#include "tests/guest/aarch64/guest.h"

static u64 n_traps, last_esr, last_far, last_kind, last_elr;

void trap(u64 kind, u64 *regs)
{
    u64 esr = READ(esr_el1), ec = esr >> 26;
    if (ec == 0x15 && (esr & 0xffff) == 0x77) {
        regs[31] = (u64)run_end;
        regs[32] = 0x3c5;
        return;
    }
    n_traps++;
    last_kind = kind;
    last_esr = esr;
    last_far = READ(far_el1);
    last_elr = regs[31];
    if (ec == 0x20 || ec == 0x21 || ec == 0x22)         /* fetch: back to the caller */
        regs[31] = regs[30];
    else if (ec != 0x15)
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
    } else {
        print(": no trap\n");
    }
    n_traps = 0;
}

#define TRY(what, code) do { __asm__ volatile(code : : : "x0", "x1", "x2", "x30", "cc", "memory"); report(what); } while (0)

/* ---- translation ---- */
enum { VALID = 1, PAGE = 2, AP_USER = 1 << 6, AP_RO = 1 << 7, AF = 1 << 10, NG = 1 << 11, SH = 3 << 8 };
#define PXN (1ull << 53)
#define UXN (1ull << 54)
static u64 top[8192] __attribute__((aligned(65536))), mid[8192] __attribute__((aligned(65536))), low[8192] __attribute__((aligned(65536)));
static u64 page[8192] __attribute__((aligned(65536)));
static const u64 BASE = 0x80000000;                     /* tested pages: low[] */

static void tlbi(void) { __asm__ volatile("dsb sy\ntlbi vmalle1\ndsb sy\nisb" : : : "memory"); }
static void mmu_off(void) { WRITE(sctlr_el1, READ(sctlr_el1) & ~1ull); }

/* 36 bits; identity for the first 2 GiB, low[] at BASE. */
static void mmu_on(unsigned bits)
{
    unsigned block = bits + bits - 3;                   /* of level 2 */
    for (unsigned i = 0; i < 8192; i++)
        top[i] = mid[i] = low[i] = 0;
    u64 attr = VALID | AF | SH, *l2 = bits == 12 ? mid : top;
    for (u64 a = 0; a < 0x80000000 && bits != 12; a += 1ull << block)
        top[a >> block] = a | attr | (a < 0x40000000 ? 4 : 0);
    if (bits == 12) {                                   /* 64 entries of 1 GiB */
        top[0] = attr | 4;
        top[1] = 0x40000000 | attr;
        top[2] = (u64)mid | 3;
        l2[0] = (u64)low | 3;
    } else {
        top[BASE >> block] = (u64)low | 3;
    }
    static const unsigned tg[] = { [12] = 0, [14] = 2, [16] = 1 };
    WRITE(mair_el1, 0x00ff);
    WRITE(tcr_el1, 28 | 28 << 16 | 1 << 23 | (u64)tg[bits] << 14 | 5ull << 32);
    WRITE(ttbr0_el1, top);
    tlbi();
    WRITE(sctlr_el1, READ(sctlr_el1) | 1);
}

static u64 load(u64 va)
{
    u64 v = 0xdead;
    __asm__ volatile("ldr %0, [%1]" : "+r"(v) : "r"(va) : "memory");
    return v;
}

static void store(u64 va) { __asm__ volatile("str %0, [%1]" : : "r"(0x77ull), "r"(va) : "memory"); }
static void jump(u64 va) { __asm__ volatile("blr %0" : : "r"(va) : "x30", "memory"); }

static void accesses(u64 va)
{
    page[0] = 0xd65f03c0d65f03c0;                       /* ret; ret */
    show(" load", load(va) & 0xffffffff);
    report(" load");
    jump(va);
    report(" jump");
    store(va);
    report(" store");
    page[0] = 0xd65f03c0d65f03c0;
    u64 v = 0;
    __asm__ volatile("mov %0, #0\nldtr %0, [%1]" : "+r"(v) : "r"(va) : "memory");
    report(" ldtr");
    __asm__ volatile("sttr xzr, [%0]" : : "r"(va) : "memory");
    report(" sttr");
    __asm__ volatile("at s1e1r, %0\nisb" : : "r"(va) : "memory");
    show(" par", READ(par_el1) & 0xfffffffffffff07full);
    __asm__ volatile("at s1e0w, %0\nisb" : : "r"(va) : "memory");
    show(" par", READ(par_el1) & 0xfffffffffffff07full);
}

static void test_pages(unsigned bits)
{
    static const u64 flags[] = { VALID | PAGE | AF, VALID | PAGE | AF | AP_RO, VALID | PAGE | AF | AP_USER, VALID | PAGE | AF | AP_USER | AP_RO, VALID | PAGE, VALID | AF, 0,
                                 VALID | PAGE | AF | PXN, VALID | PAGE | AF | AP_USER | AP_RO | UXN, VALID | PAGE | AF | NG };
    show("granule", bits);
    mmu_on(bits);
    for (unsigned n = 0; n < sizeof(flags) / sizeof(flags[0]); n++) {
        low[n] = (u64)page | flags[n] | SH;
        tlbi();
        show("flags", flags[n]);
        accesses(BASE + ((u64)n << bits));
    }
    show("across pages", load(BASE + (4ull << bits) - 4) & 1);
    report("across pages");
    low[20] = 1ull << 45 | VALID | PAGE | AF;           /* beyond the physical addresses */
    tlbi();
    show("far", load(BASE + (20ull << bits)) & 0);
    report("beyond");
    accesses(0xffffffff00000000);
    accesses(1ull << 40);
    /* the tables' own limits */
    u64 *table = bits == 12 ? &top[2] : &top[BASE >> (2 * bits - 3)], old = *table;
    *table = old | 1ull << 62 | 1ull << 59;             /* read-only, not executable at EL1 */
    tlbi();
    print("table limits\n");
    accesses(BASE);
    *table = old | 1ull << 61;                          /* not for EL0 */
    tlbi();
    accesses(BASE + (2ull << bits));
    *table = old;
    mmu_off();
}

/* Code that is marked not global is another after a flush of its ASID, and under another ASID. */
static void test_asid(void)
{
    u64 upper = 0xfffffff000000000, (*fn)(void) = (u64 (*)(void))(upper + BASE);
    static u64 other[512] __attribute__((aligned(4096)));
    mmu_on(12);
    page[0] = 0xd65f03c0d2800020;                       /* mov x0, #1; ret */
    other[0] = 0xd65f03c0d2800040;
    __asm__ volatile("dsb ish\nic iallu\ndsb ish\nisb" : : : "memory");
    WRITE(tcr_el1, (READ(tcr_el1) & ~(1ull << 23)) | 2ull << 30);
    WRITE(ttbr1_el1, top);
    for (u64 asid = 1; asid < 4; asid++) {
        WRITE(ttbr0_el1, (u64)top | asid << 48);
        low[0] = (u64)page | VALID | PAGE | AF | NG | SH;
        __asm__ volatile("dsb ish\ntlbi aside1is, %0\ndsb ish\nisb" : : "r"(asid << 48) : "memory");
        show("code", fn());
        show("again", fn());
        low[0] = (u64)other | VALID | PAGE | AF | NG | SH;
        __asm__ volatile("dsb ish\ntlbi aside1is, %0\ndsb ish\nisb" : : "r"(asid << 48) : "memory");
        show("changed", fn());
        low[0] = (u64)page | VALID | PAGE | AF | NG | SH;
        __asm__ volatile("dsb ish\ntlbi vae1is, %0\ndsb ish\nisb" : : "r"(asid << 48 | ((upper + BASE) >> 12 & 0xfffffffffff)) : "memory");
        show("and back", fn());
        low[0] = (u64)page | VALID | PAGE | AF | NG | PXN | SH;
        __asm__ volatile("dsb ish\ntlbi aside1is, %0\ndsb ish\nisb" : : "r"(asid << 48) : "memory");
        fn();
        report("not executable");
    }
    WRITE(ttbr0_el1, top);
    mmu_off();
}

/* ---- EL0 ---- */
static u64 el0_svc(u64 x)
{
    __asm__ volatile("svc #0x123" : : : "memory");
    return x + 1;
}
static u64 el0_undef(u64 x)
{
    __asm__ volatile("udf #7\nmrs x1, sctlr_el1\nmsr tpidr_el1, x1" : : : "x1");
    return x;
}
static u64 el0_daif(u64 x)
{
    __asm__ volatile("mrs x1, daif" : : : "x1");
    return x;
}
static u64 el0_ctr(u64 x)
{
    u64 v = 0;
    __asm__ volatile("mrs %0, ctr_el0" : "+r"(v));
    return x + (v != 0);
}
static u64 el0_cnt(u64 x)
{
    u64 v = 0;
    __asm__ volatile("mrs %0, cntvct_el0" : "+r"(v));
    return x + (v != 0);
}
static u64 el0_brk(u64 x)
{
    __asm__ volatile("brk #0x55");
    return x;
}
static u64 el0_fp(u64 x)
{
    __asm__ volatile("fmov d0, xzr" : : : "v0");
    return x;
}
static u64 el0_wfi(u64 x)
{
    __asm__ volatile("ic ivau, %0\ndc cvau, %0" : : "r"(&n_traps));
    return x;
}

static u64 el0_wait(u64 x)
{
    __asm__ volatile("wfi");
    return x;
}

static void test_el0(void)
{
    WRITE(sctlr_el1, READ(sctlr_el1) & ~(1ull << 16));
    run_el0(el0_wait, 0);
    report("wfi of EL0");
    show("svc", run_el0(el0_svc, 41));
    report("svc");
    show("elr", last_elr - (u64)el0_svc);
    run_el0(el0_undef, 0);
    report("undefined");
    run_el0(el0_daif, 0);
    report("daif");
    run_el0(el0_ctr, 0);
    report("ctr");
    WRITE(sctlr_el1, READ(sctlr_el1) | 1 << 15 | 1 << 26 | 1 << 9);
    run_el0(el0_daif, 0);
    report("daif allowed");
    show("ctr", run_el0(el0_ctr, 1));
    report("ctr allowed");
    run_el0(el0_wfi, 0);
    report("caches");
    WRITE(cntkctl_el1, 0);
    run_el0(el0_cnt, 0);
    report("cnt");
    WRITE(cntkctl_el1, 2);
    show("cnt", run_el0(el0_cnt, 1));
    report("cnt allowed");
    run_el0(el0_brk, 0);
    report("brk");
    WRITE(cpacr_el1, 1 << 20);
    run_el0(el0_fp, 0);
    report("fp of EL0");
    WRITE(cpacr_el1, 0);
    TRY("fp", "fmov d0, xzr");
    TRY("simd", "movi v0.16b, #1");
    WRITE(cpacr_el1, 3 << 20);
}

static void test_el1(void)
{
    TRY("udf", "udf #0");
    TRY("smc", "smc #0");
    TRY("brk", "brk #0x1234");
    TRY("el2 register", "mrs x0, hcr_el2");
    TRY("no such register", "mrs x0, s3_3_c15_c7_7");
    TRY("read-only", "msr s3_0_c0_c0_0, x0");
    TRY("svc", "svc #0xffff");
    TRY("sp_el0 in use", "mov x1, sp\nmsr spsel, #0\nmov x0, sp\nmsr spsel, #1");
    __asm__ volatile("adr x0, 1f\nmsr elr_el1, x0\nmov x0, #0x3cd\nmsr spsr_el1, x0\neret\n1:nop\nnop" : : : "x0");   /* to EL3: illegal, then PSTATE.IL */
    report("illegal return");
    TRY("misaligned pc", "adr x0, 1f\nadd x0, x0, #2\nblr x0\nb 2f\n1: ret\n2:");
    WRITE(sctlr_el1, READ(sctlr_el1) | 2);
    load((u64)&page[0] + 1);
    report("alignment");
    WRITE(sctlr_el1, READ(sctlr_el1) & ~2ull);
    show("currentel", READ(currentel));
    show("spsel", READ(spsel));
    __asm__ volatile("msr daifset, #15");
    show("daif", READ(daif));
    __asm__ volatile("msr daifclr, #4");
    show("daif", READ(daif));
    show("mpidr", READ(mpidr_el1));
    show("midr", READ(midr_el1));
    WRITE(vbar_el1, READ(vbar_el1) | 0);
    WRITE(contextidr_el1, 0x12345678);
    show("contextidr", READ(contextidr_el1));
    WRITE(tpidr_el1, -3);
    show("tpidr", READ(tpidr_el1));
    WRITE(cntv_ctl_el0, 0);
    WRITE(cntv_cval_el0, 0x123456789abc);
    show("cval", READ(cntv_cval_el0));
    show("ctl", READ(cntv_ctl_el0));
    show("frequency", READ(cntfrq_el0));
}

void cpu_main(u64 cpu)
{
    (void)cpu;
    test_el1();
    test_el0();
    test_pages(12);
    test_pages(16);
    test_asid();
    finish();
}
