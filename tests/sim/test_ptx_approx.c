// Approximate functions: never further from the exact result (long double's functions) than the ISA allows, and not rounded correctly
// either, as no GPU does it; what the ISA's tables say of zeros, infinities, NaN and subnormal numbers.
#include <string.h>

#include "sim/ptx.h"

enum { N = 4096 };

typedef long double exact_fn(long double x, long double y);
static long double rcp(long double x, long double y) { return (void)y, 1 / x; }
static long double quotient(long double x, long double y) { return x / y; }
static long double root(long double x, long double y) { return (void)y, sqrtl(x); }
static long double rsqrt(long double x, long double y) { return (void)y, 1 / sqrtl(x); }
static long double sine(long double x, long double y) { return (void)y, sinl(x); }
static long double cosine(long double x, long double y) { return (void)y, cosl(x); }
static long double lg2(long double x, long double y) { return (void)y, log2l(x); }
static long double ex2(long double x, long double y) { return (void)y, exp2l(x); }
static long double tangent(long double x, long double y) { return (void)y, tanhl(x); }

typedef struct approximation {
  const char *text; // of %f1 and %f2 to %f3
  exact_fn *exact;
  float low, high;             // of both operands
  double ulps, part, absolute; // the most that the ISA allows, all together
} approximation;

// PTX ISA 9.1, 9.7.3, "Notes" of each; of ex2 the 2 ulp are from the correctly rounded result.
static const approximation table[] = {
    {"div.approx.f32 %f3, %f1, %f2;", quotient, 0.001f, 1000, 2, 0, 0},
    {"div.full.f32 %f3, %f1, %f2;", quotient, -1e18f, -1e-18f, 2, 0, 0},
    {"rcp.approx.f32 %f3, %f1;", rcp, -1e38f, -1e-38f, 1, 0, 0},
    {"rcp.approx.ftz.f32 %f3, %f1;", rcp, 1, 2, 1, 0, 0},
    {"sqrt.approx.f32 %f3, %f1;", root, 1e-40f, 1e38f, 0, 0x1p-23, 0},
    {"rsqrt.approx.f32 %f3, %f1;", rsqrt, 1e-40f, 1e38f, 0, 0x1.126p-23, 0},
    {"sin.approx.f32 %f3, %f1;", sine, -6.28f, 6.28f, 0, 0, 0x1.6a0ap-21},
    {"cos.approx.f32 %f3, %f1;", cosine, -6.28f, 6.28f, 0, 0, 0x1.6a0ap-21},
    {"cos.approx.f32 %f3, %f1;", cosine, 7, 314, 0, 0, 0x1.3b3p-15},
    {"lg2.approx.f32 %f3, %f1;", lg2, 0.5001f, 1.9999f, 0, 0, 0x1p-22},
    {"lg2.approx.f32 %f3, %f1;", lg2, 2, 1e38f, 0, 0x1p-22, 0},
    {"lg2.approx.f32 %f3, %f1;", lg2, 1e-44f, 0.5f, 0, 0x1p-22, 0},
    {"ex2.approx.f32 %f3, %f1;", ex2, -1, 1, 2.5, 0, 0},
    {"ex2.approx.f32 %f3, %f1;", ex2, -149, -126, 2.5, 0, 0},
    {"ex2.approx.ftz.f32 %f3, %f1;", ex2, -125, 127, 2.5, 0, 0},
    {"tanh.approx.f32 %f3, %f1;", tangent, -8, 8, 0, 0x1p-11, 0},
    {"{.reg .b16 %h<2>; cvt.rn.f16.f32 %h0, %f1; cvt.f32.f16 %f4, %h0; ex2.approx.f16 %h1, %h0; cvt.f32.f16 %f3, %h1;}", ex2, -8, 8, 0,
     0x1.126p-10, 0},
    {"{.reg .b16 %h<2>; cvt.rn.f16.f32 %h0, %f1; cvt.f32.f16 %f4, %h0; tanh.approx.f16 %h1, %h0; cvt.f32.f16 %f3, %h1;}", tangent, -4, 4, 0,
     0, 0x1.026p-11},
};

