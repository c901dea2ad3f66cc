#pragma once
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "tcg/user/user.h"

/* Private to tcg/user. */

typedef struct UserProc UserProc;
typedef struct UserThread UserThread;
typedef struct UserAbi UserAbi;
typedef struct UserRseq UserRseq;
typedef struct UserCpus UserCpus;
typedef struct UserVfork UserVfork;

/* ---- memory map: what the guest has mapped, ascending, not overlapping ---- */
/* stable: what is executed there are the bytes of the file as it was of that size and changed last then; nobody could write there. */
typedef struct UserRegion { uint64_t start, end, offset, dev, ino, size; int64_t changed_ns; int prot; bool shared, grows, stable; char *name; } UserRegion;
enum { USER_PAGE = 4096, USER_SIGNALS = 64, USER_OWN_LIMITS = 3, USER_FAULTS = 5, USER_STACK_GAP = 256 * USER_PAGE };

/* A guest's struct sigaction in the host's words. */
typedef struct UserSigaction { uint64_t handler, flags, restorer, mask; } UserSigaction;

struct UserProc {
    UserOptions options;
    const UserAbi *abi;
    TcgContext *tcg;
    void *model;               /* the ABI's CPU model */
    char *exe;                 /* path of the program, absolute */
    char *comm;
    char **argv;               /* for /proc/self/cmdline when strings_shown is false: the kernel does not know them */
    bool strings_shown;
    struct prctl_mm_map layout;   /* the process's own, for start.c */
    pthread_rwlock_t map_lock;
    GArray *map;               /* UserRegion */
    GArray *kept, *stale;      /* kept.c: the same, of translations that wait for the return of what they were made of, or are to be dropped; NULL: none. map_lock */
    uint64_t limit;            /* end of the guest's addresses */
    uint64_t top_gap;          /* left free below it for randomness */
    bool lasting;              /* did something that only the kernel's exec undoes */
    UserVfork *vfork;          /* vfork.c: this process's parent waits; NULL: no */
    uint64_t map_changes;      /* how often the table changed. map_lock */
    uint32_t grown;            /* how often a mapping grew down. map_lock */
    bool choose;               /* addresses are ours to choose: the host's kernel would take higher ones */
    uint64_t brk_start, brk, brk_mapped;
    uint64_t stack_top, stack_guard, vdso, trampoline;
    uint64_t auxv[64];         /* as the guest got it, for /proc/self/auxv */
    unsigned n_auxv;
    pthread_mutex_t signal_lock;
    bool library_signals;      /* the host's C library has made its first thread, so their actions stay the guest's. signal_lock */
    UserSigaction action[USER_SIGNALS + 1];
    pthread_mutex_t thread_lock;
    GPtrArray *threads;
    UserCpus *cpus;            /* rseq.c; made under thread_lock */
    GHashTable *unknown;       /* numbers of calls that nobody knows and -strace has shown. thread_lock */
    void *own;                 /* of the ABI, NULL at first; made under thread_lock */
    struct rlimit limits[USER_OWN_LIMITS];   /* limits.c */
};

