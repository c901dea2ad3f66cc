#pragma once
#include <linux/kvm.h>
#include <pthread.h>

#include "cpu/x86/state.h"
#include "vmm/accel.h"
#include "vmm/machine.h"
#include "vmm/vcpu.h"

/* Private to accel/kvm. */
enum { KVM_MSI_FDS = 64, KVM_XSAVE_COMPONENTS = 20, KVM_SLOTS = 64, KVM_SHADOW_SLOT = KVM_SLOTS, KVM_STUB_SLOT };      /* slots of guest memory; beyond them our own */

/* host: ours; seen: KVM's mapping of the same; @offset in @ram (no reference: the view has one); log: KVM logs writes */
typedef struct KvmSlot { uint64_t gpa, size; uint8_t *host, *seen; uint32_t flags; bool used, log; RamBlock *ram; uint64_t offset; } KvmSlot;

/* Guest RAM as KVM sees it: mappings of our own, in which pages with translated code are read-only. */
typedef struct KvmMap { RamBlock *ram; uint8_t *host; } KvmMap;
typedef struct KvmCode {
    GMutex lock;               /* a leaf */
    GArray *maps;              /* KvmMap */
    GHashTable *pages;         /* ram_addr of those that are read-only in maps */
    _Atomic bool release;      /* a write was refused: look which pages are free again */
    bool shadow_slot, shadow_odd;      /* is there one to move; where (vm->lock) */
    void *shadow_page;
} KvmCode;

/* A message that devices send; irqfd.c. */
typedef struct KvmMsiFd { uint64_t addr; uint32_t data; unsigned sent; int fd; bool used, refused; } KvmMsiFd;

typedef struct KvmEc KvmEc;
struct X86PitState;

typedef struct KvmVm {
    Machine *m;
    int kvm_fd, fd;
    size_t run_size;
    bool pvm;                  /* no hardware support: shadow page tables that do not see our writes */
    GMutex lock;               /* slots */
    KvmSlot slot[KVM_SLOTS];
    KvmCode code;              /* memory.c */
    uint32_t xsave_at[KVM_XSAVE_COMPONENTS];       /* where the host's processor has them, 0: nowhere */
    bool user_only;            /* user.c: runs 64-bit ring 3 only */
    GHashTable *refused;       /* MSRs the host refused, each said once */
    KvmEc **ec;                /* by vCPU index */
    /* irqchip.c, pit.c */
    AccelIrqchip irqchip;      /* OFF, SPLIT or ON: fixed when the VM was made */
    GArray *routes;            /* struct kvm_irq_routing_entry; lock */
    uint32_t lines;            /* global system interrupts as told to KVM; the fabric's lock */
    uint64_t pit_shift[3];     /* ticks that a counter had run when KVM had to load it anew ... */
    int64_t pit_loaded[3];     /* ... then; of counter 0, whose time KVM does not tell, before pit_loaded_end */
    int64_t pit_loaded_end;
    uint32_t pit_count;        /* counter 0 as it was loaded */
    uint8_t pit_mode;
    enum { PIT_RUNS, PIT_ENDED, PIT_EMPTY } pit_rest[3];   /* a counter that KVM was given a count for only because it must have one */
    void *stub;                /* apic.c: its page; lock */
    _Atomic uint64_t apic_writes, n_msis;
    GMutex msi_lock;           /* irqfd.c: what follows; before lock */
    KvmMsiFd msi_fd[KVM_MSI_FDS];
    unsigned msi_next, n_irqfds;
    uint64_t irqfd_sent;
    GArray *doorbells;         /* doorbell.c; lock */
    unsigned n_doorbells, refused_doorbells;
    _Atomic uint64_t dirty_pages, dirty_reads;     /* dirty.c, for statistics */
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
    bool have_cpuid, has_tsc_offset;
    bool events_known;         /* nothing ran since KVM's events were read or written ... */
    uint8_t nmis;              /* ... and it had so many NMIs pending then */
    int64_t tsc_offset;        /* as KVM has it, where it has one */
    uint64_t deadline;         /* IA32_TSC_DEADLINE as KVM had it last */
    /* user.c: what KVM has */
    bool synced, msrs_set;
    bool late;                 /* the last exit was a triple fault of before */
    uint64_t xcr0, tsc_aux;
    struct kvm_xsave xsave;    /* as kvm_xsave_from_state has it */
};

