// The search space of a kernel: its meta-parameters times the lowering's knobs, less what the lowering does not offer together and what has
// no room on the machine.
#include <stdlib.h>

#include "autotune/autotune.h"
#include "targets/run.h"

enum { MAX_AXES = TG_MAX_AXES, MAX_KNOBS = 32 };

static const char *integer_text(tg_arena *arena, int64_t value) { return tg_arena_printf(arena, "%lld", (long long)value); }

// One axis pinned to the value given by the user.
static void pin(tg_context *ctx, tg_axis *axis, const char *value) {
  char offered[512] = "";
  for (int i = 0; i < axis->n; i++) {
    if (!strcmp(axis->values[i], value)) {
      axis->values += i;
      axis->n = 1;
      axis->fallback = 0;
      return;
    }
    size_t used = strlen(offered);
    snprintf(offered + used, sizeof offered - used, "%s%s", i ? ", " : "", axis->values[i]);
  }
  tg_throw(ctx, TG_INVALID, "%s=%s is not offered; it is one of %s", axis->name, value, offered);
}

typedef struct offer { // the lowering's knobs for one choice of the kernel's meta-parameters
  bool asked;
  const char *reason; // the kernel cannot be traced or lowered with these
  int nknobs;
  tg_knob knobs[MAX_KNOBS];
  const char **without_room; // of each choice of knobs (choice_of), why it has none; NULL: all have
} offer;

typedef struct offers {
  tg_context *ctx;
  tg_arena *arena;
  const tg_subject *subject;
  int ntune, noffers; // the first axes are the kernel's own
  bool traced;        // all combinations of the kernel's meta-parameters are
  const tg_axis *axes;
  offer *at; // one per combination of the kernel's meta-parameters; only the default's when these are too many to trace
  char reason[256];
} offers;

enum { MAX_TRACES = 1024 };

// A knob's values that a config may have: those worth a trial, and all that the lowering takes when the user pins it.
static int values_of(const offers *o, const tg_knob *knob) {
  return knob->nvalues + (tg_binding_get(o->subject->fixed, knob->name) ? knob->nmore : 0);
}

static int choices_of(const offers *o, const offer *here) {
  int n = 1;
  for (int k = 0; k < here->nknobs; k++)
    if (!here->knobs[k].keeps_room) n *= values_of(o, &here->knobs[k]);
  return n;
}

// What a choice of knobs, numbered with the last knob fastest, gives each of them.
static tg_bindings choice_at(const offers *o, const offer *here, int choice, tg_binding *out) {
  int n = 0;
  for (int k = here->nknobs - 1; k >= 0; k--) {
    const tg_knob *knob = &here->knobs[k];
    if (knob->keeps_room) continue;
    out[n++] = (tg_binding){knob->name, integer_text(o->arena, knob->values[choice % values_of(o, knob)])};
    choice /= values_of(o, knob);
  }
  return (tg_bindings){n, out};
}

// The number of the choice that a config makes; -1: of a knob that it does not name.
static int choice_of(const offers *o, const offer *here, tg_bindings config) {
  int choice = 0;
  for (int k = 0; k < here->nknobs; k++) {
    const tg_knob *knob = &here->knobs[k];
    if (knob->keeps_room) continue;
    const char *value = tg_binding_get(config, knob->name);
    int v = 0;
    while (value && v < values_of(o, knob) && knob->values[v] != strtoll(value, NULL, 10)) v++;
    if (!value || v == values_of(o, knob)) return -1;
    choice = choice * values_of(o, knob) + v;
  }
  return choice;
}

static void ask_room(const offers *o, offer *here, const tg_kernel *tile) {
  const tg_lowering *lowering = o->subject->row->lowering;
  tg_binding at[MAX_KNOBS];
  if (!lowering->has_room || !o->traced) return; // of configs that are too many to trace nothing is known
  const int n = choices_of(o, here);
  here->without_room = TG_NEWN(o->arena, const char *, n);
  for (int i = 0; i < n; i++) {
    const tg_lower_options options = {.machine = o->subject->machine, .settings = choice_at(o, here, i, at)};
    if (!lowering->has_room(tile, &options)) here->without_room[i] = tg_arena_strdup(o->arena, tg_error_message(o->ctx));
  }
}

