/*
 * PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM (SDM 2B 4.1): the host's own, out of a table of all immediates. They write registers and flags at once, which
 * no vector operation of the IR does.
 */
#include "tcg/guest/x86/sys.h"

/* pcmpXstrY xmm0, xmm1, imm8; ret: eight bytes each, 256 for each of 60 ESTRM, 61 ESTRI, 62 ISTRM, 63 ISTRI; with 64-bit lengths. */
void pcmpstr_forms(void);
__asm__(".text\n.balign 16\npcmpstr_forms:\n"
        ".set i, 0x60\n.rept 4\n.set j, 0\n.rept 256\n.byte 0x66, 0x48, 0x0f, 0x3a, i, 0xc1, j, 0xc3\n.set j, j + 1\n.endr\n.set i, i + 1\n.endr\n");

/* c: immediate | first operand << 8 | index form << 16 | implicit << 17 | 64-bit lengths << 20 | VEX << 21 */
uint64_t x86_h_pcmpstr(void *state, uint64_t lo, uint64_t hi, uint64_t c, uint64_t d)
{
    X86State *s = state;
    unsigned index = c >> 16 & 1, implicit = c >> 17 & 1;
    bool wide = c >> 20 & 1;
    const uint64_t *a = s->vec[c >> 8 & 15].q, b[2] = { lo, hi };
    uint64_t mask[2], flags, at = s->gpr[X86_RCX];
    /* a 32-bit length is as good as its sign extension: only its distance from 0 counts, up to the number of elements */
    uint64_t la = wide ? s->gpr[X86_RAX] : (uint64_t)(int32_t)s->gpr[X86_RAX], lb = wide ? s->gpr[X86_RDX] : (uint64_t)(int32_t)s->gpr[X86_RDX];
    uintptr_t fn = (uintptr_t)pcmpstr_forms + 8 * ((implicit * 2 + index) * 256 + (c & 255));

    __asm__ volatile("movdqu (%[a]), %%xmm0\n\tmovdqu (%[b]), %%xmm1\n\tcall *%[fn]\n\tpushfq\n\tpop %[fl]\n\tmovdqu %%xmm0, (%[m])"
                     : "+c"(at), [fl] "=&r"(flags)
                     : [a] "r"(a), [b] "r"(b), [m] "r"(mask), [fn] "r"(fn), "a"(la), "d"(lb)
                     : "memory", "cc");
    if (index) {
        s->gpr[X86_RCX] = at;
    } else {
        s->vec[0].q[0] = mask[0];
        s->vec[0].q[1] = mask[1];
        if (c >> 21 & 1)
            s->vec[0].q[2] = s->vec[0].q[3] = 0;
    }
    s->cc = (uint32_t)(flags & (X86_CF | X86_PF | X86_AF | X86_ZF | X86_SF)) << 8 | (flags & X86_OF ? X86_CC_V : 0);
    return 0;
}
