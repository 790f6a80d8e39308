// Barriers in memory, the copy unit (TMA), products of warp groups (wgmma) and into tensor memory (tcgen05), and registers by warp group:
// what NVIDIA's GPUs have from sm_90 on, as lines of PTX. Shared addresses are 32-bit numbers.
#include "codegen/llvm_short.h"
#include "codegen/matrix.h"

#define B e->b

// Every op that is one line with its operands in order. $0, $1 … are the operands, %d an attribute. PTX ISA 8.0, mbarrier, cp.async.bulk,
// fence.proxy, barrier.cluster, mapa, wgmma and setmaxnreg; 8.6, tcgen05.
static const struct {
  int code;
  const char *where; // an attribute that is not 0; NULL: always
  const char *attr, *text, *constraints;
} lines[] = {
    {TG_OP_MBAR_INIT, NULL, "count", "mbarrier.init.shared::cta.b64 [$0], %d;", "r,~{memory}"},
    // Not .release.cluster, for which ptxas puts a fence of the whole GPU before it: what is handed over is a slot that has been read.
    {TG_OP_MBAR_ARRIVE, "remote", NULL, "@$1 mbarrier.arrive.shared::cluster.b64 _, [$0];", "r,b,~{memory}"},
    {TG_OP_MBAR_ARRIVE, NULL, NULL, "@$1 mbarrier.arrive.shared::cta.b64 _, [$0];", "r,b,~{memory}"},
    {TG_OP_MBAR_EXPECT, NULL, "count", "mbarrier.arrive.expect_tx.shared::cta.b64 _, [$0], %d;", "r,~{memory}"},
    // The whole spin in one line: no control flow that the optimiser sees.
    {TG_OP_MBAR_WAIT, NULL, NULL, "{ .reg .pred P; W${:uid}: mbarrier.try_wait.parity.shared::cta.b64 P, [$0], $1; @!P bra.uni W${:uid}; }",
     "r,r,~{memory}"},
    {TG_OP_CLUSTER_BARRIER, NULL, NULL, "barrier.cluster.arrive.relaxed.aligned; barrier.cluster.wait.acquire.aligned;", "~{memory}"},
    {TG_OP_PREFETCH_MAP, NULL, NULL, "prefetch.tensormap [$0];", "l,~{memory}"},
    {TG_OP_WGMMA_BEGIN, NULL, NULL, "wgmma.fence.sync.aligned;", "~{memory}"},
    {TG_OP_WGMMA_COMMIT, NULL, NULL, "wgmma.commit_group.sync.aligned;", "~{memory}"},
    {TG_OP_TMEM_ALLOC, NULL, "columns",
     "tcgen05.alloc.cta_group::1.sync.aligned.shared::cta.b32 [$0], %d; tcgen05.relinquish_alloc_permit.cta_group::1.sync.aligned;",
     "r,~{memory}"},
    {TG_OP_TMEM_FREE, NULL, "columns", "tcgen05.dealloc.cta_group::1.sync.aligned.b32 $0, %d;", "r,~{memory}"},
    {TG_OP_TMEM_COMMIT, NULL, NULL, "tcgen05.commit.cta_group::1.mbarrier::arrive::one.shared::cluster.b64 [$0];", "r,~{memory}"},
};
enum { NLINES = sizeof lines / sizeof *lines };

LLVMValueRef tg_llvm_ptx(tg_llvm *e, const char *text, const char *constraints, LLVMTypeRef result, int n, LLVMValueRef *args) {
  LLVMTypeRef *types = TG_NEWN(e->arena, LLVMTypeRef, n + 1);
  for (int i = 0; i < n; i++) types[i] = LLVMTypeOf(args[i]);
  LLVMTypeRef type = LLVMFunctionType(result, types, (unsigned)n, 0);
  LLVMValueRef f = LLVMGetInlineAsm(type, text, strlen(text), constraints, strlen(constraints), 1, 0, LLVMInlineAsmDialectATT, 0);
  LLVMValueRef call = LLVMBuildCall2(B, type, f, args, (unsigned)n, "");
  const unsigned kind = LLVMGetEnumAttributeKindForName("convergent", 10);
  LLVMAddCallSiteAttribute(call, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, LLVMCreateEnumAttribute(e->context, kind, 0));
  return call;
}

