/* Images in 64-bit code (start64.S): descriptor tables, one experiment a line. Included once, by the image's only C file. */
#ifndef TESTS_ISA_X86SYS_LONG_H
#define TESTS_ISA_X86SYS_LONG_H

#include "tests/isa/x86sys/sys.h"

extern char stubs[];
int try(void (*f)(void));
void go_user(void);
void go_compat(void);

u64 info[16], info_regs[2], jb[8], user_flags, scratch[512] __attribute__((aligned(4096)));
void (*tried)(void), (*tried2)(void);
static u64 gdt[64] __attribute__((aligned(16))), idt[512] __attribute__((aligned(16)));
static u8 tss[0x2100] __attribute__((aligned(4096)));
static u8 stack0[4096] __attribute__((aligned(16))), ist1[4096] __attribute__((aligned(16)));
u64 arg0, arg1, res0;

/* ---- tables ---- */
enum { D_CODE = 0x9b, D_DATA = 0x93 };
/* Our own test machine: things that QEMU gets wrong badly enough to stop. */
static int extra;
static void gate(unsigned n, u64 off, u16 sel, u32 ist, u32 access)
{
    idt[2 * n] = (off & 0xffff) | (u64)sel << 16 | (u64)ist << 32 | (u64)access << 40 | (off >> 16 & 0xffff) << 48;
    idt[2 * n + 1] = off >> 32;
}
static void w64(u8 *p, u64 v) { *(volatile u64 *)p = v; }
static u64 *pte(u64 va) { return (u64 *)0x13000 + (va >> 12); }
static void invlpg(u64 va) { __asm__ volatile("invlpg (%0)" : : "r"(va) : "memory"); }
static void set_pte(u64 va, u64 v) { *(volatile u64 *)pte(va) = v; invlpg(va); }
static u64 cr(int n)
{
    u64 v = 0;
    if (n == 0) __asm__ volatile("mov %%cr0, %0" : "=r"(v));
    if (n == 3) __asm__ volatile("mov %%cr3, %0" : "=r"(v));
    if (n == 4) __asm__ volatile("mov %%cr4, %0" : "=r"(v));
    return v;
}
static void set_cr(int n, u64 v)
{
    if (n == 0) __asm__ volatile("mov %0, %%cr0" : : "r"(v) : "memory");
    if (n == 3) __asm__ volatile("mov %0, %%cr3" : : "r"(v) : "memory");
    if (n == 4) __asm__ volatile("mov %0, %%cr4" : : "r"(v) : "memory");
}
static inline u64 rdmsr(u32 i) { u32 a, d; __asm__ volatile("rdmsr" : "=a"(a), "=d"(d) : "c"(i)); return a | (u64)d << 32; }
static inline void wrmsr(u32 i, u64 v) { __asm__ volatile("wrmsr" : : "c"(i), "a"((u32)v), "d"((u32)(v >> 32)) : "memory"); }

static void setup(void)
{
    gdt[3] = desc(0, 0xfffff, D_CODE, 0xa);                /* 18: kernel code */
    gdt[2] = desc(0, 0xfffff, D_DATA, 0xc);                /* 10: kernel data */
    gdt[4] = desc(0, 0xfffff, 0xfb, 0xc);                  /* 20: user 32-bit code for SYSRET */
    gdt[5] = desc(0, 0xfffff, 0xfb, 0xc);                  /* 28: user 32-bit code */
    gdt[6] = desc(0, 0xfffff, 0xf3, 0xc);                  /* 30: user data */
    gdt[7] = desc(0, 0xfffff, 0xfb, 0xa);                  /* 38: user code */
    u64 t = (u64)tss;
    gdt[8] = desc((u32)t, sizeof(tss) - 1, 0x89, 0);       /* 40: TSS */
    gdt[9] = t >> 32;
    for (int i = 0; i < 256; i++)
        gate(i, (u64)stubs + 16 * i, 0x18, 0, 0x8e);
    gate(0x80, (u64)stubs + 16 * 0x80, 0x18, 0, 0xee);
    gate(3, (u64)stubs + 16 * 3, 0x18, 0, 0xee);
    gate(8, (u64)stubs + 16 * 8, 0x18, 1, 0x8e);
    for (u32 i = 0; i < sizeof(tss); i++)
        tss[i] = 0;
    w64(tss + 4, (u64)stack0 + sizeof(stack0));
    w64(tss + 36, (u64)ist1 + sizeof(ist1));
    *(u16 *)(tss + 102) = 104;
    for (u32 i = 104; i < sizeof(tss); i++)
        tss[i] = 0xff;
    struct dtr g = { sizeof(gdt) - 1, (u64)gdt }, d = { sizeof(idt) - 1, (u64)idt };
    __asm__ volatile("lgdt %0; lidt %1" : : "m"(g), "m"(d));
    __asm__ volatile("pushq $0x18; leaq 1f(%%rip), %%rax; pushq %%rax; lretq; 1:" : : : "rax", "memory");
    __asm__ volatile("ltr %w0" : : "r"(0x40));
    user_flags = 0x202 & ~0x200;
}

/* ---- one experiment ---- */
static void report(const char *name, int r)
{
    text(name);
    text(":");
    if (!r) {
        text(" fine");
        field("res", res0);
        text("\n");
        return;
    }
    field("vec", info[0]);
    if (info[1] != ~0ul)
        field("err", info[1]);
    u64 base = (u64)(tried == go_user || tried == go_compat ? tried2 : tried);
    if (info[2] - base < 0x100)
        field("rip+", info[2] - base);
    else if (info[2] >= 0xf0000 && info[2] < 0x100000)
        text(" rip=elsewhere");
    else
        field("rip", info[2]);
    field("cs", info[3]);
    field("fl", info[4] & 0x3e7700);
    field("ss", info[6]);
    field("newss", info[9]);
    field("nfl", info[10] & 0x3e7700);
    if (info[0] == 14)
        field("cr2", info[7]);
    if (info[0] == 1) {
        u64 d6;
        __asm__ volatile("mov %%dr6, %0" : "=r"(d6));
        field("dr6", d6);
        __asm__ volatile("mov %0, %%dr6" : : "r"(0xffff0ff0ul));
    }
    field("res", res0);
    text("\n");
}
static void run(const char *name, void (*f)(void)) { res0 = 0; report(name, try(f)); }
static inline void run_user(const char *name, void (*f)(void)) { tried2 = f; run(name, go_user); }
static inline void run_compat(const char *name, void (*f)(void)) { tried2 = f; run(name, go_compat); }

#define CODE32(name, body) void name(void); __asm__(".pushsection .text\n.code32\n.globl " #name "\n" #name ":\n" body "\n.code64\n.popsection")
#endif
