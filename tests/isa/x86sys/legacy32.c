/*
 * System-level behaviour in 32-bit protected mode, said on port 0xe9: segment limits, gates, tasks, virtual-8086 mode, I/O permission, 32-bit and PAE
 * paging. See long64.c for how legacy32.expected came about. QEMU 7.2 (legacy32.differs) does not check limits and rights of accesses, reports the
 * old task's EIP for faults of the new one, has no VME but for pushf and popf, keeps VIP over an IRET at CPL 0, forgets P in the error code of reserved
 * bits, and stops where interrupts are enabled (is_ours); the rest is equal.
 */
#include "tests/isa/x86sys/sys.h"

extern char stubs[], back[];
int try(void (*f)(void));
void go_user(void);
void go_vm86(void);
int main(void);

u32 info[16], info_segs, info_eax, info_cr2, info_nfl, info_tr, jb[8], user_flags;
void (*tried)(void), (*tried2)(void);
u32 arg0, arg1, res0, res1;
u8 scratch[64] __attribute__((aligned(16)));
static u64 gdt[64] __attribute__((aligned(16))), idt[256] __attribute__((aligned(16)));
static u8 tss[0x2080] __attribute__((aligned(16))), tss2[104] __attribute__((aligned(16))), tss3[44] __attribute__((aligned(16)));
static u8 stack0[4096] __attribute__((aligned(16))), stack2[4096] __attribute__((aligned(16)));
static int vm86_run;

static u64 gate(u32 off, u16 sel, u32 access, u32 params) { return (off & 0xffff) | (u64)sel << 16 | (u64)params << 32 | (u64)access << 40 | (u64)(off >> 16) << 48; }
static void w32(u8 *p, u32 v) { *(volatile u32 *)p = v; }
static u32 r32(u8 *p) { return *(volatile u32 *)p; }
static void w16(u8 *p, u16 v) { *(volatile u16 *)p = v; }

static void setup(void)
{
    gdt[1] = desc(0, 0xfffff, 0x9b, 0xc);                  /* 08 code, 10 data */
    gdt[2] = desc(0, 0xfffff, 0x93, 0xc);
    gdt[5] = desc(0, 0xfffff, 0xfb, 0xc);                  /* 28 user code, 30 user data */
    gdt[6] = desc(0, 0xfffff, 0xf3, 0xc);
    gdt[8] = desc((u32)tss, sizeof(tss) - 1, 0x89, 0);     /* 40 TSS, 48 second, 50 16-bit one */
    gdt[9] = desc((u32)tss2, sizeof(tss2) - 1, 0x89, 0);
    gdt[10] = desc((u32)tss3, sizeof(tss3) - 1, 0x81, 0);
    for (u32 i = 0; i < 256; i++)
        idt[i] = gate((u32)stubs + 16 * i, 8, 0x8e, 0);
    idt[0x80] = gate((u32)stubs + 16 * 0x80, 8, 0xee, 0);
    idt[3] = gate((u32)stubs + 16 * 3, 8, 0xee, 0);
    w32(tss + 4, (u32)stack0 + sizeof(stack0));
    w32(tss + 8, 0x10);
    w16(tss + 102, 104);
    for (u32 i = 104; i < sizeof(tss); i++)
        tss[i] = 0xff;
    struct dtr g = { sizeof(gdt) - 1, (u32)gdt }, d = { sizeof(idt) - 1, (u32)idt };
    __asm__ volatile("lgdt %0; lidt %1; ltr %w2" : : "m"(g), "m"(d), "r"(0x40));
    user_flags = 2;
}

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
    int has_err = info[1] != ~0u, vm = info[4] >> 17 & 1;
    field("vec", info[0]);
    if (has_err)
        field("err", info[1]);
    u32 base = (u32)(tried == go_user ? tried2 : tried);
    if (vm)
        field("ip", info[2]);
    else if (info[2] - base < 0x100)
        field("eip+", info[2] - base);
    else if (info[2] >= 0xf0000 && info[2] < 0x100000)
        text(" eip=elsewhere");
    else
        field("eip", info[2]);
    field("cs", info[3]);
    field("fl", info[4] & 0x3e7700);
    field("nfl", info_nfl & 0x3e7700);
    field("segs", info_segs);
    if (info[3] & 3 || vm) {
        field("sp", info[5]);
        field("ss", info[6]);
    }
    if (vm) {
        field("es", info[7]);
        field("ds", info[8]);
        field("fs", info[9]);
        field("gs", info[10]);
    }
    if (info[0] == 14)
        field("cr2", info_cr2);
    field("tr", info_tr);
    field("res", res0);
    text("\n");
}
static void run(const char *name, void (*f)(void)) { res0 = 0; report(name, try(f)); }
static void run_user(const char *name, void (*f)(void)) { tried2 = f; run(name, go_user); }

