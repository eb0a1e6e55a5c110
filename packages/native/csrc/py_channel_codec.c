/* py_channel_codec.c: items: exact built-in values without a pickle, everything else by the caller's dumps() and loads().
 *
 * Only immutable values and lists made for a chunk are written here, each item by itself, so that two tasks never share
 * an object that they would not have shared as two messages.
 */
#include "py_channel.h"

#include <stdlib.h>
#include <string.h>

void buffer_init(struct buffer *b) { b->data = b->inside; b->used = 0; b->room = sizeof b->inside; b->full = false; }
void buffer_free(struct buffer *b) { if (b->data != b->inside) free(b->data); }

static int buffer_grow(struct buffer *b, size_t more)
{
    size_t room = b->room * 2;
    while (room < b->used + more) room *= 2;
    char *data = malloc(room);
    if (data == NULL) { PyErr_NoMemory(); return -1; }
    memcpy(data, b->data, b->used);
    if (b->data != b->inside) free(b->data);
    b->data = data;
    b->room = room;
    return 0;
}

int buffer_add(struct buffer *b, const void *data, size_t size)
{
    if (b->used + size > b->room && buffer_grow(b, size) < 0) return -1;
    memcpy(b->data + b->used, data, size);
    b->used += size;
    return 0;
}

static int add_item(struct buffer *b, uint32_t tag, const void *data, size_t size)
{
    if (b->used + size + 4 > b->room && buffer_grow(b, size + 4) < 0) return -1;
    uint32_t word = tag | (uint32_t)size << 8;
    memcpy(b->data + b->used, &word, 4);
    if (size) memcpy(b->data + b->used + 4, data, size);
    b->used += size + 4;
    return 0;
}

/* A list of only ints or only floats: one word and 8 bytes each.  1 done, 0 not such a list, -1 error. */
static int add_numbers(struct buffer *b, PyObject *list, Py_ssize_t n)
{
    PyTypeObject *type = Py_TYPE(PyList_GetItem(list, 0));
    if ((type != &PyLong_Type && type != &PyFloat_Type) || (size_t)n * 8 > ITEM_NUMBERS) return 0;
    size_t size = (size_t)n * 8, start = b->used;
    if (b->used + size + 4 > b->room && buffer_grow(b, size + 4) < 0) return -1;
    char *to = b->data + b->used + 4;
    for (Py_ssize_t i = 0; i < n; i++, to += 8) {
        PyObject *o = PyList_GetItem(list, i);
        if (o == NULL || Py_TYPE(o) != type) { PyErr_Clear(); b->used = start; return 0; }
        if (type == &PyLong_Type) {
            int overflow;
            long long v = PyLong_AsLongLongAndOverflow(o, &overflow);
            if (overflow) { b->used = start; return 0; }
            memcpy(to, &v, 8);
        } else {
            double v = PyFloat_AsDouble(o);
            memcpy(to, &v, 8);
        }
    }
    uint32_t word = (type == &PyLong_Type ? ITEM_INTS : ITEM_FLOATS) | (uint32_t)size << 8;
    memcpy(b->data + start, &word, 4);
    b->used = start + size + 4;
    return 1;
}

static int add_opaque(struct buffer *b, PyObject *obj, PyObject *dumps)
{
    PyObject *made = PyObject_CallFunctionObjArgs(dumps, obj, NULL);
    if (made == NULL) return -1;
    int result = -1;
    PyObject *tag = NULL, *data = NULL;
    if (PyTuple_Check(made) && PyTuple_Size(made) >= 2) {
        b->full = PyTuple_Size(made) > 2;
        tag = PyTuple_GetItem(made, 0);
        data = PyTuple_GetItem(made, 1);
    }
    if (tag == NULL || !PyLong_Check(tag) || !PyBytes_Check(data)) {
        PyErr_SetString(PyExc_TypeError, "dumps() must return a tuple (tag, bytes)");
    } else {
        long number = PyLong_AsLong(tag);
        Py_ssize_t size = PyBytes_Size(data);
        if (number < ITEM_OPAQUE || number > 255 || size > (Py_ssize_t)ITEM_MAX)
            PyErr_Format(PyExc_ValueError, "dumps() returned tag %ld and %zd bytes; allowed are tags 16 to 255 and %u bytes",
                         number, size, ITEM_MAX);
        else
            result = add_item(b, (uint32_t)number, PyBytes_AsString(data), (size_t)size);
    }
    Py_DECREF(made);
    return result;
}

/* A tuple of simple values: 1 done, 0 not so simple, -1 error. */
static int add_tuple(struct buffer *b, PyObject *obj, int depth);

