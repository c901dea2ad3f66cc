/* Control and status registers, of the list in cpu/riscv/csr.def. */
#include "tcg/guest/riscv/riscv.h"

static const uint64_t SSTATUS_WRITE = RISCV_MXR | RISCV_SUM | RISCV_FS | RISCV_SPP | RISCV_SPIE | RISCV_SIE;
static const uint64_t MSTATUS_WRITE = RISCV_MXR | RISCV_SUM | RISCV_FS | RISCV_SPP | RISCV_SPIE | RISCV_SIE | RISCV_MIE | RISCV_MPIE | RISCV_MPP |
                                      RISCV_MPRV | RISCV_TVM | RISCV_TW | RISCV_TSR;
enum { MIP_WRITE = 1 << RISCV_IRQ_SSI | 1 << RISCV_IRQ_STI | 1 << RISCV_IRQ_SEI };

typedef struct Csr { RiscvState *s; TcgCpu *cpu; unsigned n; bool bad; } Csr;

static uint64_t sysreg(Csr *c, uint32_t reg)
{
    uint64_t v = 0;
    const TcgCallbacks *cb = tcg_cpu_callbacks(c->cpu);
    if (cb->sysreg_read)
        cb->sysreg_read(tcg_cpu_opaque(c->cpu), reg, &v);
    return v;
}

uint64_t riscv_mip(RiscvState *s)
{
    Csr c = { s, riscv_cpu(s), 0, false };
    uint64_t lines = sysreg(&c, RISCV_SYSREG_LINES), soft = s->mip;
    if (s->menvcfg & RISCV_ENVCFG_STCE)
        soft &= ~(1ull << RISCV_IRQ_STI);
    else
        lines &= ~(1ull << RISCV_IRQ_STI);
    return lines | soft;
}

/* ---- floating point: needs mstatus.FS (priv 3.1.6.6) ---- */
static bool fp_off(Csr *c) { return c->bad = !(c->s->mstatus & RISCV_FS); }
static uint64_t fflags_now(Csr *c) { tcg_fpenv_get(c->cpu); return riscv_fflags(c->s); }

static void set_fcsr(Csr *c, unsigned flags, unsigned frm)
{
    tcg_fpenv_get(c->cpu);
    riscv_set_fflags(c->s, flags);
    riscv_set_frm(c->s, frm);
    tcg_fpenv_put(c->cpu);
    c->s->mstatus |= RISCV_FS;
}

static uint64_t read_fflags(Csr *c) { return fp_off(c) ? 0 : fflags_now(c); }
static uint64_t read_frm(Csr *c) { return fp_off(c) ? 0 : c->s->frm; }
static uint64_t read_fcsr(Csr *c) { return fp_off(c) ? 0 : (fflags_now(c) | (uint64_t)c->s->frm << 5); }
static void write_fflags(Csr *c, uint64_t v) { set_fcsr(c, v & 31, c->s->frm); }
static void write_frm(Csr *c, uint64_t v) { set_fcsr(c, (unsigned)fflags_now(c), v & 7); }
static void write_fcsr(Csr *c, uint64_t v) { set_fcsr(c, v & 31, v >> 5 & 7); }

/* ---- counters: mcounteren for S and U, scounteren for U ---- */
static void counter_check(Csr *c)
{
    unsigned bit = 1u << (c->n & 31);
    c->bad |= (c->s->priv < RISCV_M && !(c->s->mcounteren & bit)) || (c->s->priv == RISCV_U && !(c->s->scounteren & bit));
}

static uint64_t ticks(Csr *c)
{
    const TcgCallbacks *cb = tcg_cpu_callbacks(c->cpu);
    return cb->time_counter ? cb->time_counter(tcg_cpu_opaque(c->cpu)) : 0;
}

/* A counter runs with the machine's unless mcountinhibit stops it (priv 3.1.10, 3.1.12); instructions are not counted, they take one tick. */
static uint64_t counter(Csr *c, uint64_t v, unsigned bit) { return c->s->mcountinhibit >> bit & 1 ? v : v + ticks(c); }
static uint64_t to_counter(Csr *c, uint64_t v, unsigned bit) { return c->s->mcountinhibit >> bit & 1 ? v : v - ticks(c); }
static uint64_t read_mcycle(Csr *c) { return counter(c, c->s->mcycle, 0); }
static uint64_t read_minstret(Csr *c) { return counter(c, c->s->minstret, 2); }
static void write_mcycle(Csr *c, uint64_t v) { c->s->mcycle = to_counter(c, v, 0); }
static void write_minstret(Csr *c, uint64_t v) { c->s->minstret = to_counter(c, v, 2); }

static void write_mcountinhibit(Csr *c, uint64_t v)
{
    uint64_t cycle = read_mcycle(c), instret = read_minstret(c);
    c->s->mcountinhibit = v & 5;
    write_mcycle(c, cycle);
    write_minstret(c, instret);
}

