// Views, bounds, gather and scatter, atomics, control, promises, races: what they do and how mistakes are reported.
#include "ops.h"

static char printed[1024];
static void keep_print(void *user, const char *text) { (void)user, snprintf(printed, sizeof printed, "%s", text); }
static char logged[4096];
static void keep_log(void *user, tg_log_level level, const char *text) {
  (void)user, (void)level;
  strncat(logged, text, sizeof logged - strlen(logged) - 1);
}

static bool symbols(void *user, const char *name, int64_t *value) {
  (void)user;
  if (strcmp(name, "N")) return false;
  *value = 10;
  return true;
}
static bool known = true;
static bool numbers(void *user, const char *name, double *value) {
  (void)user;
  *value = 2.5;
  return known && !strcmp(name, "s");
}

#define HEAD                                                                                                                               \
  "kernel t tile {\n  dim N\n  input X : f32[N]\n  output Y : f32[N]\n  scalar s : f32\n"                                                  \
  "  launch (ceildiv(N, 4)) {\n"                                                                                                           \
  "    %x = param {name = \"X\", type = view<f32,1>} : view<f32,1>\n"                                                                      \
  "    %y = param {name = \"Y\", type = view<f32,1>} : view<f32,1>\n"                                                                      \
  "    %p = pid {axis = 0} : i64\n    %four = const {type = i64, value = 4} : i64\n"                                                       \
  "    %s = mul %p, %four : i64\n    %n = expr {e = expr(N)} : i64\n"                                                                      \
  "    %r = range %s, %n {len = 4, align = 4} : range<4>\n"

// Runs blocks of four over X[10] and Y[10] (N = 10): the last block is partial.
static tg_status run_blocks(const char *body, const float *x, float *y, const tg_interp_options *options) {
  static char text[8192];
  snprintf(text, sizeof text, "%s%s\n  }\n}\n", HEAD, body);
  job j = {.text = text, .options = options, .lookup = symbols, .scalar = numbers};
  j.ntensors = 2;
  j.tensors[0] = (tg_tensor){"X", TG_F32, 1, {10}, (void *)(uintptr_t)x, 40};
  j.tensors[1] = (tg_tensor){"Y", TG_F32, 1, {10}, y, 40};
  return run_job(&j);
}

static const float ten[11] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12345};

static void check_floats(const char *what, int n, const float *got, const float *want) {
  for (int i = 0; i < n; i++) CHECKF(same_double(got[i], want[i]), "%s, element %d: %g, want %g", what, i, got[i], want[i]);
}
#define RUN_BLOCKS(body, y)                                                                                                                \
  do {                                                                                                                                     \
    if (!has_run(run_blocks(body, ten, y, NULL), body)) return;                                                                            \
  } while (0)
#define Y(...) check_floats("Y", 10, y, ((const float[]){__VA_ARGS__}))

static void fails(const char *body, const char *word) {
  if (!on_interpreter()) return;
  float y[11];
  const tg_status status = run_blocks(body, ten, y, NULL);
  CHECKF(status == TG_FAILED, "ran: %s", body);
  if (status)
    CHECKF(strstr(tg_error_message(ctx), word) && strstr(tg_error_message(ctx), "k.lua:7: in kernel 't', launch 0, block ("),
           "%s (wanted: %s)", tg_error_message(ctx), word);
}

