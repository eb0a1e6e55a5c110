/* bell.c: the bell thread of this process and the descriptors it lights.  Protocol: bell.h. */
#define _GNU_SOURCE
#include "bell.h"
#include "registry.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define NOT_REGISTERED (-1)
#define EVERYBODY (-2)

struct bell { struct bell *next; struct queue *q; struct os_flag flag; int entry; enum bell_kind kind; bool lit; struct identity read, write; };

static struct {
    pthread_mutex_t mutex;                   /* guards all below */
    struct bell *first;
    pthread_t thread;
    bool running, watching_forks, was_running;
    _Atomic bool stop;
    struct arena *a;
} bells = { .mutex = PTHREAD_MUTEX_INITIALIZER };

void (*bell_restart_soon)(void);

/* ---- the committer's side -------------------------------------------------------------------------------------- */

static void ring_slot(struct arena *a, uint32_t index)
{
    struct slot *s = slot_at(a, index);
    SH_ADD(&s->bell, 1);
    futex_wake(&s->bell, 1);
}

static uint32_t polled_bit(enum bell_kind kind) { return kind == BELL_ROOM ? POLLED_ROOM : POLLED_ITEMS; }

void bell_ring(struct arena *a, struct queue *q, enum bell_kind kind)
{
    uint32_t polled = SH_PEEK(&q->polled);
    if (polled & POLLED_EVERYBODY) {
        uint64_t high = SH_PEEK(&a->h->registry_high);
        for (uint32_t i = 0; i < high; i++)
            if (slot_state(SH_PEEK(&slot_at(a, i)->state)) == SLOT_LIVE) ring_slot(a, i);
    }
    if (!(polled & polled_bit(kind))) return;
    for (int i = 0; i < QUEUE_POLLERS; i++) {
        uint32_t seen = SH_PEEK(&q->poller[i]);
        if ((seen & 3) == (1u | kind) && SH_CAS32(&q->poller[i], &seen, seen & ~1u)) ring_slot(a, owner_slot(seen));
    }
}

/* ---- the poller's side; under the mutex ------------------------------------------------------------------------ */

static bool ready(struct arena *a, const struct bell *b)
{
    struct queue_stat s;
    struct queue *q = b->q;
    if ((SH_GET(&q->flags) & QUEUE_SHUTDOWN) || queue_stat(a, q, &s) != AR_OK) return true;
    if (b->kind == BELL_ITEMS || s.put == s.taken) return b->kind == BELL_ROOM || s.put != s.taken;
    uint64_t maxsize = SH_PEEK(&q->maxsize), maxbytes = SH_PEEK(&q->maxbytes);
    return (!maxsize || s.put - s.taken < maxsize) && (!maxbytes || s.bytes < maxbytes);
}

static bool fd_is_ours(const struct bell *b)
{
    return identity_is(b->flag.read, b->read) && (b->flag.write == b->flag.read || identity_is(b->flag.write, b->write));
}

static void remember(struct bell *b)
{
    b->read = identity_of(b->flag.read);
    b->write = identity_of(b->flag.write);
}

static void light(struct bell *b)
{
    if (b->lit || !fd_is_ours(b)) return;
    b->lit = true;
    if (!os_flag_raise(&b->flag)) b->lit = false;                /* the program has closed our descriptor */
}

static void darken(struct bell *b)
{
    if (b->lit && fd_is_ours(b) && !os_flag_lower(&b->flag)) return;
    b->lit = false;
}

static void refresh(struct arena *a, struct bell *b)
{
    if (ready(a, b)) {
        light(b);
        return;
    }
    darken(b);
    if (b->entry >= 0) SH_SET(&b->q->poller[b->entry], (a->self & OWNER_BITS) | b->kind | 1u);
    SH_FENCE();
    if (ready(a, b)) light(b);
}

static void enroll(struct arena *a, struct bell *b)
{
    uint32_t me = (a->self & OWNER_BITS) | b->kind;
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < QUEUE_POLLERS; i++) {
            uint32_t seen = SH_GET(&b->q->poller[i]);
            if (seen != 0 && (pass == 0 || !owner_is_dead(a, seen))) continue;
            if (SH_CAS32(&b->q->poller[i], &seen, me)) {
                b->entry = i;
                SH_OR(&b->q->polled, polled_bit(b->kind));
                return;
            }
        }
    }
    b->entry = EVERYBODY;
    SH_OR(&b->q->polled, POLLED_EVERYBODY);
}

