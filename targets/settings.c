// Settings of a call: which belong to the kernel, which to the lowering, and whether they are allowed.
#include "targets/machines.h"
#include "targets/run.h"

#include <stdlib.h>

const char *tg_bindings_find(const tg_bindings *bindings, const char *name) {
  for (int i = 0; bindings && i < bindings->n; i++) {
    if (strcmp(bindings->at[i].name, name) == 0) return bindings->at[i].value;
  }
  return NULL;
}

void tg_check_status(tg_context *ctx, tg_status status) {
  if (status == TG_OK) return;
  ctx->status = status;
  tg_rethrow(ctx);
}

static const tg_setting *setting_of(const tg_kernel *kernel, const char *name) {
  for (int i = 0; i < kernel->nsettings; i++)
    if (!strcmp(kernel->settings[i].name, name)) return &kernel->settings[i];
  return NULL;
}

void tg_split_settings(tg_context *ctx, tg_source *source, const tg_bindings *given, tg_arena *arena, tg_split *out) {
  int n = given ? given->n : 0;
  tg_binding *mine = TG_NEWN(arena, tg_binding, n + 1), *rest = TG_NEWN(arena, tg_binding, n + 1);
  for (int i = 0; i < n; i++) {
    for (int j = 0; j < i; j++) {
      if (strcmp(given->at[i].name, given->at[j].name) == 0) tg_throw(ctx, TG_INVALID, "setting '%s' is given twice", given->at[i].name);
    }
  }
  *out = (tg_split){.kernel = {0, mine}, .knobs = {0, rest}};
  for (int before = -1; before != out->kernel.n;) {
    before = out->kernel.n;
    tg_check_status(ctx, tg_source_signature(source, &out->kernel, &out->signature));
    out->kernel.n = out->knobs.n = 0;
    for (int i = 0; i < n; i++) {
      if (setting_of(out->signature, given->at[i].name)) {
        mine[out->kernel.n++] = given->at[i];
      } else {
        rest[out->knobs.n++] = given->at[i];
      }
    }
  }
}

// ---- what a machine's description says that kernels take

static bool allows(const tg_setting *setting, const char *value) {
  for (int i = 0; i < setting->nallowed; i++)
    if (!strcmp(setting->allowed[i], value)) return true;
  return false;
}

static bool holds(const tg_machine_default *entry, const tg_kernel *signature) {
  if (strcmp(entry->kernel, signature->name) != 0) return false;
  for (int i = 0; i < entry->when.n; i++) {
    const tg_setting *option = setting_of(signature, entry->when.at[i].name);
    if (!option || option->kind != TG_OPTION || strcmp(option->value, entry->when.at[i].value) != 0) return false;
  }
  return true;
}

// NULL, or the first value of an entry that this kernel does not take. Names that it does not declare are the lowering's.
static const tg_binding *misfit(const tg_machine_default *entry, const tg_kernel *signature) {
  for (int i = 0; i < entry->set.n; i++) {
    const tg_setting *setting = setting_of(signature, entry->set.at[i].name);
    if (setting && (setting->kind != TG_TUNE || !allows(setting, entry->set.at[i].value))) return &entry->set.at[i];
  }
  return NULL;
}

// The entry that serves a kernel under the options in force. One of a built-in description is passed over where it does not fit: a kernel
// of one's own may bear a library kernel's name.
static const tg_machine_default *entry_of(const tg_machine *machine, const tg_kernel *signature, const char **file) {
  for (const tg_defaults *d = machine ? machine->defaults : NULL; d; d = d->base) {
    for (int i = d->n - 1; i >= 0; i--) {
      if (!holds(&d->at[i], signature) || (!d->file && misfit(&d->at[i], signature))) continue;
      *file = d->file;
      return &d->at[i];
    }
  }
  return NULL;
}

const char *tg_setting_default(const tg_machine *machine, const tg_kernel *signature, const tg_setting *setting) {
  const char *file;
  const tg_machine_default *entry = setting->kind == TG_TUNE ? entry_of(machine, signature, &file) : NULL;
  const char *value = entry ? tg_bindings_find(&entry->set, setting->name) : NULL;
  return value && allows(setting, value) ? value : setting->fallback;
}

// NULL, or the first condition of an entry that cannot come true: no option of the kernel has that name, or takes that value. Where another
// condition merely does not hold, its option might bring the one that is missing.
static const tg_binding *never(const tg_machine_default *entry, const tg_kernel *signature) {
  const tg_binding *odd = NULL;
  for (int i = 0; i < entry->when.n; i++) {
    const tg_binding *binding = &entry->when.at[i];
    const tg_setting *option = setting_of(signature, binding->name);
    const bool known = option && option->kind == TG_OPTION && (!option->nallowed || allows(option, binding->value));
    if (known && strcmp(option->value, binding->value) != 0) return NULL;
    if (!known && !odd) odd = binding;
  }
  return odd;
}

