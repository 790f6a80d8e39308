// sort, argmax, scan and the reductions that choose along either axis, over every dtype that they take and extents with and without whole
// vectors: the loops lowering on the cpu device against the interpreter, bit by bit (a NaN that a scan makes counts as a NaN). Keys repeat;
// among the floats are NaN of several bits, both infinities and both zeros.
#include "interp/ops.h"
#include "oracle.h"

static const char *const cpu_refuses[] = {NULL};
static const char *const dtypes[] = {"i8", "i32", "i64", "f16", "bf16", "f32", "f64"};
enum { MOST = 1024, NDTYPES = sizeof dtypes / sizeof *dtypes };

static oracle_random state = {5};
static int below(int n) { return (int)((oracle_next(&state) >> 33) % (uint64_t)n); }

// What the elements are: of everything; small integers; ones of either sign.
typedef enum values { ALL, SMALL, UNITS } values;

static void fill(int dtype, int64_t n, values which, uint8_t *data) {
  const int bits = tg_dtypes[dtype].bits;
  const bool is_float = tg_dtype_is_float(dtype);
  for (int64_t i = 0; i < n; i++) {
    const double rare[] = {NAN, -NAN, INFINITY, -INFINITY, 0, -0.0};
    double v = which == UNITS ? below(2) * 2 - 1 : below(15) - 7;
    if (is_float && which == ALL && below(3) == 0) v = rare[below(6)];
    uint64_t code = tg_encode(dtype, v, TG_ROUND_IEEE);
    if (is_float && v != v && below(2)) code |= (uint64_t)(1 + below(7)) | (uint64_t)below(2) << (bits - 1);
    if (!is_float && which == ALL && below(4) == 0) code = below(2) ? UINT64_MAX >> 1 >> (64 - bits) : (uint64_t)1 << (bits - 1);
    memcpy(data + i * (bits / 8), &code, (size_t)bits / 8);
  }
}

static bool same(int dtype, int64_t n, bool bits, const uint8_t *a, const uint8_t *b) {
  const size_t width = tg_dtypes[dtype].bits / 8;
  for (int64_t i = 0; i < n; i++) {
    uint64_t x = 0, y = 0;
    memcpy(&x, a + (size_t)i * width, width), memcpy(&y, b + (size_t)i * width, width);
    if (x != y && (bits || tg_decode(dtype, x) == tg_decode(dtype, x) || tg_decode(dtype, y) == tg_decode(dtype, y))) return false;
  }
  return true;
}

// The body on both devices; `bits`: NaN must have the same bits too.
static void both(tg_device *cpu, const char *dtype, int64_t rows, int64_t columns, int out_rank, int64_t out_rows, int64_t out_columns,
                 const char *result, values which, bool bits, const char *body) {
  static uint8_t x[MOST * 8], y[2][MOST * 8];
  static int32_t p[MOST], q[2][MOST];
  const int id = tg_dtype_find(dtype), made = tg_dtype_find(result);
  fill(id, rows * columns, which, x);
  for (int64_t i = 0; i < rows * columns; i++) p[i] = below(1000);
  for (int on = 0; on < 2; on++) {
    device = on ? cpu : NULL;
    io tensors[] = {{"X", dtype, 2, {rows, columns}, x, false, NULL},
                    {"P", "i32", 2, {rows, columns}, p, false, NULL},
                    {"Y", result, out_rank, {out_rows, out_columns}, y[on], true, NULL},
                    {"Q", "i32", 2, {rows, columns}, q[on], true, NULL}};
    if (!has_run(run_body(4, tensors, body), body)) return;
  }
  CHECKF(same(made, out_rows * out_columns, bits, y[0], y[1]), "%s[%lldx%lld]: other elements than the interpreter's of\n%s", dtype,
         (long long)rows, (long long)columns, body);
  CHECKF(!memcmp(q[0], q[1], sizeof *p * (size_t)(rows * columns)), "%s[%lldx%lld]: another payload than the interpreter's of\n%s", dtype,
         (long long)rows, (long long)columns, body);
}

