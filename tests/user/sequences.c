/* Instruction sequences that some translation got wrong once; prints the registers they leave. */
#include <stdint.h>
#include <stdio.h>

#ifdef __x86_64__
#define SHOW(name, code) \
    do { \
        uint64_t a = 0x1111222233334444, d = 0x55556666, f = 0x7777, g = 0x123456789; \
        __asm__ volatile("mov %3, %%r15; mov %2, %%r14; " code "; mov %%r14, %2; mov %%r15, %3" : "+a"(a), "+d"(d), "+r"(f), "+r"(g) : : "rcx", "rsi", "r14", "r15", "cc"); \
        printf("%s: %llx %llx %llx %llx\n", name, (unsigned long long)a, (unsigned long long)d, (unsigned long long)f, (unsigned long long)g); \
    } while (0)

int main(void)
{
    /* the sum goes into the register that the address is made of, before the address was computed */
    SHOW("lea, add", "lea 0x48(%%r15,%%rdx,4), %%edx; add %%r14d, %%edx");
    SHOW("lea, add 64", "lea 0x48(%%r15,%%rdx,4), %%rdx; add %%r14, %%rdx");
    SHOW("lea, sub", "lea -3(%%rax,%%rdx,2), %%rdx; sub %%r14, %%rdx");
    SHOW("lea, imul", "lea 5(%%rax,%%rdx), %%rdx; imul %%r15, %%rdx");
    SHOW("lea, shl", "mov $5, %%ecx; lea 5(%%rax,%%rdx), %%rdx; shl %%cl, %%rdx; lea (%%rdx,%%rdx,8), %%rdx; rol $7, %%edx");
    SHOW("lea, xor, lea", "lea 1(%%rdx), %%rcx; lea (%%rcx,%%rdx), %%rdx; xor %%rcx, %%rdx; lea 7(%%rdx,%%rcx,4), %%rcx; sub %%rdx, %%rcx; mov %%rcx, %%rax");
    SHOW("lea, cmov", "lea (%%rdx,%%rdx,2), %%rdx; cmp %%r14, %%rdx; cmova %%r15, %%rdx; lea 9(%%rdx), %%rax; adc %%rax, %%rdx");
    SHOW("lea, neg", "lea 100(%%rdx), %%rdx; neg %%rdx; lea (%%r15,%%rdx), %%r15; not %%r15; bswap %%rdx");
    return 0;
}
#else
int main(void) { return 0; }
#endif
