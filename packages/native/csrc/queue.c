/* queue.c: creation, locks, totals, sleeping, joining, shutdown and release of queues.  Format: queue.h. */
#define _GNU_SOURCE
#include "queue.h"
#include "bell.h"
#include "cpu.h"
#include "registry.h"

#include <limits.h>
#include <string.h>

#define FIRST_CHUNK 992u                     /* with its block header a cell of 1 KiB: a fresh queue is small */
#define NAP_FIRST_NS 20000000ull
#define NAP_MAX_NS 250000000ull

aoff queue_first_chunk(struct arena *a)
{
    bool clean = false;
    aoff off = heap_alloc(a, FIRST_CHUNK, KIND_CHUNK, &clean);
    struct chunk *c = off ? arena_ptr(a, off) : NULL;
    if (!c) return 0;
    memset((void *)c, 0, sizeof *c);
    SH_INIT(&c->capacity, FIRST_CHUNK - sizeof *c);
    return off;
}

void queue_format(struct queue *q, aoff chunk, uint64_t maxsize, uint64_t maxbytes)
{
    memset((void *)q, 0, sizeof *q);
    SH_INIT(&q->maxsize, maxsize);
    SH_INIT(&q->maxbytes, maxbytes);
    SH_INIT(&q->head, chunk);
    SH_INIT(&q->tail, chunk);
}

static aoff make(struct arena *a, uint64_t maxsize, uint64_t maxbytes)
{
    bool clean = false;
    aoff chunk = 0, off = 0;
    if (!arena_begin(a)) return 0;
    if (ref_prepare(a, 1) == AR_OK) chunk = queue_first_chunk(a);
    if (chunk) off = heap_alloc(a, sizeof(struct queue), KIND_QUEUE, &clean);
    struct queue *q = off ? arena_ptr(a, off) : NULL;
    if (q) queue_format(q, chunk, maxsize, maxbytes);
    if (!q || ref_own_new(a, off) != AR_OK) return arena_abandon(a);
    arena_end(a);
    return off;
}

aoff queue_new(struct arena *a, uint64_t maxsize, uint64_t maxbytes)
{
    aoff off = make(a, maxsize, maxbytes);
    if (!off && registry_sweep(a) > 0) off = make(a, maxsize, maxbytes);    /* what the dead held is free now */
    return off;
}

/* ---- locks ----------------------------------------------------------------------------------------------------- */

/* The structure is valid after a death at any point; only a transaction may be half done, and it is the
 * arena lock's next owner who repairs it.  Who cannot leaves the queue's lock as he found it: with a dead owner. */
static int recover(struct arena *a, sh32 *word)
{
    FAULT_BRANCH("queue: lock taken over from a dead owner");
    if (arena_begin(a)) {
        arena_end(a);
        return AR_OK;
    }
    FAULT_BRANCH("queue: lock left to others for want of memory");
    SH_SET(word, OWNER_NOBODY);
    futex_wake(word, 1);
    return AR_NOMEM;
}

int queue_lock_now(struct arena *a, sh32 *word, enum lock_rank rank)
{
    for (int i = 0; i < 48; i++) {
        if (SH_PEEK(word) == 0 && olock_fast(a, word)) {
            rank_enter(rank);
            return AR_OK;
        }
        cpu_relax();
    }
    return AR_BUSY;
}

int queue_lock(struct arena *a, sh32 *word, enum lock_rank rank, uint64_t deadline)
{
    int rc = olock_acquire(a, word, deadline);
    if (rc == AR_OWNER_DIED) rc = recover(a, word);
    if (rc == AR_OK) rank_enter(rank);
    return rc;
}

/* An owner holds these locks for microseconds, so a call that must not wait for messages still waits for the lock. */
uint64_t lock_deadline(uint64_t deadline)
{
    uint64_t patience = clock_ns() + LOCK_PATIENCE_NS;
    return deadline > patience ? deadline : patience;
}

int queue_lock_briefly(struct arena *a, sh32 *word, enum lock_rank rank)
{
    int rc = queue_lock_now(a, word, rank);
    if (rc == AR_OK) return rc;
    uint64_t until = lock_deadline(0);
    do rc = queue_lock(a, word, rank, until); while (rc == AR_INTR);
    return rc;
}

/* ---- sleeping -------------------------------------------------------------------------------------------------- */

