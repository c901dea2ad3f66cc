#include <string.h>

#include "tcg/guest/x86/sys.h"
#include "tcg/guest/x86/translate.h"
#include "util/bits.h"

/*
 * Repeated string instructions. One call does a bounded stretch, through host pointers where both sides are plain RAM, and
 * keeps rCX, rSI and rDI exact element by element: a fault or an interrupt in the middle finds the state the manual wants
 * (SDM 2B REP). Result 1: finished. 0: not yet, the unit calls again after it has looked for interrupts.
 *
 * a: bits 3:0 log2 of the element, 7:4 log2 of the address size, 11:8 source segment, 12 REPE (0: REPNE), 13 one element only,
 * 14 there is a repeat prefix. Bit 13 is set where breakpoints or stepping look at each element.
 */
enum { STRETCH = 65536,        /* bytes a call... */
       SINGLE = 16 };          /* ...an element that goes the slow way counting as so many */

typedef struct Rep {
    X86State *s;
    TcgCpu *cpu;
    unsigned log2, size, regime, seg;
    uint64_t mask;             /* of the address size */
    uint64_t budget;           /* elements */
    bool repe, down, rep, in64;
} Rep;

static Rep rep_begin(X86State *s, uint64_t a)
{
    uint64_t mode = tcg_mode_now(x86_cpu(s));
    Rep r = { .s = s, .cpu = x86_cpu(s), .log2 = a & 15, .seg = a >> 8 & 15, .repe = a >> 12 & 1, .rep = a >> 14 & 1 };
    r.size = 1u << r.log2;
    r.mask = bits_mask(8u << (a >> 4 & 15));
    r.regime = x86_isa.regime(mode);
    r.down = s->rflags_rest & X86_DF;
    r.in64 = X86M_CODE(mode) == X86M_CODE64;
    r.budget = a >> 13 & 1 ? 1 : STRETCH >> r.log2;
    return r;
}

static uint64_t reg(const Rep *r, unsigned n)
{
    return r->s->gpr[n] & r->mask;
}

/* Writes to 32-bit registers clear the upper half, to 16-bit ones do not. */
static void set_reg(Rep *r, unsigned n, uint64_t v)
{
    uint64_t keep = r->mask == 0xffff ? ~0xffffull : 0;
    r->s->gpr[n] = (r->s->gpr[n] & keep) | (v & r->mask);
}

static void advance(Rep *r, unsigned n, uint64_t elements)
{
    uint64_t by = elements << r->log2;
    set_reg(r, n, r->down ? reg(r, n) - by : reg(r, n) + by);
}

static void count_down(Rep *r, uint64_t elements)
{
    if (r->rep)
        set_reg(r, X86_RCX, reg(r, X86_RCX) - elements);
}

static uint64_t remaining(const Rep *r)
{
    return r->rep ? reg(r, X86_RCX) : 1;
}

static uint64_t linear(const Rep *r, unsigned seg, uint64_t off)
{
    if (r->in64)
        return seg < X86_FS ? off : off + r->s->seg[seg].base;
    return (uint32_t)(off + r->s->seg[seg].base);
}

/* One element at segment:offset, with every check. */
static uint64_t checked(const Rep *r, unsigned seg, uint64_t off, bool write)
{
    if (!r->in64)
        x86_h_seg_check(r->s, seg, off, r->size | (unsigned)write << 16, 0);
    uint64_t va = linear(r, seg, off);
    x86_dr_note(r->s, va, r->size, write);
    return va;
}

/* Elements upwards from segment:offset that need no further check for limits and wrapping, at least 0. */
static uint64_t span(const Rep *r, unsigned seg, uint64_t off, bool write)
{
    const X86Seg *g = &r->s->seg[seg];
    uint64_t bytes = r->mask - off;            /* one less than to the wrap: never overflows */
    if (!r->in64) {
        bool prot = r->s->cr0 & X86_CR0_PE && !(r->s->rflags_rest & X86_VM);
        if (prot && ((g->attr & (X86_SEG_UNUSABLE | X86_SEG_P | 8 | 4)) != X86_SEG_P || (write && !(g->attr & 2))))
            return 0;
        if (off > g->limit)
            return 0;
        bytes = MIN(bytes, (uint64_t)g->limit - off);
        bytes = MIN(bytes, 0xffffffffull - linear(r, seg, off));
    }
    return bytes >> r->log2;
}

