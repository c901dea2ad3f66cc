#include "hw/storage/cfi-flash.h"

#include <string.h>

#include "block/block.h"
#include "util/bits.h"

/* Commands (AP-646 table 2) */
enum { PROGRAM = 0x10, ERASE = 0x20, PROGRAM_ALT = 0x40, CLEAR_STATUS = 0x50, LOCK_SETUP = 0x60, STATUS = 0x70, READ_ID = 0x90, QUERY = 0x98, SUSPEND = 0xb0,
       CONFIRM = 0xd0, BUFFERED = 0xe8, READ_ARRAY = 0xff };
enum { SR_READY = 0x80, SR_ERASE_ERROR = 0x20, SR_PROGRAM_ERROR = 0x10 };
enum { LANES = 2, BUFFER = 4096, GRANULE = 4096, RUN_MAX = 64 << 10, FLASH_MAX = 256 << 20 };

typedef struct CfiFlash {
    Device dev;
    BlockNode *drive;           /* property */
    uint64_t size;              /* property */
    MemRegion *container, *array, *commands;
    uint8_t read_mode;          /* READ_ARRAY, STATUS, READ_ID or QUERY */
    uint8_t pending;            /* command whose further writes are awaited, 0 = none */
    uint8_t status;
    uint32_t left;              /* BUFFERED: words still to come + 1, 0 = their number is awaited */
    uint64_t buf_start, buf_len;
    uint8_t buf[BUFFER];
    uint64_t *dirty;            /* a bit for each granule that the drive does not have yet */
    bool blank;                 /* erased all over: the array is not there yet, which saves its memory */
    bool broken;                /* the drive refused a write: said once */
    bool in_flight;
    BlockReq req;
    struct iovec iov;
    uint8_t run[RUN_MAX];
} CfiFlash;

static uint8_t *host(const CfiFlash *f) { return mem_region_ram_host(f->array); }
static uint64_t granules(const CfiFlash *f) { return DIV_UP(f->size, (uint64_t)GRANULE); }

/* ---- the drive ---- */

static bool is_dirty(const CfiFlash *f, uint64_t n) { return f->dirty[n / 64] >> n % 64 & 1; }

/* The next run that is to be written into f->run; 0: nothing. */
static uint64_t take_run(CfiFlash *f, uint64_t *ret_offset)
{
    uint64_t n = 0, end = granules(f), limit = block_length(f->drive);
    while (n < end && !is_dirty(f, n))
        n = f->dirty[n / 64] ? n + 1 : (n / 64 + 1) * 64;
    uint64_t first = n;
    for (; n < end && (n - first + 1) * GRANULE <= RUN_MAX && is_dirty(f, n); n++)
        f->dirty[n / 64] &= ~BIT(n % 64);
    *ret_offset = first * GRANULE;
    uint64_t len = MIN(n * GRANULE, f->size) - MIN(first * GRANULE, f->size);
    len = *ret_offset < limit ? MIN(len, limit - *ret_offset) : 0;
    memcpy(f->run, host(f) + MIN(*ret_offset, f->size - 1), len);
    return len;
}

static void write_back(CfiFlash *f);

static void written(BlockReq *req, int ret)
{
    CfiFlash *f = req->opaque;
    if (!devlock_enter(f->dev.lock))
        return;
    f->in_flight = false;
    if (ret && !f->broken)
        log_warn(f->dev.log, "%s: the flash image cannot be written: %s", f->dev.id, g_strerror(-ret));
    f->broken |= ret != 0;
    write_back(f);
    devlock_leave(f->dev.lock);
}

static void write_back(CfiFlash *f)
{
    if (!f->drive || f->in_flight || block_read_only(f->drive))
        return;
    uint64_t offset, len = take_run(f, &offset);
    if (!len)
        return;
    f->iov = (struct iovec){ f->run, len };
    f->req = (BlockReq){ .op = BLOCK_WRITE, .offset = offset, .len = len, .iov = &f->iov, .niov = 1, .done = written, .opaque = f, .loop = f->dev.loop };
    f->in_flight = true;
    block_submit(f->drive, &f->req);
}

