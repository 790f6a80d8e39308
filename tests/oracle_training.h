// Float64 oracles of the training kernels, from their formulas, losses and gradients each by themselves: gradients are the closed forms, so
// that differences of the losses can be held against them. They share nothing with the product.
#ifndef TG_ORACLE_TRAINING_H
#define TG_ORACLE_TRAINING_H
#include <stdbool.h>
#include <stdint.h>

// out[r,c] = codes[r,c] * scales[r/rows, c/columns], e4m3.
void oracle_dequantize(int64_t R, int64_t C, int64_t rows, int64_t columns, const uint8_t *codes, const float *scales, double *out);
// The forward product, Y[m,n] = sum_k X[m,k]*W[n,k], and sum_{m,n} dY[m,n]*Y[m,n]: what the two below are gradients of.
double oracle_weighted_product(int64_t M, int64_t N, int64_t K, const double *X, const double *W, const double *dY);
// dX[m,k] = sum_n dY[m,n]*W[n,k]; sum: the same of absolute values, the scale of rounding errors.
void oracle_dgrad(int64_t M, int64_t N, int64_t K, const double *dY, const double *W, double *dX, double *sum);
// dW[n,k] = sum_m dY[m,n]*X[m,k]; sum as above.
void oracle_wgrad(int64_t M, int64_t N, int64_t K, const double *dY, const double *X, double *dW, double *sum);
// S[m/128,k] = max(amax, 1e-4)/448 of each 128 x 1 block of X[M,K], a power of two if `ue8m0`. A NaN does not count.
void oracle_column_scales(int64_t M, int64_t K, bool ue8m0, const double *X, double *S);

double oracle_lse(int64_t V, const double *x);
// Loss of one row: (1 - smoothing)*nll(target) + smoothing * mean over v of nll(v) + z*lse^2; a target outside 0 … V-1: 0.
double oracle_cross_entropy(int64_t V, const double *x, int64_t target, double smoothing, double z);
void oracle_cross_entropy_grad(int64_t V, const double *x, int64_t target, double smoothing, double z, double *d);

// temperature^2 * sum_v q*(log q - log p), q of the teacher; *sum: of absolute values of the terms.
double oracle_kl(int64_t V, const double *student, const double *teacher, double temperature, double *sum);
void oracle_kl_grad(int64_t V, const double *student, const double *teacher, double temperature, double *d);

typedef enum oracle_deviation { ORACLE_SAMPLE, ORACLE_POPULATION, ORACLE_NO_DEVIATION } oracle_deviation;
void oracle_advantages(int64_t R, const float *rewards, oracle_deviation kind, double eps, double *A);

typedef struct oracle_grpo {
  double clip_low, clip_high, beta; // beta 0: no reference
} oracle_grpo;
// Loss of a token that counts fully.
double oracle_grpo_loss(const oracle_grpo *g, double logp, double old, double ref, double A);
// Its derivative by logp; *margin: how far the ratio is from the clip that decides it.
double oracle_grpo_grad(const oracle_grpo *g, double logp, double old, double ref, double A, double *margin);
#endif