LLVMValueRef tg_llvm_pure_ptx(tg_llvm *e, const char *text, const char *constraints, LLVMTypeRef result, int n, LLVMValueRef *args) {
  static const struct {
    const char *name;
    int length;
  } attributes[] = {{"memory", 6}, {"nounwind", 8}, {"willreturn", 10}, {"nosync", 6}}; // memory: 0 says none
  LLVMTypeRef types[4];
  if (n > 4) tg_llvm_fail(e, "a line of PTX has at most 4 operands here, not %d", n);
  for (int i = 0; i < n; i++) types[i] = LLVMTypeOf(args[i]);
  LLVMTypeRef type = LLVMFunctionType(result, types, (unsigned)n, 0);
  LLVMValueRef f = LLVMGetInlineAsm(type, text, strlen(text), constraints, strlen(constraints), 0, 0, LLVMInlineAsmDialectATT, 0);
  LLVMValueRef call = LLVMBuildCall2(B, type, f, args, (unsigned)n, "");
  for (int i = 0; i < 4; i++) {
    const unsigned kind = LLVMGetEnumAttributeKindForName(attributes[i].name, (size_t)attributes[i].length);
    LLVMAddCallSiteAttribute(call, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, LLVMCreateEnumAttribute(e->context, kind, 0));
  }
  return call;
}

static void emit_line(tg_llvm *e, tg_op *op) {
  LLVMValueRef args[4];
  int i = 0;
  while (i < NLINES && (lines[i].code != op->code || (lines[i].where && !tg_attr_int(op, lines[i].where, 0)))) i++;
  for (int k = 0; k < op->nin; k++) args[k] = tg_llvm_in(op, k);
  const char *text = lines[i].text;
  if (lines[i].attr) { // the one %d of the line
    const char *at = strstr(text, "%d");
    text = tg_arena_printf(e->arena, "%.*s%lld%s", (int)(at - text), text, (long long)tg_attr_int(op, lines[i].attr, 0), at + 2);
  }
  tg_llvm_ptx(e, text, lines[i].constraints, e->none, op->nin, args);
}

// PTX ISA, elect.sync. What the elected thread alone does, the assembler knows to be done once: operands go to uniform registers without a
// loop over the lanes.
static void emit_elect(tg_llvm *e, tg_op *op) {
  LLVMValueRef all = tg_llvm_int(e->i32, -1);
  tg_llvm_set(op, LLVMBuildExtractValue(B, tg_llvm_intrinsic(e, "llvm.nvvm.elect.sync", 0, NULL, 1, &all), 1, ""));
}

static void emit_fence(tg_llvm *e, tg_op *op) {
  const bool init = tg_attr_int(op, "init", 0);
  tg_llvm_ptx(e, init ? "fence.mbarrier_init.release.cluster;" : "fence.proxy.async.shared::cta;", "~{memory}", e->none, 0, NULL);
}

static void emit_registers(tg_llvm *e, tg_op *op) {
  LLVMValueRef n = tg_llvm_int(e->i32, tg_attr_int(op, "n", 0));
  const bool more = tg_attr_int(op, "more", 0);
  tg_llvm_intrinsic(e, more ? "llvm.nvvm.setmaxnreg.inc.sync.aligned.u32" : "llvm.nvvm.setmaxnreg.dec.sync.aligned.u32", 0, NULL, 1, &n);
}

static void emit_mapa(tg_llvm *e, tg_op *op) {
  LLVMValueRef args[] = {tg_llvm_in(op, 0), tg_llvm_in(op, 1)};
  tg_llvm_set(op, tg_llvm_ptx(e, "mapa.shared::cluster.u32 $0, $1, $2;", "=r,r,r", e->i32, 2, args));
}

// cp.async.bulk.tensor: destination, map and coordinates, barrier; blocks that get it.
static void emit_copy_box(tg_llvm *e, tg_op *op) {
  const int rank = op->nin - 3, blocks = (int)tg_attr_int(op, "blocks", 0);
  tg_text text = {.arena = e->arena}, constraints = {.arena = e->arena};
  LLVMValueRef args[9] = {tg_llvm_in(op, 0), tg_llvm_in(op, 1)};
  tg_text_add(&text, "cp.async.bulk.tensor.%dd.shared::cluster.global.mbarrier::complete_tx::bytes%s [$0], [$1, {", rank,
              blocks ? ".multicast::cluster" : "");
  tg_text_add(&constraints, "r,l");
  for (int i = 0; i < rank; i++) {
    args[2 + i] = tg_llvm_in(op, 3 + i);
    tg_text_add(&text, "%s$%d", i ? ", " : "", 2 + i);
    tg_text_add(&constraints, ",r");
  }
  args[2 + rank] = tg_llvm_in(op, 2);
  tg_text_add(&text, "}], [$%d]", 2 + rank);
  tg_text_add(&constraints, ",r");
  if (blocks) {
    args[3 + rank] = LLVMConstInt(e->i16, (unsigned long long)blocks, 0);
    tg_text_add(&text, ", $%d", 3 + rank);
    tg_text_add(&constraints, ",h");
  }
  tg_text_append(&text, ";", 1);
  tg_text_add(&constraints, ",~{memory}");
  tg_llvm_ptx(e, text.data, constraints.data, e->none, op->nin + (blocks ? 1 : 0), args);
}