/* Sleeps on a word that the caller has set to 1 before its last look.  false: *rc says why to stop; AR_INTR also for a look at signals. */
bool queue_nap(sh32 *word, sh32 *sleepers, uint64_t deadline, uint64_t *slice, int *rc)
{
    if (*slice == 0) *slice = NAP_FIRST_NS;
    *rc = futex_wait_slice(word, 1, deadline, *slice);
    queue_one_less(sleepers);
    if (*rc == WAIT_SLICED) *rc = *slice < NAP_MAX_NS ? AR_OK : AR_INTR;
    if (*slice < NAP_MAX_NS) *slice *= 2;
    return *rc == AR_OK;
}

/* ---- totals ---------------------------------------------------------------------------------------------------- */

static uint64_t weight_at(const struct chunk *c, uint64_t word)
{
    uint32_t end = queue_bytes(word);
    return end ? word_at(c->data + end - 8) : SH_PEEK(&c->base_bytes);
}

/* Under the get lock nobody frees a chunk, and what the tail names is at or behind the head. */
int queue_totals(struct arena *a, struct queue *q, struct queue_stat *s)
{
    struct chunk *head = arena_ptr(a, SH_GET(&q->head));
    struct chunk *tail = arena_ptr(a, SH_GET(&q->tail));
    if (!head || !tail) return AR_NOMEM;
    uint64_t consumed = SH_PEEK(&head->consumed), committed = SH_GET(&tail->committed);
    s->taken = SH_PEEK(&head->base) + queue_count(consumed);
    s->put = SH_PEEK(&tail->base) + queue_count(committed);
    s->bytes = weight_at(tail, committed) - weight_at(head, consumed);
    s->done = SH_PEEK(&q->done);
    if (SH_PEEK(&q->taken) != s->taken) SH_SET(&q->taken, s->taken);
    uint64_t bytes = weight_at(head, consumed);
    if (SH_PEEK(&q->taken_bytes) != bytes) SH_SET(&q->taken_bytes, bytes);
    return AR_OK;
}

int queue_stat(struct arena *a, struct queue *q, struct queue_stat *s)
{
    int rc = queue_lock_briefly(a, &q->get_lock, RANK_GET);
    if (rc != AR_OK) return rc;
    rc = queue_totals(a, q, s);
    queue_unlock(a, &q->get_lock, RANK_GET);
    return rc;
}

/* ---- task_done and join ---------------------------------------------------------------------------------------- */

static void tell_joiners(struct queue *q)
{
    if (SH_PEEK(&q->all_done)) {
        SH_SET(&q->all_done, 0);
        futex_wake(&q->all_done, INT_MAX);
    }
}

int queue_task_done(struct arena *a, struct queue *q)
{
    int rc = queue_lock_briefly(a, &q->get_lock, RANK_GET);
    if (rc != AR_OK) return rc;
    uint64_t done = SH_PEEK(&q->done) + 1;
    bool last = false;
    if (done >= SH_PEEK(&q->taken)) {            /* else surely neither too many nor the last */
        struct queue_stat s;
        rc = queue_totals(a, q, &s);
        if (rc == AR_OK && done > s.put) rc = AR_OVERFLOW;
        if (rc != AR_OK) {
            queue_unlock(a, &q->get_lock, RANK_GET);
            return rc;
        }
        last = done == s.put;
    }
    SH_SET(&q->done, done);
    queue_unlock(a, &q->get_lock, RANK_GET);
    if (last) {
        FENCE_AFTER_UNLOCK();
        tell_joiners(q);
    }
    return AR_OK;
}

int queue_join(struct arena *a, struct queue *q, uint64_t deadline)
{
    uint64_t slice = NAP_FIRST_NS;
    for (;;) {
        SH_SET(&q->all_done, 1);
        SH_FENCE();
        struct queue_stat s;
        int rc = queue_stat(a, q, &s);
        if (rc != AR_OK) return rc;
        if (s.done >= s.put) return AR_OK;
        if (clock_ns() >= deadline) return AR_TIMEOUT;
        rc = futex_wait_slice(&q->all_done, 1, deadline, slice);
        if (rc == AR_INTR || (rc == WAIT_SLICED && slice >= NAP_MAX_NS)) return AR_INTR;
        if (slice < NAP_MAX_NS) slice *= 2;
    }
}

/* ---- shutdown and release -------------------------------------------------------------------------------------- */

