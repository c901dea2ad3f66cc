#!/usr/bin/env python3
"""Registers at a fault in the middle of a loop that was translated as a region: random loops over the ends of two mappings, and what the guest's
signal handler finds there, against a native run (x86_64) or Debian's qemu-user.

    midway.py TANDEM-USER ARCH [SEED [LOOPS]]        77: no compiler or no oracle
"""
import os
import random
import shutil
import subprocess
import sys
import tempfile

DISTANCE = (-8, 0, 8, 16, 24)


class Riscv:
    cc, qemu, end = 'riscv64-linux-gnu-gcc', 'qemu-riscv64', 'ebreak'
    regs = ['x%d' % r for r in range(5, 32)]
    state = 'for (int i = 5; i < 32; i++) mix(m->__gregs[i]); mix(m->__gregs[0] - (long)cur);'
    load, from_first, copy = 'ld {r},{at}({first})', 'mv {first},x10', 'addi {r},{r},8'
    loop, skip = 'addi {r},{r},-1\nbnez {r},1b', 'bltu {a},{b},2f\naddi {b},{b},3\n2:'
    insns = (['ld {a},{off}({p})'] * 4 + ['sd {a},{off}({p})'] * 2 + ['lbu {a},{off}({p})', 'xor {a},{b},{c}', 'addw {a},{b},{c}', 'srli {a},{b},{n}',
             'li {a},{n}*123456789'] + ['add {a},{b},{c}', 'mv {a},{b}', 'addi {a},{b},{n}'] * 2)


class X86:
    cc, qemu, end = 'gcc', None, 'ud2'
    regs = ['%' + r for r in 'rax rcx rdx rbx rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15'.split()]
    state = ('for (int i = 0; i < 15; i++) mix(m->gregs[i]); mix(m->gregs[REG_RIP] - (long)cur); mix(m->gregs[REG_EFL] & 0x8c5);')
    load, from_first, copy = 'mov {at}({first}),{r}', 'mov %rdi,{first}', 'lea 8({r}),{r}'
    loop, skip = 'dec {r}\njne 1b', 'cmp {a},{b}\njb 2f\nlea 3({b}),{b}\n2:'
    insns = (['mov {off}({p}),{a}'] * 4 + ['mov {a},{off}({p})'] * 2 + ['movzbq {off}({p}),{a}', 'xor {a},{b}', 'add {off}({p}),{a}', 'mov ${n}*1234567,{a}'] +
             ['add {a},{b}', 'mov {a},{b}', 'lea {n}({a},{b}),{c}', 'lea {n}({a}),{b}'] * 2)


class Arm:
    cc, qemu, end = 'aarch64-linux-gnu-gcc', 'qemu-aarch64', 'udf #0'
    regs = ['x%d' % r for r in range(29) if r != 18]
    state = ('for (int i = 0; i < 29; i++) if (i != 18) mix(m->regs[i]); mix(m->pc - (long)cur); mix(m->pstate & 0xf0000000);')
    load, from_first, copy = 'ldr {r},[{first},#{at}]', 'mov {first},x0', 'add {r},{r},#8'
    loop, skip = 'subs {r},{r},#1\nb.ne 1b', 'cmp {a},{b}\nb.lo 2f\nadd {b},{b},#3\n2:'
    insns = (['ldr {a},[{p},#{off}]'] * 4 + ['str {a},[{p},#{off}]'] * 2 + ['eor {a},{b},{c},lsl #{n}', 'lsr {a},{b},#{n}', 'mov {a},#{n}*601'] +
             ['add {a},{b},{c}', 'mov {a},{b}', 'add {a},{b},#{n}'] * 2)


CPUS = {'riscv64': Riscv, 'x86_64': X86, 'aarch64': Arm}


def loop(rnd, cpu, k):
    count, first, second = cpu.regs[-1], cpu.regs[-2], cpu.regs[-3]
    work = cpu.regs[:-3]
    out = ['.globl f%d' % k, '.balign 64', 'f%d:' % k, cpu.from_first.format(first=count)]
    for i, r in enumerate(cpu.regs):
        out.append(cpu.load.format(r=r, at=8 * i, first=count))
    out.append('1:')
    for _ in range(rnd.randrange(12, 40)):
        a, b, c = (rnd.choice(work) for _ in range(3))
        insn = rnd.choice(cpu.insns) if rnd.random() > .07 else cpu.skip
        out.append(insn.format(a=a, b=b, c=c, p=rnd.choice((first, second)), off=rnd.choice(DISTANCE), n=rnd.randrange(1, 63)))
    return out + [cpu.copy.format(r=first), cpu.copy.format(r=second), cpu.loop.format(r=count), cpu.end]


