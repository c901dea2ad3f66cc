#pragma once
#include "tcg/tcg.h"
#include "vmm/vcpu.h"

/* What the engine must know of one guest CPU beyond its translator: where its system registers and events live in the machine. */
typedef struct TcgGuest {
    const char *name;          /* CpuType.name */
    const GuestIsa *isa;
    bool (*in_smm)(const void *state);
    int64_t (*tsc_offset)(const void *state);            /* NULL: 0 */
    bool (*sysreg_read)(Vcpu *c, uint32_t reg, uint64_t *ret);
    bool (*sysreg_write)(Vcpu *c, uint32_t reg, uint64_t value);
    void (*take_events)(Vcpu *c, uint32_t events);       /* VcpuEvent bits into the state */
    void (*state_written)(Vcpu *c);                      /* somebody else wrote the state: nothing cached of it holds */
} TcgGuest;

extern const AccelOps accel_tcg;
extern const TcgGuest tcg_guest_x86, tcg_guest_riscv, tcg_guest_aarch64;
const TcgGuest *tcg_guest_find(const char *cpu_type);
/* A system register that the vCPU's interrupt controller has; false: it has none of this number. */
bool tcg_intc_read(Vcpu *c, uint32_t reg, uint64_t *ret);
bool tcg_intc_write(Vcpu *c, uint32_t reg, uint64_t value);
