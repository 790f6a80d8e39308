// Knobs of products that are one of a few numbers: how their settings are read, and those that belong to no file of their own.
#include "codegen/simt_pipe.h"

#include <stdlib.h>

// "0, 1 or 2"
static const char *list_of(tg_arena *arena, int n, const int64_t *values) {
  const char *list = tg_arena_printf(arena, "%lld", (long long)values[0]);
  for (int i = 1; i < n; i++) list = tg_arena_printf(arena, "%s%s%lld", list, i + 1 < n ? ", " : " or ", (long long)values[i]);
  return list;
}

int64_t simt_choice(const tg_kernel *tile, const tg_lower_options *options, const char *name, int n, const int64_t *values,
                    int64_t otherwise) {
  for (int i = 0; i < options->settings.n; i++) {
    if (strcmp(options->settings.at[i].name, name)) continue;
    const char *set = options->settings.at[i].value;
    char *end;
    const long long number = strtoll(set, &end, 10);
    for (int j = 0; j < n; j++)
      if (*set && !*end && number == values[j]) return number;
    tg_throw(tile->ctx, TG_INVALID, "%s=%s: it can be %s", name, set, list_of((tg_arena *)(uintptr_t)&tile->arena, n, values));
  }
  return otherwise;
}

// ---- warps_m

enum { SPLITS = 5 };
static const int64_t splits[SPLITS] = {0, 1, 2, 4, 8};

// Where warp groups or tensor memory multiply, warps split but the products that these do not take, which is not worth trials; nor are all
// warps on top of each other.
tg_knob simt_split_knob(const tg_machine *machine) {
  tg_knob knob = {
      .name = "warps_m",
      .doc = "warps that the rows of a product are split among, the rest split columns; 0: by turns, from the axis that has more left",
      .keeps_room = true,
      .nvalues = machine->warpgroup_mma || machine->tensor_memory > 0 ? 1 : SPLITS - 1};
  knob.nmore = SPLITS - knob.nvalues;
  memcpy(knob.values, splits, sizeof splits);
  return knob;
}

int simt_split_setting(const tg_kernel *tile, const tg_lower_options *options) {
  return (int)simt_choice(tile, options, "warps_m", SPLITS, splits, 0);
}

void simt_record_split(simt *s) {
  static const char *const texts[SPLITS] = {"0", "1", "2", "4", "8"};
  simt_record_knob(s, "warps_m", s->warps_m, SPLITS, texts);
}

// ---- specialise

static const int64_t flags[2] = {1, 0};

tg_knob simt_specialise_knob(void) {
  return (tg_knob){.name = "specialise",
                   .doc = "1: warps of their own ask the copy unit for what the others multiply; 0: those that multiply copy",
                   .nvalues = 1,
                   .nmore = 1,
                   .values = {flags[0], flags[1]}};
}

bool simt_specialise_setting(const tg_kernel *tile, const tg_lower_options *options) {
  return simt_choice(tile, options, "specialise", 2, flags, flags[0]) == 1;
}

void simt_record_specialise(simt *s) {
  static const char *const texts[2] = {"1", "0"};
  simt_record_knob(s, "specialise", !s->by_threads, 2, texts);
}
