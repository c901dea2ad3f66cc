/*
 * Two vCPUs on two threads, straight on the translator, against what only SMP shows:
 *   - code that one writes while the other meets its page for the first time: once the writer has said that it is done, the other executes the last
 *     version (it serialises with CPUID in between, as SDM 3A 8.1.3 wants it);
 *   - the same where the other is in a hot loop, a region, made of the written bytes, and where it writes that loop itself too and executes what it wrote
 *     at once (SDM 3A 11.6);
 *   - locked additions, exchanges and CMPXCHG across a page boundary lose nothing.
 *
 *   x86_smp [SECONDS]
 */
#include <glib.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/isa/x86_flat.h"

enum { RAM_SIZE = 16 << 20, PT = 0x1000, CODE = 0x10000, PAGES = 0x100000, N_PAGES = 512, DATA = 0x20000, FLAG = 0x21000, SPLIT = 0x23ffe, ADDS = 20000 };

typedef struct Side { TcgCpu *cpu; X86State *s; pthread_t thread; uint64_t rip; } Side;
typedef struct Test { uint8_t *ram; TcgContext *ctx; Side side[2]; } Test;

static uint8_t *cb_page(void *opaque, uint64_t gpa, unsigned *flags)
{
    Test *t = opaque;
    *flags = 0;
    return gpa < RAM_SIZE ? t->ram + gpa : NULL;
}
static uint64_t cb_io_read(void *o, uint64_t gpa, unsigned size) { return ~0ull; }
static void cb_io_write(void *o, uint64_t gpa, uint64_t v, unsigned size) { }
static const TcgCallbacks callbacks = { .page = cb_page, .io_read = cb_io_read, .io_write = cb_io_write, FLAT_CALLBACKS };

static void reset(Side *side, uint64_t rip)
{
    X86State *s = side->s;
    flat_state(s, PT, rip);
    s->gpr[X86_RSP] = DATA + 0x800 + 0x400 * (side->rip & 1);
    side->rip = rip;
}

static void *run(void *opaque)
{
    Side *side = opaque;
    tcg_cpu_run(side->cpu, 0);     /* to HLT */
    return NULL;
}

static void both(Test *t, uint64_t rip0, uint64_t rip1)
{
    reset(&t->side[0], rip0);
    reset(&t->side[1], rip1);
    for (int n = 0; n < 2; n++)
        pthread_create(&t->side[n].thread, NULL, run, &t->side[n]);
    for (int n = 0; n < 2; n++)
        pthread_join(t->side[n].thread, NULL);
}

static unsigned put(Test *t, unsigned at, const char *bytes, unsigned n)
{
    memcpy(t->ram + at, bytes, n);
    tcg_invalidate_range(t->ctx, at, n);   /* the routines of another test were there */
    return at + n;
}
#define PUT(t, at, bytes) ((at) = put(t, at, bytes, sizeof(bytes) - 1))

/* The reader at CODE and the writer behind it. rdi: the routine's page, rsi: the flag, ecx and r9: rounds, ebx and r8: 0. Returns the reader's rax. */
static uint64_t read_and_write(Test *t, unsigned page, unsigned rounds)
{
    memset(t->ram + FLAG, 0, 4);
    for (int n = 0; n < 2; n++) {
        uint64_t *r = t->side[n].s->gpr;
        r[X86_RDI] = page;
        r[X86_RSI] = FLAG;
        r[X86_RCX] = r[9] = rounds;
        r[X86_RBX] = r[8] = 0;
    }
    both(t, CODE, CODE + 0x100);
    return t->side[0].s->gpr[X86_RAX];
}

static bool cross_modify(Test *t, unsigned page, unsigned rounds)
{
    unsigned a = CODE, w = CODE + 0x100;
    /* the routine: mov eax, imm32; ret */
    put(t, page, "\xb8\0\0\0\0\xc3", 6);
    /* reader: 1: call rdi; cmp dword [rsi], 0; je 1b; cpuid; call rdi; hlt */
    PUT(t, a, "\xff\xd7\x83\x3e\x00\x74\xf9\x53\x31\xc0\x0f\xa2\x5b\xff\xd7\xf4");
    /* writer: ecx counts: 1: mov [rdi+1], ecx; dec ecx; jnz 1b; mov dword [rdi+1], 0x12345678; mov dword [rsi], 1; hlt */
    PUT(t, w, "\x89\x4f\x01\xff\xc9\x75\xf9\xc7\x47\x01\x78\x56\x34\x12\xc7\x06\x01\x00\x00\x00\xf4");
    uint64_t got = read_and_write(t, page, rounds);
    if (got == 0x12345678)
        return true;
    printf("page %#x: the reader executed %#llx after the writer was done\n", page, (unsigned long long)got);
    return false;
}

