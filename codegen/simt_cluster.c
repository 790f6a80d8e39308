// Clusters: neighbouring blocks along one axis of the grid, which run together. What a pipe brings that does not depend on that axis they
// share: each asks for its part of the box, which the copy unit writes to all of them, so that it comes out of L2 once.
#include "codegen/simt_pipe.h"

static const int64_t sizes[] = {1, 2, 4};
enum { SIZES = sizeof sizes / sizeof *sizes };
static const char *const texts[SIZES] = {"1", "2", "4"};

// ---- what depends on a block's place

enum { DEPTH = 12 };

static bool depends(const tg_value *v, int axis, int depth) {
  const tg_op *op = v->def;
  if (depth == 0) return true;
  if (!op) {
    const tg_op *owner = v->region->owner;
    if (!owner || owner->code != TG_OP_FOR || v->index) return true; // what is carried may come from anywhere
    return depends(owner->in[0], axis, depth - 1) || depends(owner->in[1], axis, depth - 1);
  }
  if (op->code == TG_OP_PID) return tg_attr_int(op, "axis", 0) == axis;
  if (op->nregions) return true;
  for (int i = 0; i < op->nin; i++)
    if (depends(op->in[i], axis, depth - 1)) return true;
  return false;
}

static bool is_shared(const simt_box *box, int axis, int blocks) {
  enum { ROWS = 8 }; // the pattern of a swizzle
  if (box->rows % (ROWS * blocks)) return false;
  for (int i = 1; i < box->load->nin; i++)
    if (depends(box->load->in[i], axis, DEPTH)) return false;
  return true;
}

// ---- blocks beyond the grid's end

typedef struct beyond {
  simt *s;
  int axis;
  bool allowed;
} beyond;

// A scalar made of the coordinate by arithmetic.
static bool is_place(const tg_value *v, int axis, int depth) {
  const tg_op *op = v->def;
  if (!op || v->type.kind != TG_TILE || v->type.rank || depth == 0) return false;
  if (op->code == TG_OP_PID) return tg_attr_int(op, "axis", 0) == axis;
  if (op->code == TG_OP_FIRST) return op->in[0]->def && is_place(op->in[0]->def->in[0], axis, depth - 1);
  if (!(tg_op_rows()[op->code].traits & TG_ELEMENTWISE) && op->code != TG_OP_ASSUME) return false;
  for (int i = 0; i < op->nin; i++)
    if (is_place(op->in[i], axis, depth - 1)) return true;
  return false;
}

// A range that is empty where the coordinate is beyond the grid's end: it begins at `by` times the coordinate, of which there are as many
// as the rest of it has parts of `by`.
static bool vanishes(const beyond *b, const tg_value *index) {
  const tg_op *start = index->type.kind == TG_RANGE && index->def ? index->def->in[0]->def : NULL;
  int64_t by = 1, known, most;
  if (start && start->code == TG_OP_MUL && tg_const_as_int(start->in[1], &by) && by > 0) start = start->in[0]->def;
  if (!start || start->code != TG_OP_PID || tg_attr_int(start, "axis", 0) != b->axis) return false;
  const tg_expr *grid = b->s->launch->grid[b->axis], *end = tg_launch_expr(b->s->arena, index->def->in[1]);
  if (!end) return false;
  if (simt_expr_const(b->s, grid, &known) && simt_expr_const(b->s, end, &most)) return known >= (most + by - 1) / by;
  return tg_e_equal(grid, by == 1 ? end : tg_e_bin(b->s->arena, TG_EXPR_CEILDIV, end, tg_e_const(b->s->arena, by)));
}

// The coordinate may only say where ranges begin, and every store goes to one that is empty there.
static void check_op(tg_op *op, void *user) {
  beyond *b = user;
  const tg_op_row *row = &tg_op_rows()[op->code];
  const bool scalar = op->nout == 1 && op->out[0]->type.kind == TG_TILE && op->out[0]->type.rank == 0;
  const bool makes_scalar = scalar && ((row->traits & TG_ELEMENTWISE) || op->code == TG_OP_ASSUME);
  for (int i = 0; i < op->nin && !makes_scalar; i++)
    if (is_place(op->in[i], b->axis, DEPTH) && !(op->code == TG_OP_RANGE && i == 0)) b->allowed = false;
  if (!(row->traits & TG_WRITES)) return;
  bool nothing = false;
  for (int i = 1; op->code == TG_OP_STORE && i < op->nin; i++) nothing |= vanishes(b, op->in[i]);
  b->allowed &= nothing;
}

static bool may_reach_beyond(simt *s, int axis) {
  beyond b = {s, axis, true};
  tg_walk(s->launch->body, check_op, &b);
  return b.allowed;
}

// ---- which clusters a launch gets

typedef struct choice {
  int axis, blocks;
  int64_t beyond, saved; // blocks beyond the end, 0 where that is not known yet; bytes of each trip that need not come
} choice;

