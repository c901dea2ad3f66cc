/* Regions, views, accesses, DMA, doorbells, page flags. Random trees are compared with a naive walk of a model. */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tests/unit/check.h"
#include "util/bits.h"
#include "vmm/memory.h"

/* ---- random trees against a model ---- */

enum { UNIT = 256, SPACE = 64 * 1024, NODES = 24 };

typedef enum Kind { K_CONTAINER, K_RAM, K_ROM, K_MMIO, K_ALIAS } Kind;

typedef struct Node {
    Kind kind;
    MemRegion *mr;
    int parent;                 /* -1: not mapped */
    uint64_t offset, size, alias_offset;
    int prio, target;
    unsigned seq, access;
    bool enabled;
} Node;

typedef struct Model {
    Node n[NODES];
    unsigned seq;
} Model;

typedef struct Answer {
    int node;                   /* -1: hole */
    uint64_t offset;
    bool ro;
} Answer;

static uint64_t dummy_read(void *opaque, uint64_t off, unsigned size)
{
    return 0;
}

static void dummy_write(void *opaque, uint64_t off, uint64_t val, unsigned size)
{
}

static const MmioOps dummy_ops = { dummy_read, dummy_write, 1, 8, MMIO_LITTLE, true };

static Answer model_find(const Model *m, int node, int64_t off, unsigned kind, bool ro)
{
    const Node *n = &m->n[node];
    Answer none = { -1, 0, false };
    if (!n->enabled || !(n->access & kind) || off < 0 || (uint64_t)off >= n->size)
        return none;
    ro |= n->kind == K_ROM;
    unsigned done = 0;
    for (;;) {      /* children front to back */
        int best = -1;
        for (int i = 0; i < NODES; i++)
            if (m->n[i].parent == node && !(done >> i & 1) &&
                (best < 0 || m->n[i].prio > m->n[best].prio || (m->n[i].prio == m->n[best].prio && m->n[i].seq > m->n[best].seq)))
                best = i;
        if (best < 0)
            break;
        done |= 1u << best;
        Answer a = model_find(m, best, off - (int64_t)m->n[best].offset, kind, ro);
        if (a.node >= 0)
            return a;
    }
    if (n->kind == K_ALIAS)
        return model_find(m, n->target, off + (int64_t)n->alias_offset, kind, ro);
    if (n->kind == K_CONTAINER)
        return none;
    return (Answer){ node, (uint64_t)off, ro && n->kind != K_MMIO };
}

static uint64_t pick(GRand *r, unsigned n)
{
    return (uint64_t)g_rand_int_range(r, 0, (gint32)n);
}

static void make_node(Model *m, MemSystem *ms, GRand *r, int i)
{
    Node *n = &m->n[i];
    n->kind = i == 0 ? K_CONTAINER : (Kind)pick(r, 5);
    if (n->kind == K_ALIAS && i < 2)
        n->kind = K_MMIO;
    n->size = i == 0 ? SPACE : n->kind == K_RAM || n->kind == K_ROM ? PAGE_SIZE * (1 + pick(r, 4)) : UNIT * (1 + pick(r, 100));
    n->parent = -1;
    n->access = MEM_RW;
    n->enabled = true;
    switch (n->kind) {
    case K_CONTAINER: n->mr = mem_region_new_container(ms, "c", n->size); break;
    case K_RAM: n->mr = mem_region_new_ram(ms, "ram", n->size, NULL); break;
    case K_ROM: n->mr = mem_region_new_rom(ms, "rom", n->size, NULL); break;
    case K_MMIO: n->mr = mem_region_new_mmio(ms, "io", &dummy_ops, NULL, n->size, NULL); break;
    case K_ALIAS:       /* only to lower numbers, so there is no cycle */
        n->target = 1 + (int)pick(r, (unsigned)i - 1);
        n->alias_offset = UNIT * pick(r, 64);
        n->mr = mem_region_new_alias(ms, "alias", m->n[n->target].mr, n->alias_offset, n->size);
        break;
    }
}

