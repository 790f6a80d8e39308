#include "model.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "judge.h"
#include "test.h"

static oracle_random randomness;
static int64_t below(int64_t n) { return (int64_t)(oracle_next(&randomness) >> 16) % n; }

static size_t width_of(const tg_array *a) { return format_of(a) == ORACLE_F32 ? 4 : 2; }
static void fill(tg_array *a, double scale) { oracle_fill(format_of(a), &randomness, elements(a), scale, a->data); }

// NaN, both Inf and the least and greatest numbers, in places that no run of vectors has for itself.
static void spoil(tg_array *a) {
  static const double odd[] = {NAN, INFINITY, -INFINITY, -0.0, 0x1p-126, 0x1.fep127, 0x1p-133};
  const int64_t n = elements(a);
  for (int i = 0; n > 64 && i < 7; i++) set_element(a, (n - 1) * (i + 1) / 8, odd[i]);
}

// What the dtype of `a` makes of a number, as it would be read back: f32 arithmetic, then a rounding to nearest even.
static double rounded(const tg_array *a, double x) {
  const float narrow = (float)x;
  const uint16_t bits = oracle_to_bf16(narrow);
  return format_of(a) == ORACLE_F32 ? narrow : oracle_decode(ORACLE_BF16, &bits, 0);
}

// Every element is exactly what is wanted.
static void judge_exact(const verdict *v, const tg_array *out, const double *want) { judge_bounds(v, out, want, NULL, 0, 0); }

// ---- bmm

typedef struct batch {
  int64_t T, N, K, M;
  bool transposed;
  tg_array *A, *B, *C;
} batch;

// A head's rows of A and B, each by themselves, to where oracle_gemm takes them from.
static void gather_head(const batch *b, int64_t n, char *a, char *w) {
  const size_t width = width_of(b->A);
  for (int64_t t = 0; t < b->T; t++)
    for (int64_t k = 0; k < b->K; k++)
      memcpy(a + (size_t)(t * b->K + k) * width, (char *)b->A->data + (size_t)((t * b->N + n) * b->K + k) * width, width);
  for (int64_t m = 0; m < b->M; m++)
    for (int64_t k = 0; k < b->K; k++) {
      const int64_t from = n * b->M * b->K + (b->transposed ? k * b->M + m : m * b->K + k);
      memcpy(w + (size_t)(m * b->K + k) * width, (char *)b->B->data + (size_t)from * width, width);
    }
}

static void judge_batch(const verdict *v, const batch *b) {
  const int64_t T = b->T, N = b->N, K = b->K, M = b->M;
  const bool f32 = format_of(b->A) == ORACLE_F32;
  double *want = doubles(T * N * M), *sum = doubles(T * N * M), *c = doubles(T * M), *s = doubles(T * M);
  char *a = malloc((size_t)(T * K) * 4 + 1), *w = malloc((size_t)(M * K) * 4 + 1);
  for (int64_t n = 0; n < N; n++) {
    gather_head(b, n, a, w);
    oracle_gemm(format_of(b->A), T, M, K, a, NULL, w, NULL, c, s);
    for (int64_t i = 0; i < T * M; i++) want[(i / M * N + n) * M + i % M] = c[i], sum[(i / M * N + n) * M + i % M] = s[i];
  }
  judge_bounds(v, b->C, want, sum, f32 ? 0x1p-22 : 0x1p-8, f32 ? 0x1p-18 : 0x1p-13);
  free(want), free(sum), free(c), free(s), free(a), free(w);
}

