/*
 * The integer and flags operations of the IR in C, from their definitions (tcg/ir.def; SDM 2, "Operation" and "Flags Affected" of the
 * x86 instruction each is modelled on), without the host's flags. What the SDM leaves undefined is 0 here or what the formula gives.
 */
#include "tcg/host/interp/interp.h"

static uint64_t get(const Run *r, IrVal v, unsigned bits) { return r->val[v].u & interp_mask(bits); }
static unsigned fl_if(uint64_t cond, unsigned bit) { return cond ? bit : 0; }
static unsigned bit_of(uint64_t v, unsigned n) { return (unsigned)(v >> n & 1); }
static bool has(const Run *r, IrVal fl, unsigned bit) { return r->val[fl].u & bit; }

/* N Z P of a result. */
static unsigned nzp(uint64_t v, unsigned bits)
{
    v &= interp_mask(bits);
    return fl_if(bit_of(v, bits - 1), IRFL_N) | fl_if(!v, IRFL_Z) | fl_if(!__builtin_parity(v & 255), IRFL_P);
}

static unsigned add_flags(uint64_t a, uint64_t b, uint64_t s, unsigned bits)
{
    unsigned top = bits - 1;
    return nzp(s, bits) | fl_if(bit_of((a & b) | ((a | b) & ~s), top), IRFL_C) | fl_if(bit_of((a ^ s) & (b ^ s), top), IRFL_V) |
           fl_if(bit_of(a ^ b ^ s, 4), IRFL_A);
}

static unsigned sub_flags(uint64_t a, uint64_t b, uint64_t d, unsigned bits)
{
    unsigned top = bits - 1;
    return nzp(d, bits) | fl_if(bit_of((~a & b) | ((~a | b) & d), top), IRFL_C) | fl_if(bit_of((a ^ b) & (a ^ d), top), IRFL_V) |
           fl_if(bit_of(a ^ b ^ d, 4), IRFL_A);
}

static void done(Run *r, const IrInsn *i, uint64_t v, unsigned fl)
{
    interp_put(r, i, v);
    if (i->fl)
        r->val[i->fl].u = fl;
}

static void op_add(Run *r, const IrInsn *i)
{
    unsigned bits = interp_bits(i->type);
    uint64_t a = get(r, i->a, bits), b = get(r, i->b, bits), s = a + b + (i->op == IR_ADC && has(r, i->c, IRFL_C));
    done(r, i, s, add_flags(a, b, s, bits));
}

static void op_adx(Run *r, const IrInsn *i)
{
    unsigned bits = interp_bits(i->type), flag = i->aux ? IRFL_V : IRFL_C;
    uint64_t a = get(r, i->a, bits), b = get(r, i->b, bits);
    unsigned __int128 s = (unsigned __int128)a + b + has(r, i->c, flag);
    done(r, i, (uint64_t)s, ((unsigned)r->val[i->c].u & ~flag) | fl_if(s >> bits & 1, flag));
}

static void op_sub(Run *r, const IrInsn *i)
{
    unsigned bits = interp_bits(i->type);
    uint64_t a = get(r, i->a, bits), b = get(r, i->b, bits);
    if (i->op == IR_NEG) {
        b = a;
        a = 0;
    }
    uint64_t d = a - b - (i->op == IR_SBB && has(r, i->c, IRFL_C));
    done(r, i, d, sub_flags(a, b, d, bits));
}

static void op_logic(Run *r, const IrInsn *i)
{
    unsigned bits = interp_bits(i->type);
    uint64_t a = get(r, i->a, bits), b = get(r, i->b, bits);
    uint64_t v = i->op == IR_AND ? a & b : i->op == IR_OR ? a | b : i->op == IR_XOR ? a ^ b : ~a & b;
    done(r, i, v, nzp(v, bits));
}

static void op_not(Run *r, const IrInsn *i) { interp_put(r, i, ~r->val[i->a].u); }

/* ---- shifts ---- */
static void op_shift(Run *r, const IrInsn *i)
{
    unsigned bits = interp_bits(i->type), n = (uint8_t)r->val[i->b].u, c, v;
    uint64_t a = get(r, i->a, bits), s;
    n = i->aux ? n % bits : n;
    if (!n) {
        done(r, i, a, (unsigned)r->val[i->c].u);
        return;
    }
    if (i->op == IR_SHL) {
        s = n < bits ? a << n & interp_mask(bits) : 0;
        c = n <= bits ? bit_of(a, bits - n) : 0;
        v = bit_of(s, bits - 1) ^ c;
    } else if (i->op == IR_SHR) {
        s = n < bits ? a >> n : 0;
        c = n <= bits ? bit_of(a, n - 1) : 0;
        v = bit_of(a, bits - 1);
    } else {
        int64_t w = (int64_t)interp_sext(a, bits);
        s = (uint64_t)(w >> (n < 64 ? n : 63));
        c = bit_of((uint64_t)w, n <= 64 ? n - 1 : 63);
        v = 0;
    }
    done(r, i, s, nzp(s, bits) | fl_if(c, IRFL_C) | fl_if(v, IRFL_V));
}

