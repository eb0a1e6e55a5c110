/* channel.c: rings, claims and wake-ups of the pool's channels; channel.h has the formats and their rules. */
#define _GNU_SOURCE
#include "channel.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

void channel_format(struct channel *c, uint32_t task_size, uint32_t result_size)
{
    memset(c, 0, CHANNEL_HEADER);
    SH_INIT(&c->task_size, task_size);
    SH_INIT(&c->result_size, result_size);
    SH_INIT(&c->version, CHANNEL_VERSION);
    SH_SET(&c->magic, CHANNEL_MAGIC);
}

const char *channel_check(const struct channel *shared, uint64_t bytes)
{
    struct channel *c = (struct channel *)shared;
    if (bytes < CHANNEL_HEADER || SH_GET(&c->magic) != CHANNEL_MAGIC) return "this memory holds no channel";
    if (SH_PEEK(&c->version) != CHANNEL_VERSION) return "the channel has another layout version";
    if ((uint64_t)SH_PEEK(&c->task_size) + SH_PEEK(&c->result_size) + CHANNEL_HEADER > bytes)
        return "the channel's rings are larger than its memory";
    return NULL;
}

char *ring_reserve(char *ring, uint32_t ring_size, uint64_t *head, uint64_t tail, uint32_t size)
{
    uint32_t at = (uint32_t)(*head % ring_size);
    uint32_t to_end = ring_size - at;
    uint64_t used = *head - tail;
    if (size <= to_end) return used + size <= ring_size ? ring + at : NULL;
    if (used + to_end + size > ring_size) return NULL;
    struct record *pad = (struct record *)(ring + at);
    pad->size = to_end;
    pad->kind = RECORD_PAD;
    *head += to_end;
    return ring;
}

struct record *ring_peek(char *ring, uint32_t ring_size, uint64_t head, uint64_t *tail)
{
    while (*tail != head) {
        struct record *r = (struct record *)(ring + *tail % ring_size);
        if (r->kind != RECORD_PAD) return r;
        *tail += r->size;
    }
    return NULL;
}

int64_t batch_claim(struct batch *b)
{
    uint64_t word = SH_GET(&b->claim);
    for (;;) {
        uint32_t next = (uint32_t)word, limit = (uint32_t)(word >> 32);
        if (next >= limit) return -1;
        if (SH_CAS64(&b->claim, &word, word + 1)) return next;
    }
}

uint64_t batch_cut(struct batch *b, uint32_t wanted)
{
    uint64_t word = SH_GET(&b->claim);
    for (;;) {
        uint32_t next = (uint32_t)word, limit = (uint32_t)(word >> 32);
        uint32_t lower = wanted < next ? next : wanted;
        if (lower >= limit) return word;
        uint64_t cut = (uint64_t)lower << 32 | next;
        if (SH_CAS64(&b->claim, &word, cut)) return cut;
    }
}

static bool ring(const struct pool_bell *bell)
{
    uint64_t one = 1;
    if (!identity_is(bell->fd, bell->file)) return false;
    while (write(bell->fd, &one, sizeof one) < 0)
        if (errno != EINTR) return errno == EAGAIN;     /* full: it has been rung */
    return true;
}

bool hub_ring(struct hub *h, const struct pool_bell *bell, bool idle)
{
    SH_FENCE(); /* our commit before this look; pairs with the fence after leader_mode and super_mode are set */
    uint32_t mode = SH_GET(&h->leader_mode);
    while (mode != WAKE_NEVER) {
        /* Whoever waits collects everything, so the pool's own thread need not wake. */
        if (mode == WAKE_AWAKE || (mode == WAKE_IDLE && !idle)) return true;
        if (SH_CAS32(&h->leader_mode, &mode, WAKE_AWAKE)) {
            hub_ring_leader(h);
            return true;
        }
    }
    mode = SH_GET(&h->super_mode);
    if (mode == WAKE_ALWAYS || (mode == WAKE_IDLE && idle))
        if (SH_SWAP(&h->super_rung, 1) == 0 && !ring(bell)) {
            SH_SET(&h->super_rung, 0);      /* for the others */
            return false;
        }
    return true;
}

unsigned forks_behind;

static void count_fork(void) { forks_behind++; }

void forks_watch(void)
{
    static bool watching;
    if (!watching) watching = pthread_atfork(NULL, NULL, count_fork) == 0;
}

void hub_ring_leader(struct hub *h)
{
    SH_ADD(&h->leader_bell, 1);
    os_wake(&h->leader_bell, 1);
}
