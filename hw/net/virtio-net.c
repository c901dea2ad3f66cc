/*
 * Virtio network device (virtio 1.2, 5.1): one queue pair, merged receive buffers, a control queue for MAC and receive modes.
 *
 * Checksum offload is offered always: where the peer takes whole frames only, the checksum is filled in here, which is cheaper than in a
 * translated guest. Segmentation is offered only if the peer does it.
 */
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <stdatomic.h>
#include <string.h>

#include "hw/virtio/virtio-mmio.h"
#include "hw/virtio/virtio-pci.h"
#include "util/bits.h"
#include "vmm/netdev.h"

enum { HDR_LEGACY = 10, HDR = 12, ETH = 6, MAC_TABLE = 64, MERGE_MAX = 64, CTRL_MAX = 64 * 1024 };

typedef struct VirtioNet {
    VirtioDevice v;             /* must be first */
    NetPort *backend;           /* option, may be NULL */
    uint8_t mac_opt[ETH];
    uint16_t mtu;
    int32_t bootindex;
    bool csum_opt, gso_opt, mrg_opt;
    NetPort *port;
    _Atomic bool flush_pending; /* flush_now is on its way to the loop */
    VirtQueue *rx, *tx, *ctrl;
    bool rx_blocked;            /* a frame was refused for want of buffers */
    uint8_t *bounce;            /* NET_MAX_FRAME, for checksums */
    /* saved: */
    uint8_t mac[ETH];
    bool promisc, allmulti, alluni, nomulti, nouni, nobcast;
    uint8_t uni[MAC_TABLE][ETH], multi[MAC_TABLE][ETH];
    uint16_t n_uni, n_multi;
    bool uni_overflow, multi_overflow;
} VirtioNet;

static VirtioNet *net(VirtioDevice *v)
{
    return (VirtioNet *)v;
}

static unsigned hdr_len(const VirtioNet *s)
{
    return virtio_has(&s->v, VIRTIO_F_VERSION_1) || virtio_has(&s->v, VIRTIO_NET_F_MRG_RXBUF) ? HDR : HDR_LEGACY;
}

/* ---- flush of what waits for us, without our lock ---- */

static void flush_now(void *opaque)
{
    VirtioNet *s = opaque;
    atomic_store(&s->flush_pending, false);
    netport_flush(s->port);
}

static void flush_soon(VirtioNet *s)
{
    if (!atomic_exchange(&s->flush_pending, true))
        loop_defer(s->v.dev.loop, flush_now, s);
}

/* ---- receive ---- */

static bool in_table(const uint8_t table[][ETH], unsigned n, const uint8_t *mac)
{
    for (unsigned i = 0; i < n; i++)
        if (!memcmp(table[i], mac, ETH))
            return true;
    return false;
}

static bool wanted(const VirtioNet *s, const uint8_t *dst)
{
    static const uint8_t bcast[ETH] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
    if (s->promisc)
        return true;
    if (!memcmp(dst, bcast, ETH))
        return !s->nobcast;
    if (dst[0] & 1)
        return !s->nomulti && (s->allmulti || s->multi_overflow || in_table(s->multi, s->n_multi, dst));
    return !s->nouni && (s->alluni || s->uni_overflow || !memcmp(dst, s->mac, ETH) || in_table(s->uni, s->n_uni, dst));
}

static void fill_hdr(const VirtioNet *s, const NetOffload *off, unsigned n_buffers, uint8_t *h)
{
    memset(h, 0, HDR);
    if (off && (off->flags || off->gso_type)) {
        h[0] = off->flags;
        h[1] = off->gso_type;
        store_le16(h + 2, off->hdr_len);
        store_le16(h + 4, off->gso_size);
        store_le16(h + 6, off->csum_start);
        store_le16(h + 8, off->csum_offset);
    } else if (virtio_has(&s->v, VIRTIO_NET_F_GUEST_CSUM)) {
        /* It came from this process or through the host's stack: the guest need not look at the checksum. */
        h[0] = VIRTIO_NET_HDR_F_DATA_VALID;
    }
    store_le16(h + 10, (uint16_t)n_buffers);
}