static void bounds(void) {
  float y[11] = {0};
  y[10] = 77;
  RUN_BLOCKS("%v = load %x, %r : f32[4]\nstore %y, %r, %v", y);
  Y(1, 2, 3, 4, 5, 6, 7, 8, 9, 10);
  CHECK(y[10] == 77);
  // ranges that hang out on both sides: start -2 of [0, 3), fill
  const char *shifted =
      "%two = const {type = i64, value = 2} : i64\n%m = sub %s, %two : i64\n%three = const {type = i64, value = 3} : i64\n"
      "%q = range %m, %three {len = 4, align = 2} : range<4>\n";
  char body[1024];
  snprintf(body, sizeof body, "%s%%v = load %%x, %%q {fill = -0x1p+0} : f32[4]\nstore %%y, %%r, %%v", shifted);
  RUN_BLOCKS(body, y);
  Y(-1, -1, 1, 2, 3, -1, -1, -1, -1, -1);
  snprintf(body, sizeof body, "%s%%v = load %%x, %%q : f32[4]\nstore %%y, %%r, %%v", shifted);
  RUN_BLOCKS(body, y);
  Y(0, 0, 1, 2, 3, 0, 0, 0, 0, 0);
  snprintf(body, sizeof body, "%s%%v = load %%x, %%q {any = 1} : f32[4]\nstore %%y, %%r, %%v", shifted);
  RUN_BLOCKS(body, y);
  if (on_interpreter()) Y(NAN, NAN, 1, 2, 3, NAN, NAN, NAN, NAN, NAN);
  CHECK(y[2] == 1 && y[3] == 2 && y[4] == 3); // the others are unspecified
  // what is not stored keeps the poison
  snprintf(body, sizeof body, "%s%%v = load %%x, %%r : f32[4]\nstore %%y, %%q, %%v", shifted);
  RUN_BLOCKS(body, y);
  Y(3, 4, 5, NAN, NAN, NAN, NAN, NAN, NAN, NAN);
  // a range of one index that lies beyond the end, from the last block on
  RUN_BLOCKS("%six = const {type = i64, value = 6} : i64\n%t = add %s, %six : i64\n%q = range %t, %n {len = 1, align = 1} : range<1>\n"
             "%v = load %x, %q {fill = 0x1p+3} : f32[1]\nstore %y, %q, %v",
             y);
  Y(NAN, NAN, NAN, NAN, NAN, NAN, 7, NAN, NAN, NAN);
  CHECK(y[10] == 77);
  // masks
  RUN_BLOCKS("%v = load %x, %r : f32[4]\n%c = scalar {name = \"s\", type = f32} : f32\n%d = broadcast %c {shape = [4]} : f32[4]\n%k = gt "
             "%v, %d : i1[4]\n"
             "store %y, %r, %v, %k {mask = 1}",
             y);
  Y(NAN, NAN, 3, 4, 5, 6, 7, 8, 9, 10);
  // one block of the three
  const int64_t second[1] = {1};
  if (!on_interpreter()) return;
  const tg_interp_options only = {.nblocks = 1, .blocks = second, .only_launch = -1};
  CHECK(run_blocks("%v = load %x, %r : f32[4]\nstore %y, %r, %v", ten, y, &only) == TG_OK);
  Y(NAN, NAN, NAN, NAN, 5, 6, 7, 8, NAN, NAN);
}

// A reduction whose lanes run across the axis that ends: columns 3 of a 4 x 4 tile of a 4 x 3 tensor are 0, in the middle of a vector too.
static void edge_within_vector(void) {
  int32_t x[12], r[8];
  for (int i = 0; i < 12; i++) x[i] = 1 << i;
  const char *text = "kernel t tile {\ninput X : i32[4, 3]\noutput R : i32[1, 8]\nlaunch (1) {\n"
                     "%x = param {name = \"X\", type = view<i32,2>} : view<i32,2>\n"
                     "%r = param {name = \"R\", type = view<i32,2>} : view<i32,2>\n"
                     "%z = const {type = i64, value = 0} : i64\n%one = const {type = i64, value = 1} : i64\n"
                     "%four = const {type = i64, value = 4} : i64\n%eight = const {type = i64, value = 8} : i64\n"
                     "%g = range %z, %four {len = 4, align = 4} : range<4>\n%v = load %x, %g, %g : i32[4x4]\n"
                     "%w = reshape %v {shape = [2, 8]} : i32[2x8]\n%s = reduce %w {kind = \"sum\", axis = 0} : i32[1x8]\n"
                     "%a = range %z, %one {len = 1, align = 1} : range<1>\n%b = range %z, %eight {len = 8, align = 8} : range<8>\n"
                     "store %r, %a, %b, %s\n}\n}\n";
  io tensors[2] = {{"X", "i32", 2, {4, 3}, x, false, NULL}, {"R", "i32", 2, {1, 8}, r, true, NULL}};
  if (!has_run(run_text(2, tensors, text), text)) return;
  const int32_t want[8] = {1 + 64, 2 + 128, 4 + 256, 0, 8 + 512, 16 + 1024, 32 + 2048, 0};
  for (int i = 0; i < 8; i++) CHECKF(r[i] == want[i], "element %d: %d, want %d", i, r[i], want[i]);
}

