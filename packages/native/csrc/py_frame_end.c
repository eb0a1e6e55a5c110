/* py_frame_end.c: FrameEnd, the descriptor of a connection between a Listener and a Client: objects in one call each way.
 *
 * What takes more than a look at the bytes is left to Python: recv() returns the FrameEnd itself then, and rest() the message.
 *
 * GUESSING.  A receive from a stream asks for as many bytes as the last message had, so that messages of equal length, and longer ones,
 * never bring along a byte of the next.  If one does, ahead.h keeps it.  It stops for good when the descriptor may have got another
 * reader: somebody asked for it, or this process has forked.  A child finds what was received before, and while it was forked, in `ahead`. */
#include "py_frame.h"
#include "ahead.h"
#include "py_plain.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    PyObject_HEAD
    int fd;
    enum frame_kind kind;
    bool loads;                                  /* pickles that name nothing special are loaded here */
    bool fds;                                    /* descriptors may come beside a message */
    bool guessing;
    uint32_t forks;
    size_t guess;
    struct ahead *ahead;
    int shared;                                  /* the descriptor of its memory file, or -1 */
    PyObject *rest;
} FrameEndObject;

static PyTypeObject *frame_end_type;
static PyObject *hook_loads, *hook_names, *hook_magic;
static uint32_t forks;

static void count_fork(void) { forks++; }

static bool may_guess(FrameEndObject *self)
{
    if (!self->guessing) return false;
    if (self->forks == forks) {
        if (self->guess == 0) return false;      /* nothing to go by */
        if (self->ahead || (self->ahead = ahead_new())) return true;
    }
    return self->guessing = false;
}

/* FRAME_OK: a frame has begun; else with an exception. */
static int begin(FrameEndObject *self, struct frame_in *in, bool fds)
{
    frame_in_init(in, self->fd, self->kind, fds && self->fds);
    if (may_guess(self)) in->guess = self->guess;
    in->ahead = self->ahead;
    int status = frame_read_head(in);
    if (status == FRAME_OK) self->guess = in->size <= AHEAD_ROOM - 4 ? 4 + (size_t)in->size : 0;
    return status;
}

static bool contains(const char *data, size_t size, PyObject *word)
{
    const char *wanted = PyBytes_AsString(word), *end = data + size;
    size_t length = (size_t)PyBytes_Size(word);
    while ((size_t)(end - data) >= length) {
        const char *found = memchr(data, wanted[0], (size_t)(end - data) - length + 1);
        if (!found) return false;
        if (memcmp(found, wanted, length) == 0) return true;
        data = found + 1;
    }
    return false;
}

static bool begins(const char *data, size_t size, PyObject *word)
{
    size_t length = (size_t)PyBytes_Size(word);
    return size >= length && memcmp(data, PyBytes_AsString(word), length) == 0;
}

/* -- objects -------------------------------------------------------------------------------------------------- */

static PyObject *end_recv(FrameEndObject *self, PyObject *Py_UNUSED(ignored))
{
    struct frame_in in;
    PyObject *message = NULL, *fds = NULL, *result = NULL;
    if (begin(self, &in, true) != FRAME_OK) goto out;
    if (self->loads && in.start_size == in.size && in.fd_count == 0) {
        result = plain_unpickle(in.start, (size_t)in.size);
        if (result) return result;
    }
    message = frame_read_whole(&in);
    if (!message) goto out;
    const char *data = PyBytes_AsString(message);
    size_t size = (size_t)in.size;
    if (self->loads && in.fd_count == 0 && !begins(data, size, hook_magic) && !contains(data, size, hook_names)) {
        result = PyObject_CallFunctionObjArgs(hook_loads, message, NULL);
        goto out;
    }
    fds = in.fd_count ? core_fd_list(in.fds, in.fd_count) : Py_NewRef(Py_None);
    PyObject *rest = fds ? PyTuple_Pack(2, message, fds) : NULL;
    if (!rest) goto out;
    in.fd_count = 0;                             /* the list has them */
    Py_XDECREF(self->rest);
    self->rest = rest;
    result = Py_NewRef((PyObject *)self);
out:
    frame_drop_fds(&in);
    Py_XDECREF(message);
    Py_XDECREF(fds);
    return result;
}

