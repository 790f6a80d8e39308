// A selection between something new and what was there, as assembly for AVX2: a blend and a store, not a store under a mask.
#include "tegula/tegula.h"
#include "test.h"

int main(void) {
  const tg_config config = {.root = ROOT_DIR, .worker = BUILD_DIR "/tegula-worker"};
  tg_context *ctx;
  if (tg_context_new(&config, &ctx)) return 1;
  tg_source *source = NULL;
  tg_artifact *artifact = NULL;
  const tg_binding experts = {"E", "256"};
  const tg_compile_options options = {.target = "cpu:avx2", .statics = {1, &experts}};
  const char *text = NULL;
  size_t size;
  if (tg_source_load(ctx, "moe_gate", &source) || tg_compile(ctx, source, &options, &artifact) ||
      tg_artifact_emit(artifact, "asm", NULL, (const void **)&text, &size)) {
    CHECKF(false, "%s", tg_error_message(ctx));
  } else {
    CHECK(strstr(text, "vblendv"));
    CHECK(!strstr(text, "maskmov")); // chosen experts are cleared among the keys in place
  }
  tg_artifact_free(artifact);
  tg_source_free(source);
  tg_context_free(ctx);
  return test_done();
}
