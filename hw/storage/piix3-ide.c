/* 82371SB (PIIX3) function 1: the PCI side of two IDE channels (data sheet 290550-002, 2.3), and the drives on them. */
#include <linux/pci_regs.h>
#include <string.h>

#include "hw/storage/ide-internal.h"
#include "vmm/machine.h"

enum { IDETIM = 0x40, SIDETIM = 0x44, BM_BAR = 4, BM_SIZE = 16, BM_BITS_CMD = 9, BM_ST_RW = 0x60, BM_ST_W1C = 6 };

/* ---- ports ---- */

static uint64_t command_read(IdeChannel *ch, uint64_t off, unsigned size)
{
    if (off == 0)
        return ide_data_read(ch, size);
    uint64_t v = 0;
    for (unsigned i = 0; i < size; i++)
        v |= (uint64_t)(off + i < 8 ? ide_read_port(ch, (unsigned)off + i) : 0xff) << 8 * i;
    return v;
}

static void command_write(IdeChannel *ch, uint64_t off, uint64_t val, unsigned size)
{
    if (off == 0) {
        ide_data_write(ch, val, size);
        return;
    }
    for (unsigned i = 0; i < size && off + i < 8; i++)
        ide_write_port(ch, (unsigned)off + i, (uint8_t)(val >> 8 * i));
}

static uint64_t command0_read(void *o, uint64_t off, unsigned size) { return command_read(&((IdeCtrl *)o)->ch[0], off, size); }
static uint64_t command1_read(void *o, uint64_t off, unsigned size) { return command_read(&((IdeCtrl *)o)->ch[1], off, size); }
static void command0_write(void *o, uint64_t off, uint64_t v, unsigned size) { command_write(&((IdeCtrl *)o)->ch[0], off, v, size); }
static void command1_write(void *o, uint64_t off, uint64_t v, unsigned size) { command_write(&((IdeCtrl *)o)->ch[1], off, v, size); }
static uint64_t control0_read(void *o, uint64_t off, unsigned size) { return ide_read_port(&((IdeCtrl *)o)->ch[0], 8); }
static uint64_t control1_read(void *o, uint64_t off, unsigned size) { return ide_read_port(&((IdeCtrl *)o)->ch[1], 8); }
static void control0_write(void *o, uint64_t off, uint64_t v, unsigned size) { ide_write_port(&((IdeCtrl *)o)->ch[0], 8, (uint8_t)v); }
static void control1_write(void *o, uint64_t off, uint64_t v, unsigned size) { ide_write_port(&((IdeCtrl *)o)->ch[1], 8, (uint8_t)v); }

static const MmioOps command_ops[2] = {
    { .read = command0_read, .write = command0_write, .min_size = 1, .max_size = 4, .unaligned = true },
    { .read = command1_read, .write = command1_write, .min_size = 1, .max_size = 4, .unaligned = true },
};
static const MmioOps control_ops[2] = {
    { .read = control0_read, .write = control0_write, .min_size = 1, .max_size = 1 },
    { .read = control1_read, .write = control1_write, .min_size = 1, .max_size = 1 },
};

/* ---- bus master registers ---- */

static uint64_t bm_read(void *opaque, uint64_t off, unsigned size)
{
    IdeCtrl *c = opaque;
    uint8_t img[BM_SIZE] = { 0 };
    for (unsigned i = 0; i < 2; i++) {
        img[8 * i] = c->ch[i].bm.cmd;
        img[8 * i + 2] = c->ch[i].bm.status;
        store_le32(img + 8 * i + 4, c->ch[i].bm.prd);
    }
    return load_le(img + off, size);
}

static void bm_command(IdeChannel *ch, uint8_t val)
{
    uint8_t old = ch->bm.cmd;
    ch->bm.cmd = val & BM_BITS_CMD;
    if (val & 1 && !(old & 1)) {
        ide_bm_start(ch);
    } else if (!(val & 1) && old & 1) {
        /* Stopped in the middle: what was moved is lost, the drive waits for a reset (rev. 1.0, 2.1). */
        bool busy = ch->x.dma && ch->x.io;
        if (busy) {
            ide_io_cancel(ch);
            ch->drive[ch->x.unit].status = ST_DRDY | ST_DSC;
            ch->x = (IdeXfer){ .unit = ch->x.unit };
        }
        ch->bm.status &= (uint8_t)~1;
    }
}

