// What can be told about a value from the ops that make it.
#include <math.h>

#include "codegen/llvm.h"

static const tg_value *splatted(const tg_value *v) {
  while (v->def && v->def->code == TG_OP_SPLAT) v = v->def->in[0];
  return v;
}

bool tg_llvm_known_int(const tg_value *v, int64_t *k) {
  v = splatted(v);
  return tg_is_const(v) && tg_const_as_int(v, k);
}

// ---- signs

static bool nonnegative_expr(const tg_expr *x) { // dims and statics are never negative
  if (!x) return false;
  switch (x->op) {
  case TG_EXPR_CONST: return x->value >= 0;
  case TG_EXPR_SYM: return true;
  case TG_EXPR_SUB: return false;
  default: return nonnegative_expr(x->a) && nonnegative_expr(x->b);
  }
}

static bool nonnegative(const tg_value *v, int depth) {
  if (!depth || v->type.kind != TG_TILE || tg_dtypes[v->type.dtype].cls != 'i') return false;
  if (!v->def) {
    const tg_op *owner = v->region->owner;
    if (!owner) return nonnegative_expr(v->region->launch->args[v->index].value);
    return owner->code == TG_OP_FOR && v->index == 0 && nonnegative(owner->in[0], depth - 1);
  }
  const tg_op *op = v->def;
  int64_t k;
#define IN(i) nonnegative(op->in[i], depth - 1)
  switch (op->code) {
  case TG_OP_CONST: return tg_const_as_int(v, &k) && k >= 0;
  case TG_OP_TID:
  case TG_OP_CTAID:
  case TG_OP_IOTA: return true;
  case TG_OP_ADD:
  case TG_OP_MUL: return v->type.dtype == TG_I64 && IN(0) && IN(1); // 64-bit sums and products of sizes do not wrap
  case TG_OP_DIV:
  case TG_OP_MIN:
  case TG_OP_REM: return IN(0) && IN(1);
  case TG_OP_AND:
  case TG_OP_MAX: return IN(0) || IN(1);
  case TG_OP_SHR:
  case TG_OP_SPLAT: return IN(0);
  case TG_OP_SELECT: return IN(1) && IN(2);
  case TG_OP_CAST: {
    const int from = op->in[0]->type.dtype;
    return from == TG_I1 || (tg_dtypes[from].cls == 'i' && tg_dtypes[from].bits <= tg_dtypes[v->type.dtype].bits && IN(0));
  }
  default: return false;
  }
#undef IN
}

bool tg_llvm_known_nonnegative(const tg_value *v) { return nonnegative(v, 8); }

// ---- NaN and -0

enum { DEPTH = 8 };
typedef enum oddity { IS_NAN, IS_MINUS_ZERO } oddity;

typedef struct assumption { // carried values of loops that are under examination: free of the oddity by induction
  oddity oddity;
  const tg_value *value[DEPTH];
  int n;
} assumption;

static bool never(const tg_value *v, int depth, assumption *a);

// A carried value is never odd if it does not start so and each trip keeps it.
static bool carried_never(const tg_op *loop, int index, int depth, assumption *a) {
  const tg_region *body = loop->regions[0];
  const tg_value *arg = body->args[index + 1];
  for (int i = 0; i < a->n; i++) {
    if (a->value[i] == arg) return true;
  }
  if (a->n == DEPTH || !never(loop->in[index + 2], depth - 1, a)) return false;
  a->value[a->n++] = arg;
  const bool kept = never(body->last->in[index], depth - 1, a);
  a->n--;
  return kept;
}

static bool both_never(const tg_op *op, int first, int depth, assumption *a) {
  return never(op->in[first], depth - 1, a) && never(op->in[first + 1], depth - 1, a);
}

static bool never(const tg_value *v, int depth, assumption *a) {
  const bool nan = a->oddity == IS_NAN;
  double k;
  if (!depth) return false;
  if (!v->def) {
    const tg_op *owner = v->region->owner;
    return owner && owner->code == TG_OP_FOR && v->index > 0 && carried_never(owner, (int)v->index - 1, depth, a);
  }
  const tg_op *op = v->def;
  switch (op->code) {
  case TG_OP_CONST: return tg_const_as_float(v, &k) && !(nan ? isnan(k) : k == 0 && signbit(k));
  case TG_OP_ABS: return !nan || never(op->in[0], depth - 1, a);
  case TG_OP_NEG: return nan && never(op->in[0], depth - 1, a);
  case TG_OP_SPLAT: return never(op->in[0], depth - 1, a);
  case TG_OP_VREDUCE: return strncmp(tg_attr_str(op, "kind", ""), "m", 1) == 0 && never(op->in[0], depth - 1, a); // min and max alone
  case TG_OP_MINNUM:
  case TG_OP_MAXNUM:
    if (nan) return never(op->in[0], depth - 1, a) || never(op->in[1], depth - 1, a);
    return both_never(op, 0, depth, a);
  case TG_OP_MIN:
  case TG_OP_MAX: return both_never(op, 0, depth, a);
  case TG_OP_SELECT: return both_never(op, 1, depth, a);
  case TG_OP_CAST: return tg_dtypes[op->in[0]->type.dtype].cls == 'i';
  case TG_OP_FOR: return carried_never(op, (int)v->index, depth, a);
  default: return false;
  }
}

