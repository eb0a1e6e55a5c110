/* py_mapping.c: files as shared memory.
 *
 *   Mapping     a file's memory as a writable buffer that knows when it was closed
 *   CellList    element access of ShareableList
 *   block_fill  a copy that lets other threads run
 */
#include "py_arena.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

/* ---- Mapping ------------------------------------------------------------------------------------------------- */

typedef struct {
    PyObject_HEAD
    char *start;                /* NULL: closed */
    Py_ssize_t size;
    Py_ssize_t exports;
} Mapping;

static PyTypeObject *mapping_type;

static PyObject *mapping_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"fd", "size", NULL};
    int fd;
    Py_ssize_t size;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "in:Mapping", names, &fd, &size)) return NULL;
    if (size <= 0) return PyErr_Format(PyExc_ValueError, size ? "cannot map %zd bytes" : "cannot mmap an empty file", size);
    void *start = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (start == MAP_FAILED) return PyErr_SetFromErrno(PyExc_OSError);
    Mapping *self = core_alloc(type);
    if (self == NULL) {
        munmap(start, (size_t)size);
        return NULL;
    }
    self->start = start;
    self->size = size;
    return (PyObject *)self;
}

static void mapping_unmap(Mapping *self)
{
    if (self->start != NULL) {
        munmap(self->start, (size_t)self->size);
        self->start = NULL;
    }
}

static void mapping_dealloc(PyObject *op)
{
    mapping_unmap((Mapping *)op);
    core_free(op);
}

static PyObject *mapping_close(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Mapping *self = (Mapping *)op;
    if (self->exports > 0) return PyErr_Format(PyExc_BufferError, "cannot close exported pointers exist");
    mapping_unmap(self);
    Py_RETURN_NONE;
}

static PyObject *mapping_closed(PyObject *op, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(((Mapping *)op)->start == NULL);
}

static Py_ssize_t mapping_length(PyObject *op)
{
    Mapping *self = (Mapping *)op;
    return self->start == NULL ? 0 : self->size;
}

static int mapping_getbuffer(PyObject *op, Py_buffer *view, int flags)
{
    Mapping *self = (Mapping *)op;
    if (self->start == NULL) {
        PyErr_SetString(PyExc_ValueError, "the mapping is closed");
        view->obj = NULL;
        return -1;
    }
    if (PyBuffer_FillInfo(view, op, self->start, self->size, 0, flags) < 0) return -1;
    self->exports++;
    return 0;
}

static void mapping_releasebuffer(PyObject *op, Py_buffer *Py_UNUSED(view))
{
    ((Mapping *)op)->exports--;
}

