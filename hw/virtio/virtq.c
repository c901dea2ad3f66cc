/* Virtqueues: mapping of chains, split rings (virtio 1.2, 2.6 and 2.7). */
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "hw/virtio/virtio-internal.h"
#include "hw/virtio/virtio.h"
#include "util/bits.h"

/* ---- doorbells ---- */

int eventfd_make(void)
{
    return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

void eventfd_drain(int fd)
{
    uint64_t n;
    while (read(fd, &n, sizeof(n)) == sizeof(n)) { }
}

void eventfd_ring(int fd)
{
    uint64_t one = 1;
    /* EAGAIN: the counter is full, so it has been rung already. */
    if (write(fd, &one, sizeof(one)) < 0)
        return;
}

void eventfd_close(int fd)
{
    if (fd >= 0)
        close(fd);
}

void virtq_ring(void *opaque)
{
    VirtQueue *vq = opaque;
    DevLock *lock = vq->v->dev.lock;
    if (!devlock_enter(lock))
        return;
    virtio_kick(vq->v, vq->index);
    devlock_leave(lock);
}

/* ---- ring memory ---- */

struct VirtioScratch *virtio_scratch_new(void)
{
    return g_new0(struct VirtioScratch, 1);
}

bool virtq_is_packed(const VirtQueue *vq)
{
    return virtio_has(vq->v, VIRTIO_F_RING_PACKED);
}

bool virtq_usable(const VirtQueue *vq)
{
    return vq->ready && virtio_running(vq->v) && vq->v->transport->dma_allowed(vq->v);
}

uint64_t virtq_load(VirtQueue *vq, uint64_t addr, unsigned size)
{
    uint64_t val = 0;
    if (as_dma_load(vq->v->dev.dma, addr, size, &val) == MEM_OK)
        return val;
    virtio_broken(vq->v, "virtqueue %u: ring address %#" G_GINT64_MODIFIER "x is not RAM", vq->index, addr);
    return 0;
}

void virtq_store(VirtQueue *vq, uint64_t addr, unsigned size, uint64_t val)
{
    if (as_dma_store(vq->v->dev.dma, addr, size, val) != MEM_OK)
        virtio_broken(vq->v, "virtqueue %u: ring address %#" G_GINT64_MODIFIER "x is not RAM", vq->index, addr);
}

void virtq_le_desc(VirtqDesc *d)
{
    d->addr = BITS_LE_(64, d->addr);
    d->len = BITS_LE_(32, d->len);
    d->flags = BITS_LE_(16, d->flags);
    d->next = BITS_LE_(16, d->next);
}

bool virtq_size_ok(const VirtQueue *vq, unsigned num)
{
    return num <= vq->num_max && (num == 0 || is_pow2(num) || virtq_is_packed(vq));
}

/* Positions of packed rings are slots; in split rings any 16-bit value is one. */
bool virtq_position_ok(const VirtQueue *vq)
{
    if (!vq->ready)
        return true;
    return vq->num > 0 && (!virtq_is_packed(vq) || (vq->last_avail < vq->num && vq->used_idx < vq->num));
}

bool virtq_enable(VirtQueue *vq)
{
    if (vq->num == 0 || !virtq_size_ok(vq, vq->num)) {
        virtio_broken(vq->v, "virtqueue %u: size %u is not allowed", vq->index, vq->num);
        return false;
    }
    unsigned align = virtq_is_packed(vq) ? 4 : 2;
    if (vq->desc & 15 || vq->avail & (align - 1) || vq->used & 3) {
        virtio_broken(vq->v, "virtqueue %u: misaligned ring", vq->index);
        return false;
    }
    vq->last_avail = vq->used_idx = vq->signalled_used = 0;
    vq->signalled_valid = false;
    vq->avail_wrap = vq->used_wrap = true;
    vq->notify_off = false;
    vq->ready = true;
    return true;
}

void virtq_reset(VirtQueue *vq)
{
    vq->generation++;
    vq->num = vq->num_max;
    vq->ready = false;
    vq->desc = vq->avail = vq->used = 0;
    vq->vector = VIRTIO_NO_VECTOR;
    vq->last_avail = vq->used_idx = vq->signalled_used = 0;
    vq->signalled_valid = vq->notify_off = false;
    vq->avail_wrap = vq->used_wrap = true;
}

/* ---- mapping ---- */

static void unmap_all(DmaMap *maps, unsigned n_out, unsigned n, uint64_t written)
{
    for (unsigned i = 0; i < n; i++) {
        uint64_t part = i < n_out ? 0 : MIN(written, maps[i].len);
        written -= part;
        as_dma_unmap(&maps[i], part);
    }
}

static void scratch_clear(struct VirtioScratch *s)
{
    s->n = s->n_out = 0;
    s->out_len = s->in_len = 0;
}

static void scratch_drop(struct VirtioScratch *s)
{
    unmap_all(s->map, s->n_out, s->n, 0);
    scratch_clear(s);
}

bool virtq_map_desc(VirtQueue *vq, const VirtqDesc *d)
{
    struct VirtioScratch *s = vq->v->scratch;
    bool in = d->flags & VRING_DESC_F_WRITE;
    uint64_t addr = d->addr, left = d->len;
    if (!in && s->n > s->n_out) {
        virtio_broken(vq->v, "virtqueue %u: a readable buffer after a writable one", vq->index);
        return false;
    }
    if (addr + left < addr) {
        virtio_broken(vq->v, "virtqueue %u: a buffer wraps around", vq->index);
        return false;
    }
    while (left) {
        DmaMap *m = &s->map[s->n];
        if (s->n == VIRTQ_MAX_SEGS || as_dma_map(vq->v->dev.dma, addr, left, in, m) != MEM_OK) {
            virtio_broken(vq->v, "virtqueue %u: buffer %#" G_GINT64_MODIFIER "x+%#x is not RAM or in too many pieces", vq->index, d->addr, d->len);
            return false;
        }
        s->iov[s->n] = (struct iovec){ .iov_base = m->host, .iov_len = m->len };
        s->n++;
        addr += m->len;
        left -= m->len;
    }
    if (in) {
        s->in_len += d->len;
    } else {
        s->out_len += d->len;
        s->n_out = s->n;
    }
    return true;
}

unsigned virtq_read_indirect(VirtQueue *vq, uint64_t addr, uint32_t len)
{
    struct VirtioScratch *s = vq->v->scratch;
    if (len == 0 || len % sizeof(VirtqDesc) || len / sizeof(VirtqDesc) > VIRTQ_MAX_NUM) {
        virtio_broken(vq->v, "virtqueue %u: indirect table of %u bytes", vq->index, len);
        return 0;
    }
    if (!virtio_has(vq->v, VIRTIO_RING_F_INDIRECT_DESC) || as_dma_read(vq->v->dev.dma, addr, s->desc, len) != MEM_OK) {
        virtio_broken(vq->v, "virtqueue %u: indirect table not negotiated or not in RAM", vq->index);
        return 0;
    }
    unsigned n = len / sizeof(VirtqDesc);
    for (unsigned i = 0; i < n; i++)
        virtq_le_desc(&s->desc[i]);
    return n;
}

/* ---- split rings ---- */

static bool read_desc(VirtQueue *vq, unsigned i, VirtqDesc *ret)
{
    if (as_dma_read(vq->v->dev.dma, vq->desc + i * sizeof(*ret), ret, sizeof(*ret)) != MEM_OK) {
        virtio_broken(vq->v, "virtqueue %u: descriptor table is not RAM", vq->index);
        return false;
    }
    virtq_le_desc(ret);
    return true;
}

static bool gather_indirect(VirtQueue *vq, const VirtqDesc *d)
{
    const VirtqDesc *table = vq->v->scratch->desc;
    unsigned n = d->flags & VRING_DESC_F_NEXT ? 0 : virtq_read_indirect(vq, d->addr, d->len);
    unsigned i = 0;
    /* A chain through the table cannot be longer than the table: everything beyond is a loop. */
    for (unsigned taken = 0; taken < n; taken++) {
        if (table[i].flags & VRING_DESC_F_INDIRECT || !virtq_map_desc(vq, &table[i]))
            break;
        if (!(table[i].flags & VRING_DESC_F_NEXT))
            return true;
        i = table[i].next;
        if (i >= n)
            break;
    }
    virtio_broken(vq->v, "virtqueue %u: bad indirect descriptor", vq->index);
    return false;
}

static bool split_gather(VirtQueue *vq, uint16_t head)
{
    unsigned i = head;
    for (unsigned taken = 0; taken < vq->num && i < vq->num; taken++) {
        VirtqDesc d;
        if (!read_desc(vq, i, &d))
            return false;
        if (d.flags & VRING_DESC_F_INDIRECT)
            return gather_indirect(vq, &d);
        if (!virtq_map_desc(vq, &d))
            return false;
        if (!(d.flags & VRING_DESC_F_NEXT))
            return true;
        i = d.next;
    }
    virtio_broken(vq->v, "virtqueue %u: descriptor chain from %u loops or leaves the table", vq->index, head);
    return false;
}

static uint16_t split_avail_idx(VirtQueue *vq)
{
    uint16_t idx = (uint16_t)virtq_load(vq, vq->avail + 2, 2);
    if ((uint16_t)(idx - vq->last_avail) > vq->num)
        virtio_broken(vq->v, "virtqueue %u: available index %u is more than a ring ahead of %u", vq->index, idx, vq->last_avail);
    return vq->v->broken ? vq->last_avail : idx;
}

bool virtq_empty(VirtQueue *vq)
{
    if (!virtq_usable(vq))
        return true;
    return virtq_is_packed(vq) ? virtq_packed_empty(vq) : split_avail_idx(vq) == vq->last_avail;
}

/* ---- elements ---- */

/* Move the scratch's chain into a new element. */
static void *elem_new(VirtQueue *vq, size_t size)
{
    struct VirtioScratch *s = vq->v->scratch;
    size_t head = align_up(size, 16), maps = s->n * sizeof(DmaMap), iov = s->n * sizeof(struct iovec);
    VirtqElem *e = g_malloc(head + maps + iov);
    memset(e, 0, size);
    e->vq = vq;
    e->generation = vq->generation;
    e->maps = (DmaMap *)((char *)e + head);
    e->out = (struct iovec *)((char *)e->maps + maps);
    memcpy(e->maps, s->map, maps);
    memcpy(e->out, s->iov, iov);
    e->n_maps = s->n;
    e->n_maps_out = e->n_out = s->n_out;
    e->in = e->out + s->n_out;
    e->n_in = s->n - s->n_out;
    e->out_len = s->out_len;
    e->in_len = s->in_len;
    scratch_clear(s);
    return e;
}

/* The chain at ring position @pos; split rings: starting at @head. */
static void *take(VirtQueue *vq, size_t size, uint16_t head, uint16_t pos, bool wrap)
{
    uint16_t slots = 1;
    scratch_clear(vq->v->scratch);
    bool ok = virtq_is_packed(vq) ? virtq_packed_gather(vq, pos, wrap, &head, &slots) : split_gather(vq, head);
    if (!ok || vq->v->broken) {
        scratch_drop(vq->v->scratch);
        return NULL;
    }
    VirtqElem *e = elem_new(vq, size);
    e->head = head;
    e->slots = slots;
    e->pos = pos;
    e->pos_wrap = wrap;
    return e;
}

static void advance_packed(uint16_t *pos, bool *wrap, uint16_t by, uint16_t num)
{
    unsigned next = *pos + by;
    *pos = (uint16_t)(next >= num ? next - num : next);
    *wrap ^= next >= num;
}

void *virtq_pop(VirtQueue *vq, size_t size)
{
    if (virtq_empty(vq))
        return NULL;
    /* The index was read before the entry it covers. */
    atomic_thread_fence(memory_order_acquire);
    if (virtq_is_packed(vq)) {
        VirtqElem *e = take(vq, size, 0, vq->last_avail, vq->avail_wrap);
        if (e)
            advance_packed(&vq->last_avail, &vq->avail_wrap, e->slots, vq->num);
        return e;
    }
    uint16_t head = (uint16_t)virtq_load(vq, vq->avail + 4 + 2 * (uint64_t)(vq->last_avail & (vq->num - 1)), 2);
    void *e = take(vq, size, head, vq->last_avail, false);
    if (e)
        vq->last_avail++;
    return e;
}

void *virtq_retake(VirtQueue *vq, size_t size, uint16_t head, uint16_t pos, bool wrap)
{
    if (!virtq_usable(vq) || (virtq_is_packed(vq) && pos >= vq->num))
        return NULL;
    return take(vq, size, head, pos, wrap);
}

void virtq_drop(VirtqElem *e, uint64_t written)
{
    unmap_all(e->maps, e->n_maps_out, e->n_maps, written);
    e->n_maps = 0;
}

void virtq_unpop(VirtqElem *e)
{
    VirtQueue *vq = e->vq;
    virtq_drop(e, 0);
    if (e->generation != vq->generation)
        return;
    vq->last_avail = e->pos;
    vq->avail_wrap = virtq_is_packed(vq) ? e->pos_wrap : vq->avail_wrap;
}

/* The first one's flags last: the driver looks at the slots in order. */
static void push_packed(VirtQueue *vq, VirtqElem *const *e, const uint64_t *written, unsigned n)
{
    uint16_t first = vq->used_idx;
    bool first_wrap = vq->used_wrap;
    for (unsigned i = 0; i < n; i++) {
        uint32_t len = (uint32_t)MIN(written[i], UINT32_MAX);
        virtq_packed_fill(vq, vq->used_idx, e[i]->head, len);
        atomic_thread_fence(memory_order_release);
        if (i)
            virtq_packed_publish(vq, vq->used_idx, vq->used_wrap, len);
        advance_packed(&vq->used_idx, &vq->used_wrap, e[i]->slots, vq->num);
    }
    atomic_thread_fence(memory_order_release);
    virtq_packed_publish(vq, first, first_wrap, (uint32_t)MIN(written[0], UINT32_MAX));
}

static void push_split(VirtQueue *vq, VirtqElem *const *e, const uint64_t *written, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        uint64_t slot = vq->used + 4 + 8 * (uint64_t)(vq->used_idx & (vq->num - 1));
        virtq_store(vq, slot, 4, e[i]->head);
        virtq_store(vq, slot + 4, 4, MIN(written[i], UINT32_MAX));
        vq->used_idx++;
    }
    atomic_thread_fence(memory_order_release);
    virtq_store(vq, vq->used + 2, 2, vq->used_idx);
}

