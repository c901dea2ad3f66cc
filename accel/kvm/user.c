/*
 * KVM without hardware support (PVM), for guests that do not know it: KVM runs 64-bit ring 3, natively, and the assistant everything else.
 *
 * Such a KVM takes ring 0 of an ordinary kernel through its instruction emulator, slower than a translator and with defects (tests/guest/
 * kvm_host.c): SYSCALL from ring 3 goes to LSTAR but stays in ring 3. So KVM is shown a CPU whose interrupt table has no entry: whatever
 * would enter the kernel (fault, trap, software interrupt) is a triple fault then, KVM_EXIT_SHUTDOWN, at the instruction that did it and with all
 * registers as they were. SYSCALL's target is a page that no kernel maps for ring 3, which is such a fault too. The assistant runs the
 * instruction again, and the kernel until it returns to ring 3. Interrupts are never injected: the assistant takes them.
 *
 * Ring 3 can change neither page tables nor system registers, so only general registers, segments and XSAVE state are fetched back.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "accel/kvm/kvm-internal.h"

/* The last page below 2^64: Linux keeps it free for error pointers. CSTAR's is never reached, compatibility mode is the assistant's. */
#define LSTAR_TRAP 0xfffffffffffff000ull
/* Page tables (SDM 3A 4.5). */
#define PTE_P 1ull
#define PTE_PS 0x80ull
#define PTE_ADDR 0xffffffffff000ull
enum { SYNC = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS, NO_VECTOR = 255, PF_PRESENT = 1 };

static const char *const vector_names[32] = {
    "#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM", "#DF", "9", "#TS", "#NP", "#SS", "#GP", "#PF", "15", "#MF", "#AC", "#MC", "#XM", "#VE", "#CP",
};

bool kvm_user_can_run(void *opaque)
{
    KvmEc *ec = opaque;
    const X86State *s = ec->c->state;
    const X86Events *e = &s->ev;
    return s->cpl == 3 && s->msr.efer & X86_EFER_LMA && s->seg[X86_CS].attr & X86_SEG_L && !(s->rflags_rest & X86_TF) && !(s->dr[7] & 0xff) &&
           !(s->cr0 & (X86_CR0_TS | X86_CR0_EM)) && !(s->cr4 & (X86_CR4_LA57 | X86_CR4_PKE)) && e->mp_state == X86_MP_RUNNABLE &&
           !e->int_shadow && !e->smm && !e->smm_pending && !e->init_pending && !e->sipi_pending && !(e->nmi_pending && !e->nmi_masked) &&
           e->injected.kind == X86_EVENT_NONE && e->pending.kind == X86_EVENT_NONE && !e->triple_fault;
}

/* Where the guest's page tables have @gva; @visit (may be NULL) hears of each entry's place first. False: nowhere. Cheaper than KVM_TRANSLATE. */
static bool walk(KvmEc *ec, uint64_t gva, void (*visit)(KvmEc *ec, uint64_t gpa, bool *ret), bool *visited, uint64_t *ret_gpa)
{
    uint64_t entry, table = ec->run->s.regs.sregs.cr3 & PTE_ADDR;
    for (int shift = 39;; shift -= 9) {
        uint64_t at = table + (gva >> shift & 511) * 8, below = (1ull << shift) - 1;
        if (as_dma_read(ec->c->mem, at, &entry, sizeof(entry)) != MEM_OK || !(entry & PTE_P))
            return false;
        if (visit)
            visit(ec, at, visited);
        table = entry & PTE_ADDR;
        *ret_gpa = (table & ~below) | (gva & below);
        if (shift == 12 || (shift < 39 && entry & PTE_PS))
            return true;
    }
}

/* Bytes at @rip, at most @n and not beyond its page; how many. */
static unsigned fetch(KvmEc *ec, uint64_t rip, uint8_t *buf, unsigned n)
{
    unsigned in_page = PAGE_SIZE - (unsigned)(rip & (PAGE_SIZE - 1));
    uint64_t gpa;
    n = MIN(n, in_page);
    return walk(ec, rip, NULL, NULL, &gpa) && as_dma_read(ec->c->mem, gpa, buf, n) == MEM_OK ? n : 0;
}

static bool bytes_at(KvmEc *ec, uint64_t rip, uint8_t a, uint8_t b)
{
    uint8_t first, second;
    return fetch(ec, rip, &first, 1) && fetch(ec, rip + 1, &second, 1) && first == a && second == b;
}

static void failed(KvmEc *ec, VmExit *x, const char *why, bool insn)
{
    *x = (VmExit){ .kind = EXIT_EMULATION_FAILED, .why = why, .user_only = true, .events_only = !insn };
    if (insn)
        x->n_insn = (uint8_t)fetch(ec, ec->run->s.regs.regs.rip, x->insn, sizeof(x->insn));
}

