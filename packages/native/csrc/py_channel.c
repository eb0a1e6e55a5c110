/* py_channel.c: Channel, a pool's private channel to a worker, as Python sees it; Hub is in py_channel_hub.c.
 *
 * The pool's side of a channel belongs to one thread at a time (the caller holds the engine's lock); so does the worker's.
 */
#include "py_channel.h"
#include "channel_hold.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#define SIGNALS_EVERY 64

PyTypeObject *channel_type;

int channel_memory(PyObject *from, Py_buffer *view, size_t least, const char *what)
{
    if (PyObject_GetBuffer(from, view, PyBUF_WRITABLE) < 0) return -1;
    if ((size_t)view->len < least || (uintptr_t)view->buf % 8 != 0) {
        PyErr_Format(PyExc_ValueError, "%s needs at least %zu bytes of memory at a multiple of 8; got %zd bytes", what, least, view->len);
        PyBuffer_Release(view);
        return -1;
    }
    return 0;
}

void spin_adapt(uint32_t *spin, bool won, int cpus)
{
    if (cpus < 2) *spin = 0;
    else if (won) *spin = *spin * 2 + 1000 > SPIN_MOST_NS ? SPIN_MOST_NS : *spin * 2 + 1000;
    else *spin = *spin / 2 < 500 ? 500 : *spin / 2;
}

/* ---- construction -------------------------------------------------------------------------------------------------- */

static PyObject *format_channel(PyObject *Py_UNUSED(self), PyObject *args)
{
    PyObject *from;
    unsigned int tasks, results;
    Py_buffer view;
    if (!PyArg_ParseTuple(args, "OII", &from, &tasks, &results)) return NULL;
    if (tasks % 64 || results % 64 || tasks < 1024 || results < 1024)
        return PyErr_Format(PyExc_ValueError, "a ring has a multiple of 64 bytes and at least 1024; got %u and %u", tasks, results);
    if (channel_memory(from, &view, (size_t)CHANNEL_HEADER + tasks + results, "a channel") < 0) return NULL;
    channel_format(view.buf, tasks, results);
    PyBuffer_Release(&view);
    Py_RETURN_NONE;
}