static void op_rotate(Run *r, const IrInsn *i)
{
    unsigned bits = interp_bits(i->type), count = (uint8_t)r->val[i->b].u, n = count % bits, old = (unsigned)r->val[i->c].u, c, v;
    uint64_t a = get(r, i->a, bits), s = a;
    if (!count) {
        done(r, i, a, old);
        return;
    }
    if (i->op == IR_ROR)
        n = (bits - n) % bits;
    if (n)
        s = (a << n | a >> (bits - n)) & interp_mask(bits);
    if (i->op == IR_ROL) {
        c = bit_of(s, 0);
        v = bit_of(s, bits - 1) ^ c;
    } else {
        c = bit_of(s, bits - 1);
        v = c ^ bit_of(s, bits - 2);
    }
    done(r, i, s, (old & ~(unsigned)(IRFL_C | IRFL_V)) | fl_if(c, IRFL_C) | fl_if(v, IRFL_V));
}

/* Bit by bit through the carry. */
static void op_rotate_carry(Run *r, const IrInsn *i)
{
    unsigned bits = interp_bits(i->type), n = (uint8_t)r->val[i->b].u % (bits + 1), old = (unsigned)r->val[i->c].u, c = !!(old & IRFL_C), v;
    uint64_t s = get(r, i->a, bits);
    if (!n) {
        done(r, i, s, old);
        return;
    }
    while (n--) {
        unsigned out = bit_of(s, i->op == IR_RCL ? bits - 1 : 0);
        s = i->op == IR_RCL ? (s << 1 | c) & interp_mask(bits) : s >> 1 | (uint64_t)c << (bits - 1);
        c = out;
    }
    v = bit_of(s, bits - 1) ^ (i->op == IR_RCL ? c : bit_of(s, bits - 2));
    done(r, i, s, (old & ~(unsigned)(IRFL_C | IRFL_V)) | fl_if(c, IRFL_C) | fl_if(v, IRFL_V));
}

static void op_double_shift(Run *r, const IrInsn *i)
{
    unsigned bits = interp_bits(i->type), n = (unsigned)r->val[i->c].u & (bits - 1), c;
    uint64_t a = get(r, i->a, bits), b = get(r, i->b, bits), s;
    if (!n) {
        done(r, i, a, (unsigned)r->val[i->d].u);
        return;
    }
    if (i->op == IR_SHLD) {
        s = (a << n | b >> (bits - n)) & interp_mask(bits);
        c = bit_of(a, bits - n);
    } else {
        s = (a >> n | b << (bits - n)) & interp_mask(bits);
        c = bit_of(a, n - 1);
    }
    done(r, i, s, nzp(s, bits) | fl_if(c, IRFL_C) | fl_if(bit_of(a ^ s, bits - 1), IRFL_V));
}

/* ---- multiplication, division ---- */
static void op_mul(Run *r, const IrInsn *i)
{
    unsigned bits = interp_bits(i->type);
    uint64_t a = get(r, i->a, bits), b = get(r, i->b, bits), lo, hi;
    bool wide;
    if (i->op == IR_MULS) {
        __int128 p = (__int128)(int64_t)interp_sext(a, bits) * (int64_t)interp_sext(b, bits);
        lo = (uint64_t)p;
        hi = (uint64_t)(p >> bits);
        wide = p != (int64_t)interp_sext(lo, bits);
    } else {
        unsigned __int128 p = (unsigned __int128)a * b;
        lo = (uint64_t)p;
        hi = (uint64_t)(p >> bits);
        wide = hi & interp_mask(bits);
    }
    if (i->hi)
        r->val[i->hi].u = hi & interp_mask(bits);
    done(r, i, lo, nzp(lo, bits) | fl_if(wide, IRFL_C | IRFL_V));
}

