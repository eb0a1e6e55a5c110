/* sync.h: locks, semaphores, events, conditions and barriers as blocks of the arena.
 *
 * docs/internals/{sync-words,condition,barrier}.md tell the same with its reasons.  Integers are machine words.
 *
 * LOCK, RLOCK (KIND_LOCK, KIND_RLOCK; 32 bytes)
 *   0   4  owned lock word (word.h)                 CAS by who takes it, swapped to 0 by who gives it up
 *   4   4  flags: bit 0 recover after an owner's death; written at creation
 *   8   8  thread that took it, 0 while nobody has said so yet       written by the owner
 *   16  8  when it was taken, CLOCK_MONOTONIC_COARSE ns              written by the owner
 *   24  4  RLOCK: how often its thread has taken it beyond the first time; written by the owner
 * VALIDITY: any bytes are valid.  The word decides; the rest is the owner's and means nothing while the word is free.
 *
 * SEMAPHORE (KIND_SEMAPHORE; 16 bytes, tracked ones 16 + 4 * capacity)
 *   0   4  bit 31: somebody may sleep; bits 0-30: untracked: the value; tracked: counts releases (for sleepers)
 *   4   4  largest value
 *   8   4  capacity: number of permit words; 0: untracked
 *   16  4 each: permit word: 0 to be had, 1 no permit, else the owner word (slot, generation) of its holder
 * VALIDITY: any bytes are valid.  A permit held by a dead process is to be had.
 *
 * EVENT (KIND_EVENT; 4 bytes)
 *   0   4  bit 0 set, bit 1 somebody may sleep, bits 2-31 how often it was set (so that set, clear is not missed)
 *
 * CONDITION (KIND_CONDITION) and BARRIER (KIND_BARRIER): above their structures below.
 *
 * WAITER FLAGS are hints in one direction only: a sleeper sets the flag before it sleeps; whoever changes the word
 * and sees it makes the wake-up call.  A wake-up that dies with its sender, or is given to a sleeper that dies, costs
 * the others the rest of their slice (WAIT_SLICE_NS), never more.
 */
#ifndef PROCESSION_SYNC_H
#define PROCESSION_SYNC_H

#include "arena.h"
#include "heap.h"
#include "refs.h"
#include "registry.h"
#include "word.h"

#include <pthread.h>
#include <time.h>

#define SYNC_VALUE_MAX 0x7fffffffu
#define SYNC_FLAG 0x80000000u
#define SYNC_RECOVER 1u
#define SYNC_TRACKED_MAX 65536u
#define SYNC_NO_PERMIT 1u
#define SYNC_PARTIES_MAX 1000000u

/* Results beside those of arena.h. */
enum { SYNC_LEADER = 1, SYNC_CROWDED = 2 };

struct sync_lock { sh32 word; sh32 flags; sh64 thread; sh64 since; sh32 count; sh32 pad; };
struct sync_semaphore { sh32 word; sh32 maxvalue; sh32 capacity; sh32 pad; sh32 permit[]; };
struct sync_event { sh32 word; sh32 pad; };
_Static_assert(sizeof(struct sync_lock) == 32 && sizeof(struct sync_semaphore) == 16, "formats above");

/* Who died holding something: told by OwnerDiedError. */
struct sync_death {
    uint32_t pid;               /* 0: not known any more */
    bool status_known;
    int status;                 /* as waitpid gives it */
    uint64_t held_ns;
    char name[80];
};

/* -- common (sync_lock.c) -- */
void sync_death_of(struct arena *a, uint32_t owner, uint64_t since, struct sync_death *death);
/* What this process sleeps for, for those who look from outside.  A wait that ends with AR_INTR goes on in a moment, so
 * it keeps its beginning. */
void sync_waits(struct arena *a, aoff payload);
void sync_waited(struct arena *a, int result);

/* Names a thread of the tree: forked processes have threads of equal pthread_self(), so the slot is mixed in. */
static inline uint64_t sync_thread(struct arena *a)
{
    return os_thread() << 16 ^ a->self >> 2;
}

/* -- Lock and RLock (sync_lock.c) --
 * acquire: AR_OK; AR_TIMEOUT; AR_INTR; AR_GONE: severed (arena.h); AR_OWNER_DIED: taken over from a dead owner, held now, *death filled.
 * release: AR_OK; AR_NOT_OWNER. */
aoff sync_lock_new(struct arena *a, enum block_kind kind, uint32_t flags);
int  sync_lock_slow(struct arena *a, struct sync_lock *l, aoff payload, uint64_t deadline, bool after_sleep,
                    struct sync_death *death);

