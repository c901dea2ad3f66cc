/*
 * System-level behaviour in 64-bit mode, said on port 0xe9. long64.expected is what the manuals say (x86_bare prints it); `oracle` runs the image under
 * Debian's QEMU too. Where that differs stands in long64.differs. Reviewed, all QEMU 7.2's faults: INT1 and LOCK MOV; error codes of IDT entries in long mode
 * (16 a vector instead of 8) and of reserved bits (P clear); EXT on nested faults; non-canonical targets of gates, IRET, SYSRET, MSRs and
 * LIDT; null SS with RPL != CPL; LAR and LSL of types that long mode lacks; null data segments in compatibility mode; reserved bits of
 * CR8, DR6, PAT; MXCSR mask of FXRSTOR; DR7.GD. What stops it altogether is behind `extra'.
 */
#include "tests/isa/x86sys/long.h"

int main(void);

CODE(f_nop, "nop");
CODE(f_ud2, "nop; ud2");
CODE(f_div, "xorl %eax, %eax; xorl %edx, %edx; xorl %ecx, %ecx; divl %ecx");
CODE(f_int3, "nop; int3");
CODE(f_cd03, ".byte 0xcd, 3");
CODE(f_int20, "int $0x20");
CODE(f_int80, "int $0x80");
CODE(f_int1, ".byte 0xf1");
CODE(f_hlt, "hlt");
CODE(f_cli, "cli");
CODE(f_sti, "sti; nop; cli");
CODE(f_noncanon, "movq arg0_sym, %rax; movq (%rax), %rax");
CODE(f_load, "movq arg0_sym, %rax; movb (%rax), %al");
CODE(f_store, "movq arg0_sym, %rax; movb $0x5a, 8(%rax)");
CODE(f_jump, "jmp *arg0_sym");
CODE(f_stac_load, "stac; movq arg0_sym, %rax; movb (%rax), %al; clac");
CODE(f_user_load, "movq arg0_sym, %rax; movb (%rax), %al; int $0x80");
CODE(f_user_store, "movq arg0_sym, %rax; movb $0x5b, 8(%rax); int $0x80");
CODE(f_user_jump, "jmp *arg0_sym");
CODE(f_user_int80, "int $0x80");
CODE(f_user_int3, "int3");
CODE(f_user_in, "movl arg0_sym, %edx; inb %dx, %al; int $0x80");
CODE(f_user_inl, "movl arg0_sym, %edx; inl %dx, %eax; int $0x80");
CODE(f_user_popf, "pushq $-1; andq $0xffffffffffdfbeff, (%rsp); popfq; pushfq; popq res0_sym; pushq $2; popfq; int $0x80");
CODE(f_ds, "movq arg0_sym, %rax; movw %ax, %ds; movw %ds, %ax; movzwl %ax, %eax; movq %rax, res0_sym; xorl %eax, %eax; movw %ax, %ds");
CODE(f_user_ds, "movq arg0_sym, %rax; movw %ax, %ds; movw %ds, %ax; movzwl %ax, %eax; movq %rax, res0_sym; int $0x80");
CODE(f_ss, "movq arg0_sym, %rax; movw %ax, %ss; movw %ss, %ax; movzwl %ax, %eax; movq %rax, res0_sym; xorl %eax, %eax; movw %ax, %ss");
CODE(f_user_ss, "movq arg0_sym, %rax; movw %ax, %ss; movw %ss, %ax; movzwl %ax, %eax; movq %rax, res0_sym; int $0x80");
CODE(f_lar, "movq arg0_sym, %rcx; movl $0x1234, %eax; lar %ecx, %eax; setz %dl; movzbl %dl, %edx; shlq $32, %rdx; orq %rdx, %rax; movq %rax, res0_sym");
CODE(f_lsl, "movq arg0_sym, %rcx; movl $0x1234, %eax; lsl %ecx, %eax; setz %dl; movzbl %dl, %edx; shlq $32, %rdx; orq %rdx, %rax; movq %rax, res0_sym");
CODE(f_verr, "movq arg0_sym, %rcx; verr %cx; setz %al; verw %cx; setz %ah; movzwl %ax, %eax; movq %rax, res0_sym");
CODE(f_user_lar, "movq arg0_sym, %rcx; movl $0x1234, %eax; lar %ecx, %eax; setz %dl; movzbl %dl, %edx; shlq $32, %rdx; orq %rdx, %rax; movq %rax, res0_sym; int $0x80");
CODE(f_user_lsl, "movq arg0_sym, %rcx; movl $0x1234, %eax; lsl %ecx, %eax; setz %dl; movzbl %dl, %edx; shlq $32, %rdx; orq %rdx, %rax; movq %rax, res0_sym; int $0x80");
CODE(f_user_verr, "movq arg0_sym, %rcx; verr %cx; setz %al; verw %cx; setz %ah; movzwl %ax, %eax; movq %rax, res0_sym; int $0x80");
/* IRETQ to CS arg0, SS arg1, RIP 1f (or res0), flags user_flags */
CODE(f_iret, "movq %rsp, %rax; pushq arg1_sym; pushq %rax; pushq user_flags; pushq arg0_sym; leaq 1f(%rip), %rax; pushq %rax; iretq; 1: movw %ss, %ax; movzwl %ax, %eax; movq %rax, res0_sym; int $0x80");
CODE(f_iret_nc, "movq %rsp, %rax; pushq arg1_sym; pushq %rax; pushq $2; pushq arg0_sym; movq $0x8000000000000000, %rax; pushq %rax; iretq");
CODE(f_iret_nt, "pushfq; orq $0x4000, (%rsp); popfq; iretq");
CODE(f_lret, "pushq arg0_sym; leaq 1f(%rip), %rax; pushq %rax; lretq; 1: movw %cs, %ax; movzwl %ax, %eax; movq %rax, res0_sym; int $0x80");
CODE(f_lret_outer, "movq %rsp, %rcx; pushq arg1_sym; pushq %rcx; pushq arg0_sym; leaq 1f(%rip), %rax; pushq %rax; lretq; 1: movw %cs, %ax; movzwl %ax, %eax; movq %rax, res0_sym; int $0x80");
CODE(f_lcall, "leaq 1f(%rip), %rax; movl %eax, scratch; movq arg0_sym, %rax; movw %ax, scratch + 4; lcall *scratch; ud2; 1: movq (%rsp), %rax; movq 8(%rsp), %rdx; movw %cs, %dx; movq %rdx, res0_sym; int $0x80");
CODE(f_user_lcall, "leaq 1f(%rip), %rax; movl %eax, scratch; movq arg0_sym, %rax; movw %ax, scratch + 4; lcall *scratch; 1: int $0x80");
CODE(f_ljmp, "leaq 1f(%rip), %rax; movl %eax, scratch; movq arg0_sym, %rax; movw %ax, scratch + 4; ljmp *scratch; 1: movw %cs, %ax; movzwl %ax, %eax; movq %rax, res0_sym; int $0x80");
CODE(f_gate_target, "movw %cs, %ax; movzwl %ax, %eax; movw %ss, %cx; movzwl %cx, %ecx; shlq $16, %rcx; orq %rcx, %rax; movq 8(%rsp), %rcx; shlq $32, %rcx; orq %rcx, %rax; movq %rax, res0_sym; int $0x80");
CODE(f_wrmsr, "movq arg0_sym, %rcx; movq arg1_sym, %rax; movq %rax, %rdx; shrq $32, %rdx; wrmsr");
CODE(f_rdmsr, "movq arg0_sym, %rcx; rdmsr; shlq $32, %rdx; orq %rdx, %rax; movq %rax, res0_sym");
CODE(f_cr0, "movq arg0_sym, %rax; movq %rax, %cr0");
CODE(f_cr3, "movq arg0_sym, %rax; movq %rax, %cr3");
CODE(f_cr4, "movq arg0_sym, %rax; movq %rax, %cr4");
CODE(f_cr8, "movq arg0_sym, %rax; movq %rax, %cr8; movq %cr8, %rax; movq %rax, res0_sym");
CODE(f_dr4, "movq %dr4, %rax; movq %rax, res0_sym");
CODE(f_dr7, "movq arg0_sym, %rax; movq %rax, %dr7; movq %dr7, %rax; movq %rax, res0_sym");
CODE(f_dr6, "movq arg0_sym, %rax; movq %rax, %dr6; movq %dr6, %rax; movq %rax, res0_sym");
CODE(f_user_syscall, "movl $0x11, %ecx; syscall; ud2");
CODE(f_syscall_entry, "movw %cs, %ax; movzwl %ax, %eax; movw %ss, %dx; movzwl %dx, %edx; shlq $16, %rdx; orq %rdx, %rax; movq %rax, res0_sym; int $0x80");
CODE(f_sysretq, "movq arg0_sym, %rcx; movl $0x2, %r11d; sysretq");
CODE(f_sysretl, "movq arg0_sym, %rcx; movl $0x2, %r11d; sysretl");
CODE(f_user_sysret, "sysretq");
CODE(f_user_sysenter, "sysenter");
CODE(f_push_nc, "movq $0x8000000000000000, %rsp; pushq %rax");
CODE(f_user_push_nc, "movq $0x8000000000000000, %rsp; pushq %rax");
CODE(f_user_call_nc, "movq $0x8000000000000000, %rsp; call f_nop");
CODE(f_rbp_nc, "movq %rbp, %rdx; movq $0x8000000000000000, %rbp; movq 8(%rbp), %rax");
CODE(f_rbp_ds_nc, "movq $0x8000000000000000, %rbx; movq 8(%rbx), %rax");
CODE(f_tf, "pushfq; orq $0x100, (%rsp); popfq; nop; nop");
CODE(f_tf_ss, "pushfq; orq $0x100, (%rsp); popfq; movw %ax, %ss; nop; nop");
CODE(f_tf_syscall, "pushfq; orq $0x100, (%rsp); popfq; syscall");
CODE(f_bp_data, "movq $1, scratch + 64; nop; nop");
CODE(f_bp_read, "movq scratch + 64, %rax; nop; nop");
CODE(f_bp_exec, "nop; nop; movl $1, %eax; nop");
CODE(f_xgetbv, "xorl %ecx, %ecx; xgetbv");
CODE(f_invlpg_nc, "movq $0x8000000000000000, %rax; invlpg (%rax)");
CODE(f_invpcid, "movq arg0_sym, %rax; invpcid scratch, %rax");
CODE(f_ltr, "movq arg0_sym, %rax; ltr %ax");
CODE(f_lldt, "movq arg0_sym, %rax; lldt %ax; sldt %eax; movq %rax, res0_sym");
CODE(f_lidt_nc, "movw $0, scratch; movq $0x8000000000000000, %rax; movq %rax, scratch + 2; lidt scratch");
CODE(f_wrgsbase, "movq arg0_sym, %rax; wrgsbase %rax; rdgsbase %rax; movq %rax, res0_sym");
CODE(f_swapgs, "swapgs; rdgsbase %rax; swapgs; movq %rax, res0_sym");
CODE(f_user_swapgs, "swapgs");
CODE(f_user_sgdt, "sgdt scratch; int $0x80");
CODE(f_user_smsw, "smsw %eax; int $0x80");
CODE(f_user_rdtsc, "rdtsc; int $0x80");
CODE(f_user_rdpmc, "xorl %ecx, %ecx; rdpmc; int $0x80");
CODE(f_user_cr, "movq %cr0, %rax; int $0x80");
CODE(f_lock_ud, "lock; movl %eax, %ebx");
CODE(f_fxsave_mis, "fxsave scratch + 8");
CODE(f_fxrstor_bad, "fxrstor scratch");
CODE(f_fx, "fxsave scratch; movl scratch, %eax; movq %rax, res0_sym");
CODE(f_popfq, "pushq arg0_sym; popfq; pushfq; popq res0_sym; pushq $2; popfq");
CODE(f_into, ".byte 0xce");
CODE(f_mov_cs, ".byte 0x8e, 0xc8");
CODE32(c_int80, "int $0x80");
CODE32(c_stack, "movl $0x33, %eax; movw %ax, %ds; pushl $0x1234; movl %esp, %eax; movl %eax, res0_sym; int $0x80");
CODE32(c_ljmp, "ljmp $0x3b, $f_user_int80");
CODE32(c_ljmp_bad, "ljmp $0x18, $f_user_int80");
CODE32(c_syscall, "syscall; ud2");
CODE32(c_sysenter, "sysenter; ud2");
CODE32(c_ds0, "xorl %eax, %eax; movw %ax, %ds; movl 0x20000, %eax; int $0x80");
CODE32(c_into, "into; int $0x80");
CODE32(c_wrap, "movl $0x33, %eax; movw %ax, %ds; movl $0xffffffff, %eax; movl $0x20000, %ecx; movl 1(%eax, %ecx), %eax; int $0x80");

