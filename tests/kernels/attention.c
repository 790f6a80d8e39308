#include "attention.h"

#include <math.h>
#include <stdlib.h>

#include "conformance.h"
#include "oracle_attention.h"
#include "test.h"

static oracle_random randomness;

#define ARRAY(dtype, ...) conform_array(dtype, sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), (int64_t[]){__VA_ARGS__})
#define FREE(...)         conform_free(sizeof((tg_array *[]){__VA_ARGS__}) / sizeof(tg_array *), (tg_array *[]){__VA_ARGS__})

// ---- judging

typedef struct verdict {
  const char *kernel, *what;
  char shape[160];
} verdict;

static bool wide(const char *settings) { return strstr(settings, "dtype=f32") != NULL; }
static const char *dtype_of(const char *settings) { return wide(settings) ? "f32" : "bf16"; }
static oracle_format format_of(const char *settings) { return wide(settings) ? ORACLE_F32 : ORACLE_BF16; }
static size_t width_of(const tg_array *a) { return strcmp(tg_dtype_name(a->dtype), "f32") ? 2 : 4; }
static double element(const tg_array *a, int64_t i) { return oracle_decode(width_of(a) == 4 ? ORACLE_F32 : ORACLE_BF16, a->data, i); }

static oracle_heads heads_of(int64_t rows, int64_t D) {
  const size_t n = (size_t)(rows * D + 1);
  return (oracle_heads){D, malloc(n * sizeof(double)), malloc(n * sizeof(double)), malloc(((size_t)rows + 1) * sizeof(double))};
}

static void free_heads(oracle_heads *h) { free(h->out), free(h->sum), free(h->lse); }

// rms of the error by rms of what is wanted: 8e-3 a row, 3.5e-3 of all; an element within two roundings to bf16 of what was added up. f32 a
// thousandth of all.
static void judge_rows(const verdict *v, int64_t rows, const tg_array *O, const tg_array *LSE, const oracle_heads *want) {
  const int64_t D = want->D;
  const double unit = width_of(O) == 4 ? 0x1p-10 : 1;
  double all_error = 0, all = 0;
  int64_t wrong = 0, first = -1;
  for (int64_t r = 0; r < rows; r++) {
    if (isnan(want->lse[r]) && isnan(want->out[r * D])) { // nothing to compare with but NaN
      for (int64_t d = 0; d < D; d++) wrong += !isnan(element(O, r * D + d));
      if (wrong && first < 0) first = r * D;
      continue;
    }
    double error = 0, sum = 0;
    for (int64_t d = 0; d < D; d++) {
      const int64_t i = r * D + d;
      const double got = element(O, i), off = got - want->out[i];
      if (!(fabs(off) <= unit * 0x1p-8 * (fabs(want->out[i]) + want->sum[i])) && wrong++ == 0) first = i;
      error += off * off, sum += want->out[i] * want->out[i];
    }
    all_error += error, all += sum;
    CHECKF(error <= 8e-3 * 8e-3 * unit * unit * sum, "%s on %s, %s, %s: row %lld errs by %.2g of its rms", v->kernel, conform_device(),
           v->shape, v->what, (long long)r, sqrt(error / sum));
    if (!LSE) continue;
    const double got = oracle_decode(ORACLE_F32, LSE->data, r);
    const bool fits = isinf(want->lse[r]) ? got == want->lse[r] : fabs(got - want->lse[r]) <= 1e-3 + 1e-5 * fabs(want->lse[r]);
    CHECKF(fits, "%s on %s, %s, %s: LSE of row %lld is %.9g, want %.9g", v->kernel, conform_device(), v->shape, v->what, (long long)r, got,
           want->lse[r]);
  }
  CHECKF(wrong == 0, "%s on %s, %s, %s: %lld elements, the first %lld: %.9g, want %.9g", v->kernel, conform_device(), v->shape, v->what,
         (long long)wrong, (long long)first, first < 0 ? 0 : element(O, first), first < 0 ? 0 : want->out[first]);
  CHECKF(all_error <= 3.5e-3 * 3.5e-3 * unit * unit * all, "%s on %s, %s, %s: %.2g of the rms", v->kernel, conform_device(), v->shape,
         v->what, sqrt(all_error / all));
}

