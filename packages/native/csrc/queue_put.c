/* queue_put.c: producers.  Format and protocol: queue.h. */
#include "queue.h"
#include "bell.h"

#include <string.h>

#define CHUNK_MAX 65472u                     /* with the headers of heap.h a run of 64 KiB */
#define CHUNK_GROWTH 4u

static uint64_t needed(const struct message *m)
{
    return 16 + 8 * (uint64_t)m->nrefs + ((m->size + 7) & ~(uint64_t)7);
}

static void write_record(char *p, const struct message *m, uint64_t weight)
{
    uint64_t padded = (m->size + 7) & ~(uint64_t)7;
    word_put(p, m->size | (uint64_t)m->tag << 32 | (uint64_t)m->flags << 40 | (uint64_t)m->nrefs << 48);
    p += 8;
    for (uint32_t i = 0; i < m->nrefs; i++, p += 8) word_put(p, m->refs[i]);
    if (m->size == 8) memcpy(p, m->data, 8);
    else if (m->size) memcpy(p, m->data, m->size);
    word_put(p + padded, weight);
}

/* A fresh tail, which begins where the old one ends. */
static int grow(struct arena *a, struct queue *q, struct chunk **c, uint64_t need, uint64_t total, uint64_t weight)
{
    struct chunk *old = *c;
    uint64_t size = (SH_PEEK(&old->capacity) + sizeof *old + 32) * CHUNK_GROWTH - 32;
    if (size > CHUNK_MAX) size = CHUNK_MAX;
    if (size < need + sizeof *old) size = need + sizeof *old;
    bool clean = false;
    if (!arena_begin(a)) return AR_NOMEM;
    aoff off = heap_alloc(a, size, KIND_CHUNK, &clean);
    if (!off) {
        arena_abandon(a);
        return AR_NOMEM;
    }
    struct chunk *n = arena_ptr(a, off);
    SH_INIT(&n->base, total);
    SH_INIT(&n->base_bytes, weight);
    SH_INIT(&n->next, 0);
    SH_INIT(&n->capacity, size - sizeof *n);
    SH_INIT(&n->committed, 0);
    SH_INIT(&n->consumed, 0);
    txn_publish(a, &old->next, off);
    txn_publish(a, &q->tail, off);
    arena_end(a);
    *c = n;
    return AR_OK;
}

struct limits { uint64_t maxsize, maxbytes; bool may_sleep; };

static bool fits(const struct limits *l, uint64_t total, uint64_t weight, uint64_t taken, uint64_t taken_bytes, uint64_t more)
{
    if (l->maxsize && total - taken >= l->maxsize) return false;
    /* A message heavier than the limit goes into an empty queue: it would wait for ever otherwise. */
    return !l->maxbytes || total == taken || weight - taken_bytes + more <= l->maxbytes;
}

/* The hints are lower bounds; the truth is under the get lock. */
static int room(struct arena *a, struct queue *q, const struct limits *l, uint64_t total, uint64_t weight, uint64_t more)
{
    if (fits(l, total, weight, SH_GET(&q->taken), SH_GET(&q->taken_bytes), more)) return AR_OK;
    int rc = l->may_sleep ? queue_lock_briefly(a, &q->get_lock, RANK_GET) : queue_lock_now(a, &q->get_lock, RANK_GET);
    if (rc != AR_OK) return rc == AR_TIMEOUT ? AR_FULL : rc;
    struct queue_stat s;
    rc = queue_totals(a, q, &s);
    if (rc == AR_OK && !fits(l, total, weight, s.taken, SH_PEEK(&q->taken_bytes), more)) rc = AR_FULL;
    queue_unlock(a, &q->get_lock, RANK_GET);
    return rc;
}

/* Makes the messages up to `committed` visible, of which the last one takes its references. */
static int commit_with_refs(struct arena *a, struct chunk *c, const struct message *m, uint64_t committed)
{
    if (!arena_begin(a)) return AR_NOMEM;
    for (uint32_t k = 0; k < m->nrefs; k++) ref_hold(a, m->refs[k]);
    txn_publish(a, &c->committed, committed);
    arena_end(a);
    return AR_OK;
}

