/* Long messages in pieces: order, waiting, and the other side's end or death. */
#define _GNU_SOURCE
#include "../registry.h"
#include "../stream.h"
#include "check.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE (STREAM_PIECE * 11 + 12345)

static struct arena *A;
static char *data, *got;

static int not_gone(int fd) { return fd < 0 ? 1 : 0; }

static struct stream *make(aoff *block)
{
    bool clean = false;
    *block = ref_new_raw(A, STREAM_BLOCK, KIND_BLOCK, &clean);
    CHECK(*block);
    struct stream *s = block_map(A, *block);
    CHECK(s);
    stream_init(A, s, SIZE, 6);
    return s;
}

static int write_all(aoff block, struct stream *s)
{
    int rc, alones = 0;
    do rc = stream_write(A, block, s, data, not_gone, 0, &alones); while (rc == AR_INTR);
    return rc;
}

static int read_all(struct stream *s)
{
    int rc;
    stream_begin_read(A, s);
    do rc = stream_read(A, s, got); while (rc == AR_INTR);
    return rc;
}

int main(void)
{
    CHECK((data = malloc(SIZE)) && (got = malloc(SIZE)));
    for (size_t i = 0; i < SIZE; i++) data[i] = (char)(i * 7 + i / 4099);
    CHECK(arena_ensure() == AR_OK);
    A = process_arena;
    aoff block;
    for (int writer_is_child = 0; writer_is_child < 2; writer_is_child++) {
        struct stream *s = make(&block);
        memset(got, 0, SIZE);
        int pid = fork(), status;
        if (pid == 0) {
            s = block_map(A, block);
            if (writer_is_child) SH_SET(&s->sender, A->self);
            _exit(writer_is_child ? write_all(block, s) : read_all(s) || memcmp(got, data, SIZE) != 0);
        }
        if (writer_is_child) {
            while (SH_GET(&s->written) == 0) usleep(100);
            CHECK(read_all(s) == AR_OK && memcmp(got, data, SIZE) == 0);
        } else {
            CHECK(write_all(block, s) == AR_OK);
        }
        CHECK(waitpid(pid, &status, 0) == pid && status == 0);
        ref_close(A, block);
    }
    /* The reader is killed, after and before it has said who it is; and gives up. */
    for (int early = 0; early < 2; early++) {
        struct stream *s = make(&block);
        int pid = fork(), status;
        if (pid == 0) {
            if (!early) stream_begin_read(A, block_map(A, block));
            raise(SIGKILL);
        }
        CHECK(waitpid(pid, &status, 0) == pid);
        CHECK(write_all(block, s) == AR_OK && SH_GET(&s->written) == STREAM_PIECES);
        ref_close(A, block);
    }
    struct stream *s = make(&block);
    stream_give_up(s, true);
    CHECK(write_all(block, s) == AR_OK);
    ref_close(A, block);
    /* The sender gives up, and is killed. */
    s = make(&block);
    stream_give_up(s, false);
    CHECK(read_all(s) == AR_PEER_DIED);
    ref_close(A, block);
    s = make(&block);
    int pid = fork(), status;
    if (pid == 0) {
        s = block_map(A, block);
        SH_SET(&s->sender, A->self);
        write_all(block, s);
        _exit(1);
    }
    while (SH_GET(&s->written) < STREAM_PIECES) usleep(100);
    kill(pid, SIGKILL);
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(read_all(s) == AR_PEER_DIED && memcmp(got, data, STREAM_PIECE * STREAM_PIECES) == 0);
    ref_close(A, block);
    CHECK(heap_check(A) == NULL);
    free(data);
    free(got);
    puts("test_stream: ok");
    return 0;
}
