/* queue.h: a queue in the arena: any number of producers and consumers, messages of bytes and references.
 *
 * QUEUE BLOCK (KIND_QUEUE; struct queue).  Payloads are 32-byte aligned, so a hot group keeps to the first 32 bytes
 * of each 64: then no group straddles a cache line and no two hot groups share one.
 *   0    8  maxsize in messages, 0: none         8   8  maxbytes, 0: none
 *   16   4  flags: bit 0 shut down               20  4  polled: which kinds of pollers there are (bell.h)
 *   64   4  put lock (owned word, word.h)        72  8  tail: the chunk being written
 *   128  4  get lock                             132 4  spinner: when the last consumer began to spin, ms
 *   136  8  head: the chunk being read
 *   144  8  seen: a value that the head's `committed` has had (0: look)   152 8 taken: messages consumed, a lower bound
 *   160  8  taken bytes, a lower bound
 *   192  4  not-empty word   196 4 its sleepers  200 4  not-full word     204 4 its sleepers
 *   208  4  all-done word: 1 somebody may be in join()
 *   224  8  done: task_done() calls
 *   256  64 pollers: 16 owner words with two flags (bell.h)
 *
 * CHUNK (KIND_CHUNK; struct chunk): linked from head to tail; owned by the word that names it, its reference count is 0
 *   0    8  base: messages in all chunks before this one        8   8  the same in bytes
 *   16   8  next chunk, 0: this is the tail                     24  8  capacity of the data
 *   64   8  committed: bytes << 32 | messages                   128 8  consumed: likewise
 *   192  .. data: records
 *
 * RECORD (multiple of 8 bytes)
 *   0    8  bits 0-31 length of the inline payload, 32-39 tag (enum queue_tag), 40-47 flags, 48-63 number of references
 *   8    8 each: references (payload offsets)
 *   ..   payload, padded to 8
 *   last 8  weight of all messages up to and including this one, in bytes
 *
 * VALIDITY.  The bytes of a chunk are records if and only if they lie between consumed and committed.  All else is
 * nobody's: a producer that dies before its commit has put nothing, a consumer that dies before its commit has
 * taken nothing.  Messages put = base + committed count of the tail; taken = base + consumed count of the head; so
 * no counter stands beside the commit that a death could leave behind.  The weights work in the same way.
 *
 * PROTOCOL
 *   put   under the put lock: write the record behind `committed`, then one store of `committed`
 *   take  under the get lock: copy the record out, then one store of `consumed`
 *   A message with references is committed by a transaction {count each up; publish committed} and consumed by a
 *   transaction {our ledger takes each; the message's count goes down; publish consumed}.
 *   A new chunk:   {allocate; publish old->next and tail} under put lock and arena lock
 *   A read chunk:  {free it; publish head} under get lock and arena lock.  Both publish inside the arena lock, so
 *                  whoever frees a chunk has seen the tail leave it: no helping is needed.
 *                  After seeing `next`, `committed` is read once more: the last commit came before the link.
 *   Lock order: put lock, get lock, arena lock.
 *   A lock taken over from a dead owner: pass once through the arena lock, which repairs a half-done transaction.
 *
 * SLEEPING.  The not-empty word: 0 nobody sleeps, 1 somebody may sleep, 2 a wake-up is in flight.  A consumer that
 * is about to sleep stores 1, and looks once more.  A producer that sees 1 after its commit makes it 2 and wakes one; on 2 it does
 * nothing.  The woken one passes the wake-up on if messages remain, and stores 1 if they do not and others sleep.  `sleepers`
 * only decides that last step; it may be wrong after a death.  Sleepers look again after a time slice, so whatever a
 * death leaves in these words is only late, never lost.  The not-full word is its mirror image.
 */
#ifndef PROCESSION_QUEUE_H
#define PROCESSION_QUEUE_H

#include "lockorder.h"
#include "refs.h"
#include "word.h"

enum queue_tag { TAG_PICKLE = 0, TAG_INT = 1, TAG_CONST = 2, TAG_FLOAT = 3, TAG_STR = 4, TAG_BYTES = 5,
                 TAG_RAW = 6 /* bytes of a pipe, no object (ring.h) */, TAG_STREAM = 7 /* of a pipe: the reference is a stream (stream.h) */ };
#define RECORD_IN_BLOCK 1u                   /* flag: the payload is the first reference, a block; inline is its size */
#define RECORD_PARCEL 2u                     /* flag: the last reference is a parcel of all others */

