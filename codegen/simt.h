// Inside of the simt lowering: its state and what its files share.
//
// A tile value becomes one lane scalar per register of its layout (simt_tile). Ops that only rename coordinates (broadcast, transpose,
// reshape, spread, iota, constants …) make nothing: they are looked through when somebody asks for their result in some layout (simt_get).
#ifndef TG_SIMT_H
#define TG_SIMT_H

#include "codegen/codegen.h"
#include "codegen/layout_show.h"

typedef struct simt_tile {
  tg_layout layout;
  tg_value **reg;         // tg_layout_registers(&layout) of them; repetition r's begin at r << layout.in[TG_REGISTER]
  const tg_region *at;    // lane region in which they were made
  struct simt_tile *next; // the same value in another layout
} simt_tile;

typedef struct simt_use { // of a value, by an op's operand
  const tg_op *op;
  int operand;
  struct simt_use *next;
} simt_use;

typedef struct simt_stage { // a tile in shared memory (simt_stage.c)
  const tg_value *value;    // of the tile kernel
  tg_type type;             // what lies there: the value, or a chunk of it along one axis
  tg_layout tile;           // its extents
  tg_map at;                // packed coordinates to elements, within a repetition
  tg_layout held;           // in which lanes bring it
  const tg_op *mask;        // select that leaves 0 of it where its condition does not hold: done by the copies; NULL: none
  int64_t bytes;
  int chunk_axis, chunk_bits; // 2^chunk_bits chunks
  int64_t offset;             // in a slot of a ring
  int swizzle;                // as warp groups read it: bytes of a row that lie side by side; 0: they do not
  bool turned;                // pairs of a unit of 16 elements lie in another order (simt_widen.c)
  struct simt_stage *wide;    // codes: what a dot makes of them for itself; NULL: nothing
  tg_value *base;             // ptr<shared> where code is being made
} simt_stage;

typedef struct simt_note { // of a value of the tile kernel, by its id
  bool planned;
  tg_layout plan;   // advice of simt_plan; tiles keep their own
  simt_tile *tiles; // the first is what its op made
  tg_value *scalar; // rank 0
  simt_use *users;
  int uses, fetch;           // fetch: the one for which its op was last lowered
  bool ahead;                // a dot's operand that is to go through shared memory
  bool widened;              // codes that are to be widened there
  int reached;               // the walk that last came to it (simt_columns.c)
  simt_stage *stage;         // of a load: it goes to shared memory, and nowhere else; of what is computed for several dots: where it lies
  bool kept;                 // computed, and stored once for all dots that read it
  bool in_ring;              // there, by the fold that it stands in
  struct simt_wgmma *groups; // of a dot: how warp groups multiply what lies in shared memory (simt_staged.c); NULL: they do not
  bool apart;                // of a dot: they cannot, as was found
  bool hoisted;              // made before the block was split into a full and an edge path

  struct simt_box *box; // of a load: the copy unit brings it (simt_tma.c)
} simt_note;

typedef struct simt_ring { // of a fold: operands of the trips to come
  const tg_op *loop;
  int nloads, slots;
  tg_op *load[8];
  int64_t slot_bytes;
  bool groups; // warp groups multiply what is in it
  struct simt_ring *next;
} simt_ring;

typedef struct simt_touch simt_touch; // of a tensor that the launch writes (simt_order.c)
typedef struct simt_touches {
  simt_touch *at;
  int n;
} simt_touches;

typedef struct simt_quiet { // what of shared memory is in use since a barrier
  const tg_region *at;      // lane region in which it stands; NULL: nothing is known
  int n;
  int64_t used[8][2]; // from, to
} simt_quiet;

