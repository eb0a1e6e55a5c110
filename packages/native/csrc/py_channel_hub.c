/* py_channel_hub.c: Hub, what a pool's callers wait on and collect results with. */
#include "py_channel.h"
#include "shield.h"

/* A signal that comes just before the sleep does not end it: the caller, who waits in a loop, looks now and then. */
#define SIGNALS_LOOK_NS 500000000u

#include <stddef.h>

typedef struct {
    PyObject_HEAD
    Py_buffer memory;
    struct hub *hub;
    uint32_t spin_ns;
    uint32_t heard;   /* the leader's bell when the last wait ended: a ring between two waits is not lost */
    int cpus;
} Hub;

/* ---- the hub ------------------------------------------------------------------------------------------------------- */

static PyObject *hub_new(PyTypeObject *type, PyObject *args, PyObject *kw)
{
    PyObject *from;
    if (core_no_keywords("Hub", kw) < 0 || !PyArg_ParseTuple(args, "O:Hub", &from)) return NULL;
    Hub *self = core_alloc(type);
    if (self == NULL) return NULL;
    if (channel_memory(from, &self->memory, HUB_SIZE, "a hub") < 0) { Py_DECREF(self); return NULL; }
    self->hub = self->memory.buf;
    self->cpus = cpus_usable();
    self->spin_ns = self->cpus > 1 ? 10000 : 0;
    return (PyObject *)self;
}

static void hub_dealloc(Hub *self)
{
    if (self->memory.obj != NULL) PyBuffer_Release(&self->memory);
    core_free(self);
}

static bool has_results(PyObject *channels)
{
    Py_ssize_t n = PyList_Size(channels);
    for (Py_ssize_t i = 0; i < n; i++) {
        Channel *ch = (Channel *)PyList_GetItem(channels, i);
        if (SH_GET(&ch->c->r_head) != SH_PEEK(&ch->c->r_tail)) return true;
    }
    return false;
}

static bool results_in(struct channel *const *all, Py_ssize_t n)
{
    for (Py_ssize_t i = 0; i < n; i++)
        if (SH_GET(&all[i]->r_head) != SH_PEEK(&all[i]->r_tail)) return true;
    return false;
}

static int check_channels(PyObject *channels)
{
    Py_ssize_t n = PyList_Size(channels);
    for (Py_ssize_t i = 0; i < n; i++)
        if (Py_TYPE(PyList_GetItem(channels, i)) != channel_type)
            return core_fail(PyExc_TypeError, "a list of Channel objects is needed");
    return 0;
}

PyDoc_STRVAR(wait_doc,
"wait(channels, mode, timeout) -> bool\n\n"
"As the one leader, wait until a channel has results, a ring of the right kind comes or timeout seconds have passed\n"
"(below 0: for ever).  Says whether results are there.");
static PyObject *hub_wait(Hub *self, PyObject *args)
{
    PyObject *channels;
    unsigned int mode;
    double timeout;
    if (!PyArg_ParseTuple(args, "O!Id", &PyList_Type, &channels, &mode, &timeout) || check_channels(channels) < 0) return NULL;
    /* Here an interrupt does no harm, and nowhere else in the loop of who waits. */
    shield_deliver();
    if (PyErr_CheckSignals() < 0) return NULL;
    struct hub *h = self->hub;
    Py_ssize_t n = PyList_Size(channels);
    uint32_t bell = SH_GET(&h->leader_bell);
    if (bell != self->heard) {
        self->heard = bell;
        return PyBool_FromLong(has_results(channels));
    }
    if (has_results(channels)) Py_RETURN_TRUE;
    /* The list may change as soon as the GIL is released: look at the words, and keep the channels alive. */
    PyObject *keep = PySequence_Tuple(channels);
    if (keep == NULL) return NULL;
    struct channel *few[16], **all = n <= 16 ? few : PyMem_Malloc((size_t)n * sizeof *all);
    if (all == NULL) { Py_DECREF(keep); return PyErr_NoMemory(); }
    for (Py_ssize_t i = 0; i < n; i++) all[i] = ((Channel *)PyTuple_GetItem(keep, i))->c;
    bool won = false, spun = false;
    Py_BEGIN_ALLOW_THREADS
    if (self->spin_ns && mode != WAKE_NEVER) {
        uint64_t until = clock_ns() + self->spin_ns;
        spun = true;
        do {
            for (int i = 0; i < 8; i++) cpu_relax();
            won = results_in(all, n);
        } while (!won && SH_GET(&h->leader_bell) == bell && clock_ns() < until);
    }
    if (spun) spin_adapt(&self->spin_ns, won, self->cpus);
    if (!won && !shield_noted(&h->leader_bell)) {
        SH_SET(&h->leader_mode, mode);
        SH_FENCE(); /* leader_mode before r_head; pairs with hub_ring */
        won = results_in(all, n);
        if (!won) os_wait(&h->leader_bell, bell, timeout < 0 ? SIGNALS_LOOK_NS : (uint64_t)(timeout * 1e9));
        SH_SET(&h->leader_mode, WAKE_AWAKE);
        won = won || results_in(all, n);
    }
    Py_END_ALLOW_THREADS
    shield_noted(NULL);
    self->heard = SH_GET(&h->leader_bell);
    if (all != few) PyMem_Free(all);
    Py_DECREF(keep);
    shield_deliver();
    if (PyErr_CheckSignals() < 0) return NULL;
    return PyBool_FromLong(won);
}

