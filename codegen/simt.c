// The simt lowering: a block of the tile kernel becomes a block of warps. Walks the ops; the other simt_*.c files know how tiles are held.
#include "codegen/simt_control.h"
#include "codegen/simt_pipe.h"

#include <stdlib.h>

#include "codegen/math.h"

enum { LANE_BITS = 5 };

void simt_fail(simt *s, const tg_op *op, const char *format, ...) {
  char text[1024];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  const char *where = op && op->loc.file ? tg_arena_printf(s->arena, "%s:%d: ", op->loc.file, op->loc.line) : "";
  tg_throw(s->ctx, TG_INVALID, "%sin kernel '%s': on %s: %s", where, s->tile->name,
           s->machine->target ? s->machine->target : s->machine->name, text);
}

// ---- single ops -------------------------------------------------------------------------------------------------------------------

tg_value *simt_lane_op(simt *s, const tg_op *op, tg_value *const *in) {
  tg_value *v = op->nin == 1 && tg_dtypes[in[0]->type.dtype].cls == 'f' ? tg_math_expand_by_ex2(&s->b, op->code, in[0]) : NULL;
  return v ? v : tg_build(&s->b, op->code, op->nin, in, op->nattrs, op->attrs)->out[0];
}

// Machines round two floats to 16 bits at once.
static bool narrows_in_pairs(const tg_op *op) {
  int to = op->out[0]->type.dtype;
  return op->code == TG_OP_CAST && op->in[0]->type.dtype == TG_F32 && (to == TG_BF16 || to == TG_F16);
}

static void lower_elementwise(simt *s, tg_op *op) {
  const tg_value *out = op->out[0];
  tg_value *in[4];
  if (out->type.rank == 0) {
    for (int i = 0; i < op->nin; i++) in[i] = simt_scalar(s, op->in[i]);
    simt_note_of(s, out)->scalar = simt_lane_op(s, op, in);
    return;
  }
  simt_note_of(s, out)->tiles = NULL;
  tg_layout layout = simt_plan_of(s, out);
  simt_tile *x[4], *t = simt_new_tile(s, &layout);
  for (int i = 0; i < op->nin; i++) x[i] = simt_get(s, op->in[i], &layout);
  tg_value *known = simt_compare_known(s, op);
  int n = tg_layout_registers(&layout), step = n % 2 == 0 && narrows_in_pairs(op) ? 2 : 1;
  for (int r = 0; r < n; r += step) {
    if (known) {
      t->reg[r] = known;
      continue;
    }
    for (int i = 0; i < op->nin; i++) in[i] = simt_pack(s, &x[i]->reg[r], step);
    simt_unpack(s, simt_lane_op(s, op, in), &t->reg[r], step);
  }
  simt_set(s, out, t);
}

static tg_value *only_element(simt *s, const tg_value *v) {
  if (v->type.rank == 0) return simt_scalar(s, v);
  tg_layout all = tg_layout_blocked(v->type.rank, v->type.dim, 1, s->lane_bits, s->warp_bits);
  return simt_get(s, v, &all)->reg[0];
}

static void lower_assume(simt *s, const tg_op *op) {
  const tg_value *x = op->in[0];
  if (x->type.rank == 0) {
    simt_note_of(s, op->out[0])->scalar = simt_scalar(s, x);
    return;
  }
  tg_layout layout = simt_plan_of(s, x);
  simt_tile *t = simt_new_tile(s, &layout);
  t->reg = simt_get(s, x, &layout)->reg;
  simt_set(s, op->out[0], t);
}

// The layout of a tile with one more axis of extent 2 at the end, whose halves are neighbouring registers of what is held in `half`.
static tg_layout joined_layout(const tg_layout *half, tg_type type) {
  tg_layout out = tg_layout_empty(type.rank, type.dim);
  tg_layout_add_image(&out, TG_REGISTER, 1);
  for (int h = 0; h < TG_NHOLDERS; h++)
    for (int b = 0; b < half->in[h]; b++) tg_layout_add_image(&out, (tg_holder)h, tg_layout_image(half, (tg_holder)h, b) << 1);
  return out;
}

