// Constants, coordinates, ops that move elements, reductions, sort, dot: against results written by hand.
#include "ops.h"

#define F(...) ((float[]){__VA_ARGS__})
#define I(...) ((int32_t[]){__VA_ARGS__})

static void same_floats(const char *what, int n, const float *got, const float *want) {
  for (int i = 0; i < n; i++) CHECKF(same_double(got[i], want[i]), "%s, element %d: %.9g, want %.9g", what, i, got[i], want[i]);
}
static void same_ints(const char *what, int n, const int32_t *got, const int32_t *want) {
  for (int i = 0; i < n; i++) CHECKF(got[i] == want[i], "%s, element %d: %d, want %d", what, i, got[i], want[i]);
}

// X f32 of rank 2 to R f32 through a body.
static void floats(const char *body, int64_t xr, int64_t xc, float *x, int rank, int64_t r0, int64_t r1, int64_t r2, const float *want) {
  float r[64];
  const int n = (int)(r0 * (rank > 1 ? r1 : 1) * (rank > 2 ? r2 : 1));
  RUN(2, ((io[]){{"X", "f32", 2, {xr, xc}, x, false, NULL}, {"R", "f32", rank, {r0, r1, r2}, r, true, NULL}}), body);
  same_floats(body, n, r, want);
}
static void ints(const char *body, int64_t n, int32_t *x, int64_t m, const int32_t *want) {
  int32_t r[64];
  RUN(2, ((io[]){{"X", "i32", 1, {n}, x, false, NULL}, {"R", "i32", 1, {m}, r, true, NULL}}), body);
  same_ints(body, (int)m, r, want);
}

static void constants(void) {
  float r[4];
  int32_t i[4];
  int64_t l[4];
  uint8_t e[2];
  RUN(1, ((io[]){{"R", "f32", 1, {4}, r, true, NULL}}), "%oR = const {type = f32[4], value = -0x1.8p+1} : f32[4]");
  same_floats("const", 4, r, F(-3, -3, -3, -3));
  RUN(1, ((io[]){{"R", "i32", 1, {4}, i, true, NULL}}), "%oR = const {type = i32[4], value = -7} : i32[4]");
  same_ints("const", 4, i, I(-7, -7, -7, -7));
  RUN(1, ((io[]){{"R", "e4m3", 1, {2}, e, true, NULL}}), "%oR = const {type = e4m3[2], value = 0x1p+0} : e4m3[2]");
  CHECK(e[0] == 0x38 && e[1] == 0x38);
  RUN(1, ((io[]){{"R", "i32", 1, {4}, i, true, NULL}}), "%oR = iota {type = i32[4]} : i32[4]");
  same_ints("iota", 4, i, I(0, 1, 2, 3));
  RUN(1, ((io[]){{"R", "i64", 1, {4}, l, true, NULL}}),
      "%s = const {type = i64, value = 10} : i64\n%g = range %s, %zero {len = 4, align = 2} : range<4>\n%oR = index %g : i64[4]");
  CHECK(l[0] == 10 && l[3] == 13);
  RUN(1, ((io[]){{"R", "i64", 1, {1}, l, true, NULL}}),
      "%s = const {type = i64, value = 10} : i64\n%e = const {type = i64, value = 33} : i64\n%g = range %s, %e {len = 4, align = 1} : "
      "range<4>\n"
      "%a = first %g : i64\n%b = last %g : i64\n%c = sub %b, %a : i64\n%oR = reshape %c {shape = [1]} : i64[1]");
  CHECK(l[0] == 23);
}

