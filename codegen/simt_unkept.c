// Rows that no store keeps: where a range ends as only the block knows, the copy unit brings what lies beyond it. Rows of a product say
// nothing of one another, so that does no harm as long as nothing but stores along the same range sees the result.
#include "codegen/simt_pipe.h"

typedef struct use {
  const tg_op *op;
  int operand;
  struct use *next;
} use;

typedef struct keeping {
  simt *s;
  tg_arena arena; // for as long as the question is open
  const tg_value *of;
  const tg_op *range;
  int axis;               // of the result
  use **uses;             // by value id
  const tg_value **ahead; // values whose uses are yet to be looked at
  int n;
  bool *seen, kept;
} keeping;

static void look_at(keeping *k, const tg_value *v) {
  if (k->seen[v->id]) return;
  k->seen[v->id] = true;
  k->ahead[k->n++] = v;
}

static bool is_made_in(const tg_value *v, const tg_op *loop) {
  for (const tg_region *r = v->def ? v->def->parent : v->region; r; r = r->owner ? r->owner->parent : NULL)
    if (r->owner == loop) return true;
  return false;
}

// Whether the range may be another on every trip.
static bool changes_in(const keeping *k, const tg_op *loop) {
  for (int i = 0; i < 2; i++)
    if (is_made_in(k->range->in[i], loop) && !tg_launch_expr(k->s->arena, k->range->in[i])) return true;
  return false;
}

// What a loop hands on from a trip is stored along a later trip's range.
static void look_at_carried(keeping *k, const tg_op *op, int i) {
  const bool loops = op->code == TG_OP_FOR || op->code == TG_OP_WHILE;
  if (loops && changes_in(k, op)) k->kept = true;
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

static void note_uses(tg_op *op, void *user) {
  keeping *k = user;
  for (int i = 0; i < op->nin; i++) {
    use *u = TG_NEW(&k->arena, use), **first = &k->uses[op->in[i]->id];
    *u = (use){op, i, *first};
    *first = u;
  }
}

static void look_around(void *user) {
  keeping *k = user;
  const int n = k->s->tile->next_id + 1;
  k->uses = TG_NEWN(&k->arena, use *, n), k->ahead = TG_NEWN(&k->arena, const tg_value *, n), k->seen = TG_NEWN(&k->arena, bool, n);
  tg_walk(k->range->parent->launch->body, note_uses, k);
  look_at(k, k->of);
  while (k->n && !k->kept)
    for (const use *u = k->uses[k->ahead[--k->n]->id]; u && !k->kept; u = u->next) look_at_use(k, u->op, u->operand);
}

static bool nothing_keeps(simt *s, const tg_value *v, int axis, const tg_op *range) {
  keeping k = {.s = s, .of = v, .range = range, .axis = axis};
  tg_arena_init(&k.arena, s->ctx);
  const tg_status status = tg_protect(s->ctx, look_around, &k);
  tg_arena_free(&k.arena);
  if (status != TG_OK) tg_rethrow(s->ctx);
  return !k.kept;
}

bool simt_load_is_unkept(simt *s, const tg_op *load, int axis, const tg_op *range) { return nothing_keeps(s, load->out[0], axis, range); }

bool simt_is_unkept(simt *s, const tg_op *dot, int axis, const tg_op *range, const tg_expr *dim) {
  if (!simt_ends_within(s, simt_size_of(s, range->in[1]), (simt_size){.e = dim})) return false; // else there might be no such rows at all
  return nothing_keeps(s, dot->out[0], axis, range);
}
