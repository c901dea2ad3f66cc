#!/bin/sh
# usage: names.sh COMPILER...: the system calls of the compiler's CPU as a table in C
echo 'static const struct { const char *name; long nr; } names[] = {'
echo '#include <sys/syscall.h>' | "$@" -E -dM -x c - | sed -n 's/^#define __NR_\([a-z_0-9]*\) .*/    { "\1", __NR_\1 },/p' | sort
echo '};'