MAIN = r'''
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <ucontext.h>
enum { SIZE = 0x8000, REGS = %(regs)d };
%(names)s
static void (*const loops[])(void *) = { %(list)s };
static sigjmp_buf back;
static unsigned long hash;
static void *cur;
static unsigned char alt[1 << 16];
static void mix(unsigned long v) { hash = (hash ^ v) * 0x9e3779b97f4a7c15ul; hash ^= hash >> 29; }
static void on(int sig, siginfo_t *si, void *u)
{
    mcontext_t *m = &((ucontext_t *)u)->uc_mcontext;
    hash = (unsigned long)sig;
    %(state)s
    mix((unsigned long)si->si_addr & 0xfff);
    siglongjmp(back, 1);
}
static unsigned char *ends(unsigned long at)
{
    unsigned char *p = mmap((void *)at, 2 * SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    munmap(p + SIZE, SIZE);
    return p;
}
int main(void)
{
    static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGTRAP };
    unsigned char *a = ends(0x10000000), *b = ends(0x20000000);
    struct sigaction sa = { .sa_sigaction = on, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
    sigaltstack(&(stack_t){ .ss_sp = alt, .ss_size = sizeof(alt) }, NULL);
    for (int i = 0; i < 4; i++)
        sigaction(signals[i], &sa, NULL);
    for (unsigned k = 0; k < sizeof(loops) / sizeof(*loops); k++)
        for (int r = 0; r < 8; r++) {
            unsigned long x[REGS], sum = 0;
            for (int i = 0; i < SIZE; i++)
                a[i] = (unsigned char)(i * 7 + r), b[i] = (unsigned char)(i * 13 + (i >> 8));
            for (int i = 0; i < REGS; i++)
                x[i] = (unsigned long)(i + 3) * 0x123456789abcdul * (unsigned long)(r + 1);
            x[REGS - 1] = 100000;      /* hot, or at once */
            x[REGS - 2] = (unsigned long)(a + SIZE - 8 * (r < 4 ? 3600 : 30 + r) + (r & 1) * 3);
            x[REGS - 3] = (unsigned long)(b + SIZE - 8 * (r < 4 ? 3601 - r * r : 31 + r) + (r & 2) * 2);
            if (!sigsetjmp(back, 1)) {
                cur = (void *)loops[k];
                loops[k](x);
            }
            for (int i = 0; i < SIZE; i++)
                sum = sum * 31 + a[i] * 5u + b[i];
            printf("%%u %%d %%lx %%lx\n", k, r, hash, sum);
        }
    return 0;
}
'''


def output(argv):
    return subprocess.run(argv, stdout=subprocess.PIPE, timeout=300, check=False).stdout


def main():
    user, arch = sys.argv[1:3]
    seed, n = int(sys.argv[3]) if len(sys.argv) > 3 else random.randrange(1 << 30), int(sys.argv[4]) if len(sys.argv) > 4 else 10
    cpu, rnd = CPUS[arch], random.Random(seed)
    if not shutil.which(cpu.cc) or (cpu.qemu and not shutil.which(cpu.qemu)):
        return 77
    with tempfile.TemporaryDirectory() as folder:
        asm, c, program = (os.path.join(folder, name) for name in ('loops.s', 'main.c', 'midway'))
        with open(asm, 'w', encoding='utf-8') as f:
            f.write('\n'.join(['.text'] + [line for k in range(n) for line in loop(rnd, cpu, k)] + ['.section .note.GNU-stack,"",%progbits', '']))
        with open(c, 'w', encoding='utf-8') as f:
            f.write(MAIN % {'regs': len(cpu.regs), 'state': cpu.state, 'names': '\n'.join('void f%d(void *);' % k for k in range(n)),
                            'list': ', '.join('f%d' % k for k in range(n))})
        subprocess.run([cpu.cc, '-O1', '-static', '-D_GNU_SOURCE', '-o', program, asm, c], check=True)
        want, failed = output(([cpu.qemu] if cpu.qemu else []) + [program]), False
        for tier in ('auto', '2', 'interp'):
            got = output([user, '-tier', tier, program])
            bad = [k for k, (x, y) in enumerate(zip(want.splitlines(), got.splitlines())) if x != y]
            failed |= got != want or not want
            print('seed %d, tier %s: %d runs, %s' % (seed, tier, len(want.splitlines()), 'the same' if got == want else 'first that differs: %s' % (bad[:1] or 'output ends')))
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
