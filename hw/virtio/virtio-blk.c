/*
 * Virtio block device (virtio 1.2, 5.2).
 *
 * A request goes to the block layer as it came; it completes on the device's loop, where the lock is taken again. Errors follow
 * rerror= and werror=: "stop" parks the request, tells the machine, and tries again when the machine goes on.
 */
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <string.h>

#include "block/block.h"
#include "hw/virtio/virtio-mmio.h"
#include "hw/virtio/virtio-pci.h"
#include "util/bits.h"
#include "vmm/machine.h"

enum { SECTOR = 512, HDR = 16, SEGMENT = 16, MAX_SEGMENTS = 256, MAX_PARKED = 4096 };
/* Largest discard or zero request: 4 GiB less a bit, as much as its 32-bit sector count and our accounting like. */
#define MAX_DISCARD_SECTORS (INT32_MAX / SECTOR * SECTOR / SECTOR)

typedef struct BlkReq BlkReq;

typedef struct VirtioBlk {
    VirtioDevice v;             /* must be first */
    BlockNode *node;
    char *serial;
    char *rerror_opt, *werror_opt;
    uint32_t n_queues, queue_size, logical, physical;
    bool wcache_opt, discard_opt, zeroes_opt;
    int32_t bootindex;
    BlockOnError rerror, werror;
    unsigned in_flight;         /* submitted to the block layer, stale ones included */
    unsigned stale;             /* of these, from before a reset */
    BlkReq *parked;             /* list in order */
    bool wce;                   /* saved: write cache on */
    uint8_t *parked_buf;        /* saved form of the list: 6 bytes each */
    uint32_t parked_len;
    bool loaded;                /* parked_buf came from a snapshot and is not yet a list */
} VirtioBlk;

struct BlkReq {
    VirtqElem elem;             /* must be first */
    VirtioBlk *s;
    BlockReq br;
    BlkReq *next;
    uint32_t type;
    uint64_t sector;
    struct iovec status;        /* the last byte of the writable part */
    uint64_t in_len;            /* data bytes without the status */
    uint32_t seg, n_segs;       /* discard, write zeroes */
    uint8_t *segs;
};

static VirtioBlk *blk(VirtioDevice *v)
{
    return (VirtioBlk *)v;
}

/* ---- completion; lock held ---- */

static void req_free(BlkReq *r)
{
    g_free(r->segs);
    virtq_free(&r->elem);
}

static void req_finish(BlkReq *r, uint8_t status, uint64_t data_written)
{
    VirtQueue *vq = r->elem.vq;
    uint64_t written = data_written;
    if (r->status.iov_len) {
        *(uint8_t *)r->status.iov_base = status;
        written = r->in_len + 1;        /* the status is the last byte, so all of it counts as written */
    }
    virtq_push(&r->elem, written);
    virtq_notify(vq);
    req_free(r);
}

/* The writable part's bytes that a read or id request left untouched must not look like data. */
static void zero_in(BlkReq *r)
{
    for (unsigned i = 0; i < r->elem.n_in; i++)
        memset(r->elem.in[i].iov_base, 0, r->elem.in[i].iov_len);
}

static void req_fail(BlkReq *r, uint8_t status)
{
    zero_in(r);
    req_finish(r, status, 0);
}

static bool is_read(const BlkReq *r)
{
    return r->type == VIRTIO_BLK_T_IN;
}

static bool park(BlkReq *r, int ret)
{
    VirtioBlk *s = r->s;
    BlockOnError what = is_read(r) ? s->rerror : s->werror;
    if (what != BLOCK_ON_ERROR_STOP && !(what == BLOCK_ON_ERROR_ENOSPC && ret == -ENOSPC))
        return false;
    BlkReq **p = &s->parked;
    while (*p)
        p = &(*p)->next;
    r->next = NULL;
    *p = r;
    machine_io_error(s->v.dev.bus->machine, s->v.dev.id);
    return true;
}

static void submit_segment(BlkReq *r);
static void submit(BlkReq *r);

