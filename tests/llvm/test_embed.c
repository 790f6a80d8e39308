// Compiling in the program's own process: no helper is needed, the code runs, and it is the helper's to the byte.
#include "tegula/tegula.h"

#include "test.h"

static tg_context *open_context(const char *worker) {
  tg_context *ctx;
  const tg_config config = {.root = ROOT_DIR, .worker = worker, .cache_dir = "/proc/nowhere"}; // nothing is cached
  return tg_context_new(&config, &ctx) == TG_OK ? ctx : NULL;
}

static size_t object(tg_context *ctx, void *out, size_t size) {
  tg_source *source;
  tg_artifact *artifact = NULL;
  const void *data = NULL;
  size_t n = 0;
  const tg_compile_options options = {.target = "cpu:avx2", .no_cache = true};
  tg_status status = tg_source_load(ctx, "rmsnorm", &source);
  if (status == TG_OK) status = tg_compile(ctx, source, &options, &artifact);
  if (status == TG_OK) status = tg_artifact_emit(artifact, "obj", NULL, &data, &n);
  CHECKF(status == TG_OK && n > 0 && n <= size, "%zu bytes: %s", n, tg_error_message(ctx));
  if (status == TG_OK && n <= size) memcpy(out, data, n);
  tg_artifact_free(artifact);
  tg_source_free(source);
  return n;
}

static void run(tg_context *ctx) {
  tg_device *device;
  tg_source *source;
  tg_argument args[] = {{.name = "G"}, {.name = "O"}};
  const int64_t dim[] = {2, 6};
  const tg_run_options options = {0};
  CHECK(tg_device_open(ctx, "cpu", &device) == TG_OK && tg_source_load(ctx, "swiglu", &source) == TG_OK);
  CHECK(tg_array_new(ctx, tg_dtype_find("bf16"), 2, dim, &args[0].array) == TG_OK);
  for (int i = 0; i < 12; i++) tg_array_set(args[0].array, i, i % 6 < 3 ? 64 : i); // silu(64) = 64
  CHECKF(tg_run(device, source, &options, 2, args, true) == TG_OK, "%s", tg_error_message(ctx));
  for (int i = 0; i < 6 && args[1].array; i++) CHECK(tg_array_get(args[1].array, i) == 64 * (i / 3 * 6 + 3 + i % 3));
  for (int i = 0; i < 2; i++) tg_array_free(ctx, args[i].array);
  tg_source_free(source);
  tg_device_close(device);
}

int main(void) {
  static char here[1 << 20], there[1 << 20];
  tg_context *ctx = open_context("/nowhere/tegula-worker");
  if (!ctx) return 1;
  CHECK(tg_embed_llvm(ctx) == TG_OK);
  size_t n = object(ctx, here, sizeof here);
  run(ctx);
  tg_context_free(ctx);
  ctx = open_context(BUILD_DIR "/tegula-worker");
  if (!ctx) return 1;
  CHECK(object(ctx, there, sizeof there) == n && memcmp(here, there, n) == 0);
  tg_context_free(ctx);
  return test_done();
}
