// `tegula check`: conformance. A device runs library kernels over awkward shapes and must agree with the interpreter; a target compiles
// them; both under every value of every setting, or under a sample of each search space.
#include <math.h>
#include <stdlib.h>
#include <time.h>

#include "autotune/check.h"
#include "targets/run.h"

// A kernel under one choice of its options.
typedef struct walk {
  tg_checking *c;
  tg_arena arena;
  tg_source *source;
  const char *kernel;
  tg_bindings options;
  tg_kernel *signature;
} walk;

static bool one(walk *w, tg_bindings shape, tg_bindings settings, bool may_refuse) {
  return tg_check_case(w->c, &(tg_case){w->source, w->kernel, shape, settings, may_refuse});
}

static bool walks_shapes(const tg_checking *c) { return c->options->device || c->options->all_shapes; }

// Options change what a kernel means: a device runs them over every shape.
static bool every_shape(walk *w) {
  if (!walks_shapes(w->c)) return one(w, (tg_bindings){0}, w->options, false);
  bool good = true;
  for (int i = 0; i < TG_CHECK_SHAPES; i++) good &= one(w, tg_check_shape(&w->arena, w->signature, i), w->options, false);
  return good;
}

// ---- every value by itself

// Meta-parameters and knobs do not change what a kernel means: one shape that no tile divides.
static void one_value(walk *w, const char *name, const char *value) {
  tg_binding *binding = TG_NEW(&w->arena, tg_binding);
  *binding = (tg_binding){name, value};
  const tg_bindings shape = walks_shapes(w->c) ? tg_check_shape(&w->arena, w->signature, TG_CHECK_UNEVEN) : (tg_bindings){0};
  one(w, shape, tg_bindings_join(&w->arena, (tg_bindings){1, binding}, w->options), true);
}

static void every_knob(walk *w) {
  if (!w->c->row) return; // the device takes tile IR: there is no lowering
  tg_knob knobs[64];
  tg_kernel *tile;
  tg_bindings statics = tg_check_statics(&w->arena, w->signature), given = w->options;
  tg_machine_knobs defaults;
  tg_add_defaults(w->c->ctx, &w->arena, w->signature, w->c->machine, &given, &defaults);
  tg_check_status(w->c->ctx, tg_source_trace(w->source, &given, &statics, &tile));
  int n = w->c->row->lowering->knobs(tile, w->c->machine, knobs, 64);
  tg_kernel_free(tile);
  for (int i = 0; i < n; i++) {
    const char *named = tg_bindings_find(&defaults.list, knobs[i].name);
    const int64_t standard = named ? strtoll(named, NULL, 10) : knobs[i].values[0];
    for (int v = 0; v < knobs[i].nvalues; v++) {
      if (knobs[i].values[v] != standard) one_value(w, knobs[i].name, tg_arena_printf(&w->arena, "%lld", (long long)knobs[i].values[v]));
    }
  }
}

static void every_value(walk *w) {
  for (int i = 0; i < w->signature->nsettings; i++) {
    const tg_setting *setting = &w->signature->settings[i];
    for (int v = 0; v < setting->nallowed && setting->kind == TG_TUNE; v++) {
      if (strcmp(setting->allowed[v], tg_setting_default(w->c->machine, w->signature, setting)) != 0)
        one_value(w, setting->name, setting->allowed[v]);
    }
  }
  every_knob(w);
}

// ---- a sample of the space

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// When the space at hand has had its share of what is left of the budget.
static double deadline(tg_checking *c) {
  const double t = now();
  if (!c->began) c->began = t;
  return t + (c->began + c->options->budget - t) / (c->spaces - c->spaces_done);
}

static void note(const walk *w, const tg_search_space *space, int tried, tg_covered met) {
  const tg_check_options *o = w->c->options;
  if (!o->report) return;
  tg_text text = {.arena = (tg_arena *)(uintptr_t)&w->arena};
  tg_text_add(&text, "%s", w->kernel);
  for (int i = 0; i < w->options.n; i++) tg_text_add(&text, "%s%s=%s", i ? "," : " --set ", w->options.at[i].name, w->options.at[i].value);
  tg_text_add(&text, ": %d of %d configs, %d of %d values, %d of %d pairs of values", tried, space->n, met.values, met.of_values, met.pairs,
              met.of_pairs);
  if (space->npruned)
    tg_text_add(&text, "; %lld were pruned before, %lld of them as %s", (long long)(space->product - space->n), (long long)space->pruned->n,
                space->pruned->reason);
  o->report(o->user, text.data, TG_VERDICT_NOTE, w->c->done, w->c->total);
}

