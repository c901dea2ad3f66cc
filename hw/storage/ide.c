/* IDE channels: task file, data port, interrupts (ATA/ATAPI-6, T13 1410D; chapters 7 and 9). */
#include <string.h>

#include "hw/storage/ide-internal.h"

enum { REG_DATA, REG_ERROR, REG_NSECTOR, REG_LBA0, REG_LBA1, REG_LBA2, REG_SELECT, REG_STATUS };
enum { CTL_NIEN = 2, CTL_SRST = 4, CTL_HOB = 0x80, SELECT_DEV = 0x10 };
enum { CMD_DEVICE_RESET = 0x08 };

IdeDrive *ide_selected(IdeChannel *ch)
{
    return &ch->drive[ch->unit];
}

/* ---- interrupts ---- */

void ide_update_irq(IdeChannel *ch)
{
    irq_set(ch->ctrl->pci.dev.irq[ch->index], ch->irq && !(ch->control & CTL_NIEN));
}

void ide_raise(IdeChannel *ch)
{
    ch->irq = true;
    ch->bm.status |= 4;         /* BMIS interrupt bit: INTRQ went up */
    ide_update_irq(ch);
}

/* ---- ends of commands ---- */

static void end(IdeChannel *ch, uint8_t status, uint8_t error)
{
    IdeDrive *d = &ch->drive[ch->x.unit];
    d->status = status;
    d->error = error;
    ch->x = (IdeXfer){ .kind = XFER_NONE, .unit = ch->x.unit };
}

void ide_ok(IdeChannel *ch)
{
    end(ch, ST_DRDY | ST_DSC, 0);
    ide_raise(ch);
}

void ide_fail(IdeChannel *ch, uint8_t error)
{
    end(ch, ST_DRDY | ST_DSC | ST_ERR, error);
    ide_raise(ch);
}

void ide_signature(IdeDrive *d)
{
    d->nsector = 1;
    d->lba[0] = 1;
    d->lba[1] = d->cd ? 0x14 : 0;
    d->lba[2] = d->cd ? 0xeb : 0;
    d->select &= (uint8_t)~0x0f;
}

void ide_channel_reset(IdeChannel *ch, bool power_on)
{
    ide_io_cancel(ch);
    ch->x = (IdeXfer){ 0 };
    ch->irq = false;
    ch->unit = 0;
    for (unsigned i = 0; i < 2; i++) {
        IdeDrive *d = &ch->drive[i];
        d->select = 0xa0;
        d->error = 1;           /* diagnostic code: no error */
        d->status = !d->present ? 0 : d->cd ? 0 : ST_DRDY | ST_DSC;
        d->cur_heads = d->heads;
        d->cur_secs = d->secs;
        ide_signature(d);
        if (power_on) {
            d->mult = IDE_MULT_MAX;
            d->dma_mode = 0x45;
            d->wcache = true;
            d->sense = d->asc = d->ascq = 0;
            d->locked = d->tray_open = false;
            d->unit_attention = false;
            d->feature = d->hob_feature = d->hob_nsector = 0;
            memset(d->hob_lba, 0, sizeof(d->hob_lba));
        }
    }
    if (power_on) {
        ch->control = 0;
        ch->bm = (IdeBm){ 0 };
    }
    ide_update_irq(ch);
}

/* ---- data port ---- */

static void slice_in(IdeChannel *ch)
{
    IdeXfer *x = &ch->x;
    ch->drive[x->unit].status = ST_DRDY | ST_DSC | ST_DRQ;
    x->pos = 0;
    x->end = x->fill;
    ide_raise(ch);
}

void ide_reply(IdeChannel *ch, uint32_t len)
{
    g_assert(len <= IDE_BUF);
    ch->x = (IdeXfer){ .kind = XFER_DATA, .unit = ch->unit, .fill = len };
    ide_selected(ch)->error = 0;
    slice_in(ch);
}

void ide_start(IdeChannel *ch, IdeKind kind, uint64_t offset, uint64_t len, uint32_t block, bool dma, bool fua)
{
    IdeDrive *d = ide_selected(ch);
    ch->x = (IdeXfer){ .kind = (uint8_t)kind, .unit = ch->unit, .offset = offset, .left = len, .block = block, .dma = dma, .fua = fua };
    d->error = 0;
    d->status = ST_DRDY | ST_DSC | ST_BSY;
    if (kind == XFER_WRITE && !dma) {
        /* The host sends first; no interrupt for the first block (9.6). */
        d->status = ST_DRDY | ST_DSC | ST_DRQ;
        ch->x.end = (uint32_t)MIN(len, block);
        return;
    }
    if (dma) {
        d->status = ST_DRDY | ST_DSC | ST_DRQ;
        ch->x.bm_wait = true;
    } else {
        ch->x.io = true;
    }
    ide_io_step(ch);
}

/* The medium delivered to buf, or took it. */
void ide_io_done(IdeChannel *ch)
{
    IdeXfer *x = &ch->x;
    if (x->packet && x->dma)
        atapi_done(ch);
    else if (x->packet)
        atapi_slice(ch);
    else if (x->dma || x->kind == XFER_FLUSH)
        ide_ok(ch);
    else if (x->kind == XFER_READ)
        slice_in(ch);
    else if (!x->left)
        ide_ok(ch);
    else {
        ch->drive[x->unit].status = ST_DRDY | ST_DSC | ST_DRQ;
        x->pos = 0;
        x->end = (uint32_t)MIN(x->left, x->block);
        ide_raise(ch);
    }
}

