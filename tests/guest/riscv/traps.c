/* Exceptions, delegation, CSRs, Sv39 and Sv48, PMP: prints what it sees; the test compares with another emulator. */
#include "tests/guest/riscv/guest.h"

static u64 n_traps, last_cause, last_tval, last_epc;

u64 trap(u64 *regs);
u64 trap(u64 *regs)
{
    u64 cause = CSR_READ(mcause), epc = CSR_READ(mepc);
    if (cause - 8 < 4 && regs[17] == 0x1234) {          /* run_return */
        CSR_SET(mstatus, 3 << 11);
        CSR_WRITE(mepc, run_end);
        return 0;
    }
    n_traps++;
    last_cause = cause;
    last_tval = CSR_READ(mtval);
    last_epc = epc;
    if (cause == 1 || cause == 12)                      /* fetch: back to the caller */
        CSR_WRITE(mepc, regs[1]);
    else
        CSR_WRITE(mepc, epc + ((*(volatile uint16_t *)epc & 3) == 3 ? 4 : 2));
    return 0;
}

static void report(const char *what)
{
    print(what);
    if (n_traps) {
        show(": cause", last_cause);
        show("    tval", last_tval);
    } else {
        print(": no trap\n");
    }
    n_traps = 0;
}

#define TRY(what, code) do { __asm__ volatile(code : : : "t0", "t1", "t2", "memory"); report(what); } while (0)

/* ---- page tables ---- */
enum { V = 1, R = 2, W = 4, X = 8, PU = 16, G = 32, A = 64, D = 128 };
static u64 root[512] __attribute__((aligned(4096))), mid[512] __attribute__((aligned(4096))), low[512] __attribute__((aligned(4096))),
    top[512] __attribute__((aligned(4096)));
static u64 page[512] __attribute__((aligned(4096)));
static const u64 BASE = 0x40000000;                     /* tested pages: low[] */

static u64 pte(void *p, u64 flags) { return (u64)p >> 12 << 10 | flags; }

static void make_tables(void)
{
    root[2] = pte((void *)0x80000000, V | R | W | X | A | D);           /* the image, as a gigapage */
    root[0] = pte((void *)0, V | R | W | A | D);                        /* devices */
    root[1] = pte(mid, V);
    mid[0] = pte(low, V);
    top[0] = pte(root, V);
}

static u64 load(u64 va)
{
    u64 v = 0xdead;
    __asm__ volatile(".option push\n.option norvc\nld %0, (%1)\n.option pop" : "+r"(v) : "r"(va) : "memory");
    return v;
}

static u64 store(u64 va)
{
    __asm__ volatile(".option push\n.option norvc\nsd %0, (%1)\n.option pop" : : "r"(0x77ull), "r"(va) : "memory");
    return 0;
}

static u64 jump(u64 va)
{
    __asm__ volatile("jalr %0" : : "r"(va) : "ra", "memory");
    return 0;
}

static void access_all(const char *what, u64 mode, u64 va)
{
    print(what);
    print(mode == S ? " S" : mode == U ? " U" : " M");
    put('\n');
    show(" load", run_in(load, va, mode));
    report(" load");
    run_in(store, va, mode);
    report(" store");
    page[0] = 0x8082808280828082;                       /* c.jr ra */
    run_in(jump, va, mode);
    report(" jump");
}

static void test_pages(const char *name)
{
    static const uint16_t flags[] = { V | R | W | X | A | D, V | R | A | D, V | R | W, V | X | A, V | R | W | X | PU | A | D, V | W | A | D, 0, V | R | PU, V | R | W | X | A | D | 256 };
    print(name);
    put('\n');
    for (unsigned n = 0; n < sizeof(flags) / sizeof(flags[0]); n++) {
        low[n] = pte(page, flags[n]);
        __asm__ volatile("sfence.vma");
        show("flags", flags[n]);
        access_all("", S, BASE + 4096 * n);
        show(" pte", low[n] & 0x3ff);
        page[0] = 0x8082808280828082;
        CSR_SET(mstatus, 1 << 18 | 1 << 19);            /* SUM, MXR */
        access_all(" SUM MXR", S, BASE + 4096 * n);
        CSR_CLEAR(mstatus, 1 << 18 | 1 << 19);
        page[0] = 0x8082808280828082;
    }
    root[511] = pte(page, V | R | A);                   /* misaligned superpage */
    __asm__ volatile("sfence.vma");
    access_all("misaligned gigapage", S, 0xffffffffc0000000);
    access_all("not canonical", S, 0x0100000000000000);
    access_all("across pages", S, BASE + 4092);
    /* data accesses of machine mode with the rights of S */
    CSR_CLEAR(mstatus, 3 << 11);
    CSR_SET(mstatus, 1 << 11 | 1 << 17);
    u64 v = load(BASE);
    CSR_CLEAR(mstatus, 1 << 17);
    show("MPRV load", v);
    report("MPRV load");
}