static void judge_bits(const verdict *v, const tg_array *a, const tg_array *b) {
  CHECKF(a->bytes == 0 || !memcmp(a->data, b->data, a->bytes), "%s on %s, %s, %s: other bits", v->kernel, conform_device(), v->shape,
         v->what);
}

// Rows for which touched holds must be NaN throughout, all others have the clean run's values up to `slack` of 1 + theirs: 0 = its bits.
static void judge_reach(const verdict *v, const tg_array *dirty, const tg_array *clean, int64_t rows, int64_t D, const bool *touched,
                        double slack) {
  const size_t width = width_of(dirty);
  int64_t wrong = 0, first = -1;
  for (int64_t i = 0; i < rows * D; i++) {
    const double got = element(dirty, i), was = element(clean, i);
    const bool same = !memcmp((char *)dirty->data + (size_t)i * width, (char *)clean->data + (size_t)i * width, width);
    const bool ok = touched[i / D] ? isnan(got) : same || fabs(got - was) <= slack * (1 + fabs(was));
    if (!ok && wrong++ == 0) first = i;
  }
  CHECKF(wrong == 0, "%s on %s, %s, %s: %lld elements, the first in row %lld", v->kernel, conform_device(), v->shape, v->what,
         (long long)wrong, (long long)(first / D));
}

// ---- decode

typedef struct decode {
  oracle_decode_call call;
  tg_array *Q, *KV, *table, *lens, *idx, *O, *LSE;
  tg_array *plain; // what the rows of an FP8 cache stand for, f32
  char settings[128];
} decode;

static bool is_fp8(const decode *d) { return strstr(d->settings, "cache=fp8") != NULL; }
static int64_t row_bytes(const decode *d) {
  const oracle_decode_call *x = &d->call;
  return is_fp8(d) ? x->D + x->D / 32 + 2 * x->R : (x->D + x->R) * (int64_t)width_of(d->Q);
}
static uint8_t *row_of(const decode *d, int64_t slot) { return (uint8_t *)d->KV->data + slot * row_bytes(d); }

// Keys in the slots from `slot` on: codes of every kind, scales that are powers of two, 2^-9 ... 2^-6.
static void write_keys(decode *d, int64_t slot, int64_t count) {
  const oracle_decode_call *x = &d->call;
  const int64_t C = x->D + x->R;
  if (!is_fp8(d)) oracle_fill(x->format, &randomness, count * C, 1, row_of(d, slot));
  for (int64_t j = slot; is_fp8(d) && j < slot + count; j++) {
    uint8_t *codes = row_of(d, j), *scales = codes + x->D, *rope = scales + x->D / 32;
    float *plain = (float *)d->plain->data + j * C;
    oracle_fill_codes(&randomness, x->D, codes);
    oracle_fill(ORACLE_BF16, &randomness, x->R, 1, rope);
    for (int64_t c = 0; c < x->D; c++) {
      const float scale = ldexpf(1, -9 + (int)(oracle_next(&randomness) >> 40) % 4);
      if (c % 128 == 0) memcpy(scales + c / 32, &scale, 4);
      plain[c] = (float)oracle_decode(ORACLE_E4M3, codes, c) * (float)oracle_decode(ORACLE_F32, scales, c / 128);
    }
    for (int64_t c = 0; c < x->R; c++) plain[x->D + c] = (float)oracle_decode(ORACLE_BF16, rope, c);
  }
}

// A NaN in a column of a slot; gives back what was there, to be put back.
static uint32_t spoil_slot(decode *d, int64_t slot, int64_t column, const uint32_t *back) {
  const int64_t D = d->call.D;
  const bool code = is_fp8(d) && column < D;
  const size_t width = code ? 1 : is_fp8(d) ? 2 : width_of(d->Q);
  uint8_t *at = row_of(d, slot) + (code ? column : is_fp8(d) ? D + D / 32 + 2 * (column - D) : column * (int64_t)width);
  uint32_t old = 0;
  memcpy(&old, at, width);
  memset(at, 0xff, width);
  if (back) memcpy(at, back, width);
  return old;
}

