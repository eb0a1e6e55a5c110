/* py_queue.h: between the Python type of queues and the making of its items. */
#ifndef PROCESSION_PY_QUEUE_H
#define PROCESSION_PY_QUEUE_H

#include "py_arena.h"
#include "bell.h"
#include "queue.h"

typedef struct {
    SharedObject shared;
    struct queue *q;
    struct bell *items, *room;               /* made when somebody asks for a descriptor */
    uint64_t stalled;                        /* queue_pace()'s memory */
    struct patience patience;                /* of an answering queue's only consumer */
    bool patient;                            /* _patient() was called on this handle */
    bool closed;                             /* close() was called on this handle */
    bool used;                               /* something was put through it */
    bool strict;                             /* closed means closed, also for empty(): a SimpleQueue */
    bool peers;                              /* a get on an empty queue fails when nobody else holds it */
} QueueObject;

struct queue *queue_unusable(QueueObject *self);
/* Live queue of the object, or NULL with an exception. */
static inline struct queue *queue_usable(QueueObject *self)
{
    return self->q && !self->closed ? self->q : queue_unusable(self);
}
int queue_wait_until(PyObject *block, PyObject *timeout, uint64_t *deadline);

int queue_put_messages(QueueObject *self, const struct message *m, uint32_t n, uint32_t *done, uint64_t deadline);
PyObject *queue_put_object(QueueObject *self, PyObject *obj, uint64_t deadline);
PyObject *queue_py_put(QueueObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names);
PyObject *queue_py_put_nowait(QueueObject *self, PyObject *obj);
PyObject *queue_py_put_many(QueueObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names);

/* What procession_queues gives us once, by bind_queue(), and procession_connection by bind_pipe(). */
struct queue_hooks { PyObject *pack, *unpack, *loads; };
extern struct queue_hooks queue_hooks;

/* An object on its way out.  message.data and message.refs may point into this struct. */
struct outgoing {
    struct message message;
    uint64_t small;                          /* the payload of ints, floats, constants; the size of a block */
    aoff refs[QUEUE_DIRECT_REFS + 2];
    aoff block, parcel;                      /* ours until the message is committed, or 0 */
    PyObject *bytes, *shared;                /* what the payload and the references are kept alive by */
    PyObject *item;
};
int outgoing_make(struct outgoing *o, PyObject *obj);      /* -1: exception */
int outgoing_plain(struct outgoing *o, PyObject *obj);     /* 1: made; 0: it takes a pickle; -1: exception */
int outgoing_packed(struct outgoing *o, PyObject *made);   /* of what a pack() gave, which is taken over; after outgoing_plain() was 0 */
int outgoing_whole(struct outgoing *o, enum queue_tag tag, const char *data, Py_ssize_t size);     /* of bytes that must stay */
void outgoing_clear(struct outgoing *o);

PyObject *incoming_make(const char *record, const struct queue_hooks *hooks);    /* the object; gives the record's references back */
PyObject *incoming_bytes(const char *data, size_t size);    /* a copy */
PyObject *queue_error(int rc);

#endif
