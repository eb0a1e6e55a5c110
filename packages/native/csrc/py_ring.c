/* py_ring.c: what the connections of a Pipe call: Pipe, the record that both ends share, and PipeEnd, one connection's
 * view of it.  Waiting on many: py_ring_wait.c. */
#define _GNU_SOURCE
#include "py_queue.h"
#include "py_plain.h"
#include "py_ring_end.h"
#include "py_stream.h"

#include <errno.h>
#include <string.h>

#define PIPE_BYTES (1u << 20)                    /* how much may be on its way in one direction */
#define LARGEST ((Py_ssize_t)128 << 20)          /* larger messages would take memory that is used once: the descriptor carries them */
#define MESSAGE_WEIGHT 64                        /* what a message weighs beside its bytes: many empty ones are a load too */

PyTypeObject *pipe_end_type;
static PyTypeObject *pipe_type;
static struct queue_hooks hooks;                 /* pack: for ends that carry no descriptors */
static PyObject *pack_beside;

/* ---- errors ---------------------------------------------------------------------------------------------------- */

static PyObject *failure(int rc, int error)
{
    switch (rc) {
    case AR_PEER_DIED:
        PyErr_SetNone(PyExc_EOFError);
        return NULL;
    case AR_BROKEN:
        errno = EPIPE;
        return PyErr_SetFromErrno(PyExc_OSError);
    case AR_SYS:
        errno = error;
        return PyErr_SetFromErrno(PyExc_OSError);
    default:
        return core_raise(rc, "the pipe");
    }
}

static struct ring *way(struct ring *r)
{
    if (!r) PyErr_SetString(PyExc_ValueError, "this end does not go that way");
    return r;
}

/* ---- out ------------------------------------------------------------------------------------------------------- */

/* 0; -1 with BrokenPipeError when nobody can read any more. */
static int somebody_reads(PipeEndObject *self)
{
    struct ring *r = self->out;
    uint32_t closed = SH_PEEK(&r->closed);
    uint64_t now = clock_ns();
    if (now - self->asked < RING_ASK_NS && closed == self->closed && core_events == self->events) return 0;
    uint32_t events = core_events;
    int gone = ring_gone(self->fd);
    if (gone) {
        failure(gone < 0 ? AR_SYS : AR_BROKEN, errno);
        return -1;
    }
    self->asked = now;
    self->closed = closed;
    self->events = events;
    return 0;
}

static PyObject *leave_ring(PipeEndObject *self)
{
    bool left;
    int rc = ring_leave(process_arena, self->out, self->fd, self->kind, false, &left);
    return rc == AR_OK ? Py_NewRef(Py_False) : failure(rc, 0);
}

/* True: sent; False: it has to go through the descriptor; NULL. */
static PyObject *put(PipeEndObject *self, struct outgoing *o)
{
    struct arena *a = process_arena;
    struct ring *r = self->out;
    int error = 0, rc = somebody_reads(self) < 0 ? AR_SYS : AR_OK;
    if (rc == AR_OK) {
        o->message.weight += MESSAGE_WEIGHT;
        rc = ring_try_send(a, r, self->fd, self->kind, &o->message);
        while (rc == AR_BUSY || rc == AR_FULL || rc == AR_INTR) {
            Py_BEGIN_ALLOW_THREADS
            rc = ring_send(a, r, self->fd, self->kind, &o->message);
            error = errno;
            Py_END_ALLOW_THREADS
            if (rc == AR_INTR && PyErr_CheckSignals() < 0) break;
        }
    }
    outgoing_clear(o);
    if (rc == AR_OK) Py_RETURN_TRUE;
    if (PyErr_Occurred()) return NULL;
    if (rc == AR_NOMEM) return leave_ring(self);         /* the descriptor needs no memory of ours */
    if (rc == AR_SHUTDOWN) Py_RETURN_FALSE;
    return failure(rc, error);
}

