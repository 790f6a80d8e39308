// What a GPU's search spaces leave out for want of room: all of it, and only that, is refused by the lowering.
#include "autotune/autotune.h"
#include "targets/machines.h"
#include "targets/run.h"
#include "tests/test.h"

static tg_context *ctx;

typedef struct probe {
  const tg_subject *subject;
  tg_arena *arena;
  tg_bindings config;
  int variant;
  tg_kernel *tile, *lane;
} probe;

static void lower_body(void *arg) {
  probe *p = arg;
  tg_split split;
  tg_split_settings(ctx, p->subject->source, &p->config, p->arena, &split);
  if (tg_source_trace(p->subject->source, &split.kernel, &p->subject->statics, &p->tile)) tg_rethrow(ctx);
  tg_run_passes(p->tile, "canonicalise,cse,licm,dce");
  const tg_lower_options options = {.machine = p->subject->machine, .settings = split.knobs, .variant = p->variant};
  p->lane = p->subject->row->lowering->lower(p->tile, &options);
}

// NULL: every variant lowers; else what the lowering says.
static const char *refusal(const tg_subject *subject, tg_arena *arena, tg_bindings config) {
  const char *reason = NULL;
  for (int v = 0; v < 2 && !reason; v++) {
    probe p = {.subject = subject, .arena = arena, .config = config, .variant = v};
    if (tg_protect(ctx, lower_body, &p) != TG_OK) reason = tg_arena_strdup(arena, tg_error_message(ctx));
    if (p.lane) tg_kernel_free(p.lane);
    if (p.tile) tg_kernel_free(p.tile);
  }
  return reason;
}

static const char *shown(tg_arena *arena, tg_bindings config) {
  tg_text text = {.arena = arena};
  for (int i = 0; i < config.n; i++) tg_text_add(&text, "%s=%s ", config.at[i].name, config.at[i].value);
  return text.data;
}

static bool was_said(const tg_search_space *space, const char *reason) {
  for (int i = 0; i < space->npruned; i++)
    if (!strcmp(space->pruned[i].reason, reason)) return true;
  return false;
}

static void kept(const tg_subject *subject, tg_arena *arena, const tg_search_space *space, int n) {
  tg_cover *cover = tg_cover_make(arena, space, 1);
  for (int i = 0; i < n; i++) {
    const tg_bindings config = tg_space_config(space, arena, tg_cover_next(cover));
    const char *reason = refusal(subject, arena, config);
    CHECKF(!reason, "%s on %s, %s: %s", subject->signature->name, subject->target, shown(arena, config), reason);
  }
}

// Whether a knob is to blame that the lowering does not offer here, and would pass over.
static bool is_not_offered(const tg_search_space *space, const tg_bindings *config) {
  tg_binding at[TG_MAX_AXES];
  for (int a = 0; a < config->n; a++) {
    memcpy(at, config->at, sizeof *at * (size_t)config->n);
    at[a].value = space->axes[a].values[space->axes[a].fallback];
    if (!strcmp(at[a].name, "cluster") && tg_space_find(space, (tg_bindings){config->n, at}) >= 0) return true;
  }
  return false;
}

static void left_out(const tg_subject *subject, tg_arena *arena, const tg_search_space *space, int n) {
  tg_rng rng;
  tg_rng_seed(&rng, 2);
  for (int found = 0; found < n;) {
    tg_binding at[TG_MAX_AXES];
    for (int a = 0; a < space->naxes; a++)
      at[a] = (tg_binding){space->axes[a].name, space->axes[a].values[tg_rng_below(&rng, (uint64_t)space->axes[a].n)]};
    const tg_bindings config = {space->naxes, at};
    if (tg_space_find(space, config) >= 0 || is_not_offered(space, &config)) continue;
    found++;
    const char *reason = refusal(subject, arena, config);
    CHECKF(reason && was_said(space, reason), "%s on %s, %s: %s", subject->signature->name, subject->target, shown(arena, config),
           reason ? reason : "it lowers");
  }
}

static void space_of(const char *kernel, const char *target, const tg_binding *statics, int nstatics) {
  enum { KEPT = 10, LEFT_OUT = 30 };
  tg_arena arena;
  tg_arena_init(&arena, ctx);
  tg_subject subject = {.target = target, .statics = {nstatics, statics}};
  CHECK(tg_source_load(ctx, kernel, &subject.source) == TG_OK);
  CHECK(tg_source_signature(subject.source, NULL, &subject.signature) == TG_OK);
  subject.machine = tg_target_find(ctx, target, &subject.row);
  const tg_search_space *space = tg_space_of(ctx, &arena, &subject);
  int64_t pruned = 0;
  for (int i = 0; i < space->npruned; i++) pruned += space->pruned[i].n;
  CHECKF(space->npruned && pruned == space->product - space->n, "%s: %lld of %lld", kernel, (long long)pruned, (long long)space->product);
  kept(&subject, &arena, space, KEPT);
  if (space->npruned) left_out(&subject, &arena, space, LEFT_OUT);
  tg_source_free(subject.source);
  tg_arena_free(&arena);
}

// A tile that the user pins is looked at as any: warps without room for it are left out before a trial is spent on them.
static void pinned(void) {
  const tg_binding tile[] = {{"BK", "64"}, {"BM", "128"}, {"BN", "256"}};
  tg_arena arena;
  tg_arena_init(&arena, ctx);
  tg_subject subject = {.target = "nvptx:sm_80", .fixed = {3, tile}};
  CHECK(tg_source_load(ctx, "gemm_bf16", &subject.source) == TG_OK);
  CHECK(tg_source_signature(subject.source, NULL, &subject.signature) == TG_OK);
  subject.machine = tg_target_find(ctx, subject.target, &subject.row);
  const tg_search_space *space = tg_space_of(ctx, &arena, &subject);
  CHECKF(space->npruned && space->n < space->product, "%d of %lld", space->n, (long long)space->product);
  for (int i = 0; i < space->n; i += 7) {
    const tg_bindings config = tg_space_config(space, &arena, i);
    const char *reason = refusal(&subject, &arena, config);
    CHECKF(!reason, "%s: %s", shown(&arena, config), reason);
  }
  tg_source_free(subject.source);
  tg_arena_free(&arena);
}

static void body(void *arg) {
  (void)arg;
  pinned();
  const tg_binding heads[] = {{"Dqk", "192"}, {"Dv", "128"}};
  static const char *const targets[] = {"nvptx:sm_80", "nvptx:sm_89", "nvptx:sm_90a"};
  for (int t = 0; t < 3; t++) {
    space_of("gemm_bf16", targets[t], NULL, 0);
    space_of("gemm_fp8", targets[t], NULL, 0);
  }
  space_of("mla_prefill", "nvptx:sm_80", heads, 2);
  space_of("add_rmsnorm", "nvptx:sm_80", NULL, 0); // 16 x 1024 sums that a warp carries: ptxas took more than 600 s for them
}

int main(void) {
  CHECK(tg_context_new(&(tg_config){.root = ROOT_DIR}, &ctx) == TG_OK);
  CHECKF(tg_protect(ctx, body, NULL) == TG_OK, "%s", tg_error_message(ctx));
  tg_context_free(ctx);
  return test_done();
}
