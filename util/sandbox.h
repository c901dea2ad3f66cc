#pragma once
#include <glib.h>
#include <stdbool.h>

/*
 * System calls that the process, and each kind of its threads, may make once it is set up (seccomp, Linux 4.14). One table names every call, who needs
 * it and what for. What is not in it fails with EPERM and a line on standard error; memory cannot be made executable any more (EACCES), programs cannot be
 * started.
 *
 * The filter of the process covers all its threads. A thread kind narrows it further for itself. Threads are made by those that need them, and inherit
 * their maker's filter: so a kind has all the calls of the kinds it may start (vCPU: block worker).
 */
typedef enum SandboxRole {
    SANDBOX_PROCESS,            /* main loop: everything any thread may do */
    SANDBOX_VCPU,               /* runs guest code and the devices it touches: no names of files, no sockets */
    SANDBOX_BLOCK,              /* worker of the block layer: reads and writes of open files */
    SANDBOX_ROLES
} SandboxRole;

/* NULL, or why this host cannot (one line, static). */
const char *sandbox_missing(void);
/* For the whole process, all threads; once, from the main thread, when everything is set up. */
bool sandbox_process(GError **err);
/* For the calling thread only, at its start; after sandbox_process or before. False with -errno in *ret_errno, nothing changed. */
bool sandbox_thread(SandboxRole role);
/* The table as text, a line a call: "name roles reason". Caller frees. */
char *sandbox_table(void);