static void lower_join(simt *s, const tg_op *op) {
  tg_layout half = simt_plan_of(s, op->in[0]);
  half = tg_layout_compact(&half);
  tg_layout whole = joined_layout(&half, op->out[0]->type);
  simt_tile *t = simt_new_tile(s, &whole);
  for (int k = 0; k < 2; k++) {
    simt_tile *x = simt_get(s, op->in[k], &half);
    for (int i = 0, n = tg_layout_registers(&half); i < n; i++) t->reg[2 * i + k] = x->reg[i];
  }
  simt_set(s, op->out[0], t);
}

static void lower_split(simt *s, const tg_op *op) {
  tg_layout half = simt_plan_of(s, op->out[0]);
  half = tg_layout_compact(&half);
  tg_layout whole = joined_layout(&half, op->in[0]->type);
  simt_tile *x = simt_get(s, op->in[0], &whole);
  for (int k = 0; k < 2; k++) {
    simt_tile *t = simt_new_tile(s, &half);
    for (int i = 0, n = tg_layout_registers(&half); i < n; i++) t->reg[i] = x->reg[2 * i + k];
    if (op->out[k]->type.rank) simt_set(s, op->out[k], t);
    else simt_note_of(s, op->out[k])->scalar = t->reg[0];
  }
}

// Each thread stops the launch for what it holds.
static void lower_assert(simt *s, const tg_op *op) {
  const tg_value *x = op->in[0];
  tg_value *all = NULL;
  if (x->type.rank == 0) {
    all = simt_scalar(s, x);
  } else {
    tg_layout layout = simt_plan_of(s, x);
    simt_tile *t = simt_get(s, x, &layout);
    for (int i = 0, n = tg_layout_registers(&layout); i < n; i++) all = simt_and(&s->b, all, t->reg[i]);
  }
  const char *text = tg_arena_printf(s->arena, "%s%s", tg_loc_text(s->arena, op->loc), tg_attr_str(op, "text", ""));
  tg_build(&s->b, TG_OP_TRAP, 1, &all, 1, &TG_ASTR("text", text));
}

static void lower_op(simt *s, tg_op *op) {
  const tg_value *out = op->nout == 1 ? op->out[0] : NULL;
  if (out && out->type.kind == TG_TILE) simt_note_of(s, out)->tiles = NULL; // of an earlier lowering of the same region
  s->b.loc = s->prologue.loc = op->loc;
  if (tg_op_rows()[op->code].traits & TG_ELEMENTWISE) {
    lower_elementwise(s, op);
    return;
  }
  switch (op->code) {
  case TG_OP_CONST:
  case TG_OP_EXPR:
  case TG_OP_SCALAR:
  case TG_OP_PARAM:
  case TG_OP_RANGE: break; // made where they are used
  case TG_OP_VIEW: simt_check_view(s, op); break;
  case TG_OP_PID: simt_pid(s, op); break;
  case TG_OP_FIRST:
  case TG_OP_LAST:
    if (!op->in[0]->def) simt_fail(s, op, "a range that is carried by a loop or branch is not supported");
    simt_note_of(s, out)->scalar = simt_scalar(s, op->in[0]->def->in[op->code == TG_OP_LAST]);
    break;
  case TG_OP_RESHAPE:
  case TG_OP_TRANSPOSE:
  case TG_OP_BROADCAST: simt_note_of(s, out)->scalar = only_element(s, op->in[0]); break; // results of rank 0
  case TG_OP_ASSUME: lower_assume(s, op); break;
  case TG_OP_LOAD:
  case TG_OP_GATHER: simt_load(s, op); break;
  case TG_OP_STORE:
  case TG_OP_SCATTER:
    if (s->block_full) simt_split_store(s, op);
    else simt_store(s, op);
    break;
  case TG_OP_ATOMIC: simt_atomic(s, op); break;
  case TG_OP_REDUCE: simt_reduce(s, op); break;
  case TG_OP_ARGMAX: simt_argmax(s, op); break;
  case TG_OP_SCAN: simt_scan(s, op); break;
  case TG_OP_SORT: simt_sort(s, op); break;
  case TG_OP_JOIN: lower_join(s, op); break;
  case TG_OP_SPLIT: lower_split(s, op); break;
  case TG_OP_ASSERT: lower_assert(s, op); break;
  case TG_OP_DOT: simt_dot(s, op); break;
  case TG_OP_FOR: simt_for(s, op); break;
  case TG_OP_IF: simt_if(s, op); break;
  case TG_OP_WHILE: simt_while(s, op); break;
  default: simt_fail(s, op, "'%s' is not supported; all other ops but print are", tg_op_rows()[op->code].info.name);
  }
}