static void bm_write(void *opaque, uint64_t off, uint64_t val, unsigned size)
{
    IdeCtrl *c = opaque;
    for (unsigned i = 0; i < size; i++) {
        IdeChannel *ch = &c->ch[(off + i) / 8 & 1];
        unsigned r = (off + i) & 7;
        uint8_t v = (uint8_t)(val >> 8 * i);
        if (r == 0)
            bm_command(ch, v);
        else if (r == 2)
            ch->bm.status = (uint8_t)((ch->bm.status & ~BM_ST_RW & ~(v & BM_ST_W1C)) | (v & BM_ST_RW));
        else if (r >= 4)
            ch->bm.prd = (uint32_t)bits_put(ch->bm.prd, 8 * (r - 4), 8, v) & ~3u;
    }
}

static const MmioOps bm_ops = { .read = bm_read, .write = bm_write, .min_size = 1, .max_size = 4, .unaligned = true };

/* A driver may set up everything and turn on bus mastering last. */
static void ide_config_written(PciDevice *pci, unsigned off, unsigned len)
{
    IdeCtrl *c = (IdeCtrl *)pci;
    if (off >= 6 || off + len <= PCI_COMMAND)
        return;
    for (unsigned i = 0; i < 2; i++)
        if (c->ch[i].x.bm_wait)
            ide_io_step(&c->ch[i]);
}

/* ---- the buses "ide.0" and "ide.1" ---- */

typedef struct IdeDriveDev {
    Device dev;
    BlockNode *node;
    char *serial, *model, *version, *rerror, *werror;
    uint32_t unit;              /* 0, 1; 2 = the first free */
    int32_t bootindex;
    IdeChannel *ch;
    unsigned at;
} IdeDriveDev;

static bool ide_bus_attach(Bus *bus, Device *dev, GError **err)
{
    IdeChannel *ch = ((IdeBus *)bus)->ch;
    IdeDriveDev *s = (IdeDriveDev *)dev;
    s->at = s->unit < 2 ? s->unit : ch->drive[0].present ? 1 : 0;
    if (ch->drive[s->at].present) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_EXIST, "unit %u of '%s' is taken by '%s': choose another bus= or unit=", s->at, bus->name,
                    ch->drive[s->at].id);
        return false;
    }
    s->ch = ch;
    return true;
}

static const BusOps ide_bus_ops = { .kind = BUS_IDE, .attach = ide_bus_attach };

static bool drive_realize(Device *dev, GError **err)
{
    IdeDriveDev *s = (IdeDriveDev *)dev;
    bool cd = dev->klass == &ide_cd_class;
    IdeDrive d = { .present = true, .cd = cd, .node = s->node, .id = dev->id, .heads = 16, .secs = 63 };
    if (!block_parse_on_error(s->rerror, false, &d.rerror, err) || !block_parse_on_error(s->werror, true, &d.werror, err))
        return false;
    d.rerror = block_on_error(s->node, false, d.rerror);
    d.werror = block_on_error(s->node, true, d.werror);
    if (!s->serial)
        s->serial = g_strdup_printf("TD%05u", s->ch->index * 2 + s->at + 1);
    d.serial = s->serial;
    d.model = s->model ? s->model : cd ? "TANDEM DVD-ROM" : "TANDEM HARDDISK";
    d.version = s->version ? s->version : "1.0";
    if (s->node)
        d.cyls = (uint32_t)MIN(block_length(s->node) / IDE_SECTOR / (16 * 63), 16383u);
    DevLock *lock = s->ch->ctrl->pci.dev.lock;
    if (devlock_enter(lock)) {
        s->ch->drive[s->at] = d;
        ide_channel_reset(s->ch, true);
        devlock_leave(lock);
    }
    return true;
}

