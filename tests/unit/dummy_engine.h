#pragma once
#include <stdatomic.h>

#include "vmm/machine.h"

/*
 * A guest CPU and two engines for tests of vmm. The CPU's program is an array of instructions; "copy" keeps the registers to itself between
 * runs (as kvm does), "inplace" runs on the state struct (as tcg does). copy does not know OP_HARD.
 */
typedef enum DummyOp {
    OP_INC,         /* count++ */
    OP_OUT,         /* write count to port arg */
    OP_IN,          /* last = port arg */
    OP_HLT,
    OP_HARD,        /* count++, hard++; only inplace knows it */
    OP_JMP,         /* pc = arg */
    OP_CHECK,       /* stop with EXIT_ERROR unless last == count */
    OP_TRIPLE,
} DummyOp;

typedef struct DummyInsn {
    DummyOp op;
    uint32_t arg;
} DummyInsn;

typedef struct DummyState {
    uint32_t groups_valid, groups_dirty;
    uint64_t pc, count, last, hard, irqs;
} DummyState;

extern const CpuType dummy_cpu;
extern const AccelOps dummy_copy, dummy_inplace;
/* vcpu->model points to this. */
typedef struct DummyProgram {
    const DummyInsn *code;
    unsigned n;
} DummyProgram;
