/*
 * Random user-level integer instructions, run by the host CPU and by the translator in the same place of memory; registers,
 * flags (but for those that opcodes.def calls undefined), memory and the faulting instruction must agree.
 *
 *   x86_random [SEED [ROUNDS [vector|x87] [code32]]] [interp]    prints what was covered; vector: SSE, AVX and MMX instead, with their registers and
 *   MXCSR; x87: x87 and MMX (x86_random_x87.c);
 *   interp: the reference back end instead of the generated code; tier1, tier2: blocks only, regions at first execution;
 *   worker: regions come from another thread, at any time; loops: the program goes round some times, with jumps forward inside
 *   SEED random: a fresh one, printed
 */
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <ucontext.h>

#include "tcg/guest/x86/translate.h"
#include "tests/isa/random.h"
#include "tests/isa/x86_random_x87.h"
#include "util/bits.h"

enum { RAM_SIZE = 8 << 20, MAX_SEQ = 48, CODE_OFF = 0x100000, DATA_OFF = 0x200000, DATA_SIZE = 0x2000, STACK_OFF = 0x210000, VEC_OFF = 0x204000, IDT_OFF = 0x300000,
       STUB_OFF = 0x301000, IST_OFF = 0x310000, COUNTER_OFF = 0x205000, TSS_OFF = 0x302000, GDT_OFF = 0x303000, PT_OFF = 0x400000 };
static const uint64_t BASE = 0x10000000;       /* of RAM, in the host's and in the guest's address space */

typedef struct Regs { uint64_t gpr[16], flags, rip; int vector; } Regs;

static struct {
    uint8_t *ram, *image;      /* image: RAM as it was before a run */
    Regs regs;                 /* asm looks here: gpr, flags */
    uint64_t host_rsp, target;
    sigjmp_buf back;
    Regs fault;
    uint64_t rng;
    uint8_t *seen;
    unsigned mismatches;
    bool code32;               /* in 32-bit code */
    bool vector, x87, loops, worker;
    bool quiet;                /* a mismatch is not reported yet */
    uint8_t fxsave[512];       /* of the native program at its fault */
    volatile bool native;
    struct sigaction old;      /* the translator's, of SIGFPE */
} T;

static uint64_t rnd(void) { return rnd_next(&T.rng); }

/* ---- native ---- */
uint64_t native_regs[18];      /* 16 registers, flags, host's stack pointer */
struct { uint32_t eip; uint16_t cs; } __attribute__((packed)) native_target;   /* below 4 GiB */
void native_go(void);
void native_back(void);
__asm__(".text\n.globl native_go\nnative_go:\n"
        "mov $0x2b, %eax; mov %eax, %ds; mov %eax, %es\n"
        "push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
        "mov %rsp, native_regs+136(%rip)\n"
        "push native_regs+128(%rip)\npopfq\n"
        "mov native_regs+32(%rip), %rsp\n"
        "mov native_regs(%rip), %rax; mov native_regs+8(%rip), %rcx; mov native_regs+16(%rip), %rdx; mov native_regs+24(%rip), %rbx\n"
        "mov native_regs+40(%rip), %rbp; mov native_regs+48(%rip), %rsi; mov native_regs+56(%rip), %rdi; mov native_regs+64(%rip), %r8\n"
        "mov native_regs+72(%rip), %r9; mov native_regs+80(%rip), %r10; mov native_regs+88(%rip), %r11; mov native_regs+96(%rip), %r12\n"
        "mov native_regs+104(%rip), %r13; mov native_regs+112(%rip), %r14; mov native_regs+120(%rip), %r15\n"
        "ljmp *native_target(%rip)\n"
        ".globl native_back\nnative_back:\n"
        "mov %rax, native_regs(%rip); mov %rcx, native_regs+8(%rip); mov %rdx, native_regs+16(%rip); mov %rbx, native_regs+24(%rip)\n"
        "mov %rsp, native_regs+32(%rip)\n"
        "mov %rbp, native_regs+40(%rip); mov %rsi, native_regs+48(%rip); mov %rdi, native_regs+56(%rip); mov %r8, native_regs+64(%rip)\n"
        "mov %r9, native_regs+72(%rip); mov %r10, native_regs+80(%rip); mov %r11, native_regs+88(%rip); mov %r12, native_regs+96(%rip)\n"
        "mov %r13, native_regs+104(%rip); mov %r14, native_regs+112(%rip); mov %r15, native_regs+120(%rip)\n"
        "mov native_regs+136(%rip), %rsp\n"
        "pushfq\npop native_regs+128(%rip)\ncld\n"
        "pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\nret\n");

static void on_signal(int sig, siginfo_t *si, void *opaque)
{
    ucontext_t *uc = opaque;
    if (!T.native) {           /* the translator itself: its own handler, or die */
        if (sig == SIGFPE && T.old.sa_flags & SA_SIGINFO)
            T.old.sa_sigaction(sig, si, opaque);
        signal(sig, SIG_DFL);
        return;
    }
    greg_t *g = uc->uc_mcontext.gregs;
    static const int order[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                   REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };
    for (int n = 0; n < 16; n++)
        T.fault.gpr[n] = (uint64_t)g[order[n]];
    T.fault.flags = (uint64_t)g[REG_EFL];
    T.fault.rip = (uint64_t)g[REG_RIP];
    T.fault.vector = (int)g[REG_TRAPNO];
    memcpy(T.fxsave, uc->uc_mcontext.fpregs, sizeof(T.fxsave));
    siglongjmp(T.back, 1);
}

