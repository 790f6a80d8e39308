// Rows that no store keeps: where a range ends as only the block knows, the copy unit brings what lies beyond it. Rows of a product say
// nothing of one another, so that does no harm as long as nothing but stores along the same range sees the result.
#include "codegen/simt_pipe.h"

typedef struct keeping {
  simt *s;
  const tg_op *range;
  int axis; // of the result
  const tg_value *v;
  bool *seen, kept;
} keeping;

static void look_at(keeping *k, const tg_value *v);

static void look_at_carried(keeping *k, const tg_op *op, int i) {
  look_at(k, op->out[i]);
  if (op->code == TG_OP_FOR) look_at(k, op->regions[0]->args[1 + i]);
  if (op->code == TG_OP_WHILE)
    for (int r = 0; r < 2; r++) look_at(k, op->regions[r]->args[i]);
}

static bool same_range(simt *s, const tg_op *a, const tg_op *b) {
  return a == b ||
         (tg_attr_int(a, "len", 0) == tg_attr_int(b, "len", 0) && simt_same(s, a->in[0], b->in[0]) && simt_same(s, a->in[1], b->in[1]));
}

// Whether the store's index along the tile's axis is the range.
static bool stores_along(keeping *k, const tg_op *store) {
  for (int i = 1, axis = 0; i <= store->in[0]->type.rank; i++) {
    const tg_value *index = store->in[i];
    if (index->type.kind == TG_TILE && index->type.rank == 0) continue;
    if (axis++ == k->axis) return index->type.kind == TG_RANGE && index->def && same_range(k->s, index->def, k->range);
  }
  return false;
}

static void look_at_use(keeping *k, const tg_op *op, int operand) {
  const tg_op *owner = op->parent->owner;
  if (tg_op_rows()[op->code].traits & TG_ELEMENTWISE) {
    look_at(k, op->out[0]);
    return;
  }
  switch (op->code) {
  case TG_OP_BROADCAST:
    if (op->out[0]->type.rank == op->in[0]->type.rank && op->in[0]->type.dim[k->axis] > 1) look_at(k, op->out[0]);
    else k->kept = true;
    break;
  case TG_OP_DOT:
  case TG_OP_DOT_SCALED:
    if (operand == 2) look_at(k, op->out[0]);
    else k->kept = true;
    break;
  case TG_OP_FOR: look_at_carried(k, op, operand - 2); break;
  case TG_OP_WHILE: look_at_carried(k, op, operand); break;
  case TG_OP_YIELD: look_at_carried(k, owner, operand); break;
  case TG_OP_STORE: k->kept |= operand != 1 + op->in[0]->type.rank || !stores_along(k, op); break;
  default: k->kept = true;
  }
}

static void find_use(tg_op *op, void *user) {
  keeping *k = user;
  const tg_value *v = k->v;
  for (int i = 0; i < op->nin && !k->kept; i++)
    if (op->in[i] == v) look_at_use(k, op, i);
  k->v = v;
}

static void look_at(keeping *k, const tg_value *v) {
  if (k->kept || k->seen[v->id]) return;
  k->seen[v->id] = true;
  k->v = v;
  tg_walk(k->range->parent->launch->body, find_use, k);
}

static bool nothing_keeps(simt *s, const tg_value *v, int axis, const tg_op *range) {
  keeping k = {.s = s, .range = range, .axis = axis, .seen = TG_NEWN(s->arena, bool, s->tile->next_id + 1)};
  look_at(&k, v);
  return !k.kept;
}

bool simt_load_is_unkept(simt *s, const tg_op *load, int axis, const tg_op *range) { return nothing_keeps(s, load->out[0], axis, range); }

bool simt_is_unkept(simt *s, const tg_op *dot, int axis, const tg_op *range, const tg_expr *dim) {
  if (!simt_ends_within(s, simt_size_of(s, range->in[1]), (simt_size){.e = dim})) return false; // else there might be no such rows at all
  return nothing_keeps(s, dot->out[0], axis, range);
}
