// Layouts as text and as a drawing. See layout_show.h.
#include "codegen/layout_show.h"

void tg_show_launch(tg_shown *s, const char *name, int warps, int lanes) {
  s->launch = tg_arena_grow(s->arena, s->launch, (size_t)s->nlaunches, sizeof *s->launch);
  s->launch[s->nlaunches++] = (tg_shown_launch){.name = tg_arena_strdup(s->arena, name), .warps = warps, .lanes = lanes};
}

void tg_show_tile(tg_shown *s, const tg_shown_tile *tile) {
  tg_shown_launch *l = &s->launch[s->nlaunches - 1];
  l->tile = tg_arena_grow(s->arena, l->tile, (size_t)l->ntiles, sizeof *l->tile);
  l->tile[l->ntiles] = *tile;
  l->tile[l->ntiles++].what = tg_arena_strdup(s->arena, tile->what);
}

void tg_show_conversion(tg_shown *s, const char *what, const tg_conversion *c) {
  tg_shown_launch *l = &s->launch[s->nlaunches - 1];
  const char *text = tg_arena_printf(s->arena, "%s\n    from %s\n    to   %s\n    %s", what, tg_layout_text(s->arena, &c->from),
                                     tg_layout_text(s->arena, &c->to), tg_conversion_text(s->arena, c));
  for (int i = 0; i < l->nconversions; i++)
    if (!strcmp(l->conversion[i], text)) return;
  l->conversion = tg_arena_grow(s->arena, l->conversion, (size_t)l->nconversions, sizeof *l->conversion);
  l->conversion[l->nconversions++] = text;
}

// ---- corners: who holds each element of the last two axes, where the others are 0

enum { NOBODY = -1, MOST_CELLS = 64 };

typedef struct corner {
  int rows, columns, of_rows, of_columns;
  int warp[MOST_CELLS][MOST_CELLS], lane[MOST_CELLS][MOST_CELLS], reg[MOST_CELLS][MOST_CELLS];
  int holders; // places that hold each element
} corner;

static int extent(const tg_layout *l, int from_last) { return from_last <= l->rank ? 1 << l->out[l->rank - from_last] : 1; }

static int smaller(int a, int b) { return a < b ? a : b; }

static void find_corner(corner *c, const tg_layout *l, int rows, int columns) {
  c->of_rows = extent(l, 2), c->of_columns = extent(l, 1);
  c->rows = smaller(rows, c->of_rows), c->columns = smaller(columns, c->of_columns);
  c->holders = 1 << (l->map.nin - tg_map_rank(&l->map));
  for (int i = 0; i < c->rows; i++)
    for (int j = 0; j < c->columns; j++) c->warp[i][j] = NOBODY;
  for (uint32_t place = 0, n = 1u << l->map.nin; place < n; place++) { // registers first, so that the first warp and lane are shown
    uint32_t packed = tg_map_apply(&l->map, place), row = packed / (uint32_t)c->of_columns, column = packed % (uint32_t)c->of_columns;
    if (row >= (uint32_t)c->rows || column >= (uint32_t)c->columns || c->warp[row][column] != NOBODY) continue;
    c->reg[row][column] = (int)(place & ((1u << l->in[TG_REGISTER]) - 1));
    c->lane[row][column] = (int)(place >> l->in[TG_REGISTER] & ((1u << l->in[TG_LANE]) - 1));
    c->warp[row][column] = (int)(place >> (l->in[TG_REGISTER] + l->in[TG_LANE]));
  }
}

// Number of the first tile of the launch with the same layout.
static int same_as(const tg_shown_launch *l, int tile) {
  int i = 0;
  while (!tg_layout_equal(&l->tile[i].layout, &l->tile[tile].layout)) i++;
  return i;
}

// ---- text

