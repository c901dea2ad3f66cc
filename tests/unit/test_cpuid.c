/* CPU models: parsing of -cpu, filtering by the engine, consistency of the leaves, round trip of the XSAVE area. */
#include <stdio.h>
#include <string.h>

#include "cpu/x86/cpuid.h"
#include "cpu/x86/xsave.h"

static int failures;
#define CHECK(c) do { if (!(c)) { printf("FAIL %s:%d: %s\n", __FILE__, __LINE__, #c); failures++; } } while (0)

static void test_parse(void)
{
    X86Features tcg = x86_features_tcg();
    GError *err = NULL;
    GString *warn = g_string_new(NULL);
    X86CpuModel *m = x86_model_new("qemu64,+smep,-vme,popcnt=on", &tcg, warn, &err);

    CHECK(m && !err);
    CHECK(x86_features_has(&m->feat, X86_FEAT_SMEP) && x86_features_has(&m->feat, X86_FEAT_POPCNT) && !x86_features_has(&m->feat, X86_FEAT_VME));
    CHECK(!(m->cr4_mask & X86_CR4_VME) && m->cr4_mask & X86_CR4_SMEP && !(m->cr4_mask & X86_CR4_LA57));
    x86_model_free(m);
    g_string_truncate(warn, 0);
    m = x86_model_new("max,+avx512f", &tcg, warn, &err);
    CHECK(m && strstr(warn->str, "avx512f"));
    x86_model_free(m);
    static const char *const bad[][2] = { { "qemu46", "x86-64-v2" }, { "max,+smepp", "smep" }, { "max,sse=maybe", "on or off" }, { "", "max" }, { "max,+", "" } };
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        m = x86_model_new(bad[i][0], &tcg, NULL, &err);
        CHECK(!m && err && strstr(err->message, bad[i][1]));
        g_clear_error(&err);
    }
    g_string_free(warn, TRUE);
}

static void test_leaves(const char *spec, X86Vendor vendor, unsigned cpus)
{
    X86Features tcg = x86_features_tcg();
    X86CpuModel *m = x86_model_new(spec, &tcg, NULL, NULL);
    X86CpuidState dyn = { .apic_id = 3, .cr4 = X86_CR4_OSXSAVE, .xcr0 = 3, .apic_base = 0xfee00900 };
    uint32_t r[4], max, level;

    m->vendor = vendor;
    m->n_cpus = cpus;
    m->tsc_hz = 2596000000;
    x86_cpuid(m, 0, 0, &dyn, r);
    max = r[0];
    CHECK(!memcmp(&r[1], vendor == X86_VENDOR_INTEL ? "Genu" : "Auth", 4) && max >= 0xd);
    x86_cpuid(m, 1, 0, &dyn, r);
    CHECK(r[0] == x86_model_signature(m) && r[1] >> 24 == 3 && r[3] >> 9 & 1 && (r[3] >> 28 & 1) == (cpus > 1));
    CHECK((r[2] >> 27 & 1) == (r[2] >> 26 & 1));
    x86_cpuid(m, 0xb, 1, &dyn, r);
    level = r[0];
    CHECK(1u << level >= cpus && r[1] == cpus && r[3] == 3);
    x86_cpuid(m, 0xd, 0, &dyn, r);
    if (x86_features_has(&m->feat, X86_FEAT_XSAVE))
        CHECK(r[2] == x86_xsave_size(m->xcr0_mask, false) && r[1] == 576);
    else
        CHECK(!r[0] && !r[2]);
    x86_cpuid(m, 0x40000000, 0, &dyn, r);
    CHECK(!memcmp(&r[1], "KVMKVMKVM", 9));
    x86_cpuid(m, 0x80000008, 0, &dyn, r);
    CHECK((r[0] & 0xff) == m->phys_bits && (r[0] >> 8 & 0xff) == m->virt_bits);
    x86_cpuid(m, 0x15, 0, &dyn, r);
    if (vendor == X86_VENDOR_INTEL)
        CHECK(r[0] && (uint64_t)r[2] * r[1] / r[0] == m->tsc_hz);
    x86_cpuid(m, 0x7fffffff, 0, &dyn, r);
    x86_cpuid(m, 0xffffffff, 0, &dyn, r);
    x86_model_free(m);
}

static void test_xsave(void)
{
    static X86State a, b;
    uint8_t area[X86_XSAVE_MAX], again[X86_XSAVE_MAX];

    x86_state_reset(&a, false, true);
    x86_state_reset(&b, false, true);
    for (unsigned i = 0; i < 32; i++)
        for (unsigned k = 0; k < 8; k++)
            a.vec[i].q[k] = 0x0101010101010101ull * (i + 1) + k;
    for (unsigned i = 0; i < 8; i++) {
        a.fpr[i].mant = 0x8000000000000000ull + i;
        a.fpr[i].exp = (uint16_t)(0x3fff + i);
        a.kmask[i] = i * 77;
    }
    a.fsw = 5 << 11;
    a.fcw = 0x37f;
    a.fip = 0x123456789abc;
    a.pkru = 0x5555;
    x86_xsave_pack(&a, X86_XC_KNOWN, area);
    x86_xsave_unpack(&b, X86_XC_KNOWN, area);
    x86_xsave_pack(&b, X86_XC_KNOWN, again);
    CHECK(!memcmp(area, again, sizeof(area)));
    CHECK(!memcmp(a.vec, b.vec, sizeof(a.vec)) && !memcmp(a.kmask, b.kmask, sizeof(a.kmask)) && b.pkru == 0x5555 && b.fip == a.fip);
    CHECK(!memcmp(a.fpr, b.fpr, sizeof(a.fpr)));
    memset(area + 512, 0, 64);                 /* XSTATE_BV 0: everything initial */
    x86_xsave_unpack(&b, X86_XC_KNOWN, area);
    CHECK(b.fcw == 0x37f && !b.fsw && b.mxcsr == 0x1f80 && !b.pkru && !b.vec[31].q[7]);
    CHECK(x86_xsave_size(7, false) == 832 && x86_xsave_size(0x207, true) == 840 && x86_xsave_size(0x207, false) == 2696);
}

int main(void)
{
    test_parse();
    test_leaves("max", X86_VENDOR_AMD, 1);
    test_leaves("max", X86_VENDOR_INTEL, 1);
    test_leaves("max", X86_VENDOR_INTEL, 6);
    test_leaves("qemu64", X86_VENDOR_AMD, 255);
    test_leaves("x86-64-v3", X86_VENDOR_INTEL, 8);
    test_leaves("host", X86_VENDOR_AMD, 2);
    test_xsave();
    printf("%d failures\n", failures);
    return failures != 0;
}
