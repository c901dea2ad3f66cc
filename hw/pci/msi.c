/* MSI and MSI-X. PCI Local Bus Specification 3.0, section 6.8. */
#include <linux/pci_regs.h>
#include <string.h>

#include "hw/pci/pci-internal.h"
#include "hw/pci/pci.h"
#include "util/bits.h"

#define MSIX_ENTRY 16
#define MSIX_TABLE_MAX (2048u * MSIX_ENTRY)
#define MSIX_CTRL_MASKED 1

bool pci_msi_enabled(const PciDevice *pci)
{
    return pci->msi_cap && pci->config[pci->msi_cap + PCI_MSI_FLAGS] & PCI_MSI_FLAGS_ENABLE;
}

bool pci_msix_enabled(const PciDevice *pci)
{
    return pci->msix_cap && load_le16(&pci->config[pci->msix_cap + PCI_MSIX_FLAGS]) & PCI_MSIX_FLAGS_ENABLE;
}

bool pci_msi_any_enabled(const PciDevice *pci)
{
    return pci_msi_enabled(pci) || pci_msix_enabled(pci);
}

/* An MSI is a bus master write (6.8.3), so it needs the command register's leave. */
static void send(PciDevice *pci, uint64_t addr, uint32_t data)
{
    if (pci_bus_master(pci))
        device_msi(&pci->dev, addr, data, pci->devfn);     /* bus 0: the only one */
}

/* ---- MSI ---- */

void pci_add_msi(PciDevice *pci, unsigned n)
{
    g_assert(is_pow2(n) && n <= PCI_MSI_MAX && !pci->msi_cap);
    unsigned cap = pci_add_cap(pci, PCI_CAP_ID_MSI, PCI_MSI_PENDING_64 + 4);
    unsigned log2n = (unsigned)__builtin_ctz(n);
    pci_config_set(pci, cap + PCI_MSI_FLAGS, PCI_MSI_FLAGS_64BIT | PCI_MSI_FLAGS_MASKBIT | log2n << 1, 2);
    pci_set_wmask(pci, cap + PCI_MSI_FLAGS, PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE, 2);
    pci_set_wmask(pci, cap + PCI_MSI_ADDRESS_LO, 0xfffffffc, 4);
    pci_set_wmask(pci, cap + PCI_MSI_ADDRESS_HI, UINT32_MAX, 4);
    pci_set_wmask(pci, cap + PCI_MSI_DATA_64, 0xffff, 2);
    pci_set_wmask(pci, cap + PCI_MSI_MASK_64, (uint32_t)bits_mask(n), 4);
    pci->msi_cap = (uint8_t)cap;
    pci->msi_n = (uint8_t)n;
}

static void msi_send_vector(PciDevice *pci, unsigned vector)
{
    const uint8_t *cap = &pci->config[pci->msi_cap];
    /* Vectors enabled by software; a larger value than offered counts as what is offered. */
    unsigned n = MIN(1u << MIN(bits_get(cap[PCI_MSI_FLAGS], 4, 3), 5u), pci->msi_n);
    uint32_t data = load_le16(cap + PCI_MSI_DATA_64);
    data = (data & ~(n - 1)) | (vector & (n - 1));
    send(pci, load_le64(cap + PCI_MSI_ADDRESS_LO), data);
}

void pci_msi_notify(PciDevice *pci, unsigned vector)
{
    if (!pci_msi_enabled(pci) || vector >= pci->msi_n)
        return;
    uint8_t *pending = &pci->config[pci->msi_cap + PCI_MSI_PENDING_64];
    if (load_le32(&pci->config[pci->msi_cap + PCI_MSI_MASK_64]) >> vector & 1)
        store_le32(pending, load_le32(pending) | 1u << vector);
    else
        msi_send_vector(pci, vector);
}