struct UserThread {
    UserProc *proc;
    TcgCpu *cpu;
    void *state;               /* right behind this */
    void *memory;              /* of both */
    uint32_t have_signal;      /* a host signal was caught and waits in @caught; all others are blocked meanwhile */
    siginfo_t caught;
    /* Signals with the numbers of faults that somebody sent while the guest blocks them: the host never does. One bit each in @have_held, changed atomically. */
    uint32_t have_held, grown_seen;        /* grown_seen: UserProc.grown at the last fault that a mapping might have grown for */
    siginfo_t held[USER_FAULTS];
    uint64_t mask;             /* the guest's signal mask */
    uint64_t suspend_mask;     /* mask to return to after sigsuspend and its like */
    bool suspended;
    struct { bool valid; unsigned vector; uint64_t error, addr; } exc;   /* exception that left the run loop */
    int fault_signal;          /* the host's signal behind the last memory fault */
    bool fault_general;        /* of which it did not say the address: none of the host's (not canonical) */
    bool ending;
    stack_t altstack;
    uint64_t clear_tid;        /* guest address, 0 = none */
    pthread_t pthread;
    sigjmp_buf *guard;         /* a copy from or to the guest is under way */
    bool keep_registers;       /* the call set them all (sigreturn) */
    uint64_t syscall_nr;       /* as the guest called it, for restarts */
    uint64_t syscall_arg0;
    const UserAbi *call_abi;   /* whose form the running call has */
    UserRseq *rseq;            /* NULL: not registered. Others look at it under thread_lock. */
    uint64_t robust;           /* guest address of its list of robust futexes, where the host's kernel cannot walk it */
    void *own;                 /* of the ABI: own_size bytes, zero at first */
    int tid;
};

/* ---- what differs between guests ---- */
struct UserAbi {
    const char *name, *uname, *platform;
    uint16_t elf_machine;
    uint8_t elf_class;
    const GuestIsa *isa;
    const uint16_t *syscalls;  /* guest number -> USYS_, 0 = none; or: */
    const struct UserCall *calls;      /* the same for guests whose structures are not the host's (convert.h) */
    unsigned n_syscalls;
    bool align8;               /* (calls) 64-bit members are aligned to 8 */
    unsigned own_size;         /* of UserThread.own */
    uint64_t hwcap, hwcap2;
    char *(*cpu_help)(void);   /* what -cpu takes, lines of text */
    bool (*setup)(UserProc *p, GError **err);             /* CPU model and what the process needs once */
    void (*start)(UserThread *t, uint64_t pc, uint64_t sp);
    /* A new thread's or process's registers; sp 0 keeps. */
    void (*clone)(UserThread *child, const UserThread *parent, uint64_t sp, bool set_tls, uint64_t tls);
    uint64_t (*sp)(const UserThread *t);
    void (*get_args)(const UserThread *t, uint64_t *nr, uint64_t a[6]);
    void (*set_result)(UserThread *t, uint64_t v);
    void (*restart)(UserThread *t);                       /* back onto the system-call instruction, registers as before */
    /* The signal of an exception; false: none, go on (a breakpoint trap that is really a system call...). */
    bool (*exception)(UserThread *t, unsigned vector, uint64_t error, uint64_t addr, siginfo_t *ret);
    /* Frame for the handler; false: the stack is not writable. */
    bool (*push_frame)(UserThread *t, const siginfo_t *si, const UserSigaction *a, uint64_t mask, bool on_alt);
    bool (*pop_frame)(UserThread *t, uint64_t *ret_mask);
    /* Conversions of structures: host form to the guest's. */
    unsigned (*put_stat)(void *guest, const void *host_stat);
    int (*open_flags)(int guest);
    int (*open_flags_back)(int host);
    void (*cpu_info)(const UserProc *p, GString *to, unsigned cpu);        /* its part of /proc/cpuinfo; NULL: the host's will do */
    unsigned min_altstack;     /* MINSIGSTKSZ where it is not 2048 */
    bool packed_epoll, no_restorer, clone_tls_last;   /* clone: (flags, stack, parent, child, tls) */
    unsigned (*auxv)(UserProc *p, uint64_t *out);         /* further pairs */
    /* Before a call: which ABI's numbers and registers it uses. @kind: TcgCallbacks.syscall's. NULL: always this one. */
    const UserAbi *(*enter)(UserThread *t, unsigned kind);
    /* System registers that are not the CPU's own: of a program only time. NULL: there is none. */
    bool (*sysreg_read)(UserThread *t, uint32_t reg, uint64_t *ret);
    bool (*special)(UserThread *t, unsigned sys, const uint64_t a[6], int64_t *ret);   /* calls that only this guest has */
};
extern const UserAbi user_abi_x86_64, user_abi_i386, user_abi_riscv64, user_abi_aarch64;
/* asm-generic/unistd.h's numbers and struct stat (generic64.c), for all newer 64-bit guests; @own: the guest's own numbers, from 244 on. */
enum { USER_GENERIC_SYSCALLS = 512 };
extern const uint16_t user_generic_syscalls[USER_GENERIC_SYSCALLS];
unsigned user_generic_put_stat(void *guest, const void *host_stat);