/* Host memory for up to *io_n elements upwards of segment:offset, or NULL: do one the slow way. */
static uint8_t *host_span(const Rep *r, unsigned seg, uint64_t off, TcgAccess access, uint64_t *io_n)
{
    unsigned len;
    uint64_t n = MIN(*io_n, span(r, seg, off, access == TCG_WRITE));
    if (n == 0)
        return NULL;
    uint8_t *p = tcg_host(r->cpu, linear(r, seg, off), access, r->regime, &len);
    *io_n = MIN(n, len >> r->log2);
    return p && *io_n ? p : NULL;
}

/* The same downwards from the element at segment:offset: its host address, with *io_n elements in the page. */
static uint8_t *host_span_down(const Rep *r, unsigned seg, uint64_t off, TcgAccess access, uint64_t *io_n)
{
    unsigned len;
    uint64_t va = linear(r, seg, off), in_page = va & (TCG_PAGE_SIZE - 1);
    if (!span(r, seg, off, access == TCG_WRITE) || in_page + r->size > TCG_PAGE_SIZE)
        return NULL;
    *io_n = MIN(*io_n, (MIN(in_page, off) >> r->log2) + 1);
    return tcg_host(r->cpu, va, access, r->regime, &len);
}

static void spend(Rep *r, uint64_t n)
{
    r->budget -= n > 1 ? n : MIN(r->budget, (uint64_t)SINGLE);
}

/* ---- MOVS ---- */

/* As if byte by byte upwards: where the destination begins inside the source the bytes repeat. */
static void copy_up(uint8_t *dst, const uint8_t *src, size_t len, unsigned size)
{
    if (dst <= src || (size_t)(dst - src) >= len) {
        memmove(dst, src, len);
        return;
    }
    for (size_t i = 0; i < len; i += size)
        memmove(dst + i, src + i, size);
}

static void copy_down(uint8_t *dst, const uint8_t *src, size_t len, unsigned size)
{
    if (dst >= src || (size_t)(src - dst) >= len) {
        memmove(dst, src, len);
        return;
    }
    for (size_t i = len; i; i -= size)
        memmove(dst + i - size, src + i - size, size);
}

/* 0: not in plain RAM */
static uint64_t movs_down(Rep *r, uint64_t m)
{
    uint8_t *src = host_span_down(r, r->seg, reg(r, X86_RSI), TCG_READ, &m);
    uint8_t *dst = src ? host_span_down(r, X86_ES, reg(r, X86_RDI), TCG_WRITE, &m) : NULL;
    uint64_t below = (m - 1) << r->log2;
    if (!dst)
        return 0;
    copy_down(dst - below, src - below, m << r->log2, r->size);
    return m;
}

/* The source may be a device, which is read once. */
static void movs_one(Rep *r)
{
    uint64_t from = checked(r, r->seg, reg(r, X86_RSI), false);
    tcg_probe(r->cpu, from, r->size, TCG_READ, r->regime);
    uint64_t to = checked(r, X86_ES, reg(r, X86_RDI), true);
    tcg_store_ready(r->cpu, to, r->size, r->regime);
    tcg_store_done(r->cpu, to, tcg_load(r->cpu, from, r->log2, r->regime), r->log2, r->regime);
}

static uint64_t movs_some(Rep *r, uint64_t n)
{
    if (!r->down && n > 1) {
        uint64_t m = n;
        uint8_t *src = host_span(r, r->seg, reg(r, X86_RSI), TCG_READ, &m);
        uint8_t *dst = src ? host_span(r, X86_ES, reg(r, X86_RDI), TCG_WRITE, &m) : NULL;
        if (dst) {
            copy_up(dst, src, m << r->log2, r->size);
            return m;
        }
    }
    uint64_t m = r->down && n > 1 ? movs_down(r, n) : 0;
    if (m)
        return m;
    movs_one(r);
    return 1;
}

uint64_t x86_h_rep_movs(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    Rep r = rep_begin(state, a);
    for (uint64_t n; r.budget && (n = MIN(remaining(&r), r.budget)); spend(&r, n)) {
        n = movs_some(&r, n);
        advance(&r, X86_RSI, n);
        advance(&r, X86_RDI, n);
        count_down(&r, n);
    }
    return remaining(&r) == 0;
}

/* ---- STOS ---- */

static void fill(uint8_t *dst, uint64_t v, uint64_t n, unsigned size)
{
    if (size == 1) {
        memset(dst, (int)(v & 0xff), n);
        return;
    }
    if (v == 0) {
        memset(dst, 0, n * size);
        return;
    }
    for (uint64_t i = 0; i < n; i++)
        memcpy(dst + i * size, &v, size);
}

