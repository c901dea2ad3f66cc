/* -drive, -hda..., -cdrom and the bare argument: images, "drive" objects, and the devices they imply. */
#include <string.h>

#include "tools/keys.h"
#include "tools/setup.h"

typedef struct Drive {
    const char *file, *format, *bus, *id, *media, *serial, *index, *unit;
    bool readonly, temporary, discard_auto;
    BlockOpenOpts opts;         /* what is known before opening */
    BlockOnError rerror, werror;
    BlockLimits limits;
} Drive;

/* One of @words (NULL-terminated); NULL text leaves *ret alone. */
static bool parse_word(const char *text, const char *what, const char *const *words, unsigned *ret, GError **err)
{
    g_autoptr(GString) all = g_string_new(NULL);
    for (unsigned i = 0; text && words[i]; i++) {
        if (!strcmp(text, words[i])) {
            *ret = i;
            return true;
        }
        g_string_append_printf(all, "%s%s", i ? ", " : "", words[i]);
    }
    return !text || opt_fail(err, "-drive %s= takes one of %s, not '%s'", what, all->str, text);
}

/* cache= is a name for three switches, which may also be given one by one, as QEMU has it. */
static bool parse_cache(Keys *k, Drive *d, GError **err)
{
    static const char *const names[] = { "writeback", "none", "off", "writethrough", "directsync", "unsafe", NULL };
    static const struct { bool writeback, direct, no_flush; } modes[] = { { true, false, false }, { true, true, false }, { true, true, false },
                                                                         { false, false, false }, { false, true, false }, { true, false, true } };
    unsigned i = 0;
    if (!parse_word(keys_take(k, "cache"), "cache", names, &i, err))
        return false;
    bool writeback = modes[i].writeback, direct = modes[i].direct, no_flush = modes[i].no_flush;
    if (!parse_bool(keys_take(k, "cache.writeback"), "-drive cache.writeback", &writeback, err) ||
        !parse_bool(keys_take(k, "cache.direct"), "-drive cache.direct", &direct, err) ||
        !parse_bool(keys_take(k, "cache.no-flush"), "-drive cache.no-flush", &no_flush, err))
        return false;
    if (no_flush && (direct || !writeback))
        return opt_fail(err, "-drive: cache.no-flush=on excludes cache.direct=on and cache.writeback=off; use cache=unsafe");
    d->opts.cache = no_flush ? BLOCK_CACHE_UNSAFE : direct ? writeback ? BLOCK_CACHE_NONE : BLOCK_CACHE_DIRECTSYNC :
                    writeback ? BLOCK_CACHE_WRITEBACK : BLOCK_CACHE_WRITETHROUGH;
    return true;
}

static bool parse_limits(Keys *k, BlockLimits *l, GError **err)
{
    static const char *const names[BLOCK_LIMITS][2] = {
        [BLOCK_LIMIT_BYTES] = { "bps", "bps-total" }, [BLOCK_LIMIT_BYTES_READ] = { "bps_rd", "bps-read" },
        [BLOCK_LIMIT_BYTES_WRITE] = { "bps_wr", "bps-write" }, [BLOCK_LIMIT_REQS] = { "iops", "iops-total" },
        [BLOCK_LIMIT_REQS_READ] = { "iops_rd", "iops-read" }, [BLOCK_LIMIT_REQS_WRITE] = { "iops_wr", "iops-write" },
    };
    static const char *const ends[][2] = { { "", "" }, { "_max", "-max" }, { "_max_length", "-max-length" } };
    for (unsigned i = 0; i < BLOCK_LIMITS; i++) {
        uint64_t *fields[] = { &l->limit[i].per_sec, &l->limit[i].burst_per_sec, &l->limit[i].burst_sec };
        for (unsigned e = 0; e < G_N_ELEMENTS(ends); e++) {
            g_autofree char *old = g_strconcat(names[i][0], ends[e][0], NULL), *name = g_strconcat("throttling.", names[i][1], ends[e][1], NULL);
            const char *text = keys_take(k, name), *text_old = keys_take(k, old);
            if (!parse_number(text ? text : text_old, text ? name : old, e == 2, G_MAXINT64, fields[e], err))
                return false;
        }
    }
    return parse_number(keys_take(k, "iops_size"), "iops_size", 0, G_MAXINT64, &l->req_size, err) &&
           parse_number(keys_take(k, "throttling.iops-size"), "throttling.iops-size", 0, G_MAXINT64, &l->req_size, err);
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
    if (!strcmp(d->bus, "none") || !strcmp(d->bus, "pflash"))
        return true;
    if (!strcmp(d->bus, "virtio")) {
        g_ptr_array_add(t->device_args, g_strdup_printf("virtio-blk-pci,drive=%s%s", id, serial));
        return true;
    }
    if (strcmp(d->bus, "ide") || (t->board && strncmp(t->board->disk, "ide", 3)))
        return opt_fail(err, "-drive if=%s does not exist; use ide, virtio, pflash or none", d->bus);
    g_autofree char *unit = d->index ? g_strdup_printf(",bus=ide.%u,unit=%u", (unsigned)(*d->index - '0') / 2, (unsigned)(*d->index - '0') % 2) : g_strdup("");
    g_ptr_array_add(t->device_args, g_strdup_printf("%s,drive=%s%s%s", cdrom ? "ide-cd" : "ide-hd", id, unit, serial));
    return true;
}