/* Instructions that the translator does not know but the host's processor may. */
static bool is_evex(const VmExit *x)
{
    unsigned at = 0;
    while (at < x->n_insn && memchr("\x26\x2e\x36\x3e\x64\x65\x67", x->insn[at], 7))
        at++;
    return at < x->n_insn && x->insn[at] == 0x62;
}

/* Faults whose cause the host's KVM or processor knows for certain. The others may be defects of this KVM, or #UD for INT n. */
static bool is_final(unsigned vector, const VmExit *x)
{
    return vector == X86_PF_EXC || vector == X86_AC_EXC || vector == X86_XM || (vector < 32 && is_evex(x));
}

/* After SYSCALL (SDM 2B: RCX next instruction, R11 flags, both else lost): back to before it. */
static bool undo_syscall(KvmEc *ec)
{
    struct kvm_regs *r = &ec->run->s.regs.regs;
    if (r->rip != LSTAR_TRAP || !bytes_at(ec, r->rcx - 2, 0x0f, 0x05))
        return false;
    r->rip = r->rcx - 2;
    r->rflags = r->r11;
    return true;
}

/* #BP is the one trap among exceptions here: it is reported behind its instruction. */
static void undo_int3(KvmEc *ec)
{
    uint64_t rip = ec->run->s.regs.regs.rip;
    uint8_t before;
    ec->run->s.regs.regs.rip -= fetch(ec, rip - 1, &before, 1) && before == 0xcc ? 1 : bytes_at(ec, rip - 2, 0xcd, 3) ? 2 : 0;
}

/* KVM_RUN ended while an exception was on its way: KVM forgets it (state_in), and the instruction runs again. */
static void undo_unfinished(KvmEc *ec)
{
    const struct kvm_vcpu_events *e = &ec->run->s.regs.events;
    if (ec->run->exit_reason == KVM_EXIT_SHUTDOWN)
        return;
    if (!undo_syscall(ec) && (e->exception.injected || e->exception.pending) && e->exception.nr == X86_BP)
        undo_int3(ec);
}

/* What was on its way to the guest in KVM is not. */
static void drop_events(KvmEc *ec)
{
    struct kvm_vcpu_events *e = &ec->run->s.regs.events;
    memset(e, 0, sizeof(*e));
    e->exception.nr = NO_VECTOR;
    e->flags = KVM_VCPUEVENT_VALID_SHADOW;
    ec->run->kvm_dirty_regs |= KVM_SYNC_X86_REGS | KVM_SYNC_X86_EVENTS;
}

static void make_writable(KvmEc *ec, uint64_t gpa, bool *ret) { *ret |= kvm_release_page(ec->vm, ec->c->mem, gpa); }

/*
 * A processor writes to page tables too: accessed and dirty bits. Where the table lies in a page that is read-only for KVM because of translated
 * code (a freed page's, or beside it), KVM cannot, and calls the page not present. True: found one and made it writable, so the instruction
 * runs again.
 */
static bool table_was_readonly(KvmEc *ec, uint64_t gva)
{
    uint64_t gpa;
    bool found = false;
    return walk(ec, gva, make_writable, &found, &gpa) && found;
}

/*
 * Something that enters the kernel. A fault is delivered as it is: the instruction may be one that the translator does not know (EVEX), and
 * need not be translated. For others the registers go back to where the instruction begins, and the assistant runs it. False: KVM goes on.
 */
static bool entry_to_kernel(KvmEc *ec, VmExit *x)
{
    struct kvm_regs *r = &ec->run->s.regs.regs;
    const struct kvm_vcpu_events *e = &ec->run->s.regs.events;
    unsigned vector = e->exception.nr;
    if (undo_syscall(ec)) {
        failed(ec, x, NULL, true);
        return true;
    }
    r->rflags &= ~(__u64)X86_RF;
    if (vector == X86_PF_EXC && !(e->exception.error_code & PF_PRESENT) && table_was_readonly(ec, ec->run->s.regs.sregs.cr2)) {
        drop_events(ec);
        return false;
    }
    if (vector == X86_BP)
        undo_int3(ec);
    failed(ec, x, vector < G_N_ELEMENTS(vector_names) && vector_names[vector] ? vector_names[vector] : "exception", true);
    if (!is_final(vector, x))
        return true;
    X86State *s = ec->c->state;
    if (vector == X86_PF_EXC)
        s->cr2 = ec->run->s.regs.sregs.cr2;
    x->events_only = true;
    s->ev.pending = (X86Event){ .kind = X86_EVENT_EXCEPTION, .vector = (uint8_t)vector, .has_error = e->exception.has_error_code,
                                .error = e->exception.error_code, .has_payload = vector == X86_PF_EXC, .payload = s->cr2 };
    return true;
}

