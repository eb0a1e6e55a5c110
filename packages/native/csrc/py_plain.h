/* py_plain.h: pickles of small plain values, written without a pickler. */
#ifndef PROCESSION_PY_PLAIN_H
#define PROCESSION_PY_PLAIN_H

#include "py_arena.h"

#include <stdbool.h>

#define PLAIN_ROOM ((size_t)4096)

struct plain {
    size_t size;
    bool mutable_seen;
    char data[PLAIN_ROOM];
};

/* Writes the pickle (protocol 4) of obj: true, or false if that is work for a pickler.  Runs no Python code, raises
 * nothing.  Values are exactly None, bool, int of 64 bits, float, bytes, str, and tuples, lists and dicts of these. */
bool plain_pickle(struct plain *p, PyObject *obj);

#define PLAIN_LONGEST ((size_t)4096)              /* longer pickles are not worth a try */
/* The value of a pickle that consists of such values alone, by whomever it was written.  NULL, without an exception: that is work for
 * an unpickler (or it is none).  Runs no Python code. */
PyObject *plain_unpickle(const char *data, size_t size);

#endif