// NaN in a row of A reaches that row of its head, in the weights of an output that column of its head.
static void batch_reach(const verdict *v, const batch *b, tg_argument *args) {
  const int64_t T = b->T, N = b->N, K = b->K, M = b->M;
  if (!T || !N || !K || !M) return;
  const int64_t t = below(T), n = below(N), m = below(M), k = K - 1, at = n * M * K + (b->transposed ? k * M + m : m * K + k);
  bool *touched = calloc((size_t)(T * N * M), 1);
  tg_array *dirty = conform_array(tg_dtype_name(b->C->dtype), 3, b->C->dim);
  set_element(b->A, (t * N + n) * K + k, NAN), set_element(b->B, at, INFINITY);
  for (int64_t i = 0; i < T * N * M; i++) touched[i] = i / M % N == n && (i / M / N == t || i % M == m);
  args[2].array = dirty;
  if (conform_run("bmm", v->settings, 2, 3, args)) judge_reach(*v, "NaN in A, Inf in B", dirty, b->C, touched);
  args[2].array = b->C;
  free(touched);
  FREE(dirty);
}

void conform_bmm(const char *settings, int64_t T, int64_t N, int64_t K, int64_t M) {
  const char *dtype = dtype_of(settings);
  const bool transposed = strstr(settings, "transpose_b=1");
  batch b = {T, N, K, M, transposed, ARRAY(dtype, T, N, K), ARRAY(dtype, N, transposed ? K : M, transposed ? M : K), ARRAY(dtype, T, N, M)};
  tg_argument args[] = {{.name = "A", .array = b.A}, {.name = "B", .array = b.B}, {.name = "C", .array = b.C}};
  verdict v = VERDICT("bmm", settings, "T %lld, N %lld, K %lld, M %lld", (long long)T, (long long)N, (long long)K, (long long)M);
  fill(b.A, 1), fill(b.B, 1);
  if (conform_run("bmm", settings, 1, 3, args)) {
    judge_batch(&v, &b);
    judge_same_bits(&v, 3, args, 2);
    batch_reach(&v, &b, args);
  }
  FREE(b.A, b.B, b.C);
}

static void batches(void) {
  static const int64_t Ts[] = {0, 1, 17, 129, 257};
  static const char *const kinds[] = {"", "transpose_b=1", "dtype=f32", "dtype=f32,transpose_b=1"};
  for (int kind = 0; kind < 4; kind++) {
    for (int i = 0; i < 5; i++) conform_bmm(kinds[kind], Ts[i], 3, 33, 40);
    conform_bmm(kinds[kind], 2, 5, 128, 257), conform_bmm(kinds[kind], 3, 2, 257, 129), conform_bmm(kinds[kind], 5, 2, 0, 9),
        conform_bmm(kinds[kind], 1, 1, 1, 1);
    conform_bmm(kinds[kind], 4, 0, 16, 16), conform_bmm(kinds[kind], 4, 3, 16, 0);
  }
  conform_bmm("BT=2,FEW=8", 5, 2, 32, 40); // more rows than a block has
  conform_bmm("BT=1,BM=512,BK=16", 3, 4, 130, 512), conform_bmm("BT=64,BM=32,BK=64,transpose_b=1", 70, 2, 100, 70),
      conform_bmm("BT=128", 129, 2, 144, 129);
}

// ---- rows: embed, add, cast, add_rmsnorm, dequantize_blocks

static void embed(const char *settings, int64_t T, int64_t V, int64_t H, bool hostile) {
  const char *dtype = dtype_of(settings);
  tg_array *W = ARRAY(dtype, V, H), *ids = ARRAY("i32", T), *X = ARRAY(dtype, T, H);
  tg_argument args[] = {{.name = "W", .array = W}, {.name = "ids", .array = ids}, {.name = "X", .array = X}};
  verdict v = VERDICT("embed", settings, "%lld of %lld x %lld", (long long)T, (long long)V, (long long)H);
  static const int32_t outside[] = {-1, INT_MIN, INT_MAX};
  double *want = doubles(T * H);
  fill(W, 1), spoil(W);
  for (int64_t t = 0; t < T; t++) {
    int32_t *id = (int32_t *)ids->data + t;
    *id = V ? (int32_t)below(V) : 0;
    if (hostile && below(2)) *id = below(4) ? outside[below(3)] : (int32_t)V;
    for (int64_t h = 0; h < H; h++) want[t * H + h] = *id >= 0 && *id < V ? element_at(W, *id * H + h) : 0;
  }
  if (conform_run("embed", settings, 1, 3, args)) judge_exact(&v, X, want), judge_same_bits(&v, 3, args, 2);
  free(want);
  FREE(W, ids, X);
}

