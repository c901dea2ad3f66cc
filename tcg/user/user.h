#pragma once
#include <glib.h>
#include <stdbool.h>

#include "tcg/tcg.h"

/*
 * One Linux program of any guest CPU as a process of this host: the translator with direct memory, and Linux's system
 * calls by table. A guest process is a host process, a guest thread a host thread, a guest signal a host signal.
 * It is no sandbox: the guest has all rights of the process.
 */
typedef struct UserOptions {
    const char *sysroot;       /* looked into first for interpreter and libraries, or NULL */
    const char *argv0;         /* argv[0] of the guest, NULL: the program's name */
    const char *cpu;           /* CPU model, NULL: the fullest */
    const char *self;          /* how to start this very program again, for exec; with its options in self_args (NULL-terminated) */
    char *const *self_args;
    bool strace;               /* every system call to stderr */
    const char *limits;        /* the guest's limits of memory, as it handed them to itself by exec, or NULL */
    TcgTier tier;
    Log *log;                  /* the translator's, or NULL */
} UserOptions;

/*
 * Run @program with @argv and @envp (NULL-terminated, copied) in this process: does not return once the guest has started, the
 * process ends as the guest does. On failure before that: false, *ret_status is the exit status a shell expects (127 not
 * found, 126 cannot be run), @err says why.
 */
bool user_run(const UserOptions *o, const char *program, char **argv, char **envp, int *ret_status, GError **err);
/* The guests known, for messages: name of an ELF machine number and class, or NULL. */
const char *user_guest_name(unsigned elf_machine, unsigned elf_class);
/* What -cpu takes, lines of text; the caller's. */
char *user_cpu_help(void);
