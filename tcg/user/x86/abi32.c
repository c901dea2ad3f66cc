/* i386 Linux programs: registers, system-call entries, signal frames (System V ABI i386 supplement; Linux's asm/sigcontext.h). */
#include "tcg/user/x86/x86_user.h"

#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "cpu/x86/cpuid.h"
#include "cpu/x86/xsave.h"
#include "tcg/guest/x86/guest.h"

static X86State *st(const UserThread *t) { return t->state; }
static uint32_t *reg(UserThread *t, unsigned n) { return (uint32_t *)&st(t)->gpr[n]; }
static void set_reg(UserThread *t, unsigned n, uint64_t v) { st(t)->gpr[n] = (uint32_t)v; }

/* What Linux's vDSO has: the entry that AT_SYSINFO names, where SYSENTER comes back, the ends of signal handlers, and calls as functions. */
enum { V_SYSCALL = 0, V_LANDING = 9, V_SIGRETURN = 16, V_RT_SIGRETURN = 32, V_CALLS = 48, V_CALL = 32, V_CALL_BYTES = 22 };
/* push ebx; mov eax, nr; mov ebx, [esp+8]; mov ecx, [esp+12]; mov edx, [esp+16]; int 0x80; pop ebx; ret */
#define CALL(n, nr) \
    [V_CALLS + V_CALL * (n)] = 0x53, 0xb8, (nr) & 0xff, (nr) >> 8, 0, 0, 0x8b, 0x5c, 0x24, 8, 0x8b, 0x4c, 0x24, 12, 0x8b, 0x54, 0x24, 16, 0xcd, 0x80, 0x5b, 0xc3,
static const uint8_t code[] = {
    [V_SYSCALL] = 0x51, 0x52, 0x55, 0x89, 0xe5, 0x0f, 0x34, 0xcd, 0x80,          /* push ecx, edx, ebp; mov ebp, esp; sysenter; int 0x80 */
    [V_LANDING] = 0x5d, 0x5a, 0x59, 0xc3,                                         /* pop ebp, edx, ecx; ret */
    [V_SIGRETURN] = 0x58, 0xb8, 119, 0, 0, 0, 0xcd, 0x80,                         /* pop eax; mov eax, sigreturn; int 0x80 */
    [V_RT_SIGRETURN] = 0xb8, 173, 0, 0, 0, 0xcd, 0x80,                            /* mov eax, rt_sigreturn; int 0x80 */
    CALL(0, 265) CALL(1, 403) CALL(2, 266) CALL(3, 78) CALL(4, 13) CALL(5, 318)
};
#undef CALL
#define CALL(n) V_CALLS + V_CALL * (n), V_CALL_BYTES
static const UserVdsoSym syms[] = {
    { "__kernel_vsyscall", V_SYSCALL, 13, 1 }, { "__kernel_sigreturn", V_SIGRETURN, 8, 1 }, { "__kernel_rt_sigreturn", V_RT_SIGRETURN, 7, 1 },
    { "__vdso_clock_gettime", CALL(0), 0 }, { "__vdso_clock_gettime64", CALL(1), 0 }, { "__vdso_clock_getres", CALL(2), 0 }, { "__vdso_gettimeofday", CALL(3), 0 },
    { "__vdso_time", CALL(4), 0 }, { "__vdso_getcpu", CALL(5), 0 },
};
#undef CALL
static const UserVdso vdso = { "linux-gate.so.1", { "LINUX_2.6", "LINUX_2.5" }, code, sizeof(code), syms, G_N_ELEMENTS(syms) };

static bool setup(UserProc *p, GError **err)
{
    return x86_user_setup(p, err) && user_vdso(p, &vdso, err);
}

static void start(UserThread *t, uint64_t pc, uint64_t sp)
{
    x86_user_registers(t, true);
    st(t)->rip = pc;
    set_reg(t, X86_RSP, sp);
}

