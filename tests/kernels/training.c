#include "training.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "conformance.h"
#include "judge.h"
#include "oracle_training.h"
#include "test.h"

static oracle_random randomness;

static int64_t below(int64_t n) { return (int64_t)(oracle_next(&randomness) >> 16) % n; }

static int64_t up(int64_t n) { return (n + 127) / 128; }

// ---- the quantiser down the columns

static void fill_columns(int64_t M, int64_t K, uint16_t *x) {
  oracle_fill(ORACLE_BF16, &randomness, M * K, 3, x);
  if (M * K < 64) return;
  x[M * K / 3] = 0x7fc0, x[M * K / 2] = 0xffc0, x[K - 1] = 0x7f80; // NaN, Inf
  x[K] = 0x0001, x[M * K - 1] = 0x7f7f;
  for (int64_t m = 0; K > 4 && m < M; m++) x[m * K + 2] = 0, x[m * K + 3] = 0x3980; // an empty column, one below the least amax
}

static void quantize(const char *settings, int64_t M, int64_t K) {
  const bool ue8m0 = strstr(settings, "ue8m0=1") != NULL;
  tg_array *X = ARRAY("bf16", M, K), *Q = ARRAY("e4m3", M, K), *S = ARRAY("f32", up(M), K);
  tg_argument args[] = {{.name = "X", .array = X}, {.name = "Q", .array = Q}, {.name = "S", .array = S}};
  double *x = doubles(M * K), *s = doubles(up(M) * K), *scale = doubles(up(M) * K);
  verdict v = VERDICT("quantize_columns", settings, "%lld x %lld", (long long)M, (long long)K);
  fill_columns(M, K, X->data);
  if (conform_run(v.kernel, settings, 1, 3, args)) {
    int64_t wrong = 0, first = 0;
    oracle_widen(ORACLE_BF16, M * K, X->data, x);
    oracle_column_scales(M, K, ue8m0, x, s);
    v.what = "scales";
    judge_bounds(&v, S, s, scale, ue8m0 ? 0 : 0x1p-21, 0);
    for (int64_t i = 0; i < M * K; i++) { // a quotient of f32 is IEEE: to the code
      const uint8_t got = ((uint8_t *)Q->data)[i], want = oracle_to_e4m3((float)(x[i] / ((float *)S->data)[i / K / 128 * K + i % K]));
      if (((want & 0x7f) == 0x7f ? (got & 0x7f) != 0x7f : got != want) && wrong++ == 0) first = i;
    }
    v.what = "codes";
    judge(&v, wrong, first, wrong ? ((uint8_t *)Q->data)[first] : 0, x[first]);
    judge_same_bits(&v, 3, args, 1);
  }
  free(x), free(s), free(scale);
  FREE(X, Q, S);
}

// ---- backward products

// dY and the other operand of a backward product, out its result; [R,C] of out, its rows are dY's (dgrad) or dY's columns (wgrad).
typedef struct product {
  const char *kernel, *settings;
  bool weights; // wgrad
  int64_t M, N, K;
  tg_array *dY, *dYs, *B, *Bs, *out;
  double *wide_dY, *wide_B, *before;
  verdict v;
} product;

static int64_t rows_of(const product *p) { return p->weights ? p->N : p->M; }

static bool run_product(product *p, int threads, tg_array *out) {
  tg_argument args[] = {{.name = "dY", .array = p->dY},
                        {.name = "dYs", .array = p->dYs},
                        {.name = p->weights ? "X" : "W", .array = p->B},
                        {.name = p->weights ? "Xs" : "Ws", .array = p->Bs},
                        {.name = p->weights ? "dW" : "dX", .array = out}};
  for (int64_t i = 0; i < elements(out) && p->before; i++) ((float *)out->data)[i] = (float)p->before[i];
  return conform_run(p->kernel, p->settings, threads, 5, args);
}

