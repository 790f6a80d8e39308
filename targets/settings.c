// Settings of a call: which belong to the kernel, which to the lowering, and whether they are allowed.
#include "targets/run.h"

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

static bool declares(const tg_kernel *kernel, const char *name) {
  const tg_setting *settings;
  int n = tg_kernel_settings(kernel, &settings);
  for (int i = 0; i < n; i++) {
    if (strcmp(settings[i].name, name) == 0) return true;
  }
  return false;
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
      if (declares(out->signature, given->at[i].name)) {
        mine[out->kernel.n++] = given->at[i];
      } else {
        rest[out->knobs.n++] = given->at[i];
      }
    }
  }
}

const char *tg_setting_default(const tg_setting *setting, const tg_lowering *lowering) {
  return setting->simt && lowering == &tg_lowering_simt ? setting->simt : setting->fallback;
}

void tg_add_defaults(tg_arena *arena, const tg_kernel *signature, const tg_lowering *lowering, tg_bindings *given) {
  tg_binding *at = TG_NEWN(arena, tg_binding, given->n + signature->nsettings + 1);
  if (given->n) memcpy(at, given->at, sizeof *at * (size_t)given->n);
  given->at = at;
  for (int i = 0; i < signature->nsettings; i++) {
    const tg_setting *s = &signature->settings[i];
    const char *value = tg_setting_default(s, lowering);
    if (value != s->fallback && !tg_bindings_find(given, s->name)) at[given->n++] = (tg_binding){s->name, value};
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
