/* One local APIC: delivery, priorities, registers in xAPIC and x2APIC form (SDM 3A chapter 11). */
#include "hw/intc/lapic-internal.h"

#include "cpu/x86/state.h"
#include "hw/intc/pic.h"

enum { MSR_APIC_BASE = 0x1b, MSR_TSC_DEADLINE = 0x6e0, MSR_X2APIC = 0x800, MSR_X2APIC_LAST = 0x8ff };
/* Version 14h, six LVT entries, EOI broadcast suppression (11.4.8). */
enum { LAPIC_VERSION = 0x14 | 5 << 16 | 1 << 24 };
enum { LINT0 = 1, LINT1 = 2 };
/* 2^32 counts of 128 ns; a loaded countdown cannot have begun before. */
#define LONGEST_PERIOD_NS (1ll << 39)

/* ---- pending and priority: wait-free ---- */

/* Highest vector in one of the 256-bit registers, or -1. */
static int highest(const Lapic *l, unsigned reg)
{
    for (int i = 7; i >= 0; i--) {
        uint32_t v = lapic_reg(l, reg + (unsigned)i);
        if (v)
            return i * 32 + 31 - __builtin_clz(v);
    }
    return -1;
}

/* 11.8.3.1 */
uint8_t lapic_ppr(const Lapic *l)
{
    unsigned tpr = lapic_reg(l, LR_TPR) & 0xff;
    int isr = highest(l, LR_ISR);
    unsigned isrv = isr < 0 ? 0 : (unsigned)isr;
    return (uint8_t)(tpr >> 4 >= isrv >> 4 ? tpr : isrv & 0xf0);
}

/* The vector that may be delivered now, or -1. */
static int deliverable(const Lapic *l)
{
    /* Software-disabled: what is in IRR already stays deliverable (11.4.7.2). */
    if (!lapic_hw_enabled(l))
        return -1;
    int irr = highest(l, LR_IRR);
    return irr >= 0 && irr >> 4 > lapic_ppr(l) >> 4 ? irr : -1;
}

/* Does the 8259's INTR reach the core? A globally disabled APIC leaves the pins to it (11.4.3). */
static bool extint_pending(const Lapic *l)
{
    if (__atomic_load_n(&l->extint, __ATOMIC_SEQ_CST) && lapic_hw_enabled(l))
        return true;
    if (!(__atomic_load_n(&l->s.lint, __ATOMIC_SEQ_CST) & LINT0))
        return false;
    uint32_t lvt = lapic_reg(l, LR_LVT_LINT0);
    return !lapic_hw_enabled(l) || (!(lvt & LVT_MASKED) && (lvt >> 8 & 7) == DM_EXTINT);
}

static bool engine_owns(const Lapic *l)
{
    return irq_fabric_owner(device_fabric((Device *)&l->dev)) == IRQ_OWNER_ENGINE && l->cpu->accel && l->cpu->accel->apic_read;
}

static bool lapic_pending(void *opaque)
{
    Lapic *l = opaque;
    return !engine_owns(l) && (extint_pending(l) || deliverable(l) >= 0);
}

/* IA32_APIC_BASE, whoever has it. An engine's own accesses to its page never come here: only with the state at hand is it the assistant's. */
static uint64_t present_base(const Lapic *l)
{
    const X86State *s = l->cpu->state;
    if (!engine_owns(l))
        return lapic_base(l);
    return s->groups_valid & X86_GROUP_MSR ? s->msr.apic_base : 0;
}

/* The engine has local APICs but not the 8259s: whether LINT0 lets them through is its business. */
static bool lapic_ext_pending(void *opaque)
{
    Lapic *l = opaque;
    return __atomic_load_n(&l->s.lint, __ATOMIC_SEQ_CST) & LINT0;
}

static int lapic_ext_ack(void *opaque)
{
    Lapic *l = opaque;
    return l->bus->pic ? pic_ack(l->bus->pic) : -1;
}

static void tell_cpu(Lapic *l)
{
    vcpu_raise(l->cpu, VCPU_EV_INTR, 0);
}

/* Own thread: something that held interrupts back has gone. */
static void recheck(Lapic *l)
{
    if (lapic_pending(l))
        tell_cpu(l);
}

