/* Real mode: flags, decimal arithmetic, strings, segments, interrupts through the IVT, 32-bit operands. */
#define MODE 16
#include "tests/guest/guest.inc"

main:
    /* arithmetic flags */
    movb $0x7f, %al
    addb $1, %al
    check 1, jo
    movb $0xff, %al
    addb $1, %al
    check 2, jc
    movb $0x15, %al
    addb $0x27, %al
    daa
    check_eq 3, $0x42, %al
    movw $0x0105, %ax
    aam
    check_eq 4, $5, %ax
    movb $0x38, %al
    subb $0x19, %al
    das
    check_eq 5, $0x19, %al
    /* 32-bit operands and addresses */
    movl $0x12345678, %eax
    bswap %eax
    check_eq 6, $0x78563412, %eax
    movl $0x2000, %ebx
    movl $0xcafe, (%ebx)
    check_eq 7, $0xcafe, 0x2000, l
    /* strings: overlapping copy forwards propagates */
    movw $0x3000, %di
    movw $0x4241, %ax
    movw $8, %cx
    rep stosw
    movw $0x3000, %si
    movw $0x3001, %di
    movw $15, %cx
    rep movsb
    check_eq 8, $0x4141, 0x300e, w
    movw $0x3000, %di
    movb $0x42, %al
    movw $16, %cx
    repne scasb
    check 9, jne
    jcxz 1f
    movb $10, %bl
    jmp failed
1:  /* segments: the same byte by two names */
    movw $0x1234, %ax
    movw %ax, %es
    movb $0x5a, %es:0x10
    movw $0x1235, %ax
    movw %ax, %es
    check_eq 11, $0x5a, %es:0x0, b
    xorw %ax, %ax
    movw %ax, %es
    /* software interrupt, flags on the stack, iret */
    movw $REAL(handler), 4 * 0x60
    movw $0xf000, 4 * 0x60 + 2
    stc
    movw $7, %cx
    int $0x60
    check 12, jc
    check_eq 13, $8, %cx
    /* division error is a fault: the handler steps over it */
    movw $REAL(divide), 0
    movw $0xf000, 2
    xorw %cx, %cx
    movw $1, %ax
    xorb %dl, %dl
    divb %dl
    check_eq 14, $1, %cx
    /* far call and return */
    lcallw $0xf000, $REAL(far)
    check_eq 15, $0x77, %al
    /* into + bound-free loop, xlat, lahf */
    movw $0x3100, %bx
    movb $0x99, 0x3105
    movb $5, %al
    xlat
    check_eq 16, $0x99, %al
    movb $0xd5, %ah
    sahf
    lahf
    check_eq 17, $0xd7, %ah
    movw $5, %cx
    xorw %ax, %ax
1:  addw %cx, %ax
    loop 1b
    check_eq 18, $15, %ax
    jmp passed
handler:
    incw %cx
    iretw
divide:
    incw %cx
    pushw %bp
    movw %sp, %bp
    addw $2, 2(%bp)
    popw %bp
    iretw
far:
    movb $0x77, %al
    lretw
