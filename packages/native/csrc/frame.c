/* frame.c: reading and writing frames.  See frame.h for the layout. */
#define _GNU_SOURCE
#include "frame.h"
#include "ahead.h"
#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* The kernel moves at most this much in one call; asking for more is allowed, but not for more than SSIZE_MAX. */
#ifndef PROCESSION_FAULTS
#define ONE_CALL ((size_t)0x7ffff000)
#else
#define ONE_CALL ((size_t)64 << 10)             /* so that tests can kill in the middle of a message */
#endif

/* Frames up to here are copied together for the kernel. */
#define FRAME_SMALL 512
/* Payloads from here on are read into huge pages. */
#define HUGE_PAYLOAD ((uint64_t)4 << 20)
/* Payloads from here on make their pipe grow to this size.  Not all pipes: the user's account of pipe memory is small. */
#define LONG_PAYLOAD ((size_t)256 << 10)
#define LONG_PIPE (256 << 10)

int frame_kind(int fd)
{
    int value = os_socket_family(fd);
    socklen_t size = sizeof value;
    if (value < 0) return errno == ENOTSOCK ? FRAME_PIPE : FRAME_ERRNO;
    if (value != AF_UNIX) return FRAME_STREAM;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &size) < 0) return FRAME_ERRNO;
    return value == SOCK_SEQPACKET ? FRAME_PACKET : FRAME_UNIX;
}

static void put32(unsigned char *p, uint32_t v)
{
    for (int i = 0; i < 4; i++) p[i] = (unsigned char)(v >> (24 - 8 * i));
}

static uint32_t get32(const char *p)
{
    const unsigned char *u = (const unsigned char *)p;
    return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 | u[3];
}

/* Some programs make their descriptors non-blocking: then wait here. */
static int wait_until(int fd, short events)
{
    struct pollfd p = { .fd = fd, .events = events };
    return poll(&p, 1, -1) < 0 ? FRAME_ERRNO : FRAME_OK;
}

/* -- out ------------------------------------------------------------------------------------------------------ */

void frame_out_init(struct frame_out *f, int fd, enum frame_kind kind, const void *data, size_t size)
{
    *f = (struct frame_out){ .fd = fd, .kind = kind, .data = data, .size = size, .head_size = 4 };
    if (size <= 0x7fffffff) {
        put32(f->head, (uint32_t)size);
    } else {
        put32(f->head, 0xffffffff);
        put32(f->head + 4, (uint32_t)((uint64_t)size >> 32));
        put32(f->head + 8, (uint32_t)size);
        f->head_size = 12;
    }
}

static void widen(int fd)
{
    int error = errno;
    os_widen_pipe(fd, LONG_PIPE);
    errno = error;
}

int frame_write(struct frame_out *f)
{
    if (f->kind == FRAME_PIPE && f->done == 0 && f->size >= LONG_PAYLOAD) widen(f->fd);
    size_t total = f->head_size + f->size;
    union { char space[CMSG_SPACE(FRAME_FDS * sizeof(int))]; struct cmsghdr align; } control;
    while (f->done < total) {
        struct iovec v[2];
        int count = 0;
        size_t at = f->done < f->head_size ? 0 : f->done - f->head_size;
        size_t left = f->size - at;
        int with_head = f->done < f->head_size;
        if (with_head) v[count++] = (struct iovec){ f->head + f->done, f->head_size - f->done };
        if (f->kind == FRAME_PACKET) {
            if (with_head && f->size > FRAME_JOINED) left = 0;
            if (left > FRAME_PIECE) left = FRAME_PIECE;
        }
        if (left > ONE_CALL) left = ONE_CALL;
        if (left) v[count++] = (struct iovec){ (char *)f->data + at, left };
        ssize_t n;
        FAULT_POINT();
        size_t whole = total - f->done;
        if (f->fd_count == 0 && f->kind != FRAME_PIPE && with_head && whole <= FRAME_SMALL) {
            char small[FRAME_SMALL];             /* to copy it costs less than to have the kernel look at a list */
            memcpy(small, v[0].iov_base, v[0].iov_len);
            if (count == 2) memcpy(small + v[0].iov_len, v[1].iov_base, v[1].iov_len);
            n = send(f->fd, small, whole, OS_SEND_FLAGS);
        } else if (f->kind == FRAME_PIPE) {
            n = writev(f->fd, v, count);
        } else {
            struct msghdr m = { .msg_iov = v, .msg_iovlen = (size_t)count };
            if (f->fd_count && f->done == 0) {
                m.msg_control = control.space;
                m.msg_controllen = CMSG_SPACE((size_t)f->fd_count * sizeof(int));
                struct cmsghdr *c = CMSG_FIRSTHDR(&m);
                c->cmsg_level = SOL_SOCKET;
                c->cmsg_type = SCM_RIGHTS;
                c->cmsg_len = CMSG_LEN((size_t)f->fd_count * sizeof(int));
                memcpy(CMSG_DATA(c), f->fds, (size_t)f->fd_count * sizeof(int));
            }
            n = sendmsg(f->fd, &m, OS_SEND_FLAGS);
        }
        FAULT_POINT();
        if (n < 0) {
            if (errno != EAGAIN && errno != EWOULDBLOCK) return FRAME_ERRNO;
            if (wait_until(f->fd, POLLOUT) < 0) return FRAME_ERRNO;
            continue;
        }
        f->done += (size_t)n;
        size_t asked = 0;
        for (int i = 0; i < count; i++) asked += v[i].iov_len;
        if ((size_t)n < asked) {
            /* A blocking write stops early only for a signal, whose handler must run before the next one blocks. */
            errno = EINTR;
            return FRAME_ERRNO;
        }
    }
    return FRAME_OK;
}

