// Every cast between two dtypes, over every code of the narrow ones and over edge and random values of the wide ones, against nearest-value
// search in the list of the format's numbers: the definition of rounding, not an implementation of it.
#include <math.h>

#include "llvm/lane.h"

static tg_context *ctx;

// ---- numbers by definition

typedef long double number; // 64 mantissa bits: holds every i64 and f64

static uint64_t mask_of(int dtype) { return tg_dtypes[dtype].bits == 64 ? UINT64_MAX : (UINT64_C(1) << tg_dtypes[dtype].bits) - 1; }

static number decode(int dtype, uint64_t code) {
  const tg_dtype_row *row = &tg_dtypes[dtype];
  switch (dtype) {
  case TG_I1: return (code & 0xff) != 0;
  case TG_I8: return (int8_t)code;
  case TG_I32: return (int32_t)code;
  case TG_I64: return (number)(int64_t)code;
  case TG_E8M0: return code == 0xff ? NAN : ldexpl(1, (int)code - 127);
  }
  const uint64_t man = code & ((UINT64_C(1) << row->man) - 1), exp = code >> row->man & ((1u << row->exp) - 1);
  const bool negative = code >> (row->bits - 1) & 1;
  const number sign = negative ? -1 : 1;
  const bool ieee = dtype == TG_F16 || dtype == TG_BF16 || dtype == TG_E5M2 || dtype == TG_F32 || dtype == TG_F64;
  if (ieee && exp == (1u << row->exp) - 1) return man ? copysignl(NAN, sign) : sign * INFINITY;
  if (dtype == TG_E4M3 && exp == 15 && man == 7) return copysignl(NAN, sign);
  if (dtype == TG_E4M3FNUZ && code == 0x80) return NAN;
  const number fraction = ldexpl((number)man, -row->man);
  return sign * (exp ? ldexpl(1 + fraction, (int)exp - row->bias) : ldexpl(fraction, 1 - row->bias));
}

static uint64_t largest_code(int dtype) {
  switch (dtype) {
  case TG_F16: return 0x7bff;
  case TG_BF16: return 0x7f7f;
  case TG_E5M2: return 0x7b;
  case TG_E4M3: return 0x7e;
  case TG_E4M3FNUZ: return 0x7f;
  case TG_E8M0: return 0xfe;
  case TG_F32: return 0x7f7fffff;
  default: return 7;
  }
}

// The code above the largest, were there one: where the line between the largest and overflow lies.
static number beyond(int dtype) {
  const uint64_t top = largest_code(dtype);
  return 2 * decode(dtype, top) - decode(dtype, top - 1);
}

// Nearest of the codes 0 ... largest to x >= 0; largest+1 for overflow.
static uint64_t nearest(int dtype, number x) {
  uint64_t lo = 0, hi = largest_code(dtype) + 1; // value(lo) <= x < value(hi), or x beyond
  const number end = dtype == TG_E8M0 ? ldexpl(1, 128) : beyond(dtype);
  if (x >= end) return hi;
  if (dtype == TG_E8M0 && x <= ldexpl(1, -127)) return 0;
  while (hi - lo > 1) {
    const uint64_t mid = (lo + hi) / 2;
    if (decode(dtype, mid) <= x) lo = mid;
    else hi = mid;
  }
  const number low = decode(dtype, lo), high = hi > largest_code(dtype) ? end : decode(dtype, hi);
  const number below = x - low, above = high - x;
  if (below != above) return below < above ? lo : hi;
  return dtype == TG_E8M0 || lo % 2 ? hi : lo; // e8m0: ties go up; else to even
}

