/* sync_barrier.c: barriers that know who has arrived.  Format and rules: sync.h. */
#define _GNU_SOURCE
#include "sync.h"
#include "lockorder.h"

#include <limits.h>

aoff sync_barrier_new(struct arena *a, uint32_t parties)
{
    aoff payload = ref_new(a, sizeof(struct sync_barrier) + (uint64_t)parties * sizeof(sh64), KIND_BARRIER, true);
    if (!payload) return 0;
    struct sync_barrier *b = arena_ptr(a, payload);
    SH_INIT(&b->parties, parties);
    SH_INIT(&b->round, 1);
    return payload;
}

/* Held for microseconds.  A dead owner leaves nothing to repair: every state is decided by one store. */
static bool guard_or_stopped(struct arena *a, struct sync_barrier *b)
{
    int r = arena_wait_for(a, &b->lock);
    if (r == AR_TIMEOUT) return false;
    rank_enter(RANK_GUARD);
    if (r == AR_OWNER_DIED) FAULT_BRANCH("sync barrier: its lock was held by a dead process");
    return true;
}

/* For what cannot be left undone, or is asked for in a hurry by nobody. */
static void guard(struct arena *a, struct sync_barrier *b)
{
    while (!guard_or_stopped(a, b)) continue;
}

static void unguard(struct arena *a, struct sync_barrier *b)
{
    rank_leave(RANK_GUARD);
    olock_release(a, &b->lock);
}

static inline uint32_t arrival_owner(uint64_t word) { return (uint32_t)(word >> 32); }
static inline bool counts(uint64_t word, uint32_t round) { return arrival_owner(word) != 0 && (uint32_t)word == round; }

/* Ends the round, under the guard.  The history first: the store of the round makes it valid. */
static void end_round(struct sync_barrier *b, bool broken)
{
    uint32_t round = SH_PEEK(&b->round);
    uint64_t bit = (uint64_t)1 << (round % 64), history = SH_PEEK(&b->history);
    SH_SET(&b->history, broken ? history | bit : history & ~bit);
    if (broken) SH_SET(&b->broken, 1);
    SH_SET(&b->round, round + 1);
}

static void wake_all(struct sync_barrier *b) { futex_wake(&b->round, INT_MAX); }

static bool a_party_died(struct arena *a, struct sync_barrier *b, uint32_t round)
{
    uint32_t parties = SH_PEEK(&b->parties), known = a->self & OWNER_BITS;
    for (uint32_t i = 0; i < parties; i++) {
        uint64_t word = SH_GET(&b->arrival[i]);
        if (!counts(word, round) || arrival_owner(word) == known) continue;
        if (owner_is_dead(a, arrival_owner(word))) {
            FAULT_BRANCH("sync barrier: broken by the death of a party");
            __atomic_fetch_add(&a->repairs, 1, __ATOMIC_RELAXED);
            return true;
        }
        known = arrival_owner(word);
    }
    return false;
}

int sync_barrier_arrive(struct arena *a, struct sync_barrier *b, bool go, struct barrier_place *place)
{
    if (!guard_or_stopped(a, b)) return AR_NOMEM;
    uint32_t parties = SH_PEEK(&b->parties), round = SH_PEEK(&b->round), arrived = 0, mine = UINT32_MAX;
    int result = AR_OK;
    bool wake = false;
    if (SH_PEEK(&b->broken)) {
        unguard(a, b);
        return AR_BROKEN;
    }
    for (uint32_t i = 0; i < parties; i++) {
        if (counts(SH_PEEK(&b->arrival[i]), round)) arrived++;
        else if (mine == UINT32_MAX) mine = i;
    }
    place->round = round;
    place->index = mine;
    if (mine == UINT32_MAX) result = SYNC_CROWDED;
    else {
        SH_SET(&b->arrival[mine], (uint64_t)(a->self & OWNER_BITS) << 32 | round);
        if (arrived + 1 == parties) {
            bool dead = a_party_died(a, b, round);
            result = dead ? AR_BROKEN : SYNC_LEADER;
            if (dead || go) {
                end_round(b, dead);
                wake = parties > 1;
            }
        }
    }
    unguard(a, b);
    if (wake) wake_all(b);
    return result;
}

