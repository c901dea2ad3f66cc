/* FP and AdvSIMD in random programs. */
#include "tests/isa/aarch64_random.h"

bool a64t_option(const char *name) { (void)name; return false; }
