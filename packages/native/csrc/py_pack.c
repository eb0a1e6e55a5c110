/* py_pack.c: the fast path of procession_shm.pack() and unpack(): one pickler, kept ready.
 *
 * There is one pickler for the process, taken by whoever finds it free: while a pickle is being made Python code may run,
 * so another thread or a nested call may come; those, and everything out of the ordinary, go the slow way in Python
 * (procession_shm), which also makes the pickler.  Big buffers: py_beside.c.  It is made anew when a table of reducers may have changed: they are
 * watched by their sizes, and changes of entries are told by pack_stale().
 */
#include "py_beside.h"

#include <stdbool.h>
#include <structmember.h>

#define KEEP_LIMIT (1 << 20)            /* a pickler that made a longer message has a large memo table: it is dropped */
#define WATCHED 4

typedef struct {
    PyObject_HEAD
    PyObject *data, *refs;
} Message;

static PyTypeObject *message_type;

static struct {
    PyObject *slow_pack, *loads, *loads_beside, *scopes, *runtime;
    PyObject *dump, *clear_memo, *pieces, *buffers, *transfer, *refs;
    PyObject *watched[WATCHED];
    Py_ssize_t sizes[WATCHED];
    bool ready, busy;
} state;
static PyObject *name_scopes, *name_by_value;

/* ---- Message ----------------------------------------------------------------------------------------------------- */

static PyObject *message_of(PyTypeObject *type, PyObject *data, PyObject *refs)
{
    Message *self = core_alloc(type);
    if (self == NULL) return NULL;
    self->data = Py_NewRef(data);
    self->refs = Py_NewRef(refs);
    return (PyObject *)self;
}

static PyObject *message_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"data", "refs", NULL};
    PyObject *data, *refs;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO:Message", names, &data, &refs)) return NULL;
    return message_of(type, data, refs);
}

static int message_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(((Message *)op)->data);
    Py_VISIT(((Message *)op)->refs);
    return 0;
}

static int message_clear(PyObject *op)
{
    Py_CLEAR(((Message *)op)->data);
    Py_CLEAR(((Message *)op)->refs);
    return 0;
}

static void message_dealloc(PyObject *op) { core_dealloc_gc(op, message_clear); }

static PyObject *message_iter(PyObject *op)
{
    PyObject *pair = PyTuple_Pack(2, ((Message *)op)->data, ((Message *)op)->refs);
    PyObject *iterator = pair == NULL ? NULL : PyObject_GetIter(pair);
    Py_XDECREF(pair);
    return iterator;
}

