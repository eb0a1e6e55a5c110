/* py_array.c: the elements and slices of a synchronized ctypes array. */
#include "py_cells.h"

/* ---- SyncArray ------------------------------------------------------------------------------------------------------ */

/* Through ctypes; a tuple as key goes one dimension further with each of its items. */
static PyObject *array_get_other(Cell *self, PyObject *key)
{
    if (!PyTuple_CheckExact(key)) return PyObject_GetItem(self->obj, key);
    PyObject *place = self->obj;
    Py_INCREF(place);
    for (Py_ssize_t i = 0; place != NULL && i < PyTuple_Size(key); i++) {
        PyObject *next = PyObject_GetItem(place, PyTuple_GetItem(key, i));
        Py_DECREF(place);
        place = next;
    }
    return place;
}

static int array_set_other(Cell *self, PyObject *key, PyObject *value)
{
    if (!PyTuple_CheckExact(key) || PyTuple_Size(key) == 0) return PyObject_SetItem(self->obj, key, value);
    Py_ssize_t last = PyTuple_Size(key) - 1;
    PyObject *first = PyTuple_GetSlice(key, 0, last);
    if (first == NULL) return -1;
    PyObject *place = array_get_other(self, first);
    Py_DECREF(first);
    if (place == NULL) return -1;
    int done = PyObject_SetItem(place, PyTuple_GetItem(key, last), value);
    Py_DECREF(place);
    return done;
}

/* 1: *index is a good index; 0: let ctypes say what is wrong. */
static int array_index(Cell *self, PyObject *key, Py_ssize_t *index)
{
    if (self->kind == CELL_OTHER || !PyLong_Check(key)) return 0;
    Py_ssize_t i = PyLong_AsSsize_t(key);
    if (i == -1 && PyErr_Occurred()) {
        PyErr_Clear();
        return 0;
    }
    if (i < 0) i += self->count;
    *index = i;
    return i >= 0 && i < self->count;
}

/* Making number objects is nine tenths of reading a slice, so an array that is read again and again keeps those it
 * made last and gives them out as long as the bits in memory are the same.  Numbers are immutable: nobody can tell.
 * Memory: 16 bytes an element and the objects, for arrays of up to KEEP_LIMIT elements, given up for a while when more
 * than half of them have changed between two readings. */
#define KEEP_LIMIT 4096
#define KEEP_LEAST 16
#define KEEP_PAUSE 64                   /* slices without trying again */

struct kept { PyObject *object; uint64_t bits; };

void cell_keep_nothing(Cell *self)
{
    struct kept *kept = self->kept;
    self->kept = NULL;
    for (Py_ssize_t i = 0; kept != NULL && i < self->count; i++) Py_XDECREF(kept[i].object);
    PyMem_Free(kept);
}

static struct kept *keep_some(Cell *self, Py_ssize_t n)
{
    if (self->kept != NULL) return self->kept;
    if (self->pause > 0) {
        self->pause--;
        return NULL;
    }
    if (n < KEEP_LEAST || self->count > KEEP_LIMIT || self->kind == CELL_CHAR || self->kind == CELL_BOOL) return NULL;
    self->kept = PyMem_Calloc((size_t)self->count, sizeof *self->kept);
    return self->kept;
}

static inline uint64_t bits_at(Py_ssize_t itemsize, const char *p)
{
    return itemsize == 8 ? LOAD(uint64_t, p) : itemsize == 4 ? LOAD(uint32_t, p) : itemsize == 2 ? LOAD(uint16_t, p) : LOAD(uint8_t, p);
}

/* Fills the list with the n items from index start on. */
static int fill_list(Cell *self, PyObject *list, Py_ssize_t start, Py_ssize_t step, Py_ssize_t n)
{
    const char *p = (char *)self->view.buf + start * self->itemsize;
    Py_ssize_t stride = step * self->itemsize, itemsize = self->itemsize, changed = 0;
    struct kept *kept = keep_some(self, n);
    if (kept == NULL) {
        for (Py_ssize_t i = 0; i < n; i++, p += stride) {
            PyObject *item = cell_load(self->kind, p);
            if (item == NULL) return -1;
            PyList_SetItem(list, i, item);
        }
        return 0;
    }
    struct kept *k = kept + start;
    for (Py_ssize_t i = 0; i < n; i++, p += stride, k += step) {
        uint64_t bits = bits_at(itemsize, p);
        PyObject *item = k->object;
        if (item == NULL || k->bits != bits) {
            item = cell_of_bits(self->kind, bits);
            if (item == NULL) return -1;
            changed += k->object != NULL;
            Py_XDECREF(k->object);
            k->object = item;
            k->bits = bits;
        }
        Py_INCREF(item);
        PyList_SetItem(list, i, item);
    }
    if (changed > n / 2) {
        cell_keep_nothing(self);
        self->pause = KEEP_PAUSE;
    }
    return 0;
}

