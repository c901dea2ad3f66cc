#include "tests/block/memlog.h"

#include <errno.h>
#include <string.h>

enum { SECTOR = 512, MEMLOG_MAX = 64 << 20 };

void memlog_init(Memlog *m, bool remember)
{
    *m = (Memlog){ .fail_after = UINT64_MAX };
    if (remember)
        m->events = g_array_new(FALSE, FALSE, sizeof(MemlogEvent));
}

void memlog_share(Memlog *m, Memlog *first, unsigned file)
{
    *m = (Memlog){ .fail_after = UINT64_MAX, .events = first->events, .file = file, .borrowed = true };
}

void memlog_clear(Memlog *m)
{
    for (guint i = 0; m->events && !m->borrowed && i < m->events->len; i++)
        g_free(g_array_index(m->events, MemlogEvent, i).data);
    if (m->events && !m->borrowed)
        g_array_free(m->events, TRUE);
    g_free(m->data);
    *m = (Memlog){ 0 };
}

static void set_size(Memlog *m, uint64_t size)
{
    if (size > m->capacity) {
        uint64_t capacity = MAX(size, m->capacity * 2);
        m->data = g_realloc(m->data, capacity);
        memset(m->data + m->capacity, 0, capacity - m->capacity);
        m->capacity = capacity;
    }
    if (size < m->size)
        memset(m->data + size, 0, m->size - size);
    m->size = size;
}

void memlog_copy(Memlog *to, const Memlog *from)
{
    set_size(to, 0);
    set_size(to, from->size);
    if (from->size)
        memcpy(to->data, from->data, from->size);
}

static void put(Memlog *m, uint64_t offset, const uint8_t *data, uint64_t len)
{
    if (!len)
        return;                /* there may be no room at all */
    set_size(m, MAX(m->size, offset + len));
    if (data)
        memcpy(m->data + offset, data, len);
    else
        memset(m->data + offset, 0, len);
}

void memlog_apply(Memlog *m, const MemlogEvent *e, GRand *rand)
{
    if (e->kind == MEMLOG_FLUSH)
        return;
    if (e->kind == MEMLOG_TRUNCATE) {
        if (!rand || g_rand_boolean(rand))
            set_size(m, e->len);
        return;
    }
    if (!rand) {
        put(m, e->offset, e->data, e->len);
        return;
    }
    int whole = g_rand_int_range(rand, 0, 4);   /* nothing, all, or sector by sector */
    for (uint64_t pos = 0, n; whole && pos < e->len; pos += n) {
        n = MIN(SECTOR - (e->offset + pos) % SECTOR, e->len - pos);
        if (whole == 1 || g_rand_boolean(rand))
            put(m, e->offset + pos, e->data ? e->data + pos : NULL, n);
    }
}

/* ---- the node ---- */

static Memlog *log_of(BlockNode *node)
{
    return *(Memlog **)node->state;
}

static int change(BlockNode *node, MemlogKind kind, uint64_t offset, uint64_t len, uint8_t *data)
{
    Memlog *m = log_of(node);
    MemlogEvent e = { kind, offset, len, data, m->file };
    uint64_t end = kind == MEMLOG_TRUNCATE ? len : offset + len;
    int r = 0;
    g_mutex_lock(&node->lock);
    if (kind != MEMLOG_FLUSH && end > m->size && m->fail_after != UINT64_MAX) {
        r = end - m->size > m->fail_after ? -ENOSPC : 0;
        m->fail_after -= r ? 0 : end - m->size;
    }
    if (r == 0) {
        memlog_apply(m, &e, NULL);
        node->length = m->size;
    }
    if (m->events && r == 0)
        g_array_append_val(m->events, e);
    else
        g_free(data);
    g_mutex_unlock(&node->lock);
    return r;
}

static bool mem_open(BlockNode *node, GError **err)
{
    return true;
}

static int mem_readv(BlockNode *node, uint64_t offset, uint64_t len, BlockIov io)
{
    Memlog *m = log_of(node);
    g_mutex_lock(&node->lock);
    uint64_t have = offset < m->size ? MIN(len, m->size - offset) : 0;
    if (have)                  /* the offset may be anything */
        biov_from_buf(io, m->data + offset, have);
    g_mutex_unlock(&node->lock);
    biov_zero(biov_advance(io, have), len - have);
    return 0;
}

static int mem_writev(BlockNode *node, uint64_t offset, uint64_t len, BlockIov io, unsigned flags)
{
    if (offset > MEMLOG_MAX || len > MEMLOG_MAX - offset)
        return -ENOSPC;
    uint8_t *data = g_malloc(len);
    biov_to_buf(io, data, len);
    return change(node, MEMLOG_WRITE, offset, len, data);
}

static int mem_write_zeroes(BlockNode *node, uint64_t offset, uint64_t len, unsigned flags)
{
    return offset > MEMLOG_MAX || len > MEMLOG_MAX - offset ? -ENOSPC : change(node, MEMLOG_ZERO, offset, len, NULL);
}

static int mem_discard(BlockNode *node, uint64_t offset, uint64_t len)
{
    Memlog *m = log_of(node);
    if (offset >= m->size)
        return 0;
    return change(node, MEMLOG_ZERO, offset, MIN(len, m->size - offset), NULL);
}

static int mem_flush(BlockNode *node)
{
    return change(node, MEMLOG_FLUSH, 0, 0, NULL);
}

static int mem_resize(BlockNode *node, uint64_t length, BlockPrealloc prealloc, GError **err)
{
    return length > MEMLOG_MAX ? -ENOSPC : change(node, MEMLOG_TRUNCATE, 0, length, NULL);
}

static const BlockFormat memlog_format = {
    .name = "memlog",
    .protocol = true,
    .state_size = sizeof(Memlog *),
    .open = mem_open,
    .readv = mem_readv,
    .writev = mem_writev,
    .write_zeroes = mem_write_zeroes,
    .discard = mem_discard,
    .flush = mem_flush,
    .resize = mem_resize,
};

BlockNode *memlog_node(BlockCtx *ctx, Memlog *m)
{
    BlockOpenOpts o = { .writable = true };
    BlockNode *node = bn_new(ctx, &memlog_format, "memory", NULL, &o, NULL);
    *(Memlog **)node->state = m;
    node->length = m->size;
    return node;
}
