/*
 * System-level behaviour in 64-bit mode, second part: 5-level paging and the switch to it, protection keys of both kinds, PCID, debug registers, single
 * step and RF. See long64.c. What Debian's QEMU 7.2 does against the manuals has a ~ before its name, and is not compared with it: canonical
 * addresses of WRFSBASE, MSRs and LGDT; CR4.PCIDE with a PCID in CR3; CR3[62]; INT1; a step over STI (which delays interrupts only, SDM 2B); DR7.GD;
 * DR6 of an access that hits two breakpoints; a data breakpoint of MOV SS, which waits for the next instruction (SDM 3A 6.8.3).
 */
#include "tests/isa/x86sys/long.h"

int main(void);

CODE(f_load, "movq arg0_sym, %rax; movb (%rax), %al; movzbl %al, %eax; movq %rax, res0_sym");
CODE(f_store, "movq arg0_sym, %rax; movb $0x5a, 8(%rax)");
CODE(f_jump, "jmp *arg0_sym");
CODE(f_user_load, "movq arg0_sym, %rax; movb (%rax), %al; int $0x80");
CODE(f_user_store, "movq arg0_sym, %rax; movb $0x5b, 8(%rax); int $0x80");
CODE(f_user_jump, "jmp *arg0_sym");
CODE(f_push, "movq %rsp, %rdx; movq arg0_sym, %rsp; pushq %rax; movq %rdx, %rsp");
CODE(f_cr4, "movq arg0_sym, %rax; movq %rax, %cr4");
CODE(f_cr3, "movq arg0_sym, %rax; movq %rax, %cr3");
CODE(f_cr0, "movq arg0_sym, %rax; movq %rax, %cr0");
CODE(f_wrmsr, "movq arg0_sym, %rcx; movq arg1_sym, %rax; movq %rax, %rdx; shrq $32, %rdx; wrmsr");
CODE(f_wrfsbase, "movq arg0_sym, %rax; wrfsbase %rax; rdfsbase %rax; movq %rax, res0_sym; xorl %eax, %eax; wrfsbase %rax");
CODE(f_lstar, "movl $0xc0000082, %ecx; movq arg0_sym, %rax; movq %rax, %rdx; shrq $32, %rdx; wrmsr");
CODE(f_lgdt, "movw $0x1ff, scratch; movq arg0_sym, %rax; movq %rax, scratch + 2; lgdt scratch");
CODE(f_dr0, "movq arg0_sym, %rax; movq %rax, %dr0");
CODE(f_rdpkru, "movq arg0_sym, %rcx; rdpkru; shlq $32, %rdx; orq %rdx, %rax; movq %rax, res0_sym");
CODE(f_wrpkru, "movq arg0_sym, %rcx; movq arg1_sym, %rdx; movl $0x30, %eax; wrpkru; xorl %ecx, %ecx; rdpkru; movq %rax, res0_sym; xorl %eax, %eax; xorl %edx, %edx; wrpkru");
/* paging off, CR4 = arg0, CR3 = arg1, paging on again: how 5-level paging is switched (SDM 3A 4.1.1) */
CODE(f_repage, "ljmp *1f\n1: .long 2f, 8\n.code32\n2: movw $0x10, %ax; movw %ax, %ss; movl %cr0, %eax; andl $0x7fffffff, %eax; movl %eax, %cr0\n"
     "movl arg0_sym, %ecx; movl %ecx, %cr4; movl arg1_sym, %ecx; movl %ecx, %cr3; orl $0x80000000, %eax; movl %eax, %cr0\nljmpl $0x18, $3f\n.code64\n3: xorl %eax, %eax; movw %ax, %ss");

/* names the snippets use */
__asm__(".set arg0_sym, arg0\n.set arg1_sym, arg1\n.set res0_sym, res0");

/* ---- 5-level paging ---- */

static void load_gdt(void)
{
    struct dtr g = { sizeof(gdt) - 1, (u64)gdt };
    __asm__ volatile("lgdt %0" : : "m"(g));
}

