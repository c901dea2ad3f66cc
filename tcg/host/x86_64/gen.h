#pragma once
#include "tcg/host/x86_64/asm.h"
#include "tcg/tcg-internal.h"

/*
 * One unit on its way to x86-64 code.
 *
 * Registers: RBP = guest state + STATE_BIAS, R15 = soft TLB of the address space, RSP = host stack. The nine guest slots of
 * best rank live in "homes" all the time, across every jump between translations; RAX RCX RDX RSI are temporaries.
 * Vector slots (of 64 to 256 bits) of rank 1 to N_XHOMES have host register rank-1 as home while env->vec_live says so: translated code that uses one loads
 * them all where need be, and every way to C code puts them back into the state first. The other vector registers are temporaries,
 * the other vector slots live in memory and are written through.
 */
enum { HOST_ADX = 1 };         /* TcgContext.host_has */
enum { STATE_BIAS = 128, N_HOMES = 9, N_XHOMES = 12 };
enum { LINK_PAGE = 12,         /* from the context immediate of a jump to another page back to the page's: imm32, jcc8, cmp m32 */
       LINK_NO_PAGE = 1 };     /* the page of no context: pages are aligned */
enum { TEMPS = 1 << RAX | 1 << RCX | 1 << RDX | 1 << RSI };
/* homes in order of rank: the callee-saved ones first */
static const uint8_t home_reg[N_HOMES] = { RBX, R12, R13, R14, RDI, R8, R9, R10, R11 };

typedef enum LocKind { L_NONE, L_CONST, L_HOME, L_TEMP, L_SPILL, L_SLOT, L_XMM, L_VSPILL, L_XHOME, L_ADDR, L_VCONST, L_PC } LocKind;   /* ADDR: an LEA not emitted yet; PC: the page base and a constant, not added yet */
typedef struct Loc { uint8_t kind, reg; uint16_t n; } Loc;   /* reg: host register; n: spill place or slot */

enum { THUNK_LEAVE, THUNK_HOT, THUNK_CALL, THUNK_LD, THUNK_ST, THUNK_RMW, THUNK_MISS, THUNK_PROBE, THUNK_ENTER, THUNK_NLOAD, THUNK_NLD, THUNK_NCHECK, THUNK_NST,
       THUNK_VLOAD, THUNK_VSAVE, THUNK_FILL, THUNK_TARGET };

/* To where @reg (not RCX, RDX) says, which becomes the page base, if the jump cache knows the way; the returned place is patched to where it does not. */
static inline uint8_t *asm_jump_probe(Asm *a, unsigned reg, Mem jc, Mem pc_base)
{
    _Static_assert(sizeof(JumpEntry) == 16, "index arithmetic: eight times an even number");
    asm_vrr(a, 0xf0 | M_3A | P_F2, RCX, NOREG, reg);       /* rorx */
    a8(a, TCG_PAGE_BITS);
    asm_rr(a, 0x33, RCX, reg);
    asm_alu_ri(a, 4, RCX, (JC_SIZE - 1) << 1, 4);
    asm_load(a, RDX, jc, true);
    asm_rm(a, 0x3b | O_W, reg, mem_bid(RDX, RCX, 3, offsetof(JumpEntry, va)));
    uint8_t *miss = asm_jcc(a, IRC_NE);
    asm_alu_ri(a, 4, reg, -TCG_PAGE_SIZE, 8);
    asm_store(a, pc_base, reg, true);
    asm_rm(a, 0xff, 4, mem_bid(RDX, RCX, 3, offsetof(JumpEntry, host)));
    return miss;
}

/* An address as places to add up: what a slow path, which runs with the places as they were at the jump, computes it from. */
typedef struct Addr { Loc base, index; uint8_t scale; int32_t disp; int64_t base_const; } Addr;
/* How to make flags again from what is still there: of an operation on x and y, or from its result x and its second operand y. Bits that are set or changed then.
 * And the puts that wait: n_late of them from late_put[late] on. */
