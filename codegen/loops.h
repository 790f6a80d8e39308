// The loops lowering's own interfaces: one worker runs a whole block; tiles are evaluated where they are wanted.
//
// Tile values are *virtual* until something asks for their elements at a position (pos): a per-axis index, one of whose axes may vary over
// the lanes of a short vector. Roots (stores, reductions, dots, carried values) open loops and ask. Pure lane ops are placed in the
// outermost loop in which their operands exist, so what does not vary in a loop is computed outside it without a further pass.
#ifndef TG_LOOPS_H
#define TG_LOOPS_H

#include "codegen/codegen.h"

enum { LOOPS_LANES = 32, LOOPS_DEPTH = 64, LOOPS_TERMS = 6 };

typedef struct lower lower;

// coef * floor(v / div), an i64
typedef struct term {
  tg_value *v;
  int64_t coef, div;
} term;

// Index of each lane: sum of the terms (the same in all lanes) + c[lane].
typedef struct lane_index {
  int n;
  term t[LOOPS_TERMS];
  int32_t c[LOOPS_LANES];
} lane_index;

typedef struct pos {
  int rank, lanes;
  lane_index at[TG_MAX_RANK];
} pos;

typedef struct level { // an open region of the lane kernel
  tg_region *region;
  tg_op *op; // that owns it, already placed in the level outside; NULL for the body and for probes
} level;

// Storage of a materialised tile: row-major, constant strides in elements.
typedef struct buffer {
  tg_value *ptr;
  int dtype; // in memory
  int rank;
  int64_t stride[TG_MAX_RANK];
  int level; // reads may not move out of this level
} buffer;

typedef struct memo {
  struct memo *next;
  uint64_t hash;
  pos at;
  tg_value *value;
} memo;

// How many indices of an axis can matter: those inside what the stores keep.
typedef struct need {
  enum { NEED_NONE, NEED_COUNT, NEED_ALL } kind;
  const tg_op *op; // a load or store whose axis counts
  int axis;        // of the op's view
} need;

typedef struct info { // in tg_value.note of tile values
  tg_value *ssa;      // one value for all elements
  const buffer *buf;  // materialised
  memo *memos;
  need needs[TG_MAX_RANK];
  int weight;       // cost of evaluating one element again
  const void *root; // the only root that asks for it; see loops_plan.c
  bool many_roots;
  bool keep;                 // materialised where it is defined
  const tg_op *dot;          // one that takes it as an operand; see plan_operand in loops_plan.c
  bool many_dots, inner_dot; // several do; one does in a loop in which the value is not made
  bool paired_dot;           // one takes it as pairs of bf16
  int depth;                 // longest chain of ops that evaluating it goes through; see CHAIN in loops_plan.c
  bool cut;                  // kept so that the chain ends here
  int asked;                 // the question of loops_evaluable that was answered last
  bool evaluable;            // and the answer
  int reach_of[2], reach[2]; // what question number reach_of found (loops_control.c): a value is looked at once a question
} info;

typedef struct fact { // axis of a load or store is inside in every evaluation within the level
  const tg_op *op;
  int axis, level;
  bool exact; // but only where the index is made of the variables of `at`: the op is evaluated in other loops too
  lane_index at;
} fact;

typedef struct constraint { // met while probing
  const tg_op *op;
  int axis;
  lane_index at;         // of the lane that reaches furthest
  bool uneven;           // other lanes reach less far
  bool elsewhere;        // says only that the op's axis has an index too that is no matter of this nest
  tg_value *count, *low; // at < count; low: an i1 that must hold too, or NULL
  unsigned deps;         // loop variables of the nest that the access depends on, a bit each
} constraint;

typedef struct view {
  tg_value *ptr;
  const tg_param *param;
  int dtype, rank;
  tg_value *offset, *dim[TG_MAX_RANK], *stride[TG_MAX_RANK];
} view;

typedef struct cell { // a pure lane op already made
  struct cell *next;
  uint64_t hash;
  tg_op *op;
} cell;

enum { LOOPS_CELLS = 1024 };