// What a loop writes is read anew on every trip, masked or not.
static void rewritten(void) {
  float y[11];
  const char *loop = "%zero = const {type = i64, value = 0} : i64\n%one = const {type = f32[4], value = 0x1p+0} : f32[4]\n"
                     "store %y, %r, %one\nfor %zero, %four {step = 1} (%i : i64) {\n";
  char body[1024];
  snprintf(body, sizeof body, "%s%%v = load %%y, %%r : f32[4]\n%%d = add %%v, %%v : f32[4]\nstore %%y, %%r, %%d\nyield\n}", loop);
  RUN_BLOCKS(body, y);
  Y(16, 16, 16, 16, 16, 16, 16, 16, 16, 16);
  // twice on a trip
  snprintf(body, sizeof body,
           "%s%%v = load %%y, %%r : f32[4]\n%%d = add %%v, %%one : f32[4]\nstore %%y, %%r, %%d\n%%w = load %%y, %%r : f32[4]\n"
           "%%e = mul %%w, %%w : f32[4]\nstore %%y, %%r, %%e\nyield\n}",
           loop);
  RUN_BLOCKS(body, y);
  Y(458329, 458329, 458329, 458329, 458329, 458329, 458329, 458329, 458329, 458329);
  // the same where every extent is known, so that no address changes from trip to trip
  int32_t r[8];
  const char *text = "kernel t tile {\noutput R : i32[8]\nlaunch (1) {\n%r = param {name = \"R\", type = view<i32,1>} : view<i32,1>\n"
                     "%z = const {type = i64, value = 0} : i64\n%eight = const {type = i64, value = 8} : i64\n"
                     "%four = const {type = i64, value = 4} : i64\n%one = const {type = i32[8], value = 1} : i32[8]\n"
                     "%g = range %z, %eight {len = 8, align = 8} : range<8>\nstore %r, %g, %one\n"
                     "for %z, %four {step = 1} (%i : i64) {\n%v = load %r, %g : i32[8]\n%d = add %v, %v : i32[8]\n"
                     "store %r, %g, %d\nyield\n}\n}\n}\n";
  io tensors[1] = {{"R", "i32", 1, {8}, r, true, NULL}};
  if (!has_run(run_text(1, tensors, text), text)) return;
  for (int i = 0; i < 8; i++) CHECKF(r[i] == 16, "element %d: %d, want 16", i, r[i]);
}

