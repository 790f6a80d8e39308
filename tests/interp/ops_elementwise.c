// Every elementwise op against results written by hand from its definition: ordinary numbers, NaN, ±0, Inf, wrapping, shifts out of range.
#include "ops.h"

tg_status (*ops_elsewhere)(tg_kernel *kernel, job *j);

enum { MOST = 16 };

// Elements of any dtype from doubles by plain C conversions, not by the product.
static void store_as(const char *dtype, int i, double v, void *data) {
  if (!strcmp(dtype, "f32")) ((float *)data)[i] = (float)v;
  else if (!strcmp(dtype, "f64")) ((double *)data)[i] = v;
  else if (!strcmp(dtype, "f16")) ((_Float16 *)data)[i] = (_Float16)v;
  else if (!strcmp(dtype, "i1")) ((uint8_t *)data)[i] = v != 0;
  else if (!strcmp(dtype, "i8")) ((int8_t *)data)[i] = (int8_t)v;
  else if (!strcmp(dtype, "i32")) ((int32_t *)data)[i] = (int32_t)v;
  else if (!strcmp(dtype, "i64")) ((int64_t *)data)[i] = (int64_t)v;
  else { // bf16: the test's values are exact in it
    const float f = (float)v;
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    ((uint16_t *)data)[i] = (uint16_t)(bits >> 16);
  }
}

static double load_as(const char *dtype, int i, const void *data) {
  if (!strcmp(dtype, "f32")) return ((const float *)data)[i];
  if (!strcmp(dtype, "f64")) return ((const double *)data)[i];
  if (!strcmp(dtype, "f16")) return (double)((const _Float16 *)data)[i];
  if (!strcmp(dtype, "i1")) return ((const uint8_t *)data)[i];
  if (!strcmp(dtype, "i8")) return ((const int8_t *)data)[i];
  if (!strcmp(dtype, "i32")) return ((const int32_t *)data)[i];
  if (!strcmp(dtype, "i64")) return (double)((const int64_t *)data)[i];
  const uint32_t bits = (uint32_t)((const uint16_t *)data)[i] << 16;
  float f;
  memcpy(&f, &bits, sizeof f);
  return f;
}

// One op on n elements: operands x, y, z (NULL = absent) of a dtype, results `want` of dtype `to` within `ulps` of f32 (0 = exactly, sign
// of 0 too).
static void op(const char *name, const char *dtype, const char *to, int n, const double *x, const double *y, const double *z,
               const double *want, double ulps) {
  static double a[MOST], b[MOST], c[MOST], r[MOST];
  char body[256];
  io tensors[4];
  int count = 0;
  const double *in[3] = {x, y, z};
  double *data[3] = {a, b, c};
  const char *names[3] = {"X", "Y", "Z"};
  for (int k = 0; k < 3 && in[k]; k++) {
    for (int i = 0; i < n; i++) store_as(dtype, i, in[k][i], data[k]);
    tensors[count++] = (io){names[k], dtype, 1, {n}, data[k], false, NULL};
  }
  tensors[count] = (io){"R", to, 1, {n}, r, true, NULL};
  snprintf(body, sizeof body, "%%oR = %s %%X%s%s : %s[%d]", name, y ? ", %Y" : "", z ? ", %Z" : "", to, n);
  RUN(count + 1, tensors, body);
  for (int i = 0; i < n; i++) {
    const double got = load_as(to, i, r);
    const bool ok = ulps == 0 || isnan(want[i]) || isinf(want[i]) || want[i] == 0 ? same_double(got, want[i])
                                                                                  : fabs(got - want[i]) <= ulps * 0x1p-23 * fabs(want[i]);
    CHECKF(ok, "%s on %s, element %d (%g, %g): %.9g, want %.9g", name, dtype, i, x[i], y ? y[i] : 0, got, want[i]);
  }
}
#define V(...)                         ((const double[]){__VA_ARGS__})
#define U1(name, dtype, n, x, want)    op(name, dtype, dtype, n, x, NULL, NULL, want, 0)
#define B2(name, dtype, n, x, y, want) op(name, dtype, dtype, n, x, y, NULL, want, 0)

