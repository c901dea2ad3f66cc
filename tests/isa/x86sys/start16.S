/*
 * A 64 KiB ROM that runs generated 16-bit instruction sequences (x86_rand16.c) in real mode or, by the symbol of that name, under PROT (16-bit
 * protected code of ring 3; with LIMITS its segments end amid the data) or V86 (virtual-8086 mode). For each: memory and registers from a generator that the number seeds,
 * then the sequence, which ends in INT 60h; a line says how it ended, registers, the defined flags and sums of memory and stack.
 * Code in segment F000h, data and stack in 2000h; the monitor of the two protected kinds has the same bases and a stack of its own.
 */
#ifdef LIMITS
#define PROT 1
#endif
#if defined(PROT) || defined(V86)
#define MONITOR 1
        .set tss, 0x6000                /* in segment 2000h */
        .set idt, 0x7000
        .set error, 0x3004              /* what an exception pushed */
#endif
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
#ifdef MONITOR
        xorw %ax, %ax
        movw $tss, %di
        movw $0x300, %cx
        rep stosw
        movl $0x5000, tss + 4           /* ESP0, SS0 */
        movw $0x10, tss + 8
        movw $idt, %di                  /* vectors 0 to 31 and 60h: 16-bit interrupt gates that ring 3 may use */
        movw $(stubs - start16), %ax
        movw $32, %cx
1:      call gate
        addw $8, %di
        addw $16, %ax
        loop 1b
        movw $(done - start16), %ax
        movw $(idt + 8 * 0x60), %di
        call gate
        lgdtl %cs:(gdtr - start16)
        lidtl %cs:(idtr - start16)
        movl %cr0, %eax
        orb $1, %al
        movl %eax, %cr0
        ljmpw $8, $(prot - start16)
gate:   movw %ax, (%di)
        movw $8, 2(%di)
        movw $0xe600, 4(%di)
        ret
        .balign 8
gdtr:   .word 0x3f
        .long 0xf0000 + gdt - start16
idtr:   .word 0x61 * 8 - 1
        .long 0x20000 + idt
        .balign 8
gdt:    .quad 0
        .quad 0x00009b0f0000ffff        /* 08: monitor's code */
        .quad 0x000093020000ffff        /* 10: monitor's data and stack */
        .quad 0x0000fb0f0000ffff        /* 18: code */
#ifdef LIMITS
        .quad 0x0000f302000006ff        /* 20: data, ends amid what the sequences use */
#else
        .quad 0x0000f3020000ffff
#endif
        .quad 0x0000f30200001fff        /* 28: stack */
        .quad 0x0000890260000067        /* 30: TSS */
#ifdef LIMITS
        .quad 0x0000f7020000027f        /* 38: data that grows down: 280h and above */
#else
        .quad 0x0000f702000001ff
#endif
prot:   movw $0x10, %ax
        movw %ax, %ds
        movw %ax, %es
        movw %ax, %ss
        movw $0x30, %ax
        ltrw %ax
#else
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
#endif
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
        movw $0, 0x3004
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
#if defined(V86)
        popw 0x3006
        movw $0x5000, %sp
        pushl $0x2000                   /* GS, FS, DS, ES, SS, ESP */
        pushl $0x2000
        pushl $0x2000
        pushl $0x2000
        pushl $0x2000
        pushl $0x1800
        pushw $2                        /* VM, IOPL 3 */
        orw $0x3000, 0x3006
        pushw 0x3006
        pushl $0xf000
        pushw $0
        pushw 0x3002
        iretl
#elif defined(PROT)
        popw 0x3006
        movw $0x5000, %sp
        pushw $0x2b
        pushw $0x1800
        pushw 0x3006
        pushw $0x1b
        pushw 0x3002
        pushw $0x23
        pushw $0x3b
        popw %es
        popw %ds
        iretw
#else
        popfw
        movw $0x1800, %sp
        jmpw *0x3002
#endif

        .balign 16
stubs:  .set v, 0
        .rept 32
#ifdef MONITOR
        .balign 16
        .if v == 8 || (v >= 10 && v <= 14) || v == 17
        popw %ss:error
        .endif
#else
        .balign 8
#endif
        pushw $v
        jmp common
        .set v, v + 1
        .endr
done:   pushw $0x60
common: /* vector, ip, cs, flags, under a monitor sp, ss */
        pushal
        cld
#ifdef MONITOR
        movw %ss, %ax
        movw %ax, %ds
        movw %ax, %es
#endif
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
#ifdef MONITOR
        movzwl error, %eax
        call hex
        movw 40(%bp), %ax
#else
        leaw 40(%bp), %ax               /* the stack pointer before the interrupt */
#endif
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
        movw 12(%bp), %si
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
