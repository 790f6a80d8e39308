// lower/*.tile: what the simt lowering makes of small kernels. RUN: warps=N variant=N [target=TARGET [raster=N]].
#include "codegen/codegen.h"
#include "filecheck.h"
#include "targets/target.h"

typedef struct job {
  tg_context *ctx;
  const char *run, *source, *name;
  size_t length;
  char *output;
} job;

static void lower_body(void *arg) {
  job *j = arg;
  char warps[16] = "1", target[32] = "nvptx:sm_80", raster[16] = "1";
  int variant = 0;
  CHECK(sscanf(j->run, "warps=%15s variant=%d target=%31s raster=%15s", warps, &variant, target, raster) >= 2);
  tg_kernel *tile = tg_parse(j->ctx, j->source, j->length, j->name);
  if (tg_verify(tile)) tg_rethrow(j->ctx);
  const tg_family *family;
  const tg_binding knobs[] = {{"warps", warps}, {"raster", raster}};
  tg_lower_options options = {.machine = tg_target_find(j->ctx, target, &family), .settings = {2, knobs}, .variant = variant};
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
