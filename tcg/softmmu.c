/* The soft TLB and its slow paths. */
#include <string.h>

#include "tcg/tcg-internal.h"

static const uint64_t PAGE_MASK = ~(uint64_t)(TCG_PAGE_SIZE - 1);

/* An entry and what is known of it. */
typedef struct TlbRef { TlbEntry *e; TlbInfo *info; unsigned place; } TlbRef;

static TlbRef tlb_ref(TcgCpu *cpu, uint64_t va, bool write, unsigned regime)
{
    TlbSpace *s = tcg_cur_space(cpu);
    unsigned place = tcg_tlb_place(va, write, regime);
    return (TlbRef){ tcg_space_entries(s) + place, tcg_space_info(s) + place, place };
}

static const TlbEntry *tlb_at(TcgCpu *cpu, uint64_t va, bool write, unsigned regime) { return tlb_ref(cpu, va, write, regime).e; }

/*
 * Callbacks are ordinary C: they get the host's FP environment. Where the guest's differs in sticky flags only it will do; the flags are the guest's
 * again afterwards. (LDMXCSR costs more than looking.)
 */
TCG_CALL_PATH void tcg_world_enter(TcgCpu *cpu)
{
    enum { STICKY = 0x3f };
    if (!cpu->env->in_code || !cpu->isa->fpenv_offset)
        return;
    uint32_t *guest = (uint32_t *)((uint8_t *)cpu->state + cpu->isa->fpenv_offset);
    __asm__ volatile("stmxcsr %0" : "=m"(*guest));
    if ((*guest ^ cpu->env->host_mxcsr) & ~(uint32_t)STICKY)
        __asm__ volatile("ldmxcsr %0" : : "m"(cpu->env->host_mxcsr));
}

TCG_CALL_PATH void tcg_world_leave(TcgCpu *cpu)
{
    if (!cpu->env->in_code || !cpu->isa->fpenv_offset)
        return;
    uint32_t *guest = (uint32_t *)((uint8_t *)cpu->state + cpu->isa->fpenv_offset), now;
    __asm__ volatile("stmxcsr %0" : "=m"(now));
    if (now != *guest)
        __asm__ volatile("ldmxcsr %0" : : "m"(*guest));
}

void tcg_fpenv_get(TcgCpu *cpu)
{
    if (cpu->env->in_code && cpu->isa->fpenv_offset)
        __asm__ volatile("stmxcsr %0" : "=m"(*(uint32_t *)((uint8_t *)cpu->state + cpu->isa->fpenv_offset)));
}

void tcg_fpenv_put(TcgCpu *cpu) { tcg_world_leave(cpu); }

/* The one callback that runs in the guest's FP environment: it only looks things up, many times. */
static uint8_t *ram_page(TcgCpu *cpu, uint64_t gpa, unsigned *flags)
{
    *flags = 0;
    return cpu->cb->page(cpu->opaque, gpa, flags);
}

static void note_filled(TlbSpace *s, unsigned place)
{
    if (s->n_filled < TLB_FILLED)
        s->filled[s->n_filled] = (uint16_t)place;
    s->n_filled++;
    s->regimes |= 1u << place / (2 * TLB_SIZE);
}

static void victim_add(TcgCpu *cpu, TlbSpace *s, TlbRef r)
{
    /* the generation first: who arms the page between the two reads then finds an old one kept with the entry, never a new one */
    uint32_t gen = __atomic_load_n(&cpu->ctx->track_gen, __ATOMIC_SEQ_CST);
    TlbEntry e = { __atomic_load_n(&r.e->tag, __ATOMIC_SEQ_CST), r.e->addend };
    if (e.tag != TLB_NONE)
        s->victim[s->next_victim++ % TLB_VICTIMS] = (TlbVictim){ e, *r.info, r.place + 1, gen };
}

/*
 * Bring the entry for @page back from among those driven out. Write permission only if no page was armed since: who arms one bumps the
 * generation first and then looks at the table, not here.
 */
static bool victim_take(TcgCpu *cpu, TlbSpace *s, TlbRef r, uint64_t page)
{
    bool write = tcg_place_writes(r.place);
    for (unsigned n = 0; n < TLB_VICTIMS; n++) {
        TlbVictim v = s->victim[n];
        if (v.place != r.place + 1 || v.e.tag != page)
            continue;
        uint32_t gen = __atomic_load_n(&cpu->ctx->track_gen, __ATOMIC_SEQ_CST);
        if (write && v.track_gen != gen)
            return false;
        s->victim[n].place = 0;
        victim_add(cpu, s, r);
        *r.e = (TlbEntry){ TLB_NONE, v.e.addend };
        *r.info = v.info;
        __atomic_store_n(&r.e->tag, page, __ATOMIC_SEQ_CST);
        if (write && __atomic_load_n(&cpu->ctx->track_gen, __ATOMIC_SEQ_CST) != gen)
            __atomic_store_n(&r.e->tag, TLB_NONE, __ATOMIC_SEQ_CST);
        return r.e->tag == page;
    }
    return false;
}