static const double inf = INFINITY, nan_ = NAN;

static void unary(void) {
  U1("neg", "f32", 5, V(1.5, -0.0, 0, inf, nan_), V(-1.5, 0, -0.0, -inf, nan_));
  U1("neg", "i8", 3, V(5, -128, 0), V(-5, -128, 0));
  U1("neg", "i32", 2, V(-2147483648.0, 7), V(-2147483648.0, -7));
  U1("abs", "f32", 4, V(-1.5, -0.0, -inf, nan_), V(1.5, 0, inf, nan_));
  U1("abs", "i8", 3, V(-5, -128, 127), V(5, -128, 127));
  U1("not", "i8", 3, V(0, -1, 0x55), V(-1, 0, -0x56));
  U1("not", "i1", 2, V(0, 1), V(1, 0));
  op("exp", "f32", "f32", 6, V(0, 1, -inf, inf, nan_, 100), NULL, NULL, V(1, 2.718281828459045, 0, inf, nan_, inf), 2);
  op("exp2", "f32", "f32", 4, V(0, 10, -1, 0.5), NULL, NULL, V(1, 1024, 0.5, 1.4142135623730951), 2);
  op("log", "f32", "f32", 5, V(1, 2.718281828459045, 0, -1, inf), NULL, NULL, V(0, 1, -inf, nan_, inf), 2);
  op("log2", "f32", "f32", 4, V(8, 0.25, 0, -2), NULL, NULL, V(3, -2, -inf, nan_), 2);
  U1("sqrt", "f32", 5, V(4, 2, -0.0, -1, inf), V(2, 1.41421354f, -0.0, nan_, inf));
  op("rsqrt", "f32", "f32", 4, V(4, 0, inf, -1), NULL, NULL, V(0.5, inf, 0, nan_), 2);
  op("sigmoid", "f32", "f32", 5, V(0, 2, -inf, inf, -100), NULL, NULL,
     V(0.5, 0.8807970779778823, 0, 1, 3.783505853677006e-44 /* subnormal */), 4);
  op("tanh", "f32", "f32", 4, V(0, 0.5, inf, -inf), NULL, NULL, V(0, 0.46211715726000973, 1, -1), 4);
  op("sin", "f32", "f32", 3, V(0, 1, inf), NULL, NULL, V(0, 0.8414709848078965, nan_), 4);
  op("cos", "f32", "f32", 3, V(0, 2, -inf), NULL, NULL, V(1, -0.4161468365471424, nan_), 4);
  op("exp", "f64", "f64", 2, V(1, -1), NULL, NULL, V(2.718281828459045, 0.36787944117144233), 1e-6);
  U1("floor", "f32", 5, V(1.5, -1.5, -0.0, inf, nan_), V(1, -2, -0.0, inf, nan_));
  U1("ceil", "f32", 4, V(1.5, -1.5, -0.5, 3), V(2, -1, -0.0, 3));
  U1("trunc", "f32", 4, V(1.7, -1.7, -0.5, inf), V(1, -1, -0.0, inf));
  U1("rint", "f32", 6, V(0.5, 1.5, 2.5, -0.5, -1.5, 2.4), V(0, 2, 2, -0.0, -2, 2));
  op("isnan", "f32", "i1", 4, V(1, nan_, inf, -0.0), NULL, NULL, V(0, 1, 0, 0), 0);
  op("isnan", "bf16", "i1", 2, V(1, nan_), NULL, NULL, V(0, 1), 0);
}