void simt_op(simt *s, tg_op *op) {
  const tg_value *out = op->nout == 1 ? op->out[0] : NULL;
  if (s->producing && !simt_is_followed(s, op)) return;
  if (out && (simt_note_of(s, out)->hoisted || simt_is_lazy(out) || simt_note_of(s, out)->box || simt_bring(s, op))) return;
  lower_op(s, op);
  if (out && simt_note_of(s, out)->kept) simt_keep(s, out);
}

void simt_region(simt *s, const tg_region *region) {
  int64_t top = s->shared_top;
  for (tg_op *op = region->first; op && op->code != TG_OP_YIELD; op = op->next) simt_op(s, op);
  simt_free_shared(s, top);
}

// ---- launches ----------------------------------------------------------------------------------------------------------------------

static bool is_scalar_op(const tg_op *op) {
  if (op->nout != 1 || op->nregions || !(tg_op_rows()[op->code].traits & TG_PURE)) return false;
  return op->out[0]->type.kind == TG_TILE && op->out[0]->type.rank == 0;
}

static bool scalar_operands(simt *s, const tg_op *op) {
  for (int i = 0; i < op->nin; i++) {
    const tg_value *v = op->in[i];
    if (v->type.kind == TG_RANGE) continue;
    if (!simt_has_scalar(s, v)) return false;
  }
  return true;
}

// Scalars that depend on nothing but the block's coordinates and the launch, ahead of everything else.
static void hoist_scalars(simt *s) {
  for (tg_op *op = s->launch->body->first; op; op = op->next) // what others have computed elsewhere
    for (int i = 0; i < op->nout; i++) simt_note_of(s, op->out[i])->scalar = NULL, simt_note_of(s, op->out[i])->hoisted = false;
  for (tg_op *op = s->launch->body->first; op; op = op->next) {
    if (!is_scalar_op(op) || !scalar_operands(s, op)) continue;
    simt_op(s, op);
    simt_note_of(s, op->out[0])->hoisted = true;
  }
}

// Ranges of the block itself that may stick out, with the condition that none does; NULL when there are none.
static tg_value *block_is_full(simt *s, simt_trip_ranges *t) {
  tg_value *full = NULL;
  for (tg_op *op = s->launch->body->first; op && t->n < 32; op = op->next) {
    if (op->code != TG_OP_RANGE || simt_range_is_full(s, op)) continue;
    bool ready = true;
    for (int i = 0; i < 2; i++) ready &= simt_has_scalar(s, op->in[i]);
    if (!ready) continue;
    tg_value *last = simt_add(&s->b, simt_scalar(s, op->in[0]), simt_int(s, TG_I64, tg_attr_int(op, "len", 0)));
    full = simt_and(&s->b, full, tg_build2(&s->b, TG_OP_LE, last, simt_scalar(s, op->in[1])));
    t->at[t->n++] = s->full[s->nfull++] = op->out[0]; // so that its equals are not tested again
  }
  s->nfull = 0;
  return full;
}

void simt_begin_block(simt *s) {
  simt_trip_ranges t = {.s = s};
  hoist_scalars(s);
  s->block_full = block_is_full(s, &t);
  s->nblock_ranges = t.n;
  memcpy(s->block_range, t.at, sizeof t.at);
}

