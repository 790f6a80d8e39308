// Conversions of every dtype against tables that ml_dtypes made (tests/golden/make_numeric.py), and against the definition by hand where
// ml_dtypes has nothing: integers, f64 inputs that must not be rounded twice, the fast helpers.
#include <math.h>
#include <stdint.h>

#include "ir/ir.h"
#include "test.h"

static float f32_of(uint32_t bits) {
  float v;
  memcpy(&v, &bits, sizeof v);
  return v;
}
static uint32_t bits_of(float v) {
  uint32_t bits;
  memcpy(&bits, &v, sizeof bits);
  return bits;
}

static void check_decode(FILE *in, int dtype, int n) {
  for (int code = 0; code < n; code++) {
    unsigned want;
    CHECK(fscanf(in, "%x", &want) == 1);
    const double got = tg_decode(dtype, (uint64_t)code);
    if (want == 0x7fc00000) CHECKF(isnan(got), "%s %02x is %g", tg_dtypes[dtype].name, code, got);
    else
      CHECKF(got == f32_of(want) && bits_of((float)got) == want, "%s %02x is %g, want %g", tg_dtypes[dtype].name, code, got, f32_of(want));
  }
}

static void check_hash(int dtype, unsigned long long want) {
  uint64_t h = 0xcbf29ce484222325;
  for (uint32_t code = 0; code < 65536; code++) {
    const double v = tg_decode(dtype, code);
    const uint32_t bits = isnan(v) ? 0x7fc00000 : bits_of((float)v);
    for (int byte = 0; byte < 4; byte++) h = (h ^ (bits >> 8 * byte & 0xff)) * 0x100000001b3;
  }
  CHECKF(h == want, "%s decodes to hash %016llx, want %016llx", tg_dtypes[dtype].name, (unsigned long long)h, want);
}

static bool is_nan_code(int dtype, unsigned code) { return isnan(tg_decode(dtype, code)); }

static void check_encode(FILE *in, int dtype, int n) {
  const char *name = tg_dtypes[dtype].name;
  for (int i = 0; i < n; i++) {
    unsigned bits, ieee, sat;
    CHECK(fscanf(in, "%x %x %x", &bits, &ieee, &sat) == 3);
    const float x = f32_of(bits);
    const unsigned got = (unsigned)tg_encode(dtype, x, TG_ROUND_IEEE), got_sat = (unsigned)tg_encode(dtype, x, TG_ROUND_SAT);
    if (dtype == TG_F16 && is_nan_code(dtype, ieee)) { // numpy keeps a payload there
      CHECKF(is_nan_code(dtype, got), "f16 of %08x is %04x", bits, got);
      continue;
    }
    CHECKF(got == ieee, "%s of %08x (%g) is %02x, want %02x", name, bits, x, got, ieee);
    CHECKF(got_sat == sat, "%s of %08x (%g) saturating is %02x, want %02x", name, bits, x, got_sat, sat);
    if (dtype == TG_BF16) CHECKF(tg_f32_to_bf16(x) == ieee, "fast bf16 of %08x is %04x, want %04x", bits, tg_f32_to_bf16(x), ieee);
    if (dtype == TG_E4M3) {
      CHECKF(tg_f32_to_e4m3(x, TG_ROUND_IEEE) == ieee, "fast e4m3 of %08x is %02x, want %02x", bits, tg_f32_to_e4m3(x, TG_ROUND_IEEE),
             ieee);
      CHECKF(tg_f32_to_e4m3(x, TG_ROUND_SAT) == sat, "fast e4m3 of %08x is %02x, want %02x", bits, tg_f32_to_e4m3(x, TG_ROUND_SAT), sat);
    }
  }
}