static void req_completed(BlkReq *r, int ret)
{
    VirtioBlk *s = r->s;
    if (r->elem.generation != r->elem.vq->generation) {
        s->stale--;
        virtq_drop(&r->elem, ret == 0 && is_read(r) ? r->in_len : 0);
        req_free(r);
        return;
    }
    if (ret < 0 && ret != -ENOTSUP && park(r, ret))
        return;
    if (ret < 0 && (is_read(r) ? s->rerror : s->werror) != BLOCK_ON_ERROR_IGNORE) {
        req_fail(r, ret == -ENOTSUP ? VIRTIO_BLK_S_UNSUPP : VIRTIO_BLK_S_IOERR);
        return;
    }
    if (r->segs && ++r->seg < r->n_segs)
        submit_segment(r);
    else
        req_finish(r, VIRTIO_BLK_S_OK, r->in_len);
}

/* On the device's loop, no lock held. */
static void block_done(BlockReq *br, int ret)
{
    BlkReq *r = br->opaque;
    VirtioBlk *s = r->s;
    DevLock *lock = devlock_ref(s->v.dev.lock);
    if (devlock_enter(lock)) {
        s->in_flight--;
        req_completed(r, ret);
        devlock_leave(lock);
    } else {
        /* Unrealized: nobody looks at the rings any more. */
        s->in_flight--;
        virtq_drop(&r->elem, ret == 0 && is_read(r) ? r->in_len : 0);
        req_free(r);
    }
    devlock_unref(lock);
}

/* ---- submission; lock held ---- */

static void hand_over(BlkReq *r, BlockOp op, uint64_t offset, uint64_t len, unsigned flags)
{
    VirtioBlk *s = r->s;
    r->br.op = op;
    r->br.flags = flags;
    r->br.offset = offset;
    r->br.len = len;
    r->br.done = block_done;
    r->br.opaque = r;
    r->br.loop = s->v.dev.loop;
    s->in_flight++;
    block_submit(s->node, &r->br);
}

static bool range_ok(const VirtioBlk *s, uint64_t sector, uint64_t len)
{
    return sector <= UINT64_MAX / SECTOR && len % s->logical == 0 && sector * SECTOR % s->logical == 0 &&
           range_inside(sector * SECTOR, len, block_length(s->node) / SECTOR * SECTOR);
}

static void submit_segment(BlkReq *r)
{
    const uint8_t *seg = r->segs + (size_t)r->seg * SEGMENT;
    uint64_t sector = load_le64(seg), len = (uint64_t)load_le32(seg + 8) * SECTOR;
    uint32_t flags = load_le32(seg + 12);
    bool zeroes = r->type == VIRTIO_BLK_T_WRITE_ZEROES;
    if (flags & ~(zeroes ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0u)) {
        req_fail(r, VIRTIO_BLK_S_UNSUPP);
        return;
    }
    if (!range_ok(r->s, sector, len) || len / SECTOR > MAX_DISCARD_SECTORS) {
        req_fail(r, VIRTIO_BLK_S_IOERR);
        return;
    }
    unsigned fua = r->s->wce ? 0 : BLOCK_REQ_FUA;
    if (zeroes)
        hand_over(r, BLOCK_WRITE_ZEROES, sector * SECTOR, len, fua | (flags ? BLOCK_REQ_MAY_UNMAP : 0));
    else
        hand_over(r, BLOCK_DISCARD, sector * SECTOR, len, 0);
}

static void submit_segments(BlkReq *r)
{
    uint64_t len = r->elem.out_len - HDR;
    uint64_t bit = r->type == VIRTIO_BLK_T_DISCARD ? VIRTIO_BLK_F_DISCARD : VIRTIO_BLK_F_WRITE_ZEROES;
    if (!virtio_has(&r->s->v, (unsigned)bit) || block_read_only(r->s->node)) {
        req_fail(r, block_read_only(r->s->node) ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_UNSUPP);
        return;
    }
    if (len == 0 || len % SEGMENT || len / SEGMENT > MAX_SEGMENTS) {
        req_fail(r, VIRTIO_BLK_S_UNSUPP);
        return;
    }
    if (!r->segs) {
        r->n_segs = (uint32_t)(len / SEGMENT);
        r->segs = g_malloc(len);
        iov_read(r->elem.out, r->elem.n_out, 0, r->segs, len);
    }
    submit_segment(r);
}

