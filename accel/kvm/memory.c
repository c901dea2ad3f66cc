/*
 * Guest memory as KVM memory slots: one a range of the view that is RAM or ROM.
 *
 * The assistant keeps translations of guest code; who writes such code must be seen. KVM is given mappings of its own of the RAM blocks, and pages
 * armed for PAGE_CODE are made read-only there: a guest write to one ends KVM_RUN with EFAULT, and the assistant, whose own
 * mapping is writable, does it and drops what it had translated.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "accel/kvm/kvm-internal.h"

/* ---- mappings ---- */

/* code.lock held. */
static void protect(KvmVm *vm, const KvmMap *map, uint64_t ram_addr)
{
    if (g_hash_table_contains(vm->code.pages, GSIZE_TO_POINTER(ram_addr)))
        return;
    if (mprotect(map->host + (ram_addr - ram_block_addr(map->ram)), PAGE_SIZE, PROT_READ) == 0)
        g_hash_table_add(vm->code.pages, GSIZE_TO_POINTER(ram_addr));
    else if (mprotect(map->host, ram_block_size(map->ram), PROT_READ) == 0)
        log_warn(machine_log(vm->m), "kvm: the host has no more mappings (vm.max_map_count); guest writes become slow");
}

static KvmMap *find_map(KvmVm *vm, uint64_t ram_addr)
{
    for (guint n = 0; vm->code.maps && n < vm->code.maps->len; n++) {
        KvmMap *m = &g_array_index(vm->code.maps, KvmMap, n);
        if (ram_addr >= ram_block_addr(m->ram) && ram_addr - ram_block_addr(m->ram) < ram_block_size(m->ram))
            return m;
    }
    return NULL;
}

/* Where KVM shall see the block; NULL if the host has no room for another mapping. code.lock held. */
static uint8_t *map_block(KvmVm *vm, RamBlock *b)
{
    KvmCode *c = &vm->code;
    KvmMap *have = find_map(vm, ram_block_addr(b));
    if (have)
        return have->host;
    uint8_t *host = mmap(NULL, ram_block_size(b), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, ram_block_fd(b), 0);
    if (host == MAP_FAILED)
        return NULL;
    madvise(host, ram_block_size(b), MADV_DONTDUMP);
    if (!c->maps) {
        c->maps = g_array_new(FALSE, FALSE, sizeof(KvmMap));
        c->pages = g_hash_table_new(NULL, NULL);
    }
    KvmMap map = { ram_block_ref(b), host };
    g_array_append_val(c->maps, map);
    const _Atomic uint8_t *flags = ram_block_flags(b);
    for (uint64_t page = 0; page < ram_block_size(b) / PAGE_SIZE; page++)
        if (atomic_load(&flags[page]) & PAGE_CODE)
            protect(vm, &map, ram_block_addr(b) + page * PAGE_SIZE);
    return host;
}

void kvm_pages_revoke(void *opaque, PageClient client, uint64_t ram_addr, uint64_t len)
{
    KvmVm *vm = opaque;
    if (client != PAGE_CODE) {
        kvm_log_start(vm, ram_addr, len);
        return;
    }
    g_mutex_lock(&vm->code.lock);
    const KvmMap *map = find_map(vm, ram_addr);
    for (uint64_t at = 0; map && at < len; at += PAGE_SIZE)
        protect(vm, map, ram_addr + at);
    g_mutex_unlock(&vm->code.lock);
}

void kvm_release_code(KvmVm *vm)
{
    KvmCode *c = &vm->code;
    if (!c->release || !c->pages)
        return;
    g_mutex_lock(&c->lock);
    c->release = false;
    GHashTableIter it;
    gpointer key;
    g_hash_table_iter_init(&it, c->pages);
    while (g_hash_table_iter_next(&it, &key, NULL)) {
        const KvmMap *map = find_map(vm, GPOINTER_TO_SIZE(key));
        uint64_t off = GPOINTER_TO_SIZE(key) - ram_block_addr(map->ram);
        if (!(atomic_load(&ram_block_flags(map->ram)[off / PAGE_SIZE]) & PAGE_CODE) && mprotect(map->host + off, PAGE_SIZE, PROT_READ | PROT_WRITE) == 0)
            g_hash_table_iter_remove(&it);
    }
    g_mutex_unlock(&c->lock);
}

static bool is_readonly(KvmCode *c, uint64_t ram_addr)
{
    g_mutex_lock(&c->lock);
    bool yes = g_hash_table_contains(c->pages, GSIZE_TO_POINTER(ram_addr));
    g_mutex_unlock(&c->lock);
    return yes;
}

bool kvm_release_page(KvmVm *vm, AddressSpace *as, uint64_t gpa)
{
    KvmCode *c = &vm->code;
    MemMap map;
    if (!c->pages || !as_translate(as, gpa & ~(uint64_t)(PAGE_SIZE - 1), true, &map))
        return false;
    if (!is_readonly(c, map.ram_addr))
        return false;
    mem_pages_release(map.ram, PAGE_CODE, map.ram_addr - ram_block_addr(map.ram), PAGE_SIZE);
    c->release = true;
    kvm_release_code(vm);
    return !is_readonly(c, map.ram_addr);
}

