/* py_beside.c: see py_beside.h; when a buffer is taken out of its block: fill.h. */
#include "py_beside.h"

#include "fill.h"

#include <stdbool.h>
#include <string.h>

#define HEAD_SIZE 5
#define ENTRY_SIZE 40
#define READ_ONLY 1u
#define ALONE_FROM ((uint64_t)64 << 10)             /* copies from this size on let other threads run */

/* ---- what a buffer is in the receiver ------------------------------------------------------------------------------ */

typedef struct {
    PyObject_HEAD
    void *start;
    Py_ssize_t size;
    PyObject *block;            /* the memory is this block's; NULL: private memory, of `mapped` bytes */
    uint64_t mapped;
} Received;

static PyTypeObject *received_type;
static uint64_t in_place;       /* bytes of large buffers that this process uses in their blocks */

static void received_dealloc(PyObject *op)
{
    Received *self = (Received *)op;
    if (self->block == NULL) {
        fill_private_free(self->start, self->mapped);
    } else {
        Py_DECREF(self->block);
        __atomic_fetch_sub(&in_place, (uint64_t)self->size, __ATOMIC_RELAXED);
    }
    core_free(op);
}

static int received_getbuffer(PyObject *op, Py_buffer *view, int flags)
{
    Received *self = (Received *)op;
    return PyBuffer_FillInfo(view, op, self->start, self->size, 0, flags);
}

static PyType_Slot received_slots[] = {
    { Py_tp_doc, "The memory of a large buffer that was sent to this process." }, { Py_tp_dealloc, received_dealloc },
    { Py_bf_getbuffer, received_getbuffer }, { 0, NULL },
};

static PyType_Spec received_spec = {
    "procession_native._core.Received", sizeof(Received), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, received_slots,
};

/* The large buffer in a block, which is used where it is or copied into private memory. */
static PyObject *receive(PyObject *block, uint64_t size, bool views)
{
    void *start = ((SharedObject *)block)->payload, *copy = NULL;
    uint64_t mapped = 0;
    if (!views && fill_scarce(process_arena, size, __atomic_load_n(&in_place, __ATOMIC_RELAXED))) {
        Py_BEGIN_ALLOW_THREADS
        copy = fill_private_copy(start, size, &mapped);
        Py_END_ALLOW_THREADS
    }
    Received *self = core_alloc(received_type);
    if (self == NULL) {
        if (copy != NULL) fill_private_free(copy, mapped);
        return NULL;
    }
    self->size = (Py_ssize_t)size;
    if (copy != NULL) {
        self->start = copy;
        self->mapped = mapped;
    } else {
        self->start = start;
        self->block = Py_NewRef(block);
        __atomic_fetch_add(&in_place, size, __ATOMIC_RELAXED);
    }
    return (PyObject *)self;
}

/* ---- out ----------------------------------------------------------------------------------------------------------- */

/* A block with the contents of a buffer. */
static PyObject *block_from(const Py_buffer *view)
{
    if (core_ensure() < 0) return NULL;
    struct arena *a = process_arena;
    uint64_t size = view->len ? (uint64_t)view->len : 1;
    bool fresh = false;
    aoff payload = ref_new_raw(a, size, KIND_BLOCK, &fresh);
    if (!payload) return core_raise(AR_NOMEM, "allocating a block");
    PyObject *block = shared_open(KIND_BLOCK, payload);
    if (block == NULL) return NULL;
    void *to = ((SharedObject *)block)->payload;
    int r = AR_OK;
    if (size < ALONE_FROM) {
        memcpy(to, view->buf, (size_t)view->len);
    } else {
        Py_BEGIN_ALLOW_THREADS
        r = fill_payload(a, payload, to, view->buf, (uint64_t)view->len, fresh);
        Py_END_ALLOW_THREADS
    }
    if (r == AR_OK) return block;
    Py_DECREF(block);
    return core_raise(r, "allocating a block");
}

static int put_one(PyObject *buffer, PyObject *refs, char *entry)
{
    Py_buffer view;
    /* In either order: an array in Fortran's is rebuilt from its bytes as they lie. */
    if (PyObject_GetBuffer(buffer, &view, PyBUF_ANY_CONTIGUOUS) < 0) return -1;
    PyObject *block = block_from(&view);
    uint64_t size = (uint64_t)view.len;
    uint32_t kind = KIND_BLOCK, flags = view.readonly ? READ_ONLY : 0;
    PyBuffer_Release(&view);
    if (block == NULL) return -1;
    SharedObject *s = (SharedObject *)block;
    memcpy(entry, &process_arena->id, 8);
    memcpy(entry + 8, &s->offset, 8);
    memcpy(entry + 16, &s->generation, 8);
    memcpy(entry + 24, &kind, 4);
    memcpy(entry + 28, &flags, 4);
    memcpy(entry + 32, &size, 8);
    int done = PyList_Append(refs, block);
    Py_DECREF(block);
    return done;
}

