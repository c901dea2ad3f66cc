#include <string.h>

#include "util/bits.h"
#include "vmm/memory-internal.h"

static MemRegion *region_new(MemSystem *ms, MemKind kind, const char *name, uint64_t size)
{
    MemRegion *mr = g_new0(MemRegion, 1);
    atomic_init(&mr->refs, 1);
    mr->kind = kind;
    mr->ms = ms;
    mr->name = g_strdup(name);
    mr->size = size;
    mr->access = MEM_RW;
    mr->enabled = true;
    return mr;
}

MemRegion *mem_region_new_container(MemSystem *ms, const char *name, uint64_t size)
{
    return region_new(ms, MEM_CONTAINER, name, size);
}

MemRegion *mem_region_new_ram(MemSystem *ms, const char *name, uint64_t size, GError **err)
{
    RamBlock *b = ram_block_new(ms, name, size, err);
    if (!b)
        return NULL;
    MemRegion *mr = region_new(ms, MEM_RAM, name, size);
    mr->ram = b;
    return mr;
}

MemRegion *mem_region_new_rom(MemSystem *ms, const char *name, uint64_t size, GError **err)
{
    MemRegion *mr = mem_region_new_ram(ms, name, size, err);
    if (mr)
        mr->readonly = true;
    return mr;
}

MemRegion *mem_region_new_mmio(MemSystem *ms, const char *name, const MmioOps *ops, void *opaque, uint64_t size, DevLock *lock)
{
    MemRegion *mr = region_new(ms, MEM_MMIO, name, size);
    mr->ops = ops;
    mr->opaque = opaque;
    mr->lock = devlock_ref(lock);
    mr->unaligned = ops->unaligned ? UINT64_MAX : 0;
    for (unsigned n = ops->min_size ? ops->min_size : 1; n <= (ops->max_size ? ops->max_size : 4) && ops->endian == MMIO_LITTLE; n *= 2) {
        mr->load_sizes |= ops->read ? n : 0;
        mr->store_sizes |= ops->write ? n : 0;
    }
    return mr;
}

MemRegion *mem_region_new_alias(MemSystem *ms, const char *name, MemRegion *target, uint64_t offset, uint64_t size)
{
    MemRegion *mr = region_new(ms, MEM_ALIAS, name, size);
    mr->target = mem_region_ref(target);
    mr->alias_offset = offset;
    return mr;
}

MemRegion *mem_region_ref(MemRegion *mr)
{
    atomic_fetch_add_explicit(&mr->refs, 1, memory_order_relaxed);
    return mr;
}

void mem_region_unref(MemRegion *mr)
{
    if (!mr || atomic_fetch_sub_explicit(&mr->refs, 1, memory_order_acq_rel) != 1)
        return;
    g_assert(!mr->mapped);
    for (guint i = 0; mr->children && i < mr->children->len; i++) {
        MemRegion *child = g_ptr_array_index(mr->children, i);
        child->mapped = false;
        child->parent = NULL;
        mem_region_unref(child);
    }
    if (mr->children)
        g_ptr_array_free(mr->children, TRUE);
    mem_region_unref(mr->target);
    ram_block_unref(mr->ram);
    devlock_unref(mr->lock);
    g_free(atomic_load(&mr->doorbells));
    g_free(mr->name);
    g_free(mr);
}

/* ---- tree ---- */

/* Front to back: higher priority first, of equal ones the later added. tree_lock held. */
static void insert_sorted(MemRegion *parent, MemRegion *child)
{
    if (!parent->children)
        parent->children = g_ptr_array_new();
    guint i = 0;
    for (; i < parent->children->len; i++) {
        MemRegion *c = g_ptr_array_index(parent->children, i);
        if (c->priority <= child->priority)
            break;
    }
    g_ptr_array_insert(parent->children, (gint)i, child);
}

void mem_region_add(MemRegion *parent, uint64_t offset, MemRegion *child, int priority)
{
    MemSystem *ms = parent->ms;
    g_assert(child->ms == ms && child != parent);
    g_mutex_lock(&ms->tree_lock);
    g_assert(!child->mapped);
    child->mapped = true;
    child->parent = parent;
    child->offset = offset;
    child->priority = priority;
    insert_sorted(parent, mem_region_ref(child));
    g_mutex_unlock(&ms->tree_lock);
    mem_system_changed(ms);
}

