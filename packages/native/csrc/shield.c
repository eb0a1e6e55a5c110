/* shield.c: stretches of the main thread in which an interrupt waits.
 *
 * Python runs signal handlers between any two instructions of the main thread.  A KeyboardInterrupt between reading
 * results and delivering them would lose those of every caller; Python code cannot be written so that this does no harm
 * at each of its instructions.  So the handler of SIGINT is wrapped, at the level of C where Python does not see it: in a
 * shielded stretch a first interrupt is noted and raised again at the end, a second one gets through at once, in case the
 * stretch does not end.
 *
 * Not sigaction() at both ends of each stretch: that costs a microsecond, a tenth of a call through a pool.  Not
 * pthread_sigmask(): the kernel would give the signal to another thread, for which Python handles it in the main one.
 */
#define _GNU_SOURCE
#include "shield.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "channel.h"

/* signal.signal() puts Python's own handler in our place: look whether it has, at most so often. */
#define LOOK_EVERY_NS 20000000u

static struct sigaction former;                    /* what was there before us */
static volatile sig_atomic_t depth, noted;
static sh32 *volatile waiting;
static uint64_t looked_ns;
static _Thread_local signed char is_main;          /* 0: not known yet */

static void pass_on(int number, siginfo_t *info, void *context)
{
    if (former.sa_flags & SA_SIGINFO) former.sa_sigaction(number, info, context);
    else if (former.sa_handler != SIG_DFL && former.sa_handler != SIG_IGN) former.sa_handler(number);
}

static void interrupted(int number, siginfo_t *info, void *context)
{
    if (depth == 0 || noted) {
        noted = 0;
        pass_on(number, info, context);
        return;
    }
    noted = 1;
    sh32 *word = waiting;
    if (word) {
        SH_ADD(word, 1);
        os_wake(word, 1);
    }
}

static void after_fork_child(void)
{
    depth = noted = 0;
    waiting = NULL;
    is_main = 0;
}

static void wrap_handler(void)
{
    static bool watching;
    struct sigaction now;
    if (sigaction(SIGINT, NULL, &now) < 0) return;
    if (now.sa_flags & SA_SIGINFO && now.sa_sigaction == interrupted) return;
    if (!(now.sa_flags & SA_SIGINFO) && (now.sa_handler == SIG_DFL || now.sa_handler == SIG_IGN)) return;
    if (!watching && pthread_atfork(NULL, NULL, after_fork_child) != 0) return;
    watching = true;
    former = now;
    now.sa_sigaction = interrupted;
    now.sa_flags |= SA_SIGINFO;
    sigaction(SIGINT, &now, NULL);
}

static bool on_main(void)
{
    if (is_main == 0) is_main = os_is_main_thread() ? 1 : -1;
    return is_main > 0;
}

void shield_on(void)
{
    if (!on_main()) return;
    if (depth == 0) {
        uint64_t now = clock_ns();
        if (now - looked_ns > LOOK_EVERY_NS) {
            looked_ns = now;
            wrap_handler();
        }
    }
    depth = depth + 1;
}

void shield_off(void)
{
    if (!on_main() || depth == 0) return;
    depth = depth - 1;
    if (depth == 0 && noted) {
        noted = 0;
        raise(SIGINT);
    }
}

bool shield_noted(sh32 *word)
{
    if (!on_main() || depth == 0) return false;
    waiting = word;
    return noted;
}

void shield_deliver(void)
{
    if (!on_main() || !noted) return;
    sig_atomic_t inside = depth;
    noted = 0;
    depth = 0;
    raise(SIGINT);
    depth = inside;
}

bool shield_is_first(void) { return on_main() && depth == 1; }