static int lapic_ack(void *opaque)
{
    Lapic *l = opaque;
    if (engine_owns(l))
        return -1;
    if (extint_pending(l) && l->bus->pic) {
        __atomic_store_n(&l->extint, 0, __ATOMIC_SEQ_CST);
        return pic_ack(l->bus->pic);
    }
    int vector = deliverable(l);
    if (vector < 0)
        return -1;
    uint32_t bit = (uint32_t)BIT(vector & 31);
    __atomic_fetch_and(&l->s.reg[LR_IRR + vector / 32], ~bit, __ATOMIC_SEQ_CST);
    lapic_reg_set(l, LR_ISR + (unsigned)vector / 32, lapic_reg(l, LR_ISR + (unsigned)vector / 32) | bit);
    return vector;
}

/* ---- delivery: any thread, no lock ---- */

void lapic_error(Lapic *l, uint32_t bits)
{
    uint32_t old = __atomic_fetch_or(&l->s.esr_pending, bits, __ATOMIC_SEQ_CST);
    if ((old & bits) != bits)
        lapic_fire_lvt(l, LR_LVT_ERROR);
}

static void accept_fixed(Lapic *l, uint8_t vector, bool level)
{
    if (!lapic_sw_enabled(l))
        return;
    if (vector < 16) {
        lapic_error(l, ESR_RECV_ILLEGAL);
        return;
    }
    uint32_t bit = (uint32_t)BIT(vector & 31);
    uint32_t *tmr = &l->s.reg[LR_TMR + vector / 32], *irr = &l->s.reg[LR_IRR + vector / 32];
    if (level)
        __atomic_fetch_or(tmr, bit, __ATOMIC_SEQ_CST);
    else
        __atomic_fetch_and(tmr, ~bit, __ATOMIC_SEQ_CST);
    if (!(__atomic_fetch_or(irr, bit, __ATOMIC_SEQ_CST) & bit))
        tell_cpu(l);
}

void lapic_deliver(Lapic *l, unsigned mode, uint8_t vector, bool level)
{
    switch (mode) {
    case DM_FIXED:
    case DM_LOWEST:
        accept_fixed(l, vector, level);
        break;
    case DM_SMI:
        vcpu_raise(l->cpu, VCPU_EV_SMI, 0);
        break;
    case DM_NMI:
        vcpu_raise(l->cpu, VCPU_EV_NMI, 0);
        break;
    case DM_INIT:
        vcpu_raise(l->cpu, VCPU_EV_INIT, 0);
        break;
    case DM_SIPI:
        vcpu_raise(l->cpu, VCPU_EV_SIPI, vector);
        break;
    case DM_EXTINT:
        __atomic_store_n(&l->extint, 1, __ATOMIC_SEQ_CST);
        tell_cpu(l);
        break;
    default:
        break;
    }
}

/* Timer, error, and edges of LINT pins. */
void lapic_fire_lvt(Lapic *l, unsigned lvt)
{
    uint32_t v = lapic_reg(l, lvt);
    if (v & LVT_MASKED || !lapic_hw_enabled(l))
        return;
    /* Timer and error entries have no delivery mode: fixed. */
    unsigned mode = lvt == LR_LVT_TIMER || lvt == LR_LVT_ERROR ? DM_FIXED : v >> 8 & 7;
    if (mode == DM_FIXED && lvt == LR_LVT_ERROR && (v & 0xff) < 16)
        return;                 /* an illegal vector here would report itself for ever */
    if (mode == DM_FIXED || mode == DM_SMI || mode == DM_NMI || mode == DM_INIT)
        lapic_deliver(l, mode, (uint8_t)v, false);
}

/* LINT0 in fixed mode may be level triggered: remote IRR holds it until EOI (11.5.1). LINT1 is always an edge. */
static bool lint0_level(uint32_t lvt)
{
    return (lvt >> 8 & 7) == DM_FIXED && lvt & LVT_LEVEL;
}