static void msi_deliver_unmasked(PciDevice *pci)
{
    if (!pci_msi_enabled(pci))
        return;
    uint8_t *pending = &pci->config[pci->msi_cap + PCI_MSI_PENDING_64];
    uint32_t due = load_le32(pending) & ~load_le32(&pci->config[pci->msi_cap + PCI_MSI_MASK_64]);
    store_le32(pending, load_le32(pending) & ~due);
    for (unsigned v = 0; v < pci->msi_n; v++)
        if (due >> v & 1)
            msi_send_vector(pci, v);
}

/* ---- MSI-X ---- */

static bool function_masked(const PciDevice *pci)
{
    return load_le16(&pci->config[pci->msix_cap + PCI_MSIX_FLAGS]) & PCI_MSIX_FLAGS_MASKALL;
}

bool pci_msix_masked(const PciDevice *pci, unsigned vector)
{
    return vector >= pci->msix_n || function_masked(pci) ||
           pci->msix_table[vector * MSIX_ENTRY + PCI_MSIX_ENTRY_VECTOR_CTRL] & MSIX_CTRL_MASKED;
}

void pci_msix_notify(PciDevice *pci, unsigned vector)
{
    if (!pci_msix_enabled(pci) || vector >= pci->msix_n)
        return;
    const uint8_t *e = &pci->msix_table[vector * MSIX_ENTRY];
    if (pci_msix_masked(pci, vector))
        pci->msix_pba[vector / 8] |= (uint8_t)(1u << vector % 8);
    else
        send(pci, load_le64(e + PCI_MSIX_ENTRY_LOWER_ADDR), load_le32(e + PCI_MSIX_ENTRY_DATA));
}

static void msix_deliver_unmasked(PciDevice *pci)
{
    if (!pci_msix_enabled(pci))
        return;
    for (unsigned v = 0; v < pci->msix_n; v++) {
        if (!(pci->msix_pba[v / 8] >> v % 8 & 1) || pci_msix_masked(pci, v))
            continue;
        pci->msix_pba[v / 8] &= (uint8_t)~(1u << v % 8);
        pci_msix_notify(pci, v);
    }
}

static void msix_changed(PciDevice *pci)
{
    msix_deliver_unmasked(pci);
    if (pci->msix_changed)
        pci->msix_changed(pci);
}

static uint64_t table_read(void *opaque, uint64_t off, unsigned size)
{
    const PciDevice *pci = opaque;
    return load_le(&pci->msix_table[off], size);
}

static void table_write(void *opaque, uint64_t off, uint64_t val, unsigned size)
{
    PciDevice *pci = opaque;
    if ((off & (MSIX_ENTRY - 1)) == PCI_MSIX_ENTRY_VECTOR_CTRL)
        val &= MSIX_CTRL_MASKED;
    store_le(&pci->msix_table[off], size, val);
    msix_changed(pci);
}

static uint64_t pba_read(void *opaque, uint64_t off, unsigned size)
{
    const PciDevice *pci = opaque;
    return load_le(&pci->msix_pba[off], size);
}

/* Software must not write pending bits; a write has no effect (6.8.2.9). */
static void pba_write(void *opaque, uint64_t off, uint64_t val, unsigned size)
{
}

static const MmioOps msix_table_ops = { .read = table_read, .write = table_write, .min_size = 4, .max_size = 4 };
static const MmioOps msix_pba_ops = { .read = pba_read, .write = pba_write, .min_size = 4, .max_size = 4 };

static void msix_clear_tables(PciDevice *pci)
{
    uint32_t table_len = pci->msix_n * MSIX_ENTRY, pba_len = DIV_UP(pci->msix_n, 64u) * 8;
    if (pci->msix_table_len != table_len) {
        pci->msix_table = g_realloc(pci->msix_table, table_len);
        pci->msix_table_len = table_len;
    }
    if (pci->msix_pba_len != pba_len) {
        pci->msix_pba = g_realloc(pci->msix_pba, pba_len);
        pci->msix_pba_len = pba_len;
    }
    memset(pci->msix_table, 0, table_len);
    memset(pci->msix_pba, 0, pba_len);
    for (unsigned v = 0; v < pci->msix_n; v++)
        pci->msix_table[v * MSIX_ENTRY + PCI_MSIX_ENTRY_VECTOR_CTRL] = MSIX_CTRL_MASKED;
}