/* The reader's routine is a loop that lasts until the flag is set; @self: it checks and writes an operand of its own at each turn. */
static bool hot_modify(Test *t, unsigned page, unsigned rounds, bool self)
{
    unsigned a = CODE, w = CODE + 0x100;
    if (self)                  /* 1: mov eax, imm32; mov edx, imm32; cmp edx, ebx; jne 2f; inc ebx; mov [rdi+6], ebx; cmp dword [rsi], 0; je 1b; ret; 2: mov eax, 0xbad; ret */
        put(t, page, "\xb8\0\0\0\0\xba\0\0\0\0\x39\xda\x75\x0b\xff\xc3\x89\x5f\x06\x83\x3e\x00\x74\xe8\xc3\xb8\xad\x0b\0\0\xc3", 31);
    else                       /* 1: mov eax, imm32; cmp dword [rsi], 0; je 1b; ret */
        put(t, page, "\xb8\0\0\0\0\x83\x3e\x00\x74\xf6\xc3", 11);
    /* reader: call rdi; cpuid; call rdi; hlt */
    PUT(t, a, "\xff\xd7\x53\x31\xc0\x0f\xa2\x5b\xff\xd7\xf4");
    /* writer: 1: mov [rdi+1], ecx; mov edx, 300; 2: dec edx; jnz 2b; dec ecx; jnz 1b; mov dword [rdi+1], 0x12345678; mov dword [rsi], 1; hlt */
    PUT(t, w, "\x89\x4f\x01\xba\x2c\x01\x00\x00\xff\xca\x75\xfc\xff\xc9\x75\xf0\xc7\x47\x01\x78\x56\x34\x12\xc7\x06\x01\x00\x00\x00\xf4");
    uint64_t got = read_and_write(t, page, rounds);
    if (got == 0x12345678)
        return true;
    printf("page %#x: the loop%s executed %#llx\n", page, self ? ", which writes itself," : "", (unsigned long long)got);
    return false;
}

/*
 * The reader is in a region for long, then writes an operand that it executes at once: that it is the writer who killed the region meanwhile makes no difference.
 * Bytes, since operands of four that are written often are read when they are executed.
 */
static bool late_modify(Test *t, unsigned page, unsigned rounds)
{
    unsigned a = CODE, w = CODE + 0x100;
    /* 0: mov ecx, 3000; 1: dec ecx; jnz 1b; mov eax, imm32; inc ebx; mov [rdi+20], bl; mov edx, imm32; cmp dl, bl; jne 2f; cmp dword [rsi], 0; je 0b; ret; 2: mov eax, 0xbad; ret */
    put(t, page, "\xb9\xb8\x0b\0\0\xff\xc9\x75\xfc\xb8\0\0\0\0\xff\xc3\x88\x5f\x14\xba\0\0\0\0\x38\xda\x75\x06\x83\x3e\x00\x74\xdf\xc3\xb8\xad\x0b\0\0\xc3", 40);
    /* reader: call rdi; hlt */
    PUT(t, a, "\xff\xd7\xf4");
    /* writer: 1: mov [rdi+10], cl; mov edx, 3000; 2: dec edx; jnz 2b; dec ecx; jnz 1b; mov dword [rsi], 1; hlt */
    PUT(t, w, "\x88\x4f\x0a\xba\xb8\x0b\x00\x00\xff\xca\x75\xfc\xff\xc9\x75\xf0\xc7\x06\x01\x00\x00\x00\xf4");
    if (read_and_write(t, page, rounds) < 256)
        return true;
    printf("page %#x: a loop in which another vCPU writes did not execute what it wrote itself\n", page);
    return false;
}

