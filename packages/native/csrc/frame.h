/* frame.h: messages with a length in front, on a descriptor.
 *
 * A frame is a header and a payload.  All numbers are big-endian:
 *
 *   bytes   what                                    when
 *   0-3     int32   size of the payload             payload of at most 0x7fffffff bytes
 *   0-3     int32   -1, then
 *   4-11    uint64  size of the payload             larger payloads
 *   then    the payload
 *
 * Valid if and only if the first number is -1 or not negative, the size is at most FRAME_LARGEST and that many bytes
 * follow.  This is CPython's format.
 *
 * On a socket that keeps packets apart (FRAME_PACKET) every frame begins a packet of its own.  A frame whose payload is
 * at most FRAME_JOINED bytes is one packet; of a larger one the header is a packet, and the payload follows in packets of
 * at most FRAME_PIECE bytes.  So one receive takes a whole small message and cannot touch the next one, which
 * another process may be about to read.  A stream needs two: the header, then exactly the payload; or one that guesses how long
 * the frame is, and a place for what it took too much (ahead.h).
 *
 * Nothing here knows Python.  Calls that were interrupted by a signal return FRAME_ERRNO with EINTR and go on
 * where they stopped when they are called again with the same state.
 */
#ifndef PROCESSION_FRAME_H
#define PROCESSION_FRAME_H

#include <stddef.h>
#include <stdint.h>

struct ahead;

enum frame_kind {
    FRAME_PIPE = 0,                              /* no socket */
    FRAME_STREAM = 1,                            /* a stream socket of another family than AF_UNIX */
    FRAME_UNIX = 2,                              /* a stream socket, AF_UNIX: carries descriptors */
    FRAME_PACKET = 3,                            /* SOCK_SEQPACKET, AF_UNIX: carries descriptors */
};

enum frame_status {
    FRAME_OK = 0,
    FRAME_END = -1,                              /* end of the stream before the first byte */
    FRAME_CUT = -2,                              /* end of the stream, or of a packet, inside the frame */
    FRAME_BAD = -3,                              /* no such length is possible */
    FRAME_ERRNO = -4,                            /* errno */
};

#define FRAME_JOINED ((size_t)16384)
#define FRAME_PIECE ((size_t)131072)
#define FRAME_LARGEST ((uint64_t)SIZE_MAX >> 2)
#define FRAME_FDS 253                            /* what Linux carries beside one message (SCM_MAX_FD) */

/* The kind of an open descriptor, or FRAME_ERRNO. */
int frame_kind(int fd);

/* A frame on its way out.  Fill in by frame_out_init, then call frame_write until it is not interrupted. */
struct frame_out {
    int fd;
    enum frame_kind kind;
    unsigned char head[12];
    size_t head_size;
    const char *data;
    size_t size;
    size_t done;                                 /* bytes of header and payload that have been written */
    const int *fds;                              /* go with the first byte */
    int fd_count;
};
void frame_out_init(struct frame_out *f, int fd, enum frame_kind kind, const void *data, size_t size);
int frame_write(struct frame_out *f);

/* A frame on its way in.  frame_begin reads the header (and, from packets or with a guess, the payload that came with it, which
 * then lies at start); frame_rest reads what is missing of the payload. */
struct frame_in {
    int fd;
    enum frame_kind kind;
    struct ahead *ahead;                         /* what comes before the stream's bytes, or NULL */
    size_t guess;                                /* bytes that the first receive asks a stream for, with a place in `ahead` for too many; 0: none */
    int want_fds;                                /* keep descriptors that come along; else the kernel drops them */
    uint64_t size;                               /* of the payload */
    size_t have;                                 /* bytes in scratch so far */
    const char *start;                           /* payload that is here already */
    size_t start_size;
    int fd_count;
    int fds[FRAME_FDS];
    char scratch[FRAME_JOINED + 16];
};
void frame_in_init(struct frame_in *f, int fd, enum frame_kind kind, int want_fds);
int frame_begin(struct frame_in *f);
/* Reads into `to` what follows the first *done bytes of the payload. */
int frame_rest(struct frame_in *f, char *to, size_t *done);
/* Reads up to `size` bytes into `to`, counting in *done. */
int frame_fill(int fd, enum frame_kind kind, char *to, size_t size, size_t *done);
/* Prepares fresh memory that a large payload will be read into: page faults cost more than the copy. */
void frame_prepare(char *to, uint64_t size);
/* Closes the descriptors that nobody has taken. */
void frame_drop_fds(struct frame_in *f);

#endif
