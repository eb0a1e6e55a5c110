/* py_arguments.c: arguments of METH_FASTCALL functions (PyArg_ParseTupleAndKeywords would need a tuple and a dict), timeouts. */
#include "py_arena.h"

#include <math.h>

int core_arguments(const char *function, PyObject *const *args, Py_ssize_t n, PyObject *names, const char *const *known,
                   int required, PyObject **into)
{
    int count = 0;
    while (known[count]) count++;
    if (n > count) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most %d arguments (%zd given)", function, count, n);
        return -1;
    }
    for (Py_ssize_t i = 0; i < n; i++) into[i] = args[i];
    Py_ssize_t named = names ? PyTuple_Size(names) : 0;
    for (Py_ssize_t i = 0; i < named; i++) {
        PyObject *name = PyTuple_GetItem(names, i);
        int k = 0;
        while (known[k] && PyUnicode_CompareWithASCIIString(name, known[k]) != 0) k++;
        if (!known[k] || into[k]) {
            PyErr_Format(PyExc_TypeError, "%s() got %s argument '%U'", function,
                         known[k] ? "multiple values for" : "an unexpected keyword", name);
            return -1;
        }
        into[k] = args[n + i];
    }
    for (int k = 0; k < required; k++)
        if (!into[k]) {
            PyErr_Format(PyExc_TypeError, "%s() missing required argument '%s'", function, known[k]);
            return -1;
        }
    return 0;
}

int core_no_keywords(const char *function, PyObject *kwargs)
{
    if (kwargs == NULL || PyDict_Size(kwargs) == 0) return 0;
    PyErr_Format(PyExc_TypeError, "%s() takes no keyword arguments", function);
    return -1;
}

int core_deadline(PyObject *timeout, uint64_t *deadline)
{
    if (timeout == NULL || timeout == Py_None) {
        *deadline = WAIT_FOREVER;
        return 0;
    }
    double seconds = PyFloat_AsDouble(timeout);
    if (seconds == -1.0 && PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_TypeError)) return -1;
        PyErr_Clear();
        PyErr_Format(PyExc_TypeError, "timeout must be a number of seconds or None, not %R", timeout);
        return -1;
    }
    if (isnan(seconds)) return core_fail(PyExc_ValueError, "timeout must be a number of seconds or None, not NaN");
    if (seconds <= 0)
        *deadline = 0;
    else if (seconds > 1e9)
        *deadline = WAIT_FOREVER;
    else
        *deadline = clock_ns() + (uint64_t)(seconds * 1e9);
    return 0;
}
