/* arena.c: the file, its windows, its lock and log.  Format and rules: arena.h. */
#define _GNU_SOURCE
#include "arena.h"
#include "fill.h"
#include "heap.h"
#include "lockorder.h"
#include "memlimit.h"
#include "refs.h"
#include "registry.h"
#include "word.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct arena *process_arena;

/* Everything of an arena structure that does not depend on the file's contents. */
static int open_view(struct arena *a, int fd, int lease_fd)
{
    memset(a, 0, sizeof *a);
    a->fd = fd;
    a->lease_fd = lease_fd;
    a->file = identity_of(fd);
    a->lease = identity_of(lease_fd);
    a->pid = (uint32_t)getpid();
    a->overcommit = limits_overcommit();
    pthread_mutex_init(&a->private_mutex, NULL);
    pthread_mutex_init(&a->map_mutex, NULL);
    spin_reset_after_fork(a);
    a->window = mmap(NULL, MAX_WINDOWS * sizeof *a->window, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (a->window == MAP_FAILED) return AR_NOMEM;
    char *base = arena_map_window(a, 0);
    if (base == NULL) {
        munmap(a->window, MAX_WINDOWS * sizeof *a->window);
        return AR_NOMEM;
    }
    a->h = (struct arena_header *)base;
    return AR_OK;
}

/* A spawned child has the descriptor under the same number, and must not take it for its standard output. */
static int above_stdio(int fd)
{
    if (fd < 0 || fd > STDERR_FILENO) return fd;
    int up = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    close(fd);
    return up;
}

int arena_create(struct arena *a, uint64_t limit)
{
    int fd = above_stdio(os_memory_file("procession"));
    int lease_fd = above_stdio(os_memory_file("procession-lease"));
    if (fd < 0 || lease_fd < 0 || heap_grow_file(fd, HEAP_OFFSET + 64 * PAGE) != AR_OK) goto fail;
    os_forbid_shrinking(fd);
    int r = open_view(a, fd, lease_fd);
    if (r != AR_OK) {
        errno = ENOMEM;
        goto fail;
    }
    struct arena_header *h = a->h;
    uint64_t id = 0;
    while (id == 0) {
        if (!os_random(&id, sizeof id)) id = 0;
        id >>= 1;                                       /* fits a signed 64-bit integer */
    }
    SH_INIT(&h->layout, ARENA_LAYOUT);
    SH_INIT(&h->header_size, (uint32_t)sizeof *h);
    SH_INIT(&h->id, id);
    SH_INIT(&h->file_size, HEAP_OFFSET + 64 * PAGE);
    SH_INIT(&h->limit, limit);
    SH_INIT(&h->next_generation, 1);
    a->id = id;
    heap_format(a);
    SH_SET(&h->magic, ARENA_MAGIC);
    return registry_join(a, "");
fail:
    r = errno;
    if (fd >= 0) close(fd);
    if (lease_fd >= 0) close(lease_fd);
    errno = r;
    return r == ENOMEM || r == EFBIG ? AR_NOMEM : AR_SYS;
}

int arena_attach(struct arena *a, int fd, int lease_fd)
{
    struct stat s;
    if (fstat(fd, &s) != 0) return AR_SYS;
    if ((uint64_t)s.st_size < HEAP_OFFSET) return AR_LAYOUT;
    int r = open_view(a, fd, lease_fd);
    if (r != AR_OK) return r;
    struct arena_header *h = a->h;
    uint64_t grown = SH_GET(&h->file_size);
    /* The length asked again, after what the header says of it: the file may have grown meanwhile, and never shrinks. */
    if (SH_GET(&h->magic) != ARENA_MAGIC || SH_GET(&h->layout) != ARENA_LAYOUT || SH_GET(&h->header_size) != sizeof *h ||
        fstat(fd, &s) != 0 || (uint64_t)s.st_size < grown) {
        arena_unmap(a);
        return AR_LAYOUT;
    }
    a->id = SH_GET(&h->id);
    return AR_OK;
}

void arena_unmap(struct arena *a)
{
    for (uint32_t i = MAX_WINDOWS; i-- > 0;)
        if (a->window[i]) munmap(a->window[i], WINDOW_SIZE);
    munmap(a->window, MAX_WINDOWS * sizeof *a->window);
    fill_forget(a);
    refs_free_private(a);
}

void arena_detach(struct arena *a)
{
    if (a->self) registry_leave(a);
    arena_unmap(a);
    close(a->fd);
    close(a->lease_fd);
    memset(a, 0, sizeof *a);
}

int arena_ensure(void)
{
    static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;
    if (process_arena) return AR_OK;
    pthread_mutex_lock(&once);
    int r = AR_OK;
    if (!process_arena) {
        struct arena *a = calloc(1, sizeof *a);
        r = a ? arena_create(a, UINT64_MAX) : AR_NOMEM;
        if (r == AR_OK) {
            registry_watch_forks();
            process_arena = a;
        } else
            free(a);
    }
    pthread_mutex_unlock(&once);
    return r;
}

void *arena_map(struct arena *a, uint32_t index, uint64_t count)
{
    void *p;
    if (arena_fd_is_ours(a))
        p = mmap(NULL, count << WINDOW_BITS, PROT_READ | PROT_WRITE, MAP_SHARED, a->fd, (off_t)index << WINDOW_BITS);
    else {
        /* The program has closed our descriptor; the file is still mapped, and is mapped again from where window 0
         * begins: what lies before the wanted windows is given up at once. */
        uint64_t before = (uint64_t)index << WINDOW_BITS;
        p = os_map_again(a->h, before + (count << WINDOW_BITS));
        if (p != MAP_FAILED && before) {
            munmap(p, before);
            p = (char *)p + before;
        }
    }
    if (p == MAP_FAILED) return NULL;
    /* A core file should not carry the whole tree's memory. */
    os_leave_out_of_dumps(p, count << WINDOW_BITS);
    return p;
}

char *arena_map_window(struct arena *a, uint32_t index)
{
    if (index >= MAX_WINDOWS || FAULT_REFUSED()) return NULL;
    pthread_mutex_lock(&a->map_mutex);
    char *base = atomic_load_explicit(&a->window[index], memory_order_acquire);
    if (base == NULL && (base = arena_map(a, index, 1)) != NULL)
        atomic_store_explicit(&a->window[index], base, memory_order_release);
    pthread_mutex_unlock(&a->map_mutex);
    return base;
}

/* A transaction of this thread goes back to its arena_begin(). */
void arena_refused(struct arena *a)
{
    pthread_t here = atomic_load_explicit(&a->in_transaction, memory_order_relaxed);
    if (here && pthread_equal(here, pthread_self())) longjmp(a->escape, 1);
}

static void transaction_of(struct arena *a, pthread_t thread)
{
    atomic_store_explicit(&a->in_transaction, thread, memory_order_relaxed);
}

aoff arena_off(struct arena *a, const void *p)
{
    const char *c = p;
    uint64_t windows = SH_PEEK(&a->h->windows_used);
    for (uint64_t i = 0; i < windows; i++) {
        const char *base = atomic_load_explicit(&a->window[i], memory_order_relaxed);
        if (base && c >= base && c < base + WINDOW_SIZE) return ((aoff)i << WINDOW_BITS) + (aoff)(c - base);
    }
    return 0;
}

/* -- the log ------------------------------------------------------------------------------------------------- */

static inline uint32_t undo_count(uint64_t state) { return (uint32_t)(state >> 8) & 0xffffff; }
static inline uint32_t publish_count(uint64_t state) { return (uint32_t)(state >> 32) & 0xffffff; }
#define COMMITTED 1ull
#define ONE_UNDO ((uint64_t)1 << 8)
#define ONE_PUBLISH ((uint64_t)1 << 32)

static void log_overflow(void)
{
    /* Every transaction is bounded by construction; running over would corrupt what others rely on. */
    fputs("procession: transaction log overflow\n", stderr);
    abort();
}

void txn_set(struct arena *a, sh64 *p, uint64_t v)
{
    uint64_t old = SH_PEEK(p);
    if (old == v) return;
    struct arena_header *h = a->h;
    uint64_t state = SH_PEEK(&h->log_state);
    uint32_t i = undo_count(state);
    if (i + publish_count(state) >= LOG_ENTRIES) log_overflow();
    SH_SET(&h->log[i].where, arena_off(a, p));
    SH_SET(&h->log[i].value, old);
    SH_SET(&h->log_state, state + ONE_UNDO);
    SH_SET(p, v);
}

void txn_publish(struct arena *a, sh64 *p, uint64_t v)
{
    struct arena_header *h = a->h;
    uint64_t state = SH_PEEK(&h->log_state);
    uint32_t n = publish_count(state);
    if (undo_count(state) + n >= LOG_ENTRIES) log_overflow();
    struct txn_entry *e = &h->log[LOG_ENTRIES - 1 - n];
    SH_SET(&e->where, arena_off(a, p));
    SH_SET(&e->value, v);
    SH_SET(&h->log_state, state + ONE_PUBLISH);
}

static void publish_all(struct arena *a, uint64_t state)
{
    struct arena_header *h = a->h;
    for (uint32_t i = 0; i < publish_count(state); i++) {
        struct txn_entry *e = &h->log[LOG_ENTRIES - 1 - i];
        sh64 *p = arena_ptr(a, SH_PEEK(&e->where));
        SH_SET(p, SH_PEEK(&e->value));
    }
}

void arena_rollback(struct arena *a)
{
    struct arena_header *h = a->h;
    uint64_t state = SH_PEEK(&h->log_state);
    for (uint32_t i = undo_count(state); i-- > 0;) {
        sh64 *p = arena_ptr(a, SH_PEEK(&h->log[i].where));
        SH_SET(p, SH_PEEK(&h->log[i].value));
    }
    SH_SET(&h->log_state, 0);
}

/* Whether everything that the log names is mapped here. */
static bool log_is_mapped(struct arena *a, uint64_t state)
{
    struct txn_entry *log = a->h->log;
    for (uint32_t i = 0; i < undo_count(state); i++)
        if (!arena_ptr(a, SH_PEEK(&log[i].where))) return false;
    for (uint32_t i = 0; i < publish_count(state); i++)
        if (!arena_ptr(a, SH_PEEK(&log[LOG_ENTRIES - 1 - i].where))) return false;
    return true;
}

bool txn_repair(struct arena *a)
{
    struct arena_header *h = a->h;
    uint64_t state = SH_PEEK(&h->log_state);
    if (!log_is_mapped(a, state)) {
        FAULT_BRANCH("txn: left to others for want of memory");
        return false;
    }
    if (state & COMMITTED) {
        FAULT_BRANCH("txn: committed, published again");
        publish_all(a, state);
        SH_SET(&h->log_state, 0);
    } else if (state) {
        FAULT_BRANCH("txn: rolled back");
        arena_rollback(a);
    } else
        FAULT_BRANCH("txn: log was empty");
    return true;
}

void arena_commit(struct arena *a)
{
    struct arena_header *h = a->h;
    uint64_t state = SH_PEEK(&h->log_state);
    if (state == 0) return;
    if (publish_count(state)) {
        SH_SET(&h->log_state, state | COMMITTED);
        publish_all(a, state);
    }
    SH_SET(&h->log_state, 0);
}

static void unlock(struct arena *a)
{
    rank_leave(RANK_ARENA);
    olock_release(a, &a->h->lock);
}

static _Thread_local uint32_t stopped_owner;

uint32_t arena_stopped_owner(void) { return stopped_owner; }

/* The caller cannot run Python's signal handlers here, and the lock is held for microseconds only. */
int arena_wait_for(struct arena *a, sh32 *lock)
{
    uint64_t begun = 0;
    stopped_owner = 0;
    for (;;) {
        int r = olock_acquire(a, lock, WAIT_FOREVER);
        if (r != AR_INTR) return r;
        uint64_t now = clock_ns();
        if (begun == 0) begun = now;
        if (now - begun < ARENA_PATIENCE_NS) continue;
        uint32_t word = SH_GET(lock);
        uint32_t pid = olock_held(word) ? registry_stopped(a, word) : 0;
        if (pid && SH_GET(lock) == word) {
            stopped_owner = pid;
            return AR_TIMEOUT;
        }
    }
}

bool arena_lock(struct arena *a)
{
    if (!a->self) return false;
    pthread_mutex_lock(&a->private_mutex);
    /* TSan and helgrind see the private mutex; between processes it is the word that counts. */
    int r = olock_fast(a, &a->h->lock) ? AR_OK : arena_wait_for(a, &a->h->lock);
    if (r == AR_OK) stopped_owner = 0;
    if (r == AR_TIMEOUT) {
        pthread_mutex_unlock(&a->private_mutex);
        return false;
    }
    rank_enter(RANK_ARENA);
    if ((r == AR_OWNER_DIED || SH_PEEK(&a->h->log_state) != 0) && !txn_repair(a)) {
        unlock(a);
        pthread_mutex_unlock(&a->private_mutex);
        return false;
    }
    transaction_of(a, pthread_self());
    return true;
}

bool arena_abandon(struct arena *a)
{
    FAULT_BRANCH("txn: abandoned for want of memory");
    arena_rollback(a);
    transaction_of(a, 0);
    unlock(a);
    pthread_mutex_unlock(&a->private_mutex);
    return false;
}

void arena_end_before_fork(struct arena *a)
{
    arena_commit(a);
    /* Zombies that lie where we may not map are left to others. */
    if (SH_PEEK(&a->h->zombies) != 0) {
        if (setjmp(a->escape) == 0) ref_collect(a, 16);
        else arena_rollback(a);
    }
    transaction_of(a, 0);
    unlock(a);
}

void arena_end(struct arena *a)
{
    arena_end_before_fork(a);
    pthread_mutex_unlock(&a->private_mutex);
}

/* The addresses stay, so that handles and buffers which exist are no wild pointers: they see what was there at the fork. */
void arena_sever(struct arena *a)
{
    a->self = 0;
    a->severed = true;
    refs_free_private(a);
    for (uint32_t i = 0; i < MAX_WINDOWS; i++) {
        char *base = atomic_load_explicit(&a->window[i], memory_order_relaxed);
        if (base == NULL) continue;
        void *p = MAP_FAILED;
        if (arena_fd_is_ours(a))
            p = mmap(base, WINDOW_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, a->fd, (off_t)i << WINDOW_BITS);
        if (p == MAP_FAILED) mmap(base, WINDOW_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    }
}
