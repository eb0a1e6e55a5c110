/* shared.h: how this program writes memory that other processes read.
 *
 * Every field that lives in the arena has one of two opaque types, sh32 or sh64.  They can be
 * written only by the macros below, so that every store is a numbered fault point in the build
 * for tests (-DPROCESSION_FAULTS): tests/faults kills a process at the k-th store for every k and
 * lets the survivors find out whether the structure is still valid.
 *
 * Memory orders.  A process that is killed has executed a prefix of its program, so for crash
 * consistency the compiler's order is enough; live readers on other CPUs need release/acquire.
 *   SH_SET    release store     pairs with SH_GET (acquire load) of the same field
 *   SH_CAS    acq_rel exchange  pairs with SH_GET and SH_CAS
 *   SH_FENCE  seq_cst fence     store-then-load handshakes (commit word against waiter flag)
 *   SH_PEEK   relaxed load      where the caller holds the lock that guards the field, or only guesses
 */
#ifndef PROCESSION_SHARED_H
#define PROCESSION_SHARED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct { _Atomic uint32_t opaque; } sh32;
typedef struct { _Atomic uint64_t opaque; } sh64;

_Static_assert(sizeof(sh32) == 4 && sizeof(sh64) == 8, "shared words have no padding");

typedef uint64_t aoff;              /* offset in the arena; 0 is "none" */

#ifdef PROCESSION_FAULTS
/* Counts down and kills the process with SIGKILL at zero; counts passages of named branches. */
void fault_point(void);
void fault_branch(const char *name);
/* Whether this test wants a mapping to be refused. */
bool fault_refused(void);
bool fault_no_slot(void);
/* How long a sleeper sleeps before it looks for a death: for ever, if this test says so, since no wake-up may need that look. */
uint64_t fault_slice(uint64_t ns);
#define FAULT_SLICE(ns) fault_slice(ns)
#define FAULT_REFUSED() fault_refused()
#define FAULT_NO_SLOT() fault_no_slot()
#define FAULT_POINT() fault_point()
#define FAULT_BRANCH(name) fault_branch(name)
#else
#define FAULT_POINT() ((void)0)
#define FAULT_SLICE(ns) (ns)
#define FAULT_REFUSED() false
#define FAULT_NO_SLOT() false
#define FAULT_BRANCH(name) ((void)0)
#endif

#define SH_GET(p)  atomic_load_explicit(&(p)->opaque, memory_order_acquire)
#define SH_PEEK(p) atomic_load_explicit(&(p)->opaque, memory_order_relaxed)
#define SH_SET(p, v) \
    do { FAULT_POINT(); atomic_store_explicit(&(p)->opaque, (v), memory_order_release); FAULT_POINT(); } while (0)
/* For fields of a block that nobody else can reach yet: no fault point, since a death there frees the block. */
#define SH_INIT(p, v) atomic_store_explicit(&(p)->opaque, (v), memory_order_relaxed)
#define SH_FENCE() atomic_thread_fence(memory_order_seq_cst)

static inline bool sh_cas32(sh32 *p, uint32_t *expected, uint32_t desired)
{
    return atomic_compare_exchange_strong_explicit(&p->opaque, expected, desired,
                                                   memory_order_acq_rel, memory_order_acquire);
}
static inline bool sh_cas64(sh64 *p, uint64_t *expected, uint64_t desired)
{
    return atomic_compare_exchange_strong_explicit(&p->opaque, expected, desired,
                                                   memory_order_acq_rel, memory_order_acquire);
}
#ifdef PROCESSION_FAULTS
static inline bool sh_cas32_fault(sh32 *p, uint32_t *e, uint32_t d)
{
    FAULT_POINT(); bool done = sh_cas32(p, e, d); if (done) FAULT_POINT(); return done;
}
static inline bool sh_cas64_fault(sh64 *p, uint64_t *e, uint64_t d)
{
    FAULT_POINT(); bool done = sh_cas64(p, e, d); if (done) FAULT_POINT(); return done;
}
#define SH_CAS32 sh_cas32_fault
#define SH_CAS64 sh_cas64_fault
#else
#define SH_CAS32 sh_cas32
#define SH_CAS64 sh_cas64
#endif

/* Read-modify-write; each is one instruction on the platforms that matter, so it cannot be half done. */
#define SH_ADD(p, v) atomic_fetch_add_explicit(&(p)->opaque, (v), memory_order_acq_rel)
#define SH_OR(p, v)  atomic_fetch_or_explicit(&(p)->opaque, (v), memory_order_acq_rel)
#define SH_AND(p, v) atomic_fetch_and_explicit(&(p)->opaque, (v), memory_order_acq_rel)
#define SH_SWAP(p, v) atomic_exchange_explicit(&(p)->opaque, (v), memory_order_acq_rel)

#endif
