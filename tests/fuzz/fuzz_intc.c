/*
 * What stands around a processor: local APICs, GICv2 and GICv3 (with its translation service) with timers and PSCI, ACLINT and PLIC, PCI Express configuration space. The first byte
 * chooses the machine; then operations as the processors, the wires, time and a damaged snapshot make them.
 */
#include <string.h>

#include "cpu/aarch64/state.h"
#include "cpu/aarch64/sysreg.h"
#include "cpu/riscv/state.h"
#include "cpu/x86/state.h"
#include "hw/intc/aclint.h"
#include "hw/intc/armcpu.h"
#include "hw/intc/gic.h"
#include "hw/intc/ioapic.h"
#include "hw/intc/lapic.h"
#include "hw/intc/pic.h"
#include "hw/intc/plic.h"
#include "hw/pci/ecam.h"
#include "tests/device/noengine.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/check.h"
#include "util/bits.h"
#include "vmm/machine.h"

enum { CPUS = 3, MAX_OPS = 3000, MAX_DEVICES = 8, WINDOW = 0x10000000, RAM_BYTES = 0x40000, LAPIC_PAGE = 0xfee00000 };

typedef struct Board {
    Machine *m;
    Device *dev[MAX_DEVICES], *its;
    MemRegion *ram;
    unsigned n, n_windows;
    uint64_t window[MAX_DEVICES];
    uint32_t (*reg)(uint16_t bits);      /* a system register's number */
    const uint8_t *p, *end;
} Board;

static uint64_t next(Board *b, unsigned n)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < n && b->p < b->end; i++)
        v |= (uint64_t)*b->p++ << 8 * i;
    return v;
}

static void x86_reset(void *state, unsigned index, bool init) { x86_state_reset(state, init, index == 0); }
static void arm_reset(void *state, unsigned index, bool init) { a64_state_reset(state, A64_EL1, index); }
static void rv_reset(void *state, unsigned index, bool init) { riscv_state_reset(state, index); }
static const CpuType x86_type = { .name = "x86", NO_CPU(X86State, X86_GROUP_ALL), .reset = x86_reset };
static const CpuType arm_type = { .name = "aarch64", NO_CPU(A64State, A64_GROUP_ALL), .reset = arm_reset };
static const CpuType rv_type = { .name = "riscv64", NO_CPU(RiscvState, RISCV_GROUP_ALL), .reset = rv_reset };

/* ---- boards ---- */
static Device *begin(Board *b, const DeviceClass *k)
{
    Device *dev = device_new(b->m, k, NULL, NULL);
    CHECK(dev);
    b->dev[b->n++] = dev;
    return dev;
}

static Device *end(Board *b, Device *dev)
{
    CHECK(device_realize(dev, NULL, NULL));
    for (unsigned i = 0; i < device_n_mmio(dev) && b->n_windows < MAX_DEVICES; i++) {
        uint64_t at = WINDOW * (uint64_t)(b->n_windows + 1);
        mem_region_add(machine_mem_root(b->m), at, device_mmio(dev, i), 0);
        b->window[b->n_windows++] = at;
    }
    return dev;
}

static void machine(Board *b, const CpuType *type, Vcpu *cpus[CPUS])
{
    MachineConfig cfg = { .name = "none", .n_vcpus = CPUS, .max_vcpus = CPUS, .cpu = type, .accel = &no_engine };
    b->m = machine_new(&cfg, NULL);
    CHECK(b->m);
    mclock_set_manual(machine_clock(b->m));
    for (unsigned i = 0; i < CPUS; i++)
        cpus[i] = machine_vcpu(b->m, i);
}

static uint32_t x86_reg(uint16_t bits) { return bits & 0x8000 ? 0x1b : bits & 0x4000 ? 0x6e0 : 0x800 | (bits & 0xff); }

