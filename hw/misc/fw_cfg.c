#include "hw/misc/fw_cfg.h"

#include <string.h>

#include "util/bits.h"
#include "vmm/machine.h"

enum {
    SIGNATURE = 0, ID = 1, FILE_FIRST = 0x20, FILE_SLOTS = 0x60, ITEMS = FILE_FIRST + FILE_SLOTS, FILE_NAME = 56, DIR_ENTRY = 64,
    ID_TRADITIONAL = 1, ID_DMA = 2, ENTRY_MASK = 0x3fff,
    DMA_ERROR = 1, DMA_READ = 2, DMA_SKIP = 4, DMA_SELECT = 8, DMA_WRITE = 16, DMA_DESC = 16,
    DMA_CHUNK = 65536,
};
static const char dma_signature[8] = { 'Q', 'E', 'M', 'U', ' ', 'C', 'F', 'G' };

typedef struct FwCfg {
    Device dev;
    Machine *m;
    GBytes *item[ITEMS];
    unsigned n_files;
    uint16_t selected;
    uint32_t offset;
    uint64_t dma_addr;
} FwCfg;

static void set_item(FwCfg *f, unsigned item, GBytes *b)
{
    if (f->item[item])
        g_bytes_unref(f->item[item]);
    f->item[item] = b;
}

void fw_cfg_set_item(Device *dev, unsigned item, const void *data, size_t len)
{
    g_assert(item < FILE_FIRST);
    set_item((FwCfg *)dev, item, g_bytes_new(data, len));
}

void fw_cfg_set_bytes(Device *dev, unsigned item, GBytes *data)
{
    g_assert(item < FILE_FIRST);
    set_item((FwCfg *)dev, item, g_bytes_ref(data));
}

void fw_cfg_setup(Device *dev, Machine *m)
{
    ((FwCfg *)dev)->m = m;
}

/* Bit 14 only says that a write is meant, bit 15 selects the architecture's own items, of which there are none. */
static const uint8_t *selected(FwCfg *f, gsize *ret_len)
{
    unsigned n = f->selected & ENTRY_MASK;
    *ret_len = 0;
    if (f->selected & 0x8000 || n >= ITEMS || !f->item[n])
        return NULL;
    return g_bytes_get_data(f->item[n], ret_len);
}

static void select_item(FwCfg *f, uint16_t item)
{
    f->selected = item;
    f->offset = 0;
}

/* Behind the end everything reads as zeros. */
static uint8_t next_byte(FwCfg *f)
{
    gsize len;
    const uint8_t *p = selected(f, &len);
    return f->offset < len ? p[f->offset++] : 0;
}

static uint64_t ports_read(void *opaque, uint64_t off, unsigned size)
{
    return off == 1 && size == 1 ? next_byte(opaque) : size == 2 ? 0xffff : 0xff;
}

static void ports_write(void *opaque, uint64_t off, uint64_t val, unsigned size)
{
    if (off == 0)
        select_item(opaque, (uint16_t)val);
}

static const MmioOps ports_ops = { .read = ports_read, .write = ports_write, .min_size = 1, .max_size = 2, .unaligned = true };

/* ---- DMA ---- */

/* False: the guest's address is bad. */
static bool dma_copy(FwCfg *f, uint64_t addr, uint64_t len)
{
    gsize size;
    const uint8_t *p = selected(f, &size);
    static const uint8_t zeros[DMA_CHUNK];
    uint64_t have = f->offset < size ? MIN(size - f->offset, len) : 0;
    if (have && as_dma_write(f->dev.dma, addr, p + f->offset, have) != MEM_OK)
        return false;
    f->offset += (uint32_t)have;
    for (uint64_t at = have; at < len; at += DMA_CHUNK)
        if (as_dma_write(f->dev.dma, addr + at, zeros, MIN(len - at, (uint64_t)DMA_CHUNK)) != MEM_OK)
            return false;
    return true;
}

/* The descriptor: control, length, address, big endian. The result goes into its control field. */
static void dma_run(FwCfg *f, uint64_t desc)
{
    uint8_t d[DMA_DESC], result[4];
    if (as_dma_read(f->dev.dma, desc, d, sizeof(d)) != MEM_OK) {
        device_guest_error(&f->dev, "DMA descriptor at 0x%" G_GINT64_MODIFIER "x is not in memory", desc);
        return;
    }
    uint32_t control = load_be32(d), len = load_be32(d + 4);
    bool ok = true;
    if (control & DMA_SELECT)
        select_item(f, (uint16_t)(control >> 16));
    if (control & DMA_READ)
        ok = dma_copy(f, load_be64(d + 8), len);
    else if (control & DMA_WRITE)
        ok = false;             /* nothing here is writable */
    else if (control & DMA_SKIP)
        f->offset = f->offset + len < f->offset ? UINT32_MAX : f->offset + len;
    store_be32(result, ok ? 0 : DMA_ERROR);
    as_dma_write(f->dev.dma, desc, result, sizeof(result));
}

