#include "cpu/x86/cpuid.h"

#include <cpuid.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/x86/xsave.h"

/* CPU models and the -cpu option. */

typedef struct FeatureInfo { const char *names; uint16_t id; uint8_t tcg; uint64_t component; } FeatureInfo;
static const FeatureInfo features[] = {
#define X86_FEATURE(id, names, word, bit, tcg, component) { names, X86_FEAT_##id, tcg, component },
#include "cpu/x86/features.def"
#undef X86_FEATURE
};

/* CR4 bits that exist only with a feature; the others always do. */
static const struct { X86Feature f; uint64_t bit; } cr4_bits[] = {
    { X86_FEAT_VME, X86_CR4_VME | X86_CR4_PVI }, { X86_FEAT_TSC, X86_CR4_TSD }, { X86_FEAT_DE, X86_CR4_DE }, { X86_FEAT_PSE, X86_CR4_PSE },
    { X86_FEAT_PAE, X86_CR4_PAE }, { X86_FEAT_MCE, X86_CR4_MCE }, { X86_FEAT_PGE, X86_CR4_PGE },
    { X86_FEAT_FXSR, X86_CR4_OSFXSR }, { X86_FEAT_SSE, X86_CR4_OSXMMEXCPT }, { X86_FEAT_UMIP, X86_CR4_UMIP }, { X86_FEAT_LA57, X86_CR4_LA57 },
    { X86_FEAT_FSGSBASE, X86_CR4_FSGSBASE }, { X86_FEAT_PCID, X86_CR4_PCIDE }, { X86_FEAT_XSAVE, X86_CR4_OSXSAVE },
    { X86_FEAT_SMEP, X86_CR4_SMEP }, { X86_FEAT_SMAP, X86_CR4_SMAP }, { X86_FEAT_PKU, X86_CR4_PKE }, { X86_FEAT_PKS, X86_CR4_PKS },
};

#define LEVEL1 "fpu,de,pse,tsc,msr,pae,mce,cx8,apic,sep,mtrr,pge,mca,cmov,pat,pse36,clflush,mmx,fxsr,sse,sse2,hypervisor,syscall,nx,lm,vme,x2apic," \
               "kvmclock,kvmclock2,kvmclock-stable-bit,kvm-nopiodelay,tsc-deadline,arat,tsc-adjust,null-sel-clr-base,lfence-always-serializing,"
#define LEVEL2 LEVEL1 "pni,cx16,ssse3,sse4.1,sse4.2,popcnt,lahf-lm,"
#define LEVEL3 LEVEL2 "avx,avx2,bmi1,bmi2,f16c,fma,abm,movbe,xsave,"

static const struct { const char *name, *features; unsigned family[2], model[2]; } models[] = {
    { "max", NULL, { 6, 25 }, { 143, 17 } },
    { "host", NULL, { 0, 0 }, { 0, 0 } },
    { "qemu64", LEVEL1 "pni,cx16,lahf-lm,", { 6, 15 }, { 13, 107 } },
    { "x86-64", LEVEL1, { 6, 15 }, { 13, 107 } },
    { "x86-64-v2", LEVEL2, { 6, 15 }, { 26, 107 } },
    { "x86-64-v3", LEVEL3, { 6, 15 }, { 60, 107 } },
};

const char *const *x86_model_names(void)
{
    static const char *const names[] = { "max", "host", "qemu64", "x86-64", "x86-64-v2", "x86-64-v3", NULL };
    return names;
}

const char *x86_feature_name(X86Feature id)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(features); i++)
        if (features[i].id == id)
            return features[i].names;
    return NULL;
}

X86Features x86_features_tcg(void)
{
    X86Features f = { { 0 } }, host = x86_features_host();
    for (unsigned i = 0; i < G_N_ELEMENTS(features); i++)
        x86_features_set(&f, features[i].id, features[i].tcg == 1 || (features[i].tcg == 2 && x86_features_has(&host, features[i].id)));
    return f;
}