typedef struct simt {
  tg_context *ctx;
  tg_arena *arena; // the lane kernel's
  const tg_machine *machine;
  tg_kernel *tile, *lane;
  tg_launch *launch, *out; // the tile launch at work and what becomes of it
  simt_note *notes;        // by value id
  tg_shown *shown;         // NULL: nobody asked
  tg_builder b;            // where code goes
  tg_builder prologue;     // start of the launch; dominates everything
  int warps, warp_bits, lane_bits;
  bool assume;                 // this variant may ask for preconditions
  tg_value *lane_id, *warp_id; // i32
  tg_op *scratch;              // shared memory; NULL until some is needed
  int64_t shared_top;          // what is taken of it: regions end when the tile kernel's do
  simt_quiet quiet;
  int stages;      // slots of a ring at most; 1 = operands come straight from memory
  int warps_m;     // warps that a product's rows are split among; 0: by turns with its columns
  bool by_threads; // whoever multiplies copies: no operand comes from the copy unit
  bool may_specialise;
  int raster;       // blocks along axis 0 of a group, which is walked along all of axis 1 before the next; 1 = all of axis 0
  bool lean;        // shared memory for nothing that could do without: all else did not fit
  bool *overflowed; // whether that was why lowering failed
  simt_ring *rings; // folds with one
  int fetches, walks;
  bool grouped;             // some product of warp groups reads what threads put into shared memory
  bool fresh;               // nobody has been given shared memory since the barrier that begins a trip of a ring
  int64_t multiplications;  // of a thread, written out in the launch
  const tg_value *full[64]; // ranges that are known to end inside where code is being made
  int nfull;
  simt_touch *touches; // since the last barrier
  int ntouches;
  struct simt_pipe *pipes, *trip; // folds whose operands the copy unit brings; the one whose body is being lowered
  struct simt_slots *slots;       // theirs
  tg_value *block;                // number of the block being computed, i32, where a block computes several; NULL: its own
  bool persistent, may_persist;   // blocks compute several; the kernel has that knob
  bool producing;                 // code is being made for a thread that follows the others: the one that asks for them,
  bool issuing;                   // or the one that issues products into tensor memory;
  bool *followed;                 // which values it computes, by id
  int consumers;                  // threads that compute, where others do not; 0: all
  tg_value *block_full;           // where such blocks and others go one way: no range of the block's own sticks out; NULL: never
  const tg_value *block_range[32];
  int nblock_ranges;
  bool may_cluster;          // simt_has_cluster
  int most_cluster;          // blocks of a cluster that were asked for
  int cluster, cluster_axis; // of the launch: neighbours along an axis of the grid; 1: none
  bool beyond;               // whose number they need not divide, so that some may lie beyond the grid's end
  bool split;                // folds get a trip without masks of their own (not on a block's edge path)
} simt;

static inline simt_note *simt_note_of(simt *s, const tg_value *v) { return &s->notes[v->id]; }

// ---- simt_plan.c: which layout each tile of a launch gets
void simt_plan(simt *s, tg_launch *launch);
tg_layout simt_plan_of(simt *s, const tg_value *v); // in which it is held, or is to be made
tg_layout simt_default_layout(simt *s, tg_type type);
bool simt_is_lazy(const tg_value *v); // looked through by simt_get
// Layout that the operand of a renaming op must have for its result to be in `layout`; false where there is none, as bits do not go to
// bits.
bool simt_operand_layout(const tg_op *op, const tg_layout *layout, tg_layout *out);

// Layout of what transposes and reshapes make of `from`, held in `layout`; false where bits do not go to bits.
bool simt_result_layout(const tg_value *v, const tg_value *from, const tg_layout *layout, tg_layout *out);

// ---- simt_value.c: registers and coordinates
simt_tile *simt_new_tile(simt *s, const tg_layout *layout);
void simt_set(simt *s, const tg_value *v, simt_tile *tile);
// The registers of a tile value in a layout, converted as needed; of a rank-0 value, its scalar (layout may then be NULL).
simt_tile *simt_get(simt *s, const tg_value *v, const tg_layout *layout);
tg_value *simt_scalar(simt *s, const tg_value *v);
bool simt_has_scalar(simt *s, const tg_value *v);                                  // rank 0, and known where code is being made
simt_tile *simt_widen(simt *s, const simt_tile *compact, const tg_layout *layout); // with registers added that hold nothing of their own
// Part of a packed coordinate (layout->map's) that the lane and warp contribute under `mask`, shifted down by `shift`: i32, in the
// prologue.
tg_value *simt_lane_part(simt *s, const tg_layout *layout, uint32_t mask, int shift);
// Coordinate on one axis of a register's element, i32: lane part and register part.
tg_value *simt_coordinate(simt *s, const tg_layout *layout, int reg, int axis);
int simt_repetition(const tg_layout *layout, int reg, int axis);      // which of the axis's repetitions it belongs to
int simt_register_offset(const tg_layout *layout, int reg, int axis); // the register's own part of it
bool simt_axis_adds(const tg_layout *layout, int axis);               // lane and register parts share no bits: xor is addition
// i1 that holds in exactly one of the places that share an element (NULL: always); registers to leave out have simt_is_replica.
tg_value *simt_owner(simt *s, const tg_layout *layout);
bool simt_is_replica(const tg_layout *layout, int reg);
// `n` neighbouring registers as a vector, without taking apart what was one before.
tg_value *simt_pack(simt *s, tg_value *const *reg, int n);
void simt_unpack(simt *s, tg_value *v, tg_value **reg, int n);
// Small folding builders, at s->b unless the prologue is named.
tg_value *simt_int(simt *s, int dtype, int64_t value);
tg_value *simt_add(tg_builder *b, tg_value *x, tg_value *y);
tg_value *simt_mul(tg_builder *b, tg_value *x, tg_value *y);
tg_value *simt_and(tg_builder *b, tg_value *x, tg_value *y);                                  // NULL operands count as true
tg_value *simt_shuffle(simt *s, tg_value *v, const char *kind, tg_value *lane);               // any dtype
tg_value *simt_shuffle_in(simt *s, tg_value *v, const char *kind, tg_value *lane, int width); // in segments of `width` lanes
tg_value *simt_lane_bit(simt *s, int bit);                                                    // i1
tg_value *simt_offset(simt *s, tg_value *ptr, tg_value *bytes);

