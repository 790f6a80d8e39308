// Lane kernel to LLVM module, and the module to text, assembly or an object file.
#include "codegen/llvm.h"
#include "codegen/llvm_shim.h"

#include <llvm-c/Analysis.h>
#include <llvm-c/Error.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <pthread.h>
#include <stdlib.h>

void tg_llvm_fail(tg_llvm *e, const char *format, ...) {
  char text[1024];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  const char *name = e->op ? tg_op_rows()[e->op->code].info.name : "module";
  if (e->op && e->op->loc.file) tg_throw(e->ctx, TG_FAILED, "%s:%d: llvm emitter, %s: %s", e->op->loc.file, e->op->loc.line, name, text);
  tg_throw(e->ctx, TG_FAILED, "llvm emitter, kernel %s, %s: %s", e->kernel->name, name, text);
}

// ---- one table for all ops

static void add_rows(tg_llvm_emit_fn **table, const tg_llvm_row *rows) {
  for (; rows && rows->emit; rows++) table[rows->code] = rows->emit;
}

static tg_llvm_emit_fn *const *make_table(tg_arena *arena, const tg_llvm_family *family) {
  tg_llvm_emit_fn **table = TG_NEWN(arena, tg_llvm_emit_fn *, TG_NOPCODES);
  add_rows(table, tg_llvm_rows_arith);
  add_rows(table, tg_llvm_rows_cast);
  add_rows(table, tg_llvm_rows_memory);
  add_rows(table, tg_llvm_rows_vector);
  add_rows(table, tg_llvm_rows_control);
  add_rows(table, family->rows);
  add_rows(table, family->more);
  return table;
}

void tg_llvm_region(tg_llvm *e, tg_region *region) {
  for (tg_op *op = region->first; op; op = op->next) {
    if (op->code == TG_OP_YIELD) return;
    e->op = op;
    if (!e->table[op->code]) tg_llvm_fail(e, "not an op that %s code can be made of", e->family->name);
    e->table[op->code](e, op);
  }
  e->op = NULL;
}

// ---- contexts and modules

static void on_diagnostic(LLVMDiagnosticInfoRef info, void *user) {
  tg_llvm *e = user;
  if (LLVMGetDiagInfoSeverity(info) != LLVMDSError || e->diagnostic) return; // remarks and warnings arrive here too; the first error counts
  char *text = LLVMGetDiagInfoDescription(info);
  e->diagnostic = strdup(text ? text : "unknown error");
  LLVMDisposeMessage(text);
}

static void check_diagnostic(tg_llvm *e) {
  if (e->diagnostic) tg_throw(e->ctx, TG_FAILED, "LLVM on kernel %s: %s", e->kernel->name, e->diagnostic);
}

// Throws with a message that LLVM allocated.
static _Noreturn void fail_with(tg_llvm *e, const char *doing, char *message) {
  char text[2048];
  snprintf(text, sizeof text, "%s", message ? message : "no reason given");
  LLVMDisposeMessage(message);
  tg_throw(e->ctx, TG_FAILED, "LLVM, %s of kernel %s: %s", doing, e->kernel->name, text);
}

static pthread_once_t once[2] = {PTHREAD_ONCE_INIT, PTHREAD_ONCE_INIT};

static void open_target(tg_llvm *e) {
  const tg_llvm_options *o = e->options;
  pthread_once(&once[o->nvptx], e->family->initialise);
  LLVMTargetRef target;
  char *message = NULL;
  if (LLVMGetTargetFromTriple(o->triple, &target, &message)) fail_with(e, "target", message);
  e->target = LLVMCreateTargetMachine(target, o->triple, o->cpu, o->features ? o->features : "", LLVMCodeGenLevelLess, LLVMRelocPIC,
                                      LLVMCodeModelDefault);
  if (!e->target) tg_throw(e->ctx, TG_FAILED, "LLVM has no target machine for %s, processor %s", o->triple, o->cpu);
  char unknown[64];
  const bool described = o->machine && o->machine->arch; // what LLVM says of the host itself is not asked after
  if (described && !tg_llvm_knows(e->target, o->cpu, o->features ? o->features : "", unknown, sizeof unknown))
    tg_throw(e->ctx, TG_INVALID, "machine %s: LLVM knows no processor or feature '%s' of %s (arch and features of the description)",
             o->machine->name, unknown, o->triple);
}

static void open_module(tg_llvm *e) {
  LLVMContextRef c = e->context = LLVMContextCreate();
  LLVMContextSetDiagnosticHandler(c, on_diagnostic, e);
  open_target(e);
  e->module = LLVMModuleCreateWithNameInContext(e->kernel->name, c);
  LLVMSetTarget(e->module, e->options->triple);
  LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(e->target);
  LLVMSetModuleDataLayout(e->module, layout);
  LLVMDisposeTargetData(layout);
  e->b = LLVMCreateBuilderInContext(c);
  e->none = LLVMVoidTypeInContext(c);
  e->i1 = LLVMInt1TypeInContext(c), e->i8 = LLVMInt8TypeInContext(c), e->i16 = LLVMInt16TypeInContext(c);
  e->i32 = LLVMInt32TypeInContext(c), e->i64 = LLVMInt64TypeInContext(c);
  e->half = LLVMHalfTypeInContext(c), e->f32 = LLVMFloatTypeInContext(c), e->f64 = LLVMDoubleTypeInContext(c);
  for (int i = 0; i < 4; i++) e->ptr[i] = LLVMPointerTypeInContext(c, e->family->address_space[i]);
  e->empty_node = LLVMMDNodeInContext2(c, NULL, 0);
  LLVMMetadataRef disable = LLVMMDStringInContext2(c, "llvm.loop.unroll.disable", 24);
  e->unroll_disable = LLVMMDNodeInContext2(c, &disable, 1);
  if (e->family->module) e->family->module(e);
}