static TCG_CALL_PATH void clone_state(UserThread *child, const UserThread *parent, uint64_t sp, bool set_tls, uint64_t tls)
{
    x86_user_copy(child, parent);
    if (sp)
        set_reg(child, X86_RSP, sp);
    if (set_tls)
        x86_user_set_tls(child, tls, false);
    set_reg(child, X86_RAX, 0);
}

static uint64_t get_sp(const UserThread *t) { return (uint32_t)st(t)->gpr[X86_RSP]; }

static TCG_CALL_PATH void get_args(const UserThread *t, uint64_t *nr, uint64_t a[6])
{
    static const uint8_t order[] = { X86_RBX, X86_RCX, X86_RDX, X86_RSI, X86_RDI, X86_RBP };
    *nr = (uint32_t)st(t)->gpr[X86_RAX];
    for (unsigned n = 0; n < 6; n++)
        a[n] = (uint32_t)st(t)->gpr[order[n]];
}

static TCG_CALL_PATH void set_result(UserThread *t, uint64_t v) { set_reg(t, X86_RAX, v); }

static void restart(UserThread *t)
{
    set_reg(t, X86_RAX, t->syscall_nr);
    st(t)->rip -= 2;           /* INT 0x80; SYSENTER lands behind one */
}

/* SYSENTER has left neither EBP nor a place to come back to: both are as the vDSO has them. SYSCALL moved ECX to EBP. */
static TCG_CALL_PATH const UserAbi *enter(UserThread *t, unsigned kind)
{
    uint32_t ebp = 0;
    if (kind == X86_CALL_INT80)
        return &user_abi_i386;
    uint64_t at = kind == X86_CALL_SYSENTER ? *reg(t, X86_RBP) : *reg(t, X86_RSP);
    user_get(t, &ebp, at, 4);
    if (kind == X86_CALL_SYSCALL)
        set_reg(t, X86_RCX, *reg(t, X86_RBP));
    else
        set_reg(t, X86_RSP, at);
    set_reg(t, X86_RBP, ebp);
    st(t)->rip = t->proc->trampoline + V_LANDING;
    return &user_abi_i386;
}

/* ---- signal frames ---- */
typedef struct Sigcontext {
    uint32_t gs, fs, es, ds, di, si, bp, sp, bx, dx, cx, ax, trapno, err, ip, cs, flags, sp_at_signal, ss, fpstate, oldmask, cr2;
} Sigcontext;
typedef struct Fsave { uint32_t cw, sw, tag, ipoff, cssel, dataoff, datasel; uint8_t st[80]; uint16_t status, magic; } Fsave;
typedef struct Frame { uint32_t ret, sig; Sigcontext mc; uint8_t unused[624]; uint32_t extramask; uint8_t code[8]; } Frame;
typedef struct RtFrame {
    uint32_t ret, sig, pinfo, puc;
    uint8_t info[USER_SIGINFO_BYTES];
    uint32_t uc_flags, uc_link, ss_sp, ss_flags, ss_size;
    Sigcontext mc;
    uint32_t mask[2];
    uint8_t code[8];
} RtFrame;
_Static_assert(sizeof(Sigcontext) == 88 && sizeof(Fsave) == 112 && sizeof(Frame) == 732 && sizeof(RtFrame) == 268, "asm/sigcontext.h");
enum { XSTATE_MAGIC1 = 0x46505853, XSTATE_MAGIC2 = 0x46505845, XSTATE_BYTES = 832, MAGIC2_BYTES = 4, UC_FP_XSTATE = 1 };