/* names the snippets use */
__asm__(".set arg0_sym, arg0\n.set arg1_sym, arg1\n.set res0_sym, res0");

static void basics(void)
{
    run("nop", f_nop);
    run("ud2", f_ud2);
    run("div", f_div);
    run("int3", f_int3);
    run("cd03", f_cd03);
    run("int20", f_int20);
    run("int80", f_int80);
    run("int1", f_int1);
    run("into", f_into);
    run("mov cs", f_mov_cs);
    run("sti", f_sti);
    run("lock ud", f_lock_ud);
    run("push nc", f_push_nc);
    run_user("user push nc", f_user_push_nc);
    run_user("user call nc", f_user_call_nc);
    run("rbp nc", f_rbp_nc);
    run("rbx nc", f_rbp_ds_nc);
    arg0 = 0x800000000000ul;
    run("load nc", f_noncanon);
    run("jump nc", f_jump);
    run_user("user int80", f_user_int80);
    run_user("user int3", f_user_int3);
    run_user("user int20", f_int20);
    run_user("user ud2", f_ud2);
    run_user("user hlt", f_hlt);
    run_user("user cli", f_cli);
    run_user("user sti", f_sti);
    run_user("user popf", f_user_popf);
    user_flags |= 0x3000;
    run_user("user popf iopl3", f_user_popf);
    user_flags &= ~0x3000ul;
    run_user("user cr", f_user_cr);
    run_user("user swapgs", f_user_swapgs);
    run_user("user sysret", f_user_sysret);
    run_user("user rdtsc", f_user_rdtsc);
    run_user("user smsw", f_user_smsw);
    idt[2 * 0x20 + 0] &= ~(0x80ul << 40);
    run("int20 np", f_int20);
    gate(0x20, (u64)stubs + 16 * 0x20, 0x10, 0, 0x8e);
    run("int20 data sel", f_int20);
    gate(0x20, (u64)stubs + 16 * 0x20, 0x28, 0, 0x8e);
    run("int20 user code sel", f_int20);
    gate(0x20, (u64)stubs + 16 * 0x20, 0, 0, 0x8e);
    run("int20 null sel", f_int20);
    gate(0x20, (u64)stubs + 16 * 0x20, 0x208, 0, 0x8e);
    run("int20 beyond", f_int20);
    gate(0x20, (u64)stubs + 16 * 0x20, 0x18, 0, 0x86);
    run("int20 16-bit gate", f_int20);
    gate(0x20, (u64)stubs + 16 * 0x20, 0x18, 0, 0x85);
    run("int20 task gate", f_int20);
    gate(0x20, (u64)stubs + 16 * 0x20, 0x18, 1, 0x8f);
    run("int20 trap ist", f_int20);
    gate(0x20, 0x900000000000ul, 0x18, 0, 0x8e);
    run("int20 nc target", f_int20);
    gate(0x20, (u64)stubs + 16 * 0x20, 0x18, 0, 0x8e);
}