static void add(const char *settings, int64_t T, int64_t H) {
  const char *dtype = dtype_of(settings);
  tg_array *A = ARRAY(dtype, T, H), *B = ARRAY(dtype, T, H), *O = ARRAY(dtype, T, H);
  tg_argument args[] = {{.name = "A", .array = A}, {.name = "B", .array = B}, {.name = "O", .array = O}};
  verdict v = VERDICT("add", settings, "%lld x %lld", (long long)T, (long long)H);
  double *want = doubles(T * H);
  fill(A, 1), fill(B, 3), spoil(A);
  if (T * H > 64) set_element(B, (T * H - 1) * 2 / 8, -INFINITY); // where A is Inf
  for (int64_t i = 0; i < T * H; i++) want[i] = rounded(O, element_at(A, i) + element_at(B, i));
  if (conform_run("add", settings, 1, 3, args)) judge_exact(&v, O, want), judge_same_bits(&v, 3, args, 2);
  free(want);
  FREE(A, B, O);
}

static void cast(const char *from, const char *to, int64_t T, int64_t H) {
  char settings[32];
  snprintf(settings, sizeof settings, "from=%s,to=%s", from, to);
  tg_array *X = ARRAY(from, T, H), *O = ARRAY(to, T, H);
  tg_argument args[] = {{.name = "X", .array = X}, {.name = "O", .array = O}};
  verdict v = VERDICT("cast", settings, "%lld x %lld", (long long)T, (long long)H);
  double *want = doubles(T * H);
  fill(X, 1), spoil(X);
  for (int64_t i = 0; i < T * H; i += 5) set_element(X, i, (i % 2 ? -1 : 1) * (1 + (double)(2 * below(128) + 1) / 256)); // ties of bf16
  for (int64_t i = 0; i < T * H; i++) want[i] = rounded(O, element_at(X, i));
  if (conform_run("cast", settings, 1, 2, args)) judge_exact(&v, O, want), judge_same_bits(&v, 2, args, 1);
  free(want);
  FREE(X, O);
}

static void add_rmsnorm(const char *settings, int64_t T, int64_t H) {
  const char *dtype = dtype_of(settings);
  tg_array *X = ARRAY(dtype, T, H), *R = ARRAY(dtype, T, H), *W = ARRAY(dtype, H), *S = ARRAY(dtype, T, H), *O = ARRAY(dtype, T, H);
  tg_argument args[] = {{.name = "X", .array = X},       {.name = "R", .array = R}, {.name = "W", .array = W},
                        {.name = "eps", .number = 1e-6}, {.name = "S", .array = S}, {.name = "O", .array = O}};
  verdict v = VERDICT("add_rmsnorm", settings, "%lld x %lld", (long long)T, (long long)H);
  double *want = doubles(T * H);
  fill(X, 1), fill(R, 2), fill(W, 1);
  if (T > 2 && H > 2) {
    set_element(X, H + H - 1, NAN), set_element(R, 2 * H, INFINITY);      // rows 1 and 2
    for (int64_t h = 0; h < H; h++) set_element(X, h, -element_at(R, h)); // row 0 is 0
  }
  if (conform_run("add_rmsnorm", settings, 1, 6, args)) {
    for (int64_t i = 0; i < T * H; i++) want[i] = rounded(S, element_at(X, i) + element_at(R, i));
    judge_exact(&v, S, want);
    oracle_rmsnorm(format_of(S), T, H, (double)1e-6f, S->data, W->data, want);
    judge_rounded(&v, O, want, NULL);
    judge_same_bits(&v, 6, args, 4);
  }
  free(want);
  FREE(X, R, W, S, O);
}