// Pages in a scattered order, one more than are used; slots that no key wrote and unused pages are NaN, unused places of the table -1.
static decode make_decode(const decode_shape *s) {
  int64_t W = 0, P = 1;
  for (int64_t b = 0; b < s->B; b++) {
    if ((s->lens[b] + 63) / 64 > W) W = (s->lens[b] + 63) / 64;
    P += (s->lens[b] + 63) / 64;
  }
  W += 2;
  const int64_t C = s->D + s->R;
  const char *dtype = dtype_of(s->settings);
  const bool fp8 = strstr(s->settings, "cache=fp8") != NULL;
  decode d = {.Q = ARRAY(dtype, s->B, s->S, s->N, C),
              .KV = ARRAY(fp8 ? "e4m3" : dtype, P, 64, fp8 ? s->D + s->D / 32 + 2 * s->R : C),
              .plain = ARRAY("f32", fp8 ? P : 0, 64, C),
              .idx = ARRAY("i32", s->B, s->S, s->K),
              .table = ARRAY("i32", s->B, W),
              .lens = ARRAY("i32", s->B),
              .O = ARRAY(dtype, s->B, s->S, s->N, s->D),
              .LSE = ARRAY("f32", s->B, s->S, s->N)};
  int32_t *table = d.table->data, *lens = d.lens->data;
  d.call = (oracle_decode_call){.B = s->B,
                                .S = s->S,
                                .N = s->N,
                                .P = P,
                                .W = W,
                                .D = s->D,
                                .R = s->R,
                                .K = s->K,
                                .scale = 0.0625,
                                .format = format_of(s->settings),
                                .kv_format = fp8 ? ORACLE_F32 : format_of(s->settings),
                                .Q = d.Q->data,
                                .KV = fp8 ? d.plain->data : d.KV->data,
                                .table = table,
                                .lens = lens,
                                .idx = s->K ? d.idx->data : NULL};
  snprintf(d.settings, sizeof d.settings, "D=%lld,R=%lld%s%s", (long long)s->D, (long long)s->R, *s->settings ? "," : "", s->settings);
  oracle_fill(d.call.format, &randomness, s->B * s->S * s->N * C, 1, d.Q->data);
  memset(d.KV->data, 0xff, d.KV->bytes);
  int64_t used = 0;
  for (int64_t b = 0; b < s->B; b++) {
    lens[b] = (int32_t)s->lens[b];
    for (int64_t w = 0; w < W; w++) {
      table[b * W + w] = -1;
      if (w * 64 >= s->lens[b]) continue;
      const int64_t page = P - 1 - used++, keys = s->lens[b] - w * 64 < 64 ? s->lens[b] - w * 64 : 64;
      table[b * W + w] = (int32_t)page;
      write_keys(&d, page * 64, keys);
    }
  }
  for (int64_t i = 0; i < s->B * s->S * s->K; i++) { // chosen positions in no order, some none; the second query has none at all
    const int64_t len = s->lens[i / s->K / s->S], none = len == 0 || oracle_next(&randomness) >> 61 == 0 || i / s->K == 1;
    ((int32_t *)d.idx->data)[i] = none ? -1 : (int32_t)((i % s->K * 37 + i / s->K) % len);
  }
  return d;
}

static bool run_decode(decode *d, int threads, tg_array *O, tg_array *LSE) {
  if (O->bytes) memset(O->data, 0xee, O->bytes);
  const bool sparse = d->call.K > 0;
  tg_argument args[] = {{.name = "Q", .array = d->Q},
                        {.name = "KV", .array = d->KV},
                        {.name = "table", .array = d->table},
                        {.name = sparse ? "idx" : "lens", .array = sparse ? d->idx : d->lens},
                        {.name = "O", .array = O},
                        {.name = "scale", .number = d->call.scale},
                        {.name = "LSE", .array = LSE}};
  return conform_run(sparse ? "mla_decode_sparse" : "mla_decode", d->settings, threads, LSE ? 7 : 6, args);
}

