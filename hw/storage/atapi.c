/* Packet commands of a CD-ROM drive (SFF-8020i / MMC-3; transport after ATA/ATAPI-6 9.8). */
#include <string.h>

#include "hw/storage/ide-internal.h"

enum { PACKET_LEN = 12, FEATURE_DMA = 1 };
enum { KEY_NONE = 0, KEY_NOT_READY = 2, KEY_MEDIUM = 3, KEY_ILLEGAL = 5, KEY_ATTENTION = 6 };
enum { ASC_INVALID_OP = 0x20, ASC_LBA_RANGE = 0x21, ASC_INVALID_FIELD = 0x24, ASC_MEDIUM_CHANGED = 0x28, ASC_NO_MEDIUM = 0x3a, ASC_LOCKED = 0x53, ASC_READ = 0x11 };

static uint32_t blocks(const IdeDrive *d)
{
    return d->node && !d->tray_open ? (uint32_t)MIN(block_length(d->node) / CD_SECTOR, UINT32_MAX) : 0;
}

/* ---- transport ---- */

static void finish(IdeChannel *ch, uint8_t status, uint8_t error)
{
    IdeDrive *d = &ch->drive[ch->x.unit];
    ch->x = (IdeXfer){ .unit = ch->x.unit };
    d->nsector = IR_COD | IR_IO;
    d->status = status;
    d->error = error;
    ide_raise(ch);
}

void atapi_done(IdeChannel *ch)
{
    IdeDrive *d = &ch->drive[ch->x.unit];
    d->sense = d->asc = d->ascq = 0;
    finish(ch, ST_DRDY | ST_DSC, 0);
}

static void sense(IdeChannel *ch, uint8_t key, uint8_t asc)
{
    IdeDrive *d = &ch->drive[ch->x.unit];
    d->sense = key;
    d->asc = asc;
    d->ascq = 0;
    finish(ch, ST_DRDY | ST_DSC | ST_ERR, (uint8_t)(key << 4 | ER_ABRT));
}

void atapi_io_error(IdeChannel *ch)
{
    sense(ch, KEY_MEDIUM, ASC_READ);
}

/* Announce the next piece of buf: byte count in the cylinder registers, DRQ, interrupt. */
void atapi_slice(IdeChannel *ch)
{
    IdeXfer *x = &ch->x;
    IdeDrive *d = &ch->drive[x->unit];
    uint32_t n = MIN(x->fill - x->pos, x->block);
    x->end = x->pos + n;
    d->lba[1] = (uint8_t)n;
    d->lba[2] = (uint8_t)(n >> 8);
    d->nsector = IR_IO;
    d->status = ST_DRDY | ST_DSC | ST_DRQ;
    ide_raise(ch);
}

/* The host's byte count limit; 0 and odd limits are read as the next sensible value (9.8.2). */
static uint32_t byte_limit(const IdeDrive *d)
{
    uint32_t n = d->lba[1] | (uint32_t)d->lba[2] << 8;
    return n < 2 ? 0xfffe : n & ~1u;
}

void atapi_begin(IdeChannel *ch)
{
    IdeDrive *d = ide_selected(ch);
    ch->x = (IdeXfer){ .kind = XFER_PACKET, .unit = ch->unit, .end = PACKET_LEN, .packet = true, .dma = false };
    d->nsector = IR_COD;
    d->error = 0;
    d->status = ST_DRDY | ST_DSC | ST_DRQ;      /* no interrupt: word 0 of IDENTIFY says "accelerated DRQ" */
}

/* Send buf[0, len), at most what the command asked for. */
static void reply(IdeChannel *ch, uint32_t len, uint32_t asked)
{
    IdeDrive *d = &ch->drive[ch->x.unit];
    len = MIN(len, asked);
    if (!len) {
        atapi_done(ch);
        return;
    }
    ch->x = (IdeXfer){ .kind = XFER_DATA, .unit = ch->x.unit, .packet = true, .dma = d->feature & FEATURE_DMA, .block = byte_limit(d), .fill = len };
    if (ch->x.dma) {
        ch->x.bm_wait = true;
        d->status = ST_DRDY | ST_DSC | ST_DRQ;
        ide_io_step(ch);
    } else {
        atapi_slice(ch);
    }
}

