// Grids walked in groups of rows: the order in which the warp interpreter, which runs blocks by their linear number, comes to them, against
// nested loops; that each comes once and computes its own part, there and on the simulator; what is the default, and where.
#include "simt/elsewhere.h"

static const char *const refuses[] = {NULL};

enum { T = 4, MOST = 21, MOST_LAYERS = 3 };

static bool extents(void *user, const char *name, int64_t *value) {
  *value = ((const int64_t *)user)[strchr("PQL", *name) - "PQL"];
  return true;
}

// Each block counts itself, notes which it was, and computes a tile of a product. `launch`: the axes of the grid.
static void put_kernel(char *out, size_t size, const char *launch, const char *layer) {
  snprintf(
      out, size,
      "kernel t tile {\n  dim P, Q, L\n  input A : f32[P * 4, 4]\n  input B : f32[4, Q * 4]\n  inout N : i32[1]\n  output O : i32[L, P, "
      "Q]\n"
      "  output Y : f32[L, P * 4, Q * 4]\n  launch (%s) {\n    %%z = const {type = i64, value = 0} : i64\n"
      "    %%c4 = const {type = i64, value = 4} : i64\n    %%one = const {type = i32, value = 1} : i32\n"
      "    %%rows = expr {e = expr(P * 4)} : i64\n    %%columns = expr {e = expr(Q * 4)} : i64\n    %%p = pid {axis = 0} : i64\n"
      "    %%q = pid {axis = 1} : i64\n    %%l = %s : i64\n    %%ps = mul %%p, %%c4 : i64\n    %%qs = mul %%q, %%c4 : i64\n"
      "    %%rm = range %%ps, %%rows {len = 4, align = 4} : range<4>\n    %%rn = range %%qs, %%columns {len = 4, align = 4} : range<4>\n"
      "    %%rk = range %%z, %%c4 {len = 4, align = 4} : range<4>\n    %%pa = param {name = \"A\", type = view<f32,2>} : view<f32,2>\n"
      "    %%pb = param {name = \"B\", type = view<f32,2>} : view<f32,2>\n    %%pn = param {name = \"N\", type = view<i32,1>} : "
      "view<i32,1>\n"
      "    %%po = param {name = \"O\", type = view<i32,3>} : view<i32,3>\n    %%py = param {name = \"Y\", type = view<f32,3>} : "
      "view<f32,3>\n"
      "    %%nth = atomic %%pn, %%z, %%one {kind = \"add\"} : i32\n    store %%po, %%l, %%p, %%q, %%nth\n"
      "    %%a = load %%pa, %%rm, %%rk : f32[4x4]\n    %%b = load %%pb, %%rk, %%rn : f32[4x4]\n"
      "    %%none = const {type = f32[4x4], value = 0.0} : f32[4x4]\n    %%c = dot %%a, %%b, %%none : f32[4x4]\n"
      "    store %%py, %%l, %%rm, %%rn, %%c\n  }\n}\n",
      launch, layer);
}

// When each block comes, written as loops.
static void walk(int64_t P, int64_t Q, int64_t L, int64_t raster, int32_t *when) {
  int32_t n = 0;
  if (raster == 1) raster = P;
  for (int64_t l = 0; l < L; l++)
    for (int64_t group = 0; group < P; group += raster)
      for (int64_t q = 0; q < Q; q++)
        for (int64_t p = group; p < P && p < group + raster; p++) when[(l * P + p) * Q + q] = n++;
}

static void judge_product(int64_t P, int64_t Q, int64_t L, const float *a, const float *b, const float *y) {
  const int64_t columns = Q * T;
  int64_t wrong = 0;
  for (int64_t i = 0; i < P * T; i++)
    for (int64_t j = 0; j < columns; j++) {
      float want = 0; // of small whole numbers: exact in any order
      for (int k = 0; k < T; k++) want += a[i * T + k] * b[k * columns + j];
      for (int64_t l = 0; l < L; l++) wrong += y[(l * P * T + i) * columns + j] != want;
    }
  CHECKF(!wrong, "%ldx%ldx%ld: %ld elements of the product are wrong", (long)P, (long)Q, (long)L, (long)wrong);
}

