/* Sockets and ioctl of guests with 32-bit words. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tcg/user/calls.h"
#include "tcg/user/convert.h"

#define PTR(p) ((uint64_t)(uintptr_t)(p))
enum { MAX_CONTROL = 65536 };

/* ---- control messages: the header's length is a word; aligned to words ---- */
typedef struct KernelCmsg { uint64_t len; int32_t level, type; } KernelCmsg;

static uint64_t word_up(uint64_t v, unsigned word) { return (v + word - 1) & ~(uint64_t)(word - 1); }

/* Host's form of @len guest bytes; at most about twice as long. */
static int64_t control_in(UserThread *t, uint64_t at, uint64_t len, uint8_t **ret, uint64_t *ret_len)
{
    unsigned word = user_word(t->call_abi), head = word + 8;
    if (len > MAX_CONTROL)
        return -ENOBUFS;
    g_autofree uint8_t *guest = g_malloc(len + 1), *host = g_malloc0(3 * len + 64);
    uint64_t out = 0;
    if (!user_get(t, guest, at, len))
        return -EFAULT;
    for (uint64_t n = 0; n + head <= len;) {
        KernelCmsg c = { 0 };
        memcpy(&c.len, guest + n, word);
        memcpy(&c.level, guest + n + word, 8);
        if (c.len < head || c.len > len - n)
            return -EINVAL;
        uint64_t data = c.len - head, step = word_up(c.len, word);
        c.len = sizeof(c) + data;
        memcpy(host + out, &c, sizeof(c));
        memcpy(host + out + sizeof(c), guest + n + head, data);
        out += word_up(c.len, 8);
        n += step;
    }
    *ret = g_steal_pointer(&host);
    *ret_len = out;
    return 0;
}

/* Data whose words differ: time stamps of the old kind. Returns its length for the guest. */
static uint64_t control_data(UserThread *t, const KernelCmsg *c, const uint8_t *from, uint64_t len, uint8_t *to)
{
    UserStructId id = c->level != SOL_SOCKET ? UST_NONE : c->type == SO_TIMESTAMP && len == 16 ? UST_timeval : c->type == SO_TIMESTAMPNS && len == 16 ? UST_timespec : UST_NONE;
    if (id) {
        user_struct_to_guest(t->call_abi, id, to, from);
        return user_struct_guest_size(t->call_abi, id);
    }
    memcpy(to, from, len);
    return len;
}

/* A message that does not fit, @room bytes: as many files as do, the others are closed again (unix(7)). Returns its length, 0: none. */
static uint64_t cut_rights(const KernelCmsg *c, const uint8_t *fds, uint64_t head, uint64_t room)
{
    if (c->level != SOL_SOCKET || c->type != SCM_RIGHTS)
        return 0;
    uint64_t have = (c->len - sizeof(*c)) / sizeof(int), fit = room > head ? MIN((room - head) / sizeof(int), have) : 0;
    for (uint64_t k = fit; k < have; k++) {
        int fd;
        memcpy(&fd, fds + k * sizeof(fd), sizeof(fd));
        close(fd);
    }
    return fit ? head + fit * sizeof(int) : 0;
}

/* *len: what the guest has room for, then what it got. */
static int64_t control_out(UserThread *t, const uint8_t *host, uint64_t host_len, uint64_t at, uint64_t *len, uint32_t *flags)
{
    unsigned word = user_word(t->call_abi), head = word + 8;
    uint64_t out = 0, room = *len;
    g_autofree uint8_t *guest = g_malloc0(host_len + 64);
    for (uint64_t n = 0; n + sizeof(KernelCmsg) <= host_len;) {
        KernelCmsg c;
        memcpy(&c, host + n, sizeof(c));
        if (c.len < sizeof(c) || c.len > host_len - n)
            break;
        uint64_t data = control_data(t, &c, host + n + sizeof(c), c.len - sizeof(c), guest + out + head), all = head + data;
        if (all > room - out) {
            *flags |= MSG_CTRUNC;
            all = cut_rights(&c, host + n + sizeof(c), head, room - out);
        }
        memcpy(guest + out, &all, word);
        memcpy(guest + out + word, &c.level, 8);
        out = MIN(out + word_up(all, word), room);
        n += word_up(c.len, 8);
    }
    *len = out;
    return user_put(t, at, guest, out) ? 0 : -EFAULT;
}

