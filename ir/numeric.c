// Exact conversions between doubles and the codes of every dtype.
//
// One rule serves all IEEE-like formats: with e = max(exponent of |x|, smallest normal exponent), r = |x| / 2^(e - man) rounded to nearest
// even is at most 2^(man+1), and the code is ((e - smallest) << man) + r: subnormals have e = smallest, and a carry out of the mantissa
// lands in the exponent by itself.
#include <math.h>

#include "ir/ir.h"

// Floats and their bits.
static float f32_of(uint32_t bits) {
  float v;
  memcpy(&v, &bits, sizeof v);
  return v;
}

static double f64_of(uint64_t bits) {
  double v;
  memcpy(&v, &bits, sizeof v);
  return v;
}

static uint32_t bits_of_f32(float v) {
  uint32_t bits;
  memcpy(&bits, &v, sizeof bits);
  return bits;
}

static uint64_t bits_of_f64(double v) {
  uint64_t bits;
  memcpy(&bits, &v, sizeof bits);
  return bits;
}

static double power_of_two(int e) { return f64_of((uint64_t)(e + 1023) << 52); } // -1022 <= e <= 1023

// What the top of a format looks like.
typedef struct number_top {
  uint32_t largest, infinity, nan; // codes without sign; infinity 0 = the format has none
} number_top;

static number_top top_of(int dtype) {
  switch (dtype) {
  case TG_F16: return (number_top){0x7bff, 0x7c00, 0x7e00};
  case TG_BF16: return (number_top){0x7f7f, 0x7f80, 0x7fc0};
  case TG_E5M2: return (number_top){0x7b, 0x7c, 0x7e};
  case TG_E4M3: return (number_top){0x7e, 0, 0x7f};
  case TG_E4M3FNUZ: return (number_top){0x7f, 0, 0x80};
  default: return (number_top){0x7, 0, 0x7}; // e2m1: NaN becomes the largest, as the conversions of hardware that has the format do
  }
}

static double decode_float(int dtype, uint32_t bits) {
  const tg_dtype_row *row = &tg_dtypes[dtype];
  const number_top top = top_of(dtype);
  const uint32_t sign_bit = 1u << (row->bits - 1);
  const uint32_t magnitude = bits & (sign_bit - 1);
  const double sign = bits & sign_bit ? -1.0 : 1.0;
  if (dtype == TG_E4M3FNUZ && (bits & 0xff) == 0x80) return NAN;
  if (top.infinity && magnitude == top.infinity) return sign * INFINITY;
  if (magnitude > top.largest) return copysign(NAN, sign);
  const int e = (int)(magnitude >> row->man);
  const double m = magnitude & ((1u << row->man) - 1), one = 1u << row->man;
  if (e == 0) return sign * m * power_of_two(1 - row->bias - row->man);
  return sign * (one + m) * power_of_two(e - row->bias - row->man);
}

double tg_decode(int dtype, uint64_t bits) {
  switch (dtype) {
  case TG_I1: return (bits & 0xff) != 0;
  case TG_I8: return (int8_t)bits;
  case TG_I32: return (int32_t)bits;
  case TG_I64: return (double)(int64_t)bits;
  case TG_E8M0: return (bits & 0xff) == 0xff ? NAN : power_of_two((int)(bits & 0xff) - 127);
  case TG_F32: return f32_of((uint32_t)bits);
  case TG_F64: return f64_of(bits);
  default: return decode_float(dtype, (uint32_t)bits);
  }
}

static uint64_t encode_int(double value, int bits) {
  if (isnan(value)) return 0;
  const double limit = power_of_two(bits - 1);
  const uint64_t mask = bits == 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1;
  if (value >= limit) return mask >> 1;
  if (value <= -limit) return (UINT64_C(1) << (bits - 1)) & mask;
  return (uint64_t)(int64_t)value & mask;
}

// The nearest power of two; the tie, 1.5*2^e, goes up, as ml_dtypes has it.
static uint64_t encode_e8m0(double value, tg_round_mode mode) {
  if (!(value > 0)) return 0xff; // NaN, zero and negative numbers
  if (isinf(value)) return mode == TG_ROUND_SAT ? 0xfe : 0xff;
  int e;
  const double fraction = frexp(value, &e); // value = fraction * 2^e, fraction in [0.5, 1)
  int code = e - 1 + 127;
  if (code < 0) return 0; // 2^-127 is the smallest there is and no zero to fall to
  if (fraction >= 0.75) code++;
  if (code > 0xfe) return mode == TG_ROUND_SAT ? 0xfe : 0xff;
  return (uint64_t)code;
}