/* ---- commands ---- */

typedef void AtapiFn(IdeChannel *ch, IdeDrive *d, const uint8_t *cdb);

static void test_unit_ready(IdeChannel *ch, IdeDrive *d, const uint8_t *cdb)
{
    atapi_done(ch);
}

static void request_sense(IdeChannel *ch, IdeDrive *d, const uint8_t *cdb)
{
    uint8_t *b = ch->buf;
    memset(b, 0, 18);
    b[0] = 0x70;
    b[2] = d->sense;
    b[7] = 10;
    b[12] = d->asc;
    b[13] = d->ascq;
    if (!d->sense && d->unit_attention) {
        b[2] = KEY_ATTENTION;
        b[12] = ASC_MEDIUM_CHANGED;
        d->unit_attention = false;
    }
    reply(ch, 18, cdb[4]);
}

/* SCSI strings: left-aligned, spaces behind. */
static void scsi_string(uint8_t *dst, const char *src, unsigned len)
{
    size_t n = strlen(src);
    for (unsigned i = 0; i < len; i++)
        dst[i] = i < n ? (uint8_t)src[i] : ' ';
}

static void inquiry(IdeChannel *ch, IdeDrive *d, const uint8_t *cdb)
{
    uint8_t *b = ch->buf;
    if (cdb[1] & 1) {           /* no vital product data */
        sense(ch, KEY_ILLEGAL, ASC_INVALID_FIELD);
        return;
    }
    memset(b, 0, 36);
    b[0] = 5;                   /* CD/DVD */
    b[1] = 0x80;                /* removable */
    b[3] = 0x21;                /* ATAPI-2, response format 1 */
    b[4] = 31;
    scsi_string(b + 8, "TANDEM", 8);
    scsi_string(b + 16, d->model, 16);
    scsi_string(b + 32, d->version, 4);
    reply(ch, 36, load_be16(cdb + 3));
}

static void start_stop(IdeChannel *ch, IdeDrive *d, const uint8_t *cdb)
{
    bool start = cdb[4] & 1, load_eject = cdb[4] & 2;
    if (load_eject && !start && d->locked) {
        sense(ch, d->node ? KEY_ILLEGAL : KEY_NOT_READY, ASC_LOCKED);
        return;
    }
    if (load_eject) {
        d->media_event |= d->tray_open != !start;
        d->tray_open = !start;
    }
    atapi_done(ch);
}

static void prevent_removal(IdeChannel *ch, IdeDrive *d, const uint8_t *cdb)
{
    d->locked = cdb[4] & 1;
    atapi_done(ch);
}

static void read_capacity(IdeChannel *ch, IdeDrive *d, const uint8_t *cdb)
{
    store_be32(ch->buf, blocks(d) - 1);
    store_be32(ch->buf + 4, CD_SECTOR);
    reply(ch, 8, 8);
}

static void read_blocks(IdeChannel *ch, IdeDrive *d, uint64_t lba, uint64_t n)
{
    if (!range_inside(lba, n, blocks(d))) {
        sense(ch, KEY_ILLEGAL, ASC_LBA_RANGE);
        return;
    }
    if (!n) {
        atapi_done(ch);
        return;
    }
    uint32_t limit = byte_limit(d);
    bool dma = d->feature & FEATURE_DMA;
    ch->x = (IdeXfer){ .kind = XFER_READ, .unit = ch->x.unit, .packet = true, .dma = dma, .io = !dma, .bm_wait = dma, .block = limit,
                       .offset = lba * CD_SECTOR, .left = n * CD_SECTOR };
    d->status = dma ? ST_DRDY | ST_DSC | ST_DRQ : ST_DRDY | ST_DSC | ST_BSY;
    ide_io_step(ch);
}

static void read_10(IdeChannel *ch, IdeDrive *d, const uint8_t *cdb)
{
    read_blocks(ch, d, load_be32(cdb + 2), load_be16(cdb + 7));
}

