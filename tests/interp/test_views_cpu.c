// Views that lead outside of their tensors, and promises that do not hold, on the cpu device: what the launch knows is refused before it
// starts, what only a block knows stops it, and a false promise changes nothing that is read or written.
#include "interp/ops.h"

static const char *const cpu_refuses[] = {NULL};
enum { HAVE = 40, ROOM = 128 };

static int64_t extent_N, start_S;
static bool symbols(void *user, const char *name, int64_t *value) {
  (void)user;
  *value = !strcmp(name, "N") ? extent_N : start_S;
  return !strcmp(name, "N") || !strcmp(name, "S");
}

// X[40] read through the view that `body` makes as %v, 64 elements of it, into Y. P[1]: a start that only the block knows.
static tg_status through(const char *body, int32_t loaded, float *y) {
  static float x[ROOM];
  char text[2048];
  for (int i = 0; i < ROOM; i++) x[i] = (float)(i + 1);
  snprintf(text, sizeof text,
           "kernel t tile {\ndim N, S\ninput X : f32[%d]\ninput P : i32[1]\noutput Y : f32[64]\nlaunch (1) {\n"
           "%%x = param {name = \"X\", type = view<f32,1>} : view<f32,1>\n%%q = param {name = \"P\", type = view<i32,1>} : view<i32,1>\n"
           "%%y = param {name = \"Y\", type = view<f32,1>} : view<f32,1>\n%%n = expr {e = expr(N)} : i64\n%%s = expr {e = expr(S)} : i64\n"
           "%%zero = const {type = i64, value = 0} : i64\n%%one = const {type = i64, value = 1} : i64\n"
           "%%all = const {type = i64, value = 64} : i64\n%%r = range %%zero, %%all {len = 64, align = 1} : range<64>\n"
           "%%p = load %%q, %%zero : i32\n%%l = cast %%p {to = \"i64\"} : i64\n%s\nstore %%y, %%r, %%t\n}\n}\n",
           HAVE, body);
  job j = {.text = text, .lookup = symbols};
  bind(&j, 3,
       (io[]){{"X", "f32", 1, {HAVE}, x, false, NULL}, {"P", "i32", 1, {1}, &loaded, false, NULL}, {"Y", "f32", 1, {64}, y, true, NULL}});
  return run_job(&j);
}

static const char plain[] = "%v = view %x, %s, %n, %one {type = view<f32,1>} : view<f32,1> @slice.lua:7\n%t = load %v, %r : f32[64]";
static const char loaded[] = "%v = view %x, %l, %n, %one {type = view<f32,1>} : view<f32,1> @slice.lua:7\n%t = load %v, %r : f32[64]";
static const char wider[] = "%v = view %x, %s, %n, %one {type = view<i64,1>} : view<i64,1> @slice.lua:7\n%w = load %v, %r : i64[64]\n"
                            "%t = cast %w {to = \"f32\"} : f32[64]";
// in a branch that is taken where the loaded start is 0 or more
static const char guarded[] =
    "%c = ge %l, %zero : i1\n%z = const {type = f32[64], value = 0} : f32[64]\n%t = if %c : f32[64] {\n"
    "%v = view %x, %s, %n, %one {type = view<f32,1>} : view<f32,1> @slice.lua:7\n%u = load %v, %r : f32[64]\nyield %u\n} {\nyield %z\n}";

// in a loop that has trips where the loaded end is above 0: of a dot, and of anything else
static const char looped[] =
    "%z = const {type = f32[64], value = 0} : f32[64]\n%t = for %zero, %l, %z {step = 16} : f32[64] (%i : i64, %acc : f32[64]) {\n"
    "%v = view %x, %s, %n, %one {type = view<f32,1>} : view<f32,1> @slice.lua:7\n%u = load %v, %r : f32[64]\nyield %u\n}";
static const char dotted[] =
    "%z = const {type = f32[4x16], value = 0} : f32[4x16]\n%a = const {type = f32[4x16], value = 1} : f32[4x16]\n"
    "%d = for %zero, %l, %z {step = 16} : f32[4x16] (%i : i64, %acc : f32[4x16]) {\n"
    "%v = view %x, %s, %n, %one, %one, %one {type = view<f32,2>} : view<f32,2> @slice.lua:7\n"
    "%k = range %i, %n {len = 16, align = 16} : range<16>\n%c = range %zero, %one {len = 16, align = 16} : range<16>\n"
    "%b = load %v, %k, %c : f32[16x16]\n%e = dot %a, %b, %acc : f32[4x16]\nyield %e\n}\n%t = reshape %d {shape = [64]} : f32[64]";