static void moves(void) {
  float x[6] = {1, 2, 3, 4, 5, 6}, row[2] = {1, 2};
  floats("%oR = transpose %X {perm = [1, 0]} : f32[3x2]", 2, 3, x, 2, 3, 2, 1, F(1, 4, 2, 5, 3, 6));
  floats("%oR = reshape %X {shape = [3, 2]} : f32[3x2]", 2, 3, x, 2, 3, 2, 1, F(1, 2, 3, 4, 5, 6));
  floats("%oR = broadcast %X {shape = [3, 2]} : f32[3x2]", 1, 2, row, 2, 3, 2, 1, F(1, 2, 1, 2, 1, 2));
  floats("%oR = broadcast %X {shape = [2, 3]} : f32[2x3]", 2, 1, row, 2, 2, 3, 1, F(1, 1, 1, 2, 2, 2));
  floats("%oR = broadcast %X {shape = [2, 2, 2]} : f32[2x2x2]", 1, 2, row, 3, 2, 2, 2, F(1, 2, 1, 2, 1, 2, 1, 2));
  floats("%oR = spread %X {axis = 1, factor = 2} : f32[2x6]", 2, 3, x, 2, 2, 6, 1, F(1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6));
  floats("%oR = spread %X {axis = 0, factor = 2} : f32[4x3]", 2, 3, x, 2, 4, 3, 1, F(1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6));
  floats("%y = neg %X : f32[2x3]\n%oR = join %X, %y : f32[2x3x2]", 2, 3, x, 3, 2, 3, 2, F(1, -1, 2, -2, 3, -3, 4, -4, 5, -5, 6, -6));
  floats("%a, %b = split %X : f32[3], f32[3]\n%oR = sub %b, %a : f32[3]", 3, 2, F(1, 2, 10, 30, 5, 4), 1, 3, 1, 1, F(1, 20, -1));
  floats("%y = reshape %X {shape = [1, 2, 3]} : f32[1x2x3]\n%oR = transpose %y {perm = [2, 0, 1]} : f32[3x1x2]", 2, 3, x, 3, 3, 1, 2,
         F(1, 4, 2, 5, 3, 6));
}

static void reductions(void) {
  float x[6] = {1, -2, 3, 4, NAN, -6}, y[4] = {16777216, 1, 1, 1}, z[2] = {-0.0f, 0};
  floats("%oR = reduce %X {kind = \"sum\", axis = 1} : f32[2x1]", 2, 3, x, 2, 2, 1, 1, F(2, NAN));
  floats("%oR = reduce %X {kind = \"sum\", axis = 0} : f32[1x3]", 2, 3, x, 2, 1, 3, 1, F(5, NAN, -3));
  if (on_interpreter())
    floats("%oR = reduce %X {kind = \"sum\", axis = 1} : f32[1x1]", 1, 4, y, 2, 1, 1, 1, F(16777216)); // in float, in index order
  floats("%oR = reduce %X {kind = \"prod\", axis = 1} : f32[2x1]", 2, 3, F(1, -2, 3, 4, 0.5f, -6), 2, 2, 1, 1, F(-6, -12));
  floats("%oR = reduce %X {kind = \"max\", axis = 1} : f32[2x1]", 2, 3, x, 2, 2, 1, 1, F(3, NAN));
  floats("%oR = reduce %X {kind = \"min\", axis = 1} : f32[2x1]", 2, 3, x, 2, 2, 1, 1, F(-2, NAN));
  floats("%oR = reduce %X {kind = \"maxnum\", axis = 1} : f32[2x1]", 2, 3, x, 2, 2, 1, 1, F(3, 4));
  floats("%oR = reduce %X {kind = \"minnum\", axis = 1} : f32[2x1]", 2, 3, x, 2, 2, 1, 1, F(-2, -6));
  if (on_interpreter()) floats("%oR = reduce %X {kind = \"max\", axis = 1} : f32[1x1]", 1, 2, z, 2, 1, 1, 1, F(0));
  ints("%oR = reduce %X {kind = \"sum\", axis = 0} : i32[1]", 3, I(INT32_MAX, 1, 5), 1, I(INT32_MIN + 5));
  ints("%oR = reduce %X {kind = \"and\", axis = 0} : i32[1]", 3, I(7, 6, 14), 1, I(6));
  ints("%oR = reduce %X {kind = \"or\", axis = 0} : i32[1]", 3, I(1, 2, 8), 1, I(11));
  ints("%oR = reduce %X {kind = \"xor\", axis = 0} : i32[1]", 3, I(1, 3, 8), 1, I(10));
  ints("%z = const {type = i32[3], value = 3} : i32[3]\n%c = lt %X, %z : i1[3]\n%d = reduce %c {kind = \"and\", axis = 0} : i1[1]\n"
       "%oR = cast %d {to = \"i32\"} : i32[1]",
       3, I(1, 2, 3), 1, I(0));
  uint16_t b[4] = {0x4380, 0x3f80, 0x3f80, 0x3f80}, r[1]; // 256 + 1 + 1 + 1 in float, rounded once: 259 to the even 260
  RUN(2, ((io[]){{"X", "bf16", 1, {4}, b, false, NULL}, {"R", "bf16", 1, {1}, r, true, NULL}}),
      "%oR = reduce %X {kind = \"sum\", axis = 0} : bf16[1]");
  CHECKF(r[0] == 0x4382, "%04x", r[0]);
}

