#include <inttypes.h>
#include <string.h>

#include "util/bits.h"
#include "vmm/memory-internal.h"

/* Systems, commits, listeners, address spaces. Regions: region.c; rendering: view.c; accesses: access.c; RAM: ram.c. */

MemSystem *mem_system_new(void)
{
    MemSystem *ms = g_new0(MemSystem, 1);
    ms->publish = publish_new();
    g_mutex_init(&ms->tree_lock);
    g_mutex_init(&ms->commit_lock);
    g_mutex_init(&ms->blocks_lock);
    ms->bells = g_ptr_array_new();
    ms->spaces = g_ptr_array_new();
    ms->blocks = g_ptr_array_new();
    return ms;
}

static void drop_bells(GPtrArray *bells)
{
    for (guint i = 0; i < bells->len; i++)
        mem_region_unref(g_ptr_array_index(bells, i));
    g_ptr_array_free(bells, TRUE);
}

void mem_system_free(MemSystem *ms)
{
    if (!ms)
        return;
    g_assert(ms->spaces->len == 0);
    drop_bells(ms->bells);
    publish_free(ms->publish);      /* old views drop their regions and those their RAM */
    g_assert(ms->blocks->len == 0);
    g_ptr_array_free(ms->spaces, TRUE);
    g_ptr_array_free(ms->blocks, TRUE);
    g_free(atomic_load(&ms->listeners));
    g_free(atomic_load(&ms->hooks));
    g_mutex_clear(&ms->tree_lock);
    g_mutex_clear(&ms->commit_lock);
    g_mutex_clear(&ms->blocks_lock);
    g_free(ms);
}

void mem_system_set_scheduler(MemSystem *ms, void (*fn)(void *opaque), void *opaque)
{
    g_mutex_lock(&ms->tree_lock);
    ms->schedule = fn;
    ms->schedule_opaque = opaque;
    g_mutex_unlock(&ms->tree_lock);
}

/* Commit, or have it done, unless inside a bracket. */
static void commit_soon(MemSystem *ms, int depth_change, bool dirty)
{
    g_mutex_lock(&ms->tree_lock);
    ms->depth += (unsigned)depth_change;
    ms->dirty |= dirty;
    bool due = ms->dirty && !ms->depth;
    void (*schedule)(void *) = ms->schedule;
    void *opaque = ms->schedule_opaque;
    g_mutex_unlock(&ms->tree_lock);
    if (!due)
        return;
    if (schedule)
        schedule(opaque);
    else
        mem_commit_now(ms);
}

void mem_system_changed(MemSystem *ms)
{
    commit_soon(ms, 0, true);
}

void mem_begin(MemSystem *ms)
{
    g_mutex_lock(&ms->tree_lock);
    ms->depth++;
    g_mutex_unlock(&ms->tree_lock);
}

void mem_commit(MemSystem *ms)
{
    commit_soon(ms, -1, false);
}

unsigned mem_read_begin(MemSystem *ms)
{
    return publish_read_begin(ms->publish);
}

void mem_read_end(MemSystem *ms, unsigned token)
{
    publish_read_end(ms->publish, token);
}

void mem_safe_point(MemSystem *ms)
{
    publish_reclaim(ms->publish);
}

/* ---- listeners ---- */

static void tell_changed(MemSystem *ms, AddressSpace *as, const FlatView *old, const FlatView *new_view)
{
    ListenerSet *set = atomic_load(&ms->listeners);
    for (unsigned i = 0; set && i < set->n; i++)
        if (set->e[i].l->changed)
            set->e[i].l->changed(set->e[i].opaque, as, old, new_view);
}

static void tell_doorbells(MemSystem *ms, MemRegion *mr)
{
    ListenerSet *set = atomic_load(&ms->listeners);
    for (unsigned i = 0; set && i < set->n; i++)
        if (set->e[i].l->doorbells)
            set->e[i].l->doorbells(set->e[i].opaque, mr);
}

/* commit_lock held. */
static void replace_listeners_locked(MemSystem *ms, ListenerSet *fresh)
{
    ListenerSet *old = atomic_exchange(&ms->listeners, fresh);
    if (old)
        publish_retire(ms->publish, g_free, old);
}

void mem_listener_add(MemSystem *ms, const MemListener *l, void *opaque)
{
    static const FlatView empty = { 0 };
    g_mutex_lock(&ms->commit_lock);
    ListenerSet *old = atomic_load(&ms->listeners);
    unsigned n = old ? old->n : 0;
    ListenerSet *fresh = g_malloc(sizeof(*fresh) + (n + 1) * sizeof(fresh->e[0]));
    if (n)
        memcpy(fresh->e, old->e, n * sizeof(fresh->e[0]));
    fresh->e[n].l = l;
    fresh->e[n].opaque = opaque;
    fresh->n = n + 1;
    replace_listeners_locked(ms, fresh);
    for (guint i = 0; l->changed && i < ms->spaces->len; i++) {
        AddressSpace *as = g_ptr_array_index(ms->spaces, i);
        l->changed(opaque, as, &empty, &atomic_load(&as->view)->pub);
    }
    g_mutex_unlock(&ms->commit_lock);
}

