/* py_stream.c: see py_stream.h. */
#define _GNU_SOURCE
#include "py_stream.h"
#include "queue.h"

#include <errno.h>
#include <time.h>

#define LOOK_NS 20000
#define WAIT_PART 8                              /* nanoseconds to wait for a reader: the size by this, a fifth of what new pages cost */

/* ---- out ------------------------------------------------------------------------------------------------------- */

bool stream_worth(PipeEndObject *end, size_t size)
{
    struct arena *a = process_arena;
    struct ring *r = end->out;
    bool awaited;
    if (size < STREAM_FROM) return false;
    Py_BEGIN_ALLOW_THREADS
    uint64_t until = clock_ns() + size / WAIT_PART;
    const struct timespec pause = { 0, LOOK_NS };
    while (!(awaited = ring_awaited(a, r)) && !(SH_PEEK(&r->q.flags) & QUEUE_SHUTDOWN) && clock_ns() < until) nanosleep(&pause, NULL);
    Py_END_ALLOW_THREADS
    return awaited;
}

aoff stream_make(size_t size, uint32_t tag, struct stream **s)
{
    struct arena *a = process_arena;
    bool fresh = false;
    aoff block = ref_new_raw(a, STREAM_BLOCK, KIND_BLOCK, &fresh);
    if (!block) return 0;
    *s = block_map(a, block);
    if (!*s) {
        ref_close(a, block);
        return 0;
    }
    stream_init(a, *s, size, tag);
    return block;
}

void stream_end(aoff block, struct stream *s)
{
    block_unmap(process_arena, block, s);
    ref_close(process_arena, block);
}

int stream_send(PipeEndObject *end, aoff block, struct stream *s, const char *data)
{
    struct arena *a = process_arena;
    int rc, alones = 0;
    do {
        Py_BEGIN_ALLOW_THREADS
        rc = stream_write(a, block, s, data, ring_gone, end->fd, &alones);
        Py_END_ALLOW_THREADS
    } while (rc == AR_INTR && PyErr_CheckSignals() == 0);
    if (rc == AR_OK) return 0;
    stream_give_up(s, false);
    if (rc == AR_BROKEN) {
        errno = EPIPE;
        PyErr_SetFromErrno(PyExc_OSError);
    }
    return -1;
}

/* ---- in -------------------------------------------------------------------------------------------------------- */

/* 0, or -1 with an exception. */
static int receive(struct stream *s, char *to)
{
    struct arena *a = process_arena;
    int rc;
    do {
        Py_BEGIN_ALLOW_THREADS
        rc = stream_read(a, s, to);
        Py_END_ALLOW_THREADS
    } while (rc == AR_INTR && PyErr_CheckSignals() == 0);
    if (rc == AR_PEER_DIED) PyErr_SetString(PyExc_OSError, "got end of file during message: the sender ended, or gave up");
    return rc == AR_OK ? 0 : -1;
}

static PyObject *receive_whole(struct stream *s, uint64_t size)
{
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    if (!bytes) return NULL;
    frame_prepare(PyBytes_AsString(bytes), size);
    if (receive(s, PyBytes_AsString(bytes)) < 0) Py_CLEAR(bytes);
    return bytes;
}

static PyObject *take(struct stream *s, const struct stream_want *want)
{
    uint64_t size = SH_PEEK(&s->size);
    uint32_t tag = SH_PEEK(&s->tag);
    bool is_object = tag == TAG_BYTES;
    if (!want->object && !is_object && want->limit >= 0 && size > (uint64_t)want->limit) return Py_NewRef(Py_None);
    if (!want->object && !is_object && want->into && size <= (uint64_t)want->into->len)
        return receive(s, want->into->buf) < 0 ? NULL : PyLong_FromUnsignedLongLong(size);
    PyObject *bytes = receive_whole(s, size);
    if (!bytes || want->object == is_object || (!want->object && !is_object)) return bytes;
    PyObject *made = want->object ? PyObject_CallFunctionObjArgs(want->loads, bytes, NULL) : PyTuple_Pack(1, bytes);
    Py_DECREF(bytes);
    return made;
}

PyObject *stream_receive(aoff block, const struct stream_want *want)
{
    struct arena *a = process_arena;
    struct stream *s = block_map(a, block);
    if (!s) return PyErr_NoMemory();
    stream_begin_read(a, s);
    PyObject *result = take(s, want);
    if (!result || result == Py_None) stream_give_up(s, true);       /* what was loaded is complete: then it changes nothing */
    block_unmap(a, block, s);
    return result;
}
