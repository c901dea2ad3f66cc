#include <string.h>
#include <unistd.h>

#include "util/bits.h"
#include "vmm/memory-internal.h"

/*
 * Accesses through views. Every entry is one read-side section: wait-free up to the device's own lock. Values travel as
 * bytes in the order in which the CPU sees them.
 */

static unsigned ops_max(const MmioOps *ops)
{
    return ops->max_size ? ops->max_size : 4;
}

static unsigned ops_min(const MmioOps *ops)
{
    return ops->min_size ? ops->min_size : 1;
}

/* The largest piece that the device takes at @off of @len bytes. */
static inline unsigned piece_size(const MmioOps *ops, uint64_t off, size_t len)
{
    unsigned n = ops_max(ops);
    while (n > len || (!ops->unaligned && off & (n - 1)))
        n >>= 1;
    return n;
}

static void put_value(const MmioOps *ops, uint8_t *buf, unsigned size, uint64_t v)
{
    if (ops->endian == MMIO_LITTLE)
        store_le(buf, size, v);
    else
        for (unsigned i = 0; i < size; i++)
            buf[size - 1 - i] = (uint8_t)(v >> 8 * i);
}

static uint64_t get_value(const MmioOps *ops, const uint8_t *buf, unsigned size)
{
    if (ops->endian == MMIO_LITTLE)
        return load_le(buf, size);
    uint64_t v = 0;
    for (unsigned i = 0; i < size; i++)
        v = v << 8 | buf[i];
    return v;
}

/* A piece narrower than the device's smallest: through the aligned unit around it. Lock held. */
static void narrow_read(MemRegion *mr, uint64_t off, uint8_t *buf, unsigned size)
{
    unsigned min = ops_min(mr->ops);
    uint64_t base = align_down(off, min);
    uint8_t unit[8];
    put_value(mr->ops, unit, min, mr->ops->read(mr->opaque, base, min));
    unsigned at = (unsigned)(off - base);
    for (unsigned i = 0; i < size; i++)
        buf[i] = at + i < min ? unit[at + i] : 0xff;
}

static void narrow_write(MemRegion *mr, uint64_t off, const uint8_t *buf, unsigned size)
{
    unsigned min = ops_min(mr->ops);
    uint64_t base = align_down(off, min);
    uint8_t unit[8] = { 0 };
    unsigned at = (unsigned)(off - base);
    for (unsigned i = 0; i < size && at + i < min; i++)
        unit[at + i] = buf[i];
    mr->ops->write(mr->opaque, base, get_value(mr->ops, unit, min), min);
}

static void mmio_read(MemRegion *mr, uint64_t off, uint8_t *buf, size_t len)
{
    const MmioOps *ops = mr->ops;
    if (!ops->read || !devlock_enter(mr->lock)) {
        memset(buf, 0xff, len);
        return;
    }
    while (len) {
        unsigned n = piece_size(ops, off, len);
        if (n < ops_min(ops))
            narrow_read(mr, off, buf, n);
        else
            put_value(ops, buf, n, ops->read(mr->opaque, off, n));
        off += n;
        buf += n;
        len -= n;
    }
    devlock_leave(mr->lock);
}

/* One call of the device's handler? @sizes: mr->load_sizes or store_sizes. */
static inline bool mmio_plain(const MemRegion *mr, unsigned sizes, uint64_t off, unsigned size)
{
    return sizes & size && !(off & (size - 1) & ~mr->unaligned);
}

/* The common read: as wide as the device takes it. False: it is another one. */
static inline bool mmio_load(MemRegion *mr, uint64_t off, unsigned size, uint64_t *ret)
{
    if (!mmio_plain(mr, mr->load_sizes, off, size) || !devlock_enter_here(mr->lock))
        return false;
    uint64_t v = mr->ops->read(mr->opaque, off, size);
    *ret = size == 8 ? v : v & bits_mask(8 * size);
    devlock_leave_here(mr->lock);
    return true;
}