static inline void sync_lock_taken(struct arena *a, struct sync_lock *l)
{
    SH_SET(&l->thread, sync_thread(a));
    /* clock_coarse_ns() without the two calls around the vdso's: this is a tenth of an uncontended acquire. */
    struct timespec now;
    clock_gettime(OS_CLOCK_COARSE, &now);
    SH_SET(&l->since, (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec);
}

static inline bool sync_lock_fast(struct arena *a, struct sync_lock *l)
{
    if (!olock_fast(a, &l->word)) return false;
    sync_lock_taken(a, l);
    return true;
}

/* Whether this thread took it last, and its process holds it. */
static inline bool sync_lock_mine(struct arena *a, struct sync_lock *l)
{
    return (SH_PEEK(&l->word) & OWNER_BITS) == (a->self & OWNER_BITS) && SH_PEEK(&l->thread) == sync_thread(a);
}

static inline int sync_lock_release(struct sync_lock *l)
{
    FAULT_POINT();
    uint32_t old = SH_SWAP(&l->word, 0);
    FAULT_POINT();
    if (!olock_held(old)) return AR_NOT_OWNER;
    if (old & 1) futex_wake(&l->word, 1);
    return AR_OK;
}

/* AR_OK: it was ours already; AR_OVERFLOW; AR_NOT_OWNER: not ours, to be acquired as a Lock is. */
static inline int sync_rlock_again(struct arena *a, struct sync_lock *l)
{
    if (!sync_lock_mine(a, l)) return AR_NOT_OWNER;
    uint32_t n = SH_PEEK(&l->count);
    if (n == UINT32_MAX) return AR_OVERFLOW;
    SH_SET(&l->count, n + 1);
    return AR_OK;
}
int sync_rlock_release(struct arena *a, struct sync_lock *l);

/* Gives up all levels, for a condition's wait; returns how many.  The caller has checked that it is ours. */
uint32_t sync_lock_release_all(struct sync_lock *l, enum block_kind kind);
/* After an acquire: as many levels again. */
static inline void sync_lock_levels(struct sync_lock *l, uint32_t levels) { SH_SET(&l->count, levels); }

/* -- Semaphore (sync_semaphore.c) --
 * acquire: AR_OK, AR_TIMEOUT, AR_INTR, AR_GONE.  release: AR_OK, AR_GONE, AR_OVERFLOW: the value is the largest already. */
aoff sync_semaphore_new(struct arena *a, uint32_t value, uint32_t maxvalue, bool bounded, bool tracked);
int  sync_semaphore_slow(struct arena *a, struct sync_semaphore *s, aoff payload, uint64_t deadline);
int  sync_semaphore_release_slow(struct arena *a, struct sync_semaphore *s);
uint32_t sync_semaphore_value(struct sync_semaphore *s);

static inline bool sync_semaphore_fast(struct arena *a, struct sync_semaphore *s)
{
    uint32_t w = SH_PEEK(&s->word);
    return a->self && SH_PEEK(&s->capacity) == 0 && (w & SYNC_VALUE_MAX) != 0 && SH_CAS32(&s->word, &w, w - 1);
}

static inline int sync_semaphore_release(struct arena *a, struct sync_semaphore *s)
{
    uint32_t w = SH_PEEK(&s->word);
    if (a->self && w < SH_PEEK(&s->maxvalue) && SH_PEEK(&s->capacity) == 0 && SH_CAS32(&s->word, &w, w + 1)) return AR_OK;
    return sync_semaphore_release_slow(a, s);
}

/* -- Event (sync_event.c) -- set and clear are async-signal-safe.  wait: AR_OK, AR_TIMEOUT, AR_INTR. */
aoff sync_event_new(struct arena *a);
void sync_event_set(struct sync_event *e);
void sync_event_clear(struct sync_event *e);
int  sync_event_wait(struct arena *a, struct sync_event *e, aoff payload, uint32_t first_seen, uint64_t deadline);
static inline bool sync_event_is_set(struct sync_event *e) { return SH_GET(&e->word) & 1; }

/* -- Condition (sync_condition.c) --
 *
 * CONDITION (KIND_CONDITION; 128 bytes)
 *   0   8  payload offset of its lock's block, on which it holds a reference
 *   8   8  first segment (KIND_SEGMENT, reference held), 0: none      changed in transactions
 *   16  8  next ticket                                                written by the holder of the lock
 *   32  16 each: entries
 * SEGMENT (1024 bytes): 0 8 next segment; 16.. 63 entries
 * ENTRY (16 bytes)
 *   0   4  state, the futex word its waiter sleeps on: 1 waiting, awake still; 3 waiting, asleep; 2 notified
 *   4   4  owner word of the waiting process; 0: the entry is free
 *   8   8  ticket
 * VALIDITY: an entry counts if and only if its owner is not 0; a dead owner's entry is as good as free.
 * PROTOCOL: entries are taken and notified by the holder of the condition's lock; a waiter gives up by CAS of the
 * state from waiting to 0, and it alone frees its entry.  So there is nothing that a death could leave half done:
 * each entry is taken by one store (owner), notified by one CAS, freed by one store.
 * A notified waiter that dies before it has freed its entry leaves its notification to another: to the holder of the
 * lock that finds the entry, or to a waiter that looks around at the end of its slice; a CAS of the owner decides.
 */
#define COND_WAITING 1u
#define COND_NOTIFIED 2u
#define COND_ASLEEP 3u
#define COND_INLINE 6
#define COND_SEGMENT 63
struct cond_entry { sh32 state; sh32 owner; sh64 ticket; };
struct sync_condition { sh64 lock; sh64 segment; sh64 next_ticket; sh64 pad; struct cond_entry entry[COND_INLINE]; };
struct cond_segment { sh64 next; sh64 pad; struct cond_entry entry[COND_SEGMENT]; };
_Static_assert(sizeof(struct sync_condition) == 128 && sizeof(struct cond_segment) == 1024, "formats above");

aoff sync_condition_new(struct arena *a, aoff lock);
void sync_condition_setup(void);                    /* registers how its contents are released */
int  sync_condition_enter(struct arena *a, struct sync_condition *c, struct sync_lock *l, struct cond_entry **entry); /* AR_OK, AR_NOMEM */
/* AR_OK: notified; AR_TIMEOUT, AR_INTR.  *asleep: set if it slept, so that the lock is to be taken as by a sleeper. */
int  sync_condition_sleep(struct arena *a, struct sync_condition *c, struct cond_entry *e, aoff payload, uint64_t deadline,
                          bool *asleep);
bool sync_condition_reachable(struct arena *a, struct sync_condition *c);   /* false: memory is refused to see all waiters */
bool sync_condition_leave(struct cond_entry *e);    /* frees the entry; true if it was notified */
uint32_t sync_condition_notify(struct arena *a, struct sync_condition *c, struct sync_lock *l, uint32_t n); /* how many */
uint32_t sync_condition_waiters(struct arena *a, struct sync_condition *c);

/* -- Barrier (sync_barrier.c) --
 *
 * BARRIER (KIND_BARRIER; 32 + 8 * parties bytes)
 *   0   4  round, the futex word that all parties sleep on
 *   4   4  owned lock word that guards what follows (held for microseconds, never while Python runs)
 *   8   4  1: broken
 *   12  4  parties
 *   16  8  history: bit r % 64: round r ended broken.  Bit of the current round: meaningless until it ends
 *   24  8  unused
 *   32  8 each: arrivals: owner word << 32 | round
 * VALIDITY: an arrival counts if and only if its round is the current one and its owner is not 0.  A round ends with one
 * store (round + 1), after its history bit; all its arrivals are void by that store.
 */
struct sync_barrier { sh32 round; sh32 lock; sh32 broken; sh32 parties; sh64 history; sh64 pad; sh64 arrival[]; };
_Static_assert(sizeof(struct sync_barrier) == 32, "format above");
struct barrier_place { uint32_t round; uint32_t index; };

aoff sync_barrier_new(struct arena *a, uint32_t parties);
/* AR_OK: sleep now; SYNC_LEADER: all are here, end the round (if go: it is ended already); SYNC_CROWDED: all places of the
 * round are taken, its leader is busy; AR_BROKEN; AR_NOMEM: see arena_stopped_owner(). */
int  sync_barrier_arrive(struct arena *a, struct sync_barrier *b, bool go, struct barrier_place *place);
/* AR_OK: passed; AR_BROKEN; AR_TIMEOUT: the barrier is broken by it; AR_INTR. */
int  sync_barrier_sleep(struct arena *a, struct sync_barrier *b, aoff payload, const struct barrier_place *place, uint64_t deadline);
int  sync_barrier_crowded(struct arena *a, struct sync_barrier *b, aoff payload, uint32_t round, uint64_t deadline);
int  sync_barrier_go(struct arena *a, struct sync_barrier *b, const struct barrier_place *place); /* AR_OK, AR_BROKEN */
void sync_barrier_withdraw(struct arena *a, struct sync_barrier *b, const struct barrier_place *place);
void sync_barrier_abort(struct arena *a, struct sync_barrier *b);
void sync_barrier_reset(struct arena *a, struct sync_barrier *b);
uint32_t sync_barrier_waiting(struct sync_barrier *b);

#endif