static void put_sigcontext(UserThread *t, Sigcontext *c, uint32_t fpstate, uint64_t mask)
{
    const X86State *s = st(t);
    const uint64_t *g = s->gpr;
    *c = (Sigcontext){ .gs = s->seg[X86_GS].sel, .fs = s->seg[X86_FS].sel, .es = s->seg[X86_ES].sel, .ds = s->seg[X86_DS].sel, .di = (uint32_t)g[X86_RDI],
                       .si = (uint32_t)g[X86_RSI], .bp = (uint32_t)g[X86_RBP], .sp = (uint32_t)g[X86_RSP], .bx = (uint32_t)g[X86_RBX], .dx = (uint32_t)g[X86_RDX],
                       .cx = (uint32_t)g[X86_RCX], .ax = (uint32_t)g[X86_RAX], .trapno = t->exc.vector, .err = (uint32_t)t->exc.error, .ip = (uint32_t)s->rip,
                       .cs = s->seg[X86_CS].sel, .flags = (uint32_t)x86_rflags(s) | X86_IF, .sp_at_signal = (uint32_t)g[X86_RSP], .ss = s->seg[X86_SS].sel,
                       .fpstate = fpstate, .oldmask = (uint32_t)mask, .cr2 = (uint32_t)s->cr2 };
}

static void get_sigcontext(UserThread *t, const Sigcontext *c)
{
    X86State *s = st(t);
    static const uint8_t segs[] = { X86_GS, X86_FS, X86_ES, X86_DS };
    const uint32_t sels[] = { c->gs, c->fs, c->es, c->ds };
    const uint32_t g[8] = { c->ax, c->cx, c->dx, c->bx, c->sp, c->bp, c->si, c->di };
    for (unsigned n = 0; n < 4; n++)
        if ((uint16_t)sels[n] != s->seg[segs[n]].sel)
            x86_user_load_seg(t, segs[n], (uint16_t)(sels[n] & 0xfffc ? sels[n] | 3 : 0));
    for (unsigned n = 0; n < 8; n++)
        set_reg(t, n, g[n]);
    s->rip = c->ip;
    x86_set_rflags(s, (x86_rflags(s) & ~(uint64_t)X86U_FLAGS) | (c->flags & X86U_FLAGS));
}

/* FSAVE's image of what the FXSAVE area @fx holds (SDM 1, figure 8-9; tags from the registers' contents, 8.1.7). */
static void put_fsave(const uint8_t *fx, Fsave *f)
{
    uint16_t cw, sw;
    memcpy(&cw, fx, 2);
    memcpy(&sw, fx + 2, 2);
    *f = (Fsave){ .cw = 0xffff0000u | cw, .sw = 0xffff0000u | sw, .datasel = 0xffff0000u, .status = sw };
    memcpy(&f->ipoff, fx + 8, 4);
    memcpy(&f->dataoff, fx + 16, 4);
    unsigned top = sw >> 11 & 7, tags = 0;
    for (unsigned n = 0; n < 8; n++) {
        const uint8_t *r = fx + 32 + 16 * n;
        unsigned phys = (top + n) & 7, tag = 2;
        uint64_t mant;
        uint16_t exp;
        memcpy(&mant, r, 8);
        memcpy(&exp, r + 8, 2);
        memcpy(f->st + 10 * n, r, 10);
        if (!(fx[4] >> phys & 1))
            tag = 3;
        else if (!(exp & 0x7fff) && !mant)
            tag = 1;
        else if ((exp & 0x7fff) != 0x7fff && (exp & 0x7fff) && mant >> 63)
            tag = 0;
        tags |= tag << 2 * phys;
    }
    f->tag = 0xffff0000u | tags;
}

static void get_fsave(uint8_t *fx, const Fsave *f)
{
    memcpy(fx, &f->cw, 2);
    memcpy(fx + 2, &f->sw, 2);
    fx[4] = 0;
    for (unsigned n = 0; n < 8; n++) {
        fx[4] |= (f->tag >> 2 * n & 3) != 3 ? 1 << n : 0;
        memcpy(fx + 32 + 16 * n, f->st + 10 * n, 10);
    }
}