/* ---- program and erase ---- */

/* Reads go to memory while they are to see the array and there is one. */
static void show_array(CfiFlash *f) { mem_region_set_access(f->commands, f->read_mode == READ_ARRAY && !f->blank ? MEM_W : MEM_RW); }

static void materialize(CfiFlash *f)
{
    if (f->blank)
        memset(host(f), 0xff, f->size);
    f->blank = false;
}

static bool change(CfiFlash *f, uint64_t off, const uint8_t *data, uint64_t len)
{
    RamBlock *b = mem_region_ram(f->array);
    if (!range_inside(off, len, f->size))
        return false;
    materialize(f);
    mem_pages_written(b, off, len);
    for (uint64_t i = 0; i < len; i++)
        host(f)[off + i] = data ? host(f)[off + i] & data[i] : 0xff;     /* programming only clears bits */
    mem_pages_stored(b, off, len);
    for (uint64_t n = off / GRANULE; len && n <= (off + len - 1) / GRANULE; n++)
        f->dirty[n / 64] |= BIT(n % 64);
    write_back(f);
    return true;
}

static void set_mode(CfiFlash *f, uint8_t mode)
{
    if (f->read_mode == mode)
        return;
    f->read_mode = mode;
    show_array(f);
}

static void finish(CfiFlash *f, uint8_t error)
{
    f->pending = 0;
    f->status |= SR_READY | error;
    set_mode(f, STATUS);
}

static void erase(CfiFlash *f, uint64_t off)
{
    uint64_t start = align_down(off, CFI_FLASH_SECTOR);
    finish(f, change(f, start, NULL, MIN((uint64_t)CFI_FLASH_SECTOR, f->size - MIN(start, f->size))) ? 0 : SR_ERASE_ERROR);
}

/* Number of words - 1, the words, then CONFIRM; all inside one buffer's worth from the first address on. */
static void buffered_write(CfiFlash *f, uint64_t off, uint64_t val, unsigned size)
{
    if (!f->left) {
        f->left = (uint32_t)(val & 0xffff) + 2;
        f->buf_len = 0;
    } else if (f->left > 1) {
        if (!f->buf_len)
            f->buf_start = off;
        uint64_t at = off - f->buf_start;
        if (at > f->buf_len || at + size > BUFFER) {
            finish(f, SR_PROGRAM_ERROR);
            return;
        }
        store_le(f->buf + at, size, val);
        f->buf_len = MAX(f->buf_len, at + size);
        f->left--;
    } else {
        finish(f, (val & 0xff) == CONFIRM && change(f, f->buf_start, f->buf, f->buf_len) ? 0 : SR_PROGRAM_ERROR);
    }
}

/* ---- accesses ---- */

/* The first write of a command. */
static void command(CfiFlash *f, uint8_t cmd)
{
    switch (cmd) {
    case PROGRAM: case PROGRAM_ALT: case ERASE: case LOCK_SETUP:
        f->pending = cmd;
        set_mode(f, STATUS);
        break;
    case BUFFERED:
        f->pending = cmd;
        f->left = 0;
        f->status |= SR_READY;
        set_mode(f, STATUS);
        break;
    case CLEAR_STATUS:
        f->status = SR_READY;
        set_mode(f, READ_ARRAY);
        break;
    case STATUS: case READ_ID: case QUERY: set_mode(f, cmd); break;
    case SUSPEND: case CONFIRM: set_mode(f, STATUS); break;      /* nothing ever is under way */
    default: set_mode(f, READ_ARRAY); break;
    }
}

