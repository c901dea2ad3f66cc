/*
 * fw_cfg's "bootorder": Open Firmware paths of the devices with a bootindex, one a line, in that order. SeaBIOS compares them by prefix
 * with "*" for the name of a PCI function (docs of SeaBIOS, "bootorder").
 */
#include <string.h>

#include "hw/board/pc-internal.h"

typedef struct Entry { int32_t index; char *path; } Entry;

/* The 32-bit property @name of @dev, or @otherwise if its class has none. */
static int32_t prop32(const Device *dev, const char *name, int32_t otherwise)
{
    for (const PropDesc *p = dev->klass->props; p && p->name; p++)
        if (!strcmp(p->name, name) && (p->type == PROP_I32 || p->type == PROP_U32))
            return *(const int32_t *)((const char *)dev + p->offset);
    return otherwise;
}

/* Master or slave: as asked for, else by order on the channel. */
static unsigned ide_unit(const Device *dev)
{
    int32_t unit = prop32(dev, "unit", 2);
    return unit == 0 || unit == 1 ? (unsigned)unit : dev->bus->children->len && g_ptr_array_index(dev->bus->children, 0) != dev;
}

static char *path_of(Device *dev)
{
    if (dev->klass->bus == BUS_IDE)
        return g_strdup_printf("/pci@i0cf8/ide@1,1/drive@%c/disk@%u", dev->bus->name[strlen(dev->bus->name) - 1], ide_unit(dev));
    if (dev->klass->bus != BUS_PCI)
        return NULL;
    uint8_t devfn = ((PciDevice *)dev)->devfn;
    const char *name = strstr(dev->klass->name, "net") ? "ethernet" : "scsi";
    if (devfn & 7)
        return g_strdup_printf("/pci@i0cf8/%s@%x,%x", name, devfn >> 3, devfn & 7);
    return g_strdup_printf("/pci@i0cf8/%s@%x", name, devfn >> 3);
}

static void collect(Device *dev, void *opaque)
{
    int32_t index = prop32(dev, "bootindex", -1);
    char *path = index >= 0 ? path_of(dev) : NULL;
    if (path)
        g_array_append_vals(opaque, &(Entry){ index, path }, 1);
}

static int by_index(const void *a, const void *b)
{
    int32_t x = ((const Entry *)a)->index, y = ((const Entry *)b)->index;
    return x < y ? -1 : x > y;
}

void pc_bootorder(Pc *pc)
{
    g_autoptr(GArray) list = g_array_new(false, false, sizeof(Entry));
    g_autoptr(GString) text = g_string_new(NULL);
    machine_foreach_device(pc->m, collect, list);
    g_array_sort(list, by_index);
    if (pc->plan.mode == BOOT_REAL16)
        g_string_append(text, "/rom@" PC_KERNEL_ROM);
    for (unsigned i = 0; i < list->len; i++) {
        Entry *e = &g_array_index(list, Entry, i);
        g_string_append_printf(text, "%s%s", text->len ? "\n" : "", e->path);
        g_free(e->path);
    }
    if (text->len)
        machine_set_fw_file(pc->m, "bootorder", text->str, text->len + 1);
}
