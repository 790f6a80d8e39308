// Loads and stores. i1 takes a byte in memory, e2m1 half a byte; everything else lies there as it is held in registers.
#include "codegen/llvm_short.h"

#define B e->b

LLVMValueRef tg_llvm_ptradd(tg_llvm *e, LLVMValueRef pointer, LLVMValueRef bytes) {
  return LLVMBuildGEP2(B, e->i8, pointer, &bytes, 1, "");
}

static void emit_ptradd(tg_llvm *e, tg_op *op) { tg_llvm_set(op, tg_llvm_ptradd(e, tg_llvm_in(op, 0), tg_llvm_in(op, 1))); }

static void emit_misalign(tg_llvm *e, tg_op *op) {
  tg_llvm_set(op, andk(e, LLVMBuildPtrToInt(B, tg_llvm_in(op, 0), e->i64, ""), tg_attr_int(op, "to", 1) - 1));
}

// ---- between registers and memory

static unsigned lanes_of(tg_type type) { return type.rank ? (unsigned)type.dim[0] : 0; }

// Type under which a value lies in memory.
static LLVMTypeRef stored_type(tg_llvm *e, tg_type type) {
  if (type.kind == TG_PTR) return tg_llvm_type(e, type);
  const unsigned n = lanes_of(type);
  if (type.dtype == TG_I1) return n ? LLVMVectorType(e->i8, n) : e->i8;
  if (type.dtype == TG_E2M1) return n ? LLVMVectorType(e->i8, (n + 1) / 2) : e->i8;
  return tg_llvm_type(e, type);
}

static LLVMValueRef unpack_e2m1(tg_llvm *e, LLVMValueRef bytes, unsigned n) {
  if (!n) return andk(e, bytes, 15);
  int *index = TG_NEWN(e->arena, int, n);
  const unsigned half = (n + 1) / 2;
  for (unsigned i = 0; i < n; i++) index[i] = (int)(i / 2 + (i % 2 ? half : 0)); // low nibbles, then high nibbles
  return tg_llvm_shuffle(e, andk(e, bytes, 15), shrk(e, bytes, 4), n, index);
}

static LLVMValueRef pack_e2m1(tg_llvm *e, LLVMValueRef codes, unsigned n) {
  if (!n) return codes; // the high nibble becomes 0
  const unsigned half = (n + 1) / 2;
  int *even = TG_NEWN(e->arena, int, half), *odd = TG_NEWN(e->arena, int, half);
  for (unsigned i = 0; i < half; i++) even[i] = (int)(2 * i), odd[i] = 2 * i + 1 < n ? (int)(2 * i + 1) : (int)n;
  LLVMValueRef zero = ki(codes, 0);
  LLVMValueRef high = tg_llvm_shuffle(e, codes, zero, half, odd);
  return LLVMBuildOr(B, tg_llvm_shuffle(e, codes, zero, half, even), shlk(e, high, 4), "");
}

static LLVMValueRef from_memory(tg_llvm *e, tg_type type, LLVMValueRef v) {
  if (type.kind != TG_TILE) return v;
  if (type.dtype == TG_I1) return icmpk(e, LLVMIntNE, v, 0);
  return type.dtype == TG_E2M1 ? unpack_e2m1(e, v, lanes_of(type)) : v;
}

static LLVMValueRef to_memory(tg_llvm *e, tg_type type, LLVMValueRef v) {
  if (type.kind != TG_TILE) return v;
  if (type.dtype == TG_I1) return zext(e, v, e->i8);
  return type.dtype == TG_E2M1 ? pack_e2m1(e, v, lanes_of(type)) : v;
}

static void emit_unpack4(tg_llvm *e, tg_op *op) {
  LLVMValueRef bytes = tg_llvm_in(op, 0);
  tg_llvm_set(op, andk(e, pick(e, tg_llvm_in(op, 1), shrk(e, bytes, 4), bytes), 15));
}

