#include "ui/chardevs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "ui/stream.h"

/* One back end on a stream: stdio, file, pty, and a connected unix socket. */
typedef struct CharFd {
    CharDev *cd;
    Loop *loop;
    UiTerminal *term;
    /* Guarded by lock: a server's client comes and goes. */
    GMutex lock;
    UiStream *stream;
    int listen_fd;
    LoopFd *listen_watch;
    char *unlink_path;
    int slave_fd;               /* pty: held open, so that a reader that leaves does not end the stream */
} CharFd;

static size_t fd_can_receive(void *opaque)
{
    return chardev_can_receive(((CharFd *)opaque)->cd);
}

static void fd_receive(void *opaque, const uint8_t *buf, size_t len)
{
    chardev_receive(((CharFd *)opaque)->cd, buf, len);
}

static void fd_writable(void *opaque)
{
    chardev_writable(((CharFd *)opaque)->cd);
}

static void fd_drop_client(void *opaque)
{
    CharFd *f = opaque;
    if (f->listen_fd < 0)
        return;
    g_mutex_lock(&f->lock);
    UiStream *s = f->stream;
    f->stream = NULL;
    g_mutex_unlock(&f->lock);
    ui_stream_free(s);
}

static void fd_closed(void *opaque)
{
    CharFd *f = opaque;
    chardev_event(f->cd, CHAR_CLOSED);
    /* Not from inside the stream's own callback. */
    if (f->listen_fd >= 0)
        loop_defer(f->loop, fd_drop_client, f);
}

static const UiStreamOps stream_ops = { .can_receive = fd_can_receive, .receive = fd_receive, .closed = fd_closed, .writable = fd_writable };

static ssize_t fd_write(void *opaque, const uint8_t *buf, size_t len)
{
    CharFd *f = opaque;
    g_mutex_lock(&f->lock);
    /* Without a client, output is lost as on a line that is not plugged in. */
    ssize_t n = f->stream ? ui_stream_write(f->stream, buf, len) : (ssize_t)len;
    g_mutex_unlock(&f->lock);
    return n < 0 ? (ssize_t)len : n;
}

static void fd_accept_input(void *opaque)
{
    CharFd *f = opaque;
    g_mutex_lock(&f->lock);
    if (f->stream)
        ui_stream_accept_input(f->stream);
    g_mutex_unlock(&f->lock);
}

static void fd_free(void *opaque)
{
    CharFd *f = opaque;
    ui_stream_free(f->stream);
    loop_fd_free(f->listen_watch);
    if (f->listen_fd >= 0)
        close(f->listen_fd);
    if (f->slave_fd >= 0)
        close(f->slave_fd);
    if (f->unlink_path)
        unlink(f->unlink_path);
    ui_terminal_free(f->term);
    g_free(f->unlink_path);
    g_mutex_clear(&f->lock);
    loop_unref(f->loop);
    g_free(f);
}

static const CharBackOps fd_ops = { .write = fd_write, .accept_input = fd_accept_input, .free = fd_free };

static CharFd *char_fd_new(Loop *loop, const char *name)
{
    CharFd *f = g_new0(CharFd, 1);
    f->loop = loop_ref(loop);
    f->listen_fd = f->slave_fd = -1;
    g_mutex_init(&f->lock);
    f->cd = chardev_new(name, &fd_ops, f);
    return f;
}

static CharDev *char_fd_start(CharFd *f, int in_fd, int out_fd)
{
    f->stream = ui_stream_new(f->loop, in_fd, out_fd, true, &stream_ops, f);
    chardev_event(f->cd, CHAR_OPENED);
    return f->cd;
}

static CharDev *sys_error(GError **err, int code, const char *what, const char *path)
{
    g_set_error(err, G_FILE_ERROR, g_file_error_from_errno(code), "%s %s: %s", what, path, g_strerror(code));
    return NULL;
}

static CharDev *open_stdio(Loop *loop, const char *name, const char *arg, char **ret_note, GError **err)
{
    int in = ui_fd_private(STDIN_FILENO, false), out = ui_fd_private(STDOUT_FILENO, true);
    if (out < 0)
        return sys_error(err, -out, "cannot use", "standard output");
    CharFd *f = char_fd_new(loop, name);
    f->term = ui_terminal_new(true);
    return char_fd_start(f, in < 0 ? -1 : in, out);
}

