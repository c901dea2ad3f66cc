/*
 * What the host's KVM itself gets wrong, without Tandem: raw KVM_RUN, a few instructions each. 0: nothing; 77: a fault is named (or no KVM).
 * Images that need what fails are registered for kvm only where this passes. Found on Linux 6.18 with kvm_pvm (no hardware support):
 *  - MOV CR0 setting PG outside long mode (32-bit or PAE paging) is #GP(0); KVM_SET_SREGS takes the same state and KVM_RUN then ends in
 *    KVM_EXIT_SHUTDOWN. Stops the image `prot`. With EFER.LME and CR4.PAE it works, so a 64-bit kernel boots.
 *  - SYSCALL in 64-bit ring 3 goes to LSTAR with CS still the ring-3 selector and DPL 3: a SYSRET there is #GP. Stops the image `long`.
 *  - KVM's own local APIC (kernel-irqchip=on and split) does not keep a vector in service while its handler runs: ISR reads 0, an interrupt of the same or a
 *    lower class comes through, a level interrupt comes once more than its line asks. Two vectors at once may stay in IRR for good. Stops the images `irqlevel` and `state`; off is right, and the default there.
 *  - In 32-bit code of ring 3 an instruction that the emulator does not know is #UD instead of KVM_EXIT_INTERNAL_ERROR, in spite of
 *    KVM_CAP_EXIT_ON_EMULATION_FAILURE; VEX prefixes are taken for LES and LDS of a register. Stops the image `table`.
 * No exit to user space precedes any of them: nothing is handed over, nothing can be fixed by the assistant engine.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MEM = 1 << 20, CODE = 0x1000, GP = 0x2000, IDT = 0x3000, GDT = 0x4000, LSTAR = 0x5000, PT = 0x10000, SKIP = 77 };

typedef struct Host { int kvm, vm, vcpu; uint8_t *mem; struct kvm_run *run; struct kvm_sregs s; } Host;

static void put(Host *h, unsigned at, const void *bytes, size_t n) { memcpy(h->mem + at, bytes, n); }
static void put64(Host *h, unsigned at, uint64_t v) { put(h, at, &v, 8); }

static int open_host(Host *h, bool chips)
{
    union { struct kvm_cpuid2 head; uint8_t room[sizeof(struct kvm_cpuid2) + 128 * sizeof(struct kvm_cpuid_entry2)]; } id = { .head.nent = 128 };
    h->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (h->kvm < 0 || (h->vm = ioctl(h->kvm, KVM_CREATE_VM, 0)) < 0 ||
        (chips && ioctl(h->vm, KVM_CREATE_IRQCHIP) < 0) || (h->vcpu = ioctl(h->vm, KVM_CREATE_VCPU, 0)) < 0)
        return -1;
    h->mem = mmap(NULL, MEM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    h->run = mmap(NULL, (size_t)ioctl(h->kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED, h->vcpu, 0);
    if (h->mem == MAP_FAILED || h->run == MAP_FAILED)
        return -1;
    struct kvm_userspace_memory_region r = { .memory_size = MEM, .userspace_addr = (uintptr_t)h->mem };
    if (ioctl(h->vm, KVM_SET_USER_MEMORY_REGION, &r) < 0 || ioctl(h->kvm, KVM_GET_SUPPORTED_CPUID, &id.head) < 0)
        return -1;
    return ioctl(h->vcpu, KVM_SET_CPUID2, &id.head) < 0 || ioctl(h->vcpu, KVM_GET_SREGS, &h->s) < 0 ? -1 : 0;
}

static void close_host(Host *h)
{
    munmap(h->mem, MEM);
    close(h->vcpu);
    close(h->vm);
    close(h->kvm);
}

/* One to one: 4 MiB page, or PML4, PDPT and a 2 MiB page at PT + 0x1000.. */
static void tables(Host *h, int levels)
{
    if (levels == 2)
        put64(h, PT, 0x87);
    else if (levels == 3) {
        put64(h, PT, PT + 0x1001);
        put64(h, PT + 0x1000, 0x87);
    } else {
        put64(h, PT, PT + 0x1007);
        put64(h, PT + 0x1000, PT + 0x2007);
        put64(h, PT + 0x2000, 0x87);
    }
    h->s.cr3 = PT;
    h->s.cr4 = levels == 2 ? 0x10 : 0x20;
}

