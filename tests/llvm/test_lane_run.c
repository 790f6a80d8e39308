// Lane kernels end to end on the host: blocks and coordinates, loops, branches, masked accesses at a page's end, reductions, traps, prints.
#include <math.h>

#include "llvm/lane.h"

static tg_context *ctx;

// ---- blocks: coordinates from linear numbers, axis 0 fastest, any part of the grid

static const char coordinates[] = "kernel coords lane {\n"
                                  "  dim N\n"
                                  "  output C : i64[N]\n"
                                  "  launch coords_0 (N, N, N) block (1, 1, 1) (%0 : ptr<global> = C, %1 : i64 = N \"N\") {\n"
                                  "    %2 = ctaid {axis = 0} : i64\n"
                                  "    %3 = ctaid {axis = 1} : i64\n"
                                  "    %4 = ctaid {axis = 2} : i64\n"
                                  "    %5 = mul %4, %1 : i64\n"
                                  "    %6 = add %5, %3 : i64\n"
                                  "    %7 = mul %6, %1 : i64\n"
                                  "    %8 = add %7, %2 : i64\n"
                                  "    %9 = const {type = i64, value = 8} : i64\n"
                                  "    %10 = mul %8, %9 : i64\n"
                                  "    %11 = ptradd %0, %10 : ptr<global>\n"
                                  "    %12 = const {type = i64, value = 100} : i64\n"
                                  "    %13 = mul %4, %12 : i64\n"
                                  "    %14 = add %13, %3 : i64\n"
                                  "    %15 = mul %14, %12 : i64\n"
                                  "    %16 = add %15, %2 : i64\n"
                                  "    lstore %11, %16 {align = 8}\n"
                                  "  }\n"
                                  "}\n";

static void test_coordinates(const char *target) {
  void *module = lane_open(ctx, target, coordinates);
  tg_cpu_entry *entry = lane_entry(module, "coords_0");
  if (!entry) return;
  int64_t out[5 * 5 * 5];
  memset(out, 0xff, sizeof out);
  const int64_t grid[4] = {5, 5, 5, 1};
  const uint64_t args[] = {(uint64_t)(uintptr_t)out, 5};
  CHECK(!entry(args, grid, 7, 7, NULL, NULL));
  CHECK(!entry(args, grid, 3, 100, NULL, NULL));
  for (int i = 0; i < 125; i++) {
    const int64_t want = i < 3 || i >= 100 ? -1 : i / 25 * 10000 + i / 5 % 5 * 100 + i % 5;
    CHECKF(out[i] == want, "block %d: %lld", i, (long long)out[i]);
  }
  dlclose(module);
}

// ---- a loop with carried values, a branch, a while

static const char control[] = "kernel control lane {\n"
                              "  dim N\n"
                              "  input A : f32[N]\n"
                              "  output C : f32[4]\n"
                              "  launch control_0 (1) block (1, 1, 1) (%0 : ptr<global> = A, %1 : ptr<global> = C, %2 : i64 = N \"N\") {\n"
                              "    %3 = const {type = i64, value = 0} : i64\n"
                              "    %4 = const {type = f32, value = 0x0p+0} : f32\n"
                              "    %5 = const {type = i64, value = 4} : i64\n"
                              "    %6, %7 = for %3, %2, %4, %4 {step = 1} : f32, f32 (%8 : i64, %9 : f32, %10 : f32) {\n"
                              "      %11 = mul %8, %5 : i64\n"
                              "      %12 = ptradd %0, %11 : ptr<global>\n"
                              "      %13 = lload %12 {type = f32, align = 4} : f32\n"
                              "      %14 = add %9, %13 : f32\n"
                              "      %15 = gt %13, %10 : i1\n"
                              "      %16 = if %15 : f32 {\n"
                              "        yield %13\n"
                              "      } {\n"
                              "        yield %10\n"
                              "      }\n"
                              "      yield %14, %16\n"
                              "    }\n"
                              "    lstore %1, %6 {align = 4}\n"
                              "    %20 = ptradd %1, %5 : ptr<global>\n"
                              "    lstore %20, %7 {align = 4}\n"
                              "    %21 = const {type = i64, value = 27} : i64\n"
                              "    %22, %23 = while %21, %3 : i64, i64 (%24 : i64, %25 : i64) {\n"
                              "      %26 = const {type = i64, value = 1} : i64\n"
                              "      %27 = ne %24, %26 : i1\n"
                              "      yield %27\n"
                              "    } (%30 : i64, %31 : i64) {\n"
                              "      %32 = const {type = i64, value = 2} : i64\n"
                              "      %33 = rem %30, %32 : i64\n"
                              "      %34 = const {type = i64, value = 1} : i64\n"
                              "      %35 = eq %33, %34 : i1\n"
                              "      %36 = const {type = i64, value = 3} : i64\n"
                              "      %37 = mul %30, %36 : i64\n"
                              "      %38 = add %37, %34 : i64\n"
                              "      %39 = div %30, %32 : i64\n"
                              "      %40 = select %35, %38, %39 : i64\n"
                              "      %41 = add %31, %34 : i64\n"
                              "      yield %40, %41\n"
                              "    }\n"
                              "    %50 = cast %23 {to = \"f32\"} : f32\n"
                              "    %51 = const {type = i64, value = 8} : i64\n"
                              "    %52 = ptradd %1, %51 : ptr<global>\n"
                              "    lstore %52, %50 {align = 4}\n"
                              "  }\n"
                              "}\n";

