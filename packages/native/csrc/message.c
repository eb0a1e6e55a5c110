/* message.c: see message.h. */
#define _GNU_SOURCE
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "message.h"

#ifdef MESSAGES
union control {
    struct cmsghdr header;
    char space[CMSG_SPACE(sizeof(int) * MESSAGE_FDS)];
};

int message_pair(int ends[2]) { return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends); }

int message_send(int fd, const void *data, size_t size, const int *fds, int fd_count)
{
    union control control;
    struct iovec part = { (void *)data, size };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
    if (fd_count) {
        size_t bytes = sizeof(int) * (size_t)fd_count;
        message.msg_control = control.space;
        message.msg_controllen = CMSG_SPACE(bytes);
        memset(control.space, 0, message.msg_controllen);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(bytes);
        memcpy(CMSG_DATA(header), fds, bytes);
    }
    FAULT_POINT();
    ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL);
    FAULT_POINT();
    return sent < 0 ? -1 : 0;
}

static void take_fds(struct msghdr *message, struct message_in *in)
{
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(in->fds + in->fd_count, CMSG_DATA(header), count * sizeof(int));     /* of one header there is room for all */
        in->fd_count += (int)count;
    }
}

void message_receive(int fd, void *to, struct message_in *in)
{
    union control control;
    struct iovec part = { to, MESSAGE_BYTES };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control };
    in->fd_count = 0;
    in->lost = in->cut = false;
    FAULT_POINT();
    in->size = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    FAULT_POINT();
    if (in->size < 0) return;
    take_fds(&message, in);
    in->lost = (message.msg_flags & MSG_CTRUNC) != 0;
    in->cut = (message.msg_flags & MSG_TRUNC) != 0;
    while ((in->lost || in->cut) && in->fd_count) close(in->fds[--in->fd_count]);
}
#endif