static void addresses(void)
{
    *(volatile u8 *)0x300000 = 0xc3;
    static const u64 at[] = { 0x300000, 0x00007fffffffffffull, 0x0000800000000000ull, 0x0080000000300000ull, 0x00ffffffffffffffull, 0x0100000000000000ull,
                              0x0100000000300000ull, 0xfeffffffffffffffull, 0xff00000000300000ull, 0xffff7fffffffffffull, 0xffff800000300000ull, 0x8000000000300000ull };
    for (unsigned i = 0; i < sizeof(at) / 8; i++) {
        arg0 = at[i];
        text("at ");
        hex(arg0);
        text("\n");
        run(" load", f_load);
        run(" jump", f_jump);
        run(" push", f_push);
        run(" ~wrfsbase", f_wrfsbase);
        run(" ~lstar", f_lstar);
        run(" ~lgdt", f_lgdt);
        load_gdt();
    }
}

static void levels(void)
{
    u64 cr4 = cr(4), cr3 = cr(3);
    u64 *pml5 = (u64 *)0x200000, *pml4 = (u64 *)0x201000;
    set_cr(4, cr4 | 1ul << 16);
    cr4 = cr(4);
    addresses();
    arg0 = cr4 | 1ul << 12;
    run("la57 in long mode", f_cr4);
    for (unsigned i = 0; i < 512; i++)
        pml5[i] = pml4[i] = 0;
    /* 5 entries of PML5: the old tables; bits of their own in other places */
    pml5[0] = cr3 | 7;
    pml5[511] = 0x201007;
    pml4[511] = *(u64 *)cr3;
    pml4[0] = *(u64 *)cr3;
    pml5[0x80] = cr3 | 3;                                  /* 0x0080...: kernel's only */
    pml5[0x100] = cr3 | 1;                                 /* 0xff00...: cannot be written */
    pml5[0x81] = cr3 | 0x87;                               /* reserved: PS */
    pml5[0x82] = 0x8000000000000007ull | cr3;              /* cannot be executed */
    pml5[0x83] = 6 | cr3;                                  /* not present */
    pml5[0x84] = 7ull | cr3 | 1ull << 51;                  /* beyond the width of addresses */
    arg0 = cr4 | 1ul << 12;
    arg1 = 0x200000;
    run("la57 on", f_repage);
    field("cr4", cr(4) & 0x1000);
    text("\n");
    addresses();
    for (u64 n = 0x80; n < 0x85; n++) {
        arg0 = n << 48 | 0x300000;
        text("pml5 ");
        hex(n);
        text("\n");
        *(volatile u8 *)0x300000 = 0xc3;
        run(" load", f_load);
        run(" store", f_store);
        run(" exec", f_jump);
        *(volatile u8 *)0x300000 = 0xcd;
        *(volatile u8 *)0x300001 = 0x80;
        run_user(" u load", f_user_load);
        run_user(" u store", f_user_store);
        run_user(" u exec", f_user_jump);
        field(" pml5e", pml5[n]);
        text("\n");
    }
    arg0 = 0xff00000000300000ull;
    run("pml5 read only", f_store);
    arg0 = cr4;
    run("la57 off in long mode", f_cr4);
    arg1 = cr3;
    arg0 = cr4;
    run("la57 off", f_repage);
    field("cr4", cr(4) & 0x1000);
    text("\n");
    arg0 = 0x0080000000300000ull;
    run("load 57 bits", f_load);
}

/* ---- protection keys ---- */

static void kernel_page(u64 page, int user, u64 key) { set_pte(page, page | (user ? 7 : 3) | key << 59); }

