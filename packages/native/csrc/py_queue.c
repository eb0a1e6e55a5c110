/* py_queue.c: the Python type of queues.  What is put and taken is made in py_queue_items.c;
 * put() and its kin are in py_queue_put.c. */
#include "py_queue.h"

#include <string.h>

struct queue_hooks queue_hooks;

/* ---- errors and arguments -------------------------------------------------------------------------------------- */

PyObject *queue_error(int rc)
{
    if (rc == AR_TIMEOUT) rc = AR_EMPTY;
    if (rc == AR_PEER_DIED)
        return PyErr_Format(core_exception(CORE_PEER_DIED), "the queue is empty and no other live process holds a reference to it");
    if (rc == AR_SHUTDOWN) {
        PyErr_SetNone(core_exception(CORE_SHUTDOWN));
        return NULL;
    }
    return core_raise(rc, "the queue");
}

/* NULL, with the exception that the Python class chooses. */
struct queue *queue_unusable(QueueObject *self)
{
    if (!self->q) {
        PyErr_SetString(PyExc_RuntimeError, "the queue was not initialised: call Queue.__init__() first");
        return NULL;
    }
    PyObject *error = PyObject_CallMethod((PyObject *)self, "_closed_error", NULL);
    if (error) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        Py_DECREF(error);
    }
    return NULL;
}

/* block and timeout, as queue.Queue understands them. */
int queue_wait_until(PyObject *block, PyObject *timeout, uint64_t *deadline)
{
    if (block && block != Py_True) {
        int yes = PyObject_IsTrue(block);
        if (yes < 0) return -1;
        if (!yes) {
            *deadline = 0;
            return 0;
        }
    }
    return core_deadline(timeout ? timeout : Py_None, deadline);
}

/* ---- get ------------------------------------------------------------------------------------------------------- */

/* Takes at least one message or fails; 0, or -1 with the exception set. */
static int take_messages(QueueObject *self, struct taken *out, uint32_t max, uint64_t deadline, bool peers)
{
    struct arena *a = process_arena;
    int rc = queue_try_take(a, self->q, out, max);
    if (rc != AR_OK && !(rc == AR_EMPTY && deadline == 0)) {
        aoff off = peers ? self->shared.offset : 0;
        core_waits_for(a, self->shared.offset);
        while (rc == AR_BUSY || rc == AR_EMPTY || rc == AR_INTR) {
            Py_BEGIN_ALLOW_THREADS
            rc = queue_take(a, self->q, out, max, deadline, off, self->patient ? &self->patience : NULL);
            Py_END_ALLOW_THREADS
            if (rc == AR_EMPTY || (rc == AR_INTR && PyErr_CheckSignals() < 0)) break;
        }
        core_waits_for(a, 0);
        if (rc == AR_INTR) return -1;
    }
    if (self->items) bell_settle(a, self->items);
    if (rc == AR_OK) return 0;
    queue_error(rc);
    return -1;
}

/* Of a queue of requests or answers.  What was pickled on the way in is not unpickled on the way out: who reads such a
 * queue has rules of his own for that. */
static PyObject *incoming_plain(const char *record)
{
    if (record_tag(word_at(record)) != TAG_PICKLE) return incoming_make(record, &queue_hooks);
    taken_release_refs(process_arena, record);
    return PyErr_Format(PyExc_TypeError, "only bytes and plain values travel through this queue, and something else was put into it");
}

static PyObject *get_one(QueueObject *self, uint64_t deadline, bool peers)
{
    if (!queue_usable(self)) return NULL;
    uint64_t buffer[160];
    struct taken out = TAKEN_ON(buffer);
    PyObject *result = NULL;
    if (take_messages(self, &out, 1, deadline, peers) == 0)
        result = self->patient ? incoming_plain(out.data) : incoming_make(out.data, &queue_hooks);
    taken_free(&out);
    return result;
}