void mem_region_remove(MemRegion *child)
{
    MemSystem *ms = child->ms;
    g_mutex_lock(&ms->tree_lock);
    bool was = child->mapped;
    if (was) {
        g_ptr_array_remove(child->parent->children, child);
        child->mapped = false;
        child->parent = NULL;
    }
    g_mutex_unlock(&ms->tree_lock);
    if (was) {
        mem_region_unref(child);
        mem_system_changed(ms);
    }
}

bool mem_region_is_mapped(const MemRegion *mr)
{
    g_mutex_lock(&mr->ms->tree_lock);
    bool r = mr->mapped;
    g_mutex_unlock(&mr->ms->tree_lock);
    return r;
}

/* The setters share one shape; a value that does not change publishes nothing. */
#define REGION_SET_(mr, field, val)                     \
    do {                                                \
        MemSystem *ms_ = (mr)->ms;                      \
        g_mutex_lock(&ms_->tree_lock);                  \
        bool differs_ = (mr)->field != (val);           \
        (mr)->field = (val);                            \
        g_mutex_unlock(&ms_->tree_lock);                \
        if (differs_)                                   \
            mem_system_changed(ms_);                    \
    } while (0)

void mem_region_set_offset(MemRegion *child, uint64_t offset)
{
    REGION_SET_(child, offset, offset);
}

void mem_region_set_enabled(MemRegion *mr, bool enabled)
{
    REGION_SET_(mr, enabled, enabled);
}

void mem_region_set_alias_offset(MemRegion *alias, uint64_t offset)
{
    g_assert(alias->kind == MEM_ALIAS);
    REGION_SET_(alias, alias_offset, offset);
}

void mem_region_set_size(MemRegion *mr, uint64_t size)
{
    g_assert(mr->kind != MEM_RAM);
    REGION_SET_(mr, size, size);
}

void mem_region_set_readonly(MemRegion *mr, bool readonly)
{
    REGION_SET_(mr, readonly, readonly);
}

void mem_region_set_access(MemRegion *mr, unsigned rw)
{
    g_mutex_lock(&mr->ms->tree_lock);
    if (rw == MEM_R || rw == MEM_W)
        mr->ms->partial = true;
    g_mutex_unlock(&mr->ms->tree_lock);
    REGION_SET_(mr, access, rw);
}

const char *mem_region_name(const MemRegion *mr)
{
    return mr->name;
}

uint64_t mem_region_size(const MemRegion *mr)
{
    g_mutex_lock(&mr->ms->tree_lock);
    uint64_t size = mr->size;
    g_mutex_unlock(&mr->ms->tree_lock);
    return size;
}

RamBlock *mem_region_ram(const MemRegion *mr)
{
    return mr->ram;
}

uint8_t *mem_region_ram_host(const MemRegion *mr)
{
    return mr->ram ? mr->ram->host : NULL;
}

/* ---- doorbells ---- */

/* Publish @fresh (or NULL) in place of the present list and have listeners told at the next commit. */
static void set_doorbells(MemRegion *mr, DoorbellList *fresh)
{
    MemSystem *ms = mr->ms;
    g_mutex_lock(&ms->tree_lock);
    DoorbellList *old = atomic_exchange(&mr->doorbells, fresh);
    g_ptr_array_add(ms->bells, mem_region_ref(mr));
    g_mutex_unlock(&ms->tree_lock);
    if (old)
        publish_retire(ms->publish, g_free, old);
    mem_system_changed(ms);
}

void mem_region_add_doorbell(MemRegion *mr, const Doorbell *d)
{
    DoorbellList *old = atomic_load(&mr->doorbells);
    unsigned n = old ? old->n : 0;
    DoorbellList *fresh = g_malloc(sizeof(*fresh) + (n + 1) * sizeof(Doorbell));
    fresh->n = n + 1;
    if (n)
        memcpy(fresh->d, old->d, n * sizeof(Doorbell));
    fresh->d[n] = *d;
    set_doorbells(mr, fresh);
}

void mem_region_clear_doorbells(MemRegion *mr)
{
    if (atomic_load(&mr->doorbells))
        set_doorbells(mr, NULL);
}

unsigned mem_region_doorbells(const MemRegion *mr, const Doorbell **ret)
{
    DoorbellList *l = atomic_load(&((MemRegion *)mr)->doorbells);
    *ret = l ? l->d : NULL;
    return l ? l->n : 0;
}

void mem_region_set_coalesced(MemRegion *mr, bool coalesced)
{
    atomic_store(&mr->coalesced, coalesced);
}

bool mem_region_coalesced(const MemRegion *mr)
{
    return atomic_load(&((MemRegion *)mr)->coalesced);
}
