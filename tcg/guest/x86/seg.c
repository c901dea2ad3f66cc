#include "tcg/guest/x86/sys.h"

/* Segment registers and descriptor tables (SDM 3A chapters 3 and 5). */

bool x86_desc_where(const X86State *s, uint16_t sel, unsigned len, uint64_t *ret_va)
{
    const X86Seg *ldt = &s->seg[X86_LDTR];
    bool local = sel & 4;
    uint64_t base = local ? ldt->base : s->gdt.base;
    uint32_t limit = local ? ldt->limit : s->gdt.limit;

    if (local && (ldt->attr & X86_SEG_UNUSABLE || !(ldt->attr & X86_SEG_P)))
        return false;
    if ((sel & ~7u) + len - 1 > limit)
        return false;
    *ret_va = x86_linear(s, base + (sel & ~7u));
    return true;
}

static X86Desc desc_read(X86State *s, uint64_t va)
{
    uint64_t q = x86_sys_load(s, va, 3);
    return (X86Desc){ (uint32_t)q, (uint32_t)(q >> 32) };
}

X86Desc x86_desc_get(X86State *s, uint16_t sel, unsigned vector, unsigned ext)
{
    uint64_t va;
    if (!x86_desc_where(s, sel, 8, &va))
        x86_raise_err(s, vector, (sel & 0xfffc) | ext);
    return desc_read(s, va);
}

/* The type byte, in place where it is plain RAM, so that other CPUs' updates of it are not lost. */
static void type_byte(X86State *s, uint16_t sel, uint8_t set, uint8_t clear)
{
    uint64_t va;
    unsigned len;

    if (!x86_desc_where(s, sel, 8, &va))
        return;
    uint8_t *p = tcg_host(x86_cpu(s), va + 5, TCG_WRITE, X86R_IMPLICIT, &len);
    if (p) {
        if (set)
            __atomic_fetch_or(p, set, __ATOMIC_SEQ_CST);
        if (clear)
            __atomic_fetch_and(p, (uint8_t)~clear, __ATOMIC_SEQ_CST);
        return;
    }
    x86_sys_store(s, va + 5, (x86_sys_load(s, va + 5, 0) | set) & ~(uint64_t)clear, 0);
}

void x86_desc_mark(X86State *s, uint16_t sel, uint32_t bits)
{
    uint64_t va;
    if (x86_desc_where(s, sel, 8, &va) && (x86_sys_load(s, va + 5, 0) & bits) != bits)
        type_byte(s, sel, (uint8_t)bits, 0);
}

void x86_desc_unmark(X86State *s, uint16_t sel, uint32_t bits) { type_byte(s, sel, 0, (uint8_t)bits); }

X86Seg x86_seg_of(uint16_t sel, X86Desc d)
{
    return (X86Seg){ .base = x86_desc_base(d), .limit = x86_desc_limit(d), .sel = sel, .attr = x86_desc_attr(d) };
}

X86Seg x86_seg_null(uint16_t sel, unsigned dpl)
{
    return (X86Seg){ .sel = sel, .attr = X86_SEG_UNUSABLE | dpl << 5 };
}

/* Real mode keeps limit and rights ("unreal" mode); VM86 sets them (SDM 3B 20.1.1, 20.2). */
void x86_seg_paragraph(X86State *s, unsigned seg, uint16_t sel)
{
    X86Seg *g = &s->seg[seg];

    g->sel = sel;
    g->base = (uint64_t)sel << 4;
    if (x86_vm86(s) && x86_pe(s)) {
        g->limit = 0xffff;
        g->attr = X86_SEG_P | X86_SEG_S | 3u << 5 | 3;
    } else if (g->attr & X86_SEG_UNUSABLE) {
        g->limit = 0xffff;
        g->attr = X86_SEG_P | X86_SEG_S | 3;
    } else if (seg == X86_CS) {
        g->attr = (g->attr & ~0x60u) | X86_SEG_P | X86_SEG_S | 3;
    }
}

X86Seg x86_seg_get_ss(X86State *s, uint16_t sel, unsigned cpl, unsigned vector, unsigned ext)
{
    uint32_t err = (sel & 0xfffc) | ext;

    if (!(sel & 0xfffc))
        x86_raise_err(s, vector, vector == X86_GP ? ext : err);
    X86Desc d = x86_desc_get(s, sel, vector, ext);
    uint32_t attr = x86_desc_attr(d);
    if ((sel & 3) != cpl || x86_attr_dpl(attr) != cpl || !x86_attr_wdata(attr))
        x86_raise_err(s, vector, err);
    if (!(attr & X86_SEG_P))
        x86_raise_err(s, X86_SS_EXC, err);
    x86_desc_mark(s, sel, 1);
    X86Seg g = x86_seg_of(sel, d);
    g.attr |= 1;
    return g;
}

