/* Registers and segments of x86 programs, 32 and 64 bits. */
#include "tcg/user/x86/x86_user.h"

#include <asm/ldt.h>
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cpu/x86/cpuid.h"
#include "cpu/x86/xsave.h"
#include "tcg/guest/x86/guest.h"
#include "tcg/user/calls.h"

/* What Linux gives a user (arch/x86 by observation): protection, paging, FPU and alignment checks on. */
enum { CR0 = X86_CR0_PE | X86_CR0_MP | X86_CR0_ET | X86_CR0_NE | X86_CR0_WP | X86_CR0_AM };

bool x86_user_setup(UserProc *p, GError **err)
{
    X86Features avail = x86_features_tcg();
    X86CpuModel *m = x86_model_new(p->options.cpu ? p->options.cpu : "max", &avail, NULL, err);
    if (!m)
        return false;
    x86_model_finish(m);
    p->model = m;
    return true;
}

static X86Own *own(const UserThread *t) { return t->own; }

/* The descriptor table lies in our memory: translated code reaches all of it (EFER.LMA: addresses of tables have 64 bits). */
static void set_gdt(UserThread *t)
{
    x86_user_state(t)->gdt = (X86Dtr){ .base = (uint64_t)(uintptr_t)own(t)->gdt, .limit = sizeof(own(t)->gdt) - 1 };
}

void x86_user_registers(UserThread *t, bool is32)
{
    X86State *s = x86_user_state(t);
    const X86CpuModel *m = t->proc->model;
    x86_state_reset(s, false, true);
    s->model = m;
    for (int n = 0; n < X86_SEGS; n++)
        s->seg[n] = (X86Seg){ .limit = 0xffffffff, .attr = 0xc0f3, .sel = n == X86_SS ? X86U_DATA : 0 };
    s->seg[X86_CS] = (X86Seg){ .limit = 0xffffffff, .attr = is32 ? 0xc0fb : 0xa0fb, .sel = is32 ? X86U_CODE32 : X86U_CODE64 };
    s->seg[X86_LDTR].attr = X86_SEG_UNUSABLE;
    if (is32) {
        s->seg[X86_DS].sel = s->seg[X86_ES].sel = X86U_DATA;
        s->seg[X86_FS] = s->seg[X86_GS] = (X86Seg){ .attr = X86_SEG_UNUSABLE };
    }
    own(t)->gdt[X86U_CODE32 >> 3] = 0x00cffb000000ffff;
    own(t)->gdt[X86U_DATA >> 3] = 0x00cff3000000ffff;
    own(t)->gdt[X86U_CODE64 >> 3] = 0x00affb000000ffff;
    own(t)->gdt[X86_SEL_LINUX_CPU >> 3] = 0x0040f50000000000;      /* data, not writable; for its limit see x86_h_lsl */
    set_gdt(t);
    s->cpl = 3;
    s->cr0 = CR0 | X86_CR0_PG;
    s->cr4 = (X86_CR4_PAE | X86_CR4_PGE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT | X86_CR4_OSXSAVE | X86_CR4_FSGSBASE) & x86_model_cr4_mask(m);
    s->xcr0 = x86_model_xcr0_mask(m) & 7;
    s->msr.efer = X86_EFER_SCE | X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE;
    memset(s->gpr, 0, sizeof(s->gpr));       /* RDX: no function to run at exit (ABI 3.4.1) */
    s->mxcsr = 0x1f80;
    s->fcw = 0x37f;
    s->fsw = s->ftw = 0;       /* as FNINIT leaves them, the registers empty */
    x86_set_rflags(s, X86_IF | 2);
    s->ev.mp_state = X86_MP_RUNNABLE;
    s->ev.tlb_flush_pending = 0;             /* direct memory has none; what was translated before exec counts */
}

/* TSC_AUX is the number of the CPU, its node from bit 12 on, as the vDSO's getcpu wants it. */
bool x86_user_sysreg_read(UserThread *t, uint32_t reg, uint64_t *ret)
{
    unsigned cpu = 0, node = 0;
    if (reg != X86_SYSREG_TSC_AUX)
        return false;
    if (t->rseq)
        user_sys_getcpu(t, (uint64_t[]){ (uint64_t)(uintptr_t)&cpu, (uint64_t)(uintptr_t)&node, 0 });
    else
        syscall(SYS_getcpu, &cpu, &node, NULL);
    *ret = cpu | node << 12;
    return true;
}