/* ---- state ---- */

bool kvm_user_state_out(KvmEc *ec, uint32_t groups, GError **err)
{
    X86State *s = ec->c->state;
    const struct kvm_sync_regs *r = &ec->run->s.regs;
    uint32_t want = groups & ~*ec->c->groups_valid;
    if (want & X86_GROUP_GPR) {
        undo_unfinished(ec);
        kvm_regs_to_state(s, &r->regs);
    }
    if (want & X86_GROUP_SEG) {
        static const uint8_t data[] = { X86_ES, X86_DS, X86_FS, X86_GS };
        for (unsigned n = 0; n < sizeof(data); n++)
            kvm_seg_to_state(&s->seg[data[n]], kvm_seg_of((struct kvm_sregs *)&r->sregs, data[n]));
    }
    if (want & X86_GROUP_XSAVE) {
        struct kvm_xsave x;
        if (ioctl(ec->fd, KVM_GET_XSAVE, &x) < 0)
            return kvm_fail(err, "reading floating-point state");
        kvm_xsave_to_state(ec->vm, s, &x);
        kvm_xsave_from_state(ec->vm, &ec->xsave, s);   /* not &x: KVM has the same state in more than one form */
    }
    *ec->c->groups_valid |= want | groups;
    return true;
}

static bool put_xsave(KvmEc *ec, const X86State *s, GError **err)
{
    struct kvm_xsave x;
    if (ec->xcr0 != s->xcr0) {
        struct kvm_xcrs c = { .nr_xcrs = 1, .xcrs = { { .xcr = 0, .value = s->xcr0 } } };
        if (ioctl(ec->fd, KVM_SET_XCRS, &c) < 0)
            return kvm_fail(err, "writing XCR0");
        ec->xcr0 = s->xcr0;
    }
    kvm_xsave_from_state(ec->vm, &x, s);
    if (!memcmp(&x, &ec->xsave, sizeof(x)))
        return true;
    ec->xsave = x;
    return ioctl(ec->fd, KVM_SET_XSAVE, &x) == 0 || kvm_fail(err, "writing floating-point state");
}

/* What ring 3 sees of these: SYSCALL must be on and lead to the trap, RDTSCP and RDPID give TSC_AUX. */
static void put_msrs(KvmEc *ec, const X86State *s)
{
    union { struct kvm_msrs head; uint8_t room[sizeof(struct kvm_msrs) + 4 * sizeof(struct kvm_msr_entry)]; } m = { .head.nmsrs = 4 };
    if (ec->msrs_set && ec->tsc_aux == s->msr.tsc_aux)
        return;
    m.head.entries[0] = (struct kvm_msr_entry){ .index = 0xc0000081, .data = 0x0023001000000000ull };
    m.head.entries[1] = (struct kvm_msr_entry){ .index = 0xc0000082, .data = LSTAR_TRAP };
    m.head.entries[2] = (struct kvm_msr_entry){ .index = 0xc0000084, .data = 0 };
    m.head.entries[3] = (struct kvm_msr_entry){ .index = 0xc0000103, .data = s->msr.tsc_aux };
    if (ioctl(ec->fd, KVM_SET_MSRS, &m.head) < 4)
        kvm_msr_refused(ec, 0xc0000103);
    ec->tsc_aux = s->msr.tsc_aux;
    ec->msrs_set = true;
}

static void put_sregs(KvmEc *ec, X86State *s, struct kvm_sregs *r)
{
    struct kvm_sregs old = *r;
    memset(r->interrupt_bitmap, 0, sizeof(r->interrupt_bitmap));
    for (int n = 0; n < X86_SEGS; n++)
        kvm_seg_from_state(kvm_seg_of(r, n), &s->seg[n]);
    r->gdt.base = s->gdt.base;
    r->gdt.limit = (__u16)s->gdt.limit;
    r->idt.base = 0;
    r->idt.limit = 0;
    r->cr3 = s->cr3 & ~(s->cr4 & X86_CR4_PCIDE ? 0x8000000000000fffull : 0ull);
    r->cr0 = (s->cr0 & (X86_CR0_AM | X86_CR0_WP)) | X86_CR0_PE | X86_CR0_MP | X86_CR0_ET | X86_CR0_NE | X86_CR0_PG;
    r->cr4 = s->cr4 & (X86_CR4_PSE | X86_CR4_PAE | X86_CR4_PGE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT | X86_CR4_OSXSAVE);
    r->efer = (s->msr.efer & (X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE)) | X86_EFER_SCE;
    if (memcmp(r, &old, sizeof(old)))
        ec->run->kvm_dirty_regs |= KVM_SYNC_X86_SREGS;
}

