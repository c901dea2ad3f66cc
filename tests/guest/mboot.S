/*
 * A multiboot (1) image, or with -DPVH an ELF file with a PVH entry: says which way it was booted, the command line, the module, and how much memory
 * the map gives; then PASS or FAIL as the other images do. `boot.sh` runs it under -kernel with and without -initrd.
 */
#define COM1 0x3f8
    .section .text, "ax"
    .code32
    .balign 4
#ifndef PVH
mb: .long 0x1badb002, 3, -(0x1badb002 + 3)      /* modules on page boundaries, memory map (Multiboot 0.6.96, 3.1.1) */
#endif
    .globl start
start:
    movl $0x90000, %esp
    cmpl $0x2badb002, %eax
    jne failed
    movl %ebx, %ebp
    movl $text_mb, %esi
    call puts
    movl (%ebp), %eax
    andl $0x4d, %eax                            /* memory, command line, modules, map: in every case */
    cmpl $0x4d, %eax
    jne failed
    movl 16(%ebp), %esi
    call puts
    movl $text_mods, %esi
    call puts
    movl 20(%ebp), %eax
    call number
    cmpl $0, 20(%ebp)
    je 1f
    movl 24(%ebp), %edi
    movl (%edi), %esi
    movl 4(%edi), %ecx
    subl %esi, %ecx
    call bytes
1:  /* highest end of usable memory below 4 GiB, in MiB */
    movl 48(%ebp), %esi
    movl 44(%ebp), %ecx
    addl %esi, %ecx
    xorl %edx, %edx
2:  cmpl $1, 20(%esi)
    jne 3f
    movl 4(%esi), %eax
    addl 12(%esi), %eax
    cmpl %edx, %eax
    jb 3f
    movl %eax, %edx
3:  addl (%esi), %esi
    addl $4, %esi
    cmpl %ecx, %esi
    jb 2b
    jmp memory

    .globl pvh
pvh:                                            /* Xen's HVM direct boot ABI: ebx has hvm_start_info */
    movl $0x90000, %esp
    movl %ebx, %ebp
    cmpl $0x336ec578, (%ebp)
    jne failed
    movl $text_pvh, %esi
    call puts
    movl 24(%ebp), %esi
    call puts
    movl $text_mods, %esi
    call puts
    movl 12(%ebp), %eax
    call number
    cmpl $0, 12(%ebp)
    je 1f
    movl 16(%ebp), %edi
    movl (%edi), %esi
    movl 8(%edi), %ecx
    call bytes
1:  movl 40(%ebp), %esi
    movl 48(%ebp), %ecx
    xorl %edx, %edx
2:  cmpl $1, 16(%esi)
    jne 3f
    movl (%esi), %eax
    addl 8(%esi), %eax
    cmpl %edx, %eax
    jb 3f
    movl %eax, %edx
3:  addl $24, %esi
    loop 2b
memory:
    movl $text_mem, %esi
    pushl %edx
    call puts
    popl %eax
    addl $0xfffff, %eax
    shrl $20, %eax
    call number
    movl $text_pass, %esi
    call puts
    movb $0x10, %al
    jmp leave
failed:
    movl $text_fail, %esi
    call puts
    movb $0x20, %al
leave:
    movw $0x501, %dx
    outb %al, %dx
1:  hlt
    jmp 1b

number:                                         /* eax in hexadecimal, without leading zeros but for the last */
    movl $8, %ecx
    xorl %edi, %edi
1:  roll $4, %eax
    movl %eax, %edx
    andl $15, %edx
    orl %edx, %edi
    jnz 2f
    cmpl $1, %ecx
    jne 4f
2:  pushl %eax
    movb digits(%edx), %al
    call putc
    popl %eax
4:  loop 1b
    movb $10, %al
    jmp putc
bytes:                                          /* ecx of them at esi, 40 at most */
    cmpl $40, %ecx
    jbe 1f
    movl $40, %ecx
1:  lodsb
    pushl %ecx
    call putc
    popl %ecx
    loop 1b
    ret
puts:
    lodsb
    testb %al, %al
    jz 1f
    call putc
    jmp puts
1:  ret
putc:
    pushl %edx
    movb %al, %ah
    movw $COM1 + 5, %dx
1:  inb %dx, %al
    testb $0x20, %al
    jz 1b
    movb %ah, %al
    movw $COM1, %dx
    outb %al, %dx
    popl %edx
    ret
digits: .ascii "0123456789abcdef"
text_mb: .asciz "multiboot\ncommand: "
text_pvh: .asciz "pvh\ncommand: "
text_mods: .asciz "\nmodules: "
text_mem: .asciz "memory: "
text_pass: .asciz "PASS\n"
text_fail: .asciz "FAIL\n"

#ifdef PVH
    .section .note.Xen, "a", @note
    .balign 4
    .long 4, 4, 18                              /* XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .long pvh
#endif
