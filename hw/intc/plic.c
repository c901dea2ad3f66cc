/* RISC-V platform-level interrupt controller, specification 1.0.0. All under the fabric's lock. */
#include "hw/intc/plic.h"

#include <string.h>

#include "util/bits.h"

/* The map of chapter 3 */
enum { PENDING = 0x1000, ENABLE = 0x2000, ENABLE_STRIDE = 0x80, CONTEXT = 0x200000, CONTEXT_STRIDE = 0x1000 };
enum { WORDS = PLIC_SOURCES / 32, MAX_PRIORITY = 7 };

typedef struct PlicContext {
    uint32_t enable[WORDS];
    uint32_t threshold;
} PlicContext;

typedef struct Plic {
    Device dev;
    uint32_t n_contexts;        /* property */
    PlicContext *ctx;
    uint32_t priority[PLIC_SOURCES], pending[WORDS], claimed[WORDS], level[WORDS];
    uint8_t *saved_buf;         /* contexts: the struct as little-endian words */
    uint32_t saved_len;
} Plic;

static bool bit_of(const uint32_t *w, unsigned n) { return w[n / 32] >> (n % 32) & 1; }

static void bit_put(uint32_t *w, unsigned n, bool v)
{
    w[n / 32] = (w[n / 32] & ~(1u << (n % 32))) | (uint32_t)v << (n % 32);
}

/* The source a claim would get: highest priority, then lowest number (5: priority 0 never interrupts). */
static unsigned best(const Plic *p, const PlicContext *c)
{
    unsigned found = 0;
    uint32_t prio = c->threshold;
    for (unsigned w = 0; w < WORDS; w++)
        for (uint32_t m = p->pending[w] & c->enable[w]; m; m &= m - 1) {
            unsigned n = 32 * w + (unsigned)__builtin_ctz(m);
            if (p->priority[n] > prio) {
                prio = p->priority[n];
                found = n;
            }
        }
    return found;
}

static void update(Plic *p)
{
    for (unsigned i = 0; i < p->n_contexts; i++)
        irq_set_locked(p->dev.irq[i], best(p, &p->ctx[i]) != 0);
}

/* The gateway of a level source: one request at a time, the next after completion (4). */
static void input(void *opaque, unsigned n, bool level)
{
    Plic *p = opaque;
    if (!n || n >= PLIC_SOURCES)
        return;
    bit_put(p->level, n, level);
    if (level && !bit_of(p->claimed, n)) {
        bit_put(p->pending, n, true);
        update(p);
    }
}

static uint32_t claim(Plic *p, PlicContext *c)
{
    PlicContext any = *c;
    any.threshold = 0;          /* a claim is not affected by the threshold (8) */
    unsigned n = best(p, &any);
    if (n) {
        bit_put(p->pending, n, false);
        bit_put(p->claimed, n, true);
        update(p);
    }
    return n;
}

static void complete(Plic *p, const PlicContext *c, uint32_t n)
{
    if (!n || n >= PLIC_SOURCES || !bit_of(c->enable, n) || !bit_of(p->claimed, n))
        return;
    bit_put(p->claimed, n, false);
    irq_wire_eoi_locked(device_input(&p->dev, n));
    if (bit_of(p->level, n))
        bit_put(p->pending, n, true);
    update(p);
}

/* ---- registers ---- */

static PlicContext *context_of(Plic *p, uint64_t off, uint64_t base, uint64_t stride)
{
    uint64_t n = (off - base) / stride;
    return n < p->n_contexts ? &p->ctx[n] : NULL;
}

static uint64_t plic_read(void *opaque, uint64_t off, unsigned size)
{
    Plic *p = opaque;
    PlicContext *c;
    if (off < PENDING)
        return off / 4 < PLIC_SOURCES ? p->priority[off / 4] : 0;
    if (off < ENABLE)
        return (off - PENDING) / 4 < WORDS ? p->pending[(off - PENDING) / 4] : 0;
    if (off < CONTEXT) {
        c = context_of(p, off, ENABLE, ENABLE_STRIDE);
        return c && off % ENABLE_STRIDE / 4 < WORDS ? c->enable[off % ENABLE_STRIDE / 4] : 0;
    }
    c = context_of(p, off, CONTEXT, CONTEXT_STRIDE);
    if (!c)
        return 0;
    return off % CONTEXT_STRIDE == 0 ? c->threshold : off % CONTEXT_STRIDE == 4 ? claim(p, c) : 0;
}

