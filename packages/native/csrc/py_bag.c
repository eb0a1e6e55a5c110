/* py_bag.c: the bag of a pipe for Python. */
#include "py_arena.h"
#include "bag.h"

PyTypeObject *bag_type;

static PyObject *bag_tp_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    if (core_no_keywords("Bag", kwargs) < 0 || !PyArg_ParseTuple(args, ":Bag")) return NULL;
    if (core_ensure() < 0) return NULL;
    aoff payload = bag_new(process_arena);
    if (!payload) return core_raise(AR_NOMEM, "making the record of a pipe");
    return shared_wrap(type, payload);
}

static PyObject *bag_put_method(PyObject *self, PyObject *sequence)
{
    uint32_t n;
    aoff *items = shared_offsets(sequence, "put", &n);
    if (!items) return NULL;
    uint64_t generation = 0;
    aoff entry = bag_put(process_arena, ((SharedObject *)self)->offset, items, n, &generation);
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
    { Py_tp_doc, "Bag()\n--\n\nOwns the references that the messages in a pipe name." }, { Py_tp_new, bag_tp_new },
    { Py_tp_dealloc, shared_dealloc }, { Py_tp_methods, bag_methods }, { 0, NULL },
};
static PyType_Spec bag_spec = {
    "procession_native._core.Bag", sizeof(SharedObject), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, bag_slots,
};

int procession_add_bag(PyObject *module)
{
    bag_setup();
    bag_type = core_add_type(module, &bag_spec, shared_type);
    if (!bag_type) return -1;
    shared_register(KIND_BAG, bag_type, NULL);
    return 0;
}
