// Host-side pieces that the demo and the benchmark share: reproducible inputs, decoders and a float64 oracle written from the formats'
// definitions (nothing of the product's), and sgemm from a BLAS that is opened at run time.
#ifndef TG_BENCH_GEMM_HOST_H
#define TG_BENCH_GEMM_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include "tegula/tegula.h"

double host_seconds(void);             // wall clock
double host_cpu_seconds(void);         // of this thread
uint64_t host_random(uint64_t *state); // splitmix64
double host_normal(uint64_t *state);   // roughly standard normal: sum of 12 uniforms less 6
uint16_t host_to_bf16(float value);    // nearest even
double host_e4m3(uint8_t code);

// C[M,N] in float64 of the block-scaled product, and the sum of absolute products beside it (for the error bound), rows in parallel.
void host_gemm_fp8(int64_t M, int64_t N, int64_t K, const uint8_t *A, const float *As, const uint8_t *B, const float *Bs, double *C,
                   double *mass);
// Largest |got - ref| / (2^-8 |ref| + 2^-13 mass): at most 1 when every element is within the bound.
double host_worst(int64_t n, const uint16_t *got, const double *ref, const double *mass);

typedef struct host_blas {
  void *library;
  const char *name;
  void (*sgemm)(int order, int transa, int transb, int m, int n, int k, float alpha, const float *a, int lda, const float *b, int ldb,
                float beta, float *c, int ldc);
  void (*sgemv)(int order, int trans, int m, int n, float alpha, const float *a, int lda, const float *x, int incx, float beta, float *y,
                int incy);
  void (*set_threads)(int n);
} host_blas;
bool host_blas_open(host_blas *blas, const char *file); // false when the library or a symbol is not there
// C = X W^T, the faster of gemm and gemv for M = 1.
void host_blas_linear(const host_blas *blas, int64_t M, int64_t N, int64_t K, const float *X, const float *W, float *C);

#endif