bool tg_llvm_never_nan(const tg_value *v) {
  assumption a = {.oddity = IS_NAN};
  return never(v, DEPTH, &a);
}

bool tg_llvm_never_minus_zero(const tg_value *v) {
  assumption a = {.oddity = IS_MINUS_ZERO};
  return never(v, DEPTH, &a);
}

static bool never_zero(const tg_value *v) {
  double k;
  if (v->def && v->def->code == TG_OP_SPLAT) return never_zero(v->def->in[0]);
  return v->def && v->def->code == TG_OP_CONST && tg_const_as_float(v, &k) && k != 0;
}

bool tg_llvm_unlike_zeros(const tg_op *op) {
  const int dtype = op->in[0]->type.dtype;
  if (dtype == TG_E4M3FNUZ || dtype == TG_E8M0 || never_zero(op->in[0]) || never_zero(op->in[1])) return false;
  return !(tg_llvm_never_minus_zero(op->in[0]) && tg_llvm_never_minus_zero(op->in[1]));
}

// ---- short NaN

// A NaN whose lower 16 bits are 0: what remains of a NaN of bf16 and of those that x86 makes itself, and what arithmetic on such gives,
// which is one of its operands' or a new one. The upper half of a short NaN is a NaN, and rounding to bf16 does not carry out of it. A
// splat is made so at the scalar.
typedef struct shorts {
  int *seen, search;         // by value id, the last search that met it: a search ends at the first value that is not short
  const tg_value *splat[32]; // met by this search
  int nsplats;
} shorts;

// The lower 16 bits are 0, or it is made of such: what math.c makes powers of two of.
static bool upper_half(const tg_value *v, int depth) {
  int64_t k;
  if (!depth) return false;
  if (tg_llvm_known_int(v, &k)) return (k & 0xffff) == 0;
  if (v->def && v->def->code == TG_OP_SHL) return tg_llvm_known_int(v->def->in[1], &k) && k >= 16 && k < 32;
  return v->def && v->def->code == TG_OP_ADD && upper_half(v->def->in[0], depth - 1) && upper_half(v->def->in[1], depth - 1);
}

static bool is_short(shorts *s, const tg_value *v, int depth) {
  const tg_op *op = v->def;
  if (!depth || !op || v->type.dtype != TG_F32) return false;
  if (s->seen[v->id] == s->search) return true;
  s->seen[v->id] = s->search;
  int first = 0;
  switch (op->code) {
  case TG_OP_CONST: return true;
  case TG_OP_CAST: return op->in[0]->type.dtype == TG_BF16 || tg_dtypes[op->in[0]->type.dtype].cls == 'i';
  case TG_OP_BITCAST: return op->in[0]->type.dtype == TG_I32 && upper_half(op->in[0], DEPTH);
  case TG_OP_SPLAT:
    if (tg_llvm_never_nan(op->in[0])) return true;
    if (s->nsplats == (int)(sizeof s->splat / sizeof *s->splat)) return false;
    s->splat[s->nsplats++] = v;
    return true;
  case TG_OP_SELECT: first = 1; break;
  case TG_OP_NEG:
  case TG_OP_ABS:
  case TG_OP_SQRT:
  case TG_OP_EXP2:
  case TG_OP_ADD:
  case TG_OP_SUB:
  case TG_OP_MUL:
  case TG_OP_DIV:
  case TG_OP_FMA:
  case TG_OP_MIN:
  case TG_OP_MAX:
  case TG_OP_MINNUM:
  case TG_OP_MAXNUM: break;
  default: return false;
  }
  for (int i = first; i < op->nin; i++)
    if (!is_short(s, op->in[i], depth - 1)) return false;
  return true;
}

typedef struct short_walk {
  tg_llvm *e;
  shorts s;
} short_walk;

static void find_short(tg_op *op, void *user) {
  enum { LONGEST = 64 };
  short_walk *w = user;
  if (op->code != TG_OP_CAST || op->in[0]->type.dtype != TG_F32 || !op->in[0]->type.rank) return;
  w->s.search++, w->s.nsplats = 0;
  if (!is_short(&w->s, op->in[0], LONGEST)) return;
  w->e->short_nan[op->out[0]->id] = true;
  for (int i = 0; i < w->s.nsplats; i++) w->e->short_nan[w->s.splat[i]->id] = true;
}

void tg_llvm_find_short_nans(tg_llvm *e) {
  const size_t n = e->kernel->next_id;
  e->short_nan = TG_NEWN(e->arena, bool, n);
  short_walk w = {.e = e, .s = {.seen = TG_NEWN(e->arena, int, n)}};
  if (e->fma) tg_walk(e->launch->body, find_short, &w);
}