// Launches whose only accesses are rings' and stores: a ring's trips without masks are then full blocks' alone, the others everybody's, and
// only stores are made twice.
static bool takes_one_way(simt *s) {
  int rings = 0;
  for (const tg_op *op = s->launch->body->first; op; op = op->next) {
    const bool ring = op->code == TG_OP_FOR && simt_has_ring(s, op);
    if ((op->nregions && !ring) || op->code == TG_OP_LOAD || op->code == TG_OP_GATHER || op->code == TG_OP_ATOMIC) return false;
    rings += ring;
  }
  return rings > 0;
}

static void lower_block(simt *s) {
  simt_begin_block(s);
  tg_value *full = s->block_full;
  if (full && takes_one_way(s)) {
    s->split = true;
    simt_region(s, s->launch->body);
    s->block_full = NULL;
    return;
  }
  s->block_full = NULL; // it is split as a whole
  s->split = true;
  if (!full) {
    simt_region(s, s->launch->body);
    return;
  }
  tg_op *branch = tg_build_typed(&s->b, TG_OP_IF, 1, &full, 0, NULL, 0, NULL);
  tg_builder outer = s->b;
  for (int r = 0; r < 2; r++) { // the full path, then the edge path, which masks every trip
    s->b.region = tg_add_region(&outer, branch, r, 0, NULL);
    s->b.before = NULL;
    s->split = r == 0;
    s->nfull = r == 0 ? s->nblock_ranges : 0;
    s->ntouches = 0;
    memcpy(s->full, s->block_range, sizeof s->block_range);
    simt_region(s, s->launch->body);
    tg_build_yield(&s->b, 0, NULL);
  }
  s->b = outer;
}

static void show_tiles(tg_op *op, void *user) {
  simt *s = user;
  for (int i = 0; i < op->nout; i++) {
    const tg_value *v = op->out[i];
    const simt_stage *g = simt_note_of(s, v)->stage;
    if (v->type.kind != TG_TILE || v->type.rank == 0 || simt_is_lazy(v)) continue;
    tg_shown_tile tile = {.what = tg_arena_printf(s->arena, "%s%s %s", tg_loc_text(s->arena, op->loc), tg_op_rows()[op->code].info.name,
                                                  tg_type_text(s->arena, v->type)),
                          .layout = g ? g->held : simt_plan_of(s, v)};
    if (g) tile.bytes = g->bytes, tile.at = g->at, tile.element_bytes = tg_dtypes[g->type.dtype].bits / 8;
    tg_show_tile(s->shown, &tile);
  }
}

static void lower_launch(simt *s, tg_launch *launch) {
  s->launch = launch;
  tg_launch *out = s->out = tg_add_launch(s->lane, 1, (const tg_expr *[]){tg_e_const(s->arena, 1)});
  out->entry = tg_arena_printf(s->arena, "%s_%d", s->tile->name, launch->index);
  out->block[0] = s->warps << s->lane_bits;
  out->block[1] = out->block[2] = 1;
  out->loc = tg_keep_loc(s->lane, launch->loc);
  s->scratch = NULL;
  s->shared_top = s->multiplications = 0;
  s->quiet = (simt_quiet){0};
  s->nfull = 0;
  s->ntouches = 0;
  simt_check_room(s, launch);
  simt_plan(s, launch);
  if (s->pipes) out->block[0] += 128; // a warp group that asks for operands
  out->grid[0] = simt_grid(s);
  // A constant at the top marks where the prologue ends.
  s->b = (tg_builder){.kernel = s->lane, .region = out->body, .loc = launch->loc};
  s->prologue = s->b;
  s->prologue.before = tg_const_int(&s->b, tg_scalar_type(TG_I64), 0)->def;
  simt_pointer_arguments(s);
  tg_value *tid = tg_build0(&s->prologue, TG_OP_TID, 1, &TG_AINT("axis", 0));
  s->lane_id = s->warps == 1 ? tid : tg_build2(&s->prologue, TG_OP_AND, tid, simt_int(s, TG_I32, (1 << s->lane_bits) - 1));
  s->warp_id = s->warps == 1 ? simt_int(s, TG_I32, 0) : tg_build2(&s->prologue, TG_OP_SHR, tid, simt_int(s, TG_I32, s->lane_bits));
  if (s->shown) tg_show_launch(s->shown, out->entry, s->warps, 1 << s->lane_bits);
  if (s->pipes) simt_specialise(s);
  else simt_each_block(s, lower_block);
  if (s->shown) tg_walk(launch->body, show_tiles, s);
}