/* ---- messages ---- */
typedef struct Msg { KernelMsghdr guest, host; struct iovec *iov; uint8_t *control; } Msg;

static void msg_free(Msg *m)
{
    g_free(m->iov);
    g_free(m->control);
}

static int64_t msg_in(UserThread *t, Msg *m, uint64_t at, bool send)
{
    memset(m, 0, sizeof(*m));
    int64_t r = user_struct_get(t, UST_msghdr, &m->guest, at);
    if (r)
        return r;
    if (m->guest.name && (int32_t)m->guest.namelen < 0)
        return -EINVAL;
    m->host = m->guest;
    r = user_iovec_get(t, m->guest.iov, (uint32_t)m->guest.iovlen, &m->iov);
    if (r)
        return r == -EINVAL ? -EMSGSIZE : r;
    m->host.iov = PTR(m->iov);
    if (!m->guest.control || !m->guest.controllen) {
        m->host.control = m->host.controllen = 0;
    } else if (send) {
        r = control_in(t, m->guest.control, m->guest.controllen, &m->control, &m->host.controllen);
        m->host.control = PTR(m->control);
    } else {
        m->host.controllen = word_up(MIN(m->guest.controllen, MAX_CONTROL) * 2, 8);
        m->control = g_malloc0(m->host.controllen);
        m->host.control = PTR(m->control);
    }
    return r;
}

static int64_t msg_out(UserThread *t, Msg *m, uint64_t at)
{
    KernelMsghdr g = m->guest;
    g.namelen = m->host.namelen;
    g.flags = m->host.flags;
    if (!m->control)
        g.controllen = 0;
    int64_t r = m->control ? control_out(t, m->control, m->host.controllen, m->guest.control, &g.controllen, &g.flags) : 0;
    return r ? r : user_struct_put(t, UST_msghdr, at, &g);
}

/* MSG_CMSG_COMPAT, which the kernel sets itself for 32-bit callers, whatever they say, and refuses from others. */
static uint64_t msg_flags(uint64_t flags) { return flags & ~0x80000000ull; }

/* A message that is none, error @e: what the kernel has to say of the socket comes first. */
static int64_t bad_msg(UserThread *t, long nr, const uint64_t *a, int64_t e)
{
    int64_t r = user_host_syscall(t, nr, a[0], USER_BAD_POINTER, msg_flags(a[2]), 0, 0, 0);
    return r == -EFAULT ? e : r;
}

int64_t user_sys_small_sendmsg(UserThread *t, const uint64_t *a)
{
    Msg m;
    int64_t r = msg_in(t, &m, a[1], true);
    r = r ? bad_msg(t, SYS_sendmsg, a, r) : user_host_syscall(t, SYS_sendmsg, a[0], PTR(&m.host), msg_flags(a[2]), 0, 0, 0);
    msg_free(&m);
    return r;
}

int64_t user_sys_small_recvmsg(UserThread *t, const uint64_t *a)
{
    Msg m;
    int64_t r = msg_in(t, &m, a[1], false);
    r = r ? bad_msg(t, SYS_recvmsg, a, r) : user_host_syscall(t, SYS_recvmsg, a[0], PTR(&m.host), msg_flags(a[2]), 0, 0, 0);
    int64_t e = r >= 0 ? msg_out(t, &m, a[1]) : 0;
    msg_free(&m);
    return e ? e : r;
}

/* One after the other: as many as go without an error. */
static int64_t many(UserThread *t, const uint64_t *a, UserSysFn *one, uint64_t more)
{
    uint64_t each = user_struct_guest_size(t->call_abi, UST_msghdr) + 4, max = MIN((uint32_t)a[2], 1024u);
    int64_t r = 0;
    for (uint64_t n = 0; n < max; n++) {
        uint64_t at = a[1] + n * each;
        r = one(t, (const uint64_t[6]){ a[0], at, a[3] | (n ? more : 0) });
        if (r < 0)
            return n ? (int64_t)n : r;
        if (!user_put(t, at + each - 4, &(uint32_t){ (uint32_t)r }, 4))
            return -EFAULT;
    }
    return (int64_t)max;
}

