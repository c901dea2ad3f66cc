/* file: a POSIX file or block device. */
#include "block/file-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { VEC_MAX = 256, BOUNCE_MAX = 1 << 20 };

char *block_path_of(const char *name)
{
    return g_strdup(g_str_has_prefix(name, "file:") ? name + 5 : name);
}

/* ---- open and close ---- */

static int fd_size(int fd, uint64_t *ret_size)
{
    off_t end = lseek(fd, 0, SEEK_END);
    *ret_size = 0;
    if (end < 0)
        return -errno;
    *ret_size = (uint64_t)end;
    return 0;
}

int block_file_size(BlockNode *file, uint64_t *ret_size)
{
    if (file->format != &block_format_file) {
        *ret_size = file->length;
        return 0;
    }
    return fd_size(((FileState *)file->state)->fd, ret_size);
}

bool block_file_is_regular(const BlockNode *file)
{
    return !((const FileState *)file->state)->device;
}

/* The smallest unit that O_DIRECT takes here. */
static uint32_t direct_align(int fd)
{
    struct statx stx;
    memset(&stx, 0, sizeof(stx));
#ifdef STATX_DIOALIGN
    if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) == 0 && (stx.stx_mask & STATX_DIOALIGN) && stx.stx_dio_offset_align)
        return MAX(stx.stx_dio_offset_align, stx.stx_dio_mem_align);
#endif
    return 4096;
}

static unsigned perms(bool writable)
{
    return BLOCK_PERM_CONSISTENT_READ | (writable ? BLOCK_PERM_WRITE | BLOCK_PERM_RESIZE : 0);
}

static bool file_setup(BlockNode *node, FileState *s, const char *path, GError **err)
{
    struct stat st;
    if (fstat(s->fd, &st) < 0 || (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))) {
        block_error(err, 0, "Could not open '%s': it is neither a regular file nor a block device", path);
        return false;
    }
    s->device = S_ISBLK(st.st_mode);
    s->align = s->direct ? direct_align(s->fd) : 1;
    int r = fd_size(s->fd, &node->length);
    if (r < 0) {
        block_error(err, r, "Could not get the size of '%s'", path);
        return false;
    }
    const BlockOpenOpts *o = &node->opts;
    if (!o->no_lock && !o->force_share && !file_lock(s->fd, path, perms(!node->read_only), BLOCK_PERM_WRITE | BLOCK_PERM_RESIZE, err))
        return false;
    node->opt_io_size = 0;
    node->discard_granularity = MAX((uint32_t)st.st_blksize, 512);
    return true;
}

static bool file_open(BlockNode *node, GError **err)
{
    FileState *s = node->state;
    g_autofree char *path = block_path_of(node->name);
    s->direct = node->opts.cache == BLOCK_CACHE_NONE || node->opts.cache == BLOCK_CACHE_DIRECTSYNC;
    /* O_NONBLOCK: a FIFO must give an error, not a hang. It means nothing for files. */
    int flags = (node->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK;
    s->fd = open(path, flags | (s->direct ? O_DIRECT : 0));
    if (s->fd < 0) {
        int e = errno;
        block_error(err, -e, "Could not open '%s'", path);
        if (err && e == EINVAL && s->direct)
            g_prefix_error(err, "the file system does not do O_DIRECT, use cache=writeback: ");
        return false;
    }
    g_mutex_init(&s->rmw);
    if (file_setup(node, s, path, err))
        return true;
    close(s->fd);
    g_mutex_clear(&s->rmw);
    return false;
}

/* Another descriptor in place of the old one, whose locks go with it. Should the new locks be refused, the old ones come
 * back: others can have taken none that exclude reading in between, or we are told. */
static bool file_set_writable(BlockNode *node, bool writable, GError **err)
{
    FileState *s = node->state;
    g_autofree char *path = block_path_of(node->name);
    bool locks = !node->opts.no_lock && !node->opts.force_share;
    int fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK | (s->direct ? O_DIRECT : 0)), old;
    if (fd < 0) {
        block_error(err, -errno, "Could not open '%s' for %s", path, writable ? "writing" : "reading");
        return false;
    }
    old = s->fd;
    if (locks)
        file_unlock(old);
    if (locks && !file_lock(fd, path, perms(writable), BLOCK_PERM_WRITE | BLOCK_PERM_RESIZE, err)) {
        close(fd);
        file_lock(old, path, perms(!writable), BLOCK_PERM_WRITE | BLOCK_PERM_RESIZE, NULL);
        return false;
    }
    s->fd = fd;
    close(old);
    return true;
}

