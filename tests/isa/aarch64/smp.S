// Litmus tests and counters for aarch64_smp.c. Test n begins at 4 * n. x0: which CPU (0, 1), x1: shared data, x2: rounds, x3: this CPU's results,
// x4: the other's progress, x5: own progress. Ends in WFI.
        .arch armv8.3-a+lse
        .text
        .globl _start
_start: b counter_excl
        b lock_excl
        b counters_lse
        b pairs
        b lock_lse
        b message_release
        b message_barrier
        b both_store_release
        b both_store_barrier

// Both CPUs are in this round before it begins.
        .macro meet
        stlr x2, [x5]
7:      ldar x9, [x4]
        cmp x9, x2
        b.hi 7b
        .endm
        .macro again to
        sub x2, x2, #1
        cbnz x2, \to
        stlr xzr, [x5]
1:      wfi
        b 1b
        .endm

counter_excl:                           // 64, 32, 16 and 8 bits, all four forms
1:      ldxr x9, [x1]
        add x9, x9, #1
        stxr w10, x9, [x1]
        cbnz w10, 1b
        add x11, x1, #8
2:      ldaxr w9, [x11]
        add w9, w9, #1
        stlxr w10, w9, [x11]
        cbnz w10, 2b
        add x11, x1, #12
3:      ldaxrh w9, [x11]
        add w9, w9, #1
        stxrh w10, w9, [x11]
        cbnz w10, 3b
        add x11, x1, #14
4:      ldxrb w9, [x11]
        add w9, w9, #1
        stlxrb w10, w9, [x11]
        cbnz w10, 4b
        again counter_excl

lock_excl:                              // x1: lock; two plain counters far away from it
        mov w12, #1
1:      ldaxr w9, [x1]
        cbnz w9, 1b
        stxr w10, w12, [x1]
        cbnz w10, 1b
        ldr x9, [x1, #256]
        ldr x10, [x1, #512]
        add x9, x9, #1
        add x10, x10, #3
        str x10, [x1, #512]
        str x9, [x1, #256]
        stlr wzr, [x1]
        again lock_excl

counters_lse:
        mov x9, #1
        ldadd x9, xzr, [x1]
        add x11, x1, #8
        ldaddal w9, w10, [x11]
        add x11, x1, #12
        ldaddah w9, w10, [x11]
        add x11, x1, #14
        ldaddlb w9, w10, [x11]
        add x11, x1, #16                // a minimum of x2, a maximum, exclusive or twice
        ldumin x2, x10, [x11]
        add x11, x1, #24
        ldsmax x2, x10, [x11]
        add x11, x1, #32
        ldeor x2, x10, [x11]
        again counters_lse

pairs:                                  // both halves count together; CASP and LDXP/STXP by turns
        ldp x10, x11, [x1]
        mov x12, x10
        mov x13, x11
1:      mov x12, x10
        mov x13, x11
        add x14, x10, #1
        add x15, x11, #1
        casp x10, x11, x14, x15, [x1]
        cmp x10, x12
        ccmp x11, x13, #0, eq
        b.ne 1b
2:      ldaxp x10, x11, [x1]
        add x10, x10, #1
        add x11, x11, #1
        stlxp w9, x10, x11, [x1]
        cbnz w9, 2b
        again pairs

lock_lse:
        mov w12, #1
1:      mov w9, wzr
        casa w9, w12, [x1]
        cbnz w9, 1b
        ldr x9, [x1, #256]
        ldr x10, [x1, #512]
        add x9, x9, #1
        add x10, x10, #3
        str x10, [x1, #512]
        str x9, [x1, #256]
        swpl wzr, w9, [x1]
        again lock_lse

message_release:                        // CPU 0: data, then flag by STLR; CPU 1 counts flags that are ahead of the data
        cbnz x0, 2f
1:      add x9, x9, #1
        str x9, [x1, #256]
        stlr x9, [x1]
        again 1b
2:      ldar x10, [x1]
        ldr x11, [x1, #256]
        cmp x10, x11
        cinc x12, x12, hi
        str x12, [x3]
        again 2b

message_barrier:
        cbnz x0, 2f
1:      add x9, x9, #1
        str x9, [x1, #256]
        dmb ishst
        str x9, [x1]
        again 1b
2:      ldr x10, [x1]
        dmb ishld
        ldr x11, [x1, #256]
        cmp x10, x11
        cinc x12, x12, hi
        str x12, [x3]
        again 2b

        .macro places                   // x10, x11: this round's words of own and other CPU, in lines of their own
        add x10, x1, x2, lsl #7
        eor x12, x0, #1
        add x11, x10, x12, lsl #6
        add x10, x10, x0, lsl #6
        .endm
both_store_release:                     // not both may read 0
        meet
        places
        mov x9, #1
        stlr x9, [x10]
        ldar x12, [x11]
        str x12, [x3, x2, lsl #3]
        again both_store_release

both_store_barrier:
        meet
        places
        mov x9, #1
        str x9, [x10]
        dmb ish
        ldr x12, [x11]
        str x12, [x3, x2, lsl #3]
        again both_store_barrier
