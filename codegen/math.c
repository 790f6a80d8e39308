// Polynomials (but for that of exp) and range reductions are those of Cephes (S. L. Moshier, Methods and Programs for Mathematical
// Functions, 1989; files expf,
// logf, tanhf, sinf of its single-precision library). Multiplications and additions are plain: where the machine has a fused form they may
// contract.
#include "codegen/math.h"

static tg_value *f32_const(tg_builder *b, tg_value *like, double v) { return tg_const_float(b, like->type, v); }
static tg_type with_dtype(const tg_value *v, int dtype) {
  tg_type t = v->type;
  t.dtype = (uint8_t)dtype;
  return t;
}
static tg_value *i32_const(tg_builder *b, tg_value *like, int64_t v) { return tg_const_int(b, with_dtype(like, TG_I32), v); }
static tg_value *add(tg_builder *b, tg_value *x, tg_value *y) { return tg_build2(b, TG_OP_ADD, x, y); }
static tg_value *sub(tg_builder *b, tg_value *x, tg_value *y) { return tg_build2(b, TG_OP_SUB, x, y); }
static tg_value *mul(tg_builder *b, tg_value *x, tg_value *y) { return tg_build2(b, TG_OP_MUL, x, y); }
static tg_value *mul_c(tg_builder *b, tg_value *x, double c) { return mul(b, x, f32_const(b, x, c)); }
static tg_value *add_c(tg_builder *b, tg_value *x, double c) { return add(b, x, f32_const(b, x, c)); }
static tg_value *select(tg_builder *b, tg_value *c, tg_value *x, tg_value *y) { return tg_build3(b, TG_OP_SELECT, c, x, y); }
static tg_value *less_c(tg_builder *b, tg_value *x, double c) { return tg_build2(b, TG_OP_LT, x, f32_const(b, x, c)); }
static tg_value *bits_of(tg_builder *b, tg_value *x) {
  return tg_build(b, TG_OP_BITCAST, 1, &x, 1, (tg_attr[]){TG_ASTR("to", "i32")})->out[0];
}
static tg_value *float_of(tg_builder *b, tg_value *x) {
  return tg_build(b, TG_OP_BITCAST, 1, &x, 1, (tg_attr[]){TG_ASTR("to", "f32")})->out[0];
}

// c[0] x^(n-1) + … + c[n-1]
static tg_value *polynomial(tg_builder *b, tg_value *x, int n, const double *c) {
  tg_value *p = f32_const(b, x, c[0]);
  for (int i = 1; i < n; i++) p = add_c(b, mul(b, p, x), c[i]);
  return p;
}

// x limited to [low, high]; written so that NaN stays, and so that each side is one instruction on x86.
static tg_value *limit(tg_builder *b, tg_value *x, double low, double high) {
  tg_value *l = f32_const(b, x, low), *h = f32_const(b, x, high);
  tg_value *t = select(b, tg_build2(b, TG_OP_GT, l, x), l, x);
  return select(b, tg_build2(b, TG_OP_LT, h, t), h, t);
}

static tg_value *keep_nan(tg_builder *b, tg_value *x, tg_value *result) { return select(b, tg_build1(b, TG_OP_ISNAN, x), x, result); }

// 2^(k+bias), k+bias an integer in [-126, 127]; of k only its low 9 bits count.
static tg_value *power_of_two(tg_builder *b, tg_value *k, int bias) {
  tg_value *exponent = tg_build2(b, TG_OP_SHL, k, i32_const(b, k, 23));
  return float_of(b, add(b, exponent, i32_const(b, k, (int64_t)(127 + bias) << 23)));
}

// The integer nearest to x, |x| < 2^22: in the low bits of `whole`, and as a float. Adding 1.5 * 2^23 leaves no bits behind the point.
typedef struct {
  tg_value *bits, *n;
} nearest;
static nearest round_to_int(tg_builder *b, tg_value *x) {
  tg_value *shifted = add_c(b, x, 0x1.8p23);
  return (nearest){bits_of(b, shifted), add_c(b, shifted, -0x1.8p23)};
}

// m * 2^n, n in [-252, 254], in two steps so that subnormal results round once and overflow gives inf.
static tg_value *scale(tg_builder *b, tg_value *m, nearest n) {
  tg_value *k = sub(b, n.bits, i32_const(b, n.bits, 0x4b400000));
  tg_value *half = tg_build2(b, TG_OP_SHR, k, i32_const(b, k, 1));
  return mul(b, mul(b, m, power_of_two(b, half, 0)), power_of_two(b, sub(b, k, half), 0));
}

