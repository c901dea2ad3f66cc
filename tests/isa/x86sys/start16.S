/*
 * A 64 KiB ROM that runs generated 16-bit instruction sequences (x86_rand16.c) in real mode. For each: memory and registers from a generator that the
 * number seeds, then the sequence, which ends in INT 60h; a line says how it ended, registers, the defined flags and sums of memory and stack.
 * Code in segment F000h, data and stack in 2000h.
 */
        .section .start, "ax"
        .globl reset
        .code16
start16:
        cli
        cld
        movw $0x2000, %ax
        movw %ax, %ds
        movw %ax, %es
        movw %ax, %ss
        movw $0x2000, %sp
        /* vectors 0 to 31 and 60h */
        xorw %ax, %ax
        movw %ax, %fs
        xorw %di, %di
        movw $(stubs - start16), %ax
        movw $32, %cx
1:      movw %ax, %fs:(%di)
        movw $0xf000, %fs:2(%di)
        addw $4, %di
        addw $8, %ax
        loop 1b
        movw $(done - start16), %fs:4 * 0x60
        movw $0xf000, %fs:4 * 0x60 + 2
        movw $0, 0x3000                 /* number of the sequence */
next:
        movw 0x3000, %bx
        cmpw $(n_sequences), %bx
        jae finished
        /* memory: 2000h bytes */
        movzwl %bx, %eax
        imull $0x9e3779b1, %eax, %eax
        xorw %di, %di
1:      imull $1664525, %eax, %eax
        addl $1013904223, %eax
        movl %eax, %edx
        rorl $13, %edx
        movl %edx, (%di)
        addw $4, %di
        cmpw $0x2000, %di
        jb 1b
        /* registers: the last 36 bytes made them too */
        shlw $2, %bx
        movw %cs:(table - start16)(%bx), %ax
        movw %ax, 0x3002
        pushw $0
        movw 0x1fe0, %ax
        andw $0x8d5, %ax
        orw $2, %ax
        pushw %ax
        movl 0x1fc0, %eax
        movl 0x1fc4, %ecx
        movl 0x1fc8, %edx
        movl 0x1fcc, %ebx
        movl 0x1fd0, %ebp
        movl 0x1fd4, %esi
        movl 0x1fd8, %edi
        popfw
        movw $0x1800, %sp
        jmpw *0x3002

        .balign 8
stubs:  .set v, 0
        .rept 32
        .balign 8
        pushw $v
        jmp common
        .set v, v + 1
        .endr
done:   pushw $0x60
common: /* vector, ip, cs, flags */
        pushal
        cld
        movw %sp, %bp
        movzwl 32(%bp), %eax
        call hex
        movw 34(%bp), %ax
        subw 0x3002, %ax
        movzwl %ax, %eax
        call hex
        movw 0x3000, %bx
        shlw $2, %bx
        movzwl 38(%bp), %eax
        andw %cs:(table - start16 + 2)(%bx), %ax
        call hex
        leaw 40(%bp), %ax               /* the stack pointer before the interrupt */
        movw %ax, 12(%bp)
        movw $28, %si
1:      movl (%bp, %si), %eax
        cmpw $12, %si
        jne 2f
        movzwl %ax, %eax
2:      call hex
        subw $4, %si
        jns 1b
        xorl %eax, %eax                 /* memory, then the stack from its pointer on */
        xorw %si, %si
1:      roll $5, %eax
        addl (%si), %eax
        addw $4, %si
        cmpw $0x1000, %si
        jb 1b
        call hex
        xorl %eax, %eax
        leaw 40(%bp), %si
1:      cmpw $0x2000, %si
        jae 2f
        roll $5, %eax
        addb (%si), %al
        incw %si
        jmp 1b
2:      call hex
        movb $10, %al
        outb %al, $0xe9
        incw 0x3000
        movw $0x2000, %sp
        jmp next
hex:    movw $8, %cx                    /* eax, eight digits and a blank */
3:      roll $4, %eax
        pushw %ax
        andb $15, %al
        addb $0x30, %al
        cmpb $0x3a, %al
        jb 4f
        addb $0x27, %al
4:      outb %al, $0xe9
        popw %ax
        loop 3b
        movb $32, %al
        outb %al, $0xe9
        ret
finished:
        movw $0xf4, %dx
        xorb %al, %al
        outb %al, %dx
1:      hlt
        jmp 1b

        .include "seq.s"

        .section .reset, "ax"
reset:  ljmpw $0xf000, $0
        .balign 16, 0xff
