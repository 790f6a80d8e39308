#include "moe.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "conformance.h"
#include "judge.h"
#include "oracle_moe.h"
#include "test.h"

static oracle_random randomness;

static int64_t below(int64_t n) { return (int64_t)(oracle_next(&randomness) >> 16) % n; }

// ---- rope

static void rope(const char *settings, int64_t T, int64_t N, int64_t D) {
  const char *dtype = dtype_of(settings), *scale = strstr(settings, "scale=");
  tg_array *X = ARRAY(dtype, T, N, D), *pos = ARRAY("i32", T), *f = ARRAY("f32", D / 2), *O = ARRAY(dtype, T, N, D);
  tg_argument args[] = {
      {.name = "X", .array = X}, {.name = "pos", .array = pos}, {.name = "inv_freq", .array = f}, {.name = "O", .array = O}};
  const int64_t n = T * N * D;
  double *want = doubles(n), *length = doubles(n);
  bool *touched = calloc((size_t)n + 1, 1);
  verdict v = VERDICT("rope", settings, "%lld x %lld x %lld", (long long)T, (long long)N, (long long)D);
  oracle_fill(format_of(X), &randomness, n, 2, X->data);
  static const int32_t far[] = {163839, (1 << 24) - 1, INT_MAX, -163839};
  for (int64_t t = 0; t < T; t++) ((int32_t *)pos->data)[t] = t < 4 ? far[t] : (int32_t)below(1 << (t % 18));
  for (int64_t i = 0; i < D / 2; i++) ((float *)f->data)[i] = (float)pow(10000, -2.0 * (double)i / (double)D);
  if (conform_run("rope", settings, 1, 4, args)) {
    oracle_rope(&(oracle_rope_call){format_of(X), T, N, D, scale ? atof(scale + 6) : 1, X->data, pos->data, f->data}, want, length);
    judge_bounds(&v, O, want, length, format_of(X) == ORACLE_F32 ? 0 : 0x1.01p-8, 0x1p-21);
    judge_same_bits(&v, 4, args, 3);
    tg_array *dirty = ARRAY(dtype, T, N, D);
    for (int which = 0; n && which < 4; which++) { // NaN and Inf in an element, in a frequency
      const double old = element_at(X, n - 1);
      float *g = (float *)f->data + (D / 2 - 1), last = *g;
      if (which < 2) set_element(X, n - 1, which ? -INFINITY : NAN);
      else *g = which == 2 ? NAN : INFINITY;
      for (int64_t i = 0; i < n; i++) touched[i] = which < 2 ? i >= n - 2 : i % D >= D - 2;
      args[3].array = dirty;
      if (which == 3) ((int32_t *)pos->data)[0] = 1; // 0 * Inf and Inf * 1 alike are NaN
      if (conform_run("rope", settings, 2, 4, args) && which != 3)
        judge_reach(v, which < 2 ? "NaN, Inf in X" : "NaN in inv_freq", dirty, O, touched);
      set_element(X, n - 1, old), *g = last;
    }
    FREE(dirty);
  }
  free(want), free(length), free(touched);
  FREE(X, pos, f, O);
}

// ---- gate

enum { LOGITS_NORMAL, LOGITS_TIES, LOGITS_WILD };

static void fill_logits(int kind, int64_t T, int64_t E, float *L) {
  oracle_fill(ORACLE_F32, &randomness, T * E, 2, L);
  for (int64_t i = 0; kind == LOGITS_TIES && i < T * E; i++) L[i] = (float)(below(3) - 1);
  for (int64_t i = 0; kind == LOGITS_TIES && i < T * E && i < E; i++) L[i] = 0; // one row of nothing but ties
  for (int64_t i = 0; kind == LOGITS_WILD && i < T * E; i++) {
    static const float wild[] = {NAN, INFINITY, -INFINITY, 90, -90, 200, -200, 1e-30f};
    if (below(E) == 0) L[i] = wild[below(8)];
  }
}

