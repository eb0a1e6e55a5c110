/* py_queue_items.c: objects to messages and back.  Exact ints, bools, None, floats, str and bytes travel without a pickle. */
#include "py_queue.h"

#include "fill.h"
#include "frame.h"
#include "py_plain.h"

#include <string.h>

/* ---- out ------------------------------------------------------------------------------------------------------- */

static int small_item(struct outgoing *o, enum queue_tag tag, uint64_t value)
{
    o->small = value;
    o->message.data = &o->small;
    o->message.size = o->message.weight = 8;
    o->message.tag = tag;
    return 0;
}

static int whole(struct outgoing *o, enum queue_tag tag, const char *data, Py_ssize_t size)
{
    o->message.tag = tag;
    o->message.weight = (uint64_t)size;
    if ((uint64_t)size <= QUEUE_INLINE_MAX) {
        o->message.data = data;
        o->message.size = (uint64_t)size;
        return 0;
    }
    struct arena *a = process_arena;
    bool fresh = false;
    o->block = ref_new_raw(a, (uint64_t)size, KIND_BLOCK, &fresh);
    void *to = o->block ? block_map(a, o->block) : NULL;
    if (!to) {
        queue_error(AR_NOMEM);
        return -1;
    }
    int r;
    if ((size_t)size < CORE_COPY_ALONE) {
        r = fill_payload(a, o->block, to, data, (uint64_t)size, fresh);
    } else {
        Py_BEGIN_ALLOW_THREADS
        r = fill_payload(a, o->block, to, data, (uint64_t)size, fresh);
        Py_END_ALLOW_THREADS
    }
    block_unmap(a, o->block, to);
    if (r != AR_OK) {
        queue_error(r);
        return -1;
    }
    o->small = (uint64_t)size;
    o->message.data = &o->small;
    o->message.size = 8;
    o->message.flags |= RECORD_IN_BLOCK;
    /* The payload's block comes first. */
    memmove(o->refs + 1, o->refs, o->message.nrefs * sizeof o->refs[0]);
    o->refs[0] = o->block;
    o->message.nrefs++;
    o->message.refs = o->refs;
    return 0;
}

/* The list of arena objects that a pickle names: directly in the record, or in a parcel. */
static int name_refs(struct outgoing *o, PyObject *list)
{
    Py_ssize_t n = PySequence_Size(list);
    if (n <= 0) return n < 0 ? -1 : 0;
    aoff *all = n <= (Py_ssize_t)QUEUE_DIRECT_REFS ? o->refs : PyMem_Malloc((size_t)n * sizeof *all);
    if (!all) {
        PyErr_NoMemory();
        return -1;
    }
    uint64_t weight = 0;
    int rc = 0;
    for (Py_ssize_t i = 0; rc == 0 && i < n; i++) {
        PyObject *item = PySequence_GetItem(list, i);
        if (!item || !PyObject_TypeCheck(item, shared_type)) {
            if (item) PyErr_Format(PyExc_TypeError, "a message can hold arena objects only, not %R", item);
            rc = -1;
        } else {
            all[i] = ((SharedObject *)item)->offset;
            if (block_kind(process_arena, all[i]) == KIND_BLOCK) weight += block_size(process_arena, all[i]);
        }
        Py_XDECREF(item);
    }
    if (rc == 0 && all != o->refs) {
        o->parcel = parcel_new(process_arena, all, (uint32_t)n);
        o->refs[0] = o->parcel;
        o->message.flags |= RECORD_PARCEL;
        if (!o->parcel) {
            queue_error(AR_NOMEM);
            rc = -1;
        }
        n = 1;
    }
    if (all != o->refs) PyMem_Free(all);
    o->message.refs = o->refs;
    o->message.nrefs = (uint32_t)n;
    o->message.weight += weight;
    return rc;
}

static int packed(struct outgoing *o, PyObject *made)
{
    if (PyBytes_Check(made)) {
        o->bytes = made;
    } else {                                 /* (data, list of arena objects) */
        o->bytes = PySequence_GetItem(made, 0);
        o->shared = o->bytes ? PySequence_GetItem(made, 1) : NULL;
        Py_DECREF(made);
        if (!o->shared || name_refs(o, o->shared) < 0) return -1;
    }
    char *data;
    Py_ssize_t size;
    if (PyBytes_AsStringAndSize(o->bytes, &data, &size) < 0) return -1;
    uint64_t beside = o->message.weight;
    int rc = whole(o, TAG_PICKLE, data, size);
    o->message.weight += beside;
    return rc;
}

/* 1, or 0 for what takes a pickle. */
static int plain(struct outgoing *o, PyObject *obj)
{
    PyTypeObject *type = Py_TYPE(obj);
    int rc;
    if (type == &PyLong_Type) {
        int overflow;
        long long value = PyLong_AsLongLongAndOverflow(obj, &overflow);
        if (overflow) return 0;
        rc = small_item(o, TAG_INT, (uint64_t)value);
    } else if (type == &PyUnicode_Type) {
        Py_ssize_t size;
        const char *text = PyUnicode_AsUTF8AndSize(obj, &size);
        if (!text) {
            PyErr_Clear();                   /* lone surrogates: pickle has a way */
            return 0;
        }
        rc = whole(o, TAG_STR, text, size);
    } else if (type == &PyBytes_Type) {
        rc = whole(o, TAG_BYTES, PyBytes_AsString(obj), PyBytes_Size(obj));
    } else if (obj == Py_None || obj == Py_True || obj == Py_False) {
        rc = small_item(o, TAG_CONST, obj == Py_None ? 0 : obj == Py_True ? 1 : 2);
    } else if (type == &PyFloat_Type) {
        double value = PyFloat_AsDouble(obj);
        uint64_t bits;
        memcpy(&bits, &value, sizeof bits);
        rc = small_item(o, TAG_FLOAT, bits);
    } else {
        return 0;
    }
    return rc < 0 ? -1 : 1;
}