static uint64_t dma_read(void *opaque, uint64_t off, unsigned size)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < size; i++)
        v = v << 8 | (uint8_t)dma_signature[off + i];
    return v;                   /* the region is big endian */
}

static void dma_write(void *opaque, uint64_t off, uint64_t val, unsigned size)
{
    FwCfg *f = opaque;
    if (size == 4 && off == 0) {
        f->dma_addr = val << 32;
    } else if (size == 4 || size == 8) {
        uint64_t desc = size == 8 ? val : f->dma_addr | val;
        f->dma_addr = 0;
        dma_run(f, desc);
    }
}

static const MmioOps dma_ops = { .read = dma_read, .write = dma_write, .min_size = 1, .max_size = 8, .endian = MMIO_BIG };

/* ---- the same as memory: data at 0, selector at 8, DMA at 16, all big endian (qemu,fw-cfg.txt) ---- */

enum { MMIO_SELECT = 8, MMIO_DMA = 16, MMIO_SIZE = 24 };

static uint64_t mmio_read(void *opaque, uint64_t off, unsigned size)
{
    uint64_t v = 0;
    if (off >= MMIO_DMA)
        return dma_read(opaque, off - MMIO_DMA, size);
    for (unsigned i = 0; off < MMIO_SELECT && i < size; i++)
        v = v << 8 | next_byte(opaque);
    return v;
}

static void mmio_write(void *opaque, uint64_t off, uint64_t val, unsigned size)
{
    if (off >= MMIO_DMA)
        dma_write(opaque, off - MMIO_DMA, val, size);
    else if (off == MMIO_SELECT && size >= 2)
        select_item(opaque, (uint16_t)(val >> 8 * (size - 2)));
}

static const MmioOps mmio_ops = { .read = mmio_read, .write = mmio_write, .min_size = 1, .max_size = 8, .endian = MMIO_BIG };

/* ---- files ---- */

static void add_file(const char *name, GBytes *data, void *opaque)
{
    FwCfg *f = opaque;
    if (f->n_files >= FILE_SLOTS || strlen(name) >= FILE_NAME)
        return;
    set_item(f, FILE_FIRST + f->n_files++, g_bytes_ref(data));
}

typedef struct Dir { uint8_t *p; unsigned n; } Dir;

static void add_dir_entry(const char *name, GBytes *data, void *opaque)
{
    Dir *d = opaque;
    uint8_t *e = d->p + 4 + DIR_ENTRY * d->n;
    if (d->n >= FILE_SLOTS || strlen(name) >= FILE_NAME)
        return;
    store_be32(e, (uint32_t)g_bytes_get_size(data));
    store_be16(e + 4, (uint16_t)(FILE_FIRST + d->n++));
    memcpy(e + 8, name, strlen(name));
}

static void fw_cfg_reset(Device *dev)
{
    FwCfg *f = (FwCfg *)dev;
    Dir d = { .p = g_malloc0(4 + DIR_ENTRY * FILE_SLOTS) };
    for (unsigned i = FILE_FIRST; i < ITEMS; i++)
        set_item(f, i, NULL);
    f->n_files = 0;
    if (f->m) {
        machine_foreach_fw_file(f->m, add_file, f);
        machine_foreach_fw_file(f->m, add_dir_entry, &d);
    }
    store_be32(d.p, d.n);
    set_item(f, FW_CFG_FILE_DIR, g_bytes_new_take(d.p, 4 + DIR_ENTRY * d.n));
    select_item(f, 0);
    f->dma_addr = 0;
}

static bool fw_cfg_realize(Device *dev, GError **err)
{
    FwCfg *f = (FwCfg *)dev;
    uint8_t id[4];
    device_init_pio(dev, 0, "ports", &ports_ops, 2);
    device_init_pio(dev, 1, "dma", &dma_ops, 8);
    device_init_mmio(dev, 0, "mmio", &mmio_ops, MMIO_SIZE);
    store_le32(id, ID_TRADITIONAL | ID_DMA);
    fw_cfg_set_item(dev, SIGNATURE, "QEMU", 4);
    fw_cfg_set_item(dev, ID, id, sizeof(id));
    f->n_files = 0;
    return true;
}

static void fw_cfg_unrealize(Device *dev)
{
    for (unsigned i = 0; i < ITEMS; i++)
        set_item((FwCfg *)dev, i, NULL);
}

static const FieldDesc fw_cfg_fields[] = { FIELD(FwCfg, selected), FIELD(FwCfg, offset), FIELD(FwCfg, dma_addr), { 0 } };
static const DeviceSection fw_cfg_state[] = { { .name = "fw_cfg", .version = 1, .min_version = 1, .fields = fw_cfg_fields }, { 0 } };

const DeviceClass fw_cfg_class = {
    .name = "fw_cfg", .summary = "configuration for firmware", .size = sizeof(FwCfg), .bus = BUS_SYS, .internal = true, .state = fw_cfg_state,
    .realize = fw_cfg_realize, .reset = fw_cfg_reset, .unrealize = fw_cfg_unrealize,
};