CODE(f_ud2, "nop; ud2");
CODE(f_int20, "int $0x20");
CODE(f_int80, "int $0x80");
CODE(f_into, "movb $0x7f, %al; addb $1, %al; into");
CODE(f_bound, "movl $5, %eax; bound %eax, scratch");
CODE(f_load, "movl arg0, %eax; movw %ax, %fs; movl arg1, %eax; movl %fs:(%eax), %eax; movl %eax, res0; xorl %eax, %eax; movw %ax, %fs");
CODE(f_store, "movl arg0, %eax; movw %ax, %fs; movl arg1, %eax; movb $1, %fs:(%eax); xorl %eax, %eax; movw %ax, %fs");
CODE(f_exec_read, "movl arg0, %eax; movw %ax, %fs; movl %fs:0, %eax");
CODE(f_push, "movl arg0, %eax; movw %ax, %ss; movl arg1, %esp; pushl %eax; movl %esp, res0; int $0x80");
CODE(f_ss, "movl arg0, %eax; movw %ax, %ss; movw $0x10, %ax; movw %ax, %ss");
CODE(f_lcall, "movl arg0, %eax; movw %ax, scratch + 4; movl $1f, scratch; pushl $0x1111; pushl $0x2222; lcall *scratch; addl $8, %esp; ret; 1: movl (%esp), %eax; movw 4(%esp), %cx; movl %ecx, res0; lret");
CODE(f_user_lcall, "movl arg0, %eax; movw %ax, scratch + 4; movl $0, scratch; pushl $0x1111; pushl $0x2222; lcall *scratch; int $0x80");
CODE(f_ljmp, "movl arg0, %eax; movw %ax, scratch + 4; movl $1f, scratch; ljmp *scratch; 1: movw %cs, res0; int $0x80");
CODE(f_gate_target, "movw %cs, res0; movw %ss, res0 + 2; pushl %eax; movl 12(%esp), %eax; movl %eax, res1; popl %eax; lret $8");
CODE(f_gate_dump, "movw %cs, res0; movw %ss, res0 + 2; int $0x80");
CODE(f_task_target, "str res0; pushfl; popl res1; int $0x80");
CODE(f_task_iret, "str res0; iretl; movl $0x77, res0; int $0x80");
CODE(f_lret16, "pushw arg0; pushw $0x10; lretw");
CODE(f_user_in, "movl arg0, %edx; inb %dx, %al; int $0x80");
CODE(f_user_popf, "pushl $-1; andl $0xffdfbeff, (%esp); popfl; pushfl; popl res0; pushl $2; popfl; int $0x80");
CODE(f_user_cli, "cli; int $0x80");
CODE(f_user_lret, "pushl $8; pushl $0; lretl");
CODE(f_iret_nt, "pushfl; orl $0x4000, (%esp); popfl; iretl");
CODE(f_lar, "movl arg0, %ecx; movl $0x1234, %eax; lar %ecx, %eax; movl %eax, res0");
CODE(f_arpl, "movw $0x10, %ax; movw $3, %cx; arpl %cx, %ax; movw %ax, res0; setz res0 + 2");
CODE(f_pf, "movl arg1, %eax; movl (%eax), %eax; movl %eax, res0");
CODE(f_pw, "movl arg1, %eax; movl $0x5a5a, (%eax)");
CODE(f_user_pf, "movl arg1, %eax; movl (%eax), %eax; int $0x80");
CODE(f_user_pw, "movl arg1, %eax; movl $0x5a5b, (%eax); int $0x80");

