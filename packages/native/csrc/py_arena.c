/* py_arena.c: the arena and the processes of its tree, for Python; objects in it: py_shared.c. */
#include "py_arena.h"

#include <limits.h>
#include <stdlib.h>

uint32_t core_events;

/* -- the tree ------------------------------------------------------------------------------------------------ */

static PyObject *py_ensure(PyObject *Py_UNUSED(m), PyObject *Py_UNUSED(n))
{
    if (core_ensure() < 0) return NULL;
    Py_RETURN_NONE;
}

static PyObject *py_attached(PyObject *Py_UNUSED(m), PyObject *Py_UNUSED(n))
{
    return PyBool_FromLong(process_arena != NULL);
}

static PyObject *py_fds(PyObject *Py_UNUSED(m), PyObject *Py_UNUSED(n))
{
    if (core_ensure() < 0) return NULL;
    return Py_BuildValue("(ii)", process_arena->fd, process_arena->lease_fd);
}

static PyObject *py_attach(PyObject *Py_UNUSED(m), PyObject *args)
{
    int fd, lease_fd;
    unsigned int slot, generation;
    if (!PyArg_ParseTuple(args, "iiII:attach", &fd, &lease_fd, &slot, &generation)) return NULL;
    if (process_arena)
        return PyErr_Format(PyExc_RuntimeError, "this process already has an arena: attach() must come before the first shared object");
    struct arena *a = calloc(1, sizeof *a);
    if (!a) return PyErr_NoMemory();
    int r = arena_attach(a, fd, lease_fd);
    if (r == AR_OK && (r = registry_take(a, slot, generation)) != AR_OK) arena_unmap(a);
    if (r == AR_OK && (r = ref_load_ledger(a)) != AR_OK) {
        registry_leave(a);
        arena_unmap(a);
    }
    if (r != AR_OK) {
        free(a);
        return core_raise(r, "attaching to the shared memory of the process tree");
    }
    process_arena = a;
    registry_watch_forks();
    Py_RETURN_NONE;
}

static PyObject *py_settle(PyObject *Py_UNUSED(m), PyObject *Py_UNUSED(n))
{
    if (process_arena) ref_settle(process_arena);
    Py_RETURN_NONE;
}

static PyObject *py_reserve_slot(PyObject *Py_UNUSED(m), PyObject *args)
{
    const char *name;
    uint32_t slot, generation;
    if (!PyArg_ParseTuple(args, "s:reserve_slot", &name) || core_ensure() < 0) return NULL;
    int r = registry_reserve(process_arena, name[0] ? name : "?", &slot, &generation);
    if (r == AR_FULL)
        return PyErr_Format(PyExc_RuntimeError, "a process tree can have at most %u processes at a time", REGISTRY_SLOTS);
    if (r != AR_OK) return core_raise(r, "reserving a place for a child process");
    return Py_BuildValue("(II)", slot, generation);
}

/* For PyArg_ParseTuple's O&. */
static int to_slot(PyObject *number, void *slot)
{
    unsigned long n = PyLong_AsUnsignedLong(number);
    if (n == (unsigned long)-1 && PyErr_Occurred()) return 0;
    if (n >= REGISTRY_SLOTS) PyErr_Format(PyExc_ValueError, "there is no slot %lu", n);
    *(uint32_t *)slot = (uint32_t)n;
    return n < REGISTRY_SLOTS;
}

static PyObject *py_cancel_slot(PyObject *Py_UNUSED(m), PyObject *args)
{
    uint32_t slot, generation;
    if (!PyArg_ParseTuple(args, "O&I:cancel_slot", to_slot, &slot, &generation) || core_ensure() < 0) return NULL;
    registry_cancel(process_arena, slot, generation);
    Py_RETURN_NONE;
}

static PyObject *py_child_started(PyObject *Py_UNUSED(m), PyObject *args)
{
    uint32_t slot, generation;
    unsigned int pid;
    if (!PyArg_ParseTuple(args, "O&II:child_started", to_slot, &slot, &generation, &pid) || core_ensure() < 0) return NULL;
    registry_started(process_arena, slot, generation, pid);
    Py_RETURN_NONE;
}

static PyObject *py_forked(PyObject *Py_UNUSED(m), PyObject *arg)
{
    unsigned long pid = PyLong_AsUnsignedLong(arg);
    if (pid == (unsigned long)-1 && PyErr_Occurred()) return NULL;
    return PyBool_FromLong(!process_arena || registry_forked(process_arena, (uint32_t)pid));
}

