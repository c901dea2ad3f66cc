/* -drive, -hda..., -cdrom and the bare argument: images, "drive" objects, and the devices they imply. */
#include <string.h>

#include "tools/keys.h"
#include "tools/setup.h"

typedef struct Drive {
    const char *file, *format, *bus, *id, *cache, *media, *serial, *index;
    bool readonly, discard, detect_zeroes;
} Drive;

static bool parse_cache(const char *text, BlockCache *ret, GError **err)
{
    static const char *const names[] = {
        [BLOCK_CACHE_WRITEBACK] = "writeback", [BLOCK_CACHE_NONE] = "none", [BLOCK_CACHE_WRITETHROUGH] = "writethrough",
        [BLOCK_CACHE_DIRECTSYNC] = "directsync", [BLOCK_CACHE_UNSAFE] = "unsafe",
    };
    for (unsigned i = 0; text && i < G_N_ELEMENTS(names); i++) {
        if (!strcmp(text, names[i])) {
            *ret = (BlockCache)i;
            return true;
        }
    }
    return !text || opt_fail(err, "-drive cache= takes writeback, none, writethrough, directsync or unsafe, not '%s'", text);
}

static bool id_taken(Tandem *t, const char *id)
{
    for (unsigned i = 0; i < t->drives->len; i++)
        if (!strcmp(((ControlDrive *)g_ptr_array_index(t->drives, i))->id, id))
            return true;
    return false;
}

/* The device that the interface stands for. */
static bool imply_device(Tandem *t, const Drive *d, const char *id, GError **err)
{
    g_autofree char *serial = d->serial ? g_strdup_printf(",serial=%s", d->serial) : g_strdup("");
    bool cdrom = d->media && !strcmp(d->media, "cdrom");
    if (!strcmp(d->bus, "none"))
        return true;
    if (!strcmp(d->bus, "virtio")) {
        g_ptr_array_add(t->device_args, g_strdup_printf("virtio-blk-pci,drive=%s%s", id, serial));
        return true;
    }
    if (strcmp(d->bus, "ide"))
        return opt_fail(err, "-drive if=%s does not exist; use ide, virtio or none", d->bus);
    g_autofree char *unit = d->index ? g_strdup_printf(",bus=ide.%u,unit=%u", (unsigned)(*d->index - '0') / 2, (unsigned)(*d->index - '0') % 2) : g_strdup("");
    g_ptr_array_add(t->device_args, g_strdup_printf("%s,drive=%s%s%s", cdrom ? "ide-cd" : "ide-hd", id, unit, serial));
    return true;
}

static bool add_drive(Tandem *t, const Drive *d, GError **err)
{
    BlockOpenOpts opts = { .format = d->format, .writable = !d->readonly && !(d->media && !strcmp(d->media, "cdrom")), .discard = d->discard,
                           .detect_zeroes = d->detect_zeroes };
    if (!parse_cache(d->cache, &opts.cache, err))
        return false;
    if (d->index && (strlen(d->index) != 1 || *d->index < '0' || *d->index > '3'))
        return opt_fail(err, "-drive index= takes 0 to 3, not '%s'", d->index);
    if (d->media && strcmp(d->media, "disk") && strcmp(d->media, "cdrom"))
        return opt_fail(err, "-drive media= takes disk or cdrom, not '%s'", d->media);
    g_autofree char *id = d->id ? g_strdup(d->id) : g_strdup_printf("%s%u", strcmp(d->bus, "none") ? d->bus : "drive", t->drives->len);
    if (id_taken(t, id))
        return opt_fail(err, "two drives have the id '%s'; give each its own", id);
    BlockNode *node = block_open(t->block, d->file, &opts, err);
    if (!node)
        return false;
    /* Everything can be read as raw; what has no whole sectors was hardly meant to be a disk. */
    if (!d->format && !strcmp(block_format_name(node), "raw") && (block_length(node) % 512 || !block_length(node))) {
        block_unref(node);
        return opt_fail(err, "%s is not a disk image (no known format, and not whole sectors of 512 bytes); format=raw takes it anyway", d->file);
    }
    ControlDrive *c = g_new0(ControlDrive, 1);
    *c = (ControlDrive){ .id = g_steal_pointer(&id), .node = node };
    g_ptr_array_add(t->drives, c);
    return imply_device(t, d, c->id, err);
}

static bool parse_drive(Tandem *t, const char *text, GError **err)
{
    g_autoptr(Keys) k = keys_new(text, "file");
    Drive d = { .file = keys_take(k, "file"), .format = keys_take(k, "format"), .bus = keys_take(k, "if"), .id = keys_take(k, "id"),
                .cache = keys_take(k, "cache"), .media = keys_take(k, "media"), .serial = keys_take(k, "serial"), .index = keys_take(k, "index") };
    const char *discard = keys_take(k, "discard"), *zeroes = keys_take(k, "detect-zeroes");
    bool snapshot = false;
    keys_take(k, "aio");                /* one way of doing it is enough */
    if (!d.bus)
        d.bus = "ide";
    if (!parse_bool(keys_take(k, "readonly"), "-drive readonly", &d.readonly, err) || !parse_bool(keys_take(k, "read-only"), "-drive read-only", &d.readonly, err) ||
        !parse_bool(keys_take(k, "snapshot"), "-drive snapshot", &snapshot, err) ||
        !keys_all_used(k, "drive", "file=, format=, if=, id=, cache=, readonly=, media=, index=, serial=, discard=, detect-zeroes=", err))
        return false;
    if (snapshot)
        return opt_fail(err, "-drive snapshot=on does not exist yet; make an overlay with tandem-img create -b");
    if (discard && strcmp(discard, "unmap") && strcmp(discard, "on") && strcmp(discard, "ignore") && strcmp(discard, "off"))
        return opt_fail(err, "-drive discard= takes unmap or ignore, not '%s'", discard);
    if (zeroes && strcmp(zeroes, "on") && strcmp(zeroes, "off") && strcmp(zeroes, "unmap"))
        return opt_fail(err, "-drive detect-zeroes= takes on, off or unmap, not '%s'", zeroes);
    d.discard = discard && (*discard == 'u' || !strcmp(discard, "on"));
    d.detect_zeroes = zeroes && strcmp(zeroes, "off");
    if (!d.file || !*d.file)
        return opt_fail(err, "-drive %s: file= is missing", text);
    return add_drive(t, &d, err);
}

bool tandem_open_drives(Tandem *t, GError **err)
{
    const TandemOptions *o = &t->o;
    static const char *const index[] = { "0", "1", "2", "3" };
    for (unsigned i = 0; i < 4; i++) {
        const char *file = i == 0 && o->disk ? o->disk : o->disks[i];
        if (file && !add_drive(t, &(Drive){ .file = file, .bus = "ide", .index = index[i] }, err))
            return false;
    }
    if (o->cdrom && !add_drive(t, &(Drive){ .file = o->cdrom, .bus = "ide", .index = "2", .media = "cdrom" }, err))
        return false;
    for (unsigned i = 0; i < o->drives->len; i++)
        if (!parse_drive(t, g_ptr_array_index(o->drives, i), err))
            return false;
    return true;
}

bool tandem_register_drives(Tandem *t, GError **err)
{
    for (unsigned i = 0; i < t->drives->len; i++) {
        ControlDrive *d = g_ptr_array_index(t->drives, i);
        if (!machine_add_object(t->machine, "drive", d->id, d->node, NULL, err))
            return false;
    }
    return true;
}
