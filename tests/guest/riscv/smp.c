/*
 * Two harts: LR/SC, atomics, a lock, message passing, store buffering with fences. What has them wait for one another goes on for a time and not
 * for a number of rounds: on one core of the host each turn costs an emulator a slice of its scheduler. What is printed does not depend on it.
 */
#include "tests/guest/riscv/guest.h"

enum { ROUNDS = 20000, TICKS = 10000000, BUFFER_ROUNDS = 2000, MESSAGES = 20000, BUFFER_TICKS = 3 * TICKS, MESSAGE_TICKS = 5 * TICKS };
static const u64 LAST = ~0ull;
static volatile u64 arrived, gone, a_lrsc, a_amo, a_lock, lock_word, slow_sum;
static volatile uint32_t a_lrsc32, a_min = 1u << 30, bits;
static volatile u64 x[2], seen[2], both_zero, data, flag, stale, turn, over;

u64 trap(u64 *regs);
u64 trap(u64 *regs)
{
    (void)regs;
    unexpected_trap();
}

static void meet(void)
{
    u64 n = __atomic_add_fetch(&arrived, 1, __ATOMIC_SEQ_CST), until = (n + 1) / 2 * 2;
    while (__atomic_load_n(&arrived, __ATOMIC_SEQ_CST) < until)
        ;
}

static void lr_sc(void)
{
    u64 v, fail;
    do
        __asm__ volatile("lr.d.aq %0, (%2)\naddi %0, %0, 1\nsc.d.rl %1, %0, (%2)" : "=&r"(v), "=&r"(fail) : "r"(&a_lrsc) : "memory");
    while (fail);
    do
        __asm__ volatile("lr.w %0, (%2)\naddiw %0, %0, 1\nsc.w %1, %0, (%2)" : "=&r"(v), "=&r"(fail) : "r"(&a_lrsc32) : "memory");
    while (fail);
}

static void with_lock(void)
{
    u64 old;
    do
        __asm__ volatile("amoswap.d.aq %0, %1, (%2)" : "=r"(old) : "r"(1ull), "r"(&lock_word) : "memory");
    while (old);
    a_lock = a_lock + 1;
    slow_sum = slow_sum + a_lock;
    __asm__ volatile("fence rw, w" : : : "memory");
    lock_word = 0;
}

static void store_buffer(u64 hart)
{
    u64 start = CSR_READ(time);
    for (unsigned n = 0; !over; n++) {
        meet();
        if (hart == 0) {
            x[0] = x[1] = 0;
            over = n + 1 >= BUFFER_ROUNDS || CSR_READ(time) - start > BUFFER_TICKS;
        }
        meet();
        x[hart] = 1;
        __asm__ volatile("fence rw, rw" : : : "memory");
        seen[hart] = x[!hart];
        meet();
        if (hart == 0 && !seen[0] && !seen[1])
            both_zero++;
    }
}

static void message(u64 hart)
{
    u64 start = CSR_READ(time), got = 0, n = 0;
    while (got != LAST && n != LAST) {
        if (hart == 0) {
            n = n + 2 >= MESSAGES || CSR_READ(time) - start > MESSAGE_TICKS ? LAST : n + 1;
            while (turn)
                ;
            data = n;
            __asm__ volatile("fence w, w" : : : "memory");
            flag = n;
            turn = 1;
        } else {
            while (flag == got)
                ;
            got = flag;
            __asm__ volatile("fence r, r" : : : "memory");
            stale += data != got;
            while (!turn)
                ;
            turn = 0;
        }
    }
}

void hart_main(u64 hart)
{
    if (hart > 1)
        return;
    meet();
    for (unsigned n = 0; n < ROUNDS; n++) {
        lr_sc();
        __atomic_add_fetch(&a_amo, 3, __ATOMIC_RELAXED);
        __asm__ volatile("amomin.w zero, %0, (%1)" : : "r"((u64)n * 2 + hart), "r"(&a_min) : "memory");
        __asm__ volatile("amoor.w zero, %0, (%1)" : : "r"(1ull << (n % 31)), "r"(&bits) : "memory");
        with_lock();
    }
    store_buffer(hart);
    message(hart);
    meet();
    if (hart)
        return;
    show("lr/sc", a_lrsc);
    show("lr/sc 32", a_lrsc32);
    show("amo", a_amo);
    show("min", a_min);
    show("bits", bits);
    show("lock", a_lock);
    show("sum", slow_sum);
    show("both zero", both_zero);
    show("stale", stale);
    finish(0);
}
