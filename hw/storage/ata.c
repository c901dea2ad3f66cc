/* ATA disk commands (ATA/ATAPI-6, T13 1410D; chapter 8). */
#include <string.h>

#include "hw/storage/ide-internal.h"

enum { SELECT_LBA = 0x40 };

static uint64_t sectors(const IdeDrive *d)
{
    return d->node ? block_length(d->node) / IDE_SECTOR : 0;
}

/* ---- IDENTIFY DEVICE (8.15) ---- */

void ide_string(uint8_t *dst, const char *src, unsigned len)
{
    size_t n = strlen(src);
    for (unsigned i = 0; i < len; i++)
        dst[i ^ 1] = i < n ? (uint8_t)src[i] : ' ';
}

static void word(uint8_t *b, unsigned n, unsigned v)
{
    store_le16(b + 2 * n, (uint16_t)v);
}

static void identify_modes(const IdeDrive *d, uint8_t *b)
{
    word(b, 49, 1 << 11 | 1 << 9 | 1 << 8);     /* IORDY, LBA, DMA */
    word(b, 51, 2 << 8);
    word(b, 53, 7);                             /* words 54-58, 64-70, 88 are valid */
    word(b, 63, 7 | ((d->dma_mode & 0xf8) == 0x20 ? 1u << (8 + (d->dma_mode & 7)) : 0));
    word(b, 64, 3);                             /* PIO 3, 4 */
    for (unsigned i = 65; i < 69; i++)
        word(b, i, 120);
    word(b, 80, 0x70);                          /* ATA-4 to 6 */
    word(b, 88, 0x3f | ((d->dma_mode & 0xf8) == 0x40 ? 1u << (8 + (d->dma_mode & 7)) : 0));
    word(b, 93, 1 << 14 | 1 << 13 | 1);         /* 80-conductor cable */
}

static void identify(IdeChannel *ch)
{
    const IdeDrive *d = ide_selected(ch);
    uint8_t *b = ch->buf;
    uint64_t n = sectors(d);
    memset(b, 0, IDE_SECTOR);
    word(b, 0, 0x0040);
    word(b, 1, d->cyls);
    word(b, 3, d->heads);
    word(b, 6, d->secs);
    ide_string(b + 20, d->serial, 20);
    ide_string(b + 46, d->version, 8);
    ide_string(b + 54, d->model, 40);
    word(b, 47, 0x8000 | IDE_MULT_MAX);
    identify_modes(d, b);
    uint32_t per_cyl = d->cur_heads * d->cur_secs;
    uint64_t cyls = per_cyl ? MIN(n / per_cyl, 65535u) : 0;
    word(b, 54, (unsigned)cyls);
    word(b, 55, d->cur_heads);
    word(b, 56, d->cur_secs);
    store_le32(b + 114, (uint32_t)(cyls * per_cyl));
    word(b, 59, d->mult ? 0x100u | d->mult : 0);
    store_le32(b + 120, (uint32_t)MIN(n, 0x0fffffffu));
    word(b, 82, 1 << 14 | 1 << 5);              /* NOP, write cache */
    word(b, 83, 1 << 14 | 1 << 13 | 1 << 12 | 1 << 10);    /* FLUSH CACHE (EXT), 48-bit */
    word(b, 84, 1 << 14 | 1 << 6);              /* FUA */
    word(b, 85, 1 << 14 | (d->wcache ? 1 << 5 : 0));
    word(b, 86, 1 << 13 | 1 << 12 | 1 << 10);
    word(b, 87, 1 << 14 | 1 << 6);
    store_le64(b + 200, n);
    ide_reply(ch, IDE_SECTOR);
}

/* ---- addresses ---- */

static uint64_t get_lba(const IdeDrive *d, bool ext)
{
    uint64_t low = d->lba[0] | (uint64_t)d->lba[1] << 8 | (uint64_t)d->lba[2] << 16;
    if (ext)
        return low | (uint64_t)d->hob_lba[0] << 24 | (uint64_t)d->hob_lba[1] << 32 | (uint64_t)d->hob_lba[2] << 40;
    if (d->select & SELECT_LBA)
        return low | (uint64_t)(d->select & 15) << 24;
    uint64_t cyl = d->lba[1] | (uint64_t)d->lba[2] << 8;
    /* Sectors count from 1; sector 0 does not exist and becomes an address beyond every disk. */
    if (!d->lba[0])
        return UINT64_MAX / IDE_SECTOR;
    return (cyl * d->cur_heads + (d->select & 15)) * d->cur_secs + d->lba[0] - 1;
}

