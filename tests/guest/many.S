/* All CPUs start: each counts itself in, enables its APIC and sleeps; then one message wakes all of them. Their number is in fw_cfg (item 5). */
#define MODE 64
#include "tests/guest/guest.inc"
#define ALIVE 0x21000
#define WOKEN 0x21040

main:
    movw $5, %ax                    /* FW_CFG_NB_CPUS */
    movw $0x510, %dx
    outw %ax, %dx
    incw %dx
    inb %dx, %al
    movzbl %al, %r14d
    inb %dx, %al
    movb %al, %ah
    xorb %al, %al
    movzwl %ax, %eax
    addl %eax, %r14d
    decl %r14d                      /* the others */
    movl $LAPIC, %r15d
    movl $0x1ff, 0xf0(%r15)
    movb $0xea, AP_PAGE
    movw $REAL(ap16), AP_PAGE + 1
    movw $0xf000, AP_PAGE + 3
    movl $0xc4500, 0x300(%r15)      /* INIT to all but self */
    movl $1000, %ecx
1:  pause
    loop 1b
    movl $0xc4620, 0x300(%r15)      /* SIPI, page 0x20 */
1:  pause
    cmpl %r14d, ALIVE
    jne 1b
    movl $0xc0400, 0x300(%r15)      /* NMI to all but self: a halt ends, whatever the flags */
1:  pause
    cmpl %r14d, WOKEN
    jne 1b
    jmp passed

    .code16
ap16:
    cli
    xorw %ax, %ax
    movw %ax, %ds
    /* a stack of 128 bytes for each: 0x30000 on, by the number that the lock gives */
    movw $0x2000, %ax
    movw %ax, %ds
    movw $1, %bx
    lock xaddw %bx, 0x1080
    shlw $7, %bx
    movw $0x3000, %ax
    movw %ax, %ss
    leaw 128(%bx), %sp
    xorw %ax, %ax
    movw %ax, %ds
    movw $REAL(nmi), 8
    movw $0xf000, 10
    movw $0x2000, %ax
    movw %ax, %ds
    lock incl 0x1000
1:  hlt
    jmp 1b
nmi:
    lock incl 0x1040
    iretw
