// Where a product's columns lie in the lanes. Which columns of a tile the instruction's columns are is free, as long as B and C agree: four
// lanes that hold two neighbours each, as the instruction has them, store 16 bytes of a row at once, half of a sector; with the columns
// dealt out otherwise each of them has 16 bytes of its own.
#include "codegen/simt.h"

typedef struct following {
  simt *s;
  const tg_op *dot;
  bool changed, elsewhere; // elsewhere: somebody else than stores has a use for the sums
  int bits;                // of the narrowest element stored; 0: none
} following;

static bool reached(const following *f, const tg_value *v) { return simt_note_of(f->s, v)->reached == f->s->walks; }

static void reach(following *f, const tg_value *v) {
  if (reached(f, v)) return;
  simt_note_of(f->s, v)->reached = f->s->walks;
  f->changed = true;
}

static void follow_yield(following *f, const tg_op *op, int i) {
  const tg_op *owner = op->parent->owner;
  if (owner && owner->code == TG_OP_FOR) reach(f, owner->regions[0]->args[1 + i]), reach(f, owner->out[i]);
  else if (owner && owner->code == TG_OP_IF) reach(f, owner->out[i]);
  else f->elsewhere = true;
}

static void follow_use(following *f, const tg_op *op, int i) {
  if (tg_op_rows()[op->code].traits & TG_ELEMENTWISE) {
    reach(f, op->out[0]);
    return;
  }
  switch (op->code) {
  case TG_OP_YIELD: follow_yield(f, op, i); break;
  case TG_OP_FOR: reach(f, op->regions[0]->args[i - 1]), reach(f, op->out[i - 2]); break; // operands: both bounds, then what is carried
  case TG_OP_STORE: {
    const int bits = tg_dtypes[op->in[i]->type.dtype].bits;
    f->bits = !f->bits || bits < f->bits ? bits : f->bits;
    break;
  }
  case TG_OP_DOT: f->elsewhere |= op != f->dot || i != 2; break;
  default: f->elsewhere = true;
  }
}

static void follow_op(tg_op *op, void *user) {
  following *f = user;
  for (int i = 0; i < op->nin; i++)
    if (reached(f, op->in[i])) follow_use(f, op, i);
}

int simt_columns_together(simt *s, const tg_op *dot) {
  following f = {.s = s, .dot = dot};
  if (dot->in[2]->def && dot->in[2]->def->code == TG_OP_DOT) return 1;
  s->walks++;
  reach(&f, dot->out[0]);
  while (f.changed && !f.elsewhere) {
    f.changed = false;
    tg_walk(s->launch->body, follow_op, &f);
  }
  return f.elsewhere || !f.bits ? 1 : 128 / f.bits;
}
