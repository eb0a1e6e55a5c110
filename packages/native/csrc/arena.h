/* arena.h: the one shared-memory file of a process tree, its lock, its transactions.
 *
 * FORMAT (all integers little-endian words of the machine; the file never leaves it)
 *
 *   offset      bytes   what
 *   0           8       magic "PRCSARN1"; written last by the creator
 *   8           4       layout version (ARENA_LAYOUT)
 *   12          4       size of arena_header
 *   16          8       arena id: random, never 0; part of every handle
 *   24          8       bytes the file has been grown to (multiple of 4096)
 *   32          8       limit in bytes on the file's size
 *   ...                 arena lock, counters, transaction log, heap bins, window table: struct arena_header
 *   64 KiB      4 MiB   the registry: REGISTRY_SLOTS slots of 256 bytes (registry.h)
 *   4.25 MiB    ...     the heap (heap.h)
 *
 * The file is cut into windows of WINDOW_SIZE bytes, mapped by each process when it first needs one and
 * never unmapped, so a pointer into a heap window stays valid for the life of the process.  Not one big
 * reservation: it would count against RLIMIT_AS, and a program that limits its children's memory would break.
 * A block larger than HUGE_SIZE has whole windows of its own and is mapped by exactly those who use it.
 *
 * VALIDITY.  A file is an arena if and only if magic, layout version and header size are this build's and it is as
 * long as it says.
 *
 * THE ARENA LOCK guards the heap, the registry, all ledgers and all reference counts.  Its word names the
 * owner (slot and generation), see word.h.  Lock order: a queue's locks, then the arena lock; nothing is
 * taken inside the arena lock.
 *
 * TRANSACTIONS.  Under the arena lock every store goes through the log, so that a death at any instruction
 * leaves either the whole change or none of it:
 *   txn_set(a, p, v)      saves the old value in the log, then stores: undone if the transaction dies
 *   txn_publish(a, p, v)  kept aside and stored at the commit: for words that are read without the lock
 *                         (they must never show a value that is undone later)
 *   arena_commit(a)       one store of the log's state word decides: COMMITTED; then the published stores,
 *                         which the next owner repeats if we die in between (they are absolute: idempotent)
 *   The log's state word: bit 0 committed, bits 8..31 number of undo entries, bits 32..55 number of publish entries;
 *   0 is an empty log.  An entry is valid if and only if its index is below the count.
 *   Undo entries grow from the front of the log, publish entries from its end.
 * The next one to lock after an owner's death calls txn_repair(): not committed → undo in reverse order; committed → redo.
 *
 * MEMORY REFUSED.  A window that is not mapped yet may be refused at any step of a transaction (RLIMIT_AS, the kernel's
 * limit of mappings).  arena_ptr() then never returns: the transaction is rolled back, the lock given up, and
 * arena_begin() returns a second time, with false.  Rolling back needs no new window: who stored into one has it mapped.
 * Who takes the lock from a dead owner and cannot map what the log names gives it up with the log as it is: whoever locks
 * next finds a log that is not empty, and tries in turn.
 *
 * STOPPED OWNERS.  A process that is stopped (SIGSTOP, a debugger) while it holds the arena lock is alive, and nobody may
 * take what it changes.  Who waits for it longer than ARENA_PATIENCE_NS gives up as if memory were refused, and
 * arena_stopped_owner() names it: TimeoutError in Python, where Ctrl-C gets its turn too.  An owner that is only slow is
 * waited for.
 *
 * SEVERED.  A forked child for which there was no slot, or no memory for copies of its parent's references, has no part
 * in the arena: its windows become private copies, so that nothing it does reaches others, and `self` stays 0, which
 * no lock word can carry: every operation that would wait, take or give fails with AR_GONE, or its Python error.
 *
 * Inside a process the arena lock is preceded by a private mutex, which is also held across fork(): the private tables
 * of a forked child are never half changed, and other processes need not wait for a slow fork.
 */
#ifndef PROCESSION_ARENA_H
#define PROCESSION_ARENA_H

