/* bag.c: see bag.h. */
#include "bag.h"

static bool entry_step(struct arena *a, aoff payload)
{
    sh64 *w = arena_ptr(a, payload);
    uint64_t n = SH_PEEK(&w[1]);
    if (n == 0) return true;
    aoff item = SH_PEEK(&w[n + 1]);
    txn_set(a, &w[1], n - 1);
    ref_drop(a, item);
    return false;
}

static bool bag_step(struct arena *a, aoff payload)
{
    sh64 *w = arena_ptr(a, payload);
    aoff first = SH_PEEK(&w[0]);
    if (first == 0) return true;
    txn_set(a, &w[0], SH_PEEK((sh64 *)arena_ptr(a, first)));
    ref_drop(a, first);
    return false;
}

void bag_setup(void)
{
    ref_set_release(KIND_BAG, bag_step);
    ref_set_release(KIND_BAG_ENTRY, entry_step);
}

aoff bag_new(struct arena *a) { return ref_new(a, 16, KIND_BAG, true); }

aoff bag_put(struct arena *a, aoff bag, const aoff *items, uint32_t n, uint64_t *generation)
{
    bool clean = false;
    arena_begin(a);
    aoff entry = heap_alloc(a, 16 + 8ull * n, KIND_BAG_ENTRY, &clean);
    sh64 *w = entry ? arena_ptr(a, entry) : NULL, *b = arena_ptr(a, bag);
    if (!w || !b) {
        arena_rollback(a);
        arena_end(a);
        return 0;
    }
    SH_INIT(&w[0], 0);
    SH_INIT(&w[1], 0);
    ref_hold(a, entry);
    aoff last = SH_PEEK(&b[0]) ? SH_PEEK(&b[1]) : 0;
    txn_set(a, last ? (sh64 *)arena_ptr(a, last) : &b[0], entry);
    txn_set(a, &b[1], entry);
    *generation = block_generation(a, entry);
    arena_commit(a);
    /* An item at a time: an entry of any length fits the log, and a death in between leaves a shorter one. */
    for (uint32_t i = 0; i < n; i++) {
        SH_INIT(&w[i + 2], items[i]);
        ref_hold(a, items[i]);
        txn_set(a, &w[1], i + 1);
        arena_commit(a);
    }
    arena_end(a);
    return entry;
}

bool bag_take(struct arena *a, aoff bag, aoff entry, uint64_t generation)
{
    bool found = false;
    arena_begin(a);
    sh64 *b = arena_ptr(a, bag);
    /* Messages are mostly taken in the order in which they were put. */
    for (aoff e = b ? SH_PEEK(&b[0]) : 0, before = 0; e; before = e, e = SH_PEEK((sh64 *)arena_ptr(a, e))) {
        if (e != entry || block_generation(a, e) != generation) continue;
        aoff next = SH_PEEK((sh64 *)arena_ptr(a, e));
        txn_set(a, before ? (sh64 *)arena_ptr(a, before) : &b[0], next);
        if (SH_PEEK(&b[1]) == e) txn_set(a, &b[1], before);
        ref_drop(a, e);
        found = true;
        break;
    }
    arena_end(a);
    return found;
}