static PyObject *py_severed(PyObject *Py_UNUSED(m), PyObject *Py_UNUSED(n))
{
    return PyBool_FromLong(process_arena && process_arena->severed);
}

static int hold_for(struct arena *a, uint32_t slot, uint32_t generation, aoff payload)
{
    if (!arena_begin(a)) return AR_NOMEM;
    uint64_t word = SH_PEEK(&slot_at(a, slot)->state);
    int r = word == ((uint64_t)generation << 16 | SLOT_STARTING) ? ref_slot_hold(a, slot, payload) : AR_GONE;
    arena_end(a);
    return r;
}

static PyObject *py_slot_hold(PyObject *Py_UNUSED(m), PyObject *args)
{
    uint32_t slot, generation;
    PyObject *o;
    if (!PyArg_ParseTuple(args, "O&IO!:slot_hold", to_slot, &slot, &generation, shared_type, &o) || core_ensure() < 0) return NULL;
    SharedObject *s = (SharedObject *)o;
    if (!s->offset) return PyErr_Format(PyExc_ValueError, "this shared object is not initialised");
    int r = hold_for(process_arena, slot, generation, s->offset);
    if (r != AR_OK) return core_raise(r, "giving a child its shared objects");
    Py_RETURN_NONE;
}

static PyObject *py_next_fork_uses(PyObject *Py_UNUSED(m), PyObject *args)
{
    uint32_t slot, generation;
    if (!PyArg_ParseTuple(args, "O&I:next_fork_uses", to_slot, &slot, &generation) || core_ensure() < 0) return NULL;
    registry_fork_uses(slot, generation);
    Py_RETURN_NONE;
}

static PyObject *py_move(PyObject *Py_UNUSED(m), PyObject *args)
{
    uint32_t slot, generation;
    if (!PyArg_ParseTuple(args, "O&I:move", to_slot, &slot, &generation) || core_ensure() < 0) return NULL;
    int r = registry_move(process_arena, slot, generation);
    if (r != AR_OK) return core_raise(r, "taking the place that was reserved in the process tree");
    Py_RETURN_NONE;
}

static PyObject *py_set_name(PyObject *Py_UNUSED(m), PyObject *arg)
{
    Py_ssize_t n;
    const char *name = PyUnicode_AsUTF8AndSize(arg, &n);
    if (!name) return NULL;
    if (process_arena) registry_set_name(process_arena, name);
    Py_RETURN_NONE;
}

static PyObject *py_note_exit(PyObject *Py_UNUSED(m), PyObject *args)
{
    unsigned int pid;
    int status;
    if (!PyArg_ParseTuple(args, "Ii:note_exit", &pid, &status)) return NULL;
    core_events++;
    if (process_arena) {
        Py_BEGIN_ALLOW_THREADS
        registry_note_exit(process_arena, pid, status);
        Py_END_ALLOW_THREADS
    }
    Py_RETURN_NONE;
}

static PyObject *py_set_exit_status(PyObject *Py_UNUSED(m), PyObject *args)
{
    uint32_t slot, generation;
    int status;
    if (!PyArg_ParseTuple(args, "O&Ii:set_exit_status", to_slot, &slot, &generation, &status) || core_ensure() < 0) return NULL;
    struct slot *s = slot_at(process_arena, slot);
    if (slot_generation(SH_GET(&s->state)) == (generation & 0xffff)) SH_SET(&s->exit_status, (uint64_t)1 << 32 | (uint32_t)status);
    Py_RETURN_NONE;
}

static PyObject *py_self_slot(PyObject *Py_UNUSED(m), PyObject *Py_UNUSED(n))
{
    if (core_ensure() < 0) return NULL;
    return Py_BuildValue("(II)", process_arena->self_slot, process_arena->self_generation);
}

static PyObject *py_slot_alive(PyObject *Py_UNUSED(m), PyObject *args)
{
    uint32_t slot, generation;
    if (!PyArg_ParseTuple(args, "O&I:slot_alive", to_slot, &slot, &generation) || core_ensure() < 0) return NULL;
    return PyBool_FromLong(registry_alive(process_arena, slot, generation & 0xffff));
}

