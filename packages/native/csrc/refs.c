/* refs.c: ledgers, reference counts, zombies.  Format and rules: refs.h. */
#define _GNU_SOURCE
#include "refs.h"
#include "registry.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define LEDGER_ENTRIES 155u                          /* fills the cell class of 1280 bytes */
#define SPARE_ENTRIES 32u

/* Private memory of this process: block → (how many handles, our ledger entry), open addressing. */
struct item { aoff block; aoff entry; uint32_t count; bool late; /* should have been given back: see close_late */ };
struct refmap {
    struct item *table; uint32_t capacity, used;    /* capacity is a power of two */
    aoff *spare; uint32_t spare_count, spare_capacity;
};

static bool parcel_step(struct arena *a, aoff payload);
static release_step release_steps[KIND_MAX] = { [KIND_PARCEL] = parcel_step };
void ref_set_release(enum block_kind kind, release_step step) { release_steps[kind] = step; }

/* -- the private table --------------------------------------------------------------------------------------- */

static struct refmap *map_of(struct arena *a)
{
    if (!a->refs) a->refs = calloc(1, sizeof *a->refs);
    return a->refs;
}

static uint32_t hash(aoff block) { return (uint32_t)((block >> 5) * 0x9e3779b97f4a7c15ull >> 32); }

static struct item *find(struct refmap *m, aoff block)
{
    if (!m || !m->capacity) return NULL;
    for (uint32_t i = hash(block);; i++) {
        struct item *it = &m->table[i & (m->capacity - 1)];
        if (it->block == block) return it;
        if (!it->block) return NULL;
    }
}

static bool table_reserve(struct refmap *m, uint32_t more)
{
    if ((m->used + more) * 4 <= m->capacity * 3) return true;
    uint32_t capacity = m->capacity ? m->capacity : 64;
    while ((m->used + more) * 4 > capacity * 3) capacity *= 2;
    struct item *table = calloc(capacity, sizeof *table);
    if (!table) return false;
    for (uint32_t i = 0; i < m->capacity; i++) {
        if (!m->table[i].block) continue;
        uint32_t k = hash(m->table[i].block);
        while (table[k & (capacity - 1)].block) k++;
        table[k & (capacity - 1)] = m->table[i];
    }
    free(m->table);
    m->table = table;
    m->capacity = capacity;
    return true;
}

static void table_add(struct refmap *m, aoff block, aoff entry, uint32_t count)
{
    uint32_t k = hash(block);
    while (m->table[k & (m->capacity - 1)].block) k++;
    m->table[k & (m->capacity - 1)] = (struct item){ block, entry, count, false };
    m->used++;
}

static void table_remove(struct refmap *m, struct item *it)
{
    uint32_t mask = m->capacity - 1, hole = (uint32_t)(it - m->table);
    m->used--;
    /* Backward shift keeps every probe sequence unbroken without tombstones. */
    for (uint32_t i = (hole + 1) & mask; m->table[i].block; i = (i + 1) & mask) {
        uint32_t home = hash(m->table[i].block) & mask;
        if (((i - home) & mask) < ((i - hole) & mask)) continue;
        m->table[hole] = m->table[i];
        hole = i;
    }
    m->table[hole] = (struct item){ 0, 0, 0, false };
}

static bool spare_push(struct refmap *m, aoff entry)
{
    if (m->spare_count == m->spare_capacity) {
        uint32_t capacity = m->spare_capacity ? m->spare_capacity * 2 : 256;
        aoff *spare = realloc(m->spare, capacity * sizeof *spare);
        if (!spare) return false;
        m->spare = spare;
        m->spare_capacity = capacity;
    }
    m->spare[m->spare_count++] = entry;
    return true;
}

void refs_free_private(struct arena *a)
{
    if (!a->refs) return;
    free(a->refs->table);
    free(a->refs->spare);
    free(a->refs);
    a->refs = NULL;
}

/* -- ledgers ------------------------------------------------------------------------------------------------- */

