/* AArch64 Linux programs: registers and signal frames (AAPCS64; Linux's asm/sigcontext.h, asm/ucontext.h, asm/fcntl.h). */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>

#include "cpu/aarch64/model.h"
#include "cpu/aarch64/state.h"
#include "cpu/aarch64/sysreg.h"
#include "tcg/guest/aarch64/guest.h"
#include "tcg/user/internal.h"
#include "util/loop.h"
#include "util/random.h"

enum { NR = 8, FP = 29, INSN = 4 };

static A64State *st(const UserThread *t) { return t->state; }

static bool setup(UserProc *p, GError **err)
{
#define CALL(nr) 0xd2800008 | (nr) << 5, 0xd4000001, 0xd65f03c0, 0   /* mov x8, nr; svc 0; ret */
    static const uint32_t code[] = { CALL(139), CALL(169), CALL(113), CALL(114) };
#undef CALL
    static const UserVdsoSym syms[] = { { "__kernel_rt_sigreturn", 0, 8, 0 }, { "__kernel_gettimeofday", 16, 12, 0 }, { "__kernel_clock_gettime", 32, 12, 0 },
                                        { "__kernel_clock_getres", 48, 12, 0 } };
    static const UserVdso vdso = { "linux-vdso.so.1", { "LINUX_2.6.39" }, code, sizeof(code), syms, G_N_ELEMENTS(syms) };
    A64Model *m = p->model = g_new0(A64Model, 1);
    return a64_model_parse(p->options.cpu ? p->options.cpu : "max", m, err) && user_vdso(p, &vdso, err);
}

/* As Linux leaves it to EL0: FP on, CTR and DC ZVA and cache maintenance allowed, the virtual counter readable, pointer authentication with keys
 * of its own. */
static void start(UserThread *t, uint64_t pc, uint64_t sp)
{
    enum { EL0VCTEN = 2 };
    A64State *s = st(t);
    const A64Model *m = t->proc->model;
    uint64_t keys[A64_KEYS][2];
    random_bytes(keys, sizeof(keys));
    a64_state_program(s, keys);
    s->cptr[A64_EL2] = s->cptr[A64_EL3] = 0;
    s->sctlr[A64_EL1] |= A64_SCTLR_M | A64_SCTLR_C | A64_SCTLR_I | A64_SCTLR_SA0 | A64_SCTLR_DZE | A64_SCTLR_UCT | A64_SCTLR_UCI | A64_SCTLR_NTWE | A64_SCTLR_NTWI;
    if (m->v8_0)
        s->midr = s->vpidr = m->midr;
    s->pauth = m->pauth;
    if (m->pauth == A64_PAUTH_NONE)
        s->sctlr[A64_EL1] &= ~(uint64_t)(A64_SCTLR_ENIA | A64_SCTLR_ENIB | A64_SCTLR_ENDA | A64_SCTLR_ENDB);
    s->cntkctl = EL0VCTEN;
    s->power = A64_POWER_ON;
    s->tlb_flush_pending = 0;
    s->pc = pc;
    s->x[A64_SP] = sp;
}

/* The virtual counter, at the 62.5 MHz that CNTFRQ says. */
static bool sysreg_read(UserThread *t, uint32_t reg, uint64_t *ret)
{
    (void)t;
    if (reg != A64_MACHINE_COUNTER)
        return false;
    *ret = (uint64_t)clock_now_ns(&clock_host) / 16;
    return true;
}

static TCG_CALL_PATH void clone_state(UserThread *child, const UserThread *parent, uint64_t sp, bool set_tls, uint64_t tls)
{
    A64State *s = st(child);
    if (child != parent)
        memcpy(s, st(parent), offsetof(A64State, xlat));
    if (sp)
        s->x[A64_SP] = sp;
    if (set_tls)
        s->tpidr_el0 = tls;
    s->x[0] = 0;
}

static uint64_t get_sp(const UserThread *t) { return st(t)->x[A64_SP]; }