static void lint0_service(Lapic *l)
{
    uint32_t lvt = lapic_reg(l, LR_LVT_LINT0);
    if (lvt & (LVT_MASKED | LVT_RIRR) || !lapic_hw_enabled(l) || !lint0_level(lvt))
        return;
    if (__atomic_load_n(&l->s.lint, __ATOMIC_SEQ_CST) & LINT0) {
        __atomic_fetch_or(&l->s.reg[LR_LVT_LINT0], (uint32_t)LVT_RIRR, __ATOMIC_SEQ_CST);
        lapic_deliver(l, DM_FIXED, (uint8_t)lvt, true);
    }
}

void lapic_lint(Lapic *l, unsigned n, bool level)
{
    uint8_t bit = (uint8_t)BIT(n);
    uint8_t old = level ? __atomic_fetch_or(&l->s.lint, bit, __ATOMIC_SEQ_CST) : __atomic_fetch_and(&l->s.lint, (uint8_t)~bit, __ATOMIC_SEQ_CST);
    if (!level || old & bit)
        return;
    if (engine_owns(l)) {       /* NMI: as firmware and kernels set LINT1 up, to the boot processor only */
        if (n == 0 || l->cpu->index == 0)
            vcpu_raise(l->cpu, n == 0 ? VCPU_EV_INTR : VCPU_EV_NMI, 0);
    } else if (!lapic_hw_enabled(l)) {
        vcpu_raise(l->cpu, n == 0 ? VCPU_EV_INTR : VCPU_EV_NMI, 0);
    } else if (n == 0 && extint_pending(l)) {
        tell_cpu(l);
    } else if (n == 0 && lint0_level(lapic_reg(l, LR_LVT_LINT0))) {
        lint0_service(l);
    } else {
        lapic_fire_lvt(l, n == 0 ? LR_LVT_LINT0 : LR_LVT_LINT1);
    }
}

/* ---- end of interrupt: own thread, device lock not held ---- */

static void lapic_do_eoi(Lapic *l)
{
    int vector = highest(l, LR_ISR);
    if (vector < 0)
        return;
    unsigned word = (unsigned)vector / 32;
    uint32_t bit = (uint32_t)BIT(vector & 31);
    lapic_reg_set(l, LR_ISR + word, lapic_reg(l, LR_ISR + word) & ~bit);
    if (lapic_reg(l, LR_TMR + word) & bit) {
        uint32_t lvt = lapic_reg(l, LR_LVT_LINT0);
        if (lvt & LVT_RIRR && (lvt & 0xff) == (uint32_t)vector) {
            __atomic_fetch_and(&l->s.reg[LR_LVT_LINT0], ~(uint32_t)LVT_RIRR, __ATOMIC_SEQ_CST);
            lint0_service(l);
        }
        if (!(lapic_reg(l, LR_SVR) & SVR_NO_EOI_BROADCAST))
            apicbus_eoi(&l->bus->dev, (uint8_t)vector);
    }
    recheck(l);
}

/* ---- registers ---- */

/* Writable bits of LVT entries, by register number - LR_LVT_TIMER. */
static const uint32_t lvt_mask[] = { 0x700ff, 0x107ff, 0x107ff, 0x1a7ff, 0x1a7ff, 0x100ff };

static bool is_lvt(unsigned reg)
{
    return reg >= LR_LVT_TIMER && reg <= LR_LVT_ERROR;
}

/* Device lock held. False: no such register. */
static bool reg_read(Lapic *l, unsigned reg, uint32_t *ret)
{
    if (reg == LR_PPR)
        *ret = lapic_ppr(l);
    else if (reg == LR_TMCCT)
        *ret = lapic_timer_count(l);
    else if (reg == LR_VER)
        *ret = LAPIC_VERSION;
    else if (reg == LR_ID || reg == LR_TPR || (reg >= LR_LDR && reg <= LR_ESR) || reg == LR_ICR || reg == LR_ICR2 || is_lvt(reg) ||
             reg == LR_TMICT || reg == LR_TDCR)
        *ret = lapic_reg(l, reg);
    else if (reg == LR_APR || reg == LR_RRD || reg == LR_EOI)
        *ret = 0;
    else
        return false;
    return true;
}