static PyObject *channel_new(PyTypeObject *type, PyObject *args, PyObject *kw)
{
    PyObject *from, *hub;
    int fd;
    if (core_no_keywords("Channel", kw) < 0 || !PyArg_ParseTuple(args, "OOi:Channel", &from, &hub, &fd)) return NULL;
    Channel *self = core_alloc(type);
    if (self == NULL) return NULL;
    self->bell = (struct pool_bell){ fd, identity_of(fd) };
    forks_watch();
    self->cpus = cpus_usable();
    self->spin_ns = self->cpus > 1 ? 10000 : 0;
    if (channel_memory(from, &self->memory, CHANNEL_HEADER, "a channel") < 0) { Py_DECREF(self); return NULL; }
    self->c = self->memory.buf;
    if (channel_memory(hub, &self->hub_memory, HUB_SIZE, "a hub") < 0) { Py_DECREF(self); return NULL; }
    self->hub = self->hub_memory.buf;
    const char *why = channel_check(self->c, (uint64_t)self->memory.len);
    if (why != NULL) {
        PyErr_SetString(PyExc_ValueError, why);
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static void channel_dealloc(Channel *self)
{
    if (self->memory.obj != NULL) PyBuffer_Release(&self->memory);
    if (self->hub_memory.obj != NULL) PyBuffer_Release(&self->hub_memory);
    core_free(self);
}

/* ---- the pool's side ----------------------------------------------------------------------------------------------- */

static void wake_worker(Channel *self)
{
    struct channel *c = self->c;
    SH_FENCE(); /* t_head before t_sleeping; pairs with the fence in channel_next */
    if (SH_GET(&c->t_sleeping)) {
        SH_ADD(&c->t_bell, 1);
        os_wake(&c->t_bell, 1);
    }
}

/* Copies a finished record into the task ring: 1 done, 0 no room. */
static int post(Channel *self, struct buffer *b, uint64_t *position)
{
    struct channel *c = self->c;
    uint32_t size = SH_PEEK(&c->task_size);
    uint64_t head = SH_PEEK(&c->t_head), tail = SH_GET(&c->t_tail);
    char *to = ring_reserve(channel_tasks(c), size, &head, tail, (uint32_t)b->used);
    if (to == NULL) return 0;
    memcpy(to, b->data, b->used);
    *position = head;
    SH_SET(&c->t_head, head + b->used);
    wake_worker(self);
    return 1;
}

static int add_message(struct buffer *b, PyObject *data)
{
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) return -1;
    struct message head = {.head = {.kind = RECORD_MESSAGE}, .length = (uint32_t)view.len};
    int done = buffer_add(b, &head, sizeof head) < 0 ? -1 : buffer_add(b, view.buf, (size_t)view.len);
    PyBuffer_Release(&view);
    return done;
}

static int finish_record(struct buffer *b)
{
    static const char zeros[8];
    if (b->used % 8 && buffer_add(b, zeros, 8 - b->used % 8) < 0) return -1;
    ((struct record *)b->data)->size = (uint32_t)b->used;
    return 0;
}

PyDoc_STRVAR(send_doc,
"send(batch, function, mode, items, start, stop, dumps) -> (sent, position)\n\n"
"Send the tasks items[start:stop], or as many of the first ones as there is room for.  When dumps() raises for the\n"
"first one, the exception is raised; for a later one, those before it are sent.");
static PyObject *channel_send(Channel *self, PyObject *args)
{
    unsigned int id, function, mode;
    PyObject *items, *dumps;
    Py_ssize_t start, stop;
    if (!PyArg_ParseTuple(args, "IIIO!nnO", &id, &function, &mode, &PyList_Type, &items, &start, &stop, &dumps)) return NULL;
    struct channel *c = self->c;
    uint32_t ring = SH_PEEK(&c->task_size);
    uint64_t used = SH_PEEK(&c->t_head) - SH_GET(&c->t_tail);
    size_t room = ring - used < ring / 2 ? ring - used : ring / 2;
    if (room < sizeof(struct batch) + 64) return Py_BuildValue("(IK)", 0u, 0ull);
    struct buffer b;
    buffer_init(&b);
    struct batch head = {.head = {.kind = RECORD_BATCH, .mode = (uint16_t)mode}, .id = id, .function = function};
    if (buffer_add(&b, &head, sizeof head) < 0) goto fail;
    Py_ssize_t i;
    for (i = start; i < stop && i < PyList_Size(items); i++) {
        size_t before = b.used;
        PyObject *item = PyList_GetItem(items, i);
        if (item == NULL) goto fail;
        Py_INCREF(item);
        int done = item_encode(&b, item, dumps, 0);
        Py_DECREF(item);
        if (done < 0) {
            if (i == start) goto fail;
            PyErr_Clear();
            break;
        }
        if (b.used + 8 > room) { b.used = before; break; }
        if (b.full) { i++; break; }
    }
    uint32_t sent = (uint32_t)(i - start);
    uint64_t position = 0;
    if (sent) {
        if (finish_record(&b) < 0) goto fail;
        struct batch *whole = (struct batch *)b.data;
        whole->count = sent;
        SH_INIT(&whole->claim, (uint64_t)sent << 32);
        if (!post(self, &b, &position)) sent = 0;
    }
    buffer_free(&b);
    return Py_BuildValue("(IK)", sent, (unsigned long long)position);
fail:
    buffer_free(&b);
    return NULL;
}

PyDoc_STRVAR(message_doc, "message(data) -> bool\n\nSend bytes for the worker's own use; False: no room now.");
static PyObject *channel_message(Channel *self, PyObject *data)
{
    struct buffer b;
    buffer_init(&b);
    uint64_t position;
    int done = add_message(&b, data) < 0 || finish_record(&b) < 0 ? -1 : post(self, &b, &position);
    buffer_free(&b);
    return done < 0 ? NULL : PyBool_FromLong(done);
}

PyDoc_STRVAR(cut_doc,
"cut(position, limit) -> (next, limit) or None\n\n"
"Take back the tasks of a batch from index limit on, as far as the worker has not claimed them; tells which are the\n"
"worker's now: those below limit, of which those below next are claimed.  None: the worker has finished the batch.");
static PyObject *channel_cut(Channel *self, PyObject *args)
{
    unsigned long long position;
    unsigned int limit;
    if (!PyArg_ParseTuple(args, "KI", &position, &limit)) return NULL;
    struct channel *c = self->c;
    /* Only the pool writes this ring, so the record is intact even if the worker finishes it meanwhile. */
    if (position < SH_GET(&c->t_tail)) Py_RETURN_NONE;
    struct batch *b = (struct batch *)(channel_tasks(c) + position % SH_PEEK(&c->task_size));
    uint64_t word = batch_cut(b, limit);
    return Py_BuildValue("(II)", (unsigned int)word, (unsigned int)(word >> 32));
}

PyDoc_STRVAR(state_doc,
"state() -> (started_ns, busy_ns, done, waited_ns, sleeping, queued_bytes, chunk_item)");
static PyObject *channel_state(Channel *self, PyObject *Py_UNUSED(none))
{
    struct channel *c = self->c;
    return Py_BuildValue("(KKKKIKI)", (unsigned long long)SH_GET(&c->started_ns), (unsigned long long)SH_GET(&c->busy_ns),
                         (unsigned long long)SH_GET(&c->done), (unsigned long long)SH_GET(&c->waited_ns),
                         (unsigned int)SH_GET(&c->t_sleeping),
                         (unsigned long long)(SH_GET(&c->t_head) - SH_GET(&c->t_tail)), (unsigned int)SH_GET(&c->chunk_item));
}

static PyObject *channel_times(Channel *self, PyObject *Py_UNUSED(none))
{
    return Py_BuildValue("(KK)", (unsigned long long)SH_GET(&self->c->busy_ns), (unsigned long long)SH_GET(&self->c->done));
}

PyDoc_STRVAR(hold_fork_doc,
"hold_fork(name, stop, life_read, life_write)\n\n"
"The child of this thread's next fork, a process of that name, sleeps within the fork until it has been sent something\n"
"here; if that is a message that begins with the byte stop, it ends.  It dies when nobody has the write end of the life\n"
"pipe, and its own copy becomes a read end (-1: there is no such pipe).");
static PyObject *channel_hold(Channel *self, PyObject *args)
{
    const char *name;
    int stop;
    struct held_fork held = {.channel = self->c};
    if (!PyArg_ParseTuple(args, "siii", &name, &stop, &held.life_read, &held.life_write)) return NULL;
    held.stop = (char)stop;
    strncpy(held.name, name, sizeof held.name - 1);
    channel_hold_fork(&held);
    Py_RETURN_NONE;
}

static PyObject *channel_hold_none(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(none))
{
    channel_hold_fork(NULL);
    Py_RETURN_NONE;
}

static PyObject *channel_ready(Channel *self, PyObject *Py_UNUSED(none))
{
    return PyBool_FromLong(SH_GET(&self->c->r_head) != SH_PEEK(&self->c->r_tail));
}

static PyObject *channel_positions(Channel *self, PyObject *Py_UNUSED(none))
{
    return Py_BuildValue("(KK)", (unsigned long long)SH_GET(&self->c->r_head), (unsigned long long)SH_GET(&self->c->r_tail));
}

/* ---- the worker's side --------------------------------------------------------------------------------------------- */

static void ring_pool(Channel *self, bool idle)
{
    if (!hub_ring(self->hub, &self->bell, idle)) self->lost = true;
}

/* A task may fork, and its child come back here: the channel is its parent's.  It may close every descriptor: then the
 * pool hears of us when we end.  0, or -1 with an exception. */
static int still_worker(Channel *self)
{
    if (!self->working) {
        self->forks = forks_behind;
        self->working = true;
    }
    if (self->forks != forks_behind) {
        PyObject *status = PyLong_FromLong(0);
        if (status != NULL) PyErr_SetObject(PyExc_SystemExit, status);
        Py_XDECREF(status);
        return -1;
    }
    if (self->lost) return core_fail(PyExc_OSError, "a task has closed the descriptor by which its worker wakes the pool");
    return 0;
}

/* Waits until the result ring has room; 0, or -1 with an exception of a signal handler. */
static int emit(Channel *self, struct buffer *b)
{
    struct channel *c = self->c;
    uint32_t size = SH_PEEK(&c->result_size);
    if (finish_record(b) < 0) return -1;
    if (b->used > size / 2) {
        PyErr_Format(PyExc_ValueError, "a record of %zu bytes does not fit a ring of %u", b->used, size);
        return -1;
    }
    for (;;) {
        uint64_t head = SH_PEEK(&c->r_head), tail = SH_GET(&c->r_tail);
        char *to = ring_reserve(channel_results(c), size, &head, tail, (uint32_t)b->used);
        if (to != NULL) {
            memcpy(to, b->data, b->used);
            SH_SET(&c->r_head, head + b->used);
            return 0;
        }
        uint32_t seen = SH_GET(&c->r_bell);
        SH_SET(&c->r_waiting, 1);
        SH_FENCE(); /* r_waiting before r_tail; pairs with the fence in drain */
        if (SH_GET(&c->r_tail) == tail) {
            ring_pool(self, true);
            Py_BEGIN_ALLOW_THREADS
            os_wait(&c->r_bell, seen, 100000000u);
            Py_END_ALLOW_THREADS
        }
        SH_SET(&c->r_waiting, 0);
        if (PyErr_CheckSignals() < 0) return -1;
    }
}

PyDoc_STRVAR(emit_doc, "emit(data, ring)\n\nSend bytes to the pool as a message; waits for room. With ring false the pool\n"
             "finds it when it looks the next time.");
static PyObject *channel_emit(Channel *self, PyObject *args)
{
    PyObject *data;
    int ring;
    if (!PyArg_ParseTuple(args, "Op", &data, &ring)) return NULL;
    struct buffer b;
    buffer_init(&b);
    int done = add_message(&b, data) < 0 ? -1 : emit(self, &b);
    buffer_free(&b);
    if (done < 0) return NULL;
    if (ring) ring_pool(self, true);
    Py_RETURN_NONE;
}

static void finish_batch(Channel *self)
{
    self->batch = NULL;
    SH_SET(&self->c->t_tail, self->batch_at);
}

PyDoc_STRVAR(next_doc,
"next(timeout) -> None, bytes or (batch, function, mode, count)\n\n"
"Wait for the next record of the pool, at most timeout seconds (below 0: for ever).");
static PyObject *channel_next(Channel *self, PyObject *args)
{
    double timeout;
    if (!PyArg_ParseTuple(args, "d", &timeout)) return NULL;
    struct channel *c = self->c;
    channel_raise_noted();
    if (PyErr_CheckSignals() < 0 || still_worker(self) < 0) return NULL;
    uint64_t begun = 0, limit = timeout < 0 ? UINT64_MAX : (uint64_t)(timeout * 1e9);
    for (;;) {
        uint64_t tail = SH_PEEK(&c->t_tail), head = SH_GET(&c->t_head);
        struct record *r = ring_peek(channel_tasks(c), SH_PEEK(&c->task_size), head, &tail);
        if (r != NULL) {
            if (begun) SH_SET(&c->waited_ns, SH_PEEK(&c->waited_ns) + (clock_ns() - begun));
            uint64_t after = tail + r->size;
            if (r->kind == RECORD_MESSAGE) {
                struct message *m = (struct message *)r;
                PyObject *data = PyBytes_FromStringAndSize((char *)(m + 1), m->length);
                if (data != NULL) SH_SET(&c->t_tail, after);
                return data;
            }
            if (tail != SH_PEEK(&c->t_tail)) SH_SET(&c->t_tail, tail); /* the padding is done with */
            self->batch = (struct batch *)r;
            self->batch_at = after;
            self->item = (char *)(self->batch + 1);
            self->item_end = (char *)r + r->size;
            self->item_index = 0;
            /* The last one: the pool has time to send more while it runs. */
            if (after == SH_GET(&c->t_head) && SH_GET(&self->hub->refill)) ring_pool(self, true);
            return Py_BuildValue("(IIII)", self->batch->id, self->batch->function, (unsigned)r->mode, self->batch->count);
        }
        uint64_t now = clock_ns();
        if (!begun) {
            begun = now;
            /* A worker that has just started has no news: the pool has given it what there was. */
            if (self->ran) ring_pool(self, true);
            self->ran = false;
        }
        if (limit != UINT64_MAX && now - begun >= limit) {
            SH_SET(&c->waited_ns, SH_PEEK(&c->waited_ns) + (now - begun));
            Py_RETURN_NONE;
        }
        bool won = false;
        Py_BEGIN_ALLOW_THREADS
        if (self->spin_ns) {
            uint64_t until = now + self->spin_ns;
            do {
                for (int i = 0; i < 16; i++) cpu_relax();
                won = SH_GET(&c->t_head) != head;
            } while (!won && clock_ns() < until);
        }
        if (!won) {
            uint32_t seen = SH_GET(&c->t_bell);
            SH_SET(&c->t_sleeping, 1);
            SH_FENCE(); /* t_sleeping before t_head; pairs with wake_worker */
            if (SH_GET(&c->t_head) == head) os_wait(&c->t_bell, seen, limit == UINT64_MAX ? UINT64_MAX : limit - (now - begun));
            SH_SET(&c->t_sleeping, 0);
        }
        Py_END_ALLOW_THREADS
        spin_adapt(&self->spin_ns, won, self->cpus);
        if (PyErr_CheckSignals() < 0) return NULL;
    }
}

enum call_mode { CALL_ONE = 0, CALL_STAR = 1, CALL_ANY = 2, CALL_CHUNK = 3, CALL_STAR_CHUNK = 4 };

static PyObject *call_star(PyObject *function, PyObject *arg)
{
    PyObject *tuple = PyTuple_Check(arg) ? (Py_INCREF(arg), arg) : PySequence_Tuple(arg);
    if (tuple == NULL) return NULL;
    PyObject *value = PyObject_Call(function, tuple, NULL);
    Py_DECREF(tuple);
    return value;
}

static PyObject *call(Channel *self, PyObject *function, PyObject *arg, unsigned int mode)
{
    if (mode == CALL_ONE) return PyObject_CallFunctionObjArgs(function, arg, NULL);
    if (mode == CALL_STAR) return call_star(function, arg);
    if (mode == CALL_ANY) {
        if (!PyTuple_Check(arg) || PyTuple_Size(arg) != 2) { PyErr_BadInternalCall(); return NULL; }
        return PyObject_Call(function, PyTuple_GetItem(arg, 0), PyTuple_GetItem(arg, 1));
    }
    if (!PyList_Check(arg)) { PyErr_BadInternalCall(); return NULL; }
    Py_ssize_t n = PyList_Size(arg);
    PyObject *values = PyList_New(n);
    for (Py_ssize_t i = 0; values != NULL && i < n; i++) {
        SH_SET(&self->c->chunk_item, (uint32_t)i);
        PyObject *item = PyList_GetItem(arg, i), *value;
        value = mode == CALL_CHUNK ? PyObject_CallFunctionObjArgs(function, item, NULL) : call_star(function, item);
        if (value == NULL || PyList_SetItem(values, i, value) < 0) { Py_DECREF(values); values = NULL; }
    }
    return values;
}

PyDoc_STRVAR(run_doc,
"run(function, loads, dumps, failed, most) -> int\n\n"
"Run tasks of the batch in hand, at most `most`; returns how many ran.  The result of each is visible to the pool as\n"
"soon as it is there.  failed(exception) -> (tag, bytes) makes the result of a task that raised.  in_hand tells\n"
"whether the batch has tasks left.");
static PyObject *channel_run(Channel *self, PyObject *args)
{
    PyObject *function, *loads, *dumps, *failed;
    Py_ssize_t most;
    if (!PyArg_ParseTuple(args, "OOOOn", &function, &loads, &dumps, &failed, &most)) return NULL;
    struct channel *c = self->c;
    Py_ssize_t ran = 0;
    struct buffer b;
    buffer_init(&b);
    uint64_t begun = clock_ns();
    while (self->batch != NULL && ran < most) {
        int64_t index = batch_claim(self->batch);
        if (index < 0) { finish_batch(self); break; }
        SH_SET(&c->started_ns, begun);
        struct result head = {.head = {.kind = RECORD_RESULT}, .batch = self->batch->id, .index = (uint32_t)index};
        PyObject *value = NULL, *arg = NULL;
        while (self->item_index < (uint32_t)index && item_skip(&self->item, self->item_end) == 0) self->item_index++;
        arg = item_decode(&self->item, self->item_end, loads);
        self->item_index++;
        if (arg != NULL) {
            value = call(self, function, arg, self->batch->head.mode);
            Py_DECREF(arg);
        }
        if (self->forks != forks_behind) {
            Py_CLEAR(value);
            PyErr_Clear();
            still_worker(self);
            goto fail;
        }
        b.used = 0;
        if (buffer_add(&b, &head, sizeof head) < 0) goto fail;
        int done = value == NULL ? -1 : item_encode(&b, value, dumps, 0);
        Py_XDECREF(value);
        if (done < 0) {
            PyObject *error = core_caught(), *payload = NULL;
            if (error != NULL) {
                b.used = sizeof head;
                ((struct result *)b.data)->head.mode = 1;
                /* failed() takes the place of dumps() */
                payload = PyObject_CallFunctionObjArgs(failed, error, NULL);
                Py_DECREF(error);
            }
            if (payload == NULL) goto fail;
            PyObject *data = PyTuple_Check(payload) && PyTuple_Size(payload) == 2 ? PyTuple_GetItem(payload, 1) : NULL;
            if (data == NULL || !PyBytes_Check(data)) { Py_DECREF(payload); PyErr_BadInternalCall(); goto fail; }
            uint32_t word = (uint32_t)PyLong_AsLong(PyTuple_GetItem(payload, 0)) | (uint32_t)PyBytes_Size(data) << 8;
            done = buffer_add(&b, &word, 4) < 0 || buffer_add(&b, PyBytes_AsString(data), (size_t)PyBytes_Size(data)) < 0 ? -1 : 0;
            Py_DECREF(payload);
            if (done < 0) goto fail;
        }
        uint64_t now = clock_ns();
        SH_SET(&c->busy_ns, SH_PEEK(&c->busy_ns) + (now - begun));
        SH_SET(&c->done, SH_PEEK(&c->done) + 1);
        SH_SET(&c->started_ns, 0);
        bool slow = now - begun > 200000u;
        begun = now;
        if (emit(self, &b) < 0) goto fail;
        ran++;
        self->ran = true;
        uint64_t waiting = SH_PEEK(&c->r_head) - SH_GET(&c->r_tail);
        ring_pool(self, waiting > SH_PEEK(&c->result_size) / 2 || slow);
        if (ran % SIGNALS_EVERY == 0 && PyErr_CheckSignals() < 0) goto fail;
    }
    buffer_free(&b);
    return PyLong_FromSsize_t(ran);
fail:
    buffer_free(&b);
    return NULL;
}

static PyObject *channel_in_hand(Channel *self, void *Py_UNUSED(none))
{
    return PyBool_FromLong(self->batch != NULL);
}

/* ---- the module's part --------------------------------------------------------------------------------------------- */

static PyMethodDef channel_methods[] = {
    {"send", (PyCFunction)channel_send, METH_VARARGS, send_doc},
    {"message", (PyCFunction)channel_message, METH_O, message_doc},
    {"cut", (PyCFunction)channel_cut, METH_VARARGS, cut_doc},
    {"state", (PyCFunction)channel_state, METH_NOARGS, state_doc},
    {"times", (PyCFunction)channel_times, METH_NOARGS, "times() -> (busy_ns, done)"},
    {"hold_fork", (PyCFunction)channel_hold, METH_VARARGS, hold_fork_doc},
    {"hold_no_fork", channel_hold_none, METH_NOARGS | METH_STATIC, "hold_no_fork()\n\nThe fork that was to be held did not happen."},
    {"ready", (PyCFunction)channel_ready, METH_NOARGS, "ready() -> bool\n\nWhether results wait."},
    {"positions", (PyCFunction)channel_positions, METH_NOARGS,
     "positions() -> (written, read)\n\nBytes of results ever written and ever read."},
    {"emit", (PyCFunction)channel_emit, METH_VARARGS, emit_doc},
    {"next", (PyCFunction)channel_next, METH_VARARGS, next_doc},
    {"run", (PyCFunction)channel_run, METH_VARARGS, run_doc},
    {NULL, NULL, 0, NULL},
};
static PyGetSetDef channel_getset[] = {
    {"in_hand", (getter)channel_in_hand, NULL, "Whether a batch has been taken that may have tasks left.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};
static PyType_Slot channel_slots[] = {
    { Py_tp_new, channel_new }, { Py_tp_dealloc, channel_dealloc }, { Py_tp_methods, channel_methods },
    { Py_tp_getset, channel_getset },
    { Py_tp_doc, "Channel(memory, hub_memory, eventfd)\n\nOne side of the channel between a pool and a worker." },
    { 0, NULL },
};
static PyType_Spec channel_spec = {
    "procession_native._core.Channel", sizeof(Channel), 0, Py_TPFLAGS_DEFAULT, channel_slots,
};

static PyMethodDef functions[] = {
    {"channel_format", format_channel, METH_VARARGS,
     "channel_format(memory, task_bytes, result_bytes)\n\nMake fresh memory (512 bytes and both rings) a channel."},
    {NULL, NULL, 0, NULL},
};

int procession_add_channel(PyObject *module)
{
    channel_type = core_add_type(module, &channel_spec, NULL);
    if (!channel_type || !core_add_type(module, &hub_spec, NULL) ||
        PyModule_AddIntConstant(module, "CHANNEL_HEADER", CHANNEL_HEADER) < 0 ||
        PyModule_AddIntConstant(module, "HUB_SIZE", HUB_SIZE) < 0 || PyModule_AddIntConstant(module, "CPUS", cpus_usable()) < 0)
        return -1;
    return PyModule_AddFunctions(module, functions);
}
