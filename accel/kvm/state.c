/* Architectural state between the vCPU's struct and KVM, by groups. */
#include <cpuid.h>
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "accel/kvm/kvm-internal.h"
#include "cpu/x86/xsave.h"

/* MSRs that travel: index and place in X86Msrs. */
static const struct { uint32_t index; uint16_t at; const char *name; } msrs[] = {
#define MSR(i, f) { i, offsetof(X86Msrs, f), #f }
    MSR(0x174, sysenter_cs), MSR(0x175, sysenter_esp), MSR(0x176, sysenter_eip), MSR(0xc0000081, star), MSR(0xc0000082, lstar),
    MSR(0xc0000083, cstar), MSR(0xc0000084, sfmask), MSR(0xc0000102, kernel_gs_base), MSR(0x277, pat), MSR(0xc0000103, tsc_aux),
    MSR(0x1a0, misc_enable), MSR(0x2ff, mtrr.def_type), MSR(0x250, mtrr.fixed[0]), MSR(0x258, mtrr.fixed[1]), MSR(0x259, mtrr.fixed[2]),
    MSR(0x268, mtrr.fixed[3]), MSR(0x269, mtrr.fixed[4]), MSR(0x26a, mtrr.fixed[5]), MSR(0x26b, mtrr.fixed[6]), MSR(0x26c, mtrr.fixed[7]),
    MSR(0x26d, mtrr.fixed[8]), MSR(0x26e, mtrr.fixed[9]), MSR(0x26f, mtrr.fixed[10]),
#define MTRR(n) MSR(0x200 + 2 * n, mtrr.base[n]), MSR(0x201 + 2 * n, mtrr.mask[n])
    MTRR(0), MTRR(1), MTRR(2), MTRR(3), MTRR(4), MTRR(5), MTRR(6), MTRR(7),
    MSR(0x4b564d00, kvm_wall_clock), MSR(0x4b564d01, kvm_system_time),
};
enum { N_MSRS = G_N_ELEMENTS(msrs) };
typedef union MsrBlock { struct kvm_msrs head; uint8_t room[sizeof(struct kvm_msrs) + N_MSRS * sizeof(struct kvm_msr_entry)]; } MsrBlock;

void kvm_seg_to_state(X86Seg *d, const struct kvm_segment *k)
{
    *d = (X86Seg){ .base = k->base, .limit = k->limit, .sel = k->selector,
                   .attr = (uint32_t)(k->type | k->s << 4 | k->dpl << 5 | k->present << 7 | k->avl << 12 | k->l << 13 | k->db << 14 | k->g << 15 | k->unusable << 16) };
}

void kvm_seg_from_state(struct kvm_segment *k, const X86Seg *s)
{
    *k = (struct kvm_segment){ .base = s->base, .limit = s->limit, .selector = s->sel, .type = s->attr & 15, .s = s->attr >> 4 & 1, .dpl = s->attr >> 5 & 3,
                               .present = s->attr >> 7 & 1, .avl = s->attr >> 12 & 1, .l = s->attr >> 13 & 1, .db = s->attr >> 14 & 1, .g = s->attr >> 15 & 1,
                               .unusable = s->attr >> 16 & 1 };
}

struct kvm_segment *kvm_seg_of(struct kvm_sregs *r, int n)
{
    struct kvm_segment *const all[X86_SEGS] = { &r->es, &r->cs, &r->ss, &r->ds, &r->fs, &r->gs, &r->ldt, &r->tr };
    return all[n];
}

/* Registers in encoding order. */
static __u64 *gpr_of(struct kvm_regs *r, int n)
{
    __u64 *const all[16] = { &r->rax, &r->rcx, &r->rdx, &r->rbx, &r->rsp, &r->rbp, &r->rsi, &r->rdi,
                             &r->r8, &r->r9, &r->r10, &r->r11, &r->r12, &r->r13, &r->r14, &r->r15 };
    return all[n];
}

