// dot2: sums of products of bf16 pairs, against fused multiply-adds of the C library in the order that the op promises; on machines with an
// instruction for it, that instruction.
#include <math.h>

#include "llvm/lane.h"

static tg_context *ctx;

enum { MOST = 32 };

// C[i] = dot2(C[i], A[i], B[i]); rank 0 when lanes is 0.
static void text_of(char *text, size_t size, int lanes) {
  char n[8] = "";
  if (lanes) snprintf(n, sizeof n, "[%d]", lanes);
  snprintf(text, size,
           "kernel pairs lane {\n  input A : i32[32]\n  input B : i32[32]\n  inout C : f32[32]\n"
           "  launch pairs_0 (1) block (1, 1, 1) (%%0 : ptr<global> = A, %%1 : ptr<global> = B, %%2 : ptr<global> = C) {\n"
           "    %%3 = lload %%0 {type = i32%s, align = 4} : i32%s\n    %%4 = lload %%1 {type = i32%s, align = 4} : i32%s\n"
           "    %%5 = lload %%2 {type = f32%s, align = 4} : f32%s\n    %%6 = dot2 %%5, %%3, %%4 : f32%s\n"
           "    lstore %%2, %%6 {align = 4}\n  }\n}\n",
           n, n, n, n, n, n, n);
}

static float of_bf16(uint32_t bits) {
  float f;
  bits <<= 16;
  memcpy(&f, &bits, 4);
  return f;
}

static bool same(float got, float want) { return isnan(want) ? isnan(got) : got == want; }

// Zero for the subnormal: what an instruction may make of operands and results.
static float flushed(float x) { return fpclassify(x) == FP_SUBNORMAL ? copysignf(0, x) : x; }

static void judge(const char *target, tg_cpu_entry *entry, int lanes, const uint32_t *a, const uint32_t *b, const float *c) {
  const int64_t grid[4] = {1, 1, 1, 1};
  float got[MOST];
  memcpy(got, c, sizeof got);
  const uint64_t args[] = {(uint64_t)(uintptr_t)a, (uint64_t)(uintptr_t)b, (uint64_t)(uintptr_t)got};
  CHECK(!entry(args, grid, 0, 1, NULL, NULL));
  for (int i = 0; i < (lanes ? lanes : 1); i++) {
    float want = c[i], zeroed = flushed(c[i]);
    for (int high = 1; high >= 0; high--) {
      const float x = of_bf16(a[i] >> 16 * high & 0xffff), y = of_bf16(b[i] >> 16 * high & 0xffff);
      want = fmaf(x, y, want), zeroed = flushed(fmaf(flushed(x), flushed(y), zeroed));
    }
    CHECKF(same(got[i], want) || same(got[i], zeroed), "%s, %d lanes, lane %d: %08x . %08x + %a = %a, want %a", target, lanes, i, a[i],
           b[i], c[i], got[i], want);
  }
}

static void test_numbers(const char *target, int lanes) {
  char text[2048];
  text_of(text, sizeof text, lanes);
  void *module = lane_open(ctx, target, text);
  tg_cpu_entry *entry = lane_entry(module, "pairs_0");
  if (!entry) return;
  // near 1 with either sign, 0, Inf, NaN, the least normal, a subnormal, the largest
  static const uint16_t special[] = {0x0000, 0x8000, 0x3f80, 0xbf81, 0x7f80, 0xff80, 0x7fc0, 0x0080, 0x8001, 0x7f7f};
  uint32_t a[MOST], b[MOST], seed = 1;
  float c[MOST];
  for (int round = 0; round < 400; round++) {
    for (int i = 0; i < MOST; i++) {
      uint16_t half[4];
      for (int h = 0; h < 4; h++) {
        seed = seed * 1664525 + 1013904223;
        half[h] = (uint16_t)((seed >> 9 & 0x80ff) | (0x3c00 + (seed >> 26 << 5))); // exponents around 0
        if (round >= 300 && seed >> 24 < 100) half[h] = special[(seed >> 16) % 10];
      }
      a[i] = (uint32_t)half[1] << 16 | half[0], b[i] = (uint32_t)half[3] << 16 | half[2];
      c[i] = (float)(int)(seed >> 8) / 0x1p23f - 1;
    }
    judge(target, entry, lanes, a, b, c);
  }
  dlclose(module);
}

static void test_instruction(int lanes, int instructions, const char *registers) {
  char text[2048];
  text_of(text, sizeof text, lanes);
  tg_arena arena;
  tg_arena_init(&arena, ctx);
  tg_bytes out;
  if (lane_compile(ctx, &arena, "cpu:avx512bf16", "asm", text, &out)) {
    int n = 0;
    for (const char *p = out.data; (p = strstr(p, "vdpbf16ps")); p++) n++;
    CHECKF(n == instructions, "%d lanes: %d vdpbf16ps, want %d", lanes, n, instructions);
    CHECKF(!n || strstr(out.data, registers), "%d lanes: no %s", lanes, registers);
  } else {
    CHECKF(false, "%s", tg_error_message(ctx));
  }
  CHECK(lane_compile(ctx, &arena, "cpu:avx512", "asm", text, &out) && !strstr(out.data, "vdpbf16ps"));
  tg_arena_free(&arena);
}