static void run_native(Regs *r, uint64_t start)
{
    static const int order[16] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
    for (int n = 0; n < 16; n++)
        native_regs[n] = r->gpr[order[n]];
    native_regs[16] = r->flags;
    native_target.eip = (uint32_t)start;
    native_target.cs = T.code32 ? 0x23 : 0x33;     /* Linux's user code segments */
    T.native = true;
    if (sigsetjmp(T.back, 1)) {
        T.native = false;
        *r = T.fault;
        return;
    }
    native_go();
    T.native = false;
    for (int n = 0; n < 16; n++)
        r->gpr[n] = native_regs[n];
    r->flags = native_regs[16];
    r->rip = 0;
    r->vector = -1;
}

/* ---- translator ---- */
static uint8_t *cb_page(void *opaque, uint64_t gpa, unsigned *flags)
{
    *flags = 0;
    return gpa < RAM_SIZE ? T.ram + gpa : NULL;
}
static uint64_t cb_io_read(void *o, uint64_t gpa, unsigned size) { return ~0ull; }
static void cb_io_write(void *o, uint64_t gpa, uint64_t v, unsigned size) { }
static uint64_t cb_in(void *o, uint16_t port, unsigned size) { return ~0ull; }
static void cb_out(void *o, uint16_t port, uint64_t v, unsigned size) { }
static bool cb_false(void *o) { return false; }
static int cb_ack(void *o) { return -1; }
static uint64_t cb_time(void *o) { return 0; }
static const TcgCallbacks callbacks = { .page = cb_page, .io_read = cb_io_read, .io_write = cb_io_write, .port_in = cb_in, .port_out = cb_out,
                                        .irq_pending = cb_false, .irq_ack = cb_ack, .time_counter = cb_time };

static void put64(unsigned off, uint64_t v)
{
    memcpy(T.ram + off, &v, 8);
}

static void system_tables(void)
{
    /* PML4[0] -> PDPT[0] -> PD, 2 MiB pages, BASE mapped to 0. */
    put64(PT_OFF, (PT_OFF + 0x1000) | 7);
    put64(PT_OFF + 0x1000, (PT_OFF + 0x2000) | 7);
    for (unsigned n = 0; n < RAM_SIZE >> 21; n++)
        put64(PT_OFF + 0x2000 + 8 * (unsigned)((BASE >> 21) + n), (uint64_t)n << 21 | 0xe7);
    for (unsigned v = 0; v < 32; v++) {
        uint64_t stub = BASE + STUB_OFF + 2 * v;
        put64(IDT_OFF + 16 * v, (stub & 0xffff) | 8 << 16 | 1ull << 32 | 0x8eull << 40 | (stub >> 16 & 0xffff) << 48);
        put64(IDT_OFF + 16 * v + 8, stub >> 32);
        T.ram[STUB_OFF + 2 * v] = 0xf4;
        T.ram[STUB_OFF + 2 * v + 1] = 0xf4;
    }
    put64(TSS_OFF + 0x24, BASE + IST_OFF);
    put64(GDT_OFF + 8, 0x00af9b000000ffffull);
    put64(GDT_OFF + 16, 0x00cf93000000ffffull);
    put64(GDT_OFF + 32, 0x00cf9b000000ffffull);
}

static void reset_state(X86State *s, const Regs *r, uint64_t start)
{
    for (int n = 0; n < X86_SEGS; n++)
        s->seg[n] = (X86Seg){ .limit = 0xffffffff, .attr = 0xc093, .sel = 16 };
    s->seg[X86_CS] = (X86Seg){ .limit = 0xffffffff, .attr = 0xa09b, .sel = 8 };
    if (T.code32)
        s->seg[X86_CS] = (X86Seg){ .limit = 0xffffffff, .attr = 0xc09b, .sel = 32 };
    s->seg[X86_TR] = (X86Seg){ .base = BASE + TSS_OFF, .limit = 0x67, .attr = 0x8b, .sel = 24 };
    s->gdt = (X86Dtr){ .base = BASE + GDT_OFF, .limit = 0x3f };
    s->idt = (X86Dtr){ .base = BASE + IDT_OFF, .limit = 32 * 16 - 1 };
    s->cr0 = 0x80050033;
    s->cr3 = PT_OFF;
    s->cr4 = X86_CR4_PAE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT | X86_CR4_OSXSAVE;
    s->xcr0 = 7;
    s->msr.efer = X86_EFER_LMA | X86_EFER_LME;
    s->cpl = 0;
    memcpy(s->gpr, r->gpr, sizeof(s->gpr));
    x86_set_rflags(s, r->flags | 2);
    s->rip = start;
    s->fcw = 0x37f;            /* as FNINIT left the host */
    s->fsw = 0;
    s->ftw = 0;
    s->ev.mp_state = X86_MP_RUNNABLE;
    s->ev.int_shadow = 0;
}

static void run_tcg(TcgCpu *cpu, X86State *s, Regs *r, uint64_t start)
{
    reset_state(s, r, start);
    tcg_cpu_run(cpu, 0);
    memcpy(r->gpr, s->gpr, sizeof(s->gpr));
    r->flags = x86_rflags(s);
    r->rip = 0;
    r->vector = -1;
    uint64_t rip = s->rip - BASE;
    if (rip > STUB_OFF && rip < STUB_OFF + 64) {
        r->vector = (int)(rip - 1 - STUB_OFF) / 2;
        bool err = (r->vector >= 10 && r->vector <= 14) || r->vector == 8 || r->vector == 17;
        const uint64_t *frame = (const uint64_t *)(T.ram + (s->gpr[X86_RSP] - BASE)) + err;
        r->rip = frame[0];
        r->flags = frame[2];
        r->gpr[X86_RSP] = frame[3];
    }
    s->ev.mp_state = X86_MP_RUNNABLE;
}

