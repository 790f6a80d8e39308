// Elementwise ops: each in its own type of arithmetic. f32, and f16 and bf16 rounded after the op, in float; f64 in double; integers in
// int64, wrapped to their width. Functions that are only bounded in ulp are computed in double and rounded once.
#include <math.h>

#include "ir/interp.h"

// ---- unary

static double unary_f64(int code, double x) {
  switch (code) {
  case TG_OP_NEG: return -x;
  case TG_OP_ABS: return fabs(x);
  case TG_OP_EXP: return exp(x);
  case TG_OP_EXP2: return exp2(x);
  case TG_OP_LOG: return log(x);
  case TG_OP_LOG2: return log2(x);
  case TG_OP_SQRT: return sqrt(x);
  case TG_OP_RSQRT: return 1 / sqrt(x);
  case TG_OP_SIGMOID: return 1 / (1 + exp(-x));
  case TG_OP_TANH: return tanh(x);
  case TG_OP_SIN: return sin(x);
  case TG_OP_COS: return cos(x);
  case TG_OP_FLOOR: return floor(x);
  case TG_OP_CEIL: return ceil(x);
  case TG_OP_TRUNC: return trunc(x);
  default: return rint(x);
  }
}

static void unary_floats(int code, const float *x, int64_t n, float *y) {
  switch (code) { // those that a kernel has many of, without the way through double
  case TG_OP_NEG:
    for (int64_t i = 0; i < n; i++) y[i] = -x[i];
    break;
  case TG_OP_ABS:
    for (int64_t i = 0; i < n; i++) y[i] = fabsf(x[i]);
    break;
  default: // a square root of a float rounded to double, then to float, is correctly rounded (53 >= 2*24 + 2)
    for (int64_t i = 0; i < n; i++) y[i] = (float)unary_f64(code, x[i]);
  }
}

static int64_t unary_int(int code, int64_t x) {
  switch (code) {
  case TG_OP_NEG: return (int64_t)(0 - (uint64_t)x);
  case TG_OP_ABS: return x < 0 ? (int64_t)(0 - (uint64_t)x) : x;
  default: return ~x;
  }
}

// ---- binary

#define MINMAX(type)                                                                                                                       \
  static type max_##type(type x, type y) {                                                                                                 \
    if (isnan(x) || isnan(y)) return (type)NAN;                                                                                            \
    if (x == y) return signbit(x) ? y : x;                                                                                                 \
    return x > y ? x : y;                                                                                                                  \
  }                                                                                                                                        \
  static type min_##type(type x, type y) {                                                                                                 \
    if (isnan(x) || isnan(y)) return (type)NAN;                                                                                            \
    if (x == y) return signbit(x) ? x : y;                                                                                                 \
    return x < y ? x : y;                                                                                                                  \
  }                                                                                                                                        \
  static type maxnum_##type(type x, type y) { return isnan(x) ? y : isnan(y) ? x : max_##type(x, y); }                                     \
  static type minnum_##type(type x, type y) { return isnan(x) ? y : isnan(y) ? x : min_##type(x, y); }
MINMAX(float)
MINMAX(double)

#define EACH(expression)                                                                                                                   \
  for (int64_t i = 0; i < n; i++) z[i] = (expression);                                                                                     \
  break
