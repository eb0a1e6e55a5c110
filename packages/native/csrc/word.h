/* word.h: waiting on words: futexes, deadlines, spinning, and locks that know their owner.
 *
 * OWNED LOCK WORD (32 bits, one futex word)
 *   0        free, nobody sleeps
 *   bits 0-1   waiters: 0 none, 1 somebody may sleep
 *   bits 2-15  owner's slot + 1, 0 = free
 *   bits 16-31 owner's slot generation, low 16 bits
 * VALIDITY: any value is valid.  A word that names a slot that is dead, or whose generation has moved on, is
 * held by a dead owner: the next to come takes it over by compare-and-swap and is told so (AR_OWNER_DIED).
 *
 * Sleepers wake in slices (WAIT_SLICE_NS) to look at the owner, so that a death is noticed without anybody's
 * help, and so that a wake-up that died with its sender is only late, never lost.
 * All deadlines are absolute CLOCK_MONOTONIC nanoseconds; WAIT_FOREVER; 0 = do not wait.
 */
#ifndef PROCESSION_WORD_H
#define PROCESSION_WORD_H

#include "arena.h"

#define WAIT_FOREVER OS_FOREVER
#define WAIT_SLICE_FIRST_NS 4000000ull              /* first look at the owner after 4 ms */
#define WAIT_SLICE_NS 50000000ull

#define OWNER_BITS 0xfffffffcu
static inline uint32_t owner_word(uint32_t slot, uint32_t generation)
{
    return (generation << 16) | ((slot + 1) << 2);
}
static inline uint32_t owner_slot(uint32_t word) { return ((word >> 2) & 0x3fff) - 1; }
static inline uint32_t owner_generation16(uint32_t word) { return word >> 16; }

/* Sleeps while *p == expected, at most until deadline.  AR_OK: woken, value changed, or spurious; AR_TIMEOUT: deadline passed;
 * WAIT_SLICED: slice_ns have passed (UINT64_MAX: no slices); AR_INTR: a signal was handled (the caller runs Python's handlers
 * and calls again).
 * A signal that arrives between two slices interrupts neither: whoever waits in slices returns AR_INTR now and then all the
 * same, after he has looked for a death, so that Python looks for signals; Ctrl-C would have no effect otherwise.  And he looks
 * for a death at AR_INTR too: under a timer of 1 ms no slice ever ends. */
#define WAIT_SLICED 1
int  futex_wait_slice(sh32 *p, uint32_t expected, uint64_t deadline, uint64_t slice_ns);
int  futex_wake(sh32 *p, int n);                    /* n = INT_MAX: all; how many slept */

/* Adaptive spinning: spins on *p while it equals expected; true if it changed.  Learns per process whether
 * spinning pays (up on success, down on failure); never spins where the affinity is one CPU. */
bool spin_while_equal(struct arena *a, sh32 *p, uint32_t expected);
void spin_reset_after_fork(struct arena *a);

/* For one waiter whose answers come soon and one by one (request and reply).  It spins for up to PATIENCE_NS, which is longer than
 * waking a sleeper on an idle CPU takes: two that begin with sleeping could never find into spinning otherwise.  A spin in vain
 * is followed by waits without any, twice as many each time.  One in eight of these is timed and counts only if a spin would
 * have outlasted it, so whoever seldom waits, or long, does not spin.  Private to one thread; zero to begin with. */
#define PATIENCE_NS 100000u
struct patience { uint64_t begun; uint32_t rest, penalty, calls; bool alone, slept; };
bool patience_spin(struct patience *p, sh32 *word, uint32_t expected);   /* true if *word changed */
void patience_end(struct patience *p);              /* what was waited for has come, with a spin or without */

/* Locks that know their owner. */
int  olock_try(struct arena *a, sh32 *word);        /* AR_GONE: severed (arena.h); AR_OK; AR_OWNER_DIED: taken over from a dead owner (held now); AR_TIMEOUT: held by a live one */
int  olock_acquire(struct arena *a, sh32 *word, uint64_t deadline); /* AR_OK, AR_OWNER_DIED (held now!), AR_TIMEOUT, AR_INTR, AR_GONE */
void olock_release(struct arena *a, sh32 *word);    /* by whoever; wakes one sleeper if the flag is set */
static inline bool olock_held(uint32_t word) { return (word & OWNER_BITS) != 0; }
static inline bool olock_fast(struct arena *a, sh32 *word)
{
    uint32_t zero = 0, self = a->self;
    return self && SH_CAS32(word, &zero, self);
}

/* Names no process that ever was (no generation is 0): a lock given back as if its owner had died. */
#define OWNER_NOBODY (owner_word(0, 0) | 1)

/* True if the owner named by a lock word is dead (asked of the registry and the kernel; 1 µs). */
bool owner_is_dead(struct arena *a, uint32_t word);

#endif