static TCG_CALL_PATH void get_args(const UserThread *t, uint64_t *nr, uint64_t a[6])
{
    *nr = (uint32_t)st(t)->x[NR];
    memcpy(a, st(t)->x, 6 * sizeof(a[0]));
}

static TCG_CALL_PATH void set_result(UserThread *t, uint64_t v) { st(t)->x[0] = v; }

static void restart(UserThread *t)
{
    st(t)->x[0] = t->syscall_arg0;
    st(t)->pc -= INSN;
}

/* Linux's words for exceptions (arch/arm64 by observation, sigaction(2)). */
static bool exception(UserThread *t, unsigned ec, uint64_t iss, uint64_t addr, siginfo_t *si)
{
    A64State *s = st(t);
    bool aligned = (iss & 0x3f) != A64_FSC_ALIGNMENT, data = ec == A64_EC_DABT || ec == A64_EC_DABT_LOWER;
    si->si_addr = g2h(s->pc);
    s->esr[A64_EL1] = (uint64_t)ec << 26 | 1u << 25 | (uint32_t)iss;
    s->far[A64_EL1] = addr;
    switch (ec) {
    case A64_EC_DABT: case A64_EC_DABT_LOWER: case A64_EC_IABT: case A64_EC_IABT_LOWER:
        si->si_addr = g2h(addr);
        si->si_signo = SIGSEGV;
        si->si_code = user_is_mapped(t->proc, addr) ? SEGV_ACCERR : SEGV_MAPERR;
        if ((data && !aligned) || t->fault_signal == SIGBUS) {   /* misaligned; behind the end of the mapped file */
            si->si_signo = SIGBUS;
            si->si_code = data && !aligned ? BUS_ADRALN : BUS_ADRERR;
        }
        t->fault_signal = 0;
        break;
    case A64_EC_PC_ALIGN: si->si_signo = SIGBUS; si->si_code = BUS_ADRALN; break;
    case A64_EC_SP_ALIGN: si->si_signo = SIGBUS; si->si_code = BUS_ADRALN; si->si_addr = g2h(s->x[A64_SP]); break;
    case A64_EC_BRK: case A64_EC_BKPT: case A64_EC_BKPT_LOWER: si->si_signo = SIGTRAP; si->si_code = TRAP_BRKPT; break;
    case A64_EC_STEP: case A64_EC_STEP_LOWER: si->si_signo = SIGTRAP; si->si_code = TRAP_TRACE; break;
    case A64_EC_FPE: si->si_signo = SIGFPE; si->si_code = FPE_FLTINV; break;
    default: si->si_signo = SIGILL; si->si_code = ILL_ILLOPC; break;
    }
    return true;
}

/* ---- signal frames ---- */
enum { FPSIMD_MAGIC = 0x46508001, ESR_MAGIC = 0x45535201, RESERVED_BYTES = 4096 };
typedef struct Ctx { uint32_t magic, size; } Ctx;
typedef struct Fpsimd { Ctx head; uint32_t fpsr, fpcr; uint64_t v[32][2]; } Fpsimd;
typedef struct Esr { Ctx head; uint64_t esr; } Esr;
typedef struct Sigcontext {
    uint64_t fault_address, regs[31], sp, pc, pstate;
    struct { Fpsimd fpsimd; uint8_t rest[RESERVED_BYTES - sizeof(Fpsimd)]; } more __attribute__((aligned(16)));
} Sigcontext;
typedef struct Ucontext {
    uint64_t flags, link, ss_sp;
    int32_t ss_flags, pad;
    uint64_t ss_size, mask;
    uint8_t unused[120];
    Sigcontext mc __attribute__((aligned(16)));
} Ucontext;
typedef struct Frame { siginfo_t info; Ucontext uc; } Frame;
typedef struct Record { uint64_t fp, lr; } Record;     /* of the interrupted function: unwinders go on there */
_Static_assert(offsetof(Ucontext, mc) == 176 && sizeof(Fpsimd) == 528 && offsetof(Sigcontext, more) == 288 && sizeof(Frame) == 4688, "asm/sigcontext.h");

