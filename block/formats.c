#include "block/ro.h"

#include <string.h>

/* The one list of formats and protocols. Probing takes the one that is surest; raw is sure of nothing. */
const BlockFormat *const block_formats[] = {
    &block_format_file,
#ifdef HAVE_LIBNBD
    &block_format_nbd,
#endif
    &block_format_raw,
    &block_format_qcow2,
    &block_format_qcow,
    &block_format_vdi,
    &block_format_vhdx,
    &block_format_vmdk,
    &block_format_vpc,
    NULL
};

const BlockFormat *block_format_find(const char *name)
{
    for (const BlockFormat *const *f = block_formats; *f; f++)
        if (!strcmp((*f)->name, name))
            return *f;
    return NULL;
}

const char *block_format_name_of(const BlockFormat *format)
{
    return format->name;
}
