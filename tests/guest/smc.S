/* Self-modifying code: the next instruction, the running loop, another alias of the page, code written by REP MOVS, and by a device mapping dropped meanwhile. */
#define MODE 64
#include "tests/guest/guest.inc"
#define CODE 0x22000

main:
    /* the routine in RAM: movl $imm, %eax; ret */
    movl $CODE, %ebx
    movb $0xb8, (%rbx)
    movl $1, 1(%rbx)
    movb $0xc3, 5(%rbx)
    call *%rbx
    check_eq 1, $1, %eax
    movl $200, %ecx
1:  movl %ecx, 1(%rbx)              /* changed before each call */
    call *%rbx
    cmp %ecx, %eax
    jne bad2
    loop 1b
    /* through another virtual address of the same page: 3 GiB maps 0 */
    movq PT + 0x2000, %rax
    movq %rax, PT + 0x5000
    mov %cr3, %rax
    mov %rax, %cr3
    movl $0xc0000000, %edx
    movl $0x777, CODE + 1(%rdx)
    call *%rbx
    check_eq 3, $0x777, %eax
    lea (%rbx, %rdx), %rdi
    call *%rdi
    check_eq 4, $0x777, %eax
    /* an instruction that changes the one right behind it */
    mov $template, %esi
    movl $CODE + 0x100, %edi
    movl $template_end - template, %ecx
    rep movsb
    movl $CODE + 0x100, %esi
    call *%rsi
    check_eq 5, $0x42, %eax
    /* code across two pages, its second half changed */
    movl $CODE + 0xffd, %edi
    movb $0xb8, (%rdi)
    movl $5, 1(%rdi)
    movb $0xc3, 5(%rdi)
    call *%rdi
    check_eq 6, $5, %eax
    movb $1, CODE + 0x1000
    call *%rdi
    check_eq 7, $0x10005, %eax
    /* dropped and restored mapping of the code page, many times, while it is called */
    movl $100, %ecx
1:  movl $CODE, %eax
    outl %eax, $0xe4
    movl %ecx, CODE + 1
    call *%rbx
    cmp %ecx, %eax
    jne bad8
    loop 1b
    /* an operand written so often that it is read when the code runs; then parts of it, more than it, and the instruction itself */
    movl $CODE + 0x200, %ebx
    movw $0x8948, (%rbx)            /* mov %rdi, %rax; add $imm, %rax; mov $imm, %ecx; ret */
    movl $0x0548f8, 2(%rbx)
    movb $0xb9, 9(%rbx)
    movl $7, 10(%rbx)
    movb $0xc3, 14(%rbx)
    movl $100, %esi
1:  movl %esi, 5(%rbx)
    lea (%rsi, %rsi), %edx
    movl %edx, 10(%rbx)
    xorl %edi, %edi
    call *%rbx
    cmp %esi, %eax
    jne bad9
    cmp %edx, %ecx
    jne bad9
    decl %esi
    jnz 1b
    movl $-3, 5(%rbx)
    movl $5, %edi
    call *%rbx
    check_eq 10, $2, %rax
    movb $1, 12(%rbx)
    call *%rbx
    check_eq 11, $0x10002, %ecx
    movq $0x00000044b9000000, %rax
    movq %rax, 6(%rbx)
    movb $9, 5(%rbx)
    call *%rbx
    check_eq 12, $14, %eax
    check_eq 13, $0x44, %ecx
    movb $0xba, 9(%rbx)             /* mov $imm, %edx */
    xorl %edx, %edx
    call *%rbx
    check_eq 14, $0x44, %edx
    jmp passed
bad9:
    movb $9, %bl
    jmp failed
bad2:
    movb $2, %bl
    jmp failed
bad8:
    movb $8, %bl
    jmp failed
template:
    xorl %eax, %eax
    movb $0x42, template_imm - template(%rsi)
    .byte 0xb0                      /* movb $imm, %al */
template_imm:
    .byte 0
    ret
template_end:
