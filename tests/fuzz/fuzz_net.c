/* Frames from a guest to the user network, which has no way out here: each is two bytes of length and that much. */
#include <glib.h>

#include "tests/fuzz/fuzz.h"
#include "ui/net.h"
#include "util/bits.h"

static ssize_t receive(void *opaque, const struct iovec *iov, unsigned n_iov, const NetOffload *off)
{
    ssize_t n = 0;
    for (unsigned i = 0; i < n_iov; i++)
        n += (ssize_t)iov[i].iov_len;
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const NetPortOps ops = { .receive = receive };
    static const UiNetUser cfg = { .restricted = true };
    Loop *loop = loop_new(NULL);
    UiNet *net = ui_net_user_new(loop, "n", &cfg, NULL);
    if (!net)
        return 0;
    NetPort *card = netport_new("card", &ops, NULL, NULL, false);
    netport_connect(card, ui_net_port(net));
    for (size_t at = 0; at + 2 <= size;) {
        size_t len = MIN(load_le16(data + at), size - at - 2);
        NetOffload off = { 0 };
        struct iovec iov = { (void *)(data + at + 2), len };
        netport_send(card, &iov, 1, &off);
        loop_iterate(loop, false);
        at += 2 + len;
    }
    netport_disconnect(card);
    ui_net_free(net);
    netport_free(card);
    loop_unref(loop);
    return 0;
}