/* Parents have lower numbers than children and alias targets, so any of these is legal. */
static void mutate(Model *m, GRand *r)
{
    int i = 1 + (int)pick(r, NODES - 1);
    Node *n = &m->n[i];
    switch (pick(r, 5)) {
    case 0:
        if (n->parent >= 0)
            mem_region_remove(n->mr);
        n->parent = -1;
        break;
    case 1:
    case 2:
        if (n->parent >= 0)
            break;
        n->parent = (int)pick(r, 3) ? 0 : (int)pick(r, (unsigned)i);
        if (m->n[n->parent].kind == K_ALIAS)
            n->parent = 0;
        n->offset = UNIT * pick(r, 250);
        n->prio = (int)pick(r, 3) - 1;
        n->seq = ++m->seq;
        mem_region_add(m->n[n->parent].mr, n->offset, n->mr, n->prio);
        break;
    case 3:
        n->enabled = pick(r, 4) != 0;
        mem_region_set_enabled(n->mr, n->enabled);
        break;
    default:
        n->access = pick(r, 3) ? MEM_RW : (unsigned)pick(r, 4);
        mem_region_set_access(n->mr, n->access);
        break;
    }
}

static void compare(const Model *m, AddressSpace *as)
{
    const FlatView *v = as_view(as);
    for (unsigned w = 0; w < 2; w++)
        for (uint64_t a = 0; a < SPACE; a += UNIT / 2) {
            Answer want = model_find(m, 0, (int64_t)a, w ? MEM_W : MEM_R, false);
            const FlatRange *r = view_find(v, a, w);
            CHECK((r != NULL) == (want.node >= 0));
            if (!r)
                continue;
            CHECK(r->mr == m->n[want.node].mr);
            CHECK_EQ(r->offset + (a - r->start), want.offset);
            CHECK_EQ(r->readonly, want.ro);
            Answer other = model_find(m, 0, (int64_t)a, MEM_W, false);
            if (!w && r->ram)
                CHECK_EQ(r->split, !(other.node == want.node && other.offset == want.offset && other.ro == want.ro));
            if (r->ram)
                CHECK(r->host + (a - r->start) == ram_block_host(r->ram) + want.offset);
        }
    for (unsigned i = 1; i < v->n_rd; i++)
        CHECK(v->rd[i].start > v->rd[i - 1].last);
}

static void test_random_trees(unsigned seed)
{
    GRand *r = g_rand_new_with_seed(seed);
    MemSystem *ms = mem_system_new();
    Model m = { 0 };
    for (int i = 0; i < NODES; i++)
        make_node(&m, ms, r, i);
    AddressSpace *as = as_new(ms, "test", m.n[0].mr);
    for (unsigned step = 0; step < 60; step++) {
        unsigned burst = (unsigned)pick(r, 4);
        mem_begin(ms);
        for (unsigned i = 0; i <= burst; i++)
            mutate(&m, r);
        mem_commit(ms);
        compare(&m, as);
    }
    for (int i = NODES - 1; i >= 0; i--) {
        mem_region_remove(m.n[i].mr);
        mem_region_unref(m.n[i].mr);
    }
    as_free(as);
    mem_system_free(ms);
    g_rand_free(r);
}

/* ---- accesses ---- */

typedef struct Probe {
    uint8_t bytes[64];
    unsigned reads, writes, last_size;
    uint64_t last_off, last_val;
} Probe;

static uint64_t probe_read(void *opaque, uint64_t off, unsigned size)
{
    Probe *p = opaque;
    p->reads++;
    p->last_size = size;
    p->last_off = off;
    CHECK(off + size <= sizeof(p->bytes));
    return load_le(p->bytes + off, size);
}

static void probe_write(void *opaque, uint64_t off, uint64_t val, unsigned size)
{
    Probe *p = opaque;
    p->writes++;
    p->last_size = size;
    p->last_off = off;
    p->last_val = val;
    CHECK(off + size <= sizeof(p->bytes));
    store_le(p->bytes + off, size, val);
}