static void limits(void)
{
    static const struct { u32 limit; u8 access, flags; } segs[] = {
        { 0xfff, 0x93, 4 }, { 0xfff, 0x91, 4 }, { 0xfff, 0x97, 4 }, { 0xfff, 0x97, 0 }, { 0xfff, 0x95, 4 }, { 0, 0x93, 0xc }, { 0xfff, 0x9b, 4 },
        { 0xfff, 0x99, 4 }, { 0xfff, 0x13, 4 }, { 0xfff, 0xf3, 4 }, { 0xffff, 0x93, 0 },
    };
    static const u32 at[] = { 0, 0xffc, 0xffd, 0xfff, 0x1000, 0xffff, 0x10000, 0xfffffffe };
    for (unsigned i = 0; i < sizeof(segs) / sizeof(segs[0]); i++) {
        gdt[20] = desc(0x40000, segs[i].limit, segs[i].access, segs[i].flags);
        text("segment ");
        hex(segs[i].access);
        text("\n");
        for (unsigned k = 0; k < 8; k++) {
            arg0 = 0xa0;
            arg1 = at[k];
            field("at", arg1);
            run(" load", f_load);
            run("  store", f_store);
            gdt[20] |= 0x60ull << 40;
            arg0 = 0xa3;
            run_user("  push", f_push);
            gdt[20] = desc(0x40000, segs[i].limit, segs[i].access, segs[i].flags);
        }
        run("lar", f_lar);
        run("ss", f_ss);
    }
}

static void gates(void)
{
    run("ud2", f_ud2);
    run("into", f_into);
    w32(scratch, 6);
    w32(scratch + 4, 9);
    run("bound", f_bound);
    run("arpl", f_arpl);
    run_user("user int80", f_int80);
    run_user("user int20", f_int20);
    run_user("user cli", f_user_cli);
    run_user("user popf", f_user_popf);
    run_user("user lret in", f_user_lret);
    idt[0x20] = gate((u32)stubs + 16 * 0x20, 8, 0x86, 0);
    idt[0x20] = gate((u32)stubs + 16 * 0x20, 0x28, 0x8e, 0);
    run("int20 user code", f_int20);
    idt[0x20] = gate((u32)stubs + 16 * 0x20, 8, 0x0e, 0);
    run("int20 np", f_int20);
    idt[0x20] = gate((u32)stubs + 16 * 0x20, 8, 0x8c, 0);
    run("int20 call gate", f_int20);
    static const struct { u16 sel; u8 access, params; } g[] = {
        { 8, 0x8c, 0 }, { 8, 0xec, 0 }, { 8, 0xec, 2 }, { 8, 0x6c, 2 }, { 0x28, 0xec, 0 }, { 0, 0xec, 0 }, { 0x10, 0xec, 0 }, { 8, 0xec, 31 },
    };
    for (unsigned i = 0; i < sizeof(g) / sizeof(g[0]); i++) {
        text("gate ");
        hex(i);
        text("\n");
        gdt[20] = gate((u32)f_gate_dump, g[i].sel, g[i].access, g[i].params);
        for (arg0 = 0xa0; arg0 <= 0xa3; arg0 += 3) {
            run(" call", f_lcall);
            run(" jmp", f_ljmp);
            run_user(" u call", f_user_lcall);
        }
    }
    gdt[20] = gate((u32)f_gate_target, 8, 0xec, 2);
    arg0 = 0xa3;
    res1 = 0;
    run_user("gate and back", f_user_lcall);
    field("param", res1);
    text("\n");
    for (arg0 = 0; arg0 < 0x58; arg0 += 8) {
        field("sel", arg0);
        if (arg0 < 0x40) {
            run(" lcall", f_lcall);
            run(" ljmp", f_ljmp);
        }
    }
}

