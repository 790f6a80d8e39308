// Launches as NVIDIA kernels: the calling convention, and the ops that only blocks of many threads have.
#include "codegen/llvm_short.h"
#include "codegen/matrix.h"

#define B e->b

static void initialise(void) {
  LLVMInitializeNVPTXTargetInfo();
  LLVMInitializeNVPTXTarget();
  LLVMInitializeNVPTXTargetMC();
  LLVMInitializeNVPTXAsmPrinter();
}

// A tensor map is 128 bytes among the parameters; grid_constant keeps the copy unit's pointer to them from being one to a copy.
static void by_value(tg_llvm *e, LLVMValueRef f, unsigned index) {
  const unsigned byval = LLVMGetEnumAttributeKindForName("byval", 5);
  LLVMAddAttributeAtIndex(f, index, LLVMCreateTypeAttribute(e->context, byval, LLVMArrayType2(e->i8, 128)));
  LLVMAddAttributeAtIndex(f, index, LLVMCreateStringAttribute(e->context, "nvvm.grid_constant", 18, "", 0));
  tg_llvm_attribute(e, f, index, "align", 64);
}

static void find_product(tg_op *op, void *user) {
  if (op->code == TG_OP_MMA || op->code == TG_OP_WGMMA) *(bool *)user = true;
}

// Said that one block a multiprocessor will do, the assembler takes the registers that it needs: it does not put away some to make room for
// a second block, which costs a product's loop more than that block brings. (setmaxnreg wants to know how many registers a thread begins
// with.)
static bool one_block_will_do(const tg_launch *launch, bool maps) {
  bool multiplies = false;
  tg_walk(launch->body, find_product, &multiplies);
  return maps || multiplies;
}

static void emit_launch(tg_llvm *e) {
  tg_launch *launch = e->launch;
  LLVMTypeRef *types = TG_NEWN(e->arena, LLVMTypeRef, launch->nargs + 1);
  bool maps = false;
  for (int i = 0; i < launch->nargs; i++) types[i] = tg_llvm_type(e, launch->body->args[i]->type);
  LLVMValueRef f = e->function = LLVMAddFunction(e->module, launch->entry, LLVMFunctionType(e->none, types, (unsigned)launch->nargs, 0));
  LLVMSetFunctionCallConv(f, LLVMPTXKernelCallConv);
  tg_llvm_attribute(e, f, (unsigned)LLVMAttributeFunctionIndex, "nounwind", 0);
  const int *block = launch->block;
  tg_llvm_string_attribute(e, f, "nvvm.maxntid", tg_arena_printf(e->arena, "%d,%d,%d", block[0], block[1], block[2]));
  if (launch->cluster > 1) tg_llvm_string_attribute(e, f, "nvvm.cluster_dim", tg_arena_printf(e->arena, "%d,1,1", launch->cluster));
  for (int i = 0; i < launch->nargs; i++) {
    launch->body->args[i]->note = LLVMGetParam(f, (unsigned)i);
    if (launch->args[i].kind != TG_ARG_MAP) continue;
    maps = true;
    by_value(e, f, (unsigned)i + 1);
  }
  if (one_block_will_do(launch, maps)) tg_llvm_string_attribute(e, f, "nvvm.minctasm", "1");
  LLVMPositionBuilderAtEnd(B, tg_llvm_block(e, "body"));
  tg_llvm_region(e, launch->body);
  LLVMBuildRetVoid(B);
}

static LLVMValueRef special_register(tg_llvm *e, const char *base, int64_t axis) {
  if (axis < 0 || axis > 2) tg_llvm_fail(e, "a grid has axes 0 to 2, not %lld", (long long)axis);
  return tg_llvm_intrinsic(e, tg_arena_printf(e->arena, "llvm.nvvm.read.ptx.sreg.%s.%c", base, "xyz"[axis]), 0, NULL, 0, NULL);
}

static void emit_tid(tg_llvm *e, tg_op *op) { tg_llvm_set(op, special_register(e, "tid", tg_attr_int(op, "axis", 0))); }
static void emit_ctaid(tg_llvm *e, tg_op *op) {
  tg_llvm_set(op, zext(e, special_register(e, "ctaid", tg_attr_int(op, "axis", 0)), e->i64));
}