// PTX ISA, wgmma, matrix descriptor: bits 0-13 address, 16-29 leading and 32-45 stride distance, each in units of 16 bytes; 62-63 the
// swizzle, 1: 128 bytes, 2: 64, 3: 32. tcgen05, shared memory descriptor: the same, with 1 in bits 46-48 and the swizzle in 61-63, 2: 128
// bytes, 4: 64, 6: 32.
static void emit_desc(tg_llvm *e, tg_op *op) {
  const uint64_t swizzle = (uint64_t)tg_attr_int(op, "swizzle", 0), mode = swizzle == 128 ? 1 : swizzle == 64 ? 2 : swizzle == 32 ? 3 : 0;
  const uint64_t lead = (uint64_t)tg_attr_int(op, "lead", 0) >> 4, stride = (uint64_t)tg_attr_int(op, "stride", 0) >> 4;
  const uint64_t version = (uint64_t)tg_attr_int(op, "version", 0);
  LLVMValueRef address = zext(e, andk(e, shrk(e, tg_llvm_in(op, 0), 4), 0x3fff), e->i64);
  tg_llvm_set(op, ork(e, address, (int64_t)(lead << 16 | stride << 32 | version << 46 | mode << 62)));
}

// In the lower word, which the sum cannot leave: ptxas carries into the upper one of a sum of 64 bits.
static void emit_desc_add(tg_llvm *e, tg_op *op) {
  LLVMValueRef args[] = {tg_llvm_in(op, 0), tg_llvm_in(op, 1)};
  const char *text = "{ .reg .b32 L, H; mov.b64 {L, H}, $1; add.u32 L, L, $2; mov.b64 $0, {L, H}; }";
  tg_llvm_set(op, tg_llvm_ptx(e, text, "=l,l,r", e->i64, 2, args));
}

// ---- accumulators: operands and results of one line, tied so that each stays in its register

static LLVMTypeRef floats(tg_llvm *e, int n) {
  LLVMTypeRef *types = TG_NEWN(e->arena, LLVMTypeRef, n + 1);
  for (int i = 0; i < n; i++) types[i] = e->f32;
  return n == 1 ? e->f32 : LLVMStructTypeInContext(e->context, types, (unsigned)n, 0);
}

static void add_outputs(tg_text *constraints, int n, bool tied) {
  for (int i = 0; i < n; i++) tg_text_add(constraints, "%s=f", i ? "," : "");
  for (int i = 0; tied && i < n; i++) tg_text_add(constraints, ",%d", i);
}

static void take_results(tg_llvm *e, tg_op *op, LLVMValueRef d) {
  for (int i = 0; i < op->nout; i++) op->out[i]->note = op->nout == 1 ? d : LLVMBuildExtractValue(B, d, (unsigned)i, "");
}

// Steps along k are added to the descriptors next to the instruction: LLVM would keep each sum in a register from one loop to the next.
static void emit_wgmma(tg_llvm *e, tg_op *op) {
  const tg_wgmma_row *row = tg_wgmma_find(tg_attr_str(op, "row", ""));
  if (!row) tg_llvm_fail(e, "there is no matrix instruction '%s'", tg_attr_str(op, "row", ""));
  const int held = op->nout, tied = op->nin >= held + 2 ? held : 0, na = op->nin - tied - 1;
  tg_text text = {.arena = e->arena}, constraints = {.arena = e->arena};
  LLVMValueRef *args = TG_NEWN(e->arena, LLVMValueRef, op->nin + 1);
  for (int i = 0; i < op->nin; i++) args[i] = tg_llvm_in(op, i);
  tg_text_add(&text, "{ .reg .b64 A, B; ");
  if (na == 1) tg_text_add(&text, "add.s64 A, $%d, %lld; ", held + tied, (long long)tg_attr_int(op, "at_a", 0));
  tg_text_add(&text, "add.s64 B, $%d, %lld; ", held + tied + na, (long long)tg_attr_int(op, "at_b", 0));
  tg_text_add(&text, "wgmma.mma_async.sync.aligned.m64n%d%s {", held * 2, row->spelling);
  for (int i = 0; i < held; i++) tg_text_add(&text, "%s$%d", i ? ", " : "", i);
  tg_text_add(&text, "}, ");
  if (na == 1) tg_text_add(&text, "A");
  else tg_text_add(&text, "{$%d, $%d, $%d, $%d}", held + tied, held + tied + 1, held + tied + 2, held + tied + 3);
  tg_text_add(&text, ", B, %d, 1, 1", tied ? 1 : 0); // scale-d, then the signs
  if (row->trans && na == 1) tg_text_add(&text, ", %d", (int)tg_attr_int(op, "trans_a", 0));
  if (row->trans) tg_text_add(&text, ", %d", (int)tg_attr_int(op, "trans_b", 0));
  tg_text_add(&text, "; }");
  add_outputs(&constraints, held, tied);
  for (int i = 0; i < na; i++) tg_text_add(&constraints, na > 1 ? ",r" : ",l");
  tg_text_add(&constraints, ",l,~{memory}");
  take_results(e, op, tg_llvm_ptx(e, text.data, constraints.data, floats(e, held), op->nin, args));
}