static void emit_pack4(tg_llvm *e, tg_op *op) {
  LLVMValueRef bytes = tg_llvm_in(op, 0), code = tg_llvm_in(op, 1);
  LLVMValueRef low = LLVMBuildOr(B, andk(e, bytes, -16), code, ""), high = LLVMBuildOr(B, andk(e, bytes, 15), shlk(e, code, 4), "");
  tg_llvm_set(op, pick(e, tg_llvm_in(op, 2), high, low));
}

static void refuse_e2m1(tg_llvm *e, tg_type type, const char *what) {
  if (type.dtype == TG_E2M1) tg_llvm_fail(e, "%s cannot address half a byte: access e2m1 as i8 pairs of codes", what);
}

static unsigned align_of(const tg_op *op) {
  const int64_t a = tg_attr_int(op, "align", 1);
  return a >= 1 && a <= 4096 && (a & (a - 1)) == 0 ? (unsigned)a : 1;
}

static void metadata(tg_llvm *e, LLVMValueRef instruction, const char *kind) {
  const unsigned id = LLVMGetMDKindIDInContext(e->context, kind, (unsigned)strlen(kind));
  LLVMSetMetadata(instruction, id, LLVMMetadataAsValue(e->context, e->empty_node));
}

static void nontemporal(tg_llvm *e, LLVMValueRef instruction) {
  LLVMMetadataRef one = LLVMValueAsMetadata(LLVMConstInt(e->i32, 1, 0));
  LLVMSetMetadata(instruction, LLVMGetMDKindIDInContext(e->context, "nontemporal", 11),
                  LLVMMetadataAsValue(e->context, LLVMMDNodeInContext2(e->context, &one, 1)));
}

// ---- plain

LLVMValueRef tg_llvm_load(tg_llvm *e, tg_type type, LLVMValueRef pointer, const tg_op *op) {
  LLVMValueRef v = LLVMBuildLoad2(B, stored_type(e, type), pointer, "");
  LLVMSetAlignment(v, align_of(op));
  if (tg_attr_int(op, "const", 0)) metadata(e, v, "invariant.load");
  return from_memory(e, type, v);
}

// A selection between something new and what was there becomes a store under a mask on x86, which takes AMD's AVX2 many steps (moe_gate of
// 512 tokens took 0.92 ms with such stores and 0.39 without); a frozen one stays a blend and a store.
static LLVMValueRef kept_whole(tg_llvm *e, LLVMValueRef v) {
  return tg_llvm_lanes(LLVMTypeOf(v)) && LLVMIsASelectInst(v) ? LLVMBuildFreeze(B, v, "") : v;
}

void tg_llvm_store(tg_llvm *e, tg_type type, LLVMValueRef v, LLVMValueRef pointer, const tg_op *op) {
  LLVMValueRef s = LLVMBuildStore(B, kept_whole(e, to_memory(e, type, v)), pointer);
  LLVMSetAlignment(s, align_of(op));
  if (tg_attr_int(op, "stream", 0)) nontemporal(e, s);
}

static void emit_load(tg_llvm *e, tg_op *op) { tg_llvm_set(op, tg_llvm_load(e, op->out[0]->type, tg_llvm_in(op, 0), op)); }

static void emit_store(tg_llvm *e, tg_op *op) { tg_llvm_store(e, op->in[1]->type, tg_llvm_in(op, 1), tg_llvm_in(op, 0), op); }

// ---- masked; scalars travel as vectors of one

static LLVMValueRef as_vector(tg_llvm *e, LLVMValueRef v) {
  return tg_llvm_lanes(LLVMTypeOf(v))
             ? v
             : LLVMBuildInsertElement(B, LLVMGetPoison(LLVMVectorType(LLVMTypeOf(v), 1)), v, LLVMConstInt(e->i32, 0, 0), "");
}

static LLVMValueRef as_type(tg_llvm *e, tg_type type, LLVMValueRef v) {
  return type.rank ? v : LLVMBuildExtractElement(B, v, LLVMConstInt(e->i32, 0, 0), "");
}

