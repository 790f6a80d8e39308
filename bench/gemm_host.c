#include "bench/gemm_host.h"

#include <dlfcn.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double clock_seconds(clockid_t id) {
  struct timespec t;
  clock_gettime(id, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
double host_seconds(void) { return clock_seconds(CLOCK_MONOTONIC); }
double host_cpu_seconds(void) { return clock_seconds(CLOCK_THREAD_CPUTIME_ID); }

// Steele, Lea, Flood: Fast splittable pseudorandom number generators (2014).
uint64_t host_random(uint64_t *state) {
  uint64_t z = *state += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

double host_normal(uint64_t *state) {
  double sum = -6;
  for (int i = 0; i < 12; i++) sum += (double)(host_random(state) >> 11) * 0x1p-53;
  return sum;
}

static float from_bf16(uint16_t code) {
  uint32_t bits = (uint32_t)code << 16;
  float value;
  memcpy(&value, &bits, 4);
  return value;
}

uint16_t host_to_bf16(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  if (value != value) return 0x7fc0;
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// OCP 8-bit floating point specification (2023), table 1: E4M3, bias 7, no infinities, NaN = S.1111.111.
double host_e4m3(uint8_t code) {
  int exponent = code >> 3 & 15, mantissa = code & 7;
  double magnitude = exponent ? ldexp(8 + mantissa, exponent - 10) : ldexp(mantissa, -9);
  if ((code & 127) == 127) return NAN;
  return code & 128 ? -magnitude : magnitude;
}

void host_gemm_fp8(int64_t M, int64_t N, int64_t K, const uint8_t *A, const float *As, const uint8_t *B, const float *Bs, double *C,
                   double *mass) {
  double table[256];
  for (int i = 0; i < 256; i++) table[i] = host_e4m3((uint8_t)i);
  int64_t blocks = (K + 127) / 128;
  double *a = malloc(sizeof *a * (size_t)(M * K + 1));
  for (int64_t m = 0; m < M; m++)
    for (int64_t k = 0; k < K; k++) a[m * K + k] = table[A[m * K + k]] * (double)As[m * blocks + k / 128];
#pragma omp parallel
  {
    double *b = malloc(sizeof *b * (size_t)(K + 1));
#pragma omp for schedule(static)
    for (int64_t n = 0; n < N; n++) {
      for (int64_t k = 0; k < K; k++) b[k] = table[B[n * K + k]] * (double)Bs[n / 128 * blocks + k / 128];
      for (int64_t m = 0; m < M; m++) {
        double sum = 0, absolute = 0;
#pragma omp simd reduction(+ : sum, absolute)
        for (int64_t k = 0; k < K; k++) {
          double product = a[m * K + k] * b[k];
          sum += product;
          absolute += fabs(product);
        }
        C[m * N + n] = sum;
        mass[m * N + n] = absolute;
      }
    }
    free(b);
  }
  free(a);
}

double host_worst(int64_t n, const uint16_t *got, const double *ref, const double *mass) {
  double worst = 0;
  for (int64_t i = 0; i < n; i++) {
    double bound = 0x1p-8 * fabs(ref[i]) + 0x1p-13 * mass[i], error = fabs((double)from_bf16(got[i]) - ref[i]);
    double ratio = error == 0 ? 0 : error / bound;
    if (!(ratio <= worst)) worst = ratio; // NaN too
  }
  return worst;
}

bool host_blas_open(host_blas *blas, const char *file) {
  memset(blas, 0, sizeof *blas);
  blas->library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
  if (!blas->library) return false;
  blas->name = file;
  *(void **)&blas->sgemm = dlsym(blas->library, "cblas_sgemm");
  *(void **)&blas->sgemv = dlsym(blas->library, "cblas_sgemv");
  *(void **)&blas->set_threads = dlsym(blas->library, "openblas_set_num_threads");
  if (!blas->set_threads) *(void **)&blas->set_threads = dlsym(blas->library, "MKL_Set_Num_Threads");
  return blas->sgemm && blas->sgemv && blas->set_threads;
}

void host_blas_linear(const host_blas *blas, int64_t M, int64_t N, int64_t K, const float *X, const float *W, float *C) {
  enum { ROW_MAJOR = 101, NO_TRANS = 111, TRANS = 112 }; // CBLAS
  if (M == 1) blas->sgemv(ROW_MAJOR, NO_TRANS, (int)N, (int)K, 1, W, (int)K, X, 1, 0, C, 1);
  else blas->sgemm(ROW_MAJOR, NO_TRANS, TRANS, (int)M, (int)N, (int)K, 1, X, (int)K, W, (int)K, 0, C, (int)N);
}