// e^r, |r| <= ln(2)/2. The coefficients make the greatest relative error least (Lawson's iteration of weighted least squares, then rounded
// to f32): 2^-27.9.
static tg_value *exp_reduced(tg_builder *b, tg_value *r) {
  static const double c[] = {1.381417154e-3, 8.368922397e-3, 4.166840762e-2, 1.666651964e-1, 4.999999404e-1, 1, 1};
  return polynomial(b, r, 7, c);
}

// y - n ln 2 with ln 2 in two parts; the first has 9 bits, so n times it is exact.
static tg_value *reduce_exp(tg_builder *b, tg_value *y, tg_value *n) {
  tg_value *r = add(b, y, mul_c(b, n, -0.693359375));
  return add(b, r, mul_c(b, n, 2.12194440e-4));
}

static tg_value *expand_exp(tg_builder *b, tg_value *x) {
  tg_value *y = limit(b, x, -104, 89); // e^-104 rounds to 0, e^89 to inf
  nearest n = round_to_int(b, mul_c(b, y, 1.44269504088896341));
  return scale(b, exp_reduced(b, reduce_exp(b, y, n.n)), n);
}

static tg_value *expand_exp2(tg_builder *b, tg_value *x) {
  tg_value *y = limit(b, x, -151, 129);
  nearest n = round_to_int(b, y);
  tg_value *r = mul_c(b, sub(b, y, n.n), 0.69314718055994531);
  return scale(b, exp_reduced(b, r), n);
}

typedef struct {
  tg_value *exponent, *f, *tail; // x = 2^exponent * (1 + f), sqrt(1/2) <= 1 + f < sqrt(2); log(1 + f) = f + tail
} log_parts;

static log_parts split_log(tg_builder *b, tg_value *x) {
  static const double c[] = {7.0376836292e-2,  -1.1514610310e-1, 1.1676998740e-1,  -1.2420140846e-1, 1.4249322787e-1,
                             -1.6668057665e-1, 2.0000714765e-1,  -2.4999993993e-1, 3.3333331174e-1};
  tg_value *small = less_c(b, x, 0x1p-126); // subnormals are scaled into the normal range
  tg_value *bits = bits_of(b, select(b, small, mul_c(b, x, 0x1p23), x));
  // Exponent so that the mantissa lies in [sqrt(1/2), sqrt(2)): 0x3f3504f3 is sqrt(1/2).
  tg_value *k = tg_build2(b, TG_OP_SHR, sub(b, bits, i32_const(b, bits, 0x3f3504f3)), i32_const(b, bits, 23));
  tg_value *m = float_of(b, sub(b, bits, tg_build2(b, TG_OP_SHL, k, i32_const(b, k, 23))));
  log_parts p = {.f = add_c(b, m, -1)};
  p.exponent = add(b, tg_cast_to(b, k, TG_F32, NULL), select(b, small, f32_const(b, x, -23), f32_const(b, x, 0)));
  tg_value *z = mul(b, p.f, p.f);
  p.tail = add(b, mul(b, mul(b, polynomial(b, p.f, 9, c), p.f), z), mul_c(b, z, -0.5));
  return p;
}

// What the logarithm of 0, of negative numbers, of inf and NaN is.
static tg_value *log_specials(tg_builder *b, tg_value *x, tg_value *result) {
  tg_value *zero = f32_const(b, x, 0), *inf = f32_const(b, x, __builtin_inf());
  result = select(b, tg_build2(b, TG_OP_EQ, x, inf), inf, result);
  result = select(b, tg_build2(b, TG_OP_EQ, x, zero), f32_const(b, x, -__builtin_inf()), result);
  result = select(b, tg_build2(b, TG_OP_LT, x, zero), f32_const(b, x, __builtin_nan("")), result);
  return keep_nan(b, x, result);
}

static tg_value *expand_log(tg_builder *b, tg_value *x) {
  log_parts p = split_log(b, x);
  tg_value *low = add(b, p.tail, mul_c(b, p.exponent, -2.12194440e-4));
  return log_specials(b, x, add(b, add(b, p.f, low), mul_c(b, p.exponent, 0.693359375)));
}

static tg_value *expand_log2(tg_builder *b, tg_value *x) {
  // log2(e) = 1 + 0.442695…: the 1 is added exactly.
  log_parts p = split_log(b, x);
  const double rest = 0.44269504088896341;
  tg_value *sum = add(b, mul_c(b, p.tail, rest), mul_c(b, p.f, rest));
  sum = add(b, add(b, sum, p.tail), p.f);
  return log_specials(b, x, add(b, sum, p.exponent));
}

static tg_value *expand_rsqrt(tg_builder *b, tg_value *x) {
  return tg_build2(b, TG_OP_DIV, f32_const(b, x, 1), tg_build1(b, TG_OP_SQRT, x));
}