static void keys(void)
{
    const u64 page = 0x300000;
    u64 cr4 = cr(4), cr0 = cr(0);
    arg0 = 0;
    arg1 = 0;
    run("rdpkru off", f_rdpkru);
    run("wrpkru off", f_wrpkru);
    for (unsigned on = 0; on < 4; on++) {
        set_cr(4, cr4 | (on & 1 ? 1ul << 22 : 0) | (on & 2 ? 1ul << 24 : 0));
        for (u32 rights = 0; rights < 4; rights++) {
            for (unsigned how = 0; how < 4; how++) {
                if (on & 1)
                    __asm__ volatile("wrpkru" : : "a"(rights << 10), "c"(0), "d"(0));
                if (on & 2)
                    wrmsr(0x6e1, (u64)rights << 10);
                set_cr(0, how & 2 ? cr0 & ~0x10000ul : cr0 | 0x10000);
                text("keys ");
                hex(on);
                text(how & 1 ? " user page" : " kernel page");
                text(how & 2 ? " wp=0 " : " ");
                hex(rights);
                text("\n");
                arg0 = page;
                kernel_page(page, how & 1, 5);
                *(volatile u8 *)0x301000 = 0;              /* another page: the last access is not this one */
                run(" load", f_load);
                run(" store", f_store);
                text("  pte ");
                hex(*pte(page));
                text("\n");
                kernel_page(page, how & 1, 6);
                run(" other key", f_store);
            }
        }
        if (on & 1)
            __asm__ volatile("wrpkru" : : "a"(0), "c"(0), "d"(0));
        if (on & 2)
            wrmsr(0x6e1, 0);
    }
    set_cr(0, cr0);
    set_cr(4, cr4 | 1ul << 22);
    arg0 = 1;
    run("rdpkru ecx", f_rdpkru);
    run("wrpkru ecx", f_wrpkru);
    arg0 = 0;
    arg1 = 1;
    run("wrpkru edx", f_wrpkru);
    arg1 = 0;
    run("wrpkru", f_wrpkru);
    set_cr(4, cr4);
    arg0 = 0x6e1;
    arg1 = 1ull << 32;
    run("pkrs high", f_wrmsr);
    kernel_page(page, 1, 0);
}

/* ---- address spaces with numbers ---- */

static void pcid(void)
{
    const u64 page = 0x300000, other = 0x301000;
    u64 cr4 = cr(4), cr3 = cr(3);
    *(volatile u64 *)page = 0x1111;
    *(volatile u64 *)other = 0x2222;
    arg0 = cr4 | 1ul << 17;
    set_cr(3, cr3 | 0x18);
    run("~pcide with pcid", f_cr4);
    set_cr(3, cr3);
    run("pcide", f_cr4);
    arg0 = cr3 | 1ull << 62;
    if (extra)
        run("~cr3 bit 62", f_cr3);
    arg0 = cr(0) & ~0x80000000ul;
    if (extra)
        run("~pg off", f_cr0);
    set_cr(3, cr3 | 5);
    set_pte(page, page | 7);
    field("5:", *(volatile u64 *)page);
    set_cr(3, cr3 | 6);
    *pte(page) = other | 7;
    invlpg(page);
    field("6:", *(volatile u64 *)page);
    set_cr(3, cr3 | 5);                                    /* flushes 5 */
    field("5 flushed:", *(volatile u64 *)page);
    *pte(page) = page | 7;
    set_cr(3, (cr3 | 6));
    field("6 flushed:", *(volatile u64 *)page);
    *pte(page) = other | 0x107;
    set_cr(4, cr(4) | 0x80);
    invlpg(page);
    field("global:", *(volatile u64 *)page);
    set_cr(4, cr(4) ^ 0x80);
    *pte(page) = page | 7;
    set_cr(4, cr(4) ^ 0x20000);                            /* PCIDE off: everything goes */
    text("\n");
    set_cr(3, cr3);
    field("off:", *(volatile u64 *)page);
    set_cr(4, cr4);
    text("\n");
}

/* ---- debug ---- */