static void test_access(void)
{
    static const MmioOps wide = { probe_read, probe_write, 4, 4, MMIO_LITTLE, false };
    static const MmioOps bytes = { probe_read, probe_write, 1, 1, MMIO_LITTLE, false };
    static const MmioOps big = { probe_read, probe_write, 1, 4, MMIO_BIG, false };
    Probe a = { 0 }, b = { 0 }, c = { 0 };
    uint64_t v = 0;
    uint8_t buf[16];
    for (unsigned i = 0; i < 64; i++)
        a.bytes[i] = b.bytes[i] = c.bytes[i] = (uint8_t)(i + 1);
    MemSystem *ms = mem_system_new();
    MemRegion *root = mem_region_new_container(ms, "root", 0);
    DevLock *lock = devlock_new();
    MemRegion *ma = mem_region_new_mmio(ms, "a", &wide, &a, 64, lock), *mb = mem_region_new_mmio(ms, "b", &bytes, &b, 64, NULL);
    MemRegion *mc = mem_region_new_mmio(ms, "c", &big, &c, 64, NULL);
    mem_region_add(root, 0x1000, ma, 0);
    mem_region_add(root, 0x1040, mb, 0);
    mem_region_add(root, 0x2000, mc, 0);
    AddressSpace *as = as_new(ms, "as", root);

    CHECK_EQ(as_load(as, 0x1001, 1, &v), MEM_OK);           /* widened */
    CHECK_EQ(v, 2);
    CHECK_EQ(a.last_size, 4);
    CHECK_EQ(as_store(as, 0x1002, 2, 0xbeef), MEM_OK);
    CHECK_EQ(a.last_val, 0xbeef0000);
    CHECK_EQ(as_load(as, 0x1040, 4, &v), MEM_OK);           /* split */
    CHECK_EQ(v, 0x04030201);
    CHECK_EQ(b.reads, 4);
    CHECK_EQ(as_load(as, 0x103e, 4, &v), MEM_OK);           /* across two devices */
    CHECK_EQ(v, 0x0201403f);
    CHECK_EQ(as_load(as, 0x2000, 4, &v), MEM_OK);           /* device value 0x04030201, big endian lanes */
    CHECK_EQ(v, 0x01020304);
    CHECK_EQ(as_load(as, 0x5000, 8, &v), MEM_DECODE_ERROR);
    CHECK_EQ(v, UINT64_MAX);
    CHECK_EQ(as_read(as, 0x107e, buf, 8), MEM_DECODE_ERROR);
    CHECK_EQ(buf[0], 0x3f);
    CHECK_EQ(buf[2], 0xff);
    CHECK_EQ(as_store(as, 0x5000, 4, 1), MEM_DECODE_ERROR);
    CHECK_EQ(as_load(as, UINT64_MAX - 1, 8, &v), MEM_DECODE_ERROR);
    CHECK_EQ(as_dma_read(as, 0x1000, buf, 4), MEM_ACCESS_ERROR);

    devlock_retire(lock);                                   /* the device is gone, its region is still mapped */
    unsigned n = a.reads;
    CHECK_EQ(as_load(as, 0x1000, 4, &v), MEM_OK);
    CHECK_EQ(v, 0xffffffff);
    CHECK_EQ(a.reads, n);
    as_free(as);
    mem_region_unref(ma);
    mem_region_unref(mb);
    mem_region_unref(mc);
    mem_region_unref(root);
    mem_system_free(ms);
    devlock_unref(lock);
}

/* Accesses of several threads are one after the other, and who waits for a lock gets it. */
static uint64_t counted(void *opaque, uint64_t off, unsigned size)
{
    unsigned *n = opaque, was = *n;
    if (was % 64 == 0)
        g_thread_yield();
    return *n = was + 1;
}

enum { TAKERS = 4, TAKES = 5000 };

static gpointer taker(gpointer as)
{
    uint64_t v;
    for (unsigned i = 0; i < TAKES; i++)
        CHECK_EQ(i & 1 ? as_load(as, 0, 4, &v) : as_load(as, 4, 2, &v), MEM_OK);
    return NULL;
}

static void test_contention(void)
{
    static const MmioOps ops = { counted, NULL, 1, 4, MMIO_LITTLE, false };
    unsigned n = 0;
    GThread *t[TAKERS];
    MemSystem *ms = mem_system_new();
    DevLock *lock = devlock_new();
    MemRegion *mr = mem_region_new_mmio(ms, "counter", &ops, &n, 64, lock);
    AddressSpace *as = as_new(ms, "as", mr);
    for (unsigned i = 0; i < TAKERS; i++)
        t[i] = g_thread_new("taker", taker, as);
    for (unsigned i = 0; i < TAKERS; i++)
        g_thread_join(t[i]);
    CHECK_EQ(n, TAKERS * TAKES);
    as_free(as);
    mem_region_unref(mr);
    mem_system_free(ms);
    devlock_unref(lock);
}

static void ring(void *opaque)
{
    atomic_fetch_add((_Atomic int *)opaque, 1);
}

