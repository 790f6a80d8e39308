// All codes of e4m3 through a dot that widens them on their way from shared memory: lane IR on the warp interpreter, and the PTX on the
// simulator. A times the identity gives A's values; a row with a NaN is all NaN.
#include "simt/elsewhere.h"

static const char *const refuses[] = {NULL};

// Code i lies at place i ^ flip: each in every byte of a word.
static void check_codes(bool nans, int flip) {
  _Alignas(64) static uint8_t a[256], b[256]; // else the variant without vectors is taken
  _Alignas(64) static float c[256];
  for (int i = 0; i < 256; i++) {
    a[i ^ flip] = (uint8_t)(!nans && (i & 0x7f) == 0x7f ? 0x38 : i);
    b[i] = i % 17 ? 0 : 0x38; // 1 on the diagonal
  }
  const io tensors[] = {
      {"A", "e4m3", 2, {16, 16}, a, false, NULL}, {"B", "e4m3", 2, {16, 16}, b, false, NULL}, {"C", "f32", 2, {16, 16}, c, true, NULL}};
  const char *text =
      "kernel t tile {\n  input A : e4m3[16, 16]\n  input B : e4m3[16, 16]\n  output C : f32[16, 16]\n  launch (1) {\n"
      "    %z = const {type = i64, value = 0} : i64\n    %n = const {type = i64, value = 16} : i64\n"
      "    %r = range %z, %n {len = 16, align = 16} : range<16>\n    %pa = param {name = \"A\", type = view<e4m3,2>} : view<e4m3,2>\n"
      "    %pb = param {name = \"B\", type = view<e4m3,2>} : view<e4m3,2>\n    %pc = param {name = \"C\", type = view<f32,2>} : "
      "view<f32,2>\n"
      "    %o = const {type = f32[16x1], value = 1.0} : f32[16x1]\n    %s = const {type = f32[16x16], value = 0.0} : f32[16x16]\n"
      "    %d = for %z, %n, %s {step = 16} : f32[16x16] (%i : i64, %acc : f32[16x16]) {\n"
      "      %k = range %i, %n {len = 16, align = 16} : range<16>\n      %a = load %pa, %r, %k : e4m3[16x16]\n"
      "      %b = load %pb, %r, %k : e4m3[16x16]\n      %t = transpose %b {perm = [1, 0]} : e4m3[16x16]\n"
      "      %e = dot_scaled %a, %t, %acc, %o, %o : f32[16x16]\n      yield %e\n    }\n    store %pc, %r, %r, %d\n  }\n}\n";
  if (!has_run(run_text(3, tensors, text), text)) return;
  if (ops_elsewhere) CHECK(elsewhere_executed[TG_OP_QUADS] == 4);
  for (int i = 0; i < 256; i++) {
    bool nan = nans && (i >> 4 == 7 || i >> 4 == 15);
    double want = nan ? NAN : tg_decode(TG_E4M3, a[i]);
    CHECKF(nan ? isnan(c[i]) : c[i] == (float)want, "code %02x gives %g, want %g", a[i], c[i], want);
  }
}

int main(void) {
  int failed = 0;
  for (int on = 0; on < 2; on++) {
    ops_elsewhere = on ? NULL : elsewhere_run;
    elsewhere_warps = 1;
    ops_open("sim:sm_80", refuses);
    for (int flip = 0; flip < 4; flip++) check_codes(false, flip), check_codes(true, flip);
    failed |= ops_close();
  }
  return failed;
}