/* Buffers for @need bytes, header included: their number, 0 if there are not enough now, -1 if there never will be. */
static int take_buffers(VirtioNet *s, uint64_t need, VirtqElem **e)
{
    unsigned n = 0;
    uint64_t have = 0;
    while (have < need && n < MERGE_MAX && (e[n] = virtq_pop(s->rx, sizeof(VirtqElem)))) {
        have += e[n++]->in_len;
        if (!virtio_has(&s->v, VIRTIO_NET_F_MRG_RXBUF))
            break;
    }
    if (have >= need)
        return (int)n;
    bool never = n == MERGE_MAX || (n && !virtio_has(&s->v, VIRTIO_NET_F_MRG_RXBUF));
    while (n--) {
        virtq_unpop(e[n]);
        virtq_free(e[n]);
    }
    return never ? -1 : 0;
}

/* Copy header and frame across the buffers and hand them over. */
static void fill_buffers(VirtioNet *s, VirtqElem **e, unsigned n, const uint8_t *hdr, const struct iovec *iov, unsigned n_iov, uint64_t len)
{
    uint64_t written[MERGE_MAX], done = 0;
    unsigned h = hdr_len(s);
    for (unsigned i = 0; i < n; i++) {
        uint64_t at = 0, room = e[i]->in_len;
        if (i == 0)
            at = iov_write(e[0]->in, e[0]->n_in, 0, hdr, h);
        uint64_t part = MIN(room - at, len - done);
        for (uint64_t left = part; left;) {
            uint8_t *chunk = s->bounce;
            size_t now = iov_read(iov, n_iov, done, chunk, MIN(left, NET_MAX_FRAME));
            iov_write(e[i]->in, e[i]->n_in, at, chunk, now);
            done += now;
            at += now;
            left -= now;
        }
        written[i] = at;
    }
    virtq_push_many(e, written, n);
    for (unsigned i = 0; i < n; i++)
        virtq_free(e[i]);
}

/* NetPortOps.receive: device lock held. */
static ssize_t net_receive(void *opaque, const struct iovec *iov, unsigned n_iov, const NetOffload *off)
{
    VirtioNet *s = opaque;
    VirtqElem *e[MERGE_MAX];
    uint8_t hdr[HDR], dst[ETH];
    uint64_t len = 0;
    for (unsigned i = 0; i < n_iov; i++)
        len += iov[i].iov_len;
    if (!virtio_running(&s->v) || !s->rx->ready)
        return (ssize_t)len;
    if (len > NET_MAX_FRAME || iov_read(iov, n_iov, 0, dst, ETH) != ETH || !wanted(s, dst))
        return (ssize_t)len;
    int n = take_buffers(s, hdr_len(s) + len, e);
    if (n == 0) {
        /* Ask to be told of new buffers, then look once more: some may have come in between. */
        virtq_set_notification(s->rx, true);
        n = take_buffers(s, hdr_len(s) + len, e);
    }
    if (n <= 0) {
        s->rx_blocked = n == 0 && !s->v.broken;
        return n == 0 && !s->v.broken ? 0 : (ssize_t)len;
    }
    virtq_set_notification(s->rx, false);
    fill_hdr(s, off, (unsigned)n, hdr);
    fill_buffers(s, e, (unsigned)n, hdr, iov, n_iov, len);
    virtq_notify(s->rx);
    return (ssize_t)len;
}

static void net_link(void *opaque, bool up)
{
    VirtioNet *s = opaque;
    virtio_notify_config(&s->v);
}

static const NetPortOps net_port_ops = { .receive = net_receive, .link = net_link };

/* ---- transmit ---- */