/* Requests in flight of this channel end first. */
static void quiesce(IdeChannel *ch, IdeDrive *d, BlockNode *node)
{
    Loop *loop = ch->ctrl->pci.dev.loop;
    if (node)
        block_drain_begin(node, loop);
    while (ch->in_flight)
        loop_iterate(loop, true);
    if (node)
        block_drain_end(node);
}

static void drive_unrealize(Device *dev)
{
    IdeDriveDev *s = (IdeDriveDev *)dev;
    DevLock *lock = s->ch->ctrl->pci.dev.lock;
    bool locked = devlock_enter(lock);
    ide_io_cancel(s->ch);
    ide_channel_reset(s->ch, false);
    if (locked)
        devlock_leave(lock);
    IdeDrive *d = &s->ch->drive[s->at];
    quiesce(s->ch, d, d->node);
    locked = devlock_enter(lock);
    *d = (IdeDrive){ 0 };
    if (locked)
        devlock_leave(lock);
}

void ide_cd_set_media(Device *cd, BlockNode *node)
{
    IdeDriveDev *s = (IdeDriveDev *)cd;
    g_assert(cd->klass == &ide_cd_class && cd->realized);
    IdeDrive *d = &s->ch->drive[s->at];
    DevLock *lock = s->ch->ctrl->pci.dev.lock;
    if (!devlock_enter(lock))
        return;
    BlockNode *old = d->node;
    d->node = node;
    d->tray_open = false;
    d->media_event = true;
    d->unit_attention = node != NULL;
    devlock_leave(lock);
    quiesce(s->ch, d, old);
}

bool ide_cd_locked(Device *cd)
{
    IdeDriveDev *s = (IdeDriveDev *)cd;
    DevLock *lock = s->ch->ctrl->pci.dev.lock;
    bool locked = false;
    if (devlock_enter(lock)) {
        locked = s->ch->drive[s->at].locked;
        devlock_leave(lock);
    }
    return locked;
}

#define IDE_DRIVE_PROPS(need)                                                                                                        \
    PROP(IdeDriveDev, node, PROP_REF, "drive", .ref_type = "drive", .required = need, .help = "id of a -drive with if=none"),        \
    PROP(IdeDriveDev, unit, PROP_U32, "unit", .def = "2", .max = 2, .help = "0 = master, 1 = slave, 2 = the first free"),            \
    PROP(IdeDriveDev, serial, PROP_STR, "serial", .help = "serial number, at most 20 characters"),                                   \
    PROP(IdeDriveDev, model, PROP_STR, "model", .help = "model name, at most 40 characters"),                                        \
    PROP(IdeDriveDev, version, PROP_STR, "ver", .help = "firmware version, at most 8 characters"),                                   \
    PROP(IdeDriveDev, bootindex, PROP_I32, "bootindex", .def = "-1", .help = "place in the boot order"),                             \
    PROP(IdeDriveDev, rerror, PROP_STR, "rerror", .help = "failed reads: auto (as the drive has it), report, ignore, stop"),                           \
    PROP(IdeDriveDev, werror, PROP_STR, "werror", .help = "failed writes: auto (as the drive has it), enospc, report, ignore, stop")

static const PropDesc hd_props[] = { IDE_DRIVE_PROPS(true), { 0 } };
static const PropDesc cd_props[] = { IDE_DRIVE_PROPS(false), { 0 } };

const DeviceClass ide_hd_class = {
    .name = "ide-hd", .summary = "IDE hard disk", .size = sizeof(IdeDriveDev), .bus = BUS_IDE, .props = hd_props,
    .realize = drive_realize, .unrealize = drive_unrealize,
};

const DeviceClass ide_cd_class = {
    .name = "ide-cd", .summary = "IDE CD-ROM drive", .size = sizeof(IdeDriveDev), .bus = BUS_IDE, .props = cd_props,
    .realize = drive_realize, .unrealize = drive_unrealize,
};

/* ---- the controller ---- */

