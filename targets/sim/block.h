// Blocks while they run, those of a cluster together: warps, their groups of lanes that are at the same place, barriers, shared memory and
// what is known of it.
#ifndef TG_SIM_BLOCK_H
#define TG_SIM_BLOCK_H

#include "targets/sim/sim.h"

// Generic addresses: each space is a window; global memory is the host's own addresses. In the window of shared memory 0 is the block's
// own first byte; from bit 24 on stands the rank in the cluster of the block that is meant, + 1.
#define SIM_WINDOW(space) ((uint64_t)((space) == PTX_CLUSTER ? PTX_SHARED : (space)) << 56)
enum { SIM_RANK_SHIFT = 24 };

// What a warp waits for: others of its warp; a barrier; the phase of an mbarrier; the barrier of its cluster; registers.
typedef enum sim_state { GROUP_RUNS, GROUP_MEETS, GROUP_BARRIER, GROUP_PHASE, GROUP_CLUSTER, GROUP_REGISTERS } sim_state;

typedef struct sim_group { // lanes at one instruction
  uint32_t mask;
  int pc;
  uint8_t state;
  uint8_t barrier;
  bool expired;        // of GROUP_PHASE: it has waited long enough
  uint32_t generation; // of the barrier it waits for; of an mbarrier which one it is; how many registers
  uint64_t phase;      // of an mbarrier
} sim_group;

// Vector clocks of agents: the warps of a cluster, then its mbarriers, which stand for the asynchronous copies that complete on them.
// proxied: up to where an agent's writes through the generic proxy are known to the asynchronous one (fence.proxy.async).
typedef struct sim_clocks {
  uint32_t *seen, *proxied;
} sim_clocks;

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

enum { GRAIN_NOBODY = 0xffff, GRAIN_SEVERAL = 0xfffe };
enum { GRAIN_VALUE = 1, GRAIN_PENDING = 2, GRAIN_ATOMIC = 4, GRAIN_ASYNC = 8 /* written by the asynchronous proxy */, GRAIN_MBARRIER = 16 };
typedef struct sim_grain { // what is known of a piece of shared memory
  sim_stamp write, read;   // read: of the one agent that read it since it was written; GRAIN_SEVERAL: clock is the first of all warps'
                           // stamps in block->readers
  uint32_t write_pc, read_pc;
  uint16_t writer, reader; // agents
  uint16_t in_use;         // asynchronous operations that still read it
  uint8_t flags;
} sim_grain;

typedef struct sim_barrier {
  uint32_t arrived, expected, generation; // threads; expected 0: all that live
  sim_clocks clocks, released;
  uint32_t count, all, any, red_count, red_all, red_any; // of bar.red: being collected, and of the last generation
} sim_barrier;

enum { SIM_SYNCS = 256 }; // of a block; with more the oldest are forgotten, and an order that there is may be missed
typedef struct sim_sync { // a place in shared memory that warps synchronise by with strong accesses
  uint64_t offset;
  sim_clocks clocks;
} sim_sync;

// ---- asynchronous operations

typedef struct sim_tile { // a box of a tensor that is copied to or from shared memory
  sim_tensor map;
  int32_t at[5]; // coordinates of its first element
} sim_tile;

typedef struct sim_landing { // a copy under way into shared memory, which lands when somebody sees the phase that it completes
  uint64_t phase;
  sim_block *block;         // whose memory it is
  uint32_t to, bytes, take; // take: bytes that are read; the rest is zero
  const char *from;         // NULL: a tile, or nothing
  sim_block *source;        // whose shared memory `from` is in; NULL: global memory
  int pc;
  bool is_tile, is_value, generic; // generic: it came through the proxy of ordinary stores (cp.async, st.async)
  bool is_commit;                  // no copy: the first `products` tcgen05.mma of a warp are done
  uint32_t products;
  int warp;
  char value[16];          // of st.async, red.async
  const sim_instr *reduce; // the operation of a red.async; NULL: none
  sim_tile tile;
} sim_landing;

