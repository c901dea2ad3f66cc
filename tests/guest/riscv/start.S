# Start of a bare-metal image: 16 KiB of stack a hart, then hart_main(hart). A trap in machine mode goes to trap(regs), which says where to go on.
        .section .text.start, "ax"
        .globl _start
        .option norelax
_start: csrr a0, mhartid
        la sp, stack_end
        slli t0, a0, 14
        sub sp, sp, t0
        la t0, trap_entry
        csrw mtvec, t0
        csrw mscratch, zero
        li t0, 0x6000                   # FS
        csrs mstatus, t0
        li t0, -1                       # S and U may reach all memory
        csrw pmpaddr0, t0
        li t0, 0x1f
        csrw pmpcfg0, t0
        call hart_main
1:      wfi
        j 1b

        .globl trap_entry
        .balign 4
trap_entry:                             # mscratch: stack to use when it is not 0 (set by run_in), else sp is ours
        csrrw sp, mscratch, sp
        bnez sp, 1f
        csrrw sp, mscratch, sp
1:      addi sp, sp, -272
        .irp n, 1,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        sd x\n, 8 * \n (sp)
        .endr
        csrr a0, mscratch
        sd a0, 16(sp)
        csrw mscratch, zero
        mv a0, sp
        call trap
        ld a0, 16(sp)
        csrw mscratch, a0
        addi a0, sp, 272
        sd a0, 0(sp)
        .irp n, 1,3,4,5,6,7,8,9,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        ld x\n, 8 * \n (sp)
        .endr
        csrr a0, mstatus                # back to machine mode: its own stack; else mscratch keeps ours
        srli a0, a0, 11
        andi a0, a0, 3
        addi a0, a0, -3
        beqz a0, 2f
        ld a0, 80(sp)
        addi sp, sp, 272
        csrrw sp, mscratch, sp
        mret
2:      csrw mscratch, zero
        ld a0, 80(sp)
        addi sp, sp, 272
        mret

# uint64_t run_in(uint64_t (*fn)(uint64_t), uint64_t arg, uint64_t mode): call fn in that mode; it returns by ecall
        .globl run_in
run_in: addi sp, sp, -112
        sd ra, 0(sp)
        .irp n, 0,1,2,3,4,5,6,7,8,9,10,11
        sd s\n, 8 + 8 * \n (sp)
        .endr
        la t0, run_sp
        csrr t1, mhartid
        slli t1, t1, 3
        add t0, t0, t1
        sd sp, (t0)
        li t0, 0x1800
        csrc mstatus, t0
        slli a2, a2, 11
        csrs mstatus, a2
        csrw mepc, a0
        mv a0, a1
        csrw mscratch, sp
        addi sp, sp, -2048              # the mode's own stack, below what a trap uses
        la ra, run_return
        mret
        .globl run_return
run_return:                             # in the other mode
        li a7, 0x1234
        ecall
        j run_return
        .globl run_end
run_end:                                # trap() sends the ecall here in machine mode, a0 = result
        la t0, run_sp
        csrr t1, mhartid
        slli t1, t1, 3
        add t0, t0, t1
        ld sp, (t0)
        ld ra, 0(sp)
        .irp n, 0,1,2,3,4,5,6,7,8,9,10,11
        ld s\n, 8 + 8 * \n (sp)
        .endr
        addi sp, sp, 112
        ret
        .bss
        .balign 8
run_sp: .space 64
