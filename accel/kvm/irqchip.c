/*
 * KVM's own interrupt controllers: local APICs (kernel-irqchip=split), 8259s, I/O APIC and 8254 too (on). State moves to and from the structs of
 * cpu/x86/irqchip.h. Linux Documentation/virt/kvm/api.rst.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "accel/kvm/kvm-internal.h"
#include "cpu/x86/irqchip.h"
#include "vmm/clock.h"

enum { N_GSI = X86_IOAPIC_PINS, N_ISA = 16, TIMER_PIN = 2, MSR_APIC_BASE = 0x1b, MSR_TSC_DEADLINE = 0x6e0, REG_LVT_TIMER = 0x32,
       REG_TMICT = 0x38, REG_TMCCT = 0x39, LVT_MASKED = 1 << 16, LVT_PERIODIC = 1 << 17, LVT_DEADLINE = 2 << 17, LVT_MODE = 3 << 17, SETTLE_US = 100, SETTLE_TRIES = 20 };
#define MSI_BROADCAST 0xfeeff000u       /* physical destination ffh */
#define MSI_LEVEL 0xc000u

/* ---- creation ---- */

static int set_routes(KvmVm *vm)
{
    size_t n = vm->routes->len;
    g_autofree struct kvm_irq_routing *r = g_malloc0(sizeof(*r) + n * sizeof(struct kvm_irq_routing_entry));
    r->nr = (__u32)n;
    if (n)                     /* without any the array has no data */
        memcpy(r->entries, vm->routes->data, n * sizeof(struct kvm_irq_routing_entry));
    return ioctl(vm->fd, KVM_SET_GSI_ROUTING, r) < 0 ? -errno : 0;
}

static void add_chip_route(KvmVm *vm, unsigned gsi, unsigned chip, unsigned pin)
{
    struct kvm_irq_routing_entry e = { .gsi = gsi, .type = KVM_IRQ_ROUTING_IRQCHIP, .u.irqchip = { .irqchip = chip, .pin = pin } };
    g_array_append_val(vm->routes, e);
}

/* The board's wiring (hw/intc/gsi.h): ISA interrupt 0 is the I/O APIC's pin 2. */
static void wire_chips(KvmVm *vm)
{
    for (unsigned gsi = 0; gsi < N_GSI; gsi++) {
        if (gsi < N_ISA && gsi != TIMER_PIN)
            add_chip_route(vm, gsi, gsi / 8 ? KVM_IRQCHIP_PIC_SLAVE : KVM_IRQCHIP_PIC_MASTER, gsi % 8);
        if (gsi != TIMER_PIN)
            add_chip_route(vm, gsi, KVM_IRQCHIP_IOAPIC, gsi ? gsi : TIMER_PIN);
    }
}

/*
 * on where it is offered. Not where KVM has no hardware support: its local APIC then keeps no vector in service while the handler runs, which is seen as
 * nested and doubled interrupts (tests/guest/kvm_host.c, "apic").
 */
static AccelIrqchip wanted(const KvmVm *vm, AccelIrqchip asked)
{
    if (asked != ACCEL_IRQCHIP_DEFAULT)
        return asked;
    bool can = !vm->pvm && ioctl(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_IRQCHIP) > 0 && ioctl(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_PIT2) > 0 &&
               ioctl(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_PIT_STATE2) > 0;
    return can ? ACCEL_IRQCHIP_ON : ACCEL_IRQCHIP_OFF;
}

bool kvm_irqchip_create(KvmVm *vm, AccelIrqchip asked, GError **err)
{
    vm->irqchip = wanted(vm, asked);
    vm->routes = g_array_new(FALSE, TRUE, sizeof(struct kvm_irq_routing_entry));
    for (unsigned n = 0; n < KVM_MSI_FDS; n++)
        vm->msi_fd[n].fd = -1;
    if (vm->irqchip == ACCEL_IRQCHIP_OFF)
        return true;
    struct kvm_enable_cap ids = { .cap = KVM_CAP_X2APIC_API, .args = { KVM_X2APIC_API_USE_32BIT_IDS } };
    ioctl(vm->fd, KVM_ENABLE_CAP, &ids);
    if (vm->irqchip == ACCEL_IRQCHIP_SPLIT) {
        struct kvm_enable_cap split = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { N_GSI } };
        if (ioctl(vm->fd, KVM_ENABLE_CAP, &split) < 0)
            return kvm_fail(err, "kernel-irqchip=split");
        kvm_irqchip_offer(vm, false);
        return true;
    }
    struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
    if (ioctl(vm->fd, KVM_CREATE_IRQCHIP) < 0 || ioctl(vm->fd, KVM_CREATE_PIT2, &pit) < 0)
        return kvm_fail(err, "kernel-irqchip=on");
    wire_chips(vm);
    errno = -set_routes(vm);
    if (errno)
        return kvm_fail(err, "wiring the interrupt controllers");
    kvm_irqchip_offer(vm, true);
    return true;
}

