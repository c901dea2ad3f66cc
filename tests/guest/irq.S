/*
 * Interrupt controllers, whoever has them: local APIC with its timer and CR8, I/O APIC with edges and levels, 8259s through LINT0, 8254, NMI. Ring 0 only,
 * so that it runs under a KVM whose ring 3 is at fault too. With LEVELS (irqlevel.S) also what takes a local APIC that keeps vectors in service. pc-testdev's port 0x2000 + n drives line n.
 */
#define MODE 64
#include "tests/guest/guest.inc"
#define LINE(n) (0x2000 + (n))
#define IOAPIC 0xfec00000
#define COUNT 0x21000              /* .. + 4 * vector: how often it came */
#define KEEP 0x21800               /* level: how often the line stays up after an EOI */

.macro redirect pin, low
    movl $0x10 + 2 * \pin, (%r14)
    movl $\low, 16(%r14)
    movl $0x11 + 2 * \pin, (%r14)
    movl $0, 16(%r14)
.endm
.macro line n, level
    movw $LINE(\n), %dx
    movb $\level, %al
    outb %al, %dx
.endm
.macro port n, val
    movb $\val, %al
    outb %al, $\n
.endm

main:
    lidt idtr
    gate 2, nmi
    gate 0x40, int_40
    gate 0x41, int_41
    gate 0x60, int_60
    gate 0x61, int_61
    gate 0x62, int_62
    gate 0x75, int_75
    gate 0x27, spurious
    movl $COUNT, %edi
    xorl %eax, %eax
    movl $0x240, %ecx
    rep stosl
    movl $LAPIC, %r15d
    movl $IOAPIC, %r14d
    movl $0x1ff, 0xf0(%r15)

    /* self IPI, held back by CR8, then by the TPR of the page */
    movl $5, %eax
    mov %rax, %cr8
    movl $0x44041, 0x300(%r15)
    sti
    call a_while
    check_eq 1, $0, COUNT+4*0x41, l
    cmpl $0x50, 0x80(%r15)
    check 2, je
    xorl %eax, %eax
    mov %rax, %cr8
    inb $0xe0, %al                  /* KVM without local APIC may not tell of a CR8 that its emulator lowered */
    call a_while
    check_eq 3, $1, COUNT+4*0x41, l
    movl $0x40, 0x80(%r15)
    mov %cr8, %rax
    check_eq 4, $4, %eax
    movl $0x44041, 0x300(%r15)
    call a_while
    check_eq 5, $1, COUNT+4*0x41, l
    movl $0, 0x80(%r15)
    call a_while
    check_eq 6, $2, COUNT+4*0x41, l
    /* the same by an instruction that KVM's emulator does not know: the assistant engine writes to an APIC that is not its own */
    mov %cr4, %rax
    orl $0x600, %eax
    mov %rax, %cr4
    movl $0x44041, %eax
    movd %eax, %xmm1
    movd %xmm1, 0x300(%r15)
    call a_while
    check_eq 26, $3, COUNT+4*0x41, l
    movd 0x300(%r15), %xmm2
    movd %xmm2, %eax
    check_eq 27, $0x44041, %eax

    /* local APIC timer: one shot, asleep until it comes; then periodic */
    movl $0xb, 0x3e0(%r15)
    movl $0x40, 0x320(%r15)
    cli
    movl $200000, 0x380(%r15)
1:  sti
    hlt
    cli
    cmpl $1, COUNT+4*0x40
    jne 1b
    movl $0x20040, 0x320(%r15)
    movl $300000, 0x380(%r15)
    sti
1:  inb $0xe0, %al
    cmpl $20, COUNT+4*0x40
    jb 1b
    movl $0x10040, 0x320(%r15)
    movl $0, 0x380(%r15)

    /* I/O APIC: an edge comes once, again after the line fell */
    redirect 5, 0x61
    line 5, 1
    call a_while
    check_eq 7, $1, COUNT+4*0x61, l
    line 5, 1
    call a_while
    check_eq 8, $1, COUNT+4*0x61, l
    line 5, 0
    line 5, 1
    call a_while
    check_eq 9, $2, COUNT+4*0x61, l
    line 5, 0
    redirect 5, 0x10000
#ifdef LEVELS
    /* a level comes again after each EOI until the line falls */
    movl $3, KEEP
    redirect 20, 0x8060
    line 20, 1
    call a_while
    check_eq 10, $4, COUNT+4*0x60, l
    /* the same masked meanwhile */
    redirect 20, 0x18060
    line 20, 1
    call a_while
    check_eq 11, $4, COUNT+4*0x60, l
    redirect 20, 0x8060
    call a_while
    check_eq 12, $5, COUNT+4*0x60, l

#endif
    /* 8259s: slave's input 13 - 8 = 5 as vector 0x75, through LINT0 as ExtINT */
    port 0x20, 0x11
    port 0x21, 0x20
    port 0x21, 4
    port 0x21, 1
    port 0xa0, 0x11
    port 0xa1, 0x70
    port 0xa1, 2
    port 0xa1, 1
    port 0x21, 0xfb
    port 0xa1, 0xff
    movl $0x700, 0x350(%r15)
    line 13, 1
    line 13, 0
    call a_while
    check_eq 13, $0, COUNT+4*0x75, l
    port 0xa1, 0xdf
    call a_while
    check_eq 14, $1, COUNT+4*0x75, l
    cli
    line 13, 1
    line 13, 0
