// The f32 micro-kernel, C[mr][nr] = sum_k A[k][mr]*B[k][nr]: right numbers where it can run, and on every target one fused multiply-add per
// register and step with no spill in the loop.

#include "llvm/lane.h"

static tg_context *ctx;

// Rows of `lanes` f32; A is packed by rows, B by lanes.
static char *micro_text(int rows, int lanes) {
  char *text = malloc(1 << 16);
  int n = sprintf(
      text,
      "kernel micro lane {\n  dim K\n  input A : f32[K]\n  input B : f32[K]\n  output C : f32[%d, %d]\n"
      "  launch micro_0 (1) block (1, 1, 1) (%%0 : ptr<global> = A, %%1 : ptr<global> = B, %%2 : ptr<global> = C, %%3 : i64 = K \"K\") {\n"
      "    %%4 = const {type = i64, value = 0} : i64\n    %%5 = const {type = i64, value = %d} : i64\n"
      "    %%6 = const {type = i64, value = %d} : i64\n    %%7 = const {type = f32[%d], value = 0x0p+0} : f32[%d]\n   ",
      rows, lanes, rows * 4, lanes * 4, lanes, lanes);
  for (int i = 0; i < rows; i++) n += sprintf(text + n, "%s %%%d", i ? "," : "", 100 + i);
  n += sprintf(text + n, " = for %%4, %%3");
  for (int i = 0; i < rows; i++) n += sprintf(text + n, ", %%7");
  n += sprintf(text + n, " {step = 1} : ");
  for (int i = 0; i < rows; i++) n += sprintf(text + n, "%sf32[%d]", i ? ", " : "", lanes);
  n += sprintf(text + n, " (%%8 : i64");
  for (int i = 0; i < rows; i++) n += sprintf(text + n, ", %%%d : f32[%d]", 200 + i, lanes);
  n += sprintf(text + n,
               ") {\n      %%9 = mul %%8, %%5 : i64\n      %%10 = ptradd %%0, %%9 : ptr<global>\n      %%11 = mul %%8, %%6 : i64\n"
               "      %%12 = ptradd %%1, %%11 : ptr<global>\n      %%13 = lload %%12 {type = f32[%d], align = 64} : f32[%d]\n",
               lanes, lanes);
  for (int i = 0; i < rows; i++) {
    n += sprintf(text + n,
                 "      %%%d = const {type = i64, value = %d} : i64\n      %%%d = ptradd %%10, %%%d : ptr<global>\n"
                 "      %%%d = lload %%%d {type = f32, align = 4} : f32\n      %%%d = splat %%%d {n = %d} : f32[%d]\n"
                 "      %%%d = mul %%%d, %%13 : f32[%d]\n      %%%d = add %%%d, %%%d : f32[%d]\n",
                 300 + i, 4 * i, 400 + i, 300 + i, 500 + i, 400 + i, 600 + i, 500 + i, lanes, lanes, 700 + i, 600 + i, lanes, 800 + i,
                 200 + i, 700 + i, lanes);
  }
  n += sprintf(text + n, "      yield ");
  for (int i = 0; i < rows; i++) n += sprintf(text + n, "%s%%%d", i ? ", " : "", 800 + i);
  n += sprintf(text + n, "\n    }\n");
  for (int i = 0; i < rows; i++) {
    n += sprintf(text + n,
                 "    %%%d = const {type = i64, value = %d} : i64\n    %%%d = ptradd %%2, %%%d : ptr<global>\n"
                 "    lstore %%%d, %%%d {align = 4}\n",
                 900 + i, 4 * i * lanes, 1000 + i, 900 + i, 1000 + i, 100 + i);
  }
  sprintf(text + n, "  }\n}\n");
  return text;
}

static int count(const char *text, const char *word) {
  int n = 0;
  for (const char *p = text; (p = strstr(p, word)); p += strlen(word)) n++;
  return n;
}

static void test_assembly(const char *target, int rows, int lanes, int fused, const char *registers) {
  tg_arena arena;
  tg_arena_init(&arena, ctx);
  char *text = micro_text(rows, lanes);
  tg_bytes out = {0};
  if (!lane_compile(ctx, &arena, target, "asm", text, &out)) {
    CHECKF(false, "%s: %s", target, tg_error_message(ctx));
  } else {
    char *end = strstr(out.data, ".Lfunc_end0"); // the block's function comes first, then the walk over blocks
    CHECK(end);
    if (end) *end = 0;
    CHECKF(count(out.data, "vfmadd") == fused, "%s: %d vfmadd", target, count(out.data, "vfmadd"));
    CHECKF(count(out.data, "Spill") == 0, "%s: %d spills", target, count(out.data, "Spill"));
    CHECK(strstr(out.data, registers));
    if (getenv("TEST_SHOW")) puts(out.data);
  }
  free(text);
  tg_arena_free(&arena);
}

static void test_numbers(const char *target, int rows, int lanes) {
  enum { K = 37 };
  char *text = micro_text(rows, lanes);
  void *module = lane_open(ctx, target, text);
  free(text);
  tg_cpu_entry *entry = lane_entry(module, "micro_0");
  if (!entry) return;
  float *a = aligned_alloc(64, sizeof(float) * 64 * K), *b = aligned_alloc(64, sizeof(float) * 64 * K), c[32 * 32];
  for (int i = 0; i < K * rows; i++) a[i] = (float)((i * 7) % 11 - 5);
  for (int i = 0; i < K * lanes; i++) b[i] = (float)((i * 5) % 13 - 6) / 4;
  const int64_t grid[4] = {1, 1, 1, 1};
  const uint64_t args[] = {(uint64_t)(uintptr_t)a, (uint64_t)(uintptr_t)b, (uint64_t)(uintptr_t)c, K};
  CHECK(!entry(args, grid, 0, 1, NULL, NULL));
  for (int i = 0; i < rows; i++) {
    for (int j = 0; j < lanes; j++) {
      float sum = 0; // exact: quarters
      for (int k = 0; k < K; k++) sum += a[k * rows + i] * b[k * lanes + j];
      CHECKF(c[i * lanes + j] == sum, "%s: C[%d][%d] = %g, want %g", target, i, j, c[i * lanes + j], sum);
    }
  }
  free(a);
  free(b);
  dlclose(module);
}

int main(void) {
  const char *targets[4];
  const int n = lane_targets(targets);
  CHECK(tg_context_new(NULL, &ctx) == TG_OK);
  test_assembly("cpu:avx512", 14, 32, 28, "%zmm29");
  test_assembly("cpu:avx512bf16", 14, 32, 28, "%zmm29");
  test_assembly("cpu:avx2", 6, 16, 12, "%ymm14");
  for (int t = 0; t < n; t++) {
    test_numbers(targets[t], 6, 16);
    test_numbers(targets[t], 3, 8);
    test_numbers(targets[t], 14, 32);
  }
  tg_context_free(ctx);
  return test_done();
}
