/* Queues: order, limits, references, sleeping; then every operation killed at every store. */
#define _GNU_SOURCE
#include "../faults.h"
#include "../queue.h"
#include "../registry.h"
#include "check.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct arena *A;
static int slow = 1;                             /* divisor of the work where every instruction is interpreted */

static uint64_t used(void) { return SH_GET(&A->h->used_bytes); }
static struct queue *at(aoff off) { return arena_ptr(A, off); }

static int put_number(struct queue *q, uint64_t value, uint64_t deadline)
{
    struct message m = { &value, 8, 8, NULL, 0, TAG_INT, 0 };
    uint32_t done;
    return queue_put(A, q, &m, 1, &done, deadline);
}
static int put_filler(struct queue *q, uint64_t value, uint32_t size)
{
    char *data = calloc(1, size);
    memcpy(data, &value, 8);
    struct message m = { data, size, size, NULL, 0, TAG_BYTES, 0 };
    uint32_t done;
    int rc = queue_put(A, q, &m, 1, &done, WAIT_FOREVER);
    free(data);
    return rc;
}
static int put_block(struct queue *q, uint64_t value)
{
    aoff b = ref_new(A, 3000, KIND_BLOCK, false);
    if (!b) return AR_NOMEM;
    struct message m = { &value, 8, 3008, &b, 1, TAG_INT, 0 };
    uint32_t done;
    int rc = queue_put(A, q, &m, 1, &done, WAIT_FOREVER);
    ref_close(A, b);
    return rc;
}
static int take_number(struct queue *q, uint64_t *value, uint64_t deadline)
{
    uint64_t buffer[64];
    struct taken out = TAKEN_ON(buffer);
    int rc = queue_take(A, q, &out, 1, deadline, 0, NULL);
    if (rc == AR_OK) {
        *value = word_at(out.data + 8 + 8 * record_nrefs(word_at(out.data)));
        taken_release_refs(A, out.data);
    }
    taken_free(&out);
    return rc;
}
static uint64_t length(struct queue *q)
{
    struct queue_stat s;
    CHECK(queue_stat(A, q, &s) == AR_OK);
    return s.put - s.taken;
}

static void test_order(void)
{
    uint64_t before = used(), v;
    aoff off = queue_new(A, 0, 0);
    struct queue *q = at(off);
    CHECK(take_number(q, &v, 0) == AR_TIMEOUT);
    for (uint64_t i = 0; i < 20000; i++) CHECK(put_number(q, i, 0) == AR_OK);
    CHECK(length(q) == 20000);
    for (uint64_t i = 0; i < 20000; i++) CHECK(take_number(q, &v, 0) == AR_OK && v == i);
    for (uint64_t i = 0; i < 3000; i++) {
        CHECK((i % 3 ? put_filler(q, i, (uint32_t)(8 + i * 7 % 9000)) : put_block(q, i)) == AR_OK);
        if (i > 50) CHECK(take_number(q, &v, 0) == AR_OK && v == i - 51);
    }
    ref_close(A, off);                       /* with 51 unread messages, 17 of them with a block */
    if (!arena_begin(A)) abort();
    ref_collect(A, 1000);
    arena_end(A);
    CHECK(!heap_check(A));
    CHECK(used() == before);
}

static void test_limits(void)
{
    uint64_t v;
    aoff off = queue_new(A, 3, 0);
    struct queue *q = at(off);
    for (uint64_t i = 0; i < 3; i++) CHECK(put_number(q, i, 0) == AR_OK);
    CHECK(put_number(q, 9, 0) == AR_TIMEOUT);
    CHECK(put_number(q, 9, clock_ns() + 1000000) == AR_TIMEOUT);
    CHECK(take_number(q, &v, 0) == AR_OK && put_number(q, 3, 0) == AR_OK);
    CHECK(queue_task_done(A, q) == AR_OK && queue_join(A, q, 0) == AR_TIMEOUT);
    for (int i = 0; i < 3; i++) CHECK(queue_task_done(A, q) == AR_OK);
    CHECK(queue_task_done(A, q) == AR_OVERFLOW && queue_join(A, q, 0) == AR_OK);
    CHECK(queue_shutdown(A, q, false) == AR_OK);
    CHECK(put_number(q, 9, 0) == AR_SHUTDOWN && take_number(q, &v, 0) == AR_OK && v == 1);
    CHECK(queue_shutdown(A, q, true) == AR_OK && take_number(q, &v, 0) == AR_SHUTDOWN);
    ref_close(A, off);
    off = queue_new(A, 0, 100);
    q = at(off);
    CHECK(put_filler(q, 1, 500) == AR_OK);   /* heavier than the limit: alone */
    CHECK(put_number(q, 2, 0) == AR_TIMEOUT && take_number(q, &v, 0) == AR_OK && put_number(q, 2, 0) == AR_OK);
    ref_close(A, off);
}

static void put_for_ever(struct queue *q, uint64_t number)
{
    int rc;
    do rc = put_number(q, number, WAIT_FOREVER); while (rc == AR_INTR);
    CHECK(rc == AR_OK);
}