static uint64_t read_cycle(Csr *c) { counter_check(c); return read_mcycle(c); }
static uint64_t read_instret(Csr *c) { counter_check(c); return read_minstret(c); }
static uint64_t read_time(Csr *c) { counter_check(c); return sysreg(c, RISCV_SYSREG_TIME); }

/* ---- status ---- */
static uint64_t with_sd(uint64_t m) { return (m & RISCV_FS) == RISCV_FS ? m | RISCV_SD : m; }
static uint64_t read_mstatus(Csr *c) { return with_sd(c->s->mstatus); }
static uint64_t read_sstatus(Csr *c) { return with_sd(c->s->mstatus) & RISCV_SSTATUS_READ; }

static void write_status(Csr *c, uint64_t v, uint64_t mask)
{
    RiscvState *s = c->s;
    uint64_t old = s->mstatus;
    s->mstatus = (old & ~mask) | (v & mask);
    if ((s->mstatus & RISCV_MPP) >> RISCV_MPP_SHIFT == 2)      /* there is no such mode: as before */
        s->mstatus = (s->mstatus & ~RISCV_MPP) | (old & RISCV_MPP);
    if ((old ^ s->mstatus) & RISCV_MXR)
        tcg_flush_all(c->cpu);
}

static void write_mstatus(Csr *c, uint64_t v) { write_status(c, v, MSTATUS_WRITE); }
static void write_sstatus(Csr *c, uint64_t v) { write_status(c, v, SSTATUS_WRITE); }

/* ---- interrupts ---- */
static uint64_t read_mip(Csr *c) { return riscv_mip(c->s); }
static void write_mip(Csr *c, uint64_t v) { c->s->mip = v & MIP_WRITE; }
static uint64_t read_sie(Csr *c) { return c->s->mie & c->s->mideleg; }
static void write_sie(Csr *c, uint64_t v) { c->s->mie = (c->s->mie & ~c->s->mideleg) | (v & c->s->mideleg); }
static uint64_t read_sip(Csr *c) { return riscv_mip(c->s) & c->s->mideleg; }
static void write_sip(Csr *c, uint64_t v)
{
    uint64_t mask = 1ull << RISCV_IRQ_SSI & c->s->mideleg;
    c->s->mip = (c->s->mip & ~mask) | (v & mask);
}

/* Sstc (2.1): with menvcfg.STCE; S needs mcounteren.TM too. */
static void stc_check(Csr *c)
{
    c->bad |= c->s->ext_off & RISCV_X_SSTC;
    c->bad |= c->s->priv < RISCV_M && (!(c->s->menvcfg & RISCV_ENVCFG_STCE) || !(c->s->mcounteren & 2));
}

static uint64_t read_stimecmp(Csr *c) { stc_check(c); return c->s->stimecmp; }

static void write_stimecmp(Csr *c, uint64_t v)
{
    const TcgCallbacks *cb = tcg_cpu_callbacks(c->cpu);
    c->s->stimecmp = v;
    if (cb->sysreg_write)
        cb->sysreg_write(tcg_cpu_opaque(c->cpu), RISCV_SYSREG_STIMECMP, v);
}

static void write_menvcfg(Csr *c, uint64_t v) { c->s->menvcfg = v & (RISCV_ENVCFG_FIOM | (c->s->ext_off & RISCV_X_SSTC ? 0 : RISCV_ENVCFG_STCE)); }

/* ---- translation ---- */
static uint64_t read_satp(Csr *c)
{
    c->bad |= c->s->priv == RISCV_S && c->s->mstatus & RISCV_TVM;
    return c->s->satp;
}

static void write_satp(Csr *c, uint64_t v)
{
    uint64_t mode = v >> 60;
    if (mode != 0 && mode != 8 && mode != 9)   /* an unknown mode: nothing changes (priv 4.1.11) */
        return;
    c->s->satp = v;
    riscv_space_sync(c->s, false);
}

static uint64_t read_mhartid(Csr *c) { return c->s->hartid; }
static uint64_t read_misa(Csr *c) { (void)c; return riscv_misa(); }

/* ---- PMP (priv 3.7.1): locked entries stay, and with TOR the address below too ---- */
static uint8_t pmpcfg_of(const RiscvState *s, unsigned n) { return n < RISCV_PMPS ? (uint8_t)(s->pmpcfg[n / 8] >> (8 * (n % 8))) : 0; }

static uint64_t read_pmpcfg(Csr *c) { return c->s->pmpcfg[(c->n & 15) / 2]; }

static void write_pmpcfg(Csr *c, uint64_t v)
{
    unsigned word = (c->n & 15) / 2;
    for (unsigned n = 8 * word; n < 8 * word + 8; n++) {
        unsigned shift = 8 * (n % 8);
        uint64_t cfg = v >> shift & 0x9f;
        if (pmpcfg_of(c->s, n) & 128)
            continue;
        if ((cfg >> 3 & 3) == 2)               /* NA4 does not exist with a granularity above 4 bytes */
            cfg = (cfg & ~0x18ull) | (pmpcfg_of(c->s, n) & 0x18);
        if ((cfg & 3) == 2)                    /* W without R is reserved */
            cfg &= ~2ull;
        c->s->pmpcfg[word] = (c->s->pmpcfg[word] & ~(0xffull << shift)) | cfg << shift;
    }
    tcg_flush_all(c->cpu);
}

