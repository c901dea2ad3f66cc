/* KVM as an engine. Interrupt controllers: irqchip.c, or with kernel-irqchip=off the models in user space. Linux Documentation/virt/kvm/api.rst. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "accel/kvm/kvm-internal.h"

enum { KICK_SIGNAL = SIGUSR2 };

bool kvm_fail(GError **err, const char *what)
{
    g_set_error(err, G_FILE_ERROR, g_file_error_from_errno(errno), "kvm: %s failed: %s", what, g_strerror(errno));
    return false;
}

bool kvm_without_hardware(void) { return access("/sys/module/kvm_pvm", F_OK) == 0; }

/* See user.c. In-kernel interrupt controllers want ring 0 in KVM. */
bool kvm_user_only(const AccelConfig *cfg)
{
    bool chips = cfg && (cfg->irqchip == ACCEL_IRQCHIP_ON || cfg->irqchip == ACCEL_IRQCHIP_SPLIT);
    return kvm_without_hardware() && !chips && !(cfg && cfg->ring0 == ACCEL_RING0_ENGINE);
}

static int open_kvm(GError **err)
{
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (fd >= 0 && ioctl(fd, KVM_GET_API_VERSION, 0) == KVM_API_VERSION)
        return fd;
    if (fd >= 0) {
        close(fd);
        errno = ENOSYS;
    }
    const char *remedy = errno == ENOENT ? "is the module loaded (modprobe kvm_intel or kvm_amd), and virtualization enabled in the firmware?"
                       : errno == EACCES ? "add yourself to the group kvm" : "another program may hold the virtualization hardware";
    g_set_error(err, G_FILE_ERROR, g_file_error_from_errno(errno), "/dev/kvm: %s; %s", g_strerror(errno), remedy);
    return -1;
}

static bool kvm_probe(const AccelConfig *cfg, AccelInfo *ret, GError **err)
{
    if (cfg && cfg->ring0 == ACCEL_RING0_ASSISTANT && !kvm_user_only(cfg)) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_NOSYS, "kvm: ring0=tcg is for hosts whose KVM has no hardware support (PVM), with kernel-irqchip=off; "
                    "leave it out");
        return false;
    }
    int fd = open_kvm(err);
    if (fd < 0)
        return false;
    bool chips = ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_IRQCHIP) > 0, split = ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_SPLIT_IRQCHIP) > 0;
    close(fd);
    if (cfg && ((cfg->irqchip == ACCEL_IRQCHIP_ON && !chips) || (cfg->irqchip == ACCEL_IRQCHIP_SPLIT && !split))) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_NOSYS, "kvm: this host's KVM has no kernel-irqchip=%s; leave it out or say off",
                    cfg->irqchip == ACCEL_IRQCHIP_ON ? "on" : "split");
        return false;
    }
    if (ret) {
        memset(ret, 0, sizeof(*ret));
        ret->hardware = !kvm_without_hardware();
        ret->slow_kernel_code = kvm_without_hardware();
        ret->kernel_irqchip = chips;
        g_strlcpy(ret->line, kvm_user_only(cfg) ? "kvm without hardware support (PVM): 64-bit user code natively, everything else by the translator"
                             : kvm_without_hardware() ? "kvm without hardware support (PVM): user code natively, kernels through the host's instruction emulator"
                                            : "kvm with hardware support", sizeof(ret->line));
    }
    return true;
}

static void on_kick(int sig) { (void)sig; }

static void kvm_vm_fini(void *opaque)
{
    KvmVm *vm = opaque;
    kvm_irqchip_free(vm);
    kvm_doorbells_fini(vm);
    close(vm->fd);
    close(vm->kvm_fd);
    kvm_memory_fini(vm);
    g_hash_table_unref(vm->refused);
    g_free(vm->ec);
    if (vm->stub)
        munmap(vm->stub, PAGE_SIZE);
    g_mutex_clear(&vm->lock);
    g_mutex_clear(&vm->msi_lock);
    g_free(vm);
}

/*
 * MSRs that the host refuses are ours. With the local APIC a model (kernel-irqchip=off) its own are too: KVM knows IA32_APIC_BASE and IA32_TSC_DEADLINE but
 * has no APIC that they are of, and writes would be lost. A filter's bit says "allowed".
 */