static void lvt_write(Lapic *l, unsigned reg, uint32_t val)
{
    val &= lvt_mask[reg - LR_LVT_TIMER];
    if (!lapic_sw_enabled(l))
        val |= (uint32_t)LVT_MASKED;
    if (reg == LR_LVT_TIMER)
        lapic_timer_lvt(l, val);
    /* Remote IRR survives unless the entry stops being level triggered. */
    if (reg == LR_LVT_LINT0 && lint0_level(val))
        val |= lapic_reg(l, reg) & (uint32_t)LVT_RIRR;
    lapic_reg_set(l, reg, val);
    if (reg == LR_LVT_LINT0)
        lint0_service(l);
}

static void svr_write(Lapic *l, uint32_t val)
{
    lapic_reg_set(l, LR_SVR, val & (0x1ff | (uint32_t)SVR_NO_EOI_BROADCAST));
    if (val & SVR_ENABLE)
        return;
    for (unsigned r = LR_LVT_TIMER; r <= LR_LVT_ERROR; r++)     /* 11.4.7.2: all masked */
        __atomic_fetch_or(&l->s.reg[r], (uint32_t)LVT_MASKED, __ATOMIC_SEQ_CST);
}

/* What must happen after the device lock was dropped: it takes the fabric's or other APICs' attention. */
typedef struct After { bool eoi, recheck, ipi; uint64_t icr; } After;

/* Device lock held. False: no such register, or not writable. */
static bool reg_write(Lapic *l, unsigned reg, uint32_t val, After *after)
{
    after->recheck = true;
    if (is_lvt(reg)) {
        lvt_write(l, reg, val);
        return true;
    }
    switch (reg) {
    case LR_ID:
        lapic_reg_set(l, reg, val & 0xff000000);
        return true;
    case LR_TPR:
        lapic_reg_set(l, reg, val & 0xff);
        return true;
    case LR_EOI:
        after->eoi = true;
        return true;
    case LR_LDR:
        lapic_reg_set(l, reg, val & 0xff000000);
        return true;
    case LR_DFR:
        lapic_reg_set(l, reg, val | 0x0fffffff);
        return true;
    case LR_SVR:
        svr_write(l, val);
        return true;
    case LR_ESR:
        lapic_reg_set(l, reg, __atomic_exchange_n(&l->s.esr_pending, 0, __ATOMIC_SEQ_CST));
        return true;
    case LR_ICR:
        lapic_reg_set(l, reg, val & 0xcdfff);
        after->ipi = true;
        after->icr = (uint64_t)l->s.reg[LR_ICR2] << 32 | val;
        return true;
    case LR_ICR2:
        lapic_reg_set(l, reg, val);
        return true;
    case LR_TMICT:
        if ((lapic_reg(l, LR_LVT_TIMER) & LVT_TIMER_MODE) != LVT_TIMER_DEADLINE)
            l->s.reg[reg] = val;
        lapic_timer_restart(l);
        return true;
    case LR_TDCR:
        lapic_timer_divide(l, val);
        return true;
    default:
        return false;
    }
}

static void finish(Lapic *l, const After *a)
{
    if (a->eoi)
        lapic_do_eoi(l);
    if (a->ipi)
        apicbus_ipi(l, a->icr);
    if (a->recheck)
        recheck(l);
}

/* ---- xAPIC page ---- */

/*
 * Registers are 4 bytes at multiples of 16; other accesses are undefined (11.4.1). Narrow reads see their part, as on real processors;
 * writes that are not whole do nothing.
 */
static uint64_t page_read(Lapic *l, unsigned off)
{
    uint32_t val = 0;
    if (off % 16 >= 4)
        return 0;
    if (engine_owns(l))
        return l->cpu->accel->apic_read(l->cpu->ec, off & ~15u) >> 8 * (off % 16);
    if (off / 16 >= ARRAY_LEN(l->s.reg) || !reg_read(l, off / 16, &val))
        lapic_error(l, ESR_ILLEGAL_REG);
    return val >> 8 * (off % 16);
}

