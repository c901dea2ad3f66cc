/*
 * System management mode: an SMI through the PIIX4's APMC port, what the processor saves (AMD APM 2, table 10-1), what the handler finds, changes that RSM
 * takes over, the base that moves, HLT that goes on, RSM outside.
 */
#define MODE 64
#include "tests/guest/guest.inc"
#define SEEN 0x21000            /* what handlers leave: cr0, cr4, eflags, cs, count */
#define OLD 0x30000
#define NEW 0x40000

main:
    lidt idtr
    gate 6, undefined
    /* PCI 00:01.3, DEVACTB: APMC_EN */
    movl $0x80000b58, %eax
    movw $0xcf8, %dx
    outl %eax, %dx
    movw $0xcfc, %dx
    inl %dx, %eax
    orl $1 << 25, %eax
    outl %eax, %dx
    /* handlers at both bases */
    movl $handler, %esi
    movl $OLD + 0x8000, %edi
    movl $handler_end - handler, %ecx
    rep movsb
    movl $handler, %esi
    movl $NEW + 0x8000, %edi
    movl $handler_end - handler, %ecx
    rep movsb
    movl $0, SEEN + 16
    /* first */
    movabsq $0x1122334455667788, %rbx
    movabsq $0x8877665544332211, %r15
    movl $0x41, %eax
    stc
    outb %al, $0xb2
first:
    check 1, jc
    .rept 8
    nop
    .endr
1:  cmpl $0, SEEN + 16
    je 1b
second:
    check_eq 2, $1, SEEN + 16, l
    movl SEEN, %eax
    andl $0x80000001, %eax
    check 3, jz
    check_eq 4, $0, SEEN + 4, l
    check_eq 5, $2, SEEN + 8, l
    check_eq 6, $0x3000, SEEN + 12, l
    /* the saved state */
    movq OLD + 0xff78, %rax         /* the pin may be seen some instructions later */
    subq $first, %rax
    cmpq $second - first, %rax
    check 7, jbe
    cmpq %r15, OLD + 0xff80
    check 8, je
    cmpq %rsp, OLD + 0xfff8 - 8 * 4
    check 9, je
    movq %cr3, %rax
    cmpq %rax, OLD + 0xff50
    check 10, je
    movq %cr0, %rax
    cmpq %rax, OLD + 0xff58
    check 11, je
    check_eq 12, $0x500, OLD + 0xfed0, l
    check_eq 13, $OLD, OLD + 0xff00, l
    check_eq 14, $0x20064, OLD + 0xfefc, l
    check_eq 15, $0x18, OLD + 0xfe10, w     /* CS: selector, rights (L, P, code) */
    movw OLD + 0xfe12, %ax
    andw $0xe0ff, %ax
    check_eq 16, $0xa09b, %ax
    /* what the handler wrote into the image of rbx came back */
    movabsq $0x0123456789abcdef, %rax
    cmpq %rax, %rbx
    check 17, je
    /* second: the handler moves the base, third: it is there */
    movb $0x42, %al
    outb %al, $0xb2
1:  cmpl $2, SEEN + 16
    jb 1b
    check_eq 18, $2, SEEN + 16, l
    movb $0x43, %al
    outb %al, $0xb2
1:  cmpl $3, SEEN + 16
    jb 1b
    check_eq 19, $3, SEEN + 16, l
    check_eq 20, $0x4000, SEEN + 12, l
    check_eq 21, $NEW, NEW + 0xff00, l
    /* RSM is for SMM only */
    xorl %ebp, %ebp
    rsm
    check_eq 22, $6, %ebp
    /* segments, paging and interrupts work as before */
    movw %cs, %ax
    check_eq 23, $0x18, %ax
    movw %ss, %ax
    check_eq 24, $0x10, %ax
    jmp passed
undefined:
    movl $6, %ebp
    addq $2, (%rsp)
    iretq

    .code16
handler:
    movl %cr0, %eax
    addr32 movl %eax, SEEN
    movl %cr4, %eax
    addr32 movl %eax, SEEN + 4
    movl $0x7000, %esp
    pushfl
    popl %eax
    addr32 movl %eax, SEEN + 8
    xorl %eax, %eax
    movw %cs, %ax
    addr32 movl %eax, SEEN + 12
    addr32 incl SEEN + 16
    movl %eax, %ebx
    shll $4, %ebx
    addr32 cmpl $1, SEEN + 16
    jne 1f
    addr32 movl $0x89abcdef, 0xff80 + 8 * 12(%ebx)
    addr32 movl $0x01234567, 0xff84 + 8 * 12(%ebx)
1:  addr32 cmpl $2, SEEN + 16
    jne 1f
    addr32 movl $NEW, 0xff00(%ebx)
1:  rsm
handler_end:
    .code64