/* ---- vdso.c ---- */
/* A function in the code: where, of which of the versions. */
typedef struct UserVdsoSym { const char *name; uint16_t at, size, version; } UserVdsoSym;
typedef struct UserVdso { const char *soname, *versions[2]; const void *code; size_t len; const UserVdsoSym *syms; unsigned n_syms; } UserVdso;
/* A page of the guest's address space with it: p->vdso, and p->trampoline for the start of the code. */
bool user_vdso(UserProc *p, const UserVdso *v, GError **err);

/* ---- map.c ---- */
void user_map_init(UserProc *p);
const UserRegion *user_region_locked(const UserProc *p, uint64_t addr);
int64_t user_mmap(UserThread *t, uint64_t addr, uint64_t len, int prot, int flags, int fd, uint64_t off);
int64_t user_munmap(UserThread *t, uint64_t addr, uint64_t len);
int64_t user_mprotect(UserThread *t, uint64_t addr, uint64_t len, int prot);
int64_t user_mremap(UserThread *t, uint64_t old, uint64_t old_len, uint64_t new_len, int flags, uint64_t new_addr);
/* A fault at @addr where nothing was mapped: a mapping above may grow down to it, or has just done so for another thread. */
bool user_grow(UserThread *t, uint64_t addr);
int64_t user_brk(UserThread *t, uint64_t addr);
int64_t user_shmat(UserThread *t, int id, uint64_t addr, int flags);
int64_t user_shmdt(UserThread *t, uint64_t addr);
/* mmap(2) below the guest's limit; the table is the caller's matter, and its lock while there are threads. */
void *user_map_raw(UserProc *p, uint64_t hint, uint64_t len, int prot, int flags, int fd, uint64_t off);
/* Note what is mapped already (loader); name is copied. */
void user_map_add(UserProc *p, uint64_t start, uint64_t end, int prot, bool shared, uint64_t offset, int fd, const char *name);
bool user_can_read(UserProc *p, uint64_t addr);
bool user_can_exec(UserProc *p, uint64_t addr);
bool user_can_write(UserProc *p, uint64_t addr);
bool user_is_mapped(UserProc *p, uint64_t addr);
void user_page_code(UserProc *p, uint64_t addr, bool armed);
/* The kernel is about to write [addr, addr+len) for a system call: no page of it is write-protected for the translator's sake. */
void user_will_write(UserThread *t, uint64_t addr, uint64_t len);
char *user_maps_text(UserProc *p);
/* For exec in this process: everything unmapped but the vDSO, which is not in the table any more either. Its thread is alone. */
void user_map_clear(UserProc *p);
bool user_map_vdso_stands(UserProc *p);

/* ---- kept.c: p->map_lock is held for writing ---- */
void user_kept_add(UserProc *p, const UserRegion *r);
void user_kept_not(UserProc *p, const UserRegion *r);       /* its translations are to be dropped */
/* @r can be executed from now on: translations of what was there before stay only if it is the same. */
void user_kept_meet(UserProc *p, const UserRegion *r);
/* Where the beginning of the file @fd would have to be for its translations to count again, 0: anywhere. */
uint64_t user_kept_home(const UserProc *p, int fd);

/* ---- limits.c ---- */
void user_limits_init(UserProc *p);
/* For the option -limits, NULL: they are the host's. Freed by the caller. */
char *user_limits_text(const UserProc *p);
/* Whether the guest may map @more bytes; with the map's lock. */
bool user_limits_room(const UserProc *p, uint64_t more);