static void trap_msrs(KvmVm *vm)
{
    uint8_t none[1] = { 0 };
    struct kvm_enable_cap msr = { .cap = KVM_CAP_X86_USER_SPACE_MSR, .args = { KVM_MSR_EXIT_REASON_UNKNOWN } };
    struct kvm_msr_filter f = { .flags = KVM_MSR_FILTER_DEFAULT_ALLOW, .ranges = {
        { .flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE, .base = 0x1b, .nmsrs = 1, .bitmap = none },
        { .flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE, .base = 0x6e0, .nmsrs = 1, .bitmap = none },
    } };
    if (vm->irqchip == ACCEL_IRQCHIP_OFF && ioctl(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_X86_MSR_FILTER) > 0 && ioctl(vm->fd, KVM_X86_SET_MSR_FILTER, &f) == 0)
        msr.args[0] |= KVM_MSR_EXIT_REASON_FILTER;
    ioctl(vm->fd, KVM_ENABLE_CAP, &msr);
}

static bool kvm_vm_init(Machine *m, const AccelConfig *cfg, void **ret_vm, GError **err)
{
    int kvm = open_kvm(err);
    if (kvm < 0)
        return false;
    int fd = ioctl(kvm, KVM_CREATE_VM, 0);
    if (fd < 0) {
        kvm_fail(err, "making a VM");
        close(kvm);
        return false;
    }
    KvmVm *vm = g_new0(KvmVm, 1);
    vm->m = m;
    vm->kvm_fd = kvm;
    vm->fd = fd;
    vm->pvm = kvm_without_hardware();
    vm->user_only = kvm_user_only(cfg);
    vm->run_size = (size_t)ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    kvm_xsave_layout(vm);
    g_mutex_init(&vm->lock);
    g_mutex_init(&vm->msi_lock);
    g_mutex_init(&vm->code.lock);
    vm->refused = g_hash_table_new(NULL, NULL);
    ioctl(fd, KVM_SET_TSS_ADDR, 0xfffbd000ul);
    /* what KVM cannot emulate comes to us instead of killing the guest with #UD or the VM with an internal error */
    struct kvm_enable_cap cap = { .cap = KVM_CAP_EXIT_ON_EMULATION_FAILURE, .args = { 1 } };
    ioctl(fd, KVM_ENABLE_CAP, &cap);
    /* without SA_RESTART, so that KVM_RUN returns */
    struct sigaction sa = { .sa_handler = on_kick };
    sigaction(KICK_SIGNAL, &sa, NULL);
    vm->ec = g_new0(KvmEc *, MAX(machine_config(m)->max_vcpus, machine_config(m)->n_vcpus));
    if (!kvm_irqchip_create(vm, cfg->irqchip, err)) {
        kvm_vm_fini(vm);
        return false;
    }
    trap_msrs(vm);
    *ret_vm = vm;
    return true;
}

static bool kvm_vcpu_init(void *opaque, Vcpu *c, void **ret_ec, GError **err)
{
    KvmVm *vm = opaque;
    int fd = ioctl(vm->fd, KVM_CREATE_VCPU, (unsigned long)c->index);
    if (fd < 0)
        return kvm_fail(err, "making a vCPU");
    void *run = mmap(NULL, vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (run == MAP_FAILED) {
        kvm_fail(err, "mapping a vCPU");
        close(fd);
        return false;
    }
    KvmEc *ec = g_new0(KvmEc, 1);
    ec->vm = vm;
    ec->c = c;
    ec->fd = fd;
    ec->run = run;
    vm->ec[c->index] = ec;
    *ret_ec = ec;
    return true;
}

static void kvm_vcpu_fini(void *opaque)
{
    KvmEc *ec = opaque;
    ec->vm->ec[ec->c->index] = NULL;
    munmap(ec->run, ec->vm->run_size);
    close(ec->fd);
    g_free(ec);
}

static void kvm_vcpu_kick(void *opaque)
{
    KvmEc *ec = opaque;
    __atomic_store_n(&ec->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    if (atomic_load(&ec->have_thread))
        pthread_kill(ec->thread, KICK_SIGNAL);
}

bool kvm_prepare(KvmEc *ec, GError **err)
{
    if (!ec->have_cpuid)
        ec->have_cpuid = kvm_set_cpuid(ec, err);
    return ec->have_cpuid;
}

/* First run, on the vCPU's own thread. */
static bool first_run(KvmEc *ec, GError **err)
{
    if (atomic_load(&ec->have_thread))
        return true;
    if (ec->vm->irqchip != ACCEL_IRQCHIP_OFF && irq_fabric_owner(machine_fabric(ec->vm->m)) != IRQ_OWNER_ENGINE) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL, "kvm: its interrupt controllers did not take over; try kernel-irqchip=off");
        return false;
    }
    ec->thread = pthread_self();
    atomic_store(&ec->have_thread, true);
    return kvm_prepare(ec, err);
}

