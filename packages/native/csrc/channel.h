/* channel.h: the private duplex channel between a pool and one of its workers.
 *
 * A channel is a block of shared memory with two rings, each with one writer and one reader: tasks (written by the
 * pool, read by the worker) and results (the other way).  Nothing in it is a lock, so a worker killed at any instruction
 * leaves it valid, and no other worker can be blocked by it.
 *
 * CHANNEL HEADER (CHANNEL_HEADER bytes, then the task ring, then the result ring)
 *   0    4 magic            4 4 layout version      8 4 size of the task ring   12 4 size of the result ring
 *   64   8 t_head           writer: pool    bytes of tasks ever committed
 *   128  8 t_tail           writer: worker  bytes of tasks ever finished
 *   136  4 t_bell           futex word; the pool adds 1 to wake the worker
 *   140  4 t_sleeping       writer: worker  1 while it sleeps on t_bell
 *   192  8 r_head           writer: worker  bytes of results ever committed
 *   256  8 r_tail           writer: pool    bytes of results ever read
 *   264  4 r_bell           futex word; the pool adds 1 when it made room
 *   268  4 r_waiting        writer: worker  1 while it sleeps on r_bell
 *   320  8 started_ns       writer: worker  when the running task began (CLOCK_MONOTONIC), 0: none runs
 *   328  8 busy_ns          writer: worker  time spent in finished tasks
 *   336  8 done             writer: worker  finished tasks
 *   344  4 chunk_item       writer: worker  item of the running chunk
 *   352  8 waited_ns        writer: worker  time spent without a task
 *
 * RECORD (at a multiple of 8, never wrapping: a PAD record fills the end of the ring)
 *   0    4 size of the record, a multiple of 8     4 2 kind (enum record_kind)     6 2 mode or status
 *   8    a BATCH:  8 claim word, 4 batch, 4 function, 4 count, 4 flags, items
 *        a RESULT: 4 batch, 4 index, item
 *        a MESSAGE: 4 length, 4 zero, bytes
 * VALIDITY: a record is there if and only if it lies between tail and head; head is stored after all its bytes.
 *
 * CLAIM WORD: bits 0-31 next, bits 32-63 limit.  The worker takes task `next` by a compare-and-swap that adds 1 while
 * next < limit; the pool takes tasks back by one that lowers limit to no less than next.  So each task belongs to exactly
 * one of them at any time, and after a death the one task that is claimed and has no result is the one that was running.
 *
 * HUB: one per pool, 64 bytes, where workers look whom to wake
 *   0    4 leader_bell      futex word of the one thread that waits for results and collects them
 *   4    4 leader_mode      enum wake_mode of that thread.  The pool sets it; who wakes the thread sets it to AWAKE first, so
 *                           that it is woken once (if it dies in between, its death wakes the pool)
 *   8    4 super_mode       writer: pool  the same for the pool's thread, which is woken through an eventfd
 *   12   4 super_rung       1 from the first ring until the thread looks
 *   16   4 refill           writer: pool  1 while tasks wait in the pool: a worker that begins its last batch rings
 */
#ifndef PROCESSION_CHANNEL_H
#define PROCESSION_CHANNEL_H

#include "cpu.h"
#include "identity.h"
#include "os.h"
#include "shared.h"

#define CHANNEL_MAGIC 0x6c6e6863u
#define CHANNEL_VERSION 1u
#define CHANNEL_HEADER 512u
#define HUB_SIZE 64u

enum record_kind { RECORD_PAD = 0, RECORD_BATCH = 1, RECORD_RESULT = 2, RECORD_MESSAGE = 3 };
enum wake_mode {
    WAKE_NEVER = 0,   /* nobody is there */
    WAKE_IDLE = 1,    /* asleep; to be woken when a worker runs dry */
    WAKE_ALWAYS = 2,  /* asleep; to be woken for every result */
    WAKE_AWAKE = 3    /* there and busy: will look again before it sleeps */
};

struct hub { sh32 leader_bell; sh32 leader_mode; sh32 super_mode; sh32 super_rung; sh32 refill; sh32 pad[11]; };
_Static_assert(sizeof(struct hub) == HUB_SIZE, "hub");

struct channel {
    sh32 magic, version, task_size, result_size; sh64 pad0[6];
    sh64 t_head; sh64 pad1[7];
    sh64 t_tail; sh32 t_bell, t_sleeping; sh64 pad2[6];
    sh64 r_head; sh64 pad3[7];
    sh64 r_tail; sh32 r_bell, r_waiting; sh64 pad4[6];
    sh64 started_ns, busy_ns, done; sh32 chunk_item, pad5; sh64 waited_ns; sh64 pad6[3];
    sh64 pad7[16];
};
_Static_assert(sizeof(struct channel) == CHANNEL_HEADER, "channel header");
_Static_assert(offsetof(struct channel, r_tail) == 256 && offsetof(struct channel, started_ns) == 320, "channel fields");

struct record { uint32_t size; uint16_t kind, mode; };
struct batch { struct record head; sh64 claim; uint32_t id, function, count, flags; };
struct result { struct record head; uint32_t batch, index; };
struct message { struct record head; uint32_t length, zero; };

void channel_format(struct channel *c, uint32_t task_size, uint32_t result_size);
/* NULL or why this memory is no channel. */
const char *channel_check(const struct channel *c, uint64_t bytes);

static inline char *channel_tasks(struct channel *c) { return (char *)c + CHANNEL_HEADER; }
static inline char *channel_results(struct channel *c) { return channel_tasks(c) + SH_PEEK(&c->task_size); }

/* Writer's side of a ring: where a record of `size` bytes goes, or NULL while there is no room.  Nothing is visible before
 * the store of head. */
char *ring_reserve(char *ring, uint32_t ring_size, uint64_t *head, uint64_t tail, uint32_t size);
/* Reader's side: the record at *tail, past any padding, or NULL when there is none. */
struct record *ring_peek(char *ring, uint32_t ring_size, uint64_t head, uint64_t *tail);

/* The worker claims the next task of a batch: its index, or -1 when none is left. */
int64_t batch_claim(struct batch *b);
/* The pool lowers the limit to at most `limit`; returns the claim word after that. */
uint64_t batch_cut(struct batch *b, uint32_t limit);


/* The eventfd that wakes the pool's thread, as it was when it was given to us: a task may close any descriptor. */
struct pool_bell { int fd; struct identity file; };

/* A worker tells its pool that results are there; `idle`: it has nothing left to do.  False: the pool's thread could not be
 * woken, and only the end of this process will. */
bool hub_ring(struct hub *h, const struct pool_bell *bell, bool idle);
/* How often this process has been forked since it was the first one: counted in the child of every fork. */
extern unsigned forks_behind;
void forks_watch(void);
/* Within the pool: wake the thread that waits, whatever it waits for. */
void hub_ring_leader(struct hub *h);

#endif