_Noreturn static void refuse(tg_context *ctx, const char *file, const tg_kernel *kernel, const tg_binding *binding, const char *takes) {
  tg_throw(ctx, TG_INVALID, "%s: defaults of kernel '%s': %s = %s: %s", file, kernel->name, binding->name, binding->value, takes);
}

static const char *values_of(tg_arena *arena, const tg_setting *setting) {
  tg_text text = {.arena = arena};
  tg_text_add(&text, setting->kind == TG_TUNE ? "it takes " : "an option says what is computed, and has no default of a machine's");
  for (int i = 0; i < setting->nallowed && setting->kind == TG_TUNE; i++) tg_text_add(&text, "%s%s", i ? ", " : "", setting->allowed[i]);
  return text.data;
}

// Entries of the user's own that are for this kernel, and would never serve it.
static void check_conditions(tg_context *ctx, const tg_kernel *signature, const tg_machine *machine) {
  for (const tg_defaults *d = machine ? machine->defaults : NULL; d; d = d->base)
    for (int i = 0; i < d->n && d->file; i++) {
      const tg_binding *odd = strcmp(d->at[i].kernel, signature->name) ? NULL : never(&d->at[i], signature);
      if (!odd) continue;
      const tg_setting *option = setting_of(signature, odd->name);
      tg_text text = {.arena = &ctx->arena};
      if (!option || option->kind != TG_OPTION) tg_text_add(&text, "it has no such option for a `when`");
      for (int v = 0; option && option->kind == TG_OPTION && v < option->nallowed; v++)
        tg_text_add(&text, "%s%s", v ? ", " : "`when`: it takes ", option->allowed[v]);
      refuse(ctx, d->file, signature, odd, text.data);
    }
}

void tg_add_defaults(tg_context *ctx, tg_arena *arena, const tg_kernel *signature, const tg_machine *machine, tg_bindings *given,
                     tg_machine_knobs *knobs) {
  *knobs = (tg_machine_knobs){0};
  check_conditions(ctx, signature, machine);
  const tg_machine_default *entry = entry_of(machine, signature, &knobs->file);
  if (!entry) return;
  const tg_binding *wrong = misfit(entry, signature);
  if (wrong) refuse(ctx, knobs->file, signature, wrong, values_of(&ctx->arena, setting_of(signature, wrong->name)));
  tg_binding *mine = TG_NEWN(arena, tg_binding, given->n + entry->set.n), *rest = TG_NEWN(arena, tg_binding, entry->set.n + 1);
  if (given->n) memcpy(mine, given->at, sizeof *mine * (size_t)given->n);
  bool whole = true;
  for (int i = 0; i < entry->set.n; i++) {
    const tg_binding *binding = &entry->set.at[i];
    const char *other = tg_bindings_find(given, binding->name);
    if (!setting_of(signature, binding->name)) rest[knobs->list.n++] = *binding;
    else if (!other) mine[given->n++] = *binding;
    else whole &= !strcmp(other, binding->value);
    given->at = mine;
  }
  knobs->list.at = rest;
  if (!whole) knobs->list.n = 0;
}

struct defaults_call {
  tg_context *ctx;
  tg_source *source;
  const char *target;
  tg_bindings *out;
};

static void defaults_body(void *arg) {
  struct defaults_call *call = arg;
  tg_arena *arena = &call->ctx->arena;
  const tg_family *family;
  const tg_machine *machine = tg_target_find(call->ctx, call->target, &family);
  tg_kernel *signature;
  tg_check_status(call->ctx, tg_source_signature(call->source, &(tg_bindings){0}, &signature));
  tg_bindings given = {0};
  tg_machine_knobs knobs;
  tg_add_defaults(call->ctx, arena, signature, machine, &given, &knobs);
  tg_binding *at = TG_NEWN(arena, tg_binding, signature->nsettings + knobs.list.n + 1);
  int n = 0;
  for (int i = 0; i < signature->nsettings; i++) {
    const tg_setting *s = &signature->settings[i];
    at[n++] = (tg_binding){tg_arena_strdup(arena, s->name), tg_arena_strdup(arena, tg_setting_default(machine, signature, s))};
  }
  for (int i = 0; i < knobs.list.n; i++) at[n++] = knobs.list.at[i];
  *call->out = (tg_bindings){n, at};
}

