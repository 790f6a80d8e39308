// Making, taking apart and reducing short vectors.
#include <math.h>
#include <stdlib.h>

#include "codegen/llvm_short.h"

static void emit_splat(tg_llvm *e, tg_op *op) {
  LLVMValueRef x = tg_llvm_in(op, 0);
  if (e->short_nan && e->short_nan[op->out[0]->id]) x = pick(e, is_nan(e, x), kf(x, NAN), x);
  tg_llvm_set(op, tg_llvm_splat(e, x, (unsigned)op->out[0]->type.dim[0]));
}

static void emit_regroup(tg_llvm *e, tg_op *op) {
  tg_llvm_set(op, LLVMBuildBitCast(e->b, tg_llvm_in(op, 0), tg_llvm_type(e, op->out[0]->type), ""));
}

static void emit_undef(tg_llvm *e, tg_op *op) { tg_llvm_set(op, LLVMGetUndef(tg_llvm_type(e, op->out[0]->type))); }

static void emit_iota(tg_llvm *e, tg_op *op) {
  const tg_type type = op->out[0]->type;
  const unsigned n = (unsigned)type.dim[0];
  LLVMTypeRef element = tg_llvm_element(e, type.dtype);
  LLVMValueRef *values = TG_NEWN(e->arena, LLVMValueRef, n);
  for (unsigned i = 0; i < n; i++) values[i] = LLVMConstInt(element, i, 0);
  tg_llvm_set(op, LLVMConstVector(values, n));
}

static void emit_extract(tg_llvm *e, tg_op *op) {
  LLVMValueRef index = op->nin > 1 ? tg_llvm_in(op, 1) : LLVMConstInt(e->i32, (unsigned long long)tg_attr_int(op, "i", 0), 0);
  tg_llvm_set(op, LLVMBuildExtractElement(e->b, tg_llvm_in(op, 0), index, ""));
}

static void emit_insert(tg_llvm *e, tg_op *op) {
  LLVMValueRef index = LLVMConstInt(e->i32, (unsigned long long)tg_attr_int(op, "i", 0), 0);
  tg_llvm_set(op, LLVMBuildInsertElement(e->b, tg_llvm_in(op, 0), tg_llvm_in(op, 1), index, ""));
}

static void emit_shuffle(tg_llvm *e, tg_op *op) {
  const tg_attr *mask = tg_find_attr(op, "mask");
  int *index = TG_NEWN(e->arena, int, mask->n);
  for (int i = 0; i < mask->n; i++) index[i] = (int)mask->ints[i];
  tg_llvm_set(op, tg_llvm_shuffle(e, tg_llvm_in(op, 0), tg_llvm_in(op, 1), (unsigned)mask->n, index));
}

// ---- vreduce

typedef enum reduce_kind { SUM, PROD, MIN, MAX, MINNUM, MAXNUM, AND, OR, XOR, NKINDS } reduce_kind;
static const char *const kind_names[NKINDS] = {"sum", "prod", "min", "max", "minnum", "maxnum", "and", "or", "xor"};

static LLVMValueRef combine(tg_llvm *e, reduce_kind kind, bool is_float, tg_llvm_least how, LLVMValueRef x, LLVMValueRef y) {
  LLVMValueRef r;
  switch (kind) {
  case SUM:
    if (!is_float) return LLVMBuildAdd(e->b, x, y, "");
    r = LLVMBuildFAdd(e->b, x, y, "");
    if (LLVMIsAInstruction(r)) LLVMSetFastMathFlags(r, LLVMFastMathAllowContract);
    return r;
  case PROD: return is_float ? LLVMBuildFMul(e->b, x, y, "") : LLVMBuildMul(e->b, x, y, "");
  case AND: return LLVMBuildAnd(e->b, x, y, "");
  case OR: return LLVMBuildOr(e->b, x, y, "");
  case XOR: return LLVMBuildXor(e->b, x, y, "");
  default: break;
  }
  return is_float ? tg_llvm_float_least(e, x, y, how) : tg_llvm_intrinsic2(e, how.greatest ? "llvm.smax" : "llvm.smin", x, y);
}

// The lower half with the upper half while the length is even; of an odd length the last element last.
static LLVMValueRef halve(tg_llvm *e, reduce_kind kind, bool is_float, tg_llvm_least how, LLVMValueRef v) {
  const unsigned n = tg_llvm_lanes(LLVMTypeOf(v));
  if (n == 1) return LLVMBuildExtractElement(e->b, v, LLVMConstInt(e->i32, 0, 0), "");
  int *index = TG_NEWN(e->arena, int, n);
  for (unsigned i = 0; i < n; i++) index[i] = (int)i;
  if (n % 2) {
    LLVMValueRef last = LLVMBuildExtractElement(e->b, v, LLVMConstInt(e->i32, n - 1, 0), "");
    return combine(e, kind, is_float, how, halve(e, kind, is_float, how, tg_llvm_shuffle(e, v, NULL, n - 1, index)), last);
  }
  LLVMValueRef low = tg_llvm_shuffle(e, v, NULL, n / 2, index), high = tg_llvm_shuffle(e, v, NULL, n / 2, index + n / 2);
  return halve(e, kind, is_float, how, combine(e, kind, is_float, how, low, high));
}

static void emit_vreduce(tg_llvm *e, tg_op *op) {
  const char *name = tg_attr_str(op, "kind", "");
  const int dtype = op->in[0]->type.dtype;
  int kind = 0;
  while (kind < NKINDS && strcmp(name, kind_names[kind])) kind++;
  if (kind == NKINDS) tg_llvm_fail(e, "vreduce knows sum prod min max minnum maxnum and or xor, not %s", name);
  LLVMValueRef v = tg_llvm_in(op, 0);
  if (!op->in[0]->type.rank) {
    tg_llvm_set(op, v);
    return;
  }
  if (dtype == TG_I1 && kind >= MIN && kind <= MAXNUM) kind = kind == MAX || kind == MAXNUM ? OR : AND;
  const bool is_float = tg_dtypes[dtype].cls == 'f' || tg_dtypes[dtype].cls == 'e', narrow = tg_llvm_is_narrow(dtype);
  if (narrow) v = tg_llvm_to_f32(e, dtype, v);
  const bool numbers = tg_llvm_never_nan(op->in[0]);
  const tg_llvm_least how = {.greatest = kind == MAX || kind == MAXNUM,
                             .propagate = kind == MIN || kind == MAX,
                             .x_number = numbers,
                             .y_number = numbers,
                             .zeros = !tg_llvm_never_minus_zero(op->in[0])};
  v = halve(e, (reduce_kind)kind, is_float, how, v);
  tg_llvm_set(op, narrow ? tg_llvm_from_f32(e, dtype, v, TG_ROUND_IEEE) : v);
}

const tg_llvm_row tg_llvm_rows_vector[] = {{TG_OP_SPLAT, emit_splat},     {TG_OP_UNDEF, emit_undef},     {TG_OP_REGROUP, emit_regroup},
                                           {TG_OP_IOTA, emit_iota},       {TG_OP_EXTRACT, emit_extract}, {TG_OP_INSERT, emit_insert},
                                           {TG_OP_SHUFFLE, emit_shuffle}, {TG_OP_VREDUCE, emit_vreduce}, {0, NULL}};
