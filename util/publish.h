#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Publishing of immutable objects without waiting on either side. Writers swap an atomic pointer (seq_cst) and retire
 * the old object; readers load it (seq_cst) inside a bracket. Any thread may read, without registration. Readers are wait-free: two atomic
 * adds on a stripe that threads seldom share. A reader may stay inside for long (a vCPU between two safe points):
 * that only delays freeing.
 *
 * Two alternating epochs: a retired object is freed once the readers of both have been seen at zero after it was
 * unpublished (the scheme is that of sleepable RCU, McKenney 2006).
 */
typedef struct Publish Publish;
typedef unsigned PublishToken;

Publish *publish_new(void);
/* Frees what is still retired; no reader may be inside. */
void publish_free(Publish *p);

PublishToken publish_read_begin(Publish *p);
void publish_read_end(Publish *p, PublishToken token);

/* @ptr is no longer reachable for new readers: call @free_fn(@ptr) after the present ones left. Takes a short lock. */
void publish_retire(Publish *p, GDestroyNotify free_fn, void *ptr);
/* Free what can be freed now; never waits for readers. Called by publish_retire and at safe points. */
void publish_reclaim(Publish *p);
/* Objects retired and not yet freed (tests, statistics). */
unsigned publish_pending(Publish *p);