/* What the user may do about it; the block layer names the cause. */
static void add_remedy(const Drive *d, GError **err)
{
    const char *remedy = NULL;
    if (!err || !*err)
        return;
    switch ((*err)->code) {
    case ENOENT: remedy = strstr(d->file, "://") || (d->media && !strcmp(d->media, "cdrom")) ? NULL : "check the name, or make a disk by tandem-img create -f qcow2 FILE SIZE"; break;
    case EACCES:
    case EPERM: remedy = d->opts.writable ? "give yourself the right to read and write it, or take readonly=on" : "give yourself the right to read it"; break;
    case EROFS: remedy = "take readonly=on, or -snapshot to keep what is written elsewhere"; break;
    case EISDIR: remedy = "a disk is a file or a block device"; break;
    case 0:
        if (d->format && (strstr((*err)->message, "not in") || strstr((*err)->message, "Unknown driver")))
            remedy = "leave format= away and it is found out";
        break;
    }
    if (!remedy)
        return;
    g_autofree char *cause = g_strdup((*err)->message);
    g_free((*err)->message);
    (*err)->message = g_strdup_printf("%s; %s", cause, remedy);
}

static BlockNode *open_image(Tandem *t, Drive *d, GError **err)
{
    bool cdrom = d->media && !strcmp(d->media, "cdrom");
    d->opts.format = d->format;
    d->opts.writable = !d->readonly && !cdrom;
    /* What is read-only needs nowhere to put writes. */
    BlockNode *node = d->temporary && d->opts.writable ? block_open_temporary(t->block, d->file, &d->opts, err) : block_open(t->block, d->file, &d->opts, err);
    if (!node) {
        add_remedy(d, err);
        return NULL;
    }
    /* Everything can be read as raw; what has no whole sectors was hardly meant to be a disk. */
    const BlockNode *image = d->temporary && d->opts.writable ? block_backing(node) : node;
    if (!d->format && !strcmp(block_format_name(image), "raw") && (block_padded(image) || !block_length(image))) {
        opt_fail(err, "%s is not a disk image (no known format, and not whole sectors of 512 bytes); format=raw takes it anyway", d->file);
    } else if (block_set_limits(node, &d->limits, err)) {
        block_set_on_error(node, d->rerror, d->werror);
        if (d->discard_auto)
            block_set_discard(node, block_discard_is_safe(node));
        return node;
    }
    block_unref(node);
    return NULL;
}

/* The boards look for banks of flash by name; without a number: the next one. */
static bool name_flash(Tandem *t, Drive *d, GError **err)
{
    static const char *const names[] = { "pflash0", "pflash1", "pflash2", "pflash3" };
    unsigned n = d->index ? (unsigned)(*d->index - '0') : 0, banks = t->board ? MIN(t->board->flash_banks, (unsigned)G_N_ELEMENTS(names)) : 0;
    while (!d->index && n < banks && id_taken(t, names[n]))
        n++;
    if (n >= banks)
        return banks ? opt_fail(err, "the %s machine has %u banks of flash", t->board->machine, banks)
                     : opt_fail(err, "-drive if=pflash: this machine has no flash; use ide, virtio or none");
    d->id = names[n];
    return true;
}

static bool add_drive(Tandem *t, Drive *d, GError **err)
{
    if (d->index && (strlen(d->index) != 1 || *d->index < '0' || *d->index > '3'))
        return opt_fail(err, "-drive index= takes 0 to 3, not '%s'", d->index);
    if (d->media && strcmp(d->media, "disk") && strcmp(d->media, "cdrom"))
        return opt_fail(err, "-drive media= takes disk or cdrom, not '%s'", d->media);
    if (!strcmp(d->bus, "pflash") && !name_flash(t, d, err))
        return false;
    g_autofree char *id = d->id ? g_strdup(d->id) : g_strdup_printf("%s%u", strcmp(d->bus, "none") ? d->bus : "drive", t->drives->len);
    if (id_taken(t, id))
        return opt_fail(err, "two drives have the id '%s'; give each its own", id);
    BlockNode *node = open_image(t, d, err);
    if (!node)
        return false;
    ControlDrive *c = g_new0(ControlDrive, 1);
    *c = (ControlDrive){ .id = g_steal_pointer(&id), .node = node };
    g_ptr_array_add(t->drives, c);
    return imply_device(t, d, c->id, err);
}

