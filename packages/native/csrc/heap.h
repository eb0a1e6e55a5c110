/* heap.h: blocks of arena memory, their headers, their reference counts.
 *
 * BLOCK HEADER: 32 bytes before the payload of every block, small or large
 *   0   8  ident: bits 0-7 state (0 free cell, 1 allocated, 2 zombie), 8-15 kind (enum block_kind),
 *                 16-63 generation (48 bits, unique in the arena's life)
 *   8   8  size of the payload in bytes as asked for
 *   16  8  references: number of ledger entries and containers that name this block
 *   24  8  link: bits 0-7 class of the cell, or 0xff: run, 0xfe: huge; upper bits of a free cell or zombie: next << 8
 * VALIDITY: a handle (arena id, payload offset, generation, kind) is good if and only if ident of the header
 * before the offset is (allocated, kind, generation).
 *
 * RUN (multiple of 4096 bytes, in address order, tiling every heap window between its two sentinels)
 *   0   8  size in bytes | bit 0: in use | bit 1: clean (never written since the kernel zeroed it)
 *   8   8  size of the run before it (0: first)
 *   16  8  free: next free run of the bin     24 8  free: previous
 *   32  32 block header (run blocks), payload from byte 64
 * A run is either free and in the bin of its size, or a slab of cells, or one block.
 * Free neighbours are always merged; every change is a transaction of the arena (arena.h).
 *
 * Cells: sizes of block header + payload in HEAP_CLASSES classes from 64 bytes to 16 KiB, cut from slabs; slabs are kept.
 *
 * WINDOWS have a state byte each: 0 free and clean, 1 heap, 2 first of a huge block, 3 continuation of the one before,
 * 4 first of a freed huge extent whose pages were kept for reuse.
 * Huge extent: byte 0 of its first window: number of windows; byte 8: bytes of pages kept while free.
 * Block header at byte 4064, payload at byte 4096.
 */
#ifndef PROCESSION_HEAP_H
#define PROCESSION_HEAP_H

#include "arena.h"

enum block_kind {
    KIND_NONE = 0, KIND_LEDGER = 1, KIND_BLOCK = 2, KIND_PARCEL = 3,
    KIND_LOCK = 8, KIND_RLOCK = 9, KIND_SEMAPHORE = 10, KIND_EVENT = 11, KIND_CONDITION = 12, KIND_BARRIER = 13,
    KIND_SEGMENT = 14 /* inner part of a sync object */,
    KIND_QUEUE = 16, KIND_CHUNK = 17,
    KIND_NAME = 20, KIND_NAME_TABLE = 21, KIND_BAG = 22, KIND_BAG_ENTRY = 23, KIND_PIPE = 24, KIND_MAX = 32
};

struct block_header { sh64 ident; sh64 size; sh64 refs; sh64 link; };
_Static_assert(sizeof(struct block_header) == 32, "block header");

#define HUGE_SIZE (WINDOW_SIZE / 4)                 /* payloads above this get windows of their own */
#define HUGE_PAYLOAD PAGE
#define DIRTY_LIMIT ((uint64_t)256 << 20)           /* free memory kept with its pages, bytes: reuse is 10 times faster than new pages */
#define RUN_HEADER_SIZE 64
#define PUNCH_MIN ((uint64_t)256 << 10)             /* smaller blocks are not worth the system call */

int  heap_grow_file(int fd, uint64_t size);         /* AR_NOMEM with errno set: limits, full */
void heap_format(struct arena *a);                  /* creator only */

/* Inside a transaction (arena_begin .. arena_end).  0: no memory (AR_NOMEM; nothing was changed: roll back).
 * *clean in: memory that reads as zero is preferred; out: the payload reads as zero.  References start at 0:
 * the caller's transaction must give the block an owner (ref_own_new, or a word of a structure) before it commits. */
aoff heap_alloc(struct arena *a, uint64_t size, enum block_kind kind, bool *clean);
void heap_free(struct arena *a, aoff payload);      /* refs must be 0 */

static inline struct block_header *block_header(struct arena *a, aoff payload)
{
    return (struct block_header *)((char *)arena_ptr(a, payload) - sizeof(struct block_header));
}
uint64_t block_generation(struct arena *a, aoff payload);
uint64_t block_size(struct arena *a, aoff payload);
enum block_kind block_kind(struct arena *a, aoff payload);

/* Payload pointer of any block, huge ones too (their own mapping, shared by all users in this process).
 * Balance with block_unmap.  NULL: mapping refused. */
void *block_map(struct arena *a, aoff payload);
void block_unmap(struct arena *a, aoff payload, void *p);

/* Called by whoever drops the last reference, before the transaction: gives the pages of a large block
 * back to the kernel when enough dirty memory lies free already. */
bool heap_punch_before_free(struct arena *a, aoff payload);
void heap_trim(struct arena *a);                    /* gives all free pages back to the kernel */
void heap_tidy(struct arena *a);                    /* some of them, where small blocks have left more than may be kept */
bool heap_could_trim(struct arena *a, uint64_t size);   /* whether that could make room for a block that was refused */

/* Full check of every invariant in this file, under the lock; returns NULL or what is wrong.  For tests and doctor. */
const char *heap_check(struct arena *a);

#endif