void kvm_forget_code(KvmVm *vm)
{
    KvmCode *c = &vm->code;
    g_autoptr(GList) pages = NULL;
    g_mutex_lock(&c->lock);
    pages = c->pages ? g_hash_table_get_keys(c->pages) : NULL;
    g_mutex_unlock(&c->lock);
    for (GList *p = pages; p; p = p->next) {
        const KvmMap *map = find_map(vm, GPOINTER_TO_SIZE(p->data));
        mem_pages_release(map->ram, PAGE_CODE, GPOINTER_TO_SIZE(p->data) - ram_block_addr(map->ram), PAGE_SIZE);
    }
    c->release = true;
    kvm_release_code(vm);
}

void kvm_memory_fini(KvmVm *vm)
{
    for (guint n = 0; vm->code.maps && n < vm->code.maps->len; n++) {
        KvmMap *m = &g_array_index(vm->code.maps, KvmMap, n);
        munmap(m->host, ram_block_size(m->ram));
        ram_block_unref(m->ram);
    }
    if (vm->code.maps) {
        g_array_free(vm->code.maps, TRUE);
        g_hash_table_unref(vm->code.pages);
    }
    if (vm->code.shadow_page)
        munmap(vm->code.shadow_page, PAGE_SIZE);
    g_mutex_clear(&vm->code.lock);
}

/* ---- slots ---- */

int kvm_set_slot(KvmVm *vm, unsigned n, bool present)
{
    const KvmSlot *s = &vm->slot[n];
    struct kvm_userspace_memory_region r = {
        .slot = n, .flags = s->flags | (s->log ? KVM_MEM_LOG_DIRTY_PAGES : 0), .guest_phys_addr = s->gpa, .memory_size = present ? s->size : 0, .userspace_addr = (uintptr_t)s->seen,
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
            kvm_log_merge_slot(vm, n);
            kvm_set_slot(vm, n, false);
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
    g_mutex_lock(&vm->code.lock);
    uint8_t *seen = map_block(vm, r->ram);
    g_mutex_unlock(&vm->code.lock);
    seen = seen ? seen + (r->host - ram_block_host(r->ram)) : r->host;
    vm->slot[free_slot] = (KvmSlot){ r->start, r->last - r->start + 1, r->host, seen, flags_of(r), true, kvm_log_wanted(r->ram), r->ram,
                                        (uint64_t)(r->host - ram_block_host(r->ram)) };
    int e = kvm_set_slot(vm, (unsigned)free_slot, true);
    if (e) {
        log_warn(machine_log(vm->m), "kvm: the host refuses memory at %#llx: %s", (unsigned long long)r->start, g_strerror(-e));
        vm->slot[free_slot].used = false;
    }
}

void kvm_memory_changed(void *opaque, AddressSpace *as, const FlatView *old, const FlatView *new_view)
{
    KvmVm *vm = opaque;
    if (as == machine_as_mem(vm->m) || as == machine_as_io(vm->m))
        kvm_doorbells_update(vm);
    if (as != machine_vcpu(vm->m, 0)->mem)
        return;
    g_mutex_lock(&vm->lock);
    drop_stale(vm, new_view);
    for (unsigned n = 0; n < new_view->n_rd; n++)
        if (mappable(&new_view->rd[n]))
            add_range(vm, &new_view->rd[n]);
    g_mutex_unlock(&vm->lock);
}

/*
 * Deleting or moving any slot makes KVM drop all shadow pages of the VM (kvm_mmu_zap_all_fast), also while vCPUs run. RAM itself is not
 * taken away even for a moment: a page is moved to and fro that the guest cannot address.
 */
void kvm_drop_shadow(KvmVm *vm)
{
    KvmCode *c = &vm->code;
    const uint64_t above_all = 1ull << 51;
    g_mutex_lock(&vm->lock);
    if (!c->shadow_page) {
        void *p = mmap(NULL, PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        c->shadow_page = p == MAP_FAILED ? NULL : p;
    }
    c->shadow_odd = !c->shadow_odd;
    struct kvm_userspace_memory_region r = { .slot = KVM_SHADOW_SLOT, .guest_phys_addr = above_all + (c->shadow_odd ? PAGE_SIZE : 0), .memory_size = PAGE_SIZE,
                                             .userspace_addr = (uintptr_t)c->shadow_page };
    if (!c->shadow_slot) {      /* adding one drops nothing, the move does */
        c->shadow_slot = true;
        ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &r);
        r.guest_phys_addr ^= PAGE_SIZE;
        c->shadow_odd = !c->shadow_odd;
    }
    if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &r) < 0)
        log_warn(machine_log(vm->m), "kvm: the host does not drop its shadow page tables: %s", g_strerror(errno));
    g_mutex_unlock(&vm->lock);
}

void kvm_ran_elsewhere(void *opaque)
{
    KvmVm *vm = opaque;
    if (vm->pvm)
        kvm_drop_shadow(vm);
    if (vm->pvm && !vm->user_only)      /* such a KVM tells the guest, not us, of a page table that it cannot write */
        kvm_forget_code(vm);
}