/* ---- this host ---- */

static const struct { uint32_t leaf, sub, reg; } word_at[X86_FEATURE_WORDS] = {
    [X86_FW_1_EDX] = { 1, 0, 3 }, [X86_FW_1_ECX] = { 1, 0, 2 }, [X86_FW_6_EAX] = { 6, 0, 0 }, [X86_FW_7_EBX] = { 7, 0, 1 },
    [X86_FW_7_ECX] = { 7, 0, 2 }, [X86_FW_7_EDX] = { 7, 0, 3 }, [X86_FW_7_1_EAX] = { 7, 1, 0 }, [X86_FW_D_1_EAX] = { 0xd, 1, 0 },
    [X86_FW_KVM_EAX] = { 0, 0, 0 }, [X86_FW_81_EDX] = { 0x80000001, 0, 3 }, [X86_FW_81_ECX] = { 0x80000001, 0, 2 },
    [X86_FW_87_EDX] = { 0x80000007, 0, 3 }, [X86_FW_88_EBX] = { 0x80000008, 0, 1 }, [X86_FW_821_EAX] = { 0x80000021, 0, 0 },
    [X86_FW_821_ECX] = { 0x80000021, 0, 2 },
};

X86Features x86_features_host(void)
{
    X86Features f = { { 0 } };

    for (unsigned i = 0; i < X86_FEATURE_WORDS; i++) {
        uint32_t r[4] = { 0 };
        if (word_at[i].leaf && __get_cpuid_count(word_at[i].leaf, word_at[i].sub, &r[0], &r[1], &r[2], &r[3]))
            f.w[i] = r[word_at[i].reg];
    }
    x86_features_set(&f, X86_FEAT_HYPERVISOR, true);
    return f;
}

static X86Vendor host_vendor(void)
{
    uint32_t r[4] = { 0 };
    __get_cpuid(0, &r[0], &r[1], &r[2], &r[3]);
    return memcmp(&r[1], "Auth", 4) == 0 || memcmp(&r[1], "Hygo", 4) == 0 ? X86_VENDOR_AMD : X86_VENDOR_INTEL;
}

static void identity_of_host(X86CpuModel *m)
{
    uint32_t r[4] = { 0 };

    __get_cpuid(1, &r[0], &r[1], &r[2], &r[3]);
    m->stepping = r[0] & 15;
    m->family = (r[0] >> 8 & 15) + ((r[0] >> 8 & 15) == 15 ? r[0] >> 20 & 255 : 0);
    m->model = (r[0] >> 4 & 15) | (r[0] >> 12 & 0xf0);
    for (unsigned i = 0; i < 3; i++) {
        uint32_t b[4] = { 0 };
        if (__get_cpuid(0x80000002 + i, &b[0], &b[1], &b[2], &b[3]))
            memcpy(m->brand + 16 * i, b, 16);
    }
    m->brand[48] = 0;
}

static unsigned host_phys_bits(void)
{
    uint32_t r[4] = { 0 };
    return __get_cpuid(0x80000008, &r[0], &r[1], &r[2], &r[3]) && (r[0] & 0xff) >= 36 ? r[0] & 0xff : 36;
}

/* ---- names ---- */

static bool name_is(const char *names, const char *want, size_t len)
{
    for (const char *p = names; *p;) {
        size_t n = strcspn(p, "|");
        if (n == len && memcmp(p, want, len) == 0)
            return true;
        p += n + (p[n] == '|');
    }
    return false;
}

static const FeatureInfo *find_feature(const char *name, size_t len)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(features); i++)
        if (name_is(features[i].names, name, len))
            return &features[i];
    return NULL;
}

