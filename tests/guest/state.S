/*
 * All of a CPU's state that ring 0 can see, set once and looked at again and again, with the local APIC's timer running, IPIs and NMIs pending: meant
 * for a machine that moves between engines (switch-us). What is lost on a move is a FAIL here; tests/guest/mutate.py takes fields away one by one.
 * Not looked at: CPUID and TSC (hosts exist where they are the host's own).
 */
#define MODE 64
#include "tests/guest/guest.inc"
#define TICKS 0x21000
#define IPIS 0x21004
#define NMIS 0x21008
#define BAD 0x2100c                 /* what interrupt handlers found: number of a check */
#define FAULTS 0x21010
#define SPIN 0x21018
#define ROUNDS 0x2101c
#define SPINNING 0x21020
#define MYGDT 0x9000
#define MYLDT 0x9100
#define TSS 0x9200
#define IST1 0x2a000                /* tops of stacks */
#define IST2 0x2b000
#define DATA 0x24000                /* where segments with a base point */
#define FX 0x27000                  /* image to load, image as found (0x28000) */
#define FOUND 0x28000
#define N_ROUNDS 50
#define SEL_DATA 0x40
#define SEL_FS 0x48
#define SEL_LDT 0x50
#define SEL_TSS 0x60

/*
 * Until the next tick, so that it lasts as long under a fast engine as under a slow one. Changes no flags, only ecx; with an exit now and then, because a KVM
 * that emulates ring 0 was seen to forget a pending interrupt in a loop without any.
 */
.macro spin
    movl $1, SPINNING
77: movl $60, %ecx
78: loop 78b
    outb %al, $0xe0
    movl SPINNING, %ecx
    jrcxz 79f
    jmp 77b
79:
.endm
/* The same with interrupts off. */
.macro spin_off n
    movl $\n, %ecx
77: loop 77b
.endm
/* IPIs get to %ebp and no further. With exits, as above. */
.macro arrive n
2:  inb $0xe0, %al
    cmpl %ebp, IPIS
    jb 2b
    check_eq \n, %ebp, IPIS, l
.endm
.macro desc at, low, high
    movl $\low, MYGDT+\at
    movl $\high, MYGDT+\at+4
.endm
/* @flip: bits that change from round to round, so that neither engine has the value from before */
.macro set_msr index, low, high, flip=0
    movl $\index, %ecx
    movl $\flip, %eax
    andl %r12d, %eax
    xorl $\low, %eax
    movl $\high, %edx
    wrmsr
.endm
.macro check_msr n, index, low, high, flip=0
    movl $\flip, %ebp
    andl %r12d, %ebp
    movl $\index, %ecx
    rdmsr
    xorl %ebp, %eax
    check_eq \n, $\low, %eax
    check_eq \n, $\high, %edx
.endm
.macro check_msrs
    check_msr 13, 0xc0000081, 0x10203040, 0x00180008, 0x1100
    check_msr 14, 0xc0000082, 0x00012340, 0x7f, 0x4440
    check_msr 15, 0xc0000083, 0x00012380, 0x7e, 0x2220
    check_msr 16, 0xc0000084, 0x47700, 0, 0x500
    check_msr 17, 0xc0000102, 0x5678000, 0x7d, 0x3000
    check_msr 18, 0x174, 0x18, 0, 0x40
    check_msr 19, 0x175, 0x89ab0, 0, 0x7700
    check_msr 20, 0x176, 0x9abc0, 0, 0x6600
    check_msr 21, 0x277, 0x04060007, 0x07010500, 0x2
    check_msr 54, 0x250, 0x06060606, 0x06060606, 0x06060606
    check_msr 54, 0x26f, 0x05050505, 0x05050505, 0x03030303
    check_msr 55, 0x200, 0xc0000000, 0, 0x10000000
.endm
.macro ist vec, handler, index
    gate \vec, \handler
    movb $\index, IDT+16*\vec+4
.endm
.macro check_cr n, cr, val
    mov %\cr, %rax
    check_eq \n, $\val, %rax
.endm

