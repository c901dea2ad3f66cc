/* The AArch64 decoder, disassembler and front end: any words in any mode give a unit of valid IR that covers what it says. */
#include <glib.h>
#include <string.h>

#include "tcg/guest/aarch64/aarch64.h"
#include "tests/fuzz/fuzz.h"

enum { MAX_CODE = 1024, PAGE_OFF = 2048 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static IrInsn buf[IR_MAX_INSNS];
    IrUnit u;
    uint32_t mode;
    uint8_t code[TCG_PAGE_SIZE] = { 0 };
    char text[128];
    if (size < 8)
        return 0;
    memcpy(&mode, data, 4);
    size_t n = MIN(size - 4, (size_t)MAX_CODE) & ~(size_t)3;
    memcpy(code + PAGE_OFF, data + 4, n);
    for (size_t at = 0; at < n; at += 4) {
        g_assert(a64_disas(code + PAGE_OFF + at, (unsigned)(n - at), mode, at, text, sizeof(text)) == 4);
        g_assert(strlen(text) < sizeof(text));
    }
    TcgUnitDesc d = { .u = &u, .mode = mode & 0x7ffff, .page_off = PAGE_OFF, .max_insns = mode >> 20 & 127, .region = mode >> 31, .code = code + PAGE_OFF,
                      .avail = TCG_PAGE_SIZE - PAGE_OFF };
    ir_begin(&u, buf, a64_slots, A64S_SLOTS);
    a64_translate(&d);
    g_assert(u.overflow || (d.n_insns && d.len && d.len <= TCG_PAGE_SIZE - PAGE_OFF));
    const char *broken = u.overflow ? NULL : ir_verify(&u);
    if (broken)
        g_error("%s", broken);
    return 0;
}
