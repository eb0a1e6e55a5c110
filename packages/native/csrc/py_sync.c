/* py_sync.c: what the Python types of the synchronisation objects share. */
#include "py_sync.h"

PyObject *sync_made(PyTypeObject *type, aoff payload)
{
    return payload ? shared_wrap(type, payload) : core_raise(AR_NOMEM, "making a synchronisation object");
}

int sync_acquire_arguments(PyObject *const *args, Py_ssize_t n, PyObject *names, uint64_t *deadline)
{
    static const char *const known[] = { "block", "timeout", NULL };
    PyObject *got[2] = { NULL, NULL };
    *deadline = WAIT_FOREVER;
    if (n == 0 && !names) return 0;
    if (core_arguments("acquire", args, n, names, known, 0, got) < 0) return -1;
    int block = 1;
    if (got[0] && got[0] != Py_True) {
        block = PyObject_IsTrue(got[0]);
        if (block < 0) return -1;
    }
    if (got[1] && core_deadline(got[1], deadline) < 0) return -1;
    if (!block) *deadline = 0;
    return 0;
}

int sync_policy(PyObject *policy, uint32_t *flags)
{
    *flags = 0;
    if (policy == NULL) return 0;
    if (PyUnicode_Check(policy)) {
        if (PyUnicode_CompareWithASCIIString(policy, "raise") == 0) return 0;
        *flags = SYNC_RECOVER;
        if (PyUnicode_CompareWithASCIIString(policy, "recover") == 0) return 0;
    }
    PyErr_Format(PyExc_ValueError, "on_owner_death must be 'raise' or 'recover', not %R", policy);
    return -1;
}

int procession_add_sync(PyObject *module)
{
    sync_condition_setup();
    if (PyModule_AddIntConstant(module, "SEM_VALUE_MAX", SYNC_VALUE_MAX) < 0 || sync_with_setup(module) < 0) return -1;
    if (sync_add_event(module) < 0 || sync_add_locks(module) < 0 || sync_add_semaphore(module) < 0) return -1;
    return sync_add_condition(module) < 0 ? -1 : sync_add_barrier(module);
}
