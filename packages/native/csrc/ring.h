/* ring.h: the messages of a Pipe in the arena, beside the pipe or socket pair that is its descriptor.
 *
 * PIPE BLOCK (KIND_PIPE; struct pipe): one for each Pipe, held by every process that has a connection to either end
 *   0    16  a bag (bag.h): references of messages that went through the descriptor
 *   64   384 way 0: what the second end sends to the first        448  384 way 1: what the first sends to the second
 * WAY (struct ring)
 *   0    320 a queue (queue.h); its pollers are not used.  Its flag QUEUE_SHUTDOWN says here: all later messages go
 *            through the descriptor, as frames (frame.h)
 *   320  4   asleep: 1 a reader may sleep on its descriptor, or is about to
 *   324  4   closed: how often a connection that reads was closed, in any process
 *   328  4   sleepers: readers that sleep now, and those that were killed asleep
 * VALIDITY: that of a bag and of two queues; any values of the three words are valid.
 *
 * WHO IS THERE is only known by the kernel: the descriptors of the ends are open as long as somebody holds them, by whatever
 * way he has got them, and die with the processes.  So the end of the stream is the end of the descriptor's stream, after
 * the messages that are left in the ring; and a sender asks whether somebody reads, unless it did in the last RING_ASK_NS and knows of nothing that has
 * happened since (`closed`, a wait that is over, the death of a child).
 *
 * SLEEPING.  A reader that finds nothing stores 1 in `asleep`, looks once more and sleeps on its descriptor.  A
 * sender that sees 1 after its commit makes it 0 and writes a MARK, four bytes that are no frame.  The reader takes the marks out.
 * Where others sleep on the same end it leaves them there as long as there are messages for those too, and then makes `asleep` 1 for them:
 * whoever has not been told by a mark is told by the next one.
 * So it sleeps on many pipes, sockets and processes at once, and is woken by the end of the stream too.  A
 * sender for which there is no room sleeps on the queue's word and asks for readers at the end of each time slice.
 * A death between commit and mark: sleepers look again after a time slice.
 *
 * LEAVING THE RING (ring_leave) is for good.  It happens as soon as somebody wants the descriptor itself, or to send descriptors.  Under the put lock:
 * marks are written under it too, and never after it.  So in the stream all marks come before all frames, and whoever wants to
 * read frames takes the marks out first, looking before he takes.
 */
#ifndef PROCESSION_RING_H
#define PROCESSION_RING_H

#include "frame.h"
#include "queue.h"

#define RING_ASK_NS 50000ull
#define RING_MARK "\xff\xff\xff\xfe"
#define RING_MARK_SIZE 4

struct ring { struct queue q; sh32 asleep; sh32 closed; sh32 sleepers; sh32 pad0; sh64 pad[6]; };
struct pipe { sh64 bag[2]; sh64 pad[6]; struct ring way[2]; };
_Static_assert(sizeof(struct ring) == 384 && offsetof(struct ring, asleep) == 320, "ring: a queue and its words");
_Static_assert(offsetof(struct pipe, way) == 64 && sizeof(struct pipe) == 832, "pipe: a bag and two ways");

void ring_setup(void);                           /* tells refs.h how to release KIND_PIPE */
aoff pipe_new(struct arena *a, uint64_t maxbytes);   /* owned by this process; 0: no memory */

/* fd, kind: of the sender's or reader's own end.
 * ring_try_send never sleeps: AR_OK, AR_BUSY, AR_FULL, AR_NOMEM; AR_SHUTDOWN: it goes through the descriptor now.
 * ring_send sleeps while there is no room; also AR_BROKEN: nobody reads, AR_INTR: look at signals, AR_SYS. */
int ring_try_send(struct arena *a, struct ring *r, int fd, enum frame_kind kind, const struct message *m);
int ring_send(struct arena *a, struct ring *r, int fd, enum frame_kind kind, const struct message *m);

/* AR_OK, AR_INTR, AR_NOMEM, AR_SYS; AR_PEER_DIED: the end of the stream; AR_SHUTDOWN: nothing is left here, read the descriptor. */
int ring_take(struct arena *a, struct ring *r, int fd, enum frame_kind kind, struct taken *out);
/* Whether ring_take would return at once: AR_OK, AR_PEER_DIED, AR_SHUTDOWN; else AR_TIMEOUT, AR_INTR, AR_SYS. */
int ring_wait(struct arena *a, struct ring *r, int fd, enum frame_kind kind, uint64_t deadline);

/* For those who sleep themselves, on many descriptors: say so, then ring_look() once more, then sleep; after it ring_awake(), then
 * ring_drain() where there is something to read. */
void ring_asleep(struct ring *r);
void ring_awake(struct ring *r);
int  ring_look(struct arena *a, struct ring *r); /* AR_OK, AR_EMPTY, AR_SHUTDOWN */
void ring_drain(struct arena *a, struct ring *r, int fd, enum frame_kind kind);

/* All later messages go through the descriptor.  reads: fd is the reader's own, which marks are taken out of.
 * *left: messages are left in the ring.  AR_OK; AR_TIMEOUT: a stopped process holds a lock. */
int  ring_leave(struct arena *a, struct ring *r, int fd, enum frame_kind kind, bool reads, bool *left);
bool ring_awaited(struct arena *a, struct ring *r);      /* everything has been taken, and a reader waits for more */
void ring_closed(struct ring *r);                /* after a reader's descriptor was closed */
int  ring_gone(int fd);                          /* 1: the other end is closed; 0: it is not; -1: errno */

#endif