/* How the round ended for one who was in it. */
static int outcome(struct sync_barrier *b, uint32_t round)
{
    uint32_t now = SH_GET(&b->round);
    uint64_t history = SH_GET(&b->history);     /* after the round: its bit was stored before it */
    if (now == round) return SH_GET(&b->broken) ? AR_BROKEN : AR_TIMEOUT;
    /* Stopped for more rounds than the history has: only if none of them broke is ours known to have passed. */
    if (now - round > 63) return history ? AR_BROKEN : AR_OK;
    return history >> (round % 64) & 1 ? AR_BROKEN : AR_OK;
}

static void break_round(struct arena *a, struct sync_barrier *b, uint32_t round)
{
    guard(a, b);
    bool current = SH_PEEK(&b->round) == round && !SH_PEEK(&b->broken);
    if (current) end_round(b, true);
    unguard(a, b);
    if (current) wake_all(b);
}

static int sleep_while(struct arena *a, struct sync_barrier *b, aoff payload, uint32_t round, uint64_t deadline)
{
    uint64_t slice = WAIT_SLICE_FIRST_NS;
    int r;
    if (deadline != 0) spin_while_equal(a, &b->round, round);
    if ((r = outcome(b, round)) != AR_TIMEOUT) return r;
    sync_waits(a, payload);
    for (;;) {
        r = deadline == 0 ? AR_TIMEOUT : futex_wait_slice(&b->round, round, deadline, slice);
        int ended = outcome(b, round);
        if (ended != AR_TIMEOUT) {
            r = ended;
            break;
        }
        if (r == AR_TIMEOUT) break;
        if (a_party_died(a, b, round)) {
            break_round(a, b, round);
            continue;
        }
        if (r == AR_INTR || (r == WAIT_SLICED && slice == WAIT_SLICE_NS)) {
            r = AR_INTR;
            break;
        }
        slice = WAIT_SLICE_NS;
    }
    sync_waited(a, r);
    return r;
}

int sync_barrier_sleep(struct arena *a, struct sync_barrier *b, aoff payload, const struct barrier_place *place,
                       uint64_t deadline)
{
    int r = sleep_while(a, b, payload, place->round, deadline);
    if (r != AR_TIMEOUT) return r;
    break_round(a, b, place->round);
    /* All may have come while we broke it. */
    return outcome(b, place->round) == AR_OK ? AR_OK : AR_TIMEOUT;
}

int sync_barrier_crowded(struct arena *a, struct sync_barrier *b, aoff payload, uint32_t round, uint64_t deadline)
{
    int r = sleep_while(a, b, payload, round, deadline);
    if (r == AR_TIMEOUT) break_round(a, b, round);
    return r;
}

int sync_barrier_go(struct arena *a, struct sync_barrier *b, const struct barrier_place *place)
{
    guard(a, b);
    bool current = SH_PEEK(&b->round) == place->round && !SH_PEEK(&b->broken);
    if (current) end_round(b, false);
    unguard(a, b);
    if (current) wake_all(b);
    return current ? AR_OK : AR_BROKEN;
}

void sync_barrier_withdraw(struct arena *a, struct sync_barrier *b, const struct barrier_place *place)
{
    guard(a, b);
    if (SH_PEEK(&b->round) == place->round) SH_SET(&b->arrival[place->index], 0);
    unguard(a, b);
}

void sync_barrier_abort(struct arena *a, struct sync_barrier *b)
{
    guard(a, b);
    end_round(b, true);
    unguard(a, b);
    wake_all(b);
}

void sync_barrier_reset(struct arena *a, struct sync_barrier *b)
{
    guard(a, b);
    bool waiting = false;
    uint32_t parties = SH_PEEK(&b->parties), round = SH_PEEK(&b->round);
    for (uint32_t i = 0; i < parties && !waiting; i++) waiting = counts(SH_PEEK(&b->arrival[i]), round);
    if (waiting) end_round(b, true);
    SH_SET(&b->broken, 0);
    unguard(a, b);
    if (waiting) wake_all(b);
}

uint32_t sync_barrier_waiting(struct sync_barrier *b)
{
    if (SH_GET(&b->broken)) return 0;
    uint32_t n = 0, parties = SH_PEEK(&b->parties), round = SH_GET(&b->round);
    for (uint32_t i = 0; i < parties; i++) n += counts(SH_GET(&b->arrival[i]), round);
    return n;
}