static void flat(Host *h, uint16_t cs, uint16_t ds, unsigned dpl, bool long_mode)
{
    struct kvm_segment c = { .selector = cs, .limit = ~0u, .type = 11, .present = 1, .s = 1, .dpl = (uint8_t)dpl, .db = !long_mode, .l = long_mode, .g = 1 };
    struct kvm_segment d = { .selector = ds, .limit = ~0u, .type = 3, .present = 1, .s = 1, .dpl = (uint8_t)dpl, .db = 1, .g = 1 };
    h->s.cs = c;
    h->s.ds = h->s.es = h->s.ss = h->s.fs = h->s.gs = d;
    h->s.gdt.base = GDT;
    h->s.gdt.limit = 0x37;
    put64(h, GDT + 8, 0x00cf9b000000ffffull);
    put64(h, GDT + 0x10, 0x00cf93000000ffffull);
    put64(h, GDT + 0x18, 0x00af9b000000ffffull);
    put64(h, GDT + 0x20, 0x00cf93000000ffffull);
    put64(h, GDT + 0x28, 0x00cff3000000ffffull);
    put64(h, GDT + 0x30, 0x00affb000000ffffull);
}

/* The port written to, -1 for any other end. */
static int run_to_out(Host *h, uint64_t rip, uint64_t rax)
{
    struct kvm_regs g = { .rip = rip, .rax = rax, .rflags = 0x3002, .rsp = 0x8000 };
    if (ioctl(h->vcpu, KVM_SET_SREGS, &h->s) < 0 || ioctl(h->vcpu, KVM_SET_REGS, &g) < 0 || ioctl(h->vcpu, KVM_RUN, 0) < 0)
        return -1;
    return h->run->exit_reason == KVM_EXIT_IO ? h->run->io.port : -1;
}

static int paging(const char *name, int levels)
{
    Host h = { 0 };
    if (open_host(&h, false))
        return SKIP;
    tables(&h, levels);
    flat(&h, 8, 0x10, 0, false);
    put(&h, CODE, "\x0f\x22\xc0\xe6\x10", 5);      /* mov %eax, %cr0; out %al, $0x10 */
    put(&h, GP, "\xe6\x11", 2);                    /* out %al, $0x11 */
    put64(&h, IDT + 8 * 13, 0x00008e0000080000ull | GP);
    h.s.idt.base = IDT;
    h.s.idt.limit = 0x7ff;
    h.s.cr0 = 0x11;
    int port = run_to_out(&h, CODE, 0x80000011);
    close_host(&h);
    printf("MOV CR0 with PG, %s: %s\n", name, port == 0x10 ? "works" : port == 0x11 ? "#GP, the host's KVM cannot run this mode" : "fails");
    return port == 0x10 ? 0 : SKIP;
}

static int system_call(void)
{
    union { struct kvm_msrs head; uint8_t room[sizeof(struct kvm_msrs) + 2 * sizeof(struct kvm_msr_entry)]; } m = { .head.nmsrs = 2 };
    m.head.entries[0] = (struct kvm_msr_entry){ .index = 0xc0000081, .data = 0x0020001800000000ull };
    m.head.entries[1] = (struct kvm_msr_entry){ .index = 0xc0000082, .data = LSTAR };
    Host h = { 0 };
    if (open_host(&h, false))
        return SKIP;
    tables(&h, 4);
    flat(&h, 0x33, 0x2b, 3, true);
    put(&h, CODE, "\x0f\x05", 2);                  /* syscall */
    put(&h, LSTAR, "\xe6\x10", 2);                 /* out %al, $0x10 */
    h.s.cr0 = 0x80000011;
    h.s.efer = 0x501;
    ioctl(h.vcpu, KVM_SET_MSRS, &m.head);
    int port = run_to_out(&h, CODE, 0);
    ioctl(h.vcpu, KVM_GET_SREGS, &h.s);
    bool good = port == 0x10 && h.s.cs.selector == 0x18 && h.s.ss.selector == 0x20;
    printf("SYSCALL in 64-bit ring 3: %s (port %d, CS %#x DPL %d, SS %#x)\n", good ? "works" : "goes wrong", port, h.s.cs.selector, h.s.cs.dpl, h.s.ss.selector);
    close_host(&h);
    return good ? 0 : SKIP;
}