static const offer *ask(offers *o, tg_bindings config, int which) {
  offer *found = &o->at[which];
  if (found->asked) return found;
  found->asked = true;
  tg_kernel *tile = NULL;
  tg_bindings settings = tg_bindings_join(o->arena, (tg_bindings){o->ntune, config.at}, o->subject->options);
  if (tg_source_trace(o->subject->source, &settings, &o->subject->statics, &tile) != TG_OK) {
    found->reason = tg_arena_strdup(o->arena, tg_error_message(o->ctx));
    return found;
  }
  const tg_family *family = o->subject->row;
  if (family && family->lowering->knobs) found->nknobs = family->lowering->knobs(tile, o->subject->machine, found->knobs, MAX_KNOBS);
  if (family) ask_room(o, found, tile);
  tg_kernel_free(tile);
  return found;
}

static int combination(const offers *o, tg_bindings config) {
  int which = 0;
  if (o->noffers == 1) return 0;
  for (int i = 0; i < o->ntune; i++) {
    int digit = 0;
    while (strcmp(o->axes[i].values[digit], config.at[i].value)) digit++;
    which = which * o->axes[i].n + digit;
  }
  return which;
}

// A knob that this choice of meta-parameters does not have is left at one value, so that configs are not counted twice.
static const char *offered(void *user, tg_bindings config) {
  offers *o = user;
  const offer *here = ask(o, config, combination(o, config));
  if (here->reason) return here->reason;
  for (int i = o->ntune; i < config.n; i++) {
    const tg_knob *knob = NULL;
    for (int k = 0; k < here->nknobs && !knob; k++)
      if (!strcmp(here->knobs[k].name, config.at[i].name)) knob = &here->knobs[k];
    bool found = !knob && !strcmp(config.at[i].value, o->axes[i].values[o->axes[i].fallback]);
    for (int v = 0; knob && v < values_of(o, knob); v++) found |= knob->values[v] == strtoll(config.at[i].value, NULL, 10);
    if (!found) {
      snprintf(o->reason, sizeof o->reason, "the %s lowering does not offer %s=%s here", o->subject->row->lowering->name, config.at[i].name,
               config.at[i].value);
      return o->reason;
    }
  }
  const int choice = here->without_room ? choice_of(o, here, config) : -1;
  return choice < 0 ? NULL : here->without_room[choice];
}

// Adds the values of a knob to its axis, which is made on first sight.
static void merge_knob(offers *o, tg_axis *axes, int *naxes, const tg_knob *knob) {
  tg_axis *axis = NULL;
  for (int i = o->ntune; i < *naxes && !axis; i++)
    if (!strcmp(axes[i].name, knob->name)) axis = &axes[i];
  if (!axis) {
    if (*naxes == MAX_AXES) tg_throw(o->ctx, TG_INVALID, "kernel and lowering have more than %d parameters", MAX_AXES);
    axis = &axes[(*naxes)++];
    *axis = (tg_axis){.name = tg_arena_strdup(o->arena, knob->name)};
  }
  const char **values = TG_NEWN(o->arena, const char *, axis->n + values_of(o, knob) + 1);
  for (int i = 0; i < axis->n; i++) values[i] = axis->values[i];
  for (int v = 0; v < values_of(o, knob); v++) {
    const char *text = integer_text(o->arena, knob->values[v]);
    bool known = false;
    for (int i = 0; i < axis->n; i++) known |= !strcmp(values[i], text);
    if (!known) values[axis->n++] = text;
  }
  axis->values = values;
}

