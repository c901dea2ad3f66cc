/*
 * kill -9 of a process that writes to an image: it loses no page cache, so what it flushed is there, what it was writing
 * is old or new, and the image has leaks at most. (Death of the host is what test_crash replays.)
 */
#include "tests/block/check.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DISK = 4 << 20, UNIT = 4096, UNITS = DISK / UNIT, ROUNDS = 3 };

/* Between writer and judge: the number of the last write to each unit that was begun, and that was flushed. */
typedef struct Record {
    volatile uint32_t begun[UNITS], flushed[UNITS];
} Record;

static void fill(uint32_t *buf, uint32_t serial)
{
    for (unsigned i = 0; i < UNIT / 4; i++)
        buf[i] = serial;
}

static void writer(const char *path, Record *rec, uint32_t seed)
{
    GRand *rand = g_rand_new_with_seed(seed);
    BlockCtx *ctx = block_ctx_new(2);
    BlockOpenOpts o = { .format = "qcow2", .writable = true, .discard = true };
    BlockNode *node = block_open(ctx, path, &o, NULL);
    static uint32_t written[UNITS], buf[UNIT / 4];
    memcpy(written, (void *)rec->flushed, sizeof(written));
    while (node != NULL) {     /* until the kill */
        unsigned unit = (unsigned)g_rand_int_range(rand, 0, UNITS);
        uint32_t serial = g_rand_int_range(rand, 0, 8) ? rec->begun[unit] + 1 : 0;
        if (g_rand_int_range(rand, 0, 20) == 0) {
            if (block_flush(node) == 0)
                memcpy((void *)rec->flushed, written, sizeof(written));
            continue;
        }
        if (!serial)
            continue;
        fill(buf, serial);
        rec->begun[unit] = serial;
        if (block_pwrite(node, (uint64_t)unit * UNIT, buf, UNIT, 0) == 0)
            written[unit] = serial;
    }
    _exit(1);
}

static void judge(BlockCtx *ctx, const char *path, Record *rec, unsigned round)
{
    GError *err = NULL;
    BlockOpenOpts o = { .format = "qcow2", .writable = true };
    BlockNode *node = block_open(ctx, path, &o, &err);
    CHECK_OK(node, err);
    BlockCheck check = { 0 };
    CHECK(block_check(node, 0, &check) == 0 && !check.corruptions, "round %u: %" PRIu64 " corruptions", round, check.corruptions);
    for (unsigned u = 0; u < UNITS; u++) {
        uint32_t buf[UNIT / 4], least = UINT32_MAX, most = 0;      /* of clusters smaller than the unit some may be written */
        CHECK(block_pread(node, (uint64_t)u * UNIT, buf, UNIT) == 0);
        for (unsigned i = 0; i < UNIT / 4; i++) {
            CHECK(buf[i] >= rec->flushed[u] && buf[i] <= rec->begun[u], "round %u: unit %u has %u, flushed %u, begun %u", round, u, buf[i],
                  rec->flushed[u], rec->begun[u]);
            least = MIN(least, buf[i]);
            most = MAX(most, buf[i]);
        }
        rec->begun[u] = most;
        rec->flushed[u] = least;
    }
    CHECK(block_check(node, BLOCK_FIX_LEAKS, &check) == 0 && block_close(node) == 0);
}

int main(void)
{
    GError *err = NULL;
    uint32_t seed = getenv("SEED") ? (uint32_t)strtoul(getenv("SEED"), NULL, 10) : g_random_int();
    printf("SEED=%u\n", seed);
    fflush(stdout);
    GRand *rand = g_rand_new_with_seed(seed);
    Record *rec = mmap(NULL, sizeof(*rec), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    g_autofree char *dir = g_dir_make_tmp("tandem-kill-XXXXXX", NULL), *path = g_build_filename(dir, "a.qcow2", NULL);
    g_autofree char *data_path = g_build_filename(dir, "data", NULL);
    static const char *const options[][4] = {
        { "cluster_size=16k" }, { "cluster_size=512", "refcount_bits=1" }, { "cluster_size=512", "refcount_bits=64" },
        { "cluster_size=64k", "refcount_bits=1" }, { "cluster_size=64k", "lazy_refcounts=on" }, { "cluster_size=64k", "extended_l2=on" },
        { "cluster_size=4k", "data_file=data" }, { "cluster_size=4k", "data_file=data", "data_file_raw=on" }, { "cluster_size=2M", "refcount_bits=64" },
        { "cluster_size=4k", "compat=0.10" },
    };
    CHECK(rec != MAP_FAILED);
    for (unsigned round = 0; round < ROUNDS * G_N_ELEMENTS(options); round++) {
        if (round % ROUNDS == 0) {
            BlockCtx *ctx = block_ctx_new(1);
            BlockCreateOpts c = { .format = "qcow2", .name = path, .size = DISK, .have_size = true, .options = options[round / ROUNDS] };
            CHECK_OK(block_create(ctx, &c, NULL, &err), err);
            block_ctx_free(ctx);
            memset(rec, 0, sizeof(*rec));
        }
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (!pid)
            writer(path, rec, seed + round);
        g_usleep((gulong)g_rand_int_range(rand, 5000, 60000));
        kill(pid, SIGKILL);
        int status;
        CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status), "the writer ended by itself");
        BlockCtx *ctx = block_ctx_new(1);
        judge(ctx, path, rec, round);
        block_ctx_free(ctx);
    }
    g_rand_free(rand);
    unlink(path);
    unlink(data_path);
    rmdir(dir);
    return 0;
}
