/* i386's system calls: its numbers (not the host's: sys/syscall.h must stay out of here) and what their arguments are, as convert.h has it. */
#include <asm/unistd_32.h>

#include "tcg/user/x86/x86_user.h"

#define S { HOW_S, 0 }
#define U { HOW_U, 0 }
#define IN(s) { HOW_IN, UST_##s }
#define OUT(s) { HOW_OUT, UST_##s }
#define IO(s) { HOW_IO, UST_##s }
#define REST(s) { HOW_REST, UST_##s }
#define PAIR { HOW_PAIR, 0 }
#define K(v) { HOW_CONST, v }
#define IOV { HOW_IOV, 0 }
#define FDS { HOW_FDS, 0 }
#define ID { HOW_ID16, 0 }
#define R16 { HOW_RESULT16, 0 }
/* SAME: words only, and structures that do not differ. NAME: the same under another name. CALL: arguments as listed. */
#define SAME(n) [__NR_##n] = { .sys = USYS_##n },
#define NAME(n, of) [__NR_##n] = { .sys = USYS_##of },
#define CALL(n, of, ...) [__NR_##n] = { USYS_##of, { __VA_ARGS__ } },

const UserCall user_calls_i386[USER_CALLS_I386] = {
    /* files */
    SAME(read) SAME(write) SAME(open) SAME(close) SAME(creat) SAME(link) SAME(unlink) SAME(chdir) SAME(mknod) SAME(chmod) SAME(access) SAME(sync) SAME(rename) SAME(mkdir)
    SAME(rmdir) SAME(dup) SAME(pipe) SAME(acct) SAME(umount2) CALL(umount, umount2, U, K(0)) SAME(mount) SAME(open_tree) SAME(move_mount) SAME(fsopen) SAME(fsconfig) SAME(fsmount) SAME(fspick) SAME(mount_setattr) SAME(umask) SAME(chroot) SAME(dup2) SAME(symlink) SAME(readlink) SAME(swapon)
    SAME(swapoff) SAME(fchmod) SAME(fchdir) SAME(flock) SAME(fsync) SAME(fdatasync) SAME(getcwd) SAME(pivot_root) SAME(getdents64) SAME(poll) SAME(lseek) SAME(truncate) SAME(ftruncate)
    CALL(truncate64, truncate, U, PAIR) CALL(ftruncate64, ftruncate, S, PAIR) NAME(_llseek, llseek) CALL(pread64, pread64, S, U, U, PAIR) CALL(pwrite64, pwrite64, S, U, U, PAIR)
    CALL(readv, readv, S, IOV, S) CALL(writev, writev, S, IOV, S) CALL(preadv, preadv, S, IOV, S, PAIR) CALL(pwritev, pwritev, S, IOV, S, PAIR)
    CALL(preadv2, preadv2, S, IOV, S, PAIR, K(0), U) CALL(pwritev2, pwritev2, S, IOV, S, PAIR, K(0), U) CALL(vmsplice, vmsplice, S, IOV, S, U)
    CALL(process_vm_readv, process_vm_readv, S, IOV, S, IOV, S, U) CALL(process_vm_writev, process_vm_writev, S, IOV, S, IOV, S, U)
    CALL(stat, stat, U, OUT(stat)) CALL(lstat, lstat, U, OUT(stat)) CALL(fstat, fstat, S, OUT(stat)) CALL(stat64, stat, U, OUT(stat64)) CALL(lstat64, lstat, U, OUT(stat64))
    CALL(fstat64, fstat, S, OUT(stat64)) CALL(fstatat64, newfstatat, S, U, OUT(stat64), S) CALL(statfs, statfs, U, OUT(statfs)) CALL(fstatfs, fstatfs, S, OUT(statfs))
    NAME(statfs64, small_statfs64) NAME(fstatfs64, small_fstatfs64) SAME(statx)
    NAME(fcntl, small_fcntl) NAME(fcntl64, small_fcntl) NAME(ioctl, small_ioctl) NAME(getdents, small_getdents)
    CALL(sendfile, sendfile, S, S, IO(word), U) NAME(sendfile64, sendfile) SAME(splice) SAME(tee) SAME(copy_file_range)
    CALL(select, old_select, U) CALL(_newselect, select, S, FDS, FDS, FDS, IO(timeval)) CALL(pselect6, pselect6, S, FDS, FDS, FDS, IO(timespec), IN(sigset_arg))
    CALL(pselect6_time64, pselect6, S, FDS, FDS, FDS, U, IN(sigset_arg)) CALL(ppoll, ppoll, U, S, IO(timespec), U, S) NAME(ppoll_time64, ppoll)
    CALL(readahead, readahead, S, PAIR, U) CALL(fadvise64, fadvise64, S, PAIR, U, S) CALL(fadvise64_64, fadvise64, S, PAIR, PAIR, S) CALL(fallocate, fallocate, S, S, PAIR, PAIR)
    CALL(sync_file_range, sync_file_range, S, PAIR, PAIR, U) SAME(syncfs) CALL(utime, utime, U, IN(utimbuf)) CALL(utimes, utimes, U, IN(timeval2))
    CALL(futimesat, futimesat, S, U, IN(timeval2)) CALL(utimensat, utimensat, S, U, IN(timespec2), S) NAME(utimensat_time64, utimensat)
    SAME(setxattr) SAME(lsetxattr) SAME(fsetxattr) SAME(getxattr) SAME(lgetxattr) SAME(fgetxattr) SAME(listxattr) SAME(llistxattr) SAME(flistxattr) SAME(removexattr)
    SAME(lremovexattr) SAME(fremovexattr) SAME(openat) SAME(openat2) SAME(mkdirat) SAME(mknodat) SAME(fchownat) SAME(unlinkat) SAME(renameat) SAME(renameat2) SAME(linkat)
    SAME(symlinkat) SAME(readlinkat) SAME(fchmodat) SAME(faccessat) SAME(faccessat2) SAME(dup3) SAME(pipe2) SAME(close_range) SAME(memfd_create) SAME(name_to_handle_at)
    SAME(open_by_handle_at) SAME(inotify_init) SAME(inotify_init1) SAME(inotify_add_watch) SAME(inotify_rm_watch) SAME(fanotify_init) CALL(fanotify_mark, fanotify_mark, S, U, PAIR, S, U)
    SAME(eventfd) SAME(eventfd2) SAME(epoll_create) SAME(epoll_create1) SAME(epoll_ctl) SAME(epoll_wait) SAME(epoll_pwait) SAME(epoll_pwait2) SAME(signalfd) SAME(signalfd4)
    SAME(timerfd_create) CALL(timerfd_settime, timerfd_settime, S, S, IN(itimerspec), OUT(itimerspec)) CALL(timerfd_gettime, timerfd_gettime, S, OUT(itimerspec))
    NAME(timerfd_settime64, timerfd_settime) NAME(timerfd_gettime64, timerfd_gettime)
    SAME(io_uring_setup) SAME(io_uring_enter) SAME(io_uring_register) SAME(landlock_create_ruleset) SAME(landlock_add_rule) SAME(landlock_restrict_self)
    /* ids: 16 bits of old, 32 bits */
    CALL(lchown, lchown, U, ID, ID) CALL(chown, chown, U, ID, ID) CALL(fchown, fchown, S, ID, ID) CALL(setuid, setuid, ID) CALL(setgid, setgid, ID) CALL(getuid, getuid, R16)
    CALL(geteuid, geteuid, R16) CALL(getgid, getgid, R16) CALL(getegid, getegid, R16) CALL(setreuid, setreuid, ID, ID) CALL(setregid, setregid, ID, ID)
    CALL(setresuid, setresuid, ID, ID, ID) CALL(setresgid, setresgid, ID, ID, ID) CALL(getresuid, getresuid, OUT(id16), OUT(id16), OUT(id16))
    CALL(getresgid, getresgid, OUT(id16), OUT(id16), OUT(id16)) CALL(setfsuid, setfsuid, ID, R16) CALL(setfsgid, setfsgid, ID, R16) NAME(getgroups, small_getgroups)
    NAME(setgroups, small_setgroups)
    NAME(lchown32, lchown) NAME(chown32, chown) NAME(fchown32, fchown) NAME(setuid32, setuid) NAME(setgid32, setgid) NAME(getuid32, getuid) NAME(geteuid32, geteuid) NAME(getgid32, getgid)
    NAME(getegid32, getegid) NAME(setreuid32, setreuid) NAME(setregid32, setregid) NAME(setresuid32, setresuid) NAME(setresgid32, setresgid) NAME(getresuid32, getresuid)
    NAME(getresgid32, getresgid) NAME(setfsuid32, setfsuid) NAME(setfsgid32, setfsgid) NAME(getgroups32, getgroups) NAME(setgroups32, setgroups) SAME(capget) SAME(capset)
    /* memory */
    NAME(mmap, old_mmap) CALL(mmap2, mmap, U, U, S, S, S, { HOW_PAGES, 0 }) SAME(munmap) SAME(mprotect) SAME(mremap) SAME(brk) SAME(msync) SAME(mincore) SAME(madvise) SAME(mlock)
    SAME(mlock2) SAME(munlock) SAME(mlockall) SAME(munlockall) SAME(membarrier) SAME(remap_file_pages) SAME(pkey_mprotect) SAME(pkey_alloc) SAME(pkey_free) SAME(userfaultfd)
    /* processes */
    SAME(exit) SAME(exit_group) SAME(fork) SAME(vfork) SAME(clone) SAME(clone3) SAME(execve) SAME(execveat) CALL(waitpid, wait4, S, U, S, K(0)) CALL(wait4, wait4, S, U, S, OUT(rusage))
    CALL(waitid, waitid, S, S, { HOW_INFO_OUT, 0 }, S, OUT(rusage)) SAME(getpid) SAME(getppid) SAME(gettid) SAME(sched_yield) SAME(set_tid_address) NAME(futex, small_futex)
    NAME(futex_time64, futex) NAME(set_robust_list, small_set_robust_list) NAME(get_robust_list, small_get_robust_list) SAME(rseq) SAME(prctl) SAME(ptrace) SAME(seccomp) SAME(bpf)
    SAME(perf_event_open) SAME(kcmp) SAME(getpgid) SAME(getpgrp) SAME(setpgid) SAME(setsid) SAME(getsid) SAME(personality) SAME(unshare) SAME(setns) SAME(pidfd_open) SAME(pidfd_getfd)
    CALL(pidfd_send_signal, pidfd_send_signal, S, S, { HOW_INFO_IN, 0 }, U) CALL(getrusage, getrusage, S, OUT(rusage)) CALL(getrlimit, getrlimit, S, OUT(rlimit))
    CALL(ugetrlimit, getrlimit, S, OUT(rlimit)) CALL(setrlimit, setrlimit, S, IN(rlimit)) SAME(prlimit64) SAME(getpriority) SAME(setpriority) SAME(ioprio_set) SAME(ioprio_get)
    SAME(sched_setparam) SAME(sched_getparam) SAME(sched_setscheduler) SAME(sched_getscheduler) SAME(sched_get_priority_max) SAME(sched_get_priority_min) SAME(sched_setattr)
    SAME(sched_getattr) CALL(sched_rr_get_interval, sched_rr_get_interval, S, OUT(timespec)) NAME(sched_rr_get_interval_time64, sched_rr_get_interval) SAME(sched_setaffinity)
    NAME(sched_getaffinity, small_sched_getaffinity) SAME(getcpu) NAME(stime, small_stime) SAME(uname) NAME(sysinfo, small_sysinfo) CALL(times, times, OUT(tms)) SAME(sethostname) SAME(setdomainname) SAME(syslog) SAME(reboot) SAME(vhangup)
    SAME(getrandom) SAME(init_module) SAME(finit_module) SAME(delete_module) SAME(add_key) SAME(request_key) SAME(keyctl)
    /* signals */
    CALL(rt_sigaction, rt_sigaction, S, IN(sigaction), OUT(sigaction), U) CALL(sigaction, rt_sigaction, S, IN(old_sigaction), OUT(old_sigaction), K(8)) SAME(rt_sigprocmask)
    CALL(sigprocmask, rt_sigprocmask, S, IN(uword), OUT(uword), K(8)) SAME(rt_sigreturn) NAME(sigreturn, sigreturn) SAME(rt_sigpending) CALL(sigpending, rt_sigpending, OUT(uword), K(8))
    SAME(rt_sigsuspend) NAME(sigsuspend, old_sigsuspend) NAME(signal, old_signal) SAME(sgetmask) SAME(ssetmask) SAME(pause) SAME(restart_syscall)
    CALL(rt_sigtimedwait, rt_sigtimedwait, U, { HOW_INFO_OUT, 0 }, IN(timespec), U) CALL(rt_sigtimedwait_time64, rt_sigtimedwait, U, { HOW_INFO_OUT, 0 }, U, U)
    CALL(rt_sigqueueinfo, rt_sigqueueinfo, S, S, { HOW_INFO_IN, 0 }) CALL(rt_tgsigqueueinfo, rt_tgsigqueueinfo, S, S, S, { HOW_INFO_IN, 0 })
    CALL(sigaltstack, sigaltstack, IN(stack), OUT(stack)) SAME(kill) SAME(tkill) SAME(tgkill)
    /* time: words, and 64 bits under newer numbers */
    CALL(nanosleep, nanosleep, IN(timespec), REST(timespec)) CALL(clock_nanosleep, clock_nanosleep, S, S, IN(timespec), REST(timespec)) CALL(clock_gettime, clock_gettime, S, OUT(timespec))
    CALL(clock_settime, clock_settime, S, IN(timespec)) CALL(clock_getres, clock_getres, S, OUT(timespec)) CALL(clock_adjtime, clock_adjtime, S, IO(timex))
    NAME(clock_nanosleep_time64, clock_nanosleep) NAME(clock_gettime64, clock_gettime) NAME(clock_settime64, clock_settime) NAME(clock_getres_time64, clock_getres)
    NAME(clock_adjtime64, clock_adjtime) CALL(gettimeofday, gettimeofday, OUT(timeval), U) CALL(settimeofday, settimeofday, IN(timeval), U) CALL(time, time, OUT(word)) SAME(alarm)
    CALL(getitimer, getitimer, S, OUT(timeval2)) CALL(setitimer, setitimer, S, IN(timeval2), OUT(timeval2)) CALL(adjtimex, adjtimex, IO(timex)) CALL(timer_create, timer_create, S, IN(sigevent), U)
    CALL(timer_settime, timer_settime, S, S, IN(itimerspec), OUT(itimerspec)) CALL(timer_gettime, timer_gettime, S, OUT(itimerspec)) NAME(timer_settime64, timer_settime)
    NAME(timer_gettime64, timer_gettime) SAME(timer_getoverrun) SAME(timer_delete)
    /* sockets and System V */
    SAME(socketcall) SAME(ipc) SAME(socket) SAME(socketpair) SAME(bind) SAME(connect) SAME(listen) SAME(accept4) NAME(getsockopt, small_getsockopt) NAME(setsockopt, small_setsockopt)
    SAME(getsockname) SAME(getpeername) SAME(sendto) NAME(sendmsg, small_sendmsg) SAME(recvfrom) NAME(recvmsg, small_recvmsg) SAME(shutdown) NAME(sendmmsg, small_sendmmsg)
    NAME(recvmmsg, small_recvmmsg) NAME(recvmmsg_time64, small_recvmmsg64) SAME(semget) NAME(semctl, small_semctl) SAME(shmget) NAME(shmctl, small_shmctl) SAME(shmat) SAME(shmdt)
    SAME(msgget) NAME(msgsnd, small_msgsnd) NAME(msgrcv, small_msgrcv) NAME(msgctl, small_msgctl) NAME(semtimedop_time64, semtimedop)
    CALL(mq_open, mq_open, U, S, U, IN(mq_attr)) SAME(mq_unlink) CALL(mq_timedsend, mq_timedsend, S, U, U, U, IN(timespec)) CALL(mq_timedreceive, mq_timedreceive, S, U, U, U, IN(timespec))
    NAME(mq_timedsend_time64, mq_timedsend) NAME(mq_timedreceive_time64, mq_timedreceive) CALL(mq_notify, mq_notify, S, IN(sigevent)) CALL(mq_getsetattr, mq_getsetattr, S, IN(mq_attr), OUT(mq_attr))
    NAME(io_setup, small_io_setup) NAME(io_destroy, small_io_destroy) NAME(io_submit, small_io_submit) NAME(io_cancel, small_io_cancel)
    CALL(io_getevents, small_io_getevents, U, S, S, U, IN(timespec))
    NAME(mbind, small_mbind) NAME(set_mempolicy, small_set_mempolicy) NAME(get_mempolicy, small_get_mempolicy) NAME(migrate_pages, small_migrate_pages) NAME(move_pages, small_move_pages)
    /* of old */
    SAME(oldstat) SAME(oldlstat) SAME(oldfstat) SAME(olduname) SAME(oldolduname) SAME(nice) NAME(readdir, old_readdir) NAME(ustat, small_ustat)
    /* of late */
    SAME(futex_waitv) SAME(memfd_secret) SAME(process_mrelease) CALL(process_madvise, process_madvise, S, IOV, S, S, U) SAME(quotactl_fd) SAME(sysfs) SAME(set_mempolicy_home_node)
#define SYS(name, args)
#define SYSX(name, fn, args)
#define NEW(name, nr, args) [nr] = { .sys = USYS_##name },
#include "tcg/user/syscalls.def"
#undef SYS
#undef SYSX
    /* x86's own */
    SAME(arch_prctl) SAME(modify_ldt) SAME(iopl) SAME(ioperm) SAME(set_thread_area) SAME(get_thread_area)
};
