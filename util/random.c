#include "util/random.h"

#include <glib.h>
#include <stdint.h>
#include <sys/random.h>

void random_bytes(void *buf, size_t len)
{
    uint8_t *p = buf;
    while (len) {
        ssize_t n = getrandom(p, len, 0);
        /* Only EINTR can happen: the pool is ready once the host has booted, and @buf is ours. */
        if (n <= 0)
            continue;
        p += n;
        len -= (size_t)n;
    }
}
