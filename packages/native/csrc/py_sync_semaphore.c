/* py_sync_semaphore.c: the Python type of semaphores. */
#include "py_sync.h"

static int acquire_until(SyncObject *self, uint64_t deadline)
{
    struct sync_semaphore *s = self->at.semaphore;
    int r;
    if (sync_semaphore_fast(process_arena, s)) return 1;
    do {
        if (deadline == 0) r = sync_semaphore_slow(process_arena, s, self->shared.offset, 0);
        else {
            Py_BEGIN_ALLOW_THREADS
            r = sync_semaphore_slow(process_arena, s, self->shared.offset, deadline);
            Py_END_ALLOW_THREADS
        }
        if (r == AR_INTR && PyErr_CheckSignals() < 0) return -1;
    } while (r == AR_INTR);
    if (r == AR_GONE) return sync_shared() ? 0 : -1;
    return r == AR_OK;
}

static int enter(SyncObject *self) { return acquire_until(self, WAIT_FOREVER); }

static int leave(SyncObject *self)
{
    if (sync_semaphore_release(process_arena, self->at.semaphore) == AR_OK) return 0;
    if (!sync_shared()) return -1;
    unsigned long most = SH_PEEK(&self->at.semaphore->maxvalue);
    PyErr_Format(PyExc_ValueError, "semaphore or lock released too many times: its value is %lu already, the most it may have; "
                 "release once for each acquire() that succeeded", most);
    return -1;
}

static PyObject *acquire(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    uint64_t deadline = WAIT_FOREVER;
    if (n == 0 && !names) {
        if (sync_semaphore_fast(process_arena, ((SyncObject *)self)->at.semaphore)) Py_RETURN_TRUE;
    } else if (sync_acquire_arguments(args, n, names, &deadline) < 0)
        return NULL;
    int r = acquire_until((SyncObject *)self, deadline);
    return r < 0 ? NULL : PyBool_FromLong(r);
}

static PyObject *release(PyObject *self, PyObject *unused)
{
    (void)unused;
    if (leave((SyncObject *)self) < 0) return NULL;
    Py_RETURN_NONE;
}

static PyObject *get_value(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLong(sync_semaphore_value(((SyncObject *)self)->at.semaphore));
}

static PyObject *locked(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong(sync_semaphore_value(((SyncObject *)self)->at.semaphore) == 0);
}

static PyObject *get_maxvalue(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLong(SH_PEEK(&((SyncObject *)self)->at.semaphore->maxvalue));
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
    return payload ? sync_wrap(type, payload) : sync_no_memory();
}

static PyObject *semaphore_open(PyObject *type, PyObject *handle)
{
    return sync_open((PyTypeObject *)type, handle, KIND_SEMAPHORE);
}

static PyMethodDef methods[] = {
    { "acquire", (PyCFunction)(void (*)(void))acquire, METH_FASTCALL | METH_KEYWORDS,
      "acquire($self, /, block=True, timeout=None)\n--\n\n"
      "Take a permit, waiting at most timeout seconds if block is true (None: for ever, negative: not at all).\n\n"
      "Returns whether one was taken." },
    { "release", release, METH_NOARGS,
      "release($self, /)\n--\n\nGive a permit back.  Raises ValueError if that would exceed the largest value." },
    { "get_value", get_value, METH_NOARGS, "get_value($self, /)\n--\n\nHow many permits are to be had now." },
    { "locked", locked, METH_NOARGS, "locked($self, /)\n--\n\nWhether an acquire would have to wait." },
    { "_open", semaphore_open, METH_O | METH_CLASS, "_open($type, handle, /)\n--\n\nThe object that a handle names." },
    { NULL, NULL, 0, NULL }
};
static PyGetSetDef getset[] = {
    { "_maxvalue", get_maxvalue, NULL, "The largest value.", NULL },
    { NULL, NULL, NULL, NULL, NULL }
};
static PyType_Slot slots[] = {
    { Py_tp_new, semaphore_new }, { Py_tp_dealloc, shared_dealloc }, { Py_tp_methods, methods }, { Py_tp_getset, getset },
    { Py_tp_doc, "Semaphore(value=1, *, bounded=False, track_holders=False, ctx=None)\n--\n\n"
                 "A counting semaphore in the arena." },
    { 0, NULL }
};
static PyType_Spec spec = { "procession_native._core.Semaphore", sizeof(SyncObject), 0,
                            Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots };

int sync_setup_semaphores(PyObject *module, PyObject *base)
{
    PyTypeObject *type = sync_add_type(module, &spec, base);
    if (!type) return -1;
    shared_register(KIND_SEMAPHORE, type, sync_opened);
    return sync_add_with((PyObject *)type, enter, leave);
}