void pci_add_msix(PciDevice *pci, unsigned n, unsigned bar, MemRegion *container, uint32_t table_off, uint32_t pba_off)
{
    g_assert(n >= 1 && n <= 2048 && !pci->msix_cap && !(table_off & 7) && !(pba_off & 7));
    unsigned cap = pci_add_cap(pci, PCI_CAP_ID_MSIX, PCI_CAP_MSIX_SIZEOF);
    pci_config_set(pci, cap + PCI_MSIX_FLAGS, n - 1, 2);
    pci_set_wmask(pci, cap + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL, 2);
    pci_config_set(pci, cap + PCI_MSIX_TABLE, table_off | bar, 4);
    pci_config_set(pci, cap + PCI_MSIX_PBA, pba_off | bar, 4);
    pci->msix_cap = (uint8_t)cap;
    pci->msix_n = (uint16_t)n;
    msix_clear_tables(pci);
    MemSystem *ms = device_mem(&pci->dev);
    pci->msix_mr[0] = mem_region_new_mmio(ms, "msix-table", &msix_table_ops, pci, pci->msix_table_len, pci->dev.lock);
    pci->msix_mr[1] = mem_region_new_mmio(ms, "msix-pba", &msix_pba_ops, pci, pci->msix_pba_len, pci->dev.lock);
    mem_region_add(container, table_off, pci->msix_mr[0], 1);
    mem_region_add(container, pba_off, pci->msix_mr[1], 1);
}

/* ---- from pci.c ---- */

void pci_msi_config_written(PciDevice *pci, unsigned off, unsigned len)
{
    unsigned msi = pci->msi_cap, msix = pci->msix_cap;
    if (msi && off < msi + PCI_MSI_PENDING_64 && off + len > msi)
        msi_deliver_unmasked(pci);
    if (msix && off < msix + PCI_CAP_MSIX_SIZEOF && off + len > msix)
        msix_changed(pci);
}

void pci_msi_reset(PciDevice *pci)
{
    if (!pci->msix_cap)
        return;
    msix_clear_tables(pci);
    msix_changed(pci);
}

void pci_msi_clear(PciDevice *pci)
{
    for (unsigned i = 0; i < 2; i++) {
        if (!pci->msix_mr[i])
            continue;
        mem_region_remove(pci->msix_mr[i]);
        mem_region_unref(pci->msix_mr[i]);
        pci->msix_mr[i] = NULL;
    }
    g_clear_pointer(&pci->msix_table, g_free);
    g_clear_pointer(&pci->msix_pba, g_free);
    pci->msix_table_len = pci->msix_pba_len = 0;
    pci->msix_cap = pci->msi_cap = 0;
    pci->msix_n = 0;
}

bool pci_msix_needed(const Device *dev)
{
    return ((const PciDevice *)dev)->msix_n > 0;
}

bool pci_msix_post_load(Device *dev, unsigned version, GError **err)
{
    PciDevice *pci = (PciDevice *)dev;
    if (pci->msix_table_len != pci->msix_n * MSIX_ENTRY || pci->msix_pba_len != DIV_UP(pci->msix_n, 64u) * 8) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL, "MSI-X table of another size");
        return false;
    }
    if (pci->msix_changed)
        pci->msix_changed(pci);
    return true;
}

const FieldDesc pci_msix_fields[] = {
    FIELD_BUF(PciDevice, msix_table, msix_table_len, MSIX_TABLE_MAX),
    FIELD_BUF(PciDevice, msix_pba, msix_pba_len, 256),
    { 0 }
};
