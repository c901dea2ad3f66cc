/* Virtio entropy device (virtio 1.2, 5.4). */
#include <linux/virtio_ids.h>
#include <string.h>

#include "hw/virtio/virtio-mmio.h"
#include "hw/virtio/virtio-pci.h"
#include "util/random.h"

/* Bytes given for one buffer at most; the driver asks again (5.4.6.1 lets us give less). */
enum { CHUNK = 4096 };

typedef struct VirtioRng {
    VirtioDevice v;             /* must be first */
} VirtioRng;

static void rng_queue(VirtQueue *vq)
{
    unsigned count = 0;
    uint8_t buf[CHUNK];
    do {
        VirtqElem *e;
        virtq_set_notification(vq, false);
        while (virtq_budget(vq, &count) && (e = virtq_pop(vq, sizeof(*e)))) {
            size_t len = (size_t)MIN(e->in_len, CHUNK);
            random_bytes(buf, len);
            virtq_push(e, iov_write(e->in, e->n_in, 0, buf, len));
            virtq_free(e);
        }
        virtq_set_notification(vq, true);
    } while (count <= 2u * vq->num && !virtq_empty(vq));
    memset(buf, 0, sizeof(buf));
    virtq_notify(vq);
}

static bool rng_realize(VirtioDevice *v, GError **err)
{
    virtio_add_queue(v, 8);
    return true;
}

static const PropDesc rng_props[] = { VIRTIO_PCI_PROPS, { 0 } };

static const VirtioType rng_type = { .id = VIRTIO_ID_RNG, .realize = rng_realize, .queue = rng_queue };

const VirtioPciClass virtio_rng_pci_class = {
    .pci = VIRTIO_PCI_CLASS("virtio-rng-pci", "virtio source of random numbers", VirtioRng, 0x00ff00, .props = rng_props),
    .type = &rng_type,
};

const VirtioMmioClass virtio_rng_class = {
    .dev = VIRTIO_MMIO_CLASS("virtio-rng-device", "virtio source of random numbers (MMIO)", VirtioRng, .props = rng_props), .type = &rng_type,
};