// 1/(1 + e^-x) with both divided by 2^32, so that e^-x neither overflows where the result is subnormal nor needs a second step. Beyond 60
// the result is 1, below -104.5 it is 0.
static tg_value *expand_sigmoid(tg_builder *b, tg_value *x) {
  tg_value *y = limit(b, x, -104.5, 60);
  nearest n = round_to_int(b, mul_c(b, y, -1.44269504088896341));
  tg_value *m = exp_reduced(b, reduce_exp(b, tg_build1(b, TG_OP_NEG, y), n.n));
  tg_value *t = mul(b, m, power_of_two(b, n.bits, -32));
  return tg_build2(b, TG_OP_DIV, f32_const(b, x, 0x1p-32), add_c(b, t, 0x1p-32));
}

static tg_value *expand_tanh(tg_builder *b, tg_value *x) {
  static const double c[] = {-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1};
  tg_value *a = tg_build1(b, TG_OP_ABS, x), *z = mul(b, x, x);
  tg_value *small = add(b, mul(b, mul(b, polynomial(b, z, 5, c), z), x), x);
  tg_value *t = expand_exp(b, mul_c(b, a, -2));
  tg_value *large = tg_build2(b, TG_OP_DIV, tg_build2(b, TG_OP_SUB, f32_const(b, x, 1), t), add_c(b, t, 1));
  tg_value *signed_large = select(b, less_c(b, x, 0), tg_build1(b, TG_OP_NEG, large), large);
  return select(b, less_c(b, a, 0.625), small, signed_large);
}

// x / (2 pi) less whole turns, in f64: 1/(2 pi) in parts of 29 bits, by which any f32 is multiplied exactly, and of each product what is
// behind the point. The last part's product is below 2^-18 for every f32, so that rounding it is harmless.
static tg_value *turns(tg_builder *b, tg_value *x) {
  static const double parts[] = {0x1.45f306dp-3,  0x1.9391054p-32,  0x1.4fe13abp-61,
                                 0x1.d1f534dp-90, 0x1.b81b6c5p-119, 0x1.5993c439041fep-150};
  enum { PARTS = sizeof parts / sizeof *parts };
  tg_value *wide = tg_cast_to(b, x, TG_F64, NULL), *sum = NULL;
  for (int i = 0; i < PARTS; i++) {
    tg_value *t = mul_c(b, wide, parts[i]);
    if (i < PARTS - 1) t = sub(b, t, tg_build1(b, TG_OP_RINT, t));
    sum = sum ? add(b, sum, t) : t;
  }
  return sum;
}

// sin(x + quarter * pi/2), the angle reduced to |r| <= pi/4 in f64.
static tg_value *expand_sin(tg_builder *b, tg_value *x, int quarter) {
  static const double s[] = {-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1};
  static const double c[] = {2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2};
  tg_value *quarters = mul_c(b, turns(b, x), 4), *n = tg_build1(b, TG_OP_RINT, quarters);
  tg_value *r = tg_cast_to(b, mul_c(b, sub(b, quarters, n), 1.5707963267948966), TG_F32, NULL);
  tg_value *q = add(b, tg_cast_to(b, n, TG_I32, NULL), i32_const(b, x, quarter)), *zero = i32_const(b, x, 0);
  tg_value *z = mul(b, r, r);
  tg_value *sine = add(b, mul(b, mul(b, polynomial(b, z, 3, s), z), r), r);
  tg_value *cosine = add_c(b, add(b, mul(b, mul(b, polynomial(b, z, 3, c), z), z), mul_c(b, z, -0.5)), 1);
  tg_value *odd = tg_build2(b, TG_OP_NE, tg_build2(b, TG_OP_AND, q, i32_const(b, x, 1)), zero);
  tg_value *low = tg_build2(b, TG_OP_NE, tg_build2(b, TG_OP_AND, q, i32_const(b, x, 2)), zero);
  tg_value *v = select(b, odd, cosine, sine);
  return select(b, low, tg_build1(b, TG_OP_NEG, v), v);
}

static tg_value *expand(tg_builder *b, int code, tg_value *x) {
  switch (code) {
  case TG_OP_EXP: return expand_exp(b, x);
  case TG_OP_EXP2: return expand_exp2(b, x);
  case TG_OP_LOG: return expand_log(b, x);
  case TG_OP_LOG2: return expand_log2(b, x);
  case TG_OP_RSQRT: return expand_rsqrt(b, x);
  case TG_OP_SIGMOID: return expand_sigmoid(b, x);
  case TG_OP_TANH: return expand_tanh(b, x);
  case TG_OP_SIN: return expand_sin(b, x, 0);
  case TG_OP_COS: return expand_sin(b, x, 1);
  default: return NULL;
  }
}

