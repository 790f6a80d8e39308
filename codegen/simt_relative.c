// Addresses in loops of warp groups' products. Several rows of one tensor, each of which lies as far behind its start on every trip: the
// first row's address is made of its start and the distance, the others' of the first's and what lies between the rows, which takes no more
// than an addition and spares the start's registers (ptxas would copy them to a pair, every trip, to multiply and add at once).
#include "codegen/simt.h"

static bool is_start(const tg_value *v, const tg_region *body) {
  const tg_op *op = v->def;
  return op && op->code == TG_OP_PTRADD && op->parent != body && v->type.space == TG_GLOBAL;
}

static void follow_first(tg_op *op, const tg_region *body, tg_builder *before) {
  for (const tg_op *first = body->first; first != op; first = first->next) {
    if (first->code != TG_OP_PTRADD || first->in[1] != op->in[1] || !is_start(first->in[0], body)) continue;
    const tg_op *a = first->in[0]->def, *b = op->in[0]->def;
    if (a->in[0] != b->in[0]) continue;
    op->in[1] = tg_build2(before, TG_OP_SUB, b->in[1], a->in[1]);
    op->in[0] = first->out[0];
    return;
  }
}

static void find_loop(tg_op *op, void *user) {
  tg_region *body = op->code == TG_OP_FOR ? op->regions[0] : NULL;
  bool multiplies = false;
  for (const tg_op *o = body ? body->first : NULL; o; o = o->next) multiplies |= o->code == TG_OP_WGMMA;
  if (!multiplies) return;
  tg_builder before = {.kernel = user, .region = op->parent, .before = op, .loc = op->loc};
  for (tg_op *o = body->first; o; o = o->next)
    if (o->code == TG_OP_PTRADD && o->in[1]->def && o->in[1]->def->parent == body && is_start(o->in[0], body))
      follow_first(o, body, &before);
}

void simt_relate_addresses(simt *s, tg_launch *launch) { tg_walk(launch->body, find_loop, s->lane); }