/* What is known to be written is executed behind CPUID, in a region too. */
static bool behind_cpuid(Test *t, unsigned page, unsigned rounds)
{
    unsigned a = CODE, w = CODE + 0x100;
    /* 1: mov r8d, [rsi]; xor eax, eax; cpuid; mov eax, imm32; sub ax, r8w; js 2f; cmp r8d, r9d; jne 1b; ret; 2: mov eax, 0xbad; ret */
    put(t, page, "\x44\x8b\x06\x31\xc0\x0f\xa2\xb8\0\0\0\0\x66\x44\x29\xc0\x78\x06\x45\x39\xc8\x75\xe9\xc3\xb8\xad\x0b\0\0\xc3", 30);
    /* reader: call rdi; hlt */
    PUT(t, a, "\xff\xd7\xf4");
    /* writer: 1: inc r8d; mov [rdi+8], r8w; mov [rsi], r8d; mov ecx, 3000; 2: dec ecx; jnz 2b; cmp r8d, r9d; jne 1b; hlt */
    PUT(t, w, "\x41\xff\xc0\x66\x44\x89\x47\x08\x44\x89\x06\xb9\xb8\x0b\x00\x00\xff\xc9\x75\xfc\x45\x39\xc8\x75\xe7\xf4");
    if (read_and_write(t, page, rounds) != 0xbad)
        return true;
    printf("page %#x: version %u was not executed behind CPUID\n", page, (unsigned)t->side[0].s->gpr[8]);
    return false;
}

/* Both add at SPLIT, which crosses pages, with every kind of locked instruction that can. */
static bool split(Test *t)
{
    unsigned a = CODE + 0x200;
    uint32_t zero = 0, got;
    memcpy(t->ram + SPLIT, &zero, 4);
    /* 1: mov eax, 1; lock xadd [rdi], eax; lock inc dword [rdi]; 2: mov eax, [rdi]; lea edx, [rax+1]; lock cmpxchg [rdi], edx; jne 2b; dec ecx; jnz 1b; hlt */
    PUT(t, a, "\xb8\x01\x00\x00\x00\xf0\x0f\xc1\x07\xf0\xff\x07\x8b\x07\x8d\x50\x01\xf0\x0f\xb1\x17\x75\xf5\xff\xc9\x75\xe5\xf4");
    for (int n = 0; n < 2; n++) {
        t->side[n].s->gpr[X86_RDI] = SPLIT;
        t->side[n].s->gpr[X86_RCX] = ADDS;
    }
    both(t, CODE + 0x200, CODE + 0x200);
    memcpy(&got, t->ram + SPLIT, 4);
    if (got == 2 * 3 * ADDS)
        return true;
    printf("split locks: %u of %u additions arrived\n", got, 2 * 3 * ADDS);
    return false;
}

static bool all(Test *t)
{
    bool ok = true;
    uint64_t seed = 1;
    for (unsigned n = 0; n < N_PAGES && ok; n++) {
        seed = seed * 6364136223846793005ull + 1442695040888963407ull;
        unsigned page = PAGES + 4096 * n + (seed >> 60 & 3) * 0x3f0, rounds = 1 + (unsigned)(seed >> 40 & 2047);
        ok = n & 1 ? hot_modify(t, page, 1 + rounds / 16, n & 2) : cross_modify(t, page, rounds);
        if (n % 128 == 63 && ok)
            ok = late_modify(t, page, 300) && behind_cpuid(t, page, 300);
        if (n % 128 == 127 && ok)
            ok = split(t);
    }
    tcg_flush_code(t->ctx);
    return ok;
}

int main(int argc, char **argv)
{
    Test t = { .ram = g_aligned_alloc0(1, RAM_SIZE, 4096) };
    gint64 until = argc > 1 ? g_get_monotonic_time() + atoi(argv[1]) * G_USEC_PER_SEC : 0;
    const char *tier = getenv("TCG_TIER");
    TcgConfig config = { .cache_size = 64 << 20, .tier = tier && !strcmp(tier, "interp") ? TCG_TIER_INTERP : TCG_TIER_AUTO,
                         .worker = tier && !strcmp(tier, "worker") ? TCG_WORKER_ALWAYS : TCG_WORKER_OFF };
    flat_tables(t.ram, PT, RAM_SIZE);
    t.ctx = tcg_new(&config, NULL);
    for (int n = 0; n < 2; n++) {
        t.side[n].s = g_aligned_alloc0(1, sizeof(X86State), 64);
        x86_state_reset(t.side[n].s, false, true);
        t.side[n].cpu = tcg_cpu_new(t.ctx, &x86_isa, t.side[n].s, &callbacks, &t);
    }
    unsigned passes = 0;
    bool ok;
    do
        ok = all(&t);
    while (++passes && ok && g_get_monotonic_time() < until);
    printf("%u passes of %u pages and %u split additions\n", passes, N_PAGES, 4 * 6 * ADDS);
    for (int n = 0; n < 2; n++)
        tcg_cpu_free(t.side[n].cpu);
    tcg_free(t.ctx);
    for (int n = 0; n < 2; n++)
        g_aligned_free(t.side[n].s);
    g_aligned_free(t.ram);
    return !ok;
}
