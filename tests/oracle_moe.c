#include "oracle_moe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void oracle_rope(const oracle_rope_call *c, double *O, double *length) {
  for (int64_t t = 0; t < c->T; t++)
    for (int64_t n = 0; n < c->N; n++)
      for (int64_t i = 0; i < c->D / 2; i++) {
        const int64_t at = (t * c->N + n) * c->D + 2 * i;
        const double angle = (double)c->pos[t] * (double)c->inv_freq[i], x = c->scale * oracle_decode(c->format, c->X, at),
                     y = c->scale * oracle_decode(c->format, c->X, at + 1);
        O[at] = x * cos(angle) - y * sin(angle), O[at + 1] = x * sin(angle) + y * cos(angle);
        length[at] = length[at + 1] = hypot(x, y);
      }
}

// ---- gate

static double score_of(double x, bool softplus) {
  if (softplus) return sqrt(x > 0 ? x + log1p(exp(-x)) : log1p(exp(x)));
  return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
}

static bool before(double a, double b) { return isnan(a) ? !isnan(b) : a > b; } // in descending order

// The n first of x[count] in descending order, of equals the lower index; also the least difference to what follows.
static double take(int64_t count, const double *x, int64_t n, int64_t *first) {
  double margin = INFINITY;
  bool *taken = calloc((size_t)count + 1, sizeof *taken);
  for (int64_t j = 0; j < n; j++) {
    int64_t best = -1;
    for (int64_t i = 0; i < count; i++)
      if (!taken[i] && (best < 0 || before(x[i], x[best]))) best = i;
    taken[best] = true, first[j] = best;
    for (int64_t i = 0; i < count; i++) {
      const double off = x[best] - x[i];
      if (!taken[i] && off > 0 && off < margin) margin = off;
    }
  }
  free(taken);
  return margin;
}

double oracle_gate_row(const oracle_gate *g, int64_t E, const float *L, const float *bias, int32_t *idx, double *scores) {
  const int64_t members = E / g->groups;
  double *biased = malloc(sizeof *biased * (size_t)E), *sums = malloc(sizeof *sums * (size_t)g->groups), margin = INFINITY;
  double *left = malloc(sizeof *left * (size_t)E);
  int64_t *order = malloc(sizeof *order * (size_t)E), n = 0, *member = malloc(sizeof *member * (size_t)E);
  bool *kept = calloc((size_t)g->groups, sizeof *kept);
  for (int64_t e = 0; e < E; e++) scores[e] = score_of(L[e], g->softplus), biased[e] = scores[e] + bias[e];
  for (int64_t i = 0; i < g->groups; i++) {
    take(members, biased + i * members, members < 2 ? members : 2, order);
    sums[i] = biased[i * members + order[0]] + (members > 1 ? biased[i * members + order[1]] : 0);
  }
  const int64_t keep = g->topk_groups < g->groups ? g->topk_groups : g->groups;
  if (keep < g->groups) margin = take(g->groups, sums, keep, order);
  for (int64_t i = 0; i < keep; i++) kept[keep < g->groups ? order[i] : i] = true;
  for (int64_t e = 0; e < E; e++)
    if (kept[e / members]) left[n] = biased[e], member[n++] = e;
  const double cut = take(n, left, g->topk, order);
  for (int64_t j = 0; j < g->topk; j++) idx[j] = (int32_t)member[order[j]];
  free(biased), free(sums), free(left), free(order), free(member), free(kept);
  return cut < margin ? cut : margin;
}

// ---- dispatch, combine

void oracle_dispatch(int64_t T, int64_t k, int64_t E, const int32_t *idx, int32_t *offsets, int32_t *src) {
  int32_t n = 0;
  for (int64_t e = 0; e < E; e++) {
    offsets[e] = n;
    for (int64_t s = 0; s < T * k; s++)
      if (idx[s] == e) src[n++] = (int32_t)s;
  }
  offsets[E] = n;
  while (n < T * k) src[n++] = -1;
}

void oracle_combine(oracle_format format, int64_t T, int64_t H, int64_t k, const void *Y, const int32_t *src, const float *w, double *O,
                    double *sum) {
  for (int64_t i = 0; i < T * H; i++) O[i] = sum[i] = 0;
  for (int64_t p = 0; p < T * k; p++)
    for (int64_t h = 0; src[p] >= 0 && h < H; h++) {
      const double x = (double)w[src[p]] * oracle_decode(format, Y, p * H + h);
      O[src[p] / k * H + h] += x, sum[src[p] / k * H + h] += fabs(x);
    }
}
