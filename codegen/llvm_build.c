// Types, constants and small instructions for the rest of the llvm emitter.
#include <stdlib.h>

#include "codegen/llvm.h"

LLVMTypeRef tg_llvm_element(tg_llvm *e, int dtype) {
  switch (dtype) {
  case TG_I1: return e->i1;
  case TG_I32: return e->i32;
  case TG_I64: return e->i64;
  case TG_F16:
  case TG_BF16: return e->i16;
  case TG_F32: return e->f32;
  case TG_F64: return e->f64;
  default: return e->i8; // i8 and the formats of 8 bits or fewer
  }
}

LLVMTypeRef tg_llvm_type(tg_llvm *e, tg_type type) {
  if (type.kind == TG_PTR) return e->ptr[type.space];
  LLVMTypeRef element = tg_llvm_element(e, type.dtype);
  return type.rank ? LLVMVectorType(element, (unsigned)type.dim[0]) : element;
}

unsigned tg_llvm_lanes(LLVMTypeRef type) { return LLVMGetTypeKind(type) == LLVMVectorTypeKind ? LLVMGetVectorSize(type) : 0; }

LLVMTypeRef tg_llvm_like(LLVMTypeRef shape, LLVMTypeRef element) {
  const unsigned n = tg_llvm_lanes(shape);
  return n ? LLVMVectorType(element, n) : element;
}

LLVMTypeRef tg_llvm_like_value(LLVMValueRef shape, LLVMTypeRef element) { return tg_llvm_like(LLVMTypeOf(shape), element); }

static LLVMValueRef repeat(LLVMTypeRef type, LLVMValueRef scalar) {
  const unsigned n = tg_llvm_lanes(type);
  if (!n) return scalar;
  LLVMValueRef few[64], *all = n <= 64 ? few : malloc(n * sizeof *all);
  for (unsigned i = 0; i < n; i++) all[i] = scalar;
  LLVMValueRef v = LLVMConstVector(all, n);
  if (all != few) free(all);
  return v;
}

LLVMValueRef tg_llvm_int(LLVMTypeRef type, int64_t value) {
  LLVMTypeRef element = tg_llvm_lanes(type) ? LLVMGetElementType(type) : type;
  const unsigned width = LLVMGetIntTypeWidth(element);
  if (width < 64) value &= (int64_t)((UINT64_C(1) << width) - 1); // LLVM checks that the constant fits
  return repeat(type, LLVMConstInt(element, (unsigned long long)value, 0));
}

LLVMValueRef tg_llvm_float(LLVMTypeRef type, double value) {
  LLVMTypeRef element = tg_llvm_lanes(type) ? LLVMGetElementType(type) : type;
  return repeat(type, LLVMConstReal(element, value));
}

LLVMValueRef tg_llvm_splat(tg_llvm *e, LLVMValueRef scalar, unsigned n) {
  LLVMTypeRef type = LLVMVectorType(LLVMTypeOf(scalar), n);
  if (LLVMIsConstant(scalar)) return repeat(type, scalar);
  LLVMValueRef one = LLVMBuildInsertElement(e->b, LLVMGetPoison(type), scalar, LLVMConstInt(e->i32, 0, 0), "");
  return LLVMBuildShuffleVector(e->b, one, LLVMGetPoison(type), LLVMConstNull(LLVMVectorType(e->i32, n)), "");
}

LLVMValueRef tg_llvm_shuffle(tg_llvm *e, LLVMValueRef a, LLVMValueRef b, unsigned n, const int *mask) {
  LLVMValueRef few[64], *index = n <= 64 ? few : malloc(n * sizeof *index);
  for (unsigned i = 0; i < n; i++) index[i] = mask[i] < 0 ? LLVMGetPoison(e->i32) : LLVMConstInt(e->i32, (unsigned)mask[i], 0);
  LLVMValueRef m = LLVMConstVector(index, n);
  if (index != few) free(index);
  return LLVMBuildShuffleVector(e->b, a, b ? b : LLVMGetPoison(LLVMTypeOf(a)), m, "");
}

LLVMValueRef tg_llvm_bitcast(tg_llvm *e, LLVMValueRef v, LLVMTypeRef element) {
  return LLVMBuildBitCast(e->b, v, tg_llvm_like_value(v, element), "");
}

static bool is_selected(const tg_llvm *e, const char *name) {
  if (!e->family->intrinsics) return true;
  for (const char *const *p = e->family->intrinsics; *p; p++) {
    const size_t n = strlen(*p);
    if ((*p)[n - 1] == '.' ? !strncmp(*p, name, n) : !strcmp(*p, name)) return true;
  }
  return false;
}

LLVMValueRef tg_llvm_intrinsic(tg_llvm *e, const char *name, int ntypes, LLVMTypeRef *types, int n, LLVMValueRef *args) {
  if (!is_selected(e, name)) tg_llvm_fail(e, "%s code has no %s", e->family->name, name);
  const unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
  if (!id) tg_llvm_fail(e, "LLVM has no intrinsic %s", name);
  LLVMValueRef f = LLVMGetIntrinsicDeclaration(e->module, id, types, (size_t)ntypes);
  LLVMTypeRef type = LLVMIntrinsicGetType(e->context, id, types, (size_t)ntypes);
  return LLVMBuildCall2(e->b, type, f, args, (unsigned)n, "");
}

LLVMValueRef tg_llvm_intrinsic1(tg_llvm *e, const char *name, LLVMValueRef x) {
  LLVMTypeRef type = LLVMTypeOf(x);
  return tg_llvm_intrinsic(e, name, 1, &type, 1, &x);
}

LLVMValueRef tg_llvm_intrinsic2(tg_llvm *e, const char *name, LLVMValueRef x, LLVMValueRef y) {
  LLVMTypeRef type = LLVMTypeOf(x);
  return tg_llvm_intrinsic(e, name, 1, &type, 2, (LLVMValueRef[]){x, y});
}

void tg_llvm_attribute(tg_llvm *e, LLVMValueRef function, unsigned index, const char *name, uint64_t value) {
  const unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));
  if (!kind) tg_llvm_fail(e, "LLVM has no attribute %s", name);
  LLVMAddAttributeAtIndex(function, index, LLVMCreateEnumAttribute(e->context, kind, value));
}

void tg_llvm_string_attribute(tg_llvm *e, LLVMValueRef function, const char *key, const char *value) {
  LLVMAttributeRef a = LLVMCreateStringAttribute(e->context, key, (unsigned)strlen(key), value, (unsigned)strlen(value));
  LLVMAddAttributeAtIndex(function, (unsigned)LLVMAttributeFunctionIndex, a);
}

LLVMBasicBlockRef tg_llvm_block(tg_llvm *e, const char *name) { return LLVMAppendBasicBlockInContext(e->context, e->function, name); }

LLVMValueRef tg_llvm_text(tg_llvm *e, const char *text) {
  LLVMValueRef data = LLVMConstStringInContext2(e->context, text, strlen(text), 0);
  LLVMValueRef global = LLVMAddGlobal(e->module, LLVMTypeOf(data), "text");
  LLVMSetInitializer(global, data);
  LLVMSetGlobalConstant(global, 1);
  LLVMSetLinkage(global, LLVMPrivateLinkage);
  LLVMSetUnnamedAddress(global, LLVMGlobalUnnamedAddr);
  return global;
}
