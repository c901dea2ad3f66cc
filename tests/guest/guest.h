/*
 * Bare-metal test images for the PC, 64 KiB that stand where firmware would. Before including, define MODE: 16, 32 or 64; the image's code begins
 * at `main` in that mode: flat segments, stack below 0x7000, in 64-bit mode 4 GiB mapped one to one with 2 MiB pages.
 * Output goes to COM1, the verdict through isa-debug-exit at 0x501: PASS or FAIL(n).
 *
 * Memory: 0x500 IVT work area, 0x7000 stack top, 0x8000 IDT, 0x9000 GDT copy unused, 0x10000-0x15fff page tables, 0x20000 second CPUs' start page,
 * 0x21000.. free for images, 0x30000 stacks of second CPUs (4 KiB each).
 */
#define COM1 0x3f8
#define EXIT_PORT 0x501
#define EXIT_PASS 0x10
#define EXIT_FAIL 0x20
#define IDT 0x8000
#define PT 0x10000
#define AP_PAGE 0x20000
#define LAPIC 0xfee00000
#define REAL(label) ((label) - _image)

    .section .text, "ax"
_image:
    .code16
start16:
    cli
    cld
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movw $0x7000, %sp
    movb $3, %al                /* 8 data bits: after reset it is 5 */
    movw $COM1 + 3, %dx
    outb %al, %dx
#if MODE == 16
    jmp main
#else
    lgdtl %cs:REAL(gdtr)
    movl %cr0, %eax
    orb $1, %al
    movl %eax, %cr0
    ljmpl $8, $start32
    .code32
start32:
    movw $0x10, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl $0x7000, %esp
#if MODE == 32
    jmp main
#else
    /* PML4 -> PDPT -> four page directories of 2 MiB pages. */
    movl $PT, %edi
    xorl %eax, %eax
    movl $0x6000 / 4, %ecx
    rep stosl
    movl $PT + 0x1003, PT
    movl $PT + 0x2003, PT + 0x1000
    movl $PT + 0x3003, PT + 0x1008
    movl $PT + 0x4003, PT + 0x1010
    movl $PT + 0x5003, PT + 0x1018
    movl $PT + 0x2000, %edi
    movl $0x83, %eax
    movl $2048, %ecx
1:  movl %eax, (%edi)
    addl $0x200000, %eax
    addl $8, %edi
    loop 1b
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
    ljmpl $0x18, $start64
    .code64
start64:
    movw $0x10, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    jmp *where
#endif
#endif

    .balign 8
gdt:
    .quad 0
    .quad 0x00cf9b000000ffff    /* 08 code 32 */
    .quad 0x00cf93000000ffff    /* 10 data */
    .quad 0x00af9b000000ffff    /* 18 code 64 */
    .quad 0x00cffb000000ffff    /* 20 code 32, ring 3 */
    .quad 0x00cff3000000ffff    /* 28 data, ring 3 */
    .quad 0x00affb000000ffff    /* 30 code 64, ring 3 */
    .quad 0x0000890070800067    /* 38 TSS at 0x7080 */
    .quad 0
gdt_end:
gdtr:
    .word gdt_end - gdt - 1
    .long gdt
#if MODE == 64
    .balign 8
where:
    .quad first64
first64:
    movl $0x7000, %esp
    jmp main
#endif

#if MODE == 16
    .code16
#define TEXT(reg, label) movw $REAL(label), %reg
#define STR si
    /* Print the text at cs:si. Keeps nothing but segments and sp. */
puts:
    movb %cs:(%si), %al
    incw %si
    testb %al, %al
    jz 2f
    call putc
    jmp puts
2:  ret
#else
#if MODE == 32
    .code32
#define STR esi
#define XBX ebx
#else
    .code64
#define STR rsi
#endif
#define TEXT(reg, label) mov $label, %reg
puts:
    lodsb
    testb %al, %al
    jz 2f
    call putc
    jmp puts
2:  ret
#endif
    /* al to the serial line, when there is room. */
putc:
    movb %al, %ah
    movw $COM1 + 5, %dx
1:  inb %dx, %al
    testb $0x20, %al
    jz 1b
    movb %ah, %al
    movw $COM1, %dx
    outb %al, %dx
    ret

    /* The number of the failed check is in bl. */
failed:
    TEXT(STR, text_fail)
    call puts
    movb %bl, %al
    shrb $4, %al
    call hex
    movb %bl, %al
    andb $15, %al
    call hex
    movb $10, %al
    call putc
    movb $EXIT_FAIL, %al
    jmp leave
hex:
    addb $0x30, %al
    cmpb $0x3a, %al
    jb 1f
    addb $0x27, %al
1:  jmp putc
passed:
    TEXT(STR, text_pass)
    call puts
    movb $EXIT_PASS, %al
leave:
    movb %al, %ah
    movw $COM1 + 5, %dx
1:  inb %dx, %al                /* until all is sent */
    testb $0x40, %al
    jz 1b
    movb %ah, %al
    movw $EXIT_PORT, %dx
    outb %al, %dx
1:  cli
    hlt
    jmp 1b
text_fail: .asciz "FAIL "
text_pass: .asciz "PASS\n"

/* Check number n: the condition jcc after the flags were set, else FAIL n. */
.macro check n, jcc:vararg
    \jcc 9f
    movb $\n, %bl
    jmp failed
9:
.endm
/* size: b, w, l, q where no register tells it */
.macro check_eq n, val, reg, size
    cmp\size \val, \reg
    check \n, je
.endm

#if MODE == 32
/* Gate of 32 bits for @vec to @handler; kind 0x8e interrupt, 0xee with DPL 3. Clobbers eax. */
.macro gate vec, handler, kind=0x8e
    movl $\handler, %eax
    movw %ax, IDT + 8 * \vec
    movw $8, IDT + 8 * \vec + 2
    movw $(\kind << 8), IDT + 8 * \vec + 4
    shrl $16, %eax
    movw %ax, IDT + 8 * \vec + 6
.endm
idtr: .word 0x7ff
    .long IDT
#elif MODE == 64
.macro gate vec, handler, kind=0x8e
    movl $\handler, %eax
    movw %ax, IDT + 16 * \vec
    movw $0x18, IDT + 16 * \vec + 2
    movw $(\kind << 8), IDT + 16 * \vec + 4
    shrl $16, %eax
    movw %ax, IDT + 16 * \vec + 6
    movq $0, IDT + 16 * \vec + 8
.endm
idtr: .word 0xfff
    .quad IDT
#endif

    .section .reset, "ax"
    .code16
    ljmpw $0xf000, $REAL(start16)
    .org 16, 0

    .section .text, "ax"
#if MODE == 16
    .code16
#elif MODE == 32
    .code32
#else
    .code64
#endif