static void fill_product(product *p) {
  const int64_t M = p->M, N = p->N, K = p->K, R = rows_of(p);
  const char *dtype = p->weights ? "f32" : dtype_of(p->settings);
  p->dY = ARRAY("e4m3", M, N), p->B = p->weights ? ARRAY("e4m3", M, K) : ARRAY("e4m3", N, K);
  p->dYs = p->weights ? ARRAY("f32", up(M), N) : ARRAY("f32", M, up(N));
  p->Bs = p->weights ? ARRAY("f32", up(M), K) : ARRAY("f32", up(N), up(K));
  p->out = ARRAY(dtype, R, K);
  tg_array *codes[] = {p->dY, p->B}, *scales[] = {p->dYs, p->Bs};
  for (int i = 0; i < 2; i++) {
    oracle_fill_codes(&randomness, elements(codes[i]), codes[i]->data);
    oracle_fill_scales(&randomness, elements(scales[i]), scales[i]->data);
  }
  p->wide_dY = doubles(M * N), p->wide_B = doubles(elements(p->B));
  if (p->weights) {
    oracle_dequantize(M, N, 128, 1, p->dY->data, p->dYs->data, p->wide_dY);
    oracle_dequantize(M, K, 128, 1, p->B->data, p->Bs->data, p->wide_B);
  } else {
    oracle_dequantize(M, N, 1, 128, p->dY->data, p->dYs->data, p->wide_dY);
    oracle_dequantize(N, K, 128, 128, p->B->data, p->Bs->data, p->wide_B);
  }
  if (!strstr(p->settings, "accumulate=1")) return;
  p->before = doubles(R * K);
  for (int64_t i = 0; i < R * K; i++) p->before[i] = (float)(1000 * oracle_normal(&randomness));
}

static void free_product(product *p) {
  free(p->wide_dY), free(p->wide_B), free(p->before);
  FREE(p->dY, p->dYs, p->B, p->Bs, p->out);
}

// The derivative of sum dY*Y by every 13th element of what was multiplied, in float64: the product is linear, any step serves.
static void differences(const product *p, const double *want, const double *sum) {
  const int64_t n = rows_of(p) * p->K;
  double *x = doubles(n), worst = 0;
  for (int64_t i = 0; i < n; i++) x[i] = oracle_normal(&randomness);
  for (int64_t i = 0; i < n; i += 13) {
    const double at = x[i];
    double side[2];
    for (int s = 0; s < 2; s++) {
      x[i] = at + (s ? 1 : -1);
      side[s] = p->weights ? oracle_weighted_product(p->M, p->N, p->K, p->wide_B, x, p->wide_dY)
                           : oracle_weighted_product(p->M, p->N, p->K, x, p->wide_B, p->wide_dY);
    }
    x[i] = at;
    worst = fmax(worst, fabs((side[1] - side[0]) / 2 - want[i]) / (sum[i] + fabs(side[0])));
  }
  CHECKF(worst < 1e-12, "%s, %s: the oracle is no derivative of the forward product: off by %g", p->kernel, p->v.shape, worst);
  free(x);
}

// A NaN in dY reaches a row of the result, one in the other operand a column.
static void product_reach(product *p) {
  const int64_t R = rows_of(p), K = p->K, n = R * K;
  if (!p->M || !p->N || !K) return;
  bool *touched = calloc((size_t)n, 1);
  tg_array *dirty = ARRAY(tg_dtype_name(p->out->dtype), R, K);
  const int64_t at = below(p->M * p->N), to = below(elements(p->B));
  uint8_t *a = (uint8_t *)p->dY->data + at, *b = (uint8_t *)p->B->data + to, old_a = *a, old_b = *b;
  const int64_t row = p->weights ? at % p->N : at / p->N, column = to % K;
  for (int64_t i = 0; i < n; i++) touched[i] = i / K == row || i % K == column;
  *a = *b = 0x7f;
  if (run_product(p, 2, dirty)) judge_reach(p->v, "NaN in both operands", dirty, p->out, touched);
  *a = old_a, *b = old_b;
  float *s = p->dYs->data, old = *s;
  for (int64_t i = 0; i < n; i++) touched[i] = i / K == 0;
  *s = NAN;
  if (run_product(p, 2, dirty)) judge_reach(p->v, "NaN in dYs", dirty, p->out, touched);
  *s = old;
  free(touched);
  FREE(dirty);
}