void kvm_irqchip_free(KvmVm *vm)
{
    kvm_irqfds_drop(vm);
    if (vm->irqchip != ACCEL_IRQCHIP_OFF) {
        irq_fabric_set_owner(machine_fabric(vm->m), IRQ_OWNER_MODEL);
        irq_fabric_set_engine(machine_fabric(vm->m), NULL, NULL);
    }
    g_array_unref(vm->routes);
}

/* ---- what devices drive ---- */

/* The fabric's lock is held. KVM's I/O APIC takes each "high" at an edge pin for a new edge, so a level is told once. */
static void drive_gsi(void *opaque, unsigned gsi, bool level)
{
    KvmVm *vm = opaque;
    struct kvm_irq_level l = { .irq = gsi, .level = level };
    if (gsi >= N_GSI || (vm->lines >> gsi & 1) == level)
        return;
    vm->lines ^= 1u << gsi;
    ioctl(vm->fd, KVM_IRQ_LINE, &l);
}

int kvm_route_msi(KvmVm *vm, uint32_t gsi, const struct kvm_irq_routing_entry *e)
{
    g_mutex_lock(&vm->lock);
    for (guint n = 0; n < vm->routes->len; n++)
        if (g_array_index(vm->routes, struct kvm_irq_routing_entry, n).gsi == gsi)
            g_array_remove_index(vm->routes, n--);
    if (e)
        g_array_append_vals(vm->routes, e, 1);
    int r = set_routes(vm);
    g_mutex_unlock(&vm->lock);
    return r;
}

static void send_msi(void *opaque, uint64_t addr, uint32_t data)
{
    KvmVm *vm = opaque;
    struct kvm_msi msi = { .address_lo = (__u32)addr, .address_hi = (__u32)(addr >> 32), .data = data };
    vm->n_msis++;
    if (!kvm_irqfd_send(vm, addr, data))
        ioctl(vm->fd, KVM_SIGNAL_MSI, &msi);
}

/*
 * Split: KVM reports the EOIs of the level vectors in routes of the first pins, so there is one route a vector. The fabric's lock is held.
 */
static void level_vectors(void *opaque, const uint64_t vectors[4])
{
    KvmVm *vm = opaque;
    unsigned n = 0;
    g_mutex_lock(&vm->lock);
    while (vm->routes->len && g_array_index(vm->routes, struct kvm_irq_routing_entry, 0).gsi < N_GSI)
        g_array_remove_index(vm->routes, 0);        /* in order: level vectors first */
    for (unsigned v = 16; v < 256 && n < N_GSI; v++) {
        struct kvm_irq_routing_entry e = { .gsi = n, .type = KVM_IRQ_ROUTING_MSI, .u.msi = { .address_lo = MSI_BROADCAST, .data = v | MSI_LEVEL } };
        if (vectors[v / 64] >> v % 64 & 1) {
            g_array_prepend_val(vm->routes, e);
            n++;
        }
    }
    int e = set_routes(vm);
    g_mutex_unlock(&vm->lock);
    if (e)
        log_warn(machine_log(vm->m), "kvm: the host refuses the routes of level interrupts: %s", g_strerror(-e));
}

static const IrqEngineOps on_ops = { .gsi = drive_gsi, .msi = send_msi, .pit = true };
static const IrqEngineOps split_ops = { .msi = send_msi, .level_vectors = level_vectors };

void kvm_irqchip_offer(KvmVm *vm, bool all)
{
    irq_fabric_set_engine(machine_fabric(vm->m), all ? &on_ops : &split_ops, vm);
}

/* ---- state: local APICs ---- */

