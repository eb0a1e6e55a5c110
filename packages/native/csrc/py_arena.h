/* py_arena.h: what the binding files share: the base type of arena objects, errors, waiting with signals.
 *
 * Only py_*.c include this (and with it Python.h).  Each part registers its types from procession_add_<part>(module).
 */
#ifndef PROCESSION_PY_ARENA_H
#define PROCESSION_PY_ARENA_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "heap.h"
#include "refs.h"
#include "registry.h"
#include "word.h"

/* Every arena object: one private reference (refs.h) for the life of the Python object. */
typedef struct {
    PyObject_HEAD
    PyObject *weakrefs;
    aoff offset;                             /* 0: not attached to anything */
    uint64_t generation;
    enum block_kind kind;
    void *payload;                           /* pointer to the payload in this process */
} SharedObject;

extern PyTypeObject *shared_type;            /* _core.Shared */
extern PyTypeObject *bag_type;               /* _core.Bag; Pipe derives from it */
extern uint32_t core_events;                 /* counts what this process has heard of the others: waits that are over, deaths */

/* How a function with METH_FASTCALL stands in a table. */
#define CORE_FAST(function) ((PyCFunction)(void (*)(void))(function))

/* Objects of the core's types.  core_alloc: all zero; NULL with an exception.  core_free: what a tp_dealloc ends with;
 * core_dealloc_gc: the whole of one.  core_add_type: NULL with an exception. */
void *core_alloc(PyTypeObject *type);
void core_free(void *self);
void core_dealloc_gc(PyObject *self, inquiry clear);
PyTypeObject *core_add_type(PyObject *module, PyType_Spec *spec, PyTypeObject *base);

/* Makes process_arena exist; -1 with an exception. */
int core_ensure(void);

/* Gives a fresh Python object the block `payload`, whose private reference it takes over (also on failure).
 * Returns 0, or -1 with an exception. */
int shared_attach(SharedObject *self, aoff payload);
/* A new object of the type, attached; NULL with an exception. */
PyObject *shared_wrap(PyTypeObject *type, aoff payload);
/* tp_dealloc of kinds that have nothing of their own to do; others call shared_detach() first, then free. */
void shared_dealloc(PyObject *self);
void shared_detach(SharedObject *self);      /* gives the reference back; safe to call twice */

/* The type that open_handle() makes for a kind, and what completes the object after shared_attach (may be NULL). */
typedef int (*shared_opened)(PyObject *self);
void shared_register(enum block_kind kind, PyTypeObject *type, shared_opened opened);
PyObject *shared_open(enum block_kind kind, aoff payload);  /* takes over one private reference */
/* A private reference on what a handle names, of a kind that `type` (NULL: any) is made for: its payload; 0 with an exception. */
aoff shared_claim(PyObject *handle, PyTypeObject *type);

/* A copy; one of CORE_COPY_ALONE bytes and more lets other threads run. */
#define CORE_COPY_ALONE (256u << 10)
void core_copy(void *to, const void *from, size_t size);

/* Lets go of what stands there and keeps the object instead. */
static inline void core_keep(PyObject **place, PyObject *object)
{
    PyObject *old = *place;
    *place = Py_NewRef(object);
    Py_XDECREF(old);
}

PyObject *core_fd_list(const int *fds, int count);
/* Offsets of the shared objects in a list, to be freed with PyMem_Free(); NULL with an exception. */
aoff *shared_offsets(PyObject *list, const char *function, uint32_t *count);

/* Exceptions.  core_exception(which) gives the class bound by bind_errors(), or RuntimeError.  Borrowed. */
enum core_exception {
    CORE_OWNER_DIED, CORE_PEER_DIED, CORE_FOREIGN_TREE, CORE_STALE_HANDLE, CORE_SHUTDOWN, CORE_BROKEN_BARRIER,
    CORE_EMPTY, CORE_FULL, CORE_EXCEPTIONS
};
PyObject *core_exception(enum core_exception which);
PyObject *core_raise(int status, const char *what);        /* NULL; an exception that fits a negative AR_ status */
PyObject *core_caught(void);                               /* the current exception, with its traceback, which is cleared */
void core_rethrow(PyObject *error);                        /* takes the reference over */
static inline int core_fail(PyObject *type, const char *text)    /* -1 with an exception */
{
    PyErr_SetString(type, text);
    return -1;
}

/* Fast-call arguments, by position or by the names in `known` (which ends with NULL), into slots that hold NULL; the
 * first `required` must be given.  0, or -1 with TypeError. */
int core_arguments(const char *function, PyObject *const *args, Py_ssize_t n, PyObject *names, const char *const *known,
                   int required, PyObject **into);

int core_no_keywords(const char *function, PyObject *kwargs);  /* 0, or -1 with TypeError if there are any */

/* A timeout argument in seconds (None: for ever; negative: 0) as an absolute deadline; -1 with TypeError or ValueError. */
int core_deadline(PyObject *timeout, uint64_t *deadline);

/* For waits that are not those of sync.h: declares what this process waits for, so that it can be seen from outside. */
static inline void core_waits_for(struct arena *a, aoff what)
{
    struct slot *s = slot_at(a, a->self_slot);
    SH_SET(&s->waits_since, what ? clock_coarse_ns() : 0);
    SH_SET(&s->waits_for, what);
}

/* Of a registry slot, for those who look. */
PyObject *core_slot_name(struct slot *s);
const char *core_slot_state(uint64_t word);

/* The parts of the module, in the order of py_module.c. */
int procession_add_shared(PyObject *module);
int procession_add_arena(PyObject *module);
int procession_add_life(PyObject *module);
int procession_add_message(PyObject *module);
int procession_add_outside(PyObject *module);
int procession_add_sync(PyObject *module);
int procession_add_queue(PyObject *module);
int procession_add_bag(PyObject *module);
int procession_add_ring(PyObject *module);
int procession_add_frame(PyObject *module);
int procession_add_frame_end(PyObject *module);
int procession_add_value(PyObject *module);
int procession_add_array(PyObject *module);
int procession_add_mapping(PyObject *module);
int procession_add_names(PyObject *module);
int procession_add_beside(PyObject *module);
int procession_add_pack(PyObject *module);
int procession_add_channel(PyObject *module);
int procession_add_guard(PyObject *module);

#endif
