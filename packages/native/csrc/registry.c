/* registry.c: slots, liveness, forks.  Format and rules: registry.h. */
#define _GNU_SOURCE
#include "registry.h"
#include "lockorder.h"
#include "refs.h"
#include "word.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* Who joins without a reserved slot locks the arena under this number, one at a time: the kernel serialises them on the
 * lease byte of the same number and releases it at their death. */
#define JOINING_SLOT REGISTRY_SLOTS

static inline uint64_t state_word(uint32_t state, uint32_t generation) { return (uint64_t)generation << 16 | state; }

struct slot *slot_at(struct arena *a, uint32_t index)
{
    return (struct slot *)((char *)a->h + REGISTRY_OFFSET) + index;
}

/* -- leases -------------------------------------------------------------------------------------------------- */

static int lease(struct arena *a, int command, short type, uint32_t byte, struct flock *l)
{
    memset(l, 0, sizeof *l);
    l->l_type = type;
    l->l_whence = SEEK_SET;
    l->l_start = byte;
    l->l_len = 1;
    int r;
    do r = fcntl(a->lease_fd, command, l);
    while (r < 0 && errno == EINTR && command == F_SETLKW);
    return r;
}

static void take_lease(struct arena *a, uint32_t slot)
{
    struct flock l;
    if (arena_lease_is_ours(a)) lease(a, F_SETLK, F_WRLCK, slot, &l);
}

static void drop_lease(struct arena *a, uint32_t slot)
{
    struct flock l;
    if (arena_lease_is_ours(a)) lease(a, F_SETLK, F_UNLCK, slot, &l);
}

static bool lease_held(struct arena *a, uint32_t slot)
{
    struct flock l;
    if (!arena_lease_is_ours(a)) return false;
    return lease(a, F_GETLK, F_WRLCK, slot, &l) == 0 && l.l_type != F_UNLCK;
}

/* -- the second witness -------------------------------------------------------------------------------------- */

static bool process_is_gone(struct arena *a, uint32_t pid, uint64_t registered_ns, bool attached)
{
    enum os_state state;
    uint64_t start;
    /* Gone; or it cannot be asked: no /proc here, or one that hides other users' processes, or no descriptor left to read
     * it with.  A free number is the only proof. */
    if (!os_process(pid, &state, &start)) return kill((pid_t)pid, 0) != 0 && errno == ESRCH;
    if (start > registered_ns && start - registered_ns > 2 * os_start_step_ns()) return true;      /* the number was given to somebody else */
    if (state == OS_ENDED) return !os_any_thread_runs(pid);
    /* Without the arena's file the process has called exec or is past its exit.  Not without any arena's: what it executes
     * may be a program that makes an arena of its own. */
    return attached && !os_maps_file(pid, a->file.inode);
}

uint32_t registry_stopped(struct arena *a, uint32_t owner)
{
    if (owner_slot(owner) >= REGISTRY_SLOTS) return 0;
    uint32_t pid = (uint32_t)SH_GET(&slot_at(a, owner_slot(owner))->pid);
    enum os_state state;
    uint64_t start;
    return pid && os_process(pid, &state, &start) && state == OS_STOPPED ? pid : 0;
}

static bool is_unclaimed(void *a, uint32_t pid)
{
    return registry_find_pid(a, pid) < 0 && !process_is_gone(a, pid, UINT64_MAX, true);
}

/* Whether some child of that process may still be inside fork(), on its way to a slot. */
static bool has_unclaimed_child(struct arena *a, uint32_t parent) { return os_some_child(parent, is_unclaimed, a); }

/* A slot made for a fork that is over in the parent, and claimed by nobody yet.  The kernel's lists of children may miss
 * one while others end, so they are read twice, and not before a child had time to claim. */
static bool may_be_claimed(struct arena *a, struct slot *s, uint32_t parent)
{
    uint64_t age = clock_boot_ns() - SH_GET(&s->registered_ns);
    if (age < CLAIM_TIME_NS || !registry_alive(a, owner_slot(parent), owner_generation16(parent))) return age < START_GRACE_NS;
    uint32_t pid = (uint32_t)SH_GET(&slot_at(a, owner_slot(parent))->pid);
    return has_unclaimed_child(a, pid) || has_unclaimed_child(a, pid);
}

