/* py_sync_event.c: the Python type of events. */
#include "py_sync.h"

static struct sync_event *event_of(PyObject *self) { return ((SharedObject *)self)->payload; }

static PyObject *event_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *known[] = { "ctx", NULL };
    PyObject *ctx = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$O:Event", known, &ctx) || core_ensure() < 0) return NULL;
    aoff payload = sync_event_new(process_arena);
    return sync_made(type, payload);
}

static PyObject *event_is_set(PyObject *self, PyObject *Py_UNUSED(unused))
{
    return PyBool_FromLong(sync_event_is_set(event_of(self)));
}

static PyObject *event_set(PyObject *self, PyObject *Py_UNUSED(unused))
{
    if (!sync_shared()) return NULL;
    sync_event_set(event_of(self));
    Py_RETURN_NONE;
}

static PyObject *event_clear(PyObject *self, PyObject *Py_UNUSED(unused))
{
    if (!sync_shared()) return NULL;
    sync_event_clear(event_of(self));
    Py_RETURN_NONE;
}

static PyObject *event_wait(PyObject *object, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    static const char *const known[] = { "timeout", NULL };
    SharedObject *self = (SharedObject *)object;
    struct sync_event *e = event_of(object);
    PyObject *timeout = NULL;
    uint64_t deadline = WAIT_FOREVER;
    if ((n || names) && core_arguments("wait", args, n, names, known, 0, &timeout) < 0) return NULL;
    if (timeout && core_deadline(timeout, &deadline) < 0) return NULL;
    uint32_t seen = SH_GET(&e->word);
    if (seen & 1) Py_RETURN_TRUE;
    if (!sync_shared()) return NULL;
    if (deadline == 0) Py_RETURN_FALSE;
    int r;
    do {
        Py_BEGIN_ALLOW_THREADS
        r = sync_event_wait(process_arena, e, self->offset, seen, deadline);
        Py_END_ALLOW_THREADS
        if (r == AR_INTR && PyErr_CheckSignals() < 0) return NULL;
    } while (r == AR_INTR);
    return PyBool_FromLong(r == AR_OK);
}

static PyMethodDef event_methods[] = {
    { "is_set", event_is_set, METH_NOARGS, "is_set($self, /)\n--\n\nWhether the flag is set." },
    { "set", event_set, METH_NOARGS,
      "set($self, /)\n--\n\nSet the flag and wake all who wait for it.  May be called from a signal handler." },
    { "clear", event_clear, METH_NOARGS, "clear($self, /)\n--\n\nClear the flag." },
    { "wait", CORE_FAST(event_wait), METH_FASTCALL | METH_KEYWORDS,
      "wait($self, /, timeout=None)\n--\n\nWait until the flag is set, at most timeout seconds; whether it was set." },
    { NULL, NULL, 0, NULL }
};

static PyType_Slot event_slots[] = {
    { Py_tp_new, event_new }, { Py_tp_dealloc, shared_dealloc }, { Py_tp_methods, event_methods },
    { Py_tp_doc, "Event(*, ctx=None)\n--\n\nA flag in the arena that processes can wait for." }, { 0, NULL },
};
static PyType_Spec event_spec = { "procession_native._core.Event", sizeof(SharedObject), 0,
                                  Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, event_slots };

int sync_add_event(PyObject *module)
{
    PyTypeObject *type = core_add_type(module, &event_spec, shared_type);
    if (!type) return -1;
    shared_register(KIND_EVENT, type, NULL);
    return 0;
}
