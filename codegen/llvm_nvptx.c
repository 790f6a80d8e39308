// Launches as NVIDIA kernels: the calling convention, and the ops that only blocks of many threads have.
#include "codegen/llvm_short.h"

#define B e->b

static void initialise(void) {
  LLVMInitializeNVPTXTargetInfo();
  LLVMInitializeNVPTXTarget();
  LLVMInitializeNVPTXTargetMC();
  LLVMInitializeNVPTXAsmPrinter();
}

static void emit_launch(tg_llvm *e) {
  tg_launch *launch = e->launch;
  LLVMTypeRef *types = TG_NEWN(e->arena, LLVMTypeRef, launch->nargs + 1);
  for (int i = 0; i < launch->nargs; i++) types[i] = tg_llvm_type(e, launch->body->args[i]->type);
  LLVMValueRef f = e->function = LLVMAddFunction(e->module, launch->entry, LLVMFunctionType(e->none, types, (unsigned)launch->nargs, 0));
  LLVMSetFunctionCallConv(f, LLVMPTXKernelCallConv);
  for (int i = 0; i < launch->nargs; i++) launch->body->args[i]->note = LLVMGetParam(f, (unsigned)i);
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

static const tg_llvm_row rows[] = {{TG_OP_TID, emit_tid}, {TG_OP_CTAID, emit_ctaid}, {0, NULL}};

const tg_llvm_family tg_llvm_nvptx = {.name = "nvptx",
                                      .address_space = {1, 3, 5},
                                      .initialise = initialise,
                                      .launch = emit_launch,
                                      .rows = rows,
                                      .passes = "function(early-cse,dce)"};