#define ASK_SMALL 1024
static PyObject *queue_py_ask(QueueObject *self, PyObject *const *args, Py_ssize_t n)
{
    QueueObject *requests = n == 4 ? (QueueObject *)args[0] : NULL;
    char *data, *key;
    Py_ssize_t size, key_size;
    uint64_t deadline;
    if (!requests || !PyObject_TypeCheck(args[0], Py_TYPE((PyObject *)self)) || PyBytes_AsStringAndSize(args[1], &data, &size) < 0 ||
        PyBytes_AsStringAndSize(args[2], &key, &key_size) < 0) {
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_TypeError, "_ask() takes a queue, two bytes objects and a timeout");
        return NULL;
    }
    if (core_deadline(args[3], &deadline) < 0 || !queue_usable(self) || !queue_usable(requests)) return NULL;
    if (size + key_size <= ASK_SMALL) {
        char whole[ASK_SMALL];
        memcpy(whole, data, (size_t)size);
        memcpy(whole + size, key, (size_t)key_size);
        uint64_t bytes = (uint64_t)(size + key_size);
        struct message m = { .data = whole, .size = bytes, .weight = bytes, .tag = TAG_BYTES };
        uint32_t done;
        int rc = queue_put_messages(requests, &m, 1, &done, WAIT_FOREVER);
        if (rc != AR_OK) return PyErr_Occurred() ? NULL : queue_error(rc);
    } else {
        PyObject *whole = Py_NewRef(args[1]);
        PyBytes_Concat(&whole, args[2]);
        PyObject *put = whole ? queue_put_object(requests, whole, WAIT_FOREVER) : NULL;
        Py_XDECREF(whole);
        if (!put) return NULL;
        Py_DECREF(put);
    }
    return get_one(self, deadline, false);
}

static PyObject *queue_py_get(QueueObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    if (n == 0 && !names) return get_one(self, WAIT_FOREVER, self->peers);
    static const char *const known[] = { "block", "timeout", "peers", NULL };
    PyObject *v[3] = { NULL, NULL, NULL };
    uint64_t deadline;
    if (core_arguments("get", args, n, names, known, 0, v) < 0 || queue_wait_until(v[0], v[1], &deadline) < 0) return NULL;
    int peers = v[2] ? PyObject_IsTrue(v[2]) : self->peers;
    if (peers < 0) return NULL;
    return get_one(self, deadline, peers);
}

static PyObject *queue_py_get_nowait(QueueObject *self, PyObject *Py_UNUSED(ignored)) { return get_one(self, 0, false); }

static PyObject *queue_py_get_many(QueueObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    static const char *const known[] = { "max_items", "block", "timeout", NULL };
    PyObject *v[3] = { NULL, NULL, NULL };
    uint64_t deadline;
    if (core_arguments("get_many", args, n, names, known, 0, v) < 0 || queue_wait_until(v[1], v[2], &deadline) < 0) return NULL;
    unsigned long max = UINT32_MAX;
    if (v[0] && v[0] != Py_None) {
        long wanted = PyLong_AsLong(v[0]);
        if (wanted == -1 && PyErr_Occurred()) return NULL;
        if (wanted < 1) return PyErr_Format(PyExc_ValueError, "max_items must be at least 1 or None, not %ld", wanted);
        if ((unsigned long)wanted < max) max = (unsigned long)wanted;
    }
    if (!queue_usable(self)) return NULL;
    uint64_t buffer[1024];
    struct taken out = TAKEN_ON(buffer);
    PyObject *list = NULL;
    if (take_messages(self, &out, (uint32_t)max, deadline, self->peers) == 0) {
        list = PyList_New(0);
        size_t pos = 0;
        for (uint32_t i = 0; list && i < out.count; i++) {
            PyObject *item = incoming_make(out.data + pos, &queue_hooks);
            pos += record_size(word_at(out.data + pos));
            if (!item || PyList_Append(list, item) < 0) Py_CLEAR(list);
            Py_XDECREF(item);
        }
    }
    taken_free(&out);
    return list;
}

static PyObject *queue_py_peek(QueueObject *self, PyObject *Py_UNUSED(ignored))
{
    if (!queue_usable(self)) return NULL;
    uint64_t buffer[160];
    struct taken out = TAKEN_ON(buffer);
    int rc = queue_peek(process_arena, self->q, &out);
    PyObject *result = rc == AR_OK ? incoming_make(out.data, &queue_hooks) : queue_error(rc);
    taken_free(&out);
    return result;
}

