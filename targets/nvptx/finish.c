// Lane kernel to LLVM text, PTX, or a cubin where an assembler of NVIDIA's is installed.
#include <stdlib.h>

#include "targets/finish.h"
#include "targets/nvptx/assemble.h"
#include "targets/nvptx/sass.h"

typedef struct arch_row {
  const char *name;
  int ptx; // version
} arch_row;
static const arch_row archs[] = {
#define ARCH(name, ptx, units, doc) {name, ptx},
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

// What the assembler said, by entry; the record's own figures are the worst of them.
static void note_assembly(const tg_assembly *from, tg_arena *arena, tg_record *to) {
  for (int i = 0; i < to->nlaunches; i++) {
    tg_record_launch *launch = &to->launches[i];
    for (int k = 0; k < from->nentries; k++) {
      if (strcmp(from->entries[k].name, launch->entry)) continue;
      launch->registers = from->entries[k].registers;
      launch->spilled_bytes = from->entries[k].spilled_bytes;
    }
    if (launch->registers > to->registers) to->registers = launch->registers;
    if (launch->spilled_bytes > to->spilled_bytes) to->spilled_bytes = launch->spilled_bytes;
  }
  to->tool = tg_arena_strdup(arena, from->tool);
  to->nwarnings = from->nwarnings;
  to->warnings = from->warnings;
}

static void count_loops(tg_context *ctx, tg_bytes cubin, tg_arena *arena, tg_record *record) {
  size_t size;
  const char *text = tg_disassemble(ctx, arena, cubin, &size);
  for (int i = 0; i < record->nlaunches && size; i++) {
    tg_record_launch *launch = &record->launches[i];
    tg_sass_loop loop;
    if (!tg_sass_main_loop(arena, text, size, launch->entry, &loop)) continue;
    launch->loop_instructions = loop.instructions;
    launch->loop_matrix = loop.matrix;
  }
}

tg_bytes tg_finish_nvptx(tg_kernel *lane, const tg_machine *machine, const char *want, tg_arena *arena, tg_record *record) {
  tg_context *ctx = lane->ctx;
  const char *more = machine->features ? machine->features : "";
  const char *features = tg_arena_printf(arena, "+ptx%d%s%s", arch_of(ctx, machine)->ptx, *more ? "," : "", more);
  const tg_llvm_options options = {
      .machine = machine, .triple = "nvptx64-nvidia-cuda", .cpu = machine->arch, .features = features, .nvptx = true};
  const bool report = !strcmp(want, "report");
  tg_bytes bytes = {NULL, 0};
  if (!strcmp(want, "llvm")) {
    tg_emit_llvm(lane, &options, arena, &bytes, NULL, NULL);
  } else if (!strcmp(want, "asm")) {
    tg_emit_llvm(lane, &options, arena, NULL, &bytes, NULL);
  } else if (!strcmp(want, "obj") || report) {
    tg_bytes ptx;
    tg_assembly assembly;
    if (!tg_assembler_find(arena)) tg_no_assembler(ctx, arena); // before the work
    tg_emit_llvm(lane, &options, arena, NULL, &ptx, NULL);
    tg_assemble(ctx, arena, machine->arch, ptx, &assembly);
    note_assembly(&assembly, arena, record);
    bytes = assembly.cubin;
    if (report) count_loops(ctx, bytes, arena, record);
  } else {
    tg_throw(ctx, TG_INVALID, "target %s has no form '%s'; there are tile, lane, llvm, asm, obj and meta", record->target, want);
  }
  return bytes;
}