/* Enter @gpa (with TLB_G_*), RAM at @host or a device, for one kind of access. @direct: no access has to be seen. */
static void enter(TcgCpu *cpu, TlbSpace *s, TlbRef r, uint64_t page, uint64_t gpa, uint8_t *host, bool direct)
{
    note_filled(s, r.place);
    if (r.info->va != page)
        victim_add(cpu, s, r);
    *r.e = (TlbEntry){ TLB_NONE, host ? (uint64_t)(uintptr_t)host - page : 0 };
    *r.info = (TlbInfo){ page, gpa | (host ? 0 : TLB_G_IO) };
    if (!host || !direct)
        return;
    if (!tcg_place_writes(r.place)) {
        r.e->tag = page;
        return;
    }
    tcg_filter_add(s, gpa & PAGE_MASK);
    /* published before the look: whoever arms the page now revokes this entry */
    __atomic_store_n(&r.e->tag, page, __ATOMIC_SEQ_CST);
    if (tcg_page_has_code(cpu->ctx, gpa & PAGE_MASK))
        r.e->tag = TLB_NONE;
}

/* The mapping of @va's page from this entry or the other table's, with TLB_G_*; else from the page tables, or the guest's fault. */
static uint64_t mapping(TcgCpu *cpu, uint64_t va, TcgAccess access, unsigned regime, TlbRef r, TlbRef other)
{
    TcgXlate x = { .page_log2 = TCG_PAGE_BITS };
    uint64_t page = va & PAGE_MASK, wanted = access == TCG_WRITE ? TLB_G_WRITE : TLB_G_READ, ram = ~(uint64_t)TLB_G_IO;
    if (r.info->va == page && r.info->gpa & wanted)
        return r.info->gpa & ram;
    if (other.info->va == page && other.info->gpa & wanted)
        return other.info->gpa & ram;
    cpu->stats.tlb_misses++;
    if (!cpu->isa->mmu(cpu, va, access, regime, &x))
        cpu->isa->mmu_fault(cpu, va, access, regime);
    tcg_large_note(&tcg_cur_space(cpu)->large, va, x.page_log2);
    return (x.gpa & PAGE_MASK) | (x.readable ? TLB_G_READ : 0) | (x.writable ? TLB_G_WRITE : 0);
}

/* Enter what the access needs, and for the other kind of access too where there is a free place. Raises the guest's fault if it is not allowed. */
static void tlb_fill(TcgCpu *cpu, uint64_t va, TcgAccess access, unsigned regime)
{
    bool write = access == TCG_WRITE;
    TlbRef r = tlb_ref(cpu, va, write, regime), other = tlb_ref(cpu, va, !write, regime);
    uint64_t page = va & PAGE_MASK, gpa = mapping(cpu, va, access, regime, r, other);
    TlbSpace *s = tcg_cur_space(cpu);
    unsigned flags;
    uint8_t *host = ram_page(cpu, gpa & PAGE_MASK, &flags);
    bool store = !(flags & (TCG_PAGE_RO | TCG_PAGE_TRACK));
    enter(cpu, s, r, page, gpa, write && flags & TCG_PAGE_RO ? NULL : host, write ? store : gpa & TLB_G_READ);
    if (host && other.info->va == TLB_NONE && gpa & (write ? TLB_G_READ : TLB_G_WRITE) && (write || store))
        enter(cpu, s, other, page, gpa, host, true);
}

static void __attribute__((noinline)) tlb_miss(TcgCpu *cpu, uint64_t va, TcgAccess access, unsigned regime, TlbRef r)
{
    if (r.info->va == (va & PAGE_MASK) || !victim_take(cpu, tcg_cur_space(cpu), r, va & PAGE_MASK))
        tlb_fill(cpu, va, access, regime);
}

/* The entry for an access that stays within one page; filled as needed. *ret_io: device. *ret_watched: RAM whose writes are watched. */
static inline TlbRef tlb_get(TcgCpu *cpu, uint64_t va, TcgAccess access, unsigned regime, bool *ret_io, bool *ret_watched)
{
    bool write = access == TCG_WRITE;
    TlbRef r = tlb_ref(cpu, va, write, regime);
    uint64_t page = va & PAGE_MASK;

    *ret_io = *ret_watched = false;
    if (r.e->tag == page)
        return r;
    /* write permission is known, the page was watched when last looked at */
    if (write && r.info->va == page && !(r.info->gpa & TLB_G_IO) && tcg_page_has_code(cpu->ctx, r.info->gpa & PAGE_MASK)) {
        *ret_watched = true;
        return r;
    }
    if (r.info->va != page || !(r.info->gpa & TLB_G_IO))
        tlb_miss(cpu, va, access, regime, r);
    if (r.e->tag != page) {
        *ret_io = r.info->gpa & TLB_G_IO;
        *ret_watched = !*ret_io;
    }
    return r;
}