static int tune_axes(tg_context *ctx, tg_arena *arena, const tg_subject *subject, tg_axis *axes) {
  const tg_setting *settings;
  int n = 0, nsettings = tg_kernel_settings(subject->signature, &settings);
  for (int i = 0; i < nsettings; i++) {
    if (settings[i].kind != TG_TUNE) continue;
    if (n == MAX_AXES) tg_throw(ctx, TG_INVALID, "the kernel has more than %d meta-parameters", MAX_AXES);
    tg_axis *axis = &axes[n++];
    const char **values = TG_NEWN(arena, const char *, settings[i].nallowed + 1);
    *axis = (tg_axis){.name = tg_arena_strdup(arena, settings[i].name), .n = settings[i].nallowed, .values = values};
    for (int v = 0; v < axis->n; v++) {
      values[v] = tg_arena_strdup(arena, settings[i].allowed[v]);
      if (!strcmp(values[v], tg_setting_default(subject->machine, subject->signature, &settings[i]))) axis->fallback = v;
    }
    const char *value = tg_binding_get(subject->fixed, axis->name);
    if (value) pin(ctx, axis, value);
  }
  return n;
}

// The machine's description may name knobs for the default tile.
static void default_knobs(offers *o, tg_axis *axes, int naxes) {
  tg_bindings given = tg_bindings_join(o->arena, o->subject->fixed, o->subject->options);
  tg_machine_knobs knobs;
  tg_add_defaults(o->ctx, o->arena, o->subject->signature, o->subject->machine, &given, &knobs);
  for (int i = o->ntune; i < naxes; i++) {
    const char *value = tg_bindings_find(&knobs.list, axes[i].name);
    for (int v = 0; v < axes[i].n && value; v++)
      if (!strcmp(axes[i].values[v], value)) axes[i].fallback = v;
  }
}

// A setting that is neither the kernel's nor a knob must not go unnoticed.
static void require_known(tg_context *ctx, tg_arena *arena, const tg_subject *subject, int naxes, const tg_axis *axes) {
  for (int f = 0; f < subject->fixed.n; f++) {
    tg_text names = {.arena = arena};
    bool known = false;
    for (int i = 0; i < naxes; i++) {
      known |= !strcmp(axes[i].name, subject->fixed.at[f].name);
      tg_text_add(&names, "%s%s", i ? ", " : "", axes[i].name);
    }
    if (!known)
      tg_throw(ctx, TG_INVALID, "kernel '%s' on %s has no parameter '%s' to set; there are %s", subject->signature->name, subject->target,
               subject->fixed.at[f].name, names.size ? names.data : "none");
  }
}

tg_search_space *tg_space_of(tg_context *ctx, tg_arena *arena, const tg_subject *subject) {
  tg_axis axes[MAX_AXES];
  offers o = {.ctx = ctx, .arena = arena, .subject = subject, .axes = axes};
  int naxes = o.ntune = tune_axes(ctx, arena, subject, axes);
  int64_t combinations = 1;
  for (int i = 0; i < naxes && combinations <= MAX_TRACES; i++) combinations *= axes[i].n;
  o.traced = combinations <= MAX_TRACES;
  o.noffers = o.traced ? (int)combinations : 1;
  o.at = TG_NEWN(arena, offer, o.noffers);
  // The default's knobs first: they name the axes and the default values.
  tg_binding at[MAX_AXES];
  for (int i = 0; i < o.ntune; i++) at[i] = (tg_binding){axes[i].name, axes[i].values[axes[i].fallback]};
  const offer *standard = ask(&o, (tg_bindings){o.ntune, at}, combination(&o, (tg_bindings){o.ntune, at}));
  if (standard->reason) tg_throw(ctx, TG_INVALID, "%s", standard->reason);
  for (int k = 0; k < standard->nknobs; k++) merge_knob(&o, axes, &naxes, &standard->knobs[k]);
  for (int c = 0; c < o.noffers && o.noffers > 1; c++) {
    for (int i = o.ntune - 1, rest = c; i >= 0; rest /= axes[i].n, i--) at[i].value = axes[i].values[rest % axes[i].n];
    const offer *here = ask(&o, (tg_bindings){o.ntune, at}, c);
    for (int k = 0; k < here->nknobs; k++) merge_knob(&o, axes, &naxes, &here->knobs[k]);
  }
  default_knobs(&o, axes, naxes);
  for (int i = o.ntune; i < naxes; i++) {
    const char *value = tg_binding_get(subject->fixed, axes[i].name);
    if (value) pin(ctx, &axes[i], value);
  }
  require_known(ctx, arena, subject, naxes, axes);
  return tg_space_make(ctx, arena, naxes, axes, offered, &o);
}
