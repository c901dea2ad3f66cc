/* Structures and system calls of guests with 32-bit words (convert.h). */
#include "tcg/user/convert.h"

#include <asm/msgbuf.h>
#include <asm/sembuf.h>
#include <asm/shmbuf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <time.h>
#include <utime.h>

#include "tcg/user/calls.h"

typedef struct TwoTimespec { struct timespec a, b; } TwoTimespec;
typedef struct OneWord { int64_t v; } OneWord;
typedef struct OneUword { uint64_t v; } OneUword;
typedef struct OneId { uint32_t v; } OneId;
typedef struct TwoWords { uint64_t v[2]; } TwoWords;
typedef struct MqAttr { int64_t v[8]; } MqAttr;
typedef struct ShmInfo64 { uint64_t v[9]; } ShmInfo64;     /* linux/shm.h: shminfo64, shm_info */
typedef struct ShmInfo { int32_t used_ids; uint64_t v[5]; } ShmInfo;

#define STRUCT(id, host) \
    static const UserField *fields_##id(void) \
    { \
        typedef host T; \
        static const UserField f[] = {
#define M(k, m) { .kind = K_##k, .size = sizeof(((T *)NULL)->m), .at = offsetof(T, m) },
#define PAD(n) { .kind = K_PAD, .count = n },
#define BYTES(m) { .kind = K_BYTES, .at = offsetof(T, m), .count = sizeof(((T *)NULL)->m) },
#define END { .kind = K_PAD } }; return f; }
#include "tcg/user/structs.def"

static const struct { const UserField *(*fields)(void); uint16_t host_size; } structs[UST_COUNT] = {
#define STRUCT(id, host) [UST_##id] = { fields_##id, sizeof(host) },
#define M(k, m)
#define PAD(n)
#define BYTES(m)
#define END
#include "tcg/user/structs.def"
};

unsigned user_struct_host_size(UserStructId id) { return structs[id].host_size; }

/* ---- members ---- */
static unsigned guest_bytes(const UserAbi *abi, const UserField *f)
{
    switch ((UserKind)f->kind) {
    case K_PAD: case K_BYTES: return f->count;
    case K_U16: case K_ID16: return 2;
    case K_U32: case K_S32: return 4;
    case K_U64: return 8;
    default: return user_word(abi);
    }
}

static bool last(const UserField *f) { return f->kind == K_PAD && !f->count; }

/* Where the member behind @at begins; *at_end, *most: of the structure so far. */
static unsigned place(const UserAbi *abi, const UserField *f, unsigned at)
{
    unsigned n = f->kind == K_PAD || f->kind == K_BYTES ? 1 : MIN(guest_bytes(abi, f), abi->align8 ? 8u : 4u);
    return (at + n - 1) & ~(n - 1);
}

unsigned user_struct_guest_size(const UserAbi *abi, UserStructId id)
{
    unsigned at = 0;
    for (const UserField *f = structs[id].fields(); !last(f); f++)
        at = place(abi, f, at) + guest_bytes(abi, f);
    return at;
}

static uint64_t widen(UserKind kind, const void *guest, unsigned n)
{
    uint64_t v = 0;
    memcpy(&v, guest, n);
    if (n == 4 && (kind == K_S32 || kind == K_LONG))
        return (uint64_t)(int64_t)(int32_t)v;
    if (kind == K_LIMIT && n == 4 && v == UINT32_MAX)
        return UINT64_MAX;
    return kind == K_SIZE && n == 4 ? (uint64_t)(int64_t)(int32_t)v : v;
}

void user_struct_to_host(const UserAbi *abi, UserStructId id, void *host, const void *guest)
{
    unsigned at = 0;
    memset(host, 0, structs[id].host_size);
    for (const UserField *f = structs[id].fields(); !last(f); f++) {
        unsigned n = guest_bytes(abi, f);
        at = place(abi, f, at);
        if (f->kind == K_BYTES) {
            memcpy((uint8_t *)host + f->at, (const uint8_t *)guest + at, n);
        } else if (f->kind != K_PAD) {
            uint64_t v = widen(f->kind, (const uint8_t *)guest + at, n);
            memcpy((uint8_t *)host + f->at, &v, f->size);
        }
        at += n;
    }
}

/* The host's value, signed where a shorter member is. */
static uint64_t fetch(const UserField *f, const void *host)
{
    uint64_t v = 0;
    memcpy(&v, (const uint8_t *)host + f->at, f->size);
    return f->size == 4 && (f->kind == K_LONG || f->kind == K_SIZE || f->kind == K_S32) ? (uint64_t)(int64_t)(int32_t)v : v;
}

int user_struct_to_guest(const UserAbi *abi, UserStructId id, void *guest, const void *host)
{
    unsigned at = 0;
    for (const UserField *f = structs[id].fields(); !last(f); f++) {
        unsigned n = guest_bytes(abi, f), from = at;
        at = place(abi, f, at);
        memset((uint8_t *)guest + from, 0, at + n - from);
        if (f->kind == K_BYTES) {
            memcpy((uint8_t *)guest + at, (const uint8_t *)host + f->at, n);
        } else if (f->kind != K_PAD) {
            uint64_t v = fetch(f, host);
            if (f->kind == K_SIZE && n == 4 && v > UINT32_MAX && (int64_t)v != (int32_t)v)
                return -EOVERFLOW;
            if (f->kind == K_LIMIT && n == 4 && v > UINT32_MAX)
                v = UINT32_MAX;
            if (f->kind == K_ID16 && v > UINT16_MAX)
                v = v == UINT32_MAX ? UINT16_MAX : 65534;    /* overflowuid */
            memcpy((uint8_t *)guest + at, &v, n);
        }
        at += n;
    }
    return 0;
}

int64_t user_struct_get(UserThread *t, UserStructId id, void *host, uint64_t at)
{
    uint8_t guest[USER_STRUCT_MAX];
    const UserAbi *abi = t->call_abi;
    if (!user_get(t, guest, at, user_struct_guest_size(abi, id)))
        return -EFAULT;
    user_struct_to_host(abi, id, host, guest);
    return 0;
}

int64_t user_struct_put(UserThread *t, UserStructId id, uint64_t at, const void *host)
{
    uint8_t guest[USER_STRUCT_MAX];
    const UserAbi *abi = t->call_abi;
    int e = user_struct_to_guest(abi, id, guest, host);
    return e ? e : user_put(t, at, guest, user_struct_guest_size(abi, id)) ? 0 : -EFAULT;
}

/* ---- siginfo ---- */
enum { L_KILL, L_TIMER, L_POLL, L_FAULT, L_CHLD, L_RT, L_SYS };

/* Which members count (Linux's siginfo_layout by observation; sigaction(2)). */
static int layout(const siginfo_t *si)
{
    int sig = si->si_signo, code = si->si_code;
    if (code > SI_USER && code < SI_KERNEL) {
        switch (sig) {
        case SIGILL: case SIGFPE: case SIGSEGV: case SIGBUS: case SIGTRAP: return L_FAULT;
        case SIGCHLD: return L_CHLD;
        case SIGPOLL: return L_POLL;
        case SIGSYS: return L_SYS;
        default: return L_KILL;
        }
    }
    return code == SI_TIMER ? L_TIMER : code == SI_SIGIO ? L_POLL : code < 0 ? L_RT : L_KILL;
}

void user_siginfo_to_guest(const siginfo_t *si, void *guest)
{
    int32_t *w = guest;
    memset(w, 0, USER_SIGINFO_BYTES);
    w[0] = si->si_signo;
    w[1] = si->si_errno;
    w[2] = si->si_code;
    switch (layout(si)) {
    case L_TIMER: w[3] = si->si_timerid; w[4] = si->si_overrun; w[5] = si->si_value.sival_int; break;
    case L_POLL: w[3] = (int32_t)si->si_band; w[4] = si->si_fd; break;
    case L_FAULT: w[3] = (int32_t)(uintptr_t)si->si_addr; w[4] = si->si_addr_lsb; break;
    case L_CHLD: w[3] = si->si_pid; w[4] = (int32_t)si->si_uid; w[5] = si->si_status; w[6] = (int32_t)si->si_utime; w[7] = (int32_t)si->si_stime; break;
    case L_SYS: w[3] = (int32_t)(uintptr_t)si->si_call_addr; w[4] = si->si_syscall; w[5] = (int32_t)si->si_arch; break;
    case L_RT: w[5] = si->si_value.sival_int; /* fall through */
    default: w[3] = si->si_pid; w[4] = (int32_t)si->si_uid; break;
    }
}

void user_siginfo_to_host(siginfo_t *si, const void *guest)
{
    const int32_t *w = guest;
    memset(si, 0, sizeof(*si));
    si->si_signo = w[0];
    si->si_errno = w[1];
    si->si_code = w[2];
    si->si_pid = w[3];
    si->si_uid = (uid_t)w[4];
    si->si_value.sival_int = w[5];
}

/* ---- arguments ---- */
bool user_get_word(UserThread *t, uint64_t *ret, uint64_t at)
{
    *ret = 0;
    return user_get(t, ret, at, user_word(t->call_abi));
}

enum { MAX_IOV = 1024, FDS_MAX = 1 << 20 };     /* fs.nr_open is no more anywhere */

int64_t user_iovec_get(UserThread *t, uint64_t at, uint64_t n, struct iovec **ret)
{
    unsigned each = user_struct_guest_size(t->call_abi, UST_iovec);
    *ret = NULL;
    if (n > MAX_IOV)
        return -EINVAL;
    g_autofree struct iovec *v = g_new0(struct iovec, n + 1);
    for (uint64_t k = 0; k < n; k++)
        if (user_struct_get(t, UST_iovec, &v[k], at + k * each))
            return -EFAULT;
    *ret = g_steal_pointer(&v);
    return 0;
}

/* What one call has in use. */
typedef struct Conv {
    UserThread *t;
    uint64_t host[8];          /* arguments for the host's form */
    uint64_t guest[8];         /* where each came from */
    UserArg arg[8];
    void *big[8];              /* freed at the end */
    uint8_t buf[8][USER_STRUCT_MAX];
    unsigned n;
} Conv;

/* fd_set: the guest's longs may be shorter than the host's, their order in memory is the same. */
static bool fds_in(Conv *c, uint64_t at)
{
    uint64_t bits = MIN((uint32_t)c->host[0], (uint32_t)FDS_MAX), bytes = (bits + 31) / 32 * 4;
    if ((int32_t)c->host[0] > FDS_MAX)
        c->host[0] = FDS_MAX;  /* more than there can be, and no more than we have room for */
    c->big[c->n] = g_malloc0(bytes + 8);
    c->host[c->n] = (uint64_t)(uintptr_t)c->big[c->n];
    return user_get(c->t, c->big[c->n], at, bytes);
}

static bool iov_in(Conv *c, uint64_t at)
{
    struct iovec *iov;
    uint64_t n = c->guest[c->n + 1];
    if (user_iovec_get(c->t, at, (uint32_t)n, &iov))
        return false;
    c->big[c->n] = iov;
    c->host[c->n] = (uint64_t)(uintptr_t)iov;
    return true;
}

static bool info_in(Conv *c, uint64_t at)
{
    uint8_t guest[USER_SIGINFO_BYTES];
    if (!user_get(c->t, guest, at, sizeof(guest)))
        return false;
    user_siginfo_to_host((siginfo_t *)(void *)c->buf[c->n], guest);
    return true;
}

static bool pointer_in(Conv *c, UserArg arg, uint64_t v)
{
    if (arg.how == HOW_FDS)
        return fds_in(c, v);
    if (arg.how == HOW_IOV)
        return iov_in(c, v);
    c->host[c->n] = (uint64_t)(uintptr_t)c->buf[c->n];
    memset(c->buf[c->n], 0, sizeof(c->buf[0]));      /* the host need not write all of it */
    if (arg.how == HOW_IN || arg.how == HOW_IO)
        return !user_struct_get(c->t, arg.st, c->buf[c->n], v);
    return arg.how != HOW_INFO_IN || info_in(c, v);
}

static void one_in(Conv *c, UserArg arg, const uint64_t *g)
{
    switch ((UserHow)arg.how) {
    case HOW_S: c->host[c->n] = (uint64_t)(int64_t)(int32_t)g[0]; break;
    case HOW_U: c->host[c->n] = g[0]; break;
    case HOW_PAIR: c->host[c->n] = (uint32_t)g[0] | g[1] << 32; break;
    case HOW_PAGES: c->host[c->n] = (uint64_t)(uint32_t)g[0] * USER_PAGE; break;
    case HOW_ID16: c->host[c->n] = (uint16_t)g[0] == UINT16_MAX ? UINT64_MAX : (uint16_t)g[0]; break;
    case HOW_CONST: c->host[c->n] = arg.st; break;
    default:                   /* what cannot be read is not written either: the kernel refuses it when it comes to it */
        if (g[0] && !pointer_in(c, arg, g[0])) {
            c->host[c->n] = USER_BAD_POINTER;
            c->guest[c->n] = 0;
        }
        break;
    }
}

static int64_t pointer_out(Conv *c, unsigned n, int64_t result)
{
    uint64_t at = c->guest[n];
    UserHow how = c->arg[n].how;
    uint8_t info[USER_SIGINFO_BYTES];
    if (!at || (how == HOW_REST ? result != -EINTR : result < 0 && how != HOW_IO) || result == -EFAULT)
        return 0;
    switch (how) {
    case HOW_OUT: case HOW_REST: return user_struct_put(c->t, c->arg[n].st, at, c->buf[n]);
    case HOW_IO: {             /* a limit of time may be constant: what is left of it is not told then (poll(2), select(2)) */
        bool limit = c->arg[n].st == UST_timespec || c->arg[n].st == UST_timeval;
        int64_t r = user_struct_put(c->t, c->arg[n].st, at, c->buf[n]);
        return limit ? 0 : r;
    }
    case HOW_FDS: return user_put(c->t, at, c->big[n], (MIN((uint32_t)c->host[0], (uint32_t)FDS_MAX) + 31) / 32 * 4) ? 0 : -EFAULT;
    case HOW_INFO_OUT:
        user_siginfo_to_guest((const siginfo_t *)(const void *)c->buf[n], info);
        return user_put(c->t, at, info, sizeof(info)) ? 0 : -EFAULT;
    default: return 0;
    }
}

/* Without a list: words, signed where the table of calls says so. */
static void plain_args(const char *letters, const uint64_t *g, uint64_t *host)
{
    for (unsigned n = 0; n < 6; n++) {
        host[n] = g[n];
        if (*letters && *letters++ == 'd')
            host[n] = (uint64_t)(int64_t)(int32_t)g[n];
    }
}

TCG_CALL_PATH int64_t user_call_converted(UserThread *t, const UserCall *call, const uint64_t g[6])
{
    const char *letters = user_call_letters(call->sys);
    bool result16 = false;
    Conv c;
    if (call->args[0].how == HOW_NONE) {
        uint64_t host[6];
        plain_args(letters, g, host);
        return user_call(t, call->sys, host);
    }
    c.t = t;
    c.n = 0;
    memset(c.host, 0, sizeof(c.host));
    memset(c.big, 0, sizeof(c.big));
    memset(c.guest, 0, sizeof(c.guest));
    unsigned from = 0;
    for (unsigned k = 0; k < USER_CALL_ARGS && call->args[k].how; k++) {
        UserArg arg = call->args[k];
        if (arg.how == HOW_RESULT16) {
            result16 = true;
        } else {
            uint64_t pair[2] = { from < 6 ? g[from] : 0, from + 1 < 6 ? g[from + 1] : 0 };
            c.guest[c.n] = pair[0];
            c.guest[c.n + 1] = pair[1];
            c.arg[c.n] = arg;
            one_in(&c, arg, pair);
            from += arg.how == HOW_PAIR ? 2 : arg.how == HOW_CONST ? 0 : 1;
            c.n++;
        }
    }
    int64_t r = user_call(t, call->sys, c.host), e = 0;
    if (!r && call->sys == USYS_wait4)
        c.guest[3] = 0;        /* nobody has ended: the usage is not written */
    for (unsigned n = 0; n < c.n && !e && !t->keep_registers; n++)
        e = pointer_out(&c, n, r);
    r = e ? e : r;
    for (unsigned n = 0; n < c.n; n++)
        g_free(c.big[n]);
    return result16 && r > UINT16_MAX ? 65534 : r;
}