/* Piece by piece: as put(). */
static PyObject *put_stream(PipeEndObject *self, const char *data, size_t size, enum queue_tag tag)
{
    struct stream *s;
    aoff block = stream_make(size, tag, &s);
    if (!block) return leave_ring(self);
    struct outgoing o = { .message = { .data = &o.small, .size = 8, .weight = 8, .refs = o.refs, .nrefs = 1, .tag = TAG_STREAM } };
    o.refs[0] = block;
    PyObject *sent = put(self, &o);
    if (sent == Py_True && stream_send(self, block, s, data) < 0) Py_CLEAR(sent);
    stream_end(block, s);
    return sent;
}

static bool too_large(PyObject *obj)
{
    return (PyBytes_CheckExact(obj) && PyBytes_Size(obj) > LARGEST) || (PyUnicode_CheckExact(obj) && PyUnicode_GetLength(obj) > LARGEST);
}

static PyObject *end_send(PipeEndObject *self, PyObject *obj)
{
    struct outgoing o;
    if (!way(self->out)) return NULL;
    if (too_large(obj)) return leave_ring(self);
    if (PyBytes_CheckExact(obj) && stream_worth(self, (size_t)PyBytes_Size(obj)))
        return put_stream(self, PyBytes_AsString(obj), (size_t)PyBytes_Size(obj), TAG_BYTES);
    int made = outgoing_plain(&o, obj);
    if (made < 0) return NULL;
    struct plain simple;
    if (made == 0 && plain_pickle(&simple, obj)) {
        if (outgoing_whole(&o, TAG_PICKLE, simple.data, (Py_ssize_t)simple.size) < 0) return NULL;
    } else if (made == 0) {
        PyObject *pack = self->kind >= FRAME_UNIX ? pack_beside : hooks.pack;
        PyObject *packed = pack ? PyObject_CallFunctionObjArgs(pack, obj, NULL) : NULL;
        if (!packed) {
            if (!pack) PyErr_SetString(PyExc_RuntimeError, "bind_pipe() was not called: import procession_connection");
            return NULL;
        }
        if (PyTuple_Check(packed) && PyTuple_Size(packed) == 3) return packed;   /* descriptors */
        if (PyBytes_Check(packed) && PyBytes_Size(packed) > LARGEST) {
            return Py_BuildValue("(N[][])", packed);
        }
        if (PyBytes_Check(packed) && stream_worth(self, (size_t)PyBytes_Size(packed))) {
            PyObject *sent = put_stream(self, PyBytes_AsString(packed), (size_t)PyBytes_Size(packed), TAG_PICKLE);
            Py_DECREF(packed);
            return sent;
        }
        if (outgoing_packed(&o, packed) < 0) return NULL;
    }
    return put(self, &o);
}

static PyObject *end_send_bytes(PipeEndObject *self, PyObject *data)
{
    struct outgoing o;
    Py_buffer view;
    if (!way(self->out) || PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) return NULL;
    PyObject *result = NULL;
    if (view.len > LARGEST) {
        result = leave_ring(self);
    } else if (stream_worth(self, (size_t)view.len)) {
        result = put_stream(self, view.buf, (size_t)view.len, TAG_RAW);
    } else if (outgoing_whole(&o, TAG_RAW, view.buf, view.len) == 0) {
        result = put(self, &o);
    } else if (PyErr_ExceptionMatches(PyExc_MemoryError)) {
        PyErr_Clear();
        result = leave_ring(self);
    }
    PyBuffer_Release(&view);
    return result;
}

/* ---- in -------------------------------------------------------------------------------------------------------- */

/* 1: a message is in *out; 0: nothing is left, read the descriptor; -1 with an exception. */
static int take(PipeEndObject *self, struct taken *out)
{
    struct arena *a = process_arena;
    int error = 0, rc = queue_try_take(a, &self->in->q, out, 1);
    while (rc == AR_BUSY || rc == AR_EMPTY || rc == AR_SHUTDOWN || rc == AR_INTR) {
        Py_BEGIN_ALLOW_THREADS
        rc = ring_take(a, self->in, self->fd, self->kind, out);
        error = errno;
        Py_END_ALLOW_THREADS
        if (rc == AR_INTR && PyErr_CheckSignals() < 0) return -1;
        if (rc != AR_INTR) break;
    }
    if (rc == AR_OK) return 1;
    if (rc == AR_SHUTDOWN) return 0;
    core_events++;
    failure(rc, error);
    return -1;
}

