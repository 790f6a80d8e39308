// Moves loads of inputs down to where their values are first used. A tile is loaded whole where the kernel says so; a dot that walks over k
// needs only some of it at a time, and registers should hold no more than that.
#include "codegen/simt.h"

typedef struct sinking {
  tg_op **first_user; // by value id: first op of the region at work that uses it, itself or in a nested region
} sinking;

static bool may_sink(const tg_op *op) {
  switch (op->code) {
  case TG_OP_LLOAD:
  case TG_OP_LOADM: return tg_attr_int(op, "const", 0); // nobody writes what it reads
  case TG_OP_EXTRACT:
  case TG_OP_SHUFFLE:
  case TG_OP_INSERT:
  case TG_OP_SPLAT:
  case TG_OP_SELECT:
  case TG_OP_CAST:
  case TG_OP_BITCAST:
  case TG_OP_PTRADD: return true;
  default: return false;
  }
}

// An op's place in its region, as the place of the op that stood there at first; ops moved before it share it.
static intptr_t place(const tg_op *op) { return (intptr_t)op->note; }

static bool is_before(const tg_op *a, const tg_op *b) {
  if (place(a) != place(b)) return place(a) < place(b);
  for (const tg_op *op = a; op && place(op) == place(a); op = op->next)
    if (op == b) return true;
  return false;
}

static void note_use(sinking *s, const tg_value *v, tg_op *user) {
  tg_op **first = &s->first_user[v->id];
  if (!*first || (*first)->parent != user->parent || is_before(user, *first)) *first = user;
}

typedef struct inner_uses {
  sinking *s;
  tg_op *user;
} inner_uses;

static void note_inner(tg_op *op, void *arg) {
  inner_uses *u = arg;
  for (int i = 0; i < op->nin; i++) note_use(u->s, op->in[i], u->user);
}

static void sink_op(sinking *s, tg_op *op) {
  tg_op *target = NULL;
  for (int i = 0; i < op->nout; i++) {
    tg_op *user = s->first_user[op->out[i]->id];
    if (user && user->parent == op->parent && (!target || is_before(user, target))) target = user;
  }
  if (target && may_sink(op) && target != op->next) {
    tg_move_before(op, target);
    op->note = target->note;
  }
  for (int i = 0; i < op->nin; i++) note_use(s, op->in[i], op);
  inner_uses inner = {s, op};
  for (int r = 0; r < op->nregions; r++) tg_walk(op->regions[r], note_inner, &inner);
}

static void sink_region(sinking *s, tg_region *region) {
  intptr_t n = 0;
  for (tg_op *op = region->first; op; op = op->next) op->note = (void *)++n;
  for (tg_op *op = region->last, *before; op; op = before) {
    before = op->prev;
    sink_op(s, op);
  }
  for (tg_op *op = region->first; op; op = op->next) op->note = NULL;
  for (tg_op *op = region->first; op; op = op->next)
    for (int r = 0; r < op->nregions; r++) sink_region(s, op->regions[r]);
}

void simt_sink_loads(simt *s, tg_launch *launch) {
  sinking sinking = {TG_NEWN(s->arena, tg_op *, s->lane->next_id + 1)};
  sink_region(&sinking, launch->body);
}