static bool even(simt *s, int axis, int blocks) { return simt_expr_divisor(s, s->launch->grid[axis]) % blocks == 0; }

static bool can_share(simt *s, choice *c) {
  int64_t extent;
  for (const simt_pipe *p = s->pipes; p; p = p->next) {
    // Blocks of a cluster make the same trips.
    if (p->loop->parent->owner || !tg_launch_expr(s->arena, p->loop->in[0]) || !tg_launch_expr(s->arena, p->loop->in[1])) return false;
    for (int i = 0; i < 2; i++)
      if (is_shared(&p->box[i], c->axis, c->blocks)) c->saved += p->box[i].bytes;
  }
  if (!c->saved || (!even(s, c->axis, c->blocks) && !may_reach_beyond(s, c->axis))) return false;
  if (simt_expr_const(s, s->launch->grid[c->axis], &extent)) c->beyond = (c->blocks - extent % c->blocks) % c->blocks;
  return true;
}

static bool is_better(const choice *a, const choice *b) {
  return !b->blocks || a->beyond < b->beyond || (a->beyond == b->beyond && a->saved > b->saved);
}

static choice choose(simt *s, int most) {
  choice best = {0};
  for (int blocks = most; blocks > 1 && !best.blocks; blocks /= 2)
    for (int axis = 0; axis < s->launch->naxes; axis++) {
      choice c = {.axis = axis, .blocks = blocks};
      if (can_share(s, &c) && is_better(&c, &best)) best = c;
    }
  return best;
}

static void share(simt_pipe *pipe, const choice *c) {
  for (int i = 0; i < 2; i++) {
    simt_box *box = &pipe->box[i];
    if (!is_shared(box, c->axis, c->blocks)) continue;
    box->blocks = c->blocks;
    if (box->row_boxes % c->blocks) box->row_boxes *= c->blocks / (int)simt_gcd(box->row_boxes, c->blocks);
    box->map.box[box->row_axis] = box->rows / box->row_boxes;
  }
}

void simt_plan_cluster(simt *s) {
  s->cluster = 1, s->beyond = false;
  if (!s->pipes || s->slots->buffers) return; // a commit tells the block's own barriers
  const choice c = choose(s, s->most_cluster);
  if (!c.blocks) return;
  for (simt_pipe *p = s->pipes; p; p = p->next) share(p, &c);
  s->cluster = s->out->cluster = c.blocks;
  s->cluster_axis = c.axis;
  s->beyond = !even(s, c.axis, c.blocks);
}

tg_value *simt_cluster_rank(simt *s) {
  tg_value *x = tg_cast_to(&s->prologue, tg_build0(&s->prologue, TG_OP_CTAID, 1, &TG_AINT("axis", 0)), TG_I32, NULL);
  return tg_build2(&s->prologue, TG_OP_AND, x, simt_int(s, TG_I32, s->cluster - 1));
}

// ---- the knob

typedef struct finding {
  simt s;
  bool found;
} finding;

static void find_pipe(tg_op *op, void *user) {
  finding *f = user;
  simt_wgmma w;
  simt_box box[2];
  if ((op->code != TG_OP_DOT && op->code != TG_OP_DOT_SCALED) || f->found || !simt_pipe_fits(&f->s, op, &w)) return;
  if (!simt_pipe_boxes(&f->s, op, box)) return;
  for (int axis = 0; axis < op->parent->launch->naxes; axis++)
    for (int i = 0; i < 2; i++) f->found |= is_shared(&box[i], axis, 2);
}

bool simt_has_cluster(const tg_kernel *tile, const tg_machine *machine) {
  const int warps = simt_wgmma_warps(machine, tile);
  if (!warps || !machine->tensor_maps || machine->tensor_memory > 0) return false;
  finding f = {.s = {.ctx = tile->ctx,
                     .arena = (tg_arena *)(uintptr_t)&tile->arena,
                     .machine = machine,
                     .tile = (tg_kernel *)(uintptr_t)tile,
                     .warps = warps,
                     .stages = 2,
                     .assume = true}};
  for (int i = 0; i < tile->nlaunches; i++) tg_walk(tile->launches[i]->body, find_pipe, &f);
  return f.found;
}

tg_knob simt_cluster_knob(void) {
  tg_knob knob = {.name = "cluster",
                  .doc = "blocks at most that share what the copy unit brings, where a pipe multiplies; 1: none",
                  .keeps_room = true};
  for (int i = 0; i < SIZES; i++) knob.values[knob.nvalues++] = sizes[i];
  return knob;
}

int simt_cluster_setting(const tg_kernel *tile, const tg_lower_options *options) {
  return (int)simt_choice(tile, options, "cluster", SIZES, sizes, 1);
}

void simt_record_cluster(simt *s) { simt_record_knob(s, "cluster", s->most_cluster, SIZES, texts); }