static void sample(walk *w) {
  tg_checking *c = w->c;
  const tg_check_options *o = c->options;
  const tg_subject subject = {.source = w->source,
                              .signature = w->signature,
                              .device = o->device,
                              .target = o->target ? o->target : o->device,
                              .machine = c->machine,
                              .row = c->row,
                              .options = w->options,
                              .statics = tg_check_statics(&w->arena, w->signature)};
  const tg_search_space *space = tg_space_of(c->ctx, &w->arena, &subject);
  const int most = o->configs < space->n ? o->configs : space->n;
  if (c->counting) {
    c->total += most;
    c->spaces++;
    return;
  }
  tg_cover *cover = tg_cover_make(&w->arena, space, o->seed);
  const double end = o->budget > 0 ? deadline(c) : HUGE_VAL;
  int tried = 0;
  for (; tried < most && (!tried || now() < end); tried++) {
    const tg_bindings config = tg_space_config(space, &w->arena, tg_cover_next(cover));
    const tg_bindings shape = o->device ? tg_check_shape(&w->arena, w->signature, tried % TG_CHECK_SHAPES) : (tg_bindings){0};
    one(w, shape, tg_bindings_join(&w->arena, config, w->options), true);
  }
  c->spaces_done++;
  note(w, space, tried, tg_cover_count(cover));
}

// ---- the library

static void under_options(walk *w, tg_bindings options) {
  w->options = options;
  tg_check_status(w->c->ctx, tg_source_signature(w->source, options.n ? &options : NULL, &w->signature));
  if (!every_shape(w) && w->c->options->target && !options.n) return; // what the target cannot do at all need not be said for every setting
  if (w->c->options->configs) sample(w);
  else if (!options.n) every_value(w);
}

// The defaults, and every other value of every option by itself: what each is there for.
static void kernel_body(void *arg) {
  walk *w = arg;
  tg_check_status(w->c->ctx, tg_source_load(w->c->ctx, w->kernel, &w->source));
  under_options(w, (tg_bindings){0});
  const tg_kernel *plain = w->signature;
  for (int i = 0; i < plain->nsettings; i++) {
    const tg_setting *setting = &plain->settings[i];
    for (int v = 0; v < setting->nallowed && setting->kind == TG_OPTION; v++) {
      if (strcmp(setting->allowed[v], setting->fallback) == 0) continue;
      tg_binding *binding = TG_NEW(&w->arena, tg_binding);
      *binding = (tg_binding){setting->name, setting->allowed[v]};
      under_options(w, (tg_bindings){1, binding});
    }
  }
}

// Every case of every kernel; while counting, what cannot even be counted is left for the run to say.
static void every_kernel(tg_checking *c, int n, const char *const *names) {
  for (int i = 0; i < n; i++) {
    walk w = {.c = c, .kernel = names[i]};
    tg_arena_init(&w.arena, c->ctx);
    const tg_status status = tg_protect(c->ctx, kernel_body, &w);
    tg_source_free(w.source);
    tg_arena_free(&w.arena);
    if (!c->counting) tg_check_status(c->ctx, status);
  }
}

static void require_library(tg_context *ctx, const tg_check_options *o, int n, const char *const *names) {
  for (int i = 0; i < o->nkernels; i++) {
    bool known = false;
    for (int k = 0; k < n; k++) known |= !strcmp(o->kernels[i], names[k]);
    if (!known) tg_throw(ctx, TG_INVALID, "the library has no kernel '%s'; 'tegula kernels' lists them", o->kernels[i]);
  }
}

static void check_body(void *arg) {
  tg_checking *c = arg;
  const tg_check_options *o = c->options;
  if (!o->device == !o->target) tg_throw(c->ctx, TG_INVALID, "check wants a device or a target, one of the two");
  if (o->configs < 0 || o->nkernels < 0 || o->budget < 0) tg_throw(c->ctx, TG_INVALID, "check: configs, kernels and budget are 0 or more");
  if (o->form && strcmp(o->form, "asm") != 0 && strcmp(o->form, "obj") != 0)
    tg_throw(c->ctx, TG_INVALID, "check: a target's code comes to asm or obj, not to '%s'", o->form);
  const char *target = o->target;
  if (o->device) {
    tg_device *device; // a name that does not exist is the caller's mistake, not a failed check
    tg_check_status(c->ctx, tg_device_open(c->ctx, o->device, &device));
    target = device->target;
    tg_device_close(device);
  }
  if (target) c->machine = tg_target_find(c->ctx, target, &c->row);
  int n;
  const char *const *names;
  tg_check_status(c->ctx, tg_library(c->ctx, &n, &names));
  require_library(c->ctx, o, n, names);
  if (o->nkernels) n = o->nkernels, names = o->kernels;
  c->counting = true;
  every_kernel(c, n, names);
  c->counting = false;
  every_kernel(c, n, names);
  if (c->failed) tg_throw(c->ctx, TG_FAILED, "%d of %d checks failed on %s", c->failed, c->done, o->device ? o->device : o->target);
}

tg_status tg_check(tg_context *ctx, const tg_check_options *options) {
  tg_checking c = {.ctx = ctx, .options = options};
  return tg_protect(ctx, check_body, &c);
}
