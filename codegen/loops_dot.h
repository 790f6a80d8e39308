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
  int64_t kc, lda, ldc;          // strip, row strides of packed a and of c, elements
  bool exact;                    // what lies outside the tensors is zero in both operands
  tg_value *rows, *cols;         // of the result that matter
  buffer *apack, *bpack, *c;
  tg_value *end;                 // of the fold
  tg_value *strip, *strip_end;   // fold's variable from, to
  tg_value *depth, *padded;      // elements of the strip; rounded up to the unrolling
  tg_value *offset;              // of the trip in the strip
  tg_value *panel;               // first column
} dot_job;

#endif
