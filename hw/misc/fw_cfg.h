#pragma once
#include "vmm/device.h"

/*
 * Firmware configuration: numbered items and named files that firmware (and the Linux module qemu_fw_cfg) reads; the interface is described in
 * Linux Documentation/devicetree/bindings/arm/qemu,fw-cfg.txt, drivers/firmware/qemu_fw_cfg.c and uapi/linux/qemu_fw_cfg.h.
 *
 * Ports: 0 (2, at 510h: selector 16 bits, data 8 bits at +1), 1 (8, at 514h: address of a DMA descriptor, big endian).
 * MMIO region 0: the same for machines without ports. Files come from machine_foreach_fw_file at reset.
 */
extern const DeviceClass fw_cfg_class;

/* Boards, right after realize: whose files it shows. */
void fw_cfg_setup(Device *dev, Machine *m);
/* Items that are not files. Before start; @data is copied. */
enum { FW_CFG_UUID = 2, FW_CFG_RAM_SIZE = 3, FW_CFG_NOGRAPHIC = 4, FW_CFG_NB_CPUS = 5, FW_CFG_BOOT_MENU = 14, FW_CFG_MAX_CPUS = 15, FW_CFG_FILE_DIR = 0x19 };
/* What firmware of machines without a BIOS starts. */
enum { FW_CFG_KERNEL_SIZE = 8, FW_CFG_INITRD_SIZE = 11, FW_CFG_KERNEL_DATA = 17, FW_CFG_INITRD_DATA = 18, FW_CFG_CMDLINE_SIZE = 20, FW_CFG_CMDLINE_DATA = 21,
       FW_CFG_SETUP_DATA = 24 };
void fw_cfg_set_item(Device *dev, unsigned item, const void *data, size_t len);
/* The same without a copy: takes a reference. */
void fw_cfg_set_bytes(Device *dev, unsigned item, GBytes *data);