void conform_backward(const char *kernel, const char *settings, long long M, long long N, long long K) {
  verdict v = VERDICT(kernel, settings, "M %lld, N %lld, K %lld", M, N, K);
  product p = {.kernel = kernel, .settings = settings, .weights = !strcmp(kernel, "gemm_fp8_wgrad"), .M = M, .N = N, .K = K, .v = v};
  fill_product(&p);
  const int64_t n = rows_of(&p) * K;
  double *want = doubles(n), *sum = doubles(n);
  (p.weights ? oracle_wgrad : oracle_dgrad)(M, N, K, p.wide_dY, p.wide_B, want, sum);
  if (n && M * N * K < 100000) differences(&p, want, sum);
  for (int64_t i = 0; i < n && p.before; i++) want[i] += p.before[i], sum[i] += fabs(p.before[i]);
  if (run_product(&p, 1, p.out)) {
    const bool narrow = !strcmp(tg_dtype_name(p.out->dtype), "bf16");
    judge_bounds(&v, p.out, want, sum, narrow ? 0x1p-8 : 0, narrow ? 0x1p-13 : 0x1p-19);
    for (int threads = 2; threads <= 3; threads++) {
      tg_array *again = ARRAY(tg_dtype_name(p.out->dtype), p.out->dim[0], K);
      if (run_product(&p, threads, again)) judge_bits(v, threads == 2 ? "two threads" : "three threads", again, p.out);
      FREE(again);
    }
    product_reach(&p);
  }
  free(want), free(sum);
  free_product(&p);
}

// ---- the grouped product down the tokens

enum { SHARE_RANDOM, SHARE_LAST, SHARE_GAPS, SHARE_WHOLE }; // all rows to the last expert; rows of no expert at both ends; blocks of 128

static void fill_offsets(int share, int64_t T, int64_t E, int32_t *o) {
  for (int64_t t = 0; t < T; t++) o[share == SHARE_LAST ? E : 1 + below(E)]++;
  for (int64_t e = 0; e < E; e++) o[e + 1] += o[e];
  for (int64_t e = 0; e <= E; e++) {
    const int32_t least = (int32_t)(T / 4), most = (int32_t)(T - T / 4);
    if (share == SHARE_GAPS) o[e] = o[e] < least ? least : o[e] > most ? most : o[e];
    if (share == SHARE_WHOLE) o[e] = o[e] / 128 * 128;
  }
}

static bool run_grouped(product *p, tg_array *offsets, int threads, tg_array *out) {
  tg_argument args[] = {{.name = "dY", .array = p->dY}, {.name = "dYs", .array = p->dYs},      {.name = "X", .array = p->B},
                        {.name = "Xs", .array = p->Bs}, {.name = "offsets", .array = offsets}, {.name = "dW", .array = out}};
  const int64_t n = p->N * p->K;
  for (int64_t i = 0; i < elements(out) && p->before; i++) ((float *)out->data)[i] = (float)p->before[i % n];
  return conform_run(p->v.kernel, p->settings, threads, 6, args);
}

// NaN all over the rows of one expert reaches that expert alone.
static void grouped_reach(product *p, tg_array *offsets, const tg_array *clean, int64_t e) {
  const int32_t *o = offsets->data;
  const int64_t n = p->N * p->K, rows = o[e + 1] - o[e];
  bool *touched = calloc((size_t)elements(clean) + 1, 1);
  uint8_t *x = (uint8_t *)p->B->data + o[e] * p->K, *old = malloc((size_t)(rows * p->K) + 1);
  tg_array *dirty = ARRAY("f32", clean->dim[0], p->N, p->K);
  memcpy(old, x, (size_t)(rows * p->K)), memset(x, 0x7f, (size_t)(rows * p->K));
  for (int64_t i = 0; i < elements(clean); i++) touched[i] = i / n == e && rows;
  if (run_grouped(p, offsets, 2, dirty)) judge_reach(p->v, "NaN in an expert's rows", dirty, clean, touched);
  memcpy(x, old, (size_t)(rows * p->K));
  free(touched), free(old);
  FREE(dirty);
}

static void grouped(const char *settings, int64_t T, int64_t E, int64_t N, int64_t K, int share) {
  verdict v = VERDICT("grouped_gemm_fp8_wgrad", settings, "T %lld, E %lld, N %lld, K %lld, rows %d", (long long)T, (long long)E,
                      (long long)N, (long long)K, share);
  product p = {.kernel = v.kernel, .settings = settings, .weights = true, .M = T, .N = N, .K = K, .v = v};
  fill_product(&p);
  tg_array *offsets = ARRAY("i32", E + 1), *out = ARRAY("f32", E, N, K);
  double *want = doubles(E * N * K), *sum = doubles(E * N * K);
  int32_t *o = offsets->data;
  fill_offsets(share, T, E, o);
  for (int64_t e = 0; e < E; e++) {
    double *w = want + e * N * K, *s = sum + e * N * K;
    oracle_wgrad(o[e + 1] - o[e], N, K, p.wide_dY + o[e] * N, p.wide_B + o[e] * K, w, s);
    for (int64_t i = 0; i < N * K && p.before; i++) w[i] += p.before[i], s[i] += fabs(p.before[i]);
  }
  if (run_grouped(&p, offsets, 1, out)) {
    judge_bounds(&v, out, want, sum, 0, 0x1p-19);
    for (int threads = 2; threads <= 3; threads++) {
      tg_array *again = ARRAY("f32", E, N, K);
      if (run_grouped(&p, offsets, threads, again)) judge_bits(v, "more threads", again, out);
      FREE(again);
    }
    grouped_reach(&p, offsets, out, below(E));
    static const int32_t hostile[] = {INT_MIN, 1000, -7, INT_MAX, 5}; // nothing outside is read
    for (int64_t e = 0; e <= E; e++) o[e] = hostile[e % 5];
    run_grouped(&p, offsets, 1, out);
  }
  free(want), free(sum);
  free_product(&p);
  FREE(offsets, out);
}

