/* modify_ldt(2): a process's own descriptors, for selectors with the table indicator set. */
#include <asm/ldt.h>
#include <errno.h>
#include <string.h>

#include "tcg/user/x86/x86_user.h"

enum { LDT_BYTES = LDT_ENTRIES * LDT_ENTRY_SIZE, DEFAULT_LDT_BYTES = 128, LDT_ATTR = 0x82 /* present, a table of segments */, CONFORMING = 3 };

/* Threads share it; its length is the same from the first call on, entries that nobody wrote are not present. */
typedef struct Ldt { uint64_t entry[LDT_ENTRIES]; unsigned n; } Ldt;

/* For all threads, of which none can have used the table before. NULL: no memory. */
static Ldt *table(UserThread *t)
{
    UserProc *p = t->proc;
    pthread_mutex_lock(&p->thread_lock);
    if (!p->own) {
        Ldt *l = p->own = g_try_new0(Ldt, 1);
        for (guint n = 0; l && n < p->threads->len; n++)
            x86_user_state(p->threads->pdata[n])->seg[X86_LDTR] =
                (X86Seg){ .sel = 8, .base = (uint64_t)(uintptr_t)l->entry, .limit = LDT_BYTES - 1, .attr = LDT_ATTR };
        p->lasting = true;     /* exec undoes it */
    }
    pthread_mutex_unlock(&p->thread_lock);
    return p->own;
}

static int64_t read_table(UserThread *t, uint64_t at, uint64_t bytes)
{
    const Ldt *l = t->proc->own;
    if (!l)
        return 0;
    bytes = MIN(bytes, LDT_BYTES);
    uint64_t filled = MIN(bytes, l->n * (uint64_t)LDT_ENTRY_SIZE);
    g_autofree uint8_t *all = g_malloc0(bytes + 1);
    memcpy(all, l->entry, filled);
    return user_put(t, at, all, bytes) ? (int64_t)bytes : -EFAULT;
}

static int64_t read_default(UserThread *t, uint64_t at, uint64_t bytes)
{
    static const uint8_t none[DEFAULT_LDT_BYTES];
    bytes = MIN(bytes, sizeof(none));
    return user_put(t, at, none, bytes) ? (int64_t)bytes : -EFAULT;
}

/* @old: the first form of the call, which has no "useable" and other ways to say "none". */
static int64_t write_entry(UserThread *t, uint64_t at, uint64_t bytes, bool old)
{
    struct user_desc u;
    if (bytes != sizeof(u))
        return -EINVAL;
    if (!user_get(t, &u, at, sizeof(u)))
        return -EFAULT;
    if (u.entry_number >= LDT_ENTRIES || (u.contents == CONFORMING && (old || !u.seg_not_present)))
        return -EINVAL;
    Ldt *l = table(t);
    if (!l)
        return -ENOMEM;
    bool clear = (old && !u.base_addr && !u.limit) || x86_user_desc_empty(&u);
    if (old)
        u.useable = 0;
    __atomic_store_n(&l->entry[u.entry_number], clear ? 0 : x86_user_desc(&u), __ATOMIC_RELEASE);
    l->n = MAX(l->n, u.entry_number + 1);
    x86_user_reload(t, (uint16_t)(u.entry_number << 3 | 4));
    return 0;
}

int64_t x86_user_modify_ldt(UserThread *t, const uint64_t *a)
{
    int64_t r = -ENOSYS;
    switch ((int)a[0]) {
    case 0: r = read_table(t, a[1], a[2]); break;
    case 1: r = write_entry(t, a[1], a[2], true); break;
    case 2: r = read_default(t, a[1], a[2]); break;
    case 0x11: r = write_entry(t, a[1], a[2], false); break;
    }
    return (int64_t)(uint32_t)r;       /* an int in the register, also where that has 64 bits */
}

uint64_t x86_user_ldt_entry(const UserThread *t, uint16_t sel)
{
    const Ldt *l = t->proc->own;
    return l ? __atomic_load_n(&l->entry[sel >> 3], __ATOMIC_ACQUIRE) : 0;
}
