#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/device.h"

/*
 * Conventional PCI (PCI Local Bus 3.0): configuration space, BARs, INTx, MSI and MSI-X.
 *
 * A PCI device is a PciDeviceClass made with PCI_CLASS() and an instance struct with PciDevice as first member. Its realize hook adds
 * BARs and capabilities; the bus makes them visible when realize is done. Config space is touched under the device's lock.
 */
#define PCI_CONFIG_SIZE 256
#define PCI_BARS 7              /* 0-5, and 6 = the expansion ROM */
#define PCI_ROM_BAR 6
#define PCI_SLOTS 32
#define PCI_FUNCS 8
#define PCI_DEVFN(slot, fn) ((uint8_t)((slot) << 3 | (fn)))
#define PCI_MSI_MAX 32

typedef struct PciDevice PciDevice;
typedef struct PciBus PciBus;

typedef struct PciDeviceClass {
    DeviceClass dev;            /* must be first */
    uint16_t vendor, device;
    uint16_t sub_vendor, sub_device;
    uint32_t class_code;        /* class << 16 | subclass << 8 | programming interface */
    uint8_t revision;
    uint8_t int_pin;            /* 0 = none, 1 = INTA# ... 4 = INTD# */
    bool multifunction;         /* header type bit 7, for function 0 of such a device */
    /* After the core took over writable bits of [off, off+len); lock held. NULL: nothing to do. */
    void (*config_written)(PciDevice *pci, unsigned off, unsigned len);
    /* Before a read of [off, off+len): refresh what config[] shows. NULL: nothing to do. */
    void (*config_reading)(PciDevice *pci, unsigned off, unsigned len);
    void (*reset)(PciDevice *pci);      /* after the core reset config space */
} PciDeviceClass;

/* The DeviceClass part of a PCI device: PCI_CLASS("name", "summary", Type, .realize = ..., .props = ...). */
#define PCI_CLASS(n, sum, type, ...) \
    { .name = n, .summary = sum, .size = sizeof(type), .bus = BUS_PCI, .base_state = pci_base_state, .reset = pci_device_reset, __VA_ARGS__ }

typedef enum PciBarType { PCI_BAR_NONE, PCI_BAR_IO, PCI_BAR_MEM32, PCI_BAR_MEM64 } PciBarType;

typedef struct PciBar {
    PciBarType type;
    bool prefetch;
    MemRegion *mr;              /* owned; hangs in the bus's container while decoded */
    uint64_t size;              /* power of 2 */
    uint64_t addr;              /* where it is mapped, UINT64_MAX = it is not */
} PciBar;

struct PciDevice {
    Device dev;                 /* must be first */
    char *addr_prop;            /* "addr" property: "4", "04.0", "0x4.1"; NULL = next free slot */
    bool multifunction_prop;
    uint8_t devfn;
    bool plugged;               /* BARs may be mapped */
    uint8_t config[PCI_CONFIG_SIZE];
    uint8_t wmask[PCI_CONFIG_SIZE];     /* bits the guest may write */
    uint8_t w1c[PCI_CONFIG_SIZE];       /* bits that a 1 clears */
    uint8_t reset_config[PCI_CONFIG_SIZE];      /* as it was after realize */
    uint16_t caps_end;          /* first free byte for capabilities */
    PciBar bar[PCI_BARS];
    bool have_reset_config;
    Irq *intx_irq;              /* the pin; NULL without one */
    bool intx;                  /* what the device drives, before INTx disable */
    uint8_t msi_cap;            /* offset, 0 = none */
    uint8_t msi_n;
    uint8_t msix_cap;
    uint16_t msix_n;
    uint8_t *msix_table;        /* 16 bytes a vector */
    uint32_t msix_table_len;
    uint8_t *msix_pba;          /* one bit a vector, multiples of 8 bytes */
    uint32_t msix_pba_len;
    MemRegion *msix_mr[2];      /* table, PBA */
    /* Vectors were enabled, masked or changed: lock held, NULL = not interested. */
    void (*msix_changed)(PciDevice *pci);
};
extern const DeviceSection pci_base_state[];
/* Its parts, for classes whose base state has more sections. */
extern const FieldDesc pci_fields[], pci_msix_fields[];
bool pci_post_load(Device *dev, unsigned version, GError **err);
bool pci_msix_post_load(Device *dev, unsigned version, GError **err);
bool pci_msix_needed(const Device *dev);
#define PCI_BASE_SECTIONS                                                                                                                        \
    { .name = "pci", .version = 1, .min_version = 1, .fields = pci_fields, .post_load = pci_post_load },                                          \
    { .name = "msix", .version = 1, .min_version = 1, .fields = pci_msix_fields, .needed = pci_msix_needed, .post_load = pci_msix_post_load }