/* Granularity 4 KiB (G = 10): low bits read as the mode says. */
static uint64_t read_pmpaddr(Csr *c)
{
    unsigned n = c->n - 0x3b0;
    uint64_t a = c->s->pmpaddr[n];
    return pmpcfg_of(c->s, n) & 0x10 ? a | 0x1ff : a & ~0x3ffull;
}

static void write_pmpaddr(Csr *c, uint64_t v)
{
    unsigned n = c->n - 0x3b0;
    uint8_t next = pmpcfg_of(c->s, n + 1);
    if (pmpcfg_of(c->s, n) & 128 || (next & 128 && (next >> 3 & 3) == 1))
        return;
    c->s->pmpaddr[n] = v & 0x3fffffffffffffull;
    tcg_flush_all(c->cpu);
}

/* ---- the table ---- */
typedef struct CsrDesc {
    uint16_t n;
    uint64_t (*read)(Csr *c);
    void (*write)(Csr *c, uint64_t v);
    uint32_t field;            /* offset, 0 = none */
    uint64_t mask;
} CsrDesc;

#define READ_FIELD(name) .field = offsetof(RiscvState, name)
#define READ_ZERO .field = 0
#define READ_FN(name) .read = read_##name
#define WRITE_FIELD(name, bits) .mask = (bits)
#define WRITE_IGNORE .mask = 0
#define WRITE_FN(name) .write = write_##name
static const CsrDesc csrs[] = {
#define RISCV_CSR(number, name, r, w) { .n = number, READ_##r, WRITE_##w },
#include "cpu/riscv/csr.def"
#undef RISCV_CSR
};

/* Performance counters that count nothing: mhpmcounter3.., mhpmevent3.. and their user views (priv 3.1.10). */
static uint64_t read_no_counter(Csr *c)
{
    if (c->n >> 8 == 0xc)
        counter_check(c);
    return 0;
}

static const CsrDesc *find(unsigned n)
{
    static const CsrDesc none = { .read = read_no_counter };
    unsigned group = n & ~31u, index = n & 31;
    if (index >= 3 && (group == 0xb00 || group == 0x320 || group == 0xc00))
        return &none;
    for (unsigned i = 0; i < sizeof(csrs) / sizeof(csrs[0]); i++)
        if (csrs[i].n == n)
            return &csrs[i];
    return NULL;
}

static uint64_t *field_of(Csr *c, const CsrDesc *d) { return d->field ? (uint64_t *)((uint8_t *)c->s + d->field) : NULL; }

static void write_csr(Csr *c, const CsrDesc *d, uint64_t v)
{
    uint64_t *f = field_of(c, d);
    if (d->write)
        d->write(c, v);
    else if (f)
        *f = v & d->mask;
}

/* Bits of mip that lines drive are not fed back by a read-modify-write (priv 3.1.9). */
static uint64_t base_of(Csr *c, uint64_t old) { return c->n == 0x344 ? c->s->mip : old; }

bool riscv_csr_calm(unsigned n)
{
    switch (n) {
    case 0x180: case 0x30a: return false;      /* satp; menvcfg: Sstc comes or goes */
    default: return n < 0x3a0 || n > 0x3bf;    /* PMP */
    }
}

/* Writes of these may make a pending interrupt due. */
static bool irq_csr(unsigned n)
{
    return n == 0x100 || n == 0x104 || n == 0x144 || n == 0x14d || n == 0x300 || n == 0x303 || n == 0x304 || n == 0x344;
}

uint64_t riscv_h_csr(void *state, uint64_t desc, uint64_t v, uint64_t insn, uint64_t unused)
{
    RiscvState *s = state;
    Csr c = { s, riscv_cpu(s), desc & 0xfff, false };
    unsigned op = desc >> 12 & 3;
    bool write = desc >> 14 & 1;
    const CsrDesc *d = find(c.n);
    (void)unused;
    if (!d || s->priv < (c.n >> 8 & 3) || (write && c.n >> 10 == 3))
        riscv_raise(s, RISCV_E_ILLEGAL, insn);
    uint64_t mode = riscv_mode_key(s), *f = field_of(&c, d), old = d->read ? d->read(&c) : f ? *f : 0;
    if (c.bad)
        riscv_raise(s, RISCV_E_ILLEGAL, insn);
    if (write) {
        uint64_t base = base_of(&c, old);
        write_csr(&c, d, op == 0 ? v : op == 1 ? base | v : base & ~v);
        bool other = riscv_mode_key(s) != mode;
        if (other)
            tcg_mode_changed(c.cpu);
        s->tmp[0] = irq_csr(c.n) && riscv_irq_due(s) ? RVA_LOOK : other ? RVA_JUMP : RVA_STAY;
    }
    return old;
}
