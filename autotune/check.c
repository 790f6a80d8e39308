// `tegula check`: conformance. A device runs every library kernel over awkward shapes and must agree with the interpreter; a target
// compiles every library kernel under every value of every setting.
#include <stdlib.h>
#include <unistd.h>

#include "autotune/autotune.h"
#include "targets/run.h"

typedef struct checking {
  tg_context *ctx;
  void (*report)(void *user, const char *line, tg_verdict verdict, int done, int total);
  void *user;
  const char *device, *target;
  const tg_family *row; // what is compiled for; NULL where the device takes tile IR
  const tg_machine *machine;
  bool counting; // before the run, so that it knows how much there is to do
  int done, failed, total;
} checking;

typedef struct one_case {
  checking *c;
  tg_arena arena;
  tg_source *source;
  const char *kernel;
  tg_bindings shape, settings;
  tg_subject subject;
  tg_device *device;
  tg_inputs inputs;
  tg_launchable *launchable;
  tg_artifact *artifact;
  tg_reference reference;
  const char *verdict; // NULL = right
} one_case;

// ---- a device: shapes around the edges of tiles, scales and vectors, and empty ones

// Extents by letter; the i-th shape takes the i-th of each, so that unlike lists meet in many ways. K is what fp8 weights are packed along:
// a multiple of 16, as the kernel's row in the documentation says.
static const struct {
  const char *letter;
  int n;
  int values[9];
} extents[] = {{"M", 9, {1, 3, 17, 0, 64, 65, 129, 2, 5}},
               {"N", 8, {33, 24, 1, 129, 160, 32, 7, 0}},
               {"K", 7, {144, 16, 128, 272, 0, 64, 400}},
               {"H", 6, {300, 1, 128, 72, 513, 0}},
               {"I", 5, {100, 128, 300, 1, 64}},
               {"E", 4, {16, 72, 24, 256}}, // of experts: groups of 8 that keep 8
               {"B", 5, {1, 3, 0, 4, 2}}, // sequences, queries each, pages of the cache and of one sequence: lengths grow as their products
               {"S", 3, {1, 2, 3}},
               {"P", 4, {1, 5, 2, 7}},
               {"W", 3, {1, 3, 2}},
               {"Dqk", 3, {48, 192, 33}},
               {"Dv", 3, {24, 128, 33}}};
static const int other_extents[] = {3, 17, 1, 64, 0, 33, 2};
enum { SHAPES = 9, UNEVEN = 6 };

static int extent_of(const char *letter, int i) {
  for (size_t k = 0; k < sizeof extents / sizeof *extents; k++) {
    if (strcmp(extents[k].letter, letter) == 0) return extents[k].values[i % extents[k].n];
  }
  return other_extents[i % (int)(sizeof other_extents / sizeof *other_extents)];
}

static tg_bindings shape_of(tg_arena *arena, const tg_kernel *signature, int i) {
  tg_binding *at = TG_NEWN(arena, tg_binding, signature->nsymbols + 1);
  int n = 0;
  for (int s = 0; s < signature->nsymbols; s++) {
    if (signature->symbols[s].value >= 0) continue;
    int extent = extent_of(signature->symbols[s].name, i);
    if (signature->symbols[s].kind == TG_SYM_STATIC && extent == 0) extent = 1; // often a tile's extent
    at[n++] = (tg_binding){signature->symbols[s].name, tg_arena_printf(arena, "%d", extent)};
  }
  return (tg_bindings){n, at};
}

// A target compiles for the statics of that shape; dims stay open.
static tg_bindings statics_of(tg_arena *arena, const tg_kernel *signature) {
  tg_bindings shape = shape_of(arena, signature, UNEVEN);
  tg_binding *at = TG_NEWN(arena, tg_binding, shape.n + 1);
  int n = 0;
  for (int i = 0; i < shape.n; i++) {
    for (int s = 0; s < signature->nsymbols; s++) {
      if (signature->symbols[s].kind == TG_SYM_STATIC && strcmp(signature->symbols[s].name, shape.at[i].name) == 0) at[n++] = shape.at[i];
    }
  }
  return (tg_bindings){n, at};
}