static void judge_gate(const verdict *v, const oracle_gate *g, const tg_array *L, const float *bias, const tg_array *idx,
                       const tg_array *w) {
  const int64_t T = L->dim[0], E = L->dim[1], k = g->topk;
  int32_t *want = malloc(sizeof *want * (size_t)(k + 1));
  const int32_t *got = idx->data;
  double *scores = doubles(E);
  int64_t close = 0, wrong = 0, first = 0;
  for (int64_t t = 0; t < T; t++, got += k) {
    const double margin = oracle_gate_row(g, E, (const float *)L->data + t * E, bias, want, scores);
    double sum = 0;
    bool distinct = true, inside = true;
    for (int64_t j = 0; j < k; j++) {
      inside = inside && got[j] >= 0 && got[j] < E;
      for (int64_t i = 0; i < j; i++) distinct = distinct && got[i] != got[j];
    }
    CHECKF(inside && distinct, "%s [%s] on %s, %s: row %lld names no expert, or one twice", v->kernel, v->settings, conform_device(),
           v->shape, (long long)t);
    if (!inside) continue;
    for (int64_t j = 0; j < k; j++) sum += scores[got[j]];
    if (margin <= 1e-6) close++;
    else if (memcmp(got, want, sizeof *want * (size_t)k) && wrong++ == 0) first = t;
    for (int64_t j = 0; j < k; j++) {
      const double is = ((float *)w->data)[t * k + j], should = scores[got[j]] / (sum + 1e-20) * g->scale;
      CHECKF(fits(is, should, 3e-6 * fabs(should) + 4e-18), "%s [%s] on %s, %s: weight %lld of row %lld is %.9g, want %.9g", v->kernel,
             v->settings, conform_device(), v->shape, (long long)j, (long long)t, is, should);
    }
  }
  judge(v, wrong, first, 0, 0);
  CHECKF(close <= 2 + T / 16, "%s: %lld of %lld rows say nothing", v->shape, (long long)close, (long long)T);
  free(want), free(scores);
}

static void gate(const char *settings, oracle_gate g, int64_t T, int64_t E, int kind, double shift) {
  tg_array *L = ARRAY("f32", T, E), *bias = ARRAY("f32", E), *idx = ARRAY("i32", T, g.topk), *w = ARRAY("f32", T, g.topk);
  tg_argument args[] = {
      {.name = "L", .array = L}, {.name = "bias", .array = bias}, {.name = "idx", .array = idx}, {.name = "w", .array = w}};
  verdict v = VERDICT("moe_gate", settings, "T %lld, E %lld, logits %d, bias %g", (long long)T, (long long)E, kind, shift);
  float *b = bias->data;
  fill_logits(kind, T, E, L->data);
  oracle_fill(ORACLE_F32, &randomness, E, kind == LOGITS_TIES ? 0 : 0.1, b);
  for (int64_t e = 0; e < E; e++) b[e] += (float)shift;
  if (conform_run("moe_gate", settings, 1, 4, args)) {
    judge_gate(&v, &g, L, b, idx, w);
    judge_same_bits(&v, 4, args, 2);
  }
  FREE(L, bias, idx, w);
}

static void gates(void) {
  const oracle_gate v3 = {8, 4, 8, 2.5, false}, v4 = {1, 4, 6, 1.5, true};
  static const int64_t Ts[] = {0, 1, 17, 129, 257};
  for (int i = 0; i < 5; i++) {
    gate("", v3, Ts[i], 256, LOGITS_NORMAL, 0);
    gate("score=sqrt_softplus,groups=1,topk=6,scale=1.5", v4, Ts[i], 256, LOGITS_NORMAL, 0);
  }
  for (int kind = LOGITS_NORMAL; kind <= LOGITS_WILD; kind++) {
    gate("", v3, 33, 256, kind, -5); // every biased score is negative: a mask of 0 would win
    gate("BT=4", v3, 33, 64, kind, 0);
    gate("score=sqrt_softplus,groups=1,topk=6,scale=1.5", v4, 33, 256, kind, -9);
    gate("topk=6,topk_groups=3,BT=16", (oracle_gate){8, 3, 6, 2.5, false}, 33, 72, kind, 0);
    gate("groups=16,topk=4,scale=1", (oracle_gate){16, 4, 4, 1, false}, 9, 16, kind, 0);
    gate("groups=3,topk_groups=3,topk=15", (oracle_gate){3, 3, 15, 2.5, false}, 9, 15, kind, 0);
    gate("groups=1,topk=1", (oracle_gate){1, 4, 1, 2.5, false}, 9, 1, kind, 0);
  }
}

// ---- dispatch and combine

enum { ROUTE_RANDOM, ROUTE_ONE, ROUTE_DROPS, ROUTE_NONE };

static void fill_routes(int kind, int64_t n, int64_t E, int32_t *idx) {
  static const int32_t outside[] = {-1, INT_MIN, INT_MAX, -2};
  for (int64_t i = 0; i < n; i++) {
    idx[i] = (int32_t)(kind == ROUTE_ONE ? E - 1 : below(E));
    if (kind == ROUTE_DROPS && below(3) == 0) idx[i] = below(2) ? (int32_t)E : outside[below(4)];
    if (kind == ROUTE_NONE) idx[i] = outside[below(4)];
  }
}

