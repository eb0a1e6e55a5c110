/* os_darwin.c: os.h on macOS 14.4 or later.  Compiled, never run.
 *
 * Older systems lack os_sync_wait_on_address(); the module does not load there, which gives the portable variant.
 * What macOS has no answer for:
 *   a memory file's mapping cannot be made again without its descriptor: a program that closes all its descriptors gets no
 *     new windows of the arena;
 *   whether a process has called exec cannot be told cheaply: what it held is given back when it ends;
 *   a sleeper cannot be moved from one word to another: it is woken, and sleeps again;
 *   a pipe cannot be looked into: Pipe(duplex=False) has no ring.
 */
#ifdef __APPLE__
#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <libproc.h>
#include <limits.h>
#include <mach/mach_time.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/proc.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/sysctl.h>
#include <unistd.h>

/* <os/os_sync_wait_on_address.h> and <os/clock.h>, which not every set of headers has. */
int os_sync_wait_on_address(void *address, uint64_t value, size_t size, uint32_t flags);
int os_sync_wait_on_address_with_timeout(void *address, uint64_t value, size_t size, uint32_t flags, uint32_t clock, uint64_t ns);
int os_sync_wake_by_address_any(void *address, size_t size, uint32_t flags);
int os_sync_wake_by_address_all(void *address, size_t size, uint32_t flags);
#define BETWEEN_PROCESSES 1u
#define ABSOLUTE_CLOCK 32u

#define UNUSED __attribute__((unused))

/* -- clocks -------------------------------------------------------------------------------------------------- */

/* The one that Python's time.monotonic() reads, and the kernel's times of starts too; it stands still while the machine sleeps. */
uint64_t clock_ns(void) { return clock_gettime_nsec_np(CLOCK_UPTIME_RAW); }
uint64_t clock_coarse_ns(void) { return clock_gettime_nsec_np(CLOCK_UPTIME_RAW_APPROX); }
uint64_t clock_boot_ns(void) { return clock_gettime_nsec_np(CLOCK_UPTIME_RAW); }

/* -- words --------------------------------------------------------------------------------------------------- */

int os_wait(sh32 *p, uint32_t expected, uint64_t ns)
{
    if (ns == 0) return ETIMEDOUT;                  /* which the call refuses */
    int r = ns == OS_FOREVER
          ? os_sync_wait_on_address(&p->opaque, expected, sizeof p->opaque, BETWEEN_PROCESSES)
          : os_sync_wait_on_address_with_timeout(&p->opaque, expected, sizeof p->opaque, BETWEEN_PROCESSES, ABSOLUTE_CLOCK, ns);
    return r < 0 && (errno == EINTR || errno == ETIMEDOUT) ? errno : 0;
}

int os_wait_until(sh32 *p, uint32_t expected, uint64_t until)
{
    uint64_t now = until == OS_FOREVER ? 0 : clock_ns();
    return os_wait(p, expected, until == OS_FOREVER ? until : until > now ? until - now : 0);
}

int os_wake(sh32 *p, int n)
{
    if (n == 1) return os_sync_wake_by_address_any(&p->opaque, sizeof p->opaque, BETWEEN_PROCESSES) == 0;
    return os_sync_wake_by_address_all(&p->opaque, sizeof p->opaque, BETWEEN_PROCESSES) == 0;
}

int os_requeue(sh32 *from, sh32 *to UNUSED) { return os_wake(from, 1); }

/* -- memory files -------------------------------------------------------------------------------------------- */

/* A file without a name in the user's folder for temporary files.  shm_open() would not do: such an object gets its size
 * only once, while the arena grows; it cannot be punched; and record locks, by which a death is noticed, are refused on it. */
int os_memory_file(const char *name)
{
    char path[PATH_MAX];
    size_t length = confstr(_CS_DARWIN_USER_TEMP_DIR, path, sizeof path);
    if (length == 0 || length > sizeof path) length = (size_t)snprintf(path, sizeof path, "/tmp/") + 1;
    unsigned long long number = 0;
    int added = os_random(&number, sizeof number) ? snprintf(path + length - 1, sizeof path - length, "%s.%016llx", name, number) : -1;
    if (added < 0 || (size_t)added >= sizeof path - length) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0) unlink(path);
    return fd;
}

void os_forbid_shrinking(int fd UNUSED) { }

/* macOS has no strict overcommit. */
bool os_reserve(int fd UNUSED, uint64_t from UNUSED, uint64_t size UNUSED) { return true; }

void os_punch(int fd, uint64_t from, uint64_t size)
{
    struct fpunchhole hole = { .fp_offset = (off_t)from, .fp_length = (off_t)size };
    fcntl(fd, F_PUNCHHOLE, &hole);
}

void *os_map_again(void *start UNUSED, size_t size UNUSED) { return MAP_FAILED; }

/* Core files are off by default, and what they hold cannot be chosen by the page. */
void os_leave_out_of_dumps(void *p UNUSED, size_t size UNUSED) { }

/* Addresses here are multiples of 4096 bytes, pages may be 16384: only what they cover whole. */
void os_populate(void *p, size_t size)
{
    uintptr_t page = (uintptr_t)getpagesize(), first = ((uintptr_t)p + page - 1) & ~(page - 1), end = ((uintptr_t)p + size) & ~(page - 1);
    if (end > first) madvise((void *)first, end - first, MADV_WILLNEED);
}

