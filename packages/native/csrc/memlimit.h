/* memlimit.h: how much memory the limits around this process leave.
 *
 * Past a control group's limit (memory.max; memory.limit_in_bytes in version 1) the kernel kills instead of refusing, so who
 * takes new pages asks first.  A guess by its nature: others may take the room in between; then it is a death with its
 * evidence.  Where the kernel refuses programs more than the machine has (vm.overcommit_memory=0), so do we.
 */
#ifndef PROCESSION_MEMLIMIT_H
#define PROCESSION_MEMLIMIT_H

#include <stdbool.h>
#include <stdint.h>

#define LIMITS_ASK_FROM ((uint64_t)1 << 20)         /* so much is taken between two questions */
#define LIMITS_MARGIN (4 * LIMITS_ASK_FROM)         /* what is taken until the next one, page tables, a program to handle the error */
#define NO_LIMIT UINT64_MAX

/* Bytes that may still be taken.  Reads the groups' files; where they set no limit, not again for a second. */
uint64_t limits_left(void);
uint64_t limits_left_lately(void);                  /* the same, up to 100 ms old */

/* The files that are looked at: the groups of this process, and where the groups' folders are, of version 2 and 1. */
struct limits_files { const char *own_groups, *v2, *v1; };
uint64_t limits_room(const struct limits_files *files);

char limits_overcommit(void);                       /* the first letter of vm.overcommit_memory; 0: not known */
/* Whether nobody could ever have so many bytes in that mode. */
bool limits_absurd(char mode, uint64_t bytes);

#endif