struct lower {
  tg_context *ctx;
  tg_kernel *tile, *lane;
  tg_launch *from, *to;
  const tg_machine *machine;
  const tg_lower_options *options;
  tg_arena *arena;
  tg_loc loc;
  level levels[LOOPS_DEPTH];
  int top;
  cell *cells[LOOPS_CELLS];
  tg_arg args[128];
  int nargs;
  tg_type arg_types[128];
  fact *facts;
  int nfacts, facts_capacity;
  struct probe { // non-NULL while probing
    struct probe *outer;
    int nvars, level; // of the innermost loop
    tg_value *vars[TG_MAX_RANK + 2];
    constraint *list;
    int n, capacity;
    int unit_bytes; // element size of a load that is contiguous along the last loop; 0 = none is
    bool varies;    // outside the limits, values may still depend on a loop variable
  } *probe;
  struct block {   // consecutive indices of a loop that will all be asked for, in one trip
    tg_value *var; // the loop's
    int rows, row;
    struct blockmemo *memos;
  } *block;
  int64_t prefetch;     // bytes ahead of what vector loads read that they also ask for; 0 = none
  int reaches, asked;   // questions asked, see info
  int64_t stream_from;  // bytes of a tensor from which on its stores may pass by the caches; 0 = none may
  int64_t stream;       // alignment of stores that pass by the caches, being emitted; 0 = plain ones are
  bool prefetch_only;   // loads ask for their line instead of reading it
  bool asking;          // of these, the address is being found: what it depends on is read where it lies inside
  const char **written; // parameters that this launch writes
  int nwritten;
};

// ---- loops.c
int64_t loops_knob(lower *L, const char *name, int least, int64_t fallback); // of the settings, up to 65536

// ---- loops_emit.c: lane ops, placed as far out as they can be
int loops_level_of(lower *L, const tg_value *v);
bool loops_alive(lower *L, const tg_value *v); // its region is still open
tg_builder loops_at(lower *L, int level);
tg_value *loops_pure(lower *L, int code, int n, tg_value *const *in, int nattrs, const tg_attr *attrs);
tg_op *loops_op(lower *L, int min_level, int code, int n, tg_value *const *in, int nattrs, const tg_attr *attrs);
tg_value *loops_int(lower *L, int64_t v);
tg_value *loops_const(lower *L, int dtype, double v);
tg_value *loops_un(lower *L, int code, tg_value *a);
tg_value *loops_bin(lower *L, int code, tg_value *a, tg_value *b); // scalars and vectors mix
tg_value *loops_select(lower *L, tg_value *c, tg_value *a, tg_value *b);
tg_value *loops_add(lower *L, tg_value *a, tg_value *b); // i64 scalars with folding
tg_value *loops_sub(lower *L, tg_value *a, tg_value *b);
tg_value *loops_mul(lower *L, tg_value *a, tg_value *b);
tg_value *loops_min(lower *L, tg_value *a, tg_value *b);
tg_value *loops_max(lower *L, tg_value *a, tg_value *b);
tg_value *loops_addc(lower *L, tg_value *a, int64_t c);
tg_value *loops_mulc(lower *L, tg_value *a, int64_t c);
tg_value *loops_divc(lower *L, tg_value *a, int64_t c);  // floor
tg_value *loops_ceilc(lower *L, tg_value *a, int64_t c); // of a non-negative value
tg_value *loops_down(lower *L, tg_value *a, int64_t c);  // largest multiple of c not above a >= 0
tg_value *loops_cast(lower *L, tg_value *v, int dtype);
tg_value *loops_splat(lower *L, tg_value *v, int lanes);              // vectors pass
tg_value *loops_part(lower *L, tg_value *v, int part, int lanes);     // lanes part*lanes …
tg_value *loops_fma(lower *L, tg_value *a, tg_value *b, tg_value *c); // fused where the machine is, else mul and add
int64_t loops_multiple(const tg_value *v);                            // v is a multiple of this; 0 for the constant 0
bool loops_nonneg(lower *L, const tg_value *v);
bool loops_upper(const tg_value *v, int64_t *max); // constant upper bound
int loops_lanes(const tg_value *v);                // 1 for scalars
bool loops_is_int(const tg_value *v, int64_t value);
// Loops. `carry` in and out; body between. Opening pushes a level, closing pops it and gives the results.
tg_value *loops_open(lower *L, tg_value *lb, tg_value *ub, int64_t step, int ncarry, tg_value **carry);
void loops_close(lower *L, int ncarry, tg_value **carry);
tg_op *loops_open_if(lower *L, tg_value *cond, int nresults, const tg_type *types);
void loops_else(lower *L, tg_op *op, int n, tg_value **values);
void loops_close_if(lower *L, tg_op *op, int n, tg_value **values);
void loops_push(lower *L, tg_region *region, tg_op *op);
void loops_pop(lower *L);
tg_value *loops_scratch(lower *L, int64_t bytes, const char *name);
tg_value *loops_ptradd(lower *L, tg_value *p, tg_value *bytes);
tg_value *loops_load_at(lower *L, int min_level, tg_value *p, tg_type type, int64_t align, bool constant);
tg_value *loops_misalign(lower *L, tg_value *p, int64_t to);
void loops_store_at(lower *L, tg_value *p, tg_value *v, int64_t align);
void loops_touch(lower *L, tg_value *p); // prefetches the line
tg_value *loops_arg_expr(lower *L, const tg_expr *e);
tg_value *loops_arg_pointer(lower *L, const char *name);
tg_value *loops_arg_scalar(lower *L, const char *name, int dtype);