TCG_CALL_PATH void x86_user_copy(UserThread *child, const UserThread *parent)
{
    if (child == parent)
        return;
    x86_isa.fpu_settle(parent->cpu);
    memcpy(child->state, parent->state, offsetof(X86State, xlat));
    memcpy(child->own, parent->own, sizeof(X86Own));
    set_gdt(child);
}

void x86_user_fresh_fpu(X86State *s)
{
    static const uint8_t none[X86_XSAVE_MAX];  /* of no component: all are initialised */
    x86_xsave_unpack(s, s->xcr0, none);
}

/* Not canonical. */
static bool not_canonical(uint64_t addr) { return addr >> 47 && addr >> 47 != 0x1ffff; }

/* What Linux calls the first of the exceptions in @raised (bits as in MXCSR and x87's status word). */
static int float_code(unsigned raised)
{
    static const struct { uint8_t bits, code; } order[] = { { 0x01, FPE_FLTINV }, { 0x04, FPE_FLTDIV }, { 0x08, FPE_FLTOVF }, { 0x12, FPE_FLTUND }, { 0x20, FPE_FLTRES } };
    for (unsigned n = 0; n < G_N_ELEMENTS(order); n++)
        if (raised & order[n].bits)
            return order[n].code;
    return FPE_FLTINV;
}

/* The error code of a page fault as Linux shows it: what it maps on the first fetch from a readable page is present at the second; addresses of the kernel always are. */
static uint64_t page_error(const UserThread *t, uint64_t error, uint64_t addr)
{
    enum { PRESENT = 1, FETCH = 16 };
    if (addr >> 63 || (error & FETCH && user_can_read(t->proc, addr)))
        error |= PRESENT;
    return error;
}

/* Linux's words for exceptions (arch/x86 by observation, sigaction(2)). */
bool x86_user_exception(UserThread *t, unsigned vector, uint64_t error, uint64_t addr, siginfo_t *si)
{
    enum { DR6_BS = 1 << 14 };
    X86State *s = x86_user_state(t);
    s->cr2 = vector == X86_PF_EXC ? addr : s->cr2;
    si->si_addr = g2h(s->rip);
    switch (vector) {
    case X86_DE: si->si_signo = SIGFPE; si->si_code = FPE_INTDIV; break;
    case X86_DB: si->si_signo = SIGTRAP; si->si_code = addr & DR6_BS ? TRAP_TRACE : TRAP_BRKPT; break;
    case X86_BP: si->si_signo = SIGTRAP; si->si_code = SI_KERNEL; si->si_addr = NULL; break;
    case X86_UD: si->si_signo = SIGILL; si->si_code = ILL_ILLOPN; break;
    case X86_MF: si->si_signo = SIGFPE; si->si_code = float_code(s->fsw & ~s->fcw); break;
    case X86_XM: si->si_signo = SIGFPE; si->si_code = float_code(s->mxcsr & ~(s->mxcsr >> 7)); break;
    case X86_AC_EXC: si->si_signo = SIGBUS; si->si_code = BUS_ADRALN; si->si_addr = g2h(addr); break;
    case X86_PF_EXC:
        si->si_signo = SIGSEGV;
        si->si_code = user_is_mapped(t->proc, addr) ? SEGV_ACCERR : SEGV_MAPERR;
        si->si_addr = g2h(addr);
        t->exc.error = page_error(t, error, addr);
        if (t->fault_signal == SIGBUS) {     /* behind the end of the mapped file */
            si->si_signo = SIGBUS;
            si->si_code = BUS_ADRERR;
        }
        if (t->fault_general || not_canonical(addr)) {      /* #GP on the CPU */
            si->si_code = SI_KERNEL;
            si->si_addr = NULL;
            t->exc.vector = X86_GP;
            t->exc.error = 0;
        }
        t->fault_general = false;
        t->fault_signal = 0;
        break;
    default: si->si_signo = SIGSEGV; si->si_code = SI_KERNEL; si->si_addr = NULL; break;
    }
    return true;
}

