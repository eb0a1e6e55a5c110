/* identity.h: what a descriptor stood for.  A program may close ours, and its number may come to mean another file, which must
 * not be cut, punched or written to. */
#ifndef PROCESSION_IDENTITY_H
#define PROCESSION_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

/* The device too, since inode numbers repeat between file systems.  All eventfds have one inode, which nothing else has. */
struct identity { uint64_t inode, device; };

static inline struct identity identity_of(int fd)   /* all zero: not open */
{
    struct stat s;
    return fstat(fd, &s) == 0 ? (struct identity){ (uint64_t)s.st_ino, (uint64_t)s.st_dev } : (struct identity){ 0, 0 };
}

static inline bool identity_is(int fd, struct identity once)
{
    struct identity now = identity_of(fd);
    return now.inode && now.inode == once.inode && now.device == once.device;
}

#endif