static PyMemberDef message_members[] = {
    {"data", T_OBJECT_EX, offsetof(Message, data), READONLY, "The bytes."},
    {"refs", T_OBJECT_EX, offsetof(Message, refs), READONLY, "The arena objects that the bytes name."},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot message_slots[] = {
    { Py_tp_doc, "Message(data, refs)\n--\n\nA pickled object on its way, and the arena objects that it names." },
    { Py_tp_new, message_new }, { Py_tp_dealloc, message_dealloc }, { Py_tp_traverse, message_traverse },
    { Py_tp_clear, message_clear }, { Py_tp_iter, message_iter }, { Py_tp_members, message_members }, { 0, NULL },
};

static PyType_Spec message_spec = {
    "procession_native._core.Message", sizeof(Message), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, message_slots,
};

/* ---- pack -------------------------------------------------------------------------------------------------------- */

static void forget(void)
{
    state.ready = false;
    Py_CLEAR(state.dump);
    Py_CLEAR(state.clear_memo);
    Py_CLEAR(state.pieces);
    Py_CLEAR(state.buffers);
    Py_CLEAR(state.transfer);
    Py_CLEAR(state.refs);
}

static bool usable(void)
{
    if (!state.ready || state.busy) return false;
    for (int i = 0; i < WATCHED; i++)
        if (PyDict_Size(state.watched[i]) != state.sizes[i]) return false;
    PyObject *by_value = PyObject_GetAttr(state.runtime, name_by_value);
    if (by_value == NULL) {
        PyErr_Clear();
        return false;
    }
    Py_DECREF(by_value);
    return by_value == Py_False;
}

/* The pickle's pieces as one bytes object; empties the list. */
static PyObject *take_pieces(void)
{
    PyObject *data;
    if (PyList_Size(state.pieces) == 1) {
        data = Py_NewRef(PyList_GetItem(state.pieces, 0));
    } else {
        PyObject *nothing = PyBytes_FromStringAndSize(NULL, 0);
        data = nothing == NULL ? NULL : PyObject_CallMethod(nothing, "join", "O", state.pieces);
        Py_XDECREF(nothing);
    }
    if (data != NULL && PyList_SetSlice(state.pieces, 0, PY_SSIZE_T_MAX, NULL) < 0) Py_CLEAR(data);
    return data;
}

/* Pickles into state.pieces; 0, or -1 with an exception. */
static int dump_in_scope(PyObject *obj)
{
    PyObject *scopes = PyObject_GetAttr(state.scopes, name_scopes);
    if (scopes == NULL) return -1;
    Py_ssize_t depth = PyList_Size(scopes);
    PyObject *done = NULL;
    if (depth >= 0 && PyList_Append(scopes, state.transfer) == 0) {
        PyObject *dump = Py_NewRef(state.dump);
        done = PyObject_CallFunctionObjArgs(dump, obj, NULL);
        Py_DECREF(dump);
        PyObject *type, *value, *traceback;
        PyErr_Fetch(&type, &value, &traceback);
        if (PyList_SetSlice(scopes, depth, depth + 1, NULL) < 0) PyErr_Clear();
        PyErr_Restore(type, value, traceback);
    }
    Py_DECREF(scopes);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

static PyObject *finish(PyObject *data)
{
    PyObject *refs, *message = NULL;
    bool named = PyList_Size(state.refs) > 0, beside = PyList_Size(state.buffers) > 0;
    if (named) refs = Py_NewRef(state.refs);
    else refs = PyList_New(0);
    if (refs != NULL && beside) {
        PyObject *whole = beside_put(data, state.buffers, refs);
        Py_DECREF(data);
        data = whole;
    }
    if (refs != NULL && data != NULL) message = message_of(message_type, data, refs);
    /* What has given its lists away, or has a large memo table, is not used again. */
    if (message == NULL || named || PyBytes_Size(data) > KEEP_LIMIT) forget();
    else if (beside && PyList_SetSlice(state.buffers, 0, PY_SSIZE_T_MAX, NULL) < 0) forget();
    if (state.ready) {
        PyObject *done = PyObject_CallNoArgs(state.clear_memo);
        if (done == NULL) Py_CLEAR(message);
        Py_XDECREF(done);
    }
    Py_XDECREF(data);
    Py_XDECREF(refs);
    return message;
}

static PyObject *pack(PyObject *Py_UNUSED(module), PyObject *obj)
{
    if (!usable()) {
        PyObject *slow = state.slow_pack;
        if (slow == NULL) return PyErr_Format(PyExc_RuntimeError, "pack() is bound by procession_shm: import it");
        return PyObject_CallFunctionObjArgs(slow, obj, state.busy ? Py_True : Py_False, NULL);
    }
    state.busy = true;
    PyObject *result = NULL;
    if (dump_in_scope(obj) < 0) {
        /* Half a pickle is in it.  The slow way says what is wrong, or knows a way. */
        forget();
        if (PyErr_ExceptionMatches(PyExc_Exception)) {
            PyErr_Clear();
            result = PyObject_CallFunctionObjArgs(state.slow_pack, obj, Py_True, NULL);
        }
    } else {
        PyObject *data = take_pieces();
        if (data != NULL) result = finish(data);
        else forget();
    }
    state.busy = false;
    return result;
}

static PyObject *unpack(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *data, *refs = NULL;
    int views = 0;
    if (!PyArg_ParseTuple(args, "O|Op:unpack", &data, &refs, &views)) return NULL;
    if (state.loads == NULL) return PyErr_Format(PyExc_RuntimeError, "unpack() is bound by procession_shm: import it");
    if (PyBytes_CheckExact(data)) {
        if (PyBytes_Size(data) == 0 || PyBytes_AsString(data)[0] != BESIDE_MARK)
            return PyObject_CallFunctionObjArgs(state.loads, data, NULL);
    } else {
        Py_buffer view;
        if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) return NULL;
        bool plain = view.len == 0 || *(char *)view.buf != BESIDE_MARK;
        PyBuffer_Release(&view);
        if (plain) return PyObject_CallFunctionObjArgs(state.loads, data, NULL);
    }
    PyObject *pickle, *buffers;
    if (beside_open(data, views, &pickle, &buffers) < 0) return NULL;
    PyObject *result = PyObject_CallFunctionObjArgs(state.loads_beside, pickle, buffers, NULL);
    Py_DECREF(pickle);
    Py_DECREF(buffers);
    return result;
}

static PyObject *put_beside(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *pickle, *buffers, *refs;
    if (!PyArg_ParseTuple(args, "SO!O!:put_beside", &pickle, &PyList_Type, &buffers, &PyList_Type, &refs)) return NULL;
    return beside_put(pickle, buffers, refs);
}

static PyObject *pack_bind(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *slow_pack, *loads, *loads_beside, *scopes, *runtime;
    if (!PyArg_ParseTuple(args, "OOOOO:pack_bind", &slow_pack, &loads, &loads_beside, &scopes, &runtime)) return NULL;
    core_keep(&state.slow_pack, slow_pack);
    core_keep(&state.loads, loads);
    core_keep(&state.loads_beside, loads_beside);
    core_keep(&state.scopes, scopes);
    core_keep(&state.runtime, runtime);
    Py_RETURN_NONE;
}

static PyObject *pack_ready(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *pickler, *pieces, *buffers, *transfer, *refs, *watched[WATCHED];
    if (!PyArg_ParseTuple(args, "OO!O!OO!O!O!O!O!:pack_ready", &pickler, &PyList_Type, &pieces, &PyList_Type, &buffers,
                          &transfer, &PyList_Type, &refs, &PyDict_Type, &watched[0], &PyDict_Type, &watched[1],
                          &PyDict_Type, &watched[2], &PyDict_Type, &watched[3]))
        return NULL;
    if (state.busy) Py_RETURN_FALSE;
    forget();
    state.dump = PyObject_GetAttrString(pickler, "dump");
    state.clear_memo = PyObject_GetAttrString(pickler, "clear_memo");
    if (state.dump == NULL || state.clear_memo == NULL) return NULL;
    core_keep(&state.pieces, pieces);
    core_keep(&state.buffers, buffers);
    core_keep(&state.transfer, transfer);
    core_keep(&state.refs, refs);
    for (int i = 0; i < WATCHED; i++) {
        core_keep(&state.watched[i], watched[i]);
        state.sizes[i] = PyDict_Size(watched[i]);
    }
    state.ready = true;
    Py_RETURN_TRUE;
}

static PyObject *pack_stale(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    if (state.busy) state.ready = false;
    else forget();
    Py_RETURN_NONE;
}

static PyObject *pack_forked(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    state.busy = false;
    forget();
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"pack", pack, METH_O,
     "pack(obj)\n--\n\nThe message that carries obj: its pickle, big buffers in blocks of the arena beside it.\n\n"
     "Never blocks.  Raises what pickling raises, and MemoryError if the buffers do not fit."},
    {"unpack", unpack, METH_VARARGS,
     "unpack(data, refs=None, views=False)\n--\n\nThe object of a message; refs, where the container has them open, are not "
     "needed.\n\n"
     "Buffers come as views of their blocks, writable where the source was, which keep them alive; those from 2 MiB on as\n"
     "private copies if the arena has little memory left for the next ones, unless views is true.  Never blocks.  Raises\n"
     "what unpickling raises, StaleHandleError if nothing has kept what the message names, ForeignTreeError if it comes\n"
     "from another process tree."},
    {"pack_bind", pack_bind, METH_VARARGS, "pack_bind(pack, loads, loads_beside, scopes, runtime): the slow way, and loads(data[, buffers])."},
    {"put_beside", put_beside, METH_VARARGS,
     "put_beside(pickle, buffers, refs)\n--\n\nThe data of a message whose pickle has these buffers beside it, which are copied into\n"
     "blocks; those are appended to refs."},
    {"pack_ready", pack_ready, METH_VARARGS,
     "pack_ready(pickler, pieces, buffers, transfer, refs, *watched): a pickler to use until the size of a watched\n"
     "dictionary changes."},
    {"pack_stale", pack_stale, METH_NOARGS, "pack_stale(): a table of reducers has changed."},
    {"pack_forked", pack_forked, METH_NOARGS, "pack_forked(): in a forked child: whoever used the pickler is not here."},
    {NULL, NULL, 0, NULL},
};

int procession_add_pack(PyObject *module)
{
    name_scopes = PyUnicode_InternFromString("scopes");
    name_by_value = PyUnicode_InternFromString("main_by_value");
    if (name_scopes == NULL || name_by_value == NULL) return -1;
    message_type = core_add_type(module, &message_spec, NULL);
    return message_type == NULL ? -1 : PyModule_AddFunctions(module, functions);
}
