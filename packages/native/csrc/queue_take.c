/* queue_take.c: consumers.  Format and protocol: queue.h. */
#include "queue.h"
#include "bell.h"
#include "registry.h"

#include <stdlib.h>
#include <string.h>

#define SPIN_STALE_MS 20u
#define MANY_BYTES (1u << 20)                /* a bulk take stops growing its buffer here */

void taken_free(struct taken *out)
{
    if (out->owned) free(out->data);
    out->data = NULL;
    out->owned = false;
}

static bool make_room(struct taken *out, size_t more)
{
    if (out->capacity - out->used >= more) return true;
    size_t wanted = out->capacity * 2 > out->used + more ? out->capacity * 2 : out->used + more;
    char *bigger = out->owned ? realloc(out->data, wanted) : malloc(wanted);
    if (!bigger) return false;
    if (!out->owned) memcpy(bigger, out->data, out->used);
    out->data = bigger;
    out->capacity = wanted;
    out->owned = true;
    return true;
}

void taken_release_refs(struct arena *a, const char *record)
{
    uint64_t head = word_at(record);
    uint32_t n = record_nrefs(head);
    for (uint32_t i = 0; i < n; i++) ref_close(a, word_at(record + 8 + 8 * i));
}

/* The references of the record become ours; with the message's given up if it is consumed. */
static int take_refs(struct arena *a, struct chunk *c, const char *record, bool consume, uint64_t consumed)
{
    uint32_t n = record_nrefs(word_at(record));
    if (!arena_begin(a)) return AR_NOMEM;
    /* What may be refused memory, before private tables change. */
    for (uint32_t i = 0; i < n; i++) (void)arena_ptr(a, word_at(record + 8 + 8 * i));
    int rc = ref_prepare(a, n);
    for (uint32_t i = 0; rc == AR_OK && i < n; i++) rc = ref_adopt(a, word_at(record + 8 + 8 * i));
    if (rc != AR_OK) {
        arena_rollback(a);
    } else if (consume) {
        for (uint32_t i = 0; i < n; i++) ref_drop(a, word_at(record + 8 + 8 * i));
        txn_publish(a, &c->consumed, consumed);
    }
    arena_end(a);
    return rc;
}

/* The head chunk with at least one message in it; its limits in *word. */
static struct chunk *readable(struct arena *a, struct queue *q, uint64_t *consumed, uint64_t *committed, int *rc)
{
    for (;;) {
        struct chunk *c = arena_ptr(a, SH_PEEK(&q->head));
        if (!c) { *rc = AR_NOMEM; return NULL; }
        uint64_t from = SH_PEEK(&c->consumed), to = SH_PEEK(&q->seen);
        if (queue_bytes(to) <= queue_bytes(from)) {
            /* Look into the producers' cache line only when what it said last has been used up. */
            to = SH_GET(&c->committed);
            if (queue_bytes(to) == queue_bytes(from)) {
                aoff next = SH_GET(&c->next);
                if (!next) { *rc = AR_EMPTY; return NULL; }
                to = SH_GET(&c->committed);      /* the last commit came before the link */
                if (queue_bytes(to) == queue_bytes(from)) {
                    if ((*rc = queue_advance(a, q, next)) != AR_OK) return NULL;
                    continue;
                }
            }
            SH_SET(&q->seen, to);
        }
        *consumed = from;
        *committed = to;
        return c;
    }
}

