/* ahead.c: see ahead.h. */
#define _GNU_SOURCE
#include "ahead.h"
#include "os.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define AHEAD_SIZE ((size_t)4096)

struct ahead { sh64 span; char data[AHEAD_ROOM]; };
_Static_assert(sizeof(struct ahead) == AHEAD_SIZE, "ahead: its size is that of the file");

/* at: in place of what is mapped there; NULL: anywhere. */
static struct ahead *map(int fd, struct ahead *at)
{
    void *place = mmap((void *)at, AHEAD_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | (fd < 0 ? MAP_ANONYMOUS : 0) | (at ? MAP_FIXED : 0), fd, 0);
    return place == MAP_FAILED ? NULL : place;
}

struct ahead *ahead_new(void) { return map(-1, NULL); }

void ahead_free(struct ahead *a)
{
    if (a) munmap((void *)a, AHEAD_SIZE);
}

size_t ahead_count(const struct ahead *a)
{
    return a ? (size_t)(uint32_t)SH_GET(&a->span) : 0;
}

size_t ahead_take(struct ahead *a, char *to, size_t size)
{
    uint64_t span = SH_GET(&a->span);
    for (;;) {
        size_t begin = (size_t)(span >> 32), count = (uint32_t)span, n = count < size ? count : size;
        if (n == 0 || begin > AHEAD_ROOM || count > AHEAD_ROOM - begin) return 0;
        memcpy(to, a->data + begin, n);
        if (SH_CAS64(&a->span, &span, (uint64_t)(begin + n) << 32 | (count - n))) return n;
    }
}

void ahead_put(struct ahead *a, const char *data, size_t size)
{
    memcpy(a->data, data, size);
    SH_SET(&a->span, (uint64_t)size);
}

int ahead_share(struct ahead *a)
{
    char data[AHEAD_ROOM];
    int fd = os_memory_file("procession-ahead");
    if (fd < 0) return -1;
    if (ftruncate(fd, (off_t)AHEAD_SIZE) == 0) {
        size_t size = ahead_take(a, data, sizeof data);
        struct ahead *made = map(fd, a);
        ahead_put(a, data, size);
        if (made) return fd;
    }
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

struct ahead *ahead_open(int fd)
{
    struct stat s;
    if (fstat(fd, &s) < 0) return NULL;
    if ((size_t)s.st_size != AHEAD_SIZE) {
        errno = EINVAL;
        return NULL;
    }
    return map(fd, NULL);
}
