// Every elementwise op but casts on every dtype that has it, on vectors and on scalars, against the op's definition in plain C: edge values
// against edge values, and constant second operands, for which the emitter has forms of their own.
#include <math.h>

#include "llvm/lane.h"

static tg_context *ctx;

enum { MOST = 4096, LANES = 8 };

typedef struct item { // a value of any dtype
  double f;           // floats
  int64_t i;          // integers
} item;

static bool is_real(int dtype) { return tg_dtypes[dtype].cls == 'f'; }
static int bytes_of(int dtype) { return tg_dtypes[dtype].bits / 8; }

static item load(int dtype, const unsigned char *p) {
  uint64_t bits = 0;
  memcpy(&bits, p, (size_t)bytes_of(dtype));
  item x = {tg_decode(dtype, bits), 0};
  x.i = dtype == TG_I64 ? (int64_t)bits : is_real(dtype) ? 0 : (int64_t)x.f;
  return x;
}

static void store(int dtype, unsigned char *p, item x) {
  const uint64_t bits = is_real(dtype) ? tg_encode(dtype, x.f, TG_ROUND_IEEE) : (uint64_t)x.i;
  memcpy(p, &bits, (size_t)bytes_of(dtype));
}

// ---- meaning

// Each function is written twice, because f64 is computed in double and everything narrower in float.
#define REAL_OPS(T, SQRT, FLOOR, CEIL, TRUNC, RINT, FMA)                                                                                   \
  switch (code) {                                                                                                                          \
  case TG_OP_NEG: return -x;                                                                                                               \
  case TG_OP_ABS: return x < 0 ? -x : x == 0 ? 0 : x;                                                                                      \
  case TG_OP_SQRT: return SQRT(x);                                                                                                         \
  case TG_OP_FLOOR: return FLOOR(x);                                                                                                       \
  case TG_OP_CEIL: return CEIL(x);                                                                                                         \
  case TG_OP_TRUNC: return TRUNC(x);                                                                                                       \
  case TG_OP_RINT: return RINT(x);                                                                                                         \
  case TG_OP_ADD: return x + y;                                                                                                            \
  case TG_OP_SUB: return x - y;                                                                                                            \
  case TG_OP_MUL: return x * y;                                                                                                            \
  case TG_OP_DIV: return x / y;                                                                                                            \
  case TG_OP_FMA: return FMA(x, y, z);                                                                                                     \
  case TG_OP_MIN: return isnan(x) || isnan(y) ? (T)NAN : x < y || (x == y && signbit(x)) ? x : y;                                          \
  case TG_OP_MAX: return isnan(x) || isnan(y) ? (T)NAN : x > y || (x == y && signbit(y)) ? x : y;                                          \
  case TG_OP_MINNUM: return isnan(x) ? y : isnan(y) || x < y || (x == y && signbit(x)) ? x : y;                                            \
  default: return isnan(x) ? y : isnan(y) || x > y || (x == y && signbit(y)) ? x : y;                                                      \
  }

static float float_op(int code, float x, float y, float z) { REAL_OPS(float, sqrtf, floorf, ceilf, truncf, nearbyintf, fmaf) }
static double double_op(int code, double x, double y, double z) { REAL_OPS(double, sqrt, floor, ceil, trunc, nearbyint, fma) }