typedef struct sim_mbarrier { // ISA 9.7.13.15: pending and expected arrivals, transactions, the phase
  bool live;
  uint32_t offset, expected, pending;
  int64_t tx;
  uint64_t phase, landed; // phases that are complete; of these the copies of so many have landed
  uint32_t agent;
  uint32_t owner, init_pc; // who initialised it
  bool fenced;             // fence.mbarrier_init came after that
  sim_stamp init;
  sim_clocks arriving, released; // of the current phase; of the one before
  int nlandings, room;
  sim_landing *landings;
} sim_mbarrier;

typedef struct sim_unseen { // global memory that a bulk copy writes; nobody has waited for it
  const char *from, *end;
  uint32_t agent, lane, group; // whose copy it is
  int pc;
} sim_unseen;

enum { SIM_TRAILS = 1024 };
typedef struct sim_reading { // shared memory that an asynchronous operation of a warp reads until it is waited for
  sim_block *block;
  uint32_t at, bytes;
} sim_reading;

typedef struct sim_readings { // of one kind, a warp's own, oldest first
  int n, room;
  struct sim_reading_group {
    uint32_t group; // the number of its group
    uint32_t lanes; // of bulk copies: the lane; of wgmma: all
    int pc, nparts, room;
    sim_reading *parts;
  } *at;
} sim_readings;

struct sim_warp {
  sim_block *block;
  int index;
  char *regs;
  uint32_t *preds, *valid;
  uint32_t alive, present;
  int ngroups;
  sim_group groups[LANES];
  uint32_t agent;             // its number in the cluster
  sim_clocks clocks, offered; // what it has synchronised with; what a fence would let it
  uint32_t sync, fenced;      // fenced: its own clock at its last fence
  uint32_t copy_group[LANES]; // groups that each lane has committed
  int ncopies, room_copies;
  sim_copy *copies;
  uint32_t bulk_group[LANES];    // groups of bulk copies that each lane has committed
  sim_readings stores, products; // bulk copies out of shared memory; wgmma
  // wgmma: groups committed and retired; of each 16 bits of a register the group that holds it (2 × (group + 1), + 1 for an operand A), and
  // the fence after which something else wrote it.
  uint32_t committed, retired, fences, issued, trail; // issued, trail: how many products, and what they were
  uint32_t trails[SIM_TRAILS];                        // what `trail` was after each of the last ones
  uint32_t *held, *wrote;
  uint32_t cluster_arrived, cluster_generation; // lanes that have arrived at the cluster's barrier and not waited
  bool spun;                                    // its turn ended by a test that failed
  int registers;                                // that each of its threads has
  uint64_t steps;
  int pc; // of the instruction being executed
};

typedef struct sim_worker sim_worker;
typedef struct sim_cluster sim_cluster;
struct sim_block {
  sim_worker *worker;
  sim_cluster *cluster;
  uint32_t rank;
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
  uint32_t *mbarrier_at;                         // of each 8 bytes of shared memory: number of its mbarrier, + 1
  int nmbarriers, room_mbarriers;
  sim_mbarrier *mbarriers;
  int nunseen, room_unseen;
  sim_unseen *unseen;
  sim_sync *syncs;
  int nsyncs, next_sync;
  struct sim_tmem *tmem;         // tensor memory; NULL until the code asks for it
  int free_registers;            // of a warp's thread each, given back by setmaxnreg; -1: it has no effect
  bool atomics, fences, ordered; // it made an atomic access, then a fence: what others published before can be read (sim_global_touch)
};

struct sim_cluster { // blocks that run together; of most launches one
  sim_worker *worker;
  int nblocks;
  uint32_t id[3];
  sim_block *blocks;
  uint32_t nwarps, nagents, room_agents; // of all blocks; agents: see sim_clocks
  uint32_t arrived, generation;          // at barrier.cluster
  sim_clocks clocks, released;
  uint64_t events; // what others may wait for: arrivals, stores, exits
  bool stopped;
};