/* state.c */
bool kvm_state_out(void *ec, uint32_t groups, GError **err);
bool kvm_state_in(void *ec, uint32_t groups, GError **err);
void kvm_seg_to_state(X86Seg *d, const struct kvm_segment *k);
void kvm_seg_from_state(struct kvm_segment *k, const X86Seg *s);
struct kvm_segment *kvm_seg_of(struct kvm_sregs *r, int n);
void kvm_regs_to_state(X86State *s, const struct kvm_regs *r);
void kvm_regs_from_state(struct kvm_regs *r, const X86State *s);
void kvm_xsave_layout(KvmVm *vm);
void kvm_xsave_to_state(const KvmVm *vm, X86State *s, const struct kvm_xsave *x);
void kvm_xsave_from_state(const KvmVm *vm, struct kvm_xsave *x, const X86State *s);
void kvm_msr_refused(KvmEc *ec, uint32_t index);       /* a warning, once */
/* memory.c */
void kvm_memory_changed(void *vm, AddressSpace *as, const FlatView *old, const FlatView *new_view);
void kvm_pages_revoke(void *vm, PageClient client, uint64_t ram_addr, uint64_t len);
/* After a write to a read-only page was refused (KVM_RUN: EFAULT) and done by the assistant: pages without translations are writable again. */
void kvm_release_code(KvmVm *vm);
/* The same for one page, whose translations go. False: it was writable, or cannot be made so. */
bool kvm_release_page(KvmVm *vm, AddressSpace *as, uint64_t gpa);
/* The assistant loses all translations, and all pages are writable. */
void kvm_forget_code(KvmVm *vm);
void kvm_memory_fini(KvmVm *vm);
/* Make KVM forget its shadow page tables, for all vCPUs. Any thread; they may run. */
void kvm_drop_shadow(KvmVm *vm);
void kvm_ran_elsewhere(void *vm);
/* irqchip.c. Free: vCPUs at rest. Offer: the fabric learns what KVM has. */
bool kvm_irqchip_create(KvmVm *vm, AccelIrqchip asked, GError **err);
void kvm_irqchip_free(KvmVm *vm);
void kvm_irqchip_offer(KvmVm *vm, bool all);
bool kvm_irqchip_in(void *vm, const void *chips, GError **err);
bool kvm_irqchip_out(void *vm, void *chips, GError **err);
/* The route of one gsi becomes *e, or goes (NULL). -errno. */
int kvm_route_msi(KvmVm *vm, uint32_t gsi, const struct kvm_irq_routing_entry *e);
/* irqfd.c. Send through an irqfd if the message has one; false: it is not sent. Any thread. Drop: all are taken away, and what they had sent has arrived. */
bool kvm_irqfd_send(KvmVm *vm, uint64_t addr, uint32_t data);
void kvm_irqfds_drop(KvmVm *vm);
/*
 * The part of a vCPU's state that KVM has only together with its local APIC: mp_state and the deadline. No-ops without one. mp_state_out comes before
 * anything else is read: KVM takes a pending INIT or start-up IPI then, and that changes registers.
 */
void kvm_irqchip_mp_state_out(KvmEc *ec);
void kvm_irqchip_state_out(KvmEc *ec);
void kvm_irqchip_state_in(KvmEc *ec);
/* One MSR; false: the host refuses it. */
bool kvm_msr_set(KvmEc *ec, uint32_t index, uint64_t value);
bool kvm_msr_get(KvmEc *ec, uint32_t index, uint64_t *ret);
/* apic.c: the assistant engine's accesses; the vCPU's own thread. */
uint64_t kvm_apic_read(void *ec, uint32_t reg);
void kvm_apic_write(void *ec, uint32_t reg, uint64_t val);
/* Run the vCPU for no instruction of the guest, so that KVM does what it left for its next run. State fetched before, all of it dirty afterwards. */
void kvm_apic_settle(KvmEc *ec);
/* The same, with a latch command for counter 0 of KVM's 8254. */
bool kvm_pit_latch(KvmEc *ec);
/* pit.c */
bool kvm_pit_in(KvmVm *vm, const struct X86PitState *s, uint64_t tick, GError **err);
/* KVM's stands still afterwards, and what it had sent has arrived. */
bool kvm_pit_out(KvmVm *vm, struct X86PitState *s, uint64_t *ret_tick, GError **err);
/* kvm.c: what must be told before anything else. Any thread, vCPU at rest. */
bool kvm_prepare(KvmEc *ec, GError **err);
/* All vCPUs at rest, before KVM's local APICs are read: the state is the whole truth afterwards. */
bool kvm_take_in_flight(KvmEc *ec, GError **err);
/* KVM_EXIT_IOAPIC_EOI; true: leave. */
bool kvm_exit_eoi(KvmEc *ec);
/* user.c */
bool kvm_user_can_run(void *ec);
void kvm_user_run(KvmEc *ec, VmExit *x);
bool kvm_user_state_out(KvmEc *ec, uint32_t groups, GError **err);
/* kvm.c: after KVM_RUN. True: *x says why to return to vmm. */
bool kvm_handle_exit(KvmEc *ec, VmExit *x);
void kvm_run_error(VmExit *x, int e);
int kvm_set_slot(KvmVm *vm, unsigned n, bool present);     /* vm->lock held; -errno */
/* dirty.c. Wanted: some client wants to know of writes to the block. Merge: vm->lock held. */
bool kvm_log_wanted(RamBlock *b);
void kvm_log_start(KvmVm *vm, uint64_t ram_addr, uint64_t len);
void kvm_log_merge_slot(KvmVm *vm, unsigned n);
void kvm_dirty_log(void *vm, RamBlock *b, uint64_t offset, uint64_t len);
/* doorbell.c */
void kvm_doorbells(void *vm, MemRegion *mr);
void kvm_doorbells_update(KvmVm *vm);
void kvm_doorbells_fini(KvmVm *vm);
/* cpuid.c */
void kvm_cpu_features(const AccelConfig *cfg, void *features, GString *lost);
bool kvm_user_only(const AccelConfig *cfg);
bool kvm_without_hardware(void);
bool kvm_set_cpuid(KvmEc *ec, GError **err);
bool kvm_fail(GError **err, const char *what);
