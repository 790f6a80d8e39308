// `tegula tune`: from a kernel, a device and a shape to a config in the database and a JSON document of how it was found.
#include <math.h>
#include <time.h>
#include <unistd.h>

#include "autotune/autotune.h"
#include "targets/json.h"
#include "targets/run.h"

// A killed run is taken up by the same command within this time; after a week its machine, code or question is most likely another.
static const double JOURNAL_SECONDS = 7 * 86400.0;

typedef struct tuning {
  tg_context *ctx;
  tg_arena arena;
  tg_source *source;
  const tg_tune_options *options;
  tg_subject subject;
  tg_device *device;
  tg_inputs inputs;
  int reference_fd;
  char *json;
} tuning;

// Names the run: what was killed is resumed only by a run that would have done the same.
static const char *journal_of(tuning *t, const tg_search_space *space, const tg_strategy *strategy) {
  tg_text text = {.arena = &t->arena};
  const tg_subject *s = &t->subject;
  tg_kernel *tile;
  const char *ir;
  size_t size;
  tg_check_status(t->ctx, tg_source_trace(s->source, &s->options, &s->statics, &tile));
  tg_status status = tg_kernel_print(tile, &ir, &size);
  uint64_t code = status == TG_OK ? tg_hash(ir, size, 0) : 0;
  tg_kernel_free(tile);
  tg_check_status(t->ctx, status);
  tg_text_add(&text, "%s %s %s %s %d %d %s %llu %llx %llx", s->signature->name, s->hash, s->device, s->model, s->threads, space->n,
              strategy->name, (unsigned long long)t->options->seed, (unsigned long long)code,
              (unsigned long long)tg_compiler_identity(t->ctx, s->row, &t->arena));
  const tg_bindings parts[] = {s->shape, s->statics, s->options, s->fixed};
  for (int i = 0; i < 4; i++) tg_json_bindings(&text, parts[i]);
  return tg_arena_printf(&t->arena, "%s.run-%016llx", t->ctx->config.database, (unsigned long long)tg_hash(text.data, text.size, 0));
}

// The config that the database gives for this very subject is measured again by every run, since a record is replaced by a newer one; other
// configs of the same kernel that were best elsewhere are tried by strategies that start from records.
static void use_records(tuning *t, tg_plan *plan) {
  tg_db_level level;
  const tg_db_record *record = tg_subject_lookup(t->ctx, &t->arena, &t->subject, &level);
  int *seeds = TG_NEWN(&t->arena, int, 1), index = record ? tg_space_find(plan->space, record->config) : -1;
  bool stands =
      record && level == TG_DB_EXACT && record->final && record->threads == t->subject.threads && !strcmp(record->version, TG_VERSION);
  plan->standing = stands ? index : -1;
  plan->to_beat = stands ? record->seconds : 0;
  if (index >= 0 && (stands || plan->strategy->seeded)) seeds[plan->nseeds++] = index;
  plan->seeds = seeds;
}

static void add_config(tuning *t, tg_text *text, const tg_search_space *space, int index, double seconds) {
  tg_text_add(text, "{");
  tg_json_put_bindings(text, "config", tg_space_config(space, &t->arena, index));
  tg_json_put_number(text, "seconds", seconds);
}

static void add_evaluated(tuning *t, tg_text *text, const tg_search_space *space, const tg_evaluated *e) {
  add_config(t, text, space, e->index, e->trial.ok ? e->trial.seconds : NAN);
  tg_json_put_bool(text, "ok", e->trial.ok);
  if (!e->trial.ok) tg_json_put_string(text, "reason", e->trial.reason);
  tg_text_add(text, "}");
}

// What the search left out, by the most frequent of the reasons.
static void add_space(tg_text *text, const tg_search_space *space) {
  enum { MOST_REASONS = 8 };
  tg_json_key(text, "space");
  tg_text_add(text, "{");
  tg_json_put_int(text, "configs", space->n);
  tg_json_put_int(text, "pruned", space->product - space->n);
  tg_json_key(text, "reasons");
  tg_text_add(text, "[");
  for (int i = 0; i < space->npruned && i < MOST_REASONS; i++) {
    tg_json_comma(text);
    tg_text_add(text, "{");
    tg_json_put_string(text, "reason", space->pruned[i].reason);
    tg_json_put_int(text, "configs", space->pruned[i].n);
    tg_text_add(text, "}");
  }
  tg_text_add(text, "]}");
}

