// What is tuned or benched: a kernel under its options, a device, a shape; its identity in the database; looking a config up.
#include <stdlib.h>
#include <sys/stat.h>

#include "autotune/autotune.h"
#include "targets/json.h"
#include "targets/run.h"

// ---- identity

static void describe_param(tg_text *text, const tg_param *param) {
  tg_text_add(text, "param %s %d %s %u", param->name, param->kind, tg_dtype_name(param->dtype), param->flags);
  for (int i = 0; i < param->rank; i++) tg_text_add(text, ",%s", tg_e_text(text->arena, param->dims[i]));
  tg_text_add(text, "\n");
}

// Everything a config's meaning hangs on: symbols, parameters, meta-parameters with their values. Values in force are not part of it.
static const char *hash_signature(tg_arena *arena, const tg_kernel *kernel) {
  tg_text text = {.arena = arena};
  for (int i = 0; i < kernel->nsymbols; i++) tg_text_add(&text, "symbol %s %d\n", kernel->symbols[i].name, kernel->symbols[i].kind);
  for (int i = 0; i < kernel->nparams; i++)
    if (kernel->params[i].kind != TG_WORKSPACE) describe_param(&text, &kernel->params[i]); // whose dims may hang on values in force
  for (int i = 0; i < kernel->nsettings; i++) {
    const tg_setting *setting = &kernel->settings[i];
    tg_text_add(&text, "setting %s %d", setting->name, setting->kind);
    for (int v = 0; v < setting->nallowed; v++) tg_text_add(&text, ",%s", setting->allowed[v]);
    tg_text_add(&text, "\n");
  }
  return tg_arena_printf(arena, "%016llx", (unsigned long long)tg_hash(text.data ? text.data : "", text.size, 0));
}

static const tg_setting *find_setting(const tg_kernel *kernel, const char *name) {
  for (int i = 0; i < kernel->nsettings; i++)
    if (!strcmp(kernel->settings[i].name, name)) return &kernel->settings[i];
  return NULL;
}

static void divide_settings(tg_context *ctx, tg_arena *arena, const tg_bindings *given, tg_subject *out) {
  tg_split split;
  tg_split_settings(ctx, out->source, given, arena, &split);
  out->signature = split.signature;
  tg_binding *options = TG_NEWN(arena, tg_binding, given->n + 1), *fixed = TG_NEWN(arena, tg_binding, given->n + 1);
  tg_binding *changed = TG_NEWN(arena, tg_binding, given->n + 1);
  for (int i = 0; i < split.kernel.n; i++) {
    const tg_setting *setting = find_setting(split.signature, split.kernel.at[i].name);
    if (setting->kind == TG_TUNE) {
      fixed[out->fixed.n++] = split.kernel.at[i];
      continue;
    }
    options[out->options.n++] = split.kernel.at[i];
    if (!setting->fallback || strcmp(setting->fallback, split.kernel.at[i].value)) changed[out->changed.n++] = split.kernel.at[i];
  }
  for (int i = 0; i < split.knobs.n; i++) fixed[out->fixed.n++] = split.knobs.at[i];
  out->options.at = options;
  out->fixed.at = fixed;
  out->changed.at = changed;
}

static void divide_shape(tg_context *ctx, tg_arena *arena, const tg_bindings *given, tg_subject *out) {
  const tg_kernel *kernel = out->signature;
  tg_binding *shape = TG_NEWN(arena, tg_binding, given->n + 1), *statics = TG_NEWN(arena, tg_binding, given->n + 1);
  for (int i = 0; i < given->n; i++) {
    const tg_binding *letter = &given->at[i];
    int64_t value = tg_binding_int(ctx, letter, "--shape");
    if (value < 0) tg_throw(ctx, TG_INVALID, "--shape %s=%s: a dim is 0 or more", letter->name, letter->value);
    const tg_symbol *symbol = NULL;
    for (int s = 0; s < kernel->nsymbols && !symbol; s++)
      if (!strcmp(kernel->symbols[s].name, letter->name)) symbol = &kernel->symbols[s];
    const tg_setting *setting = find_setting(kernel, letter->name);
    if (!symbol && setting && setting->kind == TG_OPTION) { // a letter that an option sets
      char *end;
      if (value != strtoll(setting->value, &end, 10) || *end)
        tg_throw(ctx, TG_INVALID, "--shape %s=%s contradicts the option %s=%s of kernel '%s'", letter->name, letter->value, setting->name,
                 setting->value, kernel->name);
      continue;
    }
    if (!symbol)
      tg_throw(ctx, TG_INVALID, "--shape %s=%s: kernel '%s' has no dim '%s'", letter->name, letter->value, kernel->name, letter->name);
    tg_binding canonical = {letter->name, tg_arena_printf(arena, "%lld", (long long)value)};
    if (symbol->kind == TG_SYM_STATIC) statics[out->statics.n++] = canonical;
    else shape[out->shape.n++] = canonical;
  }
  out->shape.at = shape;
  out->statics.at = statics;
}

