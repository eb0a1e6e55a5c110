/* py_shared.c: objects in the arena, for Python: their base type, blocks, parcels, handles. */
#include "py_arena.h"

#include <string.h>
#include <structmember.h>

PyTypeObject *shared_type;
static struct { PyTypeObject *type; shared_opened opened; } kinds[KIND_MAX];

/* -- types --------------------------------------------------------------------------------------------------- */

void *core_alloc(PyTypeObject *type) { return ((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0); }

void core_free(void *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

void core_dealloc_gc(PyObject *self, inquiry clear)
{
    PyObject_GC_UnTrack(self);
    clear(self);
    core_free(self);
}

PyTypeObject *core_add_type(PyObject *module, PyType_Spec *spec, PyTypeObject *base)
{
    PyTypeObject *type = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, (PyObject *)base);
    if (type && PyModule_AddType(module, type) < 0) Py_CLEAR(type);
    return type;
}

void core_copy(void *to, const void *from, size_t size)
{
    if (size < CORE_COPY_ALONE) {
        memcpy(to, from, size);
        return;
    }
    Py_BEGIN_ALLOW_THREADS
    memcpy(to, from, size);
    Py_END_ALLOW_THREADS
}

PyObject *core_fd_list(const int *fds, int count)
{
    PyObject *list = PyList_New(count);
    for (int i = 0; list && i < count; i++) {
        PyObject *number = PyLong_FromLong(fds[i]);
        if (!number || PyList_SetItem(list, i, number) < 0) Py_CLEAR(list);
    }
    return list;
}

/* -- Shared -------------------------------------------------------------------------------------------------- */

int shared_attach(SharedObject *self, aoff payload)
{
    struct arena *a = process_arena;
    enum block_kind kind = block_kind(a, payload);
    void *p = block_map(a, payload);
    if (!p) {
        ref_close(a, payload);
        core_raise(AR_NOMEM, "mapping shared memory");
        return -1;
    }
    self->offset = payload;
    self->generation = block_generation(a, payload);
    self->kind = kind;
    self->payload = p;
    return 0;
}

PyObject *shared_wrap(PyTypeObject *type, aoff payload)
{
    PyObject *self = core_alloc(type);
    if (!self) {
        ref_close(process_arena, payload);
        return NULL;
    }
    if (shared_attach((SharedObject *)self, payload) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return self;
}

void shared_detach(SharedObject *self)
{
    aoff payload = self->offset;
    if (!payload) return;
    self->offset = 0;
    block_unmap(process_arena, payload, self->payload);
    ref_close(process_arena, payload);
}

void shared_dealloc(PyObject *self)
{
    if (((SharedObject *)self)->weakrefs) PyObject_ClearWeakRefs(self);
    shared_detach((SharedObject *)self);
    core_free(self);
}

void shared_register(enum block_kind kind, PyTypeObject *type, shared_opened opened)
{
    kinds[kind].type = type;
    if (opened) kinds[kind].opened = opened;
}

static PyObject *shared_complete(PyObject *self)
{
    shared_opened opened = self ? kinds[((SharedObject *)self)->kind].opened : NULL;
    if (opened && opened(self) < 0) Py_CLEAR(self);
    return self;
}

PyObject *shared_open(enum block_kind kind, aoff payload)
{
    PyTypeObject *type = kind < KIND_MAX ? kinds[kind].type : NULL;
    if (!type) {
        ref_close(process_arena, payload);
        return core_raise(AR_KIND, "opening a shared object");
    }
    return shared_complete(shared_wrap(type, payload));
}

static PyObject *shared_handle(PyObject *self, PyObject *Py_UNUSED(unused))
{
    SharedObject *s = (SharedObject *)self;
    if (!s->offset) return PyErr_Format(PyExc_ValueError, "this shared object is not initialised");
    return Py_BuildValue("(KKKi)", (unsigned long long)process_arena->id, (unsigned long long)s->offset,
                         (unsigned long long)s->generation, (int)s->kind);
}

static PyObject *shared_references(PyObject *self, PyObject *Py_UNUSED(unused))
{
    SharedObject *s = (SharedObject *)self;
    if (!s->offset) return PyLong_FromLong(0);
    return PyLong_FromUnsignedLongLong(SH_GET(&block_header(process_arena, s->offset)->refs));
}

static PyObject *shared_open_as(PyObject *type, PyObject *handle)
{
    aoff payload = shared_claim(handle, (PyTypeObject *)type);
    return payload ? shared_complete(shared_wrap((PyTypeObject *)type, payload)) : NULL;
}

static PyMethodDef shared_methods[] = {
    { "_open", shared_open_as, METH_O | METH_CLASS,
      "_open($type, handle, /)\n--\n\nThe object that a handle names, as an instance of this class, or of one derived from it."
      "  Raises as open_handle() does." },
    { "handle", shared_handle, METH_NOARGS,
      "handle()\n--\n\n(arena id, offset, generation, kind): names the object to any process of the tree; keeps nothing alive." },
    { "references", shared_references, METH_NOARGS,
      "references()\n--\n\nHow many processes and messages hold the object." },
    { NULL, NULL, 0, NULL },
};
static PyMemberDef shared_members[] = {
    { "__weaklistoffset__", T_PYSSIZET, offsetof(SharedObject, weakrefs), READONLY, NULL },
    { NULL, 0, 0, 0, NULL },
};
static PyType_Slot shared_slots[] = {
    { Py_tp_doc, "Base of everything that lives in the arena." }, { Py_tp_dealloc, shared_dealloc },
    { Py_tp_methods, shared_methods }, { Py_tp_members, shared_members }, { 0, NULL },
};
static PyType_Spec shared_spec = {
    "procession_native._core.Shared", sizeof(SharedObject), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION, shared_slots,
};

/* -- Block --------------------------------------------------------------------------------------------------- */

static PyObject *block_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = { "size", "zero", NULL };
    long long size;
    int zero = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "L|p:Block", names, &size, &zero)) return NULL;
    if (size < 0) return PyErr_Format(PyExc_ValueError, "size must be 0 or more bytes, not %lld", size);
    if (core_ensure() < 0) return NULL;
    aoff payload;
    Py_BEGIN_ALLOW_THREADS
    payload = ref_new(process_arena, (uint64_t)(size ? size : 1), KIND_BLOCK, zero);
    Py_END_ALLOW_THREADS
    if (!payload) return core_raise(AR_NOMEM, "allocating a block");
    return shared_wrap(type, payload);
}