typedef union OneMsr { struct kvm_msrs head; uint8_t room[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)]; } OneMsr;

bool kvm_msr_set(KvmEc *ec, uint32_t index, uint64_t value)
{
    OneMsr m = { .head.nmsrs = 1 };
    m.head.entries[0] = (struct kvm_msr_entry){ .index = index, .data = value };
    return ioctl(ec->fd, KVM_SET_MSRS, &m) == 1;
}

bool kvm_msr_get(KvmEc *ec, uint32_t index, uint64_t *ret)
{
    OneMsr m = { .head.nmsrs = 1 };
    m.head.entries[0].index = index;
    if (ioctl(ec->fd, KVM_GET_MSRS, &m) != 1)
        return false;
    *ret = m.head.entries[0].data;
    return true;
}

/*
 * INITs, start-up IPIs and NMIs of before a reset: KVM takes the first two now, and what it makes of them is overwritten with the vCPU's state. Now, with
 * all at rest: when this vCPU first runs, another may have sent it those that it must not miss.
 */
static void forget_events(KvmEc *ec)
{
    struct kvm_mp_state mp;
    struct kvm_vcpu_events e;
    ioctl(ec->fd, KVM_GET_MP_STATE, &mp);
    if (ioctl(ec->fd, KVM_GET_VCPU_EVENTS, &e) == 0) {
        ec->nmis = e.nmi.pending;
        ec->events_known = true;
    }
}

static bool lapic_in(KvmEc *ec, const X86LapicState *l, GError **err)
{
    struct kvm_lapic_state k = { 0 };
    X86State *s = ec->c->state;
    if (!kvm_prepare(ec, err))
        return false;
    forget_events(ec);
    /* the mode first: it says how the registers are read */
    if (!kvm_msr_set(ec, MSR_APIC_BASE, s->msr.apic_base))
        return kvm_fail(err, "setting IA32_APIC_BASE");
    for (unsigned r = 0; r < G_N_ELEMENTS(l->reg); r++)
        memcpy(k.regs + 16 * r, &l->reg[r], 4);
    /* KVM takes a one-shot without any count left for one that ends now. This one has ended: it does so unheard. */
    uint32_t lvt = l->reg[REG_LVT_TIMER], masked = lvt | LVT_MASKED;
    bool over = !(lvt & (LVT_MODE | LVT_MASKED)) && l->reg[REG_TMICT] && !l->reg[REG_TMCCT];
    if (over)
        memcpy(k.regs + 16 * REG_LVT_TIMER, &masked, 4);
    if (ioctl(ec->fd, KVM_SET_LAPIC, &k) < 0)
        return kvm_fail(err, "writing a local APIC");
    if (over) {
        kvm_apic_settle(ec);
        kvm_apic_write(ec, 16 * REG_LVT_TIMER, lvt);
    }
    kvm_msr_set(ec, MSR_TSC_DEADLINE, s->tsc_deadline);
    ec->deadline = s->tsc_deadline;
    return true;
}

static bool get_lapic(KvmEc *ec, X86LapicState *l, GError **err)
{
    struct kvm_lapic_state k;
    if (ioctl(ec->fd, KVM_GET_LAPIC, &k) < 0)
        return kvm_fail(err, "reading a local APIC");
    for (unsigned r = 0; r < G_N_ELEMENTS(l->reg); r++)
        memcpy(&l->reg[r], k.regs + 16 * r, 4);
    return true;
}

/*
 * May the timer have ended without its interrupt being in IRR? KVM puts it there only when the vCPU runs, and what it still has pending keeps the
 * next one from starting. Of a one-shot timer it does not say whether the interrupt has been sent.
 */
static bool timer_in_limbo(const X86LapicState *l, const X86State *s)
{
    uint32_t lvt = l->reg[REG_LVT_TIMER];
    if (lvt & LVT_MASKED)
        return false;
    if ((lvt & LVT_MODE) == LVT_DEADLINE)
        return s->tsc_deadline && s->tsc_deadline <= mclock_host_tsc() + (uint64_t)s->tsc_offset;
    return l->reg[REG_TMICT] && ((lvt & LVT_MODE) == LVT_PERIODIC || !l->reg[REG_TMCCT]);
}