/* ---- state ----------------------------------------------------------------------------------------------------- */

/* For calls that wait for nothing but a lock which is held for microseconds. */
static int lock_error(int rc)
{
    if (rc == AR_TIMEOUT)
        PyErr_SetString(PyExc_TimeoutError, "the queue's lock is held by a process that is stopped (SIGSTOP)");
    else
        queue_error(rc);
    return -1;
}

static int stat_of(QueueObject *self, struct queue_stat *s)
{
    if (!self->q) {
        queue_unusable(self);
        return -1;
    }
    int rc = queue_stat(process_arena, self->q, s);
    return rc == AR_OK ? 0 : lock_error(rc);
}

static PyObject *queue_py_qsize(QueueObject *self, PyObject *Py_UNUSED(ignored))
{
    struct queue_stat s;
    return stat_of(self, &s) < 0 ? NULL : PyLong_FromUnsignedLongLong(s.put - s.taken);
}

static PyObject *queue_py_empty(QueueObject *self, PyObject *Py_UNUSED(ignored))
{
    struct queue_stat s;
    if (self->closed && (self->used || self->strict)) return PyErr_Format(PyExc_OSError, "handle is closed");
    return stat_of(self, &s) < 0 ? NULL : PyBool_FromLong(s.put == s.taken);
}

static PyObject *queue_py_full(QueueObject *self, PyObject *Py_UNUSED(ignored))
{
    struct queue_stat s;
    if (stat_of(self, &s) < 0) return NULL;
    uint64_t maxsize = SH_PEEK(&self->q->maxsize), maxbytes = SH_PEEK(&self->q->maxbytes);
    return PyBool_FromLong((maxsize && s.put - s.taken >= maxsize) || (maxbytes && s.bytes >= maxbytes));
}

static PyObject *queue_py_totals(QueueObject *self, PyObject *Py_UNUSED(ignored))
{
    struct queue_stat s;
    if (stat_of(self, &s) < 0) return NULL;
    return Py_BuildValue("{s:K,s:K,s:K,s:K}", "put", (unsigned long long)s.put, "taken", (unsigned long long)s.taken, "done",
                         (unsigned long long)s.done, "bytes", (unsigned long long)s.bytes);
}

static PyObject *queue_py_task_done(QueueObject *self, PyObject *Py_UNUSED(ignored))
{
    if (!self->q) return (PyObject *)queue_unusable(self);
    int rc = queue_task_done(process_arena, self->q);
    if (rc == AR_OK) Py_RETURN_NONE;
    if (rc == AR_OVERFLOW) PyErr_SetString(PyExc_ValueError, "task_done() called too many times: more often than items were put");
    else lock_error(rc);
    return NULL;
}

static PyObject *queue_py_join(QueueObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    static const char *const known[] = { "timeout", NULL };
    PyObject *v[1] = { NULL };
    uint64_t deadline;
    if (core_arguments("join", args, n, names, known, 0, v) < 0 || core_deadline(v[0] ? v[0] : Py_None, &deadline) < 0) return NULL;
    if (!self->q) return (PyObject *)queue_unusable(self);
    int rc;
    do {
        Py_BEGIN_ALLOW_THREADS
        rc = queue_join(process_arena, self->q, deadline);
        Py_END_ALLOW_THREADS
        /* Too early: the queue's lock is held by a process that is stopped. */
        if (rc == AR_TIMEOUT && clock_ns() < deadline) rc = AR_INTR;
        if (rc == AR_INTR && PyErr_CheckSignals() < 0) return NULL;
    } while (rc == AR_INTR);
    if (rc != AR_OK && rc != AR_TIMEOUT) return queue_error(rc);
    return PyBool_FromLong(rc == AR_OK);
}

