#include "cpu/x86/cpuid.h"

#include <string.h>

#include "cpu/x86/xsave.h"

/* CPUID leaves (SDM 2A CPUID; AMD APM 3 appendix E; KVM's in the kernel's Documentation/virt/kvm/x86/cpuid.rst). */

typedef struct Query {
    const X86CpuModel *m;
    const X86CpuidState *dyn;
    uint32_t leaf, sub;
    uint32_t *r;               /* EAX EBX ECX EDX, zero at the start */
} Query;

static bool has(const Query *q, X86Feature f) { return x86_features_has(&q->m->feat, f); }
static bool intel(const Query *q) { return q->m->vendor == X86_VENDOR_INTEL; }
static uint32_t word(const Query *q, X86FeatureWord w) { return q->m->feat.w[w]; }

static void text(uint32_t *r, const char *s, unsigned n)
{
    memcpy(r, s, n);
}

/* Vendor strings are in EBX EDX ECX. */
static void vendor(const Query *q)
{
    const char *v = intel(q) ? "GenuineIntel" : "AuthenticAMD";
    text(&q->r[1], v, 4);
    text(&q->r[3], v + 4, 4);
    text(&q->r[2], v + 8, 4);
}

static uint32_t max_basic(const Query *q) { return intel(q) ? 0x1f : 0x10; }

static void leaf_0(const Query *q)
{
    q->r[0] = max_basic(q);
    vendor(q);
}

uint32_t x86_model_signature(const X86CpuModel *m)
{
    uint32_t f = m->family > 15 ? 15 : m->family;
    return m->stepping | (m->model & 15) << 4 | f << 8 | (m->model >> 4) << 16 | (m->family - f) << 20;
}

/* Bits of an APIC id that number the cores of the one package. */
static unsigned core_bits(const X86CpuModel *m)
{
    unsigned b = 0;
    while ((1u << b) < m->n_cpus)
        b++;
    return b;
}

static void leaf_1(const Query *q)
{
    unsigned n = 1u << core_bits(q->m);
    q->r[0] = x86_model_signature(q->m);
    q->r[1] = q->dyn->apic_id << 24 | (n > 255 ? 255 : n) << 16 | 8 << 8;
    q->r[2] = word(q, X86_FW_1_ECX) | (has(q, X86_FEAT_XSAVE) && q->dyn->cr4 & X86_CR4_OSXSAVE ? 1u << 27 : 0);
    q->r[3] = word(q, X86_FW_1_EDX) & ~(1u << 28);
    if (q->m->n_cpus > 1)
        q->r[3] |= 1u << 28;
    if (!(q->dyn->apic_base & 0x800))          /* the bit follows the APIC's global enable (SDM 3A 11.4.3) */
        q->r[3] &= ~(1u << 9);
}

static void leaf_2(const Query *q)
{
    if (intel(q)) {
        q->r[0] = 0x00feff01;                  /* caches: see leaf 4; TLBs: leaf 18H */
    }
}

typedef struct Cache { uint32_t type, level, ways, sets; bool shared; } Cache;
static const Cache caches[] = { { 1, 1, 8, 64, false }, { 2, 1, 8, 64, false }, { 3, 2, 8, 1024, false }, { 3, 3, 16, 16384, true } };

static void cache_leaf(const Query *q, bool cores)
{
    if (q->sub >= G_N_ELEMENTS(caches))
        return;
    const Cache *c = &caches[q->sub];
    unsigned n = 1u << core_bits(q->m);
    q->r[0] = c->type | c->level << 5 | 1 << 8 | (c->shared ? n - 1 : 0) << 14 | (cores ? (n - 1 > 63 ? 63 : n - 1) << 26 : 0);
    q->r[1] = 63 | (c->ways - 1) << 22;
    q->r[2] = c->sets - 1;
}

static void leaf_4(const Query *q)
{
    if (intel(q))
        cache_leaf(q, true);
}

static void leaf_6(const Query *q) { q->r[0] = word(q, X86_FW_6_EAX); }