static void x86_board(Board *b)
{
    Vcpu *cpus[CPUS];
    machine(b, &x86_type, cpus);
    Device *pic = end(b, begin(b, &pic_class)), *ioapic = end(b, begin(b, &ioapic_class)), *bus = end(b, begin(b, &apicbus_class));
    for (unsigned i = 0; i < CPUS; i++) {
        Device *l = begin(b, &lapic_class);
        lapic_attach(l, bus, cpus[i]);
        end(b, l);
    }
    apicbus_connect(bus, pic, &ioapic, 1);
    b->reg = x86_reg;
}

static uint32_t arm_reg(uint16_t bits)
{
    return bits & 0x8000 ? A64_SYSREG(3u, 0u, bits & 0x4000 ? 4u : 12u, (uint32_t)bits >> 3 & 15, (uint32_t)bits & 7) : bits & 63u;
}

static unsigned self(void *opaque) { return 0; }

/* Registers as a kernel sets them up, so that commands and messages are understood; what they say is in memory, a window too. */
static void its_board(Board *b, Device *gic)
{
    static const struct { uint64_t at, val; } set[] = {
        { 0x100, 1ull << 63 | 0x10000 }, { 0x108, 1ull << 63 | 0x11000 }, { 0x80, 1ull << 63 | 1 }, { 0, 1 } };
    b->its = begin(b, &its_class);
    its_setup(b->its, gic);
    end(b, b->its);
    b->ram = mem_region_new_ram(machine_mem(b->m), "ram", RAM_BYTES, NULL);
    CHECK(b->ram && b->n_windows < MAX_DEVICES);
    mem_region_add(machine_mem_root(b->m), 0, b->ram, 0);
    b->window[b->n_windows++] = 0;
    mem_commit_now(machine_mem(b->m));
    uint64_t its = b->window[b->n_windows - 2], redist = b->window[1];
    for (unsigned i = 0; i < CPUS; i++) {
        as_store(machine_as_mem(b->m), redist + i * (uint64_t)GICR_STRIDE + 0x70, 8, 0x20000 | 15);
        as_store(machine_as_mem(b->m), redist + i * (uint64_t)GICR_STRIDE + 0x78, 8, 0x30000);
        as_store(machine_as_mem(b->m), redist + i * (uint64_t)GICR_STRIDE, 4, 1);
    }
    for (unsigned i = 0; i < ARRAY_LEN(set); i++)
        as_store(machine_as_mem(b->m), its + set[i].at, 8, set[i].val);
}

static void arm_board(Board *b, bool v3)
{
    Vcpu *cpus[CPUS];
    machine(b, &arm_type, cpus);
    Device *gic = begin(b, v3 ? &gicv3_class : &gicv2_class);
    gic_setup(gic, &(GicSetup){ .cpus = cpus, .n = CPUS, .self = self });
    CHECK(device_set_prop(gic, "cpus", "3", NULL) && (!v3 || device_set_prop(gic, "lpis", "on", NULL)));
    end(b, gic);
    Device *around = begin(b, &arm_cpus_class);
    arm_cpus_setup(around, cpus, CPUS, v3 ? gic : NULL);
    end(b, around);
    for (unsigned i = 0; i < 2 * CPUS; i++)
        irq_connect(gic->irq[i], device_input(around, i));
    for (unsigned i = 0; i < A64_TIMERS * CPUS; i++)
        irq_connect(around->irq[i], device_input(gic, GIC_SPIS + 32 * (i / A64_TIMERS) + 26 + i % A64_TIMERS));
    Device *v2m = end(b, begin(b, &gicv2m_class));
    for (unsigned i = 0; i < 64; i++)
        irq_connect(v2m->irq[i], device_input(gic, 48 + i));
    if (v3)
        its_board(b, gic);
    b->reg = arm_reg;
}

static uint32_t rv_reg(uint16_t bits) { return bits % 3 == 0 ? RISCV_SYSREG_STIMECMP : bits % 3 == 1 ? RISCV_SYSREG_TIME : bits & 0xfff; }