static int64_t int_op(int code, int width, int64_t x, int64_t y) {
  const uint64_t a = (uint64_t)x, b = (uint64_t)y;
  switch (code) {
  case TG_OP_NEG: return (int64_t)(0 - a);
  case TG_OP_ABS: return x < 0 ? (int64_t)(0 - a) : x;
  case TG_OP_NOT: return ~x;
  case TG_OP_ADD: return (int64_t)(a + b);
  case TG_OP_SUB: return (int64_t)(a - b);
  case TG_OP_MUL: return (int64_t)(a * b);
  case TG_OP_AND: return x & y;
  case TG_OP_OR: return x | y;
  case TG_OP_XOR: return x ^ y;
  case TG_OP_SHL: return y < 0 || y >= width ? 0 : (int64_t)(a << y);
  case TG_OP_SHR: return y < 0 || y >= width ? 0 : x >> y;
  case TG_OP_MIN:
  case TG_OP_MINNUM: return x < y ? x : y;
  case TG_OP_MAX:
  case TG_OP_MAXNUM: return x > y ? x : y;
  }
  if (y == 0) return 0;
  const __int128 q = (__int128)x / y, floored = (__int128)x % y != 0 && (x < 0) != (y < 0) ? q - 1 : q;
  return code == TG_OP_DIV ? (int64_t)floored : (int64_t)((__int128)x - floored * y);
}

static bool test_op(int code, bool real, item x, item y) {
  switch (code) {
  case TG_OP_ISNAN: return isnan(x.f);
  case TG_OP_EQ: return real ? x.f == y.f : x.i == y.i;
  case TG_OP_NE: return real ? x.f != y.f : x.i != y.i;
  case TG_OP_LT: return real ? x.f < y.f : x.i < y.i;
  case TG_OP_LE: return real ? x.f <= y.f : x.i <= y.i;
  case TG_OP_GT: return real ? x.f > y.f : x.i > y.i;
  default: return real ? x.f >= y.f : x.i >= y.i;
  }
}

static item meaning(int code, int dtype, item x, item y, item z) {
  if (code == TG_OP_SELECT) return test_op(TG_OP_LT, is_real(dtype), x, y) ? y : z; // the kernel's condition is x < y
  if (!is_real(dtype)) return (item){0, int_op(code, tg_dtypes[dtype].bits, x.i, y.i)};
  if (dtype == TG_F64) return (item){double_op(code, x.f, y.f, z.f), 0};
  if (dtype != TG_F32 && code == TG_OP_FMA) return (item){(double)tg_fma_narrow((float)x.f, (float)y.f, (float)z.f), 0};
  return (item){(double)float_op(code, (float)x.f, (float)y.f, (float)z.f), 0};
}

// ---- kernels

typedef struct case_row {
  int code;
  bool real, integer, test; // test: the result is i1
  int operands;
} case_row;

static const case_row cases[] = {
    {TG_OP_NEG, true, true, false, 1},    {TG_OP_ABS, true, true, false, 1},    {TG_OP_NOT, false, true, false, 1},
    {TG_OP_SQRT, true, false, false, 1},  {TG_OP_FLOOR, true, false, false, 1}, {TG_OP_CEIL, true, false, false, 1},
    {TG_OP_TRUNC, true, false, false, 1}, {TG_OP_RINT, true, false, false, 1},  {TG_OP_ISNAN, true, false, true, 1},
    {TG_OP_ADD, true, true, false, 2},    {TG_OP_SUB, true, true, false, 2},    {TG_OP_MUL, true, true, false, 2},
    {TG_OP_DIV, true, true, false, 2},    {TG_OP_REM, false, true, false, 2},   {TG_OP_MIN, true, true, false, 2},
    {TG_OP_MAX, true, true, false, 2},    {TG_OP_MINNUM, true, true, false, 2}, {TG_OP_MAXNUM, true, true, false, 2},
    {TG_OP_AND, false, true, false, 2},   {TG_OP_OR, false, true, false, 2},    {TG_OP_XOR, false, true, false, 2},
    {TG_OP_SHL, false, true, false, 2},   {TG_OP_SHR, false, true, false, 2},   {TG_OP_EQ, true, true, true, 2},
    {TG_OP_NE, true, true, true, 2},      {TG_OP_LT, true, true, true, 2},      {TG_OP_LE, true, true, true, 2},
    {TG_OP_GT, true, true, true, 2},      {TG_OP_GE, true, true, true, 2},      {TG_OP_FMA, true, false, false, 3},
    {TG_OP_SELECT, true, true, false, 3}};
