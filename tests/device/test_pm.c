/* PIIX4 power management: relocatable registers, timer, power button, SMI port, soft off. */
#include <linux/pci_regs.h>

#include "hw/pci/piix4_pm.h"
#include "tests/device/rig.h"

enum { BASE = 0xb000, SMB = 0xb100 };

static void level(void *opaque, unsigned n, bool on)
{
    unsigned *counts = opaque;
    counts[n] += on;
    counts[n + 2] = on;
}

static void test_state(Rig *r, Device *pm)
{
    g_autoptr(GByteArray) out = g_byte_array_new();
    rig_out(r, BASE + 0x0e, 2, 0x55aa);
    CHECK(device_save(pm, out, NULL));
    device_reset(pm);
    machine_flush_work(r->m);
    CHECK_EQ(rig_in(r, BASE + 0x0e, 2), 0xffff);
    CHECK(device_load(pm, out->data, out->len, NULL));
    machine_flush_work(r->m);
    CHECK_EQ(rig_in(r, BASE + 0x0e, 2), 0x55aa);
}

int main(void)
{
    Rig r;
    unsigned irq[4] = { 0 };
    rig_init(&r);
    const char *props[] = { "id=pm", "addr=1.3", NULL };
    Device *pm = rig_device(&r, "PIIX4_PM", props);
    uint8_t fn = PCI_DEVFN(1, 3);
    for (unsigned i = 0; i < 2; i++)
        irq_connect(pm->irq[i], irq_wire_new(machine_fabric(r.m), level, irq, i));
    mem_region_add(machine_io_root(r.m), 0xb2, device_pio(pm, 0), 0);
    rig_run(&r);
    CHECK_EQ(rig_cfg_read(&r, fn, 0, 4), 0x71138086);
    CHECK_EQ(rig_in(&r, BASE + 8, 4), 0xffffffff);
    piix4_pm_setup(pm, BASE, SMB);
    machine_flush_work(r.m);
    CHECK_EQ(rig_cfg_read(&r, fn, 0x40, 4), BASE | 1);

    int64_t passed = 0;
    uint32_t ticks = 0;
    do {                       /* once around takes 4.7 s */
        int64_t before = g_get_monotonic_time();
        uint32_t a = rig_in(&r, BASE + PIIX4_PM_TMR, 4);
        g_usleep(20000);
        ticks = (rig_in(&r, BASE + PIIX4_PM_TMR, 4) - a) & 0xffffff;
        passed = g_get_monotonic_time() - before;
    } while (passed > 4 * G_USEC_PER_SEC);
    CHECK(ticks >= 3579545 / 50 && ticks <= (uint64_t)(passed + passed / 100 + 100) * 3579545 / G_USEC_PER_SEC);

    piix4_pm_power_button(pm);
    CHECK_EQ(rig_in(&r, BASE, 2) & 0x100, 0x100);
    CHECK_EQ(irq[0], 0);
    rig_out(&r, BASE + 2, 2, 0x100);            /* PWRBTN_EN */
    CHECK_EQ(irq[0], 0);
    rig_out(&r, 0xb2, 1, PIIX4_ACPI_ENABLE);
    CHECK_EQ(rig_in(&r, BASE + 4, 2), 1);
    CHECK_EQ(irq[2], 1);
    rig_out(&r, BASE, 2, 0x100);
    CHECK_EQ(irq[2], 0);

    CHECK_EQ(irq[1], 0);
    rig_cfg_write(&r, fn, 0x58, 4, 1 << 25);
    rig_out(&r, 0xb3, 1, 0x12);
    rig_out(&r, 0xb2, 1, 0x34);
    CHECK_EQ(irq[1], 1);
    CHECK_EQ(rig_in(&r, 0xb2, 2), 0x1234);

    rig_out(&r, SMB + 2, 1, 0x48);              /* nobody on the SMBus */
    CHECK_EQ(rig_in(&r, SMB, 1), 4);
    rig_out(&r, SMB, 1, 4);
    CHECK_EQ(rig_in(&r, SMB, 1), 0);

    test_state(&r, pm);
    rig_out(&r, BASE + 4, 2, PIIX4_SLP_TYP_S5 << 10 | 1 << 13);
    rig_settle(&r);
    CHECK_EQ(machine_state(r.m), MACHINE_SHUTDOWN);
    rig_clear(&r);
    return 0;
}
