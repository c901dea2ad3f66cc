/*
 * Accessed and dirty bits, set by ring 3 in a page table whose page holds code too, which ring 0 runs: a host that keeps pages with translated code
 * read-only must write there all the same.
 */
#define MODE 64
#include "tests/guest/guest.inc"
#define TSS 0x7080
#define TABLE 0x22000               /* maps 1 GiB on; from its middle on it is code */
#define CODE (TABLE + 0x800)
#define USER 0x23000                /* at 1 GiB */
#define DATA 0x24000                /* at 1 GiB + 4 KiB */
#define VA 0x40000000
#define ROUNDS 100

main:
    movl $TABLE, %edi
    xorl %eax, %eax
    movl $0x3000 / 4, %ecx
    rep stosl
    movq $TABLE + 7, PT + 0x3000
    orb $4, PT + 0x1008
    orb $4, PT
    movq $USER + 0x27, TABLE
    mov $user, %esi
    movl $USER, %edi
    movl $user_end - user, %ecx
    rep movsb
    movb $0xb8, CODE                /* movl $imm, %eax; ret */
    movl $0x1234, CODE + 1
    movb $0xc3, CODE + 5
    mov %cr3, %rax
    mov %rax, %cr3
    movq $0x6ff0, TSS + 4
    movw $0x38, %ax
    ltr %ax
    lidt idtr
    gate 13, back
    gate 14, fault
    movl $ROUNDS, %r12d
round:
    movl $CODE, %eax
    call *%rax
    check_eq 1, $0x1234, %eax
    movl %r12d, DATA
    movq $DATA + 7, TABLE + 8
    movl $VA + 0x1000, %ebx
    invlpg (%rbx)
    movl $VA, %eax                  /* reads */
    call ring3
    check_eq 2, %r12d, %ecx
    check_eq 3, $DATA + 0x27, TABLE + 8, q
    movl $CODE, %eax
    call *%rax
    check_eq 4, $0x1234, %eax
    movl $VA + write - user, %eax
    call ring3
    check_eq 5, $DATA + 0x67, TABLE + 8, q
    leal 1(%r12d), %eax
    check_eq 6, %eax, DATA
    incl CODE + 1                   /* the code can still be changed */
    movl $CODE, %eax
    call *%rax
    check_eq 7, $0x1235, %eax
    decl CODE + 1
    decl %r12d
    jnz round
    jmp passed

    /* Ring 3 at rax, until it tries to halt (some KVMs know no software interrupts there). */
ring3:
    movq %rsp, %r13
    pushq $0x28 + 3
    pushq $0
    pushq $2
    pushq $0x30 + 3
    pushq %rax
    iretq
back:
    movq %r13, %rsp
    ret
fault:
    movb $0xee, %bl
    jmp failed

user:
    movl (%rbx), %ecx
    hlt
write:
    incl (%rbx)
    hlt
user_end:
