// Where the operands of dots come from and what becomes of the results: who uses a value, what of an operand lies in shared memory, and
// how a result's rows run.
#include "codegen/simt.h"

// ---- users -----------------------------------------------------------------------------------------------------------------

static void note_uses(tg_op *op, void *user) {
  simt *s = user;
  for (int i = 0; i < op->nin; i++) {
    simt_note *note = simt_note_of(s, op->in[i]);
    simt_use *use = TG_NEW(s->arena, simt_use);
    *use = (simt_use){op, i, note->users};
    note->users = use;
    note->uses++;
  }
}

void simt_note_uses(simt *s, tg_launch *launch) { tg_walk(launch->body, note_uses, s); }

// ---- what lies in shared memory --------------------------------------------------------------------------------------------

static bool renames(const tg_op *op) { return (op->code == TG_OP_TRANSPOSE || op->code == TG_OP_RESHAPE) && op->in[0]->type.rank; }

const tg_value *simt_renamed(const tg_value *v) {
  while (v->def && renames(v->def)) v = v->def->in[0];
  return v;
}

bool simt_is_load(const tg_op *op) { return op && (op->code == TG_OP_LOAD || op->code == TG_OP_GATHER); }

bool simt_is_zero(const tg_value *v) {
  const tg_attr *a = v->def && v->def->code == TG_OP_CONST ? tg_find_attr(v->def, "value") : NULL;
  return a && (a->kind == TG_ATTR_INT ? a->i == 0 : a->f == 0 && !__builtin_signbit(a->f));
}

bool simt_is_masking(const tg_op *op) {
  return op && op->code == TG_OP_SELECT && op->out[0]->type.rank && simt_is_zero(op->in[2]) && simt_is_load(simt_renamed(op->in[1])->def);
}

const tg_value *simt_staged(simt *s, const tg_value *v) {
  const tg_value *at = simt_renamed(v), *own = at;
  if (simt_note_of(s, at)->stage) return at;
  if (simt_is_masking(at->def)) return simt_renamed(at->def->in[1]);
  for (int to = TG_BF16; at->def && at->def->code == TG_OP_CAST && at->type.dtype == to && at->def->in[0]->type.rank; to = TG_F32) {
    at = simt_renamed(at->def->in[0]);
    if (at->type.dtype == TG_E4M3) return at;
  }
  return own;
}

const tg_value *simt_under(const tg_value *v) { return v->def->in[v->def->code == TG_OP_SELECT]; }

// ---- who reads it ----------------------------------------------------------------------------------------------------------

// Whether a tile that lies in shared memory as `from` is read as `to` through a cast: codes that are widened on the way to a dot.
static bool is_read_widened(const tg_value *staged, const tg_op *cast) {
  int from = cast->in[0]->type.dtype, to = cast->out[0]->type.dtype;
  return staged->type.dtype == TG_E4M3 && (from == TG_E4M3 || (from == TG_F32 && to == TG_BF16)) && (to == TG_F32 || to == TG_BF16);
}

static bool find_readers(simt *s, const tg_value *v, const tg_value *staged, simt_readers *out) {
  for (const simt_use *u = simt_note_of(s, v)->users; u; u = u->next) {
    const tg_op *op = u->op;
    if (op->code == TG_OP_DOT && u->operand < 2 && simt_dot_row(s->machine, op)) {
      if (out->n == SIMT_MOST_READERS) return false;
      out->at[out->n++] = (simt_use){op, u->operand, NULL};
      continue;
    }
    bool masks = u->operand == 1 && simt_is_masking(op) && !out->mask && simt_is_load(staged->def);
    if (masks) out->mask = op;
    if (!masks && !renames(op) && !(op->code == TG_OP_CAST && op->out[0]->type.rank && is_read_widened(staged, op))) return false;
    if (!find_readers(s, op->out[0], staged, out)) return false;
  }
  return true;
}

// What a mask leaves of a load is the tile: nobody may see it without.
static bool masked_alone(simt *s, const simt_readers *r, const tg_value *staged) {
  for (const tg_value *v = r->mask ? r->mask->in[1] : staged; v != staged; v = v->def->in[0])
    if (simt_note_of(s, v)->uses != 1) return false;
  return !r->mask || simt_note_of(s, staged)->uses == 1;
}

bool simt_find_readers(simt *s, const tg_value *staged, simt_readers *out) {
  *out = (simt_readers){0};
  return find_readers(s, staged, staged, out) && out->n > 0 && masked_alone(s, out, staged);
}

// ---- how a result's rows run -----------------------------------------------------------------------------------------------

static bool is_left_operand(simt *s, const tg_value *v, int depth) {
  for (const simt_use *u = simt_note_of(s, v)->users; u && depth; u = u->next) {
    if (u->op->code == TG_OP_DOT && u->operand == 0) return true;
    if (tg_op_rows()[u->op->code].traits & TG_ELEMENTWISE && is_left_operand(s, u->op->out[0], depth - 1)) return true;
  }
  return false;
}

static bool is_left_operand_turned(simt *s, const tg_value *v, int depth) {
  for (const simt_use *u = simt_note_of(s, v)->users; u && depth; u = u->next) {
    const tg_op *op = u->op;
    bool on = (op->code == TG_OP_DOT && u->operand == 2) || tg_op_rows()[op->code].traits & TG_ELEMENTWISE;
    if (on && is_left_operand_turned(s, op->out[0], depth - 1)) return true;
    if (op->code == TG_OP_TRANSPOSE && is_left_operand(s, op->out[0], depth - 1)) return true;
  }
  return false;
}

bool simt_dot_is_turned(simt *s, const tg_op *op) {
  enum { FAR = 12 }; // ops from a dot to the next
  return is_left_operand_turned(s, op->out[0], FAR);
}