void virtq_push_many(VirtqElem *const *e, const uint64_t *written, unsigned n)
{
    VirtQueue *vq = e[0]->vq;
    for (unsigned i = 0; i < n; i++)
        virtq_drop(e[i], written[i]);
    if (e[0]->generation != vq->generation || !virtq_usable(vq))
        return;
    if (virtq_is_packed(vq))
        push_packed(vq, e, written, n);
    else
        push_split(vq, e, written, n);
}

void virtq_push(VirtqElem *e, uint64_t written)
{
    virtq_push_many(&e, &written, 1);
}

bool virtq_budget(VirtQueue *vq, unsigned *count)
{
    if (vq->event_fd < 0 || (*count)++ < 2u * vq->num)
        return true;
    eventfd_ring(vq->event_fd);
    return false;
}

void virtq_free(VirtqElem *e)
{
    g_assert(!e || e->n_maps == 0);
    g_free(e);
}

/* ---- notifications (2.7.7, 2.7.10) ---- */

static bool split_want_interrupt(VirtQueue *vq)
{
    VirtioDevice *v = vq->v;
    if (virtio_has(v, VIRTIO_F_NOTIFY_ON_EMPTY) && !virtio_has(v, VIRTIO_F_VERSION_1) && split_avail_idx(vq) == vq->last_avail)
        return true;
    if (!virtio_has(v, VIRTIO_RING_F_EVENT_IDX))
        return !(virtq_load(vq, vq->avail, 2) & VRING_AVAIL_F_NO_INTERRUPT);
    uint16_t old = vq->signalled_used, now = vq->used_idx;
    bool valid = vq->signalled_valid;
    vq->signalled_used = now;
    vq->signalled_valid = true;
    uint16_t event = (uint16_t)virtq_load(vq, vq->avail + 4 + 2 * (uint64_t)vq->num, 2);
    return !valid || vring_need_event(event, now, old);
}

