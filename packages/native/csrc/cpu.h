/* cpu.h: the processors that this process may use, and waiting on one of them. */
#ifndef PROCESSION_CPU_H
#define PROCESSION_CPU_H

/* How many; 1 also where PROCESSION_SPIN is 0 in the environment, so that nobody spins. */
int cpus_usable(void);

static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

#endif