static CharDev *open_file(Loop *loop, const char *name, const char *arg, char **ret_note, GError **err)
{
    if (!*arg) {
        g_set_error_literal(err, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "file: takes a path, such as file:console.log");
        return NULL;
    }
    int fd = open(arg, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return sys_error(err, errno, "cannot write", arg);
    return char_fd_start(char_fd_new(loop, name), -1, fd);
}

static CharDev *open_pty(Loop *loop, const char *name, const char *arg, char **ret_note, GError **err)
{
    char path[64];
    struct termios tio;
    int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || grantpt(fd) < 0 || unlockpt(fd) < 0 || ptsname_r(fd, path, sizeof(path))) {
        int code = errno;
        if (fd >= 0)
            close(fd);
        return sys_error(err, code, "cannot make", "a pseudo terminal");
    }
    CharFd *f = char_fd_new(loop, name);
    f->slave_fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (f->slave_fd >= 0 && !tcgetattr(f->slave_fd, &tio)) {
        cfmakeraw(&tio);
        tcsetattr(f->slave_fd, TCSANOW, &tio);
    }
    if (ret_note)
        *ret_note = g_strdup_printf("%s is %s", name, path);
    return char_fd_start(f, fd, fd);
}

static void on_client(void *opaque, GIOCondition ready)
{
    CharFd *f = opaque;
    int fd = accept4(f->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    g_mutex_lock(&f->lock);
    bool busy = f->stream != NULL;
    if (!busy)
        f->stream = ui_stream_new(f->loop, fd, fd, true, &stream_ops, f);
    g_mutex_unlock(&f->lock);
    if (busy)
        close(fd);              /* one client at a time */
    else
        chardev_event(f->cd, CHAR_OPENED);
}

static CharDev *listen_unix(CharFd *f, int fd, const struct sockaddr_un *sa, GError **err)
{
    struct stat st;
    /* A left-over of an earlier run; anything but a socket makes bind fail. */
    if (!lstat(sa->sun_path, &st) && S_ISSOCK(st.st_mode))
        unlink(sa->sun_path);
    if (bind(fd, (const struct sockaddr *)sa, sizeof(*sa)) < 0 || listen(fd, 1) < 0) {
        int code = errno;
        close(fd);
        chardev_free(f->cd);
        return sys_error(err, code, "cannot listen on", sa->sun_path);
    }
    f->listen_fd = fd;
    f->unlink_path = g_strdup(sa->sun_path);
    f->listen_watch = loop_fd_new(f->loop, fd, G_IO_IN, on_client, f);
    return f->cd;
}

static CharDev *open_unix(Loop *loop, const char *name, const char *arg, char **ret_note, GError **err)
{
    g_auto(GStrv) parts = g_strsplit(arg, ",", -1);
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    bool server = false;
    if (!parts[0] || !*parts[0] || strlen(parts[0]) >= sizeof(sa.sun_path))
        return sys_error(err, ENAMETOOLONG, "unix: takes a path of 1 to 107 characters, not", arg);
    g_strlcpy(sa.sun_path, parts[0], sizeof(sa.sun_path));
    for (unsigned i = 1; parts[i]; i++) {
        if (!strcmp(parts[i], "server") || !strcmp(parts[i], "server=on"))
            server = true;
        else if (strcmp(parts[i], "server=off") && strcmp(parts[i], "nowait") && strcmp(parts[i], "wait=off") && strcmp(parts[i], "wait=on"))
            return sys_error(err, EINVAL, "unix: takes server=on|off and wait=off, not", parts[i]);
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return sys_error(err, errno, "cannot make a socket for", arg);
    CharFd *f = char_fd_new(loop, name);
    if (server)
        return listen_unix(f, fd, &sa, err);
    if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
        int code = errno;
        close(fd);
        chardev_free(f->cd);
        return sys_error(err, code, "cannot connect (server=on would listen) to", sa.sun_path);
    }
    return char_fd_start(f, fd, fd);
}

static CharDev *open_null(Loop *loop, const char *name, const char *arg, char **ret_note, GError **err)
{
    return chardev_new(name, NULL, NULL);
}

typedef struct CharKind {
    const char *prefix;
    bool arg;
    CharDev *(*open)(Loop *loop, const char *name, const char *arg, char **ret_note, GError **err);
} CharKind;

static const CharKind kinds[] = {
    { "stdio", false, open_stdio }, { "file:", true, open_file }, { "unix:", true, open_unix },
    { "pty", false, open_pty }, { "null", false, open_null }, { "none", false, open_null },
};

bool ui_chardev_is_stdio(const char *spec)
{
    return !strcmp(spec, "stdio") || !strcmp(spec, "mon:stdio");
}

CharDev *ui_chardev_open(Loop *loop, const char *name, const char *spec, char **ret_note, GError **err)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        const CharKind *k = &kinds[i];
        if (k->arg ? g_str_has_prefix(spec, k->prefix) : !strcmp(spec, k->prefix))
            return k->open(loop, name, spec + strlen(k->prefix), ret_note, err);
    }
    g_set_error(err, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                "'%s' is not a character device; use stdio, mon:stdio, file:PATH, unix:PATH,server=on, pty or null", spec);
    return NULL;
}
