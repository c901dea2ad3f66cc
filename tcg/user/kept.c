/*
 * What exec leaves of the code that was mapped before: regions of files that nobody could write. Their translations stay, and nobody can get there, until
 * the new program maps the same file there again, which most do with their interpreter and libraries, and a program that executes itself with all of it.
 */
#include <sys/stat.h>

#include "tcg/user/internal.h"

enum { MAX_KEPT = 64 };

static UserRegion *kept(const UserProc *p, guint n) { return &g_array_index(p->kept, UserRegion, n); }

static GArray *list(GArray **l)
{
    if (!*l)
        *l = g_array_new(FALSE, FALSE, sizeof(UserRegion));
    return *l;
}

static bool overlap(const UserRegion *a, const UserRegion *b) { return a->start < b->end && b->start < a->end; }

static bool same(const UserRegion *a, const UserRegion *b)
{
    return a->stable && b->stable && a->start == b->start && a->end == b->end && a->offset == b->offset && a->dev == b->dev && a->ino == b->ino &&
           a->size == b->size && a->changed_ns == b->changed_ns;
}

void user_kept_not(UserProc *p, const UserRegion *r)
{
    UserRegion copy = *r;
    copy.name = NULL;
    g_array_append_val(list(&p->stale), copy);
}

static void forget(UserProc *p, guint n)
{
    user_kept_not(p, kept(p, n));
    g_array_remove_index_fast(p->kept, n);
}

void user_kept_add(UserProc *p, const UserRegion *r)
{
    UserRegion copy = *r;
    copy.name = NULL;
    if (list(&p->kept)->len == MAX_KEPT)
        forget(p, 0);
    g_array_append_val(p->kept, copy);
}

void user_kept_meet(UserProc *p, const UserRegion *r)
{
    for (guint n = p->kept ? p->kept->len : 0; n-- > 0;) {
        if (!overlap(kept(p, n), r))
            continue;
        if (same(kept(p, n), r))
            g_array_remove_index_fast(p->kept, n);
        else
            forget(p, n);
    }
}

uint64_t user_kept_home(const UserProc *p, int fd)
{
    struct stat st;
    if (!p->kept || !p->kept->len || fstat(fd, &st))
        return 0;
    for (guint n = 0; n < p->kept->len; n++)
        if (kept(p, n)->ino && kept(p, n)->ino == st.st_ino && kept(p, n)->dev == st.st_dev && kept(p, n)->start > kept(p, n)->offset)
            return kept(p, n)->start - kept(p, n)->offset;
    return 0;
}
