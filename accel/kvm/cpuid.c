/* The CPU model as KVM wants it. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "accel/kvm/kvm-internal.h"
#include "cpu/x86/cpuid.h"

enum { MAX_LEAVES = 96 };
typedef union Leaves { struct kvm_cpuid2 head; uint8_t room[sizeof(struct kvm_cpuid2) + MAX_LEAVES * sizeof(struct kvm_cpuid_entry2)]; } Leaves;

static void add(Leaves *l, const X86CpuModel *m, const X86CpuidState *dyn, uint32_t leaf, uint32_t sub, bool indexed)
{
    uint32_t r[4];
    if (l->head.nent >= MAX_LEAVES)
        return;
    x86_cpuid(m, leaf, sub, dyn, r);
    l->head.entries[l->head.nent++] = (struct kvm_cpuid_entry2){ .function = leaf, .index = sub, .flags = indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
                                                                .eax = r[0], .ebx = r[1], .ecx = r[2], .edx = r[3] };
}

static bool indexed(uint32_t leaf)
{
    return leaf == 4 || leaf == 7 || leaf == 0xb || leaf == 0xd || leaf == 0x1f || leaf == 0x8000001d;
}

static void add_range(Leaves *l, const X86CpuModel *m, const X86CpuidState *dyn, uint32_t first)
{
    uint32_t r[4];
    x86_cpuid(m, first, 0, dyn, r);
    uint32_t last = r[0] < first || r[0] > first + 0x40 ? first : r[0];
    for (uint32_t leaf = first; leaf <= last; leaf++)
        for (uint32_t sub = 0; sub < (indexed(leaf) ? (leaf == 0xd ? 10u : 4u) : 1u); sub++)
            add(l, m, dyn, leaf, sub, indexed(leaf));
}

static const struct { uint32_t leaf, sub; uint8_t reg; } words[X86_FEATURE_WORDS] = {
    [X86_FW_1_EDX] = { 1, 0, 3 }, [X86_FW_1_ECX] = { 1, 0, 2 }, [X86_FW_7_EBX] = { 7, 0, 1 }, [X86_FW_7_ECX] = { 7, 0, 2 }, [X86_FW_7_EDX] = { 7, 0, 3 },
    [X86_FW_7_1_EAX] = { 7, 1, 0 }, [X86_FW_D_1_EAX] = { 0xd, 1, 0 }, [X86_FW_81_EDX] = { 0x80000001, 0, 3 }, [X86_FW_81_ECX] = { 0x80000001, 0, 2 },
    [X86_FW_88_EBX] = { 0x80000008, 0, 1 }, [X86_FW_821_EAX] = { 0x80000021, 0, 0 }, [X86_FW_821_ECX] = { 0x80000021, 0, 2 },
};

/* "Not affected" by this or that side channel: true of translated code; of a processor only if the host says so. */
static uint32_t not_affected(unsigned word)
{
    return word == X86_FW_88_EBX ? 1u << 26 | 1u << 29 : word == X86_FW_821_EAX ? 3u << 29 : word == X86_FW_821_ECX ? 3u << 1 : 0;
}

/* Features that need no help of the host's KVM: local APIC, x2APIC, TSC deadline and "runs under a hypervisor" are ours. */
static uint32_t ours(unsigned word)
{
    return word == X86_FW_1_EDX ? 1u << 9 : word == X86_FW_1_ECX ? 1u << 21 | 1u << 24 | 1u << 31 : 0;
}

static uint32_t offered(const Leaves *l, unsigned word)
{
    for (unsigned n = 0; n < l->head.nent; n++) {
        const struct kvm_cpuid_entry2 *e = &l->head.entries[n];
        if (e->function == words[word].leaf && e->index == words[word].sub)
            return (uint32_t[]){ e->eax, e->ebx, e->ecx, e->edx }[words[word].reg] | ours(word);
    }
    return ours(word);
}

/*
 * What the host's KVM does not offer is not offered to the guest, or it uses it and is refused (CR4.PCIDE is #GP without PCID, and a kernel dies of it).
 * Without hardware support guests see the host's XSAVE and more whatever is set, and the assistant must know them: what CR4 refuses goes; in
 * user-only mode not even that, but KVM's shadow pages know neither protection keys nor a fifth level. (There the kernel runs translated: what it defends
 * itself against is no matter of the processor's.)
 */
void kvm_cpu_features(const AccelConfig *cfg, void *features, GString *lost_names)
{
    X86Features *f = features;
    Leaves l = { .head.nent = MAX_LEAVES };
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    uint32_t host_xcr0 = 0;
    __asm__("xgetbv" : "=a"(host_xcr0) : "c"(0) : "edx");
    /* Native user code sees the host's XCR0 and uses AVX-512 if it is there; the guest's kernel must save that state. */
    if (kvm_user_only(cfg) && (host_xcr0 & 0xe6) == 0xe6)
        x86_features_set(f, X86_FEAT_AVX512F, true);
    bool pvm = kvm_without_hardware(), known = fd >= 0 && ioctl(fd, KVM_GET_SUPPORTED_CPUID, &l.head) == 0;
    if (fd >= 0)
        close(fd);
    for (unsigned w = 0; known && w < X86_FEATURE_WORDS; w++) {
        uint32_t lost = words[w].leaf ? f->w[w] & ~offered(&l, w) : 0;
        if (kvm_user_only(cfg))
            lost = f->w[w] & (w == X86_FW_7_ECX ? 1u << 3 | 1u << 16 | 1u << 31 : 0);                           /* PKU, LA57, PKS */
        else if (pvm)
            lost &= (w == X86_FW_1_ECX ? 1u << 17 : w == X86_FW_7_EBX ? 1u << 10 : 0) | not_affected(w);   /* PCID, INVPCID */
        f->w[w] &= ~lost;
        for (unsigned b = 0; b < 32; b++) {
            const char *name = lost >> b & 1 ? x86_feature_name((X86Feature)(w * 32 + b)) : NULL;
            if (name)
                g_string_append_printf(lost_names, "%s%.*s", lost_names->len ? " " : "", (int)strcspn(name, "|"), name);
        }
    }
}

bool kvm_set_cpuid(KvmEc *ec, GError **err)
{
    const X86State *s = ec->c->state;
    if (!s->model)
        return true;
    Leaves l = { .head.nent = 0 };
    X86CpuidState dyn = { .apic_id = ec->c->apic_id, .xcr0 = s->xcr0 };
    add_range(&l, s->model, &dyn, 0);
    add_range(&l, s->model, &dyn, 0x40000000);
    add_range(&l, s->model, &dyn, 0x80000000);
    return ioctl(ec->fd, KVM_SET_CPUID2, &l.head) == 0 || kvm_fail(err, "the CPU model (KVM_SET_CPUID2)");
}
