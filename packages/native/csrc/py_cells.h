/* py_cells.h: what the accessors of synchronized ctypes objects have in common.
 *
 *   py_cells.c     numbers in memory, the lock, what both wrappers have
 *   py_value.c     SyncValue: value and atomics of a synchronized ctypes scalar
 *   py_array.c     SyncArray: elements and slices of a synchronized ctypes array
 *
 * The synchronized accessors take the wrapper's lock without a call through Python where it is one of the core's
 * own, and touch the memory themselves where the element is a plain number; everything else goes through the
 * lock's methods and the ctypes object, so that conversions and errors are always those of ctypes.
 */
#ifndef PROCESSION_PY_CELLS_H
#define PROCESSION_PY_CELLS_H

#include "py_arena.h"
#include "sync.h"

#include <stdbool.h>
#include <string.h>

/* ---- numbers in memory ---- */

enum cell_kind { CELL_OTHER = 0, CELL_I8, CELL_I16, CELL_I32, CELL_I64, CELL_U8, CELL_U16, CELL_U32, CELL_U64,
                 CELL_F32, CELL_F64, CELL_CHAR, CELL_BOOL };

#define LOAD(type, p) __atomic_load_n((type *)(p), __ATOMIC_ACQUIRE)
#define STORE(type, p, v) __atomic_store_n((type *)(p), (type)(v), __ATOMIC_RELEASE)
/* The same of floats: from and to a variable of that type. */
#define LOAD_REAL(type, p, v) __atomic_load((const type *)(p), v, __ATOMIC_ACQUIRE)
#define STORE_REAL(type, p, v) __atomic_store((type *)(p), v, __ATOMIC_RELEASE)

PyObject *cell_load(enum cell_kind kind, const char *p);
/* 1: stored; 0: not a value that is converted here (ask ctypes); -1: exception. */
int cell_store(enum cell_kind kind, char *p, PyObject *value);
PyObject *cell_of_bits(enum cell_kind kind, uint64_t bits);

/* ---- what both wrappers have: the object, its memory, its lock ---- */

struct kept;

typedef struct {
    PyObject_HEAD
    PyObject *obj;              /* the ctypes object */
    PyObject *lock;
    struct sync_lock *core_lock;    /* the lock's words, if it is one of the core's */
    bool again;                     /* it is an RLock */
    Py_buffer view;             /* of obj; view.obj NULL: none */
    enum cell_kind kind;        /* CELL_OTHER: everything through obj */
    Py_ssize_t itemsize, count;
    struct kept *kept;          /* of an array: see fill_list */
    int pause;
} Cell;

int cell_not_bound(void);                                   /* -1 with an exception */
int cell_call_lock(PyObject *lock, const char *method);     /* keeps an exception that is set; 0, or -1 with an exception */
PyObject *cell_bind(PyObject *op, PyObject *args);
PyObject *cell_get_lock(PyObject *op, PyObject *ignored);
PyObject *cell_get_obj(PyObject *op, PyObject *ignored);
int cell_getbuffer(PyObject *op, Py_buffer *view, int flags);
int cell_traverse(PyObject *op, visitproc visit, void *arg);
int cell_clear(PyObject *op);
void cell_dealloc(PyObject *op);
void cell_keep_nothing(Cell *self);                         /* py_array.c */

/* 0, or -1 with an exception. */
static inline int cell_enter(Cell *self)
{
    struct sync_lock *l = self->core_lock;
    if (l != NULL) {
        if (self->again && sync_rlock_again(process_arena, l) == AR_OK) return 0;
        if (sync_lock_fast(process_arena, l)) return 0;
    }
    if (self->lock == NULL) return cell_not_bound();
    return cell_call_lock(self->lock, "acquire");
}

/* Keeps an exception that is set; 0 or -1 (then an exception is set). */
static inline int cell_leave(Cell *self)
{
    struct sync_lock *l = self->core_lock;
    if (l != NULL && (self->again ? sync_rlock_release(process_arena, l) : sync_lock_release(l)) == AR_OK) return 0;
    return cell_call_lock(self->lock, "release");
}

static inline PyObject *cell_leave_with(Cell *self, PyObject *result)
{
    if (cell_leave(self) < 0) {
        Py_XDECREF(result);
        return NULL;
    }
    return result;
}

#endif
