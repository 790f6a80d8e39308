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

typedef struct tg_machine_row {
  tg_machine machine;
  const char *sources[TG_NFIGURES + 1]; // where each figure is published; NULL = the description does not state it
} tg_machine_row;

extern const tg_machine_row tg_machine_rows[]; // generated, sorted by name
extern const int tg_machine_row_count;

#endif
