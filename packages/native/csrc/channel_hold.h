/* channel_hold.h: a forked worker that sleeps until it is needed; channel_hold.c */
#ifndef PROCESSION_CHANNEL_HOLD_H
#define PROCESSION_CHANNEL_HOLD_H

#include <sys/types.h>

#include "channel.h"

struct held_fork {
    struct channel *channel;   /* what it waits for */
    char stop;                 /* first byte of the message that lets it end */
    char name[64];
    int life_read, life_write; /* the pipe by which daemonic children notice the end of this process; -1: there is none */
    pid_t parent;
};

/* The child of this thread's next fork sleeps within fork() until its channel holds a record; it ends there if that is
 * the message `stop`, or with its parent.  NULL: no, after all. */
void channel_hold_fork(const struct held_fork *held);
/* In a worker that was held back, once it can handle them: raises the signals that came meanwhile. */
void channel_raise_noted(void);

#endif