static bool lapic_mmio(void *opaque, GuestAddr gpa, unsigned size, bool write, uint64_t *val)
{
    Lapic *l = opaque;
    const X86State *s = l->cpu->state;
    GuestAddr page = gpa & ~(GuestAddr)(PAGE_SIZE - 1);
    if (page != (lapic_base(l) & ~0xfffull) && page != (s->msr.apic_base & ~0xfffull))
        return false;          /* every access to a device asks here */
    uint64_t base = present_base(l);
    if (gpa - (base & ~0xfffull) >= PAGE_SIZE || (base & (APIC_BASE_EN | APIC_BASE_EXTD)) != APIC_BASE_EN)
        return false;
    unsigned off = (unsigned)(gpa & (PAGE_SIZE - 1));
    After after = { 0 };
    if (!devlock_enter(l->dev.lock))
        return false;
    if (!write) {
        *val = page_read(l, off) & bits_mask(8 * size);
    } else if (off % 16 == 0 && size == 4) {
        if (engine_owns(l))
            l->cpu->accel->apic_write(l->cpu->ec, off, *val);
        else if (off / 16 >= ARRAY_LEN(l->s.reg) || !reg_write(l, off / 16, (uint32_t)*val, &after))
            lapic_error(l, ESR_ILLEGAL_REG);
    }
    devlock_leave(l->dev.lock);
    finish(l, &after);
    return true;
}

static GuestAddr lapic_page(void *opaque)
{
    uint64_t base = present_base(opaque);
    return (base & (APIC_BASE_EN | APIC_BASE_EXTD)) == APIC_BASE_EN ? base & ~0xfffull : UINT64_MAX;
}

/* ---- x2APIC MSRs (11.12.1.2, table 11-6) ---- */

static bool x2_read(Lapic *l, unsigned reg, uint64_t *ret)
{
    uint32_t val = 0;
    if (reg == LR_ICR) {
        *ret = (uint64_t)lapic_reg(l, LR_ICR2) << 32 | lapic_reg(l, LR_ICR);
        return true;
    }
    if (reg == LR_EOI || reg == LR_DFR || reg == LR_ICR2 || reg == LR_APR || reg == LR_RRD || !reg_read(l, reg, &val))
        return false;
    *ret = val;
    return true;
}

/* Reserved bits that are set make #GP; registers not named here have none of 32. */
static bool x2_value_ok(const Lapic *l, unsigned reg, uint64_t val)
{
    uint32_t ok = reg == LR_TPR || reg == LR_SELF_IPI ? 0xff : reg == LR_EOI || reg == LR_ESR ? 0 : reg == LR_TDCR ? 0xb
                : reg == LR_SVR ? 0x1ff | (uint32_t)SVR_NO_EOI_BROADCAST : UINT32_MAX;
    if (is_lvt(reg))            /* delivery status and remote IRR are read-only: written back they are ignored */
        ok = lvt_mask[reg - LR_LVT_TIMER] | 1u << 12 | (reg == LR_LVT_LINT0 || reg == LR_LVT_LINT1 ? (uint32_t)LVT_RIRR : 0);
    return !(val & ~(uint64_t)ok);
}

static bool x2_write(Lapic *l, unsigned reg, uint64_t val, After *after)
{
    if (reg == LR_ICR) {
        if (val & 0xfff32000u)          /* reserved bits of the low half (figure 11-28) */
            return false;
        lapic_reg_set(l, LR_ICR, (uint32_t)val);
        lapic_reg_set(l, LR_ICR2, (uint32_t)(val >> 32));
        *after = (After){ .ipi = true, .icr = val };
        return true;
    }
    if (!x2_value_ok(l, reg, val) || reg == LR_ID || reg == LR_LDR || reg == LR_DFR || reg == LR_ICR2)
        return false;
    if (reg == LR_SELF_IPI) {
        *after = (After){ .ipi = true, .icr = val | 1u << 18 };
        return true;
    }
    return reg_write(l, reg, (uint32_t)val, after);
}

/* ---- IA32_APIC_BASE and the states of an APIC (11.12.5) ---- */

static void x2_identity(Lapic *l)
{
    uint32_t id = l->cpu->apic_id;
    lapic_reg_set(l, LR_ID, id);
    lapic_reg_set(l, LR_LDR, id >> 4 << 16 | 1u << (id & 15));
    lapic_reg_set(l, LR_ICR2, 0);
}

