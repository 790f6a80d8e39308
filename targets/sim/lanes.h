// Functions that 32 lanes go through, compiled twice: for every processor, and for those of x86-64-v3 (AVX2, FMA).
#ifndef TG_SIM_LANES_H
#define TG_SIM_LANES_H

#include "targets/sim/sim.h"

typedef struct sim_alu_row {
  const char *keys;           // separated by blanks
  uint8_t nsources, bytes[5]; // of the result and of each source
  sim_lane_fn *run;
} sim_alu_row;

typedef enum sim_set { // lane functions that are chosen by decoders rather than by key
#define LANE(id, doc) SIM_LANE_##id,
#include "targets/sim/lanes.def"
#undef LANE
  SIM_NLANES
} sim_set;

typedef struct sim_lanes {
  const sim_alu_row *alu; // ends with keys NULL
  sim_lane_fn *const *lane;
  // D = A·B + C of one mma, floats row by row: d[16][8], a[16][k], b[k][8]; sums in the order of k, each rounded to f32.
  void (*mma)(float *d, const float *a, const float *b, int k);
  // The same of a warp's rows of a wgmma: d[16][n], a[16][k], b[k][n], n a multiple of 8.
  void (*product)(float *d, const float *a, const float *b, int n, int k);
} sim_lanes;

extern const sim_lanes sim_lanes_any, sim_lanes_v3;
const sim_lanes *sim_lanes_here(void); // those for this processor

// Comparisons of setp and set (ISA 9.3.1), in sim_instr.select.
typedef enum sim_compare {
  SIM_EQ,
  SIM_NE,
  SIM_LT,
  SIM_LE,
  SIM_GT,
  SIM_GE,
  SIM_EQU,
  SIM_NEU,
  SIM_LTU,
  SIM_LEU,
  SIM_GTU,
  SIM_GEU,
  SIM_NUM,
  SIM_NAN,
  SIM_NCOMPARES
} sim_compare;
typedef enum sim_bool { SIM_NO_BOOL, SIM_AND, SIM_OR, SIM_XOR } sim_bool; // in sim_instr.mode

#endif
