/* heap.c: cells, runs and huge blocks.  Format and rules: heap.h. */
#define _GNU_SOURCE
#include "heap.h"
#include "memlimit.h"
#include "registry.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

struct run { sh64 size; sh64 before; sh64 next; sh64 previous; struct block_header block; };
_Static_assert(sizeof(struct run) == 64, "run header");

#define RUN_HEADER ((uint64_t)sizeof(struct run))
#define HEADER ((uint64_t)sizeof(struct block_header))
#define IN_USE 1ull
#define CLEAN 2ull
#define SIZE_MASK (~(PAGE - 1))
#define LINK_RUN 0xffu
#define LINK_HUGE 0xfeu
#define GROW_STEP ((uint64_t)1 << 20)
#define TIDY_FROM ((uint64_t)2 << 20)

static const uint16_t class_size[HEAP_CLASSES] = {
    64, 96, 128, 160, 192, 256, 320, 384, 512, 640, 768, 1024,
    1280, 1536, 2048, 2560, 3072, 4096, 5120, 6144, 8192, 10240, 12288, 16384,
};
#define MAX_CELL 16384u

enum window_state { WINDOW_FREE = 0, WINDOW_HEAP = 1, WINDOW_HUGE = 2, WINDOW_MORE = 3, WINDOW_KEPT = 4 };

/* Within a transaction arena_ptr() does not return where a mapping is refused: see arena.h. */

/* -- the file ------------------------------------------------------------------------------------------------ */

int heap_grow_file(int fd, uint64_t size)
{
    struct stat s;
    struct rlimit limit;
    if (fstat(fd, &s) != 0) return AR_SYS;
    if ((uint64_t)s.st_size >= size) return AR_OK;      /* a process died between growing and noting it */
    /* Past ulimit -f the kernel would send SIGXFSZ, which kills by default. */
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && size > limit.rlim_cur) {
        errno = EFBIG;
        return AR_NOMEM;
    }
    return ftruncate(fd, (off_t)size) == 0 ? AR_OK : AR_NOMEM;
}

static int cover(struct arena *a, uint64_t end)
{
    struct arena_header *h = a->h;
    if (end <= SH_PEEK(&h->file_size)) return AR_OK;
    end = (end + GROW_STEP - 1) & ~(GROW_STEP - 1);
    if (!arena_fd_is_ours(a)) return AR_NOMEM;
    int r = heap_grow_file(a->fd, end);
    if (r == AR_OK) SH_SET(&h->file_size, end);
    return r;
}

/* Pages that allocations have been promised and that nobody has touched yet: no limit has seen them. */
static uint64_t promised(struct arena *a)
{
    struct stat s;
    if (fstat(a->fd, &s) != 0) return 0;
    uint64_t there = (uint64_t)s.st_blocks * 512, all = SH_PEEK(&a->h->used_bytes) + SH_PEEK(&a->h->dirty_free_bytes);
    return all > there ? all - there : 0;
}

/* Before new pages are handed out.  Under vm.overcommit_memory=2 one that the kernel cannot back is SIGBUS at first touch. */
static int reserve_pages(struct arena *a, aoff from, uint64_t size)
{
    a->unasked += size;
    if (a->unasked >= LIMITS_ASK_FROM) {
        uint64_t left = limits_left(), need = size + size / 256 + LIMITS_MARGIN;
        if (left != NO_LIMIT && (left < need || left - need < promised(a))) return AR_NOMEM;
        if (limits_absurd(a->overcommit, size)) return AR_NOMEM;
        a->unasked = 0;
    }
    if (a->overcommit != '2') return AR_OK;
    if (!arena_fd_is_ours(a)) return AR_NOMEM;
    return os_reserve(a->fd, from, size) ? AR_OK : AR_NOMEM;
}

static void punch(struct arena *a, aoff from, uint64_t size)
{
    if (arena_fd_is_ours(a)) os_punch(a->fd, from, size);
}

/* -- windows ------------------------------------------------------------------------------------------------- */

static enum window_state window_state(struct arena *a, uint32_t i)
{
    return (enum window_state)(SH_PEEK(&a->h->window[i / 8]) >> (i % 8 * 8) & 0xff);
}

