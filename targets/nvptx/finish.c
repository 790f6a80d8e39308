// Lane kernel to LLVM text, PTX, or a cubin where NVIDIA's assembler is installed.
#include <stdlib.h>

#include "targets/finish.h"
#include "targets/nvptx/ptxas.h"

typedef struct arch_row {
  const char *name;
  int ptx; // version
} arch_row;
static const arch_row archs[] = {
#define ARCH(name, ptx, doc) {name, ptx},
#include "targets/nvptx/archs.def"
#undef ARCH
};
enum { NARCHS = sizeof archs / sizeof *archs };

// LLVM only warns of a name that it does not know, and takes another.
static const arch_row *arch_of(tg_context *ctx, const tg_machine *machine) {
  tg_text text = {.arena = &ctx->arena};
  for (int i = 0; i < NARCHS; i++) {
    if (machine->arch && !strcmp(machine->arch, archs[i].name)) return &archs[i];
    tg_text_add(&text, "%s%s", i ? ", " : "", archs[i].name);
  }
  tg_throw(ctx, TG_INVALID, "machine %s: nvptx does not know the arch '%s'; it knows %s", machine->name, machine->arch ? machine->arch : "",
           text.data);
}

tg_bytes tg_finish_nvptx(tg_kernel *lane, const tg_machine *machine, const char *want, tg_arena *arena, tg_record *record) {
  tg_context *ctx = lane->ctx;
  const char *features = tg_arena_printf(arena, "+ptx%d", arch_of(ctx, machine)->ptx);
  const tg_llvm_options options = {
      .machine = machine, .triple = "nvptx64-nvidia-cuda", .cpu = machine->arch, .features = features, .nvptx = true};
  tg_bytes bytes = {NULL, 0};
  if (!strcmp(want, "llvm")) {
    tg_emit_llvm(lane, &options, arena, &bytes, NULL, NULL);
  } else if (!strcmp(want, "asm")) {
    tg_emit_llvm(lane, &options, arena, NULL, &bytes, NULL);
  } else if (!strcmp(want, "obj")) {
    tg_bytes ptx;
    tg_ptxas_report report;
    const char *program = tg_ptxas_find(arena);
    if (!program)
      tg_throw(ctx, TG_INVALID,
               "no cubin without ptxas, NVIDIA's assembler: it was looked for in $CUDA_HOME/bin, $PATH and /usr/local/cuda/bin; "
               "install the CUDA toolkit, or take the PTX with asm");
    tg_emit_llvm(lane, &options, arena, NULL, &ptx, NULL);
    bytes = tg_ptxas_run(ctx, program, machine->arch, ptx, arena, &report);
    record->registers = report.registers;
    record->spilled_bytes = report.spilled_bytes;
  } else {
    tg_throw(ctx, TG_INVALID, "target %s has no form '%s'; there are tile, lane, llvm, asm, obj and meta", record->target, want);
  }
  return bytes;
}
