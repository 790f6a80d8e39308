// Runs random_pipelines.lua with so many cases from a seed on.
#include "tegula/tegula.h"
#include "cuda/use_fake.h"
#include "test.h"

static int random_pipelines(const char *cases, const char *seed) {
  char dir[] = "/tmp/tegula-pipelines-XXXXXX", command[64], database[64];
  if (!mkdtemp(dir)) return 1;
  snprintf(database, sizeof database, "%s/db.jsonl", dir);
  use_fake();
  static const char *const devices[] = {"interp", "cpu", "cuda:0"};
  for (int i = 0; i < 3; i++) {
    tg_context *ctx;
    const tg_config config = {.root = ROOT_DIR, .cache_dir = dir, .database = database, .worker = BUILD_DIR "/tegula-worker"};
    if (tg_context_new(&config, &ctx) != TG_OK) return 1;
    const char *const args[] = {devices[i], i < 2 ? cases : "3", seed}; // a simulated GPU takes its time
    CHECKF(tg_script_run(ctx, TESTS_DIR "/lua/random_pipelines.lua", 3, args) == TG_OK, "%s: %s", devices[i], tg_error_message(ctx));
    tg_context_free(ctx);
  }
  snprintf(command, sizeof command, "rm -rf %s", dir);
  CHECK(system(command) == 0);
  return test_done();
}
