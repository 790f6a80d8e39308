// Which vectors are held in pairs' order: the elements of even index first, then those of odd index.
//
// A 32-bit word of memory holds two bf16. The odd one is the word without its lower half, the even one the word moved up by it: one
// instruction for each, where elements in their own order must first be spread over words and then moved. On the way back the two
// interleave in place of a pack and a permutation across the register. What lies between does not care about the order, as long as all
// operands share it; so vectors are put into classes that must agree, and a class is held in pairs' order when it meets a bf16 and nothing
// in it tells.
#include "codegen/llvm.h"

typedef struct classes {
  tg_llvm *e;
  uint32_t *parent; // by value id
  bool *fixed;      // of a class: its order shows
  bool *gains;      // of a class: it meets a bf16
} classes;

static uint32_t class_of(classes *c, const tg_value *v) {
  uint32_t i = v->id;
  while (c->parent[i] != i) i = c->parent[i] = c->parent[c->parent[i]];
  return i;
}

static bool is_vector(const tg_value *v) { return v->type.kind == TG_TILE && v->type.rank == 1; }

static bool same_in_any_order(const tg_value *v) {
  return v->def && (v->def->code == TG_OP_SPLAT || v->def->code == TG_OP_CONST || v->def->code == TG_OP_UNDEF);
}

// Two registers full of 32-bit elements, or of the truth about them.
static bool can_pair(const classes *c, const tg_value *v) {
  const int dtype = v->type.dtype;
  return is_vector(v) && (dtype == TG_F32 || dtype == TG_I32 || dtype == TG_I1) && v->type.dim[0] % 2 == 0 &&
         v->type.dim[0] * 16 >= c->e->options->machine->vector_bits && !same_in_any_order(v);
}

static void fix(classes *c, const tg_value *v) {
  if (can_pair(c, v)) c->fixed[class_of(c, v)] = true;
}

static void unite(classes *c, const tg_value *v, const tg_value *w) {
  if (same_in_any_order(v) || same_in_any_order(w)) return;
  if (!can_pair(c, v) || !can_pair(c, w)) {
    fix(c, v), fix(c, w);
    return;
  }
  const uint32_t i = class_of(c, v), k = class_of(c, w);
  c->parent[k] = i;
  c->fixed[i] |= c->fixed[k], c->gains[i] |= c->gains[k];
}

static void unite_all(classes *c, const tg_op *op) {
  for (int i = 0; i < op->nin; i++)
    if (is_vector(op->in[i])) unite(c, op->out[0], op->in[i]);
}

static void fix_all(classes *c, const tg_op *op) {
  for (int i = 0; i < op->nin; i++) fix(c, op->in[i]);
  for (int i = 0; i < op->nout; i++) fix(c, op->out[i]);
}

static bool gains(classes *c, const tg_value *v) {
  if (can_pair(c, v)) c->gains[class_of(c, v)] = true;
  return true;
}

static bool cast(classes *c, const tg_op *op) {
  const int from = op->in[0]->type.dtype, to = op->out[0]->type.dtype;
  if (from == TG_BF16 && to == TG_F32) return gains(c, op->out[0]);
  if (from == TG_F32 && to == TG_BF16) return gains(c, op->in[0]);
  if (from == TG_F32 && tg_dtypes[to].cls == 'f' && tg_dtypes[to].bits == 8) return true; // interleaved while it is narrowed
  return false;
}

static void look_at(tg_op *op, void *user) {
  classes *c = user;
  switch (op->code) {
  case TG_OP_CAST:
    if (cast(c, op)) return;
    break;
  case TG_OP_VREDUCE: {
    const char *kind = tg_attr_str(op, "kind", "");
    if (strcmp(kind, "sum") && strcmp(kind, "prod")) return;
    fix_all(c, op);
    return;
  }
  case TG_OP_SPLAT:
  case TG_OP_CONST:
  case TG_OP_UNDEF:
  case TG_OP_YIELD: return; // the latter by its owner
  case TG_OP_FOR:
    for (int i = 0; i < op->nout; i++) {
      const tg_value *arg = op->regions[0]->args[i + 1], *next = op->regions[0]->last->in[i];
      if (!is_vector(arg)) continue;
      unite(c, arg, op->in[i + 2]), unite(c, arg, next), unite(c, arg, op->out[i]);
    }
    return;
  case TG_OP_IF:
    for (int i = 0; i < op->nout; i++)
      for (int r = 0; r < 2; r++)
        if (is_vector(op->out[i])) unite(c, op->out[i], op->regions[r]->last->in[i]);
    return;
  case TG_OP_WHILE:
    fix_all(c, op);
    for (int r = 0; r < 2; r++) {
      for (int i = 0; i < op->regions[r]->nargs; i++) fix(c, op->regions[r]->args[i]);
      for (int i = 0; op->regions[r]->last && i < op->regions[r]->last->nin; i++) fix(c, op->regions[r]->last->in[i]);
    }
    return;
  default: break;
  }
  if ((tg_op_rows()[op->code].traits & TG_ELEMENTWISE) && op->nout == 1 && is_vector(op->out[0])) unite_all(c, op);
  else fix_all(c, op);
}

// Only casts ask.
static void mark(tg_op *op, void *user) {
  classes *c = user;
  if (op->code != TG_OP_CAST) return;
  const tg_value *both[] = {op->in[0], op->out[0]};
  for (int i = 0; i < 2; i++) {
    const uint32_t k = class_of(c, both[i]);
    c->e->pairs[both[i]->id] = can_pair(c, both[i]) && c->gains[k] && !c->fixed[k];
  }
}

void tg_llvm_find_pairs(tg_llvm *e) {
  const size_t n = e->kernel->next_id;
  classes c = {.e = e, .parent = TG_NEWN(e->arena, uint32_t, n), .fixed = TG_NEWN(e->arena, bool, n), .gains = TG_NEWN(e->arena, bool, n)};
  for (size_t i = 0; i < n; i++) c.parent[i] = (uint32_t)i;
  e->pairs = TG_NEWN(e->arena, bool, n);
  tg_walk(e->launch->body, look_at, &c);
  tg_walk(e->launch->body, mark, &c);
}
