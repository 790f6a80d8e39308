// Vectors taken apart and put together, booleans and half-byte codes in memory, streamed stores, atomics; the same bytes from two compiles;
// clear errors.
#include <math.h>

#include "llvm/lane.h"

static tg_context *ctx;

static bool run(const char *target, const char *text, const char *entry_name, const uint64_t *args) {
  void *module = lane_open(ctx, target, text);
  tg_cpu_entry *entry = lane_entry(module, entry_name);
  if (!entry) return false;
  const int64_t grid[4] = {1, 1, 1, 1};
  CHECK(!entry(args, grid, 0, 1, NULL, NULL));
  dlclose(module);
  return true;
}

// ---- shuffles and elements

static void test_elements(const char *target) {
  static const char text[] = "kernel elements lane {\n  dim N\n  input A : f32[8]\n  output C : f32[8]\n"
                             "  launch elements_0 (1) block (1, 1, 1) (%0 : ptr<global> = A, %1 : ptr<global> = C, %2 : i64 = N \"N\") {\n"
                             "    %3 = lload %0 {type = f32[4], align = 4} : f32[4]\n"
                             "    %20 = iota {type = i32[4]} : i32[4]\n"
                             "    %4 = cast %20 {to = \"f32\"} : f32[4]\n"
                             "    %5 = shuffle %3, %4 {mask = [3, 4, -1, 7, 0, 0]} : f32[6]\n"
                             "    %6 = extract %3, %2 : f32\n"
                             "    %7 = extract %5 {i = 1} : f32\n"
                             "    %8 = add %6, %7 : f32\n"
                             "    %9 = insert %5, %8 {i = 2} : f32[6]\n"
                             "    lstore %1, %9 {align = 4}\n"
                             "    %10 = const {type = i64, value = 24} : i64\n"
                             "    %11 = ptradd %1, %10 : ptr<global>\n"
                             "    %12 = splat %8 {n = 2} : f32[2]\n"
                             "    lstore %11, %12 {align = 8, stream = 1}\n"
                             "    prefetch %11 {level = 2}\n"
                             "    %14 = const {type = i64, value = 5} : i64\n"
                             "    %15 = ptradd %11, %14 : ptr<global>\n"
                             "    %16 = misalign %15 {to = 16} : i64\n"
                             "    %17 = cast %16 {to = \"f32\"} : f32\n"
                             "    lstore %1, %17 {align = 4}\n"
                             "    barrier\n"
                             "    %13 = undef {type = f32} : f32\n"
                             "  }\n}\n";
  const float a[8] = {10, 20, 30, 40};
  float c[8] __attribute__((aligned(32))) = {0};
  const uint64_t args[] = {(uint64_t)(uintptr_t)a, (uint64_t)(uintptr_t)c, 2};
  if (!run(target, text, "elements_0", args)) return;
  static const float want[8] = {13, 0,  30, 3, 10,
                                10, 30, 30}; // 24 + 5 bytes above a multiple of 16, then a[3], iota 0, a[2] + iota 0, iota 3, a[0], a[0]
  for (int i = 0; i < 8; i++) CHECKF(c[i] == want[i], "%s: element %d is %g", target, i, c[i]);
}

// ---- booleans: any byte but 0 is true; 1 is written

static void test_booleans(const char *target) {
  static const char text[] = "kernel bools lane {\n  input A : i1[16]\n  output C : i1[33]\n"
                             "  launch bools_0 (1) block (1, 1, 1) (%0 : ptr<global> = A, %1 : ptr<global> = C) {\n"
                             "    %2 = lload %0 {type = i1[16], align = 1} : i1[16]\n"
                             "    %3 = not %2 : i1[16]\n"
                             "    lstore %1, %2 {align = 1}\n"
                             "    %4 = const {type = i64, value = 16} : i64\n"
                             "    %5 = ptradd %1, %4 : ptr<global>\n"
                             "    lstore %5, %3 {align = 1}\n"
                             "    %6 = vreduce %2 {kind = \"or\"} : i1\n"
                             "    %7 = vreduce %2 {kind = \"xor\"} : i1\n"
                             "    %8 = and %6, %7 : i1\n"
                             "    %9 = ptradd %5, %4 : ptr<global>\n"
                             "    lstore %9, %8 {align = 1}\n"
                             "  }\n}\n";
  const unsigned char a[16] = {0, 1, 2, 0, 128, 255, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0}; // five are true
  unsigned char c[33];
  const uint64_t args[] = {(uint64_t)(uintptr_t)a, (uint64_t)(uintptr_t)c};
  if (!run(target, text, "bools_0", args)) return;
  for (int i = 0; i < 16; i++)
    CHECKF(c[i] == (a[i] != 0) && c[16 + i] == (a[i] == 0), "%s: boolean %d is %d, its complement %d", target, i, c[i], c[16 + i]);
  CHECK(c[32] == 1);
}