tg_value *simt_linear(simt *s, tg_value *x, int n, const uint32_t *col); // xor of col[i] over the set bits of x; NULL: always 0
int simt_operand_repetition(const tg_op *op, const tg_layout *result, const tg_layout *operand, int repetition); // of a renaming op
uint32_t simt_register_image(const tg_layout *layout, int reg); // packed, without its repetition

// ---- simt_shared.c: shared memory
int64_t simt_region_align(const simt *s);           // where regions begin
bool simt_has_shared(simt *s, int64_t bytes);       // whether there is room for one
tg_value *simt_shared(simt *s, int64_t bytes);      // one above those taken, ptr<shared>; who uses it puts barriers before and after
tg_value *simt_take_shared(simt *s, int64_t bytes); // the same, taken until simt_free_shared
tg_value *simt_take_quiet(simt *s, int64_t bytes);  // likewise, one that nobody reads any more: to be written with no barrier before
void simt_free_shared(simt *s, int64_t top);        // down to an earlier shared_top
typedef struct simt_span {
  tg_value *base;
  int64_t from, bytes;
} simt_span;
simt_span simt_open_span(simt *s, int64_t bytes);     // one that may be written at once: all are done with what lay there
void simt_close_span(simt *s, const simt_span *span); // it has been in use until now
void simt_settle(simt *s);                            // a barrier, after which what is written can be read, and the reverse
void simt_publish(simt *s, bool to_groups);           // the same; what threads wrote is there for the block's matrix units too

// ---- simt_convert.c: conversions, as layout_convert.h plans them
simt_tile *simt_convert(simt *s, const simt_tile *from, uint8_t dtype, const tg_layout *to);
simt_tile *simt_share(simt *s, const simt_tile *from, uint8_t dtype);   // what owners hold, given to all who share the element
bool simt_is_free(simt *s, const tg_layout *from, const tg_layout *to); // each lane has its elements already

// ---- simt_operands.c
enum { SIMT_MOST_READERS = 8 };
typedef struct simt_readers { // of a tile in shared memory: dots
  simt_use at[SIMT_MOST_READERS];
  int n;
  const tg_op *mask; // between them all and the tile; NULL: none
} simt_readers;
void simt_note_uses(simt *s, tg_launch *launch);
const tg_value *simt_renamed(const tg_value *v); // what transposes and reshapes rename
// What of a dot's operand lies in shared memory, or would: what is renamed, what a mask leaves of a load, e4m3 before it is widened.
const tg_value *simt_staged(simt *s, const tg_value *v);
const tg_value *simt_under(const tg_value *v); // one step of the way there
bool simt_is_load(const tg_op *op);
bool simt_is_zero(const tg_value *v);                                       // a constant, +0 everywhere
bool simt_is_masking(const tg_op *op);                                      // select of a load or 0
bool simt_find_readers(simt *s, const tg_value *staged, simt_readers *out); // false where not only dots with an instruction use it
bool simt_dot_is_turned(simt *s, const tg_op *op);                          // simt_dot_layouts

// ---- simt_remake.c
bool simt_can_remake(simt *s, const tg_value *v, int depth); // of at most `depth` ops: element by element, renamings, loads of inputs
simt_tile *simt_remake(simt *s, const tg_value *v, const tg_layout *layout);

