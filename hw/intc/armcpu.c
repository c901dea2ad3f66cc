/* Interrupt lines, generic timers (ARM D11) and power states (PSCI, Arm DEN 0022D) of AArch64 CPUs. */
#include "hw/intc/armcpu.h"

#include <stdatomic.h>

#include "cpu/aarch64/state.h"
#include "cpu/aarch64/sysreg.h"
#include "hw/intc/gic.h"
#include "util/bits.h"

/* PSCI 5.1 */
enum { PSCI_VERSION, PSCI_SUSPEND, PSCI_OFF, PSCI_ON, PSCI_AFFINITY_INFO, PSCI_MIGRATE, PSCI_MIGRATE_INFO_TYPE, PSCI_MIGRATE_INFO_UP, PSCI_SYSTEM_OFF,
       PSCI_SYSTEM_RESET, PSCI_FEATURES };
#define PSCI_FN32 0x84000000u
#define PSCI_FN64 0xc4000000u
enum { PSCI_OK = 0, PSCI_NOT_SUPPORTED = -1, PSCI_INVALID = -2, PSCI_ALREADY_ON = -4, PSCI_PENDING = -5 };
enum { CTL_ENABLE = 1, CTL_IMASK = 2 };

typedef struct ArmCpus ArmCpus;
typedef struct ArmCpu {
    ArmCpus *a;
    Vcpu *vcpu;
    unsigned index;
    _Atomic uint32_t lines;     /* A64_LINE_ */
    uint64_t cval[A64_TIMERS], ctl[A64_TIMERS], voff;    /* CNTVOFF_EL2 */
    Timer *timer[A64_TIMERS];
    struct Due { struct ArmCpu *c; unsigned n; } due[A64_TIMERS];
    uint64_t arg[4];            /* of a PSCI call; the CPU's own thread */
    uint64_t start_pc, start_x0;
    uint8_t power;              /* A64Power */
} ArmCpu;

struct ArmCpus {
    Device dev;
    ArmCpu *cpu;                /* not movable: CpuIntc points into it */
    unsigned n;
    Device *gic;
    bool all_on;
};

void arm_cpus_setup(Device *dev, Vcpu *const *cpus, unsigned n, Device *gicv3)
{
    ArmCpus *a = (ArmCpus *)dev;
    a->n = MIN(n, (unsigned)ARM_CPUS_MAX);
    a->gic = gicv3;
    a->cpu = g_new0(ArmCpu, MAX(a->n, 1u));
    for (unsigned i = 0; i < a->n; i++) {
        a->cpu[i].a = a;
        a->cpu[i].index = i;
        a->cpu[i].vcpu = cpus[i];
    }
}

void arm_cpus_set_all_on(Device *dev, bool on) { ((ArmCpus *)dev)->all_on = on; }

/* ---- lines ---- */

static void input(void *opaque, unsigned n, bool level)
{
    ArmCpu *c = &((ArmCpus *)opaque)->cpu[n / 2];
    uint32_t bit = n & 1 ? A64_LINE_FIQ : A64_LINE_IRQ;
    uint32_t old = level ? atomic_fetch_or(&c->lines, bit) : atomic_fetch_and(&c->lines, ~bit);
    if (level && !(old & bit))
        vcpu_raise(c->vcpu, VCPU_EV_INTR, 0);
}

/* ---- timers ---- */

static uint64_t counter(ArmCpus *a) { return mclock_ns_to_ticks(mclock_now(a->dev.clock, CLOCK_KIND_VIRTUAL), ARM_COUNTER_HZ); }

