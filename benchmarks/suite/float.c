#include "benchmarks/suite/float.inc"

const Workload suite_float[] = {
    { "nbody", "float", 300000, run_nbody, "", "a step of five bodies, scalar double" },
    { "linpack", "float", 120, run_linpack, "", "a linear system of order 100, scalar double" },
    { 0 },
};