/* ---- elf.c ---- */
typedef struct UserImage { uint64_t entry, base, bias, phdr, end; unsigned phnum; char *interp; bool exec_stack; unsigned machine, elf_class; } UserImage;
/* Map the program (or interpreter) at @path (already opened @fd). For messages and exit statuses see user_run. */
bool user_elf_load(UserProc *p, int fd, const char *path, bool program, UserImage *ret, int *ret_status, GError **err);
bool user_elf_peek(int fd, unsigned *machine, unsigned *elf_class);
void user_elf_close(UserImage *im);
/* The interpreter that the program asks for, NULL: none; the caller frees it. False: it is damaged. */
bool user_elf_interp(int fd, char **ret);

/* ---- start.c: what translated code asks; its opaque is the UserThread ---- */
extern const TcgCallbacks user_callbacks;
/* exec in this process (exec.c). False: it cannot be, and nothing happened. True: the registers are the new program's. */
bool user_exec_here(UserThread *t, const char *path, char **argv, char **envp);

/* ---- exec.c ---- */
bool user_exec_may(UserThread *t);
/* Files to be closed then, @but stays; NULL: they are not known. */
GArray *user_exec_files(int but);
/* What exec undoes of @t's and its process's: files, signals, the memory. All signals are blocked. */
void user_exec_undo(UserThread *t, const GArray *files);

/* ---- vfork.c ---- */
/* For a child of @t that is about to be made; @shares: what it writes is @t's too. NULL: no memory. */
UserVfork *user_vfork_new(UserThread *t, bool shares);
/* In the child, whose only thread is @t. */
void user_vfork_born(UserThread *t, UserVfork *v);
/* The process has memory of its own now: the parent, if one waits, goes on. */
void user_vfork_over(UserProc *p);
/* The process is about to exit, by @t. */
void user_vfork_exit(UserThread *t);
/* In the parent: until child @pid is of no concern any more; negative: there is none. Frees @v. */
void user_vfork_wait(UserThread *t, UserVfork *v, pid_t pid);

/* ---- thread.c ---- */
UserThread *user_self(void);
void user_thread_bind(UserThread *t);
UserThread *user_thread_new(UserProc *p);
void user_thread_free(UserThread *t);
void user_thread_loop(UserThread *t) __attribute__((noreturn));
int64_t user_clone(UserThread *t, uint64_t flags, uint64_t stack, uint64_t parent_tid, uint64_t child_tid, uint64_t tls, int exit_signal);
int64_t user_thread_exit(UserThread *t, int status);
int64_t user_exit_group(UserThread *t, int status);

/* sys_small.c: the futexes that the thread holds are those of a dead one now. */
void user_robust_exit(UserThread *t);

/* ---- rseq.c; pause, resume and turn: of registered threads (t->rseq) only ---- */
void user_rseq_pause(UserThread *t);      /* a system call begins: others may have the thread's CPU */
void user_rseq_resume(UserThread *t);     /* it ends; the guest's registers are final */
void user_rseq_turn(UserThread *t);       /* at the run loop */
void user_rseq_signal(UserThread *t);     /* before the frame for a handler is made */
void user_rseq_exit(UserThread *t);
void user_rseq_forked(UserThread *t, bool keep);
enum { USER_RSEQ_FEATURES = 24, USER_RSEQ_ALIGN = 32 };   /* auxv: up to node_id */

