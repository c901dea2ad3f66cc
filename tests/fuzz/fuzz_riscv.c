/* The RISC-V decoder, disassembler and front end: any bytes in any mode give a unit of valid IR that covers what it says. */
#include <glib.h>
#include <string.h>

#include "tcg/guest/riscv/riscv.h"
#include "tests/fuzz/fuzz.h"

enum { MAX_CODE = 1024, PAGE_OFF = 2048 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static IrInsn buf[IR_MAX_INSNS];
    static RiscvState state;   /* says which extensions there are: all */
    IrUnit u;
    uint32_t mode;
    uint8_t code[TCG_PAGE_SIZE] = { 0 };
    char text[128];
    if (size < 8)
        return 0;
    memcpy(&mode, data, 4);
    size_t n = MIN(size - 4, (size_t)MAX_CODE) & ~(size_t)1;
    memcpy(code + PAGE_OFF, data + 4, n);
    for (size_t at = 0; at < n;) {
        int len = riscv_disas(code + PAGE_OFF + at, (unsigned)(n - at), mode, at, text, sizeof(text));
        g_assert((len == 2 || len == 4 || (size_t)len == n - at) && strlen(text) < sizeof(text));
        at += (size_t)len;
    }
    TcgUnitDesc d = { .u = &u, .state = &state, .mode = mode & 0x1ff, .page_off = PAGE_OFF, .max_insns = mode >> 20 & 127, .region = mode >> 31, .code = code + PAGE_OFF,
                      .avail = TCG_PAGE_SIZE - PAGE_OFF };
    ir_begin(&u, buf, riscv_slots, RVS_SLOTS);
    riscv_translate(&d);
    g_assert(u.overflow || (d.n_insns && d.len && d.len <= TCG_PAGE_SIZE - PAGE_OFF));
    const char *broken = u.overflow ? NULL : ir_verify(&u);
    if (broken)
        g_error("%s", broken);
    return 0;
}