/* Power-on and INIT values (11.4.7.1, 11.4.7.3); the ID is the caller's. */
static void reset_regs(Lapic *l)
{
    uint32_t id = lapic_reg(l, LR_ID);
    for (unsigned r = 0; r < ARRAY_LEN(l->s.reg); r++)
        lapic_reg_set(l, r, 0);
    lapic_reg_set(l, LR_ID, id);
    lapic_reg_set(l, LR_DFR, UINT32_MAX);
    lapic_reg_set(l, LR_SVR, 0xff);
    for (unsigned r = LR_LVT_TIMER; r <= LR_LVT_ERROR; r++)
        lapic_reg_set(l, r, (uint32_t)LVT_MASKED);
    __atomic_store_n(&l->s.esr_pending, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&l->extint, 0, __ATOMIC_SEQ_CST);
    l->s.tsc_deadline = 0;
    l->s.timer_running = false;
    timer_cancel(l->timer);
    if (lapic_x2apic(l))
        x2_identity(l);
}

static bool base_write(Lapic *l, uint64_t val)
{
    uint64_t old = lapic_base(l);
    bool en = val & APIC_BASE_EN, extd = val & APIC_BASE_EXTD, was_en = old & APIC_BASE_EN, was_extd = old & APIC_BASE_EXTD;
    uint64_t allowed = (bits_mask(l->phys_bits) & ~0xfffull) | APIC_BASE_BSP | APIC_BASE_EN | (l->has_x2apic ? APIC_BASE_EXTD : 0);
    /* Figure 11-27: no EXTD without EN, no way back from x2APIC to xAPIC and none from disabled to x2APIC in one step. */
    if (val & ~allowed || (extd && !en) || (was_extd && en && !extd) || (!was_en && extd))
        return false;
    __atomic_store_n(&l->s.apic_base, val, __ATOMIC_SEQ_CST);
    if (was_en && !en) {
        reset_regs(l);
        lapic_reg_set(l, LR_ID, l->cpu->apic_id << 24);
    }
    if (extd && !was_extd)
        x2_identity(l);
    return true;
}

/* The assistant engine runs a few instructions while the other one keeps the APIC: its own state has the two MSRs. */
static bool assist_msr(Lapic *l, uint32_t msr, bool write, uint64_t *val)
{
    X86State *s = l->cpu->state;
    const AccelOps *a = l->cpu->accel;
    uint64_t *own = msr == MSR_APIC_BASE ? &s->msr.apic_base : &s->tsc_deadline;
    if (msr == MSR_APIC_BASE || msr == MSR_TSC_DEADLINE) {
        if (write) {
            *own = *val;
            vcpu_state_changed(l->cpu, X86_GROUP_MSR | X86_GROUP_SYS | X86_GROUP_CLOCK | X86_GROUP_APIC);
        } else {
            *val = *own;
        }
        return true;
    }
    if (!(s->msr.apic_base & APIC_BASE_EXTD))
        return false;
    if (write)
        a->apic_write(l->cpu->ec, (msr - MSR_X2APIC) << 4, *val);
    else
        *val = a->apic_read(l->cpu->ec, (msr - MSR_X2APIC) << 4);
    return true;
}

static bool is_ours(uint32_t msr)
{
    return msr == MSR_APIC_BASE || msr == MSR_TSC_DEADLINE || (msr >= MSR_X2APIC && msr <= MSR_X2APIC_LAST);
}

static bool lapic_msr_read(void *opaque, uint32_t msr, uint64_t *ret)
{
    Lapic *l = opaque;
    bool ok = false;
    if (!is_ours(msr) || !devlock_enter(l->dev.lock))
        return false;
    if (engine_owns(l)) {
        ok = assist_msr(l, msr, false, ret);
    } else if (msr == MSR_APIC_BASE || msr == MSR_TSC_DEADLINE) {
        *ret = msr == MSR_APIC_BASE ? lapic_base(l) : l->s.tsc_deadline;
        ok = true;
    } else if (lapic_x2apic(l) && msr - MSR_X2APIC < ARRAY_LEN(l->s.reg)) {
        ok = x2_read(l, msr - MSR_X2APIC, ret);
    }
    devlock_leave(l->dev.lock);
    return ok;
}

