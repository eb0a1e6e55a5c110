/* py_sync.c: what the Python types of the synchronisation objects share, and Event. */
#include "py_sync.h"

/* -- objects ------------------------------------------------------------------------------------------------- */

PyObject *sync_no_memory(void)
{
    if (!sync_shared()) return NULL;
    if (arena_stopped_owner()) return core_raise(AR_NOMEM, "the synchronisation object");
    PyErr_SetString(PyExc_MemoryError, "the arena has no room for another object (procession.set_memory_limit() raises its limit)");
    return NULL;
}

int sync_opened(PyObject *object)
{
    SyncObject *self = (SyncObject *)object;
    self->at.lock = self->shared.payload;
    return 0;
}

PyObject *sync_wrap(PyTypeObject *type, aoff payload)
{
    SyncObject *self = (SyncObject *)shared_wrap(type, payload);
    if (self) self->at.lock = self->shared.payload;
    return (PyObject *)self;
}

int sync_parse_handle(PyObject *handle, enum block_kind kind, aoff *payload)
{
    uint64_t part[4];
    if (!PyTuple_Check(handle) || PyTuple_Size(handle) != 4) {
        PyErr_Format(PyExc_ValueError, "a handle is a tuple (arena, offset, generation, kind), not %R", handle);
        return -1;
    }
    for (Py_ssize_t i = 0; i < 4; i++) {
        PyObject *item = PyTuple_GetItem(handle, i);
        part[i] = PyLong_Check(item) ? PyLong_AsUnsignedLongLong(item) : (uint64_t)-1;
        if (part[i] == (uint64_t)-1) {
            PyErr_Clear();
            PyErr_Format(PyExc_ValueError, "a handle holds numbers from 0 to 2**64 - 2, not %R", item);
            return -1;
        }
    }
    if (part[3] != (uint64_t)kind) {
        PyErr_Format(PyExc_ValueError, "the handle names an object of kind %R, not %d", PyTuple_GetItem(handle, 3), (int)kind);
        return -1;
    }
    int r = process_arena ? ref_open(process_arena, part[0], part[1], part[2], kind) : AR_FOREIGN;
    if (r != AR_OK) {
        core_raise(r, "the synchronisation object");
        return -1;
    }
    *payload = part[1];
    return 0;
}

PyObject *sync_open(PyTypeObject *type, PyObject *handle, enum block_kind kind)
{
    aoff payload;
    if (sync_parse_handle(handle, kind, &payload) < 0) return NULL;
    return sync_wrap(type, payload);
}

/* -- arguments ----------------------------------------------------------------------------------------------- */

int sync_acquire_arguments(PyObject *const *args, Py_ssize_t n, PyObject *names, uint64_t *deadline)
{
    static const char *const known[] = { "block", "timeout", NULL };
    PyObject *got[2] = { NULL, NULL };
    *deadline = WAIT_FOREVER;
    if (n == 0 && !names) return 0;
    if (core_arguments("acquire", args, n, names, known, 0, got) < 0) return -1;
    int block = 1;
    if (got[0] && got[0] != Py_True) {
        block = PyObject_IsTrue(got[0]);
        if (block < 0) return -1;
    }
    if (got[1] && core_deadline(got[1], deadline) < 0) return -1;
    if (!block) *deadline = 0;
    return 0;
}

int sync_policy(PyObject *policy, uint32_t *flags)
{
    *flags = 0;
    if (policy == NULL) return 0;
    if (PyUnicode_Check(policy)) {
        if (PyUnicode_CompareWithASCIIString(policy, "raise") == 0) return 0;
        *flags = SYNC_RECOVER;
        if (PyUnicode_CompareWithASCIIString(policy, "recover") == 0) return 0;
    }
    PyErr_Format(PyExc_ValueError, "on_owner_death must be 'raise' or 'recover', not %R", policy);
    return -1;
}

/* -- Event --------------------------------------------------------------------------------------------------- */

