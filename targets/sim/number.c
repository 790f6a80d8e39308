// Any small float format, exactly, from and to doubles.
#include "targets/sim/number.h"

#include <math.h>

#include "targets/sim/sim.h"

static const sim_format f16 = {5, 10, 0x7bff, 0x7c00, 0x7fff}, bf16 = {8, 7, 0x7f7f, 0x7f80, 0x7fff},
                        f32 = {8, 23, 0x7f7fffff, 0x7f800000, 0x7fffffff}, tf32 = {8, 10, 0x3fbff, 0x3fc00, 0x3ffff},
                        e4m3 = {4, 3, 0x7e, 0, 0x7f}, e5m2 = {5, 2, 0x7b, 0x7c, 0x7f};

const sim_format *sim_format_of(int type) {
  switch (type) {
  case PTX_f16:
  case PTX_f16x2: return &f16;
  case PTX_bf16:
  case PTX_bf16x2: return &bf16;
  case PTX_f32: return &f32;
  case PTX_tf32: return &tf32;
  case PTX_e4m3:
  case PTX_e4m3x2: return &e4m3;
  case PTX_e5m2:
  case PTX_e5m2x2: return &e5m2;
  default: return NULL;
  }
}

double sim_decode_float(const sim_format *f, uint32_t code) {
  const int bias = (1 << (f->exponent - 1)) - 1;
  const uint32_t sign = code >> (f->exponent + f->mantissa) & 1, magnitude = code & ((1u << (f->exponent + f->mantissa)) - 1);
  const uint32_t e = magnitude >> f->mantissa, m = magnitude & ((1u << f->mantissa) - 1);
  double x = magnitude > f->largest ? f->infinity == magnitude && f->infinity ? INFINITY : NAN
             : e == 0               ? ldexp(m, 1 - bias - f->mantissa)
                                    : ldexp(m + (1u << f->mantissa), (int)e - bias - f->mantissa);
  return sign ? -x : x;
}

static double rounded(double r, int mode, bool negative) {
  const double low = floor(r), rest = r - low;
  if (rest == 0) return low;
  switch (mode) {
  case SIM_RZ: return low;
  case SIM_RM: return negative ? low + 1 : low;
  case SIM_RP: return negative ? low : low + 1;
  case SIM_RNA: return rest >= 0.5 ? low + 1 : low;
  default: return rest > 0.5 || (rest == 0.5 && fmod(low, 2) != 0) ? low + 1 : low;
  }
}

uint32_t sim_encode_float(const sim_format *f, double x, int mode, bool saturate) {
  const bool negative = signbit(x);
  const uint32_t sign = negative ? 1u << (f->exponent + f->mantissa) : 0;
  if (isnan(x)) return f->nan;
  const bool down = mode == SIM_RZ || (mode == SIM_RM && !negative) || (mode == SIM_RP && negative); // never to infinity by rounding
  const uint32_t beyond = saturate || !f->infinity ? f->largest : f->infinity;
  if (isinf(x)) return sign | beyond;
  if (x == 0) return sign;
  const int smallest = 2 - (1 << (f->exponent - 1)); // exponent of the smallest normal number
  int e;
  frexp(x, &e);
  e = e - 1 < smallest ? smallest : e - 1;
  if (e - smallest > (1 << f->exponent)) return sign | (down ? f->largest : beyond);
  const double r = rounded(ldexp(fabs(x), f->mantissa - e), mode, negative);
  const uint32_t code = ((uint32_t)(e - smallest) << f->mantissa) + (uint32_t)r;
  return sign | (code > f->largest ? down ? f->largest : beyond : code);
}
