/* Operands of FP and AdvSIMD as text. */
#include <stdio.h>

#include "tcg/guest/aarch64/simd.h"

static const char *const arr_name[] = { "8b", "16b", "4h", "8h", "2s", "4s", "1d", "2d", "?", "1q" };
static const char size_name[] = "bhsdq";

static int scalar(char *buf, size_t size, unsigned log2, int32_t n) { return snprintf(buf, size, "%c%d", size_name[log2 < 5 ? log2 : 0], (int)n); }

/* immh:immb of shifts: of the element size its highest bit names; left shifts count up from it. */
static int shift_amount(char *buf, size_t size, const A64Args *a, int32_t v)
{
    int bits = 8 << (31 - __builtin_clz((unsigned)v >> 3 | 1));
    unsigned op = (unsigned)a64_op_info[a->op].k & 0xffff;
    bool left = op == A64V_SHL || op == A64V_SLI || (op >= A64V_SQSHLU && op <= A64V_UQSHLI) || op == A64V_SSHLL || op == A64V_USHLL;
    return snprintf(buf, size, "#%d", left ? (int)v - bits : 2 * bits - (int)v);
}

static int element(char *buf, size_t size, const A64Args *a)
{
    unsigned reg, index = av_elem(a, &reg);
    return snprintf(buf, size, "v%u.%c[%u]", reg, size_name[av_log2(a)], index);
}

int a64_print_simd(char *buf, size_t size, const A64Args *a, const A64Operand *o, int32_t v)
{
    static const uint8_t of_ftype[] = { 2, 3, 0, 1 };
    switch (o->kind) {
    case A64_KIND_V: return snprintf(buf, size, "v%d", (int)v);
    case A64_KIND_ARR: return snprintf(buf, size, "%s", arr_name[v & 7]);
    case A64_KIND_WARR: return snprintf(buf, size, "%s", arr_name[((v >> 1) + 1) << 1 | 1]);
    case A64_KIND_IARR: return snprintf(buf, size, "%s", arr_name[(31 - __builtin_clz((unsigned)a->immhb >> 3 | 1)) << 1 | (v & 1)]);
    case A64_KIND_SC: return scalar(buf, size, av_log2(a), v);
    case A64_KIND_SCW: return scalar(buf, size, av_log2(a) + 1, v);
    case A64_KIND_FS: return scalar(buf, size, of_ftype[a->ftype & 3], v);
    case A64_KIND_FB: return scalar(buf, size, (unsigned)a64_op_info[a->op].k & 15, v);
    case A64_KIND_SHIFT: return shift_amount(buf, size, a, v);
    case A64_KIND_ELEM: return element(buf, size, a);
    default: return snprintf(buf, size, "%d", (int)v);
    }
}