static void emit_wait(tg_llvm *e, tg_op *op) {
  tg_text constraints = {.arena = e->arena};
  LLVMValueRef *args = TG_NEWN(e->arena, LLVMValueRef, op->nin + 1);
  for (int i = 0; i < op->nin; i++) args[i] = tg_llvm_in(op, i);
  add_outputs(&constraints, op->nout, true);
  tg_text_add(&constraints, ",~{memory}");
  const char *text = tg_arena_printf(e->arena, "wgmma.wait_group.sync.aligned %d;", (int)tg_attr_int(op, "pending", 0));
  take_results(e, op, tg_llvm_ptx(e, text, constraints.data, floats(e, op->nout), op->nin, args));
}

// ---- tensor memory

static void emit_tmem_fence(tg_llvm *e, tg_op *op) {
  const bool after = tg_attr_int(op, "after", 0);
  tg_llvm_ptx(e, after ? "tcgen05.fence::after_thread_sync;" : "tcgen05.fence::before_thread_sync;", "~{memory}", e->none, 0, NULL);
}

static void emit_tmem_mma(tg_llvm *e, tg_op *op) {
  const tg_tcgen05_row *row = tg_tcgen05_find(tg_attr_str(op, "row", ""));
  if (!row) tg_llvm_fail(e, "there is no matrix instruction '%s'", tg_attr_str(op, "row", ""));
  LLVMValueRef args[] = {tg_llvm_in(op, 0), tg_llvm_in(op, 1), tg_llvm_in(op, 2),
                         tg_llvm_int(e->i32, tg_tcgen05_descriptor(row, (int)tg_attr_int(op, "n", 0))), zext(e, tg_llvm_in(op, 3), e->i32)};
  const char *text = "{ .reg .pred P; setp.ne.b32 P, $4, 0; tcgen05.mma.cta_group::1.kind::%s [$0], $1, $2, $3, P; }";
  tg_llvm_ptx(e, tg_arena_printf(e->arena, text, row->kind), "r,l,l,r,r,~{memory}", e->none, 5, args);
}

// With its wait: no result is there before.
static void emit_tmem_load(tg_llvm *e, tg_op *op) {
  tg_text text = {.arena = e->arena}, constraints = {.arena = e->arena};
  LLVMValueRef address = tg_llvm_in(op, 0);
  tg_text_add(&text, "tcgen05.ld.sync.aligned.32x32b.x%d.b32 {", op->nout);
  for (int i = 0; i < op->nout; i++) tg_text_add(&text, "%s$%d", i ? ", " : "", i);
  tg_text_add(&text, "}, [$%d]; tcgen05.wait::ld.sync.aligned;", op->nout);
  add_outputs(&constraints, op->nout, false);
  tg_text_add(&constraints, ",r,~{memory}");
  take_results(e, op, tg_llvm_ptx(e, text.data, constraints.data, floats(e, op->nout), 1, &address));
}

const tg_llvm_row tg_llvm_rows_async[] = {
    {TG_OP_MBAR_INIT, emit_line},       {TG_OP_MBAR_ARRIVE, emit_line},    {TG_OP_MBAR_EXPECT, emit_line},
    {TG_OP_MBAR_WAIT, emit_line},       {TG_OP_PREFETCH_MAP, emit_line},   {TG_OP_WGMMA_BEGIN, emit_line},
    {TG_OP_WGMMA_COMMIT, emit_line},    {TG_OP_FENCE_ASYNC, emit_fence},   {TG_OP_SET_REGISTERS, emit_registers},
    {TG_OP_CLUSTER_BARRIER, emit_line}, {TG_OP_MAPA, emit_mapa},           {TG_OP_COPY_BOX, emit_copy_box},
    {TG_OP_SMEM_DESC, emit_desc},       {TG_OP_DESC_ADD, emit_desc_add},   {TG_OP_WGMMA, emit_wgmma},
    {TG_OP_WGMMA_WAIT, emit_wait},      {TG_OP_ELECT, emit_elect},         {TG_OP_TMEM_ALLOC, emit_line},
    {TG_OP_TMEM_FREE, emit_line},       {TG_OP_TMEM_COMMIT, emit_line},    {TG_OP_TMEM_FENCE, emit_tmem_fence},
    {TG_OP_TMEM_MMA, emit_tmem_mma},    {TG_OP_TMEM_LOAD, emit_tmem_load}, {0, NULL}};