CODE(d_store, "movq $1, scratch + 64; nop; nop");
CODE(d_store_b, "movb $1, scratch + 67; nop; nop");
CODE(d_store_below, "movl $1, scratch + 61; nop; nop");
CODE(d_store_beside, "movl $1, scratch + 60; nop; nop");
CODE(d_rmw, "addl $1, scratch + 64; nop; nop");
CODE(d_xchg, "xchgl %eax, scratch + 64; nop; nop");
CODE(d_cmpxchg, "movl $0x77, %eax; lock; cmpxchgl %ecx, scratch + 64; nop; nop");
CODE(d_cx16, "movq %rbx, %rsi; lock; cmpxchg16b scratch + 64; nop; movq %rsi, %rbx; nop");
CODE(d_push, "movq %rsp, %rdx; movq $scratch + 72, %rsp; pushq %rax; movq %rdx, %rsp; nop");
CODE(d_pop, "movq %rsp, %rdx; movq $scratch + 64, %rsp; popq %rax; movq %rdx, %rsp; nop");
CODE(d_call, "movq %rsp, %rdx; movq $scratch + 72, %rsp; call 1f; 1: movq %rdx, %rsp; nop");
CODE(d_ret, "movq %rsp, %rdx; movq $scratch + 64, %rsp; movq $1f, (%rsp); movq arg0_sym, %rax; movq %rax, %dr7; ret; 1: movq %rdx, %rsp; nop");
CODE(d_enter, "movq %rsp, %rdx; movq %rbp, %rcx; movq $scratch + 72, %rsp; enter $0, $0; movq %rdx, %rsp; movq %rcx, %rbp");
CODE(d_leave, "movq %rsp, %rdx; movq %rbp, %rcx; movq $scratch + 64, %rbp; leave; movq %rdx, %rsp; movq %rcx, %rbp");
CODE(d_movs, "movl $scratch + 64, %edi; movl $scratch + 256, %esi; movsl; nop; nop");
CODE(d_rep_movs, "movl $scratch + 56, %edi; movl $scratch + 256, %esi; movl $6, %ecx; rep movsl; movq %rcx, res0_sym; nop; nop");
CODE(d_rep_movs_b, "movl $scratch + 48, %edi; movl $scratch + 256, %esi; movl $64, %ecx; rep movsb; movq %rcx, res0_sym; nop; nop");
CODE(d_rep_stos, "movl $scratch + 56, %edi; movl $6, %ecx; rep stosl; movq %rcx, res0_sym; nop; nop");
CODE(d_rep_lods, "movl $scratch + 56, %esi; movl $6, %ecx; rep lodsl; movq %rcx, res0_sym; nop; nop");
CODE(d_rep_scas, "movl $scratch + 56, %edi; movl $6, %ecx; movl $0x12345, %eax; repne scasl; movq %rcx, res0_sym; nop; nop");
CODE(d_rep_cmps, "movl $scratch + 56, %edi; movl $scratch + 156, %esi; movl $6, %ecx; cld; cmpl %eax, %eax; repe cmpsl; movq %rcx, res0_sym; nop; nop");
CODE(d_movaps, "movaps scratch + 64, %xmm0; nop; nop");
CODE(d_movups, "movups %xmm0, scratch + 51; nop; nop");
CODE(d_fxsave, "fxsave scratch; nop; nop");
CODE(d_fxrstor, "fxrstor scratch; nop; nop");
CODE(d_fld, "fninit; fldt scratch + 60; fninit; nop; nop");
CODE(d_sgdt, "sgdt scratch + 60; nop; nop");
CODE(d_lcall, "movl $1f, scratch + 64; movw $0x18, scratch + 68; movq arg0_sym, %rax; movq %rax, %dr7; lcall *scratch + 64; nop; nop; ret; 1: lretl");
CODE(d_bts, "movl $512, %eax; btsl %eax, scratch; nop; nop");
CODE(d_xlat, "movl $scratch, %ebx; movb $64, %al; xlatb; nop; nop");
CODE(d_movmem2, "movl $scratch + 64, %esi; pushq (%rsi); nop; popq (%rsi); nop; nop");
CODE(d_movss, "movw scratch + 64, %ss; nop; nop");
CODE(d_iret, "movq %rsp, %rdx; movq $scratch + 64, %rsp; movq $1f, (%rsp); movq $0x18, 8(%rsp); movq $2, 16(%rsp); movq %rdx, 24(%rsp); movq $0, 32(%rsp); movq arg0_sym, %rax; movq %rax, %dr7; iretq; 1: nop; nop");
CODE(d_in, "inb $0x80, %al; nop; nop");
CODE(d_exec, "nop; nop; movl $1, %eax; nop");
CODE(d_exec_rf, "movq %rsp, %rdx; pushq $0; pushq %rdx; pushq $0x10002; pushq $0x18; pushq $d_exec + 2; iretq");
CODE(d_exec_norf, "movq %rsp, %rdx; pushq $0; pushq %rdx; pushq $0x2; pushq $0x18; pushq $d_exec + 2; iretq");
CODE(d_popf_rf, "pushq $0x10002; popfq; pushfq; popq res0_sym; nop");
CODE(d_two, "movl scratch + 64, %eax; nop; nop");
CODE(s_nop, "pushfq; orq $0x100, (%rsp); popfq; nop; nop");
CODE(s_popf_off, "pushfq; orq $0x100, (%rsp); popfq; pushq $2; popfq; nop; nop");
CODE(s_rep, "movl $scratch, %edi; movl $4, %ecx; pushfq; orq $0x100, (%rsp); popfq; rep stosb; nop");
CODE(s_rep0, "movl $scratch, %edi; xorl %ecx, %ecx; pushfq; orq $0x100, (%rsp); popfq; rep stosb; nop");
CODE(s_int, "pushfq; orq $0x100, (%rsp); popfq; int $0x80");
CODE(s_ud, "pushfq; orq $0x100, (%rsp); popfq; ud2");
CODE(s_div, "xorl %ecx, %ecx; pushfq; orq $0x100, (%rsp); popfq; divl %ecx");
CODE(s_movss, "xorl %eax, %eax; pushfq; orq $0x100, (%rsp); popfq; movw %ax, %ss; nop; nop; nop");
CODE(s_movss_int, "xorl %eax, %eax; pushfq; orq $0x100, (%rsp); popfq; movw %ax, %ss; int $0x80");
CODE(s_iret, "movq %rsp, %rdx; pushq $0; pushq %rdx; pushq $0x102; pushq $0x18; pushq $1f; iretq; 1: nop; nop; nop");
CODE(s_sti, "pushfq; orq $0x100, (%rsp); popfq; sti; nop; nop");
CODE(s_cpuid, "pushfq; orq $0x100, (%rsp); popfq; cpuid; nop; nop");
CODE(s_wrmsr, "movl $0xc0000103, %ecx; xorl %eax, %eax; xorl %edx, %edx; pushfq; orq $0x100, (%rsp); popfq; wrmsr; nop; nop");
CODE(s_cr, "movq %cr2, %rax; pushfq; orq $0x100, (%rsp); popfq; movq %rax, %cr2; nop; nop");
CODE(s_jmp, "pushfq; orq $0x100, (%rsp); popfq; jmp 1f; nop; 1: nop; nop");
CODE(s_call, "pushfq; orq $0x100, (%rsp); popfq; call 1f; nop; 1: nop; nop");
CODE(s_out, "pushfq; orq $0x100, (%rsp); popfq; outb %al, $0x80; nop; nop");
CODE(s_int3, "pushfq; orq $0x100, (%rsp); popfq; int3");
CODE(s_int1, "pushfq; orq $0x100, (%rsp); popfq; .byte 0xf1");
CODE(s_pf, "pushfq; orq $0x100, (%rsp); popfq; movl 0x40000000, %eax");
CODE(s_user_syscall, "pushfq; orq $0x100, (%rsp); popfq; syscall; nop");
CODE(s_entry, "nop; nop; int $0x80");
CODE(s_sysret, "movq arg0_sym, %rcx; movl $0x102, %r11d; sysretq");
CODE(s_user, "nop; nop; int $0x80");
CODE(g_read, "movq %dr0, %rax");
CODE(g_read7, "movq %dr7, %rax; movq %rax, res0_sym");

