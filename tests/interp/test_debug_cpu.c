// print and assert on the cpu device: what the interpreter prints, word for word, and a failing assert that stops the launch with its line.
#include "interp/ops.h"

static char logged[1 << 16];
static void keep_log(void *user, tg_log_level level, const char *text) {
  (void)user;
  if (level != TG_LOG_INFO) return;
  strncat(logged, text, sizeof logged - strlen(logged) - 2);
  strcat(logged, "\n");
}

static const char head[] =
    "kernel t tile {\n  input X : f32[6, 40]\n  inout Y : i64[3]\n  launch (3) {\n"
    "    %p = pid {axis = 0} : i64\n    %two = const {type = i64, value = 2} : i64\n    %zero = const {type = i64, value = 0} : i64\n"
    "    %s = mul %p, %two : i64\n    %rows = const {type = i64, value = 5} : i64\n    %columns = const {type = i64, value = 37} : i64\n"
    "    %m = range %s, %rows {len = 2, align = 2} : range<2>\n    %n = range %zero, %columns {len = 40, align = 8} : range<40>\n"
    "    %x = param {name = \"X\", type = view<f32,2>} : view<f32,2>\n    %y = param {name = \"Y\", type = view<i64,1>} : view<i64,1>\n"
    "    %v = load %x, %m, %n {fill = -0x1p+0} : f32[2x40]\n";

static tg_status run(tg_device *on, const char *body, float *x, int64_t *y) {
  static char text[8192];
  snprintf(text, sizeof text, "%s%s\n  }\n}\n", head, body);
  device = on;
  logged[0] = 0;
  return run_text(2, ((io[]){{"X", "f32", 2, {6, 40}, x, false, NULL}, {"Y", "i64", 1, {3}, y, true, "inout"}}), text);
}

// The cpu device says the same as the interpreter, and something; its blocks come in any order where threads share them.
static void prints(tg_device *cpu, float *x, const char *body) {
  char want[sizeof logged];
  int64_t y[3] = {0};
  CHECKF(run(NULL, body, x, y) == TG_OK, "%s\n%s", tg_error_message(ctx), body);
  memcpy(want, logged, sizeof want);
  CHECKF(run(cpu, body, x, y) == TG_OK, "%s\n%s", tg_error_message(ctx), body);
  CHECKF(*want && strlen(want) == strlen(logged), "printed\n%sthe interpreter\n%s", logged, want);
  int lines = 0;
  for (char *line = strtok(want, "\n"); line; line = strtok(NULL, "\n"), lines++) CHECKF(strstr(logged, line), "not printed: %s", line);
  CHECK(lines == 3);
}

static void stops(tg_device *cpu, float *x, const char *body) {
  int64_t y[3] = {0};
  const tg_status status = run(cpu, body, x, y);
  const char *message = tg_error_message(ctx);
  CHECKF(status == TG_FAILED && strstr(message, "k.lua:7: ") && strstr(message, "\"small \\ enough\" does not hold"), "%s", message);
}

static void holds(tg_device *cpu, float *x, const char *body) {
  int64_t y[3] = {0};
  CHECKF(run(cpu, body, x, y) == TG_OK, "%s", tg_error_message(ctx));
}

int main(void) {
  const tg_config config = {.root = ROOT_DIR, .worker = BUILD_DIR "/tegula-worker", .log = keep_log};
  tg_device *cpu;
  if (tg_context_new(&config, &ctx) || tg_device_open(ctx, "cpu", &cpu)) return 1;
  float x[240];
  for (int i = 0; i < 240; i++) x[i] = (float)i / 7;
  x[3] = NAN, x[4] = -INFINITY, x[5] = -0.0f;
  prints(cpu, x, "print {text = \"here 100 % \\\"sure\\\"\"}");
  prints(cpu, x, "print %v, %p, %m {text = \"v\"}"); // more elements than are shown
  prints(cpu, x,
         "%a = reduce %v {kind = \"max\", axis = 0} : f32[1x40]\n%b = reduce %a {kind = \"min\", axis = 1} : f32[1x1]\n"
         "%t = transpose %v {perm = [1, 0]} : f32[40x2]\n%u = isnan %t : i1[40x2]\n%c = cast %v {to = \"e4m3\", mode = \"sat\"} : "
         "e4m3[2x40]\n%w = cast %p {to = \"i8\"} : i8\nprint %a, %b, %t, %u, %c, %w, %p {text = \"\"}");
  prints(cpu, x,
         "%big = const {type = i64[3], value = 9007199254740993} : i64[3]\n%h = cast %v {to = \"bf16\"} : bf16[2x40]\n"
         "%q = cast %v {to = \"e2m1\", mode = \"sat\"} : e2m1[2x40]\nprint %big, %h, %q {text = \"exact\"}");
  // in a loop and under a condition
  prints(cpu, x,
         "%one = const {type = i64, value = 1} : i64\nfor %zero, %one {step = 1} (%i : i64) {\n%k = ge %i, %zero : i1\nif %k {\nprint %i, "
         "%p {text = \"i\"}\nyield\n} {\nyield\n}\nyield\n}");
  holds(cpu, x, "%k = eq %p, %p : i1\nassert %k {text = \"same\"}");
  holds(cpu, x,
        "%c = const {type = f32[2x40], value = 0x1p+6} : f32[2x40]\n%k = gt %v, %c : i1[2x40]\n%l = not %k : i1[2x40]\nassert %l {text = "
        "\"not large\"}");
  stops(cpu, x, "%k = lt %p, %two : i1\nassert %k {text = \"small \\\\ enough\"} @k.lua:7");
  // one element of the last block, outside the tensor
  stops(cpu, x,
        "%c = const {type = f32[2x40], value = -0x1p+0} : f32[2x40]\n%k = ne %v, %c : i1[2x40]\nassert %k {text = \"small \\\\ enough\"} "
        "@k.lua:7");
  // nothing after it is done
  int64_t y[3] = {7, 7, 7};
  CHECK(run(cpu, "%no = ne %p, %p : i1\nassert %no {text = \"never\"} @k.lua:9\nstore %y, %p, %p", x, y) == TG_FAILED);
  CHECK(y[0] == 7 && y[1] == 7 && y[2] == 7);
  tg_device_close(cpu);
  tg_context_free(ctx);
  return test_done();
}
