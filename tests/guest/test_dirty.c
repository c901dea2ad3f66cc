/*
 * Pages that a guest writes under kvm reach vmm's page flags: at a collect, at a switch to the translator, and back. One CPU in real mode writes a byte
 * where it is told to.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "accel/tcg/guest.h"
#include "hw/board/pc.h"
#include "cpu/x86/state.h"
#include "vmm/machine.h"

extern const AccelOps accel_kvm;
enum { RAM = 1 << 20, CODE = 0x1000, ORDER = 0x500, DONE = 0x501, WHERE = 0x502, SKIP = 77, N_PAGES = RAM / PAGE_SIZE };
#define CHECK(x) do { if (!(x)) { printf("%s:%d: %s\n", __FILE__, __LINE__, #x); exit(1); } } while (0)

/* 1: mov ORDER, %al; cmp DONE, %al; je 1b; mov WHERE, %bx; mov %al, (%bx); mov %al, DONE; jmp 1b */
static const uint8_t code[] = { 0xa0, 0x00, 0x05, 0x3a, 0x06, 0x01, 0x05, 0x74, 0xf7, 0x8b, 0x1e, 0x02, 0x05, 0x88, 0x07, 0xa2, 0x01, 0x05, 0xeb, 0xec };

typedef struct Rig {
    Machine *m;
    MemRegion *ram;
    RamBlock *b;
    volatile uint8_t *host;
    uint8_t order;
    bool seen[N_PAGES];
} Rig;

static void start_state(void *opaque)
{
    Rig *r = opaque;
    X86State *s = machine_vcpu(r->m, 0)->state;
    s->seg[X86_CS].sel = 0;
    s->seg[X86_CS].base = 0;
    s->rip = CODE;
    vcpu_state_changed(machine_vcpu(r->m, 0), X86_GROUP_ALL);
}

/* The guest writes one byte to @page (below 64 KiB). */
static void poke(Rig *r, unsigned page)
{
    uint16_t where = (uint16_t)(page * PAGE_SIZE + 8);
    memcpy((uint8_t *)r->host + WHERE, &where, 2);
    __atomic_store_n(&r->host[ORDER], ++r->order, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&r->host[DONE], __ATOMIC_SEQ_CST) != r->order)
        loop_iterate(machine_loop(r->m), false);
    CHECK(r->host[where] == r->order);
}

static void note(void *opaque, RamBlock *b, uint64_t offset, uint64_t len)
{
    Rig *r = opaque;
    for (uint64_t at = offset; at < offset + len; at += PAGE_SIZE)
        r->seen[at / PAGE_SIZE] = true;
}

/* Exactly these pages were written since the last time (0 ends; page 0 has the mailbox and is written with each). */
static void expect(Rig *r, const char *what, unsigned a, unsigned b)
{
    memset(r->seen, 0, sizeof(r->seen));
    mem_pages_collect(r->b, PAGE_MIGRATION, 0, RAM, note, r);
    for (unsigned p = 1; p < N_PAGES; p++)
        if (r->seen[p] != (p == a || p == b)) {
            printf("%s: page %u is %sreported\n", what, p, r->seen[p] ? "" : "not ");
            exit(1);
        }
}

static void move_to(Rig *r, const AccelOps *to)
{
    machine_request_switch(r->m, to);
    while (machine_accel(r->m) != to)
        loop_iterate(machine_loop(r->m), false);
}

static void make(Rig *r)
{
    GError *err = NULL;
    MachineConfig cfg = { .name = "dirty", .ram_bytes = RAM, .n_vcpus = 1, .max_vcpus = 1, .cpu = &pc_cpu_type, .accel = &accel_kvm, .assist = &accel_tcg,
                          .accel_cfg = { .irqchip = ACCEL_IRQCHIP_OFF, .ring0 = ACCEL_RING0_ENGINE, .max_vcpus = 1 } };
    r->m = machine_new(&cfg, &err);
    CHECK(r->m);
    r->ram = mem_region_new_ram(machine_mem(r->m), "ram", RAM, &err);
    CHECK(r->ram);
    mem_region_add(machine_mem_root(r->m), 0, r->ram, 0);
    r->b = mem_region_ram(r->ram);
    r->host = mem_region_ram_host(r->ram);
    memcpy((uint8_t *)r->host + CODE, code, sizeof(code));
    machine_add_reset_hook(r->m, start_state, r);
    CHECK(machine_complete(r->m, &err) && machine_cont(r->m, &err));
}

int main(void)
{
    Rig r = { 0 };
    AccelConfig cfg = { .irqchip = ACCEL_IRQCHIP_OFF };
    g_autoptr(GError) err = NULL;
    if (!accel_kvm.probe(&cfg, NULL, &err)) {
        printf("%s\n", err->message);
        return SKIP;
    }
    make(&r);
    poke(&r, 3);
    mem_pages_arm(r.b, PAGE_MIGRATION, 0, RAM);
    expect(&r, "nothing yet", 0, 0);
    poke(&r, 5);
    poke(&r, 6);
    expect(&r, "under kvm", 5, 6);
    poke(&r, 7);
    expect(&r, "under kvm, armed again", 7, 0);
    expect(&r, "nothing since", 0, 0);
    /* at a switch the flags themselves are right, before anybody collects */
    poke(&r, 9);
    move_to(&r, &accel_tcg);
    CHECK(!(ram_block_flags(r.b)[9] & PAGE_MIGRATION) && ram_block_flags(r.b)[10] & PAGE_MIGRATION);
    poke(&r, 10);
    expect(&r, "kvm, then tcg", 9, 10);
    move_to(&r, &accel_kvm);
    poke(&r, 11);
    expect(&r, "kvm again", 11, 0);
    /* nobody asks any more: no cost, and from the next arming on again */
    mem_pages_disarm(r.b, PAGE_MIGRATION, 0, RAM);
    mem_pages_sync(r.b, 0, RAM);
    poke(&r, 12);
    mem_pages_arm(r.b, PAGE_MIGRATION, 0, RAM);
    poke(&r, 13);
    expect(&r, "armed anew", 13, 0);
    machine_pause(r.m, PAUSE_USER);
    mem_region_unref(r.ram);
    machine_free(r.m);
    printf("dirty: ok\n");
    return 0;
}
