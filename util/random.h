#pragma once
#include <stddef.h>

/* Fill @buf with random bytes of the host's kernel. Any thread; cannot fail. */
void random_bytes(void *buf, size_t len);
