/*
 * Device accesses in the middle of translations, straight on the translator: each is made once, in order, and whatever the device sets off (a kick, a poke,
 * code that it writes) happens before the next instruction. What INS and MOVS read from a device is stored once too, where code is.
 */
#include <glib.h>
#include <stdio.h>
#include <string.h>

#include "tests/isa/x86_flat.h"

enum { RAM_SIZE = 4 << 20, PT = 0x1000, CODE = 0x10000, STACK = 0x20000, PAGE = 0x30000, DEV = 8 << 20, ROUNDS = 4000 };

typedef struct Test {
    uint8_t *ram;
    TcgContext *ctx;
    TcgCpu *cpu;
    X86State *s;
    uint64_t n, log, sum;      /* accesses; hash of what was written; sum of what was read */
    uint64_t kicked_at;        /* the pc must be this when tcg_cpu_run returns */
    unsigned writes, imm;      /* imm: how often the device changed the code */
} Test;

static uint8_t *cb_page(void *opaque, uint64_t gpa, unsigned *flags)
{
    Test *t = opaque;
    *flags = 0;
    return gpa < RAM_SIZE ? t->ram + gpa : NULL;
}

/* rdi: the device
 *     1: mov eax, [rdi]            +0    add rbx, rax              +2
 *        mov [rdi+8], ecx          +5    movzx edx, byte [rdi+4]   +8
 *        add rbx, rdx              +12   push [rdi+16]             +15
 *        pop r8                    +18   add rbx, r8               +20
 *        mov dword [rdi+24], 7     +23   add rsi, imm32            +30 (imm at +33)
 *        rol rsi, 3                +37   dec ecx                   +41
 *        jnz 1b                    +43   hlt                       +45
 */
static const char code[] = "\x8b\x07\x48\x01\xc3\x89\x4f\x08\x0f\xb6\x57\x04\x48\x01\xd3\xff\x77\x10\x41\x58\x4c\x01\xc3\xc7\x47\x18\x07\x00\x00\x00"
                           "\x48\x81\xc6\x00\x00\x00\x00\x48\xc1\xc6\x03\xff\xc9\x75\xd3\xf4";
enum { IMM_AT = 33 };

/* pc behind the instruction that makes the access at this offset. */
static uint64_t behind(uint64_t off) { return CODE + (off == 0 ? 2 : off == 8 ? 8 : off == 4 ? 12 : off == 16 ? 18 : 30); }

static void set_off(Test *t, uint64_t gpa)
{
    switch (t->n++ % 13) {
    case 3: tcg_cpu_poke(t->cpu); break;
    case 5: case 9:
        tcg_cpu_kick(t->cpu);
        t->kicked_at = behind(gpa - DEV);
        break;
    default: break;
    }
}

static uint64_t cb_io_read(void *opaque, uint64_t gpa, unsigned size)
{
    Test *t = opaque;
    uint64_t v = size == 1 ? (uint8_t)t->n : t->n;
    t->sum += v;
    set_off(t, gpa);
    return v;
}

static void cb_io_write(void *opaque, uint64_t gpa, uint64_t v, unsigned size)
{
    Test *t = opaque;
    t->log = t->log * 31 + v + size;
    t->writes++;
    if (gpa == DEV + 24 && t->n % 7 == 0) {
        uint32_t imm = ++t->imm;
        memcpy(t->ram + CODE + IMM_AT, &imm, 4);
        tcg_invalidate_range(t->ctx, CODE + IMM_AT, 4);
    }
    set_off(t, gpa);
}

static const TcgCallbacks callbacks = { .page = cb_page, .io_read = cb_io_read, .io_write = cb_io_write, FLAT_CALLBACKS };

static void set_up(Test *t)
{
    X86State *s = t->s;
    flat_tables(t->ram, PT, 16 << 20);
    memcpy(t->ram + CODE, code, sizeof(code) - 1);
    x86_state_reset(s, false, true);
    flat_state(s, PT, CODE);
    s->gpr[X86_RSP] = STACK;
    s->gpr[X86_RDI] = DEV;
    s->gpr[X86_RCX] = ROUNDS;
}

static bool run(Test *t)
{
    for (unsigned kicks = 0; kicks < 10 * ROUNDS; kicks++) {
        t->kicked_at = 0;
        TcgLeave why = tcg_cpu_run(t->cpu, 0);
        if (why == TCG_LEAVE_HALTED)
            return true;
        if (why != TCG_LEAVE_KICKED || t->s->rip != t->kicked_at) {
            printf("left with %d at %#llx, kicked behind %#llx\n", why, (unsigned long long)t->s->rip, (unsigned long long)t->kicked_at);
            return false;
        }
    }
    printf("does not end\n");
    return false;
}

/* The registers that came out of it go to ret[]: they are to be the same in every tier. */
static bool one(TcgTier tier, uint64_t ret[3])
{
    Test t = { .ram = g_aligned_alloc0(1, RAM_SIZE, 4096), .s = g_aligned_alloc0(1, sizeof(X86State), 64) };
    TcgConfig config = { .cache_size = 16 << 20, .tier = tier };
    set_up(&t);
    t.ctx = tcg_new(&config, NULL);
    t.cpu = tcg_cpu_new(t.ctx, &x86_isa, t.s, &callbacks, &t);
    bool ok = run(&t);
    if (ok && (t.n != 5 * ROUNDS || t.writes != 2 * ROUNDS || t.s->gpr[X86_RBX] != t.sum)) {
        printf("%llu accesses, %u writes, sum %#llx instead of %#llx\n", (unsigned long long)t.n, t.writes, (unsigned long long)t.s->gpr[X86_RBX], (unsigned long long)t.sum);
        ok = false;
    }
    ret[0] = t.s->gpr[X86_RSI];
    ret[1] = t.log;
    ret[2] = t.sum;
    tcg_cpu_free(t.cpu);
    tcg_free(t.ctx);
    g_aligned_free(t.s);
    g_aligned_free(t.ram);
    return ok;
}