main:
    movl $TICKS, %edi
    xorl %eax, %eax
    movl $16, %ecx
    rep stosl
    /* descriptor tables in RAM; entries in use are taken away from memory below */
    movl $gdt, %esi
    movl $MYGDT, %edi
    movl $64 / 4, %ecx
    rep movsl
    xorl %eax, %eax
    movl $0x200 / 4, %ecx
    rep stosl
    desc SEL_DATA, 0x40000fff, 0x00409302       /* base 0x24000, limit 0xfff */
    movw $0x4000, MYGDT+SEL_DATA+2
    desc SEL_FS, 0x42000fff, 0x00409302
    desc SEL_LDT, 0x9100000f, 0x00008200
    desc SEL_TSS, 0x92000067, 0x00008900
    movl $0x0000ffff, MYLDT
    movl $0x00cf9300, MYLDT+4
    movq $IST1, TSS+0x24
    movq $IST2, TSS+0x2c
    lgdt gdtr2
    lidt idtr
    ist 0x40, tick, 1
    ist 0x41, ipi, 1
    ist 2, nmi, 2
    ist 13, fault, 1
    ist 14, fault, 1
    ist 6, fault_plain, 1
    ist 7, fault_plain, 1
    movw $SEL_LDT, %ax
    lldt %ax
    movw $SEL_TSS, %ax
    ltr %ax
    movl $0x11223344, DATA
    movl $0x55667788, DATA+0x200
    movw $SEL_FS, %ax
    movw %ax, %fs
    desc SEL_FS, 0, 0
    desc SEL_LDT, 0, 0
    desc SEL_TSS, 0, 0
    /* control registers, MSRs, debug registers */
    mov %cr0, %rax
    andl $~0x60000000, %eax
    orl $0x50022, %eax                          /* MP, NE, WP, AM */
    mov %rax, %cr0
    movl $0x406b0, %eax                         /* PSE, PAE, PGE, OSFXSR, OSXMMEXCPT, OSXSAVE */
    mov %rax, %cr4
    movl $7, %eax
    xorl %edx, %edx
    xorl %ecx, %ecx
    xsetbv
    movl $PT + 0x18, %eax
    mov %rax, %cr3
    set_msr 0xc0000080, 0xd01, 0
    set_msr 0xc0000101, 0x24000, 0
    set_msr 0x201, 0xf0000800, 0xff
    set_msr 0x2ff, 0xc06, 0
    /* x87, SSE and AVX: an image with a byte pattern; an exception is pending in x87, else some processors leave FIP, FDP and FOP out */
    movl $FX, %edi
    movl $0x400, %ecx
1:  movl %ecx, %eax
    imull $0x35, %eax
    stosb
    loop 1b
    movw $0x37e, FX
    movw $0xb881, FX+2
    movw $0x5a, FX+4
    movw $0x345, FX+6
    movl $0x9fc0, FX+24
    movl $0xffff, FX+28
    movl $0x7777, FX+12
    movl $0x6666, FX+20
    movl $FX+512, %edi
    xorl %eax, %eax
    movl $16, %ecx
    rep stosl
    movl $7, FX+512
    /* local APIC and the others */
    movl $LAPIC, %r15d
    movl $0x1ff, 0xf0(%r15)
    movl $0x5a000000, 0xd0(%r15)
    movl $0x3fffffff, 0xe0(%r15)
    movl $0x10073, 0x350(%r15)
    movl $0x10074, 0x360(%r15)
    movl $0x75, 0x370(%r15)
    movl $1, %eax
    mov %rax, %cr8
    movb $0x5a, %al
    outb %al, $0x21
    movb $0xa5, %al
    outb %al, $0xa1
    movb $0x08, %al
    movw $0x4d0, %dx
    outb %al, %dx
    movl $IOAPIC, %eax
    movl $0x13, (%rax)
    movl $0x01000000, 16(%rax)
    movl $0x12, (%rax)
    movl $0x1a855, 16(%rax)
    movl $0xb, 0x3e0(%r15)
    movl $0x20040, 0x320(%r15)
    movl $400000, 0x380(%r15)
    sti
    movl $N_ROUNDS, ROUNDS

