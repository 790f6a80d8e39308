// Launches as host functions. For each launch there are two: the exported entry (tg_cpu_entry of targets/target.h), which loads the
// arguments and walks the linear blocks, and an internal body, called once a block, whose parameters say which pointers cannot overlap.
#include "codegen/llvm_short.h"

#define B e->b

static void initialise(void) {
  LLVMInitializeNativeTarget();
  LLVMInitializeNativeAsmPrinter();
  LLVMInitializeAArch64TargetInfo();
  LLVMInitializeAArch64Target();
  LLVMInitializeAArch64TargetMC();
  LLVMInitializeAArch64AsmPrinter();
}

// ---- the body

// Parameters of a kernel do not overlap unless `inout`. An inout tensor may lie over an input, so with one about only what is purely
// written, and workspaces, are known to stand alone.
static bool stands_alone(const tg_launch *launch, int index) {
  bool any_inout = false;
  for (int i = 0; i < launch->nargs; i++) {
    const tg_param *p = launch->args[i].kind == TG_ARG_POINTER ? tg_find_param(launch->kernel, launch->args[i].name) : NULL;
    if (p && p->kind == TG_INOUT) any_inout = true;
    if (i != index && launch->args[i].kind == TG_ARG_POINTER && !strcmp(launch->args[i].name, launch->args[index].name)) return false;
  }
  const tg_param *p = tg_find_param(launch->kernel, launch->args[index].name);
  if (!p) return false;
  return p->kind == TG_OUTPUT || p->kind == TG_WORKSPACE || (p->kind == TG_INPUT && !any_inout);
}

static void function_attributes(tg_llvm *e, LLVMValueRef f) {
  const unsigned function = (unsigned)LLVMAttributeFunctionIndex;
  tg_llvm_attribute(e, f, function, "nounwind", 0);
  char bits[16];
  snprintf(bits, sizeof bits, "%d", (int)e->options->machine->vector_bits);
  tg_llvm_string_attribute(e, f, "prefer-vector-width", bits);
  tg_llvm_string_attribute(e, f, "target-cpu", e->options->cpu);
  tg_llvm_string_attribute(e, f, "target-features", e->options->features ? e->options->features : "");
}

// ptr body(arguments…, i64 coordinate…, ptr scratch, ptr hooks): NULL, or the text of the trap that fired.
static LLVMValueRef make_body(tg_llvm *e, LLVMTypeRef *type) {
  tg_launch *launch = e->launch;
  const int n = launch->nargs, total = n + launch->naxes + 2;
  LLVMTypeRef *types = TG_NEWN(e->arena, LLVMTypeRef, total);
  for (int i = 0; i < n; i++) types[i] = tg_llvm_type(e, launch->body->args[i]->type);
  for (int i = 0; i < launch->naxes; i++) types[n + i] = e->i64;
  types[total - 2] = types[total - 1] = e->ptr[TG_LOCAL];
  *type = LLVMFunctionType(e->ptr[TG_LOCAL], types, (unsigned)total, 0);
  LLVMValueRef f = e->function = LLVMAddFunction(e->module, tg_arena_printf(e->arena, "%s.block", launch->entry), *type);
  LLVMSetLinkage(f, LLVMInternalLinkage);
  function_attributes(e, f);
  tg_llvm_attribute(e, f, (unsigned)LLVMAttributeFunctionIndex, "noinline", 0);
  for (int i = 0; i < n; i++) {
    launch->body->args[i]->note = LLVMGetParam(f, (unsigned)i);
    if (launch->args[i].kind == TG_ARG_POINTER && stands_alone(launch, i)) tg_llvm_attribute(e, f, (unsigned)i + 1, "noalias", 0);
  }
  for (int i = 0; i < launch->naxes; i++) e->coordinate[i] = LLVMGetParam(f, (unsigned)(n + i));
  e->scratch = LLVMGetParam(f, (unsigned)total - 2), e->hooks = LLVMGetParam(f, (unsigned)total - 1);
  tg_llvm_attribute(e, f, (unsigned)total - 1, "noalias", 0);
  tg_llvm_attribute(e, f, (unsigned)total - 1, "align", 4096);
  LLVMPositionBuilderAtEnd(B, tg_llvm_block(e, "body"));
  tg_scratch_layout(launch);
  tg_llvm_find_pairs(e);
  tg_llvm_find_short_nans(e);
  tg_llvm_region(e, launch->body);
  LLVMBuildRet(B, LLVMConstNull(e->ptr[TG_LOCAL]));
  return f;
}

