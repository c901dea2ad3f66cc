/*
 * Memory operands that are looked up whole: REP MOVS and REP STOS (short, across pages, overlapping, with DF, into a page that is not there), gathers with all
 * elements wanted, masked moves, PCMPxSTRI at the end of a page; LDMXCSR. Each line: what is left of registers and a sum over the memory. Debian's QEMU 7.2 differs in
 * masked stores that fault, which may not write anything (SDM 2C VMASKMOV: as if all elements were looked at first), says another byte of the page, and has neither #GP of LDMXCSR nor #XM.
 */
#include "tests/isa/x86sys/long.h"

int main(void);

enum { AREA = 0x100000, PAGES = 5, HOLE = AREA + 0x5000, BACK = AREA + 0x8000 };   /* BACK: the same memory as AREA */
u64 in_si, in_di, in_cx, out_si, out_di, out_cx, out_fl;
u8 ymm[4][32] __attribute__((aligned(32)));

/* try(), and what registers the instruction or its fault left */
int try_more(void (*f)(void));
__asm__(".pushsection .text\ntry_more: call try; movq %rsi, out_si; movq %rdi, out_di; movq %rcx, out_cx; ret\n.popsection");

#define REP(name, insn) CODE(name, "movq in_si, %rsi; movq in_di, %rdi; movq in_cx, %rcx; movabsq $0x8877665544332211, %rax; " insn "; cld")
REP(r_movsb, "rep movsb");
REP(r_movsw, "rep movsw");
REP(r_movsl, "rep movsl");
REP(r_movsq, "rep movsq");
REP(r_stosb, "rep stosb");
REP(r_stosw, "rep stosw");
REP(r_stosl, "rep stosl");
REP(r_stosq, "rep stosq");
REP(r_down, "std; rep movsw");
REP(r_down_stos, "std; rep stosl");
REP(r_movs32, "rep movsb (%esi), (%edi)");

#define VEC(name, insn) CODE(name, "vmovdqa ymm, %ymm0; vmovdqa ymm + 32, %ymm1; vmovdqa ymm + 64, %ymm2; movq in_si, %rsi; movq in_di, %rdi; movq in_cx, %rcx; " \
    "movl $16, %eax; movl $9, %edx; " insn "; pushfq; popq out_fl; vmovdqa %ymm0, ymm; vmovdqa %ymm1, ymm + 32; vmovdqa %ymm2, ymm + 64; vzeroupper")
VEC(v_gdd, "vpgatherdd %ymm1, (%rsi, %ymm2, 4), %ymm0");
VEC(v_gdd4, "vpgatherdd %xmm1, 4(%rsi, %xmm2, 2), %xmm0");
VEC(v_gdq, "vpgatherdq %ymm1, (%rsi, %xmm2, 8), %ymm0");
VEC(v_gqd, "vpgatherqd %xmm1, (%rsi, %ymm2, 1), %xmm0");
VEC(v_gqd2, "vgatherqps %xmm1, (%rsi, %xmm2, 1), %xmm0");
VEC(v_gqq, "vgatherqpd %ymm1, (, %ymm2, 1), %ymm0");
VEC(v_mld, "vpmaskmovd (%rsi), %ymm1, %ymm0");
VEC(v_mlq, "vmaskmovpd (%rsi), %xmm1, %xmm0");
VEC(v_mst, "vmaskmovps %ymm2, %ymm1, (%rdi)");
VEC(v_mstq, "vpmaskmovq %ymm2, %ymm1, (%rdi)");
VEC(v_istri, "pcmpistri $0x0c, (%rsi), %xmm2");
VEC(v_istri2, "vpcmpistri $0x40, (%rsi), %xmm2");
VEC(v_estri, "pcmpestri $0x18, (%rsi), %xmm2");
VEC(v_upper, "vzeroupper; vpaddd %xmm1, %xmm2, %xmm0");
CODE(v_counts, "movq in_cx, %rcx; tzcntq %rcx, %rax; pushfq; popq out_fl; lzcntl %ecx, %edx; pushfq; popq out_cx; popcntq %rcx, %rdi; pushfq; popq out_di; "
     "addq %rdx, %rax; addq %rdi, %rax; movq %rax, res0");

