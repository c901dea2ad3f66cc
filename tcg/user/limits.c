/*
 * Limits of resources. Those on memory count what the guest has mapped, not the translator: they are kept here, and handed to the next program by an option.
 * The kernel hears of a limit of the stack too (a program that it starts from us gets a stack of that size), but leaves us room.
 */
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tcg/user/calls.h"

enum { STACK_LEAST = 1 << 20 };
static const uint8_t own[USER_OWN_LIMITS] = { RLIMIT_AS, RLIMIT_DATA, RLIMIT_STACK };

static struct rlimit *own_limit(UserProc *p, unsigned res)
{
    for (unsigned n = 0; n < USER_OWN_LIMITS; n++)
        if (own[n] == res)
            return &p->limits[n];
    return NULL;
}

void user_limits_init(UserProc *p)
{
    for (unsigned n = 0; n < USER_OWN_LIMITS; n++)
        getrlimit(own[n], &p->limits[n]);
    const char *from = p->options.limits;
    unsigned long long cur, max;
    for (unsigned n = 0; from && n < USER_OWN_LIMITS && sscanf(from, "%llu:%llu", &cur, &max) == 2; n++) {
        p->limits[n] = (struct rlimit){ cur, max };
        from = strchr(from, ',');
        from = from ? from + 1 : NULL;
    }
}

char *user_limits_text(const UserProc *p)
{
    GString *s = g_string_new(NULL);
    bool other = false;
    for (unsigned n = 0; n < USER_OWN_LIMITS; n++) {
        struct rlimit host;
        other |= !getrlimit(own[n], &host) && (host.rlim_cur != p->limits[n].rlim_cur || host.rlim_max != p->limits[n].rlim_max);
        g_string_append_printf(s, "%s%llu:%llu", n ? "," : "", (unsigned long long)p->limits[n].rlim_cur, (unsigned long long)p->limits[n].rlim_max);
    }
    return g_string_free(s, !other);
}

bool user_limits_room(const UserProc *p, uint64_t more)
{
    uint64_t limit = p->limits[0].rlim_cur, used = 0;
    if (limit == RLIM_INFINITY)
        return true;
    for (guint n = 0; n < p->map->len; n++) {
        const UserRegion *r = &g_array_index(p->map, UserRegion, n);
        used += r->end - r->start;
    }
    return more <= limit && used <= limit - more;
}

static bool may_raise(void)
{
    struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[2] = { 0 };
    return !syscall(SYS_capget, &head, data) && data[0].effective >> CAP_SYS_RESOURCE & 1;
}

static int64_t set_own(UserThread *t, unsigned res, struct rlimit *have, const struct rlimit *want)
{
    if (want->rlim_cur > want->rlim_max)
        return -EINVAL;
    if (want->rlim_max > have->rlim_max && !may_raise())
        return -EPERM;
    if (res == RLIMIT_STACK) {
        struct rlimit host = { MAX(want->rlim_cur, STACK_LEAST), MAX(want->rlim_max, STACK_LEAST) };
        setrlimit(res, &host);
    }
    *have = *want;
    return 0;
}

static int64_t any_limit(UserThread *t, unsigned res, uint64_t set_at, uint64_t get_at)
{
    struct rlimit want, *have = own_limit(t->proc, res), was;
    if (!have)
        return user_host_syscall(t, SYS_prlimit64, 0, res, set_at, get_at, 0, 0);
    was = *have;
    if (set_at && !user_get(t, &want, set_at, sizeof(want)))
        return -EFAULT;
    int64_t r = set_at ? set_own(t, res, have, &want) : 0;
    return r || !get_at || user_put(t, get_at, &was, sizeof(was)) ? r : -EFAULT;
}

int64_t user_sys_getrlimit(UserThread *t, const uint64_t *a)
{
    return own_limit(t->proc, (unsigned)a[0]) ? any_limit(t, (unsigned)a[0], 0, a[1] ? a[1] : USER_BAD_POINTER) : user_host_syscall(t, SYS_getrlimit, a[0], a[1], 0, 0, 0, 0);
}

int64_t user_sys_setrlimit(UserThread *t, const uint64_t *a)
{
    return own_limit(t->proc, (unsigned)a[0]) ? any_limit(t, (unsigned)a[0], a[1] ? a[1] : USER_BAD_POINTER, 0) : user_host_syscall(t, SYS_setrlimit, a[0], a[1], 0, 0, 0, 0);
}

int64_t user_sys_prlimit64(UserThread *t, const uint64_t *a)
{
    bool self = !(pid_t)a[0] || (pid_t)a[0] == getpid();
    return self ? any_limit(t, (unsigned)a[1], a[2], a[3]) : user_host_syscall(t, SYS_prlimit64, a[0], a[1], a[2], a[3], 0, 0);
}
