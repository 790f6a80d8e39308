// Products of eight-bit operands where the machine has instructions for them, in every format, with memory along k or across it, through
// rings and straight from memory, with more k than the instruction's accumulators are to take: lane IR on the warp interpreter, and the PTX
// on the simulator; into tensor memory on the simulator alone. Small whole numbers, so that every sum is exact.
#include "simt/elsewhere.h"

static const char *const refuses[] = {NULL};
enum { MOST = 128 * 512 };

typedef struct product {
  int M, N, K, tile_k, a, b; // dtypes
  bool across_a, across_b;   // memory runs along m, along n
  int accumulate;            // the tile starts from this
} product;

static _Alignas(64) uint8_t A[MOST], B[MOST];
static _Alignas(64) float C[128 * 96];

static int number(const uint8_t *x, int dtype, bool across, int rows, int k_total, int row, int k) {
  return (int)tg_decode(dtype, x[across ? k * rows + row : row * k_total + k]);
}

static void check(const product *p) {
  for (int i = 0; i < p->M * p->K; i++) A[i] = (uint8_t)tg_encode(p->a, (i * 7 + i / 5) % 9 - 4, TG_ROUND_IEEE);
  for (int i = 0; i < p->N * p->K; i++) B[i] = (uint8_t)tg_encode(p->b, (i * 5 + i / 3) % 7 - 3, TG_ROUND_IEEE);
  memset(C, 0xff, sizeof C);
  const char *a = tg_dtype_name(p->a), *b = tg_dtype_name(p->b);
  const int a0 = p->across_a ? p->K : p->M, a1 = p->across_a ? p->M : p->K, b0 = p->across_b ? p->K : p->N, b1 = p->across_b ? p->N : p->K,
            t = p->tile_k;
  const io tensors[] = {
      {"A", a, 2, {a0, a1}, A, false, NULL}, {"B", b, 2, {b0, b1}, B, false, NULL}, {"C", "f32", 2, {p->M, p->N}, C, true, NULL}};
  char text[4096], load_a[256], load_b[256];
  if (p->across_a)
    snprintf(load_a, sizeof load_a, "%%u = load %%pa, %%k, %%rm : %s[%dx%d]\n      %%a = transpose %%u {perm = [1, 0]} : %s[%dx%d]", a, t,
             p->M, a, p->M, t);
  else snprintf(load_a, sizeof load_a, "%%a = load %%pa, %%rm, %%k : %s[%dx%d]", a, p->M, t);
  if (p->across_b) snprintf(load_b, sizeof load_b, "%%b = load %%pb, %%k, %%rn : %s[%dx%d]", b, t, p->N);
  else
    snprintf(load_b, sizeof load_b, "%%v = load %%pb, %%rn, %%k : %s[%dx%d]\n      %%b = transpose %%v {perm = [1, 0]} : %s[%dx%d]", b,
             p->N, t, b, t, p->N);
  snprintf(
      text, sizeof text,
      "kernel t tile {\n  input A : %s[%d, %d]\n  input B : %s[%d, %d]\n  output C : f32[%d, %d]\n  launch (1) {\n"
      "    %%z = const {type = i64, value = 0} : i64\n    %%m = const {type = i64, value = %d} : i64\n"
      "    %%n = const {type = i64, value = %d} : i64\n    %%kk = const {type = i64, value = %d} : i64\n"
      "    %%rm = range %%z, %%m {len = %d, align = 8} : range<%d>\n    %%rn = range %%z, %%n {len = %d, align = 8} : range<%d>\n"
      "    %%pa = param {name = \"A\", type = view<%s,2>} : view<%s,2>\n    %%pb = param {name = \"B\", type = view<%s,2>} : view<%s,2>\n"
      "    %%pc = param {name = \"C\", type = view<f32,2>} : view<f32,2>\n"
      "    %%s = const {type = f32[%dx%d], value = %d.0} : f32[%dx%d]\n"
      "    %%d = for %%z, %%kk, %%s {step = %d} : f32[%dx%d] (%%i : i64, %%acc : f32[%dx%d]) {\n"
      "      %%k = range %%i, %%kk {len = %d, align = %d} : range<%d>\n      %s\n      %s\n"
      "      %%e = dot %%a, %%b, %%acc : f32[%dx%d]\n      yield %%e\n    }\n    store %%pc, %%rm, %%rn, %%d\n  }\n}\n",
      a, a0, a1, b, b0, b1, p->M, p->N, p->M, p->N, p->K, p->M, p->M, p->N, p->N, a, a, b, b, p->M, p->N, p->accumulate, p->M, p->N, t,
      p->M, p->N, p->M, p->N, t, t, t, load_a, load_b, p->M, p->N);
  if (!has_run(run_text(3, tensors, text), text)) return;
  if (ops_elsewhere) CHECK(elsewhere_executed[TG_OP_MMA] > 0 && elsewhere_executed[TG_OP_QUADS] == 0);
  for (int m = 0; m < p->M; m++)
    for (int n = 0; n < p->N; n++) {
      int want = p->accumulate;
      for (int k = 0; k < p->K; k++)
        want += number(A, p->a, p->across_a, p->M, p->K, m, k) * number(B, p->b, p->across_b, p->N, p->K, n, k);
      CHECKF(C[m * p->N + n] == (float)want, "%dx%dx%d by %d, %s%s x %s%s: C[%d, %d] is %g, want %d", p->M, p->N, p->K, t, a,
             p->across_a ? " across" : "", b, p->across_b ? " across" : "", m, n, C[m * p->N + n], want);
    }
}

static void check_all(void) {
  static const int shapes[][4] = {{16, 16, 96, 32},   {32, 48, 512, 64}, {64, 8, 128, 128},
                                  {48, 32, 512, 256}, {48, 40, 192, 96}, {8, 24, 64, 32}};
  static const int formats[][2] = {{TG_E4M3, TG_E4M3}, {TG_E5M2, TG_E5M2}, {TG_E4M3, TG_E5M2}, {TG_E5M2, TG_E4M3}};
  for (int i = 0; i < 6; i++)
    for (int f = 0; f < 4; f++) {
      product p = {shapes[i][0], shapes[i][1], shapes[i][2], shapes[i][3], formats[f][0], formats[f][1], (i + f) % 2, (i + f) / 2 % 2, f};
      check(&p);
      p.across_a ^= true;
      check(&p);
    }
}

// Of 128 rows, and of as many columns as the warps of a group or two share.
static void check_memory(void) {
  static const int shapes[][4] = {{128, 96, 512, 64}, {128, 16, 256, 128}, {128, 48, 96, 32}}, formats[] = {TG_E4M3, TG_E5M2};
  for (int i = 0; i < 3; i++)
    for (int f = 0; f < 2; f++) {
      const product p = {shapes[i][0], shapes[i][1], shapes[i][2], shapes[i][3], formats[f], formats[f], false, false, i};
      check(&p);
    }
}

int main(void) {
  int failed = 0;
  elsewhere_target = "nvptx:sm_89";
  for (int on = 0; on < 2; on++) {
    ops_elsewhere = on ? NULL : elsewhere_run;
    ops_open("sim:sm_89", refuses);
    for (elsewhere_warps = 1; elsewhere_warps <= (on ? 1 : 4); elsewhere_warps *= 2) check_all();
    failed |= ops_close();
  }
  ops_open("sim:sm_100a", refuses);
  check_memory();
  return ops_close() | failed;
}
