/* py_value.c: the value of a synchronized ctypes scalar, and operations on it that do not take the lock. */
#include "py_cells.h"

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
    if (value == NULL) return core_fail(PyExc_AttributeError, "value cannot be deleted");
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

static PyObject *refuse_atomic(Cell *self, const char *what)
{
    if (self->obj == NULL) cell_not_bound();
    else PyErr_Format(PyExc_TypeError, "%s() works on integers%s in shared memory, not on %R", what,
                      what[0] == 'a' || what[0] == 'e' || what[0] == 'f' ? " (adding: on floats too)" : "", self->obj);
    return NULL;
}

/* Compares bits: a NaN is equal to itself. */
#define CHANGE_REAL(type) do { \
        type *q = self->view.buf, before, next; \
        __atomic_load(q, &before, __ATOMIC_SEQ_CST); \
        do next = op == OP_SWAP ? (type)v : before + (type)v; \
        while (!__atomic_compare_exchange(q, &before, &next, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)); \
        return PyFloat_FromDouble((double)(after ? next : before)); } while (0)

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
        return cell_of_bits(kind, old);
    }
    if ((kind == CELL_F64 || kind == CELL_F32) && (op == OP_ADD || op == OP_SUB || op == OP_SWAP)) {
        double v = PyFloat_AsDouble(operand);
        if (v == -1.0 && PyErr_Occurred()) return NULL;
        if (op == OP_SUB) v = -v;
        if (kind == CELL_F64) CHANGE_REAL(double);
        CHANGE_REAL(float);
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
    { Py_tp_doc, "The accessors of a synchronized scalar." }, { Py_tp_dealloc, cell_dealloc },
    { Py_tp_traverse, cell_traverse }, { Py_tp_clear, cell_clear }, { Py_tp_methods, value_methods },
    { Py_tp_getset, value_getset }, { Py_bf_getbuffer, cell_getbuffer }, { 0, NULL },
};

static PyType_Spec value_spec = {
    "procession_native._core.SyncValue", sizeof(Cell), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, value_slots,
};

int procession_add_value(PyObject *module)
{
    return core_add_type(module, &value_spec, NULL) ? 0 : -1;
}
