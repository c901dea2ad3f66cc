#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/machine-internal.h"

/* Properties of devices: from option text to members of the instance struct. */

static const struct { const char *name; uint64_t max; unsigned size; } prop_types[] = {
    [PROP_BOOL] = { "on/off", 1, sizeof(bool) },
    [PROP_U8] = { "number", UINT8_MAX, 1 },
    [PROP_U16] = { "number", UINT16_MAX, 2 },
    [PROP_U32] = { "number", UINT32_MAX, 4 },
    [PROP_U64] = { "number", UINT64_MAX, 8 },
    [PROP_I32] = { "number", INT32_MAX, 4 },
    [PROP_STR] = { "text", 0, sizeof(char *) },
    [PROP_SIZE] = { "size (K, M, G)", UINT64_MAX, 8 },
    [PROP_MAC] = { "xx:xx:xx:xx:xx:xx", 0, 6 },
    [PROP_REF] = { "id", 0, sizeof(void *) },
};

static bool parse_bool(const char *s, uint64_t *ret)
{
    static const char *const yes[] = { "on", "yes", "true", "1" }, *const no[] = { "off", "no", "false", "0" };
    for (unsigned i = 0; i < G_N_ELEMENTS(yes); i++) {
        if (!strcmp(s, yes[i]) || !strcmp(s, no[i])) {
            *ret = !strcmp(s, yes[i]);
            return true;
        }
    }
    return false;
}

/* Decimal or 0x number, with a size suffix if @suffix. */
static bool parse_number(const char *s, bool suffix, uint64_t *ret)
{
    char *end;
    if (!g_ascii_isdigit(s[0]))
        return false;
    errno = 0;
    uint64_t v = g_ascii_strtoull(s, &end, g_str_has_prefix(s, "0x") || g_str_has_prefix(s, "0X") ? 16 : 10);
    if (errno)
        return false;
    if (suffix && *end) {
        static const char units[] = "KMGT";
        const char *u = strchr(units, g_ascii_toupper(*end));
        unsigned shift = u && *u ? 10 * (unsigned)(u - units + 1) : 0;
        if ((!shift && g_ascii_toupper(*end) != 'B') || v > UINT64_MAX >> shift)
            return false;
        v <<= shift;
        end++;
    }
    if (*end)
        return false;
    *ret = v;
    return true;
}

static bool parse_mac(const char *s, uint8_t mac[6])
{
    if (strlen(s) != 17)
        return false;
    for (unsigned i = 0; i < 6; i++, s += 3) {
        int hi = g_ascii_xdigit_value(s[0]), lo = g_ascii_xdigit_value(s[1]);
        if (hi < 0 || lo < 0 || s[2] != (i < 5 ? ':' : 0))
            return false;
        mac[i] = (uint8_t)(hi << 4 | lo);
    }
    return true;
}

static void bad_value(const Device *dev, const PropDesc *p, const char *value, GError **err)
{
    g_set_error(err, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "%s: %s=%s is not a valid %s", dev->klass->name, p->name, value,
                prop_types[p->type].name);
}

static bool set_ref(Device *dev, const PropDesc *p, const char *value, GError **err)
{
    MachineObject *o = machine_object(dev->priv->machine, p->ref_type, value);
    if (!o) {
        g_set_error(err, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "%s: there is no %s with the id '%s'", dev->klass->name, p->ref_type, value);
        return false;
    }
    if (o->users && !p->shared) {
        g_set_error(err, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "%s: the %s '%s' belongs to another device already", dev->klass->name, p->ref_type, value);
        return false;
    }
    *(void **)(void *)((char *)dev + p->offset) = o->ptr;
    o->users++;
    g_ptr_array_add(dev->priv->refs, o);
    return true;
}

static bool set_integer(Device *dev, const PropDesc *p, const char *value, GError **err)
{
    uint64_t v = 0, max = p->max ? p->max : prop_types[p->type].max;
    bool negative = p->type == PROP_I32 && value[0] == '-';
    bool ok = p->type == PROP_BOOL ? parse_bool(value, &v) : parse_number(value + negative, p->type == PROP_SIZE, &v);
    if (!ok) {
        bad_value(dev, p, value, err);
        return false;
    }
    if (v > max || v < p->min) {
        g_set_error(err, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    "%s: %s=%s is out of range (%" G_GUINT64_FORMAT "..%" G_GUINT64_FORMAT ")", dev->klass->name, p->name, value, p->min, max);
        return false;
    }
    void *at = (char *)dev + p->offset;
    if (negative)
        v = 0 - v;
    switch (prop_types[p->type].size) {
    case 1: *(uint8_t *)at = (uint8_t)v; break;
    case 2: *(uint16_t *)at = (uint16_t)v; break;
    case 4: *(uint32_t *)at = (uint32_t)v; break;
    default: *(uint64_t *)at = v; break;
    }
    return true;
}

static bool set_one(Device *dev, const PropDesc *p, const char *value, GError **err)
{
    void *at = (char *)dev + p->offset;
    switch (p->type) {
    case PROP_STR:
        g_free(*(char **)at);
        *(char **)at = g_strdup(value);
        return true;
    case PROP_MAC: {
        uint8_t mac[6];
        if (!parse_mac(value, mac)) {
            bad_value(dev, p, value, err);
            return false;
        }
        memcpy(at, mac, 6);
        return true;
    }
    case PROP_REF:
        return set_ref(dev, p, value, err);
    default:
        return set_integer(dev, p, value, err);
    }
}

static const PropDesc *find_prop(const PropDesc *props, const char *name)
{
    for (; props && props->type != PROP_END; props++)
        if (!strcmp(props->name, name))
            return props;
    return NULL;
}

bool device_set_prop(Device *dev, const char *name, const char *value, GError **err)
{
    g_assert(!dev->realized);
    const PropDesc *p = find_prop(dev->klass->props, name);
    if (!p)
        p = find_prop(dev->priv->bus_props, name);
    if (!p) {
        g_set_error(err, G_OPTION_ERROR, G_OPTION_ERROR_UNKNOWN_OPTION, "%s has no property '%s'; see -device %s,help", dev->klass->name,
                    name, dev->klass->name);
        return false;
    }
    if (!set_one(dev, p, value, err))
        return false;
    g_hash_table_add(dev->priv->set, (gpointer)p->name);
    return true;
}

void device_set_defaults(Device *dev, const PropDesc *props)
{
    for (const PropDesc *p = props; p && p->type != PROP_END; p++)
        if (p->def) {
            GError *err = NULL;
            set_one(dev, p, p->def, &err);
            g_assert_no_error(err);     /* a table's mistake */
        }
}

static void help_table(GString *s, const PropDesc *props)
{
    for (; props && props->type != PROP_END; props++) {
        g_string_append_printf(s, "  %s=<%s%s%s>", props->name, prop_types[props->type].name, props->ref_type ? " of a " : "",
                               props->ref_type ? props->ref_type : "");
        if (props->help)
            g_string_append_printf(s, "  %s", props->help);
        if (props->def)
            g_string_append_printf(s, " (default: %s)", props->def);
        if (props->required)
            g_string_append(s, " (required)");
        g_string_append_c(s, '\n');
    }
}

char *device_class_help(const DeviceClass *klass)
{
    GString *s = g_string_new(NULL);
    g_string_append_printf(s, "%s: %s\n", klass->name, klass->summary ? klass->summary : "");
    help_table(s, klass->props);
    return g_string_free(s, FALSE);
}