static void set_dr(int n, u64 v)
{
    switch (n) {
    case 0: __asm__ volatile("mov %0, %%dr0" : : "r"(v)); break;
    case 1: __asm__ volatile("mov %0, %%dr1" : : "r"(v)); break;
    case 2: __asm__ volatile("mov %0, %%dr2" : : "r"(v)); break;
    case 3: __asm__ volatile("mov %0, %%dr3" : : "r"(v)); break;
    case 7: __asm__ volatile("mov %0, %%dr7" : : "r"(v)); break;
    }
}

static const struct { const char *name; void (*f)(void); } data_bps[] = {
    { "store", d_store }, { "store byte", d_store_b }, { "store below", d_store_below }, { "store beside", d_store_beside }, { "rmw", d_rmw },
    { "xchg", d_xchg }, { "cmpxchg", d_cmpxchg }, { "cmpxchg16b", d_cx16 }, { "push", d_push }, { "pop", d_pop }, { "call", d_call }, { "ret", d_ret },
    { "enter", d_enter }, { "leave", d_leave }, { "movs", d_movs }, { "rep movs", d_rep_movs }, { "rep movsb", d_rep_movs_b }, { "rep stos", d_rep_stos },
    { "rep lods", d_rep_lods }, { "rep scas", d_rep_scas }, { "rep cmps", d_rep_cmps }, { "movaps", d_movaps }, { "movups", d_movups },
    { "fxsave", d_fxsave }, { "fxrstor", d_fxrstor }, { "fld", d_fld }, { "sgdt", d_sgdt }, { "lcall", d_lcall }, { "bts", d_bts }, { "xlat", d_xlat },
    { "push and pop memory", d_movmem2 }, { "~mov ss", d_movss }, { "iret", d_iret },
};