/* 3 / 2 rounded to an integer, and MXCSR then */
CODE(f_mxcsr, "movq in_cx, %rcx; movl %ecx, scratch; ldmxcsr scratch; movl $3, %eax; cvtsi2sd %eax, %xmm0; movl $2, %eax; cvtsi2sd %eax, %xmm1; divsd %xmm1, %xmm0; "
     "cvtsd2si %xmm0, %rax; stmxcsr scratch; movl scratch, %edx; shlq $32, %rdx; orq %rdx, %rax; movl $0x1f80, scratch + 4; ldmxcsr scratch + 4; movq %rax, res0");

static u64 sum(void)
{
    u64 s = 0;
    for (const volatile u64 *p = (u64 *)AREA; p < (u64 *)(AREA + PAGES * 0x1000); p++)
        s = (s ^ *p) * 0x9e3779b97f4a7c15ul + (s >> 29);
    return s;
}

static void fill_area(void)
{
    for (u32 i = 0; i < PAGES * 0x200; i++)
        ((volatile u64 *)AREA)[i] = (i + 1) * 0x0123456789abcdeful;
}

static void rep(const char *name, void (*f)(void), u64 si, u64 di, u64 cx)
{
    in_si = si;
    in_di = di;
    in_cx = cx;
    res0 = 0;
    report(name, try_more(f));
    field(" si", out_si - si);
    field("di", out_di - di);
    field("cx", out_cx);
    field("sum", sum());
    text("\n");
}

static void reps(void)
{
    static const struct { const char *name; void (*f)(void); } s[] = {
        { "movsb", r_movsb }, { "movsw", r_movsw }, { "movsl", r_movsl }, { "movsq", r_movsq }, { "stosb", r_stosb }, { "stosw", r_stosw }, { "stosl", r_stosl },
        { "stosq", r_stosq }, { "down", r_down }, { "down stos", r_down_stos }, { "movsb a32", r_movs32 },
    };
    for (unsigned i = 0; i < sizeof(s) / sizeof(s[0]); i++) {
        fill_area();
        rep(s[i].name, s[i].f, AREA + 0x1100, AREA + 0x2203, 17);
        rep(s[i].name, s[i].f, AREA + 0x1100, AREA + 0x2203, 0);
        rep(s[i].name, s[i].f, AREA + 0x1000, AREA + 0x3000, 512);
        rep(s[i].name, s[i].f, AREA + 0x1ff5, AREA + 0x2ff9, 40);
        rep(s[i].name, s[i].f, AREA + 0x1100, AREA + 0x1104, 90);       /* repeats four bytes */
        rep(s[i].name, s[i].f, AREA + 0x1104, AREA + 0x1100, 90);
        rep(s[i].name, s[i].f, BACK + 0x1100, AREA + 0x1103, 60);       /* the same in disguise */
        rep(s[i].name, s[i].f, AREA + 0x800, AREA + 0x2801, 1000);
        rep(s[i].name, s[i].f, AREA + 0x1000, HOLE - 21, 12);           /* some fault */
        rep(s[i].name, s[i].f, AREA + 0x1003, HOLE - 0x1003, 0x1010);
    }
}

static void vec(const char *name, void (*f)(void), const u64 *v0, const u64 *v1, const u64 *v2, u64 si, u64 di, u64 cx)
{
    const u64 *v[3] = { v0, v1, v2 };
    for (unsigned k = 0; k < 12; k++)
        ((volatile u64 *)ymm)[k] = v[k / 4][k % 4];
    out_fl = 0;
    rep(name, f, si, di, cx);
    text(" ");
    field("fl", out_fl & 0x8d5);
    for (unsigned k = 0; k < 12; k++)
        field("v", ((volatile u64 *)ymm)[k]);
    text("\n");
}

