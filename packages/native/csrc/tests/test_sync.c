/* Synchronisation objects between threads on one mapping, for the sanitizers, and between forked processes. */
#define _GNU_SOURCE
#include "../faults.h"
#include "../sync.h"
#include "check.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 4

static struct arena *A;
static int rounds = 2000;
static long counter;                             /* plain on purpose: the locks must order its accesses */

static uint64_t in_ms(uint64_t ms) { return clock_ns() + ms * 1000000ull; }

struct job { void (*work)(int); int index; };
static void *run_job(void *p)
{
    struct job *j = p;
    j->work(j->index);
    return NULL;
}
static void together(void (*work)(int))
{
    pthread_t t[THREADS];
    struct job jobs[THREADS];
    for (int i = 0; i < THREADS; i++) {
        jobs[i] = (struct job){ work, i };
        CHECK(pthread_create(&t[i], NULL, run_job, &jobs[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(t[i], NULL);
}

/* -- locks --------------------------------------------------------------------------------------------------- */

static aoff lock_at;
static struct sync_lock *lock;

static void acquire(void)
{
    struct sync_death death;
    if (sync_lock_fast(A, lock)) return;
    int r;
    do r = sync_lock_slow(A, lock, lock_at, WAIT_FOREVER, false, &death);
    while (r == AR_INTR);
    CHECK(r == AR_OK);
}

static void count_up(int index)
{
    (void)index;
    for (int i = 0; i < rounds; i++) {
        acquire();
        counter++;
        CHECK(sync_lock_release(lock) == AR_OK);
    }
}

static void test_lock(void)
{
    struct sync_death death;
    lock_at = sync_lock_new(A, KIND_LOCK, 0);
    lock = arena_ptr(A, lock_at);
    counter = 0;
    together(count_up);
    CHECK(counter == (long)rounds * THREADS);
    CHECK(sync_lock_release(lock) == AR_NOT_OWNER);
    acquire();
    CHECK(sync_lock_slow(A, lock, lock_at, 0, false, &death) == AR_TIMEOUT);
    CHECK(sync_lock_slow(A, lock, lock_at, in_ms(20), false, &death) == AR_TIMEOUT);
    CHECK(sync_lock_release(lock) == AR_OK);
    ref_close(A, lock_at);
}

static void nest(int index)
{
    (void)index;
    for (int i = 0; i < rounds; i++) {
        acquire();
        sync_lock_levels(lock, 0);
        CHECK(sync_rlock_again(A, lock) == AR_OK);
        counter++;
        CHECK(sync_rlock_release(A, lock) == AR_OK);
        counter++;
        CHECK(sync_lock_mine(A, lock));
        CHECK(sync_rlock_release(A, lock) == AR_OK);
        CHECK(!sync_lock_mine(A, lock));
        CHECK(sync_rlock_release(A, lock) == AR_NOT_OWNER);
    }
}

static void test_rlock(void)
{
    lock_at = sync_lock_new(A, KIND_RLOCK, 0);
    lock = arena_ptr(A, lock_at);
    counter = 0;
    together(nest);
    CHECK(counter == (long)rounds * THREADS * 2);
    ref_close(A, lock_at);
}

static void test_owner_death(void)
{
    struct sync_death death;
    lock_at = sync_lock_new(A, KIND_LOCK, 0);
    lock = arena_ptr(A, lock_at);
    pid_t pid = fork();
    if (pid == 0) {
        acquire();
        kill(getpid(), SIGKILL);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid);
    registry_note_exit(A, (uint32_t)pid, status);
    CHECK(sync_lock_slow(A, lock, lock_at, 0, false, &death) == AR_OWNER_DIED);
    CHECK(death.pid == (uint32_t)pid && death.status_known && WIFSIGNALED(death.status));
    CHECK(sync_lock_mine(A, lock));
    CHECK(sync_lock_release(lock) == AR_OK);
    ref_close(A, lock_at);
}

/* -- semaphores ---------------------------------------------------------------------------------------------- */

static aoff sem_at;
static struct sync_semaphore *sem;
static sh32 inside;

static void pass(int index)
{
    (void)index;
    for (int i = 0; i < rounds; i++) {
        int r = AR_OK;
        if (!sync_semaphore_fast(A, sem))
            do r = sync_semaphore_slow(A, sem, sem_at, WAIT_FOREVER);
            while (r == AR_INTR);
        CHECK(r == AR_OK);
        CHECK(SH_ADD(&inside, 1u) < 2);
        SH_ADD(&inside, (uint32_t)-1);
        CHECK(sync_semaphore_release(A, sem) == AR_OK);
    }
}

static void test_semaphore(bool tracked)
{
    sem_at = sync_semaphore_new(A, 2, 2, true, tracked);
    sem = arena_ptr(A, sem_at);
    together(pass);
    CHECK(sync_semaphore_value(sem) == 2);
    CHECK(sync_semaphore_release(A, sem) == AR_OVERFLOW);
    CHECK(sync_semaphore_slow(A, sem, sem_at, 0) == AR_OK && sync_semaphore_slow(A, sem, sem_at, 0) == AR_OK);
    CHECK(sync_semaphore_slow(A, sem, sem_at, 0) == AR_TIMEOUT);
    CHECK(sync_semaphore_slow(A, sem, sem_at, in_ms(20)) == AR_TIMEOUT);
    ref_close(A, sem_at);
}

/* -- events -------------------------------------------------------------------------------------------------- */

static aoff event_at[2];
static struct sync_event *event[2];

static void wait_event(int i)
{
    int r;
    do r = sync_event_wait(A, event[i], event_at[i], SH_GET(&event[i]->word) & ~3u, in_ms(60000));
    while (r == AR_INTR);
    CHECK(r == AR_OK && sync_event_is_set(event[i]));
    sync_event_clear(event[i]);
}

static void ping(int index)
{
    if (index > 1) return;
    for (int i = 0; i < rounds; i++) {
        if (index == 0) {
            counter++;
            sync_event_set(event[0]);
            wait_event(1);
        } else {
            wait_event(0);
            counter++;
            sync_event_set(event[1]);
        }
    }
}

static void test_event(void)
{
    for (int i = 0; i < 2; i++) {
        event_at[i] = sync_event_new(A);
        event[i] = arena_ptr(A, event_at[i]);
    }
    counter = 0;
    together(ping);
    CHECK(counter == 2L * rounds);
    CHECK(sync_event_wait(A, event[0], event_at[0], SH_GET(&event[0]->word), in_ms(10)) == AR_TIMEOUT);
    for (int i = 0; i < 2; i++) ref_close(A, event_at[i]);
}

/* -- conditions ---------------------------------------------------------------------------------------------- */

static aoff cond_at;
static struct sync_condition *cond;
static long items, taken;

static bool wait_condition(uint64_t deadline)
{
    struct cond_entry *e;
    struct sync_death death;
    bool asleep = false;
    CHECK(sync_condition_enter(A, cond, lock, &e) == AR_OK);
    CHECK(sync_lock_release_all(lock, KIND_LOCK) == 0);
    while (sync_condition_sleep(A, cond, e, cond_at, deadline, &asleep) == AR_INTR) continue;
    bool notified = sync_condition_leave(e);
    if (notified && asleep) {
        int r;
        do r = sync_lock_slow(A, lock, lock_at, WAIT_FOREVER, true, &death);
        while (r == AR_INTR);
        CHECK(r == AR_OK);
    } else
        acquire();
    return notified;
}

static void produce_and_consume(int index)
{
    for (int i = 0; i < rounds; i++) {
        acquire();
        if (index % 2) {
            items++;
            sync_condition_notify(A, cond, lock, 1);
        } else {
            while (items == 0) wait_condition(i % 7 ? WAIT_FOREVER : in_ms(1));
            items--;
            taken++;
        }
        CHECK(sync_lock_release(lock) == AR_OK);
    }
}

static void test_condition(void)
{
    sync_condition_setup();
    lock_at = sync_lock_new(A, KIND_LOCK, 0);
    lock = arena_ptr(A, lock_at);
    cond_at = sync_condition_new(A, lock_at);
    cond = arena_ptr(A, cond_at);
    ref_close(A, lock_at);                        /* the condition holds it */
    items = taken = 0;
    together(produce_and_consume);
    CHECK(items == 0 && taken == (long)rounds * THREADS / 2);
    acquire();
    CHECK(!wait_condition(in_ms(10)) && !wait_condition(0));
    CHECK(sync_condition_notify(A, cond, lock, 1) == 0 && sync_condition_waiters(A, cond) == 0);
    /* More entries than the first block has: they are taken and left again without sleeping. */
    struct cond_entry *e[200];
    for (int i = 0; i < 200; i++) CHECK(sync_condition_enter(A, cond, lock, &e[i]) == AR_OK);
    CHECK(sync_condition_waiters(A, cond) == 200);
    CHECK(sync_condition_notify(A, cond, lock, 3) == 3);
    for (int i = 0; i < 200; i++) CHECK(sync_condition_leave(e[i]) == (i < 3));
    CHECK(sync_condition_waiters(A, cond) == 0);
    CHECK(sync_lock_release(lock) == AR_OK);
    ref_close(A, cond_at);
}

/* -- barriers ------------------------------------------------------------------------------------------------ */

static aoff barrier_at;
static struct sync_barrier *barrier;
static long arrivals[THREADS];

static void meet(int index)
{
    for (int i = 0; i < rounds / 4; i++) {
        struct barrier_place place;
        arrivals[index] = i;
        int r = sync_barrier_arrive(A, barrier, true, &place);
        if (r == AR_OK)
            do r = sync_barrier_sleep(A, barrier, barrier_at, &place, WAIT_FOREVER);
            while (r == AR_INTR);
        CHECK(r == AR_OK || r == SYNC_LEADER);
        for (int j = 0; j < THREADS; j++) CHECK(arrivals[j] == i);
        r = sync_barrier_arrive(A, barrier, true, &place);
        if (r == AR_OK)
            do r = sync_barrier_sleep(A, barrier, barrier_at, &place, WAIT_FOREVER);
            while (r == AR_INTR);
        CHECK(r == AR_OK || r == SYNC_LEADER);
    }
}

static void test_barrier(void)
{
    struct barrier_place place;
    barrier_at = sync_barrier_new(A, THREADS);
    barrier = arena_ptr(A, barrier_at);
    together(meet);
    CHECK(sync_barrier_waiting(barrier) == 0);
    CHECK(sync_barrier_arrive(A, barrier, true, &place) == AR_OK && sync_barrier_waiting(barrier) == 1);
    CHECK(sync_barrier_sleep(A, barrier, barrier_at, &place, in_ms(10)) == AR_TIMEOUT);
    CHECK(sync_barrier_arrive(A, barrier, true, &place) == AR_BROKEN);
    sync_barrier_reset(A, barrier);
    CHECK(sync_barrier_arrive(A, barrier, true, &place) == AR_OK);
    sync_barrier_withdraw(A, barrier, &place);
    CHECK(sync_barrier_waiting(barrier) == 0);
    ref_close(A, barrier_at);
}

int main(void)
{
    if (getenv("PROCESSION_SLOW")) rounds = 20;
    CHECK(arena_ensure() == AR_OK);
    A = process_arena;
    uint64_t before = SH_GET(&A->h->used_bytes);
    test_owner_death();
    test_lock();
    test_rlock();
    test_semaphore(false);
    test_semaphore(true);
    test_event();
    test_condition();
    test_barrier();
    if (!arena_begin(A)) abort();
    ref_collect(A, 1000);
    arena_end(A);
    CHECK(heap_check(A) == NULL);
    CHECK(SH_GET(&A->h->used_bytes) <= before + 4096);
    puts("synchronisation objects: ok");
    return 0;
}