/* One more block of entries at the head of a slot's ledger.  In a transaction, which it commits. */
static aoff ledger_grow(struct arena *a, uint32_t slot)
{
    bool clean = false;
    aoff chunk = heap_alloc(a, (LEDGER_ENTRIES + 1) * 8, KIND_LEDGER, &clean);
    if (!chunk) {
        arena_rollback(a);
        return 0;
    }
    sh64 *w = arena_ptr(a, chunk);
    struct slot *s = slot_at(a, slot);
    for (uint32_t i = 1; i <= LEDGER_ENTRIES; i++) SH_INIT(&w[i], 0);
    SH_INIT(&w[0], SH_PEEK(&s->ledger));
    txn_set(a, &block_header(a, chunk)->refs, 1);
    txn_set(a, &s->ledger, chunk);
    arena_commit(a);
    return chunk;
}

int ref_prepare(struct arena *a, uint32_t n)
{
    struct refmap *m = map_of(a);
    if (!m || !table_reserve(m, n + SPARE_ENTRIES)) return AR_NOMEM;
    while (m->spare_count < n) {
        aoff chunk = ledger_grow(a, a->self_slot);
        if (!chunk) return AR_NOMEM;
        for (uint32_t i = LEDGER_ENTRIES; i >= 1; i--)
            if (!spare_push(m, chunk + i * 8)) return AR_NOMEM;
    }
    return AR_OK;
}

static int add_reference(struct arena *a, aoff payload)
{
    struct refmap *m = map_of(a);
    if (!m || m->spare_count == 0 || !table_reserve(m, 1)) return AR_NOMEM;
    aoff entry = m->spare[--m->spare_count];
    struct block_header *b = block_header(a, payload);
    txn_set(a, arena_ptr(a, entry), payload);
    txn_set(a, &b->refs, SH_PEEK(&b->refs) + 1);
    table_add(m, payload, entry, 1);
    return AR_OK;
}

int ref_own_new(struct arena *a, aoff payload) { return add_reference(a, payload); }

int ref_adopt(struct arena *a, aoff payload)
{
    struct item *it = find(a->refs, payload);
    if (!it) return add_reference(a, payload);
    (void)arena_ptr(a, payload);                    /* one that came with the slot may never have been looked at */
    it->count++;
    it->late = false;
    return AR_OK;
}

void ref_hold(struct arena *a, aoff payload)
{
    struct block_header *b = block_header(a, payload);
    txn_set(a, &b->refs, SH_PEEK(&b->refs) + 1);
}

void ref_drop(struct arena *a, aoff payload)
{
    struct block_header *b = block_header(a, payload);
    uint64_t n = SH_PEEK(&b->refs) - 1;
    txn_set(a, &b->refs, n);
    if (n) return;
    uint64_t ident = SH_PEEK(&b->ident);
    if (!release_steps[ident >> 8 & 0xff]) {
        heap_free(a, payload);
        return;
    }
    struct arena_header *h = a->h;
    txn_set(a, &b->ident, (ident & ~(uint64_t)0xff) | 2);
    txn_set(a, &b->link, SH_PEEK(&h->zombies) << 16 | (SH_PEEK(&b->link) & 0xffff));
    txn_set(a, &h->zombies, payload);
}

void ref_hold_all(struct arena *a, sh64 *count, sh64 *place, const aoff *items, uint32_t n)
{
    arena_commit(a);
    for (uint32_t i = 0; i < n; i++) {
        SH_INIT(&place[i], items[i]);
        ref_hold(a, items[i]);
        txn_set(a, count, i + 1);
        arena_commit(a);
    }
}

bool ref_drop_last(struct arena *a, sh64 *count, sh64 *place)
{
    uint64_t n = SH_PEEK(count);
    if (n == 0) return true;
    aoff item = SH_PEEK(&place[n - 1]);
    txn_set(a, count, n - 1);
    ref_drop(a, item);
    return false;
}

void ref_release_locked(struct arena *a, aoff payload)
{
    struct item *it = find(a->refs, payload);
    if (!it) return;
    if (it->count > 1) {
        it->count--;
        return;
    }
    txn_set(a, arena_ptr(a, it->entry), 0);
    ref_drop(a, payload);
    /* Last, since private tables are not rolled back. */
    spare_push(a->refs, it->entry);
    table_remove(a->refs, it);
}

uint64_t ref_count_here(struct arena *a, aoff payload)
{
    struct item *it = find(a->refs, payload);
    return it ? it->count : 0;
}

