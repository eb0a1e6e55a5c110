/* os_linux.h: what os.h promises, expanded in place on Linux. */
#ifndef PROCESSION_OS_LINUX_H
#define PROCESSION_OS_LINUX_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

#define OS_CLOCK_COARSE CLOCK_MONOTONIC_COARSE
#define OS_POLL_ENDED POLLRDHUP                      /* for a wait that the peer's end of writing must end */
#define OS_SEND_FLAGS MSG_NOSIGNAL
#define OS_RECEIVE_FLAGS MSG_CMSG_CLOEXEC

/* A number that no other thread of this process has. */
static inline uint64_t os_thread(void)
{
#if defined(__x86_64__) || defined(__aarch64__)
    return (uint64_t)__builtin_thread_pointer();     /* one instruction instead of a call */
#else
    return (uint64_t)pthread_self();
#endif
}

#endif