static void set_lba(IdeDrive *d, uint64_t lba, bool ext)
{
    for (unsigned i = 0; i < 3; i++) {
        d->lba[i] = (uint8_t)(lba >> 8 * i);
        if (ext)
            d->hob_lba[i] = (uint8_t)(lba >> (24 + 8 * i));
    }
    if (!ext)
        d->select = (uint8_t)((d->select & 0xf0) | (lba >> 24 & 15));
}

static uint32_t get_count(const IdeDrive *d, bool ext)
{
    uint32_t n = ext ? d->nsector | (uint32_t)d->hob_nsector << 8 : d->nsector;
    return n ? n : ext ? 65536 : 256;
}

/* ---- the table ---- */

enum { F_READ = 1, F_WRITE = 2, F_EXT = 4, F_DMA = 8, F_MULT = 16, F_FUA = 32, F_VERIFY = 64 };
typedef void AtaFn(IdeChannel *ch, unsigned flags);

static void cmd_rw(IdeChannel *ch, unsigned flags)
{
    IdeDrive *d = ide_selected(ch);
    bool ext = flags & F_EXT;
    uint64_t lba = get_lba(d, ext), n = get_count(d, ext);
    if (d->cd || (flags & F_MULT && !d->mult) || (flags & F_WRITE && block_read_only(d->node))) {
        ide_fail(ch, ER_ABRT);
        return;
    }
    if (!range_inside(lba, n, sectors(d))) {
        ide_fail(ch, ER_IDNF);
        return;
    }
    if (flags & F_VERIFY) {
        ide_ok(ch);
        return;
    }
    uint32_t block = IDE_SECTOR * (flags & F_MULT ? d->mult : 1u);
    /* Where a command ends is left in the registers; drivers look at it after errors only, so it is set at the start. */
    ide_start(ch, flags & F_WRITE ? XFER_WRITE : XFER_READ, lba * IDE_SECTOR, n * IDE_SECTOR, block, flags & F_DMA, flags & F_FUA);
}

static void cmd_flush(IdeChannel *ch, unsigned flags)
{
    if (ide_selected(ch)->node)
        ide_start(ch, XFER_FLUSH, 0, 0, 0, false, false);
    else
        ide_ok(ch);
}

static void cmd_identify(IdeChannel *ch, unsigned flags)
{
    if (!ide_selected(ch)->cd) {
        identify(ch);
        return;
    }
    /* A packet device aborts this and shows who it is (8.15.5). */
    ide_signature(ide_selected(ch));
    ide_fail(ch, ER_ABRT);
}

static void cmd_identify_packet(IdeChannel *ch, unsigned flags)
{
    if (ide_selected(ch)->cd)
        atapi_identify(ch);
    else
        ide_fail(ch, ER_ABRT);
}

static void cmd_packet(IdeChannel *ch, unsigned flags)
{
    if (ide_selected(ch)->cd)
        atapi_begin(ch);
    else
        ide_fail(ch, ER_ABRT);
}

static void cmd_nothing(IdeChannel *ch, unsigned flags)
{
    ide_ok(ch);
}

static void cmd_diagnostic(IdeChannel *ch, unsigned flags)
{
    for (unsigned i = 0; i < 2; i++) {
        ide_signature(&ch->drive[i]);
        ch->drive[i].error = 1;
        ch->drive[i].status = ch->drive[i].cd ? 0 : ST_DRDY | ST_DSC;
    }
    ch->unit = 0;
    ide_raise(ch);
}

static void cmd_set_params(IdeChannel *ch, unsigned flags)
{
    IdeDrive *d = ide_selected(ch);
    d->cur_heads = (d->select & 15u) + 1;
    d->cur_secs = d->nsector;
    ide_ok(ch);
}

static void cmd_set_multiple(IdeChannel *ch, unsigned flags)
{
    IdeDrive *d = ide_selected(ch);
    if (d->cd || d->nsector > IDE_MULT_MAX || (d->nsector && !is_pow2(d->nsector))) {
        ide_fail(ch, ER_ABRT);
        return;
    }
    d->mult = d->nsector;
    ide_ok(ch);
}

