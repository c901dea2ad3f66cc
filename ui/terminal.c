#include <termios.h>
#include <unistd.h>

#include "ui/chardevs.h"

struct UiTerminal {
    bool saved;
    struct termios old;
};

UiTerminal *ui_terminal_new(bool signals)
{
    UiTerminal *t = g_new0(UiTerminal, 1);
    struct termios raw;
    if (tcgetattr(STDIN_FILENO, &t->old) < 0)
        return t;               /* a pipe or a file: nothing to do */
    t->saved = true;
    raw = t->old;
    raw.c_iflag &= ~(tcflag_t)(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
    raw.c_oflag |= OPOST;       /* messages of ours between the guest's lines need it */
    raw.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | IEXTEN | (signals ? 0 : ISIG));
    raw.c_cflag = (raw.c_cflag & ~(tcflag_t)(CSIZE | PARENB)) | CS8;
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    return t;
}

void ui_terminal_free(UiTerminal *t)
{
    if (!t)
        return;
    if (t->saved)
        tcsetattr(STDIN_FILENO, TCSANOW, &t->old);
    g_free(t);
}
