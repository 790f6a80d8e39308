// label: long
// What p:tune keeps and what it does not (pipeline_tune.lua); a config that is recorded by hand.
#include "tegula/tegula.h"
#include "test.h"

static void recorded(tg_context *ctx) {
  tg_source *source;
  const tg_bindings shape = {3, (tg_binding[]){{"M", "3"}, {"N", "64"}, {"K", "64"}}};
  const tg_bindings half = {1, (tg_binding[]){{"BM", "2"}}};
  CHECK(tg_source_load(ctx, "gemm_f32", &source) == TG_OK);
  CHECK(tg_config_record(ctx, source, "cpu", &shape, NULL, 1, &half, 1e-6) == TG_INVALID);
  CHECKF(strstr(tg_error_message(ctx), "this is no config of kernel 'gemm_f32' on cpu"), "%s", tg_error_message(ctx));
  CHECK(tg_config_record(ctx, source, "cpu", &shape, NULL, 1, &half, 0) == TG_INVALID);
  CHECKF(strstr(tg_error_message(ctx), "give more than 0"), "%s", tg_error_message(ctx));
  tg_source_free(source);
}

int main(void) {
  char dir[] = "/tmp/tegula-tuned-XXXXXX", command[64], database[64];
  if (!mkdtemp(dir)) return 1;
  snprintf(database, sizeof database, "%s/db.jsonl", dir);
  tg_context *ctx;
  const tg_config config = {.root = ROOT_DIR, .cache_dir = dir, .database = database, .worker = BUILD_DIR "/tegula-worker"};
  if (tg_context_new(&config, &ctx) != TG_OK) return 1;
  const char *const args[] = {database};
  CHECKF(tg_script_run(ctx, TESTS_DIR "/lua/pipeline_tune.lua", 1, args) == TG_OK, "%s", tg_error_message(ctx));
  recorded(ctx);
  tg_context_free(ctx);
  snprintf(command, sizeof command, "rm -rf %s", dir);
  CHECK(system(command) == 0);
  return test_done();
}
