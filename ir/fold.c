#include "ir/fold.h"

#include <math.h>

bool tg_scalar_of(const tg_value *v, tg_scalar *out) {
  if (!tg_is_const(v)) return false;
  char cls = tg_dtypes[v->type.dtype].cls;
  *out = (tg_scalar){.is_int = cls == 'i' || cls == 'b'};
  return out->is_int ? tg_const_as_int(v, &out->i) : tg_const_as_float(v, &out->f);
}

// Division rounds towards minus infinity; by 0 it gives 0.
static int64_t floor_div(int64_t x, int64_t y) {
  if (y == 0) return 0;
  if (y == -1) return (int64_t)(0 - (uint64_t)x);
  int64_t q = x / y;
  return q - (x % y != 0 && (x < 0) != (y < 0));
}

static bool fold_int(int code, int dtype, int64_t x, int64_t y, int64_t *out) {
  uint64_t a = (uint64_t)x, b = (uint64_t)y;
  int width = dtype == TG_I1 ? 1 : tg_dtypes[dtype].bits;
  bool shift = y >= 0 && y < width;
  switch (code) {
  case TG_OP_NEG: *out = (int64_t)(0 - a); break;
  case TG_OP_ABS: *out = x < 0 ? (int64_t)(0 - a) : x; break;
  case TG_OP_NOT: *out = dtype == TG_I1 ? !x : ~x; break;
  case TG_OP_ADD: *out = (int64_t)(a + b); break;
  case TG_OP_SUB: *out = (int64_t)(a - b); break;
  case TG_OP_MUL: *out = (int64_t)(a * b); break;
  case TG_OP_DIV: *out = floor_div(x, y); break;
  case TG_OP_REM: *out = y == 0 ? 0 : (int64_t)(a - b * (uint64_t)floor_div(x, y)); break;
  case TG_OP_MIN:
  case TG_OP_MINNUM: *out = x < y ? x : y; break;
  case TG_OP_MAX:
  case TG_OP_MAXNUM: *out = x > y ? x : y; break;
  case TG_OP_AND: *out = x & y; break;
  case TG_OP_OR: *out = x | y; break;
  case TG_OP_XOR: *out = x ^ y; break;
  case TG_OP_SHL: *out = shift ? (int64_t)(a << y) : 0; break;
  case TG_OP_SHR: *out = shift ? x >> y : 0; break;
  case TG_OP_EQ: *out = x == y; return true;
  case TG_OP_NE: *out = x != y; return true;
  case TG_OP_LT: *out = x < y; return true;
  case TG_OP_LE: *out = x <= y; return true;
  case TG_OP_GT: *out = x > y; return true;
  case TG_OP_GE: *out = x >= y; return true;
  default: return false;
  }
  *out = tg_wrap_int(dtype, *out);
  return true;
}

// + - * / sqrt of two f32 computed in f64 and rounded to f32 are correctly rounded (53 >= 2*24 + 2); narrower floats are computed in f32,
// then rounded.
static double round_to(int dtype, double x) {
  if (dtype == TG_F64) return x;
  float f = (float)x;
  return dtype == TG_F32 ? f : tg_decode(dtype, tg_encode(dtype, f, TG_ROUND_SAT));
}

// -0 is less than +0, as in IEEE 754-2019.
static double smaller(double x, double y) { return x == y ? (signbit(x) ? x : y) : x < y ? x : y; }
static double larger(double x, double y) { return x == y ? (signbit(x) ? y : x) : x > y ? x : y; }

