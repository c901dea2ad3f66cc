#pragma once
#include "hw/intc/lapic.h"
#include "util/bits.h"

/* What lapic.c, lapic_timer.c and apicbus.c share. */

enum { LR_ID = 0x02, LR_VER = 0x03, LR_TPR = 0x08, LR_APR = 0x09, LR_PPR = 0x0a, LR_EOI = 0x0b, LR_RRD = 0x0c, LR_LDR = 0x0d, LR_DFR = 0x0e,
       LR_SVR = 0x0f, LR_ISR = 0x10, LR_TMR = 0x18, LR_IRR = 0x20, LR_ESR = 0x28, LR_ICR = 0x30, LR_ICR2 = 0x31, LR_LVT_TIMER = 0x32,
       LR_LVT_THERMAL = 0x33, LR_LVT_PERF = 0x34, LR_LVT_LINT0 = 0x35, LR_LVT_LINT1 = 0x36, LR_LVT_ERROR = 0x37, LR_TMICT = 0x38,
       LR_TMCCT = 0x39, LR_TDCR = 0x3e, LR_SELF_IPI = 0x3f };
enum { DM_FIXED, DM_LOWEST, DM_SMI, DM_RESERVED, DM_NMI, DM_INIT, DM_SIPI, DM_EXTINT };
enum { ESR_SEND_ILLEGAL = 0x20, ESR_RECV_ILLEGAL = 0x40, ESR_ILLEGAL_REG = 0x80 };
#define APIC_BASE_BSP BIT(8)
#define APIC_BASE_EXTD BIT(10)
#define APIC_BASE_EN BIT(11)
#define SVR_ENABLE BIT(8)
#define SVR_NO_EOI_BROADCAST BIT(12)
#define LVT_RIRR BIT(14)
#define LVT_LEVEL BIT(15)
#define LVT_MASKED BIT(16)
#define LVT_TIMER_MODE (3u << 17)
#define LVT_TIMER_PERIODIC (1u << 17)
#define LVT_TIMER_DEADLINE (2u << 17)

typedef struct ApicBus ApicBus;

typedef struct Lapic {
    Device dev;
    ApicBus *bus;
    Vcpu *cpu;
    bool has_x2apic;                /* property */
    uint32_t phys_bits;             /* property */
    X86LapicState s;                /* reg[], apic_base, esr_pending, lint: see lapic_reg() */
    uint32_t extint;                /* atomic: an ExtINT message came (I/O APIC, MSI) and no INTA yet */
    Timer *timer;
} Lapic;

struct ApicBus {
    Device dev;                     /* its lock is the fabric's */
    GPtrArray *lapics;              /* Lapic *, changed only while no vCPU runs */
    Device *pic;
    Device *ioapics[4];
    unsigned n_ioapics;
};

/* One word of the state, as other threads may read and (IRR, TMR, ESR, LVT bits) change it. */
static inline uint32_t lapic_reg(const Lapic *l, unsigned n)
{
    return __atomic_load_n(&l->s.reg[n], __ATOMIC_SEQ_CST);
}
static inline void lapic_reg_set(Lapic *l, unsigned n, uint32_t val)
{
    __atomic_store_n(&l->s.reg[n], val, __ATOMIC_SEQ_CST);
}
static inline uint64_t lapic_base(const Lapic *l)
{
    return __atomic_load_n(&l->s.apic_base, __ATOMIC_SEQ_CST);
}
static inline bool lapic_hw_enabled(const Lapic *l)
{
    return lapic_base(l) & APIC_BASE_EN;
}
static inline bool lapic_x2apic(const Lapic *l)
{
    return (lapic_base(l) & (APIC_BASE_EN | APIC_BASE_EXTD)) == (APIC_BASE_EN | APIC_BASE_EXTD);
}
static inline bool lapic_sw_enabled(const Lapic *l)
{
    return lapic_reg(l, LR_SVR) & SVR_ENABLE;
}

/* ---- lapic.c ---- */

/* Any thread, no lock needed. */
void lapic_deliver(Lapic *l, unsigned mode, uint8_t vector, bool level);
void lapic_fire_lvt(Lapic *l, unsigned lvt);
void lapic_lint(Lapic *l, unsigned n, bool level);
void lapic_error(Lapic *l, uint32_t bits);
uint8_t lapic_ppr(const Lapic *l);

/* ---- lapic_timer.c: device lock held ---- */

void lapic_timer_fired(void *opaque);
void lapic_timer_restart(Lapic *l);             /* TMICT was written */
uint32_t lapic_timer_count(Lapic *l);           /* TMCCT */
void lapic_timer_divide(Lapic *l, uint32_t tdcr);
void lapic_timer_lvt(Lapic *l, uint32_t val);   /* LVT timer is about to become @val */
void lapic_timer_deadline(Lapic *l, uint64_t tsc);
void lapic_timer_rearm(Lapic *l);               /* from the state: load, hand-over */

/* An engine knows TMCCT, not when the countdown began: timer_start and timer_running from it. Takes no lock. */
void lapic_countdown_from_count(Device *lapic, X86LapicState *s);

/* ---- apicbus.c: any thread, no lock needed ---- */

typedef struct ApicMsg {
    uint32_t dest;
    uint8_t vector, mode;
    bool logical, level;
    bool wide;                  /* 32-bit destination (x2APIC ICR) */
} ApicMsg;
void apicbus_send(ApicBus *bus, const ApicMsg *msg);
/* ICR as written. @self sends. */
void apicbus_ipi(Lapic *self, uint64_t icr);