void ref_collect(struct arena *a, int steps)
{
    struct arena_header *h = a->h;
    aoff z;
    while (steps-- > 0 && (z = SH_PEEK(&h->zombies)) != 0) {
        struct block_header *b = block_header(a, z);
        release_step step = release_steps[SH_PEEK(&b->ident) >> 8 & 0xff];
        /* A step may make more zombies, which then stand before this one. */
        if (!step || step(a, z)) {
            if (SH_PEEK(&h->zombies) != z) {
                arena_commit(a);
                continue;
            }
            txn_set(a, &h->zombies, SH_PEEK(&b->link) >> 16);
            txn_set(a, &b->link, SH_PEEK(&b->link) & 0xffff);
            heap_free(a, z);
        }
        arena_commit(a);
    }
}

/* -- whole operations ---------------------------------------------------------------------------------------- */

/* Gives back what ref_close() could not. */
static void close_late(struct arena *a)
{
    a->unclosed = false;
    if (!arena_begin(a)) {
        a->unclosed = true;
        return;
    }
    for (uint32_t k = 0; a->refs && k < a->refs->capacity;) {
        struct item *it = &a->refs->table[k];
        if (!it->block || !it->late) {
            k++;
            continue;
        }
        ref_release_locked(a, it->block);            /* shifts another item to k */
        arena_commit(a);
    }
    arena_end(a);
}

static aoff new_once(struct arena *a, uint64_t size, enum block_kind kind, bool *clean, bool collect)
{
    if (!arena_begin(a)) return 0;
    if (collect) ref_collect(a, INT_MAX);
    aoff payload = ref_prepare(a, SPARE_ENTRIES) == AR_OK ? heap_alloc(a, size, kind, clean) : 0;
    if (!payload || ref_own_new(a, payload) != AR_OK) return arena_abandon(a);
    arena_end(a);
    return payload;
}

aoff ref_new_raw(struct arena *a, uint64_t size, enum block_kind kind, bool *clean)
{
    bool wanted = *clean;
    aoff payload = new_once(a, size, kind, clean, false);
    if (payload || arena_stopped_owner()) return payload;
    /* Before giving up: what dead processes held, and free pages in runs of the wrong size. */
    registry_sweep(a);
    *clean = wanted;
    payload = new_once(a, size, kind, clean, true);
    if (payload || !heap_could_trim(a, size)) return payload;
    heap_trim(a);
    *clean = wanted;
    return new_once(a, size, kind, clean, false);
}

aoff ref_new(struct arena *a, uint64_t size, enum block_kind kind, bool zero)
{
    bool clean = zero;
    aoff payload = ref_new_raw(a, size, kind, &clean);
    if (payload && zero && !clean) {
        void *p = block_map(a, payload);
        if (!p) {
            ref_close(a, payload);
            return 0;
        }
        memset(p, 0, size);
        block_unmap(a, payload, p);
    }
    return payload;
}

static bool plausible(struct arena *a, aoff payload)
{
    if (payload < HEAP_OFFSET + RUN_HEADER_SIZE || payload % 32 || payload >= SH_GET(&a->h->file_size)) return false;
    uint64_t i = payload >> WINDOW_BITS;
    uint64_t state = SH_GET(&a->h->window[i / 8]) >> (i % 8 * 8) & 0xff;
    return state == 1 ? (payload & (WINDOW_SIZE - 1)) >= 32 : state == 2 && (payload & (WINDOW_SIZE - 1)) == HUGE_PAYLOAD;
}

int ref_open(struct arena *a, uint64_t arena_id, aoff payload, uint64_t generation, enum block_kind kind)
{
    if (arena_id != a->id) return AR_FOREIGN;
    int r = AR_OK;
    if (!arena_begin(a)) return AR_NOMEM;
    if (!plausible(a, payload)) r = AR_STALE;
    else {
        uint64_t ident = SH_PEEK(&block_header(a, payload)->ident);
        if ((ident & 0xff) != 1 || ident >> 16 != generation) r = AR_STALE;
        else if (kind != KIND_NONE && (ident >> 8 & 0xff) != (uint64_t)kind) r = AR_KIND;
        else if ((r = ref_prepare(a, SPARE_ENTRIES)) == AR_OK) r = ref_adopt(a, payload);
    }
    arena_end(a);
    return r;
}

bool ref_is_live(struct arena *a, aoff payload, uint64_t generation, enum block_kind kind)
{
    if (!plausible(a, payload) || arena_ptr(a, payload) == NULL) return false;
    return SH_PEEK(&block_header(a, payload)->ident) == (generation << 16 | (uint64_t)kind << 8 | 1);
}

