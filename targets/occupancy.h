// How many blocks a multiprocessor holds at a time, from a machine's figures.
#ifndef TG_OCCUPANCY_H
#define TG_OCCUPANCY_H

#include "codegen/codegen.h"
#include "targets/record.h"

typedef struct tg_occupancy {
  int blocks, warps;   // resident on one multiprocessor; 0 blocks: not even one fits
  int most_warps;      // that it can hold
  const char *limiter; // what allows no more: "warps", "blocks", "registers", "shared memory"
} tg_occupancy;

// False where the machine's description has no such figures. Registers that are not known (-1) limit nothing.
bool tg_occupancy_of(const tg_machine *machine, int threads, int registers, int64_t shared_bytes, tg_occupancy *out);
// NULL when a launch can run on the machine, as far as its figures and the record tell; else why it cannot, in memory from `arena`.
const char *tg_launch_misfit(tg_arena *arena, const tg_machine *machine, const tg_record_launch *launch);

#endif
