/* Heap, references, registry: random operations, then every operation killed at every store. */
#define _GNU_SOURCE
#include "../faults.h"
#include "../refs.h"
#include "../registry.h"
#include "../word.h"
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct arena *A;
static int slow = 1;                             /* divisor of the work where every instruction is interpreted */
static uint64_t seed = 12345;
static uint32_t rnd(uint32_t n) { seed = seed * 6364136223846793005ull + 1442695040888963407ull; return (uint32_t)(seed >> 33) % n; }

static uint64_t used(void) { return SH_GET(&A->h->used_bytes); }

static void sound(void)
{
    const char *wrong = heap_check(A);
    if (wrong) fprintf(stderr, "heap: %s\n", wrong);
    CHECK(!wrong);
}

static void test_random(void)
{
    enum { N = 300 };
    static aoff block[N];
    static uint64_t size[N];
    for (int i = 0; i < 30000 / slow; i++) {
        int k = (int)rnd(N);
        if (block[k]) {
            unsigned char *p = block_map(A, block[k]);
            CHECK(p[0] == (unsigned char)k && p[size[k] - 1] == (unsigned char)k);
            block_unmap(A, block[k], p);
            ref_close(A, block[k]);
            block[k] = 0;
        } else {
            uint32_t shape = rnd(100);
            size[k] = 1 + (shape < 70 ? rnd(2000) : shape < 95 ? rnd(60000) : shape < 99 ? rnd(3000000) : rnd(40000000));
            bool zero = rnd(4) == 0 && size[k] < 4000000;
            block[k] = ref_new(A, size[k], KIND_BLOCK, zero);
            CHECK(block[k]);
            unsigned char *p = block_map(A, block[k]);
            if (zero) for (uint64_t j = 0; j < size[k]; j++) CHECK(p[j] == 0);
            memset(p, k, size[k] < 100000 ? size[k] : 1);
            p[size[k] - 1] = (unsigned char)k;
            block_unmap(A, block[k], p);
        }
        if (i % 1000 == 0) sound();
        if (i % 9000 == 0) heap_trim(A);
    }
    for (int k = 0; k < N; k++) if (block[k]) ref_close(A, block[k]);
    sound();
}

static void test_handles(void)
{
    aoff b = ref_new(A, 100, KIND_BLOCK, false);
    uint64_t g = block_generation(A, b);
    CHECK(ref_open(A, A->id, b, g, KIND_BLOCK) == AR_OK);
    CHECK(ref_count_here(A, b) == 2);
    CHECK(ref_open(A, A->id + 1, b, g, KIND_BLOCK) == AR_FOREIGN);
    CHECK(ref_open(A, A->id, b, g + 1, KIND_BLOCK) == AR_STALE);
    CHECK(ref_open(A, A->id, b, g, KIND_LOCK) == AR_KIND);
    for (int i = 0; i < 20000; i++) {
        aoff wild = ((uint64_t)rnd(1u << 31) << rnd(34)) + rnd(64);
        if (wild != b) CHECK(ref_open(A, A->id, wild, rnd(1000), KIND_NONE) != AR_OK || true);
    }
    ref_close(A, b);
    ref_close(A, b);
    CHECK(ref_open(A, A->id, b, g, KIND_BLOCK) == AR_STALE);
    sound();
}

/* Operations for the kill test; each runs in a forked child. */
static aoff shared_block;
static void op_small(void) { ref_close(A, ref_new(A, 40, KIND_BLOCK, true)); }
static void op_keep_small(void) { ref_new(A, 40, KIND_BLOCK, false); ref_new(A, 500, KIND_BLOCK, false); }
static void op_run(void) { aoff x = ref_new(A, 100000, KIND_BLOCK, false), y = ref_new(A, 200000, KIND_BLOCK, true); ref_close(A, x); ref_close(A, y); }
static void op_huge(void) { ref_close(A, ref_new(A, 20000000, KIND_BLOCK, false)); }
static void op_open(void) { ref_open(A, A->id, shared_block, block_generation(A, shared_block), KIND_BLOCK); ref_close(A, shared_block); }
static void op_parcel(void) { aoff items[3] = { shared_block, shared_block, shared_block }; aoff p = parcel_new(A, items, 3); ref_close(A, p); }
static void op_fork(void) { if (fork() == 0) _exit(0); wait(NULL); }
static void op_reserve(void) { uint32_t s, g; if (registry_reserve(A, "child", &s, &g) == AR_OK) { if (arena_begin(A)) { ref_slot_hold(A, s, shared_block); arena_end(A); } registry_cancel(A, s, g); } }
static void op_trim(void) { heap_trim(A); }