/* FSAVE's image, behind it the XSAVE area with Linux's software-reserved words (its end on a multiple of 64 below @sp). Returns where; 0: not writable. */
static uint64_t push_fpstate(UserThread *t, uint64_t sp)
{
    X86State *s = st(t);
    uint8_t area[X86_XSAVE_MAX];
    uint32_t magic1 = XSTATE_MAGIC1, magic2 = XSTATE_MAGIC2, size = XSTATE_BYTES, total = size + MAGIC2_BYTES + sizeof(Fsave);
    Fsave f;
    uint64_t at = ((sp - XSTATE_BYTES - MAGIC2_BYTES) & ~63ull) - sizeof(f);
    x86_xsave_pack(s, s->xcr0, area);
    put_fsave(area, &f);
    memcpy(area + 464, &magic1, 4);
    memcpy(area + 468, &total, 4);
    memcpy(area + 472, &s->xcr0, 8);
    memcpy(area + 480, &size, 4);
    memcpy(area + size, &magic2, 4);
    return user_put(t, at, &f, sizeof(f)) && user_put(t, at + sizeof(f), area, size + MAGIC2_BYTES) ? at : 0;
}

static bool pop_fpstate(UserThread *t, uint32_t at)
{
    X86State *s = st(t);
    uint8_t area[X86_XSAVE_MAX] = { 0 };
    uint32_t magic;
    Fsave f;
    if (!at)
        return true;
    if (!user_get(t, &f, at, sizeof(f)) || !user_get(t, area, at + sizeof(f), X86_XSAVE_LEGACY))
        return false;
    memcpy(&magic, area + 464, 4);
    bool wide = magic == XSTATE_MAGIC1 && user_get(t, area, at + sizeof(f), XSTATE_BYTES);
    get_fsave(area, &f);
    if (wide) {
        area[512] |= 1;        /* the registers count as in use: FSAVE's image is the master */
        x86_xsave_unpack(s, s->xcr0, area);
    } else {
        x86_fxsave_unpack(s, area);
    }
    return true;
}

static bool push_plain(UserThread *t, const siginfo_t *si, const UserSigaction *a, uint64_t mask, uint64_t at, uint32_t fp)
{
    static const uint8_t code[8] = { 0x58, 0xb8, 119, 0, 0, 0, 0xcd, 0x80 };
    Frame f;
    memset(&f, 0, sizeof(f));
    f.ret = (uint32_t)(a->flags & 0x04000000 ? a->restorer : t->proc->trampoline + V_SIGRETURN);
    f.sig = (uint32_t)si->si_signo;
    put_sigcontext(t, &f.mc, fp, mask);
    f.extramask = (uint32_t)(mask >> 32);
    memcpy(f.code, code, sizeof(code));
    set_reg(t, X86_RDX, 0);
    set_reg(t, X86_RCX, 0);
    return user_put(t, at, &f, sizeof(f));
}

static bool push_rt(UserThread *t, const siginfo_t *si, const UserSigaction *a, uint64_t mask, uint64_t at, uint32_t fp)
{
    static const uint8_t code[8] = { 0xb8, 173, 0, 0, 0, 0xcd, 0x80 };
    RtFrame f;
    memset(&f, 0, sizeof(f));
    f.ret = (uint32_t)(a->flags & 0x04000000 ? a->restorer : t->proc->trampoline + V_RT_SIGRETURN);
    f.sig = (uint32_t)si->si_signo;
    f.pinfo = (uint32_t)(at + offsetof(RtFrame, info));
    f.puc = (uint32_t)(at + offsetof(RtFrame, uc_flags));
    user_siginfo_to_guest(si, f.info);
    f.uc_flags = UC_FP_XSTATE;
    f.ss_sp = (uint32_t)(uintptr_t)t->altstack.ss_sp;
    f.ss_flags = (uint32_t)t->altstack.ss_flags;
    f.ss_size = (uint32_t)t->altstack.ss_size;
    put_sigcontext(t, &f.mc, fp, mask);
    memcpy(f.mask, &mask, sizeof(f.mask));
    memcpy(f.code, code, sizeof(code));
    set_reg(t, X86_RDX, f.pinfo);
    set_reg(t, X86_RCX, f.puc);
    return user_put(t, at, &f, sizeof(f));
}

