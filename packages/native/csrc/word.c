/* word.c: futexes, spinning, owned lock words.  Format and rules: word.h. */
#define _GNU_SOURCE
#include "word.h"
#include "cpu.h"
#include "registry.h"

#include <errno.h>
#include <sched.h>

int futex_wait_slice(sh32 *p, uint32_t expected, uint64_t deadline, uint64_t slice_ns)
{
    slice_ns = FAULT_SLICE(slice_ns);
    if (deadline == WAIT_FOREVER && slice_ns < (uint64_t)1000000000) {
        /* The usual case needs no clock: a relative time, which a signal ends as well. */
        int r = os_wait(p, expected, slice_ns);
        return r == EINTR ? AR_INTR : r == ETIMEDOUT ? WAIT_SLICED : AR_OK;
    }
    uint64_t now = clock_ns();
    if (deadline <= now) return SH_GET(p) == expected ? AR_TIMEOUT : AR_OK;
    bool sliced = slice_ns < deadline - now;
    int r = os_wait_until(p, expected, sliced ? now + slice_ns : deadline);
    if (r == 0) return AR_OK;
    if (r == EINTR) return AR_INTR;
    return sliced ? WAIT_SLICED : AR_TIMEOUT;
}

int futex_wake(sh32 *p, int n)
{
    FAULT_POINT();
    return os_wake(p, n);
}

#define SPIN_MAX 2000u
#define SPIN_MIN 16u
#define AFFINITY_CHECK 64u
#define YIELD_CREDIT 8
#define YIELD_RETRY 64u

/* On one CPU the other side can only run when we do not.  Giving way costs half of sleeping and being woken, if it
 * is the other side that runs then; where it is somebody else, the credit is used up and left alone for a while. */
static bool yield_while_equal(sh32 *p, uint32_t expected)
{
    static _Thread_local int credit = YIELD_CREDIT;
    static _Thread_local uint32_t refused;
    if (credit <= 0) {
        if (++refused % YIELD_RETRY) return false;
        credit = 1;
    }
    sched_yield();
    if (SH_GET(p) != expected) {
        if (credit < YIELD_CREDIT) credit++;
        return true;
    }
    credit--;
    return false;
}

bool spin_while_equal(struct arena *a, sh32 *p, uint32_t expected)
{
    static _Thread_local uint32_t calls;
    static _Thread_local bool alone;
    if (calls++ % AFFINITY_CHECK == 0) alone = cpus_usable() < 2;
    if (alone) return yield_while_equal(p, expected);
    /* A guess shared by the threads of a process: relaxed, and a lost update does not matter. */
    uint32_t limit = __atomic_load_n(&a->spin_limit, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < limit; i++) {
        if (SH_PEEK(p) != expected) {
            uint32_t more = limit + limit / 8 + 1;
            __atomic_store_n(&a->spin_limit, more > SPIN_MAX ? SPIN_MAX : more, __ATOMIC_RELAXED);
            return true;
        }
        cpu_relax();
    }
    uint32_t less = limit - limit / 8;
    __atomic_store_n(&a->spin_limit, less < SPIN_MIN ? SPIN_MIN : less, __ATOMIC_RELAXED);
    return false;
}

#define PENALTY_MAX 1024u
#define UNTIMED 8u
#define PAUSES 32

bool patience_spin(struct patience *p, sh32 *word, uint32_t expected)
{
    if (p->calls++ % AFFINITY_CHECK == 0) p->alone = cpus_usable() < 2;
    if (p->alone) return yield_while_equal(word, expected);
    if (p->rest % UNTIMED) {
        /* Looking at the clock twice costs a fiftieth of the wait: few waits stand for all. */
        p->rest--;
        return false;
    }
    p->begun = clock_ns();
    if (p->rest) {
        p->slept = true;
        return false;
    }
    for (;;) {
        for (int i = 0; i < PAUSES; i++) {
            if (SH_GET(word) != expected) {
                p->penalty /= 2;
                return true;
            }
            cpu_relax();
        }
        if (clock_ns() - p->begun > PATIENCE_NS) break;
        /* No sched_yield(): it gives the CPU to whoever wants it, for a time slice, where sleeping gives it back at once. */
    }
    p->penalty = p->penalty < PENALTY_MAX ? p->penalty * 2 + 1 : PENALTY_MAX;
    p->rest = p->penalty;
    return false;
}

void patience_end(struct patience *p)
{
    if (!p->slept) return;
    p->slept = false;
    if (p->rest && clock_ns() - p->begun < PATIENCE_NS) p->rest--;
}

void spin_reset_after_fork(struct arena *a) { a->spin_limit = 256; }

bool owner_is_dead(struct arena *a, uint32_t word)
{
    if ((word & OWNER_BITS) == a->self) return false;
    return !registry_alive(a, owner_slot(word), owner_generation16(word));
}

static int take_from_the_dead(struct arena *a, sh32 *word, uint32_t seen)
{
    /* The flag stays set: others may sleep on the word. */
    if (!SH_CAS32(word, &seen, a->self | 1)) return AR_TIMEOUT;
    FAULT_BRANCH("olock: taken over from a dead owner");
    __atomic_fetch_add(&a->repairs, 1, __ATOMIC_RELAXED);
    return AR_OWNER_DIED;
}

int olock_try(struct arena *a, sh32 *word)
{
    if (olock_fast(a, word)) return AR_OK;
    if (!a->self) return AR_GONE;
    for (;;) {
        uint32_t seen = SH_GET(word);
        if (seen == 0) {
            if (olock_fast(a, word)) return AR_OK;
            continue;
        }
        if (!owner_is_dead(a, seen)) return AR_TIMEOUT;
        if (take_from_the_dead(a, word, seen) == AR_OWNER_DIED) return AR_OWNER_DIED;
    }
}

int olock_acquire(struct arena *a, sh32 *word, uint64_t deadline)
{
    if (olock_fast(a, word)) return AR_OK;
    if (!a->self || deadline == 0) return olock_try(a, word);
    uint32_t flag = 0;
    uint64_t slice = WAIT_SLICE_FIRST_NS;
    uint32_t seen = SH_GET(word);
    if (seen != 0) spin_while_equal(a, word, seen);
    for (;;) {
        seen = SH_GET(word);
        if (seen == 0) {
            if (SH_CAS32(word, &seen, a->self | flag)) return AR_OK;
            continue;
        }
        if (!(seen & 1)) {
            if (!SH_CAS32(word, &seen, seen | 1)) continue;
            seen |= 1;
        }
        int r = futex_wait_slice(word, seen, deadline, slice);
        /* Whoever has slept takes the lock with the flag set: others may sleep too, and only the flag's owner knows. */
        flag = 1;
        if (SH_PEEK(word) == seen && owner_is_dead(a, seen) && take_from_the_dead(a, word, seen) == AR_OWNER_DIED)
            return AR_OWNER_DIED;
        if (r == AR_INTR || (r == WAIT_SLICED && slice == WAIT_SLICE_NS)) return AR_INTR;
        if (r == AR_TIMEOUT) return olock_try(a, word);
        slice = WAIT_SLICE_NS;
    }
}

void olock_release(struct arena *a, sh32 *word)
{
    (void)a;
    FAULT_POINT();
    uint32_t old = SH_SWAP(word, 0);
    FAULT_POINT();
    /* Killed here: the sleeper wakes by itself at the end of its slice. */
    if (old & 1) futex_wake(word, 1);
}