static bool is_stream(const char *record) { return record_tag(word_at(record)) == TAG_STREAM; }

static PyObject *from_stream(const char *record, bool object, Py_ssize_t limit, Py_buffer *into)
{
    const struct stream_want want = { object, limit, into, hooks.loads };
    PyObject *result = stream_receive(word_at(record + 8), &want);
    taken_release_refs(process_arena, record);
    return result;
}

/* The references that a message took, as objects; they are ours already. */
static PyObject *objects_of(const char *record, uint32_t first)
{
    uint32_t n = record_nrefs(word_at(record));
    PyObject *list = PyList_New(0);
    for (uint32_t i = 0; i < n; i++) {
        aoff payload = word_at(record + 8 + 8 * (size_t)i);
        if (i < first || !list) {
            ref_close(process_arena, payload);
            continue;
        }
        PyObject *object = shared_open(block_kind(process_arena, payload), payload);
        if (!object || PyList_Append(list, object) < 0) Py_CLEAR(list);
        Py_XDECREF(object);
    }
    return list;
}

/* The bytes of a message: an object where it is no bytes; into: an int, the length of what was written there. */
static PyObject *bytes_of(const char *record, Py_ssize_t limit, Py_buffer *into)
{
    struct arena *a = process_arena;
    uint64_t head = word_at(record);
    uint32_t n = record_nrefs(head);
    uint8_t tag = record_tag(head);
    if (tag != TAG_RAW && tag != TAG_PICKLE) {
        PyObject *obj = incoming_make(record, &hooks), *one = obj ? PyTuple_Pack(1, obj) : NULL;
        Py_XDECREF(obj);
        return one;
    }
    const char *data = record + 8 + 8 * (size_t)n;
    size_t size = record_length(head);
    bool in_block = record_flags(head) & RECORD_IN_BLOCK;
    aoff block = in_block ? word_at(record + 8) : 0;
    char *mapped = NULL;
    if (in_block) {
        size = (size_t)word_at(data);
        data = mapped = block_map(a, block);
    }
    PyObject *result = NULL;
    if (!data) PyErr_NoMemory();
    else if (limit >= 0 && size > (uint64_t)limit) result = Py_NewRef(Py_None);
    else if (into && n == (in_block ? 1u : 0u) && size <= (size_t)into->len && (tag == TAG_RAW || (size && data[0] == (char)0x80))) {
        core_copy(into->buf, data, size);
        result = PyLong_FromSize_t(size);
    } else result = incoming_bytes(data, size);
    if (mapped) block_unmap(a, block, mapped);
    bool beside = tag == TAG_PICKLE && (n > (in_block ? 1u : 0u) || (size && data[0] != (char)0x80));
    if (!beside || !result || result == Py_None) {
        taken_release_refs(a, record);
        return result;
    }
    PyObject *objects = objects_of(record, in_block ? 1 : 0);
    PyObject *both = objects ? PyTuple_Pack(2, result, objects) : NULL;
    Py_XDECREF(objects);
    Py_DECREF(result);
    return both;
}

static PyObject *receive(PipeEndObject *self, bool object, Py_ssize_t limit, Py_buffer *into)
{
    if (!way(self->in)) return NULL;
    uint64_t buffer[160];
    struct taken out = TAKEN_ON(buffer);
    int got = take(self, &out);
    PyObject *result = NULL;
    if (got == 0) result = Py_NewRef((PyObject *)self);
    else if (got > 0 && is_stream(out.data)) result = from_stream(out.data, object, limit, into);
    else if (got > 0) result = object ? incoming_make(out.data, &hooks) : bytes_of(out.data, limit, into);
    taken_free(&out);
    return result;
}

static PyObject *end_recv(PipeEndObject *self, PyObject *Py_UNUSED(ignored)) { return receive(self, true, -1, NULL); }

static PyObject *end_recv_bytes(PipeEndObject *self, PyObject *limit)
{
    Py_ssize_t most = PyLong_AsSsize_t(limit);
    if (most == -1 && PyErr_Occurred()) return NULL;
    return receive(self, false, most, NULL);
}