static void op_div(Run *r, const IrInsn *i)
{
    unsigned bits = interp_bits(i->type);
    uint64_t mask = interp_mask(bits), lo = get(r, i->a, bits), hi = get(r, i->b, bits), d = get(r, i->c, bits), q = 0, rem = 0;
    bool sgn = i->op == IR_DIVS, neg_n = sgn && bit_of(hi, bits - 1), neg_d = sgn && bit_of(d, bits - 1), bad = true;
    unsigned __int128 n = (unsigned __int128)hi << bits | lo;
    if (neg_n) {               /* magnitudes; 2*bits wide for the dividend */
        n = -n;
        if (bits < 64)
            n &= ((unsigned __int128)1 << (2 * bits)) - 1;
    }
    if (neg_d)
        d = -d & mask;
    if (d && (uint64_t)(n >> bits) < d) {
        unsigned __int128 quot = n / d;
        uint64_t most = sgn ? (mask >> 1) + (neg_n != neg_d) : mask;
        if (quot <= most) {
            bad = false;
            q = neg_n != neg_d ? -(uint64_t)quot : (uint64_t)quot;
            rem = (uint64_t)(n % d);
            rem = neg_n ? -rem : rem;
        }
    }
    if (i->hi)
        r->val[i->hi].u = rem & mask;
    done(r, i, q, fl_if(bad, IRFL_V));
}

/* ---- bits ---- */
static void op_bswap(Run *r, const IrInsn *i)
{
    uint64_t a = r->val[i->a].u, v = 0;
    for (unsigned n = interp_bits(i->type); n; n -= 8, a >>= 8)
        v = v << 8 | (a & 255);
    interp_put(r, i, v);
}

static void op_count(Run *r, const IrInsn *i)
{
    unsigned bits = interp_bits(i->type), n = 0;
    uint64_t a = get(r, i->a, bits);
    if (i->op == IR_POPCNT)
        for (uint64_t left = a; left; left &= left - 1)
            n++;
    else if (i->op == IR_CLZ)
        while (n < bits && !bit_of(a, bits - 1 - n))
            n++;
    else
        while (n < bits && !bit_of(a, n))
            n++;
    done(r, i, n, fl_if(n == 0, IRFL_Z) | fl_if(a == 0 && i->op != IR_POPCNT, IRFL_C));
}

static void op_pdep_pext(Run *r, const IrInsn *i)
{
    unsigned bits = interp_bits(i->type), k = 0;
    uint64_t a = get(r, i->a, bits), b = get(r, i->b, bits), v = 0;
    for (unsigned n = 0; n < bits; n++)
        if (bit_of(b, n)) {
            v |= i->op == IR_PDEP ? (uint64_t)bit_of(a, k) << n : (uint64_t)bit_of(a, n) << k;
            k++;
        }
    interp_put(r, i, v);
}

static void op_bzhi(Run *r, const IrInsn *i)
{
    unsigned bits = interp_bits(i->type), n = (uint8_t)r->val[i->b].u;
    uint64_t v = n < bits ? get(r, i->a, bits) & ((1ull << n) - 1) : get(r, i->a, bits);
    done(r, i, v, nzp(v, bits) | fl_if(n >= bits, IRFL_C));
}

static void op_bls(Run *r, const IrInsn *i)
{
    unsigned bits = interp_bits(i->type);
    uint64_t a = get(r, i->a, bits), v = i->aux == 1 ? a & (a - 1) : i->aux == 2 ? (a ^ (a - 1)) & interp_mask(bits) : a & -a;
    done(r, i, v, nzp(v, bits) | fl_if((i->aux == 3) == !!a, IRFL_C));
}

/* Reflected, polynomial 0x11edc6f41 (SDM 2A, CRC32). */
static void op_crc32c(Run *r, const IrInsn *i)
{
    uint32_t acc = (uint32_t)r->val[i->a].u;
    uint64_t b = r->val[i->b].u;
    for (unsigned n = interp_bits(i->aux); n; n--, b >>= 1)
        acc = acc >> 1 ^ ((acc ^ (uint32_t)b) & 1 ? 0x82f63b78u : 0);
    interp_put(r, i, acc);
}

/* ---- widths and fields ---- */
static void op_zext(Run *r, const IrInsn *i)
{
    if (i->type >= IRT_V64)    /* vectors are kept zero-extended */
        r->val[i - r->ir] = r->val[i->a];
    else
        interp_put(r, i, get(r, i->a, interp_bits(i->aux)));
}

static void op_sext(Run *r, const IrInsn *i) { interp_put(r, i, interp_sext(r->val[i->a].u, interp_bits(i->aux))); }

static void op_trunc(Run *r, const IrInsn *i)
{
    unsigned at = (unsigned)(i - r->ir);
    if (i->type < IRT_V64) {
        interp_put(r, i, r->val[i->a].u);
        return;
    }
    memset(&r->val[at], 0, sizeof(Val));
    memcpy(r->val[at].v, r->val[i->a].v, ir_type_bytes(i->type));
}

static void op_extract(Run *r, const IrInsn *i)
{
    unsigned pos = i->imm & 255, len = (unsigned)i->imm >> 8;
    interp_put(r, i, r->val[i->a].u >> pos & interp_mask(len));
}

static void op_deposit(Run *r, const IrInsn *i)
{
    unsigned pos = i->imm & 255, len = (unsigned)i->imm >> 8;
    uint64_t field = interp_mask(len) << pos;
    interp_put(r, i, (r->val[i->a].u & ~field) | (r->val[i->b].u << pos & field));
}

