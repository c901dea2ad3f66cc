/* SCTLR.SA, SA0: the stack pointer as a base is a multiple of 16 or faults (ARM D1.8.2). aarch64/stack.txt says what is printed: QEMU does not look. */
#include "tests/guest/aarch64/guest.h"

static u64 n_traps, last_esr, last_kind;

void trap(u64 kind, u64 *regs)
{
    u64 esr = READ(esr_el1);
    if (esr >> 26 == 0x15 && (esr & 0xffff) == 0x77) {
        regs[31] = (u64)run_end;
        regs[32] = 0x3c5;
        return;
    }
    n_traps++;
    last_esr = esr;
    last_kind = kind;
    regs[31] += 4;
}

static void report(const char *what)
{
    print(what);
    show(" faults", n_traps);
    if (n_traps) {
        show(" kind", last_kind);
        show(" esr", last_esr);
    }
    n_traps = 0;
}

/* Five that fault; then no base, no access, and all is well again. */
#define BAD(by) "mov x1, sp\n" by "\nldr x0, [sp]\nstp x0, x0, [sp, #-16]!\nldr q0, [sp, #16]\nld1 {v0.16b}, [sp], #16\nldxr x0, [sp]\n" \
                "prfm pldl1keep, [sp]\nadd x0, sp, #16\nldr x0, [x1]\nmov sp, x1\nldr x0, [sp]\nstp x0, x0, [sp, #-16]!\nldr x0, [sp], #16\n"
static u64 by_sub(u64 x)
{
    __asm__ volatile(BAD("sub sp, sp, #8") : : : "x0", "x1", "memory");
    return x;
}
static u64 by_move(u64 x)
{
    __asm__ volatile(BAD("sub x0, sp, #4\nmov sp, x0") : : : "x0", "x1", "memory");
    return x;
}
static u64 by_writeback(u64 x)
{
    __asm__ volatile(BAD("str x0, [sp, #-24]!") : : : "x0", "x1", "memory");
    return x;
}
static u64 by_pair(u64 x)
{
    __asm__ volatile(BAD("ldp w0, w2, [sp], #-8") : : : "x0", "x1", "x2", "memory");
    return x;
}
static u64 (*const tests[])(u64) = { by_sub, by_move, by_writeback, by_pair };

static void all(const char *what)
{
    print(what);
    print("\n");
    for (unsigned turn = 0; turn < 400; turn++)         /* again when it is hot */
        for (unsigned n = 0; n < 4; n++) {
            run_el0(tests[n], 0);
            if (turn % 399 == 0)
                report("EL0");
            n_traps = 0;
        }
}

void cpu_main(u64 cpu)
{
    (void)cpu;
    WRITE(sctlr_el1, READ(sctlr_el1) & ~0x18ull);
    all("off");
    WRITE(sctlr_el1, READ(sctlr_el1) | 0x10);
    all("EL0");
    WRITE(sctlr_el1, (READ(sctlr_el1) & ~0x10ull) | 8);
    all("EL1");
    /* EL1 on the stack of EL0: exceptions have their own */
    static u64 stack[64] __attribute__((aligned(16)));
    for (unsigned off = 0; off < 24; off += 8) {
        __asm__ volatile("msr sp_el0, %0\nmsr spsel, #0\nldr x0, [sp]\nmsr spsel, #1" : : "r"((u64)stack + 64 + off) : "x0", "memory");
        report("EL1t");
    }
    finish();
}