int queue_advance(struct arena *a, struct queue *q, aoff next)
{
    aoff old = SH_PEEK(&q->head);
    SH_SET(&q->seen, 0);                         /* before the head moves: it must never speak of another chunk */
    if (!arena_begin(a)) return AR_NOMEM;
    heap_free(a, old);
    txn_publish(a, &q->head, next);
    arena_end(a);
    heap_tidy(a);
    return AR_OK;
}

/* In a transaction: the references of one unread record go back. */
static void drop_refs(struct arena *a, const char *record)
{
    uint64_t head = word_at(record);
    uint32_t n = record_nrefs(head);
    for (uint32_t i = 0; i < n; i++) ref_drop(a, word_at(record + 8 + 8 * i));
}

/* The end of the run of records from pos that hold nothing, and how many they are; stops before one with references. */
static uint32_t skip_plain(const struct chunk *c, uint32_t pos, uint32_t end, uint32_t *count)
{
    while (pos < end && record_nrefs(word_at(c->data + pos)) == 0) {
        pos += (uint32_t)record_size(word_at(c->data + pos));
        ++*count;
    }
    return pos;
}

/* Unread messages are forgotten and count as done, as queue.Queue does it. */
static int discard_all(struct arena *a, struct queue *q)
{
    for (;;) {
        struct chunk *c = arena_ptr(a, SH_PEEK(&q->head));
        if (!c) return AR_NOMEM;
        uint64_t consumed = SH_PEEK(&c->consumed);
        aoff next = SH_GET(&c->next);
        uint64_t committed = SH_GET(&c->committed);
        uint32_t pos = queue_bytes(consumed), end = queue_bytes(committed), count = 0;
        if (pos == end) {
            if (!next) return AR_OK;
            int rc = queue_advance(a, q, next);
            if (rc != AR_OK) return rc;
            continue;
        }
        uint32_t to = skip_plain(c, pos, end, &count);
        if (!arena_begin(a)) return AR_NOMEM;
        if (count == 0) {
            drop_refs(a, c->data + pos);
            to = pos + (uint32_t)record_size(word_at(c->data + pos));
            count = 1;
        }
        txn_publish(a, &q->done, SH_PEEK(&q->done) + count);
        txn_publish(a, &c->consumed, queue_pack(to, queue_count(consumed) + count));
        arena_end(a);
    }
}

int queue_shutdown(struct arena *a, struct queue *q, bool immediate)
{
    int rc = queue_lock_briefly(a, &q->put_lock, RANK_PUT);      /* after this no put is under way */
    if (rc != AR_OK) return rc;
    SH_SET(&q->flags, SH_PEEK(&q->flags) | QUEUE_SHUTDOWN);
    if (immediate) {
        rc = queue_lock_briefly(a, &q->get_lock, RANK_GET);
        if (rc == AR_OK) {
            rc = discard_all(a, q);
            struct queue_stat s;
            if (rc == AR_OK) rc = queue_totals(a, q, &s);
            queue_unlock(a, &q->get_lock, RANK_GET);
        }
    }
    queue_unlock(a, &q->put_lock, RANK_PUT);
    SH_FENCE();
    SH_SET(&q->not_empty, 2);
    SH_SET(&q->not_full, 2);
    futex_wake(&q->not_empty, INT_MAX);
    futex_wake(&q->not_full, INT_MAX);
    SH_SET(&q->all_done, 0);
    futex_wake(&q->all_done, INT_MAX);
    bell_ring(a, q, BELL_ITEMS);
    bell_ring(a, q, BELL_ROOM);
    return rc;
}

bool queue_release_step(struct arena *a, struct queue *q)
{
    aoff off = SH_PEEK(&q->head);
    if (!off) return true;
    struct chunk *c = arena_ptr(a, off);
    uint64_t consumed = SH_PEEK(&c->consumed), committed = SH_PEEK(&c->committed);
    uint32_t count = 0, end = queue_bytes(committed);
    uint32_t pos = skip_plain(c, queue_bytes(consumed), end, &count);
    if (pos < end) {
        drop_refs(a, c->data + pos);
        pos += (uint32_t)record_size(word_at(c->data + pos));
        txn_set(a, &c->consumed, queue_pack(pos, queue_count(consumed) + count + 1));
        return false;
    }
    aoff next = SH_PEEK(&c->next);
    txn_set(a, &q->head, next);
    heap_free(a, off);
    return next == 0;
}

static bool release(struct arena *a, aoff payload)
{
    struct queue *q = arena_ptr(a, payload);
    return !q || queue_release_step(a, q);
}

void queue_register(void) { ref_set_release(KIND_QUEUE, release); }