// Pointers into shared memory are 32-bit numbers: the machine's addresses are, and what is added to them becomes part of an instruction.
static void prepare(tg_llvm *e) { e->ptr[TG_SHARED] = e->i32; }

// More than a launch has without asking is asked for when it is launched, and lies at the end of an array without a length.
static void emit_scratch(tg_llvm *e, tg_op *op) {
  if (strcmp(tg_attr_str(op, "space", ""), "shared")) tg_llvm_fail(e, "scratch of a worker is not to be had on GPUs; shared scratch is");
  const bool dynamic = tg_shared_bytes(e->launch) > TG_STATIC_SHARED;
  LLVMTypeRef type = LLVMArrayType2(e->i8, dynamic ? 0 : (uint64_t)tg_attr_int(op, "bytes", 1));
  LLVMValueRef global = LLVMAddGlobalInAddressSpace(e->module, type, tg_arena_printf(e->arena, "%s_shared", e->launch->entry),
                                                    e->family->address_space[TG_SHARED]);
  LLVMSetLinkage(global, dynamic ? LLVMExternalLinkage : LLVMInternalLinkage);
  if (!dynamic) LLVMSetInitializer(global, LLVMGetPoison(type));
  LLVMSetAlignment(global, (unsigned)tg_attr_int(op, "align", 1));
  tg_llvm_set(op, LLVMBuildPtrToInt(B, global, e->i32, ""));
}

static LLVMValueRef pointer_of(tg_llvm *e, const tg_op *op) {
  LLVMValueRef p = tg_llvm_in(op, 0);
  if (op->in[0]->type.space != TG_SHARED) return p;
  return LLVMBuildIntToPtr(B, p, LLVMPointerTypeInContext(e->context, e->family->address_space[TG_SHARED]), "");
}

static void emit_ptradd(tg_llvm *e, tg_op *op) {
  LLVMValueRef p = tg_llvm_in(op, 0), bytes = tg_llvm_in(op, 1);
  if (op->in[0]->type.space == TG_SHARED) tg_llvm_set(op, LLVMBuildAdd(B, p, LLVMBuildTrunc(B, bytes, e->i32, ""), ""));
  else tg_llvm_set(op, tg_llvm_ptradd(e, p, bytes));
}

static void emit_load(tg_llvm *e, tg_op *op) { tg_llvm_set(op, tg_llvm_load(e, op->out[0]->type, pointer_of(e, op), op)); }
static void emit_store(tg_llvm *e, tg_op *op) { tg_llvm_store(e, op->in[1]->type, tg_llvm_in(op, 1), pointer_of(e, op), op); }

// ---- memory under a mask: all elements of a vector share it, so a branch does

static bool same_mask(const tg_value *mask) { return mask->type.rank == 0 || (mask->def && mask->def->code == TG_OP_SPLAT); }

static LLVMValueRef mask_bit(tg_llvm *e, const tg_op *op, int i) {
  const tg_value *mask = op->in[i];
  if (!same_mask(mask)) tg_llvm_fail(e, "a mask with a bit for each element of a vector is not to be had on GPUs");
  return mask->type.rank ? (LLVMValueRef)mask->def->in[0]->note : (LLVMValueRef)mask->note;
}

static void emit_loadm(tg_llvm *e, tg_op *op) {
  LLVMValueRef inside = mask_bit(e, op, 1), other = tg_llvm_in(op, 2);
  LLVMBasicBlockRef before = LLVMGetInsertBlock(B), then = tg_llvm_block(e, "inside"), after = tg_llvm_block(e, "after");
  LLVMBuildCondBr(B, inside, then, after);
  LLVMPositionBuilderAtEnd(B, then);
  LLVMValueRef v = tg_llvm_load(e, op->out[0]->type, pointer_of(e, op), op);
  LLVMBuildBr(B, after);
  LLVMPositionBuilderAtEnd(B, after);
  LLVMValueRef phi = LLVMBuildPhi(B, LLVMTypeOf(v), "");
  LLVMAddIncoming(phi, (LLVMValueRef[]){v, other}, (LLVMBasicBlockRef[]){then, before}, 2);
  tg_llvm_set(op, phi);
}

