// Running a kernel under an allocator whose n-th request fails, for every n: each time a clean TG_NO_MEMORY or a right result, and nothing
// is kept.
#include <unistd.h>

#include "tegula/tegula.h"

#include "test.h"

static long countdown, live;
static char sentence[512];

static void *allocate(void *user, void *ptr, size_t size) {
  (void)user;
  if (size == 0) {
    live -= ptr != NULL;
    free(ptr);
    return NULL;
  }
  if (countdown > 0 && --countdown == 0) return NULL;
  void *fresh = realloc(ptr, size);
  live += fresh && !ptr;
  return fresh;
}

static char cache[] = "/tmp/tegula-test-XXXXXX";

// One whole life: context, source, device, run. The status of the first call that failed.
static tg_status attempt(const char *device_name) {
  const tg_config config = {.allocate = allocate, .root = ROOT_DIR, .cache_dir = cache, .worker = BUILD_DIR "/tegula-worker"};
  tg_context *ctx = NULL;
  tg_status status = tg_context_new(&config, &ctx);
  if (status != TG_OK) return status;
  tg_source *source = NULL;
  tg_device *device = NULL;
  tg_argument args[] = {{.name = "G"}, {.name = "O"}};
  const int64_t dim[] = {3, 40};
  const tg_run_options options = {.threads = 1};
  status = tg_source_load(ctx, "swiglu", &source);
  if (status == TG_OK) status = tg_device_open(ctx, device_name, &device);
  if (status == TG_OK) status = tg_array_new(ctx, tg_dtype_find("bf16"), 2, dim, &args[0].array);
  for (int i = 0; status == TG_OK && i < 120; i++) tg_array_set(args[0].array, i, i % 40 < 20 ? 0 : 3);
  if (status == TG_OK) status = tg_run(device, source, &options, 2, args, true);
  if (status == TG_OK) {
    CHECK(args[1].array->dim[1] == 20);
    for (int i = 0; i < 60; i++) CHECK(tg_array_get(args[1].array, i) == 0); // silu(0) * 3
  } else {
    snprintf(sentence, sizeof sentence, "%s", tg_error_message(ctx));
    CHECKF(*sentence, "status %d without a sentence", status);
  }
  for (int i = 0; i < 2; i++) tg_array_free(ctx, args[i].array);
  tg_device_close(device);
  tg_source_free(source);
  tg_context_free(ctx);
  return status;
}

int main(void) {
  if (!mkdtemp(cache)) return 1;
  static const char *const devices[] = {"interp", "cpu"};
  for (int d = 0; d < 2; d++) {
    CHECK(attempt(devices[d]) == TG_OK);
    CHECKF(live == 0, "%s: %ld blocks are kept", devices[d], live);
    long before = 1L << 40;
    countdown = before;
    CHECK(attempt(devices[d]) == TG_OK);
    long requests = before - countdown, failed = 0;
    for (long n = 1; n <= requests + 3; n += n < 100 ? 1 : n % 13 + 17) {
      countdown = n;
      tg_status status = attempt(devices[d]);
      countdown = 0;
      failed += status != TG_OK;
      CHECKF(status == TG_OK || status == TG_NO_MEMORY, "%s: request %ld of %ld failing gives status %d: %s", devices[d], n, requests,
             status, sentence);
      CHECKF(live == 0, "%s: after request %ld of %ld failed, %ld blocks are kept", devices[d], n, requests, live);
      live = 0;
    }
    CHECKF(failed > 40, "%s: only %ld of the failures were felt", devices[d], failed);
  }
  char command[64];
  snprintf(command, sizeof command, "rm -r %s", cache);
  CHECK(system(command) == 0);
  return test_done();
}
