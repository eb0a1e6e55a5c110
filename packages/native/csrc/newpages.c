/* newpages.c: see newpages.h.
 *
 * The descriptor lives for one call: it speaks of the memory of the process that made it, so a forked child must not use it,
 * and a program may close or replace any descriptor at any time.
 */
#define _GNU_SOURCE
#include "newpages.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

static _Atomic int refused;

static int open_uffd(void)
{
    if (refused) return -1;
    /* A filter of system calls may kill who asks for one that it does not know. */
    int fd = prctl(PR_GET_SECCOMP) == 0 ? (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY) : -1;
    struct uffdio_api api = { .api = UFFD_API };
    if (fd >= 0 && ioctl(fd, UFFDIO_API, &api) == 0) return fd;
    if (fd >= 0) close(fd);
    if (fd >= 0 || (errno != EMFILE && errno != ENFILE)) refused = 1;
    return -1;
}

int64_t new_pages_copy(void *to, const void *from, uint64_t size)
{
    int fd = open_uffd();
    if (fd < 0) return 0;
    struct uffdio_register range = { .range = { (uintptr_t)to, size }, .mode = UFFDIO_REGISTER_MODE_MISSING };
    uint64_t done = 0;
    int error = ioctl(fd, UFFDIO_REGISTER, &range) == 0 ? 0 : EINVAL;
    while (!error && done < size) {
        struct uffdio_copy copy = { .dst = (uintptr_t)to + done, .src = (uintptr_t)from + done, .len = size - done,
                                    .mode = UFFDIO_COPY_MODE_DONTWAKE };
        error = ioctl(fd, UFFDIO_COPY, &copy) == 0 ? 0 : errno;
        if (copy.copy > 0) {                         /* part of it: a fork or another mapping came between */
            done += (uint64_t)copy.copy;
            error = 0;
        } else if (error == EAGAIN)
            error = 0;
    }
    ioctl(fd, UFFDIO_UNREGISTER, &range.range);
    close(fd);
    return error == ENOMEM || error == ENOSPC ? -1 : (int64_t)done;
}