// ---- the lowering -------------------------------------------------------------------------------------------------------------------

static int log2_exact(int64_t n) { return n > 0 && (n & (n - 1)) == 0 ? __builtin_ctzll((unsigned long long)n) : -1; }

typedef struct need { // what the tiles of a kernel ask for
  const tg_machine *machine;
  int warp_bits;
  int registers;
} need;

typedef struct uses {
  const tg_value *of;
  int n;
} uses;

static void count_uses(tg_op *op, void *user) {
  uses *u = user;
  for (int i = 0; i < op->nin; i++) u->n += op->in[i] == u->of;
}

// What threads hold between its uses: a load, or what it is widened to where that is used more than once.
static bool held(const tg_op *op) {
  if (op->code == TG_OP_LOAD) return true;
  if (op->code != TG_OP_CAST || !op->in[0]->def || op->in[0]->def->code != TG_OP_LOAD) return false;
  uses u = {.of = op->out[0]};
  tg_walk(op->parent, count_uses, &u);
  return u.n > 1;
}

static void add_need(tg_op *op, void *user) {
  need *n = user;
  if (op->code == TG_OP_DOT && op->in[0]->type.rank == 2) {
    int dot = simt_dot_registers(n->machine, op, n->warp_bits);
    if (!simt_dot_row(n->machine, op) && simt_fma_loops(op, n->warp_bits)) // its operands are held beside it, on their way to memory
      for (int i = 0; i < 2; i++) dot += (int)(tg_type_elements(op->in[i]->type) >> (LANE_BITS + n->warp_bits));
    n->registers = dot > n->registers ? dot : n->registers;
  }
  for (int i = 0; i < op->nout; i++) {
    const tg_type *t = &op->out[i]->type;
    if (t->rank == 0 || !held(op)) continue;
    int64_t each = tg_type_elements(*t) * tg_dtypes[t->dtype].bits / 32 >> (LANE_BITS + n->warp_bits);
    if (each > n->registers) n->registers = each > 4096 ? 4096 : (int)each;
  }
}

// The fewest warps whose threads hold the kernel's largest dot, or largest load, in half of their registers.
static int default_warp_bits(const tg_kernel *tile, const tg_machine *machine) {
  int groups = simt_wgmma_warps(machine, tile);
  if (groups) return log2_exact(groups);
  int half = machine->max_registers > 0 ? (int)machine->max_registers / 2 : 127;
  for (int bits = 0;; bits++) {
    need n = {.machine = machine, .warp_bits = bits};
    for (int i = 0; i < tile->nlaunches; i++) tg_walk(tile->launches[i]->body, add_need, &n);
    if (n.registers <= half || bits == simt_most_warp_bits(machine)) return bits;
  }
}

enum { MOST_STAGES = 8 };

// Slots by copies of threads cost them instructions, those of the copy unit only memory.
static int default_stages(const tg_machine *machine) { return machine->tensor_maps ? 4 : 3; }

typedef struct dots { // of a kernel, as far as somebody asks
  const tg_machine *machine;
  bool in_folds, stream; // some matrix instruction is in a fold; some dot needs only part of its operands at a time
} dots;

