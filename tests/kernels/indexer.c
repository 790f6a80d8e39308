#include "indexer.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "judge.h"
#include "oracle_attention.h"
#include "test.h"

static oracle_random randomness;

static int64_t below(int64_t n) { return (int64_t)(oracle_next(&randomness) >> 16) % n; }

// ---- indexer_logits

typedef struct indexer {
  int64_t B, S, H, D;
  const char *settings;
  int32_t lens[4];
  bool hostile;
} indexer;

// A key in slot j of a page, in the cache and as f32 in `plain`.
static void write_key(tg_array *cache, float *plain, int64_t D, int64_t page, int64_t j, bool fp8) {
  float *to = plain + (page * 64 + j) * D;
  if (fp8) {
    uint8_t *codes = (uint8_t *)cache->data + page * 64 * (D + 4) + j * D, *scale = codes - j * D + 64 * D + j * 4;
    oracle_fill_codes(&randomness, D, codes);
    const float s = ldexpf(1 + (float)below(64) / 64, -8);
    memcpy(scale, &s, 4);
    for (int64_t d = 0; d < D; d++) to[d] = (float)oracle_decode(ORACLE_E4M3, codes, d) * s;
  } else {
    uint16_t *row = (uint16_t *)cache->data + (page * 64 + j) * D;
    oracle_fill(ORACLE_BF16, &randomness, D, 1, row);
    for (int64_t d = 0; d < D; d++) to[d] = (float)oracle_decode(ORACLE_BF16, row, d);
  }
}

static void spoil_keys(tg_array *table, tg_array *lens) {
  static const int32_t bad[] = {-5, 1 << 20, INT_MAX, INT_MIN};
  for (int64_t i = 0; i < elements(table); i += 3) ((int32_t *)table->data)[i] = bad[i % 4];
  for (int64_t b = 0; b < elements(lens); b++) ((int32_t *)lens->data)[b] = b % 2 ? INT_MAX : INT_MIN;
}

// One NaN in a key reaches the logits of the queries that see it, and no other.
static void spoil_one(const verdict *v, const oracle_indexer_call *x, tg_argument *args, tg_array *cache, bool fp8) {
  const int64_t n = x->B * x->S * 64 * x->W, j = x->lens[0] - 1, page = x->table[j / 64];
  tg_array *dirty = ARRAY("f32", x->B, x->S, 64 * x->W), *clean = args[5].array;
  bool *touched = calloc((size_t)n + 1, 1);
  touched[(x->S - 1) * 64 * x->W + j] = true; // the last query alone sees the last key
  uint8_t *at = (uint8_t *)cache->data + (fp8 ? page * 64 * (x->D + 4) + j % 64 * x->D : (page * 64 + j % 64) * x->D * 2), old[2];
  memcpy(old, at, 2), memset(at, 0xff, fp8 ? 1 : 2);
  args[5].array = dirty;
  if (conform_run("indexer_logits", v->settings, 2, 6, args)) judge_reach(*v, "NaN in a key", dirty, clean, touched);
  args[5].array = clean;
  memcpy(at, old, 2);
  free(touched);
  FREE(dirty);
}

static void logits(indexer s) {
  const bool fp8 = !strstr(s.settings, "cache=plain");
  int64_t W = 1, P = 1, used = 0;
  for (int64_t b = 0; b < s.B; b++) {
    const int64_t pages = (s.lens[b] + 63) / 64;
    W = pages + 1 > W ? pages + 1 : W, P += pages;
  }
  tg_array *Q = ARRAY("bf16", s.B, s.S, s.H, s.D), *w = ARRAY("f32", s.B, s.S, s.H), *table = ARRAY("i32", s.B, W);
  tg_array *K = fp8 ? ARRAY("e4m3", P, 64 * (s.D + 4)) : ARRAY("bf16", P, 64, s.D), *plain = ARRAY("f32", P, 64, s.D);
  tg_array *lens = ARRAY("i32", s.B), *L = ARRAY("f32", s.B, s.S, 64 * W);
  oracle_fill(ORACLE_BF16, &randomness, elements(Q), 1, Q->data), oracle_fill(ORACLE_F32, &randomness, elements(w), 1, w->data);
  memset(K->data, 0xff, K->bytes); // NaN where no key was written
  for (int64_t b = 0; b < s.B; b++) {
    ((int32_t *)lens->data)[b] = s.lens[b];
    for (int64_t i = 0; i < W; i++) ((int32_t *)table->data)[b * W + i] = i * 64 < s.lens[b] ? (int32_t)(P - 1 - used++) : -1;
    for (int64_t j = 0; j < s.lens[b]; j++) write_key(K, plain->data, s.D, ((int32_t *)table->data)[b * W + j / 64], j % 64, fp8);
  }
  for (int64_t j = 0; s.hostile && j < P * 64; j++) write_key(K, plain->data, s.D, j / 64, j % 64, fp8);
  if (s.hostile) spoil_keys(table, lens);
  const oracle_indexer_call call = {s.B, s.S, s.H, P, W, s.D, Q->data, w->data, plain->data, table->data, lens->data};
  double *want = doubles(elements(L)), *sums = doubles(elements(L));
  oracle_indexer(&call, want, sums);
  tg_argument args[] = {{.name = "Q", .array = Q},         {.name = "w", .array = w},       {.name = "K", .array = K},
                        {.name = "table", .array = table}, {.name = "lens", .array = lens}, {.name = "L", .array = L}};
  verdict v = VERDICT("indexer_logits", s.settings, "B %lld S %lld H %lld D %lld lens %d %d", (long long)s.B, (long long)s.S,
                      (long long)s.H, (long long)s.D, s.lens[0], s.lens[1]);
  if (conform_run("indexer_logits", s.settings, 1, 6, args)) {
    judge_bounds(&v, L, want, sums, 0x1p-20, 0x1p-18);
    judge_same_bits(&v, 6, args, 5);
    if (s.lens[0] > 0 && !s.hostile) spoil_one(&v, &call, args, K, fp8);
  }
  free(want), free(sums);
  FREE(Q, w, table, K, plain, lens, L);
}

