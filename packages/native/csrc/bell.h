/* bell.h: file descriptors that are readable while a queue has messages.
 *
 * An eventfd cannot be given to producers that already run, so each process that polls makes its own, and says in the
 * queue that it wants to be told:
 *   queue.poller[i]    owner word (slot and generation) of a polling process; bit 0, armed: tell me of the next commit;
 *                      bit 1: it waits for room, not for messages
 *   queue.polled       bit 0: somebody polls for messages; bit 2: for room; bit 1: there were more than QUEUE_POLLERS,
 *                      ring everybody
 *   slot.bell          a futex word: plus one for each ring; the process's bell thread sleeps on it
 *
 * PROTOCOL
 *   A committer, after its commit and a full fence, sees `polled`, turns each armed entry unarmed by compare-and-swap and
 *   rings its owner's bell.  The bell thread looks at the process's queues and lights (writes) the eventfds of those with messages.
 *   Arming: store the armed entry, full fence, look at the queue once more.
 *   An eventfd is lit or its entry is armed.  The process's own take that empties the queue darkens it and arms again.
 *   Where another process has taken the message the descriptor stays lit: readiness may be spurious, as with any
 *   descriptor that several read.
 *   A committer that dies between commit and ring: the thread looks again after BELL_SLICE_NS.
 *   A poller that dies: its entry is taken by the next who registers; ringing a dead slot does nothing.
 *
 * The thread is stopped before fork() and restarted after it, because Python warns of a fork with threads.  A child
 * keeps the descriptor numbers, with eventfds of its own behind them, and registers when it next asks.
 */
#ifndef PROCESSION_BELL_H
#define PROCESSION_BELL_H

#include "queue.h"

#define BELL_SLICE_NS 250000000ull

enum bell_kind { BELL_ITEMS = 0, BELL_ROOM = 2 };  /* also bit 1 of an entry */
#define POLLED_ITEMS 1u
#define POLLED_EVERYBODY 2u
#define POLLED_ROOM 4u

void bell_ring(struct arena *a, struct queue *q, enum bell_kind kind);

struct bell;
struct bell *bell_open(struct arena *a, struct queue *q, enum bell_kind kind);  /* NULL: errno; one for each handle */
int bell_fd(struct arena *a, struct bell *b);               /* registers if needed; -1: errno */
void bell_settle(struct arena *a, struct bell *b);          /* after a take (put), so that the descriptor tells the truth */
void bell_close(struct bell *b);
extern void (*bell_restart_soon)(void);                     /* how to have bell_restart called when the fork is over; may be NULL */
void bell_restart(void);

#endif
