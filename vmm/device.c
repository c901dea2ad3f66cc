#include "vmm/device.h"

#include <string.h>

#include "vmm/machine-internal.h"

/* Life of devices. Properties: props.c; saved state: device_state.c. */

/* ---- buses ---- */

void bus_init(Bus *bus, const BusOps *ops, const char *name, Device *parent, Machine *m)
{
    bus->ops = ops;
    bus->name = g_strdup(name);
    bus->parent = parent;
    bus->machine = m;
    bus->children = g_ptr_array_new();
    g_ptr_array_add(m->buses, bus);
}

void bus_clear(Bus *bus)
{
    if (!bus->ops)
        return;
    g_assert(bus->children->len == 0);
    g_ptr_array_remove(bus->machine->buses, bus);
    g_ptr_array_free(bus->children, TRUE);
    g_free(bus->name);
    memset(bus, 0, sizeof(*bus));
}

Bus *machine_bus(Machine *m, const char *name)
{
    for (guint i = 0; i < m->buses->len; i++) {
        Bus *b = g_ptr_array_index(m->buses, i);
        if (!strcmp(b->name, name))
            return b;
    }
    return NULL;
}

Bus *machine_default_bus(Machine *m, BusKind kind)
{
    for (guint i = 0; i < m->buses->len; i++) {
        Bus *b = g_ptr_array_index(m->buses, i);
        if (b->ops->kind == kind)
            return b;
    }
    return NULL;
}

/* ---- new, free ---- */

static bool id_well_formed(const char *id)
{
    if (!g_ascii_isalpha(id[0]) || strlen(id) > 127)
        return false;
    for (const char *p = id; *p; p++)
        if (!g_ascii_isalnum(*p) && !strchr("-._#", *p))
            return false;
    return true;
}

Device *device_by_id(Machine *m, const char *id)
{
    for (guint i = 0; i < m->devices->len; i++) {
        Device *d = g_ptr_array_index(m->devices, i);
        if (!strcmp(d->id, id))
            return d;
    }
    return NULL;
}

static char *device_make_id(Machine *m, const DeviceClass *klass)
{
    for (;;) {
        char *id = g_strdup_printf("%s#%u", klass->name, m->next_id++);
        if (!device_by_id(m, id))
            return id;
        g_free(id);
    }
}

Device *device_new(Machine *m, const DeviceClass *klass, const char *id, GError **err)
{
    g_assert(klass->size >= sizeof(Device));
    if (id && !id_well_formed(id)) {
        g_set_error(err, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    "'%s' is not an id: letters, digits and -._ after a letter", id);
        return NULL;
    }
    if (id && device_by_id(m, id)) {
        g_set_error(err, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "the id '%s' is taken by another device", id);
        return NULL;
    }
    Device *dev = g_malloc0(klass->size);
    dev->klass = klass;
    dev->id = id ? g_strdup(id) : device_make_id(m, klass);
    dev->lock = klass->fabric ? devlock_ref(irq_fabric_devlock(m->fabric)) : devlock_new();
    dev->clock = m->clock;
    dev->log = m->cfg.log;
    dev->dma = m->as_mem;
    dev->loop = m->loop;
    dev->priv = g_new0(struct DevicePriv, 1);
    dev->priv->machine = m;
    dev->priv->mmio = g_ptr_array_new();
    dev->priv->pio = g_ptr_array_new();
    dev->priv->inputs = g_ptr_array_new();
    dev->priv->set = g_hash_table_new(g_str_hash, g_str_equal);
    dev->priv->refs = g_ptr_array_new();
    g_ptr_array_add(m->devices, dev);
    Bus *bus = machine_default_bus(m, klass->bus);
    dev->priv->bus_props = bus ? bus->ops->props : NULL;
    device_set_defaults(dev, dev->priv->bus_props);
    device_set_defaults(dev, klass->props);
    return dev;
}

static void drop_regions(GPtrArray *regions)
{
    for (guint i = 0; i < regions->len; i++) {
        MemRegion *mr = g_ptr_array_index(regions, i);
        if (!mr)
            continue;
        mem_region_clear_doorbells(mr);
        mem_region_remove(mr);
        mem_region_unref(mr);
    }
    g_ptr_array_set_size(regions, 0);
}

static void drop_wiring(Device *dev)
{
    for (unsigned i = 0; i < dev->n_irq; i++)
        irq_free(dev->irq[i]);
    g_free(dev->irq);
    dev->irq = NULL;
    dev->n_irq = 0;
    for (guint i = 0; i < dev->priv->inputs->len; i++)
        irq_wire_free(g_ptr_array_index(dev->priv->inputs, i));
    g_ptr_array_set_size(dev->priv->inputs, 0);
}

static void free_strings(Device *dev, const PropDesc *props)
{
    for (const PropDesc *p = props; p && p->type != PROP_END; p++)
        if (p->type == PROP_STR)
            g_free(*(char **)(void *)((char *)dev + p->offset));
}