/* ---- generator ---- */
static bool host_has(const char *name)
{
    static char *flags;
    if (!flags) {
        FILE *f = fopen("/proc/cpuinfo", "r");
        static char line[16384];
        while (f && fgets(line, sizeof(line), f))
            if (!strncmp(line, "flags", 5))
                break;
        if (f)
            fclose(f);
        flags = line;
    }
    char word[64];
    snprintf(word, sizeof(word), " %s ", strcmp(name, "lahf") ? name : "lahf_lm");
    return strstr(flags, word);
}

static bool wanted(const X86Op *op)
{
    static const char *const names[] = { "add", "or", "adc", "sbb", "and", "sub", "xor", "cmp", "test", "inc", "dec", "neg", "not", "xchg", "xadd",
        "cmpxchg", "cmpxchg8b", "cmpxchg16b", "adcx", "adox", "lahf", "sahf", "cmc", "clc", "stc", "rol", "ror", "rcl", "rcr", "shl", "shr", "sal", "sar",
        "shld", "shrd", "shlx", "shrx", "sarx", "rorx", "mul", "imul", "mulx", "div", "idiv", "bt", "bts", "btr", "btc", "bsf", "bsr", "tzcnt", "lzcnt",
        "popcnt", "andn", "blsr", "blsmsk", "blsi", "bzhi", "bextr", "pdep", "pext", "bswap", "movbe", "crc32", "mov", "movzx", "movsx", "movsxd", "lea",
        "cbw", "cwde", "cdqe", "cwd", "cdq", "cqo", "xlat", "push", "pop", "enter", "leave", "movs", "stos", "lods", "cmps", "scas", "nop", "movnti",
        "mfence", "lfence", "sfence", "clflush", "pushf", "cld", "std", "pusha",
        "popa", "daa", "das", "aaa", "aas", "aam", "aad", "salc", "into", "bound", "arpl" };
    for (unsigned n = 0; n < ARRAY_LEN(names); n++)
        if (!strcmp(op->name, names[n]))
            return op->opnd[0].kind != X86O_SEG && op->opnd[0].kind != X86O_S && op->opnd[1].kind != X86O_S && op->opnd[0].kind != X86O_C &&
                   op->opnd[0].kind != X86O_D && op->opnd[1].kind != X86O_C && op->opnd[1].kind != X86O_D && op->opnd[0].kind != X86O_O && op->opnd[1].kind != X86O_O;
    return !strncmp(op->name, "cmov", 4) || !strncmp(op->name, "set", 3);
}

/* SSE, AVX and MMX: everything that works on their registers and does not save or load state as a whole. */
static bool wanted_vector(const X86Op *op)
{
    static const char *const not[] = { "ldmxcsr", "vldmxcsr", "stmxcsr", "vstmxcsr", "fxsave", "fxrstor", "lfence", "mfence", "sfence", "movnti", "clflush", "clwb", "clflushopt" };
    static const char *const features[] = { "mmx", "sse", "sse2", "pni", "ssse3", "sse4_1", "sse4_2", "avx", "avx2", "fma", "f16c", "aes", "vaes", "pclmulqdq", "vpclmulqdq", "sha_ni", "gfni" };
    for (unsigned n = 0; n < ARRAY_LEN(not); n++)
        if (!strcmp(op->name, not[n]))
            return false;
    if (!strncmp(op->name, "prefetch", 8) || !op->feature || !strncmp(op->name, "crc32", 5))
        return false;
    for (unsigned n = 0; n < ARRAY_LEN(features); n++)
        if (!strcmp(x86_feature_names[op->feature], features[n]))
            return true;
    return false;
}

static unsigned mov_imm(uint8_t *p, unsigned reg, uint64_t v)
{
    if (T.code32) {
        p[0] = 0xb8 | (reg & 7);
        memcpy(p + 1, &v, 4);
        return 5;
    }
    p[0] = 0x48 | reg >> 3;
    p[1] = 0xb8 | (reg & 7);
    memcpy(p + 2, &v, 8);
    return 10;
}

static uint64_t code_mode(void)
{
    return (T.code32 ? X86M_CODE32 | X86M_SS32 : X86M_CODE64) | X86M_PE | X86M_FLAT | X86M_LMA;
}

/* Bytes of some encoding of entry @op; false if they do not decode to it. */
static bool make_bytes(const X86Op *op, uint8_t *b, X86Insn *in)
{
    static const uint8_t pfx_byte[4] = { 0, 0x66, 0xf3, 0xf2 };
    unsigned n = 0, pfx;
    do
        pfx = rnd() & 3;
    while (!(op->accept >> (X86K_PFX + pfx) & 1));
    bool string = op->map == 0 && ((op->opcode >= 0xa4 && op->opcode <= 0xa7) || (op->opcode >= 0xaa && op->opcode <= 0xaf));
    if (op->map == 0 && pfx >= 2 && !string)
        pfx = 0;
    uint8_t modrm = (uint8_t)rnd(), rex = 0x40 | (rnd() & 15);
    if (op->map >= X86_MAP_V1) {
        b[n++] = 0xc4;
        b[n++] = (uint8_t)((rnd() & 0xe0) | (T.code32 ? 0xc0 : 0) | (op->map - X86_MAP_V1 + 1));
        b[n++] = (uint8_t)((rnd() & 0xf8) | pfx);
        if (!(op->accept >> (X86K_L + 1) & 1))
            b[n - 1] &= ~4;
        if (!(op->accept >> X86K_L & 1))
            b[n - 1] |= 4;
        if (!(op->accept >> 31 & 1))
            b[n - 1] |= 0x78;
    } else {
        if (rnd() % 8 == 0)
            b[n++] = 0x67;
        if (pfx)
            b[n++] = pfx_byte[pfx];
        if (rnd() % 8 == 0 && pfx != 1 && op->map != 0)
            b[n++] = 0x66;
        if (op->attrs & X86A_LOCK && rnd() % 3 == 0) {
            b[n++] = 0xf0;
            modrm &= 0x3f;
        }
        if (rnd() & 1 && !T.code32)
            b[n++] = rex;
        if (op->map)
            b[n++] = 0x0f;
        if (op->map >= X86_MAP_38)
            b[n++] = op->map == X86_MAP_38 ? 0x38 : 0x3a;
    }
    b[n++] = op->opcode;
    for (unsigned r = 0; r < 8; r++)
        if ((op->accept & 0xff) == 1u << r)
            modrm = (uint8_t)((modrm & ~0x38) | r << 3);
    if (!(op->accept >> X86K_MOD & 1))
        modrm |= 0xc0;
    if (!(op->accept >> (X86K_MOD + 1) & 1) && modrm >= 0xc0)
        modrm &= 0x7f;
    b[n++] = modrm;
    while (n < 15)
        b[n++] = (uint8_t)rnd();
    return x86_decode(b, 15, code_mode(), in) == X86D_OK && in->op == op;
}

