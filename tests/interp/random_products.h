// Random kernels around matrix products, on small whole numbers, so that every order of sums gives the same bits: tiles of every size,
// operands along k or across it, edges, loops that fetch ahead, several products of one operand, scales that are powers of two, products of
// products.
#ifndef TG_RANDOM_PRODUCTS_H
#define TG_RANDOM_PRODUCTS_H
#include "interp/ops.h"
#include "oracle.h"

static bool products_with_clusters; // on devices that have them

typedef struct product {
  oracle_random random;
  char text[8192];
  size_t used;
  const char *dtype;
  int m, n, k;             // extents of the tensors
  int bm, bn, bk;          // of the tiles
  bool a_turned, b_turned; // memory runs along m (A[K, M]), along n (B[K, N])
  bool scaled, twice, chained;
  int depth; // columns of V, of the second product of a chain
  char warps[4], stages[4], warps_m[4], cluster[4];
} product;

static inline int roll(product *p, int n) { return (int)(oracle_next(&p->random) >> 33) % n; }
static inline int one_of(product *p, int n, const int *from) { return from[roll(p, n)]; }

__attribute__((format(printf, 2, 3))) static inline void put(product *p, const char *format, ...) {
  va_list args;
  va_start(args, format);
  p->used += (size_t)vsnprintf(p->text + p->used, sizeof p->text - p->used, format, args);
  va_end(args);
}

static inline void choose(product *p) {
  static const int rows[] = {1, 4, 16, 16, 32, 64, 64, 128}, columns[] = {8, 16, 32, 64, 128, 192}, depths[] = {16, 32, 32, 64, 128};
  static const char *const dtypes[] = {"bf16", "bf16", "f16", "e4m3", "e4m3", "f32"};
  static const char *const powers[] = {"1", "2", "4", "8"};
  p->dtype = dtypes[roll(p, 6)];
  p->bm = one_of(p, 8, rows), p->bn = one_of(p, 6, columns), p->bk = one_of(p, 5, depths);
  if (!strcmp(p->dtype, "f32")) p->bm = p->bm > 32 ? 32 : p->bm, p->bn = p->bn > 64 ? 64 : p->bn, p->bk = p->bk > 32 ? 32 : p->bk;
  p->a_turned = roll(p, 4) == 0, p->b_turned = roll(p, 3) == 0;
  p->scaled = !strcmp(p->dtype, "e4m3") && roll(p, 2);
  if (p->scaled) p->bk = 128;
  p->twice = roll(p, 4) == 0 && p->bm * p->bn <= 8192;
  p->chained = roll(p, 4) == 0 && !p->scaled && p->bm >= 16 && p->bn >= 16 && p->bn != 192 && strcmp(p->dtype, "f32");
  p->depth = 16 << roll(p, 3);
  const bool whole = roll(p, 2); // rows that begin aligned, so that the variant with vectors takes the call
  p->m = 1 + roll(p, 2 * p->bm + 1), p->n = 1 + roll(p, 2 * p->bn + 1), p->k = roll(p, 4 * p->bk + 1);
  if (whole) p->m = (p->m + 15) / 16 * 16, p->n = (p->n + 15) / 16 * 16, p->k = (p->k + 15) / 16 * 16;
  strcpy(p->warps, powers[roll(p, 4)]), strcpy(p->stages, powers[roll(p, 3)]), strcpy(p->warps_m, powers[roll(p, 4)]);
  strcpy(p->cluster, powers[roll(p, 3)]);
}

// %name: a tile of an operand, rows x BK of A or rows x BK of B, as it lies or turned.
static inline void put_operand(product *p, const char *name, const char *tensor, const char *rows, int length, bool turned) {
  put(p, "%%p%s = param {name = \"%s\", type = view<%s,2>} : view<%s,2>\n", name, tensor, p->dtype, p->dtype);
  if (!turned) {
    put(p, "%%%s = load %%p%s, %s, %%rk : %s[%dx%d]\n", name, name, rows, p->dtype, length, p->bk);
  } else {
    put(p, "%%l%s = load %%p%s, %%rk, %s : %s[%dx%d]\n%%%s = transpose %%l%s {perm = [1, 0]} : %s[%dx%d]\n", name, name, rows, p->dtype,
        p->bk, length, name, name, p->dtype, length, p->bk);
  }
}

static inline void put_dot(product *p, const char *out, const char *b, const char *sum) {
  put(p, "%%t%s = transpose %%%s {perm = [1, 0]} : %s[%dx%d]\n", out, b, p->dtype, p->bk, p->bn);
  if (p->scaled) {
    put(p, "%%%s = dot_scaled %%a, %%t%s, %%%s, %%sa, %%sb : f32[%dx%d]\n", out, out, sum, p->bm, p->bn);
  } else {
    put(p, "%%%s = dot %%a, %%t%s, %%%s : f32[%dx%d]\n", out, out, sum, p->bm, p->bn);
  }
}

