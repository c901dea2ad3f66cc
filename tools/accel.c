/* Which engine runs: one line says which and why. */
#include <string.h>

#include "tools/keys.h"
#include "tools/setup.h"

static const AccelOps *probe(Tandem *t, const char *name, AccelInfo *info, GError **err)
{
    const AccelOps *a = accel_find(accel_registry, name);
    if (!a) {
        opt_fail(err, "the engine %s is not part of this build", name);
        return NULL;
    }
    return a->probe(&t->accel_cfg, info, err) ? a : NULL;
}

static const AccelOps *choose_auto(Tandem *t, GError **err)
{
    AccelInfo info = { 0 };
    g_autofree char *reasons = NULL;
    const AccelOps *a = accel_auto(accel_registry, &t->accel_cfg, &info, &reasons, err);
    if (a && reasons && *reasons) {
        g_strchomp(reasons);
        g_strdelimit(reasons, "\n", ';');
        t->accel_line = g_strdup_printf("engine %s (%s)", a->name, reasons);
    } else if (a) {
        t->accel_line = g_strdup_printf("engine %s (%s)", a->name, info.line);
    }
    return a;
}

/* The first of a list that works; what did not is part of the line. */
static const AccelOps *choose(Tandem *t, GError **err)
{
    g_auto(GStrv) names = g_strsplit(t->o.accel ? t->o.accel : "auto", ":", -1);
    g_autoptr(GString) why = g_string_new(NULL);
    for (unsigned i = 0; names[i]; i++) {
        g_autoptr(GError) e = NULL;
        AccelInfo info = { 0 };
        if (!strcmp(names[i], "auto"))
            return choose_auto(t, err);
        const AccelOps *a = probe(t, names[i], &info, &e);
        if (a) {
            t->accel_line = g_strdup_printf("engine %s (%s%s%s)", a->name, why->len ? why->str : t->o.accel_option, *info.line ? ": " : "", info.line);
            return a;
        }
        g_string_append_printf(why, "%s%s: %s", why->len ? "; " : "", names[i], e->message);
    }
    opt_fail(err, "%s %s: %s", t->o.accel_option ? t->o.accel_option : "-accel", t->o.accel ? t->o.accel : "auto", why->str);
    return NULL;
}

bool tandem_choose_accel(Tandem *t, GError **err)
{
    t->accel_cfg = (AccelConfig){ .irqchip = t->o.irqchip, .ring0 = t->o.ring0, .max_vcpus = (unsigned)t->o.max_vcpus, .tb_cache_bytes = t->o.tb_cache_bytes,
                                    .tier = t->o.tier };
    const char *only = t->board->engine;
    if (only && (!t->o.accel || !strcmp(t->o.accel, "auto"))) {
        AccelInfo info = { 0 };
        t->accel = probe(t, only, &info, err);
        t->accel_line = g_strdup_printf("engine %s (%s guest on this host)", only, t->board->arch);
    } else {
        t->accel = choose(t, err);
    }
    if (!t->accel)
        return false;
    if (!strcmp(t->accel->name, "tcg") && !t->o.switch_us && (t->o.irqchip > ACCEL_IRQCHIP_OFF || t->o.ring0))
        tandem_say("kernel-irqchip= and ring0= are about kvm: without effect under tcg");
    if (only && strcmp(t->accel->name, only))
        return opt_fail(err, "-accel %s cannot run a %s guest on this host; use %s", t->accel->name, t->board->arch, only);
    /* The translator helps an engine out; it has no need of help itself. Moving back and forth for a test takes both. */
    const AccelOps *tcg = accel_find(accel_registry, "tcg"), *kvm = accel_find(accel_registry, "kvm");
    AccelInfo info = { 0 };
    if (t->accel != tcg && tcg && tcg->probe(&t->accel_cfg, &info, NULL))
        t->assist = tcg;
    else if (t->o.switch_us && t->accel == tcg && kvm)
        t->assist = probe(t, "kvm", &info, err);
    if (t->o.switch_us && !t->assist)
        return *err ? false : opt_fail(err, "-accel switch-us needs two engines, this host has one");
    return true;
}