static bool parse_behaviour(Keys *k, Drive *d, GError **err)
{
    static const char *const discards[] = { "ignore", "off", "unmap", "on", NULL }, *const zeroes[] = { "off", "on", "unmap", NULL };
    static const char *const aios[] = { "io_uring", "native", "threads", NULL };
    const char *discard_text = keys_take(k, "discard");
    unsigned discard = 0, detect = 0, aio = 0;
    if (!parse_cache(k, d, err) || !parse_word(discard_text, "discard", discards, &discard, err) ||
        !parse_word(keys_take(k, "detect-zeroes"), "detect-zeroes", zeroes, &detect, err) || !parse_word(keys_take(k, "aio"), "aio", aios, &aio, err) ||
        !block_parse_on_error(keys_take(k, "rerror"), false, &d->rerror, err) || !block_parse_on_error(keys_take(k, "werror"), true, &d->werror, err) ||
        !parse_limits(k, &d->limits, err))
        return false;
    d->discard_auto = !discard_text;
    d->opts.discard = discard >= 2;
    if (detect == BLOCK_DETECT_UNMAP && discard_text && !d->opts.discard)
        return opt_fail(err, "-drive detect-zeroes=unmap needs discard=unmap");
    d->opts.detect_zeroes = (BlockDetectZeroes)detect;
    d->opts.no_uring = aio == 2;
    return true;
}

/* -hda and -drive without if=: what the machine has. */
static const char *default_bus(const Tandem *t) { return !t->board || g_str_has_prefix(t->board->disk, "ide") ? "ide" : "virtio"; }

static bool parse_drive(Tandem *t, const char *text, GError **err)
{
    g_autoptr(Keys) k = keys_new(text, "file");
    Drive d = { .file = keys_take(k, "file"), .format = keys_take(k, "format"), .bus = keys_take(k, "if"), .id = keys_take(k, "id"),
                .media = keys_take(k, "media"), .serial = keys_take(k, "serial"), .index = keys_take(k, "index"), .unit = keys_take(k, "unit"), .temporary = t->o.snapshot };
    const char *driver = keys_take(k, "driver"), *filename = keys_take(k, "file.filename");
    if (d.file && filename)
        return opt_fail(err, "-drive %s: file= and file.filename= mean the same; give one", text);
    if (d.unit && !d.index)
        d.index = d.unit;
    d.file = d.file ? d.file : filename;
    d.format = d.format ? d.format : driver;
    if (!d.bus)
        d.bus = default_bus(t);
    if (!parse_bool(keys_take(k, "readonly"), "-drive readonly", &d.readonly, err) || !parse_bool(keys_take(k, "read-only"), "-drive read-only", &d.readonly, err) ||
        !parse_bool(keys_take(k, "snapshot"), "-drive snapshot", &d.temporary, err) || !parse_behaviour(k, &d, err) ||
        !keys_all_used(k, "drive", "file=, format=, if=, id=, cache=, readonly=, media=, index=, serial=, snapshot=, discard=, detect-zeroes=, aio=, "
                       "rerror=, werror=, throttling.iops-total= and its kin", err))
        return false;
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
        if (file && !add_drive(t, &(Drive){ .file = file, .bus = default_bus(t), .index = index[i], .temporary = o->snapshot, .discard_auto = true }, err))
            return false;
    }
    if (o->cdrom && !add_drive(t, &(Drive){ .file = o->cdrom, .bus = default_bus(t), .index = "2", .media = "cdrom" }, err))
        return false;
    for (unsigned i = 0; i < o->drives->len; i++)
        if (!parse_drive(t, g_ptr_array_index(o->drives, i), err))
            return false;
    return true;
}

/* if=none without a -device is hardly meant so. */
void tandem_name_idle_drives(Tandem *t)
{
    for (unsigned i = 0; i < t->drives->len; i++) {
        const ControlDrive *d = g_ptr_array_index(t->drives, i);
        if (!g_str_has_prefix(d->id, "pflash") && !machine_object_used(t->machine, "drive", d->id))
            tandem_say("drive %s belongs to no device: the guest does not see it (-device virtio-blk-pci,drive=%s)", d->id, d->id);
    }
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
