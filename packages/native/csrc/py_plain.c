/* py_plain.c: see py_plain.h.
 *
 * A pickler asks nobody how to write these types when they are exact: no table of reducers, no hook, no transfer.  So
 * the pickle can be written here, for the price of the copy.  It has no memo: of immutable values nobody can tell whether they
 * were one object or two.  Of lists and dicts one can, hence one of these at most. */
#include "py_plain.h"

#include <stdint.h>
#include <string.h>

#define DEPTH 8

static bool add(struct plain *p, const void *data, size_t size)
{
    if (size > PLAIN_ROOM - p->size) return false;
    memcpy(p->data + p->size, data, size);
    p->size += size;
    return true;
}

static bool add_op(struct plain *p, char op)
{
    return add(p, &op, 1);
}

/* An opcode and a number of `width` bytes, little-endian. */
static bool add_number(struct plain *p, char op, uint64_t value, int width)
{
    char word[9];
    word[0] = op;
    for (int i = 0; i < width; i++) word[1 + i] = (char)(value >> (8 * i));
    return add(p, word, 1 + (size_t)width);
}

static bool add_int(struct plain *p, PyObject *obj)
{
    int overflow;
    long long v = PyLong_AsLongLongAndOverflow(obj, &overflow);
    if (overflow) return false;
    if (v >= 0 && v <= 0xff) return add_number(p, 'K', (uint64_t)v, 1);                /* BININT1 */
    if (v >= 0 && v <= 0xffff) return add_number(p, 'M', (uint64_t)v, 2);              /* BININT2 */
    if (v >= INT32_MIN && v <= INT32_MAX) return add_number(p, 'J', (uint64_t)v, 4);   /* BININT */
    return add(p, "\x8a\x08", 2) && add_number(p, (char)v, (uint64_t)v >> 8, 7);       /* LONG1 of eight bytes */
}

static bool add_float(struct plain *p, PyObject *obj)
{
    double v = PyFloat_AsDouble(obj);
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    char word[9] = {'G'};                                                              /* BINFLOAT, big-endian */
    for (int i = 0; i < 8; i++) word[1 + i] = (char)(bits >> (56 - 8 * i));
    return add(p, word, sizeof word);
}

static bool add_text(struct plain *p, char short_op, char long_op, const char *data, Py_ssize_t size)
{
    if (size < 0 || (size_t)size > PLAIN_ROOM) return false;
    return (size <= 0xff ? add_number(p, short_op, (uint64_t)size, 1) : add_number(p, long_op, (uint64_t)size, 4))
        && add(p, data, (size_t)size);
}

static bool add_str(struct plain *p, PyObject *obj)
{
    if (PyUnicode_GetLength(obj) > (Py_ssize_t)PLAIN_ROOM) return false;
    Py_ssize_t size;
    const char *text = PyUnicode_AsUTF8AndSize(obj, &size);
    if (text == NULL) {                          /* lone surrogates */
        PyErr_Clear();
        return false;
    }
    return add_text(p, '\x8c', 'X', text, size);                                       /* SHORT_BINUNICODE, BINUNICODE */
}

static bool add_value(struct plain *p, PyObject *obj, int depth);

static bool add_tuple(struct plain *p, PyObject *obj, int depth)
{
    Py_ssize_t n = PyTuple_Size(obj);
    if (n == 0) return add_op(p, ')');                                                 /* EMPTY_TUPLE */
    if (depth == DEPTH || (n > 3 && !add_op(p, '('))) return false;                    /* MARK */
    for (Py_ssize_t i = 0; i < n; i++)
        if (!add_value(p, PyTuple_GetItem(obj, i), depth + 1)) return false;
    return add_op(p, n > 3 ? 't' : (char)(0x84 + n));                                  /* TUPLE, TUPLE1 to TUPLE3 */
}

static bool add_list(struct plain *p, PyObject *obj, int depth)
{
    Py_ssize_t n = PyList_Size(obj);
    if (p->mutable_seen || depth == DEPTH || !add_op(p, ']')) return false;            /* EMPTY_LIST */
    p->mutable_seen = true;
    if (n == 0) return true;
    if (!add_op(p, '(')) return false;
    for (Py_ssize_t i = 0; i < n; i++)
        if (!add_value(p, PyList_GetItem(obj, i), depth + 1)) return false;
    return add_op(p, 'e');                                                             /* APPENDS */
}

static bool add_dict(struct plain *p, PyObject *obj, int depth)
{
    if (p->mutable_seen || depth == DEPTH || !add_op(p, '}')) return false;            /* EMPTY_DICT */
    p->mutable_seen = true;
    if (PyDict_Size(obj) == 0) return true;
    if (!add_op(p, '(')) return false;
    PyObject *key, *value;
    Py_ssize_t position = 0;
    while (PyDict_Next(obj, &position, &key, &value))
        if (!add_value(p, key, depth + 1) || !add_value(p, value, depth + 1)) return false;
    return add_op(p, 'u');                                                             /* SETITEMS */
}

static bool add_value(struct plain *p, PyObject *obj, int depth)
{
    if (obj == Py_None) return add_op(p, 'N');
    PyTypeObject *type = Py_TYPE(obj);
    if (type == &PyUnicode_Type) return add_str(p, obj);
    if (type == &PyLong_Type) return add_int(p, obj);
    if (type == &PyTuple_Type) return add_tuple(p, obj, depth);
    if (type == &PyFloat_Type) return add_float(p, obj);
    if (type == &PyBool_Type) return add_op(p, obj == Py_True ? '\x88' : '\x89');      /* NEWTRUE, NEWFALSE */
    if (type == &PyBytes_Type)
        return add_text(p, 'C', 'B', PyBytes_AsString(obj), PyBytes_Size(obj));        /* SHORT_BINBYTES, BINBYTES */
    if (type == &PyList_Type) return add_list(p, obj, depth);
    if (type == &PyDict_Type) return add_dict(p, obj, depth);
    return false;
}

bool plain_pickle(struct plain *p, PyObject *obj)
{
    p->size = 0;
    p->mutable_seen = false;
    return add(p, "\x80\x04", 2) && add_value(p, obj, 0) && add_op(p, '.');            /* PROTO 4, STOP */
}
