/* os.h: what the core asks of the system that POSIX does not have.
 *
 * os_linux.c and os_darwin.c answer, each for its own system; nothing else in the core names a system.  Where a system
 * has no answer, the comment here says what the caller gets instead.  os_linux.h and os_darwin.h hold what must be
 * expanded in place: constants, and what an uncontended lock does.
 *
 * os_darwin.c is compiled by tools/cross.py and has never run.
 */
#ifndef PROCESSION_OS_H
#define PROCESSION_OS_H

#include "shared.h"

#include <poll.h>
#include <sys/types.h>

#ifdef __APPLE__
#include "os_darwin.h"
#else
#include "os_linux.h"
#endif

/* -- clocks, in nanoseconds -- */
uint64_t clock_ns(void);                            /* that of Python's time.monotonic() and of all deadlines */
uint64_t clock_coarse_ns(void);                     /* the same in steps of milliseconds, 4 ns a call */
uint64_t clock_boot_ns(void);                       /* that of os_process() */

/* -- sleeping on words in memory that processes share -- */
#define OS_FOREVER UINT64_MAX
/* While *p == expected.  0: woken, *p is another value, or for no reason; EINTR: a signal was handled; ETIMEDOUT. */
int os_wait(sh32 *p, uint32_t expected, uint64_t ns);
int os_wait_until(sh32 *p, uint32_t expected, uint64_t until);      /* of clock_ns(): signals and retries do not lengthen it */
/* How many of up to n sleepers were woken; of several perhaps only that there were some.  More than n may be. */
int os_wake(sh32 *p, int n);
/* Moves one sleeper to the other word, or wakes it where it cannot be moved; 0: nobody sleeps. */
int os_requeue(sh32 *from, sh32 *to);

/* -- memory files: in no folder, gone with the last descriptor and mapping, record locks work on them -- */
int os_memory_file(const char *name);               /* empty, close-on-exec; -1: errno.  The name is for those who look at /proc */
void os_forbid_shrinking(int fd);                   /* a wish */
bool os_reserve(int fd, uint64_t from, uint64_t size);              /* under strict overcommit; false: there is no memory */
void os_punch(int fd, uint64_t from, uint64_t size);                /* gives whole pages back; a wish */
/* Copies whole pages to mapped pages of a memory file that nobody has touched and nobody else touches meanwhile, several
 * processes at a time.  The bytes copied: all, fewer where pages exist, 0 where it cannot be had, -1: there is no memory. */
int64_t os_copy_into_new_pages(void *to, const void *from, uint64_t size);
void os_before_fork(void);                          /* these three around every fork, for what a child must not inherit */
void os_after_fork_parent(void);
void os_after_fork_child(void);
/* Maps the file again, from what is mapped at start, for a process that has lost the descriptor; MAP_FAILED. */
void *os_map_again(void *start, size_t size);
void os_leave_out_of_dumps(void *p, size_t size);   /* these three: wishes, of whole pages; errno may change */
void os_populate(void *p, size_t size);
void os_use_huge_pages(void *p, size_t size);
bool os_wipe_on_fork(void *p, size_t size);         /* anonymous pages that a forked child shall see as zeros; false: they stay */

/* -- processes and processors -- */
enum os_state { OS_RUNS, OS_STOPPED, OS_ENDED };    /* ended: a zombie, whose threads may still run */
/* When it began, in the steps of OS_START_STEP_NS.  False: errno; ENOENT or ESRCH if there is no such process. */
bool os_process(uint32_t pid, enum os_state *state, uint64_t *started_ns);
uint64_t os_start_step_ns(void);
bool os_any_thread_runs(uint32_t pid);              /* of one that is OS_ENDED; true also where that cannot be known */
bool os_maps_file(uint32_t pid, uint64_t inode);    /* a memory file of this inode; true also where that cannot be known */
/* Whether that is so for some child of the process; true also where that cannot be known. */
bool os_some_child(uint32_t pid, bool (*is_so)(void *with, uint32_t child), void *with);
bool os_is_main_thread(void);
bool os_signal_at_parents_end(int number);          /* to this process; 0: none after all.  False: it cannot be had */
uint64_t os_memory(void);                           /* bytes that the machine has, with what it may swap; UINT64_MAX: unknown */
int os_cpus(void);                                  /* that this process may use; 1 where that cannot be known */
bool os_random(void *to, size_t size);              /* up to 256 bytes */

/* -- descriptors -- */
int os_poll(struct pollfd *fds, nfds_t count, uint64_t ns);         /* as poll() */
/* A descriptor `read` of this process that can be made readable and unreadable. */
struct os_flag { int read, write; };
bool os_flag_open(struct os_flag *f);               /* false: errno */
bool os_flag_raise(struct os_flag *f);
bool os_flag_lower(struct os_flag *f);
void os_flag_renew(struct os_flag *f);              /* in a forked child: another one under the same numbers */
void os_flag_close(struct os_flag *f);
int os_socket_family(int fd);                       /* -1: errno, ENOTSOCK if it is none */
void os_widen_pipe(int fd, int size);               /* a wish */
ssize_t os_peek_pipe(int fd, char *to, size_t size);                /* what it begins with; -1: nothing, or it cannot be looked at */
void os_close_on_exec_received(int fd);             /* of a descriptor that has come by a message with OS_RECEIVE_FLAGS */
/* Has the kernel kill this process when the last write end of that pipe is closed; a descriptor that must stay open, or -1: errno. */
int os_die_when_closed(int fd);

#endif
