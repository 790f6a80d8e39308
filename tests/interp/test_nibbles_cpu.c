// Tensors of e2m1, two elements a byte: loads and stores that begin and end in either nibble, and tiles of them that are kept, on the cpu
// device against the interpreter. Bytes that nothing is stored to keep what they held.
#include "interp/ops.h"
#include "oracle.h"

static const char *const cpu_refuses[] = {NULL};
enum { MOST = 512 };

static void both(tg_device *cpu, int64_t rows, int64_t columns, const char *body) {
  static uint8_t x[MOST], y[2][MOST];
  static float f[2][MOST * 2];
  oracle_random random = {(uint64_t)(rows * 100 + columns)};
  for (size_t i = 0; i < MOST; i++) x[i] = (uint8_t)(oracle_next(&random) >> 40), y[0][i] = y[1][i] = (uint8_t)~x[i];
  for (int on = 0; on < 2; on++) {
    device = on ? cpu : NULL;
    io tensors[] = {{"X", "e2m1", 2, {rows, columns}, x, false, NULL},
                    {"Y", "e2m1", 2, {rows, columns}, y[on], true, "inout"},
                    {"F", "f32", 2, {rows, columns}, f[on], true, NULL}};
    if (!has_run(run_body(3, tensors, body), body)) return;
  }
  CHECKF(!memcmp(y[0], y[1], MOST), "%lldx%lld: other codes than the interpreter's of\n%s", (long long)rows, (long long)columns, body);
  CHECKF(!memcmp(f[0], f[1], sizeof *f[0] * (size_t)(rows * columns)), "%lldx%lld: other numbers than the interpreter's of\n%s",
         (long long)rows, (long long)columns, body);
}

int main(void) {
  ops_open("cpu", cpu_refuses);
  tg_device *cpu = device;
  static const int64_t shapes[][2] = {{1, 1}, {1, 64}, {3, 7}, {5, 32}, {7, 33}, {16, 48}, {2, 2}};
  char body[2048];
  for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
    const long long m = shapes[s][0], n = shapes[s][1];
    // as it is, and its numbers
    snprintf(body, sizeof body, "store %%pY, %%rY0, %%rY1, %%X\n%%oF = cast %%X {to = \"f32\"} : f32[%lldx%lld]", m, n);
    both(cpu, m, n, body);
    // numbers doubled and rounded back, under a mask
    snprintf(
        body, sizeof body,
        "%%oF = cast %%X {to = \"f32\"} : f32[%lldx%lld]\n%%d = add %%oF, %%oF : f32[%lldx%lld]\n%%z = const {type = f32[%lldx%lld], value "
        "= 0} : f32[%lldx%lld]\n%%k = gt %%d, %%z : i1[%lldx%lld]\n%%e = cast %%d {to = \"e2m1\", mode = \"sat\"} : e2m1[%lldx%lld]\n"
        "store %%pY, %%rY0, %%rY1, %%e, %%k {mask = 1}",
        m, n, m, n, m, n, m, n, m, n, m, n);
    both(cpu, m, n, body);
    // a place that begins below 0 and ends inside, filled outside; stored beyond the end
    snprintf(
        body, sizeof body,
        "%%a = const {type = i64, value = -3} : i64\n%%b = const {type = i64, value = %lld} : i64\n%%c = const {type = i64, value = 1} : "
        "i64\n%%q = range %%a, %%b {len = %lld, align = 1} : range<%lld>\n%%t = range %%c, %%nY1 {len = %lld, align = 1} : range<%lld>\n"
        "%%e = load %%pX, %%rX0, %%q {fill = -0x1.8p+1} : e2m1[%lldx%lld]\nstore %%pY, %%rY0, %%t, %%e\n%%oF = cast %%e {to = \"f32\"} : "
        "f32[%lldx%lld]",
        n - 1, n, n, n, n, m, n, m, n);
    both(cpu, m, n, body);
    // rows by a vector of indices, carried through a loop
    snprintf(
        body, sizeof body,
        "%%i = iota {type = i64[%lld]} : i64[%lld]\n%%one = const {type = i64[%lld], value = 1} : i64[%lld]\n%%j = sub %%i, %%one : "
        "i64[%lld]\n"
        "%%g = gather %%pX, %%j, %%rX1 : e2m1[%lldx%lld]\n%%two = const {type = i64, value = 3} : i64\n"
        "%%u, %%v = for %%zero, %%two, %%X, %%g {step = 1} : e2m1[%lldx%lld], e2m1[%lldx%lld] (%%l : i64, %%c : e2m1[%lldx%lld], %%d : "
        "e2m1[%lldx%lld]) {\nyield %%d, %%c\n}\nstore %%pY, %%rY0, %%rY1, %%u\n%%oF = cast %%v {to = \"f32\"} : f32[%lldx%lld]",
        m, m, m, m, m, m, n, m, n, m, n, m, n, m, n, m, n);
    both(cpu, m, n, body);
    // a product of codes with themselves turned, exact in any order
    if (m != 16) continue;
    snprintf(body, sizeof body,
             "%%t = transpose %%X {perm = [1, 0]} : e2m1[%lldx%lld]\n%%c = const {type = f32[%lldx%lld], value = 0x1p+0} : f32[%lldx%lld]\n"
             "%%d = dot %%X, %%t, %%c : f32[%lldx%lld]\n%%e = reduce %%d {kind = \"max\", axis = 1} : f32[%lldx1]\n"
             "%%oF = broadcast %%e {shape = [%lld, %lld]} : f32[%lldx%lld]",
             n, m, m, m, m, m, m, m, m, m, n, m, n);
    both(cpu, m, n, body);
  }
  device = cpu;
  return ops_close();
}
