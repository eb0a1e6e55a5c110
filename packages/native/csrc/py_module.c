/* py_module.c: the extension module: its slots, its exceptions, what all parts share. */
#include "py_arena.h"
#include "faults.h"

#include <errno.h>
#include <signal.h>

/* -- exceptions ---------------------------------------------------------------------------------------------- */

static const char *exception_names[CORE_EXCEPTIONS] = {
    "OwnerDiedError", "PeerDiedError", "ForeignTreeError", "StaleHandleError", "ShutDown", "BrokenBarrierError", "Empty", "Full",
};
static PyObject *exceptions[CORE_EXCEPTIONS];

PyObject *core_exception(enum core_exception which)
{
    return exceptions[which] ? exceptions[which] : PyExc_RuntimeError;
}

PyDoc_STRVAR(bind_errors_doc,
"bind_errors(**classes)\n--\n\n"
"Tell the core which exception classes to raise, by name: OwnerDiedError, PeerDiedError, ForeignTreeError,\n"
"StaleHandleError, ShutDown, BrokenBarrierError, Empty, Full.  The core imports nothing, so it has to be told.");
static PyObject *bind_errors(PyObject *Py_UNUSED(module), PyObject *args, PyObject *kwargs)
{
    if (!PyArg_ParseTuple(args, "")) return NULL;
    for (int i = 0; kwargs && i < CORE_EXCEPTIONS; i++) {
        PyObject *c = PyDict_GetItemString(kwargs, exception_names[i]);
        if (c) core_keep(&exceptions[i], c);
    }
    Py_RETURN_NONE;
}

PyObject *core_raise(int status, const char *what)
{
    if ((status == AR_NOMEM || status == AR_GONE) && process_arena && process_arena->severed)
        return PyErr_Format(core_exception(CORE_STALE_HANDLE),
                            "%s: this process shares nothing with its process tree, because there was no free slot for it or no "
                            "memory when it was forked; end some processes or raise the limit, and fork it again", what);
    if (status == AR_NOMEM && arena_stopped_owner())
        return PyErr_Format(PyExc_TimeoutError,
                            "%s: process %u is stopped (SIGSTOP, or a debugger) in the middle of a change of the shared memory, for "
                            "which all others wait; continue it with SIGCONT, or kill it", what, arena_stopped_owner());
    switch (status) {
    case AR_NOMEM:
        PyErr_Format(PyExc_MemoryError, "%s: no shared memory is left within the limits of this process tree "
                     "(see procession.memory() and set_memory_limit())", what);
        break;
    case AR_INTR: PyErr_SetString(PyExc_InterruptedError, what); break;
    case AR_OWNER_DIED: PyErr_Format(core_exception(CORE_OWNER_DIED), "%s: its owner died", what); break;
    case AR_STALE:
        PyErr_Format(core_exception(CORE_STALE_HANDLE), "%s: the object no longer exists; a handle keeps nothing alive by itself: "
                     "keep the object, or send it in a message", what);
        break;
    case AR_FOREIGN:
        PyErr_Format(core_exception(CORE_FOREIGN_TREE), "%s: the object belongs to another process tree; shared objects can be "
                     "used only by processes that descend from the one that made them", what);
        break;
    case AR_KIND: PyErr_Format(PyExc_ValueError, "%s: the handle names an object of another kind", what); break;
    case AR_LAYOUT:
        PyErr_Format(PyExc_RuntimeError, "%s: the shared memory was made by a different version of procession (layout %d is spoken "
                     "here); all processes of a tree need the same one", what, (int)ARENA_LAYOUT);
        break;
    case AR_GONE: PyErr_Format(PyExc_RuntimeError, "%s: the slot that the parent had reserved was given up", what); break;
    case AR_PEER_DIED: PyErr_Format(core_exception(CORE_PEER_DIED), "%s: no other process is left", what); break;
    case AR_SHUTDOWN: PyErr_Format(core_exception(CORE_SHUTDOWN), "%s: shut down", what); break;
    case AR_EMPTY: PyErr_SetNone(core_exception(CORE_EMPTY)); break;
    case AR_FULL: PyErr_SetNone(core_exception(CORE_FULL)); break;
    case AR_BROKEN: PyErr_SetNone(core_exception(CORE_BROKEN_BARRIER)); break;
    case AR_SYS:
        if (errno == ENOMEM) return PyErr_NoMemory();
        PyErr_SetFromErrno(PyExc_OSError);
        break;
    default: PyErr_Format(PyExc_SystemError, "%s: unexpected status %d", what, status);
    }
    return NULL;
}

PyObject *core_caught(void)
{
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    PyErr_NormalizeException(&type, &value, &trace);
    if (value != NULL && trace != NULL) PyException_SetTraceback(value, trace);
    Py_XDECREF(type);
    Py_XDECREF(trace);
    return value;
}

void core_rethrow(PyObject *error)
{
    PyErr_Restore(Py_NewRef((PyObject *)Py_TYPE(error)), error, PyException_GetTraceback(error));
}

int core_ensure(void)
{
    if (process_arena && !process_arena->severed) return 0;
    int r = process_arena ? AR_GONE : arena_ensure();
    if (r == AR_OK) return 0;
    core_raise(r, process_arena ? "using shared memory" : "creating the shared memory of this process tree");
    return -1;
}

/* -- faults: test builds only -------------------------------------------------------------------------------- */

#ifdef PROCESSION_FAULTS
#define FAULT(name, call) \
    static PyObject *name(PyObject *Py_UNUSED(m), PyObject *arg) \
    { \
        long k = PyLong_AsLong(arg); \
        if (k == -1 && PyErr_Occurred()) return NULL; \
        call; \
        Py_RETURN_NONE; \
    }
