// dot and dot_scaled: every product is rounded to float (i32, f64), every sum too, k ascending.
#include "ir/interp.h"

// c[m][n] += sum_k a[m][k] * b[k][n]. Four steps of k at a time keep c in registers; the order of the additions is that of k all the same.
static void accumulate(int64_t M, int64_t N, int64_t K, const float *a, const float *restrict b, float *restrict c) {
  for (int64_t m = 0; m < M; m++, a += K, c += N) {
    int64_t k = 0;
    for (; k + 4 <= K; k += 4) {
      const float a0 = a[k], a1 = a[k + 1], a2 = a[k + 2], a3 = a[k + 3];
      const float *b0 = b + k * N, *b1 = b0 + N, *b2 = b1 + N, *b3 = b2 + N;
#pragma omp simd
      for (int64_t n = 0; n < N; n++) c[n] = (((c[n] + a0 * b0[n]) + a1 * b1[n]) + a2 * b2[n]) + a3 * b3[n];
    }
    for (; k < K; k++) {
#pragma omp simd
      for (int64_t n = 0; n < N; n++) c[n] += a[k] * b[k * N + n];
    }
  }
}

static void accumulate_f64(int64_t M, int64_t N, int64_t K, const double *a, const double *b, double *c) {
  for (int64_t m = 0; m < M; m++)
    for (int64_t k = 0; k < K; k++)
      for (int64_t n = 0; n < N; n++) c[m * N + n] += a[m * K + k] * b[k * N + n];
}

static void accumulate_i8(int64_t M, int64_t N, int64_t K, const int8_t *a, const int8_t *b, uint32_t *c) {
  for (int64_t m = 0; m < M; m++)
    for (int64_t k = 0; k < K; k++)
      for (int64_t n = 0; n < N; n++) c[m * N + n] += (uint32_t)(a[m * K + k] * b[k * N + n]);
}

// x times the scale of the block that each element lies in; the blocks of `scale` [rows, columns] tile R x K evenly. a is [R, K], b is [K,
// R].
static const float *scaled_a(tg_interp_run *run, const float *x, int64_t R, int64_t K, const tg_value *scale) {
  const float *s = (const float *)tg_interp_slot_of(run, scale)->data;
  const int64_t columns = scale->type.dim[1], r_block = R / scale->type.dim[0], k_block = K / columns;
  float *y = tg_interp_scratch_of(run, 2, sizeof *y * (size_t)(R * K));
  for (int64_t r = 0; r < R; r++)
    for (int64_t c = 0; c < columns; c++) {
      const float factor = s[r / r_block * columns + c];
      for (int64_t k = c * k_block; k < (c + 1) * k_block; k++) y[r * K + k] = x[r * K + k] * factor;
    }
  return y;
}

static const float *scaled_b(tg_interp_run *run, const float *x, int64_t R, int64_t K, const tg_value *scale) {
  const float *s = (const float *)tg_interp_slot_of(run, scale)->data;
  const int64_t rows = scale->type.dim[0], columns = scale->type.dim[1], r_block = R / rows, k_block = K / columns;
  float *y = tg_interp_scratch_of(run, 3, sizeof *y * (size_t)(R * K));
  for (int64_t k = 0; k < K; k++)
    for (int64_t b = 0; b < rows; b++) {
      const float factor = s[b * columns + k / k_block];
      for (int64_t r = b * r_block; r < (b + 1) * r_block; r++) y[k * R + r] = x[k * R + r] * factor;
    }
  return y;
}

void tg_interp_dot(tg_interp_run *run, const tg_op *op) {
  const tg_type ta = op->in[0]->type, tb = op->in[1]->type, tc = op->out[0]->type;
  const int64_t M = ta.dim[0], K = ta.dim[1], N = tb.dim[1];
  const void *a = tg_interp_slot_of(run, op->in[0])->data, *b = tg_interp_slot_of(run, op->in[1])->data;
  void *c = tg_interp_buffer(run, op->out[0]);
  memcpy(c, tg_interp_slot_of(run, op->in[2])->data, (size_t)(M * N * tg_interp_width(tc.dtype)));
  if (ta.dtype == TG_I8) {
    accumulate_i8(M, N, K, a, b, c);
  } else if (ta.dtype == TG_F64) {
    accumulate_f64(M, N, K, a, b, c);
  } else {
    const float *x = tg_interp_floats(run, ta.dtype, a, M * K, 0), *y = tg_interp_floats(run, tb.dtype, b, K * N, 1);
    if (op->code == TG_OP_DOT_SCALED) {
      x = scaled_a(run, x, M, K, op->in[3]);
      y = scaled_b(run, y, N, K, op->in[4]);
    }
    accumulate(M, N, K, x, y, c);
  }
}