static void rv_board(Board *b)
{
    Vcpu *cpus[CPUS];
    machine(b, &rv_type, cpus);
    Device *aclint = begin(b, &aclint_class);
    aclint_attach(aclint, cpus, CPUS);
    end(b, aclint);
    Device *plic = begin(b, &plic_class);
    CHECK(device_set_prop(plic, "contexts", "6", NULL));
    end(b, plic);
    for (unsigned i = 0; i < 2 * CPUS; i++)
        irq_connect(plic->irq[i], device_input(aclint, i));
    Device *pci = begin(b, &ecam_class);
    ecam_setup(pci, &(EcamSetup){ .machine = b->m, .size = 1 << 20, .dma = machine_as_mem(b->m) });
    end(b, pci);
    b->reg = rv_reg;
}

/* ---- operations ---- */
static void wire(Board *b)
{
    Device *dev = b->dev[next(b, 1) % b->n];
    unsigned n = device_n_inputs(dev), at = (unsigned)next(b, 2);
    if (dev == b->its)
        its_msi(dev, at >> 4 & 31, at & 15);
    if (!n)
        return;
    Irq *irq = irq_new();
    irq_connect(irq, device_input(dev, at % n));
    irq_set(irq, true);
    irq_free(irq);
}

static void processor(Board *b)
{
    Vcpu *c = machine_vcpu(b->m, (unsigned)next(b, 1) % CPUS);
    const CpuIntcOps *o = c->intc.ops;
    void *self_ = c->intc.opaque;
    uint8_t what = (uint8_t)next(b, 1);
    uint32_t reg = b->reg((uint16_t)next(b, 2));
    uint64_t v;
    switch (what % 8) {
    case 0: case 1: o->msr_read(self_, reg, &v); break;
    case 2: case 3: case 4: o->msr_write(self_, reg, next(b, 8)); break;
    case 5: o->pending(self_); o->ack(self_); break;
    case 6:
        if (o->set_tpr) {
            o->set_tpr(self_, reg & 15);
            o->eoi(self_);
            o->init_sipi(self_, reg & 16);
        }
        break;
    default:
        v = next(b, 4);
        if (o->mmio)
            o->mmio(self_, LAPIC_PAGE + (reg & 0xff) * 16, 4, what & 8, &v);
        break;
    }
    vcpu_events_take(c, ~0u);
}

static void access_window(Board *b)
{
    uint64_t at = b->window[next(b, 1) % b->n_windows], off = next(b, 3), v;
    unsigned how = (unsigned)next(b, 1), size = 1u << how % 4;
    if (how & 0x80)
        as_load(machine_as_mem(b->m), at + off, size, &v);
    else
        as_store(machine_as_mem(b->m), at + off, size, next(b, size));
}

/* Taken or refused, never more. */
static void damaged(Board *b)
{
    Device *dev = b->dev[next(b, 1) % b->n];
    g_autoptr(GByteArray) a = g_byte_array_new();
    GError *err = NULL;
    if (!device_has_state(dev) || !device_save(dev, a, NULL) || !a->len)
        return;
    for (unsigned n = (unsigned)next(b, 1) % 8; n > 0; n--) {
        unsigned at = (unsigned)next(b, 2) % a->len;
        a->data[at] = (uint8_t)next(b, 1);
    }
    CHECK(device_load(dev, a->data, a->len, &err) || err);
    g_clear_error(&err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Board b = { .p = data, .end = data + size };
    switch (next(&b, 1) % 4) {
    case 0: x86_board(&b); break;
    case 1: arm_board(&b, false); break;
    case 2: arm_board(&b, true); break;
    default: rv_board(&b); break;
    }
    mem_commit_now(machine_mem(b.m));
    for (unsigned n = 0; n < MAX_OPS && b.p < b.end; n++) {
        unsigned op = (unsigned)next(&b, 1) % 16;
        if (op == 0)
            mclock_advance(machine_clock(b.m), (int64_t)next(&b, 3) * 10);
        else if (op == 1)
            damaged(&b);
        else if (op == 2)
            device_reset(b.dev[next(&b, 1) % b.n]);
        else if (op < 6)
            wire(&b);
        else if (op < 11)
            processor(&b);
        else
            access_window(&b);
        if (machine_work_pending(b.m))
            machine_flush_work(b.m);
    }
    mem_region_unref(b.ram);
    machine_free(b.m);
    return 0;
}
