// Elementwise ops but casts. f16 and bf16 are computed in f32 and rounded after each op; narrower formats are for storage and conversion
// only.
#include <math.h>

#include "codegen/llvm_short.h"

#define B e->b

static int dtype_of(const tg_op *op) { return op->in[0]->type.dtype; }
static bool is_float(int dtype) { return tg_dtypes[dtype].cls == 'f' || tg_dtypes[dtype].cls == 'e'; }

static LLVMValueRef contract(LLVMValueRef v) { // may fuse a multiplication with an addition
  if (LLVMIsAInstruction(v)) LLVMSetFastMathFlags(v, LLVMFastMathAllowContract);
  return v;
}

// ---- constants

static void emit_const(tg_llvm *e, tg_op *op) {
  const tg_attr *a = tg_find_attr(op, "value");
  const int dtype = op->out[0]->type.dtype;
  LLVMTypeRef type = tg_llvm_type(e, op->out[0]->type);
  const double number = a->kind == TG_ATTR_FLOAT ? a->f : (double)a->i;
  LLVMValueRef v;
  if (dtype == TG_F32 || dtype == TG_F64) v = tg_llvm_float(type, number);
  else if (dtype == TG_I1) v = tg_llvm_int(type, number != 0);
  else if (is_float(dtype)) v = tg_llvm_int(type, (int64_t)tg_encode(dtype, number, TG_ROUND_IEEE));
  else v = tg_llvm_int(type, a->kind == TG_ATTR_INT ? a->i : (int64_t)tg_encode(TG_I64, a->f, TG_ROUND_IEEE));
  tg_llvm_set(op, v);
}

// ---- helpers for floats in f32 or f64

typedef LLVMValueRef unary_fn(tg_llvm *e, LLVMValueRef x);
typedef LLVMValueRef binary_fn(tg_llvm *e, LLVMValueRef x, LLVMValueRef y);

static LLVMValueRef widen(tg_llvm *e, const tg_op *op, int i) { return tg_llvm_to_f32(e, op->in[i]->type.dtype, tg_llvm_in(op, i)); }

static LLVMValueRef float1(tg_llvm *e, const tg_op *op, unary_fn *fn) {
  const int dtype = dtype_of(op);
  if (!tg_llvm_is_narrow(dtype)) return fn(e, tg_llvm_in(op, 0));
  return tg_llvm_from_f32(e, dtype, fn(e, widen(e, op, 0)), TG_ROUND_IEEE);
}

static LLVMValueRef float2(tg_llvm *e, const tg_op *op, binary_fn *fn) {
  const int dtype = dtype_of(op);
  if (!tg_llvm_is_narrow(dtype)) return fn(e, tg_llvm_in(op, 0), tg_llvm_in(op, 1));
  return tg_llvm_from_f32(e, dtype, fn(e, widen(e, op, 0), widen(e, op, 1)), TG_ROUND_IEEE);
}

// ---- signs

static int sign_of(int dtype) { return 1 << (tg_dtypes[dtype].bits - 1); }

static void emit_neg(tg_llvm *e, tg_op *op) {
  const int dtype = dtype_of(op);
  LLVMValueRef x = tg_llvm_in(op, 0), r;
  if (dtype == TG_F32 || dtype == TG_F64) r = LLVMBuildFNeg(B, x, "");
  else if (is_float(dtype)) r = xork(e, x, sign_of(dtype));
  else r = LLVMBuildNeg(B, x, "");
  tg_llvm_set(op, r);
}

static void emit_abs(tg_llvm *e, tg_op *op) {
  const int dtype = dtype_of(op);
  LLVMValueRef x = tg_llvm_in(op, 0), r;
  if (dtype == TG_F32 || dtype == TG_F64) r = tg_llvm_intrinsic1(e, "llvm.fabs", x);
  else if (is_float(dtype)) r = andk(e, x, sign_of(dtype) - 1);
  else {
    LLVMTypeRef type = LLVMTypeOf(x);
    r = tg_llvm_intrinsic(e, "llvm.abs", 1, &type, 2, (LLVMValueRef[]){x, LLVMConstInt(e->i1, 0, 0)});
  }
  tg_llvm_set(op, r);
}

static void emit_not(tg_llvm *e, tg_op *op) { tg_llvm_set(op, LLVMBuildNot(B, tg_llvm_in(op, 0), "")); }

