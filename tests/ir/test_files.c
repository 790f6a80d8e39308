// tests/ir/files/*.tile and *.lane: text through passes, against what their comments say.
//
// RUN names passes, separated by commas: the output is the kernel's text after them. `RUN: parse` runs none. `RUN: error` expects that the
// text does not parse or verify: the output is the message.
#include "filecheck.h"

#include "ir/ir.h"

typedef struct job {
  tg_kernel *kernel;
  const char *passes;
} job;

static void run_passes(void *arg) {
  job *j = arg;
  tg_run_passes(j->kernel, j->passes);
}

static char *produce(const char *run, const char *source, size_t length, const char *name, void *user) {
  tg_context *ctx = user;
  job j = {.passes = strcmp(run, "parse") ? run : ""};
  bool want_error = !strcmp(run, "error");
  tg_status status = tg_kernel_parse(ctx, source, length, name, &j.kernel);
  CHECKF(!!status == want_error, "%s: %s", name, status ? tg_error_message(ctx) : "no error");
  if (status) return strdup(tg_error_message(ctx));
  const char *text = "";
  if (!want_error) {
    status = tg_protect(ctx, run_passes, &j);
    CHECKF(!status, "%s: %s", name, tg_error_message(ctx));
    status = tg_verify(j.kernel);
    CHECKF(!status, "%s, after the passes: %s", name, tg_error_message(ctx));
    tg_kernel_print(j.kernel, &text, NULL);
  }
  char *copy = strdup(text);
  tg_kernel_free(j.kernel);
  return copy;
}

// The kernel after each pass, in numbered files.
static void check_dump(void) {
  char dir[] = "/tmp/tegula-dump-XXXXXX", path[256], line[64] = "";
  tg_context *ctx = NULL;
  static const char text[] = "kernel k tile { launch (1) { %x = const {type = i32, value = 1} : i32 } }";
  static const char *const names[] = {"000-k-cse.tile", "001-k-dce.tile", "002-note.txt"};
  job j = {.passes = "cse,dce"};
  CHECK(mkdtemp(dir) && !tg_context_new(&(tg_config){.dump_dir = dir}, &ctx));
  CHECK(!tg_kernel_parse(ctx, text, sizeof text - 1, "k", &j.kernel) && !tg_protect(ctx, run_passes, &j));
  tg_dump_text(ctx, "note", "txt", "kernel k tile {\n", 16);
  for (int i = 0; i < 3; i++) {
    snprintf(path, sizeof path, "%s/%s", dir, names[i]);
    FILE *f = fopen(path, "rb");
    CHECKF(f && fgets(line, sizeof line, f) && !strcmp(line, "kernel k tile {\n"), "%s: %s", path, line);
    if (f) fclose(f);
    remove(path);
  }
  CHECK(remove(dir) == 0); // nothing else was written
  j.passes = "cse,unroll";
  CHECK(tg_protect(ctx, run_passes, &j) == TG_INVALID &&
        strstr(tg_error_message(ctx), "no pass 'unroll'; there are canonicalise, cse, dce, licm"));
  CHECK(remove(dir) != 0); // cse was not run
  tg_kernel_free(j.kernel);
  tg_context_free(ctx);
}

int main(void) {
  tg_context *ctx;
  if (tg_context_new(&(tg_config){.dump_dir = NULL}, &ctx)) return 1;
  int n =
      filecheck_directory(TESTS_DIR "/ir/files", ".tile", produce, ctx) + filecheck_directory(TESTS_DIR "/ir/files", ".lane", produce, ctx);
  printf("%d inputs\n", n);
  CHECK(n > 15);
  check_dump();
  tg_context_free(ctx);
  return test_done();
}