static void read_12(IdeChannel *ch, IdeDrive *d, const uint8_t *cdb)
{
    read_blocks(ch, d, load_be32(cdb + 2), load_be32(cdb + 6));
}

/* READ CD: plain user data of a data sector only. */
static void read_cd(IdeChannel *ch, IdeDrive *d, const uint8_t *cdb)
{
    uint32_t n = (uint32_t)cdb[6] << 16 | load_be16(cdb + 7);
    if ((cdb[9] & 0xf8) == 0x10)
        read_blocks(ch, d, load_be32(cdb + 2), n);
    else if (!(cdb[9] & 0xf8))
        atapi_done(ch);
    else
        sense(ch, KEY_ILLEGAL, ASC_INVALID_FIELD);
}

static void seek(IdeChannel *ch, IdeDrive *d, const uint8_t *cdb)
{
    if (load_be32(cdb + 2) < blocks(d))
        atapi_done(ch);
    else
        sense(ch, KEY_ILLEGAL, ASC_LBA_RANGE);
}

/* An address in a table of contents: LBA, or minute, second, frame after a lead-in of 2 s. */
static void toc_addr(uint8_t *p, bool msf, uint32_t lba)
{
    if (!msf) {
        store_be32(p, lba);
        return;
    }
    uint32_t f = lba + 150;
    p[0] = 0;
    p[1] = (uint8_t)(f / (75 * 60));
    p[2] = (uint8_t)(f / 75 % 60);
    p[3] = (uint8_t)(f % 75);
}

static uint32_t toc_plain(IdeDrive *d, uint8_t *b, bool msf, uint8_t start)
{
    uint32_t len = 4;
    b[2] = b[3] = 1;
    if (start <= 1) {
        b[len + 1] = 0x14;      /* data track, ADR 1 */
        b[len + 2] = 1;
        toc_addr(b + len + 4, msf, 0);
        len += 8;
    }
    b[len + 1] = 0x14;
    b[len + 2] = 0xaa;          /* lead-out */
    toc_addr(b + len + 4, msf, blocks(d));
    return len + 8;
}

/* Full table of contents of one session with one track. */
static uint32_t toc_raw(IdeDrive *d, uint8_t *b, bool msf)
{
    static const uint8_t points[] = { 0xa0, 0xa1, 0xa2, 1 };
    uint32_t len = 4;
    b[2] = b[3] = 1;
    for (unsigned i = 0; i < ARRAY_LEN(points); i++, len += 11) {
        uint8_t *e = b + len;
        e[0] = 1;
        e[1] = 0x14;
        e[3] = points[i];
        if (points[i] == 0xa0 || points[i] == 0xa1)
            e[8] = 1;           /* first and last track */
        else
            toc_addr(e + 7, msf, points[i] == 0xa2 ? blocks(d) : 0);
    }
    return len;
}

static void read_toc(IdeChannel *ch, IdeDrive *d, const uint8_t *cdb)
{
    bool msf = cdb[1] & 2;
    uint8_t format = cdb[2] & 15, *b = ch->buf;
    if (!format)
        format = cdb[9] >> 6;   /* where SFF-8020i has it */
    uint32_t len = 0;
    memset(b, 0, 64);
    if (format == 0 && (cdb[6] <= 1 || cdb[6] == 0xaa)) {
        len = toc_plain(d, b, msf, cdb[6]);
    } else if (format == 1) {
        b[2] = b[3] = b[6] = 1;
        b[5] = 0x14;
        toc_addr(b + 8, msf, 0);
        len = 12;
    } else if (format == 2) {
        len = toc_raw(d, b, msf);
    }
    if (!len) {
        sense(ch, KEY_ILLEGAL, ASC_INVALID_FIELD);
        return;
    }
    store_be16(b, (uint16_t)(len - 2));
    reply(ch, len, load_be16(cdb + 7));
}

