/* py_frame.c: frames, poll and wait for Python.  The descriptor and the kind come with each call; no state is kept. */
#define _GNU_SOURCE
#include "py_arena.h"
#include "py_frame.h"
#include "py_plain.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* 0 to call again, -1 with an exception. */
static int after_failure(int status)
{
    switch (status) {
    case FRAME_ERRNO:
        if (errno == EINTR) return PyErr_CheckSignals();
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    case FRAME_END: PyErr_SetNone(PyExc_EOFError); return -1;
    case FRAME_CUT: PyErr_SetString(PyExc_OSError, "got end of file during message"); return -1;
    default:
        PyErr_SetString(PyExc_OSError, "bad message length: the other end does not speak this protocol, or two processes "
                        "have read from this connection at once");
        return -1;
    }
}

static int arguments(PyObject *const *args, Py_ssize_t count, Py_ssize_t wanted, const char *name, int *fd, int *kind)
{
    if (count != wanted) {
        PyErr_Format(PyExc_TypeError, "%s() takes %zd arguments, not %zd", name, wanted, count);
        return -1;
    }
    long first = PyLong_AsLong(args[0]), second = PyLong_AsLong(args[1]);
    if ((first == -1 || second == -1) && PyErr_Occurred()) return -1;
    if (first < 0 || first > INT_MAX || second < FRAME_PIPE || second > FRAME_PACKET) {
        PyErr_Format(PyExc_ValueError, "%s(): descriptor %ld of kind %ld", name, first, second);
        return -1;
    }
    *fd = (int)first;
    *kind = (int)second;
    return 0;
}

/* -- out ------------------------------------------------------------------------------------------------------ */

int frame_write_out(struct frame_out *out)
{
    for (;;) {
        int status, error = 0;
        Py_BEGIN_ALLOW_THREADS
        status = frame_write(out);
        if (status != FRAME_OK) error = errno;
        Py_END_ALLOW_THREADS
        if (status == FRAME_OK) return 0;
        errno = error;
        if (after_failure(status)) return -1;
    }
}

static PyObject *send_buffer(int fd, int kind, PyObject *data, const int *fds, int fd_count)
{
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) return NULL;
    struct frame_out out;
    frame_out_init(&out, fd, kind, view.buf, (size_t)view.len);
    out.fds = fds;
    out.fd_count = fd_count;
    int failed = frame_write_out(&out);
    PyBuffer_Release(&view);
    if (failed) return NULL;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(send_plain_doc,
"frame_send_plain(fd, kind, obj)\n--\n\nWrite one frame with the pickle of a small plain value: True. False, with nothing "
"written,\nif obj is none. Blocks while the other end does not read.");
static PyObject *frame_send_plain(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    int fd, kind;
    if (arguments(args, count, 3, "frame_send_plain", &fd, &kind) < 0) return NULL;
    struct plain plain;
    if (!plain_pickle(&plain, args[2])) Py_RETURN_FALSE;
    struct frame_out out;
    frame_out_init(&out, fd, kind, plain.data, plain.size);
    if (frame_write_out(&out) < 0) return NULL;
    Py_RETURN_TRUE;
}

PyDoc_STRVAR(send_doc, "frame_send(fd, kind, data)\n--\n\nWrite one frame. Blocks while the other end does not read.");
static PyObject *frame_send(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    int fd, kind;
    if (arguments(args, count, 3, "frame_send", &fd, &kind) < 0) return NULL;
    return send_buffer(fd, kind, args[2], NULL, 0);
}

PyDoc_STRVAR(send_fds_doc,
"frame_send_fds(fd, kind, data, fds)\n--\n\nWrite one frame with the descriptors of the list beside its first byte.");
static PyObject *frame_send_fds(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    int fd, kind, fds[FRAME_FDS];
    if (arguments(args, count, 4, "frame_send_fds", &fd, &kind) < 0) return NULL;
    Py_ssize_t many = PyList_Size(args[3]);
    if (many < 0) return NULL;
    if (many > FRAME_FDS)
        return PyErr_Format(PyExc_ValueError, "%zd descriptors in one message; at most %d can be sent, use several messages", many, FRAME_FDS);
    for (Py_ssize_t i = 0; i < many; i++) {
        fds[i] = (int)PyLong_AsLong(PyList_GetItem(args[3], i));
        if (fds[i] == -1 && PyErr_Occurred()) return NULL;
    }
    return send_buffer(fd, kind, args[2], fds, (int)many);
}

/* -- in ------------------------------------------------------------------------------------------------------- */

int frame_read_head(struct frame_in *in)
{
    int status;
    do {
        int error = 0;
        Py_BEGIN_ALLOW_THREADS
        status = frame_begin(in);
        if (status != FRAME_OK) error = errno;
        Py_END_ALLOW_THREADS
        errno = error;
    } while (status != FRAME_OK && !after_failure(status));
    return status;
}