void mem_listener_remove(MemSystem *ms, const MemListener *l, void *opaque)
{
    g_mutex_lock(&ms->commit_lock);
    ListenerSet *old = atomic_load(&ms->listeners);
    unsigned n = old ? old->n : 0;
    ListenerSet *fresh = g_malloc(sizeof(*fresh) + n * sizeof(fresh->e[0]));
    fresh->n = 0;
    for (unsigned i = 0; i < n; i++)
        if (old->e[i].l != l || old->e[i].opaque != opaque)
            fresh->e[fresh->n++] = old->e[i];
    replace_listeners_locked(ms, fresh);
    g_mutex_unlock(&ms->commit_lock);
}

/* ---- commit ---- */

static void refresh_space(MemSystem *ms, AddressSpace *as)
{
    g_mutex_lock(&ms->tree_lock);
    View *fresh = view_build(as->root, ms->partial);
    g_mutex_unlock(&ms->tree_lock);
    View *old = atomic_load(&as->view);
    if (view_equal(old, fresh)) {
        view_free(fresh);
        return;
    }
    atomic_store(&as->view, fresh);
    tell_changed(ms, as, &old->pub, &fresh->pub);
    publish_retire(ms->publish, view_free, old);
}

void mem_commit_now(MemSystem *ms)
{
    g_mutex_lock(&ms->commit_lock);
    g_mutex_lock(&ms->tree_lock);
    bool dirty = ms->dirty;
    ms->dirty = false;
    GPtrArray *bells = ms->bells;
    ms->bells = g_ptr_array_new();
    g_mutex_unlock(&ms->tree_lock);
    for (guint i = 0; dirty && i < ms->spaces->len; i++)
        refresh_space(ms, g_ptr_array_index(ms->spaces, i));
    for (guint i = 0; i < bells->len; i++)
        tell_doorbells(ms, g_ptr_array_index(bells, i));
    g_mutex_unlock(&ms->commit_lock);
    drop_bells(bells);
}

/* ---- address spaces ---- */

AddressSpace *as_new(MemSystem *ms, const char *name, MemRegion *root)
{
    static const FlatView empty = { 0 };
    AddressSpace *as = g_new0(AddressSpace, 1);
    as->ms = ms;
    as->name = g_strdup(name);
    as->root = mem_region_ref(root);
    g_mutex_lock(&ms->commit_lock);
    g_mutex_lock(&ms->tree_lock);
    atomic_init(&as->view, view_build(root, ms->partial));
    g_mutex_unlock(&ms->tree_lock);
    g_ptr_array_add(ms->spaces, as);
    tell_changed(ms, as, &empty, &atomic_load(&as->view)->pub);
    g_mutex_unlock(&ms->commit_lock);
    return as;
}

void as_free(AddressSpace *as)
{
    static const FlatView empty = { 0 };
    if (!as)
        return;
    MemSystem *ms = as->ms;
    View *v = atomic_load(&as->view);
    g_mutex_lock(&ms->commit_lock);
    g_ptr_array_remove(ms->spaces, as);
    tell_changed(ms, as, &v->pub, &empty);
    g_mutex_unlock(&ms->commit_lock);
    publish_retire(ms->publish, view_free, v);
    mem_region_unref(as->root);
    g_free(as->name);
    g_free(as);
}

const char *as_name(const AddressSpace *as)
{
    return as->name;
}

MemSystem *as_system(AddressSpace *as)
{
    return as->ms;
}

const FlatView *as_view(AddressSpace *as)
{
    return &atomic_load(&as->view)->pub;
}

void mem_remap_page(AddressSpace *as, GuestAddr gpa)
{
    MemSystem *ms = as->ms;
    g_mutex_lock(&ms->commit_lock);
    View *now = atomic_load(&as->view), *without = view_without(now, gpa & ~(GuestAddr)(PAGE_SIZE - 1), gpa | (PAGE_SIZE - 1));
    tell_changed(ms, as, &now->pub, &without->pub);
    tell_changed(ms, as, &without->pub, &now->pub);
    g_mutex_unlock(&ms->commit_lock);
    view_free(without);
}

/* ---- text ---- */

static void dump_map(GString *s, const char *title, const FlatRange *r, unsigned n)
{
    g_string_append_printf(s, "  %s\n", title);
    for (unsigned i = 0; i < n; i++)
        g_string_append_printf(s, "    %016" PRIx64 "-%016" PRIx64 " %s%s%s %s @%" PRIx64 "\n", r[i].start, r[i].last,
                               r[i].ram ? "ram" : "mmio", r[i].readonly ? " ro" : "", r[i].split ? " split" : "", r[i].mr->name,
                               r[i].offset);
}

char *mem_system_dump(MemSystem *ms)
{
    GString *s = g_string_new(NULL);
    g_mutex_lock(&ms->commit_lock);
    for (guint i = 0; i < ms->spaces->len; i++) {
        AddressSpace *as = g_ptr_array_index(ms->spaces, i);
        const FlatView *v = as_view(as);
        g_string_append_printf(s, "%s\n", as->name);
        dump_map(s, v->rd == v->wr ? "reads and writes" : "reads", v->rd, v->n_rd);
        if (v->rd != v->wr)
            dump_map(s, "writes", v->wr, v->n_wr);
    }
    g_mutex_unlock(&ms->commit_lock);
    return g_string_free(s, FALSE);
}
