/* Which arrangements, sizes and options of the lines of opcodes_simd.def exist. */
#include "tcg/guest/aarch64/simd.h"

static unsigned top_bit(unsigned v) { return 31u - (unsigned)__builtin_clz(v | 1); }
/* Of shifts: immh's highest bit says how wide an element is. */
static void arr_of_shift(A64Args *a, bool q) { a->arr = (int32_t)(top_bit((unsigned)a->immhb >> 3) << 1 | q); }

static bool arr_in(const A64Args *a) { return (unsigned)a->k >> 16 >> a->arr & 1; }

static bool copy_legal(const A64Args *a)
{
    unsigned low = (unsigned)a->immhb & 15;
    A64Emit *e = a64_op_info[a->op].emit;
    if (!low)
        return false;
    unsigned log2 = (unsigned)__builtin_ctz(low);
    if (e == v_mov_to)
        return a->k ? log2 < (a->q ? 3u : 2u) : a->q ? log2 == 3 : log2 < 3;
    return (e != v_dup_elem && e != v_dup_reg) || log2 < 3 || a->q;
}

static bool memory_legal(const A64Args *a)
{
    A64Emit *e = a64_op_info[a->op].emit;
    if (e == vm_multi)
        return (a->k >> 4 & 15) == 1 || a->arr != 6;
    if (e == vm_single) {
        unsigned log2 = a->k >> 8 & 15, size = a->lane & 3, s = a->lane >> 2 & 1;
        return log2 == 0 || (log2 == 1 ? !(size & 1) : size == 0 || (size == 1 && !s));
    }
    return true;
}

static bool complex_legal(const A64Args *a)
{
    if (a64_op_info[a->op].emit != v_fcmla_elem)
        return a->arr >= 2 && a->arr != 6;
    return av_log2(a) == 1 ? av_q(a) || !(a->hlm & 4) : av_log2(a) == 2 && av_q(a) && !(a->hlm & 2);
}

/* Emitters whose constant lists the arrangements. */
static bool by_arrangement(A64Emit *e)
{
    static A64Emit *const list[] = { v_same, s_same, v_pair, s_pair, v_long, s_long, v_wide, v_hn, v_un, s_un, v_addlp, v_narrow, s_narrow, v_shll, v_across, v_same_elem,
                                     s_same_elem, v_long_elem, s_long_elem, v_fp, s_fp, v_fp_pair, s_fp_pair, v_fp_across, v_fp_un, s_fp_un, v_fp_zero, s_fp_zero, v_fcvt,
                                     s_fcvt, v_perm };
    for (unsigned n = 0; n < sizeof(list) / sizeof(list[0]); n++)
        if (list[n] == e)
            return true;
    return false;
}

bool a64_simd_legal(A64Args *a)
{
    A64Emit *e = a64_op_info[a->op].emit;
    a->k = a64_op_info[a->op].k;
    if (e == v_shift || e == v_shrn || e == v_shll_imm || e == v_fixed || e == s_shift || e == s_shrn || e == s_fixed) {
        arr_of_shift(a, e == s_shift || e == s_shrn || e == s_fixed || a->q);
        return arr_in(a);
    }
    if (by_arrangement(e))
        return arr_in(a);
    if (e == v_fp_elem || e == s_fp_elem)
        return arr_in(a) && (av_log2(a) != 3 || !(a->hlm & 2));
    if (e == v_fcmla || e == v_fcadd || e == v_fcmla_elem)
        return complex_legal(a);
    if (e == v_dup_elem || e == s_dup_elem || e == v_dup_reg || e == v_mov_to || e == v_ins_reg || e == v_ins_elem)
        return copy_legal(a);
    if (e == v_ext)
        return av_q(a) || a->index < 8;
    if (e == fp_fromfixed || e == fp_tofixed)
        return a->sf || a->immhb >= 32;
    return memory_legal(a);
}
