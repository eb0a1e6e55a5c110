/* py_sync_semaphore.c: the Python type of semaphores. */
#include "py_sync.h"

static struct sync_semaphore *semaphore_of(PyObject *self) { return ((SharedObject *)self)->payload; }

static int acquire_until(SharedObject *self, uint64_t deadline)
{
    struct sync_semaphore *s = self->payload;
    int r;
    if (sync_semaphore_fast(process_arena, s)) return 1;
    do {
        if (deadline == 0) r = sync_semaphore_slow(process_arena, s, self->offset, 0);
        else {
            Py_BEGIN_ALLOW_THREADS
            r = sync_semaphore_slow(process_arena, s, self->offset, deadline);
            Py_END_ALLOW_THREADS
        }
        if (r == AR_INTR && PyErr_CheckSignals() < 0) return -1;
    } while (r == AR_INTR);
    if (r == AR_GONE) return sync_shared() ? 0 : -1;
    return r == AR_OK;
}

static int enter(SharedObject *self) { return acquire_until(self, WAIT_FOREVER); }

static int leave(SharedObject *self)
{
    if (sync_semaphore_release(process_arena, self->payload) == AR_OK) return 0;
    if (!sync_shared()) return -1;
    unsigned long most = SH_PEEK(&semaphore_of((PyObject *)self)->maxvalue);
    PyErr_Format(PyExc_ValueError, "semaphore or lock released too many times: its value is %lu already, the most it may have; "
                 "release once for each acquire() that succeeded", most);
    return -1;
}

static PyObject *acquire(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    uint64_t deadline = WAIT_FOREVER;
    if (n == 0 && !names) {
        if (sync_semaphore_fast(process_arena, semaphore_of(self))) Py_RETURN_TRUE;
    } else if (sync_acquire_arguments(args, n, names, &deadline) < 0)
        return NULL;
    int r = acquire_until((SharedObject *)self, deadline);
    return r < 0 ? NULL : PyBool_FromLong(r);
}

static PyObject *release(PyObject *self, PyObject *Py_UNUSED(unused))
{
    if (leave((SharedObject *)self) < 0) return NULL;
    Py_RETURN_NONE;
}

static PyObject *get_value(PyObject *self, PyObject *Py_UNUSED(unused))
{
    return PyLong_FromUnsignedLong(sync_semaphore_value(semaphore_of(self)));
}

static PyObject *locked(PyObject *self, PyObject *Py_UNUSED(unused))
{
    return PyBool_FromLong(sync_semaphore_value(semaphore_of(self)) == 0);
}

static PyObject *get_maxvalue(PyObject *self, void *Py_UNUSED(unused))
{
    return PyLong_FromUnsignedLong(SH_PEEK(&semaphore_of(self)->maxvalue));
}

static PyObject *semaphore_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *known[] = { "value", "bounded", "track_holders", "ctx", NULL };
    PyObject *given = NULL, *ctx = NULL;
    int bounded = 0, tracked = 0;
    long value = 1;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O$ppO:Semaphore", known, &given, &bounded, &tracked, &ctx)) return NULL;
    if (given) {
        PyObject *index = PyNumber_Index(given);
        int overflow = 0;
        if (!index) return NULL;
        value = PyLong_AsLongAndOverflow(index, &overflow);
        Py_DECREF(index);
        if (overflow) value = -1;
        else if (value == -1 && PyErr_Occurred()) return NULL;
    }
    long largest = tracked ? (long)SYNC_TRACKED_MAX : (long)SYNC_VALUE_MAX;
    if (value < 0 || value > largest)
        return PyErr_Format(PyExc_ValueError, "the value of a %ssemaphore must be from 0 to %ld, not %R",
                            tracked ? "tracked " : "", largest, given);
    if (core_ensure() < 0) return NULL;
    aoff payload = sync_semaphore_new(process_arena, (uint32_t)value, bounded ? (uint32_t)value : SYNC_VALUE_MAX, bounded,
                                      tracked);
    return sync_made(type, payload);
}

static PyMethodDef methods[] = {
    { "acquire", CORE_FAST(acquire), METH_FASTCALL | METH_KEYWORDS,
      "acquire($self, /, block=True, timeout=None)\n--\n\n"
      "Take a permit, waiting at most timeout seconds if block is true (None: for ever, negative: not at all).\n\n"
      "Returns whether one was taken." },
    { "release", release, METH_NOARGS,
      "release($self, /)\n--\n\nGive a permit back.  Raises ValueError if that would exceed the largest value." },
    { "get_value", get_value, METH_NOARGS, "get_value($self, /)\n--\n\nHow many permits are to be had now." },
    { "locked", locked, METH_NOARGS, "locked($self, /)\n--\n\nWhether an acquire would have to wait." },
    { NULL, NULL, 0, NULL }
};
static PyGetSetDef getset[] = {
    { "_maxvalue", get_maxvalue, NULL, "The largest value.", NULL },
    { NULL, NULL, NULL, NULL, NULL }
};
static PyType_Slot slots[] = {
    { Py_tp_new, semaphore_new }, { Py_tp_dealloc, shared_dealloc }, { Py_tp_methods, methods },
    { Py_tp_getset, getset },
    { Py_tp_doc, "Semaphore(value=1, *, bounded=False, track_holders=False, ctx=None)\n--\n\n"
                 "A counting semaphore in the arena." },
    { 0, NULL },
};
static PyType_Spec spec = { "procession_native._core.Semaphore", sizeof(SharedObject), 0,
                            Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots };

int sync_add_semaphore(PyObject *module)
{
    PyTypeObject *type = core_add_type(module, &spec, shared_type);
    if (!type) return -1;
    shared_register(KIND_SEMAPHORE, type, NULL);
    return sync_add_with((PyObject *)type, enter, leave);
}