// ---- roots and roundings

static LLVMValueRef root(tg_llvm *e, LLVMValueRef x) { return tg_llvm_intrinsic1(e, "llvm.sqrt", x); }
static LLVMValueRef reciprocal_root(tg_llvm *e, LLVMValueRef x) { return LLVMBuildFDiv(B, kf(x, 1), root(e, x), ""); }

// To the nearest integer without an instruction for it: adding and taking away 2^man leaves no place for a fraction.
static LLVMValueRef nearest(tg_llvm *e, LLVMValueRef x) {
  if (e->rounding) return tg_llvm_intrinsic1(e, "llvm.rint", x);
  const bool wide = tg_llvm_like_value(x, e->f64) == LLVMTypeOf(x);
  const double big = wide ? 0x1p52 : 0x1p23;
  LLVMValueRef size = tg_llvm_intrinsic1(e, "llvm.fabs", x);
  LLVMValueRef r = LLVMBuildFSub(B, LLVMBuildFAdd(B, size, kf(x, big), ""), kf(x, big), "");
  r = pick(e, LLVMBuildFCmp(B, LLVMRealOLT, size, kf(x, big), ""), r, size); // larger numbers, Inf and NaN are integers already
  return tg_llvm_intrinsic2(e, "llvm.copysign", r, x);
}
static LLVMValueRef step_back(tg_llvm *e, LLVMValueRef x, LLVMValueRef r, LLVMRealPredicate overshot, double step) {
  LLVMValueRef back = LLVMBuildFAdd(B, r, kf(x, step), "");
  return tg_llvm_intrinsic2(e, "llvm.copysign", pick(e, LLVMBuildFCmp(B, overshot, r, x, ""), back, r), x); // ceil(-0.5) is -0
}
static LLVMValueRef floor_of(tg_llvm *e, LLVMValueRef x) {
  if (e->rounding) return tg_llvm_intrinsic1(e, "llvm.floor", x);
  return step_back(e, x, nearest(e, x), LLVMRealOGT, -1);
}
static LLVMValueRef ceil_of(tg_llvm *e, LLVMValueRef x) {
  if (e->rounding) return tg_llvm_intrinsic1(e, "llvm.ceil", x);
  return step_back(e, x, nearest(e, x), LLVMRealOLT, 1);
}
static LLVMValueRef trunc_of(tg_llvm *e, LLVMValueRef x) {
  if (e->rounding) return tg_llvm_intrinsic1(e, "llvm.trunc", x);
  return tg_llvm_intrinsic2(e, "llvm.copysign", floor_of(e, tg_llvm_intrinsic1(e, "llvm.fabs", x)), x);
}

static void emit_sqrt(tg_llvm *e, tg_op *op) { tg_llvm_set(op, float1(e, op, root)); }
static void emit_rsqrt(tg_llvm *e, tg_op *op) { tg_llvm_set(op, float1(e, op, reciprocal_root)); }
static void emit_floor(tg_llvm *e, tg_op *op) { tg_llvm_set(op, float1(e, op, floor_of)); }
static void emit_ceil(tg_llvm *e, tg_op *op) { tg_llvm_set(op, float1(e, op, ceil_of)); }
static void emit_trunc(tg_llvm *e, tg_op *op) { tg_llvm_set(op, float1(e, op, trunc_of)); }
static void emit_rint(tg_llvm *e, tg_op *op) { tg_llvm_set(op, float1(e, op, nearest)); }
static void emit_isnan(tg_llvm *e, tg_op *op) {
  LLVMValueRef x = tg_llvm_is_narrow(dtype_of(op)) ? widen(e, op, 0) : tg_llvm_in(op, 0);
  tg_llvm_set(op, is_nan(e, x));
}

static void emit_function(tg_llvm *e, tg_op *op) {
  tg_llvm_fail(e, "the lowering must expand `%s` before the llvm emitter sees it", tg_op_rows()[op->code].info.name);
}

// ---- sums and products

static LLVMValueRef float_add(tg_llvm *e, LLVMValueRef x, LLVMValueRef y) { return contract(LLVMBuildFAdd(B, x, y, "")); }
static LLVMValueRef float_sub(tg_llvm *e, LLVMValueRef x, LLVMValueRef y) { return contract(LLVMBuildFSub(B, x, y, "")); }
static LLVMValueRef float_mul(tg_llvm *e, LLVMValueRef x, LLVMValueRef y) { return contract(LLVMBuildFMul(B, x, y, "")); }
static LLVMValueRef float_div(tg_llvm *e, LLVMValueRef x, LLVMValueRef y) { return LLVMBuildFDiv(B, x, y, ""); }