// ---- simt_stage.c: tiles in shared memory
typedef struct simt_reader simt_reader;
// A stage for all that read it; NULL where one of them could not. reads: dots and their operands. fragment: of each.
simt_stage *simt_stage_of_load(simt *s, const tg_value *load, const simt_readers *reads, const tg_layout *fragment, const tg_layout *held);
simt_stage *simt_stage_of_kept(simt *s, const tg_value *value, const simt_readers *reads, const tg_layout *fragment, const simt_tile *tile);
simt_stage *simt_stage_of_tile(simt *s, const tg_value *operand, const tg_layout *fragment, const simt_tile *tile, int k_axis);
void simt_copy_stage(simt *s, const tg_op *load, const simt_stage *stage);                 // asynchronously
void simt_store_stage(simt *s, const simt_stage *stage, const simt_tile *from, int chunk); // from registers
// Reads an operand's fragments, 32 bits of neighbouring registers at a time: a vector of the operand's dtype or an i32. is_a: the
// instruction's left one. other: a register bit that is read together with the first beyond those of a word.
simt_reader *simt_open_reader(simt *s, const simt_stage *stage, const tg_value *operand, const tg_layout *fragment, bool is_a, int other);
tg_value *simt_read_word(simt *s, simt_reader *reader, int reg);
// Whether neighbours along an axis of a dot's operand are neighbours of a row in what is staged of it.
bool simt_runs_along(simt *s, const tg_value *operand, int axis);

// ---- simt_columns.c
// Neighbouring columns that one lane should hold of what a dot sums up: 16 bytes of them, where it goes to stores alone, otherwise 1.
int simt_columns_together(simt *s, const tg_op *dot);

// ---- simt_widen.c: codes to bf16, once for all warps of a block
bool simt_can_widen(simt *s, const tg_value *operand, const tg_layout *fragment, int k_axis);
// Codes on their way to a second stage, `wide`, which a dot reads instead.
simt_stage *simt_stage_to_widen(simt *s, const tg_op *load, const tg_value *operand, const tg_layout *fragment, const tg_layout *held,
                                int k_axis);
void simt_widen_stage(simt *s, const simt_stage *codes); // all of it, at codes->wide->base

// ---- simt_ring.c: folds that fetch ahead
void simt_plan_rings(simt *s, tg_launch *launch); // before the layouts
bool simt_ring_for(simt *s, tg_op *loop);         // lowers it, where it has a ring
bool simt_has_ring(simt *s, const tg_op *loop);
bool simt_bring(simt *s, tg_op *op);        // whether what the op makes lies in shared memory and nowhere else; brings it there
void simt_keep(simt *s, const tg_value *v); // stores what has been computed where all dots that use it will read it
// Whether a value of the loop's body can be had for any trip ahead: from the index and from inputs, not from what is carried.
bool simt_is_ahead(simt *s, const tg_value *v, const tg_region *body, int depth);
bool simt_has_fill(const tg_op *load); // other than 0
// Everything that a load's addresses are made of, for the trip whose index the body's first argument has just been given, once for each
// s->fetches.
void simt_make_addresses(simt *s, const tg_value *v, const tg_region *body);

// ---- simt_tma.c, simt_wgmma.c, simt_specialise.c: folds whose operands the copy unit brings and warp groups multiply
typedef struct simt_pipe simt_pipe;
typedef struct simt_slots simt_slots;
typedef struct simt_wgmma simt_wgmma;
bool simt_pipe_fits(simt *s, const tg_op *dot, simt_wgmma *out); // of a dot or dot_scaled; s: machine, tile, arena, warps, stages, assume
void simt_plan_pipes(simt *s, tg_launch *launch);                // before the rings
simt_pipe *simt_pipe_of_dot(simt *s, const tg_op *dot);          // NULL: none
void simt_wgmma_dot(simt *s, tg_op *dot);
int simt_wgmma_warps(const tg_machine *machine, const tg_kernel *tile); // of a block for the largest such product; 0: none
int simt_wgmma_registers(const tg_op *dot, int warps);
int simt_most_registers(const tg_machine *machine, int otherwise); // of a thread, as the machine says, but no more than `otherwise`
bool simt_pipe_for(simt *s, tg_op *loop);                          // lowers it, where it has a pipe
bool simt_has_pipe(simt *s, const tg_op *op);                      // itself or within
bool simt_is_followed(simt *s, const tg_op *op);                   // by the thread that asks for boxes
void simt_specialise(simt *s);                                     // the launch's body, where it has pipes
void simt_split_store(simt *s, tg_op *op);

