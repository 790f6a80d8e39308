// Tensor memory of a block (ISA 9.7.16.1): 128 lanes of 512 columns of 32 bits, what is known of them, and the order of accesses to them,
// which tcgen05.fence hands from thread to thread.
#ifndef TG_SIM_TENSOR_MEMORY_H
#define TG_SIM_TENSOR_MEMORY_H

#include "targets/sim/block.h"

enum { TMEM_LANES = 128, TMEM_COLUMNS = 512, TMEM_UNIT = 32 /* columns are given in */ };
enum { TMEM_GROUP = 16, TMEM_GROUPS = TMEM_LANES / TMEM_GROUP }; // lanes of which the same is known
enum { TMEM_MOST_LOADED = 128 };                                 // columns of one tcgen05.ld

typedef struct sim_tmem sim_tmem;
sim_tmem *sim_tmem_of(sim_warp *w); // made when first asked for; NULL: no memory
uint32_t *sim_tmem_row(sim_tmem *t, uint32_t lane);

// Columns are those of one allocation or of none. False: there are not as many; no such allocation.
bool sim_tmem_take(sim_warp *w, sim_tmem *t, uint32_t columns, uint32_t *first);
bool sim_tmem_give_back(sim_warp *w, sim_tmem *t, uint32_t first, uint32_t columns);
uint32_t sim_tmem_taken(const sim_tmem *t); // columns
bool sim_tmem_relinquish(sim_tmem *t);      // false: it was done before

typedef enum sim_tmem_access { TMEM_READ, TMEM_WRITE, TMEM_PRODUCT } sim_tmem_access;
typedef struct sim_tmem_area {
  uint32_t column, columns, group, step, groups; // every step-th group of lanes
} sim_tmem_area;
// Of the thread's `lane` of the warp (0: of all of it). False: the area is not the block's, which was reported.
bool sim_tmem_touch(sim_warp *w, int lane, sim_tmem *t, sim_tmem_area area, sim_tmem_access access);
bool sim_tmem_has_values(sim_warp *w, int lane, const sim_tmem *t, sim_tmem_area area); // false: not everywhere, which was reported

// Reads and writes of a warp are done at its tcgen05.wait, and told at the fence after; products at their commit.
void sim_tmem_loads(sim_warp *w, sim_tmem *t, const sim_instr *in, sim_tmem_area area); // its registers have values from the wait on
void sim_tmem_wait(sim_warp *w, sim_tmem *t, sim_tmem_access access);
void sim_tmem_fence_before(sim_warp *w, sim_tmem *t);
void sim_tmem_fence_after(sim_warp *w, sim_tmem *t);
void sim_tmem_product(sim_warp *w, sim_tmem *t, const uint32_t *pieces, int n); // it reads these 16 bytes each
uint32_t sim_tmem_commit(sim_warp *w, sim_tmem *t);                             // how many products of the warp it stands for

#endif