static bool slot_owner_alive(struct arena *a, uint32_t index, uint64_t word)
{
    struct slot *s = slot_at(a, index);
    uint64_t pid = SH_GET(&s->pid);
    bool attached = slot_state(word) != SLOT_STARTING;
    if (attached && lease_held(a, index)) return true;
    if (pid == 0) {
        /* Not claimed yet; or claimed a moment ago, by one who has no lease or died before he wrote his pid. */
        uint32_t parent = (uint32_t)SH_GET(&s->parent);
        if (SH_GET(&s->forked)) return may_be_claimed(a, s, parent);
        if (clock_boot_ns() - SH_GET(&s->registered_ns) < START_GRACE_NS) return true;
        return !attached && registry_alive(a, owner_slot(parent), owner_generation16(parent));
    }
    if (!attached && lease_held(a, index)) return true;
    if (pid == a->pid) return true;
    return !process_is_gone(a, (uint32_t)pid, SH_GET(&s->registered_ns), attached);
}

bool registry_alive(struct arena *a, uint32_t slot, uint32_t generation16)
{
    /* Who has lost the witness file cannot judge who joins: rather wait than share the lock with him. */
    if (slot == JOINING_SLOT) return lease_held(a, slot) || !arena_lease_is_ours(a);
    if (slot > JOINING_SLOT) return false;
    uint64_t word = SH_GET(&slot_at(a, slot)->state);
    if (slot_generation(word) != generation16) return false;
    if (slot_state(word) == SLOT_FREE || slot_state(word) == SLOT_DEAD) return false;
    if (slot == a->self_slot && generation16 == (a->self_generation & 0xffff)) return true;
    return slot_owner_alive(a, slot, word);
}

/* -- slots --------------------------------------------------------------------------------------------------- */

static void set_name(struct slot *s, const char *name)
{
    size_t n = name ? strlen(name) : 0;
    if (n > sizeof s->name) n = sizeof s->name;
    uint64_t words[9] = { 0 };
    memcpy(words, name ? name : "", n);
    for (int i = 0; i < 9; i++) SH_SET(&s->name[i], words[i]);
    SH_SET(&s->name_length, n);
}

size_t slot_name(struct slot *s, char name[SLOT_NAME_MAX])
{
    uint64_t n = SH_GET(&s->name_length);
    for (int i = 0; i < 9; i++) {
        uint64_t word = SH_GET(&s->name[i]);
        memcpy(name + 8 * i, &word, 8);
    }
    return n < SLOT_NAME_MAX ? (size_t)n : SLOT_NAME_MAX;
}

void registry_set_name(struct arena *a, const char *name) { set_name(slot_at(a, a->self_slot), name); }

/* In a transaction: a free slot made ready, not yet in use.  AR_FULL. */
static int slot_take(struct arena *a, uint32_t *slot, uint32_t *generation)
{
    struct arena_header *h = a->h;
    uint32_t hint = (uint32_t)SH_PEEK(&h->registry_hint);
    for (uint32_t k = 0; k < REGISTRY_SLOTS; k++) {
        uint32_t i = (hint + k) % REGISTRY_SLOTS;
        struct slot *s = slot_at(a, i);
        uint64_t word = SH_PEEK(&s->state);
        if (slot_state(word) != SLOT_FREE) continue;
        uint32_t g = slot_generation(word) % 0xffff + 1;
        txn_set(a, &s->last_generation, slot_generation(word));
        txn_set(a, &s->last_pid, SH_PEEK(&s->pid));
        txn_set(a, &s->last_exit, SH_PEEK(&s->exit_status));
        txn_set(a, &s->pid, 0);
        txn_set(a, &s->exit_status, 0);
        txn_set(a, &s->ledger, 0);
        txn_set(a, &s->waits_for, 0);
        txn_set(a, &s->forked, 0);
        txn_set(a, &s->parent, a->self);
        txn_set(a, &s->registered_ns, clock_boot_ns());
        SH_SET(&s->bell, 0);
        /* Round robin: a slot rests as long as possible, so that its last owner's fate can still be told. */
        txn_set(a, &h->registry_hint, (i + 1) % REGISTRY_SLOTS);
        if (i >= SH_PEEK(&h->registry_high)) txn_set(a, &h->registry_high, i + 1);
        *slot = i;
        *generation = g;
        return AR_OK;
    }
    return AR_FULL;
}