static int file_close(BlockNode *node)
{
    FileState *s = node->state;
    g_mutex_clear(&s->rmw);
    return close(s->fd) < 0 ? -errno : 0;
}

/* ---- reading and writing ---- */

/* All of it; bytes beyond the end of the file read as zeros. */
static int fd_readv(int fd, uint64_t offset, uint64_t len, BlockIov io)
{
    struct iovec vec[VEC_MAX];
    while (len) {
        uint64_t part;
        unsigned n = biov_slice(io, len, vec, VEC_MAX, &part);
        ssize_t r = n == 1 ? pread(fd, vec->iov_base, vec->iov_len, (off_t)offset) : preadv(fd, vec, (int)n, (off_t)offset);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return -errno;
        if (r == 0) {
            biov_zero(io, len);
            return 0;
        }
        offset += (uint64_t)r;
        len -= (uint64_t)r;
        io = biov_advance(io, (uint64_t)r);
    }
    return 0;
}

static int fd_writev(int fd, uint64_t offset, uint64_t len, BlockIov io)
{
    struct iovec vec[VEC_MAX];
    while (len) {
        uint64_t part;
        unsigned n = biov_slice(io, len, vec, VEC_MAX, &part);
        ssize_t r = n == 1 ? pwrite(fd, vec->iov_base, vec->iov_len, (off_t)offset) : pwritev(fd, vec, (int)n, (off_t)offset);
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            return r < 0 ? -errno : -EIO;
        offset += (uint64_t)r;
        len -= (uint64_t)r;
        io = biov_advance(io, (uint64_t)r);
    }
    return 0;
}

static bool iov_aligned(BlockIov io, uint64_t len, uint32_t align)
{
    for (io = biov_advance(io, 0); len && io.niov; io.iov++, io.niov--, io.skip = 0) {
        uint64_t part = MIN(io.iov->iov_len - io.skip, len);
        if ((((uintptr_t)io.iov->iov_base + io.skip) | part) & (align - 1))
            return false;
        len -= part;
    }
    return true;
}

static bool is_aligned(const FileState *s, uint64_t offset, uint64_t len, BlockIov io)
{
    return s->align <= 1 || (!((offset | len) & (s->align - 1)) && iov_aligned(io, len, s->align));
}

static void *bounce_alloc(const FileState *s, uint64_t len)
{
    void *p;
    return posix_memalign(&p, MAX(s->align, 4096), len) ? NULL : p;
}

/* O_DIRECT and a request that does not fit it: through an aligned buffer, piece by piece. */
static int file_unaligned(BlockNode *node, uint64_t offset, uint64_t len, BlockIov io, bool write)
{
    FileState *s = node->state;
    uint64_t mask = s->align - 1;
    char *buf = bounce_alloc(s, BOUNCE_MAX + s->align);
    int r = buf ? 0 : -ENOMEM;
    struct iovec vec;
    /* Two neighbours in one unit must not overwrite each other with what they read before. */
    if (write)
        g_mutex_lock(&s->rmw);
    while (r == 0 && len) {
        uint64_t start = offset & ~mask, part = MIN(len, BOUNCE_MAX - (offset - start));
        uint64_t span = (offset - start + part + mask) & ~mask;
        BlockIov b = biov_buf(&vec, buf, span);
        if (!write || (offset | part) & mask)
            r = fd_readv(s->fd, start, span, b);
        if (r == 0 && write) {
            biov_to_buf(io, buf + (offset - start), part);
            r = fd_writev(s->fd, start, span, b);
            /* A raw disk must not grow by the padding. (Formats, which let their file grow, do not mind padding.) */
            if (r == 0 && node->fixed_size && start + span > node->length && !s->device &&
                ftruncate(s->fd, (off_t)node->length) < 0)
                r = -errno;
        } else if (r == 0) {
            biov_from_buf(io, buf + (offset - start), part);
        }
        offset += part;
        len -= part;
        io = biov_advance(io, part);
    }
    if (write)
        g_mutex_unlock(&s->rmw);
    free(buf);
    return r;
}

