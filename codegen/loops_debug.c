// Debug ops: a failing assert stops the launch with its line, a print hands the driver the first elements of its operands.
#include "codegen/loops.h"

static void one_truth(tg_op *op, void *user) {
  lower *L = user;
  if (op->code != TG_OP_ASSERT) return;
  tg_builder b = {.kernel = L->tile, .region = op->parent, .before = op, .loc = op->loc};
  for (int a = op->in[0]->type.rank - 1; a >= 0; a--)
    if (op->in[0]->type.dim[a] > 1)
      op->in[0] = tg_build(&b, TG_OP_REDUCE, 1, op->in, 2, (tg_attr[]){TG_ASTR("kind", "and"), TG_AINT("axis", a)})->out[0];
}

void loops_reduce_asserts(lower *L) { tg_walk(L->from->body, one_truth, L); }

void loops_assert(lower *L, tg_op *op) {
  tg_value *holds = loops_scalar(L, op->in[0]);
  const char *text =
      tg_arena_printf(&L->lane->arena, "%sassert: \"%s\" does not hold", tg_loc_text(L->arena, op->loc), tg_attr_str(op, "text", ""));
  loops_op(L, L->top, TG_OP_TRAP, 1, &holds, 1, (tg_attr[]){TG_ASTR("text", text)});
}

static bool row_major(const buffer *b, const tg_type *type) {
  int64_t n = 1;
  for (int a = type->rank - 1; a >= 0; n *= type->dim[a--])
    if (type->dim[a] > 1 && b->stride[a] != n) return false;
  return true;
}

static tg_value *first_elements(lower *L, tg_value *v) {
  if (tg_type_elements(v->type) == 1) return loops_scalar(L, v);
  const buffer *b = loops_info(L, v)->buf;
  if (!b || !row_major(b, &v->type)) b = loops_materialise_new(L, v, "printed");
  tg_value *x = loops_load_at(L, L->top, b->ptr, tg_vector_type(b->dtype, tg_printed_slots(v->type)), tg_dtypes[b->dtype].bits / 8, false);
  if (v->type.dtype == TG_E2M1) return loops_nibble_get(L, x, loops_const(L, TG_I1, 0));
  return v->type.dtype == TG_I1 ? loops_bin(L, TG_OP_NE, x, loops_const(L, TG_I8, 0)) : x;
}

void loops_print(lower *L, tg_op *op) {
  tg_value **in = TG_NEWN(L->arena, tg_value *, 2 * op->nin + 1);
  tg_text types = {.arena = L->arena};
  int n = 0;
  for (int i = 0; i < op->nin; i++) {
    tg_value *v = op->in[i];
    if (v->type.kind != TG_TILE && v->type.kind != TG_RANGE) continue;
    tg_text_add(&types, "%s%s", types.size ? ", " : "", tg_type_text(L->arena, v->type));
    if (v->type.kind == TG_TILE) {
      in[n++] = first_elements(L, v);
      continue;
    }
    if (!v->def) loops_refuse(L, op, "a range carried by a loop cannot be lowered; carry its start and end");
    for (int k = 0; k < 2; k++) in[n++] = loops_cast(L, loops_scalar(L, v->def->in[k]), TG_I64);
  }
  tg_attr attrs[] = {TG_ASTR("text", tg_attr_str(op, "text", "")), TG_ASTR("types", types.size ? types.data : "")};
  loops_op(L, L->top, TG_OP_DEBUG_PRINT, n, in, 2, attrs);
}