static void set_window_state(struct arena *a, uint32_t i, enum window_state state)
{
    sh64 *word = &a->h->window[i / 8];
    uint64_t shift = i % 8 * 8;
    txn_set(a, word, (SH_PEEK(word) & ~((uint64_t)0xff << shift)) | (uint64_t)state << shift);
    if (i >= SH_PEEK(&a->h->windows_used)) txn_set(a, &a->h->windows_used, i + 1);
}

/* -- runs ---------------------------------------------------------------------------------------------------- */

static inline struct run *run_at(struct arena *a, aoff off) { return arena_ptr(a, off); }
static inline uint64_t run_size(struct run *r) { return SH_PEEK(&r->size) & SIZE_MASK; }

static uint32_t bin_of(uint64_t size)
{
    uint64_t pages = size / PAGE;
    if (pages <= 32) return (uint32_t)(pages - 1);
    uint32_t octave = 63 - (uint32_t)__builtin_clzll(pages);            /* >= 5 */
    return 32 + (octave - 5) * 4 + (uint32_t)(pages >> (octave - 2) & 3);
}

static void bin_insert(struct arena *a, aoff off, struct run *r)
{
    sh64 *head = &a->h->bins[bin_of(run_size(r))];
    aoff first = SH_PEEK(head);
    txn_set(a, &r->next, first);
    txn_set(a, &r->previous, 0);
    if (first) txn_set(a, &run_at(a, first)->previous, off);
    txn_set(a, head, off);
}

static void bin_remove(struct arena *a, struct run *r)
{
    aoff next = SH_PEEK(&r->next), previous = SH_PEEK(&r->previous);
    if (previous) txn_set(a, &run_at(a, previous)->next, next);
    else txn_set(a, &a->h->bins[bin_of(run_size(r))], next);
    if (next) txn_set(a, &run_at(a, next)->previous, previous);
}

/* A clean run must read as zero all over, so a header that a merge swallows is wiped. */
static void wipe_header(struct arena *a, struct run *r)
{
    txn_set(a, &r->size, 0);
    txn_set(a, &r->before, 0);
    txn_set(a, &r->next, 0);
    txn_set(a, &r->previous, 0);
}

static bool last_of_window(aoff end) { return (end & (WINDOW_SIZE - 1)) == 0; }

static void set_before_of_next(struct arena *a, aoff off, uint64_t size)
{
    if (!last_of_window(off + size)) txn_set(a, &run_at(a, off + size)->before, size);
}

static void dirty_add(struct arena *a, int64_t bytes)
{
    sh64 *p = &a->h->dirty_free_bytes;
    txn_set(a, p, SH_PEEK(p) + (uint64_t)bytes);
}

/* Clean and dirty neighbours stay apart unless the clean one is small: else the first block freed beside the
 * untouched end of a window would turn megabytes that have no pages into memory that must be zeroed. */
static bool mergeable(uint64_t size, bool clean, uint64_t other)
{
    if (other & IN_USE) return false;
    bool other_clean = other & CLEAN;
    if (clean == other_clean) return true;
    return (clean ? size : other & SIZE_MASK) < PUNCH_MIN;
}

/* Unlinks a neighbour that is being merged; what of it was counted as dirty. */
static uint64_t swallow(struct arena *a, struct run *n, bool *clean)
{
    uint64_t word = SH_PEEK(&n->size);
    bin_remove(a, n);
    *clean = *clean && (word & CLEAN);
    return word & CLEAN ? 0 : word & SIZE_MASK;
}

static void run_release(struct arena *a, aoff off, bool clean)
{
    struct run *r = run_at(a, off);
    uint64_t size = run_size(r), counted = 0;
    /* More than one step each way: a merge may change what the result can be merged with. */
    for (bool again = true; again;) {
        again = false;
        uint64_t before = SH_PEEK(&r->before);
        struct run *n = last_of_window(off + size) ? NULL : run_at(a, off + size);
        if (n && mergeable(size, clean, SH_PEEK(&n->size))) {
            uint64_t more = run_size(n);
            counted += swallow(a, n, &clean);
            wipe_header(a, n);
            size += more;
            again = true;
        }
        struct run *p = before ? run_at(a, off - before) : NULL;
        if (p && mergeable(size, clean, SH_PEEK(&p->size))) {
            counted += swallow(a, p, &clean);
            wipe_header(a, r);
            off -= before;
            size += before;
            r = p;
            again = true;
        }
    }
    if (!clean) dirty_add(a, (int64_t)(size - counted));
    txn_set(a, &r->size, size | (clean ? CLEAN : 0));
    set_before_of_next(a, off, size);
    bin_insert(a, off, r);
}