typedef struct FlagSource { uint8_t op, bytes; bool in_eflags; Loc x, y; int64_t x_const, y_const; uint16_t slot, set, turn, n_late; uint32_t late; } FlagSource;
typedef struct LatePut { Loc loc; uint16_t slot; int64_t konst; } LatePut;   /* what a slot should hold (late.c) */
enum { MAX_LATE = 2048, MAX_WAITING = 24 };
/* Where a direct jump that is not linked leads to: .from, and .poll where it must not be gone; .hot: gone often. */
typedef struct Leave { uint8_t *from, *poll, *hot; int64_t to; unsigned link; bool cross; } Leave;
typedef struct SlowPath {
    FlagSource flags;          /* to be put into their slots first; op 0: no flags */
    uint8_t *from, *from2, *back;
    uint16_t at;
    uint8_t kind, addr_tmp, dst, type, host;
    Mem addr;
    Addr places;
    uint32_t info;
    int64_t off;
    bool legacy;               /* vector load that keeps the upper half of its register */
    bool is_vec, retry;        /* retry: look up this access alone first; host is the register of the group, or NOREG */
    bool zero_host;            /* and this is the group's first access: no host address for the others */
    uint8_t *span_back;        /* first access of a group that is left for a block where it is in vain: the look-up is done, the access comes */
    uint16_t xlive;
} SlowPath;
/* Accesses of an extended basic block whose addresses differ by constants: one look-up for all (group.c). */
typedef struct Group { int64_t lo, hi; uint16_t first, last, val, n; uint8_t regime, align; bool write, leave; } Group;   /* lo, hi: bytes from the first one's address; leave: see group.c */
enum { MAX_GROUPS = 256, GROUP_SPAN = 512 };
enum { ENTRY_BYTES = 5, MAX_SLOW = 1024, MAX_ALIAS = 6, MAX_FIX = 512 };

enum { SPILL_PLACES = 48 };   /* TcgEnv.spill */
typedef struct Gen {
    Asm a;
    TcgContext *ctx;
    TcgCpu *cpu;
    IrUnit *u;
    TcgBlock *b;
    const GuestIsa *isa;
    int32_t env;               /* displacement of TcgEnv from RBP */
    unsigned regime;
    unsigned at;               /* instruction being emitted */
    int64_t insn_off;          /* page offset of the guest instruction */
    int64_t max_off;           /* of any of the unit */
    Loc loc[IR_MAX_INSNS];
    uint16_t rep[IR_MAX_INSNS];
    uint16_t reg_val[16];      /* value in each temporary, 0 = free */
    uint16_t xmm_val[16];
    uint32_t locked, xlocked;  /* not to be evicted while an instruction is emitted */
    const IrSlot *homes_of;    /* whose the next ones are; NULL: nobody's yet */
    uint8_t slot_home[256];    /* host register + 1, 0 = memory */
    uint8_t home_slot[16];
    uint8_t slot_xhome[256], xhome_slot[16];
    bool xlive;                /* vector homes are known to be live here */
    uint8_t upper_zero[IR_MAX_INSNS];   /* of a V128 value in a register: the rest of the register is 0 */
    uint16_t alias[256][MAX_ALIAS];   /* values that name a slot's (or home's) content */
    uint8_t n_alias[256];
    /* What a slot in memory holds: a value in a temporary that it holds too needs no other place when the temporary is wanted. Valid while the
     * version is the slot's; slot + 1, 0 = none. */
    struct { uint16_t slot, version; } in_slot[IR_MAX_INSNS];
    uint16_t slot_version[256];
    uint64_t spill_used;
    uint16_t spill_val[SPILL_PLACES];   /* of a place in use; its value may be in a register again */
    uint32_t vspill_used;
    struct { uint16_t last, x, y, fl, set, turn; } defer[IR_MAX_INSNS];   /* of a put of flags: last one who might look, operands, changes (flags.c); last 0: put at once */
    uint16_t pending;          /* such a put, 0 = none */
    uint16_t fl_cur;           /* flags value in EFLAGS, 0 = none of interest */
    bool fpu_live;             /* the shared FP registers are known to be in the host's */
    Group group[MAX_GROUPS];
    unsigned n_groups;
    uint16_t group_of[IR_MAX_INSNS];  /* of an access: group + 1, 0 = alone */
    int32_t group_off[IR_MAX_INSNS];
    uint8_t only[IR_MAX_INSNS];       /* of an access: the only one of its guest instruction */
    uint16_t lea_until[IR_MAX_INSNS];
    uint16_t late_until[IR_MAX_INSNS], late_real[IR_MAX_INSNS];   /* of a put that waits: who looks last, 0: it does not; the value's last use otherwise */
    uint16_t waiting[MAX_WAITING];    /* such puts */
    LatePut late_put[MAX_LATE];
    unsigned n_waiting, n_late, late_list, late_list_n;           /* list: the last one made */
    bool late;
    uint8_t *label_at[IR_MAX_LABELS];
    struct { uint8_t *at; uint16_t label; } fix[MAX_FIX];
    unsigned n_fix;
    struct { uint8_t *at; uint16_t label; FlagSource flags; } exit[IR_MAX_LABELS * 2];   /* branches that put flags on the way */
    unsigned n_exit;
    Leave leave[IR_MAX_LABELS * 2];
    unsigned n_leaves;
    SlowPath slow[MAX_SLOW];
    unsigned n_slow;
    TcgFaultAt fault[IR_MAX_INSNS];   /* direct memory */
    unsigned n_fault;
    FlagSource fault_flags[IR_MAX_INSNS];   /* of faults: .more - 1 */
    unsigned n_fault_flags;
    uint8_t *entry;            /* of the unit, writable view */
    uint8_t *vconst;           /* its 128-bit constants, in front of it */
    bool failed;
    const char *why;           /* where in the back end a unit was given up: for the log */
} Gen;
#define GEN_FAIL(g) ((g)->failed = true, (g)->why = __FILE__ ":" G_STRINGIFY(__LINE__))

