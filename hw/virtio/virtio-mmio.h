#pragma once
#include "hw/virtio/virtio.h"

/*
 * Virtio over MMIO (virtio 1.2, 4.2), register layout version 2. A board has one bus of slots, each with an interrupt; empty slots answer with
 * device id 0. Devices "virtio-*-device" plug into it.
 */
typedef struct VirtioMmioClass {
    DeviceClass dev;            /* must be first */
    const VirtioType *type;
} VirtioMmioClass;

enum { VIRTIO_MMIO_SLOTS = 32, VIRTIO_MMIO_SIZE = 0x200 };

bool virtio_mmio_realize(Device *dev, GError **err);
void virtio_mmio_unrealize(Device *dev);
void virtio_mmio_reset(Device *dev);
extern const DeviceSection virtio_mmio_base_state[];

/* const VirtioMmioClass foo_class = { .dev = VIRTIO_MMIO_CLASS("foo-device", "summary", Foo, .props = ..., .state = ...), .type = &foo_type }; */
#define VIRTIO_MMIO_CLASS(n, sum, instance, ...)                                                                                 \
    { .name = n, .summary = sum, .size = sizeof(instance), .bus = BUS_VIRTIO, .base_state = virtio_mmio_base_state,              \
      .realize = virtio_mmio_realize, .unrealize = virtio_mmio_unrealize, .reset = virtio_mmio_reset, __VA_ARGS__ }

/* "virtio-mmio", owned by the machine: @n slots at @base in its memory, @stride bytes each, slot i drives @wires[i]. */
Bus *virtio_mmio_bus_new(Machine *m, uint64_t base, uint64_t stride, IrqWire *const *wires, unsigned n);
