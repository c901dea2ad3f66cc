/* A page of code mapped twice in one address space, beside different pages: what jumps out of it goes on beside it, in a loop (a region) too. */
#include "tests/isa/x86sys/long.h"

int main(void);
static void code(u64 at, const char *bytes, unsigned n)
{
    volatile u8 *p = (volatile u8 *)at;
    for (unsigned k = 0; k < n; k++)
        p[k] = (u8)bytes[k];
}

typedef int Fn(int);

int main(void)
{
    setup();
    /* P at 0x300000 and 0x310000; behind it Q and R. */
    u64 p = 0x320000, q = 0x321000, r = 0x322000;
    set_pte(0x300000, p | 7);
    set_pte(0x301000, q | 7);
    set_pte(0x310000, p | 7);
    set_pte(0x311000, r | 7);
    code(p, "\xe9\xfb\x0f\0\0", 5);                            /* jmp +0x1000 */
    code(q, "\xb8\1\0\0\0\xc3", 6);                            /* mov eax, 1; ret */
    code(r, "\xb8\2\0\0\0\xc3", 6);
    /* xor eax, eax; again: call +0x1000 (of the page); dec edi; jnz again; ret */
    code(p + 0x100, "\x31\xc0\xe8\xf9\x0f\0\0\xff\xcf\x75\xf7\xc3", 12);
    code(q + 0x100, "\xff\xc0\xc3", 3);                        /* inc eax; ret */
    code(r + 0x100, "\x83\xc0\x02\xc3", 4);                    /* add eax, 2; ret */
    for (int k = 0; k < 3; k++) {
        int a = 0, b = 0, n = k == 1 ? 4000 : 10;
        for (int i = 0; i < 10; i++)
            a += ((Fn *)0x300000)(0);
        for (int i = 0; i < 10; i++)
            b += ((Fn *)0x310000)(0);
        text("Q "), hex((u64)a), text(" R "), hex((u64)b);
        text(" loops "), hex((u64)((Fn *)0x300100)(n)), text(" "), hex((u64)((Fn *)0x310100)(n)), text(" "), hex((u64)((Fn *)0x300100)(n)), text("\n");
    }
    return 0;
}
