/* Descriptors of a program's own (modify_ldt(2)): what the call returns, and what selectors of it reach. x86 only. */
#include <errno.h>
#include <stdio.h>
#if defined(__x86_64__) || defined(__i386__)
#include <asm/ldt.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* The result is an int, also in a register of 64 bits. */
static int ldt(int func, void *at, unsigned long bytes)
{
    long r = syscall(SYS_modify_ldt, func, at, bytes);
    return r == -1 ? -errno : (int)r;
}

static uint32_t *page;
static int selector(unsigned n) { return (int)(n << 3 | 7); }

static uint32_t through(int sel, uint32_t off)
{
    uint32_t v;
#ifdef __x86_64__
    __asm__ volatile("mov %1, %%gs\n movl %%gs:(%2), %0\n mov %3, %%gs" : "=&r"(v) : "r"(sel), "r"((uint64_t)off), "r"(0));
#else
    __asm__ volatile("mov %1, %%fs\n movl %%fs:(%2), %0" : "=&r"(v) : "r"(sel), "r"(off));
#endif
    return v;
}

static int limit_of(int sel)
{
    int v = -1;
    __asm__ volatile("lsl %1, %0" : "+r"(v) : "r"(sel));
    return v;
}

static int rights_of(int sel)
{
    int v = 0;
    __asm__ volatile("lar %1, %0" : "+r"(v) : "r"(sel));
    return v & 0xffff00;
}

static void *thread(void *arg)
{
    printf("in another thread: %u\n", through(selector(*(int *)arg), 8));
    struct user_desc u = { .entry_number = 9, .base_addr = (uint32_t)(uintptr_t)page + 16, .limit = 1, .limit_in_pages = 1, .seg_32bit = 1 };
    printf("made there: %d\n", ldt(0x11, &u, sizeof(u)));
    return NULL;
}

static void answers(void)
{
    struct user_desc u = { .entry_number = 8192, .seg_32bit = 1 };
    uint8_t buf[256];
    memset(buf, 1, sizeof(buf));
    printf("nothing there yet: %d\n", ldt(0, buf, sizeof(buf)));
    int r = ldt(2, buf, sizeof(buf));
    printf("default: %d %d\n", r, buf[0]);
    printf("unknown: %d\n", ldt(7, buf, sizeof(buf)));
    printf("odd size: %d, bad pointer: %d, too high: %d\n", ldt(1, &u, 3), ldt(1, (void *)8, sizeof(u)), ldt(1, &u, sizeof(u)));
    u.entry_number = 0, u.contents = 3;
    printf("conforming code: %d %d\n", ldt(1, &u, sizeof(u)), ldt(0x11, &u, sizeof(u)));
}

static void data(void)
{
    struct user_desc u = { .entry_number = 5, .base_addr = (uint32_t)(uintptr_t)page, .limit = 99, .seg_32bit = 1, .useable = 1 };
    uint64_t all[16] = { 0 };
    int n = 5, status;
    int made = ldt(0x11, &u, sizeof(u));
    printf("made: %d %d, limit %d, rights %x\n", made, through(selector(5), 12), limit_of(selector(5)), rights_of(selector(5)));
    u.entry_number = 6, u.limit_in_pages = 1, u.read_exec_only = 1;
    made = ldt(1, &u, sizeof(u));
    printf("old form: %d, limit %d, rights %x\n", made, limit_of(selector(6)), rights_of(selector(6)));
    u.entry_number = 7, u.contents = 1, u.seg_not_present = 1;
    made = ldt(0x11, &u, sizeof(u));
    printf("not present, growing down: %d, limit %d, rights %x\n", made, limit_of(selector(7)), rights_of(selector(7)));
    made = ldt(0, all, sizeof(all));
    printf("read: %d, low halves", made);
    for (n = 0; n < 8; n++)
        printf(" %x/%x", (unsigned)(all[n] & 0xffff), (unsigned)(all[n] >> 40 & 0xf0ff));
    n = 5;
    pthread_t t;
    pthread_create(&t, NULL, thread, &n);
    pthread_join(t, NULL);
    printf("made by the thread: %u\n", through(selector(9), 4));
    fflush(stdout);
    if (!fork()) {
        printf("in a child: %u", through(selector(5), 16));
        u = (struct user_desc){ .entry_number = 5, .read_exec_only = 1, .seg_not_present = 1 };
        made = ldt(0x11, &u, sizeof(u));
        printf(", emptied %d, rights %x\n", made, rights_of(selector(5)));
        fflush(stdout);
        _exit(0);
    }
    wait(&status);
    printf("still there: %u\n", through(selector(5), 16));
}

int main(int argc, char **argv)
{
    uint8_t buf[64];
    if (argc > 1) {
        printf("after exec: %d\n", ldt(0, buf, sizeof(buf)));
        return 0;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (ldt(0, buf, sizeof(buf)) == -ENOSYS) {
        puts("this kernel has no modify_ldt");
        return 77;
    }
    page = mmap((void *)0x30000000, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    for (unsigned n = 0; n < 2048; n++)
        page[n] = n * 7;
    answers();
    data();
    execl(argv[0], argv[0], "again", NULL);
    return 1;
}
#else
int main(void) { puts("no segments"); return 0; }
#endif