static bool lapic_out(KvmEc *ec, X86LapicState *l, GError **err)
{
    X86State *s = ec->c->state;
    if (!get_lapic(ec, l, err))
        return false;
    kvm_msr_get(ec, MSR_TSC_DEADLINE, &s->tsc_deadline);
    for (unsigned n = 0; timer_in_limbo(l, s) && n < SETTLE_TRIES; n++) {
        bool deadline = (l->reg[REG_LVT_TIMER] & LVT_MODE) == LVT_DEADLINE;
        g_usleep(SETTLE_US);        /* the host's timer may be late */
        kvm_apic_settle(ec);
        if (!get_lapic(ec, l, err))
            return false;
        kvm_msr_get(ec, MSR_TSC_DEADLINE, &s->tsc_deadline);
        if (!deadline)              /* nothing tells */
            break;
    }
    kvm_msr_get(ec, MSR_APIC_BASE, &s->msr.apic_base);
    return true;
}

/* ---- state: 8259s and I/O APIC ---- */

static void pic_to(struct kvm_pic_state *k, const X86Pic *p)
{
    uint8_t elcr_mask = k->elcr_mask;
    *k = (struct kvm_pic_state){
        .last_irr = p->line, .irr = p->irr, .imr = p->imr, .isr = p->isr, .priority_add = (p->lowest + 1) & 7, .irq_base = p->base,
        .read_reg_select = p->read_isr, .poll = p->poll, .special_mask = p->special_mask, .init_state = p->init_state, .auto_eoi = p->aeoi,
        .rotate_on_auto_eoi = p->rotate_aeoi, .special_fully_nested_mode = p->sfnm, .init4 = p->icw1 & 1, .elcr = p->elcr, .elcr_mask = elcr_mask,
    };
}

static void pic_from(X86Pic *p, const struct kvm_pic_state *k)
{
    *p = (X86Pic){
        .line = k->last_irr, .irr = k->irr, .imr = k->imr, .isr = k->isr, .lowest = (k->priority_add + 7) & 7, .base = k->irq_base,
        .read_isr = k->read_reg_select, .poll = k->poll, .special_mask = k->special_mask, .init_state = k->init_state, .aeoi = k->auto_eoi,
        .rotate_aeoi = k->rotate_on_auto_eoi, .sfnm = k->special_fully_nested_mode, .icw1 = k->init4 != 0, .elcr = k->elcr,
    };
}

static bool get_chip(KvmVm *vm, struct kvm_irqchip *k, unsigned id, GError **err)
{
    memset(k, 0, sizeof(*k));
    k->chip_id = id;
    return ioctl(vm->fd, KVM_GET_IRQCHIP, k) == 0 || kvm_fail(err, "reading an interrupt controller");
}

static bool set_chip(KvmVm *vm, struct kvm_irqchip *k, GError **err)
{
    return ioctl(vm->fd, KVM_SET_IRQCHIP, k) == 0 || kvm_fail(err, "writing an interrupt controller");
}

static bool pics_in(KvmVm *vm, const X86PicState *p, GError **err)
{
    struct kvm_irqchip k;
    /* The slave first: after each, KVM looks whether the slave has something for the master, and the old slave's would stay in the new master's IRR. */
    for (unsigned n = 2; n-- > 0;) {
        if (!get_chip(vm, &k, n ? KVM_IRQCHIP_PIC_SLAVE : KVM_IRQCHIP_PIC_MASTER, err))
            return false;
        pic_to(&k.chip.pic, &p->chip[n]);
        if (!set_chip(vm, &k, err))
            return false;
    }
    return true;
}

static bool ioapic_in(KvmVm *vm, const X86IoapicState *s, GError **err)
{
    struct kvm_irqchip k;
    if (!get_chip(vm, &k, KVM_IRQCHIP_IOAPIC, err))
        return false;
    k.chip.ioapic.ioregsel = s->select;
    k.chip.ioapic.id = s->id >> 24 & 15;
    k.chip.ioapic.irr = s->irr;
    for (unsigned n = 0; n < X86_IOAPIC_PINS; n++)
        k.chip.ioapic.redirtbl[n].bits = s->redir[n];
    return set_chip(vm, &k, err);
}