PyObject *beside_put(PyObject *pickle, PyObject *buffers, PyObject *refs)
{
    char *pickled;
    Py_ssize_t length;
    if (PyBytes_AsStringAndSize(pickle, &pickled, &length) < 0) return NULL;
    Py_ssize_t n = PyList_Size(buffers);
    PyObject *data = n < 0 ? NULL : PyBytes_FromStringAndSize(NULL, HEAD_SIZE + n * ENTRY_SIZE + length);
    if (data == NULL) return NULL;
    char *at = PyBytes_AsString(data);
    uint32_t count = (uint32_t)n;
    at[0] = BESIDE_MARK;
    memcpy(at + 1, &count, 4);
    at += HEAD_SIZE;
    for (Py_ssize_t i = 0; i < n; i++, at += ENTRY_SIZE) {
        PyObject *buffer = PyList_GetItem(buffers, i);
        if (buffer == NULL || put_one(buffer, refs, at) < 0) {
            Py_DECREF(data);
            return NULL;
        }
    }
    memcpy(at, pickled, (size_t)length);
    return data;
}

/* ---- in ------------------------------------------------------------------------------------------------------------ */

static PyObject *open_one(const char *entry, bool views)
{
    uint64_t arena_id, offset, generation, size;
    uint32_t kind, flags;
    memcpy(&arena_id, entry, 8);
    memcpy(&offset, entry + 8, 8);
    memcpy(&generation, entry + 16, 8);
    memcpy(&kind, entry + 24, 4);
    memcpy(&flags, entry + 28, 4);
    memcpy(&size, entry + 32, 8);
    struct arena *a = process_arena;
    if (a == NULL) return core_raise(AR_FOREIGN, "opening a buffer of a message");
    int r = kind == KIND_BLOCK ? ref_open(a, arena_id, offset, generation, KIND_BLOCK) : AR_KIND;
    if (r != AR_OK) return core_raise(r, "opening a buffer of a message");
    PyObject *block = shared_open(KIND_BLOCK, offset);
    if (block == NULL) return NULL;
    if (size > block_size(a, offset)) size = block_size(a, offset);
    PyObject *memory = size >= FILL_LARGE ? receive(block, size, views) : Py_NewRef(block);
    Py_DECREF(block);
    PyObject *view = memory == NULL ? NULL : PyMemoryView_FromObject(memory);
    Py_XDECREF(memory);
    if (view != NULL && flags & READ_ONLY) {
        PyObject *fixed = PyObject_CallMethod(view, "toreadonly", NULL);
        Py_DECREF(view);
        view = fixed;
    }
    return view;
}

static PyObject *open_all(const char *entry, uint32_t count, bool views)
{
    PyObject *buffers = PyList_New(0);
    for (uint32_t i = 0; buffers != NULL && i < count; i++, entry += ENTRY_SIZE) {
        PyObject *view = open_one(entry, views);
        if (view == NULL || PyList_Append(buffers, view) < 0) Py_CLEAR(buffers);
        Py_XDECREF(view);
    }
    return buffers;
}

int beside_open(PyObject *data, bool views, PyObject **pickle, PyObject **buffers)
{
    *pickle = *buffers = NULL;
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) return -1;
    const char *start = view.buf;
    uint32_t count = 0;
    if (view.len >= HEAD_SIZE) memcpy(&count, start + 1, 4);
    if (view.len < HEAD_SIZE || start[0] != BESIDE_MARK || (uint64_t)(view.len - HEAD_SIZE) / ENTRY_SIZE < count) {
        PyErr_SetString(PyExc_EOFError, "a message ends before its buffers do");
    } else {
        *buffers = open_all(start + HEAD_SIZE, count, views);
        if (*buffers != NULL) {
            PyObject *whole = PyMemoryView_FromObject(data);
            Py_ssize_t from = HEAD_SIZE + (Py_ssize_t)count * ENTRY_SIZE;
            *pickle = whole == NULL ? NULL : PySequence_GetSlice(whole, from, view.len);
            Py_XDECREF(whole);
        }
    }
    PyBuffer_Release(&view);
    if (*pickle != NULL) return 0;
    Py_CLEAR(*buffers);
    return -1;
}

int procession_add_beside(PyObject *module)
{
    received_type = core_add_type(module, &received_spec, NULL);
    return received_type == NULL ? -1 : 0;
}
