// Conversions: how a tile that is held in one layout comes to be held in another, and what that costs. Pure, as layouts are.
//
// A plan is one of four kinds, from nothing up to a passage through shared memory. What lanes can do by themselves is a list of steps on
// numbered values; a passage through memory says where each element lies there and which registers make one access.
#ifndef TG_LAYOUT_CONVERT_H
#define TG_LAYOUT_CONVERT_H

#include "codegen/layout.h"

typedef enum tg_conversion_kind {
  TG_CONVERT_NONE,      // the same registers
  TG_CONVERT_REGISTERS, // each lane has its elements, in other registers: names change, nothing moves
  TG_CONVERT_WARP,      // selects and shuffles within each warp
  TG_CONVERT_SHARED     // stored to shared memory, a barrier, loaded
} tg_conversion_kind;

// What one warp issues, all repetitions counted.
typedef struct tg_conversion_cost {
  int selects, moves, shuffles; // moves: putting elements side by side in words and in accesses, and taking them out
  int stores, loads;            // instructions
  int store_waves, load_waves;  // wavefronts of shared memory that they take: 128 bytes each where no banks conflict
  int barriers;
  int64_t bytes; // of shared memory
  int price;     // in halves of a clock of the whole multiprocessor (layout_convert.c); what kinds are compared by
} tg_conversion_cost;

typedef enum tg_step_kind {
  TG_STEP_WORD,    // in[0 … n-1], narrow elements, side by side in 32 bits, the first lowest; an i1 is one bit of them
  TG_STEP_SELECT,  // in[1] where the parity of (lane & lanes) and (warp & warps) together is odd, else in[0]
  TG_STEP_SHUFFLE, // in[0] as lane other(lane, warp) ^ lane of the same warp has it
  TG_STEP_PART     // element `part` of the word in[0]
} tg_step_kind;
typedef struct tg_step {
  tg_step_kind kind;
  int in[4], n, part;
  uint32_t lanes, warps, lane;
} tg_step;

typedef struct tg_conversion {
  tg_conversion_kind kind;
  int element_bits;
  tg_layout from, to;
  tg_conversion_cost cost;
  // Up to TG_CONVERT_WARP, for each repetition: values 0 … 2^registers-1 are the registers of `from`, each step makes the next number.
  int nsteps;
  tg_step *step;
  int *result;  // by register of `to`: number of its value
  tg_map other; // (lane, warp) to lane, of the shuffles
  bool moves;   // `other` is not simply the lane itself
  // TG_CONVERT_SHARED: element numbers within a repetition, by packed coordinates; an access is of 2^bits neighbours. A register whose
  // element lies at a multiple of that begins one, in registers it ^ the sum of reg[i] over the set bits of the element's number in it.
  tg_map at;
  int store_bits, load_bits;
  uint32_t store_reg[4], load_reg[4];
} tg_conversion;

// The cheapest way. element_bits: 1, 8, 16, 32 or 64. shared_bytes: what may be had of shared memory; more than that is planned only where
// lanes cannot do it. False when `from` lacks an element that `to` wants, or the two are not of one tile and one block.
bool tg_conversion_plan(tg_arena *arena, const tg_layout *from, const tg_layout *to, int element_bits, int64_t shared_bytes,
                        tg_conversion *out);
// One way each: by what lanes can do, false where that is not enough; through shared memory, false where tg_conversion_plan is.
bool tg_conversion_by_lanes(tg_arena *arena, const tg_layout *from, const tg_layout *to, int element_bits, tg_conversion *out);
bool tg_conversion_by_memory(const tg_layout *from, const tg_layout *to, int element_bits, tg_conversion *out);
// Wavefronts that one access takes whose lanes lie at the given bytes (images of five lane bits; active: those bits that are not masked
// off), `bytes` a lane: lanes come in groups that ask for 128 bytes together, and a group takes as many as the busiest bank has words.
int tg_shared_waves(const uint32_t lane[5], uint32_t active, int bytes);
// "shuffle: 4 shuffles, 8 selects, price 16"
const char *tg_conversion_text(tg_arena *arena, const tg_conversion *c);

#endif
