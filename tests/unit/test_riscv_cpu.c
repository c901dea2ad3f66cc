/* What -cpu leaves out of a RISC-V hart, and the ISA string that says so. */
#include <string.h>

#include "cpu/riscv/state.h"
#include "tests/unit/check.h"

static void test_exts(void)
{
    static const struct { const char *text; unsigned off; const char *bad; } cases[] = {
        { "zba=off", RISCV_X_ZBA, NULL },
        { "zba=off,zbb=false,sstc=off", RISCV_X_ZBA | RISCV_X_ZBB | RISCV_X_SSTC, NULL },
        { "zbs=off,zbs=on", 0, NULL },
        { "zicond=off,zbc=off,zbc=true", RISCV_X_ZICOND, NULL },
        { "", 0, "" },
        { "zba=off,", 0, "" },
        { ",zba=off", 0, "" },
        { "zba", 0, "zba" },
        { "zba=", 0, "zba=" },
        { "=off", 0, "=off" },
        { "zb=off", 0, "zb=off" },
        { "zba=offf", 0, "zba=offf" },
        { "zba=on,zicsr=off,zbb=on", 0, "zicsr=off" },
    };
    for (unsigned n = 0; n < sizeof(cases) / sizeof(cases[0]); n++) {
        unsigned off = 0;
        size_t len = 0;
        const char *bad = riscv_exts_parse(cases[n].text, &off, &len);
        CHECK(!bad == !cases[n].bad);
        CHECK(!bad || (len == strlen(cases[n].bad) && !memcmp(bad, cases[n].bad, len)));
        CHECK(bad || off == cases[n].off);
    }
}

static void test_string(void)
{
    char all[RISCV_ISA_STRING], less[RISCV_ISA_STRING], none[RISCV_ISA_STRING];
    riscv_isa_string(0, all);
    riscv_isa_string(RISCV_X_ZBA | RISCV_X_SSTC, less);
    riscv_isa_string(~0u, none);
    CHECK(strstr(all, "_zba_zbb_") && strstr(all, "_sstc"));
    CHECK(!strstr(less, "_zba") && strstr(less, "_zbb_") && !strstr(less, "_sstc"));
    CHECK(!strcmp(none, "rv64imafdc_zicsr_zifencei_zihintpause"));
}

int main(void)
{
    test_exts();
    test_string();
    return 0;
}
