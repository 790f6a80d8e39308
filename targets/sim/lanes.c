// Lane functions for every processor, and the choice.
#define SIM_LANES sim_lanes_any
#include "targets/sim/lanes.inc"

const sim_lanes *sim_lanes_here(void) {
#ifdef TG_SIM_V3
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return &sim_lanes_v3;
#endif
  return &sim_lanes_any;
}