static int read_rest(struct frame_in *in, char *to)
{
    size_t done = in->start_size;
    memcpy(to, in->start, done);
    int status = FRAME_OK;
    while (done < in->size) {
        int error = 0;
        Py_BEGIN_ALLOW_THREADS
        status = frame_rest(in, to, &done);
        if (status != FRAME_OK) error = errno;
        Py_END_ALLOW_THREADS
        errno = error;
        if (status != FRAME_OK && after_failure(status)) break;
    }
    return status;
}

PyObject *frame_read_whole(struct frame_in *in)
{
    PyObject *message = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)in->size);
    if (message) frame_prepare(PyBytes_AsString(message), in->size);
    if (message && read_rest(in, PyBytes_AsString(message)) != FRAME_OK) Py_CLEAR(message);
    return message;
}

PyObject *frame_read_most(struct frame_in *in, Py_ssize_t limit)
{
    if (limit >= 0 && in->size > (uint64_t)limit) Py_RETURN_NONE;
    return frame_read_whole(in);
}

PyObject *frame_read_into(struct frame_in *in, Py_buffer *view)
{
    if (in->size > (uint64_t)view->len) return frame_read_whole(in);
    return read_rest(in, view->buf) == FRAME_OK ? PyLong_FromUnsignedLongLong(in->size) : NULL;
}

PyDoc_STRVAR(recv_doc,
"frame_recv(fd, kind, limit)\n--\n\nThe next message; None if it is longer than limit (-1: no limit). Blocks.");
static PyObject *frame_recv(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    int fd, kind;
    if (arguments(args, count, 3, "frame_recv", &fd, &kind) < 0) return NULL;
    Py_ssize_t limit = PyLong_AsSsize_t(args[2]);
    if (limit == -1 && PyErr_Occurred()) return NULL;
    struct frame_in in;
    frame_in_init(&in, fd, kind, 0);
    return frame_read_head(&in) == FRAME_OK ? frame_read_most(&in, limit) : NULL;
}

PyDoc_STRVAR(read_soon_doc,
"frame_read_soon(fd, size, timeout)\n--\n\nAt most size bytes of a socket, empty at its end; None if there are none within "
"timeout seconds,\nwhich are spent looking. For a peer that is about to answer: to sleep and to be woken costs more.");
static PyObject *frame_read_soon(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    char data[1024];
    if (count != 3) return PyErr_Format(PyExc_TypeError, "frame_read_soon() takes a descriptor, a size and a timeout");
    long number = PyLong_AsLong(args[0]), size = PyLong_AsLong(args[1]);
    double timeout = PyFloat_AsDouble(args[2]);
    if (PyErr_Occurred()) return NULL;
    int fd = (int)number;
    if (number < 0 || number > INT_MAX || size < 1 || size > (long)sizeof data || !(timeout >= 0 && timeout <= 1))
        return PyErr_Format(PyExc_ValueError, "frame_read_soon(): descriptor %ld, %ld bytes; allowed are 1 to 1024 bytes and 0 to 1 s",
                            number, size);
    /* Looking is for two processors: where the peer needs this one, or others do, it is in vain.  After each time in vain it is
     * left out for longer.  (Yielding instead gave a busy machine's processor away for milliseconds.) */
    static unsigned left_out, penalty;
    bool look = left_out == 0;
    if (!look) left_out--;
    ssize_t n;
    int error = 0, tries = 0;
    Py_BEGIN_ALLOW_THREADS
    uint64_t end = look ? clock_ns() + (uint64_t)(timeout * 1e9) : 0;
    for (;;) {
        n = recv(fd, data, (size_t)size, MSG_DONTWAIT);
        if (n >= 0) break;
        error = errno;
        tries++;
        if ((error != EAGAIN && error != EWOULDBLOCK && error != EINTR) || !look || clock_ns() >= end) break;
    }
    Py_END_ALLOW_THREADS
    if (look && tries) {
        penalty = n >= 0 ? 0 : penalty < 64 ? 2 * penalty + 1 : penalty;
        left_out = penalty;
    }
    if (n >= 0) return PyBytes_FromStringAndSize(data, n);
    if (error == EAGAIN || error == EWOULDBLOCK || error == EINTR) {
        if (PyErr_CheckSignals()) return NULL;
        Py_RETURN_NONE;
    }
    errno = error;
    return PyErr_SetFromErrno(PyExc_OSError);
}