static void fill_tss2(void (*f)(void), u32 flags)
{
    for (u32 i = 0; i < sizeof(tss2); i++)
        tss2[i] = 0;
    w32(tss2 + 0x20, (u32)f);
    w32(tss2 + 0x24, flags);
    w32(tss2 + 0x38, (u32)stack2 + sizeof(stack2));
    for (u32 i = 0x48; i < 0x60; i += 4)
        w32(tss2 + i, 0x10);
    w32(tss2 + 0x4c, 8);
    w16(tss2 + 102, 104);
}

/* Back to the first task, whichever runs: its descriptor is free, so LTR takes it. */
static void first_task(void)
{
    gdt[8] = desc((u32)tss, sizeof(tss) - 1, 0x89, 0);
    gdt[9] = desc((u32)tss2, sizeof(tss2) - 1, 0x89, 0);
    gdt[10] = desc((u32)tss3, sizeof(tss3) - 1, 0x81, 0);
    u32 cr0;
    __asm__ volatile("ltr %w1; clts; mov %%cr0, %0" : "=r"(cr0) : "r"(0x40));
}

static void task(const char *name, void (*f)(void))
{
    run(name, f);
    field("  busy", (u32)(gdt[8] >> 40 & 0xff));
    field("busy2", (u32)(gdt[9] >> 40 & 0xff));
    field("link2", r32(tss2));
    field("fl", r32(tss + 0x24) & 0x4000);
    field("nt", res1 & 0x4000);
    u32 cr0;
    __asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
    field("ts", cr0 & 8);
    text("\n");
    first_task();
    fill_tss2(f_task_target, 2);
}

static void tasks(void)
{
    fill_tss2(f_task_target, 2);
    arg0 = 0x48;
    task("task jmp", f_ljmp);
    task("task call", f_lcall);
    fill_tss2(f_task_iret, 2);
    task("task call and iret", f_lcall);
    gdt[20] = gate(0, 0x48, 0x85, 0);
    arg0 = 0xa0;
    task("task gate jmp", f_ljmp);
    task("task gate call", f_lcall);
    gdt[20] = gate(0, 0x48, 0x05, 0);
    task("task gate np", f_lcall);
    gdt[20] = gate(0, 0x40, 0x85, 0);
    task("task gate busy", f_lcall);
    gdt[20] = gate(0, 0x10, 0x85, 0);
    task("task gate data", f_lcall);
    idt[0x21] = gate(0, 0x48, 0xe5, 0);
    idt[6] = gate(0, 0x48, 0x85, 0);
    task("ud through task gate", f_ud2);
    idt[6] = gate((u32)stubs + 16 * 6, 8, 0x8e, 0);
    idt[13] = gate(0, 0x48, 0x85, 0);
    arg0 = 0x208;
    task("gp through task gate", f_lar);
    task("gp through task gate", f_ss);
    idt[13] = gate((u32)stubs + 16 * 13, 8, 0x8e, 0);
    arg0 = 0x48;
    /* A bad LDT, CS or SS has no stack for its own exception: nothing to print then. */
    static const struct { u32 at; u32 v; } bad[] = { { 0x54, 0x208 }, { 0x48, 0x40 }, { 0x58, 9 }, { 0x5c, 0x33 } };
    for (unsigned i = 0; i < 4; i++) {
        fill_tss2(f_task_target, 2);
        w32(tss2 + bad[i].at, bad[i].v);
        field("bad", bad[i].at);
        task(" task", f_ljmp);
    }
    gdt[9] = desc((u32)tss2, 0x66, 0x89, 0);
    task("task short", f_ljmp);
    gdt[9] = desc((u32)tss2, 0x67, 0x09, 0);
    task("task np", f_ljmp);
    task("iret nt", f_iret_nt);
    w32(tss + 0, 0x48);
    task("iret nt not busy", f_iret_nt);
    gdt[9] = desc((u32)tss2, 0x67, 0x8b, 0);
    w32(tss + 0, 0x48);
    task("iret nt busy", f_iret_nt);
}

