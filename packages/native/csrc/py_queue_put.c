/* py_queue_put.c: put() of a queue, and its kin. */
#include "py_queue.h"

/* Puts all; with the GIL, which is given up only to sleep.  *done tells how many, also on failure. */
int queue_put_messages(QueueObject *self, const struct message *m, uint32_t n, uint32_t *done, uint64_t deadline)
{
    struct arena *a = process_arena;
    int rc = queue_try_put(a, self->q, m, n, done);
    if (rc == AR_FULL && deadline == 0) rc = AR_TIMEOUT;
    bool waits = rc == AR_BUSY || rc == AR_FULL;
    if (waits) core_waits_for(a, self->shared.offset);
    while (rc == AR_BUSY || rc == AR_FULL || rc == AR_INTR) {
        uint32_t more = 0;
        Py_BEGIN_ALLOW_THREADS
        rc = queue_put(a, self->q, m + *done, n - *done, &more, deadline);
        Py_END_ALLOW_THREADS
        *done += more;
        if (rc == AR_INTR && PyErr_CheckSignals() < 0) break;
    }
    if (waits) core_waits_for(a, 0);
    if (rc == AR_INTR) return rc;
    if (self->room) bell_settle(a, self->room);
    return rc == AR_TIMEOUT ? AR_FULL : rc;
}

/* The object cannot be pickled: the Python class may want to hear of it instead of the caller. */
static PyObject *refused(QueueObject *self, PyObject *obj)
{
    PyObject *type, *error, *traceback;
    PyErr_Fetch(&type, &error, &traceback);
    PyErr_NormalizeException(&type, &error, &traceback);
    if (traceback) PyException_SetTraceback(error, traceback);
    PyObject *answer = PyObject_CallMethod((PyObject *)self, "_refuse", "OO", error, obj);
    if (!answer) {
        Py_XDECREF(type); Py_XDECREF(error); Py_XDECREF(traceback);
        return NULL;
    }
    int swallowed = PyObject_IsTrue(answer);
    Py_DECREF(answer);
    if (swallowed == 1) {
        Py_XDECREF(type); Py_XDECREF(error); Py_XDECREF(traceback);
        Py_RETURN_NONE;
    }
    PyErr_Restore(type, error, traceback);
    return NULL;
}

#define PACED (256 << 10)
#define PACE_BYTES (4u << 20)

PyObject *queue_put_object(QueueObject *self, PyObject *obj, uint64_t deadline)
{
    if (!queue_usable(self)) return NULL;
    struct outgoing out;
    if (PyBytes_CheckExact(obj) && PyBytes_Size(obj) >= PACED && deadline) {
        Py_BEGIN_ALLOW_THREADS
        queue_pace(process_arena, self->q, PACE_BYTES, &self->stalled);
        Py_END_ALLOW_THREADS
    }
    if (outgoing_make(&out, obj) < 0) return refused(self, obj);
    self->used = true;
    uint32_t done;
    int rc = queue_put_messages(self, &out.message, 1, &done, deadline);
    outgoing_clear(&out);
    if (rc == AR_OK) Py_RETURN_NONE;
    return PyErr_Occurred() ? NULL : queue_error(rc);
}

PyObject *queue_py_put(QueueObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    if (n == 1 && !names) return queue_put_object(self, args[0], WAIT_FOREVER);
    static const char *const known[] = { "obj", "block", "timeout", NULL };
    PyObject *v[3] = { NULL, NULL, NULL };
    uint64_t deadline;
    if (core_arguments("put", args, n, names, known, 1, v) < 0 || queue_wait_until(v[1], v[2], &deadline) < 0) return NULL;
    return queue_put_object(self, v[0], deadline);
}

PyObject *queue_py_put_nowait(QueueObject *self, PyObject *obj) { return queue_put_object(self, obj, 0); }

#define BATCH 64
PyObject *queue_py_put_many(QueueObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    static const char *const known[] = { "items", "block", "timeout", NULL };
    PyObject *v[3] = { NULL, NULL, NULL };
    uint64_t deadline;
    if (core_arguments("put_many", args, n, names, known, 1, v) < 0 || queue_wait_until(v[1], v[2], &deadline) < 0) return NULL;
    if (!queue_usable(self)) return NULL;
    PyObject *iterator = PyObject_GetIter(v[0]);
    if (!iterator) return NULL;
    struct outgoing *batch = PyMem_Malloc(BATCH * sizeof *batch);
    struct message *messages = PyMem_Malloc(BATCH * sizeof *messages);
    unsigned long long total = 0;
    int rc = AR_OK;
    bool failed = !batch || !messages, more = true;
    if (failed) PyErr_NoMemory();
    while (!failed && more) {
        uint32_t filled = 0;
        uint64_t weight = 0;
        /* Everything that may run Python code comes first, then one pass under the lock. */
        while (filled < BATCH && weight < (1u << 20)) {
            PyObject *item = PyIter_Next(iterator);
            if (!item) {
                more = false;
                break;
            }
            int made = outgoing_make(&batch[filled], item);
            if (made < 0) {
                PyObject *answer = refused(self, item);
                Py_DECREF(item);
                if (!answer) {
                    more = false;
                    break;
                }
                Py_DECREF(answer);
                continue;
            }
            batch[filled].item = item;
            messages[filled] = batch[filled].message;
            outgoing_repoint(&batch[filled], &messages[filled]);
            weight += messages[filled].weight;
            filled++;
        }
        failed = PyErr_Occurred() != NULL;
        PyObject *type = NULL, *error = NULL, *traceback = NULL;
        if (failed) PyErr_Fetch(&type, &error, &traceback);
        if (filled) {
            uint32_t done = 0;
            self->used = true;
            rc = queue_put_messages(self, messages, filled, &done, deadline);
            total += done;
            for (uint32_t i = 0; i < filled; i++) {
                outgoing_clear(&batch[i]);
                Py_DECREF(batch[i].item);
            }
            if (rc != AR_OK) {
                if (failed) {
                    Py_XDECREF(type); Py_XDECREF(error); Py_XDECREF(traceback);
                    failed = false;
                }
                break;
            }
        }
        if (failed) PyErr_Restore(type, error, traceback);
    }
    PyMem_Free(batch);
    PyMem_Free(messages);
    Py_DECREF(iterator);
    if (rc != AR_OK && !PyErr_Occurred()) queue_error(rc);
    if (PyErr_Occurred()) {
        /* How far it came is told by the exception's attribute `accepted`. */
        PyObject *type, *error, *traceback;
        PyErr_Fetch(&type, &error, &traceback);
        PyErr_NormalizeException(&type, &error, &traceback);
        PyObject *count = PyLong_FromUnsignedLongLong(total);
        if (!count || !error || PyObject_SetAttrString(error, "accepted", count) < 0) PyErr_Clear();
        Py_XDECREF(count);
        PyErr_Restore(type, error, traceback);
        return NULL;
    }
    return PyLong_FromUnsignedLongLong(total);
}
