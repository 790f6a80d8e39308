// Folds whose operands the copy unit brings to a ring of slots in shared memory, and warp groups multiply from there.
#ifndef TG_SIMT_PIPE_H
#define TG_SIMT_PIPE_H

#include "codegen/matrix.h"
#include "codegen/simt_access.h"

// An operand in a slot: [part][row][`swizzle` bytes], rows of the parts one after the other. Parts are of k and rows of m or n, or (trans)
// the other way round, as the tensor lies in memory.
typedef struct simt_box {
  const tg_op *load;
  tg_arg_map map;
  tg_value *argument;    // ptr<param>
  int axis[TG_MAP_RANK]; // of the view, by the map's
  int row_axis;          // of the map: the other one with more than one index
  int rows, row_boxes, k_boxes;
  bool trans;            // rows run along k
  int blocks;            // of the cluster that share it, each of which asks for as many of the row_boxes; 0: none
  int64_t offset, bytes; // in a slot
} simt_box;

// How the warp groups of a block share a product: blocks of 64 rows and n_each columns. Or how they share what one thread's sums come to in
// tensor memory: blocks of 128 rows.
struct simt_wgmma {
  const tg_wgmma_row *row;
  const tg_tcgen05_row *memory; // instead of row
  int k;
  int groups_m, groups_n, blocks, n_each; // blocks: of each group
  bool turned;                            // rows run along the result's columns
};

// An operand as warp groups read it: [part][row][`swizzle` bytes]; or, the left one, from registers.
typedef struct simt_matrix {
  tg_value **words;   // four i32 for each block of 64 rows and step of k; NULL: it lies in shared memory
  tg_value *desc;     // of the group's own rows or columns
  int64_t part_bytes; // of all rows
  int swizzle, size;  // size: of an element
  bool trans;         // rows of memory run along k
} simt_matrix;

int64_t simt_matrix_byte(const simt_matrix *m, int64_t x, int64_t k); // of row or column x
// The group's number along m (side 0) or n (1), the same in all lanes; NULL: there is but one.
tg_value *simt_wgmma_group(simt *s, const simt_wgmma *w, int side);
// Rows or columns of a group.
int simt_wgmma_share(const simt_wgmma *w, int side);
bool simt_wgmma_shape(const tg_op *dot, int warps, bool turned, simt_wgmma *w); // false: no instruction for that
void simt_wgmma_layout(const simt_wgmma *w, const tg_type *type, tg_layout *c);
// Registers of the result in the order of the instructions' accumulators, block by block.
int *simt_wgmma_order(simt *s, const simt_wgmma *w, const tg_layout *c);
// All of k and all blocks, in flight. sum: by that order; from_zero: it holds nothing yet.
void simt_wgmma_multiply(simt *s, const simt_wgmma *w, const simt_matrix m[2], tg_value **sum, bool from_zero);
void simt_wgmma_wait(simt *s, int pending, int n, tg_value **sum);

struct simt_pipe {
  tg_op *loop, *dot;
  simt_wgmma shape;
  simt_box box[2];  // A's, B's
  int64_t bytes;    // of a slot
  int flight;       // which carried value the product adds to while the next one is in flight; -1: it is waited for
  tg_value *before; // of the trip being lowered, i32: where the barrier is that is released once its successor is in flight
  simt_pipe *next;
};

// What all pipes of a launch share: trips take slots by turns, in program order, whichever fold they belong to. Who brings and who
// multiplies walk the same way through loops and branches, so both count the same trips, and loops and branches with a pipe hand the count
// on.
struct simt_slots {
  int n;
  int64_t bytes, at;             // of a slot; in shared memory
  tg_value *base, *full, *empty; // ptr<shared>: slots, barriers of 8 bytes each, one more empty one that nobody waits for
  tg_value *released,
      *releases;           // where a lane says that its warp has read a slot (`empty`, or that of a block of the cluster); i1, which do
  tg_value *slot, *parity; // where code is being made: number and phase of the next trip's, i32
  // Of sums in tensor memory: parts of it that products take by turns, `columns` each (0: there are none). Each has two barriers: *ready*
  // is told by the thread that issues products, *read* by the warps that have read what was there.
  int buffers, columns;
  tg_value *ready, *read, *memory; // ptr<shared>; address of the first part, i32
  tg_value *buffer, *phase;        // as slot and parity
};

bool simt_pipe_boxes(simt *s, const tg_op *dot, simt_box box[2]); // of a dot's operands; false where the copy unit cannot bring them
tg_value *simt_barrier_at(simt *s, tg_value *barriers, tg_value *slot);
void simt_copy_boxes(simt *s, simt_pipe *pipe, tg_value *slot, tg_value *barrier); // for the trip that the loop's index says
tg_value *simt_map_argument(simt *s, const simt_box *box);
simt_pipe *simt_pipe_of_loop(simt *s, const tg_op *loop);
typedef void simt_trip_fn(simt *s, simt_pipe *pipe, tg_value *index);
void simt_turn(simt *s, simt_pipe *pipe, simt_trip_fn *trip); // the fold's trips as a thread makes them that follows the others
void simt_produce(simt *s, simt_pipe *pipe);                  // as the producer does
void simt_next_slot(simt *s);
int simt_counts(simt *s, tg_value **at[4]); // what the code that is being made counts, two values each; returns how many

// ---- simt_tcgen05.c
bool simt_tcgen05_shape(const tg_machine *machine, const tg_op *dot, int warps, simt_wgmma *out);
int simt_tcgen05_warps(const tg_machine *machine, const tg_kernel *tile);
bool simt_tcgen05_stays(const tg_op *dot);                 // sums stay in tensor memory all through the fold
void simt_tcgen05_buffers(simt *s, const simt_pipe *pipe); // makes room for its sums
void simt_tcgen05_barriers(simt *s, tg_builder *init, tg_value *at);
enum { SIMT_TCGEN05_BYTES = 40 };                  // of shared memory, for these and the address
int simt_tcgen05_columns(const simt_slots *slots); // that a block takes
void simt_tcgen05_allocate(simt *s);
void simt_tcgen05_open(simt *s); // after the barrier behind it
void simt_tcgen05_close(simt *s);
void simt_tcgen05_layout(const simt_wgmma *w, const tg_type *type, tg_layout *c);
void simt_tcgen05_dot(simt *s, tg_op *dot);
void simt_tcgen05_fold(simt *s, tg_op *loop, simt_pipe *pipe); // whose sums stay, for those who read them
void simt_issue(simt *s, simt_pipe *pipe);                     // the fold as the thread makes it that issues products
void simt_next_buffer(simt *s);

// ---- simt_follow.c: what the producer computes for itself
bool simt_can_follow(simt *s, const tg_op *loop, const tg_op *const loads[2]);
void simt_plan_following(simt *s); // of all pipes of the launch

// ---- simt_unkept.c
// Whether nothing sees a product's rows (axis 0) or columns (1) beyond the range's end, which lies within the tensor's extent `dim`.
bool simt_load_is_unkept(simt *s, const tg_op *load, int axis, const tg_op *range); // likewise, of what a load brings along a range
bool simt_is_unkept(simt *s, const tg_op *dot, int axis, const tg_op *range, const tg_expr *dim);

#endif
