/* tandem: runs one machine. */
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "tools/setup.h"
#include "util/sandbox.h"

enum { ARENAS = 16 };

void tandem_say(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    g_autofree char *msg = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    fprintf(stderr, "tandem: %s\n", msg);
}

static int fail(GError *err)
{
    tandem_say("%s", err ? err->message : "failed");
    g_clear_error(&err);
    return 1;
}

static void on_event(void *opaque, Machine *m, const MachineEvent *ev)
{
    Tandem *t = opaque;
    if (ev->kind == MACHINE_EV_SHUTDOWN && ev->state == MACHINE_SHUTDOWN)
        loop_quit(t->loop);
    if (ev->kind == MACHINE_EV_IO_ERROR)
        tandem_say("device %s: I/O error; the guest is paused, 'cont' in the monitor tries the request again", ev->id);
    if (ev->kind == MACHINE_EV_STATE && ev->state == MACHINE_PAUSED && ev->reason == PAUSE_INTERNAL_ERROR)
        tandem_say("the guest cannot go on (internal error); 'info stats' in the monitor says more, Ctrl-A x quits");
}

/* SIGTERM, SIGINT, SIGHUP: the power button first, the end at once the second time. */
static void on_signal(void *opaque, GIOCondition ready)
{
    Tandem *t = opaque;
    struct signalfd_siginfo si;
    while (read(t->signal_fd, &si, sizeof(si)) == sizeof(si)) {
        bool running = t->machine && machine_state(t->machine) == MACHINE_RUNNING;
        if (t->signals++ || !running || si.ssi_signo == SIGHUP) {
            loop_quit(t->loop);
            continue;
        }
        tandem_say("%s: power button pressed; once more ends at once", si.ssi_signo == SIGTERM ? "SIGTERM" : "SIGINT");
        machine_request_powerdown(t->machine);
    }
}

/* Before any thread is made, so that all inherit it. */
static bool block_signals(Tandem *t, GError **err)
{
    sigset_t set;
    struct sigaction ignore = { .sa_handler = SIG_IGN };
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
    sigaction(SIGXFSZ, &ignore, NULL);  /* a file that may not grow is an I/O error, for rerror= and werror= */
    t->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (t->signal_fd < 0) {
        g_set_error(err, G_FILE_ERROR, g_file_error_from_errno(errno), "cannot watch signals: %s", g_strerror(errno));
        return false;
    }
    return true;
}

static void narrow_vcpu(void) { sandbox_thread(SANDBOX_VCPU); }
static void narrow_worker(void) { sandbox_thread(SANDBOX_BLOCK); }

/* From here on the process does what a running machine needs, nothing else. */
static bool confine(Tandem *t, GError **err)
{
    const char *missing = sandbox_missing();
    if (t->o.sandbox_off || (missing && !t->o.sandbox_on))
        return true;
    if (missing) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_NOSYS, "-sandbox on: %s; leave the option out or use -sandbox off", missing);
        return false;
    }
    if (t->drives->len)
        block_ctx_prepare(t->block, t->loop);
    if (!sandbox_process(err))
        return false;
    block_ctx_set_worker_start(t->block, narrow_worker);
    machine_set_vcpu_start(t->machine, narrow_vcpu);
    return true;
}

static bool run(Tandem *t, GError **err)
{
    if (!confine(t, err))
        return false;
    t->signal_watch = loop_fd_new(t->loop, t->signal_fd, G_IO_IN, on_signal, t);
    machine_listen(t->machine, on_event, t);
    if (!t->o.paused && !machine_cont(t->machine, err))
        return false;
    loop_run(t->loop);
    return true;
}

/* Texts that options ask for instead of a run. */
static bool asked_for_help(Tandem *t, char **ret_text, GError **err)
{
    const TandemOptions *o = &t->o;
    if (!strcmp(o->machine, "help") || !strcmp(o->machine, "?")) {
        *ret_text = tandem_board_help();
        return true;
    }
    if (o->cpu && (!strcmp(o->cpu, "help") || !strcmp(o->cpu, "?"))) {
        if (tandem_choose_board(t, err))
            *ret_text = t->board ? t->board->cpu_help() : g_strdup("-machine none has no CPU\n");
        return true;
    }
    for (unsigned i = 0; i < o->devices->len; i++)
        if (tandem_device_help(t, g_ptr_array_index(o->devices, i), ret_text, err))
            return true;
    return false;
}

int main(int argc, char **argv)
{
    Tandem t = { .signal_fd = -1 };
    g_autofree char *text = NULL;
    GError *err = NULL;
    int status = 1;
    /* Without a limit glibc asks for the number of processors when a thread first needs memory of its own, in a file that the sandbox refuses. */
    mallopt(M_ARENA_MAX, ARENAS);
    OptionsResult r = options_parse(&t.o, argc, argv, &text, &err);
    if (r == OPTIONS_RUN && asked_for_help(&t, &text, &err))
        r = err ? OPTIONS_BAD : OPTIONS_DONE;
    if (r == OPTIONS_DONE) {
        fputs(text, stdout);
        status = 0;
    } else if (r == OPTIONS_BAD || !block_signals(&t, &err) || !tandem_setup(&t, &err) || (!t.o.no_run && !run(&t, &err))) {
        tandem_free(&t);        /* the terminal first, or the message is garbled */
        return fail(err);
    } else {
        status = machine_exit_status(t.machine);
    }
    tandem_free(&t);
    return status;
}