// The launch writes into the arrays, which were made zero; what it should not write stays so.
static void run_case(void *arg) {
  one_case *k = arg;
  tg_context *ctx = k->c->ctx;
  tg_request request = {.device = k->c->device, .shape = k->shape, .settings = k->settings};
  tg_subject_make(ctx, &k->arena, k->source, &request, &k->subject);
  tg_check_status(ctx, tg_device_open(ctx, k->c->device, &k->device));
  tg_inputs_make(ctx, &k->arena, &k->subject, k->device, 1, &k->inputs);
  tg_run_options options = {.settings = k->settings, .shape = tg_bindings_join(&k->arena, k->subject.shape, k->subject.statics)};
  tg_check_status(ctx, tg_prepare(k->device, k->source, &options, k->inputs.n, k->inputs.args, &k->launchable));
  tg_check_status(ctx, tg_launchable_run(k->launchable, 1, NULL));
  int fd = tg_reference_make(ctx, &k->arena, &k->subject, &k->inputs, 1);
  tg_reference_map(ctx, &k->arena, fd, &k->inputs, &k->reference);
  close(fd);
  tg_check_status(ctx, tg_launchable_fetch(k->launchable));
  k->verdict = tg_gate(&k->arena, &k->reference, &k->inputs);
}

// ---- a target

static void compile_case(void *arg) {
  one_case *k = arg;
  tg_context *ctx = k->c->ctx;
  tg_split split;
  tg_split_settings(ctx, k->source, &k->settings, &k->arena, &split);
  tg_compile_options options = {.target = k->c->target, .settings = k->settings, .statics = statics_of(&k->arena, split.signature)};
  const void *data;
  size_t size;
  tg_check_status(ctx, tg_compile(ctx, k->source, &options, &k->artifact));
  tg_check_status(ctx, tg_artifact_emit(k->artifact, "asm", NULL, &data, &size));
  if (!size) k->verdict = "no code came out";
}

// ---- both

static const char *listed(tg_arena *arena, tg_bindings list) {
  tg_text text = {.arena = arena};
  for (int i = 0; i < list.n; i++) tg_text_add(&text, "%s%s=%s", i ? "," : "", list.at[i].name, list.at[i].value);
  return text.size ? text.data : "";
}

static void release(one_case *k) {
  tg_context *ctx = k->c->ctx;
  tg_reference_unmap(&k->reference);
  tg_launchable_free(k->launchable);
  tg_artifact_free(k->artifact);
  tg_inputs_free(ctx, &k->inputs);
  if (k->device) tg_device_close(k->device);
  tg_arena_free(&k->arena);
}

// `may_refuse`: a meta-parameter's value that the machine has no room for, which the lowering says with TG_INVALID and the tuner prunes, is
// skipped.
static bool one(checking *c, tg_source *source, const char *kernel, tg_bindings shape, tg_bindings settings, bool may_refuse) {
  if (c->counting) {
    c->total++;
    return true;
  }
  one_case k = {.c = c, .source = source, .kernel = kernel, .shape = shape, .settings = settings};
  tg_arena_init(&k.arena, c->ctx);
  tg_status status = tg_protect(c->ctx, c->device ? run_case : compile_case, &k);
  const char *verdict = status != TG_OK ? tg_error_message(c->ctx) : k.verdict;
  const char *what = listed(&k.arena, settings), *where = listed(&k.arena, shape);
  const char *line = tg_arena_printf(&k.arena, "%s%s%s%s%s%s%s", kernel, *where ? " " : "", where, *what ? " --set " : "", what,
                                     verdict ? ": " : "", verdict ? verdict : "");
  tg_verdict result = !verdict ? TG_VERDICT_OK : may_refuse && status == TG_INVALID ? TG_VERDICT_SKIP : TG_VERDICT_FAIL;
  c->done++;
  c->failed += result == TG_VERDICT_FAIL;
  if (c->report) c->report(c->user, line, result, c->done, c->total);
  release(&k);
  return result != TG_VERDICT_FAIL;
}

static void every_shape(checking *c, tg_arena *arena, tg_source *source, const char *kernel, const tg_kernel *signature,
                        tg_bindings settings) {
  for (int i = 0; i < SHAPES; i++) one(c, source, kernel, shape_of(arena, signature, i), settings, false);
}