void kvm_regs_to_state(X86State *s, const struct kvm_regs *r)
{
    for (int n = 0; n < 16; n++)
        s->gpr[n] = *gpr_of((struct kvm_regs *)r, n);
    s->rip = r->rip;
    x86_set_rflags(s, r->rflags);
}

void kvm_regs_from_state(struct kvm_regs *r, const X86State *s)
{
    for (int n = 0; n < 16; n++)
        *gpr_of(r, n) = s->gpr[n];
    r->rip = s->rip;
    r->rflags = x86_rflags(s);
}

static bool gpr_out(KvmEc *ec, X86State *s, GError **err)
{
    struct kvm_regs r;
    if (ioctl(ec->fd, KVM_GET_REGS, &r) < 0)
        return kvm_fail(err, "reading registers");
    kvm_regs_to_state(s, &r);
    return true;
}

static bool gpr_in(KvmEc *ec, X86State *s, GError **err)
{
    struct kvm_regs r;
    kvm_regs_from_state(&r, s);
    return ioctl(ec->fd, KVM_SET_REGS, &r) == 0 || kvm_fail(err, "writing registers");
}

static bool sregs_out(KvmEc *ec, X86State *s, GError **err)
{
    struct kvm_sregs r;
    if (ioctl(ec->fd, KVM_GET_SREGS, &r) < 0)
        return kvm_fail(err, "reading system registers");
    for (int n = 0; n < X86_SEGS; n++)
        kvm_seg_to_state(&s->seg[n], kvm_seg_of(&r, n));
    s->gdt = (X86Dtr){ .base = r.gdt.base, .limit = r.gdt.limit };
    s->idt = (X86Dtr){ .base = r.idt.base, .limit = r.idt.limit };
    s->cr0 = r.cr0;
    s->cr2 = r.cr2;
    s->cr3 = r.cr3;
    s->cr4 = r.cr4;
    s->cr8 = r.cr8;
    s->msr.efer = r.efer;
    if (ec->vm->irqchip != ACCEL_IRQCHIP_OFF)
        s->msr.apic_base = r.apic_base;
    s->cpl = !(s->cr0 & X86_CR0_PE) ? 0 : s->rflags_rest & X86_VM ? 3 : X86_SEG_DPL(&s->seg[X86_SS]);
    s->ev.tlb_flush_pending = 1;
    return true;
}

static bool sregs_in(KvmEc *ec, X86State *s, GError **err)
{
    struct kvm_sregs r;
    if (ioctl(ec->fd, KVM_GET_SREGS, &r) < 0)
        return kvm_fail(err, "reading system registers");
    memset(r.interrupt_bitmap, 0, sizeof(r.interrupt_bitmap));
    for (int n = 0; n < X86_SEGS; n++)
        kvm_seg_from_state(kvm_seg_of(&r, n), &s->seg[n]);
    r.gdt.base = s->gdt.base;
    r.gdt.limit = (__u16)s->gdt.limit;
    r.idt.base = s->idt.base;
    r.idt.limit = (__u16)s->idt.limit;
    r.cr2 = s->cr2;
    r.cr3 = s->cr3;
    r.cr8 = s->cr8;
    r.cr0 = s->cr0;
    r.efer = s->msr.efer;
    r.apic_base = s->msr.apic_base;
    /* KVM drops its translations only if CR0, CR3, CR4 or EFER change: go through another CR4 first */
    r.cr4 = s->cr4 ^ X86_CR4_PGE;
    if (s->ev.tlb_flush_pending && s->cr0 & X86_CR0_PG)
        ioctl(ec->fd, KVM_SET_SREGS, &r);
    r.cr4 = s->cr4;
    return ioctl(ec->fd, KVM_SET_SREGS, &r) == 0 || kvm_fail(err, "writing system registers");
}

/*
 * KVM's area has the host processor's offsets (CPUID 0xd), ours those of cpu/x86/xsave.h: AMD has AVX-512 elsewhere than Intel. Asked once: CPUID
 * is slow on a host that is a guest itself.
 */
