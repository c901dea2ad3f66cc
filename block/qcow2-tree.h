#pragma once
#include "block/qcow2-internal.h"

/* Whole mapping trees (an L1 table and all below it), as internal snapshots need them. Lock held; may be dropped. */

/* Add @delta to the refcount of every L2 table and cluster that is reachable. On failure what was done is undone. */
int q_tree_add(Qcow2 *s, const uint64_t *l1, uint32_t n, int delta);

typedef enum Qcow2Flags { Q_FLAGS_CLEAR, Q_FLAGS_FROM_REFCOUNTS } Qcow2Flags;
/* The "refcount is exactly one" flags of the active tree. */
int q_tree_flags(Qcow2 *s, Qcow2Flags how);
/* Off in the L2 tables below @l1 (which is not the active one). */
int q_tree_clear_flags(Qcow2 *s, const uint64_t *l1, uint32_t n);

int q_tree_read_l1(Qcow2 *s, uint64_t offset, uint32_t n, uint64_t **ret_l1);  /* g_free it */
int q_tree_write_l1(Qcow2 *s, const uint64_t *l1, uint32_t n, uint64_t offset);
