// Threads of a launch that share a CPU move apart, inside their affinity mask, which they keep.
#include <sched.h>
#include <stdlib.h>

#include "targets/cpu/spread.h"

#include "test.h"

static cpu_set_t all;

static void claim_all_but(tg_spread *s, int free) {
  for (int i = 0; i < TG_SPREAD_CPUS / 64; i++) s->taken[i] = ~UINT64_C(0);
  if (free >= 0) s->taken[free / 64] = ~(UINT64_C(1) << free % 64);
}

static bool mask_is(const cpu_set_t *want) {
  cpu_set_t now;
  return !sched_getaffinity(0, sizeof now, &now) && CPU_EQUAL(&now, want);
}

static void moves_to_the_free_one(void) {
  for (int cpu = 0; cpu < CPU_SETSIZE && cpu < TG_SPREAD_CPUS; cpu++) {
    if (!CPU_ISSET(cpu, &all)) continue;
    int there = 0;
    for (int i = 0; i < 20; i++) { // the kernel may move the thread on between the two calls, but not every time
      tg_spread s = {.threads = 2};
      int home = -1;
      claim_all_but(&s, cpu);
      tg_spread_here(&s, &home);
      there += sched_getcpu() == cpu;
      CHECKF(home == cpu, "home is %d, not %d", home, cpu);
      CHECK(mask_is(&all));
      CHECK(s.taken[cpu / 64] == ~UINT64_C(0));
    }
    CHECKF(there > 0, "never ran on CPU %d", cpu);
  }
}

// What a thread holds is let go when the kernel has moved it to a CPU that nobody claimed, and returned to when somebody had.
static void follows_or_returns(void) {
  int first = -1, second = -1;
  for (int cpu = 0; cpu < CPU_SETSIZE && cpu < TG_SPREAD_CPUS; cpu++)
    if (CPU_ISSET(cpu, &all)) second = first, first = cpu;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  tg_spread s = {.threads = 2};
  int home = second;
  s.taken[second / 64] = UINT64_C(1) << second % 64;
  CHECK(!sched_setaffinity(0, sizeof one, &one));
  tg_spread_here(&s, &home);
  CHECK(home == first && s.taken[first / 64] == UINT64_C(1) << first % 64 && (first / 64 == second / 64 || !s.taken[second / 64]));

  s = (tg_spread){.threads = 2};
  home = second;
  claim_all_but(&s, -1);
  CHECK(!sched_setaffinity(0, sizeof all, &all)); // still on `first`, most likely
  tg_spread_here(&s, &home);
  CHECK(home == second && mask_is(&all));
}

static void leaves_alone(void) {
  tg_spread s = {.threads = 2};
  int home = -1;
  claim_all_but(&s, -1);
  tg_spread_here(&s, &home); // no CPU is free
  CHECK(home == -1 && mask_is(&all));
  s.threads = CPU_COUNT(&all) + 1;
  claim_all_but(&s, 0);
  tg_spread_here(&s, &home); // more threads than CPUs
  CHECK(home <= 0 && mask_is(&all));
  s.threads = 0;
  home = -1;
  tg_spread_here(&s, &home);
  CHECK(home == -1);
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(sched_getcpu(), &one);
  CHECK(!sched_setaffinity(0, sizeof one, &one));
  s.threads = 2;
  claim_all_but(&s, -1);
  tg_spread_here(&s, &home); // a mask of one CPU
  CHECK(home == -1 && mask_is(&one));
  CHECK(!sched_setaffinity(0, sizeof all, &all));
}

static void asks_the_user(void) {
  const char *const names[] = {"OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY"};
  for (int i = 0; i < 3; i++) unsetenv(names[i]);
  CHECK(tg_spread_allowed());
  for (int i = 0; i < 3; i++) {
    setenv(names[i], "false", 1);
    CHECK(!tg_spread_allowed());
    unsetenv(names[i]);
  }
}

int main(void) {
  asks_the_user();
  if (sched_getaffinity(0, sizeof all, &all) || CPU_COUNT(&all) < 2) return test_done();
  moves_to_the_free_one();
  follows_or_returns();
  leaves_alone();
  return test_done();
}
