/* py_cells.c: shared memory as Python objects read and write it, one element at a time.
 *
 *   Mapping     a file's memory as a writable buffer that knows when it was closed
 *   CellList    element access of ShareableList
 *   SyncValue   value and atomics of a synchronized ctypes scalar
 *   SyncArray   elements and slices of a synchronized ctypes array
 *   block_fill  a copy that lets other threads run
 *
 * The synchronized accessors take the wrapper's lock without a call through Python where it is one of the core's
 * own, and touch the memory themselves where the element is a plain number; everything else goes through the
 * lock's methods and the ctypes object, so that conversions and errors are always those of ctypes.
 */
#include "py_arena.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "py_cells.h"
#include "sync.h"

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
    if (size <= 0) {
        PyErr_Format(PyExc_ValueError, size ? "cannot map %zd bytes" : "cannot mmap an empty file", size);
        return NULL;
    }
    void *start = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (start == MAP_FAILED) return PyErr_SetFromErrno(PyExc_OSError);
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Mapping *self = (Mapping *)alloc(type, 0);
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
    PyTypeObject *type = Py_TYPE(op);
    mapping_unmap((Mapping *)op);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(op);
    Py_DECREF(type);
}

static PyObject *mapping_close(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Mapping *self = (Mapping *)op;
    if (self->exports > 0) {
        PyErr_SetString(PyExc_BufferError, "cannot close exported pointers exist");
        return NULL;
    }
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
    {Py_tp_doc, "Mapping(fd, size): the first bytes of a file as shared writable memory; fd may be closed."},
    {Py_tp_new, mapping_new},
    {Py_tp_dealloc, mapping_dealloc},
    {Py_tp_methods, mapping_methods},
    {Py_tp_getset, mapping_getset},
    {Py_sq_length, mapping_length},
    {Py_bf_getbuffer, mapping_getbuffer},
    {Py_bf_releasebuffer, mapping_releasebuffer},
    {0, NULL},
};

static PyType_Spec mapping_spec = {
    .name = "procession_native._core.Mapping",
    .basicsize = sizeof(Mapping),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = mapping_slots,
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
    const char *start;          /* of the mapping when the places below were computed */
    Py_ssize_t data, formats, codes;
} CellList;

static int64_t read_i64(const char *p)
{
    int64_t v;
    memcpy(&v, p, 8);
    return v;
}

static int list_damaged(void)
{
    PyErr_SetString(PyExc_ValueError, "the shared memory does not hold a ShareableList, or was overwritten");
    return -1;
}

static PyObject *list_bind(PyObject *op, PyObject *mapping)
{
    CellList *self = (CellList *)op;
    if (Py_TYPE(mapping) != mapping_type) {
        PyErr_Format(PyExc_TypeError, "a Mapping is needed, not %R", mapping);
        return NULL;
    }
    Mapping *m = (Mapping *)mapping;
    if (m->start == NULL || m->size < 16) {
        list_damaged();
        return NULL;
    }
    int64_t n = read_i64(m->start);
    if (n < 0 || n > m->size / 8) {
        list_damaged();
        return NULL;
    }
    int64_t data = 8 + 8 * (n + 1);
    if (data > m->size) {
        list_damaged();
        return NULL;
    }
    int64_t size = read_i64(m->start + 8 + 8 * n);
    if (size < 0 || size > m->size - data || 9 * n > m->size - data - size) {
        list_damaged();
        return NULL;
    }
    Py_INCREF(mapping);
    Mapping *old = self->mapping;
    self->mapping = m;
    self->length = (Py_ssize_t)n;
    self->data = (Py_ssize_t)data;
    self->formats = (Py_ssize_t)(data + size);
    self->codes = (Py_ssize_t)(data + size + 8 * n);
    Py_XDECREF((PyObject *)old);
    Py_RETURN_NONE;
}