static void begin(struct outgoing *o)
{
    o->message.weight = 0;
    o->message.refs = NULL;
    o->message.nrefs = 0;
    o->message.flags = 0;
    o->block = o->parcel = 0;
    o->bytes = o->shared = NULL;
}

int outgoing_plain(struct outgoing *o, PyObject *obj)
{
    begin(o);
    int rc = plain(o, obj);
    if (rc < 0) outgoing_clear(o);
    return rc;
}

int outgoing_packed(struct outgoing *o, PyObject *made)
{
    int rc = packed(o, made);
    if (rc < 0) outgoing_clear(o);
    return rc;
}

int outgoing_whole(struct outgoing *o, enum queue_tag tag, const char *data, Py_ssize_t size)
{
    begin(o);
    int rc = whole(o, tag, data, size);
    if (rc < 0) outgoing_clear(o);
    return rc;
}

int outgoing_make(struct outgoing *o, PyObject *obj)
{
    int rc = outgoing_plain(o, obj);
    if (rc != 0) return rc < 0 ? -1 : 0;
    if (!queue_hooks.pack) return core_fail(PyExc_RuntimeError, "bind_queue() was not called: import procession_queues");
    PyObject *made = PyObject_CallFunctionObjArgs(queue_hooks.pack, obj, NULL);
    return made ? outgoing_packed(o, made) : -1;
}

void outgoing_clear(struct outgoing *o)
{
    if (o->block) ref_close(process_arena, o->block);
    if (o->parcel) ref_close(process_arena, o->parcel);
    Py_XDECREF(o->bytes);
    Py_XDECREF(o->shared);
    o->block = o->parcel = 0;
    o->bytes = o->shared = NULL;
}

/* ---- in -------------------------------------------------------------------------------------------------------- */

/* A pickle begins with 0x80; anything else is for procession_shm to take apart. */
static PyObject *load(uint8_t tag, const char *data, size_t size, const struct queue_hooks *hooks, bool in_block)
{
    PyObject *loads = tag == TAG_RAW || (size && (unsigned char)data[0] == 0x80) ? hooks->loads : hooks->unpack;
    if (!loads) return PyErr_Format(PyExc_RuntimeError, "bind_queue() was not called: import procession_queues");
    PyObject *simple = loads == hooks->loads ? plain_unpickle(data, size) : NULL;
    if (simple) return simple;
    /* Loading copies what it keeps. */
    PyObject *from = in_block && loads == hooks->loads ? PyMemoryView_FromMemory((char *)data, (Py_ssize_t)size, PyBUF_READ)
                                                       : PyBytes_FromStringAndSize(data, (Py_ssize_t)size);
    PyObject *obj = from ? PyObject_CallFunctionObjArgs(loads, from, NULL) : NULL;
    Py_XDECREF(from);
    return obj;
}

PyObject *incoming_bytes(const char *data, size_t size)
{
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    if (!bytes) return NULL;
    frame_prepare(PyBytes_AsString(bytes), size);
    core_copy(PyBytes_AsString(bytes), data, size);
    return bytes;
}

static PyObject *decode(uint8_t tag, const char *data, size_t size, const struct queue_hooks *hooks, bool in_block)
{
    switch (tag) {
    case TAG_INT:
        return PyLong_FromLongLong((long long)word_at(data));
    case TAG_CONST: {
        PyObject *value = word_at(data) == 0 ? Py_None : word_at(data) == 1 ? Py_True : Py_False;
        Py_INCREF(value);
        return value;
    }
    case TAG_FLOAT: {
        double value;
        memcpy(&value, data, sizeof value);
        return PyFloat_FromDouble(value);
    }
    case TAG_STR:
        return PyUnicode_DecodeUTF8(data, (Py_ssize_t)size, NULL);
    case TAG_BYTES:
        return incoming_bytes(data, size);
    default:
        return load(tag, data, size, hooks, in_block);
    }
}

PyObject *incoming_make(const char *record, const struct queue_hooks *hooks)
{
    uint64_t head = word_at(record);
    uint32_t n = record_nrefs(head);
    const char *payload = record + 8 + 8 * (size_t)n;
    if (__builtin_expect(n == 0, 1)) return decode(record_tag(head), payload, record_length(head), hooks, false);
    struct arena *a = process_arena;
    PyObject *obj = NULL;
    if (record_flags(head) & RECORD_IN_BLOCK) {
        aoff block = word_at(record + 8);
        const char *data = block_map(a, block);
        if (data) {
            obj = decode(record_tag(head), data, (size_t)word_at(payload), hooks, true);
            block_unmap(a, block, (void *)data);
        } else {
            PyErr_NoMemory();
        }
    } else {
        obj = decode(record_tag(head), payload, record_length(head), hooks, false);
    }
    taken_release_refs(a, record);
    return obj;
}
