/* registry.h: who is in the tree, who is alive.
 *
 * SLOT (256 bytes; REGISTRY_SLOTS of them from REGISTRY_OFFSET)
 *   0    8  state and generation: bits 0-7 state (enum slot_state), bits 16-31 generation (1..65535; 0 never used)
 *   8    8  pid
 *   16   8  owner word (slot, generation) of the parent when the slot was made
 *   24   8  when the process was registered, CLOCK_BOOTTIME ns
 *   32   8  head of its ledger (refs.h)
 *   40   8  what it waits for (payload offset, 0: nothing)    48 8  since when (CLOCK_MONOTONIC ns)
 *   56   8  exit status as waitpid gives it, plus bit 32 when known; cleared when the slot is given out
 *   64   4  bell: a futex word for the process's bell thread (queue.h)
 *   72   8  name's length, 80.. 72 bytes of name (UTF-8)
 *   160  .. 8 previous generation's pid, 8 its exit status, 8 its time of death: told by OwnerDiedError
 *   192  8 generation of the process that has ended its use of tracked names (names.h), 0: none
 *   200  8 1: made for a fork that is over in the parent
 *
 * LIVENESS, by two witnesses.  (1) Each process holds a POSIX record lock on byte `slot` of the lease file, a second
 * memfd that nobody else opens; the kernel drops it at death, before the parent can reap.  F_GETLK costs 0.7 µs.
 * (2) A free byte alone is not death: a program that closes all descriptors (daemons) loses its locks.  Then /proc is asked:
 * dead if no such pid, or it started later than the slot was registered, or all its threads are in state Z or X,
 * or it has no mapping of this arena any more (it has called exec).
 * A live process with a free byte takes its lock again when it next registers an operation (registry_refresh).
 * A STARTING slot (made by the parent before the fork or spawn) has no lock yet: once the parent has written the child's pid it
 * is judged by that; until then it is alive while its parent is, and for START_GRACE_NS from its making at least.  One made by
 * a fork whose child's pid nobody told (os.fork() in the program) is alive while the parent has a child that may still claim it.
 * A process that was forked ahead of its use has two slots with its pid while it moves from its own to the reserved one.
 * A child claims its slot by one exchange of the state, STARTING to LIVE, without the arena lock; whoever gives a slot back
 * exchanges the state that he judged by DEAD, so only one of the two succeeds.
 */
#ifndef PROCESSION_REGISTRY_H
#define PROCESSION_REGISTRY_H

#include "arena.h"

#define REGISTRY_SLOTS 16382u
#define START_GRACE_NS 10000000000ull
#define CLAIM_TIME_NS 200000000ull           /* a forked child usually claims its slot within a millisecond */
enum slot_state { SLOT_FREE = 0, SLOT_STARTING = 1, SLOT_LIVE = 2, SLOT_DEAD = 3 /* references being given back */ };

struct slot {
    sh64 state; sh64 pid; sh64 parent; sh64 registered_ns; sh64 ledger; sh64 waits_for; sh64 waits_since; sh64 exit_status;
    sh32 bell; sh32 bell_pad; sh64 name_length; sh64 name[9]; sh64 pad0;
    sh64 last_pid; sh64 last_exit; sh64 last_death_ns; sh64 last_generation; sh64 names_left; sh64 forked; sh64 pad1[6];
};
_Static_assert(sizeof(struct slot) == 256, "slot");

struct slot *slot_at(struct arena *a, uint32_t index);
static inline enum slot_state slot_state(uint64_t word) { return (enum slot_state)(word & 0xff); }
static inline uint32_t slot_generation(uint64_t word) { return (uint32_t)(word >> 16 & 0xffff); }
#define SLOT_NAME_MAX 72u
size_t slot_name(struct slot *s, char name[SLOT_NAME_MAX]);                /* copies the name, which no NUL ends; its length */

int  registry_join(struct arena *a, const char *name);                     /* a slot of our own */
int  registry_reserve(struct arena *a, const char *name, uint32_t *slot, uint32_t *generation); /* for a child to come */
int  registry_take(struct arena *a, uint32_t slot, uint32_t generation);   /* we are that child; AR_GONE if it was given up */
int  registry_move(struct arena *a, uint32_t slot, uint32_t generation);   /* we were forked ahead and are that child now: our references and those
                                                                              that wait in the slot are ours; AR_GONE, AR_NOMEM: all is as before */
void registry_started(struct arena *a, uint32_t slot, uint32_t generation, uint32_t pid);  /* the reserved slot's child runs, not attached yet */
bool registry_forked(struct arena *a, uint32_t pid);                       /* that is the child of this thread's last fork; false: it is severed (arena.h) */
void registry_cancel(struct arena *a, uint32_t slot, uint32_t generation);
void registry_leave(struct arena *a);                                      /* orderly exit: our references are given back */
void registry_set_name(struct arena *a, const char *name);
bool registry_alive(struct arena *a, uint32_t slot, uint32_t generation16);
bool registry_reap(struct arena *a, uint32_t slot, uint32_t generation16);   /* if dead: give everything back, free the slot; true if it was dead */
uint32_t registry_stopped(struct arena *a, uint32_t owner);                 /* pid of the process that an owner word names if it is stopped, else 0 */
int  registry_sweep(struct arena *a);                                      /* reap all dead ones; how many */
bool registry_alone(struct arena *a, aoff payload);                        /* whether no other process alive, and no message, holds the block */
void registry_note_exit(struct arena *a, uint32_t pid, int status);        /* the parent has waited for it */
int  registry_find_pid(struct arena *a, uint32_t pid);                     /* slot or -1 */

/* pthread_atfork handlers for process_arena: every fork, also one that Python does not see, makes a registered child. */
void registry_watch_forks(void);
void registry_fork_uses(uint32_t slot, uint32_t generation);               /* the next fork of this thread becomes that slot */

#endif
