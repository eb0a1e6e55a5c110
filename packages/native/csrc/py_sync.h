/* py_sync.h: what the Python types of the synchronisation objects share.  Each is a SharedObject whose payload is its structure. */
#ifndef PROCESSION_PY_SYNC_H
#define PROCESSION_PY_SYNC_H

#define _GNU_SOURCE
#include "py_arena.h"
#include "sync.h"

/* Flags and types that the stable ABI of 3.11 lacks by name; their values have been the same since 3.8. */
#ifndef Py_TPFLAGS_HAVE_VECTORCALL
#define Py_TPFLAGS_HAVE_VECTORCALL (1UL << 11)
#endif
#ifndef Py_TPFLAGS_METHOD_DESCRIPTOR
#define Py_TPFLAGS_METHOD_DESCRIPTOR (1UL << 17)
#endif
typedef PyObject *(*sync_vectorcall)(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *names);
#define SYNC_NARGS(n) ((Py_ssize_t)((n) & ~((size_t)1 << (8 * sizeof(size_t) - 1))))

/* Types, made by procession_add_sync(). */
extern PyTypeObject *sync_lock_type, *sync_rlock_type;

PyObject *sync_made(PyTypeObject *type, aoff payload);     /* around a new block; 0: NULL with MemoryError */
/* False, with an exception, in a process that shares nothing with its tree. */
static inline bool sync_shared(void)
{
    if (__builtin_expect(process_arena->self != 0, 1)) return true;
    core_raise(AR_GONE, "the synchronisation object");
    return false;
}

/* Arguments.  All return -1 with an exception. */
int sync_acquire_arguments(PyObject *const *args, Py_ssize_t n, PyObject *names, uint64_t *deadline);
int sync_policy(PyObject *policy, uint32_t *flags); /* on_owner_death */

/* Lock and RLock. 1: held; 0: not in time; -1: exception */
int sync_lock_acquire_until(SharedObject *lock, uint64_t deadline);
int sync_lock_give_back(SharedObject *lock);          /* 0; -1 with an exception */
/* For a condition's wait: takes the lock and keeps it whatever happens; -1 if an exception is set then. */
int sync_lock_reacquire(SharedObject *lock, uint32_t levels, bool after_sleep);
void sync_raise_owner_died(const struct sync_death *death, const char *then);

PyObject *sync_acquire_method(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names);
PyObject *sync_release_method(PyObject *self, PyObject *unused);

/* The methods __enter__ and __exit__: a descriptor whose bound form is taken from a free list. */
typedef int (*sync_enter)(SharedObject *self);        /* 1, 0; -1 with an exception */
typedef int (*sync_leave)(SharedObject *self);
int sync_add_with(PyObject *type, sync_enter enter, sync_leave leave);
int sync_with_setup(PyObject *module);              /* before the types are made */

int sync_add_event(PyObject *module);
int sync_add_locks(PyObject *module);
int sync_add_semaphore(PyObject *module);
int sync_add_condition(PyObject *module);
int sync_add_barrier(PyObject *module);

#endif