static void add_corner(tg_text *t, const tg_layout *l) {
  corner *c = tg_arena_alloc(t->arena, sizeof *c);
  find_corner(c, l, 8, 8);
  tg_text_add(t, "    warp.lane.register of the first %d x %d of %d x %d elements", c->rows, c->columns, c->of_rows, c->of_columns);
  if (tg_layout_repetitions(l) > 1) tg_text_add(t, ", the first of %d repetitions", tg_layout_repetitions(l));
  tg_text_add(t, c->holders > 1 ? "; each is held %d times, the first is shown\n" : "\n", c->holders);
  for (int i = 0; i < c->rows; i++) {
    for (int j = 0; j < c->columns; j++) tg_text_add(t, "%s%d.%02d.%03d", j ? " " : "      ", c->warp[i][j], c->lane[i][j], c->reg[i][j]);
    tg_text_add(t, "\n");
  }
}

// 32 banks of 4 bytes are eight groups of 16.
static void add_banks(tg_text *t, const tg_shown_tile *tile) {
  enum { UNIT = 16, GROUPS = 8, ROWS = 8, UNITS = 16 };
  int columns = extent(&tile->layout, 1), rows = smaller(extent(&tile->layout, 2), ROWS), unit = UNIT / tile->element_bytes;
  tg_text_add(t, "    places %s; of the first %d rows, units of %d bytes by which eighth of the banks they lie in\n",
              tg_map_text(t->arena, &tile->at), rows, UNIT);
  for (int i = 0; i < rows; i++) {
    tg_text_add(t, "    ");
    for (int j = 0; j * unit < columns && j < UNITS; j++) {
      uint32_t element = tg_map_apply(&tile->at, (uint32_t)(i * columns + j * unit));
      tg_text_add(t, " %u", element * (uint32_t)tile->element_bytes / UNIT % GROUPS);
    }
    tg_text_add(t, "\n");
  }
}

static void add_launch(tg_text *t, const tg_shown_launch *l) {
  tg_text_add(t, "\nlaunch %s: %d warps of %d lanes\n", l->name, l->warps, l->lanes);
  for (int i = 0; i < l->ntiles; i++) {
    const tg_shown_tile *tile = &l->tile[i];
    int first = same_as(l, i);
    tg_text_add(t, "\n  %d. %s%s\n    %s", i + 1, tile->what, tile->bytes ? ", in shared memory" : "",
                tg_layout_text(t->arena, &tile->layout));
    if (first < i) tg_text_add(t, ", as %d", first + 1);
    tg_text_add(t, "\n");
    if (tile->bytes) tg_text_add(t, "    %lld bytes, brought by these lanes\n", (long long)tile->bytes);
    if (first == i) add_corner(t, &tile->layout);
    if (tile->bytes) add_banks(t, tile);
  }
  tg_text_add(t, "\n  conversions%s\n", l->nconversions ? "" : ": none");
  for (int i = 0; i < l->nconversions; i++) tg_text_add(t, "  - %s\n", l->conversion[i]);
}

const char *tg_shown_text(const tg_shown *s, const char *title, size_t *size) {
  tg_text t = {.arena = s->arena};
  tg_text_add(&t, "%s\n", title);
  for (int i = 0; i < s->nlaunches; i++) add_launch(&t, &s->launch[i]);
  *size = t.size;
  return t.data;
}

// ---- drawing

enum { CELL_WIDTH = 34, CELL_HEIGHT = 16, MARGIN = 16, LINE = 18, CORNER = 32, WIDEST = 2 * MARGIN + CORNER * CELL_WIDTH };

static void add_escaped(tg_text *t, const char *text) {
  for (; *text; text++) {
    const char *name = *text == '<' ? "&lt;" : *text == '>' ? "&gt;" : *text == '&' ? "&amp;" : NULL;
    name ? tg_text_add(t, "%s", name) : tg_text_append(t, text, 1);
  }
}

static void add_line(tg_text *t, int y, const char *style, const char *text) {
  tg_text_add(t, "<text x=\"%d\" y=\"%d\" class=\"%s\">", MARGIN, y, style);
  add_escaped(t, text);
  tg_text_add(t, "</text>\n");
}

