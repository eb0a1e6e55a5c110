/* sync_event.c: a flag to wait for.  Format: sync.h. */
#define _GNU_SOURCE
#include "sync.h"

#include <limits.h>

aoff sync_event_new(struct arena *a) { return ref_new(a, sizeof(struct sync_event), KIND_EVENT, true); }

/* One exchange and one wake-up call, nothing that a handler of a signal could find half done. */
void sync_event_set(struct sync_event *e)
{
    uint32_t w = SH_GET(&e->word);
    do {
        if (w & 1) return;
    } while (!SH_CAS32(&e->word, &w, ((w | 3) ^ 2) + 4));
    /* Killed here: the sleepers find the flag set at the end of their slices. */
    if (w & 2) futex_wake(&e->word, INT_MAX);
}

void sync_event_clear(struct sync_event *e)
{
    FAULT_POINT();
    SH_AND(&e->word, ~1u);
    FAULT_POINT();
}

int sync_event_wait(struct arena *a, struct sync_event *e, aoff payload, uint32_t first_seen, uint64_t deadline)
{
    uint32_t w = SH_GET(&e->word);
    if ((w & 1) || w >> 2 != first_seen >> 2) return AR_OK;
    if (deadline == 0) return AR_TIMEOUT;
    spin_while_equal(a, &e->word, w);
    int r = AR_OK;
    bool told = false;
    for (;;) {
        w = SH_GET(&e->word);
        /* Set and cleared again while we slept is set, for us. */
        if ((w & 1) || w >> 2 != first_seen >> 2) break;
        if (r == AR_TIMEOUT || r == AR_INTR) {
            if (told) sync_waited(a, r);
            return r;
        }
        if (!(w & 2)) {
            if (!SH_CAS32(&e->word, &w, w | 2)) continue;
            w |= 2;
        }
        if (!told) sync_waits(a, payload);
        told = true;
        r = futex_wait_slice(&e->word, w, deadline, WAIT_SLICE_NS);
        if (r == WAIT_SLICED) r = AR_INTR;
    }
    if (told) sync_waited(a, AR_OK);
    return AR_OK;
}
