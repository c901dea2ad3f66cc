/* One system call of the guest: table look-up, the host's call or ours, restarts, -strace. */
#include <errno.h>
#include <setjmp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

#include "tcg/user/calls.h"
#include "tcg/user/convert.h"

/* ---- the host's system call ---- */
/*
 * int64_t user_syscall_raw(uint32_t *have_signal, long nr, const uint64_t args[6]). Between the look at *have_signal and the system
 * call a handler moves the pc to the way out (user_rewind_syscall), so that no signal is slept over. The kernel puts the pc there, too, when a call is to
 * begin again after the handler (SA_RESTART): then the guest's call begins again after the guest's handler.
 */
int64_t user_syscall_raw(uint32_t *have_signal, long nr, const uint64_t *args);
extern const char user_syscall_begin[], user_syscall_end[], user_syscall_out[];
__asm__(".section .text.hot,\"ax\",@progbits\n.p2align 4\n.globl user_syscall_raw\n.type user_syscall_raw, @function\nuser_syscall_raw:\n"
        " push %rbx\n mov %rdi, %rbx\n mov %rsi, %rax\n mov %rdx, %r11\n"
        " mov (%r11), %rdi\n mov 8(%r11), %rsi\n mov 16(%r11), %rdx\n mov 24(%r11), %r10\n mov 32(%r11), %r8\n mov 40(%r11), %r9\n"
        ".globl user_syscall_begin\nuser_syscall_begin:\n cmpl $0, (%rbx)\n jne user_syscall_out\n syscall\n"
        ".globl user_syscall_end\nuser_syscall_end:\n pop %rbx\n ret\n"
        ".globl user_syscall_out\nuser_syscall_out:\n mov $-512, %rax\n pop %rbx\n ret\n.size user_syscall_raw, .-user_syscall_raw\n.text\n");

bool user_rewind_syscall(void *ucontext)
{
    greg_t *pc = &((ucontext_t *)ucontext)->uc_mcontext.gregs[REG_RIP];
    if (*pc < (greg_t)(uintptr_t)user_syscall_begin || *pc >= (greg_t)(uintptr_t)user_syscall_end)
        return false;
    *pc = (greg_t)(uintptr_t)user_syscall_out;
    return true;
}

bool user_behind_syscall(const void *ucontext)
{
    return ((const ucontext_t *)ucontext)->uc_mcontext.gregs[REG_RIP] == (greg_t)(uintptr_t)user_syscall_end;
}

TCG_CALL_PATH int64_t user_host_syscall(UserThread *t, long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
    uint64_t args[6] = { a, b, c, d, e, f };
    return user_syscall_raw(&t->have_signal, nr, args);
}

TCG_CALL_PATH int64_t user_own_syscall(long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    uint32_t none = 0;
    uint64_t args[6] = { a, b, c, d };
    int64_t r;
    do
        r = user_syscall_raw(&none, nr, args);
    while (r == -USER_ERESTART);           /* a signal was caught just before */
    return r;
}

/* ---- guest memory from our own code ---- */
#if defined(__has_feature)
#define WITH_ASAN __has_feature(address_sanitizer)
#elif defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#else
#define WITH_ASAN 0
#endif
#if WITH_ASAN
/* The sanitizer would look at its shadow of the guest's memory, which says nothing and may be where the guest points to. */
static inline void copy_bytes(void *to, const void *from, size_t len) { __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(len) : : "memory"); }
#else
static inline void copy_bytes(void *to, const void *from, size_t len) { memcpy(to, from, len); }
#endif

static TCG_CALL_PATH bool guarded_copy(UserThread *t, void *to, const void *from, size_t len)
{
    sigjmp_buf guard, *before = t->guard;
    if (sigsetjmp(guard, 0)) {
        t->guard = before;
        return false;
    }
    t->guard = &guard;
    __asm__ volatile("" ::: "memory");
    copy_bytes(to, from, len);
    __asm__ volatile("" ::: "memory");
    t->guard = before;
    return true;
}

bool user_get(UserThread *t, void *to, uint64_t from, size_t len) { return guarded_copy(t, to, g2h(from), len); }

/* A page with code in it is write-protected: the first copy stops there. */
TCG_CALL_PATH bool user_put(UserThread *t, uint64_t to, const void *from, size_t len)
{
    if (guarded_copy(t, g2h(to), from, len))
        return true;
    user_will_write(t, to, len);
    return guarded_copy(t, g2h(to), from, len);
}

