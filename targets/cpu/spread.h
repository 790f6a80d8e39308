// Keeps the threads of a launch on CPUs of their own while they work, and leaves none of them bound.
#ifndef TG_SPREAD_H
#define TG_SPREAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { TG_SPREAD_CPUS = 1024 };

// One launch. The kernel may wake two of its threads on one CPU, be it because something spun on the other just then, and leave them there
// to the end. So every thread claims the CPU it runs on; one that finds it claimed by another moves to a CPU that nobody has claimed.
typedef struct tg_spread {
  int threads; // of the launch; 0: leave all where they are
  _Atomic uint64_t taken[TG_SPREAD_CPUS / 64];
} tg_spread;

// Whether this process's threads may be moved: not when the user has told OpenMP where they go.
bool tg_spread_allowed(void);
// Called by a thread that begins, with *home -1, and again by it now and then, with what the call before left there. On return the thread's
// affinity mask is what it was. Moves no thread out of its mask, and none whose mask has fewer CPUs than the launch has threads.
void tg_spread_here(tg_spread *spread, int *home);

#endif