/* With KVM's own local APIC: is a vector in service while its handler runs? */
static int in_service(void)
{
    static const uint8_t code[] = { 0xc7, 0x05, 0xf0, 0x00, 0xe0, 0xfe, 0xff, 0x01, 0, 0,          /* SVR: enable */
                                    0xc7, 0x05, 0x00, 0x03, 0xe0, 0xfe, 0x41, 0x40, 4, 0,          /* ICR: self, vector 41h */
                                    0xb9, 0, 0, 1, 0, 0xfb, 0xe2, 0xfe, 0xe6, 0x11 };              /* mov $0x10000, %ecx; sti; loop .; out %al, $0x11 */
    static const uint8_t handler[] = { 0xa1, 0x20, 0x01, 0xe0, 0xfe, 0xe6, 0x10 };                 /* mov ISR of 40h-5fh, %eax; out %al, $0x10 */
    Host h = { 0 };
    struct kvm_regs g = { 0 };
    if (open_host(&h, true))
        return SKIP;
    flat(&h, 8, 0x10, 0, false);
    put(&h, CODE, code, sizeof(code));
    put(&h, GP, handler, sizeof(handler));
    put64(&h, IDT + 8 * 0x41, 0x00008e0000080000ull | GP);
    h.s.idt.base = IDT;
    h.s.idt.limit = 0x7ff;
    h.s.cr0 = 0x11;
    int port = run_to_out(&h, CODE, 0);
    bool good = port == 0x10 && ioctl(h.vcpu, KVM_GET_REGS, &g) == 0 && g.rax == 2;
    printf("an interrupt in service in KVM's local APIC: %s (port %d, ISR %#llx)\n", good ? "seen" : "not seen", port, (unsigned long long)g.rax);
    close_host(&h);
    return good ? 0 : SKIP;
}

/* From 64-bit ring 0 to 32-bit code in ring 3; an instruction there that the emulator may not know must work or be reported, then a port write. */
static int user32(void)
{
    static const uint8_t code[] = { 0x6a, 0x2b, 0x68, 0, 0x70, 0, 0, 0x68, 2, 0x30, 0, 0, 0x6a, 0x23, 0x68, 0, 0x50, 0, 0,    /* push SS, RSP, RFLAGS, CS, RIP */
                                    0x48, 0xcf };                                                                             /* iretq */
    Host h = { 0 };
    if (open_host(&h, false))
        return SKIP;
    tables(&h, 4);
    flat(&h, 0x18, 0x10, 0, true);
    put64(&h, GDT + 0x20, 0x00cffb000000ffffull);
    put(&h, CODE, code, sizeof(code));
    put(&h, LSTAR, "\x66\x0f\x7e\x0e\xe6\x10", 6);     /* movd %xmm1, (%esi); out %al, $0x10 */
    h.s.cr0 = 0x80000013;
    h.s.cr4 |= 0x600;
    h.s.efer = 0x500;
    ioctl(h.vm, KVM_ENABLE_CAP, &(struct kvm_enable_cap){ .cap = KVM_CAP_EXIT_ON_EMULATION_FAILURE, .args = { 1 } });
    int port = run_to_out(&h, CODE, 0);
    bool good = port == 0x10 || h.run->exit_reason == KVM_EXIT_INTERNAL_ERROR;
    printf("MOVD in 32-bit code of ring 3: %s (exit %u)\n", good ? "works or is reported" : "#UD without a report", h.run->exit_reason);
    close_host(&h);
    return good ? 0 : SKIP;
}

static int any_paging(void) { return paging("32-bit", 2) | paging("PAE", 3); }

/* usage: kvm_host [paging|syscall|apic|user32]...; no name: all */
int main(int argc, char **argv)
{
    static const struct { const char *name; int (*fn)(void); } probes[] = { { "paging", any_paging }, { "syscall", system_call }, { "apic", in_service },
                                                                           { "user32", user32 } };
    Host h = { 0 };
    int bad = 0;
    if (open_host(&h, false)) {
        printf("no usable /dev/kvm: %s\n", strerror(errno));
        return SKIP;
    }
    close_host(&h);
    for (unsigned n = 0; n < sizeof(probes) / sizeof(probes[0]); n++) {
        bool wanted = argc < 2;
        for (int i = 1; i < argc; i++)
            wanted |= !strcmp(argv[i], probes[n].name);
        if (wanted)
            bad |= probes[n].fn();
    }
    return bad;
}