enum { NCASES = sizeof cases / sizeof *cases, NCONSTANTS = 6 };
static const int64_t constants[NCONSTANTS] = {7, 8, 1, 0, -3, 100};

// constant: -1 = the second operand is loaded, else an index of `constants`.
static int launch_text(char *text, int dtype, const case_row *c, int constant, int lanes, bool nonnegative, int v) {
  const char *d = tg_dtypes[dtype].name, *op = tg_op_rows()[c->code].info.name;
  char type[16], bools[16];
  snprintf(type, sizeof type, lanes > 1 ? "%s[%d]" : "%s", d, lanes);
  snprintf(bools, sizeof bools, lanes > 1 ? "i1[%d]" : "i1", lanes);
  int n = sprintf(text,
                  "  launch %s_%d_%d_%d (1) block (1, 1, 1) (%%%d : ptr<global> = A, %%%d : ptr<global> = B, %%%d : ptr<global> = D, %%%d "
                  ": ptr<global> = C, "
                  "%%%d : i64 = N \"N\") {\n    %%%d = const {type = i64, value = 0} : i64\n    for %%%d, %%%d {step = %d} (%%%d : i64) {\n"
                  "      %%%d = const {type = i64, value = %d} : i64\n      %%%d = mul %%%d, %%%d : i64\n",
                  op, constant + 1, lanes, nonnegative, v, v + 1, v + 2, v + 3, v + 4, v + 5, v + 5, v + 4, lanes, v + 6, v + 7,
                  bytes_of(dtype), v + 8, v + 6, v + 7);
  for (int i = 0; i < 3; i++) {
    n += sprintf(text + n, "      %%%d = ptradd %%%d, %%%d : ptr<global>\n      %%%d = lload %%%d {type = %s, align = 1} : %s\n",
                 v + 10 + i, v + i, v + 8, v + 13 + i, v + 10 + i, type, type);
  }
  int x = v + 13, y = v + 14;
  if (nonnegative) { // operands whose sign the emitter can see
    n += sprintf(text + n,
                 "      %%%d = const {type = %s, value = %lld} : %s\n      %%%d = and %%%d, %%%d : %s\n      %%%d = and %%%d, %%%d : %s\n",
                 v + 16, type, (long long)((UINT64_C(1) << (tg_dtypes[dtype].bits - 1)) - 1), type, v + 17, x, v + 16, type, v + 18, y,
                 v + 16, type);
    x = v + 17, y = v + 18;
  }
  if (constant >= 0 && is_real(dtype))
    n += sprintf(text + n, "      %%%d = const {type = %s, value = %a} : %s\n", v + 19, type, (double)constants[constant], type);
  else if (constant >= 0)
    n += sprintf(text + n, "      %%%d = const {type = %s, value = %lld} : %s\n", v + 19, type, (long long)constants[constant], type);
  if (constant >= 0) y = v + 19;
  if (c->code == TG_OP_SELECT)
    n += sprintf(text + n, "      %%%d = lt %%%d, %%%d : %s\n      %%%d = select %%%d, %%%d, %%%d : %s\n", v + 20, x, y, bools, v + 21,
                 v + 20, y, v + 15, type);
  else if (c->operands == 1) n += sprintf(text + n, "      %%%d = %s %%%d : %s\n", v + 21, op, x, c->test ? bools : type);
  else if (c->operands == 2) n += sprintf(text + n, "      %%%d = %s %%%d, %%%d : %s\n", v + 21, op, x, y, c->test ? bools : type);
  else n += sprintf(text + n, "      %%%d = %s %%%d, %%%d, %%%d : %s\n", v + 21, op, x, y, v + 15, type);
  n += sprintf(text + n, "      %%%d = ptradd %%%d, %%%d : ptr<global>\n      lstore %%%d, %%%d {align = 1}\n      yield\n    }\n  }\n",
               v + 22, v + 3, c->test ? v + 6 : v + 8, v + 22, v + 21);
  return n;
}