static PyObject *hub_lead(Hub *self, PyObject *on)
{
    SH_SET(&self->hub->leader_mode, PyObject_IsTrue(on) ? WAKE_AWAKE : WAKE_NEVER);
    SH_FENCE();
    Py_RETURN_NONE;
}

static PyObject *hub_supervise(Hub *self, PyObject *mode)
{
    unsigned long m = PyLong_AsUnsignedLong(mode);
    if (m == (unsigned long)-1 && PyErr_Occurred()) return NULL;
    uint32_t before = SH_PEEK(&self->hub->super_mode);
    if (before != m) {
        SH_SET(&self->hub->super_mode, (uint32_t)m);
        SH_FENCE(); /* super_mode before the caller's next look at the rings; pairs with hub_ring */
    }
    return PyBool_FromLong(m > before);
}

static PyObject *hub_heard(Hub *self, PyObject *Py_UNUSED(none))
{
    SH_SET(&self->hub->super_rung, 0);
    SH_FENCE();
    Py_RETURN_NONE;
}

static PyObject *hub_refill(Hub *self, PyObject *on)
{
    uint32_t wish = PyObject_IsTrue(on) ? 1 : 0;
    if (SH_PEEK(&self->hub->refill) != wish) SH_SET(&self->hub->refill, wish);
    Py_RETURN_NONE;
}

static PyObject *hub_ring_leader_py(Hub *self, PyObject *Py_UNUSED(none))
{
    hub_ring_leader(self->hub);
    Py_RETURN_NONE;
}

static PyObject *hub_any(Hub *self, PyObject *channels)
{
    (void)self;
    if (!PyList_Check(channels) || check_channels(channels) < 0) return NULL;
    return PyBool_FromLong(has_results(channels));
}

/* Adds (channel, status, batch, first, values) to the list. */
static int add_run(PyObject *runs, Py_ssize_t channel, int status, uint32_t batch, uint32_t first, PyObject *values)
{
    PyObject *run = Py_BuildValue("(niIIO)", channel, status, batch, first, values);
    if (run == NULL) return -1;
    int done = PyList_Append(runs, run);
    Py_DECREF(run);
    return done;
}

