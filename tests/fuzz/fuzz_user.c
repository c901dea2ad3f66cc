/*
 * tandem-user's conversions of what a guest's memory says: frames that it returns from (sigreturn), control messages and message headers of 32-bit guests,
 * siginfo. Nothing of it may crash; and what is put into a frame comes back out of it.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tcg/user/calls.h"
#include "tcg/user/convert.h"
#include "tests/fuzz/fuzz.h"

enum { AREA = 256 << 10, MIDDLE = AREA / 2, INPUT_MAX_BYTES = 4096, GUESTS = 4, RT_SIGRETURN_I386 = 173 };
static const UserAbi *const abis[GUESTS] = { &user_abi_x86_64, &user_abi_i386, &user_abi_riscv64, &user_abi_aarch64 };

typedef struct Rig { UserProc p; UserThread *t; uint8_t *area; } Rig;   /* area: the guest's memory, below 4 GiB */

static Rig *rig(unsigned guest)
{
    static Rig *rigs[GUESTS];
    if (rigs[guest])
        return rigs[guest];
    Rig *r = rigs[guest] = g_new0(Rig, 1);
    GError *err = NULL;
    TcgConfig config = { .tier = TCG_TIER_INTERP, .direct = true };
    r->p.abi = abis[guest];
    r->p.threads = g_ptr_array_new();
    pthread_mutex_init(&r->p.signal_lock, NULL);
    pthread_mutex_init(&r->p.thread_lock, NULL);
    user_map_init(&r->p);
    r->p.tcg = tcg_new(&config, &err);
    g_assert(r->p.tcg && (!r->p.abi->setup || r->p.abi->setup(&r->p, &err)));
    r->area = mmap(NULL, AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    g_assert(r->area != MAP_FAILED);
    r->t = user_thread_new(&r->p);
    user_signal_init(&r->p);
    return r;
}

static uint64_t place(const Rig *r, unsigned off) { return (uint64_t)(uintptr_t)r->area + off; }

/* With another stack pointer: what clone does for a child. */
static void set_sp(Rig *r, uint64_t sp) { r->p.abi->clone(r->t, r->t, sp, false, 0); }

static void frames(Rig *r, const uint8_t *data, size_t size)
{
    const UserAbi *abi = r->p.abi;
    uint64_t mask = 0, nr, again, a[6], b[6];
    siginfo_t si = { .si_signo = SIGUSR1 };
    UserSigaction action = { .handler = place(r, 0), .restorer = place(r, 64), .flags = SA_SIGINFO };
    memset(r->area, 0, AREA);
    memcpy(r->area + MIDDLE, data, size);
    memcpy(&si, data, MIN(size, sizeof(si)));
    si.si_signo = SIGUSR1;
    abi->start(r->t, place(r, 0), place(r, MIDDLE + 8));
    r->t->syscall_nr = size & 1 ? RT_SIGRETURN_I386 : 119;
    abi->pop_frame(r->t, &mask);
    set_sp(r, place(r, MIDDLE));
    abi->get_args(r->t, &nr, a);
    if (!abi->push_frame(r->t, &si, &action, 0x123456789abcull, false))
        g_assert_not_reached();
    if (abi->elf_machine == user_abi_x86_64.elf_machine || abi->elf_machine == user_abi_i386.elf_machine)
        set_sp(r, abi->sp(r->t) + user_word(abi));     /* the handler's return */
    r->t->syscall_nr = RT_SIGRETURN_I386;
    g_assert(abi->pop_frame(r->t, &mask) && mask == 0x123456789abcull);
    abi->get_args(r->t, &again, b);
    g_assert(abi->sp(r->t) == place(r, MIDDLE) && nr == again && !memcmp(a, b, sizeof(a)));
}

/* The kernel takes what the guest sent and gives it to the guest again, in less room. */
static void messages(Rig *r, const uint8_t *data, size_t size)
{
    enum { MSGHDR = 28, IOV = 64, NAME = 128, CONTROL = 4096 };
    int pair[2];
    if (size < 4 || socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair))
        return;
    uint32_t base = (uint32_t)place(r, 0), room = data[0] * 4u, h[MSGHDR / 4] = { 0, 0, base + IOV, 1, base + CONTROL, (uint32_t)size - 4, 0 };
    memset(r->area, 0, AREA);
    memcpy(r->area, h, MSGHDR);
    memcpy(r->area + IOV, (uint32_t[2]){ base + NAME, 4 }, 8);
    memcpy(r->area + CONTROL, data + 4, size - 4);
    user_sys_small_sendmsg(r->t, (const uint64_t[6]){ (uint64_t)pair[0], base, MSG_DONTWAIT });
    if (write(pair[0], "x", 1) < 0)
        g_assert(errno == EAGAIN);
    h[5] = room;
    memcpy(r->area, h, MSGHDR);
    memset(r->area + CONTROL, 0xee, AREA - CONTROL);
    if (user_sys_small_recvmsg(r->t, (const uint64_t[6]){ (uint64_t)pair[1], base, MSG_DONTWAIT }) >= 0) {
        memcpy(h, r->area, MSGHDR);
        g_assert(h[5] <= room);
        for (unsigned n = room; n < room + 64; n++)
            g_assert(r->area[CONTROL + n] == 0xee);
        for (uint32_t n = 0; n + 12 <= h[5];) {        /* files that came along */
            uint32_t c[3];
            memcpy(c, r->area + CONTROL + n, sizeof(c));
            if (c[0] < 12 || c[0] > h[5] - n)
                break;
            for (uint32_t k = 12; c[1] == SOL_SOCKET && c[2] == SCM_RIGHTS && k + 4 <= c[0]; k += 4) {
                int fd;
                memcpy(&fd, r->area + CONTROL + n + k, 4);
                close(fd);
            }
            n += (c[0] + 3) & ~3u;
        }
    }
    close(pair[0]);
    close(pair[1]);
}

static void infos(const uint8_t *data, size_t size)
{
    siginfo_t si;
    uint8_t guest[USER_SIGINFO_BYTES] = { 0 };
    memset(&si, 0, sizeof(si));
    memcpy(&si, data, MIN(size, sizeof(si)));
    user_siginfo_to_guest(&si, guest);
    user_siginfo_to_host(&si, guest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > INPUT_MAX_BYTES)
        return 0;
    Rig *r = rig(data[0] & 4 ? 1 : data[0] % GUESTS);
    user_thread_bind(r->t);
    if (data[0] & 4)
        messages(r, data + 1, size - 1);
    else
        frames(r, data + 1, size - 1);
    infos(data + 1, size - 1);
    return 0;
}