static aoff new_heap_window(struct arena *a)
{
    for (uint32_t i = 0; i < MAX_WINDOWS; i++) {
        if (window_state(a, i) != WINDOW_FREE) continue;
        aoff off = (aoff)i << WINDOW_BITS;
        if (cover(a, off + PAGE) != AR_OK) return 0;
        struct run *r = run_at(a, off);
        set_window_state(a, i, WINDOW_HEAP);
        txn_set(a, &r->before, 0);
        txn_set(a, &r->size, WINDOW_SIZE | CLEAN);
        bin_insert(a, off, r);
        return off;
    }
    return 0;
}

static aoff find_run(struct arena *a, uint64_t size, bool want_clean)
{
    aoff fallback = 0;
    for (uint32_t b = bin_of(size); b < HEAP_BINS; b++) {
        aoff off = SH_PEEK(&a->h->bins[b]);
        for (int looked = 0; off && looked < 16; looked++) {
            struct run *r = run_at(a, off);
            if (run_size(r) >= size) {
                bool clean = SH_PEEK(&r->size) & CLEAN;
                if (clean == want_clean) return off;
                if (!fallback) fallback = off;
            }
            off = SH_PEEK(&r->next);
        }
        /* Memory that has pages is preferred, but not at the price of cutting up a much larger run. */
        if (fallback && b > bin_of(size) + 8 && !want_clean) return fallback;
    }
    return fallback;
}

/* A run of at least size bytes, marked in use. */
static aoff run_take(struct arena *a, uint64_t size, bool *clean)
{
    aoff off = find_run(a, size, *clean);
    if (!off) off = new_heap_window(a);
    if (!off) return 0;
    struct run *r = run_at(a, off);
    uint64_t have = run_size(r), rest = have - size;
    bool was_clean = SH_PEEK(&r->size) & CLEAN;
    if (was_clean && reserve_pages(a, off, size) != AR_OK) return 0;
    if (cover(a, off + size + (rest ? PAGE : 0)) != AR_OK) return 0;
    bin_remove(a, r);
    txn_set(a, &r->size, size | IN_USE | (was_clean ? CLEAN : 0));
    if (rest) {
        struct run *n = run_at(a, off + size);
        txn_set(a, &n->size, rest | (was_clean ? CLEAN : 0));
        txn_set(a, &n->before, size);
        txn_set(a, &n->block.ident, 0);         /* somebody's old data may stand there */
        set_before_of_next(a, off + size, rest);
        bin_insert(a, off + size, n);
    }
    if (!was_clean) dirty_add(a, -(int64_t)size);
    *clean = was_clean;
    return off;
}

/* -- cells --------------------------------------------------------------------------------------------------- */

static uint32_t class_of(uint64_t total)
{
    uint32_t c = 0;
    while (class_size[c] < total) c++;
    return c;
}

static aoff cell_take(struct arena *a, uint32_t c)
{
    struct arena_header *h = a->h;
    aoff cell = SH_PEEK(&h->class_free[c]);
    if (cell) {
        struct block_header *b = arena_ptr(a, cell);
        txn_set(a, &h->class_free[c], SH_PEEK(&b->link) >> 8);
        return cell;
    }
    cell = SH_PEEK(&h->class_bump[c]);
    if (cell + class_size[c] > SH_PEEK(&h->class_end[c])) {
        uint64_t slab = class_size[c] <= 1024 ? 16384 : 65536;
        bool clean = false;
        aoff off = run_take(a, slab, &clean);
        if (!off) return 0;
        cell = off + RUN_HEADER;
        txn_set(a, &h->class_end[c], off + slab);
    }
    txn_set(a, &h->class_bump[c], cell + class_size[c]);
    return cell;
}