static void judge_dispatch(const verdict *v, int64_t k, const tg_argument *args, const int32_t *offsets, const int32_t *src) {
  const tg_array *X = args[0].array, *Xp = args[2].array, *got_offsets = args[3].array, *got_src = args[4].array;
  const int64_t H = X->dim[1], n = X->dim[0] * k, width = format_of(X) == ORACLE_F32 ? 4 : 2;
  int64_t wrong = 0, first = 0;
  CHECKF(!memcmp(got_offsets->data, offsets, got_offsets->bytes), "%s [%s] on %s, %s: offsets", v->kernel, v->settings, conform_device(),
         v->shape);
  CHECKF(!n || !memcmp(got_src->data, src, got_src->bytes), "%s [%s] on %s, %s: src", v->kernel, v->settings, conform_device(), v->shape);
  for (int64_t p = 0; p < n; p++)
    for (int64_t h = 0; h < H; h++) {
      char none[4], *got = (char *)Xp->data + (p * H + h) * width;
      memset(none, unwritten(), sizeof none);
      if (memcmp(got, src[p] < 0 ? none : (char *)X->data + (src[p] / k * H + h) * width, (size_t)width) && wrong++ == 0) first = p * H + h;
    }
  judge(v, wrong, first, 0, 0);
}

static void judge_combine(const verdict *v, int64_t k, tg_argument *args) {
  const tg_array *Y = args[0].array, *src = args[1].array, *w = args[2].array, *O = args[3].array;
  const int64_t T = O->dim[0], H = O->dim[1];
  double *want = doubles(T * H), *sum = doubles(T * H);
  oracle_combine(format_of(Y), T, H, k, Y->data, src->data, w->data, want, sum);
  judge_rounded(v, O, want, sum);
  free(want), free(sum);
}

// NaN in the row of one token reaches that token; in the weight of a dropped slot nothing.
static void combine_reach(const verdict *v, int64_t k, tg_argument *args) {
  tg_array *Y = args[0].array, *src = args[1].array, *w = args[2].array, *O = args[3].array,
           *dirty = ARRAY(dtype_of(v->settings), O->dim[0], O->dim[1]);
  const int64_t T = O->dim[0], H = O->dim[1], n = T * k;
  bool *touched = calloc((size_t)(T * H) + 1, 1), *named = calloc((size_t)n + 1, 1);
  const int32_t *s = src->data;
  for (int64_t p = 0; p < n; p++)
    if (s[p] >= 0) named[s[p]] = true;
  for (int64_t i = 0; i < n; i++)
    if (!named[i]) ((float *)w->data)[i] = NAN;
  for (int64_t p = 0; p < n; p++)
    if (s[p] < 0) // rows of no token
      for (int64_t h = 0; h < H; h++) set_element(Y, p * H + h, NAN);
  if (n && H && s[0] >= 0) set_element(Y, H - 1, INFINITY), touched[s[0] / k * H + H - 1] = true;
  args[3].array = dirty;
  if (conform_run("moe_combine", v->settings, 2, 4, args)) judge_reach(*v, "NaN and Inf", dirty, O, touched);
  args[3].array = O;
  free(touched), free(named);
  FREE(dirty);
}

// Whatever src holds, nothing outside is touched and the bits are the same.
static void combine_hostile(const verdict *v, tg_argument *args) {
  tg_array *src = args[1].array;
  int32_t *s = src->data;
  for (int64_t p = 0; p < elements(src); p++) s[p] = below(2) ? (int32_t)below(elements(src)) : below(2) ? INT_MIN : INT_MAX;
  if (conform_run("moe_combine", v->settings, 1, 4, args)) judge_same_bits(v, 4, args, 3);
}