static void test_kill_steps(void)
{
#ifdef PROCESSION_FAULTS
    struct { const char *name; void (*run)(void); bool makes_slots; } ops[] = {
        { "small", op_small, false }, { "keep small", op_keep_small, false }, { "run", op_run, false },
        { "huge", op_huge, false }, { "open", op_open, false },
        { "parcel", op_parcel, false }, { "fork", op_fork, true }, { "reserve", op_reserve, true }, { "trim", op_trim, false },
    };
    shared_block = ref_new(A, 64, KIND_BLOCK, false);
    for (size_t o = 0; o < sizeof ops / sizeof *ops; o++) {
        uint64_t base = used();
        for (long k = 1;; k += slow) {
            pid_t pid = fork();
            if (pid == 0) {
                fault_set(k);
                ops[o].run();
                _exit(0);
            }
            int status;
            CHECK(waitpid(pid, &status, 0) == pid);
            CHECK(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
            registry_note_exit(A, (uint32_t)pid, status);
            registry_sweep(A);
            sound();
            /* A slot that the killed child had reserved for a child of its own is kept for START_GRACE_NS. */
            if (!ops[o].makes_slots) CHECK(used() == base);
            if (status == 0) {
                printf("%-12s %ld steps\n", ops[o].name, k - 1);
                break;
            }
        }
    }
    for (int i = 0; fault_branch_name(i); i++) printf("branch %-50s %lu\n", fault_branch_name(i), (unsigned long)fault_branch_count(i));
    ref_close(A, shared_block);
#endif
}

static void test_death_is_noticed(void)
{
    int ready[2], status;
    CHECK(pipe(ready) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        if (!arena_begin(A)) abort();             /* holds the arena lock */
        CHECK(write(ready[1], "x", 1) == 1);
        pause();
    }
    char c;
    CHECK(read(ready[0], &c, 1) == 1);
    int slot = registry_find_pid(A, (uint32_t)pid);
    CHECK(slot >= 0);
    uint32_t g = (uint32_t)(SH_GET(&slot_at(A, (uint32_t)slot)->state) >> 16 & 0xffff);
    CHECK(registry_alive(A, (uint32_t)slot, g));
    kill(pid, SIGKILL);
    uint64_t repairs = A->repairs;
    aoff b = ref_new(A, 10, KIND_BLOCK, false);      /* waits for the lock of the dead, a zombie still */
    CHECK(b && A->repairs == repairs + 1);
    ref_close(A, b);
    waitpid(pid, &status, 0);
    CHECK(!registry_alive(A, (uint32_t)slot, g));
    registry_note_exit(A, (uint32_t)pid, status);
    sound();
}

static void *churn(void *unused)
{
    (void)unused;
    for (int i = 0; i < 3000 / slow; i++) {
        aoff b = ref_new(A, 64 + (uint64_t)i % 3000, KIND_BLOCK, false);
        CHECK(b && ref_again(A, b) == AR_OK);
        ref_close(A, b);
        ref_close(A, b);
    }
    return NULL;
}

static void test_threads(void)
{
    pthread_t t[4];
    uint64_t before = used();
    for (int i = 0; i < 4; i++) CHECK(pthread_create(&t[i], NULL, churn, NULL) == 0);
    for (int i = 0; i < 4; i++) CHECK(pthread_join(t[i], NULL) == 0);
    sound();
    CHECK(used() == before);
}

static void test_limits(void)
{
    SH_SET(&A->h->limit, used() + 100000);
    CHECK(ref_new(A, 200000, KIND_BLOCK, false) == 0);
    aoff b = ref_new(A, 1000, KIND_BLOCK, false);
    CHECK(b);
    ref_close(A, b);
    SH_SET(&A->h->limit, UINT64_MAX);
    CHECK(ref_new(A, (uint64_t)1 << 60, KIND_BLOCK, false) == 0);
    sound();
}

int main(void)
{
#ifdef PROCESSION_FAULTS
    fault_init();
#endif
    if (getenv("PROCESSION_SLOW")) slow = atoi(getenv("PROCESSION_SLOW"));
    CHECK(arena_ensure() == AR_OK);
    A = process_arena;
    test_random();
    test_handles();
    test_threads();
    test_limits();
    test_death_is_noticed();
    test_kill_steps();
    puts("ok");
    return 0;
}