static uint64_t stos_some(Rep *r, uint64_t n)
{
    uint64_t v = r->s->gpr[X86_RAX];
    if (!r->down && n > 1) {
        uint64_t m = n;
        uint8_t *dst = host_span(r, X86_ES, reg(r, X86_RDI), TCG_WRITE, &m);
        if (dst) {
            fill(dst, v, m, r->size);
            return m;
        }
    }
    tcg_store(r->cpu, checked(r, X86_ES, reg(r, X86_RDI), true), v & bits_mask(8 * r->size), r->log2, r->regime);
    return 1;
}

uint64_t x86_h_rep_stos(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    Rep r = rep_begin(state, a);
    for (uint64_t n; r.budget && (n = MIN(remaining(&r), r.budget)); spend(&r, n)) {
        n = stos_some(&r, n);
        advance(&r, X86_RDI, n);
        count_down(&r, n);
    }
    return remaining(&r) == 0;
}

/* ---- LODS: only the last element stays, but each is accessed ---- */

/* Host memory for up to *io_n elements in the direction of DF, or NULL: do one the slow way. */
static uint8_t *host_ahead(const Rep *r, unsigned seg, uint64_t off, uint64_t *io_n)
{
    if (*io_n == 1)
        return NULL;
    return r->down ? host_span_down(r, seg, off, TCG_READ, io_n) : host_span(r, seg, off, TCG_READ, io_n);
}

static int64_t stride(const Rep *r) { return r->down ? -(int64_t)r->size : r->size; }

uint64_t x86_h_rep_lods(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    Rep r = rep_begin(state, a);
    for (uint64_t n; r.budget && (n = MIN(remaining(&r), r.budget)); spend(&r, n)) {
        uint64_t keep = r.log2 < 2 ? ~bits_mask(8 * r.size) : 0, v;
        const uint8_t *p = host_ahead(&r, r.seg, reg(&r, X86_RSI), &n);
        if (p) {
            v = load_le(p + (int64_t)(n - 1) * stride(&r), r.size);
        } else {
            n = 1;
            v = tcg_load(r.cpu, checked(&r, r.seg, reg(&r, X86_RSI), false), r.log2, r.regime);
        }
        r.s->gpr[X86_RAX] = (r.s->gpr[X86_RAX] & keep) | v;
        advance(&r, X86_RSI, n);
        count_down(&r, n);
    }
    return remaining(&r) == 0;
}

/* ---- CMPS, SCAS ---- */

/* Flags of a - b at the element's width (SDM 1 appendix A). */
static uint32_t cmp_flags(uint64_t a, uint64_t b, unsigned size)
{
    uint64_t m = bits_mask(8 * size), top = 1ull << (8 * size - 1), r = (a - b) & m;
    a &= m;
    b &= m;
    uint32_t cc = 0;
    cc |= a < b ? X86_CC_C : 0;
    cc |= r == 0 ? X86_CC_Z : 0;
    cc |= r & top ? X86_CC_S : 0;
    cc |= (a ^ b) & (a ^ r) & top ? X86_CC_V : 0;
    cc |= (a ^ b ^ r) & 0x10 ? X86_CC_A : 0;
    cc |= __builtin_parity((unsigned)(r & 0xff)) ? 0 : X86_CC_P;
    return cc;
}

/* After an element: true if the condition ends the repetition. */
static bool compared(Rep *r, uint64_t x, uint64_t y)
{
    r->s->cc = cmp_flags(x, y, r->size);
    bool equal = r->s->cc & X86_CC_Z;
    return equal != r->repe;
}

/* As scan_host, of two strings: x at p with y at q. At most page lengths: indices are small. */
static uint64_t compare_host(Rep *r, const uint8_t *p, const uint8_t *q, uint64_t n, bool *ret_stop)
{
    uint64_t i = 0, x = 0, y = 0;
    int64_t step = stride(r);
    while (r->repe && !r->down && i + (8u >> r->log2) < n && load_le(p + (i << r->log2), 8) == load_le(q + (i << r->log2), 8))
        i += 8u >> r->log2;
    while (i < n && !*ret_stop) {
        x = load_le(p + (int64_t)i * step, r->size);
        y = load_le(q + (int64_t)i * step, r->size);
        *ret_stop = (x == y) != r->repe;
        i++;
    }
    r->s->cc = cmp_flags(x, y, r->size);
    return i;
}

