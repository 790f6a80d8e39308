// gemm_fp8 under scales far from 1: whatever the tile and the form it chooses, scales whose products f32 can hold must not overflow or
// vanish.
#include <math.h>

#include "oracle.h"
#include "tegula/tegula.h"
#include "test.h"

enum { M = 8, N = 64, K = 256 };

static tg_context *ctx;

static tg_array *array(const char *dtype, int64_t rows, int64_t columns) {
  tg_array *a = NULL;
  CHECK(tg_array_new(ctx, tg_dtype_find(dtype), 2, (int64_t[]){rows, columns}, &a) == TG_OK);
  return a;
}

static void run(tg_device *cpu, tg_source *gemm, const char *rows, const char *pairs, double sa, double sb) {
  tg_argument args[] = {{.name = "A", .array = array("e4m3", M, K)},
                        {.name = "As", .array = array("f32", M, K / 128)},
                        {.name = "B", .array = array("e4m3", N, K)},
                        {.name = "Bs", .array = array("f32", 1, K / 128)},
                        {.name = "C", .array = array("bf16", M, N)}};
  oracle_random random = {7};
  oracle_fill_codes(&random, M * K, args[0].array->data);
  oracle_fill_codes(&random, N * K, args[2].array->data);
  for (int i = 0; i < M * K / 128; i++) ((float *)args[1].array->data)[i] = (float)sa;
  for (int i = 0; i < K / 128; i++) ((float *)args[3].array->data)[i] = (float)sb;
  tg_binding set[] = {{"BM", rows}, {"dot2", pairs}};
  CHECKF(tg_run(cpu, gemm, &(tg_run_options){.settings = {2, set}, .threads = 1}, 5, args, false) == TG_OK, "%s", tg_error_message(ctx));
  static double want[M * N], mass[M * N];
  oracle_gemm(ORACLE_E4M3, M, N, K, args[0].array->data, args[1].array->data, args[2].array->data, args[3].array->data, want, mass);
  for (int i = 0; i < M * N; i++) {
    const double got = oracle_decode(ORACLE_BF16, args[4].array->data, i), bound = 0x1p-8 * fabs(want[i]) + 0x1p-13 * mass[i];
    CHECKF(fabs(got - want[i]) <= bound, "BM=%s, dot2=%s, scales %g and %g, element %d: %g, want %g", rows, pairs, sa, sb, i, got, want[i]);
  }
  for (int i = 0; i < 5; i++) tg_array_free(ctx, args[i].array);
}

int main(void) {
  tg_device *cpu;
  tg_source *gemm;
  if (tg_context_new(NULL, &ctx) || tg_device_open(ctx, "cpu", &cpu) || tg_source_load(ctx, "gemm_fp8", &gemm)) return 1;
  const double scales[][2] = {{1, 1}, {1e19, 1}, {1e10, 1e8}, {1, 1e19}, {1e-15, 1e-15}, {1e-20, 1e-14}, {1e20, 1e-20}};
  const char *const rows[] = {"1", "2", "4", "8", "16"};
  for (int r = 0; r < 5; r++)
    for (int s = 0; s < (int)(sizeof scales / sizeof scales[0]); s++) run(cpu, gemm, rows[r], "0", scales[s][0], scales[s][1]);
  for (int s = 0; s < (int)(sizeof scales / sizeof scales[0]); s++) run(cpu, gemm, "16", "1", scales[s][0], scales[s][1]);
  tg_source_free(gemm);
  tg_device_close(cpu);
  tg_context_free(ctx);
  return test_done();
}
