/* message.h: one message with descriptors over a local socket that keeps messages apart (SOCK_SEQPACKET).
 *
 * A message is there whole or not at all, descriptors included, whoever is killed when.  Where the receiver has no room for
 * one of the descriptors, all of the message's are closed.
 */
#ifndef PROCESSION_MESSAGE_H
#define PROCESSION_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "os.h"

#define MESSAGE_FDS 253                          /* SCM_MAX_FD of Linux */
#define MESSAGE_BYTES 65536

#ifdef MSG_CMSG_CLOEXEC
#define MESSAGES 1

int message_pair(int ends[2]);                   /* both closed by exec; -1: errno */
/* -1: errno, EINTR after a signal, and nothing was sent. */
int message_send(int fd, const void *data, size_t size, const int *fds, int fd_count);

struct message_in {
    ssize_t size;                                /* 0 is the end; -1: errno, EINTR after a signal, and nothing was received */
    bool lost;                                   /* descriptors came for which there was no room; then there are none */
    bool cut;                                    /* it was longer than MESSAGE_BYTES, as none that is sent here is; then there are none, too */
    int fd_count;
    int fds[MESSAGE_FDS];                        /* the caller's, closed by exec */
};
void message_receive(int fd, void *to, struct message_in *in);      /* MESSAGE_BYTES */
#endif

#endif
