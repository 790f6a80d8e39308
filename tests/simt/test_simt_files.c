// lower/*.tile: what the simt lowering makes of small kernels. RUN: NAME=VALUE …, where variant is the
// variant (0), target the target (nvptx:sm_80), and all else parameters of the lowering.
#include "codegen/codegen.h"
#include "filecheck.h"
#include "targets/target.h"

typedef struct job {
  tg_context *ctx;
  const char *run, *source, *name;
  size_t length;
  char *output;
} job;

enum { MOST_SETTINGS = 8 };

static void lower_body(void *arg) {
  job *j = arg;
  char name[MOST_SETTINGS][16], value[MOST_SETTINGS][32], target[32] = "nvptx:sm_80";
  tg_binding knobs[MOST_SETTINGS];
  int variant = 0, n = 0, used;
  for (const char *at = j->run; n < MOST_SETTINGS && sscanf(at, " %15[^= ]=%31s%n", name[n], value[n], &used) == 2; at += used) {
    if (!strcmp(name[n], "variant")) variant = atoi(value[n]);
    else if (!strcmp(name[n], "target")) strcpy(target, value[n]);
    else knobs[n] = (tg_binding){name[n], value[n]}, n++;
  }
  CHECK(n >= 1);
  tg_kernel *tile = tg_parse(j->ctx, j->source, j->length, j->name);
  if (tg_verify(tile)) tg_rethrow(j->ctx);
  const tg_family *family;
  tg_lower_options options = {.machine = tg_target_find(j->ctx, target, &family), .settings = {n, knobs}, .variant = variant};
  tg_kernel *lane = tg_lowering_simt.lower(tile, &options);
  if (tg_verify(lane)) tg_rethrow(j->ctx);
  size_t size;
  j->output = strdup(tg_print(&lane->arena, lane, &size));
  tg_kernel_free(lane);
  tg_kernel_free(tile);
}

static char *produce(const char *run, const char *source, size_t length, const char *name, void *user) {
  job j = {.ctx = user, .run = run, .source = source, .length = length, .name = name};
  if (tg_protect(j.ctx, lower_body, &j) != TG_OK) return strdup(tg_error_message(j.ctx));
  return j.output;
}

int main(void) {
  tg_context *ctx;
  CHECK(tg_context_new(NULL, &ctx) == TG_OK);
  CHECK(filecheck_directory(TESTS_DIR "/simt/lower", ".tile", produce, ctx) >= 10);
  tg_context_free(ctx);
  return test_done();
}
