/* Asynchronous input and output (io_submit(2)) with plain buffers and arrays of them, memory policies (mbind(2)). Prints what a program sees. */
#include <errno.h>
#include <linux/aio_abi.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static int failed(long r) { return r < 0 ? errno : 0; }

static void events(aio_context_t ctx, int want)
{
    struct io_event ev[8];
    long n = 0, r;
    while (n < want && (r = syscall(SYS_io_getevents, ctx, 1, want - n, ev + n, NULL)) > 0)
        n += r;
    for (uint64_t tag = 1; tag <= 8; tag++)    /* in the order of their tags */
        for (long k = 0; k < n; k++)
            if (ev[k].data == tag)
                printf(" tag %d: %ld, its request: %d", (int)tag, (long)ev[k].res, ((struct iocb *)(uintptr_t)ev[k].obj)->aio_data == tag);
    printf("\n");
}

static void transfers(void)
{
    static char a[4096], b[4096], out[8192];
    aio_context_t ctx = 0;
    int fd = memfd_create("aio", 0);
    struct iovec w[2] = { { a, sizeof(a) }, { b, 1000 } }, r[2] = { { out, 10 }, { out + 4096, 4096 } };
    struct iocb cb[3] = {
        { .aio_data = 1, .aio_lio_opcode = IOCB_CMD_PWRITEV, .aio_fildes = fd, .aio_buf = (uintptr_t)w, .aio_nbytes = 2 },
        { .aio_data = 2, .aio_lio_opcode = IOCB_CMD_PREADV, .aio_fildes = fd, .aio_buf = (uintptr_t)r, .aio_nbytes = 2, .aio_offset = 4090 },
        { .aio_data = 3, .aio_lio_opcode = IOCB_CMD_PREAD, .aio_fildes = fd, .aio_buf = (uintptr_t)(out + 200), .aio_nbytes = 100, .aio_offset = 5000 },
    };
    struct iocb *list[3] = { &cb[0], &cb[1], &cb[2] }, *bad[1] = { (struct iocb *)8 };
    memset(a, 'a', sizeof(a));
    memset(b, 'b', sizeof(b));
    printf("setup: %d", failed(syscall(SYS_io_setup, 8, &ctx)));
    printf(", twice: %d, submit: %ld\n", failed(syscall(SYS_io_setup, 8, &ctx)), syscall(SYS_io_submit, ctx, 1, list));
    events(ctx, 1);
    printf("submit: %ld\n", syscall(SYS_io_submit, ctx, 2, list + 1));
    events(ctx, 2);
    printf("%.10s %.5s, arrays kept: %d\n", out, out + 4096, cb[0].aio_buf == (uintptr_t)w && cb[1].aio_buf == (uintptr_t)r);
    printf("bad: %d", failed(syscall(SYS_io_submit, ctx, 1, bad)));
    printf(" %d", failed(syscall(SYS_io_submit, ctx, 1, 8)));
    cb[0].aio_fildes = -1;
    printf(" %d %d", failed(syscall(SYS_io_submit, ctx, 1, list)), failed(syscall(SYS_io_submit, ctx + 4096, 1, list)));
    printf(" %d, destroyed: %d", failed(syscall(SYS_io_cancel, ctx, &cb[1], out)), failed(syscall(SYS_io_destroy, ctx)));
    printf(", again: %d\n", failed(syscall(SYS_io_destroy, ctx)));
}

static void policies(void)
{
    unsigned long nodes[3] = { 1, 0, 0 }, got[3] = { -1ul, -1ul, -1ul };
    int mode = -1;
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *pages[1] = { page };
    enum { BITS = sizeof(long) * 8, BIND = 2 };
    *(char *)page = 1;
    printf("mbind: %d", failed(syscall(SYS_mbind, page, 4096, BIND, nodes, BITS + 1, 0)));
    printf(", %d", failed(syscall(SYS_get_mempolicy, &mode, got, 2 * BITS + 1, page, 2)));
    printf(" mode %d nodes %lx %lx, behind them %d", mode, got[0], got[1], got[2] == -1ul);
    printf(", set: %d\n", failed(syscall(SYS_set_mempolicy, 0, NULL, 0)));
    int node = -1, r = failed(syscall(SYS_move_pages, 0, 1, pages, NULL, &node, 0));
    printf("page on node: %d %d\n", r, node);
}

int main(void)
{
    transfers();
    policies();
    return 0;
}
