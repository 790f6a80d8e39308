// Short names for the instructions that the arithmetic files of the llvm emitter are made of. `like` gives the type: a scalar or a vector.
#ifndef TG_LLVM_SHORT_H
#define TG_LLVM_SHORT_H

#include "codegen/llvm.h"

#define IR_BUILDER e->b
static inline LLVMValueRef ki(LLVMValueRef like, int64_t v) { return tg_llvm_int(LLVMTypeOf(like), v); }
static inline LLVMValueRef kf(LLVMValueRef like, double v) { return tg_llvm_float(LLVMTypeOf(like), v); }
static inline LLVMValueRef icmpk(tg_llvm *e, LLVMIntPredicate p, LLVMValueRef x, int64_t k) {
  return LLVMBuildICmp(IR_BUILDER, p, x, ki(x, k), "");
}
static inline LLVMValueRef andk(tg_llvm *e, LLVMValueRef x, int64_t k) { return LLVMBuildAnd(IR_BUILDER, x, ki(x, k), ""); }
static inline LLVMValueRef ork(tg_llvm *e, LLVMValueRef x, int64_t k) { return LLVMBuildOr(IR_BUILDER, x, ki(x, k), ""); }
static inline LLVMValueRef xork(tg_llvm *e, LLVMValueRef x, int64_t k) { return LLVMBuildXor(IR_BUILDER, x, ki(x, k), ""); }
static inline LLVMValueRef addk(tg_llvm *e, LLVMValueRef x, int64_t k) { return LLVMBuildAdd(IR_BUILDER, x, ki(x, k), ""); }
static inline LLVMValueRef shlk(tg_llvm *e, LLVMValueRef x, int k) { return LLVMBuildShl(IR_BUILDER, x, ki(x, k), ""); }
static inline LLVMValueRef shrk(tg_llvm *e, LLVMValueRef x, int k) { return LLVMBuildLShr(IR_BUILDER, x, ki(x, k), ""); }
static inline LLVMValueRef pick(tg_llvm *e, LLVMValueRef c, LLVMValueRef x, LLVMValueRef y) {
  return LLVMBuildSelect(IR_BUILDER, c, x, y, "");
}
static inline LLVMValueRef is_nan(tg_llvm *e, LLVMValueRef x) { return LLVMBuildFCmp(IR_BUILDER, LLVMRealUNO, x, x, ""); }
static inline LLVMValueRef zext(tg_llvm *e, LLVMValueRef x, LLVMTypeRef t) {
  return LLVMBuildZExt(IR_BUILDER, x, tg_llvm_like_value(x, t), "");
}
static inline LLVMValueRef cut_to(tg_llvm *e, LLVMValueRef x, LLVMTypeRef t) {
  return LLVMBuildTrunc(IR_BUILDER, x, tg_llvm_like_value(x, t), "");
}
static inline LLVMValueRef mulk(tg_llvm *e, LLVMValueRef x, double k) { return LLVMBuildFMul(IR_BUILDER, x, kf(x, k), ""); }
#undef IR_BUILDER

#endif