static bool lapic_msr_write(void *opaque, uint32_t msr, uint64_t val)
{
    Lapic *l = opaque;
    After after = { 0 };
    bool ok = false;
    if (!is_ours(msr) || !devlock_enter(l->dev.lock))
        return false;
    if (engine_owns(l)) {
        ok = assist_msr(l, msr, true, &val);
    } else if (msr == MSR_APIC_BASE) {
        ok = base_write(l, val);
        after.recheck = ok;
    } else if (msr == MSR_TSC_DEADLINE) {
        lapic_timer_deadline(l, val);
        ok = true;
    } else if (lapic_x2apic(l) && msr - MSR_X2APIC < ARRAY_LEN(l->s.reg)) {
        ok = x2_write(l, msr - MSR_X2APIC, val, &after);
    }
    devlock_leave(l->dev.lock);
    if (ok)
        finish(l, &after);
    return ok;
}

/* ---- the CPU's side ---- */

static uint8_t lapic_tpr(void *opaque)
{
    Lapic *l = opaque;
    uint64_t tpr = engine_owns(l) ? l->cpu->accel->apic_read(l->cpu->ec, LR_TPR << 4) : lapic_reg(l, LR_TPR);
    return (uint8_t)(tpr >> 4 & 15);
}

static void lapic_set_tpr(void *opaque, uint8_t cr8)
{
    Lapic *l = opaque;
    uint32_t val = (cr8 & 15u) << 4;
    if (engine_owns(l)) {
        l->cpu->accel->apic_write(l->cpu->ec, LR_TPR << 4, val);
        return;
    }
    lapic_reg_set(l, LR_TPR, val);
    recheck(l);
}

static void lapic_eoi(void *opaque)
{
    Lapic *l = opaque;
    if (engine_owns(l))
        l->cpu->accel->apic_write(l->cpu->ec, LR_EOI << 4, 0);
    else
        lapic_do_eoi(l);
}

static void lapic_init_sipi(void *opaque, bool init)
{
    Lapic *l = opaque;
    if (!init || engine_owns(l) || !devlock_enter(l->dev.lock))
        return;
    reset_regs(l);
    devlock_leave(l->dev.lock);
}

static const CpuIntcOps lapic_cpu_ops = {
    .pending = lapic_pending, .ack = lapic_ack, .tpr = lapic_tpr, .set_tpr = lapic_set_tpr, .eoi = lapic_eoi, .init_sipi = lapic_init_sipi,
    .msr_read = lapic_msr_read, .msr_write = lapic_msr_write, .mmio = lapic_mmio, .mmio_page = lapic_page,
    .ext_pending = lapic_ext_pending, .ext_ack = lapic_ext_ack,
};

/* ---- life ---- */

void lapic_attach(Device *dev, Device *bus, Vcpu *c)
{
    Lapic *l = (Lapic *)dev;
    l->bus = (ApicBus *)bus;
    l->cpu = c;
}

void lapic_virtual_wire(Device *dev)
{
    Lapic *l = (Lapic *)dev;
    devlock_enter(dev->lock);
    svr_write(l, 0xff | (uint32_t)SVR_ENABLE);
    lvt_write(l, LR_LVT_LINT0, l->cpu->index == 0 ? DM_EXTINT << 8 : (uint32_t)LVT_MASKED);
    lvt_write(l, LR_LVT_LINT1, DM_NMI << 8);
    devlock_leave(dev->lock);
    recheck(l);
}

static void lapic_reset(Device *dev)
{
    Lapic *l = (Lapic *)dev;
    __atomic_store_n(&l->s.apic_base, 0xfee00000u | APIC_BASE_EN | (l->cpu->index == 0 ? APIC_BASE_BSP : 0), __ATOMIC_SEQ_CST);
    reset_regs(l);
    lapic_reg_set(l, LR_ID, l->cpu->apic_id << 24);
}

static bool lapic_realize(Device *dev, GError **err)
{
    Lapic *l = (Lapic *)dev;
    if (!l->cpu || !l->bus) {
        g_set_error(err, g_quark_from_static_string("lapic"), 0, "lapic needs a processor: boards make it");
        return false;
    }
    l->timer = device_timer_new(dev, lapic_timer_fired);
    g_ptr_array_add(l->bus->lapics, l);
    l->cpu->intc = (CpuIntc){ .ops = &lapic_cpu_ops, .opaque = l };
    return true;
}

