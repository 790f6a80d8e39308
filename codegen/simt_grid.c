// Which block of the grid a block of the launch is: the order in which they are begun decides what those that run together share in L2.
#include "codegen/simt.h"

enum { RASTERS = SIMT_RASTERS };
static const int64_t rasters[RASTERS] = {1, 2, 4, 8, 16};
const char *const simt_raster_values[RASTERS] = {"1", "2", "4", "8", "16"};

static void find_dot(tg_op *op, void *user) { *(bool *)user |= op->code == TG_OP_DOT || op->code == TG_OP_DOT_SCALED; }

static bool has_raster(const tg_launch *launch) {
  bool dot = false;
  if (launch->naxes > 1) tg_walk(launch->body, find_dot, &dot);
  return dot;
}

static const tg_launch *first_with_raster(const tg_kernel *tile) {
  for (int i = 0; i < tile->nlaunches; i++)
    if (has_raster(tile->launches[i])) return tile->launches[i];
  return NULL;
}

bool simt_has_raster(const tg_kernel *tile) { return first_with_raster(tile) != NULL; }

static int64_t ceildiv(int64_t x, int64_t y) { return (x + y - 1) / y; }
static int64_t least(int64_t x, int64_t y) { return x < y ? x : y; }

// Rows and columns of operands that as many blocks as there are multiprocessors use, begun in this order.
static int64_t operands_used(int64_t raster, int64_t sms, int64_t rows, int64_t columns) {
  const int64_t group = least(raster == 1 ? rows : least(raster, rows), sms), all = least(ceildiv(sms, columns), rows);
  return (group > all ? group : all) + least(ceildiv(sms, group), columns); // all: of several groups, where a group has few blocks
}

static int64_t default_raster(const tg_launch *launch, const tg_machine *machine) {
  const tg_expr *rows = launch->grid[0], *columns = launch->grid[1];
  const int64_t sms = (int64_t)machine->sms, p = rows->value, q = columns->value;
  int64_t best = 1;
  if (sms < 1 || rows->op != TG_EXPR_CONST || columns->op != TG_EXPR_CONST || p < 1 || q < 1) return best;
  for (int i = 1; i < RASTERS; i++)
    if (operands_used(rasters[i], sms, p, q) < operands_used(best, sms, p, q)) best = rasters[i];
  return best;
}

bool simt_raster_knob(const tg_kernel *tile, const tg_machine *machine, tg_knob *out) {
  const tg_launch *launch = first_with_raster(tile);
  if (!launch) return false;
  *out = (tg_knob){.name = "raster",
                   .doc = "blocks along axis 0 that are walked, along all of axis 1, before the next; 1: all of axis 0",
                   .keeps_room = true};
  out->values[out->nvalues++] = default_raster(launch, machine);
  for (int i = 0; i < RASTERS; i++)
    if (rasters[i] != out->values[0]) out->values[out->nvalues++] = rasters[i];
  return true;
}

int simt_raster_setting(const tg_kernel *tile, const tg_lower_options *options) {
  const tg_launch *launch = first_with_raster(tile);
  return (int)simt_choice(tile, options, "raster", RASTERS, rasters, launch ? default_raster(launch, options->machine) : rasters[0]);
}

// Blocks of an axis, or clusters of the one that these lie along.
static const tg_expr *places(simt *s, int axis) {
  const tg_expr *n = s->launch->grid[axis];
  return s->cluster > 1 && axis == s->cluster_axis ? tg_e_bin(s->arena, TG_EXPR_CEILDIV, n, tg_e_const(s->arena, s->cluster)) : n;
}

const tg_expr *simt_all_blocks(simt *s) {
  const tg_expr *n = tg_e_const(s->arena, s->cluster);
  for (int i = 0; i < s->launch->naxes; i++)
    n = i || s->cluster > 1 ? tg_e_bin(s->arena, TG_EXPR_MUL, n, tg_e_copy(s->arena, places(s, i))) : tg_e_copy(s->arena, places(s, i));
  return n;
}

static tg_value *extent(simt *s, int axis) { return tg_cast_to(&s->prologue, simt_argument(s, places(s, axis)), TG_I32, NULL); }

// Where coordinates are computed: once for the launch, unless a block computes several of the grid's.
static tg_builder *place(simt *s) { return s->block ? &s->b : &s->prologue; }

// The linear number of a block, axis 0 fastest, taken apart. A grid has less than 2^31 blocks, so 32 bits will do.
static tg_value *in_order(simt *s, tg_value *x, int axis) {
  for (int i = 0; i <= axis && i < s->launch->naxes - 1; i++) x = tg_build2(place(s), i == axis ? TG_OP_REM : TG_OP_DIV, x, extent(s, i));
  return x;
}

// What is never negative, so that dividing by it takes no look at signs.
static tg_value *counted(simt *s, tg_value *x) { return tg_build2(place(s), TG_OP_AND, x, simt_int(s, TG_I32, INT32_MAX)); }

// Axis 0 and 1 in groups of `raster` rows, of which the last may have fewer. A group has no more rows than there are, so that its blocks
// are no more than the grid's.
static tg_value *in_groups(simt *s, tg_value *x, int axis) {
  tg_builder *b = place(s);
  tg_value *rows = extent(s, 0), *columns = extent(s, 1);
  if (s->launch->naxes > 2) x = tg_build2(b, TG_OP_REM, x, counted(s, simt_mul(b, rows, columns)));
  const int group = s->cluster > 1 && s->cluster_axis == 0 ? s->raster / s->cluster : s->raster; // of whole clusters
  tg_value *most = tg_build2(b, TG_OP_MIN, rows, simt_int(s, TG_I32, group ? group : 1));
  tg_value *blocks = counted(s, simt_mul(b, most, columns));
  tg_value *first = simt_mul(b, tg_build2(b, TG_OP_DIV, x, blocks), most);
  tg_value *high = counted(s, tg_build2(b, TG_OP_MIN, tg_build2(b, TG_OP_SUB, rows, first), most));
  x = tg_build2(b, TG_OP_REM, x, blocks);
  return axis == 1 ? tg_build2(b, TG_OP_DIV, x, high) : simt_add(b, first, tg_build2(b, TG_OP_REM, x, high));
}

void simt_pid(simt *s, const tg_op *op) {
  const int axis = (int)tg_attr_int(op, "axis", 0);
  tg_value *x = s->block ? s->block : tg_build0(&s->prologue, TG_OP_CTAID, 1, &TG_AINT("axis", 0));
  if (s->launch->naxes > 1 || s->cluster > 1) {
    tg_builder *b = place(s);
    tg_value *size = simt_int(s, TG_I32, __builtin_ctz((unsigned)s->cluster));
    x = tg_cast_to(b, x, TG_I32, NULL);
    if (s->cluster > 1) x = tg_build2(b, TG_OP_SHR, x, size);
    x = s->raster > 1 && axis < 2 && has_raster(s->launch) ? in_groups(s, x, axis) : in_order(s, x, axis);
    if (s->cluster > 1 && axis == s->cluster_axis) x = tg_build2(b, TG_OP_OR, tg_build2(b, TG_OP_SHL, x, size), simt_cluster_rank(s));
  }
  x = tg_cast_to(place(s), x, TG_I64, NULL);
  simt_note_of(s, op->out[0])->scalar = x;
}