int64_t os_copy_into_new_pages(void *to UNUSED, const void *from UNUSED, uint64_t size UNUSED) { return 0; }
void os_before_fork(void) { }
void os_after_fork_parent(void) { }
void os_after_fork_child(void) { }

void os_use_huge_pages(void *p UNUSED, size_t size UNUSED) { }

bool os_wipe_on_fork(void *p UNUSED, size_t size UNUSED) { return false; }

/* -- processes ----------------------------------------------------------------------------------------------- */

uint64_t os_start_step_ns(void) { return 1000000; }     /* the clock's; more than its two readers ever differ by */

/* The wall clock, which sysctl() has too, may be set meanwhile: then a living process would look like its successor. */
static bool start_of(uint32_t pid, uint64_t *started_ns)
{
    struct rusage_info_v0 info;
    mach_timebase_info_data_t base;
    if (proc_pid_rusage((int)pid, RUSAGE_INFO_V0, (rusage_info_t *)&info) != 0 || mach_timebase_info(&base) != 0) return false;
    *started_ns = (uint64_t)((__uint128_t)info.ri_proc_start_abstime * base.numer / base.denom);
    return true;
}

bool os_process(uint32_t pid, enum os_state *state, uint64_t *started_ns)
{
    int name[] = { CTL_KERN, KERN_PROC, KERN_PROC_PID, (int)pid };
    struct kinfo_proc found;
    size_t size = sizeof found;
    memset(&found, 0, sizeof found);
    if (sysctl(name, 4, &found, &size, NULL, 0) != 0) return false;
    if (size == 0) {
        errno = ESRCH;
        return false;
    }
    char stat = found.kp_proc.p_stat;
    *state = stat == SZOMB ? OS_ENDED : stat == SSTOP ? OS_STOPPED : OS_RUNS;
    return start_of(pid, started_ns);
}

/* A process is a zombie after its last thread. */
bool os_any_thread_runs(uint32_t pid UNUSED) { return false; }

bool os_maps_file(uint32_t pid UNUSED, uint64_t inode UNUSED) { return true; }

bool os_some_child(uint32_t pid, bool (*is_so)(void *with, uint32_t child), void *with)
{
    enum { MOST = 4096 };
    pid_t *children = malloc(MOST * sizeof *children);
    if (!children) return true;
    int count = proc_listchildpids((pid_t)pid, children, (int)(MOST * sizeof *children));
    bool found = count < 0 || count >= MOST;
    for (int i = 0; !found && i < count; i++) found = is_so(with, (uint32_t)children[i]);
    free(children);
    return found;
}

bool os_is_main_thread(void) { return pthread_main_np() == 1; }

bool os_signal_at_parents_end(int number UNUSED) { return false; }

uint64_t os_memory(void)
{
    uint64_t bytes = 0;
    size_t size = sizeof bytes;
    return sysctlbyname("hw.memsize", &bytes, &size, NULL, 0) == 0 ? bytes : UINT64_MAX;
}

int os_cpus(void)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count > 0 ? (int)count : 1;
}

bool os_random(void *to, size_t size) { return getentropy(to, size) == 0; }

/* -- descriptors --------------------------------------------------------------------------------------------- */

int os_poll(struct pollfd *fds, nfds_t count, uint64_t ns)
{
    uint64_t ms = ns / 1000000 + (ns % 1000000 != 0);
    return poll(fds, count, ns == OS_FOREVER ? -1 : ms > INT_MAX ? INT_MAX : (int)ms);
}

/* There is no call that makes a pipe close-on-exec: one that another thread's fork() and exec() copies meanwhile does no harm. */
bool os_flag_open(struct os_flag *f)
{
    int ends[2];
    if (pipe(ends) < 0) return false;
    for (int i = 0; i < 2; i++) {
        fcntl(ends[i], F_SETFD, FD_CLOEXEC);
        fcntl(ends[i], F_SETFL, O_NONBLOCK);
    }
    f->read = ends[0];
    f->write = ends[1];
    return true;
}

bool os_flag_raise(struct os_flag *f) { return write(f->write, "", 1) == 1 || errno == EAGAIN; }

bool os_flag_lower(struct os_flag *f)
{
    char bytes[16];
    ssize_t n;
    while ((n = read(f->read, bytes, sizeof bytes)) > 0) { }
    return n < 0 && errno == EAGAIN;
}

void os_flag_renew(struct os_flag *f)
{
    struct os_flag fresh;
    if (!os_flag_open(&fresh)) return;
    dup2(fresh.read, f->read);
    dup2(fresh.write, f->write);
    fcntl(f->read, F_SETFD, FD_CLOEXEC);
    fcntl(f->write, F_SETFD, FD_CLOEXEC);
    os_flag_close(&fresh);
}

void os_flag_close(struct os_flag *f)
{
    close(f->read);
    close(f->write);
}

int os_socket_family(int fd)
{
    struct sockaddr_storage own;
    socklen_t size = sizeof own;
    return getsockname(fd, (struct sockaddr *)&own, &size) < 0 ? -1 : own.ss_family;
}

void os_widen_pipe(int fd UNUSED, int size UNUSED) { }  /* they grow by themselves */

ssize_t os_peek_pipe(int fd UNUSED, char *to UNUSED, size_t size UNUSED) { errno = ENOTSUP; return -1; }

void os_close_on_exec_received(int fd) { fcntl(fd, F_SETFD, FD_CLOEXEC); }

int os_die_when_closed(int fd UNUSED) { errno = ENOSYS; return -1; }

#endif
