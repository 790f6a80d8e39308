// PTX to cubin by what is installed: ptxas, else nvJitLink in this process. And reading what they say.
#ifndef TG_NVPTX_ASSEMBLE_H
#define TG_NVPTX_ASSEMBLE_H

#include "targets/nvptx/tools.h"

typedef struct tg_assembly_entry { // -1 = not said
  const char *name;
  int registers, spilled_bytes;
} tg_assembly_entry;
typedef struct tg_assembly {
  const char *tool; // "ptxas 13.0", "nvJitLink 13.0"
  tg_bytes cubin;
  int nentries, nwarnings;
  tg_assembly_entry *entries;
  const char **warnings; // "k_0: (C7510) Potential Performance Loss: …"
} tg_assembly;

// The file that will assemble, for cache keys: what is found first of ptxas and nvJitLink; NULL when there is neither.
const char *tg_assembler_find(tg_arena *arena);
_Noreturn void tg_no_assembler(tg_context *ctx, tg_arena *arena); // throws what is missing, and where it was looked for
// nvdisasm, else cuobjdump; NULL when there is neither.
const char *tg_disassembler_find(tg_arena *arena);
// Text of a cubin by the disassembler that is found, for tg_sass_main_loop; "" when there is none or it fails.
const char *tg_disassemble(tg_context *ctx, tg_arena *arena, tg_bytes cubin, size_t *size);
// Cubin of a PTX text for an arch, in memory from `arena`. Throws TG_INVALID when no assembler is found, TG_FAILED with the first complaint
// and its line when the text is refused.
void tg_assemble(tg_context *ctx, tg_arena *arena, const char *arch, tg_bytes ptx, tg_assembly *out);

// ---- what `ptxas -v` prints, and nvJitLink's log with -Xptxas=-v: any text is read without harm
void tg_assembly_read(tg_arena *arena, const char *said, tg_assembly *out); // entries and warnings
// "line 7: Not a name of any known instruction: 'brx', in `brx $L1;` (and 3 more)" from the first error, or the text as it is.
const char *tg_assembly_complaint(tg_arena *arena, const char *said, tg_bytes ptx);

// ---- nvjitlink.c
// As tg_assemble, by the library at `path`; the handle stays open for the next call.
void tg_nvjitlink_assemble(tg_context *ctx, tg_arena *arena, const char *path, const char *arch, tg_bytes ptx, tg_assembly *out);

#endif