// One value of one setting by itself. Options change what a kernel means: a device runs them over every shape; meta-parameters and knobs do
// not: one shape that no tile divides.
static void one_value(checking *c, tg_arena *arena, tg_source *source, const char *kernel, const char *name, const char *value,
                      bool option) {
  tg_binding *binding = TG_NEW(arena, tg_binding);
  *binding = (tg_binding){name, value};
  tg_bindings settings = {1, binding};
  tg_kernel *signature;
  tg_check_status(c->ctx, tg_source_signature(source, option ? &settings : NULL, &signature));
  if (!c->device) {
    one(c, source, kernel, (tg_bindings){0}, settings, !option);
  } else if (option) {
    every_shape(c, arena, source, kernel, signature, settings);
  } else {
    one(c, source, kernel, shape_of(arena, signature, UNEVEN), settings, true);
  }
}

static void every_knob(checking *c, tg_arena *arena, tg_source *source, const char *kernel, const tg_kernel *signature) {
  if (!c->row) return; // the device takes tile IR: there is no lowering
  tg_knob knobs[64];
  tg_kernel *tile;
  tg_bindings statics = statics_of(arena, signature);
  tg_check_status(c->ctx, tg_source_trace(source, NULL, &statics, &tile));
  int n = c->row->lowering->knobs(tile, c->machine, knobs, 64);
  tg_kernel_free(tile);
  for (int i = 0; i < n; i++) {
    for (int v = 1; v < knobs[i].nvalues; v++) { // values[0] is the default
      one_value(c, arena, source, kernel, knobs[i].name, tg_arena_printf(arena, "%lld", (long long)knobs[i].values[v]), false);
    }
  }
}

// The default, and every other value of every setting by itself: what each is there for.
static void every_setting(checking *c, tg_arena *arena, tg_source *source, const char *kernel) {
  tg_kernel *signature;
  tg_check_status(c->ctx, tg_source_signature(source, NULL, &signature));
  if (c->device) {
    every_shape(c, arena, source, kernel, signature, (tg_bindings){0});
  } else if (!one(c, source, kernel, (tg_bindings){0}, (tg_bindings){0}, false)) {
    return; // what the target cannot do at all need not be said for every setting
  }
  for (int i = 0; i < signature->nsettings; i++) {
    const tg_setting *setting = &signature->settings[i];
    for (int v = 0; v < setting->nallowed; v++) {
      if (strcmp(setting->allowed[v], setting->fallback) == 0) continue;
      one_value(c, arena, source, kernel, setting->name, setting->allowed[v], setting->kind == TG_OPTION);
    }
  }
  every_knob(c, arena, source, kernel, signature);
}

typedef struct kernel_call {
  checking *c;
  tg_arena arena;
  tg_source *source;
  const char *kernel;
} kernel_call;

static void kernel_body(void *arg) {
  kernel_call *k = arg;
  tg_check_status(k->c->ctx, tg_source_load(k->c->ctx, k->kernel, &k->source));
  every_setting(k->c, &k->arena, k->source, k->kernel);
}

// Every case of every kernel; while counting, what cannot even be counted is left for the run to say.
static void every_kernel(checking *c, int n, const char *const *names) {
  for (int i = 0; i < n; i++) {
    kernel_call k = {.c = c, .kernel = names[i]};
    tg_arena_init(&k.arena, c->ctx);
    tg_status status = tg_protect(c->ctx, kernel_body, &k);
    tg_source_free(k.source);
    tg_arena_free(&k.arena);
    if (!c->counting) tg_check_status(c->ctx, status);
  }
}

static void check_body(void *arg) {
  checking *c = arg;
  if (!c->device == !c->target) tg_throw(c->ctx, TG_INVALID, "check wants a device or a target, one of the two");
  const char *target = c->target;
  if (c->device) {
    tg_device *device; // a name that does not exist is the caller's mistake, not a failed check
    tg_check_status(c->ctx, tg_device_open(c->ctx, c->device, &device));
    target = device->target;
    tg_device_close(device);
  }
  if (target) c->machine = tg_target_find(c->ctx, target, &c->row);
  int n;
  const char *const *names;
  tg_check_status(c->ctx, tg_library(c->ctx, &n, &names));
  c->counting = true;
  every_kernel(c, n, names);
  c->counting = false;
  every_kernel(c, n, names);
  if (c->failed) tg_throw(c->ctx, TG_FAILED, "%d of %d checks failed on %s", c->failed, c->done, c->device ? c->device : c->target);
}

tg_status tg_check(tg_context *ctx, const char *device, const char *target,
                   void (*report)(void *user, const char *line, tg_verdict verdict, int done, int total), void *user) {
  checking c = {.ctx = ctx, .report = report, .user = user, .device = device, .target = target};
  return tg_protect(ctx, check_body, &c);
}