/* AddressSanitizer maps much of what wild addresses hit in the host's address space and not in the guest's: none of them there. */
#if defined(__SANITIZE_ADDRESS__)
enum { WILD = 0 };
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
enum { WILD = 0 };
#else
enum { WILD = 1 };
#endif
#else
enum { WILD = 1 };
#endif

/* Indexes of a gather from memory that holds small ones; now and then wherever it leads. */
static void aim_vsib(const X86Insn *in, uint8_t *b, unsigned *io_n)
{
    if (WILD && rnd() % 8 == 0)
        return;
    bool q = in->op->opcode & 1;
    unsigned r = in->index, m = in->base;
    *io_n += mov_imm(b + *io_n, m, BASE + VEC_OFF + (q ? 0x3a0 : 0x380));
    uint8_t ld[] = { 0xc4, (uint8_t)(0x41 | (r < 8 ? 0x80 : 0) | (m < 8 ? 0x20 : 0)), 0x7e, 0x6f, (uint8_t)(0x40 | (r & 7) << 3 | (m & 7)) };
    memcpy(b + *io_n, ld, 5);
    *io_n += 5;
    if ((m & 7) == 4)
        b[(*io_n)++] = 0x24;
    b[(*io_n)++] = 0;
}

/* Point the registers of a memory operand into the data area, in 64-bit constants put before it. False: leave it out. */
static bool aim(const X86Insn *in, uint8_t *b, unsigned *io_n)
{
    bool mem = false, string = false;
    for (unsigned n = 0; n < 4; n++) {
        mem |= x86_opnd_is_mem(in, n);
        string |= in->op->opnd[n].kind == X86O_X || in->op->opnd[n].kind == X86O_Y;
    }
    const char *mm = strstr(in->op->name, "maskmov");
    if (mm && (!strcmp(mm, "maskmovq") || !strcmp(mm, "maskmovdqu")) && in->mod == 3) {
        *io_n += mov_imm(b + *io_n, X86_RDI, BASE + DATA_OFF + 0x800 + rnd() % 0x800);
        return in->seg_pfx == X86_NO_REG && in->adsize != 1;
    }
    /* A 16-bit double shift by more than 15 is undefined. */
    if (in->op->opnd[2].kind && in->op->name[0] == 's' && in->op->name[1] == 'h' && in->op->map == X86_MAP_0F && in->opsize == 1 && !(in->op->opnd[2].kind == X86O_I && (in->imm & 31) < 16))
        return false;
    if (T.code32 && in->adsize == 1 && (mem || string || !strcmp(in->op->name, "xlat")))
        return false;
    uint64_t where = BASE + DATA_OFF + 0x800 + rnd() % 0x800;
    if (!strcmp(in->op->name, "xlat")) {
        *io_n += mov_imm(b + *io_n, X86_RBX, where);
        return in->seg_pfx == X86_NO_REG;
    }
    if (!strcmp(in->op->name, "cmpxchg16b") && rnd() % 8)
        where &= ~15ull;
    if (string) {
        *io_n += mov_imm(b + *io_n, X86_RSI, where);
        *io_n += mov_imm(b + *io_n, X86_RDI, BASE + DATA_OFF + 0x800 + rnd() % 0x800);
        *io_n += mov_imm(b + *io_n, X86_RCX, rnd() % 40);
        return in->seg_pfx == X86_NO_REG;
    }
    static const char *const stack_ops[] = { "push", "pop", "enter", "leave", "pushf", "pusha", "popa" };
    for (unsigned n = 0; n < ARRAY_LEN(stack_ops); n++)
        if (!strcmp(in->op->name, stack_ops[n]))
            *io_n += mov_imm(b + *io_n, X86_RSP, BASE + STACK_OFF + 8 * (rnd() % 64));
    if (!strcmp(in->op->name, "leave") || (!WILD && !strcmp(in->op->name, "enter")))
        *io_n += mov_imm(b + *io_n, X86_RBP, BASE + STACK_OFF);
    if (!mem || !strcmp(in->op->name, "lea") || !strcmp(in->op->name, "nop"))
        return in->base != X86_REG_PC;
    if (in->base == X86_NO_REG || in->base == X86_REG_PC || in->base == X86_RSP || in->seg_pfx != X86_NO_REG)
        return false;
    uint64_t index = 0;
    if (in->op->attrs & X86A_VSIB) {
        aim_vsib(in, b, io_n);
    } else if (in->index != X86_NO_REG) {
        if (in->index == in->base)
            return false;
        index = rnd() % 64;
        *io_n += mov_imm(b + *io_n, in->index, index);
    }
    uint64_t base = where - (uint64_t)(int64_t)in->disp - (index << in->scale);
    *io_n += mov_imm(b + *io_n, in->base, base);
    /* A bit string's offset must stay near. */
    if (in->op->name[0] == 'b' && in->op->name[1] == 't' && in->op->opnd[1].kind == X86O_G) {
        if (in->reg == in->base || in->reg == in->index)
            return false;
        *io_n += mov_imm(b + *io_n, in->reg, rnd() % 8192 - 4096);
    }
    return true;
}