static void segments(void)
{
    static const u8 access[] = { 0x93, 0x91, 0x95, 0x97, 0x99, 0x9b, 0x9d, 0x9f, 0xf3, 0xf1, 0xf9, 0xfb, 0xfd, 0xff, 0xb3, 0xd3, 0x13, 0x1b,
                                 0x82, 0x89, 0x8b, 0x8c, 0x8e, 0x8f, 0x85, 0x81, 0x80, 0x90, 0x98 };
    for (unsigned i = 0; i < sizeof(access); i++) {
        gdt[20] = desc(0x1000, 0xabcde, access[i], i & 1 ? 0xc : 0x4);
        gdt[21] = 0;
        text("- access ");
        hex(access[i]);
        text("\n");
        for (u64 rpl = 0; rpl < 4; rpl += 3) {
            arg0 = 0xa0 | rpl;
            run("ds", f_ds);
            run("ss", f_ss);
            run("lar", f_lar);
            run("lsl", f_lsl);
            run("verr", f_verr);
            run_user("u ds", f_user_ds);
            run_user("u ss", f_user_ss);
            run_user("u lar", f_user_lar);
            run_user("u lsl", f_user_lsl);
            run_user("u verr", f_user_verr);
        }
        text("after ");
        hex(gdt[20]);
        text("\n");
    }
}