static void ide_resume(void *opaque, Machine *m, const MachineEvent *ev)
{
    IdeCtrl *c = opaque;
    if (ev->kind != MACHINE_EV_STATE || ev->state != MACHINE_RUNNING || !devlock_enter(c->pci.dev.lock))
        return;
    for (unsigned i = 0; i < 2; i++)
        if (!c->ch[i].in_flight)
            ide_io_step(&c->ch[i]);
    devlock_leave(c->pci.dev.lock);
}

static void ide_reset(PciDevice *pci)
{
    IdeCtrl *c = (IdeCtrl *)pci;
    for (unsigned i = 0; i < 2; i++)
        ide_channel_reset(&c->ch[i], true);
}

static bool ide_realize(Device *dev, GError **err)
{
    IdeCtrl *c = (IdeCtrl *)dev;
    Machine *m = dev->bus->machine;
    static const char *const names[2][3] = { { "command0", "control0", "ide.0" }, { "command1", "control1", "ide.1" } };
    device_init_irqs(dev, 2);
    for (unsigned i = 0; i < 2; i++) {
        c->ch[i].ctrl = c;
        c->ch[i].index = i;
        c->ch[i].bus = &c->bus[i].bus;
        c->bus[i].ch = &c->ch[i];
        device_init_pio(dev, i, names[i][0], &command_ops[i], 8);
        device_init_pio(dev, 2 + i, names[i][1], &control_ops[i], 1);
        bus_init(&c->bus[i].bus, &ide_bus_ops, names[i][2], dev, m);
    }
    pci_set_wmask(&c->pci, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MASTER, 2);
    pci_config_set(&c->pci, PCI_STATUS, PCI_STATUS_FAST_BACK | PCI_STATUS_DEVSEL_MEDIUM, 2);
    pci_config_set(&c->pci, IDETIM, 0x80008000, 4);     /* both channels decode: what firmware sets */
    pci_set_wmask(&c->pci, IDETIM, UINT32_MAX, 4);
    pci_set_wmask(&c->pci, SIDETIM, 0xff, 1);
    pci_add_bar(&c->pci, BM_BAR, PCI_BAR_IO, false, mem_region_new_mmio(device_mem(dev), "bus-master", &bm_ops, c, BM_SIZE, dev->lock));
    machine_listen(m, ide_resume, c);
    return true;
}

static void ide_unrealize(Device *dev)
{
    IdeCtrl *c = (IdeCtrl *)dev;
    machine_unlisten(dev->bus->machine, ide_resume, c);
    for (unsigned i = 0; i < 2; i++)
        bus_clear(&c->bus[i].bus);
}

/* ---- saved state ---- */

static bool ide_can_save(const Device *dev, GError **err)
{
    const IdeCtrl *c = (const IdeCtrl *)dev;
    if (!c->ch[0].in_flight && !c->ch[1].in_flight)
        return true;
    g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_AGAIN, "'%s' has requests in flight: drain its drives first", dev->id);
    return false;
}

static bool xfer_ok(const IdeChannel *ch)
{
    const IdeXfer *x = &ch->x;
    const IdeDrive *d = &ch->drive[x->unit & 1];
    uint64_t size = d->node ? block_length(d->node) : 0;
    if (ch->unit > 1 || x->unit > 1 || x->kind > XFER_PACKET || x->fill > IDE_BUF || x->end > IDE_BUF || x->pos > x->end || x->block > IDE_BUF)
        return false;
    bool medium = x->kind == XFER_READ || x->kind == XFER_WRITE;
    if (medium && (!range_inside(x->offset, x->left, size) || (!x->dma && !x->block) || !d->node))
        return false;
    /* A write moves what lies in buf; a disk never writes read-only media; packets are 12 bytes. */
    if (x->kind == XFER_WRITE && (d->cd || block_read_only(d->node) || x->fill > x->left || x->end > x->left || x->packet))
        return false;
    if (x->kind == XFER_PACKET && (x->end != 12 || !d->cd))
        return false;
    if ((x->dma && x->kind != XFER_DATA && !medium) || (x->io && !x->dma && !medium && x->kind != XFER_FLUSH))
        return false;
    return x->kind != XFER_DATA || !x->packet || (x->block && d->cd);
}