/* What a vCPU sees is what everybody sees: devices of all kinds, their ends, holes, doorbells, RAM. */
static void test_vcpu_accesses(void)
{
    Probe a = { 0 }, b = { 0 };
    _Atomic int rung = 0;
    MemSystem *ms = mem_system_new();
    MemRegion *root = mem_region_new_container(ms, "root", 0), *ram = mem_region_new_ram(ms, "ram", 0x1000, NULL);
    MemRegion *ma = mem_region_new_mmio(ms, "a", &(MmioOps){ probe_read, probe_write, 2, 4, 0, 0 }, &a, 64, NULL);
    MemRegion *mb = mem_region_new_mmio(ms, "b", &(MmioOps){ probe_read, probe_write, 1, 1, 0, 0 }, &b, 64, NULL);
    mem_region_add(root, 0, ram, 0);
    mem_region_add(root, 0x1010, ma, 0);
    mem_region_add(root, 0x1060, mb, 0);
    mem_region_add_doorbell(ma, &(Doorbell){ .offset = 16, .size = 2, .fd = -1, .ring = ring, .opaque = &rung });
    AddressSpace *as = as_new(ms, "as", root);
    for (unsigned i = 0; i < 64; i++)
        a.bytes[i] = b.bytes[i] = (uint8_t)(i + 1);
    for (unsigned round = 0; round < 2; round++)            /* the second one without a doorbell */
        for (GuestAddr gpa = 0xff0; gpa < 0x10b0; gpa++)
            for (unsigned size = 1; size <= 8; size *= 2) {
                uint64_t v1 = 0, v2 = 0;
                MemMap map1, map2;
                CHECK_EQ(as_vcpu_load(as, gpa, size, &v1), as_load(as, gpa, size, &v2));
                CHECK_EQ(v1, v2);
                unsigned writes = a.writes + b.writes, rings = (unsigned)rung;
                MemResult r = as_store(as, gpa, size, 0x1122334455667788ull + gpa);
                writes = a.writes + b.writes - writes;
                rings = (unsigned)rung - rings;
                uint64_t last_a = a.last_val, last_b = b.last_val;
                unsigned before = a.writes + b.writes, rung_before = (unsigned)rung;
                a.last_val = b.last_val = 0;
                CHECK_EQ(as_vcpu_store(as, gpa, size, 0x1122334455667788ull + gpa), r);
                CHECK_EQ(a.writes + b.writes - before, writes);
                CHECK_EQ((unsigned)rung - rung_before, rings);
                CHECK(!writes || a.last_val == last_a || b.last_val == last_b);
                CHECK_EQ(as_vcpu_translate(as, gpa, true, &map1), as_translate(as, gpa, true, &map2));
                if (gpa == 0x10af && size == 8)
                    mem_region_clear_doorbells(ma);
            }
    CHECK(rung > 0);
    as_free(as);
    mem_region_unref(ma);
    mem_region_unref(mb);
    mem_region_unref(ram);
    mem_region_unref(root);
    mem_system_free(ms);
}

static void test_doorbells(void)
{
    Probe p = { 0 };
    _Atomic int rung = 0;
    uint64_t n = 0;
    int fd = eventfd(0, EFD_NONBLOCK);
    MemSystem *ms = mem_system_new();
    MemRegion *mr = mem_region_new_mmio(ms, "bells", &(MmioOps){ probe_read, probe_write, 1, 4, 0, 0 }, &p, 64, NULL);
    AddressSpace *as = as_new(ms, "as", mr);
    mem_region_add_doorbell(mr, &(Doorbell){ .offset = 16, .size = 2, .fd = -1, .ring = ring, .opaque = &rung });
    mem_region_add_doorbell(mr, &(Doorbell){ .offset = 20, .size = 2, .match = true, .value = 7, .fd = fd });
    as_store(as, 16, 2, 5);
    as_store(as, 16, 4, 5);         /* other size: the handler */
    as_store(as, 20, 2, 6);         /* other value */
    as_store(as, 20, 2, 7);
    CHECK_EQ(rung, 1);
    CHECK_EQ(p.writes, 2);
    CHECK(read(fd, &n, 8) == 8 && n == 1);
    mem_region_clear_doorbells(mr);
    as_store(as, 16, 2, 5);
    CHECK_EQ(p.writes, 3);
    as_free(as);
    mem_region_unref(mr);
    mem_system_free(ms);
    close(fd);
}

/* ---- RAM, DMA, PAM ---- */