static void views(void) {
  float y[11];
  // X as 2 x 5, transposed: (j, i) at i*5 + j
  const char *square = "%one = const {type = i64, value = 1} : i64\n%two = const {type = i64, value = 2} : i64\n%five = const {type = i64, "
                       "value = 5} : i64\n"
                       "%zero = const {type = i64, value = 0} : i64\n";
  char body[2048];
  snprintf(body, sizeof body,
           "%s%%v = view %%x, %%zero, %%five, %%two, %%one, %%five {type = view<f32,2>} : view<f32,2>\n%%w = view %%y, %%zero, %%five, "
           "%%two, %%two, %%one {type = view<f32,2>} : view<f32,2>\n"
           "%%a = range %%zero, %%five {len = 8, align = 1} : range<8>\n%%b = range %%zero, %%two {len = 2, align = 1} : range<2>\n"
           "%%c = eq %%p, %%zero : i1\nif %%c {\n%%t = load %%v, %%a, %%b : f32[8x2]\nstore %%w, %%a, %%b, %%t\nyield\n} {\nyield\n}",
           square);
  RUN_BLOCKS(body, y);
  Y(1, 6, 2, 7, 3, 8, 4, 9, 5, 10);
  // a scalar index drops the axis; stride 0 repeats; an offset skips
  snprintf(body, sizeof body,
           "%s%%v = view %%x, %%two, %%five, %%two, %%zero, %%one {type = view<f32,2>} : view<f32,2>\n%%t = load %%v, %%r, %%one : "
           "f32[4]\nstore %%y, %%r, %%t",
           square);
  RUN_BLOCKS(body, y);
  Y(4, 4, 4, 4, 4, 0, 0, 0, 0, 0);
  // bits of X as i32
  snprintf(body, sizeof body,
           "%s%%v = view %%x, %%zero, %%n, %%one {type = view<i32,1>} : view<i32,1>\n%%t = load %%v, %%r : i32[4]\n%%u = cast %%t {to = "
           "\"f32\"} : f32[4]\nstore %%y, %%r, %%u",
           square);
  RUN_BLOCKS(body, y);
  CHECK(y[0] == (float)0x3f800000);
  snprintf(
      body, sizeof body,
      "%s%%v = view %%x, %%two, %%n, %%one {type = view<f32,1>} : view<f32,1>\n%%t = load %%v, %%r : f32[4] @k.lua:7\nstore %%y, %%r, %%t",
      square);
  fails(body, "leads outside its storage");
  snprintf(body, sizeof body,
           "%s%%m = neg %%five : i64\n%%v = view %%y, %%two, %%n, %%m {type = view<f32,1>} : view<f32,1>\n%%t = load %%x, %%r : "
           "f32[4]\nstore %%v, %%r, %%t @k.lua:7",
           square);
  fails(body, "leads outside its storage");
  snprintf(body, sizeof body,
           "%%h = const {type = i64, value = 9223372036854775807} : i64\n%%v = view %%x, %%h, %%h, %%h {type = view<f32,1>} : "
           "view<f32,1>\n%%t = load %%v, %%r : f32[4] @k.lua:7");
  fails(body, "leads outside its storage");
}

static void vectors(void) {
  float y[11];
  // reversed within the block; one index outside, one negative
  const char *index = "%i = iota {type = i64[4]} : i64[4]\n%t = const {type = i64[4], value = 3} : i64[4]\n%j = sub %t, %i : i64[4]\n%b = "
                      "broadcast %s {shape = [4]} : i64[4]\n"
                      "%k = add %j, %b : i64[4]\n";
  char body[1024];
  snprintf(body, sizeof body, "%s%%v = gather %%x, %%k : f32[4]\nstore %%y, %%r, %%v", index);
  RUN_BLOCKS(body, y);
  Y(4, 3, 2, 1, 8, 7, 6, 5, 0, 0);
  snprintf(body, sizeof body, "%s%%v = gather %%x, %%k {fill = 0x1p+3} : f32[4]\nstore %%y, %%r, %%v", index);
  RUN_BLOCKS(body, y);
  Y(4, 3, 2, 1, 8, 7, 6, 5, 8, 8);
  snprintf(body, sizeof body, "%s%%v = load %%x, %%r : f32[4]\nscatter %%y, %%k, %%v", index);
  RUN_BLOCKS(body, y);
  Y(4, 3, 2, 1, 8, 7, 6, 5, 0, 0);
  snprintf(body, sizeof body,
           "%%z = const {type = i64[4], value = 2} : i64[4]\n%%v = load %%x, %%r : f32[4]\nscatter %%y, %%z, %%v @k.lua:7");
  fails(body, "to index 2 of 'Y' twice");
  // equal indices outside, or under a mask, store nothing and are no mistake
  snprintf(body, sizeof body, "%%z = const {type = i64[4], value = -1} : i64[4]\n%%v = load %%x, %%r : f32[4]\nscatter %%y, %%z, %%v");
  RUN_BLOCKS(body, y);
  Y(NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN);
  snprintf(body, sizeof body,
           "%%z = const {type = i64[4], value = 2} : i64[4]\n%%v = load %%x, %%r : f32[4]\n%%f = const {type = f32[4], value = 0x1p+2} : "
           "f32[4]\n%%m = eq %%v, %%f : i1[4]\n"
           "scatter %%y, %%z, %%v, %%m {mask = 1}");
  RUN_BLOCKS(body, y);
  Y(NAN, NAN, 4, NAN, NAN, NAN, NAN, NAN, NAN, NAN);
}

