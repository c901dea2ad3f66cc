#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "vmm/memory.h"

/*
 * Ethernet between two NetPorts: a NIC's and a back end's (user network, tap, socket; or a second NIC in tests). Symmetric.
 *
 * Locks: a NIC sends with its device lock held (device -> back end). A back end sends without its own lock. The core takes a
 * port's DevLock around its hooks. If the calling thread holds it already (a back end answers from inside receive), the frame
 * is queued: a NIC looks at !netport_can_send(netport_peer(own port)) after sending, and flushes later.
 */
typedef struct NetPort NetPort;

#define NET_MAX_FRAME 65550u    /* largest frame incl. header: 64 KiB GSO + Ethernet + VLAN */

/* Offload state of one packet, laid out as struct virtio_net_hdr's fields (virtio 1.2, 5.1.6). All zero = plain frame, checksums done. */
typedef struct NetOffload {
    uint8_t flags, gso_type;
    uint16_t hdr_len, gso_size, csum_start, csum_offset;
} NetOffload;

typedef struct NetPortOps {
    /* Bytes taken (always the whole frame), 0 = no room now (the peer keeps it; netport_flush() asks again), or -errno: dropped. */
    ssize_t (*receive)(void *opaque, const struct iovec *iov, unsigned n_iov, const NetOffload *off);
    void (*link)(void *opaque, bool up);        /* link state changed */
    void (*free)(void *opaque);                 /* with the port; may be NULL */
} NetPortOps;

/* @name is the -netdev or device id. @lock NULL: hooks lock themselves. @offloads: accepts non-zero NetOffload. */
NetPort *netport_new(const char *name, const NetPortOps *ops, void *opaque, DevLock *lock, bool offloads);
void netport_free(NetPort *p);                  /* disconnects */
const char *netport_name(const NetPort *p);
/* Main thread. False if one of them is connected already. */
bool netport_connect(NetPort *a, NetPort *b);
void netport_disconnect(NetPort *p);
NetPort *netport_peer(NetPort *p);
bool netport_peer_offloads(const NetPort *p);

/*
 * Hand a frame to the peer. Total length taken; 0 = peer is full and the frame was queued in the core (bounded: 256 frames,
 * then dropped and counted), netport_flush() by the peer delivers it; no peer or link down: dropped, returns the length.
 */
ssize_t netport_send(NetPort *from, const struct iovec *iov, unsigned n_iov, const NetOffload *off);
/* The owner of @to has room again: deliver what is queued for it. Not with its lock held. */
void netport_flush(NetPort *to);
/* True if the next netport_send would not be queued. */
bool netport_can_send(NetPort *from);
void netport_set_link(NetPort *p, bool up);     /* both ends see it */
bool netport_link(const NetPort *p);
uint64_t netport_dropped(const NetPort *p);
