// Machine descriptions as tables: what targets/machines.gen.lua writes at build time and targets/machines.c reads.
#ifndef TG_MACHINES_H
#define TG_MACHINES_H

#include "targets/target.h"

typedef enum tg_figure_id {
#define FIGURE(name, unit, doc) TG_FIGURE_##name,
#include "targets/machines/figures.def"
#undef FIGURE
  TG_NFIGURES
} tg_figure_id;

// What kernels take by default: entries of a description, then those of the one that it is like.
typedef struct tg_defaults {
  const struct tg_defaults *base;
  const char *file; // that states them; NULL = a built-in description
  int n;
  const tg_machine_default *at;
} tg_defaults;

typedef struct tg_machine_row {
  tg_machine machine;
  const char *sources[TG_NFIGURES + 1]; // where each figure is published; NULL = the description does not state it
} tg_machine_row;

extern const tg_machine_row tg_machine_rows[]; // generated, sorted by name
extern const int tg_machine_row_count;
extern const tg_machine_row tg_machine_bases[]; // architectures: what descriptions may be like, no machines themselves
extern const int tg_machine_base_count;

typedef struct tg_machine_state { // of one context: the built-in descriptions and the user's own
  int n, capacity;
  const tg_machine_row **rows;
  const char **texts; // Lua text of a user's description, for the compile helper; NULL for built-in ones
  const char **files; // where it was loaded from, NULL for built-in ones
  tg_machine_info *infos;
  tg_machine_row host;
  bool host_known;
} tg_machine_state;
tg_machine_state *tg_machine_list(tg_context *ctx);
// The text behind a user's own machine, NULL for a built-in one; and its counterpart in the helper, which adds the text unless it has it.
const char *tg_machine_text(tg_context *ctx, const tg_machine *machine);
void tg_machine_ensure(tg_context *ctx, const char *text);
// The machine that a user's file describes, loaded unless a file of this name was. Throws.
const tg_machine *tg_machine_file(tg_context *ctx, const char *file);
// What else decides what "native" means: vendor, family, model and the feature words of CPUID. For cache keys.
const char *tg_machine_host_signature(tg_context *ctx);

#endif
