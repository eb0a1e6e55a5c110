/* py_names.c: tracked names of segments, and what each process holds, as Python sees them. */
#include "py_arena.h"
#include "names.h"

#include <stdlib.h>
#include <string.h>

/* The name in the system's encoding; NULL with an exception. */
static const char *encoded(PyObject *name, PyObject **bytes, Py_ssize_t *length)
{
    if (!PyUnicode_FSConverter(name, bytes)) return NULL;
    char *text;
    if (PyBytes_AsStringAndSize(*bytes, &text, length) < 0) {
        Py_DECREF(*bytes);
        return NULL;
    }
    if (*length > (Py_ssize_t)NAME_LIMIT) {
        Py_DECREF(*bytes);
        PyErr_Format(PyExc_ValueError, "a name of %zd bytes is too long; %u are allowed", *length, NAME_LIMIT);
        return NULL;
    }
    return text;
}

static PyObject *py_names_add(PyObject *Py_UNUSED(module), PyObject *name)
{
    PyObject *bytes;
    Py_ssize_t length;
    const char *text = encoded(name, &bytes, &length);
    if (text == NULL) return NULL;
    if (core_ensure() < 0) {
        Py_DECREF(bytes);
        return NULL;
    }
    int done = names_add(process_arena, text, (uint32_t)length);
    Py_DECREF(bytes);
    if (done != AR_OK) return core_raise(done, "a tracked name");
    Py_RETURN_NONE;
}

static PyObject *py_names_discard(PyObject *Py_UNUSED(module), PyObject *name)
{
    PyObject *bytes;
    Py_ssize_t length;
    const char *text = encoded(name, &bytes, &length);
    if (text == NULL) return NULL;
    if (process_arena != NULL && process_arena->self) names_discard(process_arena, text, (uint32_t)length);
    Py_DECREF(bytes);
    Py_RETURN_NONE;
}

static PyObject *py_names_list(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    PyObject *list = PyList_New(0);
    if (list == NULL || process_arena == NULL || !process_arena->self) return list;
    size_t size = 0;
    char *copy = names_copy(process_arena, &size);
    if (copy == NULL) {
        Py_DECREF(list);
        return PyErr_NoMemory();
    }
    for (size_t at = 0; list != NULL && at < size; at += strlen(copy + at) + 1) {
        PyObject *name = PyUnicode_DecodeFSDefault(copy + at);
        if (name == NULL || PyList_Append(list, name) < 0) Py_CLEAR(list);
        Py_XDECREF(name);
    }
    free(copy);
    return list;
}

static PyObject *py_names_leave(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    if (process_arena != NULL && process_arena->self) {
        Py_BEGIN_ALLOW_THREADS
        names_leave(process_arena);
        Py_END_ALLOW_THREADS
    }
    Py_RETURN_NONE;
}

static bool slot_bytes(struct arena *a, uint32_t slot, uint64_t *bytes, uint64_t *blocks)
{
    if (!arena_begin(a)) return false;
    *bytes = ref_slot_bytes(a, slot, blocks);
    arena_end(a);
    return true;
}

static PyObject *py_slot_memory(PyObject *Py_UNUSED(module), PyObject *arg)
{
    unsigned long slot = PyLong_AsUnsignedLong(arg);
    if (slot == (unsigned long)-1 && PyErr_Occurred()) return NULL;
    if (process_arena == NULL || slot >= REGISTRY_SLOTS) return PyErr_Format(PyExc_ValueError, "there is no slot %lu", slot);
    uint64_t blocks = 0, bytes = 0;
    bool known;
    Py_BEGIN_ALLOW_THREADS
    known = slot_bytes(process_arena, (uint32_t)slot, &bytes, &blocks);
    Py_END_ALLOW_THREADS
    if (!known) return core_raise(AR_NOMEM, "adding up what a process holds");
    return Py_BuildValue("(KK)", (unsigned long long)blocks, (unsigned long long)bytes);
}

static PyMethodDef functions[] = {
    {"names_add", py_names_add, METH_O, "names_add(name): let the last process of the tree remove the segment."},
    {"names_discard", py_names_discard, METH_O, "names_discard(name): the segment needs no removal any more."},
    {"names_list", py_names_list, METH_NOARGS, "names_list(): the names that the end of the tree would remove."},
    {"names_leave", py_names_leave, METH_NOARGS,
     "names_leave(): this process ends; the last one of the tree removes the segments that are still tracked."},
    {"slot_memory", py_slot_memory, METH_O,
     "slot_memory(slot): (blocks, bytes) that the process of a registry slot holds; what several hold counts for each."},
    {NULL, NULL, 0, NULL},
};

int procession_add_names(PyObject *module)
{
    return PyModule_AddFunctions(module, functions);
}
