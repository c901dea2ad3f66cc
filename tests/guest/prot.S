/* 32-bit protected mode: paging, faults with error codes, ring 3, timer interrupts through 8259 and 8254. */
#define MODE 32
#include "tests/guest/guest.inc"

main:
    lidt idtr
    gate 6, undefined
    gate 13, general
    gate 14, page_fault
    gate 0x20, timer
    gate 0x80, system_call, 0xee
    /* undefined opcode: handler steps over it */
    xorl %ebp, %ebp
    ud2
    check_eq 1, $6, %ebp
    /* #GP with the selector as error code */
    movl $0x43, %eax
    xorl %ebp, %ebp
    movw %ax, %fs
    check_eq 2, $13, %ebp
    check_eq 3, $0x40, %edi
    /* paging: 4 MiB pages one to one, then a hole at 8 MiB by a page table */
    movl $PT, %edi
    movl $0x83, %eax
    movl $1024, %ecx
1:  movl %eax, (%edi)
    addl $0x400000, %eax
    addl $4, %edi
    loop 1b
    movl $PT + 0x1003, PT + 8
    movl $0x800003, %eax
    movl $PT + 0x1000, %edi
    movl $1024, %ecx
1:  movl %eax, (%edi)
    addl $0x1000, %eax
    addl $4, %edi
    loop 1b
    movl $0, PT + 0x1000 + 4 * 5
    movl $0x10, %eax
    movl %eax, %cr4
    movl $PT, %eax
    movl %eax, %cr3
    movl %cr0, %eax
    orl $0x80010000, %eax
    movl %eax, %cr0
    /* a write to the hole: error code, CR2, and the handler maps it; the instruction is done again */
    xorl %ebp, %ebp
    movl $0x11223344, 0x805010
    check_eq 4, $14, %ebp
    check_eq 5, $2, %edi
    movl %cr2, %eax
    check_eq 6, $0x805010, %eax
    check_eq 7, $0x11223344, 0x805010, l
    /* accessed and dirty bits */
    testb $0x40, PT + 0x1000 + 4 * 5
    check 8, jnz
    testb $0x20, PT + 0x1000 + 4 * 6
    check 9, jz
    movl 0x806000, %eax
    testb $0x20, PT + 0x1000 + 4 * 6
    check 10, jnz
    /* read-only page, write in ring 0 with CR0.WP; an access across two pages writes nothing */
    movl $0x807003, PT + 0x1000 + 4 * 7
    movl $0x808001, PT + 0x1000 + 4 * 8
    invlpg 0x808000
    movl $0, 0x807ffc
    xorl %ebp, %ebp
    movl $0x55667788, 0x807ffe
    check_eq 11, $14, %ebp
    check_eq 12, $3, %edi
    check_eq 13, $0x77880000, 0x807ffc, l   /* the handler made it writable: done again as a whole */
    /* ring 3 and back through int 0x80 */
    movl $0x7080, %edi
    xorl %eax, %eax
    movl $26, %ecx
    rep stosl
    movl $0x6800, 0x7084        /* esp0 */
    movl $0x10, 0x7088          /* ss0 */
    movw $0x68, 0x70e6
    movw $0x38, %ax
    ltr %ax
    orb $4, PT                  /* ring 3 may use the first 4 MiB */
    movl %cr3, %eax
    movl %eax, %cr3
    xorl %ebp, %ebp
    pushl $0x2b
    pushl $0x5000
    pushl $2
    pushl $0x23
    pushl $ring3
    iret
back:
    movw $0x10, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl $0x7000, %esp
    check_eq 14, $0x80, %ebp
    check_eq 15, $0x23, %ecx
    /* timer: 8254 channel 0 at about 1 kHz, 8259 at vector 0x20 */
    movb $0x11, %al
    outb %al, $0x20
    outb %al, $0xa0
    movb $0x20, %al
    outb %al, $0x21
    movb $0x28, %al
    outb %al, $0xa1
    movb $4, %al
    outb %al, $0x21
    movb $2, %al
    outb %al, $0xa1
    movb $1, %al
    outb %al, $0x21
    outb %al, $0xa1
    movb $0xfe, %al
    outb %al, $0x21
    movb $0xff, %al
    outb %al, $0xa1
    movb $0x34, %al
    outb %al, $0x43
    movb $0xa9, %al
    outb %al, $0x40
    movb $0x04, %al
    outb %al, $0x40
    movl $0x1ff, LAPIC + 0xf0   /* local APIC on, 8259 through LINT0 */
    movl $0x700, LAPIC + 0x350
    xorl %edi, %edi
    sti
1:  hlt                         /* ten ticks asleep */
    cmpl $10, %edi
    jb 1b
1:  cmpl $20, %edi              /* ten awake */
    jb 1b
    cli
    jmp passed

ring3:
    movl $0x2b, %eax
    movw %ax, %ds
    movw %cs, %cx
    movzwl %cx, %ecx
    int $0x80
    ud2
system_call:
    movl $0x80, %ebp
    jmp back
undefined:
    movl $6, %ebp
    addl $2, (%esp)
    iret
general:
    movl $13, %ebp
    popl %edi
    addl $2, (%esp)
    iret
page_fault:
    movl $14, %ebp
    popl %edi
    pushl %eax
    movl %cr2, %eax
    shrl $12, %eax
    andl $0x3ff, %eax
    orl $3, PT + 0x1000(, %eax, 4)
    testl $0xfffff000, PT + 0x1000(, %eax, 4)
    jnz 1f
    movl $0x805003, PT + 0x1000(, %eax, 4)
1:  invlpg 0x805000
    invlpg 0x808000
    popl %eax
    iret
timer:
    incl %edi
    pushl %eax
    movb $0x20, %al
    outb %al, $0x20
    popl %eax
    iret