bool user_cas32(UserThread *t, uint64_t at, uint32_t *expect, uint32_t want)
{
    sigjmp_buf guard, *before = t->guard;
    user_will_write(t, at, sizeof(want));
    if (sigsetjmp(guard, 0)) {
        t->guard = before;
        return false;
    }
    t->guard = &guard;
    __asm__ volatile("" ::: "memory");
    __atomic_compare_exchange_n((uint32_t *)g2h(at), expect, want, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    __asm__ volatile("" ::: "memory");
    t->guard = before;
    return true;
}

int64_t user_get_extensible(UserThread *t, void *to, size_t len, uint64_t from, uint64_t size, size_t least)
{
    uint8_t more[USER_PAGE];
    if (size < least)
        return -EINVAL;
    if (size > sizeof(more))
        return -E2BIG;
    if (!user_get(t, more, from, size))
        return -EFAULT;
    for (size_t n = len; n < size; n++)
        if (more[n])
            return -E2BIG;
    memset(to, 0, len);
    memcpy(to, more, MIN(len, size));
    return 0;
}

char *user_string(UserThread *t, uint64_t at, size_t max)
{
    GString *s = g_string_new(NULL);
    while (s->len < max) {
        char buf[256];
        size_t n = MIN(sizeof(buf), USER_PAGE - (at & (USER_PAGE - 1)));
        if (!user_get(t, buf, at, n))
            break;
        size_t k = strnlen(buf, n);
        g_string_append_len(s, buf, (gssize)k);
        if (k < n)
            return g_string_free(s, FALSE);
        at += n;
    }
    g_string_free(s, TRUE);
    return NULL;
}

/* ---- the table ---- */
/* plain: nothing is to be done before the host's call. */
typedef struct SysDesc { const char *name, *args; UserSysFn *fn; short host_nr; bool plain; } SysDesc;

static const SysDesc table[USYS_COUNT] = {
#define SYS(name, args) [USYS_##name] = { #name, args, NULL, SYS_##name, !__builtin_strchr(args, 'B') && !__builtin_strchr(args, 'P') },
#define SYSX(name, fn, args) [USYS_##name] = { #name, args, user_sys_##fn, SYS_##name },
#define OWNX(name, fn, args) [USYS_##name] = { #name, args, user_sys_##fn, -1 },
#define NEW(name, nr, args) [USYS_##name] = { #name, args, NULL, nr, !__builtin_strchr(args, 'B') && !__builtin_strchr(args, 'P') },
#include "tcg/user/syscalls.def"
#undef SYS
#undef SYSX
};

enum { N_ARGS = 6, MAX_SHOWN = 32 };

/* Before a call of the host: paths into the sysroot, buffers made writable. */
static void prepare(UserThread *t, const SysDesc *s, uint64_t a[N_ARGS], char *to_free[N_ARGS])
{
    for (unsigned n = 0; n < N_ARGS && s->args[n]; n++) {
        if (s->args[n] == 'B')
            user_will_write(t, a[n], a[n + 1]);
        else if (s->args[n] == 'P' && t->proc->options.sysroot)
            a[n] = user_path(t, a[n], &to_free[n]);
    }
}

/* What these do only the kernel's exec undoes or looks at: credentials, timers, notifications, locked memory, contexts of asynchronous I/O, keys. */
static const bool lasting[USYS_COUNT] = {
    [USYS_setuid] = true, [USYS_setgid] = true, [USYS_setreuid] = true, [USYS_setregid] = true, [USYS_setresuid] = true, [USYS_setresgid] = true,
    [USYS_setfsuid] = true, [USYS_setfsgid] = true, [USYS_capset] = true, [USYS_personality] = true, [USYS_unshare] = true, [USYS_setns] = true,
    [USYS_timer_create] = true, [USYS_mq_notify] = true, [USYS_mlockall] = true, [USYS_io_setup] = true, [USYS_keyctl] = true, [USYS_add_key] = true,
    [USYS_request_key] = true, [USYS_landlock_restrict_self] = true,
};

static TCG_CALL_PATH int64_t pass(UserThread *t, const SysDesc *s, const uint64_t *args)
{
    if (G_UNLIKELY(lasting[s - table]))
        t->proc->lasting = true;
    uint64_t a[N_ARGS];
    char *to_free[N_ARGS] = { NULL };
    int64_t r;
    if (s->plain) {
        r = user_syscall_raw(&t->have_signal, s->host_nr, args);
        if (G_UNLIKELY(r == -EFAULT) && user_unprotect_code(t))   /* a structure for the kernel to fill may lie beside code */
            r = user_syscall_raw(&t->have_signal, s->host_nr, args);
        return r;
    }
    memcpy(a, args, sizeof(a));
    prepare(t, s, a, to_free);
    r = user_syscall_raw(&t->have_signal, s->host_nr, a);
    if (r == -EFAULT && user_unprotect_code(t))
        r = user_syscall_raw(&t->have_signal, s->host_nr, a);
    for (unsigned n = 0; n < N_ARGS; n++)
        g_free(to_free[n]);
    return r;
}

/* ---- -strace ---- */
static void show_arg(UserThread *t, GString *out, char kind, uint64_t v)
{
    switch (kind) {
    case 'd': g_string_append_printf(out, "%lld", (long long)((int64_t)v == (int32_t)v || v >> 32 ? (int64_t)v : (int32_t)v)); break;
    case 'u': g_string_append_printf(out, "%llu", (unsigned long long)v); break;
    case 'o': g_string_append_printf(out, "0%llo", (unsigned long long)v); break;
    case 'P': case 's': {
        g_autofree char *str = v ? user_string(t, v, 4096) : NULL;
        g_autofree char *esc = str ? g_strescape(str, NULL) : NULL;
        if (esc)
            g_string_append_printf(out, "\"%.*s\"%s", MAX_SHOWN * 4, esc, strlen(esc) > MAX_SHOWN * 4 ? "..." : "");
        else
            g_string_append_printf(out, "%#llx", (unsigned long long)v);
        break;
    }
    default: g_string_append_printf(out, v ? "%#llx" : "NULL", (unsigned long long)v); break;
    }
}

static GString *show_call(UserThread *t, const SysDesc *s, uint64_t nr, const uint64_t *a)
{
    GString *out = g_string_new(NULL);
    g_string_append_printf(out, "%d ", t->tid);
    if (!s)
        g_string_append_printf(out, "system call %llu (unknown)", (unsigned long long)nr);
    else
        g_string_append_printf(out, "%s(", s->name);
    for (unsigned n = 0; s && n < N_ARGS && s->args[n]; n++) {
        if (n)
            g_string_append(out, ", ");
        show_arg(t, out, s->args[n], a[n]);
    }
    if (s)
        g_string_append_c(out, ')');
    return out;
}

/* One that nobody knows is shown when it is called first. */
static bool is_shown(UserProc *p, const SysDesc *s, uint64_t nr)
{
    if (s)
        return true;
    pthread_mutex_lock(&p->thread_lock);
    if (!p->unknown)
        p->unknown = g_hash_table_new(NULL, NULL);
    bool first = g_hash_table_add(p->unknown, GSIZE_TO_POINTER(nr));
    pthread_mutex_unlock(&p->thread_lock);
    return first;
}

static void show_result(GString *out, int64_t r)
{
    if (r < 0 && r >= -4095)
        g_string_append_printf(out, " = -1 %s\n", r == -USER_ERESTART ? "(to be restarted)" : g_strerror((int)-r));
    else
        g_string_append_printf(out, r >= 0 && r < 1 << 20 ? " = %lld\n" : " = %#llx\n", (long long)r);
    if (write(STDERR_FILENO, out->str, out->len) < 0)
        out->len = 0;          /* nobody listens */
    g_string_free(out, TRUE);
}

/* ---- dispatch ---- */
TCG_CALL_PATH int64_t user_call(UserThread *t, unsigned sys, const uint64_t a[N_ARGS])
{
    const SysDesc *s = &table[sys];
    return s->fn ? s->fn(t, a) : pass(t, s, a);
}

const char *user_call_letters(unsigned sys) { return table[sys].args; }

static TCG_CALL_PATH void one_call(UserThread *t, unsigned kind)
{
    const UserAbi *abi = t->proc->abi;
    uint64_t nr, a[N_ARGS];
    abi = t->call_abi = abi->enter ? abi->enter(t, kind) : abi;
    abi->get_args(t, &nr, a);
    unsigned id = nr >= abi->n_syscalls ? USYS_NONE : abi->calls ? abi->calls[nr].sys : abi->syscalls[nr];
    const SysDesc *s = id ? &table[id] : NULL;
    GString *trace = G_UNLIKELY(t->proc->options.strace) && is_shown(t->proc, s, nr) ? show_call(t, s, nr, a) : NULL;
    t->syscall_nr = nr;
    t->syscall_arg0 = a[0];
    t->keep_registers = false;
    int64_t r = !s ? -ENOSYS : abi->calls ? user_call_converted(t, &abi->calls[nr], a) : user_call(t, id, a);
    if (trace)
        show_result(trace, r);
    if (t->keep_registers)     /* sigreturn: they are the interrupted code's */
        return;
    if (r == -USER_ERESTART)
        abi->restart(t);
    else
        abi->set_result(t, (uint64_t)r);
}

TCG_CALL_PATH void user_syscall(UserThread *t, unsigned kind)
{
    if (t->rseq)
        user_rseq_pause(t);
    one_call(t, kind);
    if (t->rseq)
        user_rseq_resume(t);
}

int64_t user_sys_zero(UserThread *t, const uint64_t *a) { (void)t, (void)a; return 0; }
int64_t user_sys_enosys(UserThread *t, const uint64_t *a) { (void)t, (void)a; return -ENOSYS; }
int64_t user_sys_eperm(UserThread *t, const uint64_t *a) { (void)t, (void)a; return -EPERM; }
int64_t user_sys_einval(UserThread *t, const uint64_t *a) { (void)t, (void)a; return -EINVAL; }
int64_t user_sys_eintr(UserThread *t, const uint64_t *a) { (void)t, (void)a; return -EINTR; }
