// Every op that the simt lowering takes, executed by the warp interpreter and held against the tile interpreter, with 1 to 4 warps and both
// variants.
#include "codegen/codegen.h"
#include "interp/ops.h"
#include "oracle.h"
#include "simt/warp.h"
#include "targets/target.h"

static const tg_machine *machine;

typedef struct lowering_job {
  const char *text;
  int warps, variant;
  tg_kernel *tile, *lane;
} lowering_job;

static void lower_body(void *arg) {
  lowering_job *j = arg;
  j->tile = tg_parse(ctx, j->text, strlen(j->text), "test.tile");
  if (tg_verify(j->tile)) tg_rethrow(ctx);
  char warps[8];
  snprintf(warps, sizeof warps, "%d", j->warps);
  tg_binding binding = {"warps", warps};
  tg_lower_options options = {.machine = machine, .settings = {1, &binding}, .variant = j->variant};
  j->lane = tg_lowering_simt.lower(j->tile, &options);
  if (tg_verify(j->lane)) tg_rethrow(ctx);
}

// TG_OK and j->lane, or what it failed with.
static tg_status lower(lowering_job *j) {
  tg_status status = tg_protect(ctx, lower_body, j);
  if (j->tile) tg_kernel_free(j->tile);
  j->tile = NULL;
  return status;
}

static double number(const tg_tensor *t, int64_t i) {
  uint64_t bits = 0;
  size_t size = tg_dtype_bytes(t->dtype, 1);
  memcpy(&bits, (const char *)t->data + (size_t)i * size, size);
  if (tg_dtype_is_float(t->dtype)) return tg_decode(t->dtype, bits);
  return t->dtype == TG_I64   ? (double)(int64_t)bits
         : t->dtype == TG_I32 ? (double)(int32_t)bits
         : t->dtype == TG_I8  ? (double)(int8_t)bits
                              : (double)bits;
}

static void fill(tg_tensor *t, oracle_random *random) {
  size_t size = tg_dtype_bytes(t->dtype, 1);
  for (size_t i = 0; i < t->bytes / size; i++) {
    double v = oracle_normal(random) * 3;
    uint64_t bits = tg_dtype_is_float(t->dtype) ? tg_encode(t->dtype, v, TG_ROUND_SAT)
                    : t->dtype == TG_I1         ? v > 0
                                                : (uint64_t)(int64_t)(v * 20);
    memcpy((char *)t->data + i * size, &bits, size);
  }
}

static bool odd_scalar(void *user, const char *name, double *value) {
  (void)user, (void)name;
  *value = 1.5;
  return true;
}

// Runs `text` on both interpreters with the same inputs; `tolerance` is relative to the largest result (0 = the very bits).
static void compare(const char *what, const char *text, int n, const io *tensors, double tolerance, int warps, int variant) {
  tg_tensor a[8], b[8];
  oracle_random random = {42};
  for (int i = 0; i < n; i++) {
    job shape = {0};
    bind(&shape, n, tensors);
    a[i] = b[i] = shape.tensors[i];
    a[i].data = aligned_alloc(16, (a[i].bytes + 15) / 16 * 16 + 16);
    b[i].data = aligned_alloc(16, (a[i].bytes + 15) / 16 * 16 + 16);
    if (tensors[i].output) memset(a[i].data, 0x5a, a[i].bytes);
    else fill(&a[i], &random);
    memcpy(b[i].data, a[i].data, a[i].bytes);
  }
  job reference = {.text = text, .ntensors = n, .scalar = odd_scalar};
  memcpy(reference.tensors, a, sizeof a);
  CHECKF(run_job(&reference) == TG_OK, "%s: %s\n%s", what, tg_error_message(ctx), text);
  lowering_job l = {.text = text, .warps = warps, .variant = variant};
  CHECKF(lower(&l) == TG_OK, "%s: %s\n%s", what, tg_error_message(ctx), text);
  if (l.lane) {
    warp_job w = {.ntensors = n, .tensors = b, .lookup = no_symbol, .scalar = odd_scalar};
    CHECKF(warp_run(l.lane, &w), "%s, %d warps, variant %d: %s", what, warps, variant, w.error);
    for (int i = 0; i < n; i++) {
      double largest = 0;
      int64_t elements = (int64_t)(a[i].bytes / tg_dtype_bytes(a[i].dtype, 1));
      for (int64_t k = 0; k < elements; k++) largest = fmax(largest, fabs(number(&a[i], k)));
      for (int64_t k = 0; tensors[i].output && k < elements; k++) {
        double x = number(&a[i], k), y = number(&b[i], k);
        if (same_double(x, y) || fabs(x - y) <= tolerance * largest) continue;
        CHECKF(false, "%s, %d warps, variant %d: %s[%lld] is %g, want %g", what, warps, variant, a[i].name, (long long)k, y, x);
        break;
      }
      test_checks++;
    }
    tg_kernel_free(l.lane);
  }
  for (int i = 0; i < n; i++) free(a[i].data), free(b[i].data);
}

