/* The ring of a pipe: order, sleeping, marks, leaving, ends and deaths. */
#define _GNU_SOURCE
#include "../faults.h"
#include "../registry.h"
#include "../ring.h"
#include "check.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct arena *A;

/* One direction: the reader's and the writer's descriptor. */
struct line { aoff off; struct ring *r; int reader, writer; enum frame_kind kind; };

static struct line line_new(enum frame_kind kind, uint64_t most)
{
    struct line l = { pipe_new(A, most), NULL, -1, -1, kind };
    int fds[2];
    CHECK(l.off != 0);
    CHECK(kind == FRAME_PIPE ? pipe(fds) == 0 : socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    l.reader = fds[0];
    l.writer = fds[1];
    l.r = &((struct pipe *)arena_ptr(A, l.off))->way[0];
    return l;
}
static void line_close(struct line *l)
{
    if (l->reader >= 0) close(l->reader);
    if (l->writer >= 0) close(l->writer);
    ref_close(A, l->off);
}

static int send_number(struct line *l, uint64_t value)
{
    struct message m = { &value, 8, 72, NULL, 0, TAG_INT, 0 };
    int rc = ring_try_send(A, l->r, l->writer, l->kind, &m);
    while (rc == AR_BUSY || rc == AR_FULL || rc == AR_INTR) rc = ring_send(A, l->r, l->writer, l->kind, &m);
    return rc;
}
static int take_number(struct line *l, uint64_t *value)
{
    uint64_t buffer[64];
    struct taken out = TAKEN_ON(buffer);
    int rc;
    do rc = ring_take(A, l->r, l->reader, l->kind, &out); while (rc == AR_INTR);
    if (rc == AR_OK) *value = word_at(out.data + 8);
    taken_free(&out);
    return rc;
}
static int in_child(struct line *l, int (*what)(struct line *))
{
    int pid = fork();
    if (pid == 0) _exit(what(l));
    return pid;
}
static int status_of(int pid)
{
    int status;
    CHECK(waitpid(pid, &status, 0) == pid);
    registry_note_exit(A, (uint32_t)pid, status);
    return status;
}

#define MANY 20000u
static int send_many(struct line *l)
{
    for (uint64_t i = 0; i < MANY; i++) {
        if (send_number(l, i) != AR_OK) return 1;
        if (i % 997 == 0) usleep(2000);
    }
    return 0;
}
static int send_and_die(struct line *l)
{
    close(l->reader);
    send_number(l, 7);
    raise(SIGKILL);
    return 1;
}
static int read_and_die(struct line *l)
{
    uint64_t v;
    close(l->writer);
    take_number(l, &v);
    usleep(100000);
    raise(SIGKILL);
    return 1;
}

static void order_and_end(enum frame_kind kind)
{
    struct line l = line_new(kind, 4096);
    int pid = in_child(&l, send_many);
    uint64_t v = 0;
    close(l.writer);
    l.writer = -1;
    for (uint64_t i = 0; i < MANY; i++) {
        if (i % 1009 == 0) usleep(3000);
        CHECK(take_number(&l, &v) == AR_OK && v == i);
    }
    CHECK(take_number(&l, &v) == AR_PEER_DIED);
    CHECK(status_of(pid) == 0);
    CHECK(ring_wait(A, l.r, l.reader, kind, 0) == AR_PEER_DIED);
    line_close(&l);
}

static void deaths(enum frame_kind kind)
{
    uint64_t v = 0;
    struct line l = line_new(kind, 4096);
    int pid = in_child(&l, send_and_die);
    close(l.writer);
    l.writer = -1;
    CHECK(take_number(&l, &v) == AR_OK && v == 7);
    CHECK(take_number(&l, &v) == AR_PEER_DIED);
    int status = status_of(pid);                        /* macOS's macros take its address */
    CHECK(WIFSIGNALED(status));
    line_close(&l);

    l = line_new(kind, 4096);
    pid = in_child(&l, read_and_die);
    close(l.reader);
    l.reader = -1;
    int rc;
    while ((rc = send_number(&l, 1)) == AR_OK) { }
    CHECK(rc == AR_BROKEN && ring_gone(l.writer) == 1);
    status = status_of(pid);
    CHECK(WIFSIGNALED(status));
    line_close(&l);
}

static void leaving(enum frame_kind kind)
{
    struct line l = line_new(kind, 4096);
    uint64_t v = 0;
    bool left;
    char buffer[16];
    CHECK(ring_wait(A, l.r, l.reader, kind, clock_ns() + 1000000) == AR_TIMEOUT);     /* leaves the wish to be woken */
    CHECK(send_number(&l, 1) == AR_OK);                                               /* with a mark */
    CHECK(ring_leave(A, l.r, l.writer, kind, false, &left) == AR_OK && left);
    CHECK(send_number(&l, 2) == AR_SHUTDOWN);
    CHECK(write(l.writer, "frame", 5) == 5);
    CHECK(ring_leave(A, l.r, l.reader, kind, true, &left) == AR_OK && left);
    CHECK(take_number(&l, &v) == AR_OK && v == 1);
    CHECK(take_number(&l, &v) == AR_SHUTDOWN);
    CHECK(read(l.reader, buffer, sizeof buffer) == 5 && memcmp(buffer, "frame", 5) == 0);
    line_close(&l);

    l = line_new(kind, 4096);
    for (int i = 0; i < 100; i++) {                                                   /* marks do not pile up */
        ring_asleep(l.r);
        ring_awake(l.r);
        CHECK(send_number(&l, 3) == AR_OK && take_number(&l, &v) == AR_OK && v == 3);
    }
    for (int i = 0; i < 101 && ring_wait(A, l.r, l.reader, kind, clock_ns() + 1000000) != AR_TIMEOUT; i++) { }
    ring_drain(A, l.r, l.reader, kind);
    CHECK(ring_wait(A, l.r, l.reader, kind, 0) == AR_TIMEOUT);
    line_close(&l);
}

static bool readable(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    return poll(&p, 1, 0) > 0;
}

/* Two that sleep on one end, in the orders in which one could be forgotten. */
static void two_readers(enum frame_kind kind)
{
    struct line l = line_new(kind, 4096);
    uint64_t v = 0;
    ring_asleep(l.r);
    ring_asleep(l.r);
    CHECK(send_number(&l, 1) == AR_OK && send_number(&l, 2) == AR_OK && readable(l.reader));
    ring_awake(l.r);                                                                  /* the first, which takes one message */
    ring_drain(A, l.r, l.reader, kind);
    CHECK(take_number(&l, &v) == AR_OK && v == 1 && readable(l.reader));
    ring_asleep(l.r);                                                                 /* it comes back before the second wakes */
    ring_awake(l.r);
    ring_drain(A, l.r, l.reader, kind);
    CHECK(take_number(&l, &v) == AR_OK && v == 2);
    ring_drain(A, l.r, l.reader, kind);                                               /* nothing is left: the other sleeps on */
    CHECK(!readable(l.reader));
    CHECK(send_number(&l, 3) == AR_OK && readable(l.reader));
    ring_awake(l.r);
    ring_drain(A, l.r, l.reader, kind);
    CHECK(!readable(l.reader) && take_number(&l, &v) == AR_OK && v == 3);
    CHECK(SH_GET(&l.r->sleepers) == 0);
    line_close(&l);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    CHECK(arena_ensure() == AR_OK);
    A = process_arena;
    ring_setup();
    uint64_t before = 0;
    for (int round = 0; round < 3; round++) {
        for (int k = 0; k < 2; k++) {
            enum frame_kind kind = k ? FRAME_UNIX : FRAME_PIPE;
            order_and_end(kind);
            deaths(kind);
            leaving(kind);
            two_readers(kind);
        }
        arena_begin(A);
        ref_collect(A, 1 << 30);
        arena_end(A);
        uint64_t now = SH_GET(&A->h->used_bytes);
        CHECK(round < 2 || now == before);
        before = now;
    }
    CHECK(heap_check(A) == NULL);
    puts("ok");
    return 0;
}
