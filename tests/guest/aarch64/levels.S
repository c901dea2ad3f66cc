// Start of levels.c at EL2, or of monitor.c at EL3 in flash (SECURE), from where it goes into memory: a stack for each level, their vectors, then levels_main(). An exception goes to
// trap(level << 4 | kind, regs): kind is the vector's number, regs x0-x30, ELR, SPSR, which it may change.
        .section .text.start, "ax"
        .globl _start
_start:
#if SECURE
        adr x0, _start
        ldr x1, =_start
        ldr x2, =image_end
3:      ldp x3, x4, [x0], #16
        stp x3, x4, [x1], #16
        cmp x1, x2
        b.lo 3b
        ldr x1, =4f
        br x1
4:
#endif
        ldr x0, =stack_end
        sub x1, x0, #0x4000
        msr sp_el1, x1
#if SECURE
        sub x1, x0, #0x8000
        msr sp_el2, x1
        sub x0, x0, #0xc000
        ldr x1, =vectors3
        msr vbar_el3, x1
        msr cptr_el3, xzr
        mrs x1, mpidr_el1               // the others wait
        and x1, x1, #0xff
        cbz x1, 2f
1:      wfi
        b 1b
2:
#endif
        mov sp, x0
        ldr x1, =vectors2
        msr vbar_el2, x1
        ldr x1, =vectors1
        msr vbar_el1, x1
        mov x1, #3 << 20
        msr cpacr_el1, x1
        mov x1, #0x33ff
        msr cptr_el2, x1
        isb
        bl levels_main
1:      b 1b

        .macro vector level, n
        .balign 128
        sub sp, sp, #272
        stp x0, x1, [sp]
        mov x0, #\level << 4 | \n
        b common\level
        .endm
        .macro vectors level
        .balign 2048
vectors\level:
        .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
        vector \level, \n
        .endr
common\level:
        .irp n, 2,4,6,8,10,12,14,16,18,20,22,24,26,28
        stp x\n, x30, [sp, #8 * \n]     // the odd ones follow
        .endr
        .irp n, 3,5,7,9,11,13,15,17,19,21,23,25,27,29
        str x\n, [sp, #8 * \n]
        .endr
        str x30, [sp, #240]
        mrs x1, elr_el\level
        mrs x2, spsr_el\level
        stp x1, x2, [sp, #248]
        mov x1, sp
        bl trap
        ldp x1, x2, [sp, #248]
        msr elr_el\level, x1
        msr spsr_el\level, x2
        .irp n, 2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30
        ldr x\n, [sp, #8 * \n]
        .endr
        ldp x0, x1, [sp]
        add sp, sp, #272
        eret
        .endm
        vectors 1
        vectors 2
#if SECURE
        vectors 3
#endif

// u64 run_at(u64 spsr, u64 (*fn)(u64), u64 arg): fn ends by SVC, HVC or SMC 0x77, which trap() sends to run_end
        .globl run_at
run_at: sub sp, sp, #96
        stp x19, x20, [sp]
        stp x21, x22, [sp, #16]
        stp x23, x24, [sp, #32]
        stp x25, x26, [sp, #48]
        stp x27, x28, [sp, #64]
        stp x29, x30, [sp, #80]
        ldr x4, =el0_stack_end
        msr sp_el0, x4
#if SECURE
        msr elr_el3, x1
        msr spsr_el3, x0
#else
        msr elr_el2, x1
        msr spsr_el2, x0
#endif
        and x3, x0, #12
        mov x0, x2
        adr x30, 1f
        adr x4, 2f
        cmp x3, #0
        csel x30, x4, x30, eq
        eret
#if SECURE
1:      smc #0x77
#else
1:      hvc #0x77
#endif
2:      svc #0x77
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