static PyObject *py_sweep(PyObject *Py_UNUSED(m), PyObject *Py_UNUSED(n))
{
    int k = 0;
    if (process_arena) {
        Py_BEGIN_ALLOW_THREADS
        k = registry_sweep(process_arena);
        Py_END_ALLOW_THREADS
    }
    return PyLong_FromLong(k);
}

PyObject *core_slot_name(struct slot *s)
{
    char name[SLOT_NAME_MAX];
    return PyUnicode_DecodeUTF8(name, (Py_ssize_t)slot_name(s, name), "replace");
}

const char *core_slot_state(uint64_t word)
{
    return slot_state(word) == SLOT_LIVE ? "live" : slot_state(word) == SLOT_STARTING ? "starting" : "dead";
}

static PyObject *py_processes(PyObject *Py_UNUSED(m), PyObject *Py_UNUSED(n))
{
    PyObject *list = PyList_New(0);
    if (!list || !process_arena) return list;
    struct arena *a = process_arena;
    uint32_t high = (uint32_t)SH_GET(&a->h->registry_high);
    for (uint32_t i = 0; i < high; i++) {
        struct slot *s = slot_at(a, i);
        uint64_t word = SH_GET(&s->state), waits = SH_GET(&s->waits_for), parent = SH_GET(&s->parent);
        uint32_t generation = slot_generation(word);
        if (slot_state(word) == SLOT_FREE) continue;
        uint64_t since = SH_GET(&s->waits_since), now = clock_coarse_ns();
        PyObject *d = Py_BuildValue(
            "{s:I,s:I,s:K,s:N,s:s,s:N,s:N,s:I,s:K,s:d}", "slot", i, "generation", generation, "pid", (unsigned long long)SH_GET(&s->pid),
            "name", core_slot_name(s), "state", core_slot_state(word),
            "alive", PyBool_FromLong(registry_alive(a, i, generation)),
            "parent", parent ? PyLong_FromUnsignedLong(owner_slot((uint32_t)parent)) : Py_NewRef(Py_None),
            "parent_generation", parent ? owner_generation16((uint32_t)parent) : 0,
            "waits_for", (unsigned long long)waits, "waits_seconds", waits && now > since ? (double)(now - since) / 1e9 : 0.0);
        if (!d || PyList_Append(list, d) < 0) {
            Py_XDECREF(d);
            Py_DECREF(list);
            return NULL;
        }
        Py_DECREF(d);
    }
    return list;
}

static PyObject *py_memory(PyObject *Py_UNUSED(m), PyObject *Py_UNUSED(n))
{
    if (core_ensure() < 0) return NULL;
    /* What nobody refers to is not in use, even if its parts wait to be taken apart. */
    if (arena_begin(process_arena)) {
        ref_collect(process_arena, INT_MAX);
        arena_end(process_arena);
    }
    struct arena_header *h = process_arena->h;
    uint64_t limit = SH_GET(&h->limit);
    return Py_BuildValue("{s:K,s:K,s:K,s:K,s:N,s:K}", "used", (unsigned long long)SH_GET(&h->used_bytes), "peak",
                         (unsigned long long)SH_GET(&h->peak_bytes), "file_size", (unsigned long long)SH_GET(&h->file_size), "kept_free",
                         (unsigned long long)SH_GET(&h->dirty_free_bytes), "limit",
                         limit == UINT64_MAX ? Py_NewRef(Py_None) : PyLong_FromUnsignedLongLong(limit), "repairs",
                         (unsigned long long)process_arena->repairs);
}

static PyObject *py_set_limit(PyObject *Py_UNUSED(m), PyObject *arg)
{
    uint64_t limit = UINT64_MAX;
    if (arg != Py_None) {
        long long v = PyLong_AsLongLong(arg);
        if (v == -1 && PyErr_Occurred()) return NULL;
        if (v < 0) return PyErr_Format(PyExc_ValueError, "the limit must be 0 or more bytes or None, not %lld", v);
        limit = (uint64_t)v;
    }
    if (core_ensure() < 0) return NULL;
    SH_SET(&process_arena->h->limit, limit);
    Py_RETURN_NONE;
}

static PyObject *py_trim(PyObject *Py_UNUSED(m), PyObject *Py_UNUSED(n))
{
    if (process_arena) {
        Py_BEGIN_ALLOW_THREADS
        heap_trim(process_arena);
        Py_END_ALLOW_THREADS
    }
    Py_RETURN_NONE;
}

