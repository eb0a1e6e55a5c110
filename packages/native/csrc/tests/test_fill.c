/* Contents of blocks: written into new pages, copied into used ones, taken out; and the limits that are asked before. */
#define _GNU_SOURCE
#include "../fill.h"
#include "../heap.h"
#include "../memlimit.h"
#include "../refs.h"
#include "../registry.h"
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MB ((uint64_t)1 << 20)

static struct arena *A;

/* Exactly as long as it must be, so that reading or writing past the end is seen. */
static char *pattern(uint64_t size, unsigned seed)
{
    char *data = malloc(size);
    CHECK(data);
    for (uint64_t i = 0; i < size; i++) data[i] = (char)(i * 31 + i / 4096 + seed);
    return data;
}

static bool fill_from(const char *data, uint64_t size)
{
    bool fresh = false;
    aoff block = ref_new_raw(A, size, KIND_BLOCK, &fresh);
    CHECK(block);
    char *p = block_map(A, block);
    CHECK(p);
    CHECK(fill_payload(A, block, p, data, size, fresh) == AR_OK);
    CHECK(memcmp(p, data, size) == 0);
    uint64_t mapped = 0;
    char *copy = fill_private_copy(p, size, &mapped);
    if (copy) {
        CHECK(memcmp(copy, data, size) == 0 && mapped >= size);
        memset(copy, 1, mapped);
        fill_private_free(copy, mapped);
        CHECK(memcmp(p, data, size) == 0);
    }
    block_unmap(A, block, p);
    ref_close(A, block);
    return fresh;
}

static bool fill_one(uint64_t size, unsigned seed)
{
    char *data = pattern(size, seed);
    bool fresh = fill_from(data, size);
    free(data);
    return fresh;
}

static void test_sizes(void)
{
    static const uint64_t sizes[] = { FILL_WRITE_FROM - 1, FILL_WRITE_FROM, FILL_WRITE_FROM + 1, 200000, 2 * MB,
                                      2 * MB + 1, 16 * MB + 1 };
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        heap_trim(A);
        CHECK(fill_one(sizes[i], i));                   /* new pages */
        CHECK(!fill_one(sizes[i], i + 100));            /* the same ones again */
    }
    CHECK(heap_check(A) == NULL);
}

/* New pages are mapped at their second use, in each process for itself. */
static bool any_mapped(void)
{
    uint64_t words = (((uint64_t)MAX_WINDOWS << WINDOW_BITS) >> FILL_GRANULE_BITS) / 64;
    for (uint64_t i = 0; A->mapped && i < words; i++)
        if (A->mapped[i]) return true;
    return false;
}

static void test_mapped(void)
{
    heap_trim(A);
    fill_forget(A);
    CHECK(fill_one(FILL_NEW_PAGES_FROM - 1, 1) && !any_mapped());
    CHECK(!fill_one(FILL_NEW_PAGES_FROM - 1, 2) && any_mapped());
    if (fork() == 0) {
        if (any_mapped()) _exit(1);
        const uint64_t size = FILL_NEW_PAGES_FROM - 1;
        char *data = pattern(size, 3);
        bool fresh = false;
        aoff block = ref_new_raw(A, size, KIND_BLOCK, &fresh);
        if (!block || fresh || fill_payload(A, block, arena_ptr(A, block), data, size, fresh) != AR_OK) _exit(2);
        int wrong = memcmp(arena_ptr(A, block), data, size) != 0 || !any_mapped();
        free(data);
        ref_close(A, block);
        _exit(wrong ? 3 : 0);
    }
    int status;
    wait(&status);
    CHECK(status == 0);
    fill_one(4 * MB, 4);
    heap_trim(A);
    fill_one(4 * MB, 5);                                /* given back, and written again */
}

/* Somebody has read a page of a block that was never written: then it exists. */
static void test_page_that_exists(void)
{
    static const uint64_t places[] = { 0, 100000, 2 * MB, 3 * MB + 99 };
    for (unsigned i = 0; i < 4; i++) {
        heap_trim(A);
        char *data = pattern(3 * MB + 100, i);
        bool fresh = true;
        aoff block = ref_new_raw(A, 3 * MB + 100, KIND_BLOCK, &fresh);
        CHECK(block && fresh);
        char *p = arena_ptr(A, block);
        CHECK(p[places[i]] == 0);
        CHECK(fill_payload(A, block, p, data, 3 * MB + 100, fresh) == AR_OK);
        CHECK(memcmp(p, data, 3 * MB + 100) == 0);
        ref_close(A, block);
        free(data);
    }
}

static _Atomic bool enough;

