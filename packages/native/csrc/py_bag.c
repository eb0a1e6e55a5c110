/* py_bag.c: the bag of a pipe for Python. */
#include "py_arena.h"
#include "bag.h"

#include "py_bag.h"

PyTypeObject *bag_type;

static PyObject *bag_tp_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    if (!PyArg_ParseTuple(args, ":Bag") || (kwargs && PyDict_Size(kwargs))) return NULL;
    if (core_ensure() < 0) return NULL;
    aoff payload = bag_new(process_arena);
    if (!payload) return core_raise(AR_NOMEM, "making the record of a pipe");
    return shared_wrap(type, payload);
}

static PyObject *bag_put_method(PyObject *self, PyObject *sequence)
{
    Py_ssize_t n = PyList_Size(sequence);
    if (n < 0) return NULL;
    aoff *items = PyMem_Malloc(sizeof *items * (size_t)(n ? n : 1));
    if (!items) return PyErr_NoMemory();
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *o = PyList_GetItem(sequence, i);
        if (!o || !PyObject_TypeCheck(o, shared_type) || !((SharedObject *)o)->offset) {
            if (o) PyErr_Format(PyExc_TypeError, "put() takes a list of shared objects, not of %R", o);
            PyMem_Free(items);
            return NULL;
        }
        items[i] = ((SharedObject *)o)->offset;
    }
    uint64_t generation = 0;
    aoff entry = bag_put(process_arena, ((SharedObject *)self)->offset, items, (uint32_t)n, &generation);
    PyMem_Free(items);
    if (!entry) return core_raise(AR_NOMEM, "holding what a message names");
    return Py_BuildValue("KK", (unsigned long long)entry, (unsigned long long)generation);
}

static PyObject *bag_take_method(PyObject *self, PyObject *args)
{
    unsigned long long entry, generation;
    if (!PyArg_ParseTuple(args, "KK:take", &entry, &generation)) return NULL;
    return PyBool_FromLong(bag_take(process_arena, ((SharedObject *)self)->offset, entry, generation));
}

static PyMethodDef bag_methods[] = {
    { "put", bag_put_method, METH_O,
      "put(shared_objects)\n--\n\nTake a reference on each object of the list: (entry, generation), to be named in the message." },
    { "take", bag_take_method, METH_VARARGS,
      "take(entry, generation)\n--\n\nGive the references of a message back; False if that was done before." },
    { NULL, NULL, 0, NULL },
};
static PyType_Slot bag_slots[] = {
    { Py_tp_doc, "Bag()\n--\n\nOwns the references that the messages in a pipe name." },
    { Py_tp_new, bag_tp_new },
    { Py_tp_dealloc, shared_dealloc },
    { Py_tp_methods, bag_methods },
    { 0, NULL },
};
static PyType_Spec bag_spec = {
    "procession_native._core.Bag", sizeof(SharedObject), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, bag_slots,
};

int procession_add_bag(PyObject *module)
{
    bag_setup();
    bag_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &bag_spec, (PyObject *)shared_type);
    if (!bag_type || PyModule_AddObjectRef(module, "Bag", (PyObject *)bag_type) < 0) return -1;
    shared_register(KIND_BAG, bag_type, NULL);
    return 0;
}
