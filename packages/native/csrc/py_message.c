/* py_message.c: one message with descriptors over a local socket, for the fork server and those that it talks with. In
 * Python a message takes 30 pages of a process that was forked just now: objects, functions, names. */
#define _GNU_SOURCE
#include "py_arena.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST_FDS 253 /* SCM_MAX_FD of Linux */
#define MOST_BYTES 65536

#ifdef MSG_CMSG_CLOEXEC
union control {
    struct cmsghdr header;
    char space[CMSG_SPACE(sizeof(int) * MOST_FDS)];
};

/* As calls of the interpreter do it: again after a signal, unless its handler raised. */
#define AGAIN(call, result)                                                                                            \
    do {                                                                                                               \
        Py_BEGIN_ALLOW_THREADS (result) = (call);                                                                      \
        Py_END_ALLOW_THREADS                                                                                           \
    } while ((result) < 0 && errno == EINTR && !PyErr_CheckSignals())

static PyObject *failed(void) { return PyErr_Occurred() ? NULL : PyErr_SetFromErrno(PyExc_OSError); }

static PyObject *py_message_pair(PyObject *Py_UNUSED(m), PyObject *Py_UNUSED(none))
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) return PyErr_SetFromErrno(PyExc_OSError);
    PyObject *pair = Py_BuildValue("ii", ends[0], ends[1]);
    if (!pair) close(ends[0]), close(ends[1]);
    return pair;
}

static PyObject *py_message_send(PyObject *Py_UNUSED(m), PyObject *args)
{
    int fd;
    char *data;
    Py_ssize_t size, sent;
    PyObject *fds;
    if (!PyArg_ParseTuple(args, "iy#O:message_send", &fd, &data, &size, &fds)) return NULL;
    Py_ssize_t count = PySequence_Size(fds);
    if (count < 0) return NULL;
    if (count > MOST_FDS) return PyErr_Format(PyExc_ValueError, "%zd descriptors are more than the %d of a message", count, MOST_FDS);
    union control control;
    struct iovec part = { data, (size_t)size };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
    if (count) {
        message.msg_control = control.space;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)count);
        memset(control.space, 0, message.msg_controllen);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)count);
        for (Py_ssize_t i = 0; i < count; i++) {
            PyObject *one = PySequence_GetItem(fds, i);
            int number = one ? (int)PyLong_AsLong(one) : -1;
            Py_XDECREF(one);
            if (number == -1 && PyErr_Occurred()) return NULL;
            memcpy(CMSG_DATA(header) + sizeof(int) * (size_t)i, &number, sizeof number);
        }
    }
    AGAIN(sendmsg(fd, &message, MSG_NOSIGNAL), sent);
    if (sent < 0) return failed();
    Py_RETURN_NONE;
}

static PyObject *take_fds(struct msghdr *message)
{
    PyObject *list = PyList_New(0);
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(header) + sizeof(int) * i, sizeof fd);
            PyObject *number = list ? PyLong_FromLong(fd) : NULL;
            if (!number || PyList_Append(list, number) < 0) {
                close(fd);
                Py_CLEAR(list);
            }
            Py_XDECREF(number);
        }
    }
    return list;
}

static PyObject *py_message_receive(PyObject *Py_UNUSED(m), PyObject *arg)
{
    char data[MOST_BYTES]; /* of which only the pages that are written to cost anything */
    long fd = PyLong_AsLong(arg);
    if (fd == -1 && PyErr_Occurred()) return NULL;
    union control control;
    struct iovec part = { data, MOST_BYTES };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control };
    ssize_t size;
    AGAIN(recvmsg((int)fd, &message, MSG_CMSG_CLOEXEC), size);
    if (size < 0) return failed();
    PyObject *fds = take_fds(&message);
    if (fds && message.msg_flags & MSG_CTRUNC) { /* this process has no room for all */
        for (Py_ssize_t i = 0; i < PyList_Size(fds); i++) close((int)PyLong_AsLong(PyList_GetItem(fds, i)));
        Py_DECREF(fds);
        fds = Py_NewRef(Py_None);
    }
    PyObject *bytes = fds ? PyBytes_FromStringAndSize(data, size) : NULL;
    PyObject *both = bytes ? PyTuple_Pack(2, bytes, fds) : NULL;
    Py_XDECREF(bytes);
    Py_XDECREF(fds);
    return both;
}
#endif

static PyMethodDef functions[] = {
#ifdef MSG_CMSG_CLOEXEC
    { "message_pair", py_message_pair, METH_NOARGS, "message_pair()\n--\n\nTwo connected descriptors for messages." },
    { "message_receive", py_message_receive, METH_O,
      "message_receive(fd)\n--\n\n(bytes, descriptors) of one message; None for them if there is no room; no bytes are the end.  OSError." },
    { "message_send", py_message_send, METH_VARARGS,
      "message_send(fd, data, descriptors)\n--\n\nSend one message.  OSError; ValueError for more descriptors than one can carry." },
#endif
    { NULL, NULL, 0, NULL },
};

int procession_add_message(PyObject *module) { return PyModule_AddFunctions(module, functions); }
