/* py_sync_barrier.c: the Python type of barriers.  The action and the default timeout are the Python class's. */
#include "py_sync.h"

static struct sync_barrier *barrier_of(PyObject *self) { return ((SharedObject *)self)->payload; }

static PyObject *broken_error(void)
{
    PyErr_SetNone(core_exception(CORE_BROKEN_BARRIER));
    return NULL;
}

static PyObject *barrier_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *known[] = { "parties", "ctx", NULL };
    PyObject *given, *ctx = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|$O:Barrier", known, &given, &ctx)) return NULL;
    PyObject *index = PyNumber_Index(given);
    if (!index) return NULL;
    int overflow = 0;
    long parties = PyLong_AsLongAndOverflow(index, &overflow);
    Py_DECREF(index);
    if (overflow || parties < 1 || parties > (long)SYNC_PARTIES_MAX)
        return PyErr_Format(PyExc_ValueError, "parties must be > 0 and at most %ld, not %R", (long)SYNC_PARTIES_MAX, given);
    if (core_ensure() < 0) return NULL;
    aoff payload = sync_barrier_new(process_arena, (uint32_t)parties);
    return sync_made(type, payload);
}

static PyObject *leader_token(const struct barrier_place *place)
{
    return PyLong_FromLongLong(-1 - (long long)((uint64_t)place->index << 32 | place->round));
}

/* _wait(timeout, go): the index; or, where all have come and go is false, a negative token for _go(). */
static PyObject *barrier_wait(PyObject *object, PyObject *const *args, Py_ssize_t n)
{
    SharedObject *self = (SharedObject *)object;
    struct arena *a = process_arena;
    struct sync_barrier *b = self->payload;
    struct barrier_place place;
    uint64_t deadline;
    if (n != 2) return PyErr_Format(PyExc_TypeError, "_wait() takes 2 arguments (%zd given)", n);
    if (core_deadline(args[0], &deadline) < 0) return NULL;
    int go = PyObject_IsTrue(args[1]), r;
    if (go < 0 || !sync_shared()) return NULL;
    for (;;) {
        r = sync_barrier_arrive(a, b, go, &place);
        if (r == SYNC_LEADER) return go ? PyLong_FromUnsignedLong(place.index) : leader_token(&place);
        if (r == AR_BROKEN) return broken_error();
        if (r == AR_NOMEM) return core_raise(r, "the barrier");
        Py_BEGIN_ALLOW_THREADS
        r = r == SYNC_CROWDED ? sync_barrier_crowded(a, b, self->offset, place.round, deadline)
                              : sync_barrier_sleep(a, b, self->offset, &place, deadline);
        Py_END_ALLOW_THREADS
        while (r == AR_INTR) {
            if (PyErr_CheckSignals() < 0) {
                if (place.index != UINT32_MAX) sync_barrier_withdraw(a, b, &place);
                return NULL;
            }
            Py_BEGIN_ALLOW_THREADS
            r = place.index == UINT32_MAX ? sync_barrier_crowded(a, b, self->offset, place.round, deadline)
                                          : sync_barrier_sleep(a, b, self->offset, &place, deadline);
            Py_END_ALLOW_THREADS
        }
        if (r != AR_OK) return broken_error();
        if (place.index != UINT32_MAX) return PyLong_FromUnsignedLong(place.index);
    }
}

static PyObject *barrier_go(PyObject *object, PyObject *token)
{
    SharedObject *self = (SharedObject *)object;
    long long value = PyLong_AsLongLong(token);
    if ((value == -1 && PyErr_Occurred()) || !sync_shared()) return NULL;
    uint64_t bits = (uint64_t)(-1 - value);
    struct barrier_place place = { (uint32_t)bits, (uint32_t)(bits >> 32) };
    if (sync_barrier_go(process_arena, self->payload, &place) != AR_OK) return broken_error();
    return PyLong_FromUnsignedLong(place.index);
}

static PyObject *barrier_abort(PyObject *self, PyObject *Py_UNUSED(unused))
{
    if (!sync_shared()) return NULL;
    sync_barrier_abort(process_arena, barrier_of(self));
    Py_RETURN_NONE;
}

static PyObject *barrier_reset(PyObject *self, PyObject *Py_UNUSED(unused))
{
    if (!sync_shared()) return NULL;
    sync_barrier_reset(process_arena, barrier_of(self));
    Py_RETURN_NONE;
}

static PyObject *get_parties(PyObject *self, void *Py_UNUSED(unused))
{
    return PyLong_FromUnsignedLong(SH_PEEK(&barrier_of(self)->parties));
}

static PyObject *get_waiting(PyObject *self, void *Py_UNUSED(unused))
{
    return PyLong_FromUnsignedLong(sync_barrier_waiting(barrier_of(self)));
}

static PyObject *get_broken(PyObject *self, void *Py_UNUSED(unused))
{
    return PyBool_FromLong(SH_GET(&barrier_of(self)->broken));
}

static PyMethodDef methods[] = {
    { "_wait", CORE_FAST(barrier_wait), METH_FASTCALL,
      "_wait($self, timeout, go, /)\n--\n\nWait for all parties; the index, or a token for _go()." },
    { "_go", barrier_go, METH_O, "_go($self, token, /)\n--\n\nLet all go; the index." },
    { "abort", barrier_abort, METH_NOARGS,
      "abort($self, /)\n--\n\nBreak the barrier: all who wait and all who come get BrokenBarrierError until reset()." },
    { "reset", barrier_reset, METH_NOARGS,
      "reset($self, /)\n--\n\nMake the barrier empty and whole; those who wait get BrokenBarrierError." },
    { NULL, NULL, 0, NULL }
};
static PyGetSetDef getset[] = {
    { "parties", get_parties, NULL, "How many must come.", NULL },
    { "n_waiting", get_waiting, NULL, "How many are waiting now.", NULL },
    { "broken", get_broken, NULL, "Whether the barrier is broken.", NULL },
    { NULL, NULL, NULL, NULL, NULL }
};
static PyType_Slot slots[] = {
    { Py_tp_new, barrier_new }, { Py_tp_dealloc, shared_dealloc }, { Py_tp_methods, methods }, { Py_tp_getset, getset },
    { Py_tp_doc, "Barrier(parties, *, ctx=None)\n--\n\nA point in the arena that all parties reach before any passes." },
    { 0, NULL },
};
static PyType_Spec spec = { "procession_native._core.Barrier", sizeof(SharedObject), 0,
                            Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots };

int sync_add_barrier(PyObject *module)
{
    PyTypeObject *type = core_add_type(module, &spec, shared_type);
    if (!type) return -1;
    shared_register(KIND_BARRIER, type, NULL);
    return 0;
}
