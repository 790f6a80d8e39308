// What the measuring process does for a real device: loads the kernel, makes the inputs once, compiles and launches candidates.
#include "autotune/autotune.h"
#include "targets/run.h"

typedef struct bench_device {
  tg_context *ctx;
  tg_arena arena;   // lives as long as the process serves
  tg_arena scratch; // of the candidate in work
  tg_source *source;
  tg_device *device;
  tg_subject subject;
  tg_inputs inputs;
  tg_reference reference;
  tg_launchable *launchable;
} bench_device;

static void close_device(void *state) {
  bench_device *d = state;
  tg_reference_unmap(&d->reference);
  tg_inputs_free(d->ctx, &d->inputs);
  if (d->device) tg_device_close(d->device);
  tg_source_free(d->source);
  tg_arena_free(&d->scratch);
  tg_arena_free(&d->arena);
}

static void *open_device(tg_context *ctx, const tg_setup *setup) {
  bench_device *d = TG_NEW(&ctx->arena, bench_device);
  d->ctx = ctx;
  tg_arena_init(&d->arena, ctx);
  tg_arena_init(&d->scratch, ctx);
  tg_check_status(ctx, tg_source_load(ctx, setup->source, &d->source));
  tg_check_status(ctx, tg_device_open(ctx, setup->device, &d->device));
  tg_request request = {.device = setup->device, .shape = setup->shape, .settings = setup->settings, .threads = setup->threads};
  tg_subject_make(ctx, &d->arena, d->source, &request, &d->subject);
  tg_inputs_make(ctx, &d->arena, &d->subject, d->device, setup->seed, &d->inputs);
  if (setup->reference_fd >= 0) tg_reference_map(ctx, &d->arena, setup->reference_fd, &d->inputs, &d->reference);
  return d;
}

static tg_bindings settings_of(bench_device *d, tg_bindings config) { return tg_bindings_join(&d->scratch, config, d->subject.options); }

// The launches' bodies alone: the header repeats the settings, in which configs always differ.
static uint64_t hash_launches(const char *text, size_t size) {
  const char *from = memmem(text, size, "\n  launch ", 10);
  return from ? tg_hash(from, size - (size_t)(from - text), 0) | 1 : 0;
}

static uint64_t lane_hash(void *state, tg_bindings config) {
  bench_device *d = state;
  if (!d->subject.machine) return 0;
  tg_compile_options options = {
      .target = d->device->target, .settings = settings_of(d, config), .statics = d->subject.statics, .no_cache = true};
  tg_artifact *artifact;
  tg_check_status(d->ctx, tg_compile(d->ctx, d->source, &options, &artifact));
  const void *text;
  size_t size;
  tg_status status = tg_artifact_emit(artifact, "lane", NULL, &text, &size);
  uint64_t hash = status == TG_OK ? hash_launches(text, size) : 0;
  tg_artifact_free(artifact);
  tg_check_status(d->ctx, status);
  return hash;
}

static double prepare(void *state, tg_bindings config) {
  bench_device *d = state;
  tg_run_options options = {.settings = settings_of(d, config),
                            .shape = tg_bindings_join(&d->scratch, d->subject.shape, d->subject.statics),
                            .threads = d->subject.threads};
  tg_check_status(d->ctx, tg_prepare(d->device, d->source, &options, d->inputs.n, d->inputs.args, &d->launchable));
  return tg_launchable_compile_seconds(d->launchable);
}

static void run(void *state, int repeat, double *seconds) {
  bench_device *d = state;
  tg_check_status(d->ctx, tg_launchable_run(d->launchable, repeat, seconds));
}

static const char *check(void *state) {
  bench_device *d = state;
  tg_check_status(d->ctx, tg_launchable_fetch(d->launchable));
  return tg_gate(&d->scratch, &d->reference, &d->inputs);
}

static void release(void *state) {
  bench_device *d = state;
  tg_launchable_free(d->launchable);
  d->launchable = NULL;
  tg_arena_free(&d->scratch);
  tg_arena_init(&d->scratch, d->ctx);
}

const tg_backend tg_backend_device = {open_device, lane_hash, prepare, run, check, release, close_device};
