/* sync_condition.c: condition variables whose waiters each have an entry of their own.  Format and rules: sync.h. */
#define _GNU_SOURCE
#include "sync.h"

#include <limits.h>

/* -- creation and release ------------------------------------------------------------------------------------ */

aoff sync_condition_new(struct arena *a, aoff lock)
{
    bool clean = false;
    if (!arena_begin(a)) return 0;
    aoff payload = ref_prepare(a, 32) == AR_OK ? heap_alloc(a, sizeof(struct sync_condition), KIND_CONDITION, &clean) : 0;
    if (!payload) return arena_abandon(a);
    struct sync_condition *c = arena_ptr(a, payload);
    SH_INIT(&c->lock, lock);
    SH_INIT(&c->segment, 0);
    SH_INIT(&c->next_ticket, 1);
    for (int i = 0; i < COND_INLINE; i++) {
        SH_INIT(&c->entry[i].owner, 0);
        SH_INIT(&c->entry[i].state, 0);
    }
    if (ref_own_new(a, payload) != AR_OK) return arena_abandon(a);
    ref_hold(a, lock);
    arena_end(a);
    return payload;
}

/* Called inside a transaction of the arena, one segment at a time. */
static bool release_contents(struct arena *a, aoff payload)
{
    struct sync_condition *c = arena_ptr(a, payload);
    aoff segment = SH_PEEK(&c->segment);
    if (segment) {
        struct cond_segment *s = arena_ptr(a, segment);
        txn_set(a, &c->segment, SH_PEEK(&s->next));
        ref_drop(a, segment);
        return false;
    }
    aoff lock = SH_PEEK(&c->lock);
    if (lock) {
        txn_set(a, &c->lock, 0);
        ref_drop(a, lock);
    }
    return true;
}

void sync_condition_setup(void) { ref_set_release(KIND_CONDITION, release_contents); }

static bool grow(struct arena *a, struct sync_condition *c)
{
    bool clean = false;
    if (!arena_begin(a)) return false;
    aoff segment = heap_alloc(a, sizeof(struct cond_segment), KIND_SEGMENT, &clean);
    if (!segment) return arena_abandon(a);
    struct cond_segment *s = arena_ptr(a, segment);
    SH_INIT(&s->next, SH_PEEK(&c->segment));
    for (int i = 0; i < COND_SEGMENT; i++) {
        SH_INIT(&s->entry[i].owner, 0);
        SH_INIT(&s->entry[i].state, 0);
    }
    ref_hold(a, segment);
    txn_publish(a, &c->segment, segment);
    arena_end(a);
    return true;
}

/* -- entries: all but sleep and leave run under the condition's lock ------------------------------------------ */

struct walk { struct cond_entry *entry; uint32_t left; aoff next; };

static struct walk walk_start(struct sync_condition *c)
{
    return (struct walk){ c->entry, COND_INLINE, SH_GET(&c->segment) };
}

static struct cond_entry *walk_next(struct arena *a, struct walk *w)
{
    if (w->left == 0) {
        if (!w->next) return NULL;
        struct cond_segment *s = arena_ptr(a, w->next);
        if (!s) return NULL;
        *w = (struct walk){ s->entry, COND_SEGMENT, SH_GET(&s->next) };
    }
    w->left--;
    return w->entry++;
}

bool sync_condition_reachable(struct arena *a, struct sync_condition *c)
{
    for (aoff segment = SH_GET(&c->segment); segment;) {
        struct cond_segment *s = arena_ptr(a, segment);
        if (!s) return false;
        segment = SH_GET(&s->next);
    }
    return true;
}

static bool bury(struct arena *a, struct cond_entry *e, uint32_t owner)
{
    if (!SH_CAS32(&e->owner, &owner, 0)) return false;
    FAULT_BRANCH("sync condition: a dead waiter's entry is freed");
    __atomic_fetch_add(&a->repairs, 1, __ATOMIC_RELAXED);
    return true;
}

static bool waiting(uint32_t state) { return state == COND_WAITING || state == COND_ASLEEP; }

/* False: the waiter had given up, or is dead. */
static bool notify_one(struct arena *a, struct sync_lock *l, struct cond_entry *e)
{
    uint32_t state = SH_GET(&e->state);
    do {
        if (!waiting(state)) return false;
    } while (!SH_CAS32(&e->state, &state, COND_NOTIFIED));
    if (state == COND_WAITING) return true;
    /* The sleeper is moved to the lock's word and woken when the lock is given up: woken now, it would only run into
     * the lock that we hold. */
    if (os_requeue(&e->state, &l->word) > 0) {
        FAULT_POINT();
        SH_OR(&l->word, 1u);
        FAULT_POINT();
        return true;
    }
    /* Nobody sleeps there: on its way to or from sleep, or dead. */
    uint32_t owner = SH_GET(&e->owner);
    return owner == 0 || !owner_is_dead(a, owner) || !bury(a, e, owner);
}