static void arithmetic(void) {
  B2("add", "f32", 5, V(1, inf, nan_, 16777216, -0.0), V(2, -inf, 1, 1, -0.0), V(3, nan_, nan_, 16777216, -0.0));
  B2("add", "bf16", 3, V(256, 1, inf), V(1, 2, 1), V(256, 3, inf)); // 257 is a tie between 256 and 258
  B2("add", "bf16", 1, V(258), V(1), V(260));                       // 259: to the even 260
  B2("add", "i8", 3, V(127, -128, 5), V(1, -1, 6), V(-128, 127, 11));
  B2("add", "i32", 2, V(2147483647, 1), V(1, 2), V(-2147483648.0, 3));
  B2("sub", "f32", 3, V(1, inf, 0), V(2, inf, 0), V(-1, nan_, 0));
  B2("sub", "i8", 2, V(-128, 3), V(1, 5), V(127, -2));
  B2("mul", "f32", 4, V(3, 0, 1e30, -2), V(4, inf, 1e30, 0), V(12, nan_, inf, -0.0));
  B2("mul", "i8", 3, V(16, 100, -128), V(16, 2, -1), V(0, -56, -128));
  B2("mul", "bf16", 1, V(1.0078125), V(1.0078125), V(1.015625)); // 1.01568603515625
  B2("div", "f32", 6, V(1, 1, -1, 0, inf, 1), V(3, 0, 0, 0, inf, inf), V(0.333333343f, inf, -inf, nan_, nan_, 0));
  B2("div", "f64", 1, V(1), V(3), V(1.0 / 3));
  B2("div", "i32", 7, V(7, -7, 7, -7, 5, -2147483648.0, 6), V(2, 2, -2, -2, 0, -1, 3), V(3, -4, -4, 3, 0, -2147483648.0, 2));
  B2("rem", "i32", 6, V(7, -7, 7, -7, 5, -2147483648.0), V(3, 3, -3, -3, 0, -1), V(1, 2, -2, -1, 0, 0));
  B2("div", "i8", 2, V(-128, -127), V(-1, 2), V(-128, -64));
  op("fma", "f32", "f32", 3, V(2, 1 + 0x1p-12, inf), V(3, 1 + 0x1p-12, 0), V(4, -(1 + 0x1p-11), 1), V(10, 0x1p-24, nan_), 0);
  op("fma", "f64", "f64", 1, V(2), V(3), V(4), V(10), 0);
  // the product lies in the middle of two numbers, the sum beside it, in an f32 in the middle again
  op("fma", "f16", "f16", 4, V(1.5, -1.5, 1.5, 3), V(1 + 0x1p-10, 1 + 0x1p-10, 1 + 0x1p-10, inf), V(-0x1p-24, 0x1p-24, 0x1p-24, 1),
     V(1.5 + 0x1p-10, -(1.5 + 0x1p-10), 1.5 + 0x1p-9, inf), 0);
  op("fma", "bf16", "bf16", 5, V(1.5, 1.5, 1, 0x1p-100, 0x1p127), V(1.0078125, 1.0078125, 0x1p-8, 0x1p-20, 2),
     V(-0x1p-40, 0x1p-40, 1.0078125, 0x1p-133, -0x1p127), V(1.5078125, 1.515625, 1.015625, 0x1p-120, 0x1p127), 0);
}

static void extremes(void) {
  B2("min", "f32", 6, V(1, nan_, 2, -0.0, 0, -inf), V(2, 1, nan_, 0, -0.0, 3), V(1, nan_, nan_, -0.0, -0.0, -inf));
  B2("max", "f32", 6, V(1, nan_, 2, -0.0, 0, -inf), V(2, 1, nan_, 0, -0.0, 3), V(2, nan_, nan_, 0, 0, 3));
  B2("minnum", "f32", 6, V(1, nan_, 2, nan_, -0.0, 0), V(2, 1, nan_, nan_, 0, -0.0), V(1, 1, 2, nan_, -0.0, -0.0));
  B2("maxnum", "f32", 6, V(1, nan_, 2, nan_, -0.0, 0), V(2, 1, nan_, nan_, 0, -0.0), V(2, 1, 2, nan_, 0, 0));
  B2("min", "i8", 2, V(-128, 3), V(127, 2), V(-128, 2));
  B2("max", "i64", 2, V(-5, 3), V(4, 2), V(4, 3));
  B2("maxnum", "bf16", 2, V(nan_, 1), V(2, nan_), V(2, 1));
}

