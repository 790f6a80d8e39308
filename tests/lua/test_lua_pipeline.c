// Buffers and pipelines from scripts (pipeline.lua), on the interpreter, on the processor and on a GPU's driver.
#include "tegula/tegula.h"
#include "cuda/use_fake.h"
#include "test.h"

#if defined(__SANITIZE_ADDRESS__)
// More memory than there is has to be refused, not reported.
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "allocator_may_return_null=1"; }
#endif

int main(void) {
  char dir[] = "/tmp/tegula-pipeline-XXXXXX", command[64], database[64];
  if (!mkdtemp(dir)) return 1;
  snprintf(database, sizeof database, "%s/db.jsonl", dir);
  use_fake();
  static const char *const devices[] = {"interp", "cpu", "cuda:0"};
  for (int i = 0; i < 3; i++) {
    tg_context *ctx;
    const tg_config config = {.root = ROOT_DIR, .cache_dir = dir, .database = database, .worker = BUILD_DIR "/tegula-worker"};
    if (tg_context_new(&config, &ctx) != TG_OK) return 1;
    CHECKF(tg_script_run(ctx, TESTS_DIR "/lua/pipeline.lua", 1, &devices[i]) == TG_OK, "%s: %s", devices[i], tg_error_message(ctx));
    tg_context_free(ctx);
  }
  snprintf(command, sizeof command, "rm -rf %s", dir);
  CHECK(system(command) == 0);
  return test_done();
}
