// Reductions along one axis: within a lane, then across lanes by shuffles, then across warps through shared memory. What is combined is a
// value, or for argmax a key with its index.
#include "codegen/simt.h"

enum { MOST_PARTS = 2 };

typedef struct combining {
  int code;   // of one part
  int nparts; // 2: keys and indices; the greater key wins, of equals the lower index
} combining;

int simt_combining_op(const char *kind) {
  static const struct {
    const char *kind;
    int code;
  } ops[] = {{"sum", TG_OP_ADD},       {"prod", TG_OP_MUL}, {"min", TG_OP_MIN}, {"max", TG_OP_MAX}, {"minnum", TG_OP_MINNUM},
             {"maxnum", TG_OP_MAXNUM}, {"and", TG_OP_AND},  {"or", TG_OP_OR},   {"xor", TG_OP_XOR}};
  for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++)
    if (!strcmp(ops[i].kind, kind)) return ops[i].code;
  return -1;
}

// a > b where NaN is greater than all that is not and equal to itself.
static tg_value *greater(simt *s, tg_value *a, tg_value *b) {
  if (tg_dtypes[a->type.dtype].cls != 'f') return tg_build2(&s->b, TG_OP_GT, a, b);
  tg_value *above = tg_build1(&s->b, TG_OP_NOT, tg_build2(&s->b, TG_OP_LE, a, b));
  return tg_build2(&s->b, TG_OP_AND, above, tg_build2(&s->b, TG_OP_EQ, b, b));
}

static void combine(simt *s, const combining *c, tg_value **x, tg_value *const *y) { // into x
  if (c->nparts == 1) {
    x[0] = tg_build2(&s->b, c->code, x[0], y[0]);
    return;
  }
  tg_value *not_less = tg_build1(&s->b, TG_OP_NOT, greater(s, x[0], y[0]));
  tg_value *take = tg_build2(&s->b, TG_OP_AND, not_less, tg_build2(&s->b, TG_OP_LT, y[1], x[1]));
  take = tg_build2(&s->b, TG_OP_OR, take, greater(s, y[0], x[0]));
  for (int p = 0; p < 2; p++) x[p] = tg_build3(&s->b, TG_OP_SELECT, take, y[p], x[p]);
}

// Each lane and warp bit moves along the axis alone or not at all, and no element is held twice except by bits that move nothing.
static bool is_plain(const tg_layout *l, int axis) {
  uint32_t seen = 0;
  for (int h = 0; h < TG_NHOLDERS; h++)
    for (int b = 0; b < l->in[h]; b++) {
      uint32_t image = tg_layout_image(l, (tg_holder)h, b), along = tg_layout_axis_part(l, image, axis) << tg_layout_axis_shift(l, axis);
      if (__builtin_popcount(image) > 1 || (along && along != image) || (seen & image)) return false;
      if (h == TG_REGISTER && !image) return false;
      seen |= image;
    }
  return true;
}

// Neighbours first, so that the order is that of a balanced tree. x: n parts one after the other; the first is the result.
static void tree(simt *s, const combining *c, tg_value *(*x)[MOST_PARTS], int n) {
  for (; n > 1; n = (n + 1) / 2) {
    for (int i = 0; i < n / 2; i++) {
      memmove(x[i], x[2 * i], sizeof x[i]);
      combine(s, c, x[i], x[2 * i + 1]);
    }
    if (n % 2) memmove(x[n / 2], x[n - 1], sizeof x[0]);
  }
}

// Registers of `from` that differ from one another along the axis alone are combined into the one of `to` that holds the rest of their
// coordinates.
static void within_lane(simt *s, const combining *c, simt_tile *const *from, simt_tile *const *to, int axis) {
  const tg_layout *l = &from[0]->layout;
  int n = tg_layout_registers(l), m = tg_layout_registers(&to[0]->layout);
  tg_value *(*group)[MOST_PARTS] = (tg_value * (*)[MOST_PARTS]) tg_arena_alloc(s->arena, sizeof *group * (size_t)n);
  for (int i = 0; i < m; i++) {
    int count = 0;
    for (int r = 0; r < n; r++) {
      bool mine = true;
      for (int a = 0; a < l->rank; a++) mine &= a == axis || simt_register_offset(l, r, a) == simt_register_offset(&to[0]->layout, i, a);
      if (!mine) continue;
      for (int p = 0; p < c->nparts; p++) group[count][p] = from[p]->reg[r];
      count++;
    }
    tree(s, c, group, count);
    for (int p = 0; p < c->nparts; p++) to[p]->reg[i] = group[0][p];
  }
}

static void across_lanes(simt *s, const combining *c, const tg_layout *l, simt_tile *const *t, int axis) {
  for (int b = 0; b < l->in[TG_LANE]; b++) {
    if (!tg_layout_axis_part(l, tg_layout_image(l, TG_LANE, b), axis)) continue;
    for (int i = 0, n = tg_layout_registers(&t[0]->layout); i < n; i++) {
      tg_value *mine[MOST_PARTS], *other[MOST_PARTS];
      for (int p = 0; p < c->nparts; p++) {
        mine[p] = t[p]->reg[i];
        other[p] = simt_shuffle(s, mine[p], "xor", simt_int(s, TG_I32, 1 << b));
      }
      combine(s, c, mine, other);
      for (int p = 0; p < c->nparts; p++) t[p]->reg[i] = mine[p];
    }
  }
}