/* 1 done, 0 not simple, -1 error */
static int add_simple(struct buffer *b, PyObject *obj, int depth)
{
    if (obj == Py_None) return add_item(b, ITEM_NONE, NULL, 0) < 0 ? -1 : 1;
    PyTypeObject *type = Py_TYPE(obj);
    if (type == &PyLong_Type) {
        int overflow;
        long long v = PyLong_AsLongLongAndOverflow(obj, &overflow);
        if (overflow) return 0;
        return add_item(b, ITEM_INT, &v, 8) < 0 ? -1 : 1;
    }
    if (type == &PyFloat_Type) {
        double v = PyFloat_AsDouble(obj);
        return add_item(b, ITEM_FLOAT, &v, 8) < 0 ? -1 : 1;
    }
    if (type == &PyBool_Type) return add_item(b, obj == Py_True ? ITEM_TRUE : ITEM_FALSE, NULL, 0) < 0 ? -1 : 1;
    if (type == &PyUnicode_Type) {
        Py_ssize_t length = PyUnicode_GetLength(obj), size;
        if (length < 0 || length > (Py_ssize_t)ITEM_SMALL) return 0;
        const char *text = PyUnicode_AsUTF8AndSize(obj, &size);
        if (text == NULL) { PyErr_Clear(); return 0; }
        if (size != length) return 0;
        return add_item(b, ITEM_STR, text, (size_t)size) < 0 ? -1 : 1;
    }
    if (type == &PyBytes_Type) {
        Py_ssize_t size = PyBytes_Size(obj);
        if (size > (Py_ssize_t)ITEM_SMALL) return 0;
        return add_item(b, ITEM_BYTES, PyBytes_AsString(obj), (size_t)size) < 0 ? -1 : 1;
    }
    if (type == &PyTuple_Type && depth < 3) return add_tuple(b, obj, depth);
    return 0;
}

static int add_tuple(struct buffer *b, PyObject *obj, int depth)
{
    Py_ssize_t n = PyTuple_Size(obj);
    if (n > 64) return 0;
    size_t start = b->used;
    if (add_item(b, ITEM_TUPLE, NULL, 0) < 0) return -1;
    for (Py_ssize_t i = 0; i < n; i++) {
        int done = add_simple(b, PyTuple_GetItem(obj, i), depth + 1);
        if (done <= 0 || b->used - start > ITEM_SMALL * 4) { b->used = start; return done < 0 ? -1 : 0; }
    }
    uint32_t word = ITEM_TUPLE | (uint32_t)(b->used - start - 4) << 8;
    memcpy(b->data + start, &word, 4);
    return 1;
}

int item_encode(struct buffer *b, PyObject *obj, PyObject *dumps, int depth)
{
    int done = add_simple(b, obj, 0);
    if (done < 0) return -1;
    if (done) return 0;
    if (depth == 0 && Py_TYPE(obj) == &PyList_Type) { /* depth 0: the list of a chunk, which nobody else has */
        Py_ssize_t n = PyList_Size(obj);
        if (n > 0) {
            done = add_numbers(b, obj, n);
            if (done) return done < 0 ? -1 : 0;
        }
    }
    return add_opaque(b, obj, dumps);
}

PyObject *item_decode(const char **at, const char *end, PyObject *loads)
{
    uint32_t word;
    if (end - *at < 4) goto bad;
    memcpy(&word, *at, 4);
    const char *p = *at + 4;
    uint32_t size = word >> 8, tag = word & 0xff;
    if ((size_t)(end - p) < size) goto bad;
    *at = p + size;
    switch (tag) {
    case ITEM_NONE: Py_INCREF(Py_None); return Py_None;
    case ITEM_TRUE: Py_INCREF(Py_True); return Py_True;
    case ITEM_FALSE: Py_INCREF(Py_False); return Py_False;
    case ITEM_INT: { long long v; if (size != 8) goto bad; memcpy(&v, p, 8); return PyLong_FromLongLong(v); }
    case ITEM_FLOAT: { double v; if (size != 8) goto bad; memcpy(&v, p, 8); return PyFloat_FromDouble(v); }
    case ITEM_BYTES: return PyBytes_FromStringAndSize(p, size);
    case ITEM_STR: return PyUnicode_DecodeUTF8(p, size, NULL);
    case ITEM_INTS: case ITEM_FLOATS: {
        Py_ssize_t n = size / 8;
        PyObject *list = PyList_New(n);
        for (Py_ssize_t i = 0; list != NULL && i < n; i++) {
            PyObject *v;
            if (tag == ITEM_INTS) { long long x; memcpy(&x, p + 8 * i, 8); v = PyLong_FromLongLong(x); }
            else { double x; memcpy(&x, p + 8 * i, 8); v = PyFloat_FromDouble(x); }
            if (v == NULL || PyList_SetItem(list, i, v) < 0) { Py_DECREF(list); list = NULL; }
        }
        return list;
    }
    case ITEM_TUPLE: {
        const char *stop = p + size, *q = p;
        Py_ssize_t n = 0;
        while (q < stop) { if (item_skip(&q, stop) < 0) return NULL; n++; }
        PyObject *tuple = PyTuple_New(n);
        for (Py_ssize_t i = 0; tuple != NULL && i < n; i++) {
            PyObject *v = item_decode(&p, stop, loads);
            if (v == NULL || PyTuple_SetItem(tuple, i, v) < 0) { Py_DECREF(tuple); tuple = NULL; }
        }
        return tuple;
    }
    default: {
        if (tag < ITEM_OPAQUE) goto bad;
        PyObject *number = PyLong_FromUnsignedLong(tag), *data = PyBytes_FromStringAndSize(p, size), *value = NULL;
        if (number != NULL && data != NULL) value = PyObject_CallFunctionObjArgs(loads, number, data, NULL);
        Py_XDECREF(number);
        Py_XDECREF(data);
        return value;
    }
    }
bad:
    return PyErr_Format(PyExc_ValueError, "a record of the channel is not valid");
}

int item_skip(const char **at, const char *end)
{
    uint32_t word;
    if (end - *at >= 4) {
        memcpy(&word, *at, 4);
        if ((size_t)(end - *at - 4) >= word >> 8) { *at += 4 + (word >> 8); return 0; }
    }
    return core_fail(PyExc_ValueError, "a record of the channel is not valid");
}