/* Complete a checksum the driver left to us (5.1.6.2); false if it lies outside the frame. */
static bool fill_checksum(VirtioNet *s, const NetOffload *off, uint64_t len)
{
    uint32_t start = off->csum_start, at = start + off->csum_offset;
    uint64_t sum = 0;
    if (start > len || at + 2 > len)
        return false;
    for (uint64_t i = start; i < len; i++)
        sum += (i - start) & 1 ? s->bounce[i] : (uint64_t)s->bounce[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    uint16_t csum = (uint16_t)~sum;
    store_be16(s->bounce + at, csum ? csum : 0xffff);
    return true;
}

static void transmit(VirtioNet *s, VirtqElem *e)
{
    uint8_t h[HDR] = { 0 };
    unsigned hl = hdr_len(s);
    if (e->out_len <= hl || e->out_len - hl > NET_MAX_FRAME) {
        device_guest_error(&s->v.dev, "frame of %" G_GUINT64_FORMAT " bytes", e->out_len);
        return;
    }
    uint64_t len = e->out_len - hl;
    iov_read(e->out, e->n_out, 0, h, hl);
    NetOffload off = { .flags = h[0] & VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_type = h[1], .hdr_len = load_le16(h + 2), .gso_size = load_le16(h + 4),
                       .csum_start = load_le16(h + 6), .csum_offset = load_le16(h + 8) };
    unsigned n = iov_skip(e->out, e->n_out, hl);
    struct iovec flat = { s->bounce, len };
    bool offloads = netport_peer_offloads(s->port);
    if (off.gso_type != VIRTIO_NET_HDR_GSO_NONE && (!offloads || off.gso_size == 0)) {
        device_guest_error(&s->v.dev, "segmentation was not negotiated");
        return;
    }
    if (off.flags && !offloads) {
        iov_read(e->out, n, 0, s->bounce, len);
        if (!fill_checksum(s, &off, len)) {
            device_guest_error(&s->v.dev, "checksum outside the frame");
            return;
        }
        netport_send(s->port, &flat, 1, NULL);
        return;
    }
    if (off.flags && (uint64_t)off.csum_start + off.csum_offset + 2 > len)
        return;
    bool plain = !off.flags && !off.gso_type;
    netport_send(s->port, e->out, n, plain ? NULL : &off);
}

static void serve_tx(VirtioNet *s)
{
    VirtQueue *vq = s->tx;
    unsigned count = 0;
    do {
        VirtqElem *e;
        virtq_set_notification(vq, false);
        while (virtq_budget(vq, &count) && (e = virtq_pop(vq, sizeof(*e)))) {
            transmit(s, e);
            virtq_push(e, 0);
            virtq_free(e);
        }
        virtq_set_notification(vq, true);
    } while (count <= 2u * vq->num && !virtq_empty(vq));
    virtq_notify(vq);
    /* Answers that came while we held our lock wait in the core. */
    NetPort *peer = netport_peer(s->port);
    if (peer && !netport_can_send(peer))
        flush_soon(s);
}

/* ---- control queue (5.1.6.5) ---- */

static bool ctrl_rx(VirtioNet *s, uint8_t cmd, const uint8_t *d, size_t len)
{
    bool *const modes[] = { &s->promisc, &s->allmulti, &s->alluni, &s->nomulti, &s->nouni, &s->nobcast };
    if (cmd >= ARRAY_LEN(modes) || len < 1)
        return false;
    *modes[cmd] = d[0] != 0;
    return true;
}

/* One list of the filter table at *@at; false if it is cut short. More than we keep: everything of the kind passes. */
static bool read_macs(const uint8_t *d, size_t len, size_t *at, uint8_t table[][ETH], uint16_t *ret_n, bool *ret_overflow)
{
    if (len - *at < 4)
        return false;
    uint64_t n = load_le32(d + *at);
    *at += 4;
    if (n * ETH > len - *at)
        return false;
    *ret_overflow = n > MAC_TABLE;
    *ret_n = (uint16_t)MIN(n, MAC_TABLE);
    memcpy(table, d + *at, *ret_n * (size_t)ETH);
    *at += n * ETH;
    return true;
}

static bool ctrl_mac(VirtioNet *s, uint8_t cmd, const uint8_t *d, size_t len)
{
    size_t at = 0;
    switch (cmd) {
    case VIRTIO_NET_CTRL_MAC_ADDR_SET:
        if (len < ETH)
            return false;
        memcpy(s->mac, d, ETH);
        return true;
    case VIRTIO_NET_CTRL_MAC_TABLE_SET:
        return read_macs(d, len, &at, s->uni, &s->n_uni, &s->uni_overflow) &&
               read_macs(d, len, &at, s->multi, &s->n_multi, &s->multi_overflow);
    default:
        return false;
    }
}

static void ctrl_command(VirtioNet *s, VirtqElem *e)
{
    uint8_t ack = VIRTIO_NET_ERR;
    size_t len = (size_t)MIN(e->out_len, CTRL_MAX);
    g_autofree uint8_t *d = g_malloc(len + 1);
    iov_read(e->out, e->n_out, 0, d, len);
    bool ok = false;
    if (len >= 2 && d[0] == VIRTIO_NET_CTRL_RX)
        ok = ctrl_rx(s, d[1], d + 2, len - 2);
    else if (len >= 2 && d[0] == VIRTIO_NET_CTRL_MAC)
        ok = ctrl_mac(s, d[1], d + 2, len - 2);
    if (ok)
        ack = VIRTIO_NET_OK;
    virtq_push(e, iov_write(e->in, e->n_in, 0, &ack, 1));
    virtq_free(e);
}

static void serve_ctrl(VirtioNet *s)
{
    VirtQueue *vq = s->ctrl;
    unsigned count = 0;
    do {
        VirtqElem *e;
        virtq_set_notification(vq, false);
        while (virtq_budget(vq, &count) && (e = virtq_pop(vq, sizeof(*e))))
            ctrl_command(s, e);
        virtq_set_notification(vq, true);
    } while (count <= 2u * vq->num && !virtq_empty(vq));
    virtq_notify(vq);
}

static void net_queue(VirtQueue *vq)
{
    VirtioNet *s = net(vq->v);
    if (vq == s->tx) {
        serve_tx(s);
    } else if (vq == s->ctrl) {
        serve_ctrl(s);
    } else if (s->rx_blocked) {
        s->rx_blocked = false;
        flush_soon(s);
    }
}

/* ---- configuration, life ---- */

static void net_config_get(VirtioDevice *v, uint8_t *cfg)
{
    const VirtioNet *s = net(v);
    memcpy(cfg, s->mac, ETH);
    store_le16(cfg + 6, netport_link(s->port) && netport_peer(s->port) ? VIRTIO_NET_S_LINK_UP : 0);
    store_le16(cfg + 8, 1);
    store_le16(cfg + 10, s->mtu);
}

static void net_config_set(VirtioDevice *v, unsigned off, uint32_t val, unsigned size)
{
    /* Only drivers before virtio 1 set the address here (5.1.4.1). */
    for (unsigned i = 0; i < size && off + i < ETH && !virtio_has(v, VIRTIO_F_VERSION_1); i++)
        net(v)->mac[off + i] = (uint8_t)(val >> 8 * i);
}

static void net_reset(VirtioDevice *v)
{
    VirtioNet *s = net(v);
    memcpy(s->mac, s->mac_opt, ETH);
    /* A driver without the control queue gets everything. */
    s->promisc = true;
    s->allmulti = s->alluni = s->nomulti = s->nouni = s->nobcast = false;
    s->n_uni = s->n_multi = 0;
    s->uni_overflow = s->multi_overflow = s->rx_blocked = false;
}

static uint64_t net_features(const VirtioNet *s)
{
    uint64_t f = BIT(VIRTIO_NET_F_MAC) | BIT(VIRTIO_NET_F_STATUS) | BIT(VIRTIO_NET_F_CTRL_VQ) | BIT(VIRTIO_NET_F_CTRL_RX) |
                 BIT(VIRTIO_NET_F_CTRL_RX_EXTRA) | BIT(VIRTIO_NET_F_CTRL_MAC_ADDR);
    f |= s->mrg_opt ? BIT(VIRTIO_NET_F_MRG_RXBUF) : 0;
    f |= s->mtu ? BIT(VIRTIO_NET_F_MTU) : 0;
    if (!s->csum_opt)
        return f;
    f |= BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_GUEST_CSUM);
    if (s->gso_opt && netport_peer_offloads(s->port))
        f |= BIT(VIRTIO_NET_F_HOST_TSO4) | BIT(VIRTIO_NET_F_HOST_TSO6) | BIT(VIRTIO_NET_F_HOST_ECN) | BIT(VIRTIO_NET_F_GUEST_TSO4) |
             BIT(VIRTIO_NET_F_GUEST_TSO6) | BIT(VIRTIO_NET_F_GUEST_ECN);
    return f;
}

