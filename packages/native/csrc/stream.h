/* stream.h: a long message of a pipe on its way, piece by piece, through a window that is used again and again.
 *
 * A message of 64 MB in one block costs new pages of the arena (fill.h), twice if the next one is written while the first is read. A reader
 * that waits already takes the pieces while they are in the cache.
 *
 * STREAM (in a KIND_BLOCK; the message in the ring has a reference on it)
 *   0   8  size of the message                       8   4  its tag (queue.h)
 *   12  4  sender, 16 4 reader: owner words (word.h) of the processes at work; reader 0: nobody has it yet
 *   20  4  over: 1 the sender has given up, 2 the reader has
 *   64  4  written: pieces that are there            68  4  1 the reader may sleep on `written`
 *   128 4  read: pieces that were taken out          132 4  1 the sender may sleep on `read`
 *   4096   the window: piece i is at i modulo STREAM_PIECES, of STREAM_PIECE bytes, the last one shorter
 * VALIDITY: read <= written <= read + STREAM_PIECES, written <= pieces of the message.
 *
 * DEATHS.  Who waits looks at the other's owner word after each time slice.  A reader that died before it wrote its own
 * leaves the sender's process with the only reference.  What a dead or unwilling reader had begun to take is lost, as in a socket.
 */
#ifndef PROCESSION_STREAM_H
#define PROCESSION_STREAM_H

#include "refs.h"
#include "word.h"

#define STREAM_PIECE ((uint64_t)256 << 10)
#define STREAM_PIECES 4u
#define STREAM_BLOCK (4096 + STREAM_PIECE * STREAM_PIECES)

struct stream {
    sh64 size; sh32 tag; sh32 sender; sh32 reader; sh32 over; sh64 pad0[5];
    sh32 written; sh32 reader_waits; sh64 pad1[7];
    sh32 read; sh32 sender_waits; sh64 pad2[7];
};

void stream_init(struct arena *a, struct stream *s, uint64_t size, uint32_t tag);

/* Go on with what is left; call them again after AR_INTR.
 * stream_write: AR_OK: all pieces are there, or nobody will take them; AR_BROKEN: nobody has begun to take them, and fd (stream_gone) says that
 * nobody can.  stream_read: AR_OK, AR_PEER_DIED: the rest will not come. */
int stream_write(struct arena *a, aoff block, struct stream *s, const char *data, int (*gone)(int fd), int fd,
                 int *alones);                   /* of this message, 0 to begin with */
int stream_read(struct arena *a, struct stream *s, char *to);

void stream_begin_read(struct arena *a, struct stream *s);
void stream_give_up(struct stream *s, bool reader);

#endif
