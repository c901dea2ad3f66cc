/*
 * A kernel image for the 16-bit boot protocol of Linux (Documentation/arch/x86/boot.rst): says how it was entered, the command line, the initrd, and how
 * much memory the BIOS knows of, which it asks for by INT 15h; then PASS or FAIL. -DZIMAGE: protocol 2.01, loaded below 1 MiB. For boot.sh.
 */
#define COM1 0x3f8
#ifdef ZIMAGE
# define VERSION 0x0201
# define FLAGS 0
# define KERNEL 0x10000
#else
# define VERSION 0x0203
# define FLAGS 1
# define KERNEL 0x100000
#endif
#define SETUP_SECTS 2
    .code16
    .section .text, "ax"
    .globl _start
_start:
    .org 0x1f1
    .byte SETUP_SECTS
    .org 0x1fe
    .word 0xaa55
    jmp setup                                   /* 0x200 */
    .org 0x202
    .ascii "HdrS"
    .word VERSION
    .org 0x211
    .byte FLAGS
    .org 0x214
    .long KERNEL
    .org 0x218
ramdisk: .long 0
ramdisk_size: .long 0
    .org 0x228
cmd_line_ptr: .long 0
#ifndef ZIMAGE
    .long 0x37ffffff
#endif
    .org 0x260
setup:
    pushfw
    popw %ax
    testw $0x200, %ax                           /* interrupts are off, all segments those of the boot sector */
    jnz failed
    movw %cs, %ax
    subw $0x20, %ax
    movw %ds, %bx
    cmpw %ax, %bx
    jne failed
    movw %ss, %bx
    cmpw %ax, %bx
    jne failed
    movw %es, %bx
    cmpw %ax, %bx
    jne failed
    cmpb $0, 0x210                              /* the loader's type */
    je failed
    sti
    cld
    xorw %ax, %ax                               /* 8 ticks of the clock: firmware writes the rest of its own text meanwhile */
    movw %ax, %fs
    movw %fs:0x46c, %bx
5:  hlt
    movw %fs:0x46c, %ax
    subw %bx, %ax
    cmpw $8, %ax
    jb 5b
    movw $text_kind, %si
    call puts
    movw $text_command, %si
    call puts
#ifdef ZIMAGE
    cmpw $0xa33f, 0x20
    jne failed
    movw 0x22, %si
    call puts
#else
    movl cmd_line_ptr, %eax
    movw %ax, %si
    andw $15, %si
    shrl $4, %eax
    movw %ax, %ds
    call puts
    movw %ss, %ax
    movw %ax, %ds
#endif
    movl $KERNEL, %eax                          /* all of the kernel's part came along */
    call fetch
    cmpl $0x20656874, buffer                    /* "the " */
    jne failed
    movw $text_modules, %si
    call puts
    movl ramdisk_size, %eax
    testl %eax, %eax
    jz 1f
    movb $'1', %al
    call putc
    movb $'\n', %al
    call putc
    movl ramdisk, %eax
    call fetch
    movw ramdisk_size, %bx
    movb $0, buffer(%bx)
    movw $buffer, %si
    call puts
1:  movw $text_memory, %si
    call puts
    movw $0xe801, %ax
    xorw %bx, %bx
    int $0x15
    jc failed
    shrw $4, %bx
    addw $16, %bx
    movb %bl, %al
    shrb $4, %al
    call digit
    movb %bl, %al
    call digit
    movw $text_pass, %si
    jmp end
failed:
    movw %cs, %ax
    subw $0x20, %ax
    movw %ax, %ds
    movw $text_fail, %si
end:
    call puts
    movw $0x501, %dx
    movw $0x10, %ax
    outw %ax, %dx
2:  hlt
    jmp 2b

/* 64 bytes from the address in eax to the buffer, as a BIOS copies them. */
fetch:
    movl %eax, gdt + 0x12
    movb $0x93, gdt + 0x15
    rorl $24, %eax
    movb %al, gdt + 0x17
    xorl %eax, %eax
    movw %ds, %ax
    shll $4, %eax
    addl $buffer, %eax
    movl %eax, gdt + 0x1a
    movb $0x93, gdt + 0x1d
    movw $gdt, %si
    movw $32, %cx
    movb $0x87, %ah
    int $0x15
    jc failed
    ret
digit:
    andb $15, %al
    addb $'0', %al
    cmpb $'9', %al
    jbe putc
    addb $'a' - '9' - 1, %al
putc:
    pushw %ax
    movw $COM1 + 5, %dx
3:  inb %dx, %al
    testb $0x20, %al
    jz 3b
    popw %ax
    movw $COM1, %dx
    outb %al, %dx
    ret
puts:
    lodsb
    testb %al, %al
    jz 4f
    call putc
    jmp puts
4:  ret

#ifdef ZIMAGE
text_kind: .asciz "\nzimage\n"
#else
text_kind: .asciz "\nreal\n"
#endif
text_command: .asciz "command: "
text_modules: .asciz "\nmodules: "
text_memory: .asciz "\nmemory: "
text_pass: .asciz "\nPASS\n"
text_fail: .asciz "\nFAIL\n"
    .balign 4
gdt: .word 0, 0, 0, 0, 0, 0, 0, 0, 0xffff, 0, 0, 0, 0xffff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
buffer: .fill 65, 1, 0
    .org 512 * (SETUP_SECTS + 1)
    .ascii "the kernel's protected-mode part"
    .fill 1024, 1, 0xf4