static void *fill_on(void *seed)
{
    while (!enough) fill_one(4 * MB + 5, (unsigned)(uintptr_t)seed);
    return NULL;
}

/* Forks while other threads fill, and children that fill at the same time. These allocate nothing: a sanitizer's
 * malloc() knows no forks, and one that happens while another thread allocates would leave it locked. */
static void test_forks(void)
{
    enum { CHILDREN = 12 };
    pthread_t thread[2];
    enough = false;
    for (uintptr_t i = 0; i < 2; i++) CHECK(pthread_create(&thread[i], NULL, fill_on, (void *)i) == 0);
    char *data = pattern(2 * MB + 128, 9);
    for (unsigned i = 0; i < CHILDREN; i++) {
        heap_trim(A);
        if (fork() == 0) {
            for (unsigned k = 0; k < 3; k++) fill_from(data, 2 * MB + 64 * k);
            _exit(0);
        }
    }
    for (unsigned i = 0; i < CHILDREN; i++) {
        int status;
        CHECK(wait(&status) > 0 && status == 0);
    }
    enough = true;
    for (unsigned i = 0; i < 2; i++) CHECK(pthread_join(thread[i], NULL) == 0);
    free(data);
    heap_trim(A);
    CHECK(heap_check(A) == NULL);
}

/* What lies before and behind a block is not touched. */
static void test_neighbours(void)
{
    enum { N = 5 };
    aoff block[N];
    char *data[N];
    uint64_t size = FILL_WRITE_FROM + 77;
    heap_trim(A);
    for (unsigned i = 0; i < N; i++) {
        bool fresh = false;
        data[i] = pattern(size, i);
        block[i] = ref_new_raw(A, size, KIND_BLOCK, &fresh);
        CHECK(block[i]);
        fill_payload(A, block[i], arena_ptr(A, block[i]), data[i], size, fresh);
    }
    for (unsigned i = 0; i < N; i++) {
        CHECK(memcmp(arena_ptr(A, block[i]), data[i], size) == 0);
        ref_close(A, block[i]);
        free(data[i]);
    }
    CHECK(heap_check(A) == NULL);
}

/* Writing past `ulimit -f` would be SIGXFSZ. */
static void test_file_size_limit(void)
{
    heap_trim(A);
    fill_one(2 * MB, 1);
    heap_trim(A);
    if (fork() == 0) {
        struct rlimit limit = { 2 * MB, 2 * MB };
        bool fresh = false;
        char *data = pattern(MB, 3);
        aoff block = ref_new_raw(A, MB, KIND_BLOCK, &fresh);
        if (!block || setrlimit(RLIMIT_FSIZE, &limit) != 0) _exit(1);
        fill_payload(A, block, arena_ptr(A, block), data, MB, fresh);
        int wrong = memcmp(arena_ptr(A, block), data, MB) != 0;
        free(data);
        ref_close(A, block);
        _exit(wrong);
    }
    int status;
    wait(&status);
    CHECK(status == 0);
}

static void test_scarce(void)
{
    heap_trim(A);
    CHECK(fill_scarce(A, 4 * MB, 0));                   /* nothing is left */
    CHECK(!fill_scarce(A, FILL_LARGE - 1, 0));          /* small ones stay */
    fill_one(8 * MB, 1);
    CHECK(!fill_scarce(A, 4 * MB, 0));
    CHECK(!fill_scarce(A, 4 * MB, 8 * MB));
    CHECK(fill_scarce(A, 4 * MB, FILL_IN_PLACE));       /* enough are in place */
    CHECK(!fill_scarce(A, FILL_LARGE, 0));
    fill_one(FILL_PLENTY + 8 * MB, 1);
    CHECK(!fill_scarce(A, 4 * MB, FILL_IN_PLACE));      /* there is plenty */
    heap_trim(A);
}

/* ---- memlimit ---------------------------------------------------------------------------------------------------- */

static char root[64];