1:  sti
    hlt
    cli
    cmpl $2, COUNT+4*0x75
    jne 1b
    sti
    movl $0x10700, 0x350(%r15)
    line 13, 1
    line 13, 0
    call a_while
    check_eq 15, $2, COUNT+4*0x75, l
    movl $0x700, 0x350(%r15)
    cli
    sti                             /* KVM's own local APIC looks at the pin again only with an event like this */
    call a_while
    check_eq 16, $3, COUNT+4*0x75, l
    port 0xa1, 0xff

    /* 8254, 1 kHz, on pin 2: 50 ticks, and the APIC timer says about how long they took */
    redirect 2, 0x62
    movl $0x10040, 0x320(%r15)
    movl $-1, 0x380(%r15)
    port 0x43, 0x34
    port 0x40, 0xa9
    port 0x40, 4
1:  inb $0xe0, %al
    cmpl $50, COUNT+4*0x62
    jb 1b
    movl 0x390(%r15), %eax
    notl %eax
    cmpl $40000000, %eax
    check 17, ja
    redirect 2, 0x10000
    /* mode 0 ends once; a full count first, because KVM's goes on in mode 2 until there is one */
    port 0x43, 0x30
    port 0x40, 0xff
    port 0x40, 0xff
    call a_while
    redirect 2, 0x62
    movl COUNT+4*0x62, %ebp
    port 0x40, 0
    port 0x40, 8
1:  inb $0xe0, %al
    cmpl %ebp, COUNT+4*0x62
    je 1b
    incl %ebp
    call a_while
    check_eq 18, %ebp, COUNT+4*0x62, l

    /* the local APIC's MSRs, whoever has them: base; a deadline ends once and is 0 then */
    movl $0x1b, %ecx
    rdmsr
    check_eq 23, $LAPIC + 0x900, %eax
    movl $0x40040, 0x320(%r15)
    movl COUNT+4*0x40, %ebp
    rdtsc
    addl $3000000, %eax
    adcl $0, %edx
    movl $0x6e0, %ecx
    wrmsr
1:  inb $0xe0, %al
    cmpl %ebp, COUNT+4*0x40
    je 1b
    incl %ebp
    call a_while
    check_eq 24, %ebp, COUNT+4*0x40, l
    movl $0x6e0, %ecx
    rdmsr
    orl %edx, %eax
    check_eq 25, $0, %eax
    movl $0x10040, 0x320(%r15)

    /* NMI to itself: one inside the handler waits for its IRET */
    movl $0, COUNT+8
    xorl %ebp, %ebp
    movl $0x4400, 0x300(%r15)
    call a_while
    check_eq 19, $2, COUNT+8, l
    check_eq 20, $0, %ebp

#ifdef LEVELS
    /* a vector in service keeps its own class and lower ones out until EOI, a higher one comes through */
    gate 0x51, int_51
    gate 0x52, int_52
    movl COUNT+4*0x61, %ebp
    movl $0x44051, 0x300(%r15)
    call a_while
    check_eq 21, $0x521, COUNT, l
    check_eq 22, $1, COUNT+4*0x52, l
#endif
    jmp passed

int_51:
    pushq %rax
    movl $0x44052, 0x300(%r15)
    movl $0x44061, 0x300(%r15)
    sti
    call a_while
    cli
    movl COUNT+4*0x61, %eax
    subl %ebp, %eax                 /* 61 came meanwhile */
    movl COUNT+4*0x52, %ecx
    shll $4, %ecx
    subl %ecx, %eax                 /* 52 did not */
    addl $0x520, %eax
    movl %eax, COUNT
    popq %rax
    movl $0, 0xb0(%r15)
    iretq
    /* With exits: a KVM that emulates ring 0 was seen to forget a pending interrupt in a loop without any. */
a_while:
    pushq %rcx
    movl $100, %ecx
1:  inb $0xe0, %al
    pause
    decl %ecx
    jnz 1b
    popq %rcx
    ret
.macro handler v
int_\v:
    incl COUNT+4*0x\v
    movl $0, 0xb0(%r15)
    iretq
.endm
    handler 40
    handler 41
    handler 52
    handler 61
    handler 62
int_60:
    incl COUNT+4*0x60
    subl $1, KEEP
    jns 1f
    pushq %rax
    pushq %rdx
    line 20, 0
    popq %rdx
    popq %rax
1:  movl $0, 0xb0(%r15)
    iretq
int_75:
    incl COUNT+4*0x75
    pushq %rax
    port 0xa0, 0x20
    port 0x20, 0x20
    popq %rax
    iretq
spurious:
    iretq
nmi:
    incl COUNT+8
    cmpl $1, COUNT+8
    jne 1f
    pushq %rax
    movl $0x4400, 0x300(%r15)
    call a_while
    popq %rax
    cmpl $1, COUNT+8
    je 1f
    incl %ebp
1:  iretq