static void require_letters(tg_context *ctx, const tg_subject *subject) {
  for (int i = 0; i < subject->signature->nsymbols; i++) {
    const tg_symbol *symbol = &subject->signature->symbols[i];
    int64_t value;
    if (!tg_shape_lookup((void *)(uintptr_t)subject, symbol->name, &value))
      tg_throw(ctx, TG_INVALID, "dim %s of kernel '%s' is open: give it, as in --shape %s=128", symbol->name, subject->signature->name,
               symbol->name);
  }
}

bool tg_shape_lookup(void *user, const char *name, int64_t *value) {
  const tg_subject *subject = user;
  const char *text = tg_binding_get(subject->shape, name);
  if (!text) text = tg_binding_get(subject->statics, name);
  if (text) {
    *value = strtoll(text, NULL, 10);
    return true;
  }
  for (int i = 0; i < subject->signature->nsymbols; i++) {
    const tg_symbol *symbol = &subject->signature->symbols[i];
    if (strcmp(symbol->name, name) || symbol->value < 0) continue;
    *value = symbol->value;
    return true;
  }
  return false;
}

static void find_target(tg_context *ctx, tg_arena *arena, const tg_request *request, tg_subject *out) {
  const tg_driver *driver;
  const tg_device_info *info = tg_device_find(ctx, out->device, &driver);
  if (!info->available) tg_throw(ctx, TG_INVALID, "device '%s' is not available: %s", info->name, info->why);
  out->family = info->family;
  out->target = out->compiled_for = out->device;
  out->model = info->model ? info->model : tg_host_model(arena);
  out->threads = info->model            ? 1
                 : request->threads > 0 ? request->threads
                                        : tg_host_threads(); // the host's: a GPU's own are the code's business
  if (!info->target) return;                                 // takes tile IR
  out->machine = tg_target_find(ctx, info->target, &out->row);
  out->compiled_for = info->target;
  out->target = out->machine->name;
}

void tg_subject_make(tg_context *ctx, tg_arena *arena, tg_source *source, const tg_request *request, tg_subject *out) {
  *out = (tg_subject){.source = source, .device = request->device ? request->device : "cpu"};
  find_target(ctx, arena, request, out);
  divide_settings(ctx, arena, &request->settings, out);
  divide_shape(ctx, arena, &request->shape, out);
  if (!request->partial) require_letters(ctx, out);
  out->hash = hash_signature(arena, out->signature);
}

// ---- lookup

typedef struct store { // in the context's slot
  tg_db dbs[2];        // the user's, the shipped one
  bool loaded;
  off_t size; // of the user's file when it was read
  time_t modified;
  int nmissed;
  uint64_t missed[64]; // kernels whose miss was logged
} store;

static void free_store(tg_context *ctx, void *state) {
  store *s = state;
  tg_db_free(&s->dbs[0]);
  tg_db_free(&s->dbs[1]);
  tg_realloc(ctx, s, 0);
}

