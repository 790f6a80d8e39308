// Artifacts: a traced kernel, compiled by variant and form when asked.
#include <stdlib.h>

#include "targets/machines.h"
#include "targets/run.h"

static tg_bindings copy_bindings(tg_arena *arena, tg_bindings from) {
  tg_binding *at = TG_NEWN(arena, tg_binding, from.n + 1);
  for (int i = 0; i < from.n; i++) at[i] = (tg_binding){tg_arena_strdup(arena, from.at[i].name), tg_arena_strdup(arena, from.at[i].value)};
  return (tg_bindings){from.n, at};
}

// `variant` is a setting of the compile itself: which of the variants is shown. It belongs to neither kernel nor lowering.
static int take_variant(tg_artifact *artifact, tg_bindings *knobs) {
  int kept = 0, shown = artifact->nvariants - 1;
  tg_binding *at = TG_NEWN(&artifact->arena, tg_binding, knobs->n + 1);
  for (int i = 0; i < knobs->n; i++) {
    if (strcmp(knobs->at[i].name, "variant") != 0) {
      at[kept++] = knobs->at[i];
      continue;
    }
    int64_t variant = tg_binding_int(artifact->ctx, &knobs->at[i], "--set");
    if (variant < 0 || variant >= artifact->nvariants) {
      tg_throw(artifact->ctx, TG_INVALID, "--set variant=%s: this kernel has variants 0 ... %d here; the last has no preconditions",
               knobs->at[i].value, artifact->nvariants - 1);
    }
    shown = (int)variant;
    artifact->pinned = true;
  }
  *knobs = (tg_bindings){kept, at};
  return shown;
}

static void fill(tg_artifact *artifact, tg_kernel *kernel, const tg_compile_options *options, tg_bindings *knobs,
                 const tg_machine_knobs *defaults) {
  tg_context *ctx = artifact->ctx;
  const tg_family *family;
  const char *target = options->target ? options->target : "cpu";
  const tg_machine *machine = tg_target_find(ctx, target, &family);
  artifact->nvariants = family->lowering->variants ? family->lowering->variants(kernel, machine) : 1;
  artifact->shown = take_variant(artifact, knobs);
  tg_check_knobs(ctx, kernel, family, machine, knobs);
  tg_join_knobs(ctx, &artifact->arena, kernel, family, machine, defaults, knobs);
  artifact->no_cache = options->no_cache;
  tg_job *job = &artifact->job;
  job->ir = tg_print(&artifact->arena, kernel, &job->ir_size);
  job->machine = tg_machine_text(ctx, machine);
  job->target = tg_arena_strdup(&artifact->arena, job->machine ? machine->name : target); // the helper knows no files
  job->settings = copy_bindings(&artifact->arena, *knobs);
  job->statics = copy_bindings(&artifact->arena, options->statics);
  artifact->variants = TG_NEWN(&artifact->arena, struct tg_variant, artifact->nvariants);
}

// Those given, and the shape's values of statics that are still open.
static tg_bindings all_statics(const tg_kernel *signature, const tg_compile_options *options, tg_arena *arena) {
  tg_binding *at = TG_NEWN(arena, tg_binding, options->statics.n + signature->nsymbols + 1);
  int n = 0;
  for (int i = 0; i < options->statics.n; i++) at[n++] = options->statics.at[i];
  for (int i = 0; i < signature->nsymbols; i++) {
    const tg_symbol *symbol = &signature->symbols[i];
    if (symbol->kind != TG_SYM_STATIC || symbol->value >= 0 || tg_bindings_find(&options->statics, symbol->name)) continue;
    const char *value = tg_bindings_find(&options->shape, symbol->name);
    if (value) at[n++] = (tg_binding){symbol->name, value};
  }
  return (tg_bindings){n, at};
}

struct compile_call {
  tg_context *ctx;
  tg_source *source;
  tg_kernel *kernel;
  const tg_compile_options *options;
  tg_artifact *artifact;
  tg_bindings knobs;
  tg_machine_knobs defaults; // of the machine's, to go with them
};

static void fill_body(void *arg) {
  struct compile_call *call = arg;
  fill(call->artifact, call->kernel, call->options, &call->knobs, &call->defaults);
}

static void compile_body(void *arg) {
  struct compile_call *call = arg;
  tg_artifact *artifact = call->artifact;
  if (!call->source) {
    tg_binding *at = TG_NEWN(&artifact->arena, tg_binding, call->options->settings.n + 1);
    for (int i = 0; i < call->options->settings.n; i++) {
      const tg_binding *binding = &call->options->settings.at[i];
      const char *value = tg_setting_value(call->kernel, binding->name, NULL);
      if (!value) at[call->knobs.n++] = *binding;
      if (value && strcmp(value, binding->value) != 0) {
        tg_throw(call->ctx, TG_INVALID, "kernel '%s' was traced with %s = %s: trace it again for %s", call->kernel->name, binding->name,
                 value, binding->value);
      }
    }
    call->knobs.at = at;
    fill_body(call);
    return;
  }
  tg_split split;
  tg_split_settings(call->ctx, call->source, &call->options->settings, &artifact->arena, &split);
  call->knobs = split.knobs;
  const tg_family *family;
  const tg_machine *machine = tg_target_find(call->ctx, call->options->target ? call->options->target : "cpu", &family);
  tg_add_defaults(call->ctx, &artifact->arena, split.signature, machine, &split.kernel, &call->defaults);
  tg_compile_options *options = TG_NEW(&artifact->arena, tg_compile_options);
  *options = *call->options;
  options->statics = all_statics(split.signature, options, &artifact->arena);
  call->options = options;
  tg_check_status(call->ctx, tg_source_trace(call->source, &split.kernel, &options->statics, &call->kernel));
  tg_status status = tg_protect(call->ctx, fill_body, call);
  tg_kernel_free(call->kernel);
  tg_check_status(call->ctx, status);
}

