/* sync_lock.c: Lock and RLock, and what all synchronisation objects need.  Format and rules: sync.h. */
#define _GNU_SOURCE
#include "sync.h"

#include <string.h>
#include <unistd.h>

/* -- common -------------------------------------------------------------------------------------------------- */

static _Thread_local struct { aoff payload; uint64_t since; } unfinished;

void sync_waits(struct arena *a, aoff payload)
{
    struct slot *s = slot_at(a, a->self_slot);
    if (payload != unfinished.payload) {
        unfinished.payload = payload;
        unfinished.since = clock_coarse_ns();
    }
    SH_SET(&s->waits_since, unfinished.since);
    SH_SET(&s->waits_for, payload);
}

void sync_waited(struct arena *a, int result)
{
    if (result != AR_INTR) unfinished.payload = 0;
    SH_SET(&slot_at(a, a->self_slot)->waits_for, 0);
}

void sync_death_of(struct arena *a, uint32_t owner, uint64_t since, struct sync_death *death)
{
    memset(death, 0, sizeof *death);
    uint64_t now = clock_coarse_ns();
    death->held_ns = now > since ? now - since : 0;
    struct slot *s = slot_at(a, owner_slot(owner));
    uint64_t generation = owner_generation16(owner);
    uint64_t status = 0;
    if (slot_generation(SH_GET(&s->state)) == generation) {
        death->pid = (uint32_t)SH_GET(&s->pid);
        status = SH_GET(&s->exit_status);
    } else if ((SH_GET(&s->last_generation) & 0xffff) == generation) {
        death->pid = (uint32_t)SH_GET(&s->last_pid);
        status = SH_GET(&s->last_exit);
    } else {
        return;
    }
    death->status_known = status >> 32 & 1;
    death->status = (int)(uint32_t)status;
    if (SH_GET(&s->pid) == death->pid || SH_GET(&s->pid) == 0) {
        slot_name(s, death->name);              /* what follows it in the slot is 0 */
    }
}

/* -- Lock ---------------------------------------------------------------------------------------------------- */

aoff sync_lock_new(struct arena *a, enum block_kind kind, uint32_t flags)
{
    aoff payload = ref_new(a, sizeof(struct sync_lock), kind, true);
    if (!payload) return 0;
    struct sync_lock *l = arena_ptr(a, payload);
    SH_INIT(&l->flags, flags);
    return payload;
}

static int take_over(struct arena *a, struct sync_lock *l, uint32_t seen, struct sync_death *death)
{
    uint64_t since = SH_GET(&l->since);
    if (!owner_is_dead(a, seen)) return AR_TIMEOUT;
    /* Before the exchange: the next process to register may get the dead one's slot. */
    sync_death_of(a, seen, since, death);
    if (!SH_CAS32(&l->word, &seen, a->self | 1)) return AR_TIMEOUT;
    FAULT_BRANCH("sync lock: taken over from a dead owner");
    __atomic_fetch_add(&a->repairs, 1, __ATOMIC_RELAXED);
    SH_SET(&l->count, 0);
    sync_lock_taken(a, l);
    return AR_OWNER_DIED;
}

int sync_lock_slow(struct arena *a, struct sync_lock *l, aoff payload, uint64_t deadline, bool after_sleep,
                   struct sync_death *death)
{
    /* Whoever has slept takes the lock with the flag set: others may still sleep. */
    uint32_t flag = after_sleep ? 1 : 0;
    uint32_t seen = SH_GET(&l->word);
    uint64_t slice = WAIT_SLICE_FIRST_NS;
    bool last = deadline == 0, told = false;
    int result;
    if (!a->self) return AR_GONE;
    if (!last && olock_held(seen)) spin_while_equal(a, &l->word, seen);
    for (;;) {
        seen = SH_GET(&l->word);
        if (!olock_held(seen)) {
            if (!SH_CAS32(&l->word, &seen, a->self | flag)) continue;
            sync_lock_taken(a, l);
            result = AR_OK;
            break;
        }
        if (last) {
            result = take_over(a, l, seen, death);
            if (result == AR_TIMEOUT && SH_GET(&l->word) != seen) continue;
            break;
        }
        if (!(seen & 1)) {
            if (!SH_CAS32(&l->word, &seen, seen | 1)) continue;
            seen |= 1;
        }
        if (!told) {
            sync_waits(a, payload);
            told = true;
        }
        int r = futex_wait_slice(&l->word, seen, deadline, slice);
        flag = 1;
        last = r == AR_TIMEOUT;
        if (last) continue;
        if (SH_PEEK(&l->word) == seen) {
            result = take_over(a, l, seen, death);
            if (result == AR_OWNER_DIED) break;
        }
        if (r == AR_INTR || (r == WAIT_SLICED && slice == WAIT_SLICE_NS)) {
            result = AR_INTR;
            break;
        }
        slice = WAIT_SLICE_NS;
    }
    if (told) sync_waited(a, result);
    return result;
}

/* -- RLock --------------------------------------------------------------------------------------------------- */

static void forget_thread(struct sync_lock *l)
{
    /* Before the word: the next owner of our process has not said its thread yet when its word is there already. */
    if (SH_PEEK(&l->count)) SH_SET(&l->count, 0);
    SH_SET(&l->thread, 0);
}

int sync_rlock_release(struct arena *a, struct sync_lock *l)
{
    if (!sync_lock_mine(a, l)) return AR_NOT_OWNER;
    uint32_t n = SH_PEEK(&l->count);
    if (n > 0) {
        SH_SET(&l->count, n - 1);
        return AR_OK;
    }
    forget_thread(l);
    return sync_lock_release(l);
}

uint32_t sync_lock_release_all(struct sync_lock *l, enum block_kind kind)
{
    uint32_t levels = 0;
    if (kind == KIND_RLOCK) {
        levels = SH_PEEK(&l->count);
        forget_thread(l);
    }
    sync_lock_release(l);
    return levels;
}