// The fold over k; leaves %sum (and %other) behind.
static inline void put_fold(product *p) {
  const char *type = tile_text("f32", 2, (int64_t[]){p->bm, p->bn});
  put(p, "%%start = const {type = %s, value = %d} : %s\n", type, roll(p, 3), type);
  put(p, "%%sum%s = for %%zero, %%kk, %%start%s {step = %d} : %s", p->twice ? ", %other" : "", p->twice ? ", %start" : "", p->bk, type);
  put(p, p->twice ? ", %s (%%i : i64, %%c : %s, %%d : %s) {\n" : " (%%i : i64, %%c : %s) {\n", type, type, type);
  put(p, "%%rk = range %%i, %%kk {len = %d, align = %d} : range<%d>\n", p->bk, p->bk, p->bk);
  put_operand(p, "a", "A", "%rm", p->bm, p->a_turned), put_operand(p, "b", "B", "%rn", p->bn, p->b_turned);
  if (p->scaled) {
    put(p,
        "%%step = const {type = i64, value = 128} : i64\n%%block = div %%i, %%step : i64\n%%blocks = const {type = i64, value = %d} : "
        "i64\n",
        (p->k + 127) / 128);
    put(p,
        "%%rb = range %%block, %%blocks {len = 1, align = 1} : range<1>\n%%psa = param {name = \"S\", type = view<f32,2>} : view<f32,2>\n");
    put(p, "%%sa = load %%psa, %%rm, %%rb : f32[%dx1]\n%%sb = const {type = f32[1x1], value = 0.5} : f32[1x1]\n", p->bm);
  }
  put_dot(p, "x", "b", "c");
  if (p->twice) put_dot(p, "y", "b", "d");
  put(p, "yield %%x%s\n}\n", p->twice ? ", %y" : "");
  if (p->twice) put(p, "%%all = add %%sum, %%other : %s\n", type);
}

// The sums, brought to -2 … 2, times V.
static inline void put_chain(product *p, const char *sum) {
  const char *type = tile_text("f32", 2, (int64_t[]){p->bm, p->bn});
  put(p, "%%lo = const {type = %s, value = -2} : %s\n%%hi = const {type = %s, value = 2} : %s\n", type, type, type, type);
  put(p, "%%at_least = max %%%s, %%lo : %s\n%%within = min %%at_least, %%hi : %s\n", sum, type, type);
  put(p, "%%narrow = cast %%within {to = \"bf16\"} : bf16[%dx%d]\n%%pv = param {name = \"V\", type = view<bf16,2>} : view<bf16,2>\n", p->bm,
      p->bn);
  put(p, "%%nd = const {type = i64, value = %d} : i64\n%%rd = range %%zero, %%nd {len = %d, align = 16} : range<%d>\n", p->depth, p->depth,
      p->depth);
  put(p, "%%v = load %%pv, %%rn, %%rd : bf16[%dx%d]\n%%none = const {type = f32[%dx%d], value = 0} : f32[%dx%d]\n", p->bn, p->depth, p->bm,
      p->depth, p->bm, p->depth);
  put(p, "%%result = dot %%narrow, %%v, %%none : f32[%dx%d]\n", p->bm, p->depth);
  put(p, "%%np = const {type = i64, value = %d} : i64\n%%rp = range %%p1, %%np {len = 1, align = 1} : range<1>\n",
      (p->n + p->bn - 1) / p->bn);
  put(p, "%%deep = reshape %%result {shape = [1, %d, %d]} : f32[1x%dx%d]\nstore %%py, %%rp, %%rm, %%rd, %%deep\n", p->bm, p->depth, p->bm,
      p->depth);
}