static PyObject *py_check(PyObject *Py_UNUSED(m), PyObject *Py_UNUSED(n))
{
    if (!process_arena) Py_RETURN_NONE;
    const char *wrong = heap_check(process_arena);
    if (!wrong) Py_RETURN_NONE;
    return PyUnicode_FromString(wrong);
}

static PyMethodDef functions[] = {
    { "ensure", py_ensure, METH_NOARGS, "ensure()\n--\n\nMake the arena of this process tree, if there is none yet." },
    { "attached", py_attached, METH_NOARGS, "attached()\n--\n\nWhether this process has an arena." },
    { "fds", py_fds, METH_NOARGS, "fds()\n--\n\n(arena, lease): the two descriptors that a spawned child needs for attach()." },
    { "attach", py_attach, METH_VARARGS,
      "attach(arena_fd, lease_fd, slot, generation)\n--\n\nJoin the parent's arena in the slot that it reserved." },
    { "settle", py_settle, METH_NOARGS,
      "settle()\n--\n\nGive back the references that came with the slot and were not opened; after the start arguments are unpickled." },
    { "reserve_slot", py_reserve_slot, METH_VARARGS, "reserve_slot(name)\n--\n\n(slot, generation) for a child that is about to start." },
    { "cancel_slot", py_cancel_slot, METH_VARARGS, "cancel_slot(slot, generation)\n--\n\nThe child does not start: give everything back." },
    { "child_started", py_child_started, METH_VARARGS,
      "child_started(slot, generation, pid)\n--\n\nThe child of a reserved slot runs: if it dies before it attaches, note_exit(pid) finds the slot." },
    { "forked", py_forked, METH_O,
      "forked(pid)\n--\n\nThe child of this thread's last fork has that pid: its death is noticed also before it has taken its slot.\n\n"
      "False: no slot or no memory was left for it, so it can use nothing shared." },
    { "severed", py_severed, METH_NOARGS,
      "severed()\n--\n\nWhether this process was forked without a slot or references, and so can use nothing shared." },
    { "slot_hold", py_slot_hold, METH_VARARGS, "slot_hold(slot, generation, shared)\n--\n\nThe starting child gets a reference of its own." },
    { "next_fork_uses", py_next_fork_uses, METH_VARARGS,
      "next_fork_uses(slot, generation)\n--\n\nThe child of this thread's next fork takes that slot." },
    { "move", py_move, METH_VARARGS,
      "move(slot, generation)\n--\n\nThis process, forked ahead, becomes the one that the slot was reserved for." },
    { "set_name", py_set_name, METH_O, "set_name(name)\n--\n\nName this process in the registry." },
    { "note_exit", py_note_exit, METH_VARARGS,
      "note_exit(pid, status)\n--\n\nA child was waited for (status as waitpid gives it): what it held is given back now." },
    { "set_exit_status", py_set_exit_status, METH_VARARGS,
      "set_exit_status(slot, generation, status)\n--\n\nLeave a process's exit status (as waitpid gives it) for OwnerDiedError." },
    { "self_slot", py_self_slot, METH_NOARGS, "self_slot()\n--\n\n(slot, generation) of this process." },
    { "slot_alive", py_slot_alive, METH_VARARGS, "slot_alive(slot, generation)\n--\n\nWhether that process lives (or is starting)." },
    { "sweep", py_sweep, METH_NOARGS, "sweep()\n--\n\nGive back what dead processes held; how many there were." },
    { "processes", py_processes, METH_NOARGS, "processes()\n--\n\nA dictionary for every process of the tree." },
    { "memory", py_memory, METH_NOARGS, "memory()\n--\n\nUse of the arena in bytes: used, peak, file_size, kept_free, limit, and repairs." },
    { "set_limit", py_set_limit, METH_O, "set_limit(bytes)\n--\n\nMost bytes that blocks may use in this tree; None: no limit." },
    { "trim", py_trim, METH_NOARGS, "trim()\n--\n\nGive free memory back to the kernel now." },
    { "check", py_check, METH_NOARGS, "check()\n--\n\nCheck the heap's every invariant; None, or what is wrong." },
    { NULL, NULL, 0, NULL },
};

int procession_add_arena(PyObject *module) { return PyModule_AddFunctions(module, functions); }
