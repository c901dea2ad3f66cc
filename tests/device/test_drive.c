/* Every registered device class, without a CPU: random accesses, reset, state into a fresh instance and back, damaged state, unplug. */
#include <string.h>

#include "tests/device/drive.h"

enum { SEEDS = 6, OPS = 3000 };

/* Classes that need more than properties; each is driven by the test that stands beside it. */
static const struct { const char *name, *why; } excused[] = {
    { "lapic", "needs a vCPU: fuzz-intc, device-lapic" },
    { "pci-ecam", "needs its board: fuzz-intc, riscv-uboot" },
    { "arm-cpus", "needs vCPUs: fuzz-intc, device-arm" },
    { "arm-its", "needs a GICv3 with LPIs: fuzz-intc, device-its" },
    { NULL, NULL },
};

static const char *excuse(const DeviceClass *k)
{
    for (unsigned i = 0; excused[i].name; i++)
        if (!strcmp(excused[i].name, k->name))
            return excused[i].why;
    return NULL;
}

static void compare(const DeviceClass *k, const GByteArray *a, const GByteArray *b)
{
    if (a->len == b->len && !memcmp(a->data, b->data, a->len))
        return;
    guint i = 0;
    while (i < a->len && i < b->len && a->data[i] == b->data[i])
        i++;
    fprintf(stderr, "%s: state differs after a round trip at byte %u of %u/%u\n", k->name, i, a->len, b->len);
    exit(1);
}

/* Save, load into another machine with the same memory, save there. False: the device could not be saved just then. */
static bool round_trip(const DeviceClass *k, Drive *d)
{
    Drive e;
    GError *err = NULL;
    g_autoptr(GByteArray) one = drive_save(d), two = NULL;
    if (!one)
        return false;
    CHECK(drive_init(&e, k, NULL));
    memcpy(e.rig.host, d->rig.host, RIG_RAM);
    if (!device_load(e.dev, one->data, one->len, &err)) {
        fprintf(stderr, "%s: its own state is refused: %s\n", k->name, err->message);
        exit(1);
    }
    GByteArray *raw = g_byte_array_new();
    CHECK(device_save(e.dev, raw, NULL));
    two = raw;
    compare(k, one, two);
    drive_clear(&e);
    return true;
}

/* Damaged state is refused or taken, never more; and the device still works afterwards. */
static void damaged_state(const DeviceClass *k, Drive *d, GRand *r)
{
    g_autoptr(GByteArray) good = drive_save(d);
    for (unsigned i = 0; good && good->len && i < 200; i++) {
        g_autofree uint8_t *bad = g_memdup2(good->data, good->len);
        for (unsigned n = 1 + g_rand_int(r) % 4; n > 0; n--)
            bad[g_rand_int(r) % good->len] = (uint8_t)g_rand_int(r);
        GError *err = NULL;
        CHECK(device_load(d->dev, bad, i % 8 ? good->len : g_rand_int(r) % good->len, &err) || err);
        g_clear_error(&err);
        DriveBytes b = { .rand = r };
        drive_run(d, &b, 20);
    }
}

static void unplug(Drive *d)
{
    if (strcmp(d->dev->id, "dut") || d->dev->klass->fabric)
        return;
    device_free(d->kids[0]);
    device_free(d->kids[1]);
    device_unrealize(d->dev);
    DriveBytes b = { .rand = NULL };
    rig_settle(&d->rig);
    drive_run(d, &b, 1);
    for (guint i = 0; i < d->windows->len; i++) {
        uint64_t v;
        const DriveWindow *w = &g_array_index(d->windows, DriveWindow, i);
        as_load(w->as, w->base, 1, &v);
    }
    device_free(d->dev);
}

static void drive_class(const DeviceClass *k)
{
    unsigned saved = 0, edges = 0;
    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        GRand *r = g_rand_new_with_seed(seed);
        DriveBytes b = { .rand = r };
        char *why = NULL;
        Drive d;
        if (!drive_init(&d, k, &why)) {
            fprintf(stderr, "%s: cannot be driven: %s\n", k->name, why);
            exit(1);
        }
        for (unsigned part = 0; part < 3; part++) {
            drive_run(&d, &b, OPS / 3);
            saved += device_has_state(d.dev) && round_trip(k, &d);
        }
        damaged_state(k, &d, r);
        edges += d.edges;
        unplug(&d);
        drive_clear(&d);
        g_rand_free(r);
    }
    if (!saved && (k->state || k->base_state)) {
        fprintf(stderr, "%s: could never be saved\n", k->name);
        exit(1);
    }
    printf("%-24s %u round trips, %u edges\n", k->name, saved, edges);
}

int main(int argc, char **argv)
{
    for (const DeviceClass *const *k = device_registry; *k; k++) {
        if (argc > 1 && strcmp(argv[1], (*k)->name))
            continue;
        if (excuse(*k))
            printf("%-24s not alone: %s\n", (*k)->name, excuse(*k));
        else
            drive_class(*k);
        fflush(stdout);
    }
    return 0;
}
