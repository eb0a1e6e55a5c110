/* ahead.h: bytes of a stream that were received with the message before them.
 *
 * Who reads a header and its payload with one receive has to guess the length.  Of a message that is shorter, the first bytes of
 * the next one may come along.  They stand here until they are asked for: in memory that forked children share, since with
 * the descriptor they have the stream too, and whoever reads next must find them.
 *
 * LAYOUT (4096 bytes)
 *   0   8     span: bits 32-63 where the bytes begin, 0-31 how many there are
 *   8   4088  the bytes
 * VALIDITY: begin + count <= 4088.
 * WRITERS: bytes are put only by a process that has just found none and holds the stream's turn; taken by a CAS of span.  So a process that is killed
 * has taken bytes or it has not.
 */
#ifndef PROCESSION_AHEAD_H
#define PROCESSION_AHEAD_H

#include "shared.h"

#define AHEAD_ROOM ((size_t)4088)

struct ahead;

struct ahead *ahead_new(void);                   /* NULL: no memory */
void ahead_free(struct ahead *a);                /* for this process; NULL is allowed */
size_t ahead_count(const struct ahead *a);       /* NULL is allowed: 0 */
/* Takes at most `size` bytes; how many. */
size_t ahead_take(struct ahead *a, char *to, size_t size);
void ahead_put(struct ahead *a, const char *data, size_t size);     /* into an empty one; size <= AHEAD_ROOM */

/* Moves the bytes into a memory file, which then stands in their place: its descriptor, the caller's, or -1 with errno.  Other
 * threads may use *a meanwhile. */
int ahead_share(struct ahead *a);
/* What such a descriptor stands for; NULL with errno. */
struct ahead *ahead_open(int fd);

#endif
