/* An owned lock word (word.h, word.c): owner death, the waiter flag, time slices.
 *
 * N processes acquire and release one lock, ROUNDS times; each may be killed between any two of its steps that touch shared
 * memory.  Checked in every interleaving: mutual exclusion; a dead owner is noticed by one process at most for each death;
 * no survivor waits for ever (no invalid end state).
 *
 * The word is split into owner and flag; each d_step below is one atomic instruction or system call of the program.  A
 * sleeper is one whose bit in `asleep` is set; wake(1) clears one of them.  TIMED says whether sleepers wake by themselves
 * at the end of their slices: without it the model must find the wake-up that dies with its sender (see run_models.py).
 */
#ifndef N
#define N 3
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif
#ifndef KILLS
#define KILLS 1
#endif
#ifndef TIMED
#define TIMED 1
#endif

byte owner = 0;              /* 0 free, else process + 1 */
bit flag = 0;                /* somebody may sleep */
bit asleep[N];
bit dead[N];
byte kills = 0;
byte inside = 0;             /* living processes that believe to own it */
byte reports = 0;            /* OwnerDiedError raised */
byte died_holding = 0;

#define MAYBE_DIE  if :: kills < KILLS -> atomic { kills++; dead[me] = 1; \
                        if :: owner == me + 1 -> died_holding++ :: else fi; \
                        if :: held -> inside-- :: else fi }; goto gone \
                      :: true fi

proctype user(byte me)
{
    bit held = 0, mine = 0, seen_flag;
    byte seen, rounds = 0, k;
again:
    MAYBE_DIE;
    d_step {                                          /* olock_fast, or the exchange of the slow path */
        seen = owner; seen_flag = flag;
        if :: owner == 0 && (mine || !flag) -> owner = me + 1; flag = flag || mine; held = 1; inside++
           :: owner == 0 && flag && !mine -> owner = me + 1; flag = 0; held = 1; inside++
           :: else fi
    };
    if :: held -> goto critical :: else fi;
    MAYBE_DIE;
    if :: !seen_flag ->
            d_step { if :: owner == seen && flag == 0 -> flag = 1; seen_flag = 1 :: else fi };
            if :: !seen_flag -> goto again :: else fi
       :: else fi;
    MAYBE_DIE;
    d_step { if :: owner == seen && flag == 1 -> asleep[me] = 1 :: else fi };      /* futex_wait */
    mine = 1;
    if :: asleep[me] ->
            if :: asleep[me] == 0 -> skip             /* woken */
               :: TIMED && asleep[me] && kills > 0 -> asleep[me] = 0               /* the slice is over */
               :: kills < KILLS -> atomic { kills++; dead[me] = 1; asleep[me] = 0 }; goto gone
            fi
       :: else fi;
    MAYBE_DIE;
    /* the look at the owner: registry_alive, then an exchange */
    if :: seen != 0 && dead[seen - 1] ->
            d_step { if :: owner == seen && flag == 1 -> owner = me + 1; held = 1; inside++; reports++ :: else fi };
            if :: held -> goto critical :: else fi
       :: else fi;
    goto again;
critical:
    assert(inside <= 1);
    MAYBE_DIE;
    assert(inside == 1 && owner == me + 1);
    d_step {                                          /* the exchange by 0: seen_flag is what stood there */
        seen_flag = flag; owner = 0; flag = 0; held = 0; inside--
    };
    MAYBE_DIE;
    if :: seen_flag ->                                /* futex_wake(1) */
            d_step { k = 0;
                     do :: k < N && !asleep[k] -> k++
                        :: k < N && asleep[k] -> asleep[k] = 0; break
                        :: k == N -> break od }
       :: else fi;
    rounds++;
    mine = 0;
    if :: rounds < ROUNDS -> goto again :: else fi;
gone:
    skip
}

init
{
    byte i = 0;
    atomic { do :: i < N -> run user(i); i++ :: else -> break od };
    _nr_pr == 1;
    assert(reports <= died_holding);
    assert(owner == 0 || dead[owner - 1]);
}
