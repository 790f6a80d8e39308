// Reductions along one axis: within a lane, then across lanes by shuffles, then across warps through shared memory.
#include "codegen/simt.h"

static int combining_op(const char *kind) {
  static const struct {
    const char *kind;
    int code;
  } ops[] = {{"sum", TG_OP_ADD},       {"prod", TG_OP_MUL}, {"min", TG_OP_MIN}, {"max", TG_OP_MAX}, {"minnum", TG_OP_MINNUM},
             {"maxnum", TG_OP_MAXNUM}, {"and", TG_OP_AND},  {"or", TG_OP_OR},   {"xor", TG_OP_XOR}};
  for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++)
    if (!strcmp(ops[i].kind, kind)) return ops[i].code;
  return -1;
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

// Neighbours first, so that the order is that of a balanced tree.
static tg_value *tree(simt *s, int code, tg_value **x, int n) {
  for (; n > 1; n = (n + 1) / 2) {
    for (int i = 0; i < n / 2; i++) x[i] = tg_build2(&s->b, code, x[2 * i], x[2 * i + 1]);
    if (n % 2) x[n / 2] = x[n - 1];
  }
  return x[0];
}

// Registers of `from` that differ from one another along the axis alone are combined into the one of `to` that holds the rest of their
// coordinates.
static void within_lane(simt *s, int code, const simt_tile *from, simt_tile *to, int axis) {
  const tg_layout *l = &from->layout;
  int n = tg_layout_registers(l), m = tg_layout_registers(&to->layout);
  tg_value **group = TG_NEWN(s->arena, tg_value *, n);
  for (int i = 0; i < m; i++) {
    int count = 0;
    for (int r = 0; r < n; r++) {
      bool same = true;
      for (int k = 0; k < l->rank && same; k++)
        same = k == axis || simt_register_offset(l, r, k) == simt_register_offset(&to->layout, i, k);
      if (same) group[count++] = from->reg[r];
    }
    to->reg[i] = tree(s, code, group, count);
  }
}

static void across_lanes(simt *s, int code, const tg_layout *l, simt_tile *t, int axis) {
  for (int b = 0; b < l->in[TG_LANE]; b++) {
    if (!tg_layout_axis_part(l, tg_layout_image(l, TG_LANE, b), axis)) continue;
    for (int i = 0, n = tg_layout_registers(&t->layout); i < n; i++)
      t->reg[i] = tg_build2(&s->b, code, t->reg[i], simt_shuffle(s, t->reg[i], "xor", simt_int(s, TG_I32, 1 << b)));
  }
}

// The warps' partial results are a tile with one element per warp along the axis: fetched by all, combined in each lane.
static simt_tile *across_warps(simt *s, int code, uint8_t dtype, const tg_layout *l, simt_tile *t, int axis) {
  int32_t shape[TG_MAX_RANK] = {0};
  int bits = 0;
  for (int b = 0; b < l->in[TG_WARP]; b++) bits += tg_layout_axis_part(l, tg_layout_image(l, TG_WARP, b), axis) != 0;
  if (!bits) return t;
  for (int i = 0; i < l->rank; i++) shape[i] = i == axis ? 1 << bits : l->odd[i] << l->out[i];
  tg_layout held = tg_layout_empty(l->rank, shape), wanted = held;
  int next = 0;
  for (int h = 0; h < TG_NHOLDERS; h++)
    for (int b = 0; b < t->layout.in[h]; b++) { // as in t, which is collapsed along the axis
      uint32_t image = tg_layout_image(&t->layout, (tg_holder)h, b), moved = 0;
      for (int i = 0; i < l->rank; i++)
        if (i != axis) moved |= tg_layout_axis_part(&t->layout, image, i) << tg_layout_axis_shift(&held, i);
      bool mine = h == TG_WARP && tg_layout_axis_part(l, tg_layout_image(l, TG_WARP, b), axis);
      tg_layout_add_image(&wanted, (tg_holder)h, moved);
      tg_layout_add_image(&held, (tg_holder)h, mine ? 1u << (tg_layout_axis_shift(&held, axis) + next++) : moved);
    }
  for (int b = 0; b < bits; b++) tg_layout_add(&wanted, TG_REGISTER, axis, b);
  simt_tile partial = *t;
  partial.layout = held;
  simt_tile *all = simt_convert(s, &partial, dtype, &wanted), *out = simt_new_tile(s, &t->layout);
  within_lane(s, code, all, out, axis);
  return out;
}

void simt_reduce(simt *s, tg_op *op) {
  const tg_value *x = op->in[0];
  int axis = (int)tg_attr_int(op, "axis", 0), code = combining_op(tg_attr_str(op, "kind", ""));
  tg_layout l = simt_plan_of(s, x);
  l = tg_layout_compact(&l);
  if (!is_plain(&l, axis)) l = tg_layout_blocked(x->type.rank, x->type.dim, 1, s->lane_bits, s->warp_bits);
  simt_tile *from = simt_get(s, x, &l);
  tg_layout rest = tg_layout_collapse(&l, axis);
  rest = tg_layout_compact(&rest);
  simt_tile *t = simt_new_tile(s, &rest);
  within_lane(s, code, from, t, axis);
  across_lanes(s, code, &l, t, axis);
  simt_set(s, op->out[0], across_warps(s, code, x->type.dtype, &l, t, axis));
}
