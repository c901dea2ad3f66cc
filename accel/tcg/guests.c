/* The guest CPUs that the translator has for machines. */
#include "accel/tcg/guest.h"

#include <string.h>

const TcgGuest *tcg_guest_find(const char *cpu_type)
{
    static const TcgGuest *const all[] = { &tcg_guest_x86, &tcg_guest_riscv, &tcg_guest_aarch64 };
    for (size_t n = 0; n < G_N_ELEMENTS(all); n++)
        if (!strcmp(all[n]->name, cpu_type))
            return all[n];
    return NULL;
}
