/* py_unplain.c: pickles of small plain values, read without an unpickler.  See py_plain.h.
 *
 * An unpickler is made for each message, with a memo, a stack and a look at the modules; of a small tuple that is most of the time.
 * Opcodes that look anything up, and values that occur twice (GET), are left to it. */
#include "py_plain.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define STACK 128
#define MARKS 16

struct reader {
    const unsigned char *at, *end;
    Py_ssize_t depth, marks;
    PyObject *stack[STACK];
    Py_ssize_t mark[MARKS];
};

static bool have(const struct reader *r, size_t size) { return (size_t)(r->end - r->at) >= size; }

static uint64_t number(struct reader *r, int width)
{
    uint64_t value = 0;
    for (int i = 0; i < width; i++) value |= (uint64_t)r->at[i] << (8 * i);
    r->at += width;
    return value;
}

static bool push(struct reader *r, PyObject *value)
{
    if (!value) return false;
    if (r->depth == STACK) {
        Py_DECREF(value);
        return false;
    }
    r->stack[r->depth++] = value;
    return true;
}

static bool drop_mark(struct reader *r, Py_ssize_t *from)
{
    if (r->marks == 0) return false;
    *from = r->mark[--r->marks];
    return true;
}

/* A tuple of what is on the stack from there on. */
static bool tuple(struct reader *r, Py_ssize_t from)
{
    if (from < 0 || (r->marks && from < r->mark[r->marks - 1])) return false;
    Py_ssize_t count = r->depth - from;
    PyObject *made = PyTuple_New(count);
    if (!made) return false;
    for (Py_ssize_t i = 0; i < count; i++) PyTuple_SetItem(made, i, r->stack[from + i]);     /* takes it over */
    r->depth = from;
    return push(r, made);
}

/* What stands below the items from there on, if it is of that type. */
static PyObject *container(struct reader *r, Py_ssize_t from, PyTypeObject *type)
{
    if (from < 1 || (r->marks && from <= r->mark[r->marks - 1])) return NULL;
    PyObject *made = r->stack[from - 1];
    return Py_TYPE(made) == type ? made : NULL;
}

static void drop(struct reader *r, Py_ssize_t from)
{
    while (r->depth > from) Py_DECREF(r->stack[--r->depth]);
}

static bool extend(struct reader *r, Py_ssize_t from)
{
    PyObject *list = container(r, from, &PyList_Type);
    if (!list) return false;
    for (Py_ssize_t i = from; i < r->depth; i++)
        if (PyList_Append(list, r->stack[i]) < 0) return false;
    drop(r, from);
    return true;
}

static bool fill_dict(struct reader *r, Py_ssize_t from)
{
    PyObject *dict = container(r, from, &PyDict_Type);
    if (!dict || (r->depth - from) % 2) return false;
    for (Py_ssize_t i = from; i < r->depth; i += 2)
        if (PyDict_SetItem(dict, r->stack[i], r->stack[i + 1]) < 0) return false;
    drop(r, from);
    return true;
}

static bool text(struct reader *r, int width, bool is_str)
{
    if (!have(r, (size_t)width)) return false;
    uint64_t size = number(r, width);
    if (!have(r, (size_t)size)) return false;
    const char *data = (const char *)r->at;
    r->at += size;
    return push(r, is_str ? PyUnicode_DecodeUTF8(data, (Py_ssize_t)size, "surrogatepass")
                          : PyBytes_FromStringAndSize(data, (Py_ssize_t)size));
}

static bool real(struct reader *r)
{
    if (!have(r, 8)) return false;
    uint64_t bits = 0;
    for (int i = 0; i < 8; i++) bits = bits << 8 | r->at[i];
    r->at += 8;
    double value;
    memcpy(&value, &bits, sizeof value);
    return push(r, PyFloat_FromDouble(value));
}

static bool integer(struct reader *r, int width)
{
    if (!have(r, (size_t)width)) return false;
    uint64_t value = number(r, width);
    return push(r, PyLong_FromLongLong(width == 4 ? (int32_t)(uint32_t)value : (long long)value));
}

/* Two's complement, as short as it goes. */
static bool long_integer(struct reader *r)
{
    if (!have(r, 1)) return false;
    int width = *r->at++;
    if (width > 8 || !have(r, (size_t)width)) return false;
    uint64_t value = number(r, width);
    if (width && width < 8 && r->at[-1] & 0x80) value |= ~(uint64_t)0 << (8 * width);
    return push(r, PyLong_FromLongLong((long long)value));
}

/* True: go on. */
static bool step(struct reader *r, unsigned char op)
{
    Py_ssize_t from;
    const unsigned char *start = r->at;
    switch (op) {
    case 0x94: return r->depth > 0;                                                    /* MEMOIZE */
    case 0x95: return have(r, 8) && number(r, 8) + 8 == (uint64_t)(r->end - start);      /* FRAME: all there is */
    case 'N': return push(r, Py_NewRef(Py_None));
    case 0x88: return push(r, Py_NewRef(Py_True));
    case 0x89: return push(r, Py_NewRef(Py_False));
    case 'K': return integer(r, 1);
    case 'M': return integer(r, 2);
    case 'J': return integer(r, 4);
    case 0x8a: return long_integer(r);                                                 /* LONG1 */
    case 'G': return real(r);
    case 0x8c: return text(r, 1, true);                                                /* SHORT_BINUNICODE */
    case 'X': return text(r, 4, true);                                                 /* BINUNICODE */
    case 'C': return text(r, 1, false);                                                /* SHORT_BINBYTES */
    case 'B': return text(r, 4, false);                                                /* BINBYTES */
    case '(':
        if (r->marks == MARKS) return false;
        r->mark[r->marks++] = r->depth;
        return true;
    case ')': return push(r, PyTuple_New(0));
    case 0x85:
    case 0x86:
    case 0x87: return tuple(r, r->depth - (op - 0x84));                                /* TUPLE1 to TUPLE3 */
    case 't': return drop_mark(r, &from) && tuple(r, from);
    case ']': return push(r, PyList_New(0));
    case 'a': return extend(r, r->depth - 1);                                          /* APPEND */
    case 'e': return drop_mark(r, &from) && extend(r, from);                           /* APPENDS */
    case '}': return push(r, PyDict_New());
    case 's': return fill_dict(r, r->depth - 2);                                       /* SETITEM */
    case 'u': return drop_mark(r, &from) && fill_dict(r, from);                        /* SETITEMS */
    default: return false;
    }
}

PyObject *plain_unpickle(const char *data, size_t size)
{
    if (size < 3 || size > PLAIN_LONGEST || data[0] != (char)0x80 || (data[1] != 4 && data[1] != 5)) return NULL;
    struct reader r;
    r.at = (const unsigned char *)data + 2;
    r.end = (const unsigned char *)data + size;
    r.depth = r.marks = 0;
    while (r.at < r.end) {
        unsigned char op = *r.at++;
        if (op == '.') {
            if (r.depth == 1 && r.marks == 0) return r.stack[0];
            break;
        }
        if (!step(&r, op)) break;
    }
    drop(&r, 0);
    PyErr_Clear();
    return NULL;
}