static void emit_add(tg_llvm *e, tg_op *op) {
  tg_llvm_set(op, is_float(dtype_of(op)) ? float2(e, op, float_add) : LLVMBuildAdd(B, tg_llvm_in(op, 0), tg_llvm_in(op, 1), ""));
}
static void emit_sub(tg_llvm *e, tg_op *op) {
  tg_llvm_set(op, is_float(dtype_of(op)) ? float2(e, op, float_sub) : LLVMBuildSub(B, tg_llvm_in(op, 0), tg_llvm_in(op, 1), ""));
}
static void emit_mul(tg_llvm *e, tg_op *op) {
  tg_llvm_set(op, is_float(dtype_of(op)) ? float2(e, op, float_mul) : LLVMBuildMul(B, tg_llvm_in(op, 0), tg_llvm_in(op, 1), ""));
}
static void emit_div(tg_llvm *e, tg_op *op) { tg_llvm_set(op, is_float(dtype_of(op)) ? float2(e, op, float_div) : tg_llvm_int_div(e, op)); }
static void emit_rem(tg_llvm *e, tg_op *op) { tg_llvm_set(op, tg_llvm_int_rem(e, op)); }
static void emit_shift(tg_llvm *e, tg_op *op) { tg_llvm_set(op, tg_llvm_shift(e, op)); }

// x + y in f64 rounded to odd. The error of the rounded sum is exact (Knuth's two-sum); where there is one and the last bit is 0, the
// neighbour on the error's side is the odd one.
static LLVMValueRef odd_sum(tg_llvm *e, LLVMValueRef x, LLVMValueRef y) {
  LLVMValueRef s = LLVMBuildFAdd(B, x, y, ""), t = LLVMBuildFSub(B, s, x, "");
  LLVMValueRef error = LLVMBuildFAdd(B, LLVMBuildFSub(B, x, LLVMBuildFSub(B, s, t, ""), ""), LLVMBuildFSub(B, y, t, ""), "");
  LLVMValueRef bits = tg_llvm_bitcast(e, s, e->i64);
  LLVMValueRef unlike = icmpk(e, LLVMIntSLT, LLVMBuildXor(B, bits, tg_llvm_bitcast(e, error, e->i64), ""), 0);
  LLVMValueRef odd = LLVMBuildAdd(B, bits, pick(e, unlike, ki(bits, -1), ki(bits, 1)), "");
  LLVMValueRef inexact = LLVMBuildFCmp(B, LLVMRealONE, error, kf(error, 0), ""); // false on the NaN that Inf gives
  LLVMValueRef move = LLVMBuildAnd(B, inexact, icmpk(e, LLVMIntEQ, andk(e, bits, 1), 0), "");
  return tg_llvm_bitcast(e, pick(e, move, odd, bits), e->f64);
}

static LLVMValueRef fused(tg_llvm *e, LLVMValueRef x, LLVMValueRef y, LLVMValueRef z) {
  LLVMTypeRef type = LLVMTypeOf(x), f64 = tg_llvm_like(type, e->f64);
  if (e->fma || type == f64) // f64 without the instruction: the C library's fma
    return tg_llvm_intrinsic(e, "llvm.fma", 1, &type, 3, (LLVMValueRef[]){x, y, z});
  // The product of two f32 is exact in f64.
  LLVMValueRef product = LLVMBuildFMul(B, LLVMBuildFPExt(B, x, f64, ""), LLVMBuildFPExt(B, y, f64, ""), "");
  return LLVMBuildFPTrunc(B, odd_sum(e, product, LLVMBuildFPExt(B, z, f64, "")), type, "");
}