// ---- loops_index.c: positions
lane_index loops_zero(void);
lane_index loops_var(tg_value *v); // an i64
bool loops_uniform(const lane_index *x, int lanes);
bool loops_uniform_pos(const pos *p);
bool loops_add_index(lane_index *x, const lane_index *y, int lanes, int64_t scale); // x += scale*y; false: too many terms
// Floor division and remainder by a constant; false when the lanes fall apart in a way that only run-time vectors could say.
bool loops_index_div(lower *L, const lane_index *x, int lanes, int64_t f, lane_index *quotient, lane_index *remainder);
tg_value *loops_index_base(lower *L, const lane_index *x);             // sum of the terms, an i64
tg_value *loops_index_value(lower *L, const lane_index *x, int lanes); // i64 scalar when uniform, else vector
pos loops_lane(const pos *p, int lane);                                // one lane's position
pos loops_origin(int rank);

// ---- loops_eval.c
info *loops_info(lower *L, tg_value *v);
tg_value *loops_eval(lower *L, tg_value *v, const pos *p);       // scalar when all lanes agree
tg_value *loops_eval_lanes(lower *L, tg_value *v, const pos *p); // always p->lanes wide
tg_value *loops_scalar(lower *L, tg_value *v);                   // of a one-element tile
void loops_prefetch(lower *L, tg_value *v, const pos *p);        // asks for what an evaluation would read; the position may lie outside
void loops_bind(lower *L, tg_value *v, tg_value *ssa);
void loops_bind_buffer(lower *L, tg_value *v, const buffer *b);
_Noreturn void loops_refuse(lower *L, const tg_op *op, const char *format, ...) __attribute__((format(printf, 3, 4)));
int loops_memory_dtype(int dtype); // i1 and, in buffers, e2m1 live as i8

// ---- loops_view.c
void loops_resolve(lower *L, tg_value *v, view *out);
bool loops_view_known(lower *L, const tg_op *op); // the launch record checks where the view leads
void loops_check_view(lower *L, tg_op *op);       // else the code does
tg_value *loops_count(lower *L, const tg_op *op, int axis, const view *view,
                      tg_value **low);                      // inside indices of a view axis; low: see constraint
tg_value *loops_need(lower *L, const need *n, int64_t len); // run-time number of indices that matter

// ---- loops_memory.c
tg_value *loops_eval_load(lower *L, tg_op *op, const pos *p);
void loops_store(lower *L, tg_op *op); // store, scatter
tg_value *loops_read_buffer(lower *L, const buffer *b, const pos *p, int dtype);
void loops_write_buffer(lower *L, const buffer *b, const pos *p, tg_value *value, int dtype);
buffer *loops_new_buffer(lower *L, int dtype, int rank, const int32_t *len, const char *name);

// ---- loops_block.c
tg_value *loops_block_load(lower *L, const tg_op *op, const pos *p, int axis, int dtype,
                           tg_value *(*pointer)(lower *L, const tg_op *op, const pos *at), int level, bool constant);

// ---- loops_nest.c
typedef struct nest nest;
typedef void nest_body(lower *L, nest *N, const pos *p);
struct nest {
  int rank;
  int32_t len[TG_MAX_RANK];
  tg_value *need[TG_MAX_RANK];                           // indices wanted, run time; NULL = len
  int order[TG_MAX_RANK];                                // loops from outside in; the last is the lane axis
  tg_value *(*streams)(lower *L, nest *N, const pos *p); // when vectors of the last loop, begun at p, may be streamed; NULL = never
  int64_t stream;                                        // L->stream inside the vector loop of which that holds
  int unroll;                                            // elements that a trip of the last loop covers one after another; 0 = 1
  bool blocks;                                           // only whole trips of the last loop; where they end is left in `done`
  int nloops;                                            // axes in `order`; the others stay at index 0 or where `start` puts them
  int lanes, fixed_lanes; // fixed_lanes: lanes of `start` that all loops keep; 0 = the lane axis is the last loop's
  pos start;
  nest_body *body;
  void *user;
  // state
  tg_value *done;
  struct probe probe;
  tg_value *vars[TG_MAX_RANK];
  int depth;
};
void loops_nest_init(lower *L, nest *N, int rank, const int32_t *len);
void loops_nest_probe(lower *L, nest *N); // finds the constraints
void loops_nest_run(lower *L, nest *N);   // probes and emits
// Number of leading indices of loop k at which every access is inside, at most the need.
tg_value *loops_nest_inside(lower *L, nest *N, int k);
void loops_nest_facts(lower *L, nest *N, int k); // to call inside the opened loop k
int loops_width(lower *L, int64_t len);          // lanes for an axis of that length