static void vm86_case(const char *name, const u8 *code, unsigned n)
{
    for (unsigned i = 0; i < 16; i++)
        ((volatile u8 *)0x90000)[i] = i < n ? code[i] : 0xf4;
    run(name, go_vm86);
}
#define VM(name, ...) do { static const u8 c[] = { __VA_ARGS__ }; vm86_case(name, c, sizeof(c)); } while (0)

static void vm86(void)
{
    vm86_run = 1;
    for (unsigned iopl = 0; iopl < 2; iopl++) {
        user_flags = iopl ? 0x3002 : 2;
        field("iopl", iopl * 3);
        text("\n");
        VM("hlt", 0xf4);
        VM("int80", 0xcd, 0x80);
        VM("int20", 0xcd, 0x20);
        VM("int3", 0xcc);
        VM("cli", 0xfa, 0xf4);
        VM("sti", 0xfb, 0xf4);
        VM("pushf", 0x9c, 0x58, 0xf4);
        VM("popf", 0x31, 0xc0, 0x50, 0x9d, 0xf4);
        if (is_ours())
            VM("iret", 0xcf);
        VM("in", 0xe4, 0x80, 0xf4);
        VM("mov ds", 0xb8, 0x00, 0x20, 0x8e, 0xd8, 0xf4);
        VM("far jmp", 0xea, 0x05, 0x00, 0x00, 0x90, 0xf4);
        VM("load beyond", 0x66, 0xa1, 0xfe, 0xff, 0xf4);
        VM("smsw", 0x0f, 0x01, 0xe0, 0xf4);
        VM("str", 0x0f, 0x00, 0xc8);
        VM("mov cr", 0x0f, 0x20, 0xc0);
        VM("ud2", 0x0f, 0x0b);
    }
    user_flags = 2;
    tss[104 + 0x80 / 8] = 0xfe;
    VM("in allowed", 0xe4, 0x80, 0xf4);
    tss[104 + 0x80 / 8] = 0xff;
    u32 cr4;
    __asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
    __asm__ volatile("mov %0, %%cr4" : : "r"(cr4 | 1));
    w16(tss + 102, 0x88);
    for (unsigned i = 0; i < 32; i++)
        tss[0x68 + i] = 0;
    ((volatile u32 *)0)[0x42] = 0x90000008;
    VM("vme int redirected", 0xcd, 0x42, 0xf4, 0xf4, 0xf4, 0xf4, 0xf4, 0xf4, 0x58, 0x5b, 0x59, 0xf4);
    VM("vme cli", 0xfa, 0x9c, 0x58, 0xf4);
    if (is_ours())
        VM("vme sti", 0xfb, 0x9c, 0x58, 0xf4);
    user_flags = 0x100002;
    VM("vme sti vip", 0xfb, 0xf4);
    user_flags = 2;
    __asm__ volatile("mov %0, %%cr4" : : "r"(cr4));
    w16(tss + 102, 104);
}