static void check_text(const char *what, const char *text, int n, const io *tensors, double tolerance) {
  for (int warps = 1; warps <= 4; warps *= 2)
    for (int variant = 0; variant < 2; variant++) compare(what, text, n, tensors, tolerance, warps, variant);
}

static void check(const char *body, int n, const io *tensors, double tolerance) {
  static char text[16384];
  wrap(text, sizeof text, n, tensors, body);
  check_text(body, text, n, tensors, tolerance);
}

#define X(type, ...) {"X", type, sizeof((int64_t[]){__VA_ARGS__}) / 8, {__VA_ARGS__}, NULL, false, NULL}
#define Y(type, ...) {"Y", type, sizeof((int64_t[]){__VA_ARGS__}) / 8, {__VA_ARGS__}, NULL, false, NULL}
#define O(type, ...) {"O", type, sizeof((int64_t[]){__VA_ARGS__}) / 8, {__VA_ARGS__}, NULL, true, NULL}
#define RUN1(body, tolerance, ...)                                                                                                         \
  do {                                                                                                                                     \
    const io tensors_[] = {__VA_ARGS__};                                                                                                   \
    check(body, sizeof tensors_ / sizeof *tensors_, tensors_, tolerance);                                                                  \
  } while (0)

static void test_elementwise(void) {
  RUN1("%oO = add %X, %Y : f32[16x32]", 0, X("f32", 16, 32), Y("f32", 16, 32), O("f32", 16, 32));
  RUN1("%oO = mul %X, %Y : bf16[3x40]", 0, X("bf16", 3, 40), Y("bf16", 3, 40), O("bf16", 3, 40));
  RUN1("%a = sub %X, %Y : i32[7]\n%oO = max %a, %X : i32[7]", 0, X("i32", 7), Y("i32", 7), O("i32", 7));
  RUN1("%c = lt %X, %Y : i1[5x64]\n%oO = select %c, %X, %Y : f16[5x64]", 0, X("f16", 5, 64), Y("f16", 5, 64), O("f16", 5, 64));
  RUN1("%oO = cast %X {to = \"bf16\"} : bf16[192]", 0, X("f32", 192), O("bf16", 192));
  RUN1("%oO = cast %X {to = \"i32\"} : i32[4x48]", 0, X("f32", 4, 48), O("i32", 4, 48));
  RUN1("%oO = cast %X {to = \"e4m3\", mode = \"sat\"} : e4m3[128]", 0, X("f32", 128), O("e4m3", 128));
  RUN1("%oO = cast %X {to = \"f32\"} : f32[128]", 0, X("e4m3", 128), O("f32", 128));
  RUN1("%oO = cast %X {to = \"i64\"} : i64[2x2x2x8]", 0, X("i32", 2, 2, 2, 8), O("i64", 2, 2, 2, 8));
  RUN1("%oO = exp %X : f32[96]", 1e-6, X("f32", 96), O("f32", 96));
  const io scaled[] = {X("f32", 64), O("f32", 64)};
  check_text(
      "scalar",
      "kernel t tile {\n  input X : f32[64]\n  scalar s : f32\n  output O : f32[64]\n  launch (1) {\n"
      "    %z = const {type = i64, value = 0} : i64\n    %n = const {type = i64, value = 64} : i64\n    %r = range %z, %n {len = 64, align "
      "= 1} : range<64>\n"
      "    %p = param {name = \"X\", type = view<f32,1>} : view<f32,1>\n    %q = param {name = \"O\", type = view<f32,1>} : view<f32,1>\n"
      "    %s = scalar {name = \"s\", type = f32} : f32\n    %b = broadcast %s {shape = [64]} : f32[64]\n    %x = load %p, %r : f32[64]\n"
      "    %d = div %x, %b : f32[64]\n    store %q, %r, %d\n  }\n}\n",
      2, scaled, 0);
}