// Where a store, scatter or atomic writes.
typedef struct placement {
  tg_op *op;
  view view;
  tg_value *value, *mask;
  tg_value *whole; // an i1 that must hold for any element at all; NULL = nothing must
  int unit;        // axis of the tile that is contiguous in memory; -1 = none
  bool low;        // a start may be negative: each element looks for itself
} placement;
void loops_place(lower *L, tg_op *op, placement *at, nest *N);                                // also the nest over the tile, with its needs
tg_value *loops_place_element(lower *L, const placement *at, const pos *p, tg_value **guard); // pointer of one lane's element; see address

// ---- loops_atomic.c
void loops_atomic(lower *L, tg_op *op);

// ---- loops_nibble.c: e2m1 in memory; index: of an element, in elements from `base`
tg_value *loops_nibble_byte(lower *L, tg_value *base, tg_value *index, int64_t offset,
                            tg_value **high);                                      // where element index + offset lies
bool loops_nibbles_whole(const tg_value *index, const int64_t *offset, int lanes); // lanes fill whole bytes
tg_value *loops_nibbles_at(lower *L, tg_value *base, tg_value *index);             // of whole bytes
tg_value *loops_nibble_get(lower *L, tg_value *byte, tg_value *high);
tg_value *loops_nibble_set(lower *L, tg_value *byte, tg_value *code, tg_value *high);
void loops_nibble_store(lower *L, tg_value *base, tg_value *index, int64_t offset, tg_value *code);

// ---- loops_debug.c
void loops_reduce_asserts(lower *L); // before planning: what is asserted of a tile becomes one i1
void loops_assert(lower *L, tg_op *op);
void loops_print(lower *L, tg_op *op);

// ---- loops_scan.c
void loops_scan(lower *L, tg_op *op);
void loops_argmax(lower *L, tg_op *op);
// Loops over all axes but one, with the needs of `result`; lanes along that axis itself are in *along when it is the lane axis, else 1.
void loops_lines(lower *L, tg_value *result, int axis, nest *N, int *along);
tg_value *loops_line_read(lower *L, const buffer *b, const pos *p, int dtype); // of what may have been written just before

// ---- loops_sort.c
void loops_sort(lower *L, tg_op *op);

// ---- loops_reduce.c
void loops_reduce(lower *L, tg_op *op);
void loops_restore_nan(lower *L); // before planning: minnum and maxnum of nothing but NaN give NaN
tg_value *loops_combine(lower *L, const char *kind, tg_value *a, tg_value *b);
tg_value *loops_identity(lower *L, const char *kind, int dtype);

// ---- loops_plan.c
void loops_plan(lower *L, tg_launch *launch); // weights, roots, needs
bool loops_is_root(const tg_op *op);
bool loops_kept_operand(const info *f, const tg_type *type); // kept for dots, see loops_keep_operand
bool loops_evaluable(lower *L, tg_value *v);                 // every value behind it exists already

// ---- loops_control.c
void loops_region(lower *L, tg_region *region); // all ops but the terminator
void loops_for(lower *L, tg_op *op);
void loops_if(lower *L, tg_op *op);
void loops_while(lower *L, tg_op *op);
void loops_materialise(lower *L, tg_value *v, const buffer *into); // the elements that are needed
const buffer *loops_materialise_new(lower *L, tg_value *v, const char *name);

// ---- loops_dot.c
void loops_dot(lower *L, tg_op *op);
bool loops_dot_pairs(lower *L, const tg_op *dot); // by dots of bf16 pairs
// An operand kept for dots: in the type that they multiply, with rows to spare, so that they read it where it lies.
const buffer *loops_keep_operand(lower *L, tg_value *v);
bool loops_dot_fold(lower *L, tg_op *op); // false: not a plain fold of one dot

#endif