static void free_decode(decode *d) {
  tg_array *all[] = {d->Q, d->KV, d->table, d->lens, d->idx, d->O, d->LSE, d->plain};
  conform_free(8, all);
}

static verdict decode_verdict(const decode *d, const char *what) {
  verdict v = {d->call.K ? "mla_decode_sparse" : "mla_decode", what, ""};
  snprintf(v.shape, sizeof v.shape, "B=%lld S=%lld N=%lld [%s] lens %d %d %d %d", (long long)d->call.B, (long long)d->call.S,
           (long long)d->call.N, d->settings, d->call.B > 0 ? d->call.lens[0] : 0, d->call.B > 1 ? d->call.lens[1] : 0,
           d->call.B > 2 ? d->call.lens[2] : 0, d->call.B > 3 ? d->call.lens[3] : 0);
  return v;
}

// A NaN in the cache at key j of sequence b reaches the queries that see the key.
static void spoil_decode(decode *d, int64_t b, int64_t j, int64_t column) {
  const oracle_decode_call *x = &d->call;
  const int64_t rows = x->B * x->S * x->N, slot = x->table[b * x->W + j / 64] * 64 + j % 64;
  tg_array *dirty = ARRAY(dtype_of(d->settings), x->B, x->S, x->N, x->D);
  bool *touched = calloc((size_t)rows + 1, 1);
  for (int64_t r = 0; r < rows; r++) {
    touched[r] = !x->K && r / x->N / x->S == b && j < x->lens[b] - x->S + r / x->N % x->S + 1;
    for (int64_t i = 0; i < x->K && r / x->N / x->S == b; i++) touched[r] = touched[r] || x->idx[r / x->N * x->K + i] == j;
  }
  const uint32_t old = spoil_slot(d, slot, column, NULL);
  const verdict v = decode_verdict(d, "NaN in a key");
  if (run_decode(d, 2, dirty, NULL)) judge_reach(&v, dirty, d->O, rows, x->D, touched, 0);
  spoil_slot(d, slot, column, &old);
  free(touched);
  FREE(dirty);
}

// From now on one config for any number of threads: a tuned one belongs to its number, and other splits are other bits.
static void pin_decode(decode *d) {
  const size_t n = strlen(d->settings);
  if (!strstr(d->settings, "splits=")) snprintf(d->settings + n, sizeof d->settings - n, ",splits=4");
}

void attention_decode(const decode_shape *s) {
  decode d = make_decode(s);
  const int64_t rows = s->B * s->S * s->N;
  oracle_heads want = heads_of(rows, s->D);
  oracle_mla_decode(&d.call, &want);
  verdict v = decode_verdict(&d, "bounds");
  for (int threads = 1; threads <= 2; threads++) // each with the config that its threads get
    if (run_decode(&d, threads, d.O, d.LSE)) judge_rows(&v, rows, d.O, d.LSE, &want);
  pin_decode(&d);
  v.what = "bounds, its config pinned";
  if (run_decode(&d, 1, d.O, d.LSE)) {
    judge_rows(&v, rows, d.O, d.LSE, &want);
    tg_array *O = ARRAY(dtype_of(s->settings), s->B, s->S, s->N, s->D), *LSE = ARRAY("f32", s->B, s->S, s->N);
    for (int threads = 2; threads <= 3; threads++) {
      v.what = threads == 2 ? "two threads, no LSE" : "three threads";
      if (run_decode(&d, threads, O, threads == 2 ? NULL : LSE)) judge_bits(&v, O, d.O);
    }
    judge_bits(&v, LSE, d.LSE);
    FREE(O, LSE);
    for (int64_t b = 0; b < s->B; b++) {
      if (s->lens[b] == 0 || s->lens[b] > 300) continue;
      spoil_decode(&d, b, s->lens[b] - 1, s->R ? s->D + s->R - 1 : 0); // in the score alone
      spoil_decode(&d, b, s->lens[b] - 1, 0);
      spoil_decode(&d, b, s->lens[b] / 2, s->D / 2);
    }
  }
  free_heads(&want);
  free_decode(&d);
}