static void write_document(tuning *t, const tg_plan *plan, const tg_outcome *out) {
  tg_text text = {.arena = &t->arena};
  const tg_search_space *space = plan->space;
  tg_text_add(&text, "{");
  tg_json_put_string(&text, "kernel", t->subject.signature->name);
  tg_json_put_string(&text, "device", t->subject.device);
  tg_json_put_bindings(&text, "shape", tg_bindings_join(&t->arena, t->subject.shape, t->subject.statics));
  tg_json_put_string(&text, "strategy", plan->strategy->name);
  tg_json_key(&text, "seed");
  tg_text_add(&text, "%llu", (unsigned long long)plan->seed);
  tg_json_put_int(&text, "threads", t->subject.threads);
  add_space(&text, space);
  tg_json_key(&text, "best");
  add_config(t, &text, space, out->at[out->best].index, out->at[out->best].trial.seconds);
  tg_text_add(&text, "}");
  tg_json_key(&text, "evaluated");
  tg_text_add(&text, "[");
  for (int i = 0; i < out->n; i++) {
    tg_json_comma(&text);
    add_evaluated(t, &text, space, &out->at[i]);
  }
  bool works = out->standard >= 0 && out->at[out->standard].trial.ok;
  tg_text_add(&text, "]");
  tg_json_key(&text, "default");
  add_config(t, &text, space, space->first_default, works ? out->at[out->standard].trial.seconds : NAN);
  tg_text_add(&text, "}}");
  t->json = tg_doc_finish(&text);
}

static void share_record(const tg_subject *s, tg_db_record *record) {
  *record = (tg_db_record){.kernel = s->signature->name,
                           .signature = s->hash,
                           .device = s->device,
                           .target = s->target,
                           .family = s->family,
                           .machine = s->model,
                           .statics = s->statics,
                           .shape = s->shape,
                           .settings = s->changed,
                           .threads = s->threads};
}

static tg_bindings resources(void *user, tg_arena *arena, tg_bindings config) {
  const tuning *t = user;
  return tg_resources_of(t->ctx, arena, &t->subject, config);
}

static void make_reference(tuning *t) {
  tg_check_status(t->ctx, tg_device_open(t->ctx, t->subject.device, &t->device));
  tg_inputs_make(t->ctx, &t->arena, &t->subject, t->device, t->options->seed, &t->inputs);
  t->reference_fd = tg_reference_make(t->ctx, &t->arena, &t->subject, &t->inputs, t->options->seed);
  tg_inputs_free(t->ctx, &t->inputs); // the measuring process makes its own
}

// Launches of an empty shape do next to nothing: their best config says nothing about shapes nearby.
static bool is_empty(const tg_subject *subject) {
  for (int i = 0; i < subject->shape.n; i++)
    if (!strcmp(subject->shape.at[i].value, "0")) return true;
  return false;
}

