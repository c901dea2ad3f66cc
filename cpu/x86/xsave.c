#include "cpu/x86/xsave.h"

#include <string.h>

/* Layout of the XSAVE area; offsets are those every processor with the component reports (SDM 1 13.5; AMD reports PKRU at 2688 too). */

static const X86XsaveComponent components[] = {
    [2] = { 576, 256, false }, [3] = { 960, 64, false }, [4] = { 1024, 64, false }, [5] = { 1088, 64, false },
    [6] = { 1152, 512, false }, [7] = { 1664, 1024, false }, [9] = { 2688, 8, false },
};
enum { COMPONENTS = sizeof(components) / sizeof(components[0]) };

X86XsaveComponent x86_xsave_component(unsigned i)
{
    return i < COMPONENTS ? components[i] : (X86XsaveComponent){ 0, 0, false };
}

uint32_t x86_xsave_compact_offset(uint64_t mask, unsigned i)
{
    uint32_t at = X86_XSAVE_LEGACY + X86_XSAVE_HEADER;
    for (unsigned k = 2; k < i && k < COMPONENTS; k++)
        if (mask >> k & 1)
            at = (components[k].align64 ? (at + 63) & ~63u : at) + components[k].size;
    return i < COMPONENTS && components[i].align64 ? (at + 63) & ~63u : at;
}

uint32_t x86_xsave_size(uint64_t mask, bool compact)
{
    uint32_t size = X86_XSAVE_LEGACY + X86_XSAVE_HEADER;
    for (unsigned i = 2; i < COMPONENTS; i++)
        if (mask >> i & 1) {
            uint32_t at = compact ? x86_xsave_compact_offset(mask, i) : components[i].offset;
            size = at + components[i].size > size ? at + components[i].size : size;
        }
    return size;
}

/* ---- the legacy region (SDM 1 table 10-2) ---- */

static void put16(uint8_t *p, uint16_t v) { memcpy(p, &v, 2); }
static void put32(uint8_t *p, uint32_t v) { memcpy(p, &v, 4); }
static void put64(uint8_t *p, uint64_t v) { memcpy(p, &v, 8); }
static uint16_t get16(const uint8_t *p) { uint16_t v; memcpy(&v, p, 2); return v; }
static uint32_t get32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return v; }
static uint64_t get64(const uint8_t *p) { uint64_t v; memcpy(&v, p, 8); return v; }

void x86_fxsave_pack(const X86State *s, uint8_t *area, bool xmm, unsigned n_xmm)
{
    unsigned top = s->fsw >> 11 & 7;

    put16(area, s->fcw);
    put16(area + 2, s->fsw);
    area[4] = s->ftw;
    area[5] = 0;
    put16(area + 6, s->fop);
    put64(area + 8, s->fip);
    put64(area + 16, s->fdp);
    for (unsigned i = 0; i < 8; i++) {         /* ST(i), registers are kept by physical number */
        const X86Fpr *f = &s->fpr[(top + i) & 7];
        put64(area + 32 + 16 * i, f->mant);
        put64(area + 40 + 16 * i, f->exp);
    }
    if (!xmm)
        return;
    put32(area + 24, s->mxcsr);
    put32(area + 28, 0xffff);
    for (unsigned i = 0; i < n_xmm; i++) {
        put64(area + 160 + 16 * i, s->vec[i].q[0]);
        put64(area + 168 + 16 * i, s->vec[i].q[1]);
    }
}

static void unpack_x87(X86State *s, const uint8_t *area)
{
    s->fcw = get16(area);
    s->fsw = get16(area + 2);
    s->ftw = area[4];
    s->fop = get16(area + 6) & 0x7ff;
    s->fip = get64(area + 8);
    s->fdp = get64(area + 16);
    unsigned top = s->fsw >> 11 & 7;
    for (unsigned i = 0; i < 8; i++) {
        X86Fpr *f = &s->fpr[(top + i) & 7];
        f->mant = get64(area + 32 + 16 * i);
        f->exp = get16(area + 40 + 16 * i);
    }
}

