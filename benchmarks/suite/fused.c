/* Compiled with multiplications and additions fused, as compilers do by default for CPUs that always have FMA. */
#include "benchmarks/suite/float.inc"

const Workload suite_fused[] = {
    { "nbody-fma", "float", 300000, run_nbody, "fma", "a step of five bodies, scalar double, fused multiply and add" },
    { "linpack-fma", "float", 120, run_linpack, "fma", "a linear system of order 100, scalar double, fused multiply and add" },
    { 0 },
};
