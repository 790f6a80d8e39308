// Lane kernel to LLVM text, PTX, or a cubin where NVIDIA's assembler is installed.
#include <stdlib.h>

#include "targets/finish.h"
#include "targets/nvptx/ptxas.h"

// Processors that LLVM knows and the lowering has been tried for. LLVM only warns of a name that it does not know, and takes another.
static const char *const archs[] = {"sm_80", "sm_86", "sm_87", "sm_89", "sm_90", NULL};

static void check_arch(tg_context *ctx, const tg_machine *machine) {
  tg_text text = {.arena = &ctx->arena};
  for (int i = 0; archs[i]; i++) {
    if (machine->arch && !strcmp(machine->arch, archs[i])) return;
    tg_text_add(&text, "%s%s", i ? ", " : "", archs[i]);
  }
  tg_throw(ctx, TG_INVALID, "machine %s: nvptx does not know the arch '%s'; it knows %s", machine->name, machine->arch ? machine->arch : "",
           text.data);
}

// PTX ISA versions from which on these processors can be named; a description without `ptx` gets the one that suffices for all of them.
static int ptx_version(tg_context *ctx, const tg_machine *machine) {
  enum { LOWEST = 70, SUFFICES = 78, HIGHEST = 88 };
  int version = machine->ptx > 0 ? (int)machine->ptx : SUFFICES;
  if (version < LOWEST || version > HIGHEST)
    tg_throw(ctx, TG_INVALID, "machine %s: ptx is %d; it can be %d (PTX 7.0) to %d (PTX 8.8)", machine->name, version, LOWEST, HIGHEST);
  return version;
}

tg_bytes tg_finish_nvptx(tg_kernel *lane, const tg_machine *machine, const char *want, tg_arena *arena, tg_record *record) {
  tg_context *ctx = lane->ctx;
  check_arch(ctx, machine);
  const char *features = tg_arena_printf(arena, "+ptx%d", ptx_version(ctx, machine));
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