static void races(void) {
  float y[11];
  fails("%z = const {type = i64, value = 0} : i64\n%v = load %x, %z : f32\nstore %y, %z, %v @k.lua:7",
        "written here and was written by block 0");
  fails("%z = const {type = i64, value = 0} : i64\n%v = load %y, %z : f32 @k.lua:7\n%w = load %x, %r : f32[4]\nstore %y, %r, %w",
        "read here and was written by block 0");
  // block 0 reads what block 1 writes later
  fails("%one = const {type = i64, value = 5} : i64\n%v = load %y, %one : f32\n%w = load %x, %r : f32[4]\nstore %y, %r, %w @k.lua:7",
        "was read by other blocks");
  const tg_interp_options blind = {.only_launch = -1, .no_race_check = true};
  CHECK(run_blocks("%z = const {type = i64, value = 0} : i64\n%v = load %x, %z : f32\nstore %y, %z, %v", ten, y, &blind) == TG_OK);
  // a block may touch its own elements as it likes
  RUN_BLOCKS("%v = load %x, %r : f32[4]\nstore %y, %r, %v\n%w = load %y, %r : f32[4]\n%u = add %w, %w : f32[4]\nstore %y, %r, %u", y);
  Y(2, 4, 6, 8, 10, 12, 14, 16, 18, 20);
}

static void atomics(void) {
  static const char *const kinds[] = {"add", "min", "max", "and", "or", "xor", "exch"};
  const int32_t want[] = {6 + 10, 3, 10, 6 & 10 & 3, 6 | 3, 6 ^ 3, 3};
  for (int k = 0; k < 7; k++) {
    char body[1024];
    int32_t x[1] = {3}, r[1], old[1];
    const int32_t start = !strcmp(kinds[k], "max") || !strcmp(kinds[k], "and") ? 10 : 6;
    int32_t y[1] = {!strcmp(kinds[k], "add") ? 13 : start};
    snprintf(body, sizeof body, "%%oR = atomic %%pY, %%rY0, %%X {kind = \"%s\"} : i32[1]", kinds[k]);
    const int32_t before = y[0];
    RUN(3, ((io[]){{"X", "i32", 1, {1}, x, false, NULL}, {"Y", "i32", 1, {1}, y, false, "inout"}, {"R", "i32", 1, {1}, r, true, NULL}}),
        body);
    old[0] = r[0];
    CHECKF(old[0] == before, "%s gives %d, want the old %d", kinds[k], old[0], before);
    const int32_t now = !strcmp(kinds[k], "and") ? (10 & 3) : want[k];
    CHECKF(y[0] == now, "%s makes %d, want %d", kinds[k], y[0], now);
  }
  // blocks may share an element atomically, equal indices add up
  const char *text =
      "kernel t tile {\n  inout Y : i32[2]\n  launch (5) {\n    %y = param {name = \"Y\", type = view<i32,1>} : view<i32,1>\n"
      "    %i = const {type = i64[3], value = 1} : i64[3]\n    %v = const {type = i32[3], value = 2} : i32[3]\n"
      "    %o = atomic %y, %i, %v {kind = \"add\"} : i32[3]\n  }\n}\n";
  int32_t y[2] = {7, 100};
  if (!has_run(run_text(1, ((io[]){{"Y", "i32", 1, {2}, y, true, NULL}}), text), text)) return;
  CHECK(y[0] == 7 && y[1] == 130);
  float f[1] = {1.5f}, g[1] = {2}, o[1];
  RUN(3, ((io[]){{"X", "f32", 1, {1}, f, false, NULL}, {"Y", "f32", 1, {1}, g, false, "inout"}, {"R", "f32", 1, {1}, o, true, NULL}}),
      "%oR = atomic %pY, %rY0, %X {kind = \"add\"} : f32[1]");
  CHECK(g[0] == 3.5f && o[0] == 2);
}