static void dequantize_blocks(const char *settings, int64_t N, int64_t K) {
  const int64_t rows = (N + 127) / 128, columns = (K + 127) / 128;
  tg_array *Q = ARRAY("e4m3", N, K), *S = ARRAY("f32", rows, columns), *X = ARRAY(dtype_of(settings), N, K);
  tg_argument args[] = {{.name = "Q", .array = Q}, {.name = "S", .array = S}, {.name = "X", .array = X}};
  verdict v = VERDICT("dequantize_blocks", settings, "%lld x %lld", (long long)N, (long long)K);
  double *want = doubles(N * K);
  oracle_fill_codes(&randomness, N * K, Q->data), oracle_fill_scales(&randomness, rows * columns, S->data);
  if (N * K > 64) ((uint8_t *)Q->data)[N * K / 3] = 0x7f, ((uint8_t *)Q->data)[N * K - 1] = 0xff;
  if (rows * columns > 3) ((float *)S->data)[1] = NAN, ((float *)S->data)[2] = INFINITY;
  for (int64_t i = 0; i < N * K; i++)
    want[i] = rounded(X, oracle_decode(ORACLE_E4M3, Q->data, i) * (double)((float *)S->data)[i / K / 128 * columns + i % K / 128]);
  if (conform_run("dequantize_blocks", settings, 1, 3, args)) judge_exact(&v, X, want), judge_same_bits(&v, 3, args, 2);
  free(want);
  FREE(Q, S, X);
}

static void rows(void) {
  static const int64_t Ts[] = {0, 1, 17, 129, 257};
  static const char *const dtypes[] = {"", "dtype=f32"}, *const names[] = {"bf16", "f32"};
  for (int d = 0; d < 2; d++) {
    for (int i = 0; i < 5; i++) {
      embed(dtypes[d], Ts[i], 57, 72, i % 2), add(dtypes[d], Ts[i], 33), add_rmsnorm(dtypes[d], Ts[i], 72);
      cast(names[d], "bf16", Ts[i], 33), cast(names[d], "f32", Ts[i], 33), dequantize_blocks(dtypes[d], Ts[i], 144);
    }
    embed(dtypes[d], 3, 1, 1, true), embed(dtypes[d], 5, 9, 4100, false), embed(dtypes[d], 3, 0, 8, true), embed(dtypes[d], 3, 4, 0, false);
    add(dtypes[d], 3, 4100), add(dtypes[d], 1, 1), add(dtypes[d], 3, 0), add_rmsnorm(dtypes[d], 2, 7168), add_rmsnorm(dtypes[d], 3, 1);
    cast(names[d], "bf16", 2, 4100), cast(names[d], "f32", 3, 0);
    dequantize_blocks(dtypes[d], 300, 257), dequantize_blocks(dtypes[d], 1, 1), dequantize_blocks(dtypes[d], 5, 0);
  }
  add_rmsnorm("BM=4,BH=64", 17, 300), add_rmsnorm("BM=16,BH=1024,dtype=f32", 17, 1100), embed("BH=256", 4, 9, 513, true);
}

// ---- argmax

enum { LOGITS_NORMAL, LOGITS_TIES, LOGITS_WILD, LOGITS_LOWEST };

// NaN above all, of equals the lowest.
static int32_t greatest(const float *x, int64_t n) {
  int32_t best = -1;
  for (int32_t i = 0; i < n; i++)
    if (best < 0 || x[i] > x[best] || (isnan(x[i]) && !isnan(x[best]))) best = i;
  return best;
}

