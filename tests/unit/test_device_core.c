/* Properties, ids, buses, objects, requests and unplug: what vmm does around devices. */
#include <string.h>

#include "tests/unit/check.h"
#include "vmm/machine.h"

typedef struct Toy {
    Device dev;
    bool flag;
    uint8_t u8;
    uint16_t u16;
    uint32_t u32;
    uint64_t u64, size;
    int32_t i32;
    char *str;
    uint8_t mac[6];
    void *ref, *own;
    unsigned slot;              /* the bus's own property */
    unsigned realized, unrealized, resets;
} Toy;

static bool toy_realize(Device *dev, GError **err)
{
    Toy *t = (Toy *)dev;
    if (t->u8 == 66) {
        device_init_irqs(dev, 1);
        g_set_error(err, G_OPTION_ERROR, G_OPTION_ERROR_FAILED, "66 does not work");
        return false;
    }
    device_init_irqs(dev, 2);
    t->realized++;
    return true;
}

static void toy_unrealize(Device *dev)
{
    ++*(unsigned *)((Toy *)dev)->ref;
}

static void toy_reset(Device *dev)
{
    ((Toy *)dev)->resets++;
}

static const PropDesc toy_props[] = {
    PROP(Toy, flag, PROP_BOOL, "flag", .def = "on", .help = "a switch"),
    PROP(Toy, u8, PROP_U8, "u8", .max = 100),
    PROP(Toy, u16, PROP_U16, "u16", .min = 16),
    PROP(Toy, u32, PROP_U32, "u32", .def = "0x10"),
    PROP(Toy, u64, PROP_U64, "u64"),
    PROP(Toy, i32, PROP_I32, "i32", .def = "-1"),
    PROP(Toy, str, PROP_STR, "str", .def = "hello"),
    PROP(Toy, size, PROP_SIZE, "size"),
    PROP(Toy, mac, PROP_MAC, "mac"),
    PROP(Toy, ref, PROP_REF, "ref", .ref_type = "thing", .required = true, .shared = true),
    PROP(Toy, own, PROP_REF, "own", .ref_type = "thing"),
    { 0 }
};

static const DeviceClass toy_class = { .name = "toy", .summary = "for tests", .size = sizeof(Toy), .bus = BUS_I2C, .props = toy_props,
                                       .realize = toy_realize, .unrealize = toy_unrealize, .reset = toy_reset };
static const DeviceClass inside_class = { .name = "inside", .summary = "boards only", .size = sizeof(Toy), .internal = true };
static const DeviceClass *const registry[] = { &toy_class, &inside_class, NULL };

static bool two_slots(Bus *bus, Device *dev, GError **err)
{
    if (bus->children->len == 2) {
        g_set_error(err, G_OPTION_ERROR, G_OPTION_ERROR_FAILED, "bus %s is full", bus->name);
        return false;
    }
    ((Toy *)dev)->slot = bus->children->len;
    return true;
}

static const BusOps toy_bus = { .kind = BUS_I2C, .attach = two_slots };

/* Adding must fail with a message that contains @word. */
static void refuse(Machine *m, const char *klass, const char *const *props, const char *word)
{
    GError *err = NULL;
    CHECK(!machine_add_device(m, klass, props, &err));
    if (!err || !strstr(err->message, word)) {
        fprintf(stderr, "message '%s' lacks '%s'\n", err ? err->message : "(none)", word);
        exit(1);
    }
    g_error_free(err);
}

#define ARGS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void test_refusals(Machine *m)
{
    refuse(m, "nope", ARGS("a=b"), "no device 'nope'");
    refuse(m, "inside", ARGS("a=b"), "belongs to the board");
    refuse(m, "toy", ARGS("flag=on"), "needs ref=");
    refuse(m, "toy", ARGS("ref=y"), "no thing with the id 'y'");
    refuse(m, "toy", ARGS("ref=x", "colour=red"), "no property 'colour'");
    refuse(m, "toy", ARGS("ref=x", "flag=maybe"), "flag=maybe");
    refuse(m, "toy", ARGS("ref=x", "u8=101"), "out of range");
    refuse(m, "toy", ARGS("ref=x", "u8=-1"), "not a valid");
    refuse(m, "toy", ARGS("ref=x", "u16=15"), "out of range");
    refuse(m, "toy", ARGS("ref=x", "u32=4294967296"), "out of range");
    refuse(m, "toy", ARGS("ref=x", "u64=99999999999999999999"), "not a valid");
    refuse(m, "toy", ARGS("ref=x", "u32="), "not a valid");
    refuse(m, "toy", ARGS("ref=x", "i32=-2147483649"), "out of range");
    refuse(m, "toy", ARGS("ref=x", "size=16777216T"), "not a valid");
    refuse(m, "toy", ARGS("ref=x", "size=1Q"), "not a valid");
    refuse(m, "toy", ARGS("ref=x", "mac=52:54:00:12:34"), "not a valid");
    refuse(m, "toy", ARGS("ref=x", "mac=52:54:00:12:34:5g"), "not a valid");
    refuse(m, "toy", ARGS("ref=x", "id=7up"), "not an id");
    refuse(m, "toy", ARGS("ref=x", "bus=where"), "no bus 'where'");
    refuse(m, "toy", ARGS("ref=x", "u8=66"), "66 does not work");
}