static void unpack_xmm(X86State *s, const uint8_t *area)
{
    for (unsigned i = 0; i < 16; i++) {
        s->vec[i].q[0] = get64(area + 160 + 16 * i);
        s->vec[i].q[1] = get64(area + 168 + 16 * i);
    }
}

void x86_fxsave_unpack(X86State *s, const uint8_t *area)
{
    unpack_x87(s, area);
    s->mxcsr = get32(area + 24) & 0xffff;
    unpack_xmm(s, area);
}

/* ---- the rest ---- */

typedef struct Piece { uint8_t component, first, n, from; } Piece;   /* vec[first..] quadwords from @from on, @n of them */
static const Piece pieces[] = { { 2, 0, 2, 2 }, { 6, 0, 4, 4 }, { 7, 16, 8, 0 } };

static void pack_vectors(const X86State *s, uint64_t mask, uint8_t *area)
{
    for (unsigned k = 0; k < 3; k++) {
        const Piece *p = &pieces[k];
        uint8_t *at = area + components[p->component].offset;
        for (unsigned i = 0; mask >> p->component & 1 && i < 16; i++)
            memcpy(at + i * p->n * 8, &s->vec[p->first + i].q[p->from], p->n * 8);
    }
}

static void unpack_vectors(X86State *s, uint64_t mask, uint64_t bv, const uint8_t *area)
{
    for (unsigned k = 0; k < 3; k++) {
        const Piece *p = &pieces[k];
        const uint8_t *at = area + components[p->component].offset;
        for (unsigned i = 0; mask >> p->component & 1 && i < 16; i++) {
            if (bv >> p->component & 1)
                memcpy(&s->vec[p->first + i].q[p->from], at + i * p->n * 8, p->n * 8);
            else
                memset(&s->vec[p->first + i].q[p->from], 0, p->n * 8);
        }
    }
}

void x86_xsave_pack(const X86State *s, uint64_t mask, uint8_t *area)
{
    uint64_t bv = mask & X86_XC_KNOWN, extra = mask & s->xstate_extra & ~(uint64_t)X86_XC_KNOWN;

    memset(area, 0, X86_XSAVE_MAX);
    x86_fxsave_pack(s, area, true, 16);
    pack_vectors(s, mask, area);
    if (mask & X86_XC_OPMASK)
        memcpy(area + components[5].offset, s->kmask, 64);
    if (mask & X86_XC_PKRU)
        put32(area + components[9].offset, s->pkru);
    for (unsigned i = 2; i < COMPONENTS; i++)
        if (extra >> i & 1)
            memcpy(area + components[i].offset, s->xsave_extra + components[i].offset - 832, components[i].size);
    put64(area + X86_XSAVE_LEGACY, bv | extra);
}

void x86_xsave_unpack(X86State *s, uint64_t mask, const uint8_t *area)
{
    static const uint8_t init[X86_XSAVE_LEGACY] = { 0x7f, 0x03 };
    uint64_t bv = get64(area + X86_XSAVE_LEGACY);

    s->mxcsr = bv & (X86_XC_SSE | X86_XC_AVX) ? get32(area + 24) & 0xffff : 0x1f80;
    if (mask & X86_XC_X87)
        unpack_x87(s, bv & X86_XC_X87 ? area : init);
    if (mask & X86_XC_SSE)
        unpack_xmm(s, bv & X86_XC_SSE ? area : init);
    unpack_vectors(s, mask, bv, area);
    if (mask & X86_XC_OPMASK) {
        if (bv & X86_XC_OPMASK)
            memcpy(s->kmask, area + components[5].offset, 64);
        else
            memset(s->kmask, 0, 64);
    }
    if (mask & X86_XC_PKRU)
        s->pkru = bv & X86_XC_PKRU ? get32(area + components[9].offset) : 0;
    s->xstate_extra = bv & mask & ~(uint64_t)X86_XC_KNOWN;
    for (unsigned i = 2; i < COMPONENTS; i++)
        if (s->xstate_extra >> i & 1)
            memcpy(s->xsave_extra + components[i].offset - 832, area + components[i].offset, components[i].size);
}