static bool state_in(KvmEc *ec, GError **err)
{
    X86State *s = ec->c->state;
    struct kvm_sync_regs *r = &ec->run->s.regs;
    uint32_t dirty = *ec->c->groups_dirty;
    if (!ec->synced && ioctl(ec->fd, KVM_GET_SREGS, &r->sregs) < 0)     /* for what is not the state's: the APIC's address */
        return kvm_fail(err, "reading system registers");
    ec->synced = true;
    if (dirty & X86_GROUP_GPR)
        kvm_regs_from_state(&r->regs, s);
    drop_events(ec);
    if (dirty & (X86_GROUP_SEG | X86_GROUP_SYS))
        put_sregs(ec, s, &r->sregs);
    put_msrs(ec, s);
    if (dirty & X86_GROUP_XSAVE && !put_xsave(ec, s, err))
        return false;
    if (s->ev.tlb_flush_pending)
        kvm_drop_shadow(ec->vm);
    s->ev.tlb_flush_pending = 0;
    kvm_release_code(ec->vm);
    *ec->c->groups_dirty = 0;
    return true;
}

/* ---- running ---- */

/* Why the assistant must run next, or NULL. */
static const char *not_mine(KvmEc *ec)
{
    const X86State *s = ec->c->state;
    const CpuIntc *i = &ec->c->intc;
    uint32_t others = VCPU_EV_NMI | VCPU_EV_SMI | VCPU_EV_INIT | VCPU_EV_SIPI;
    bool dirty = *ec->c->groups_dirty;
    if (dirty)
        kvm_user_state_out(ec, X86_GROUP_GPR | X86_GROUP_SEG, NULL);
    if (dirty && !kvm_user_can_run(ec))
        return s->cpl == 3 ? "ring 3, not 64-bit or watched" : "ring 0 to 2";
    vcpu_events_take(ec->c, ~others);
    if (atomic_load(&ec->c->events) & others)
        return "NMI, SMI or INIT";
    uint64_t flags = dirty ? s->rflags_rest : ec->run->s.regs.regs.rflags;
    return flags & X86_IF && i->ops && i->ops->pending(i->opaque) ? "interrupt" : NULL;
}

/* A triple fault of the run before last, which a kick had ended, comes late and without an exception: on with it, unless that is all that comes. */
static bool shutdown(KvmEc *ec, VmExit *x)
{
    bool late = ec->run->s.regs.events.exception.nr == NO_VECTOR && !ec->late;
    ec->late = late;
    return !late && entry_to_kernel(ec, x);
}

static bool handle(KvmEc *ec, VmExit *x)
{
    switch (ec->run->exit_reason) {
    case KVM_EXIT_SHUTDOWN: return shutdown(ec, x);
    case KVM_EXIT_INTERNAL_ERROR: failed(ec, x, NULL, true); return true;
    default: return kvm_handle_exit(ec, x);
    }
}

void kvm_user_run(KvmEc *ec, VmExit *x)
{
    g_autoptr(GError) err = NULL;
    for (;;) {
        __atomic_store_n(&ec->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
        *x = (VmExit){ .kind = EXIT_NONE };
        if (vcpu_must_leave(ec->c))
            return;
        const char *why = not_mine(ec);
        if (why) {
            failed(ec, x, why, false);
            return;
        }
        if (*ec->c->groups_dirty && !state_in(ec, &err)) {
            log_warn(machine_log(ec->vm->m), "%s", err->message);
            kvm_run_error(x, -EIO);
            return;
        }
        ec->run->kvm_valid_regs = SYNC;
        ec->run->request_interrupt_window = 0;
        if (ec->c->intc.ops)
            ec->run->cr8 = ec->c->intc.ops->tpr(ec->c->intc.opaque);
        *ec->c->groups_valid = X86_GROUP_ALL & ~(uint32_t)(X86_GROUP_GPR | X86_GROUP_SEG | X86_GROUP_XSAVE);
        ec->pending_io = false;
        int r = ioctl(ec->fd, KVM_RUN, 0);
        if (r < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (r < 0 && errno == EFAULT) {
            ec->vm->code.release = true;
            failed(ec, x, "write to translated code", true);
            if (!is_evex(x))
                return;
            kvm_forget_code(ec->vm);
            continue;
        }
        if (r < 0) {
            kvm_run_error(x, -errno);
            return;
        }
        if (handle(ec, x))
            return;
    }
}