int64_t user_sys_small_sendmmsg(UserThread *t, const uint64_t *a) { return many(t, a, user_sys_small_sendmsg, 0); }

/* The time limit is only looked at between messages (recvmmsg(2), BUGS): the first is waited for, the rest taken if it is there. */
int64_t user_sys_small_recvmmsg(UserThread *t, const uint64_t *a)
{
    return many(t, (const uint64_t[6]){ a[0], a[1], a[2], (uint64_t)((int)a[3] & ~MSG_WAITFORONE) }, user_sys_small_recvmsg,
                (int)a[3] & MSG_WAITFORONE || a[4] ? MSG_DONTWAIT : 0);
}

int64_t user_sys_small_recvmmsg64(UserThread *t, const uint64_t *a) { return user_sys_small_recvmmsg(t, a); }

/* ---- options ---- */
enum { RCVTIMEO_OLD = 20, SNDTIMEO_OLD = 21 };

int64_t user_sys_small_setsockopt(UserThread *t, const uint64_t *a)
{
    int opt = (int)a[2];
    if ((int)a[1] == SOL_SOCKET && (opt == RCVTIMEO_OLD || opt == SNDTIMEO_OLD)) {
        struct timeval tv;
        if ((uint32_t)a[4] < user_struct_guest_size(t->call_abi, UST_timeval))
            return -EINVAL;
        int64_t r = user_struct_get(t, UST_timeval, &tv, a[3]);
        return r ? r : user_host_syscall(t, SYS_setsockopt, a[0], a[1], a[2], PTR(&tv), sizeof(tv), 0);
    }
    if ((int)a[1] == SOL_SOCKET && (opt == SO_ATTACH_FILTER || opt == SO_ATTACH_REUSEPORT_CBPF)) {
        KernelFprog f;
        int64_t r = user_struct_get(t, UST_sock_fprog, &f, a[3]);
        return r ? r : user_host_syscall(t, SYS_setsockopt, a[0], a[1], a[2], PTR(&f), sizeof(f), 0);
    }
    return user_host_syscall(t, SYS_setsockopt, a[0], a[1], a[2], a[3], a[4], 0);
}

int64_t user_sys_small_getsockopt(UserThread *t, const uint64_t *a)
{
    int opt = (int)a[2];
    if ((int)a[1] == SOL_SOCKET && (opt == RCVTIMEO_OLD || opt == SNDTIMEO_OLD)) {
        struct timeval tv;
        uint32_t len = sizeof(tv), room;
        uint8_t guest[USER_STRUCT_MAX];
        if (!user_get(t, &room, a[4], sizeof(room)))
            return -EFAULT;
        int64_t r = (int32_t)room < 0 ? -EINVAL : user_host_syscall(t, SYS_getsockopt, a[0], a[1], a[2], PTR(&tv), PTR(&len), 0);
        r = r ? r : user_struct_to_guest(t->call_abi, UST_timeval, guest, &tv);
        room = MIN(room, user_struct_guest_size(t->call_abi, UST_timeval));
        return r ? r : user_put(t, a[3], guest, room) && user_put(t, a[4], &room, sizeof(room)) ? 0 : -EFAULT;
    }
    return user_host_syscall(t, SYS_getsockopt, a[0], a[1], a[2], a[3], a[4], 0);
}

