/* py_sync_with.c: __enter__ and __exit__ without their usual cost.
 *
 * A with statement looks both methods up and binds them before it calls them.  Bound C methods are objects of the
 * garbage collector, made and dropped at each turn: half the time of an uncontended lock.  The descriptors here bind
 * to a small object from a free list.  (A bound object kept in the lock would be a reference cycle.)
 */
#include "py_sync.h"

#include <structmember.h>

#define FREE_MAX 32

typedef struct {
    PyObject_HEAD
    sync_vectorcall call;
    PyTypeObject *owner;        /* the type that has the method; borrowed: it lives as long as the module */
    PyTypeObject *seen;         /* the subtype of it that was bound last: asking again costs as much as the lock */
    sync_enter enter;           /* one of these two */
    sync_leave leave;
} WithMethod;

typedef struct {
    PyObject_HEAD
    sync_vectorcall call;
    WithMethod *method;
    PyObject *self;
} BoundWith;

static PyTypeObject *method_type, *bound_type;
#ifndef Py_GIL_DISABLED
static BoundWith *free_list[FREE_MAX];
static int free_count;
#endif

static bool fits(WithMethod *m, PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    if (type == m->seen) return true;
    if (!PyType_IsSubtype(type, m->owner)) return false;
    PyObject *old = (PyObject *)m->seen;
    m->seen = (PyTypeObject *)Py_NewRef((PyObject *)type);
    Py_XDECREF(old);
    return true;
}

static PyObject *run_enter(WithMethod *m, PyObject *self, Py_ssize_t nargs, PyObject *names)
{
    if (nargs != 0 || names)
        return PyErr_Format(PyExc_TypeError, "__enter__() takes no arguments (%zd given)", nargs);
    int r = m->enter((SharedObject *)self);
    if (r > 0) Py_RETURN_TRUE;
    if (r < 0) return NULL;
    Py_RETURN_FALSE;
}

static PyObject *run_leave(WithMethod *m, PyObject *self, PyObject *names)
{
    if (names) return PyErr_Format(PyExc_TypeError, "__exit__() takes no keyword arguments");
    if (m->leave((SharedObject *)self) < 0) return NULL;
    Py_RETURN_NONE;
}

static PyObject *call_enter(PyObject *object, PyObject *const *args, size_t nargsf, PyObject *names)
{
    (void)args;
    BoundWith *b = (BoundWith *)object;
    return run_enter(b->method, b->self, SYNC_NARGS(nargsf), names);
}

static PyObject *call_leave(PyObject *object, PyObject *const *args, size_t nargsf, PyObject *names)
{
    (void)args;
    (void)nargsf;
    BoundWith *b = (BoundWith *)object;
    return run_leave(b->method, b->self, names);
}

static PyObject *call_method(PyObject *object, PyObject *const *args, size_t nargsf, PyObject *names)
{
    WithMethod *m = (WithMethod *)object;
    Py_ssize_t n = SYNC_NARGS(nargsf);
    if (n < 1 || !fits(m, args[0]))
        return PyErr_Format(PyExc_TypeError, "%s() needs a synchronisation object of its type as its first argument",
                            m->enter ? "__enter__" : "__exit__");
    return m->enter ? run_enter(m, args[0], n - 1, names) : run_leave(m, args[0], names);
}

/* For callers that do not know vectorcall. */
static PyObject *call_slowly(PyObject *object, PyObject *args, PyObject *kwargs)
{
    PyObject *items[5];
    Py_ssize_t n = PyTuple_Size(args);
    if (n > 5 || (kwargs && PyDict_Size(kwargs)))
        return PyErr_Format(PyExc_TypeError, "__enter__() and __exit__() take at most 5 arguments, none by keyword");
    for (Py_ssize_t i = 0; i < n; i++) items[i] = PyTuple_GetItem(args, i);
    sync_vectorcall call = Py_IS_TYPE(object, bound_type) ? ((BoundWith *)object)->call : call_method;
    return call(object, items, (size_t)n, NULL);
}

static PyObject *bind(PyObject *object, PyObject *self, PyObject *Py_UNUSED(type))
{
    WithMethod *m = (WithMethod *)object;
    if (self == NULL || self == Py_None) return Py_NewRef(object);
    if (!fits(m, self)) return PyErr_Format(PyExc_TypeError, "the method belongs to another type");
    BoundWith *b;
#ifndef Py_GIL_DISABLED
    if (free_count) b = (BoundWith *)PyObject_Init((PyObject *)free_list[--free_count], bound_type);
    else
#endif
        b = PyObject_New(BoundWith, bound_type);
    if (!b) return NULL;
    b->call = m->enter ? call_enter : call_leave;
    b->method = (WithMethod *)Py_NewRef(object);
    b->self = Py_NewRef(self);
    return (PyObject *)b;
}