/* ---- the bus ---- */

typedef struct PciBusConfig {
    const char *name;           /* "pci.0" */
    MemRegion *mem, *io;        /* containers that BARs are mapped into, as large as their address space */
    AddressSpace *dma;          /* bus master accesses; NULL = what the core gave the device */
    /* Which of the four wires is pin @pin (0-3) of a device at @slot on? NULL: (slot + pin) & 3. */
    unsigned (*map_intx)(unsigned slot, unsigned pin);
    unsigned first_slot;        /* lowest slot that devices without "addr" get */
    bool io_at_0;               /* a BAR of ports may lie at 0, where EDK II puts the first one, as nothing else has ports */
} PciBusConfig;

struct PciBus {
    Bus bus;                    /* must be first */
    PciBusConfig cfg;
    IrqWire *intx[4];           /* set by pci_bus_set_intx */
    GMutex lock;                /* guards devs[] against config cycles of other threads; innermost */
    PciDevice *devs[PCI_SLOTS * PCI_FUNCS];
};
extern const BusOps pci_bus_ops;

void pci_bus_init(PciBus *b, const PciBusConfig *cfg, Device *parent, Machine *m);
void pci_bus_clear(PciBus *b);
/* Wire INTx: the four inputs of the router. Before devices that interrupt are plugged (devices plugged earlier are connected now). */
void pci_bus_set_intx(PciBus *b, IrqWire *const wires[4]);
/* A configuration cycle of 1, 2 or 4 bytes that does not cross a dword; takes the target's lock. All-ones if nobody answers. */
uint32_t pci_bus_config_read(PciBus *b, uint8_t devfn, unsigned off, unsigned size);
void pci_bus_config_write(PciBus *b, uint8_t devfn, unsigned off, uint32_t val, unsigned size);
/* NULL if there is none. Main thread. */
PciDevice *pci_bus_device(PciBus *b, uint8_t devfn);

/* ---- for devices ---- */

static inline PciBus *pci_device_bus(const PciDevice *pci)
{
    return (PciBus *)pci->dev.bus;
}

/* DeviceClass.reset of every PCI device (PCI_CLASS sets it). */
void pci_device_reset(Device *dev);
/* DeviceClass.unrealize may be NULL; the bus drops BARs, MSI-X and INTx itself. */

/* In realize. @mr's size is a power of 2 (I/O >= 4, memory >= 16); takes over the reference. */
void pci_add_bar(PciDevice *pci, unsigned n, PciBarType type, bool prefetch, MemRegion *mr);
/* Append a capability of @len bytes (id and next pointer included), zeroed and read-only. Returns its offset. */
unsigned pci_add_cap(PciDevice *pci, uint8_t id, unsigned len);
/* Let the guest write bits of a config byte/word/dword, little endian. */
void pci_set_wmask(PciDevice *pci, unsigned off, uint32_t mask, unsigned size);
void pci_config_set(PciDevice *pci, unsigned off, uint32_t val, unsigned size);
uint32_t pci_config_get(const PciDevice *pci, unsigned off, unsigned size);

bool pci_bus_master(const PciDevice *pci);
/* Level of the device's INTx pin. Lock held. Also fine without a pin. */
void pci_set_intx(PciDevice *pci, bool level);

/* MSI with @n vectors (power of 2, at most 32), 64-bit addresses and per-vector masks. In realize. */
void pci_add_msi(PciDevice *pci, unsigned n);
bool pci_msi_enabled(const PciDevice *pci);
void pci_msi_notify(PciDevice *pci, unsigned vector);

/*
 * MSI-X with @n vectors (1-2048): table at @table_off of BAR @bar, pending bits at @pba_off; @container is the BAR's region.
 * In realize, before or after pci_add_bar.
 */
void pci_add_msix(PciDevice *pci, unsigned n, unsigned bar, MemRegion *container, uint32_t table_off, uint32_t pba_off);
bool pci_msix_enabled(const PciDevice *pci);
/* Lock held. Masked: pending bit. Vectors out of range are dropped. */
void pci_msix_notify(PciDevice *pci, unsigned vector);
bool pci_msix_masked(const PciDevice *pci, unsigned vector);

/* Bus master accesses that obey the command register. */
MemResult pci_dma_read(PciDevice *pci, GuestAddr addr, void *buf, size_t len);
MemResult pci_dma_write(PciDevice *pci, GuestAddr addr, const void *buf, size_t len);
