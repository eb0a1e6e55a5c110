/* ring.c: the messages of a Pipe in the arena.  Format and protocol: ring.h. */
#define _GNU_SOURCE
#include "ring.h"
#include "bag.h"
#include "registry.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SLICE_FIRST_NS 20000000ull
#define SLICE_NS 250000000ull
#define ROOM_SLICE_NS 100000000ull
#define MARKS 64                                 /* that are taken out with one call */

/* ---- life ------------------------------------------------------------------------------------------------------ */

static bool pipe_step(struct arena *a, aoff payload)
{
    struct pipe *p = arena_ptr(a, payload);
    if (!bag_release_step(a, payload)) return false;
    for (int i = 0; i < 2; i++) {
        struct queue *q = &p->way[i].q;
        if (!SH_PEEK(&q->head)) continue;
        if (queue_release_step(a, q) && SH_PEEK(&q->head)) txn_set(a, &q->head, 0);
        return false;
    }
    return true;
}

void ring_setup(void) { ref_set_release(KIND_PIPE, pipe_step); }

static aoff make(struct arena *a, uint64_t maxbytes)
{
    bool clean = false;
    aoff chunk[2] = { 0, 0 }, off = 0;
    if (!arena_begin(a)) return 0;
    if (ref_prepare(a, 1) == AR_OK) chunk[0] = queue_first_chunk(a);
    if (chunk[0]) chunk[1] = queue_first_chunk(a);
    if (chunk[1]) off = heap_alloc(a, sizeof(struct pipe), KIND_PIPE, &clean);
    struct pipe *p = off ? arena_ptr(a, off) : NULL;
    if (p) {
        memset((void *)p, 0, sizeof *p);
        for (int i = 0; i < 2; i++) queue_format(&p->way[i].q, chunk[i], 0, maxbytes);
    }
    if (!p || ref_own_new(a, off) != AR_OK) return arena_abandon(a);
    arena_end(a);
    return off;
}

aoff pipe_new(struct arena *a, uint64_t maxbytes)
{
    aoff off = make(a, maxbytes);
    if (!off && registry_sweep(a) > 0) off = make(a, maxbytes);             /* what the dead held is free now */
    return off;
}

/* ---- marks ----------------------------------------------------------------------------------------------------- */

static void write_mark(int fd, enum frame_kind kind)
{
    FAULT_POINT();
    /* A pipe in which there are marks only is never full; the socket's buffer neither, and it does not matter. */
    ssize_t n = kind == FRAME_PIPE ? write(fd, RING_MARK, RING_MARK_SIZE)
                                   : send(fd, RING_MARK, RING_MARK_SIZE, MSG_DONTWAIT | OS_SEND_FLAGS);
    (void)n;
    FAULT_POINT();
}

static void wake(struct arena *a, struct ring *r, int fd, enum frame_kind kind)
{
    int error = errno;
    uint32_t one = 1;
    if (queue_lock_briefly(a, &r->q.put_lock, RANK_PUT) != AR_OK) return;
    if (!(SH_PEEK(&r->q.flags) & QUEUE_SHUTDOWN) && SH_CAS32(&r->asleep, &one, 0)) write_mark(fd, kind);
    queue_unlock(a, &r->q.put_lock, RANK_PUT);
    errno = error;
}

/* While the ring is in use there is nothing but marks; the caller holds both locks. */
static void drop_marks(int fd, enum frame_kind kind)
{
    char buffer[MARKS * RING_MARK_SIZE];
    if (kind == FRAME_PIPE) {
        int there = 0;
        if (ioctl(fd, FIONREAD, &there) == 0 && there > 0) there = (int)read(fd, buffer, sizeof buffer);
        return;
    }
    ssize_t n = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);      /* a second one is rare: it ends the next sleep at once */
    (void)n;
}

static bool is_mark(const char *data, ssize_t size)
{
    return size >= RING_MARK_SIZE && memcmp(data, RING_MARK, RING_MARK_SIZE) == 0;
}

/* What a pipe begins with, left where it is. */
static bool pipe_begins_with_mark(int fd)
{
    char buffer[RING_MARK_SIZE];
    return is_mark(buffer, os_peek_pipe(fd, buffer, sizeof buffer));
}

