// Float64 oracles of the kernels around attention and experts, from their formulas. They share nothing with the product.
#ifndef TG_ORACLE_MOE_H
#define TG_ORACLE_MOE_H
#include <stdbool.h>
#include <stdint.h>

#include "oracle.h"

// Pairs (2i, 2i+1) of X[T,N,D], elements of `format`, turned by pos[t]*inv_freq[i] and stretched by `scale`; length: of the pair that an
// element belongs to.
typedef struct oracle_rope_call {
  oracle_format format;
  int64_t T, N, D;
  double scale;
  const void *X;
  const int32_t *pos;
  const float *inv_freq;
} oracle_rope_call;
void oracle_rope(const oracle_rope_call *call, double *O, double *length);

typedef struct oracle_gate {
  int64_t groups, topk_groups, topk;
  double scale;
  bool softplus; // scores are sqrt(log(1 + e^x)), else sigmoids
} oracle_gate;

// One row of logits: idx[topk] by the definition and scores[E] without bias. Gives the least difference, other than 0, between any two
// values whose order decides the result: below the rounding of f32 another order is as right. NaN counts as greatest.
double oracle_gate_row(const oracle_gate *g, int64_t E, const float *L, const float *bias, int32_t *idx, double *scores);

void oracle_dispatch(int64_t T, int64_t k, int64_t E, const int32_t *idx, int32_t *offsets, int32_t *src);
// Y: elements of `format`; sum: of |w*y|, the scale of rounding errors.
void oracle_combine(oracle_format format, int64_t T, int64_t H, int64_t k, const void *Y, const int32_t *src, const float *w, double *O,
                    double *sum);
#endif