/* alloc.c */
void gen_setup(Gen *g);
IrVal gen_val(const Gen *g, IrVal v);            /* through aliases */
unsigned gen_tmp(Gen *g);                        /* a free temporary, locked until gen_done */
void gen_take(Gen *g, unsigned reg);             /* free this very temporary and lock it */
void gen_unlock(Gen *g);
unsigned gen_reg(Gen *g, IrVal v);               /* v in some general register, locked */
void gen_reg_into(Gen *g, IrVal v, unsigned reg, unsigned bytes);   /* v copied into reg (taken by the caller) */
bool gen_imm32(Gen *g, IrVal v, int32_t *ret);
void gen_materialise(Gen *g, IrVal v);
bool gen_defer_lea(Gen *g, const IrInsn *i);
Mem gen_addr_mem(Gen *g, IrVal v);              /* operands of a deferred LEA in registers */
void gen_pc_into(Gen *g, int64_t off, unsigned reg);    /* page base plus @off; no flags change */
/* Where @v is, for code that is made later; in a slot .reg says how many of its bytes: a value may be the low part of what lies there. */
Loc gen_place(const Gen *g, IrVal v);
void gen_load_place(Gen *g, Loc l, int64_t konst, unsigned reg);   /* @konst: the value's imm; no flags change */
Addr gen_addr(Gen *g, IrVal v);                  /* may emit code: before the jump to the slow path, when all else is in its place */
Mem gen_spill_mem(const Gen *g, unsigned n);
bool gen_in_mem(Gen *g, IrVal v, Mem *ret);      /* v lives in memory (slot or spill) */
unsigned gen_dst(Gen *g, IrVal prefer);          /* register for the value being emitted; prefer: operand whose register may be reused */
void gen_def(Gen *g, unsigned reg);              /* the value being emitted is in reg */
void gen_def_val(Gen *g, IrVal v, unsigned reg);
void gen_free_if_dead(Gen *g, IrVal v);
void gen_free_dead(Gen *g);                      /* operands whose last use this was */
void gen_preserve_slot(Gen *g, unsigned slot, IrVal except);
void gen_preserve_all(Gen *g);
void gen_note_slot(Gen *g, unsigned slot, IrVal v);   /* the slot, in memory, holds integer v */
void gen_slots_change(Gen *g);                   /* somebody else may write any */
void gen_spill_temps(Gen *g);
void gen_spill_vectors(Gen *g);
void gen_alias_add(Gen *g, unsigned slot, IrVal v);
bool gen_live_after(const Gen *g, IrVal v);
unsigned gen_xtmp(Gen *g);
unsigned gen_xreg(Gen *g, IrVal v);
void gen_xdef(Gen *g, unsigned xmm, bool upper_zero);
unsigned gen_xdst(Gen *g);                       /* register for the vector being emitted by a VEX instruction: written once, at the end */
int gen_xhint(const Gen *g, bool low);           /* home the vector being emitted may be written to, -1: none; low: keeping the rest of it */
bool gen_in_xhome(Gen *g, IrVal v, unsigned home);
void gen_xensure(Gen *g);                        /* vector homes are live from here on */
bool gen_uses_xhome(const Gen *g, const IrInsn *i);
Mem gen_slot_mem(const Gen *g, unsigned slot);
Mem gen_vconst_mem(const Gen *g, IrVal v, unsigned tail);   /* tail: bytes of the instruction behind the displacement */
Mem gen_env(const Gen *g, size_t off);
#define ENV(g, f) gen_env(g, offsetof(TcgEnv, f))

/* group.c */
void gen_find_groups(Gen *g);
bool gen_sure(const Gen *g, unsigned at);        /* this access cannot fail: the first one of its group has looked */
void gen_drop_puts(Gen *g);                      /* dead.c: those that nobody sees */