static uint64_t host_get(const uint8_t *p, unsigned size)
{
    switch (size) {
    case 1: return *p;
    case 2: { uint16_t v; memcpy(&v, p, 2); return v; }
    case 4: { uint32_t v; memcpy(&v, p, 4); return v; }
    default: { uint64_t v; memcpy(&v, p, 8); return v; }
    }
}

static void host_put(uint8_t *p, uint64_t v, unsigned size)
{
    switch (size) {
    case 1: *p = (uint8_t)v; break;
    case 2: { uint16_t w = (uint16_t)v; memcpy(p, &w, 2); break; }
    case 4: { uint32_t w = (uint32_t)v; memcpy(p, &w, 4); break; }
    default: memcpy(p, &v, 8); break;
    }
}

/* Direct memory: the guest's addresses are anything, also what a sanitizer would not have (null, its shadow, nothing at all); its threads race as they like. */
#define UNCHECKED __attribute__((no_sanitize("address", "thread", "undefined")))
typedef struct Any16 { uint16_t v; } __attribute__((packed)) Any16;
typedef struct Any32 { uint32_t v; } __attribute__((packed)) Any32;
typedef struct Any64 { uint64_t v; } __attribute__((packed)) Any64;

UNCHECKED static uint64_t direct_get(const uint8_t *p, unsigned size)
{
    switch (size) {
    case 1: return *p;
    case 2: return ((const Any16 *)p)->v;
    case 4: return ((const Any32 *)p)->v;
    default: return ((const Any64 *)p)->v;
    }
}

UNCHECKED static void direct_put(uint8_t *p, uint64_t v, unsigned size)
{
    switch (size) {
    case 1: *p = (uint8_t)v; break;
    case 2: ((Any16 *)p)->v = (uint16_t)v; break;
    case 4: ((Any32 *)p)->v = (uint32_t)v; break;
    default: ((Any64 *)p)->v = v; break;
    }
}

/* A device access of a helper: now. Of translated code: see io_alone and io_only. */
typedef enum IoHow { IO_NOW, IO_RESTART, IO_ONLY } IoHow;

/* A device access in the middle of a unit: run that instruction alone, so that what it sets off happens before the next one. */
static void io_alone(TcgCpu *cpu)
{
    if (!cpu->env->in_code || cpu->cur_block->one_insn)
        return;
    cpu->stats.io_reexec++;
    tcg_sync_pc(cpu);
    cpu->one_insn = true;
    tcg_leave(cpu);
}

/*
 * The only access of its instruction may be done where it stands. Should the device want the vCPU afterwards, or have made translations void, the
 * instruction is retired before the next one begins: it runs again alone, and what the device answered is what it finds.
 */
static inline void io_only(TcgCpu *cpu, uint64_t value, uint64_t invalidations)
{
    if (!cpu->env->in_code || cpu->cur_block->one_insn)
        return;
    if (!__atomic_load_n(&cpu->env->exit_request, __ATOMIC_SEQ_CST) && __atomic_load_n(&cpu->ctx->stats.invalidations, __ATOMIC_RELAXED) == invalidations)
        return;
    cpu->io_done = IO_DONE;
    cpu->io_value = value;
    io_alone(cpu);
}

/* The device was asked already, see io_only. */
static bool io_again(TcgCpu *cpu)
{
    bool yes = cpu->io_done == IO_AGAIN;
    cpu->io_done = IO_NONE;
    return yes;
}

/*
 * Devices are foreign code: it finds the host's x87 empty, and the host's FP environment. They compute with integers, so where the guest has not unmasked
 * or set anything (the state knows, but for the sticky flags) that is not changed for them, nor looked at: STMXCSR twice is a tenth of an access.
 */
static inline bool plain_fpenv(const TcgCpu *cpu)
{
    enum { STICKY = 0x3f };
    return !cpu->isa->fpenv_offset || !((*(uint32_t *)((uint8_t *)cpu->state + cpu->isa->fpenv_offset) ^ cpu->env->host_mxcsr) & ~(uint32_t)STICKY);
}

static inline bool device_begin(TcgCpu *cpu)
{
    bool fpu = cpu->isa->fpu_settle && *((uint8_t *)cpu->state + cpu->isa->fpu_live_offset) && cpu->isa->fpu_settle(cpu);
    if (!plain_fpenv(cpu))
        tcg_world_enter(cpu);
    return fpu;
}

static inline void device_end(TcgCpu *cpu, bool fpu_was_in)
{
    if (!plain_fpenv(cpu))
        tcg_world_leave(cpu);
    if (fpu_was_in)
        cpu->isa->fpu_load(cpu);
}