/* -- huge blocks --------------------------------------------------------------------------------------------- */

static aoff huge_take(struct arena *a, uint64_t payload, bool *clean)
{
    uint64_t bytes = payload + HUGE_PAYLOAD;
    uint64_t need = (bytes + WINDOW_SIZE - 1) >> WINDOW_BITS;
    if (need >= MAX_WINDOWS || need > LOG_ENTRIES * 4) return 0;
    uint32_t used = (uint32_t)SH_PEEK(&a->h->windows_used);
    if (!*clean)
        for (uint32_t i = 1; i < used; i++) {
            if (window_state(a, i) != WINDOW_KEPT) continue;
            sh64 *info = arena_ptr(a, (aoff)i << WINDOW_BITS);
            uint64_t have = SH_PEEK(&info[0]);
            if (have < need || have > 2 * need) continue;
            if (cover(a, ((aoff)i << WINDOW_BITS) + bytes) != AR_OK) return 0;
            dirty_add(a, -(int64_t)SH_PEEK(&info[1]));
            set_window_state(a, i, WINDOW_HUGE);
            return ((aoff)i << WINDOW_BITS) + HUGE_PAYLOAD;
        }
    uint32_t start = 1, length = 0;
    for (uint32_t i = 1; i < MAX_WINDOWS && length < need; i++) {
        if (window_state(a, i) != WINDOW_FREE) {
            start = i + 1;
            length = 0;
        } else
            length++;
    }
    if (length < need) return 0;
    aoff off = (aoff)start << WINDOW_BITS;
    if (reserve_pages(a, off, bytes) != AR_OK || cover(a, off + bytes) != AR_OK) return 0;
    sh64 *info = arena_ptr(a, off);
    for (uint32_t i = start; i < start + need; i++) set_window_state(a, i, i == start ? WINDOW_HUGE : WINDOW_MORE);
    txn_set(a, &info[0], need);
    *clean = true;
    return off + HUGE_PAYLOAD;
}

static void huge_free(struct arena *a, aoff payload, bool clean)
{
    aoff off = payload - HUGE_PAYLOAD;
    uint32_t first = (uint32_t)(off >> WINDOW_BITS);
    sh64 *info = arena_ptr(a, off);
    if (!clean) {
        uint64_t bytes = block_size(a, payload);
        txn_set(a, &info[1], bytes);
        dirty_add(a, (int64_t)bytes);
        set_window_state(a, first, WINDOW_KEPT);
        return;
    }
    uint64_t n = SH_PEEK(&info[0]);
    txn_set(a, &info[0], 0);
    txn_set(a, &info[1], 0);
    for (uint64_t i = 0; i < n; i++) set_window_state(a, first + (uint32_t)i, WINDOW_FREE);
}

/* -- blocks -------------------------------------------------------------------------------------------------- */

uint64_t block_generation(struct arena *a, aoff payload) { return SH_PEEK(&block_header(a, payload)->ident) >> 16; }
uint64_t block_size(struct arena *a, aoff payload) { return SH_PEEK(&block_header(a, payload)->size); }
enum block_kind block_kind(struct arena *a, aoff payload)
{
    return (enum block_kind)(SH_PEEK(&block_header(a, payload)->ident) >> 8 & 0xff);
}

static aoff alloc_once(struct arena *a, uint64_t size, enum block_kind kind, bool *clean)
{
    struct arena_header *h = a->h;
    uint64_t used = SH_PEEK(&h->used_bytes) + size;
    if (used > SH_PEEK(&h->limit)) return 0;
    uint64_t link;
    aoff payload;
    if (size + HEADER <= MAX_CELL) {
        uint32_t c = class_of(size + HEADER);
        aoff cell = cell_take(a, c);
        if (!cell) return 0;
        payload = cell + HEADER;
        link = c;
        *clean = false;
    } else if (size <= HUGE_SIZE) {
        aoff off = run_take(a, (size + RUN_HEADER + PAGE - 1) & SIZE_MASK, clean);
        if (!off) return 0;
        payload = off + RUN_HEADER;
        link = LINK_RUN;
    } else {
        payload = huge_take(a, size, clean);
        if (!payload) return 0;
        link = LINK_HUGE;
    }
    struct block_header *b = block_header(a, payload);
    uint64_t generation = SH_PEEK(&h->next_generation);
    txn_set(a, &h->next_generation, generation + 1);
    txn_set(a, &h->used_bytes, used);
    if (used > SH_PEEK(&h->peak_bytes)) txn_set(a, &h->peak_bytes, used);
    txn_set(a, &b->link, link);
    txn_set(a, &b->size, size);
    txn_set(a, &b->refs, 0);
    txn_set(a, &b->ident, generation << 16 | (uint64_t)kind << 8 | 1);
    return payload;
}

