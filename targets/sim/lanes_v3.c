// Lane functions for x86-64 with AVX2 and FMA; compiled with these options (CMakeLists.txt), nothing elsewhere.
#ifdef TG_SIM_V3
#define SIM_LANES sim_lanes_v3
#include "targets/sim/lanes.inc"
#else
typedef int sim_lanes_v3_absent; // a file may not be empty
#endif