static void new_body(void *arg) {
  struct compile_call *call = arg;
  tg_artifact *artifact = tg_realloc(call->ctx, NULL, sizeof *artifact);
  memset(artifact, 0, sizeof *artifact);
  artifact->ctx = call->ctx;
  artifact->form = "obj";
  tg_arena_init(&artifact->arena, call->ctx);
  call->artifact = artifact;
}

static tg_status compile_call(struct compile_call *call, tg_artifact **out) {
  *out = NULL;
  tg_status status = tg_protect(call->ctx, new_body, call);
  if (status == TG_OK) status = tg_protect(call->ctx, compile_body, call);
  if (status == TG_OK) {
    *out = call->artifact;
  } else {
    tg_artifact_free(call->artifact);
  }
  return status;
}

tg_status tg_compile(tg_context *ctx, tg_source *source, const tg_compile_options *options, tg_artifact **out) {
  return compile_call(&(struct compile_call){.ctx = ctx, .source = source, .options = options}, out);
}

tg_status tg_compile_kernel(tg_context *ctx, tg_kernel *kernel, const tg_compile_options *options, tg_artifact **out) {
  return compile_call(&(struct compile_call){.ctx = ctx, .kernel = kernel, .options = options}, out);
}

void tg_artifact_free(tg_artifact *artifact) {
  if (!artifact) return;
  tg_context *ctx = artifact->ctx;
  tg_arena_free(&artifact->arena);
  tg_realloc(ctx, artifact, 0);
}

// ---- variants and forms

static void compile_form(tg_artifact *artifact, const char *want, int variant, tg_product *out) {
  tg_job job = artifact->job;
  job.want = want;
  job.variant = variant;
  tg_compile_job(artifact->ctx, &job, artifact->no_cache, &artifact->arena, out);
}

void tg_artifact_for(tg_artifact *artifact, const tg_device *device) { artifact->form = device->form; }

const tg_record *tg_artifact_variant(tg_artifact *artifact, int variant, tg_bytes *object) {
  struct tg_variant *v = &artifact->variants[variant];
  if (!v->record) {
    tg_product product = {0};
    compile_form(artifact, artifact->form, variant, &product);
    v->obj = product.bytes;
    v->record = tg_record_from_json(artifact->ctx, &artifact->arena, product.record, product.record_size);
  }
  *object = v->obj;
  return v->record;
}

const tg_record *tg_artifact_choose(tg_artifact *artifact, const tg_dims *dims, int ntensors, const tg_tensor *tensors, tg_bytes *object) {
  int first = artifact->pinned ? artifact->shown : 0;
  for (int i = first; i < artifact->nvariants - 1; i++) {
    const tg_record *record = tg_artifact_variant(artifact, i, object);
    if (tg_record_admits(record, dims, ntensors, tensors)) return record;
    if (artifact->pinned)
      tg_throw(artifact->ctx, TG_INVALID, "--set variant=%d: not all its preconditions hold for these arguments (--emit meta lists them)",
               i);
  }
  return tg_artifact_variant(artifact, artifact->nvariants - 1, object);
}

static tg_record *record_of(tg_artifact *artifact, const char *want, int variant) {
  tg_product product = {0};
  compile_form(artifact, want, variant, &product);
  return tg_record_from_json(artifact->ctx, &artifact->arena, product.record, product.record_size);
}

struct emit_call {
  tg_artifact *artifact;
  const char *what;
  const tg_bindings *shape;
  tg_bytes out;
  tg_record *record;
};

static void object_record_body(void *arg) {
  struct emit_call *call = arg;
  call->record = record_of(call->artifact, "obj", call->artifact->shown);
}

static void emit_body(void *arg) {
  struct emit_call *call = arg;
  tg_artifact *artifact = call->artifact;
  static const char *const forms[] = {"lane", "layouts", "layouts-svg", "llvm", "asm", "obj", "source"};
  if (strcmp(call->what, "tile") == 0) {
    call->out = (tg_bytes){(void *)(uintptr_t)artifact->job.ir, artifact->job.ir_size};
    return;
  }
  if (strcmp(call->what, "meta") == 0) {
    // Registers and spills are known of objects alone; where the tool that makes them is absent the record has everything else.
    if (tg_protect(artifact->ctx, object_record_body, call) != TG_OK) call->record = record_of(artifact, "asm", artifact->shown);
    call->out.data = tg_record_meta(&artifact->arena, call->record, call->shape, &call->out.size);
    return;
  }
  for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
    if (strcmp(forms[i], call->what) != 0) continue;
    tg_product product = {0};
    compile_form(artifact, forms[i], artifact->shown, &product);
    call->out = product.bytes;
    return;
  }
  tg_throw(artifact->ctx, TG_INVALID,
           "there is no form '%s' to emit; forms: tile, lane, layouts, layouts-svg, llvm, asm, obj, source, meta", call->what);
}

tg_status tg_artifact_emit(tg_artifact *artifact, const char *what, const tg_bindings *shape, const void **data, size_t *size) {
  struct emit_call call = {.artifact = artifact, .what = what, .shape = shape && shape->n ? shape : NULL};
  tg_status status = tg_protect(artifact->ctx, emit_body, &call);
  *data = call.out.data;
  *size = call.out.size;
  return status;
}