/* ---- delegation: S takes its own traps ---- */
static u64 s_cause, s_tval, s_status;
void s_trap(void);
void s_trap_c(void);
__asm__(".text\n.balign 4\n.globl s_trap\ns_trap: addi sp, sp, -128\nsd ra, 0(sp)\nsd a0, 8(sp)\nsd a1, 16(sp)\nsd a2, 24(sp)\nsd a3, 32(sp)\nsd a4, 40(sp)\nsd a5, 48(sp)\nsd a6, 56(sp)\n"
        "sd a7, 64(sp)\nsd t0, 72(sp)\nsd t1, 80(sp)\nsd t2, 88(sp)\ncall s_trap_c\nld ra, 0(sp)\nld a0, 8(sp)\nld a1, 16(sp)\nld a2, 24(sp)\nld a3, 32(sp)\nld a4, 40(sp)\nld a5, 48(sp)\n"
        "ld a6, 56(sp)\nld a7, 64(sp)\nld t0, 72(sp)\nld t1, 80(sp)\nld t2, 88(sp)\naddi sp, sp, 128\nsret\n");
void s_trap_c(void)
{
    s_cause = CSR_READ(scause);
    s_tval = CSR_READ(stval);
    s_status = CSR_READ(sstatus) & 0x122;
    CSR_WRITE(sepc, CSR_READ(sepc) + 4);
}

static u64 in_s(u64 arg)
{
    CSR_SET(sstatus, 2);
    __asm__ volatile(".option push\n.option norvc\n.word 0xffffffff\n.option pop");
    return arg + 1;
}

/* sstatus before and after SIE is taken away, by the instruction's immediate. */
static u64 s_before, s_after;
static u64 irqs_off(u64 arg)
{
    CSR_SET(sstatus, 2);
    __asm__ volatile("csrrci %0, sstatus, 2\ncsrrci %1, sstatus, 2\ncsrci sstatus, 2" : "=&r"(s_before), "=r"(s_after));
    return arg + CSR_READ(sstatus);
}

static u64 priv_csr(u64 arg)
{
    (void)arg;
    return CSR_READ(mstatus);
}

static u64 do_wfi(u64 arg)
{
    __asm__ volatile("wfi");
    return arg;
}

static u64 do_satp(u64 arg)
{
    (void)arg;
    return CSR_READ(satp);
}

static u64 do_sret(u64 arg)
{
    __asm__ volatile("la t0, 1f\ncsrw sepc, t0\nli t0, 0x100\ncsrs sstatus, t0\nsret\n1:" : : : "t0");
    return arg;
}

static u64 read_time(u64 arg)
{
    (void)arg;
    return CSR_READ(time) != 0;
}

static u64 read_cycle(u64 arg)
{
    (void)arg;
    return CSR_READ(cycle) + CSR_READ(instret);
}