#include "identity.h"
#include "os.h"
#include "shared.h"
#include <pthread.h>
#include <setjmp.h>

#define ARENA_MAGIC 0x314e524153435250ull          /* "PRCSARN1" */
#define ARENA_LAYOUT 1u
#define PAGE ((uint64_t)4096)
#define WINDOW_BITS 26
#define WINDOW_SIZE ((uint64_t)1 << WINDOW_BITS)
#define MAX_WINDOWS 32768u                          /* 2 TiB */
#define REGISTRY_OFFSET ((aoff)1 << 18)             /* the header has 256 KiB: it is mostly the sparse window table */
#define HEAP_OFFSET (REGISTRY_OFFSET + ((aoff)4 << 20))
#define LOG_ENTRIES 512
#define HEAP_BINS 96
#define HEAP_CLASSES 24

/* Results of calls that may fail; 0 is success. */
enum {
    AR_OK = 0, AR_TIMEOUT = -1, AR_INTR = -2, AR_OWNER_DIED = -3, AR_NOMEM = -4, AR_STALE = -5,
    AR_FOREIGN = -6, AR_BROKEN = -7, AR_NOT_OWNER = -8, AR_OVERFLOW = -9, AR_FULL = -10, AR_EMPTY = -11,
    AR_SHUTDOWN = -12, AR_LAYOUT = -13, AR_SYS = -14 /* see errno */, AR_PEER_DIED = -15, AR_KIND = -16, AR_GONE = -17
};

struct txn_entry { sh64 where; sh64 value; };       /* where: arena offset of the word (all logged words are sh64) */

struct arena_header {
    sh64 magic; sh32 layout; sh32 header_size; sh64 id; sh64 file_size; sh64 limit;
    sh64 next_generation;                           /* for blocks; never repeats, so a stale handle is always seen */
    sh64 used_bytes; sh64 peak_bytes;               /* of allocated blocks */
    sh64 dirty_free_bytes;                          /* free memory that still has pages */
    sh64 zombies;                                   /* list of blocks whose count fell to 0 and whose contents wait to be released */
    sh64 names;                                     /* tracked names of segments, see names.h */
    sh64 pad0[5];
    sh32 lock; sh32 lock_pad; sh64 lock_line[7];    /* the arena lock, a cache line of its own */
    sh64 log_state; sh64 log_line[7];
    struct txn_entry log[LOG_ENTRIES];
    sh64 class_free[HEAP_CLASSES];                  /* free cells of each class */
    sh64 class_bump[HEAP_CLASSES];                  /* next never-used cell of the newest slab */
    sh64 class_end[HEAP_CLASSES];                   /* where that slab ends */
    sh64 bins[HEAP_BINS];                           /* free runs by size */
    sh64 registry_hint;                             /* next slot to try */
    sh64 registry_high;                             /* slots below this have been used */
    sh64 windows_used;
    sh64 window[MAX_WINDOWS / 8];                   /* a byte a window: see heap.h */
};
_Static_assert(sizeof(struct arena_header) <= REGISTRY_OFFSET, "the header ends before the registry");

/* This process's view.  One per process (tests may make several). */
struct refmap;
struct arena {
    int fd, lease_fd;
    uint64_t id;
    struct arena_header *h;                         /* window 0 */
    char *_Atomic *window;                          /* MAX_WINDOWS pointers, NULL: not mapped here */
    uint32_t self;                                  /* our slot and generation, as in lock words; 0: not registered */
    uint32_t self_slot; uint32_t self_generation;
    uint32_t pid;
    struct identity file, lease;                    /* what fd and lease_fd stood for */
    _Atomic(_Atomic uint64_t *) mapped;             /* which of its pages this process has mapped: fill.h */
    struct refmap *refs;                            /* our references, guarded by the private mutex */
    pthread_mutex_t private_mutex;                  /* taken before the arena lock */
    pthread_mutex_t map_mutex;                      /* guards window[] */
    jmp_buf escape;                                 /* where arena_begin() stands, for a transaction that is refused memory */
    _Atomic(pthread_t) in_transaction;              /* the thread that has it open; 0: none */
    bool unclosed;                                  /* references that could not be given back for want of memory */
    bool severed;                                   /* see SEVERED */
    char overcommit;                                /* vm.overcommit_memory: '2': pages must be reserved */
    uint64_t unasked;                               /* bytes of new pages since limits were asked, see memlimit.h */
    uint32_t spin_limit;                            /* adaptive, see word.c */
    uint64_t repairs;                               /* how often we repaired something after a death */
};