static void bits(void) {
  B2("and", "i8", 2, V(0x55, -1), V(0x0f, 7), V(5, 7));
  B2("or", "i8", 2, V(0x50, 0), V(0x0f, 7), V(0x5f, 7));
  B2("xor", "i8", 2, V(0x55, -1), V(0x0f, -1), V(0x5a, 0));
  B2("and", "i1", 4, V(0, 0, 1, 1), V(0, 1, 0, 1), V(0, 0, 0, 1));
  B2("or", "i1", 4, V(0, 0, 1, 1), V(0, 1, 0, 1), V(0, 1, 1, 1));
  B2("xor", "i1", 4, V(0, 0, 1, 1), V(0, 1, 0, 1), V(0, 1, 1, 0));
  B2("shl", "i8", 5, V(1, 1, 3, 1, 1), V(7, 8, 6, -1, 0), V(-128, 0, -64, 0, 1));
  B2("shr", "i8", 5, V(-128, -128, 64, -1, 5), V(7, 8, 6, -1, 1), V(-1, 0, 1, 0, 2));
  B2("shl", "i32", 3, V(1, 1, 1), V(31, 32, 33), V(-2147483648.0, 0, 0));
  B2("shr", "i64", 3, V(-8, -8, 8), V(1, 64, 63), V(-4, 0, 0));
}

static void comparisons(void) {
  const double *x = V(1, 2, nan_, -0.0, inf), *y = V(2, 2, 1, 0, inf);
#define COMPARE(name, ...) op(name, "f32", "i1", 5, x, y, NULL, V(__VA_ARGS__), 0)
  COMPARE("eq", 0, 1, 0, 1, 1);
  COMPARE("ne", 1, 0, 1, 0, 0);
  COMPARE("lt", 1, 0, 0, 0, 0);
  COMPARE("le", 1, 1, 0, 1, 1);
  COMPARE("gt", 0, 0, 0, 0, 0);
  COMPARE("ge", 0, 1, 0, 1, 1);
  op("lt", "i8", "i1", 3, V(-1, 1, 5), V(1, -1, 5), NULL, V(1, 0, 0), 0);
  op("gt", "i64", "i1", 2, V(-1, 1), V(1, -1), NULL, V(0, 1), 0);
  op("eq", "i1", "i1", 2, V(0, 1), V(1, 1), NULL, V(0, 1), 0);
  op("ge", "bf16", "i1", 2, V(1, nan_), V(1, 1), NULL, V(1, 0), 0);
}

static void choices(void) {
  uint8_t c[4] = {1, 0, 1, 0};
  float x[4] = {1, NAN, -0.0f, 4}, y[4] = {NAN, 2, NAN, INFINITY}, r[4];
  const float want[4] = {1, 2, -0.0f, INFINITY};
  RUN(4,
      ((io[]){{"C", "i1", 1, {4}, c, false, NULL},
              {"X", "f32", 1, {4}, x, false, NULL},
              {"Y", "f32", 1, {4}, y, false, NULL},
              {"R", "f32", 1, {4}, r, true, NULL}}),
      "%oR = select %C, %X, %Y : f32[4]");
  for (int i = 0; i < 4; i++) CHECKF(same_double(r[i], want[i]), "%g, want %g", r[i], want[i]);
}