/* ---- signal.c ---- */
void user_signal_init(UserProc *p);
void user_signal_exec(UserThread *t);     /* no handlers any more */
/* The process has its first other thread now: the C library took the action of its own signals, which are the guest's. */
void user_signal_threads(UserProc *p);
int64_t user_sigaction(UserThread *t, int sig, const UserSigaction *set, UserSigaction *old);
int64_t user_sigprocmask(UserThread *t, int how, const uint64_t *set, uint64_t *old);
int64_t user_sigaltstack(UserThread *t, const stack_t *set, stack_t *old);
void user_set_mask(UserThread *t, uint64_t mask);
/* Those of @set that are held (t->held); one of them, taken away: its number or 0. */
uint64_t user_held(const UserThread *t, uint64_t set);
int user_take_held(UserThread *t, uint64_t set, siginfo_t *ret);
/* One that @mask does not block is the caught one from now on. */
void user_catch_held(UserThread *t, uint64_t mask);
/* The mask with which the host may block: signals that stand for faults stay open. */
uint64_t user_host_mask(uint64_t mask);
/* Deliver what waits; at the run loop, the state whole. */
void user_deliver(UserThread *t);
/* A fault of the guest: its handler, or the end of the process by that signal. */
void user_force(UserThread *t, const siginfo_t *si);
void user_die(UserThread *t, int sig) __attribute__((noreturn));

/* ---- syscall.c ---- */
enum {
    USYS_NONE,
#define SYS(name, args) USYS_##name,
#define SYSX(name, fn, args) USYS_##name,
#define OWNX(name, fn, args) USYS_##name,
#define NEW(name, nr, args) USYS_##name,
#include "tcg/user/syscalls.def"
#undef SYS
#undef SYSX
    USYS_COUNT
};
void user_syscall(UserThread *t, unsigned kind);
/* The call USYS_ @sys with arguments in the host's form. And its letters in the table. */
int64_t user_call(UserThread *t, unsigned sys, const uint64_t a[6]);
const char *user_call_letters(unsigned sys);
/* The host's system call, given up with -ERESTARTSYS before it started if a signal was caught. */
int64_t user_host_syscall(UserThread *t, long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f);
bool user_rewind_syscall(void *ucontext);
/* The interrupted code comes from the kernel: what it did there cannot have been a fault of its own. */
bool user_behind_syscall(const void *ucontext);
enum { USER_ERESTART = 512 };
/* The same for our own purposes, no matter what was caught. (The C library's function is far away: in a forked child that would be a fault.) */
int64_t user_own_syscall(long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d);
typedef int64_t UserSysFn(UserThread *t, const uint64_t a[6]);

/* A pointer that no call can use: the kernel's EFAULT comes when its turn among the checks has come. */
#define USER_BAD_POINTER (~(uint64_t)(USER_PAGE - 1))
/* A structure that grew over time, @size bytes of it at @from (openat2(2), clone3(2)): what is missing is 0, what is unknown must be. 0 or -errno. */
int64_t user_get_extensible(UserThread *t, void *to, size_t len, uint64_t from, uint64_t size, size_t least);
/* Nobody returned from the functions on it: for a sanitizer it is as new. */
/* Copies that end with false instead of a signal. */
bool user_get(UserThread *t, void *to, uint64_t from, size_t len);
bool user_put(UserThread *t, uint64_t to, const void *from, size_t len);
/* Compare and swap of an aligned word: *expect becomes what was there. */
bool user_cas32(UserThread *t, uint64_t at, uint32_t *expect, uint32_t want);
/* A string of the guest, NULL if it cannot be read or is longer than @max. Caller frees. */
char *user_string(UserThread *t, uint64_t at, size_t max);

/* ---- files.c: paths, /proc/self ---- */
/* The host path of the guest path at @at (sysroot), a copy in *ret_path to be freed; what to pass to the host. A path that cannot be read, or is too
 * long, is the guest's own pointer and *ret_path NULL: the kernel says what is wrong with it, and whether anything is to be said before. */
uint64_t user_path(UserThread *t, uint64_t at, char **ret_path);
/* fd of a made-up /proc file, -1: not one of ours. */
int user_proc_open(UserThread *t, const char *path, int flags);

static inline void *g2h(uint64_t a) { return (void *)(uintptr_t)a; }
