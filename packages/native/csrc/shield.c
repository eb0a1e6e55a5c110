/* shield.c: stretches of the main thread in which an interrupt waits.
 *
 * Python runs signal handlers between any two instructions of the main thread.  A KeyboardInterrupt between reading
 * results and delivering them would lose those of every caller; Python code cannot be written so that this does no harm
 * at each of its instructions.  So the handlers of SIGINT, SIGALRM and the like are wrapped, at the level of C where Python
 * does not see it: in a shielded stretch a first signal is noted and raised again at the end, a second one gets through at
 * once, in case the stretch does not end.
 *
 * Only Python's own C handler is wrapped, which stands behind all those of signal.signal(): no other can raise.  One that a
 * library (or faulthandler.register) has put in our place may hand signals on to the one that it found, which is us: called by
 * us, it would call us again, for ever.
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
#define LOOK_EVERY_NS 2000000u

/* Those whose handlers raise, in one program or another. */
static const int signals[] = { SIGINT, SIGALRM, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGVTALRM };
#define SIGNALS (int)(sizeof signals / sizeof *signals)

static void (*pythons)(int);                                /* NULL: not known */
static volatile sig_atomic_t depth, noted[SIGNALS], any_noted;
static sh32 *volatile waiting;
static uint64_t looked_ns;
static _Thread_local signed char is_main;          /* 0: not known yet */

static bool on_main(void)
{
    if (is_main == 0) is_main = os_is_main_thread() ? 1 : -1;
    return is_main > 0;
}

static void interrupted(int number)
{
    int i = 0;
    while (i < SIGNALS - 1 && signals[i] != number) i++;
    if (depth == 0 || noted[i]) {
        noted[i] = 0;
        pythons(number);
        return;
    }
    noted[i] = any_noted = 1;
    SH_FENCE();                                             /* in another thread: the main one may be out of its stretch */
    if (depth == 0 && __atomic_exchange_n(&noted[i], 0, __ATOMIC_SEQ_CST)) {
        pythons(number);
        return;
    }
    sh32 *word = waiting;
    if (word) {
        SH_ADD(word, 1);
        os_wake(word, 1);
    }
}

static void raise_noted(void)
{
    any_noted = 0;
    for (int i = 0; i < SIGNALS; i++) {
        if (__atomic_exchange_n(&noted[i], 0, __ATOMIC_SEQ_CST)) raise(signals[i]);
    }
}

static void after_fork_child(void)
{
    depth = any_noted = 0;
    for (int i = 0; i < SIGNALS; i++) noted[i] = 0;
    waiting = NULL;
    is_main = 0;
}

bool shield_wants_handler(void) { return !pythons && on_main(); }
void shield_wraps(void (*handler)(int)) { pythons = handler; }

static void wrap_handlers(void)
{
    static bool watching;
    if (!pythons) return;
    if (!watching && pthread_atfork(NULL, NULL, after_fork_child) != 0) return;
    watching = true;
    for (int i = 0; i < SIGNALS; i++) {
        struct sigaction now;
        if (sigaction(signals[i], NULL, &now) < 0 || (now.sa_flags & SA_SIGINFO) || now.sa_handler != pythons) continue;
        now.sa_handler = interrupted;
        sigaction(signals[i], &now, NULL);
    }
}

void shield_on(void)
{
    if (!on_main()) return;
    if (depth == 0) {
        uint64_t now = clock_ns();
        if (now - looked_ns > LOOK_EVERY_NS) {
            looked_ns = now;
            wrap_handlers();
        }
    }
    depth = depth + 1;
}

void shield_off(void)
{
    if (!on_main() || depth == 0) return;
    depth = depth - 1;
    SH_FENCE();                                             /* pairs with interrupted() */
    if (depth == 0 && any_noted) raise_noted();
}

bool shield_noted(sh32 *word)
{
    if (!on_main() || depth == 0) return false;
    waiting = word;
    return any_noted;
}

void shield_deliver(void)
{
    if (!on_main() || !any_noted) return;
    sig_atomic_t inside = depth;
    depth = 0;
    raise_noted();
    depth = inside;
}

bool shield_is_first(void) { return on_main() && depth == 1; }