static int block_getbuffer(PyObject *self, Py_buffer *view, int flags)
{
    SharedObject *s = (SharedObject *)self;
    if (!s->offset) {
        PyErr_SetString(PyExc_ValueError, "this block is not initialised");
        view->obj = NULL;
        return -1;
    }
    return PyBuffer_FillInfo(view, self, s->payload, (Py_ssize_t)block_size(process_arena, s->offset), 0, flags);
}

static PyObject *block_get_size(PyObject *self, void *Py_UNUSED(unused))
{
    return PyLong_FromUnsignedLongLong(block_size(process_arena, ((SharedObject *)self)->offset));
}

static PyObject *block_get_address(PyObject *self, void *Py_UNUSED(unused))
{
    return PyLong_FromVoidPtr(((SharedObject *)self)->payload);
}

static PyGetSetDef block_getset[] = {
    { "size", block_get_size, NULL, "Size in bytes.", NULL },
    { "address", block_get_address, NULL, "Where the memory is mapped in this process.", NULL },
    { NULL, NULL, NULL, NULL, NULL },
};
static PyType_Slot block_slots[] = {
    { Py_tp_doc, "Block(size, zero=False)\n--\n\nBytes of arena memory; a writable buffer, freed with the last reference in any process.\n\n"
                 "Raises MemoryError if a limit forbids it." },
    { Py_tp_new, block_new }, { Py_tp_dealloc, shared_dealloc }, { Py_tp_getset, block_getset },
    { Py_bf_getbuffer, block_getbuffer }, { 0, NULL },
};
static PyType_Spec block_spec = {
    "procession_native._core.Block", sizeof(SharedObject), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, block_slots,
};

static PyType_Slot parcel_slots[] = {
    { Py_tp_doc, "Owns references on other shared objects; made by hold_refs()." }, { Py_tp_dealloc, shared_dealloc },
    { 0, NULL },
};
static PyType_Spec parcel_spec = {
    "procession_native._core.Parcel", sizeof(SharedObject), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, parcel_slots,
};

