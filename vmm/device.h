#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/fielddesc.h"
#include "util/log.h"
#include "util/loop.h"
#include "vmm/clock.h"
#include "vmm/input.h"
#include "vmm/irq.h"
#include "vmm/memory.h"

/*
 * Devices. A variant is one const DeviceClass (or a bus class that has it as first member), listed once in a registry that
 * tools compile in. An instance struct has Device as first member (PciDevice in turn has Device first).
 *
 *   life: device_new -> device_set_prop ... -> device_realize -> [reset, accesses, save/load] -> device_unrealize -> device_free
 *
 * Main thread only, except what runs under the device's lock: MmioOps handlers, timer callbacks, back end callbacks. The
 * core takes the lock around them and around reset, save and load; realize and unrealize run without it.
 */
typedef struct Device Device;
typedef struct DeviceClass DeviceClass;
typedef struct Machine Machine;
typedef struct Bus Bus;

/* ---- properties ---- */

typedef enum PropType { PROP_END, PROP_BOOL, PROP_U8, PROP_U16, PROP_U32, PROP_U64, PROP_I32, PROP_STR, PROP_SIZE, PROP_MAC, PROP_REF } PropType;

/*
 * Where an option's value goes in the instance struct. BOOL -> bool, STR -> char * (owned by the core), SIZE -> uint64_t
 * bytes ("64K", "2G"), MAC -> uint8_t[6], REF -> void *, the object that tools registered with the machine under that name
 * with type tag @ref_type ("drive", "chardev", "netdev", ...). Integers accept 0x.
 */
typedef struct PropDesc {
    const char *name;
    PropType type;
    uint32_t offset;
    const char *ref_type;       /* REF only */
    const char *def;            /* default as text, NULL = zero/unset */
    const char *help;           /* one line for -device NAME,help */
    uint64_t min, max;          /* integers and sizes; max 0 = the type's */
    bool required;              /* realize fails with a clear message if unset */
    bool shared;                /* REF only: others may name the same object */
} PropDesc;
#define PROP(t, f, ptype, pname, ...) { .name = pname, .type = ptype, .offset = (uint32_t)offsetof(t, f), __VA_ARGS__ }

/* ---- saved state ---- */

/* One named, versioned part of the state. A class lists them, terminated by { 0 }. */
typedef struct DeviceSection {
    const char *name;
    uint16_t version, min_version;      /* written as; oldest that can be read */
    const FieldDesc *fields;            /* relative to the instance struct */
    bool (*needed)(const Device *dev);  /* NULL: always saved; else optional, absent at load = reset values stay */
    void (*pre_save)(Device *dev);      /* lock held */
    /* Lock held. Check everything that indexes or sizes anything: the stream is hostile. */
    bool (*post_load)(Device *dev, unsigned version, GError **err);
} DeviceSection;

/* ---- classes ---- */

typedef enum BusKind { BUS_SYS, BUS_ISA, BUS_PCI, BUS_VIRTIO, BUS_IDE, BUS_SCSI, BUS_USB, BUS_HDA, BUS_I2C } BusKind;

struct DeviceClass {
    const char *name;                   /* "virtio-blk-pci": what -device says */
    const char *summary;                /* one line */
    size_t size;                        /* of the instance struct, zeroed by the core */
    BusKind bus;                        /* what it plugs into */
    bool fabric;                        /* an interrupt controller: its lock is the fabric's */
    bool internal;                      /* made by boards only, not by -device */
    const PropDesc *props;              /* NULL or terminated by { 0 } */
    const DeviceSection *state;         /* NULL (nothing to save) or terminated by { 0 } */
    const DeviceSection *base_state;    /* of the bus's base struct (PciDevice), saved before @state; set by bus macros */
    bool (*can_save)(const Device *dev, GError **err);     /* NULL: yes. Lock held */
    bool (*realize)(Device *dev, GError **err);            /* make regions, outputs, timers; on false undo what it did */
    void (*reset)(Device *dev);                            /* power-on values; lock held; also right after realize */
    /* NULL: never. Host I/O from before the reset still moves guest memory; a machine's reset waits for it. Lock held */
    bool (*busy)(Device *dev);
    void (*unrealize)(Device *dev);                        /* regions and outputs are already cut off, lock retired */
};

/* ---- buses ---- */

typedef struct BusOps {
    BusKind kind;
    /* Before klass->realize: give it an address (PCI devfn, IDE unit); false with @err if there is none. */
    bool (*attach)(Bus *bus, Device *dev, GError **err);
    /* After a successful realize: make it visible. */
    void (*plug)(Bus *bus, Device *dev);
    /* Before unrealize: invisible again. */
    void (*unplug)(Bus *bus, Device *dev);
    void (*detach)(Bus *bus, Device *dev);
    /* Extra properties every device of the bus has ("addr"); offsets relative to the instance struct. A bus of the kind must exist before
     * device_new for them to be known. */
    const PropDesc *props;
} BusOps;

