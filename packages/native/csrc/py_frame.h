/* py_frame.h: frames for Python, shared by py_frame.c and py_frame_end.c.  All of them let signal handlers run. */
#ifndef PROCESSION_PY_FRAME_H
#define PROCESSION_PY_FRAME_H

#include "py_arena.h"
#include "frame.h"

#include <poll.h>

int frame_write_out(struct frame_out *out);      /* 0, or -1 with an exception */
int frame_read_head(struct frame_in *in);        /* FRAME_OK; anything else with an exception */
int frame_read_rest(struct frame_in *in, char *to);  /* the payload; as frame_read_head */
PyObject *frame_read_whole(struct frame_in *in); /* the payload, as bytes */
/* The number of ready descriptors, or -1 with an exception. */
int frame_wait_for(struct pollfd *fds, nfds_t count, PyObject *timeout);

int procession_add_frame_end(PyObject *module);

#endif