aoff *shared_offsets(PyObject *list, const char *function, uint32_t *count)
{
    Py_ssize_t n = PySequence_Size(list);
    aoff *offsets = n < 0 ? NULL : PyMem_Malloc(sizeof *offsets * (size_t)(n ? n : 1));
    if (!offsets) return n < 0 ? NULL : (PyErr_NoMemory(), NULL);
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *o = PySequence_GetItem(list, i);
        bool shared = o && PyObject_TypeCheck(o, shared_type) && ((SharedObject *)o)->offset;
        if (shared) offsets[i] = ((SharedObject *)o)->offset;
        else if (o) PyErr_Format(PyExc_TypeError, "%s() takes shared objects, not %R", function, o);
        Py_XDECREF(o);                              /* the list keeps it alive */
        if (!shared) {
            PyMem_Free(offsets);
            return NULL;
        }
    }
    *count = (uint32_t)n;
    return offsets;
}

static PyObject *hold_refs(PyObject *Py_UNUSED(module), PyObject *list)
{
    uint32_t n;
    if (core_ensure() < 0) return NULL;
    aoff *offsets = shared_offsets(list, "hold_refs", &n);
    if (!offsets) return NULL;
    aoff payload = parcel_new(process_arena, offsets, n);
    PyMem_Free(offsets);
    if (!payload) return core_raise(AR_NOMEM, "holding references");
    return shared_open(KIND_PARCEL, payload);
}

/* -- handles ------------------------------------------------------------------------------------------------- */

/* The four numbers of a handle, which anybody may have made up; 0, or -1 with an exception. */
static int handle_parts(PyObject *handle, uint64_t part[4])
{
    if (!PyTuple_Check(handle) || PyTuple_Size(handle) != 4) {
        PyErr_Format(PyExc_TypeError, "a handle is a tuple of four integers (arena, offset, generation, kind), not %R", handle);
        return -1;
    }
    for (Py_ssize_t i = 0; i < 4; i++) {
        PyObject *item = PyTuple_GetItem(handle, i);
        part[i] = PyLong_AsUnsignedLongLong(item);
        if (part[i] != (uint64_t)-1 || !PyErr_Occurred()) continue;
        if (PyErr_ExceptionMatches(PyExc_OverflowError))
            PyErr_Format(PyExc_ValueError, "a handle holds numbers from 0 to 2**64 - 1, not %R", item);
        return -1;
    }
    return 0;
}

aoff shared_claim(PyObject *handle, PyTypeObject *type)
{
    uint64_t part[4];
    if (handle_parts(handle, part) < 0) return 0;
    PyTypeObject *made = part[3] > KIND_LEDGER && part[3] < KIND_MAX ? kinds[part[3]].type : NULL;
    int r = AR_KIND;
    if (!process_arena) r = AR_FOREIGN;
    else if (made && (!type || PyType_IsSubtype(type, made)))
        r = ref_open(process_arena, part[0], part[1], part[2], (enum block_kind)part[3]);
    if (r == AR_OK) return part[1];
    core_raise(r, "opening a shared object");
    return 0;
}

static PyObject *open_handle(PyObject *Py_UNUSED(module), PyObject *handle)
{
    aoff payload = shared_claim(handle, NULL);
    return payload ? shared_open(block_kind(process_arena, payload), payload) : NULL;
}

static PyMethodDef functions[] = {
    { "open_handle", open_handle, METH_O,
      "open_handle(handle)\n--\n\nThe object that a handle names.  Raises ForeignTreeError, StaleHandleError, ValueError, MemoryError." },
    { "hold_refs", hold_refs, METH_O, "hold_refs(shared_objects)\n--\n\nA Parcel that owns a reference on each." },
    { NULL, NULL, 0, NULL },
};

int procession_add_shared(PyObject *module)
{
    shared_type = core_add_type(module, &shared_spec, NULL);
    PyTypeObject *block = shared_type ? core_add_type(module, &block_spec, shared_type) : NULL;
    PyTypeObject *parcel = block ? core_add_type(module, &parcel_spec, shared_type) : NULL;
    if (!parcel) return -1;
    shared_register(KIND_BLOCK, block, NULL);
    shared_register(KIND_PARCEL, parcel, NULL);
    return PyModule_AddFunctions(module, functions);
}
