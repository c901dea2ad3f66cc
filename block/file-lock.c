/*
 * Image locks between processes. Byte 100 + n of the file is locked (shared) by who uses permission n, byte 200 + n by
 * who does not want others to. These are the bytes that QEMU 7.2 uses (seen with strace and /proc/locks), so we and it
 * exclude each other. Open file description locks: they end with the descriptor, and two opens in one process conflict.
 */
#include "block/file-internal.h"

#include <errno.h>
#include <fcntl.h>

enum { LOCK_PERM = 100, LOCK_UNSHARED = 200, LOCK_BITS = 4 };

static const char *const perm_names[LOCK_BITS] = { "consistent read", "write", "write unchanged", "resize" };

static int lock_byte(int fd, int cmd, off_t byte, short type, struct flock *ret_lock)
{
    struct flock fl = { .l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };
    int r = fcntl(fd, cmd, &fl) < 0 ? -errno : 0;
    if (ret_lock)
        *ret_lock = fl;
    return r;
}

static bool lock_set(int fd, const char *name, unsigned base, unsigned bits, const char *what, GError **err)
{
    for (unsigned i = 0; i < LOCK_BITS; i++) {
        if (!(bits >> i & 1))
            continue;
        int r = lock_byte(fd, F_OFD_SETLK, base + i, F_RDLCK, NULL);
        if (r == -EAGAIN || r == -EACCES) {
            block_error(err, 0, "Failed to get %s\"%s\" lock. Is another process using the image [%s]?", what, perm_names[i], name);
            return false;
        }
        if (r < 0)
            return true;        /* a file system without locks: as good as it gets, QEMU does the same */
    }
    return true;
}

static bool lock_nobody(int fd, const char *name, unsigned base, unsigned bits, const char *what, GError **err)
{
    for (unsigned i = 0; i < LOCK_BITS; i++) {
        struct flock found;
        if (!(bits >> i & 1) || lock_byte(fd, F_OFD_GETLK, base + i, F_WRLCK, &found) < 0 || found.l_type == F_UNLCK)
            continue;
        block_error(err, 0, "Failed to get %s\"%s\" lock. Is another process using the image [%s]?", what, perm_names[i], name);
        return false;
    }
    return true;
}

bool file_lock(int fd, const char *name, unsigned perm, unsigned unshared, GError **err)
{
    return lock_set(fd, name, LOCK_PERM, perm, "", err) && lock_set(fd, name, LOCK_UNSHARED, unshared, "shared ", err) &&
           lock_nobody(fd, name, LOCK_UNSHARED, perm, "", err) && lock_nobody(fd, name, LOCK_PERM, unshared, "shared ", err);
}

void file_unlock(int fd)
{
    for (unsigned i = 0; i < LOCK_BITS; i++) {
        lock_byte(fd, F_OFD_SETLK, LOCK_PERM + i, F_UNLCK, NULL);
        lock_byte(fd, F_OFD_SETLK, LOCK_UNSHARED + i, F_UNLCK, NULL);
    }
}