typedef struct Program { uint8_t b[2048]; unsigned n, last_at; uint8_t undef; const X86Op *ops[MAX_SEQ]; unsigned n_ops; } Program;

static void add_insn(Program *p, const X86Op *op)
{
    uint8_t b[16];
    X86Insn in;
    for (int tries = 0; tries < 40; tries++) {
        if (!make_bytes(op, b, &in))
            continue;
        unsigned n = p->n;
        if (!aim(&in, p->b, &n))
            continue;
        p->n = n;
        p->last_at = n;
        memcpy(p->b + p->n, b, in.len);
        p->n += in.len;
        p->undef = op->undef;
        /* A count of 0 defines nothing new, but one of more than 1 leaves O open; keep it simple: what may be undefined is. */
        p->ops[p->n_ops++] = op;
        return;
    }
}

static uint64_t flags_of_undef(uint8_t u)
{
    static const uint16_t bit[6] = { X86_CF, X86_PF, X86_AF, X86_ZF, X86_SF, X86_OF };
    uint64_t m = 0;
    for (unsigned n = 0; n < 6; n++)
        if (u >> n & 1)
            m |= bit[n];
    return m;
}

static uint64_t interesting(void)
{
    static const uint64_t v[] = { 0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff, 0x7fffffffffffffffull, 0x8000000000000000ull, ~0ull };
    return rnd() & 1 ? rnd() : v[rnd() % ARRAY_LEN(v)];
}

static void report(const Program *p, const Regs *before, const Regs *n, const Regs *t, const char *what)
{
    char text[128];
    printf("MISMATCH %s\n", what);
    for (unsigned off = 0; off < p->n;) {
        int len = x86_disas(p->b + off, p->n - off, code_mode(), BASE + CODE_OFF + off, text, sizeof(text));
        printf("  %#lx ", (unsigned long)(BASE + CODE_OFF + off));
        for (int k = 0; k < len; k++)
            printf("%02x", p->b[off + k]);
        printf("  %s\n", text);
        off += (unsigned)len;
    }
    printf("  native: vector %d rip %#lx   tcg: vector %d rip %#lx\n", n->vector, (unsigned long)n->rip, t->vector, (unsigned long)t->rip);
    for (int k = 0; k < 16; k++)
        if (n->gpr[k] != t->gpr[k])
            printf("  %-4s before %016lx native %016lx tcg %016lx\n", x86_slots[k].name, (unsigned long)before->gpr[k], (unsigned long)n->gpr[k], (unsigned long)t->gpr[k]);
    printf("  flags before %lx native %lx tcg %lx\n", (unsigned long)before->flags, (unsigned long)n->flags, (unsigned long)t->flags);
    for (int k = 0; k < 16; k++)
        printf("  %s=%lx%s", x86_slots[k].name, (unsigned long)before->gpr[k], k % 6 == 5 ? "\n" : "");
    printf("\n");
}

static bool compare(const Program *p, const Regs *before, const Regs *n, const Regs *t, const uint8_t *native_ram, const X86State *s)
{
    uint64_t mask = X86_ARITH | X86_DF;
    if (n->vector < 0)
        mask &= ~flags_of_undef(p->undef);
    const char *what = NULL;
    /* An operand that wraps at 4 GiB is a limit violation on the host; flat code is not checked for that, see X86M_FLAT. */
    bool wraps = T.code32 && (n->vector == 12 || n->vector == 13) && t->vector == 14;
    if (n->vector != t->vector && !wraps && !(n->vector == 12 && t->vector == 13) && !(n->vector == 17))
        what = "vector";
    else if (n->vector >= 0 && n->rip != t->rip)
        what = "rip";
    else if (memcmp(n->gpr, t->gpr, sizeof(n->gpr)))
        what = "registers";
    else if ((n->flags ^ t->flags) & mask)
        what = "flags";
    else if (memcmp(native_ram + DATA_OFF, T.ram + DATA_OFF, 0x30000))
        what = "memory";
    else if (T.x87 && n->vector >= 0)
        what = x87_differs(T.fxsave, s);
    if (what && !T.quiet)
        report(p, before, n, t, what);
    for (unsigned k = 0, shown = 0; what && !T.quiet && k < 0x30000 && shown < 4; k += 8)
        if (memcmp(native_ram + DATA_OFF + k, T.ram + DATA_OFF + k, 8)) {
            printf("  memory %#lx native %016lx tcg %016lx\n", (unsigned long)(BASE + DATA_OFF + k), (unsigned long)*(uint64_t *)(native_ram + DATA_OFF + k),
                   (unsigned long)*(uint64_t *)(T.ram + DATA_OFF + k));
            shown++;
        }
    return !what;
}