/* Counters that are written, stopped, and hidden (priv 3.1.10-3.1.12). */
static void test_counters(void)
{
    CSR_WRITE(mcountinhibit, 5);
    show("mcountinhibit", CSR_READ(mcountinhibit) & 5);
    CSR_WRITE(mcycle, 1000);
    CSR_WRITE(minstret, 2000);
    show("mcycle", CSR_READ(mcycle));
    show("minstret", CSR_READ(minstret));
    show("cycle", CSR_READ(cycle));
    CSR_SET(mcycle, 7);
    show("mcycle", CSR_READ(mcycle));
    CSR_WRITE(mcountinhibit, 0);
    u64 c = CSR_READ(mcycle), i = CSR_READ(minstret);
    for (volatile int n = 0; n < 1000; n++)
        ;
    show("they run", c >= 1007 && i >= 2000 && CSR_READ(mcycle) > c && CSR_READ(minstret) > i);
    CSR_WRITE(mcycle, 1ull << 62);
    show("from there", CSR_READ(mcycle) >> 56);
    CSR_WRITE(mcycle, 0);
    CSR_WRITE(mcounteren, 7);
    CSR_WRITE(scounteren, 0);
    show("S sees", run_in(read_cycle, 0, S) != 0);
    report("cycle in S");
    run_in(read_cycle, 0, U);
    report("cycle in U, scounteren off");
    CSR_WRITE(scounteren, 4);
    run_in(read_cycle, 0, U);
    report("cycle in U, instret on");
    CSR_WRITE(scounteren, 5);
    run_in(read_cycle, 0, U);
    report("cycle in U");
    CSR_WRITE(mcounteren, 0);
    run_in(read_cycle, 0, S);
    report("cycle in S, off");
}

static u64 read_stimecmp(u64 arg)
{
    (void)arg;
    u64 v;
    __asm__ volatile("csrr %0, 0x14d" : "=r"(v));
    return 0;
}

/* One instruction of each extension that a CPU can be without. */
static void test_extensions(void)
{
    TRY("zba", ".insn r 0x33, 2, 0x10, t0, t1, t2");    /* sh1add */
    TRY("zbb", ".insn r 0x33, 4, 0x05, t0, t1, t2");    /* min */
    TRY("zbb rori", ".insn i 0x13, 5, t0, t1, 0x603");
    TRY("zbc", ".insn r 0x33, 1, 0x05, t0, t1, t2");    /* clmul */
    TRY("zbs", ".insn r 0x33, 1, 0x14, t0, t1, t2");    /* bset */
    CSR_WRITE(mcounteren, 7);
    __asm__ volatile("csrs 0x30a, %0" : : "r"(1ull << 63));
    run_in(read_stimecmp, 0, S);
    report("sstc");
    __asm__ volatile("csrc 0x30a, %0" : : "r"(1ull << 63));
}

static void test_delegation(void)
{
    CSR_WRITE(medeleg, 1 << 2);
    CSR_WRITE(stvec, s_trap);
    show("in S", run_in(in_s, 41, S));
    show("scause", s_cause);
    show("stval", s_tval);
    show("sstatus", s_status);
    CSR_WRITE(medeleg, 0);
    report("delegated");
    for (u64 fs = 0; fs < 4; fs++) {
        CSR_CLEAR(mstatus, 3 << 13);
        CSR_SET(mstatus, fs << 13);
        show("irqs off", run_in(irqs_off, 0, S));
        show(" before", s_before);
        show(" after", s_after);
        report(" irqs off");
    }
    show("irqs off in M", irqs_off(0));
    run_in(irqs_off, 0, U);
    report("irqs off in U");
    run_in(priv_csr, 0, S);
    report("mstatus in S");
    CSR_SET(mstatus, 7 << 20);                          /* TVM TW TSR */
    run_in(do_satp, 0, S);
    report("TVM");
    run_in(do_sret, 0, S);
    report("TSR");
    CSR_CLEAR(mstatus, 7 << 20);
    run_in(do_wfi, 0, U);
    report("wfi in U");
    CSR_WRITE(mcounteren, 0);
    run_in(read_time, 0, S);
    report("time off");
    CSR_WRITE(mcounteren, 7);
    CSR_WRITE(scounteren, 7);
    show("time", run_in(read_time, 0, U));
    report("time on");
}

static u64 fetch_nowhere(u64 arg)
{
    __asm__ volatile("jalr %0" : : "r"(arg) : "ra");
    return 0;
}