static void scans(void) {
  float x[4] = {1, 2, 3, 4};
  floats("%oR = scan %X {kind = \"sum\", axis = 1} : f32[1x4]", 1, 4, x, 2, 1, 4, 1, F(1, 3, 6, 10));
  floats("%oR = scan %X {kind = \"sum\", axis = 1, exclusive = 1} : f32[1x4]", 1, 4, x, 2, 1, 4, 1, F(0, 1, 3, 6));
  floats("%oR = scan %X {kind = \"sum\", axis = 1, reverse = 1} : f32[1x4]", 1, 4, x, 2, 1, 4, 1, F(10, 9, 7, 4));
  floats("%oR = scan %X {kind = \"sum\", axis = 1, exclusive = 1, reverse = 1} : f32[1x4]", 1, 4, x, 2, 1, 4, 1, F(9, 7, 4, 0));
  floats("%oR = scan %X {kind = \"max\", axis = 1, exclusive = 1} : f32[1x4]", 1, 4, F(3, 1, 5, 2), 2, 1, 4, 1, F(-INFINITY, 3, 3, 5));
  floats("%oR = scan %X {kind = \"prod\", axis = 0} : f32[2x2]", 2, 2, x, 2, 2, 2, 1, F(1, 2, 3, 8));
  floats("%oR = scan %X {kind = \"max\", axis = 1} : f32[1x4]", 1, 4, F(1, NAN, 5, 2), 2, 1, 4, 1, F(1, NAN, NAN, NAN));
  floats("%oR = scan %X {kind = \"maxnum\", axis = 1} : f32[1x4]", 1, 4, F(1, NAN, 5, 2), 2, 1, 4, 1, F(1, 1, 5, 5));
  ints("%oR = scan %X {kind = \"min\", axis = 0, exclusive = 1} : i32[3]", 3, I(3, 1, 2), 3, I(INT32_MAX, 3, 1));
  ints("%oR = scan %X {kind = \"and\", axis = 0, exclusive = 1} : i32[3]", 3, I(3, 1, 2), 3, I(-1, 3, 1));
  ints("%oR = scan %X {kind = \"max\", axis = 0, exclusive = 1} : i32[2]", 2, I(3, 1), 2, I(INT32_MIN, 3));
}

static void orders(void) {
  int32_t r[2];
  float x[8] = {1, 7, 7, -1, -0.0f, 0, -3, -4}, n[4] = {1, NAN, INFINITY, NAN};
  RUN(2, ((io[]){{"X", "f32", 2, {2, 4}, x, false, NULL}, {"R", "i32", 2, {2, 1}, r, true, NULL}}),
      "%oR = argmax %X {axis = 1} : i32[2x1]");
  CHECK(r[0] == 1 && r[1] == 0); // the lower of equals, -0 and +0 among them
  RUN(2, ((io[]){{"X", "f32", 2, {1, 4}, n, false, NULL}, {"R", "i32", 2, {1, 1}, r, true, NULL}}),
      "%oR = argmax %X {axis = 1} : i32[1x1]");
  CHECK(r[0] == 1);
  ints("%oR = argmax %X {axis = 0} : i32[1]", 3, I(-5, -2, -2), 1, I(1));
  floats("%oR = sort %X {axis = 1} : f32[1x8]", 1, 8, F(3, NAN, -0.0f, INFINITY, 0, -1, -INFINITY, 2), 2, 1, 8, 1,
         F(-INFINITY, -1, -0.0f, 0, 2, 3, INFINITY, NAN));
  floats("%oR = sort %X {axis = 1, descending = 1} : f32[1x4]", 1, 4, F(0, NAN, -0.0f, 1), 2, 1, 4, 1, F(NAN, 1, 0, -0.0f));
  floats("%oR = sort %X {axis = 0} : f32[2x2]", 2, 2, F(3, 1, 2, 4), 2, 2, 2, 1, F(2, 1, 3, 4));
  // stable, payload carried, both ways
  ints("%i = iota {type = i32[8]} : i32[8]\n%k, %oR = sort %X, %i {axis = 0} : i32[8], i32[8]", 8, I(2, 1, 2, 1, 0, 2, 1, 0), 8,
       I(4, 7, 1, 3, 6, 0, 2, 5));
  // one half alone is wanted of what a split takes from a sort
  ints("%i = iota {type = i32[8]} : i32[8]\n%k, %s = sort %X, %i {axis = 0} : i32[8], i32[8]\n"
       "%p = reshape %s {shape = [4, 2]} : i32[4x2]\n%no, %oR = split %p : i32[4], i32[4]",
       8, I(2, 1, 2, 1, 0, 2, 1, 0), 4, I(7, 3, 0, 5));
  ints("%i = iota {type = i32[8]} : i32[8]\n%k, %oR = sort %X, %i {axis = 0, descending = 1} : i32[8], i32[8]", 8,
       I(2, 1, 2, 1, 0, 2, 1, 0), 8, I(0, 2, 5, 1, 3, 6, 4, 7));
}