/* socketcall(2): number and arguments in memory. */
int64_t user_sys_socketcall(UserThread *t, const uint64_t *a)
{
    static const struct { uint8_t n; uint16_t sys; } calls[] = {
        { 0, 0 }, { 3, USYS_socket }, { 3, USYS_bind }, { 3, USYS_connect }, { 2, USYS_listen }, { 3, USYS_accept }, { 3, USYS_getsockname }, { 3, USYS_getpeername },
        { 4, USYS_socketpair }, { 4, USYS_sendto }, { 4, USYS_recvfrom }, { 6, USYS_sendto }, { 6, USYS_recvfrom }, { 2, USYS_shutdown }, { 5, USYS_small_setsockopt },
        { 5, USYS_small_getsockopt }, { 3, USYS_small_sendmsg }, { 3, USYS_small_recvmsg }, { 4, USYS_accept4 }, { 5, USYS_small_recvmmsg }, { 4, USYS_small_sendmmsg },
    };
    uint64_t w[6] = { 0 };
    unsigned n = (unsigned)a[0];
    if (!n || n >= G_N_ELEMENTS(calls))
        return -EINVAL;
    for (unsigned k = 0; k < calls[n].n; k++)
        if (!user_get_word(t, &w[k], a[1] + k * user_word(t->call_abi)))
            return -EFAULT;
    return user_call_converted(t, &(UserCall){ .sys = calls[n].sys }, w);
}

/* ---- ioctl: requests whose structures differ; all others have members of fixed width ---- */
enum { IO_SAME, IO_WORD_OUT, IO_STRUCT, IO_STRUCT_PTR, IO_CONF, IO_REFUSED };

static const struct Ioctl { uint32_t guest, host; uint8_t how, st; } ioctls[] = {
    /* struct ifreq (netdevice(7)) */
    { SIOCGIFNAME, SIOCGIFNAME, IO_STRUCT, UST_ifreq }, { SIOCGIFFLAGS, SIOCGIFFLAGS, IO_STRUCT, UST_ifreq }, { SIOCSIFFLAGS, SIOCSIFFLAGS, IO_STRUCT, UST_ifreq },
    { SIOCGIFADDR, SIOCGIFADDR, IO_STRUCT, UST_ifreq }, { SIOCSIFADDR, SIOCSIFADDR, IO_STRUCT, UST_ifreq }, { SIOCGIFDSTADDR, SIOCGIFDSTADDR, IO_STRUCT, UST_ifreq },
    { SIOCSIFDSTADDR, SIOCSIFDSTADDR, IO_STRUCT, UST_ifreq }, { SIOCGIFBRDADDR, SIOCGIFBRDADDR, IO_STRUCT, UST_ifreq }, { SIOCSIFBRDADDR, SIOCSIFBRDADDR, IO_STRUCT, UST_ifreq },
    { SIOCGIFNETMASK, SIOCGIFNETMASK, IO_STRUCT, UST_ifreq }, { SIOCSIFNETMASK, SIOCSIFNETMASK, IO_STRUCT, UST_ifreq }, { SIOCGIFMETRIC, SIOCGIFMETRIC, IO_STRUCT, UST_ifreq },
    { SIOCGIFMTU, SIOCGIFMTU, IO_STRUCT, UST_ifreq }, { SIOCSIFMTU, SIOCSIFMTU, IO_STRUCT, UST_ifreq }, { SIOCGIFHWADDR, SIOCGIFHWADDR, IO_STRUCT, UST_ifreq },
    { SIOCSIFHWADDR, SIOCSIFHWADDR, IO_STRUCT, UST_ifreq }, { SIOCGIFINDEX, SIOCGIFINDEX, IO_STRUCT, UST_ifreq }, { SIOCGIFTXQLEN, SIOCGIFTXQLEN, IO_STRUCT, UST_ifreq },
    { SIOCADDMULTI, SIOCADDMULTI, IO_STRUCT, UST_ifreq }, { SIOCDELMULTI, SIOCDELMULTI, IO_STRUCT, UST_ifreq }, { SIOCETHTOOL, SIOCETHTOOL, IO_STRUCT_PTR, UST_ifreq_ptr },
    { SIOCGIFCONF, SIOCGIFCONF, IO_CONF, 0 }, { SIOCGIFMAP, 0, IO_REFUSED, 0 }, { SIOCADDRT, 0, IO_REFUSED, 0 }, { SIOCDELRT, 0, IO_REFUSED, 0 },
    { SIOCGSTAMP, SIOCGSTAMP, IO_STRUCT, UST_timeval }, { SIOCGSTAMPNS, SIOCGSTAMPNS, IO_STRUCT, UST_timespec },
    /* the size in the number is a word's (linux/fs.h); what is filled in is an int */
    { 0x80046601, 0x80086601, IO_SAME, 0 }, { 0x40046602, 0x40086602, IO_SAME, 0 }, { 0x80047601, 0x80087601, IO_SAME, 0 }, { 0x40047602, 0x40087602, IO_SAME, 0 },
    { 0x80041272, 0x80081272, IO_SAME, 0 },                                              /* BLKGETSIZE64: 64 bits all the same */
    { 0x1260, 0x1260, IO_WORD_OUT, 0 }, { 0x1263, 0x1263, IO_WORD_OUT, 0 }, { 0x1265, 0x1265, IO_WORD_OUT, 0 },   /* BLKGETSIZE, BLKRAGET, BLKFRAGET */
    { 0x0301, 0, IO_REFUSED, 0 }, { 0x2285, 0, IO_REFUSED, 0 }, { 0x4b72, 0, IO_REFUSED, 0 },   /* HDIO_GETGEO, SG_IO, KDFONTOP */
};