round:
    movl ROUNDS, %r12d
    andl $1, %r12d
    negl %r12d                      /* all ones every other round */
    set_msr 0xc0000081, 0x10203040, 0x00180008, 0x1100
    set_msr 0xc0000082, 0x00012340, 0x7f, 0x4440
    set_msr 0xc0000083, 0x00012380, 0x7e, 0x2220
    set_msr 0xc0000084, 0x47700, 0, 0x500
    set_msr 0xc0000102, 0x5678000, 0x7d, 0x3000
    set_msr 0x174, 0x18, 0, 0x40
    set_msr 0x175, 0x89ab0, 0, 0x7700
    set_msr 0x176, 0x9abc0, 0, 0x6600
    set_msr 0x277, 0x04060007, 0x07010500, 0x2
    set_msr 0x250, 0x06060606, 0x06060606, 0x06060606
    set_msr 0x26f, 0x05050505, 0x05050505, 0x03030303
    set_msr 0x200, 0xc0000000, 0, 0x10000000
    movl %r12d, %eax
    andl $0x1000, %eax
    orl $0x12344000, %eax
    mov %rax, %cr2
    .irp n, 0, 1, 2, 3
    movl %r12d, %eax
    andl $0x888, %eax
    orl $0x11000+0x1000*\n, %eax
    mov %rax, %dr\n
    .endr
    movl %r12d, %eax
    andl $0x0d000000, %eax
    orl $0x000d0400, %eax
    mov %rax, %dr7
    movl %r12d, %eax
    andl $2, %eax
    orl $0xffff4ff1, %eax
    mov %rax, %dr6
    movl %r12d, FX+0x400
    notl %r12d
    movl %r12d, FX+0x404
    notl %r12d
    movdqu FX+0x400, %xmm3
    spin
    movdqu %xmm3, FX+0x410
    movq FX+0x410, %rax
    cmpq %rax, FX+0x400
    check 57, je
    movl %r12d, %ebp
    andl $0x888, %ebp
    .irp n, 0, 1, 2, 3
    mov %dr\n, %rax
    xorl %ebp, %eax
    check_eq 27, $0x11000+0x1000*\n, %rax
    .endr
    mov %dr7, %rax
    movl %r12d, %ebp
    andl $0x0d000000, %ebp
    xorl %ebp, %eax
    check_eq 28, $0x000d0400, %rax
    mov %dr6, %rax
    movl %r12d, %ebp
    andl $2, %ebp
    xorl %ebp, %eax
    andl $0xf00f, %eax
    check_eq 29, $0x4001, %eax
    mov %cr2, %rax
    movl %r12d, %ebp
    andl $0x1000, %ebp
    xorl %ebp, %eax
    check_eq 10, $0x12344000, %rax
    check_msrs
    /* general registers, the stack pointer too: handlers have stacks of their own */
    movl $60, SPIN
    movl $1, SPINNING
    movq $-0x10203040, %rax
    movq $-0x11213141, %rbx
    movq $-0x12223242, %rcx
    movq $-0x13233343, %rdx
    movq $-0x14243444, %rsi
    movq $-0x15253545, %rdi
    movq $-0x16263646, %rbp
    movq $-0x17273747, %rsp
    movq $-0x18283848, %r8
    movq $-0x19293949, %r9
    movq $-0x1a2a3a4a, %r10
    movq $-0x1b2b3b4b, %r11
    movq $-0x1c2c3c4c, %r12
    movq $-0x1d2d3d4d, %r13
    movq $-0x1e2e3e4e, %r14
    movq $-0x1f2f3f4f, %r15
