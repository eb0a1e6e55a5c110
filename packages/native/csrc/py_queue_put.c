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
    PyObject *error = core_caught();
    PyObject *answer = PyObject_CallMethod((PyObject *)self, "_refuse", "OO", error, obj);
    bool swallowed = answer && PyObject_IsTrue(answer) == 1;
    if (!answer || swallowed) Py_DECREF(error);
    else core_rethrow(error);
    Py_XDECREF(answer);
    return swallowed ? Py_NewRef(Py_None) : NULL;
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
#define BATCH_WEIGHT (1u << 20)
struct batch { struct outgoing out[BATCH]; struct message messages[BATCH]; };

/* All that may run Python code, before one pass under the lock.  How many there are; fewer than fit at the end of the
 * iterator (then *more is false), or with an exception set. */
static uint32_t batch_fill(QueueObject *self, struct batch *b, PyObject *iterator, bool *more)
{
    uint32_t filled = 0;
    uint64_t weight = 0;
    while (filled < BATCH && weight < BATCH_WEIGHT) {
        PyObject *item = PyIter_Next(iterator);
        if (!item) {
            *more = false;
            break;
        }
        struct outgoing *o = &b->out[filled];
        if (outgoing_make(o, item) < 0) {
            PyObject *answer = refused(self, item);
            Py_DECREF(item);
            if (!answer) break;
            Py_DECREF(answer);
            continue;
        }
        o->item = item;
        b->messages[filled++] = o->message;
        weight += o->message.weight;
    }
    return filled;
}

/* An AR_ status.  What was made before an exception, which stays set, is put too. */
static int put_batch(QueueObject *self, struct batch *b, uint32_t filled, uint64_t deadline, unsigned long long *total)
{
    uint32_t done = 0;
    PyObject *error = PyErr_Occurred() ? core_caught() : NULL;
    self->used = true;
    int rc = queue_put_messages(self, b->messages, filled, &done, deadline);
    *total += done;
    for (uint32_t i = 0; i < filled; i++) {
        outgoing_clear(&b->out[i]);
        Py_DECREF(b->out[i].item);
    }
    if (error && rc == AR_OK) core_rethrow(error);
    else Py_XDECREF(error);
    return rc;
}

/* How far it came is told by the exception's attribute `accepted`. */
static void tell_accepted(unsigned long long total)
{
    PyObject *error = core_caught(), *count = PyLong_FromUnsignedLongLong(total);
    if (!count || PyObject_SetAttrString(error, "accepted", count) < 0) PyErr_Clear();
    Py_XDECREF(count);
    core_rethrow(error);
}

PyObject *queue_py_put_many(QueueObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    static const char *const known[] = { "items", "block", "timeout", NULL };
    PyObject *v[3] = { NULL, NULL, NULL };
    uint64_t deadline;
    if (core_arguments("put_many", args, n, names, known, 1, v) < 0 || queue_wait_until(v[1], v[2], &deadline) < 0) return NULL;
    if (!queue_usable(self)) return NULL;
    PyObject *iterator = PyObject_GetIter(v[0]);
    if (!iterator) return NULL;
    struct batch *batch = PyMem_Malloc(sizeof *batch);
    unsigned long long total = 0;
    int rc = AR_OK;
    bool more = true;
    if (!batch) PyErr_NoMemory();
    while (more && rc == AR_OK && !PyErr_Occurred()) {
        uint32_t filled = batch_fill(self, batch, iterator, &more);
        if (filled) rc = put_batch(self, batch, filled, deadline, &total);
    }
    PyMem_Free(batch);
    Py_DECREF(iterator);
    if (rc != AR_OK && !PyErr_Occurred()) queue_error(rc);
    if (!PyErr_Occurred()) return PyLong_FromUnsignedLongLong(total);
    tell_accepted(total);
    return NULL;
}
