#pragma once
#include "hw/pci/pci.h"

/*
 * 82371AB (PIIX4) function 3: ACPI registers, SMI command ports, SMBus. Outputs: irq[0] = SCI (level), irq[1] = SMI# (pulse).
 * Port region 0 (2 bytes) is for 0xb2-0xb3; the ACPI (64 bytes) and SMBus (16 bytes) registers move with config space.
 */
extern const PciDeviceClass piix4_pm_class;
/* The power button. Any thread, no locks; for machine_set_powerdown_hook. */
void piix4_pm_power_button(void *dev);
/* For boards without firmware: ACPI registers at port @base, SMBus at @smbus, as firmware would set them up. Main thread, no locks. */
void piix4_pm_setup(Device *dev, uint16_t base, uint16_t smbus);
/* Offsets from the base for ACPI tables. */
enum { PIIX4_PM1A_EVT = 0, PIIX4_PM1A_CNT = 4, PIIX4_PM_TMR = 8, PIIX4_GPE0 = 12, PIIX4_GPE0_LEN = 4, PIIX4_SLP_TYP_S5 = 0, PIIX4_SLP_TYP_S3 = 1 };
/* What the SMI command port takes instead of an SMM handler. */
enum { PIIX4_ACPI_ENABLE = 0xf1, PIIX4_ACPI_DISABLE = 0xf0 };
