/*
 * Instructions of which KVM's emulator knows few, by two CPUs at the same time: in ring 0 of 64-bit mode and in ring 3 of 32-bit code, with operands in RAM and in
 * device memory (pc-testdev). Prints a hash of each part; table.sh compares engines. Before each part the CPUs meet in a loop without exits, that
 * only ends if both are in guest code at the same time.
 */
#define MODE 64
#include "tests/guest/guest.inc"
#define ALIVE 0x21000
#define TURN 0x21004                /* .. of the meeting */
#define DONE 0x21008
#define AREA(n) (0x40000 + 0x10000 * (n))
/* in a CPU's area (rbp): */
#define HASH 0
#define KEEP_SP 8
#define TMP 0x40
#define RAM_OP 0x100
#define MY_TSS 0x1000
#define MY_GDT 0x1100
#define STACK0 0x3000
#define STACK3 0x4000

main:
    call tables
    lidt idtr
    gate 3, on_int3, 0xee
    gate 0x80, on_return, 0xee
    movl $LAPIC, %r15d
    movl $0x1ff, 0xf0(%r15)
    movb $0xea, AP_PAGE
    movw $REAL(ap16), AP_PAGE + 1
    movw $0xf000, AP_PAGE + 3
    movl $0xc4500, 0x300(%r15)
    movl $1000, %ecx
1:  pause
    loop 1b
    movl $0xc4620, 0x300(%r15)
1:  pause
    cmpl $1, ALIVE
    jb 1b
    movl $AREA(0), %ebp
    xorl %r12d, %r12d
    call work
1:  pause
    cmpl $1, DONE
    jb 1b
    /* both CPUs did the same, in different places */
    movl $0, %r13d
1:  movl AREA(0)+0x20(,%r13,4), %ebx
    cmpl AREA(1)+0x20(,%r13,4), %ebx
    jne differ
    movl $8, %r14d
2:  roll $4, %ebx
    movb %bl, %al
    andb $15, %al
    call hex
    decl %r14d
    jnz 2b
    movb $10, %al
    call putc
    incl %r13d
    cmpl $4, %r13d
    jb 1b
    jmp passed
differ:
    leal 1(%r13), %ebx
    jmp failed

    /* user pages, SSE and AVX */
tables:
    orb $4, PT
    orb $4, PT + 0x1000
    orb $4, PT + 0x1008
    orb $4, PT + 0x1010
    orb $4, PT + 0x1018
    movl $PT + 0x2000, %eax
    movl $2048, %ecx
1:  orb $4, (%rax)
    addl $8, %eax
    loop 1b
    mov %cr3, %rax
    mov %rax, %cr3
cpu_bits:
    mov %cr0, %rax
    andl $~0x6000000c, %eax
    orl $0x22, %eax
    mov %rax, %cr0
    movl $0x40620, %eax
    mov %rax, %cr4
    xorl %ecx, %ecx
    xorl %edx, %edx
    movl $7, %eax
    xsetbv
    ret

/* Both come here or none goes on: four rounds of "your turn", without an exit. r12: 0 or 1. */
meet:
    movl $8, %ecx
1:  movl TURN, %eax
    andl $1, %eax
    cmpl %r12d, %eax
    jne 1b
    incl TURN
    loop 1b
    ret

work:
    /* a GDT with a TSS of one's own, for the way back from ring 3 */
    movl $gdt, %esi
    leal MY_GDT(%rbp), %edi
    movl $gdt_end - gdt, %ecx
    rep movsb
    leal MY_TSS(%rbp), %eax
    movw %ax, MY_GDT+0x3a(%rbp)
    movl %eax, %ecx
    shrl $16, %ecx
    movb %cl, MY_GDT+0x3c(%rbp)
    movb $0x89, MY_GDT+0x3d(%rbp)
    leal STACK0(%rbp), %ecx
    movq %rcx, MY_TSS+4(%rbp)
    leal MY_GDT(%rbp), %eax
    movl %eax, TMP+2(%rbp)
    movl $0, TMP+6(%rbp)
    movw $gdt_end - gdt - 1, TMP(%rbp)
    lgdt TMP(%rbp)
    movw $0x38, %ax
    ltr %ax
    .irp part, 0, 1
    call meet
    call operand\part
    movl $0, HASH(%rbp)
    call run64
    movl HASH(%rbp), %eax
    movl %eax, 0x20+4*\part(%rbp)
    call meet
    call operand\part
    movl $0, HASH(%rbp)
    movq %rsp, KEEP_SP(%rbp)
    leal STACK3(%rbp), %eax
    pushq $0x2b
    pushq %rax
    pushq $2
    pushq $0x23
    pushq $start32_3
    iretq
return\part:
    movl HASH(%rbp), %eax
    movl %eax, 0x28+4*\part(%rbp)
    .endr
    ret
operand0:
    leal RAM_OP(%rbp), %esi
    movq $return0, 0x30(%rbp)
    ret
operand1:
    movl %r12d, %esi
    shll $12, %esi
    addl $0xff000000, %esi
    movq $return1, 0x30(%rbp)
    ret
on_return:
    movq KEEP_SP(%rbp), %rsp
    movw $0x10, %ax
    movw %ax, %ss
    movq 0x30(%rbp), %rax
    jmp *%rax
on_int3:
    addl $0x1001, HASH(%rbp)
    iretq

    /* 64-bit mode */
#define P0 %rsi
#define CX %rcx
#define BP %rbp
#define NAME(n) n##64
#define WIDE
#include "tests/guest/table.inc"
    /* 32-bit code, ring 3; the way back is a software interrupt */
#undef P0
#undef CX
#undef BP
#undef NAME
#undef WIDE
#define P0 %esi
#define CX %ecx
#define BP %ebp
#define NAME(n) n##32
    .code32
start32_3:
    movw $0x2b, %ax
    movw %ax, %ds
    movw %ax, %es
    call run32
    int $0x80
#include "tests/guest/table.inc"
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
    movl $0x31000, %esp
    call cpu_bits
    movl $AREA(1), %ebp
    movl $1, %r12d
    incl ALIVE
    call work
    incl DONE
1:  cli
    hlt
    jmp 1b
    .balign 64
pattern:
    .long 0x3f800000, 0x40490fdb, 0xc2f60000, 0x00000007, 0xdeadbeef, 0x80000001, 0x7fffffff, 0x3dcccccd
    .long 0x12345678, 0x9abcdef0, 0x0f1e2d3c, 0x4b5a6978, 0x87969fa5, 0xb4c3d2e1, 0xf0000000, 0x00112233
    .long 1, 2, 3, 4
