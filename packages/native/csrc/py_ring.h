/* py_ring.h: the types Pipe and PipeEnd, part of procession_add_frame(). */
#ifndef PROCESSION_PY_RING_H
#define PROCESSION_PY_RING_H

int procession_add_ring(PyObject *module);

#endif