FAULT(py_fault_set, fault_set(k))
FAULT(py_fault_stop, (fault_set_in_child(k, SIGSTOP), fault_set(k)))
FAULT(py_fault_refuse, fault_refuse(k))
FAULT(py_fault_refuse_slots, fault_refuse_slots(k))
FAULT(py_fault_endless_slices, fault_endless_slices(k))
static PyObject *py_fault_set_in_child(PyObject *Py_UNUSED(m), PyObject *args)
{
    long k;
    int signal_number;
    if (!PyArg_ParseTuple(args, "li:fault_set_in_child", &k, &signal_number)) return NULL;
    fault_set_in_child(k, signal_number);
    Py_RETURN_NONE;
}
/* Unmaps every window but the first, which only tests may do: nothing else may run meanwhile. */
static PyObject *py_fault_forget(PyObject *Py_UNUSED(m), PyObject *Py_UNUSED(n))
{
    struct arena *a = process_arena;
    for (uint32_t i = 1; a && i < MAX_WINDOWS; i++) atomic_store_explicit(&a->window[i], NULL, memory_order_release);
    Py_RETURN_NONE;
}
static PyObject *py_fault_branches(PyObject *Py_UNUSED(m), PyObject *Py_UNUSED(n))
{
    PyObject *d = PyDict_New();
    for (int i = 0; d && fault_branch_name(i); i++) {
        PyObject *v = PyLong_FromUnsignedLongLong(fault_branch_count(i));
        if (!v || PyDict_SetItemString(d, fault_branch_name(i), v) < 0) Py_CLEAR(d);
        Py_XDECREF(v);
    }
    return d;
}
#endif

static PyMethodDef methods[] = {
    { "bind_errors", CORE_FAST(bind_errors), METH_VARARGS | METH_KEYWORDS, bind_errors_doc },
#ifdef PROCESSION_FAULTS
    { "fault_set", py_fault_set, METH_O, "fault_set(k): die at the k-th store to shared memory from now; 0: never." },
    { "fault_set_in_child", py_fault_set_in_child, METH_VARARGS,
      "fault_set_in_child(k, signal): the next forked child gets the signal at its k-th store, those of fork itself counted; 0: none." },
    { "fault_stop", py_fault_stop, METH_O, "fault_stop(k): stop (SIGSTOP) at the k-th store to shared memory from now." },
    { "fault_refuse", py_fault_refuse, METH_O, "fault_refuse(k): refuse the k-th mapping of a window from now, and all after it; 0: none." },
    { "fault_refuse_slots", py_fault_refuse_slots, METH_O, "fault_refuse_slots(on): no slot is free for a child." },
    { "fault_endless_slices", py_fault_endless_slices, METH_O,
      "fault_endless_slices(on): sleepers are woken by others, or not at all; deaths are not noticed." },
    { "fault_forget", py_fault_forget, METH_NOARGS, "fault_forget(): forget all windows but the first, as if they had never been used here." },
    { "fault_branches", py_fault_branches, METH_NOARGS, "fault_branches(): how often each repair branch was taken, in all processes." },
#endif
    { NULL, NULL, 0, NULL },
};

/* The types come before those that derive from them. */
static int (*const parts[])(PyObject *module) = {
    procession_add_shared, procession_add_arena, procession_add_life, procession_add_message, procession_add_outside,
    procession_add_sync, procession_add_queue, procession_add_bag, procession_add_ring, procession_add_frame,
    procession_add_frame_end, procession_add_value, procession_add_array, procession_add_mapping, procession_add_names,
    procession_add_beside, procession_add_pack, procession_add_channel, procession_add_guard,
};

/* One arena and one set of types a process, which belong to the interpreter that came first. */
static int refuse_another(void)
{
    static int64_t first = -1;
    int64_t here = PyInterpreterState_GetID(PyInterpreterState_Get());
    if (here < 0) return -1;
    if (first < 0) first = here;
    if (first == here) return 0;
    return core_fail(PyExc_ImportError, "the C core of procession is in use by another interpreter of this process");
}

static int exec_module(PyObject *module)
{
    if (refuse_another() < 0) return -1;
#ifdef PROCESSION_FAULTS
    fault_init();
#endif
    if (PyModule_AddIntConstant(module, "LAYOUT", ARENA_LAYOUT) < 0) return -1;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (parts[i](module) < 0) return -1;
    return 0;
}

/* Slot numbers that 3.11's headers do not know; used only by interpreters that do. */
#define SLOT_MULTIPLE_INTERPRETERS 3
#define SLOT_GIL 4

static PyModuleDef_Slot slots[4] = { { Py_mod_exec, exec_module }, { 0, NULL }, { 0, NULL }, { 0, NULL } };
static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "procession_native._core", "The C core of procession: arena, locks, queues.", 0, methods, slots,
    NULL, NULL, NULL,
};

#ifndef PROCESSION_MODULE_NAME
#define PROCESSION_MODULE_NAME _core
#endif
#define JOIN(a, b) a##b
#define INIT_NAME(name) JOIN(PyInit_, name)

PyMODINIT_FUNC INIT_NAME(PROCESSION_MODULE_NAME)(void)
{
    int n = 1;
    /* The GIL is relied on for the Python objects (not for shared memory): interpreters with one of their own are refused (3.12+),
     * and a free-threaded build turns it on (3.13+). */
    if (Py_Version >= 0x030c0000) slots[n++] = (PyModuleDef_Slot){ SLOT_MULTIPLE_INTERPRETERS, (void *)0 };
    if (Py_Version >= 0x030d0000) slots[n++] = (PyModuleDef_Slot){ SLOT_GIL, (void *)0 };
    return PyModuleDef_Init(&definition);
}