/* Embedded as first member of PciBus etc. Owned by the device that provides it. */
struct Bus {
    const BusOps *ops;
    char *name;                 /* "pci.0" */
    Device *parent;             /* NULL for a machine's root buses */
    Machine *machine;
    GPtrArray *children;        /* Device *, main thread */
};
void bus_init(Bus *bus, const BusOps *ops, const char *name, Device *parent, Machine *m);   /* registers it with the machine by name */
void bus_clear(Bus *bus);       /* no children left */

/* ---- instances ---- */

struct Device {
    const DeviceClass *klass;
    char *id;                   /* unique in the machine; made up if the user gave none */
    Bus *bus;                   /* NULL for BUS_SYS */
    DevLock *lock;              /* the core takes it; see DeviceClass */
    MachineClock *clock;
    Log *log;
    AddressSpace *dma;          /* where its DMA goes; the bus may replace it */
    Loop *loop;                 /* where its deferred work runs: the main Loop or an I/O thread's */
    Irq **irq;                  /* outputs made with device_init_irqs */
    unsigned n_irq;
    bool realized;
    bool needs_reset;           /* guest broke the protocol: device ignores it until reset (device_guest_error sets it if told) */
    uint64_t guest_errors;
    struct DevicePriv *priv;    /* the core's own */
};

/* NULL with @err if the id is taken or malformed. @klass must outlive the machine. Not yet visible to the guest. */
Device *device_new(Machine *m, const DeviceClass *klass, const char *id, GError **err);
bool device_set_prop(Device *dev, const char *name, const char *value, GError **err);
/* @bus NULL: the machine's default bus of the class's kind. On false the device can only be freed. */
bool device_realize(Device *dev, Bus *bus, GError **err);
void device_unrealize(Device *dev);
void device_free(Device *dev);          /* unrealizes if needed; NULL is fine */
void device_reset(Device *dev);         /* takes the lock */
/* Its host I/O still moves guest memory (klass->busy). */
bool device_busy(Device *dev);
Device *device_by_id(Machine *m, const char *id);
/* Every property of the class with help, as text (g_free). */
char *device_class_help(const DeviceClass *klass);

/* Inside realize: region @index of the device. Names are "id.name". The device keeps no address; boards ask by index. */
MemRegion *device_init_mmio(Device *dev, unsigned index, const char *name, const MmioOps *ops, uint64_t size);
/* The same in port space. MMIO and port regions have separate indexes. The handlers' opaque is the Device. */
MemRegion *device_init_pio(Device *dev, unsigned index, const char *name, const MmioOps *ops, uint64_t size);
/* An existing region (RAM of a VGA card); takes over the reference. */
void device_init_mem(Device *dev, unsigned index, MemRegion *mr);
void device_init_irqs(Device *dev, unsigned n);         /* dev->irq[0..n-1], unconnected */
/* Inputs of controllers, read by boards with device_input(). */
void device_init_inputs(Device *dev, unsigned n, IrqHandler *fn);   /* opaque = dev */
Timer *device_timer_new(Device *dev, void (*fn)(void *dev));        /* virtual clock, device lock; freed by the device's unrealize with timer_free */

/* Boards: NULL if there is no such index. */
MemRegion *device_mmio(Device *dev, unsigned index);
MemRegion *device_pio(Device *dev, unsigned index);
IrqWire *device_input(Device *dev, unsigned n);
unsigned device_n_mmio(const Device *dev);
unsigned device_n_pio(const Device *dev);
unsigned device_n_inputs(const Device *dev);
MemSystem *device_mem(Device *dev);

/* Devices that take the guest's memory size, drives etc. get them as properties; these are the only ways up: */
typedef enum DeviceRequest {
    DEVICE_REQ_RESET,           /* whole machine (0xcf9, i8042 pulse, port 92) */
    DEVICE_REQ_SHUTDOWN,        /* S5 */
    DEVICE_REQ_EXIT,            /* isa-debug-exit: shut down with arg as process exit status */
    DEVICE_REQ_WAKEUP,
    DEVICE_REQ_SUSPEND,
    DEVICE_REQ_REMAP,           /* pc-testdev: drop and restore the mapping of the page at guest address arg */
} DeviceRequest;
/* Lock may be held; takes effect by work item before the vCPU's next instruction. */
void device_request(Device *dev, DeviceRequest what, uint64_t arg);
/* MSI through the machine's fabric; @from as IrqMsiFn has it. */
void device_msi(Device *dev, uint64_t addr, uint32_t data, uint32_t from);
IrqFabric *device_fabric(Device *dev);
InputHub *device_input_hub(Device *dev);
/* The guest broke the protocol: counted, rate-limited message under -d guest_errors. Lock held or not. */
void device_guest_error(Device *dev, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
/* ---- state of one device ---- */

/* Appends to @out. False with @err if the device cannot be saved now. Takes the lock. */
bool device_save(Device *dev, GByteArray *out, GError **err);
/* @data is hostile. On false the device was reset. Takes the lock. */
bool device_load(Device *dev, const uint8_t *data, size_t len, GError **err);
/* True if class (and base) state tables exist. */
bool device_has_state(const Device *dev);

/* ---- registry ---- */

/* NULL-terminated list, generated for tools (and tests) from hw's sources. */
typedef const DeviceClass *const DeviceRegistry[];
const DeviceClass *device_class_find(const DeviceClass *const *registry, const char *name);
