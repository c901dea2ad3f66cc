/* Address translation (ARM D8). So far: the MMU is off, addresses are physical. */
#include "tcg/guest/aarch64/aarch64.h"

bool a64_mmu(TcgCpu *cpu, uint64_t va, TcgAccess access, unsigned regime, TcgXlate *ret)
{
    (void)cpu, (void)access, (void)regime;
    if (va >> 48)
        return false;
    *ret = (TcgXlate){ .gpa = va & ~(uint64_t)(TCG_PAGE_SIZE - 1), .readable = 1, .writable = 1, .executable = 1, .page_log2 = TCG_PAGE_BITS };
    return true;
}

void a64_mmu_fault(TcgCpu *cpu, uint64_t va, TcgAccess access, unsigned regime)
{
    A64State *s = tcg_cpu_state(cpu);
    (void)regime;
    if (access == TCG_EXEC)
        a64_raise(s, s->el ? A64_EC_IABT : A64_EC_IABT_LOWER, A64_FSC_TRANSLATION, va);
    a64_raise(s, s->el ? A64_EC_DABT : A64_EC_DABT_LOWER, A64_FSC_TRANSLATION | (access == TCG_WRITE ? A64_ISS_WNR : 0), va);
}