static void control(void) {
  float y[11];
  // sum of 0 + 1 + … + (p + 3)
  RUN_BLOCKS("%zero = const {type = i64, value = 0} : i64\n%u = add %p, %four : i64\n"
             "%t = for %zero, %u, %zero {step = 1} : i64 (%i : i64, %c : i64) {\n%d = add %c, %i : i64\nyield %d\n}\n"
             "%f = cast %t {to = \"f32\"} : f32\n%b = broadcast %f {shape = [4]} : f32[4]\nstore %y, %r, %b",
             y);
  Y(6, 6, 6, 6, 10, 10, 10, 10, 15, 15);
  // no turn; carried values swapped each turn (i odd ends swapped)
  RUN_BLOCKS("%a = const {type = f32[4], value = 0x1p+0} : f32[4]\n%b = const {type = f32[4], value = 0x1p+1} : f32[4]\n%zero = const "
             "{type = i64, value = 0} : i64\n"
             "%c, %d = for %zero, %p, %a, %b {step = 1} : f32[4], f32[4] (%i : i64, %e : f32[4], %f : f32[4]) {\nyield %f, %e\n}\nstore "
             "%y, %r, %c",
             y);
  Y(1, 1, 1, 1, 2, 2, 2, 2, 1, 1);
  // steps beyond 1: 0, 3 below 4
  RUN_BLOCKS("%zero = const {type = i64, value = 0} : i64\n%t = for %zero, %four, %zero {step = 3} : i64 (%i : i64, %c : i64) {\n%d = add "
             "%c, %i : i64\nyield %d\n}\n"
             "%f = cast %t {to = \"f32\"} : f32\n%b = broadcast %f {shape = [4]} : f32[4]\nstore %y, %r, %b",
             y);
  Y(3, 3, 3, 3, 3, 3, 3, 3, 3, 3);
  RUN_BLOCKS("%one = const {type = i64, value = 1} : i64\n%k = eq %p, %one : i1\n%v = load %x, %r : f32[4]\n"
             "%w = if %k : f32[4] {\n%u = neg %v : f32[4]\nyield %u\n} {\nyield %v\n}\nstore %y, %r, %w",
             y);
  Y(1, 2, 3, 4, -5, -6, -7, -8, 9, 10);
  // double until at least 10
  RUN_BLOCKS("%one = const {type = i64, value = 1} : i64\n%ten = const {type = i64, value = 10} : i64\n%q = add %p, %one : i64\n"
             "%t = while %q : i64 (%a : i64) {\n%c = lt %a, %ten : i1\nyield %c\n} (%b : i64) {\n%d = add %b, %b : i64\nyield %d\n}\n"
             "%f = cast %t {to = \"f32\"} : f32\n%g = broadcast %f {shape = [4]} : f32[4]\nstore %y, %r, %g",
             y);
  Y(16, 16, 16, 16, 16, 16, 16, 16, 12, 12);
}