static void test_ram(void)
{
    uint8_t buf[16] = { 0 };
    uint64_t v = 0;
    MemMap map;
    DmaMap dma;
    MemSystem *ms = mem_system_new();
    MemRegion *root = mem_region_new_container(ms, "root", 0);
    MemRegion *ram = mem_region_new_ram(ms, "ram", 0x100000, NULL), *rom = mem_region_new_rom(ms, "rom", 0x10000, NULL);
    MemRegion *pam = mem_region_new_alias(ms, "pam", ram, 0xf0000, 0x4000);
    mem_region_add(root, 0, ram, 0);
    mem_region_add(root, 0xf0000, rom, 1);
    mem_region_add(root, 0xf0000, pam, 2);
    mem_region_set_enabled(pam, false);
    memset(mem_region_ram_host(rom), 0xaa, 0x10000);
    AddressSpace *as = as_new(ms, "as", root);

    CHECK_EQ(as_store(as, 0x1001, 4, 0x11223344), MEM_OK);
    CHECK_EQ(as_load(as, 0x1000, 8, &v), MEM_OK);
    CHECK_EQ(v, 0x1122334400ull);
    CHECK_EQ(as_store(as, 0xf0000, 4, 1), MEM_OK);          /* ROM swallows */
    CHECK_EQ(as_load(as, 0xf0000, 4, &v), MEM_OK);
    CHECK_EQ(v, 0xaaaaaaaa);
    CHECK_EQ(as_dma_write(as, 0xf0000, buf, 4), MEM_ACCESS_ERROR);
    CHECK_EQ(as_dma_read(as, 0xeffff, buf, 4), MEM_OK);     /* RAM, then ROM */
    CHECK(buf[0] == 0 && buf[1] == 0xaa);
    CHECK_EQ(as_dma_write(as, 0x100000, buf, 4), MEM_DECODE_ERROR);

    mem_region_set_access(pam, MEM_W);                      /* read ROM, write DRAM */
    mem_region_set_enabled(pam, true);
    CHECK_EQ(as_store(as, 0xf0000, 4, 0x55667788), MEM_OK);
    CHECK_EQ(as_load(as, 0xf0000, 4, &v), MEM_OK);
    CHECK_EQ(v, 0xaaaaaaaa);
    CHECK(as_translate(as, 0xf0000, false, &map) && map.readonly && map.len == 0x4000);
    CHECK(as_translate(as, 0xf0000, true, &map) && !map.readonly && map.ram == mem_region_ram(ram) && map.ram_addr == ram_block_addr(map.ram) + 0xf0000);
    mem_region_set_access(pam, MEM_RW);                     /* DRAM only */
    CHECK_EQ(as_load(as, 0xf0000, 4, &v), MEM_OK);
    CHECK_EQ(v, 0x55667788);
    CHECK(!as_translate(as, 0x100000, false, &map));

    CHECK_EQ(as_dma_map(as, 0xe0000, 0x20000, true, &dma), MEM_OK);
    CHECK_EQ(dma.len, 0x14000);                             /* up to where PAM's window ends in ROM: RAM is contiguous there */
    as_dma_unmap(&dma, 0);
    CHECK_EQ(as_dma_map(as, 0xf4000, 4, true, &dma), MEM_ACCESS_ERROR);
    CHECK_EQ(as_dma_store(as, 0x2000, 4, 0x01020304), MEM_OK);
    CHECK_EQ(as_dma_load(as, 0x2001, 2, &v), MEM_OK);
    CHECK_EQ(v, 0x0203);
    as_free(as);
    mem_region_unref(pam);
    mem_region_unref(rom);
    mem_region_unref(ram);
    mem_region_unref(root);
    mem_system_free(ms);
}

/* ---- page flags ---- */

typedef struct Hits {
    unsigned code, revokes, runs;
    uint64_t off, len, bytes;
} Hits;

static void code_hook(void *opaque, RamBlock *b, uint64_t offset, uint64_t len)
{
    Hits *h = opaque;
    h->code++;
    h->off = offset;
    h->len = len;
    mem_pages_disarm(b, PAGE_CODE, offset, len);
}

static void count_revoke(void *opaque, PageClient client, uint64_t ram_addr, uint64_t len)
{
    ((Hits *)opaque)->revokes++;
}

static void count_run(void *opaque, RamBlock *b, uint64_t offset, uint64_t len)
{
    Hits *h = opaque;
    h->runs++;
    h->off = offset;
    h->bytes += len;
}

