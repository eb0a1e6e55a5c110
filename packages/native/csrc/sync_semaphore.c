/* sync_semaphore.c: counting semaphores, and those that know who holds their permits.  Format and rules: sync.h. */
#define _GNU_SOURCE
#include "sync.h"

#include <limits.h>

static uint32_t tracked_capacity(uint32_t value, uint32_t maxvalue, bool bounded)
{
    if (bounded) return maxvalue;
    /* One that may grow: room for as many again as it starts with. */
    return value < 128 ? 256 : value * 2;
}

aoff sync_semaphore_new(struct arena *a, uint32_t value, uint32_t maxvalue, bool bounded, bool tracked)
{
    uint32_t capacity = tracked ? tracked_capacity(value, maxvalue, bounded) : 0;
    aoff payload = ref_new(a, sizeof(struct sync_semaphore) + (uint64_t)capacity * sizeof(sh32), KIND_SEMAPHORE, true);
    if (!payload) return 0;
    struct sync_semaphore *s = arena_ptr(a, payload);
    SH_INIT(&s->maxvalue, tracked && capacity < maxvalue ? capacity : maxvalue);
    SH_INIT(&s->capacity, capacity);
    for (uint32_t i = value; i < capacity; i++) SH_INIT(&s->permit[i], SYNC_NO_PERMIT);
    if (!tracked) SH_INIT(&s->word, value);
    return payload;
}

uint32_t sync_semaphore_value(struct sync_semaphore *s)
{
    uint32_t capacity = SH_PEEK(&s->capacity), n = 0;
    if (capacity == 0) return SH_GET(&s->word) & SYNC_VALUE_MAX;
    for (uint32_t i = 0; i < capacity; i++) n += SH_GET(&s->permit[i]) == 0;
    return n;
}

/* -- permits with names -------------------------------------------------------------------------------------- */

static bool exchange(struct sync_semaphore *s, uint32_t from, uint32_t to)
{
    uint32_t capacity = SH_PEEK(&s->capacity);
    for (uint32_t i = 0; i < capacity; i++) {
        uint32_t seen = from;
        if (SH_GET(&s->permit[i]) == from && SH_CAS32(&s->permit[i], &seen, to)) return true;
    }
    return false;
}

static bool inherit_permit(struct arena *a, struct sync_semaphore *s)
{
    uint32_t capacity = SH_PEEK(&s->capacity), known = 0;
    for (uint32_t i = 0; i < capacity; i++) {
        uint32_t seen = SH_GET(&s->permit[i]);
        if (!olock_held(seen) || seen == known) continue;
        if (!owner_is_dead(a, seen)) {
            known = seen;
            continue;
        }
        if (!SH_CAS32(&s->permit[i], &seen, a->self)) continue;
        FAULT_BRANCH("sync semaphore: a dead holder's permit is used again");
        __atomic_fetch_add(&a->repairs, 1, __ATOMIC_RELAXED);
        return true;
    }
    return false;
}

static bool tracked_try(struct arena *a, struct sync_semaphore *s) { return exchange(s, 0, a->self); }

static int tracked_release(struct arena *a, struct sync_semaphore *s)
{
    if (exchange(s, a->self, 0) || exchange(s, SYNC_NO_PERMIT, 0)) return AR_OK;
    /* On behalf of another holder: any process may give back what another took. */
    uint32_t capacity = SH_PEEK(&s->capacity);
    for (uint32_t i = 0; i < capacity; i++) {
        uint32_t seen = SH_GET(&s->permit[i]);
        if (olock_held(seen) && SH_CAS32(&s->permit[i], &seen, 0)) return AR_OK;
    }
    return AR_OVERFLOW;
}

/* -- both kinds ---------------------------------------------------------------------------------------------- */

static bool take(struct arena *a, struct sync_semaphore *s, bool tracked)
{
    if (tracked) return tracked_try(a, s);
    uint32_t w = SH_GET(&s->word);
    while (w & SYNC_VALUE_MAX)
        if (SH_CAS32(&s->word, &w, w - 1)) return true;
    return false;
}

int sync_semaphore_slow(struct arena *a, struct sync_semaphore *s, aoff payload, uint64_t deadline)
{
    bool tracked = SH_PEEK(&s->capacity) != 0, told = false;
    /* Only holders that are known can be found dead early; else a slice is for wake-ups that died with their senders. */
    uint64_t slice = tracked ? WAIT_SLICE_FIRST_NS : WAIT_SLICE_NS;
    uint32_t w = SH_GET(&s->word);
    int result = AR_OK;
    if (!a->self) return AR_GONE;
    if (take(a, s, tracked)) return AR_OK;
    if (tracked && inherit_permit(a, s)) return AR_OK;
    if (deadline == 0) return AR_TIMEOUT;
    if (tracked || !(w & SYNC_VALUE_MAX)) spin_while_equal(a, &s->word, w);
    for (;;) {
        w = SH_GET(&s->word);
        if (take(a, s, tracked)) break;
        if (!tracked && (w & SYNC_VALUE_MAX)) continue;
        if (!(w & SYNC_FLAG)) {
            if (!SH_CAS32(&s->word, &w, w | SYNC_FLAG)) continue;
            w |= SYNC_FLAG;
            /* A tracked permit may have been given back between our look and the flag. */
            if (tracked && take(a, s, true)) break;
        }
        if (!told) {
            sync_waits(a, payload);
            told = true;
        }
        int r = futex_wait_slice(&s->word, w, deadline, slice);
        if (tracked && inherit_permit(a, s)) break;
        if (r == AR_INTR || (r == WAIT_SLICED && slice == WAIT_SLICE_NS)) {
            result = AR_INTR;
            break;
        }
        if (r == AR_TIMEOUT) {
            result = take(a, s, tracked) ? AR_OK : AR_TIMEOUT;
            break;
        }
        slice = WAIT_SLICE_NS;
    }
    if (told) sync_waited(a, result);
    return result;
}

int sync_semaphore_release_slow(struct arena *a, struct sync_semaphore *s)
{
    uint32_t w = SH_GET(&s->word), next;
    if (!a->self) return AR_GONE;
    if (SH_PEEK(&s->capacity)) {
        int r = tracked_release(a, s);
        if (r != AR_OK) return r;
        do next = (w & SYNC_FLAG) | ((w + 1) & SYNC_VALUE_MAX);
        while (!SH_CAS32(&s->word, &w, next));
    } else {
        uint32_t maxvalue = SH_PEEK(&s->maxvalue);
        do {
            if ((w & SYNC_VALUE_MAX) >= maxvalue) return AR_OVERFLOW;
            next = w + 1;
        } while (!SH_CAS32(&s->word, &w, next));
    }
    /* Each release wakes one.  The flag stays up until a wake-up finds nobody: clearing it at each release would need
     * the woken one to raise it again and to wake the next, a chain that breaks with any of its links. */
    if ((w & SYNC_FLAG) && futex_wake(&s->word, 1) == 0) SH_CAS32(&s->word, &next, next & ~SYNC_FLAG);
    return AR_OK;
}