/* True if a doorbell took the write. */
static bool ring_doorbell(MemRegion *mr, uint64_t off, const uint8_t *buf, size_t len)
{
    DoorbellList *l = atomic_load(&mr->doorbells);
    if (!l || len > 8)
        return false;
    uint64_t val = load_le(buf, (unsigned)len);
    for (unsigned i = 0; i < l->n; i++) {
        const Doorbell *d = &l->d[i];
        if (d->offset != off || (d->size && d->size != len) || (d->match && d->value != val))
            continue;
        uint64_t one = 1;
        if (d->ring)
            d->ring(d->opaque);
        else if (d->fd >= 0 && write(d->fd, &one, sizeof(one)) < 0)
            return true;        /* EAGAIN: the counter is full, so the reader is awake already */
        return true;
    }
    return false;
}

/* The common write, as wide as the device takes it, to a region without doorbells. False: it is another one. */
static inline bool mmio_store(MemRegion *mr, uint64_t off, unsigned size, uint64_t val)
{
    if (atomic_load_explicit(&mr->doorbells, memory_order_relaxed) || !mmio_plain(mr, mr->store_sizes, off, size) || !devlock_enter_here(mr->lock))
        return false;
    mr->ops->write(mr->opaque, off, size == 8 ? val : val & bits_mask(8 * size), size);
    devlock_leave_here(mr->lock);
    return true;
}

static void mmio_write(MemRegion *mr, uint64_t off, const uint8_t *buf, size_t len)
{
    const MmioOps *ops = mr->ops;
    if (ring_doorbell(mr, off, buf, len) || !ops->write || !devlock_enter(mr->lock))
        return;
    while (len) {
        unsigned n = piece_size(ops, off, len);
        if (n < ops_min(ops))
            narrow_write(mr, off, buf, n);
        else
            ops->write(mr->opaque, off, get_value(ops, buf, n), n);
        off += n;
        buf += n;
        len -= n;
    }
    devlock_leave(mr->lock);
}

/* ---- RAM in one piece ---- */

static bool ram_load(const uint8_t *host, unsigned size, uint64_t *ret)
{
    if ((uintptr_t)host & (size - 1))
        return false;
    switch (size) {
    case 1: *ret = __atomic_load_n(host, __ATOMIC_RELAXED); return true;
    case 2: *ret = BITS_LE_(16, __atomic_load_n((const uint16_t *)(const void *)host, __ATOMIC_RELAXED)); return true;
    case 4: *ret = BITS_LE_(32, __atomic_load_n((const uint32_t *)(const void *)host, __ATOMIC_RELAXED)); return true;
    case 8: *ret = BITS_LE_(64, __atomic_load_n((const uint64_t *)(const void *)host, __ATOMIC_RELAXED)); return true;
    default: return false;
    }
}

static bool ram_store(uint8_t *host, unsigned size, uint64_t v)
{
    if ((uintptr_t)host & (size - 1))
        return false;
    switch (size) {
    case 1: __atomic_store_n(host, (uint8_t)v, __ATOMIC_RELAXED); return true;
    case 2: __atomic_store_n((uint16_t *)(void *)host, BITS_LE_(16, (uint16_t)v), __ATOMIC_RELAXED); return true;
    case 4: __atomic_store_n((uint32_t *)(void *)host, BITS_LE_(32, (uint32_t)v), __ATOMIC_RELAXED); return true;
    case 8: __atomic_store_n((uint64_t *)(void *)host, BITS_LE_(64, v), __ATOMIC_RELAXED); return true;
    default: return false;
    }
}

static void ram_write(const FlatRange *r, GuestAddr gpa, const void *buf, size_t len)
{
    uint64_t off = r->offset + (gpa - r->start);
    mem_pages_written(r->ram, off, len);
    memcpy(r->host + (gpa - r->start), buf, len);
    mem_pages_stored(r->ram, off, len);
}

