// What products of warp groups take of a thread's registers, against what the machine says that it has: a pipe and no more registers for
// those who compute than that, none where they begin with as many, and where the sums have no room a refusal that says so.
#include "targets/machines.h"
#include "targets/run.h"
#include "tests/test.h"

static tg_context *ctx;

typedef struct job {
  const tg_machine *machine;
  const tg_binding *config;
  int n;
  char *text;
} job;

static void lower_body(void *arg) {
  job *j = arg;
  tg_arena arena;
  tg_arena_init(&arena, ctx);
  tg_source *source;
  tg_split split;
  tg_kernel *tile;
  if (tg_source_load(ctx, "gemm_bf16", &source)) tg_rethrow(ctx);
  const tg_bindings config = {j->n, j->config}, statics = {0};
  tg_split_settings(ctx, source, &config, &arena, &split);
  if (tg_source_trace(source, &split.kernel, &statics, &tile)) tg_rethrow(ctx);
  tg_run_passes(tile, "canonicalise,cse,licm,dce");
  const tg_lower_options options = {.machine = j->machine, .settings = split.knobs};
  tg_kernel *lane = tg_lowering_simt.lower(tile, &options);
  size_t size;
  j->text = strdup(tg_print(&lane->arena, lane, &size));
  tg_kernel_free(lane), tg_kernel_free(tile);
  tg_source_free(source);
  tg_arena_free(&arena);
}

// gives: registers of those who compute, 0: as many as they begin with, -1: the config is refused.
static void check(double registers, int gives) {
  static const tg_binding config[] = {{"BM", "128"}, {"BN", "256"}, {"BK", "64"}, {"warps", "8"}}; // 128 sums of each thread
  const tg_family *family;
  tg_machine machine = *tg_target_find(ctx, "nvptx:sm_90a", &family);
  machine.max_registers = registers;
  job j = {.machine = &machine, .config = config, .n = 4};
  const bool lowered = tg_protect(ctx, lower_body, &j) == TG_OK;
  if (gives < 0) {
    CHECKF(!lowered && strstr(tg_error_message(ctx), "registers of each thread"), "%g registers: %s", registers,
           lowered ? "it lowers" : tg_error_message(ctx));
  } else {
    CHECKF(lowered && strstr(j.text, "copy_box") && strstr(j.text, "= wgmma"), "%g registers: %s", registers,
           lowered ? "no pipe" : tg_error_message(ctx));
    const char *set = lowered ? strstr(j.text, "set_registers {n = ") : NULL;
    const int n = set ? atoi(set + strlen("set_registers {n = ")) : 0;
    CHECKF(n == gives, "%g registers: those who compute have %d, %d wanted", registers, n, gives);
  }
  free(j.text);
}

static void body(void *arg) {
  (void)arg;
  check(0, 232), check(255, 232);
  check(200, 200), check(199, 192);
  check(168, 0), check(160, 0);
  check(159, -1);
}

int main(void) {
  CHECK(tg_context_new(&(tg_config){.root = ROOT_DIR}, &ctx) == TG_OK);
  CHECKF(tg_protect(ctx, body, NULL) == TG_OK, "%s", tg_error_message(ctx));
  tg_context_free(ctx);
  return test_done();
}
