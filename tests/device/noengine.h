#pragma once
#include "vmm/accel.h"
#include "vmm/vcpu.h"

/* Processors that never run: the test is the processor. */
static inline bool no_engine_init(Machine *m, const AccelConfig *cfg, void **ret_vm, GError **err)
{
    *ret_vm = m;
    return true;
}
static inline void no_engine_fini(void *vm) {}
static const AccelOps no_engine = { .name = "none", .vm_init = no_engine_init, .vm_fini = no_engine_fini };
/* A CpuType's members for the state struct @T, whose groups are @all. */
#define NO_CPU(T, all) .state_size = sizeof(T), .state_align = 64, .groups_all = all, .groups_valid_offset = offsetof(T, groups_valid), \
                       .groups_dirty_offset = offsetof(T, groups_dirty)
