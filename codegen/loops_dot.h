// A dot at work; shared by the forms of dot.
#ifndef TG_LOOPS_DOT_H
#define TG_LOOPS_DOT_H

#include "codegen/loops.h"

typedef struct dot_job {
  tg_op *dot, *fold;             // fold: the loop that does nothing but this dot, or NULL
  tg_value *a, *b, *sa, *sb;     // scales NULL when there are none
  int32_t M, N, K;               // of one trip
  int dtype;                     // of the accumulator
  int mr, nr, unroll;            // micro-kernel rows, lanes, steps of the reduced axis
  int64_t kc, lda, ldb, ldc;     // strip, row strides of packed a and b and of c, elements
  const buffer *a_lies, *b_lies; // kept operands that are read where they lie; NULL = packed
  bool pairs;                    // operands packed as pairs of bf16 (loops_dot2.c)
  int64_t block;                 // pairs: elements of the reduced axis that share a scale
  tg_value *even;                // pairs: the step at work's lower halves
  bool exact;                    // what lies outside the tensors is zero in both operands
  tg_value *rows, *cols;         // of the result that matter
  const buffer *apack, *bpack;
  buffer *c, *sapack, *sbpack;
  buffer *codes;               // a trip's panel of b, turned and not yet decoded
  tg_value *end;               // of the fold
  tg_value *strip, *strip_end; // fold's variable from, to
  tg_value *depth, *padded;    // elements of the strip; rounded up to the unrolling
  tg_value *first;             // where the micro-kernel begins in a and b
  tg_value *offset;            // of the trip in the strip
  tg_value *panel;             // first column
} dot_job;

// Opens the loop over the strip's trips and binds the fold's variable; gives how far into the strip the trip starts.
tg_value *loops_dot_open_trips(lower *L, dot_job *J);
void loops_dot_close_trips(lower *L, dot_job *J);
tg_value *loops_dot_trip_length(lower *L, dot_job *J); // elements of the reduced axis in this trip that can be other than zero
lane_index loops_dot_scale_index(lower *L, dot_job *J, const lane_index *x, int lanes, int64_t extent, int64_t scales);
// A scale that multiplies a sum of products: an Inf becomes NaN, which is what terms of both signs, or one of 0, make of it.
tg_value *loops_dot_sum_scale(lower *L, tg_value *scale);
tg_value *loops_dot_a(lower *L, dot_job *J, const pos *p); // a * sa at (row, k)
// At how many columns every access to b is inside, and the probe that says so, before any loop over columns is open.
tg_value *loops_dot_columns_inside(lower *L, dot_job *J, nest *N);
buffer *loops_dot_matrix(lower *L, int dtype, int64_t rows, int64_t stride, const char *name);

// ---- loops_view.c
void loops_check_view_where(lower *L, tg_op *op, tg_value *reached); // loops_check_view where `reached`, an i1, holds (NULL: anyway)

// ---- loops_dot2.c: by dots of bf16 pairs
bool loops_dot2_takes(const tg_op *dot); // its dtypes
bool loops_dot2_fits(const tg_op *dot);  // and its shape
void loops_dot2_describe(dot_job *J);
void loops_dot2_begin(lower *L, dot_job *J);
void loops_dot2_pack_sa(lower *L, dot_job *J);                              // the scales of the trip's rows
void loops_dot2_pack_sb(lower *L, dot_job *J, tg_value *column, int lanes); // and of columns from that one on
void loops_dot2_pack_b(lower *L, dot_job *J, const pos *to, tg_value *x);   // x at (k from the start of the strip, column of the panel)
void loops_dot2_micro(lower *L, dot_job *J, tg_value *row, int height);

// ---- loops_few.c, loops_codes.c, loops_small.c: few rows, by dots of bf16 pairs, of two e4m3 tiles, of any; false when it does not serve.
// Leaves the result in J->c.
bool loops_dot2_few(const tg_op *dot); // its dtypes and shape
bool loops_dot_few(lower *L, dot_job *J, tg_value *lb, tg_value *init);
bool loops_dot_codes(lower *L, dot_job *J, tg_value *lb, tg_value *init);
bool loops_dot_small(lower *L, dot_job *J, tg_value *lb, tg_value *init);

#endif