// ---- simt_staged.c: products of warp groups from what threads put into shared memory
const simt_wgmma *simt_groups_of_dot(simt *s, const tg_op *dot); // by any means; NULL: none
void simt_choose_staged(tg_op *op, void *user);                  // user: simt; once it is known which loads go to shared memory
bool simt_staged_have_all(simt *s, tg_launch *launch);           // false: some found no room, and are not to be chosen again
void simt_staged_dot(simt *s, tg_op *dot);

// ---- simt_memory.c
tg_value *simt_argument(simt *s, const tg_expr *e); // launch argument that holds a launch-time expression, i64
void simt_pointer_arguments(simt *s);
tg_value *simt_scalar_argument(simt *s, const char *name, int dtype);
void simt_load(simt *s, tg_op *op);
simt_tile *simt_load_in(simt *s, const tg_op *op, const tg_layout *layout);
bool simt_reads_input(simt *s, const tg_op *op); // a load of what the launch does not write
void simt_store(simt *s, tg_op *op);
void simt_atomic(simt *s, tg_op *op);
void simt_check_view(simt *s, const tg_op *op); // stops the launch where the view leads outside of its tensor
static inline bool simt_is_used(simt *s, const tg_value *v) { return simt_note_of(s, v)->uses > 0; }
// What is known of integers of the tile kernel.
int64_t simt_divisor_of(simt *s, const tg_value *v); // largest known; 0 for zero
bool simt_same(simt *s, const tg_value *a, const tg_value *b);
bool simt_range_is_full(simt *s, const tg_op *range);             // all its indices are below its end
bool simt_is_below(simt *s, const tg_value *v, const tg_expr *e); // known so, e of the launch
tg_value *simt_compare_known(simt *s, const tg_op *op);           // true, of indices against the end of a range that is full; else NULL

// ---- simt_order.c: accesses of a block in program order
void simt_barrier(simt *s);
void simt_order(simt *s, const tg_op *op, const tg_layout *layout); // a barrier, where the access needs one before it
void simt_order_loop(simt *s, const tg_op *loop);                   // on entering: earlier trips have made all its accesses
simt_touches simt_order_save(simt *s);                              // what branches begin with, and
void simt_order_restore(simt *s, simt_touches kept);
void simt_order_merge(simt *s, simt_touches kept); // what they leave

// ---- simt_reduce.c, simt_scan.c, simt_sort.c, simt_dot.c
int simt_combining_op(const char *kind); // of reduce and scan; -1 when there is none
void simt_reduce(simt *s, tg_op *op);
void simt_argmax(simt *s, tg_op *op);
void simt_scan(simt *s, tg_op *op);
void simt_sort(simt *s, tg_op *op);
tg_layout simt_sort_layout(simt *s, const tg_op *op);        // of its operands and results
tg_layout simt_line_layout(simt *s, tg_type type, int axis); // lines along the axis within a warp
void simt_dot(simt *s, tg_op *op);
// Layouts of a dot's operands and result.
typedef struct simt_dot_layouts {
  tg_layout a, b, c;
  uint32_t k_image[12];            // where bit i of the fragment's k lies in the tile's k
  uint32_t m_image[4], n_image[4]; // likewise, of the fragment's rows and columns and the first bit beyond these
  const struct tg_matrix_row *row; // NULL: lanes multiply and add
  bool turned;                     // the instruction's rows run along the result's columns: its left operand is the dot's right one
} simt_dot_layouts;
void simt_dot_plan(simt *s, const tg_op *op, simt_dot_layouts *out);
// The instruction that does it; NULL: none, or the tile of k is shorter than one. Lanes multiply and add then.
const struct tg_matrix_row *simt_dot_row(const tg_machine *machine, const tg_op *op);
bool simt_dot_seeds(simt *s, const tg_op *op, int operand); // whether the operand should be held as its fragments are
// 32-bit registers of a lane for operands and accumulators
int simt_dot_registers(const tg_machine *machine, const tg_op *op, int warp_bits);

int simt_dot_sharers(simt *s, const tg_op *op, int operand);       // warps that use the same elements of an operand
bool simt_dot_streams(const tg_machine *machine, const tg_op *op); // needs only part of its operands at a time