/* Frames may be behind the marks; the caller holds the get lock. */
static void drop_first_marks(int fd, enum frame_kind kind)
{
    char buffer[RING_MARK_SIZE];
    if (kind == FRAME_PIPE) {
        while (pipe_begins_with_mark(fd) && read(fd, buffer, RING_MARK_SIZE) > 0) { }
        return;
    }
    while (is_mark(buffer, recv(fd, buffer, sizeof buffer, MSG_DONTWAIT | MSG_PEEK)) &&
           recv(fd, buffer, sizeof buffer, MSG_DONTWAIT) > 0) { }
}

void ring_drain(struct arena *a, struct ring *r, int fd, enum frame_kind kind)
{
    int error = errno;
    if (queue_lock_briefly(a, &r->q.put_lock, RANK_PUT) != AR_OK) return;
    if (queue_lock_briefly(a, &r->q.get_lock, RANK_GET) == AR_OK) {
        bool others = SH_PEEK(&r->sleepers) != 0;
        if (!(SH_PEEK(&r->q.flags) & QUEUE_SHUTDOWN) && !(others && queue_has(a, &r->q))) {
            if (others) SH_SET(&r->asleep, 1);
            drop_marks(fd, kind);
        }
        queue_unlock(a, &r->q.get_lock, RANK_GET);
    }
    queue_unlock(a, &r->q.put_lock, RANK_PUT);
    errno = error;
}

/* ---- sending --------------------------------------------------------------------------------------------------- */

int ring_gone(int fd)
{
    struct pollfd p = { .fd = fd, .events = 0 };
    int n = poll(&p, 1, 0);
    if (n < 0) return errno == EINTR ? 0 : -1;
    if (n == 0) return 0;
    if (p.revents & POLLNVAL) {
        errno = EBADF;
        return -1;
    }
    return (p.revents & (POLLHUP | POLLERR)) != 0;
}

int ring_try_send(struct arena *a, struct ring *r, int fd, enum frame_kind kind, const struct message *m)
{
    uint32_t done;
    int rc = queue_try_put(a, &r->q, m, 1, &done);
    if (rc == AR_OK && __builtin_expect(SH_PEEK(&r->asleep) != 0, 0)) wake(a, r, fd, kind);
    return rc;
}

int ring_send(struct arena *a, struct ring *r, int fd, enum frame_kind kind, const struct message *m)
{
    uint32_t done;
    uint64_t slice = SLICE_FIRST_NS;
    for (;;) {
        int rc = queue_put(a, &r->q, m, 1, &done, clock_ns() + slice);
        if (rc == AR_OK && SH_PEEK(&r->asleep) != 0) wake(a, r, fd, kind);
        if (rc != AR_TIMEOUT) return rc;
        int gone = ring_gone(fd);
        if (gone) return gone < 0 ? AR_SYS : AR_BROKEN;
        if (slice >= ROOM_SLICE_NS) return AR_INTR;      /* a signal may have come between two slices */
        slice *= 2;
    }
}

/* ---- receiving ------------------------------------------------------------------------------------------------- */

void ring_asleep(struct ring *r)
{
    uint32_t sleepers = SH_PEEK(&r->sleepers);
    while (!SH_CAS32(&r->sleepers, &sleepers, sleepers + 1)) { }
    SH_SET(&r->asleep, 1);
    SH_FENCE();                                  /* before the look; pairs with the one after a commit */
}

void ring_awake(struct ring *r)
{
    uint32_t sleepers = SH_PEEK(&r->sleepers);
    while (sleepers && !SH_CAS32(&r->sleepers, &sleepers, sleepers - 1)) { }
}

int ring_look(struct arena *a, struct ring *r)
{
    if (queue_has(a, &r->q)) return AR_OK;
    if (!(SH_GET(&r->q.flags) & QUEUE_SHUTDOWN)) return AR_EMPTY;
    return queue_has(a, &r->q) ? AR_OK : AR_SHUTDOWN;    /* the flag comes after the last commit */
}

bool ring_awaited(struct arena *a, struct ring *r)
{
    return (SH_PEEK(&r->asleep) || SH_PEEK(&r->q.spinner)) && ring_look(a, r) == AR_EMPTY;
}