static void dots(void) {
  float a[6] = {1, 2, 3, 4, 5, 6}, b[6] = {1, 0, 0, 1, 2, -1}, c[4] = {10, 20, 30, 40}, r[4];
  io t[4] = {{"A", "f32", 2, {2, 3}, a, false, NULL},
             {"B", "f32", 2, {3, 2}, b, false, NULL},
             {"C", "f32", 2, {2, 2}, c, false, NULL},
             {"R", "f32", 2, {2, 2}, r, true, NULL}};
  RUN(4, t, "%oR = dot %A, %B, %C : f32[2x2]");
  same_floats("dot", 4, r, F(10 + 7, 20 - 1, 30 + 16, 40 - 1));
  // in float, on the interpreter k ascending, from the accumulator on
  float big[6] = {16777216, 1, 1, 0, 0, 0}, ones[6] = {1, 1, 1, 1, 1, 1}, zero[4] = {0};
  t[0].data = big, t[1].data = ones, t[2].data = zero;
  RUN(4, t, "%oR = dot %A, %B, %C : f32[2x2]");
  if (on_interpreter()) same_floats("dot", 4, r, F(16777216, 16777216, 0, 0));
  uint8_t qa[4] = {0x38, 0x40, 0x7e, 0xb8}, qb[4] = {0x38, 0x38, 0x40, 0x00}; // 1 2 448 -1; 1 1 2 0
  io q[4] = {{"A", "e4m3", 2, {2, 2}, qa, false, NULL},
             {"B", "e4m3", 2, {2, 2}, qb, false, NULL},
             {"C", "f32", 2, {2, 2}, zero, false, NULL},
             {"R", "f32", 2, {2, 2}, r, true, NULL}};
  RUN(4, q, "%oR = dot %A, %B, %C : f32[2x2]");
  same_floats("dot e4m3", 4, r, F(5, 1, 446, 448));
  int8_t ia[4] = {127, -128, 1, 2}, ib[4] = {127, -128, -128, 3};
  int32_t ic[4] = {INT32_MAX, 0, 0, 1}, ir[4];
  RUN(4,
      ((io[]){{"A", "i8", 2, {2, 2}, ia, false, NULL},
              {"B", "i8", 2, {2, 2}, ib, false, NULL},
              {"C", "i32", 2, {2, 2}, ic, false, NULL},
              {"R", "i32", 2, {2, 2}, ir, true, NULL}}),
      "%oR = dot %A, %B, %C : i32[2x2]");
  same_ints("dot i8", 4, ir, I((int32_t)(INT32_MAX + 127u * 127u + 128u * 128u), -127 * 128 - 128 * 3, 127 - 256, 1 - 128 + 6));
}

static void scaled_dots(void) {
  // A[2,4] in scales [2,2] (each over 2 of K), B[4,4] in scales [2,1] (each over two columns, all K)
  float a[8] = {1, 2, 3, 4, 5, 6, 7, 8}, sa[4] = {1, 10, 2, 0.5f}, sb[2] = {1, 3}, c[8] = {0}, r[8];
  float b[16] = {1, 0, 1, 1, 0, 1, 1, -1, 1, 0, 1, 1, 0, 1, 1, -1};
  c[0] = 100;
  RUN(6,
      ((io[]){{"A", "f32", 2, {2, 4}, a, false, NULL},
              {"B", "f32", 2, {4, 4}, b, false, NULL},
              {"C", "f32", 2, {2, 4}, c, false, NULL},
              {"SA", "f32", 2, {2, 2}, sa, false, NULL},
              {"SB", "f32", 2, {2, 1}, sb, false, NULL},
              {"R", "f32", 2, {2, 4}, r, true, NULL}}),
      "%oR = dot_scaled %A, %B, %C, %SA, %SB : f32[2x4]");
  // row 0 scaled: 1 2 30 40; row 1: 10 12 3.5 4; columns 2 and 3 times 3
  same_floats("dot_scaled", 8, r, F(131, 42, 3 * 73, 3 * (1 - 2 + 30 - 40), 13.5f, 16, 3 * 29.5f, 3 * (10 - 12 + 3.5f - 4)));
}

int ops_shape(const char *name, const char *const *refusals) {
  ops_open(name, refusals);
  constants();
  moves();
  reductions();
  scans();
  orders();
  dots();
  scaled_dots();
  return ops_close();
}