/* The condition is met when the counter, less the offset of the virtual one, has reached CVAL, as unsigned numbers (D11.2.4). Lock held. */
static void timer_update(ArmCpu *c, unsigned n)
{
    uint64_t host = counter(c->a), now = host - (n == A64_TIMER_VIRT ? c->voff : 0), cval = c->cval[n];
    bool on = c->ctl[n] & CTL_ENABLE, met = on && now >= cval;
    irq_set(c->a->dev.irq[A64_TIMERS * c->index + n], met && !(c->ctl[n] & CTL_IMASK));
    if (!on || met || cval - now > UINT64_MAX / 1000)      /* beyond every clock */
        timer_cancel(c->timer[n]);
    else
        timer_arm(c->timer[n], mclock_ticks_to_ns_up(host + (cval - now), ARM_COUNTER_HZ));
}

static void timer_due(void *opaque)
{
    struct Due *d = opaque;
    timer_update(d->c, d->n);
}

static void all_timers(ArmCpus *a)
{
    for (unsigned i = 0; i < a->n; i++)
        for (unsigned n = 0; n < A64_TIMERS; n++)
            timer_update(&a->cpu[i], n);
}

/* ---- PSCI; lock held ---- */

/* MPIDR as a target: affinity 0 is the number, all else 0. */
static ArmCpu *target_of(ArmCpus *a, uint64_t mpidr)
{
    for (unsigned i = 0; i < a->n; i++)
        if ((mpidr & 0xff00ffffffull) == (a64_mpidr(i) & 0xff00ffffffull))
            return &a->cpu[i];
    return NULL;
}

static int64_t psci_on(ArmCpu *c)
{
    ArmCpu *t = target_of(c->a, c->arg[1]);
    if (!t)
        return PSCI_INVALID;
    if (t->power != A64_POWER_OFF)
        return t->power == A64_POWER_ON ? PSCI_ALREADY_ON : PSCI_PENDING;
    t->power = A64_POWER_ON_PENDING;
    t->start_pc = c->arg[2];
    t->start_x0 = c->arg[3];
    vcpu_raise(t->vcpu, VCPU_EV_SIPI, 0);
    return PSCI_OK;
}

static int64_t psci_affinity_info(ArmCpu *c)
{
    const ArmCpu *t = target_of(c->a, c->arg[1]);
    return !t || c->arg[2] > 3 ? PSCI_INVALID : t->power;
}

static int64_t psci_features(uint64_t fn)
{
    uint32_t n = (uint32_t)fn & ~0x40000000u;
    bool has64 = n == (PSCI_FN32 | PSCI_SUSPEND) || n == (PSCI_FN32 | PSCI_ON) || n == (PSCI_FN32 | PSCI_AFFINITY_INFO);
    bool known = n >= PSCI_FN32 && n <= (PSCI_FN32 | PSCI_FEATURES) && n != (PSCI_FN32 | PSCI_MIGRATE) && n != (PSCI_FN32 | PSCI_MIGRATE_INFO_UP);
    return known && (n == (uint32_t)fn || has64) ? PSCI_OK : PSCI_NOT_SUPPORTED;
}

static uint64_t psci_call(ArmCpu *c)
{
    uint32_t fn = (uint32_t)c->arg[0];
    if (psci_features(fn) != PSCI_OK)
        return (uint64_t)(int64_t)PSCI_NOT_SUPPORTED;
    if (!(fn & 0x40000000))     /* the 32-bit convention */
        for (unsigned i = 1; i < 4; i++)
            c->arg[i] = (uint32_t)c->arg[i];
    switch (fn & 0xff) {
    case PSCI_VERSION: return 0x10001;
    case PSCI_OFF:
        c->power = A64_POWER_OFF;
        return A64_PSCI_STOP;
    case PSCI_ON: return (uint64_t)psci_on(c);
    case PSCI_AFFINITY_INFO: return (uint64_t)psci_affinity_info(c);
    case PSCI_MIGRATE_INFO_TYPE: return 2;      /* nothing that would have to be moved */
    case PSCI_SYSTEM_OFF: device_request(&c->a->dev, DEVICE_REQ_SHUTDOWN, 0); return PSCI_OK;
    case PSCI_SYSTEM_RESET: device_request(&c->a->dev, DEVICE_REQ_RESET, 0); return PSCI_OK;
    case PSCI_FEATURES: return (uint64_t)psci_features(c->arg[1]);
    default: return PSCI_OK;    /* SUSPEND: the CPU waits by itself */
    }
}

