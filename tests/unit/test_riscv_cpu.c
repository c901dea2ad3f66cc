/* What -cpu leaves out of a RISC-V hart, and the ISA string that says so. */
#include <string.h>

#include "cpu/riscv/state.h"
#include "tests/unit/check.h"

static void test_exts(void)
{
    static const struct { const char *text; unsigned off; const char *bad; } cases[] = {
        { "rv64,zba=off", RISCV_X_ZBA, NULL },
        { "rv64,zba=off,zbb=false,sstc=off", RISCV_X_ZBA | RISCV_X_ZBB | RISCV_X_SSTC, NULL },
        { "rv64,zbs=off,zbs=on", 0, NULL },
        { "rv64,zicond=off,zbc=off,zbc=true", RISCV_X_ZICOND, NULL },
        { "rv64,", 0, "" },
        { "rv64,zba=off,", 0, "" },
        { "rv64,,zba=off", 0, "" },
        { "rv64,zba", 0, "zba" },
        { "rv64,zba=", 0, "zba=" },
        { "rv64,=off", 0, "=off" },
        { "rv64,zb=off", 0, "zb=off" },
        { "rv64,zba=offf", 0, "zba=offf" },
        { "rv64,zba=on,zicsr=off,zbb=on", 0, "zicsr=off" },
        { "rv64", 0, NULL },
        { "max,zbs=off", RISCV_X_ZBS, NULL },
        { "rv64gc", 0, "rv64gc" },
        { "", 0, "one model" },
    };
    for (unsigned n = 0; n < sizeof(cases) / sizeof(cases[0]); n++) {
        unsigned off = 0;
        GError *err = NULL;
        bool ok = riscv_model_parse(cases[n].text, &off, &err);
        CHECK(ok == !cases[n].bad && ok == !err);
        CHECK(ok || strstr(err->message, cases[n].bad));
        CHECK(!ok || off == cases[n].off);
        g_clear_error(&err);
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
