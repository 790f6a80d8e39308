// Conversions between all dtypes, exact, in code that vectorises and calls no library.
//
// Narrow floats (f16, bf16, the 8-bit formats, e2m1) are decoded to f32, which holds them all, and encoded from f32 in integer arithmetic;
// from f64 and i64 the value is first brought to f32 (f64) rounded to odd, which keeps enough of what was cut off for the second rounding
// to come out as if it were the only one (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums", IEEE Trans. Computers 57,
// 2008).
#include <math.h>

#include "codegen/llvm_short.h"

bool tg_llvm_is_narrow(int dtype) {
  const char cls = tg_dtypes[dtype].cls;
  return (cls == 'f' || cls == 'e') && tg_dtypes[dtype].bits < 32;
}

#define B e->b

// ---- what the top of each format looks like (codes without sign)

typedef struct format_top {
  int largest, infinity, nan; // infinity 0 = none
} format_top;

static format_top top_of(int dtype) {
  switch (dtype) {
  case TG_F16: return (format_top){0x7bff, 0x7c00, 0x7e00};
  case TG_BF16: return (format_top){0x7f7f, 0x7f80, 0x7fc0};
  case TG_E5M2: return (format_top){0x7b, 0x7c, 0x7e};
  case TG_E4M3: return (format_top){0x7e, 0, 0x7f};
  case TG_E4M3FNUZ: return (format_top){0x7f, 0, 0x80};
  default: return (format_top){0x7, 0, 0x7}; // e2m1: no NaN, it becomes the largest
  }
}

// ---- pairs' order (llvm_pairs.c)

static LLVMValueRef join_halves(tg_llvm *e, LLVMValueRef even, LLVMValueRef odd) {
  const unsigned n = 2 * tg_llvm_lanes(LLVMTypeOf(even));
  int *index = TG_NEWN(e->arena, int, n);
  for (unsigned i = 0; i < n; i++) index[i] = (int)i;
  return tg_llvm_shuffle(e, even, odd, n, index);
}

static LLVMValueRef half(tg_llvm *e, LLVMValueRef v, unsigned which) {
  const unsigned n = tg_llvm_lanes(LLVMTypeOf(v)) / 2;
  int *index = TG_NEWN(e->arena, int, n);
  for (unsigned i = 0; i < n; i++) index[i] = (int)(i + which * n);
  return tg_llvm_shuffle(e, v, NULL, n, index);
}

// 8-bit codes in 32-bit elements, nothing above them, narrowed and brought into their own order.
static LLVMValueRef interleave_bytes(tg_llvm *e, LLVMValueRef codes) {
  LLVMValueRef both = LLVMBuildOr(B, half(e, codes, 0), shlk(e, half(e, codes, 1), 8), "");
  return LLVMBuildBitCast(B, cut_to(e, both, e->i16), LLVMVectorType(e->i8, tg_llvm_lanes(LLVMTypeOf(codes))), "");
}

static LLVMValueRef to_bytes(tg_llvm *e, LLVMValueRef codes) { return e->in_pairs ? interleave_bytes(e, codes) : cut_to(e, codes, e->i8); }

// The lower 16 bits of each of `even` and the upper 16 of each of `odd`, in turn.
static LLVMValueRef join_words(tg_llvm *e, LLVMValueRef even, LLVMValueRef odd) {
  const unsigned n = 2 * tg_llvm_lanes(LLVMTypeOf(even));
  LLVMTypeRef type = LLVMVectorType(e->i16, n);
  int *index = TG_NEWN(e->arena, int, n);
  for (unsigned i = 0; i < n; i++) index[i] = (int)(i % 2 ? n + i : i);
  return tg_llvm_shuffle(e, LLVMBuildBitCast(B, even, type, ""), LLVMBuildBitCast(B, odd, type, ""), n, index);
}

