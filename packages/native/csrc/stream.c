/* stream.c: see stream.h. */
#include "stream.h"
#include "registry.h"

#include <limits.h>
#include <string.h>

#define FIRST_SLICE_NS 5000000ull
#define SLICE_NS 100000000ull
#define ALONE_ENOUGH 5

_Static_assert(offsetof(struct stream, written) == 64 && offsetof(struct stream, read) == 128, "stream: a cache line each");
_Static_assert(sizeof(struct stream) <= 4096, "stream: before the window");

enum { SENDER_GAVE_UP = 1, READER_GAVE_UP = 2 };

static char *window(struct stream *s, uint32_t piece)
{
    return (char *)s + 4096 + STREAM_PIECE * (piece % STREAM_PIECES);
}

static uint32_t pieces(uint64_t size) { return (uint32_t)((size + STREAM_PIECE - 1) / STREAM_PIECE); }

static size_t piece_size(uint64_t size, uint32_t piece)
{
    uint64_t left = size - STREAM_PIECE * piece;
    return (size_t)(left < STREAM_PIECE ? left : STREAM_PIECE);
}

void stream_init(struct arena *a, struct stream *s, uint64_t size, uint32_t tag)
{
    memset((void *)s, 0, sizeof *s);
    SH_INIT(&s->size, size);
    SH_INIT(&s->tag, tag);
    SH_INIT(&s->sender, a->self);
}

static void tell(sh32 *count, uint32_t value, sh32 *waits)
{
    SH_SET(count, value);
    SH_FENCE();                                  /* pairs with that of await() */
    if (!SH_PEEK(waits)) return;
    SH_SET(waits, 0);
    futex_wake(count, INT_MAX);
}

/* Waits until *count is not `seen`.  AR_OK; WAIT_SLICED: time to look for a death; AR_INTR. */
static int await(struct arena *a, struct stream *s, sh32 *count, uint32_t seen, sh32 *waits, uint64_t *slice)
{
    if (SH_GET(count) != seen || spin_while_equal(a, count, seen)) return AR_OK;
    SH_SET(waits, 1);
    SH_FENCE();
    if (SH_GET(count) != seen || SH_GET(&s->over)) return AR_OK;
    int rc = futex_wait_slice(count, seen, WAIT_FOREVER, *slice);
    if (rc == WAIT_SLICED && *slice < SLICE_NS) *slice *= 2;
    return rc;
}

int stream_write(struct arena *a, aoff block, struct stream *s, const char *data, int (*gone)(int fd), int fd, int *alones)
{
    uint64_t size = SH_PEEK(&s->size), slice = FIRST_SLICE_NS;
    for (;;) {
        uint32_t done = SH_PEEK(&s->written), taken = SH_GET(&s->read);
        if (done == pieces(size) || SH_GET(&s->over)) return AR_OK;
        if (done - taken < STREAM_PIECES) {
            memcpy(window(s, done), data + STREAM_PIECE * done, piece_size(size, done));
            tell(&s->written, done + 1, &s->reader_waits);
            continue;
        }
        int rc = await(a, s, &s->read, taken, &s->sender_waits, &slice);
        if (rc == AR_OK) continue;
        if (SH_GET(&s->read) != taken) continue;
        uint32_t reader = SH_GET(&s->reader);
        if (reader && owner_is_dead(a, reader)) return AR_OK;
        if (!reader && gone(fd) > 0) return AR_BROKEN;
        /* References are counted by process: once, it may be a thread of this one that has just taken the message. */
        if (reader || !registry_alone(a, block)) *alones = 0;
        else if (slice >= SLICE_NS && ++*alones >= ALONE_ENOUGH) {
            stream_give_up(s, false);
            return AR_OK;
        }
        if (rc == AR_INTR || slice >= SLICE_NS) return AR_INTR;
    }
}

void stream_begin_read(struct arena *a, struct stream *s) { SH_SET(&s->reader, a->self); }

int stream_read(struct arena *a, struct stream *s, char *to)
{
    uint64_t size = SH_PEEK(&s->size), slice = FIRST_SLICE_NS;
    for (;;) {
        uint32_t done = SH_PEEK(&s->read), there = SH_GET(&s->written);
        if (done == pieces(size)) return AR_OK;
        if (there != done) {
            memcpy(to + STREAM_PIECE * done, window(s, done), piece_size(size, done));
            tell(&s->read, done + 1, &s->sender_waits);
            continue;
        }
        if (SH_GET(&s->over)) return SH_GET(&s->written) == done ? AR_PEER_DIED : AR_OK;
        int rc = await(a, s, &s->written, done, &s->reader_waits, &slice);
        if (rc == AR_OK || SH_GET(&s->written) != done) continue;
        if (owner_is_dead(a, SH_PEEK(&s->sender))) return SH_GET(&s->written) == done ? AR_PEER_DIED : AR_INTR;
        if (rc == AR_INTR || slice >= SLICE_NS) return AR_INTR;
    }
}

void stream_give_up(struct stream *s, bool reader)
{
    SH_SET(&s->over, reader ? READER_GAVE_UP : SENDER_GAVE_UP);
    SH_FENCE();
    futex_wake(reader ? &s->read : &s->written, INT_MAX);
}
