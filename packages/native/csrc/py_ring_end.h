/* py_ring_end.h: shared by py_ring.c and py_ring_wait.c. */
#ifndef PROCESSION_PY_RING_END_H
#define PROCESSION_PY_RING_END_H

#include "py_arena.h"
#include "ring.h"

typedef struct {
    PyObject_HEAD
    PyObject *pipe;                              /* keeps the block */
    struct ring *in, *out;                       /* NULL: this connection does not go that way */
    int fd;
    enum frame_kind kind;
    uint64_t asked;                              /* when the kernel last said that somebody reads */
    uint32_t closed, events;                     /* what was known of then */
} PipeEndObject; /* PipeEnd in Python */

extern PyTypeObject *pipe_end_type;

PyObject *pipe_wait(PyObject *module, PyObject *const *args, Py_ssize_t count);
extern const char pipe_wait_doc[];

#endif
