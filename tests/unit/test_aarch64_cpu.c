/* The models of -cpu for AArch64, and what programs see of them. */
#include <string.h>

#include "cpu/aarch64/model.h"
#include "cpu/aarch64/state.h"
#include "tests/unit/check.h"

static void test_models(void)
{
    static const struct { const char *text; bool v8_0; uint8_t pauth; const char *bad; } cases[] = {
        { NULL, true, A64_PAUTH_NONE, NULL },
        { "cortex-a53", true, A64_PAUTH_NONE, NULL },
        { "cortex-a72,pauth=off", true, A64_PAUTH_NONE, NULL },
        { "max", false, A64_PAUTH_QARMA5, NULL },
        { "max,pauth=off", false, A64_PAUTH_NONE, NULL },
        { "max,pauth-impdef=on", false, A64_PAUTH_IMPDEF, NULL },
        { "max,pauth=off,pauth-impdef=on", false, 0, "needs" },
        { "cortex-a72,pauth=on", false, 0, "needs" },
        { "max,pauth=", false, 0, "on or off" },
        { "max,", false, 0, "no option" },
        { "max,sve=on", false, 0, "no option 'sve=on'" },
        { "", false, 0, "cortex-a53" },
        { "cortex-a7", false, 0, "cortex-a72" },
    };
    for (unsigned n = 0; n < sizeof(cases) / sizeof(cases[0]); n++) {
        A64Model m;
        GError *err = NULL;
        bool ok = a64_model_parse(cases[n].text, &m, &err);
        CHECK(ok == !cases[n].bad && ok == !err);
        CHECK(ok || strstr(err->message, cases[n].bad));
        CHECK(!ok || (m.v8_0 == cases[n].v8_0 && m.pauth == cases[n].pauth && a64_midr_v8_0(m.midr) == m.v8_0));
        g_clear_error(&err);
    }
}

/* AT_HWCAP and the identification registers say the same (Linux's Documentation/arm64/elf_hwcaps.rst). */
static void test_announced(void)
{
    enum { AES = 1 << 3, CRC32 = 1 << 7, ATOMICS = 1 << 8, FPHP = 1 << 9, ISAR0_AES = 0xf0, ISAR0_ATOMIC = 0xf << 20, ISAR1_APA = 0xf0, PFR0_FP = 0xf << 16 };
    static const uint64_t PACA = 1ull << 30;
    for (unsigned v8_0 = 0; v8_0 < 2; v8_0++)
        for (unsigned pauth = 0; pauth < 2; pauth++) {
            uint64_t caps = a64_hwcap(v8_0, pauth);
            A64State s = { .midr = v8_0 ? 0x410fd034 : A64_MIDR_PROGRAM, .pauth = pauth ? A64_PAUTH_QARMA5 : A64_PAUTH_NONE };
            uint64_t isar0 = a64_id_register(&s, 6, 0, true), isar1 = a64_id_register(&s, 6, 1, true), pfr0 = a64_id_register(&s, 4, 0, true);
            CHECK(caps & AES && caps & CRC32 && isar0 & ISAR0_AES);
            CHECK(!(caps & ATOMICS) == !(isar0 & ISAR0_ATOMIC) && ((caps & ATOMICS) == 0) == (v8_0 != 0));
            CHECK(!(caps & FPHP) == !(pfr0 & PFR0_FP));
            CHECK(!(caps & PACA) == !(isar1 & ISAR1_APA) && ((caps & PACA) == 0) == (v8_0 || !pauth));
        }
}

int main(void)
{
    test_models();
    test_announced();
    return 0;
}
