/* Fuzz: attaching.  A descriptor may be anything; arena_attach() says yes to an arena of this layout and to nothing else,
 * and registry_take() gives a slot to nobody but the child for which it was reserved.
 *
 * The first byte chooses the file: bytes of the input, or the start of a real arena with changes drawn from the input,
 * cut to a length drawn from it; the rest are the changes. */
#define _GNU_SOURCE
#include "../heap.h"
#include "../refs.h"
#include "../registry.h"
#include "check.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD 64

static struct arena real;
static uint64_t real_size;

static uint64_t number(const uint8_t *p, size_t bytes)
{
    uint64_t v = 0;
    memcpy(&v, p, bytes);
    return v;
}

/* What a file must be, said a second time and in other words. */
static bool is_an_arena(int fd)
{
    struct stat s;
    uint64_t magic, file_size;
    uint32_t layout, header_size;
    if (fstat(fd, &s) != 0 || !S_ISREG(s.st_mode) || (uint64_t)s.st_size < HEAP_OFFSET) return false;
    if (pread(fd, &magic, 8, 0) != 8 || pread(fd, &layout, 4, 8) != 4 || pread(fd, &header_size, 4, 12) != 4 ||
        pread(fd, &file_size, 8, 24) != 8)
        return false;
    return magic == ARENA_MAGIC && layout == ARENA_LAYOUT && header_size == sizeof(struct arena_header) &&
           file_size <= (uint64_t)s.st_size;
}

static void try_file(int fd, const uint8_t *data, size_t size)
{
    struct arena a;
    int lease = dup(real.lease_fd);
    bool good = is_an_arena(fd);
    int r = arena_attach(&a, fd, lease);
    CHECK((r == AR_OK) == good);
    if (r != AR_OK) {
        CHECK(r == AR_LAYOUT || r == AR_SYS || r == AR_NOMEM);
        close(fd);
        close(lease);
        return;
    }
    /* No slot of it is reserved. */
    uint32_t slot = (uint32_t)number(data, size < 4 ? size : 4), generation = size > 4 ? data[4] : 0;
    CHECK(registry_take(&a, slot, generation) == AR_GONE);
    CHECK(registry_take(&a, slot % REGISTRY_SLOTS, generation) == AR_GONE);
    arena_detach(&a);
}

/* A real child's place: taken once, by the right numbers. */
static void try_slot(const uint8_t *data, size_t size)
{
    uint32_t slot, generation;
    CHECK(registry_reserve(&real, "child", &slot, &generation) == AR_OK);
    struct arena a;
    CHECK(arena_attach(&a, dup(real.fd), dup(real.lease_fd)) == AR_OK);
    uint32_t other = (uint32_t)number(data, size < 4 ? size : 4), wrong = size > 4 ? data[4] : 0;
    if (other != slot || wrong != (generation & 0xffff)) {
        if (other != slot) CHECK(registry_take(&a, other, generation) == AR_GONE);
        if (wrong != (generation & 0xffff)) CHECK(registry_take(&a, slot, wrong) == AR_GONE);
    }
    CHECK(a.self == 0);
    registry_cancel(&real, slot, generation);
    CHECK(registry_take(&a, slot, generation) == AR_GONE);
    arena_detach(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint64_t runs;
    if (!real.h) {
        CHECK(arena_create(&real, UINT64_MAX) == AR_OK);
        real_size = SH_GET(&real.h->file_size);
    }
    if (size < 8) return 0;
    uint8_t how = data[0];
    if (how % 8 == 7) {
        try_slot(data + 1, size - 1);
    } else if (how % 8 == 6) {                                       /* descriptors that are no arena at all */
        int fd, ends[2];
        switch (data[1] % 5) {
        case 0: fd = open("/dev/zero", O_RDWR | O_CLOEXEC); break;
        case 1: fd = open("/", O_RDONLY | O_CLOEXEC); break;
        case 2: fd = -1; break;
        case 3: fd = pipe2(ends, O_CLOEXEC) == 0 ? (close(ends[1]), ends[0]) : -1; break;
        default: fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC); break;
        }
        try_file(fd, data + 2, size - 2);
    } else {
        int fd = memfd_create("fuzz", MFD_CLOEXEC);
        CHECK(fd >= 0);
        uint64_t length = how & 0x10 ? number(data + 1, 4) % (real_size + PAGE) : real_size;
        CHECK(ftruncate(fd, (off_t)length) == 0);
        if (how & 1) {
            uint8_t head[HEAD];
            CHECK(pread(real.fd, head, HEAD, 0) == HEAD);
            /* Pairs of (where, what), few of them: most files come close. */
            size_t changes = how >> 5;
            for (size_t i = 5; i + 1 < size && changes; i += 2, changes--) head[data[i] % HEAD] ^= data[i + 1];
            if (length >= HEAD) CHECK(pwrite(fd, head, HEAD, 0) == HEAD);
        } else if (length >= size) {
            CHECK(pwrite(fd, data + 1, size - 1, 0) == (ssize_t)size - 1);
        }
        try_file(fd, data + 1, size - 1);
    }
    if (++runs % 256 == 0) CHECK(heap_check(&real) == NULL);
    return 0;
}