static bool ide_post_load(Device *dev, unsigned version, GError **err)
{
    IdeCtrl *c = (IdeCtrl *)dev;
    for (unsigned i = 0; i < 2; i++) {
        IdeChannel *ch = &c->ch[i];
        ch->generation++;
        if (!xfer_ok(ch)) {
            g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL, "channel %u: impossible transfer", i);
            return false;
        }
        for (unsigned n = 0; n < 2; n++) {
            IdeDrive *d = &ch->drive[n];
            if (d->mult > IDE_MULT_MAX || (d->mult && !is_pow2(d->mult)) || d->cur_heads > 16 || d->cur_secs > 255) {
                g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL, "channel %u: impossible geometry", i);
                return false;
            }
        }
        ide_update_irq(ch);
    }
    return true;
}

static const FieldDesc drive_fields[] = {
    FIELD(IdeDrive, feature), FIELD(IdeDrive, error), FIELD(IdeDrive, nsector), FIELD_ARRAY(IdeDrive, lba), FIELD(IdeDrive, select),
    FIELD(IdeDrive, status), FIELD(IdeDrive, hob_feature), FIELD(IdeDrive, hob_nsector), FIELD_ARRAY(IdeDrive, hob_lba), FIELD(IdeDrive, mult),
    FIELD(IdeDrive, dma_mode), FIELD(IdeDrive, cur_heads), FIELD(IdeDrive, cur_secs), FIELD(IdeDrive, wcache), FIELD(IdeDrive, sense),
    FIELD(IdeDrive, asc), FIELD(IdeDrive, ascq), FIELD(IdeDrive, locked), FIELD(IdeDrive, tray_open), FIELD(IdeDrive, media_event),
    FIELD(IdeDrive, unit_attention), { 0 }
};
static const FieldDesc xfer_fields[] = {
    FIELD(IdeXfer, kind), FIELD(IdeXfer, unit), FIELD(IdeXfer, dma), FIELD(IdeXfer, fua), FIELD(IdeXfer, packet), FIELD(IdeXfer, io),
    FIELD(IdeXfer, bm_wait), FIELD(IdeXfer, offset), FIELD(IdeXfer, left), FIELD(IdeXfer, block), FIELD(IdeXfer, fill), FIELD(IdeXfer, pos),
    FIELD(IdeXfer, end), { 0 }
};
static const FieldDesc bm_fields[] = {
    FIELD(IdeBm, cmd), FIELD(IdeBm, status), FIELD(IdeBm, prd), FIELD(IdeBm, next_prd), FIELD(IdeBm, seg_addr), FIELD(IdeBm, seg_len),
    FIELD(IdeBm, n_prds), FIELD(IdeBm, eot), { 0 }
};
static const FieldDesc channel_fields[] = {
    FIELD_SUB_ARRAY(IdeChannel, drive, drive_fields), FIELD(IdeChannel, control), FIELD(IdeChannel, unit), FIELD(IdeChannel, irq),
    FIELD_SUB(IdeChannel, x, xfer_fields), FIELD_SUB(IdeChannel, bm, bm_fields), FIELD_RAW(IdeChannel, buf), { 0 }
};
static const FieldDesc ctrl_fields[] = { FIELD_SUB_ARRAY(IdeCtrl, ch, channel_fields), { 0 } };
static const DeviceSection ide_state[] = {
    { .name = "piix3-ide", .version = 1, .min_version = 1, .fields = ctrl_fields, .post_load = ide_post_load },
    { 0 }
};

const PciDeviceClass piix3_ide_class = {
    .dev = PCI_CLASS("piix3-ide", "PIIX3 IDE controller", IdeCtrl, .state = ide_state, .can_save = ide_can_save, .realize = ide_realize,
                     .unrealize = ide_unrealize, .internal = true),
    .vendor = 0x8086, .device = 0x7010, .class_code = 0x010180, .sub_vendor = 0x1af4, .sub_device = 0x1100,
    .config_written = ide_config_written, .reset = ide_reset,
};