static void system_segments(void)
{
    for (arg0 = 0; arg0 < 4; arg0++) {
        run("ds null", f_ds);
        run("ss null", f_ss);
        run_user("u ds null", f_user_ds);
        run_user("u ss null", f_user_ss);
        run("lar null", f_lar);
    }
    arg0 = 0x200;
    run("ds beyond", f_ds);
    run("lar beyond", f_lar);
    arg0 = 0xa4;
    run("ds no ldt", f_ds);
    run("lar no ldt", f_lar);
    gdt[22] = desc((u32)(u64)&gdt[20], 15, 0x82, 0);
    gdt[23] = 0;
    gdt[20] = desc(0, 0xfffff, 0x93, 0xc);
    arg0 = 0xb0;
    run("lldt", f_lldt);
    arg0 = 4;
    run("ds ldt", f_ds);
    arg0 = 0xc;
    run("ds ldt 1", f_ds);
    arg0 = 0x14;
    run("ds ldt beyond", f_ds);
    arg0 = 0;
    run("lldt null", f_lldt);
    arg0 = 0xa0;
    run("lldt data", f_lldt);
    arg0 = 0x40;
    run("ltr busy", f_ltr);
    arg0 = 0;
    if (extra)
        run("ltr null", f_ltr);
    gdt[23] = 0x8000;
    gdt[22] = desc(0, 0x67, 0x89, 0);
    arg0 = 0xb0;
    if (extra)
        run("ltr nc base", f_ltr);
    gdt[23] = 0;
    gdt[22] = desc(0, 0x67, 0x09, 0);
    run("ltr np", f_ltr);
}

