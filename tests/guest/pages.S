/*
 * Loops whose functions are in another page, long enough to be translated as one piece: then that page is written (from outside, by the loop itself), mapped
 * elsewhere (INVLPG, CR3), met at another address with another neighbour, and taken away (not present, not executable); and an access there faults.
 */
#define MODE 64
#include "tests/guest/guest.inc"
#define TABLE 0x24000
#define A 0x25000                   /* the loops */
#define B 0x26000                   /* the functions: add $1 */
#define C 0x27000                   /* and add $100 */
#define DATA 0x28000
#define OTHER 0x29000               /* tables of another address space: PML4, PDPT, page directory, page table */
#define AGAIN 0x2d000               /* the loops once more, at two addresses */
#define VA 0xc0000000
#define TURNS 2000

.macro pte table, page, to
    movq $(\to), \table + 8 * \page
.endm
/* The loop at page offset \at of \base, \sum after \turns turns. */
.macro run n, at, sum, turns=TURNS, base=VA
    movl $\turns, %edi
    movl $\base + \at, %edx
    call *%rdx
    check_eq \n, $(\sum), %rax
.endm

main:
    lidt idtr
    gate 14, page_fault
    movl $0xc0000080, %ecx          /* NXE */
    rdmsr
    orl $0x800, %eax
    wrmsr
    movl $TABLE, %edi
    xorl %eax, %eax
    movl $0x9000 / 4, %ecx
    rep stosl
    mov $loops, %esi
    movl $A, %edi
    movl $loops_end - loops, %ecx
    rep movsb
    movl $A + 0xff0, %edi
    movb $0x90, %al
    movl $16, %ecx
    rep stosb
    mov $functions, %esi
    movl $B, %edi
    movl $0x200, %ecx
    rep movsb
    mov $functions, %esi
    movl $C, %edi
    movl $0x200, %ecx
    rep movsb
    movl $100, C + 2
    movq $1, DATA
    pte TABLE, 0, A + 3
    pte TABLE, 1, B + 3
    movl $A, %esi
    movl $AGAIN, %edi
    movl $512, %ecx
    rep movsq
    pte TABLE, 2, AGAIN + 3
    pte TABLE, 3, B + 3
    pte TABLE, 16, AGAIN + 3
    pte TABLE, 17, C + 3
    movq $TABLE + 3, PT + 0x5000
    /* the other address space: the same but for C */
    movq $OTHER + 0x1003, OTHER
    movl $PT + 0x1000, %esi
    movl $OTHER + 0x1000, %edi
    movl $512, %ecx
    rep movsq
    movq $OTHER + 0x2003, OTHER + 0x1018
    movl $PT + 0x5000, %esi
    movl $512, %ecx
    rep movsq
    movq $OTHER + 0x3003, OTHER + 0x2000
    pte OTHER + 0x3000, 0, A + 3
    pte OTHER + 0x3000, 1, C + 3
    movl $PT, %eax
    mov %rax, %cr3
    movl $DATA, %ebx
    movl $DATA, %r9d
    movl $VA + 0x1000, %r14d
    xorl %r13d, %r13d               /* faults */

    run 1, 0, TURNS
    run 2, 0xc0, TURNS              /* straight on into the page */
    run 3, 0x80, TURNS
    movl $60, %ebp                  /* the same page at another address, with another neighbour */
1:  run 20, 0, TURNS, TURNS, VA+0x2000
    run 21, 0, 100*TURNS, TURNS, VA+0x10000
    run 22, 0xc0, 40000, 400, VA+0x10000
    run 23, 0xc0, 400, 400, VA+0x2000
    decl %ebp
    jnz 1b

    movl $5, B + 2                  /* written, once and again and again */
    run 4, 0, 5*TURNS
    run 5, 0xc0, 5*TURNS
    movl $60, %ebp
1:  call fresh
    run 38, 0, TURNS
    run 39, 0xc0, TURNS
    movl %ebp, B + 2
    movl $500, %edi
    movl $VA, %edx
    call *%rdx
    imull $500, %ebp, %ecx
    check_eq 6, %ecx, %eax
    movl $400, %edi
    movl $VA + 0xc0, %edx
    call *%rdx
    imull $400, %ebp, %ecx
    check_eq 7, %ecx, %eax
    decl %ebp
    jnz 1b
    movl $B + 2, %esi               /* by the loop, before each call: the operand, then the instruction (add or sub) */
    run 8, 0x40, TURNS*(TURNS+1)/2
    movl $VA + 0x1002, %esi
    run 9, 0x40, TURNS*(TURNS+1)/2
    movl $1, B + 2
    run 10, 0x100, 0
    movb $0x05, B + 1
    run 11, 0, TURNS

    movl $60, %ebp                  /* INVLPG */