static void check_grid(int64_t P, int64_t Q, int64_t L, const char *raster) {
  static float a[MOST * T * T], b[MOST * T * T], y[MOST_LAYERS * MOST * MOST * T * T];
  static int32_t order[MOST_LAYERS * MOST * MOST], want[MOST_LAYERS * MOST * MOST];
  static uint8_t came[MOST_LAYERS * MOST * MOST];
  static char text[4096];
  int32_t blocks = 0;
  for (int64_t i = 0; i < MOST * T * T; i++) a[i] = (float)(i % 7 - 3), b[i] = (float)(i % 11 - 5);
  put_kernel(text, sizeof text, L > 1 ? "P, Q, L" : "P, Q", L > 1 ? "pid {axis = 2}" : "const {type = i64, value = 0}");
  const io tensors[] = {{"A", "f32", 2, {P * T, T}, a, false, NULL},
                        {"B", "f32", 2, {T, Q * T}, b, false, NULL},
                        {"N", "i32", 1, {1}, &blocks, true, "inout"},
                        {"O", "i32", 3, {L, P, Q}, order, true, NULL},
                        {"Y", "f32", 3, {L, P * T, Q * T}, y, true, NULL}};
  int64_t dims[] = {P, Q, L};
  job j = {.text = text, .lookup = extents, .user = dims};
  bind(&j, 5, tensors);
  elsewhere_raster = raster;
  const tg_binding knob = {"raster", raster};
  ops_settings = (tg_bindings){1, &knob};
  if (!has_run(run_job(&j), text)) return;
  const int64_t n = P * Q * L;
  CHECKF(blocks == n, "%ldx%ldx%ld, raster %s: %d blocks", (long)P, (long)Q, (long)L, raster, blocks);
  walk(P, Q, L, atoi(raster), want);
  memset(came, 0, sizeof came);
  int64_t wrong = 0;
  for (int64_t i = 0; i < n; i++) {
    const bool new = order[i] >= 0 && order[i] < n && !came[order[i]]++;
    wrong += !new || (ops_elsewhere && order[i] != want[i]); // a device begins blocks when it likes
  }
  CHECKF(!wrong, "%ldx%ldx%ld, raster %s: %ld blocks came when they should not", (long)P, (long)Q, (long)L, raster, (long)wrong);
  judge_product(P, Q, L, a, b, y);
}

static void check_grids(void) {
  static const int64_t grids[][3] = {{1, 1, 1},  {1, 9, 1},  {9, 1, 1},  {2, 3, 1}, {7, 5, 1}, {16, 3, 1},
                                     {17, 4, 1}, {21, 2, 1}, {5, 21, 1}, {3, 2, 3}, {9, 5, 2}};
  static const char *const rasters[] = {"1", "2", "4", "8", "16"};
  for (size_t g = 0; g < sizeof grids / sizeof *grids; g++)
    for (int r = 0; r < 5; r++) check_grid(grids[g][0], grids[g][1], grids[g][2], rasters[r]);
}

static int64_t default_of(const tg_machine *machine, const char *launch, const char *layer) {
  static char text[4096];
  tg_kernel *kernel = NULL;
  tg_knob knobs[8];
  put_kernel(text, sizeof text, launch, layer);
  if (tg_kernel_parse(ctx, text, strlen(text), "test.tile", &kernel)) abort();
  int64_t found = 0;
  for (int i = 0, n = tg_lowering_simt.knobs(kernel, machine, knobs, 8); i < n; i++)
    if (!strcmp(knobs[i].name, "raster")) found = knobs[i].values[0];
  tg_kernel_free(kernel);
  return found;
}

// Of 132 blocks at once: 64 rows and 3 columns in plain order, 8 and 17 in groups of 8; of 10 rows all 10 and 14
// columns; of two columns 132 rows and 1, or 66 and both.
static void check_defaults(void) {
  const tg_family *family;
  tg_machine machine = *tg_target_find(ctx, "nvptx:sm_80", &family);
  machine.sms = 132;
  const char *layer = "const {type = i64, value = 0}";
  CHECK(default_of(&machine, "64, 64", layer) == 8);
  CHECK(default_of(&machine, "10, 64", layer) == 1);
  CHECK(default_of(&machine, "200, 2", layer) == 2);
  CHECK(default_of(&machine, "P, 64", layer) == 1);
  machine.sms = 0;
  CHECK(default_of(&machine, "64, 64", layer) == 1);
}

int main(void) {
  int failed = 0;
  for (int on = 0; on < 2; on++) {
    ops_elsewhere = on ? NULL : elsewhere_run;
    ops_open("sim:sm_80", refuses);
    check_grids();
    if (!on) check_defaults();
    failed |= ops_close();
  }
  return failed;
}
