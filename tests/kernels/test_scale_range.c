// gemm_fp8 under scales far from 1 and scales that no bf16 holds: whatever the tile, the form it chooses and the layout of the weights,
// scales whose products f32 can hold must not overflow, vanish or be rounded; with all codes, and with subnormal codes alone.
#include <math.h>

#include "oracle.h"
#include "tegula/tegula.h"
#include "test.h"

enum { MOST = 129, N = 72, K = 272, BLOCKS = (K + 127) / 128, PACKED = (N + 31) / 32 * 32 * K + 64 };

static tg_context *ctx;
static tg_device *cpu;
static tg_source *gemm, *pack;

static tg_array *array(const char *dtype, int rank, int64_t rows, int64_t columns) {
  tg_array *a = NULL;
  CHECK(tg_array_new(ctx, tg_dtype_find(dtype), rank, (int64_t[]){rows, columns}, &a) == TG_OK);
  return a;
}

typedef struct form {
  int M;
  const char *rows, *pairs, *packed; // BM, dot2, packed
  double sa, sb;
  bool subnormal;
} form;

static void fill_codes(const form *f, int64_t n, uint8_t *data) {
  oracle_random random = {7 + (uint64_t)n};
  oracle_fill_codes(&random, n, data);
  for (int64_t i = 0; i < n && f->subnormal; i++) data[i] &= 0x87;
}

static void compare(const form *f, const tg_argument *args, const void *B) {
  static double want[MOST * N], mass[MOST * N];
  oracle_gemm(ORACLE_E4M3, f->M, N, K, args[0].array->data, args[1].array->data, B, args[3].array->data, want, mass);
  for (int i = 0; i < f->M * N; i++) {
    const double got = oracle_decode(ORACLE_BF16, args[4].array->data, i), bound = 0x1p-8 * fabs(want[i]) + 0x1p-13 * mass[i];
    CHECKF(fabs(got - want[i]) <= bound, "M=%d BM=%s dot2=%s packed=%s, scales %g and %g%s, element %d: %g, want %g", f->M, f->rows,
           f->pairs, f->packed, f->sa, f->sb, f->subnormal ? ", subnormal codes" : "", i, got, want[i]);
  }
}

static void run(const form *f) {
  tg_array *B = array("e4m3", 2, N, K), *Bp = array("e4m3", 1, PACKED, 0);
  const bool packed = f->packed[0] == '1';
  tg_argument args[] = {{.name = "A", .array = array("e4m3", 2, f->M, K)},
                        {.name = "As", .array = array("f32", 2, f->M, BLOCKS)},
                        {.name = "B", .array = packed ? Bp : B},
                        {.name = "Bs", .array = array("f32", 2, 1, BLOCKS)},
                        {.name = "C", .array = array("bf16", 2, f->M, N)}};
  fill_codes(f, f->M * K, args[0].array->data);
  fill_codes(f, N * K, B->data);
  for (int i = 0; i < f->M * BLOCKS; i++) ((float *)args[1].array->data)[i] = (float)(f->sa * (1 + 0.0917 * (i % 11)));
  for (int i = 0; i < BLOCKS; i++) ((float *)args[3].array->data)[i] = (float)(f->sb * (1 + 0.317 * i));
  if (packed) {
    tg_argument pair[] = {{.name = "B", .array = B}, {.name = "Bp", .array = Bp}};
    CHECKF(tg_run(cpu, pack, &(tg_run_options){.threads = 1}, 2, pair, false) == TG_OK, "%s", tg_error_message(ctx));
  }
  tg_binding set[] = {{"BM", f->rows}, {"dot2", f->pairs}, {"packed", f->packed}};
  const tg_status status = tg_run(cpu, gemm, &(tg_run_options){.settings = {3, set}, .threads = 1}, 5, args, false);
  CHECKF(status == TG_OK, "%s", tg_error_message(ctx));
  compare(f, args, B->data);
  for (int i = 0; i < 5; i++)
    if (i != 2) tg_array_free(ctx, args[i].array);
  tg_array_free(ctx, B), tg_array_free(ctx, Bp);
}

int main(void) {
  if (tg_context_new(NULL, &ctx) || tg_device_open(ctx, "cpu", &cpu) || tg_source_load(ctx, "gemm_fp8", &gemm) ||
      tg_source_load(ctx, "pack_weights", &pack))
    return 1;
  static const double scales[][2] = {{1, 1},        {1e19, 1},     {1e10, 1e8}, {1, 1e19}, {1e-15, 1e-15}, {1e-20, 1e-14}, {1e20, 1e-20},
                                     {1e-30, 1e30}, {1e30, 1e-30}, {1e30, 1},   {1, 1e30}, {1e-30, 1},     {1, 1e-30}};
  static const struct {
    int M;
    const char *rows;
  } shapes[] = {{1, "1"}, {2, "2"}, {4, "4"}, {8, "8"}, {16, "16"}, {64, "64"}, {129, "128"}, {129, "64"}, {5, "16"}};
  for (size_t r = 0; r < sizeof shapes / sizeof *shapes; r++)
    for (size_t s = 0; s < sizeof scales / sizeof *scales; s++)
      for (int way = 0; way < 8; way++) {
        if ((r + s + (size_t)way) % 3) continue; // each way meets each shape and each pair of scales
        const form f = {shapes[r].M, shapes[r].rows, way & 1 ? "1" : "0", way & 2 ? "1" : "0", scales[s][0], scales[s][1], (way & 4) != 0};
        run(&f);
      }
  tg_source_free(gemm), tg_source_free(pack);
  tg_device_close(cpu);
  tg_context_free(ctx);
  return test_done();
}
