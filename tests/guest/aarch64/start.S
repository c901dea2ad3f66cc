// Start of a bare-metal image at EL1: 16 KiB of stack a CPU, then cpu_main(number). An exception goes to trap(kind, regs): kind is the vector's number
// (4 to 7 from EL1, 8 to 11 from EL0), regs x0-x30, ELR, SPSR, which it may change.
        .section .text.start, "ax"
        .globl _start
_start: mov x0, #0
        .globl secondary
secondary:                              // PSCI's entry: x0 = number
        ldr x1, =stack_end
        sub x1, x1, x0, lsl #14
        mov sp, x1
        adr x1, vectors
        msr vbar_el1, x1
        mov x1, #3 << 20
        msr cpacr_el1, x1
        isb
        bl cpu_main
1:      wfi
        b 1b

        .macro vector n
        .balign 128
        sub sp, sp, #272
        stp x0, x1, [sp]
        mov x0, #\n
        b common
        .endm
        .balign 2048
vectors:
        .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
        vector \n
        .endr
common: .irp n, 2,4,6,8,10,12,14,16,18,20,22,24,26,28
        stp x\n, x30, [sp, #8 * \n]     // the odd ones follow
        .endr
        .irp n, 3,5,7,9,11,13,15,17,19,21,23,25,27,29
        str x\n, [sp, #8 * \n]
        .endr
        str x30, [sp, #240]
        mrs x1, elr_el1
        mrs x2, spsr_el1
        stp x1, x2, [sp, #248]
        mov x1, sp
        bl trap
        ldp x1, x2, [sp, #248]
        msr elr_el1, x1
        msr spsr_el1, x2
        .irp n, 2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30
        ldr x\n, [sp, #8 * \n]
        .endr
        ldp x0, x1, [sp]
        add sp, sp, #272
        eret

// u64 run_el0(u64 (*fn)(u64), u64 arg): fn ends by SVC 0x77, which trap() sends to run_end
        .globl run_el0
run_el0:
        sub sp, sp, #96
        stp x19, x20, [sp]
        stp x21, x22, [sp, #16]
        stp x23, x24, [sp, #32]
        stp x25, x26, [sp, #48]
        stp x27, x28, [sp, #64]
        stp x29, x30, [sp, #80]
        msr elr_el1, x0
        msr spsr_el1, xzr
        ldr x2, =el0_stack_end
        msr sp_el0, x2
        mov x0, x1
        adr x30, 1f
        eret
1:      svc #0x77
        .globl run_end
run_end:
        ldp x19, x20, [sp]
        ldp x21, x22, [sp, #16]
        ldp x23, x24, [sp, #32]
        ldp x25, x26, [sp, #48]
        ldp x27, x28, [sp, #64]
        ldp x29, x30, [sp, #80]
        add sp, sp, #96
        ret
        .bss
        .balign 4096
        .space 4096
el0_stack_end:
