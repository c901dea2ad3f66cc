/*
 * Doorbells of mapped regions as ioeventfds: a guest's write wakes the device's thread without a return to user space. What KVM refuses is rung by the core
 * after an exit, as under any engine.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "accel/kvm/kvm-internal.h"

/* fd: ours, so that the device may close its own before we hear of it */
typedef struct Bound {
    uint64_t addr, value;
    uint32_t size;
    bool pio, match, wanted, refused;
    int device_fd, fd;
} Bound;

static int bind_one(KvmVm *vm, const Bound *b, bool on)
{
    struct kvm_ioeventfd k = {
        .addr = b->addr, .len = b->size, .fd = b->fd, .datamatch = b->value,
        .flags = (b->pio ? KVM_IOEVENTFD_FLAG_PIO : 0u) | (b->match ? KVM_IOEVENTFD_FLAG_DATAMATCH : 0u) | (on ? 0u : KVM_IOEVENTFD_FLAG_DEASSIGN),
    };
    return ioctl(vm->fd, KVM_IOEVENTFD, &k) < 0 ? -errno : 0;
}

static bool same(const Bound *a, const Bound *b)
{
    return a->addr == b->addr && a->value == b->value && a->size == b->size && a->pio == b->pio && a->match == b->match && a->device_fd == b->device_fd;
}

static void want(GArray *bells, const Bound *w)
{
    for (guint n = 0; n < bells->len; n++) {
        Bound *b = &g_array_index(bells, Bound, n);
        if (same(b, w)) {
            b->wanted = true;
            return;
        }
    }
    g_array_append_val(bells, *w);
}

static void want_region(GArray *bells, const FlatRange *r, bool pio)
{
    const Doorbell *d;
    unsigned n = mem_region_doorbells(r->mr, &d);
    for (unsigned i = 0; i < n; i++) {
        uint64_t in = d[i].offset - r->offset, last = in + (d[i].size ? d[i].size : 1) - 1;
        if (d[i].fd < 0 || d[i].offset < r->offset || last > r->last - r->start)
            continue;
        Bound w = { .addr = r->start + in, .value = d[i].match ? d[i].value : 0, .size = d[i].size, .pio = pio, .match = d[i].match, .wanted = true,
                    .device_fd = d[i].fd, .fd = -1 };
        want(bells, &w);
    }
}

static void want_space(GArray *bells, AddressSpace *as, bool pio)
{
    const FlatView *v = as_view(as);
    for (unsigned n = 0; n < v->n_wr; n++)
        if (!v->wr[n].ram)
            want_region(bells, &v->wr[n], pio);
}

/* vm->lock held. */
static void unbind(KvmVm *vm, Bound *b)
{
    if (b->fd < 0)
        return;
    bind_one(vm, b, false);
    close(b->fd);
    vm->n_doorbells--;
}

static void bind_new(KvmVm *vm, Bound *b)
{
    if (b->fd >= 0 || b->refused)
        return;
    b->fd = fcntl(b->device_fd, F_DUPFD_CLOEXEC, 0);
    int e = b->fd < 0 ? -errno : bind_one(vm, b, true);
    if (!e) {
        vm->n_doorbells++;
        return;
    }
    if (b->fd >= 0)
        close(b->fd);
    b->fd = -1;
    b->refused = true;
    vm->refused_doorbells++;
    log_item(machine_log(vm->m), LOG_INT, "kvm: no ioeventfd for %#llx: %s", (unsigned long long)b->addr, g_strerror(-e));
}

void kvm_doorbells_update(KvmVm *vm)
{
    g_mutex_lock(&vm->lock);
    if (!vm->doorbells)
        vm->doorbells = g_array_new(FALSE, FALSE, sizeof(Bound));
    for (guint n = 0; n < vm->doorbells->len; n++)
        g_array_index(vm->doorbells, Bound, n).wanted = false;
    want_space(vm->doorbells, machine_as_mem(vm->m), false);
    want_space(vm->doorbells, machine_as_io(vm->m), true);
    /* first what goes, so that its address is free */
    for (guint n = 0; n < vm->doorbells->len;) {
        Bound *b = &g_array_index(vm->doorbells, Bound, n);
        if (!b->wanted) {
            unbind(vm, b);
            g_array_remove_index_fast(vm->doorbells, n);
        } else {
            n++;
        }
    }
    for (guint n = 0; n < vm->doorbells->len; n++)
        bind_new(vm, &g_array_index(vm->doorbells, Bound, n));
    g_mutex_unlock(&vm->lock);
}

void kvm_doorbells(void *opaque, MemRegion *mr)
{
    (void)mr;
    kvm_doorbells_update(opaque);
}

void kvm_doorbells_fini(KvmVm *vm)
{
    for (guint n = 0; vm->doorbells && n < vm->doorbells->len; n++)
        unbind(vm, &g_array_index(vm->doorbells, Bound, n));
    if (vm->doorbells)
        g_array_unref(vm->doorbells);
}
