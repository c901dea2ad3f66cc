/*
 * KVM's log of written pages, merged into vmm's page flags. KVM logs from when a client that tracks writes arms its first page of a block, and stops
 * when at a merge no page is armed any more.
 */
#include <string.h>
#include <sys/ioctl.h>

#include "accel/kvm/kvm-internal.h"

enum { TRACKERS = PAGE_VGA | PAGE_MIGRATION };

bool kvm_log_wanted(RamBlock *b)
{
    const _Atomic uint8_t *flags = ram_block_flags(b);
    for (uint64_t page = 0; page < ram_block_size(b) / PAGE_SIZE; page++)
        if (atomic_load_explicit(&flags[page], memory_order_relaxed) & TRACKERS)
            return true;
    return false;
}

/* vm->lock held. */
static void set_log(KvmVm *vm, unsigned n, bool on)
{
    if (vm->slot[n].log == on || vm->slot[n].flags & KVM_MEM_READONLY)
        return;
    vm->slot[n].log = on;
    int e = kvm_set_slot(vm, n, true);
    if (!e)
        return;
    vm->slot[n].log = !on;
    log_warn(machine_log(vm->m), "kvm: the host does not log writes: %s", g_strerror(-e));
}

/* A page was armed after its flag was set: what is written from here on is in the log. */
void kvm_log_start(KvmVm *vm, uint64_t ram_addr, uint64_t len)
{
    g_mutex_lock(&vm->lock);
    for (unsigned n = 0; n < KVM_SLOTS; n++) {
        const KvmSlot *s = &vm->slot[n];
        uint64_t first = s->used ? ram_block_addr(s->ram) + s->offset : 0;
        if (s->used && ram_addr < first + s->size && first < ram_addr + len)
            set_log(vm, n, true);
    }
    g_mutex_unlock(&vm->lock);
}

static void report(KvmVm *vm, const KvmSlot *s, uint64_t first, uint64_t n)
{
    mem_pages_written(s->ram, s->offset + first * PAGE_SIZE, n * PAGE_SIZE);
    mem_pages_stored(s->ram, s->offset + first * PAGE_SIZE, n * PAGE_SIZE);
    vm->dirty_pages += n;
}

/* The log of a whole slot is read and cleared at once. A bit may be older than the arming of its page: then the page counts as written too early. */
void kvm_log_merge_slot(KvmVm *vm, unsigned n)
{
    const KvmSlot *s = &vm->slot[n];
    if (!s->used || !s->log)
        return;
    uint64_t pages = s->size / PAGE_SIZE;
    g_autofree uint64_t *bits = g_try_malloc0((pages + 63) / 64 * 8);
    struct kvm_dirty_log log = { .slot = n, .dirty_bitmap = bits };
    vm->dirty_reads++;
    if (!bits || ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log) < 0) {
        report(vm, s, 0, pages);
        return;
    }
    for (uint64_t p = 0; p < pages;) {
        uint64_t first = p;
        if (!bits[p / 64]) {
            p = (p | 63) + 1;
            continue;
        }
        while (p < pages && bits[p / 64] >> p % 64 & 1)
            p++;
        if (p > first)
            report(vm, s, first, p - first);
        else
            p++;
    }
}

void kvm_dirty_log(void *opaque, RamBlock *b, uint64_t offset, uint64_t len)
{
    KvmVm *vm = opaque;
    g_mutex_lock(&vm->lock);
    for (unsigned n = 0; n < KVM_SLOTS; n++) {
        const KvmSlot *s = &vm->slot[n];
        if (!s->used || s->ram != b || offset >= s->offset + s->size || s->offset >= offset + len)
            continue;
        kvm_log_merge_slot(vm, n);
        if (s->log && !kvm_log_wanted(b))
            set_log(vm, n, false);
    }
    g_mutex_unlock(&vm->lock);
}
