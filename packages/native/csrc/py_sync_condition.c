/* py_sync_condition.c: the Python type of conditions. */
#include "py_sync.h"

#include <limits.h>
#include <string.h>

typedef struct {
    SharedObject shared;
    SharedObject *lock;         /* the Python object of its lock */
} Condition;

static struct sync_condition *condition_of(Condition *self) { return self->shared.payload; }

static int check_owned(Condition *self, const char *what)
{
    if (sync_lock_mine(process_arena, self->lock->payload)) return 0;
    // CPython's two texts begin differently.
    const char *begin = strcmp(what, "wait") ? "lock is not owned: " : "";
    PyErr_Format(PyExc_AssertionError, "%smust acquire() condition before using %s()", begin, what);
    return -1;
}

static PyObject *wrap(PyTypeObject *type, aoff payload, PyObject *lock)
{
    Condition *self = (Condition *)sync_made(type, payload);
    if (self) self->lock = (SharedObject *)Py_NewRef(lock);
    return (PyObject *)self;
}

static PyObject *condition_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *known[] = { "lock", "ctx", NULL };
    PyObject *lock = NULL, *ctx = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|$O:Condition", known, &lock, &ctx)) return NULL;
    if (!PyObject_TypeCheck(lock, sync_lock_type) && !PyObject_TypeCheck(lock, sync_rlock_type))
        return PyErr_Format(PyExc_TypeError, "a Condition needs a Lock or RLock of this library, or None; not %R", lock);
    aoff payload = sync_condition_new(process_arena, ((SharedObject *)lock)->offset);
    return wrap(type, payload, lock);
}

/* After open_handle(), which knows only the condition: its lock, as an object of the core's own type. */
static int opened(PyObject *object)
{
    Condition *self = (Condition *)object;
    struct arena *a = process_arena;
    aoff lock = SH_GET(&condition_of(self)->lock);
    int r = ref_again(a, lock);
    if (r != AR_OK) {
        core_raise(r, "the condition's lock");
        return -1;
    }
    self->lock = (SharedObject *)shared_open(block_kind(a, lock), lock);
    return self->lock ? 0 : -1;
}

/* No tp_clear: a cycle through a condition passes through an instance's dictionary, which is cleared instead, and so
 * a condition has its lock as long as it lives. */
static int condition_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT((PyObject *)((Condition *)object)->lock);
    Py_VISIT(Py_TYPE(object));
    return 0;
}

static void condition_dealloc(PyObject *object)
{
    PyObject_GC_UnTrack(object);
    Py_CLEAR(((Condition *)object)->lock);
    shared_dealloc(object);
}

/* _open((handle of the condition, lock object)) */
static PyObject *condition_open(PyObject *type, PyObject *pair)
{
    PyObject *handle, *lock;
    if (!PyTuple_Check(pair)) return PyErr_Format(PyExc_ValueError, "a condition is opened by its handle and its lock");
    if (!PyArg_ParseTuple(pair, "OO:_open", &handle, &lock)) return NULL;
    if (!PyObject_TypeCheck(lock, sync_lock_type) && !PyObject_TypeCheck(lock, sync_rlock_type))
        return PyErr_Format(PyExc_TypeError, "a Condition needs a Lock or RLock, not %R", lock);
    aoff payload = shared_claim(handle, (PyTypeObject *)type);
    if (!payload) return NULL;
    struct sync_condition *c = arena_ptr(process_arena, payload);
    if (c && SH_GET(&c->lock) == ((SharedObject *)lock)->offset) return wrap((PyTypeObject *)type, payload, lock);
    ref_close(process_arena, payload);
    return PyErr_Format(PyExc_ValueError, "the handle's condition has another lock");
}

static PyObject *wait(PyObject *object, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    static const char *const known[] = { "timeout", NULL };
    Condition *self = (Condition *)object;
    SharedObject *lock = self->lock;
    struct arena *a = process_arena;
    struct cond_entry *entry;
    PyObject *timeout = NULL;
    uint64_t deadline = WAIT_FOREVER;
    if ((n || names) && core_arguments("wait", args, n, names, known, 0, &timeout) < 0) return NULL;
    if (timeout && core_deadline(timeout, &deadline) < 0) return NULL;
    if (check_owned(self, "wait") < 0) return NULL;
    if (sync_condition_enter(a, condition_of(self), lock->payload, &entry) != AR_OK) return core_raise(AR_NOMEM, "waiting for the condition");
    uint32_t levels = sync_lock_release_all(lock->payload, lock->kind);
    bool asleep = false;
    int r;
    do {
        Py_BEGIN_ALLOW_THREADS
        r = sync_condition_sleep(a, condition_of(self), entry, self->shared.offset, deadline, &asleep);
        Py_END_ALLOW_THREADS
        if (r == AR_INTR && PyErr_CheckSignals() < 0) break;
    } while (r == AR_INTR);
    bool interrupted = r == AR_INTR;
    bool notified = sync_condition_leave(entry);
    int failed = sync_lock_reacquire(lock, levels, notified && asleep);
    /* A notification that an exception keeps us from using is somebody else's. */
    if (interrupted && notified) sync_condition_notify(a, condition_of(self), lock->payload, 1);
    return failed < 0 ? NULL : PyBool_FromLong(notified);
}