static void data_breakpoints(void)
{
    static const u32 dr7[] = { 0xd0403, 0xf0403 };             /* 4 bytes: written; read or written */
    for (unsigned k = 0; k < 2; k++) {
        text(k ? "read or written\n" : "written\n");
        for (unsigned i = 0; i < sizeof(data_bps) / sizeof(data_bps[0]); i++) {
            for (unsigned n = 0; n < 128; n++)
                scratch[n] = 0;
            __asm__ volatile("fxsave scratch + 512; movl scratch + 512 + 24, %%eax; movl %%eax, scratch + 24" : : : "rax", "memory");
            set_dr(0, (u64)scratch + 64);
            int late = data_bps[i].f == d_ret || data_bps[i].f == d_lcall || data_bps[i].f == d_iret;  /* they write there first */
            arg0 = dr7[k];
            set_dr(7, late ? 0x400 : dr7[k]);
            res0 = 0;
            int r = try(data_bps[i].f);
            set_dr(7, 0x400);
            text(" ");
            report(data_bps[i].name, r);
        }
    }
}

static void debug(void)
{
    data_breakpoints();
    set_dr(0, (u64)scratch + 64);
    set_dr(1, (u64)scratch + 66);
    set_dr(2, (u64)d_two + 7);
    set_dr(3, (u64)scratch + 64);
    set_dr(7, 0x103f0000 | 0x4ff);                        /* 0: rw 4, 1: rw 1, 2: exec, 3: write 1 */
    run("~several", d_two);
    set_dr(7, 0x400);
    set_dr(0, (u64)d_exec + 2);
    set_dr(7, 0x403);
    run("exec", d_exec);
    run("exec with rf", d_exec_rf);
    run("exec without rf", d_exec_norf);
    run("popf rf", d_popf_rf);
    set_dr(7, 0x400);
    set_cr(4, cr(4) | 8);
    set_dr(0, 0x80);
    set_dr(7, 0x20403);
    run("io", d_in);
    set_dr(7, 0x400);
    set_cr(4, cr(4) & ~8ul);
    set_dr(7, 0x2400);
    run("~gd", g_read);
    run("~gd after", g_read7);
    set_dr(7, 0x400);
    arg0 = 0x800000000000ull;
    run("dr0 nc", f_dr0);
    set_dr(0, 0);
}

static void steps(void)
{
    static const struct { const char *name; void (*f)(void); } s[] = {
        { "nop", s_nop }, { "popf off", s_popf_off }, { "rep", s_rep }, { "rep 0", s_rep0 }, { "int", s_int }, { "ud2", s_ud }, { "div", s_div },
        { "mov ss", s_movss }, { "mov ss, int", s_movss_int }, { "iret", s_iret }, { "sti", s_sti }, { "cpuid", s_cpuid }, { "wrmsr", s_wrmsr },
        { "mov cr", s_cr }, { "jmp", s_jmp }, { "call", s_call }, { "out", s_out }, { "int3", s_int3 }, { "int1", s_int1 }, { "page fault", s_pf },
    };
    for (unsigned i = 0; i < sizeof(s) / sizeof(s[0]); i++) {
        text(s[i].f == s_sti || s[i].f == s_int1 ? "~step " : "step ");
        run(s[i].name, s[i].f);
        field("rcx", info[14]);
        text("\n");
    }
    wrmsr(0xc0000081, (u64)0x23 << 48 | (u64)0x18 << 32);
    wrmsr(0xc0000082, (u64)s_entry);
    wrmsr(0xc0000084, 0x47700);
    run_user("step syscall, masked", s_user_syscall);
    wrmsr(0xc0000084, 0);
    run_user("step syscall", s_user_syscall);
    wrmsr(0xc0000081, (u64)0x2b << 48 | (u64)0x18 << 32);
    arg0 = (u64)s_user;
    run("step after sysret", s_sysret);
}

int main(void)
{
    extra = is_ours();
    setup();
    levels();
    keys();
    pcid();
    steps();
    debug();
    text("end\n");
    return 0;
}
