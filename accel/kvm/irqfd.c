/*
 * Messages (MSI, MSI-X) that come again and again, as those of virtio queues do, have an irqfd: an eventfd that KVM takes the interrupt from, through a
 * route of its own. Others go through KVM_SIGNAL_MSI. INTx stays with the models or the fabric's lines: those need EOIs.
 */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "accel/kvm/kvm-internal.h"

enum { OFTEN = 8, FIRST_GSI = 32 };    /* above the I/O APIC's pins and the routes of level vectors */

static struct kvm_irq_routing_entry route_of(const KvmMsiFd *f, unsigned n)
{
    return (struct kvm_irq_routing_entry){ .gsi = FIRST_GSI + n, .type = KVM_IRQ_ROUTING_MSI,
                                           .u.msi = { .address_lo = (__u32)f->addr, .address_hi = (__u32)(f->addr >> 32), .data = f->data } };
}

static int attach(KvmVm *vm, const KvmMsiFd *f, unsigned n, bool on)
{
    struct kvm_irqfd k = { .fd = (__u32)f->fd, .gsi = FIRST_GSI + n, .flags = on ? 0 : KVM_IRQFD_FLAG_DEASSIGN };
    return ioctl(vm->fd, KVM_IRQFD, &k) < 0 ? -errno : 0;
}

/* Taking the eventfd away waits until what was written to it is in the local APIC. */
static void drop(KvmVm *vm, unsigned n)
{
    KvmMsiFd *f = &vm->msi_fd[n];
    if (f->fd >= 0) {
        attach(vm, f, n, false);
        close(f->fd);
        kvm_route_msi(vm, FIRST_GSI + n, NULL);
        vm->n_irqfds--;
    }
    *f = (KvmMsiFd){ .fd = -1 };
}

static void bind(KvmVm *vm, unsigned n)
{
    KvmMsiFd *f = &vm->msi_fd[n];
    struct kvm_irq_routing_entry e = route_of(f, n);
    f->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int r = f->fd < 0 ? -errno : kvm_route_msi(vm, FIRST_GSI + n, &e);
    if (!r)
        r = attach(vm, f, n, true);
    if (!r) {
        vm->n_irqfds++;
        return;
    }
    log_item(machine_log(vm->m), LOG_INT, "kvm: no irqfd for %#llx: %s", (unsigned long long)f->addr, g_strerror(-r));
    if (f->fd >= 0) {
        close(f->fd);
        kvm_route_msi(vm, FIRST_GSI + n, NULL);
    }
    f->fd = -1;
    f->refused = true;
}

/* The message's entry; a new one takes an empty place, or goes round among all. */
static unsigned find(KvmVm *vm, uint64_t addr, uint32_t data)
{
    unsigned free_one = KVM_MSI_FDS;
    for (unsigned n = 0; n < KVM_MSI_FDS; n++) {
        if (vm->msi_fd[n].used && vm->msi_fd[n].addr == addr && vm->msi_fd[n].data == data)
            return n;
        if (!vm->msi_fd[n].used)
            free_one = MIN(free_one, n);
    }
    if (free_one == KVM_MSI_FDS) {
        free_one = vm->msi_next++ % KVM_MSI_FDS;
        drop(vm, free_one);
    }
    vm->msi_fd[free_one] = (KvmMsiFd){ .addr = addr, .data = data, .fd = -1, .used = true };
    return free_one;
}

bool kvm_irqfd_send(KvmVm *vm, uint64_t addr, uint32_t data)
{
    uint64_t one = 1;
    g_mutex_lock(&vm->msi_lock);
    unsigned n = find(vm, addr, data);
    KvmMsiFd *f = &vm->msi_fd[n];
    if (f->fd < 0 && !f->refused && ++f->sent >= OFTEN)
        bind(vm, n);
    bool done = f->fd >= 0 && write(f->fd, &one, sizeof(one)) == sizeof(one);
    vm->irqfd_sent += done;
    g_mutex_unlock(&vm->msi_lock);
    return done;
}

void kvm_irqfds_drop(KvmVm *vm)
{
    g_mutex_lock(&vm->msi_lock);
    for (unsigned n = 0; n < KVM_MSI_FDS; n++)
        drop(vm, n);
    g_mutex_unlock(&vm->msi_lock);
}
