// The whole compile in one process: IR text to the wanted form, with the launch record.
#include "codegen/layout_show.h"
#include "targets/finish.h"
#include "targets/machines.h"
#include "targets/occupancy.h"
#include "targets/run.h"

typedef struct compile {
  tg_context *ctx;
  const tg_job *job;
  tg_arena *arena;
  tg_product *out;
  tg_shown shown;
  tg_kernel *tile, *lane; // freed by the caller, whatever happens
} compile;

static const tg_finisher *finisher_of(const tg_family *family) {
  for (const tg_finisher *f = tg_finishers; f->family; f++) {
    if (!strcmp(f->family, family->name)) return f;
  }
  return NULL;
}

static void read_tile(compile *c) {
  c->tile = tg_parse(c->ctx, c->job->ir, c->job->ir_size, "the kernel's IR");
  if (c->tile->level != TG_LEVEL_TILE)
    tg_throw(c->ctx, TG_INVALID, "kernel %s is lane IR already; compiling starts from tile IR", c->tile->name);
  if (tg_verify(c->tile)) tg_rethrow(c->ctx);
  tg_dump(c->tile, "input");
  tg_run_passes(c->tile, "canonicalise,cse,licm,dce");
}

static bool wants_layouts(const compile *c) { return !strncmp(c->job->want, "layouts", strlen("layouts")); }

static void lower(compile *c, const tg_family *family, const tg_machine *machine) {
  const tg_lowering *lowering = family->lowering;
  c->out->variants = lowering->variants ? lowering->variants(c->tile, machine) : 1;
  if (c->job->variant < 0 || c->job->variant >= c->out->variants)
    tg_throw(c->ctx, TG_INVALID, "kernel %s has %d variants on %s, numbered from 0: there is no variant %d", c->tile->name,
             c->out->variants, c->job->target, c->job->variant);
  if (wants_layouts(c) && !lowering->has_layouts)
    tg_throw(c->ctx, TG_INVALID, "target %s has no layouts to show: one worker runs a whole block; targets of family nvptx have them",
             c->job->target);
  c->shown.arena = c->arena;
  const tg_lower_options options = {
      .machine = machine, .settings = c->job->settings, .variant = c->job->variant, .shown = wants_layouts(c) ? &c->shown : NULL};
  c->lane = lowering->lower(c->tile, &options);
  tg_dump(c->lane, lowering->name);
  tg_run_passes(c->lane, "canonicalise,cse,dce");
}

// The record's config names the lowering's own parameters too, at the value that was in force.
static void note_knobs(compile *c, const tg_family *family, const tg_machine *machine, tg_record *record) {
  tg_knob knobs[64];
  const int n = family->lowering->knobs ? family->lowering->knobs(c->tile, machine, knobs, 64) : 0;
  tg_binding *at = TG_NEWN(c->arena, tg_binding, record->config.n + n);
  int used = 0;
  for (; used < record->config.n; used++) at[used] = record->config.at[used];
  for (int i = 0; i < n; i++) {
    if (tg_bindings_find(&record->config, knobs[i].name)) continue;
    const char *set = tg_bindings_find(&c->job->settings, knobs[i].name);
    at[used++] = (tg_binding){knobs[i].name, set ? set : tg_arena_printf(c->arena, "%lld", (long long)knobs[i].values[0])};
  }
  record->config = (tg_bindings){used, at};
}

static void dump_product(compile *c) {
  const char *want = c->job->want;
  const char *extension = !strcmp(want, "llvm") ? "ll" : !strcmp(want, "asm") ? "s" : !strcmp(want, "obj") ? "o" : want;
  tg_dump_text(c->ctx, tg_arena_printf(c->arena, "%s-%s", c->lane->name, want), extension, c->out->bytes.data, c->out->bytes.size);
}

static void compile_body(void *arg) {
  compile *c = arg;
  if (c->job->machine) tg_machine_ensure(c->ctx, c->job->machine);
  const tg_family *family;
  const tg_machine *machine = tg_target_find(c->ctx, c->job->target, &family);
  const tg_finisher *finisher = finisher_of(family);
  if (!finisher) tg_throw(c->ctx, TG_INVALID, "this build cannot finish code for %s", family->name);
  read_tile(c);
  lower(c, family, machine);
  tg_record *record = tg_record_make(c->arena, c->lane, c->job->target);
  tg_record_add_views(record, c->tile);
  note_knobs(c, family, machine, record);
  for (int i = 0; i < c->lane->nlaunches; i++) {
    const int64_t bytes = tg_scratch_layout(c->lane->launches[i]);
    if (bytes > record->scratch_bytes) record->scratch_bytes = bytes;
  }
  for (int i = 0; i < record->nlaunches; i++) {
    const char *misfit = tg_launch_misfit(c->arena, machine, &record->launches[i]);
    if (misfit) tg_throw(c->ctx, TG_INVALID, "kernel '%s': %s; choose smaller tiles or fewer stages", c->lane->name, misfit);
  }
  if (!strcmp(c->job->want, "lane")) {
    size_t size;
    const char *text = tg_print(c->arena, c->lane, &size);
    c->out->bytes = (tg_bytes){(void *)(uintptr_t)text, size};
  } else if (wants_layouts(c)) {
    const char *title = tg_arena_printf(c->arena, "%s for %s, variant %d", c->tile->name, c->job->target, c->job->variant);
    size_t size;
    const char *text = (!strcmp(c->job->want, "layouts-svg") ? tg_shown_svg : tg_shown_text)(&c->shown, title, &size);
    c->out->bytes = (tg_bytes){(void *)(uintptr_t)text, size};
  } else {
    c->out->bytes = finisher->finish(c->lane, machine, c->job->want, c->arena, record);
    dump_product(c);
  }
  c->out->record = tg_record_to_json(c->arena, record, &c->out->record_size);
}

void tg_compile_here(tg_context *ctx, const tg_job *job, tg_arena *arena, tg_product *out) {
  const double start = tg_processor_seconds();
  compile c = {.ctx = ctx, .job = job, .arena = arena, .out = out};
  const tg_status status = tg_protect(ctx, compile_body, &c);
  if (c.lane) tg_kernel_free(c.lane);
  if (c.tile) tg_kernel_free(c.tile);
  if (status) tg_rethrow(ctx);
  out->seconds = tg_processor_seconds() - start;
}

static void embed_body(void *ctx) { tg_compile_with(ctx, tg_compile_here); }

tg_status tg_embed_llvm(tg_context *ctx) { return tg_protect(ctx, embed_body, ctx); }
