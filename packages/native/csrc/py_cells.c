/* py_cells.c: numbers in shared memory, and what the accessors of values and arrays share: py_cells.h. */
#include "py_cells.h"

/* ---- cells: numbers in memory ----------------------------------------------------------------------------------- */

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

PyObject *cell_load(enum cell_kind kind, const char *p)
{
    float f;
    double d;
    switch (kind) {
    case CELL_I8: return PyLong_FromLong(LOAD(int8_t, p));
    case CELL_I16: return PyLong_FromLong(LOAD(int16_t, p));
    case CELL_I32: return PyLong_FromLong(LOAD(int32_t, p));
    case CELL_I64: return PyLong_FromLongLong(LOAD(int64_t, p));
    case CELL_U8: return PyLong_FromLong(LOAD(uint8_t, p));
    case CELL_U16: return PyLong_FromLong(LOAD(uint16_t, p));
    case CELL_U32: return PyLong_FromUnsignedLong(LOAD(uint32_t, p));
    case CELL_U64: return PyLong_FromUnsignedLongLong(LOAD(uint64_t, p));
    case CELL_F32: LOAD_REAL(float, p, &f); return PyFloat_FromDouble((double)f);
    case CELL_F64: LOAD_REAL(double, p, &d); return PyFloat_FromDouble(d);
    case CELL_CHAR: return PyBytes_FromStringAndSize(p, 1);
    case CELL_BOOL: return PyBool_FromLong(LOAD(uint8_t, p));
    case CELL_OTHER: break;
    }
    return PyErr_Format(PyExc_SystemError, "cell_load of no plain number");
}

int cell_store(enum cell_kind kind, char *p, PyObject *value)
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
        float narrow = (float)v;
        if (kind == CELL_F64) STORE_REAL(double, p, &v);
        else STORE_REAL(float, p, &narrow);
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

PyObject *cell_of_bits(enum cell_kind kind, uint64_t bits)
{
    char place[8] __attribute__((aligned(8)));
    memcpy(place, &bits, 8);                /* little-endian: narrower kinds read the low bytes */
    return cell_load(kind, place);
}

/* ---- locks --------------------------------------------------------------------------------------------------------
 *
 * What is not done in a few instructions (contention, a dead owner, misuse) is left to the lock's own methods, which
 * wait, handle signals and raise.
 */

int cell_call_lock(PyObject *lock, const char *method)
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

/* ---- what both wrappers have: the object, its memory, its lock ------------------------------------------------------ */

int cell_not_bound(void)
{
    return core_fail(PyExc_ValueError, "the wrapper has no object yet");
}

/* _bind(obj, lock, code, itemsize, count): code '' lets ctypes do everything.
 * The memory of obj must not move while the wrapper lives: obj stands in a block of the arena. */
PyObject *cell_bind(PyObject *op, PyObject *args)
{
    Cell *self = (Cell *)op;
    PyObject *obj, *lock;
    const char *code;
    Py_ssize_t itemsize, count;
    if (!PyArg_ParseTuple(args, "OOsnn:_bind", &obj, &lock, &code, &itemsize, &count)) return NULL;
    if (self->obj != NULL) return PyErr_Format(PyExc_ValueError, "the wrapper has an object already");
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
    self->obj = Py_NewRef(obj);
    self->lock = Py_NewRef(lock);
    Py_RETURN_NONE;
}

int cell_traverse(PyObject *op, visitproc visit, void *arg)
{
    Cell *self = (Cell *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->obj);
    Py_VISIT(self->lock);
    return 0;
}

int cell_clear(PyObject *op)
{
    Cell *self = (Cell *)op;
    self->kind = CELL_OTHER;
    if (self->kept != NULL) cell_keep_nothing(self);
    self->count = 0;
    if (self->view.obj != NULL) PyBuffer_Release(&self->view);
    self->core_lock = NULL;
    Py_CLEAR(self->obj);
    Py_CLEAR(self->lock);
    return 0;
}

void cell_dealloc(PyObject *op) { core_dealloc_gc(op, cell_clear); }

PyObject *cell_get_lock(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    PyObject *lock = ((Cell *)op)->lock;
    if (lock == NULL) cell_not_bound();
    return Py_XNewRef(lock);
}

PyObject *cell_get_obj(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    PyObject *obj = ((Cell *)op)->obj;
    if (obj == NULL) cell_not_bound();
    return Py_XNewRef(obj);
}

int cell_getbuffer(PyObject *op, Py_buffer *view, int flags)
{
    Cell *self = (Cell *)op;
    view->obj = NULL;
    if (self->obj == NULL) return cell_not_bound();
    return PyObject_GetBuffer(self->obj, view, flags);
}
