#include "block/vhdx-log.h"

#include <errno.h>
#include <string.h>

enum { LOG_SECTOR = 4096, ENTRY_HEADER = 64, DESCRIPTOR = 32, LOG_MAX = 64 << 20, CHECKSUMS_MAX = 4 /* times the log's length, in all */ };

typedef struct Patch {
    uint64_t offset, len;
    uint8_t *data;              /* NULL: zeros */
} Patch;

struct VhdxLog {
    GArray *patches;            /* of Patch, oldest first */
    uint64_t last_offset;       /* the file is at least this long */
};

typedef struct Scan {
    const uint8_t *log, *guid;
    uint64_t length, budget;
    uint32_t crc[256];
    struct { uint32_t len; uint64_t sequence; } *slots;         /* valid entries; len 0: none begins here */
} Scan;

static uint32_t le32(const uint8_t *p)
{
    return (uint32_t)p[3] << 24 | p[2] << 16 | p[1] << 8 | p[0];
}

static uint64_t le64(const uint8_t *p)
{
    return (uint64_t)le32(p + 4) << 32 | le32(p);
}

/* Castagnoli's polynomial, reflected (2.2.2). */
static void crc_init(uint32_t table[256])
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++)
            c = c & 1 ? c >> 1 ^ 0x82f63b78 : c >> 1;
        table[i] = c;
    }
}

/* Of the ring, which an entry may run round. */
static uint8_t log_byte(const Scan *s, uint64_t at)
{
    return s->log[at % s->length];
}

static const uint8_t *sector(const Scan *s, uint64_t at)
{
    return s->log + at % s->length;
}

static uint32_t checksum(const Scan *s, uint64_t at, uint32_t len)
{
    uint32_t c = 0xffffffff;
    for (uint32_t i = 0; i < len; i++)
        c = s->crc[(c ^ (i >= 4 && i < 8 ? 0 : log_byte(s, at + i))) & 0xff] ^ c >> 8;
    return c ^ 0xffffffff;
}

/* 2.3.1.1. How many data sectors the descriptors announce must fit the length. */
static bool entry_valid(Scan *s, uint64_t at)
{
    const uint8_t *h = sector(s, at);
    uint32_t len = le32(h + 8), descriptors = le32(h + 24);
    if (memcmp(h, "loge", 4) || len < LOG_SECTOR || len > s->length || len % LOG_SECTOR || le32(h + 12) % LOG_SECTOR || le32(h + 12) >= s->length ||
        memcmp(h + 32, s->guid, 16) || descriptors > (len - ENTRY_HEADER) / DESCRIPTOR || !le64(h + 16) || len > s->budget)
        return false;
    s->budget -= len;
    if (checksum(s, at, len) != le32(h + 4))
        return false;
    uint64_t head = (ENTRY_HEADER + (uint64_t)descriptors * DESCRIPTOR + LOG_SECTOR - 1) / LOG_SECTOR, data = 0;
    for (uint32_t i = 0; i < descriptors; i++) {
        const uint8_t *d = sector(s, at + ENTRY_HEADER + (uint64_t)i * DESCRIPTOR);
        bool is_data = !memcmp(d, "desc", 4);
        if ((!is_data && memcmp(d, "zero", 4)) || le64(d + 24) != le64(h + 16) || le64(d + 16) > INT64_MAX || le64(d + 16) % LOG_SECTOR ||
            (!is_data && (le64(d + 8) > INT64_MAX - le64(d + 16) || le64(d + 8) % LOG_SECTOR)))
            return false;
        data += is_data;
    }
    return (head + data) * LOG_SECTOR == len;
}

/* The sequence that begins at slot @first: entries one behind the other with numbers that go up by one (2.3.2). */
static uint64_t walk(const Scan *s, uint64_t first, uint64_t *ret_last)
{
    uint64_t n = s->length / LOG_SECTOR, at = first, used = 0, number = s->slots[first].sequence;
    while (s->slots[at].len && s->slots[at].sequence == number && used + s->slots[at].len <= s->length) {
        *ret_last = at;
        number++;
        used += s->slots[at].len;
        at = (at + s->slots[at].len / LOG_SECTOR) % n;
    }
    return number - s->slots[first].sequence;
}

/* The active sequence: from the tail that its newest entry names up to that entry, which has the highest number. */
static bool find_active(const Scan *s, uint64_t *ret_tail, uint64_t *ret_entries)
{
    uint64_t n = s->length / LOG_SECTOR, best = 0, last = 0;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t count = s->slots[i].len ? walk(s, i, &last) : 0;
        if (!count || le32(s->log + last * LOG_SECTOR + 12) / LOG_SECTOR != i || s->slots[last].sequence <= best)
            continue;
        best = s->slots[last].sequence;
        *ret_tail = i;
        *ret_entries = count;
    }
    return best;
}