static void submit_data(BlkReq *r)
{
    VirtioBlk *s = r->s;
    bool read = is_read(r);
    uint64_t len = read ? r->in_len : r->elem.out_len - HDR;
    if (!range_ok(s, r->sector, len) || (!read && block_read_only(s->node))) {
        req_fail(r, VIRTIO_BLK_S_IOERR);
        return;
    }
    r->br.iov = read ? r->elem.in : r->elem.out;
    r->br.niov = read ? r->elem.n_in : r->elem.n_out;
    hand_over(r, read ? BLOCK_READ : BLOCK_WRITE, r->sector * SECTOR, len, read || s->wce ? 0 : BLOCK_REQ_FUA);
}

static void get_id(BlkReq *r)
{
    char id[VIRTIO_BLK_ID_BYTES] = { 0 };
    if (r->s->serial)
        memcpy(id, r->s->serial, MIN(strlen(r->s->serial), sizeof(id)));
    zero_in(r);
    iov_write(r->elem.in, r->elem.n_in, 0, id, sizeof(id));
    req_finish(r, VIRTIO_BLK_S_OK, MIN(r->in_len, sizeof(id)));
}

static void submit(BlkReq *r)
{
    switch (r->type) {
    case VIRTIO_BLK_T_IN:
    case VIRTIO_BLK_T_OUT:
        submit_data(r);
        break;
    case VIRTIO_BLK_T_FLUSH:
        hand_over(r, BLOCK_FLUSH, 0, 0, 0);
        break;
    case VIRTIO_BLK_T_GET_ID:
        get_id(r);
        break;
    case VIRTIO_BLK_T_DISCARD:
    case VIRTIO_BLK_T_WRITE_ZEROES:
        submit_segments(r);
        break;
    default:
        req_fail(r, VIRTIO_BLK_S_UNSUPP);
        break;
    }
}

/* Header and status byte may lie anywhere in the chain (ANY_LAYOUT, 5.2.6). False and broken if they are missing. */
static bool parse(VirtioBlk *s, BlkReq *r)
{
    VirtqElem *e = &r->elem;
    uint8_t hdr[HDR];
    if (e->out_len < HDR || e->in_len < 1 || iov_read(e->out, e->n_out, 0, hdr, HDR) != HDR) {
        virtio_broken(&s->v, "block request without header or status byte");
        return false;
    }
    r->s = s;
    r->type = load_le32(hdr) & ~0x80000000u;    /* the legacy barrier bit, never offered */
    r->sector = load_le64(hdr + 8);
    e->n_out = iov_skip(e->out, e->n_out, HDR);
    r->in_len = e->in_len - 1;
    const struct iovec *last = &e->in[e->n_in - 1];
    r->status = (struct iovec){ .iov_base = (char *)last->iov_base + last->iov_len - 1, .iov_len = 1 };
    e->n_in = iov_clip(e->in, e->n_in, r->in_len);
    return true;
}

static void blk_queue(VirtQueue *vq)
{
    VirtioBlk *s = blk(vq->v);
    unsigned count = 0;
    do {
        BlkReq *r;
        virtq_set_notification(vq, false);
        while (virtq_budget(vq, &count) && (r = virtq_pop(vq, sizeof(*r)))) {
            if (!parse(s, r)) {
                virtq_drop(&r->elem, 0);
                req_free(r);
                return;
            }
            submit(r);
        }
        virtq_set_notification(vq, true);
    } while (count <= 2u * vq->num && !virtq_empty(vq));
}