static void test_page_flags(void)
{
    static const MemListener listener = { .revoke = count_revoke };
    Hits h = { 0 };
    uint8_t page[PAGE_SIZE] = { 0 };
    MemSystem *ms = mem_system_new();
    MemRegion *ram = mem_region_new_ram(ms, "ram", 16 * PAGE_SIZE, NULL);
    RamBlock *b = mem_region_ram(ram);
    AddressSpace *as = as_new(ms, "as", ram);
    mem_listener_add(ms, &listener, &h);
    mem_pages_set_hook(ms, PAGE_CODE, code_hook, &h);
    mem_pages_arm(b, PAGE_CODE, 0x3000, 1);
    mem_pages_arm(b, PAGE_CODE, 0x3000, 1);                 /* armed already: nobody needs to hear of it */
    CHECK_EQ(h.revokes, 1);
    as_store(as, 0x2ffc, 4, 1);
    CHECK_EQ(h.code, 0);
    as_store(as, 0x3004, 4, 1);
    CHECK(h.code == 1 && h.off == 0x3004 && h.len == 4);
    CHECK_EQ(ram_block_flags(b)[3], 0);
    mem_pages_arm(b, PAGE_CODE, 0x3000, 1);
    as_dma_write(as, 0x2f00, page, sizeof(page));           /* DMA marks too */
    CHECK_EQ(h.code, 2);

    mem_pages_arm(b, PAGE_MIGRATION, 0, 16 * PAGE_SIZE);
    mem_pages_collect(b, PAGE_MIGRATION, 0, 16 * PAGE_SIZE, count_run, &h);
    CHECK_EQ(h.runs, 0);
    as_dma_write(as, 0x4000, page, 2 * sizeof(page) / 2);
    as_store(as, 0x5000, 1, 1);
    as_store(as, 0xf000, 8, 1);
    mem_pages_collect(b, PAGE_MIGRATION, 0, 16 * PAGE_SIZE, count_run, &h);
    CHECK(h.runs == 2 && h.bytes == 3 * PAGE_SIZE && h.off == 0xf000);
    mem_pages_collect(b, PAGE_MIGRATION, 0, 16 * PAGE_SIZE, count_run, &h);
    CHECK_EQ(h.runs, 2);
    mem_pages_arm(b, PAGE_CODE, 0x3000, 1);
    mem_pages_release(b, PAGE_CODE, 0x3000, PAGE_SIZE);     /* one client lets go; written to is nothing */
    CHECK(h.code == 3 && h.off == 0x3000 && ram_block_flags(b)[3] == PAGE_MIGRATION);
    mem_pages_release(b, PAGE_CODE, 0x3000, PAGE_SIZE);
    CHECK_EQ(h.code, 3);
    mem_listener_remove(ms, &listener, &h);
    as_free(as);
    mem_region_unref(ram);
    mem_system_free(ms);
}

/* ---- readers and a writer ---- */

typedef struct Race {
    AddressSpace *as;
    _Atomic bool stop;
    _Atomic unsigned loads;
} Race;

static void *reader(void *opaque)
{
    Race *r = opaque;
    uint64_t v;
    while (!atomic_load(&r->stop)) {
        as_load(r->as, 0x1000, 4, &v);
        CHECK(v == 0x11111111 || v == 0x22222222);
        atomic_fetch_add(&r->loads, 1);
        mem_safe_point(as_system(r->as));
    }
    return NULL;
}

static uint64_t constant_read(void *opaque, uint64_t off, unsigned size)
{
    return 0x22222222;
}

static void test_race(void)
{
    static const MmioOps ops = { constant_read, NULL, 1, 4, 0, 0 };
    MemSystem *ms = mem_system_new();
    MemRegion *root = mem_region_new_container(ms, "root", 0x10000), *ram = mem_region_new_ram(ms, "ram", 0x10000, NULL);
    mem_region_add(root, 0, ram, 0);
    Race r = { .as = as_new(ms, "as", root) };
    as_store(r.as, 0x1000, 4, 0x11111111);
    pthread_t t[2];
    for (unsigned i = 0; i < 2; i++)
        pthread_create(&t[i], NULL, reader, &r);
    for (unsigned i = 0; i < 2000 || atomic_load(&r.loads) < 1000; i++) {
        MemRegion *dev = mem_region_new_mmio(ms, "dev", &ops, NULL, 0x100, NULL);
        mem_region_add(root, 0x1000, dev, 1);
        mem_region_remove(dev);
        mem_region_unref(dev);
    }
    atomic_store(&r.stop, true);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
    as_free(r.as);
    mem_region_unref(ram);
    mem_region_unref(root);
    mem_system_free(ms);
}

int main(void)
{
    for (unsigned seed = 1; seed <= 40; seed++)
        test_random_trees(seed);
    test_access();
    test_contention();
    test_vcpu_accesses();
    test_doorbells();
    test_ram();
    test_page_flags();
    test_race();
    puts("memory: ok");
    return 0;
}
