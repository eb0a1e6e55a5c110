/* shield.h: stretches of the main thread in which signals wait; shield.c */
#ifndef PROCESSION_SHIELD_H
#define PROCESSION_SHIELD_H

#include <stdbool.h>

#include "shared.h"

/* Python's C handler of signals, without which nothing is ever noted: whether it is wanted, and what it is. */
bool shield_wants_handler(void);
void shield_wraps(void (*handler)(int));

/* From here to the matching shield_off() a first SIGINT (SIGALRM, SIGTERM ...) is only noted.  Nests; nothing in other threads than the main
 * one, where no signal handler of Python runs. */
void shield_on(void);
/* Raises what was noted, once the outermost stretch is over. */
void shield_off(void);
/* Within a stretch: whether an interrupt is noted; *word is raised by one and woken when the next one comes (NULL: no
 * more). */
bool shield_noted(sh32 *word);
/* Within a stretch, where an interrupt does no harm: raises what was noted. */
void shield_deliver(void);
/* Whether this stretch is the outermost one. */
bool shield_is_first(void);

#endif