static bool has_case(int dtype, const case_row *c) { return is_real(dtype) ? c->real : c->integer; }

// Variants of a case: loaded operands; constants; signs that can be seen. False when there are no more.
static bool variant(int index, int dtype, const case_row *c, int *constant, int *lanes, bool *nonnegative) {
  *constant = -1, *lanes = index % 2 ? 1 : LANES, *nonnegative = false;
  index /= 2;
  if (index == 0) return true;
  if (c->operands != 2 || c->test) return false;
  if (index <= NCONSTANTS) return *constant = index - 1, true;
  *nonnegative = true, *constant = index - NCONSTANTS - 2;
  return !is_real(dtype) && (c->code == TG_OP_DIV || c->code == TG_OP_REM) && *constant < NCONSTANTS;
}

static char *kernel_text(int dtype) {
  const char *d = tg_dtypes[dtype].name;
  char *text = malloc(1 << 20);
  int n = sprintf(text, "kernel ops lane {\n  dim N\n  input A : %s[N]\n  input B : %s[N]\n  input D : %s[N]\n  output C : %s[N]\n", d, d,
                  d, d),
      v = 0;
  for (int k = 0; k < NCASES; k++) {
    int constant, lanes;
    bool nonnegative;
    for (int i = 0; has_case(dtype, &cases[k]) && variant(i, dtype, &cases[k], &constant, &lanes, &nonnegative); i++, v += 30)
      n += launch_text(text + n, dtype, &cases[k], constant, lanes, nonnegative, v);
  }
  sprintf(text + n, "}\n");
  return text;
}

// ---- inputs: each edge value with each

static int inputs(int dtype, unsigned char *a, unsigned char *b, unsigned char *d) {
  static const double reals[] = {0.0,   -0.0, 1,    -1,   0.5,   -0.5, 1.5,   2.5,    -2.5,     3.25,      7,   -8,       100.75,
                                 65504, 1e-7, 6e-8, 1e30, -1e38, 3e38, 1e-40, -1e-44, INFINITY, -INFINITY, NAN, 0.333333, 8388607.5};
  static const int64_t ints[] = {0,  1,  -1,  2,    -2,  3,    7,          -7,          8,         -8,        31,    32,    33,
                                 63, 64, 100, -100, 127, -128, 2147483647, -2147483648, INT64_MAX, INT64_MIN, 65536, -65537};
  const int m = is_real(dtype) ? (int)(sizeof reals / sizeof *reals) : (int)(sizeof ints / sizeof *ints), bytes = bytes_of(dtype);
  int n = 0;
  for (int i = 0; i < m; i++) {
    for (int k = 0; k < m; k++, n++) {
      const int third = (i * 7 + k * 3) % m;
      const item x = {is_real(dtype) ? reals[i] : 0, ints[i % 25]}, y = {is_real(dtype) ? reals[k] : 0, ints[k % 25]};
      const item z = {is_real(dtype) ? reals[third] : 0, ints[third % 25]};
      store(dtype, a + n * bytes, x);
      store(dtype, b + n * bytes, y);
      store(dtype, d + n * bytes, z);
    }
  }
  for (uint64_t s = 1; n % LANES || n < 1200; n++) { // and arbitrary bits; these decide the fused multiply-add
    uint64_t r[3];
    for (int j = 0; j < 3; j++) s ^= s >> 12, s ^= s << 25, s ^= s >> 27, r[j] = s * UINT64_C(0x2545f4914f6cdd1d);
    if (is_real(dtype)) { // of like sizes, so that sums cancel and tie
      for (int j = 0; j < 3; j++)
        store(dtype,
              (j == 0   ? a
               : j == 1 ? b
                        : d) +
                  n * bytes,
              (item){(double)(int64_t)r[j] * ldexp(1, -60 + (int)(r[j] & 3) * (j == 2 ? 9 : 1)), 0});
    } else {
      memcpy(a + n * bytes, &r[0], (size_t)bytes);
      memcpy(b + n * bytes, &r[1], (size_t)bytes);
      memcpy(d + n * bytes, &r[2], (size_t)bytes);
    }
  }
  return n;
}