static PyObject *queue_py_shutdown(QueueObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    static const char *const known[] = { "immediate", NULL };
    PyObject *v[1] = { NULL };
    if (core_arguments("shutdown", args, n, names, known, 0, v) < 0) return NULL;
    int immediate = v[0] ? PyObject_IsTrue(v[0]) : 0;
    if (immediate < 0) return NULL;
    if (!self->q) return (PyObject *)queue_unusable(self);
    int rc;
    Py_BEGIN_ALLOW_THREADS
    rc = queue_shutdown(process_arena, self->q, immediate);
    Py_END_ALLOW_THREADS
    if (rc == AR_OK) Py_RETURN_NONE;
    lock_error(rc);
    return NULL;
}

static PyObject *descriptor(QueueObject *self, struct bell **bell, enum bell_kind kind)
{
    if (!queue_usable(self)) return NULL;
    if (!*bell && !(*bell = bell_open(process_arena, self->q, kind))) return PyErr_SetFromErrno(PyExc_OSError);
    int fd = bell_fd(process_arena, *bell);
    return fd < 0 ? PyErr_SetFromErrno(PyExc_OSError) : PyLong_FromLong(fd);
}
static PyObject *queue_py_fileno(QueueObject *self, PyObject *Py_UNUSED(ignored))
{
    return descriptor(self, &self->items, BELL_ITEMS);
}
static PyObject *queue_py_room_fileno(QueueObject *self, PyObject *Py_UNUSED(ignored))
{
    return descriptor(self, &self->room, BELL_ROOM);
}

static void close_bells(QueueObject *self)
{
    struct bell *items = self->items, *room = self->room;
    self->items = self->room = NULL;
    if (items) bell_close(items);
    if (room) bell_close(room);
}

static PyObject *queue_py_close(QueueObject *self, PyObject *Py_UNUSED(ignored))
{
    self->closed = true;
    close_bells(self);
    Py_RETURN_NONE;
}

static PyObject *queue_py_patient(QueueObject *self, PyObject *Py_UNUSED(ignored))
{
    self->patient = true;
    Py_RETURN_NONE;
}

static PyObject *get_closed(QueueObject *self, void *Py_UNUSED(closure)) { return PyBool_FromLong(self->closed); }
static PyObject *get_maxsize(QueueObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLongLong(self->q ? SH_PEEK(&self->q->maxsize) : 0);
}
static PyObject *get_maxbytes(QueueObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLongLong(self->q ? SH_PEEK(&self->q->maxbytes) : 0);
}
static PyObject *get_peers(QueueObject *self, void *Py_UNUSED(closure)) { return PyBool_FromLong(self->peers); }
static PyObject *get_is_shut_down(QueueObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(self->q && (SH_GET(&self->q->flags) & QUEUE_SHUTDOWN));
}

/* ---- life ------------------------------------------------------------------------------------------------------ */

static QueueObject *queue_new_object(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    return core_alloc(type);
}

static int queue_opened(PyObject *object)
{
    QueueObject *self = (QueueObject *)object;
    self->q = self->shared.payload;
    self->stalled = UINT64_MAX;
    return 0;
}

static int limit_from(PyObject *value, uint64_t *limit)
{
    *limit = 0;
    if (!value) return 0;
    long long wanted = PyLong_AsLongLong(value);
    if (wanted == -1 && PyErr_Occurred()) return -1;
    *limit = wanted > 0 ? (uint64_t)wanted : 0;
    return 0;
}

static int queue_init(QueueObject *self, PyObject *args, PyObject *kwargs)
{
    static char *known[] = { "maxsize", "maxbytes", "strict", "peers", NULL };
    PyObject *maxsize = NULL, *maxbytes = NULL;
    int strict = 0, peers = 0;
    uint64_t items, bytes;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|OOpp", known, &maxsize, &maxbytes, &strict, &peers)) return -1;
    if (limit_from(maxsize, &items) < 0 || limit_from(maxbytes, &bytes) < 0) return -1;
    if (self->q) return core_fail(PyExc_RuntimeError, "the queue is initialised already");
    if (core_ensure() < 0) return -1;
    aoff off = queue_new(process_arena, items, bytes);
    if (!off) {
        core_raise(AR_NOMEM, "the queue");
        return -1;
    }
    if (shared_attach(&self->shared, off) < 0) return -1;
    self->strict = strict;
    self->peers = peers;
    return queue_opened((PyObject *)self);
}