static PyObject *notify_some(Condition *self, uint32_t n, const char *what)
{
    if (check_owned(self, what) < 0) return NULL;
    if (!sync_condition_reachable(process_arena, condition_of(self))) return core_raise(AR_NOMEM, "seeing who waits for the condition");
    sync_condition_notify(process_arena, condition_of(self), self->lock->payload, n);
    Py_RETURN_NONE;
}

static PyObject *notify(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    static const char *const known[] = { "n", NULL };
    PyObject *given = NULL;
    long count = 1;
    if ((n || names) && core_arguments("notify", args, n, names, known, 0, &given) < 0) return NULL;
    if (given) {
        PyObject *index = PyNumber_Index(given);
        int overflow = 0;
        if (!index) return NULL;
        count = PyLong_AsLongAndOverflow(index, &overflow);
        Py_DECREF(index);
        if (overflow) count = overflow < 0 ? 0 : INT_MAX;
        else if (count == -1 && PyErr_Occurred()) return NULL;
    }
    return notify_some((Condition *)self, count < 0 ? 0 : count > INT_MAX ? INT_MAX : (uint32_t)count, "notify");
}

static PyObject *notify_all(PyObject *self, PyObject *Py_UNUSED(unused))
{
    return notify_some((Condition *)self, UINT32_MAX, "notify_all");
}

static PyObject *acquire(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    return sync_acquire_method((PyObject *)((Condition *)self)->lock, args, n, names);
}

static PyObject *release(PyObject *self, PyObject *unused)
{
    return sync_release_method((PyObject *)((Condition *)self)->lock, unused);
}

static PyObject *waiters(PyObject *self, PyObject *Py_UNUSED(unused))
{
    return PyLong_FromUnsignedLong(sync_condition_waiters(process_arena, condition_of((Condition *)self)));
}

static PyObject *get_lock(PyObject *self, void *Py_UNUSED(unused))
{
    return Py_NewRef((PyObject *)((Condition *)self)->lock);
}

static int enter(SharedObject *self) { return sync_lock_acquire_until(((Condition *)self)->lock, WAIT_FOREVER); }
static int leave(SharedObject *self) { return sync_lock_give_back(((Condition *)self)->lock); }

static PyMethodDef methods[] = {
    { "acquire", CORE_FAST(acquire), METH_FASTCALL | METH_KEYWORDS,
      "acquire($self, /, block=True, timeout=None)\n--\n\nAcquire the condition's lock." },
    { "release", release, METH_NOARGS, "release($self, /)\n--\n\nRelease the condition's lock." },
    { "wait", CORE_FAST(wait), METH_FASTCALL | METH_KEYWORDS,
      "wait($self, /, timeout=None)\n--\n\n"
      "Give the lock up (all levels of it), sleep until notified, and take it again.\n\n"
      "Returns False if timeout seconds passed first.  Raises AssertionError if this thread does not hold the lock;\n"
      "OwnerDiedError, holding the lock, if its owner died." },
    { "notify", CORE_FAST(notify), METH_FASTCALL | METH_KEYWORDS,
      "notify($self, /, n=1)\n--\n\nWake at most n of those who wait, in the order in which they came.\n\n"
      "Raises AssertionError if this thread does not hold the lock." },
    { "notify_all", notify_all, METH_NOARGS,
      "notify_all($self, /)\n--\n\nWake all who wait.\n\nRaises AssertionError if this thread does not hold the lock." },
    { "_waiters", waiters, METH_NOARGS, "_waiters($self, /)\n--\n\nHow many wait." },
    { "_open", condition_open, METH_O | METH_CLASS,
      "_open($type, pair, /)\n--\n\nThe condition that a handle names; pair is (handle, lock)." },
    { NULL, NULL, 0, NULL }
};
static PyGetSetDef getset[] = {
    { "_lock", get_lock, NULL, "The condition's lock.", NULL },
    { NULL, NULL, NULL, NULL, NULL }
};
static PyType_Slot slots[] = {
    { Py_tp_new, condition_new }, { Py_tp_dealloc, condition_dealloc }, { Py_tp_traverse, condition_traverse },
    { Py_tp_methods, methods }, { Py_tp_getset, getset },
    { Py_tp_doc, "Condition(lock, *, ctx=None)\n--\n\nA condition variable in the arena." }, { 0, NULL },
};
static PyType_Spec spec = { "procession_native._core.Condition", sizeof(Condition), 0,
                            Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, slots };

int sync_add_condition(PyObject *module)
{
    PyTypeObject *type = core_add_type(module, &spec, shared_type);
    if (!type) return -1;
    shared_register(KIND_CONDITION, type, opened);
    return sync_add_with((PyObject *)type, enter, leave);
}
