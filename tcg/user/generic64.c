/* What newer 64-bit guests share: asm-generic's numbers of system calls (not the host's: sys/syscall.h must stay out of here) and struct stat. */
#define __BITS_PER_LONG 64
#define __ARCH_WANT_SET_GET_RLIMIT
#define __ARCH_WANT_NEW_STAT
#define __ARCH_WANT_SYS_CLONE3
#define __ARCH_WANT_MEMFD_SECRET
#define __ARCH_WANT_TIME32_SYSCALLS
#include <asm-generic/unistd.h>
#include <string.h>
#include <sys/stat.h>

#include "tcg/user/internal.h"

const uint16_t user_generic_syscalls[USER_GENERIC_SYSCALLS] = {
#define SYS(name, args) [__NR_##name] = USYS_##name,
#define SYSX(name, fn, args) [__NR_##name] = USYS_##name,
#define OLD(name, args)
#define OLDX(name, fn, args)
#define NEW(name, nr, args) [nr] = USYS_##name,
#include "tcg/user/syscalls.def"
#undef SYS
#undef SYSX
    [38] = USYS_renameat,      /* AArch64 has it, and nobody else another one */
    [259] = USYS_riscv_flush_icache,   /* __NR_arch_specific_syscall + 15; nobody else has the number */
};

/* asm-generic/stat.h */
typedef struct GenericStat {
    uint64_t dev, ino;
    uint32_t mode, nlink, uid, gid;
    uint64_t rdev, pad1;
    int64_t size;
    int32_t blksize, pad2;
    int64_t blocks, atime, atime_nsec, mtime, mtime_nsec, ctime, ctime_nsec;
    uint32_t unused4, unused5;
} GenericStat;
_Static_assert(sizeof(GenericStat) == 128, "asm-generic/stat.h");

unsigned user_generic_put_stat(void *guest, const void *host_stat)
{
    const struct stat *h = host_stat;
    GenericStat g = { .dev = h->st_dev, .ino = h->st_ino, .mode = h->st_mode, .nlink = (uint32_t)h->st_nlink, .uid = h->st_uid, .gid = h->st_gid,
                      .rdev = h->st_rdev, .size = h->st_size, .blksize = (int32_t)h->st_blksize, .blocks = h->st_blocks,
                      .atime = h->st_atim.tv_sec, .atime_nsec = h->st_atim.tv_nsec, .mtime = h->st_mtim.tv_sec, .mtime_nsec = h->st_mtim.tv_nsec,
                      .ctime = h->st_ctim.tv_sec, .ctime_nsec = h->st_ctim.tv_nsec };
    memcpy(guest, &g, sizeof(g));
    return sizeof(g);
}