1:  call fresh
    run 32, 0, TURNS
    pte TABLE, 1, C + 3
    invlpg (%r14)
    run 12, 0, 100*TURNS
    run 13, 0xc0, 40000, 400
    pte TABLE, 1, B + 3
    invlpg (%r14)
    run 14, 0, TURNS
    run 15, 0xc0, 400, 400
    decl %ebp
    jnz 1b

    movl $60, %ebp                  /* CR3 */
1:  call fresh
    run 33, 0, TURNS
    run 34, 0xc0, TURNS
    movl $OTHER, %eax
    mov %rax, %cr3
    run 16, 0, 100*TURNS
    run 17, 0xc0, 40000, 400
    movl $PT, %eax
    mov %rax, %cr3
    run 18, 0, TURNS
    run 19, 0xc0, 400, 400
    decl %ebp
    jnz 1b

    movl $60, %ebp                  /* not there, then not executable */
1:  call fresh
    run 35, 0, TURNS
    run 36, 0xc0, TURNS
    pte TABLE, 1, 0
    invlpg (%r14)
    call fault_due
    run 24, 0, TURNS
    movl $0x10, %ecx
    call fault_was
    check 25, je
    movabs $0x8000000000000003 + B, %rax
    movq %rax, TABLE + 8
    invlpg (%r14)
    call fault_due
    run 26, 0xc0, 400, 400
    movl $0x11, %ecx
    call fault_was
    check 27, je
    decl %ebp
    jnz 1b

    movl $60, %ebp                  /* an access there: rbx is wrong in the last turn */
1:  call fresh
    movl $DATA, %r9d
    run 37, 0x80, TURNS
    movl $VA + 0x8000, %r9d
    call fault_due
    run 28, 0x80, TURNS
    cmpl $1, %r13d
    check 29, je
    cmpl $VA + 0x1102, %r10d
    check 30, je
    cmpl $VA + 0x8000, %r11d
    check 31, je
    decl %ebp
    jnz 1b
    jmp passed

/* Loops that nobody knows yet, in a context that has met no page: turn ebp. */
fresh:
    movb %bpl, A + 3
    movb %bpl, A + 0x83
    movb %bpl, A + 0xc3
    movl $1, B + 2
    mov %cr3, %rax
    mov %rax, %cr3
    ret

fault_due:
    xorl %r13d, %r13d
    ret
/* One, when the page was fetched from, with error code ecx? */
fault_was:
    cmpl $1, %r13d
    jne 1f
    cmpl %ecx, %r8d
    jne 1f
    cmpl $VA + 0x1000, %r10d
    jne 1f
    cmpl $VA + 0x1000, %r11d
1:  ret

page_fault:
    popq %r8
    movq (%rsp), %r10
    mov %cr2, %r11
    incl %r13d
    pte TABLE, 1, B + 3
    invlpg (%r11)
    movl $DATA, %ebx
    iretq

/* Position in page A: calls of the page behind it by distance. rdi: turns; the sum is in rax. */
loops:
    xorl %eax, %eax
1:  movb $0, %cl                    /* see fresh */
    .byte 0xe8
    .long 0x1000 - (2f - loops)
2:  decq %rdi
    jnz 1b
    ret
    .org loops + 0x40
    xorl %eax, %eax
1:  movl %edi, (%rsi)
    .byte 0xe8
    .long 0x1000 - (2f - loops)
2:  decq %rdi
    jnz 1b
    ret
    .org loops + 0x80
    xorl %eax, %eax
1:  movb $0, %cl
    cmpq $1, %rdi
    cmoveq %r9, %rbx
    .byte 0xe8
    .long 0x1100 - (2f - loops)
2:  decq %rdi
    jnz 1b
    ret
    .org loops + 0xc0
    xorl %eax, %eax
1:  movb $0, %cl
    .byte 0xe8
    .long 0xff0 - (2f - loops)
2:  decq %rdi
    jnz 1b
    ret
    .org loops + 0x100
    movl $B + 1, %esi
    movl $0x05 ^ 0x2d, %ecx         /* add and sub by turns */
    xorl %eax, %eax
1:  xorb %cl, (%rsi)
    .byte 0xe8
    .long 0x1000 - (2f - loops)
2:  decq %rdi
    jnz 1b
    ret
loops_end:

functions:
    .byte 0x48, 0x05                /* add $imm32, %rax */
    .long 1
    ret
    .org functions + 0x100
    nop
    nop
    addq (%rbx), %rax
    ret
    .org functions + 0x200