static void op_lea(Run *r, const IrInsn *i) { interp_put(r, i, r->val[i->a].u + (r->val[i->b].u << i->aux) + (uint64_t)i->imm); }
static void op_const(Run *r, const IrInsn *i) { interp_put(r, i, (uint64_t)i->imm); }

/* ---- flags ---- */
static void op_nothing(Run *r, const IrInsn *i)
{
    (void)r;
    (void)i;
}

static void op_cmp(Run *r, const IrInsn *i)
{
    unsigned bits = interp_bits(i->aux);
    uint64_t a = get(r, i->a, bits), b = get(r, i->b, bits);
    r->val[i - r->ir].u = i->op == IR_CMP ? sub_flags(a, b, a - b, bits) : nzp(a & b, bits);
}

static void op_bt(Run *r, const IrInsn *i)
{
    unsigned bits = interp_bits(i->aux), c = bit_of(r->val[i->a].u, (unsigned)r->val[i->b].u & (bits - 1));
    r->val[i - r->ir].u = (r->val[i->c].u & (IRFL_ALL & ~IRFL_C)) | fl_if(c, IRFL_C);
}

static void op_flmerge(Run *r, const IrInsn *i)
{
    uint64_t m = (uint64_t)i->imm & IRFL_ALL;
    r->val[i - r->ir].u = (r->val[i->a].u & ~m & IRFL_ALL) | (r->val[i->b].u & m);
}

static void op_flcopy(Run *r, const IrInsn *i) { r->val[i - r->ir].u = r->val[i->a].u & IRFL_ALL; }

bool interp_cond(unsigned cc, uint64_t fl)
{
    bool c = fl & IRFL_C, z = fl & IRFL_Z, n = fl & IRFL_N, v = fl & IRFL_V, p = fl & IRFL_P, yes;
    switch (cc >> 1) {
    case 0: yes = v; break;
    case 1: yes = c; break;
    case 2: yes = z; break;
    case 3: yes = c || z; break;
    case 4: yes = n; break;
    case 5: yes = p; break;
    case 6: yes = n != v; break;
    default: yes = z || n != v; break;
    }
    return yes != (cc & 1);
}

static void op_cond(Run *r, const IrInsn *i) { interp_put(r, i, interp_cond(i->aux, r->val[i->a].u)); }
static void op_select(Run *r, const IrInsn *i) { interp_put(r, i, r->val[interp_cond(i->aux, r->val[i->a].u) ? i->b : i->c].u); }

OpFn *const interp_alu[IR_OPS] = {
    [IR_NOP] = op_nothing, [IR_FLAGS] = op_nothing, [IR_HI] = op_nothing, [IR_LABEL] = op_nothing,
    [IR_CONST] = op_const, [IR_ADD] = op_add, [IR_ADC] = op_add, [IR_ADX] = op_adx, [IR_SUB] = op_sub, [IR_SBB] = op_sub, [IR_NEG] = op_sub,
    [IR_AND] = op_logic, [IR_OR] = op_logic, [IR_XOR] = op_logic, [IR_ANDN] = op_logic, [IR_NOT] = op_not,
    [IR_SHL] = op_shift, [IR_SHR] = op_shift, [IR_SAR] = op_shift, [IR_ROL] = op_rotate, [IR_ROR] = op_rotate,
    [IR_RCL] = op_rotate_carry, [IR_RCR] = op_rotate_carry, [IR_SHLD] = op_double_shift, [IR_SHRD] = op_double_shift,
    [IR_MUL] = op_mul, [IR_MULU] = op_mul, [IR_MULS] = op_mul, [IR_DIVU] = op_div, [IR_DIVS] = op_div,
    [IR_BSWAP] = op_bswap, [IR_CLZ] = op_count, [IR_CTZ] = op_count, [IR_POPCNT] = op_count, [IR_PDEP] = op_pdep_pext, [IR_PEXT] = op_pdep_pext,
    [IR_BZHI] = op_bzhi, [IR_BLS] = op_bls,
    [IR_CRC32C] = op_crc32c, [IR_ZEXT] = op_zext, [IR_SEXT] = op_sext, [IR_TRUNC] = op_trunc, [IR_EXTRACT] = op_extract, [IR_DEPOSIT] = op_deposit,
    [IR_LEA] = op_lea, [IR_CMP] = op_cmp, [IR_TEST] = op_cmp, [IR_BT] = op_bt, [IR_FLMERGE] = op_flmerge,
    [IR_FLPACK] = op_flcopy, [IR_FLUNPACK] = op_flcopy, [IR_COND] = op_cond, [IR_SELECT] = op_select,
};