int ref_again(struct arena *a, aoff payload)
{
    if (!arena_begin(a)) return AR_NOMEM;
    int r = ref_prepare(a, SPARE_ENTRIES);
    if (r == AR_OK) r = ref_adopt(a, payload);
    arena_end(a);
    return r;
}

/* For want of memory: the ledger names it still, until it can be given back, or is opened again, or we end. */
static void leave_for_later(struct arena *a, aoff payload)
{
    pthread_mutex_lock(&a->private_mutex);
    struct item *it = find(a->refs, payload);
    if (it) {
        it->count = 0;
        it->late = a->unclosed = true;
    }
    pthread_mutex_unlock(&a->private_mutex);
}

#define COLLECT_STEPS 64

void ref_close(struct arena *a, aoff payload)
{
    pthread_mutex_lock(&a->private_mutex);
    struct item *it = find(a->refs, payload);
    bool last = it && it->count == 1;
    if (it && !last) it->count--;
    pthread_mutex_unlock(&a->private_mutex);
    if (!last) return;
    /* Outside the lock: giving pages back may take milliseconds.  A guess: another process may still hold it. */
    bool punched = SH_PEEK(&block_header(a, payload)->refs) == 1 && block_kind(a, payload) == KIND_BLOCK &&
                   heap_punch_before_free(a, payload);
    if (!arena_begin(a)) {
        leave_for_later(a, payload);
        return;
    }
    /* Somebody has opened it by a handle that nobody kept alive: what he writes is not clean when he frees it. */
    sh64 *link = &block_header(a, payload)->link;
    if (punched && SH_PEEK(&block_header(a, payload)->refs) != 1) txn_set(a, link, SH_PEEK(link) & 0xff);
    ref_release_locked(a, payload);
    arena_end(a);
    if (__builtin_expect(a->unclosed, 0)) close_late(a);
    /* A container's contents go now, in turns with others: nobody may come for a long time. */
    while (__builtin_expect(SH_GET(&a->h->zombies) != 0, 0)) {
        if (!arena_begin(a)) return;
        ref_collect(a, COLLECT_STEPS);
        arena_end(a);
    }
    heap_tidy(a);
}

/* -- fork, start and death of other processes ---------------------------------------------------------------- */

int ref_slot_hold(struct arena *a, uint32_t slot, aoff payload)
{
    struct slot *s = slot_at(a, slot);
    for (aoff chunk = SH_PEEK(&s->ledger); chunk;) {
        sh64 *w = arena_ptr(a, chunk);
        for (uint32_t i = 1; i <= LEDGER_ENTRIES; i++) {
            uint64_t e = SH_PEEK(&w[i]);
            if (e == payload) return AR_OK;
            if (e) continue;
            struct block_header *b = block_header(a, payload);
            txn_set(a, &w[i], payload);
            txn_set(a, &b->refs, SH_PEEK(&b->refs) + 1);
            return AR_OK;
        }
        chunk = SH_PEEK(&w[0]);
    }
    if (!ledger_grow(a, slot)) return AR_NOMEM;
    return ref_slot_hold(a, slot, payload);
}

int ref_lend_all(struct arena *a, uint32_t slot)
{
    struct refmap *m = a->refs;
    for (uint32_t k = 0; m && k < m->capacity; k++) {
        if (!m->table[k].block) continue;
        if (ref_slot_hold(a, slot, m->table[k].block) != AR_OK) return AR_NOMEM;
        arena_commit(a);
    }
    return AR_OK;
}

int ref_copy_ledger(struct arena *a, uint32_t to_slot)
{
    struct refmap *m = a->refs;
    if (!m) return AR_OK;
    sh64 *w = NULL;
    uint32_t i = LEDGER_ENTRIES + 1;
    for (uint32_t k = 0; k < m->capacity; k++) {
        aoff block = m->table[k].block;
        if (!block) continue;
        if (i > LEDGER_ENTRIES) {
            arena_commit(a);
            aoff chunk = ledger_grow(a, to_slot);
            if (!chunk) return AR_NOMEM;
            w = arena_ptr(a, chunk);
            i = 1;
        }
        struct block_header *b = block_header(a, block);
        txn_set(a, &w[i++], block);
        txn_set(a, &b->refs, SH_PEEK(&b->refs) + 1);
    }
    arena_commit(a);
    return AR_OK;
}