// The upper or lower halves of 32-bit elements, in their own order.
static LLVMValueRef interleave_uppers(tg_llvm *e, LLVMValueRef bits) {
  return join_words(e, shrk(e, half(e, bits, 0), 16), half(e, bits, 1));
}
static LLVMValueRef interleave_lowers(tg_llvm *e, LLVMValueRef bits) {
  return join_words(e, half(e, bits, 0), shlk(e, half(e, bits, 1), 16));
}

// ---- decode

// bits of binary16, in i16, to f32.
static LLVMValueRef half_to_f32(tg_llvm *e, LLVMValueRef bits) {
  return LLVMBuildFPExt(B, tg_llvm_bitcast(e, bits, e->half), tg_llvm_like_value(bits, e->f32), "");
}

// Any IEEE-like format in integers: normals move to f32's place and are rebiased, subnormals are small integers times a power of two.
static LLVMValueRef decode_by_integers(tg_llvm *e, int dtype, LLVMValueRef bits) {
  const tg_dtype_row *row = &tg_dtypes[dtype];
  const format_top top = top_of(dtype);
  const int sign_bit = row->bits - 1;
  LLVMValueRef wide = zext(e, bits, e->i32);
  LLVMValueRef magnitude = andk(e, wide, (1 << sign_bit) - 1);
  LLVMValueRef sign = shlk(e, andk(e, wide, 1 << sign_bit), 31 - sign_bit);
  LLVMValueRef normal = addk(e, shlk(e, magnitude, 23 - row->man), (int64_t)(127 - row->bias) << 23);
  LLVMValueRef count = LLVMBuildSIToFP(B, magnitude, tg_llvm_like_value(bits, e->f32), "");
  LLVMValueRef subnormal = tg_llvm_bitcast(e, mulk(e, count, ldexp(1, 1 - row->bias - row->man)), e->i32);
  LLVMValueRef r = pick(e, icmpk(e, LLVMIntULT, magnitude, 1 << row->man), subnormal, normal);
  if (top.infinity) { // Inf and NaN: exponent all ones, mantissa kept
    LLVMValueRef special = ork(e, shlk(e, magnitude, 23 - row->man), 0x7f800000);
    r = pick(e, icmpk(e, LLVMIntUGE, magnitude, top.infinity), special, r);
  } else if (dtype == TG_E4M3) {
    r = pick(e, icmpk(e, LLVMIntEQ, magnitude, top.nan), ki(r, 0x7fc00000), r);
  }
  r = LLVMBuildOr(B, r, sign, "");
  if (dtype == TG_E4M3FNUZ) r = pick(e, icmpk(e, LLVMIntEQ, bits, 0x80), ki(r, 0x7fc00000), r);
  return tg_llvm_bitcast(e, r, e->f32);
}

// e4m3 and e4m3fnuz by way of binary16: the byte's exponent and mantissa fit into binary16's (subnormals included), 2^-8 or 2^-7 too small.
static LLVMValueRef decode_e4m3_by_half(tg_llvm *e, int dtype, LLVMValueRef bits) {
  LLVMValueRef wide = LLVMBuildSExt(B, bits, tg_llvm_like_value(bits, e->i16), "");
  LLVMValueRef half = andk(e, shlk(e, wide, 7), 0xbfff); // s 0 eeee mmm 0000000
  LLVMValueRef nan;
  if (dtype == TG_E4M3) nan = icmpk(e, LLVMIntEQ, andk(e, half, 0x7fff), 0x3f80);
  else nan = icmpk(e, LLVMIntEQ, half, 0x8000);
  LLVMValueRef top = LLVMBuildSExt(B, nan, LLVMTypeOf(half), "");
  half = LLVMBuildXor(B, half, andk(e, top, dtype == TG_E4M3 ? 0x4000 : 0xfe00), ""); // exponent 11111, mantissa not 0: NaN
  return mulk(e, half_to_f32(e, half), dtype == TG_E4M3 ? 256 : 128);
}