/* The process's arena, NULL before the first shared object. */
extern struct arena *process_arena;

int  arena_create(struct arena *a, uint64_t limit);        /* AR_OK, AR_SYS, AR_NOMEM; registers us in a slot */
int  arena_attach(struct arena *a, int fd, int lease_fd);  /* AR_LAYOUT if another version made it; does not register */
void arena_unmap(struct arena *a);                         /* undoes arena_attach(), but leaves the descriptors open */
void arena_detach(struct arena *a);                        /* for tests: gives everything back */
int  arena_ensure(void);                                   /* process_arena exists afterwards */
static inline bool arena_fd_is_ours(struct arena *a) { return identity_is(a->fd, a->file); }
static inline bool arena_lease_is_ours(struct arena *a) { return identity_is(a->lease_fd, a->lease); }

/* Pointer to arena memory.  off must be an offset that the heap gave out; maps the window if needed.  If the mapping is
 * refused (RLIMIT_AS): ends the transaction of this thread as told above; outside of one: NULL.  Not for huge blocks: see
 * heap.h block_map. */
void arena_refused(struct arena *a);
char *arena_map_window(struct arena *a, uint32_t index);
void *arena_map(struct arena *a, uint32_t index, uint64_t count);   /* a new mapping of windows; NULL: refused */
static inline void *arena_ptr(struct arena *a, aoff off)
{
    char *base = atomic_load_explicit(&a->window[off >> WINDOW_BITS], memory_order_acquire);
    if (__builtin_expect(base == NULL, 0)) {
        base = arena_map_window(a, (uint32_t)(off >> WINDOW_BITS));
        if (base == NULL) {
            arena_refused(a);
            return NULL;
        }
    }
    return base + (off & (WINDOW_SIZE - 1));
}
aoff arena_off(struct arena *a, const void *p);            /* inverse, for pointers into mapped windows; slow */

/* Lock, open a transaction; commit or roll back, unlock.  Never touch Python or block in between.
 * Works between threads too.  A dead owner is repaired.  arena_begin() is false, and nothing is locked, where the repair or
 * something in the transaction was refused memory: it stands in an `if` whose other branch returns at once, and nothing
 * that the branch reads may be changed within the transaction. */
#define arena_begin(a) (arena_lock(a) && (setjmp((a)->escape) == 0 || arena_abandon(a)))
bool arena_lock(struct arena *a);
#define ARENA_PATIENCE_NS 1000000000ull
int arena_wait_for(struct arena *a, sh32 *lock);           /* any lock of this kind: AR_OK, AR_OWNER_DIED (held now); AR_TIMEOUT: the owner is stopped */
uint32_t arena_stopped_owner(void);                        /* pid of the stopped owner for which this thread's last arena_begin() failed; 0 */
bool arena_abandon(struct arena *a);                       /* rolls back and unlocks; false */
void arena_commit(struct arena *a);                        /* commits and stays locked, log empty: a new transaction is open */
void arena_rollback(struct arena *a);                      /* undoes everything since the last commit, stays locked */
void arena_end(struct arena *a);                           /* commits and unlocks */
void txn_set(struct arena *a, sh64 *p, uint64_t v);
void txn_publish(struct arena *a, sh64 *p, uint64_t v);    /* also usable for words outside the arena lock's rule */
bool txn_repair(struct arena *a);                          /* false: memory is refused, the log stays as it is */
void arena_end_before_fork(struct arena *a);               /* as arena_end, but the private mutex stays locked */
void arena_sever(struct arena *a);

#endif