static void transfers(void)
{
    static const u64 cs[] = { 0, 3, 0x18, 0x1b, 0x19, 0x3b, 0x38, 0x2b, 0x10, 0x33, 0x40, 0x208, 0xa0, 0xa3 };
    static const u64 ss[] = { 0, 3, 0x10, 0x33, 0x30, 0x18, 0x208 };
    gdt[20] = desc(0, 0xfffff, 0x1b, 0xa);                 /* not present */
    for (unsigned i = 0; i < sizeof(cs) / 8; i++) {
        for (unsigned k = 0; k < sizeof(ss) / 8; k++) {
            arg0 = cs[i];
            arg1 = ss[k];
            text("cs ");
            hex(arg0);
            text(" ss ");
            hex(arg1);
            text("\n");
            if (arg0 != 0x2b)
                run(" iret", f_iret);
            if (arg0 != 0x2b)
                run(" lret outer", f_lret_outer);
        }
        if (arg0 != 0x2b) {
            run(" lret", f_lret);
            run(" lcall", f_lcall);
            run(" ljmp", f_ljmp);
            run_user(" u lcall", f_user_lcall);
        }
    }
    arg0 = 0x18;
    arg1 = 0;
    run("iret nc", f_iret_nc);
    arg0 = 0x3b;
    arg1 = 0x33;
    run("iret nc user", f_iret_nc);
    run("iret nt", f_iret_nt);
    /* call gates */
    static const struct { u16 sel; u8 access, high; } gates[] = {
        { 0x18, 0x8c, 0 }, { 0x18, 0xec, 0 }, { 0x38, 0xec, 0 }, { 0x18, 0x6c, 0 }, { 0x28, 0xec, 0 }, { 0, 0xec, 0 }, { 0x208, 0xec, 0 },
        { 0x18, 0xe4, 0 }, { 0x18, 0xec, 1 }, { 0x10, 0xec, 0 },
    };
    for (unsigned i = 0; i < sizeof(gates) / sizeof(gates[0]); i++) {
        u64 t = (u64)f_gate_target;
        gdt[20] = (t & 0xffff) | (u64)gates[i].sel << 16 | (u64)gates[i].access << 40 | (t >> 16 & 0xffff) << 48;
        gdt[21] = t >> 32 | (u64)gates[i].high << 40;
        for (arg0 = 0xa0; arg0 <= 0xa3; arg0 += 3) {
            text("gate ");
            hex(i);
            text("\n");
            run(" lcall", f_lcall);
            run(" ljmp", f_ljmp);
            run_user(" u lcall", f_user_lcall);
        }
    }
}

static void paging(void)
{
    const u64 page = 0x300000, pa = 0x300000;
    static const u64 bits[] = { 0, 1, 3, 5, 7, 0x8000000000000003ul, 0x8000000000000007ul, 0x8000000000000005ul, 0x0008000000000007ul, 0x7ff0000000000007ul };
    u64 cr4 = cr(4), cr0 = cr(0);
    *(volatile u8 *)page = 0xc3;
    arg0 = page;
    for (unsigned mode = 0; mode < 8; mode++) {
        set_cr(4, cr4 | (mode & 1 ? 1ul << 20 : 0) | (mode & 2 ? 1ul << 21 : 0));
        set_cr(0, mode & 4 ? cr0 & ~0x10000ul : cr0 | 0x10000);
        for (unsigned i = 0; i < sizeof(bits) / 8; i++) {
            /* kernel code is in user pages here: SMEP and SMAP would stop us at once, so those pages become kernel ones */
            text("pte ");
            hex(bits[i]);
            text(" mode ");
            hex(mode);
            text("\n");
            void (*const k[])(void) = { f_load, f_store, f_jump, f_stac_load };
            static const char *const n[] = { " load", " store", " exec", " stac" };
            for (unsigned j = 0; j < 4; j++) {
                if (j == 3 && !(mode & 2))
                    continue;
                set_pte(page, bits[i] ? pa | bits[i] : 0);
                run(n[j], k[j]);
                text("  pte ");
                hex(*pte(page));
                text("\n");
            }
        }
    }
    set_cr(0, cr0);
    set_cr(4, cr4);
    set_pte(page, pa | 7);
}