bool tcg_device_begin(TcgCpu *cpu) { return device_begin(cpu); }
void tcg_device_end(TcgCpu *cpu, bool fpu_was_in) { device_end(cpu, fpu_was_in); }

void tcg_io_refused(TcgCpu *cpu) { cpu->io_refused = true; }

static inline void check_refused(TcgCpu *cpu, uint64_t va, TcgAccess access)
{
    if (!cpu->io_refused)
        return;
    cpu->io_refused = false;
    if (cpu->isa->bus_fault)
        cpu->isa->bus_fault(cpu, va, access);
}

/* @access: TCG_WRITE for the first half of an atomic operation */
static inline uint64_t io_read(TcgCpu *cpu, uint64_t va, uint64_t gpa, unsigned size, IoHow how, TcgAccess access)
{
    if (io_again(cpu))
        return cpu->io_value;
    uint64_t invalidations = __atomic_load_n(&cpu->ctx->stats.invalidations, __ATOMIC_RELAXED);
    bool fpu = device_begin(cpu);
    uint64_t v = cpu->cb->io_read(cpu->opaque, gpa, size);
    device_end(cpu, fpu);
    check_refused(cpu, va, access);
    if (how == IO_ONLY)
        io_only(cpu, v, invalidations);
    return v;
}

static inline void io_write(TcgCpu *cpu, uint64_t va, uint64_t gpa, uint64_t v, unsigned size, IoHow how)
{
    if (io_again(cpu))
        return;
    uint64_t invalidations = __atomic_load_n(&cpu->ctx->stats.invalidations, __ATOMIC_RELAXED);
    bool fpu = device_begin(cpu);
    cpu->cb->io_write(cpu->opaque, gpa, v, size);
    device_end(cpu, fpu);
    check_refused(cpu, va, TCG_WRITE);
    if (how == IO_ONLY)
        io_only(cpu, 0, invalidations);
}

/* Nobody outside has to be told: the page is watched for our own translations. Known until some page gets another client. */
static bool only_code(TcgCpu *cpu, uint64_t page)
{
    unsigned slot = page >> TCG_PAGE_BITS & (G_N_ELEMENTS(cpu->code_only) - 1), flags;
    uint32_t gen = __atomic_load_n(&cpu->ctx->track_gen, __ATOMIC_SEQ_CST);
    if (cpu->code_only[slot].gpa == (page | 1) && cpu->code_only[slot].gen == gen)
        return true;
    if (!tcg_page_has_code(cpu->ctx, page) || !ram_page(cpu, page, &flags) || !(flags & TCG_PAGE_ONLY_CODE))
        return false;
    cpu->code_only[slot].gpa = page | 1;
    cpu->code_only[slot].gen = gen;
    return true;
}

/* The store to watched memory is done: what another vCPU or the worker translated meanwhile goes. */
static void note_written(TcgCpu *cpu, uint64_t gpa, unsigned len)
{
    if (cpu->ctx->cpus->len > 1 || cpu->wishes)
        tcg_code_stored(cpu, gpa, len);
}

static void note_write(TcgCpu *cpu, uint64_t gpa, unsigned len)
{
    tcg_code_written(cpu, gpa, len);
    if (cpu->cb->page_written && !only_code(cpu, gpa & PAGE_MASK)) {
        tcg_world_enter(cpu);
        cpu->cb->page_written(cpu->opaque, gpa, len);
        tcg_world_leave(cpu);
    }
}

static inline uint64_t load_in_page(TcgCpu *cpu, uint64_t va, unsigned size, unsigned regime, IoHow how)
{
    bool io, watched;
    TlbRef r = tlb_get(cpu, va, TCG_READ, regime, &io, &watched);
    if (!io)
        return host_get((uint8_t *)(uintptr_t)(va + r.e->addend), size);
    if (how == IO_RESTART)
        io_alone(cpu);
    return io_read(cpu, va, (r.info->gpa & PAGE_MASK) | (va & ~PAGE_MASK), size, how, TCG_READ);
}

static void store_in_page(TcgCpu *cpu, uint64_t va, uint64_t v, unsigned size, unsigned regime, IoHow how)
{
    bool io, watched;
    TlbRef r = tlb_get(cpu, va, TCG_WRITE, regime, &io, &watched);
    uint64_t gpa = (r.info->gpa & PAGE_MASK) | (va & ~PAGE_MASK);
    if (io) {
        if (how == IO_RESTART)
            io_alone(cpu);
        io_write(cpu, va, gpa, v, size, how);
        return;
    }
    uint8_t *host = (uint8_t *)(uintptr_t)(va + r.e->addend);
    if (watched)
        note_write(cpu, gpa, size);
    host_put(host, v, size);
    if (watched)
        note_written(cpu, gpa, size);
}