/* ---- what the CPU asks ---- */

static bool cpu_pending(void *opaque) { return atomic_load(&((ArmCpu *)opaque)->lines) != 0; }
static int cpu_ack(void *opaque) { return -1; }

static bool locked_read(ArmCpu *c, uint32_t reg, uint64_t *ret)
{
    switch (reg) {
    case A64_MACHINE_START_PC:
        if (c->power != A64_POWER_ON_PENDING)
            return false;
        c->power = A64_POWER_ON;
        *ret = c->start_pc;
        return true;
    case A64_MACHINE_START_X0: *ret = c->start_x0; return true;
    case A64_MACHINE_PSCI: *ret = psci_call(c); return true;
    default: return false;
    }
}

static bool cpu_read(void *opaque, uint32_t reg, uint64_t *ret)
{
    ArmCpu *c = opaque;
    if (reg == A64_MACHINE_LINES) {
        *ret = atomic_load(&c->lines);
        return true;
    }
    if (reg == A64_MACHINE_COUNTER) {
        *ret = counter(c->a);
        return true;
    }
    if (reg >= A64_SYSREG(2, 0, 0, 0, 0))
        return c->a->gic && gicv3_sysreg_read(c->a->gic, c->index, reg, ret);
    if (!devlock_enter(c->a->dev.lock))
        return false;
    bool ok = locked_read(c, reg, ret);
    devlock_leave(c->a->dev.lock);
    return ok;
}

static bool cpu_write(void *opaque, uint32_t reg, uint64_t val)
{
    ArmCpu *c = opaque;
    unsigned n = reg - A64_MACHINE_TIMER;
    if (reg >= A64_SYSREG(2, 0, 0, 0, 0))
        return c->a->gic && gicv3_sysreg_write(c->a->gic, c->index, reg, val);
    if (reg - A64_MACHINE_PSCI < 4) {
        c->arg[reg - A64_MACHINE_PSCI] = val;
        return true;
    }
    if (reg == A64_MACHINE_VOFF) {
        if (!devlock_enter(c->a->dev.lock))
            return false;
        c->voff = val;
        timer_update(c, A64_TIMER_VIRT);
        devlock_leave(c->a->dev.lock);
        return true;
    }
    if ((n & 7) >= A64_TIMERS || n >= 16 || !devlock_enter(c->a->dev.lock))
        return false;
    *(n < 8 ? &c->cval[n] : &c->ctl[n - 8]) = val;
    timer_update(c, n & 7);
    devlock_leave(c->a->dev.lock);
    return true;
}

static const CpuIntcOps cpu_ops = { .pending = cpu_pending, .ack = cpu_ack, .msr_read = cpu_read, .msr_write = cpu_write };

/* ---- life ---- */

static bool cpus_realize(Device *dev, GError **err)
{
    ArmCpus *a = (ArmCpus *)dev;
    device_init_inputs(dev, 2 * a->n, input);
    device_init_irqs(dev, A64_TIMERS * a->n);
    for (unsigned i = 0; i < a->n; i++) {
        ArmCpu *c = &a->cpu[i];
        c->vcpu->intc = (CpuIntc){ &cpu_ops, c };
        for (unsigned n = 0; n < A64_TIMERS; n++) {
            c->due[n] = (struct Due){ c, n };
            c->timer[n] = timer_new(dev->clock, CLOCK_KIND_VIRTUAL, dev->lock, timer_due, &c->due[n]);
        }
    }
    return true;
}

static void cpus_unrealize(Device *dev)
{
    ArmCpus *a = (ArmCpus *)dev;
    for (unsigned i = 0; i < a->n; i++) {
        for (unsigned n = 0; n < A64_TIMERS; n++)
            timer_free(a->cpu[i].timer[n]);
        a->cpu[i].vcpu->intc = (CpuIntc){ NULL, NULL };
    }
    g_free(a->cpu);
    a->cpu = NULL;
    a->n = 0;
}