/* Pages of code, stack and tables as kernel pages, except where user code must see them. */
static void paging_user(void)
{
    const u64 page = 0x300000;
    static const u64 bits[] = { 0, 1, 3, 5, 7, 0x8000000000000003ul, 0x8000000000000007ul, 0x0008000000000007ul };
    arg0 = page;
    set_pte(page, page | 7);
    *(volatile u8 *)page = 0xcd;
    *(volatile u8 *)(page + 1) = 0x80;
    for (unsigned i = 0; i < sizeof(bits) / 8; i++) {
        text("user pte ");
        hex(bits[i]);
        text("\n");
        set_pte(page, bits[i] ? page | bits[i] : 0);
        run_user(" load", f_user_load);
        set_pte(page, bits[i] ? page | bits[i] : 0);
        run_user(" store", f_user_store);
        set_pte(page, bits[i] ? page | bits[i] : 0);
        run_user(" exec", f_user_jump);
        text("  pte ");
        hex(*pte(page));
        text("\n");
    }
    set_pte(page, page | 7);
}

static void kernel_pages(int on)
{
    for (u64 va = 0; va < 0x400000; va += 4096)
        *pte(va) = (*pte(va) & ~4ul) | (on ? 0 : 4);
    set_cr(3, cr(3));
}

static void protection_keys(void)
{
    const u64 page = 0x300000;
    u64 cr4 = cr(4);
    set_cr(4, cr4 | 1ul << 22);
    for (u32 rights = 0; rights < 4; rights++) {
        set_pte(page, page | 7 | 5ul << 59);
        __asm__ volatile("wrpkru" : : "a"(rights << 10), "c"(0), "d"(0));
        arg0 = page;
        text("pkru ");
        hex(rights);
        text("\n");
        run(" load", f_load);
        run(" store", f_store);
        run_user(" u load", f_user_load);
        run_user(" u store", f_user_store);
        run_user(" u exec", f_user_jump);
    }
    __asm__ volatile("wrpkru" : : "a"(0), "c"(0), "d"(0));
    set_cr(4, cr4);
    set_pte(page, page | 7);
}

/* The independent emulator has no INVPCID. */
static void invpcid(u64 page, u64 other)
{
    *pte(page) = page | 7;
    scratch[0] = 5;
    scratch[1] = page;
    __asm__ volatile("invpcid scratch, %0" : : "r"(0ul) : "memory");
    field("j", *(volatile u64 *)page);
    *pte(page) = other | 7;
    __asm__ volatile("invpcid scratch, %0" : : "r"(1ul) : "memory");
    field("k", *(volatile u64 *)page);
    *pte(page) = page | 7;
    __asm__ volatile("invpcid scratch, %0" : : "r"(2ul) : "memory");
    field("l", *(volatile u64 *)page);
    text("\n");
    arg0 = 4;
    run("invpcid type", f_invpcid);
    scratch[0] = 0x1000;
    arg0 = 0;
    run("invpcid rsvd", f_invpcid);
    scratch[0] = 5;
    scratch[1] = 0x8000000000000000ul;
    run("invpcid nc", f_invpcid);
    u64 cr4 = cr(4), cr3 = cr(3);
    set_cr(3, cr3 & ~0xffful);
    set_cr(4, cr4 & ~(1ul << 17));
    scratch[1] = 0;
    run("invpcid pcide 0", f_invpcid);
    set_cr(4, cr4);
    set_cr(3, cr3);
}

/* Stale and flushed translations: what must be seen after which instruction. */
static void tlb(void)
{
    const u64 page = 0x300000, other = 0x301000;
    u64 cr4 = cr(4);
    *(volatile u64 *)page = 0x1111;
    *(volatile u64 *)other = 0x2222;
    set_pte(page, page | 7);
    field("a", *(volatile u64 *)page);
    *pte(page) = other | 7;
    invlpg(page);
    field("b", *(volatile u64 *)page);
    *pte(page) = page | 7;
    set_cr(3, cr(3));
    field("c", *(volatile u64 *)page);
    *pte(page) = other | 0x107;                            /* global */
    set_cr(4, cr4 | 0x80);
    invlpg(page);
    field("d", *(volatile u64 *)page);
    *pte(page) = page | 7;
    invlpg(page);
    field("e", *(volatile u64 *)page);
    *pte(page) = other | 7;
    set_cr(4, cr(4) ^ 0x80);
    field("f", *(volatile u64 *)page);
    set_cr(4, cr4 | 1ul << 17);                            /* PCID */
    set_cr(3, cr(3) | 5);
    *pte(page) = page | 7;
    invlpg(page);
    field("g", *(volatile u64 *)page);
    *pte(page) = other | 7;
    set_cr(3, (cr(3) & ~0xffful) | 6);
    field("h", *(volatile u64 *)page);
    set_cr(3, (cr(3) & ~0xffful) | 5);
    field("i", *(volatile u64 *)page);
    if (extra)
        invpcid(page, other);
    set_cr(3, cr(3) & ~0xffful);
    set_cr(4, cr4);
    text("\n");
    run("invlpg nc", f_invlpg_nc);
}