static void sorts(tg_device *cpu, const char *dtype, int64_t rows, int64_t columns) {
  char body[512];
  for (int axis = 0; axis < 2; axis++) {
    const int64_t n = axis ? columns : rows;
    if (n & (n - 1)) continue;
    for (int down = 0; down < 2; down++) {
      snprintf(body, sizeof body, "%%oY, %%oQ = sort %%X, %%P {axis = %d%s} : %s[%lldx%lld], i32[%lldx%lld]", axis,
               down ? ", descending = 1" : "", dtype, (long long)rows, (long long)columns, (long long)rows, (long long)columns);
      both(cpu, dtype, rows, columns, 2, rows, columns, dtype, ALL, true, body);
    }
  }
}

static void greatest(tg_device *cpu, const char *dtype, int64_t rows, int64_t columns) {
  char body[512];
  for (int axis = 0; axis < 2; axis++) {
    const int64_t r = axis ? rows : 1, c = axis ? 1 : columns;
    snprintf(body, sizeof body, "%%oY = argmax %%X {axis = %d} : i32[%lldx%lld]\n%%oQ = neg %%P : i32[%lldx%lld]", axis, (long long)r,
             (long long)c, (long long)rows, (long long)columns);
    both(cpu, dtype, rows, columns, 2, r, c, "i32", ALL, true, body);
  }
}

static void scans(tg_device *cpu, const char *dtype, int64_t rows, int64_t columns) {
  static const char *const kinds[] = {"sum", "prod", "min", "max", "minnum", "maxnum", "and", "or", "xor"};
  const bool is_float = tg_dtype_is_float(tg_dtype_find(dtype));
  char body[512];
  for (int k = 0; k < (is_float ? 6 : 9); k++)
    for (int way = 0; way < 8; way++) {
      if (k % 5 && way != k % 8 && way != (5 * k + 3) % 8) continue; // sum and maxnum in every way
      snprintf(body, sizeof body, "%%oY = scan %%X {kind = \"%s\", axis = %d%s%s} : %s[%lldx%lld]\n%%oQ = neg %%P : i32[%lldx%lld]",
               kinds[k], way & 1, way & 2 ? ", exclusive = 1" : "", way & 4 ? ", reverse = 1" : "", dtype, (long long)rows,
               (long long)columns, (long long)rows, (long long)columns);
      both(cpu, dtype, rows, columns, 2, rows, columns, dtype, !is_float || k > 1 ? ALL : k == 1 ? UNITS : SMALL, false, body);
    }
}

static void reductions(tg_device *cpu, const char *dtype, int64_t rows, int64_t columns) {
  static const char *const kinds[] = {"min", "max", "minnum", "maxnum"};
  char body[512];
  for (int k = 0; k < 4; k++)
    for (int axis = 0; axis < 2; axis++) {
      const int64_t r = axis ? rows : 1, c = axis ? 1 : columns;
      snprintf(body, sizeof body, "%%oY = reduce %%X {kind = \"%s\", axis = %d} : %s[%lldx%lld]\n%%oQ = neg %%P : i32[%lldx%lld]", kinds[k],
               axis, dtype, (long long)r, (long long)c, (long long)rows, (long long)columns);
      both(cpu, dtype, rows, columns, 2, r, c, dtype, ALL, false, body);
    }
}

int main(void) {
  ops_open("cpu", cpu_refuses);
  tg_device *cpu = device;
  static const int64_t shapes[][2] = {{1, 1}, {1, 256}, {256, 3}, {3, 64}, {64, 1}, {33, 31}, {16, 40}, {1, 7}, {5, 2}};
  for (int d = 0; d < NDTYPES; d++)
    for (int s = d == 1 || d == 5 ? 0 : d % 3; s < (int)(sizeof shapes / sizeof *shapes); s += d == 1 || d == 5 ? 1 : 3) {
      sorts(cpu, dtypes[d], shapes[s][0], shapes[s][1]);
      greatest(cpu, dtypes[d], shapes[s][0], shapes[s][1]);
      reductions(cpu, dtypes[d], shapes[s][0], shapes[s][1]);
      if ((s + d) % 2) scans(cpu, dtypes[d], shapes[s][0], shapes[s][1]);
    }
  device = cpu;
  return ops_close();
}
