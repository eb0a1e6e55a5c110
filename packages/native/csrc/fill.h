/* fill.h: bytes into a new block, and out of a block into memory of this process.
 *
 * COSTS, in microseconds a megabyte, of memory files where the kernel gives them small pages only (its default):
 *   copying into pages that are mapped                                        40 to 70
 *   copying into pages that do not exist yet: a fault and a wiped page each   1100
 *   pwrite() into such pages: they need no wiping                             360 to 550, one process at a time
 *   userfaultfd into such pages: that, and they are mapped                    370 to 450
 *   of two processes at once: userfaultfd 230 together, pwrite() 400 (the file's lock), faults 420
 *   mapping pages that exist: MADV_POPULATE_READ                              150
 *                             a fault each, which is what copying into them does   330
 *   copying into fresh private memory on huge pages                           40 to 90
 * So new pages of large buffers come from userfaultfd where that can be had; else they are written, and mapped only when
 * this process uses them again: a message that is kept by its receiver never asks for it.  Pages that exist are copied into;
 * and who receives much while the arena has no pages left to reuse takes a private copy and frees the block for the next
 * message: copying twice costs a tenth of new pages.
 *
 * WHICH PAGES ARE MAPPED HERE: a bit for each FILL_GRANULE of the arena, private to the process, wiped by a fork (a child
 * maps pages of shared files anew).  A guess: memory that others have given back to the kernel keeps its bits, and is only
 * slower to use.
 */
#ifndef PROCESSION_FILL_H
#define PROCESSION_FILL_H

#include "arena.h"

#define FILL_WRITE_FROM ((uint64_t)48 << 10)        /* smaller blocks are not worth the system calls */
#define FILL_NEW_PAGES_FROM ((uint64_t)1 << 20)     /* less is not worth the six system calls of userfaultfd */
#define FILL_LARGE ((uint64_t)2 << 20)              /* a huge page; smaller buffers are never taken out of their blocks */
#define FILL_IN_PLACE ((uint64_t)16 << 20)          /* so much may a process use in place while memory is scarce */
#define FILL_PLENTY ((uint64_t)64 << 20)            /* so much memory to reuse is not scarce */

#define FILL_GRANULE_BITS 16

/* Copies data to the start of the payload mapped at p.  fresh: its pages were never used.  AR_NOMEM: the kernel refuses
 * pages, which a copy would learn by a signal; the block's contents are undefined. */
int fill_payload(struct arena *a, aoff payload, void *p, const void *data, uint64_t size, bool fresh);

void fill_forget(struct arena *a);                  /* arena_unmap()'s part */

/* Whether a receiver that uses in_place bytes in their blocks should take another `size` bytes out of theirs.
 * One that drops each message before it takes the next copies nothing once there is memory for two. */
bool fill_scarce(struct arena *a, uint64_t size, uint64_t in_place);

/* A copy in private memory, on huge pages where there are any; NULL: no memory, or it was given up: a virtual machine
 * whose host takes free pages away gets them back at 2300 microseconds a megabyte.  Then the next ones are not tried.
 * *mapped is what fill_private_free() needs. */
void *fill_private_copy(const void *from, uint64_t size, uint64_t *mapped);
void fill_private_free(void *p, uint64_t mapped);

#endif