static void msrs(void)
{
    static const struct { u32 msr; u64 v; } w[] = {
        { 0xc0000082, 0x8000000000000000ul }, { 0xc0000082, 0x1234 }, { 0xc0000100, 0x800000000000ul }, { 0xc0000101, 0xffff800000000000ul },
        { 0xc0000102, 0x800000000000ul }, { 0x175, 0x800000000000ul }, { 0x277, 0x0007040600070406ul }, { 0x277, 2 }, { 0x277, 8 },
        { 0xc0000080, 0x501 }, { 0xc0000103, 5 }, { 0x174, 0x18 }, { 0xc0000084, 0x47700 },
    };
    for (unsigned i = 0; i < sizeof(w) / sizeof(w[0]); i++) {
        text("msr ");
        hex(w[i].msr);
        text(" ");
        hex(w[i].v);
        arg0 = w[i].msr;
        arg1 = w[i].v;
        if (w[i].msr == 0xc0000082)
            wrmsr(w[i].msr, 0x1000);
        u64 old = rdmsr(w[i].msr);
        run(" wrmsr", f_wrmsr);
        run(" rdmsr", f_rdmsr);
        wrmsr(w[i].msr, old);
    }
}

static void control(void)
{
    u64 c0 = cr(0), c4 = cr(4);
    static const u64 x0[] = { 0x80000000, 0x20000000, 1, 0x100000000 };
    for (unsigned i = extra ? 0 : 4; i < 4; i++) {
        arg0 = i == 0 ? c0 & ~0x80000000ul : i == 1 ? (c0 | 0x20000000) & ~0x40000000ul : i == 2 ? c0 & ~1ul : c0 | x0[i];
        run("cr0", f_cr0);
    }
    arg0 = c4 & ~0x20ul;
    if (extra)
        run("cr4 pae", f_cr4);
    arg0 = c4 | 1ul << 12;
    run("cr4 la57", f_cr4);
    if (extra) {
        arg0 = c4 | 1ul << 15;
        run("cr4 rsvd", f_cr4);
        arg0 = c4 | 1ul << 40;
        run("cr4 rsvd high", f_cr4);
        arg0 = cr(3) | 1ul << 60;
        run("cr3 rsvd", f_cr3);
    }
    arg0 = 16;
    run("cr8 rsvd", f_cr8);
    arg0 = 5;
    run("cr8", f_cr8);
    arg0 = 0;
    run("cr8 0", f_cr8);
}

static void registers(void)
{
    u64 c0 = cr(0), c4 = cr(4);
    run("dr4", f_dr4);
    set_cr(4, c4 | 8);
    run("dr4 de", f_dr4);
    set_cr(4, c4);
    arg0 = 0x100000000;
    run("dr7 high", f_dr7);
    run("dr6 high", f_dr6);
    arg0 = 0;
    run("dr7", f_dr7);
    arg0 = 0xfffff;
    run("dr6", f_dr6);
    arg0 = 0xffff0ff0;
    run("dr6", f_dr6);
    if (extra)
        run("lidt nc", f_lidt_nc);
    set_cr(4, c4 | 1ul << 16);
    arg0 = 0x1234567;
    run("wrgsbase", f_wrgsbase);
    arg0 = 0x800000000000ul;
    run("wrgsbase nc", f_wrgsbase);
    wrmsr(0xc0000102, 0x4242);
    run("swapgs", f_swapgs);
    set_cr(4, c4);
    run("wrgsbase off", f_wrgsbase);
    arg0 = 0x44402;
    run("popf", f_popfq);
    set_cr(4, c4 | 1ul << 11);
    run_user("umip sgdt", f_user_sgdt);
    run_user("umip smsw", f_user_smsw);
    set_cr(4, c4 | 4);
    run_user("tsd rdtsc", f_user_rdtsc);
    set_cr(4, c4);
    run("xgetbv off", f_xgetbv);
    run("fxsave misaligned", f_fxsave_mis);
    run("fxsave", f_fx);
    scratch[3] = 0xffffffff;
    run("fxrstor bad mxcsr", f_fxrstor_bad);
    set_cr(0, c0 | 8);
    run("fxsave ts", f_fx);
    set_cr(0, c0);
}

