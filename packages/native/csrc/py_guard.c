/* py_guard.c: Guard, the lock of a pool's engine, held only in stretches that no KeyboardInterrupt breaks off. */
#include "py_arena.h"

#include <pythread.h>
#include <signal.h>

#include "channel.h"
#include "shield.h"

typedef struct {
    PyObject_HEAD
    PyThread_type_lock lock;
    unsigned long owner, leader;
    unsigned forks;             /* forks_behind where it was made */
    PyObject *foreign;          /* what is raised in the child of a fork */
} Guard;

static PyObject *guard_new(PyTypeObject *type, PyObject *args, PyObject *kw)
{
    PyObject *foreign;
    if (core_no_keywords("Guard", kw) < 0 || !PyArg_ParseTuple(args, "O:Guard", &foreign)) return NULL;
    if (!PyExceptionInstance_Check(foreign)) return PyErr_Format(PyExc_TypeError, "Guard() needs an exception");
    Guard *self = core_alloc(type);
    if (self == NULL) return NULL;
    forks_watch();
    self->forks = forks_behind;
    Py_INCREF(foreign);
    self->foreign = foreign;
    self->lock = PyThread_allocate_lock();
    if (self->lock == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

static void guard_dealloc(Guard *self)
{
    if (self->lock != NULL) PyThread_free_lock(self->lock);
    Py_XDECREF(self->foreign);
    core_free(self);
}

/* -1 with an exception in the child of a fork: lock and workers are its parent's. */
static int at_home(Guard *self)
{
    if (self->forks == forks_behind) return 0;
    PyErr_SetObject((PyObject *)Py_TYPE(self->foreign), self->foreign);
    return -1;
}

/* Python does not tell where its C handler is: it is put behind a signal that is ignored by default, for a moment.  -1 with what
 * a handler that was due raised. */
static int find_handler(void)
{
    static const int ignored[] = { SIGURG, SIGWINCH, SIGCHLD };
    struct sigaction now;
    size_t i = 0;
    while (i < 3 && (sigaction(ignored[i], NULL, &now) < 0 || (now.sa_flags & SA_SIGINFO) || now.sa_handler != SIG_DFL)) i++;
    PyObject *module = i < 3 ? PyImport_ImportModule("_signal") : NULL;
    PyObject *set = module ? PyObject_CallMethod(module, "signal", "iO", ignored[i], (PyObject *)&PyLong_Type) : NULL;
    if (set) {
        if (sigaction(ignored[i], NULL, &now) == 0 && !(now.sa_flags & SA_SIGINFO)) shield_wraps(now.sa_handler);
        Py_DECREF(set);
        set = PyObject_CallMethod(module, "signal", "ii", ignored[i], 0);
        if (!set) {                                         /* a signal came between, which it has handled: it will do now */
            PyObject *error = core_caught();
            set = PyObject_CallMethod(module, "signal", "ii", ignored[i], 0);
            Py_CLEAR(set);
            core_rethrow(error);
        }
    }
    bool failed = !set && PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_ValueError);
    if (!set && !failed) PyErr_Clear();                     /* an interpreter's main thread that is not the process's */
    Py_XDECREF(set);
    Py_XDECREF(module);
    return failed ? -1 : 0;
}

/* -1, and no stretch has begun: a handler that was due raised. */
static int begin_stretch(void)
{
    if (shield_wants_handler() && find_handler() < 0) return -1;
    shield_on();
    if (!shield_is_first() || PyErr_CheckSignals() == 0) return 0;
    shield_off();
    return -1;
}

static PyObject *guard_enter(Guard *self, PyObject *Py_UNUSED(none))
{
    if (at_home(self) < 0 || begin_stretch() < 0) return NULL;
    if (!PyThread_acquire_lock(self->lock, NOWAIT_LOCK)) {
        if (self->owner == PyThread_get_thread_ident()) {
            shield_off();
            return PyErr_Format(PyExc_RuntimeError, "a pool cannot be waited for by what it pickles or unpickles, or by a finaliser that runs meanwhile");
        }
        Py_BEGIN_ALLOW_THREADS
        PyThread_acquire_lock(self->lock, WAIT_LOCK);
        Py_END_ALLOW_THREADS
    }
    self->owner = PyThread_get_thread_ident();
    Py_RETURN_NONE;
}

static PyObject *guard_leave(Guard *self, PyObject *Py_UNUSED(none))
{
    self->owner = 0;
    PyThread_release_lock(self->lock);
    shield_off();
    Py_RETURN_NONE;
}

static PyObject *guard_mine(Guard *self, PyObject *Py_UNUSED(none))
{
    return PyBool_FromLong(self->owner != 0 && self->owner == PyThread_get_thread_ident());
}

static PyObject *guard_take_lead(Guard *self, PyObject *Py_UNUSED(none))
{
    if (at_home(self) < 0) return NULL;
    if (self->leader) Py_RETURN_FALSE;
    if (begin_stretch() < 0) return NULL;
    if (self->leader) {             /* a signal handler has waited in the pool */
        shield_off();
        Py_RETURN_FALSE;
    }
    self->leader = PyThread_get_thread_ident();
    Py_RETURN_TRUE;
}

static PyObject *guard_drop_lead(Guard *self, PyObject *Py_UNUSED(none))
{
    self->leader = 0;
    Py_RETURN_NONE;
}

static PyObject *py_shield_on(PyObject *Py_UNUSED(m), PyObject *Py_UNUSED(none))
{
    if (begin_stretch() < 0) return NULL;
    Py_RETURN_NONE;
}

static PyObject *py_shield_off(PyObject *Py_UNUSED(m), PyObject *Py_UNUSED(none))
{
    shield_off();
    Py_RETURN_NONE;
}

static PyObject *guard_owner(Guard *self, void *Py_UNUSED(none))
{
    return PyLong_FromUnsignedLong(self->owner);
}

static PyObject *guard_leader(Guard *self, void *Py_UNUSED(none))
{
    return PyLong_FromUnsignedLong(self->leader);
}

static PyMethodDef guard_methods[] = {
    {"enter", (PyCFunction)guard_enter, METH_NOARGS, "enter()\n\nTake the lock; until leave() an interrupt waits."},
    {"leave", (PyCFunction)guard_leave, METH_NOARGS, "leave()\n\nGive it back."},
    {"mine", (PyCFunction)guard_mine, METH_NOARGS, "mine() -> bool\n\nWhether this thread has the lock."},
    {"take_lead", (PyCFunction)guard_take_lead, METH_NOARGS,
     "take_lead() -> bool\n\nBecome the leader, if there is none; until shield_off() an interrupt waits."},
    {"drop_lead", (PyCFunction)guard_drop_lead, METH_NOARGS, "drop_lead()\n\nBe the leader no more; shield_off() is still to come."},
    {NULL, NULL, 0, NULL},
};
static PyGetSetDef guard_getset[] = {
    {"owner", (getter)guard_owner, NULL, "The thread that has the lock, or 0.", NULL},
    {"leader", (getter)guard_leader, NULL, "The thread that leads, or 0.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};
static PyType_Slot guard_slots[] = {
    { Py_tp_new, guard_new }, { Py_tp_dealloc, guard_dealloc }, { Py_tp_methods, guard_methods },
    { Py_tp_getset, guard_getset },
    { Py_tp_doc, "Guard(foreign)\n\nThe lock of a pool's engine, and who leads.  In the child of a fork it raises the exception." },
    { 0, NULL },
};
static PyType_Spec guard_spec = {
    "procession_native._core.Guard", sizeof(Guard), 0, Py_TPFLAGS_DEFAULT, guard_slots,
};
static PyMethodDef functions[] = {
    {"shield_on", py_shield_on, METH_NOARGS,
     "shield_on()\n\nFrom here to shield_off() a first SIGINT waits; in the main thread, elsewhere nothing. Nests."},
    {"shield_off", py_shield_off, METH_NOARGS, "shield_off()\n\nThe end of it: what has come is raised now."},
    {NULL, NULL, 0, NULL},
};

int procession_add_guard(PyObject *module)
{
    return core_add_type(module, &guard_spec, NULL) ? PyModule_AddFunctions(module, functions) : -1;
}
