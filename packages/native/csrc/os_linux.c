/* os_linux.c: os.h on Linux. */
#ifdef __linux__
#define _GNU_SOURCE
#include "os.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

/* -- clocks -------------------------------------------------------------------------------------------------- */

static uint64_t read_clock(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}
uint64_t clock_ns(void) { return read_clock(CLOCK_MONOTONIC); }
uint64_t clock_coarse_ns(void) { return read_clock(CLOCK_MONOTONIC_COARSE); }
uint64_t clock_boot_ns(void) { return read_clock(CLOCK_BOOTTIME); }

static struct timespec spec(uint64_t ns)
{
    return (struct timespec){ (time_t)(ns / 1000000000ull), (long)(ns % 1000000000ull) };
}

/* -- words --------------------------------------------------------------------------------------------------- */

/* Not FUTEX_PRIVATE: the word is in memory shared between processes. */
int os_wait(sh32 *p, uint32_t expected, uint64_t ns)
{
    struct timespec t = spec(ns);
    if (syscall(SYS_futex, &p->opaque, FUTEX_WAIT, expected, ns == OS_FOREVER ? NULL : &t, NULL, 0) == 0) return 0;
    return errno == EINTR || errno == ETIMEDOUT ? errno : 0;
}

int os_wait_until(sh32 *p, uint32_t expected, uint64_t until)
{
    struct timespec t = spec(until);
    /* FUTEX_WAIT_BITSET takes an absolute CLOCK_MONOTONIC time. */
    if (syscall(SYS_futex, &p->opaque, FUTEX_WAIT_BITSET, expected, until == OS_FOREVER ? NULL : &t, NULL,
                FUTEX_BITSET_MATCH_ANY) == 0)
        return 0;
    return errno == EAGAIN ? 0 : errno == EINTR ? EINTR : ETIMEDOUT;
}

int os_wake(sh32 *p, int n) { return (int)syscall(SYS_futex, &p->opaque, FUTEX_WAKE, n, NULL, NULL, 0); }

int os_requeue(sh32 *from, sh32 *to)
{
    return (int)syscall(SYS_futex, &from->opaque, FUTEX_REQUEUE, 0, (long)1, &to->opaque, 0);
}

/* -- memory files -------------------------------------------------------------------------------------------- */

int os_memory_file(const char *name) { return memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING); }
void os_forbid_shrinking(int fd) { fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK); }
bool os_reserve(int fd, uint64_t from, uint64_t size)
{
    return fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)size) == 0;
}
void os_punch(int fd, uint64_t from, uint64_t size)
{
    fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)size);
}
/* An old size of 0 makes mremap() map the same file a second time. */
void *os_map_again(void *start, size_t size) { return mremap(start, 0, size, MREMAP_MAYMOVE); }
void os_leave_out_of_dumps(void *p, size_t size) { madvise(p, size, MADV_DONTDUMP); }
/* Before Linux 5.14 the pages are mapped one by one, when they are used. */
void os_populate(void *p, size_t size) { madvise(p, size, MADV_POPULATE_READ); }
void os_use_huge_pages(void *p, size_t size) { madvise(p, size, MADV_HUGEPAGE); }
bool os_wipe_on_fork(void *p, size_t size) { return madvise(p, size, MADV_WIPEONFORK) == 0; }

/* The descriptor lives for one call: it speaks of the memory of the process that made it, so a forked child must not use
 * it, and a program may close or replace any descriptor at any time.  A child that another thread forks meanwhile closes its copies. */
#define UFFDS 16

static _Atomic int uffd_refused;
static pthread_mutex_t uffd_mutex = PTHREAD_MUTEX_INITIALIZER;
static int uffds[UFFDS], uffd_count;

void os_before_fork(void) { pthread_mutex_lock(&uffd_mutex); }
void os_after_fork_parent(void) { pthread_mutex_unlock(&uffd_mutex); }
void os_after_fork_child(void)
{
    while (uffd_count > 0) close(uffds[--uffd_count]);
    pthread_mutex_init(&uffd_mutex, NULL);
}

static int open_uffd(void)
{
    if (uffd_refused) return -1;
    int fd = -1, error = EMFILE;
    pthread_mutex_lock(&uffd_mutex);
    if (uffd_count < UFFDS) {
        /* A filter of system calls may kill who asks for one that it does not know. */
        fd = prctl(PR_GET_SECCOMP) == 0 ? (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY) : -1;
        error = errno;
        struct uffdio_api api = { .api = UFFD_API };
        if (fd >= 0 && ioctl(fd, UFFDIO_API, &api) < 0) {
            close(fd);
            fd = -1;
            error = EINVAL;
        }
        if (fd >= 0) uffds[uffd_count++] = fd;
    }
    pthread_mutex_unlock(&uffd_mutex);
    if (fd < 0 && error != EMFILE && error != ENFILE) uffd_refused = 1;
    return fd;
}