/* The item's bytes; NULL with an exception. */
static char *list_place(CellList *self, Py_ssize_t i, Py_ssize_t *room)
{
    Mapping *m = self->mapping;
    if (m == NULL || m->start == NULL) {
        PyErr_SetString(PyExc_TypeError, "a bytes-like object is required, not 'NoneType': the list's shared memory is closed");
        return NULL;
    }
    if (i < 0 || i >= self->length) {
        PyErr_SetString(PyExc_IndexError, "index out of range");
        return NULL;
    }
    int64_t from = read_i64(m->start + 8 + 8 * i), to = read_i64(m->start + 16 + 8 * i);
    if (from < 0 || to < from || to > self->formats - self->data) {
        list_damaged();
        return NULL;
    }
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
    if (value == NULL) {
        PyErr_SetString(PyExc_TypeError, "items of a ShareableList cannot be deleted");
        return -1;
    }
    if (self->mapping != NULL && self->mapping->start != NULL && (i < 0 || i >= self->length)) {
        PyErr_SetString(PyExc_IndexError, "assignment index out of range");
        return -1;
    }
    Py_ssize_t room;
    char *p = list_place(self, i, &room);
    if (p == NULL) return -1;
    uint64_t *format = (uint64_t *)(self->mapping->start + self->formats + 8 * i);
    char *code = self->mapping->start + self->codes + i;
    if (room >= 8 && PyLong_CheckExact(value)) {
        int overflow;
        long long v = PyLong_AsLongLongAndOverflow(value, &overflow);
        if (!overflow) {
            uint64_t wanted = 'q';
            memcpy(p, &v, 8);
            if (memcmp(format, &wanted, 8) != 0) memcpy(format, &wanted, 8);
            *code = 0;
            return 0;
        }
    } else if (room >= 8 && PyFloat_CheckExact(value)) {
        double v = PyFloat_AsDouble(value);
        uint64_t wanted = 'd';
        memcpy(p, &v, 8);
        if (memcmp(format, &wanted, 8) != 0) memcpy(format, &wanted, 8);
        *code = 0;
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

static void gc_dealloc(PyObject *op, inquiry clear)
{
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    clear(op);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(op);
    Py_DECREF(type);
}

static void list_dealloc(PyObject *op)
{
    gc_dealloc(op, list_clear);
}

static PyMethodDef list_methods[] = {
    {"_bind", list_bind, METH_O, "Read the list's layout from a Mapping and use it from now on."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot list_slots[] = {
    {Py_tp_doc, "Element access of ShareableList."},
    {Py_tp_dealloc, list_dealloc},
    {Py_tp_traverse, list_traverse},
    {Py_tp_clear, list_clear},
    {Py_tp_methods, list_methods},
    {Py_sq_length, list_length},
    {Py_sq_item, list_item},
    {Py_sq_ass_item, list_ass_item},
    {Py_mp_length, list_length},
    {Py_mp_subscript, list_subscript},
    {Py_mp_ass_subscript, list_ass_subscript},
    {0, NULL},
};

static PyType_Spec list_spec = {
    .name = "procession_native._core.CellList",
    .basicsize = sizeof(CellList),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = list_slots,
};

/* ---- cells: numbers in memory ----------------------------------------------------------------------------------- */

enum cell_kind { CELL_OTHER = 0, CELL_I8, CELL_I16, CELL_I32, CELL_I64, CELL_U8, CELL_U16, CELL_U32, CELL_U64,
                 CELL_F32, CELL_F64, CELL_CHAR, CELL_BOOL };

/* Of a typecode's letter and the element's size in bytes. */
static enum cell_kind kind_of(const char *code, Py_ssize_t size)
{
    if (code[0] == 0 || code[1] != 0) return CELL_OTHER;
    if (strchr("bhilq", code[0]) != NULL)
        return size == 1 ? CELL_I8 : size == 2 ? CELL_I16 : size == 4 ? CELL_I32 : size == 8 ? CELL_I64 : CELL_OTHER;
    if (strchr("BHILQ", code[0]) != NULL)
        return size == 1 ? CELL_U8 : size == 2 ? CELL_U16 : size == 4 ? CELL_U32 : size == 8 ? CELL_U64 : CELL_OTHER;
    if (code[0] == 'f' && size == 4) return CELL_F32;
    if (code[0] == 'd' && size == 8) return CELL_F64;
    if (code[0] == 'c' && size == 1) return CELL_CHAR;
    if (code[0] == '?' && size == 1) return CELL_BOOL;
    return CELL_OTHER;
}

#define LOAD(type, p) __atomic_load_n((type *)(p), __ATOMIC_ACQUIRE)
#define STORE(type, p, v) __atomic_store_n((type *)(p), (type)(v), __ATOMIC_RELEASE)

static inline double load_f64(const void *p)
{
    uint64_t bits = LOAD(uint64_t, p);
    double v;
    memcpy(&v, &bits, 8);
    return v;
}

static inline void store_f64(void *p, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, 8);
    STORE(uint64_t, p, bits);
}

static inline float load_f32(const void *p)
{
    uint32_t bits = LOAD(uint32_t, p);
    float v;
    memcpy(&v, &bits, 4);
    return v;
}

static inline void store_f32(void *p, float v)
{
    uint32_t bits;
    memcpy(&bits, &v, 4);
    STORE(uint32_t, p, bits);
}

static PyObject *cell_load(enum cell_kind kind, const char *p)
{
    switch (kind) {
    case CELL_I8: return PyLong_FromLong(LOAD(int8_t, p));
    case CELL_I16: return PyLong_FromLong(LOAD(int16_t, p));
    case CELL_I32: return PyLong_FromLong(LOAD(int32_t, p));
    case CELL_I64: return PyLong_FromLongLong(LOAD(int64_t, p));
    case CELL_U8: return PyLong_FromLong(LOAD(uint8_t, p));
    case CELL_U16: return PyLong_FromLong(LOAD(uint16_t, p));
    case CELL_U32: return PyLong_FromUnsignedLong(LOAD(uint32_t, p));
    case CELL_U64: return PyLong_FromUnsignedLongLong(LOAD(uint64_t, p));
    case CELL_F32: return PyFloat_FromDouble((double)load_f32(p));
    case CELL_F64: return PyFloat_FromDouble(load_f64(p));
    case CELL_CHAR: return PyBytes_FromStringAndSize(p, 1);
    case CELL_BOOL: return PyBool_FromLong(LOAD(uint8_t, p));
    case CELL_OTHER: break;
    }
    PyErr_SetString(PyExc_SystemError, "cell_load of no plain number");
    return NULL;
}

/* 1: stored; 0: not a value that is converted here (ask ctypes); -1: exception. */
static int cell_store(enum cell_kind kind, char *p, PyObject *value)
{
    if (kind >= CELL_I8 && kind <= CELL_U64) {
        if (!PyLong_CheckExact(value)) return 0;
        uint64_t v = PyLong_AsUnsignedLongLongMask(value);      /* as ctypes: no check for overflow */
        if (v == (uint64_t)-1 && PyErr_Occurred()) return -1;
        switch (kind) {
        case CELL_I8: case CELL_U8: STORE(uint8_t, p, v); break;
        case CELL_I16: case CELL_U16: STORE(uint16_t, p, v); break;
        case CELL_I32: case CELL_U32: STORE(uint32_t, p, v); break;
        default: STORE(uint64_t, p, v); break;
        }
        return 1;
    }
    if (kind == CELL_F64 || kind == CELL_F32) {
        if (!PyFloat_CheckExact(value) && !PyLong_CheckExact(value)) return 0;
        double v = PyFloat_AsDouble(value);
        if (v == -1.0 && PyErr_Occurred()) {
            PyErr_Clear();
            return 0;
        }
        if (kind == CELL_F64) store_f64(p, v);
        else store_f32(p, (float)v);
        return 1;
    }
    if (kind == CELL_CHAR) {
        if (!PyBytes_CheckExact(value) || PyBytes_Size(value) != 1) return 0;
        STORE(uint8_t, p, (uint8_t)PyBytes_AsString(value)[0]);
        return 1;
    }
    if (kind == CELL_BOOL) {
        if (value != Py_True && value != Py_False) return 0;
        STORE(uint8_t, p, value == Py_True);
        return 1;
    }
    return 0;
}

/* ---- locks --------------------------------------------------------------------------------------------------------
 *
 * What is not done in a few instructions (contention, a dead owner, misuse) is left to the lock's own methods, which
 * wait, handle signals and raise.
 */

static int call_lock(PyObject *lock, const char *method)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyObject *done = PyObject_CallMethod(lock, method, NULL);
    if (done == NULL) {
        Py_XDECREF(type);
        Py_XDECREF(value);
        Py_XDECREF(traceback);
        return -1;
    }
    Py_DECREF(done);
    PyErr_Restore(type, value, traceback);
    return 0;
}

/* The structure of a lock of the core, NULL for any other; *again: whether its thread may take it again. */
static struct sync_lock *core_lock_of(PyObject *lock, bool *again)
{
    if (shared_type == NULL || !PyObject_TypeCheck(lock, shared_type)) return NULL;
    SharedObject *shared = (SharedObject *)lock;
    if (shared->kind != KIND_LOCK && shared->kind != KIND_RLOCK) return NULL;
    *again = shared->kind == KIND_RLOCK;
    return shared->payload;
}

struct kept;

/* ---- what both wrappers have: the object, its memory, its lock ------------------------------------------------------ */

typedef struct {
    PyObject_HEAD
    PyObject *obj;              /* the ctypes object */
    PyObject *lock;
    struct sync_lock *core_lock;    /* the lock's words, if it is one of the core's */
    bool again;                     /* it is an RLock */
    Py_buffer view;             /* of obj; view.obj NULL: none */
    enum cell_kind kind;        /* CELL_OTHER: everything through obj */
    Py_ssize_t itemsize, count;
    struct kept *kept;          /* of an array: see fill_list */
    int pause;
} Cell;

static int cell_not_bound(void)
{
    PyErr_SetString(PyExc_ValueError, "the wrapper has no object yet");
    return -1;
}

/* 0, or -1 with an exception. */
static inline int cell_enter(Cell *self)
{
    struct sync_lock *l = self->core_lock;
    if (l != NULL) {
        if (self->again && sync_rlock_again(process_arena, l) == AR_OK) return 0;
        if (sync_lock_fast(process_arena, l)) return 0;
    }
    if (self->lock == NULL) return cell_not_bound();
    return call_lock(self->lock, "acquire");
}

/* Keeps an exception that is set; 0 or -1 (then an exception is set). */
static inline int cell_leave(Cell *self)
{
    struct sync_lock *l = self->core_lock;
    if (l != NULL && (self->again ? sync_rlock_release(process_arena, l) : sync_lock_release(l)) == AR_OK) return 0;
    return call_lock(self->lock, "release");
}

static PyObject *cell_leave_with(Cell *self, PyObject *result)
{
    if (cell_leave(self) < 0) {
        Py_XDECREF(result);
        return NULL;
    }
    return result;
}

/* _bind(obj, lock, code, itemsize, count): code '' lets ctypes do everything.
 * The memory of obj must not move while the wrapper lives: obj stands in a block of the arena. */
static PyObject *cell_bind(PyObject *op, PyObject *args)
{
    Cell *self = (Cell *)op;
    PyObject *obj, *lock;
    const char *code;
    Py_ssize_t itemsize, count;
    if (!PyArg_ParseTuple(args, "OOsnn:_bind", &obj, &lock, &code, &itemsize, &count)) return NULL;
    if (self->obj != NULL) {
        PyErr_SetString(PyExc_ValueError, "the wrapper has an object already");
        return NULL;
    }
    enum cell_kind kind = kind_of(code, itemsize);
    if (kind != CELL_OTHER) {
        if (PyObject_GetBuffer(obj, &self->view, PyBUF_WRITABLE) < 0) return NULL;
        if (count < 0 || itemsize <= 0 || count > self->view.len / itemsize
            || (uintptr_t)self->view.buf % (uintptr_t)itemsize != 0) {
            PyBuffer_Release(&self->view);
            kind = CELL_OTHER;
        }
    }
    self->core_lock = core_lock_of(lock, &self->again);
    self->kind = kind;
    self->itemsize = itemsize;
    self->count = count;
    Py_INCREF(obj);
    self->obj = obj;
    Py_INCREF(lock);
    self->lock = lock;
    Py_RETURN_NONE;
}

static void keep_nothing(Cell *self);

static int cell_traverse(PyObject *op, visitproc visit, void *arg)
{
    Cell *self = (Cell *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->obj);
    Py_VISIT(self->lock);
    return 0;
}

static int cell_clear(PyObject *op)
{
    Cell *self = (Cell *)op;
    self->kind = CELL_OTHER;
    if (self->kept != NULL) keep_nothing(self);
    self->count = 0;
    if (self->view.obj != NULL) PyBuffer_Release(&self->view);
    self->core_lock = NULL;
    Py_CLEAR(self->obj);
    Py_CLEAR(self->lock);
    return 0;
}

static void cell_dealloc(PyObject *op)
{
    gc_dealloc(op, cell_clear);
}

static PyObject *cell_get_lock(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Cell *self = (Cell *)op;
    if (self->lock == NULL) {
        cell_not_bound();
        return NULL;
    }
    Py_INCREF(self->lock);
    return self->lock;
}

static PyObject *cell_get_obj(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Cell *self = (Cell *)op;
    if (self->obj == NULL) {
        cell_not_bound();
        return NULL;
    }
    Py_INCREF(self->obj);
    return self->obj;
}

static int cell_getbuffer(PyObject *op, Py_buffer *view, int flags)
{
    Cell *self = (Cell *)op;
    view->obj = NULL;
    if (self->obj == NULL) return cell_not_bound();
    return PyObject_GetBuffer(self->obj, view, flags);
}

/* ---- SyncValue ------------------------------------------------------------------------------------------------------ */

static PyObject *value_get(PyObject *op, void *Py_UNUSED(closure))
{
    Cell *self = (Cell *)op;
    if (cell_enter(self) < 0) return NULL;
    PyObject *result = self->kind != CELL_OTHER ? cell_load(self->kind, self->view.buf)
                                                : PyObject_GetAttrString(self->obj, "value");
    return cell_leave_with(self, result);
}

static int value_set(PyObject *op, PyObject *value, void *Py_UNUSED(closure))
{
    Cell *self = (Cell *)op;
    if (value == NULL) {
        PyErr_SetString(PyExc_AttributeError, "value cannot be deleted");
        return -1;
    }
    if (cell_enter(self) < 0) return -1;
    int done = self->kind != CELL_OTHER ? cell_store(self->kind, self->view.buf, value) : 0;
    if (done == 0) done = PyObject_SetAttrString(self->obj, "value", value);
    if (cell_leave(self) < 0) return -1;
    return done < 0 ? -1 : 0;
}

enum atomic_op { OP_ADD, OP_SUB, OP_AND, OP_OR, OP_XOR, OP_SWAP };
static const char *const op_names[] = {"add", "sub", "and", "or", "xor", "exchange"};

#define CHANGE(type) do { \
        type *q = (type *)p, v = (type)operand; \
        switch (op) { \
        case OP_ADD: return (uint64_t)__atomic_fetch_add(q, v, __ATOMIC_SEQ_CST); \
        case OP_SUB: return (uint64_t)__atomic_fetch_sub(q, v, __ATOMIC_SEQ_CST); \
        case OP_AND: return (uint64_t)__atomic_fetch_and(q, v, __ATOMIC_SEQ_CST); \
        case OP_OR: return (uint64_t)__atomic_fetch_or(q, v, __ATOMIC_SEQ_CST); \
        case OP_XOR: return (uint64_t)__atomic_fetch_xor(q, v, __ATOMIC_SEQ_CST); \
        case OP_SWAP: return (uint64_t)__atomic_exchange_n(q, v, __ATOMIC_SEQ_CST); \
        } } while (0)

/* Returns the bits before the change. */
static uint64_t change_bits(Py_ssize_t size, char *p, enum atomic_op op, uint64_t operand)
{
    switch (size) {
    case 1: CHANGE(uint8_t); break;
    case 2: CHANGE(uint16_t); break;
    case 4: CHANGE(uint32_t); break;
    default: CHANGE(uint64_t); break;
    }
    return 0;
}

static PyObject *number_of_bits(enum cell_kind kind, uint64_t bits)
{
    char place[8] __attribute__((aligned(8)));
    memcpy(place, &bits, 8);                /* little-endian: narrower kinds read the low bytes */
    return cell_load(kind, place);
}

static PyObject *refuse_atomic(Cell *self, const char *what)
{
    if (self->obj == NULL) cell_not_bound();
    else PyErr_Format(PyExc_TypeError, "%s() works on integers%s in shared memory, not on %R", what,
                      what[0] == 'a' || what[0] == 'e' || what[0] == 'f' ? " (adding: on floats too)" : "", self->obj);
    return NULL;
}

static PyObject *atomic_change(Cell *self, enum atomic_op op, PyObject *operand, bool after)
{
    enum cell_kind kind = self->kind;
    if (kind >= CELL_I8 && kind <= CELL_U64) {
        PyObject *index = PyNumber_Index(operand);
        if (index == NULL) return NULL;
        uint64_t v = PyLong_AsUnsignedLongLongMask(index);
        Py_DECREF(index);
        if (v == (uint64_t)-1 && PyErr_Occurred()) return NULL;
        uint64_t old = change_bits(self->itemsize, self->view.buf, op, v);
        if (after) old = op == OP_ADD ? old + v : old - v;
        return number_of_bits(kind, old);
    }
    if ((kind == CELL_F64 || kind == CELL_F32) && (op == OP_ADD || op == OP_SUB || op == OP_SWAP)) {
        double v = PyFloat_AsDouble(operand);
        if (v == -1.0 && PyErr_Occurred()) return NULL;
        if (op == OP_SUB) v = -v;
        if (kind == CELL_F64) {
            uint64_t *q = self->view.buf, old = __atomic_load_n(q, __ATOMIC_SEQ_CST), new;
            double before, next;
            do {
                memcpy(&before, &old, 8);
                next = op == OP_SWAP ? v : before + v;
                memcpy(&new, &next, 8);
            } while (!__atomic_compare_exchange_n(q, &old, new, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
            return PyFloat_FromDouble(after ? next : before);
        }
        uint32_t *q = self->view.buf, old = __atomic_load_n(q, __ATOMIC_SEQ_CST), new;
        float before, next;
        do {
            memcpy(&before, &old, 4);
            next = op == OP_SWAP ? (float)v : before + (float)v;
            memcpy(&new, &next, 4);
        } while (!__atomic_compare_exchange_n(q, &old, new, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
        return PyFloat_FromDouble((double)(after ? next : before));
    }
    if (kind == CELL_BOOL && op == OP_SWAP) {
        int truth = PyObject_IsTrue(operand);
        if (truth < 0) return NULL;
        return PyBool_FromLong(__atomic_exchange_n((uint8_t *)self->view.buf, (uint8_t)truth, __ATOMIC_SEQ_CST));
    }
    return refuse_atomic(self, op_names[op]);
}

static PyObject *one_or(PyObject *args, const char *format, PyObject **owned)
{
    PyObject *operand = NULL;
    *owned = NULL;
    if (!PyArg_ParseTuple(args, format, &operand)) return NULL;
    if (operand == NULL) operand = *owned = PyLong_FromLong(1);
    return operand;
}

static PyObject *change_by(PyObject *op, PyObject *args, const char *format, enum atomic_op what, bool after)
{
    PyObject *owned, *operand = one_or(args, format, &owned);
    PyObject *result = operand == NULL ? NULL : atomic_change((Cell *)op, what, operand, after);
    Py_XDECREF(owned);
    return result;
}

static PyObject *value_add(PyObject *op, PyObject *args) { return change_by(op, args, "|O:add", OP_ADD, true); }
static PyObject *value_sub(PyObject *op, PyObject *args) { return change_by(op, args, "|O:sub", OP_SUB, true); }
static PyObject *value_fetch_add(PyObject *op, PyObject *args) { return change_by(op, args, "|O:fetch_add", OP_ADD, false); }
static PyObject *value_fetch_sub(PyObject *op, PyObject *args) { return change_by(op, args, "|O:fetch_sub", OP_SUB, false); }
static PyObject *value_fetch_and(PyObject *op, PyObject *v) { return atomic_change((Cell *)op, OP_AND, v, false); }
static PyObject *value_fetch_or(PyObject *op, PyObject *v) { return atomic_change((Cell *)op, OP_OR, v, false); }
static PyObject *value_fetch_xor(PyObject *op, PyObject *v) { return atomic_change((Cell *)op, OP_XOR, v, false); }
static PyObject *value_exchange(PyObject *op, PyObject *v) { return atomic_change((Cell *)op, OP_SWAP, v, false); }

/* The bits that value would be stored as; -1 with an exception. */
static int bits_of(Cell *self, PyObject *value, uint64_t *bits)
{
    char place[8] __attribute__((aligned(8))) = {0};
    int done = cell_store(self->kind, place, value);
    if (done == 0 && self->kind >= CELL_I8 && self->kind <= CELL_U64) {
        PyObject *index = PyNumber_Index(value);
        if (index == NULL) return -1;
        PyObject *exact = PyLong_FromUnsignedLongLong(PyLong_AsUnsignedLongLongMask(index));
        Py_DECREF(index);
        if (exact == NULL || PyErr_Occurred()) {
            Py_XDECREF(exact);
            return -1;
        }
        done = cell_store(self->kind, place, exact);
        Py_DECREF(exact);
    }
    if (done < 0) return -1;
    if (done == 0) {
        PyErr_Format(PyExc_TypeError, "%R does not fit the type of %R", value, self->obj);
        return -1;
    }
    memcpy(bits, place, 8);
    return 0;
}

#define COMPARE(type) do { type e = (type)expected; \
        swapped = __atomic_compare_exchange_n((type *)p, &e, (type)desired, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); } while (0)

static PyObject *value_compare_exchange(PyObject *op, PyObject *args)
{
    Cell *self = (Cell *)op;
    PyObject *first, *second;
    uint64_t expected, desired;
    bool swapped;
    if (!PyArg_ParseTuple(args, "OO:compare_exchange", &first, &second)) return NULL;
    if (self->kind == CELL_OTHER) return refuse_atomic(self, "compare_exchange");
    if (bits_of(self, first, &expected) < 0 || bits_of(self, second, &desired) < 0) return NULL;
    char *p = self->view.buf;
    switch (self->itemsize) {
    case 1: COMPARE(uint8_t); break;
    case 2: COMPARE(uint16_t); break;
    case 4: COMPARE(uint32_t); break;
    default: COMPARE(uint64_t); break;
    }
    return PyBool_FromLong(swapped);
}

static PyObject *value_load(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Cell *self = (Cell *)op;
    return self->kind == CELL_OTHER ? refuse_atomic(self, "load") : cell_load(self->kind, self->view.buf);
}

static PyObject *value_store(PyObject *op, PyObject *value)
{
    Cell *self = (Cell *)op;
    uint64_t bits;
    if (self->kind == CELL_OTHER) return refuse_atomic(self, "store");
    if (bits_of(self, value, &bits) < 0) return NULL;
    change_bits(self->itemsize, self->view.buf, OP_SWAP, bits);
    Py_RETURN_NONE;
}

static PyMethodDef value_methods[] = {
    {"_bind", cell_bind, METH_VARARGS, "Use an object and a lock from now on."},
    {"get_lock", cell_get_lock, METH_NOARGS, "Return the lock."},
    {"get_obj", cell_get_obj, METH_NOARGS, "Return the ctypes object."},
    {"add", value_add, METH_VARARGS, "add(n=1): add without the lock, in one step; return the new value."},
    {"sub", value_sub, METH_VARARGS, "sub(n=1): subtract without the lock, in one step; return the new value."},
    {"fetch_add", value_fetch_add, METH_VARARGS, "fetch_add(n=1): as add(), but return the value before."},
    {"fetch_sub", value_fetch_sub, METH_VARARGS, "fetch_sub(n=1): as sub(), but return the value before."},
    {"fetch_and", value_fetch_and, METH_O, "fetch_and(n): bitwise and in one step; return the value before."},
    {"fetch_or", value_fetch_or, METH_O, "fetch_or(n): bitwise or in one step; return the value before."},
    {"fetch_xor", value_fetch_xor, METH_O, "fetch_xor(n): bitwise exclusive or in one step; return the value before."},
    {"exchange", value_exchange, METH_O, "exchange(new): store in one step; return the value before."},
    {"compare_exchange", value_compare_exchange, METH_VARARGS,
     "compare_exchange(expected, new): store new if the value is expected, in one step; return whether it was."},
    {"load", value_load, METH_NOARGS, "Return the value without the lock."},
    {"store", value_store, METH_O, "store(new): set the value without the lock."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef value_getset[] = {
    {"value", value_get, value_set, "The value, read and written under the lock.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot value_slots[] = {
    {Py_tp_doc, "The accessors of a synchronized scalar."},
    {Py_tp_dealloc, cell_dealloc},
    {Py_tp_traverse, cell_traverse},
    {Py_tp_clear, cell_clear},
    {Py_tp_methods, value_methods},
    {Py_tp_getset, value_getset},
    {Py_bf_getbuffer, cell_getbuffer},
    {0, NULL},
};

static PyType_Spec value_spec = {
    .name = "procession_native._core.SyncValue",
    .basicsize = sizeof(Cell),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = value_slots,
};

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

static void keep_nothing(Cell *self)
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
            item = number_of_bits(self->kind, bits);
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
        keep_nothing(self);
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
    if (value == NULL) {
        PyErr_SetString(PyExc_TypeError, "items of an array cannot be deleted");
        return -1;
    }
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
    {Py_tp_doc, "The accessors of a synchronized array."},
    {Py_tp_dealloc, cell_dealloc},
    {Py_tp_traverse, cell_traverse},
    {Py_tp_clear, cell_clear},
    {Py_tp_methods, array_methods},
    {Py_sq_length, array_length},
    {Py_sq_item, array_item},
    {Py_mp_length, array_length},
    {Py_mp_subscript, array_subscript},
    {Py_mp_ass_subscript, array_ass_subscript},
    {Py_bf_getbuffer, cell_getbuffer},
    {0, NULL},
};

static PyType_Spec array_spec = {
    .name = "procession_native._core.SyncArray",
    .basicsize = sizeof(Cell),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = array_slots,
};

/* ---- block_fill ----------------------------------------------------------------------------------------------------- */

#define COPY_ALONE (64 * 1024)          /* bytes from which a copy lets other threads run */

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
        char *p = (char *)target.buf + offset;
        if (source.len < COPY_ALONE) {
            memcpy(p, source.buf, (size_t)source.len);
        } else {
            Py_BEGIN_ALLOW_THREADS
            memcpy(p, source.buf, (size_t)source.len);
            Py_END_ALLOW_THREADS
        }
        Py_INCREF(Py_None);
        result = Py_None;
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

static int add_type(PyObject *module, PyType_Spec *spec, const char *name, PyTypeObject **keep)
{
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);
    if (type == NULL) return -1;
    if (keep != NULL) {
        Py_INCREF(type);
        *keep = (PyTypeObject *)type;
    }
    int done = PyModule_AddObjectRef(module, name, type);
    Py_DECREF(type);
    return done;
}

int procession_add_cells(PyObject *module)
{
    if (add_type(module, &mapping_spec, "Mapping", &mapping_type) < 0
        || add_type(module, &list_spec, "CellList", NULL) < 0
        || add_type(module, &value_spec, "SyncValue", NULL) < 0
        || add_type(module, &array_spec, "SyncArray", NULL) < 0)
        return -1;
    if (PyModule_AddFunctions(module, functions) < 0 || procession_add_names(module) < 0) return -1;
    return procession_add_pack(module);
}
