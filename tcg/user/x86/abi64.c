/* x86-64 Linux programs: registers, signal frames (System V ABI AMD64 supplement; Linux's asm/sigcontext.h, asm/ucontext.h), arch_prctl. */
#include <asm/prctl.h>
#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>

#include "cpu/x86/cpuid.h"
#include "cpu/x86/xsave.h"
#include "tcg/guest/x86/guest.h"
#include "tcg/user/x86/x86_user.h"

static const uint16_t numbers[] = {
#define SYS(name, args) [SYS_##name] = USYS_##name,
#define SYSX(name, fn, args) [SYS_##name] = USYS_##name,
#define NEW(name, nr, args) [nr] = USYS_##name,
#include "tcg/user/syscalls.def"
#undef SYS
#undef SYSX
};

enum { REDZONE = 128, FX_BYTES = X86_XSAVE_LEGACY, MAGIC2_BYTES = 4 };

static X86State *st(const UserThread *t) { return t->state; }

static void start(UserThread *t, uint64_t pc, uint64_t sp)
{
    x86_user_registers(t, false);
    st(t)->rip = pc;
    st(t)->gpr[X86_RSP] = sp;
}

static TCG_CALL_PATH void clone_state(UserThread *child, const UserThread *parent, uint64_t sp, bool set_tls, uint64_t tls)
{
    X86State *s = st(child);
    x86_user_copy(child, parent);
    if (sp)
        s->gpr[X86_RSP] = sp;
    if (set_tls)
        s->seg[X86_FS].base = tls;
    s->gpr[X86_RAX] = 0;
}

static uint64_t get_sp(const UserThread *t) { return st(t)->gpr[X86_RSP]; }

static TCG_CALL_PATH void get_args(const UserThread *t, uint64_t *nr, uint64_t a[6])
{
    const uint64_t *g = st(t)->gpr;
    *nr = g[X86_RAX];
    memcpy(a, (uint64_t[]){ g[X86_RDI], g[X86_RSI], g[X86_RDX], g[10], g[8], g[9] }, 6 * sizeof(a[0]));
}

/* INT 0x80 is i386's entry in 64-bit code too. */
static TCG_CALL_PATH const UserAbi *enter(UserThread *t, unsigned kind)
{
    (void)t;
    return kind == X86_CALL_INT80 ? &user_abi_i386 : &user_abi_x86_64;
}

static TCG_CALL_PATH void set_result(UserThread *t, uint64_t v) { st(t)->gpr[X86_RAX] = v; }

static void restart(UserThread *t)
{
    st(t)->gpr[X86_RAX] = t->syscall_nr;
    st(t)->rip -= 2;           /* SYSCALL is two bytes */
}

/* ---- signal frames ---- */
typedef struct Sigcontext {
    uint64_t r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, eflags;
    uint16_t cs, gs, fs, ss;
    uint64_t err, trapno, oldmask, cr2, fpstate, reserved[8];
} Sigcontext;
typedef struct Ucontext { uint64_t flags, link; uint64_t ss_sp; int32_t ss_flags, pad; uint64_t ss_size; Sigcontext mc; uint64_t mask; } Ucontext;
typedef struct Frame { uint64_t pretcode; Ucontext uc; siginfo_t info; } Frame;
_Static_assert(sizeof(Sigcontext) == 256, "asm/sigcontext.h");
enum { UC_FP_XSTATE = 1, UC_SIGCONTEXT_SS = 2, UC_STRICT_RESTORE_SS = 4, XSTATE_MAGIC1 = 0x46505853, XSTATE_MAGIC2 = 0x46505845, XSTATE_BYTES = 832, FRAME_FP = XSTATE_BYTES + 64 };

static void put_gprs(const X86State *s, Sigcontext *c)
{
    const uint64_t *g = s->gpr;
    *c = (Sigcontext){ .r8 = g[8], .r9 = g[9], .r10 = g[10], .r11 = g[11], .r12 = g[12], .r13 = g[13], .r14 = g[14], .r15 = g[15],
                       .rdi = g[X86_RDI], .rsi = g[X86_RSI], .rbp = g[X86_RBP], .rbx = g[X86_RBX], .rdx = g[X86_RDX], .rax = g[X86_RAX],
                       .rcx = g[X86_RCX], .rsp = g[X86_RSP], .rip = s->rip, .eflags = x86_rflags(s) | X86_IF,
                       .cs = s->seg[X86_CS].sel, .gs = s->seg[X86_GS].sel, .fs = s->seg[X86_FS].sel, .ss = s->seg[X86_SS].sel, .cr2 = s->cr2 };
}

static void get_gprs(X86State *s, const Sigcontext *c)
{
    const uint64_t g[16] = { c->rax, c->rcx, c->rdx, c->rbx, c->rsp, c->rbp, c->rsi, c->rdi, c->r8, c->r9, c->r10, c->r11, c->r12, c->r13, c->r14, c->r15 };
    memcpy(s->gpr, g, sizeof(g));
    s->rip = c->rip;
    x86_set_rflags(s, (x86_rflags(s) & ~(uint64_t)X86U_FLAGS) | (c->eflags & X86U_FLAGS));
}

/* The XSAVE area in standard format with Linux's software-reserved words and the mark behind it. */
static void put_fpstate(const X86State *s, uint8_t *area)
{
    uint32_t size = XSTATE_BYTES, total = size + MAGIC2_BYTES, magic1 = XSTATE_MAGIC1, magic2 = XSTATE_MAGIC2;
    x86_xsave_pack(s, s->xcr0, area);
    memset(area + XSTATE_BYTES, 0, FRAME_FP - XSTATE_BYTES);
    memcpy(area + 464, &magic1, 4);
    memcpy(area + 468, &total, 4);
    memcpy(area + 472, &s->xcr0, 8);
    memcpy(area + 480, &size, 4);
    memcpy(area + size, &magic2, 4);
}

