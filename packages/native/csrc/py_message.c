/* py_message.c: one message with descriptors over a local socket, for the fork server and those that it talks with. In
 * Python a message takes 30 pages of a process that was forked just now: objects, functions, names. */
#define _GNU_SOURCE
#include "py_arena.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "message.h"

#ifdef MESSAGES
static PyObject *py_message_pair(PyObject *Py_UNUSED(m), PyObject *Py_UNUSED(none))
{
    int ends[2];
    if (message_pair(ends) < 0) return PyErr_SetFromErrno(PyExc_OSError);
    PyObject *pair = Py_BuildValue("ii", ends[0], ends[1]);
    if (!pair) close(ends[0]), close(ends[1]);
    return pair;
}

/* As calls of the interpreter do it: whether to try again after a signal, unless its handler raised. */
static bool again(int error)
{
    if (error == EINTR && PyErr_CheckSignals() == 0) return true;
    errno = error;
    if (!PyErr_Occurred()) PyErr_SetFromErrno(PyExc_OSError);
    return false;
}

static PyObject *py_message_send(PyObject *Py_UNUSED(m), PyObject *args)
{
    int fd, numbers[MESSAGE_FDS], sent, error;
    char *data;
    Py_ssize_t size;
    PyObject *fds;
    if (!PyArg_ParseTuple(args, "iy#O:message_send", &fd, &data, &size, &fds)) return NULL;
    Py_ssize_t count = PySequence_Size(fds);
    if (count < 0) return NULL;
    if (count > MESSAGE_FDS)
        return PyErr_Format(PyExc_ValueError, "%zd descriptors are more than the %d of a message", count, MESSAGE_FDS);
    if (size > MESSAGE_BYTES) return PyErr_Format(PyExc_ValueError, "%zd bytes are more than the %d of a message", size, MESSAGE_BYTES);
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *one = PySequence_GetItem(fds, i);
        numbers[i] = one ? (int)PyLong_AsLong(one) : -1;
        Py_XDECREF(one);
        if (numbers[i] == -1 && PyErr_Occurred()) return NULL;
    }
    do {
        Py_BEGIN_ALLOW_THREADS
        sent = message_send(fd, data, (size_t)size, numbers, (int)count);
        error = errno;
        Py_END_ALLOW_THREADS
    } while (sent < 0 && again(error));
    if (sent < 0) return NULL;
    Py_RETURN_NONE;
}

static PyObject *py_message_receive(PyObject *Py_UNUSED(m), PyObject *arg)
{
    char data[MESSAGE_BYTES]; /* of which only the pages that are written to cost anything */
    struct message_in in;
    int error;
    long fd = PyLong_AsLong(arg);
    if (fd == -1 && PyErr_Occurred()) return NULL;
    do {
        Py_BEGIN_ALLOW_THREADS
        message_receive((int)fd, data, &in);
        error = errno;
        Py_END_ALLOW_THREADS
    } while (in.size < 0 && again(error));
    if (in.size < 0) return NULL;
    if (in.cut) {
        PyErr_SetString(PyExc_OSError, "bad message: it is longer than any that is sent here");
        return NULL;
    }
    PyObject *both = Py_BuildValue("y#N", data, (Py_ssize_t)in.size, in.lost ? Py_NewRef(Py_None) : core_fd_list(in.fds, in.fd_count));
    while (!both && in.fd_count) close(in.fds[--in.fd_count]);
    return both;
}
#endif

static PyMethodDef functions[] = {
#ifdef MESSAGES
    { "message_pair", py_message_pair, METH_NOARGS, "message_pair()\n--\n\nTwo connected descriptors for messages." },
    { "message_receive", py_message_receive, METH_O,
      "message_receive(fd)\n--\n\n(bytes, descriptors) of one message; None for them if there is no room; no bytes are the end.  OSError." },
    { "message_send", py_message_send, METH_VARARGS,
      "message_send(fd, data, descriptors)\n--\n\nSend one message.  OSError; ValueError for more descriptors than one can carry." },
#endif
    { NULL, NULL, 0, NULL },
};

int procession_add_message(PyObject *module) { return PyModule_AddFunctions(module, functions); }
