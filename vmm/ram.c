#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "util/bits.h"
#include "vmm/memory-internal.h"

/* RAM blocks (one memfd each) and their page flags. */

enum { HUGE_BYTES = 2 << 20 };

static int make_memfd(const char *name, uint64_t size)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    /* Sealed: a process that gets the fd (vhost-user) cannot make our accesses fault by truncating it. */
    if (ftruncate(fd, (off_t)size) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
        int r = -errno;
        close(fd);
        return r;
    }
    return fd;
}

/* Map @b->fd at a 2 MiB boundary, so that host huge pages can serve guest huge pages. */
static int map_block(RamBlock *b)
{
    size_t slack = b->size >= HUGE_BYTES ? HUGE_BYTES : 0;
    b->map_len = b->size + slack;
    void *area = mmap(NULL, b->map_len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (area == MAP_FAILED)
        return -errno;
    b->map = area;
    uintptr_t at = slack ? align_up((uintptr_t)area, HUGE_BYTES) : (uintptr_t)area;
    void *p = mmap((void *)at, b->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, b->fd, 0);
    if (p == MAP_FAILED)
        return -errno;
    b->host = p;
    madvise(p, b->size, MADV_HUGEPAGE);     /* a wish: many hosts do not allow it for shared memory */
    madvise(p, b->size, MADV_DONTDUMP);
    return 0;
}

static int map_flags(RamBlock *b)
{
    void *p = mmap(NULL, b->size / PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return -errno;
    b->flags = p;
    return 0;
}

static void block_destroy(RamBlock *b)
{
    if (b->map)
        munmap(b->map, b->map_len);
    if (b->flags)
        munmap((void *)b->flags, b->size / PAGE_SIZE);
    if (b->fd >= 0)
        close(b->fd);
    g_free(b->name);
    g_free(b);
}

RamBlock *ram_block_new(MemSystem *ms, const char *name, uint64_t size, GError **err)
{
    if (!size || size % PAGE_SIZE || size > 1ull << 46) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL, "memory '%s': %" G_GUINT64_FORMAT " bytes is not a possible size", name, size);
        return NULL;
    }
    RamBlock *b = g_new0(RamBlock, 1);
    atomic_init(&b->refs, 1);
    b->ms = ms;
    b->name = g_strdup(name);
    b->size = size;
    b->fd = make_memfd(name, size);
    int r = b->fd < 0 ? b->fd : map_block(b);
    if (r == 0)
        r = map_flags(b);
    if (r < 0) {
        g_set_error(err, G_FILE_ERROR, g_file_error_from_errno(-r), "memory '%s': the host has no %" G_GUINT64_FORMAT " MiB: %s; use a smaller -m",
                    name, size >> 20, g_strerror(-r));
        block_destroy(b);
        return NULL;
    }
    g_mutex_lock(&ms->blocks_lock);
    b->addr = ms->next_ram_addr;
    ms->next_ram_addr = align_up(b->addr + size, HUGE_BYTES);
    g_ptr_array_add(ms->blocks, b);
    g_mutex_unlock(&ms->blocks_lock);
    return b;
}

RamBlock *ram_block_ref(RamBlock *b)
{
    atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}

void ram_block_unref(RamBlock *b)
{
    if (!b || atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1)
        return;
    g_mutex_lock(&b->ms->blocks_lock);
    g_ptr_array_remove(b->ms->blocks, b);
    g_mutex_unlock(&b->ms->blocks_lock);
    block_destroy(b);
}

const char *ram_block_name(const RamBlock *b) { return b->name; }
uint8_t *ram_block_host(const RamBlock *b) { return b->host; }
uint64_t ram_block_size(const RamBlock *b) { return b->size; }
uint64_t ram_block_addr(const RamBlock *b) { return b->addr; }
int ram_block_fd(const RamBlock *b) { return b->fd; }
_Atomic uint8_t *ram_block_flags(RamBlock *b) { return b->flags; }

RamBlock *ram_block_find(MemSystem *ms, uint64_t ram_addr)
{
    RamBlock *found = NULL;
    g_mutex_lock(&ms->blocks_lock);
    for (guint i = 0; i < ms->blocks->len && !found; i++) {
        RamBlock *b = g_ptr_array_index(ms->blocks, i);
        if (ram_addr >= b->addr && ram_addr - b->addr < b->size)
            found = b;
    }
    g_mutex_unlock(&ms->blocks_lock);
    return found;
}

void ram_block_foreach(MemSystem *ms, void (*fn)(RamBlock *b, void *opaque), void *opaque)
{
    g_autoptr(GPtrArray) copy = g_ptr_array_new();
    g_mutex_lock(&ms->blocks_lock);
    for (guint i = 0; i < ms->blocks->len; i++)
        g_ptr_array_add(copy, g_ptr_array_index(ms->blocks, i));
    g_mutex_unlock(&ms->blocks_lock);
    for (guint i = 0; i < copy->len; i++)
        fn(g_ptr_array_index(copy, i), opaque);
}

/* ---- page flags ---- */

static unsigned client_index(PageClient c)
{
    return (unsigned)__builtin_ctz(c);
}

void mem_pages_set_hook(MemSystem *ms, PageClient client, PageWrittenFn *fn, void *opaque)
{
    g_mutex_lock(&ms->commit_lock);
    PageHooks *old = atomic_load(&ms->hooks);
    PageHooks *fresh = g_new0(PageHooks, 1);
    if (old)
        *fresh = *old;
    fresh->hook[client_index(client)].fn = fn;
    fresh->hook[client_index(client)].opaque = opaque;
    atomic_store(&ms->hooks, fresh);
    g_mutex_unlock(&ms->commit_lock);
    if (old)
        publish_retire(ms->publish, g_free, old);
}

