// Long expressions on device cpu (chains.lua), and folds nested as deeply as the language allows.
#include <unistd.h>

#include "tegula/tegula.h"
#include "test.h"

static tg_status compile_nest(tg_context *ctx, int depth, const char *target) {
  char file[] = "/tmp/tegula-nest-XXXXXX.lua";
  int fd = mkstemps(file, 4);
  FILE *out = fdopen(fd, "w");
  fprintf(out,
          "local tg <const> = require 'tegula'\n"
          "return tg.kernel('nest', function(k)\n"
          "  local M, K = k.dim 'M', k.dim 'K'\n"
          "  local O = k.output('O', tg.f32, M)\n"
          "  local function nest(n, t) return n == 0 and t + 1 or K:by(32):fold(t, function(acc) return nest(n - 1, acc) end) end\n"
          "  k.blocks(M:by(16), function(m) O[{m}] = nest(%d, tg.zeros(tg.f32, 16)) end)\n"
          "end)\n",
          depth);
  fclose(out);
  tg_source *source = NULL;
  tg_artifact *artifact = NULL;
  const void *data;
  size_t size;
  const tg_compile_options options = {.target = target};
  tg_status status = tg_source_load(ctx, file, &source);
  if (status == TG_OK) status = tg_compile(ctx, source, &options, &artifact);
  if (status == TG_OK) status = tg_artifact_emit(artifact, "asm", NULL, &data, &size);
  tg_artifact_free(artifact);
  tg_source_free(source);
  unlink(file);
  return status;
}

int main(void) {
  tg_context *ctx;
  const tg_config config = {.root = ROOT_DIR, .worker = BUILD_DIR "/tegula-worker", .cache_dir = "/proc/nowhere"};
  if (tg_context_new(&config, &ctx) != TG_OK) return 1;
  CHECKF(tg_script_run(ctx, TESTS_DIR "/codegen/chains.lua", 0, NULL) == TG_OK, "%s", tg_error_message(ctx));
  for (int depth = 56; depth <= 70; depth++) { // the deepest work or are refused in words
    const char *const targets[] = {"cpu:avx2", "nvptx:sm_80"};
    for (int t = 0; t < 2; t++) {
      tg_status status = compile_nest(ctx, depth, targets[t]);
      if (depth == 56) CHECKF(status == TG_OK, "%s: %s", targets[t], tg_error_message(ctx));
      else
        CHECKF(status == TG_OK || (status == TG_INVALID && strstr(tg_error_message(ctx), "nest")), "%d: %s", depth, tg_error_message(ctx));
    }
  }
  CHECK(compile_nest(ctx, 2000, "cpu:avx2") == TG_INVALID && strstr(tg_error_message(ctx), "nest-") &&
        strstr(tg_error_message(ctx), ".lua:5: "));
  tg_context_free(ctx);
  return test_done();
}