static void cmd_set_features(IdeChannel *ch, unsigned flags)
{
    IdeDrive *d = ide_selected(ch);
    switch (d->feature) {
    case 0x02:
        d->wcache = true;
        break;
    case 0x82:                  /* what was cached goes out first */
        d->wcache = false;
        cmd_flush(ch, 0);
        return;
    case 0x03:
        if (d->nsector >> 3 > 1 && (d->nsector & 0xf8) != 0x20 && (d->nsector & 0xf8) != 0x40) {
            ide_fail(ch, ER_ABRT);
            return;
        }
        d->dma_mode = d->nsector;
        break;
    case 0x05: case 0x85:       /* power management */
    case 0x55: case 0xaa:       /* read look-ahead */
    case 0x66: case 0xcc:       /* revert to power-on defaults */
    case 0x42: case 0xc2:       /* acoustic management */
        break;
    default:
        ide_fail(ch, ER_ABRT);
        return;
    }
    ide_ok(ch);
}

static void cmd_check_power(IdeChannel *ch, unsigned flags)
{
    ide_selected(ch)->nsector = 0xff;
    ide_ok(ch);
}

static void cmd_native_max(IdeChannel *ch, unsigned flags)
{
    IdeDrive *d = ide_selected(ch);
    uint64_t n = sectors(d);
    if (d->cd || !n) {
        ide_fail(ch, ER_ABRT);
        return;
    }
    set_lba(d, flags & F_EXT ? n - 1 : MIN(n, 0x0fffffffu) - 1, flags & F_EXT);
    ide_ok(ch);
}

static const struct { uint8_t first, last; AtaFn *fn; unsigned flags; } commands[] = {
    { 0x10, 0x1f, cmd_nothing, 0 },             /* RECALIBRATE */
    { 0x20, 0x21, cmd_rw, F_READ },
    { 0x24, 0x24, cmd_rw, F_READ | F_EXT },
    { 0x25, 0x25, cmd_rw, F_READ | F_EXT | F_DMA },
    { 0x27, 0x27, cmd_native_max, F_EXT },
    { 0x29, 0x29, cmd_rw, F_READ | F_EXT | F_MULT },
    { 0x30, 0x31, cmd_rw, F_WRITE },
    { 0x34, 0x34, cmd_rw, F_WRITE | F_EXT },
    { 0x35, 0x35, cmd_rw, F_WRITE | F_EXT | F_DMA },
    { 0x39, 0x39, cmd_rw, F_WRITE | F_EXT | F_MULT },
    { 0x3d, 0x3d, cmd_rw, F_WRITE | F_EXT | F_DMA | F_FUA },
    { 0x40, 0x41, cmd_rw, F_READ | F_VERIFY },
    { 0x42, 0x42, cmd_rw, F_READ | F_EXT | F_VERIFY },
    { 0x70, 0x7f, cmd_nothing, 0 },             /* SEEK */
    { 0x90, 0x90, cmd_diagnostic, 0 },
    { 0x91, 0x91, cmd_set_params, 0 },
    { 0x94, 0x97, cmd_nothing, 0 },             /* old numbers of STANDBY IMMEDIATE ... IDLE */
    { 0xa0, 0xa0, cmd_packet, 0 },
    { 0xa1, 0xa1, cmd_identify_packet, 0 },
    { 0xc4, 0xc4, cmd_rw, F_READ | F_MULT },
    { 0xc5, 0xc5, cmd_rw, F_WRITE | F_MULT },
    { 0xc6, 0xc6, cmd_set_multiple, 0 },
    { 0xc8, 0xc9, cmd_rw, F_READ | F_DMA },
    { 0xca, 0xcb, cmd_rw, F_WRITE | F_DMA },
    { 0xce, 0xce, cmd_rw, F_WRITE | F_EXT | F_MULT | F_FUA },
    { 0xe0, 0xe3, cmd_nothing, 0 },             /* STANDBY (IMMEDIATE), IDLE (IMMEDIATE) */
    { 0xe5, 0xe5, cmd_check_power, 0 },
    { 0xe6, 0xe6, cmd_nothing, 0 },             /* SLEEP */
    { 0xe7, 0xe7, cmd_flush, 0 },
    { 0xea, 0xea, cmd_flush, 0 },
    { 0xec, 0xec, cmd_identify, 0 },
    { 0xef, 0xef, cmd_set_features, 0 },
    { 0xf8, 0xf8, cmd_native_max, 0 },
};

void ata_command(IdeChannel *ch, uint8_t cmd)
{
    for (unsigned i = 0; i < ARRAY_LEN(commands); i++) {
        if (cmd < commands[i].first || cmd > commands[i].last)
            continue;
        if (commands[i].fn == cmd_rw && !ide_selected(ch)->node)
            break;
        commands[i].fn(ch, commands[i].flags);
        return;
    }
    ide_fail(ch, ER_ABRT);
}