static bool push_frame(UserThread *t, const siginfo_t *si, const UserSigaction *a, uint64_t mask, bool on_alt)
{
    X86State *s = st(t);
    uint8_t area[X86_XSAVE_MAX];
    Frame f;
    uint64_t sp = on_alt ? (uint64_t)(uintptr_t)t->altstack.ss_sp + t->altstack.ss_size : s->gpr[X86_RSP] - REDZONE;
    uint64_t fp = (sp - FRAME_FP) & ~63ull, at = ((fp - sizeof(f)) & ~15ull) - 8;
    put_fpstate(s, area);
    memset(&f, 0, sizeof(f));
    f.pretcode = a->restorer;
    f.info = *si;
    f.uc = (Ucontext){ .flags = UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS, .ss_sp = (uint64_t)(uintptr_t)t->altstack.ss_sp,
                       .ss_flags = t->altstack.ss_flags, .ss_size = t->altstack.ss_size, .mask = mask };
    put_gprs(s, &f.uc.mc);
    f.uc.mc.fpstate = fp;
    f.uc.mc.oldmask = mask;
    f.uc.mc.trapno = t->exc.vector;
    f.uc.mc.err = t->exc.error;
    if (!user_put(t, fp, area, FRAME_FP) || !user_put(t, at, &f, sizeof(f)))
        return false;
    s->gpr[X86_RSP] = at;
    s->gpr[X86_RDI] = (uint64_t)si->si_signo;
    s->gpr[X86_RSI] = at + offsetof(Frame, info);
    s->gpr[X86_RDX] = at + offsetof(Frame, uc);
    s->gpr[X86_RAX] = 0;
    s->rip = a->handler;
    x86_set_rflags(s, x86_rflags(s) & ~(uint64_t)(X86_DF | X86_TF | X86_RF));
    x86_user_fresh_fpu(s);
    return true;
}

static bool pop_frame(UserThread *t, uint64_t *ret_mask)
{
    X86State *s = st(t);
    Frame f;
    uint8_t area[X86_XSAVE_MAX] = { 0 };
    uint32_t magic;
    x86_isa.fpu_settle(t->cpu);      /* the call came from code whose x87 may be the host's */
    if (!user_get(t, &f, s->gpr[X86_RSP] - 8, sizeof(f)))
        return false;
    if (f.uc.mc.fpstate) {
        if (!user_get(t, area, f.uc.mc.fpstate, FX_BYTES))
            return false;
        memcpy(&magic, area + 464, 4);
        if (magic == XSTATE_MAGIC1 && user_get(t, area, f.uc.mc.fpstate, XSTATE_BYTES))
            x86_xsave_unpack(s, s->xcr0, area);
        else
            x86_fxsave_unpack(s, area);
    }
    get_gprs(s, &f.uc.mc);
    t->altstack = (stack_t){ .ss_sp = g2h(f.uc.ss_sp), .ss_flags = f.uc.ss_flags & ~SS_ONSTACK, .ss_size = f.uc.ss_size };
    *ret_mask = f.uc.mask;
    return true;
}

static unsigned more_auxv(UserProc *p, uint64_t *out)
{
    /* The host's vDSO runs translated like everything else: it reads the host's clock page, which is at the same address. */
    uint64_t vdso = getauxval(AT_SYSINFO_EHDR);
    unsigned n = 0;
    if (vdso) {
        user_map_add(p, vdso, vdso + 2 * USER_PAGE, 5, false, 0, -1, "[vdso]");
        out[n++] = AT_SYSINFO_EHDR;
        out[n++] = vdso;
    }
    out[n++] = AT_MINSIGSTKSZ;
    out[n++] = sizeof(Frame) + XSTATE_BYTES + 512;
    return n;
}

static bool special(UserThread *t, unsigned sys, const uint64_t *a, int64_t *ret)
{
    X86State *s = st(t);
    if (sys == USYS_modify_ldt) {
        *ret = x86_user_modify_ldt(t, a);
        return true;
    }
    if (sys != USYS_arch_prctl)
        return false;
    uint64_t base;
    *ret = 0;
    switch (a[0]) {
    case ARCH_SET_FS: s->seg[X86_FS].base = a[1]; break;
    case ARCH_SET_GS: s->seg[X86_GS].base = a[1]; break;
    case ARCH_GET_FS: case ARCH_GET_GS:
        base = s->seg[a[0] == ARCH_GET_FS ? X86_FS : X86_GS].base;
        *ret = user_put(t, a[1], &base, 8) ? 0 : -EFAULT;
        break;
    default: *ret = -EINVAL; break;
    }
    return true;
}

const UserAbi user_abi_x86_64 = {
    .name = "x86_64", .uname = "x86_64", .platform = "x86_64", .elf_machine = EM_X86_64, .elf_class = ELFCLASS64, .isa = &x86_isa, .own_size = sizeof(X86Own), .enter = enter,
    .syscalls = numbers, .n_syscalls = G_N_ELEMENTS(numbers), .hwcap = 0x178bfbff, .hwcap2 = 2, .cpu_help = x86_models_help, .setup = x86_user_setup, .start = start,
    .clone = clone_state, .sp = get_sp, .get_args = get_args, .set_result = set_result, .restart = restart, .exception = x86_user_exception,
    .push_frame = push_frame, .pop_frame = pop_frame, .packed_epoll = true, .clone_tls_last = true, .auxv = more_auxv, .special = special, .sysreg_read = x86_user_sysreg_read,
};