aoff heap_alloc(struct arena *a, uint64_t size, enum block_kind kind, bool *clean)
{
    bool wanted = *clean;
    if (size > (uint64_t)1 << 46) return 0;
    aoff payload = alloc_once(a, size, kind, clean);
    if (!payload) *clean = wanted;
    return payload;
}

void heap_free(struct arena *a, aoff payload)
{
    struct arena_header *h = a->h;
    struct block_header *b = block_header(a, payload);
    uint64_t link = SH_PEEK(&b->link) & 0xff;
    uint64_t ident = SH_PEEK(&b->ident);
    txn_set(a, &h->used_bytes, SH_PEEK(&h->used_bytes) - SH_PEEK(&b->size));
    if (link == LINK_HUGE) {
        bool clean = (SH_PEEK(&b->link) >> 8) & 1;
        huge_free(a, payload, clean);
        txn_set(a, &b->ident, 0);
        if (clean) {
            txn_set(a, &b->size, 0);
            txn_set(a, &b->link, 0);
        }
    } else if (link == LINK_RUN) {
        bool clean = (SH_PEEK(&b->link) >> 8) & 1;
        aoff off = payload - RUN_HEADER;
        txn_set(a, &b->ident, 0);
        txn_set(a, &b->size, 0);
        txn_set(a, &b->link, 0);
        run_release(a, off, clean);
    } else {
        txn_set(a, &b->ident, ident & ~(uint64_t)0xff);
        txn_set(a, &b->link, SH_PEEK(&h->class_free[link]) << 8 | link);
        txn_set(a, &h->class_free[link], payload - HEADER);
    }
}

/* Where memory is limited, half of what is left: the pages that are kept are nobody else's. */
static uint64_t dirty_limit(void)
{
    uint64_t left = limits_left_lately() / 2;
    return left < DIRTY_LIMIT ? left : DIRTY_LIMIT;
}

/* The mark "clean" lives in bit 8 of the link word of a block that is about to be freed. */
bool heap_punch_before_free(struct arena *a, aoff payload)
{
    struct block_header *b = block_header(a, payload);
    uint64_t size = SH_PEEK(&b->size), link = SH_PEEK(&b->link) & 0xff;
    if (size < PUNCH_MIN || SH_PEEK(&a->h->dirty_free_bytes) + size <= dirty_limit()) return false;
    if (link != LINK_RUN && link != LINK_HUGE) return false;
    if (!arena_fd_is_ours(a)) return false;
    aoff first_page = (payload + PAGE - 1) & SIZE_MASK;
    char *p = block_map(a, payload);
    if (p == NULL) return false;
    memset(p, 0, (size_t)(first_page - payload));
    block_unmap(a, payload, p);
    uint64_t whole = (payload + size + PAGE - 1) & SIZE_MASK;
    punch(a, first_page, whole - first_page);
    SH_SET(&b->link, link | 0x100);
    return true;
}

static bool trim_one(struct arena *a)
{
    for (uint32_t b = 0; b < HEAP_BINS; b++)
        for (aoff off = SH_PEEK(&a->h->bins[b]); off; off = SH_PEEK(&run_at(a, off)->next)) {
            struct run *r = run_at(a, off);
            uint64_t size = run_size(r);
            if (SH_PEEK(&r->size) & CLEAN) continue;
            /* Its own header lives in the first page, so that page is wiped and the rest returned. */
            memset((char *)r + RUN_HEADER, 0, PAGE - RUN_HEADER);
            if (size > PAGE) punch(a, off + PAGE, size - PAGE);
            bin_remove(a, r);
            dirty_add(a, -(int64_t)size);
            run_release(a, off, true);
            arena_commit(a);
            return true;
        }
    return false;
}