static void close_uffd(int fd)
{
    pthread_mutex_lock(&uffd_mutex);
    for (int i = 0; i < uffd_count; i++)
        if (uffds[i] == fd) {
            uffds[i] = uffds[--uffd_count];
            break;
        }
    close(fd);
    pthread_mutex_unlock(&uffd_mutex);
}

int64_t os_copy_into_new_pages(void *to, const void *from, uint64_t size)
{
    FAULT_POINT();
    int fd = open_uffd();
    if (fd < 0) return 0;
    FAULT_POINT();
    struct uffdio_register range = { .range = { (uintptr_t)to, size }, .mode = UFFDIO_REGISTER_MODE_MISSING };
    uint64_t done = 0;
    int error = ioctl(fd, UFFDIO_REGISTER, &range) == 0 ? 0 : EINVAL;
    while (!error && done < size) {
        struct uffdio_copy copy = { .dst = (uintptr_t)to + done, .src = (uintptr_t)from + done, .len = size - done,
                                    .mode = UFFDIO_COPY_MODE_DONTWAKE };
        FAULT_POINT();
        error = ioctl(fd, UFFDIO_COPY, &copy) == 0 ? 0 : errno;
        FAULT_POINT();
        if (copy.copy > 0) {                         /* part of it: a fork or another mapping came between */
            done += (uint64_t)copy.copy;
            error = 0;
        } else if (error == EAGAIN)
            error = 0;
    }
    ioctl(fd, UFFDIO_UNREGISTER, &range.range);
    FAULT_POINT();
    close_uffd(fd);
    return error == ENOMEM || error == ENOSPC ? -1 : (int64_t)done;
}

/* -- processes ----------------------------------------------------------------------------------------------- */

static bool read_file(const char *path, char *buffer, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    ssize_t n = read(fd, buffer, size - 1);
    int error = errno;
    close(fd);
    errno = error;
    if (n < 0) return false;
    buffer[n] = 0;
    return true;
}

/* Whether the last call failed because there is no such process, and not for want of descriptors or memory. */
static bool no_such_process(void) { return errno == ENOENT || errno == ESRCH; }

/* State letter and start time (clock ticks since boot) of a task; the name in parentheses may contain anything. */
static bool read_stat(const char *path, char *state, uint64_t *start)
{
    char text[1024];
    if (!read_file(path, text, sizeof text)) return false;
    char *p = strrchr(text, ')');
    errno = EINVAL;
    if (!p || p[1] != ' ') return false;
    *state = p[2];
    p += 2;
    for (int field = 3; field < 22 && p; field++) {
        p = strchr(p, ' ');
        if (p) p++;
    }
    *start = p ? strtoull(p, NULL, 10) : 0;
    return p != NULL;
}

uint64_t os_start_step_ns(void) { return 1000000000ull / (uint64_t)sysconf(_SC_CLK_TCK); }

bool os_process(uint32_t pid, enum os_state *state, uint64_t *started_ns)
{
    char path[64], letter = 0;
    uint64_t start = 0;
    snprintf(path, sizeof path, "/proc/%u/stat", pid);
    if (!read_stat(path, &letter, &start)) return false;
    *state = letter == 'Z' || letter == 'X' ? OS_ENDED : letter == 'T' || letter == 't' ? OS_STOPPED : OS_RUNS;
    *started_ns = start * os_start_step_ns();
    return true;
}

bool os_any_thread_runs(uint32_t pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%u/task", pid);
    DIR *d = opendir(path);
    if (!d) return !no_such_process();
    bool runs = false;
    for (struct dirent *e; !runs && (e = readdir(d)) != NULL;) {
        if (e->d_name[0] == '.') continue;
        char stat_path[384], state;
        uint64_t start;
        snprintf(stat_path, sizeof stat_path, "%s/%s/stat", path, e->d_name);
        if (read_stat(stat_path, &state, &start)) runs = state != 'Z' && state != 'X';
        else runs = !no_such_process();
    }
    closedir(d);
    return runs;
}

