// Checkpoints, JSON documents and expert placement from scripts (files.lua); kernels' files see none of it.
#include "tegula/tegula.h"
#include "test.h"

int main(void) {
  tg_context *ctx;
  char dir[] = "/tmp/tegula-files-XXXXXX", command[64], file[64];
  if (!mkdtemp(dir) || tg_context_new(&(tg_config){.root = ROOT_DIR, .cache_dir = dir}, &ctx) != TG_OK) return 1;
  const char *args[] = {dir, TESTS_DIR "/golden/safetensors"};
  CHECKF(tg_script_run(ctx, TESTS_DIR "/lua/files.lua", 2, args) == TG_OK, "%s", tg_error_message(ctx));
  snprintf(file, sizeof file, "%s/kernel.lua", dir);
  const char *calls[] = {"safetensors", "write_safetensors", "json", "place_experts"};
  for (int i = 0; i < 4; i++) {
    FILE *f = fopen(file, "wb");
    fprintf(f, "local tg <const> = require 'tegula'\ntg.%s('x')\n", calls[i]);
    fclose(f);
    tg_source *source;
    CHECK(tg_source_load(ctx, file, &source) != TG_OK);
    CHECKF(strstr(tg_error_message(ctx), "tegula has no"), "%s", tg_error_message(ctx));
  }
  snprintf(command, sizeof command, "rm -rf %s", dir);
  CHECK(system(command) == 0);
  tg_context_free(ctx);
  return test_done();
}
