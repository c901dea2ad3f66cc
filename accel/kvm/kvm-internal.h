#pragma once
#include <linux/kvm.h>
#include <pthread.h>

#include "cpu/x86/state.h"
#include "vmm/accel.h"
#include "vmm/machine.h"
#include "vmm/vcpu.h"

/* Private to accel/kvm. */
enum { KVM_SLOTS = 64 };

typedef struct KvmSlot { uint64_t gpa, size; uint8_t *host; uint32_t flags; bool used; } KvmSlot;

typedef struct KvmEc KvmEc;
struct X86PitState;

typedef struct KvmVm {
    Machine *m;
    int kvm_fd, fd;
    size_t run_size;
    bool pvm;                  /* no hardware support: shadow page tables that do not see our writes */
    GMutex lock;               /* slots */
    KvmSlot slot[KVM_SLOTS];
    GHashTable *refused;       /* MSRs the host refused, each said once */
    KvmEc **ec;                /* by vCPU index */
    /* irqchip.c, pit.c */
    AccelIrqchip irqchip;      /* OFF, SPLIT or ON: fixed when the VM was made */
    GArray *routes;            /* struct kvm_irq_routing_entry; lock */
    uint32_t lines;            /* global system interrupts as told to KVM; the fabric's lock */
    uint64_t pit_shift[3];     /* ticks that a counter had run when KVM had to load it anew ... */
    int64_t pit_loaded[3];     /* ... then */
    enum { PIT_RUNS, PIT_ENDED, PIT_EMPTY } pit_rest[3];   /* a counter that KVM was given a count for only because it must have one */
    void *stub;                /* apic.c: its page; lock */
    _Atomic uint64_t apic_writes;
} KvmVm;

struct KvmEc {
    KvmVm *vm;
    Vcpu *c;
    int fd;
    struct kvm_run *run;
    pthread_t thread;
    _Atomic bool have_thread;
    bool pending_io;           /* the last exit is completed by the next KVM_RUN only */
    bool nmi;
    bool have_cpuid;
    uint64_t deadline;         /* IA32_TSC_DEADLINE as KVM had it last */
};

/* state.c */
bool kvm_state_out(void *ec, uint32_t groups, GError **err);
bool kvm_state_in(void *ec, uint32_t groups, GError **err);
/* memory.c */
void kvm_memory_changed(void *vm, AddressSpace *as, const FlatView *old, const FlatView *new_view);
/* Make KVM forget its shadow page tables. vCPUs of this machine parked, or there is one only. */
void kvm_slots_again(KvmVm *vm);
/* irqchip.c. Free: vCPUs at rest. Offer: the fabric learns what KVM has. */
bool kvm_irqchip_create(KvmVm *vm, AccelIrqchip asked, GError **err);
void kvm_irqchip_free(KvmVm *vm);
void kvm_irqchip_offer(KvmVm *vm, bool all);
bool kvm_irqchip_in(void *vm, const void *chips, GError **err);
bool kvm_irqchip_out(void *vm, void *chips, GError **err);
/* The part of a vCPU's state that KVM has only together with its local APIC: mp_state and the deadline. No-ops without one. */
void kvm_irqchip_state_out(KvmEc *ec);
void kvm_irqchip_state_in(KvmEc *ec);
/* One MSR; false: the host refuses it. */
bool kvm_msr_set(KvmEc *ec, uint32_t index, uint64_t value);
bool kvm_msr_get(KvmEc *ec, uint32_t index, uint64_t *ret);
/* apic.c: the assistant engine's accesses; the vCPU's own thread. */
uint64_t kvm_apic_read(void *ec, uint32_t reg);
void kvm_apic_write(void *ec, uint32_t reg, uint64_t val);
/* pit.c */
bool kvm_pit_in(KvmVm *vm, const struct X86PitState *s, GError **err);
bool kvm_pit_out(KvmVm *vm, struct X86PitState *s, GError **err);
/* kvm.c: what must be told before anything else. Any thread, vCPU at rest. */
bool kvm_prepare(KvmEc *ec, GError **err);
/* KVM_EXIT_IOAPIC_EOI; true: leave. */
bool kvm_exit_eoi(KvmEc *ec);
/* cpuid.c */
bool kvm_set_cpuid(KvmEc *ec, GError **err);
bool kvm_fail(GError **err, const char *what);
