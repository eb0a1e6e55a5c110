/* faults.c: kills the process at its k-th store to shared memory, and counts repair branches.  Test builds only. */
#define _GNU_SOURCE
#include "faults.h"

#ifdef PROCESSION_FAULTS
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BRANCHES 128
struct branch { char name[56]; _Atomic uint64_t count; };
static struct branch *branches;             /* shared with the processes that are killed, so their counts survive */
static _Atomic long armed_at, passed;          /* threads pass fault points too */
static _Atomic bool armed;
static long armed_in_child;
static int armed_signal = SIGKILL;

/* Registered before the arena's handlers, so that their work in the child is counted. */
static void after_fork_in_child(void)
{
    if (armed_in_child) fault_set(armed_in_child);
    armed_in_child = 0;
}

void fault_init(void)
{
    if (branches) return;
    branches = mmap(NULL, BRANCHES * sizeof *branches, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_atfork(NULL, NULL, after_fork_in_child);
}

void fault_set(long k)
{
    armed_at = k;
    passed = 0;
    armed = k > 0;
}

void fault_set_in_child(long k, int signal_number)
{
    armed_in_child = k;
    armed_signal = k ? signal_number : SIGKILL;
}

static _Atomic long refused_at, mappings;
static _Atomic bool no_slot, endless;

void fault_refuse(long k)
{
    refused_at = k;
    mappings = 0;
}

bool fault_refused(void)
{
    long k = refused_at;
    return k > 0 && atomic_fetch_add_explicit(&mappings, 1, memory_order_relaxed) + 1 >= k;
}

void fault_refuse_slots(bool on) { no_slot = on; }
bool fault_no_slot(void) { return no_slot; }

void fault_endless_slices(bool on) { endless = on; }
uint64_t fault_slice(uint64_t ns) { return endless ? UINT64_MAX : ns; }

void fault_point(void)
{
    long now = atomic_fetch_add_explicit(&passed, 1, memory_order_relaxed) + 1;
    if (armed && now == armed_at) kill(getpid(), armed_signal);
}

void fault_branch(const char *name)
{
    if (!branches) return;
    for (int i = 0; i < BRANCHES; i++) {
        if (branches[i].name[0] == 0) strncpy(branches[i].name, name, sizeof branches[i].name - 1);
        if (strncmp(branches[i].name, name, sizeof branches[i].name - 1) == 0) {
            branches[i].count++;
            return;
        }
    }
}

const char *fault_branch_name(int i) { return branches && i < BRANCHES && branches[i].name[0] ? branches[i].name : NULL; }
uint64_t fault_branch_count(int i) { return branches[i].count; }
#endif