1:  decl SPIN
    jnz 1b
    movl $60, SPIN
    outb %al, $0xe0
    cmpl $0, SPINNING
    jne 1b
    cmpq $-0x17273747, %rsp
    movl $0x7000, %esp
    check 1, je
    check_eq 1, $-0x11213141, %rbx
    check_eq 1, $-0x10203040, %rax
    check_eq 1, $-0x12223242, %rcx
    check_eq 1, $-0x13233343, %rdx
    check_eq 1, $-0x14243444, %rsi
    check_eq 1, $-0x15253545, %rdi
    check_eq 1, $-0x16263646, %rbp
    check_eq 2, $-0x18283848, %r8
    check_eq 2, $-0x19293949, %r9
    check_eq 2, $-0x1a2a3a4a, %r10
    check_eq 2, $-0x1b2b3b4b, %r11
    check_eq 2, $-0x1c2c3c4c, %r12
    check_eq 2, $-0x1d2d3d4d, %r13
    check_eq 2, $-0x1e2e3e4e, %r14
    check_eq 2, $-0x1f2f3f4f, %r15
    movl $LAPIC, %r15d
    /* flags; not IOPL, which an IRET in KVM's emulator was seen to lose */
    pushq $0x240ed7
    popfq
    spin
    pushfq
    popq %rax
    cld
    check_eq 3, $0x240ed7, %rax
    pushq $0x202
    popfq
    spin
    pushfq
    popq %rax
    check_eq 3, $0x202, %rax
    /* x87, SSE, AVX */
    movl $7, %eax
    xorl %edx, %edx
    xrstor64 FX
    spin
    movl $7, %eax
    xorl %edx, %edx
    xsave64 FOUND
    movl $FX, %esi
    movl $FOUND, %edi
    movl $832 / 4, %ecx
1:  cmpl $FX+32+8*16, %esi          /* the part of an x87 register's slot that is nothing, and the image's unused end */
    jae 2f
    cmpl $FX+32, %esi
    jb 2f
    movl %esi, %eax
    andl $15, %eax
    cmpl $8, %eax
    jb 2f
    ja 3f
    movw (%rsi), %ax
    cmpw %ax, (%rdi)
    check 4, je
    jmp 3f
2:  leal -FX(%rsi), %eax
    cmpl $416, %eax
    jb 4f
    cmpl $512, %eax
    jb 3f
4:  cmpl $28, %eax
    je 3f
    movl (%rsi), %eax
    cmpl %eax, (%rdi)
    check 5, je
3:  addl $4, %esi
    addl $4, %edi
    decl %ecx
    jnz 1b
    xorl %ecx, %ecx
    xgetbv
    check_eq 6, $7, %eax
    /* control registers */
    mov %cr0, %rax
    check_eq 7, $0x80050033, %eax
    check_cr 8, cr4, 0x406b0
    check_cr 9, cr3, PT+0x18
    check_cr 11, cr8, 1
    /* MSRs */
    check_msr 12, 0xc0000080, 0xd01, 0
    check_msr 55, 0x201, 0xf0000800, 0xff
    check_msr 56, 0x2ff, 0xc06, 0
    /* segments' hidden parts, tables */
    check_eq 22, $0x55667788, %fs:0, l
    check_eq 23, $0x11223344, %gs:0, l
    movw $4, %ax
    movw %ax, %es                   /* from the LDT, whose descriptor is gone */
    sgdt FOUND
    check_eq 24, $MYGDT, FOUND+2, l
    check_eq 24, $0x6f, FOUND, w
    sidt FOUND
    check_eq 25, $IDT, FOUND+2, l
    call compat
    cmpl $0, FAULTS
    check 26, je
    /* the instruction behind MOV SS, and behind STI, runs before any interrupt (the handlers look) */
    movl $0x10, %ebx
    movl $1, SPINNING
1:  movl $30, %ecx
2:  movw %bx, %ss
after_ss:
    nop
    cli
    sti
after_sti2:
    nop
    loop 2b
    outb %al, $0xe0
    cmpl $0, SPINNING
    jne 1b
    /* an IPI that waits while interrupts are off */
    cli
    movl IPIS, %ebp
    movl $0x44041, 0x300(%r15)
    spin_off 400
    check_eq 30, %ebp, IPIS, l
    testb $2, 0x220(%r15)
    check 31, jnz
    sti
    incl %ebp
    arrive 32
    /* the instruction behind STI runs before any interrupt (the handler looks) */
    movl $30, %ecx
1:  cli
    movl $0x44041, 0x300(%r15)
    incl %ebp
    sti
after_sti:
    nop
    arrive 33
    decl %ecx
    jnz 1b
    /* NMI: one is taken, one sent meanwhile waits for its IRET */
    movl $0, NMIS
    movl $0x4400, 0x300(%r15)
1:  inb $0xe0, %al
    cmpl $2, NMIS
    jb 1b
    check_eq 34, $2, NMIS, l
    /* translations: a page table changed by whoever runs now is seen by both */
    movl $0x1234, 0x200000
    movl $0x5678, 0x400000
    movl $0x80000000, %ebx
    movl $20, %ebp