static uint64_t encode(int dtype, number x, bool sat) {
  const tg_dtype_row *row = &tg_dtypes[dtype];
  if (row->cls == 'i') {
    const number limit = ldexpl(1, row->bits - 1);
    if (isnan(x)) return 0;
    const int64_t v = x >= limit ? (int64_t)((UINT64_C(1) << (row->bits - 1)) - 1) : x <= -limit ? (int64_t)(-limit) : (int64_t)x;
    return (uint64_t)v & mask_of(dtype);
  }
  if (dtype == TG_F64) {
    double v = (double)x;
    uint64_t bits;
    memcpy(&bits, &v, 8);
    return bits;
  }
  const uint64_t sign = signbit(x) ? UINT64_C(1) << (row->bits - 1) : 0;
  const uint64_t top = largest_code(dtype);
  if (dtype == TG_E8M0) {
    if (!(x > 0)) return 0xff;
    const uint64_t code = isinf(x) ? top + 1 : nearest(dtype, x);
    return code > top ? (sat ? top : 0xff) : code;
  }
  const bool has_inf = dtype == TG_F16 || dtype == TG_BF16 || dtype == TG_E5M2 || dtype == TG_F32;
  const uint64_t nan = has_inf ? top + 1 + (UINT64_C(1) << (row->man - 1)) : dtype == TG_E4M3 ? 0x7f : dtype == TG_E4M3FNUZ ? 0x80 : 7;
  if (isnan(x)) return dtype == TG_E4M3FNUZ || dtype == TG_E2M1 ? nan : sign | nan;
  uint64_t code = nearest(dtype, fabsl(x));
  if (code > top) {
    if (has_inf) code = top + 1;
    else if (sat || dtype == TG_E2M1) code = top;
    else return dtype == TG_E4M3FNUZ ? nan : sign | nan;
  }
  return dtype == TG_E4M3FNUZ && code == 0 ? 0 : sign | code;
}

static uint64_t expected(int from, int to, uint64_t code, bool sat) {
  const char a = tg_dtypes[from].cls, b = tg_dtypes[to].cls;
  if (a == 'i' && b == 'i') return (uint64_t)(int64_t)decode(from, code) & mask_of(to); // wraps
  return encode(to, decode(from, code), sat);
}

static bool same(int dtype, uint64_t got, uint64_t want) {
  if (got == want) return true;
  // Payloads of NaN are not defined where the format has several.
  return (dtype == TG_F16 || dtype == TG_BF16 || dtype == TG_E5M2 || dtype == TG_F32 || dtype == TG_F64) && isnan(decode(dtype, got)) &&
         isnan(decode(dtype, want));
}

// ---- inputs

static int bytes_of(int dtype) { return tg_dtypes[dtype].bits < 8 ? 1 : tg_dtypes[dtype].bits / 8; }

static uint64_t random_state = 1;
static uint64_t random_bits(void) { // xorshift64*
  random_state ^= random_state >> 12, random_state ^= random_state << 25, random_state ^= random_state >> 27;
  return random_state * UINT64_C(0x2545f4914f6cdd1d);
}

static uint64_t bits_of(int dtype, double x) {
  uint64_t code = 0;
  float f = (float)x;
  if (dtype == TG_F32) memcpy(&code, &f, 4);
  else memcpy(&code, &x, 8);
  return code;
}

enum { LANES = 16, MOST = 1 << 16 };