static void dispatch(const char *settings, int64_t T, int64_t k, int64_t E, int64_t H, int route) {
  char all[96];
  snprintf(all, sizeof all, "experts=%lld%s%s", (long long)E, *settings ? "," : "", settings);
  const char *dtype = dtype_of(settings);
  tg_array *X = ARRAY(dtype, T, H), *idx = ARRAY("i32", T, k), *Xp = ARRAY(dtype, T * k, H), *offsets = ARRAY("i32", E + 1),
           *src = ARRAY("i32", T * k), *w = ARRAY("f32", T, k), *O = ARRAY(dtype, T, H);
  tg_argument args[] = {{.name = "X", .array = X},
                        {.name = "idx", .array = idx},
                        {.name = "Xp", .array = Xp},
                        {.name = "offsets", .array = offsets},
                        {.name = "src", .array = src}};
  int32_t *want_offsets = calloc((size_t)E + 2, 4), *want_src = calloc((size_t)(T * k) + 1, 4);
  verdict v = VERDICT("moe_dispatch", all, "T %lld, k %lld, E %lld, H %lld, routes %d", (long long)T, (long long)k, (long long)E,
                      (long long)H, route);
  oracle_fill(format_of(X), &randomness, T * H, 1, X->data);
  if (T * H > 2) ((uint16_t *)X->data)[1] = 0x7fa5; // a NaN keeps its bits: all of bf16, the upper ones of f32
  fill_routes(route, T * k, E, idx->data);
  oracle_dispatch(T, k, E, idx->data, want_offsets, want_src);
  if (conform_run("moe_dispatch", all, 1, 5, args)) {
    judge_dispatch(&v, k, args, want_offsets, want_src);
    judge_same_bits(&v, 5, args, 2);
  }
  v.kernel = "moe_combine", v.settings = strcmp(dtype, "f32") ? "" : "dtype=f32";
  tg_argument back[] = {{.name = "Y", .array = Xp}, {.name = "src", .array = src}, {.name = "w", .array = w}, {.name = "O", .array = O}};
  memcpy(src->data, want_src, src->bytes);
  oracle_fill(format_of(Xp), &randomness, T * k * H, 1, Xp->data), oracle_fill(ORACLE_F32, &randomness, T * k, 0.3, w->data);
  if (conform_run("moe_combine", v.settings, 1, 4, back)) {
    judge_combine(&v, k, back);
    judge_same_bits(&v, 4, back, 3);
    combine_reach(&v, k, back);
    combine_hostile(&v, back);
  }
  free(want_offsets), free(want_src);
  FREE(X, idx, Xp, offsets, src, w, O);
}

static void dispatches(void) {
  static const int64_t Ts[] = {0, 1, 17, 129, 257};
  for (int i = 0; i < 5; i++)
    for (int route = ROUTE_RANDOM; route <= ROUTE_NONE; route++) {
      dispatch("", Ts[i], 8, 256, 72, route);
      dispatch("BS=16", Ts[i], 3, 7, 33, route);
      dispatch("dtype=f32", Ts[i], 3, 7, 33, route);
    }
  dispatch("BS=128,BH=256", 65, 2, 40, 2048, ROUTE_RANDOM), dispatch("", 5, 1, 1, 16, ROUTE_DROPS), dispatch("", 5, 6, 3, 0, ROUTE_RANDOM);
}

// ---- grouped products

typedef struct grouped {
  bool masked;
  oracle_format format;  // of A and B; only e4m3 has scales
  int64_t T, E, N, K, R; // R: rows of an expert in the masked form, T = E*R there
  tg_array *A, *As, *B, *Bs, *Bp, *rows, *C;
  verdict v;
  int nargs;
  tg_argument args[6]; // A, B and last the output
} grouped;

static int64_t up(int64_t n) { return (n + 127) / 128; }

static void fill_grouped(grouped *g) {
  if (!g->As) {
    oracle_fill(g->format, &randomness, elements(g->A), 1, g->A->data), oracle_fill(g->format, &randomness, elements(g->B), 1, g->B->data);
    return;
  }
  oracle_fill_codes(&randomness, elements(g->A), g->A->data), oracle_fill_codes(&randomness, elements(g->B), g->B->data);
  oracle_fill_scales(&randomness, elements(g->As), g->As->data), oracle_fill_scales(&randomness, elements(g->Bs), g->Bs->data);
}

static void first_and_last(const grouped *g, int64_t e, int64_t *first, int64_t *last) {
  const int32_t *r = g->rows->data;
  *first = g->masked ? e * g->R : r[e], *last = g->masked ? e * g->R + r[e] : r[e + 1];
}

// expert[t]: whose row t is, -1 = no expert's.
static void owners(const grouped *g, int *expert) {
  for (int64_t t = 0; t < g->T; t++) expert[t] = -1;
  for (int64_t e = 0; e < g->E; e++) {
    int64_t first, last;
    first_and_last(g, e, &first, &last);
    for (int64_t t = first; t < last; t++) expert[t] = (int)e;
  }
}

