// `tegula compile --report`: what a compiled kernel takes of a machine, and how fast the machine could do its work at best.
#include <math.h>

#include "autotune/autotune.h"
#include "targets/json.h"
#include "targets/occupancy.h"
#include "targets/run.h"

typedef struct reporting {
  tg_context *ctx;
  tg_arena arena;
  tg_source *source;
  const tg_compile_options *options;
  tg_artifact *artifact;
  const tg_record *record;
  const tg_machine *machine;
  tg_dims dims;
  tg_text text;
  char *json;
} reporting;

static void put_known(tg_text *text, const char *key, int value) {
  if (value >= 0) {
    tg_json_put_int(text, key, value);
  } else {
    tg_json_key(text, key);
    tg_text_add(text, "null");
  }
}

// Blocks of a launch, and in how many rounds the multiprocessors take them.
static void put_grid(reporting *r, const tg_record_launch *launch, const tg_occupancy *occupancy) {
  int64_t grid[4];
  const int64_t blocks = tg_record_grid(r->ctx, launch, &r->dims, grid);
  tg_json_put_int(&r->text, "blocks", blocks);
  if (occupancy->blocks > 0 && r->machine->sms > 0)
    tg_json_put_number(&r->text, "waves", (double)blocks / (occupancy->blocks * r->machine->sms));
}

static void put_launch(reporting *r, const tg_record_launch *launch) {
  tg_text *text = &r->text;
  const int threads = launch->block[0] * launch->block[1] * launch->block[2];
  tg_occupancy occupancy = {0};
  tg_json_comma(text);
  tg_text_add(text, "{");
  tg_json_put_string(text, "entry", launch->entry);
  tg_json_put_int(text, "threads", threads);
  put_known(text, "registers", launch->registers);
  put_known(text, "spilled_bytes", launch->spilled_bytes);
  tg_json_put_int(text, "shared_bytes", launch->shared_bytes);
  tg_json_put_int(text, "static_shared_bytes", launch->static_shared_bytes);
  const bool known =
      tg_occupancy_of(r->machine, threads, launch->registers, launch->shared_bytes + launch->static_shared_bytes, &occupancy);
  tg_json_key(text, "occupancy");
  if (known)
    tg_text_add(text, "{\"blocks\":%d,\"warps\":%d,\"most_warps\":%d,\"limiter\":\"%s\"}", occupancy.blocks, occupancy.warps,
                occupancy.most_warps, occupancy.limiter);
  else tg_text_add(text, "null");
  tg_json_key(text, "loop");
  if (launch->loop_matrix > 0)
    tg_text_add(text, "{\"instructions\":%d,\"matrix_instructions\":%d}", launch->loop_instructions, launch->loop_matrix);
  else tg_text_add(text, "null");
  if (r->options->shape.n) put_grid(r, launch, &occupancy);
  tg_text_add(text, "}");
}

// ---- the roofline

typedef struct dots { // which products there are
  bool f32, f16, f8;
} dots;

static void note_dot(tg_op *op, void *user) {
  dots *d = user;
  if (op->code != TG_OP_DOT && op->code != TG_OP_DOT_SCALED) return;
  const int a = tg_dtype_bits(op->in[0]->type.dtype), b = tg_dtype_bits(op->in[1]->type.dtype), bits = a > b ? a : b;
  *(bits > 16 ? &d->f32 : bits > 8 ? &d->f16 : &d->f8) = true;
}

// Of the fastest products that the kernel has, so that it is a limit; 8-bit ones go by 16-bit units where there are no others.
static double peak_of(const tg_machine *machine, const tg_kernel *tile, const char **what) {
  dots d = {0};
  for (int i = 0; i < tile->nlaunches; i++) tg_walk(tile->launches[i]->body, note_dot, &d);
  const bool f8 = d.f8 && machine->peak_fp8 > 0, f16 = (d.f8 || d.f16) && machine->peak_bf16 > 0;
  *what = f8 ? "fp8" : f16 ? "bf16" : "f32";
  return 1e9 * (f8 ? machine->peak_fp8 : f16 ? machine->peak_bf16 : machine->peak_f32);
}

// Published figures, so a bound that no launch beats; what fits the second-level cache may come from there when it is launched again.
static void put_roofline(reporting *r) {
  tg_split split;
  tg_kernel *tile;
  const char *units;
  tg_split_settings(r->ctx, r->source, &r->options->settings, &r->arena, &split);
  tg_check_status(r->ctx, tg_source_trace(r->source, &split.kernel, &r->record->statics, &tile));
  const tg_work work = tg_work_of(tile, tg_dims_lookup, &r->dims);
  const double peak = peak_of(r->machine, tile, &units), bandwidth = 1e9 * r->machine->bandwidth;
  tg_kernel_free(tile);
  const double compute = peak > 0 ? work.flops / peak : NAN, memory = bandwidth > 0 ? work.bytes / bandwidth : NAN;
  tg_text *text = &r->text;
  tg_json_key(text, "roofline");
  tg_text_add(text, "{");
  tg_json_put_number(text, "flops", work.flops);
  tg_json_put_number(text, "bytes", work.bytes);
  tg_json_put_string(text, "units", units);
  tg_json_put_number(text, "compute_seconds", compute);
  tg_json_put_number(text, "memory_seconds", memory);
  if (r->machine->l2 > 0) tg_json_put_bool(text, "fits_cache", work.bytes <= r->machine->l2 * 0x1p20);
  if (!isnan(compute) && !isnan(memory)) tg_json_put_string(text, "bound", compute > memory ? "compute" : "memory");
  tg_text_add(text, "}");
}