static void paging(int pae)
{
    u32 *pd = (u32 *)0x200000, *pt = (u32 *)0x201000;
    u64 *pdpt = (u64 *)0x202000, *pd64 = (u64 *)0x203000, *pt64 = (u64 *)0x204000;
    static const u32 bits[] = { 0, 1, 3, 5, 7 };
    u32 cr4, cr0;
    __asm__ volatile("mov %%cr4, %0; mov %%cr0, %1" : "=r"(cr4), "=r"(cr0));
    for (u32 i = 0; i < 1024; i++) {
        pd[i] = i << 22 | 0x87;
        pt[i] = (0x400000 + (i << 12)) | 7;
    }
    pd[1] = 0x201007;
    for (u32 i = 0; i < 4; i++)
        pdpt[i] = i ? 0 : 0x203001;
    for (u32 i = 0; i < 512; i++) {
        pd64[i] = (u64)i << 21 | 0x87;
        pt64[i] = (0x400000 + (i << 12)) | 7;
    }
    pd64[2] = 0x204007;
    cr4 = (cr4 & ~0x30u) | (pae ? 0x20 : 0x10);
    __asm__ volatile("mov %0, %%cr4; mov %1, %%cr3; mov %2, %%cr0" : : "r"(cr4), "r"(pae ? (u32)pdpt : (u32)pd), "r"(cr0 | 0x80010000) : "memory");
    for (unsigned i = 0; i < 5; i++) {
        field("pte", bits[i]);
        text("\n");
        for (unsigned k = 0; k < 4; k++) {
            static void (*const f[4])(void) = { f_pf, f_pw, f_user_pf, f_user_pw };
            static const char *const n[4] = { " load", " store", " u load", " u store" };
            arg1 = 0x400010;
            pt[0] = 0x400000 | bits[i];
            pt64[0] = 0x400000 | bits[i];
            __asm__ volatile("invlpg 0x400000" : : : "memory");
            if (k < 2)
                run(n[k], f[k]);
            else
                run_user(n[k], f[k]);
            field("  pte", pae ? (u32)pt64[0] : pt[0]);
            text("\n");
        }
    }
    field("pde", pae ? (u32)pd64[2] : pd[1]);
    field("large", (pae ? (u32)pd64[0] : pd[0]) & 0xff);
    text("\n");
    arg1 = pae ? 0x40000000 : 0x500000;
    run("pdpte", f_pf);
    if (!pae) {
        pd[2] |= 1 << 21;
        __asm__ volatile("mov %0, %%cr3" : : "r"(pd) : "memory");
        arg1 = 0x800000;
        run("pse reserved", f_pf);
    } else {
        pd64[4] |= 1 << 13;
        __asm__ volatile("mov %0, %%cr3" : : "r"(pdpt) : "memory");
        arg1 = 0x800000;
        run("large reserved", f_pf);
        pdpt[1] = 0x1e7;
        __asm__ volatile("" : : : "memory");
    }
    __asm__ volatile("mov %0, %%cr0" : : "r"(cr0) : "memory");
}

/* ---- 16-bit code that two segments have at different places: the same offset is another address, 64 KiB further ---- */
__asm__(".pushsection .text\n.code16\n"
    "near_top: decw %cx\n jz 1f\n jmp *%bx\n 1: lretl\n"
    "near_top_end:\n"
    "near_one: addl $1, %eax\n jmp *%si\n"
    "near_one_end:\n"
    "near_two: addl $0x10000, %eax\n jmp *%si\n"
    "near_two_end:\n"
    ".code32\n.popsection");
extern char near_top[], near_top_end[], near_one[], near_one_end[], near_two[], near_two_end[];

static void copy(u32 to, const char *from, const char *end)
{
    for (volatile u8 *p = (volatile u8 *)to; from < end;)
        *p++ = (u8)*from++;
}

static u32 near_loop(u16 sel, u16 top, u16 to, u32 n)
{
    struct { u32 off; u16 sel; } __attribute__((packed)) at = { top, sel };
    u32 sum = 0;
    __asm__ volatile("lcall *%3" : "+a"(sum), "+c"(n) : "b"((u32)to), "m"(at), "S"((u32)top) : "memory", "cc");
    return sum;
}

static void near_targets(void)
{
    gdt[20] = desc(0x300000, 0xffff, 0x9b, 0);             /* a0, a8 */
    gdt[21] = desc(0x308000, 0xffff, 0x9b, 0);
    copy(0x308100, near_top, near_top_end);
    copy(0x302000, near_one, near_one_end);
    copy(0x312000, near_two, near_two_end);
    text("near targets:");
    field("", near_loop(0xa0, 0x8100, 0x2000, 2801));
    for (int k = 0; k < 3; k++)
        field("", near_loop(0xa8, 0x100, 0xa000, 60001));
    text("\n");
}

int main(void)
{
    out8(0x21, 0xff);                                      /* no interrupts of a real PC's timer */
    out8(0xa1, 0xff);
    setup();
    limits();
    gates();
    user_flags = 2;
    for (arg0 = 0x80; arg0 < 0x89; arg0++)
        run_user("user in", f_user_in);
    tss[104 + 16] = 0;
    arg0 = 0x83;
    run_user("user in allowed", f_user_in);
    tss[104 + 16] = 0xff;
    tasks();
    vm86();
    paging(0);
    paging(1);
    near_targets();
    text("end\n");
    return 0;
}
