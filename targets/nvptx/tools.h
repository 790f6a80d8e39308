// NVIDIA's own programs and libraries, where they are installed: found, run, never linked.
#ifndef TG_NVPTX_TOOLS_H
#define TG_NVPTX_TOOLS_H

#include "codegen/codegen.h"

typedef enum tg_cuda_tool {
  TG_CUDA_PTXAS,     // assembler: PTX to cubin
  TG_CUDA_NVJITLINK, // the same as a library
  TG_CUDA_NVDISASM,  // cubin to text
  TG_CUDA_CUOBJDUMP, // the same, in another form
  TG_NCUDA_TOOLS
} tg_cuda_tool;

// Where it lies, NULL when there is none: the file that its environment variable names (TEGULA_PTXAS, TEGULA_NVJITLINK, TEGULA_NVDISASM,
// TEGULA_CUOBJDUMP; empty: none), else below $CUDA_HOME or $CUDA_PATH, in $PATH (a library: $LD_LIBRARY_PATH), below /usr/local/cuda.
const char *tg_cuda_find(tg_arena *arena, tg_cuda_tool tool);
// "ptxas (TEGULA_PTXAS), libnvJitLink.so.13 (TEGULA_NVJITLINK)": for messages, those from `first` to `last`.
const char *tg_cuda_names(tg_arena *arena, tg_cuda_tool first, tg_cuda_tool last);

// A child process over files in memory, of 256 MiB at most. It and they end with this process.
typedef struct tg_tool_run {
  const char *const *argv; // NULL-terminated; "INPUT" and "OUTPUT" stand for the files
  tg_bytes input;
  bool separate; // standard error is none of `said`
  // Results, in memory from `arena`, a NUL after each.
  tg_bytes output; // what it wrote to OUTPUT; {NULL, 0}: nothing
  tg_bytes said;   // to standard output and error, plain (tg_tool_plain)
  int status;      // 0 = it ended well, -1 = a signal ended it, else its exit status
} tg_tool_run;
void tg_tool_execute(tg_context *ctx, tg_arena *arena, tg_tool_run *run); // throws TG_FAILED when it cannot be run

// Control characters, which terminals obey, become question marks; lines and tabs stay.
void tg_tool_plain(char *text, size_t n);

#endif
