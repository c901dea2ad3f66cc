# Code in flash, position-independent: says in which mode and bank it runs and whether a1 is a device tree, then powers off.
        .option norelax
_start: auipc s3, 0
        mv s5, a1
        li s0, 0x10000000
        lla t0, 2f
        csrw stvec, t0
        li s2, 'M'
        csrr t0, mhartid                # machine mode only; else OpenSBI hands it to stvec
        j 3f
        .balign 4
2:      li s2, 'S'
3:      sb s2, (s0)
        mv a0, s3
        call hex
        lwu a0, (s5)
        call hex
        li t0, 0x100000
        li t1, 0x5555
        sw t1, (t0)
1:      j 1b
hex:    li t0, 60
1:      srl t1, a0, t0
        andi t1, t1, 15
        li t2, 10
        blt t1, t2, 2f
        addi t1, t1, 39
2:      addi t1, t1, 48
        sb t1, (s0)
        addi t0, t0, -4
        bgez t0, 1b
        li t1, 10
        sb t1, (s0)
        ret