/* Elements of both strings in plain RAM. 0: one the slow way. */
static uint64_t cmps_some(Rep *r, uint64_t n, bool *ret_stop)
{
    uint8_t *p = host_ahead(r, r->seg, reg(r, X86_RSI), &n);
    uint8_t *q = p ? r->down ? host_span_down(r, X86_ES, reg(r, X86_RDI), TCG_READ, &n) : host_span(r, X86_ES, reg(r, X86_RDI), TCG_READ, &n) : NULL;
    if (!q)
        return 0;
    n = compare_host(r, p, q, n, ret_stop);
    advance(r, X86_RSI, n);
    advance(r, X86_RDI, n);
    count_down(r, n);
    return n;
}

uint64_t x86_h_rep_cmps(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    Rep r = rep_begin(state, a);
    bool stop = false;
    for (uint64_t n, done = 1; !stop && r.budget && (n = MIN(remaining(&r), r.budget)); spend(&r, done)) {
        done = cmps_some(&r, n, &stop);
        if (done)
            continue;
        uint64_t x = tcg_load(r.cpu, checked(&r, r.seg, reg(&r, X86_RSI), false), r.log2, r.regime);
        uint64_t y = tcg_load(r.cpu, checked(&r, X86_ES, reg(&r, X86_RDI), false), r.log2, r.regime);
        advance(&r, X86_RSI, 1);
        advance(&r, X86_RDI, 1);
        count_down(&r, 1);
        stop = compared(&r, x, y);
    }
    return stop || remaining(&r) == 0;
}

/* Elements scanned in plain RAM, the deciding one included if there is one; *ret_stop says so. */
static uint64_t scan_host(Rep *r, const uint8_t *p, uint64_t n, bool *ret_stop)
{
    uint64_t want = r->s->gpr[X86_RAX] & bits_mask(8 * r->size), v = 0, i = 0;
    int64_t step = stride(r);
    if (r->size == 1 && !r->repe && !r->down && n > 1) {   /* all but the last, which is looked at below in any case */
        const uint8_t *hit = memchr(p, (int)want, n - 1);
        i = hit ? (uint64_t)(hit - p) : n - 1;
    }
    for (; i < n; i++) {
        v = load_le(p + (int64_t)i * step, r->size);
        if ((v == want) != r->repe) {
            r->s->cc = cmp_flags(want, v, r->size);
            *ret_stop = true;
            return i + 1;
        }
    }
    r->s->cc = cmp_flags(want, v, r->size);
    return n;
}

uint64_t x86_h_rep_scas(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    Rep r = rep_begin(state, a);
    bool stop = false;
    for (uint64_t n; !stop && r.budget && (n = MIN(remaining(&r), r.budget)); spend(&r, n)) {
        uint8_t *p = host_ahead(&r, X86_ES, reg(&r, X86_RDI), &n);
        if (p) {
            n = scan_host(&r, p, n, &stop);
        } else {
            n = 1;
            uint64_t y = tcg_load(r.cpu, checked(&r, X86_ES, reg(&r, X86_RDI), false), r.log2, r.regime);
            stop = compared(&r, r.s->gpr[X86_RAX], y);
        }
        advance(&r, X86_RDI, n);
        count_down(&r, n);
    }
    return stop || remaining(&r) == 0;
}

/* ---- INS, OUTS: one element a call, so that what the port's device asked for is seen to in between ---- */

uint64_t x86_h_ins(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    Rep r = rep_begin(state, a);
    if (!remaining(&r))
        return 1;
    uint16_t port = (uint16_t)r.s->gpr[X86_RDX];
    x86_h_io_check(state, port, r.size, 0, 0);
    uint64_t to = checked(&r, X86_ES, reg(&r, X86_RDI), true);
    tcg_store_ready(r.cpu, to, r.size, r.regime);
    tcg_store_done(r.cpu, to, x86_h_in(state, port, r.size, 0, 0), r.log2, r.regime);
    advance(&r, X86_RDI, 1);
    count_down(&r, 1);
    return !r.rep || remaining(&r) == 0;
}

uint64_t x86_h_outs(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    Rep r = rep_begin(state, a);
    if (!remaining(&r))
        return 1;
    uint16_t port = (uint16_t)r.s->gpr[X86_RDX];
    x86_h_io_check(state, port, r.size, 0, 0);
    uint64_t v = tcg_load(r.cpu, checked(&r, r.seg, reg(&r, X86_RSI), false), r.log2, r.regime);
    x86_h_out(state, port, v, r.size, 0);
    advance(&r, X86_RSI, 1);
    count_down(&r, 1);
    return !r.rep || remaining(&r) == 0;
}