/* _attach(handle, strict, peers): what unpickling does instead of __init__. */
static PyObject *queue_py_attach(QueueObject *self, PyObject *args)
{
    PyObject *handle;
    int strict = 0, peers = 0;
    if (!PyArg_ParseTuple(args, "O|pp:_attach", &handle, &strict, &peers)) return NULL;
    if (self->q) return PyErr_Format(PyExc_RuntimeError, "the queue is initialised already");
    aoff off = shared_claim(handle, Py_TYPE((PyObject *)self));
    if (!off || shared_attach(&self->shared, off) < 0) return NULL;
    self->strict = strict;
    self->peers = peers;
    queue_opened((PyObject *)self);
    Py_RETURN_NONE;
}

static void queue_dealloc(QueueObject *self)
{
    close_bells(self);
    shared_dealloc((PyObject *)self);
}

#define METHOD(name, function, doc) { name, CORE_FAST(function), METH_FASTCALL | METH_KEYWORDS, doc }
#define SIMPLE(name, function, doc) { name, CORE_FAST(function), METH_NOARGS, doc }
static PyMethodDef queue_methods[] = {
    METHOD("put", queue_py_put,
           "put($self, obj, block=True, timeout=None)\n--\n\n"
           "Put an object; it is pickled now and visible to every process on return.\n\n"
           "Waits while the queue is full, at most timeout seconds (None: for ever); block=False does not wait.\n"
           "Raises queue.Full, ValueError on a closed queue, ShutDown, MemoryError at the arena's limit (nothing is lost),\n"
           "and what pickling raises."),
    { "put_nowait", CORE_FAST(queue_py_put_nowait), METH_O,
      "put_nowait($self, obj, /)\n--\n\nThe same as put(obj, False)." },
    METHOD("put_many", queue_py_put_many,
           "put_many($self, items, block=True, timeout=None)\n--\n\n"
           "Put the objects of an iterable in order, many under one lock, and return their number.\n\n"
           "Raises what put() raises; the exception's attribute `accepted` says how many were put before."),
    METHOD("get", queue_py_get,
           "get($self, block=True, timeout=None, peers=False)\n--\n\n"
           "Take the oldest object.\n\n"
           "Waits while the queue is empty, at most timeout seconds (None: for ever); block=False does not wait.\n"
           "peers=True: raise PeerDiedError if no other live process holds a reference to the queue, so none can put.\n"
           "Raises queue.Empty, ValueError on a closed queue, ShutDown once a queue that was shut down is empty,\n"
           "and what unpickling raises."),
    SIMPLE("get_nowait", queue_py_get_nowait, "get_nowait($self, /)\n--\n\nThe same as get(False)."),
    SIMPLE("get_no_wait", queue_py_get_nowait, "get_no_wait($self, /)\n--\n\nThe same as get(False); the name of the first documentation."),
    METHOD("get_many", queue_py_get_many,
           "get_many($self, max_items=None, block=True, timeout=None)\n--\n\n"
           "Take up to max_items objects, at least one, and return them as a list; None: what is there.\n\n"
           "Waits only for the first one. May return fewer than there are where messages are large. Raises as get() does."),
    SIMPLE("peek", queue_py_peek,
           "peek($self, /)\n--\n\nReturn the oldest object and leave it in the queue. Never waits. Raises as get_nowait() does."),
    SIMPLE("qsize", queue_py_qsize, "qsize($self, /)\n--\n\nThe number of objects in the queue, exact at the moment it was taken."),
    SIMPLE("empty", queue_py_empty, "empty($self, /)\n--\n\nWhether the queue is empty. Raises OSError on a closed queue that was put to."),
    SIMPLE("full", queue_py_full, "full($self, /)\n--\n\nWhether put() would wait now."),
    SIMPLE("_task_done", queue_py_task_done, NULL),
    METHOD("_join", queue_py_join, NULL),
    METHOD("shutdown", queue_py_shutdown,
           "shutdown($self, immediate=False)\n--\n\n"
           "End the queue in all processes: put() raises ShutDown, get() too as soon as the queue is empty.\n\n"
           "immediate=True empties it at once, and counts what was in it as done."),
    SIMPLE("fileno", queue_py_fileno,
           "fileno($self, /)\n--\n\n"
           "A descriptor of this process that is readable while the queue holds objects or is shut down.\n\n"
           "It may also be readable for a moment after another process has taken the last object. Made on the first call;\n"
           "until then it costs nothing. Raises OSError if no descriptor or thread can be had, ValueError on a closed queue."),
    SIMPLE("_room_fileno", queue_py_room_fileno, NULL),
    SIMPLE("totals", queue_py_totals, "totals($self, /)\n--\n\nA dictionary: objects put, taken and done so far, bytes in the queue now."),
    SIMPLE("_patient", queue_py_patient,
           "_patient($self, /)\n--\n\nThis thread is the only consumer, and what it waits for comes soon: spin longer."),
    { "_ask", CORE_FAST(queue_py_ask), METH_FASTCALL,
      "_ask($self, requests, data, key, timeout, /)\n--\n\n"
      "Put data and key, joined, into the queue of requests, and return the answer that comes here.  Raises as put() and get() do;\n"
      "after queue.Empty the answer is still to come." },
    SIMPLE("_close", queue_py_close, NULL),
    { "_attach", CORE_FAST(queue_py_attach), METH_VARARGS, NULL },
    { NULL, NULL, 0, NULL }
};
static PyGetSetDef queue_getset[] = {
    { "_closed", (getter)get_closed, NULL, "Whether close() was called on this handle.", NULL },
    { "_peers", (getter)get_peers, NULL, NULL, NULL },
    { "_is_shut_down", (getter)get_is_shut_down, NULL, NULL, NULL },
    { "maxsize", (getter)get_maxsize, NULL, "The most objects that the queue holds; 0: no limit.", NULL },
    { "maxbytes", (getter)get_maxbytes, NULL, "The most bytes of payload that the queue holds; 0: no limit.", NULL },
    { NULL, NULL, NULL, NULL, NULL }
};
static PyType_Slot queue_slots[] = {
    { Py_tp_new, queue_new_object }, { Py_tp_init, queue_init }, { Py_tp_dealloc, queue_dealloc },
    { Py_tp_methods, queue_methods }, { Py_tp_getset, queue_getset },
    { Py_tp_doc, "Queue(maxsize=0, maxbytes=0, strict=False, peers=False)\n--\n\nA queue in the arena." }, { 0, NULL },
};
static PyType_Spec queue_spec = { "procession_native._core.Queue", sizeof(QueueObject), 0,
                                  Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, queue_slots };

