// label: long
// Every one of the 2^32 floats, encoded to f16, bf16, e4m3, e4m3fnuz and e5m2.
//
// Against an independent definition: walk the magnitudes upwards beside the sorted list of the format's values (made here from sign,
// exponent and mantissa); a value belongs to the lower neighbour below their midpoint, to the upper above it, to the even code on it. And
// against checksums of ml_dtypes' own conversions, one for each 2^24 floats (tests/golden/make_numeric.py --sums).
#include <math.h>
#include <omp.h>
#include <stdint.h>

#include "ir/ir.h"
#include "test.h"

enum { FORMATS = 5 };
typedef struct format {
  int dtype, exp, man, bias;
  uint32_t largest, overflow, nan, sign; // codes; overflow = what lies above the largest in ieee mode
} format;
static const format formats[FORMATS] = {
    {TG_F16, 5, 10, 15, 0x7bff, 0x7c00, 0x7e00, 0x8000}, {TG_BF16, 8, 7, 127, 0x7f7f, 0x7f80, 0x7fc0, 0x8000},
    {TG_E4M3, 4, 3, 7, 0x7e, 0x7f, 0x7f, 0x80},          {TG_E4M3FNUZ, 4, 3, 8, 0x7f, 0x80, 0x80, 0},
    {TG_E5M2, 5, 2, 15, 0x7b, 0x7c, 0x7e, 0x80},
};

static double value_of(const format *f, uint32_t code) {
  const uint32_t e = code >> f->man, m = code & ((1u << f->man) - 1);
  return e ? ldexp(1 + ldexp(m, -f->man), (int)e - f->bias) : ldexp(m, 1 - f->bias - f->man);
}

// The step above the largest, where a format with one more exponent would go on, decides what rounds to the largest.
static double midpoint_above(const format *f, uint32_t code) { return (value_of(f, code) + value_of(f, code + 1)) / 2; }

static bool nan_code(const format *f, uint32_t code) { return f->dtype == TG_E4M3FNUZ ? code == 0x80 : (code & (f->sign - 1)) >= f->nan; }

// Checks the floats of one chunk of 2^24 and returns the number of wrong ones; adds to *sum as the script does.
static long check_chunk(const format *f, uint32_t chunk, uint64_t *sum) {
  const uint32_t first = chunk << 24;
  const bool negative = first >> 31;
  uint32_t code = 0;
  double above = -1;
  long wrong = 0;
  uint64_t total = 0;
  for (uint32_t i = 0; i < 1u << 24; i++) {
    const uint32_t bits = first + i;
    float x;
    memcpy(&x, &bits, sizeof x);
    const double magnitude = fabs((double)x);
    uint32_t want, sat;
    if (isnan(x)) {
      want = sat = f->nan;
    } else {
      while (code <= f->largest && (above < 0 || magnitude > above || (magnitude == above && (code & 1)))) {
        if (above >= 0) code++;
        above = midpoint_above(f, code);
      }
      want = code > f->largest ? f->overflow : code;
      sat = want == f->overflow && f->overflow == f->nan ? f->largest : want;
    }
    if (negative && f->sign) want |= f->sign, sat |= f->sign;
    if (negative && !f->sign) { // FNUZ: the sign bit alone is NaN
      if (want != f->nan && want) want |= 0x80;
      if (sat != f->nan && sat) sat |= 0x80;
    }
    const uint32_t got = (uint32_t)tg_encode(f->dtype, x, TG_ROUND_IEEE);
    bool ok = got == want && tg_encode(f->dtype, x, TG_ROUND_SAT) == sat;
    if (f->dtype == TG_BF16) ok = ok && tg_f32_to_bf16(x) == want;
    if (f->dtype == TG_E4M3) ok = ok && tg_f32_to_e4m3(x, TG_ROUND_IEEE) == want && tg_f32_to_e4m3(x, TG_ROUND_SAT) == sat;
    wrong += !ok;
    total += ((nan_code(f, got) ? 0xffff : got) + UINT64_C(1)) * (2 * (uint64_t)i + 1);
  }
  *sum = total;
  return wrong;
}

int main(void) {
  static uint64_t golden[256][FORMATS];
  FILE *in = fopen(TESTS_DIR "/golden/numeric_sums.txt", "r");
  CHECK(in != NULL);
  if (!in) return test_done();
  for (int chunk = 0; chunk < 256; chunk++)
    for (int f = 0; f < FORMATS; f++) {
      unsigned long long v;
      CHECK(fscanf(in, "%llx", &v) == 1);
      golden[chunk][f] = v;
    }
  fclose(in);
#pragma omp parallel for schedule(dynamic) collapse(2)
  for (uint32_t chunk = 0; chunk < 256; chunk++)
    for (int f = 0; f < FORMATS; f++) {
      uint64_t sum;
      const long wrong = check_chunk(&formats[f], chunk, &sum);
#pragma omp critical
      {
        CHECKF(wrong == 0, "%s: %ld floats of %02x000000… are encoded wrongly", tg_dtypes[formats[f].dtype].name, wrong, chunk);
        CHECKF(sum == golden[chunk][f], "%s: checksum of floats %02x000000… is not that of ml_dtypes", tg_dtypes[formats[f].dtype].name,
               chunk);
      }
    }
  return test_done();
}