static void call_alignment(tg_llvm *e, LLVMValueRef call, unsigned argument, unsigned align) {
  const unsigned kind = LLVMGetEnumAttributeKindForName("align", 5);
  LLVMAddCallSiteAttribute(call, argument + 1, LLVMCreateEnumAttribute(e->context, kind, align));
}

static void emit_loadm(tg_llvm *e, tg_op *op) {
  const tg_type type = op->out[0]->type;
  refuse_e2m1(e, type, "loadm");
  LLVMValueRef pointer = tg_llvm_in(op, 0), mask = as_vector(e, tg_llvm_in(op, 1)),
               other = as_vector(e, to_memory(e, type, tg_llvm_in(op, 2)));
  LLVMTypeRef types[] = {LLVMTypeOf(other), LLVMTypeOf(pointer)};
  LLVMValueRef v = tg_llvm_intrinsic(e, "llvm.masked.load", 2, types, 3, (LLVMValueRef[]){pointer, mask, other});
  call_alignment(e, v, 0, align_of(op));
  tg_llvm_set(op, from_memory(e, type, as_type(e, type, v)));
}

static void emit_storem(tg_llvm *e, tg_op *op) {
  const tg_type type = op->in[1]->type;
  refuse_e2m1(e, type, "storem");
  LLVMValueRef pointer = tg_llvm_in(op, 0), v = as_vector(e, to_memory(e, type, tg_llvm_in(op, 1))), mask = as_vector(e, tg_llvm_in(op, 2));
  LLVMTypeRef types[] = {LLVMTypeOf(v), LLVMTypeOf(pointer)};
  LLVMValueRef call = tg_llvm_intrinsic(e, "llvm.masked.store", 2, types, 3, (LLVMValueRef[]){v, pointer, mask});
  call_alignment(e, call, 1, align_of(op));
}

static LLVMValueRef addresses(tg_llvm *e, const tg_op *op) { return tg_llvm_ptradd(e, tg_llvm_in(op, 0), as_vector(e, tg_llvm_in(op, 1))); }

static void emit_gatherv(tg_llvm *e, tg_op *op) {
  const tg_type type = op->out[0]->type;
  refuse_e2m1(e, type, "gatherv");
  LLVMValueRef at = addresses(e, op), mask = as_vector(e, tg_llvm_in(op, 2)), other = as_vector(e, to_memory(e, type, tg_llvm_in(op, 3)));
  LLVMTypeRef types[] = {LLVMTypeOf(other), LLVMTypeOf(at)};
  LLVMValueRef v = tg_llvm_intrinsic(e, "llvm.masked.gather", 2, types, 3, (LLVMValueRef[]){at, mask, other});
  call_alignment(e, v, 0, 1); // offsets are bytes: nothing is known
  tg_llvm_set(op, from_memory(e, type, as_type(e, type, v)));
}

static void emit_scatterv(tg_llvm *e, tg_op *op) {
  const tg_type type = op->in[2]->type;
  refuse_e2m1(e, type, "scatterv");
  LLVMValueRef at = addresses(e, op), v = as_vector(e, to_memory(e, type, tg_llvm_in(op, 2))), mask = as_vector(e, tg_llvm_in(op, 3));
  LLVMTypeRef types[] = {LLVMTypeOf(v), LLVMTypeOf(at)};
  LLVMValueRef call = tg_llvm_intrinsic(e, "llvm.masked.scatter", 2, types, 3, (LLVMValueRef[]){v, at, mask});
  call_alignment(e, call, 1, 1);
}

// ---- others