static void test_control(const char *target) {
  void *module = lane_open(ctx, target, control);
  tg_cpu_entry *entry = lane_entry(module, "control_0");
  if (!entry) return;
  const float a[] = {1, 7, -3, 2.5f};
  for (int n = 0; n <= 4; n++) {
    float c[4] = {-1, -1, -1, -1}, sum = 0, most = 0;
    for (int i = 0; i < n; i++) sum += a[i], most = a[i] > most ? a[i] : most;
    const int64_t grid[4] = {1, 1, 1, 1};
    const uint64_t args[] = {(uint64_t)(uintptr_t)a, (uint64_t)(uintptr_t)c, (uint64_t)n};
    CHECK(!entry(args, grid, 0, 1, NULL, NULL));
    CHECKF(c[0] == sum && c[1] == most, "n %d: %g %g", n, c[0], c[1]);
    CHECKF(c[2] == 111, "Collatz steps of 27: %g", c[2]); // OEIS A006577(27)
  }
  dlclose(module);
}

// ---- traps, prints, scratch

static const char trapping[] = "kernel trapping lane {\n"
                               "  dim N\n"
                               "  output C : f32[4]\n"
                               "  launch trapping_0 (N) block (1, 1, 1) (%0 : ptr<global> = C, %1 : i64 = N \"N\") {\n"
                               "    %2 = ctaid {axis = 0} : i64\n"
                               "    %3 = const {type = i64, value = 3} : i64\n"
                               "    %4 = scratch {space = \"local\", bytes = 16, align = 16} : ptr<local>\n"
                               "    %5 = scratch {space = \"local\", bytes = 64, align = 64} : ptr<local>\n"
                               "    %6 = cast %2 {to = \"f32\"} : f32\n"
                               "    %7 = splat %6 {n = 4} : f32[4]\n"
                               "    lstore %5, %7 {align = 64}\n"
                               "    lstore %4, %6 {align = 16}\n"
                               "    %8 = lload %5 {type = f32[4], align = 64} : f32[4]\n"
                               "    %9 = lload %4 {type = f32, align = 16} : f32\n"
                               "    debug_print %2, %8, %9 {text = \"seen\", types = \"i64, f32[4], f32\"}\n"
                               "    %10 = lt %2, %3 : i1\n"
                               "    trap %10 {text = \"block number too large\"}\n"
                               "    lstore %0, %8 {align = 4}\n"
                               "  }\n"
                               "}\n";

static int prints;
static void on_print(void *user, const char *text, const char *types, const uint64_t *slots) {
  CHECK(user == &prints);
  CHECK_STR(text, "seen");
  CHECK_STR(types, "i64, f32[4], f32");
  CHECKF((int64_t)slots[0] == prints, "%d: %lld", prints, (long long)slots[0]);
  for (int i = 1; i < 6; i++) {
    double x;
    memcpy(&x, &slots[i], sizeof x);
    CHECKF(x == prints, "%d: %g", prints, x);
  }
  prints++;
}