static void bound_dealloc(PyObject *object)
{
    BoundWith *b = (BoundWith *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject *method = (PyObject *)b->method, *self = b->self;
#ifndef Py_GIL_DISABLED
    if (free_count < FREE_MAX) free_list[free_count++] = b;
    else
#endif
        PyObject_Free(object);
    Py_DECREF(type);
    Py_DECREF(method);
    Py_DECREF(self);
}

static void method_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    Py_XDECREF((PyObject *)((WithMethod *)object)->seen);
    PyObject_Free(object);
    Py_DECREF(type);
}

static PyObject *method_repr(PyObject *object)
{
    return PyUnicode_FromFormat("<method '%s' of lock objects>", ((WithMethod *)object)->enter ? "__enter__" : "__exit__");
}

static PyObject *method_name(PyObject *object, void *Py_UNUSED(unused))
{
    return PyUnicode_FromString(((WithMethod *)object)->enter ? "__enter__" : "__exit__");
}

static PyObject *method_doc(PyObject *object, void *Py_UNUSED(unused))
{
    return PyUnicode_FromString(((WithMethod *)object)->enter ? "Acquire it, for as long as it takes."
                                                              : "Release it.");
}

static PyObject *bound_name(PyObject *object, void *unused)
{
    return method_name((PyObject *)((BoundWith *)object)->method, unused);
}

static PyObject *bound_self(PyObject *object, void *Py_UNUSED(unused))
{
    return Py_NewRef(((BoundWith *)object)->self);
}

static PyGetSetDef method_getset[] = {
    { "__name__", method_name, NULL, NULL, NULL },
    { "__doc__", method_doc, NULL, NULL, NULL },
    { NULL, NULL, NULL, NULL, NULL }
};
static PyMemberDef method_members[] = {
    { "__vectorcalloffset__", T_PYSSIZET, offsetof(WithMethod, call), READONLY, NULL },
    { NULL, 0, 0, 0, NULL }
};
static PyType_Slot method_slots[] = {
    { Py_tp_call, call_slowly }, { Py_tp_descr_get, bind }, { Py_tp_dealloc, method_dealloc },
    { Py_tp_repr, method_repr }, { Py_tp_getset, method_getset }, { Py_tp_members, method_members }, { 0, NULL },
};
static PyType_Spec method_spec = {
    "procession_native._core.with_method", sizeof(WithMethod), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    method_slots
};

static PyGetSetDef bound_getset[] = {
    { "__name__", bound_name, NULL, NULL, NULL },
    { "__self__", bound_self, NULL, NULL, NULL },
    { NULL, NULL, NULL, NULL, NULL }
};
static PyMemberDef bound_members[] = {
    { "__vectorcalloffset__", T_PYSSIZET, offsetof(BoundWith, call), READONLY, NULL },
    { NULL, 0, 0, 0, NULL }
};
static PyType_Slot bound_slots[] = {
    { Py_tp_call, call_slowly }, { Py_tp_dealloc, bound_dealloc }, { Py_tp_getset, bound_getset },
    { Py_tp_members, bound_members }, { 0, NULL },
};
static PyType_Spec bound_spec = { "procession_native._core.bound_with_method", sizeof(BoundWith), 0,
                                  Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                                  bound_slots };

int sync_with_setup(PyObject *module)
{
    method_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &method_spec, NULL);
    bound_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &bound_spec, NULL);
    return method_type && bound_type ? 0 : -1;
}

static int add(PyObject *type, const char *name, sync_enter enter, sync_leave leave)
{
    WithMethod *m = PyObject_New(WithMethod, method_type);
    if (!m) return -1;
    m->call = call_method;
    m->owner = (PyTypeObject *)type;
    m->seen = NULL;
    m->enter = enter;
    m->leave = leave;
    int r = PyObject_SetAttrString(type, name, (PyObject *)m);
    Py_DECREF(m);
    return r;
}

int sync_add_with(PyObject *type, sync_enter enter, sync_leave leave)
{
    return add(type, "__enter__", enter, NULL) < 0 ? -1 : add(type, "__exit__", NULL, leave);
}