struct sim_worker { // a thread of the host
  const struct sim_lanes *lanes;
  tg_context *ctx;
  struct sim_run *run;
  sim_cluster cluster;
  uint64_t *issued; // by instruction
  sim_counts counts;
  int *last_buffer; // by instruction: the buffer it touched last
  bool no_memory;
};

// ---- the parts

// Notes a fault of a lane (-1: of the whole warp) at the instruction that the warp executes.
void sim_report(sim_warp *w, int lane, sim_fault fault, const char *format, ...) __attribute__((format(printf, 4, 5)));
// More room, in a thread where nothing may be thrown: without memory the old one stays and the blocks are stopped.
bool sim_grow(sim_block *block, void *memory, size_t bytes); // memory: address of the pointer

void sim_cluster_run(sim_cluster *cluster); // its fields are set; runs to the end
void sim_block_start(sim_block *block);
void sim_warp_run(sim_warp *w);         // until every group of it waits, is gone, or it has had its turn
bool sim_warp_ready(const sim_warp *w); // has it a group that can go on?
void sim_barrier_arrive(sim_warp *w, const sim_instr *in, sim_group *g, uint32_t active);
uint32_t sim_block_alive(const sim_block *block);                            // threads
void sim_barrier_check(sim_block *block);                                    // after lanes have left
void sim_barrier_left(sim_warp *w, const sim_instr *in, const sim_group *g); // what its lanes get from it

// The grains that a lane touches in shared memory. Strong: volatile, relaxed and the like, which do not race with atomics. The asynchronous
// kinds come through the other proxy: reads of products and of bulk copies, writes of bulk copies.
typedef enum sim_access { SIM_READ, SIM_WRITE, SIM_STRONG_READ, SIM_STRONG_WRITE, SIM_ATOMIC, SIM_ASYNC_READ, SIM_ASYNC_WRITE } sim_access;
// block: whose memory it is; same: the store leaves the memory as it is.
void sim_shared_touch(sim_warp *w, int lane, sim_block *block, uint64_t offset, uint32_t bytes, sim_access access, bool has_value,
                      bool same);
// After SIM_ASYNC_READ: it goes on until it is let go of, at the warp's clock of then.
void sim_shared_hold(sim_block *block, uint64_t offset, uint32_t bytes);
void sim_shared_unhold(sim_block *block, uint64_t offset, uint32_t bytes); // its reading counts as when it was touched
void sim_shared_let_go(sim_warp *w, int lane, sim_block *block, uint64_t offset, uint32_t bytes, int pc);
void sim_global_touch(sim_warp *w, int lane, const sim_buffer *buffer, uint64_t offset, uint32_t bytes, sim_access access, bool has_value);
// Reports an access to what a bulk copy of this block writes and has not been waited for (bulk.c).
void sim_unseen_check(sim_warp *w, int lane, const sim_buffer *buffer, uint64_t offset, uint32_t bytes);
// Host memory behind a lane's address, checked for bounds and alignment; NULL when there is none, which was reported.
typedef struct sim_place {
  char *memory;
  ptx_space space;
  uint64_t offset;          // in its space
  const sim_buffer *buffer; // of global memory
  sim_block *block;         // of shared memory
} sim_place;
bool sim_resolve(sim_warp *w, int lane, ptx_space space, uint64_t address, uint32_t bytes, bool write, sim_place *place);
bool sim_resolve_global(sim_warp *w, int lane, uint64_t address, uint32_t bytes, bool write, sim_place *place); // any alignment
uint64_t sim_address(const sim_warp *w, const sim_instr *in, const sim_arg *a, int lane);
void sim_touch_place(sim_warp *w, int lane, const sim_place *place, uint32_t bytes, sim_access access, bool has_value, bool same);
// Shared-memory wavefronts of one instruction, by the addresses of its active lanes.
void sim_count_banks(sim_warp *w, const uint64_t *offsets, uint32_t active, uint32_t bytes);