static store *open_store(tg_context *ctx, tg_arena *arena) {
  store *s = ctx->slots[TG_SLOT_DATABASE];
  if (!s) {
    s = tg_realloc(ctx, NULL, sizeof *s);
    memset(s, 0, sizeof *s);
    tg_db_init(&s->dbs[0], ctx);
    tg_db_init(&s->dbs[1], ctx);
    ctx->slots[TG_SLOT_DATABASE] = s;
    ctx->slot_free[TG_SLOT_DATABASE] = free_store;
  }
  const char *file = ctx->config.database;
  struct stat info = {0};
  bool there = file && !stat(file, &info);
  if (!s->loaded)
    tg_db_read(&s->dbs[1], ctx, tg_arena_printf(arena, "%s/autotune/defaults.jsonl", ctx->config.root ? ctx->config.root : "."));
  if (!s->loaded || (there && (info.st_size != s->size || info.st_mtime != s->modified))) {
    tg_db_free(&s->dbs[0]);
    tg_db_init(&s->dbs[0], ctx);
    if (there) tg_db_read(&s->dbs[0], ctx, file);
    s->size = info.st_size;
    s->modified = info.st_mtime;
    s->loaded = true;
  }
  return s;
}

enum { MAX_REFUSED = 32 }; // each costs a trace

typedef struct choice {
  const tg_subject *subject;
  int nrefused;
  tg_bindings refused[MAX_REFUSED]; // configs with knobs that the lowering does not offer
} choice;

// Meta-parameters must be the kernel's, with values it still allows. Knobs are looked at later, of the best alone: that takes a trace.
static bool allowed(void *user, tg_bindings config) {
  const choice *choice = user;
  const tg_subject *subject = choice->subject;
  const tg_kernel *kernel = subject->signature;
  for (int i = 0; i < choice->nrefused; i++)
    if (tg_bindings_equal(choice->refused[i], config)) return false;
  int tuned = 0;
  for (int i = 0; i < kernel->nsettings; i++) tuned += kernel->settings[i].kind == TG_TUNE;
  for (int i = 0; i < config.n; i++) {
    const tg_setting *setting = find_setting(kernel, config.at[i].name);
    if (!setting && !subject->row) return false; // a device without a lowering has no knobs
    if (!setting) continue;
    bool known = false;
    for (int v = 0; v < setting->nallowed && !known; v++) known = !strcmp(setting->allowed[v], config.at[i].value);
    if (!known || setting->kind != TG_TUNE) return false;
    tuned--;
  }
  return tuned == 0;
}

typedef struct knob_check {
  tg_context *ctx;
  tg_arena *arena;
  const tg_subject *subject;
  tg_bindings config;
} knob_check;

static void check_knobs(void *arg) {
  knob_check *c = arg;
  const tg_subject *s = c->subject;
  tg_bindings all = tg_bindings_join(c->arena, c->config, s->options);
  tg_split split;
  tg_split_settings(c->ctx, s->source, &all, c->arena, &split);
  if (!split.knobs.n) return;
  tg_kernel *tile;
  tg_check_status(c->ctx, tg_source_trace(s->source, &split.kernel, &s->statics, &tile));
  tg_knob known[64];
  int n = s->row->lowering->knobs ? s->row->lowering->knobs(tile, s->machine, known, 64) : 0;
  tg_kernel_free(tile);
  for (int i = 0; i < split.knobs.n; i++) {
    bool found = false;
    for (int k = 0; k < n; k++)
      for (int v = 0; v < known[k].nvalues + known[k].nmore; v++)
        found |= !strcmp(known[k].name, split.knobs.at[i].name) && known[k].values[v] == strtoll(split.knobs.at[i].value, NULL, 10);
    if (!found) tg_throw(c->ctx, TG_INVALID, "%s=%s is no longer offered", split.knobs.at[i].name, split.knobs.at[i].value);
  }
}

static bool knobs_fit(tg_context *ctx, tg_arena *arena, const tg_subject *subject, tg_bindings config) {
  if (!subject->row) return true;
  return tg_protect(ctx, check_knobs, &(knob_check){ctx, arena, subject, config}) == TG_OK;
}

// How the kernel is named on the command line: the library's by name, a user's own by its file; NULL: a script made it.
static const char *command_name(tg_context *ctx, tg_arena *arena, const tg_subject *subject) {
  const char *file = tg_source_file(subject->source), *root = tg_context_root(ctx);
  const size_t n = strlen(root), library = strlen("/kernels/");
  if (!file || strncmp(file, root, n) || strncmp(file + n, "/kernels/", library)) return file;
  const char *name = file + n + library, *dot = strchr(name, '.');
  return dot ? tg_arena_strndup(arena, name, (size_t)(dot - name)) : name;
}

