/* A 64 KiB ROM at 0xf0000: from the reset vector into flat 32-bit code without paging, then main in C. */
        .section .start, "ax"
        .code16
start16:                        /* offset 0 of the ROM */
        jmp 1f
        .balign 8
gdtr32: .word 23                /* offset 8 */
        .long gdt32
1:      cli
        cld
        xorw %ax, %ax
        movw %ax, %ss
        movw $0x7000, %sp
        lgdtl %cs:8
        movl %cr0, %eax
        orl $0x31, %eax
        andl $~0x6000000c, %eax
        movl %eax, %cr0
        ljmpl $0x08, $start32
        .code32
start32:
        movw $0x10, %ax
        movw %ax, %ds
        movw %ax, %es
        movw %ax, %ss
        movw %ax, %fs
        movw %ax, %gs
        movl $0x80000, %esp
        movl $0x20000, %edi
        xorl %eax, %eax
        movl $0x8000, %ecx
        rep stosl
        xorl %ebp, %ebp
        call main
        movl $0xf4, %edx
        xorl %eax, %eax
        outb %al, %dx
1:      hlt
        jmp 1b
        .balign 16
gdt32:  .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff

        .section .text
        .globl stubs
        .balign 16
stubs:
        .set i, 0
        .rept 256
        .balign 16
        .if !(i == 8 || (i >= 10 && i <= 14) || i == 17 || i == 21)
        pushl $-1
        .endif
        pushl $i
        jmp common
        .set i, i + 1
        .endr
common: /* vector, error, eip, cs, eflags, then what the CPU pushed before */
        cld
        pushl %eax
        movw %ds, %ax
        shll $16, %eax
        movw %ss, %ax
        pushl %eax
        movw $0x10, %ax
        movw %ax, %ds
        movw %ax, %es
        popl info_segs
        popl info_eax
        movl %esp, %esi
        movl $info, %edi
        movl $12, %ecx
1:      movl %ss:(%esi), %eax
        movl %eax, (%edi)
        addl $4, %esi
        addl $4, %edi
        loop 1b
        movl %cr2, %eax
        movl %eax, info_cr2
        pushfl
        popl info_nfl
        str info_tr
        .globl back
back:   movw $0x10, %ax
        movw %ax, %ds
        movw %ax, %es
        movw %ax, %fs
        movw %ax, %gs
        movw %ax, %ss
        movl jb + 0, %esp
        movl jb + 4, %ebx
        movl jb + 8, %ebp
        movl jb + 12, %esi
        movl jb + 16, %edi
        pushl $2
        popfl
        movl $1, %eax
        ret

        .globl try
try:    movl 4(%esp), %eax
        movl %esp, jb + 0
        movl %ebx, jb + 4
        movl %ebp, jb + 8
        movl %esi, jb + 12
        movl %edi, jb + 16
        movl %eax, tried
        call *%eax
        movl jb + 0, %esp
        movl jb + 4, %ebx
        movl jb + 8, %ebp
        movl jb + 12, %esi
        movl jb + 16, %edi
        xorl %eax, %eax
        ret

        .globl go_user
go_user:
        movl $0x33, %eax
        movw %ax, %ds
        movw %ax, %es
        pushl $0x33
        pushl $0x70000
        pushl user_flags
        pushl $0x2b
        pushl tried2
        iretl
/* VM86: code at 0x9000:0 (copied there), stack 0x9800:0x1000 */
        .globl go_vm86
go_vm86:
        pushl $0x4444
        pushl $0x3333
        pushl $0x2222
        pushl $0x1111
        pushl $0x9800
        pushl $0x1000
        movl user_flags, %eax
        orl $0x20002, %eax
        pushl %eax
        pushl $0x9000
        pushl $0
        iretl

        .section .reset, "ax"
        .code16
        .globl reset
reset:  ljmpw $0xf000, $0
        .balign 16, 0xff