static void find_dot(tg_op *op, void *user) {
  dots *d = user;
  if (op->code != TG_OP_DOT) return;
  d->stream |= simt_dot_streams(d->machine, op);
  const int operands = op->in[0]->type.dtype;
  const bool groups = d->machine->warpgroup_mma && tg_wgmma_of(operands), memory = d->machine->tensor_memory > 0 && tg_tcgen05_of(operands);
  if (!groups && !memory && !simt_dot_row(d->machine, op)) return;
  for (const tg_region *r = op->parent; r->owner; r = r->owner->parent) d->in_folds |= r->owner->code == TG_OP_FOR;
}

static dots dots_of(const tg_machine *machine, const tg_kernel *tile) {
  dots d = {.machine = machine};
  for (int i = 0; i < tile->nlaunches; i++) tg_walk(tile->launches[i]->body, find_dot, &d);
  return d;
}

static int stages_setting(const tg_kernel *tile, const tg_lower_options *options) {
  for (int i = 0; i < options->settings.n; i++) {
    if (strcmp(options->settings.at[i].name, "stages")) continue;
    char *end;
    long n = strtol(options->settings.at[i].value, &end, 10);
    if (*end || n < 1 || n > MOST_STAGES)
      tg_throw(tile->ctx, TG_INVALID, "stages=%s: it can be 1 to %d", options->settings.at[i].value, MOST_STAGES);
    return (int)n;
  }
  return default_stages(options->machine);
}

static int warps_setting(const tg_kernel *tile, const tg_lower_options *options) {
  for (int i = 0; i < options->settings.n; i++) {
    if (strcmp(options->settings.at[i].name, "warps")) continue;
    char *end;
    long n = strtol(options->settings.at[i].value, &end, 10);
    if (*end || log2_exact(n) < 0 || log2_exact(n) > simt_most_warp_bits(options->machine))
      tg_throw(tile->ctx, TG_INVALID, "warps=%s: it can be a power of two up to %d here", options->settings.at[i].value,
               1 << simt_most_warp_bits(options->machine));
    return (int)n;
  }
  return 1 << default_warp_bits(tile, options->machine);
}

static int simt_variants(const tg_kernel *tile, const tg_machine *machine) {
  (void)tile, (void)machine;
  return 2; // with vector accesses, which ask for alignment and divisible strides; and without
}

// The knobs in force belong to the launch record's config.
void simt_record_knob(simt *s, const char *name, int number, int n, const char *const *allowed) {
  const char *value = tg_arena_printf(s->arena, "%d", number);
  tg_setting setting = {.name = name, .kind = TG_TUNE, .value = value, .fallback = value, .nallowed = n, .allowed = allowed};
  if (tg_kernel_setting(s->lane, &setting, s->lane->loc) != TG_OK) tg_rethrow(s->ctx);
}

static void record_knobs(simt *s) {
  static const char *const warps[] = {"1", "2", "4", "8"}, *const stages[] = {"1", "2", "3", "4", "5", "6", "7", "8"};
  simt_record_knob(s, "warps", s->warps, 4, warps);
  if (dots_of(s->machine, s->tile).in_folds) simt_record_knob(s, "stages", s->stages, MOST_STAGES, stages);
  if (simt_has_raster(s->tile)) simt_record_knob(s, "raster", s->raster, SIMT_RASTERS, simt_raster_values);
  if (dots_of(s->machine, s->tile).in_folds) simt_record_split(s);
  if (s->may_specialise) simt_record_specialise(s);
  if (s->may_persist) simt_record_knob(s, "persistent", s->persistent, 2, simt_persistent_values);
  if (s->may_cluster) simt_record_cluster(s);
}

typedef struct call {
  tg_kernel *tile, *lane;
  const tg_lower_options *options;
  bool lean, overflowed, may_persist, persistent, may_cluster, may_specialise;
} call;