static void emit_storem(tg_llvm *e, tg_op *op) {
  LLVMValueRef inside = mask_bit(e, op, 2);
  LLVMBasicBlockRef then = tg_llvm_block(e, "inside"), after = tg_llvm_block(e, "after");
  LLVMBuildCondBr(B, inside, then, after);
  LLVMPositionBuilderAtEnd(B, then);
  tg_llvm_store(e, op->in[1]->type, tg_llvm_in(op, 1), pointer_of(e, op), op);
  LLVMBuildBr(B, after);
  LLVMPositionBuilderAtEnd(B, after);
}

// ---- what warps and blocks do together

static void emit_barrier(tg_llvm *e, tg_op *op) {
  const int64_t threads = tg_attr_int(op, "threads", 0);
  LLVMValueRef args[] = {tg_llvm_int(e->i32, tg_attr_int(op, "id", 0)), tg_llvm_int(e->i32, threads)};
  tg_llvm_intrinsic(e, threads ? "llvm.nvvm.barrier.cta.sync.aligned.count" : "llvm.nvvm.barrier.cta.sync.aligned.all", 0, NULL,
                    threads ? 2 : 1, args);
}

// PTX ISA, shfl.sync: c holds the last lane of a segment in bits 0-4 and the mask of the bits that name the segment in bits 8-12.
static void emit_shfl(tg_llvm *e, tg_op *op) {
  static const char *const kinds[][2] = {{"idx", "idx"}, {"xor", "bfly"}, {"up", "up"}, {"down", "down"}};
  const char *kind = tg_attr_str(op, "kind", ""), *name = NULL;
  const int64_t width = tg_attr_int(op, "width", 32);
  for (int i = 0; i < 4; i++)
    if (!strcmp(kinds[i][0], kind)) name = kinds[i][1];
  if (!name || width > 32) tg_llvm_fail(e, "shuffles are idx, xor, up and down, within at most 32 lanes");
  const int64_t c = (32 - width) << 8 | (strcmp(name, "up") ? 31 : 0);
  LLVMValueRef v = tg_llvm_in(op, 0),
               args[] = {LLVMConstInt(e->i32, 0xffffffff, 0), v, tg_llvm_in(op, 1), LLVMConstInt(e->i32, (unsigned long long)c, 0)};
  const char *type = LLVMTypeOf(v) == e->f32 ? "f32" : "i32";
  tg_llvm_set(op, tg_llvm_intrinsic(e, tg_arena_printf(e->arena, "llvm.nvvm.shfl.sync.%s.%s", name, type), 0, NULL, 4, args));
}

static void emit_mma(tg_llvm *e, tg_op *op) {
  const tg_matrix_row *row = tg_matrix_find(tg_attr_str(op, "row", ""));
  if (!row) tg_llvm_fail(e, "there is no matrix instruction '%s'", tg_attr_str(op, "row", ""));
  LLVMValueRef args[16];
  if (op->nin > 16) tg_llvm_fail(e, "a matrix instruction has at most 16 operands, not %d", op->nin);
  for (int i = 0; i < op->nin; i++) {
    args[i] = tg_llvm_in(op, i);
    if (i >= op->nin - op->nout) continue; // accumulators
    // 32 bits of operands, as a vector or as ldmatrix gives them; intrinsics want pairs of halves for f16, and i32 elsewhere.
    args[i] = LLVMBuildBitCast(B, args[i], row->a == TG_F16 ? LLVMVectorType(e->half, 2) : e->i32, "");
  }
  LLVMValueRef d = tg_llvm_intrinsic(e, row->intrinsic, 0, NULL, op->nin, args);
  for (int i = 0; i < op->nout; i++) op->out[i]->note = LLVMBuildExtractValue(B, d, (unsigned)i, "");
}

static void emit_ldmatrix(tg_llvm *e, tg_op *op) {
  static const struct {
    const char *registers, *constraints;
  } forms[] = {[1] = {"{$0}, [$1]", "=r,r,~{memory}"},
               [2] = {"{$0,$1}, [$2]", "=r,=r,r,~{memory}"},
               [4] = {"{$0,$1,$2,$3}, [$4]", "=r,=r,=r,=r,r,~{memory}"}};
  LLVMValueRef pointer = tg_llvm_in(op, 0);
  LLVMTypeRef words[] = {e->i32, e->i32, e->i32, e->i32};
  const char *text = tg_arena_printf(e->arena, "ldmatrix.sync.aligned.m8n8.x%d%s.shared.b16 %s;", op->nout,
                                     tg_attr_int(op, "trans", 0) ? ".trans" : "", forms[op->nout].registers);
  LLVMTypeRef result = op->nout == 1 ? e->i32 : LLVMStructTypeInContext(e->context, words, (unsigned)op->nout, 0);
  LLVMValueRef d = tg_llvm_ptx(e, text, forms[op->nout].constraints, result, 1, &pointer);
  for (int i = 0; i < op->nout; i++) op->out[i]->note = op->nout == 1 ? d : LLVMBuildExtractValue(B, d, (unsigned)i, "");
}