void attention_decode_hostile(const char *settings, int64_t K) {
  const decode_shape s = {4, 2, 3, 128, 16, settings, {130, 64, 200, 65}, K};
  static const int32_t bad[] = {-5, 1 << 20, INT32_MAX, INT32_MIN, -1};
  decode d = make_decode(&s);
  int32_t *table = d.table->data, *lens = d.lens->data;
  table[1] = bad[0], table[d.call.W] = bad[1], table[2 * d.call.W] = bad[2], table[2 * d.call.W + 2] = bad[3];
  table[3 * d.call.W] = (int32_t)d.call.P;
  for (int round = 0; round < 2; round++) {
    const int64_t rows = s.B * s.S * s.N;
    if (round) { // every slot written, lengths anywhere
      write_keys(&d, 0, d.call.P * 64);
      for (int64_t i = 0; i < s.B * s.S * K; i += 3) ((int32_t *)d.idx->data)[i] = bad[i % 5];
      lens[0] = INT32_MIN, lens[1] = -1, lens[2] = INT32_MAX, lens[3] = (int32_t)(64 * d.call.W + 1);
    }
    oracle_heads want = heads_of(rows, s.D);
    oracle_mla_decode(&d.call, &want);
    verdict v = decode_verdict(&d, "pages and lengths outside");
    if (run_decode(&d, 2, d.O, d.LSE)) judge_rows(&v, rows, d.O, d.LSE, &want);
    free_heads(&want);
  }
  free_decode(&d);
}

// ---- prefill

typedef struct prefill {
  oracle_prefill_call call;
  tg_array *Q, *K, *V, *cu, *O, *LSE;
  const char *settings;
} prefill;

static prefill make_prefill(const prefill_shape *s) {
  int64_t T = 0;
  for (int64_t b = 0; b < s->count; b++) T += s->lens[b];
  prefill d = {.Q = ARRAY(dtype_of(s->settings), T, s->N, s->Dqk),
               .K = ARRAY(dtype_of(s->settings), T, s->N, s->Dqk),
               .V = ARRAY(dtype_of(s->settings), T, s->N, s->Dv),
               .cu = ARRAY("i32", s->count + 1),
               .O = ARRAY(dtype_of(s->settings), T, s->N, s->Dv),
               .LSE = ARRAY("f32", T, s->N),
               .settings = s->settings};
  int32_t *cu = d.cu->data;
  for (int64_t b = 0; b < s->count; b++) cu[b + 1] = cu[b] + (int32_t)s->lens[b];
  oracle_fill(format_of(s->settings), &randomness, T * s->N * s->Dqk, 1, d.Q->data);
  oracle_fill(format_of(s->settings), &randomness, T * s->N * s->Dqk, 1, d.K->data);
  oracle_fill(format_of(s->settings), &randomness, T * s->N * s->Dv, 1, d.V->data);
  d.call = (oracle_prefill_call){.T = T,
                                 .N = s->N,
                                 .Dqk = s->Dqk,
                                 .Dv = s->Dv,
                                 .B = s->count,
                                 .scale = 0.125,
                                 .format = format_of(s->settings),
                                 .Q = d.Q->data,
                                 .K = d.K->data,
                                 .V = d.V->data,
                                 .cu = cu};
  return d;
}

static bool run_prefill(prefill *d, int threads, tg_array *O, tg_array *LSE) {
  if (O->bytes) memset(O->data, 0xff, O->bytes); // NaN, as the oracle has it for tokens of no sequence
  tg_argument args[] = {{.name = "Q", .array = d->Q},   {.name = "K", .array = d->K}, {.name = "V", .array = d->V},
                        {.name = "cu", .array = d->cu}, {.name = "O", .array = O},    {.name = "scale", .number = d->call.scale},
                        {.name = "LSE", .array = LSE}};
  return conform_run("mla_prefill", d->settings, threads, LSE ? 7 : 6, args);
}