static int file_readv(BlockNode *node, uint64_t offset, uint64_t len, BlockIov io)
{
    FileState *s = node->state;
    if (!is_aligned(s, offset, len, io))
        return file_unaligned(node, offset, len, io, false);
    return fd_readv(s->fd, offset, len, io);
}

static int file_writev(BlockNode *node, uint64_t offset, uint64_t len, BlockIov io, unsigned flags)
{
    FileState *s = node->state;
    if (offset > INT64_MAX - len)
        return -EFBIG;
    if (!is_aligned(s, offset, len, io))
        return file_unaligned(node, offset, len, io, true);
    return fd_writev(s->fd, offset, len, io);
}

static int file_flush(BlockNode *node)
{
    FileState *s = node->state;
    if (node->opts.cache == BLOCK_CACHE_UNSAFE)
        return 0;
    return fdatasync(s->fd) < 0 ? -errno : 0;
}

static bool file_inline_begin(BlockNode *node, BlockReq *req, int *ret_fd, uint64_t *offset)
{
    FileState *s = node->state;
    /* io_uring hands buffered writes to threads of its own, which takes twice the CPU of ours (ext4 and tmpfs, depth 32). */
    if (req->op == BLOCK_WRITE && !s->direct)
        return false;
    if (!is_aligned(s, *offset, req->len, (BlockIov){ req->iov, req->niov, 0 }))
        return false;
    *ret_fd = s->fd;
    return true;
}

/* ---- zeros, holes, size ---- */

static int fd_fallocate(int fd, int mode, uint64_t offset, uint64_t len)
{
    while (fallocate(fd, mode, (off_t)offset, (off_t)len) < 0)
        if (errno != EINTR)
            return errno == EOPNOTSUPP || errno == ENOSYS ? -ENOTSUP : -errno;
    return 0;
}

static int device_zero(FileState *s, uint64_t offset, uint64_t len, unsigned long request)
{
    uint64_t range[2] = { offset, len };
    if ((offset | len) & 511)
        return -ENOTSUP;
    return ioctl(s->fd, request, range) < 0 ? -ENOTSUP : 0;
}

static int file_write_zeroes(BlockNode *node, uint64_t offset, uint64_t len, unsigned flags)
{
    FileState *s = node->state;
    uint64_t size;
    if (offset > INT64_MAX - len)
        return -EFBIG;
    if (s->device)
        return device_zero(s, offset, len, BLKZEROOUT);
    int r = fd_size(s->fd, &size);
    if (r < 0)
        return r;
    if (offset + len > size) {
        /* What lies beyond the end is zero already; only the size must cover it. */
        if (ftruncate(s->fd, (off_t)(offset + len)) < 0)
            return -errno;
        if (offset >= size)
            return 0;
        len = size - offset;
    }
    r = -ENOTSUP;
    if ((flags & BLOCK_REQ_MAY_UNMAP) && !g_atomic_int_get(&s->no_punch)) {
        r = fd_fallocate(s->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, len);
        if (r == -ENOTSUP)
            g_atomic_int_set(&s->no_punch, 1);
    }
    if (r == -ENOTSUP && !g_atomic_int_get(&s->no_zero_range)) {
        r = fd_fallocate(s->fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, offset, len);
        if (r == -ENOTSUP)
            g_atomic_int_set(&s->no_zero_range, 1);
    }
    return r;
}

static int file_discard(BlockNode *node, uint64_t offset, uint64_t len)
{
    FileState *s = node->state;
    if (s->device)
        device_zero(s, offset, len, BLKDISCARD);
    else if (!g_atomic_int_get(&s->no_punch) && offset <= INT64_MAX - len &&
             fd_fallocate(s->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, len) == -ENOTSUP)
        g_atomic_int_set(&s->no_punch, 1);
    return 0;       /* a hint */
}

