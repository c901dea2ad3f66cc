/*
 * A message that devices send again and again goes through an irqfd under kvm, and each of its interrupts comes: one CPU in real mode counts them. No exit
 * of the vCPU belongs to it.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "accel/tcg/guest.h"
#include "cpu/x86/irqchip.h"
#include "cpu/x86/state.h"
#include "hw/board/pc.h"
#include "vmm/machine.h"

extern const AccelOps accel_kvm;
enum { RAM = 1 << 20, CODE = 0x1000, HANDLER = 0x1100, READY = 0x501, COUNT = 0x504, SKIP = 77, SENT = 200 };
#define MSI_ADDR 0xfee00000u
#define CHECK(x) do { if (!(x)) { printf("%s:%d: %s\n", __FILE__, __LINE__, #x); exit(1); } } while (0)

/* movl $0x1ff, %es:0xfee000f0; movb $1, READY; sti; 1: in $0xe0, %al; jmp 1b. With exits: a KVM that emulates ring 0 was seen to forget interrupts without. */
static const uint8_t code[] = { 0x26, 0x67, 0x66, 0xc7, 0x05, 0xf0, 0x00, 0xe0, 0xfe, 0xff, 0x01, 0x00, 0x00, 0xc6, 0x06, 0x01, 0x05, 0x01, 0xfb,
                                0xe4, 0xe0, 0xeb, 0xfc };
/* incl COUNT; movl $0, %es:0xfee000b0; iret */
static const uint8_t handler[] = { 0x66, 0xff, 0x06, 0x04, 0x05, 0x26, 0x67, 0x66, 0xc7, 0x05, 0xb0, 0x00, 0xe0, 0xfe, 0x00, 0x00, 0x00, 0x00, 0xcf };

static void start_state(void *opaque)
{
    Machine *m = opaque;
    X86State *s = machine_vcpu(m, 0)->state;
    s->seg[X86_CS].sel = 0;
    s->seg[X86_CS].base = 0;
    s->seg[X86_ES].limit = UINT32_MAX;
    s->seg[X86_ES].attr |= X86_SEG_G;
    s->idt.base = 0;
    s->idt.limit = 0x3ff;
    s->rip = CODE;
    s->gpr[X86_RSP] = 0x7000;
    s->msr.apic_base = 0xfee00900;
    vcpu_state_changed(machine_vcpu(m, 0), X86_GROUP_ALL);
}

/* One at a time, so that none hides behind another. */
static void send(Machine *m, volatile uint8_t *ram, uint32_t vector, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        uint32_t before, now;
        memcpy(&before, (uint8_t *)ram + COUNT, 4);
        irq_fabric_msi(machine_fabric(m), MSI_ADDR, vector, 0);
        for (unsigned turn = 0;; turn++) {
            CHECK(turn < 20000);
            memcpy(&now, (uint8_t *)ram + COUNT, 4);
            if (now != before)
                break;
            loop_iterate(machine_loop(m), false);
            g_usleep(500);
        }
    }
}

static void expect(Machine *m, const char *text)
{
    g_autofree char *stats = accel_kvm.exit_stats(machine_accel_vm(m));
    if (strstr(stats, text))
        return;
    printf("not \"%s\": %s", text, stats);
    exit(1);
}

static Machine *make(volatile uint8_t **ret_ram)
{
    GError *err = NULL;
    MachineConfig cfg = { .name = "irqfd", .ram_bytes = RAM, .n_vcpus = 1, .max_vcpus = 1, .cpu = &pc_cpu_type, .accel = &accel_kvm,
                          .accel_cfg = { .irqchip = ACCEL_IRQCHIP_SPLIT, .max_vcpus = 1 } };
    Machine *m = machine_new(&cfg, &err);
    CHECK(m);
    MemRegion *ram = mem_region_new_ram(machine_mem(m), "ram", RAM, &err);
    CHECK(ram);
    mem_region_add(machine_mem_root(m), 0, ram, 0);
    *ret_ram = mem_region_ram_host(ram);
    memcpy((uint8_t *)*ret_ram + CODE, code, sizeof(code));
    memcpy((uint8_t *)*ret_ram + HANDLER, handler, sizeof(handler));
    for (unsigned v = 0x41; v <= 0x42; v++)
        memcpy((uint8_t *)*ret_ram + 4 * v, (uint16_t[]){ HANDLER, 0 }, 4);
    mem_region_unref(ram);
    machine_add_reset_hook(m, start_state, m);
    irq_fabric_set_owner(machine_fabric(m), IRQ_OWNER_ENGINE);
    CHECK(machine_complete(m, &err) && machine_cont(m, &err));
    return m;
}

int main(void)
{
    AccelConfig cfg = { .irqchip = ACCEL_IRQCHIP_SPLIT };
    g_autoptr(GError) err = NULL;
    volatile uint8_t *ram;
    if (!accel_kvm.probe(&cfg, NULL, &err)) {
        printf("%s\n", err->message);
        return SKIP;
    }
    Machine *m = make(&ram);
    while (!ram[READY])
        loop_iterate(machine_loop(m), false);
    send(m, ram, 0x41, 3);
    expect(m, "irqfds 0, MSIs 3 (0 through irqfds)");
    send(m, ram, 0x41, SENT);
    expect(m, "irqfds 1, MSIs 203 (196 through irqfds)");
    send(m, ram, 0x42, SENT);
    expect(m, "irqfds 2, MSIs 403 (389 through irqfds)");
    CHECK(!machine_vcpu(m, 0)->stats.count[EXIT_MMIO] && !machine_vcpu(m, 0)->stats.count[EXIT_EOI]);
    /* whoever takes the controllers over finds none of them left, and it begins anew */
    X86Irqchips chips = { .n_lapics = 1, .lapic = g_new0(X86LapicState, 1) };
    machine_pause(m, PAUSE_USER);
    CHECK(accel_kvm.irqchip_out(machine_accel_vm(m), &chips, &err));
    expect(m, "irqfds 0, MSIs 403");
    g_free(chips.lapic);
    machine_free(m);
    printf("irqfd: ok\n");
    return 0;
}