static void expect(const char *body, int64_t start, int64_t extent, int32_t given, tg_status want, const char *says) {
  float y[64];
  start_S = start, extent_N = extent;
  const tg_status status = through(body, given, y);
  CHECKF(status == want && (!want || strstr(tg_error_message(ctx), says)), "%s\nstart %lld extent %lld loaded %d: status %d, %s", body,
         (long long)start, (long long)extent, given, (int)status, status ? tg_error_message(ctx) : "it ran");
  const int64_t from = body == loaded ? given : start;
  if (status || body == wider || body == guarded || body == looped || body == dotted) return;
  for (int i = 0; i < 64; i++) {
    const float value = i < extent ? (float)(from + i + 1) : 0;
    CHECKF(y[i] == value, "start %lld extent %lld: element %d is %g, not %g", (long long)from, (long long)extent, i, y[i], value);
  }
}

static void views(void) {
  static const char reach[] = "slice.lua:7: the view of 'X' leads outside of its storage for these dims: it covers elements",
                    stops[] = "slice.lua:7: the view of 'X' leads outside of its storage";
  expect(plain, 0, HAVE, 0, TG_OK, "");
  expect(plain, 8, HAVE - 8, 0, TG_OK, "");
  expect(plain, 500, 0, 0, TG_OK, ""); // empty: covers nothing
  expect(plain, 0, HAVE + 1, 0, TG_INVALID, reach);
  expect(plain, 9, HAVE - 8, 0, TG_INVALID, "elements 9 ... 40, and there are 40");
  expect(plain, -1, 4, 0, TG_INVALID, reach);
  expect(plain, 0, INT64_MAX, 0, TG_INVALID, reach);
  expect(wider, 0, HAVE / 2, 0, TG_OK, "");
  expect(wider, 0, HAVE / 2 + 1, 0, TG_INVALID, "elements 0 ... 20, and there are 20");
  expect(loaded, 0, 32, 8, TG_OK, "");
  expect(loaded, 0, 32, 9, TG_FAILED, stops);
  expect(loaded, 0, 1, -1, TG_FAILED, stops);
  expect(loaded, 0, 0, 1000, TG_OK, "");
  expect(loaded, 0, INT64_MAX, 1, TG_FAILED, stops);
  expect(guarded, 0, HAVE + 1, -1, TG_OK, ""); // not reached
  expect(guarded, 0, HAVE + 1, 0, TG_FAILED, stops);
  const char *const loops[] = {looped, dotted};
  for (int i = 0; i < 2; i++) {
    expect(loops[i], 0, HAVE, 32, TG_OK, "");
    expect(loops[i], 0, HAVE + 1, 0, TG_OK, ""); // no trip
    expect(loops[i], -1, HAVE, -16, TG_OK, "");
    expect(loops[i], 0, HAVE + 1, 1, TG_FAILED, stops);
    expect(loops[i], -1, HAVE, 32, TG_FAILED, stops);
    expect(loops[i], -1, 0, 32, TG_OK, ""); // empty
  }
}

// Starts that are no multiple of what was promised, and numbers outside of the promised bounds: what is inside is read, and nothing else.
static void promises(void) {
  float y[64];
  static const char aligned[] = "%k = range %l, %all {len = 64, align = 64} : range<64>\n%t = load %x, %k : f32[64]";
  static const char assumed[] =
      "%b = assume %l {divisible = 64, min = 0, max = 0} : i64\n%k = range %b, %all {len = 64, align = 64} : range<64>\n"
      "%t = load %x, %k : f32[64]";
  static const char element[] = "%b = assume %l {min = 0, max = 39} : i64\n%e = load %x, %b : f32\n"
                                "%t = broadcast %e {shape = [64]} : f32[64]";
  static const int32_t given[] = {0, 1, 3, -5, 39, 40, 64, 1 << 30, INT32_MIN};
  for (size_t g = 0; g < sizeof given / sizeof *given; g++)
    for (int which = 0; which < 3; which++) {
      const char *body = which == 0 ? aligned : which == 1 ? assumed : element;
      if (!has_run(through(body, given[g], y), body)) continue;
      for (int i = 0; i < 64; i++) {
        const int64_t at = (int64_t)given[g] + (which < 2 ? i : 0);
        const float want = at >= 0 && at < HAVE ? (float)(at + 1) : 0;
        CHECKF(y[i] == want, "promise %d, start %d: element %d is %g, not %g", which, given[g], i, y[i], want);
      }
    }
}

int main(void) {
  ops_open("cpu", cpu_refuses);
  views();
  promises();
  return ops_close();
}