static void promises(void) {
  float y[11];
  RUN_BLOCKS("%t = assume %s {divisible = 4, min = 0, max = 8} : i64\n%g = range %t, %n {len = 4, align = 4} : range<4>\n%v = load %x, %g "
             ": f32[4]\nstore %y, %g, %v",
             y);
  Y(1, 2, 3, 4, 5, 6, 7, 8, 9, 10);
  fails("%t = assume %s {divisible = 8} : i64 @k.lua:7", "4 is no multiple of 8");
  fails("%t = assume %s {max = 4} : i64 @k.lua:7", "8 is not within");
  fails("%z = add %s, %p : i64\n%g = range %z, %n {len = 4, align = 4} : range<4> @k.lua:7", "starts at 5");
  fails("%v = load %x, %r : f32[4]\n%c = const {type = f32[4], value = 0x1p+3} : f32[4]\n%k = lt %v, %c : i1[4]\nassert %k {text = "
        "\"small\"} @k.lua:7",
        "\"small\" does not hold (element 3 of 4)");
  known = false;
  fails("%v = scalar {name = \"s\", type = f32} : f32 @k.lua:7", "no number was given for the scalar 's'");
  known = true;
  const tg_interp_options loud = {.only_launch = -1, .print = keep_print};
  CHECK(run_blocks("%v = load %x, %r : f32[4]\nprint %v, %p {text = \"v:\"}", ten, y, &loud) == TG_OK);
  CHECK_STR(printed, "v: f32[4] 9 10 0 0 i64 2");
}

// What is legal but suspicious goes to the log, once.
static void suspicions(void) {
  float y[11];
  tg_context *quiet = ctx;
  const tg_config config = {.log = keep_log};
  CHECK(tg_context_new(&config, &ctx) == TG_OK);
  RUN_BLOCKS("%zero = const {type = i64, value = 0} : i64\n%q = div %s, %zero : i64 @k.lua:3\n%h = const {type = i64, value = 64} : "
             "i64\n%t = shl %s, %h : i64 @k.lua:4\n"
             "%v = load %x, %r : f32[4]\n%a = sub %v, %v : f32[4]\n%b = div %a, %a : f32[4] @k.lua:5\n%c = add %b, %v : f32[4] "
             "@k.lua:6\nstore %y, %r, %c",
             y);
  CHECKF(strstr(logged, "k.lua:3: in kernel 't', launch 0, block (0): div: an integer is divided by 0"), "%s", logged);
  CHECKF(strstr(logged, "k.lua:4") && strstr(logged, "shift by 64 of a 64-bit"), "%s", logged);
  CHECKF(strstr(logged, "k.lua:5") && strstr(logged, "makes a NaN"), "%s", logged);
  CHECKF(!strstr(logged, "k.lua:6") && !strstr(logged, "block (1)"), "%s", logged);
  tg_context_free(ctx);
  ctx = quiet;
}

