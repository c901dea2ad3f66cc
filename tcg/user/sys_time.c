/* System calls: clocks. What the host's vDSO knows needs no system call of the host: for programs without a vDSO of their own, or whose vDSO calls us. */
#include <errno.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

#include "tcg/user/calls.h"

static bool by_vdso(clockid_t id)
{
    switch (id) {
    case CLOCK_REALTIME: case CLOCK_MONOTONIC: case CLOCK_MONOTONIC_RAW: case CLOCK_REALTIME_COARSE: case CLOCK_MONOTONIC_COARSE: case CLOCK_BOOTTIME: case CLOCK_TAI:
        return true;
    default:
        return false;
    }
}

int64_t user_sys_clock_gettime(UserThread *t, const uint64_t *a)
{
    struct timespec ts;
    if (!by_vdso((clockid_t)a[0]) || clock_gettime((clockid_t)a[0], &ts))
        return user_host_syscall(t, SYS_clock_gettime, a[0], a[1], 0, 0, 0, 0);
    return user_put(t, a[1], &ts, sizeof(ts)) ? 0 : -EFAULT;
}

int64_t user_sys_gettimeofday(UserThread *t, const uint64_t *a)
{
    struct timeval tv;
    if (a[1] || !a[0] || gettimeofday(&tv, NULL))
        return user_host_syscall(t, SYS_gettimeofday, a[0], a[1], 0, 0, 0, 0);
    return user_put(t, a[0], &tv, sizeof(tv)) ? 0 : -EFAULT;
}