static PyObject *end_recv_into(PipeEndObject *self, PyObject *buffer)
{
    Py_buffer view;
    if (PyObject_GetBuffer(buffer, &view, PyBUF_WRITABLE) < 0) return NULL;
    PyObject *result = receive(self, false, -1, &view);
    PyBuffer_Release(&view);
    return result;
}

static PyObject *end_poll(PipeEndObject *self, PyObject *timeout)
{
    if (!way(self->in)) return NULL;
    struct arena *a = process_arena;
    if (ring_look(a, self->in) == AR_OK) Py_RETURN_TRUE;
    uint64_t deadline;
    if (core_deadline(timeout, &deadline) < 0) return NULL;
    int rc, error = 0;
    do {
        Py_BEGIN_ALLOW_THREADS
        rc = ring_wait(a, self->in, self->fd, self->kind, deadline);
        error = errno;
        Py_END_ALLOW_THREADS
        if (rc == AR_INTR && PyErr_CheckSignals() < 0) return NULL;
    } while (rc == AR_INTR);
    core_events++;
    if (rc == AR_SHUTDOWN) return Py_NewRef((PyObject *)self);
    if (rc == AR_OK || rc == AR_PEER_DIED) Py_RETURN_TRUE;
    if (rc == AR_TIMEOUT) Py_RETURN_FALSE;
    return failure(rc, error);
}

/* ---- the descriptor -------------------------------------------------------------------------------------------- */

static PyObject *end_leave(PipeEndObject *self, PyObject *args)
{
    int in = 1, out = 1;
    bool left = false, ignored;
    if (!PyArg_ParseTuple(args, "|pp:leave", &in, &out)) return NULL;
    int rc = AR_OK;
    if (out && self->out) rc = ring_leave(process_arena, self->out, self->fd, self->kind, false, &ignored);
    if (rc == AR_OK && in && self->in) rc = ring_leave(process_arena, self->in, self->fd, self->kind, true, &left);
    if (rc == AR_OK) return PyBool_FromLong(left);
    return PyErr_Format(PyExc_TimeoutError, "the pipe's lock is held by a process that is stopped (SIGSTOP)");
}

static PyObject *end_has(PipeEndObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(self->in && ring_look(process_arena, self->in) == AR_OK);
}

static PyObject *end_closed(PipeEndObject *self, PyObject *Py_UNUSED(ignored))
{
    if (self->in) ring_closed(self->in);
    Py_RETURN_NONE;
}

/* ---- types ----------------------------------------------------------------------------------------------------- */

static void end_dealloc(PipeEndObject *self)
{
    Py_XDECREF(self->pipe);
    core_free(self);
}

static PyMethodDef end_methods[] = {
    { "send", (PyCFunction)end_send, METH_O,
      "send(obj)\n--\n\nTrue: sent; False: the descriptor has to carry it; a tuple of what pack_beside() gave if it names descriptors.\n"
      "Blocks while there is no room." },
    { "send_bytes", (PyCFunction)end_send_bytes, METH_O, "send_bytes(data)\n--\n\nTrue: sent; False: the descriptor has to carry it." },
    { "recv", (PyCFunction)end_recv, METH_NOARGS,
      "recv()\n--\n\nThe next object; this PipeEnd itself if nothing is left here and the descriptor has to be read.  Blocks." },
    { "recv_bytes", (PyCFunction)end_recv_bytes, METH_O,
      "recv_bytes(limit)\n--\n\nThe bytes of the next message; None: more than limit (-1: no limit); (obj,): an object that went without\n"
      "a pickle; (data, objects): the arena objects that it names; this PipeEnd: read the descriptor." },
    { "recv_into", (PyCFunction)end_recv_into, METH_O,
      "recv_into(buffer)\n--\n\nThe length of the next message, which was copied into the buffer; otherwise as recv_bytes(-1)." },
    { "poll", (PyCFunction)end_poll, METH_O,
      "poll(timeout)\n--\n\nWhether something can be received within timeout seconds (None: for ever); this PipeEnd: ask the descriptor." },
    { "leave", (PyCFunction)end_leave, METH_VARARGS,
      "leave(incoming=True, outgoing=True)\n--\n\nAll later messages go through the descriptor; True: some that came before are left to be read here." },
    { "has", (PyCFunction)end_has, METH_NOARGS, "has()\n--\n\nWhether a message is here." },
    { "closed", (PyCFunction)end_closed, METH_NOARGS, "closed()\n--\n\nTell senders that a descriptor was closed." },
    { NULL, NULL, 0, NULL },
};
static PyType_Slot end_slots[] = {
    { Py_tp_doc, "One connection of a pipe." }, { Py_tp_dealloc, end_dealloc }, { Py_tp_methods, end_methods },
    { 0, NULL },
};
static PyType_Spec end_spec = {
    "procession_native._core.PipeEnd", sizeof(PipeEndObject), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, end_slots,
};

