// Which layout each tile of a launch gets. Dots fix the layouts of their operands and results; then the largest tiles get blocked layouts;
// each choice spreads along ops that compute element by element or only rename coordinates, until all tiles have one. Where two choices
// meet, simt_get converts.
#include "codegen/simt.h"

bool simt_is_lazy(const tg_value *v) {
  if (!v->def || v->type.rank == 0) return false;
  switch (v->def->code) {
  case TG_OP_CONST:
  case TG_OP_IOTA:
  case TG_OP_INDEX:
  case TG_OP_BROADCAST:
  case TG_OP_TRANSPOSE:
  case TG_OP_RESHAPE:
  case TG_OP_SPREAD: return true;
  default: return false;
  }
}

// ---- renaming ops: packed coordinates of the result to those of the operand

static void rename_axis(tg_map *f, const tg_layout *result, int axis, const tg_layout *operand, int to, int skip) {
  for (int b = skip; b < result->out[axis] && b - skip < operand->out[to]; b++)
    f->col[tg_layout_axis_shift(result, axis) + b] = 1u << (tg_layout_axis_shift(operand, to) + b - skip);
}

static int log2_exact(int64_t n) { return n > 0 && (n & (n - 1)) == 0 ? __builtin_ctzll((unsigned long long)n) : -1; }

// Reshape keeps the row-major number. The 2^n parts concatenated are that number's own bits as long as the odd repetitions step over
// equally many of them on both sides.
static bool reshape_keeps_odd_parts(const tg_layout *a, const tg_layout *b) {
  int i = 0, j = 0;
  for (;; i++, j++) {
    while (i < a->rank && a->odd[i] == 1) i++;
    while (j < b->rank && b->odd[j] == 1) j++;
    if (i == a->rank || j == b->rank) return i == a->rank && j == b->rank;
    if (a->odd[i] != b->odd[j] || tg_layout_axis_shift(a, i) + a->out[i] != tg_layout_axis_shift(b, j) + b->out[j]) return false;
  }
}

bool simt_operand_layout(const tg_op *op, const tg_layout *layout, tg_layout *out) {
  const tg_type *type = &op->in[0]->type;
  tg_layout empty = tg_layout_empty(type->rank, type->dim);
  tg_map f = tg_map_zero(layout->map.nout, empty.map.nout);
  switch (op->code) {
  case TG_OP_BROADCAST:
    for (int i = 0, lead = layout->rank - type->rank; i < type->rank; i++)
      if (type->dim[i] == op->out[0]->type.dim[i + lead]) rename_axis(&f, layout, i + lead, &empty, i, 0);
    break;
  case TG_OP_TRANSPOSE: {
    const tg_attr *perm = tg_find_attr(op, "perm");
    for (int i = 0; i < type->rank; i++) rename_axis(&f, layout, i, &empty, (int)perm->ints[i], 0);
    break;
  }
  case TG_OP_RESHAPE:
    if (!reshape_keeps_odd_parts(layout, &empty)) return false;
    f = tg_map_identity(layout->map.nout);
    break;
  case TG_OP_SPREAD: {
    int axis = (int)tg_attr_int(op, "axis", 0), shift = log2_exact(tg_attr_int(op, "factor", 1));
    if (type->dim[axis] != 1 && shift < 0) return false;
    for (int i = 0; i < type->rank; i++)
      if (i != axis || type->dim[axis] != 1) rename_axis(&f, layout, i, &empty, i, i == axis ? shift : 0);
    break;
  }
  default: return false;
  }
  *out = tg_layout_rename(layout, &f, type->rank, type->dim);
  return true;
}

// Result's layout where the operand's says all of it: transpose and reshape.
static bool result_layout(const tg_op *op, const tg_layout *operand, tg_layout *out) {
  if (op->code != TG_OP_TRANSPOSE && op->code != TG_OP_RESHAPE) return false;
  const tg_type *type = &op->out[0]->type;
  tg_layout empty = tg_layout_empty(type->rank, type->dim);
  tg_map f = tg_map_identity(operand->map.nout);
  if (op->code == TG_OP_TRANSPOSE) {
    const tg_attr *perm = tg_find_attr(op, "perm");
    for (int i = 0; i < type->rank; i++) rename_axis(&f, operand, (int)perm->ints[i], &empty, i, 0);
  } else if (!reshape_keeps_odd_parts(operand, &empty)) {
    return false;
  }
  *out = tg_layout_rename(operand, &f, type->rank, type->dim);
  return true;
}