static bool fold_float(int code, int dtype, double x, double y, double z, tg_scalar *out) {
  out->is_int = true;
  switch (code) {
  case TG_OP_EQ: out->i = x == y; return true;
  case TG_OP_NE: out->i = x != y; return true;
  case TG_OP_LT: out->i = x < y; return true;
  case TG_OP_LE: out->i = x <= y; return true;
  case TG_OP_GT: out->i = x > y; return true;
  case TG_OP_GE: out->i = x >= y; return true;
  case TG_OP_ISNAN: out->i = isnan(x); return true;
  }
  out->is_int = false;
  bool nan = isnan(x) || isnan(y);
  switch (code) {
  case TG_OP_NEG: out->f = -x; return true;
  case TG_OP_ABS: out->f = fabs(x); return true;
  case TG_OP_FLOOR: out->f = floor(x); return true;
  case TG_OP_CEIL: out->f = ceil(x); return true;
  case TG_OP_TRUNC: out->f = trunc(x); return true;
  case TG_OP_RINT: out->f = nearbyint(x); return true;
  case TG_OP_MIN: out->f = nan ? (double)NAN : smaller(x, y); return true;
  case TG_OP_MAX: out->f = nan ? (double)NAN : larger(x, y); return true;
  case TG_OP_MINNUM: out->f = isnan(x) ? y : isnan(y) ? x : smaller(x, y); return true;
  case TG_OP_MAXNUM: out->f = isnan(x) ? y : isnan(y) ? x : larger(x, y); return true;
  case TG_OP_SQRT: out->f = round_to(dtype, sqrt(x)); return true;
  case TG_OP_ADD: out->f = round_to(dtype, x + y); return true;
  case TG_OP_SUB: out->f = round_to(dtype, x - y); return true;
  case TG_OP_MUL: out->f = round_to(dtype, x * y); return true;
  case TG_OP_DIV: out->f = round_to(dtype, x / y); return true;
  case TG_OP_FMA:
    if (dtype == TG_F64) out->f = fma(x, y, z);
    else if (dtype == TG_F32) out->f = (double)fmaf((float)x, (float)y, (float)z);
    else out->f = round_to(dtype, (double)tg_fma_narrow((float)x, (float)y, (float)z));
    return true;
  default: return false;
  }
}

static bool fold_cast(const tg_op *op, tg_scalar x, tg_scalar *out) {
  int to = op->out[0]->type.dtype;
  char cls = tg_dtypes[to].cls;
  bool sat = !strcmp(tg_attr_str(op, "mode", "ieee"), "sat");
  if (cls == 'b') {
    *out = (tg_scalar){.is_int = true, .i = x.is_int ? x.i != 0 : x.f != 0};
  } else if (cls == 'i' && x.is_int) {
    *out = (tg_scalar){.is_int = true, .i = tg_wrap_int(to, x.i)};
  } else if (cls == 'i') {
    int bits = tg_dtypes[to].bits;
    double limit = ldexp(1, bits - 1);
    int64_t low = bits == 64 ? INT64_MIN : -((int64_t)1 << (bits - 1));
    *out = (tg_scalar){.is_int = true, .i = isnan(x.f) ? 0 : x.f >= limit ? -(low + 1) : x.f <= -limit ? low : (int64_t)x.f};
  } else {
    if (x.is_int && (x.i > (1LL << 53) || x.i < -(1LL << 53))) return false; // would round twice
    *out = (tg_scalar){.f = tg_decode(to, tg_encode(to, x.is_int ? (double)x.i : x.f, sat ? TG_ROUND_SAT : TG_ROUND_IEEE))};
  }
  return true;
}

bool tg_fold_scalar(const tg_op *op, const tg_scalar *in, tg_scalar *out) {
  if (op->code == TG_OP_SELECT) {
    *out = in[0].i ? in[1] : in[2];
    return true;
  }
  if (op->code == TG_OP_CAST) return fold_cast(op, in[0], out);
  if (op->nin < 1 || op->nin > 3) return false;
  tg_scalar y = op->nin > 1 ? in[1] : in[0];
  int dtype = op->in[0]->type.dtype;
  if (in[0].is_int) {
    out->is_int = true;
    return op->nin < 3 && fold_int(op->code, dtype, in[0].i, y.i, &out->i);
  }
  return fold_float(op->code, dtype, in[0].f, y.f, op->nin > 2 ? in[2].f : 0, out);
}