PyDoc_STRVAR(drain_doc,
"drain(channels, loads, most) -> [(channel, status, batch, first, values), ...]\n\n"
"Collect what the workers have sent, at most about `most` records.  Status 0: values are the results of the tasks\n"
"first, first + 1, ...; 1: of one task that raised, as loads() gave it; 2: loads() raised, the value is the exception;\n"
"3: a message.");
static PyObject *hub_drain(Hub *self, PyObject *args)
{
    PyObject *channels, *loads;
    Py_ssize_t most;
    (void)self;
    if (!PyArg_ParseTuple(args, "O!On", &PyList_Type, &channels, &loads, &most) || check_channels(channels) < 0) return NULL;
    PyObject *runs = PyList_New(0), *keep = PySequence_Tuple(channels);
    if (runs == NULL || keep == NULL) goto fail;
    Py_ssize_t n = PyTuple_Size(keep);
    for (Py_ssize_t i = 0; i < n && most > 0; i++) {
        struct channel *c = ((Channel *)PyTuple_GetItem(keep, i))->c;
        uint32_t ring = SH_PEEK(&c->result_size);
        uint64_t tail = SH_PEEK(&c->r_tail), head = SH_GET(&c->r_head);
        if (tail == head) continue;
        PyObject *values = NULL;
        uint32_t batch = 0, first = 0;
        struct record *r;
        while (most-- > 0 && (r = ring_peek(channel_results(c), ring, head, &tail)) != NULL) {
            PyObject *value;
            int status = 0;
            uint32_t id = 0, index = 0;
            if (r->kind == RECORD_MESSAGE) {
                struct message *m = (struct message *)r;
                value = PyBytes_FromStringAndSize((char *)(m + 1), m->length);
                status = 3;
            } else {
                struct result *res = (struct result *)r;
                const char *at = (char *)(res + 1);
                id = res->batch;
                index = res->index;
                status = res->head.mode;
                value = item_decode(&at, (char *)r + r->size, loads);
                if (value == NULL) { status = 2; value = core_caught(); }
            }
            tail += r->size;
            SH_SET(&c->r_tail, tail);
            if (value == NULL) { Py_XDECREF(values); goto fail; }
            if (values != NULL && (status != 0 || id != batch || index != first + (uint32_t)PyList_Size(values))) {
                int done = add_run(runs, i, 0, batch, first, values);
                Py_DECREF(values);
                values = NULL;
                if (done < 0) { Py_DECREF(value); goto fail; }
            }
            if (status == 0) {
                if (values == NULL) {
                    batch = id;
                    first = index;
                    values = PyList_New(0);
                }
                int done = values == NULL ? -1 : PyList_Append(values, value);
                Py_DECREF(value);
                if (done < 0) { Py_XDECREF(values); goto fail; }
            } else {
                PyObject *one = PyList_New(1);
                if (one == NULL || PyList_SetItem(one, 0, value) < 0 || add_run(runs, i, status, id, index, one) < 0) {
                    Py_XDECREF(one);
                    goto fail;
                }
                Py_DECREF(one);
            }
        }
        if (tail != SH_PEEK(&c->r_tail)) SH_SET(&c->r_tail, tail);
        if (values != NULL) {
            int done = add_run(runs, i, 0, batch, first, values);
            Py_DECREF(values);
            if (done < 0) goto fail;
        }
        SH_FENCE(); /* r_tail before r_waiting; pairs with emit */
        if (SH_GET(&c->r_waiting)) {
            SH_ADD(&c->r_bell, 1);
            os_wake(&c->r_bell, 1);
        }
    }
    Py_DECREF(keep);
    return runs;
fail:
    Py_XDECREF(runs);
    Py_XDECREF(keep);
    return NULL;
}

static PyMethodDef hub_methods[] = {
    {"wait", (PyCFunction)hub_wait, METH_VARARGS, wait_doc},
    {"lead", (PyCFunction)hub_lead, METH_O, "lead(on)\n\nBegin or end to be there for results."},
    {"supervise", (PyCFunction)hub_supervise, METH_O, "supervise(mode) -> bool\n\nWhen workers ring the eventfd; true if that is more often now: look at the rings then, since what came\n"
     "before has not been rung for."},
    {"heard", (PyCFunction)hub_heard, METH_NOARGS, "heard()\n\nLet the eventfd be rung again."},
    {"refill", (PyCFunction)hub_refill, METH_O, "refill(on)\n\nWhether tasks wait in the pool."},
    {"ring_leader", (PyCFunction)hub_ring_leader_py, METH_NOARGS, "ring_leader()\n\nWake the leader."},
    {"any", (PyCFunction)hub_any, METH_O, "any(channels) -> bool\n\nWhether results wait in any of them."},
    {"drain", (PyCFunction)hub_drain, METH_VARARGS, drain_doc},
    {NULL, NULL, 0, NULL},
};
static PyType_Slot hub_slots[] = {
    { Py_tp_new, hub_new }, { Py_tp_dealloc, hub_dealloc }, { Py_tp_methods, hub_methods },
    { Py_tp_doc, "Hub(memory)\n\nWhere a pool's workers see whom to wake." }, { 0, NULL },
};
PyType_Spec hub_spec = {
    "procession_native._core.Hub", sizeof(Hub), 0, Py_TPFLAGS_DEFAULT, hub_slots,
};
