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

typedef struct KvmVm {
    Machine *m;
    int kvm_fd, fd;
    size_t run_size;
    bool pvm;                  /* no hardware support: shadow page tables that do not see our writes */
    GMutex lock;               /* slots */
    KvmSlot slot[KVM_SLOTS];
    GHashTable *refused;       /* MSRs the host refused, each said once */
} KvmVm;

typedef struct KvmEc {
    KvmVm *vm;
    Vcpu *c;
    int fd;
    struct kvm_run *run;
    pthread_t thread;
    _Atomic bool have_thread;
    bool pending_io;           /* the last exit is completed by the next KVM_RUN only */
    bool nmi;
} KvmEc;

/* state.c */
bool kvm_state_out(void *ec, uint32_t groups, GError **err);
bool kvm_state_in(void *ec, uint32_t groups, GError **err);
/* memory.c */
void kvm_memory_changed(void *vm, AddressSpace *as, const FlatView *old, const FlatView *new_view);
/* Make KVM forget its shadow page tables. vCPUs of this machine parked, or there is one only. */
void kvm_slots_again(KvmVm *vm);
/* cpuid.c */
bool kvm_set_cpuid(KvmEc *ec, GError **err);
bool kvm_fail(GError **err, const char *what);
