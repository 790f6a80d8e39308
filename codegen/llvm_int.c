// Integer division, remainder and shifts, which tegula defines where LLVM does not; and what is known about signs.
#include "codegen/llvm_short.h"

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

static bool constant(const tg_value *v, int64_t *k) { // also of a splat
  while (v->def && v->def->code == TG_OP_SPLAT) v = v->def->in[0];
  return tg_is_const(v) && tg_const_as_int(v, k);
}

// ---- division

typedef struct quotient {
  LLVMValueRef div, rem; // floored; what is not needed is dead code
} quotient;

static quotient divide_positive(tg_llvm *e, LLVMValueRef x, int64_t k, bool x_nonnegative) {
  LLVMBuilderRef b = e->b;
  const LLVMValueRef d = ki(x, k);
  if ((k & (k - 1)) == 0) { // arithmetic shift is floor division
    const int shift = __builtin_ctzll((unsigned long long)k);
    return (quotient){x_nonnegative ? shrk(e, x, shift) : LLVMBuildAShr(b, x, ki(x, shift), ""), andk(e, x, k - 1)};
  }
  if (x_nonnegative) return (quotient){LLVMBuildUDiv(b, x, d, ""), LLVMBuildURem(b, x, d, "")};
  LLVMValueRef q = LLVMBuildSDiv(b, x, d, ""), r = LLVMBuildSRem(b, x, d, "");
  LLVMValueRef low = icmpk(e, LLVMIntSLT, r, 0);
  return (quotient){LLVMBuildAdd(b, q, LLVMBuildSExt(b, low, LLVMTypeOf(x), ""), ""), LLVMBuildAdd(b, r, pick(e, low, d, ki(x, 0)), "")};
}

static quotient divide(tg_llvm *e, const tg_op *op) {
  LLVMBuilderRef b = e->b;
  LLVMValueRef x = tg_llvm_in(op, 0), y = tg_llvm_in(op, 1);
  const bool xn = tg_llvm_known_nonnegative(op->in[0]), yn = tg_llvm_known_nonnegative(op->in[1]);
  int64_t k;
  if (constant(op->in[1], &k) && k > 0) return divide_positive(e, x, k, xn);
  LLVMValueRef zero = icmpk(e, LLVMIntEQ, y, 0), nothing = ki(x, 0);
  if (xn && yn) {
    LLVMValueRef d = pick(e, zero, ki(y, 1), y);
    return (quotient){pick(e, zero, nothing, LLVMBuildUDiv(b, x, d, "")), pick(e, zero, nothing, LLVMBuildURem(b, x, d, ""))};
  }
  // The least integer / -1 wraps to itself with remainder 0, which is what dividing it by 1 gives.
  const unsigned width = LLVMGetIntTypeWidth(tg_llvm_element(e, op->in[0]->type.dtype));
  LLVMValueRef least = icmpk(e, LLVMIntEQ, x, (int64_t)(UINT64_C(1) << (width - 1)));
  LLVMValueRef wraps = LLVMBuildAnd(b, least, icmpk(e, LLVMIntEQ, y, -1), "");
  LLVMValueRef d = pick(e, LLVMBuildOr(b, zero, wraps, ""), ki(y, 1), y);
  LLVMValueRef q = LLVMBuildSDiv(b, x, d, ""), r = LLVMBuildSRem(b, x, d, "");
  // Floor: one less where the remainder is not 0 and has not the divisor's sign.
  LLVMValueRef unlike = icmpk(e, LLVMIntSLT, LLVMBuildXor(b, r, d, ""), 0);
  LLVMValueRef low = LLVMBuildAnd(b, unlike, icmpk(e, LLVMIntNE, r, 0), "");
  q = LLVMBuildAdd(b, q, pick(e, low, ki(q, -1), nothing), "");
  r = LLVMBuildAdd(b, r, pick(e, low, d, nothing), "");
  return (quotient){pick(e, zero, nothing, q), pick(e, zero, nothing, r)};
}

LLVMValueRef tg_llvm_int_div(tg_llvm *e, const tg_op *op) { return divide(e, op).div; }

LLVMValueRef tg_llvm_int_rem(tg_llvm *e, const tg_op *op) { return divide(e, op).rem; }

// ---- shifts

LLVMValueRef tg_llvm_shift(tg_llvm *e, const tg_op *op) {
  const bool left = op->code == TG_OP_SHL;
  LLVMValueRef x = tg_llvm_in(op, 0), y = tg_llvm_in(op, 1);
  if (op->in[0]->type.dtype == TG_I1) return LLVMBuildAnd(e->b, x, LLVMBuildNot(e->b, y, ""), ""); // only a shift by 0 keeps the bit
  const int width = tg_dtypes[op->in[0]->type.dtype].bits;
  int64_t k;
  if (constant(op->in[1], &k) && (k < 0 || k >= width)) return ki(x, 0);
  LLVMValueRef r = left ? LLVMBuildShl(e->b, x, y, "") : LLVMBuildAShr(e->b, x, y, "");
  if (constant(op->in[1], &k)) return r;
  return pick(e, icmpk(e, LLVMIntULT, y, width), r, ki(x, 0)); // what is not picked may be poison
}
