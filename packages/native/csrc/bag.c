/* bag.c: see bag.h. */
#include "bag.h"

enum { FIRST = 0, LAST = 1 };                            /* of a bag */
enum { NEXT = 0, BEFORE = 1, BAG = 2, COUNT = 3, ITEMS = 4 };   /* of an entry */

static bool entry_step(struct arena *a, aoff payload)
{
    sh64 *w = arena_ptr(a, payload);
    return ref_drop_last(a, &w[COUNT], &w[ITEMS]);
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
    if (!entry) return arena_abandon(a);
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
    ref_hold_all(a, &w[COUNT], &w[ITEMS], items, n);
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