/* Under the get lock.  Takes up to max messages; AR_OK if there is at least one. */
static int take_locked(struct arena *a, struct queue *q, struct taken *out, uint32_t max)
{
    int rc = AR_OK;
    while (out->count < max) {
        uint64_t consumed, committed;
        struct chunk *c = readable(a, q, &consumed, &committed, &rc);
        if (!c) break;
        uint32_t start = queue_bytes(consumed), end = queue_bytes(committed), pos = start, count = 0;
        bool stop = false;
        while (pos < end && out->count + count < max) {
            uint64_t head = word_at(c->data + pos);
            if (record_nrefs(head)) {
                stop = true;
                break;
            }
            pos += (uint32_t)record_size(head);
            count++;
        }
        if (count) {
            if (!make_room(out, pos - start)) { rc = AR_NOMEM; break; }
            memcpy(out->data + out->used, c->data + start, pos - start);
            SH_SET(&c->consumed, queue_pack(pos, queue_count(consumed) + count));
        } else {
            if (out->count) break;               /* a message with references comes alone */
            uint64_t size = record_size(word_at(c->data + pos));
            count = 1;
            if (!make_room(out, size)) { rc = AR_NOMEM; break; }
            memcpy(out->data + out->used, c->data + pos, size);
            rc = take_refs(a, c, out->data + out->used, true, queue_pack(pos + (uint32_t)size, queue_count(consumed) + 1));
            if (rc != AR_OK) break;
            pos += (uint32_t)size;
            stop = true;
        }
        out->used += pos - start;
        out->count += count;
        SH_SET(&q->taken, SH_PEEK(&c->base) + queue_count(consumed) + count);
        if (SH_PEEK(&q->maxbytes)) SH_SET(&q->taken_bytes, word_at(c->data + pos - 8));
        if (stop || out->used >= MANY_BYTES) break;
    }
    if (out->count) return AR_OK;
    if (rc == AR_EMPTY && (SH_GET(&q->flags) & QUEUE_SHUTDOWN)) {
        /* The flag is set under the put lock, after the last commit. */
        uint64_t x, y;
        return readable(a, q, &x, &y, &rc) ? take_locked(a, q, out, max) : rc == AR_EMPTY ? AR_SHUTDOWN : rc;
    }
    return rc;
}

static bool more_left(struct arena *a, struct queue *q)
{
    struct chunk *c = arena_ptr(a, SH_PEEK(&q->head));
    return c && (queue_bytes(SH_GET(&c->committed)) != queue_bytes(SH_PEEK(&c->consumed)) || SH_GET(&c->next));
}

static void tell_producers(struct arena *a, struct queue *q)
{
    queue_notify(&q->not_full, &q->not_full_sleepers);
    if (__builtin_expect(SH_PEEK(&q->polled) & (POLLED_ROOM | POLLED_EVERYBODY), 0)) bell_ring(a, q, BELL_ROOM);
}

/* What is left to do under the get lock, which it gives up. */
static int take_and_unlock(struct arena *a, struct queue *q, struct taken *out, uint32_t max)
{
    int rc = take_locked(a, q, out, max);
    queue_unlock(a, &q->get_lock, RANK_GET);
    if (rc == AR_OK) {
        FENCE_AFTER_UNLOCK();
        tell_producers(a, q);
    }
    return rc;
}

int queue_try_take(struct arena *a, struct queue *q, struct taken *out, uint32_t max)
{
    int rc = queue_lock_now(a, &q->get_lock, RANK_GET);
    return rc == AR_OK ? take_and_unlock(a, q, out, max) : rc;
}

int queue_take_now(struct arena *a, struct queue *q, struct taken *out)
{
    int rc = queue_lock(a, &q->get_lock, RANK_GET, lock_deadline(0));
    return rc == AR_OK ? take_and_unlock(a, q, out, 1) : rc;
}

/* About one consumer of a queue spins, the others sleep at once.  A spinner that dies is forgotten by its age. */
static bool spin(struct arena *a, struct queue *q, sh32 *count, uint32_t seen)
{
    uint32_t now = (uint32_t)(clock_coarse_ns() / 1000000u) | 1u;
    uint32_t last = SH_PEEK(&q->spinner);
    if (last != 0 && now - last < SPIN_STALE_MS) return false;
    if (!sh_cas32(&q->spinner, &last, now)) return false;
    bool changed = spin_while_equal(a, count, seen);
    SH_INIT(&q->spinner, 0);
    return changed;
}

bool queue_has(struct arena *a, struct queue *q)
{
    struct chunk *c = arena_ptr(a, SH_GET(&q->head));
    if (!c) return false;
    uint64_t from = SH_GET(&c->consumed);
    for (;;) {
        if (queue_bytes(SH_GET(&c->committed)) != queue_bytes(from)) return true;
        aoff next = SH_GET(&c->next);
        if (!next) return false;
        if (queue_bytes(SH_GET(&c->committed)) != queue_bytes(from)) return true;   /* the last commit came before the link */
        if (!(c = arena_ptr(a, next))) return false;
        from = 0;
    }
}