// An f64 as an f32 rounded to odd, which rounds to f16 and bf16 as the f64 does.
static LLVMValueRef odd_f32(tg_llvm *e, LLVMValueRef x) {
  LLVMTypeRef type = LLVMTypeOf(x);
  LLVMValueRef near = LLVMBuildFPTrunc(B, x, tg_llvm_like(type, e->f32), ""), back = LLVMBuildFPExt(B, near, type, "");
  LLVMValueRef bits = tg_llvm_bitcast(e, near, e->i32);
  LLVMValueRef larger = LLVMBuildFCmp(B, LLVMRealOGT, tg_llvm_intrinsic1(e, "llvm.fabs", back), tg_llvm_intrinsic1(e, "llvm.fabs", x), "");
  LLVMValueRef odd = LLVMBuildOr(B, LLVMBuildAdd(B, bits, pick(e, larger, ki(bits, -1), ki(bits, 0)), ""), ki(bits, 1), "");
  return tg_llvm_bitcast(e, pick(e, LLVMBuildFCmp(B, LLVMRealONE, back, x, ""), odd, bits), e->f32);
}

// f16 and bf16: rounded once, as tg_fma_narrow does it.
static LLVMValueRef fused_narrow(tg_llvm *e, LLVMValueRef x, LLVMValueRef y, LLVMValueRef z) {
  LLVMTypeRef f64 = tg_llvm_like(LLVMTypeOf(x), e->f64);
  LLVMValueRef product = LLVMBuildFMul(B, LLVMBuildFPExt(B, x, f64, ""), LLVMBuildFPExt(B, y, f64, ""), "");
  return odd_f32(e, odd_sum(e, product, LLVMBuildFPExt(B, z, f64, "")));
}

static void emit_fma(tg_llvm *e, tg_op *op) {
  const int dtype = dtype_of(op);
  if (!tg_llvm_is_narrow(dtype)) tg_llvm_set(op, fused(e, tg_llvm_in(op, 0), tg_llvm_in(op, 1), tg_llvm_in(op, 2)));
  else tg_llvm_set(op, tg_llvm_from_f32(e, dtype, fused_narrow(e, widen(e, op, 0), widen(e, op, 1), widen(e, op, 2)), TG_ROUND_IEEE));
}

// ---- dots of bf16 pairs

// The high halves first, as the processors do that have an instruction for it.
static LLVMValueRef dot2_by_parts(tg_llvm *e, LLVMValueRef sum, LLVMValueRef x, LLVMValueRef y) {
  for (int high = 1; high >= 0; high--) {
    LLVMValueRef a = tg_llvm_bitcast(e, high ? andk(e, x, (int32_t)0xffff0000) : shlk(e, x, 16), e->f32);
    LLVMValueRef b = tg_llvm_bitcast(e, high ? andk(e, y, (int32_t)0xffff0000) : shlk(e, y, 16), e->f32);
    sum = fused(e, a, b, sum);
  }
  return sum;
}

// AVX512_BF16: one instruction for 4, 8 or 16 lanes, two for 32.
static LLVMValueRef dot2_native(tg_llvm *e, unsigned lanes, LLVMValueRef sum, LLVMValueRef x, LLVMValueRef y) {
  if (lanes == 32) {
    int index[32];
    for (int i = 0; i < 32; i++) index[i] = i;
    LLVMValueRef half[2], in[] = {sum, x, y};
    for (int h = 0; h < 2; h++) {
      LLVMValueRef part[3];
      for (int i = 0; i < 3; i++) part[i] = tg_llvm_shuffle(e, in[i], NULL, 16, index + 16 * h);
      half[h] = dot2_native(e, 16, part[0], part[1], part[2]);
    }
    return tg_llvm_shuffle(e, half[0], half[1], 32, index);
  }
  char name[48];
  snprintf(name, sizeof name, "llvm.x86.avx512bf16.dpbf16ps.%u", 32 * lanes);
  LLVMTypeRef pairs = LLVMVectorType(LLVMBFloatTypeInContext(e->context), 2 * lanes);
  LLVMValueRef in[] = {sum, LLVMBuildBitCast(B, x, pairs, ""), LLVMBuildBitCast(B, y, pairs, "")};
  return tg_llvm_intrinsic(e, name, 0, NULL, 3, in);
}

static void emit_dot2(tg_llvm *e, tg_op *op) {
  LLVMValueRef sum = tg_llvm_in(op, 0), x = tg_llvm_in(op, 1), y = tg_llvm_in(op, 2);
  const unsigned lanes = tg_llvm_lanes(LLVMTypeOf(sum));
  const bool native = e->bf16_dot && (lanes == 4 || lanes == 8 || lanes == 16 || lanes == 32);
  tg_llvm_set(op, native ? dot2_native(e, lanes, sum, x, y) : dot2_by_parts(e, sum, x, y));
}

