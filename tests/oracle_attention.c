#include "oracle_attention.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "oracle.h"

// One query against n keys: weights softmax(scale q.k), then the weighted sum of the first D elements of each value.
static void attend(int64_t n, const uint16_t *q, int64_t C, double scale, const uint16_t *const *keys, const uint16_t *const *values,
                   oracle_heads *heads, int64_t row) {
  const int64_t D = heads->D;
  double *scores = malloc(sizeof *scores * (size_t)(n + 1)), *out = heads->out + row * D, *sum = heads->sum + row * D;
  double top = -INFINITY, total = 0;
  bool nan = false;
  for (int64_t d = 0; d < D; d++) out[d] = sum[d] = 0;
  for (int64_t j = 0; j < n; j++) {
    double s = 0;
    for (int64_t c = 0; c < C; c++) s += oracle_decode(ORACLE_BF16, q, c) * oracle_decode(ORACLE_BF16, keys[j], c);
    scores[j] = s * scale;
    nan = nan || isnan(scores[j]);
    if (scores[j] > top) top = scores[j];
  }
  for (int64_t j = 0; j < n; j++) total += exp(scores[j] - top);
  for (int64_t j = 0; j < n; j++) {
    const double p = exp(scores[j] - top) / total;
    for (int64_t d = 0; d < D; d++) {
      const double v = oracle_decode(ORACLE_BF16, values[j], d);
      out[d] += p * v, sum[d] += p * fabs(v);
    }
  }
  heads->lse[row] = nan ? NAN : n ? top + log(total) : -INFINITY;
  free(scores);
}

void oracle_mla_decode(const oracle_decode_call *x, oracle_heads *heads) {
  const int64_t C = x->D + x->R;
#pragma omp parallel for
  for (int64_t row = 0; row < x->B * x->S * x->N; row++) {
    const int64_t b = row / x->N / x->S, s = row / x->N % x->S;
    int64_t len = x->lens[b] < 0 ? 0 : x->lens[b], n = 0;
    if (len > 64 * x->W) len = 64 * x->W;
    const uint16_t **keys = malloc(sizeof *keys * (size_t)(len + 1));
    for (int64_t j = 0; j < len - x->S + s + 1; j++) {
      const int64_t page = x->table[b * x->W + j / 64];
      if (page >= 0 && page < x->P) keys[n++] = x->KV + (page * 64 + j % 64) * C;
    }
    attend(n, x->Q + row * C, C, x->scale, keys, keys, heads, row);
    free(keys);
  }
}

void oracle_mla_prefill(const oracle_prefill_call *x, oracle_heads *heads) {
  const int64_t rows = x->T * x->N;
  for (int64_t i = 0; i < rows * heads->D; i++) heads->out[i] = heads->sum[i] = NAN;
  for (int64_t i = 0; i < rows; i++) heads->lse[i] = NAN;
  for (int64_t b = 0; b < x->B; b++) {
#pragma omp parallel for schedule(dynamic)
    for (int64_t row = x->cu[b] * x->N; row < x->cu[b + 1] * x->N; row++) {
      const int64_t i = row / x->N, h = row % x->N, n = i - x->cu[b] + 1;
      const uint16_t **keys = malloc(sizeof *keys * (size_t)n * 2), **values = keys + n;
      for (int64_t j = 0; j < n; j++) {
        keys[j] = x->K + ((x->cu[b] + j) * x->N + h) * x->Dqk;
        values[j] = x->V + ((x->cu[b] + j) * x->N + h) * x->Dv;
      }
      attend(n, x->Q + row * x->Dqk, x->Dqk, x->scale, keys, values, heads, row);
      free(keys);
    }
  }
}
