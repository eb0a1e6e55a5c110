/* py_outside.c: what an arena says to those who are not in its tree.
 *
 * Its file is read with pread, never mapped and never written: a reader that dies or lies changes nothing, and one that reads
 * while others write sees words of different moments.  So everything is checked, and what makes no sense is left out.
 */
#include "py_arena.h"
#include "registry.h"
#include "sync.h"

#include <string.h>
#include <unistd.h>

static bool read_at(int fd, aoff at, void *to, size_t size) { return pread(fd, to, size, (off_t)at) == (ssize_t)size; }

/* The descriptor, after its arena's magic and layout were seen; -1 with an exception. */
static int outside_fd(PyObject *arg)
{
    int fd = (int)PyLong_AsLong(arg);
    if (fd == -1 && PyErr_Occurred()) return -1;
    struct { uint64_t magic; uint32_t layout, header_size; } head;
    if (read_at(fd, 0, &head, sizeof head) && head.magic == ARENA_MAGIC && head.layout == ARENA_LAYOUT) return fd;
    PyErr_Format(PyExc_ValueError, "descriptor %d is not of an arena that this version knows", fd);
    return -1;
}

static bool read_slot(int fd, uint32_t index, struct slot *to)
{
    return index < REGISTRY_SLOTS && read_at(fd, REGISTRY_OFFSET + index * sizeof *to, to, sizeof *to);
}

/* Pid of the process that an owner word names, 0: nobody who is still registered. */
static uint64_t owner_pid(int fd, uint32_t word)
{
    struct slot s;
    if (!olock_held(word) || !read_slot(fd, owner_slot(word), &s)) return 0;
    uint64_t state = SH_PEEK(&s.state);
    return slot_state(state) != SLOT_FREE && slot_generation(state) == owner_generation16(word) ? SH_PEEK(&s.pid) : 0;
}

static PyObject *py_lock_owner(PyObject *Py_UNUSED(m), PyObject *arg)
{
    uint32_t word;
    int fd = outside_fd(arg);
    if (fd < 0) return NULL;
    if (!read_at(fd, offsetof(struct arena_header, lock), &word, sizeof word)) return PyErr_SetFromErrno(PyExc_OSError);
    uint64_t pid = owner_pid(fd, word);
    if (!pid) Py_RETURN_NONE;
    return PyLong_FromUnsignedLongLong(pid);
}

static const char *kind_name(uint32_t kind)
{
    switch (kind) {
    case KIND_LOCK: return "Lock";
    case KIND_RLOCK: return "RLock";
    case KIND_SEMAPHORE: return "Semaphore";
    case KIND_EVENT: return "Event";
    case KIND_CONDITION: return "Condition";
    case KIND_BARRIER: return "Barrier";
    case KIND_QUEUE: return "Queue";
    default: return NULL;
    }
}

static double seconds_since(uint64_t then)
{
    uint64_t now = clock_coarse_ns();
    return then && now > then ? (double)(now - then) / 1e9 : 0.0;
}

/* None, or a dictionary of the object whose payload is there. */
static PyObject *object_at(int fd, aoff payload)
{
    struct block_header header;
    if (payload < sizeof header || !read_at(fd, payload - sizeof header, &header, sizeof header)) Py_RETURN_NONE;
    uint64_t ident = SH_PEEK(&header.ident);
    uint32_t kind = ident >> 8 & 0xff;
    const char *name = kind_name(kind);
    if ((ident & 0xff) != 1 || !name) Py_RETURN_NONE;
    struct sync_lock lock;
    uint64_t holder = 0, since = 0;
    if ((kind == KIND_LOCK || kind == KIND_RLOCK) && read_at(fd, payload, &lock, sizeof lock)) {
        holder = owner_pid(fd, SH_PEEK(&lock.word));
        since = SH_PEEK(&lock.since);
    }
    return Py_BuildValue("{s:s,s:K,s:N,s:N}", "kind", name, "at", (unsigned long long)payload, "holder",
                         holder ? PyLong_FromUnsignedLongLong(holder) : Py_NewRef(Py_None), "held_seconds",
                         holder ? PyFloat_FromDouble(seconds_since(since)) : Py_NewRef(Py_None));
}

static PyObject *process_of(int fd, uint32_t index, struct slot *s)
{
    uint64_t parent = SH_PEEK(&s->parent), waits = SH_PEEK(&s->waits_for);
    uint64_t parent_pid = parent ? owner_pid(fd, (uint32_t)parent) : 0;
    return Py_BuildValue(
        "{s:I,s:K,s:N,s:s,s:N,s:N,s:d}", "slot", index, "pid", (unsigned long long)SH_PEEK(&s->pid), "name",
        core_slot_name(s), "state", core_slot_state(SH_PEEK(&s->state)), "parent",
        parent_pid ? PyLong_FromUnsignedLongLong(parent_pid) : Py_NewRef(Py_None), "waits_for",
        waits ? object_at(fd, waits) : Py_NewRef(Py_None), "waits_seconds", waits ? seconds_since(SH_PEEK(&s->waits_since)) : 0.0);
}

static PyObject *py_registry_of(PyObject *Py_UNUSED(m), PyObject *arg)
{
    uint64_t high;
    int fd = outside_fd(arg);
    if (fd < 0) return NULL;
    if (!read_at(fd, offsetof(struct arena_header, registry_high), &high, sizeof high)) return PyErr_SetFromErrno(PyExc_OSError);
    PyObject *list = PyList_New(0);
    for (uint32_t i = 0; list && i < high; i++) {
        struct slot s;
        if (!read_slot(fd, i, &s)) break;
        if (slot_state(SH_PEEK(&s.state)) == SLOT_FREE) continue;
        PyObject *one = process_of(fd, i, &s);
        if (!one || PyList_Append(list, one) < 0) Py_CLEAR(list);
        Py_XDECREF(one);
    }
    return list;
}

static PyMethodDef functions[] = {
    { "lock_owner", py_lock_owner, METH_O,
      "lock_owner(fd)\n--\n\nPid of the process that holds the lock of the arena in that file now, or None." },
    { "registry_of", py_registry_of, METH_O,
      "registry_of(fd)\n--\n\nA dictionary for every process that the arena in that file knows: slot, pid, name, state, parent (pid),\n"
      "waits_for (None, or kind, at, holder, held_seconds) and waits_seconds.  The file is only read." },
    { NULL, NULL, 0, NULL },
};

int procession_add_outside(PyObject *module) { return PyModule_AddFunctions(module, functions); }