static void lower_all(void *arg) {
  call *c = arg;
  c->lane = tg_kernel_like(c->tile, TG_LEVEL_LANE);
  simt *s = TG_NEW(&c->lane->arena, simt);
  *s = (simt){.ctx = c->tile->ctx,
              .arena = &c->lane->arena,
              .machine = c->options->machine,
              .tile = c->tile,
              .lane = c->lane,
              .lean = c->lean,
              .overflowed = &c->overflowed,
              .shown = c->options->shown,
              .lane_bits = LANE_BITS};
  if (s->shown) s->shown->nlaunches = 0; // of an attempt before
  if (s->machine->warp > 0 && s->machine->warp != 1 << LANE_BITS)
    tg_throw(s->ctx, TG_INVALID, "machine %s: its warps have %.0f lanes; this lowering makes warps of %d", s->machine->name,
             s->machine->warp, 1 << LANE_BITS);
  s->warps = warps_setting(c->tile, c->options);
  s->warp_bits = log2_exact(s->warps);
  s->stages = stages_setting(c->tile, c->options);
  s->raster = simt_raster_setting(c->tile, c->options);
  s->warps_m = simt_split_setting(c->tile, c->options);
  s->by_threads = !simt_specialise_setting(c->tile, c->options);
  s->may_specialise = c->may_specialise;
  s->may_persist = c->may_persist, s->persistent = c->persistent;
  s->most_cluster = simt_cluster_setting(c->tile, c->options);
  s->may_cluster = c->may_cluster;
  s->assume = c->options->variant == 0;
  s->notes = TG_NEWN(s->arena, simt_note, c->tile->next_id + 1);
  for (int i = 0; i < c->tile->nlaunches; i++) lower_launch(s, c->tile->launches[i]);
  record_knobs(s);
  tg_run_passes(c->lane, "canonicalise,cse,licm,dce"); // what is the same on every trip is left to the last but one
  for (int i = 0; i < c->lane->nlaunches; i++) simt_relate_addresses(s, c->lane->launches[i]);
  for (int i = 0; i < c->tile->nlaunches; i++) {
    dots d = {.machine = s->machine};
    tg_walk(c->tile->launches[i]->body, find_dot, &d);
    if (d.stream) simt_sink_loads(s, c->lane->launches[i]);
  }
}

// A lowering that is only asked what it would do.
static simt asked(tg_kernel *tile, const tg_lower_options *options) {
  simt s = {.ctx = tile->ctx,
            .arena = &tile->arena,
            .machine = options->machine,
            .tile = tile,
            .warps = warps_setting(tile, options),
            .lane_bits = LANE_BITS,
            .stages = stages_setting(tile, options),
            .warps_m = simt_split_setting(tile, options),
            .by_threads = !simt_specialise_setting(tile, options),
            .assume = options->variant == 0};
  s.warp_bits = log2_exact(s.warps);
  return s;
}

// Warp groups multiply codes as they are.
static bool keeps_codes(const tg_kernel *tile, const tg_op *dot, void *user) {
  simt s = asked((tg_kernel *)(uintptr_t)tile, user);
  simt_wgmma w;
  return simt_pipe_fits(&s, dot, &w);
}

// Whether some product of the first variant has a pipe.
static bool has_pipe(const tg_kernel *tile, tg_lower_options options) {
  options.variant = 0;
  simt s = asked((tg_kernel *)(uintptr_t)tile, &options);
  return simt_may_pipe(&s);
}

static bool may_specialise(const tg_kernel *tile, const tg_machine *machine) {
  return has_pipe(tile, (tg_lower_options){.machine = machine});
}

// Only where it is known how many blocks run at once.
static bool may_persist(const tg_kernel *tile, tg_lower_options options) { return options.machine->sms >= 1 && has_pipe(tile, options); }

static bool persists(const tg_kernel *tile, const tg_lower_options *options) {
  return simt_persistent_setting(tile, options, may_persist(tile, *options));
}

typedef struct question {
  const tg_kernel *tile;
  tg_lower_options options;
  tg_kernel *plain;
} question;

static void ask_room(void *arg) {
  question *q = arg;
  q->plain = simt_prepare(q->options.machine, q->tile, keeps_codes, &q->options);
  simt s = asked(q->plain, &q->options);
  for (int i = 0; i < q->plain->nlaunches; i++) simt_check_room(&s, q->plain->launches[i]);
  persists(q->tile, &q->options);
}