static PyObject *end_rest(FrameEndObject *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *rest = self->rest;
    self->rest = NULL;
    return rest ? rest : Py_NewRef(Py_None);
}

static PyObject *end_send(FrameEndObject *self, PyObject *obj)
{
    struct plain plain;
    if (!plain_pickle(&plain, obj)) Py_RETURN_FALSE;
    struct frame_out out;
    frame_out_init(&out, self->fd, self->kind, plain.data, plain.size);
    if (frame_write_out(&out) < 0) return NULL;
    Py_RETURN_TRUE;
}

/* -- bytes ---------------------------------------------------------------------------------------------------- */

static PyObject *end_recv_bytes(FrameEndObject *self, PyObject *limit)
{
    Py_ssize_t most = PyLong_AsSsize_t(limit);
    if (most == -1 && PyErr_Occurred()) return NULL;
    struct frame_in in;
    return begin(self, &in, false) == FRAME_OK ? frame_read_most(&in, most) : NULL;
}

static PyObject *end_recv_into(FrameEndObject *self, PyObject *buffer)
{
    Py_buffer view;
    if (PyObject_GetBuffer(buffer, &view, PyBUF_WRITABLE) < 0) return NULL;
    struct frame_in in;
    PyObject *result = begin(self, &in, false) == FRAME_OK ? frame_read_into(&in, &view) : NULL;
    PyBuffer_Release(&view);
    return result;
}

static PyObject *end_poll(FrameEndObject *self, PyObject *timeout)
{
    if (ahead_count(self->ahead)) Py_RETURN_TRUE;
    return frame_readable(self->fd, timeout);
}

/* -- the descriptor ------------------------------------------------------------------------------------------- */

static PyObject *end_leave(FrameEndObject *self, PyObject *Py_UNUSED(ignored))
{
    self->guessing = false;
    return PyBool_FromLong(ahead_count(self->ahead) != 0);
}

static PyObject *end_has(FrameEndObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(ahead_count(self->ahead) != 0);
}

static PyObject *end_take(FrameEndObject *self, PyObject *most)
{
    char data[AHEAD_ROOM];
    Py_ssize_t size = PyLong_AsSsize_t(most);
    if (size == -1 && PyErr_Occurred()) return NULL;
    size_t got = size > 0 && self->ahead ? ahead_take(self->ahead, data, (size_t)size < sizeof data ? (size_t)size : sizeof data) : 0;
    return PyBytes_FromStringAndSize(data, (Py_ssize_t)got);
}

static PyObject *end_share(FrameEndObject *self, PyObject *Py_UNUSED(ignored))
{
    if (!ahead_count(self->ahead)) Py_RETURN_NONE;
    if (self->shared < 0) self->shared = ahead_share(self->ahead);
    return self->shared < 0 ? PyErr_SetFromErrno(PyExc_OSError) : PyLong_FromLong(self->shared);
}

/* -- the type ------------------------------------------------------------------------------------------------- */