// ---- least and greatest

// Integers as wide as the elements of v.
static LLVMValueRef bits_of(tg_llvm *e, LLVMValueRef v) {
  LLVMTypeRef type = LLVMTypeOf(v);
  if (LLVMGetTypeKind(type) == LLVMVectorTypeKind) type = LLVMGetElementType(type);
  return type == e->f32 ? tg_llvm_bitcast(e, v, e->i32) : type == e->f64 ? tg_llvm_bitcast(e, v, e->i64) : v;
}

// `x < y ? x : y` as compare and select is one instruction on x86, which gives its second operand where both are equal or either is NaN. So
// the two orders of the operands differ for zeros of unlike signs and for NaN alone. Or-ing their bits gives -0 there, and a NaN with
// anything is a NaN: all that min wants. And-ing gives +0, for max.
static LLVMValueRef choose(tg_llvm *e, LLVMValueRef x, LLVMValueRef y, LLVMValueRef fx, LLVMValueRef fy, tg_llvm_least how) {
  const LLVMRealPredicate first = how.greatest ? LLVMRealOGT : LLVMRealOLT;
  LLVMValueRef r = pick(e, LLVMBuildFCmp(B, first, fx, fy, ""), x, y);
  if (how.zeros) {
    LLVMValueRef a = bits_of(e, r), b = bits_of(e, pick(e, LLVMBuildFCmp(B, first, fy, fx, ""), y, x));
    r = LLVMBuildBitCast(B, how.greatest ? LLVMBuildAnd(B, a, b, "") : LLVMBuildOr(B, a, b, ""), LLVMTypeOf(x), "");
    if (how.propagate && !how.greatest) return r;
    if (!how.y_number) r = pick(e, is_nan(e, fy), how.propagate ? y : x, r);
    return how.x_number ? r : pick(e, is_nan(e, fx), how.propagate ? x : y, r);
  }
  if (how.x_number || how.y_number) return r; // that which may be NaN stands second to propagate, first not to
  return how.propagate ? pick(e, is_nan(e, fx), x, r) : pick(e, is_nan(e, fy), x, r);
}

LLVMValueRef tg_llvm_float_least(tg_llvm *e, LLVMValueRef x, LLVMValueRef y, tg_llvm_least how) {
  const bool native = e->family->least && tg_llvm_like_value(x, e->f32) == LLVMTypeOf(x);
  return native ? e->family->least(e, x, y, how) : choose(e, x, y, x, y, how);
}

static LLVMValueRef least(tg_llvm *e, const tg_op *op, bool greatest, bool propagate) {
  const int dtype = dtype_of(op);
  LLVMValueRef x = tg_llvm_in(op, 0), y = tg_llvm_in(op, 1);
  if (!is_float(dtype)) return tg_llvm_intrinsic2(e, greatest ? "llvm.smax" : "llvm.smin", x, y);
  tg_llvm_least how = {greatest, propagate, tg_llvm_never_nan(op->in[0]), tg_llvm_never_nan(op->in[1]), tg_llvm_unlike_zeros(op)};
  if (propagate ? how.y_number && !how.x_number : how.x_number && !how.y_number) {
    LLVMValueRef t = x;
    x = y, y = t;
    how.x_number = how.y_number, how.y_number = !how.x_number;
  }
  if (!tg_llvm_is_narrow(dtype)) return tg_llvm_float_least(e, x, y, how);
  return choose(e, x, y, tg_llvm_to_f32(e, dtype, x), tg_llvm_to_f32(e, dtype, y), how);
}

static void emit_min(tg_llvm *e, tg_op *op) { tg_llvm_set(op, least(e, op, false, true)); }
static void emit_max(tg_llvm *e, tg_op *op) { tg_llvm_set(op, least(e, op, true, true)); }
static void emit_minnum(tg_llvm *e, tg_op *op) { tg_llvm_set(op, least(e, op, false, false)); }
static void emit_maxnum(tg_llvm *e, tg_op *op) { tg_llvm_set(op, least(e, op, true, false)); }

// ---- logic, comparison, choice