// The instruction's operation on a place, atomic on the host too; returns what was there.
uint64_t sim_exchange(const sim_instr *in, char *memory, uint64_t v, uint64_t swap);

// Asynchronous copies that are let land.
// Those of `lanes` in all but the newest groups that were committed, or in all, committed or not.
void sim_copies_land(sim_warp *w, uint32_t lanes, uint32_t newest_left, bool uncommitted);

// Clocks: a warp lets go of what it did; it takes over what others let go of.
void sim_release(sim_warp *w, const sim_clocks *clocks);
void sim_release_fenced(sim_warp *w, const sim_clocks *clocks); // only what it did before its last fence
void sim_acquire(sim_warp *w, const sim_clocks *clocks);
void sim_clocks_clear(const sim_cluster *cluster, const sim_clocks *clocks);
void sim_fence(sim_warp *w);       // fence, membar: between memory and what comes after
void sim_fence_proxy(sim_warp *w); // fence.proxy.async
// Of one place in shared memory, by the instruction's acquire and release.
void sim_strong_read(sim_warp *w, const sim_instr *in, sim_block *block, uint64_t offset);
void sim_strong_write(sim_warp *w, const sim_instr *in, sim_block *block, uint64_t offset);

// mbarriers (mbarrier.c)
sim_mbarrier *sim_mbarrier_find(sim_warp *w, int lane, sim_block *block, uint64_t offset); // NULL: none there, which was reported
void sim_mbarrier_arrive(sim_warp *w, int lane, sim_mbarrier *m, uint32_t count, bool may_complete);
void sim_mbarrier_expect(sim_warp *w, int lane, sim_mbarrier *m, int64_t bytes);         // less than 0: completed
sim_landing *sim_mbarrier_landing(sim_warp *w, sim_mbarrier *m);                         // a new one; NULL: no memory
bool sim_mbarrier_wait(sim_warp *w, const sim_instr *in, sim_group *g, uint32_t active); // false: the group waits
// False: a copy that `w` makes in another block of the cluster may find on completion what lay there before (ISA, fence.mbarrier_init).
bool sim_mbarrier_known_to_copies(const sim_warp *w, const sim_mbarrier *m);
void sim_mbarrier_describe(const sim_block *b, uint32_t index, char *room, size_t size);

// Bulk copies and products (bulk.c, wgmma.c)
void sim_land(sim_warp *w, const sim_mbarrier *m, const sim_landing *l);
void sim_readings_end(sim_warp *w); // when a warp ends: nothing of it may still be read
sim_reading *sim_reading_add(sim_warp *w, sim_readings *r, uint32_t group, uint32_t lanes, int nparts);
void sim_readings_retire(sim_warp *w, sim_readings *r, uint32_t lanes, const uint32_t *before); // groups below before[lane]
void sim_products_end(sim_warp *w);                    // when a warp ends: the others of its warpgroup had as many
void sim_held_check(sim_warp *w, const sim_instr *in); // registers of products that nobody waited for
void sim_wrote(sim_warp *w, const sim_instr *in);      // to registers that a product takes: it needs a fence

// Tensor memory (tensor_memory.c)
void sim_tmem_start(sim_block *block);
void sim_tmem_free(sim_block *block);
void sim_tmem_end(sim_block *block);                             // all of it must have been given back
void sim_tmem_land(sim_block *block, int warp, uint32_t number); // of a commit

// setmaxnreg (registers.c)
void sim_registers_start(sim_block *block);
bool sim_registers_set(sim_warp *w, const sim_instr *in, sim_group *g); // false: the group waits

// Barriers of the cluster (cluster.c)
bool sim_cluster_wait(sim_warp *w, const sim_instr *in, sim_group *g, uint32_t active);
void sim_cluster_check(sim_cluster *cluster); // after lanes have left

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