// pairs: every code in every place, one operand and two, against the table of codes written out.
static float of_code(int code) {
  const int exponent = code >> 3 & 15, mantissa = code & 7;
  const float size = (code & 0x7f) == 0x7f ? NAN : exponent ? ldexpf(1 + (float)mantissa / 8, exponent - 7) : ldexpf((float)mantissa, -9);
  return code & 0x80 ? -size : size;
}

static void test_pairs(const char *target, int operands, int lanes) {
  char text[2048];
  snprintf(text, sizeof text,
           "kernel pairs lane {\n  input A : e4m3[64]\n  inout C : i32[32]\n"
           "  launch pairs_0 (1) block (1, 1, 1) (%%0 : ptr<global> = A, %%1 : ptr<global> = C) {\n"
           "    %%2 = const {type = i64, value = %d} : i64\n    %%3 = ptradd %%0, %%2 : ptr<global>\n"
           "    %%4 = lload %%0 {type = e4m3[%d], align = 1} : e4m3[%d]\n    %%5 = lload %%3 {type = e4m3[%d], align = 1} : e4m3[%d]\n"
           "    %%6 = pairs %%4%s : i32[%d]\n    lstore %%1, %%6 {align = 4}\n  }\n}\n",
           lanes, lanes, lanes, lanes, lanes, operands > 1 ? ", %5" : "", lanes * operands / 2);
  void *module = lane_open(ctx, target, text);
  tg_cpu_entry *entry = lane_entry(module, "pairs_0");
  if (!entry) return;
  const int64_t grid[4] = {1, 1, 1, 1};
  uint8_t codes[2 * 64];
  uint32_t words[32];
  int wrong = 0;
  for (int start = 0; start < 256; start++) {
    for (int i = 0; i < 128; i++) codes[i] = (uint8_t)(start + 3 * i);
    const uint64_t args[] = {(uint64_t)(uintptr_t)codes, (uint64_t)(uintptr_t)words};
    CHECK(!entry(args, grid, 0, 1, NULL, NULL));
    for (int i = 0; i < lanes * operands; i++) {
      const int code = operands > 1 ? codes[i / 2 + i % 2 * lanes] : codes[i];
      const float got = of_bf16(words[i / 2] >> 16 * (i % 2) & 0xffff), want = of_code(code);
      wrong += !same(got, want) || (!isnan(want) && signbit(got) != signbit(want));
    }
  }
  CHECKF(!wrong, "%s, %d operands of %d: %d wrong", target, operands, lanes, wrong);
  dlclose(module);
}

static int count_of(const char *text, const char *word) {
  int n = 0;
  for (const char *p = text; (p = strstr(p, word)); p++) n++;
  return n;
}

// Four look-ups and shuffles and one instruction for the signs, for 64 codes.
static void test_pairs_code(void) {
  tg_arena arena;
  tg_arena_init(&arena, ctx);
  tg_bytes out;
  const char *text = "kernel pairs lane {\n  input A : e4m3[64]\n  inout C : i32[32]\n"
                     "  launch pairs_0 (1) block (1, 1, 1) (%0 : ptr<global> = A, %1 : ptr<global> = C) {\n"
                     "    %2 = lload %0 {type = e4m3[64], align = 1} : e4m3[64]\n    %3 = pairs %2 : i32[32]\n"
                     "    lstore %1, %3 {align = 4}\n  }\n}\n";
  if (!lane_compile(ctx, &arena, "cpu:avx512bf16", "asm", text, &out)) {
    CHECKF(false, "%s", tg_error_message(ctx));
  } else {
    const int n = count_of(out.data, "vpermi2b") + count_of(out.data, "vpermt2b");
    CHECKF(n == 4 && !strstr(out.data, "vcvtph2ps"), "%d table look-ups", n);
  }
  CHECK(lane_compile(ctx, &arena, "cpu:avx512", "asm", text, &out) && !count_of(out.data, "vpermi2b"));
  tg_arena_free(&arena);
}

int main(void) {
  const char *targets[4];
  const int n = lane_targets(targets);
  CHECK(tg_context_new(NULL, &ctx) == TG_OK);
  for (int t = 0; t < n; t++) {
    static const int lanes[] = {0, 3, 4, 8, 16, 32};
    for (int i = 0; i < 6; i++) test_numbers(targets[t], lanes[i]);
  }
  for (int t = 0; t < n; t++) test_pairs(targets[t], 1, 64), test_pairs(targets[t], 2, 32), test_pairs(targets[t], 1, 6);
  test_pairs_code();
  test_instruction(4, 1, "%xmm");
  test_instruction(8, 1, "%ymm");
  test_instruction(16, 1, "%zmm");
  test_instruction(32, 2, "%zmm");
  test_instruction(3, 0, "");
  tg_context_free(ctx);
  return test_done();
}