// bf16 to f32 in pairs' order.
static LLVMValueRef decode_pairs(tg_llvm *e, LLVMValueRef bits) {
  const unsigned n = tg_llvm_lanes(LLVMTypeOf(bits));
  LLVMValueRef words = LLVMBuildBitCast(B, bits, LLVMVectorType(e->i32, n / 2), "");
  return join_halves(e, tg_llvm_bitcast(e, shlk(e, words, 16), e->f32), tg_llvm_bitcast(e, andk(e, words, 0xffff0000), e->f32));
}

LLVMValueRef tg_llvm_to_f32(tg_llvm *e, int dtype, LLVMValueRef bits) {
  switch (dtype) {
  case TG_F32: return bits;
  case TG_BF16: return e->in_pairs ? decode_pairs(e, bits) : tg_llvm_bitcast(e, shlk(e, zext(e, bits, e->i32), 16), e->f32);
  case TG_E8M0: { // 2^(code-127): an exponent field; code 0 is the subnormal 2^-127, 0xff NaN
    LLVMValueRef wide = zext(e, bits, e->i32), r = shlk(e, wide, 23);
    r = pick(e, icmpk(e, LLVMIntEQ, wide, 0), ki(r, 0x00400000), r);
    r = pick(e, icmpk(e, LLVMIntEQ, wide, 0xff), ki(r, 0x7fc00000), r);
    return tg_llvm_bitcast(e, r, e->f32);
  }
  case TG_F16:
    if (e->f16c) return half_to_f32(e, bits);
    break;
  case TG_E5M2:
    if (e->f16c) return half_to_f32(e, shlk(e, zext(e, bits, e->i16), 8));
    break;
  case TG_E4M3:
  case TG_E4M3FNUZ:
    if (e->f16c) return decode_e4m3_by_half(e, dtype, bits);
    break;
  case TG_E2M1:
    if (e->f16c) { // s ee m to binary16's place, 2^-14 too small
      LLVMValueRef wide = zext(e, bits, e->i16);
      LLVMValueRef half = LLVMBuildOr(B, shlk(e, andk(e, wide, 8), 12), shlk(e, andk(e, wide, 7), 9), "");
      return mulk(e, half_to_f32(e, half), 16384);
    }
    break;
  default: tg_llvm_fail(e, "%s is not a float", tg_dtypes[dtype].name);
  }
  return decode_by_integers(e, dtype, bits);
}

// ---- encode

static LLVMValueRef encode_bf16(tg_llvm *e, LLVMValueRef x) {
  LLVMValueRef bits = tg_llvm_bitcast(e, x, e->i32);
  LLVMValueRef rounded = LLVMBuildAdd(B, bits, addk(e, andk(e, shrk(e, bits, 16), 1), 0x7fff), "");
  // Rounding may carry a NaN over into another number; all bits set are one again.
  LLVMValueRef r = rounded; // of a short one, its upper half stays
  if (!e->in_short) r = LLVMBuildOr(B, rounded, LLVMBuildSExt(B, is_nan(e, x), LLVMTypeOf(bits), ""), "");
  return e->in_pairs ? interleave_uppers(e, r) : cut_to(e, shrk(e, r, 16), e->i16);
}

// The nearest power of two, ties up; nothing below 2^-127; NaN for NaN and what is not positive.
static LLVMValueRef encode_e8m0(tg_llvm *e, LLVMValueRef x, tg_round_mode mode) {
  LLVMValueRef bits = tg_llvm_bitcast(e, x, e->i32);
  LLVMValueRef code = shrk(e, addk(e, bits, 0x400000), 23); // exponent, plus one from 1.5 on
  // Subnormals: code 0 is 2^-127 = 0x400000 as bits, and 1.5 times that is where 2^-126, code 1, begins.
  LLVMValueRef low = zext(e, icmpk(e, LLVMIntUGE, bits, 0x600000), e->i32);
  code = pick(e, icmpk(e, LLVMIntULT, bits, 0x800000), low, code);
  if (mode == TG_ROUND_SAT) code = pick(e, icmpk(e, LLVMIntUGT, code, 0xfe), ki(code, 0xfe), code);
  LLVMValueRef positive = LLVMBuildFCmp(B, LLVMRealOGT, x, kf(x, 0), "");
  return to_bytes(e, pick(e, positive, code, ki(code, 0xff)));
}