/* Reads our slot's ledger into the private table; counts of blocks that we knew before (a fork) are kept. */
static int load(struct arena *a, struct refmap *old)
{
    struct refmap *m = calloc(1, sizeof *m);
    if (!m) return AR_NOMEM;
    struct slot *s = slot_at(a, a->self_slot);
    for (aoff chunk = SH_PEEK(&s->ledger); chunk;) {
        sh64 *w = arena_ptr(a, chunk);
        if (!w || !table_reserve(m, LEDGER_ENTRIES)) return AR_NOMEM;
        for (uint32_t i = LEDGER_ENTRIES; i >= 1; i--) {
            aoff block = SH_PEEK(&w[i]);
            if (!block) {
                if (!spare_push(m, chunk + i * 8)) return AR_NOMEM;
                continue;
            }
            struct item *it = find(old, block);
            table_add(m, block, chunk + i * 8, it ? it->count : 0);
            if (it && it->late) find(m, block)->late = true;
        }
        chunk = SH_PEEK(&w[0]);
    }
    a->refs = m;
    return AR_OK;
}

void ref_after_fork_child(struct arena *a)
{
    struct refmap *old = a->refs;
    a->refs = NULL;
    if (load(a, old) != AR_OK) a->refs = NULL;
    if (old) {
        free(old->table);
        free(old->spare);
        free(old);
    }
}

int ref_load_ledger(struct arena *a) { return load(a, NULL); }

void ref_settle(struct arena *a)
{
    if (!arena_begin(a)) return;
    struct refmap *m = a->refs;
    for (uint32_t k = 0; m && k < m->capacity;) {
        struct item *it = &m->table[k];
        if (!it->block || it->count) {
            k++;
            continue;
        }
        ref_release_locked(a, it->block);           /* shifts another item to k */
        arena_commit(a);
    }
    arena_end(a);
}

void ref_release_slot(struct arena *a, uint32_t slot)
{
    struct slot *s = slot_at(a, slot);
    for (aoff chunk; (chunk = SH_PEEK(&s->ledger)) != 0;) {
        sh64 *w = arena_ptr(a, chunk);
        for (uint32_t i = 1; i <= LEDGER_ENTRIES; i++) {
            aoff block = SH_PEEK(&w[i]);
            if (!block) continue;
            txn_set(a, &w[i], 0);
            ref_drop(a, block);
            arena_commit(a);
        }
        txn_set(a, &s->ledger, SH_PEEK(&w[0]));
        txn_set(a, &block_header(a, chunk)->refs, 0);
        heap_free(a, chunk);
        arena_commit(a);
    }
}

uint64_t ref_slot_bytes(struct arena *a, uint32_t slot, uint64_t *blocks)
{
    uint64_t bytes = 0, n = 0;
    for (aoff chunk = SH_PEEK(&slot_at(a, slot)->ledger); chunk;) {
        sh64 *w = arena_ptr(a, chunk);
        for (uint32_t i = 1; i <= LEDGER_ENTRIES; i++) {
            aoff block = SH_PEEK(&w[i]);
            if (!block) continue;
            bytes += block_size(a, block);
            n++;
        }
        chunk = SH_PEEK(&w[0]);
    }
    *blocks = n;
    return bytes;
}

/* -- parcels ------------------------------------------------------------------------------------------------- */

static bool parcel_step(struct arena *a, aoff payload)
{
    sh64 *w = arena_ptr(a, payload);
    return ref_drop_last(a, &w[0], &w[1]);
}

aoff parcel_new(struct arena *a, const aoff *items, uint32_t n)
{
    bool clean = false;
    if (!arena_begin(a)) return 0;
    /* What may be refused memory, before the parcel exists. */
    for (uint32_t i = 0; i < n; i++) (void)arena_ptr(a, items[i]);
    aoff payload = ref_prepare(a, SPARE_ENTRIES) == AR_OK ? heap_alloc(a, 8 + 8ull * n, KIND_PARCEL, &clean) : 0;
    if (!payload || ref_own_new(a, payload) != AR_OK) return arena_abandon(a);
    sh64 *w = arena_ptr(a, payload);
    SH_INIT(&w[0], 0);
    ref_hold_all(a, &w[0], &w[1], items, n);
    arena_end(a);
    return payload;
}