/* SIOCGIFCONF: an array of ifreq behind a pointer. */
static int64_t ifconf(UserThread *t, uint64_t fd, uint64_t at)
{
    enum { MAX_IFS = 1024 };
    KernelIfconf c;
    unsigned each = user_struct_guest_size(t->call_abi, UST_ifreq);
    int64_t r = user_struct_get(t, UST_ifconf, &c, at);
    if (r)
        return r;
    uint64_t to = c.buf, room = c.len > 0 ? MIN((unsigned)c.len / each, (unsigned)MAX_IFS) : 0;
    g_autofree KernelIfreq *list = g_new0(KernelIfreq, room + 1);
    c.len = (int32_t)(room * sizeof(list[0]));
    c.buf = to ? PTR(list) : 0;
    r = user_host_syscall(t, SYS_ioctl, fd, SIOCGIFCONF, PTR(&c), 0, 0, 0);
    uint64_t n = r < 0 ? 0 : (uint64_t)c.len / sizeof(list[0]);
    for (uint64_t k = 0; to && k < n && r >= 0; k++)
        r = user_struct_put(t, UST_ifreq, to + k * each, &list[k]);
    c.len = (int32_t)(n * each);
    c.buf = to;
    return r < 0 ? r : user_struct_put(t, UST_ifconf, at, &c);
}

int64_t user_sys_small_ioctl(UserThread *t, const uint64_t *a)
{
    const struct Ioctl *io = NULL;
    uint8_t buf[USER_STRUCT_MAX] = { 0 };
    uint64_t word = 0;
    int64_t r;
    for (unsigned n = 0; n < G_N_ELEMENTS(ioctls) && !io; n++)
        if (ioctls[n].guest == (uint32_t)a[1])
            io = &ioctls[n];
    if (!io)
        return user_call(t, USYS_ioctl, a);
    switch (io->how) {
    case IO_SAME: return user_call(t, USYS_ioctl, (const uint64_t[6]){ a[0], io->host, a[2] });
    case IO_WORD_OUT:
        r = user_host_syscall(t, SYS_ioctl, a[0], io->host, PTR(&word), 0, 0, 0);
        return r ? r : user_put(t, a[2], &word, user_word(t->call_abi)) ? 0 : -EFAULT;
    case IO_CONF: return ifconf(t, a[0], a[2]);
    case IO_STRUCT: case IO_STRUCT_PTR:
        r = user_struct_get(t, io->st, buf, a[2]);
        r = r ? r : user_host_syscall(t, SYS_ioctl, a[0], io->host, PTR(buf), 0, 0, 0);
        return r < 0 || io->how == IO_STRUCT_PTR ? r : user_struct_put(t, io->st, a[2], buf) ? -EFAULT : r;
    default: return -ENOTTY;
    }
}
