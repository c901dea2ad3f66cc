/* A 64 KiB ROM at 0xf0000: from the reset vector into 64-bit code, then main in C. Identity-mapped: 4 MiB by 4K pages in C, the rest by 2M. */
#define PML4   0x10000
#define PDPT   0x11000
#define PD     0x12000
#define PT0    0x13000
#define STACK  0x80000

        .section .start, "ax"
        .code16
start16:
        cli
        cld
        xorw %ax, %ax
        movw %ax, %ss
        movw $0x7000, %sp
        lgdtl %cs:(gdtr32 - 0xf0000)
        movl %cr0, %eax
        orl $1, %eax
        movl %eax, %cr0
        ljmpl $0x08, $start32
        .code32
start32:
        movw $0x10, %ax
        movw %ax, %ds
        movw %ax, %es
        movw %ax, %ss
        movl $STACK, %esp
        movl $0x10000, %edi
        xorl %eax, %eax
        movl $0x8000, %ecx
        rep stosl
        movl $(PDPT + 7), PML4
        movl $(PD + 7), PDPT
        movl $(PT0 + 7), PD
        movl $(PT0 + 0x1007), PD + 8
        movl $(PD + 16), %edi
        movl $0x400087, %eax
        movl $14, %ecx
1:      movl %eax, (%edi)
        addl $8, %edi
        addl $0x200000, %eax
        loop 1b
        movl $PT0, %edi
        movl $7, %eax
        movl $1024, %ecx
1:      movl %eax, (%edi)
        addl $8, %edi
        addl $0x1000, %eax
        loop 1b
        movl %cr4, %eax
        orl $0x620, %eax
        movl %eax, %cr4
        movl $PML4, %eax
        movl %eax, %cr3
        movl $0xc0000080, %ecx
        rdmsr
        orl $0x901, %eax
        wrmsr
        movl %cr0, %eax
        orl $0x80010022, %eax
        andl $~0x6000000c, %eax
        movl %eax, %cr0
        ljmpl $0x18, $start_long
        .code64
start_long:
        xorl %eax, %eax
        movw %ax, %ds
        movw %ax, %es
        movw %ax, %ss
        movq $STACK, %rsp
        xorl %ebp, %ebp
        call main
        movl $0xf4, %edx
        xorl %eax, %eax
        outb %al, %dx
1:      hlt
        jmp 1b

        .balign 16
gdt32:  .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00af9b000000ffff
gdtr32: .word 31
        .long gdt32

        .section .text
/* Exceptions: 256 stubs of 16 bytes; those without an error code push -1. */
        .globl stubs
        .balign 16
stubs:
        .set i, 0
        .rept 256
        .balign 16
        .if !(i == 8 || (i >= 10 && i <= 14) || i == 17 || i == 21)
        pushq $-1
        .endif
        pushq $i
        jmp common
        .set i, i + 1
        .endr

common: /* vector, error, rip, cs, rflags, rsp, ss */
        pushq %rax
        pushq %rdx
        movq %rsp, %rdx
        movl $0x18, %eax
        addq $16, %rdx
        popq info_regs + 8
        popq info_regs
        movq 0(%rdx), %rax
        movq %rax, info + 0
        movq 8(%rdx), %rax
        movq %rax, info + 8
        movq 16(%rdx), %rax
        movq %rax, info + 16
        movq 24(%rdx), %rax
        movq %rax, info + 24
        movq 32(%rdx), %rax
        movq %rax, info + 32
        movq 40(%rdx), %rax
        movq %rax, info + 40
        movq 48(%rdx), %rax
        movq %rax, info + 48
        movq %cr2, %rax
        movq %rax, info + 56
        movq %rdx, info + 64
        movw %ss, %ax
        movzwl %ax, %eax
        movq %rax, info + 72
        pushfq
        popq %rax
        movq %rax, info + 80
        xorl %eax, %eax
        movw %ax, %ss
        movq jb + 0, %rsp
        movq jb + 8, %rbx
        movq jb + 16, %rbp
        movq jb + 24, %r12
        movq jb + 32, %r13
        movq jb + 40, %r14
        movq jb + 48, %r15
        pushq $2
        popfq
        cld
        movl $1, %eax
        ret

/* int try(void (*f)(void)): 0 = came back, 1 = an exception, see info */
        .globl try
try:    movq %rsp, jb + 0
        movq %rbx, jb + 8
        movq %rbp, jb + 16
        movq %r12, jb + 24
        movq %r13, jb + 32
        movq %r14, jb + 40
        movq %r15, jb + 48
        movq %rdi, tried
        call *%rdi
        movq jb + 0, %rsp
        movq jb + 8, %rbx
        movq jb + 16, %rbp
        xorl %eax, %eax
        ret

/* Run the function at `tried2' at CPL 3 in 64-bit code; flags from `user_flags' */
        .globl go_user
go_user:
        pushq $0x33
        pushq $0x70000
        pushq user_flags
        pushq $0x3b
        pushq tried2
        iretq
        .globl go_compat
go_compat:
        pushq $0x33
        pushq $0x70000
        pushq user_flags
        pushq $0x2b
        pushq tried2
        iretq

        .section .reset, "ax"
        .code16
        .globl reset
reset:  ljmpw $0xf000, $(start16 - 0xf0000)
        .balign 16, 0xff
