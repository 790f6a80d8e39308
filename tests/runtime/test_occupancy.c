// Blocks on a multiprocessor against what NVIDIA's own header computes, and what a machine has no room for.
#include "targets/occupancy.h"
#include "targets/target.h"
#include "test.h"

static const struct {
  const char *machine;
  int threads, registers, shared, blocks;
} golden[] = {
#include "golden/occupancy.inc"
};

static tg_context *ctx;

static void misfits(const tg_machine *a100) {
  const struct {
    int threads, registers;
    int64_t dynamic, fixed;
    const char *why;
  } cases[] = {{256, -1, 166912, 0, NULL},
               {256, -1, 100000, 66912, NULL},
               {256, -1, 166913, 0, "k_0: 166913 bytes of shared memory a block, and a100 has 166912 at most"},
               {256, -1, 166912, 1, "shared memory a block"},
               {1024, 64, 0, 0, NULL},
               {1056, -1, 0, 0, "blocks of 1056 threads, and a100 has 1024 at most"},
               {512, 168, 0, 0, "not one block fits a multiprocessor of a100: 512 threads of 168 registers, 0 bytes"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const tg_record_launch launch = {.entry = "k_0",
                                     .block = {cases[i].threads, 1, 1},
                                     .registers = cases[i].registers,
                                     .shared_bytes = cases[i].dynamic,
                                     .static_shared_bytes = cases[i].fixed};
    const char *why = tg_launch_misfit(&ctx->arena, a100, &launch);
    CHECKF(cases[i].why ? why && strstr(why, cases[i].why) : !why, "case %zu: %s", i, why ? why : "fits");
  }
  tg_machine small = *a100; // registers that are not known are not named
  small.shared_sm = 1024;
  const tg_record_launch launch = {.entry = "k_0", .block = {32, 1, 1}, .registers = -1, .shared_bytes = 512};
  const char *why = tg_launch_misfit(&ctx->arena, &small, &launch);
  CHECKF(why && strstr(why, "32 threads, 512 bytes of shared memory"), "%s", why ? why : "fits");
}

static void body(void *arg) {
  const tg_family *family;
  (void)arg;
  for (size_t i = 0; i < sizeof golden / sizeof *golden; i++) {
    tg_occupancy o;
    const tg_machine *m = tg_target_find(ctx, golden[i].machine, &family);
    CHECK(tg_occupancy_of(m, golden[i].threads, golden[i].registers, golden[i].shared, &o));
    CHECKF(o.blocks == golden[i].blocks, "%s, %d threads, %d registers, %d bytes: %d blocks, not %d", golden[i].machine, golden[i].threads,
           golden[i].registers, golden[i].shared, o.blocks, golden[i].blocks);
    CHECK(o.warps == o.blocks * (golden[i].threads + 31) / 32 || o.blocks > 1);
  }
  tg_occupancy o;
  const tg_machine *a100 = tg_target_find(ctx, "a100", &family);
  CHECK(tg_occupancy_of(a100, 32, 16, 0, &o) && o.blocks == 32 && o.warps == 32 && o.most_warps == 64 && !strcmp(o.limiter, "blocks"));
  CHECK(tg_occupancy_of(a100, 128, 16, 0, &o) && o.blocks == 16 && !strcmp(o.limiter, "warps"));
  CHECK(tg_occupancy_of(a100, 128, 255, 0, &o) && o.blocks == 2 && !strcmp(o.limiter, "registers"));
  CHECK(tg_occupancy_of(a100, 128, -1, 98304, &o) && o.blocks == 1 && !strcmp(o.limiter, "shared memory"));
  misfits(a100);
  CHECK(!tg_occupancy_of(tg_target_find(ctx, "cpu:generic", &family), 1, -1, 0, &o)); // no such figures
}

int main(void) {
  CHECK(tg_context_new(NULL, &ctx) == TG_OK);
  CHECKF(tg_protect(ctx, body, NULL) == TG_OK, "%s", tg_error_message(ctx));
  tg_context_free(ctx);
  return test_done();
}