static double power(int e) { return ldexp(1, e); }

// Value of a code without sign, which may be the one above the largest, as though the format went on.
static double value_of(int dtype, int code) {
  const tg_dtype_row *row = &tg_dtypes[dtype];
  const int exponent = code >> row->man, mantissa = code & ((1 << row->man) - 1);
  return (1 + mantissa * power(-row->man)) * power(exponent - row->bias);
}

// To an IEEE-like format of fewer than 8 exponent bits. Magnitudes are first limited to the largest, or to the next, whose code is that of
// Inf or NaN. Then one addition rounds: with e the exponent, at least that of the smallest normal, adding 2^(e + 23 - man) leaves |x| /
// 2^(e - man), rounded to nearest even, in the low bits of the sum. The code is that count plus (e - smallest) << man; the constant part of
// the latter is added through the low bits of the power of two, the rest is its exponent field.
static LLVMValueRef encode_by_addition(tg_llvm *e, int dtype, LLVMValueRef x, tg_round_mode mode) {
  const tg_dtype_row *row = &tg_dtypes[dtype];
  const format_top top = top_of(dtype);
  const int cut = 23 - row->man, smallest = 1 - row->bias, sign_bit = 1 << (row->bits - 1);
  const bool saturate = !top.infinity && (mode == TG_ROUND_SAT || dtype == TG_E2M1 || dtype == TG_E4M3FNUZ);
  LLVMValueRef bits = tg_llvm_bitcast(e, x, e->i32);
  LLVMValueRef size = tg_llvm_bitcast(e, andk(e, bits, 0x7fffffff), e->f32);
  LLVMValueRef limit = kf(x, value_of(dtype, saturate ? top.largest : top.largest + 1));
  LLVMValueRef limited = pick(e, LLVMBuildFCmp(B, LLVMRealOLT, limit, size, ""), limit, size);
  LLVMValueRef exponent = andk(e, tg_llvm_bitcast(e, limited, e->i32), 0x7f800000);
  exponent = tg_llvm_intrinsic2(e, "llvm.umax", exponent, ki(exponent, (int64_t)(127 + smallest) << 23));
  const int64_t constant = (int64_t)(127 + smallest + cut) << row->man;
  LLVMValueRef magic = addk(e, exponent, ((int64_t)cut << 23) + (-constant & (sign_bit - 1)));
  LLVMValueRef sum = LLVMBuildFAdd(B, limited, tg_llvm_bitcast(e, magic, e->f32), "");
  LLVMValueRef code = LLVMBuildAdd(B, tg_llvm_bitcast(e, sum, e->i32), shrk(e, magic, cut), "");
  LLVMValueRef nan = is_nan(e, x);
  if (dtype == TG_E4M3) code = LLVMBuildOr(B, code, LLVMBuildSExt(B, nan, LLVMTypeOf(code), ""), ""); // its NaN has all bits set
  else if (top.infinity) code = pick(e, nan, ki(code, top.nan), code);
  // The code's low bits under the sign; what is above both is nothing, so that narrowing need not mask.
  LLVMValueRef sign = shrk(e, bits, 32 - row->bits);
  LLVMValueRef r = LLVMBuildXor(B, andk(e, LLVMBuildXor(B, code, sign, ""), sign_bit - 1), sign, "");
  if (dtype == TG_E2M1) r = pick(e, nan, ki(r, top.nan), r);
  if (dtype == TG_E4M3FNUZ) { // one zero, one NaN; from the middle between the largest and the next on, overflow
    r = pick(e, icmpk(e, LLVMIntEQ, r, sign_bit), ki(r, 0), r);
    if (mode == TG_ROUND_IEEE)
      nan = LLVMBuildFCmp(B, LLVMRealUGE, size, kf(x, (value_of(dtype, top.largest) + value_of(dtype, top.largest + 1)) / 2), "");
    r = pick(e, nan, ki(r, top.nan), r);
  }
  return row->bits > 8 ? cut_to(e, r, e->i16) : to_bytes(e, r);
}

