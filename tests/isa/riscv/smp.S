# Litmus tests and counters for riscv_smp.c (litmus.h). Test n begins at 4 * n. a0: which hart (0, 1), a1: shared data, a2: rounds, a3: this hart's
# results, a4: the other's progress, a5: own progress. Ends in WFI.
        .option norelax
        .option norvc
        .text
        .globl _start
_start: j counters_lr
        j lock_lr
        j counters_amo
        j lock_amo
        j message_rl
        j message_fence
        j message_tso
        j both_amo
        j both_fence
        j both_lr

# Both harts are in this round before it begins.
        .macro meet
        fence rw, w
        sd a2, (a5)
7:      ld t0, (a4)
        bgtu t0, a2, 7b
        fence r, rw
        .endm
        .macro again to
        addi a2, a2, -1
        bnez a2, \to
        fence rw, w
        sd zero, (a5)
1:      wfi
        j 1b
        .endm
        .macro critical                 # the two plain counters
        ld t0, 256(a1)
        ld t1, 512(a1)
        addi t0, t0, 1
        addi t1, t1, 3
        sd t1, 512(a1)
        sd t0, 256(a1)
        .endm

counters_lr:
1:      lr.d t0, (a1)
        addi t0, t0, 1
        sc.d t1, t0, (a1)
        bnez t1, 1b
        addi t2, a1, 8
2:      lr.w.aq t0, (t2)
        addiw t0, t0, 1
        sc.w.rl t1, t0, (t2)
        bnez t1, 2b
        again counters_lr

lock_lr:
        li t2, 1
1:      lr.w.aq t0, (a1)
        bnez t0, 1b
        sc.w t1, t2, (a1)
        bnez t1, 1b
        critical
        amoswap.w.rl zero, zero, (a1)
        again lock_lr

counters_amo:
        li t0, 1
        amoadd.d zero, t0, (a1)
        addi t2, a1, 8
        amoadd.w.aqrl t1, t0, (t2)
        addi t2, a1, 16
        amominu.d t1, a2, (t2)
        addi t2, a1, 24
        amomax.d t1, a2, (t2)
        addi t2, a1, 32
        amoxor.d t1, a2, (t2)
        again counters_amo

lock_amo:
        li t2, 1
1:      amoswap.d.aq t0, t2, (a1)
        bnez t0, 1b
        critical
        fence rw, w
        sd zero, (a1)
        again lock_amo

        .macro count_ahead              # t0: flag; t3 flags were ahead of the data
        ld t1, 256(a1)
        sltu t2, t1, t0
        add t3, t3, t2
        sd t3, (a3)
        .endm
message_rl:                             # hart 0: data, then flag
        bnez a0, 2f
1:      addi t0, t0, 1
        sd t0, 256(a1)
        amoswap.d.rl zero, t0, (a1)
        again 1b
2:      lr.d.aq t0, (a1)
        count_ahead
        again 2b

message_fence:
        bnez a0, 2f
1:      addi t0, t0, 1
        sd t0, 256(a1)
        fence w, w
        sd t0, (a1)
        again 1b
2:      ld t0, (a1)
        fence r, r
        count_ahead
        again 2b

message_tso:
        bnez a0, 2f
1:      addi t0, t0, 1
        sd t0, 256(a1)
        fence.tso
        sd t0, (a1)
        again 1b
2:      ld t0, (a1)
        fence.tso
        count_ahead
        again 2b

        .macro places                   # t0, t1: this round's words of own and other hart, in lines of their own; a6: where the result goes
        slli t0, a2, 7
        add t0, t0, a1
        xori t1, a0, 1
        slli t1, t1, 6
        add t1, t1, t0
        slli t2, a0, 6
        add t0, t0, t2
        slli a6, a2, 3
        add a6, a6, a3
        li t2, 1
        .endm
both_amo:                               # not both may read 0
        meet
        places
        amoswap.d.aqrl zero, t2, (t0)
        ld t4, (t1)
        sd t4, (a6)
        again both_amo

both_fence:
        meet
        places
        sd t2, (t0)
        fence w, r
        ld t4, (t1)
        sd t4, (a6)
        again both_fence

both_lr:                                # an LR with both bits is behind all earlier accesses
        meet
        places
        sd t2, (t0)
        lr.d.aqrl t4, (t1)
        sd t4, (a6)
        again both_lr
