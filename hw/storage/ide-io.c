/*
 * IDE: medium and bus master (Programming Interface for Bus Master IDE Controller, rev. 1.0).
 *
 * A request owns its buffers, so that one which a reset made stale harms nobody. Progress (offset, left, place in the PRD table) moves only
 * when a request has succeeded: to try again is to do the same step again.
 */
#include <errno.h>
#include <string.h>

#include "hw/storage/ide-internal.h"
#include "vmm/machine.h"

enum { BM_START = 1, BM_ACTIVE = 1, BM_ERROR = 2, MAX_PIECES = 256, MAX_PRDS = 8192, MAX_DMA = 4 << 20 };

struct IdeReq {
    BlockReq br;
    IdeChannel *ch;
    uint32_t generation;
    bool dma, in;
    uint64_t len;
    IdeBm bm_after;             /* the PRD cursor once this is done */
    uint8_t *buf;               /* PIO */
    unsigned n;
    struct iovec iov[MAX_PIECES];
    DmaMap map[MAX_PIECES];
};

static void req_free(IdeReq *r, uint64_t written)
{
    for (unsigned i = 0; i < r->n && r->dma; i++) {
        uint64_t part = r->in ? MIN(written, r->map[i].len) : 0;
        written -= part;
        as_dma_unmap(&r->map[i], part);
    }
    g_free(r->buf);
    g_free(r);
}

/* ---- scatter list ---- */

/* The next PRD under the cursor; false at the end of the table or on a bad address. */
static bool next_prd(IdeChannel *ch, IdeBm *bm)
{
    uint8_t e[8];
    if (bm->eot || bm->n_prds++ >= MAX_PRDS || pci_dma_read(&ch->ctrl->pci, bm->next_prd, e, sizeof(e)) != MEM_OK)
        return false;
    bm->seg_addr = load_le32(e) & ~1u;
    bm->seg_len = load_le16(e + 4) & 0xfffeu;
    if (!bm->seg_len)
        bm->seg_len = 0x10000;
    bm->eot = e[7] & 0x80;
    bm->next_prd += 8;
    return true;
}

/* Map up to @want bytes of the list into @r; returns bytes, 0 if there is nothing to be had. */
static uint64_t gather(IdeChannel *ch, IdeReq *r, uint64_t want, bool in)
{
    IdeBm *bm = &r->bm_after;
    uint64_t got = 0;
    *bm = ch->bm;
    while (got < want && r->n < MAX_PIECES) {
        if (!bm->seg_len && !next_prd(ch, bm))
            break;
        DmaMap *m = &r->map[r->n];
        if (as_dma_map(ch->ctrl->pci.dev.dma, bm->seg_addr, MIN(bm->seg_len, want - got), in, m) != MEM_OK)
            break;
        r->iov[r->n++] = (struct iovec){ .iov_base = m->host, .iov_len = m->len };
        bm->seg_addr += (uint32_t)m->len;
        bm->seg_len -= (uint32_t)m->len;
        got += m->len;
    }
    return got;
}

static void take_cursor(IdeChannel *ch, const IdeBm *after)
{
    ch->bm.next_prd = after->next_prd;
    ch->bm.seg_addr = after->seg_addr;
    ch->bm.seg_len = after->seg_len;
    ch->bm.n_prds = after->n_prds;
    ch->bm.eot = after->eot;
}

/* ---- completion ---- */

static bool hold(IdeChannel *ch, bool read, int ret)
{
    const IdeDrive *d = &ch->drive[ch->x.unit];
    BlockOnError what = read ? d->rerror : d->werror;
    if (what != BLOCK_ON_ERROR_STOP && !(what == BLOCK_ON_ERROR_ENOSPC && ret == -ENOSPC))
        return false;
    machine_io_error(ch->ctrl->pci.dev.bus->machine, d->id);
    return true;
}

static bool ignored(const IdeChannel *ch, bool read)
{
    const IdeDrive *d = &ch->drive[ch->x.unit];
    return (read ? d->rerror : d->werror) == BLOCK_ON_ERROR_IGNORE;
}

/* Everything of a DMA command has been moved. A list with more room keeps the bus master active (rev. 1.0, 3.1). */
static void dma_finished(IdeChannel *ch)
{
    if (!ch->bm.seg_len && ch->bm.eot)
        ch->bm.status &= (uint8_t)~BM_ACTIVE;
    ide_io_done(ch);
}

static void dma_broken(IdeChannel *ch)
{
    ch->bm.status = (uint8_t)((ch->bm.status & ~BM_ACTIVE) | BM_ERROR);
    device_guest_error(&ch->ctrl->pci.dev, "channel %u: scatter list too short or not in RAM", ch->index);
    ch->x.bm_wait = ch->x.io = false;
    ide_io_failed(ch);
}

static void advance(IdeChannel *ch, const IdeReq *r)
{
    IdeXfer *x = &ch->x;
    x->offset += r->len;
    x->left -= r->len;
    if (r->dma) {
        take_cursor(ch, &r->bm_after);
        if (x->left) {
            ide_io_step(ch);
            return;
        }
        x->io = false;
        dma_finished(ch);
        return;
    }
    if (r->in) {
        memcpy(ch->buf, r->buf, r->len);
        x->fill = (uint32_t)r->len;
        x->pos = x->end = 0;
    }
    x->io = false;
    ide_io_done(ch);
}