// e4m3 where multiplication and addition fuse. With E the power of two of the magnitude's exponent, at least the smallest normal's, v +
// 2^20 E leaves v / (E / 8), rounded to nearest even, in the low bits of the sum. The factor of E holds what else the lower half of the sum
// must have so that adding E's exponent field, moved to 8 per power, makes the code: nothing has to be masked before the halves are packed.
// A NaN counts as the largest number in the sum, but as NaN in E: the sum is Inf, its lower half 0, and what E adds lies above every code.
// The lower half is 0 for a short NaN, too.
static LLVMValueRef e4m3_sum(tg_llvm *e, LLVMValueRef x, double limit) {
  const tg_llvm_least least = {.x_number = true, .y_number = true}, greatest = {.greatest = true, .x_number = true, .y_number = true};
  const tg_llvm_least least_or_nan = {.propagate = true, .x_number = true, .y_number = true};
  LLVMValueRef top = kf(x, limit), size = tg_llvm_intrinsic1(e, "llvm.fabs", x);
  LLVMValueRef or_nan = tg_llvm_float_least(e, top, size, least_or_nan);
  LLVMValueRef limited = e->in_short ? or_nan : tg_llvm_float_least(e, size, top, least);
  LLVMValueRef power_of_two = tg_llvm_bitcast(e, andk(e, tg_llvm_bitcast(e, or_nan, e->i32), 0x7f800000), e->f32);
  power_of_two = tg_llvm_float_least(e, power_of_two, kf(x, 0x1p-6), greatest);
  LLVMTypeRef type = LLVMTypeOf(x);
  const double factor = 0x1p20 + (0x10000 - ((127 - 6) << 3)) / 8;
  LLVMValueRef sum = tg_llvm_intrinsic(e, "llvm.fma", 1, &type, 3, (LLVMValueRef[]){power_of_two, kf(x, factor), limited});
  return LLVMBuildAdd(B, tg_llvm_bitcast(e, sum, e->i32), shrk(e, tg_llvm_bitcast(e, power_of_two, e->i32), 20), "");
}

static LLVMValueRef encode_e4m3(tg_llvm *e, LLVMValueRef x, tg_round_mode mode) {
  LLVMValueRef sum = e4m3_sum(e, x, value_of(TG_E4M3, mode == TG_ROUND_SAT ? 0x7e : 0x7f)), bits = tg_llvm_bitcast(e, x, e->i32);
  LLVMValueRef code = e->in_pairs ? interleave_lowers(e, sum) : cut_to(e, sum, e->i16);
  LLVMValueRef sign = e->in_pairs ? interleave_uppers(e, bits) : cut_to(e, shrk(e, bits, 16), e->i16);
  code = tg_llvm_intrinsic2(e, "llvm.umin", code, ki(code, 0x7f));
  return cut_to(e, LLVMBuildOr(B, code, andk(e, shrk(e, sign, 8), 0x80), ""), e->i8);
}

LLVMValueRef tg_llvm_from_f32(tg_llvm *e, int dtype, LLVMValueRef x, tg_round_mode mode) {
  switch (dtype) {
  case TG_F32: return x;
  case TG_BF16: return encode_bf16(e, x);
  case TG_E8M0: return encode_e8m0(e, x, mode);
  case TG_F16:
    if (e->f16c) return tg_llvm_bitcast(e, LLVMBuildFPTrunc(B, x, tg_llvm_like_value(x, e->half), ""), e->i16);
    return encode_by_addition(e, dtype, x, mode);
  case TG_E4M3: return e->fma ? encode_e4m3(e, x, mode) : encode_by_addition(e, dtype, x, mode);
  default: return encode_by_addition(e, dtype, x, mode);
  }
}

// ---- f64