/* Sleeps until something may have changed, at most until the deadline.  AR_OK: look again; AR_TIMEOUT, AR_INTR, AR_SYS. */
static int rest(struct arena *a, struct ring *r, int fd, enum frame_kind kind, uint64_t deadline, uint64_t *slice, bool *ended)
{
    uint64_t left = 0;
    if (deadline) {
        uint64_t now = deadline == WAIT_FOREVER ? 0 : clock_ns();
        left = deadline > now ? deadline - now : 0;
        ring_asleep(r);
        if (ring_look(a, r) != AR_EMPTY) {
            ring_awake(r);
            return AR_OK;
        }
    }
    uint64_t most = FAULT_SLICE(*slice);
    bool sliced = left > most;
    if (sliced) left = most;
    struct pollfd p = { .fd = fd, .events = POLLIN | OS_POLL_ENDED };
    int n = os_poll(&p, 1, left);
    if (deadline) ring_awake(r);
    if (n < 0) return errno == EINTR ? AR_INTR : AR_SYS;
    if (n > 0) {
        if (p.revents & POLLNVAL) {
            errno = EBADF;
            return AR_SYS;
        }
        if (p.revents & POLLIN) ring_drain(a, r, fd, kind);
        *ended = (p.revents & (POLLHUP | OS_POLL_ENDED | POLLERR)) != 0;
        return AR_OK;
    }
    if (!sliced) return AR_TIMEOUT;
    if (*slice >= SLICE_NS) return AR_INTR;
    *slice *= 2;
    return AR_OK;
}

int ring_take(struct arena *a, struct ring *r, int fd, enum frame_kind kind, struct taken *out)
{
    uint64_t slice = SLICE_FIRST_NS;
    bool ended = false, spun = false;
    for (;;) {
        int rc = queue_take_now(a, &r->q, out);
        if (rc != AR_EMPTY) {
            if (rc == AR_SHUTDOWN && queue_lock_briefly(a, &r->q.get_lock, RANK_GET) == AR_OK) {
                drop_first_marks(fd, kind);
                queue_unlock(a, &r->q.get_lock, RANK_GET);
            }
            return rc == AR_TIMEOUT ? AR_INTR : rc;      /* a stopped process holds the lock */
        }
        if (ended) return AR_PEER_DIED;
        if (!spun) {
            spun = true;
            if (queue_spin(a, &r->q)) continue;
        }
        rc = rest(a, r, fd, kind, WAIT_FOREVER, &slice, &ended);
        if (rc != AR_OK) return rc;
    }
}

int ring_wait(struct arena *a, struct ring *r, int fd, enum frame_kind kind, uint64_t deadline)
{
    uint64_t slice = SLICE_FIRST_NS;
    bool ended = false, asked = false, spun = deadline == 0;
    for (;;) {
        int rc = ring_look(a, r);
        if (rc != AR_EMPTY) {
            bool left;
            if (rc == AR_SHUTDOWN) ring_leave(a, r, fd, kind, true, &left);
            return rc;
        }
        if (ended) return AR_PEER_DIED;
        if (asked && deadline == 0) return AR_TIMEOUT;
        if (!spun) {
            spun = true;
            if (queue_spin(a, &r->q)) continue;
        }
        asked = true;
        rc = rest(a, r, fd, kind, deadline, &slice, &ended);
        if (rc == AR_TIMEOUT) return ring_look(a, r) == AR_OK ? AR_OK : AR_TIMEOUT;
        if (rc != AR_OK) return rc;
    }
}

/* ---- leaving --------------------------------------------------------------------------------------------------- */

int ring_leave(struct arena *a, struct ring *r, int fd, enum frame_kind kind, bool reads, bool *left)
{
    struct queue *q = &r->q;
    int error = errno, rc = queue_lock_briefly(a, &q->put_lock, RANK_PUT);       /* after this no send is under way */
    if (rc != AR_OK) return rc;
    rc = queue_lock_briefly(a, &q->get_lock, RANK_GET);
    if (rc == AR_OK) {
        if (!(SH_PEEK(&q->flags) & QUEUE_SHUTDOWN)) SH_SET(&q->flags, SH_PEEK(&q->flags) | QUEUE_SHUTDOWN);
        if (reads) drop_first_marks(fd, kind);
        *left = queue_has(a, q);
        queue_unlock(a, &q->get_lock, RANK_GET);
    }
    queue_unlock(a, &q->put_lock, RANK_PUT);
    SH_FENCE();
    SH_SET(&q->not_full, 2);
    futex_wake(&q->not_full, INT_MAX);
    errno = error;
    return rc;
}

void ring_closed(struct ring *r)
{
    SH_ADD(&r->closed, 1);
    SH_FENCE();
    if (SH_PEEK(&r->q.not_full_sleepers)) futex_wake(&r->q.not_full, INT_MAX);
}