static void completed(IdeReq *r, int ret)
{
    IdeChannel *ch = r->ch;
    bool stale = r->generation != ch->generation;
    uint64_t written = ret == 0 && r->in ? r->len : 0;
    bool read = r->br.op == BLOCK_READ;
    ch->in_flight--;
    if (stale || (ret < 0 && hold(ch, read, ret))) {
        req_free(r, written);       /* held: x.io stays, resume steps again */
        return;
    }
    if (ret < 0 && !ignored(ch, read)) {
        req_free(r, 0);
        ch->x.io = false;
        ch->bm.status &= (uint8_t)~BM_ACTIVE;
        ide_io_failed(ch);
        return;
    }
    /* Unmap before the guest is told. */
    IdeReq copy = *r;
    if (r->in && !r->dma)
        copy.buf = g_steal_pointer(&r->buf);
    req_free(r, written);
    advance(ch, &copy);
    if (copy.in && !copy.dma)
        g_free(copy.buf);
}

static void block_done(BlockReq *br, int ret)
{
    IdeReq *r = br->opaque;
    IdeChannel *ch = r->ch;
    DevLock *lock = devlock_ref(ch->ctrl->pci.dev.lock);
    if (devlock_enter(lock)) {
        completed(r, ret);
        devlock_leave(lock);
    } else {
        ch->in_flight--;
        req_free(r, ret == 0 && r->in ? r->len : 0);
    }
    devlock_unref(lock);
}

/* ---- submission ---- */

static void submit(IdeChannel *ch, IdeReq *r, BlockOp op)
{
    IdeXfer *x = &ch->x;
    IdeDrive *d = &ch->drive[x->unit];
    if (!d->node) {
        req_free(r, 0);
        x->io = false;
        ide_io_failed(ch);
        return;
    }
    r->ch = ch;
    r->generation = ch->generation;
    r->in = op == BLOCK_READ;
    r->br.op = op;
    r->br.flags = op == BLOCK_WRITE && (x->fua || !d->wcache) ? BLOCK_REQ_FUA : 0;
    r->br.offset = x->offset;
    r->br.len = r->len;
    r->br.iov = r->iov;
    r->br.niov = r->n;
    r->br.done = block_done;
    r->br.opaque = r;
    r->br.loop = ch->ctrl->pci.dev.loop;
    ch->in_flight++;
    block_submit(d->node, &r->br);
}

static void step_pio(IdeChannel *ch)
{
    IdeXfer *x = &ch->x;
    IdeReq *r = g_new0(IdeReq, 1);
    bool read = x->kind == XFER_READ;
    /* A packet device reads ahead as much as fits; a disk moves a block at a time. */
    r->len = read ? MIN(x->left, x->packet ? IDE_BUF : x->block) : x->fill;
    if (x->kind == XFER_FLUSH) {
        r->len = 0;
        submit(ch, r, BLOCK_FLUSH);
        return;
    }
    r->buf = g_malloc(r->len);
    if (!read)
        memcpy(r->buf, ch->buf, r->len);
    r->n = 1;
    r->iov[0] = (struct iovec){ .iov_base = r->buf, .iov_len = r->len };
    submit(ch, r, read ? BLOCK_READ : BLOCK_WRITE);
}

/* A reply that lies in buf. */
static void step_dma_buf(IdeChannel *ch)
{
    IdeXfer *x = &ch->x;
    IdeReq *r = g_new0(IdeReq, 1);
    r->dma = r->in = true;
    uint64_t got = gather(ch, r, x->fill, true), done = 0;
    for (unsigned i = 0; i < r->n; i++) {
        memcpy(r->iov[i].iov_base, ch->buf + done, r->iov[i].iov_len);
        done += r->iov[i].iov_len;
    }
    take_cursor(ch, &r->bm_after);
    req_free(r, done);
    x->io = false;
    if (got == x->fill)
        dma_finished(ch);
    else
        dma_broken(ch);
}

static void step_dma(IdeChannel *ch)
{
    IdeXfer *x = &ch->x;
    x->bm_wait = false;
    x->io = true;
    if (x->kind == XFER_DATA) {
        step_dma_buf(ch);
        return;
    }
    IdeReq *r = g_new0(IdeReq, 1);
    r->dma = true;
    bool read = x->kind == XFER_READ;
    r->len = gather(ch, r, MIN(x->left, (uint64_t)MAX_DMA), read);
    if (!r->len) {
        req_free(r, 0);
        dma_broken(ch);
        return;
    }
    submit(ch, r, read ? BLOCK_READ : BLOCK_WRITE);
}

void ide_io_step(IdeChannel *ch)
{
    IdeXfer *x = &ch->x;
    if (x->kind == XFER_NONE || (!x->io && !x->bm_wait))
        return;
    if (!x->dma)
        step_pio(ch);
    else if (ch->bm.cmd & BM_START && ch->bm.status & BM_ACTIVE && pci_bus_master(&ch->ctrl->pci))
        step_dma(ch);
}

void ide_io_cancel(IdeChannel *ch)
{
    ch->generation++;
    ch->x.io = ch->x.bm_wait = false;
    ch->bm.status &= (uint8_t)~BM_ACTIVE;
}

void ide_bm_start(IdeChannel *ch)
{
    ch->bm.status |= BM_ACTIVE;
    ch->bm.next_prd = ch->bm.prd & ~3u;
    ch->bm.seg_len = ch->bm.n_prds = 0;
    ch->bm.eot = false;
    if (ch->x.bm_wait)
        ide_io_step(ch);
}