static void put(const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", root, name);
    for (char *slash = strchr(path + strlen(root) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *f = fopen(path, "w");
    CHECK(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

static void test_limits(void)
{
    snprintf(root, sizeof root, P_tmpdir "/procession-limits-%d", (int)getpid());
    CHECK(mkdir(root, 0700) == 0);
    char own[256], v2[256], v1[256], command[256];
    snprintf(own, sizeof own, "%s/own", root);
    snprintf(v2, sizeof v2, "%s/v2", root);
    snprintf(v1, sizeof v1, "%s/v1", root);
    struct limits_files files = { own, v2, v1 };
    CHECK(limits_room(&files) == NO_LIMIT);                             /* no control groups */
    put("own", "0::/a/b\n");
    CHECK(limits_room(&files) == NO_LIMIT);                             /* a group that cannot be seen */
    put("v2/a/b/memory.max", "max\n");
    put("v2/a/b/memory.current", "1000\n");
    CHECK(limits_room(&files) == NO_LIMIT);
    put("v2/a/b/memory.max", "10485760\n");
    put("v2/a/b/memory.current", "4194304\n");
    CHECK(limits_room(&files) == 6 * MB);
    put("v2/a/b/memory.stat", "anon 5\ninactive_file 2097152\nactive_file 7\n");
    CHECK(limits_room(&files) == 8 * MB);                               /* file pages are given up */
    put("v2/a/memory.max", "5242880\n");                                /* the group above is tighter */
    put("v2/a/memory.current", "4194304\n");
    CHECK(limits_room(&files) == MB);
    put("v2/a/memory.current", "9999999\n");                            /* over it already */
    CHECK(limits_room(&files) == 0);
    put("v2/a/memory.max", "max\n");
    put("own", "0::/\n");
    put("v2/memory.max", "3145728\n");                                  /* a container sees its group as the root */
    put("v2/memory.current", "1048576\n");
    CHECK(limits_room(&files) == 2 * MB);
    put("own", "7:cpu:/x\n4:memory:/x\nnonsense\n");
    put("v1/x/memory.limit_in_bytes", "9223372036854771712\n");         /* version 1 has no word for none */
    put("v1/x/memory.usage_in_bytes", "5\n");
    CHECK(limits_room(&files) == NO_LIMIT);
    put("v1/x/memory.limit_in_bytes", "1048576\n");
    put("v1/x/memory.usage_in_bytes", "524288\n");
    put("v1/x/memory.stat", "total_inactive_file 262144\n");
    CHECK(limits_room(&files) == 3 * MB / 4);
    put("own", "4:memory:/not/seen/here\n0::/\n");                      /* both versions: the tighter one */
    put("v1/memory.limit_in_bytes", "2097152\n");
    CHECK(limits_room(&files) == 2 * MB);
    put("v1/memory.usage_in_bytes", "2097000\n");
    CHECK(limits_room(&files) == 152);
    snprintf(command, sizeof command, "rm -rf %s", root);
    CHECK(system(command) == 0);
    CHECK(limits_left() >= limits_left() / 2 && limits_left_lately() > 0);  /* the real files, whatever they say */
    CHECK(limits_absurd('0', (uint64_t)1 << 50) && !limits_absurd('0', MB) && !limits_absurd('1', (uint64_t)1 << 50));
}

static uint64_t pages_there(void)
{
    struct stat s;
    CHECK(fstat(A->fd, &s) == 0);
    return (uint64_t)s.st_blocks * 512;
}

/* As under vm.overcommit_memory=2: an allocation has its pages before anybody touches one. */
static void test_strict_overcommit(void)
{
    static const uint64_t sizes[] = { 20000, MB, 20 * MB };
    char usual = A->overcommit;
    A->overcommit = '2';
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        heap_trim(A);
        bool clean = true;
        uint64_t before = pages_there();
        aoff block = ref_new_raw(A, sizes[i], KIND_BLOCK, &clean);
        CHECK(block && clean && pages_there() + 2 * PAGE >= before + sizes[i]);   /* a header page may stay */
        ref_close(A, block);
    }
    heap_trim(A);
    A->overcommit = usual;
    CHECK(heap_check(A) == NULL);
}

/* More than the machine has is refused as the kernel refuses it, and changes nothing. */
static void test_absurd(void)
{
    char usual = A->overcommit;
    uint64_t used = SH_GET(&A->h->used_bytes);
    bool clean = true;
    A->overcommit = '0';
    CHECK(ref_new_raw(A, (uint64_t)1 << 36 << 4, KIND_BLOCK, &clean) == 0);
    CHECK(SH_GET(&A->h->used_bytes) <= used && heap_check(A) == NULL);
    A->overcommit = usual;
}

int main(void)
{
    CHECK(arena_ensure() == AR_OK);
    A = process_arena;
    test_sizes();
    test_mapped();
    test_page_that_exists();
    test_forks();
    test_neighbours();
    test_file_size_limit();
    test_scarce();
    test_limits();
    test_strict_overcommit();
    test_absurd();
    uint64_t used = SH_GET(&A->h->used_bytes);
    fill_one(3 * MB, 9);
    CHECK(SH_GET(&A->h->used_bytes) == used);
    printf("ok\n");
    return 0;
}
