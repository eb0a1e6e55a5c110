/* py_sync_lock.c: the Python types of Lock and RLock. */
#include "py_sync.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

PyTypeObject *sync_lock_type, *sync_rlock_type;

/* -- the death of an owner ----------------------------------------------------------------------------------- */

static PyObject *describe(const struct sync_death *d)
{
    if (!d->status_known) return PyUnicode_FromString("is gone");
    if (WIFSIGNALED(d->status)) {
        const char *text = strsignal(WTERMSIG(d->status));
        return PyUnicode_FromFormat("was killed by signal %d (%s)", WTERMSIG(d->status), text ? text : "unknown");
    }
    return PyUnicode_FromFormat("exited with code %d", WEXITSTATUS(d->status));
}

static PyObject *death_message(const struct sync_death *d, const char *then)
{
    PyObject *how = describe(d), *who = NULL, *message = NULL;
    if (!how) return NULL;
    if (d->pid && d->name[0]) who = PyUnicode_FromFormat("process '%s' (pid %u)", d->name, d->pid);
    else if (d->pid) who = PyUnicode_FromFormat("process %u", d->pid);
    else who = PyUnicode_FromString("a process that is no longer registered");
    if (who) {
        unsigned long tenths = (unsigned long)(d->held_ns / 100000000u);
        message = PyUnicode_FromFormat(
            "the owner of the lock died without releasing it: %U %U and had held it for about %lu.%lu s; %s, and what "
            "it guards may be half changed", who, how, tenths / 10, tenths % 10, then);
    }
    Py_XDECREF(who);
    Py_DECREF(how);
    return message;
}

void sync_raise_owner_died(const struct sync_death *d, const char *then)
{
    PyObject *message = death_message(d, then);
    if (!message) return;
    PyObject *pid = d->pid ? PyLong_FromUnsignedLong(d->pid) : Py_NewRef(Py_None);
    PyObject *name = d->name[0] ? PyUnicode_DecodeUTF8(d->name, (Py_ssize_t)strlen(d->name), "replace") : Py_NewRef(Py_None);
    PyObject *held = PyFloat_FromDouble((double)d->held_ns / 1e9);
    PyObject *type = core_exception(CORE_OWNER_DIED);
    PyObject *error = pid && name && held ? PyObject_CallFunctionObjArgs(type, message, pid, name, held, NULL) : NULL;
    if (error) PyErr_SetObject(type, error);
    Py_XDECREF(error);
    Py_XDECREF(pid);
    Py_XDECREF(name);
    Py_XDECREF(held);
    Py_DECREF(message);
}

static int warn_of_death(const struct sync_death *d)
{
    PyObject *message = death_message(d, "it was taken over as on_owner_death='recover' asks");
    const char *text = message ? PyUnicode_AsUTF8AndSize(message, NULL) : NULL;
    int r = text ? PyErr_WarnEx(PyExc_RuntimeWarning, text, 1) : -1;
    Py_XDECREF(message);
    return r;
}

static struct sync_lock *lock_of(PyObject *self) { return ((SharedObject *)self)->payload; }

static void drop(SharedObject *self)
{
    sync_lock_release_all(self->payload, self->kind);
}

/* -- acquire and release ------------------------------------------------------------------------------------- */

static int acquire_slowly(SharedObject *self, uint64_t deadline)
{
    struct sync_death death;
    struct arena *a = process_arena;
    struct sync_lock *l = self->payload;
    int r;
    do {
        if (deadline == 0) r = sync_lock_slow(a, l, self->offset, 0, false, &death);
        else {
            Py_BEGIN_ALLOW_THREADS
            r = sync_lock_slow(a, l, self->offset, deadline, false, &death);
            Py_END_ALLOW_THREADS
        }
        if (r == AR_INTR && PyErr_CheckSignals() < 0) return -1;
    } while (r == AR_INTR);
    if (r == AR_OK) return 1;
    if (r == AR_TIMEOUT) return 0;
    if (r == AR_GONE) {
        core_raise(r, "the lock");
        return -1;
    }
    if (SH_PEEK(&l->flags) & SYNC_RECOVER) {
        if (warn_of_death(&death) == 0) return 1;
        drop(self);
        return -1;
    }
    drop(self);
    sync_raise_owner_died(&death, "the lock is free again");
    return -1;
}

