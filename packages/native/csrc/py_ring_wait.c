/* py_ring_wait.c: waiting for many descriptors, of which some are ends of pipes whose messages are in the arena. */
#define _GNU_SOURCE
#include "py_ring_end.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>

#define FEW 64
#define LOOK_NS 250000000ull                     /* who puts a message may die before he wakes us */

struct many { struct pollfd *fds; PipeEndObject **ends; bool *ready; Py_ssize_t size; };

/* Marks the ends that have messages; those that have left their rings become descriptors like others.  How many are ready. */
static Py_ssize_t look(struct many *m, bool first)
{
    Py_ssize_t found = 0;
    for (Py_ssize_t i = 0; i < m->size; i++) {
        PipeEndObject *end = m->ends[i];
        if (!end) continue;
        if (!first) ring_asleep(end->in);
        int rc = ring_look(process_arena, end->in);
        if (rc == AR_SHUTDOWN) {
            bool left;
            ring_leave(process_arena, end->in, end->fd, end->kind, true, &left);
            if (!first) ring_awake(end->in);
            m->ends[i] = NULL;
            if (!first) found++;                 /* to be asked anew, without marks */
        } else if (rc == AR_OK) {
            m->ready[i] = true;
            found++;
        }
    }
    return found;
}

static void awake(struct many *m)
{
    for (Py_ssize_t i = 0; i < m->size; i++)
        if (m->ends[i]) ring_awake(m->ends[i]->in);
}

/* What the kernel has said; how many are ready. */
static Py_ssize_t understand(struct many *m)
{
    Py_ssize_t found = 0;
    for (Py_ssize_t i = 0; i < m->size; i++) {
        PipeEndObject *end = m->ends[i];
        short events = m->fds[i].revents;
        if (events && !m->ready[i]) {
            if (events & POLLNVAL) {
                errno = EBADF;
                PyErr_SetFromErrno(PyExc_OSError);
                return -1;
            }
            if (end && events & POLLIN) ring_drain(process_arena, end->in, end->fd, end->kind);
            m->ready[i] = !end || (events & (POLLHUP | OS_POLL_ENDED | POLLERR)) || ring_look(process_arena, end->in) == AR_OK;
        }
        found += m->ready[i];
    }
    return found;
}

static int ask(struct many *m, uint64_t deadline, bool rings)
{
    for (;;) {
        Py_ssize_t found = rings ? look(m, true) : 0;
        bool asleep = found == 0 && deadline && rings;
        if (asleep) found = look(m, false);
        int n, error = 0;
        bool late = deadline == 0 || found > 0;
        if (late) {
            n = poll(m->fds, (nfds_t)m->size, 0);
            if (n < 0) error = errno;
        } else {
            uint64_t now = clock_ns(), left = deadline > now ? deadline - now : 0;
            late = left == 0;
            if (rings && left > FAULT_SLICE(LOOK_NS)) left = FAULT_SLICE(LOOK_NS);
            bool forever = deadline == WAIT_FOREVER && !rings;
            Py_BEGIN_ALLOW_THREADS
            n = os_poll(m->fds, (nfds_t)m->size, forever ? OS_FOREVER : left);
            if (n < 0) error = errno;
            Py_END_ALLOW_THREADS
        }
        if (asleep) awake(m);
        if (n < 0 && error != EINTR) {
            errno = error;
            PyErr_SetFromErrno(PyExc_OSError);
            return -1;
        }
        if (PyErr_CheckSignals() < 0) return -1;
        found = n < 0 ? 0 : understand(m);
        if (found < 0) return -1;
        if (found || (late && n >= 0 && deadline == 0)) break;
        if (deadline && deadline != WAIT_FOREVER && clock_ns() >= deadline) {
            if (rings) look(m, true);
            break;
        }
    }
    return 0;
}

const char pipe_wait_doc[] =
"pipe_wait(fds, timeout, ends=None)\n--\n\nThe positions of the descriptors in the list that can be read within timeout seconds (None: for ever).\n"
"ends, where some are ends of pipes, holds at each position the PipeEnd whose descriptor it is, or None.";
PyObject *pipe_wait(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    uint64_t deadline;
    PyObject *ends = count == 3 && args[2] != Py_None ? args[2] : NULL;
    if (count < 2 || count > 3 || !PyList_Check(args[0]) || (ends && (!PyList_Check(ends) || PyList_Size(args[0]) != PyList_Size(ends))))
        return PyErr_Format(PyExc_TypeError, "pipe_wait() takes a list of descriptors, a timeout and perhaps as long a list of ends");
    if (core_deadline(args[1], &deadline) < 0) return NULL;
    /* The lists are the caller's own, so they keep what is in them. */
    Py_ssize_t size = PyList_Size(args[0]);
    struct pollfd few_fds[FEW];
    PipeEndObject *few_ends[FEW];
    bool few_ready[FEW], rings = false;
    struct many m = { few_fds, few_ends, few_ready, size };
    PyObject *ready = NULL;
    if (size > FEW) {
        m.fds = PyMem_Malloc((size_t)size * sizeof *m.fds);
        m.ends = PyMem_Malloc((size_t)size * sizeof *m.ends);
        m.ready = PyMem_Malloc((size_t)size * sizeof *m.ready);
        if (!m.fds || !m.ends || !m.ready) {
            PyErr_NoMemory();
            goto out;
        }
    }
    for (Py_ssize_t i = 0; i < size; i++) {
        long fd = PyLong_AsLong(PyList_GetItem(args[0], i));
        PyObject *end = ends ? PyList_GetItem(ends, i) : Py_None;
        if (fd == -1 && PyErr_Occurred()) goto out;
        if (fd < 0 || fd > INT_MAX) {
            PyErr_Format(PyExc_ValueError, "Invalid file descriptor: %ld; it must be 0 or more, so wait for open objects only", fd);
            goto out;
        }
        m.ready[i] = false;
        m.ends[i] = Py_TYPE(end) == pipe_end_type && ((PipeEndObject *)end)->in ? (PipeEndObject *)end : NULL;
        m.fds[i] = (struct pollfd){ .fd = (int)fd, .events = POLLIN | POLLPRI | (m.ends[i] ? OS_POLL_ENDED : 0) };
        rings = rings || m.ends[i];
    }
    if (ask(&m, deadline, rings) < 0 || !(ready = PyList_New(0))) goto out;
    core_events++;
    for (Py_ssize_t i = 0; i < size; i++) {
        if (!m.ready[i]) continue;
        PyObject *position = PyLong_FromSsize_t(i);
        if (!position || PyList_Append(ready, position) < 0) Py_CLEAR(ready);
        Py_XDECREF(position);
        if (!ready) break;
    }
out:
    if (m.fds != few_fds) PyMem_Free(m.fds);
    if (m.ends != few_ends) PyMem_Free(m.ends);
    if (m.ready != few_ready) PyMem_Free(m.ready);
    return ready;
}