// i64 beyond what a double holds.
static void wide(void) {
  int64_t x[4] = {INT64_MAX, INT64_MIN, INT64_MIN, 4611686018427387905}, y[4] = {1, 1, -1, 2}, r[4];
  io t[3] = {{"X", "i64", 1, {4}, x, false, NULL}, {"Y", "i64", 1, {4}, y, false, NULL}, {"R", "i64", 1, {4}, r, true, NULL}};
  RUN(3, t, "%oR = add %X, %Y : i64[4]");
  CHECK(r[0] == INT64_MIN && r[1] == INT64_MIN + 1 && r[2] == INT64_MAX && r[3] == 4611686018427387907);
  RUN(3, t, "%oR = div %X, %Y : i64[4]");
  CHECK(r[0] == INT64_MAX && r[1] == INT64_MIN && r[2] == INT64_MIN && r[3] == 2305843009213693952);
  RUN(3, t, "%oR = mul %X, %Y : i64[4]");
  CHECK(r[0] == INT64_MAX && r[2] == INT64_MIN && r[3] == INT64_MIN + 2);
}

static void cast(const char *from, const char *to, const char *mode, int n, const void *x, const void *want, size_t bytes) {
  static uint8_t in[256], out[256];
  char body[128];
  memcpy(in, x, (size_t)n * 8 < sizeof in ? (size_t)n * 8 : sizeof in);
  io t[2] = {{"X", from, 1, {n}, in, false, NULL}, {"R", to, 1, {n}, out, true, NULL}};
  if (mode) snprintf(body, sizeof body, "%%oR = cast %%X {to = \"%s\", mode = \"%s\"} : %s[%d]", to, mode, to, n);
  else snprintf(body, sizeof body, "%%oR = cast %%X {to = \"%s\"} : %s[%d]", to, to, n);
  RUN(2, t, body);
  for (size_t i = 0; i < bytes; i++)
    CHECKF(out[i] == ((const uint8_t *)want)[i], "%s to %s %s, byte %zu: %02x, want %02x", from, to, mode ? mode : "", i, out[i],
           ((const uint8_t *)want)[i]);
}
#define CAST(from, to, mode, n, x, want)                                                                                                   \
  do {                                                                                                                                     \
    uint8_t room_[256] = {0};                                                                                                              \
    memcpy(room_, x, sizeof(x));                                                                                                           \
    cast(from, to, mode, n, room_, want, sizeof(want));                                                                                    \
  } while (0)

