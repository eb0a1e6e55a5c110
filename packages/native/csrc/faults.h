/* faults.h: the test build's side of FAULT_POINT and FAULT_BRANCH (shared.h). */
#ifndef PROCESSION_FAULTS_H
#define PROCESSION_FAULTS_H

#include "shared.h"

#ifdef PROCESSION_FAULTS
void fault_init(void);
void fault_set(long k);                     /* dies at the k-th fault point from now; 0: never */
/* The next child to be forked gets the signal at its k-th fault point; k = 0: none does. */
void fault_set_in_child(long k, int signal_number);
/* From now the k-th window that is to be mapped here, and every later one, is refused; 0: none is. */
void fault_refuse(long k);
void fault_refuse_slots(bool on);           /* no slot is free for a child */
void fault_endless_slices(bool on);         /* sleepers look for deaths no more */
const char *fault_branch_name(int i);       /* NULL: no more */
uint64_t fault_branch_count(int i);
#endif

#endif