// ---- topk

typedef struct ranking {
  int64_t B, S, J, k;
  const char *settings;
  int32_t lens[4];
} ranking;

// Steps of a quarter, so that there are ties, and now and then what has a place of its own in the order.
static void fill_ties(tg_array *L) {
  static const float odd[] = {NAN, INFINITY, -INFINITY, -0.0f, 0, 0x1p-149f, -0x1p-149f, -NAN};
  for (int64_t i = 0; i < elements(L); i++) ((float *)L->data)[i] = below(12) ? (float)(below(80) - 40) / 4 : odd[below(8)];
}

static void topk(ranking s) {
  char settings[64];
  snprintf(settings, sizeof settings, "topk=%lld%s", (long long)s.k, s.settings);
  tg_array *L = ARRAY("f32", s.B, s.S, s.J), *lens = ARRAY("i32", s.B), *idx = ARRAY("i32", s.B, s.S, s.k);
  int32_t *want = malloc((size_t)(s.B * s.S * s.k + 1) * sizeof *want);
  fill_ties(L);
  for (int64_t row = 0; row < s.B * s.S; row++) {
    const int64_t len = s.lens[row / s.S] > s.J ? s.J : s.lens[row / s.S], n = len - s.S + row % s.S + 1;
    ((int32_t *)lens->data)[row / s.S] = s.lens[row / s.S];
    oracle_topk(n < 0 ? 0 : n, (float *)L->data + row * s.J, s.k, want + row * s.k);
  }
  tg_argument args[] = {{.name = "L", .array = L}, {.name = "lens", .array = lens}, {.name = "idx", .array = idx}};
  for (int threads = 1; threads <= 3; threads++) {
    if (idx->bytes) memset(idx->data, 0xee, idx->bytes);
    if (!conform_run("topk", settings, threads, 3, args)) continue;
    int64_t wrong = 0, first = -1;
    for (int64_t i = 0; i < elements(idx); i++)
      if (((int32_t *)idx->data)[i] != want[i] && wrong++ == 0) first = i;
    verdict v = VERDICT("topk", settings, "B %lld S %lld J %lld lens %d", (long long)s.B, (long long)s.S, (long long)s.J, s.lens[0]);
    judge(&v, wrong, first, first < 0 ? 0 : ((int32_t *)idx->data)[first], first < 0 ? 0 : want[first]);
  }
  free(want);
  FREE(L, lens, idx);
}

// ---- quantize_cache

// By the definition, on the bytes. x / S is exact: S is a power of two.
static void quantise_row(const tg_array *latent, const tg_array *rope, int64_t t, int64_t D, int64_t R, uint8_t *row) {
  for (int64_t c = 0; c < D; c += 128) {
    double x[128], S;
    for (int64_t i = 0; i < 128; i++) x[i] = element_at(latent, t * D + c + i);
    oracle_scales(1, 128, 1, true, x, &S);
    const float scale = (float)S;
    memcpy(row + D + c / 32, &scale, 4);
    for (int64_t i = 0; i < 128; i++) row[c + i] = oracle_to_e4m3(x[i] / S);
  }
  for (int64_t c = 0; c < R; c++) {
    const uint16_t x = oracle_to_bf16(element_at(rope, t * R + c));
    memcpy(row + D + D / 32 + 2 * c, &x, 2);
  }
}

