/* py_channel.h: how values that need no pickle travel in a channel; py_channel_codec.c */
#ifndef PROCESSION_PY_CHANNEL_H
#define PROCESSION_PY_CHANNEL_H

#include "py_arena.h"
#include "channel.h"

/* ITEM: one 4-byte word, bits 0-7 tag, bits 8-31 length of the payload in bytes; then the payload, unaligned. */
enum item_tag {
    ITEM_NONE = 0, ITEM_TRUE = 1, ITEM_FALSE = 2, ITEM_INT = 3 /* 8 bytes */, ITEM_FLOAT = 4 /* 8 bytes */, ITEM_BYTES = 5,
    ITEM_STR = 6 /* ASCII */, ITEM_TUPLE = 7 /* items */, ITEM_INTS = 8 /* list: 8 bytes each */,
    ITEM_FLOATS = 9 /* list: 8 bytes each */, ITEM_LIST = 10 /* a list of items */,
    ITEM_OPAQUE = 16 /* 16 and above: made by the caller's dumps(), given to its loads() */
};
#define ITEM_SMALL 4096u          /* longer bytes and strings are left to the caller */
#define ITEM_NUMBERS 16384u       /* longer lists of numbers too: a record must fit half of the smallest ring */
#define ITEM_MAX 0xffffffu

struct buffer { char *data; size_t used, room; bool full /* dumps() said that no more should follow */; char inside[512]; };

void buffer_init(struct buffer *b);
void buffer_free(struct buffer *b);
int  buffer_add(struct buffer *b, const void *data, size_t size);   /* -1: no memory */

/* Appends one item.  What it cannot write itself goes to dumps(obj) -> (tag, bytes),
 * or (tag, bytes, anything) when the batch should go out with this item.  Returns 0, or -1 with an exception
 * set and the buffer as it was. */
int  item_encode(struct buffer *b, PyObject *obj, PyObject *dumps, int depth);
/* Reads one item at *at (which moves on); NULL with an exception. */
PyObject *item_decode(const char **at, const char *end, PyObject *loads);
int  item_skip(const char **at, const char *end);

typedef struct {
    PyObject_HEAD
    Py_buffer memory, hub_memory;
    struct channel *c;
    struct hub *hub;
    struct pool_bell bell;
    bool lost;              /* worker: the pool's thread could not be woken */
    unsigned forks;         /* worker: forks_behind where it works; a child that a task has forked is none */
    bool working;           /* worker: forks is set */
    uint32_t spin_ns;
    int cpus;
    uint64_t batch_at;      /* worker: position of the batch in hand */
    struct batch *batch;    /* worker: the batch in hand, NULL: none */
    const char *item, *item_end;
    uint32_t item_index;    /* worker: index of the item at `item` */
    bool ran;               /* worker: tasks have run since the pool was last told that none is left */
} Channel; /* one side of a channel, Channel in Python */

#define SPIN_MOST_NS 40000u

extern PyTypeObject *channel_type;
extern PyType_Spec hub_spec;

int channel_memory(PyObject *from, Py_buffer *view, size_t least, const char *what);
void spin_adapt(uint32_t *spin, bool won, int cpus);

#endif