/* Edit distance, for "did you mean": rows of at most 64. */
static unsigned distance(const char *a, size_t na, const char *b, size_t nb)
{
    unsigned row[65];

    if (nb > 64)
        return 99;
    for (size_t j = 0; j <= nb; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= na; i++) {
        unsigned diag = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= nb; j++) {
            unsigned sub = diag + (a[i - 1] != b[j - 1]), best = MIN(row[j], row[j - 1]) + 1;
            diag = row[j];
            row[j] = MIN(sub, best);
        }
    }
    return row[nb];
}

/* The three nearest names, as text. */
static char *nearest(const char *name, size_t len)
{
    GString *s = g_string_new(NULL);
    bool used[G_N_ELEMENTS(features)] = { false };

    for (int k = 0; k < 3; k++) {
        unsigned best = 0, best_d = 1000;
        for (unsigned i = 0; i < G_N_ELEMENTS(features); i++) {
            unsigned d = distance(name, len, features[i].names, strcspn(features[i].names, "|"));
            if (!used[i] && d < best_d) {
                best = i;
                best_d = d;
            }
        }
        used[best] = true;
        g_string_append_printf(s, "%s%.*s", k ? ", " : "", (int)strcspn(features[best].names, "|"), features[best].names);
    }
    return g_string_free(s, FALSE);
}

static GQuark model_error(void) { return g_quark_from_static_string("x86-model"); }

/* ---- making one ---- */

typedef struct Build { X86CpuModel *m; const X86Features *avail; GString *missing; } Build;

/* Take @f if the engine has it, else remember its name. */
static void want(Build *b, const FeatureInfo *f)
{
    if (x86_features_has(b->avail, f->id))
        x86_features_set(&b->m->feat, f->id, true);
    else
        g_string_append_printf(b->missing, "%s%.*s", b->missing->len ? ", " : "", (int)strcspn(f->names, "|"), f->names);
}

static void want_list(Build *b, const char *list)
{
    for (const char *p = list; *p;) {
        size_t n = strcspn(p, ",");
        const FeatureInfo *f = n ? find_feature(p, n) : NULL;
        if (f)
            want(b, f);
        p += n + (p[n] == ',');
    }
}

static bool apply_option(Build *b, const char *opt, GError **err)
{
    bool on = *opt != '-';
    const char *name = opt + (*opt == '+' || *opt == '-');
    size_t len = strcspn(name, "=");

    if (name[len] == '=') {
        const char *v = name + len + 1;
        if (strcmp(v, "on") != 0 && strcmp(v, "off") != 0) {
            g_set_error(err, model_error(), 0, "-cpu: %.*s takes on or off, not \"%s\"", (int)len, name, v);
            return false;
        }
        on = strcmp(v, "on") == 0;
    }
    if (len == 3 && memcmp(name, "kvm", 3) == 0) {
        b->m->kvm_leaves = on;
        return true;
    }
    const FeatureInfo *f = len < 64 ? find_feature(name, len) : NULL;
    if (!f) {
        char *near = nearest(name, MIN(len, 64));
        g_set_error(err, model_error(), 0, "-cpu: no feature \"%.*s\"; the nearest are %s", (int)MIN(len, 64), name, near);
        g_free(near);
        return false;
    }
    if (on)
        want(b, f);
    else
        x86_features_set(&b->m->feat, f->id, false);
    return true;
}

