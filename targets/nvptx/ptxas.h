// NVIDIA's assembler, where it is installed: PTX text to a cubin.
#ifndef TG_PTXAS_H
#define TG_PTXAS_H

#include "codegen/codegen.h"

typedef struct tg_ptxas_report { // the worst of all entries; -1 = ptxas did not say
  int registers, spilled_bytes;
} tg_ptxas_report;

// Path of the program: $CUDA_HOME/bin, $CUDA_PATH/bin, $PATH, /usr/local/cuda/bin, in this order; NULL when there is none.
const char *tg_ptxas_find(tg_arena *arena);
// Cubin of a PTX text, in memory from `arena`. Throws TG_FAILED with ptxas's own words.
tg_bytes tg_ptxas_run(tg_context *ctx, const char *program, const char *arch, tg_bytes ptx, tg_arena *arena, tg_ptxas_report *report);
// What `ptxas -v` printed, in numbers.
tg_ptxas_report tg_ptxas_read_report(const char *text);

#endif