// PTX ISA, cp.async: 16 bytes pass by the first cache; fewer than asked for are read, the rest becomes 0, where a third operand says so.
static void emit_cp_async(tg_llvm *e, tg_op *op) {
  const int bytes = (int)tg_attr_int(op, "bytes", 16);
  LLVMValueRef args[] = {tg_llvm_in(op, 0), tg_llvm_in(op, 1), tg_llvm_in(op, 2)};
  const bool whole = LLVMIsConstant(args[2]) && LLVMConstIntGetZExtValue(args[2]) == (unsigned long long)bytes;
  const char *text =
      tg_arena_printf(e->arena, "cp.async.%s.shared.global [$0], [$1], %d%s;", bytes == 16 ? "cg" : "ca", bytes, whole ? "" : ", $2");
  tg_llvm_ptx(e, text, whole ? "r,l,~{memory}" : "r,l,r,~{memory}", e->none, whole ? 2 : 3, args);
}

static void emit_cp_commit(tg_llvm *e, tg_op *op) {
  (void)op;
  tg_llvm_ptx(e, "cp.async.commit_group;", "~{memory}", e->none, 0, NULL);
}

static void emit_cp_wait(tg_llvm *e, tg_op *op) {
  tg_llvm_ptx(e, tg_arena_printf(e->arena, "cp.async.wait_group %d;", (int)tg_attr_int(op, "pending", 0)), "~{memory}", e->none, 0, NULL);
}

// Relaxed in itself: the order that was asked for is made by fences around it (LLVM drops that of the instruction).
static void emit_atomic(tg_llvm *e, tg_op *op) {
  const char *order = tg_attr_str(op, "order", "relaxed"), *scope = tg_attr_str(op, "scope", "device");
  const bool whole = !strcmp(order, "seq_cst"), both = whole || !strcmp(order, "acq_rel");
  const bool before = both || !strcmp(order, "release"), after = both || !strcmp(order, "acquire");
  const unsigned id = LLVMGetSyncScopeID(e->context, scope, strlen(scope));
  if (before) LLVMBuildFenceSyncScope(B, whole ? LLVMAtomicOrderingSequentiallyConsistent : LLVMAtomicOrderingAcquireRelease, id, "");
  tg_llvm_atomic(e, op, pointer_of(e, op), "relaxed");
  if (after) LLVMBuildFenceSyncScope(B, LLVMAtomicOrderingAcquireRelease, id, "");
}

// ---- functions that the machine has

// An intrinsic of f32 on scalars or on vectors of them.
static LLVMValueRef by_element(tg_llvm *e, const char *name, int n, LLVMValueRef *x) {
  const unsigned lanes = tg_llvm_lanes(LLVMTypeOf(x[0]));
  if (!lanes) return tg_llvm_intrinsic(e, name, 0, NULL, n, x);
  LLVMValueRef all = LLVMGetPoison(LLVMTypeOf(x[0])), args[2];
  for (unsigned i = 0; i < lanes; i++) {
    LLVMValueRef at = LLVMConstInt(e->i32, i, 0);
    for (int k = 0; k < n; k++) args[k] = LLVMBuildExtractElement(B, x[k], at, "");
    all = LLVMBuildInsertElement(B, all, tg_llvm_intrinsic(e, name, 0, NULL, n, args), at, "");
  }
  return all;
}

// PTX ISA, min and max: -0 is less than +0; with .NaN (from sm_80 on) a NaN wins, without it the number.
static LLVMValueRef least(tg_llvm *e, LLVMValueRef x, LLVMValueRef y, tg_llvm_least how) {
  static const char *const names[2][2] = {{"llvm.nvvm.fmin.f", "llvm.nvvm.fmin.nan.f"}, {"llvm.nvvm.fmax.f", "llvm.nvvm.fmax.nan.f"}};
  return by_element(e, names[how.greatest][how.propagate], 2, (LLVMValueRef[]){x, y});
}

