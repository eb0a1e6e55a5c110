/* py_life.c: what a forked child does once and Python would need many pages for: each call of it writes to those of the
 * functions, names and objects that it uses, and a forked process copies what it writes to. */
#define _GNU_SOURCE
#include "py_arena.h"
#include "registry.h"

#include <fcntl.h>
#include <unistd.h>

static PyObject *py_die_when_closed(PyObject *Py_UNUSED(m), PyObject *arg)
{
    long fd = PyLong_AsLong(arg);
    if (fd == -1 && PyErr_Occurred()) return NULL;
    int own = os_die_when_closed((int)fd);
    return own < 0 ? PyErr_SetFromErrno(PyExc_OSError) : PyLong_FromLong(own);
}

static bool empty_stdin(void)
{
    int fd = open("/dev/null", O_RDONLY);
    if (fd < 0) return false;
    if (fd == 0) return true;
    bool done = dup2(fd, 0) == 0;
    close(fd);
    return done;
}

static PyObject *py_begin_child(PyObject *Py_UNUSED(m), PyObject *const *args, Py_ssize_t n)
{
    /* Not PyArg_ParseTuple(), whose tuple and program text are six pages more. */
    if (n != 2 || !PyUnicode_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "begin_child() takes a str and a bool");
        return NULL;
    }
    PyObject *name = args[0];
    bool stdin_too = args[1] == Py_True;
    Py_ssize_t length;
    if (process_arena && process_arena->severed) Py_RETURN_FALSE;
    const char *text = process_arena ? PyUnicode_AsUTF8AndSize(name, &length) : NULL;
    if (text) registry_set_name(process_arena, text);
    else PyErr_Clear();                                 /* a name that is no text is no reason to die without a word */
    if (stdin_too && !empty_stdin()) return PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_TRUE;
}

static PyMethodDef functions[] = {
    { "begin_child", CORE_FAST(py_begin_child), METH_FASTCALL,
      "begin_child(name, empty_stdin)\n--\n\nIn a forked child: name it in the registry, and let descriptor 0 read nothing if asked to.\n"
      "False, and nothing is done, if it was forked without a slot or references." },
    { "die_when_closed", py_die_when_closed, METH_O,
      "die_when_closed(fd)\n--\n\nLet the kernel kill this process when nobody has the write end of the pipe open that fd reads.\n"
      "The descriptor that watches; it must stay open." },
    { NULL, NULL, 0, NULL },
};

int procession_add_life(PyObject *module) { return PyModule_AddFunctions(module, functions); }