static bool push_frame(UserThread *t, const siginfo_t *si, const UserSigaction *a, uint64_t mask, bool on_alt)
{
    X86State *s = st(t);
    bool rt = a->flags & SA_SIGINFO;
    uint64_t sp = on_alt ? (uint64_t)(uintptr_t)t->altstack.ss_sp + t->altstack.ss_size : get_sp(t), fp = push_fpstate(t, sp);
    uint64_t at = ((fp - (rt ? sizeof(RtFrame) : sizeof(Frame)) + 4) & ~15ull) - 4;
    if (!fp || !(rt ? push_rt : push_plain)(t, si, a, mask, at, (uint32_t)fp))
        return false;
    set_reg(t, X86_RSP, at);
    set_reg(t, X86_RAX, (uint32_t)si->si_signo);
    s->rip = (uint32_t)a->handler;
    x86_user_load_seg(t, X86_DS, X86U_DATA);
    x86_user_load_seg(t, X86_ES, X86U_DATA);
    x86_set_rflags(s, x86_rflags(s) & ~(uint64_t)(X86_DF | X86_TF | X86_RF));
    x86_user_fresh_fpu(s);
    return true;
}

/* sigreturn's frame begins 8 bytes below the stack pointer (its return address and signal number were popped), rt_sigreturn's 4 bytes. */
static bool pop_frame(UserThread *t, uint64_t *ret_mask)
{
    enum { NR_SIGRETURN = 119 };
    uint64_t sp = get_sp(t);
    Frame f;
    RtFrame r;
    x86_isa.fpu_settle(t->cpu);      /* the call came from code whose x87 may be the host's */
    if (t->syscall_nr == NR_SIGRETURN) {
        if (!user_get(t, &f, sp - 8, sizeof(f)) || !pop_fpstate(t, f.mc.fpstate))
            return false;
        get_sigcontext(t, &f.mc);
        *ret_mask = f.mc.oldmask | (uint64_t)f.extramask << 32;
        return true;
    }
    if (!user_get(t, &r, sp - 4, sizeof(r)) || !pop_fpstate(t, r.mc.fpstate))
        return false;
    get_sigcontext(t, &r.mc);
    t->altstack = (stack_t){ .ss_sp = g2h(r.ss_sp), .ss_flags = (int)r.ss_flags & ~SS_ONSTACK, .ss_size = r.ss_size };
    memcpy(ret_mask, r.mask, sizeof(r.mask));
    return true;
}

static unsigned more_auxv(UserProc *p, uint64_t *out)
{
    enum { MIN_SIGSTACK = sizeof(RtFrame) + XSTATE_BYTES + sizeof(Fsave) + 128 };
    memcpy(out, (uint64_t[]){ AT_SYSINFO, p->trampoline + V_SYSCALL, AT_MINSIGSTKSZ, MIN_SIGSTACK }, 4 * sizeof(out[0]));
    return 4;
}

static bool special(UserThread *t, unsigned sys, const uint64_t *a, int64_t *ret)
{
    if (sys == USYS_modify_ldt) {
        *ret = x86_user_modify_ldt(t, a);
        return true;
    }
    if (sys != USYS_set_thread_area && sys != USYS_get_thread_area)
        return false;
    *ret = sys == USYS_set_thread_area ? x86_user_set_tls(t, a[0], true) : x86_user_get_tls(t, a[0]);
    return true;
}

const UserAbi user_abi_i386 = {
    .name = "i386", .uname = "i686", .platform = "i686", .elf_machine = EM_386, .elf_class = ELFCLASS32, .isa = &x86_isa, .own_size = sizeof(X86Own),
    .calls = user_calls_i386, .n_syscalls = USER_CALLS_I386, .hwcap = 0x178bfbff, .hwcap2 = 2, .cpu_help = x86_models_help, .setup = setup, .start = start, .enter = enter,
    .clone = clone_state, .sp = get_sp, .get_args = get_args, .set_result = set_result, .restart = restart, .exception = x86_user_exception,
    .push_frame = push_frame, .pop_frame = pop_frame, .packed_epoll = true, .auxv = more_auxv, .special = special, .sysreg_read = x86_user_sysreg_read,
};
