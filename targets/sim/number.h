// Floats of PTX as bits, small enough to be inlined into loops over lanes.
#ifndef TG_SIM_NUMBER_H
#define TG_SIM_NUMBER_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static inline float sim_f32(uint32_t bits) {
  float f;
  memcpy(&f, &bits, sizeof f);
  return f;
}
static inline uint32_t sim_f32_bits(float f) {
  uint32_t bits;
  memcpy(&bits, &f, sizeof bits);
  return bits;
}
static inline double sim_f64(uint64_t bits) {
  double d;
  memcpy(&d, &bits, sizeof d);
  return d;
}
static inline uint64_t sim_f64_bits(double d) {
  uint64_t bits;
  memcpy(&bits, &d, sizeof bits);
  return bits;
}

static inline float sim_from_bf16(uint16_t h) { return sim_f32((uint32_t)h << 16); }
// Exponent and mantissa move up; a product with 2^112 sets the bias right, of subnormals too.
static inline float sim_from_f16(uint16_t h) {
  const uint32_t magnitude = (uint32_t)(h & 0x7fff) << 13;
  const float scaled = sim_f32(magnitude) * 0x1p112f;
  const uint32_t top = (h & 0x7c00) == 0x7c00 ? magnitude | 0x7f800000 : sim_f32_bits(scaled);
  return sim_f32(top | (uint32_t)(h & 0x8000) << 16);
}
// The same with 2^120; there is no infinity.
static inline float sim_from_e4m3(uint8_t code) {
  const uint32_t magnitude = (uint32_t)(code & 0x7f) << 20;
  const uint32_t top = (code & 0x7f) == 0x7f ? 0x7fffffff : sim_f32_bits(sim_f32(magnitude) * 0x1p120f);
  return sim_f32(top | (uint32_t)(code & 0x80) << 24);
}
// To nearest even; NaN becomes 0x7fff, as cvt gives it (ISA 9.7.9, cvt).
static inline uint16_t sim_to_bf16(float f) {
  const uint32_t x = sim_f32_bits(f);
  return (uint16_t)((x & 0x7fffffff) > 0x7f800000 ? 0x7fff : (x + 0x7fff + (x >> 16 & 1)) >> 16);
}
static inline uint16_t sim_to_f16(float f) {
  const uint32_t x = sim_f32_bits(f), magnitude = x & 0x7fffffff;
  uint32_t h;
  if (magnitude > 0x7f800000) return 0x7fff;
  if (magnitude >= 0x477ff000) h = 0x7c00;                                                   // rounds to 2^16 or more
  else if (magnitude < 0x38800000) h = sim_f32_bits(sim_f32(magnitude) + 0.5f) - 0x3f000000; // below 2^-14: the sum rounds at 2^-24
  else h = (magnitude - 0x38000000 + 0xfff + (magnitude >> 13 & 1)) >> 13;
  return (uint16_t)(h | (x >> 16 & 0x8000));
}

// A format of at most 16 bits, and tf32: what top it has and how its code is made of a double.
typedef struct sim_format {
  uint8_t exponent, mantissa;
  uint32_t largest, infinity, nan; // codes without sign; infinity 0: there is none
} sim_format;
double sim_decode_float(const sim_format *format, uint32_t code);
// mode: SIM_RN … SIM_RNA of sim.h. saturate: what is too large becomes the largest finite number.
uint32_t sim_encode_float(const sim_format *format, double x, int mode, bool saturate);
const sim_format *sim_format_of(int ptx_type); // NULL = none of these

#endif