// ---- half-byte codes: low nibble first, an odd one alone in its byte

static void test_nibbles(const char *target) {
  static const char text[] = "kernel nibbles lane {\n  input A : e2m1[5]\n  output C : e2m1[5]\n  output D : f32[5]\n"
                             "  launch nibbles_0 (1) block (1, 1, 1) (%0 : ptr<global> = A, %1 : ptr<global> = C, %2 : ptr<global> = D) {\n"
                             "    %3 = lload %0 {type = e2m1[5], align = 1} : e2m1[5]\n"
                             "    %4 = cast %3 {to = \"f32\"} : f32[5]\n"
                             "    lstore %1, %3 {align = 1}\n"
                             "    lstore %2, %4 {align = 4}\n"
                             "  }\n}\n";
  const unsigned char a[4] = {0x71, 0xf2, 0xa5, 0x99};
  unsigned char c[4] = {0xee, 0xee, 0xee, 0xee};
  float d[5];
  const uint64_t args[] = {(uint64_t)(uintptr_t)a, (uint64_t)(uintptr_t)c, (uint64_t)(uintptr_t)d};
  if (!run(target, text, "nibbles_0", args)) return;
  CHECK(c[0] == 0x71 && c[1] == 0xf2 && c[2] == 0x05 && c[3] == 0xee);
  CHECK(d[0] == 0.5f && d[1] == 6 && d[2] == 1 && d[3] == -6 && d[4] == 3); // OCP MX: 0 0.5 1 1.5 2 3 4 6
}

// ---- atomics

static void test_atomics(const char *target) {
  static const char text[] = "kernel atomics lane {\n  inout A : i32[4]\n  output C : i32[4]\n"
                             "  launch atomics_0 (1) block (1, 1, 1) (%0 : ptr<global> = A, %1 : ptr<global> = C) {\n"
                             "    %2 = const {type = i32, value = -5} : i32\n"
                             "    %3 = atomicl %0, %2 {kind = \"add\", order = \"relaxed\", scope = \"device\"} : i32\n"
                             "    %4 = atomicl %0, %2 {kind = \"min\", order = \"acq_rel\", scope = \"device\"} : i32\n"
                             "    %5 = atomicl %0, %2 {kind = \"max\", order = \"seq_cst\", scope = \"device\"} : i32\n"
                             "    %6 = atomicl %0, %3 {kind = \"exch\", order = \"acquire\", scope = \"device\"} : i32\n"
                             "    %7 = splat %3 {n = 4} : i32[4]\n"
                             "    %8 = insert %7, %4 {i = 1} : i32[4]\n"
                             "    %9 = insert %8, %5 {i = 2} : i32[4]\n"
                             "    %10 = insert %9, %6 {i = 3} : i32[4]\n"
                             "    lstore %1, %10 {align = 4}\n"
                             "  }\n}\n";
  int a[4] = {100}, c[4];
  const uint64_t args[] = {(uint64_t)(uintptr_t)a, (uint64_t)(uintptr_t)c};
  if (!run(target, text, "atomics_0", args)) return;
  CHECKF(a[0] == 100 && c[0] == 100 && c[1] == 95 && c[2] == -5 && c[3] == -5, "%s: %d; %d %d %d %d", target, a[0], c[0], c[1], c[2], c[3]);
}

// ---- decode: e4m3 codes times a power of two, exact for every code but NaN

static void test_decode(const char *target) {
  const char text[] = "kernel decodes lane {\n  input A : e4m3[256]\n  output C : f32[256]\n"
                      "  launch decodes_0 (1) block (1, 1, 1) (%0 : ptr<global> = A, %1 : ptr<global> = C) {\n"
                      "    %2 = lload %0 {type = e4m3[256], align = 1} : e4m3[256]\n"
                      "    %3 = decode %2 {type = f32[256]} : f32[256]\n"
                      "    lstore %1, %3 {align = 4}\n  }\n}\n";
  unsigned char a[256];
  float c[256];
  for (int i = 0; i < 256; i++) a[i] = (unsigned char)i;
  const uint64_t args[] = {(uint64_t)(uintptr_t)a, (uint64_t)(uintptr_t)c};
  if (!run(target, text, "decodes_0", args)) return;
  for (int i = 0; i < 256; i++) {
    const double value = tg_decode(TG_E4M3, (uint64_t)i);
    CHECKF(isnan(value) || ldexp(c[i], 8) == value, "%s: code %02x times 2^-8 is %a", target, i, c[i]);
  }
  const char parts[] = "kernel parts lane {\n  input A : e4m3[256]\n  output C : f32[256]\n"
                       "  launch parts_0 (1) block (1, 1, 1) (%0 : ptr<global> = A, %1 : ptr<global> = C) {\n"
                       "    %2 = lload %0 {type = e4m3[256], align = 1} : e4m3[256]\n"
                       "    %3 = const {type = i64, value = 256} : i64\n    %4 = ptradd %1, %3 : ptr<global>\n"
                       "    %5 = ptradd %4, %3 : ptr<global>\n    %6 = ptradd %5, %3 : ptr<global>\n"
                       "    %7 = decode %2 {type = f32[64], part = 0} : f32[64]\n    lstore %1, %7 {align = 4}\n"
                       "    %8 = decode %2 {type = f32[64], part = 1} : f32[64]\n    lstore %4, %8 {align = 4}\n"
                       "    %9 = decode %2 {type = f32[64], part = 2} : f32[64]\n    lstore %5, %9 {align = 4}\n"
                       "    %10 = decode %2 {type = f32[64], part = 3} : f32[64]\n    lstore %6, %10 {align = 4}\n  }\n}\n";
  if (!run(target, parts, "parts_0", args)) return;
  for (int i = 0; i < 256; i++) {
    const double value = tg_decode(TG_E4M3, (uint64_t)i);
    const float got = c[i % 4 * 64 + i / 4];
    CHECKF(isnan(value) || ldexp(got, 120) == value, "%s: code %02x times 2^-120 is %a", target, i, got);
  }
}

