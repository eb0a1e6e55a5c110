/* os_darwin.h: what os.h promises, expanded in place on macOS. */
#ifndef PROCESSION_OS_DARWIN_H
#define PROCESSION_OS_DARWIN_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

#define OS_CLOCK_COARSE CLOCK_UPTIME_RAW_APPROX
#define OS_POLL_ENDED 0                              /* POLLHUP comes unasked, and at the peer's end of writing too */
#define OS_SEND_FLAGS MSG_NOSIGNAL
#define OS_RECEIVE_FLAGS 0

/* A number that no other thread of this process has.  The register that the compiler would read is not the thread's here. */
static inline uint64_t os_thread(void) { return (uint64_t)(uintptr_t)pthread_self(); }

#endif