static void bus_leave(Device *dev)
{
    if (!dev->bus)
        return;
    if (dev->bus->ops->detach)
        dev->bus->ops->detach(dev->bus, dev);
    g_ptr_array_remove(dev->bus->children, dev);
    dev->bus = NULL;
}

void device_free(Device *dev)
{
    if (!dev)
        return;
    Machine *m = dev->priv->machine;
    if (dev->realized)
        device_unrealize(dev);
    for (guint i = 0; i < dev->priv->refs->len; i++)
        ((MachineObject *)g_ptr_array_index(dev->priv->refs, i))->users--;
    g_ptr_array_remove(m->devices, dev);
    free_strings(dev, dev->klass->props);
    free_strings(dev, dev->priv->bus_props);
    g_ptr_array_free(dev->priv->mmio, TRUE);
    g_ptr_array_free(dev->priv->pio, TRUE);
    g_ptr_array_free(dev->priv->inputs, TRUE);
    g_hash_table_destroy(dev->priv->set);
    g_ptr_array_free(dev->priv->refs, TRUE);
    g_free(dev->priv);
    devlock_unref(dev->lock);
    g_free(dev->id);
    g_free(dev);
}

/* ---- realize ---- */

static bool check_required(Device *dev, const PropDesc *props, GError **err)
{
    for (const PropDesc *p = props; p && p->type != PROP_END; p++)
        if (p->required && !g_hash_table_contains(dev->priv->set, p->name)) {
            g_set_error(err, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "device '%s' (%s) needs %s=%s%s", dev->id, dev->klass->name,
                        p->name, p->type == PROP_REF ? "ID of a " : "...", p->type == PROP_REF ? p->ref_type : "");
            return false;
        }
    return true;
}

static bool bus_join(Device *dev, Bus *bus, GError **err)
{
    const DeviceClass *k = dev->klass;
    if (!bus)
        bus = machine_default_bus(dev->priv->machine, k->bus);
    if (!bus && k->bus == BUS_SYS)
        return true;
    if (!bus || bus->ops->kind != k->bus) {
        g_set_error(err, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "device '%s' (%s) does not fit %s%s", dev->id, k->name,
                    bus ? "bus " : "any bus of this machine", bus ? bus->name : "");
        return false;
    }
    if (bus->ops->attach && !bus->ops->attach(bus, dev, err))
        return false;
    dev->bus = bus;
    g_ptr_array_add(bus->children, dev);
    return true;
}

bool device_realize(Device *dev, Bus *bus, GError **err)
{
    const DeviceClass *k = dev->klass;
    Machine *m = dev->priv->machine;
    g_assert(!dev->realized);
    if (!check_required(dev, dev->priv->bus_props, err) || !check_required(dev, k->props, err) || !bus_join(dev, bus, err))
        return false;
    if (k->realize && !k->realize(dev, err)) {
        drop_regions(dev->priv->mmio);
        drop_regions(dev->priv->pio);
        drop_wiring(dev);
        bus_leave(dev);
        return false;
    }
    dev->realized = true;
    g_ptr_array_add(m->realized, dev);
    if (dev->bus && dev->bus->ops->plug)
        dev->bus->ops->plug(dev->bus, dev);
    device_reset(dev);
    machine_post(m, &(MachineEvent){ .kind = MACHINE_EV_DEVICE_ADDED, .id = dev->id });
    return true;
}

void device_unrealize(Device *dev)
{
    const DeviceClass *k = dev->klass;
    Machine *m = dev->priv->machine;
    g_assert(dev->realized);
    if (dev->bus && dev->bus->ops->unplug)
        dev->bus->ops->unplug(dev->bus, dev);
    if (!k->fabric)         /* the fabric's lock is everybody's: its devices leave only with the machine */
        devlock_retire(dev->lock);
    mem_begin(m->mem);
    drop_regions(dev->priv->mmio);
    drop_regions(dev->priv->pio);
    mem_commit(m->mem);
    for (unsigned i = 0; i < dev->n_irq; i++)
        irq_connect(dev->irq[i], NULL);
    if (k->unrealize)
        k->unrealize(dev);
    drop_wiring(dev);
    bus_leave(dev);
    dev->realized = false;
    g_ptr_array_remove(m->realized, dev);
    machine_post(m, &(MachineEvent){ .kind = MACHINE_EV_DEVICE_REMOVED, .id = dev->id });
}

void device_reset(Device *dev)
{
    if (!devlock_enter(dev->lock))
        return;
    dev->needs_reset = false;
    if (dev->klass->reset)
        dev->klass->reset(dev);
    devlock_leave(dev->lock);
}

bool device_busy(Device *dev)
{
    if (!dev->klass->busy || !devlock_enter(dev->lock))
        return false;
    bool busy = dev->klass->busy(dev);
    devlock_leave(dev->lock);
    return busy;
}

/* ---- regions, outputs, inputs ---- */