static uint64_t encode_float(int dtype, double value, tg_round_mode mode) {
  const tg_dtype_row *row = &tg_dtypes[dtype];
  const number_top top = top_of(dtype);
  uint32_t sign = signbit(value) ? 1u << (row->bits - 1) : 0;
  if (isnan(value)) return dtype == TG_E4M3FNUZ || dtype == TG_E2M1 ? top.nan : sign | top.nan;
  const double magnitude = fabs(value);
  const uint64_t raw = bits_of_f64(magnitude);
  const int smallest = 1 - row->bias;
  const int exponent = (int)(raw >> 52) - 1023; // of a double's subnormal: below every smallest, which is all that matters
  uint64_t code;
  if (exponent > row->bias + 1) {
    code = UINT32_MAX; // beyond every format's top, Inf included
  } else {
    const int e = exponent > smallest ? exponent : smallest;
    code = ((uint64_t)(e - smallest) << row->man) + (uint64_t)rint(magnitude * power_of_two(row->man - e));
  }
  if (code > top.largest) {
    if (top.infinity) code = top.infinity;
    else if (mode == TG_ROUND_SAT || dtype == TG_E2M1) code = top.largest;
    else return dtype == TG_E4M3FNUZ ? top.nan : sign | top.nan;
  }
  if (dtype == TG_E4M3FNUZ && code == 0) sign = 0; // the code of -0 is NaN
  return sign | code;
}

uint64_t tg_encode(int dtype, double value, tg_round_mode mode) {
  switch (dtype) {
  case TG_I1: return value != 0;
  case TG_I8: return encode_int(value, 8);
  case TG_I32: return encode_int(value, 32);
  case TG_I64: return encode_int(value, 64);
  case TG_E8M0: return encode_e8m0(value, mode);
  case TG_F32: return bits_of_f32((float)value);
  case TG_F64: return bits_of_f64(value);
  default: return encode_float(dtype, value, mode);
  }
}

float tg_bf16_to_f32(uint16_t bits) { return f32_of((uint32_t)bits << 16); }

uint16_t tg_f32_to_bf16(float value) {
  const uint32_t bits = bits_of_f32(value);
  if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)((bits >> 16 & 0x8000) | 0x7fc0);
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

uint8_t tg_f32_to_e4m3(float value, tg_round_mode mode) {
  uint32_t bits = bits_of_f32(value);
  const uint8_t sign = (uint8_t)(bits >> 24 & 0x80);
  bits &= 0x7fffffff;
  if (bits > 0x7f800000) return sign | 0x7f;
  uint32_t code;
  if (bits >= 0x43f00000) { // 480, the first that cannot round to 448 (464, the tie, goes to the even 448)
    code = 0x7f;
  } else if (bits < 0x3c800000) { // below 2^-6: adding 2^14 leaves multiples of 2^-9, rounded to nearest even by the addition itself
    code = bits_of_f32(f32_of(bits) + 16384.0f) - 0x46800000;
  } else {
    code = ((bits + 0x7ffff + (bits >> 20 & 1)) >> 20) - (120 << 3); // rebias 127 to 7
  }
  if (code > 0x7e) code = mode == TG_ROUND_SAT ? 0x7e : 0x7f;
  return sign | (uint8_t)code;
}

// ---- fused multiply-add

// Rounded to odd twice (S. Boldo and G. Melquiond, "Emulation of FMA and correctly rounded sums", IEEE Trans. Comput. 57(4), 2008): an
// inexact number keeps an odd last bit, so that no later rounding to two bits less or fewer takes it for a tie.
float tg_fma_narrow(float x, float y, float z) {
  const double product = (double)x * y, sum = product + z, part = sum - product; // the product is exact
  const double error = (product - (sum - part)) + (z - part);                    // so is this (Knuth's two-sum); NaN beside an Inf
  double odd = sum;
  uint64_t bits;
  memcpy(&bits, &sum, sizeof bits);
  if ((error < 0 || error > 0) && !(bits & 1)) {
    bits += (error > 0) == (sum > 0) ? 1 : UINT64_MAX;
    memcpy(&odd, &bits, sizeof odd);
  }
  float near = (float)odd;
  uint32_t low;
  memcpy(&low, &near, sizeof low);
  if (isnan(odd) || (double)near == odd) return near;
  if (fabs((double)near) > fabs(odd)) low--;
  low |= 1;
  memcpy(&near, &low, sizeof near);
  return near;
}