// The warps' partial results are a tile with one element per warp along the axis: fetched by all, combined in each lane.
static void across_warps(simt *s, const combining *c, const tg_layout *l, simt_tile **t, int axis) {
  int32_t shape[TG_MAX_RANK] = {0};
  int bits = 0;
  for (int b = 0; b < l->in[TG_WARP]; b++) bits += tg_layout_axis_part(l, tg_layout_image(l, TG_WARP, b), axis) != 0;
  if (!bits) return;
  for (int i = 0; i < l->rank; i++) shape[i] = i == axis ? 1 << bits : l->odd[i] << l->out[i];
  tg_layout held = tg_layout_empty(l->rank, shape), wanted = held;
  int next = 0;
  for (int h = 0; h < TG_NHOLDERS; h++)
    for (int b = 0; b < t[0]->layout.in[h]; b++) { // as in t, which is collapsed along the axis
      uint32_t image = tg_layout_image(&t[0]->layout, (tg_holder)h, b), moved = 0;
      for (int i = 0; i < l->rank; i++)
        if (i != axis) moved |= tg_layout_axis_part(&t[0]->layout, image, i) << tg_layout_axis_shift(&held, i);
      bool mine = h == TG_WARP && tg_layout_axis_part(l, tg_layout_image(l, TG_WARP, b), axis);
      tg_layout_add_image(&wanted, (tg_holder)h, moved);
      tg_layout_add_image(&held, (tg_holder)h, mine ? 1u << (tg_layout_axis_shift(&held, axis) + next++) : moved);
    }
  for (int b = 0; b < bits; b++) tg_layout_add(&wanted, TG_REGISTER, axis, b);
  simt_tile *all[MOST_PARTS], *out[MOST_PARTS];
  for (int p = 0; p < c->nparts; p++) {
    simt_tile partial = *t[p];
    partial.layout = held;
    all[p] = simt_convert(s, &partial, t[p]->reg[0]->type.dtype, &wanted);
    out[p] = simt_new_tile(s, &t[p]->layout);
  }
  within_lane(s, c, all, out, axis);
  memcpy(t, out, sizeof out[0] * (size_t)c->nparts);
}

// Parts of the operand in a layout that reductions can take; returns it.
static tg_layout operand_layout(simt *s, const tg_value *x, int axis) {
  tg_layout l = simt_plan_of(s, x);
  l = tg_layout_compact(&l);
  return is_plain(&l, axis) ? l : tg_layout_blocked(x->type.rank, x->type.dim, 1, s->lane_bits, s->warp_bits);
}

static simt_tile *reduce(simt *s, const combining *c, const tg_layout *l, simt_tile *const *from, int axis) {
  tg_layout rest = tg_layout_collapse(l, axis);
  rest = tg_layout_compact(&rest);
  simt_tile *t[MOST_PARTS];
  for (int p = 0; p < c->nparts; p++) t[p] = simt_new_tile(s, &rest);
  within_lane(s, c, from, t, axis);
  across_lanes(s, c, l, t, axis);
  across_warps(s, c, l, t, axis);
  return t[c->nparts - 1];
}

static simt_tile *cast_tile(simt *s, const simt_tile *t, int dtype) {
  simt_tile *out = simt_new_tile(s, &t->layout);
  for (int i = 0, n = tg_layout_registers(&t->layout); i < n; i++) out->reg[i] = tg_cast_to(&s->b, t->reg[i], dtype, NULL);
  return out;
}

void simt_reduce(simt *s, tg_op *op) {
  int axis = (int)tg_attr_int(op, "axis", 0), dtype = op->in[0]->type.dtype;
  const combining c = {simt_combining_op(tg_attr_str(op, "kind", "")), 1};
  bool widen = (c.code == TG_OP_ADD || c.code == TG_OP_MUL) && tg_dtype_is_float(dtype) && tg_dtypes[dtype].bits < 32;
  tg_layout l = operand_layout(s, op->in[0], axis);
  simt_tile *from = simt_get(s, op->in[0], &l);
  if (widen) from = cast_tile(s, from, TG_F32); // rounded once, at the end
  simt_tile *t = reduce(s, &c, &l, &from, axis);
  simt_set(s, op->out[0], widen ? cast_tile(s, t, dtype) : t);
}

void simt_argmax(simt *s, tg_op *op) {
  const tg_value *x = op->in[0];
  int axis = (int)tg_attr_int(op, "axis", 0), n;
  const combining c = {0, 2};
  tg_layout l = operand_layout(s, x, axis);
  simt_tile *from = simt_get(s, x, &l), *parts[] = {simt_new_tile(s, &l), simt_new_tile(s, &l)};
  n = tg_layout_registers(&l);
  bool narrow = tg_dtype_is_float(x->type.dtype) && tg_dtypes[x->type.dtype].bits < 32;
  for (int i = 0; i < n; i++) {
    parts[0]->reg[i] = narrow ? tg_cast_to(&s->b, from->reg[i], TG_F32, NULL) : from->reg[i];
    parts[1]->reg[i] = simt_coordinate(s, &l, i, axis);
  }
  simt_set(s, op->out[0], reduce(s, &c, &l, parts, axis));
}