static bool own_lapic(const KvmEc *ec) { return ec->vm->irqchip != ACCEL_IRQCHIP_OFF; }

/* INIT and start-up IPI (SDM 3A 8.4.3, 9.1) from a model of the local APIC. State fetched. */
static void take_init_sipi(KvmEc *ec, uint32_t ev, unsigned vector)
{
    X86State *s = ec->c->state;
    if (ev & VCPU_EV_INIT) {
        x86_state_reset(s, true, ec->c->index == 0);
        if (ec->c->index)
            s->ev.mp_state = X86_MP_INIT_RECEIVED;
        if (ec->c->intc.ops && ec->c->intc.ops->init_sipi)
            ec->c->intc.ops->init_sipi(ec->c->intc.opaque, true);
    }
    if (ev & VCPU_EV_SIPI && (s->ev.mp_state == X86_MP_UNINIT || s->ev.mp_state == X86_MP_INIT_RECEIVED)) {
        s->seg[X86_CS].sel = (uint16_t)(vector << 8);
        s->seg[X86_CS].base = (uint64_t)vector << 12;
        s->rip = 0;
        s->ev.mp_state = X86_MP_RUNNABLE;
    }
    *ec->c->groups_dirty |= X86_GROUP_ALL;
}

/* The engine before us may have taken an INIT or start-up IPI out of the vCPU's events and not come to do it. */
static void take_inherited(KvmEc *ec)
{
    X86Events *e = &((X86State *)ec->c->state)->ev;
    uint32_t ev = (e->init_pending ? VCPU_EV_INIT : 0) | (e->sipi_pending ? VCPU_EV_SIPI : 0);
    if (!ev)
        return;
    e->init_pending = e->sipi_pending = 0;
    take_init_sipi(ec, ev, e->sipi_vector);
}

static void take_events(KvmEc *ec, uint32_t mask)
{
    uint32_t ev = vcpu_events_take(ec->c, mask);
    take_inherited(ec);
    if (ev & (VCPU_EV_INIT | VCPU_EV_SIPI) && kvm_state_out(ec, X86_GROUP_ALL, NULL))
        take_init_sipi(ec, ev, atomic_load(&ec->c->sipi_vector) & 255);
    if (ev & VCPU_EV_NMI) {
        X86Events *e = &((X86State *)ec->c->state)->ev;
        if (!own_lapic(ec) && e->mp_state == X86_MP_HALTED)     /* one that waits for its start goes on doing so (SDM 3A 8.4.3) */
            e->mp_state = X86_MP_RUNNABLE;
        ec->nmi = true;
    }
}

static void give_nmi(KvmEc *ec)
{
    if (ec->nmi)
        ioctl(ec->fd, KVM_NMI, 0);
    ec->nmi = false;
}

/*
 * What other vCPUs send through KVM to one that is not in it, INIT and start-up IPI, waits there until KVM looks, and KVM_GET_MP_STATE is such a look: it may
 * find that the vCPU begins anew. So KVM gets what we have, with what the models had sent before, looks, and everything is fetched again.
 */
bool kvm_take_in_flight(KvmEc *ec, GError **err)
{
    take_events(ec, VCPU_EV_INIT | VCPU_EV_SIPI | VCPU_EV_NMI);
    if (!kvm_state_in(ec, X86_GROUP_ALL, err))
        return false;
    give_nmi(ec);
    *ec->c->groups_valid = 0;
    return kvm_state_out(ec, X86_GROUP_ALL, err);
}

/* Something that user space must inject: with split only the 8259s' interrupts. */
static bool irq_pending(const KvmEc *ec)
{
    const CpuIntc *i = &ec->c->intc;
    if (!i->ops || ec->vm->irqchip == ACCEL_IRQCHIP_ON)
        return false;
    return own_lapic(ec) ? i->ops->ext_pending && i->ops->ext_pending(i->opaque) : i->ops->pending(i->opaque);
}

/*
 * May an interrupt come before the next instruction? What KVM said at its last exit holds only if nobody has run or changed the vCPU since. Split: only KVM
 * knows whether its local APIC lets the 8259s through.
 */
static bool can_inject(const KvmEc *ec)
{
    const X86State *s = ec->c->state;
    uint32_t need = X86_GROUP_GPR | X86_GROUP_EVENTS;
    if ((*ec->c->groups_valid & need) != need)
        return ec->run->ready_for_interrupt_injection && ec->run->if_flag;
    return !own_lapic(ec) && s->rflags_rest & X86_IF && !s->ev.int_shadow && s->ev.injected.kind == X86_EVENT_NONE;
}