/* ---- configuration ---- */

static void blk_config_get(VirtioDevice *v, uint8_t *cfg)
{
    const VirtioBlk *s = blk(v);
    uint64_t sectors = block_length(s->node) / SECTOR;
    uint64_t cylinders = MIN(sectors / (16 * 63), 16383u);
    struct virtio_blk_config c = {
        .capacity = sectors,
        .seg_max = MIN(s->queue_size, 256u) - 2,
        .geometry = { .cylinders = (uint16_t)cylinders, .heads = 16, .sectors = 63 },
        .blk_size = s->logical,
        .physical_block_exp = (uint8_t)__builtin_ctz(MAX(s->physical / s->logical, 1u)),
        .min_io_size = (uint16_t)MAX(s->physical / s->logical, 1u),
        .opt_io_size = block_opt_io_size(s->node) / s->logical,
        .wce = s->wce,
        .num_queues = (uint16_t)s->n_queues,
        .max_discard_sectors = MAX_DISCARD_SECTORS,
        .max_discard_seg = MAX_SEGMENTS,
        .discard_sector_alignment = MAX(block_discard_granularity(s->node), s->logical) / SECTOR,
        .max_write_zeroes_sectors = MAX_DISCARD_SECTORS,
        .max_write_zeroes_seg = MAX_SEGMENTS,
        .write_zeroes_may_unmap = 1,
    };
    G_STATIC_ASSERT(sizeof(c) <= VIRTIO_CONFIG_MAX);
    /* The struct is little endian on the wire; so are the hosts we have. */
    memcpy(cfg, &c, v->type->config_size);
}

static void blk_config_set(VirtioDevice *v, unsigned off, uint32_t val, unsigned size)
{
    if (off == offsetof(struct virtio_blk_config, wce) && virtio_has(v, VIRTIO_BLK_F_CONFIG_WCE))
        blk(v)->wce = val & 1;
}

/* A driver that knows neither FLUSH nor the switch cannot flush: write through for it (5.2.6.2). */
static void blk_started(VirtioDevice *v)
{
    VirtioBlk *s = blk(v);
    s->wce = block_write_cache(s->node) && s->wcache_opt && (virtio_has(v, VIRTIO_BLK_F_FLUSH) || virtio_has(v, VIRTIO_BLK_F_CONFIG_WCE));
}

/* ---- life ---- */

static void drop_parked(VirtioBlk *s)
{
    while (s->parked) {
        BlkReq *r = s->parked;
        s->parked = r->next;
        virtq_drop(&r->elem, 0);
        req_free(r);
    }
}

static void blk_reset(VirtioDevice *v)
{
    VirtioBlk *s = blk(v);
    drop_parked(s);
    s->loaded = false;
    s->stale = s->in_flight;
    s->wce = block_write_cache(s->node) && s->wcache_opt;
}

static bool blk_busy(VirtioDevice *v)
{
    return blk(v)->stale > 0;
}

static void blk_resumed(VirtioDevice *v)
{
    VirtioBlk *s = blk(v);
    BlkReq *r = s->parked;
    s->parked = NULL;
    while (r) {
        BlkReq *next = r->next;
        submit(r);
        r = next;
    }
}

static void length_changed(void *opaque)
{
    VirtioBlk *s = opaque;
    if (!devlock_enter(s->v.dev.lock))
        return;
    virtio_notify_config(&s->v);
    devlock_leave(s->v.dev.lock);
}

static bool check_options(VirtioBlk *s, GError **err)
{
    if (!is_pow2(s->queue_size) || !is_pow2(s->logical) || !is_pow2(s->physical) || s->physical < s->logical) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    "queue-size and block sizes are powers of 2, physical_block_size not below logical_block_size");
        return false;
    }
    if (!block_parse_on_error(s->rerror_opt, false, &s->rerror, err) || !block_parse_on_error(s->werror_opt, true, &s->werror, err))
        return false;
    s->rerror = block_on_error(s->node, false, s->rerror);
    s->werror = block_on_error(s->node, true, s->werror);
    return true;
}