static PyObject *event_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *known[] = { "ctx", NULL };
    PyObject *ctx = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$O:Event", known, &ctx) || core_ensure() < 0) return NULL;
    aoff payload = sync_event_new(process_arena);
    return payload ? sync_wrap(type, payload) : sync_no_memory();
}

static PyObject *event_is_set(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong(sync_event_is_set(((SyncObject *)self)->at.event));
}

static PyObject *event_set(PyObject *self, PyObject *unused)
{
    (void)unused;
    if (!sync_shared()) return NULL;
    sync_event_set(((SyncObject *)self)->at.event);
    Py_RETURN_NONE;
}

static PyObject *event_clear(PyObject *self, PyObject *unused)
{
    (void)unused;
    if (!sync_shared()) return NULL;
    sync_event_clear(((SyncObject *)self)->at.event);
    Py_RETURN_NONE;
}

static PyObject *event_wait(PyObject *object, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    static const char *const known[] = { "timeout", NULL };
    SyncObject *self = (SyncObject *)object;
    struct sync_event *e = self->at.event;
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
        r = sync_event_wait(process_arena, e, self->shared.offset, seen, deadline);
        Py_END_ALLOW_THREADS
        if (r == AR_INTR && PyErr_CheckSignals() < 0) return NULL;
    } while (r == AR_INTR);
    return PyBool_FromLong(r == AR_OK);
}

static PyObject *event_open(PyObject *type, PyObject *handle)
{
    return sync_open((PyTypeObject *)type, handle, KIND_EVENT);
}

static PyMethodDef event_methods[] = {
    { "is_set", event_is_set, METH_NOARGS, "is_set($self, /)\n--\n\nWhether the flag is set." },
    { "set", event_set, METH_NOARGS,
      "set($self, /)\n--\n\nSet the flag and wake all who wait for it.  May be called from a signal handler." },
    { "clear", event_clear, METH_NOARGS, "clear($self, /)\n--\n\nClear the flag." },
    { "wait", (PyCFunction)(void (*)(void))event_wait, METH_FASTCALL | METH_KEYWORDS,
      "wait($self, /, timeout=None)\n--\n\nWait until the flag is set, at most timeout seconds; whether it was set." },
    { "_open", event_open, METH_O | METH_CLASS, "_open($type, handle, /)\n--\n\nThe object that a handle names." },
    { NULL, NULL, 0, NULL }
};

static PyType_Slot event_slots[] = {
    { Py_tp_new, event_new }, { Py_tp_dealloc, shared_dealloc }, { Py_tp_methods, event_methods },
    { Py_tp_doc, "Event(*, ctx=None)\n--\n\nA flag in the arena that processes can wait for." },
    { 0, NULL }
};
static PyType_Spec event_spec = { "procession_native._core.Event", sizeof(SyncObject), 0,
                                  Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, event_slots };

/* -- the module ---------------------------------------------------------------------------------------------- */

PyTypeObject *sync_add_type(PyObject *module, PyType_Spec *spec, PyObject *base)
{
    PyObject *type = PyType_FromModuleAndSpec(module, spec, base);
    if (!type) return NULL;
    if (PyModule_AddType(module, (PyTypeObject *)type) < 0) {
        Py_DECREF(type);
        return NULL;
    }
    return (PyTypeObject *)type;
}

int procession_add_sync(PyObject *module)
{
    PyObject *base = (PyObject *)shared_type;
    sync_condition_setup();
    if (PyModule_AddIntConstant(module, "SEM_VALUE_MAX", SYNC_VALUE_MAX) < 0 || sync_with_setup(module) < 0) return -1;
    PyTypeObject *event = sync_add_type(module, &event_spec, base);
    if (!event) return -1;
    shared_register(KIND_EVENT, event, sync_opened);
    if (sync_setup_locks(module, base) < 0 || sync_setup_semaphores(module, base) < 0) return -1;
    return sync_setup_conditions(module, base) < 0 ? -1 : sync_setup_barriers(module, base);
}
