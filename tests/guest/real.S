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
    /* Jumps whose IP wraps, forwards and backwards, from and to the page that the segment begins in: 0x1000:0xfff2 is linear 0x1fff2. Often, so that
     * it gets hot. What lies where a jump by linear address would lead gives 0. */
    movw $0x1000, %ax
    movw %ax, %es
    movw $0xe0eb, %es:0x10      /* 10: jmp 0xfff2 */
    movl $0xcbcf73f8, %es:0x20  /* 20: clc; jnc 0xfff2 */
    movl $0xcbff96e8, %es:0x60  /* 60: call 0xfff9; lret */
    movl $0xcb32b0, %es:0x18    /* 18: mov $0x32, %al; lret */
    movl $0xcb31b0, %es:0xfff2  /* mov $0x31, %al; lret */
    movw $0x20eb, %es:0xfff6    /* jmp 0x18 */
    movl $0xc334b0, %es:0xfff9  /* mov $0x34, %al; ret */
    movl $0x400003b9, %es:0x70  /* 70: mov $3, %cx; inc %ax; loop 0x73; lret */
    movl $0xcbfde2, %es:0x74
    movl $0x660001b9, %es:0x30  /* 30: mov $1, %cx; loopl, which is not taken, to beyond the limit; lret */
    movl $0xcb80e2, %es:0x34
    movl $0xcb00b0, 0xfff2
    movw $0x2000, %ax
    movw %ax, %es
    movl $0xcb00b0, %es:0x18
    movw $600, %di
1:  lcallw $0x1000, $0x10
    check_eq 19, $0x31, %al
    lcallw $0x1001, $0          /* the same bytes, a segment that begins there */
    check_eq 20, $0x31, %al
    lcallw $0x1000, $0xfff6
    check_eq 21, $0x32, %al
    lcallw $0x1000, $0x20
    check_eq 22, $0x31, %al
    lcallw $0x1000, $0x60
    check_eq 23, $0x34, %al
    xorw %ax, %ax
    lcallw $0x1001, $0x60
    check_eq 24, $3, %ax
    lcallw $0x1000, $0x30
    check_eq 25, $0, %cx
    decw %di
    jnz 1b
    xorw %ax, %ax
    movw %ax, %es
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
