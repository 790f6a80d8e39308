#include "oracle_attention.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "oracle.h"

// Elements of one kind, and where each key's begin.
typedef struct rows {
  oracle_format format;
  const void *data;
  const int64_t *at;
} rows;

// One query against n keys: weights softmax(scale q.k), then the weighted sum of the first D elements of each value.
static void attend(int64_t n, oracle_format format, const void *q, int64_t query, int64_t C, double scale, rows keys, rows values,
                   oracle_heads *heads, int64_t row) {
  const int64_t D = heads->D;
  double *scores = malloc(sizeof *scores * (size_t)(n + 1)), *out = heads->out + row * D, *sum = heads->sum + row * D;
  double top = -INFINITY, total = 0;
  bool nan = false;
  for (int64_t d = 0; d < D; d++) out[d] = sum[d] = 0;
  for (int64_t j = 0; j < n; j++) {
    double s = 0;
    for (int64_t c = 0; c < C; c++) s += oracle_decode(format, q, query * C + c) * oracle_decode(keys.format, keys.data, keys.at[j] + c);
    scores[j] = s * scale;
    nan = nan || isnan(scores[j]);
    if (scores[j] > top) top = scores[j];
  }
  for (int64_t j = 0; j < n; j++) total += exp(scores[j] - top);
  for (int64_t j = 0; j < n; j++) {
    const double p = exp(scores[j] - top) / total;
    for (int64_t d = 0; d < D; d++) {
      const double v = oracle_decode(values.format, values.data, values.at[j] + d);
      out[d] += p * v, sum[d] += p * fabs(v);
    }
  }
  heads->lse[row] = nan ? NAN : n ? top + log(total) : -INFINITY;
  free(scores);
}

// Adds position j of sequence b to the list, where the cache has it.
static void add_key(const oracle_decode_call *x, int64_t b, int64_t j, int64_t *keys, int64_t *n) {
  if (j < 0 || j >= 64 * x->W) return;
  const int64_t page = x->table[b * x->W + j / 64];
  if (page >= 0 && page < x->P) keys[(*n)++] = (page * 64 + j % 64) * (x->D + x->R);
}

void oracle_mla_decode(const oracle_decode_call *x, oracle_heads *heads) {
  const int64_t C = x->D + x->R;
#pragma omp parallel for
  for (int64_t row = 0; row < x->B * x->S * x->N; row++) {
    const int64_t b = row / x->N / x->S, s = row / x->N % x->S;
    int64_t len = x->idx ? x->K : x->lens[b] < 0 ? 0 : x->lens[b], n = 0;
    if (!x->idx && len > 64 * x->W) len = 64 * x->W;
    int64_t *keys = malloc(sizeof *keys * (size_t)(len + 1));
    if (x->idx)
      for (int64_t i = 0; i < len; i++) add_key(x, b, x->idx[(b * x->S + s) * x->K + i], keys, &n);
    else
      for (int64_t j = 0; j < len - x->S + s + 1; j++) add_key(x, b, j, keys, &n);
    const rows cache = {x->kv_format, x->KV, keys};
    attend(n, x->format, x->Q, row, C, x->scale, cache, cache, heads, row);
    free(keys);
  }
}

void oracle_mla_prefill(const oracle_prefill_call *x, oracle_heads *heads) {
  const int64_t count = x->T * x->N;
  for (int64_t i = 0; i < count * heads->D; i++) heads->out[i] = heads->sum[i] = NAN;
  for (int64_t i = 0; i < count; i++) heads->lse[i] = NAN;
  for (int64_t b = 0; b < x->B; b++) {
#pragma omp parallel for schedule(dynamic)
    for (int64_t row = x->cu[b] * x->N; row < x->cu[b + 1] * x->N; row++) {
      const int64_t i = row / x->N, h = row % x->N, n = i - x->cu[b] + 1;
      int64_t *keys = malloc(sizeof *keys * (size_t)n * 2), *values = keys + n;
      for (int64_t j = 0; j < n; j++) {
        keys[j] = ((x->cu[b] + j) * x->N + h) * x->Dqk;
        values[j] = ((x->cu[b] + j) * x->N + h) * x->Dv;
      }
      attend(n, x->format, x->Q, row, x->Dqk, x->scale, (rows){x->format, x->K, keys}, (rows){x->format, x->V, values}, heads, row);
      free(keys);
    }
  }
}

void oracle_indexer(const oracle_indexer_call *x, double *logits, double *sums) {
  for (int64_t row = 0; row < x->B * x->S; row++) {
    const int64_t b = row / x->S, s = row % x->S;
    int64_t len = x->lens[b] < 0 ? 0 : x->lens[b];
    if (len > 64 * x->W) len = 64 * x->W;
    for (int64_t j = 0; j < 64 * x->W; j++) {
      const int64_t page = x->table[b * x->W + j / 64], at = row * 64 * x->W + j;
      logits[at] = -INFINITY, sums[at] = 0;
      if (j >= len - x->S + s + 1 || page < 0 || page >= x->P) continue;
      logits[at] = 0;
      for (int64_t h = 0; h < x->H; h++) {
        double dot = 0, w = oracle_decode(ORACLE_F32, x->w, row * x->H + h), size = 0;
        for (int64_t d = 0; d < x->D; d++) {
          const double p = oracle_decode(ORACLE_BF16, x->Q, (row * x->H + h) * x->D + d) *
                           oracle_decode(ORACLE_F32, x->K, (page * 64 + j % 64) * x->D + d);
          dot += p, size += fabs(p);
        }
        logits[at] += w * (isnan(dot) || dot > 0 ? dot : 0), sums[at] += fabs(w) * size;
      }
    }
  }
}

typedef struct ranked {
  double x;
  int64_t column;
} ranked;

static int by_rank(const void *a, const void *b) {
  const ranked *x = a, *y = b;
  if (isnan(x->x) != isnan(y->x)) return isnan(x->x) ? -1 : 1;
  if (!isnan(x->x) && x->x != y->x) return x->x > y->x ? -1 : 1;
  return x->column < y->column ? -1 : 1;
}

void oracle_topk(int64_t n, const float *row, int64_t k, int32_t *idx) {
  ranked *all = malloc(sizeof *all * (size_t)(n + 1));
  for (int64_t j = 0; j < n; j++) all[j] = (ranked){(double)row[j], j};
  qsort(all, (size_t)n, sizeof *all, by_rank);
  for (int64_t i = 0; i < k; i++) idx[i] = i < n ? (int32_t)all[i].column : -1;
  free(all);
}