static void test_shape(void) {
  RUN1("%oO = transpose %X {perm = [1, 0]} : f32[32x16]", 0, X("f32", 16, 32), O("f32", 32, 16));
  RUN1("%oO = transpose %X {perm = [2, 0, 1]} : bf16[12x4x8]", 0, X("bf16", 4, 8, 12), O("bf16", 12, 4, 8));
  RUN1("%t = transpose %X {perm = [1, 0]} : f32[32x32]\n%oO = add %X, %t : f32[32x32]", 0, X("f32", 32, 32), O("f32", 32, 32));
  RUN1("%t = transpose %X {perm = [1, 0]} : bf16[24x24]\n%oO = add %X, %t : bf16[24x24]", 0, X("bf16", 24, 24), O("bf16", 24, 24));
  RUN1("%t = transpose %X {perm = [1, 0]} : i8[64x64]\n%oO = sub %X, %t : i8[64x64]", 0, X("i8", 64, 64), O("i8", 64, 64));
  RUN1("%oO = reshape %X {shape = [8, 64]} : f32[8x64]", 0, X("f32", 16, 32), O("f32", 8, 64));
  RUN1("%oO = reshape %X {shape = [6, 8, 4]} : f32[6x8x4]", 0, X("f32", 6, 32), O("f32", 6, 8, 4));
  RUN1("%b = broadcast %X {shape = [12, 40]} : f32[12x40]\n%oO = add %b, %Y : f32[12x40]", 0, X("f32", 40), Y("f32", 12, 40),
       O("f32", 12, 40));
  RUN1("%b = broadcast %X {shape = [12, 40]} : f32[12x40]\n%oO = add %b, %Y : f32[12x40]", 0, X("f32", 12, 1), Y("f32", 12, 40),
       O("f32", 12, 40));
  RUN1("%oO = spread %X {axis = 1, factor = 4} : f32[6x32]", 0, X("f32", 6, 8), O("f32", 6, 32));
  RUN1("%oO = spread %X {axis = 0, factor = 5} : f32[5x32]", 0, X("f32", 1, 32), O("f32", 5, 32));
  RUN1("%i = iota {type = i32[48]} : i32[48]\n%oO = add %i, %X : i32[48]", 0, X("i32", 48), O("i32", 48));
  RUN1("%i = index %rX0 : i64[20]\n%oO = mul %i, %X : i64[20]", 0, X("i64", 20), O("i64", 20));
}

