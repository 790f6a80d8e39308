// The machine's limits: plausible, the highest kept in the cache, thread counts apart, robust against a cache file of junk.
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "autotune/autotune.h"
#include "test.h"

int main(void) {
  char directory[] = "/tmp/tegula-limits-XXXXXX", file[128];
  CHECK(mkdtemp(directory) != NULL);
  snprintf(file, sizeof file, "%s/limits.jsonl", directory);
  FILE *out = fopen(file, "w");
  fputs(
      "junk\n{\"machine\":1,\"threads\":1}\n{\"machine\":\"other\",\"threads\":1,\"peak_gflops\":1,\"stream_gbs\":1}\n{\"machine\":\"torn",
      out);
  fclose(out);
  tg_context *ctx;
  CHECK(tg_context_new(&(tg_config){.cache_dir = directory}, &ctx) == TG_OK);

  tg_limits one = tg_limits_get(ctx, 1);
  // Below what no core does (16-lane double issue at 6 GHz, 300 GB/s); no lower bound, since an unoptimised build measures itself.
  CHECKF(one.peak_gflops > 0 && one.peak_gflops < 400, "%g", one.peak_gflops);
  CHECKF(one.bf16_peak_gflops >= 0 && one.bf16_peak_gflops < 800, "%g", one.bf16_peak_gflops);
  CHECKF(one.stream_gbs > 0 && one.stream_gbs < 300, "%g", one.stream_gbs);
  struct stat before, after;
  stat(file, &before);
  tg_limits again = tg_limits_get(ctx, 1);
  stat(file, &after);
  CHECK(again.peak_gflops > 0.999 * one.peak_gflops && again.bf16_peak_gflops >= 0.999 * one.bf16_peak_gflops); // printed digits
  CHECK(again.stream_gbs > 0.999 * one.stream_gbs && after.st_size >= before.st_size);

  // A high figure stays, wherever it stands in the file; a low one, from a busy moment, gives way.
  tg_arena arena;
  tg_arena_init(&arena, ctx);
  out = fopen(file, "a");
  const char *const form = "{\"machine\":\"%s\",\"threads\":1,\"peak_gflops\":%g,\"bf16_peak_gflops\":0,\"stream_gbs\":%g}\n";
  fprintf(out, form, tg_host_model(&arena), 1e-3, 1e6);
  fprintf(out, form, tg_host_model(&arena), 2e-3, 1e-3);
  fclose(out);
  stat(file, &before);
  tg_limits high = tg_limits_get(ctx, 1);
  CHECKF(high.stream_gbs == 1e6 && high.peak_gflops > 0.999 * again.peak_gflops, "%g %g", high.stream_gbs, high.peak_gflops);
  truncate(file, 0);
  out = fopen(file, "a");
  fprintf(out, form, tg_host_model(&arena), 1e-3, 1e-3);
  fclose(out);
  tg_limits low = tg_limits_get(ctx, 1);
  CHECKF(low.stream_gbs > 0.1 && low.peak_gflops > 0.1, "%g %g", low.stream_gbs, low.peak_gflops);
  stat(file, &after);
  tg_limits_get(ctx, 1);
  tg_arena_free(&arena);
  tg_limits all = tg_limits_get(ctx, tg_host_threads() > 1 ? 2 : 1);
  CHECK(all.peak_gflops > 0);
  printf("1 thread: %.1f GFLOP/s, %.1f GB/s; 2: %.1f GFLOP/s, %.1f GB/s\n", one.peak_gflops, one.stream_gbs, all.peak_gflops,
         all.stream_gbs);
  tg_context_free(ctx);

  // A cache directory that cannot be made costs only the keeping.
  CHECK(tg_context_new(&(tg_config){.cache_dir = "/proc/no/such"}, &ctx) == TG_OK);
  CHECK(tg_limits_get(ctx, 1).peak_gflops > 0);
  tg_context_free(ctx);
  unlink(file);
  rmdir(directory);
  return test_done();
}