/* Physical addresses where nothing is: between the test device's and the interrupt controllers' places. */
static void test_nowhere(void)
{
    TRY("load from nowhere", "li t0, 0x1f00008\nld t1, (t0)");
    TRY("byte", "li t0, 0x1f00003\nlb t1, (t0)");
    TRY("store to nowhere", "li t0, 0x1f00010\nsw t1, (t0)");
    __asm__ volatile("li t0, 0x1f00020\namoadd.w t1, t1, (t0)" : : : "t0", "t1", "memory");
    show("atomic", last_cause == 7 || last_cause == 5);     /* QEMU 7.2: 5, of the load in it; priv table 3.6: 7 */
    n_traps = 0;
    fetch_nowhere(0x1f00000);
    report("fetch from nowhere");
}

static void test_csrs(void)
{
    CSR_WRITE(satp, 5ull << 60);
    show("satp 5", CSR_READ(satp));
    CSR_WRITE(mepc, 0x1235);
    show("mepc", CSR_READ(mepc) & ~1ull);
    CSR_SET(mstatus, 2 << 11);
    CSR_WRITE(mscratch, 0);
    CSR_WRITE(sscratch, -3);
    show("sscratch", CSR_READ(sscratch));
    CSR_WRITE(mie, -1);
    show("mie", CSR_READ(mie) & 0xaaa);
    CSR_WRITE(mie, 0);
    CSR_WRITE(sie, -1);
    show("sie", CSR_READ(sie));
    CSR_WRITE(mideleg, 0x222);
    CSR_WRITE(sie, -1);
    show("sie", CSR_READ(sie));
    CSR_WRITE(mie, 0);
    CSR_WRITE(mip, 2);
    show("sip", CSR_READ(sip));
    CSR_CLEAR(sip, 2);
    show("sip", CSR_READ(sip));
    CSR_WRITE(mhpmcounter5, 77);
    report("mhpmcounter5");
    CSR_WRITE(fcsr, 0xff);
    show("fcsr", CSR_READ(fcsr));
    show("frm", CSR_READ(frm));
    TRY("dynamic rm 7", "fadd.d ft0, ft0, ft0");
    CSR_WRITE(fcsr, 0);
    CSR_CLEAR(mstatus, 3 << 13);
    TRY("FS off", "fadd.d ft0, ft0, ft0");
    TRY("FS off load", "fld ft0, -16(sp)");
    TRY("FS off csr", "csrr t0, fcsr");
    CSR_SET(mstatus, 1 << 13);
    show("FS", CSR_READ(mstatus) >> 13 & 3);
    TRY("FS initial", "fmv.d.x ft0, zero");
    show("FS", CSR_READ(mstatus) >> 13 & 3);
    show("SD", CSR_READ(mstatus) >> 63);
}

void hart_main(u64 hart)
{
    if (hart)
        return;
    TRY("illegal 0", ".word 0");
    TRY("illegal c", ".half 0x8000\n.half 1");
    TRY("illegal", ".word 0xffffffff");
    TRY("ebreak", ".option push\n.option norvc\nebreak\n.option pop");
    TRY("csr none", "csrr t0, 0x7ff");
    TRY("csr read-only", "csrw mhartid, t0");
    TRY("csr read-only, no write", "csrrs t0, mhartid, zero");
    TRY("ecall M", "li a7, 0\necall");
    test_nowhere();
    test_csrs();
    test_counters();
    test_extensions();
    test_delegation();
    make_tables();
    CSR_WRITE(satp, 8ull << 60 | (u64)root >> 12);
    test_pages("Sv39");
    root[511] = 0;
    CSR_WRITE(satp, 9ull << 60 | (u64)top >> 12);
    test_pages("Sv48");
    CSR_WRITE(satp, 0);
    CSR_WRITE(pmpaddr1, (u64)page >> 2 | 0x1ff);        /* behind entry 0, which matches everything */
    CSR_WRITE(pmpcfg0, 0x191f);
    access_all("PMP all", S, (u64)page);
    page[0] = 0x8082808280828082;
    CSR_WRITE(pmpaddr0, (u64)page >> 2 | 0x1ff);        /* read only, the rest by entry 1 */
    CSR_WRITE(pmpaddr1, -1);
    CSR_WRITE(pmpcfg0, 0x1f19);
    access_all("PMP R", S, (u64)page);
    CSR_WRITE(pmpcfg0, 0x1f00 | 0x99);                  /* locked: machine mode too */
    store((u64)page);
    report("PMP locked");
    finish(0);
}
