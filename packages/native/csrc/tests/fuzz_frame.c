/* Fuzz: frames.  A peer may send anything; a frame is received whole, or refused, and none is read over its end.
 *
 * The first byte chooses the kind of descriptor and how the bytes that follow are cut into writes, the second how long a receive guesses
 * the frames to be; what is received
 * is compared with a reading of the same bytes in plain words. */
#define _GNU_SOURCE
#include "../ahead.h"
#include "../frame.h"
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LARGEST ((size_t)32768)

static char *room;
static struct ahead *ahead;

/* One frame from fd, as py_frame.c takes it: FRAME_OK and its payload in room, or why not. */
static int receive_one(int fd, enum frame_kind kind, int want_fds, size_t guess, uint64_t *size)
{
    static struct frame_in f;
    frame_in_init(&f, fd, kind, want_fds);
    f.ahead = ahead;
    f.guess = guess;
    int r = frame_begin(&f);
    CHECK(r != FRAME_ERRNO || errno == EMSGSIZE);
    if (r == FRAME_OK) {
        *size = f.size;
        CHECK(f.start_size <= f.size && f.size <= FRAME_LARGEST);
        CHECK(f.start >= f.scratch && f.start + f.start_size <= f.scratch + sizeof f.scratch);
        if (f.size > LARGEST) r = FRAME_BAD;                        /* more than was sent: the rest cannot come */
        else {
            memcpy(room, f.start, f.start_size);
            size_t done = f.start_size;
            do r = frame_rest(&f, room, &done);      /* a short read looks like a signal */
            while (r == FRAME_ERRNO && errno == EINTR);
            CHECK(done <= f.size);
            if (r == FRAME_OK) CHECK(done == f.size);
            CHECK(r != FRAME_ERRNO || errno == EMSGSIZE);
        }
    }
    frame_drop_fds(&f);
    CHECK(f.fd_count == 0);
    return r;
}

/* The same, on a stream, from the format's description. */
static int read_one(const uint8_t **at, const uint8_t *end, const uint8_t **payload, uint64_t *size)
{
    size_t left = (size_t)(end - *at);
    if (left == 0) return FRAME_END;
    if (left < 4) return FRAME_CUT;
    uint32_t first = (uint32_t)(*at)[0] << 24 | (uint32_t)(*at)[1] << 16 | (uint32_t)(*at)[2] << 8 | (*at)[3];
    size_t head = 4;
    *size = first;
    if (first == 0xffffffff) {
        if (left < 12) return FRAME_CUT;
        *size = 0;
        for (int i = 4; i < 12; i++) *size = *size << 8 | (*at)[i];
        head = 12;
    } else if (first > 0x7fffffff) return FRAME_BAD;
    if (*size > LARGEST) return FRAME_BAD;
    if (left - head < *size) return FRAME_CUT;
    *payload = *at + head;
    *at += head + *size;
    return FRAME_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!room) CHECK((room = malloc(LARGEST)) != NULL);
    if (!ahead) CHECK((ahead = ahead_new()) != NULL);
    if (size < 3 || size > LARGEST) return 0;
    enum frame_kind kind = (enum frame_kind)(data[0] & 3);
    /* Any guess is right for a stream. */
    size_t guess = kind == FRAME_PACKET ? 0 : (size_t)data[1] * 16;
    int want_fds = data[0] >> 2 & 1, cut = data[0] >> 3;
    data += 2;
    size -= 2;
    int ends[2];
    if (kind == FRAME_PIPE) CHECK(pipe2(ends, O_CLOEXEC) == 0);
    else CHECK(socketpair(AF_UNIX, (kind == FRAME_PACKET ? SOCK_SEQPACKET : SOCK_STREAM) | SOCK_CLOEXEC, 0, ends) == 0);
    /* A stream socket that is no Unix socket is read with recv() alone: the same descriptor does for that. */
    for (size_t sent = 0; sent < size;) {
        size_t n = cut ? (size_t)cut * 37 : size;
        if (n > size - sent) n = size - sent;
        ssize_t w = kind == FRAME_PIPE ? write(ends[1], data + sent, n) : send(ends[1], data + sent, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (w <= 0) {                                               /* more packets than the socket holds */
            size = sent;
            break;
        }
        sent += (size_t)w;
    }
    close(ends[1]);
    const uint8_t *at = data;
    for (int i = 0; i < 64; i++) {
        uint64_t got = 0, wanted = 0;
        const uint8_t *payload = NULL;
        int r = receive_one(ends[0], kind, want_fds, i % 3 == 2 ? 0 : guess, &got);
        if (kind != FRAME_PACKET) {
            int expected = read_one(&at, data + size, &payload, &wanted);
            CHECK(r == expected);
            if (r == FRAME_OK) CHECK(got == wanted && memcmp(room, payload, got) == 0);
        }
        if (r != FRAME_OK) break;
    }
    char rest[AHEAD_ROOM];
    ahead_take(ahead, rest, sizeof rest);
    close(ends[0]);
    return 0;
}