// #rrggbb of a warp's hue, lanes from light to dark. Not every reader of SVG knows hsl(): this is its formula (CSS Color 4, hslToRgb).
static const char *colour(tg_arena *arena, int warp, int warps, int lane) {
  enum { SATURATION = 65, PALEST = 92 };
  int lightness = PALEST - lane, channel[3];
  for (int i = 0; i < 3; i++) {
    int k = ((i == 0 ? 0 : i == 1 ? 240 : 120) + warp * 360 / warps) % 360; // in degrees, thirty of them a unit of the formula
    int slope = smaller(k - 90, 270 - k) < 30 ? smaller(k - 90, 270 - k) : 30;
    int most = SATURATION * smaller(lightness, 100 - lightness) / 100;
    channel[i] = (lightness - most * (slope < -30 ? -30 : slope) / 30) * 255 / 100;
  }
  return tg_arena_printf(arena, "#%02x%02x%02x", channel[0], channel[1], channel[2]);
}

static void add_cell(tg_text *t, int x, int y, int warps, int warp, int lane, int reg) {
  tg_text_add(t, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"%s\"/>", x, y, CELL_WIDTH, CELL_HEIGHT,
              colour(t->arena, warp, warps, lane));
  tg_text_add(t, "<text x=\"%d\" y=\"%d\" class=\"cell\">%d:%d</text>\n", x + CELL_WIDTH / 2, y + CELL_HEIGHT - 5, lane, reg);
}

static int draw_tile(tg_text *t, int y, const tg_shown_launch *l, const tg_shown_tile *tile) {
  corner *c = tg_arena_alloc(t->arena, sizeof *c);
  find_corner(c, &tile->layout, CORNER, CORNER);
  add_line(t, y += LINE, "name", tg_arena_printf(t->arena, "%s%s", tile->what, tile->bytes ? ", brought to shared memory" : ""));
  add_line(t, y += LINE, "note",
           tg_arena_printf(t->arena, "%s; the first %d x %d of %d x %d%s", tg_layout_text(t->arena, &tile->layout), c->rows, c->columns,
                           c->of_rows, c->of_columns, c->holders > 1 ? ", replicas not shown" : ""));
  y += LINE / 2;
  for (int i = 0; i < c->rows; i++, y += CELL_HEIGHT)
    for (int j = 0; j < c->columns; j++) add_cell(t, MARGIN + j * CELL_WIDTH, y, l->warps, c->warp[i][j], c->lane[i][j], c->reg[i][j]);
  return y;
}

static int draw_launch(tg_text *t, int y, const tg_shown_launch *l) {
  y += LINE;
  add_line(t, y += LINE, "name", tg_arena_printf(t->arena, "launch %s; cells say lane:register, warps by colour:", l->name));
  y += LINE / 2;
  for (int w = 0; w < l->warps; w++) {
    int x = MARGIN + w * 3 * CELL_WIDTH;
    tg_text_add(t, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"%s\"/>", x, y, CELL_WIDTH, CELL_HEIGHT,
                colour(t->arena, w, l->warps, 16));
    tg_text_add(t, "<text x=\"%d\" y=\"%d\" class=\"note\">warp %d</text>\n", x + CELL_WIDTH + 4, y + CELL_HEIGHT - 4, w);
  }
  y += CELL_HEIGHT;
  for (int i = 0; i < l->ntiles; i++)
    if (same_as(l, i) == i) y = draw_tile(t, y + LINE / 2, l, &l->tile[i]);
  return y;
}

const char *tg_shown_svg(const tg_shown *s, const char *title, size_t *size) {
  tg_text body = {.arena = s->arena}, t = {.arena = s->arena};
  int y = MARGIN;
  add_line(&body, y += LINE, "title", title);
  for (int i = 0; i < s->nlaunches; i++) y = draw_launch(&body, y, &s->launch[i]);
  y += MARGIN;
  tg_text_add(&t, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\">\n", WIDEST, y, WIDEST, y);
  tg_text_add(&t, "<style>text{font-family:monospace;font-size:11px}.title{font-size:16px;font-weight:bold}.name{font-weight:bold}"
                  ".cell{font-size:9px;text-anchor:middle}rect{stroke:#fff;stroke-width:1}</style>\n");
  tg_text_add(&t, "<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n", WIDEST, y);
  tg_text_append(&t, body.data, body.size);
  tg_text_add(&t, "</svg>\n");
  *size = t.size;
  return t.data;
}
