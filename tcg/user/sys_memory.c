/* System calls: memory. */
#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "tcg/user/calls.h"

int64_t user_sys_mmap(UserThread *t, const uint64_t *a) { return user_mmap(t, a[0], a[1], (int)a[2], (int)a[3], (int)a[4], a[5]); }
int64_t user_sys_munmap(UserThread *t, const uint64_t *a) { return user_munmap(t, a[0], a[1]); }
int64_t user_sys_mprotect(UserThread *t, const uint64_t *a) { return user_mprotect(t, a[0], a[1], (int)a[2]); }

/* Protection keys are the host's, and the translator's memory with them: a guest's CPU has none, as many hosts' (pkeys(7)). */
int64_t user_sys_pkey_mprotect(UserThread *t, const uint64_t *a)
{
    int key = (int)a[3];
    return key == -1 || !key ? user_mprotect(t, a[0], a[1], (int)a[2]) : -EINVAL;
}

int64_t user_sys_pkey_alloc(UserThread *t, const uint64_t *a) { return a[0] || a[1] & ~3ull ? -EINVAL : -ENOSPC; }
int64_t user_sys_pkey_free(UserThread *t, const uint64_t *a) { return -EINVAL; }

int64_t user_sys_mremap(UserThread *t, const uint64_t *a) { return user_mremap(t, a[0], a[1], a[2], (int)a[3], a[4]); }
int64_t user_sys_brk(UserThread *t, const uint64_t *a) { return user_brk(t, a[0]); }
int64_t user_sys_shmat(UserThread *t, const uint64_t *a) { return user_shmat(t, (int)a[0], a[1], (int)a[2]); }
int64_t user_sys_shmdt(UserThread *t, const uint64_t *a) { return user_shmdt(t, a[0]); }

int64_t user_sys_madvise(UserThread *t, const uint64_t *a)
{
    if (a[2] == MADV_DONTNEED || a[2] == MADV_FREE || a[2] == MADV_REMOVE)
        user_will_write(t, a[0], a[1]);      /* the bytes change */
    return user_host_syscall(t, SYS_madvise, a[0], a[1], a[2], 0, 0, 0);
}