/* What can be injected now is; else KVM is asked to say when it can. */
static void inject(KvmEc *ec)
{
    const CpuIntc *i = &ec->c->intc;
    give_nmi(ec);
    bool pending = irq_pending(ec);
    if (pending && can_inject(ec)) {
        int vector = own_lapic(ec) ? i->ops->ext_ack(i->opaque) : i->ops->ack(i->opaque);
        struct kvm_interrupt k = { .irq = (__u32)vector };
        if (vector >= 0)
            ioctl(ec->fd, KVM_INTERRUPT, &k);
        pending = irq_pending(ec);
    }
    ec->run->request_interrupt_window = pending;
    if (i->ops && !own_lapic(ec))
        ec->run->cr8 = i->ops->tpr(i->opaque);
}

static bool do_io(KvmEc *ec, VmExit *x)
{
    ec->pending_io = !x->write || x->kind == EXIT_PIO;
    return vcpu_io(ec->c, x);
}

static bool exit_io(KvmEc *ec)
{
    struct kvm_run *r = ec->run;
    VmExit x = { .kind = EXIT_PIO, .write = r->io.direction == KVM_EXIT_IO_OUT, .size = r->io.size, .count = r->io.count, .addr = r->io.port,
                 .data = (uint8_t *)r + r->io.data_offset };
    return do_io(ec, &x);
}

static bool exit_mmio(KvmEc *ec)
{
    struct kvm_run *r = ec->run;
    VmExit x = { .kind = EXIT_MMIO, .write = r->mmio.is_write, .size = (uint8_t)r->mmio.len, .addr = r->mmio.phys_addr, .data = r->mmio.data };
    return do_io(ec, &x);
}

static bool exit_msr(KvmEc *ec)
{
    struct kvm_run *r = ec->run;
    VmExit x = { .kind = EXIT_MSR, .write = r->exit_reason == KVM_EXIT_X86_WRMSR, .size = 8, .addr = r->msr.index, .value = r->msr.data };
    bool leave = vcpu_io(ec->c, &x);
    ec->pending_io = true;
    r->msr.error = x.result != MEM_OK;
    if (r->msr.error)
        kvm_msr_refused(ec, r->msr.index);
    if (!x.write)
        r->msr.data = x.value;
    return leave;
}

bool kvm_exit_eoi(KvmEc *ec)
{
    VmExit x = { .kind = EXIT_EOI, .addr = ec->run->eoi.vector };
    return vcpu_io(ec->c, &x);
}

static void emulation_failed(KvmEc *ec, VmExit *x)
{
    const struct kvm_run *r = ec->run;
    x->kind = EXIT_EMULATION_FAILED;
    x->suberror = r->internal.suberror;
    if (r->emulation_failure.ndata >= 1 && r->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES) {
        x->n_insn = MIN(r->emulation_failure.insn_size, (__u8)sizeof(x->insn));
        memcpy(x->insn, r->emulation_failure.insn_bytes, x->n_insn);
    }
}

bool kvm_handle_exit(KvmEc *ec, VmExit *x)
{
    const CpuIntc *i = &ec->c->intc;
    if (i->ops && !own_lapic(ec) && ec->run->cr8 != i->ops->tpr(i->opaque))
        i->ops->set_tpr(i->opaque, (uint8_t)ec->run->cr8);
    x->kind = EXIT_NONE;
    switch (ec->run->exit_reason) {
    case KVM_EXIT_IO: return exit_io(ec);
    case KVM_EXIT_MMIO: return exit_mmio(ec);
    case KVM_EXIT_X86_RDMSR: case KVM_EXIT_X86_WRMSR: return exit_msr(ec);
    case KVM_EXIT_IRQ_WINDOW_OPEN: case KVM_EXIT_INTR: return false;
    case KVM_EXIT_IOAPIC_EOI: return kvm_exit_eoi(ec);
    case KVM_EXIT_HLT:
        ((X86State *)ec->c->state)->ev.mp_state = X86_MP_HALTED;
        return false;
    case KVM_EXIT_SHUTDOWN: x->kind = EXIT_SHUTDOWN; return true;
    case KVM_EXIT_DEBUG: x->kind = EXIT_DEBUG; return true;
    case KVM_EXIT_INTERNAL_ERROR: emulation_failed(ec, x); return true;
    case KVM_EXIT_FAIL_ENTRY: x->kind = EXIT_FAIL_ENTRY; return true;
    default:
        x->kind = EXIT_ERROR;
        x->error = -EIO;
        return true;
    }
}