tg_status tg_target_defaults(tg_context *ctx, tg_source *source, const char *target, tg_bindings *out) {
  *out = (tg_bindings){0};
  return tg_protect(ctx, defaults_body, &(struct defaults_call){ctx, source, target, out});
}

static bool takes(const tg_knob *knob, const tg_binding *binding) {
  char *end;
  const long long value = strtoll(binding->value, &end, 10);
  for (int i = 0; i < knob->nvalues + knob->nmore; i++)
    if (knob->values[i] == value && !*end) return true;
  return false;
}

static const char *all_knobs(tg_arena *arena, int n, const tg_knob *knobs) {
  tg_text text = {.arena = arena};
  tg_text_add(&text, "neither kernel nor lowering has it here; the lowering's are ");
  for (int i = 0; i < n; i++) tg_text_add(&text, "%s%s", i ? ", " : "", knobs[i].name);
  return text.data;
}

static const char *knob_values(tg_arena *arena, const tg_knob *knob) {
  tg_text text = {.arena = arena};
  for (int i = 0; i < knob->nvalues + knob->nmore; i++)
    tg_text_add(&text, "%s%lld", i ? ", " : "the lowering takes ", (long long)knob->values[i]);
  return text.data;
}

void tg_join_knobs(tg_context *ctx, tg_arena *arena, const tg_kernel *kernel, const tg_family *family, const tg_machine *machine,
                   const tg_machine_knobs *from, tg_bindings *knobs) {
  enum { MAX = 64 };
  tg_knob known[MAX];
  if (!from->list.n || !family->lowering->knobs) return;
  const int n = family->lowering->knobs(kernel, machine, known, MAX);
  tg_binding *at = TG_NEWN(arena, tg_binding, knobs->n + from->list.n);
  if (knobs->n) memcpy(at, knobs->at, sizeof *at * (size_t)knobs->n);
  knobs->at = at;
  for (int i = 0; i < from->list.n; i++) {
    const tg_binding *binding = &from->list.at[i];
    int k = 0;
    while (k < n && strcmp(known[k].name, binding->name) != 0) k++;
    const bool fits = k < n && takes(&known[k], binding);
    if (!fits && from->file)
      refuse(ctx, from->file, kernel, binding, k < n ? knob_values(&ctx->arena, &known[k]) : all_knobs(&ctx->arena, n, known));
    if (fits && !tg_bindings_find(knobs, binding->name)) at[knobs->n++] = *binding;
  }
}

_Noreturn static void unknown(tg_context *ctx, const tg_kernel *kernel, const char *name, int nknobs, const tg_knob *knobs,
                              const char *lowering) {
  tg_text text = {.arena = &ctx->arena};
  for (int i = 0; i < kernel->nsettings; i++) tg_text_add(&text, "%s%s", i ? ", " : "", kernel->settings[i].name);
  if (nknobs) tg_text_add(&text, "%sand of the lowering '%s': ", kernel->nsettings ? "; " : "none; ", lowering);
  for (int i = 0; i < nknobs; i++) tg_text_add(&text, "%s%s", i ? ", " : "", knobs[i].name);
  tg_throw(ctx, TG_INVALID, "kernel '%s' has no setting '%s'; there are: %s", kernel->name, name, text.size ? text.data : "none");
}

static void check_value(tg_context *ctx, const tg_knob *knob, const tg_binding *binding) {
  int64_t value = tg_binding_int(ctx, binding, "--set");
  tg_text text = {.arena = &ctx->arena};
  for (int i = 0; i < knob->nvalues + knob->nmore; i++) {
    if (knob->values[i] == value) return;
    tg_text_add(&text, "%s%lld", i ? ", " : "", (long long)knob->values[i]);
  }
  tg_throw(ctx, TG_INVALID, "--set %s=%s: %s (%s) takes %s here", binding->name, binding->value, knob->name, knob->doc, text.data);
}

void tg_check_knobs(tg_context *ctx, const tg_kernel *kernel, const tg_family *family, const tg_machine *machine,
                    const tg_bindings *knobs) {
  enum { MAX = 64 };
  tg_knob known[MAX];
  int n = knobs->n && family ? family->lowering->knobs(kernel, machine, known, MAX) : 0;
  for (int i = 0; i < knobs->n; i++) {
    int j = 0;
    while (j < n && strcmp(known[j].name, knobs->at[i].name) != 0) j++;
    if (j == n) unknown(ctx, kernel, knobs->at[i].name, n, known, family ? family->lowering->name : "");
    check_value(ctx, &known[j], &knobs->at[i]);
  }
}