static float x[N], y[N], used[N], got[N], again[N];

static void run(const char *text, float *out) {
  char ptx[2048];
  snprintf(ptx, sizeof ptx,
           PTX_HEAD
           ".entry k(.param .u64 x, .param .u64 y, .param .u64 used, .param .u64 out)\n{\n.reg .b64 %%a<10>;\n.reg .f32 %%f<6>;\n"
           ".reg .b32 %%t<4>;\nld.param.u64 %%a1, [x];\nld.param.u64 %%a2, [y];\nld.param.u64 %%a3, [out];\nld.param.u64 %%a8, [used];\n"
           "mov.u32 %%t1, %%tid.x;\nmov.u32 %%t2, %%ctaid.x;\nmad.lo.u32 %%t3, %%t2, 256, %%t1;\nmul.wide.u32 %%a4, %%t3, 4;\n"
           "add.s64 %%a5, %%a1, %%a4;\nadd.s64 %%a6, %%a2, %%a4;\nadd.s64 %%a7, %%a3, %%a4;\nadd.s64 %%a9, %%a8, %%a4;\n"
           "ld.global.f32 %%f1, [%%a5];\nld.global.f32 %%f2, [%%a6];\nmov.f32 %%f4, %%f1;\n%s\nst.global.f32 [%%a7], %%f3;\n"
           "st.global.f32 [%%a9], %%f4;\nret;\n}\n",
           text);
  PTX_CLEAN((&(ptx_call){.text = ptx,
                         .entry = "k",
                         .grid = {N / 256},
                         .block = {256},
                         .nargs = 4,
                         .args = {{"x", x, sizeof x, false, 0, NULL},
                                  {"y", y, sizeof y, false, 0, NULL},
                                  {"used", used, sizeof used, true, 0, NULL},
                                  {"out", out, sizeof got, true, 0, NULL}}}));
}

static double ulp_of(long double v) {
  int e;
  frexpl(v, &e);
  return ldexp(1, (e < -125 ? -125 : e) - 24);
}

static void within(const approximation *a) {
  uint64_t r = 88172645463325252u;
  for (int i = 0; i < N; i++)
    for (int k = 0; k < 2; k++) { // positive ranges that are wide by their logarithm
      r ^= r << 13, r ^= r >> 7, r ^= r << 17;
      const double u = (double)(r >> 11) * 0x1p-53, low = a->low, high = a->high;
      const bool wide = low * high > 0 && fmax(fabs(low), fabs(high)) > 100 * fmin(fabs(low), fabs(high));
      (k ? y : x)[i] = (float)(wide ? low * pow(high / low, u) : low + (high - low) * u);
    }
  run(a->text, got);
  run(a->text, again);
  CHECKF(!memcmp(got, again, sizeof got), "%s: not the same twice", a->text);
  int other = 0;
  for (int i = 0; i < N; i++) {
    const long double want = a->exact(used[i], y[i]);
    const double most = a->ulps * ulp_of(want) + a->part * (double)fabsl(want) + a->absolute;
    CHECKF(fabsl(got[i] - want) <= most, "%s of %a, %a: %a, want %La, which is further than %a", a->text, x[i], y[i], got[i], want, most);
    other += got[i] != (float)want;
  }
  CHECKF(other > N / 8, "%s: only %d of %d are not rounded correctly", a->text, other, N);
}

