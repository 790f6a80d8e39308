// Counting instructions in the text that nvdisasm and cuobjdump make of a cubin.
#ifndef TG_NVPTX_SASS_H
#define TG_NVPTX_SASS_H

#include "codegen/codegen.h"

typedef struct tg_sass_loop {
  int instructions, matrix; // all, and those of matrix units; 0 and 0: no loop has any of the latter
} tg_sass_loop;

// The main loop of an entry: of the innermost loops with matrix instructions the one that multiplies most, among equals the shortest (the
// trips without masks). A loop is what a backward branch to a dominator closes; its instructions are those from its first to that branch,
// so that retries of waits, which the assembler moves behind the kernel's end, do not count. Any text with a NUL at text[size] is read
// without harm; false: the entry is not in it, or its code is beyond what is read (2^18 instructions).
bool tg_sass_main_loop(tg_arena *arena, const char *text, size_t size, const char *entry, tg_sass_loop *out);

#endif
