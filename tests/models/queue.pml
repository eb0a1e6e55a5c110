/* A queue of chunks under two locks (queue.h): commit words, hand-over to a new chunk, deaths of producers and consumers.
 *
 * Producers put PUTS messages each, consumers take until all is taken; a chunk holds CAPACITY messages, so chunks are linked
 * and freed all the time.  Any process may be killed between two steps; its locks are then taken over.  Checked in every
 * interleaving: what a consumer returns was committed, in order, each message once; a freed chunk is never touched; at the
 * end as many messages have been taken as were committed.  NO_RECOVERY and NO_SECOND_LOOK leave out two steps of the
 * protocol, which the model must then find missing.
 *
 * A message is its producer's number and its place.  `consumed` advances by one store after the copy: a consumer that dies
 * before it has taken nothing, one that dies after it has taken the message with it.
 */
#ifndef PRODUCERS
#define PRODUCERS 2
#endif
#ifndef CONSUMERS
#define CONSUMERS 2
#endif
#ifndef PUTS
#define PUTS 2
#endif
#ifndef KILLS
#define KILLS 1
#endif
#define CAPACITY 1
#define TOTAL (PRODUCERS * PUTS)
#define CHUNKS (TOTAL + 2)
#define PROCESSES (PRODUCERS + CONSUMERS)
#define NONE 255

byte put_lock = 0, get_lock = 0, arena_lock = 0;      /* 0 free, else process + 1 */
bit dead[PROCESSES];
byte kills = 0;

byte data[CHUNKS];                                    /* CAPACITY is 1: one cell a chunk */
byte base[CHUNKS], committed[CHUNKS], consumed[CHUNKS], next[CHUNKS];
bit freed[CHUNKS];
byte head = 0, tail = 0, fresh = 1;
/* The transaction log of the arena lock, as far as the queue uses it. */
bit log_committed = 0;
byte log_old = NONE, log_new = NONE, log_head = NONE, log_freed = NONE;

byte taken = 0, order = 0, running = PRODUCERS;

#define MAYBE_DIE  if :: kills < KILLS -> atomic { kills++; dead[me] = 1 }; goto gone :: true fi

#define LOCK(word) \
    atomic { (word == 0 || dead[word - 1]); word = me + 1 }

/* The arena lock's next owner finishes or forgets what a dead one has left. */
#define ARENA_LOCK \
    LOCK(arena_lock); \
    if :: log_committed -> \
            d_step { if :: log_new != NONE -> next[log_old] = log_new; tail = log_new :: else fi; \
                     if :: log_head != NONE -> head = log_head :: else fi } \
       :: else fi; \
    d_step { log_committed = 0; log_old = NONE; log_new = NONE; log_head = NONE; \
             if :: log_freed != NONE -> freed[log_freed] = (head != log_freed); log_freed = NONE :: else fi }

/* What queue_lock() does after a take-over; harmless without one. */
#ifdef NO_RECOVERY
#define RECOVER skip
#else
#define RECOVER ARENA_LOCK; arena_lock = 0
#endif
#ifdef NO_SECOND_LOOK
#define SECOND_LOOK 1
#else
#define SECOND_LOOK (committed[c] == consumed[c])
#endif

#define SEEN(c) assert(!freed[c])

proctype producer(byte me)
{
    byte k = 0, c, n;
    do
    :: k < PUTS ->
        MAYBE_DIE;
        LOCK(put_lock);
        MAYBE_DIE;
        RECOVER;
        c = tail;
        SEEN(c);
        if :: committed[c] == CAPACITY ->
                MAYBE_DIE;
                ARENA_LOCK;
                d_step { n = fresh; fresh++; base[n] = base[c] + CAPACITY; next[n] = NONE };
                log_old = c;
                MAYBE_DIE;
                log_new = n;
                MAYBE_DIE;
                log_committed = 1;                    /* decides */
                MAYBE_DIE;
                next[c] = n;
                MAYBE_DIE;
                tail = n;
                MAYBE_DIE;
                d_step { log_committed = 0; log_old = NONE; log_new = NONE };
                MAYBE_DIE;
                arena_lock = 0;
                c = n
           :: else fi;
        MAYBE_DIE;
        data[c] = base[c] + committed[c];
        MAYBE_DIE;
        committed[c] = committed[c] + 1;              /* the message is there */
        MAYBE_DIE;
        put_lock = 0;
        k++
    :: else -> break
    od;
gone:
    atomic { running-- }
}

proctype consumer(byte me)
{
    byte c, n, message;
    bit got;
    do
    :: true ->
        MAYBE_DIE;
        LOCK(get_lock);
        MAYBE_DIE;
        RECOVER;
        got = 0;
look:
        c = head;
        SEEN(c);
        if :: committed[c] == consumed[c] ->
                n = next[c];
                if :: n != NONE && SECOND_LOOK ->     /* read again: the last commit came before the link */
                        MAYBE_DIE;
                        ARENA_LOCK;
                        log_freed = c;
                        freed[c] = 1;
                        MAYBE_DIE;
                        log_head = n;
                        log_committed = 1;
                        MAYBE_DIE;
                        head = n;
                        MAYBE_DIE;
                        d_step { log_committed = 0; log_head = NONE; log_freed = NONE };
                        MAYBE_DIE;
                        arena_lock = 0;
                        goto look
                   :: else fi
           :: else ->
                message = data[c];
                MAYBE_DIE;
                assert(message == base[c] + consumed[c]);
                d_step { assert(message == order); order++; consumed[c] = consumed[c] + 1; got = 1; taken++ };
                MAYBE_DIE
        fi;
        get_lock = 0;
        if :: !got && running == 0 && (get_lock == 0 || dead[get_lock - 1]) ->
                if :: committed[tail] == consumed[tail] && head == tail -> break :: else fi
           :: else fi
    od;
gone:
    skip
}

byte i = 0, commits;
init
{
    d_step { do :: i < CHUNKS -> next[i] = NONE; i++ :: else -> break od; i = 0 };
    atomic {
        do :: i < PRODUCERS -> run producer(i); i++ :: else -> break od;
        do :: i < PROCESSES -> run consumer(i); i++ :: else -> break od
    };
    _nr_pr == 1;
    /* No message is lost but those that dead producers never committed. */
    d_step {
        /* A death inside the last transaction is repaired by whoever locks next. */
        if :: log_committed && log_new != NONE -> next[log_old] = log_new; tail = log_new :: else fi
    };
    commits = base[tail] + committed[tail];
    assert(kills > 0 || commits == TOTAL);
    assert(commits >= TOTAL - PUTS * kills);
    assert(taken == commits || kills >= CONSUMERS)
}