static void plic_write(void *opaque, uint64_t off, uint64_t val, unsigned size)
{
    Plic *p = opaque;
    PlicContext *c;
    if (off < PENDING) {
        if (off && off / 4 < PLIC_SOURCES)
            p->priority[off / 4] = (uint32_t)val & MAX_PRIORITY;
    } else if (off >= ENABLE && off < CONTEXT) {
        unsigned w = (unsigned)(off % ENABLE_STRIDE / 4);
        c = context_of(p, off, ENABLE, ENABLE_STRIDE);
        if (c && w < WORDS)
            c->enable[w] = (uint32_t)val & (w ? UINT32_MAX : ~1u);
    } else if (off >= CONTEXT && (c = context_of(p, off, CONTEXT, CONTEXT_STRIDE))) {
        if (off % CONTEXT_STRIDE == 0)
            c->threshold = (uint32_t)val & MAX_PRIORITY;
        else if (off % CONTEXT_STRIDE == 4)
            complete(p, c, (uint32_t)val);
    }
    update(p);
}

static const MmioOps plic_ops = { .read = plic_read, .write = plic_write, .min_size = 4, .max_size = 4 };

/* ---- life ---- */

static bool plic_realize(Device *dev, GError **err)
{
    Plic *p = (Plic *)dev;
    p->ctx = g_new0(PlicContext, p->n_contexts);
    device_init_mmio(dev, 0, "plic", &plic_ops, PLIC_SIZE);
    device_init_inputs(dev, PLIC_SOURCES, input);
    device_init_irqs(dev, p->n_contexts);
    return true;
}

static void plic_unrealize(Device *dev)
{
    Plic *p = (Plic *)dev;
    g_free(p->ctx);
    g_free(p->saved_buf);
    p->ctx = NULL;
    p->saved_buf = NULL;
    p->n_contexts = 0;
}

static void plic_reset(Device *dev)
{
    Plic *p = (Plic *)dev;
    memset(p->ctx, 0, p->n_contexts * sizeof(p->ctx[0]));
    memset(p->priority, 0, sizeof(p->priority));
    memset(p->claimed, 0, sizeof(p->claimed));
    memcpy(p->pending, p->level, sizeof(p->pending));
    update(p);
}

static void plic_pre_save(Device *dev)
{
    Plic *p = (Plic *)dev;
    g_free(p->saved_buf);
    p->saved_len = (uint32_t)(p->n_contexts * sizeof(PlicContext));
    p->saved_buf = g_malloc(p->saved_len + 1);
    for (uint32_t i = 0; i < p->saved_len / 4; i++)
        store_le32(p->saved_buf + 4 * i, ((const uint32_t *)p->ctx)[i]);
}

static bool plic_post_load(Device *dev, unsigned version, GError **err)
{
    Plic *p = (Plic *)dev;
    if (p->saved_len != p->n_contexts * sizeof(PlicContext)) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL, "the saved interrupt controller has another number of contexts");
        return false;
    }
    for (uint32_t i = 0; i < p->saved_len / 4; i++)
        ((uint32_t *)p->ctx)[i] = load_le32(p->saved_buf + 4 * i);
    for (unsigned i = 0; i < PLIC_SOURCES; i++)
        p->priority[i] &= MAX_PRIORITY;
    update(p);
    return true;
}

static const FieldDesc plic_fields[] = {
    FIELD_ARRAY(Plic, priority), FIELD_ARRAY(Plic, pending), FIELD_ARRAY(Plic, claimed), FIELD_ARRAY(Plic, level),
    FIELD_BUF(Plic, saved_buf, saved_len, PLIC_MAX_CONTEXTS * sizeof(PlicContext)), { 0 }
};
static const DeviceSection plic_state[] = {
    { .name = "plic", .version = 1, .min_version = 1, .fields = plic_fields, .pre_save = plic_pre_save, .post_load = plic_post_load },
    { 0 }
};
static const PropDesc plic_props[] = {
    PROP(Plic, n_contexts, PROP_U32, "contexts", .def = "2", .min = 1, .max = PLIC_MAX_CONTEXTS, .help = "number of contexts: two a hart"), { 0 }
};

const DeviceClass plic_class = {
    .name = "riscv-plic", .summary = "RISC-V platform-level interrupt controller", .size = sizeof(Plic), .bus = BUS_SYS, .fabric = true, .internal = true,
    .props = plic_props, .state = plic_state, .realize = plic_realize, .reset = plic_reset, .unrealize = plic_unrealize,
};