static void cpus_reset(Device *dev)
{
    ArmCpus *a = (ArmCpus *)dev;
    for (unsigned i = 0; i < a->n; i++) {
        a->cpu[i].power = i && !a->all_on ? A64_POWER_OFF : A64_POWER_ON;
        a->cpu[i].voff = 0;
        for (unsigned n = 0; n < A64_TIMERS; n++)
            a->cpu[i].cval[n] = a->cpu[i].ctl[n] = 0;
    }
    all_timers(a);
}

/* ---- state: the timers are in the CPUs' own, in copies here; power is the last word ---- */

enum { SAVED_1 = 8 * (2 * A64_TIMERS + 3), SAVED = SAVED_1 + 8 };      /* version 1 had no CNTVOFF_EL2 */

static void cpus_save(const void *field, GByteArray *out)
{
    const ArmCpus *a = (const ArmCpus *)((const uint8_t *)field - offsetof(ArmCpus, n));
    for (unsigned i = 0; i < a->n; i++) {
        const ArmCpu *c = &a->cpu[i];
        uint8_t b[SAVED], *p = b;
        for (unsigned n = 0; n < A64_TIMERS; n++, p += 16) {
            store_le64(p, c->cval[n]);
            store_le64(p + 8, c->ctl[n]);
        }
        store_le64(p, c->start_pc);
        store_le64(p + 8, c->start_x0);
        store_le64(p + 16, c->power);
        store_le64(p + 24, c->voff);
        g_byte_array_append(out, b, sizeof(b));
    }
}

static bool cpus_load(void *field, const uint8_t *data, size_t len, GError **err)
{
    ArmCpus *a = (ArmCpus *)((uint8_t *)field - offsetof(ArmCpus, n));
    bool ok = len == (size_t)a->n * SAVED || len == (size_t)a->n * SAVED_1, voff = len == (size_t)a->n * SAVED;
    for (unsigned i = 0; ok && i < a->n; i++) {
        ArmCpu *c = &a->cpu[i];
        for (unsigned n = 0; n < A64_TIMERS; n++, data += 16) {
            c->cval[n] = load_le64(data);
            c->ctl[n] = load_le64(data + 8) & (CTL_ENABLE | CTL_IMASK);
        }
        c->start_pc = load_le64(data);
        c->start_x0 = load_le64(data + 8);
        c->power = (uint8_t)load_le64(data + 16);
        ok = load_le64(data + 16) <= A64_POWER_ON_PENDING;
        c->voff = voff ? load_le64(data + 24) : 0;
        data += voff ? 32 : 24;
    }
    if (!ok)
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL, "the saved state around the CPUs is damaged or that of another number of them");
    return ok;
}

static bool cpus_post_load(Device *dev, unsigned version, GError **err)
{
    ArmCpus *a = (ArmCpus *)dev;
    all_timers(a);
    for (unsigned i = 0; i < a->n; i++)
        if (a->cpu[i].power == A64_POWER_ON_PENDING)
            vcpu_raise(a->cpu[i].vcpu, VCPU_EV_SIPI, 0);
    return true;
}

static const FieldOps cpus_ops = { .save = cpus_save, .load = cpus_load };
static const FieldDesc cpus_fields[] = { FIELD_OPS(ArmCpus, n, &cpus_ops), { 0 } };
static const DeviceSection cpus_state[] = {
    { .name = "arm-cpus", .version = 2, .min_version = 1, .fields = cpus_fields, .post_load = cpus_post_load }, { 0 }
};

const DeviceClass arm_cpus_class = {
    .name = "arm-cpus", .summary = "interrupt lines, timers and power of AArch64 CPUs", .size = sizeof(ArmCpus), .bus = BUS_SYS, .internal = true,
    .state = cpus_state, .realize = cpus_realize, .reset = cpus_reset, .unrealize = cpus_unrealize,
};