static void argmax(const char *settings, int64_t T, int64_t V, int kind) {
  tg_array *L = ARRAY("f32", T, V), *idx = ARRAY("i32", T);
  tg_argument args[] = {{.name = "L", .array = L}, {.name = "idx", .array = idx}};
  verdict v = VERDICT("argmax", settings, "%lld x %lld, logits %d", (long long)T, (long long)V, kind);
  float *x = L->data;
  int64_t wrong = 0, first = 0;
  fill(L, 4);
  for (int64_t i = 0; i < T * V; i++) {
    static const float wild[] = {NAN, INFINITY, -INFINITY, 0x1.fffffep127f};
    if (kind == LOGITS_TIES) x[i] = below(2) ? 0.0f : -0.0f;
    if (kind == LOGITS_WILD && below(V) == 0) x[i] = wild[below(4)];
    if (kind == LOGITS_LOWEST) x[i] = -INFINITY;
  }
  if (conform_run("argmax", settings, 1, 2, args)) {
    for (int64_t t = 0; t < T; t++)
      if (((int32_t *)idx->data)[t] != greatest(x + t * V, V) && wrong++ == 0) first = t;
    judge(&v, wrong, first, wrong ? ((int32_t *)idx->data)[first] : 0, wrong ? greatest(x + first * V, V) : 0);
    judge_same_bits(&v, 2, args, 1);
  }
  FREE(L, idx);
}

static void maxima(void) {
  static const int64_t Ts[] = {0, 1, 17, 129, 257};
  for (int kind = LOGITS_NORMAL; kind <= LOGITS_LOWEST; kind++) {
    for (int i = 0; i < 5; i++) argmax("", Ts[i], 130, kind);
    argmax("", 9, 5000, kind), argmax("BV=256", 9, 1023, kind), argmax("BV=4096", 9, 4097, kind), argmax("", 5, 1, kind);
  }
  argmax("", 3, 0, LOGITS_NORMAL);
}

// ---- append_cache

typedef struct append {
  int64_t T, D, R, B, W, P;
  tg_array *latent, *rope, *table, *seq, *pos, *cache;
} append;

// Rows that are dropped for every reason there is; the others in places of their own: page p of the table's slots in turn.
static void fill_places(const append *a, bool hostile) {
  static const int32_t outside[] = {-1, INT_MIN, INT_MAX};
  int32_t *table = a->table->data, *seq = a->seq->data, *pos = a->pos->data;
  for (int64_t i = 0; i < a->B * a->W; i++) table[i] = i < a->P ? (int32_t)(a->P - 1 - i) : -1;
  for (int64_t i = 0; hostile && i < a->B * a->W; i++)
    if (below(4) == 0) table[i] = below(4) ? outside[below(3)] : (int32_t)a->P;
  const int64_t places = a->B * a->W * 64, step = places / (a->T + 1) > 0 ? places / (a->T + 1) : 1;
  for (int64_t t = 0; t < a->T; t++) {
    const int64_t place = t * step;
    seq[t] = place < places ? (int32_t)(place / (a->W * 64)) : -1, pos[t] = a->W ? (int32_t)(place % (a->W * 64)) : 0;
    if (hostile && below(5) == 0) seq[t] = below(4) ? outside[below(3)] : (int32_t)a->B;
    if (hostile && below(5) == 0) pos[t] = below(4) ? outside[below(3)] : (int32_t)(a->W * 64);
  }
}

// By the definition, on the bytes.
static void append_rows(const append *a, char *cache) {
  const int32_t *table = a->table->data, *seq = a->seq->data, *pos = a->pos->data;
  const size_t width = width_of(a->cache), d = (size_t)a->D * width, r = (size_t)a->R * width;
  for (int64_t t = 0; t < a->T; t++) {
    if (seq[t] < 0 || seq[t] >= a->B || pos[t] < 0 || pos[t] >= a->W * 64) continue;
    const int32_t page = table[seq[t] * a->W + pos[t] / 64];
    if (page < 0 || page >= a->P) continue;
    char *row = cache + (size_t)(page * 64 + pos[t] % 64) * (d + r);
    memcpy(row, (char *)a->latent->data + (size_t)t * d, d), memcpy(row + d, (char *)a->rope->data + (size_t)t * r, r);
  }
}

