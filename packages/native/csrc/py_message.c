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
    if (size > MOST_BYTES) return PyErr_Format(PyExc_ValueError, "%zd bytes are more than the %d of a message", size, MOST_BYTES);
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

/* What came along: how many, of which those beyond MOST_FDS cannot be. */
static int find_fds(struct msghdr *message, int fds[MOST_FDS])
{
    int count = 0;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        size_t size = header->cmsg_len - CMSG_LEN(0);
        memcpy(fds + count, CMSG_DATA(header), size);
        count += (int)(size / sizeof *fds);
    }
    return count;
}

static PyObject *py_message_receive(PyObject *Py_UNUSED(m), PyObject *arg)
{
    char data[MOST_BYTES]; /* of which only the pages that are written to cost anything */
    int fds[MOST_FDS];
    long fd = PyLong_AsLong(arg);
    if (fd == -1 && PyErr_Occurred()) return NULL;
    union control control;
    struct iovec part = { data, MOST_BYTES };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control };
    ssize_t size;
    AGAIN(recvmsg((int)fd, &message, MSG_CMSG_CLOEXEC), size);
    if (size < 0) return failed();
    int count = find_fds(&message, fds);
    bool all = !(message.msg_flags & MSG_CTRUNC); /* else this process has no room for them */
    PyObject *both = NULL;
    if (message.msg_flags & MSG_TRUNC) PyErr_SetString(PyExc_OSError, "bad message: it is longer than any that is sent here");
    else both = Py_BuildValue("y#N", data, (Py_ssize_t)size, all ? core_fd_list(fds, count) : Py_NewRef(Py_None));
    while ((!both || !all) && count) close(fds[--count]);
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
