// A block while it runs: warps, their groups of lanes that are at the same place, barriers, shared memory and what is known of it.
#ifndef TG_SIM_BLOCK_H
#define TG_SIM_BLOCK_H

#include "targets/sim/sim.h"

// Generic addresses: each space is a window; global memory is the host's own addresses.
#define SIM_WINDOW(space) ((uint64_t)(space) << 56)

typedef enum sim_state { GROUP_RUNS, GROUP_MEETS /* others of its warp */, GROUP_BARRIER } sim_state;

typedef struct sim_group { // lanes at one instruction
  uint32_t mask;
  int pc;
  uint8_t state;
  uint8_t barrier;
  uint32_t generation; // of the barrier it waits for
} sim_group;

typedef struct sim_copy { // one executed cp.async that has lanes still under way
  uint32_t lanes;
  uint8_t bytes;
  uint32_t to[LANES], group[LANES];
  uint8_t take[LANES]; // bytes that are read; the rest is zero
  const char *from[LANES];
  int pc;
} sim_copy;

typedef struct sim_stamp { // of an access: the warp's clock, its warp-wide synchronisations so far and the lane; lane 32 = several
  uint32_t clock;
  uint32_t sync : 24, lane : 8;
} sim_stamp;

enum { GRAIN_NOBODY = 0xff, GRAIN_SEVERAL = 0xfe };
enum { GRAIN_VALUE = 1, GRAIN_PENDING = 2, GRAIN_ATOMIC = 4 };
typedef struct sim_grain { // what is known of a piece of shared memory
  sim_stamp write, read;   // read: of the one warp that read it since it was written
  uint32_t write_pc, read_pc;
  uint32_t readers;       // GRAIN_SEVERAL: first of nwarps stamps in block->readers
  uint8_t writer, reader; // warps
  uint8_t flags;
} sim_grain;

typedef struct sim_barrier {
  uint32_t arrived, expected, generation; // threads; expected 0: all that live
  uint32_t clocks[MAX_WARPS], released[MAX_WARPS];
  uint32_t count, all, any, red_count, red_all, red_any; // of bar.red: being collected, and of the last generation
} sim_barrier;

struct sim_warp {
  sim_block *block;
  int index;
  char *regs;
  uint32_t *preds, *valid;
  uint32_t alive, present;
  int ngroups;
  sim_group groups[LANES];
  uint32_t clocks[MAX_WARPS]; // what it has synchronised with, by warp
  uint32_t sync;
  uint32_t copy_group[LANES]; // groups that each lane has committed
  int ncopies, room_copies;
  sim_copy *copies;
  uint64_t steps;
  int pc; // of the instruction being executed
};

typedef struct sim_worker sim_worker;
struct sim_block {
  sim_worker *worker;
  const sim_launch *launch;
  const sim_code *code;
  uint32_t id[3], number; // number: linear, + 1
  int nwarps, nthreads;
  sim_warp *warps;
  sim_barrier barriers[MAX_BARRIERS];
  char *shared, *local;
  uint64_t shared_bytes;
  sim_grain *grains;
  uint32_t grain_shift;
  sim_stamp *readers;
  uint32_t nreaders, room_readers, free_readers; // free_readers: first of a chain, + 1
  bool stopped;
  bool atomics, fences, ordered; // it made an atomic access, then a fence: what others published before can be read (sim_global_touch)
};

struct sim_worker { // a thread of the host
  const struct sim_lanes *lanes;
  tg_context *ctx;
  struct sim_run *run;
  sim_block block;
  uint64_t *issued; // by instruction
  sim_counts counts;
  int *last_buffer; // by instruction: the buffer it touched last
  bool no_memory;
};

// ---- the parts

// Notes a fault of a lane (-1: of the whole warp) at the instruction that the warp executes.
void sim_report(sim_warp *w, int lane, sim_fault fault, const char *format, ...) __attribute__((format(printf, 4, 5)));
// More room, in a thread where nothing may be thrown: without memory the old one stays and the block is stopped.
bool sim_grow(sim_block *block, void *memory, size_t bytes); // memory: address of the pointer

