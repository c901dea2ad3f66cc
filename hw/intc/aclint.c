/* CLINT of the SiFive U54 manual (chapter 9), Sstc (RISC-V "stimecmp / vstimecmp" 1.0), external interrupt wires. */
#include "hw/intc/aclint.h"

#include "cpu/riscv/state.h"
#include "util/bits.h"

enum { MAX_HARTS = 512, MTIMECMP = 0x4000, MTIME = 0xbff8 };

typedef struct Aclint Aclint;
typedef struct Hart {
    Aclint *a;
    Vcpu *cpu;
    _Atomic uint64_t lines;     /* bits of mip */
    uint64_t mtimecmp, stimecmp;
    Timer *mtimer, *stimer;
} Hart;

struct Aclint {
    Device dev;
    Hart *harts;                /* not movable: CpuIntc points into it */
    unsigned n;
    _Atomic int64_t offset;     /* mtime - virtual clock, in ticks; harts read it without the lock */
    uint8_t *saved_buf;
    uint32_t saved_len;
};

static uint64_t mtime(Aclint *a)
{
    return mclock_ns_to_ticks(mclock_now(a->dev.clock, CLOCK_KIND_VIRTUAL), ACLINT_HZ) + (uint64_t)a->offset;
}

/* ---- lines ---- */

static void set_line(Hart *h, unsigned irq, bool level)
{
    uint64_t bit = BIT(irq), old;
    old = level ? atomic_fetch_or(&h->lines, bit) : atomic_fetch_and(&h->lines, ~bit);
    if (level && !(old & bit))
        vcpu_raise(h->cpu, VCPU_EV_INTR, 0);
}

static void external(void *opaque, unsigned n, bool level)
{
    Aclint *a = opaque;
    if (n / 2 < a->n)
        set_line(&a->harts[n / 2], n & 1 ? RISCV_IRQ_SEI : RISCV_IRQ_MEI, level);
}

/* ---- timers ---- */

/* Line up when mtime >= cmp, else a timer for that moment. Lock held. */
static void timer_update(Hart *h, Timer *t, uint64_t cmp, unsigned irq)
{
    uint64_t now = mtime(h->a), far = cmp - now;
    if (now >= cmp) {
        timer_cancel(t);
        set_line(h, irq, true);
        return;
    }
    set_line(h, irq, false);
    if (far > UINT64_MAX / 1000) {      /* beyond every clock */
        timer_cancel(t);
        return;
    }
    int64_t at = mclock_ticks_to_ns_up(cmp - (uint64_t)h->a->offset, ACLINT_HZ);
    timer_arm(t, at > 0 ? at : 0);
}

static void mtimer_due(void *opaque)
{
    Hart *h = opaque;
    timer_update(h, h->mtimer, h->mtimecmp, RISCV_IRQ_MTI);
}

static void stimer_due(void *opaque)
{
    Hart *h = opaque;
    timer_update(h, h->stimer, h->stimecmp, RISCV_IRQ_STI);
}

static void all_timers(Aclint *a)
{
    for (unsigned n = 0; n < a->n; n++) {
        mtimer_due(&a->harts[n]);
        stimer_due(&a->harts[n]);
    }
}

/* ---- what the hart asks ---- */

static bool hart_pending(void *opaque)
{
    return atomic_load(&((Hart *)opaque)->lines) != 0;
}

static int hart_ack(void *opaque)
{
    return -1;
}

static bool hart_read(void *opaque, uint32_t reg, uint64_t *ret)
{
    Hart *h = opaque;
    if (reg == RISCV_SYSREG_LINES)
        *ret = atomic_load(&h->lines);
    else if (reg == RISCV_SYSREG_TIME)
        *ret = mtime(h->a);
    else
        return false;
    return true;
}

static bool hart_write(void *opaque, uint32_t reg, uint64_t val)
{
    Hart *h = opaque;
    if (reg != RISCV_SYSREG_STIMECMP || !devlock_enter(h->a->dev.lock))
        return false;
    h->stimecmp = val;
    stimer_due(h);
    devlock_leave(h->a->dev.lock);
    return true;
}

static const CpuIntcOps hart_ops = { .pending = hart_pending, .ack = hart_ack, .msr_read = hart_read, .msr_write = hart_write };

/* ---- registers ---- */

static uint64_t half(uint64_t v, uint64_t off, unsigned size) { return size == 8 ? v : v >> (8 * (off & 4)) & UINT32_MAX; }

static void put_half(uint64_t *v, uint64_t off, uint64_t val, unsigned size)
{
    *v = size == 8 ? val : bits_put(*v, 8 * (unsigned)(off & 4), 32, val);
}

static uint64_t aclint_read(void *opaque, uint64_t off, unsigned size)
{
    Aclint *a = opaque;
    if (off >= MTIME && off < MTIME + 8)
        return half(mtime(a), off, size);
    if (off < MTIMECMP)
        return off / 4 < a->n ? atomic_load(&a->harts[off / 4].lines) >> RISCV_IRQ_MSI & 1 : 0;
    uint64_t n = (off - MTIMECMP) / 8;
    return n < a->n ? half(a->harts[n].mtimecmp, off, size) : 0;
}

