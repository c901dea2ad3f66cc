/* RISC-V 64 Linux programs: registers and signal frames (RISC-V ELF psABI; Linux's asm/ucontext.h, asm/sigcontext.h, asm/ptrace.h). */
#include <elf.h>
#include <signal.h>
#include <string.h>

#include "tcg/guest/riscv/guest.h"
#include "cpu/riscv/state.h"
#include "tcg/user/internal.h"
#include "util/loop.h"

#ifndef EM_RISCV
#define EM_RISCV 243
#endif
enum { A0 = RISCV_A0, A7 = 17, SP = RISCV_SP, RA = RISCV_RA, TP = 4 };

static RiscvState *st(const UserThread *t) { return t->state; }

static bool setup(UserProc *p, GError **err)
{
#define CALL(nr) 0x00000893 | (nr) << 20, 0x00000073, 0x00008067, 0   /* li a7, nr; ecall; ret */
    static const uint32_t code[] = { CALL(139), CALL(169), CALL(113), CALL(114), CALL(168), CALL(259) };
#undef CALL
    static const UserVdsoSym syms[] = { { "__vdso_rt_sigreturn", 0, 8, 0 }, { "__vdso_gettimeofday", 16, 12, 0 }, { "__vdso_clock_gettime", 32, 12, 0 },
                                        { "__vdso_clock_getres", 48, 12, 0 }, { "__vdso_getcpu", 64, 12, 0 }, { "__vdso_flush_icache", 80, 12, 0 } };
    static const UserVdso vdso = { "linux-vdso.so.1", { "LINUX_4.15" }, code, sizeof(code), syms, G_N_ELEMENTS(syms) };
    unsigned *off = p->model = g_new0(unsigned, 1);
    return (!p->options.cpu || riscv_model_parse(p->options.cpu, off, err)) && user_vdso(p, &vdso, err);
}

static void start(UserThread *t, uint64_t pc, uint64_t sp)
{
    RiscvState *s = st(t);
    riscv_state_reset(s, 0);
    s->priv = RISCV_U;
    s->mstatus |= RISCV_FS;
    s->mcounteren = s->scounteren = 7;
    s->ext_off = *(const unsigned *)t->proc->model;
    s->tlb_flush_pending = 0;
    s->pc = pc;
    s->x[SP] = sp;
}

/* rdtime, at the 10 MHz that Linux's device trees say. */
static bool sysreg_read(UserThread *t, uint32_t reg, uint64_t *ret)
{
    (void)t;
    if (reg != RISCV_SYSREG_TIME)
        return false;
    *ret = (uint64_t)clock_now_ns(&clock_host) / 100;
    return true;
}

static TCG_CALL_PATH void clone_state(UserThread *child, const UserThread *parent, uint64_t sp, bool set_tls, uint64_t tls)
{
    RiscvState *s = st(child);
    if (child != parent)
        memcpy(s, st(parent), offsetof(RiscvState, xlat));
    if (sp)
        s->x[SP] = sp;
    if (set_tls)
        s->x[TP] = tls;
    s->x[A0] = 0;
}

static uint64_t get_sp(const UserThread *t) { return st(t)->x[SP]; }

static TCG_CALL_PATH void get_args(const UserThread *t, uint64_t *nr, uint64_t a[6])
{
    *nr = st(t)->x[A7];
    memcpy(a, &st(t)->x[A0], 6 * sizeof(a[0]));
}

static TCG_CALL_PATH void set_result(UserThread *t, uint64_t v) { st(t)->x[A0] = v; }

static void restart(UserThread *t)
{
    st(t)->x[A0] = t->syscall_arg0;
    st(t)->pc -= 4;
}

static bool exception(UserThread *t, unsigned cause, uint64_t error, uint64_t addr, siginfo_t *si)
{
    (void)error;
    si->si_addr = g2h(st(t)->pc);
    switch (cause) {
    case RISCV_E_ILLEGAL: si->si_signo = SIGILL; si->si_code = ILL_ILLOPC; break;
    case RISCV_E_BREAK: si->si_signo = SIGTRAP; si->si_code = TRAP_BRKPT; break;
    case RISCV_E_INSN_MISALIGNED: case RISCV_E_LOAD_MISALIGNED: case RISCV_E_STORE_MISALIGNED:
        si->si_signo = SIGBUS;
        si->si_code = BUS_ADRALN;
        si->si_addr = g2h(addr);
        break;
    default:
        si->si_signo = t->fault_signal == SIGBUS ? SIGBUS : SIGSEGV;
        si->si_code = t->fault_signal == SIGBUS ? BUS_ADRERR : user_is_mapped(t->proc, addr) ? SEGV_ACCERR : SEGV_MAPERR;
        si->si_addr = g2h(addr);
        t->fault_signal = 0;
        break;
    }
    return true;
}