static void specials(void) {
  static const struct {
    const char *text;
    float x, y, want;
  } cases[] = {
      {"rcp.approx.f32 %f3, %f1;", -INFINITY, 0, -0.0f},
      {"rcp.approx.f32 %f3, %f1;", -0.0f, 0, -INFINITY},
      {"rcp.approx.f32 %f3, %f1;", NAN, 0, NAN},
      {"rcp.approx.ftz.f32 %f3, %f1;", 0x1p-130f, 0, INFINITY},
      {"rcp.approx.ftz.f32 %f3, %f1;", -0x1.8p126f, 0, -0.0f},
      {"sqrt.approx.f32 %f3, %f1;", -0.0f, 0, -0.0f},
      {"sqrt.approx.f32 %f3, %f1;", -1, 0, NAN},
      {"sqrt.approx.ftz.f32 %f3, %f1;", -0x1p-130f, 0, -0.0f},
      {"rsqrt.approx.f32 %f3, %f1;", -0.0f, 0, -INFINITY},
      {"rsqrt.approx.f32 %f3, %f1;", INFINITY, 0, 0},
      {"rsqrt.approx.f32 %f3, %f1;", -1, 0, NAN},
      {"sin.approx.f32 %f3, %f1;", -0.0f, 0, -0.0f},
      {"sin.approx.f32 %f3, %f1;", INFINITY, 0, NAN},
      {"cos.approx.f32 %f3, %f1;", -0.0f, 0, 1},
      {"lg2.approx.f32 %f3, %f1;", -0.0f, 0, -INFINITY},
      {"lg2.approx.f32 %f3, %f1;", INFINITY, 0, INFINITY},
      {"lg2.approx.f32 %f3, %f1;", -1, 0, NAN},
      {"lg2.approx.ftz.f32 %f3, %f1;", 0x1p-130f, 0, -INFINITY},
      {"ex2.approx.f32 %f3, %f1;", -INFINITY, 0, 0},
      {"ex2.approx.f32 %f3, %f1;", -0.0f, 0, 1},
      {"ex2.approx.f32 %f3, %f1;", INFINITY, 0, INFINITY},
      {"ex2.approx.f32 %f3, %f1;", 129, 0, INFINITY},
      {"ex2.approx.f32 %f3, %f1;", -160, 0, 0},
      {"ex2.approx.f32 %f3, %f1;", NAN, 0, NAN},
      {"ex2.approx.ftz.f32 %f3, %f1;", 0x1p-130f, 0, 1},
      {"ex2.approx.ftz.f32 %f3, %f1;", -127, 0, 0},
      {"tanh.approx.f32 %f3, %f1;", -INFINITY, 0, -1},
      {"tanh.approx.f32 %f3, %f1;", 0x1p-130f, 0, 0x1p-130f},
      {"tanh.approx.f32 %f3, %f1;", -0.0f, 0, -0.0f},
      {"div.approx.f32 %f3, %f1, %f2;", INFINITY, 0x1p127f, NAN},
      {"div.approx.f32 %f3, %f1, %f2;", -0x1p127f, 0x1p127f, -0.0f},
      {"div.full.f32 %f3, %f1, %f2;", 1, 0, INFINITY},
      {"{.reg .f64 %d<3>; cvt.f64.f32 %d1, %f1; rcp.approx.ftz.f64 %d2, %d1; cvt.rn.f32.f64 %f3, %d2;}", 4, 0, 0.25f},
      {"{.reg .f64 %d<3>; cvt.f64.f32 %d1, %f1; mul.f64 %d1, %d1, 0d0010000000000000; mul.f64 %d1, %d1, 0d3FE0000000000000; "
       "rcp.approx.ftz.f64 %d2, %d1; cvt.rn.f32.f64 %f3, %d2;}",
       -1, 0, -INFINITY},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    for (int k = 0; k < N; k++) x[k] = cases[i].x, y[k] = cases[i].y;
    run(cases[i].text, got);
    const float want = cases[i].want;
    CHECKF(want != want ? got[5] != got[5] : got[5] == want && !signbit(got[5]) == !signbit(want), "%s of %a, %a: %a, want %a",
           cases[i].text, cases[i].x, cases[i].y, got[5], want);
  }
}

int main(void) {
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) within(&table[i]);
  specials();
  tg_context_free(ptx_ctx);
  return test_done();
}