void heap_tidy(struct arena *a)
{
    uint64_t dirty = SH_GET(&a->h->dirty_free_bytes), limit;
    if (dirty < TIDY_FROM || dirty <= (limit = dirty_limit())) return;
    /* A run at a time: others want the lock. */
    for (bool more = true; more && SH_GET(&a->h->dirty_free_bytes) > limit / 2;) {
        if (!arena_begin(a)) return;
        more = trim_one(a);
        arena_end(a);
    }
}

bool heap_could_trim(struct arena *a, uint64_t size)
{
    struct arena_header *h = a->h;
    return SH_GET(&h->dirty_free_bytes) && size <= SH_GET(&h->limit) && SH_GET(&h->used_bytes) <= SH_GET(&h->limit) - size;
}

void heap_trim(struct arena *a)
{
    if (!arena_begin(a)) return;
    while (trim_one(a)) continue;
    uint32_t used = (uint32_t)SH_PEEK(&a->h->windows_used);
    for (uint32_t i = 1; i < used; i++) {
        if (window_state(a, i) != WINDOW_KEPT) continue;
        aoff off = (aoff)i << WINDOW_BITS;
        sh64 *info = arena_ptr(a, off);
        uint64_t n = SH_PEEK(&info[0]);
        dirty_add(a, -(int64_t)SH_PEEK(&info[1]));
        txn_set(a, &info[0], 0);
        txn_set(a, &info[1], 0);
        for (uint64_t k = 0; k < n; k++) set_window_state(a, i + (uint32_t)k, WINDOW_FREE);
        /* Everything but the first page, which the log still needs; that page's payload part is the header's only. */
        punch(a, off + PAGE, (n << WINDOW_BITS) - PAGE);
        memset((char *)info + 16, 0, PAGE - 16);
        arena_commit(a);
    }
    arena_end(a);
}

/* -- mapping of huge blocks ---------------------------------------------------------------------------------- */

static bool is_huge(struct arena *a, aoff payload) { return (SH_PEEK(&block_header(a, payload)->link) & 0xff) == LINK_HUGE; }

static uint64_t huge_windows(struct arena *a, aoff payload)
{
    return (block_size(a, payload) + HUGE_PAYLOAD + WINDOW_SIZE - 1) >> WINDOW_BITS;
}

static bool contiguous(struct arena *a, uint32_t first, uint64_t n)
{
    char *base = a->window[first];
    for (uint64_t i = 0; i < n; i++)
        if (a->window[first + i] == NULL || a->window[first + i] != base + (i << WINDOW_BITS)) return false;
    return true;
}

/* The windows of a huge block are mapped next to each other once and stay; where an earlier, smaller block left
 * one of them mapped elsewhere, the block gets a mapping of its own. */
void *block_map(struct arena *a, aoff payload)
{
    if (!is_huge(a, payload)) return arena_ptr(a, payload);
    uint32_t first = (uint32_t)(payload >> WINDOW_BITS);
    uint64_t n = huge_windows(a, payload);
    pthread_mutex_lock(&a->map_mutex);
    char *base = contiguous(a, first, n) ? a->window[first] : NULL;
    pthread_mutex_unlock(&a->map_mutex);
    if (base) return base + HUGE_PAYLOAD;
    /* Another thread's transaction may have a pointer into the first window: the log could not name it any more when the
     * window's place has changed. */
    pthread_mutex_lock(&a->private_mutex);
    pthread_mutex_lock(&a->map_mutex);
    if (contiguous(a, first, n))
        base = a->window[first];
    else {
        void *p = arena_map(a, first, n);
        if (p) {
            base = p;
            bool fresh = true;
            for (uint64_t i = 1; i < n; i++) fresh = fresh && a->window[first + i] == NULL;
            /* The first window was mapped to read the header: its old mapping is kept for pointers that exist. */
            if (fresh)
                for (uint64_t i = 0; i < n; i++)
                    atomic_store_explicit(&a->window[first + i], base + (i << WINDOW_BITS), memory_order_release);
        }
    }
    pthread_mutex_unlock(&a->map_mutex);
    pthread_mutex_unlock(&a->private_mutex);
    return base ? base + HUGE_PAYLOAD : NULL;
}

