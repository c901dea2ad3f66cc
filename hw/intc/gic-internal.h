#pragma once
#include "hw/intc/gic.h"

/* What both controllers share: interrupts in banks of 32, the choice of the next one, a CPU interface's priorities (gic.c), distributor registers (gic-dist.c). */
enum { GIC_BANKS = 1 + GIC_SPIS / 32, GIC_INTIDS = 32 * GIC_BANKS, GIC_SPURIOUS = 1023, GIC_GROUP1_ONLY = 1022, GIC_PRIO_MASK = 0xf8, GIC_IDLE_PRIO = 0xff };
/* Binary points: five bits of priority. */
enum { GIC_MIN_BPR0 = 2, GIC_MIN_BPR1 = 3 };

typedef struct GicBank {
    uint32_t group, enable, latch, active, edge, level;     /* latch: pending for another reason than the level of a level-sensitive input */
    uint8_t prio[32];
} GicBank;

typedef struct GicCpu {
    GicBank own;                /* SGIs and PPIs */
    uint8_t sgi_from[16];       /* GICv2: CPUs whose SGI waits; latch is set while any does */
    uint32_t ctlr;              /* GICC_CTLR; ICC_CTLR_EL1's EOImode and CBPR */
    uint32_t enable;            /* bit g: this CPU takes group g */
    uint32_t apr[2];            /* active priorities of each group, bit n: n << 3 */
    uint8_t pmr, bpr[2];
    bool asleep;                /* GICR_WAKER.ProcessorSleep; not after reset: EDK II leaves it to the firmware below, which there is none of, to wake it */
} GicCpu;

/* LPIs (IHI 0069H 5.1): edges without an active state, always of group 1. A redistributor keeps which are pending; what the guest says of each is in its table. */
enum { GIC_LPI_FIRST = 8192, GIC_ID_BITS = 16, GIC_LPIS = (1 << GIC_ID_BITS) - GIC_LPI_FIRST, GIC_LPI_WORDS = GIC_LPIS / 64 };

typedef struct GicLpiCpu {
    bool on;                    /* GICR_CTLR.EnableLPIs */
    uint64_t propbase, pendbase;
    uint64_t pending[GIC_LPI_WORDS];
    uint64_t some[GIC_LPI_WORDS / 64];      /* bit n: pending[n] is not 0 */
    bool stale;                 /* best is to be found again */
    unsigned best, best_prio;   /* of the pending and enabled; GIC_SPURIOUS if none */
} GicLpiCpu;

typedef struct GicLpis {
    uint8_t conf[GIC_LPIS];     /* the configuration table as last read: priority 7:2, enable 0 */
    GicLpiCpu cpu[GIC_CPUS];
} GicLpis;

typedef struct Gic {
    Device dev;
    uint32_t n_cpus;            /* property */
    Vcpu *vcpu[GIC_CPUS];
    unsigned n_vcpus;
    unsigned (*self)(void *opaque);
    void *self_opaque;
    bool (*secure)(void *opaque, unsigned cpu);
    void *secure_opaque;
    bool reset_nonsecure;
    bool v3;
    uint32_t ctlr;              /* GICD_CTLR: bits 0 and 1 */
    GicCpu cpu[GIC_CPUS];
    GicBank spi[GIC_BANKS - 1];
    uint8_t target[GIC_SPIS];   /* CPUs, a bit each */
    uint64_t router[GIC_SPIS];  /* GICv3: GICD_IROUTER */
    GicLpis *lpis;              /* GICv3 with LPIs, or NULL */
} Gic;

/* EOImode: EOIR drops the priority only, DIR deactivates. */
enum { GIC_CPU_CBPR = 1, GIC_CPU_EOIMODE = 2, GIC_CPU_ACKCTL = 4 };

/* Group 1 has group 0's binary point: GICC_CTLR.CBPR (IHI 0048B 4.4.1), ICC_CTLR_EL1.CBPR. */
static inline bool gic_common_bpr(const Gic *g, const GicCpu *c) { return c->ctlr & (g->v3 ? GIC_CPU_CBPR : 0x10); }

