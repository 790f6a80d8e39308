#include "targets/cpu/spread.h"

#include <sched.h>
#include <stdlib.h>

bool tg_spread_allowed(void) { return !getenv("OMP_PROC_BIND") && !getenv("OMP_PLACES") && !getenv("GOMP_CPU_AFFINITY"); }

#if defined(__linux__)
static bool claim(tg_spread *s, int cpu) {
  uint64_t bit = UINT64_C(1) << cpu % 64;
  return !(atomic_fetch_or(&s->taken[cpu / 64], bit) & bit);
}

static void let_go(tg_spread *s, int cpu) { atomic_fetch_and(&s->taken[cpu / 64], ~(UINT64_C(1) << cpu % 64)); }

static int claim_other(tg_spread *s, const cpu_set_t *mask) {
  for (int cpu = 0; cpu < TG_SPREAD_CPUS && cpu < CPU_SETSIZE; cpu++)
    if (CPU_ISSET(cpu, mask) && claim(s, cpu)) return cpu;
  return -1;
}

// Bound to one CPU the thread is moved there at once; with its mask given back it stays until the kernel has a reason to move it.
static void move(const cpu_set_t *mask, int cpu) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  if (!sched_setaffinity(0, sizeof one, &one)) sched_setaffinity(0, sizeof *mask, mask);
}

void tg_spread_here(tg_spread *s, int *home) {
  int cpu = s->threads > 1 ? sched_getcpu() : -1;
  if (cpu < 0 || cpu >= TG_SPREAD_CPUS || cpu == *home) return;
  if (claim(s, cpu)) {
    if (*home >= 0) let_go(s, *home);
    *home = cpu;
    return;
  }
  cpu_set_t mask;
  if (sched_getaffinity(0, sizeof mask, &mask) || CPU_COUNT(&mask) < s->threads) return;
  if (*home < 0) *home = claim_other(s, &mask);
  if (*home >= 0 && CPU_ISSET(*home, &mask)) move(&mask, *home);
}
#else
void tg_spread_here(tg_spread *s, int *home) { (void)s, (void)home; }
#endif
