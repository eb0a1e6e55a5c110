/* names.h: the named segments that this process tree removes when it ends.
 *
 * FORMAT
 *   arena_header.names    payload offset of the table, 0: nothing was ever tracked
 *   table (KIND_NAME_TABLE)   NAME_BUCKETS words: payload offset of the first name whose hash falls there, 0: none
 *   name (KIND_NAME)
 *     0   8  next name of the bucket
 *     8   8  length in bytes
 *     16  .. the bytes, with the slash that the system's name begins with
 * Each of them has one reference, that of the word which names it.
 * VALIDITY: a name is tracked if and only if its bucket's list leads to it.  Everything happens under the arena lock.
 *
 * THE END.  A process that ends in order notes that in its slot (names_left = its generation) and looks, in the same
 * hold of the arena lock, whether any other process of the tree is alive and has not; if none is, it removes the segments
 * and then the names, one by one.  So of two that end together exactly the second is the last, processes that were
 * killed do not count, and a death in the middle leaves the rest to nobody, as the death of the whole tree does.
 */
#ifndef PROCESSION_NAMES_H
#define PROCESSION_NAMES_H

#include "arena.h"

#define NAME_BUCKETS 256u
#define NAME_LIMIT 255u             /* bytes, as of a file's name */

int  names_add(struct arena *a, const char *name, uint32_t length);        /* AR_OK (also if it is there), AR_NOMEM, AR_OVERFLOW: too long */
bool names_discard(struct arena *a, const char *name, uint32_t length);    /* true if it was there */
/* All names, each ended by a NUL, in memory that the caller frees; NULL: no memory.  *size: bytes used. */
char *names_copy(struct arena *a, size_t *size);
void names_leave(struct arena *a);                                         /* this process ends; adding a name takes it back */

#endif