static void load_null(X86State *s, unsigned seg, uint16_t sel)
{
    if (seg == X86_SS && (!x86_code64(s) || s->cpl == 3 || (sel & 3) != s->cpl))
        x86_raise_gp0(s);
    s->seg[seg] = x86_seg_null(sel, seg == X86_SS ? s->cpl : 0);
}

static X86Seg get_data(X86State *s, uint16_t sel)
{
    X86Desc d = x86_desc_get(s, sel, X86_GP, 0);
    uint32_t attr = x86_desc_attr(d), err = sel & 0xfffc;
    unsigned dpl = x86_attr_dpl(attr);

    if (!(attr & X86_SEG_S) || (attr & 0xa) == 8)          /* system, or code that cannot be read */
        x86_raise_err(s, X86_GP, err);
    if (!x86_attr_conforming(attr) && (dpl < s->cpl || dpl < (sel & 3u)))
        x86_raise_err(s, X86_GP, err);
    if (!(attr & X86_SEG_P))
        x86_raise_err(s, X86_NP, err);
    x86_desc_mark(s, sel, 1);
    X86Seg g = x86_seg_of(sel, d);
    g.attr |= 1;
    return g;
}

void x86_seg_load(X86State *s, unsigned seg, uint16_t sel)
{
    if (x86_paragraphs(s))
        x86_seg_paragraph(s, seg, sel);
    else if (!(sel & 0xfffc))
        load_null(s, seg, sel);
    else if (seg == X86_SS)
        s->seg[X86_SS] = x86_seg_get_ss(s, sel, s->cpl, X86_GP, 0);
    else
        s->seg[seg] = get_data(s, sel);
}

void x86_seg_drop_inner(X86State *s, unsigned new_cpl)
{
    static const uint8_t data[] = { X86_ES, X86_DS, X86_FS, X86_GS };

    for (unsigned i = 0; i < 4; i++) {
        X86Seg *g = &s->seg[data[i]];
        if (!(g->attr & X86_SEG_UNUSABLE) && !x86_attr_conforming(g->attr) && x86_attr_dpl(g->attr) < new_cpl)
            *g = x86_seg_null(0, 0);
    }
}

/* ---- instructions ---- */

uint64_t x86_h_load_seg(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;
    bool was64 = x86_code64(s);

    x86_seg_load(s, (unsigned)a, (uint16_t)b);
    if (!was64)                                /* 64-bit code does not depend on data segments */
        x86_mode_changed(s);
    return 0;
}

static void set_zf(X86State *s, bool on)
{
    s->cc = (s->cc & ~X86_CC_Z) | (on ? X86_CC_Z : 0);
}

/* The descriptor for LAR, LSL, VERR, VERW: false where the selector names nothing. */
static bool look(X86State *s, uint16_t sel, X86Desc *ret)
{
    uint64_t va;
    if (x86_paragraphs(s))
        x86_raise(s, X86_UD);
    if (!(sel & 0xfffc) || !x86_desc_where(s, sel, 8, &va))
        return false;
    *ret = desc_read(s, va);
    return true;
}

static bool visible(const X86State *s, uint16_t sel, uint32_t attr)
{
    unsigned dpl = x86_attr_dpl(attr);
    return x86_attr_conforming(attr) || (dpl >= s->cpl && dpl >= (sel & 3u));
}

/* SDM 2A tables for LAR and LSL: which system types are valid. Bit n = type n. */
static bool system_type_ok(const X86State *s, uint32_t attr, bool lar)
{
    uint32_t legacy = lar ? 0x1a3e : 0x0a0e, lm = lar ? 0x1a04 : 0x0a04;
    return attr & X86_SEG_S || (x86_lma(s) ? lm : legacy) >> (attr & 15) & 1;
}

/* In IA-32e mode a system descriptor has 16 bytes; those beyond the limit make it invalid. */
static bool whole(const X86State *s, uint16_t sel, uint32_t attr)
{
    uint64_t va;
    return attr & X86_SEG_S || !x86_lma(s) || x86_desc_where(s, sel, 16, &va);
}