// Each kernel once; a whole model has dozens, of which the first few say what is to be said.
static void log_miss(tg_context *ctx, tg_arena *arena, store *s, const tg_subject *subject) {
  enum { NAMED = 3 };
  const char *kernel = subject->signature->name;
  uint64_t key = tg_hash(kernel, strlen(kernel), tg_hash(subject->device, strlen(subject->device), 1));
  for (int i = 0; i < s->nmissed; i++)
    if (s->missed[i] == key) return;
  if (s->nmissed == NAMED) tg_log(ctx, TG_LOG_INFO, "no tuned configs of further kernels: using their defaults; TEGULA_DEBUG=1 names them");
  const tg_log_level level = s->nmissed < NAMED ? TG_LOG_INFO : TG_LOG_DEBUG;
  if (s->nmissed < (int)(sizeof s->missed / sizeof *s->missed)) s->missed[s->nmissed++] = key;
  const char *name = command_name(ctx, arena, subject);
  const char *how = name ? tg_arena_printf(arena, "`tegula tune %s --shape …`", name) : "kernel:tune{shape = {…}} in the script";
  tg_log(ctx, level, "no tuned config of %s for %s on %s: using the default; %s finds a better one", kernel, subject->device,
         subject->model, how);
}

const tg_db_record *tg_subject_lookup(tg_context *ctx, tg_arena *arena, const tg_subject *subject, tg_db_level *level) {
  store *s = open_store(ctx, arena);
  choice choice = {.subject = subject};
  tg_db_query query = {.kernel = subject->signature->name,
                       .signature = subject->hash,
                       .device = subject->device,
                       .target = subject->target,
                       .family = subject->family,
                       .machine = subject->model,
                       .statics = subject->statics,
                       .shape = subject->shape,
                       .settings = subject->changed,
                       .threads = subject->threads,
                       .accept = allowed,
                       .user = &choice};
  for (const tg_db_record *record; (record = tg_db_find(2, s->dbs, &query, level));) {
    if (knobs_fit(ctx, arena, subject, record->config)) return record;
    if (choice.nrefused == MAX_REFUSED) break;
    choice.refused[choice.nrefused++] = record->config;
  }
  *level = TG_DB_MISS;
  return NULL;
}

typedef struct lookup_call {
  tg_context *ctx;
  tg_source *source;
  const tg_request *request;
  char *json;
  const char *source_name;
} lookup_call;

static void lookup_in(lookup_call *c, tg_arena *arena) {
  tg_subject subject;
  tg_db_level level;
  tg_subject_make(c->ctx, arena, c->source, c->request, &subject);
  const tg_db_record *record = tg_subject_lookup(c->ctx, arena, &subject, &level);
  if (!record) log_miss(c->ctx, arena, open_store(c->ctx, arena), &subject);
  tg_text text = {.arena = arena};
  tg_json_bindings(&text, record ? record->config : (tg_bindings){0});
  c->json = tg_doc_finish(&text);
  c->source_name = record ? "database" : "default";
}

typedef struct with_arena {
  tg_arena arena;
  lookup_call *call;
} with_arena;

static void lookup_body(void *arg) {
  with_arena *w = arg;
  lookup_in(w->call, &w->arena);
}

tg_status tg_config_lookup(tg_context *ctx, tg_source *source, const char *device, const tg_bindings *shape, const tg_bindings *settings,
                           int threads, char **settings_json, const char **source_name) {
  tg_request request = {.device = device,
                        .shape = shape ? *shape : (tg_bindings){0},
                        .settings = settings ? *settings : (tg_bindings){0},
                        .threads = threads,
                        .partial = true};
  lookup_call call = {.ctx = ctx, .source = source, .request = &request};
  with_arena w = {.call = &call};
  tg_arena_init(&w.arena, ctx);
  tg_status status = tg_protect(ctx, lookup_body, &w);
  tg_arena_free(&w.arena);
  *settings_json = call.json;
  *source_name = call.source_name;
  return status;
}