// Lines along one axis, then along another: shuffles of words with one, two or four elements, of halves, and selects alone.
static void test_conversions(void) {
#define TWICE(dtype, shape, ...)                                                                                                           \
  RUN1("%a = scan %X {axis = 0, kind = \"max\"} : " dtype "[" shape "]\n%oO = scan %a {axis = 1, kind = \"max\"} : " dtype "[" shape "]",  \
       0, X(dtype, __VA_ARGS__), O(dtype, __VA_ARGS__))
  TWICE("bf16", "2x2x64", 2, 2, 64);
  TWICE("i8", "2x2x64", 2, 2, 64);
  TWICE("f16", "8x16", 8, 16);
  TWICE("f64", "8x16", 8, 16);
  TWICE("i64", "4x64", 4, 64);
  TWICE("f32", "16x16", 16, 16);
  TWICE("i32", "12x32", 12, 32);
  TWICE("bf16", "32x64", 32, 64);
  TWICE("i8", "16x32", 16, 32);
  RUN1("%a = scan %X {axis = 0, kind = \"max\"} : f32[64x2]\n%b = scan %X {axis = 1, kind = \"max\"} : f32[64x2]\n%c = lt %a, %b : "
       "i1[64x2]\n%d = scan %b {axis = 0, kind = \"max\"} : f32[64x2]\n%oO = select %c, %d, %X : f32[64x2]",
       0, X("f32", 64, 2), O("f32", 64, 2));
}

// Written out within warps, and by loops over shared memory; NaN (of negative numbers), equal keys, lines side by side, 64-bit keys.
static void test_sort(void) {
#define Q(type, ...) {"Q", type, sizeof((int64_t[]){__VA_ARGS__}) / 8, {__VA_ARGS__}, NULL, true, NULL}
#define SORTED(dtype, shape, axis, down, ...)                                                                                              \
  RUN1("%oO, %oQ = sort %X, %Y {axis = " axis down "} : " dtype "[" shape "], i32[" shape "]", 0, X(dtype, __VA_ARGS__),                   \
       Y("i32", __VA_ARGS__), O(dtype, __VA_ARGS__), Q("i32", __VA_ARGS__))
#define WITH_NAN(shape, axis, down, ...)                                                                                                   \
  RUN1("%k = sqrt %X : f32[" shape "]\n%oO, %oQ = sort %k, %Y {axis = " axis down "} : f32[" shape "], i32[" shape "]", 0,                 \
       X("f32", __VA_ARGS__), Y("i32", __VA_ARGS__), O("f32", __VA_ARGS__), Q("i32", __VA_ARGS__))
#define DOWN ", descending = 1"
  SORTED("f32", "64", "0", "", 64);
  SORTED("i8", "1024", "0", "", 1024);
  SORTED("i8", "2048", "0", DOWN, 2048);
  SORTED("bf16", "3x512", "1", DOWN, 3, 512);
  SORTED("f32", "512x5", "0", "", 512, 5);
  SORTED("f64", "2x512", "1", DOWN, 2, 512);
  SORTED("i64", "256x4", "0", "", 256, 4);
  SORTED("i8", "192x8", "1", "", 192, 8);
  SORTED("i8", "512x8", "1", "", 512, 8);
  SORTED("i8", "241x4", "1", DOWN, 241, 4);
  WITH_NAN("1024", "0", "", 1024);
  WITH_NAN("4x256x2", "1", DOWN, 4, 256, 2);
  // only what it carries is used
  RUN1("%k, %oO = sort %X, %Y {axis = 0} : i8[1024], f16[1024]", 0, X("i8", 1024), Y("f16", 1024), O("f16", 1024));
}