// f64 to f32 rounded to odd: exact values as they are, others to the neighbour whose last bit is 1.
static LLVMValueRef odd_f32(tg_llvm *e, LLVMValueRef x) {
  LLVMValueRef near = LLVMBuildFPTrunc(B, x, tg_llvm_like_value(x, e->f32), "");
  LLVMValueRef back = LLVMBuildFPExt(B, near, LLVMTypeOf(x), "");
  LLVMValueRef bits = tg_llvm_bitcast(e, near, e->i32);
  LLVMValueRef away = LLVMBuildFCmp(B, LLVMRealOGT, tg_llvm_intrinsic1(e, "llvm.fabs", back), tg_llvm_intrinsic1(e, "llvm.fabs", x), "");
  LLVMValueRef cut = pick(e, away, addk(e, bits, -1), bits);       // towards zero
  LLVMValueRef exact = LLVMBuildFCmp(B, LLVMRealUEQ, back, x, ""); // NaN counts as exact
  return tg_llvm_bitcast(e, pick(e, exact, bits, ork(e, cut, 1)), e->f32);
}

// Rounded once.
static LLVMValueRef from_f64(tg_llvm *e, int dtype, LLVMValueRef x, tg_round_mode mode) {
  if (dtype == TG_F64) return x;
  if (dtype == TG_F32) return LLVMBuildFPTrunc(B, x, tg_llvm_like_value(x, e->f32), "");
  return tg_llvm_from_f32(e, dtype, odd_f32(e, x), mode);
}

// i64 to f64 rounded to odd at 2^-53 of its size, so that a second rounding is as good as one.
static LLVMValueRef odd_f64_of_i64(tg_llvm *e, LLVMValueRef x) {
  // |x| >= 2^53: the low 11 bits become one sticky bit; the rest has at most 53 bits and converts exactly.
  LLVMValueRef low = andk(e, x, 0x7ff);
  LLVMValueRef sticky = pick(e, icmpk(e, LLVMIntEQ, low, 0), low, ki(low, 0x400));
  LLVMValueRef cut = LLVMBuildOr(B, andk(e, x, ~INT64_C(0x7ff)), sticky, "");
  // x + 2^53 < 2^54 unsigned: |x| fits
  LLVMValueRef fits = LLVMBuildICmp(B, LLVMIntULE, addk(e, x, INT64_C(1) << 53), ki(x, INT64_C(1) << 54), "");
  return LLVMBuildSIToFP(B, pick(e, fits, x, cut), tg_llvm_like_value(x, e->f64), "");
}

// ---- between kinds

static LLVMValueRef int_to_float(tg_llvm *e, int from, int to, LLVMValueRef x, tg_round_mode mode) {
  if (from == TG_I1) x = zext(e, x, e->i32);
  if (to == TG_F32) return LLVMBuildSIToFP(B, x, tg_llvm_like_value(x, e->f32), "");
  if (to == TG_F64) return LLVMBuildSIToFP(B, x, tg_llvm_like_value(x, e->f64), "");
  if (from == TG_I1 || from == TG_I8) return tg_llvm_from_f32(e, to, LLVMBuildSIToFP(B, x, tg_llvm_like_value(x, e->f32), ""), mode);
  if (from == TG_I64) return from_f64(e, to, odd_f64_of_i64(e, x), mode);
  return from_f64(e, to, LLVMBuildSIToFP(B, x, tg_llvm_like_value(x, e->f64), ""), mode); // i32 fits f64
}

static LLVMValueRef float_to_int(tg_llvm *e, int from, int to, LLVMValueRef x) {
  if (from != TG_F64) x = tg_llvm_to_f32(e, from, x);
  LLVMTypeRef types[] = {tg_llvm_like_value(x, tg_llvm_element(e, to)), LLVMTypeOf(x)};
  return tg_llvm_intrinsic(e, "llvm.fptosi.sat", 2, types, 1, &x); // truncates, saturates, NaN gives 0
}