static void emit_ex2(tg_llvm *e, tg_op *op) { tg_llvm_set(op, tg_llvm_intrinsic1(e, "llvm.nvvm.ex2.approx.ftz", tg_llvm_in(op, 0))); }
static void emit_rcp(tg_llvm *e, tg_op *op) {
  LLVMValueRef x = tg_llvm_in(op, 0);
  tg_llvm_set(op, tg_llvm_intrinsic(e, "llvm.nvvm.rcp.approx.ftz.f", 0, NULL, 1, &x));
}

// PTX ISA, ex2.approx.f32: within 2 ulp of the correctly rounded for every x, subnormal numbers too.
static void emit_exp2(tg_llvm *e, tg_op *op) {
  if (op->out[0]->type.dtype != TG_F32) tg_llvm_fail(e, "exp2 is an instruction of f32 alone; the lowering casts other floats");
  tg_llvm_set(op, tg_llvm_intrinsic1(e, "llvm.exp2", tg_llvm_in(op, 0)));
}

// ---- conversions that the machine has

// cvt.rn.bf16.f32 and cvt.rn.bf16x2.f32 (PTX ISA, cvt: from sm_80 on) round to nearest even and keep NaN a NaN.
static void emit_cast(tg_llvm *e, tg_op *op) {
  LLVMValueRef x = tg_llvm_in(op, 0);
  const int from = op->in[0]->type.dtype, to = op->out[0]->type.dtype;
  if (from != TG_F32 || to != TG_BF16 || tg_llvm_lanes(LLVMTypeOf(x)) > 2) {
    tg_llvm_set(op, tg_llvm_cast(e, from, to, x, strcmp(tg_attr_str(op, "mode", "ieee"), "sat") ? TG_ROUND_IEEE : TG_ROUND_SAT));
  } else if (tg_llvm_lanes(LLVMTypeOf(x)) == 2) {
    LLVMValueRef pair[] = {LLVMBuildExtractElement(B, x, LLVMConstInt(e->i32, 1, 0), ""),
                           LLVMBuildExtractElement(B, x, LLVMConstInt(e->i32, 0, 0), "")};
    tg_llvm_set(op, LLVMBuildBitCast(B, tg_llvm_intrinsic(e, "llvm.nvvm.ff2bf16x2.rn", 0, NULL, 2, pair), LLVMVectorType(e->i16, 2), ""));
  } else {
    tg_llvm_set(op, LLVMBuildBitCast(B, tg_llvm_intrinsic(e, "llvm.nvvm.f2bf16.rn", 0, NULL, 1, &x), e->i16, ""));
  }
}

static void emit_bytes(tg_llvm *e, tg_op *op) {
  const tg_attr *at = tg_find_attr(op, "at");
  unsigned selector = 0;
  for (int i = 0; i < at->n; i++) selector |= (unsigned)at->ints[i] << 4 * i;
  LLVMValueRef args[] = {tg_llvm_in(op, 0), tg_llvm_in(op, 1), tg_llvm_int(e->i32, selector)};
  tg_llvm_set(op, tg_llvm_intrinsic(e, "llvm.nvvm.prmt", 0, NULL, 3, args));
}

// Two codes of $2 as bf16 but for the scale, the selector's bytes in their upper halves, their signs beside.
#define CODES(to, selector)                                                                                                                \
  "{\n\t"                                                                                                                                  \
  ".reg .b32 bits;\n\t"                                                                                                                    \
  "prmt.b32 " to ", $2, 0, " selector ";\n\t"                                                                                              \
  "shr.u32 bits, " to ", 4;\n\t"                                                                                                           \
  "and.b32 bits, bits, 0x07f007f0;\n\t"                                                                                                    \
  "and.b32 " to ", " to ", 0x80008000;\n\t"                                                                                                \
  "or.b32 " to ", " to ", bits;\n\t"                                                                                                       \
  "}\n\t"