/* Under the put lock. */
static int put_locked(struct arena *a, struct queue *q, const struct message *m, uint32_t n, uint32_t *done, bool may_sleep)
{
    if (SH_PEEK(&q->flags) & QUEUE_SHUTDOWN) return AR_SHUTDOWN;
    struct chunk *c = arena_ptr(a, SH_PEEK(&q->tail));
    if (!c) return AR_NOMEM;
    struct limits l = { SH_PEEK(&q->maxsize), SH_PEEK(&q->maxbytes), may_sleep };
    bool limited = l.maxsize || l.maxbytes, dirty = false;
    uint64_t word = SH_PEEK(&c->committed);
    uint32_t pos = queue_bytes(word), count = queue_count(word);
    uint64_t total = SH_PEEK(&c->base) + count;
    uint64_t weight = pos ? word_at(c->data + pos - 8) : SH_PEEK(&c->base_bytes);
    uint32_t i;
    int rc = AR_OK;
    for (i = 0; i < n; i++) {
        if (limited && (rc = room(a, q, &l, total, weight, m[i].weight)) != AR_OK) break;
        uint64_t need = needed(&m[i]);
        if (pos + need > SH_PEEK(&c->capacity)) {
            if (dirty) SH_SET(&c->committed, queue_pack(pos, count));
            dirty = false;
            if ((rc = grow(a, q, &c, need, total, weight)) != AR_OK) break;
            pos = count = 0;
        }
        weight += m[i].weight;
        write_record(c->data + pos, &m[i], weight);
        pos += (uint32_t)need;
        count++;
        total++;
        if (m[i].nrefs) {
            if ((rc = commit_with_refs(a, c, &m[i], queue_pack(pos, count))) != AR_OK) {
                pos -= (uint32_t)need;
                count--;
                break;
            }
            dirty = false;
        } else {
            dirty = true;
        }
    }
    if (dirty) SH_SET(&c->committed, queue_pack(pos, count));
    *done += i;
    return rc;
}

static void tell_consumers(struct arena *a, struct queue *q)
{
    queue_notify(&q->not_empty, &q->not_empty_sleepers);
    if (__builtin_expect(SH_PEEK(&q->polled) != 0, 0)) bell_ring(a, q, BELL_ITEMS);
}

int queue_try_put(struct arena *a, struct queue *q, const struct message *m, uint32_t n, uint32_t *done)
{
    *done = 0;
    int rc = queue_lock_now(a, &q->put_lock, RANK_PUT);
    if (rc != AR_OK) return rc;
    rc = put_locked(a, q, m, n, done, false);
    queue_unlock(a, &q->put_lock, RANK_PUT);
    if (*done) {
        FENCE_AFTER_UNLOCK();
        tell_consumers(a, q);
    }
    return rc;
}

int queue_put(struct arena *a, struct queue *q, const struct message *m, uint32_t n, uint32_t *done, uint64_t deadline)
{
    uint64_t slice = 0;
    bool flagged = false, woken = false;
    *done = 0;
    for (;;) {
        uint32_t now_done = 0;
        int rc = queue_lock(a, &q->put_lock, RANK_PUT, lock_deadline(deadline));
        if (rc != AR_OK) return rc;
        rc = put_locked(a, q, m + *done, n - *done, &now_done, true);
        queue_unlock(a, &q->put_lock, RANK_PUT);
        if (now_done) {
            FENCE_AFTER_UNLOCK();
            tell_consumers(a, q);
            *done += now_done;
        }
        bool late = rc == AR_FULL && clock_ns() >= deadline;
        if (flagged && (rc != AR_FULL || late)) queue_one_less(&q->not_full_sleepers);
        if (late) return AR_TIMEOUT;
        if (rc != AR_FULL) {
            /* Somebody else may find room too; whether there is any is cheap for him to see. */
            if (woken) queue_pass_on(&q->not_full, &q->not_full_sleepers, rc == AR_OK && SH_PEEK(&q->not_full) == 2);
            return rc;
        }
        if (!flagged) {
            flagged = true;
            SH_ADD(&q->not_full_sleepers, 1);
            SH_SET(&q->not_full, 1);
            SH_FENCE();
            continue;
        }
        flagged = false;
        woken = true;
        if (!queue_nap(&q->not_full, &q->not_full_sleepers, deadline, &slice, &rc)) return rc;
    }
}

#define PACE_PATIENCE_NS 3000000ull

void queue_pace(struct arena *a, struct queue *q, uint64_t limit, uint64_t *stalled)
{
    struct queue_stat s;
    uint64_t until = 0, seen = 0;
    for (;;) {
        if (queue_stat(a, q, &s) != AR_OK || s.bytes <= limit || s.put - s.taken < 2) return;
        if (s.taken == *stalled) return;     /* nobody has read since we waited in vain */
        uint64_t now = clock_ns();
        if (until == 0 || s.taken != seen) {
            until = now + PACE_PATIENCE_NS;
            seen = s.taken;
        } else if (now >= until) {
            *stalled = s.taken;
            return;
        }
        SH_ADD(&q->not_full_sleepers, 1);
        SH_SET(&q->not_full, 1);
        SH_FENCE();
        int rc = AR_OK;
        if (queue_stat(a, q, &s) == AR_OK && s.taken == seen) rc = futex_wait_slice(&q->not_full, 1, until, PACE_PATIENCE_NS);
        queue_one_less(&q->not_full_sleepers);
        if (rc == AR_INTR) return;
    }
}