static void assembled_body(void *arg) {
  reporting *r = arg;
  tg_bytes object;
  r->record = tg_artifact_variant(r->artifact, r->artifact->shown, &object);
}

// Where nothing assembles, what the text alone tells: shared memory and threads.
static void compile(reporting *r) {
  const tg_family *family;
  tg_check_status(r->ctx, tg_compile(r->ctx, r->source, r->options, &r->artifact));
  r->machine = tg_target_find(r->ctx, r->options->target, &family);
  r->artifact->form = family->tools ? "report" : "obj";
  const tg_status status = tg_protect(r->ctx, assembled_body, r);
  if (status == TG_OK) return;
  if (status != TG_INVALID || !family->tools) tg_rethrow(r->ctx);
  r->artifact->form = "asm";
  assembled_body(r);
}

static void report_body(void *arg) {
  reporting *r = arg;
  compile(r);
  if (r->options->shape.n) tg_dims_solve(r->ctx, r->record, 0, NULL, &r->options->shape, &r->dims);
  tg_text *text = &r->text;
  tg_text_add(text, "{");
  tg_json_put_string(text, "kernel", r->record->kernel);
  tg_json_put_string(text, "target", r->record->target);
  tg_json_put_string(text, "machine", r->machine->name);
  tg_json_put_bindings(text, "config", r->record->config);
  tg_json_put_int(text, "variant", r->artifact->shown);
  tg_json_put_string(text, "tool", r->record->tool);
  tg_json_put_strings(text, "warnings", r->record->nwarnings, r->record->warnings);
  tg_json_key(text, "launches");
  tg_text_add(text, "[");
  for (int i = 0; i < r->record->nlaunches; i++) put_launch(r, &r->record->launches[i]);
  tg_text_add(text, "]");
  if (r->options->shape.n && r->machine->bandwidth > 0) put_roofline(r);
  tg_text_add(text, "}");
  r->json = tg_doc_finish(text);
}

// ---- beside a tuned config

struct resources_call {
  tg_context *ctx;
  tg_arena *arena;
  const tg_subject *subject;
  tg_bindings config, out;
  tg_artifact *artifact;
};

static void add_resource(struct resources_call *c, tg_binding *at, const char *name, int64_t value) {
  if (value >= 0) at[c->out.n++] = (tg_binding){name, tg_arena_printf(c->arena, "%lld", (long long)value)};
}

static void resources_body(void *arg) {
  struct resources_call *c = arg;
  const tg_subject *s = c->subject;
  const tg_compile_options options = {
      .target = s->compiled_for, .settings = tg_bindings_join(c->arena, c->config, s->options), .statics = s->statics};
  tg_bytes object;
  tg_occupancy occupancy;
  tg_check_status(c->ctx, tg_compile(c->ctx, s->source, &options, &c->artifact));
  c->artifact->form = "report";
  const tg_record *record = tg_artifact_variant(c->artifact, 0, &object);
  const tg_record_launch *most = &record->launches[0];
  for (int i = 1; i < record->nlaunches; i++)
    if (record->launches[i].loop_matrix > most->loop_matrix) most = &record->launches[i];
  if (!record->nlaunches) return;
  const int64_t shared = most->shared_bytes + most->static_shared_bytes;
  tg_binding *at = TG_NEWN(c->arena, tg_binding, 8);
  c->out.at = at;
  add_resource(c, at, "registers", most->registers);
  add_resource(c, at, "spilled_bytes", most->spilled_bytes);
  add_resource(c, at, "shared_bytes", shared);
  if (tg_occupancy_of(s->machine, most->block[0] * most->block[1] * most->block[2], most->registers, shared, &occupancy))
    add_resource(c, at, "warps", occupancy.warps);
  add_resource(c, at, "instructions", most->loop_matrix > 0 ? most->loop_instructions : -1);
  add_resource(c, at, "matrix_instructions", most->loop_matrix > 0 ? most->loop_matrix : -1);
}

tg_bindings tg_resources_of(tg_context *ctx, tg_arena *arena, const tg_subject *subject, tg_bindings config) {
  struct resources_call call = {.ctx = ctx, .arena = arena, .subject = subject, .config = config};
  if (!subject->row || !subject->row->tools) return (tg_bindings){0};
  const tg_status status = tg_protect(ctx, resources_body, &call);
  tg_artifact_free(call.artifact);
  return status == TG_OK ? call.out : (tg_bindings){0}; // no assembler: then nothing is known
}

tg_status tg_report(tg_context *ctx, tg_source *source, const tg_compile_options *options, char **json) {
  reporting r = {.ctx = ctx, .source = source, .options = options};
  *json = NULL;
  tg_arena_init(&r.arena, ctx);
  r.text.arena = &r.arena;
  const tg_status status = tg_protect(ctx, report_body, &r);
  tg_artifact_free(r.artifact);
  tg_arena_free(&r.arena);
  *json = r.json;
  return status;
}