static PyObject *pipe_tp_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    unsigned long long most = PIPE_BYTES;
    if (core_no_keywords("Pipe", kwargs) < 0 || !PyArg_ParseTuple(args, "|K:Pipe", &most)) return NULL;
    if (core_ensure() < 0) return NULL;
    aoff payload = pipe_new(process_arena, most);
    if (!payload) return core_raise(AR_NOMEM, "making a pipe");
    return shared_wrap(type, payload);
}

static PyObject *pipe_end(PyObject *self, PyObject *args)
{
    int side, fd, kind, reads, writes;
    if (!PyArg_ParseTuple(args, "iiipp:end", &side, &fd, &kind, &reads, &writes)) return NULL;
    if (side < 0 || side > 1 || fd < 0 || kind < FRAME_PIPE || kind > FRAME_PACKET)
        return PyErr_Format(PyExc_ValueError, "end(): side %d, descriptor %d of kind %d", side, fd, kind);
    struct pipe *p = ((SharedObject *)self)->payload;
    PipeEndObject *end = core_alloc(pipe_end_type);
    if (!end) return NULL;
    end->pipe = Py_NewRef(self);
    end->in = reads ? &p->way[side] : NULL;
    end->out = writes ? &p->way[1 - side] : NULL;
    end->fd = fd;
    end->kind = (enum frame_kind)kind;
    return (PyObject *)end;
}

static PyMethodDef pipe_methods[] = {
    { "end", pipe_end, METH_VARARGS,
      "end(side, fd, kind, reads, writes)\n--\n\nThe view of a connection to the first (0) or second (1) end, whose descriptor is fd." },
    { NULL, NULL, 0, NULL },
};
static PyType_Slot pipe_slots[] = {
    { Py_tp_doc, "Pipe(maxbytes=1048576)\n--\n\nWhat the two ends of a pipe share: a bag, and the messages of both ways." },
    { Py_tp_new, pipe_tp_new }, { Py_tp_dealloc, shared_dealloc }, { Py_tp_methods, pipe_methods }, { 0, NULL },
};
static PyType_Spec pipe_spec = { "procession_native._core.Pipe", sizeof(SharedObject), 0, Py_TPFLAGS_DEFAULT, pipe_slots };

PyDoc_STRVAR(bind_doc,
"bind_pipe(pack, pack_beside, unpack, loads)\n--\n\n"
"Tell the core how to pickle, as bind_queue() does.  pack_beside is for ends whose descriptor carries descriptors: it gives\n"
"(message, refs, descriptors) where the object names some.");
static PyObject *bind_pipe(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *pack, *beside, *unpack, *loads;
    if (!PyArg_ParseTuple(args, "OOOO", &pack, &beside, &unpack, &loads)) return NULL;
    core_keep(&hooks.pack, pack);
    core_keep(&hooks.unpack, unpack);
    core_keep(&hooks.loads, loads);
    core_keep(&pack_beside, beside);
    Py_RETURN_NONE;
}
static PyMethodDef functions[] = {
    { "bind_pipe", bind_pipe, METH_VARARGS, bind_doc },
    { "pipe_wait", CORE_FAST(pipe_wait), METH_FASTCALL, pipe_wait_doc },
    { NULL, NULL, 0, NULL },
};

int procession_add_ring(PyObject *module)
{
    ring_setup();
    pipe_end_type = core_add_type(module, &end_spec, NULL);
    pipe_type = core_add_type(module, &pipe_spec, bag_type);
    if (!pipe_end_type || !pipe_type) return -1;
    shared_register(KIND_PIPE, pipe_type, NULL);
    return PyModule_AddFunctions(module, functions);
}