static void test_reduce(void) {
  RUN1("%oO = reduce %X {kind = \"sum\", axis = 1} : f32[16x1]", 1e-6, X("f32", 16, 64), O("f32", 16, 1));
  RUN1("%oO = reduce %X {kind = \"sum\", axis = 0} : f32[1x64]", 1e-6, X("f32", 24, 64), O("f32", 1, 64));
  RUN1("%oO = reduce %X {kind = \"max\", axis = 1} : bf16[4x1]", 0, X("bf16", 4, 160), O("bf16", 4, 1));
  RUN1("%oO = reduce %X {kind = \"min\", axis = 0} : i64[1]", 0, X("i64", 256), O("i64", 1));
  RUN1("%oO = reduce %X {kind = \"max\", axis = 0} : f64[1]", 0, X("f64", 192), O("f64", 1));
  RUN1("%oO = reduce %X {kind = \"max\", axis = 1} : i8[2x1x8]", 0, X("i8", 2, 32, 8), O("i8", 2, 1, 8));
  RUN1("%oO = reduce %X {kind = \"xor\", axis = 1} : i32[3x1]", 0, X("i32", 3, 96), O("i32", 3, 1));
  RUN1("%oO = reduce %X {kind = \"minnum\", axis = 0} : f16[1x32]", 0, X("f16", 64, 32), O("f16", 1, 32));
  RUN1("%t = transpose %X {perm = [1, 0]} : f32[64x16]\n%oO = reduce %t {kind = \"max\", axis = 1} : f32[64x1]", 0, X("f32", 16, 64),
       O("f32", 64, 1));
  RUN1("%r = reduce %X {kind = \"max\", axis = 1} : f32[16x1]\n%b = broadcast %r {shape = [16, 32]} : f32[16x32]\n%oO = sub %X, %b : "
       "f32[16x32]",
       0, X("f32", 16, 32), O("f32", 16, 32));
  RUN1("%r = reduce %X {kind = \"max\", axis = 0} : f32[1x32]\n%t = transpose %r {perm = [1, 0]} : f32[32x1]\n"
       "%b = broadcast %t {shape = [32, 32]} : f32[32x32]\n%oO = sub %X, %b : f32[32x32]",
       0, X("f32", 32, 32), O("f32", 32, 32));
}

static void test_dot(void) {
#define ZERO(m, n) "%z = const {type = f32[" #m "x" #n "], value = 0x0p+0} : f32[" #m "x" #n "]\n"
  RUN1(ZERO(16, 8) "%oO = dot %X, %Y, %z : f32[16x8]", 1e-5, X("bf16", 16, 16), Y("bf16", 16, 8), O("f32", 16, 8));
  RUN1(ZERO(64, 32) "%oO = dot %X, %Y, %z : f32[64x32]", 1e-5, X("f16", 64, 48), Y("f16", 48, 32), O("f32", 64, 32));
  RUN1(ZERO(48, 24) "%oO = dot %X, %Y, %z : f32[48x24]", 1e-5, X("bf16", 48, 32), Y("bf16", 32, 24), O("f32", 48, 24));
  RUN1(ZERO(2, 1) "%oO = dot %X, %Y, %z : f32[2x1]", 1e-5, X("bf16", 2, 64), Y("bf16", 64, 1), O("f32", 2, 1));
  RUN1(ZERO(1, 4) "%oO = dot %X, %Y, %z : f32[1x4]", 1e-5, X("bf16", 1, 16), Y("bf16", 16, 4), O("f32", 1, 4));
  RUN1(ZERO(3, 5) "%oO = dot %X, %Y, %z : f32[3x5]", 1e-5, X("bf16", 3, 16), Y("bf16", 16, 5), O("f32", 3, 5));
  RUN1(ZERO(32, 32) "%t = transpose %Y {perm = [1, 0]} : bf16[64x32]\n%oO = dot %X, %t, %z : f32[32x32]", 1e-5, X("bf16", 32, 64),
       Y("bf16", 32, 64), O("f32", 32, 32));
  RUN1(ZERO(16, 16) "%oO = dot %X, %Y, %z : f32[16x16]", 1e-5, X("bf16", 16, 8), Y("bf16", 8, 16), O("f32", 16, 16));
  RUN1(ZERO(16, 32) "%oO = dot %X, %Y, %z : f32[16x32]", 1e-5, X("bf16", 16, 1), Y("bf16", 1, 32), O("f32", 16, 32));
  // Without a matrix instruction: lanes multiply and add.
  RUN1(ZERO(16, 32) "%oO = dot %X, %Y, %z : f32[16x32]", 1e-5, X("f32", 16, 24), Y("f32", 24, 32), O("f32", 16, 32));
  RUN1(ZERO(3, 40) "%t = transpose %Y {perm = [1, 0]} : f32[8x40]\n%oO = dot %X, %t, %z : f32[3x40]", 1e-5, X("f32", 3, 8), Y("f32", 40, 8),
       O("f32", 3, 40));
  RUN1(ZERO(8, 1) "%oO = dot %X, %Y, %z : f32[8x1]", 1e-5, X("e4m3", 8, 32), Y("e4m3", 32, 1), O("f32", 8, 1));
  RUN1("%z = const {type = i32[16x16], value = 3} : i32[16x16]\n%oO = dot %X, %Y, %z : i32[16x16]", 0, X("i8", 16, 32), Y("i8", 32, 16),
       O("i32", 16, 16));
  const io scaled[] = {X("e4m3", 16, 64),
                       Y("e4m3", 64, 32),
                       O("f32", 16, 32),
                       {"A", "f32", 2, {16, 1}, NULL, false, NULL},
                       {"B", "f32", 2, {2, 1}, NULL, false, NULL}};
  check(ZERO(16, 32) "%oO = dot_scaled %X, %Y, %z, %A, %B : f32[16x32]", 5, scaled, 1e-5);
  // Operands that are computed from tiles in other layouts, and a product of a product.
  RUN1(ZERO(32, 32) "%r = reduce %X {kind = \"max\", axis = 1} : bf16[32x1]\n%b = broadcast %r {shape = [32, 32]} : bf16[32x32]\n"
                    "%d = sub %X, %b : bf16[32x32]\n%p = dot %d, %Y, %z : f32[32x32]\n%q = cast %p {to = \"bf16\"} : bf16[32x32]\n%oO = "
                    "dot %q, %X, %p : f32[32x32]",
       2e-3, X("bf16", 32, 32), Y("bf16", 32, 32), O("f32", 32, 32));
}