// A call may need any variant. Without copy units all have the same tiles.
static bool simt_has_room(const tg_kernel *tile, const tg_lower_options *options) {
  bool room = true;
  for (int v = options->machine->tensor_maps ? 0 : 1; v < simt_variants(tile, options->machine) && room; v++) {
    question q = {.tile = tile, .options = *options};
    q.options.variant = v;
    room = tg_protect(tile->ctx, ask_room, &q) == TG_OK;
    if (q.plain) tg_kernel_free(q.plain);
  }
  return room;
}

// Of 1 to MOST_STAGES four are worth a trial.
static tg_knob stages_knob(const tg_machine *machine) {
  tg_knob knob = {.name = "stages",
                  .doc = "slots at most for operands of dots on their way through shared memory; 1: none, straight from memory",
                  .nvalues = 4,
                  .nmore = MOST_STAGES - 4,
                  .values = {default_stages(machine), 1, 2, machine->tensor_maps ? 6 : 4}};
  for (int v = 3, n = 4; v <= MOST_STAGES; v++)
    if (v != knob.values[0] && v != knob.values[3]) knob.values[n++] = v;
  return knob;
}

static int simt_knobs(const tg_kernel *tile, const tg_machine *machine, tg_knob *out, int max) {
  if (max < 1) return 0;
  *out = (tg_knob){.name = "warps", .doc = "warps of a block"};
  tg_kernel *plain = simt_prepare(machine, tile, NULL, NULL);
  int first = default_warp_bits(plain, machine);
  const bool rings = dots_of(machine, plain).in_folds;
  tg_kernel_free(plain);
  out->values[out->nvalues++] = 1 << first;
  for (int bits = 0; bits <= simt_most_warp_bits(machine); bits++)
    if (bits != first) out->values[out->nvalues++] = 1 << bits;
  int n = 1;
  if (rings && n < max) out[n++] = stages_knob(machine);
  if (n < max && simt_raster_knob(tile, machine, &out[n])) n++;
  if (n < max && rings) out[n++] = simt_split_knob(machine);
  // Of tiles without a pipe only the first value is offered: configs of one space all name the same knobs.
  const bool copies = rings && machine->tensor_maps;
  if (n < max && copies) {
    out[n] = simt_specialise_knob();
    if (!may_specialise(tile, machine)) out[n].nmore = 0;
    n++;
  }
  if (n < max && copies && machine->sms >= 1) {
    out[n] = simt_persistent_knob();
    if (!may_persist(tile, (tg_lower_options){.machine = machine})) out[n].nvalues = 1;
    n++;
  }
  if (n < max && copies && machine->warpgroup_mma && !(machine->tensor_memory > 0)) {
    out[n] = simt_cluster_knob();
    if (!simt_has_cluster(tile, machine)) out[n].nvalues = 1;
    n++;
  }
  return n;
}

static tg_kernel *simt_lower(tg_kernel *tile, const tg_lower_options *options) {
  call c = {.options = options,
            .may_persist = may_persist(tile, (tg_lower_options){.machine = options->machine}),
            .persistent = persists(tile, options),
            .may_cluster = simt_has_cluster(tile, options->machine),
            .may_specialise = may_specialise(tile, options->machine)};
  c.tile = simt_prepare(options->machine, tile, keeps_codes, (void *)(uintptr_t)options);
  tg_status status = tg_protect(tile->ctx, lower_all, &c);
  if (status != TG_OK && c.overflowed) {
    if (c.lane) tg_kernel_free(c.lane);
    c.lane = NULL, c.lean = true, c.overflowed = false;
    status = tg_protect(tile->ctx, lower_all, &c);
  }
  tg_kernel_free(c.tile);
  if (status == TG_OK) return c.lane;
  if (c.lane) tg_kernel_free(c.lane);
  tg_rethrow(tile->ctx);
}

const tg_lowering tg_lowering_simt = {
    .name = "simt", .lower = simt_lower, .knobs = simt_knobs, .variants = simt_variants, .has_room = simt_has_room, .has_layouts = true};
