// Text to kernel to text: the second text equals the first, and every op of both levels appears in it.
#include "test.h"

#include "ir/ir.h"

static char *read_file(const char *name, size_t *size) {
  char path[4096];
  snprintf(path, sizeof path, "%s/ir/%s", TESTS_DIR, name);
  FILE *f = fopen(path, "rb");
  if (!f) {
    fprintf(stderr, "cannot open %s\n", path);
    exit(1);
  }
  char *text = calloc(1, 1 << 20);
  *size = fread(text, 1, (1 << 20) - 1, f);
  fclose(f);
  return text;
}

static bool mentions(const char *text, const char *op) {
  size_t n = strlen(op);
  for (const char *p = text; (p = strstr(p, op)); p += n) {
    bool begins = p > text && (p[-1] == ' '), ends = p[n] == ' ' || p[n] == '\n';
    if (begins && ends) return true;
  }
  return false;
}

static void check_file(tg_context *ctx, const char *name, unsigned level) {
  size_t size, n1, n2;
  char *source = read_file(name, &size);
  tg_kernel *a, *b, *clone;
  const char *t1, *t2;
  tg_status status = tg_kernel_parse(ctx, source, size, name, &a);
  CHECKF(!status, "%s", tg_error_message(ctx));
  if (status) return;
  CHECK(!tg_kernel_print(a, &t1, &n1) && strlen(t1) == n1);
  status = tg_kernel_parse(ctx, t1, n1, "printed", &b);
  CHECKF(!status, "%s\n%s", tg_error_message(ctx), t1);
  if (!status) {
    CHECK(!tg_kernel_print(b, &t2, &n2));
    CHECK_STR(t2, t1);
    clone = tg_kernel_clone(b);
    tg_kernel_free(b);
    CHECK(!tg_kernel_print(clone, &t2, &n2) && !tg_kernel_verify(clone));
    CHECK_STR(t2, t1);
    tg_kernel_free(clone);
  }
  for (int i = 0; i < TG_NOPCODES; i++) {
    const tg_op_row *row = &tg_op_rows()[i];
    if (row->traits & level && !(row->traits & TG_ELEMENTWISE && level == TG_AT_LANE))
      CHECKF(mentions(t1, row->info.name), "%s lacks %s", name, row->info.name);
  }
  tg_kernel_free(a);
  free(source);
}

// What the printed form promises beyond being readable: see "Text" in ir/README.md.
static void check_details(tg_context *ctx) {
  const char *text = "kernel k tile { dim M output C : f32[M] launch (M) { "
                     "%x = const {type = f32, value = 0.1} : f32 %y = const {type = f32, value = 3} : f32 %z = const {type = bf16[2], "
                     "value = -1.5} : bf16[2]\n"
                     "%n = const {type = f64, value = -nan} : f64 %d = const {type = f64, value = 0.1} : f64 } }";
  const char *want = "kernel k tile {\n  dim M\n  output C : f32[M]\n  launch (M) {\n"
                     "    %0 = const {type = f32, value = 0x1.99999ap-4} : f32\n"
                     "    %1 = const {type = f32, value = 0x1.8p+1} : f32\n"
                     "    %2 = const {type = bf16[2], value = -0x1.8p+0} : bf16[2]\n"
                     "    %3 = const {type = f64, value = nan} : f64\n"
                     "    %4 = const {type = f64, value = 0x1.999999999999ap-4} : f64\n  }\n}\n";
  tg_kernel *k;
  const char *got = NULL;
  CHECKF(!tg_kernel_parse(ctx, text, strlen(text), NULL, &k), "%s", tg_error_message(ctx));
  if (k) CHECK(!tg_kernel_print(k, &got, NULL));
  CHECK_STR(got, want);
  tg_kernel_free(k);
}

int main(void) {
  tg_context *ctx;
  if (tg_context_new(NULL, &ctx)) return 1;
  check_file(ctx, "ops.tile", TG_AT_TILE);
  check_file(ctx, "ops.lane", TG_AT_LANE);
  check_details(ctx);
  tg_context_free(ctx);
  return test_done();
}
