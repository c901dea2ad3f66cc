/* System calls of guests with 32-bit words whose arrays of words are in memory: asynchronous input and output, memory policies. */
#include <errno.h>
#include <linux/aio_abi.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#include "tcg/user/calls.h"
#include "tcg/user/convert.h"

#define PTR(p) ((uint64_t)(uintptr_t)(p))

/* ---- asynchronous input and output ---- */
/*
 * The kernel names a context by the address of its ring, which is none of the guest's. The guest's name for it is a page of zeros (libraries look for the
 * ring's magic number there and find none) with the kernel's name at its end; what the guest writes there the kernel checks.
 */
enum { NAME_AT = USER_PAGE - 8, MAX_IOCBS = 65536 };

static bool kernel_context(UserThread *t, uint64_t guest, uint64_t *ret) { return guest && !(guest & (USER_PAGE - 1)) && user_get(t, ret, guest + NAME_AT, 8); }

int64_t user_sys_small_io_setup(UserThread *t, const uint64_t *a)
{
    uint64_t ctx = 0, was;
    if (!user_get_word(t, &was, a[1]))
        return -EFAULT;
    if (was)
        return -EINVAL;
    t->proc->lasting = true;   /* only the kernel's exec ends what is under way */
    int64_t r = user_host_syscall(t, SYS_io_setup, a[0], PTR(&ctx), 0, 0, 0, 0);
    if (r)
        return r;
    int64_t page = user_mmap(t, 0, USER_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool ok = page > 0 && user_put(t, (uint64_t)page + NAME_AT, &ctx, 8) && user_put(t, a[1], &page, user_word(t->call_abi));
    if (ok)
        return 0;
    if (page > 0)
        user_munmap(t, (uint64_t)page, USER_PAGE);
    syscall(SYS_io_destroy, ctx);
    return page < 0 ? page : -EFAULT;
}

int64_t user_sys_small_io_destroy(UserThread *t, const uint64_t *a)
{
    uint64_t ctx;
    if (!kernel_context(t, a[0], &ctx))
        return -EINVAL;
    int64_t r = user_host_syscall(t, SYS_io_destroy, ctx, 0, 0, 0, 0, 0);
    if (!r)
        user_munmap(t, a[0], USER_PAGE);
    return r;
}

/* One request. The kernel reads an array of iovec while it takes the request, and knows the request by its address: the array is exchanged for that time. */
static int64_t submit_one(UserThread *t, uint64_t ctx, uint64_t at)
{
    struct iocb cb;
    struct iovec *iov = NULL;
    int64_t r = user_get(t, &cb, at, sizeof(cb)) ? 0 : -EFAULT;
    bool vector = !r && (cb.aio_lio_opcode == IOCB_CMD_PREADV || cb.aio_lio_opcode == IOCB_CMD_PWRITEV);
    if (vector) {
        uint64_t was = cb.aio_buf;
        r = user_iovec_get(t, was, cb.aio_nbytes, &iov);
        cb.aio_buf = PTR(iov);
        r = r || user_put(t, at, &cb, sizeof(cb)) ? r : -EFAULT;
        r = r ? r : user_host_syscall(t, SYS_io_submit, ctx, 1, PTR(&at), 0, 0, 0);
        user_put(t, at + offsetof(struct iocb, aio_buf), &was, sizeof(was));
    } else if (!r) {
        r = user_host_syscall(t, SYS_io_submit, ctx, 1, PTR(&at), 0, 0, 0);
    }
    g_free(iov);
    return r;
}

int64_t user_sys_small_io_submit(UserThread *t, const uint64_t *a)
{
    uint64_t ctx, at;
    int32_t n = (int32_t)a[1];
    int64_t r = 0, done = 0;
    if (!kernel_context(t, a[0], &ctx) || n < 0)
        return -EINVAL;
    if (!n)
        return user_host_syscall(t, SYS_io_submit, ctx, 0, PTR(&ctx), 0, 0, 0);
    for (; done < MIN(n, MAX_IOCBS) && r >= 0; done += r > 0) {
        r = user_get_word(t, &at, a[2] + (uint64_t)done * user_word(t->call_abi)) ? submit_one(t, ctx, at) : -EFAULT;
        if (!r)
            break;
    }
    return done ? done : r;
}

int64_t user_sys_small_io_cancel(UserThread *t, const uint64_t *a)
{
    uint64_t ctx;
    return kernel_context(t, a[0], &ctx) ? user_host_syscall(t, SYS_io_cancel, ctx, a[1], a[2], 0, 0, 0) : -EINVAL;
}

int64_t user_sys_small_io_getevents(UserThread *t, const uint64_t *a)
{
    uint64_t ctx;
    if (!kernel_context(t, a[0], &ctx))
        return -EINVAL;
    user_will_write(t, a[3], (uint64_t)MIN((uint32_t)a[2], MAX_IOCBS) * sizeof(struct io_event));
    return user_host_syscall(t, SYS_io_getevents, ctx, (uint64_t)(int64_t)(int32_t)a[1], (uint64_t)(int64_t)(int32_t)a[2], a[3], a[4], 0);
}

/* ---- memory policies: sets of nodes in words that are shorter than the kernel's, their order in memory is the same ---- */
enum { NODE_BYTES = 4096, MAX_PAGES = 65536 };      /* the kernel takes no more than a page of them */
typedef struct Nodes { uint64_t bits[NODE_BYTES / 8 + 1]; uint64_t bytes; } Nodes;

/* @max: the number of bits and one more, as these calls have it. Returns what to pass to the host. */
static uint64_t nodes_in(UserThread *t, Nodes *n, uint64_t at, uint64_t max, bool read)
{
    uint64_t word = user_word(t->call_abi) * 8;
    memset(n, 0, sizeof(*n));
    n->bytes = MIN(max + word - 2, (uint64_t)NODE_BYTES * 8) / word * (word / 8);
    if (!at || max < 2)
        return at;
    return read && !user_get(t, n->bits, at, n->bytes) ? USER_BAD_POINTER : PTR(n->bits);
}

int64_t user_sys_small_mbind(UserThread *t, const uint64_t *a)
{
    Nodes n;
    uint64_t nodes = nodes_in(t, &n, a[3], (uint32_t)a[4], true);
    return user_host_syscall(t, SYS_mbind, a[0], a[1], (uint64_t)(int64_t)(int32_t)a[2], nodes, a[4], a[5]);
}

int64_t user_sys_small_set_mempolicy(UserThread *t, const uint64_t *a)
{
    Nodes n;
    uint64_t nodes = nodes_in(t, &n, a[1], (uint32_t)a[2], true);
    return user_host_syscall(t, SYS_set_mempolicy, (uint64_t)(int64_t)(int32_t)a[0], nodes, a[2], 0, 0, 0);
}

int64_t user_sys_small_get_mempolicy(UserThread *t, const uint64_t *a)
{
    Nodes n;
    uint64_t max = MIN((uint32_t)a[2], NODE_BYTES * 8 + 1);
    uint64_t nodes = nodes_in(t, &n, a[1], max, false);
    int64_t r = user_host_syscall(t, SYS_get_mempolicy, a[0], nodes, a[2], a[3], a[4], 0);
    return r < 0 || !a[1] || max < 2 || user_put(t, a[1], n.bits, n.bytes) ? r : -EFAULT;
}

int64_t user_sys_small_migrate_pages(UserThread *t, const uint64_t *a)
{
    Nodes from, to;
    uint64_t f = nodes_in(t, &from, a[2], (uint32_t)a[1], true), g = nodes_in(t, &to, a[3], (uint32_t)a[1], true);
    return user_host_syscall(t, SYS_migrate_pages, a[0], a[1], f, g, 0, 0);
}

int64_t user_sys_small_move_pages(UserThread *t, const uint64_t *a)
{
    uint32_t n = (uint32_t)a[1];
    if (n > MAX_PAGES)
        return -E2BIG;
    g_autofree uint64_t *pages = g_new0(uint64_t, (gsize)n + 1);
    for (uint32_t k = 0; k < n; k++)
        if (!user_get_word(t, &pages[k], a[2] + (uint64_t)k * user_word(t->call_abi)))
            return -EFAULT;
    return user_host_syscall(t, SYS_move_pages, a[0], n, PTR(pages), a[3], a[4], a[5]);
}
