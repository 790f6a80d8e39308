// Search spaces: the product of axes of values, less what is not allowed.
#include <stdlib.h>

#include "autotune/autotune.h"

enum { MAX_PRODUCT = 1 << 22, MAX_AXES = TG_MAX_AXES };

static void digits_of(const tg_search_space *space, uint32_t code, int *digits) {
  for (int i = space->naxes - 1; i >= 0; i--) {
    digits[i] = (int)(code % (uint32_t)space->axes[i].n);
    code /= (uint32_t)space->axes[i].n;
  }
}

void tg_space_digits(const tg_search_space *space, int index, int *digits) { digits_of(space, space->codes[index], digits); }

static void config_at(const tg_search_space *space, uint32_t code, tg_binding *out) {
  int digits[MAX_AXES];
  digits_of(space, code, digits);
  for (int i = 0; i < space->naxes; i++) out[i] = (tg_binding){space->axes[i].name, space->axes[i].values[digits[i]]};
}

tg_bindings tg_space_config(const tg_search_space *space, tg_arena *arena, int index) {
  tg_binding *at = TG_NEWN(arena, tg_binding, space->naxes + 1);
  config_at(space, space->codes[index], at);
  return (tg_bindings){space->naxes, at};
}

static int compare_codes(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

int tg_space_find(const tg_search_space *space, tg_bindings config) {
  uint32_t code = 0;
  if (config.n != space->naxes) return -1;
  for (int i = 0; i < space->naxes; i++) {
    const tg_axis *axis = &space->axes[i];
    const char *value = tg_binding_get(config, axis->name);
    int digit = 0;
    while (value && digit < axis->n && strcmp(axis->values[digit], value)) digit++;
    if (!value || digit == axis->n) return -1;
    code = code * (uint32_t)axis->n + (uint32_t)digit;
  }
  uint32_t *found = bsearch(&code, space->codes, (size_t)space->n, sizeof code, compare_codes);
  return found ? (int)(found - space->codes) : -1;
}

// The allowed config that differs from the default in the fewest axes; the first such.
static int nearest_default(const tg_search_space *space) {
  int best = 0, best_differences = MAX_AXES + 1;
  for (int i = 0; i < space->n && best_differences; i++) {
    int digits[MAX_AXES], differences = 0;
    tg_space_digits(space, i, digits);
    for (int a = 0; a < space->naxes; a++) differences += digits[a] != space->axes[a].fallback;
    if (differences < best_differences) best = i, best_differences = differences;
  }
  return best;
}

// Filters say the same of many configs in a row, so that what was said last is looked at first.
static void prune(tg_search_space *space, tg_arena *arena, const char *reason) {
  int i = space->npruned - 1;
  while (i >= 0 && strcmp(space->pruned[i].reason, reason) != 0) i--;
  if (i < 0) {
    i = space->npruned++;
    space->pruned = tg_arena_grow(arena, space->pruned, (size_t)i, sizeof *space->pruned);
    space->pruned[i] = (tg_pruned){.reason = tg_arena_strdup(arena, reason)};
  }
  space->pruned[i].n++;
}

static int compare_pruned(const void *a, const void *b) {
  const tg_pruned *x = a, *y = b;
  return x->n != y->n ? (x->n < y->n) - (x->n > y->n) : strcmp(x->reason, y->reason);
}

tg_search_space *tg_space_make(tg_context *ctx, tg_arena *arena, int naxes, const tg_axis *axes, tg_space_filter *filter, void *user) {
  if (naxes > MAX_AXES) tg_throw(ctx, TG_INVALID, "the search space has %d parameters; at most %d are supported", naxes, MAX_AXES);
  tg_search_space *space = TG_NEW(arena, tg_search_space);
  space->ctx = ctx;
  space->naxes = naxes;
  space->axes = TG_NEWN(arena, tg_axis, naxes + 1);
  space->product = 1;
  for (int i = 0; i < naxes; i++) {
    space->axes[i] = axes[i];
    space->product *= axes[i].n;
    if (space->product > MAX_PRODUCT)
      tg_throw(ctx, TG_INVALID, "the search space has more than %d configs; pin some parameters with --set", MAX_PRODUCT);
  }
  space->codes = TG_NEWN(arena, uint32_t, space->product + 1);
  tg_binding at[MAX_AXES];
  for (uint32_t code = 0; code < (uint32_t)space->product; code++) {
    config_at(space, code, at);
    const char *reason = filter ? filter(user, (tg_bindings){naxes, at}) : NULL;
    if (!reason) space->codes[space->n++] = code;
    else prune(space, arena, reason);
  }
  if (space->npruned) qsort(space->pruned, (size_t)space->npruned, sizeof *space->pruned, compare_pruned);
  if (!space->n)
    tg_throw(ctx, TG_INVALID, "no config is allowed: %s", space->npruned ? space->pruned[0].reason : "a parameter has no values");
  space->first_default = nearest_default(space);
  return space;
}