static void aclint_write(void *opaque, uint64_t off, uint64_t val, unsigned size)
{
    Aclint *a = opaque;
    if (off >= MTIME && off < MTIME + 8) {
        uint64_t t = mtime(a);
        uint64_t base = t - (uint64_t)a->offset;
        put_half(&t, off, val, size);
        a->offset = (int64_t)(t - base);
        all_timers(a);
        return;
    }
    if (off < MTIMECMP) {
        if (off / 4 < a->n)
            set_line(&a->harts[off / 4], RISCV_IRQ_MSI, val & 1);
        return;
    }
    uint64_t n = (off - MTIMECMP) / 8;
    if (n >= a->n)
        return;
    put_half(&a->harts[n].mtimecmp, off, val, size);
    mtimer_due(&a->harts[n]);
}

static const MmioOps aclint_ops = { .read = aclint_read, .write = aclint_write, .min_size = 4, .max_size = 8 };

/* ---- life ---- */

void aclint_attach(Device *dev, Vcpu *const *harts, unsigned n)
{
    Aclint *a = (Aclint *)dev;
    a->n = MIN(n, (unsigned)MAX_HARTS);
    a->harts = g_new0(Hart, MAX(a->n, 1u));
    for (unsigned i = 0; i < a->n; i++) {
        a->harts[i].a = a;
        a->harts[i].cpu = harts[i];
        harts[i]->intc = (CpuIntc){ &hart_ops, &a->harts[i] };
    }
}

static bool aclint_realize(Device *dev, GError **err)
{
    Aclint *a = (Aclint *)dev;
    device_init_mmio(dev, 0, "clint", &aclint_ops, ACLINT_SIZE);
    device_init_inputs(dev, 2 * a->n, external);
    for (unsigned i = 0; i < a->n; i++) {
        a->harts[i].mtimer = timer_new(dev->clock, CLOCK_KIND_VIRTUAL, dev->lock, mtimer_due, &a->harts[i]);
        a->harts[i].stimer = timer_new(dev->clock, CLOCK_KIND_VIRTUAL, dev->lock, stimer_due, &a->harts[i]);
    }
    return true;
}

static void aclint_unrealize(Device *dev)
{
    Aclint *a = (Aclint *)dev;
    for (unsigned i = 0; i < a->n; i++) {
        timer_free(a->harts[i].mtimer);
        timer_free(a->harts[i].stimer);
        a->harts[i].cpu->intc = (CpuIntc){ NULL, NULL };
    }
    g_free(a->harts);
    g_free(a->saved_buf);
    a->harts = NULL;
    a->saved_buf = NULL;
    a->n = 0;
}

static void aclint_reset(Device *dev)
{
    Aclint *a = (Aclint *)dev;
    a->offset = -(int64_t)mclock_ns_to_ticks(mclock_now(dev->clock, CLOCK_KIND_VIRTUAL), ACLINT_HZ);
    for (unsigned i = 0; i < a->n; i++) {
        a->harts[i].mtimecmp = a->harts[i].stimecmp = UINT64_MAX;
        set_line(&a->harts[i], RISCV_IRQ_MSI, false);
    }
    all_timers(a);
}

/* ---- state: offset, then mtimecmp, stimecmp, msip of each hart ---- */

static void aclint_pre_save(Device *dev)
{
    Aclint *a = (Aclint *)dev;
    g_free(a->saved_buf);
    a->saved_len = a->n * 24;
    a->saved_buf = g_malloc(a->saved_len + 1);
    for (unsigned i = 0; i < a->n; i++) {
        store_le64(a->saved_buf + 24 * i, a->harts[i].mtimecmp);
        store_le64(a->saved_buf + 24 * i + 8, a->harts[i].stimecmp);
        store_le64(a->saved_buf + 24 * i + 16, atomic_load(&a->harts[i].lines) & BIT(RISCV_IRQ_MSI));
    }
}

static bool aclint_post_load(Device *dev, unsigned version, GError **err)
{
    Aclint *a = (Aclint *)dev;
    if (a->saved_len != a->n * 24) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL, "the saved timers are those of another number of harts");
        return false;
    }
    for (unsigned i = 0; i < a->n; i++) {
        a->harts[i].mtimecmp = load_le64(a->saved_buf + 24 * i);
        a->harts[i].stimecmp = load_le64(a->saved_buf + 24 * i + 8);
        set_line(&a->harts[i], RISCV_IRQ_MSI, load_le64(a->saved_buf + 24 * i + 16) & BIT(RISCV_IRQ_MSI));
    }
    all_timers(a);
    return true;
}

static const FieldDesc aclint_fields[] = { FIELD(Aclint, offset), FIELD_BUF(Aclint, saved_buf, saved_len, MAX_HARTS * 24), { 0 } };
static const DeviceSection aclint_state[] = {
    { .name = "aclint", .version = 1, .min_version = 1, .fields = aclint_fields, .pre_save = aclint_pre_save, .post_load = aclint_post_load },
    { 0 }
};

const DeviceClass aclint_class = {
    .name = "riscv-aclint", .summary = "RISC-V software interrupts and timers", .size = sizeof(Aclint), .bus = BUS_SYS, .internal = true,
    .state = aclint_state, .realize = aclint_realize, .reset = aclint_reset, .unrealize = aclint_unrealize,
};
