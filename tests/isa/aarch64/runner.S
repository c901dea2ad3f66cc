// Runs random instruction sequences under qemu-aarch64, the oracle of aarch64_random.c: reads a case (x, v, NZCV, FPCR, FPSR, data, code) from
// descriptor 0 to fixed addresses, runs it, writes x, v, NZCV, FPCR, FPSR and data to descriptor 1, until the end of input. x27 is the area's
// address and never written by cases.
        .equ AREA, 0x200000
        .equ NZCV, 768
        .equ FPCR, 776
        .equ FPSR, 784
        .equ CODE, 0x10000
        .equ OUT, 4096 + 8192
        .equ IN, CODE + 8192
        .text
        .globl _start
back:   // a case ends with a jump here
        b save
_start: mov x27, #AREA
next:   mov x9, #0
1:      mov x8, #63                     // read the whole case
        mov x0, #0
        add x1, x27, x9
        mov x2, #(IN & 0xffff)
        movk x2, #(IN >> 16), lsl #16
        sub x2, x2, x9
        svc #0
        cmp x0, #0
        b.le done
        add x9, x9, x0
        mov x2, #(IN & 0xffff)
        movk x2, #(IN >> 16), lsl #16
        cmp x9, x2
        b.lo 1b
        isb
        clrex                           // no reservation of the case before
        ldr x0, [x27, #NZCV]
        msr nzcv, x0
        ldr x0, [x27, #FPCR]
        msr fpcr, x0
        ldr x0, [x27, #FPSR]
        msr fpsr, x0
        ldr x0, [x27, #248]
        mov sp, x0
        .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        ldr q\n, [x27, #256 + 16 * \n]
        .endr
        .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,28,29,30
        ldr x\n, [x27, #8 * \n]
        .endr
        b back + 0x10000 + CODE         // the code: AREA is 0x10000 above
save:
        .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,28,29,30
        str x\n, [x27, #8 * \n]
        .endr
        mov x0, sp
        str x0, [x27, #248]
        mrs x0, nzcv
        str x0, [x27, #NZCV]
        mrs x0, fpcr
        str x0, [x27, #FPCR]
        mrs x0, fpsr
        str x0, [x27, #FPSR]
        .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        str q\n, [x27, #256 + 16 * \n]
        .endr
        mov x9, #0
2:      mov x8, #64
        mov x0, #1
        add x1, x27, x9
        mov x2, #OUT
        sub x2, x2, x9
        svc #0
        cmp x0, #0
        b.le done
        add x9, x9, x0
        mov x2, #OUT
        cmp x9, x2
        b.lo 2b
        b next
done:   mov x8, #93
        mov x0, #0
        svc #0
        .bss
        .section .area, "awx", @nobits
        .space 0x20000