static void groups(void) {
  static const int64_t Ts[] = {0, 1, 17, 129, 257, 400};
  for (int i = 0; i < 6; i++)
    for (int share = SHARE_RANDOM; share <= SHARE_WHOLE; share++) grouped("", Ts[i], 3, 24, 40, share);
  grouped("accumulate=1,BN=16,BK=32", 300, 5, 33, 70, SHARE_RANDOM), grouped("BN=128,BK=256", 260, 1, 130, 257, SHARE_GAPS);
  grouped("", 7, 9, 5, 3, SHARE_RANDOM), grouped("accumulate=1", 0, 2, 5, 3, SHARE_RANDOM);
  if (!strcmp(conform_device(), "cpu")) grouped("dot2=1", 300, 3, 40, 70, SHARE_RANDOM);
}

static void products(void) {
  static const int64_t Ms[] = {0, 1, 17, 129, 257};
  for (int i = 0; i < 5; i++) {
    const int64_t M = Ms[i];
    quantize("", M, 136), quantize("ue8m0=1,BK=64,BM=16", M, 33);
    conform_backward("gemm_fp8_dgrad", "", M, 144, 136), conform_backward("gemm_fp8_dgrad", "dtype=f32", M, 33, 130);
    conform_backward("gemm_fp8_wgrad", "", M, 136, 80), conform_backward("gemm_fp8_wgrad", "accumulate=1", M, 17, 33);
  }
  quantize("BK=512", 130, 1030), quantize("BM=1", 128, 1), quantize("", 3, 0);
  conform_backward("gemm_fp8_dgrad", "", 3, 0, 40), conform_backward("gemm_fp8_dgrad", "", 3, 40, 0),
      conform_backward("gemm_fp8_dgrad", "", 1, 1, 1);
  conform_backward("gemm_fp8_wgrad", "", 3, 0, 40), conform_backward("gemm_fp8_wgrad", "accumulate=1", 0, 5, 7),
      conform_backward("gemm_fp8_wgrad", "", 1, 1, 1);
  conform_backward("gemm_fp8_dgrad", "BM=1,BK=32", 5, 300, 130), conform_backward("gemm_fp8_dgrad", "BM=4,BK=512", 4, 257, 520);
  conform_backward("gemm_fp8_dgrad", "BM=256,BK=256,dtype=f32", 270, 140, 300), conform_backward("gemm_fp8_dgrad", "BM=8", 8, 128, 128);
  conform_backward("gemm_fp8_wgrad", "BN=16,BK=32", 260, 40, 70), conform_backward("gemm_fp8_wgrad", "BN=192,BK=192", 140, 200, 200);
  conform_backward("gemm_fp8_wgrad", "BN=256,BK=512,accumulate=1", 128, 260, 520), conform_backward("gemm_fp8_wgrad", "", 128, 64, 128);
  if (strcmp(conform_device(), "cpu")) return;
  for (int i = 1; i < 5; i++)
    conform_backward("gemm_fp8_dgrad", "dot2=1", Ms[i], 144, 136), conform_backward("gemm_fp8_wgrad", "dot2=1", Ms[i], 136, 80);
}

void conform_training(void) {
  products();
  groups();
  conform_losses();
}

void conform_training_few(void) {
  quantize("BK=64", 129, 33);
  conform_backward("gemm_fp8_dgrad", "BM=16,BK=32", 17, 144, 40), conform_backward("gemm_fp8_wgrad", "BN=16,BK=32", 130, 17, 33);
  grouped("BN=16,BK=32", 129, 3, 24, 40, SHARE_GAPS);
  conform_losses_few();
}
