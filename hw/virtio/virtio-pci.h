#pragma once
#include "hw/virtio/virtio.h"

/* Virtio over PCI (virtio 1.2, 4.1): a virtio 1 device that drivers of the legacy interface can use too. */
typedef struct VirtioPciClass {
    PciDeviceClass pci;         /* must be first */
    const VirtioType *type;
} VirtioPciClass;

bool virtio_pci_realize(Device *dev, GError **err);
void virtio_pci_unrealize(Device *dev);
bool virtio_pci_busy(Device *dev);
void virtio_pci_reset(PciDevice *pci);
void virtio_pci_config_written(PciDevice *pci, unsigned off, unsigned len);
void virtio_pci_config_reading(PciDevice *pci, unsigned off, unsigned len);
bool virtio_pci_post_load(Device *dev, unsigned version, GError **err);
extern const DeviceSection virtio_pci_base_state[];

/*
 * const VirtioPciClass foo_pci_class = { .pci = VIRTIO_PCI_CLASS("foo-pci", "summary", Foo, 0x020000, .props = ..., .state = ...), .type = &foo_type };
 * The identity (vendor 0x1af4, device by type) is set at realize.
 */
#define VIRTIO_PCI_CLASS(n, sum, instance, class_code_, ...)                                                                     \
    { .dev = { .name = n, .summary = sum, .size = sizeof(instance), .bus = BUS_PCI, .base_state = virtio_pci_base_state,         \
               .reset = pci_device_reset, .realize = virtio_pci_realize, .unrealize = virtio_pci_unrealize, .busy = virtio_pci_busy,   \
               __VA_ARGS__ },                                                                                                   \
      .vendor = 0x1af4, .class_code = class_code_, .int_pin = 1, .reset = virtio_pci_reset,                                      \
      .config_written = virtio_pci_config_written, .config_reading = virtio_pci_config_reading }

/* Options every virtio-pci device has; part of a class's props[]. */
#define VIRTIO_PCI_PROPS                                                                                                         \
    PROP(VirtioDevice, opt_indirect, PROP_BOOL, "indirect_desc", .def = "on", .help = "offer indirect descriptors"),              \
    PROP(VirtioDevice, opt_event_idx, PROP_BOOL, "event_idx", .def = "on", .help = "offer event indexes"),                        \
    PROP(VirtioDevice, opt_packed, PROP_BOOL, "packed", .def = "off", .help = "offer packed rings"),                              \
    PROP(VirtioDevice, opt_no_legacy, PROP_BOOL, "disable-legacy", .def = "off", .help = "no interface for drivers before virtio 1"), \
    PROP(VirtioDevice, opt_no_modern, PROP_BOOL, "disable-modern", .def = "off", .help = "only the interface before virtio 1"),   \
    PROP(VirtioDevice, opt_vectors, PROP_U32, "vectors", .def = "0", .max = 128, .help = "MSI-X vectors (0: one a queue and one)")
