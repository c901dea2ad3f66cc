#pragma once
#include "hw/pci/pci.h"

/* Between pci.c and msi.c. The device's lock is held. */
void pci_msi_config_written(PciDevice *pci, unsigned off, unsigned len);
void pci_msi_reset(PciDevice *pci);
/* Regions and tables; after unplug. */
void pci_msi_clear(PciDevice *pci);
/* MSI or MSI-X is on: INTx is not signalled. */
bool pci_msi_any_enabled(const PciDevice *pci);
void pci_update_intx(PciDevice *pci);
