/* memlimit.c: reads cgroup v2's (and v1's) memory files.  Why: memlimit.h. */
#define _GNU_SOURCE
#include "memlimit.h"
#include "arena.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOOK_AGAIN_NS 1000000000ull

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

static bool room_in(const char *folder, const char *max, const char *now, const char *stat, uint64_t bytes, bool *limited)
{
    uint64_t limit = read_number(folder, max, UINT64_MAX);
    if (limit >= (uint64_t)1 << 62) return true;
    *limited = true;
    uint64_t used = read_number(folder, now, 0), back = reclaimable(folder, stat);
    used = used > back ? used - back : 0;
    return used < limit && bytes <= limit - used;
}

/* Walks from our group to the root: any of them may be the tight one.  A container sees its own group as the root. */
static bool walk(const char *root, const char *group, const char *max, const char *now, const char *stat, uint64_t bytes, bool *limited)
{
    char folder[700];
    snprintf(folder, sizeof folder, "%s%s", root, group);
    for (;;) {
        if (!room_in(folder, max, now, stat, bytes, limited)) return false;
        char *slash = strrchr(folder, '/');
        if (!slash || strlen(folder) <= strlen(root)) return true;
        *slash = 0;
    }
}

bool limits_room(const struct limits_files *files, uint64_t bytes, bool *limited)
{
    char text[2048], *rest = NULL;
    bool room = true;
    *limited = false;
    if (!read_text(files->own_groups, text, sizeof text)) return true;
    for (char *line = strtok_r(text, "\n", &rest); line && room; line = strtok_r(NULL, "\n", &rest)) {
        char *group = strchr(line, ':') ? strchr(strchr(line, ':') + 1, ':') : NULL;
        if (!group) continue;
        group++;
        if (strcmp(group, "/") == 0) group = "";
        if (strncmp(line, "0::", 3) == 0)
            room = walk(files->v2, group, "memory.max", "memory.current", "inactive_file ", bytes, limited);
        else if (strstr(line, ":memory:"))
            room = walk(files->v1, group, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file ", bytes, limited);
    }
    return room;
}

bool limits_allow(uint64_t bytes)
{
    static const struct limits_files files = { "/proc/self/cgroup", "/sys/fs/cgroup", "/sys/fs/cgroup/memory" };
    static uint64_t unlimited_until;                /* a racy cache is good enough */
    uint64_t now = clock_coarse_ns();
    if (now < unlimited_until) return true;
    bool limited, room = limits_room(&files, bytes, &limited);
    if (!limited) unlimited_until = now + LOOK_AGAIN_NS;
    return room;
}
