/* Helpers of base instructions: CRC-32, 128-bit compare-and-swap, waiting, FPCR. */
#include "tcg/guest/aarch64/aarch64.h"

/* ---- CRC-32 (polynomial 04C11DB7, ARM C6.2.73): table n is of a byte that n further ones follow; each is the sum of its bits' entries ---- */
#define E(i, b, c) ((i) >> (b) & 1 ? (c) : 0)
#define ONE(i, a, b, c, d, e, f, g, h) (E(i, 0, a) ^ E(i, 1, b) ^ E(i, 2, c) ^ E(i, 3, d) ^ E(i, 4, e) ^ E(i, 5, f) ^ E(i, 6, g) ^ E(i, 7, h))
#define N4(i, ...) ONE(i, __VA_ARGS__), ONE((i) + 1, __VA_ARGS__), ONE((i) + 2, __VA_ARGS__), ONE((i) + 3, __VA_ARGS__)
#define N16(i, ...) N4(i, __VA_ARGS__), N4((i) + 4, __VA_ARGS__), N4((i) + 8, __VA_ARGS__), N4((i) + 12, __VA_ARGS__)
#define N64(i, ...) N16(i, __VA_ARGS__), N16((i) + 16, __VA_ARGS__), N16((i) + 32, __VA_ARGS__), N16((i) + 48, __VA_ARGS__)
#define T(...) { N64(0, __VA_ARGS__), N64(64, __VA_ARGS__), N64(128, __VA_ARGS__), N64(192, __VA_ARGS__) }
static const uint32_t crc_table[8][256] = {
    T(0x77073096u, 0xee0e612cu, 0x076dc419u, 0x0edb8832u, 0x1db71064u, 0x3b6e20c8u, 0x76dc4190u, 0xedb88320u),
    T(0x191b3141u, 0x32366282u, 0x646cc504u, 0xc8d98a08u, 0x4ac21251u, 0x958424a2u, 0xf0794f05u, 0x3b83984bu),
    T(0x01c26a37u, 0x0384d46eu, 0x0709a8dcu, 0x0e1351b8u, 0x1c26a370u, 0x384d46e0u, 0x709a8dc0u, 0xe1351b80u),
    T(0xb8bc6765u, 0xaa09c88bu, 0x8f629757u, 0xc5b428efu, 0x5019579fu, 0xa032af3eu, 0x9b14583du, 0xed59b63bu),
    T(0x3d6029b0u, 0x7ac05360u, 0xf580a6c0u, 0x30704bc1u, 0x60e09782u, 0xc1c12f04u, 0x58f35849u, 0xb1e6b092u),
    T(0xcb5cd3a5u, 0x4dc8a10bu, 0x9b914216u, 0xec53826du, 0x03d6029bu, 0x07ac0536u, 0x0f580a6cu, 0x1eb014d8u),
    T(0xa6770bb4u, 0x979f1129u, 0xf44f2413u, 0x33ef4e67u, 0x67de9cceu, 0xcfbd399cu, 0x440b7579u, 0x8816eaf2u),
    T(0xccaa009eu, 0x4225077du, 0x844a0efau, 0xd3e51bb5u, 0x7cbb312bu, 0xf9766256u, 0x299dc2edu, 0x533b85dau),
};

uint64_t a64_h_crc32(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    (void)state, (void)d;
    uint64_t v = (a ^ b) & (c == 8 ? ~0ull : (1ull << 8 * c) - 1);
    uint32_t r = c < 4 ? (uint32_t)a >> 8 * c : 0;
    if (c == 8)
        v = (a & 0xffffffff) ^ b;
    for (unsigned n = 0; n < c; n++)
        r ^= crc_table[c - 1 - n][v >> 8 * n & 255];
    return r;
}

/* ---- 128 bits ---- */
static bool cas16(A64State *s, uint64_t va, uint64_t expect[2], const uint64_t want[2])
{
    TcgCpu *cpu = a64_cpu(s);
    if (va & 15)
        a64_align_fault(cpu, va, TCG_WRITE);
    return tcg_cas16(cpu, va, expect, want, a64_isa_regime(s));
}

uint64_t a64_h_stxp(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    A64State *s = state;
    uint64_t expect[2] = { s->excl_value[0], s->excl_value[1] }, want[2] = { b, c };
    (void)d;
    bool ok = cas16(s, a, expect, want);
    s->excl_addr = ~0ull;
    return !ok;
}

static uint64_t reg(const A64State *s, uint64_t n) { return n == 31 ? 0 : s->x[n]; }

uint64_t a64_h_casp(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    A64State *s = state;
    uint64_t expect[2] = { reg(s, b), reg(s, b + 1) }, want[2] = { reg(s, c), reg(s, c + 1) };
    (void)d;
    cas16(s, a, expect, want);
    s->x[b] = expect[0];
    if (b != 30)
        s->x[b + 1] = expect[1];
    return 0;
}

/* ---- waiting: in a machine until an interrupt; a program goes on ---- */

/*
 * EL0 may not wait where the kernel says so with a bit of SCTLR_EL1, EL1 and EL0 where HCR_EL2 does, those and EL2 where SCR_EL3 does (ARM D1.6.2);
 * @ti: 0 WFI, 1 WFE.
 */
static void waiting_trapped(A64State *s, unsigned ti)
{
    enum { ALWAYS = 0x1e00000 };                /* CV 1, COND always */
    if (s->el == A64_EL0 && !(s->sctlr[A64_EL1] & (ti ? A64_SCTLR_NTWE : A64_SCTLR_NTWI)))
        a64_raise(s, A64_EC_WFX, ALWAYS | ti, 0);
    if (s->el <= A64_EL1 && a64_el2_rules(s) && s->hcr & (ti ? A64_HCR_TWE : A64_HCR_TWI))
        a64_raise_to(s, A64_EL2, A64_EC_WFX, ALWAYS | ti, 0);
    if (s->el <= A64_EL2 && s->has_el3 && s->scr & (ti ? A64_SCR_TWE : A64_SCR_TWI))
        a64_raise_to(s, A64_EL3, A64_EC_WFX, ALWAYS | ti, 0);
}

uint64_t a64_h_wfi(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    A64State *s = state;
    const TcgCallbacks *cb = tcg_cpu_callbacks(a64_cpu(s));
    (void)a, (void)b, (void)c, (void)d;
    if (cb->exception)
        return 0;
    if (!cb->irq_pending || !cb->irq_pending(tcg_cpu_opaque(a64_cpu(s))))
        waiting_trapped(s, 0);
    s->halted = 1;
    return 0;
}

uint64_t a64_h_wfe(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    A64State *s = state;
    (void)a, (void)b, (void)c, (void)d;
    if (!s->event)
        waiting_trapped(s, 1);
    s->event = 0;
    return 0;
}

uint64_t a64_h_sev(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    (void)state, (void)a, (void)b, (void)c, (void)d;
    return 0;                  /* nobody sleeps in WFE */
}

/* ---- FPCR ---- */
uint64_t a64_h_set_fpcr(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    TcgCpu *cpu = a64_cpu(state);
    (void)b, (void)c, (void)d;
    tcg_fpenv_get(cpu);
    a64_set_fpcr(state, (uint32_t)a);
    tcg_fpenv_put(cpu);
    tcg_mode_changed(cpu);
    return 0;
}
