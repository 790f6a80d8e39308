// Matrix products without matrix instructions: lanes and warps share out the result, each lane multiplies its rows with its columns.
#include "codegen/simt.h"

// Four neighbours in n a lane, eight lanes along n and the others along m where the tile is as large; warps the outer bits of the axis of
// which a lane has more; the rest in registers.
static tg_layout result_layout(const simt *s, const tg_type *type) {
  tg_layout c = tg_layout_empty(2, type->dim);
  int left[2] = {c.out[0], c.out[1]}, taken[2] = {0}, vector = left[1] < 2 ? left[1] : 2, along[2];
  along[1] = left[1] - vector < 3 ? left[1] - vector : 3;
  along[0] = left[0] < s->lane_bits - along[1] ? left[0] : s->lane_bits - along[1];
  for (int b = 0; b < vector; b++) tg_layout_add(&c, TG_REGISTER, 1, taken[1]++);
  for (int axis = 1; axis >= 0; axis--)
    for (int b = 0; b < along[axis]; b++) tg_layout_add(&c, TG_LANE, axis, taken[axis]++);
  while (c.in[TG_LANE] < s->lane_bits) tg_layout_add(&c, TG_LANE, -1, 0);
  for (int axis = 0; axis < 2; axis++) left[axis] -= taken[axis];
  for (int i = 0; i < s->warp_bits; i++) {
    int axis = left[0] && (left[0] >= left[1] + vector || !left[1]) ? 0 : 1; // a lane should have as many rows as columns
    bool some = left[axis] > 0;
    if (some) left[axis]--;
    tg_layout_add(&c, TG_WARP, some ? axis : -1, some ? taken[axis] + left[axis] : 0);
  }
  for (int axis = 1; axis >= 0; axis--)
    for (int b = 0; b < left[axis]; b++) tg_layout_add(&c, TG_REGISTER, axis, taken[axis] + b);
  return c;
}

// Operand with all of k in registers and the result's rows (or columns) where the result has them.
static tg_layout operand_layout(const tg_layout *c, const tg_type *type, int c_axis, int axis, int k_axis) {
  tg_layout l = tg_layout_empty(2, type->dim);
  for (int b = 0; b < l.out[k_axis]; b++) tg_layout_add(&l, TG_REGISTER, k_axis, b);
  for (int h = 0; h < TG_NHOLDERS; h++)
    for (int b = 0; b < c->in[h]; b++) {
      uint32_t part = tg_layout_axis_part(c, tg_layout_image(c, (tg_holder)h, b), c_axis);
      if (part || h != TG_REGISTER) tg_layout_add_image(&l, (tg_holder)h, part << tg_layout_axis_shift(&l, axis));
    }
  return l;
}

void simt_fma_plan(simt *s, const tg_op *op, simt_dot_layouts *out) {
  const simt_note *sum = simt_note_of(s, op->out[0]), *acc = simt_note_of(s, op->in[2]);
  out->c = sum->planned ? sum->plan : acc->planned ? acc->plan : result_layout(s, &op->in[2]->type);
  out->a = operand_layout(&out->c, &op->in[0]->type, 0, 0, 1);
  out->b = operand_layout(&out->c, &op->in[1]->type, 1, 1, 0);
}

// Registers of an operand in the accumulators' dtype, cast when first asked for.
typedef struct operand {
  simt_tile *tile;
  tg_value **wide;
  int *reg; // by row and column of lane 0's element
  int columns;
} operand;

static operand open_operand(simt *s, const tg_value *v, const tg_layout *layout) {
  operand o = {simt_get(s, v, layout), NULL, NULL, v->type.dim[1]};
  int n = tg_layout_registers(layout);
  o.wide = TG_NEWN(s->arena, tg_value *, n);
  o.reg = TG_NEWN(s->arena, int, (size_t)v->type.dim[0] * (size_t)v->type.dim[1]);
  for (int i = 0; i < n; i++) o.reg[simt_register_offset(layout, i, 0) * o.columns + simt_register_offset(layout, i, 1)] = i;
  return o;
}

static tg_value *element(simt *s, operand *o, int row, int column, int dtype) {
  int i = o->reg[row * o->columns + column];
  tg_value *x = o->tile->reg[i];
  if (x->type.dtype == dtype) return x;
  return o->wide[i] = o->wide[i] ? o->wide[i] : tg_cast_to(&s->b, x, dtype, NULL);
}

tg_value *simt_multiply_add(simt *s, tg_value *x, tg_value *y, tg_value *sum) {
  if (tg_dtypes[sum->type.dtype].cls == 'f') return tg_build3(&s->b, TG_OP_FMA, x, y, sum);
  return tg_build2(&s->b, TG_OP_ADD, sum, tg_build2(&s->b, TG_OP_MUL, x, y));
}

void simt_fma(simt *s, tg_op *op, const simt_dot_layouts *l) {
  if (simt_fma_loops(op, s->warp_bits)) {
    simt_fma_loop(s, op, &l->c);
    return;
  }
  enum { MOST = 1 << 14 }; // multiplications of a thread in a launch, all of them written out
  int dtype = op->in[2]->type.dtype, n = tg_layout_registers(&l->c), depth = op->in[0]->type.dim[1];
  s->multiplications += (int64_t)n * depth;
  if (s->multiplications > MOST)
    simt_fail(
        s, op,
        "the dots of this launch take %lld multiplications of each thread or more and %d are written out at most; choose smaller tiles, "
        "or more warps with warps=",
        (long long)s->multiplications, MOST);
  operand a = open_operand(s, op->in[0], &l->a), b = open_operand(s, op->in[1], &l->b);
  simt_tile *c = simt_get(s, op->in[2], &l->c), *sum = simt_new_tile(s, &l->c);
  memcpy(sum->reg, c->reg, sizeof(tg_value *) * (size_t)n);
  for (int k = 0; k < depth; k++)
    for (int i = 0; i < n; i++) {
      int row = simt_register_offset(&l->c, i, 0), column = simt_register_offset(&l->c, i, 1);
      sum->reg[i] = simt_multiply_add(s, element(s, &a, row, k, dtype), element(s, &b, k, column, dtype), sum->reg[i]);
    }
  simt_set(s, op->out[0], sum);
}
