#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "cpu/x86/state.h"

/*
 * CPU models: which processor a guest sees, the same under both engines. A model is made once from the -cpu option, completed with the
 * machine's topology and clock, and then read only (any thread).
 */

/* One register of one CPUID leaf that carries feature bits. */
typedef enum X86FeatureWord {
    X86_FW_1_EDX, X86_FW_1_ECX, X86_FW_6_EAX, X86_FW_7_EBX, X86_FW_7_ECX, X86_FW_7_EDX, X86_FW_7_1_EAX, X86_FW_D_1_EAX, X86_FW_KVM_EAX,
    X86_FW_81_EDX, X86_FW_81_ECX, X86_FW_87_EDX, X86_FW_88_EBX, X86_FW_821_EAX, X86_FW_821_ECX, X86_FEATURE_WORDS
} X86FeatureWord;
typedef struct X86Features { uint32_t w[X86_FEATURE_WORDS]; } X86Features;

typedef enum X86Feature {
#define X86_FEATURE(id, names, word, bit, tcg, component) X86_FEAT_##id = X86_FW_##word * 32 + (bit),
#include "cpu/x86/features.def"
#undef X86_FEATURE
    X86_FEAT_END = X86_FEATURE_WORDS * 32
} X86Feature;

typedef enum X86Vendor { X86_VENDOR_INTEL, X86_VENDOR_AMD } X86Vendor;

typedef struct X86CpuModel {
    char name[32];
    X86Vendor vendor;
    unsigned family, model, stepping;
    char brand[49];
    X86Features feat;
    unsigned phys_bits, virt_bits;
    unsigned n_cpus;           /* one package, a core each */
    uint64_t tsc_hz;           /* 0 = unknown: no frequency leaves */
    uint32_t apic_hz;          /* local APIC timer before its divider; CPUID 0x15's crystal */
    bool kvm_leaves;           /* offer the paravirtual leaves at 0x40000000 */
    /* derived from feat by x86_model_finish */
    uint64_t cr4_mask, xcr0_mask, xss_mask;
} X86CpuModel;

/* The part of CPUID that changes while a vCPU runs. */
typedef struct X86CpuidState { uint32_t apic_id; uint64_t cr4, xcr0, xss, apic_base, misc_enable; } X86CpuidState;

static inline bool x86_features_has(const X86Features *f, X86Feature i) { return f->w[i / 32] >> (i % 32) & 1; }
static inline void x86_features_set(X86Features *f, X86Feature i, bool on)
{
    f->w[i / 32] = (f->w[i / 32] & ~(1u << i % 32)) | (uint32_t)on << i % 32;
}

/* What the translator can do; what this host's CPU has (CPUID instruction). */
X86Features x86_features_tcg(void);
X86Features x86_features_host(void);
/* Name of feature @i (first of its names), or NULL. */
const char *x86_feature_name(X86Feature i);

/*
 * Make a model of @spec = NAME[,+feature|-feature|feature=on|off]..., limited to @avail (what the engine can do). "host" and "max" take all of
 * @avail. Features of another model, or asked for, that @avail lacks are left out and appended to @warn (one text, may be NULL).
 * NULL: unknown model or feature; @err names the nearest. Caller frees with x86_model_free.
 */
X86CpuModel *x86_model_new(const char *spec, const X86Features *avail, GString *warn, GError **err);
void x86_model_free(X86CpuModel *m);
/* Recompute the derived masks after feat was changed. */
void x86_model_finish(X86CpuModel *m);
/* Names for -cpu help: NULL-terminated. */
const char *const *x86_model_names(void);
/* What -cpu takes, models and features, lines of text; the caller's. */
char *x86_models_help(void);

/* One leaf. Unknown leaves give zeros, leaves above the maximum those of the highest basic one (Intel) or zeros (AMD). */
void x86_cpuid(const X86CpuModel *m, uint32_t leaf, uint32_t subleaf, const X86CpuidState *dyn, uint32_t ret[4]);
/* EAX of leaf 1; EDX after reset. */
uint32_t x86_model_signature(const X86CpuModel *m);

/* Quick questions of the translator's helpers. A NULL model has everything (unit tests). */
static inline bool x86_model_has(const X86CpuModel *m, X86Feature i) { return !m || x86_features_has(&m->feat, i); }
static inline unsigned x86_model_phys_bits(const X86CpuModel *m) { return m ? m->phys_bits : 46; }
static inline bool x86_model_has_1g(const X86CpuModel *m) { return x86_model_has(m, X86_FEAT_PDPE1GB); }
static inline bool x86_model_has_xgetbv1(const X86CpuModel *m) { return x86_model_has(m, X86_FEAT_XGETBV1); }
static inline uint64_t x86_model_cr4_mask(const X86CpuModel *m) { return m ? m->cr4_mask : 0x1771fff; }
static inline uint64_t x86_model_xcr0_mask(const X86CpuModel *m) { return m ? m->xcr0_mask : 7; }
static inline uint64_t x86_model_xss_mask(const X86CpuModel *m) { return m ? m->xss_mask : 0; }
