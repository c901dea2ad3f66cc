/*
 * Condition flags in the frame of a signal that an access raised: what the instruction before left, even if the next one overwrites them all. Expected is what the
 * same instruction leaves when the flags are read behind it. Prints how many differed: the same natively and under tandem-user, for every CPU.
 */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <ucontext.h>

/* WARM: turns without a fault first, so that hot translations are met too. */
enum { WARM = 600, CF = 1, PF = 4, AF = 16, ZF = 64, SF = 128, OF = 2048, ALL = CF | PF | AF | ZF | SF | OF };

typedef struct Case { const char *name; void (*run)(uint64_t x, uint64_t y, void *at, uint64_t *ret_flags); uint64_t mask; } Case;
static volatile uint64_t seen;
static const uint64_t values[] = { 0, 1, 2, 0x7f, 0x80, 0xff, 0x8000, 0x7fffffff, 0x80000000, 0xffffffff, 0x123456789abcdef0, 0x7fffffffffffffff, 0x8000000000000000, UINT64_MAX };
enum { N_VALUES = sizeof(values) / sizeof(values[0]) };

#if defined(__x86_64__) || defined(__i386__)
#ifdef __x86_64__
#define POPF "pushfq\n\tpop %0\n\t"
#define WORD uint64_t
#else
#define POPF "pushfl\n\tpop %0\n\t"
#define WORD uint32_t
#endif
/* The accesses have two bytes: 8b 07 and 89 07. The handler steps over them, XOR overwrites the flags. */
#define CASE(name, op)                                                                                                                          \
    static void name(uint64_t x, uint64_t y, void *at, uint64_t *ret_flags)                                                                     \
    {                                                                                                                                           \
        WORD fl = 0, a = (WORD)x, b = (WORD)y, z = 0;                                                                                           \
        if (ret_flags) {                                                                                                                        \
            __asm__ volatile("add $0, %3\n\t" op "\n\t" POPF : "+r"(fl), "+c"(a), "+d"(b), "+a"(z) : : "cc", "memory");                           \
            *ret_flags = fl;                                                                                                                    \
            return;                                                                                                                             \
        }                                                                                                                                       \
        __asm__ volatile("add $0, %2\n\t" op "\n\tmov $3, %%ecx\n\tmov (%3), %%eax\n\tmov $4, %%edx\n\tmov %%eax, (%3)\n\txor %%ecx, %%ecx" \
                         : "+c"(a), "+d"(b), "+a"(z) : "D"(at) : "cc", "memory");                                                               \
    }
#define OPS(X) X(cmp1, "cmp %%dl, %%cl", ALL) X(cmp2, "cmp %%dx, %%cx", ALL) X(cmp4, "cmp %%edx, %%ecx", ALL) X(sub4, "sub %%edx, %%ecx", ALL) X(sub1, "sub %%dl, %%cl", ALL) \
    X(add4, "add %%edx, %%ecx", ALL) X(add2, "add %%dx, %%cx", ALL) X(add1, "add %%dl, %%ch", ALL) X(test4, "test %%edx, %%ecx", ALL & ~AF) X(and1, "and %%dl, %%cl", ALL & ~AF) \
    X(or2, "or %%dx, %%cx", ALL & ~AF) X(xor4, "xor %%edx, %%ecx", ALL & ~AF) X(inc4, "inc %%ecx", ALL) X(dec1, "dec %%cl", ALL) X(neg4, "neg %%edx", ALL) \
    X(shl4, "shl $5, %%ecx", CF | PF | ZF | SF) X(shr4, "shr $1, %%ecx", ALL & ~AF) X(sar4, "sar $9, %%ecx", CF | PF | ZF | SF) X(shl1, "shl $3, %%cl", CF | PF | ZF | SF) \
    X(adc4, "add %%edx, %%edx\n\tadc %%ecx, %%edx", ALL) X(cmpi, "cmp $77, %%ecx", ALL) X(bt, "bt %%edx, %%ecx", CF) X(mul, "imul %%edx, %%ecx", CF | OF) \
    X(lea, "lea 9(%%ecx), %%edx\n\tcmp %%edx, %%ecx", ALL) X(two, "add $0x7f, %%ecx\n\tmov %%ecx, %%edx\n\tsub $99, %%edx", ALL)
