/*
 * The assistant engine's accesses to a local APIC of KVM's, one register at a time. Reading is an ioctl. Writing the whole APIC back (KVM_SET_LAPIC) would
 * lose what other CPUs and devices raise meanwhile, so the vCPU does the write: KVM runs one MOV in an otherwise unused page of the address space,
 * with interrupts off and NMIs held. The vCPU's registers are the assistant's then and are written back when it is done.
 */
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "accel/kvm/kvm-internal.h"

enum { MSR_X2APIC = 0x800, REG_TPR = 0x80, REG_ICR = 0x300, REG_ICR_HIGH = 0x310, DONE_PORT = 0x10, STUB_WRITE = 0, STUB_DONE = 2, STUB_LATCH = 6, MAX_EXITS = 100 };
/* Below the pages of KVM_SET_TSS_ADDR and KVM's identity map. */
#define STUB_GPA 0xfffbb000ull

/* CPUID: back in KVM once, which only then looks at its timers. */
static const uint8_t stub[] = { 0x89, 0x03, 0x0f, 0xa2, 0xe6, DONE_PORT,    /* mov %eax, (%ebx); cpuid; out %al, $DONE_PORT */
                                0xe6, 0x43, 0xe6, DONE_PORT };              /* out %al, $0x43; out %al, $DONE_PORT */

static bool x2apic(const X86State *s) { return (s->msr.apic_base & 0xc00) == 0xc00; }

uint64_t kvm_apic_read(void *opaque, uint32_t reg)
{
    KvmEc *ec = opaque;
    struct kvm_lapic_state k;
    uint32_t low = 0, high = 0;
    if (reg > sizeof(k.regs) - 16 || ioctl(ec->fd, KVM_GET_LAPIC, &k) < 0)
        return 0;
    memcpy(&low, k.regs + reg, 4);
    if (reg == REG_ICR && x2apic(ec->c->state))
        memcpy(&high, k.regs + REG_ICR_HIGH, 4);
    return low | (uint64_t)high << 32;
}

/* ---- the stub ---- */

static bool stub_map(KvmVm *vm)
{
    g_mutex_lock(&vm->lock);
    if (!vm->stub) {
        void *page = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (page != MAP_FAILED) {
            memcpy(page, stub, sizeof(stub));
            struct kvm_userspace_memory_region r = { .slot = KVM_STUB_SLOT, .flags = KVM_MEM_READONLY, .guest_phys_addr = STUB_GPA,
                                                     .memory_size = PAGE_SIZE, .userspace_addr = (uintptr_t)page };
            if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &r) == 0)
                vm->stub = page;
            else
                munmap(page, PAGE_SIZE);
        }
    }
    bool ok = vm->stub != NULL;
    g_mutex_unlock(&vm->lock);
    return ok;
}

/* NMIs that KVM got since it was last asked are the assistant's; setting events would lose them. */
static void take_nmis(KvmEc *ec)
{
    struct kvm_vcpu_events e;
    if (ioctl(ec->fd, KVM_GET_VCPU_EVENTS, &e) < 0)
        return;
    if (e.nmi.pending > ec->nmis)
        ((X86State *)ec->c->state)->ev.nmi_pending = 1;
    ec->nmis = e.nmi.pending;
}

/* Protected mode, flat, no paging. */
static bool stub_enter(KvmEc *ec, unsigned at, uint64_t address, uint32_t value)
{
    struct kvm_sregs r;
    struct kvm_vcpu_events e = { .flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW, .nmi.masked = 1 };
    struct kvm_regs g = { .rax = value, .rbx = address, .rip = STUB_GPA + at, .rflags = 2 };
    struct kvm_mp_state mp = { .mp_state = KVM_MP_STATE_RUNNABLE };
    take_nmis(ec);
    ec->nmis = 0;
    if (ioctl(ec->fd, KVM_GET_SREGS, &r) < 0)
        return false;
    struct kvm_segment code = { .limit = UINT32_MAX, .selector = 8, .type = 11, .present = 1, .db = 1, .s = 1, .g = 1 }, data = code;
    data.selector = 16;
    data.type = 3;
    r.cs = code;
    r.ds = r.es = r.ss = r.fs = r.gs = data;
    r.cr0 = X86_CR0_PE | X86_CR0_ET;
    r.cr3 = r.cr4 = r.efer = 0;
    memset(r.interrupt_bitmap, 0, sizeof(r.interrupt_bitmap));
    return ioctl(ec->fd, KVM_SET_SREGS, &r) == 0 && ioctl(ec->fd, KVM_SET_REGS, &g) == 0 && ioctl(ec->fd, KVM_SET_VCPU_EVENTS, &e) == 0 &&
           ioctl(ec->fd, KVM_SET_MP_STATE, &mp) == 0;
}

/* An EOI may come out of it (split); kicks are not for us. */
static bool stub_run(KvmEc *ec)
{
    for (unsigned n = 0; n < MAX_EXITS; n++) {
        __atomic_store_n(&ec->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
        ec->run->request_interrupt_window = 0;
        if (ioctl(ec->fd, KVM_RUN, 0) < 0)
            continue;
        if (ec->run->exit_reason == KVM_EXIT_IOAPIC_EOI)
            kvm_exit_eoi(ec);
        else if (ec->run->exit_reason != KVM_EXIT_INTR)
            break;
    }
    bool done = ec->run->exit_reason == KVM_EXIT_IO && ec->run->io.port == DONE_PORT;
    /* the OUT retires without running on */
    ec->run->immediate_exit = 1;
    ioctl(ec->fd, KVM_RUN, 0);
    ec->run->immediate_exit = 0;
    return done;
}

/* What came while the stub ran is the assistant's now. */
static void stub_leave(KvmEc *ec)
{
    take_nmis(ec);
    *ec->c->groups_dirty |= X86_GROUP_ALL;
}

/* Through the last resort, which can lose an interrupt that arrives at the same moment. */
static void write_whole(KvmEc *ec, uint32_t reg, uint32_t val)
{
    struct kvm_lapic_state k;
    if (ioctl(ec->fd, KVM_GET_LAPIC, &k) < 0)
        return;
    memcpy(k.regs + reg, &val, 4);
    ioctl(ec->fd, KVM_SET_LAPIC, &k);
}

void kvm_apic_write(void *opaque, uint32_t reg, uint64_t val)
{
    KvmEc *ec = opaque;
    X86State *s = ec->c->state;
    if (reg > 0x3f0)
        return;
    if (reg == REG_TPR)
        s->cr8 = val >> 4 & 15;
    ec->vm->apic_writes++;
    if (x2apic(s)) {
        kvm_msr_set(ec, MSR_X2APIC + (reg >> 4), val);
        return;
    }
    if (!stub_map(ec->vm) || !stub_enter(ec, STUB_WRITE, (s->msr.apic_base & ~0xfffull) + reg, (uint32_t)val) || !stub_run(ec))
        write_whole(ec, reg, (uint32_t)val);
    stub_leave(ec);
}

void kvm_apic_settle(KvmEc *ec)
{
    if (stub_map(ec->vm) && stub_enter(ec, STUB_DONE, 0, 0))
        stub_run(ec);
    stub_leave(ec);
}

bool kvm_pit_latch(KvmEc *ec)
{
    bool ok = kvm_prepare(ec, NULL) && stub_map(ec->vm) && stub_enter(ec, STUB_LATCH, 0, 0) && stub_run(ec);
    stub_leave(ec);
    return ok;
}