// ---- simt_fma.c: dots that no matrix instruction does
void simt_fma_plan(simt *s, const tg_op *op, simt_dot_layouts *out);
void simt_fma(simt *s, tg_op *op, const simt_dot_layouts *l);
tg_value *simt_multiply_add(simt *s, tg_value *x, tg_value *y, tg_value *sum);

// ---- simt_fma_loop.c: those of them that loop over k
bool simt_fma_loops(const tg_op *op, int warp_bits);
void simt_fma_seed_operand(simt *s, const tg_value *operand);    // where nobody has asked for another layout
void simt_fma_loop(simt *s, tg_op *op, const tg_layout *layout); // layout: of the result

// ---- simt_sink.c
void simt_sink_loads(simt *s, tg_launch *launch);

// ---- simt_relative.c
void simt_relate_addresses(simt *s, tg_launch *launch); // of the lane kernel

// ---- simt_prepare.c
// A copy, the caller's, in the form that is lowered. `keeps` (NULL: none) says which products keep operands that no matrix instruction of
// warps takes.
typedef bool simt_keeps_fn(const tg_kernel *tile, const tg_op *dot, void *user);
tg_kernel *simt_prepare(const tg_machine *machine, const tg_kernel *tile, simt_keeps_fn *keeps, void *user);

// ---- simt_scaled.c
// Makes products with scales plain ones.
void simt_expand_scaled(const tg_machine *machine, tg_kernel *kernel, simt_keeps_fn *keeps, void *user);

// ---- simt_grid.c
enum { SIMT_RASTERS = 5 };
extern const char *const simt_raster_values[SIMT_RASTERS];
bool simt_has_raster(const tg_kernel *tile);                                           // some launch of two axes or more has products
bool simt_raster_knob(const tg_kernel *tile, const tg_machine *machine, tg_knob *out); // false: there is none
int simt_raster_setting(const tg_kernel *tile, const tg_lower_options *options);
void simt_pid(simt *s, const tg_op *op); // block coordinates from the linear block number
const tg_expr *simt_all_blocks(simt *s); // of the grid, with those beyond its end

// ---- simt_knobs.c
// The number that a knob is set to, one of n values; throws when it is none of them.
int64_t simt_choice(const tg_kernel *tile, const tg_lower_options *options, const char *name, int n, const int64_t *values,
                    int64_t otherwise);
tg_knob simt_split_knob(const tg_machine *machine);
int simt_split_setting(const tg_kernel *tile, const tg_lower_options *options);
void simt_record_split(simt *s);
tg_knob simt_specialise_knob(void);
bool simt_specialise_setting(const tg_kernel *tile, const tg_lower_options *options);
void simt_record_specialise(simt *s);

// ---- simt_cluster.c
void simt_plan_cluster(simt *s); // after the pipes
tg_value *simt_cluster_rank(simt *s);
bool simt_has_cluster(const tg_kernel *tile, const tg_machine *machine); // some pipe has an operand to share
tg_knob simt_cluster_knob(void);
int simt_cluster_setting(const tg_kernel *tile, const tg_lower_options *options);
void simt_record_cluster(simt *s);

// ---- simt_room.c
int simt_most_warp_bits(const tg_machine *machine);     // log2 of the warps that a block may have
void simt_check_room(simt *s, const tg_launch *launch); // throws where a tile or a dot has no room in registers

// ---- simt_blocks.c
extern const char *const simt_persistent_values[2];
bool simt_may_pipe(simt *s); // some product has one; s as for simt_pipe_fits
tg_knob simt_persistent_knob(void);
bool simt_persistent_setting(const tg_kernel *tile, const tg_lower_options *options, bool may);
const tg_expr *simt_grid(simt *s); // blocks of the launch, once its pipes are planned
void simt_each_block(simt *s, void (*compute)(simt *s));

// ---- simt_control.c
void simt_for(simt *s, tg_op *op);
void simt_if(simt *s, tg_op *op);
void simt_while(simt *s, tg_op *op);

// ---- simt.c
void simt_record_knob(simt *s, const char *name, int number, int n, const char *const *allowed);
void simt_op(simt *s, tg_op *op);
tg_value *simt_lane_op(simt *s, const tg_op *op, tg_value *const *in);
void simt_region(simt *s, const tg_region *region); // its ops but the yield
void simt_begin_block(simt *s);                     // what depends on nothing but which block it is
_Noreturn void simt_fail(simt *s, const tg_op *op, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
