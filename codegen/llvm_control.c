// Loops and branches.
#include <llvm-c/DebugInfo.h>

#include "codegen/llvm_short.h"

#define B e->b

void tg_llvm_no_unroll(tg_llvm *e, LLVMValueRef branch) {
  LLVMMetadataRef temporary = LLVMTemporaryMDNode(e->context, NULL, 0);
  LLVMMetadataRef self = LLVMMDNodeInContext2(e->context, (LLVMMetadataRef[]){temporary, e->unroll_disable}, 2);
  LLVMMetadataReplaceAllUsesWith(temporary, self); // a loop's identity is a node that names itself
  LLVMSetMetadata(branch, LLVMGetMDKindIDInContext(e->context, "llvm.loop", 9), LLVMMetadataAsValue(e->context, self));
}

static void incoming(LLVMValueRef phi, LLVMValueRef v, LLVMBasicBlockRef from) { LLVMAddIncoming(phi, &v, &from, 1); }

// The next index, hidden from scalar evolution where the family asks for it: llvm.expect is dropped when instructions are selected, after
// loop strength reduction has found nothing to do. That pass takes a fifth of the code generator's time and its addresses gain nothing on
// x86.
static LLVMValueRef next_index(tg_llvm *e, LLVMValueRef i, int64_t step) {
  LLVMValueRef next = LLVMBuildNSWAdd(B, i, tg_llvm_int(LLVMTypeOf(i), step), "");
  return e->family->plain_addresses ? tg_llvm_intrinsic2(e, "llvm.expect", next, tg_llvm_int(LLVMTypeOf(i), 0)) : next;
}

// Rotated: the test before the first trip stands outside, the one for the next at the bottom.
static void emit_for(tg_llvm *e, tg_op *op) {
  tg_region *body = op->regions[0];
  const int n = op->nout;
  const int64_t step = tg_attr_int(op, "step", 1);
  LLVMValueRef lb = tg_llvm_in(op, 0), ub = tg_llvm_in(op, 1);
  LLVMBasicBlockRef before = LLVMGetInsertBlock(B), loop = tg_llvm_block(e, "loop"), after = tg_llvm_block(e, "after");
  LLVMBuildCondBr(B, LLVMBuildICmp(B, LLVMIntSLT, lb, ub, ""), loop, after);

  LLVMPositionBuilderAtEnd(B, loop);
  LLVMValueRef *phi = TG_NEWN(e->arena, LLVMValueRef, n + 1), i = LLVMBuildPhi(B, LLVMTypeOf(lb), "i");
  incoming(i, lb, before);
  body->args[0]->note = i;
  for (int k = 0; k < n; k++) {
    phi[k] = LLVMBuildPhi(B, tg_llvm_type(e, body->args[k + 1]->type), "");
    incoming(phi[k], tg_llvm_in(op, k + 2), before);
    body->args[k + 1]->note = phi[k];
  }
  tg_llvm_region(e, body);
  const tg_op *yield = tg_llvm_yield(body);
  LLVMBasicBlockRef bottom = LLVMGetInsertBlock(B);
  LLVMValueRef next = next_index(e, i, step);
  tg_llvm_no_unroll(e, LLVMBuildCondBr(B, LLVMBuildICmp(B, LLVMIntSLT, next, ub, ""), loop, after));
  incoming(i, next, bottom);
  for (int k = 0; k < n; k++) incoming(phi[k], tg_llvm_in(yield, k), bottom);

  LLVMPositionBuilderAtEnd(B, after);
  for (int k = 0; k < n; k++) {
    LLVMValueRef r = LLVMBuildPhi(B, LLVMTypeOf(phi[k]), "");
    incoming(r, tg_llvm_in(op, k + 2), before);
    incoming(r, tg_llvm_in(yield, k), bottom);
    op->out[k]->note = r;
  }
}

static void emit_if(tg_llvm *e, tg_op *op) {
  LLVMBasicBlockRef side[2] = {tg_llvm_block(e, "then"), tg_llvm_block(e, "else")}, after = tg_llvm_block(e, "after"), end[2];
  LLVMBuildCondBr(B, tg_llvm_in(op, 0), side[0], side[1]);
  for (int s = 0; s < 2; s++) {
    LLVMPositionBuilderAtEnd(B, side[s]);
    tg_llvm_region(e, op->regions[s]);
    end[s] = LLVMGetInsertBlock(B);
    LLVMBuildBr(B, after);
  }
  LLVMPositionBuilderAtEnd(B, after);
  for (int k = 0; k < op->nout; k++) {
    LLVMValueRef r = LLVMBuildPhi(B, tg_llvm_type(e, op->out[k]->type), "");
    for (int s = 0; s < 2; s++) incoming(r, tg_llvm_in(tg_llvm_yield(op->regions[s]), k), end[s]);
    op->out[k]->note = r;
  }
}

static void emit_while(tg_llvm *e, tg_op *op) {
  tg_region *test = op->regions[0], *body = op->regions[1];
  LLVMBasicBlockRef before = LLVMGetInsertBlock(B), loop = tg_llvm_block(e, "while"), inside = tg_llvm_block(e, "do"),
                    after = tg_llvm_block(e, "after");
  LLVMBuildBr(B, loop);
  LLVMPositionBuilderAtEnd(B, loop);
  for (int k = 0; k < op->nout; k++) {
    LLVMValueRef phi = LLVMBuildPhi(B, tg_llvm_type(e, op->out[k]->type), "");
    incoming(phi, tg_llvm_in(op, k), before);
    test->args[k]->note = body->args[k]->note = op->out[k]->note = phi;
  }
  tg_llvm_region(e, test);
  LLVMBuildCondBr(B, tg_llvm_in(tg_llvm_yield(test), 0), inside, after);
  LLVMPositionBuilderAtEnd(B, inside);
  tg_llvm_region(e, body);
  LLVMBasicBlockRef bottom = LLVMGetInsertBlock(B);
  tg_llvm_no_unroll(e, LLVMBuildBr(B, loop));
  for (int k = 0; k < op->nout; k++) incoming(op->out[k]->note, tg_llvm_in(tg_llvm_yield(body), k), bottom);
  LLVMPositionBuilderAtEnd(B, after);
}

const tg_llvm_row tg_llvm_rows_control[] = {{TG_OP_FOR, emit_for}, {TG_OP_IF, emit_if}, {TG_OP_WHILE, emit_while}, {0, NULL}};