static void judge_grouped(const grouped *g) {
  const int64_t T = g->T, N = g->N, K = g->K;
  const int64_t width = g->format == ORACLE_F32 ? 4 : g->format == ORACLE_BF16 ? 2 : 1;
  uint32_t nobody;
  memset(&nobody, unwritten(), sizeof nobody);
  double *want = doubles(T * N), *sum = doubles(T * N);
  for (int64_t i = 0; i < T * N; i++) want[i] = oracle_decode(format_of(g->C), &nobody, 0);
  for (int64_t e = 0; e < g->E; e++) {
    int64_t first, last;
    first_and_last(g, e, &first, &last);
    oracle_gemm(g->format, last - first, N, K, (uint8_t *)g->A->data + first * K * width,
                g->As ? (float *)g->As->data + first * up(K) : NULL, (uint8_t *)g->B->data + e * N * K * width,
                g->Bs ? (float *)g->Bs->data + e * up(N) * up(K) : NULL, want + first * N, sum + first * N);
  }
  if (g->format == ORACLE_F32) judge_bounds(&g->v, g->C, want, sum, 0x1p-22, 0x1p-18);
  else judge_bounds(&g->v, g->C, want, sum, 0x1p-8, 0x1p-13);
  free(want), free(sum);
}

// NaN in a row of A reaches that row, in a row of an expert's weights that column of its rows.
static void grouped_reach(grouped *g) {
  const int64_t T = g->T, N = g->N, K = g->K;
  if (!T || !N || !K || !g->E || g->Bp) return;
  int *expert = malloc(sizeof *expert * (size_t)T);
  bool *touched = calloc((size_t)(T * N), 1);
  tg_array *dirty = conform_array(tg_dtype_name(g->C->dtype), g->C->rank, g->C->dim);
  const size_t width = g->format == ORACLE_F32 ? 4 : g->format == ORACLE_BF16 ? 2 : 1;
  owners(g, expert);
  const int64_t row = below(T), e = expert[row] < 0 ? 0 : expert[row], n = below(N);
  char *a = (char *)g->A->data + (size_t)(row * K + K - 1) * width, *b = (char *)g->B->data + (size_t)((e * N + n) * K) * width;
  char old[2][4];
  memcpy(old[0], a, width), memcpy(old[1], b, width);
  memset(a, 0x7f, width), memset(b, 0x7f, width); // NaN, in e4m3
  if (!g->As) memset(a, 0xff, width), memset(b, 0xff, width);
  for (int64_t i = 0; i < T * N; i++) touched[i] = (i / N == row && expert[row] >= 0) || (expert[i / N] == e && i % N == n);
  g->args[g->nargs - 1].array = dirty;
  if (conform_run(g->v.kernel, g->v.settings, 2, g->nargs, g->args)) judge_reach(g->v, "NaN in A and B", dirty, g->C, touched);
  g->args[g->nargs - 1].array = g->C;
  memcpy(a, old[0], width), memcpy(b, old[1], width);
  free(expert), free(touched);
  FREE(dirty);
}

// Experts each by themselves, or where all begin with a whole panel sometimes as one matrix.
static bool pack_all(grouped *g) {
  tg_array flat = *g->B;
  char settings[32] = "";
  const bool stacked = g->E == 1 || (g->N % 32 == 0 && below(2));
  if (stacked) flat.rank = 2, flat.dim[0] = g->E * g->N, flat.dim[1] = g->K;
  else snprintf(settings, sizeof settings, "experts=%lld", (long long)g->E);
  g->Bp = ARRAY("e4m3", g->E * ((g->N + 31) / 32) * 32 * g->K + 64);
  g->args[1].array = g->Bp;
  return conform_run("pack_weights", settings, 1, 2, (tg_argument[]){{.name = "B", .array = &flat}, {.name = "Bp", .array = g->Bp}});
}

static void run_grouped(grouped *g, bool packed) {
  const tg_argument args[] = {{.name = "A", .array = g->A},
                              {.name = "B", .array = g->B},
                              {.name = g->masked ? "counts" : "offsets", .array = g->rows},
                              {.name = "As", .array = g->As},
                              {.name = "Bs", .array = g->Bs}};
  memcpy(g->args, args, sizeof args);
  g->nargs = g->As ? 6 : 4;
  g->args[g->nargs - 1] = (tg_argument){.name = "C", .array = g->C};
  if (packed && !pack_all(g)) return;
  if (!conform_run(g->v.kernel, g->v.settings, 1, g->nargs, g->args)) return;
  judge_grouped(g);
  judge_same_bits(&g->v, g->nargs, g->args, g->nargs - 1);
  grouped_reach(g);
}

static void free_grouped(grouped *g) { FREE(g->A, g->As, g->B, g->Bs, g->Bp, g->rows, g->C); }