void kvm_xsave_layout(KvmVm *vm)
{
    for (unsigned i = 2; i < KVM_XSAVE_COMPONENTS; i++) {
        uint32_t a, b, c, d;
        vm->xsave_at[i] = __get_cpuid_count(0xd, i, &a, &b, &c, &d) && a ? b : 0;
    }
}

static void move_components(const KvmVm *vm, uint64_t mask, uint8_t *to, const uint8_t *from, bool to_host)
{
    memcpy(to, from, X86_XSAVE_LEGACY + X86_XSAVE_HEADER);
    for (unsigned i = 2; i < KVM_XSAVE_COMPONENTS && mask >> i; i++) {
        X86XsaveComponent ours = x86_xsave_component(i);
        uint32_t host = mask >> i & 1 && ours.size ? vm->xsave_at[i] : 0;
        if (host && host + ours.size <= X86_XSAVE_MAX)
            memcpy(to + (to_host ? host : ours.offset), from + (to_host ? ours.offset : host), ours.size);
    }
}

void kvm_xsave_to_state(const KvmVm *vm, X86State *s, const struct kvm_xsave *x)
{
    uint8_t area[X86_XSAVE_MAX] = { 0 };
    move_components(vm, s->xcr0 | 3, area, (const uint8_t *)x->region, false);
    x86_xsave_unpack(s, s->xcr0 | 3, area);
}

void kvm_xsave_from_state(const KvmVm *vm, struct kvm_xsave *x, const X86State *s)
{
    uint8_t area[X86_XSAVE_MAX];
    memset(x, 0, sizeof(*x));
    x86_xsave_pack(s, s->xcr0 | 3, area);
    move_components(vm, s->xcr0 | 3, (uint8_t *)x->region, area, true);
}

static bool xsave_out(KvmEc *ec, X86State *s, GError **err)
{
    struct kvm_xsave x;
    struct kvm_xcrs c;
    if (ioctl(ec->fd, KVM_GET_XSAVE, &x) < 0)
        return kvm_fail(err, "reading floating-point state");
    if (ioctl(ec->fd, KVM_GET_XCRS, &c) == 0 && c.nr_xcrs)
        s->xcr0 = c.xcrs[0].value;
    kvm_xsave_to_state(ec->vm, s, &x);
    return true;
}

static bool xsave_in(KvmEc *ec, X86State *s, GError **err)
{
    struct kvm_xsave x;
    struct kvm_xcrs c = { .nr_xcrs = 1, .xcrs = { { .xcr = 0, .value = s->xcr0 } } };
    ioctl(ec->fd, KVM_SET_XCRS, &c);
    kvm_xsave_from_state(ec->vm, &x, s);
    return ioctl(ec->fd, KVM_SET_XSAVE, &x) == 0 || kvm_fail(err, "writing floating-point state");
}

void kvm_msr_refused(KvmEc *ec, uint32_t index)
{
    const char *name = "?";
    for (unsigned n = 0; n < N_MSRS; n++)
        if (msrs[n].index == index)
            name = msrs[n].name;
    g_mutex_lock(&ec->vm->lock);
    /* bounded: a guest may try all there are */
    if (g_hash_table_size(ec->vm->refused) < 64 && g_hash_table_add(ec->vm->refused, GUINT_TO_POINTER(index)))
        log_warn(machine_log(ec->vm->m), "kvm: the host refuses MSR %#x (%s); the guest runs without it", index, name);
    g_mutex_unlock(&ec->vm->lock);
}

/* The host may refuse some: each is named once, the others still go through. */
static void msr_transfer(KvmEc *ec, X86State *s, bool set)
{
    for (unsigned n = 0; n < N_MSRS;) {
        MsrBlock b = { .head.nmsrs = N_MSRS - n };
        for (unsigned k = n; k < N_MSRS; k++)
            b.head.entries[k - n] = (struct kvm_msr_entry){ .index = msrs[k].index, .data = *(uint64_t *)((uint8_t *)&s->msr + msrs[k].at) };
        int done = ioctl(ec->fd, set ? KVM_SET_MSRS : KVM_GET_MSRS, &b);
        if (done < 0)
            return;
        for (int k = 0; !set && k < done; k++)
            *(uint64_t *)((uint8_t *)&s->msr + msrs[n + (unsigned)k].at) = b.head.entries[k].data;
        n += (unsigned)done;
        if (n < N_MSRS) {
            kvm_msr_refused(ec, msrs[n].index);
            n++;
        }
    }
}