static void storage(void) {
  // two launches through a workspace that nobody gave; inout kept; optional output dropped; zeroed workspace
  const char *text =
      "kernel t tile {\n  input X : f32[4]\n  inout Z : f32[4]\n  output Y : f32[4]\n  output L : f32[4] optional\n  workspace W : "
      "f32[4]\n  workspace V : f32[4] zero\n"
      "  launch (1) {\n%i = const {type = i64, value = 0} : i64\n%n = const {type = i64, value = 4} : i64\n%r = range %i, %n {len = 4, "
      "align = 1} : range<4>\n"
      "%x = param {name = \"X\", type = view<f32,1>} : view<f32,1>\n%w = param {name = \"W\", type = view<f32,1>} : view<f32,1>\n"
      "%a = load %x, %r : f32[4]\n%b = add %a, %a : f32[4]\nstore %w, %r, %b\n  }\n"
      "  launch (1) {\n%qi = const {type = i64, value = 0} : i64\n%qn = const {type = i64, value = 4} : i64\n%qr = range %qi, %qn {len = "
      "4, align = 1} : range<4>\n"
      "%qw = param {name = \"W\", type = view<f32,1>} : view<f32,1>\n%qv = param {name = \"V\", type = view<f32,1>} : view<f32,1>\n"
      "%qz = param {name = \"Z\", type = view<f32,1>} : view<f32,1>\n%qy = param {name = \"Y\", type = view<f32,1>} : view<f32,1>\n%ql = "
      "param {name = \"L\", type = view<f32,1>} : view<f32,1>\n"
      "%qa = load %qw, %qr : f32[4]\n%qb = load %qv, %qr : f32[4]\n%qc = add %qa, %qb : f32[4]\n%qd = load %qz, %qr : f32[4]\n%qe = add "
      "%qc, %qd : f32[4]\nstore %qy, %qr, %qe\nstore %ql, %qr, %qe\n  }\n}\n";
  float x[4] = {1, 2, 3, 4}, z[4] = {10, 20, 30, 40}, y[4];
  io t[4] = {{"X", "f32", 1, {4}, x, false, NULL},
             {"Z", "f32", 1, {4}, z, false, NULL},
             {"Y", "f32", 1, {4}, y, true, NULL},
             {"L", "f32", 1, {4}, NULL, true, NULL}};
  CHECKF(run_text(4, t, text) == TG_OK, "%s", tg_error_message(ctx));
  check_floats("two launches", 4, y, (const float[]){12, 24, 36, 48});
  CHECKF(run_text(3, t, text) == TG_OK, "%s", tg_error_message(ctx));
  if (!on_interpreter()) return;
  CHECK(run_text(2, t, text) == TG_INVALID && strstr(tg_error_message(ctx), "no tensor was given for Y"));
  t[0].dim[0] = 3;
  CHECK(run_text(4, t, text) == TG_INVALID && strstr(tg_error_message(ctx), "X needs 16 bytes, its buffer has 12"));
}

static void packed(void) {
  // e2m1: two a byte, low nibble first; stores keep the neighbour
  uint8_t x[2] = {0x21, 0x43}, y[2] = {0xff, 0xff};
  const char *text =
      "kernel t tile {\n  input X : e2m1[4]\n  inout Y : e2m1[4]\n  launch (1) {\n%one = const {type = i64, value = 1} : i64\n%n = const "
      "{type = i64, value = 4} : i64\n%three = const {type = i64, value = 3} : i64\n"
      "%x = param {name = \"X\", type = view<e2m1,1>} : view<e2m1,1>\n%y = param {name = \"Y\", type = view<e2m1,1>} : view<e2m1,1>\n"
      "%r = range %one, %n {len = 2, align = 1} : range<2>\n%a = load %x, %r : e2m1[2]\nstore %y, %r, %a\n  }\n}\n";
  if (!has_run(run_text(2, ((io[]){{"X", "e2m1", 1, {4}, x, false, NULL}, {"Y", "e2m1", 1, {4}, y, true, NULL}}), text), text)) return;
  CHECKF(y[0] == 0x2f && y[1] == 0xf3, "%02x %02x", y[0], y[1]);
}

static void empty(void) {
  // N = 0: no blocks, NULL tensors, nothing touched
  static char text[8192];
  snprintf(text, sizeof text, "%s%%v = load %%x, %%r : f32[4]\nstore %%y, %%r, %%v\n  }\n}\n", HEAD);
  job j = {.text = text, .lookup = NULL, .scalar = numbers};
  CHECK(run_job(&j) == TG_INVALID); // N is not known
  CHECKF(strstr(tg_error_message(ctx), "'N'"), "%s", tg_error_message(ctx));
}

static void endless(void) {
  float y[11];
  (void)y;
  fails("%t = const {type = i1, value = 1} : i1\n%q = while %p : i64 (%a : i64) {\nyield %t\n} (%b : i64) {\nyield %b\n} @k.lua:7",
        "without end");
}

int ops_memory(const char *name, const char *const *refusals) {
  ops_open(name, refusals);
  bounds();
  edge_within_vector();
  rewritten();
  views();
  vectors();
  if (on_interpreter()) races();
  atomics();
  control();
  if (on_interpreter()) {
    promises();
    suspicions();
    endless();
  }
  storage();
  packed();
  empty();
  return ops_close();
}