bool simt_result_layout(const tg_value *v, const tg_value *from, const tg_layout *layout, tg_layout *out) {
  tg_layout inner;
  if (v == from) {
    *out = *layout;
    return true;
  }
  return simt_result_layout(v->def->in[0], from, layout, &inner) && result_layout(v->def, &inner, out);
}

// ---- spreading

typedef struct plan {
  simt *s;
  bool changed;
  const tg_value *next; // tile without a layout that has most elements; of equals a load, then the first
} plan;

static bool planned(plan *p, const tg_value *v) { return simt_note_of(p->s, v)->planned; }

static void set(plan *p, const tg_value *v, const tg_layout *layout) {
  simt_note *note = simt_note_of(p->s, v);
  if (v->type.kind != TG_TILE || v->type.rank == 0 || note->planned) return;
  note->planned = true;
  note->plan = tg_layout_compact(layout);
  p->changed = true;
}

// All of `n` values share one layout: that of the first that has one.
static void share(plan *p, int n, const tg_value *const *values) {
  for (int i = 0; i < n; i++)
    if (values[i]->type.kind == TG_TILE && values[i]->type.rank && planned(p, values[i])) {
      for (int j = 0; j < n; j++) set(p, values[j], &simt_note_of(p->s, values[i])->plan);
      return;
    }
}

static void spread_carried(plan *p, const tg_op *op) {
  for (int i = 0; i < op->nout; i++) {
    const tg_value *all[8];
    int n = 0;
    // The region's own value first: what the loop computes decides, not what it starts from.
    switch (op->code) {
    case TG_OP_FOR:
      all[n++] = op->regions[0]->args[1 + i];
      all[n++] = op->regions[0]->last->in[i];
      all[n++] = op->out[i];
      all[n++] = op->in[2 + i];
      break;
    case TG_OP_WHILE:
      all[n++] = op->regions[1]->args[i];
      all[n++] = op->regions[0]->args[i];
      all[n++] = op->regions[1]->last->in[i];
      all[n++] = op->out[i];
      all[n++] = op->in[i];
      break;
    case TG_OP_IF:
      all[n++] = op->out[i];
      for (int r = 0; r < 2; r++)
        if (op->regions[r]->last) all[n++] = op->regions[r]->last->in[i];
      break;
    default: return;
    }
    share(p, n, all);
  }
}

static void spread_op(tg_op *op, void *user) {
  plan *p = user;
  simt *s = p->s;
  if (op->code == TG_OP_FOR || op->code == TG_OP_WHILE || op->code == TG_OP_IF) {
    spread_carried(p, op);
    return;
  }
  if (op->nout == 0) return;
  const tg_value *out = op->out[0];
  if (out->type.kind != TG_TILE) return;
  tg_layout l;
  if (tg_op_rows()[op->code].traits & TG_ELEMENTWISE) {
    const tg_value *all[4] = {out};
    int n = 1;
    for (int pass = 0; pass < 2; pass++) // tiles that are really held speak before those that can be had in any layout
      for (int i = 0; i < op->nin; i++)
        if (simt_is_lazy(op->in[i]) == (pass == 1)) all[n++] = op->in[i];
    share(p, n, all);
  } else if (simt_is_lazy(out) && op->nin == 1 && op->in[0]->type.kind == TG_TILE && op->in[0]->type.rank) {
    if (planned(p, out) && simt_operand_layout(op, &simt_note_of(s, out)->plan, &l)) set(p, op->in[0], &l);
    if (planned(p, op->in[0]) && result_layout(op, &simt_note_of(s, op->in[0])->plan, &l)) set(p, out, &l);
  } else if ((op->code == TG_OP_REDUCE || op->code == TG_OP_ARGMAX) && planned(p, op->in[0])) {
    l = tg_layout_collapse(&simt_note_of(s, op->in[0])->plan, (int)tg_attr_int(op, "axis", 0));
    set(p, out, &l);
  }
}

