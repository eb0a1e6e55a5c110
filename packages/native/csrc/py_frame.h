/* py_frame.h: frames for Python, shared by py_frame.c and py_frame_end.c.  All of them let signal handlers run. */
#ifndef PROCESSION_PY_FRAME_H
#define PROCESSION_PY_FRAME_H

#include "py_arena.h"
#include "frame.h"

int frame_write_out(struct frame_out *out);      /* 0, or -1 with an exception */
int frame_read_head(struct frame_in *in);        /* FRAME_OK; anything else with an exception */
PyObject *frame_read_whole(struct frame_in *in); /* the payload, as bytes */
PyObject *frame_read_most(struct frame_in *in, Py_ssize_t limit);    /* None if it is longer (-1: no limit) */
PyObject *frame_read_into(struct frame_in *in, Py_buffer *view);     /* its length; the payload itself if it does not fit */
PyObject *frame_readable(int fd, PyObject *timeout);     /* whether it is within timeout seconds (None: for ever) */

#endif
