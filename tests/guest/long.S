/* 64-bit mode: ring 3 by SYSRET and back, page faults, local APIC timer, NMI blocked until IRET, self IPI, memory device. */
#define MODE 64
#include "tests/guest/guest.inc"

main:
    lidt idtr
    gate 2, nmi
    gate 14, page_fault
    gate 0x40, tick
    gate 0x41, ipi
    /* a non-canonical hole is #GP, an unmapped page #PF: unmap 1 GiB to 2 GiB */
    movq $0, PT + 0x1008
    mov %cr3, %rax
    mov %rax, %cr3
    xorl %ebp, %ebp
    movq $1, 0x40000123
    check_eq 1, $14, %ebp
    check_eq 2, $2, %edi
    /* 64-bit arithmetic */
    movabs $0x123456789abcdef0, %rax
    movabs $0xfedcba9876543210, %rcx
    mul %rcx
    movabs $0x121fa00ad77d7422, %rcx
    check_eq 3, %rcx, %rdx
    movq $-7, %rax
    cqto
    movl $2, %ecx
    idivq %rcx
    check_eq 4, $-3, %rax
    check_eq 5, $-1, %rdx
    xorl %eax, %eax
    bts $63, %rax
    check 6, jnc
    bsr %rax, %rcx
    check_eq 7, $63, %ecx
    movl $5, %eax
    lock xaddl %eax, counter_ram
    /* local APIC: enable, self IPI */
    movl $0xfee00000, %r15d
    movl $0x1ff, 0xf0(%r15)
    xorl %edi, %edi
    movl $0x44041, 0x300(%r15)      /* fixed, self, vector 0x41 */
    sti
    call a_while
    cli
    check_eq 8, $1, %edi
    /* timer, one shot, divide by 1; asleep until it comes */
    movl $0xb, 0x3e0(%r15)
    movl $0x40, 0x320(%r15)
    movl $100000, 0x380(%r15)
    xorl %edi, %edi
    sti
1:  hlt
    cmpl $1, %edi
    jne 1b
    movl $0x20040, 0x320(%r15)      /* periodic, while running */
    movl $50000, 0x380(%r15)
1:  cmpl $20, %edi
    jb 1b
    movl $0, 0x380(%r15)
    cli
    /* NMI to itself: one inside the handler waits for its IRET */
    xorl %edi, %edi
    xorl %ebp, %ebp
    movl $0x4400, 0x300(%r15)
    call a_while
    check_eq 9, $2, %edi
    check_eq 10, $0, %ebp
    /* 64 KiB of device memory read back, all widths and across dwords */
    movl $0xff000000, %ebx
    movabs $0x1122334455667788, %rax
    movq %rax, (%rbx)
    cmpq %rax, (%rbx)
    check 11, je
    cmpl $0x33445566, 2(%rbx)
    check 12, je
    movb $0x99, 7(%rbx)
    cmpw $0x9922, 6(%rbx)
    check 13, je
    lea 0x100(%rbx), %rdi           /* string instructions on it */
    mov %rbx, %rsi
    movl $8, %ecx
    rep movsb
    cmpb $0x99, 0x107(%rbx)
    check 14, je
    addl $1, (%rbx)                 /* read-modify-write */
    cmpl $0x55667789, (%rbx)
    check 15, je
    /* ring 3 and back */
    orb $4, PT
    orb $4, PT + 0x1000
    orb $4, PT + 0x2000
    mov %cr3, %rax
    mov %rax, %cr3
    movl $0xc0000080, %ecx
    rdmsr
    orl $1, %eax
    wrmsr
    movl $0xc0000081, %ecx
    xorl %eax, %eax
    movl $0x00200018, %edx          /* SYSRET: CS 0x30, SS 0x28; SYSCALL: CS 0x18, SS 0x20 */
    wrmsr
    movl $0xc0000082, %ecx
    movl $system_call, %eax
    xorl %edx, %edx
    wrmsr
    movl $0xc0000084, %ecx
    movl $0x200, %eax
    wrmsr
    xorl %ebp, %ebp
    movl $ring3, %ecx
    movl $2, %r11d
    sysretq
back:
    check_eq 16, $1000, %ebp
    check_eq 17, $0x33, %r8d
    jmp passed

a_while:
    movl $1000, %eax
1:  pause
    decl %eax
    jnz 1b
    ret
ring3:
    movw %cs, %r8w
    movzwl %r8w, %r8d
    incl %ebp
    syscall
    cmpl $1000, %ebp
    jb ring3
    ud2
system_call:
    cmpl $1000, %ebp
    je back
    sysretq
page_fault:
    movl $14, %ebp
    popq %rdi
    movq $PT + 0x3003, PT + 0x1008
    iretq
tick:
ipi:
    incl %edi
    movl $0, 0xb0(%r15)
    iretq
nmi:
    incl %edi
    cmpl $1, %edi
    jne 1f
    movl $0x4400, 0x300(%r15)      /* a second one: not before the iretq */
    call a_while
    cmpl $1, %edi
    je 1f
    incl %ebp
1:  iretq
    .set counter_ram, 0x21000