void kvm_run_error(VmExit *x, int e)
{
    x->kind = EXIT_ERROR;
    x->error = e;
}

static void kvm_vcpu_run(void *opaque, VmExit *x)
{
    KvmEc *ec = opaque;
    X86State *s = ec->c->state;
    g_autoptr(GError) err = NULL;
    if (!first_run(ec, &err)) {
        log_warn(machine_log(ec->vm->m), "%s", err->message);
        kvm_run_error(x, -EIO);
        return;
    }
    if (ec->vm->user_only) {
        kvm_user_run(ec, x);
        return;
    }
    for (;;) {
        __atomic_store_n(&ec->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
        x->kind = EXIT_NONE;
        if (vcpu_must_leave(ec->c))     /* first: what is taken is ours, and another engine may come next */
            return;
        take_events(ec, ~0u);
        if (s->ev.mp_state == X86_MP_HALTED && !own_lapic(ec) && irq_pending(ec))
            s->ev.mp_state = X86_MP_RUNNABLE;
        if (s->ev.mp_state != X86_MP_RUNNABLE && !own_lapic(ec)) {      /* else KVM waits itself */
            x->kind = EXIT_HALT;
            return;
        }
        if (*ec->c->groups_dirty && !kvm_state_in(ec, X86_GROUP_ALL, &err)) {
            log_warn(machine_log(ec->vm->m), "%s", err->message);
            kvm_run_error(x, -EIO);
            return;
        }
        inject(ec);
        *ec->c->groups_valid = 0;
        ec->pending_io = ec->events_known = false;
        if (ioctl(ec->fd, KVM_RUN, 0) < 0) {
            if (errno == EINTR || errno == EAGAIN)
                continue;
            if (errno == EFAULT) {          /* a write to translated code, or memory that is not there */
                ec->vm->code.release = true;
                *x = (VmExit){ .kind = EXIT_EMULATION_FAILED, .why = "write to translated code" };
                return;
            }
            kvm_run_error(x, -errno);
            return;
        }
        if (kvm_handle_exit(ec, x))
            return;
    }
}

static unsigned kvm_traits(void *opaque)
{
    KvmVm *vm = opaque;
    unsigned smm = vm->user_only || ioctl(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_X86_SMM) > 0 ? 0 : ACCEL_NO_SMM;
    return ACCEL_TRAPS_CODE | (vm->user_only ? ACCEL_USER_ONLY : 0) | smm;
}

static bool kvm_can_run(void *opaque)
{
    KvmEc *ec = opaque;
    return !ec->vm->user_only || kvm_user_can_run(ec);
}

static char *kvm_exit_stats(void *opaque)
{
    KvmVm *vm = opaque;
    static const char *const chips[] = { [ACCEL_IRQCHIP_OFF] = "off", [ACCEL_IRQCHIP_SPLIT] = "split", [ACCEL_IRQCHIP_ON] = "on" };
    return g_strdup_printf("kvm: kernel-irqchip %s, ioeventfds %u (%u refused), irqfds %u, MSIs %" G_GUINT64_FORMAT " (%" G_GUINT64_FORMAT " through irqfds), assistant's APIC writes %" G_GUINT64_FORMAT
                           ", dirty logs read %" G_GUINT64_FORMAT " (%" G_GUINT64_FORMAT " pages)\n",
                           chips[vm->irqchip], vm->n_doorbells, vm->refused_doorbells, vm->n_irqfds, vm->n_msis, vm->irqfd_sent, vm->apic_writes, vm->dirty_reads, vm->dirty_pages);
}

const AccelOps accel_kvm = {
    .name = "kvm", .priority = 20, .isa = "x86", .probe = kvm_probe, .vm_init = kvm_vm_init, .vm_fini = kvm_vm_fini, .memory_changed = kvm_memory_changed,
    .vcpu_init = kvm_vcpu_init, .vcpu_fini = kvm_vcpu_fini, .vcpu_run = kvm_vcpu_run, .vcpu_kick = kvm_vcpu_kick, .state_out = kvm_state_out,
    .state_in = kvm_state_in, .irqchip_out = kvm_irqchip_out, .irqchip_in = kvm_irqchip_in, .dirty_log = kvm_dirty_log, .doorbells = kvm_doorbells, .exit_stats = kvm_exit_stats, .apic_read = kvm_apic_read, .apic_write = kvm_apic_write,
    .traits = kvm_traits, .can_run = kvm_can_run, .pages_revoke = kvm_pages_revoke, .cpu_features = kvm_cpu_features,
    .guest_ran_elsewhere = kvm_ran_elsewhere,
};