bool os_maps_file(uint32_t pid, uint64_t inode)
{
    char path[64], line[512];
    snprintf(path, sizeof path, "/proc/%u/maps", pid);
    FILE *f = fopen(path, "re");
    if (!f) return !no_such_process();
    bool found = false;
    while (!found && fgets(line, sizeof line, f)) {
        unsigned long long number = 0;
        found = strstr(line, "memfd:") != NULL && sscanf(line, "%*s %*s %*s %*s %llu", &number) == 1 && number == inode;
    }
    if (ferror(f)) found = true;
    fclose(f);
    return found;
}

bool os_some_child(uint32_t pid, bool (*is_so)(void *with, uint32_t child), void *with)
{
    char path[64], list[384];
    snprintf(path, sizeof path, "/proc/%u/task", pid);
    DIR *d = opendir(path);
    if (!d) return true;
    bool found = false;
    for (struct dirent *e; !found && (e = readdir(d)) != NULL;) {
        if (e->d_name[0] == '.') continue;
        snprintf(list, sizeof list, "%s/%s/children", path, e->d_name);
        FILE *f = fopen(list, "re");
        if (!f) {
            found = !no_such_process() || access("/proc/self/task", R_OK) != 0;
            /* Kernels can be built without these lists: then nobody can tell. */
            snprintf(list, sizeof list, "%s/%s/stat", path, e->d_name);
            found = found || access(list, R_OK) == 0;
            continue;
        }
        unsigned int child;
        while (!found && fscanf(f, "%u", &child) == 1) found = is_so(with, child);
        found = found || ferror(f);
        fclose(f);
    }
    closedir(d);
    return found;
}

bool os_is_main_thread(void) { return syscall(SYS_gettid) == getpid(); }

bool os_signal_at_parents_end(int number) { return prctl(PR_SET_PDEATHSIG, number) == 0; }

uint64_t os_memory(void)
{
    struct sysinfo s;
    return sysinfo(&s) == 0 ? ((uint64_t)s.totalram + s.totalswap) * s.mem_unit : UINT64_MAX;
}

int os_cpus(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

bool os_random(void *to, size_t size) { return getrandom(to, size, 0) == (ssize_t)size; }

/* -- descriptors --------------------------------------------------------------------------------------------- */

int os_poll(struct pollfd *fds, nfds_t count, uint64_t ns)
{
    struct timespec t = spec(ns);
    return ppoll(fds, count, ns == OS_FOREVER ? NULL : &t, NULL);
}

/* An eventfd: its two ends are one. */
bool os_flag_open(struct os_flag *f) { return (f->read = f->write = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) >= 0; }

bool os_flag_raise(struct os_flag *f)
{
    uint64_t one = 1;
    return write(f->write, &one, sizeof one) >= 0;
}

bool os_flag_lower(struct os_flag *f)
{
    uint64_t count;
    return read(f->read, &count, sizeof count) >= 0 || errno == EAGAIN;
}

void os_flag_renew(struct os_flag *f)
{
    int fresh = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fresh < 0) return;
    dup3(fresh, f->read, O_CLOEXEC);
    close(fresh);
}

void os_flag_close(struct os_flag *f) { close(f->read); }

int os_socket_family(int fd)
{
    int value = 0;
    socklen_t size = sizeof value;
    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &value, &size) < 0 ? -1 : value;
}

void os_widen_pipe(int fd, int size)
{
    int now = fcntl(fd, F_GETPIPE_SZ);
    if (now > 0 && now < size) fcntl(fd, F_SETPIPE_SZ, size);
}

ssize_t os_peek_pipe(int fd, char *to, size_t size)
{
    int spare[2], there = 0;
    if (ioctl(fd, FIONREAD, &there) < 0 || there < (int)size || pipe2(spare, O_CLOEXEC) < 0) return -1;
    ssize_t n = tee(fd, spare[1], size, SPLICE_F_NONBLOCK);
    if (n > 0) n = read(spare[0], to, (size_t)n);
    close(spare[0]);
    close(spare[1]);
    return n;
}

void os_close_on_exec_received(int fd __attribute__((unused))) { }    /* MSG_CMSG_CLOEXEC has done it */

int os_die_when_closed(int fd)
{
    /* F_SETOWN belongs to the open file, not to the descriptor: a new one for each process. */
    char path[40], byte;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int own = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (own < 0) return -1;
    if (fcntl(own, F_SETOWN, getpid()) < 0 || fcntl(own, F_SETSIG, SIGKILL) < 0 || fcntl(own, F_SETFL, O_NONBLOCK | O_ASYNC) < 0) {
        int error = errno;
        close(own);
        errno = error;
        return -1;
    }
    /* Closed before the watch was armed? */
    if (read(own, &byte, 1) == 0) raise(SIGKILL);
    return own;
}

#endif