static void get_configuration(IdeChannel *ch, IdeDrive *d, const uint8_t *cdb)
{
    uint8_t *b = ch->buf;
    uint16_t profile = !blocks(d) ? 0 : blocks(d) > 405000 ? 0x10 : 0x08;   /* DVD-ROM, CD-ROM */
    if (cdb[1] & ~3) {
        sense(ch, KEY_ILLEGAL, ASC_INVALID_FIELD);
        return;
    }
    memset(b, 0, 40);
    store_be16(b + 6, profile);
    uint8_t *f = b + 8;         /* feature 0: profiles */
    f[2] = 3;                   /* persistent, current */
    f[3] = 8;
    store_be16(f + 4, 0x10);
    f[6] = profile == 0x10;
    store_be16(f + 8, 0x08);
    f[10] = profile == 0x08;
    f = b + 20;                 /* feature 1: core */
    f[1] = 1;
    f[2] = 3 | 2 << 2;
    f[3] = 8;
    f[7] = 2;                   /* ATAPI */
    f[8] = 1;
    f = b + 32;                 /* feature 3: removable medium */
    f[1] = 3;
    f[2] = 3;
    f[3] = 4;
    f[4] = 1 << 5 | 1 << 3 | 1; /* tray, eject, lock */
    store_be32(b, 40 - 4);
    reply(ch, 40, load_be16(cdb + 7));
}

static void get_event_status(IdeChannel *ch, IdeDrive *d, const uint8_t *cdb)
{
    uint8_t *b = ch->buf;
    if (!(cdb[1] & 1)) {        /* asynchronous operation: no */
        sense(ch, KEY_ILLEGAL, ASC_INVALID_FIELD);
        return;
    }
    memset(b, 0, 8);
    b[3] = 1 << 4;              /* classes we know: media */
    uint32_t len = 4;
    if (cdb[4] & 1 << 4) {
        b[2] = 4;
        /* Event: new medium 2, medium removal 3. */
        b[4] = d->media_event ? (blocks(d) ? 2 : 3) : 0;
        b[5] = (uint8_t)(d->tray_open | (blocks(d) ? 2 : 0));
        d->media_event = false;
        len = 8;
    } else {
        b[2] = 0x80;            /* no event available */
    }
    store_be16(b, (uint16_t)(len - 2));
    reply(ch, len, load_be16(cdb + 7));
}

static void read_disc_information(IdeChannel *ch, IdeDrive *d, const uint8_t *cdb)
{
    uint8_t *b = ch->buf;
    memset(b, 0, 34);
    b[1] = 32;
    b[2] = 0x0e;                /* complete, finalized */
    b[3] = b[4] = b[5] = b[6] = 1;
    b[7] = 0x20;                /* unrestricted use */
    reply(ch, 34, load_be16(cdb + 7));
}

static uint32_t mode_page(IdeDrive *d, uint8_t *p, uint8_t page)
{
    switch (page) {
    case 0x01:                  /* error recovery */
        p[0] = 0x01;
        p[1] = 6;
        p[3] = 5;
        return 8;
    case 0x0e:                  /* audio */
        p[0] = 0x0e;
        p[1] = 14;
        p[2] = 4;
        return 16;
    case 0x2a:                  /* capabilities */
        p[0] = 0x2a;
        p[1] = 18;
        p[2] = 0x3b;            /* reads CD-R, CD-RW, method 2, DVD-ROM, DVD-R */
        p[4] = 0x70;            /* mode 2 forms, multisession */
        p[6] = (uint8_t)(1 << 5 | 1 << 3 | 1 | (d->locked ? 2 : 0));
        store_be16(p + 8, 706); /* 4x */
        p[11] = 2;
        store_be16(p + 12, 512);
        store_be16(p + 14, 706);
        return 20;
    default:
        return 0;
    }
}

static void mode_sense(IdeChannel *ch, IdeDrive *d, const uint8_t *cdb)
{
    static const uint8_t all[] = { 0x01, 0x0e, 0x2a };
    uint8_t page = cdb[2] & 0x3f, *b = ch->buf;
    uint32_t len = 8;
    if (cdb[2] >> 6 == 3) {     /* saved values */
        sense(ch, KEY_ILLEGAL, 0x39);
        return;
    }
    memset(b, 0, 64);
    b[2] = d->tray_open ? 0x71 : d->node ? 0x01 : 0x70;
    for (unsigned i = 0; i < ARRAY_LEN(all); i++)
        if (page == 0x3f || page == all[i])
            len += mode_page(d, b + len, all[i]);
    if (len == 8) {
        sense(ch, KEY_ILLEGAL, ASC_INVALID_FIELD);
        return;
    }
    store_be16(b, (uint16_t)(len - 2));
    reply(ch, len, load_be16(cdb + 7));
}