PyDoc_STRVAR(recv_fds_doc,
"frame_recv_fds(fd, kind)\n--\n\nThe next message, or (message, descriptors) if descriptors came with it. Blocks.");
static PyObject *frame_recv_fds(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    int fd, kind;
    if (arguments(args, count, 2, "frame_recv_fds", &fd, &kind) < 0) return NULL;
    struct frame_in in;
    frame_in_init(&in, fd, kind, 1);
    PyObject *message = frame_read_head(&in) == FRAME_OK ? frame_read_whole(&in) : NULL;
    if (in.fd_count == 0) return message;
    PyObject *fds = message ? core_fd_list(in.fds, in.fd_count) : NULL;
    PyObject *both = fds ? PyTuple_Pack(2, message, fds) : NULL;
    if (!both) frame_drop_fds(&in);
    Py_XDECREF(message);
    Py_XDECREF(fds);
    return both;
}

PyDoc_STRVAR(recv_into_doc,
"frame_recv_into(fd, kind, buffer)\n--\n\nRead the next message into buffer: its length; the message if it does not fit. Blocks.");
static PyObject *frame_recv_into(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    int fd, kind;
    if (arguments(args, count, 3, "frame_recv_into", &fd, &kind) < 0) return NULL;
    Py_buffer view;
    if (PyObject_GetBuffer(args[2], &view, PyBUF_WRITABLE) < 0) return NULL;
    struct frame_in in;
    frame_in_init(&in, fd, kind, 0);
    PyObject *result = frame_read_head(&in) == FRAME_OK ? frame_read_into(&in, &view) : NULL;
    PyBuffer_Release(&view);
    return result;
}

/* -- waiting -------------------------------------------------------------------------------------------------- */

PyObject *frame_readable(int fd, PyObject *timeout)
{
    struct pollfd p = { .fd = fd, .events = POLLIN | POLLPRI };
    uint64_t deadline;
    if (core_deadline(timeout, &deadline) < 0) return NULL;
    for (;;) {
        int n, error = 0;
        if (deadline == 0) {
            n = poll(&p, 1, 0);                  /* never sleeps: cheaper with the GIL than without */
            if (n < 0) error = errno;
        } else {
            uint64_t now = clock_ns(), left = deadline == WAIT_FOREVER ? OS_FOREVER : deadline > now ? deadline - now : 0;
            Py_BEGIN_ALLOW_THREADS
            n = os_poll(&p, 1, left);
            if (n < 0) error = errno;
            Py_END_ALLOW_THREADS
        }
        if (n >= 0) {
            core_events++;
            if (n == 0 || !(p.revents & POLLNVAL)) return PyBool_FromLong(n);
            error = EBADF;
        }
        errno = error;
        if (error != EINTR) return PyErr_SetFromErrno(PyExc_OSError);
        if (PyErr_CheckSignals()) return NULL;
    }
}

PyDoc_STRVAR(poll_doc, "frame_poll(fd, timeout)\n--\n\nWhether fd can be read within timeout seconds (None: for ever).");
static PyObject *frame_poll(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    if (count != 2) return PyErr_Format(PyExc_TypeError, "frame_poll() takes a descriptor and a timeout");
    long fd = PyLong_AsLong(args[0]);
    if (fd == -1 && PyErr_Occurred()) return NULL;
    return frame_readable((int)fd, args[1]);
}

PyDoc_STRVAR(kind_doc, "frame_kind(fd)\n--\n\n0 for what is no socket, 1 for TCP, 2 for a Unix stream, 3 for Unix packets.");
static PyObject *py_frame_kind(PyObject *Py_UNUSED(module), PyObject *fd)
{
    long number = PyLong_AsLong(fd);
    if (number == -1 && PyErr_Occurred()) return NULL;
    int kind = frame_kind((int)number);
    if (kind >= 0) return PyLong_FromLong(kind);
    return PyErr_SetFromErrno(PyExc_OSError);
}

static PyMethodDef methods[] = {
    { "frame_kind", py_frame_kind, METH_O, kind_doc },
    { "frame_send", CORE_FAST(frame_send), METH_FASTCALL, send_doc },
    { "frame_send_plain", CORE_FAST(frame_send_plain), METH_FASTCALL, send_plain_doc },
    { "frame_send_fds", CORE_FAST(frame_send_fds), METH_FASTCALL, send_fds_doc },
    { "frame_recv", CORE_FAST(frame_recv), METH_FASTCALL, recv_doc },
    { "frame_read_soon", CORE_FAST(frame_read_soon), METH_FASTCALL, read_soon_doc },
    { "frame_recv_fds", CORE_FAST(frame_recv_fds), METH_FASTCALL, recv_fds_doc },
    { "frame_recv_into", CORE_FAST(frame_recv_into), METH_FASTCALL, recv_into_doc },
    { "frame_poll", CORE_FAST(frame_poll), METH_FASTCALL, poll_doc },
    { NULL, NULL, 0, NULL },
};

int procession_add_frame(PyObject *module) { return PyModule_AddFunctions(module, methods); }
