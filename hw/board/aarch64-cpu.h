#pragma once
#include "vmm/machine.h"

/* The CPU of AArch64 boards. */
extern const CpuType aarch64_cpu_type;
/* Model and options of -cpu @text (NULL: the default) for all CPUs of @m; *ret_compatible: the device tree's name of it. */
bool aarch64_cpu_choose(Machine *m, const char *text, const char **ret_compatible, GError **err);