void tg_llvm_atomic(tg_llvm *e, tg_op *op, LLVMValueRef pointer, const char *order) {
  static const struct {
    const char *name;
    LLVMAtomicRMWBinOp integer, real;
    bool has_real;
  } kinds[] = {
      {"add", LLVMAtomicRMWBinOpAdd, LLVMAtomicRMWBinOpFAdd, true},     {"min", LLVMAtomicRMWBinOpMin, LLVMAtomicRMWBinOpFMinimum, true},
      {"max", LLVMAtomicRMWBinOpMax, LLVMAtomicRMWBinOpFMaximum, true}, {"and", LLVMAtomicRMWBinOpAnd, LLVMAtomicRMWBinOpAnd, false},
      {"or", LLVMAtomicRMWBinOpOr, LLVMAtomicRMWBinOpOr, false},        {"xor", LLVMAtomicRMWBinOpXor, LLVMAtomicRMWBinOpXor, false},
      {"exch", LLVMAtomicRMWBinOpXchg, LLVMAtomicRMWBinOpXchg, true}};
  static const struct {
    const char *name;
    LLVMAtomicOrdering ordering;
  } orders[] = {{"relaxed", LLVMAtomicOrderingMonotonic},
                {"acquire", LLVMAtomicOrderingAcquire},
                {"release", LLVMAtomicOrderingRelease},
                {"acq_rel", LLVMAtomicOrderingAcquireRelease},
                {"seq_cst", LLVMAtomicOrderingSequentiallyConsistent}};
  const char *kind = tg_attr_str(op, "kind", "add");
  const int dtype = op->in[1]->type.dtype;
  const bool real = dtype == TG_F32 || dtype == TG_F64;
  if (!real && tg_dtypes[dtype].cls != 'i') tg_llvm_fail(e, "atomics work on i8, i32, i64, f32 and f64, not on %s", tg_dtypes[dtype].name);
  size_t k = 0, o = 0;
  while (k < sizeof kinds / sizeof *kinds && strcmp(kind, kinds[k].name)) k++;
  while (o < sizeof orders / sizeof *orders && strcmp(order, orders[o].name)) o++;
  if (k == sizeof kinds / sizeof *kinds || (real && !kinds[k].has_real)) tg_llvm_fail(e, "no atomic %s on %s", kind, tg_dtypes[dtype].name);
  if (o == sizeof orders / sizeof *orders) tg_llvm_fail(e, "orders of atomics are relaxed acquire release acq_rel seq_cst, not %s", order);
  tg_llvm_set(op, LLVMBuildAtomicRMW(B, real ? kinds[k].real : kinds[k].integer, pointer, tg_llvm_in(op, 1), orders[o].ordering, 0));
}

static void emit_atomic(tg_llvm *e, tg_op *op) { tg_llvm_atomic(e, op, tg_llvm_in(op, 0), tg_attr_str(op, "order", "relaxed")); }

static void emit_prefetch(tg_llvm *e, tg_op *op) {
  LLVMValueRef pointer = tg_llvm_in(op, 0);
  LLVMTypeRef type = LLVMTypeOf(pointer);
  const int64_t level = tg_attr_int(op, "level", 1);
  const unsigned locality = level <= 1 ? 3 : level == 2 ? 2 : 1;
  LLVMValueRef args[] = {pointer, LLVMConstInt(e->i32, 0, 0), LLVMConstInt(e->i32, locality, 0), LLVMConstInt(e->i32, 1, 0)};
  tg_llvm_intrinsic(e, "llvm.prefetch", 1, &type, 4, args);
}

const tg_llvm_row tg_llvm_rows_memory[] = {{TG_OP_PTRADD, emit_ptradd},
                                           {TG_OP_LLOAD, emit_load},
                                           {TG_OP_LSTORE, emit_store},
                                           {TG_OP_LOADM, emit_loadm},
                                           {TG_OP_STOREM, emit_storem},
                                           {TG_OP_GATHERV, emit_gatherv},
                                           {TG_OP_SCATTERV, emit_scatterv},
                                           {TG_OP_ATOMICL, emit_atomic},
                                           {TG_OP_UNPACK4, emit_unpack4},
                                           {TG_OP_PACK4, emit_pack4},
                                           {TG_OP_PREFETCH, emit_prefetch},
                                           {TG_OP_MISALIGN, emit_misalign},
                                           {0, NULL}};
