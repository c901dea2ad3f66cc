/* The RISC-V decoder, disassembler and front end: any bytes in any mode give a unit of valid IR that covers what it says. */
#include <glib.h>
#include <string.h>

#include "tcg/guest/riscv/riscv.h"
#include "tests/fuzz/bare.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static RiscvState state;   /* says which extensions there are: all */
    uint8_t page[TCG_PAGE_SIZE] = { 0 };
    char text[128];
    uint32_t how;
    size_t n;
    if (!fuzz_code(data, size, 2, page, &how, &n))
        return 0;
    for (size_t at = 0; at < n;) {
        int len = riscv_disas(page + FUZZ_CODE + at, (unsigned)(n - at), how, at, text, sizeof(text));
        g_assert((len == 2 || len == 4 || (size_t)len == n - at) && strlen(text) < sizeof(text));
        at += (size_t)len;
    }
    fuzz_translate(riscv_translate, riscv_slots, RVS_SLOTS, &state, how & 0x1ff, how, page);
    return 0;
}