static void tune(void *arg) {
  tuning *t = arg;
  tg_context *ctx = t->ctx;
  const tg_tune_options *o = t->options;
  double start = tg_seconds();
  if (o->trials < 0 || o->budget < 0) tg_throw(ctx, TG_INVALID, "trials and budget are 0 or more");
  tg_request request = {.device = o->device, .shape = o->shape, .settings = o->settings, .threads = o->threads};
  tg_subject_make(ctx, &t->arena, t->source, &request, &t->subject);
  const char *file = tg_source_file(t->source);
  if (!file)
    tg_throw(ctx, TG_INVALID, "kernel '%s' was made by a script: put it into a file of its own to tune it", t->subject.signature->name);
  tg_plan plan = {.ctx = ctx, .strategy = tg_strategy_find(ctx, o->strategy), .seed = o->seed, .trials = o->trials, .budget = o->budget};
  plan.space = tg_space_of(ctx, &t->arena, &t->subject);
  tg_db_writable(ctx, ctx->config.database);
  tg_db_expire_journals(ctx->config.database, JOURNAL_SECONDS);
  plan.database = is_empty(&t->subject) || o->unrecorded ? NULL : ctx->config.database;
  plan.journal = journal_of(t, plan.space, plan.strategy);
  use_records(t, &plan);
  make_reference(t);
  const char *const argv[] = {ctx->config.worker, "measure", NULL};
  plan.argv = argv;
  plan.setup = (tg_setup){.root = ctx->config.root,
                          .cache_dir = ctx->config.cache_dir,
                          .database = ctx->config.database,
                          .worker = ctx->config.worker,
                          .source = file,
                          .device = t->subject.device,
                          .shape = tg_bindings_join(&t->arena, t->subject.shape, t->subject.statics),
                          .settings = t->subject.options,
                          .threads = t->subject.threads,
                          .seed = o->seed,
                          .reference_fd = t->reference_fd};
  plan.progress = o->progress;
  plan.user = o->user;
  share_record(&t->subject, &plan.record);
  plan.resources = resources;
  plan.resources_user = t;
  plan.spent = tg_seconds() - start;
  tg_outcome out;
  tg_plan_run(&plan, &t->arena, &out);
  if (out.best < 0)
    tg_throw(ctx, TG_FAILED, "none of %d configs of kernel '%s' works on %s; the first: %s", out.n, t->subject.signature->name,
             t->subject.device, out.n ? out.at[0].trial.reason : "there was no time to try one");
  write_document(t, &plan, &out);
}

tg_status tg_tune(tg_context *ctx, tg_source *source, const tg_tune_options *options, char **json) {
  tuning t = {.ctx = ctx, .source = source, .options = options, .reference_fd = -1};
  tg_arena_init(&t.arena, ctx);
  tg_status status = tg_protect(ctx, tune, &t);
  tg_inputs_free(ctx, &t.inputs);
  if (t.device) tg_device_close(t.device);
  if (t.reference_fd >= 0) close(t.reference_fd);
  tg_arena_free(&t.arena);
  *json = t.json;
  return status;
}

// ---- a config that the caller chose

struct record_call {
  tg_context *ctx;
  tg_arena arena;
  tg_source *source;
  tg_request request;
  const tg_bindings *config;
  double seconds;
};

static void record_body(void *arg) {
  struct record_call *c = arg;
  tg_subject subject;
  tg_db_record record;
  if (!(c->seconds > 0 && c->seconds < INFINITY)) tg_throw(c->ctx, TG_INVALID, "a config takes %g seconds: give more than 0", c->seconds);
  tg_subject_make(c->ctx, &c->arena, c->source, &c->request, &subject);
  const tg_search_space *space = tg_space_of(c->ctx, &c->arena, &subject);
  const int index = tg_space_find(space, *c->config);
  if (index < 0)
    tg_throw(c->ctx, TG_INVALID, "this is no config of kernel '%s' on %s: one gives every tuned parameter one of its values",
             subject.signature->name, subject.device);
  if (is_empty(&subject)) return;
  share_record(&subject, &record);
  record.config = tg_space_config(space, &c->arena, index);
  record.seconds = c->seconds;
  record.final = true;
  record.resources = tg_resources_of(c->ctx, &c->arena, &subject, record.config);
  record.strategy = "chosen";
  record.lane = "";
  record.version = TG_VERSION;
  record.time = (int64_t)time(NULL);
  size_t size;
  const char *line = tg_db_line(&c->arena, &record, &size);
  tg_db_append(c->ctx, c->ctx->config.database, line, size);
}

tg_status tg_config_record(tg_context *ctx, tg_source *source, const char *device, const tg_bindings *shape, const tg_bindings *settings,
                           int threads, const tg_bindings *config, double seconds) {
  const tg_bindings none = {0};
  struct record_call call = {.ctx = ctx, .source = source, .config = config, .seconds = seconds};
  call.request =
      (tg_request){.device = device, .shape = shape ? *shape : none, .settings = settings ? *settings : none, .threads = threads};
  tg_arena_init(&call.arena, ctx);
  tg_status status = tg_protect(ctx, record_body, &call);
  tg_arena_free(&call.arena);
  return status;
}