static void casts(void) {
  const float f[8] = {1.9f, -1.9f, 300, -300, NAN, INFINITY, 1e20f, -0.0f};
  CAST("f32", "i8", NULL, 8, f, ((const int8_t[]){1, -1, 127, -128, 0, 127, 127, 0}));
  CAST("f32", "i32", NULL, 8, f, ((const int32_t[]){1, -1, 300, -300, 0, INT32_MAX, INT32_MAX, 0}));
  CAST("f32", "i64", NULL, 8, f, ((const int64_t[]){1, -1, 300, -300, 0, INT64_MAX, INT64_MAX, 0}));
  CAST("f32", "e4m3", "sat", 8, ((const float[]){1, 447, 449, 1e9f, -INFINITY, NAN, 0x1p-10f, 1.0625f}),
       ((const uint8_t[]){0x38, 0x7e, 0x7e, 0x7e, 0xfe, 0x7f, 0, 0x38}));
  CAST("f32", "e4m3", "ieee", 8, ((const float[]){1, 464, 465, 1e9f, -INFINITY, NAN, 0x1.8p-10f, 1.1875f}),
       ((const uint8_t[]){0x38, 0x7e, 0x7f, 0x7f, 0xff, 0x7f, 1, 0x3a}));
  CAST("f32", "e4m3fnuz", "sat", 4, ((const float[]){1, 300, -0.0f, NAN}), ((const uint8_t[]){0x40, 0x7f, 0, 0x80}));
  CAST("f32", "e5m2", NULL, 4, ((const float[]){1, 1e6f, -1e6f, 57344}), ((const uint8_t[]){0x3c, 0x7c, 0xfc, 0x7b}));
  CAST("f32", "bf16", NULL, 4, ((const float[]){1, 1.00390625f, 1.01171875f, 3.4e38f}),
       ((const uint16_t[]){0x3f80, 0x3f80, 0x3f82, 0x7f80}));
  CAST("f32", "f16", NULL, 4, ((const float[]){1, 65520, 0x1p-24f, 2049}), ((const uint16_t[]){0x3c00, 0x7c00, 1, 0x6800}));
  CAST("bf16", "f32", NULL, 2, ((const uint16_t[]){0x3f80, 0xff80}), ((const float[]){1, -INFINITY}));
  CAST("e4m3", "f32", NULL, 4, ((const uint8_t[]){0x38, 0x7e, 0x81, 0x80}), ((const float[]){1, 448, -0x1p-9f, -0.0f}));
  CAST("e4m3", "bf16", NULL, 2, ((const uint8_t[]){0x39, 0xfe}), ((const uint16_t[]){0x3f90, 0xc3e0}));
  CAST("e5m2", "f32", NULL, 2, ((const uint8_t[]){0x7c, 0x01}), ((const float[]){INFINITY, 0x1p-16f}));
  CAST("e8m0", "f32", NULL, 2, ((const uint8_t[]){127, 0}), ((const float[]){1, 0x1p-127f}));
  CAST("f32", "e8m0", "ieee", 4, ((const float[]){1, 3, 2.9f, -1}), ((const uint8_t[]){127, 129, 128, 255}));
  CAST("i32", "i8", NULL, 3, ((const int32_t[]){257, -129, 5}), ((const int8_t[]){1, 127, 5}));
  CAST("i8", "i64", NULL, 2, ((const int8_t[]){-1, 127}), ((const int64_t[]){-1, 127}));
  CAST("i1", "i32", NULL, 2, ((const uint8_t[]){0, 1}), ((const int32_t[]){0, 1}));
  CAST("i1", "f32", NULL, 2, ((const uint8_t[]){0, 1}), ((const float[]){0, 1}));
  CAST("i32", "f32", NULL, 2, ((const int32_t[]){16777217, -3}), ((const float[]){16777216, -3}));
  // 2^24 + 1 + 2^-… as an i64: one rounding, not two (2^60 + 2^36 + 1 lies just above the middle of two floats)
  CAST("i64", "f32", NULL, 2, ((const int64_t[]){(INT64_C(1) << 60) + (INT64_C(1) << 36) + 1, (INT64_C(1) << 60) + (INT64_C(1) << 36)}),
       ((const float[]){0x1.000002p60f, 0x1p60f}));
  CAST("i64", "f64", NULL, 1, ((const int64_t[]){9007199254740993}), ((const double[]){9007199254740992}));
  CAST("f64", "bf16", NULL, 1, ((const double[]){1.00390625 + 0x1p-40}), ((const uint16_t[]){0x3f81}));
  CAST("f32", "e2m1", "sat", 4, ((const float[]){0.75f, 5, -7, 0.2f}), ((const uint8_t[]){0x62, 0x0f}));
  CAST("e2m1", "f32", NULL, 4, ((const uint8_t[]){0x62, 0x0f}), ((const float[]){1, 4, -6, 0}));
}

static void bitcasts(void) {
  float x[2] = {1, -0.0f};
  int32_t r[2];
  RUN(2, ((io[]){{"X", "f32", 1, {2}, x, false, NULL}, {"R", "i32", 1, {2}, r, true, NULL}}), "%oR = bitcast %X {to = \"i32\"} : i32[2]");
  CHECK(r[0] == 0x3f800000 && r[1] == INT32_MIN);
}

int ops_elementwise(const char *name, const char *const *refusals) {
  ops_open(name, refusals);
  unary();
  arithmetic();
  extremes();
  bits();
  comparisons();
  choices();
  wide();
  casts();
  bitcasts();
  return ops_close();
}
