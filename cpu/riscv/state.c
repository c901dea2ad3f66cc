#include "cpu/riscv/state.h"

#include <stdlib.h>
#include <stdio.h>
#include <string.h>

/* The host's MXCSR (SDM 1 10.2.3): flags IE 0, DE 1, ZE 2, OE 3, UE 4, PE 5; masks 7-12; rounding 13-14: nearest, down, up, to zero. */
enum { MXCSR_MASKS = 0x1f80, MXCSR_FLAGS = 0x3f, MXCSR_RC_SHIFT = 13 };

void riscv_state_reset(RiscvState *s, uint64_t hartid)
{
    memset(s, 0, offsetof(RiscvState, groups_valid));
    s->hartid = hartid;
    s->priv = RISCV_M;
    s->mstatus = RISCV_UXL | RISCV_SXL;
    s->mxcsr = MXCSR_MASKS;
    s->res_addr = ~0ull;
    s->k_box = ~0ull;
    s->stimecmp = ~0ull;
    s->tlb_flush_pending = 1;
    s->groups_valid = s->groups_dirty = RISCV_GROUP_ALL;
}

unsigned riscv_fflags(const RiscvState *s)
{
    uint32_t m = s->mxcsr;
    return (m >> 5 & 1 ? RISCV_NX : 0) | (m >> 4 & 1 ? RISCV_UF : 0) | (m >> 3 & 1 ? RISCV_OF : 0) | (m >> 2 & 1 ? RISCV_DZ : 0) |
           (m & 1 ? RISCV_NV : 0);
}

void riscv_set_fflags(RiscvState *s, unsigned f)
{
    s->mxcsr &= ~(uint32_t)MXCSR_FLAGS;
    s->mxcsr |= (f & RISCV_NX ? 1u << 5 : 0) | (f & RISCV_UF ? 1u << 4 : 0) | (f & RISCV_OF ? 1u << 3 : 0) | (f & RISCV_DZ ? 1u << 2 : 0) |
                (f & RISCV_NV ? 1u : 0);
}

void riscv_set_frm(RiscvState *s, unsigned frm)
{
    static const uint8_t rc[8] = { [RISCV_RNE] = 0, [RISCV_RTZ] = 3, [RISCV_RDN] = 1, [RISCV_RUP] = 2 };
    s->frm = frm & 7;
    s->mxcsr = (s->mxcsr & ~(3u << MXCSR_RC_SHIFT)) | (uint32_t)rc[frm & 7] << MXCSR_RC_SHIFT;
}

uint64_t riscv_misa(void)
{
    uint64_t v = 2ull << 62;
    for (const char *c = "IMAFDCSU"; *c; c++)
        v |= 1ull << (*c - 'A');
    return v;
}

/* In the order of the ISA string (unpriv 36). */
static const struct { const char *name; unsigned bit; } exts[] = {
    { "zicsr", 0 }, { "zifencei", 0 }, { "zicond", RISCV_X_ZICOND }, { "zihintpause", 0 }, { "zba", RISCV_X_ZBA }, { "zbb", RISCV_X_ZBB },
    { "zbc", RISCV_X_ZBC }, { "zbs", RISCV_X_ZBS }, { "sstc", RISCV_X_SSTC },
};
enum { N_EXTS = sizeof(exts) / sizeof(exts[0]) };

void riscv_isa_string(unsigned off, char ret[RISCV_ISA_STRING])
{
    int at = snprintf(ret, RISCV_ISA_STRING, "rv64imafdc");
    for (unsigned n = 0; n < N_EXTS; n++)
        if (!(exts[n].bit & off))
            at += snprintf(ret + at, (size_t)(RISCV_ISA_STRING - at), "_%s", exts[n].name);
}

static bool word_is(const char *w, size_t len, const char *is) { return strlen(is) == len && !memcmp(w, is, len); }

/* NAME=VALUE of @len characters. */
static bool ext_parse(const char *w, size_t len, unsigned *io_off)
{
    const char *eq = memchr(w, '=', len);
    size_t name = eq ? (size_t)(eq - w) : 0, value = len - name - 1;
    bool off = eq && (word_is(eq + 1, value, "off") || word_is(eq + 1, value, "false"));
    if (!eq || !(off || word_is(eq + 1, value, "on") || word_is(eq + 1, value, "true")))
        return false;
    for (unsigned n = 0; n < N_EXTS; n++)
        if (exts[n].bit && word_is(w, name, exts[n].name)) {
            *io_off = off ? *io_off | exts[n].bit : *io_off & ~exts[n].bit;
            return true;
        }
    return false;
}

bool riscv_model_parse(const char *text, unsigned *ret_off, GError **err)
{
    char isa[RISCV_ISA_STRING];
    size_t model = strcspn(text, ","), len;
    riscv_isa_string(0, isa);
    *ret_off = 0;
    if (!word_is(text, model, "rv64") && !word_is(text, model, "max")) {
        g_set_error(err, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "-cpu %.64s: RISC-V has one model, rv64 (%s)", text, isa);
        return false;
    }
    for (const char *w = text + model; *w; w += len) {
        len = strcspn(++w, ",");
        if (!ext_parse(w, len, ret_off)) {
            g_set_error(err, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "-cpu %.64s: '%.*s' is not NAME=on|off of zicond, zba, zbb, zbc, zbs or sstc", text, (int)MIN(len, 64), w);
            return false;
        }
    }
    return true;
}

char *riscv_models_help(void)
{
    char isa[RISCV_ISA_STRING];
    riscv_isa_string(0, isa);
    return g_strdup_printf("models:\n  rv64[,zicond|zba|zbb|zbc|zbs|sstc=on|off...]  (%s)\n  max, the same\n", isa);
}

const char *riscv_x_name(unsigned n)
{
    static const char *const names[32] = { "zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", "a0", "a1", "a2", "a3", "a4", "a5",
                                           "a6", "a7", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6" };
    return names[n & 31];
}

const char *riscv_f_name(unsigned n)
{
    static const char *const names[32] = { "ft0", "ft1", "ft2", "ft3", "ft4", "ft5", "ft6", "ft7", "fs0", "fs1", "fa0", "fa1", "fa2", "fa3", "fa4", "fa5",
                                           "fa6", "fa7", "fs2", "fs3", "fs4", "fs5", "fs6", "fs7", "fs8", "fs9", "fs10", "fs11", "ft8", "ft9", "ft10", "ft11" };
    return names[n & 31];
}

const char *riscv_csr_name(unsigned csr)
{
    static const struct { uint16_t n; const char *name; } names[] = {
#define RISCV_CSR(number, name, read, write) { number, #name },
#include "cpu/riscv/csr.def"
#undef RISCV_CSR
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (names[i].n == csr)
            return names[i].name;
    return NULL;
}