enum { SHARE_RANDOM, SHARE_LAST, SHARE_GAPS }; // all rows to the last expert; rows of no expert at both ends

static grouped new_contiguous(verdict v, int64_t T, int64_t E, int64_t N, int64_t K) {
  const bool fp8 = strstr(v.kernel, "fp8"), f32 = strstr(v.kernel, "f32");
  const char *in = fp8 ? "e4m3" : f32 ? "f32" : "bf16";
  grouped g = {.format = fp8 ? ORACLE_E4M3 : f32 ? ORACLE_F32 : ORACLE_BF16, .T = T, .E = E, .N = N, .K = K, .v = v};
  g.A = ARRAY(in, T, K), g.B = ARRAY(in, E, N, K), g.rows = ARRAY("i32", E + 1), g.C = ARRAY(f32 ? "f32" : "bf16", T, N);
  if (fp8) g.As = ARRAY("f32", T, up(K)), g.Bs = ARRAY("f32", E, up(N), up(K));
  fill_grouped(&g);
  return g;
}

static void contiguous(const char *kernel, const char *settings, int64_t T, int64_t E, int64_t N, int64_t K, int share) {
  verdict v =
      VERDICT(kernel, settings, "T %lld, E %lld, N %lld, K %lld, rows %d", (long long)T, (long long)E, (long long)N, (long long)K, share);
  grouped g = new_contiguous(v, T, E, N, K);
  int32_t *o = g.rows->data;
  for (int64_t t = 0; E && t < T; t++) o[share == SHARE_LAST ? E : 1 + below(E)]++;
  for (int64_t e = 0; e < E; e++) o[e + 1] += o[e];
  for (int64_t e = 0; share == SHARE_GAPS && e <= E; e++) {
    if (o[e] < T / 4) o[e] = (int32_t)(T / 4);
    if (o[e] > T - T / 4) o[e] = (int32_t)(T - T / 4);
  }
  run_grouped(&g, strstr(settings, "packed=1"));
  free_grouped(&g);
}

static grouped new_masked(verdict v, int64_t E, int64_t R, int64_t N, int64_t K) {
  grouped g = {.masked = true, .format = ORACLE_E4M3, .T = E * R, .E = E, .N = N, .K = K, .R = R, .v = v};
  g.A = ARRAY("e4m3", E, R, K), g.As = ARRAY("f32", E, R, up(K)), g.B = ARRAY("e4m3", E, N, K), g.Bs = ARRAY("f32", E, up(N), up(K));
  g.rows = ARRAY("i32", E), g.C = ARRAY("bf16", E, R, N);
  fill_grouped(&g);
  return g;
}

static void masked(const char *settings, int64_t E, int64_t R, int64_t N, int64_t K, int share) {
  verdict v = VERDICT("grouped_gemm_fp8_masked", settings, "E %lld, R %lld, N %lld, K %lld, rows %d", (long long)E, (long long)R,
                      (long long)N, (long long)K, share);
  grouped g = new_masked(v, E, R, N, K);
  for (int64_t e = 0; e < E; e++)
    ((int32_t *)g.rows->data)[e] = share == SHARE_LAST ? (e == E - 1 ? (int32_t)R : 0) : (int32_t)below(R + 1);
  run_grouped(&g, false);
  free_grouped(&g);
}

// NaN in whole rows of every other expert reaches no row of the experts between them, whose tiles end among these rows.
static void neighbours_reach(grouped *g) {
  const int64_t width = g->format == ORACLE_BF16 ? 2 : 1;
  bool *touched = calloc((size_t)(g->T * g->N) + 1, 1);
  tg_array *dirty = conform_array("bf16", g->C->rank, g->C->dim);
  for (int64_t e = 1, first, last; e < g->E; e += 2) {
    first_and_last(g, e, &first, &last);
    if (g->masked) last = first + g->R; // those of no expert too
    memset((char *)g->A->data + first * g->K * width, width == 2 ? 0xff : 0x7f, (size_t)((last - first) * g->K * width));
    first_and_last(g, e, &first, &last);
    for (int64_t i = first * g->N; i < last * g->N; i++) touched[i] = true;
  }
  g->args[g->nargs - 1].array = dirty;
  if (conform_run(g->v.kernel, g->v.settings, 2, g->nargs, g->args)) judge_reach(g->v, "NaN in other experts' rows", dirty, g->C, touched);
  g->args[g->nargs - 1].array = g->C;
  free(touched);
  FREE(dirty);
}