int sync_lock_acquire_until(SharedObject *self, uint64_t deadline)
{
    struct arena *a = process_arena;
    if (sync_lock_fast(a, self->payload)) return 1;
    if (self->kind == KIND_RLOCK) {
        int r = sync_rlock_again(a, self->payload);
        if (r == AR_OK) return 1;
        if (r == AR_OVERFLOW)
            return core_fail(PyExc_OverflowError, "the recursive lock was acquired 4294967296 times: no more levels");
    }
    return acquire_slowly(self, deadline);
}

int sync_lock_reacquire(SharedObject *self, uint32_t levels, bool after_sleep)
{
    struct sync_death death;
    struct arena *a = process_arena;
    struct sync_lock *l = self->payload;
    int r = AR_OK;
    if (after_sleep || !sync_lock_fast(a, l)) {
        do {
            Py_BEGIN_ALLOW_THREADS
            r = sync_lock_slow(a, l, self->offset, WAIT_FOREVER, after_sleep, &death);
            Py_END_ALLOW_THREADS
            if (r == AR_INTR && !PyErr_Occurred()) (void)PyErr_CheckSignals();
        } while (r == AR_INTR);
    }
    if (self->kind == KIND_RLOCK) sync_lock_levels(l, levels);
    if (PyErr_Occurred()) return -1;
    if (r == AR_OK) return 0;
    if (SH_PEEK(&l->flags) & SYNC_RECOVER) return warn_of_death(&death);
    sync_raise_owner_died(&death, "wait() holds the lock now");
    return -1;
}

int sync_lock_give_back(SharedObject *self)
{
    if (self->kind == KIND_RLOCK) {
        if (sync_rlock_release(process_arena, self->payload) == AR_OK) return 0;
        PyErr_SetString(PyExc_AssertionError, "attempt to release recursive lock not owned by thread: the thread that acquired it "
                        "must release it, once for each acquire()");
        return -1;
    }
    if (sync_lock_release(self->payload) == AR_OK) return 0;
    PyErr_SetString(PyExc_ValueError, "semaphore or lock released too many times: the lock is not held; "
                    "release once for each acquire() that succeeded");
    return -1;
}

PyObject *sync_acquire_method(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    uint64_t deadline = WAIT_FOREVER;
    if (n == 0 && !names) {
        if (sync_lock_fast(process_arena, lock_of(self))) Py_RETURN_TRUE;
    } else if (sync_acquire_arguments(args, n, names, &deadline) < 0)
        return NULL;
    int r = sync_lock_acquire_until((SharedObject *)self, deadline);
    return r < 0 ? NULL : PyBool_FromLong(r);
}

PyObject *sync_release_method(PyObject *self, PyObject *Py_UNUSED(unused))
{
    if (sync_lock_give_back((SharedObject *)self) < 0) return NULL;
    Py_RETURN_NONE;
}

static int enter(SharedObject *self) { return sync_lock_acquire_until(self, WAIT_FOREVER); }

static PyObject *locked(PyObject *self, PyObject *Py_UNUSED(unused))
{
    return PyBool_FromLong(olock_held(SH_GET(&lock_of(self)->word)));
}