static void become(struct arena *a, uint32_t slot, uint32_t generation)
{
    a->self_slot = slot;
    a->self_generation = generation;
    a->self = owner_word(slot, generation);
    a->pid = (uint32_t)getpid();
}

static int join_locked(struct arena *a, const char *name, uint32_t *slot, uint32_t *generation)
{
    if (!arena_begin(a)) return AR_NOMEM;
    int r = slot_take(a, slot, generation);
    if (r == AR_OK) {
        struct slot *s = slot_at(a, *slot);
        take_lease(a, *slot);
        txn_set(a, &s->pid, (uint64_t)getpid());
        txn_set(a, &s->parent, 0);
        txn_set(a, &s->state, state_word(SLOT_LIVE, *generation));
        arena_commit(a);
        set_name(s, name);
    }
    arena_end(a);
    return r;
}

int registry_join(struct arena *a, const char *name)
{
    struct flock l;
    uint32_t slot, generation;
    if (lease(a, F_SETLKW, F_WRLCK, JOINING_SLOT, &l) != 0) return AR_SYS;
    become(a, JOINING_SLOT, 1);
    int r = join_locked(a, name, &slot, &generation);
    a->self = 0;
    if (r == AR_OK) become(a, slot, generation);
    lease(a, F_SETLK, F_UNLCK, JOINING_SLOT, &l);
    return r;
}

int registry_reserve(struct arena *a, const char *name, uint32_t *slot, uint32_t *generation)
{
    if (!arena_begin(a)) return AR_NOMEM;
    int r = FAULT_NO_SLOT() ? AR_FULL : slot_take(a, slot, generation);
    if (r == AR_OK) {
        txn_set(a, &slot_at(a, *slot)->state, state_word(SLOT_STARTING, *generation));
        arena_commit(a);
        set_name(slot_at(a, *slot), name);
    }
    arena_end(a);
    if (r == AR_FULL && registry_sweep(a) > 0) return registry_reserve(a, name, slot, generation);
    return r;
}

int registry_take(struct arena *a, uint32_t slot, uint32_t generation)
{
    if (slot >= REGISTRY_SLOTS) return AR_GONE;
    struct slot *s = slot_at(a, slot);
    take_lease(a, slot);
    uint64_t expected = state_word(SLOT_STARTING, generation);
    if (!SH_CAS64(&s->state, &expected, state_word(SLOT_LIVE, generation))) {
        drop_lease(a, slot);
        return AR_GONE;
    }
    /* After the exchange: a slot that was given up may be another's by now.  Until the pid is there the lease speaks. */
    SH_SET(&s->registered_ns, clock_boot_ns());
    SH_SET(&s->pid, (uint64_t)getpid());
    become(a, slot, generation);
    return AR_OK;
}

/* Under the lock: what the slot's process held goes back, then the slot.  False: the slot is no longer what the caller
 * judged, because its process has claimed it (which needs no lock). */
static bool give_back(struct arena *a, uint32_t slot, uint64_t word)
{
    struct slot *s = slot_at(a, slot);
    if (slot_state(word) == SLOT_DEAD) FAULT_BRANCH("registry: finished another's giving back");
    else if (!SH_CAS64(&s->state, &word, state_word(SLOT_DEAD, slot_generation(word)))) return false;
    ref_release_slot(a, slot);
    txn_set(a, &s->waits_for, 0);
    txn_set(a, &s->last_death_ns, clock_ns());
    txn_set(a, &s->state, state_word(SLOT_FREE, slot_generation(word)));
    arena_commit(a);
    return true;
}

void registry_started(struct arena *a, uint32_t slot, uint32_t generation, uint32_t pid)
{
    struct slot *s = slot_at(a, slot);
    if (!arena_begin(a)) return;
    /* It may have attached already, or even ended and been reaped.  The time first: who started later than it is another.
     * No transaction: an undo would take away what the child itself writes there. */
    uint64_t word = SH_GET(&s->state);
    if (slot_generation(word) == generation && (slot_state(word) == SLOT_STARTING || slot_state(word) == SLOT_LIVE) && SH_PEEK(&s->pid) == 0) {
        uint64_t nobody = 0;
        SH_SET(&s->registered_ns, clock_boot_ns());
        SH_CAS64(&s->pid, &nobody, pid);
    }
    arena_end(a);
}