// Fills `codes` with a multiple of LANES inputs.
static int inputs(int dtype, uint64_t *codes) {
  int n = 0;
  if (tg_dtypes[dtype].bits <= 16) {
    const int count = dtype == TG_I1 ? 2 : 1 << tg_dtypes[dtype].bits;
    for (int i = 0; i < count; i++) codes[n++] = (uint64_t)i;
  } else if (tg_dtypes[dtype].cls == 'i') {
    for (int s = 0; s < tg_dtypes[dtype].bits; s++) { // around every power of two, and around the halves of its upper bits
      for (int d = -2; d <= 2; d++) codes[n++] = (UINT64_C(1) << s) + (uint64_t)d, codes[n++] = -(UINT64_C(1) << s) + (uint64_t)d;
      for (int k = 0; k < 12; k++) {
        uint64_t v = ((random_bits() | UINT64_C(1) << 63) >> (63 - s)) & (~UINT64_C(0) << (s > 9 ? s - 9 : 0));
        for (int d = -1; d <= 1; d++) codes[n++] = v + (uint64_t)d, codes[n++] = -(v + (uint64_t)d);
      }
    }
  } else {
    // Every number of every narrow format, the middle between each and the next, and the neighbours of both.
    for (int other = 0; other < TG_NDTYPES; other++) {
      if (tg_dtypes[other].bits > 8 || tg_dtypes[other].cls == 'b' || tg_dtypes[other].cls == 'i') continue;
      for (uint64_t c = 0; c <= largest_code(other); c++) {
        const number v = decode(other, c), next = c < largest_code(other) ? decode(other, c + 1)
                                                  : other == TG_E8M0      ? ldexpl(1, 128)
                                                                          : beyond(other);
        for (int half = 0; half < 2; half++) {
          const uint64_t at = bits_of(dtype, (double)(half ? (v + next) / 2 : v));
          for (int d = -1; d <= 1; d++) codes[n++] = at + (uint64_t)(at || d > 0 ? d : 0);
        }
      }
    }
    for (int k = 0; k < 8000; k++) { // middles of f16 and bf16, random
      const int other = k % 2 ? TG_F16 : TG_BF16;
      const uint64_t c = random_bits() % (largest_code(other) + 1);
      const number v = decode(other, c), next = c < largest_code(other) ? decode(other, c + 1) : beyond(other);
      const uint64_t at = bits_of(dtype, (double)((v + next) / 2)) + random_bits() % 3 - 1;
      codes[n++] = k % 4 < 2 ? at : at | UINT64_C(1) << (tg_dtypes[dtype].bits - 1);
    }
    for (int k = 0; k < 2000; k++) codes[n++] = random_bits();
    static const double special[] = {0.0,
                                     -0.0,
                                     INFINITY,
                                     -INFINITY,
                                     NAN,
                                     0.5,
                                     -0.5,
                                     0.999999,
                                     127.5,
                                     128,
                                     -128.9,
                                     -129,
                                     2147483647.0,
                                     2147483648.0,
                                     -2147483649.0,
                                     9223372036854775807.0,
                                     -9223372036854775808.0,
                                     1e30,
                                     -1e30};
    for (size_t k = 0; k < sizeof special / sizeof *special; k++) codes[n++] = bits_of(dtype, special[k]);
    if (dtype == TG_F64) {
      for (int k = 0; k < 4000; k++) { // f64 just off the middles of f32
        const uint64_t v = random_bits() & ~UINT64_C(0x1fffffff);
        codes[n++] = (v | UINT64_C(1) << 28) + random_bits() % 3 - 1;
      }
    }
  }
  for (int i = 0; i < n; i++) codes[i] &= mask_of(dtype);
  while (n % LANES) codes[n++] = 0;
  return n;
}

// ---- kernels: one launch per cast, all those of one source dtype in a module

static bool needs_mode(int to) { return to == TG_E4M3 || to == TG_E4M3FNUZ || to == TG_E2M1 || to == TG_E8M0; }

