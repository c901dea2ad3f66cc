/* Devices, options and firmware of the `virt` boards. */
#include <string.h>

#include "hw/board/boot-internal.h"
#include "hw/board/virt.h"
#include "hw/misc/fw_cfg.h"
#include "util/bits.h"

const char *virt_option(const BoardConfig *cfg, const char *name)
{
    size_t n = strlen(name);
    const char *found = NULL;
    for (const char *const *o = cfg->options; o && *o; o++)
        if (!strncmp(*o, name, n) && (*o)[n] == '=')
            found = *o + n + 1;
    return found;
}

Device *virt_device(Machine *m, const char *klass, const char *id, const char *const *props, GError **err)
{
    const DeviceClass *k = device_class_find(machine_config(m)->devices, klass);
    if (!k) {
        g_set_error(err, G_OPTION_ERROR, G_OPTION_ERROR_FAILED, "this build lacks the device '%s'", klass);
        return NULL;
    }
    Device *dev = device_new(m, k, id, err);
    if (!dev)
        return NULL;
    bool ok = true;
    for (; ok && props && props[0]; props += 2)
        ok = device_set_prop(dev, props[0], props[1], err);
    if (ok && device_realize(dev, NULL, err))
        return dev;
    device_free(dev);
    return NULL;
}

bool virt_flash_new(Machine *m, uint64_t base, uint64_t size, const char *size_text, Device **ret_banks, unsigned n, GError **err)
{
    for (unsigned i = 0; i < n; i++) {
        g_autofree char *id = g_strdup_printf("flash%u", i), *drive = g_strdup_printf("pflash%u", i);
        bool kept = machine_find_object(m, "drive", drive) != NULL;
        ret_banks[i] = virt_device(m, "cfi-flash", id, (const char *[]){ "size", size_text, kept ? "drive" : NULL, drive, NULL }, err);
        if (!ret_banks[i])
            return false;
        virt_map(m, base + i * size, device_mmio(ret_banks[i], 0));
    }
    return true;
}

void virt_map(Machine *m, uint64_t at, MemRegion *mr) { mem_region_add(machine_mem_root(m), at, mr, 1); }

const char *virt_firmware_path(const BoardConfig *cfg, const char *const paths[], const char *package, GError **err)
{
    if (cfg->bios && strcmp(cfg->bios, "default"))
        return cfg->bios;
    for (unsigned i = 0; paths[i]; i++)
        if (g_file_test(paths[i], G_FILE_TEST_EXISTS))
            return paths[i];
    g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_NOENT, "no firmware found (%s); install it with: apt-get install %s, or name one with -bios", paths[0], package);
    return NULL;
}

bool virt_offer_kernel(Device *fw_cfg, const BoardConfig *cfg, GError **err)
{
    static const struct { unsigned size, data; } items[] = { { FW_CFG_KERNEL_SIZE, FW_CFG_KERNEL_DATA }, { FW_CFG_INITRD_SIZE, FW_CFG_INITRD_DATA } };
    const char *paths[] = { cfg->kernel, cfg->initrd };
    uint8_t le[4];
    for (unsigned i = 0; i < 2; i++) {
        g_autoptr(GBytes) data = paths[i] ? i ? boot_file_open(paths[i], "the initrd", err) : virt_image_open(paths[i], "the kernel", err) : NULL;
        gsize len;
        if (paths[i] && !data)
            return false;
        if (!data)
            continue;
        const void *p = g_bytes_get_data(data, &len);
        store_le32(le, (uint32_t)len);
        fw_cfg_set_item(fw_cfg, items[i].size, le, 4);
        fw_cfg_set_item(fw_cfg, items[i].data, p, len);
    }
    if (cfg->append) {
        store_le32(le, (uint32_t)strlen(cfg->append) + 1);
        fw_cfg_set_item(fw_cfg, FW_CFG_CMDLINE_SIZE, le, 4);
        fw_cfg_set_item(fw_cfg, FW_CFG_CMDLINE_DATA, cfg->append, strlen(cfg->append) + 1);
    }
    return true;
}