LLVMValueRef tg_llvm_cast(tg_llvm *e, int from, int to, LLVMValueRef x, tg_round_mode mode) {
  if (from == to) return x;
  const bool float_from = tg_dtypes[from].cls == 'f' || tg_dtypes[from].cls == 'e',
             float_to = tg_dtypes[to].cls == 'f' || tg_dtypes[to].cls == 'e';
  if (!float_from && float_to) return int_to_float(e, from, to, x, mode);
  if (float_from && !float_to) return float_to_int(e, from, to, x);
  if (!float_from) {
    if (from == TG_I1) return zext(e, x, tg_llvm_element(e, to));
    LLVMTypeRef type = tg_llvm_like_value(x, tg_llvm_element(e, to));
    return tg_dtypes[to].bits > tg_dtypes[from].bits ? LLVMBuildSExt(B, x, type, "") : LLVMBuildTrunc(B, x, type, "");
  }
  if (from == TG_F64) return from_f64(e, to, x, mode);
  LLVMValueRef wide = tg_llvm_to_f32(e, from, x);
  if (to == TG_F64) return LLVMBuildFPExt(B, wide, tg_llvm_like_value(x, e->f64), "");
  if (to == TG_BF16 && tg_dtypes[from].bits <= 8) // at most 3 mantissa bits and within range: the upper half is the value
    return cut_to(e, shrk(e, tg_llvm_bitcast(e, wide, e->i32), 16), e->i16);
  return tg_llvm_from_f32(e, to, wide, mode);
}

// ---- ops

static void emit_cast(tg_llvm *e, tg_op *op) {
  const int from = op->in[0]->type.dtype, to = op->out[0]->type.dtype;
  const char *mode = tg_attr_str(op, "mode", "ieee");
  e->in_pairs = e->pairs && ((to == TG_F32 && from == TG_BF16 && e->pairs[op->out[0]->id]) ||
                             (from == TG_F32 && tg_llvm_is_narrow(to) && e->pairs[op->in[0]->id]));
  e->in_short = e->short_nan && e->short_nan[op->out[0]->id];
  tg_llvm_set(op, tg_llvm_cast(e, from, to, tg_llvm_in(op, 0), strcmp(mode, "sat") ? TG_ROUND_IEEE : TG_ROUND_SAT));
  e->in_pairs = e->in_short = false;
}

static void emit_bitcast(tg_llvm *e, tg_op *op) {
  const int from = op->in[0]->type.dtype, to = op->out[0]->type.dtype;
  LLVMValueRef x = tg_llvm_in(op, 0);
  if (from == TG_I1 && to != TG_I1) x = zext(e, x, e->i8);
  if (to == TG_I1 && from != TG_I1) x = icmpk(e, LLVMIntNE, x, 0); // any byte but 0 reads as true
  else if (to != TG_I1) x = tg_llvm_bitcast(e, x, tg_llvm_element(e, to));
  tg_llvm_set(op, x);
}

// Elements part, part + 4, … : words whose upper 12 bits are a code with its sign spread, moved to the top of the lane and masked.
static LLVMValueRef decode_part(tg_llvm *e, LLVMValueRef bits, int part) {
  const unsigned n = tg_llvm_lanes(LLVMTypeOf(bits));
  LLVMValueRef words = LLVMBuildBitCast(B, bits, LLVMVectorType(e->i16, n / 2), "");
  if (part % 2 == 0) words = shlk(e, words, 8);
  words = LLVMBuildAShr(B, words, ki(words, 4), "");
  LLVMValueRef lanes = LLVMBuildBitCast(B, words, LLVMVectorType(e->i32, n / 4), "");
  if (part < 2) lanes = shlk(e, lanes, 16);
  return tg_llvm_bitcast(e, andk(e, lanes, 0x87f00000), e->f32); // s 0000 eeee mmm 0…
}

// The code's exponent and mantissa in the place of f32's, 2^-120 too small, or of binary16's, 2^-8 too small; NaN codes are numbers there.
static void emit_decode(tg_llvm *e, tg_op *op) {
  LLVMValueRef bits = tg_llvm_in(op, 0);
  if (tg_find_attr(op, "part")) {
    tg_llvm_set(op, decode_part(e, bits, (int)tg_attr_int(op, "part", 0)));
  } else if (e->f16c) {
    LLVMValueRef wide = LLVMBuildSExt(B, bits, tg_llvm_like_value(bits, e->i16), "");
    tg_llvm_set(op, half_to_f32(e, andk(e, shlk(e, wide, 7), 0xbfff)));
  } else {
    tg_llvm_set(op, mulk(e, tg_llvm_to_f32(e, TG_E4M3, bits), 1.0 / 256));
  }
}