PyDoc_STRVAR(bind_queue_doc,
"bind_queue(pack, unpack, loads)\n--\n\n"
"Tell the core how to pickle: pack(obj) gives bytes, or bytes and a list of arena objects; loads(bytes) undoes a plain\n"
"pickle, unpack(bytes) any other.");
static PyObject *bind_queue(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *pack, *unpack, *loads;
    if (!PyArg_ParseTuple(args, "OOO", &pack, &unpack, &loads)) return NULL;
    core_keep(&queue_hooks.pack, pack);
    core_keep(&queue_hooks.unpack, unpack);
    core_keep(&queue_hooks.loads, loads);
    Py_RETURN_NONE;
}
static PyMethodDef functions[] = {
    { "bind_queue", bind_queue, METH_VARARGS, bind_queue_doc },
    { NULL, NULL, 0, NULL }
};

static int restart_call(void *Py_UNUSED(argument))
{
    bell_restart();
    return 0;
}
static void restart_soon(void)
{
    if (Py_AddPendingCall(restart_call, NULL) < 0) bell_restart();
}

int procession_add_queue(PyObject *module)
{
    PyTypeObject *type = core_add_type(module, &queue_spec, shared_type);
    if (!type) return -1;
    queue_register();
    bell_restart_soon = restart_soon;
    shared_register(KIND_QUEUE, type, queue_opened);
    return PyModule_AddFunctions(module, functions);
}