void sim_block_run(sim_block *block);   // its fields are set; runs to the end
void sim_warp_run(sim_warp *w);         // until every group of it waits, is gone, or it has had its turn
bool sim_warp_ready(const sim_warp *w); // has it a group that can go on?
void sim_barrier_arrive(sim_warp *w, const sim_instr *in, sim_group *g, uint32_t active);
void sim_barrier_check(sim_block *block);                                    // after lanes have left
void sim_barrier_left(sim_warp *w, const sim_instr *in, const sim_group *g); // what its lanes get from it

// The grains that a lane touches in shared memory.
typedef enum sim_access { SIM_READ, SIM_WRITE, SIM_ATOMIC_ACCESS } sim_access;
// same: the store leaves the memory as it is.
void sim_shared_touch(sim_warp *w, int lane, uint64_t offset, uint32_t bytes, sim_access access, bool has_value, bool same);
void sim_global_touch(sim_warp *w, int lane, const sim_buffer *buffer, uint64_t offset, uint32_t bytes, sim_access access, bool has_value);
// Host memory behind a lane's address, checked for bounds and alignment; NULL when there is none, which was reported.
typedef struct sim_place {
  char *memory;
  ptx_space space;
  uint64_t offset;          // in its space
  const sim_buffer *buffer; // of global memory
} sim_place;
bool sim_resolve(sim_warp *w, int lane, ptx_space space, uint64_t address, uint32_t bytes, bool write, sim_place *place);
bool sim_resolve_global(sim_warp *w, int lane, uint64_t address, uint32_t bytes, bool write, sim_place *place); // any alignment
uint64_t sim_address(const sim_warp *w, const sim_instr *in, const sim_arg *a, int lane);
void sim_touch_place(sim_warp *w, int lane, const sim_place *place, uint32_t bytes, sim_access access, bool has_value, bool same);
// Shared-memory wavefronts of one instruction, by the addresses of its active lanes.
void sim_count_banks(sim_warp *w, const uint64_t *offsets, uint32_t active, uint32_t bytes);

// Asynchronous copies that are let land.
// Those of `lanes` in all but the newest groups that were committed, or in all, committed or not.
void sim_copies_land(sim_warp *w, uint32_t lanes, uint32_t newest_left, bool uncommitted);

// Clocks: a warp lets go of what it did; it takes over what others let go of.
void sim_release(sim_warp *w, uint32_t *clocks);
void sim_acquire(sim_warp *w, const uint32_t *clocks);

// ---- operands

static inline uint32_t sim_pred(const sim_warp *w, const sim_arg *a) { return a->negated ? ~w->preds[a->at] : w->preds[a->at]; }
static inline uint64_t sim_get(const sim_warp *w, const sim_arg *a, int lane) {
  uint64_t v = 0;
  memcpy(&v, w->regs + a->at + (size_t)lane * a->bytes, a->bytes < 8 ? a->bytes : 8);
  return v;
}
static inline void sim_put(sim_warp *w, const sim_arg *a, int lane, uint64_t v) {
  memcpy(w->regs + a->at + (size_t)lane * a->bytes, &v, a->bytes < 8 ? a->bytes : 8);
}
static inline uint32_t sim_valid(const sim_warp *w, const sim_arg *a) { // lanes that have a value
  uint32_t v = UINT32_MAX;
  for (int h = 0; h < a->halves; h++) v &= w->valid[a->valid + (uint32_t)h];
  return v;
}
static inline void sim_set_valid(sim_warp *w, const sim_arg *a, uint32_t lanes, uint32_t valid) {
  for (int h = 0; h < a->halves; h++) {
    uint32_t *v = &w->valid[a->valid + (uint32_t)h];
    *v = (*v & ~lanes) | (valid & lanes);
  }
}
// Reports lanes in which an operand has no value.
void sim_want(sim_warp *w, const sim_instr *in, const sim_arg *a, uint32_t active, const char *use);

#endif
