#pragma once
#include <string.h>

#include "tcg/ir.h"
#include "tcg/tcg.h"

/* Guests of nothing but RAM, at the start of the callbacks' opaque; devices and ports answer with their address. */
enum { FUZZ_RAM = 256 << 10 };

static inline uint8_t *fuzz_page(void *opaque, uint64_t gpa, unsigned *flags)
{
    *flags = 0;
    return gpa < FUZZ_RAM ? (uint8_t *)opaque + gpa : NULL;
}
static inline void fuzz_page_code(void *o, uint64_t gpa, bool armed) { }
static inline void fuzz_page_written(void *o, uint64_t gpa, unsigned len) { }
static inline uint64_t fuzz_io_read(void *o, uint64_t gpa, unsigned size) { return gpa; }
static inline void fuzz_io_write(void *o, uint64_t gpa, uint64_t v, unsigned size) { }
static inline uint64_t fuzz_in(void *o, uint16_t port, unsigned size) { return port; }
static inline void fuzz_out(void *o, uint16_t port, uint64_t v, unsigned size) { }
static inline bool fuzz_irq(void *o) { return false; }
static inline int fuzz_ack(void *o) { return -1; }
/* TcgCallbacks beside .sysreg_* and .time_counter. */
#define FUZZ_CALLBACKS .page = fuzz_page, .page_code = fuzz_page_code, .page_written = fuzz_page_written, .io_read = fuzz_io_read, .io_write = fuzz_io_write, \
                       .port_in = fuzz_in, .port_out = fuzz_out, .irq_pending = fuzz_irq, .irq_ack = fuzz_ack

/* Front ends alone: the code lies at FUZZ_CODE of a page, behind a word that says how it is translated. */
enum { FUZZ_CODE = 2048, FUZZ_CODE_MAX = 1024 };

/* The bytes of code, a multiple of @align, in *ret_n; false: the input is too short. */
static inline bool fuzz_code(const uint8_t *data, size_t size, unsigned align, uint8_t page[TCG_PAGE_SIZE], uint32_t *ret_how, size_t *ret_n)
{
    if (size < 8)
        return false;
    memcpy(ret_how, data, 4);
    *ret_n = MIN(size - 4, (size_t)FUZZ_CODE_MAX) / align * align;
    memcpy(page + FUZZ_CODE, data + 4, *ret_n);
    return true;
}

/* Translated it is valid IR, and covers what it says. @state: says which extensions there are. */
static inline void fuzz_translate(void (*translate)(TcgUnitDesc *), const IrSlot *slots, unsigned n_slots, const void *state, uint64_t mode, uint32_t how, const uint8_t *page)
{
    static IrInsn buf[IR_MAX_INSNS];
    IrUnit u;
    TcgUnitDesc d = { .u = &u, .state = state, .mode = mode, .page_off = FUZZ_CODE, .max_insns = how >> 20 & 127, .region = how >> 31, .code = page + FUZZ_CODE,
                      .avail = TCG_PAGE_SIZE - FUZZ_CODE };
    ir_begin(&u, buf, slots, n_slots);
    translate(&d);
    g_assert(u.overflow || (d.n_insns && d.len && d.len <= TCG_PAGE_SIZE - FUZZ_CODE));
    const char *broken = u.overflow ? NULL : ir_verify(&u);
    if (broken)
        g_error("%s", broken);
}