static void put_registers(const UserThread *t, Sigcontext *c)
{
    const A64State *s = st(t);
    memcpy(c->regs, s->x, sizeof(c->regs));
    c->sp = s->x[A64_SP];
    c->pc = s->pc;
    c->pstate = a64_nzcv(s);
    Fpsimd *f = &c->more.fpsimd;
    f->head = (Ctx){ FPSIMD_MAGIC, sizeof(*f) };
    f->fpsr = a64_fpsr(s);
    f->fpcr = s->fpcr;
    for (unsigned n = 0; n < 32; n++)
        memcpy(f->v[n], s->v[n].d, sizeof(f->v[n]));
}

/* What the handler of a fault may look at: FAR and ESR. */
static void put_fault(const UserThread *t, Sigcontext *c)
{
    const A64State *s = st(t);
    Esr e = { { ESR_MAGIC, sizeof(e) }, s->esr[A64_EL1] };
    c->fault_address = s->far[A64_EL1];
    if (e.esr)
        memcpy(c->more.rest, &e, sizeof(e));
}

static bool push_frame(UserThread *t, const siginfo_t *si, const UserSigaction *a, uint64_t mask, bool on_alt)
{
    A64State *s = st(t);
    Frame f;
    Record rec = { s->x[FP], s->x[A64_LR] };
    uint64_t sp = on_alt ? (uint64_t)(uintptr_t)t->altstack.ss_sp + t->altstack.ss_size : s->x[A64_SP];
    uint64_t rec_at = (sp - sizeof(rec)) & ~15ull, at = rec_at - sizeof(f);
    memset(&f, 0, sizeof(f));
    f.uc.ss_sp = (uint64_t)(uintptr_t)t->altstack.ss_sp;
    f.uc.ss_flags = t->altstack.ss_flags;
    f.uc.ss_size = t->altstack.ss_size;
    f.uc.mask = mask;
    f.info = *si;
    put_registers(t, &f.uc.mc);
    put_fault(t, &f.uc.mc);
    if (!user_put(t, rec_at, &rec, sizeof(rec)) || !user_put(t, at, &f, sizeof(f)))
        return false;
    s->x[A64_SP] = at;
    s->x[FP] = rec_at;
    s->x[A64_LR] = a->flags & 0x04000000 ? a->restorer : t->proc->trampoline;
    s->x[0] = (uint64_t)si->si_signo;
    if (a->flags & SA_SIGINFO) {
        s->x[1] = at + offsetof(Frame, info);
        s->x[2] = at + offsetof(Frame, uc);
    }
    s->pc = a->handler;
    s->excl_addr = ~0ull;
    return true;
}

/* The records behind the registers: FPSIMD's must be there; others are passed over. */
static bool get_fpsimd(A64State *s, const Sigcontext *c)
{
    const uint8_t *at = (const uint8_t *)&c->more;
    for (unsigned n = 0; n + sizeof(Ctx) <= RESERVED_BYTES;) {
        Ctx head;
        memcpy(&head, at + n, sizeof(head));
        if (head.magic == FPSIMD_MAGIC && head.size == sizeof(Fpsimd) && n + sizeof(Fpsimd) <= RESERVED_BYTES) {
            const Fpsimd *f = (const void *)(at + n);
            for (unsigned k = 0; k < 32; k++)
                memcpy(s->v[k].d, f->v[k], sizeof(f->v[k]));
            a64_set_fpcr(s, f->fpcr);
            a64_set_fpsr(s, f->fpsr);
            return true;
        }
        if (!head.magic || head.size < sizeof(head) || head.size & 15)
            break;
        n += head.size;
    }
    return false;
}

static bool pop_frame(UserThread *t, uint64_t *ret_mask)
{
    A64State *s = st(t);
    Frame f;
    if (s->x[A64_SP] & 15 || !user_get(t, &f, s->x[A64_SP], sizeof(f)) || !get_fpsimd(s, &f.uc.mc))
        return false;
    memcpy(s->x, f.uc.mc.regs, sizeof(f.uc.mc.regs));
    s->x[A64_SP] = f.uc.mc.sp;
    s->pc = f.uc.mc.pc;
    a64_set_nzcv(s, (uint32_t)f.uc.mc.pstate);
    s->excl_addr = ~0ull;
    t->altstack = (stack_t){ .ss_sp = g2h(f.uc.ss_sp), .ss_flags = f.uc.ss_flags & ~SS_ONSTACK, .ss_size = f.uc.ss_size };
    *ret_mask = f.uc.mask;
    return true;
}