void block_unmap(struct arena *a, aoff payload, void *p)
{
    if (!is_huge(a, payload)) return;
    uint32_t first = (uint32_t)(payload >> WINDOW_BITS);
    pthread_mutex_lock(&a->map_mutex);
    char *base = (char *)p - HUGE_PAYLOAD;
    if (base != a->window[first]) munmap(base, huge_windows(a, payload) << WINDOW_BITS);
    pthread_mutex_unlock(&a->map_mutex);
}

/* -- start and check ----------------------------------------------------------------------------------------- */

void heap_format(struct arena *a)
{
    struct run *r = run_at(a, HEAP_OFFSET);
    set_window_state(a, 0, WINDOW_HEAP);
    txn_set(a, &r->size, (WINDOW_SIZE - HEAP_OFFSET) | CLEAN);
    bin_insert(a, HEAP_OFFSET, r);
    arena_commit(a);
}

static const char *check_window(struct arena *a, uint32_t i, uint64_t *free_runs)
{
    aoff off = i == 0 ? HEAP_OFFSET : (aoff)i << WINDOW_BITS, end = ((aoff)i + 1) << WINDOW_BITS;
    uint64_t before = 0;
    bool before_free = false, before_clean = false;
    while (off < end) {
        struct run *r = run_at(a, off);
        uint64_t size = run_size(r);
        bool is_free = !(SH_PEEK(&r->size) & IN_USE);
        if (size == 0 || off + size > end) return "a run's size leads out of its window";
        if (SH_PEEK(&r->before) != before) return "a run does not know the size of the run before it";
        bool clean = SH_PEEK(&r->size) & CLEAN;
        if (is_free && before_free && clean == before_clean) return "two free runs that should be one lie side by side";
        if (is_free) {
            ++*free_runs;
            if (SH_PEEK(&r->block.ident)) return "a free run carries a block header";
        }
        before = size;
        before_free = is_free;
        before_clean = clean;
        off += size;
    }
    return NULL;
}

const char *heap_check(struct arena *a)
{
    const char *wrong = NULL;
    uint64_t free_runs = 0, in_bins = 0;
    if (!arena_begin(a)) return "memory to look at the heap with is refused";
    uint32_t used = (uint32_t)SH_PEEK(&a->h->windows_used);
    for (uint32_t i = 0; i < used && !wrong; i++)
        if (window_state(a, i) == WINDOW_HEAP) wrong = check_window(a, i, &free_runs);
    for (uint32_t b = 0; b < HEAP_BINS && !wrong; b++) {
        aoff previous = 0;
        for (aoff off = SH_PEEK(&a->h->bins[b]); off && !wrong; off = SH_PEEK(&run_at(a, off)->next)) {
            struct run *r = run_at(a, off);
            if (SH_PEEK(&r->size) & IN_USE) wrong = "a run in use is in a bin";
            else if (bin_of(run_size(r)) != b) wrong = "a free run is in the wrong bin";
            else if (SH_PEEK(&r->previous) != previous) wrong = "a bin's backward link is wrong";
            previous = off;
            if (++in_bins > free_runs) wrong = wrong ? wrong : "a bin has more runs than there are free ones";
        }
    }
    if (!wrong && in_bins != free_runs) wrong = "a free run is in no bin";
    for (uint32_t c = 0; c < HEAP_CLASSES && !wrong; c++) {
        uint64_t n = 0;
        for (aoff cell = SH_PEEK(&a->h->class_free[c]); cell && !wrong;) {
            struct block_header *b = arena_ptr(a, cell);
            if ((SH_PEEK(&b->ident) & 0xff) != 0) wrong = "an allocated cell is in a free list";
            else if ((SH_PEEK(&b->link) & 0xff) != c) wrong = "a cell is in the free list of another class";
            else if (++n > SH_PEEK(&a->h->file_size) / class_size[c]) wrong = "a free list of cells is a ring";
            cell = SH_PEEK(&b->link) >> 8;
        }
    }
    arena_end(a);
    return wrong;
}