static void test_traps(const char *target) {
  void *module = lane_open(ctx, target, trapping);
  tg_cpu_entry *entry = lane_entry(module, "trapping_0");
  if (!entry) return;
  float c[4] = {0};
  void *scratch = aligned_alloc(4096, 4096);
  const tg_cpu_hooks hooks = {&prints, on_print};
  const int64_t grid[4] = {8, 1, 1, 1};
  const uint64_t args[] = {(uint64_t)(uintptr_t)c, 8};
  prints = 0;
  CHECK(!entry(args, grid, 0, 3, scratch, &hooks));
  CHECK(prints == 3 && c[0] == 2 && c[3] == 2);
  CHECK_STR(entry(args, grid, 3, 8, scratch, &hooks), "block number too large");
  CHECK(prints == 4 && c[0] == 2); // stopped at the first block, before its store
  free(scratch);
  dlclose(module);
}

// ---- masked accesses: nothing outside the mask is touched, at the end of a page beyond which lies nothing

static void test_masked(const char *target, const char *dtype, int bytes, int lanes) {
  char text[2048];
  snprintf(text, sizeof text,
           "kernel masked lane {\n"
           "  dim N\n  input A : %s[N]\n  output C : %s[N]\n"
           "  launch masked_0 (1) block (1, 1, 1) (%%0 : ptr<global> = A, %%1 : ptr<global> = C, %%2 : i64 = N \"N\") {\n"
           "    %%3 = iota {type = i64[%d]} : i64[%d]\n"
           "    %%4 = splat %%2 {n = %d} : i64[%d]\n"
           "    %%5 = lt %%3, %%4 : i1[%d]\n"
           "    %%6 = const {type = %s[%d], value = 0} : %s[%d]\n"
           "    %%7 = loadm %%0, %%5, %%6 {align = 1} : %s[%d]\n"
           "    storem %%1, %%7, %%5 {align = 1}\n"
           "    %%8 = const {type = i64[%d], value = %d} : i64[%d]\n"
           "    %%9 = mul %%3, %%8 : i64[%d]\n"
           "    %%10 = gatherv %%0, %%9, %%5, %%6 : %s[%d]\n"
           "    %%11 = eq %%10, %%7 : i1[%d]\n"
           "    %%12 = vreduce %%11 {kind = \"and\"} : i1\n"
           "    trap %%12 {text = \"gather and load differ\"}\n"
           "    scatterv %%1, %%9, %%10, %%5\n"
           "  }\n}\n",
           dtype, dtype, lanes, lanes, lanes, lanes, lanes, dtype, lanes, dtype, lanes, dtype, lanes, lanes, bytes, lanes, lanes, dtype,
           lanes, lanes);
  void *module = lane_open(ctx, target, text);
  tg_cpu_entry *entry = lane_entry(module, "masked_0");
  if (!entry) return;
  unsigned char *page[2];
  for (int p = 0; p < 2; p++) {
    page[p] = mmap(NULL, 3 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(page[p] + 4096, 4096, PROT_READ | PROT_WRITE);
  }
  for (int i = 0; i < 4096; i++) page[0][4096 + i] = (unsigned char)(i % 100 + 1) & 0x3f;
  for (int n = 0; n <= lanes; n++) {
    for (int end = 0; end < 2; end++) { // at the page's start and at its end
      const size_t size = (size_t)(n * bytes);
      memset(page[1] + 4096, 0xee, 4096);
      unsigned char *a = page[0] + 4096 + (end ? 4096 - size : 0), *c = page[1] + 4096 + (end ? 4096 - size : 0);
      const int64_t grid[4] = {1, 1, 1, 1};
      const uint64_t args[] = {(uint64_t)(uintptr_t)a, (uint64_t)(uintptr_t)c, (uint64_t)n};
      const char *trap = entry(args, grid, 0, 1, NULL, NULL);
      CHECKF(!trap, "%s[%d] n %d: %s", dtype, lanes, n, trap);
      CHECKF(!memcmp(a, c, size), "%s[%d] n %d", dtype, lanes, n);
      size_t touched = 0;
      for (int i = 0; i < 4096; i++) touched += page[1][4096 + i] != 0xee;
      CHECKF(touched == size, "%s[%d] n %d: %zu bytes written", dtype, lanes, n, touched);
    }
  }
  for (int p = 0; p < 2; p++) munmap(page[p], 3 * 4096);
  dlclose(module);
}

// ---- reductions: a halving tree of the lanes, so equal on every target

// Halves while the length is even; of an odd length the last element comes last.
static float tree(const float *a, int n, bool product) {
  if (n == 1) return a[0];
  if (n % 2) return product ? tree(a, n - 1, product) * a[n - 1] : tree(a, n - 1, product) + a[n - 1];
  float half[32];
  for (int i = 0; i < n / 2; i++) half[i] = product ? a[i] * a[i + n / 2] : a[i] + a[i + n / 2];
  return tree(half, n / 2, product);
}

static void test_reduce(const char *target, int lanes) {
  static const char *const kinds[] = {"sum", "prod", "min", "max", "minnum", "maxnum"};
  char text[4096];
  int n = snprintf(text, sizeof text,
                   "kernel reduce lane {\n  dim N\n  input A : f32[N]\n  output C : f32[6]\n"
                   "  launch reduce_0 (1) block (1, 1, 1) (%%0 : ptr<global> = A, %%1 : ptr<global> = C) {\n"
                   "    %%2 = lload %%0 {type = f32[%d], align = 4} : f32[%d]\n",
                   lanes, lanes);
  for (int k = 0; k < 6; k++) {
    n += snprintf(text + n, sizeof text - (size_t)n,
                  "    %%%d = vreduce %%2 {kind = \"%s\"} : f32\n    %%%d = const {type = i64, value = %d} : i64\n"
                  "    %%%d = ptradd %%1, %%%d : ptr<global>\n    lstore %%%d, %%%d {align = 4}\n",
                  10 + 3 * k, kinds[k], 11 + 3 * k, 4 * k, 12 + 3 * k, 11 + 3 * k, 12 + 3 * k, 10 + 3 * k);
  }
  snprintf(text + n, sizeof text - (size_t)n, "  }\n}\n");
  void *module = lane_open(ctx, target, text);
  tg_cpu_entry *entry = lane_entry(module, "reduce_0");
  if (!entry) return;
  float a[64], c[6];
  for (int nan_at = -1; nan_at < lanes; nan_at++) {
    float least = INFINITY, most = -INFINITY;
    for (int i = 0; i < lanes; i++) {
      a[i] = i == nan_at ? NAN : 1.0f + 0.37f * (float)((i * 29) % 17 - 5);
      least = fminf(least, a[i]), most = fmaxf(most, a[i]);
    }
    const float sum = tree(a, lanes, false), product = tree(a, lanes, true);
    const int64_t grid[4] = {1, 1, 1, 1};
    const uint64_t args[] = {(uint64_t)(uintptr_t)a, (uint64_t)(uintptr_t)c};
    CHECK(!entry(args, grid, 0, 1, NULL, NULL));
    const bool nan = nan_at >= 0;
    CHECKF(nan ? isnan(c[0]) && isnan(c[1]) : c[0] == sum && c[1] == product, "%d lanes: %g %g", lanes, c[0], c[1]);
    CHECKF(nan ? isnan(c[2]) && isnan(c[3]) : c[2] == least && c[3] == most, "%d lanes, nan at %d: %g %g", lanes, nan_at, c[2], c[3]);
    CHECKF((isnan(c[4]) && isnan(least)) || lanes == 1 || (c[4] == least && c[5] == most), "%d lanes, nan at %d: %g %g", lanes, nan_at,
           c[4], c[5]);
  }
  dlclose(module);
}

int main(void) {
  const char *targets[4];
  const int n = lane_targets(targets);
  CHECK(tg_context_new(NULL, &ctx) == TG_OK);
  for (int t = 0; t < n; t++) {
    test_coordinates(targets[t]);
    test_control(targets[t]);
    test_traps(targets[t]);
    test_masked(targets[t], "f32", 4, 8);
    test_masked(targets[t], "f32", 4, 32);
    test_masked(targets[t], "f64", 8, 4);
    test_masked(targets[t], "i8", 1, 16);
    test_masked(targets[t], "bf16", 2, 16);
    test_masked(targets[t], "i8", 1, 32);
    test_reduce(targets[t], 1);
    test_reduce(targets[t], 3);
    test_reduce(targets[t], 12);
    test_reduce(targets[t], 16);
    test_reduce(targets[t], 64);
  }
  tg_context_free(ctx);
  return test_done();
}
