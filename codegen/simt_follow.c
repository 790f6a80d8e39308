// What the thread that asks for boxes has to know: where they begin, and the way to their folds through loops and branches. It computes
// that for itself, from the launch's arguments and from inputs; what other threads would have to tell it, it cannot follow.
#include "codegen/simt_pipe.h"

typedef struct following {
  simt *s;
  tg_arena arena;    // for as long as the question is open
  const tg_op *loop; // that is to be found; NULL: those of all pipes
  const tg_op *const *loads;
  bool *seen;             // by value id
  const tg_value **ahead; // values that are needed and yet to be looked at
  int n;
  bool fine;
} following;

static void need(following *f, const tg_value *v) {
  if (f->seen[v->id]) return;
  f->seen[v->id] = true;
  f->ahead[f->n++] = v;
}

static void need_control(following *f, const tg_op *op) {
  switch (op->code) {
  case TG_OP_FOR:
    for (int i = 0; i < 2; i++) need(f, op->in[i]);
    break;
  case TG_OP_IF: need(f, op->in[0]); break;
  case TG_OP_WHILE: need(f, op->regions[0]->last->in[0]); break;
  default: f->fine = false;
  }
}

// Value i of those that a loop or branch hands on: all that it is made of, and the way it takes.
static void need_carried(following *f, const tg_op *op, int i) {
  if (op->code != TG_OP_FOR && op->code != TG_OP_WHILE && op->code != TG_OP_IF) {
    f->fine = false;
    return;
  }
  need(f, op->out[i]);
  need_control(f, op);
  if (op->code == TG_OP_FOR) need(f, op->in[2 + i]), need(f, op->regions[0]->args[1 + i]);
  if (op->code == TG_OP_WHILE) need(f, op->in[i]);
  for (int r = 0; r < op->nregions; r++) {
    if (op->code == TG_OP_WHILE) need(f, op->regions[r]->args[i]);
    if (op->code == TG_OP_WHILE && r == 0) continue; // ends with the condition alone
    if (op->regions[r]->last) need(f, op->regions[r]->last->in[i]);
  }
}

static void need_operands(following *f, const tg_op *op) {
  const bool loads = op->code == TG_OP_LOAD;
  if (op->nout != 1 || op->nregions || (loads ? !simt_reads_input(f->s, op) : !(tg_op_rows()[op->code].traits & TG_PURE))) f->fine = false;
  if (loads && (!op->in[0]->def || op->in[0]->def->code != TG_OP_PARAM)) f->fine = false; // others see whether a view leads outside
  for (int i = loads; i < op->nin; i++) need(f, op->in[i]);
}

static void look_at(following *f, const tg_value *v) {
  const bool scalar = v->type.kind == TG_TILE && v->type.rank == 0;
  if (!scalar && !(v->type.kind == TG_RANGE && v->def && v->def->code == TG_OP_RANGE)) f->fine = false;
  else if (v->def && v->def->nregions) need_carried(f, v->def, (int)v->index);
  else if (v->def) need_operands(f, v->def);
  else if (!v->region->owner) f->fine = false;
  else if (v->region->owner->code != TG_OP_FOR) need_carried(f, v->region->owner, (int)v->index);
  else if (v->index == 0) need_control(f, v->region->owner);
  else need_carried(f, v->region->owner, (int)v->index - 1);
}

static void need_way(following *f, const tg_op *loop, const tg_op *const loads[2]) {
  for (const tg_op *op = loop; op && f->fine; op = op->parent->owner) need_control(f, op);
  for (int k = 0; k < 2; k++)
    for (int i = 1; i < loads[k]->nin; i++) {
      const tg_value *index = loads[k]->in[i];
      need(f, index->type.kind == TG_RANGE && index->def ? index->def->in[0] : index);
    }
  while (f->n && f->fine) look_at(f, f->ahead[--f->n]);
}

static void look_around(void *user) {
  following *f = user;
  const int n = f->s->tile->next_id + 1;
  f->seen = TG_NEWN(&f->arena, bool, n), f->ahead = TG_NEWN(&f->arena, const tg_value *, n);
  if (f->loop) {
    need_way(f, f->loop, f->loads);
    return;
  }
  for (const simt_pipe *p = f->s->pipes; p; p = p->next) need_way(f, p->loop, (const tg_op *const[]){p->box[0].load, p->box[1].load});
  f->s->followed = TG_NEWN(f->s->arena, bool, n);
  memcpy(f->s->followed, f->seen, sizeof(bool) * (size_t)n);
}

static bool can_follow(simt *s, const tg_op *loop, const tg_op *const *loads) {
  following f = {.s = s, .loop = loop, .loads = loads, .fine = true};
  tg_arena_init(&f.arena, s->ctx);
  const tg_status status = tg_protect(s->ctx, look_around, &f);
  tg_arena_free(&f.arena);
  if (status != TG_OK) tg_rethrow(s->ctx);
  return f.fine;
}

bool simt_can_follow(simt *s, const tg_op *loop, const tg_op *const loads[2]) { return can_follow(s, loop, loads); }
void simt_plan_following(simt *s) { can_follow(s, NULL, NULL); }

bool simt_has_pipe(simt *s, const tg_op *op) {
  for (const simt_pipe *p = s->pipes; p; p = p->next)
    for (const tg_op *at = p->loop; at; at = at->parent->owner)
      if (at == op) return true;
  return false;
}

bool simt_is_followed(simt *s, const tg_op *op) {
  for (int i = 0; i < op->nout; i++)
    if (s->followed[op->out[i]->id]) return true;
  return simt_has_pipe(s, op);
}
