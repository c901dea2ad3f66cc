#pragma once
#include "vmm/device.h"

/*
 * NOR flash as JEDEC's common flash interface describes it (JESD68.01), Intel's extended command set (Intel application note AP-646): two 16-bit chips
 * side by side on a bus of 32 bits, sectors of 256 KiB. MMIO region 0 is the bank. Reads of the array are plain memory, so code runs in place.
 * Properties: size; drive, where it is kept (unset: gone with the machine; shorter ones leave the rest erased).
 */
enum { CFI_FLASH_SECTOR = 256 << 10 };
extern const DeviceClass cfi_flash_class;

/* Boards, before the machine runs: bytes to start with at offset 0. False: longer than the bank. */
bool cfi_flash_fill(Device *dev, const void *data, size_t len);
