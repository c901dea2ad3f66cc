#include <string.h>

#include "vmm/memory-internal.h"

/*
 * Flat views. A tree is rendered front to back into a sorted list: what is in front claims its range, later regions
 * fill the gaps. Addresses are 128 bits wide while rendering, since aliases may begin below 0 or end above 2^64.
 */
typedef __int128 Addr;
enum { TREE_DEPTH_MAX = 64 };

typedef struct Render {
    GArray *out;            /* of FlatRange, sorted by start */
    unsigned kind;          /* MEM_R or MEM_W: whose map this is */
} Render;

static Addr region_bytes(const MemRegion *mr)
{
    return mr->size ? (Addr)mr->size : (Addr)1 << 64;
}

/* Index of the first range that ends at or after @a. */
static guint first_not_below(GArray *out, uint64_t a)
{
    guint lo = 0, hi = out->len;
    while (lo < hi) {
        guint mid = (lo + hi) / 2;
        if (g_array_index(out, FlatRange, mid).last < a)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static void claim(Render *r, MemRegion *mr, Addr base, uint64_t start, uint64_t last, bool readonly)
{
    guint i = first_not_below(r->out, start);
    for (;;) {
        uint64_t gap_last = last;
        bool more = false;
        if (i < r->out->len) {
            FlatRange *next = &g_array_index(r->out, FlatRange, i);
            if (next->start <= start) {         /* covered up to next->last */
                if (next->last >= last)
                    return;
                start = next->last + 1;
                i++;
                continue;
            }
            if (next->start <= last) {
                gap_last = next->start - 1;
                more = true;
            }
        }
        FlatRange fr = { .start = start, .last = gap_last, .mr = mr, .offset = (uint64_t)((Addr)start - base),
                         .ram = mr->ram, .readonly = mr->ram && readonly };
        fr.host = mr->ram ? mr->ram->host + fr.offset : NULL;
        g_array_insert_val(r->out, i, fr);
        if (!more)
            return;
        start = gap_last + 1;
        i++;
    }
}

/* @base: address of the region's byte 0. [lo, hi] is what ancestors let through. */
static void render(Render *r, MemRegion *mr, Addr base, Addr lo, Addr hi, bool readonly, unsigned depth)
{
    g_assert(depth < TREE_DEPTH_MAX);
    if (!mr->enabled || !(mr->access & r->kind))
        return;
    lo = MAX(lo, base);
    hi = MIN(hi, base + region_bytes(mr) - 1);
    if (lo > hi)
        return;
    readonly |= mr->readonly;
    for (guint i = 0; mr->children && i < mr->children->len; i++) {
        MemRegion *child = g_ptr_array_index(mr->children, i);
        render(r, child, base + child->offset, lo, hi, readonly, depth + 1);
    }
    if (mr->kind == MEM_ALIAS)
        render(r, mr->target, base - mr->alias_offset, lo, hi, readonly, depth + 1);
    else if (mr->kind != MEM_CONTAINER)
        claim(r, mr, base, (uint64_t)lo, (uint64_t)hi, readonly);
}

static bool continues(const FlatRange *a, const FlatRange *b)
{
    return a->last + 1 == b->start && a->last != UINT64_MAX && a->mr == b->mr && a->readonly == b->readonly &&
           a->split == b->split && a->offset + (a->last - a->start) + 1 == b->offset;
}

static void merge(GArray *a)
{
    guint n = 0;
    for (guint i = 0; i < a->len; i++) {
        FlatRange *cur = &g_array_index(a, FlatRange, i);
        FlatRange *prev = n ? &g_array_index(a, FlatRange, n - 1) : NULL;
        if (prev && continues(prev, cur))
            prev->last = cur->last;
        else
            g_array_index(a, FlatRange, n++) = *cur;
    }
    g_array_set_size(a, n);
}

/* Does @w, a range of the write map, put writes to @gpa where @r reads? */
static bool same_place(const FlatRange *r, const FlatRange *w)
{
    return w->mr == r->mr && w->offset - w->start == r->offset - r->start && w->readonly == r->readonly;
}

/*
 * Cut the read map's RAM ranges where the write map differs and mark these pieces, so that only they need trapping
 * (i440FX PAM: 16 KiB pieces in the midst of low memory).
 */
static GArray *mark_split(GArray *rd, GArray *wr)
{
    GArray *out = g_array_new(FALSE, FALSE, sizeof(FlatRange));
    for (guint i = 0; i < rd->len; i++) {
        FlatRange rest = g_array_index(rd, FlatRange, i);
        for (;;) {
            guint j = first_not_below(wr, rest.start);
            FlatRange *w = j < wr->len ? &g_array_index(wr, FlatRange, j) : NULL;
            bool hit = w && w->start <= rest.start;
            uint64_t last = hit ? MIN(rest.last, w->last) : w ? MIN(rest.last, w->start - 1) : rest.last;
            FlatRange piece = rest;
            piece.last = last;
            piece.split = rest.ram && !(hit && same_place(&rest, w));
            g_array_append_val(out, piece);
            if (last == rest.last)
                break;
            uint64_t n = last - rest.start + 1;
            rest.start += n;
            rest.offset += n;
            if (rest.host)
                rest.host += n;
        }
    }
    g_array_free(rd, TRUE);
    merge(out);
    return out;
}

static GArray *render_map(MemRegion *root, unsigned kind)
{
    Render r = { g_array_new(FALSE, FALSE, sizeof(FlatRange)), kind };
    render(&r, root, 0, 0, ((Addr)1 << 64) - 1, false, 0);
    merge(r.out);
    return r.out;
}

/* Takes both lists; @wr NULL: as @rd. A blank range stands between two maps, so that their addresses differ even if one is empty. */
static View *view_pack(GArray *rd, GArray *wr)
{
    unsigned n_wr = wr ? wr->len : 0, total = rd->len + (wr ? 1 + n_wr : 0);
    View *v = g_malloc0(sizeof(*v) + total * sizeof(FlatRange));
    v->total = total;
    if (rd->len)
        memcpy(v->ranges, rd->data, rd->len * sizeof(FlatRange));
    if (n_wr)
        memcpy(v->ranges + rd->len + 1, wr->data, n_wr * sizeof(FlatRange));
    v->pub.rd = v->ranges;
    v->pub.n_rd = rd->len;
    v->pub.wr = wr ? v->ranges + rd->len + 1 : v->ranges;
    v->pub.n_wr = wr ? n_wr : rd->len;
    for (unsigned i = 0; i < total; i++)
        if (v->ranges[i].mr)
            mem_region_ref(v->ranges[i].mr);
    g_array_free(rd, TRUE);
    if (wr)
        g_array_free(wr, TRUE);
    return v;
}

View *view_build(MemRegion *root, bool partial)
{
    GArray *rd = render_map(root, MEM_R);
    GArray *wr = partial ? render_map(root, MEM_W) : NULL;
    return view_pack(wr ? mark_split(rd, wr) : rd, wr);
}

static GArray *ranges_without(const FlatRange *r, unsigned n, GuestAddr start, GuestAddr last)
{
    GArray *out = g_array_new(FALSE, FALSE, sizeof(FlatRange));
    for (unsigned i = 0; i < n; i++) {
        FlatRange before = r[i], after = r[i];
        if (r[i].last < start || r[i].start > last) {
            g_array_append_val(out, before);
            continue;
        }
        if (r[i].start < start) {
            before.last = start - 1;
            g_array_append_val(out, before);
        }
        if (r[i].last > last) {
            after.start = last + 1;
            after.offset += after.start - r[i].start;
            after.host = r[i].host ? r[i].host + (after.start - r[i].start) : NULL;
            g_array_append_val(out, after);
        }
    }
    return out;
}

View *view_without(const View *v, GuestAddr start, GuestAddr last)
{
    GArray *rd = ranges_without(v->pub.rd, v->pub.n_rd, start, last);
    return view_pack(rd, v->pub.wr == v->pub.rd ? NULL : ranges_without(v->pub.wr, v->pub.n_wr, start, last));
}

static bool ranges_equal(const FlatRange *a, unsigned n_a, const FlatRange *b, unsigned n_b)
{
    if (n_a != n_b)
        return false;
    for (unsigned i = 0; i < n_a; i++)
        if (a[i].start != b[i].start || a[i].last != b[i].last || a[i].mr != b[i].mr || a[i].offset != b[i].offset ||
            a[i].readonly != b[i].readonly || a[i].split != b[i].split)
            return false;
    return true;
}

bool view_equal(const View *a, const View *b)
{
    return ranges_equal(a->pub.rd, a->pub.n_rd, b->pub.rd, b->pub.n_rd) &&
           ranges_equal(a->pub.wr, a->pub.n_wr, b->pub.wr, b->pub.n_wr);
}

void view_free(void *view)
{
    View *v = view;
    for (unsigned i = 0; i < v->total; i++)
        mem_region_unref(v->ranges[i].mr);
    g_free(v);
}

/* Index of the first range that ends at or after @gpa, @n if there is none. */
static unsigned search(const FlatRange *r, unsigned n, GuestAddr gpa)
{
    unsigned lo = 0, hi = n;
    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        if (r[mid].last < gpa)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

const FlatRange *view_search(const FlatView *v, GuestAddr gpa, bool write)
{
    View *all = (View *)(uintptr_t)v;
    const FlatRange *r = write ? v->wr : v->rd;
    unsigned n = write ? v->n_wr : v->n_rd;
    _Atomic uint16_t *hint = &all->hint[write][(gpa ^ gpa >> 12) & (VIEW_HINTS - 1)];
    unsigned at = atomic_load_explicit(hint, memory_order_relaxed);
    if (at < n && gpa < r[at].start && (!at || gpa > r[at - 1].last))
        return NULL;           /* the same hole again */
    at = search(r, n, gpa);
    if (at <= UINT16_MAX)
        atomic_store_explicit(hint, (uint16_t)at, memory_order_relaxed);
    return at < n && r[at].start <= gpa ? &r[at] : NULL;
}

const FlatRange *view_find(const FlatView *v, GuestAddr gpa, bool write) { return view_hit(v, gpa, write); }
