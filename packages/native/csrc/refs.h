/* refs.h: who holds what: ledgers and reference counts.
 *
 * Each process has a LEDGER: a chain of KIND_LEDGER blocks hanging off its registry slot, each
 *   0   8  next block of the chain
 *   8   8 each: payload offset of a block that this process holds, 0: empty entry
 * One entry per process and block, however many handles the process has (that count is private memory).
 * VALIDITY: the references word of a block equals the number of ledger entries plus the number of container words
 * (queue messages, parcels, child's reserved slots) that name it.  Both change in one transaction.
 *
 * A dead process's ledger is given back entry by entry, a transaction each, by whoever notices (registry_reap).
 *
 * When the count falls to 0 the block becomes a zombie in the same transaction.  Zombies with contents
 * (queues, parcels, conditions) are taken apart by steps, a transaction each, by the next arena_end()s of any
 * process, so a death between two steps only leaves work to the next.
 */
#ifndef PROCESSION_REFS_H
#define PROCESSION_REFS_H

#include "heap.h"

/* In a transaction.  Rule: do first what can fail (heap_alloc, ref_prepare), then these: the private tables they
 * change are not rolled back.  32 entries are always in store; ref_prepare(n) is needed only for more at once. */
int  ref_prepare(struct arena *a, uint32_t n);            /* call it right after arena_begin(); AR_NOMEM */
int  ref_own_new(struct arena *a, aoff payload);          /* freshly allocated: our ledger entry and count 1 in this process; AR_NOMEM */
void ref_hold(struct arena *a, aoff payload);             /* a container takes a reference: count + 1 */
void ref_drop(struct arena *a, aoff payload);             /* a container gives one back; may make it a zombie */
/* For containers that keep `count` items at `place`.  An item at a time, each in a transaction of its own, after the one that is
 * open: any number fits the log, and a death in between leaves a shorter container.  ref_drop_last: true if it is empty. */
void ref_hold_all(struct arena *a, sh64 *count, sh64 *place, const aoff *items, uint32_t n);
bool ref_drop_last(struct arena *a, sh64 *count, sh64 *place);
int  ref_slot_hold(struct arena *a, uint32_t slot, aoff payload);  /* entry in another (reserved) process's ledger */
int  ref_adopt(struct arena *a, aoff payload);            /* we take a reference in addition to a container's: first use in this
                                                             process adds the ledger entry; else only the private count; AR_NOMEM */
void ref_release_locked(struct arena *a, aoff payload);   /* undo of ref_adopt / ref_own_new, inside a transaction */
uint64_t ref_count_here(struct arena *a, aoff payload);   /* private count; for tests */

/* Whole operations */
aoff ref_new(struct arena *a, uint64_t size, enum block_kind kind, bool zero);  /* allocate + own; 0: no memory */
aoff ref_new_raw(struct arena *a, uint64_t size, enum block_kind kind, bool *clean);  /* the same; clean as for heap_alloc */
int  ref_open(struct arena *a, uint64_t arena_id, aoff payload, uint64_t generation, enum block_kind kind);
                                                           /* AR_FOREIGN, AR_STALE, AR_KIND, AR_NOMEM; any input is safe */
bool ref_is_live(struct arena *a, aoff payload, uint64_t generation, enum block_kind kind);  /* under the lock; any input is safe */
int  ref_again(struct arena *a, aoff payload);             /* one more private count on something we hold */
void ref_close(struct arena *a, aoff payload);             /* one private count less */

/* How the contents of a kind are released: called in a transaction, one bounded step; true when the block itself may be freed. */
typedef bool (*release_step)(struct arena *a, aoff payload);
void ref_set_release(enum block_kind kind, release_step step);
void ref_collect(struct arena *a, int steps);              /* inside the lock: work on zombies */

/* Fork and start of children (registry.c calls these). */
int  ref_copy_ledger(struct arena *a, uint32_t to_slot);   /* our references, for the child; in transactions */
int  ref_lend_all(struct arena *a, uint32_t slot);         /* the same for a slot in which references may wait already */
void ref_after_fork_child(struct arena *a);                /* private map now describes the child's ledger */
int  ref_load_ledger(struct arena *a);                     /* spawned child: entries that the parent put in our slot become private counts of 0:
                                                              released by ref_settle() unless opened meanwhile */
void ref_settle(struct arena *a);
void ref_release_slot(struct arena *a, uint32_t slot);     /* all of a dead slot's references, transactions */

/* Under the lock: what a process holds, in bytes of payload; blocks that others hold too are counted for each. */
uint64_t ref_slot_bytes(struct arena *a, uint32_t slot, uint64_t *blocks);

void refs_free_private(struct arena *a);

/* A parcel owns references in flight: payload: 8 count, then offsets. */
aoff parcel_new(struct arena *a, const aoff *items, uint32_t n);

#endif