static void spread(plan *p, tg_launch *launch) {
  do {
    p->changed = false;
    tg_walk(launch->body, spread_op, p);
  } while (p->changed);
}

// ---- seeds

static void seed_dot(plan *p, tg_op *op) {
  simt_dot_layouts l;
  simt_dot_plan(p->s, op, &l);
  set(p, op->out[0], &l.c);
  set(p, op->in[2], &l.c);
  if (simt_dot_seeds(p->s, op, 0)) set(p, op->in[0], &l.a);
  if (simt_dot_seeds(p->s, op, 1)) set(p, op->in[1], &l.b);
  if (!l.row && !simt_groups_of_dot(p->s, op) && simt_fma_loops(op, p->s->warp_bits))
    for (int i = 0; i < 2; i++) simt_fma_seed_operand(p->s, op->in[i]);
}

static void seed(tg_op *op, void *user) {
  plan *p = user;
  if (op->code == TG_OP_SCAN || op->code == TG_OP_SORT) {
    tg_layout line =
        op->code == TG_OP_SORT ? simt_sort_layout(p->s, op) : simt_line_layout(p->s, op->in[0]->type, (int)tg_attr_int(op, "axis", 0));
    for (int i = 0; i < op->nout; i++) set(p, op->out[i], &line);
    for (int i = 0; i < op->nin; i++) set(p, op->in[i], &line);
    return;
  }
  if (op->code == TG_OP_DOT && simt_dot_row(p->s->machine, op)) seed_dot(p, op);
}

// What warp groups multiply decides: other products of a kernel have one key or row at a time.
static void seed_groups(tg_op *op, void *user) {
  plan *p = user;
  if (op->code == TG_OP_DOT && simt_groups_of_dot(p->s, op)) seed_dot(p, op);
}

// What has no instruction takes its result as it is held, once those that have one have spoken.
static void seed_other(tg_op *op, void *user) {
  plan *p = user;
  if (op->code == TG_OP_DOT && !simt_dot_row(p->s->machine, op)) seed_dot(p, op);
}

static void find_unplanned(tg_op *op, void *user) {
  plan *p = user;
  for (int i = 0; i < op->nout; i++) {
    const tg_value *v = op->out[i];
    if (v->type.kind != TG_TILE || v->type.rank == 0 || planned(p, v) || simt_is_lazy(v)) continue;
    int64_t n = tg_type_elements(v->type), most = p->next ? tg_type_elements(p->next->type) : -1;
    bool load = op->code == TG_OP_LOAD, held = p->next && p->next->def->code == TG_OP_LOAD;
    if (n > most || (n == most && load && !held)) p->next = v;
  }
}

// Vectors of 16 bytes, shorter where the tile would leave lanes without work.
tg_layout simt_default_layout(simt *s, tg_type type) {
  int bits = tg_dtypes[type.dtype].bits, vector = bits < 8 ? 1 : 128 / bits;
  int64_t share_ = tg_type_elements(type) >> (s->lane_bits + s->warp_bits);
  while (vector > 1 && vector > share_) vector /= 2;
  return tg_layout_blocked(type.rank, type.dim, vector, s->lane_bits, s->warp_bits);
}

void simt_plan(simt *s, tg_launch *launch) {
  plan p = {.s = s};
  simt_note_uses(s, launch);
  simt_plan_pipes(s, launch);
  simt_plan_cluster(s);
  simt_plan_rings(s, launch);
  tg_walk(launch->body, seed_groups, &p);
  spread(&p, launch);
  tg_walk(launch->body, seed, &p);
  spread(&p, launch);
  tg_walk(launch->body, seed_other, &p);
  for (;;) {
    spread(&p, launch);
    p.next = NULL;
    tg_walk(launch->body, find_unplanned, &p);
    if (!p.next) return;
    tg_layout l = simt_default_layout(s, p.next->type);
    set(&p, p.next, &l);
  }
}

tg_layout simt_plan_of(simt *s, const tg_value *v) {
  const simt_note *note = simt_note_of(s, v);
  return note->tiles ? note->tiles->layout : note->planned ? note->plan : simt_default_layout(s, v->type);
}