1:  movl $0x200183, PT+0x4000
    invlpg (%rbx)
    cmpl $0x1234, (%rbx)
    check 35, je
    spin_off 60
    movl $0x400183, PT+0x4000
    invlpg (%rbx)
    cmpl $0x5678, (%rbx)
    check 36, je
    spin_off 60
    decl %ebp
    jnz 1b
    /* chips */
    cmpl $0x5a000000, 0xd0(%r15)
    check 37, je
    cmpl $0x3fffffff, 0xe0(%r15)
    check 38, je
    cmpl $0x10073, 0x350(%r15)
    check 39, je
    cmpl $0x10074, 0x360(%r15)
    check 40, je
    cmpl $0x75, 0x370(%r15)
    check 41, je
    cmpl $0xb, 0x3e0(%r15)
    check 42, je
    inb $0x21, %al
    check_eq 43, $0x5a, %al
    inb $0xa1, %al
    check_eq 44, $0xa5, %al
    movw $0x4d0, %dx
    inb %dx, %al
    check_eq 45, $8, %al
    movl $IOAPIC, %eax
    cmpl $0x1a855, 16(%rax)
    check 46, je
    /* asleep until the timer, often enough that a move finds it so */
    movl $8, %ecx
1:  cli
    movl TICKS, %ebp
    sti
    hlt
    cmpl %ebp, TICKS
    check 47, jne
    loop 1b
    cmpl $0, BAD
    movb BAD, %bl
    jne failed
    decl ROUNDS
    jnz round
    jmp passed

    /* 32-bit code with a data segment whose base and limit are in no table any more; then one access past the limit */
compat:
    desc SEL_DATA, 0x40000fff, 0x00409302
    movw $SEL_DATA, %ax
    pushq $8
    pushq $compat32
    lretq
    .code32
compat32:
    movw %ax, %ds
    xorl %ebx, %ebx
    movl %ebx, %es:MYGDT+SEL_DATA
    movl %ebx, %es:MYGDT+SEL_DATA+4
    spin_off 1000                   /* half a millisecond of an instruction emulator: a move finds it here in both directions */
    movl 0, %eax
    cmpl $0x11223344, %eax
    je 1f
    movb $48, %es:BAD
1:  movl $expected, %es:FOUND
expected:
    movl 0x1000, %eax               /* 5 bytes in this form: skipped by the handler */
    movw $0x10, %ax
    movw %ax, %ds
    ljmpl $0x18, $compat64
    .code64
compat64:
    cmpl $1, FAULTS
    check 49, je
    movl $0, FAULTS
    ret

in_ist1:
    leaq 16(%rsp), %rax
    subl $IST1-0x200, %eax
    cmpl $0x200, %eax
    jbe 1f
    movb $50, %ss:BAD
1:  ret
tick:
    pushq %rax
    call in_ist1
    popq %rax
    incl %ss:TICKS
    movl $0, %ss:SPINNING
    jmp shadow
ipi:
    pushq %rax
    call in_ist1
    popq %rax
    incl %ss:IPIS
shadow:
    cmpl $after_sti, (%rsp)
    je 2f
    cmpl $after_sti2, (%rsp)
    je 2f
    cmpl $after_ss, (%rsp)
    jne 1f
2:  movb $51, %ss:BAD
1:  pushq %rax
    movl $LAPIC, %eax
    movl $0, 0xb0(%rax)
    popq %rax
    iretq
nmi:
    incl NMIS
    cmpl $1, NMIS
    jne 1f
    pushq %rcx
    movl $0x4400, 0x300(%r15)
    spin_off 300
    popq %rcx
    cmpl $1, NMIS
    je 1f
    movb $52, BAD
1:  iretq
fault:
    incl FAULTS
    cmpl $expected, 8(%rsp)
    jne 1f
    addl $5, 8(%rsp)
    addq $8, %rsp
    iretq
1:
fault_plain:
    movb $53, %bl
    jmp failed
    .balign 8
gdtr2:
    .word 0x6f
    .quad MYGDT
    .set IOAPIC, 0xfec00000