// ---- the entry

static LLVMValueRef slot(tg_llvm *e, LLVMValueRef base, int index, LLVMTypeRef type) { // element `index` of an array of 8-byte slots
  LLVMValueRef v = LLVMBuildLoad2(B, type, tg_llvm_ptradd(e, base, LLVMConstInt(e->i64, 8ull * (unsigned)index, 0)), "");
  LLVMSetAlignment(v, 8);
  return v;
}

static LLVMValueRef argument(tg_llvm *e, LLVMValueRef args, int i) {
  const tg_type type = e->launch->body->args[i]->type;
  if (type.kind == TG_TILE && type.dtype == TG_I1) return icmpk(e, LLVMIntNE, slot(e, args, i, e->i8), 0);
  return slot(e, args, i, tg_llvm_type(e, type)); // little-endian: a narrow value lies first in its slot
}

static void find_streams(tg_op *op, void *user) {
  if (tg_attr_int(op, "stream", 0) && op->code == TG_OP_LSTORE) *(bool *)user = true;
}

// Streamed stores are seen by all before the worker's blocks count as done. Once, not in every block: a fence waits for memory.
static void fence(tg_llvm *e) {
  bool streams = false;
  tg_walk(e->launch->body, find_streams, &streams);
  if (!streams) return;
  if (!strncmp(e->options->triple, "x86_64", 6)) tg_llvm_intrinsic(e, "llvm.x86.sse.sfence", 0, NULL, 0, NULL);
  else LLVMBuildFence(B, LLVMAtomicOrderingRelease, 0, "");
}

static void make_entry(tg_llvm *e, LLVMValueRef body, LLVMTypeRef body_type) {
  tg_launch *launch = e->launch;
  const int n = launch->nargs, naxes = launch->naxes, total = n + naxes + 2;
  LLVMTypeRef p = e->ptr[TG_LOCAL];
  LLVMTypeRef type = LLVMFunctionType(p, (LLVMTypeRef[]){p, p, e->i64, e->i64, p, p}, 6, 0);
  LLVMValueRef f = e->function = LLVMAddFunction(e->module, launch->entry, type);
  function_attributes(e, f);
  LLVMValueRef first = LLVMGetParam(f, 2), last = LLVMGetParam(f, 3);
  LLVMBasicBlockRef start = tg_llvm_block(e, "entry"), loop = tg_llvm_block(e, "block"), next = tg_llvm_block(e, "next");
  LLVMBasicBlockRef done = tg_llvm_block(e, "done"), stop = tg_llvm_block(e, "trapped");

  LLVMPositionBuilderAtEnd(B, start);
  LLVMValueRef *values = TG_NEWN(e->arena, LLVMValueRef, total), extent[4] = {NULL};
  for (int i = 0; i < n; i++) values[i] = argument(e, LLVMGetParam(f, 0), i);
  for (int i = 0; i + 1 < naxes; i++) extent[i] = slot(e, LLVMGetParam(f, 1), i, e->i64);
  values[total - 2] = LLVMGetParam(f, 4), values[total - 1] = LLVMGetParam(f, 5);
  LLVMBuildCondBr(B, LLVMBuildICmp(B, LLVMIntSLT, first, last, ""), loop, done);

  LLVMPositionBuilderAtEnd(B, loop);
  LLVMValueRef block = LLVMBuildPhi(B, e->i64, "block"), rest = block;
  for (int i = 0; i < naxes; i++) {
    values[n + i] = i + 1 < naxes ? LLVMBuildURem(B, rest, extent[i], "") : rest;
    if (i + 1 < naxes) rest = LLVMBuildUDiv(B, rest, extent[i], "");
  }
  LLVMValueRef trap = LLVMBuildCall2(B, body_type, body, values, (unsigned)total, "");
  LLVMBuildCondBr(B, LLVMBuildIsNull(B, trap, ""), next, stop);

  LLVMPositionBuilderAtEnd(B, next);
  LLVMValueRef following = addk(e, block, 1);
  LLVMAddIncoming(block, (LLVMValueRef[]){first, following}, (LLVMBasicBlockRef[]){start, next}, 2);
  tg_llvm_no_unroll(e, LLVMBuildCondBr(B, LLVMBuildICmp(B, LLVMIntSLT, following, last, ""), loop, done));
  LLVMPositionBuilderAtEnd(B, done);
  fence(e);
  LLVMBuildRet(B, LLVMConstNull(p));
  LLVMPositionBuilderAtEnd(B, stop);
  fence(e);
  LLVMBuildRet(B, trap);
}

