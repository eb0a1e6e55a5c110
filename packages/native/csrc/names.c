/* names.c: the named segments that this process tree removes when it ends.  Format and rules: names.h. */
#define _GNU_SOURCE
#include "names.h"
#include "heap.h"
#include "registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct name { sh64 next; sh64 length; char text[]; };

static uint32_t bucket_of(const char *name, uint32_t length)
{
    uint32_t h = 2166136261u;
    for (uint32_t i = 0; i < length; i++) h = (h ^ (uint8_t)name[i]) * 16777619u;
    return (h ^ h >> 16) % NAME_BUCKETS;
}

static sh64 *table_of(struct arena *a)
{
    aoff table = SH_PEEK(&a->h->names);
    return table ? arena_ptr(a, table) : NULL;
}

/* The word that names the entry, which is 0 if there is none. */
static sh64 *find(struct arena *a, sh64 *table, const char *name, uint32_t length)
{
    sh64 *link = &table[bucket_of(name, length)];
    for (aoff at; (at = SH_PEEK(link)) != 0;) {
        struct name *n = arena_ptr(a, at);
        if (SH_PEEK(&n->length) == length && memcmp(n->text, name, length) == 0) break;
        link = &n->next;
    }
    return link;
}

/* In a transaction: a block with one reference, that of the word which is going to name it. */
static aoff take(struct arena *a, uint64_t size, enum block_kind kind)
{
    bool clean = false;
    aoff at = heap_alloc(a, size, kind, &clean);
    if (at) txn_set(a, &block_header(a, at)->refs, 1);
    return at;
}

int names_add(struct arena *a, const char *name, uint32_t length)
{
    if (length > NAME_LIMIT) return AR_OVERFLOW;
    int r = AR_OK;
    if (!arena_begin(a)) return AR_NOMEM;
    SH_SET(&slot_at(a, a->self_slot)->names_left, 0);
    sh64 *table = table_of(a);
    if (!table) {
        aoff at = take(a, NAME_BUCKETS * 8, KIND_NAME_TABLE);
        if (at) {
            table = arena_ptr(a, at);
            for (uint32_t i = 0; i < NAME_BUCKETS; i++) SH_INIT(&table[i], 0);
            txn_set(a, &a->h->names, at);
            arena_commit(a);
        }
    }
    sh64 *link = table ? find(a, table, name, length) : NULL;
    if (!link) r = AR_NOMEM;
    else if (SH_PEEK(link) == 0) {
        aoff at = take(a, sizeof(struct name) + length, KIND_NAME);
        if (at) {
            struct name *n = arena_ptr(a, at);
            sh64 *first = &table[bucket_of(name, length)];
            memcpy(n->text, name, length);
            SH_INIT(&n->length, length);
            SH_INIT(&n->next, SH_PEEK(first));
            txn_set(a, first, at);
        } else {
            r = AR_NOMEM;
        }
    }
    if (r != AR_OK) arena_rollback(a);
    arena_end(a);
    return r;
}

/* In a transaction. */
static void drop(struct arena *a, sh64 *link)
{
    aoff at = SH_PEEK(link);
    struct name *n = arena_ptr(a, at);
    txn_set(a, link, SH_PEEK(&n->next));
    txn_set(a, &block_header(a, at)->refs, 0);
    heap_free(a, at);
}

bool names_discard(struct arena *a, const char *name, uint32_t length)
{
    bool found = false;
    if (!arena_begin(a)) return false;
    sh64 *table = table_of(a);
    sh64 *link = table ? find(a, table, name, length) : NULL;
    if (link && SH_PEEK(link) != 0) {
        drop(a, link);
        found = true;
    }
    arena_end(a);
    return found;
}

char *names_copy(struct arena *a, size_t *size)
{
    size_t room = 4096, used = 0;
    char *volatile copy = malloc(room);              /* also read after a transaction that was refused memory */
    if (!arena_begin(a)) {
        free(copy);
        return NULL;
    }
    sh64 *table = table_of(a);
    for (uint32_t i = 0; copy && table && i < NAME_BUCKETS; i++) {
        struct name *n;
        for (aoff at = SH_PEEK(&table[i]); copy && at; at = SH_PEEK(&n->next)) {
            n = arena_ptr(a, at);
            uint64_t length = SH_PEEK(&n->length);
            if (used + length + 1 > room) {
                char *larger = realloc(copy, room *= 2);
                if (!larger) free(copy);
                copy = larger;
                if (!copy) break;
            }
            memcpy(copy + used, n->text, length);
            copy[used + length] = 0;
            used += length + 1;
        }
    }
    arena_end(a);
    *size = used;
    return copy;
}

static bool alone(struct arena *a)
{
    uint32_t high = (uint32_t)SH_PEEK(&a->h->registry_high);
    for (uint32_t i = 0; i < high; i++) {
        if (i == a->self_slot) continue;
        uint64_t word = SH_GET(&slot_at(a, i)->state);
        if (slot_state(word) != SLOT_LIVE && slot_state(word) != SLOT_STARTING) continue;
        if (SH_PEEK(&slot_at(a, i)->names_left) == slot_generation(word)) continue;
        if (registry_alive(a, i, slot_generation(word))) return false;
    }
    return true;
}

/* Under the lock. */
static void remove_all(struct arena *a, sh64 *table)
{
    for (uint32_t i = 0; i < NAME_BUCKETS; i++) {
        for (aoff at; (at = SH_PEEK(&table[i])) != 0;) {
            struct name *n = arena_ptr(a, at);
            char path[16 + NAME_LIMIT];
            uint32_t length = (uint32_t)SH_PEEK(&n->length), skip = 0;
            while (skip < length && n->text[skip] == '/') skip++;
            if (length <= NAME_LIMIT && length > skip) {
                snprintf(path, sizeof path, "/dev/shm/%.*s", (int)(length - skip), n->text + skip);
                unlink(path);               /* gone already is as good */
            }
            drop(a, &table[i]);
            arena_commit(a);
        }
    }
}

void names_leave(struct arena *a)
{
    if (!arena_begin(a)) return;
    SH_SET(&slot_at(a, a->self_slot)->names_left, a->self_generation & 0xffff);
    sh64 *table = table_of(a);
    bool any = false;
    for (uint32_t i = 0; table && !any && i < NAME_BUCKETS; i++) any = SH_PEEK(&table[i]) != 0;
    if (any && alone(a)) remove_all(a, table);
    arena_end(a);
}