/* 52:54:00:12:34:56 and up, as people expect. */
static void default_mac(VirtioNet *s)
{
    static const uint8_t none[ETH];
    if (memcmp(s->mac_opt, none, ETH))
        return;
    const uint8_t base[ETH] = { 0x52, 0x54, 0x00, 0x12, 0x34, 0x56 };
    memcpy(s->mac_opt, base, ETH);
    const GPtrArray *siblings = s->v.dev.bus->children;
    for (guint i = 0; i < siblings->len; i++) {
        const Device *d = g_ptr_array_index(siblings, i);
        s->mac_opt[5] += d != &s->v.dev && d->klass == s->v.dev.klass;
    }
}

static bool net_realize(VirtioDevice *v, GError **err)
{
    VirtioNet *s = net(v);
    if (s->mac_opt[0] & 1) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL, "mac= is a multicast address: clear the lowest bit of the first byte");
        return false;
    }
    s->port = netport_new(v->dev.id, &net_port_ops, s, v->dev.lock, true);
    if (s->backend && !netport_connect(s->port, s->backend)) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_EXIST, "netdev '%s' serves another device already", netport_name(s->backend));
        netport_free(s->port);
        return false;
    }
    default_mac(s);
    s->bounce = g_malloc(NET_MAX_FRAME);
    v->host_features = net_features(s);
    s->rx = virtio_add_queue(v, 256);
    s->tx = virtio_add_queue(v, 256);
    s->ctrl = virtio_add_queue(v, 64);
    return true;
}

