// Vectors held with their even elements first (codegen/llvm_pairs.c): the same numbers in the same places as in their own order, through
// choices, carried values, branches and every way back to memory; and where the order shows, their own order.
#include <math.h>

#include "llvm/lane.h"

enum { N = 32 };
static tg_context *ctx;

// %2 … are in pairs' order: cast to bf16, e4m3, reduced by max. %20 … are not: an element is taken out and all are stored.
static const char text[] = "kernel pairs lane {\n  input A : bf16[32]\n  output C : bf16[32]\n  output Q : e4m3[32]\n  output F : f32[34]\n"
                           "  launch pairs_0 (1) block (1, 1, 1) (%A : ptr<global> = A, %C : ptr<global> = C, %Q : ptr<global> = Q, "
                           "%F : ptr<global> = F) {\n"
                           "    %1 = lload %A {type = bf16[32], align = 2} : bf16[32]\n"
                           "    %2 = cast %1 {to = \"f32\"} : f32[32]\n"
                           "    %3 = const {type = f32, value = 0x1.8p+0} : f32\n"
                           "    %4 = splat %3 {n = 32} : f32[32]\n"
                           "    %5 = lt %2, %4 : i1[32]\n"
                           "    %6 = mul %2, %4 : f32[32]\n"
                           "    %7 = select %5, %6, %4 : f32[32]\n"
                           "    %8 = const {type = i64, value = 0} : i64\n"
                           "    %9 = const {type = i64, value = 3} : i64\n"
                           "    %10 = for %8, %9, %7 {step = 1} : f32[32] (%11 : i64, %12 : f32[32]) {\n"
                           "      %13 = add %12, %2 : f32[32]\n"
                           "      yield %13\n"
                           "    }\n"
                           "    %14 = vreduce %5 {kind = \"or\"} : i1\n"
                           "    %15 = if %14 : f32[32] {\n"
                           "      yield %10\n"
                           "    } {\n"
                           "      yield %4\n"
                           "    }\n"
                           "    %16 = cast %15 {to = \"bf16\"} : bf16[32]\n"
                           "    lstore %C, %16 {align = 2}\n"
                           "    %17 = cast %15 {to = \"e4m3\", mode = \"sat\"} : e4m3[32]\n"
                           "    lstore %Q, %17 {align = 1}\n"
                           "    %18 = vreduce %15 {kind = \"maxnum\"} : f32\n"
                           "    %20 = cast %1 {to = \"f32\"} : f32[32]\n"
                           "    %21 = neg %20 : f32[32]\n"
                           "    %22 = extract %21 {i = 3} : f32\n"
                           "    lstore %F, %21 {align = 4}\n"
                           "    %23 = const {type = i64, value = 128} : i64\n"
                           "    %24 = ptradd %F, %23 : ptr<global>\n"
                           "    lstore %24, %22 {align = 4}\n"
                           "    %25 = const {type = i64, value = 132} : i64\n"
                           "    %26 = ptradd %F, %25 : ptr<global>\n"
                           "    lstore %26, %18 {align = 4}\n"
                           "  }\n}\n";

static void test_numbers(const char *target) {
  uint16_t a[N], c[N];
  unsigned char q[N];
  float f[N + 2], most = -INFINITY;
  for (int i = 0; i < N; i++) a[i] = (uint16_t)tg_encode(TG_BF16, (i * 7 % 32 - 13) * (i % 5 == 0 ? 0.001 : 0.37), TG_ROUND_IEEE);
  a[5] = 0x7fff, a[6] = 0x8000, a[9] = 0xff80, a[12] = 0x7f80; // NaN, -0, both Inf
  const uint64_t args[] = {(uint64_t)(uintptr_t)a, (uint64_t)(uintptr_t)c, (uint64_t)(uintptr_t)q, (uint64_t)(uintptr_t)f};
  void *module = lane_open(ctx, target, text);
  tg_cpu_entry *entry = lane_entry(module, "pairs_0");
  if (!entry) return;
  const int64_t grid[4] = {1, 1, 1, 1};
  CHECK(!entry(args, grid, 0, 1, NULL, NULL));
  dlclose(module);
  for (int i = 0; i < N; i++) {
    const float x = (float)tg_decode(TG_BF16, a[i]);
    float y = x < 1.5f ? x * 1.5f : 1.5f;
    for (int k = 0; k < 3; k++) y += x;
    if (y > most) most = y;
    const uint16_t want = (uint16_t)tg_encode(TG_BF16, y, TG_ROUND_IEEE);
    CHECKF(isnan(y) ? isnan(tg_decode(TG_BF16, c[i])) : c[i] == want, "%s: bf16 %d is %04x, not %04x", target, i, c[i], want);
    const unsigned char code = (unsigned char)tg_encode(TG_E4M3, y, TG_ROUND_SAT);
    CHECKF(isnan(y) ? (q[i] & 0x7f) == 0x7f : q[i] == code, "%s: e4m3 %d is %02x, not %02x", target, i, q[i], code);
    CHECKF(isnan(x) ? isnan(f[i]) : f[i] == -x, "%s: f32 %d is %g, not %g", target, i, f[i], -x);
  }
  CHECKF(f[N] == f[3] && f[N + 1] == most, "%s: element 3 is %g, the greatest %g, not %g", target, f[N], f[N + 1], most);
}

// Only the class whose order shows spreads its elements over words.
static void test_assembly(void) {
  tg_arena arena;
  tg_arena_init(&arena, ctx);
  tg_bytes out = {0};
  CHECK(lane_compile(ctx, &arena, "cpu:avx2", "asm", text, &out));
  int spread = 0, blended = 0;
  for (const char *p = out.data; p && (p = strstr(p, "vpmovzxwd")); p++) spread++;
  for (const char *p = out.data; p && (p = strstr(p, "vpblendw")); p++) blended++;
  CHECKF(spread == N / 8 && blended >= N / 16, "%d spread, %d blended", spread, blended);
  tg_arena_free(&arena);
}

int main(void) {
  const char *targets[4];
  const int n = lane_targets(targets);
  CHECK(tg_context_new(NULL, &ctx) == TG_OK);
  for (int t = 0; t < n; t++) test_numbers(targets[t]);
  test_assembly();
  tg_context_free(ctx);
  return test_done();
}
