#include "oracle_training.h"

#include <math.h>

#include "oracle.h"

void oracle_dequantize(int64_t R, int64_t C, int64_t rows, int64_t columns, const uint8_t *codes, const float *scales, double *out) {
  const int64_t across = (C + columns - 1) / columns;
  for (int64_t r = 0; r < R; r++)
    for (int64_t c = 0; c < C; c++)
      out[r * C + c] = oracle_decode(ORACLE_E4M3, codes, r * C + c) * (double)scales[r / rows * across + c / columns];
}

double oracle_weighted_product(int64_t M, int64_t N, int64_t K, const double *X, const double *W, const double *dY) {
  double total = 0;
  for (int64_t m = 0; m < M; m++)
    for (int64_t n = 0; n < N; n++) {
      double y = 0;
      for (int64_t k = 0; k < K; k++) y += X[m * K + k] * W[n * K + k];
      total += dY[m * N + n] * y;
    }
  return total;
}

// out[i,j] += a*b[j] for a row of out.
static void add_row(int64_t n, double a, const double *b, double *out, double *sum) {
  for (int64_t j = 0; j < n; j++) out[j] += a * b[j], sum[j] += fabs(a * b[j]);
}

void oracle_dgrad(int64_t M, int64_t N, int64_t K, const double *dY, const double *W, double *dX, double *sum) {
  for (int64_t i = 0; i < M * K; i++) dX[i] = sum[i] = 0;
  for (int64_t m = 0; m < M; m++)
    for (int64_t n = 0; n < N; n++) add_row(K, dY[m * N + n], W + n * K, dX + m * K, sum + m * K);
}

void oracle_wgrad(int64_t M, int64_t N, int64_t K, const double *dY, const double *X, double *dW, double *sum) {
  for (int64_t i = 0; i < N * K; i++) dW[i] = sum[i] = 0;
  for (int64_t m = 0; m < M; m++)
    for (int64_t n = 0; n < N; n++) add_row(K, dY[m * N + n], X + m * K, dW + n * K, sum + n * K);
}

void oracle_column_scales(int64_t M, int64_t K, bool ue8m0, const double *X, double *S) {
  for (int64_t m0 = 0; m0 < M; m0 += 128)
    for (int64_t k = 0; k < K; k++) {
      double column[128], amax = 0;
      int64_t n = 0;
      for (int64_t m = m0; m < m0 + 128 && m < M; m++) column[n++] = X[m * K + k];
      for (int64_t i = 0; i < n; i++)
        if (fabs(column[i]) > amax) amax = fabs(column[i]);
      int e;
      double scale = (amax > 1e-4 ? amax : 1e-4) / 448;
      if (ue8m0 && isfinite(scale) && frexp(scale, &e) != 0.5) scale = ldexp(1, e);
      S[m0 / 128 * K + k] = scale;
    }
}

// ---- losses over a vocabulary

static double greatest(int64_t V, const double *x) {
  double top = -INFINITY;
  for (int64_t v = 0; v < V; v++)
    if (isnan(x[v]) || x[v] > top) top = x[v];
  return top;
}

static double log_of_sum(int64_t V, const double *x, double top) { // log sum exp(x - top)
  double sum = 0;
  for (int64_t v = 0; v < V; v++) sum += exp(x[v] - top);
  return log(sum);
}

double oracle_lse(int64_t V, const double *x) {
  const double top = greatest(V, x);
  return top == -INFINITY ? top : top + log_of_sum(V, x, top);
}

double oracle_cross_entropy(int64_t V, const double *x, int64_t target, double smoothing, double z) {
  if (target < 0 || target >= V) return 0;
  const double lse = oracle_lse(V, x);
  double all = 0;
  for (int64_t v = 0; v < V; v++) all += lse - x[v];
  double loss = lse - x[target];
  if (smoothing > 0) loss = (1 - smoothing) * loss + smoothing * all / (double)V;
  return z > 0 ? loss + z * lse * lse : loss;
}

void oracle_cross_entropy_grad(int64_t V, const double *x, int64_t target, double smoothing, double z, double *d) {
  const bool counts = target >= 0 && target < V;
  const double lse = counts ? oracle_lse(V, x) : 0;
  for (int64_t v = 0; v < V; v++) {
    d[v] = 0;
    if (counts) d[v] = exp(x[v] - lse) * (1 + 2 * z * lse) - (v == target ? 1 - smoothing : 0) - smoothing / (double)V;
  }
}

double oracle_kl(int64_t V, const double *student, const double *teacher, double temperature, double *sum) {
  double s[2] = {0, 0}, top[2] = {greatest(V, student), greatest(V, teacher)};
  for (int64_t v = 0; v < V; v++) s[0] += exp((student[v] - top[0]) / temperature), s[1] += exp((teacher[v] - top[1]) / temperature);
  double loss = 0;
  *sum = 0;
  for (int64_t v = 0; v < V; v++) {
    const double log_p = (student[v] - top[0]) / temperature - log(s[0]), log_q = (teacher[v] - top[1]) / temperature - log(s[1]);
    const double q = exp(log_q), term = q == 0 ? 0 : q * (log_q - log_p);
    loss += term, *sum += fabs(term);
  }
  *sum *= temperature * temperature;
  return loss * temperature * temperature;
}

void oracle_kl_grad(int64_t V, const double *student, const double *teacher, double temperature, double *d) {
  double p = 0, q = 0;
  const double top_p = greatest(V, student), top_q = greatest(V, teacher);
  for (int64_t v = 0; v < V; v++) p += exp((student[v] - top_p) / temperature), q += exp((teacher[v] - top_q) / temperature);
  for (int64_t v = 0; v < V; v++)
    d[v] = temperature * (exp((student[v] - top_p) / temperature) / p - exp((teacher[v] - top_q) / temperature) / q);
}

// ---- GRPO

void oracle_advantages(int64_t R, const float *rewards, oracle_deviation kind, double eps, double *A) {
  double mean = 0, squares = 0;
  for (int64_t r = 0; r < R; r++) mean += (double)rewards[r] / (double)R;
  for (int64_t r = 0; r < R; r++) squares += pow((double)rewards[r] - mean, 2);
  const double n = kind == ORACLE_SAMPLE && R > 1 ? (double)(R - 1) : (double)R;
  for (int64_t r = 0; r < R; r++) A[r] = ((double)rewards[r] - mean) / (kind == ORACLE_NO_DEVIATION ? 1 : sqrt(squares / n) + eps);
}

static double clip(double x, double low, double high) { return isnan(x) ? x : x < low ? low : x > high ? high : x; }

double oracle_grpo_loss(const oracle_grpo *g, double logp, double old, double ref, double A) {
  const double r = exp(logp - old), plain = r * A, clipped = clip(r, 1 - g->clip_low, 1 + g->clip_high) * A;
  const double policy = -(isnan(plain) || plain < clipped ? plain : clipped), d = ref - logp;
  return g->beta == 0 ? policy : policy + g->beta * (exp(d) - d - 1);
}

double oracle_grpo_grad(const oracle_grpo *g, double logp, double old, double ref, double A, double *margin) {
  const double r = exp(logp - old), above = r - (1 + g->clip_high), below = (1 - g->clip_low) - r;
  const bool clipped = (A > 0 && above > 0) || (A < 0 && below > 0);
  *margin = A > 0 ? fabs(above) : A < 0 ? fabs(below) : INFINITY;
  const double policy = clipped ? 0 : -A * r;
  return g->beta == 0 ? policy : policy + g->beta * (1 - exp(ref - logp));
}
