/* Guest memory as KVM memory slots: one a range of the view that is RAM or ROM. */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "accel/kvm/kvm-internal.h"

static int set_slot(KvmVm *vm, unsigned n, bool present)
{
    const KvmSlot *s = &vm->slot[n];
    struct kvm_userspace_memory_region r = {
        .slot = n, .flags = s->flags, .guest_phys_addr = s->gpa, .memory_size = present ? s->size : 0, .userspace_addr = (uintptr_t)s->host,
    };
    return ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &r) < 0 ? -errno : 0;
}

static bool same(const KvmSlot *s, const FlatRange *r, uint32_t flags)
{
    return s->used && s->gpa == r->start && s->size == r->last - r->start + 1 && s->host == r->host && s->flags == flags;
}

static uint32_t flags_of(const FlatRange *r) { return r->readonly || r->split ? KVM_MEM_READONLY : 0; }

/* KVM maps whole pages only. */
static bool mappable(const FlatRange *r)
{
    return r->ram && !((r->start | (r->last + 1)) & (PAGE_SIZE - 1)) && !((uintptr_t)r->host & (PAGE_SIZE - 1));
}

static void drop_stale(KvmVm *vm, const FlatView *v)
{
    for (unsigned n = 0; n < KVM_SLOTS; n++) {
        bool keep = false;
        for (unsigned k = 0; k < v->n_rd && !keep; k++)
            keep = mappable(&v->rd[k]) && same(&vm->slot[n], &v->rd[k], flags_of(&v->rd[k]));
        if (vm->slot[n].used && !keep) {
            set_slot(vm, n, false);
            vm->slot[n].used = false;
        }
    }
}

static void add_range(KvmVm *vm, const FlatRange *r)
{
    int free_slot = -1;
    for (unsigned n = 0; n < KVM_SLOTS; n++) {
        if (same(&vm->slot[n], r, flags_of(r)))
            return;
        if (!vm->slot[n].used && free_slot < 0)
            free_slot = (int)n;
    }
    if (free_slot < 0) {
        log_warn(machine_log(vm->m), "kvm: out of memory slots; accesses to %#llx go the slow way", (unsigned long long)r->start);
        return;
    }
    vm->slot[free_slot] = (KvmSlot){ r->start, r->last - r->start + 1, r->host, flags_of(r), true };
    int e = set_slot(vm, (unsigned)free_slot, true);
    if (e) {
        log_warn(machine_log(vm->m), "kvm: the host refuses memory at %#llx: %s", (unsigned long long)r->start, g_strerror(-e));
        vm->slot[free_slot].used = false;
    }
}

void kvm_memory_changed(void *opaque, AddressSpace *as, const FlatView *old, const FlatView *new_view)
{
    KvmVm *vm = opaque;
    if (as != machine_vcpu(vm->m, 0)->mem)
        return;
    g_mutex_lock(&vm->lock);
    drop_stale(vm, new_view);
    for (unsigned n = 0; n < new_view->n_rd; n++)
        if (mappable(&new_view->rd[n]))
            add_range(vm, &new_view->rd[n]);
    g_mutex_unlock(&vm->lock);
}

void kvm_slots_again(KvmVm *vm)
{
    g_mutex_lock(&vm->lock);
    for (unsigned n = 0; n < KVM_SLOTS; n++)
        if (vm->slot[n].used && !(vm->slot[n].flags & KVM_MEM_READONLY)) {
            set_slot(vm, n, false);
            set_slot(vm, n, true);
        }
    g_mutex_unlock(&vm->lock);
}
