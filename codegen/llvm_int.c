// Integer division, remainder and shifts, which tegula defines where LLVM does not.
#include "codegen/llvm_short.h"

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
  if (tg_llvm_known_int(op->in[1], &k) && k > 0) return divide_positive(e, x, k, xn);
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
  if (tg_llvm_known_int(op->in[1], &k) && (k < 0 || k >= width)) return ki(x, 0);
  LLVMValueRef r = left ? LLVMBuildShl(e->b, x, y, "") : LLVMBuildAShr(e->b, x, y, "");
  if (tg_llvm_known_int(op->in[1], &k)) return r;
  return pick(e, icmpk(e, LLVMIntULT, y, width), r, ki(x, 0)); // what is not picked may be poison
}