static void free_prefill(prefill *d) {
  tg_array *all[] = {d->Q, d->K, d->V, d->cu, d->O, d->LSE};
  conform_free(6, all);
}

static verdict prefill_verdict(const prefill *d, const char *what) {
  verdict v = {"mla_prefill", what, ""};
  int n = snprintf(v.shape, sizeof v.shape, "N=%lld Dqk=%lld Dv=%lld [%s] cu", (long long)d->call.N, (long long)d->call.Dqk,
                   (long long)d->call.Dv, d->settings);
  for (int64_t b = 0; b <= d->call.B && n < 140; b++) n += snprintf(v.shape + n, sizeof v.shape - (size_t)n, " %d", d->call.cu[b]);
  return v;
}

// A NaN in one head's K or V of a token reaches the tokens of its sequence from there on, in that head. Keys next to a value that is not
// finite are added one by one, in another order than else: their sums are rounded otherwise.
static void spoil_prefill(prefill *d, tg_array *tensor, int64_t width, int64_t token, int64_t head) {
  const oracle_prefill_call *x = &d->call;
  const int64_t rows = x->T * x->N;
  const bool value = tensor == d->V; // all of it: the row is NaN throughout
  const size_t element = width_of(tensor), size = (size_t)width * element;
  tg_array *dirty = ARRAY(dtype_of(d->settings), x->T, x->N, x->Dv);
  bool *touched = calloc((size_t)rows + 1, 1);
  for (int64_t b = 0; b < x->B; b++)
    for (int64_t i = token; x->cu[b] <= token && token < x->cu[b + 1] && i < x->cu[b + 1]; i++) touched[i * x->N + head] = true;
  uint8_t *place = (uint8_t *)tensor->data + (size_t)(token * x->N + head) * size, *old = malloc(size);
  memcpy(old, place, size);
  memset(place, 0xff, value ? size : element);
  memset(place + size - element, 0xff, element);
  const verdict v = prefill_verdict(d, value ? "NaN in a value" : "NaN in a key");
  if (run_prefill(d, 2, dirty, NULL)) judge_reach(&v, dirty, d->O, rows, x->Dv, touched, value ? 0x1p-7 : 0);
  memcpy(place, old, size);
  free(touched), free(old);
  FREE(dirty);
}

void attention_prefill(const prefill_shape *s) {
  prefill d = make_prefill(s);
  const int64_t T = d.call.T, rows = T * s->N;
  oracle_heads want = heads_of(rows, s->Dv);
  oracle_mla_prefill(&d.call, &want);
  verdict v = prefill_verdict(&d, "bounds");
  if (run_prefill(&d, 1, d.O, d.LSE)) {
    judge_rows(&v, rows, d.O, d.LSE, &want);
    tg_array *O = ARRAY(dtype_of(s->settings), T, s->N, s->Dv), *LSE = ARRAY("f32", T, s->N);
    for (int threads = 2; threads <= 3; threads++) {
      v.what = threads == 2 ? "two threads, no LSE" : "three threads";
      if (run_prefill(&d, threads, O, threads == 2 ? NULL : LSE)) judge_bits(&v, O, d.O);
    }
    judge_bits(&v, LSE, d.LSE);
    FREE(O, LSE);
    for (int64_t i = 0; T > 0 && i < 3; i++) {
      const int64_t token = i == 0 ? T / 2 : i == 1 ? T - 1 : T / 3;
      spoil_prefill(&d, d.K, s->Dqk, token, s->N / 2);
    }
    if (T > 0) spoil_prefill(&d, d.V, s->Dv, T / 2, s->N - 1);
  }
  free_heads(&want);
  free_prefill(&d);
}