/* All vector registers and MXCSR between registers and memory at VEC_OFF; MMX only on its way out (EMMS follows). */
static void vector_state(Program *p, bool load)
{
    p->n += mov_imm(p->b + p->n, X86_RSI, BASE + VEC_OFF + (load ? 0 : 0x400));
    for (unsigned r = 0; r < (T.code32 ? 8 : 16); r++) {
        uint8_t ins[9] = { 0xc4, (uint8_t)(r < 8 ? 0xe1 : 0x61), 0x7c, (uint8_t)(load ? 0x10 : 0x11), (uint8_t)(0x86 | (r & 7) << 3) };
        uint32_t disp = 32 * r;
        memcpy(ins + 5, &disp, 4);
        memcpy(p->b + p->n, ins, 9);
        p->n += 9;
    }
    uint8_t mx[7] = { 0x0f, 0xae, (uint8_t)(load ? 0x96 : 0x9e), 0, 2 };
    memcpy(p->b + p->n, mx, 7);
    p->n += 7;
    for (unsigned r = 0; r < 8; r++) {
        uint8_t ins[7] = { 0x0f, (uint8_t)(load ? 0x6f : 0x7f), (uint8_t)(0x86 | r << 3), (uint8_t)(8 * r), 3 };
        memcpy(p->b + p->n, ins, 7);
        p->n += 7;
    }
    if (!load) {
        memcpy(p->b + p->n, "\x0f\x77", 2);
        p->n += 2;
    }
}

static uint64_t lane(void)
{
    static const double d[] = { 0, 1, -1, 1.5, 3e38, 1e-310, 4e-320, 1e300, -2147483648.0, 2147483647.5, 9.3e18 };
    static const float f[] = { 0, 1, -2.5f, 1e38f, 1e-40f, 3e9f };
    uint64_t v = interesting();
    if (rnd() % 3 == 0)
        memcpy(&v, &d[rnd() % ARRAY_LEN(d)], 8);
    else if (rnd() % 3 == 0)
        for (int k = 0; k < 2; k++)
            memcpy((uint8_t *)&v + 4 * k, &f[rnd() % ARRAY_LEN(f)], 4);
    if (rnd() % 16 == 0)
        v |= 0x7ff0000000000000ull;
    return v;
}

static void vector_inputs(void)
{
    for (unsigned k = 0; k < 0x200; k += 8)
        put64(VEC_OFF + k, lane());
    for (unsigned k = 0x300; k < 0x340; k += 8)
        put64(VEC_OFF + k, lane());
    for (unsigned k = 0; k < 8; k++)
        put64(VEC_OFF + 0x380 + 8 * k, k < 4 ? rnd() % 64 | (rnd() % 64) << 32 : rnd() % 64);
    uint32_t mxcsr = 0x1f80 | (uint32_t)(rnd() & 0xe000) * (rnd() % 2) | (rnd() % 4 ? 0 : 0x40);
    if (rnd() % 8 == 0)
        mxcsr &= ~(0x80u << rnd() % 6);
    memcpy(T.ram + VEC_OFF + 0x200, &mxcsr, 4);
}

/* Up to its last instruction. False: nothing was made. */
/* Flags undefined by the one before must not flow on. */
static void define_flags(Program *p)
{
    static const uint8_t cmp[] = { 0x48, 0x39, 0xc8 };
    if (!p->n_ops || !p->undef)
        return;
    memcpy(p->b + p->n, cmp + T.code32, sizeof(cmp) - T.code32);
    p->n += sizeof(cmp) - T.code32;
    p->undef = 0;
}

/* ---- loops: mov dword [counter], N; top: ... dec dword [counter]; jnz top ---- */
static void counter_operand(Program *p, unsigned opcode, unsigned digit)
{
    uint32_t at = (uint32_t)(BASE + COUNTER_OFF);
    p->b[p->n++] = (uint8_t)opcode;
    p->b[p->n++] = (uint8_t)(digit << 3 | (T.code32 ? 5 : 4));
    if (!T.code32)
        p->b[p->n++] = 0x25;
    memcpy(p->b + p->n, &at, 4);
    p->n += 4;
}

static unsigned loop_begin(Program *p)
{
    uint32_t turns = (uint32_t)(rnd() % 8 ? 1 + rnd() % 24 : 320 + rnd() % 100);   /* the latter: hot */
    counter_operand(p, 0xc7, 0);
    memcpy(p->b + p->n, &turns, 4);
    p->n += 4;
    return p->n;
}

static void loop_end(Program *p, unsigned top)
{
    define_flags(p);
    counter_operand(p, 0xff, 1);
    int32_t d = (int32_t)top - (int32_t)(p->n + 6);
    p->b[p->n++] = 0x0f;
    p->b[p->n++] = 0x85;
    memcpy(p->b + p->n, &d, 4);
    p->n += 4;
}

/* A jump over what follows, which may leave flags undefined or not: defined at its end, or behind it in both cases. */
static unsigned skip_begin(Program *p)
{
    p->b[p->n++] = (uint8_t)(0x70 | (rnd() & 15));
    p->n++;
    return p->n;
}

static void skip_end(Program *p, unsigned from)
{
    p->b[from - 1] = (uint8_t)(p->n - from);
}