// ---- determinism, instruction sets that may not run here, errors

static const char loop[] = "kernel square lane {\n  dim N\n  input A : e4m3[N]\n  output C : bf16[N]\n"
                           "  launch square_0 (1) block (1, 1, 1) (%0 : ptr<global> = A, %1 : ptr<global> = C, %2 : i64 = N \"N\") {\n"
                           "    %3 = const {type = i64, value = 0} : i64\n"
                           "    for %3, %2 {step = 32} (%4 : i64) {\n"
                           "      %5 = ptradd %0, %4 : ptr<global>\n"
                           "      %6 = lload %5 {type = e4m3[32], align = 1, const = 1} : e4m3[32]\n"
                           "      %7 = cast %6 {to = \"f32\"} : f32[32]\n"
                           "      %8 = mul %7, %7 : f32[32]\n"
                           "      %9 = cast %8 {to = \"bf16\"} : bf16[32]\n"
                           "      %10 = add %4, %4 : i64\n"
                           "      %11 = ptradd %1, %10 : ptr<global>\n"
                           "      lstore %11, %9 {align = 2}\n"
                           "      yield\n    }\n  }\n}\n";

static void test_same_bytes(const char *target) {
  tg_arena arena;
  tg_arena_init(&arena, ctx);
  tg_bytes one = {0}, two = {0};
  CHECKF(lane_compile(ctx, &arena, target, "obj", loop, &one) && lane_compile(ctx, &arena, target, "obj", loop, &two), "%s: %s", target,
         tg_error_message(ctx));
  CHECKF(one.size == two.size && !memcmp(one.data, two.data, one.size), "%s: two compiles differ", target);
  tg_arena_free(&arena);
}

static void test_wide_registers(void) {
  tg_arena arena;
  tg_arena_init(&arena, ctx);
  tg_bytes text = {0};
  CHECK(lane_compile(ctx, &arena, "cpu:avx512", "asm", loop, &text));
  CHECK(text.data && strstr(text.data, "%zmm") && strstr(text.data, "vcvtph2ps"));
  tg_arena_free(&arena);
}

static void test_error(const char *want, const char *op, const char *say) {
  tg_arena arena;
  tg_arena_init(&arena, ctx);
  char text[1024];
  snprintf(text, sizeof text,
           "kernel wrong lane {\n  input A : f32[4]\n  launch wrong_0 (1) block (1, 1, 1) (%%0 : ptr<global> = A) {\n"
           "    %%1 = lload %%0 {type = f32[4], align = 4} : f32[4]\n    %s\n  }\n}\n",
           op);
  tg_bytes out;
  CHECK(!lane_compile(ctx, &arena, "cpu:avx2", want, text, &out));
  CHECKF(strstr(tg_error_message(ctx), say), "%s", tg_error_message(ctx));
  tg_arena_free(&arena);
}

int main(void) {
  const char *targets[4];
  const int n = lane_targets(targets);
  CHECK(tg_context_new(NULL, &ctx) == TG_OK);
  for (int t = 0; t < n; t++) {
    test_elements(targets[t]);
    test_booleans(targets[t]);
    test_nibbles(targets[t]);
    test_atomics(targets[t]);
    test_decode(targets[t]);
  }
  for (int t = 0; t < n - 1; t++) test_same_bytes(targets[t]);
  test_wide_registers();
  test_error("obj", "%2 = exp %1 : f32[4]", "must expand `exp`");
  test_error("obj", "%2 = atomicl %0, %1 {kind = \"add\", order = \"relaxed\", scope = \"device\"} : f32[4]", "atomicl");
  test_error("cubin", "%2 = neg %1 : f32[4]", "no form 'cubin'");
  tg_context_free(ctx);
  return test_done();
}