static void net_unrealize(VirtioDevice *v)
{
    VirtioNet *s = net(v);
    netport_disconnect(s->port);
    while (atomic_load(&s->flush_pending))      /* the call names us */
        loop_iterate(v->dev.loop, false);
    netport_free(s->port);
    g_clear_pointer(&s->bounce, g_free);
}

static bool net_post_load(Device *dev, unsigned version, GError **err)
{
    VirtioNet *s = (VirtioNet *)dev;
    if (s->n_uni > MAC_TABLE || s->n_multi > MAC_TABLE) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL, "MAC filter of %u and %u entries", s->n_uni, s->n_multi);
        return false;
    }
    s->rx_blocked = true;       /* whatever waits is offered again when the machine runs */
    return true;
}

static const FieldDesc net_fields[] = {
    FIELD_ARRAY(VirtioNet, mac), FIELD(VirtioNet, promisc), FIELD(VirtioNet, allmulti), FIELD(VirtioNet, alluni), FIELD(VirtioNet, nomulti),
    FIELD(VirtioNet, nouni), FIELD(VirtioNet, nobcast), FIELD_RAW(VirtioNet, uni), FIELD_RAW(VirtioNet, multi), FIELD(VirtioNet, n_uni),
    FIELD(VirtioNet, n_multi), FIELD(VirtioNet, uni_overflow), FIELD(VirtioNet, multi_overflow), { 0 }
};
static const DeviceSection net_state[] = {
    { .name = "virtio-net", .version = 1, .min_version = 1, .fields = net_fields, .post_load = net_post_load },
    { 0 }
};

static const PropDesc net_props[] = {
    VIRTIO_PCI_PROPS,
    PROP(VirtioNet, backend, PROP_REF, "netdev", .ref_type = "netdev", .help = "id of a -netdev"),
    PROP(VirtioNet, mac_opt, PROP_MAC, "mac", .help = "hardware address (default 52:54:00:12:34:56 and up)"),
    PROP(VirtioNet, bootindex, PROP_I32, "bootindex", .def = "-1", .help = "place in the boot order"),
    PROP(VirtioNet, mtu, PROP_U16, "host_mtu", .def = "0", .help = "MTU to advise (0: none)"),
    PROP(VirtioNet, mrg_opt, PROP_BOOL, "mrg_rxbuf", .def = "on", .help = "offer merged receive buffers"),
    PROP(VirtioNet, csum_opt, PROP_BOOL, "csum", .def = "on", .help = "offer checksum offload"),
    PROP(VirtioNet, gso_opt, PROP_BOOL, "gso", .def = "on", .help = "offer segmentation if the netdev can"),
    { 0 }
};

static const VirtioType net_type = {
    .id = VIRTIO_ID_NET, .config_size = 12,
    .realize = net_realize, .unrealize = net_unrealize, .reset = net_reset, .queue = net_queue,
    .config_get = net_config_get, .config_set = net_config_set,
};

const VirtioPciClass virtio_net_pci_class = {
    .pci = VIRTIO_PCI_CLASS("virtio-net-pci", "virtio network card", VirtioNet, 0x020000, .props = net_props, .state = net_state),
    .type = &net_type,
};

const VirtioMmioClass virtio_net_class = {
    .dev = VIRTIO_MMIO_CLASS("virtio-net-device", "virtio network card (MMIO)", VirtioNet, .props = net_props, .state = net_state), .type = &net_type,
};