static void test_values(Machine *m)
{
    Toy *t = (Toy *)machine_add_device(m, "toy", ARGS("id=t1", "ref=x", "flag=off", "u8=0x64", "u16=16", "u64=18446744073709551615", "size=3M",
                                                      "mac=52:54:00:12:34:Fe", "str=a,b"), NULL);
    CHECK(t && !t->flag && t->u8 == 100 && t->u16 == 16 && t->u32 == 16 && t->u64 == UINT64_MAX && t->size == 3u << 20 && t->i32 == -1);
    refuse(m, "toy", ARGS("ref=x", "own=x"), "belongs to another device already");
    CHECK(t->mac[5] == 0xfe && !strcmp(t->str, "a,b") && t->slot == 0 && t->resets == 1);
    Toy *u = (Toy *)machine_add_device(m, "toy", ARGS("ref=x", "i32=-5"), NULL);
    CHECK(u && u->flag && u->i32 == -5 && !strcmp(u->str, "hello") && u->slot == 1 && u->dev.id);
    refuse(m, "toy", ARGS("id=t1", "ref=x"), "is taken");
    refuse(m, "toy", ARGS("ref=x"), "is full");
    CHECK(device_by_id(m, "t1") == &t->dev);
    GError *err = NULL;
    CHECK(!machine_remove_object(m, "thing", "x", &err) && strstr(err->message, "used by a device"));
    g_clear_error(&err);
    unsigned *count = t->ref;
    CHECK(machine_del_device(m, "t1", NULL) && !device_by_id(m, "t1"));
    CHECK(!machine_del_device(m, "t1", NULL));
    CHECK_EQ(*count, 1);
    CHECK(machine_add_device(m, "toy", ARGS("id=t1", "ref=x"), NULL));      /* the slot is free again */
    device_guest_error(&u->dev, "nonsense %d", 1);
    CHECK_EQ(u->dev.guest_errors, 1);
    g_autofree char *help = device_class_help(&toy_class);
    CHECK(strstr(help, "flag=<on/off>") && strstr(help, "a switch") && strstr(help, "id of a thing") && strstr(help, "(required)"));
}

static void count_file(const char *name, GBytes *data, void *opaque)
{
    *(gsize *)opaque += g_bytes_get_size(data);
}

static void test_objects(Machine *m)
{
    int a = 0;
    gsize sum = 0;
    CHECK(machine_add_object(m, "thing", "y", &a, NULL, NULL) && !machine_add_object(m, "thing", "y", &a, NULL, NULL));
    CHECK(machine_add_object(m, "other", "y", &a, NULL, NULL) && machine_find_object(m, "thing", "y") == &a);
    CHECK(machine_remove_object(m, "thing", "y", NULL) && !machine_find_object(m, "thing", "y") && !machine_remove_object(m, "thing", "y", NULL));
    machine_set_fw_file(m, "etc/a", "12345", 5);
    machine_set_fw_file(m, "etc/b", "123", 3);
    machine_set_fw_file(m, "etc/a", "1", 1);
    machine_foreach_fw_file(m, count_file, &sum);
    CHECK_EQ(sum, 4);
}

typedef struct Seen {
    unsigned powerdown, shutdown, added;
    MachineCause cause;
} Seen;

static void on_event(void *opaque, Machine *m, const MachineEvent *ev)
{
    Seen *s = opaque;
    s->powerdown += ev->kind == MACHINE_EV_POWERDOWN;
    s->shutdown += ev->kind == MACHINE_EV_SHUTDOWN;
    s->added += ev->kind == MACHINE_EV_DEVICE_ADDED;
    if (ev->kind == MACHINE_EV_SHUTDOWN)
        s->cause = ev->cause;
}

static void settle(Machine *m)
{
    machine_flush_work(m);
    while (loop_iterate(machine_loop(m), false))
        machine_flush_work(m);
}

int main(void)
{
    unsigned unrealized = 0;
    Seen seen = { 0 };
    Bus bus = { 0 };
    Machine *m = machine_new(&(MachineConfig){ .devices = registry }, NULL);
    CHECK(m);
    machine_listen(m, on_event, &seen);
    bus_init(&bus, &toy_bus, "toys.0", NULL, m);
    CHECK(machine_add_object(m, "thing", "x", &unrealized, NULL, NULL));
    CHECK(machine_complete(m, NULL));
    test_refusals(m);
    test_values(m);
    test_objects(m);
    settle(m);
    CHECK_EQ(seen.added, 3);
    CHECK(machine_cont(m, NULL));
    machine_request_powerdown(m);       /* no hook: the plug is pulled */
    settle(m);
    CHECK(seen.powerdown == 1 && seen.shutdown == 1 && seen.cause == CAUSE_HOST_MONITOR && machine_state(m) == MACHINE_SHUTDOWN);
    CHECK(machine_del_device(m, "t1", NULL));
    Toy *last = (Toy *)g_ptr_array_index(bus.children, 0);
    CHECK(machine_del_device(m, last->dev.id, NULL));
    CHECK_EQ(unrealized, 3);
    bus_clear(&bus);
    machine_free(m);
    puts("device core: ok");
    return 0;
}
