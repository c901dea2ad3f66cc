#pragma once
#include <glib.h>

#include "util/loop.h"
#include "vmm/netdev.h"

/*
 * The host side of network cards. "user": libslirp's network 10.0.2.0/24 with gateway, DHCP and DNS, without rights on
 * the host; reached from the host only through forwarded ports.
 */
typedef struct UiNet UiNet;

typedef struct UiNetUser {
    const char *const *hostfwd;     /* NULL-terminated "tcp|udp:[host]:port-[guest]:port"; may be NULL */
    const char *hostname;           /* DHCP's; NULL = none */
    const char *tftp, *bootfile;    /* folder served by TFTP, name told by DHCP; NULL = none */
    bool restricted;                /* no way out */
} UiNetUser;

/* Main thread. NULL with @err. */
UiNet *ui_net_user_new(Loop *loop, const char *name, const UiNetUser *cfg, GError **err);
NetPort *ui_net_port(UiNet *n);
void ui_net_free(UiNet *n);             /* NULL is fine */