static void check_tables(void) {
  FILE *in = fopen(TESTS_DIR "/golden/numeric.txt", "r");
  CHECK(in != NULL);
  if (!in) return;
  char what[16], name[16], count[32];
  int sections = 0;
  while (fscanf(in, "%15s %15s %31s", what, name, count) == 3) {
    const int dtype = tg_dtype_find(name);
    CHECKF(dtype >= 0, "%s", name);
    if (dtype < 0) break;
    if (!strcmp(what, "decode")) check_decode(in, dtype, atoi(count));
    else if (!strcmp(what, "hash")) check_hash(dtype, strtoull(count, NULL, 16));
    else check_encode(in, dtype, atoi(count));
    sections++;
  }
  CHECKF(sections == 14, "%d sections", sections);
  fclose(in);
}

static void check_integers(void) {
  CHECK(tg_encode(TG_I8, 3.99, TG_ROUND_IEEE) == 3);
  CHECK(tg_encode(TG_I8, -3.99, TG_ROUND_IEEE) == 0xfd);
  CHECK(tg_encode(TG_I8, 128, TG_ROUND_IEEE) == 0x7f);
  CHECK(tg_encode(TG_I8, -128.9, TG_ROUND_IEEE) == 0x80);
  CHECK(tg_encode(TG_I8, -1e30, TG_ROUND_IEEE) == 0x80);
  CHECK(tg_encode(TG_I8, NAN, TG_ROUND_IEEE) == 0);
  CHECK(tg_encode(TG_I32, 2147483647.5, TG_ROUND_IEEE) == 0x7fffffff);
  CHECK(tg_encode(TG_I32, 2147483648.0, TG_ROUND_IEEE) == 0x7fffffff);
  CHECK(tg_encode(TG_I32, -2147483649.0, TG_ROUND_IEEE) == 0x80000000);
  CHECK(tg_encode(TG_I32, -1, TG_ROUND_IEEE) == 0xffffffff);
  CHECK(tg_encode(TG_I64, 9.3e18, TG_ROUND_IEEE) == INT64_MAX);
  CHECK(tg_encode(TG_I64, -INFINITY, TG_ROUND_IEEE) == (uint64_t)INT64_MIN);
  CHECK(tg_encode(TG_I64, 4503599627370497.0, TG_ROUND_IEEE) == 4503599627370497);
  CHECK(tg_encode(TG_I1, 0.25, TG_ROUND_IEEE) == 1 && tg_encode(TG_I1, -0.0, TG_ROUND_IEEE) == 0);
  CHECK(tg_decode(TG_I8, 0xff) == -1 && tg_decode(TG_I32, 0x80000000) == -2147483648.0 && tg_decode(TG_I64, UINT64_MAX) == -1);
}

// A double just beyond a midpoint that an f32 in between would round onto it.
static void check_single_rounding(void) {
  const double hair = ldexp(1, -40);
  CHECK(tg_encode(TG_BF16, 1 + ldexp(1, -8), TG_ROUND_IEEE) == 0x3f80);
  CHECK(tg_encode(TG_BF16, 1 + ldexp(1, -8) + hair, TG_ROUND_IEEE) == 0x3f81);
  CHECK(tg_encode(TG_E4M3, 1.0625, TG_ROUND_IEEE) == 0x38);
  CHECK(tg_encode(TG_E4M3, 1.0625 + hair, TG_ROUND_IEEE) == 0x39);
  CHECK(tg_encode(TG_E4M3, 464 + hair, TG_ROUND_IEEE) == 0x7f);
  CHECK(tg_encode(TG_E4M3, ldexp(1, -10), TG_ROUND_IEEE) == 0 && tg_encode(TG_E4M3, ldexp(1 + hair, -10), TG_ROUND_IEEE) == 1);
  CHECK(tg_encode(TG_F16, 65519.999999, TG_ROUND_IEEE) == 0x7bff && tg_encode(TG_F16, 65520, TG_ROUND_IEEE) == 0x7c00);
  CHECK(tg_encode(TG_BF16, 4.9e-324, TG_ROUND_IEEE) == 0 && tg_encode(TG_BF16, -4.9e-324, TG_ROUND_IEEE) == 0x8000);
  CHECK(tg_encode(TG_E8M0, 4.9e-324, TG_ROUND_IEEE) == 0 && tg_encode(TG_E8M0, 1e300, TG_ROUND_IEEE) == 0xff);
  CHECK(tg_encode(TG_E8M0, ldexp(1.49, -127), TG_ROUND_IEEE) == 0 && tg_encode(TG_E8M0, ldexp(1.5, -127), TG_ROUND_IEEE) == 1);
  CHECK(tg_encode(TG_E2M1, NAN, TG_ROUND_IEEE) == 7 && tg_encode(TG_E2M1, -NAN, TG_ROUND_SAT) == 7);
  CHECK(tg_encode(TG_F32, 0.1, TG_ROUND_IEEE) == 0x3dcccccd && tg_decode(TG_F32, 0x3dcccccd) == (double)0.1f);
  CHECK(tg_decode(TG_F64, tg_encode(TG_F64, 0.1, TG_ROUND_IEEE)) == 0.1);
}

