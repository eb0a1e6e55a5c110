/* Messages with descriptors: whole or not there, nothing left open, whoever is killed at whichever step. */
#define _GNU_SOURCE
#include "../faults.h"
#include "../message.h"
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef MESSAGES
static char data[MESSAGE_BYTES], got[MESSAGE_BYTES];

static int open_fds(void)
{
    int count = 0;
    for (int fd = 0; fd < 1024; fd++) count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static bool is_file_of(int fd, const char *text)
{
    char there[16] = "";
    return pread(fd, there, sizeof there - 1, 0) == (ssize_t)strlen(text) && strcmp(there, text) == 0;
}

static int file_with(const char *text)
{
    int fd = os_memory_file("test");
    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    return fd;
}

static void close_all(struct message_in *in)
{
    while (in->fd_count) close(in->fds[--in->fd_count]);
}

static void there_and_back(void)
{
    int ends[2], before = open_fds(), many[MESSAGE_FDS];
    struct message_in in;
    CHECK(message_pair(ends) == 0 && fcntl(ends[0], F_GETFD) == FD_CLOEXEC);
    int one = file_with("one"), two = file_with("two");
    for (int i = 0; i < MESSAGE_FDS; i++) many[i] = i % 2 ? two : one;
    const int counts[] = { 0, 1, 2, 3, MESSAGE_FDS };
    const size_t sizes[] = { 1, 9, 4096, MESSAGE_BYTES };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        for (size_t j = 0; j < sizeof sizes / sizeof *sizes; j++) {
            CHECK(message_send(ends[0], data, sizes[j], many, counts[i]) == 0);
            message_receive(ends[1], got, &in);
            CHECK(in.size == (ssize_t)sizes[j] && memcmp(got, data, sizes[j]) == 0 && in.fd_count == counts[i] && !in.lost);
            for (int k = 0; k < in.fd_count; k++)
                CHECK(is_file_of(in.fds[k], k % 2 ? "two" : "one") && fcntl(in.fds[k], F_GETFD) == FD_CLOEXEC);
            close_all(&in);
        }
    char *longer = calloc(MESSAGE_BYTES, 2);
    CHECK(message_send(ends[0], longer, MESSAGE_BYTES + 1, many, 2) == 0);
    message_receive(ends[1], got, &in);
    CHECK(in.size == MESSAGE_BYTES && in.cut && in.fd_count == 0);
    free(longer);
    close(ends[0]);
    message_receive(ends[1], got, &in);
    CHECK(in.size == 0 && in.fd_count == 0 && !in.cut);
    CHECK(message_send(ends[1], data, 1, NULL, 0) < 0 && errno == EPIPE);
    close(ends[1]), close(one), close(two);
    CHECK(open_fds() == before);
    message_receive(ends[1], got, &in);
    CHECK(in.size < 0 && errno == EBADF && in.fd_count == 0);
}

/* Below which so many numbers are free; whoever started this program may have left some open. */
static rlim_t limit_for(int room)
{
    int fd = 0;
    for (;; fd++)
        if (fcntl(fd, F_GETFD) < 0 && room-- == 0) return (rlim_t)fd;
}

/* Of the descriptors there is room for the first ones only: all of them are lost, and closed. */
static void no_room(void)
{
    int ends[2], before = open_fds();
    struct message_in in;
    struct rlimit was, now;
    CHECK(message_pair(ends) == 0 && getrlimit(RLIMIT_NOFILE, &was) == 0);
    int file = file_with("file"), fds[4] = { file, file, file, file };
    int full = open_fds();
    now = was;
    for (int room = 0; room < 4; room++) {
        CHECK(message_send(ends[0], data, 10, fds, 4) == 0);
        now.rlim_cur = limit_for(room);
        CHECK(setrlimit(RLIMIT_NOFILE, &now) == 0);
        message_receive(ends[1], got, &in);
        CHECK(setrlimit(RLIMIT_NOFILE, &was) == 0);
        CHECK(in.size == 10 && in.lost && in.fd_count == 0 && open_fds() == full);
    }
    close(ends[0]), close(ends[1]), close(file);
    CHECK(open_fds() == before);
}

/* A child that is killed at the k-th step of three messages, sent or received; until it is not. */
static int killed(bool sends)
{
    for (int k = 1;; k++) {
        int ends[2], before = open_fds(), status, whole = 0;
        struct message_in in;
        CHECK(message_pair(ends) == 0);
        int file = file_with("file");
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            close(ends[0]);
            fault_set(k);
            for (int i = 0; i < 3; i++) {
                if (sends) CHECK(message_send(ends[1], data, MESSAGE_BYTES, &file, 1) == 0);
                else {
                    message_receive(ends[1], got, &in);
                    CHECK(in.size == 10 && in.fd_count == 1);
                    close_all(&in);
                }
            }
            fault_set(0);
            _exit(0);
        }
        close(ends[1]);
        if (sends) {
            for (;; whole++) {
                message_receive(ends[0], got, &in);
                if (in.size == 0) break;
                CHECK(in.size == MESSAGE_BYTES && memcmp(got, data, MESSAGE_BYTES) == 0 && in.fd_count == 1 && is_file_of(in.fds[0], "file"));
                close_all(&in);
            }
        } else {
            while (whole < 3 && message_send(ends[0], data, 10, &file, 1) == 0) whole++;
            CHECK(whole == 3 || errno == EPIPE || errno == ECONNRESET);
        }
        CHECK(waitpid(pid, &status, 0) == pid);
        close(ends[0]), close(file);
        CHECK(open_fds() == before);
        if (WIFEXITED(status)) {
            CHECK(WEXITSTATUS(status) == 0 && whole == 3);
            return k - 1;
        }
        CHECK(WTERMSIG(status) == SIGKILL);
    }
}

static volatile sig_atomic_t rung;
static void ring_once(int number) { rung = number; }

static void interrupted(void)
{
    int ends[2];
    struct message_in in;
    struct sigaction action = { .sa_handler = ring_once };
    CHECK(message_pair(ends) == 0 && sigaction(SIGALRM, &action, NULL) == 0);
    ualarm(20000, 20000);
    message_receive(ends[1], got, &in);
    CHECK(in.size < 0 && errno == EINTR && in.fd_count == 0 && rung == SIGALRM);
    int rc;
    do rc = message_send(ends[0], data, MESSAGE_BYTES, NULL, 0); while (rc == 0);       /* until the buffer is full */
    CHECK(errno == EINTR);
    ualarm(0, 0);
    close(ends[0]), close(ends[1]);
}

int main(void)
{
    for (size_t i = 0; i < sizeof data; i++) data[i] = (char)(i * 11 + i / 257);
    fault_init();
    there_and_back();
    no_room();
    int sending = killed(true), receiving = killed(false);
    CHECK(sending == 6 && receiving == 6);
    interrupted();
    printf("messages: killed at %d steps of sending and %d of receiving\n", sending, receiving);
    return 0;
}
#else
int main(void) { return 0; }
#endif