static bool chips_out(KvmVm *vm, X86Irqchips *c, GError **err)
{
    struct kvm_irqchip k;
    for (unsigned n = 0; n < 2; n++) {
        if (!get_chip(vm, &k, n ? KVM_IRQCHIP_PIC_SLAVE : KVM_IRQCHIP_PIC_MASTER, err))
            return false;
        pic_from(&c->pic.chip[n], &k.chip.pic);
    }
    if (!get_chip(vm, &k, KVM_IRQCHIP_IOAPIC, err))
        return false;
    c->ioapic = (X86IoapicState){ .select = (uint8_t)k.chip.ioapic.ioregsel, .id = k.chip.ioapic.id << 24, .irr = k.chip.ioapic.irr };
    for (unsigned n = 0; n < X86_IOAPIC_PINS; n++)
        c->ioapic.redir[n] = k.chip.ioapic.redirtbl[n].bits;
    return true;
}

/* ---- all ---- */

/* Lines as the models saw them: input n of the fabric is pin n of the I/O APIC, but for the timer. */
static uint32_t lines_of(const X86Irqchips *c)
{
    uint32_t pins = c->ioapic.line;
    return (pins & ~(1u | 1u << TIMER_PIN)) | (pins >> TIMER_PIN & 1);
}

bool kvm_irqchip_in(void *opaque, const void *chips, GError **err)
{
    KvmVm *vm = opaque;
    const X86Irqchips *c = chips;
    for (unsigned n = 0; n < c->n_lapics; n++)
        if (!lapic_in(vm->ec[n], &c->lapic[n], err))
            return false;
    if (vm->irqchip != ACCEL_IRQCHIP_ON)
        return true;
    /* KVM keeps lines only inside what they caused; what an edge caused is in the state, so it is not told again */
    for (unsigned gsi = 0; gsi < N_GSI; gsi++)
        drive_gsi(vm, gsi, false);
    vm->lines = lines_of(c);
    return pics_in(vm, &c->pic, err) && ioapic_in(vm, &c->ioapic, err) && kvm_pit_in(vm, &c->pit, c->pit_now, err);
}

bool kvm_irqchip_out(void *opaque, void *chips, GError **err)
{
    KvmVm *vm = opaque;
    X86Irqchips *c = chips;
    c->has_pit = vm->irqchip == ACCEL_IRQCHIP_ON;
    kvm_irqfds_drop(vm);
    for (unsigned n = 0; n < c->n_lapics; n++)
        if (!kvm_take_in_flight(vm->ec[n], err))
            return false;
    /* the PIT first: a tick that is due reaches the others */
    if (c->has_pit && !kvm_pit_out(vm, &c->pit, &c->pit_now, err))
        return false;
    for (unsigned n = 0; n < c->n_lapics; n++)
        if (!lapic_out(vm->ec[n], &c->lapic[n], err))
            return false;
    return vm->irqchip != ACCEL_IRQCHIP_ON || chips_out(vm, c, err);
}

/* ---- with the vCPU's state ---- */

void kvm_irqchip_mp_state_out(KvmEc *ec)
{
    X86State *s = ec->c->state;
    struct kvm_mp_state mp;
    if (ec->vm->irqchip != ACCEL_IRQCHIP_OFF && ioctl(ec->fd, KVM_GET_MP_STATE, &mp) == 0 && mp.mp_state <= KVM_MP_STATE_SIPI_RECEIVED)
        s->ev.mp_state = (uint8_t)mp.mp_state;
}

void kvm_irqchip_state_out(KvmEc *ec)
{
    X86State *s = ec->c->state;
    if (ec->vm->irqchip == ACCEL_IRQCHIP_OFF)
        return;
    if (kvm_msr_get(ec, MSR_TSC_DEADLINE, &s->tsc_deadline))
        ec->deadline = s->tsc_deadline;
}

void kvm_irqchip_state_in(KvmEc *ec)
{
    X86State *s = ec->c->state;
    struct kvm_mp_state mp = { .mp_state = s->ev.mp_state };
    if (ec->vm->irqchip == ACCEL_IRQCHIP_OFF)
        return;
    ioctl(ec->fd, KVM_SET_MP_STATE, &mp);
    /* only if it changed here: written again, one that has passed meanwhile would come twice */
    if (s->tsc_deadline != ec->deadline)
        kvm_msr_set(ec, MSR_TSC_DEADLINE, s->tsc_deadline);
    ec->deadline = s->tsc_deadline;
}