static void emit_and(tg_llvm *e, tg_op *op) { tg_llvm_set(op, LLVMBuildAnd(B, tg_llvm_in(op, 0), tg_llvm_in(op, 1), "")); }
static void emit_or(tg_llvm *e, tg_op *op) { tg_llvm_set(op, LLVMBuildOr(B, tg_llvm_in(op, 0), tg_llvm_in(op, 1), "")); }
static void emit_xor(tg_llvm *e, tg_op *op) { tg_llvm_set(op, LLVMBuildXor(B, tg_llvm_in(op, 0), tg_llvm_in(op, 1), "")); }

static void emit_compare(tg_llvm *e, tg_op *op) {
  static const struct {
    LLVMIntPredicate i, u;
    LLVMRealPredicate f;
  } predicates[] = {{LLVMIntEQ, LLVMIntEQ, LLVMRealOEQ},   {LLVMIntNE, LLVMIntNE, LLVMRealUNE},   {LLVMIntSLT, LLVMIntULT, LLVMRealOLT},
                    {LLVMIntSLE, LLVMIntULE, LLVMRealOLE}, {LLVMIntSGT, LLVMIntUGT, LLVMRealOGT}, {LLVMIntSGE, LLVMIntUGE, LLVMRealOGE}};
  const int dtype = dtype_of(op), row = op->code - TG_OP_EQ; // EQ NE LT LE GT GE, in the table's order
  LLVMValueRef x = tg_llvm_in(op, 0), y = tg_llvm_in(op, 1), r;
  if (tg_llvm_is_narrow(dtype)) r = LLVMBuildFCmp(B, predicates[row].f, widen(e, op, 0), widen(e, op, 1), "");
  else if (is_float(dtype)) r = LLVMBuildFCmp(B, predicates[row].f, x, y, "");
  else r = LLVMBuildICmp(B, dtype == TG_I1 ? predicates[row].u : predicates[row].i, x, y, ""); // true is greater than false
  tg_llvm_set(op, r);
}

static void emit_select(tg_llvm *e, tg_op *op) { tg_llvm_set(op, pick(e, tg_llvm_in(op, 0), tg_llvm_in(op, 1), tg_llvm_in(op, 2))); }

const tg_llvm_row tg_llvm_rows_arith[] = {{TG_OP_CONST, emit_const},
                                          {TG_OP_NEG, emit_neg},
                                          {TG_OP_ABS, emit_abs},
                                          {TG_OP_NOT, emit_not},
                                          {TG_OP_EXP, emit_function},
                                          {TG_OP_EXP2, emit_function},
                                          {TG_OP_LOG, emit_function},
                                          {TG_OP_LOG2, emit_function},
                                          {TG_OP_SIGMOID, emit_function},
                                          {TG_OP_TANH, emit_function},
                                          {TG_OP_SIN, emit_function},
                                          {TG_OP_COS, emit_function},
                                          {TG_OP_SQRT, emit_sqrt},
                                          {TG_OP_RSQRT, emit_rsqrt},
                                          {TG_OP_FLOOR, emit_floor},
                                          {TG_OP_CEIL, emit_ceil},
                                          {TG_OP_TRUNC, emit_trunc},
                                          {TG_OP_RINT, emit_rint},
                                          {TG_OP_ISNAN, emit_isnan},
                                          {TG_OP_ADD, emit_add},
                                          {TG_OP_SUB, emit_sub},
                                          {TG_OP_MUL, emit_mul},
                                          {TG_OP_DIV, emit_div},
                                          {TG_OP_REM, emit_rem},
                                          {TG_OP_MIN, emit_min},
                                          {TG_OP_MAX, emit_max},
                                          {TG_OP_MINNUM, emit_minnum},
                                          {TG_OP_MAXNUM, emit_maxnum},
                                          {TG_OP_AND, emit_and},
                                          {TG_OP_OR, emit_or},
                                          {TG_OP_XOR, emit_xor},
                                          {TG_OP_SHL, emit_shift},
                                          {TG_OP_SHR, emit_shift},
                                          {TG_OP_EQ, emit_compare},
                                          {TG_OP_NE, emit_compare},
                                          {TG_OP_LT, emit_compare},
                                          {TG_OP_LE, emit_compare},
                                          {TG_OP_GT, emit_compare},
                                          {TG_OP_GE, emit_compare},
                                          {TG_OP_SELECT, emit_select},
                                          {TG_OP_FMA, emit_fma},
                                          {TG_OP_DOT2, emit_dot2},
                                          {0, NULL}};
