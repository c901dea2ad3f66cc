#pragma once
#include <string.h>

#include "tcg/guest/x86/x86.h"
#include "tcg/tcg.h"

/* A 64-bit x86 guest straight on the translator: nothing but RAM, mapped one to one by 2 MiB pages, at privilege 0. */

static inline uint64_t flat_in(void *o, uint16_t port, unsigned size) { return ~0ull; }
static inline void flat_out(void *o, uint16_t port, uint64_t v, unsigned size) { }
static inline bool flat_no_irq(void *o) { return false; }
static inline bool flat_sysreg_read(void *o, uint32_t reg, uint64_t *ret) { return false; }
static inline bool flat_sysreg_write(void *o, uint32_t reg, uint64_t v) { return false; }
static inline int flat_ack(void *o) { return -1; }
static inline uint64_t flat_time(void *o) { return 0; }
/* TcgCallbacks beside .page and .io_*. */
#define FLAT_CALLBACKS .port_in = flat_in, .port_out = flat_out, .sysreg_read = flat_sysreg_read, .sysreg_write = flat_sysreg_write, \
                       .irq_pending = flat_no_irq, .irq_ack = flat_ack, .time_counter = flat_time

/* Page tables in the three pages at @pt for @size bytes (<= 1 GiB). */
static inline void flat_tables(uint8_t *ram, uint32_t pt, uint64_t size)
{
    uint64_t pml4e = (pt + 0x1000) | 7, pdpte = (pt + 0x2000) | 7;
    memcpy(ram + pt, &pml4e, 8);
    memcpy(ram + pt + 0x1000, &pdpte, 8);
    for (uint64_t n = 0; n < size >> 21; n++) {
        uint64_t pde = n << 21 | 0xe7;
        memcpy(ram + pt + 0x2000 + 8 * n, &pde, 8);
    }
}

/* Ready to run at @rip; the other registers stay. */
static inline void flat_state(X86State *s, uint32_t pt, uint64_t rip)
{
    for (int n = 0; n < X86_SEGS; n++)
        s->seg[n] = (X86Seg){ .limit = 0xffffffff, .attr = 0xc093, .sel = 16 };
    s->seg[X86_CS] = (X86Seg){ .limit = 0xffffffff, .attr = 0xa09b, .sel = 8 };
    s->cr0 = 0x80050033;
    s->cr3 = pt;
    s->cr4 = X86_CR4_PAE;
    s->msr.efer = X86_EFER_LMA | X86_EFER_LME;
    s->cpl = 0;
    x86_set_rflags(s, 2);
    s->ev.mp_state = X86_MP_RUNNABLE;
    s->rip = rip;
}
