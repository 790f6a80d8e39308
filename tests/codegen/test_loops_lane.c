// tests/codegen/loops/*.tile: the lane IR that the loops lowering makes, against what their comments say.
//
// RUN: TARGET [NAME=VALUE]… lowers for that target with those parameters of the lowering; "error" as a last word expects a refusal, whose
// message is the output.
#include "filecheck.h"

#include "targets/target.h"

typedef struct job {
  tg_kernel *kernel, *lane;
  const char *target;
  tg_binding settings[8];
  int n;
} job;

static void lower(void *arg) {
  job *j = arg;
  const tg_family *family;
  tg_lower_options options = {.machine = tg_target_find(j->kernel->ctx, j->target, &family), .settings = {j->n, j->settings}};
  tg_run_passes(j->kernel, "canonicalise,cse,licm,dce");
  j->lane = tg_lowering_loops.lower(j->kernel, &options);
}

static char *produce(const char *run, const char *source, size_t length, const char *name, void *user) {
  tg_context *ctx = user;
  char words[256];
  snprintf(words, sizeof words, "%s", run);
  job j = {.target = strtok(words, " ")};
  bool refused = false;
  for (char *word; (word = strtok(NULL, " ")) && j.n < 8;) {
    char *equals = strchr(word, '=');
    if (!equals) refused = true;
    else {
      *equals = 0;
      j.settings[j.n++] = (tg_binding){word, equals + 1};
    }
  }
  tg_status status = tg_kernel_parse(ctx, source, length, name, &j.kernel);
  CHECKF(!status, "%s: %s", name, tg_error_message(ctx));
  if (status) return strdup("");
  status = tg_protect(ctx, lower, &j);
  CHECKF(!!status == refused, "%s: %s", name, status ? tg_error_message(ctx) : "not refused");
  const char *text = tg_error_message(ctx);
  if (!status) {
    CHECKF(tg_verify(j.lane) == TG_OK, "%s: %s", name, tg_error_message(ctx));
    tg_kernel_print(j.lane, &text, NULL);
  }
  char *copy = strdup(text);
  if (j.lane) tg_kernel_free(j.lane);
  tg_kernel_free(j.kernel);
  return copy;
}

int main(void) {
  tg_context *ctx;
  if (tg_context_new(NULL, &ctx)) return 1;
  CHECK(filecheck_directory(TESTS_DIR "/codegen/loops", ".tile", produce, ctx) == 27);
  tg_context_free(ctx);
  return test_done();
}