/* Who holds it, for reprs: ("free" | "mine" | "thread" | "process", levels). */
static PyObject *state(PyObject *object, PyObject *Py_UNUSED(unused))
{
    SharedObject *self = (SharedObject *)object;
    struct sync_lock *l = self->payload;
    uint32_t word = SH_GET(&l->word);
    if (!olock_held(word)) return Py_BuildValue("(si)", "free", 0);
    if ((word & OWNER_BITS) != (process_arena->self & OWNER_BITS)) return Py_BuildValue("(si)", "process", 1);
    if (!sync_lock_mine(process_arena, l)) return Py_BuildValue("(si)", "thread", 1);
    return Py_BuildValue("(sI)", "mine", self->kind == KIND_RLOCK ? SH_PEEK(&l->count) + 1 : 1);
}

/* -- types --------------------------------------------------------------------------------------------------- */

static PyObject *new_lock(PyTypeObject *type, PyObject *args, PyObject *kwargs, enum block_kind kind)
{
    static char *known[] = { "on_owner_death", "ctx", NULL };
    PyObject *policy = NULL, *ctx = NULL;
    uint32_t flags = 0;
    if ((kwargs || PyTuple_Size(args)) &&
        !PyArg_ParseTupleAndKeywords(args, kwargs, kind == KIND_LOCK ? "|$OO:Lock" : "|$OO:RLock", known, &policy, &ctx))
        return NULL;
    if (sync_policy(policy, &flags) < 0 || core_ensure() < 0) return NULL;
    aoff payload = sync_lock_new(process_arena, kind, flags);
    return sync_made(type, payload);
}

static PyObject *lock_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    return new_lock(type, args, kwargs, KIND_LOCK);
}

static PyObject *rlock_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    return new_lock(type, args, kwargs, KIND_RLOCK);
}

static PyMethodDef lock_methods[] = {
    { "acquire", CORE_FAST(sync_acquire_method), METH_FASTCALL | METH_KEYWORDS,
      "acquire($self, /, block=True, timeout=None)\n--\n\n"
      "Acquire it, waiting at most timeout seconds if block is true (None: for ever, negative: not at all).\n\n"
      "Returns whether it was acquired.  Raises OwnerDiedError if its owner died: the lock is free again then." },
    { "release", sync_release_method, METH_NOARGS, "release($self, /)\n--\n\nRelease it." },
    { "locked", locked, METH_NOARGS, "locked($self, /)\n--\n\nWhether it is held by anybody." },
    { "_state", state, METH_NOARGS, "_state($self, /)\n--\n\nWho holds it and how often." },
    { NULL, NULL, 0, NULL }
};

static PyType_Slot lock_slots[] = {
    { Py_tp_new, lock_new }, { Py_tp_dealloc, shared_dealloc }, { Py_tp_methods, lock_methods },
    { Py_tp_doc, "Lock(*, on_owner_death='raise', ctx=None)\n--\n\n"
                 "A lock in the arena that any process or thread may release." },
    { 0, NULL },
};
static PyType_Slot rlock_slots[] = {
    { Py_tp_new, rlock_new }, { Py_tp_dealloc, shared_dealloc }, { Py_tp_methods, lock_methods },
    { Py_tp_doc, "RLock(*, on_owner_death='raise', ctx=None)\n--\n\n"
                 "A lock in the arena that its owning thread may acquire again." },
    { 0, NULL },
};
static PyType_Spec lock_spec = { "procession_native._core.Lock", sizeof(SharedObject), 0,
                                 Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, lock_slots };
static PyType_Spec rlock_spec = { "procession_native._core.RLock", sizeof(SharedObject), 0,
                                  Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, rlock_slots };

int sync_add_locks(PyObject *module)
{
    sync_lock_type = core_add_type(module, &lock_spec, shared_type);
    sync_rlock_type = core_add_type(module, &rlock_spec, shared_type);
    if (!sync_lock_type || !sync_rlock_type) return -1;
    shared_register(KIND_LOCK, sync_lock_type, NULL);
    shared_register(KIND_RLOCK, sync_rlock_type, NULL);
    if (sync_add_with((PyObject *)sync_lock_type, enter, sync_lock_give_back) < 0) return -1;
    return sync_add_with((PyObject *)sync_rlock_type, enter, sync_lock_give_back);
}