/* Bytes from @gpa that @r answers, at most @len; or the length of the hole in front of the next range if @r is NULL. */
static size_t span_len(const FlatView *v, const FlatRange *r, GuestAddr gpa, size_t len, bool write)
{
    if (r)
        return MIN((uint64_t)len - 1, r->last - gpa) + 1;
    const FlatRange *m = write ? v->wr : v->rd;
    unsigned n = write ? v->n_wr : v->n_rd;
    for (unsigned i = 0; i < n; i++)
        if (m[i].start > gpa)
            return MIN((uint64_t)len, m[i].start - gpa);
    return len;
}

/* @r is what answers the first byte. */
static MemResult view_read_at(const FlatView *v, const FlatRange *r, GuestAddr gpa, uint8_t *buf, size_t len)
{
    MemResult result = MEM_OK;
    for (;;) {
        size_t n = span_len(v, r, gpa, len, false);
        if (!r) {
            memset(buf, 0xff, n);
            result = MEM_DECODE_ERROR;
        } else if (r->ram) {
            memcpy(buf, r->host + (gpa - r->start), n);
        } else {
            mmio_read(r->mr, r->offset + (gpa - r->start), buf, n);
        }
        gpa += n;
        buf += n;
        len -= n;
        if (!len)
            return result;
        r = view_hit(v, gpa, false);
    }
}

static MemResult view_read(const FlatView *v, GuestAddr gpa, uint8_t *buf, size_t len)
{
    return len ? view_read_at(v, view_hit(v, gpa, false), gpa, buf, len) : MEM_OK;
}

static MemResult view_write_at(const FlatView *v, const FlatRange *r, GuestAddr gpa, const uint8_t *buf, size_t len)
{
    MemResult result = MEM_OK;
    for (;;) {
        size_t n = span_len(v, r, gpa, len, true);
        if (!r)
            result = MEM_DECODE_ERROR;
        else if (!r->ram)
            mmio_write(r->mr, r->offset + (gpa - r->start), buf, n);
        else if (!r->readonly)
            ram_write(r, gpa, buf, n);
        gpa += n;
        buf += n;
        len -= n;
        if (!len)
            return result;
        r = view_hit(v, gpa, true);
    }
}

static MemResult view_write(const FlatView *v, GuestAddr gpa, const uint8_t *buf, size_t len)
{
    return len ? view_write_at(v, view_hit(v, gpa, true), gpa, buf, len) : MEM_OK;
}

MemResult as_read(AddressSpace *as, GuestAddr gpa, void *buf, size_t len)
{
    PublishToken t = publish_read_begin(as->ms->publish);
    MemResult r = view_read(as_view(as), gpa, buf, len);
    publish_read_end(as->ms->publish, t);
    return r;
}

MemResult as_write(AddressSpace *as, GuestAddr gpa, const void *buf, size_t len)
{
    PublishToken t = publish_read_begin(as->ms->publish);
    MemResult r = view_write(as_view(as), gpa, buf, len);
    publish_read_end(as->ms->publish, t);
    return r;
}

/* as_view in place: on the way of every device access. */
static inline const FlatView *view_now(AddressSpace *as) { return &atomic_load_explicit(&as->view, memory_order_acquire)->pub; }

static inline MemResult view_load(const FlatView *v, GuestAddr gpa, unsigned size, uint64_t *ret)
{
    const FlatRange *r = view_hit(v, gpa, false);
    if (!r && size == 1) {
        *ret = 0xff;
        return MEM_DECODE_ERROR;
    }
    if (r && r->last - gpa >= size - 1 &&
        (r->ram ? ram_load(r->host + (gpa - r->start), size, ret) : mmio_load(r->mr, r->offset + (gpa - r->start), size, ret)))
        return MEM_OK;
    uint8_t buf[8];
    MemResult result = view_read_at(v, r, gpa, buf, size);
    *ret = load_le(buf, size);
    return result;
}