/* late.c */
void gen_find_late(Gen *g);                      /* which puts wait */
bool gen_put_late(Gen *g, const IrInsn *i);      /* this one does */
unsigned gen_waits(const Gen *g, IrVal v);       /* a put of @v does: its last use otherwise, which may be over; 0: none */
void gen_put_now(Gen *g, IrVal v, unsigned reg); /* @v, which is in @reg, loses its place */
void gen_late_source(Gen *g, FlagSource *f);
void gen_late_puts(Gen *g, const FlagSource *f); /* no flags and registers change */
void gen_side_exit(Gen *g, int64_t off);         /* ctl.c: to a block that does the guest instruction at page offset @off (of this unit) otherwise */
void gen_free_group(Gen *g);                     /* behind the last access of its group */

/* faults.c */
/* Direct memory, behind an access: what was emitted since the last note belongs to the guest instruction under way, should the host fault in it. @f: the
 * pending put of flags, gen_flag_source in front of the access, when every place was as it is there. */
void gen_note_fault(Gen *g, const FlagSource *f, bool rmw);
void gen_keep_faults(Gen *g);                    /* for the finished block */
bool gen_host_fault(TcgCpu *cpu, const void *ucontext, bool access, int64_t *ret_off, bool *ret_rmw);   /* HostOps */
void gen_host_vectors(TcgCpu *cpu, const void *ucontext);

/* flags.c */
void gen_clobber_flags(Gen *g);                  /* about to emit something that changes EFLAGS */
void gen_use_flags(Gen *g, IrVal fl);            /* EFLAGS = fl, about to be changed */
void gen_look_at_flags(Gen *g, IrVal fl);        /* EFLAGS = fl */
unsigned gen_pack_flags(Gen *g, IrVal fl);       /* packed form in a temporary (not to be written) */
void gen_put_flags(Gen *g, unsigned slot, IrVal fl);
void gen_set_flags(Gen *g, IrVal fl);            /* EFLAGS now holds fl */
void gen_defer_flags(Gen *g);                    /* which puts of flags are left to those who look */
FlagSource gen_flag_source(Gen *g);              /* of the pending puts for whoever might look here; op 0: none of flags */
bool gen_flags_from(const Gen *g, IrVal v);      /* @v is one of its operands */
void gen_flags_again(Gen *g, const FlagSource *f, bool keep_temps);
void gen_branch(Gen *g, unsigned cc, int64_t label);
void gen_exits(Gen *g, unsigned label);          /* the ways to @label, which follows; 0: to all that are left */

/* int.c muldiv.c mem.c ctl.c vec.c */
bool gen_int(Gen *g, IrInsn *i);
void gen_muldiv(Gen *g, IrInsn *i);
unsigned gen_dst_from(Gen *g, IrVal a, IrVal b, IrVal c, unsigned bytes);   /* a register that holds a copy of @a and will become the result; never the place of @b or @c */
bool gen_mem(Gen *g, IrInsn *i);
bool gen_ctl(Gen *g, IrInsn *i);
bool gen_vec(Gen *g, IrInsn *i);
bool gen_vop(Gen *g, IrInsn *i);
void gen_count(Gen *g, unsigned index);          /* one more call of helper (or COUNT_) @index; clobbers RAX and EFLAGS */
void gen_count_in(Gen *g, unsigned index, unsigned reg);   /* the same, clobbers @reg */
bool gen_bulk_op(Gen *g, IrInsn *i);             /* bulk.c: HOST and what works on host addresses */
bool gen_native(Gen *g, IrInsn *i);
void gen_native_slow(Gen *g, const SlowPath *s);
/* Host operand of @size bytes at guest address value @v; *ret_slow: to be filled, NULL with direct memory. What it emits clobbers EFLAGS. */
Mem gen_guest_mem(Gen *g, const IrInsn *i, IrVal v, unsigned size, bool write, SlowPath **ret_slow);
SlowPath *gen_slow_new(Gen *g);
/* Out of translated code by THUNK_LEAVE, HOT or PROBE: 15 bytes. Nothing lives in temporaries any more. */
void gen_leave(Asm *a, const TcgContext *ctx, unsigned thunk, uint32_t off, uint32_t link);
void gen_slow_head(Gen *g, const SlowPath *s);
void gen_slow_call(Gen *g, const SlowPath *s, unsigned thunk);
void gen_slow_paths(Gen *g);
void gen_leaves(Gen *g);                         /* ctl.c: behind all else */
void gen_add_fix(Gen *g, uint8_t *at, int64_t label);
void gen_vec_ld(Gen *g, const IrInsn *i, Mem m, unsigned xmm, bool legacy);
void gen_vec_st(Gen *g, const IrInsn *i, Mem m, unsigned xmm);

static inline unsigned type_bytes(IrType t) { return ir_type_bytes(t); }
static inline bool type_vec(IrType t) { return t >= IRT_V64; }
