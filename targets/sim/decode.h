// Decoding: an instruction of the text with its modifiers taken one by one; what nobody takes is an error.
#ifndef TG_SIM_DECODE_H
#define TG_SIM_DECODE_H

#include "targets/sim/lanes.h"
#include "targets/sim/sim.h"

enum { SIM_MAX_ARGS = 300 };
typedef struct sim_constant {
  uint64_t bits;
  sim_arg arg;
  struct sim_constant *next;
} sim_constant;

typedef struct sim_decoder {
  tg_context *ctx;
  tg_arena *arena;
  sim_code *code;
  const ptx_entry *entry;
  const sim_lanes *lanes;
  const ptx_instr *in;
  sim_instr *out;
  uint32_t taken; // modifiers
  sim_arg *regs;  // of each register
  sim_arg sink, sink_pred, carry;
  int nargs;
  sim_arg args[SIM_MAX_ARGS];
  sim_constant *constants[256];
  int nconstants;
  sim_constant **all_constants;
} sim_decoder;

_Noreturn void sim_bad(sim_decoder *d, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool sim_take(sim_decoder *d, const char *modifier);
bool sim_take_prefix(sim_decoder *d, const char *prefix, const char **whole); // the first that begins so
int sim_take_type(sim_decoder *d);                                            // ptx_type, the first that is left; fails without one
int sim_take_one(sim_decoder *d, const char *const *names, int n);            // index, -1 = none of them
void sim_take_rounding(sim_decoder *d);                                       // into out->mode
void sim_operands(sim_decoder *d, int least, int most);                       // fails with another number of them
const ptx_operand *sim_operand(const sim_decoder *d, int i);

// Results come first. bytes: of a lane, 0 = a predicate, -1 = as wide as the register is.
void sim_add_result(sim_decoder *d, const ptx_operand *o, int bytes);
void sim_add_source(sim_decoder *d, const ptx_operand *o, int bytes);
void sim_add_vector(sim_decoder *d, const ptx_operand *o, int n, int bytes, bool result); // {…} of n, or one alone
// [reg + offset] or [variable + offset]: a 64-bit or 32-bit source, or a constant, and out->offset.
void sim_add_address(sim_decoder *d, const ptx_operand *o);
// The same for instructions with several addresses: the offset is a source of its own behind it.
void sim_add_far_address(sim_decoder *d, const ptx_operand *o);
int64_t sim_immediate(sim_decoder *d, const ptx_operand *o); // fails when it is no integer in the text
void sim_set_lane(sim_decoder *d, sim_lane_fn *run);         // under out->mode's rounding where it is none to nearest
void sim_set_op(sim_decoder *d, sim_op_fn *run, sim_flow flow);
ptx_space sim_take_space(sim_decoder *d); // PTX_GENERIC without one

#define INSTR(name, cls, how) /* decoders, by area */
typedef void sim_decode_fn(sim_decoder *d);
sim_decode_fn sim_decode_alu, sim_decode_logic, sim_decode_move, sim_decode_select, sim_decode_compare, sim_decode_test, sim_decode_convert,
    sim_decode_address, sim_decode_space, sim_decode_load, sim_decode_store, sim_decode_atom, sim_decode_copy, sim_decode_policy,
    sim_decode_nothing, sim_decode_ldmatrix, sim_decode_stmatrix, sim_decode_movmatrix, sim_decode_mma, sim_decode_shuffle, sim_decode_vote,
    sim_decode_match, sim_decode_redux, sim_decode_barrier, sim_decode_fence, sim_decode_branch, sim_decode_exit, sim_decode_trap,
    sim_decode_mbarrier, sim_decode_mapa, sim_decode_wgmma, sim_decode_registers, sim_decode_elect, sim_decode_grid, sim_decode_lop3,
    sim_decode_tensormap, sim_decode_tcgen05;
#undef INSTR
void sim_mark_products(sim_code *code, tg_arena *arena);
int sim_take_atom(sim_decoder *d);     // operation of an atomic, -1 = none
bool sim_decode_carry(sim_decoder *d); // false: this is no sum with a carry
void sim_add_carry(sim_decoder *d, bool result);
void sim_decode_store_value(sim_decoder *d);        // st.async
void sim_decode_reduce_value(sim_decoder *d);       // red.async
void sim_decode_bulk(sim_decoder *d, bool reduces); // cp[.reduce].async.bulk
void sim_decode_cluster_barrier(sim_decoder *d);    // barrier.cluster

#endif