/* -- in ------------------------------------------------------------------------------------------------------- */

void frame_in_init(struct frame_in *f, int fd, enum frame_kind kind, int want_fds)
{
    f->fd = fd;
    f->kind = kind;
    f->ahead = NULL;
    f->guess = 0;
    f->want_fds = want_fds && kind >= FRAME_UNIX;
    f->size = 0;
    f->have = 0;
    f->start = NULL;
    f->start_size = 0;
    f->fd_count = 0;
}

void frame_drop_fds(struct frame_in *f)
{
    while (f->fd_count) close(f->fds[--f->fd_count]);
}

static void keep_fds(struct frame_in *f, struct msghdr *m)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
            os_close_on_exec_received(fd);
            if (f->fd_count < FRAME_FDS)
                f->fds[f->fd_count++] = fd;
            else
                close(fd);
        }
    }
}

/* One receive. */
static ssize_t take(struct frame_in *f, char *to, size_t size)
{
    if (f->kind == FRAME_PIPE) return read(f->fd, to, size);
    if (!f->want_fds) {
        /* Of a packet that is too long, the length is the real one. */
        ssize_t n = recv(f->fd, to, size, f->kind == FRAME_PACKET ? MSG_TRUNC : 0);
        if (n <= (ssize_t)size) return n;
        errno = EMSGSIZE;
        return FRAME_ERRNO;
    }
    union { char space[CMSG_SPACE(FRAME_FDS * sizeof(int))]; struct cmsghdr align; } control;
    struct iovec v = { to, size };
    struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space };
    ssize_t n = recvmsg(f->fd, &m, OS_RECEIVE_FLAGS);
    if (n >= 0 && m.msg_controllen) keep_fds(f, &m);
    if (n >= 0 && f->kind == FRAME_PACKET && (m.msg_flags & MSG_TRUNC)) {
        errno = EMSGSIZE;
        return FRAME_ERRNO;
    }
    return n;
}

/* Bytes read into to[0..size), 0 at the end, or FRAME_ERRNO. */
static ssize_t receive(struct frame_in *f, char *to, size_t size)
{
    if (ahead_count(f->ahead)) {
        ssize_t n = (ssize_t)ahead_take(f->ahead, to, size);
        if (n) return n;
    }
    for (;;) {
        FAULT_POINT();
        ssize_t n = take(f, to, size);
        FAULT_POINT();
        if (n >= 0) return n;
        if (errno != EAGAIN && errno != EWOULDBLOCK) return FRAME_ERRNO;
        if (wait_until(f->fd, POLLIN) < 0) return FRAME_ERRNO;
    }
}

int frame_begin(struct frame_in *f)
{
    size_t need = 4;
    for (;;) {
        if (f->have >= 4 && get32(f->scratch) == 0xffffffff) need = 12;
        if (f->have >= need) break;
        /* A stream must not give more than the header, unless all who read it know where to look for more. */
        size_t room = need - f->have;
        if (f->kind == FRAME_PACKET) room = sizeof f->scratch - f->have;
        else if (f->guess > f->have + room && !ahead_count(f->ahead)) room = f->guess - f->have;
        ssize_t n = receive(f, f->scratch + f->have, room);
        if (n < 0) return FRAME_ERRNO;
        if (n == 0) return f->have ? FRAME_CUT : FRAME_END;
        f->have += (size_t)n;
    }
    uint32_t first = get32(f->scratch);
    if (need == 12)
        f->size = (uint64_t)get32(f->scratch + 4) << 32 | get32(f->scratch + 8);
    else if (first > 0x7fffffff)
        return FRAME_BAD;
    else
        f->size = first;
    f->start = f->scratch + need;
    f->start_size = f->have - need;
    if (f->size > FRAME_LARGEST) return FRAME_BAD;
    if (f->start_size > f->size) {
        if (!f->guess) return FRAME_BAD;
        ahead_put(f->ahead, f->start + f->size, f->start_size - (size_t)f->size);
        f->start_size = (size_t)f->size;
    }
    return FRAME_OK;
}

int frame_rest(struct frame_in *f, char *to, size_t *done)
{
    if (*done < f->size && ahead_count(f->ahead)) *done += ahead_take(f->ahead, to + *done, (size_t)f->size - *done);
    return frame_fill(f->fd, f->kind, to, (size_t)f->size, done);
}

int frame_fill(int fd, enum frame_kind kind, char *to, size_t size, size_t *done)
{
    while (*done < size) {
        size_t left = size - *done < ONE_CALL ? size - *done : ONE_CALL;
        FAULT_POINT();
        ssize_t n = kind == FRAME_PIPE ? read(fd, to + *done, left)
                                       : recv(fd, to + *done, left, kind == FRAME_PACKET ? 0 : MSG_WAITALL);
        FAULT_POINT();
        if (n > 0) {
            *done += (size_t)n;
            if (kind != FRAME_PIPE && kind != FRAME_PACKET && (size_t)n < left) {
                errno = EINTR;                   /* MSG_WAITALL stops early for a signal too, or at the end */
                return FRAME_ERRNO;
            }
        } else if (n == 0) {
            return FRAME_CUT;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            if (wait_until(fd, POLLIN) < 0) return FRAME_ERRNO;
        } else {
            return FRAME_ERRNO;
        }
    }
    return FRAME_OK;
}

void frame_prepare(char *to, uint64_t size)
{
    if (size < HUGE_PAYLOAD) return;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), first = ((uintptr_t)to + page - 1) & ~(page - 1);
    uintptr_t end = ((uintptr_t)to + size) & ~(page - 1);
    int error = errno;
    if (end > first) os_use_huge_pages((void *)first, end - first);
    errno = error;
}