static void mechanism_status(IdeChannel *ch, IdeDrive *d, const uint8_t *cdb)
{
    memset(ch->buf, 0, 8);
    ch->buf[5] = 1;
    reply(ch, 8, load_be16(cdb + 8));
}

enum { NEEDS_MEDIUM = 1, SKIPS_ATTENTION = 2 };
static const struct { uint8_t op; AtapiFn *fn; unsigned flags; } packets[] = {
    { 0x00, test_unit_ready, NEEDS_MEDIUM },
    { 0x03, request_sense, SKIPS_ATTENTION },
    { 0x12, inquiry, SKIPS_ATTENTION },
    { 0x1b, start_stop, 0 },
    { 0x1e, prevent_removal, 0 },
    { 0x25, read_capacity, NEEDS_MEDIUM },
    { 0x28, read_10, NEEDS_MEDIUM },
    { 0x2b, seek, NEEDS_MEDIUM },
    { 0x43, read_toc, NEEDS_MEDIUM },
    { 0x46, get_configuration, SKIPS_ATTENTION },
    { 0x4a, get_event_status, SKIPS_ATTENTION },
    { 0x51, read_disc_information, NEEDS_MEDIUM },
    { 0x5a, mode_sense, 0 },
    { 0xa8, read_12, NEEDS_MEDIUM },
    { 0xbb, test_unit_ready, 0 },       /* SET CD SPEED: any speed will do */
    { 0xbd, mechanism_status, 0 },
    { 0xbe, read_cd, NEEDS_MEDIUM },
};

void atapi_packet(IdeChannel *ch)
{
    IdeDrive *d = &ch->drive[ch->x.unit];
    uint8_t cdb[PACKET_LEN];
    memcpy(cdb, ch->buf, sizeof(cdb));
    for (unsigned i = 0; i < ARRAY_LEN(packets); i++) {
        if (packets[i].op != cdb[0])
            continue;
        if (d->unit_attention && !(packets[i].flags & SKIPS_ATTENTION)) {
            d->unit_attention = false;
            sense(ch, KEY_ATTENTION, ASC_MEDIUM_CHANGED);
        } else if (packets[i].flags & NEEDS_MEDIUM && !blocks(d)) {
            sense(ch, KEY_NOT_READY, ASC_NO_MEDIUM);
        } else {
            packets[i].fn(ch, d, cdb);
        }
        return;
    }
    sense(ch, KEY_ILLEGAL, ASC_INVALID_OP);
}

/* ---- IDENTIFY PACKET DEVICE (ATA/ATAPI-6 8.16) ---- */

void atapi_identify(IdeChannel *ch)
{
    const IdeDrive *d = ide_selected(ch);
    uint8_t *b = ch->buf;
    memset(b, 0, IDE_SECTOR);
    store_le16(b, 0x85c0);      /* packet device, CD-ROM, removable, accelerated DRQ, 12-byte packets */
    ide_string(b + 20, d->serial, 20);
    ide_string(b + 46, d->version, 8);
    ide_string(b + 54, d->model, 40);
    store_le16(b + 98, 1 << 11 | 1 << 9 | 1 << 8);
    store_le16(b + 106, 7);
    store_le16(b + 126, (uint16_t)(7 | ((d->dma_mode & 0xf8) == 0x20 ? 1u << (8 + (d->dma_mode & 7)) : 0)));
    store_le16(b + 128, 3);
    for (unsigned i = 65; i < 69; i++)
        store_le16(b + 2 * i, 180);
    store_le16(b + 160, 0x70);
    store_le16(b + 176, (uint16_t)(0x3f | ((d->dma_mode & 0xf8) == 0x40 ? 1u << (8 + (d->dma_mode & 7)) : 0)));
    store_le16(b + 186, 1 << 14 | 1 << 13 | 1);
    ide_reply(ch, IDE_SECTOR);
}