#define BINARY(type)                                                                                                                       \
  static void binary_##type(int code, const type *x, const type *y, int64_t n, type *z) {                                                  \
    switch (code) {                                                                                                                        \
    case TG_OP_ADD: EACH(x[i] + y[i]);                                                                                                     \
    case TG_OP_SUB: EACH(x[i] - y[i]);                                                                                                     \
    case TG_OP_MUL: EACH(x[i] * y[i]);                                                                                                     \
    case TG_OP_DIV: EACH(x[i] / y[i]);                                                                                                     \
    case TG_OP_MIN: EACH(min_##type(x[i], y[i]));                                                                                          \
    case TG_OP_MAX: EACH(max_##type(x[i], y[i]));                                                                                          \
    case TG_OP_MINNUM: EACH(minnum_##type(x[i], y[i]));                                                                                    \
    default: EACH(maxnum_##type(x[i], y[i]));                                                                                              \
    }                                                                                                                                      \
  }                                                                                                                                        \
  static void compare_##type(int code, const type *x, const type *y, int64_t n, uint8_t *z) {                                              \
    switch (code) {                                                                                                                        \
    case TG_OP_EQ: EACH(x[i] == y[i]);                                                                                                     \
    case TG_OP_NE: EACH(x[i] != y[i]);                                                                                                     \
    case TG_OP_LT: EACH(x[i] < y[i]);                                                                                                      \
    case TG_OP_LE: EACH(x[i] <= y[i]);                                                                                                     \
    case TG_OP_GT: EACH(x[i] > y[i]);                                                                                                      \
    default: EACH(x[i] >= y[i]);                                                                                                           \
    }                                                                                                                                      \
  }
BINARY(float)
BINARY(double)

static void compare_int(int code, const int64_t *x, const int64_t *y, int64_t n, uint8_t *z) {
  switch (code) {
  case TG_OP_EQ: EACH(x[i] == y[i]);
  case TG_OP_NE: EACH(x[i] != y[i]);
  case TG_OP_LT: EACH(x[i] < y[i]);
  case TG_OP_LE: EACH(x[i] <= y[i]);
  case TG_OP_GT: EACH(x[i] > y[i]);
  default: EACH(x[i] >= y[i]);
  }
}

static void note_division(tg_interp_run *run, const tg_op *op) {
  if (!run->told_division) tg_interp_note(run, op, "an integer is divided by 0, which gives 0");
  run->told_division = true;
}

static int64_t floor_divide(tg_interp_run *run, const tg_op *op, int64_t x, int64_t y) {
  if (y == 0) {
    note_division(run, op);
    return 0;
  }
  if (y == -1) return (int64_t)(0 - (uint64_t)x);
  const int64_t q = x / y;
  return q - (x % y != 0 && (x < 0) != (y < 0));
}

static int64_t floor_remainder(tg_interp_run *run, const tg_op *op, int64_t x, int64_t y) {
  if (y == 0) {
    note_division(run, op);
    return 0;
  }
  if (y == -1) return 0;
  const int64_t r = x % y;
  return r != 0 && (r < 0) != (y < 0) ? r + y : r;
}

static int64_t shift(tg_interp_run *run, const tg_op *op, int width, int64_t x, int64_t y) {
  if (y < 0 || y >= width) {
    if (!run->told_shift) tg_interp_note(run, op, "a shift by %lld of a %d-bit integer gives 0", (long long)y, width);
    run->told_shift = true;
    return 0;
  }
  return op->code == TG_OP_SHL ? (int64_t)((uint64_t)x << y) : x >> y;
}

static int64_t binary_int(tg_interp_run *run, const tg_op *op, int64_t x, int64_t y) {
  switch (op->code) {
  case TG_OP_ADD: return (int64_t)((uint64_t)x + (uint64_t)y);
  case TG_OP_SUB: return (int64_t)((uint64_t)x - (uint64_t)y);
  case TG_OP_MUL: return (int64_t)((uint64_t)x * (uint64_t)y);
  case TG_OP_DIV: return floor_divide(run, op, x, y);
  case TG_OP_REM: return floor_remainder(run, op, x, y);
  case TG_OP_MIN:
  case TG_OP_MINNUM: return x < y ? x : y;
  case TG_OP_MAX:
  case TG_OP_MAXNUM: return x > y ? x : y;
  case TG_OP_AND: return x & y;
  case TG_OP_OR: return x | y;
  case TG_OP_XOR: return x ^ y;
  default: return shift(run, op, tg_dtypes[op->out[0]->type.dtype].bits, x, y);
  }
}

// ---- by class of dtype

static void in_floats(tg_interp_run *run, const tg_op *op, int dtype, int64_t n, const void *const *in, void *out) {
  const float *x = tg_interp_floats(run, dtype, in[0], n, 0), *y = op->nin > 1 ? tg_interp_floats(run, dtype, in[1], n, 1) : NULL;
  if (op->code >= TG_OP_EQ && op->code <= TG_OP_GE) {
    compare_float(op->code, x, y, n, out);
    return;
  }
  float *z = dtype == TG_F32 ? out : tg_interp_scratch_of(run, 3, sizeof *z * (size_t)n);
  if (op->code == TG_OP_FMA) {
    const float *w = tg_interp_floats(run, dtype, in[2], n, 2);
    if (dtype == TG_F32)
      for (int64_t i = 0; i < n; i++) z[i] = fmaf(x[i], y[i], w[i]);
    else
      for (int64_t i = 0; i < n; i++) z[i] = tg_fma_narrow(x[i], y[i], w[i]);
  } else if (op->nin == 1) {
    unary_floats(op->code, x, n, z);
  } else {
    binary_float(op->code, x, y, n, z);
  }
  if (dtype != TG_F32) tg_interp_put_floats(dtype, z, n, out);
}

static void in_doubles(const tg_op *op, int64_t n, const void *const *in, void *out) {
  const double *x = in[0], *y = op->nin > 1 ? in[1] : NULL, *w = op->nin > 2 ? in[2] : NULL;
  double *z = out;
  if (op->code >= TG_OP_EQ && op->code <= TG_OP_GE) compare_double(op->code, x, y, n, out);
  else if (op->code == TG_OP_FMA)
    for (int64_t i = 0; i < n; i++) z[i] = fma(x[i], y[i], w[i]);
  else if (op->nin == 1)
    for (int64_t i = 0; i < n; i++) z[i] = unary_f64(op->code, x[i]);
  else binary_double(op->code, x, y, n, z);
}

static void in_ints(tg_interp_run *run, const tg_op *op, int dtype, int64_t n, const void *const *in, void *out) {
  const int64_t *x = tg_interp_ints(run, dtype, in[0], n, 0), *y = op->nin > 1 ? tg_interp_ints(run, dtype, in[1], n, 1) : NULL;
  if (op->code >= TG_OP_EQ && op->code <= TG_OP_GE) {
    compare_int(op->code, x, y, n, out);
    return;
  }
  int64_t *z = tg_interp_scratch_of(run, 3, sizeof *z * (size_t)n);
  if (op->nin == 1)
    for (int64_t i = 0; i < n; i++) z[i] = unary_int(op->code, x[i]);
  else
    for (int64_t i = 0; i < n; i++) z[i] = binary_int(run, op, x[i], y[i]);
  tg_interp_put_ints(dtype, z, n, out);
}

static void select_bytes(const uint8_t *condition, const uint8_t *x, const uint8_t *y, int64_t n, int64_t width, uint8_t *z) {
  for (int64_t i = 0; i < n; i++) tg_interp_copy(z + i * width, (condition[i] ? x : y) + i * width, width);
}

static void is_nan(tg_interp_run *run, int dtype, const void *x, int64_t n, uint8_t *z) {
  if (dtype == TG_F64) {
    for (int64_t i = 0; i < n; i++) z[i] = isnan(((const double *)x)[i]);
    return;
  }
  const float *v = tg_interp_floats(run, dtype, x, n, 0);
  for (int64_t i = 0; i < n; i++) z[i] = isnan(v[i]);
}

void tg_interp_elementwise(tg_interp_run *run, const tg_op *op) {
  const tg_type t = op->in[0]->type;
  const int64_t n = tg_type_elements(t);
  const void *in[3];
  for (int i = 0; i < op->nin; i++) in[i] = tg_interp_slot_of(run, op->in[i])->data;
  void *out = tg_interp_buffer(run, op->out[0]);
  if (op->code == TG_OP_SELECT) select_bytes(in[0], in[1], in[2], n, tg_interp_width(op->out[0]->type.dtype), out);
  else if (op->code == TG_OP_ISNAN) is_nan(run, t.dtype, in[0], n, out);
  else if (t.dtype == TG_F64) in_doubles(op, n, in, out);
  else if (tg_dtype_is_float(t.dtype)) in_floats(run, op, t.dtype, n, in, out);
  else in_ints(run, op, t.dtype, n, in, out);
}
