// label: long
// Every library kernel in its default config for every NVIDIA architecture, through NVIDIA's own assembler: both variants where the first
// one copies by tensor maps (sm_90a, sm_100a), one of them elsewhere, by turns over kernels and architectures. Argument: one architecture
// alone.
#include "targets/nvptx/assemble.h"
#include "test.h"

static tg_context *ctx;
static int compiled, refused;

static tg_bindings statics_of(tg_source *source, tg_binding at[16]) {
  tg_kernel *signature;
  int n = 0;
  if (tg_source_signature(source, NULL, &signature) != TG_OK) return (tg_bindings){0};
  for (int i = 0; i < signature->nsymbols && n < 16; i++)
    if (signature->symbols[i].kind == TG_SYM_STATIC && signature->symbols[i].value < 0)
      at[n++] = (tg_binding){signature->symbols[i].name, strcmp(signature->symbols[i].name, "Dqk") ? "128" : "192"};
  return (tg_bindings){n, at};
}

static void compile(const char *target, const char *kernel, const char *variant) {
  tg_source *source = NULL;
  tg_artifact *artifact = NULL;
  tg_binding at[16], which = {"variant", variant};
  const void *data;
  size_t size = 0;
  tg_status status = tg_source_load(ctx, kernel, &source);
  tg_compile_options options = {.target = target, .settings = {1, &which}, .no_cache = true};
  if (!status) options.statics = statics_of(source, at);
  if (!status) status = tg_compile(ctx, source, &options, &artifact);
  if (!status) status = tg_artifact_emit(artifact, "obj", NULL, &data, &size);
  compiled += status == TG_OK;
  refused += status == TG_INVALID; // the lowering says in a sentence what it cannot do
  CHECKF(status == TG_OK ? size > 64 : status == TG_INVALID, "%s for %s, variant %s: %s", kernel, target, variant, tg_error_message(ctx));
  if (status) printf("%s for %s, variant %s: %s\n", kernel, target, variant, tg_error_message(ctx));
  tg_artifact_free(artifact);
  tg_source_free(source);
}

int main(int argc, char **argv) {
  tg_config config = {.root = ROOT_DIR, .worker = BUILD_DIR "/tegula-worker"};
  CHECK(tg_context_new(&config, &ctx) == TG_OK);
  tg_arena arena;
  tg_arena_init(&arena, ctx);
  const bool installed = tg_assembler_find(&arena) != NULL;
  tg_arena_free(&arena);
  if (!installed) {
    printf("skipped: no assembler of NVIDIA's is installed\n");
    tg_context_free(ctx);
    return test_done();
  }
  const tg_target_info *targets;
  const char *const *names;
  int nnames, ntargets = tg_targets(ctx, &targets);
  CHECK(tg_library(ctx, &nnames, &names) == TG_OK);
  for (int t = 0; t < ntargets; t++) {
    const char *target = targets[t].name;
    if (strncmp(target, "nvptx:", 6) || (argc > 1 && strcmp(target, argv[1]))) continue;
    const bool maps = !strcmp(target, "nvptx:sm_90a") || !strcmp(target, "nvptx:sm_100a");
    const int before = compiled, before_refused = refused;
    for (int k = 0; k < nnames; k++)
      for (int v = 0; v < 2; v++)
        if (maps || (t + k) % 2 == v) compile(target, names[k], v ? "1" : "0");
    printf("%s: ptxas took %d of %d\n", target, compiled - before, compiled - before + refused - before_refused);
    CHECK(compiled - before > refused - before_refused); // most of the library
  }
  tg_context_free(ctx);
  return test_done();
}
