/* memlimit.c: reads the memory files of control groups.  Why: memlimit.h. */
#define _GNU_SOURCE
#include "memlimit.h"
#include "arena.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOOK_AGAIN_NS 1000000000ull
#define LATELY_NS 100000000ull

static bool read_text(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    ssize_t n = read(fd, text, size - 1);
    close(fd);
    text[n > 0 ? n : 0] = 0;
    return n > 0;
}

static uint64_t read_number(const char *folder, const char *name, uint64_t otherwise)
{
    char path[768], text[64];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (!read_text(path, text, sizeof text) || text[0] < '0' || text[0] > '9') return otherwise;
    return strtoull(text, NULL, 10);
}

/* File pages that nobody uses count as used but are given up under pressure. */
static uint64_t reclaimable(const char *folder, const char *key)
{
    char path[768], text[8192];
    snprintf(path, sizeof path, "%s/memory.stat", folder);
    if (!read_text(path, text, sizeof text)) return 0;
    char *at = strstr(text, key);
    return at ? strtoull(at + strlen(key), NULL, 10) : 0;
}

static uint64_t room_in(const char *folder, const char *max, const char *now, const char *stat)
{
    uint64_t limit = read_number(folder, max, NO_LIMIT);
    if (limit >= (uint64_t)1 << 62) return NO_LIMIT;
    uint64_t used = read_number(folder, now, 0), back = reclaimable(folder, stat);
    used = used > back ? used - back : 0;
    return used < limit ? limit - used : 0;
}

/* Walks from our group to the root: any of them may be the tight one.  A container sees its own group as the root. */
static uint64_t walk(const char *root, const char *group, const char *max, const char *now, const char *stat)
{
    char folder[700];
    uint64_t room = NO_LIMIT;
    snprintf(folder, sizeof folder, "%s%s", root, group);
    for (;;) {
        uint64_t here = room_in(folder, max, now, stat);
        if (here < room) room = here;
        char *slash = strrchr(folder, '/');
        if (!slash || strlen(folder) <= strlen(root)) return room;
        *slash = 0;
    }
}

uint64_t limits_room(const struct limits_files *files)
{
    char text[2048], *rest = NULL;
    uint64_t room = NO_LIMIT;
    if (!read_text(files->own_groups, text, sizeof text)) return room;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char *group = strchr(line, ':') ? strchr(strchr(line, ':') + 1, ':') : NULL;
        if (!group) continue;
        group++;
        if (strcmp(group, "/") == 0) group = "";
        uint64_t here = NO_LIMIT;
        if (strncmp(line, "0::", 3) == 0)
            here = walk(files->v2, group, "memory.max", "memory.current", "inactive_file ");
        else if (strstr(line, ":memory:"))
            here = walk(files->v1, group, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file ");
        if (here < room) room = here;
    }
    return room;
}

static _Atomic uint64_t known, known_until;         /* a racy cache is good enough */

uint64_t limits_left(void)
{
    static const struct limits_files files = { "/proc/self/cgroup", "/sys/fs/cgroup", "/sys/fs/cgroup/memory" };
    uint64_t now = clock_coarse_ns(), room = known;
    if (room == NO_LIMIT && now < known_until) return room;
    room = limits_room(&files);
    known = room;
    known_until = now + (room == NO_LIMIT ? LOOK_AGAIN_NS : LATELY_NS);
    return room;
}

uint64_t limits_left_lately(void) { return clock_coarse_ns() < known_until ? known : limits_left(); }

char limits_overcommit(void)
{
    char text[2];
    return read_text("/proc/sys/vm/overcommit_memory", text, sizeof text) ? text[0] : 0;
}

bool limits_absurd(char mode, uint64_t bytes)
{
    return mode == '0' && bytes > os_memory();
}
