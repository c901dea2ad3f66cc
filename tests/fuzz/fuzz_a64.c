/* The AArch64 decoder, disassembler and front end: any words in any mode give a unit of valid IR that covers what it says. */
#include <glib.h>
#include <string.h>

#include "tcg/guest/aarch64/aarch64.h"
#include "tests/fuzz/bare.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t page[TCG_PAGE_SIZE] = { 0 };
    char text[128];
    uint32_t how;
    size_t n;
    if (!fuzz_code(data, size, 4, page, &how, &n))
        return 0;
    for (size_t at = 0; at < n; at += 4) {
        g_assert(a64_disas(page + FUZZ_CODE + at, (unsigned)(n - at), how, at, text, sizeof(text)) == 4);
        g_assert(strlen(text) < sizeof(text));
    }
    fuzz_translate(a64_translate, a64_slots, A64S_SLOTS, NULL, how & 0x7ffff, how, page);
    return 0;
}
