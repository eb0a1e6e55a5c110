/* Fuzz: handles.  Any four numbers may be given to ref_open(); it says yes to those of live blocks and to no others.
 *
 * An input is a program of 12-byte steps on one arena: make a block, close one, open the handle of one with a change
 * drawn from the input, open four numbers of its own.  A table beside the arena knows which handles are good. */
#define _GNU_SOURCE
#include "../heap.h"
#include "../refs.h"
#include "../registry.h"
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCKS = 64, STEP = 12 };

static struct arena arena;
static struct { aoff at; uint64_t generation, size; enum block_kind kind; uint32_t handles; } table[BLOCKS];
/* What was closed last: handles that were good once. */
static struct { aoff at; uint64_t generation; enum block_kind kind; } old[BLOCKS];
static uint32_t old_count;

static const enum block_kind kinds[] = { KIND_BLOCK, KIND_LOCK, KIND_SEMAPHORE, KIND_EVENT };

static int known(aoff at, uint64_t generation)
{
    for (int i = 0; i < BLOCKS; i++)
        if (table[i].handles && table[i].at == at && table[i].generation == generation) return i;
    return -1;
}

static void make(int i, uint64_t shape, enum block_kind kind)
{
    static const uint32_t limits[8] = { 48, 200, 2000, 16000, 70000, 300000, 3000000, 20000000 };
    uint64_t size = 1 + (shape >> 3) % limits[shape & 7];
    aoff at = ref_new(&arena, size, kind, false);
    if (!at) return;
    CHECK(block_kind(&arena, at) == kind && block_size(&arena, at) == size);
    table[i].at = at;
    table[i].generation = block_generation(&arena, at);
    table[i].size = size;
    table[i].kind = kind;
    table[i].handles = 1;
    void *p = block_map(&arena, at);
    CHECK(p);
    memset(p, (int)(shape >> 8 & 0xfe), size < 4096 ? size : 4096);
    block_unmap(&arena, at, p);
}

static void close_one(int i)
{
    if (!table[i].handles) return;
    ref_close(&arena, table[i].at);
    if (--table[i].handles) return;
    old[old_count % BLOCKS].at = table[i].at;
    old[old_count % BLOCKS].generation = table[i].generation;
    old[old_count % BLOCKS].kind = table[i].kind;
    old_count++;
}

static void open_it(uint64_t id, aoff at, uint64_t generation, uint64_t kind)
{
    int i = known(at, generation);
    int r = ref_open(&arena, id, at, generation, (enum block_kind)kind);
    if (id != arena.id) CHECK(r == AR_FOREIGN);
    else if (i >= 0 && (kind == KIND_NONE || kind == (uint64_t)table[i].kind)) {
        CHECK(r == AR_OK);
        table[i].handles++;
    } else if (i >= 0) CHECK(r == AR_KIND);
    else if (r == AR_OK) {
        /* The core's own blocks, the ledgers, are live too; open_handle() lets nobody ask for their kind. */
        CHECK(kind == KIND_NONE || kind == KIND_LEDGER);
        ref_close(&arena, at);
    } else CHECK(r == AR_STALE || r == AR_KIND);
}

static uint64_t number(const uint8_t *p, int bytes)
{
    uint64_t v = 0;
    memcpy(&v, p, (size_t)bytes);
    return v;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint64_t runs;
    if (!arena.h) CHECK(arena_create(&arena, (uint64_t)1 << 30) == AR_OK);
    for (; size >= STEP; data += STEP, size -= STEP) {
        int i = data[1] % BLOCKS;
        uint64_t wide = number(data + 4, 8);
        switch (data[0] % 8) {
        case 0: case 1:
            if (!table[i].handles) make(i, number(data + 4, 4), kinds[data[2] % 4]);
            break;
        case 2: close_one(i); break;
        case 3:                                        /* near the truth */
            if (table[i].handles)
                open_it(arena.id ^ (data[2] & 1), table[i].at + (uint64_t)(int64_t)(int8_t)data[3] * (data[2] & 2 ? 32 : 1),
                        table[i].generation + (data[2] & 4 ? data[4] : 0), data[2] & 8 ? data[5] : (uint64_t)table[i].kind);
            break;
        case 4:                                        /* of what is no more */
            if (old_count) {
                uint32_t k = data[1] % (old_count < BLOCKS ? old_count : BLOCKS);
                open_it(arena.id, old[k].at, old[k].generation, data[2] & 1 ? KIND_NONE : (uint64_t)old[k].kind);
            }
            break;
        case 5: open_it(arena.id, wide, data[1], data[2]); break;
        case 6: open_it(data[3] & 1 ? arena.id : wide, wide % ((uint64_t)1 << 31) & ~31ull, number(data + 1, 3), data[2] % KIND_MAX); break;
        case 7:
            if (table[i].handles && table[i].size >= 8) {          /* what a block holds is no header */
                if (!arena_begin(&arena)) abort();
                CHECK(ref_is_live(&arena, table[i].at, table[i].generation, table[i].kind));
                ref_is_live(&arena, wide, data[1], (enum block_kind)data[2]);
                arena_end(&arena);
            }
            break;
        }
    }
    if (++runs % 64 == 0) {
        const char *wrong = heap_check(&arena);
        if (wrong) fprintf(stderr, "heap: %s\n", wrong);
        CHECK(!wrong);
        for (int i = 0; i < BLOCKS; i++) if (table[i].handles) CHECK(ref_count_here(&arena, table[i].at) == table[i].handles);
    }
    if (runs % 512 == 0) {                                          /* nothing may be left when all is closed */
        for (int i = 0; i < BLOCKS; i++) while (table[i].handles) close_one(i);
        if (!arena_begin(&arena)) abort();
        ref_collect(&arena, 1 << 20);
        arena_end(&arena);
        heap_trim(&arena);
        CHECK(heap_check(&arena) == NULL);
    }
    return 0;
}
