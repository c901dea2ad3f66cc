/*
 * Several CPUs: start by INIT and SIPI, locked counters, a ping-pong that only goes on if two CPUs are in guest code at the same time,
 * IPIs to a sleeping CPU, and cross-modifying code.
 */
#define MODE 64
#include "tests/guest/guest.inc"
#define ALIVE 0x21000
#define SUM 0x21040
#define TURN 0x21080
#define ROUNDS 0x210c0
#define WOKEN 0x21100
#define PHASE 0x21140
#define CODE 0x22000
#define N 20000

main:
    lidt idtr
    gate 0x50, wake
    movl $LAPIC, %r15d
    movl $0x1ff, 0xf0(%r15)
    /* start page: a far jump to ap16 */
    movb $0xea, AP_PAGE
    movw $REAL(ap16), AP_PAGE + 1
    movw $0xf000, AP_PAGE + 3
    movq $ap_first, 0x21f00
    movl $0xc4500, 0x300(%r15)      /* INIT to all but self */
    movl $1000, %ecx
1:  pause
    loop 1b
    movl $0xc4620, 0x300(%r15)      /* SIPI, page 0x20 */
    /* one more CPU must come; how long it may take is the runner's timeout */
1:  pause
    cmpl $1, ALIVE
    jb 1b
    /* locked additions against the other */
    movl $1, PHASE
    movl $N, %ecx
1:  lock incl SUM
    loop 1b
1:  pause
    cmpl $2 * N, SUM
    jne 1b
    /* ping-pong: each waits for the other's step */
    movl $2, PHASE
    xorl %ecx, %ecx
1:  pause
    cmpl %ecx, TURN
    jne 1b
    addl $2, %ecx
    incl TURN
    cmpl $400, %ecx
    jb 1b
1:  pause
    cmpl $400, TURN
    jne 1b
    /* wake it from HLT, a hundred times */
    movl $3, PHASE
    xorl %ecx, %ecx
1:  pause
    cmpl %ecx, WOKEN
    jne 1b
    movl $0xc4050, 0x300(%r15)      /* fixed, vector 0x50, all but self */
    incl %ecx
    cmpl $100, %ecx
    jb 1b
1:  pause
    cmpl $100, WOKEN
    jne 1b
    /* cross-modifying code with a serialising instruction on the other side */
    movb $0xb8, CODE
    movl $0, CODE + 1
    movb $0xc3, CODE + 5
    movl $0, ROUNDS
    movl $4, PHASE
    movl $1, %ebp
1:  movl %ebp, CODE + 1
    movl %ebp, TURN
2:  pause
    cmpl %ebp, ROUNDS
    jne 2b
    incl %ebp
    cmpl $200, %ebp
    jb 1b
    cmpl $0, 0x21180
    check 1, je
    jmp passed

    .code16
ap16:
    cli
    xorw %ax, %ax
    movw %ax, %ds
    lgdtl %cs:REAL(gdtr)
    movl %cr0, %eax
    orb $1, %al
    movl %eax, %cr0
    ljmpl $8, $ap32
    .code32
ap32:
    movw $0x10, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl $0x20, %eax
    movl %eax, %cr4
    movl $PT, %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx
    rdmsr
    orl $0x100, %eax
    wrmsr
    movl %cr0, %eax
    orl $0x80000000, %eax
    movl %eax, %cr0
    ljmpl $0x18, $ap64
    .code64
ap64:
    lidt idtr
    movl $LAPIC, %r15d
    movl $0x1ff, 0xf0(%r15)
    movl $1, %eax
    lock xaddl %eax, ALIVE
    testl %eax, %eax
    jz ap_first
1:  cli                             /* third and further ones sleep */
    hlt
    jmp 1b
ap_first:
    movl $0x31000, %esp
1:  pause
    cmpl $1, PHASE
    jb 1b
    movl $N, %ecx
1:  lock incl SUM
    loop 1b
1:  pause
    cmpl $2, PHASE
    jb 1b
    movl $1, %ecx
1:  pause
    cmpl %ecx, TURN
    jne 1b
    addl $2, %ecx
    incl TURN
    cmpl $400, %ecx
    jb 1b
1:  sti                             /* the interrupt cannot slip in between sti and hlt */
    hlt
    cli
    cmpl $100, WOKEN
    jb 1b
1:  pause
    cmpl $4, PHASE
    jb 1b
    movl $1, %ebp
1:  pause
    cmpl %ebp, TURN
    jne 1b
    pushq %rbp
    xorl %eax, %eax
    cpuid
    popq %rbp
    movl $CODE, %ebx
    call *%rbx
    cmpl %ebp, %eax
    je 2f
    incl 0x21180
2:  movl %ebp, ROUNDS
    incl %ebp
    cmpl $200, %ebp
    jb 1b
1:  cli
    hlt
    jmp 1b
wake:
    incl WOKEN
    movl $0, 0xb0(%r15)
    iretq