static void test_control(void) {
  RUN1("%c0 = const {type = i64, value = 3} : i64\n%c1 = const {type = i64, value = 11} : i64\n"
       "%oO, %s = for %c0, %c1, %X, %c0 {step = 4} : f32[20], i64 (%i : i64, %a : f32[20], %n : i64) {\n%b = add %a, %Y : f32[20]\n%m = "
       "add %n, %i : i64\n"
       "yield %b, %m\n}",
       0, X("f32", 20), Y("f32", 20), O("f32", 20));
  RUN1("%r = reduce %X {kind = \"sum\", axis = 0} : i32[1]\n%q = reshape %r {shape = []} : i32\n%k = const {type = i32, value = 0} : "
       "i32\n%c = gt %q, %k : i1\n"
       "%oO = if %c : i32[64] {\nyield %X\n} {\n%n = neg %X : i32[64]\nyield %n\n}",
       0, X("i32", 64), O("i32", 64));
  RUN1("%k = const {type = i64, value = 5} : i64\n%one = const {type = i64, value = 1} : i64\n"
       "%n, %oO = while %k, %X : i64, f32[32] (%i : i64, %a : f32[32]) {\n%c = gt %i, %one : i1\nyield %c\n} (%j : i64, %b : f32[32]) {\n"
       "%d = add %b, %b : f32[32]\n%l = sub %j, %one : i64\nyield %l, %d\n}",
       0, X("f32", 32), O("f32", 32));
}