/* LAR and LSL: the descriptor if the program may know of it; ZF says so. */
static bool asked(X86State *s, uint16_t sel, bool lar, X86Desc *ret)
{
    bool ok = look(s, sel, ret);

    if (ok) {
        uint32_t attr = x86_desc_attr(*ret);
        ok = system_type_ok(s, attr, lar) && whole(s, sel, attr) && visible(s, sel, attr);
    }
    set_zf(s, ok);
    return ok;
}

uint64_t x86_h_lar(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Desc desc;
    return asked(state, (uint16_t)a, true, &desc) ? desc.hi & 0x00f0ff00 : 0;
}

uint64_t x86_h_lsl(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Desc desc;
    if (!asked(state, (uint16_t)a, false, &desc))
        return 0;
    /* Linux keeps what TSC_AUX says in a limit, too: of the CPU that the thread is on now. */
    bool cpu_number = tcg_cpu_callbacks(x86_cpu(state))->syscall && (a & 0xfffc) == X86_SEL_LINUX_CPU;
    return cpu_number ? x86_tsc_aux(state) : x86_desc_limit(desc);
}

/* VERR and VERW: into ZF. */
static uint64_t verify(X86State *s, uint16_t sel, bool write)
{
    X86Desc desc;
    bool ok = look(s, sel, &desc);

    if (ok) {
        uint32_t attr = x86_desc_attr(desc);
        bool kind = write ? x86_attr_wdata(attr) : attr & X86_SEG_S && (attr & 0xa) != 8;
        ok = kind && visible(s, sel, attr);
    }
    set_zf(s, ok);
    return ok;
}

uint64_t x86_h_verr(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d) { return verify(state, (uint16_t)a, false); }
uint64_t x86_h_verw(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d) { return verify(state, (uint16_t)a, true); }

/* ---- LGDT, LIDT, LLDT, LTR ---- */

uint64_t x86_h_lgdt(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;
    x86_need_cpl0(s);
    if (x86_lma(s) && !x86_canonical(s, b))
        x86_raise_gp0(s);
    s->gdt = (X86Dtr){ .base = b, .limit = (uint16_t)a };
    return 0;
}

uint64_t x86_h_lidt(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;
    x86_need_cpl0(s);
    if (x86_lma(s) && !x86_canonical(s, b))
        x86_raise_gp0(s);
    s->idt = (X86Dtr){ .base = b, .limit = (uint16_t)a };
    return 0;
}

/* A system segment for LLDT or LTR; @types: allowed types, bit n = type n. */
static X86Seg get_system(X86State *s, uint16_t sel, uint32_t types)
{
    uint64_t va;
    uint32_t err = sel & 0xfffc;
    bool wide = x86_lma(s);

    if (sel & 4 || !x86_desc_where(s, sel, wide ? 16 : 8, &va))
        x86_raise_err(s, X86_GP, err);
    X86Desc d = desc_read(s, va);
    uint32_t attr = x86_desc_attr(d);
    if (attr & X86_SEG_S || !(types >> (attr & 15) & 1))
        x86_raise_err(s, X86_GP, err);
    X86Seg g = x86_seg_of(sel, d);
    if (wide) {
        uint64_t high = x86_sys_load(s, va + 8, 3);
        g.base |= high << 32;
        if (high >> 40 & 0x1f || !x86_canonical(s, g.base))
            x86_raise_err(s, X86_GP, err);
    }
    if (!(attr & X86_SEG_P))
        x86_raise_err(s, X86_NP, err);
    return g;
}

uint64_t x86_h_lldt(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;
    uint16_t sel = (uint16_t)a;

    if (x86_paragraphs(s))
        x86_raise(s, X86_UD);
    x86_need_cpl0(s);
    s->seg[X86_LDTR] = sel & 0xfffc ? get_system(s, sel, 1u << 2) : x86_seg_null(sel, 0);
    return 0;
}

uint64_t x86_h_ltr(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;
    uint16_t sel = (uint16_t)a;

    if (x86_paragraphs(s))
        x86_raise(s, X86_UD);
    x86_need_cpl0(s);
    if (!(sel & 0xfffc))
        x86_raise_gp0(s);
    X86Seg g = get_system(s, sel, x86_lma(s) ? 1u << 9 : 1u << 9 | 1u << 1);
    x86_desc_mark(s, sel, 2);                  /* busy */
    g.attr |= 2;
    s->seg[X86_TR] = g;
    return 0;
}