/* ---- segments ---- */
static X86Seg seg_of(uint16_t sel, uint64_t d)
{
    uint32_t limit = (uint32_t)((d & 0xffff) | (d >> 32 & 0xf0000));
    return (X86Seg){ .sel = sel, .base = (d >> 16 & 0xffffff) | (d >> 56) << 24, .attr = (uint32_t)(d >> 40 & 0xf0ff),
                     .limit = d >> 55 & 1 ? limit << 12 | 0xfff : limit };
}

void x86_user_load_seg(UserThread *t, unsigned seg, uint16_t sel)
{
    X86State *s = x86_user_state(t);
    uint64_t d = sel & 4 ? x86_user_ldt_entry(t, sel) : sel >> 3 < X86U_GDT ? own(t)->gdt[sel >> 3] : 0;
    bool ok = sel & 0xfffc && d >> 47 & 1 && ((d >> 43 & 1) == 0 || d >> 41 & 1);      /* present; data, or code that can be read */
    s->seg[seg] = ok ? seg_of(sel, d) : (X86Seg){ .sel = ok ? sel : 0, .attr = X86_SEG_UNUSABLE };
}

uint64_t x86_user_desc(const struct user_desc *u)
{
    uint64_t base = u->base_addr, limit = u->limit;
    uint64_t type = (u->contents << 2) | (u->read_exec_only ? 0 : 2) | 1;
    uint64_t attr = type | X86_SEG_S | 3u << 5 | (u->seg_not_present ? 0 : X86_SEG_P) | (u->useable ? X86_SEG_AVL : 0) | (u->seg_32bit ? X86_SEG_DB : 0) |
                    (u->limit_in_pages ? X86_SEG_G : 0);
    return (limit & 0xffff) | (base & 0xffffff) << 16 | attr << 40 | (limit >> 16 & 0xf) << 48 | base >> 24 << 56;
}

/* Both ways to say "none" (asm/ldt.h, LDT_empty; all 0). */
bool x86_user_desc_empty(const struct user_desc *u)
{
    bool zero = !u->base_addr && !u->limit && !u->contents && !u->seg_32bit && !u->limit_in_pages && !u->useable;
    return zero && u->read_exec_only == u->seg_not_present;
}

void x86_user_reload(UserThread *t, uint16_t sel)
{
    X86State *s = x86_user_state(t);
    for (unsigned seg = 0; seg <= X86_GS; seg++)
        if (seg != X86_CS && s->seg[seg].sel >> 2 == sel >> 2)
            x86_user_load_seg(t, seg, s->seg[seg].sel);
}

int64_t x86_user_set_tls(UserThread *t, uint64_t at, bool alloc)
{
    struct user_desc u;
    uint64_t *gdt = own(t)->gdt;
    if (!user_get(t, &u, at, sizeof(u)))
        return -EFAULT;
    unsigned n = u.entry_number;
    if (n == UINT32_MAX && alloc) {
        for (n = X86U_TLS_FIRST; n <= X86U_TLS_LAST && gdt[n]; n++)
            ;
        if (n > X86U_TLS_LAST)
            return -ESRCH;
        if (!user_put(t, at, &n, sizeof(n)))
            return -EFAULT;
    }
    if (n < X86U_TLS_FIRST || n > X86U_TLS_LAST || (!x86_user_desc_empty(&u) && !u.seg_32bit))
        return -EINVAL;
    gdt[n] = x86_user_desc_empty(&u) ? 0 : x86_user_desc(&u);
    x86_user_reload(t, (uint16_t)(n << 3));
    return 0;
}

int64_t x86_user_get_tls(UserThread *t, uint64_t at)
{
    struct user_desc u;
    unsigned n;
    if (!user_get(t, &n, at, sizeof(n)))
        return -EFAULT;
    if (n < X86U_TLS_FIRST || n > X86U_TLS_LAST)
        return -EINVAL;
    uint64_t d = own(t)->gdt[n];
    X86Seg g = seg_of(0, d);
    u = (struct user_desc){ .entry_number = n, .base_addr = (uint32_t)g.base, .limit = (uint32_t)((d & 0xffff) | (d >> 32 & 0xf0000)), .seg_32bit = d >> 54 & 1,
                            .contents = d >> 42 & 3, .read_exec_only = !(d >> 41 & 1), .limit_in_pages = d >> 55 & 1, .seg_not_present = !(d >> 47 & 1), .useable = d >> 52 & 1 };
    return user_put(t, at, &u, sizeof(u)) ? 0 : -EFAULT;
}