void x86_model_finish(X86CpuModel *m)
{
    bool avx512, xsave = x86_features_has(&m->feat, X86_FEAT_XSAVE);

    m->cr4_mask = X86_CR4_PCE;
    for (unsigned i = 0; i < G_N_ELEMENTS(cr4_bits); i++)
        if (x86_features_has(&m->feat, cr4_bits[i].f))
            m->cr4_mask |= cr4_bits[i].bit;
    m->xcr0_mask = X86_XC_X87 | X86_XC_SSE;
    avx512 = x86_features_has(&m->feat, X86_FEAT_AVX512F);
    if (x86_features_has(&m->feat, X86_FEAT_AVX))
        m->xcr0_mask |= X86_XC_AVX;
    if (avx512)
        m->xcr0_mask |= X86_XC_OPMASK | X86_XC_ZMM_HI256 | X86_XC_HI16_ZMM;
    if (x86_features_has(&m->feat, X86_FEAT_PKU))
        m->xcr0_mask |= X86_XC_PKRU;
    m->xss_mask = 0;
    m->virt_bits = x86_features_has(&m->feat, X86_FEAT_LA57) ? 57 : 48;
    if (xsave)
        return;
    /* Without XSAVE nothing that needs an XCR0 component can be used: it is not offered either. */
    m->xcr0_mask = X86_XC_X87;
    for (unsigned i = 0; i < G_N_ELEMENTS(features); i++)
        if (features[i].component && features[i].component != X86_XC_PKRU)
            x86_features_set(&m->feat, features[i].id, false);
    m->feat.w[X86_FW_D_1_EAX] = 0;
}

static bool base_model(Build *b, const char *name, size_t len, GError **err)
{
    X86CpuModel *m = b->m;

    for (unsigned i = 0; i < G_N_ELEMENTS(models); i++) {
        if (strlen(models[i].name) != len || memcmp(models[i].name, name, len) != 0)
            continue;
        g_strlcpy(m->name, models[i].name, sizeof(m->name));
        m->family = models[i].family[m->vendor];
        m->model = models[i].model[m->vendor];
        m->stepping = 1;
        g_snprintf(m->brand, sizeof(m->brand), "Tandem virtual CPU, %s", m->name);
        if (!m->family)
            identity_of_host(m);
        if (models[i].features)
            want_list(b, models[i].features);
        else
            m->feat = *b->avail;
        return true;
    }
    char *all = g_strjoinv(", ", (char **)x86_model_names());
    g_set_error(err, model_error(), 0, "-cpu: no model \"%.*s\"; there are %s", (int)MIN(len, 64), name, all);
    g_free(all);
    return false;
}

X86CpuModel *x86_model_new(const char *spec, const X86Features *avail, GString *warn, GError **err)
{
    X86CpuModel *m = g_new0(X86CpuModel, 1);
    Build b = { m, avail, g_string_new(NULL) };
    char **part = g_strsplit(spec, ",", 256);
    bool ok;

    m->vendor = host_vendor();
    m->phys_bits = MIN(host_phys_bits(), 46u);
    m->n_cpus = 1;
    m->kvm_leaves = true;
    m->apic_hz = 1000000000;
    ok = base_model(&b, part[0] ? part[0] : "", part[0] ? strlen(part[0]) : 0, err);
    for (unsigned i = 1; ok && part[i]; i++)
        if (*part[i])
            ok = apply_option(&b, part[i], err);
    if (ok && warn && b.missing->len)
        g_string_append_printf(warn, "-cpu %s: left out, this engine lacks them: %s", m->name, b.missing->str);
    g_string_free(b.missing, TRUE);
    g_strfreev(part);
    if (!ok) {
        g_free(m);
        return NULL;
    }
    x86_model_finish(m);
    return m;
}

void x86_model_free(X86CpuModel *m) { g_free(m); }

char *x86_models_help(void)
{
    GString *s = g_string_new("models:\n");
    for (const char *const *n = x86_model_names(); *n; n++)
        g_string_append_printf(s, "  %s\n", *n);
    g_string_append(s, "features, with + or - in front:\n ");
    for (unsigned i = 0, column = 0; i < X86_FEAT_END; i++) {
        g_auto(GStrv) names = g_strsplit(x86_feature_name((X86Feature)i) ? x86_feature_name((X86Feature)i) : "", "|", 2);
        if (names[0] && *names[0]) {
            g_string_append_printf(s, " %s", names[0]);
            if (++column % 10 == 0)
                g_string_append(s, "\n ");
        }
    }
    g_string_append_c(s, '\n');
    return g_string_free(s, false);
}