static bool blk_realize(VirtioDevice *v, GError **err)
{
    VirtioBlk *s = blk(v);
    if (!check_options(s, err))
        return false;
    if (!s->n_queues)
        s->n_queues = CLAMP(machine_n_vcpus(v->dev.bus->machine), 1u, 16u);
    v->host_features = BIT(VIRTIO_BLK_F_SEG_MAX) | BIT(VIRTIO_BLK_F_GEOMETRY) | BIT(VIRTIO_BLK_F_BLK_SIZE) | BIT(VIRTIO_BLK_F_TOPOLOGY) |
                       BIT(VIRTIO_BLK_F_FLUSH);
    if (block_read_only(s->node))
        v->host_features |= BIT(VIRTIO_BLK_F_RO);
    else
        v->host_features |= BIT(VIRTIO_BLK_F_CONFIG_WCE) | (s->discard_opt ? BIT(VIRTIO_BLK_F_DISCARD) : 0) |
                            (s->zeroes_opt ? BIT(VIRTIO_BLK_F_WRITE_ZEROES) : 0);
    if (s->n_queues > 1)
        v->host_features |= BIT(VIRTIO_BLK_F_MQ);
    for (unsigned i = 0; i < s->n_queues; i++)
        virtio_add_queue(v, s->queue_size);
    block_on_resize(s->node, length_changed, s);
    return true;
}

static void blk_unrealize(VirtioDevice *v)
{
    VirtioBlk *s = blk(v);
    block_on_resize(s->node, NULL, NULL);
    drop_parked(s);
    block_drain_begin(s->node, v->dev.loop);
    while (s->in_flight)        /* done, but not yet delivered to our loop */
        loop_iterate(v->dev.loop, true);
    block_drain_end(s->node);
    g_clear_pointer(&s->parked_buf, g_free);
}

/* ---- saved state: parked requests as (queue, head, position) ---- */

enum { PARKED_BYTES = 6, PARKED_WRAP = 0x80 };

static bool blk_can_save(const Device *dev, GError **err)
{
    const VirtioBlk *s = (const VirtioBlk *)dev;
    if (s->in_flight) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_AGAIN, "'%s' has requests in flight: drain the drive first", dev->id);
        return false;
    }
    return true;
}

static void blk_pre_save(Device *dev)
{
    VirtioBlk *s = (VirtioBlk *)dev;
    g_autoptr(GByteArray) out = g_byte_array_new();
    if (s->loaded)
        return;
    for (const BlkReq *r = s->parked; r; r = r->next) {
        uint8_t b[PARKED_BYTES] = { (uint8_t)r->elem.vq->index, r->elem.pos_wrap ? PARKED_WRAP : 0 };
        store_le16(b + 2, r->elem.head);
        store_le16(b + 4, r->elem.pos);
        g_byte_array_append(out, b, sizeof(b));
    }
    g_free(s->parked_buf);
    s->parked_len = out->len;
    s->parked_buf = g_memdup2(out->data, out->len);
}

/* RAM may be loaded after us: the chains are taken again when the machine runs. */
static bool blk_post_load(Device *dev, unsigned version, GError **err)
{
    VirtioBlk *s = (VirtioBlk *)dev;
    drop_parked(s);
    for (uint32_t i = 0; i + PARKED_BYTES <= s->parked_len; i += PARKED_BYTES) {
        if (s->parked_buf[i] >= s->n_queues) {
            g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL, "a saved request names queue %u of %u", s->parked_buf[i], s->n_queues);
            return false;
        }
    }
    s->loaded = true;
    return true;
}