// ---- pairs of bf16

// Byte `high` of the bf16 that a code without sign stands for.
static int byte_of_code(int code, int high) {
  const float x = code == 0x7f ? NAN : code < 8 ? (float)code * 0x1p-9f : (float)value_of(TG_E4M3, code);
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  if (code == 0x7f) bits = 0x7fc00000;
  return (int)(bits >> (high ? 24 : 16) & 0xff);
}

static LLVMValueRef look_up(tg_llvm *e, LLVMValueRef codes, int high) {
  LLVMValueRef half[2], element[64];
  for (int h = 0; h < 2; h++) {
    for (int i = 0; i < 64; i++) element[i] = LLVMConstInt(e->i8, (unsigned)byte_of_code(64 * h + i, high), false);
    half[h] = LLVMConstVector(element, 64);
  }
  return tg_llvm_intrinsic(e, "llvm.x86.avx512.vpermi2var.qi.512", 0, NULL, 3, (LLVMValueRef[]){half[0], codes, half[1]});
}

// 64 codes by table, their sign put over it. Element i of the result is made of codes step i and step i + second.
static LLVMValueRef pairs_by_table(tg_llvm *e, LLVMValueRef codes, int step, int second) {
  LLVMValueRef low = look_up(e, codes, 0), high = LLVMBuildOr(B, look_up(e, codes, 1), andk(e, codes, 0x80), ""), word[2];
  int mask[64];
  for (int h = 0; h < 2; h++) {
    for (int i = 0; i < 16; i++)
      for (int k = 0; k < 4; k++) mask[4 * i + k] = (16 * h + i) * step + (k / 2) * second + (k % 2) * 64;
    word[h] = LLVMBuildBitCast(B, tg_llvm_shuffle(e, low, high, 64, mask), LLVMVectorType(e->i32, 16), "");
  }
  for (int i = 0; i < 32; i++) mask[i] = i;
  return tg_llvm_shuffle(e, word[0], word[1], 32, mask);
}

static void emit_pairs(tg_llvm *e, tg_op *op) {
  const int dtype = op->in[0]->type.dtype, n = op->in[0]->type.dim[0] * op->nin;
  LLVMValueRef x = tg_llvm_in(op, 0);
  int *mask = TG_NEWN(e->arena, int, n);
  if (e->byte_table && dtype == TG_E4M3 && n == 64) {
    for (int i = 0; i < n; i++) mask[i] = i;
    if (op->nin > 1) x = tg_llvm_shuffle(e, x, tg_llvm_in(op, 1), 64, mask);
    tg_llvm_set(op, pairs_by_table(e, x, op->nin > 1 ? 1 : 2, op->nin > 1 ? 32 : 1));
    return;
  }
  x = tg_llvm_cast(e, dtype, TG_BF16, x, TG_ROUND_IEEE);
  if (op->nin > 1) {
    for (int i = 0; i < n; i++) mask[i] = i / 2 + i % 2 * (n / 2);
    x = tg_llvm_shuffle(e, x, tg_llvm_cast(e, dtype, TG_BF16, tg_llvm_in(op, 1), TG_ROUND_IEEE), (unsigned)n, mask);
  }
  tg_llvm_set(op, LLVMBuildBitCast(B, x, LLVMVectorType(e->i32, (unsigned)n / 2), ""));
}

const tg_llvm_row tg_llvm_rows_cast[] = {
    {TG_OP_CAST, emit_cast}, {TG_OP_BITCAST, emit_bitcast}, {TG_OP_DECODE, emit_decode}, {TG_OP_PAIRS, emit_pairs}, {0, NULL}};
