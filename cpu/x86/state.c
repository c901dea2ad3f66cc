#include "cpu/x86/state.h"

#include <string.h>

static void reset_segments(X86State *s)
{
    for (int i = 0; i < X86_SEGS; i++) {
        uint32_t kind = i < X86_LDTR ? X86_SEG_S | 3 : i == X86_LDTR ? 2 : 11;
        s->seg[i] = (X86Seg){ .limit = 0xffff, .attr = X86_SEG_P | kind };
    }
    s->seg[X86_CS].sel = 0xf000;
    s->seg[X86_CS].base = 0xffff0000;
    s->seg[X86_CS].attr = X86_SEG_P | X86_SEG_S | 11;
    s->gdt = (X86Dtr){ .limit = 0xffff };
    s->idt = (X86Dtr){ .limit = 0xffff };
}

static void reset_fpu(X86State *s)
{
    s->fcw = 0x40;             /* power-on value; FNINIT makes it 0x37f */
    s->fsw = 0;
    s->ftw = 0xff;
    s->fop = s->fcs = s->fds = 0;
    s->fip = s->fdp = 0;
    s->mxcsr = 0x1f80;
    s->pkru = 0;
    s->xcr0 = 1;
    memset(s->fpr, 0, sizeof(s->fpr));
    memset(s->vec, 0, sizeof(s->vec));
    memset(s->kmask, 0, sizeof(s->kmask));
    s->xstate_extra = 0;
}

static void reset_msrs(X86State *s, bool bsp)
{
    memset(&s->msr, 0, sizeof(s->msr));
    s->msr.pat = 0x0007040600070406ull;
    s->msr.apic_base = 0xfee00800ull | (bsp ? 0x100 : 0);
    s->msr.misc_enable = 1;
    s->msr.smbase = 0x30000;
    s->tsc_adjust = s->tsc_deadline = 0;
}

void x86_state_reset(X86State *s, bool init, bool bsp)
{
    uint64_t cache = X86_CR0_CD | X86_CR0_NW;

    memset(s->gpr, 0, sizeof(s->gpr));
    s->gpr[X86_RDX] = 0x600;   /* family/model/stepping; the engine overwrites it from its CPU model */
    s->rip = 0xfff0;
    x86_set_rflags(s, 2);
    reset_segments(s);
    s->cr0 = X86_CR0_ET | (init ? s->cr0 & cache : cache);
    s->cr2 = s->cr3 = s->cr4 = s->cr8 = 0;
    s->cpl = 0;
    memset(s->dr, 0, sizeof(s->dr));
    s->dr[6] = 0xffff0ff0;
    s->dr[7] = 0x400;
    if (!init) {
        reset_fpu(s);
        reset_msrs(s, bsp);
        s->n_extra_msr = 0;
    } else {
        s->msr.efer = 0;
    }
    uint8_t smm = init ? s->ev.smm : 0;
    memset(&s->ev, 0, sizeof(s->ev));
    s->ev.smm = smm;
    s->ev.mp_state = bsp ? X86_MP_RUNNABLE : X86_MP_UNINIT;
    s->ev.tlb_flush_pending = 1;
    s->groups_valid = s->groups_dirty = X86_GROUP_ALL;
}