void conform_grouped(const char *kernel, const char *settings, int64_t E, const int *rows, int64_t N, int64_t K) {
  const bool masked = strstr(kernel, "masked");
  int64_t T = 0, R = 0;
  for (int64_t e = 0; e < E; e++) T += rows[e], R = rows[e] > R ? rows[e] : R;
  R += 3; // more than any expert fills
  verdict v = VERDICT(kernel, settings, "E %lld, T %lld, N %lld, K %lld", (long long)E, (long long)T, (long long)N, (long long)K);
  grouped g = masked ? new_masked(v, E, R, N, K) : new_contiguous(v, T, E, N, K);
  int32_t *o = g.rows->data;
  for (int64_t e = 0; e < E; e++) o[e + !masked] = rows[e] + (masked ? 0 : o[e]);
  run_grouped(&g, false);
  neighbours_reach(&g);
  free_grouped(&g);
}

// Offsets and counts of any content: nothing outside is read or written.
static void hostile(void) {
  const int64_t T = 9, E = 5, N = 40, K = 144;
  static const int32_t offsets[2][6] = {{-7, -7, 3, 12, 12, INT_MAX}, {INT_MIN, 2, 1, 1000, INT_MIN, INT_MAX}};
  for (int i = 0; i < (strcmp(conform_device(), "cpu") ? 1 : 2); i++) { // decreasing ones give rows to two experts, which interp reports
    tg_array *A = ARRAY("e4m3", T, K), *As = ARRAY("f32", T, 2), *B = ARRAY("e4m3", E, N, K), *Bs = ARRAY("f32", E, 1, 2),
             *o = ARRAY("i32", E + 1), *C = ARRAY("bf16", T, N), *M = ARRAY("e4m3", E, T, K), *Ms = ARRAY("f32", E, T, 2),
             *c = ARRAY("i32", E), *D = ARRAY("bf16", E, T, N);
    memcpy(o->data, offsets[i], o->bytes), memcpy(c->data, offsets[i], c->bytes);
    conform_run("grouped_gemm_fp8", "", 1, 6,
                (tg_argument[]){{.name = "A", .array = A},
                                {.name = "As", .array = As},
                                {.name = "B", .array = B},
                                {.name = "Bs", .array = Bs},
                                {.name = "offsets", .array = o},
                                {.name = "C", .array = C}});
    conform_run("grouped_gemm_fp8_masked", "", 1, 6,
                (tg_argument[]){{.name = "A", .array = M},
                                {.name = "As", .array = Ms},
                                {.name = "B", .array = B},
                                {.name = "Bs", .array = Bs},
                                {.name = "counts", .array = c},
                                {.name = "C", .array = D}});
    for (int f32 = 0; f32 < 2; f32++) {
      tg_array *a = ARRAY(f32 ? "f32" : "bf16", T, K), *b = ARRAY(f32 ? "f32" : "bf16", E, N, K), *d = ARRAY(f32 ? "f32" : "bf16", T, N);
      conform_run(f32 ? "grouped_gemm_f32" : "grouped_gemm_bf16", "", 1, 4,
                  (tg_argument[]){
                      {.name = "A", .array = a}, {.name = "B", .array = b}, {.name = "offsets", .array = o}, {.name = "C", .array = d}});
      FREE(a, b, d);
    }
    FREE(A, As, B, Bs, o, C, M, Ms, c, D);
  }
}

static void products(void) {
  static const char *const fp8 = "grouped_gemm_fp8", *const bf16 = "grouped_gemm_bf16", *const f32 = "grouped_gemm_f32";
  static const int64_t Ts[] = {0, 1, 17, 129, 257};
  for (int i = 0; i < 5; i++)
    for (int share = SHARE_RANDOM; share <= SHARE_GAPS; share++) {
      contiguous(fp8, "", Ts[i], 4, 129, 144, share);
      contiguous(fp8, "packed=1", Ts[i], 3, 96, 272, share);
      contiguous(bf16, "", Ts[i], 4, 65, 81, share), contiguous(f32, "", Ts[i], 4, 65, 81, share);
    }
  contiguous(fp8, "", 40, 16, 24, 384, SHARE_RANDOM), contiguous(fp8, "packed=1", 16, 1, 40, 128, SHARE_RANDOM),
      contiguous(fp8, "packed=1", 16, 3, 40, 128, SHARE_RANDOM), contiguous(fp8, "", 5, 2, 24, 0, SHARE_RANDOM);
  contiguous(fp8, "FEW=2,BM=16,BN=32", 40, 9, 129, 144, SHARE_RANDOM), contiguous(fp8, "FEW=8,BM=32,BN=256", 40, 9, 129, 400, SHARE_RANDOM);
  contiguous(fp8, "packed=1,FEW=2,BM=128,BN=64", 300, 3, 160, 144, SHARE_RANDOM);
  contiguous(bf16, "FEW=2,BM=16,BN=32,BK=16", 40, 9, 129, 145, SHARE_RANDOM),
      contiguous(f32, "FEW=8,BN=256,BK=64", 40, 9, 129, 1, SHARE_RANDOM);
  contiguous(bf16, "", 5, 2, 24, 0, SHARE_RANDOM), contiguous(f32, "", 5, 2, 0, 24, SHARE_RANDOM),
      contiguous(f32, "", 5, 0, 24, 24, SHARE_RANDOM);
  masked("", 4, 0, 24, 144, SHARE_RANDOM), masked("", 4, 1, 129, 144, SHARE_LAST), masked("", 5, 17, 129, 144, SHARE_RANDOM);
  masked("", 3, 129, 24, 272, SHARE_RANDOM), masked("FEW=8,BM=16,BN=32", 4, 20, 129, 16, SHARE_RANDOM), masked("", 2, 9, 24, 0, SHARE_LAST);
  hostile();
}

