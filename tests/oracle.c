#include "oracle.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int64_t blocks_of(int64_t n) { return (n + 127) / 128; }

static double e4m3_value(uint8_t code) {
  const int e = code >> 3 & 15, m = code & 7;
  if ((code & 0x7f) == 0x7f) return NAN;
  const double v = e ? ldexp(8 + m, e - 10) : ldexp(m, -9);
  return code & 0x80 ? -v : v;
}

double oracle_decode(oracle_format format, const void *data, int64_t i) {
  if (format == ORACLE_F32) return ((const float *)data)[i];
  if (format == ORACLE_E4M3) return e4m3_value(((const uint8_t *)data)[i]);
  const uint32_t bits = (uint32_t)((const uint16_t *)data)[i] << 16;
  float v;
  memcpy(&v, &bits, sizeof v);
  return v;
}

// By the definition: the nearer of the two neighbours, the even code on a tie. `value` is finite and in range.
static uint32_t nearest(double magnitude, uint32_t largest, double (*value)(uint32_t)) {
  uint32_t low = 0, high = largest;
  while (low + 1 < high) {
    const uint32_t middle = (low + high) / 2;
    if (value(middle) <= magnitude) low = middle;
    else high = middle;
  }
  if (magnitude >= value(high)) return high;
  const double half = (value(low) + value(high)) / 2;
  if (magnitude != half) return magnitude < half ? low : high;
  return low & 1 ? high : low;
}
static double bf16_magnitude(uint32_t code) {
  const uint16_t c = (uint16_t)code;
  return code >= 0x7f80 ? ldexp(1, 128) : oracle_decode(ORACLE_BF16, &c, 0);
}
static double e4m3_magnitude(uint32_t code) { return e4m3_value((uint8_t)code); }

uint16_t oracle_to_bf16(double value) {
  if (isnan(value)) return 0x7fc0;
  return (uint16_t)((signbit(value) ? 0x8000 : 0) | nearest(fabs(value), 0x7f80, bf16_magnitude));
}

uint8_t oracle_to_e4m3(double value) {
  if (isnan(value)) return 0x7f;
  return (uint8_t)((signbit(value) ? 0x80 : 0) | nearest(fabs(value), 0x7e, e4m3_magnitude));
}

int oracle_e4m3_order(uint8_t code) { return code & 0x80 ? -(code & 0x7f) : code; }

// ---- gemm

static void decode_row(oracle_format format, int64_t K, const void *data, int64_t row, const float *scales, double *out) {
  for (int64_t k = 0; k < K; k++) out[k] = oracle_decode(format, data, row * K + k) * (scales ? scales[k / 128] : 1.0);
}

void oracle_gemm(oracle_format format, int64_t M, int64_t N, int64_t K, const void *A, const float *As, const void *B, const float *Bs,
                 double *C, double *sum) {
  enum { GROUP = 8 };
  double *a = malloc(sizeof *a * (size_t)(M * K + 1));
#pragma omp parallel for
  for (int64_t m = 0; m < M; m++) decode_row(format, K, A, m, As ? As + m * blocks_of(K) : NULL, a + m * K);
#pragma omp parallel
  {
    double *b = malloc(sizeof *b * (size_t)(GROUP * K + 1));
#pragma omp for
    for (int64_t group = 0; group < (N + GROUP - 1) / GROUP; group++) {
      const int64_t first = group * GROUP, rows = N - first < GROUP ? N - first : GROUP;
      for (int64_t r = 0; r < rows; r++) decode_row(format, K, B, first + r, Bs ? Bs + (first + r) / 128 * blocks_of(K) : NULL, b + r * K);
      for (int64_t m = 0; m < M; m++)
        for (int64_t r = 0; r < rows; r++) {
          const double *x = a + m * K, *y = b + r * K;
          double s = 0, t = 0;
#pragma omp simd reduction(+ : s, t)
          for (int64_t k = 0; k < K; k++) {
            const double p = x[k] * y[k];
            s += p;
            t += fabs(p);
          }
          C[m * N + first + r] = s;
          sum[m * N + first + r] = t;
        }
    }
    free(b);
  }
  free(a);
}

