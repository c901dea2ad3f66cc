/* Virtio devices independent of transport and type: status, features, configuration (virtio 1.2, chapters 2 and 3). */
#include "hw/virtio/virtio.h"

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "hw/virtio/virtio-internal.h"
#include "util/bits.h"
#include "vmm/machine.h"

VirtQueue *virtio_add_queue(VirtioDevice *v, unsigned num_max)
{
    g_assert(v->n_queues < VIRTIO_MAX_QUEUES && is_pow2(num_max) && num_max <= VIRTQ_MAX_NUM);
    VirtQueue *vq = &v->vq[v->n_queues];
    vq->v = v;
    vq->index = (uint16_t)v->n_queues++;
    vq->num_max = (uint16_t)num_max;
    vq->event_fd = -1;
    return vq;
}

static void say_broken(VirtioDevice *v, const char *text)
{
    if (v->broken)
        return;
    v->broken = true;
    device_guest_error(&v->dev, "%s; the device waits for a reset", text);
    /* Only drivers of virtio 1 know the bit and expect the interrupt (2.1.2). */
    if (virtio_has(v, VIRTIO_F_VERSION_1)) {
        v->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
        if (v->status & VIRTIO_CONFIG_S_DRIVER_OK)
            virtio_notify_config(v);
    }
}

void virtio_broken(VirtioDevice *v, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    g_autofree char *text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    say_broken(v, text);
}

void virtio_notify_config(VirtioDevice *v)
{
    v->config_generation++;
    v->transport->notify(v, v->config_vector, true);
}

/* Drivers before virtio 1 may use queues before they set DRIVER_OK (3.1.2). */
bool virtio_running(const VirtioDevice *v)
{
    return !v->broken && !v->resetting && (v->status & VIRTIO_CONFIG_S_DRIVER_OK || !virtio_has(v, VIRTIO_F_VERSION_1));
}

void virtio_kick(VirtioDevice *v, unsigned n)
{
    if (n < v->n_queues && virtq_usable(&v->vq[n]))
        v->type->queue(&v->vq[n]);
}

/* ---- status and features ---- */

void virtio_reset(VirtioDevice *v)
{
    v->status = 0;
    v->broken = false;
    v->driver_features = v->features = 0;
    v->isr = 0;
    v->config_vector = VIRTIO_NO_VECTOR;
    v->device_feature_sel = v->driver_feature_sel = 0;
    v->queue_sel = 0;
    for (unsigned i = 0; i < v->n_queues; i++)
        virtq_reset(&v->vq[i]);
    if (v->type->reset)
        v->type->reset(v);
}

uint8_t virtio_status(VirtioDevice *v)
{
    if (v->resetting && !v->type->busy(v))
        v->resetting = false;
    return v->resetting ? v->old_status : v->status;
}

void virtio_set_status(VirtioDevice *v, uint8_t status)
{
    uint8_t old = v->status;
    if (status == 0) {
        virtio_reset(v);
        if (old && v->type->busy && v->type->busy(v)) {
            v->resetting = true;
            v->old_status = old;
        }
        return;
    }
    if (v->resetting) {
        virtio_status(v);
        if (v->resetting)
            return;
    }
    if (status & VIRTIO_CONFIG_S_FEATURES_OK && !(old & VIRTIO_CONFIG_S_FEATURES_OK)) {
        /* Not a subset, or a driver of this interface without VERSION_1: the bit stays clear (3.1.1 step 6). */
        if (v->driver_features & ~v->host_features || !(v->driver_features & BIT(VIRTIO_F_VERSION_1)))
            status &= (uint8_t)~VIRTIO_CONFIG_S_FEATURES_OK;
        else
            v->features = v->driver_features;
    }
    v->status = status | (old & VIRTIO_CONFIG_S_NEEDS_RESET);
    if (status & VIRTIO_CONFIG_S_DRIVER_OK && !(old & VIRTIO_CONFIG_S_DRIVER_OK)) {
        if (v->type->started)
            v->type->started(v);
        for (unsigned i = 0; i < v->n_queues; i++)
            virtio_kick(v, i);
    }
}

void virtio_set_driver_features(VirtioDevice *v, uint64_t features, bool legacy)
{
    if (v->status & VIRTIO_CONFIG_S_FEATURES_OK || (legacy && v->status & VIRTIO_CONFIG_S_DRIVER_OK))
        return;
    v->driver_features = features;
    if (legacy)
        v->features = features & v->host_features & ~BIT(VIRTIO_F_VERSION_1);
}

/* ---- configuration space ---- */

uint32_t virtio_config_read(VirtioDevice *v, unsigned off, unsigned size)
{
    uint8_t cfg[VIRTIO_CONFIG_MAX] = { 0 };
    if (!range_inside(off, size, v->type->config_size))
        return (uint32_t)bits_mask(8 * size);
    v->type->config_get(v, cfg);
    return (uint32_t)load_le(&cfg[off], size);
}