MemResult as_load(AddressSpace *as, GuestAddr gpa, unsigned size, uint64_t *ret)
{
    PublishToken t = publish_read_begin(as->ms->publish);
    MemResult result = view_load(view_now(as), gpa, size, ret);
    publish_read_end(as->ms->publish, t);
    return result;
}

MemResult as_vcpu_load(AddressSpace *as, GuestAddr gpa, unsigned size, uint64_t *ret)
{
    return view_load(view_now(as), gpa, size, ret);
}

/* Store in one piece if @r is aligned RAM. */
static bool range_store(const FlatRange *r, GuestAddr gpa, unsigned size, uint64_t val)
{
    if (!r || r->last - gpa < size - 1 || !r->ram || r->readonly || ((uintptr_t)(r->host + (gpa - r->start)) & (size - 1)))
        return false;
    uint64_t off = r->offset + (gpa - r->start);
    mem_pages_written(r->ram, off, size);
    bool done = ram_store(r->host + (gpa - r->start), size, val);
    mem_pages_stored(r->ram, off, size);
    return done;
}

MemResult as_store(AddressSpace *as, GuestAddr gpa, unsigned size, uint64_t val)
{
    PublishToken t = publish_read_begin(as->ms->publish);
    const FlatView *v = as_view(as);
    MemResult result = MEM_OK;
    const FlatRange *r = view_hit(v, gpa, true);
    if (!range_store(r, gpa, size, val)) {
        uint8_t buf[8];
        store_le(buf, size, val);
        result = view_write_at(v, r, gpa, buf, size);
    }
    publish_read_end(as->ms->publish, t);
    return result;
}

/* Doorbells come and go at any time. */
MemResult as_vcpu_store(AddressSpace *as, GuestAddr gpa, unsigned size, uint64_t val)
{
    const FlatRange *r = view_hit(view_now(as), gpa, true);
    if (r && !r->ram && r->last - gpa >= size - 1 && mmio_store(r->mr, r->offset + (gpa - r->start), size, val))
        return MEM_OK;
    return as_store(as, gpa, size, val);
}

bool as_vcpu_translate(AddressSpace *as, GuestAddr gpa, bool write, MemMap *ret)
{
    const FlatRange *r = view_hit(view_now(as), gpa, write);
    if (!r || !r->ram)
        return false;
    uint64_t off = r->offset + (gpa - r->start);
    *ret = (MemMap){ .host = r->host + (gpa - r->start), .len = r->last - gpa + 1, .ram_addr = r->ram->addr + off,
                     .flags = &r->ram->flags[off >> PAGE_BITS], .ram = r->ram, .readonly = r->readonly || (!write && r->split) };
    return true;
}

bool as_translate(AddressSpace *as, GuestAddr gpa, bool write, MemMap *ret)
{
    PublishToken t = publish_read_begin(as->ms->publish);
    bool ok = as_vcpu_translate(as, gpa, write, ret);
    publish_read_end(as->ms->publish, t);
    return ok;
}

/* ---- DMA ---- */

typedef enum DmaDir { DMA_READ, DMA_WRITE } DmaDir;

/* The RAM range at @gpa that DMA may use, or an error. */
static MemResult dma_range(const FlatView *v, GuestAddr gpa, DmaDir dir, const FlatRange **ret)
{
    const FlatRange *r = view_hit(v, gpa, dir == DMA_WRITE);
    if (!r)
        return MEM_DECODE_ERROR;
    if (!r->ram || (dir == DMA_WRITE && r->readonly))
        return MEM_ACCESS_ERROR;
    *ret = r;
    return MEM_OK;
}

