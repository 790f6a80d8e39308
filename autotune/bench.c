// `tegula bench`: how fast a kernel runs on a device at a shape, beside what the machine can do at most.
#include <math.h>

#include "autotune/autotune.h"
#include "targets/json.h"
#include "targets/run.h"

enum { MAX_RUNS = 4096, MIN_RUNS = 5 };
static const double SETTLE = 1.0; // seconds of repeats, unless fewer than MIN_RUNS fit

typedef struct benching {
  tg_context *ctx;
  tg_arena arena;
  tg_source *source;
  const tg_bench_options *options;
  tg_subject subject;
  tg_device *device;
  tg_inputs inputs;
  tg_launchable *launchable;
  int runs;
  double times[MAX_RUNS];
  char *json;
} benching;

static void measure(benching *b) {
  int wanted = b->options->runs > MAX_RUNS ? MAX_RUNS : b->options->runs;
  double spent = 0;
  tg_check_status(b->ctx, tg_launchable_run(b->launchable, 1, b->times)); // warms caches and pages; not counted
  do {
    tg_check_status(b->ctx, tg_launchable_run(b->launchable, 1, b->times + b->runs));
    spent += b->times[b->runs++];
  } while (b->runs < MAX_RUNS && (wanted ? b->runs < wanted : b->runs < MIN_RUNS || spent < SETTLE));
}

static bool is_option(const tg_kernel *signature, const char *name) {
  for (int i = 0; i < signature->nsettings; i++)
    if (!strcmp(signature->settings[i].name, name)) return signature->settings[i].kind == TG_OPTION;
  return false;
}

static bool is_tuned(const tg_kernel *signature, const char *name) { return !is_option(signature, name); }

static bool is_declared(const tg_kernel *signature, const char *name) {
  for (int i = 0; i < signature->nsettings; i++)
    if (!strcmp(signature->settings[i].name, name)) return true;
  return false;
}

// Those of the settings in force that `keep` is true of.
static tg_bindings config_of(benching *b, bool (*keep)(const tg_kernel *signature, const char *name)) {
  tg_bindings all = tg_launchable_record(b->launchable)->config;
  tg_binding *at = TG_NEWN(&b->arena, tg_binding, all.n + 1);
  int n = 0;
  for (int i = 0; i < all.n; i++)
    if (keep(b->subject.signature, all.at[i].name)) at[n++] = all.at[i];
  return (tg_bindings){n, at};
}

static tg_work work_of(benching *b) {
  tg_bindings declared = config_of(b, is_declared);
  tg_kernel *tile;
  tg_check_status(b->ctx, tg_source_trace(b->source, &declared, &b->subject.statics, &tile));
  tg_work work = tg_work_of(tile, tg_shape_lookup, &b->subject);
  tg_kernel_free(tile);
  return work;
}

static void write_document(benching *b) {
  const tg_subject *s = &b->subject;
  tg_text text = {.arena = &b->arena};
  double median = tg_median(b->times, b->runs);
  tg_work work = work_of(b);
  tg_limits (*const published)(tg_device *device) = b->device->driver->limits;
  tg_limits limits = published ? published(b->device) : tg_limits_get(b->ctx, s->threads);
  tg_text_add(&text, "{");
  tg_json_put_string(&text, "kernel", s->signature->name);
  tg_json_put_string(&text, "device", s->device);
  tg_json_put_string(&text, "target", s->compiled_for);
  tg_json_put_bindings(&text, "shape", tg_bindings_join(&b->arena, s->shape, s->statics));
  tg_json_put_bindings(&text, "config", config_of(b, is_tuned));
  tg_json_put_bindings(&text, "options", config_of(b, is_option));
  tg_json_put_string(&text, "config_source", tg_launchable_config_source(b->launchable));
  tg_json_put_int(&text, "threads", s->threads);
  tg_json_put_int(&text, "runs", b->runs);
  tg_json_put_string(&text, "clock", tg_launchable_clock(b->launchable));
  tg_json_put_string(&text, "caches", tg_launchable_cold(b->launchable) ? "cold" : "warm");
  tg_json_key(&text, "seconds");
  tg_text_add(&text, "{");
  tg_json_put_number(&text, "min", b->times[0]); // tg_median left them sorted
  tg_json_put_number(&text, "median", median);
  tg_json_put_number(&text, "mad", tg_mad(b->times, b->runs, median));
  tg_text_add(&text, "}");
  tg_json_put_number(&text, "flops", work.flops);
  tg_json_put_number(&text, "bytes", work.bytes);
  tg_json_put_number(&text, "gflops", work.flops / median * 1e-9);
  tg_json_put_number(&text, "gbs", work.bytes / median * 1e-9);
  tg_json_put_number(&text, "peak_gflops", limits.peak_gflops);
  tg_json_put_number(&text, "bf16_peak_gflops", limits.bf16_peak_gflops);
  tg_json_put_number(&text, "fp8_peak_gflops", limits.fp8_peak_gflops);
  tg_json_put_number(&text, "stream_gbs", limits.stream_gbs);
  tg_json_put_string(&text, "limits", published ? "published" : "measured");
  tg_json_put_strings(&text, "packed", b->inputs.npacked, b->inputs.packed);
  tg_json_put_number(&text, "pack_seconds", b->inputs.pack_seconds);
  tg_json_put_number(&text, "compile_seconds", tg_launchable_compile_seconds(b->launchable));
  tg_text_add(&text, "}");
  b->json = tg_doc_finish(&text);
}

static void bench(void *arg) {
  benching *b = arg;
  const tg_bench_options *o = b->options;
  if (o->runs < 0 || o->threads < 0) tg_throw(b->ctx, TG_INVALID, "runs and threads are 0 or more");
  tg_request request = {.device = o->device, .shape = o->shape, .settings = o->settings, .threads = o->threads};
  tg_subject_make(b->ctx, &b->arena, b->source, &request, &b->subject);
  if (!b->subject.row) b->subject.threads = 1; // the interpreter has no others
  tg_check_status(b->ctx, tg_device_open(b->ctx, b->subject.device, &b->device));
  tg_inputs_make(b->ctx, &b->arena, &b->subject, b->device, o->seed, &b->inputs);
  tg_run_options options = {.settings = o->settings,
                            .shape = tg_bindings_join(&b->arena, b->subject.shape, b->subject.statics),
                            .threads = b->subject.threads,
                            .warm_caches = o->warm_caches};
  tg_check_status(b->ctx, tg_prepare(b->device, b->source, &options, b->inputs.n, b->inputs.args, &b->launchable));
  measure(b);
  write_document(b);
}

tg_status tg_bench(tg_context *ctx, tg_source *source, const tg_bench_options *options, char **json) {
  *json = NULL;
  benching *b = tg_context_allocate(ctx, NULL, sizeof *b);
  if (!b) return tg_error(ctx, TG_NO_MEMORY, "out of memory");
  *b = (benching){.ctx = ctx, .source = source, .options = options};
  tg_arena_init(&b->arena, ctx);
  tg_status status = tg_protect(ctx, bench, b);
  tg_launchable_free(b->launchable);
  tg_inputs_free(ctx, &b->inputs);
  if (b->device) tg_device_close(b->device);
  tg_arena_free(&b->arena);
  *json = b->json;
  tg_context_allocate(ctx, b, 0);
  return status;
}
