/* memlimit.h: whether the control group that this process runs in has room for more pages.
 *
 * Past a cgroup's memory.max the kernel kills instead of refusing, so a large allocation asks first.  A guess by its nature:
 * others may take the room in between; then it is a death with its evidence.
 */
#ifndef PROCESSION_MEMLIMIT_H
#define PROCESSION_MEMLIMIT_H

#include <stdbool.h>
#include <stdint.h>

#define LIMITS_ASK_FROM ((uint64_t)1 << 20)         /* smaller allocations do not ask */

bool limits_allow(uint64_t bytes);

/* The files that are looked at: the groups of this process, and where the groups' folders are, of version 2 and 1. */
struct limits_files { const char *own_groups, *v2, *v1; };

/* Whether there is room for so many bytes; *limited: any of the groups has a limit. */
bool limits_room(const struct limits_files *files, uint64_t bytes, bool *limited);

#endif