/* Direct memory: the host's own MMU says so, by a signal. */
UNCHECKED static void touch(TcgCpu *cpu, uint64_t va, TcgAccess access)
{
    volatile uint8_t *p = cpu_host(cpu, va);
    uint8_t zero = 0;
    if (access == TCG_WRITE)   /* (of an addition of 0, a compiler may make a load) */
        __atomic_compare_exchange_n((uint8_t *)p, &zero, 0, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    else
        (void)*p;
}

void tcg_probe(TcgCpu *cpu, uint64_t va, unsigned len, TcgAccess access, unsigned regime)
{
    bool io, watched;
    if (!len)
        return;
    if (cpu_direct(cpu)) {
        touch(cpu, va, access);
        for (uint64_t p = (va & PAGE_MASK) + TCG_PAGE_SIZE; p < va + len; p += TCG_PAGE_SIZE)
            touch(cpu, p, access);
        return;
    }
    uint64_t last = va + len - 1;
    for (uint64_t p = va & PAGE_MASK;; p += TCG_PAGE_SIZE) {
        tlb_get(cpu, p == (va & PAGE_MASK) ? va : p, access, regime, &io, &watched);
        if (p == (last & PAGE_MASK))
            break;
    }
}

static bool crosses(uint64_t va, unsigned size) { return (va & ~PAGE_MASK) + size > TCG_PAGE_SIZE; }
/* Byte by byte it is not the only one. */
static IoHow apart(IoHow how) { return how == IO_ONLY ? IO_RESTART : how; }

static inline uint64_t load_any(TcgCpu *cpu, uint64_t va, unsigned size, unsigned regime, IoHow how)
{
    if (cpu_direct(cpu))
        return direct_get(cpu_host(cpu, va), size);
    if (!crosses(va, size))
        return load_in_page(cpu, va, size, regime, how);
    tcg_probe(cpu, va, size, TCG_READ, regime);
    uint64_t v = 0;
    for (unsigned n = 0; n < size; n++)
        v |= load_in_page(cpu, va + n, 1, regime, apart(how)) << (8 * n);
    return v;
}

static void store_any(TcgCpu *cpu, uint64_t va, uint64_t v, unsigned size, unsigned regime, IoHow how)
{
    if (cpu_direct(cpu)) {
        if (crosses(va, size))
            tcg_probe(cpu, va, size, TCG_WRITE, regime);
        direct_put(cpu_host(cpu, va), v, size);
        return;
    }
    if (!crosses(va, size)) {
        store_in_page(cpu, va, v, size, regime, how);
        return;
    }
    tcg_probe(cpu, va, size, TCG_WRITE, regime);
    for (unsigned n = 0; n < size; n++)
        store_in_page(cpu, va + n, v >> (8 * n), 1, regime, apart(how));
}

/* As translated code does it: the tag is that of the last byte's page too. (With direct memory the table is not in use and all zeros.) */
static uint64_t tag_of(uint64_t va, unsigned size_log2) { return (va + (1u << size_log2) - 1) & PAGE_MASK; }

uint64_t tcg_load(TcgCpu *cpu, uint64_t va, unsigned size_log2, unsigned regime)
{
    const TlbEntry *e = tlb_at(cpu, va, false, regime);
    if (e->tag == tag_of(va, size_log2) && !cpu_direct(cpu))
        return host_get((uint8_t *)(uintptr_t)(va + e->addend), 1u << size_log2);
    return load_any(cpu, va, 1u << size_log2, regime, IO_NOW);
}

void tcg_store(TcgCpu *cpu, uint64_t va, uint64_t value, unsigned size_log2, unsigned regime)
{
    const TlbEntry *e = tlb_at(cpu, va, true, regime);
    if (e->tag == tag_of(va, size_log2) && !cpu_direct(cpu)) {
        host_put((uint8_t *)(uintptr_t)(va + e->addend), value, 1u << size_log2);
        return;
    }
    store_any(cpu, va, value, 1u << size_log2, regime, IO_NOW);
}

bool tcg_commit(TcgCpu *cpu, bool on)
{
    bool was = cpu->committed;
    cpu->committed = on;
    return was;
}

void tcg_store_ready(TcgCpu *cpu, uint64_t va, unsigned len, unsigned regime)
{
    uint64_t end = va + len;
    tcg_probe(cpu, va, len, TCG_WRITE, regime);
    if (cpu_direct(cpu))
        return;
    for (uint64_t p = va, next; p != end; p = next) {
        bool io, watched;
        TlbRef r = tlb_get(cpu, p, TCG_WRITE, regime, &io, &watched);
        next = p + MIN(end - p, TCG_PAGE_SIZE - (p & ~PAGE_MASK));
        if (io)
            io_alone(cpu);
        else if (watched)
            tcg_code_written(cpu, (r.info->gpa & PAGE_MASK) | (p & ~PAGE_MASK), (unsigned)(next - p));
    }
}

void tcg_store_done(TcgCpu *cpu, uint64_t va, uint64_t value, unsigned size_log2, unsigned regime)
{
    bool was = tcg_commit(cpu, true);
    tcg_store(cpu, va, value, size_log2, regime);
    tcg_commit(cpu, was);
}

void tcg_load_bytes(TcgCpu *cpu, uint64_t va, void *buf, unsigned len, unsigned regime)
{
    tcg_probe(cpu, va, len, TCG_READ, regime);
    for (unsigned n = 0; n < len;) {
        unsigned step = len - n >= 8 && !crosses(va + n, 8) ? 8 : 1;
        host_put((uint8_t *)buf + n, load_any(cpu, va + n, step, regime, IO_NOW), step);
        n += step;
    }
}

void tcg_store_bytes(TcgCpu *cpu, uint64_t va, const void *buf, unsigned len, unsigned regime)
{
    tcg_probe(cpu, va, len, TCG_WRITE, regime);
    for (unsigned n = 0; n < len;) {
        unsigned step = len - n >= 8 && !crosses(va + n, 8) ? 8 : 1;
        store_any(cpu, va + n, host_get((const uint8_t *)buf + n, step), step, regime, IO_NOW);
        n += step;
    }
}

uint8_t *tcg_host(TcgCpu *cpu, uint64_t va, TcgAccess access, unsigned regime, unsigned *ret_len)
{
    bool io, watched;
    if (cpu_direct(cpu)) {
        touch(cpu, va, access);
        *ret_len = TCG_PAGE_SIZE - (unsigned)(va & ~PAGE_MASK);
        return cpu_host(cpu, va);
    }
    TlbRef r = tlb_get(cpu, va, access, regime, &io, &watched);
    if (io || watched)
        return NULL;
    *ret_len = TCG_PAGE_SIZE - (unsigned)(va & ~PAGE_MASK);
    return (uint8_t *)(uintptr_t)(va + r.e->addend);
}

/* ---- slow paths of translated code: env->arg: address, value, expected (CAS), info ---- */
static void check_align(TcgCpu *cpu, uint64_t va, unsigned info, TcgAccess access)
{
    unsigned size = 1u << (info & IRM_SIZE);
    if (info & IRM_ALIGN && va & (size - 1))
        cpu->isa->align_fault(cpu, va, access);
}

/* The only access of its instruction, to a device, and its page is known: what comes here most often. */
static inline bool known_device(TcgCpu *cpu, uint64_t va, unsigned info, bool write)
{
    unsigned size = 1u << (info & IRM_SIZE);
    if ((info & (INFO_ONLY | IRM_ALIGN)) != INFO_ONLY || size > 8 || crosses(va, size) || cpu_direct(cpu))
        return false;
    const TlbInfo *i = tlb_ref(cpu, va, write, info >> 8 & 15).info;
    return i->va == (va & PAGE_MASK) && i->gpa & TLB_G_IO;
}

static uint64_t device_address(TcgCpu *cpu, uint64_t va, unsigned info, bool write)
{
    return (tlb_ref(cpu, va, write, info >> 8 & 15).info->gpa & PAGE_MASK) | (va & ~PAGE_MASK);
}

void tcg_slow_ld(TcgCpu *cpu)
{
    TcgEnv *env = cpu->env;
    uint64_t va = env->arg[0];
    unsigned info = (unsigned)env->arg[3], size = 1u << (info & IRM_SIZE), regime = info >> 8 & 15;
    bool write = info >> 12 & 1;

    cpu_count(cpu, COUNT_LD);
    if (!write && known_device(cpu, va, info, false)) {
        env->ret = io_read(cpu, va, device_address(cpu, va, info, false), size, IO_ONLY, TCG_READ);
        host_put(env->vspill[15], env->ret, 8);
        return;
    }
    check_align(cpu, va, info, write ? TCG_WRITE : TCG_READ);
    if (write)
        tcg_probe(cpu, va, size, TCG_WRITE, regime);
    if (size > 8) {
        uint8_t *out = env->vspill[15];
        tcg_probe(cpu, va, size, TCG_READ, regime);
        for (unsigned n = 0; n < size; n += 8)
            host_put(out + n, load_any(cpu, va + n, 8, regime, IO_RESTART), 8);
        return;
    }
    env->ret = load_any(cpu, va, size, regime, info & INFO_ONLY ? IO_ONLY : IO_RESTART);
    host_put(env->vspill[15], env->ret, 8);
}

void tcg_slow_fill(TcgCpu *cpu)
{
    TcgEnv *env = cpu->env;
    unsigned info = (unsigned)env->arg[3], regime = info >> 8 & 15;
    TcgAccess access = info >> 12 & 1 ? TCG_WRITE : TCG_READ;

    cpu_count(cpu, COUNT_FILL);
    check_align(cpu, env->arg[0], info, access);
    tcg_probe(cpu, env->arg[0], 1u << (info & IRM_SIZE), access, regime);
    if (tlb_ref(cpu, env->arg[0], access == TCG_WRITE, regime).info->gpa & TLB_G_IO)
        tcg_lookup_vain(cpu);
}

void tcg_slow_st(TcgCpu *cpu)
{
    TcgEnv *env = cpu->env;
    uint64_t va = env->arg[0];
    unsigned info = (unsigned)env->arg[3], size = 1u << (info & IRM_SIZE), regime = info >> 8 & 15;

    cpu_count(cpu, COUNT_ST);
    if (known_device(cpu, va, info, true)) {
        io_write(cpu, va, device_address(cpu, va, info, true), env->arg[1], size, IO_ONLY);
        return;
    }
    check_align(cpu, va, info, TCG_WRITE);
    if (size > 8) {
        tcg_probe(cpu, va, size, TCG_WRITE, regime);
        for (unsigned n = 0; n < size; n += 8)
            store_any(cpu, va + n, host_get(env->vspill[15] + n, 8), 8, regime, IO_RESTART);
        return;
    }
    store_any(cpu, va, env->arg[1], size, regime, info & INFO_ONLY ? IO_ONLY : IO_RESTART);
}

/* Memory operands of IR_NATIVE, 2 to 10 bytes (info bits 16..23), through env->vspill[15]. */
static unsigned native_size(const TcgEnv *env) { return (unsigned)env->arg[3] >> 16 & 255; }
static unsigned native_step(unsigned left) { return left >= 8 ? 8 : left >= 4 ? 4 : 2; }

void tcg_slow_native_ld(TcgCpu *cpu)
{
    TcgEnv *env = cpu->env;
    uint64_t va = env->arg[0];
    unsigned size = native_size(env), regime = (unsigned)env->arg[3] >> 8 & 15;
    uint8_t *out = env->vspill[15];

    cpu_count(cpu, COUNT_NATIVE_LD);
    tcg_probe(cpu, va, size, TCG_READ, regime);
    for (unsigned n = 0, step; n < size; n += step) {
        step = native_step(size - n);
        host_put(out + n, load_any(cpu, va + n, step, regime, IO_RESTART), step);
    }
}

/* All that keeps the store from happening happens here, before the instruction has changed anything. */
void tcg_slow_native_check(TcgCpu *cpu)
{
    TcgEnv *env = cpu->env;
    tcg_store_ready(cpu, env->arg[0], native_size(env), (unsigned)env->arg[3] >> 8 & 15);
}

void tcg_slow_native_st(TcgCpu *cpu)
{
    TcgEnv *env = cpu->env;
    cpu_count(cpu, COUNT_NATIVE_ST);
    cpu->committed = true;
    tcg_store_bytes(cpu, env->arg[0], env->vspill[15], native_size(env), (unsigned)env->arg[3] >> 8 & 15);
    cpu->committed = false;
}

void tcg_slow_native_load(TcgCpu *cpu)
{
    cpu_count(cpu, COUNT_NATIVE_LOAD);
    cpu->isa->fpu_load(cpu);
}

static uint64_t sext(uint64_t v, unsigned size) { return (uint64_t)((int64_t)(v << (64 - 8 * size)) >> (64 - 8 * size)); }
static uint64_t zext(uint64_t v, unsigned size) { return size == 8 ? v : v & ((1ull << (8 * size)) - 1); }

static uint64_t rmw_new(unsigned what, unsigned size, uint64_t old, uint64_t v)
{
    switch (what) {
    case IRA_XCHG: return v;
    case IRA_ADD: return old + v;
    case IRA_SUB: return old - v;
    case IRA_AND: return old & v;
    case IRA_OR: return old | v;
    case IRA_XOR: return old ^ v;
    case IRA_NEG: return -old;
    case IRA_NOT: return ~old;
    case IRA_SMIN: return (int64_t)sext(old, size) < (int64_t)sext(v, size) ? old : v;
    case IRA_SMAX: return (int64_t)sext(old, size) > (int64_t)sext(v, size) ? old : v;
    case IRA_UMIN: return zext(old, size) < zext(v, size) ? old : v;
    default: return zext(old, size) > zext(v, size) ? old : v;
    }
}

static bool host_cas(uint8_t *p, uint64_t *expect, uint64_t v, unsigned size)
{
    bool ok;
    switch (size) {
    case 1: { uint8_t e = (uint8_t)*expect; ok = __atomic_compare_exchange_n(p, &e, (uint8_t)v, false, 5, 5); *expect = e; return ok; }
    case 2: { uint16_t e = (uint16_t)*expect; ok = __atomic_compare_exchange_n((uint16_t *)p, &e, (uint16_t)v, false, 5, 5); *expect = e; return ok; }
    case 4: { uint32_t e = (uint32_t)*expect; ok = __atomic_compare_exchange_n((uint32_t *)p, &e, (uint32_t)v, false, 5, 5); *expect = e; return ok; }
    default: return __atomic_compare_exchange_n((uint64_t *)p, expect, v, false, 5, 5);
    }
}

static uint64_t host_rmw(uint8_t *host, unsigned what, bool cas, uint64_t expect, uint64_t v, unsigned size)
{
    uint64_t old = cas ? zext(expect, size) : host_get(host, size);
    if (cas)
        host_cas(host, &old, v, size);
    else
        while (!host_cas(host, &old, rmw_new(what, size, old, v), size))
            ;
    return zext(old, size);
}

void tcg_slow_rmw(TcgCpu *cpu)
{
    TcgEnv *env = cpu->env;
    uint64_t va = env->arg[0], v = env->arg[1], expect = env->arg[2];
    unsigned info = (unsigned)env->arg[3], size = 1u << (info & IRM_SIZE), regime = info >> 8 & 15, what = info >> 16 & 255;
    bool cas = info >> 24 & 1, io, watched;

    cpu_count(cpu, COUNT_RMW);
    check_align(cpu, va, info, TCG_WRITE);
    if (cpu_direct(cpu)) {     /* across pages too: the host's split lock */
        env->ret = host_rmw(cpu_host(cpu, va), what, cas, expect, v, size);
        return;
    }
    if (crosses(va, size)) {
        tcg_probe(cpu, va, size, TCG_WRITE, regime);
        tcg_need_alone(cpu);
        uint64_t old = load_any(cpu, va, size, regime, IO_RESTART);
        store_any(cpu, va, cas ? (zext(old, size) == zext(expect, size) ? v : old) : rmw_new(what, size, old, v), size, regime, IO_RESTART);
        env->ret = old;
        return;
    }
    TlbRef r = tlb_get(cpu, va, TCG_WRITE, regime, &io, &watched);
    uint64_t gpa = (r.info->gpa & PAGE_MASK) | (va & ~PAGE_MASK);
    if (io) {
        io_alone(cpu);
        uint64_t old = io_read(cpu, va, gpa, size, IO_RESTART, TCG_WRITE);
        io_write(cpu, va, gpa, cas ? (old == zext(expect, size) ? v : old) : rmw_new(what, size, old, v), size, IO_RESTART);
        env->ret = old;
        return;
    }
    uint8_t *host = (uint8_t *)(uintptr_t)(va + r.e->addend);
    if (watched)
        note_write(cpu, gpa, size);
    env->ret = host_rmw(host, what, cas, expect, v, size);
    if (watched)
        note_written(cpu, gpa, size);
}

/* ---- guest-physical, for page-table walks ---- */
bool tcg_phys_load(TcgCpu *cpu, uint64_t gpa, unsigned size, uint64_t *ret)
{
    PhysEntry *e = &cpu->phys[gpa >> TCG_PAGE_BITS & (PHYS_ENTRIES - 1)];
    uint8_t *host = e->host;
    if (e->gpa != (gpa & PAGE_MASK) || e->gen != cpu->phys_gen) {
        unsigned flags;
        host = ram_page(cpu, gpa & PAGE_MASK, &flags);
        if (host)
            *e = (PhysEntry){ gpa & PAGE_MASK, host, cpu->phys_gen };
    }
    if (!host || crosses(gpa, size))
        return false;
    *ret = host_get(host + (gpa & ~PAGE_MASK), size);
    return true;
}

static uint8_t *phys_writable(TcgCpu *cpu, uint64_t gpa, unsigned size)
{
    unsigned flags;
    uint8_t *host = ram_page(cpu, gpa & PAGE_MASK, &flags);
    if (!host || flags & TCG_PAGE_RO || crosses(gpa, size))
        return NULL;
    if (flags & TCG_PAGE_TRACK || tcg_page_has_code(cpu->ctx, gpa & PAGE_MASK))
        note_write(cpu, gpa, size);
    return host + (gpa & ~PAGE_MASK);
}

bool tcg_phys_cas(TcgCpu *cpu, uint64_t gpa, unsigned size, uint64_t expect, uint64_t value, bool *ret_done)
{
    uint8_t *p = phys_writable(cpu, gpa, size);
    if (!p)
        return false;
    *ret_done = host_cas(p, &expect, value, size);
    return true;
}

bool tcg_phys_store(TcgCpu *cpu, uint64_t gpa, unsigned size, uint64_t value)
{
    uint8_t *p = phys_writable(cpu, gpa, size);
    if (!p)
        return false;
    host_put(p, value, size);
    return true;
}
