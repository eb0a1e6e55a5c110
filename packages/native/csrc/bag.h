/* bag.h: references in flight on something that is no queue of the arena: what the messages in a pipe name.
 *
 * BAG (KIND_BAG)
 *   0   8  first entry, 0: none
 *   8   8  last entry
 * ENTRY (KIND_BAG_ENTRY): one message; its reference is that of the word which links it
 *   0   8  next entry, 0: none
 *   8   8  the entry before it, 0: none
 *   16  8  the bag
 *   24  8  number of items
 *   32  8 each: payload offsets, a reference on each
 * VALIDITY: a message is in flight if and only if the list leads to its entry; the entry is then allocated and names the bag.
 * Forward and backward links, first and last change together.  All changes are transactions.
 *
 * PROTOCOL.  The sender puts an entry in before it writes the message, which names the bag and the entry (offset and
 * generation).  The receiver opens what the message names, which gives it references of its own, and then takes the
 * entry out.  A sender that dies before it has written, and a receiver that dies before it has taken, leave
 * an entry that lasts as long as the bag: until the last end of the pipe is closed, in any process.
 */
#ifndef PROCESSION_BAG_H
#define PROCESSION_BAG_H

#include "refs.h"

void bag_setup(void);
aoff bag_new(struct arena *a);                   /* owned by this process; 0: no memory */
aoff bag_put(struct arena *a, aoff bag, const aoff *items, uint32_t n, uint64_t *generation);  /* 0: no memory */
bool bag_release_step(struct arena *a, aoff payload);   /* of a block that begins as a bag; true: the bag is empty */
bool bag_take(struct arena *a, aoff bag, aoff entry, uint64_t generation);  /* false: it is not in flight (any more) */

#endif