static char *kernel_text(int from) {
  const char *f = tg_dtypes[from].name;
  char *text = malloc(1 << 18), line[128];
  int n = sprintf(text, "kernel casts lane {\n  dim N\n  input A : %s[N]\n  output C : i8[N]\n", f), v = 0;
  for (int to = 0; to < TG_NDTYPES; to++) {
    if (to == from || to == TG_I1) continue;
    for (int sat = 0; sat < (needs_mode(to) ? 2 : 1); sat++, v += 20) {
      const char *t = tg_dtypes[to].name, *mode = !needs_mode(to) ? "" : sat ? ", mode = \"sat\"" : ", mode = \"ieee\"";
      n += sprintf(text + n,
                   "  launch %s_%s_%d (1) block (1, 1, 1) (%%%d : ptr<global> = A, %%%d : ptr<global> = C, %%%d : i64 = N \"N\") {\n"
                   "    %%%d = const {type = i64, value = 0} : i64\n"
                   "    for %%%d, %%%d {step = %d} (%%%d : i64) {\n",
                   f, t, sat, v, v + 1, v + 2, v + 3, v + 3, v + 2, LANES, v + 4);
      for (int side = 0; side < 2; side++) { // byte address of element i; e2m1 has two a byte
        const int bits = tg_dtypes[side ? to : from].bits, w = v + 5 + 3 * side;
        snprintf(line, sizeof line, "      %%%d = const {type = i64, value = %d} : i64\n", w, bits < 8 ? 1 : bits / 8);
        n += sprintf(text + n, "%s      %%%d = %s %%%d, %%%d : i64\n      %%%d = ptradd %%%d, %%%d : ptr<global>\n", line, w + 1,
                     bits < 8 ? "shr" : "mul", v + 4, w, w + 2, v + side, w + 1);
      }
      n += sprintf(text + n,
                   "      %%%d = lload %%%d {type = %s[%d], align = 1} : %s[%d]\n"
                   "      %%%d = cast %%%d {to = \"%s\"%s} : %s[%d]\n"
                   "      lstore %%%d, %%%d {align = 1}\n      yield\n    }\n  }\n",
                   v + 11, v + 7, f, LANES, f, LANES, v + 12, v + 11, t, mode, t, LANES, v + 10, v + 12);
    }
  }
  sprintf(text + n, "}\n");
  return text;
}

static void pack(int dtype, const uint64_t *codes, int n, unsigned char *out) {
  memset(out, 0, (size_t)n * (size_t)bytes_of(dtype));
  for (int i = 0; i < n; i++) {
    if (dtype == TG_E2M1) out[i / 2] |= (unsigned char)(codes[i] << i % 2 * 4);
    else memcpy(out + i * bytes_of(dtype), &codes[i], (size_t)bytes_of(dtype));
  }
}

static uint64_t unpack(int dtype, const unsigned char *in, int i) {
  uint64_t code = 0;
  if (dtype == TG_E2M1) return in[i / 2] >> i % 2 * 4 & 15;
  memcpy(&code, in + i * bytes_of(dtype), (size_t)bytes_of(dtype));
  return code;
}

static void test_from(const char *target, int from) {
  static uint64_t codes[MOST];
  static unsigned char in[MOST * 8], out[MOST * 8];
  char *text = kernel_text(from);
  void *module = lane_open(ctx, target, text);
  free(text);
  const int n = inputs(from, codes);
  pack(from, codes, n, in);
  for (int to = 0; module && to < TG_NDTYPES; to++) {
    if (to == from || to == TG_I1) continue; // i1 is made by comparing
    for (int sat = 0; sat < (needs_mode(to) ? 2 : 1); sat++) {
      char name[64];
      snprintf(name, sizeof name, "%s_%s_%d", tg_dtypes[from].name, tg_dtypes[to].name, sat);
      tg_cpu_entry *entry = lane_entry(module, name);
      if (!entry) continue;
      const int64_t grid[4] = {1, 1, 1, 1};
      const uint64_t args[] = {(uint64_t)(uintptr_t)in, (uint64_t)(uintptr_t)out, (uint64_t)n};
      CHECK(!entry(args, grid, 0, 1, NULL, NULL));
      for (int i = 0; i < n; i++) {
        const uint64_t got = unpack(to, out, i), want = expected(from, to, codes[i], sat);
        CHECKF(same(to, got, want), "%s %s of %llx (%Lg): got %llx, want %llx", target, name, (unsigned long long)codes[i],
               decode(from, codes[i]), (unsigned long long)got, (unsigned long long)want);
      }
    }
  }
  if (module) dlclose(module);
}

int main(void) {
  const char *targets[4];
  const int n = lane_targets(targets);
  CHECK(tg_context_new(NULL, &ctx) == TG_OK);
  for (int t = 0; t < n - 1; t++) { // the last is this machine's own, whose code is one of the others'
    for (int from = 0; from < TG_NDTYPES; from++) test_from(targets[t], from);
  }
  tg_context_free(ctx);
  return test_done();
}