static void quantize_cache(const char *dtype, int64_t T, int64_t D, int64_t R, bool hostile) {
  static const int32_t outside[] = {-1, INT_MIN, INT_MAX};
  enum { B = 3, W = 2, P = 5 };
  char settings[64];
  snprintf(settings, sizeof settings, "D=%lld,R=%lld,dtype=%s", (long long)D, (long long)R, dtype);
  const int64_t bytes = D + D / 32 + 2 * R;
  tg_array *latent = ARRAY(dtype, T, D), *rope = ARRAY(dtype, T, R), *table = ARRAY("i32", B, W), *seq = ARRAY("i32", T),
           *pos = ARRAY("i32", T), *cache = ARRAY("e4m3", P, 64, bytes);
  char *want = calloc(cache->bytes, 1);
  oracle_fill(format_of(latent), &randomness, T * D, 3, latent->data), oracle_fill(format_of(rope), &randomness, T * R, 1, rope->data);
  for (int64_t i = 0; i < B * W; i++) ((int32_t *)table->data)[i] = hostile && i == 2 ? P : i < P ? (int32_t)(P - 1 - i) : -1;
  for (int64_t t = 0; t < T; t++) {
    int32_t *s = (int32_t *)seq->data + t, *p = (int32_t *)pos->data + t;
    *s = (int32_t)(t % B), *p = (int32_t)(t / B);
    if (hostile && below(4) == 0) *s = outside[below(3)];
    if (hostile && below(4) == 0) *p = outside[below(3)];
    if (*s < 0 || *s >= B || *p < 0 || *p >= 64 * W) continue;
    const int32_t page = ((int32_t *)table->data)[*s * W + *p / 64];
    if (page >= 0 && page < P) quantise_row(latent, rope, t, D, R, (uint8_t *)want + (page * 64 + *p % 64) * bytes);
  }
  tg_argument args[] = {{.name = "Latent", .array = latent}, {.name = "Rope", .array = rope}, {.name = "table", .array = table},
                        {.name = "seq", .array = seq},       {.name = "pos", .array = pos},   {.name = "KV", .array = cache}};
  for (int threads = 1; threads <= 3; threads++) {
    memset(cache->data, 0, cache->bytes);
    if (!conform_run("quantize_cache", settings, threads, 6, args)) continue;
    int64_t wrong = 0, first = -1;
    for (int64_t i = 0; i < (int64_t)cache->bytes; i++)
      if (((char *)cache->data)[i] != want[i] && wrong++ == 0) first = i;
    verdict v = VERDICT("quantize_cache", settings, "T %lld R %lld, %d threads", (long long)T, (long long)R, threads);
    judge(&v, wrong, first, first < 0 ? 0 : ((uint8_t *)cache->data)[first], first < 0 ? 0 : (uint8_t)want[first]);
  }
  free(want);
  FREE(latent, rope, table, seq, pos, cache);
}

void conform_indexer(void) {
  logits((indexer){.B = 0, .S = 1, .H = 64, .D = 128, .settings = ""});
  logits((indexer){.B = 4, .S = 1, .H = 64, .D = 128, .settings = "", .lens = {0, 1, 63, 64}});
  logits((indexer){.B = 2, .S = 2, .H = 3, .D = 128, .settings = "BS=2", .lens = {65, 1}});
  logits((indexer){.B = 1, .S = 5, .H = 16, .D = 64, .settings = "D=64,BS=4,cache=plain", .lens = {130}});
  logits((indexer){.B = 1, .S = 1, .H = 1, .D = 128, .settings = "cache=plain", .lens = {1000}});
  logits((indexer){.B = 4, .S = 2, .H = 4, .D = 128, .settings = "", .lens = {130, 64, 200, 65}, .hostile = true});
  logits((indexer){.B = 2, .S = 3, .H = 4, .D = 128, .settings = "cache=plain,BS=2", .lens = {130, 64}, .hostile = true});
  topk((ranking){4, 2, 70, 5, "", {0, 1, 70, 33}});
  topk((ranking){4, 1, 65, 16, "", {63, 64, 65, 2}});
  topk((ranking){2, 3, 300, 100, ",BJ=64", {300, 101}});
  topk((ranking){1, 1, 1000, 2048, "", {1000}});
  topk((ranking){1, 2, 5000, 2048, ",BJ=1024", {5000}});
  topk((ranking){4, 2, 33, 1, "", {INT_MIN, -1, INT_MAX, 34}});
  topk((ranking){2, 1, 0, 3, "", {0, 5}});
  topk((ranking){0, 1, 8, 3, "", {0}});
  static const int64_t Ts[] = {0, 1, 17, 257};
  for (int i = 0; i < 4; i++) {
    quantize_cache("bf16", Ts[i], 512, 64, false), quantize_cache("f32", Ts[i], 128, 2, true);
    quantize_cache("bf16", Ts[i], 256, 0, true);
  }
}