/* asm/fcntl.h: four flags have each other's places. */
static const struct { int guest, host; } flags[] = { { 040000, O_DIRECTORY }, { 0100000, O_NOFOLLOW }, { 0200000, O_DIRECT }, { 0400000, 0100000 /* O_LARGEFILE */ } };
enum { MOVED = 0740000 };

static int open_flags(int guest)
{
    int host = guest & ~MOVED;
    for (unsigned n = 0; n < G_N_ELEMENTS(flags); n++)
        host |= guest & flags[n].guest ? flags[n].host : 0;
    return host;
}

static int open_flags_back(int host)
{
    int guest = host & ~MOVED;
    for (unsigned n = 0; n < G_N_ELEMENTS(flags); n++)
        guest |= host & flags[n].host ? flags[n].guest : 0;
    return guest;
}

static uint64_t hwcap(const UserProc *p)
{
    const A64Model *m = p->model;
    return a64_hwcap(m->v8_0, m->pauth != A64_PAUTH_NONE);
}

static unsigned more_auxv(UserProc *p, uint64_t *out)
{
    memcpy(out, (uint64_t[]){ AT_HWCAP, hwcap(p), AT_MINSIGSTKSZ, sizeof(Frame) + sizeof(Record) + 16 }, 4 * sizeof(out[0]));
    return 4;
}

/* Names of the bits of AT_HWCAP, as Linux's /proc/cpuinfo has them (Documentation/arm64/elf_hwcaps.rst). */
static void cpu_info(const UserProc *p, GString *to, unsigned cpu)
{
    static const char *const names[] = { "fp", "asimd", "evtstrm", "aes", "pmull", "sha1", "sha2", "crc32", "atomics", "fphp", "asimdhp", "cpuid", "asimdrdm", "jscvt", "fcma",
        "lrcpc", "dcpop", "sha3", "sm3", "sm4", "asimddp", "sha512", "sve", "asimdfhm", "dit", "uscat", "ilrcpc", "flagm", "ssbs", "sb", "paca", "pacg" };
    const A64Model *m = p->model;
    uint64_t midr = m->v8_0 ? m->midr : A64_MIDR_PROGRAM;
    g_string_append_printf(to, "processor\t: %u\nBogoMIPS\t: 125.00\nFeatures\t:", cpu);
    for (unsigned n = 0; n < G_N_ELEMENTS(names); n++)
        if (hwcap(p) >> n & 1)
            g_string_append_printf(to, " %s", names[n]);
    g_string_append_printf(to, "\nCPU implementer\t: 0x%02x\nCPU architecture: 8\nCPU variant\t: 0x%x\nCPU part\t: 0x%03x\nCPU revision\t: %u\n\n", (unsigned)midr >> 24,
                           (unsigned)midr >> 20 & 15, (unsigned)midr >> 4 & 0xfff, (unsigned)midr & 15);
}

const UserAbi user_abi_aarch64 = {
    .name = "aarch64", .uname = "aarch64", .platform = "aarch64", .elf_machine = EM_AARCH64, .elf_class = ELFCLASS64, .isa = &a64_isa,
    .sysreg_read = sysreg_read, .syscalls = user_generic_syscalls, .n_syscalls = USER_GENERIC_SYSCALLS, .setup = setup, .start = start, .clone = clone_state, .sp = get_sp,
    .get_args = get_args, .set_result = set_result, .restart = restart, .exception = exception, .push_frame = push_frame, .pop_frame = pop_frame,
    .min_altstack = 5120, .put_stat = user_generic_put_stat, .cpu_info = cpu_info, .cpu_help = a64_models_help, .open_flags = open_flags, .open_flags_back = open_flags_back, .auxv = more_auxv,
};