static MemRegion *init_region(Device *dev, GPtrArray *list, unsigned index, const char *name, const MmioOps *ops, uint64_t size)
{
    g_autofree char *full = g_strdup_printf("%s.%s", dev->id, name);
    MemRegion *mr = mem_region_new_mmio(dev->priv->machine->mem, full, ops, dev, size, dev->lock);
    if (list->len <= index)
        g_ptr_array_set_size(list, (gint)index + 1);
    g_assert(!list->pdata[index]);
    list->pdata[index] = mr;
    return mr;
}

MemRegion *device_init_mmio(Device *dev, unsigned index, const char *name, const MmioOps *ops, uint64_t size)
{
    return init_region(dev, dev->priv->mmio, index, name, ops, size);
}

MemRegion *device_init_pio(Device *dev, unsigned index, const char *name, const MmioOps *ops, uint64_t size)
{
    return init_region(dev, dev->priv->pio, index, name, ops, size);
}

void device_init_mem(Device *dev, unsigned index, MemRegion *mr)
{
    GPtrArray *list = dev->priv->mmio;
    if (list->len <= index)
        g_ptr_array_set_size(list, (gint)index + 1);
    g_assert(!list->pdata[index]);
    list->pdata[index] = mr;
}

void device_init_irqs(Device *dev, unsigned n)
{
    g_assert(!dev->irq);
    dev->irq = g_new0(Irq *, n);
    dev->n_irq = n;
    for (unsigned i = 0; i < n; i++)
        dev->irq[i] = irq_new();
}

void device_init_inputs(Device *dev, unsigned n, IrqHandler *fn)
{
    unsigned first = dev->priv->inputs->len;
    for (unsigned i = 0; i < n; i++)
        g_ptr_array_add(dev->priv->inputs, irq_wire_new(dev->priv->machine->fabric, fn, dev, first + i));
}

Timer *device_timer_new(Device *dev, void (*fn)(void *dev))
{
    return timer_new(dev->clock, CLOCK_KIND_VIRTUAL, dev->lock, fn, dev);
}

static void *list_get(GPtrArray *list, unsigned index)
{
    return index < list->len ? list->pdata[index] : NULL;
}

MemRegion *device_mmio(Device *dev, unsigned index) { return list_get(dev->priv->mmio, index); }
MemRegion *device_pio(Device *dev, unsigned index) { return list_get(dev->priv->pio, index); }
IrqWire *device_input(Device *dev, unsigned n) { return list_get(dev->priv->inputs, n); }
unsigned device_n_mmio(const Device *dev) { return dev->priv->mmio->len; }
unsigned device_n_pio(const Device *dev) { return dev->priv->pio->len; }
unsigned device_n_inputs(const Device *dev) { return dev->priv->inputs->len; }
MemSystem *device_mem(Device *dev) { return dev->priv->machine->mem; }
IrqFabric *device_fabric(Device *dev) { return dev->priv->machine->fabric; }
InputHub *device_input_hub(Device *dev) { return dev->priv->machine->input; }

/* ---- ways up ---- */

void device_msi(Device *dev, uint64_t addr, uint32_t data, uint32_t from)
{
    irq_fabric_msi(dev->priv->machine->fabric, addr, data, from);
}

static void remap_item(Machine *m, void *opaque)
{
    mem_remap_page(m->as_mem, (uint64_t)(uintptr_t)opaque);
}

void device_request(Device *dev, DeviceRequest what, uint64_t arg)
{
    Machine *m = dev->priv->machine;
    switch (what) {
    case DEVICE_REQ_RESET:
        machine_request_reset(m, CAUSE_GUEST_RESET);
        break;
    case DEVICE_REQ_SHUTDOWN:
        machine_request_shutdown(m, CAUSE_GUEST_SHUTDOWN, 0);
        break;
    case DEVICE_REQ_EXIT:
        machine_request_shutdown(m, CAUSE_GUEST_EXIT_DEVICE, (int)(arg & 0xff));
        break;
    case DEVICE_REQ_WAKEUP:
        machine_post(m, &(MachineEvent){ .kind = MACHINE_EV_WAKEUP });
        break;
    case DEVICE_REQ_SUSPEND:
        machine_request_pause(m, PAUSE_SUSPENDED);
        machine_post(m, &(MachineEvent){ .kind = MACHINE_EV_SUSPEND });
        break;
    case DEVICE_REQ_REMAP:
        machine_queue_work(m, remap_item, (void *)(uintptr_t)arg);
        break;
    }
}

void device_guest_error(Device *dev, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    g_autofree char *text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    __atomic_fetch_add(&dev->guest_errors, 1, __ATOMIC_RELAXED);
    log_guest_error(dev->log, "%s: %s", dev->id, text);
}

const DeviceClass *device_class_find(const DeviceClass *const *registry, const char *name)
{
    for (; registry && *registry; registry++)
        if (!strcmp((*registry)->name, name))
            return *registry;
    return NULL;
}
