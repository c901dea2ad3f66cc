#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <unistd.h>

/* An oracle: a program behind two pipes (Debian's user-mode QEMU) that runs one case after the other. */

typedef struct Oracle { int to, from; } Oracle;

/* @argv[0] is the whole path. False: it is not here. */
static inline bool oracle_start(Oracle *o, char *const argv[])
{
    int in[2], out[2];
    if (access(argv[0], X_OK) || pipe(in) || pipe(out))
        return false;
    if (!fork()) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        close(in[1]);
        close(out[0]);
        execv(argv[0], argv);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    *o = (Oracle){ .to = in[1], .from = out[0] };
    return true;
}

/* Send a case, wait for its result; false: the oracle is dead. */
static inline bool oracle_ask(const Oracle *o, const void *in, size_t in_size, void *out, size_t out_size)
{
    for (size_t n = 0; n < in_size;) {
        ssize_t r = write(o->to, (const char *)in + n, in_size - n);
        if (r <= 0)
            return false;
        n += (size_t)r;
    }
    for (size_t n = 0; n < out_size;) {
        ssize_t r = read(o->from, (char *)out + n, out_size - n);
        if (r <= 0)
            return false;
        n += (size_t)r;
    }
    return true;
}