// Offsets that decrease, are negative or lead beyond the tokens: whatever comes out, nothing outside is touched (guarded by the sanitizer
// build and the interpreter), and a sequence that lies inside is right.
void attention_prefill_hostile(void) {
  const prefill_shape s = {2, 32, 16, "", {40, 30}, 2};
  prefill d = make_prefill(&s);
  int32_t *cu = d.cu->data;
  static const int32_t bad[][3] = {{-7, 40, 1 << 20}, {INT32_MIN, 40, INT32_MAX}};
  for (int i = 0; i < 2; i++) {
    memcpy(cu, (int32_t[]){0, 40, 70}, 12);
    oracle_heads want = heads_of(140, s.Dv);
    oracle_mla_prefill(&d.call, &want);
    memcpy(cu, bad[i], 12);
    const verdict v = prefill_verdict(&d, "offsets outside");
    if (run_prefill(&d, 2, d.O, d.LSE)) judge_rows(&v, 140, d.O, d.LSE, &want);
    free_heads(&want);
  }
  memcpy(cu, (int32_t[]){70, 40, -1}, 12);
  run_prefill(&d, 1, d.O, d.LSE);
  free_prefill(&d);
}

void attention_all(void) {
  const decode_shape decodes[] = {
      {0, 1, 16, 512, 64, "", {0}, 0},
      {1, 1, 1, 512, 64, "", {1}, 0},
      {1, 1, 16, 512, 64, "", {1000}, 0},
      {1, 2, 128, 512, 64, "", {65}, 0},
      {4, 1, 16, 512, 64, "", {0, 63, 64, 65}, 0},
      {4, 2, 16, 512, 64, "", {1, 0, 65, 2}, 0},
      {4, 2, 5, 128, 64, "", {1000, 129, 64, 1}, 0},
      {4, 1, 7, 64, 0, "splits=1", {0, 1, 200, 130}, 0},
      {4, 3, 33, 96, 32, "splits=8,BM=32,BK=64", {200, 3, 2, 130}, 0},
      {2, 1, 40, 32, 16, "splits=2,BM=16,BK=256", {257, 1000}, 0},
      {4, 2, 5, 512, 64, "dtype=f32", {0, 63, 64, 65}, 0},
      {2, 1, 17, 64, 0, "dtype=f32,splits=1", {1000, 1}, 0},
      {4, 2, 16, 512, 64, "cache=fp8", {1, 0, 65, 64}, 0},
      {1, 1, 33, 512, 64, "cache=fp8,splits=8", {1000}, 0},
      {2, 1, 3, 256, 0, "cache=fp8,BK=64", {63, 130}, 0},
      {2, 2, 3, 128, 32, "cache=fp8,dtype=f32", {65, 2}, 0},
      {4, 2, 16, 512, 64, "", {1, 0, 65, 64}, 16},
      {1, 1, 33, 512, 64, "splits=8", {1000}, 300},
      {2, 2, 3, 64, 0, "splits=1,BM=16", {200, 63}, 1},
      {2, 2, 5, 128, 32, "dtype=f32", {65, 2}, 65},
      {2, 2, 16, 512, 64, "cache=fp8", {130, 64}, 64},
      {1, 3, 5, 256, 0, "cache=fp8,dtype=f32,splits=2,BK=32", {65}, 63},
  };
  for (size_t i = 0; i < sizeof decodes / sizeof *decodes; i++) attention_decode(&decodes[i]);
  attention_decode_hostile("splits=2", 0), attention_decode_hostile("cache=fp8", 0);
  attention_decode_hostile("", 33), attention_decode_hostile("cache=fp8,splits=2", 70);
  const prefill_shape prefills[] = {
      {2, 192, 128, "", {0, 1, 17, 129}, 4},
      {1, 192, 128, "", {257}, 1},
      {3, 48, 24, "BQ=16,BK=32", {17, 0, 0, 65, 1, 1, 130, 0}, 8},
      {2, 64, 64, "BQ=128,BK=256", {300, 5}, 2},
      {2, 64, 64, "BQ=32,BK=64", {0}, 1},
      {2, 64, 64, "", {0}, 0},
      {2, 192, 128, "dtype=f32", {65, 0, 130, 1}, 4},
  };
  for (size_t i = 0; i < sizeof prefills / sizeof *prefills; i++) attention_prefill(&prefills[i]);
  attention_prefill_hostile();
}