/* ---- data read from a device where code is, with another vCPU that waits ---- */

static uint64_t fifo(void *opaque)
{
    Test *t = opaque;
    return t->n++;
}
static uint64_t fifo_port(void *opaque, uint16_t port, unsigned size) { return fifo(opaque); }
static uint64_t fifo_mem(void *opaque, uint64_t gpa, unsigned size) { return fifo(opaque); }
static const TcgCallbacks fifo_callbacks = { .page = cb_page, .io_read = fifo_mem, .io_write = cb_io_write, .port_in = fifo_port, .port_out = flat_out,
                                             .sysreg_read = flat_sysreg_read, .sysreg_write = flat_sysreg_write, .irq_pending = flat_no_irq, .irq_ack = flat_ack, .time_counter = flat_time };

enum { N_WORDS = 32, OVER_ROUNDS = 300 };
/* rdi: the page, esi: rounds. 1: mov byte [rdi], 0xc3; call rdi; push rdi; mov ecx, N_WORDS; mov edx, 0x1f0; rep insw; pop rdi; dec esi; jnz 1b; hlt */
static const char ins_over_code[] = "\xc6\x07\xc3\xff\xd7\x57\xb9\x20\0\0\0\xba\xf0\x01\0\0\x66\xf3\x6d\x5f\xff\xce\x75\xe8\xf4";
/* rbx: the device. 1: mov byte [rdi], 0xc3; call rdi; push rdi; push rsi; mov ecx, N_WORDS; mov rsi, rbx; rep movsw; pop rsi; pop rdi; dec esi; jnz 1b; hlt */
static const char movs_over_code[] = "\xc6\x07\xc3\xff\xd7\x57\x56\xb9\x20\0\0\0\x48\x89\xde\x66\xf3\xa5\x5e\x5f\xff\xce\x75\xe8\xf4";
/* rdi: the operand of the first. 1: mov eax, imm32; mov edx, 0x1f0; insw; sub edi, 2; dec esi; jnz 1b; hlt */
static const char ins_over_itself[] = "\xb8\0\0\0\0\xba\xf0\x01\0\0\x66\x6d\x83\xef\x02\xff\xce\x75\xed\xf4";

static bool stored_once(TcgTier tier, unsigned cpus, const char *what, const char *bytes, size_t len, uint64_t rdi, unsigned words)
{
    Test t = { .ram = g_aligned_alloc0(1, RAM_SIZE, 4096), .s = g_aligned_alloc0(2, sizeof(X86State), 64) };
    TcgConfig config = { .cache_size = 16 << 20, .tier = tier };
    TcgCpu *other = NULL;
    set_up(&t);
    memcpy(t.ram + CODE, bytes, len);
    t.s->gpr[X86_RDI] = rdi;
    t.s->gpr[X86_RBX] = DEV;
    t.s->gpr[X86_RSI] = OVER_ROUNDS;
    t.ctx = tcg_new(&config, NULL);
    t.cpu = tcg_cpu_new(t.ctx, &x86_isa, t.s, &fifo_callbacks, &t);
    if (cpus > 1)
        other = tcg_cpu_new(t.ctx, &x86_isa, t.s + 1, &fifo_callbacks, &t);
    bool ok = tcg_cpu_run(t.cpu, 0) == TCG_LEAVE_HALTED && t.n == (uint64_t)OVER_ROUNDS * words;
    for (unsigned n = 0; n < words; n++) {
        uint16_t got;
        memcpy(&got, t.ram + rdi + 2 * n, 2);
        ok &= got == (uint16_t)(t.n - words + n);
    }
    if (!ok)
        printf("%s, %u vCPUs: read %llu times for %u\n", what, cpus, (unsigned long long)t.n, OVER_ROUNDS * words);
    tcg_cpu_free(other);
    tcg_cpu_free(t.cpu);
    tcg_free(t.ctx);
    g_aligned_free(t.s);
    g_aligned_free(t.ram);
    return ok;
}

static bool all_stored_once(TcgTier tier)
{
    bool ok = true;
    for (unsigned cpus = 1; cpus <= 2; cpus++) {
        ok &= stored_once(tier, cpus, "INS over code", ins_over_code, sizeof(ins_over_code) - 1, PAGE, N_WORDS);
        ok &= stored_once(tier, cpus, "MOVS over code", movs_over_code, sizeof(movs_over_code) - 1, PAGE, N_WORDS);
        ok &= stored_once(tier, cpus, "INS over its unit", ins_over_itself, sizeof(ins_over_itself) - 1, CODE + 1, 1);
    }
    return ok;
}

int main(void)
{
    static const struct { const char *name; TcgTier tier; } tiers[] = { { "interp", TCG_TIER_INTERP }, { "auto", TCG_TIER_AUTO }, { "tier1", TCG_TIER_1 }, { "tier2", TCG_TIER_2 } };
    uint64_t first[3], got[3];
    bool ok = true;
    for (unsigned n = 0; n < G_N_ELEMENTS(tiers); n++) {
        bool good = one(tiers[n].tier, n ? got : first) && (!n || !memcmp(first, got, sizeof(got))) && all_stored_once(tiers[n].tier);
        printf("%s: %s\n", tiers[n].name, good ? "ok" : "FAILS");
        ok &= good;
    }
    return !ok;
}