static void emit_launch(tg_llvm *e) {
  LLVMTypeRef type;
  LLVMValueRef body = make_body(e, &type);
  make_entry(e, body, type);
}

// ---- ops with a meaning of their own on a host: a block has one thread

static void emit_tid(tg_llvm *e, tg_op *op) { tg_llvm_set(op, LLVMConstInt(e->i32, 0, 0)); }

static void emit_ctaid(tg_llvm *e, tg_op *op) {
  const int64_t axis = tg_attr_int(op, "axis", 0);
  if (axis < 0 || axis >= e->launch->naxes)
    tg_llvm_fail(e, "the grid has %d axes, not one numbered %lld", e->launch->naxes, (long long)axis);
  tg_llvm_set(op, e->coordinate[axis]);
}

static void emit_scratch(tg_llvm *e, tg_op *op) {
  if (op->out[0]->type.space != TG_LOCAL) tg_llvm_fail(e, "on a host, scratch is local: one block is one worker");
  tg_llvm_set(op, tg_llvm_ptradd(e, e->scratch, LLVMConstInt(e->i64, (unsigned long long)(intptr_t)op->note, 0)));
}

static void emit_barrier(tg_llvm *e, tg_op *op) { (void)e, (void)op; }

static void emit_trap(tg_llvm *e, tg_op *op) {
  LLVMBasicBlockRef stop = tg_llvm_block(e, "trap"), on = tg_llvm_block(e, "on");
  LLVMBuildCondBr(B, tg_llvm_in(op, 0), on, stop);
  LLVMPositionBuilderAtEnd(B, stop);
  LLVMBuildRet(B, tg_llvm_text(e, tg_attr_str(op, "text", "trap")));
  LLVMPositionBuilderAtEnd(B, on);
}

// hooks->print(hooks->user, text, types, slots): scalars and the elements of vectors, one after the other.
static void emit_print(tg_llvm *e, tg_op *op) {
  unsigned n = 0;
  for (int i = 0; i < op->nin; i++) n += op->in[i]->type.rank ? (unsigned)op->in[i]->type.dim[0] : 1;
  LLVMBasicBlockRef here = LLVMGetInsertBlock(B), top = LLVMGetEntryBasicBlock(e->function);
  LLVMValueRef front = LLVMGetFirstInstruction(top);
  if (front) LLVMPositionBuilderBefore(B, front); // stack space is fixed when it is taken in the entry block
  LLVMValueRef slots = LLVMBuildArrayAlloca(B, e->i64, LLVMConstInt(e->i32, n ? n : 1, 0), "slots");
  LLVMPositionBuilderAtEnd(B, here);
  unsigned at = 0;
  for (int i = 0; i < op->nin; i++) {
    const tg_type type = op->in[i]->type;
    LLVMValueRef x = tg_llvm_cast(e, type.dtype, tg_dtype_is_float(type.dtype) ? TG_F64 : TG_I64, tg_llvm_in(op, i), TG_ROUND_IEEE);
    LLVMSetAlignment(LLVMBuildStore(B, x, tg_llvm_ptradd(e, slots, LLVMConstInt(e->i64, 8ull * at, 0))), 8);
    at += type.rank ? (unsigned)type.dim[0] : 1;
  }
  LLVMTypeRef p = e->ptr[TG_LOCAL], type = LLVMFunctionType(e->none, (LLVMTypeRef[]){p, p, p, p}, 4, 0);
  LLVMValueRef user = slot(e, e->hooks, 0, p), print = slot(e, e->hooks, 1, p);
  LLVMValueRef text = tg_llvm_text(e, tg_attr_str(op, "text", "")), types = tg_llvm_text(e, tg_attr_str(op, "types", ""));
  LLVMBuildCall2(B, type, print, (LLVMValueRef[]){user, text, types, slots}, 4, "");
}

static const tg_llvm_row rows[] = {{TG_OP_TID, emit_tid},
                                   {TG_OP_CTAID, emit_ctaid},
                                   {TG_OP_SCRATCH, emit_scratch},
                                   {TG_OP_BARRIER, emit_barrier},
                                   {TG_OP_TRAP, emit_trap},
                                   {TG_OP_DEBUG_PRINT, emit_print},
                                   {0, NULL}};

const tg_llvm_family tg_llvm_cpu = {.name = "cpu",
                                    .initialise = initialise,
                                    .launch = emit_launch,
                                    .plain_addresses = true,
                                    .rows = rows,
                                    .passes = "function(early-cse,dce)"};