typedef struct PageSpan { uint64_t first, n; } PageSpan;

/* Pages touched by [offset, +len), clipped to the block. */
static PageSpan page_span(const RamBlock *b, uint64_t offset, uint64_t len)
{
    if (!len || offset >= b->size)
        return (PageSpan){ 0, 0 };
    uint64_t last = MIN(len - 1, b->size - 1 - offset) + offset;
    return (PageSpan){ offset >> PAGE_BITS, (last >> PAGE_BITS) - (offset >> PAGE_BITS) + 1 };
}

static uint8_t span_union(RamBlock *b, PageSpan s)
{
    uint8_t any = 0;
    for (uint64_t i = 0; i < s.n; i++)
        any |= atomic_load_explicit(&b->flags[s.first + i], memory_order_relaxed);
    return any;
}

static void span_clear(RamBlock *b, PageSpan s, uint8_t bits)
{
    for (uint64_t i = 0; i < s.n; i++)
        if (atomic_load_explicit(&b->flags[s.first + i], memory_order_relaxed) & bits)
            atomic_fetch_and_explicit(&b->flags[s.first + i], (uint8_t)~bits, memory_order_acq_rel);
}

bool mem_pages_any(RamBlock *b, uint64_t offset, uint64_t len)
{
    return span_union(b, page_span(b, offset, len)) != 0;
}

void mem_pages_written_slow(RamBlock *b, uint64_t offset, uint64_t len)
{
    PageSpan s = page_span(b, offset, len);
    uint8_t any = span_union(b, s);
    PublishToken t = publish_read_begin(b->ms->publish);
    PageHooks *h = atomic_load(&b->ms->hooks);
    for (unsigned i = 0; h && i < PAGE_CLIENTS; i++)
        if ((any >> i & 1) && h->hook[i].fn)
            h->hook[i].fn(h->hook[i].opaque, b, offset, len);
    bool code_hook = h && h->hook[client_index(PAGE_CODE)].fn;
    publish_read_end(b->ms->publish, t);
    span_clear(b, s, (uint8_t)(any & ~(code_hook ? PAGE_CODE : 0)));
}

void mem_pages_release(RamBlock *b, PageClient client, uint64_t offset, uint64_t len)
{
    PublishToken t = publish_read_begin(b->ms->publish);
    PageHooks *h = atomic_load(&b->ms->hooks);
    unsigned i = client_index(client);
    if (h && h->hook[i].fn && span_union(b, page_span(b, offset, len)) & client)
        h->hook[i].fn(h->hook[i].opaque, b, offset, len);
    publish_read_end(b->ms->publish, t);
}

void mem_pages_stored_slow(RamBlock *b, uint64_t offset, uint64_t len)
{
    span_clear(b, page_span(b, offset, len), PAGE_VGA | PAGE_MIGRATION);
}

static void tell_revoke(MemSystem *ms, PageClient client, uint64_t ram_addr, uint64_t len)
{
    PublishToken t = publish_read_begin(ms->publish);
    ListenerSet *set = atomic_load(&ms->listeners);
    for (unsigned i = 0; set && i < set->n; i++)
        if (set->e[i].l->revoke)
            set->e[i].l->revoke(set->e[i].opaque, client, ram_addr, len);
    publish_read_end(ms->publish, t);
}

void mem_pages_sync(RamBlock *b, uint64_t offset, uint64_t len)
{
    PublishToken t = publish_read_begin(b->ms->publish);
    ListenerSet *set = atomic_load(&b->ms->listeners);
    for (unsigned i = 0; set && i < set->n; i++)
        if (set->e[i].l->sync)
            set->e[i].l->sync(set->e[i].opaque, b, offset, len);
    publish_read_end(b->ms->publish, t);
}

void mem_pages_arm(RamBlock *b, PageClient client, uint64_t offset, uint64_t len)
{
    PageSpan s = page_span(b, offset, len);
    bool news = false;
    for (uint64_t i = 0; i < s.n; i++)
        news |= !(atomic_fetch_or_explicit(&b->flags[s.first + i], (uint8_t)client, memory_order_acq_rel) & client);
    if (news)
        tell_revoke(b->ms, client, b->addr + (s.first << PAGE_BITS), s.n << PAGE_BITS);
}

void mem_pages_disarm(RamBlock *b, PageClient client, uint64_t offset, uint64_t len)
{
    span_clear(b, page_span(b, offset, len), (uint8_t)client);
}

void mem_pages_collect(RamBlock *b, PageClient client, uint64_t offset, uint64_t len,
                       void (*fn)(void *opaque, RamBlock *b, uint64_t offset, uint64_t len), void *opaque)
{
    PageSpan s = page_span(b, offset, len);
    uint64_t i = 0;
    mem_pages_sync(b, offset, len);
    while (i < s.n) {
        uint64_t start = i;
        while (i < s.n && !(atomic_load_explicit(&b->flags[s.first + i], memory_order_acquire) & client))
            i++;
        if (i > start) {
            uint64_t at = (s.first + start) << PAGE_BITS, bytes = (i - start) << PAGE_BITS;
            mem_pages_arm(b, client, at, bytes);
            fn(opaque, b, at, bytes);
        } else {
            i++;
        }
    }
}