static void append_cache(const char *settings, append a, bool hostile) {
  const char *dtype = dtype_of(settings);
  a.latent = ARRAY(dtype, a.T, a.D), a.rope = ARRAY(dtype, a.T, a.R), a.table = ARRAY("i32", a.B, a.W);
  a.seq = ARRAY("i32", a.T), a.pos = ARRAY("i32", a.T), a.cache = ARRAY(dtype, a.P, 64, a.D + a.R);
  tg_argument args[] = {{.name = "Latent", .array = a.latent}, {.name = "Rope", .array = a.rope}, {.name = "table", .array = a.table},
                        {.name = "seq", .array = a.seq},       {.name = "pos", .array = a.pos},   {.name = "KV", .array = a.cache}};
  char *before = malloc(a.cache->bytes + 1), *want = malloc(a.cache->bytes + 1);
  fill(a.latent, 1), spoil(a.latent), fill(a.rope, 1), spoil(a.rope), fill(a.cache, 1);
  fill_places(&a, hostile);
  memcpy(before, a.cache->data, a.cache->bytes), memcpy(want, before, a.cache->bytes);
  append_rows(&a, want);
  for (int threads = 1; threads <= 3; threads++) {
    memcpy(a.cache->data, before, a.cache->bytes);
    if (conform_run("append_cache", settings, threads, 6, args))
      CHECKF(!memcmp(a.cache->data, want, a.cache->bytes),
             "append_cache [%s] on %s, T %lld, %lld + %lld, B %lld, W %lld, P %lld, %d threads", settings, conform_device(), (long long)a.T,
             (long long)a.D, (long long)a.R, (long long)a.B, (long long)a.W, (long long)a.P, threads);
  }
  free(before), free(want);
  FREE(a.latent, a.rope, a.table, a.seq, a.pos, a.cache);
}

static void appends(void) {
  static const int64_t Ts[] = {0, 1, 17, 129, 257};
  static const char *const kinds[] = {"", "dtype=f32"};
  for (int k = 0; k < 2; k++) {
    for (int i = 0; i < 5; i++) {
      append_cache(kinds[k], (append){.T = Ts[i], .D = 40, .R = 8, .B = 3, .W = 2, .P = 7}, false);
      append_cache(kinds[k], (append){.T = Ts[i], .D = 33, .R = 3, .B = 4, .W = 3, .P = 9}, true);
    }
    append_cache(kinds[k], (append){.T = 5, .D = 512, .R = 64, .B = 5, .W = 1, .P = 5}, false);
    append_cache(kinds[k], (append){.T = 5, .D = 600, .R = 0, .B = 1, .W = 3, .P = 2}, true);
    append_cache(kinds[k], (append){.T = 3, .D = 8, .R = 8, .B = 0, .W = 2, .P = 2}, true);
    append_cache(kinds[k], (append){.T = 3, .D = 8, .R = 8, .B = 2, .W = 0, .P = 2}, true);
    append_cache(kinds[k], (append){.T = 3, .D = 8, .R = 8, .B = 2, .W = 2, .P = 0}, true);
  }
  append_cache("BD=64", (append){.T = 17, .D = 200, .R = 70, .B = 2, .W = 2, .P = 4}, true);
}

void conform_model(void) {
  batches();
  rows();
  maxima();
  appends();
}

void conform_model_few(void) {
  conform_bmm("BT=16,BM=32", 17, 3, 40, 33), conform_bmm("transpose_b=1,BT=16,BM=32", 3, 2, 16, 24);
  embed("", 17, 9, 300, true), add("", 17, 300), cast("bf16", "f32", 3, 300), add_rmsnorm("", 17, 300), dequantize_blocks("", 130, 144);
  argmax("BV=256", 17, 300, LOGITS_TIES);
  append_cache("", (append){.T = 17, .D = 40, .R = 8, .B = 3, .W = 2, .P = 7}, true);
}