static void leaf_7(const Query *q)
{
    if (q->sub == 0) {
        q->r[0] = 1;
        q->r[1] = word(q, X86_FW_7_EBX);
        q->r[2] = word(q, X86_FW_7_ECX) | (has(q, X86_FEAT_PKU) && q->dyn->cr4 & X86_CR4_PKE ? 1u << 4 : 0);
        q->r[3] = word(q, X86_FW_7_EDX);
    } else if (q->sub == 1) {
        q->r[0] = word(q, X86_FW_7_1_EAX);
    }
}

/* Threads (one a core), then the package. */
static void leaf_topology(const Query *q)
{
    q->r[2] = q->sub & 0xff;
    q->r[3] = q->dyn->apic_id;
    if (q->sub == 0) {
        q->r[0] = 0;
        q->r[1] = 1;
        q->r[2] |= 1 << 8;
    } else if (q->sub == 1) {
        q->r[0] = core_bits(q->m);
        q->r[1] = q->m->n_cpus;
        q->r[2] |= 2 << 8;
    }
}

static void leaf_d(const Query *q)
{
    const X86CpuModel *m = q->m;

    if (!has(q, X86_FEAT_XSAVE))
        return;
    if (q->sub == 0) {
        q->r[0] = (uint32_t)m->xcr0_mask;
        q->r[1] = x86_xsave_size(q->dyn->xcr0, false);
        q->r[2] = x86_xsave_size(m->xcr0_mask, false);
        q->r[3] = m->xcr0_mask >> 32;
    } else if (q->sub == 1) {
        q->r[0] = word(q, X86_FW_D_1_EAX);
        if (has(q, X86_FEAT_XSAVEC) || has(q, X86_FEAT_XSAVES)) {
            q->r[1] = x86_xsave_size(q->dyn->xcr0 | q->dyn->xss, true);
            q->r[2] = (uint32_t)m->xss_mask;
            q->r[3] = m->xss_mask >> 32;
        }
    } else if (q->sub < 63 && (m->xcr0_mask | m->xss_mask) >> q->sub & 1) {
        X86XsaveComponent c = x86_xsave_component(q->sub);
        bool super = m->xss_mask >> q->sub & 1;
        q->r[0] = c.size;
        q->r[1] = super ? 0 : c.offset;
        q->r[2] = super | c.align64 << 1;
    }
}

/* TSC and crystal: TSC = crystal * EBX / EAX (SDM 3B 19.7.3); the crystal is what the local APIC's timer counts. */
static void leaf_15(const Query *q)
{
    if (!intel(q) || !q->m->tsc_hz || !q->m->apic_hz)
        return;
    q->r[0] = q->m->apic_hz / 1000;
    q->r[1] = (uint32_t)(q->m->tsc_hz / 1000);
    q->r[2] = q->m->apic_hz;
}

static void leaf_16(const Query *q)
{
    if (!intel(q) || !q->m->tsc_hz)
        return;
    q->r[0] = q->r[1] = (uint32_t)(q->m->tsc_hz / 1000000);
    q->r[2] = q->m->apic_hz / 1000000;
}

static void leaf_kvm0(const Query *q)
{
    q->r[0] = 0x40000001;
    text(&q->r[1], "KVMKVMKVM\0\0\0", 12);
}

static void leaf_kvm1(const Query *q) { q->r[0] = word(q, X86_FW_KVM_EAX); }

static uint32_t max_extended(const Query *q) { return intel(q) ? 0x80000008 : 0x80000021; }

static void leaf_8_0(const Query *q)
{
    q->r[0] = max_extended(q);
    if (!intel(q))
        vendor(q);
}

/* EDX bits of leaf 1 that AMD repeats here (APM 3 appendix E.4.2). */
enum { AMD_REPEATS = 0x0183f3ff };

static void leaf_8_1(const Query *q)
{
    if (!intel(q))
        q->r[0] = x86_model_signature(q->m);
    q->r[2] = word(q, X86_FW_81_ECX) | (!intel(q) && q->m->n_cpus > 1 ? 2 : 0);
    q->r[3] = word(q, X86_FW_81_EDX) | (intel(q) ? 0 : word(q, X86_FW_1_EDX) & AMD_REPEATS);
}

static void leaf_brand(const Query *q) { text(q->r, q->m->brand + 16 * (q->leaf - 0x80000002), 16); }