static PyMethodDef mapping_methods[] = {
    {"close", mapping_close, METH_NOARGS, "Unmap the memory. Raises BufferError while views of it exist."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef mapping_getset[] = {
    {"closed", mapping_closed, NULL, "Whether it was closed.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot mapping_slots[] = {
    { Py_tp_doc, "Mapping(fd, size): the first bytes of a file as shared writable memory; fd may be closed." },
    { Py_tp_new, mapping_new }, { Py_tp_dealloc, mapping_dealloc }, { Py_tp_methods, mapping_methods },
    { Py_tp_getset, mapping_getset }, { Py_sq_length, mapping_length }, { Py_bf_getbuffer, mapping_getbuffer },
    { Py_bf_releasebuffer, mapping_releasebuffer }, { 0, NULL },
};

static PyType_Spec mapping_spec = {
    "procession_native._core.Mapping", sizeof(Mapping), 0, Py_TPFLAGS_DEFAULT, mapping_slots,
};

/* ---- CellList ------------------------------------------------------------------------------------------------
 *
 * FORMAT of a list's memory (the standard library's, all integers little-endian 64 bit)
 *   8             number of items n
 *   8 * (n + 1)   offsets of the items from the start of the data; the last is the size of the data
 *   ...           data, each item from 8 bytes up in multiples of 8
 *   8 * n         each item's struct format, filled up with NULs
 *   n             how to turn what struct gives into the item: 0 as it is, 1 str, 2 bytes, 3 None
 * The memory belongs to anybody who knows its name: every number in it is checked before it is used.
 */

typedef struct {
    PyObject_HEAD
    Mapping *mapping;
    Py_ssize_t length;
    Py_ssize_t data, formats, codes;
} CellList;

static int64_t read_i64(const char *p)
{
    int64_t v;
    memcpy(&v, p, 8);
    return v;
}

/* NULL with an exception, as those below. */
static void *list_damaged(void)
{
    PyErr_SetString(PyExc_ValueError, "the shared memory does not hold a ShareableList, or was overwritten");
    return NULL;
}

static PyObject *list_bind(PyObject *op, PyObject *mapping)
{
    CellList *self = (CellList *)op;
    if (Py_TYPE(mapping) != mapping_type) return PyErr_Format(PyExc_TypeError, "a Mapping is needed, not %R", mapping);
    Mapping *m = (Mapping *)mapping;
    if (m->start == NULL || m->size < 16) return list_damaged();
    int64_t n = read_i64(m->start), data = 8 + 8 * (n + 1);
    if (n < 0 || n > m->size / 8 || data > m->size) return list_damaged();
    int64_t size = read_i64(m->start + 8 + 8 * n);
    if (size < 0 || size > m->size - data || 9 * n > m->size - data - size) return list_damaged();
    core_keep((PyObject **)&self->mapping, mapping);
    self->length = (Py_ssize_t)n;
    self->data = (Py_ssize_t)data;
    self->formats = (Py_ssize_t)(data + size);
    self->codes = (Py_ssize_t)(data + size + 8 * n);
    Py_RETURN_NONE;
}

/* Negative indices have the length added already. */
static void *list_outside(CellList *self, Py_ssize_t i, const char *begin)
{
    return PyErr_Format(PyExc_IndexError, "%s: %zd in a list of %zd items; use one from -len() to len() - 1", begin,
                        i < 0 ? i - self->length : i, self->length);
}

/* The item's bytes; NULL with an exception. */
static char *list_place(CellList *self, Py_ssize_t i, Py_ssize_t *room)
{
    Mapping *m = self->mapping;
    if (m == NULL || m->start == NULL) {
        PyErr_SetString(PyExc_TypeError, "a bytes-like object is required, not 'NoneType': the list's shared memory is closed");
        return NULL;
    }
    if (i < 0 || i >= self->length) return list_outside(self, i, "index out of range");
    int64_t from = read_i64(m->start + 8 + 8 * i), to = read_i64(m->start + 16 + 8 * i);
    if (from < 0 || to < from || to > self->formats - self->data) return list_damaged();
    *room = (Py_ssize_t)(to - from);
    return m->start + self->data + from;
}

static PyObject *list_odd_format(CellList *self, Py_ssize_t i)
{
    char text[9] = {0};
    memcpy(text, self->mapping->start + self->formats + 8 * i, 8);
    PyErr_Format(PyExc_ValueError, "item %zd of the ShareableList has the unknown format '%s'", i, text);
    return NULL;
}

static PyObject *list_item(PyObject *op, Py_ssize_t i)
{
    CellList *self = (CellList *)op;
    Py_ssize_t room;
    const char *p = list_place(self, i, &room);
    if (p == NULL) return NULL;
    const char *format = self->mapping->start + self->formats + 8 * i;
    char code = self->mapping->start[self->codes + i];
    if (code == 3) Py_RETURN_NONE;
    if (format[0] == 'q' && format[1] == 0 && room >= 8) return PyLong_FromLongLong(read_i64(p));
    if (format[0] == 'd' && format[1] == 0 && room >= 8) {
        double v;
        memcpy(&v, p, 8);
        return PyFloat_FromDouble(v);
    }
    if (format[0] == 'x') {
        if (room < 8 || memcmp(format, "xxxxxxx?", 8) != 0) return list_odd_format(self, i);
        return PyBool_FromLong(p[7] != 0);
    }
    Py_ssize_t size = 0;
    int digit = 0;
    while (digit < 8 && format[digit] >= '0' && format[digit] <= '9') size = size * 10 + (format[digit++] - '0');
    if (digit == 0 || digit == 8 || format[digit] != 's' || size > room || (code != 1 && code != 2))
        return list_odd_format(self, i);
    while (size > 0 && p[size - 1] == 0) size--;
    return code == 1 ? PyUnicode_DecodeUTF8(p, size, NULL) : PyBytes_FromStringAndSize(p, size);
}

static Py_ssize_t list_length(PyObject *op)
{
    return ((CellList *)op)->length;
}

static int list_index(CellList *self, PyObject *key, Py_ssize_t *index)
{
    if (!PyIndex_Check(key)) {
        PyErr_Format(PyExc_TypeError, "list indices must be integers or slices, not %.100S", Py_TYPE(key));
        return -1;
    }
    Py_ssize_t i = PyNumber_AsSsize_t(key, PyExc_IndexError);
    if (i == -1 && PyErr_Occurred()) return -1;
    *index = i < 0 ? i + self->length : i;
    return 0;
}

static PyObject *list_subscript(PyObject *op, PyObject *key)
{
    Py_ssize_t i;
    return list_index((CellList *)op, key, &i) < 0 ? NULL : list_item(op, i);
}

static int list_ass_item(PyObject *op, Py_ssize_t i, PyObject *value)
{
    CellList *self = (CellList *)op;
    if (value == NULL) return core_fail(PyExc_TypeError, "items of a ShareableList cannot be deleted");
    if (self->mapping != NULL && self->mapping->start != NULL && (i < 0 || i >= self->length)) {
        list_outside(self, i, "assignment index out of range");
        return -1;
    }
    Py_ssize_t room;
    char *p = list_place(self, i, &room);
    if (p == NULL) return -1;
    int overflow = 1;
    uint64_t bits = 0, format = 0;
    if (room >= 8 && PyLong_CheckExact(value)) {
        bits = (uint64_t)PyLong_AsLongLongAndOverflow(value, &overflow);
        if (!overflow) format = 'q';
    } else if (room >= 8 && PyFloat_CheckExact(value)) {
        double v = PyFloat_AsDouble(value);
        memcpy(&bits, &v, 8);
        format = 'd';
    }
    if (format) {
        char *at = self->mapping->start + self->formats + 8 * i;
        memcpy(p, &bits, 8);
        if (memcmp(at, &format, 8) != 0) memcpy(at, &format, 8);
        self->mapping->start[self->codes + i] = 0;
        return 0;
    }
    PyObject *done = PyObject_CallMethod(op, "_assign", "nO", i, value);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

static int list_ass_subscript(PyObject *op, PyObject *key, PyObject *value)
{
    Py_ssize_t i;
    return list_index((CellList *)op, key, &i) < 0 ? -1 : list_ass_item(op, i, value);
}

static int list_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(((CellList *)op)->mapping);
    return 0;
}

static int list_clear(PyObject *op)
{
    CellList *self = (CellList *)op;
    self->length = 0;
    Py_CLEAR(self->mapping);
    return 0;
}

static void list_dealloc(PyObject *op) { core_dealloc_gc(op, list_clear); }

static PyMethodDef list_methods[] = {
    {"_bind", list_bind, METH_O, "Read the list's layout from a Mapping and use it from now on."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot list_slots[] = {
    { Py_tp_doc, "Element access of ShareableList." }, { Py_tp_dealloc, list_dealloc },
    { Py_tp_traverse, list_traverse }, { Py_tp_clear, list_clear }, { Py_tp_methods, list_methods },
    { Py_sq_length, list_length }, { Py_sq_item, list_item }, { Py_sq_ass_item, list_ass_item },
    { Py_mp_length, list_length }, { Py_mp_subscript, list_subscript }, { Py_mp_ass_subscript, list_ass_subscript },
    { 0, NULL },
};

static PyType_Spec list_spec = {
    "procession_native._core.CellList", sizeof(CellList), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, list_slots,
};

/* ---- block_fill ----------------------------------------------------------------------------------------------------- */

static PyObject *block_fill(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *to;
    Py_buffer source, target;
    Py_ssize_t offset = 0;
    if (!PyArg_ParseTuple(args, "Oy*|n:block_fill", &to, &source, &offset)) return NULL;
    if (PyObject_GetBuffer(to, &target, PyBUF_WRITABLE) < 0) {
        PyBuffer_Release(&source);
        return NULL;
    }
    PyObject *result = NULL;
    if (offset < 0 || offset > target.len || source.len > target.len - offset) {
        PyErr_Format(PyExc_ValueError, "%zd bytes do not fit into %zd at offset %zd", source.len, target.len, offset);
    } else {
        core_copy((char *)target.buf + offset, source.buf, (size_t)source.len);
        result = Py_NewRef(Py_None);
    }
    PyBuffer_Release(&target);
    PyBuffer_Release(&source);
    return result;
}

static PyMethodDef functions[] = {
    {"block_fill", block_fill, METH_VARARGS,
     "block_fill(target, source, offset=0): copy a contiguous buffer into a writable one; other threads run meanwhile."},
    {NULL, NULL, 0, NULL},
};

int procession_add_mapping(PyObject *module)
{
    mapping_type = core_add_type(module, &mapping_spec, NULL);
    if (!mapping_type || !core_add_type(module, &list_spec, NULL)) return -1;
    return PyModule_AddFunctions(module, functions);
}