static void test_processes(uint32_t producers, uint32_t consumers, uint64_t each, uint64_t maxsize)
{
    aoff off = queue_new(A, maxsize, 0), report = queue_new(A, 0, 0);
    struct queue *q = at(off);
    for (uint64_t p = 0; p < producers; p++)
        if (fork() == 0) {
            for (uint64_t i = 1; i <= each; i++) put_for_ever(q, p << 32 | i);
            _exit(0);
        }
    for (uint32_t c = 0; c < consumers; c++)
        if (fork() == 0) {
            uint64_t last[64] = { 0 }, v, n = 0;
            for (;;) {
                int rc;
                do rc = take_number(q, &v, WAIT_FOREVER); while (rc == AR_INTR);     /* for a look at signals */
                CHECK(rc == AR_OK);
                if (v == UINT64_MAX) break;
                CHECK((v & 0xffffffff) > last[v >> 32]);
                last[v >> 32] = v & 0xffffffff;
                n++;
            }
            CHECK(put_number(at(report), n, 0) == AR_OK);
            _exit(0);
        }
    int status;
    for (uint32_t p = 0; p < producers; p++) CHECK(wait(&status) > 0 && status == 0);
    for (uint32_t c = 0; c < consumers; c++) put_for_ever(q, UINT64_MAX);
    for (uint32_t c = 0; c < consumers; c++) CHECK(wait(&status) > 0 && status == 0);
    uint64_t sum = 0, v;
    for (uint32_t c = 0; c < consumers; c++, sum += v) CHECK(take_number(at(report), &v, 0) == AR_OK);
    CHECK(sum == producers * each);
    ref_close(A, off);
    ref_close(A, report);
    registry_sweep(A);
}

#ifdef PROCESSION_FAULTS
enum { SIZE = 900 };                         /* the first chunk has 800 bytes, so this opens another */
static void op_put(struct queue *q) { put_number(q, 1000, 0); }
static void op_put_grow(struct queue *q) { put_filler(q, 1000, SIZE); }
static void op_put_block(struct queue *q) { put_block(q, 1000); }
static void op_put_many(struct queue *q)
{
    static char data[5][SIZE];
    struct message m[5];
    for (uint64_t i = 0; i < 5; i++) {
        uint64_t v = 1000 + i;
        memcpy(data[i], &v, 8);
        m[i] = (struct message){ data[i], i == 2 ? SIZE : 8, 8, NULL, 0, TAG_BYTES, 0 };
    }
    uint32_t done;
    queue_put(A, q, m, 5, &done, 0);
}
static void op_take(struct queue *q) { uint64_t v; take_number(q, &v, 0); }
static void op_take_many(struct queue *q)
{
    uint64_t buffer[4096];
    struct taken out = TAKEN_ON(buffer);
    queue_take(A, q, &out, 100, 0, 0, NULL);
    taken_free(&out);
}
static void op_shutdown(struct queue *q) { queue_shutdown(A, q, true); }
static void op_task_done(struct queue *q) { queue_task_done(A, q); }

static void fill_plain(struct queue *q) { for (uint64_t i = 0; i < 6; i++) CHECK(put_number(q, i, 0) == AR_OK); }
static void fill_chunks(struct queue *q)     /* the head chunk has been read to its end */
{
    uint64_t v;
    for (uint64_t i = 0; i < 8; i++) CHECK(put_number(q, 99, 0) == AR_OK);
    for (uint64_t i = 0; i < 6; i++) CHECK(put_filler(q, i, SIZE) == AR_OK);
    for (uint64_t i = 0; i < 8; i++) CHECK(take_number(q, &v, 0) == AR_OK);
}
static void fill_blocks(struct queue *q) { for (uint64_t i = 0; i < 6; i++) CHECK(put_block(q, i) == AR_OK); }

static const struct scenario {
    const char *name; void (*fill)(struct queue *); void (*op)(struct queue *); int makes, takes; uint64_t maxsize;
} scenarios[] = {
    { "put", fill_plain, op_put, 1, 0, 0 }, { "put, bounded", fill_plain, op_put, 1, 0, 50 },
    { "put, new chunk", fill_plain, op_put_grow, 1, 0, 0 }, { "put, block", fill_plain, op_put_block, 1, 0, 0 },
    { "put_many", fill_plain, op_put_many, 5, 0, 0 }, { "take", fill_plain, op_take, 0, 1, 0 },
    { "take, bounded", fill_plain, op_take, 0, 1, 7 }, { "take, chunk released", fill_chunks, op_take, 0, 1, 0 },
    { "take, block", fill_blocks, op_take, 0, 1, 0 }, { "take_many", fill_plain, op_take_many, 0, 6, 0 },
    { "take_many, chunks", fill_chunks, op_take_many, 0, 6, 0 }, { "shutdown", fill_blocks, op_shutdown, 0, 6, 0 },
    { "task_done", fill_plain, op_task_done, 0, 0, 0 },
};

