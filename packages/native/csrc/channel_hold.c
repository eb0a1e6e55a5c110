/* channel_hold.c: a forked worker that sleeps until it is needed.
 *
 * A pool's workers show the program as it was when the pool was made, so they are forked then.  What costs is not the
 * fork but the start of Python in the child: 200 pages copied and half a millisecond each, in competition with the
 * parent, which has more of them to fork.  So a child that is held back sleeps within fork() itself, behind the other
 * handlers of pthread_atfork, where nothing of Python has run yet, until its channel holds a record.
 *
 * Held back it does what a worker does that waits: it dies by SIGTERM and the like, it ends with its parent, and the
 * message that lets a worker end lets it end.  Only functions that are safe in a signal handler are called, as after any
 * fork of a program with threads.
 */
#define _GNU_SOURCE
#include "channel_hold.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "arena.h"
#include "registry.h"

static _Thread_local struct held_fork coming;
static _Thread_local sigset_t former_mask;

#define ORPHANED SIGURG         /* ignored by default, and harmless if somebody else sends it */
#define SIGNALS 65

static volatile sig_atomic_t noted[SIGNALS], any_noted;
static struct held_fork held;

static void note(int number)
{
    if (number == ORPHANED) {
        if (getppid() != held.parent) _exit(0);
        return;
    }
    noted[number] = 1;
    any_noted = 1;
    SH_ADD(&held.channel->t_bell, 1);   /* also if it does not sleep yet */
}

static bool is_fault(int number)
{
    return number == SIGSEGV || number == SIGBUS || number == SIGFPE || number == SIGILL || number == SIGABRT || number == SIGTRAP;
}

/* Signals with a handler are noted, to be raised again where Python can run it: its own forgets what comes before it has
 * seen the fork.  SIGINT is none of a worker's business. */
static void take_signals(struct sigaction *old, char *taken)
{
    struct sigaction ours;
    memset(&ours, 0, sizeof ours);
    ours.sa_handler = note;
    sigfillset(&ours.sa_mask);
    for (int number = 1; number < SIGNALS; number++) {
        taken[number] = 0;
        if (is_fault(number) || sigaction(number, NULL, &old[number]) < 0) continue;
        if (number != ORPHANED && (old[number].sa_handler == SIG_DFL || old[number].sa_handler == SIG_IGN)) continue;
        ours.sa_handler = number == SIGINT ? SIG_IGN : note;
        taken[number] = sigaction(number, &ours, NULL) == 0;
    }
}

static void give_signals_back(const struct sigaction *old, const char *taken)
{
    for (int number = 1; number < SIGNALS; number++)
        if (taken[number]) sigaction(number, &old[number], NULL);
}

static bool is_last(const struct record *r, char stop)
{
    const struct message *m = (const struct message *)r;
    return r->kind == RECORD_MESSAGE && m->length && *(const char *)(m + 1) == stop;
}

static void sleep_until_needed(struct channel *c)
{
    if (getppid() != held.parent) _exit(0);
    for (;;) {
        uint32_t seen = SH_GET(&c->t_bell);
        if (any_noted) return;
        SH_SET(&c->t_sleeping, 1);
        SH_FENCE(); /* t_sleeping before t_head; pairs with wake_worker */
        uint64_t tail = SH_PEEK(&c->t_tail), head = SH_GET(&c->t_head);
        struct record *r = ring_peek(channel_tasks(c), SH_PEEK(&c->task_size), head, &tail);
        FAULT_POINT();
        if (r == NULL) os_wait(&c->t_bell, seen, OS_FOREVER);
        SH_SET(&c->t_sleeping, 0);
        if (r == NULL) continue;
        if (is_last(r, held.stop)) _exit(0);
        return;
    }
}

static void hold(void)
{
    struct sigaction old[SIGNALS];
    char taken[SIGNALS];
    sigset_t mask = former_mask, open = former_mask;
    registry_set_name(process_arena, held.name);
    take_signals(old, taken);
    FAULT_POINT();
    sigdelset(&open, ORPHANED);
    pthread_sigmask(SIG_SETMASK, &open, NULL);
    /* The copy of the write end would keep the others from noticing that the parent is gone, or has become another program. */
    int watch = -1;
    if (held.life_read >= 0 && dup2(held.life_read, held.life_write) >= 0) {
        fcntl(held.life_write, F_SETFD, FD_CLOEXEC);
        FAULT_POINT();
        watch = os_die_when_closed(held.life_read);
    }
    FAULT_POINT();
    /* It comes when the thread that forked ends, too, which does no harm. */
    if (os_signal_at_parents_end(ORPHANED)) {
        sleep_until_needed(held.channel);
        os_signal_at_parents_end(0);
    }
    if (watch >= 0) close(watch);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    /* SIGINT stays ignored, which is also what the worker asks Python for: in between, Python's handlers after forks run. */
    taken[SIGINT] = 0;
    FAULT_POINT();
    give_signals_back(old, taken);
    FAULT_POINT();
}

/* A signal that comes before take_signals(), in a child that has not run yet, would go to Python's handler and be forgotten. */
static void before_fork(void)
{
    if (!coming.channel) return;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &former_mask);
}

static void after_fork_parent(void)
{
    if (!coming.channel) return;
    coming.channel = NULL;
    pthread_sigmask(SIG_SETMASK, &former_mask, NULL);
}

static void after_fork_child(void)
{
    if (!coming.channel) return;
    held = coming;
    coming.channel = NULL;
    if (process_arena && process_arena->self) hold();
    else pthread_sigmask(SIG_SETMASK, &former_mask, NULL);
}

void channel_hold_fork(const struct held_fork *wanted)
{
    static bool watching;
    if (!wanted) {
        coming.channel = NULL;
        return;
    }
    /* After those of the arena, which exists: handlers of children run in the order in which they were added. */
    if (!watching && pthread_atfork(before_fork, after_fork_parent, after_fork_child) != 0) return;
    watching = true;
    coming = *wanted;
    coming.parent = getpid();
}

void channel_raise_noted(void)
{
    if (!any_noted) return;
    any_noted = 0;
    for (int number = 1; number < SIGNALS; number++) {
        if (!noted[number]) continue;
        noted[number] = 0;
        raise(number);
    }
}