/* Accesses by one base and the stack, across a page now and then, with sums and zeros between them: what shares a look-up. All flags are defined. */
static void add_run(Program *p)
{
    static const uint8_t mem_ops[] = { 0x8b, 0x89, 0x03, 0x2b, 0x3b, 0x01, 0x8a, 0x88 };
    unsigned regs = T.code32 ? 8 : 16, base, r;
    while ((base = rnd() % regs, (base & 7) == 4))
        ;
    p->n += mov_imm(p->b + p->n, base, BASE + DATA_OFF + (rnd() & 1 ? 0xfe0 : 0x800) + rnd() % 0x40);
    p->n += mov_imm(p->b + p->n, X86_RSP, BASE + STACK_OFF + 8 * (rnd() % 64));
    for (unsigned k = 2 + rnd() % 6; k; k--) {
        while ((r = rnd() % regs, r == base || r == X86_RSP))
            ;
        unsigned what = rnd() % 8, b = what < 4 ? r : base;
        if (!T.code32)
            p->b[p->n++] = (uint8_t)(0x40 | (rnd() & 1) << 3 | (what == 3 ? 0 : r >> 3 << 2) | b >> 3);
        if (what < 2) {
            p->b[p->n++] = (uint8_t)((what ? 0x58 : 0x50) | (r & 7));
            continue;
        }
        p->b[p->n++] = what == 2 ? 0x2b : what == 3 ? 0xff : mem_ops[rnd() % (ARRAY_LEN(mem_ops) - 2 * T.code32)];      /* no high byte of the base */
        p->b[p->n++] = (uint8_t)((what < 4 ? 0xc0 : 0x40) | (what == 3 ? 0 : (r & 7) << 3) | (b & 7));
        if (what >= 4)
            p->b[p->n++] = (uint8_t)(rnd() % 0x60 - 0x20);
    }
}

static bool make_program(Program *p, const X86Op **ops, unsigned n_ops, unsigned round)
{
    unsigned count = rnd() & 1 || T.vector ? 1 + rnd() % 4 : 1 + rnd() % (MAX_SEQ - 1);
    if (T.x87) {
        p->n = x87_make(p->b, rnd, BASE + DATA_OFF, T.code32);
        return true;
    }
    if (T.vector)
        vector_state(p, true);
    unsigned top = T.loops ? loop_begin(p) : 0;
    if (T.loops)
        count = 1 + count % 12;
    for (unsigned k = 0, defined = 0; k < count; k++) {
        if (!defined)
            define_flags(p);
        unsigned skip = T.loops && rnd() % 3 == 0 ? skip_begin(p) : 0;
        if (!skip && !T.vector && p->n < 1200 && rnd() % 4 == 0)
            add_run(p);
        add_insn(p, k == 0 ? ops[round % n_ops] : ops[rnd() % n_ops]);
        defined = skip && rnd() & 1;
        if (defined)
            define_flags(p);
        if (skip)
            skip_end(p, skip);
    }
    if (T.loops)
        loop_end(p, top);
    if (p->n_ops && T.vector)
        vector_state(p, false);
    return p->n_ops;
}

static bool one_round(TcgContext *ctx, TcgCpu *cpu, X86State *s, const X86Op **ops, unsigned n_ops, uint8_t *native_ram, unsigned round)
{
    Program p = { .n = 0 };
    if (!make_program(&p, ops, n_ops, round))
        return true;
    Regs before = { .vector = -1 }, n, t;
    for (int k = 0; k < 16; k++)
        before.gpr[k] = T.code32 ? (uint32_t)interesting() : interesting();
    before.gpr[X86_RSP] = BASE + STACK_OFF + 8 * (rnd() % 64);
    before.flags = 0x202 | (rnd() & (X86_CF | X86_PF | X86_AF | X86_ZF | X86_SF | X86_OF | (rnd() % 4 ? 0 : X86_DF)));
    for (unsigned k = 0; k < DATA_SIZE; k += 8)
        put64(DATA_OFF + k, T.vector ? lane() : interesting());
    vector_inputs();
    if (T.x87)
        x87_inputs(T.ram + DATA_OFF, rnd);
    memset(T.ram + STACK_OFF - 0x10000 + DATA_SIZE, (int)rnd(), 0x1000);
    memcpy(T.ram + CODE_OFF, p.b, p.n);
    static const uint8_t jmp[6] = { 0xff, 0x25 };
    uint64_t back = (uint64_t)(uintptr_t)native_back;
    unsigned out = T.code32 ? CODE_OFF + 0xf00 : CODE_OFF + p.n;
    memcpy(T.ram + out, jmp, 6);
    memcpy(T.ram + out + 6, &back, 8);
    if (T.code32) {                            /* far jump to 64-bit code */
        uint32_t to = (uint32_t)(BASE + out);
        T.ram[CODE_OFF + p.n] = 0xea;
        memcpy(T.ram + CODE_OFF + p.n + 1, &to, 4);
        memcpy(T.ram + CODE_OFF + p.n + 5, (uint8_t[2]){ 0x33, 0 }, 2);
    }
    memcpy(T.image + DATA_OFF, T.ram + DATA_OFF, 0x30000);
    if (T.code32)                              /* what 32-bit code leaves in the others nobody may rely on */
        memset(before.gpr + 8, 0, 64);
    n = t = before;
    run_native(&n, BASE + CODE_OFF);
    if (T.code32)
        memset(n.gpr + 8, 0, 64);
    memcpy(native_ram + DATA_OFF, T.ram + DATA_OFF, 0x30000);
    memcpy(T.ram + DATA_OFF, T.image + DATA_OFF, 0x30000);
    T.ram[CODE_OFF + p.n] = 0xf4;
    tcg_invalidate_range(ctx, CODE_OFF, 4096);
    if (round % 4096 == 4095)
        tcg_flush_code(ctx);
    run_tcg(cpu, s, &t, BASE + CODE_OFF);
    if (T.x87) {
        x87_normalise(T.ram + DATA_OFF);
        x87_normalise(native_ram + DATA_OFF);
    }
    if (!compare(&p, &before, &n, &t, native_ram, s))
        return false;
    for (unsigned k = 0; k < p.n_ops; k++)
        T.seen[p.ops[k] - x86_ops] = 1;
    return true;
}