static void retake_parked(VirtioBlk *s)
{
    if (!s->loaded)
        return;
    uint32_t len = s->parked_len;
    g_autofree uint8_t *buf = g_steal_pointer(&s->parked_buf);
    s->parked_len = 0;
    s->loaded = false;
    for (uint32_t i = 0; buf && i + PARKED_BYTES <= len; i += PARKED_BYTES) {
        const uint8_t *b = buf + i;
        BlkReq *r = virtq_retake(&s->v.vq[b[0]], sizeof(*r), load_le16(b + 2), load_le16(b + 4), b[1] & PARKED_WRAP);
        if (!r)
            return;
        if (!parse(s, r)) {
            virtq_drop(&r->elem, 0);
            req_free(r);
            return;
        }
        submit(r);
    }
}

static void blk_resumed_all(VirtioDevice *v)
{
    retake_parked(blk(v));
    blk_resumed(v);
}

static const FieldDesc blk_fields[] = {
    FIELD(VirtioBlk, wce), FIELD_BUF(VirtioBlk, parked_buf, parked_len, MAX_PARKED * PARKED_BYTES), { 0 }
};
static const DeviceSection blk_state[] = {
    { .name = "virtio-blk", .version = 1, .min_version = 1, .fields = blk_fields, .pre_save = blk_pre_save, .post_load = blk_post_load },
    { 0 }
};

static const PropDesc blk_props[] = {
    VIRTIO_PCI_PROPS,
    PROP(VirtioBlk, node, PROP_REF, "drive", .ref_type = "drive", .required = true, .help = "id of a -drive with if=none"),
    PROP(VirtioBlk, serial, PROP_STR, "serial", .help = "serial number, at most 20 characters"),
    PROP(VirtioBlk, bootindex, PROP_I32, "bootindex", .def = "-1", .help = "place in the boot order"),
    PROP(VirtioBlk, n_queues, PROP_U32, "num-queues", .def = "0", .max = 32, .help = "request queues (0: one a vCPU, at most 16)"),
    PROP(VirtioBlk, queue_size, PROP_U32, "queue-size", .def = "256", .min = 8, .max = 1024, .help = "entries of a queue, a power of 2"),
    PROP(VirtioBlk, logical, PROP_U32, "logical_block_size", .def = "512", .min = 512, .max = 4096, .help = "bytes, a power of 2"),
    PROP(VirtioBlk, physical, PROP_U32, "physical_block_size", .def = "512", .min = 512, .max = 65536, .help = "bytes, a power of 2"),
    PROP(VirtioBlk, rerror_opt, PROP_STR, "rerror", .help = "failed reads: auto (as the drive has it), report, ignore, stop"),
    PROP(VirtioBlk, werror_opt, PROP_STR, "werror", .help = "failed writes: auto (as the drive has it), enospc, report, ignore, stop"),
    PROP(VirtioBlk, wcache_opt, PROP_BOOL, "write-cache", .def = "on", .help = "let the guest rely on flushes"),
    PROP(VirtioBlk, discard_opt, PROP_BOOL, "discard", .def = "on", .help = "offer discard"),
    PROP(VirtioBlk, zeroes_opt, PROP_BOOL, "write-zeroes", .def = "on", .help = "offer write zeroes"),
    { 0 }
};

static const VirtioType blk_type = {
    .id = VIRTIO_ID_BLOCK, .config_size = offsetof(struct virtio_blk_config, unused1),
    .realize = blk_realize, .unrealize = blk_unrealize, .reset = blk_reset, .busy = blk_busy, .queue = blk_queue,
    .config_get = blk_config_get, .config_set = blk_config_set, .started = blk_started, .resumed = blk_resumed_all,
};

const VirtioPciClass virtio_blk_pci_class = {
    .pci = VIRTIO_PCI_CLASS("virtio-blk-pci", "virtio block device", VirtioBlk, 0x010000, .props = blk_props, .state = blk_state,
                            .can_save = blk_can_save),
    .type = &blk_type,
};

const VirtioMmioClass virtio_blk_class = {
    .dev = VIRTIO_MMIO_CLASS("virtio-blk-device", "virtio block device (MMIO)", VirtioBlk, .props = blk_props, .state = blk_state, .can_save = blk_can_save),
    .type = &blk_type,
};