/* Guest TSC = host TSC + offset, as under the translator. A host without hardware support takes an offset and does nothing with it. */
static void tsc_transfer(KvmEc *ec, X86State *s, bool set)
{
    uint64_t offset = (uint64_t)s->tsc_offset;
    struct kvm_device_attr a = { .group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (uintptr_t)&offset };
    if (ec->vm->pvm || (set && ec->has_tsc_offset && ec->tsc_offset == s->tsc_offset))
        return;
    if (ioctl(ec->fd, set ? KVM_SET_DEVICE_ATTR : KVM_GET_DEVICE_ATTR, &a) < 0)
        return;
    ec->has_tsc_offset = true;
    ec->tsc_offset = s->tsc_offset = (int64_t)offset;
}

static bool debug_out(KvmEc *ec, X86State *s)
{
    struct kvm_debugregs d;
    if (ioctl(ec->fd, KVM_GET_DEBUGREGS, &d) < 0)
        return true;
    for (int n = 0; n < 4; n++)
        s->dr[n] = d.db[n];
    s->dr[6] = d.dr6;
    s->dr[7] = d.dr7;
    return true;
}

static bool debug_in(KvmEc *ec, X86State *s)
{
    struct kvm_debugregs d = { .db = { s->dr[0], s->dr[1], s->dr[2], s->dr[3] }, .dr6 = s->dr[6], .dr7 = s->dr[7] };
    ioctl(ec->fd, KVM_SET_DEBUGREGS, &d);
    return true;
}

static bool events_out(KvmEc *ec, X86State *s, GError **err)
{
    struct kvm_vcpu_events e;
    if (ioctl(ec->fd, KVM_GET_VCPU_EVENTS, &e) < 0)
        return kvm_fail(err, "reading events");
    s->ev.injected = (X86Event){ 0 };
    if (e.exception.injected)
        s->ev.injected = (X86Event){ .kind = X86_EVENT_EXCEPTION, .vector = e.exception.nr, .has_error = e.exception.has_error_code, .error = e.exception.error_code };
    else if (e.interrupt.injected)
        s->ev.injected = (X86Event){ .kind = e.interrupt.soft ? X86_EVENT_SOFT : X86_EVENT_INTR, .vector = e.interrupt.nr };
    else if (e.nmi.injected)
        s->ev.injected = (X86Event){ .kind = X86_EVENT_NMI, .vector = X86_NMI };
    s->ev.int_shadow = (uint8_t)((e.interrupt.shadow & KVM_X86_SHADOW_INT_STI ? X86_SHADOW_STI : 0) |
                                 (e.interrupt.shadow & KVM_X86_SHADOW_INT_MOV_SS ? X86_SHADOW_MOV_SS : 0));
    s->ev.nmi_pending = e.nmi.pending != 0;
    s->ev.nmi_masked = e.nmi.masked;
    ec->events_known = true;
    ec->nmis = e.nmi.pending;
    kvm_irqchip_state_out(ec);
    return true;
}