static bool take_entry(const Scan *s, uint64_t at, VhdxLog *log, uint64_t file_size)
{
    const uint8_t *h = sector(s, at);
    uint32_t descriptors = le32(h + 24);
    uint64_t data_at = at + (ENTRY_HEADER + (uint64_t)descriptors * DESCRIPTOR + LOG_SECTOR - 1) / LOG_SECTOR * LOG_SECTOR;
    if (le64(h + 48) > file_size)
        return false;           /* the file lost what had been flushed */
    log->last_offset = MAX(log->last_offset, le64(h + 56));
    for (uint32_t i = 0; i < descriptors; i++) {
        const uint8_t *d = sector(s, at + ENTRY_HEADER + (uint64_t)i * DESCRIPTOR), *x = sector(s, data_at);
        Patch p = { le64(d + 16), le64(d + 8), NULL };
        if (!memcmp(d, "desc", 4)) {
            uint64_t sequence = (uint64_t)le32(x + 4) << 32 | le32(x + LOG_SECTOR - 4);
            if (memcmp(x, "data", 4) || sequence != le64(h + 16))
                return false;
            p.len = LOG_SECTOR;
            p.data = g_memdup2(x, LOG_SECTOR);
            memcpy(p.data, d + 8, 8);
            memcpy(p.data + LOG_SECTOR - 4, d + 4, 4);
            data_at += LOG_SECTOR;
        }
        g_array_append_val(log->patches, p);
    }
    return true;
}

static bool replay(Scan *s, VhdxLog *log, uint64_t file_size)
{
    uint64_t n = s->length / LOG_SECTOR, tail, entries;
    crc_init(s->crc);
    for (uint64_t i = 0; i < n; i++)
        if (entry_valid(s, i * LOG_SECTOR)) {
            s->slots[i].len = le32(s->log + i * LOG_SECTOR + 8);
            s->slots[i].sequence = le64(s->log + i * LOG_SECTOR + 16);
        }
    if (!find_active(s, &tail, &entries))
        return false;
    for (; entries; entries--) {
        if (!take_entry(s, tail * LOG_SECTOR, log, file_size))
            return false;
        tail = (tail + s->slots[tail].len / LOG_SECTOR) % n;
    }
    return true;
}

VhdxLog *vhdx_log_open(BlockNode *node, const uint8_t guid[16], uint64_t offset, uint64_t length, GError **err)
{
    uint64_t size = 0;
    if (!length || length > LOG_MAX || length % (1 << 20)) {
        ro_bad(node, err, "impossible place of the log in its header");
        return NULL;
    }
    block_file_size(node->file, &size);
    g_autofree uint8_t *bytes = ro_read_table(node, offset, length, 1, "log", err);
    if (!bytes)
        return NULL;
    VhdxLog *log = g_new0(VhdxLog, 1);
    log->patches = g_array_new(FALSE, FALSE, sizeof(Patch));
    Scan s = { .log = bytes, .guid = guid, .length = length, .budget = CHECKSUMS_MAX * length };
    s.slots = g_malloc0_n(length / LOG_SECTOR, sizeof(*s.slots));
    bool ok = replay(&s, log, size);
    g_free(s.slots);
    if (ok)
        return log;
    vhdx_log_free(log);
    ro_bad(node, err, "its log must be replayed first, but is damaged; 'qemu-img check -r all' on a copy may help");
    return NULL;
}

void vhdx_log_free(VhdxLog *log)
{
    if (!log)
        return;
    for (guint i = 0; i < log->patches->len; i++)
        g_free(g_array_index(log->patches, Patch, i).data);
    g_array_free(log->patches, TRUE);
    g_free(log);
}

int vhdx_log_read(const VhdxLog *log, BlockNode *node, uint64_t offset, void *buf, uint64_t len)
{
    int r = bn_read(node->file, offset, buf, len);
    for (guint i = 0; r == 0 && log && i < log->patches->len; i++) {
        const Patch *p = &g_array_index(log->patches, Patch, i);
        uint64_t lo = MAX(p->offset, offset), hi = MIN(p->offset + p->len, offset + len);
        if (lo >= hi)
            continue;
        if (p->data)
            memcpy((uint8_t *)buf + (lo - offset), p->data + (lo - p->offset), hi - lo);
        else
            memset((uint8_t *)buf + (lo - offset), 0, hi - lo);
    }
    return r;
}

uint64_t vhdx_log_file_size(const VhdxLog *log, uint64_t size)
{
    return log ? MAX(size, log->last_offset) : size;
}