// What is exact in a format goes through it unchanged; every code survives decode and encode.
static void check_round_trips(void) {
  const int dtypes[] = {TG_F16, TG_BF16, TG_E4M3, TG_E4M3FNUZ, TG_E5M2, TG_E8M0, TG_E2M1};
  for (size_t d = 0; d < sizeof dtypes / sizeof *dtypes; d++) {
    const int dtype = dtypes[d];
    for (uint32_t code = 0; code < 1u << tg_dtypes[dtype].bits; code++) {
      const double v = tg_decode(dtype, code);
      const uint64_t back = tg_encode(dtype, v, TG_ROUND_IEEE);
      if (isnan(v)) CHECK(isnan(tg_decode(dtype, back)));
      else CHECKF(back == code, "%s %x becomes %llx", tg_dtypes[dtype].name, code, (unsigned long long)back);
    }
  }
  for (uint32_t code = 0; code < 65536; code++) {
    const double v = tg_decode(TG_BF16, code);
    const float fast = tg_bf16_to_f32((uint16_t)code);
    CHECK(isnan(v) ? isnan(fast) : bits_of(fast) == code << 16 && fast == v);
  }
}

// x * y + z against its exact value, which 113 bits hold for these exponents: no neighbour is nearer, and of two as near the even one is
// taken.
static void check_fma(int dtype) {
  const int man = tg_dtypes[dtype].man, bias = tg_dtypes[dtype].bias;
  uint64_t seed = 1;
  for (int i = 0; i < 200000; i++) {
    double v[3];
    for (int k = 0; k < 3; k++) {
      seed = seed * 6364136223846793005u + 1442695040888963407u;
      const uint64_t mantissa = seed >> 40 & ((1u << man) - 1),
                     exponent = (uint64_t)(bias - (k == 2 ? 12 : 6)) + (seed >> 30) % (k == 2 ? 24 : 12);
      v[k] = tg_decode(dtype, (seed >> 63) << (tg_dtypes[dtype].bits - 1) | exponent << man | mantissa);
    }
    if (i % 4 == 0) v[2] = ldexp(copysign(1, v[2]), dtype == TG_F16 ? -24 : -60); // beside a product that may be a tie
    const __float128 exact = (__float128)v[0] * v[1] + v[2];
    const uint64_t code = tg_encode(dtype, (double)tg_fma_narrow((float)v[0], (float)v[1], (float)v[2]), TG_ROUND_IEEE);
    const double got = tg_decode(dtype, code);
    __float128 off = exact - got;
    if (off < 0) off = -off;
    bool right = true;
    for (int step = -1; step <= 1 && code << (65 - tg_dtypes[dtype].bits); step += 2) {
      __float128 other = exact - tg_decode(dtype, code + (uint64_t)(int64_t)step);
      if (other < 0) other = -other;
      right = right && (off < other || (off == other && code % 2 == 0));
    }
    CHECKF(right, "%s: %a * %a + %a is %a", tg_dtypes[dtype].name, v[0], v[1], v[2], got);
  }
}

int main(void) {
  check_tables();
  check_fma(TG_F16);
  check_fma(TG_BF16);
  check_integers();
  check_single_rounding();
  check_round_trips();
  return test_done();
}