static void flash_write(void *opaque, uint64_t off, uint64_t val, unsigned size)
{
    CfiFlash *f = opaque;
    uint8_t bytes[8], cmd = (uint8_t)val;
    store_le(bytes, size, val);
    switch (f->pending) {
    case 0: command(f, cmd); break;
    case PROGRAM: case PROGRAM_ALT: finish(f, change(f, off, bytes, size) ? 0 : SR_PROGRAM_ERROR); break;
    case ERASE:
        if (cmd == CONFIRM)
            erase(f, off);
        else
            finish(f, SR_ERASE_ERROR | SR_PROGRAM_ERROR);
        break;
    case BUFFERED: buffered_write(f, off, val, size); break;
    default: finish(f, 0); break;                       /* LOCK_SETUP: locks are not kept */
    }
}

/* Byte @n of the query (JESD68.01 table 1), as each of the chips tells it. */
static uint8_t query_byte(const CfiFlash *f, uint64_t n)
{
    static const uint8_t head[] = { 'Q', 'R', 'Y', 0x01, 0x00, 0x31, 0x00, 0x00, 0x00, 0x00, 0x00, 0x45, 0x55, 0x00, 0x00, 0x07, 0x07, 0x0a, 0x00, 0x04,
                                    0x04, 0x04, 0x00 };
    static const uint8_t extended[] = { 'P', 'R', 'I', '1', '0', 0, 0, 0, 0, 0, 0, 0, 0, 0, 1 };
    uint32_t sectors = (uint32_t)(f->size / CFI_FLASH_SECTOR) - 1, per_chip = CFI_FLASH_SECTOR / LANES / 256;
    const uint8_t geometry[] = { (uint8_t)(63 - __builtin_clzll(f->size / LANES)), 0x01, 0x00, 11, 0x00, 1, (uint8_t)sectors, (uint8_t)(sectors >> 8),
                                 (uint8_t)per_chip, (uint8_t)(per_chip >> 8) };
    if (n >= 0x10 && n < 0x10 + sizeof(head))
        return head[n - 0x10];
    if (n >= 0x27 && n < 0x27 + sizeof(geometry))
        return geometry[n - 0x27];
    return n >= 0x31 && n < 0x31 + sizeof(extended) ? extended[n - 0x31] : 0;
}

static uint8_t id_byte(uint64_t n) { return (n & 0xff) == 0 ? 0x89 : (n & 0xff) == 1 ? 0x18 : 0; }

static uint64_t flash_read(void *opaque, uint64_t off, unsigned size)
{
    CfiFlash *f = opaque;
    if (f->read_mode == READ_ARRAY)
        return f->blank ? bits_mask(8 * size) : load_le(host(f) + off, size);
    uint64_t word = off / 4, v = f->read_mode == STATUS ? f->status : f->read_mode == READ_ID ? id_byte(word) : query_byte(f, word);
    v |= v << 16;               /* both chips say the same */
    return (off & 3 ? v >> 8 * (off & 3) : v | v << 32) & bits_mask(8 * size);
}

static const MmioOps flash_ops = { .read = flash_read, .write = flash_write, .min_size = 1, .max_size = 4 };

/* ---- life ---- */

bool cfi_flash_fill(Device *dev, const void *data, size_t len)
{
    CfiFlash *f = (CfiFlash *)dev;
    if (len > f->size)
        return false;
    materialize(f);
    memcpy(host(f), data, len);
    show_array(f);
    return true;
}

static bool load_drive(CfiFlash *f, GError **err)
{
    uint64_t len = block_length(f->drive);
    if (len > f->size) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s is too long for the flash (%" PRIu64 " of at most %" PRIu64 " bytes)", block_name(f->drive), len, f->size);
        return false;
    }
    materialize(f);
    int r = len ? block_pread(f->drive, 0, host(f), len) : 0;
    if (r)
        g_set_error(err, G_FILE_ERROR, g_file_error_from_errno(-r), "%s cannot be read: %s", block_name(f->drive), g_strerror(-r));
    return !r;
}