static void leaf_8_5(const Query *q)
{
    if (intel(q))
        return;
    q->r[0] = q->r[1] = 0xff40ff40;
    q->r[2] = q->r[3] = 32u << 24 | 8 << 16 | 1 << 8 | 64;
}

static void leaf_8_6(const Query *q)
{
    q->r[2] = 512u << 16 | 6 << 12 | (intel(q) ? 0 : 1 << 8) | 64;
    if (!intel(q))
        q->r[3] = 32u << 18 | 8 << 12 | 1 << 8 | 64;       /* L3: 16 MiB in units of 512 KiB */
}

static void leaf_8_7(const Query *q) { q->r[3] = word(q, X86_FW_87_EDX); }

static void leaf_8_8(const Query *q)
{
    q->r[0] = q->m->phys_bits | q->m->virt_bits << 8;
    q->r[1] = word(q, X86_FW_88_EBX);
    if (!intel(q))
        q->r[2] = (q->m->n_cpus - 1) | core_bits(q->m) << 12;
}

static void leaf_8_1d(const Query *q)
{
    if (!intel(q) && has(q, X86_FEAT_TOPOEXT))
        cache_leaf(q, false);
}

static void leaf_8_1e(const Query *q)
{
    if (intel(q) || !has(q, X86_FEAT_TOPOEXT))
        return;
    q->r[0] = q->dyn->apic_id;
    q->r[1] = q->dyn->apic_id & 0xff;          /* core id, one thread a core */
}

static void leaf_8_21(const Query *q)
{
    q->r[0] = word(q, X86_FW_821_EAX);
    q->r[2] = word(q, X86_FW_821_ECX);
}

static const struct { uint32_t first, last; void (*fn)(const Query *q); } leaves[] = {
    { 0, 0, leaf_0 }, { 1, 1, leaf_1 }, { 2, 2, leaf_2 }, { 4, 4, leaf_4 }, { 6, 6, leaf_6 }, { 7, 7, leaf_7 }, { 0xb, 0xb, leaf_topology },
    { 0xd, 0xd, leaf_d }, { 0x15, 0x15, leaf_15 }, { 0x16, 0x16, leaf_16 }, { 0x1f, 0x1f, leaf_topology },
    { 0x40000000, 0x40000000, leaf_kvm0 }, { 0x40000001, 0x40000001, leaf_kvm1 },
    { 0x80000000, 0x80000000, leaf_8_0 }, { 0x80000001, 0x80000001, leaf_8_1 }, { 0x80000002, 0x80000004, leaf_brand },
    { 0x80000005, 0x80000005, leaf_8_5 }, { 0x80000006, 0x80000006, leaf_8_6 }, { 0x80000007, 0x80000007, leaf_8_7 },
    { 0x80000008, 0x80000008, leaf_8_8 }, { 0x8000001d, 0x8000001d, leaf_8_1d }, { 0x8000001e, 0x8000001e, leaf_8_1e },
    { 0x80000021, 0x80000021, leaf_8_21 },
};

/* Leaves above the maximum: Intel answers with the highest basic one, AMD with zeros. The hypervisor's range is beyond that rule. */
static uint32_t effective_leaf(const Query *q, uint32_t leaf)
{
    if (leaf >= 0x40000000 && leaf < 0x40000100)
        return q->m->kvm_leaves ? leaf : 0xffffffff;
    uint32_t max = leaf & 0x80000000 ? max_extended(q) : max_basic(q);
    if (leaf <= max)
        return leaf;
    return intel(q) ? max_basic(q) : 0xffffffff;
}

void x86_cpuid(const X86CpuModel *m, uint32_t leaf, uint32_t subleaf, const X86CpuidState *dyn, uint32_t ret[4])
{
    Query q = { m, dyn, leaf, subleaf, ret };

    memset(ret, 0, 4 * sizeof(*ret));
    q.leaf = effective_leaf(&q, leaf);
    for (unsigned i = 0; i < G_N_ELEMENTS(leaves); i++)
        if (q.leaf >= leaves[i].first && q.leaf <= leaves[i].last) {
            leaves[i].fn(&q);
            return;
        }
}