// A code's exponent and mantissa lie 4 bits further right in bf16, where they say 2^-120 of the number, subnormal ones too: one
// multiplication by 2^120, which adds a NaN (all bits) where the code is one: where its lower bits, and 1, carry into a byte's sign, which
// the permutation repeats (PTX ISA, prmt: bit 3 of a selector). As text, since LLVM takes as long for each of these instructions as for all
// of it.
static void emit_quads(tg_llvm *e, tg_op *op) {
  static const char text[] = "{\n\t"
                             ".reg .b32 low, high, nan, other, scale;\n\t"
                             "and.b32 nan, $2, 0x7f7f7f7f;\n\t"
                             "add.s32 nan, nan, 0x01010101;\n\t"
                             "mov.b32 scale, 0x7b807b80;\n\t" CODES("low", "0x1404") CODES("high", "0x3424") //
      "prmt.b32 other, nan, 0, 0x9988;\n\t"
      "prmt.b32 nan, nan, 0, 0xbbaa;\n\t"
      "fma.rn.bf16x2 $0, low, scale, other;\n\t"
      "fma.rn.bf16x2 $1, high, scale, nan;\n\t"
      "}";
  LLVMTypeRef words[] = {e->i32, e->i32};
  LLVMValueRef x = tg_llvm_in(op, 0), both = LLVMGetPoison(LLVMVectorType(e->i32, 2));
  LLVMValueRef d = tg_llvm_pure_ptx(e, text, "=r,=r,r", LLVMStructTypeInContext(e->context, words, 2, 0), 1, &x);
  for (unsigned i = 0; i < 2; i++)
    both = LLVMBuildInsertElement(B, both, LLVMBuildExtractValue(B, d, i, ""), LLVMConstInt(e->i32, i, 0), "");
  tg_llvm_set(op, both);
}

static void emit_trap(tg_llvm *e, tg_op *op) {
  LLVMBasicBlockRef stop = tg_llvm_block(e, "trap"), after = tg_llvm_block(e, "after");
  LLVMBuildCondBr(B, tg_llvm_in(op, 0), after, stop);
  LLVMPositionBuilderAtEnd(B, stop);
  tg_llvm_intrinsic(e, "llvm.trap", 0, NULL, 0, NULL);
  LLVMBuildUnreachable(B);
  LLVMPositionBuilderAtEnd(B, after);
}

static const tg_llvm_row rows[] = {
    {TG_OP_TID, emit_tid},           {TG_OP_CTAID, emit_ctaid},     {TG_OP_SCRATCH, emit_scratch},   {TG_OP_LOADM, emit_loadm},
    {TG_OP_STOREM, emit_storem},     {TG_OP_BARRIER, emit_barrier}, {TG_OP_SHFL, emit_shfl},         {TG_OP_MMA, emit_mma},
    {TG_OP_LDMATRIX, emit_ldmatrix}, {TG_OP_CAST, emit_cast},       {TG_OP_TRAP, emit_trap},         {TG_OP_PTRADD, emit_ptradd},
    {TG_OP_LLOAD, emit_load},        {TG_OP_LSTORE, emit_store},    {TG_OP_CP_ASYNC, emit_cp_async}, {TG_OP_CP_COMMIT, emit_cp_commit},
    {TG_OP_CP_WAIT, emit_cp_wait},   {TG_OP_ATOMICL, emit_atomic},  {TG_OP_QUADS, emit_quads},       {TG_OP_BYTES, emit_bytes},
    {TG_OP_EXP2, emit_exp2},         {TG_OP_EX2, emit_ex2},         {TG_OP_RCP, emit_rcp},           {0, NULL}};

// tests/llvm/test_nvptx_ops.c makes PTX of every op on every dtype by these.
static const char *const intrinsics[] = {"llvm.nvvm.", "llvm.abs",  "llvm.ceil",       "llvm.copysign", "llvm.exp2", "llvm.fabs",
                                         "llvm.floor", "llvm.fma",  "llvm.fptosi.sat", "llvm.rint",     "llvm.smax", "llvm.smin",
                                         "llvm.sqrt",  "llvm.trap", "llvm.trunc",      "llvm.umax",     "llvm.umin", "llvm.expect",
                                         NULL};

const tg_llvm_family tg_llvm_nvptx = {.name = "nvptx",
                                      .intrinsics = intrinsics,
                                      .address_space = {1, 3, 5, 0},
                                      .initialise = initialise,
                                      .module = prepare,
                                      .plain_addresses = true,
                                      .launch = emit_launch,
                                      .least = least,
                                      .rows = rows,
                                      .more = tg_llvm_rows_async,
                                      .passes = "function(early-cse,dce)"};
