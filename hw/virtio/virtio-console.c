/* Virtio console (virtio 1.2, 5.3) with one port, over a character device. */
#include <linux/virtio_console.h>
#include <linux/virtio_ids.h>
#include <string.h>

#include "hw/virtio/virtio-mmio.h"
#include "hw/virtio/virtio-pci.h"
#include "util/bits.h"
#include "vmm/chardev.h"

enum { CHUNK = 4096 };

typedef struct VirtioConsole {
    VirtioDevice v;             /* must be first */
    CharDev *chr;               /* option, may be NULL: output vanishes */
    VirtQueue *rx, *tx;
    VirtqElem *out;             /* partly written: the back end is full */
    uint64_t out_done;
} VirtioConsole;

static VirtioConsole *console(VirtioDevice *v)
{
    return (VirtioConsole *)v;
}

/* ---- guest to host ---- */

/* True if the element is used up; false if the back end takes no more now. */
static bool write_out(VirtioConsole *s)
{
    uint8_t buf[CHUNK];
    while (s->out_done < s->out->out_len) {
        size_t len = iov_read(s->out->out, s->out->n_out, s->out_done, buf, sizeof(buf));
        size_t n = chardev_write(s->chr, buf, len);
        s->out_done += n;
        if (n < len)
            return false;
    }
    return true;
}

/* False if it stopped before the ring was empty: the back end is full, or this was enough for one notification. */
static bool drain_tx(VirtioConsole *s, unsigned *count)
{
    while (s->out || virtq_budget(s->tx, count)) {
        if (!s->out) {
            s->out = virtq_pop(s->tx, sizeof(VirtqElem));
            s->out_done = 0;
        }
        if (!s->out)
            return true;
        if (!write_out(s))
            return false;
        virtq_push(s->out, 0);
        virtq_free(s->out);
        s->out = NULL;
    }
    return false;
}

static void serve_tx(VirtioConsole *s)
{
    unsigned count = 0;
    bool empty;
    do {
        virtq_set_notification(s->tx, false);
        empty = drain_tx(s, &count);
        virtq_set_notification(s->tx, true);
    } while (empty && !virtq_empty(s->tx));
    virtq_notify(s->tx);
}

static void chr_writable(void *opaque)
{
    serve_tx(opaque);
}

/* ---- host to guest ---- */

static size_t chr_can_receive(void *opaque)
{
    VirtioConsole *s = opaque;
    VirtqElem *e = virtq_pop(s->rx, sizeof(*e));
    if (!e) {
        /* Ask to be told of new buffers, then look once more: some may have come in between. */
        virtq_set_notification(s->rx, true);
        e = virtq_pop(s->rx, sizeof(*e));
    }
    if (!e)
        return 0;
    size_t room = (size_t)MIN(e->in_len, SIZE_MAX);
    virtq_unpop(e);
    virtq_free(e);
    return room;
}

static void chr_receive(void *opaque, const uint8_t *buf, size_t len)
{
    VirtioConsole *s = opaque;
    while (len) {
        VirtqElem *e = virtq_pop(s->rx, sizeof(*e));
        if (!e)
            break;
        size_t n = iov_write(e->in, e->n_in, 0, buf, len);
        virtq_push(e, n);
        virtq_free(e);
        buf += n;
        len -= n;
    }
    virtq_notify(s->rx);
}

static const CharFrontOps chr_ops = { .can_receive = chr_can_receive, .receive = chr_receive, .writable = chr_writable };

/* ---- the rest ---- */

static void console_queue(VirtQueue *vq)
{
    VirtioConsole *s = console(vq->v);
    if (vq == s->tx)
        serve_tx(s);
    else if (s->chr)
        chardev_accept_input(s->chr);
}

static void console_config_get(VirtioDevice *v, uint8_t *cfg)
{
    store_le32(cfg + offsetof(struct virtio_console_config, max_nr_ports), 1);
}

/* EMERG_WRITE: a character without any queue (5.3.4). */
static void console_config_set(VirtioDevice *v, unsigned off, uint32_t val, unsigned size)
{
    uint8_t c = (uint8_t)val;
    if (off == offsetof(struct virtio_console_config, emerg_wr))
        chardev_write(console(v)->chr, &c, 1);
}

static void drop_out(VirtioConsole *s)
{
    if (!s->out)
        return;
    virtq_drop(s->out, 0);
    virtq_free(s->out);
    s->out = NULL;
}

static void console_reset(VirtioDevice *v)
{
    drop_out(console(v));
}

static bool console_realize(VirtioDevice *v, GError **err)
{
    VirtioConsole *s = console(v);
    v->host_features = BIT(VIRTIO_CONSOLE_F_EMERG_WRITE);
    s->rx = virtio_add_queue(v, 128);
    s->tx = virtio_add_queue(v, 128);
    if (s->chr && !chardev_attach(s->chr, &chr_ops, s, v->dev.lock)) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_EXIST, "chardev '%s' serves another device already", chardev_name(s->chr));
        return false;
    }
    return true;
}

static void console_unrealize(VirtioDevice *v)
{
    VirtioConsole *s = console(v);
    if (s->chr)
        chardev_detach(s->chr);
    drop_out(s);
}

static void console_resumed(VirtioDevice *v)
{
    if (console(v)->chr)
        chardev_accept_input(console(v)->chr);
}

/* Output that the back end has not taken yet cannot be put back into the ring half done. */
static bool console_can_save(const Device *dev, GError **err)
{
    const VirtioConsole *s = (const VirtioConsole *)dev;
    if (s->out) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_AGAIN, "'%s' still has output for its chardev: let its reader go on", dev->id);
        return false;
    }
    return true;
}

static const PropDesc console_props[] = {
    VIRTIO_PCI_PROPS,
    PROP(VirtioConsole, chr, PROP_REF, "chardev", .ref_type = "chardev", .help = "id of a -chardev"),
    { 0 }
};

static const VirtioType console_type = {
    .id = VIRTIO_ID_CONSOLE, .config_size = sizeof(struct virtio_console_config),
    .realize = console_realize, .unrealize = console_unrealize, .reset = console_reset, .queue = console_queue,
    .config_get = console_config_get, .config_set = console_config_set, .resumed = console_resumed,
};

const VirtioPciClass virtio_console_pci_class = {
    .pci = VIRTIO_PCI_CLASS("virtio-console-pci", "virtio console (one port)", VirtioConsole, 0x078000, .props = console_props,
                            .can_save = console_can_save),
    .type = &console_type,
};

const VirtioMmioClass virtio_console_class = {
    .dev = VIRTIO_MMIO_CLASS("virtio-console-device", "virtio console (one port, MMIO)", VirtioConsole, .props = console_props,
                             .can_save = console_can_save),
    .type = &console_type,
};