// ---- mtp

static void mtp(const char *settings, int64_t T, int64_t H) {
  const char *dtype = dtype_of(settings);
  tg_array *in[] = {ARRAY(dtype, T, H), ARRAY(dtype, T, H), ARRAY(dtype, H), ARRAY(dtype, H)}, *O = ARRAY(dtype, T, 2 * H);
  tg_argument args[] = {{.name = "Emb", .array = in[0]},   {.name = "Hid", .array = in[1]}, {.name = "enorm", .array = in[2]},
                        {.name = "hnorm", .array = in[3]}, {.name = "eps", .number = 1e-6}, {.name = "O", .array = O}};
  double *want = doubles(2 * T * H), *half = doubles(T * H);
  verdict v = VERDICT("mtp", settings, "%lld x %lld", (long long)T, (long long)H);
  for (int i = 0; i < 4; i++) oracle_fill(format_of(O), &randomness, elements(in[i]), 1 + i, in[i]->data);
  if (T > 2 && H > 2) set_element(in[0], H, NAN), set_element(in[1], 2 * H + 1, NAN); // half a row each
  for (int i = 0; i < 2; i++) {
    oracle_rmsnorm(format_of(O), T, H, (double)1e-6f, in[i]->data, in[2 + i]->data, half);
    for (int64_t j = 0; j < T * H; j++) want[j / H * 2 * H + i * H + j % H] = half[j];
  }
  if (conform_run("mtp", settings, 1, 6, args)) {
    judge_rounded(&v, O, want, NULL);
    judge_same_bits(&v, 6, args, 5);
  }
  free(want), free(half);
  FREE(in[0], in[1], in[2], in[3], O);
}

void conform_moe(void) {
  static const int64_t Ts[] = {0, 1, 17, 129, 257};
  for (int i = 0; i < 5; i++) {
    rope("", Ts[i], 3, 64), mtp("", Ts[i], 72);
    rope("dtype=f32", Ts[i], 3, 64), mtp("dtype=f32", Ts[i], 72);
  }
  rope("scale=1.25", 17, 3, 64), rope("dtype=f32,scale=0.75,BN=4", 17, 3, 34);
  rope("", 2, 128, 64), rope("BN=16,BI=16", 3, 17, 192), rope("", 2, 3, 2), rope("BN=1,BI=64", 2, 1, 130), rope("", 3, 0, 64);
  mtp("", 2, 7168), mtp("BM=4,BH=64", 5, 300), mtp("", 3, 1);
  gates();
  dispatches();
  products();
}

void conform_moe_few(void) {
  rope("", 17, 3, 64), rope("dtype=f32,scale=0.75,BN=4", 3, 3, 34), mtp("", 17, 72);
  gate("topk=6,topk_groups=3", (oracle_gate){8, 3, 6, 2.5, false}, 17, 72, LOGITS_TIES, 0);
  dispatch("BS=16", 17, 3, 7, 33, ROUTE_DROPS);
  contiguous("grouped_gemm_fp8", "BM=16,BN=32", 40, 3, 33, 144, SHARE_GAPS);
  contiguous("grouped_gemm_bf16", "BM=16,BN=32,BK=32", 40, 3, 33, 81, SHARE_RANDOM);
  contiguous("grouped_gemm_f32", "BM=16,BN=32,BK=16", 17, 3, 33, 25, SHARE_RANDOM);
  masked("BM=16,BN=32", 3, 17, 33, 144, SHARE_RANDOM);
}
