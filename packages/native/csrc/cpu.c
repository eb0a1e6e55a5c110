/* cpu.c: see cpu.h. */
#define _GNU_SOURCE
#include "cpu.h"
#include "os.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool spins = true;

/* Once, when the core is loaded: later a thread of the program may be in the middle of setenv(). */
__attribute__((constructor)) static void look_for_wish(void)
{
    const char *wish = getenv("PROCESSION_SPIN");
    spins = wish == NULL || strcmp(wish, "0") != 0;
}

int cpus_usable(void)
{
    return spins ? os_cpus() : 1;
}
