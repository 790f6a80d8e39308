// Products of parts of a matrix by warp groups on the simulated GPU, where only the block knows which rows are a part's: rows behind its
// end belong to others and may not reach sums that a loop hands on to the next part; parts lie anywhere that 64 bits can say.
#include <stdlib.h>

#include "kernels/judge.h"

enum { T = 150, N = 72, K = 136, ROWS = 64 };

typedef struct part {
  int64_t from, to;
} part;

static oracle_random randomness = {7};

static void parts(const char *settings, bool sums, int n, const part *at) {
  verdict v = VERDICT(TESTS_DIR "/kernels/parts.lua", settings, "%d parts", n);
  tg_array *A = ARRAY("bf16", T, K), *B = ARRAY("bf16", N, K), *From = ARRAY("i64", n), *To = ARRAY("i64", n);
  tg_array *C = sums ? ARRAY("f32", T, N) : ARRAY("f32", n, ROWS, N);
  oracle_fill(ORACLE_BF16, &randomness, T * K, 1, A->data), oracle_fill(ORACLE_BF16, &randomness, N * K, 1, B->data);
  for (int i = 0; i < n; i++) ((int64_t *)From->data)[i] = at[i].from, ((int64_t *)To->data)[i] = at[i].to;
  double *want = doubles((int64_t)n * (T + ROWS) * N), *scale = doubles((int64_t)n * (T + ROWS) * N);
  double *all = doubles(T * N), *magnitude = doubles(T * N), *sum = doubles(ROWS * N), *sum_scale = doubles(ROWS * N);
  tg_argument args[] = {{.name = "A", .array = A},
                        {.name = "B", .array = B},
                        {.name = "From", .array = From},
                        {.name = "To", .array = To},
                        {.name = "C", .array = C}};
  if (conform_run(v.kernel, settings, 1, 5, args)) {
    oracle_gemm(ORACLE_BF16, T, N, K, A->data, NULL, B->data, NULL, all, magnitude);
    for (int i = 0; i < n; i++)
      for (int64_t j = 0; j < ROWS; j++) {
        const int64_t row = at[i].from + j, end = sums && at[i].to < T ? at[i].to : T;
        const bool there = row >= 0 && row < end;
        for (int64_t c = 0; c < N; c++) {
          const int64_t from = sums ? j * N + c : 0, to = sums ? row * N + c : (i * ROWS + j) * N + c;
          const double x = there ? all[row * N + c] : 0, m = there ? magnitude[row * N + c] : 0;
          sum[from] = sums ? sum[from] + x : x, sum_scale[from] = sums ? sum_scale[from] + m : m;
          if (there || !sums) want[to] = sum[from], scale[to] = sum_scale[from];
        }
      }
    judge_bounds(&v, C, want, scale, 0x1p-20, 0x1p-13);
  }
  free(want), free(scale), free(all), free(magnitude), free(sum), free(sum_scale);
  FREE(A, B, From, To, C);
}

int main(void) {
  static const int64_t far = 1LL << 32;
  const part near[] = {{0, 20}, {20, 80}, {80, 81}, {81, 144}, {144, 150}};
  const part anywhere[] = {{0, 0}, {17, 0}, {140, 0}, {-3, 0}, {far, 0}, {far + 17, 0}, {-far, 0}, {INT64_MAX - 100, 0}, {INT64_MIN, 0}};
  conformance_open("sim:sm_90a");
  parts("sums=1,warps=4", true, 5, near);
  parts("sums=0,warps=4", false, 9, anywhere);
  return conformance_close();
}
