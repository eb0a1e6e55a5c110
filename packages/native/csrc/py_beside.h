/* py_beside.h: the big buffers of a message.
 *
 * MESSAGE WITH BUFFERS (pickles begin with 0x80)
 *   0   1  BESIDE_MARK           1   4  number of buffers
 *   5   40 for each: arena id, offset, generation (8 each), kind, flags (4 each; flag 1: read-only), size (8)
 *   .   .  the pickle
 */
#ifndef PROCESSION_PY_BESIDE_H
#define PROCESSION_PY_BESIDE_H

#include "py_arena.h"

#include <stdbool.h>

#define BESIDE_MARK 1

/* The data of a message whose pickle is `pickle`; the blocks of its buffers are appended to the list refs. */
PyObject *beside_put(PyObject *pickle, PyObject *buffers, PyObject *refs);

/* (pickle, buffers) of a message that begins with BESIDE_MARK.  views: never copy a buffer out of its block. */
int beside_open(PyObject *data, bool views, PyObject **pickle, PyObject **buffers);

#endif