void virtq_notify(VirtQueue *vq)
{
    if (!virtq_usable(vq))
        return;
    /* What was pushed must be visible before we read whether the driver wants to know. */
    atomic_thread_fence(memory_order_seq_cst);
    bool want = virtq_is_packed(vq) ? virtq_packed_want_interrupt(vq) : split_want_interrupt(vq);
    if (want)
        vq->v->transport->notify(vq->v, vq->vector, false);
}

void virtq_set_notification(VirtQueue *vq, bool on)
{
    if (!virtq_usable(vq))
        return;
    if (virtq_is_packed(vq)) {
        virtq_packed_set_notification(vq, on);
    } else if (!virtio_has(vq->v, VIRTIO_RING_F_EVENT_IDX)) {
        if (vq->notify_off != !on)
            virtq_store(vq, vq->used, 2, on ? 0 : VRING_USED_F_NO_NOTIFY);
    } else if (on) {
        /* Off needs nothing: an event index that has been passed does not come again for 2^16 buffers. */
        virtq_store(vq, vq->used + 4 + 8 * (uint64_t)vq->num, 2, vq->last_avail);
    }
    vq->notify_off = !on;
    if (on)
        atomic_thread_fence(memory_order_seq_cst);
}

/* ---- iovecs ---- */

static size_t iov_copy(const struct iovec *iov, unsigned n, uint64_t off, void *buf, size_t len, bool to_iov)
{
    size_t done = 0;
    for (unsigned i = 0; i < n && done < len; i++) {
        if (off >= iov[i].iov_len) {
            off -= iov[i].iov_len;
            continue;
        }
        size_t part = MIN(len - done, iov[i].iov_len - off);
        char *p = (char *)iov[i].iov_base + off, *q = (char *)buf + done;
        if (to_iov)
            memcpy(p, q, part);
        else
            memcpy(q, p, part);
        done += part;
        off = 0;
    }
    return done;
}

size_t iov_read(const struct iovec *iov, unsigned n, uint64_t off, void *buf, size_t len)
{
    return iov_copy(iov, n, off, buf, len, false);
}

size_t iov_write(const struct iovec *iov, unsigned n, uint64_t off, const void *buf, size_t len)
{
    return iov_copy(iov, n, off, (void *)buf, len, true);
}

unsigned iov_skip(struct iovec *iov, unsigned n, uint64_t len)
{
    unsigned i = 0;
    while (i < n && len >= iov[i].iov_len)
        len -= iov[i++].iov_len;
    memmove(iov, iov + i, (n - i) * sizeof(*iov));
    if (i < n) {
        iov[0].iov_base = (char *)iov[0].iov_base + len;
        iov[0].iov_len -= len;
    }
    return n - i;
}

unsigned iov_clip(struct iovec *iov, unsigned n, uint64_t len)
{
    unsigned i = 0;
    for (; i < n && len; i++) {
        iov[i].iov_len = MIN(iov[i].iov_len, len);
        len -= iov[i].iov_len;
    }
    return i;
}
