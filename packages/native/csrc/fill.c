/* fill.c: see fill.h. */
#define _GNU_SOURCE
#include "fill.h"
#include "memlimit.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define SLOW_NS 500000ull                           /* a megabyte: what new pages of the arena cost */
#define PASS 32
#define WRITE_STEP ((uint64_t)64 << 10)             /* what was read for one step is still in the cache when it is written */

/* Past `ulimit -f` a write is a SIGXFSZ, also inside a file that others have made longer. */
static bool may_write(struct arena *a)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur == RLIM_INFINITY && arena_fd_is_ours(a);
}

#define GRANULES (((uint64_t)MAX_WINDOWS << WINDOW_BITS) >> FILL_GRANULE_BITS)

static _Atomic uint64_t *mapped_bits(struct arena *a)
{
    _Atomic uint64_t *bits = atomic_load_explicit(&a->mapped, memory_order_acquire), *none = NULL;
    if (bits) return bits;
    void *p = mmap(NULL, GRANULES / 8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) return NULL;
    if (!os_wipe_on_fork(p, GRANULES / 8)) {
        munmap(p, GRANULES / 8);
        return NULL;
    }
    if (atomic_compare_exchange_strong(&a->mapped, &none, p)) return p;
    munmap(p, GRANULES / 8);
    return none;
}

void fill_forget(struct arena *a)
{
    if (a->mapped) munmap((void *)a->mapped, GRANULES / 8);
    a->mapped = NULL;
}

/* Sets or clears the bits of the granules that lie within the block; true if all of them had that value. */
static bool mark(_Atomic uint64_t *bits, aoff from, uint64_t size, bool value)
{
    const uint64_t unit = (uint64_t)1 << FILL_GRANULE_BITS;
    bool all = true;
    for (uint64_t i = (from + unit - 1) >> FILL_GRANULE_BITS; (i + 1) << FILL_GRANULE_BITS <= from + size; i++) {
        uint64_t bit = (uint64_t)1 << i % 64;
        if (((atomic_load_explicit(&bits[i / 64], memory_order_relaxed) & bit) != 0) == value) continue;
        all = false;
        if (value) atomic_fetch_or_explicit(&bits[i / 64], bit, memory_order_relaxed);
        else atomic_fetch_and_explicit(&bits[i / 64], ~bit, memory_order_relaxed);
    }
    return all;
}

/* Else copying to p is a fault for each page that this process has not used yet. */
static void map_pages(struct arena *a, aoff payload, void *p, uint64_t size)
{
    _Atomic uint64_t *bits = mapped_bits(a);
    if (!bits || mark(bits, payload, size, true)) return;
    uintptr_t first = (uintptr_t)p & ~(uintptr_t)(PAGE - 1), end = ((uintptr_t)p + size + PAGE - 1) & ~(uintptr_t)(PAGE - 1);
    os_populate((void *)first, end - first);
}

/* From `done` bytes on; what could be written. */
static int write_pages(struct arena *a, aoff payload, const char *data, uint64_t size, uint64_t *done)
{
    while (*done < size) {
        uint64_t step = size - *done < WRITE_STEP ? size - *done : WRITE_STEP;
        FAULT_POINT();
        ssize_t n = pwrite(a->fd, data + *done, step, (off_t)(payload + *done));
        if (n < 0 && (errno == ENOMEM || errno == ENOSPC)) return AR_NOMEM;
        if (n <= 0) break;
        FAULT_BRANCH("fill: written");
        *done += (uint64_t)n;
    }
    return AR_OK;
}

int fill_payload(struct arena *a, aoff payload, void *p, const void *data, uint64_t size, bool fresh)
{
    uint64_t done = 0;
    if (fresh && size >= FILL_NEW_PAGES_FROM) {
        uint64_t head = (PAGE - payload % PAGE) % PAGE, whole = (size - head) & ~(PAGE - 1);
        int64_t n = os_copy_into_new_pages((char *)p + head, (const char *)data + head, whole);
        if (n < 0) return AR_NOMEM;
        if (n > 0) {
            FAULT_BRANCH("fill: copied by the kernel");
            memcpy(p, data, head);
            done = head + (uint64_t)n;
        }
    }
    _Atomic uint64_t *bits = done ? mapped_bits(a) : atomic_load_explicit(&a->mapped, memory_order_acquire);
    if (fresh && bits) mark(bits, payload, size, done > 0);
    if (!fresh && size >= FILL_WRITE_FROM) map_pages(a, payload, p, size);
    if (fresh && size - done >= FILL_WRITE_FROM && may_write(a) && write_pages(a, payload, data, size, &done) != AR_OK)
        return AR_NOMEM;
    if (done < size) memcpy((char *)p + done, (const char *)data + done, size - done);
    return AR_OK;
}

bool fill_scarce(struct arena *a, uint64_t size, uint64_t in_place)
{
    uint64_t left = SH_GET(&a->h->dirty_free_bytes);
    if (size < FILL_LARGE || left >= size + FILL_PLENTY) return false;
    return left < size || (in_place && in_place + size > FILL_IN_PLACE);
}

/* Starts at a huge page, and ends at one where that wastes little. */
static void *private_new(uint64_t size, uint64_t *mapped)
{
    uint64_t whole = (size + FILL_LARGE - 1) & ~(FILL_LARGE - 1);
    if (whole - size > size / 8) whole = (size + PAGE - 1) & ~(uint64_t)(PAGE - 1);
    char *p = mmap(NULL, whole + FILL_LARGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return NULL;
    uint64_t before = (FILL_LARGE - (uintptr_t)p % FILL_LARGE) % FILL_LARGE;
    if (before) munmap(p, before);
    if (before < FILL_LARGE) munmap(p + before + whole, FILL_LARGE - before);
    os_use_huge_pages(p + before, whole);
    *mapped = whole;
    return p + before;
}

static uint64_t thread_ns(void)
{
    struct timespec t;
    return clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) == 0 ? (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec : 0;
}

void *fill_private_copy(const void *from, uint64_t size, uint64_t *mapped)
{
    static uint32_t pass;                           /* so many are not tried */
    uint32_t left = __atomic_load_n(&pass, __ATOMIC_RELAXED);
    if (left) {
        __atomic_store_n(&pass, left - 1, __ATOMIC_RELAXED);
        return NULL;
    }
    char *p = limits_left_lately() / 2 > size ? private_new(size, mapped) : NULL;
    if (p == NULL) return NULL;
    uint64_t done = 0, begun = thread_ns();
    while (done < size) {
        uint64_t step = size - done < FILL_LARGE ? size - done : FILL_LARGE;
        memcpy(p + done, (const char *)from + done, step);
        done += step;
        if (done < size && thread_ns() - begun > (done >> 20) * SLOW_NS) {
            munmap(p, *mapped);
            __atomic_store_n(&pass, PASS, __ATOMIC_RELAXED);
            return NULL;
        }
    }
    return p;
}

void fill_private_free(void *p, uint64_t mapped) { munmap(p, mapped); }