/* All with the fabric's lock. */
unsigned gic_self(const Gic *g);                /* the CPU whose access this is */
/* The access is a Non-secure one of a controller that knows both: it sees group 1 only, with priorities of its own (IHI 0048B 3.8, 4.3). */
static inline bool gic_nonsecure(const Gic *g, unsigned cpu) { return g->secure && !g->secure(g->secure_opaque, cpu); }
/* The lower half of priorities as the Non-secure state has it: all of them. */
static inline uint8_t gic_prio_shown(unsigned prio) { return prio & 0x80 ? (uint8_t)(prio << 1) : 0; }
static inline uint8_t gic_prio_meant(unsigned shown) { return (uint8_t)((shown >> 1 | 0x80) & GIC_PRIO_MASK); }
static inline GicBank *gic_bank(Gic *g, unsigned cpu, unsigned n) { return n ? &g->spi[n - 1] : &g->cpu[cpu].own; }
static inline uint32_t gic_pending_bits(const GicBank *b) { return b->latch | (b->level & ~b->edge); }
void gic_update(Gic *g);                        /* after any change */
/* Highest pending interrupt that @cpu could take if nothing were active; GIC_SPURIOUS if none. */
unsigned gic_best(Gic *g, unsigned cpu, unsigned *ret_prio, unsigned *ret_group);
/* The same if it is important enough to interrupt what is active. */
unsigned gic_deliverable(Gic *g, unsigned cpu, unsigned *ret_prio, unsigned *ret_group);
/* Take it: active, priority raised. */
void gic_activate(Gic *g, unsigned cpu, unsigned irq, unsigned prio, unsigned group);
void gic_drop_priority(Gic *g, unsigned cpu, unsigned group);
void gic_deactivate(Gic *g, unsigned cpu, unsigned irq);
unsigned gic_running_prio(const Gic *g, unsigned cpu);
/* GICD_ and GICR_ registers of 32 interrupts each; @off from the distributor's start, below 0xd00, 32 bits. False: not one of them. */
bool gic_bank_read(Gic *g, unsigned cpu, unsigned off, uint32_t *ret);
bool gic_bank_write(Gic *g, unsigned cpu, unsigned off, uint32_t val);
bool gic_prio_write(Gic *g, unsigned cpu, unsigned off, uint8_t val);   /* a byte at 0x400.. */
/* ---- LPIs (gic-lpi.c); @g has them. An @irq that is none, or beyond the guest's tables: nothing happens. ---- */
static inline bool gic_is_lpi(uint64_t irq) { return irq >= GIC_LPI_FIRST && irq < 1u << GIC_ID_BITS; }
/* Registers of a redistributor that are there for LPIs, 32 bits each. False: not one of them. */
bool gic_lpi_read(Gic *g, unsigned cpu, unsigned off, uint32_t *ret);
bool gic_lpi_write(Gic *g, unsigned cpu, unsigned off, uint32_t val);
/* GIC_SPURIOUS if none. */
unsigned gic_lpi_best(Gic *g, unsigned cpu, unsigned *ret_prio);
void gic_lpi_pend(Gic *g, unsigned cpu, uint32_t irq);
void gic_lpi_clear(Gic *g, unsigned cpu, uint32_t irq);
void gic_lpi_move(Gic *g, unsigned from, unsigned to, uint32_t irq);
void gic_lpi_move_all(Gic *g, unsigned from, unsigned to);
/* Read again what the guest's table says of it, or of all. */
void gic_lpi_inv(Gic *g, unsigned cpu, uint32_t irq);
void gic_lpi_inv_all(Gic *g, unsigned cpu);
void gic_lpi_reset(Gic *g);
void gic_lpi_loaded(Gic *g);
extern const FieldDesc gic_lpi_fields[];

/* Life. */
bool gic_realize(Gic *g);
void gic_reset(Gic *g);
bool gic_post_load(Device *dev, unsigned version, GError **err);
extern const FieldDesc gic_fields[];
extern const PropDesc gic_props[];