static void test_kills(void)
{
    long total = 0;
    for (size_t n = 0; n < sizeof scenarios / sizeof *scenarios; n++) {
        const struct scenario *sc = &scenarios[n];
        bool ended = false;
        for (long k = 1; !ended; k += slow) {
            uint64_t before = used();
            aoff off = queue_new(A, sc->maxsize, 0);
            CHECK(off);
            struct queue *q = at(off);
            sc->fill(q);
            pid_t pid = fork();
            if (pid == 0) {
                fault_set(k);
                sc->op(q);
                fault_set(0);
                _exit(0);
            }
            int status;
            CHECK(waitpid(pid, &status, 0) == pid);
            ended = WIFEXITED(status) && WEXITSTATUS(status) == 0;
            CHECK(ended || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
            if (!arena_begin(A)) abort();                  /* a commit by transaction may wait for its repair */
            arena_end(A);
            /* The survivors: what is there is a run of 0..5 without some at its front, then some of 1000.. */
            uint64_t first = 0, made = 0, v, count = length(q);
            bool down = SH_GET(&q->flags) & QUEUE_SHUTDOWN;
            if (!down) CHECK(put_number(q, 5000, clock_ns() + 3000000000ull) == AR_OK);
            if (!ended && sc->makes == 0 && sc->takes == 0) CHECK(count == 6);
            for (uint64_t expect = 6 - (count < 6 ? count : 6), i = 0; i < count; i++) {
                CHECK(take_number(q, &v, 0) == AR_OK);
                if (v < 1000) {
                    CHECK(v == expect + i && v < 6);
                    first++;
                } else {
                    CHECK(v == 1000 + made);
                    made++;
                }
            }
            CHECK(first + (uint64_t)sc->takes >= 6 && first <= 6 && made <= (uint64_t)sc->makes);
            if (ended) CHECK(first == 6 - (uint64_t)sc->takes && made == (uint64_t)sc->makes);
            if (!down) {
                int last = take_number(q, &v, 0);
                if (last != AR_OK || v != 5000) fprintf(stderr, "%s, step %ld: %d, %llu\n", sc->name, k, last, (unsigned long long)v);
                CHECK(last == AR_OK && v == 5000);
            }
            struct queue_stat s;
            CHECK(queue_stat(A, q, &s) == AR_OK && s.put == s.taken && s.bytes == 0);
            CHECK(s.done <= s.put);
            for (uint64_t i = 0; !down && !sc->maxsize && i < 100; i++) CHECK(put_number(q, i, 0) == AR_OK);
            ref_close(A, off);
            registry_sweep(A);
            if (!arena_begin(A)) abort();
            ref_collect(A, 1000);
            arena_end(A);
            const char *wrong = heap_check(A);
            if (wrong || used() != before) {
                fprintf(stderr, "%s, step %ld: %s, %lld bytes left\n", sc->name, k, wrong ? wrong : "sound",
                        (long long)(used() - before));
                abort();
            }
            total++;
        }
    }
    printf("kills: %ld\n", total);
    for (int i = 0; fault_branch_name(i); i++)
        printf("  %s: %llu\n", fault_branch_name(i), (unsigned long long)fault_branch_count(i));
}
#endif

static void speed(uint64_t n)
{
    aoff off = queue_new(A, 0, 0);
    struct queue *q = at(off);
    uint64_t t = clock_ns(), v;
    for (uint64_t i = 0; i < n; i++) put_number(q, i, 0);
    uint64_t t2 = clock_ns();
    for (uint64_t i = 0; i < n; i++) take_number(q, &v, 0);
    uint64_t t3 = clock_ns();
    printf("put %.1f ns, take %.1f ns\n", (double)(t2 - t) / (double)n, (double)(t3 - t2) / (double)n);
    t = clock_ns();
    if (fork() == 0) {
        for (uint64_t i = 0; i < n; i++) put_number(q, i, WAIT_FOREVER);
        _exit(0);
    }
    for (uint64_t i = 0; i < n; i++) CHECK(take_number(q, &v, WAIT_FOREVER) == AR_OK && v == i);
    printf("1p1c %.1f ns an item\n", (double)(clock_ns() - t) / (double)n);
    int status;
    wait(&status);
    ref_close(A, off);
}

int main(int argc, char **argv)
{
    if (getenv("PROCESSION_SLOW")) slow = atoi(getenv("PROCESSION_SLOW"));
    CHECK(arena_ensure() == AR_OK);
    A = process_arena;
    queue_register();
#ifdef PROCESSION_FAULTS
    fault_init();
    fault_set(0);
#endif
    if (argc > 1) { speed(strtoull(argv[1], NULL, 10)); return 0; }
    aoff warm[100];                          /* the ledger grows once */
    for (int i = 0; i < 100; i++) warm[i] = ref_new(A, 10, KIND_BLOCK, false);
    for (int i = 0; i < 100; i++) ref_close(A, warm[i]);
    test_order();
    test_limits();
    test_processes(1, 1, 100000 / (uint32_t)slow, 0);
    test_processes(4, 4, 20000 / (uint32_t)slow, 0);
    test_processes(4, 2, 5000 / (uint32_t)slow, 10);
#ifdef PROCESSION_FAULTS
    test_kills();
#endif
    CHECK(!heap_check(A));
    puts("ok");
    return 0;
}
