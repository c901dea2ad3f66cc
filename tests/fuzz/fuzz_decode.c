/* The x86 decoder and disassembler: any bytes in any mode. An instruction is no longer than what there is, nor than 15 bytes. */
#include <glib.h>
#include <string.h>

#include "tcg/guest/x86/decode.h"
#include "tcg/guest/x86/guest.h"
#include "tcg/guest/x86/translate.h"
#include "tests/fuzz/fuzz.h"
#include "util/bits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint64_t modes[] = { X86M_CODE16, X86M_CODE16 | X86M_PE | X86M_VM86, X86M_CODE32 | X86M_PE | X86M_SS32, X86M_CODE64 | X86M_PE | X86M_LMA | X86M_FLAT };
    for (unsigned m = 0; m < ARRAY_LEN(modes); m++) {
        for (size_t at = 0; at < size;) {
            X86Insn in;
            char text[128];
            unsigned n = (unsigned)MIN(size - at, 16);
            X86DecodeResult r = x86_decode(data + at, n, modes[m], &in);
            g_assert(r != X86D_OK || (in.len && in.len <= n && in.len <= 15 && in.op));
            int len = x86_disas(data + at, n, modes[m], at, text, sizeof(text));
            g_assert(len <= (int)n && strlen(text) < sizeof(text));
            at += r == X86D_OK ? in.len : 1;
        }
    }
    return 0;
}