bool queue_spin(struct arena *a, struct queue *q)
{
    struct chunk *c = arena_ptr(a, SH_GET(&q->head));
    if (!c) return false;
    sh32 *count = (sh32 *)&c->committed;         /* its low half counts messages */
    uint32_t seen = SH_PEEK(count);
    return queue_has(a, q) || spin(a, q, count, seen);
}

int queue_take(struct arena *a, struct queue *q, struct taken *out, uint32_t max, uint64_t deadline, aoff off,
               struct patience *patience)
{
    uint64_t slice = 0;
    bool flagged = false, woken = false, spun = false;
    for (;;) {
        int rc = queue_lock(a, &q->get_lock, RANK_GET, lock_deadline(deadline));
        if (rc != AR_OK) return rc;
        rc = take_locked(a, q, out, max);
        bool more = woken && more_left(a, q);
        struct chunk *tail = arena_ptr(a, SH_PEEK(&q->head));
        if (!tail) {
            queue_unlock(a, &q->get_lock, RANK_GET);
            if (flagged) queue_one_less(&q->not_empty_sleepers);
            return AR_NOMEM;
        }
        sh32 *count = (sh32 *)&tail->committed;  /* its low half counts messages */
        uint32_t seen = SH_PEEK(count);
        bool unread = rc == AR_EMPTY && seen != queue_count(SH_PEEK(&tail->consumed));
        queue_unlock(a, &q->get_lock, RANK_GET);
        if (rc == AR_OK) {
            FENCE_AFTER_UNLOCK();
            tell_producers(a, q);
        }
        if (unread) continue;
        bool late = rc == AR_EMPTY && deadline != WAIT_FOREVER && clock_ns() >= deadline;
        if (rc != AR_EMPTY || late) {
            if (flagged) queue_one_less(&q->not_empty_sleepers);     /* we said that we sleep, and do not */
            if (late) return AR_TIMEOUT;
            if (woken) queue_pass_on(&q->not_empty, &q->not_empty_sleepers, more);
            if (patience) patience_end(patience);
            return rc;
        }
        if (off && registry_alone(a, off)) {
            if (flagged) queue_one_less(&q->not_empty_sleepers);
            /* What the last of them put before it went is still delivered. */
            rc = queue_lock(a, &q->get_lock, RANK_GET, lock_deadline(deadline));
            if (rc != AR_OK) return rc;
            rc = take_locked(a, q, out, max);
            queue_unlock(a, &q->get_lock, RANK_GET);
            return rc == AR_EMPTY ? AR_PEER_DIED : rc;
        }
        if (!spun) {
            spun = true;
            if (patience ? patience_spin(patience, count, seen) : spin(a, q, count, seen)) {
                spun = false;
                continue;
            }
        }
        if (!flagged) {
            flagged = true;
            SH_ADD(&q->not_empty_sleepers, 1);
            SH_SET(&q->not_empty, 1);
            SH_FENCE();
            continue;
        }
        flagged = false;
        woken = true;
        if (!queue_nap(&q->not_empty, &q->not_empty_sleepers, deadline, &slice, &rc)) {
            /* A wake-up may have been meant for us in the same moment. */
            if (more_left(a, q)) queue_pass_on(&q->not_empty, &q->not_empty_sleepers, true);
            return rc;
        }
    }
}

int queue_peek(struct arena *a, struct queue *q, struct taken *out)
{
    int rc = queue_lock_briefly(a, &q->get_lock, RANK_GET);
    if (rc != AR_OK) return rc;
    uint64_t consumed, committed;
    struct chunk *c = readable(a, q, &consumed, &committed, &rc);
    if (c) {
        const char *record = c->data + queue_bytes(consumed);
        uint64_t size = record_size(word_at(record));
        if (make_room(out, size)) {
            memcpy(out->data + out->used, record, size);
            rc = record_nrefs(word_at(record)) ? take_refs(a, c, record, false, 0) : AR_OK;
            if (rc == AR_OK) {
                out->used += size;
                out->count = 1;
            }
        } else {
            rc = AR_NOMEM;
        }
    }
    queue_unlock(a, &q->get_lock, RANK_GET);
    if (rc == AR_EMPTY && (SH_GET(&q->flags) & QUEUE_SHUTDOWN)) return AR_SHUTDOWN;
    return rc;
}