static void flash_unrealize(Device *dev)
{
    CfiFlash *f = (CfiFlash *)dev;
    if (f->drive)
        block_drain_begin(f->drive, dev->loop);
    if (f->drive)
        block_drain_end(f->drive);
    for (uint64_t offset, len; f->drive && f->dirty && !block_read_only(f->drive) && (len = take_run(f, &offset));)
        if (block_pwrite(f->drive, offset, f->run, len, 0))
            break;
    mem_region_unref(f->array);
    mem_region_unref(f->commands);
    g_free(f->dirty);
    f->dirty = NULL;
}

static bool flash_realize(Device *dev, GError **err)
{
    CfiFlash *f = (CfiFlash *)dev;
    MemSystem *ms = device_mem(dev);
    g_autofree char *name = g_strdup_printf("%s.array", dev->id);
    if (!is_pow2(f->size)) {
        g_set_error(err, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "the size of a flash bank is a power of two");
        return false;
    }
    f->array = mem_region_new_rom(ms, name, f->size, err);
    if (!f->array)
        return false;
    f->blank = true;
    f->dirty = g_new0(uint64_t, DIV_UP(granules(f), 64));
    f->commands = mem_region_new_mmio(ms, "commands", &flash_ops, f, f->size, dev->lock);
    if (f->drive && !load_drive(f, err)) {
        f->drive = NULL;
        flash_unrealize(dev);
        return false;
    }
    f->container = mem_region_new_container(ms, dev->id, f->size);
    mem_region_add(f->container, 0, f->array, 0);
    mem_region_add(f->container, 0, f->commands, 1);
    f->read_mode = READ_ARRAY;
    show_array(f);
    device_init_mem(dev, 0, f->container);
    return true;
}

static void flash_reset(Device *dev)
{
    CfiFlash *f = (CfiFlash *)dev;
    f->pending = 0;
    f->left = 0;
    f->buf_start = f->buf_len = 0;
    memset(f->buf, 0, sizeof(f->buf));
    f->status = SR_READY;
    set_mode(f, READ_ARRAY);
}

static bool flash_post_load(Device *dev, unsigned version, GError **err)
{
    CfiFlash *f = (CfiFlash *)dev;
    static const uint8_t modes[] = { READ_ARRAY, STATUS, READ_ID, QUERY };
    bool known = memchr(modes, f->read_mode, sizeof(modes)) != NULL;
    if (!known || f->buf_len > BUFFER || f->left > 0x10001) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL, "the saved state of the flash is damaged");
        f->read_mode = READ_ARRAY;
        f->blank = false;
        return false;
    }
    show_array(f);
    return true;
}

static const PropDesc flash_props[] = {
    PROP(CfiFlash, size, PROP_SIZE, "size", .def = "1M", .min = CFI_FLASH_SECTOR, .max = FLASH_MAX, .help = "of the bank, a power of two"),
    PROP(CfiFlash, drive, PROP_REF, "drive", .ref_type = "drive", .help = "where it is kept"), { 0 }
};
static const FieldDesc flash_fields[] = {
    FIELD(CfiFlash, read_mode), FIELD(CfiFlash, pending), FIELD(CfiFlash, status), FIELD(CfiFlash, left), FIELD(CfiFlash, buf_start), FIELD(CfiFlash, buf_len),
    FIELD_ARRAY(CfiFlash, buf), FIELD(CfiFlash, blank), { 0 }
};
static const DeviceSection flash_state[] = {
    { .name = "cfi-flash", .version = 1, .min_version = 1, .fields = flash_fields, .post_load = flash_post_load }, { 0 }
};

const DeviceClass cfi_flash_class = {
    .name = "cfi-flash", .summary = "parallel NOR flash", .size = sizeof(CfiFlash), .bus = BUS_SYS, .internal = true, .props = flash_props,
    .state = flash_state, .realize = flash_realize, .reset = flash_reset, .unrealize = flash_unrealize,
};
