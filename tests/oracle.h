// Float64 oracles of the library's kernels, from their definitions, on raw storage. They share nothing with the product: decoders, rounding
// and random numbers are their own. Matrices are row-major; scales cover 128 columns (As), 128 x 128 (Bs) and round up at the edges.
#ifndef TG_ORACLE_H
#define TG_ORACLE_H
#include <stdbool.h>
#include <stdint.h>

typedef enum oracle_format { ORACLE_F32, ORACLE_BF16, ORACLE_E4M3 } oracle_format;

double oracle_decode(oracle_format format, const void *data, int64_t i);
uint16_t oracle_to_bf16(double value);
uint8_t oracle_to_e4m3(double value); // nearest even, saturating; NaN 0x7f
int oracle_e4m3_order(uint8_t code);  // codes numbered by value, -0 = +0 = 0: neighbours differ by 1

// C[m,n] = sum_k A[m,k]*As * B[n,k]*Bs and sum[m,n] = the same of absolute values (the scale of rounding errors). As, Bs NULL = 1.
void oracle_gemm(oracle_format format, int64_t M, int64_t N, int64_t K, const void *A, const float *As, const void *B, const float *Bs,
                 double *C, double *sum);
void oracle_widen(oracle_format format, int64_t n, const void *data, double *out);
// S = max(amax, 1e-4)/448 of each rows x 128 block of X[R,K] (rows = 1 or 128), rounded up to a power of two if `ue8m0`; codes are X / S to
// nearest. A NaN does not count in amax.
void oracle_scales(int64_t R, int64_t K, int rows, bool ue8m0, const double *X, double *S);
// X and W, G: elements of `format`.
void oracle_rmsnorm(oracle_format format, int64_t T, int64_t H, double eps, const void *X, const void *W, double *O);
// O[t,i] = silu(G[t,i]) * G[t,I+i]; clamp > 0 limits the gate from above and the other factor on both sides first.
void oracle_swiglu(oracle_format format, int64_t T, int64_t I, double clamp, const void *G, double *O);

// Deterministic random numbers: the same on every machine.
typedef struct oracle_random {
  uint64_t state;
} oracle_random;
uint64_t oracle_next(oracle_random *random);
double oracle_uniform(oracle_random *random); // [0, 1)
double oracle_normal(oracle_random *random);
// Normal, rounded to the format; never NaN.
void oracle_fill(oracle_format format, oracle_random *random, int64_t n, double scale, void *data);
void oracle_fill_codes(oracle_random *random, int64_t n, uint8_t *data); // e4m3, every finite code alike
void oracle_fill_scales(oracle_random *random, int64_t n, float *data);  // positive, 2^-4 ... 2^2
#endif