#ifdef __x86_64__
#define MORE(X) X(cmp8, "cmp %%rdx, %%rcx", ALL) X(sub8, "sub %%rdx, %%rcx", ALL) X(add8, "add %%rdx, %%rcx", ALL) X(test8, "test %%rcx, %%rcx", ALL & ~AF) \
    X(shr8, "shr $33, %%rcx", CF | PF | ZF | SF) X(sar8, "sar $1, %%rcx", ALL & ~AF)
#else
#define MORE(X)
#endif
static void handler(int sig, siginfo_t *si, void *opaque)
{
    ucontext_t *uc = opaque;
    (void)sig, (void)si;
#ifdef __x86_64__
    seen = (uint64_t)uc->uc_mcontext.gregs[REG_EFL];
    uc->uc_mcontext.gregs[REG_RIP] += 2;
#else
    seen = (uint32_t)uc->uc_mcontext.gregs[REG_EFL];
    uc->uc_mcontext.gregs[REG_EIP] += 2;
#endif
}
#elif defined(__aarch64__)
#define CASE(name, op)                                                                                                                          \
    static void name(uint64_t x, uint64_t y, void *at, uint64_t *ret_flags)                                                                     \
    {                                                                                                                                           \
        uint64_t fl = 0, z;                                                                                                                     \
        if (ret_flags) {                                                                                                                        \
            __asm__ volatile(op "\n\tmrs %0, nzcv" : "=&r"(fl), "+r"(x), "+r"(y) : : "cc", "memory");                                           \
            *ret_flags = fl;                                                                                                                    \
            return;                                                                                                                             \
        }                                                                                                                                       \
        __asm__ volatile("cmn xzr, xzr\n\tldr %0, [sp]\n\t" op "\n\tmov %1, 3\n\tldr %0, [%3]\n\tmov %2, 4\n\tstr %0, [%3]\n\tcmp %1, %1" : "=&r"(z), "+r"(x), "+r"(y) : "r"(at) : "cc", "memory"); \
    }
#define OPS(X) X(cmp8, "cmp %1, %2", ALL) X(cmp4, "cmp %w1, %w2", ALL) X(cmn8, "cmn %1, %2", ALL) X(adds4, "adds %w1, %w1, %w2", ALL) X(subs8, "subs %2, %1, %2", ALL) \
    X(ands8, "ands %1, %1, %2", ALL) X(tst4, "tst %w1, %w2", ALL) X(bics, "bics %w2, %w1, %w2", ALL) X(negs, "negs %1, %2", ALL) X(cmpi, "cmp %1, 77", ALL) \
    X(shifted, "cmp %1, %2, lsl 3", ALL) X(ccmp, "cmp %1, 1\n\tccmp %2, 5, 3, ne", ALL) X(adcs, "adds %1, %1, %1\n\tadcs %2, %2, %1", ALL)
#define MORE(X)
#undef ALL
#define ALL 0xf0000000
static void handler(int sig, siginfo_t *si, void *opaque)
{
    ucontext_t *uc = opaque;
    (void)sig, (void)si;
    seen = uc->uc_mcontext.pstate;
    uc->uc_mcontext.pc += 4;
}
#else
#define CASE(name, op)
#define OPS(X)
#define MORE(X)
static void handler(int sig, siginfo_t *si, void *opaque) { (void)sig, (void)si, (void)opaque; }
#endif

#define DEFINE(name, op, mask) CASE(name, op)
#define LIST(name, op, mask) { #name, name, mask },
OPS(DEFINE) MORE(DEFINE)
static const Case cases[] = { OPS(LIST) MORE(LIST) { 0 } };

static unsigned differing(const Case *c, void *good, void *bad)
{
    unsigned n = 0;
    for (unsigned k = 0; k < WARM; k++)
        c->run(k, 3, good, NULL);
    for (unsigned i = 0; i < N_VALUES * N_VALUES; i++) {
        uint64_t x = values[i / N_VALUES], y = values[i % N_VALUES], want = 0;
        c->run(x, y, NULL, &want);
        c->run(x, y, bad, NULL);
        if ((seen ^ want) & c->mask && !n++)
            fprintf(stderr, "%s of %llx %llx: flags %llx, not %llx\n", c->name, (unsigned long long)x, (unsigned long long)y, (unsigned long long)(seen & c->mask),
                    (unsigned long long)(want & c->mask));
    }
    return n;
}

int main(void)
{
    struct sigaction sa = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO };
    uint32_t word = 0;
    void *bad = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned n = 0;
    sigaction(SIGSEGV, &sa, NULL);
    for (const Case *c = cases; c->name; c++)
        n += differing(c, &word, bad);
    printf("%u differ\n", n);
    return n != 0;
}