/* x87: AMD's CPUs do not save the last instruction's addresses when the host's kernel switches tasks between two instructions of the native run, so a
 * mismatch is one when it comes again. */
static void checked_round(TcgContext *ctx, TcgCpu *cpu, X86State *s, const X86Op **ops, unsigned n_ops, uint8_t *native_ram, unsigned round)
{
    uint64_t rng = T.rng;
    for (unsigned tries = T.x87 ? 3 : 1; tries--;) {
        T.rng = rng;
        T.quiet = tries;
        if (one_round(ctx, cpu, s, ops, n_ops, native_ram, round))
            return;
    }
    T.mismatches++;
}

static void print_line(void *opaque, const char *line)
{
    printf("%s\n", line);
}

/* Whether everything was generated and compared. */
static bool report_coverage(uint64_t seed, unsigned rounds, const X86Op **ops, unsigned n_ops)
{
    unsigned covered = 0, of = n_ops;
    if (T.x87)                 /* its programs do not come from the table */
        covered = x87_covered(&of);
    for (unsigned k = 0; k < n_ops && !T.x87; k++) {
        covered += T.seen[ops[k] - x86_ops];
        if (!T.seen[ops[k] - x86_ops])
            printf("not covered: %s (opcodes.def:%u)\n", ops[k]->name, ops[k]->line);
    }
    printf("seed %lu: %u rounds, %u of %u %s covered, %u mismatches\n", (unsigned long)seed, rounds, covered, of, T.x87 ? "forms" : "entries", T.mismatches);
    return covered == of;
}

static void take_word(const char *word, TcgTier *tier)
{
    T.vector |= !strcmp(word, "vector");
    T.x87 |= !strcmp(word, "x87");
    T.code32 |= !strcmp(word, "code32");
    T.loops |= !strcmp(word, "loops");
    T.worker |= !strcmp(word, "worker");
    *tier = !strcmp(word, "interp") ? TCG_TIER_INTERP : !strcmp(word, "tier1") ? TCG_TIER_1 : !strcmp(word, "tier2") ? TCG_TIER_2 : *tier;
}

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    unsigned rounds = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 0) : 60000, n_ops = 0;
    TcgTier tier = TCG_TIER_AUTO;
    if (argc > 1 && !strcmp(argv[1], "random"))
        seed = (uint64_t)time(NULL) ^ (uint64_t)getpid() << 32;
    for (int k = 3; k < argc; k++)
        take_word(argv[k], &tier);
    if (!WILD && T.code32) {
        printf("wild 32-bit addresses lie in AddressSanitizer's shadow, which is mapped here and not in the guest\n");
        return 77;
    }
    T.rng = seed * 0x9e3779b97f4a7c15ull | 1;
    T.ram = mmap((void *)(uintptr_t)BASE, RAM_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_POPULATE, -1, 0);
    if (T.ram == MAP_FAILED)
        return 77;
    T.image = malloc(RAM_SIZE);
    uint8_t *native_ram = malloc(RAM_SIZE);
    T.seen = calloc(1, X86_N_OPS);
    system_tables();
    const X86Op *ops[X86_N_OPS];
    for (unsigned k = 0; k < X86_N_OPS; k++)
        if ((T.vector ? wanted_vector(&x86_ops[k]) : wanted(&x86_ops[k])) && x86_ops[k].accept >> (X86K_MODE + T.code32) & 1 && (!T.code32 || (x86_ops[k].accept >> X86K_OSZ & 3 && x86_ops[k].accept >> X86K_W & 1)) && (!x86_ops[k].feature || host_has(x86_feature_names[x86_ops[k].feature])))
            ops[n_ops++] = &x86_ops[k];
    static uint8_t alt[65536];
    sigaltstack(&(stack_t){ .ss_sp = alt, .ss_size = sizeof(alt) }, NULL);
    Log *log = log_new(print_line, NULL);
    if (getenv("TCG_LOG"))
        log_set_items(log, getenv("TCG_LOG"), NULL);
    TcgConfig config = { .log = log, .cache_size = 64 << 20, .tier = tier, .worker = T.worker ? TCG_WORKER_ALWAYS : TCG_WORKER_OFF,
                         .others = getenv("TCG_OTHERS") ? (IrOthers)atoi(getenv("TCG_OTHERS")) : IR_OTHERS };
    TcgContext *ctx = tcg_new(&config, NULL);
    sigaction(SIGFPE, NULL, &T.old);
    struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
    for (int k = 0; k < 4; k++)
        sigaction((int[]){ SIGSEGV, SIGILL, SIGFPE, SIGBUS }[k], &sa, NULL);
    X86State *s = NULL;
    if (posix_memalign((void **)&s, 64, sizeof(*s)))
        return 1;
    memset(s, 0, sizeof(*s));
    x86_state_reset(s, false, true);
    TcgCpu *cpu = tcg_cpu_new(ctx, &x86_isa, s, &callbacks, NULL);
    for (unsigned k = 0; k < rounds && T.mismatches < 10; k++)
        checked_round(ctx, cpu, s, ops, n_ops, native_ram, k);
    bool all = report_coverage(seed, rounds, ops, n_ops);
    TcgStats stats;
    tcg_stats(ctx, &stats);
    printf("%llu translations, %llu of them regions, %llu units halved\n", (unsigned long long)stats.translations, (unsigned long long)stats.regions,
           (unsigned long long)stats.halved);
    tcg_cpu_free(cpu);
    tcg_free(ctx);
    log_free(log);
    free(s);
    free(native_ram);
    free(T.image);
    bool short_units = stats.halved > stats.translations / 100;      /* an error of the back end's, if a harmless one */
    return T.mismatches || short_units || (!all && !T.loops);
}