static void lapic_unrealize(Device *dev)
{
    Lapic *l = (Lapic *)dev;
    l->cpu->intc = (CpuIntc){ 0 };
    g_ptr_array_remove(l->bus->lapics, l);
    timer_free(l->timer);
}

/* Device lock held. Nothing in here indexes; what cannot be is made harmless. */
static void lapic_take(Lapic *l, const X86LapicState *s)
{
    uint64_t base = s->apic_base & ((bits_mask(l->phys_bits) & ~0xfffull) | APIC_BASE_BSP | APIC_BASE_EN | APIC_BASE_EXTD);
    if (!(base & APIC_BASE_EN))
        base &= ~APIC_BASE_EXTD;
    uint8_t lint = l->s.lint;       /* the pins are what they are */
    l->s = *s;
    l->s.lint = lint;
    l->s.apic_base = base;
    for (unsigned r = LR_LVT_TIMER; r <= LR_LVT_ERROR; r++)
        l->s.reg[r] &= lvt_mask[r - LR_LVT_TIMER] | (r == LR_LVT_LINT0 ? (uint32_t)LVT_RIRR : 0);
    l->s.reg[LR_TDCR] &= 0xb;
    l->s.reg[LR_IRR] &= 0xffff0000;     /* vectors 0-15 do not exist */
    l->s.reg[LR_ISR] &= 0xffff0000;
    int64_t now = mclock_now(l->dev.clock, CLOCK_KIND_VIRTUAL);
    if (l->s.timer_start > now || l->s.timer_start < now - LONGEST_PERIOD_NS)
        l->s.timer_start = now;
    lapic_timer_rearm(l);
    tell_cpu(l);
}

static bool lapic_post_load(Device *dev, unsigned version, GError **err)
{
    Lapic *l = (Lapic *)dev;
    X86LapicState s = l->s;
    l->extint = l->extint != 0;
    lapic_take(l, &s);
    return true;
}

void lapic_state_out(Device *dev, X86LapicState *ret)
{
    devlock_enter(dev->lock);
    if (atomic_load(&((Lapic *)dev)->cpu->events) & VCPU_EV_INIT)      /* not taken yet: then it is not our APIC any more */
        reset_regs((Lapic *)dev);
    lapic_timer_fired(dev);     /* one that is due and whose turn has not come yet would be lost: the count alone does not tell */
    *ret = ((Lapic *)dev)->s;
    ret->reg[LR_PPR] = lapic_ppr((Lapic *)dev);
    ret->reg[LR_VER] = LAPIC_VERSION;
    ret->reg[LR_TMCCT] = lapic_timer_count((Lapic *)dev);
    devlock_leave(dev->lock);
}

void lapic_state_in(Device *dev, const X86LapicState *s)
{
    devlock_enter(dev->lock);
    lapic_take((Lapic *)dev, s);
    devlock_leave(dev->lock);
}

static const PropDesc lapic_props[] = {
    PROP(Lapic, has_x2apic, PROP_BOOL, "x2apic", .def = "on", .help = "x2APIC mode can be enabled"),
    PROP(Lapic, phys_bits, PROP_U32, "phys-bits", .def = "52", .min = 32, .max = 52, .help = "physical address width"),
    { 0 }
};
static const FieldDesc lapic_fields[] = { FIELD_SUB(Lapic, s, x86_lapic_fields), FIELD(Lapic, extint), { 0 } };
static const DeviceSection lapic_state[] = {
    { .name = "lapic", .version = 1, .min_version = 1, .fields = lapic_fields, .post_load = lapic_post_load },
    { 0 }
};

const DeviceClass lapic_class = {
    .name = "lapic", .summary = "local APIC of one processor", .size = sizeof(Lapic), .bus = BUS_SYS, .internal = true,
    .props = lapic_props, .state = lapic_state, .realize = lapic_realize, .reset = lapic_reset, .unrealize = lapic_unrealize,
};
