/* The CPU model as KVM wants it. */
#include <errno.h>
#include <sys/ioctl.h>

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
