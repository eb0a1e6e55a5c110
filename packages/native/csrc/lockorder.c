/* lockorder.c: see lockorder.h. */
#include "lockorder.h"

#ifdef PROCESSION_DEBUG
#include <stdio.h>
#include <stdlib.h>

static const char *const names[] = { "put lock", "get lock", "barrier's lock", "arena lock" };
static _Thread_local unsigned held;              /* bit r: this thread holds a lock of rank r */

void rank_enter(enum lock_rank rank)
{
    if (held >> rank) {
        for (int r = 3; r >= (int)rank; r--)
            if (held >> r & 1) fprintf(stderr, "procession: lock order: the %s is taken while the %s is held\n", names[rank], names[r]);
        abort();
    }
    held |= 1u << rank;
}

void rank_leave(enum lock_rank rank)
{
    if (!(held >> rank & 1)) {
        fprintf(stderr, "procession: lock order: the %s is given up by a thread that does not hold it\n", names[rank]);
        abort();
    }
    held &= ~(1u << rank);
}
#endif