static void syscalls(void)
{
    wrmsr(0xc0000081, 0x0020001000000000ul | 0x0003000000000000ul | 0x00000018ul << 32);
    wrmsr(0xc0000081, (u64)0x23 << 48 | (u64)0x18 << 32);
    wrmsr(0xc0000082, (u64)f_syscall_entry);
    wrmsr(0xc0000083, (u64)f_syscall_entry);
    wrmsr(0xc0000084, 0x47700);
    run_user("syscall", f_user_syscall);
    run_compat("syscall compat", c_syscall);
    run_compat("sysenter compat", c_sysenter);
    run_user("sysenter", f_user_sysenter);
    arg0 = (u64)c_int80;
    run("sysretl", f_sysretl);
    wrmsr(0xc0000081, (u64)0x2b << 48 | (u64)0x18 << 32);
    arg0 = (u64)f_user_int80;
    run("sysretq", f_sysretq);
    arg0 = 0x800000000000ul;
    run("sysretq nc", f_sysretq);
    wrmsr(0xc0000080, rdmsr(0xc0000080) & ~1ul);
    run_user("syscall off", f_user_syscall);
    run("sysret off", f_sysretq);
    wrmsr(0xc0000080, rdmsr(0xc0000080) | 1);
}

static void compat(void)
{
    run_compat("compat int80", c_int80);
    run_compat("compat stack", c_stack);
    run_compat("compat ljmp", c_ljmp);
    run_compat("compat ljmp bad", c_ljmp_bad);
    run_compat("compat ds0", c_ds0);
    run_compat("compat into", c_into);
    run_compat("compat wrap", c_wrap);
}

static void io(void)
{
    static const u16 ports[] = { 0x80, 0x81, 0x87, 0x88, 0xffff };
    for (unsigned i = 0; i < sizeof(ports) / 2; i++) {
        arg0 = ports[i];
        text("port ");
        hex(arg0);
        text("\n");
        run_user(" in", f_user_in);
        tss[104 + ports[i] / 8] &= ~(1 << (ports[i] & 7));
        run_user(" in allowed", f_user_in);
        run_user(" inl", f_user_inl);
        tss[104 + ports[i] / 8] |= 1 << (ports[i] & 7);
    }
    user_flags |= 0x3000;
    arg0 = 0x80;
    run_user("in iopl", f_user_in);
    user_flags &= ~0x3000ul;
    *(u16 *)(tss + 102) = 0xffff;
    run_user("in no map", f_user_in);
    *(u16 *)(tss + 102) = 104;
}

static void stacks(void)
{
    u64 old = *(u64 *)(tss + 4);
    w64(tss + 4, 0x8000000000000000ul);
    run_user("rsp0 nc", f_user_int80);
    w64(tss + 4, 0x30000000);                              /* not mapped */
    run_user("rsp0 unmapped", f_user_int80);
    w64(tss + 4, old);
    gate(14, (u64)stubs + 16 * 14, 0x208, 0, 0x8e);
    arg0 = 0x30000000;
    run("pf gate bad", f_load);
    gate(14, (u64)stubs + 16 * 14, 0x18, 0, 0x8e);
    gate(0, (u64)stubs, 0x208, 0, 0x8e);
    run("de gate bad", f_div);
    gate(0, (u64)stubs, 0x18, 0, 0x0e);
    run("de gate np", f_div);
    gate(0, (u64)stubs, 0x18, 0, 0x8e);
    gate(6, (u64)stubs + 16 * 6, 0x208, 0, 0x8e);
    run("ud gate bad", f_ud2);
    gate(6, (u64)stubs + 16 * 6, 0x18, 0, 0x8e);
    gate(3, (u64)stubs + 16 * 3, 0x208, 0, 0xee);
    run("int3 gate bad", f_int3);
    gate(3, (u64)stubs + 16 * 3, 0x18, 0, 0xee);
}

static void set_dr(int n, u64 v)
{
    if (n == 0) __asm__ volatile("mov %0, %%dr0" : : "r"(v));
    if (n == 7) __asm__ volatile("mov %0, %%dr7" : : "r"(v));
}

static void debug(void)
{
    run("tf", f_tf);
    run("tf ss", f_tf_ss);
    user_flags |= 0x100;
    run_user("user tf", f_user_int80);
    run_user("user tf 2", f_user_load);
    user_flags &= ~0x100ul;
    set_dr(0, (u64)&scratch[8]);
    set_dr(7, 0xd0403);
    run("bp write", f_bp_data);
    run("bp write, read", f_bp_read);
    set_dr(7, 0xf0403);
    run("bp rw, read", f_bp_read);
    set_dr(0, (u64)f_bp_exec + 2);
    set_dr(7, 0x403);
    run("bp exec", f_bp_exec);
    set_dr(7, 0x2400);
    run("gd", f_dr7);
    set_dr(7, 0x400);
}

int main(void)
{
    extra = is_ours();
    setup();
    basics();
    segments();
    system_segments();
    transfers();
    compat();
    syscalls();
    io();
    msrs();
    control();
    registers();
    stacks();
    debug();
    tlb();
    paging_user();
    protection_keys();
    kernel_pages(1);
    paging();
    text("end\n");
    return 0;
}