// ---- quantise

void oracle_widen(oracle_format format, int64_t n, const void *data, double *out) {
  for (int64_t i = 0; i < n; i++) out[i] = oracle_decode(format, data, i);
}

static double scale_of(double amax, bool ue8m0) {
  const double scale = (amax > 1e-4 ? amax : 1e-4) / 448;
  int e;
  if (!ue8m0 || isinf(scale)) return scale;
  return frexp(scale, &e) == 0.5 ? scale : ldexp(1, e);
}

void oracle_scales(int64_t R, int64_t K, int rows, bool ue8m0, const double *X, double *S) {
  for (int64_t r0 = 0; r0 < R; r0 += rows)
    for (int64_t k0 = 0; k0 < K; k0 += 128) {
      double amax = 0;
      for (int64_t r = r0; r < r0 + rows && r < R; r++)
        for (int64_t k = k0; k < k0 + 128 && k < K; k++)
          if (fabs(X[r * K + k]) > amax) amax = fabs(X[r * K + k]);
      S[r0 / rows * blocks_of(K) + k0 / 128] = scale_of(amax, ue8m0);
    }
}

// ---- rows

void oracle_rmsnorm(oracle_format format, int64_t T, int64_t H, double eps, const void *X, const void *W, double *O) {
  for (int64_t t = 0; t < T; t++) {
    double squares = 0;
    for (int64_t h = 0; h < H; h++) squares += pow(oracle_decode(format, X, t * H + h), 2);
    const double factor = 1 / sqrt(squares / (double)H + eps);
    for (int64_t h = 0; h < H; h++) O[t * H + h] = oracle_decode(format, X, t * H + h) * factor * oracle_decode(format, W, h);
  }
}

void oracle_swiglu(oracle_format format, int64_t T, int64_t I, double clamp, const void *G, double *O) {
  for (int64_t t = 0; t < T; t++)
    for (int64_t i = 0; i < I; i++) {
      double g = oracle_decode(format, G, t * 2 * I + i), u = oracle_decode(format, G, t * 2 * I + I + i);
      if (clamp > 0) {
        if (g > clamp) g = clamp;
        if (u > clamp) u = clamp;
        if (u < -clamp) u = -clamp;
      }
      const double silu = g >= 0 ? g / (1 + exp(-g)) : isinf(g) ? NAN : g * exp(g) / (1 + exp(g));
      O[t * I + i] = silu * u;
    }
}

// ---- random numbers: splitmix64 (Steele, Lea, Flood 2014)

uint64_t oracle_next(oracle_random *random) {
  uint64_t z = random->state += 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return z ^ z >> 31;
}

double oracle_uniform(oracle_random *random) { return (double)(oracle_next(random) >> 11) * 0x1p-53; }

double oracle_normal(oracle_random *random) { // Irwin-Hall: no library function whose last bit may differ between machines
  double s = -6;
  for (int i = 0; i < 12; i++) s += oracle_uniform(random);
  return s;
}

void oracle_fill(oracle_format format, oracle_random *random, int64_t n, double scale, void *data) {
  for (int64_t i = 0; i < n; i++) {
    const float v = (float)(oracle_normal(random) * scale);
    if (format == ORACLE_F32) ((float *)data)[i] = v;
    else if (format == ORACLE_E4M3) ((uint8_t *)data)[i] = oracle_to_e4m3(v);
    else { // truncation is a rounding too, and much quicker
      uint32_t bits;
      memcpy(&bits, &v, sizeof bits);
      ((uint16_t *)data)[i] = (uint16_t)(bits >> 16);
    }
  }
}

void oracle_fill_codes(oracle_random *random, int64_t n, uint8_t *data) {
  for (int64_t i = 0; i < n; i++) {
    uint8_t code = (uint8_t)(oracle_next(random) >> 32);
    data[i] = (code & 0x7f) == 0x7f ? (uint8_t)(code ^ 1) : code;
  }
}

void oracle_fill_scales(oracle_random *random, int64_t n, float *data) {
  for (int64_t i = 0; i < n; i++) data[i] = (float)(0.0625 + oracle_uniform(random) * 3.9);
}
