/* bag.c: see bag.h. */
#include "bag.h"

enum { FIRST = 0, LAST = 1 };                            /* of a bag */
enum { NEXT = 0, BEFORE = 1, BAG = 2, COUNT = 3, ITEMS = 4 };   /* of an entry */

static bool entry_step(struct arena *a, aoff payload)
{
    sh64 *w = arena_ptr(a, payload);
    uint64_t n = SH_PEEK(&w[COUNT]);
    if (n == 0) return true;
    aoff item = SH_PEEK(&w[ITEMS + n - 1]);
    txn_set(a, &w[COUNT], n - 1);
    ref_drop(a, item);
    return false;
}

bool bag_release_step(struct arena *a, aoff payload)
{
    sh64 *w = arena_ptr(a, payload);
    aoff first = SH_PEEK(&w[FIRST]);
    if (first == 0) return true;
    txn_set(a, &w[FIRST], SH_PEEK((sh64 *)arena_ptr(a, first) + NEXT));
    ref_drop(a, first);
    return false;
}

void bag_setup(void)
{
    ref_set_release(KIND_BAG, bag_release_step);
    ref_set_release(KIND_BAG_ENTRY, entry_step);
}

aoff bag_new(struct arena *a) { return ref_new(a, 16, KIND_BAG, true); }

aoff bag_put(struct arena *a, aoff bag, const aoff *items, uint32_t n, uint64_t *generation)
{
    bool clean = false;
    if (!arena_begin(a)) return 0;
    /* What may be refused memory, before the entry exists. */
    for (uint32_t i = 0; i < n; i++) (void)arena_ptr(a, items[i]);
    sh64 *b = arena_ptr(a, bag);
    aoff entry = heap_alloc(a, 8 * (ITEMS + (uint64_t)n), KIND_BAG_ENTRY, &clean);
    if (!entry) {
        arena_rollback(a);
        arena_end(a);
        return 0;
    }
    sh64 *w = arena_ptr(a, entry);
    aoff last = SH_PEEK(&b[LAST]);
    SH_INIT(&w[NEXT], 0);
    SH_INIT(&w[BEFORE], last);
    SH_INIT(&w[BAG], bag);
    SH_INIT(&w[COUNT], 0);
    ref_hold(a, entry);
    txn_set(a, last ? (sh64 *)arena_ptr(a, last) + NEXT : &b[FIRST], entry);
    txn_set(a, &b[LAST], entry);
    *generation = block_generation(a, entry);
    arena_commit(a);
    /* An item at a time: an entry of any length fits the log, and a death in between leaves a shorter one. */
    for (uint32_t i = 0; i < n; i++) {
        SH_INIT(&w[ITEMS + i], items[i]);
        ref_hold(a, items[i]);
        txn_set(a, &w[COUNT], i + 1);
        arena_commit(a);
    }
    arena_end(a);
    return entry;
}

bool bag_take(struct arena *a, aoff bag, aoff entry, uint64_t generation)
{
    bool found = false;
    if (!arena_begin(a)) return false;
    sh64 *b = arena_ptr(a, bag);
    /* The message may have been made up: nothing in it is believed before it has been looked at. */
    if (ref_is_live(a, entry, generation, KIND_BAG_ENTRY)) {
        sh64 *w = arena_ptr(a, entry);
        if (SH_PEEK(&w[BAG]) == bag) {
            aoff next = SH_PEEK(&w[NEXT]), before = SH_PEEK(&w[BEFORE]);
            txn_set(a, before ? (sh64 *)arena_ptr(a, before) + NEXT : &b[FIRST], next);
            txn_set(a, next ? (sh64 *)arena_ptr(a, next) + BEFORE : &b[LAST], before);
            ref_drop(a, entry);
            found = true;
        }
    }
    arena_end(a);
    return found;
}