static void vecs(void)
{
    static const u64 ones[4] = { ~0ul, ~0ul, ~0ul, ~0ul }, some[4] = { 0x80000000ul, 1ul << 63, 0, ~0ul }, old[4] = { 1, 2, 3, 4 };
    static const u64 near[4] = { 0x0000000500000001, 0x00000003fffffffe, 0x0000000400000002, 0xffffffff00000006 }, wide[4] = { 0x18, 0x1007, (u64)-9, 0x2ffd };
    static const u64 abs[4] = { AREA + 0x18, AREA + 0x1ffc, AREA + 0x2ff9, AREA }, hole[4] = { 0, 0x10, HOLE - AREA, 0x20 }, word[4] = { 0x6867666564636261, 0x706f6e6d6c6b6a69 };
    static const struct { const char *name; void (*f)(void); const u64 *index; } s[] = {
        { "dd", v_gdd, near }, { "dd4", v_gdd4, near }, { "dq", v_gdq, near }, { "qd", v_gqd, wide }, { "qd2", v_gqd2, wide }, { "qq", v_gqq, abs }, { "qd hole", v_gqd, hole },
    };
    fill_area();
    for (unsigned i = 0; i < sizeof(s) / sizeof(s[0]); i++) {
        vec(s[i].name, s[i].f, old, ones, s[i].index, AREA + (i == 6 ? 0 : 0x40), 0, 0);
        vec(s[i].name, s[i].f, old, some, s[i].index, AREA + (i == 6 ? 0 : 0x40), 0, 0);
    }
    for (unsigned i = 0; i < 2; i++) {
        const u64 *m = i ? some : ones;
        u64 end = i ? HOLE - 8 : AREA + 0x2ff1;
        vec("mask load", v_mld, old, m, near, AREA + 0x123, 0, 0);
        vec("mask load end", v_mld, old, m, near, end, 0, 0);
        vec("mask load q", v_mlq, old, m, near, AREA + 0x2ff3, 0, 0);
        vec("mask store", v_mst, old, m, near, 0, AREA + 0x321, 0);
        vec("mask store end", v_mst, old, m, near, 0, end, 0);
        vec("mask store q", v_mstq, old, m, near, 0, AREA + 0x2ff3, 0);
    }
    fill_area();
    for (unsigned i = 0; i < 16; i++)
        ((volatile u8 *)(HOLE - 24))[i] = i == 11 ? 0 : (u8)('c' + i);
    vec("istri", v_istri, old, ones, word, HOLE - 24, 0, ~0ul);
    vec("istri 40", v_istri2, old, ones, word, HOLE - 24, 0, ~0ul);
    vec("istri hole", v_istri, old, ones, word, HOLE - 15, 0, ~0ul);
    vec("estri", v_estri, old, ones, word, HOLE - 24, 0, ~0ul);
    vec("upper", v_upper, ones, some, near, 0, 0, 0);
    static const u64 counts[] = { 0, 1, 1ul << 63, 1ul << 32, 0x80000000, 0xfffffffffffffff0, 3 };
    for (unsigned i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        in_cx = counts[i];
        run("counts", v_counts);
        field(" tz", out_fl & 0x41);
        field("lz", out_cx & 0x41);
        field("pop", out_di & 0x8d5);
        text("\n");
    }
}

int main(void)
{
    extra = is_ours();
    setup();
    set_cr(4, cr(4) | 1 << 18);
    __asm__ volatile("xsetbv" : : "c"(0), "a"(7), "d"(0));
    for (u32 p = 0; p < PAGES; p++)
        set_pte(BACK + p * 0x1000, (AREA + p * 0x1000) | 7);
    set_pte(HOLE, 0);
    reps();
    vecs();
    static const u64 env[] = { 0x1f80, 0x3f80, 0x5f80, 0x7f81, 0x11f80, 0x1f00, 0x0f80, 0x1f80 };
    for (unsigned i = 0; i < sizeof(env) / sizeof(env[0]); i++) {
        in_cx = env[i];
        run("mxcsr", f_mxcsr);
    }
    text("end\n");
    return 0;
}