static bool same(int dtype, item got, item want) {
  if (!is_real(dtype)) return got.i == want.i;
  return isnan(want.f) ? isnan(got.f) : got.f == want.f && !signbit(got.f) == !signbit(want.f);
}

static void test_dtype(const char *target, int dtype) {
  static unsigned char a[MOST * 8], b[MOST * 8], d[MOST * 8], c[MOST * 8];
  char *text = kernel_text(dtype);
  void *module = lane_open(ctx, target, text);
  free(text);
  const int n = inputs(dtype, a, b, d), bytes = bytes_of(dtype);
  const uint64_t most = (UINT64_C(1) << (tg_dtypes[dtype].bits - 1)) - 1;
  for (int k = 0; module && k < NCASES; k++) {
    int constant, lanes;
    bool nonnegative;
    for (int v = 0; has_case(dtype, &cases[k]) && variant(v, dtype, &cases[k], &constant, &lanes, &nonnegative); v++) {
      char name[64];
      snprintf(name, sizeof name, "%s_%d_%d_%d", tg_op_rows()[cases[k].code].info.name, constant + 1, lanes, nonnegative);
      tg_cpu_entry *entry = lane_entry(module, name);
      if (!entry) continue;
      const int64_t grid[4] = {1, 1, 1, 1};
      const uint64_t args[] = {(uint64_t)(uintptr_t)a, (uint64_t)(uintptr_t)b, (uint64_t)(uintptr_t)d, (uint64_t)(uintptr_t)c, (uint64_t)n};
      CHECK(!entry(args, grid, 0, 1, NULL, NULL));
      for (int i = 0; i < n; i++) {
        item x = load(dtype, a + i * bytes), y = load(dtype, b + i * bytes);
        const item z = load(dtype, d + i * bytes);
        if (nonnegative) x.i &= (int64_t)most, y.i &= (int64_t)most;
        if (constant >= 0) y = (item){(double)constants[constant], constants[constant]};
        item got, want;
        if (cases[k].test) {
          got = (item){0, c[i]}, want = (item){0, test_op(cases[k].code, is_real(dtype), x, y)};
          CHECKF(got.i == want.i, "%s %s %s of %g/%lld %g/%lld: %lld", target, tg_dtypes[dtype].name, name, x.f, (long long)x.i, y.f,
                 (long long)y.i, (long long)got.i);
          continue;
        }
        unsigned char rounded[8];
        store(dtype, rounded, meaning(cases[k].code, dtype, x, y, z));
        got = load(dtype, c + i * bytes), want = load(dtype, rounded);
        CHECKF(same(dtype, got, want), "%s %s %s of %a/%lld %a/%lld %a: got %a/%lld, want %a/%lld", target, tg_dtypes[dtype].name, name,
               x.f, (long long)x.i, y.f, (long long)y.i, z.f, got.f, (long long)got.i, want.f, (long long)want.i);
      }
    }
  }
  if (module) dlclose(module);
}

int main(void) {
  static const int dtypes[] = {TG_F32, TG_F64, TG_F16, TG_BF16, TG_I8, TG_I32, TG_I64};
  const char *targets[4];
  const int n = lane_targets(targets);
  CHECK(tg_context_new(NULL, &ctx) == TG_OK);
  for (int t = 0; t < n - 1; t++) {
    for (size_t k = 0; k < sizeof dtypes / sizeof *dtypes; k++) test_dtype(targets[t], dtypes[k]);
  }
  tg_context_free(ctx);
  return test_done();
}
