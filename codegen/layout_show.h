// What a lowering with layouts did with a kernel, for people: `compile --emit layouts`, as text or as a drawing.
#ifndef TG_LAYOUT_SHOW_H
#define TG_LAYOUT_SHOW_H

#include "codegen/layout_convert.h"

typedef struct tg_shown_tile {
  const char *what;  // "gemm.lua:16 dot f32[64x64]"
  tg_layout layout;  // who holds it; of a tile in shared memory, who brings it
  int64_t bytes;     // of shared memory, 0: registers hold it
  int element_bytes; // and there
  tg_map at;         // packed coordinates to elements
} tg_shown_tile;

typedef struct tg_shown_launch {
  const char *name;
  int warps, lanes, ntiles, nconversions;
  tg_shown_tile *tile;
  const char **conversion; // text of each
} tg_shown_launch;

typedef struct tg_shown { // filled by the lowering, from `arena`
  tg_arena *arena;
  int nlaunches;
  tg_shown_launch *launch;
} tg_shown;

void tg_show_launch(tg_shown *shown, const char *name, int warps, int lanes); // what comes next belongs to it
void tg_show_tile(tg_shown *shown, const tg_shown_tile *tile);
void tg_show_conversion(tg_shown *shown, const char *what, const tg_conversion *c); // once, however often it is made
const char *tg_shown_text(const tg_shown *shown, const char *title, size_t *size);
const char *tg_shown_svg(const tg_shown *shown, const char *title, size_t *size);

#endif