static PyObject *array_get_slice(Cell *self, PyObject *key)
{
    Py_ssize_t start, stop, step;
    if (PySlice_Unpack(key, &start, &stop, &step) < 0) return NULL;
    Py_ssize_t n = PySlice_AdjustIndices(self->count, &start, &stop, step);
    if (cell_enter(self) < 0) return NULL;
    PyObject *result;
    if (self->kind == CELL_CHAR) {
        result = PyBytes_FromStringAndSize(NULL, n);
        if (result != NULL) {
            const char *base = self->view.buf;
            char *to = PyBytes_AsString(result);
            for (Py_ssize_t i = 0; i < n; i++) to[i] = base[start + i * step];
        }
        return cell_leave_with(self, result);
    }
    result = PyList_New(n);
    if (result != NULL && fill_list(self, result, start, step, n) < 0)
        Py_CLEAR(result);
    return cell_leave_with(self, result);
}

static PyObject *array_subscript(PyObject *op, PyObject *key)
{
    Cell *self = (Cell *)op;
    Py_ssize_t i;
    if (array_index(self, key, &i)) {
        if (cell_enter(self) < 0) return NULL;
        return cell_leave_with(self, cell_load(self->kind, (char *)self->view.buf + i * self->itemsize));
    }
    if (self->kind != CELL_OTHER && PySlice_Check(key)) return array_get_slice(self, key);
    if (cell_enter(self) < 0) return NULL;
    return cell_leave_with(self, array_get_other(self, key));
}

/* For iteration, which asks with plain numbers. */
static PyObject *array_item(PyObject *op, Py_ssize_t i)
{
    Cell *self = (Cell *)op;
    if (i >= 0 && i < self->count && self->kind != CELL_OTHER) {
        if (cell_enter(self) < 0) return NULL;
        return cell_leave_with(self, cell_load(self->kind, (char *)self->view.buf + i * self->itemsize));
    }
    PyObject *key = PyLong_FromSsize_t(i);
    PyObject *result = key == NULL ? NULL : array_subscript(op, key);
    Py_XDECREF(key);
    return result;
}

/* A slice from a list or tuple; -2: not this way. */
static int array_set_slice(Cell *self, PyObject *key, PyObject *value)
{
    bool list = PyList_CheckExact(value);
    if (!list && !PyTuple_CheckExact(value)) return -2;
    Py_ssize_t start, stop, step;
    if (PySlice_Unpack(key, &start, &stop, &step) < 0) return -1;
    Py_ssize_t n = PySlice_AdjustIndices(self->count, &start, &stop, step);
    if (n != (list ? PyList_Size(value) : PyTuple_Size(value))) return -2;
    if (cell_enter(self) < 0) return -1;
    int done = 1;
    for (Py_ssize_t i = 0; done > 0 && i < n; i++) {
        if (list && i >= PyList_Size(value)) break;     /* a conversion has changed it */
        PyObject *item = list ? PyList_GetItem(value, i) : PyTuple_GetItem(value, i);
        Py_ssize_t at = start + i * step;
        Py_INCREF(item);
        done = cell_store(self->kind, (char *)self->view.buf + at * self->itemsize, item);
        if (done == 0) {
            PyObject *index = PyLong_FromSsize_t(at);
            done = index == NULL || PyObject_SetItem(self->obj, index, item) < 0 ? -1 : 1;
            Py_XDECREF(index);
        }
        Py_DECREF(item);
    }
    if (cell_leave(self) < 0) return -1;
    return done < 0 ? -1 : 0;
}

static int array_ass_subscript(PyObject *op, PyObject *key, PyObject *value)
{
    Cell *self = (Cell *)op;
    Py_ssize_t i;
    if (value == NULL) return core_fail(PyExc_TypeError, "items of an array cannot be deleted");
    if (array_index(self, key, &i)) {
        if (cell_enter(self) < 0) return -1;
        int done = cell_store(self->kind, (char *)self->view.buf + i * self->itemsize, value);
        if (done == 0) done = PyObject_SetItem(self->obj, key, value);
        if (cell_leave(self) < 0) return -1;
        return done < 0 ? -1 : 0;
    }
    if (self->kind != CELL_OTHER && PySlice_Check(key)) {
        int done = array_set_slice(self, key, value);
        if (done != -2) return done;
    }
    if (cell_enter(self) < 0) return -1;
    int done = array_set_other(self, key, value);
    if (cell_leave(self) < 0) return -1;
    return done;
}

static Py_ssize_t array_length(PyObject *op)
{
    Cell *self = (Cell *)op;
    if (self->obj == NULL) return cell_not_bound();
    return PyObject_Size(self->obj);
}

static PyMethodDef array_methods[] = {
    {"_bind", cell_bind, METH_VARARGS, "Use an object and a lock from now on."},
    {"get_lock", cell_get_lock, METH_NOARGS, "Return the lock."},
    {"get_obj", cell_get_obj, METH_NOARGS, "Return the ctypes object."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot array_slots[] = {
    { Py_tp_doc, "The accessors of a synchronized array." }, { Py_tp_dealloc, cell_dealloc },
    { Py_tp_traverse, cell_traverse }, { Py_tp_clear, cell_clear }, { Py_tp_methods, array_methods },
    { Py_sq_length, array_length }, { Py_sq_item, array_item }, { Py_mp_length, array_length },
    { Py_mp_subscript, array_subscript }, { Py_mp_ass_subscript, array_ass_subscript },
    { Py_bf_getbuffer, cell_getbuffer }, { 0, NULL },
};

static PyType_Spec array_spec = {
    "procession_native._core.SyncArray", sizeof(Cell), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, array_slots,
};

int procession_add_array(PyObject *module)
{
    return core_add_type(module, &array_spec, NULL) ? 0 : -1;
}