uint32_t sync_condition_notify(struct arena *a, struct sync_condition *c, struct sync_lock *l, uint32_t n)
{
    uint32_t done = 0;
    while (done < n) {
        struct cond_entry *e, *first = NULL;
        struct walk w = walk_start(c);
        while ((e = walk_next(a, &w)) != NULL) {
            if (SH_GET(&e->owner) == 0 || !waiting(SH_GET(&e->state))) continue;
            if (!first || SH_PEEK(&e->ticket) < SH_PEEK(&first->ticket)) first = e;
        }
        if (!first) break;
        done += notify_one(a, l, first);
    }
    return done;
}

static struct cond_entry *find_free(struct arena *a, struct sync_condition *c, struct sync_lock *l)
{
    struct cond_entry *e;
    struct walk w = walk_start(c);
    while ((e = walk_next(a, &w)) != NULL)
        if (SH_GET(&e->owner) == 0) return e;
    w = walk_start(c);
    while ((e = walk_next(a, &w)) != NULL) {
        uint32_t owner = SH_GET(&e->owner);
        if (owner == 0) return e;
        if (!owner_is_dead(a, owner)) continue;
        /* Its notification goes on before the entry is freed: we may die in between too. */
        if (SH_GET(&e->state) == COND_NOTIFIED) {
            FAULT_BRANCH("sync condition: notification of the dead passed on");
            sync_condition_notify(a, c, l, 1);
        }
        if (bury(a, e, owner)) return e;
    }
    return NULL;
}

int sync_condition_enter(struct arena *a, struct sync_condition *c, struct sync_lock *l, struct cond_entry **entry)
{
    if (!sync_condition_reachable(a, c)) return AR_NOMEM;
    struct cond_entry *e = find_free(a, c, l);
    if (!e) {
        if (!grow(a, c)) return AR_NOMEM;
        e = find_free(a, c, l);
        if (!e) return AR_NOMEM;
    }
    uint64_t ticket = SH_PEEK(&c->next_ticket);
    SH_SET(&c->next_ticket, ticket + 1);
    SH_SET(&e->ticket, ticket);
    SH_SET(&e->state, COND_WAITING);
    SH_SET(&e->owner, a->self & OWNER_BITS);
    *entry = e;
    return AR_OK;
}

/* At the end of a slice: a notification that its receiver did not live to use. */
static void inherit(struct arena *a, struct sync_condition *c, struct cond_entry *mine)
{
    struct cond_entry *e;
    struct walk w = walk_start(c);
    while ((e = walk_next(a, &w)) != NULL) {
        uint32_t owner = SH_GET(&e->owner), asleep = COND_ASLEEP;
        if (e == mine || owner == 0 || SH_GET(&e->state) != COND_NOTIFIED || !owner_is_dead(a, owner)) continue;
        /* Ours first: killed in between, we leave two to be inherited, and a wake-up too many hurts nobody. */
        if (!SH_CAS32(&mine->state, &asleep, COND_NOTIFIED)) return;
        FAULT_BRANCH("sync condition: notification of the dead used");
        bury(a, e, owner);
        return;
    }
}

int sync_condition_sleep(struct arena *a, struct sync_condition *c, struct cond_entry *e, aoff payload, uint64_t deadline,
                         bool *asleep)
{
    if (deadline == 0) return SH_GET(&e->state) == COND_NOTIFIED ? AR_OK : AR_TIMEOUT;
    uint32_t state = COND_WAITING;
    if (SH_GET(&e->state) == COND_WAITING && spin_while_equal(a, &e->state, COND_WAITING)) return AR_OK;
    if (!SH_CAS32(&e->state, &state, COND_ASLEEP) && state == COND_NOTIFIED) return AR_OK;
    *asleep = true;
    sync_waits(a, payload);
    int r = AR_OK;
    while (SH_GET(&e->state) == COND_ASLEEP) {
        if (r == AR_TIMEOUT || r == AR_INTR) break;
        r = futex_wait_slice(&e->state, COND_ASLEEP, deadline, WAIT_SLICE_NS);
        if (r != AR_TIMEOUT && SH_GET(&e->state) == COND_ASLEEP) inherit(a, c, e);
        if (r == WAIT_SLICED) r = AR_INTR;
    }
    sync_waited(a, r);
    return SH_GET(&e->state) == COND_NOTIFIED ? AR_OK : r;
}

bool sync_condition_leave(struct cond_entry *e)
{
    uint32_t state = SH_GET(&e->state);
    while (waiting(state) && !SH_CAS32(&e->state, &state, 0)) continue;
    SH_SET(&e->owner, 0);
    return !waiting(state);
}

uint32_t sync_condition_waiters(struct arena *a, struct sync_condition *c)
{
    uint32_t n = 0;
    struct cond_entry *e;
    struct walk w = walk_start(c);
    while ((e = walk_next(a, &w)) != NULL) n += SH_GET(&e->owner) != 0 && waiting(SH_GET(&e->state));
    return n;
}