#define QUEUE_SHUTDOWN 1u
#define QUEUE_POLLERS 16
#define QUEUE_INLINE_MAX 16384u              /* longer payloads travel in a block of their own */
#define QUEUE_DIRECT_REFS 8u                 /* more references travel in a parcel, to fit the transaction log */
#define AR_BUSY (-100)                       /* a lock is held by somebody else: come back without the GIL */

struct queue {
    sh64 maxsize; sh64 maxbytes; sh32 flags; sh32 polled; sh64 pad0[5];
    sh32 put_lock; sh32 put_pad; sh64 tail; sh64 pad1[6];
    sh32 get_lock; sh32 spinner; sh64 head; sh64 seen; sh64 taken; sh64 taken_bytes; sh64 pad2[3];
    sh32 not_empty; sh32 not_empty_sleepers; sh32 not_full; sh32 not_full_sleepers; sh32 all_done; sh32 words_pad; sh64 pad3[1];
    sh64 done; sh64 pad4[3];
    sh32 poller[QUEUE_POLLERS];
};
_Static_assert(offsetof(struct queue, put_lock) == 64 && offsetof(struct queue, get_lock) == 128, "queue: locks");
_Static_assert(offsetof(struct queue, not_empty) == 192 && offsetof(struct queue, done) == 224, "queue: words");
_Static_assert(offsetof(struct queue, poller) == 256, "queue: pollers");

struct chunk {
    sh64 base; sh64 base_bytes; sh64 next; sh64 capacity; sh64 pad0[4];
    sh64 committed; sh64 pad1[7];
    sh64 consumed; sh64 pad2[7];
    char data[];
};
_Static_assert(offsetof(struct chunk, committed) == 64 && offsetof(struct chunk, consumed) == 128, "chunk: words");
_Static_assert(offsetof(struct chunk, data) == 192, "chunk: data");

/* A message to put.  `weight` is what it counts against maxbytes. */
struct message { const void *data; uint64_t size; uint64_t weight; const aoff *refs; uint32_t nrefs; uint8_t tag; uint8_t flags; };

/* Records taken: raw bytes, as they lay in the chunks. */
struct taken { char *data; size_t used, capacity; uint32_t count; bool owned; /* data is malloc'ed */ };
#define TAKEN_ON(buffer) { (char *)(buffer), 0, sizeof(buffer), 0, false }

struct queue_stat { uint64_t put, taken, done, bytes; };

static inline uint64_t queue_pack(uint32_t bytes, uint32_t count) { return (uint64_t)bytes << 32 | count; }
static inline uint32_t queue_bytes(uint64_t word) { return (uint32_t)(word >> 32); }
static inline uint32_t queue_count(uint64_t word) { return (uint32_t)word; }
static inline uint64_t record_size(uint64_t head)
{
    return 16 + 8 * (head >> 48) + (((head & 0xffffffffu) + 7) & ~(uint64_t)7);
}
static inline uint32_t record_length(uint64_t head) { return (uint32_t)head; }
static inline uint8_t record_tag(uint64_t head) { return (uint8_t)(head >> 32); }
static inline uint8_t record_flags(uint64_t head) { return (uint8_t)(head >> 40); }
static inline uint32_t record_nrefs(uint64_t head) { return (uint32_t)(head >> 48); }
static inline uint64_t word_at(const char *p) { uint64_t v; __builtin_memcpy(&v, p, 8); return v; }
static inline void word_put(char *p, uint64_t v) { __builtin_memcpy(p, &v, 8); }

aoff queue_new(struct arena *a, uint64_t maxsize, uint64_t maxbytes);   /* 0: no memory */

/* Puts messages in order; *done says how many are visible to consumers, whatever is returned.
 * queue_try_put never sleeps: AR_OK, AR_BUSY, AR_FULL, AR_NOMEM, AR_SHUTDOWN.  queue_put sleeps until the
 * deadline while the queue is full: AR_OK, AR_TIMEOUT, AR_INTR, AR_NOMEM, AR_SHUTDOWN. */
int queue_try_put(struct arena *a, struct queue *q, const struct message *m, uint32_t n, uint32_t *done);
int queue_put(struct arena *a, struct queue *q, const struct message *m, uint32_t n, uint32_t *done, uint64_t deadline);

/* Takes up to `max` messages, at least one.  A message with references comes alone; they are then this process's, to be
 * given back with ref_close each (the last one only, if it is a parcel).  Likewise; AR_EMPTY.
 * off: the queue's own offset if AR_PEER_DIED is wanted when no other process holds it, else 0.
 * patience: of the queue's only consumer, if it waits for answers (word.h), else NULL. */
int queue_try_take(struct arena *a, struct queue *q, struct taken *out, uint32_t max);
int queue_take(struct arena *a, struct queue *q, struct taken *out, uint32_t max, uint64_t deadline, aoff off,
               struct patience *patience);