static void *listen_for_rings(void *argument)
{
    struct arena *a = argument;
    struct slot *me = slot_at(a, a->self_slot);
    while (!atomic_load(&bells.stop)) {
        uint32_t rung = SH_GET(&me->bell);
        pthread_mutex_lock(&bells.mutex);
        for (struct bell *b = bells.first; b; b = b->next)
            if (b->entry != NOT_REGISTERED && !b->lit) refresh(a, b);
        pthread_mutex_unlock(&bells.mutex);
        if (atomic_load(&bells.stop)) break;
        futex_wait_slice(&me->bell, rung, WAIT_FOREVER, BELL_SLICE_NS);
    }
    return NULL;
}

static int start(void)
{
    if (bells.running) return 0;
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);        /* signals belong to the program's threads */
    atomic_store(&bells.stop, false);
    int error = pthread_create(&bells.thread, NULL, listen_for_rings, bells.a);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    bells.running = error == 0;
    return error;
}

static void stop(void)
{
    if (!bells.running) return;
    atomic_store(&bells.stop, true);
    ring_slot(bells.a, bells.a->self_slot);
    pthread_join(bells.thread, NULL);
    bells.running = false;
}

/* ---- forks ----------------------------------------------------------------------------------------------------- */

static void before_fork(void)
{
    bells.was_running = bells.running;
    stop();
    pthread_mutex_lock(&bells.mutex);
}

void bell_restart(void)
{
    pthread_mutex_lock(&bells.mutex);
    if (bells.first) start();
    pthread_mutex_unlock(&bells.mutex);
}

static void after_fork_in_parent(void)
{
    pthread_mutex_unlock(&bells.mutex);
    if (!bells.was_running) return;
    /* In the main thread Python still has to count our threads; elsewhere it has reason to warn anyway. */
    if (bell_restart_soon && os_is_main_thread()) bell_restart_soon();
    else bell_restart();
}

static void after_fork_in_child(void)
{
    pthread_mutex_init(&bells.mutex, NULL);
    bells.running = false;                   /* whatever other threads did: ours is the only one here */
    for (struct bell *b = bells.first; b; b = b->next) {
        if (fd_is_ours(b)) {
            os_flag_renew(&b->flag);
            remember(b);
        }
        b->entry = NOT_REGISTERED;
        b->lit = false;
    }
}

/* ---- handles --------------------------------------------------------------------------------------------------- */

struct bell *bell_open(struct arena *a, struct queue *q, enum bell_kind kind)
{
    struct bell *b = calloc(1, sizeof *b);
    if (!b) return NULL;
    b->q = q;
    b->kind = kind;
    b->entry = NOT_REGISTERED;
    if (!os_flag_open(&b->flag)) {
        free(b);
        return NULL;
    }
    remember(b);
    pthread_mutex_lock(&bells.mutex);
    bells.a = a;
    if (!bells.watching_forks) {
        bells.watching_forks = true;
        pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
    }
    b->next = bells.first;
    bells.first = b;
    pthread_mutex_unlock(&bells.mutex);
    return b;
}

int bell_fd(struct arena *a, struct bell *b)
{
    pthread_mutex_lock(&bells.mutex);
    int error = start();
    if (error == 0 && b->entry == NOT_REGISTERED) enroll(a, b);
    if (error == 0) refresh(a, b);
    pthread_mutex_unlock(&bells.mutex);
    errno = error;
    return error ? -1 : b->flag.read;
}

void bell_settle(struct arena *a, struct bell *b)
{
    pthread_mutex_lock(&bells.mutex);
    if (b->entry != NOT_REGISTERED && b->lit) refresh(a, b);
    pthread_mutex_unlock(&bells.mutex);
}

void bell_close(struct bell *b)
{
    pthread_mutex_lock(&bells.mutex);
    struct bell **link = &bells.first;
    while (*link && *link != b) link = &(*link)->next;
    if (*link) *link = b->next;
    struct queue *q = b->q;
    if (b->entry >= 0) {
        SH_SET(&q->poller[b->entry], 0);
        /* Off first, then on again if others are there: they enter themselves before they set the bit. */
        SH_AND(&q->polled, ~polled_bit(b->kind));
        SH_FENCE();
        for (int i = 0; i < QUEUE_POLLERS; i++) {
            uint32_t other = SH_PEEK(&q->poller[i]);
            if (other && (other & 2) == (uint32_t)b->kind) SH_OR(&q->polled, polled_bit(b->kind));
        }
    }
    if (fd_is_ours(b)) os_flag_close(&b->flag);
    free(b);
    bool last = bells.first == NULL;
    pthread_mutex_unlock(&bells.mutex);
    if (last) stop();
}