static void run_passes(tg_llvm *e) {
  char *message = NULL;
  if (LLVMVerifyModule(e->module, LLVMReturnStatusAction, &message)) fail_with(e, "verification", message);
  LLVMDisposeMessage(message);
  const char *passes = e->options->passes ? e->options->passes : e->family->passes;
  if (!*passes) return;
  LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
  LLVMErrorRef error = LLVMRunPasses(e->module, passes, e->target, options);
  LLVMDisposePassBuilderOptions(options);
  if (error) {
    char *reason = LLVMGetErrorMessage(error);
    char text[1024];
    snprintf(text, sizeof text, "%s", reason);
    LLVMDisposeErrorMessage(reason);
    tg_throw(e->ctx, TG_FAILED, "LLVM, passes %s: %s", passes, text);
  }
  check_diagnostic(e);
}

static tg_bytes print_text(tg_llvm *e) {
  e->text = LLVMPrintModuleToString(e->module);
  const size_t size = strlen(e->text);
  return (tg_bytes){tg_arena_strndup(e->arena, e->text, size), size};
}

// Emission changes the module, so all forms but the last are made from clones.
static tg_bytes emit_code(tg_llvm *e, LLVMCodeGenFileType type, bool last) {
  LLVMModuleRef module = last ? e->module : LLVMCloneModule(e->module);
  LLVMMemoryBufferRef buffer = NULL;
  char *message = NULL;
  LLVMSetTargetMachineAsmVerbosity(e->target, type == LLVMAssemblyFile);
  const LLVMBool failed = LLVMTargetMachineEmitToMemoryBuffer(e->target, module, type, &message, &buffer);
  if (!last) LLVMDisposeModule(module);
  if (failed) fail_with(e, "code generation", message);
  if (e->diagnostic) LLVMDisposeMemoryBuffer(buffer); // LLVM may report an error and yet return success with garbage
  check_diagnostic(e);
  e->buffer = buffer;
  tg_bytes bytes = {NULL, LLVMGetBufferSize(buffer)};
  bytes.data = tg_arena_alloc(e->arena, bytes.size + 1);
  memcpy(bytes.data, LLVMGetBufferStart(buffer), bytes.size);
  LLVMDisposeMemoryBuffer(buffer);
  e->buffer = NULL;
  return bytes;
}

// ---- the whole

typedef struct emit_job {
  tg_llvm e;
  tg_bytes *llvm_text, *assembly, *object;
} emit_job;

static void emit_all(void *arg) {
  emit_job *job = arg;
  tg_llvm *e = &job->e;
  e->table = make_table(e->arena, e->family);
  open_module(e);
  for (int i = 0; i < e->kernel->nlaunches; i++) {
    e->launch = e->kernel->launches[i];
    e->family->launch(e);
    e->op = NULL;
  }
  run_passes(e);
  if (job->llvm_text) *job->llvm_text = print_text(e);
  if (job->assembly) *job->assembly = emit_code(e, LLVMAssemblyFile, !job->object);
  if (job->object) *job->object = emit_code(e, LLVMObjectFile, true);
}

static void clear_note(tg_op *op, void *user) {
  (void)user;
  op->note = NULL;
  for (int i = 0; i < op->nout; i++) op->out[i]->note = NULL;
  for (int r = 0; r < op->nregions; r++)
    for (int i = 0; i < op->regions[r]->nargs; i++) op->regions[r]->args[i]->note = NULL;
}

static void close_all(tg_llvm *e) {
  if (e->buffer) LLVMDisposeMemoryBuffer(e->buffer);
  if (e->text) LLVMDisposeMessage(e->text);
  if (e->b) LLVMDisposeBuilder(e->b);
  if (e->module) LLVMDisposeModule(e->module);
  if (e->target) LLVMDisposeTargetMachine(e->target);
  if (e->context) LLVMContextDispose(e->context);
  free(e->diagnostic);
  for (int i = 0; i < e->kernel->nlaunches; i++) {
    tg_region *body = e->kernel->launches[i]->body;
    for (int k = 0; k < body->nargs; k++) body->args[k]->note = NULL;
    tg_walk(body, clear_note, NULL);
  }
}

void tg_emit_llvm(tg_kernel *lane, const tg_llvm_options *options, tg_arena *arena, tg_bytes *llvm_text, tg_bytes *assembly,
                  tg_bytes *object) {
  tg_context *ctx = lane->ctx;
  if (lane->level != TG_LEVEL_LANE)
    tg_throw(ctx, TG_INVALID, "the llvm emitter takes a lane kernel; %s is at tile level: lower it first", lane->name);
  const tg_machine *m = options->machine;
  emit_job job = {
      .e = {.ctx = ctx, .arena = arena, .kernel = lane, .options = options, .family = options->nvptx ? &tg_llvm_nvptx : &tg_llvm_cpu},
      .llvm_text = llvm_text,
      .assembly = assembly,
      .object = object};
  job.e.fma = options->nvptx || m->fma;
  job.e.f16c = options->nvptx || m->f16c;
  job.e.bf16_dot = !options->nvptx && m->bf16_dot;
  job.e.byte_table = !options->nvptx && m->byte_table >= 128;
  job.e.rounding = options->nvptx || m->vector_bits >= 256; // SSE4.1 comes before AVX
  const tg_status status = tg_protect(ctx, emit_all, &job);
  close_all(&job.e);
  if (status) tg_rethrow(ctx);
}
