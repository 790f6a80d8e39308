// Small tiles made once more, in the layout and at the place where they are asked for: what masks the rows of a copy on its way to shared
// memory is a comparison of indices, and cheaper to make in each lane than to move between lanes.
#include "codegen/simt_access.h"

static simt_tile *elementwise(simt *s, const tg_op *op, const tg_layout *layout) {
  simt_tile *x[4], *t = simt_new_tile(s, layout);
  tg_value *in[4];
  for (int i = 0; i < op->nin; i++) x[i] = simt_remake(s, op->in[i], layout);
  for (int r = 0, n = tg_layout_registers(layout); r < n; r++) {
    for (int i = 0; i < op->nin; i++) in[i] = x[i]->reg[r];
    t->reg[r] = simt_compare_known(s, op);
    if (!t->reg[r]) t->reg[r] = simt_lane_op(s, op, in);
  }
  return t;
}

static simt_tile *renamed(simt *s, const tg_value *v, const tg_layout *layout) {
  const tg_op *op = v->def;
  tg_layout want;
  if (op->code == TG_OP_CONST || op->code == TG_OP_IOTA || op->code == TG_OP_INDEX || op->in[0]->type.rank == 0 ||
      !simt_operand_layout(op, layout, &want))
    return simt_get(s, v, layout);
  simt_tile *x = simt_remake(s, op->in[0], &want), *t = simt_new_tile(s, layout);
  int bits = layout->in[TG_REGISTER];
  for (int i = 0, n = tg_layout_registers(layout); i < n; i++)
    t->reg[i] = x->reg[simt_operand_repetition(op, layout, &want, i >> bits) << bits | (i & ((1 << bits) - 1))];
  return t;
}

bool simt_can_remake(simt *s, const tg_value *v, int depth) {
  const tg_op *op = v->def;
  if (v->type.kind != TG_TILE || depth == 0) return false;
  if (v->type.rank == 0) return true;
  if (!op || (!simt_is_lazy(v) && !(tg_op_rows()[op->code].traits & TG_ELEMENTWISE) && !simt_reads_input(s, op))) return false;
  for (int i = 0; i < op->nin; i++)
    if (op->in[i]->type.kind == TG_TILE && !simt_can_remake(s, op->in[i], depth - 1)) return false;
  return true;
}

simt_tile *simt_remake(simt *s, const tg_value *v, const tg_layout *layout) {
  tg_layout compact = tg_layout_compact(layout);
  if (v->type.rank == 0) return simt_get(s, v, layout);
  if (compact.in[TG_REGISTER] != layout->in[TG_REGISTER]) return simt_widen(s, simt_remake(s, v, &compact), layout);
  if (simt_is_lazy(v)) return renamed(s, v, layout);
  if (tg_op_rows()[v->def->code].traits & TG_ELEMENTWISE) return elementwise(s, v->def, layout);
  return simt_load_in(s, v->def, layout);
}