// Ranges that begin before 0 or end beyond the tensor or their own end; fills; views that slice, permute and broadcast; masks of stores.
static void test_memory(void) {
  const io in_out[] = {X("f32", 10, 24), O("f32", 16, 32)};
  check_text(
      "ranges",
      "kernel t tile {\n  input X : f32[10, 24]\n  output O : f32[16, 32]\n  launch (1) {\n"
      "    %a = const {type = i64, value = -3} : i64\n    %b = const {type = i64, value = 5} : i64\n    %e = const {type = i64, value = "
      "100} : i64\n"
      "    %f = const {type = i64, value = 20} : i64\n    %z = const {type = i64, value = 0} : i64\n"
      "    %p = param {name = \"X\", type = view<f32,2>} : view<f32,2>\n    %q = param {name = \"O\", type = view<f32,2>} : view<f32,2>\n"
      "    %r = range %a, %e {len = 16, align = 1} : range<16>\n    %s = range %b, %f {len = 32, align = 1} : range<32>\n"
      "    %v = load %p, %r, %s {fill = 0x1.8p+1} : f32[16x32]\n    %m = range %z, %e {len = 16, align = 1} : range<16>\n"
      "    %n = range %z, %e {len = 32, align = 1} : range<32>\n    store %q, %m, %n, %v\n  }\n}\n",
      2, in_out, 0);
  const io loaded[] = {X("f32", 40), Y("i64", 2), O("f32", 64)};
  check_text(
      "loaded ranges",
      "kernel t tile {\n  input X : f32[40]\n  input Y : i64[2]\n  output O : f32[64]\n  launch (1) {\n"
      "    %z = const {type = i64, value = 0} : i64\n    %o = const {type = i64, value = 1} : i64\n    %e = const {type = i64, value = 64} "
      ": i64\n"
      "    %p = param {name = \"X\", type = view<f32,1>} : view<f32,1>\n    %y = param {name = \"Y\", type = view<i64,1>} : view<i64,1>\n"
      "    %q = param {name = \"O\", type = view<f32,1>} : view<f32,1>\n    %a = load %y, %z : i64\n    %b = load %y, %o : i64\n"
      "    %lo = min %a, %b : i64\n    %hi = max %a, %b : i64\n    %r = range %lo, %hi {len = 64, align = 1} : range<64>\n    %v = load "
      "%p, %r : f32[64]\n"
      "    %n = range %z, %e {len = 64, align = 1} : range<64>\n    %g = const {type = f32[64], value = 0x0p+0} : f32[64]\n    %m = ge %v, "
      "%g : i1[64]\n"
      "    store %q, %n, %v, %m {mask = 1}\n  }\n}\n",
      3, loaded, 0);
  const io viewed[] = {X("bf16", 12, 40), O("bf16", 32, 8)};
  check_text(
      "views",
      "kernel t tile {\n  input X : bf16[12, 40]\n  output O : bf16[32, 8]\n  launch (1) {\n"
      "    %z = const {type = i64, value = 0} : i64\n    %off = const {type = i64, value = 82} : i64\n    %d0 = const {type = i64, value = "
      "30} : i64\n"
      "    %d1 = const {type = i64, value = 7} : i64\n    %s0 = const {type = i64, value = 1} : i64\n    %s1 = const {type = i64, value = "
      "40} : i64\n"
      "    %n0 = const {type = i64, value = 32} : i64\n    %n1 = const {type = i64, value = 8} : i64\n"
      "    %p = param {name = \"X\", type = view<bf16,2>} : view<bf16,2>\n    %q = param {name = \"O\", type = view<bf16,2>} : "
      "view<bf16,2>\n"
      "    %v = view %p, %off, %d0, %d1, %s0, %s1 {type = view<bf16,2>} : view<bf16,2>\n    %r = range %z, %n0 {len = 32, align = 32} : "
      "range<32>\n"
      "    %s = range %z, %n1 {len = 8, align = 8} : range<8>\n    %t = load %v, %r, %s : bf16[32x8]\n    store %q, %r, %s, %t\n  }\n}\n",
      2, viewed, 0);
}