int queue_peek(struct arena *a, struct queue *q, struct taken *out);     /* the first message stays; its references are ours too */
void taken_free(struct taken *out);
void taken_release_refs(struct arena *a, const char *record);            /* ref_close what the record's consumption adopted */

int queue_stat(struct arena *a, struct queue *q, struct queue_stat *s);  /* exact; AR_TIMEOUT if a stopped process holds the lock */
int queue_task_done(struct arena *a, struct queue *q);                   /* AR_OVERFLOW: more often than messages were put */
int queue_join(struct arena *a, struct queue *q, uint64_t deadline);     /* AR_OK, AR_TIMEOUT, AR_INTR */
/* Holds a producer of large messages back, by milliseconds at most, while a consumer is at work on more than `limit` bytes:
 * memory that was just read is ten times faster to write again than new memory.  *stalled: private to the handle, start with UINT64_MAX. */
void queue_pace(struct arena *a, struct queue *q, uint64_t limit, uint64_t *stalled);
int queue_shutdown(struct arena *a, struct queue *q, bool immediate);
void queue_register(void);                                               /* tells refs.h how to release KIND_QUEUE */

/* ---- shared by queue*.c ---- */
#define LOCK_PATIENCE_NS 2000000000ull       /* how long a call that must not wait tolerates a stopped lock owner */

int queue_lock(struct arena *a, sh32 *word, enum lock_rank rank, uint64_t deadline);   /* AR_OK, AR_TIMEOUT, AR_INTR, AR_NOMEM, AR_GONE */
int queue_lock_now(struct arena *a, sh32 *word, enum lock_rank rank);    /* AR_OK, AR_BUSY */
int queue_lock_briefly(struct arena *a, sh32 *word, enum lock_rank rank);    /* AR_OK; AR_TIMEOUT: its owner is stopped */
static inline void queue_unlock(struct arena *a, sh32 *word, enum lock_rank rank)
{
    rank_leave(rank);
    olock_release(a, word);
}
uint64_t lock_deadline(uint64_t deadline);
/* For queues that are parts of other blocks (ring.h), in a transaction. */
aoff queue_first_chunk(struct arena *a);                                 /* 0: no memory */
void queue_format(struct queue *q, aoff chunk, uint64_t maxsize, uint64_t maxbytes);
bool queue_release_step(struct arena *a, struct queue *q);               /* nobody can reach it any more; true: all is given back */
/* One look, waiting for the lock only: AR_OK, AR_EMPTY, AR_SHUTDOWN, AR_NOMEM, AR_INTR, AR_TIMEOUT. */
int queue_take_now(struct arena *a, struct queue *q, struct taken *out);
bool queue_has(struct arena *a, struct queue *q);                        /* a message is there; without a lock, exact for a single consumer */
bool queue_spin(struct arena *a, struct queue *q);                       /* spins while it is empty, if that pays; true: look again */
int queue_totals(struct arena *a, struct queue *q, struct queue_stat *s); /* under the get lock; AR_OK, AR_NOMEM */
int queue_advance(struct arena *a, struct queue *q, aoff next);          /* under the get lock: free the head; AR_OK, AR_NOMEM */
bool queue_nap(sh32 *word, sh32 *sleepers, uint64_t deadline, uint64_t *slice, int *rc);

/* One sleeper is told, if one may be there.  After a commit and a full fence. */
static inline void queue_notify(sh32 *word, sh32 *sleepers)
{
    if (__builtin_expect(SH_PEEK(word) == 1, 0)) {
        uint32_t one = 1;
        if (SH_CAS32(word, &one, 2) && futex_wake(word, 1) == 0)
            SH_SET(sleepers, 0);
    }
}
static inline void queue_one_less(sh32 *sleepers)
{
    uint32_t seen = SH_PEEK(sleepers);
    while (seen && !sh_cas32(sleepers, &seen, seen - 1)) { }
}
/* A woken sleeper has done its part; more: others can go on too. */
static inline void queue_pass_on(sh32 *word, sh32 *sleepers, bool more)
{
    if (SH_PEEK(sleepers) == 0) return;
    if (more) {
        if (futex_wake(word, 1) == 0) SH_SET(sleepers, 0);
    } else {
        uint32_t two = 2;
        SH_CAS32(word, &two, 1);
    }
}
/* Full fence between an unlock (a locked instruction) and a load. */
#if defined(__x86_64__) || defined(__i386__)
#define FENCE_AFTER_UNLOCK() atomic_signal_fence(memory_order_seq_cst)
#else
#define FENCE_AFTER_UNLOCK() SH_FENCE()
#endif

#endif
