/* py_stream.h: long messages of a pipe, piece by piece.  See stream.h. */
#ifndef PROCESSION_PY_STREAM_H
#define PROCESSION_PY_STREAM_H

#include "py_ring_end.h"

#include "stream.h"

#define STREAM_FROM ((size_t)4 << 20)            /* shorter messages travel in one block */

/* Whether a message of that size should be sent so: a reader waits, or comes while that costs little. */
bool stream_worth(PipeEndObject *end, size_t size);
/* A stream for the message; 0: no memory.  Both are to be given back by stream_end(). */
aoff stream_make(size_t size, uint32_t tag, struct stream **s);
void stream_end(aoff block, struct stream *s);
/* After the message is in the ring.  0, or -1 with an exception. */
int stream_send(PipeEndObject *end, aoff block, struct stream *s, const char *data);

/* What stream_receive() is to make. */
struct stream_want {
    bool object;                                 /* else the bytes of the message, a tuple of one object where it is none */
    Py_ssize_t limit;                            /* of bytes: None for more; -1: no limit */
    Py_buffer *into;                             /* of bytes: read into it and give the length, if they fit; or NULL */
    PyObject *loads;
};
PyObject *stream_receive(aoff block, const struct stream_want *want);

#endif