MemResult as_dma_read(AddressSpace *as, GuestAddr gpa, void *buf, size_t len)
{
    uint8_t *p = buf;
    const FlatRange *r;
    MemResult result = MEM_OK;
    PublishToken t = publish_read_begin(as->ms->publish);
    const FlatView *v = as_view(as);
    while (len && (result = dma_range(v, gpa, DMA_READ, &r)) == MEM_OK) {
        size_t n = MIN((uint64_t)len - 1, r->last - gpa) + 1;
        memcpy(p, r->host + (gpa - r->start), n);
        gpa += n;
        p += n;
        len -= n;
    }
    publish_read_end(as->ms->publish, t);
    return result;
}

MemResult as_dma_write(AddressSpace *as, GuestAddr gpa, const void *buf, size_t len)
{
    const uint8_t *p = buf;
    const FlatRange *r;
    MemResult result = MEM_OK;
    PublishToken t = publish_read_begin(as->ms->publish);
    const FlatView *v = as_view(as);
    while (len && (result = dma_range(v, gpa, DMA_WRITE, &r)) == MEM_OK) {
        size_t n = MIN((uint64_t)len - 1, r->last - gpa) + 1;
        ram_write(r, gpa, p, n);
        gpa += n;
        p += n;
        len -= n;
    }
    publish_read_end(as->ms->publish, t);
    return result;
}

MemResult as_dma_load(AddressSpace *as, GuestAddr gpa, unsigned size, uint64_t *ret)
{
    PublishToken t = publish_read_begin(as->ms->publish);
    const FlatRange *r;
    MemResult result = dma_range(as_view(as), gpa, DMA_READ, &r);
    bool done = result == MEM_OK && r->last - gpa >= size - 1 && ram_load(r->host + (gpa - r->start), size, ret);
    publish_read_end(as->ms->publish, t);
    if (done || result != MEM_OK)
        return result;
    uint8_t buf[8];
    result = as_dma_read(as, gpa, buf, size);
    if (result == MEM_OK)
        *ret = load_le(buf, size);
    return result;
}

MemResult as_dma_store(AddressSpace *as, GuestAddr gpa, unsigned size, uint64_t val)
{
    PublishToken t = publish_read_begin(as->ms->publish);
    const FlatRange *r = NULL;
    MemResult result = dma_range(as_view(as), gpa, DMA_WRITE, &r);
    bool done = result == MEM_OK && range_store(r, gpa, size, val);
    publish_read_end(as->ms->publish, t);
    if (done || result != MEM_OK)
        return result;
    uint8_t buf[8];
    store_le(buf, size, val);
    return as_dma_write(as, gpa, buf, size);
}

MemResult as_dma_map(AddressSpace *as, GuestAddr gpa, uint64_t len, bool write, DmaMap *ret)
{
    const FlatRange *r;
    PublishToken t = publish_read_begin(as->ms->publish);
    MemResult result = len ? dma_range(as_view(as), gpa, write ? DMA_WRITE : DMA_READ, &r) : MEM_ACCESS_ERROR;
    if (result == MEM_OK) {
        uint64_t off = r->offset + (gpa - r->start), n = MIN(len - 1, r->last - gpa) + 1;
        *ret = (DmaMap){ .host = r->host + (gpa - r->start), .len = n, .ram = ram_block_ref(r->ram), .offset = off, .write = write };
        /* Code in these pages is dropped before the device writes; trackers are told at unmap. */
        if (write)
            mem_pages_written(r->ram, off, n);
    }
    publish_read_end(as->ms->publish, t);
    return result;
}

void as_dma_unmap(DmaMap *map, uint64_t written)
{
    if (!map->ram)
        return;
    /* Pages may have been armed while the device wrote: full treatment once more, CODE included. */
    if (map->write && written) {
        mem_pages_written(map->ram, map->offset, MIN(written, map->len));
        mem_pages_stored(map->ram, map->offset, MIN(written, map->len));
    }
    ram_block_unref(map->ram);
    *map = (DmaMap){ 0 };
}