void registry_cancel(struct arena *a, uint32_t slot, uint32_t generation)
{
    if (!arena_begin(a)) return;
    uint64_t word = SH_PEEK(&slot_at(a, slot)->state);
    if (word == state_word(SLOT_STARTING, generation)) give_back(a, slot, word);
    arena_end(a);
}

static bool release_own(struct arena *a, struct slot *s)
{
    if (!arena_begin(a)) return false;
    ref_release_slot(a, a->self_slot);
    txn_set(a, &s->waits_for, 0);
    txn_set(a, &s->last_death_ns, clock_ns());
    arena_end(a);
    return true;
}

void registry_leave(struct arena *a)
{
    /* The slot stays LIVE while its number is in the word of the lock: one that is DEAD or FREE has lost it, and a sleeper
     * would take the lock over from us. */
    struct slot *s = slot_at(a, a->self_slot);
    uint64_t word = state_word(SLOT_LIVE, a->self_generation);
    bool given_back = release_own(a, s);
    drop_lease(a, a->self_slot);
    /* Where memory was refused, others notice our death. */
    if (given_back) SH_CAS64(&s->state, &word, state_word(SLOT_FREE, a->self_generation));
    a->self = 0;
    refs_free_private(a);
}

bool registry_reap(struct arena *a, uint32_t slot, uint32_t generation16)
{
    /* Judged is the state that stands there now: a child may claim its slot while we look at its pid. */
    uint64_t judged = SH_GET(&slot_at(a, slot)->state), word;
    if (registry_alive(a, slot, generation16)) return false;
    bool dead = true;
    if (!arena_begin(a)) return false;
    word = SH_GET(&slot_at(a, slot)->state);
    if (slot_generation(word) == generation16 && slot_state(word) != SLOT_FREE)
        dead = (word == judged || slot_state(word) == SLOT_DEAD) && give_back(a, slot, word);
    arena_end(a);
    return dead;
}

int registry_sweep(struct arena *a)
{
    int n = 0;
    uint32_t high = (uint32_t)SH_GET(&a->h->registry_high);
    for (uint32_t i = 0; i < high; i++) {
        uint64_t word = SH_GET(&slot_at(a, i)->state);
        if (slot_state(word) == SLOT_FREE || i == a->self_slot) continue;
        if (registry_reap(a, i, slot_generation(word))) n++;
        else if (arena_stopped_owner()) break;      /* each of the others would wait as long for it */
    }
    return n;
}

bool registry_alone(struct arena *a, aoff payload)
{
    struct block_header *b = block_header(a, payload);
    if (SH_GET(&b->refs) > 1) registry_sweep(a);
    return SH_GET(&b->refs) <= 1;
}

int registry_find_pid(struct arena *a, uint32_t pid)
{
    uint32_t high = (uint32_t)SH_GET(&a->h->registry_high);
    for (uint32_t i = 0; i < high; i++) {
        struct slot *s = slot_at(a, i);
        uint32_t state = slot_state(SH_GET(&s->state));
        if ((state == SLOT_LIVE || state == SLOT_STARTING) && SH_GET(&s->pid) == pid) return (int)i;
    }
    return -1;
}

void registry_note_exit(struct arena *a, uint32_t pid, int status)
{
    /* Twice, for one that died on its way from a slot to another. */
    for (volatile int look = 0; look < 2; look++) {
        int i = registry_find_pid(a, pid);
        if (i < 0 || pid == a->pid) return;
        struct slot *s = slot_at(a, (uint32_t)i);
        SH_SET(&s->exit_status, (uint64_t)1 << 32 | (uint32_t)status);
        if (!arena_begin(a)) return;
        uint64_t word = SH_PEEK(&s->state);
        if (SH_PEEK(&s->pid) == pid && slot_state(word) != SLOT_FREE) give_back(a, (uint32_t)i, word);
        arena_end(a);
    }
}

static int lend_all(struct arena *a, uint32_t slot, uint32_t generation)
{
    if (slot >= REGISTRY_SLOTS) return AR_GONE;
    if (!a->self) return AR_GONE;
    if (!arena_begin(a)) return AR_NOMEM;
    int r = SH_GET(&slot_at(a, slot)->state) == state_word(SLOT_STARTING, generation) ? ref_lend_all(a, slot) : AR_GONE;
    arena_end(a);
    return r;
}