static int file_status(BlockNode *node, uint64_t offset, uint64_t len, BlockStatus *ret_status)
{
    FileState *s = node->state;
    *ret_status = (BlockStatus){ .len = len, .flags = BLOCK_ST_DATA | BLOCK_ST_ALLOCATED | BLOCK_ST_OFFSET,
                                 .host_offset = offset, .host_file = node->name };
    if (s->device)
        return 0;
    off_t data = lseek(s->fd, (off_t)offset, SEEK_DATA);
    if (data < 0 && errno != ENXIO)
        return 0;               /* no holes here */
    if (data < 0 || (uint64_t)data > offset) {
        ret_status->flags = BLOCK_ST_ZERO | BLOCK_ST_ALLOCATED | BLOCK_ST_OFFSET;
        ret_status->len = data < 0 ? len : MIN(len, (uint64_t)data - offset);
        return 0;
    }
    off_t hole = lseek(s->fd, (off_t)offset, SEEK_HOLE);
    if (hole > (off_t)offset)
        ret_status->len = MIN(len, (uint64_t)hole - offset);
    return 0;
}

static int fill_zeros(int fd, uint64_t offset, uint64_t len)
{
    g_autofree char *zeros = g_malloc0(BOUNCE_MAX);
    struct iovec vec;
    int r = 0;
    for (uint64_t n; r == 0 && len; offset += n, len -= n) {
        n = MIN(len, BOUNCE_MAX);
        r = fd_writev(fd, offset, n, biov_buf(&vec, zeros, n));
    }
    return r;
}

int block_file_truncate(BlockNode *file, uint64_t size, BlockPrealloc prealloc)
{
    if (file->format != &block_format_file) {
        GError *ignored = NULL;
        int r = file->format->resize ? file->format->resize(file, size, prealloc, &ignored) : -ENOTSUP;
        g_clear_error(&ignored);
        return r;
    }
    FileState *s = file->state;
    uint64_t old;
    int r = fd_size(s->fd, &old);
    if (r < 0)
        return r;
    if (s->device)
        return size <= old ? 0 : -ENOSPC;
    if (size > old && prealloc == BLOCK_PREALLOC_FALLOC)
        r = fd_fallocate(s->fd, 0, old, size - old);
    else if (size > old && prealloc == BLOCK_PREALLOC_FULL)
        r = fill_zeros(s->fd, old, size - old);
    if (r < 0 && ftruncate(s->fd, (off_t)old) < 0)
        return r;
    if (r == 0 && ftruncate(s->fd, (off_t)size) < 0)
        r = -errno;
    if (r == 0)
        file->length = size;
    return r;
}

static int file_resize(BlockNode *node, uint64_t length, BlockPrealloc prealloc, GError **err)
{
    return block_file_truncate(node, length, prealloc);
}

static int file_info(BlockNode *node, BlockInfo *ret_info)
{
    struct stat st;
    if (fstat(((FileState *)node->state)->fd, &st) < 0)
        return -errno;
    ret_info->host_bytes = (int64_t)st.st_blocks * 512;
    return 0;
}

/* Truncating comes after the lock: an image in use must survive a careless create. */
bool block_file_create(BlockCtx *ctx, const char *name, GError **err)
{
    g_autofree char *path = block_path_of(name);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0644);
    if (fd < 0) {
        block_error(err, -errno, "Could not create '%s'", path);
        return false;
    }
    struct stat st;
    bool ok = file_lock(fd, path, BLOCK_PERM_WRITE | BLOCK_PERM_RESIZE, BLOCK_PERM_WRITE | BLOCK_PERM_RESIZE, err);
    if (ok && (fstat(fd, &st) < 0 || (S_ISREG(st.st_mode) && ftruncate(fd, 0) < 0))) {
        block_error(err, -errno, "Could not empty '%s'", path);
        ok = false;
    }
    close(fd);
    return ok;
}

const BlockFormat block_format_file = {
    .name = "file",
    .protocol = true,
    .state_size = sizeof(FileState),
    .open = file_open,
    .close = file_close,
    .readv = file_readv,
    .writev = file_writev,
    .write_zeroes = file_write_zeroes,
    .discard = file_discard,
    .flush = file_flush,
    .status = file_status,
    .resize = file_resize,
    .inline_begin = file_inline_begin,
    .info = file_info,
    .set_writable = file_set_writable,
};