PyDoc_STRVAR(end_doc,
"FrameEnd(fd, kind, loads, fds, guessing, ahead=-1)\n--\n\n"
"The descriptor of a connection, which stays the caller's.  loads: objects are made here; else recv() leaves all to Python.  fds: descriptors\n"
"may come along.  guessing: nobody else reads the stream.  ahead: a descriptor that share() gave.");
static PyObject *end_tp_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    int fd, kind, loads, fds, guessing, ahead = -1;
    if (core_no_keywords("FrameEnd", kwargs) < 0) return NULL;
    if (!PyArg_ParseTuple(args, "iippp|i:FrameEnd", &fd, &kind, &loads, &fds, &guessing, &ahead)) return NULL;
    if (fd < 0 || kind < FRAME_PIPE || kind > FRAME_PACKET)
        return PyErr_Format(PyExc_ValueError, "FrameEnd(): descriptor %d of kind %d", fd, kind);
    if (!hook_loads) return PyErr_Format(PyExc_RuntimeError, "bind_frame_end() was not called: import procession_connection");
    FrameEndObject *self = core_alloc(type);
    if (!self) return NULL;
    self->fd = fd;
    self->kind = (enum frame_kind)kind;
    self->loads = loads;
    self->fds = fds;
    self->guessing = guessing && kind == FRAME_STREAM;
    self->forks = forks;
    self->shared = -1;
    if (ahead >= 0 && !(self->ahead = ahead_open(ahead))) {
        PyErr_SetFromErrno(PyExc_OSError);
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

static void end_dealloc(FrameEndObject *self)
{
    ahead_free(self->ahead);
    if (self->shared >= 0) close(self->shared);
    Py_XDECREF(self->rest);
    core_free(self);
}

static PyMethodDef end_methods[] = {
    { "send", (PyCFunction)end_send, METH_O, "send(obj)\n--\n\nWrite a small plain value: True.  False, with nothing written, if obj is none." },
    { "recv", (PyCFunction)end_recv, METH_NOARGS,
      "recv()\n--\n\nThe next object; this FrameEnd itself where Python has to look at the message, which rest() gives then." },
    { "rest", (PyCFunction)end_rest, METH_NOARGS, "rest()\n--\n\n(message, descriptors or None), once; None." },
    { "recv_bytes", (PyCFunction)end_recv_bytes, METH_O, "recv_bytes(limit)\n--\n\nThe next message; None if it is longer than limit (-1: no limit)." },
    { "recv_into", (PyCFunction)end_recv_into, METH_O,
      "recv_into(buffer)\n--\n\nThe length of the next message, which is in the buffer now; the message if it does not fit." },
    { "poll", (PyCFunction)end_poll, METH_O, "poll(timeout)\n--\n\nWhether something can be received within timeout seconds (None: for ever)." },
    { "leave", (PyCFunction)end_leave, METH_NOARGS,
      "leave()\n--\n\nFrom now on others may read the descriptor; True: some bytes that came before are here." },
    { "has", (PyCFunction)end_has, METH_NOARGS, "has()\n--\n\nWhether bytes of the stream are here." },
    { "take", (PyCFunction)end_take, METH_O, "take(most)\n--\n\nAt most so many of these bytes." },
    { "share", (PyCFunction)end_share, METH_NOARGS,
      "share()\n--\n\nA descriptor of this object's by which another process finds these bytes; None if there are none.\nWhoever takes them first has them." },
    { NULL, NULL, 0, NULL },
};
static PyType_Slot end_slots[] = {
    { Py_tp_doc, (void *)end_doc }, { Py_tp_new, end_tp_new }, { Py_tp_dealloc, end_dealloc },
    { Py_tp_methods, end_methods }, { 0, NULL },
};
static PyType_Spec end_spec = { "procession_native._core.FrameEnd", sizeof(FrameEndObject), 0, Py_TPFLAGS_DEFAULT, end_slots };

static PyObject *bind_frame_end(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *loads, *names, *magic;
    if (!PyArg_ParseTuple(args, "OSS:bind_frame_end", &loads, &names, &magic)) return NULL;
    core_keep(&hook_loads, loads);
    core_keep(&hook_names, names);
    core_keep(&hook_magic, magic);
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    { "bind_frame_end", bind_frame_end, METH_VARARGS,
      "bind_frame_end(loads, names, magic)\n--\n\nTell the core what loads a pickle, and the bytes in, or at the beginning of, those that Python looks at." },
    { NULL, NULL, 0, NULL },
};

int procession_add_frame_end(PyObject *module)
{
    static bool watching;
    if (!watching && pthread_atfork(NULL, count_fork, count_fork) == 0) watching = true;
    frame_end_type = core_add_type(module, &end_spec, NULL);
    return frame_end_type ? PyModule_AddFunctions(module, functions) : -1;
}
