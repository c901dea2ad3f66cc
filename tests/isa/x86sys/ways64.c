/*
 * Ways that regions follow beyond their page: targets of indirect calls and jumps, and returns. They change, their code is written, their page becomes
 * another one, in the loop too; they fault; the return address is another one; another address space has other pages there.
 */
#include "tests/isa/x86sys/long.h"

int main(void);

/* Copied to their places: LOOPS at va 0x300000, CALLEES at 0x305000 with 1 and, as other pages, with 2; CHANGERS at 0x308000. */
__asm__(".pushsection .text\n"
    "        .balign 64\n"
    "loops:  xorl %eax, %eax\n"
    "1:      call *0x324000\n decl %edi\n jnz 1b\n ret\n"
    "        .balign 64\n"                                      /* 40: as a PLT does */
    "        xorl %eax, %eax\n"
    "1:      call 2f\n decl %edi\n jnz 1b\n ret\n"
    "2:      jmp *0x324000\n"
    "        .balign 64\n"                                      /* 80: a change first */
    "        xorl %eax, %eax\n"
    "1:      call *0x324008\n call *0x324000\n decl %edi\n jnz 1b\n ret\n"
    "        .balign 64\n"                                      /* c0: the callee may skip the addition */
    "        xorl %eax, %eax\n"
    "1:      call *0x324000\n addl $1, %eax\n decl %edi\n jnz 1b\n ret\n"
    "        .balign 64\n"                                      /* 100: a computed jump */
    "        xorl %eax, %eax\n"
    "1:      movl %edi, %edx\n andl %esi, %edx\n jmp *0x324010(,%rdx,8)\n"
    "        addl $16, %eax\n"
    "        decl %edi\n jnz 1b\n ret\n"
    "loops_end:\n"
    "        .balign 64\n"
    "callees: addl $1, %eax\n ret\n"
    "        .balign 16\n"                                      /* 10 */
    "        movl (%rsi), %ecx\n addl %ecx, %eax\n ret\n"
    "        .balign 16\n"                                      /* 20 */
    "        testb $63, %dil\n jnz 1f\n addq $3, (%rsp)\n 1: ret\n"
    "        .balign 16\n"                                      /* 30: faults when 5 times are left */
    "        cmpl $5, %edi\n jne 1f\n incl %eax\n movl 0x30a000, %ecx\n 1: incl %eax\n ret\n"
    "callees_end:\n"
    "        .balign 64\n"
    "changers: movl %edi, %ecx\n andb $3, %cl\n movb %cl, 0x305002\n ret\n"
    "        .balign 32\n"                                      /* 20: the other page */
    "        xorq $0x3000, 0x14828\n invlpg 0x305000\n ret\n"
    "        .balign 32\n"                                      /* 40: the other target */
    "        testb $31, %dil\n jnz 1f\n xorl $0x3000, 0x324000\n 1: ret\n"
    "changers_end:\n"
    ".popsection");
extern char loops[], loops_end[], callees[], callees_end[], changers[], changers_end[];

static void copy(u64 to, const char *from, const char *end)
{
    for (volatile u8 *p = (volatile u8 *)to; from < end;)
        *p++ = (u8)*from++;
}

static u32 loop(u64 off, u32 n, void *arg)
{
    u32 r;
    __asm__ volatile("call *%3" : "=a"(r), "+D"(n), "+S"(arg) : "r"(0x300000 + off) : "rcx", "rdx", "memory", "cc");
    return r;
}

static void target(u64 slot, u64 to) { *(volatile u64 *)(0x324000 + 8 * slot) = to; }
static void show(const char *name, u64 off, u32 n, void *arg)
{
    text(name);
    for (int k = 0; k < 4; k++)
        field("", loop(off, k & 1 ? n : 7, arg));
    text("\n");
}

static void faulting(void) { res0 = loop(0, 5000, 0); }

/* The tables of another address space, at 0x330000, in which 0x305000 is the other page. */
static u64 other_space(void)
{
    for (unsigned k = 0; k < 0x5000 / 8; k++)
        ((volatile u64 *)0x330000)[k] = ((volatile u64 *)0x10000)[k];
    *(volatile u64 *)0x330000 = 0x331007;
    *(volatile u64 *)0x331000 = 0x332007;
    *(volatile u64 *)0x332000 = 0x333007;
    *(volatile u64 *)0x332008 = 0x334007;
    *(volatile u64 *)(0x333000 + 8 * 0x305) = 0x322007;
    return 0x330000;
}

static void places(void)
{
    scratch[0] = 7;
    scratch[1] = 9;
    copy(0x320000, loops, loops_end);
    copy(0x321000, callees, callees_end);
    copy(0x322000, callees, callees_end);
    *(volatile u8 *)0x322002 = 2;
    copy(0x323000, changers, changers_end);
    set_pte(0x300000, 0x320007);
    set_pte(0x305000, 0x321007);
    set_pte(0x306000, 0x322007);
    set_pte(0x308000, 0x323007);
}

int main(void)
{
    setup();
    extra = is_ours();
    places();
    target(0, 0x305000);
    show("call", 0, 4000, 0);
    show("plt", 0x40, 4000, 0);
    target(0, 0x306000);
    show("call another", 0, 4000, 0);
    show("plt another", 0x40, 4000, 0);
    target(0, 0x305000);
    show("call the first", 0, 4000, 0);
    target(0, 0x305010);
    show("load", 0, 4000, scratch);
    show("load another", 0, 4000, scratch + 1);
    target(0, 0x305000);
    *(volatile u8 *)0x321002 = 3;
    show("written", 0, 4000, 0);
    show("written, plt", 0x40, 4000, 0);
    *(volatile u8 *)0x321002 = 1;
    target(1, 0x308000);
    show("written in the loop", 0x80, 2000, 0);
    *(volatile u8 *)0x321002 = 1;
    set_pte(0x305000, 0x322007);
    show("mapped", 0, 4000, 0);
    show("mapped, plt", 0x40, 4000, 0);
    set_pte(0x305000, 0x321007);
    show("mapped back", 0, 4000, 0);
    target(1, 0x308020);
    show("mapped in the loop", 0x80, 2000, 0);
    set_pte(0x305000, 0x321007);
    target(1, 0x308040);
    show("targets in the loop", 0x80, 4000, 0);
    target(0, 0x305020);
    show("return elsewhere", 0xc0, 4000, 0);
    for (unsigned k = 0; k < 4; k++)
        target(2 + k, k == 2 ? 0x30010d : 0x300110);
    show("computed", 0x100, 4000, (void *)0);
    show("computed", 0x100, 4000, (void *)2);
    show("computed", 0x100, 4000, (void *)3);
    u64 here = cr(3), there = other_space();
    target(0, 0x305000);
    for (int k = 0; k < 4; k++) {
        set_cr(3, k & 1 ? there : here);
        show(k & 1 ? "there" : "here", 0, 4000, 0);
        show("plt", 0x40, 4000, 0);
    }
    set_cr(3, here);
    target(0, 0x305030);
    set_pte(0x30a000, 0);
    for (int k = 0; k < 3; k++)
        run("fault", faulting);
    return 0;
}