static bool events_in(KvmEc *ec, X86State *s, GError **err)
{
    struct kvm_vcpu_events e = { 0 };
    const X86Event *i = &s->ev.injected;
    if (ioctl(ec->fd, KVM_GET_VCPU_EVENTS, &e) < 0)
        return kvm_fail(err, "reading events");
    /* KVM's local APIC may have got an NMI from another CPU meanwhile */
    if (ec->events_known && e.nmi.pending > ec->nmis)
        s->ev.nmi_pending = 1;
    e.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
    e.exception.injected = i->kind == X86_EVENT_EXCEPTION;
    e.exception.nr = i->kind == X86_EVENT_EXCEPTION ? i->vector : 0;
    e.exception.has_error_code = i->has_error;
    e.exception.error_code = i->error;
    e.interrupt.injected = i->kind == X86_EVENT_INTR || i->kind == X86_EVENT_SOFT;
    e.interrupt.nr = e.interrupt.injected ? i->vector : 0;
    e.interrupt.soft = i->kind == X86_EVENT_SOFT;
    e.interrupt.shadow = (__u8)((s->ev.int_shadow & X86_SHADOW_STI ? KVM_X86_SHADOW_INT_STI : 0) |
                                (s->ev.int_shadow & X86_SHADOW_MOV_SS ? KVM_X86_SHADOW_INT_MOV_SS : 0));
    e.nmi.injected = i->kind == X86_EVENT_NMI;
    e.nmi.pending = s->ev.nmi_pending;
    e.nmi.masked = s->ev.nmi_masked;
    if (ioctl(ec->fd, KVM_SET_VCPU_EVENTS, &e) < 0)
        return kvm_fail(err, "writing events");
    ec->events_known = true;
    ec->nmis = e.nmi.pending;
    kvm_irqchip_state_in(ec);
    return true;
}

/* KVM finishes an I/O instruction when it is entered again: do that without running the guest. */
static void complete_io(KvmEc *ec)
{
    if (!ec->pending_io)
        return;
    ec->pending_io = false;
    ec->run->immediate_exit = 1;
    ioctl(ec->fd, KVM_RUN, 0);
    ec->run->immediate_exit = 0;
}

bool kvm_state_out(void *opaque, uint32_t groups, GError **err)
{
    KvmEc *ec = opaque;
    X86State *s = ec->c->state;
    uint32_t want = groups & ~*ec->c->groups_valid;
    complete_io(ec);
    if (ec->vm->user_only)
        return kvm_user_state_out(ec, groups, err);
    if (!*ec->c->groups_valid)
        kvm_irqchip_mp_state_out(ec);
    if (want & X86_GROUP_GPR && !gpr_out(ec, s, err))
        return false;
    if (want & (X86_GROUP_SEG | X86_GROUP_SYS)) {
        if (!sregs_out(ec, s, err))
            return false;
        want |= X86_GROUP_SEG | X86_GROUP_SYS;
    }
    if (want & X86_GROUP_XSAVE && !xsave_out(ec, s, err))
        return false;
    if (want & X86_GROUP_MSR) {
        msr_transfer(ec, s, false);
        tsc_transfer(ec, s, false);
    }
    if (want & X86_GROUP_DEBUG)
        debug_out(ec, s);
    if (want & X86_GROUP_EVENTS && !events_out(ec, s, err))
        return false;
    *ec->c->groups_valid |= want | groups;
    return true;
}

bool kvm_state_in(void *opaque, uint32_t groups, GError **err)
{
    KvmEc *ec = opaque;
    X86State *s = ec->c->state;
    uint32_t dirty = groups & *ec->c->groups_dirty;
    if (!dirty || ec->vm->user_only)       /* that mode looks itself, when it knows that it will run */
        return true;
    /* before the first run too: without a CPU model KVM refuses XCR0, CR4 and MTRRs */
    if (!kvm_prepare(ec, err))
        return false;
    if (dirty & (X86_GROUP_SEG | X86_GROUP_SYS) && !sregs_in(ec, s, err))
        return false;
    if (dirty & X86_GROUP_GPR && !gpr_in(ec, s, err))
        return false;
    if (dirty & X86_GROUP_XSAVE && !xsave_in(ec, s, err))
        return false;
    if (dirty & X86_GROUP_MSR) {
        msr_transfer(ec, s, true);
        tsc_transfer(ec, s, true);
    }
    if (dirty & X86_GROUP_DEBUG)
        debug_in(ec, s);
    if (dirty & X86_GROUP_EVENTS && !events_in(ec, s, err))
        return false;
    if (ec->vm->pvm && s->ev.tlb_flush_pending)
        kvm_drop_shadow(ec->vm);
    kvm_release_code(ec->vm);
    s->ev.tlb_flush_pending = 0;
    *ec->c->groups_dirty &= ~groups;
    return true;
}
