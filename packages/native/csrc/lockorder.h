/* lockorder.h: debug builds (-DPROCESSION_DEBUG) check that locks are taken in one order.
 *
 * Each kind of lock has a rank; a thread takes a lock only while all that it holds are of lower ranks, and nothing while it
 * holds the arena lock.  An error ends the process with a message: it would be a deadlock between two processes one day.
 */
#ifndef PROCESSION_LOCKORDER_H
#define PROCESSION_LOCKORDER_H

enum lock_rank { RANK_PUT = 0, RANK_GET = 1, RANK_GUARD = 2 /* of a barrier */, RANK_ARENA = 3 };

#ifdef PROCESSION_DEBUG
void rank_enter(enum lock_rank rank);
void rank_leave(enum lock_rank rank);
#else
static inline void rank_enter(enum lock_rank rank) { (void)rank; }
static inline void rank_leave(enum lock_rank rank) { (void)rank; }
#endif

#endif
