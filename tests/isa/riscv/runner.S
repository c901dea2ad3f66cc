# Runs random instruction sequences under qemu-riscv64, the oracle of riscv_random.c: reads a case (x, f, fcsr, data, code) from descriptor 0 to
# fixed addresses, runs it, writes x, f, fcsr and data to descriptor 1, until the end of input. gp is the area's address and never written by cases.
        .equ AREA, 0x200000
        .equ X, 0                       # 32 x 8
        .equ F, 256                     # 32 x 8
        .equ FCSR, 512
        .equ DATA, 4096                 # 8192 bytes
        .equ CODE, 0x10000
        .equ OUT, 4096 + 8192
        .equ IN, CODE + 8192
        .text
        .globl _start
        .option norvc
        .option norelax
back:   # a case ends with a jump here
        j save
_start:
        li gp, AREA
next:   li s1, 0
1:      li a7, 63                       # read the whole case
        li a0, 0
        add a1, gp, s1
        li a2, IN
        sub a2, a2, s1
        ecall
        blez a0, done
        add s1, s1, a0
        li a2, IN
        bltu s1, a2, 1b
        fence.i
        sc.d zero, zero, (gp)           # no reservation of the case before
        ld t0, FCSR(gp)
        fscsr t0
        .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        fld f\n, F + 8 * \n (gp)
        .endr
        .irp n, 1,2,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        ld x\n, 8 * \n (gp)
        .endr
        j back + 0x10000 + CODE         # the code: AREA is 0x10000 above
save:
        .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        fsd f\n, F + 8 * \n (gp)
        sd x\n, 8 * \n (gp)
        .endr
        frcsr t0
        sd t0, FCSR(gp)
        li s1, 0
2:      li a7, 64
        li a0, 1
        add a1, gp, s1
        li a2, OUT
        sub a2, a2, s1
        ecall
        blez a0, done
        add s1, s1, a0
        li a2, OUT
        bltu s1, a2, 2b
        j next
done:   li a7, 93
        li a0, 0
        ecall
        .bss
        .section .area, "awx", @nobits
        .space 0x20000