// What cannot be lowered says so with the line, and what could be.
static void test_refusals(void) {
  static const struct {
    const char *body, *want;
  } cases[] = {
      {"print %X {text = \"x\"} @k.lua:7\n%oO = neg %X : f32[64]", "k.lua:7: in kernel 't': on nvptx:sm_80: 'print' is not supported"},
  };
  const io tensors[] = {X("f32", 64), O("f32", 64)};
  static char text[4096];
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    wrap(text, sizeof text, 2, tensors, cases[i].body);
    lowering_job l = {.text = text, .warps = 1};
    CHECK(lower(&l) == TG_INVALID);
    CHECKF(strstr(tg_error_message(ctx), cases[i].want), "%s", tg_error_message(ctx));
  }
  const io f32s[] = {X("f32", 64, 64), Y("f32", 64, 256), O("f32", 64, 256)};
  wrap(text, sizeof text, 3, f32s, ZERO(64, 256) "%oO = dot %X, %Y, %z : f32[64x256]");
  lowering_job l = {.text = text, .warps = 1};
  CHECK(lower(&l) == TG_INVALID);
  const io two[] = {X("e4m3", 16, 64),
                    Y("e4m3", 64, 16),
                    O("f32", 16, 16),
                    {"A", "f32", 2, {16, 2}, NULL, false, NULL},
                    {"B", "f32", 2, {1, 2}, NULL, false, NULL}};
  wrap(text, sizeof text, 5, two, ZERO(16, 16) "%oO = dot_scaled %X, %Y, %z, %A, %B : f32[16x16] @k.lua:3");
  CHECK(lower(&l) == TG_INVALID);
  CHECKF(strstr(tg_error_message(ctx), "k.lua:3: in kernel 't': a dot with several scales"), "%s", tg_error_message(ctx));
  const io big[] = {X("bf16", 128, 64), Y("bf16", 64, 128), O("f32", 128, 128)};
  wrap(text, sizeof text, 3, big, ZERO(128, 128) "%oO = dot %X, %Y, %z : f32[128x128]");
  CHECK(lower(&l) == TG_INVALID);
  CHECKF(strstr(tg_error_message(ctx), "registers of each thread") && strstr(tg_error_message(ctx), "warps="), "%s", tg_error_message(ctx));
}

// What the machine's figures bound: lanes of a warp, threads of a block.
static void test_machine(void) {
  char text[4096];
  const io f32s[] = {X("f32", 8, 8), O("f32", 8, 8)};
  wrap(text, sizeof text, 2, f32s, "%oO = neg %X : f32[8x8]");
  const tg_machine *full = machine;
  tg_machine small = *machine, wide = *machine;
  small.max_threads = 64, wide.warp = 64;
  machine = &small;
  tg_kernel *tile;
  tg_knob knob = {0};
  CHECK(tg_kernel_parse(ctx, text, strlen(text), "test.tile", &tile) == TG_OK);
  CHECK(tg_lowering_simt.knobs(tile, machine, &knob, 1) == 1 && knob.nvalues == 2 && knob.values[0] == 1 && knob.values[1] == 2);
  tg_kernel_free(tile);
  lowering_job l = {.text = text, .warps = 2};
  CHECKF(lower(&l) == TG_OK, "%s", tg_error_message(ctx));
  if (l.lane) tg_kernel_free(l.lane);
  l = (lowering_job){.text = text, .warps = 4};
  CHECK(lower(&l) == TG_INVALID && strstr(tg_error_message(ctx), "warps=4: it can be a power of two up to 2 here"));
  machine = &wide;
  l = (lowering_job){.text = text, .warps = 1};
  CHECK(lower(&l) == TG_INVALID && strstr(tg_error_message(ctx), "have 64 lanes"));
  machine = full;
}

int main(void) {
  CHECK(tg_context_new(NULL, &ctx) == TG_OK);
  const tg_family *family;
  machine = tg_target_find(ctx, "nvptx:sm_80", &family);
  test_elementwise();
  test_shape();
  test_conversions();
  test_sort();
  test_reduce();
  test_dot();
  test_control();
  test_memory();
  test_refusals();
  test_machine();
  tg_context_free(ctx);
  return test_done();
}