int registry_move(struct arena *a, uint32_t slot, uint32_t generation)
{
    uint32_t former = a->self_slot, former_generation = a->self_generation;
    int r = lend_all(a, slot, generation);
    if (r == AR_OK) r = registry_take(a, slot, generation);
    if (r != AR_OK) return r;
    ref_after_fork_child(a);
    /* Without memory for the table of what we hold the former slot stays, and keeps it. */
    if (!a->refs || !arena_begin(a)) return AR_OK;
    give_back(a, former, state_word(SLOT_LIVE, former_generation));
    arena_end(a);
    drop_lease(a, former);
    return AR_OK;
}

/* -- forks --------------------------------------------------------------------------------------------------- */

static _Thread_local struct { uint32_t slot, generation; bool set; } coming;     /* asked for by registry_fork_uses */
static struct { uint32_t slot, generation; bool ready, copied; } forking;        /* guarded by the private mutex */
static _Thread_local struct { uint32_t slot, generation; bool set, whole; } forked = { .whole = true };   /* this thread's last fork */

void registry_fork_uses(uint32_t slot, uint32_t generation)
{
    coming.slot = slot;
    coming.generation = generation;
    coming.set = true;
}

/* The arena lock goes, the private mutex stays until the fork is over: see arena.h. */
static bool copy_references(struct arena *a, bool ready, uint32_t slot)
{
    if (!ready || !arena_begin(a)) {
        pthread_mutex_lock(&a->private_mutex);
        return false;
    }
    bool copied = ref_copy_ledger(a, slot) == AR_OK;
    arena_end_before_fork(a);
    return copied;
}

static void prepare_child(void)
{
    struct arena *a = process_arena;
    if (!a || !a->self) return;
    bool ready = coming.set;
    uint32_t slot = coming.slot, generation = coming.generation;
    coming.set = false;
    if (!ready) ready = registry_reserve(a, "", &slot, &generation) == AR_OK;
    bool copied = copy_references(a, ready, slot);
    pthread_mutex_lock(&a->map_mutex);
    forking.slot = slot;
    forking.generation = generation;
    forking.ready = ready;
    forking.copied = copied;
}

static void before_fork(void)
{
    prepare_child();
    os_before_fork();
}

static void after_fork_parent(void)
{
    os_after_fork_parent();
    struct arena *a = process_arena;
    if (!a || !a->self) return;
    forked.slot = forking.slot;
    forked.generation = forking.generation;
    forked.set = forking.ready;
    forked.whole = forking.ready && forking.copied;
    /* From here on the child is there, or never will be: see may_be_claimed. */
    if (forking.ready) SH_SET(&slot_at(a, forking.slot)->forked, 1);
    pthread_mutex_unlock(&a->map_mutex);
    pthread_mutex_unlock(&a->private_mutex);
}

bool registry_forked(struct arena *a, uint32_t pid)
{
    bool whole = forked.whole;
    if (forked.set) registry_started(a, forked.slot, forked.generation, pid);
    forked.set = false;
    forked.whole = true;
    return whole;
}

/* The child's slot, where one was ready that it cannot use. */
static void leave_slot(struct arena *a)
{
    if (!forking.ready || !a->self) return;
    uint64_t word = state_word(SLOT_LIVE, forking.generation);
    SH_CAS64(&slot_at(a, forking.slot)->state, &word, state_word(SLOT_DEAD, forking.generation));
    drop_lease(a, forking.slot);
}

static void after_fork_child(void)
{
    os_after_fork_child();
    struct arena *a = process_arena;
    if (!a || !a->self) return;
    pthread_mutex_init(&a->map_mutex, NULL);
    pthread_mutex_init(&a->private_mutex, NULL);
    spin_reset_after_fork(a);
    a->self = 0;
    forked.set = false;
    if (forking.ready && registry_take(a, forking.slot, forking.generation) == AR_OK && forking.copied)
        ref_after_fork_child(a);
    else {
        /* No slot could be had for us, or no memory for our references; or we were stopped for so long that all was given
         * up: nothing keeps what our handles name. */
        FAULT_BRANCH("fork: severed");
        leave_slot(a);
        arena_sever(a);
    }
}

void registry_watch_forks(void)
{
    static bool watching;
    if (!watching) pthread_atfork(before_fork, after_fork_parent, after_fork_child);
    watching = true;
}