// ---- by instructions of GPUs

// e^x = p * s: s = 2^(n+bias), n the integer nearest to x log2(e) in [low, high]; p = 2^(x log2(e) - n) by ex2, of an argument of which
// nothing is lost where the result is normal, as log2(e) comes in two parts. Where n was limited p alone becomes 0 or inf, or makes the
// product subnormal; so infinities and NaN need no comparison. (That the second part is positive keeps inf - inf out.)
typedef struct exp_parts {
  tg_value *p, *s;
} exp_parts;
static exp_parts split_exp(tg_builder *b, tg_value *x, double sign, int low, int high, int bias) {
  const double log2e = 0x1.715476p0, rest = 0x1.4ae0cp-26, whole = 0x1.8p23;
  tg_value *parts[] = {x, f32_const(b, x, sign * log2e), f32_const(b, x, whole + bias + 127)};
  tg_value *t = tg_build(b, TG_OP_FMA, 3, parts, 0, NULL)->out[0];
  t = tg_build2(b, TG_OP_MINNUM, t, f32_const(b, x, whole + bias + 127 + high));
  t = tg_build2(b, TG_OP_MAXNUM, t, f32_const(b, x, whole + bias + 127 + low));
  parts[2] = sub(b, f32_const(b, x, whole + bias + 127), t);
  parts[2] = tg_build(b, TG_OP_FMA, 3, parts, 0, NULL)->out[0];
  parts[1] = f32_const(b, x, sign * rest);
  tg_value *f = tg_build(b, TG_OP_FMA, 3, parts, 0, NULL)->out[0];
  tg_value *bits = bits_of(b, t);
  return (exp_parts){tg_build1(b, TG_OP_EX2, f), float_of(b, tg_build2(b, TG_OP_SHL, bits, i32_const(b, bits, 23)))};
}

static tg_value *exp_by_ex2(tg_builder *b, tg_value *x) {
  exp_parts e = split_exp(b, x, 1, -126, 127, 0);
  return mul(b, e.p, e.s);
}

// As expand_sigmoid, divided by 2^32: 1 + e^-x lies where neither rcp's operand nor its result is subnormal, unless the sigmoid is 0. What
// rcp may be off upwards is taken from results near 1.
static tg_value *sigmoid_by_ex2(tg_builder *b, tg_value *x) {
  exp_parts e = split_exp(b, x, -1, -94, 159, -32);
  tg_value *parts[] = {e.p, e.s, f32_const(b, x, 0x1p-32)};
  tg_value *y = mul_c(b, tg_build1(b, TG_OP_RCP, tg_build(b, TG_OP_FMA, 3, parts, 0, NULL)->out[0]), 0x1p-32);
  return tg_build2(b, TG_OP_MIN, y, f32_const(b, x, 1));
}

static tg_value *expand_by_ex2(tg_builder *b, int code, tg_value *x) {
  switch (code) {
  case TG_OP_EXP: return exp_by_ex2(b, x);
  case TG_OP_EXP2: return tg_build1(b, TG_OP_EXP2, x);
  case TG_OP_SIGMOID: return sigmoid_by_ex2(b, x);
  default: return expand(b, code, x);
  }
}

// ---- narrower floats through f32

typedef tg_value *expand_fn(tg_builder *b, int code, tg_value *x);

static tg_value *through_f32(tg_builder *b, int code, tg_value *x, expand_fn *of_f32) {
  bool known = code == TG_OP_EXP || code == TG_OP_EXP2 || code == TG_OP_LOG || code == TG_OP_LOG2 || code == TG_OP_RSQRT ||
               code == TG_OP_SIGMOID || code == TG_OP_TANH || code == TG_OP_SIN || code == TG_OP_COS;
  if (!known) return NULL;
  int dtype = x->type.dtype;
  if (dtype == TG_F64)
    tg_throw(b->kernel->ctx, TG_INVALID, "%s:%d: %s of f64 has no lowering; cast to f32 first (:to(tg.f32))",
             b->loc.file ? b->loc.file : "?", b->loc.line, tg_op_rows()[code].info.name);
  if (dtype != TG_F32) x = tg_cast_to(b, x, TG_F32, NULL);
  tg_value *y = of_f32(b, code, x);
  return dtype == TG_F32 ? y : tg_cast_to(b, y, dtype, "ieee");
}

tg_value *tg_math_expand(tg_builder *b, int code, tg_value *x) { return through_f32(b, code, x, expand); }
tg_value *tg_math_expand_by_ex2(tg_builder *b, int code, tg_value *x) { return through_f32(b, code, x, expand_by_ex2); }
