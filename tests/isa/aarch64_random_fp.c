/* FP and AdvSIMD in random programs. */
#include <stdlib.h>
#include <string.h>

#include "tests/isa/aarch64_random.h"

#include "tcg/guest/aarch64/simd.h"

static const char *only;       /* FP_ONLY in the environment: one mnemonic */

static bool fp_line(const A64OpInfo *i)
{
    bool control = i->emit == tr_mrs_fpcr || i->emit == tr_msr_fpcr || i->emit == tr_mrs_fpsr || i->emit == tr_msr_fpsr;
    if (!control && (!(i->attrs & A64_ATTR_FP) || i->attrs & A64_ATTR_SYS))
        return false;
    return !only || !strcmp(only, i->name);
}

static uint64_t rnd_half(void)
{
    static const uint16_t v[] = { 0, 0x3c00, 0x7c00, 0x7e00, 0x7c01, 0x7bff, 1, 0x0400, 0x03ff, 0x6400, 0x7801, 0x3800, 0x4248, 0x7d55, 0x5bff, 0x1400 };
    uint64_t r = a64t_rnd() & 1 ? v[a64t_rnd() % G_N_ELEMENTS(v)] : a64t_rnd() & 0x7fff;
    return r | (a64t_rnd() & 1) << 15;
}

static uint64_t rnd_single(void)
{
    static const uint32_t v[] = { 0, 0x3f800000, 0x7f800000, 0x7fc00000, 0x7f800001, 0x7f7fffff, 1, 0x00800000, 0x007fffff, 0x4b000001, 0x5f000000, 0x4f000000,
                                  0x3f000000, 0x40400000, 0x4f800000, 0x7fc12345, 0x33800000, 0x33000000, 0x477ff000, 0x38800000, 0x4effffff, 0x3effffff, 0x00800001 };
    uint32_t r;
    switch (a64t_rnd() % 4) {
    case 0: r = v[a64t_rnd() % G_N_ELEMENTS(v)]; break;
    case 1: r = (uint32_t)(127 + a64t_rnd() % 70 - 20) << 23 | ((uint32_t)a64t_rnd() << (a64t_rnd() % 23) & 0x7fffff); break;
    case 2: r = 0x3f800000u | (uint32_t)(a64t_rnd() % 8) << 20; break;
    default: r = (uint32_t)a64t_rnd() >> 1; break;
    }
    return r | (uint32_t)(a64t_rnd() & 1) << 31;
}

static uint64_t rnd_double(void)
{
    static const uint64_t v[] = { 0, 0x3ff0000000000000, 0x7ff0000000000000, 0x7ff8000000000000, 0x7ff0000000000001, 0x7fefffffffffffff, 1, 0x0010000000000000,
                                  0x000fffffffffffff, 0x4330000000000001, 0x43e0000000000000, 0x41dfffffffe00000, 0x3fe0000000000000, 0x4008000000000000,
                                  0x41f0000000000000, 0x3690000000000000, 0x47efffffe0000000, 0x3810000000000000, 0x7ff8dead00000000, 0x380fffffffffffff,
                                  0x43efffffffffffff, 0x3fdfffffffffffff, 0x40effc0000000000, 0x3f10000000000000 };
    uint64_t r;
    switch (a64t_rnd() % 4) {
    case 0: r = v[a64t_rnd() % G_N_ELEMENTS(v)]; break;
    case 1: r = (0x3ffull + a64t_rnd() % 70 - 20) << 52 | (a64t_rnd() << (a64t_rnd() % 52) & ~0ull >> 12); break;
    case 2: r = 0x3ff0000000000000ull | a64t_rnd() % 8 << 49; break;
    default: r = a64t_rnd() >> 1; break;
    }
    return r | (a64t_rnd() & 1) << 63;
}

static uint64_t rnd_vector(void)
{
    switch (a64t_rnd() % 6) {
    case 0: return rnd_half() | rnd_half() << 16 | rnd_half() << 32 | rnd_half() << 48;
    case 1: case 2: return rnd_single() | rnd_single() << 32;
    case 3: case 4: return rnd_double();
    default: {
        static const uint64_t v[] = { 0, ~0ull, 0x8080808080808080, 0x7f7f7f7f7f7f7f7f, 0x8000800080008000, 0x7fff7fff7fff7fff, 0x8000000080000000, 0x0102030405060708,
                                      0x00ff00ff00ff00ff, 0xffff0000ffff0000 };
        return a64t_rnd() & 1 ? v[a64t_rnd() % G_N_ELEMENTS(v)] : a64t_rnd();
    }
    }
}

static void rnd_fp(void)
{
    uint64_t mode = a64t_rnd() % 3 ? 0 : a64t_rnd();
    T.in.fpcr = (mode & 3) << A64_FPCR_RMODE_SHIFT | (mode >> 2 & 1 ? A64_FPCR_DN : 0) | (mode >> 3 & 3 ? 0 : A64_FPCR_FZ) | (mode >> 5 & 3 ? 0 : A64_FPCR_AHP) |
                (mode >> 7 & 3 ? 0 : A64_FPCR_FZ16);
    T.in.fpsr = a64t_rnd() & (a64t_rnd() & 1 ? 0x0800009f : 0);
}

static bool structure(const A64OpInfo *i) { return i->emit == vm_multi || i->emit == vm_single || i->emit == vm_replicate; }

bool a64t_moves_base(const A64OpInfo *i) { return structure(i) && i->k & VM_POST; }

static uint32_t adjust(const A64OpInfo *i, uint32_t insn)
{
    if (i->emit == vm_pair && i->k & VM_LOAD && (insn >> 10 & 31) == (insn & 31))
        insn ^= 1u << 10;
    /* QEMU 7.2 leaves the sign of a negative one in bits 16-31: halves become singles */
    if (i->emit == s_fixed && ((unsigned)i->k & 0xffff) == A64V_FCVTZS && (insn >> 20 & 7) == 1)
        insn ^= 3u << 20;
    if (a64t_moves_base(i)) {
        insn = (insn & ~(31u << 5)) | MOVING << 5;
        if (a64t_rnd() & 1)
            insn |= 31u << 16;
    }
    return insn;
}

bool a64t_option(const char *name)
{
    if (strcmp(name, "fp"))
        return false;
    only = getenv("FP_ONLY");
    T.allowed = fp_line;
    T.adjust = adjust;
    T.rnd_vector = rnd_vector;
    T.rnd_fp = rnd_fp;
    return true;
}