void virtio_config_write(VirtioDevice *v, unsigned off, uint32_t val, unsigned size)
{
    if (v->type->config_set && range_inside(off, size, v->type->config_size))
        v->type->config_set(v, off, val, size);
}

/* ---- life ---- */

static void doorbell_ready(void *opaque, GIOCondition ready)
{
    VirtQueue *vq = opaque;
    eventfd_drain(vq->event_fd);
    virtq_ring(vq);
}

/* Doorbells that rang before a save or during a pause may be lost: look at every queue when the machine goes on. */
static void machine_event(void *opaque, Machine *m, const MachineEvent *ev)
{
    VirtioDevice *v = opaque;
    if (ev->kind != MACHINE_EV_STATE || ev->state != MACHINE_RUNNING || !devlock_enter(v->dev.lock))
        return;
    if (v->type->resumed)
        v->type->resumed(v);
    for (unsigned i = 0; i < v->n_queues; i++)
        virtio_kick(v, i);
    devlock_leave(v->dev.lock);
}

bool virtio_init(VirtioDevice *v, const VirtioType *type, const VirtioTransport *t, GError **err)
{
    v->type = type;
    v->transport = t;
    v->n_queues = 0;
    v->host_features = 0;
    v->scratch = virtio_scratch_new();
    if (!type->realize(v, err)) {
        g_clear_pointer(&v->scratch, g_free);
        return false;
    }
    g_assert(type->config_size <= VIRTIO_CONFIG_MAX && v->n_queues > 0);
    v->host_features |= v->opt_indirect ? BIT(VIRTIO_RING_F_INDIRECT_DESC) : 0;
    v->host_features |= v->opt_event_idx ? BIT(VIRTIO_RING_F_EVENT_IDX) : 0;
    v->host_features |= v->opt_packed ? BIT(VIRTIO_F_RING_PACKED) : 0;
    v->host_features |= BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_F_NOTIFY_ON_EMPTY) | BIT(VIRTIO_F_ANY_LAYOUT);
    for (unsigned i = 0; i < v->n_queues; i++) {
        VirtQueue *vq = &v->vq[i];
        vq->event_fd = eventfd_make();
        if (vq->event_fd >= 0 && v->dev.loop)
            vq->watch = loop_fd_new(v->dev.loop, vq->event_fd, G_IO_IN, doorbell_ready, vq);
    }
    if (v->dev.bus && v->dev.bus->machine)
        machine_listen(v->dev.bus->machine, machine_event, v);
    return true;
}

void virtio_fini(VirtioDevice *v)
{
    if (v->dev.bus && v->dev.bus->machine)
        machine_unlisten(v->dev.bus->machine, machine_event, v);
    for (unsigned i = 0; i < v->n_queues; i++) {
        loop_fd_free(v->vq[i].watch);
        v->vq[i].watch = NULL;
        eventfd_close(v->vq[i].event_fd);
        v->vq[i].event_fd = -1;
        v->vq[i].generation++;
        v->vq[i].ready = false;
    }
    if (v->type->unrealize)
        v->type->unrealize(v);
    g_clear_pointer(&v->scratch, g_free);
}

/* ---- saved state ---- */

static const FieldDesc vq_fields[] = {
    FIELD(VirtQueue, num), FIELD(VirtQueue, ready), FIELD(VirtQueue, desc), FIELD(VirtQueue, avail), FIELD(VirtQueue, used),
    FIELD(VirtQueue, vector), FIELD(VirtQueue, last_avail), FIELD(VirtQueue, used_idx), FIELD(VirtQueue, signalled_used),
    FIELD(VirtQueue, signalled_valid), FIELD(VirtQueue, avail_wrap), FIELD(VirtQueue, used_wrap), FIELD(VirtQueue, notify_off), { 0 }
};

const FieldDesc virtio_fields[] = {
    FIELD(VirtioDevice, status), FIELD(VirtioDevice, broken), FIELD(VirtioDevice, driver_features), FIELD(VirtioDevice, features),
    FIELD(VirtioDevice, isr), FIELD(VirtioDevice, config_generation), FIELD(VirtioDevice, config_vector),
    FIELD(VirtioDevice, device_feature_sel), FIELD(VirtioDevice, driver_feature_sel), FIELD(VirtioDevice, queue_sel),
    FIELD_SUB_ARRAY(VirtioDevice, vq, vq_fields), { 0 }
};

bool virtio_post_load(Device *dev, unsigned version, GError **err)
{
    VirtioDevice *v = (VirtioDevice *)dev;
    if (v->features & ~v->host_features) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL, "the saved driver uses virtio features %#" G_GINT64_MODIFIER "x that this device lacks",
                    v->features & ~v->host_features);
        return false;
    }
    for (unsigned i = 0; i < v->n_queues; i++) {
        VirtQueue *vq = &v->vq[i];
        vq->generation++;
        if (!virtq_size_ok(vq, vq->num) || !virtq_position_ok(vq)) {
            g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL, "virtqueue %u has an impossible size or position", i);
            return false;
        }
    }
    v->resetting = false;
    return true;
}
