#include "block/format.h"

#include <string.h>

unsigned biov_slice(BlockIov io, uint64_t len, struct iovec *vec, unsigned max, uint64_t *ret_len)
{
    unsigned n = 0;
    uint64_t got = 0;
    io = biov_advance(io, 0);
    while (got < len && n < max && io.niov) {
        uint64_t part = MIN(io.iov->iov_len - io.skip, len - got);
        if (part)
            vec[n++] = (struct iovec){ (char *)io.iov->iov_base + io.skip, part };
        got += part;
        io.iov++;
        io.niov--;
        io.skip = 0;
    }
    *ret_len = got;
    return n;
}

enum { TO_BUF, FROM_BUF, TO_ZERO };

static void iov_walk(BlockIov io, char *buf, uint64_t len, int what)
{
    io = biov_advance(io, 0);
    while (len && io.niov) {
        uint64_t part = MIN(io.iov->iov_len - io.skip, len);
        char *p = (char *)io.iov->iov_base + io.skip;
        if (what == TO_BUF)
            memcpy(buf, p, part);
        else if (what == FROM_BUF)
            memcpy(p, buf, part);
        else
            memset(p, 0, part);
        buf = buf ? buf + part : NULL;
        len -= part;
        io = biov_advance(io, part);
    }
}

void biov_from_buf(BlockIov io, const void *buf, uint64_t len)
{
    iov_walk(io, (char *)buf, len, FROM_BUF);
}

void biov_to_buf(BlockIov io, void *buf, uint64_t len)
{
    iov_walk(io, buf, len, TO_BUF);
}

void biov_zero(BlockIov io, uint64_t len)
{
    iov_walk(io, NULL, len, TO_ZERO);
}

bool buf_is_zero(const void *buf, uint64_t len)
{
    /* Compare the buffer with itself, shifted: one memcmp at full vector speed once 16 bytes are known to be zero. */
    const uint8_t *p = buf;
    uint64_t head = MIN(len, 16);
    for (uint64_t i = 0; i < head; i++)
        if (p[i])
            return false;
    return len <= 16 || !memcmp(p, p + 16, len - 16);
}

bool biov_is_zero(BlockIov io, uint64_t len)
{
    io = biov_advance(io, 0);
    while (len && io.niov) {
        uint64_t part = MIN(io.iov->iov_len - io.skip, len);
        if (!buf_is_zero((char *)io.iov->iov_base + io.skip, part))
            return false;
        len -= part;
        io = biov_advance(io, part);
    }
    return true;
}