/* ---- signal frames ---- */
typedef struct Sigcontext {
    uint64_t pc, x[31];
    uint64_t f[64] __attribute__((aligned(16)));   /* room for Q */
    uint32_t fcsr, reserved[3];
} Sigcontext;
typedef struct Ucontext {
    uint64_t flags, link, ss_sp;
    int32_t ss_flags, pad;
    uint64_t ss_size, mask;
    uint8_t unused[120];
    Sigcontext mc __attribute__((aligned(16)));
} Ucontext;
typedef struct Frame { siginfo_t info; Ucontext uc; } Frame;
_Static_assert(offsetof(Ucontext, mc) == 176 && sizeof(Sigcontext) == 784, "asm/ucontext.h");

/* D registers lie one after the other, fcsr right behind them (struct __riscv_d_ext_state). */
static void put_registers(const RiscvState *s, Sigcontext *c)
{
    uint32_t fcsr = riscv_fflags(s) | (uint32_t)s->frm << 5;
    c->pc = s->pc;
    memcpy(c->x, &s->x[1], sizeof(c->x));
    memcpy(c->f, s->f, sizeof(s->f));
    memcpy(&c->f[32], &fcsr, sizeof(fcsr));
}

static void get_registers(RiscvState *s, const Sigcontext *c)
{
    uint32_t fcsr;
    s->pc = c->pc & ~1ull;
    memcpy(&s->x[1], c->x, sizeof(c->x));
    memcpy(s->f, c->f, sizeof(s->f));
    memcpy(&fcsr, &c->f[32], sizeof(fcsr));
    riscv_set_fflags(s, fcsr & 31);
    riscv_set_frm(s, fcsr >> 5 & 7);
    s->res_addr = ~0ull;
}

static bool push_frame(UserThread *t, const siginfo_t *si, const UserSigaction *a, uint64_t mask, bool on_alt)
{
    RiscvState *s = st(t);
    Frame f;
    uint64_t sp = on_alt ? (uint64_t)(uintptr_t)t->altstack.ss_sp + t->altstack.ss_size : s->x[SP];
    uint64_t at = (sp - sizeof(f)) & ~15ull;
    memset(&f, 0, sizeof(f));
    f.info = *si;
    f.uc.ss_sp = (uint64_t)(uintptr_t)t->altstack.ss_sp;
    f.uc.ss_flags = t->altstack.ss_flags;
    f.uc.ss_size = t->altstack.ss_size;
    f.uc.mask = mask;
    put_registers(s, &f.uc.mc);
    if (!user_put(t, at, &f, sizeof(f)))
        return false;
    s->x[SP] = at;
    s->x[RA] = t->proc->trampoline;
    s->x[A0] = (uint64_t)si->si_signo;
    s->x[A0 + 1] = at + offsetof(Frame, info);
    s->x[A0 + 2] = at + offsetof(Frame, uc);
    s->pc = a->handler;
    s->res_addr = ~0ull;
    return true;
}

static bool pop_frame(UserThread *t, uint64_t *ret_mask)
{
    Frame f;
    if (!user_get(t, &f, st(t)->x[SP], sizeof(f)))
        return false;
    get_registers(st(t), &f.uc.mc);
    t->altstack = (stack_t){ .ss_sp = g2h(f.uc.ss_sp), .ss_flags = f.uc.ss_flags & ~SS_ONSTACK, .ss_size = f.uc.ss_size };
    *ret_mask = f.uc.mask;
    return true;
}

static void cpu_info(const UserProc *p, GString *to, unsigned cpu)
{
    char isa[RISCV_ISA_STRING];
    riscv_isa_string(RISCV_X_SSTC | *(const unsigned *)p->model, isa);     /* of no use to programs */
    g_string_append_printf(to, "processor\t: %u\nhart\t\t: %u\nisa\t\t: %s\nmmu\t\t: sv48\n\n", cpu, cpu, isa);
}

enum { HWCAP_IMAFDC = 1 << 8 | 1 << 12 | 1 << 0 | 1 << 5 | 1 << 3 | 1 << 2 };

const UserAbi user_abi_riscv64 = {
    .name = "riscv64", .uname = "riscv64", .elf_machine = EM_RISCV, .elf_class = ELFCLASS64, .isa = &riscv_isa,
    .sysreg_read = sysreg_read, .syscalls = user_generic_syscalls, .n_syscalls = USER_GENERIC_SYSCALLS, .hwcap = HWCAP_IMAFDC, .setup = setup, .start = start,
    .clone = clone_state, .sp = get_sp, .get_args = get_args, .set_result = set_result, .restart = restart, .exception = exception,
    .push_frame = push_frame, .pop_frame = pop_frame, .put_stat = user_generic_put_stat, .cpu_info = cpu_info, .cpu_help = riscv_models_help, .no_restorer = true,
};