void ide_io_failed(IdeChannel *ch)
{
    if (ch->x.packet)
        atapi_io_error(ch);
    else
        ide_fail(ch, ER_ABRT | (ch->x.kind == XFER_READ ? ER_UNC : 0));
}

/* The host moved all of buf[.., end). */
static void slice_done(IdeChannel *ch)
{
    IdeXfer *x = &ch->x;
    IdeDrive *d = &ch->drive[x->unit];
    if (x->kind == XFER_PACKET) {
        atapi_packet(ch);
    } else if (x->packet && x->pos < x->fill) {
        atapi_slice(ch);
    } else if (x->kind == XFER_WRITE || x->left) {
        x->fill = x->end;
        x->io = true;
        d->status = ST_DRDY | ST_DSC | ST_BSY;
        ide_io_step(ch);
    } else if (x->packet) {
        atapi_done(ch);
    } else {
        end(ch, ST_DRDY | ST_DSC, 0);   /* the last block of a read has no interrupt behind it */
    }
}

static bool moving(IdeChannel *ch, bool to_host)
{
    const IdeXfer *x = &ch->x;
    bool in = x->kind == XFER_READ || x->kind == XFER_DATA;
    return x->kind != XFER_NONE && x->unit == ch->unit && !x->dma && !x->io && in == to_host && x->pos < x->end;
}

uint64_t ide_data_read(IdeChannel *ch, unsigned size)
{
    if (!moving(ch, true))
        return 0;
    unsigned n = MIN(size, ch->x.end - ch->x.pos);
    uint64_t v = load_le(ch->buf + ch->x.pos, n);
    ch->x.pos += n;
    if (ch->x.pos == ch->x.end)
        slice_done(ch);
    return v;
}

void ide_data_write(IdeChannel *ch, uint64_t val, unsigned size)
{
    if (!moving(ch, false))
        return;
    unsigned n = MIN(size, ch->x.end - ch->x.pos);
    store_le(ch->buf + ch->x.pos, n, val);
    ch->x.pos += n;
    if (ch->x.pos == ch->x.end)
        slice_done(ch);
}

/* ---- registers ---- */

static void soft_reset(IdeChannel *ch, uint8_t old)
{
    if (!(ch->control & CTL_SRST))
        return;
    if (!(old & CTL_SRST))
        ide_channel_reset(ch, false);
}

/* A write to a register of the command block reaches both drives; the upper half of 48-bit fields is what was there before. */
static void write_task_file(IdeChannel *ch, unsigned reg, uint8_t val)
{
    for (unsigned i = 0; i < 2; i++) {
        IdeDrive *d = &ch->drive[i];
        switch (reg) {
        case REG_ERROR:
            d->hob_feature = d->feature;
            d->feature = val;
            break;
        case REG_NSECTOR:
            d->hob_nsector = d->nsector;
            d->nsector = val;
            break;
        case REG_LBA0:
        case REG_LBA1:
        case REG_LBA2:
            d->hob_lba[reg - REG_LBA0] = d->lba[reg - REG_LBA0];
            d->lba[reg - REG_LBA0] = val;
            break;
        case REG_SELECT:
            d->select = val | 0xa0;
            break;
        default:
            break;
        }
    }
}

static void command(IdeChannel *ch, uint8_t cmd)
{
    IdeDrive *d = ide_selected(ch);
    ch->irq = false;
    ide_update_irq(ch);
    if (!d->present)
        return;
    if (d->cd && cmd == CMD_DEVICE_RESET) {
        if (ch->x.unit == ch->unit) {
            ide_io_cancel(ch);
            ch->x = (IdeXfer){ .unit = ch->unit };
        }
        ide_signature(d);
        d->status = 0;
        d->error = 1;
        return;
    }
    if (ch->x.io || ch->x.bm_wait)      /* busy: the command is lost (9.2) */
        return;
    ch->x = (IdeXfer){ .unit = ch->unit };
    ata_command(ch, cmd);
}

void ide_write_port(IdeChannel *ch, unsigned reg, uint8_t val)
{
    switch (reg) {
    case REG_STATUS:
        command(ch, val);
        break;
    case 8: {                   /* device control */
        uint8_t old = ch->control;
        ch->control = val;
        soft_reset(ch, old);
        ide_update_irq(ch);
        break;
    }
    case REG_SELECT:
        ch->unit = !!(val & SELECT_DEV);
        write_task_file(ch, reg, val);
        break;
    default:
        ch->control &= (uint8_t)~CTL_HOB;
        write_task_file(ch, reg, val);
        break;
    }
}

static uint8_t read_status(IdeChannel *ch, bool alt)
{
    const IdeDrive *d = ide_selected(ch);
    if (!d->present)
        return 0;
    if (ch->control & CTL_SRST)
        return ST_BSY;
    if (!alt) {
        ch->irq = false;
        ide_update_irq(ch);
    }
    return d->status;
}

uint8_t ide_read_port(IdeChannel *ch, unsigned reg)
{
    const IdeDrive *d = ide_selected(ch);
    bool hob = ch->control & CTL_HOB;
    if (reg == REG_STATUS || reg == 8)
        return read_status(ch, reg == 8);
    if (!d->present)
        return 0;
    switch (reg) {
    case REG_ERROR:
        return hob ? d->hob_feature : d->error;
    case REG_NSECTOR:
        return hob ? d->hob_nsector : d->nsector;
    case REG_LBA0:
    case REG_LBA1:
    case REG_LBA2:
        return hob ? d->hob_lba[reg - REG_LBA0] : d->lba[reg - REG_LBA0];
    case REG_SELECT:
        return d->select;
    default:
        return 0;
    }
}