static inline void make_product(product *p) {
  const int blocks[2] = {(p->m + p->bm - 1) / p->bm, (p->n + p->bn - 1) / p->bn};
  p->used = 0;
  put(p, "kernel t tile {\ninput A : %s[%d, %d]\ninput B : %s[%d, %d]\n", p->dtype, p->a_turned ? p->k : p->m, p->a_turned ? p->m : p->k,
      p->dtype, p->b_turned ? p->k : p->n, p->b_turned ? p->n : p->k);
  if (p->scaled) put(p, "input S : f32[%d, %d]\n", p->m, (p->k + 127) / 128);
  if (p->chained) put(p, "input V : bf16[%d, %d]\noutput Y : f32[%d, %d, %d]\n", p->n, p->depth, blocks[1], p->m, p->depth);
  else put(p, "output Y : f32[%d, %d]\n", p->m, p->n);
  put(p, "launch (%d, %d) {\n%%zero = const {type = i64, value = 0} : i64\n", blocks[0], blocks[1]);
  const int extents[3] = {p->m, p->n, p->k};
  for (int i = 0; i < 3; i++) put(p, "%%%c%c = const {type = i64, value = %d} : i64\n", "mnk"[i], "mnk"[i], extents[i]);
  for (int i = 0; i < 2; i++) {
    const int length = i ? p->bn : p->bm;
    put(p, "%%p%d = pid {axis = %d} : i64\n%%l%d = const {type = i64, value = %d} : i64\n%%s%d = mul %%p%d, %%l%d : i64\n", i, i, i, length,
        i, i, i);
    put(p, "%%r%c = range %%s%d, %%%c%c {len = %d, align = %d} : range<%d>\n", "mn"[i], i, "mn"[i], "mn"[i], length, length & -length,
        length);
  }
  put(p, "%%py = param {name = \"Y\", type = view<f32,%d>} : view<f32,%d>\n", 2 + p->chained, 2 + p->chained);
  put_fold(p);
  if (p->chained) put_chain(p, p->twice ? "all" : "sum");
  else put(p, "store %%py, %%rm, %%rn, %%%s\n", p->twice ? "all" : "sum");
  put(p, "}\n}\n");
}

// Whole numbers from -2 to 2.
static inline void fill_small(product *p, const char *dtype, int64_t n, void *to) {
  const int code = tg_dtype_find(dtype);
  for (int64_t i = 0; i < n; i++) {
    const uint64_t bits = tg_encode(code, roll(p, 5) - 2, TG_ROUND_IEEE);
    memcpy((char *)to + i * tg_dtype_bits(code) / 8, &bits, (size_t)tg_dtype_bits(code) / 8);
  }
}

// Runs `count` kernels on the interpreter and on the device; 0 = the same bits from both.
static inline void random_products(tg_device *on, uint64_t seed, int count) {
  enum { MOST = 1 << 17 };
  static float a[MOST], b[MOST], v[MOST], scales[MOST], want[MOST], got[MOST];
  static product p;
  p.random.state = seed;
  for (int at = 0; at < count; at++) {
    choose(&p);
    make_product(&p);
    const int blocks = (p.n + p.bn - 1) / p.bn;
    fill_small(&p, p.dtype, (int64_t)p.m * p.k, a), fill_small(&p, p.dtype, (int64_t)p.n * p.k, b);
    fill_small(&p, "bf16", (int64_t)p.n * p.depth, v);
    for (int i = 0; i < p.m * ((p.k + 127) / 128); i++) scales[i] = (float)(1 << roll(&p, 3));
    io tensors[5] = {{"A", p.dtype, 2, {p.a_turned ? p.k : p.m, p.a_turned ? p.m : p.k}, a, false, NULL},
                     {"B", p.dtype, 2, {p.b_turned ? p.k : p.n, p.b_turned ? p.n : p.k}, b, false, NULL},
                     {"Y", "f32", 2, {p.m, p.n}, want, true, NULL}};
    io *y = &tensors[2];
    if (p.chained) *y = (io){"Y", "f32", 3, {blocks, p.m, p.depth}, want, true, NULL};
    int n = 3;
    if (p.scaled) tensors[n++] = (io){"S", "f32", 2, {p.m, (p.k + 127) / 128}, scales, false, NULL};
    if (p.chained) tensors[n++] = (io){"V", "bf16", 2, {p.n, p.depth}, v, false, NULL};
    const size_t bytes = sizeof *want * (size_t)io_elements(y);
    if (bytes > sizeof want) continue;
    device = NULL, ops_settings = (tg_bindings){0};
    const tg_status reference = run_text(n, tensors, p.text);
    CHECKF(reference == TG_OK, "product %d of seed %llu on the interpreter: %s\n%s", at, (unsigned long long)seed, tg_error_message(ctx),
           p.text);
    device = on;
    const tg_binding knobs[] = {{"warps", p.warps}, {"stages", p.stages}, {"warps_m", p.warps_m}, {"cluster", p.cluster}};
    ops_settings = (tg_bindings){roll(&p, products_with_clusters ? 5 : 4), knobs};
    y->data = got;
    if (reference || !has_run(run_text(n, tensors, p.text), p.text)) continue;
    CHECKF(!memcmp(want, got, bytes),
           "product %d of seed %llu, warps %s, stages %s, warps_m %s, cluster %s, gives other bits than the interpreter\n%s", at,
           (unsigned long long)seed, p.warps, p.stages, p.warps_m, p.cluster, p.text);
  }
  ops_settings = (tg_bindings){0};
}
#endif
