// libFuzzer: any bytes as a disassembly, and as what an assembler says.
#include <stdint.h>
#include <stdlib.h>

#include "targets/nvptx/assemble.h"
#include "targets/nvptx/sass.h"

typedef struct job {
  tg_arena arena;
  const char *text;
  size_t size;
} job;

static void body(void *arg) {
  job *j = arg;
  tg_sass_loop loop;
  tg_assembly assembly = {0};
  tg_sass_main_loop(&j->arena, j->text, j->size, "k", &loop);
  if (loop.matrix > loop.instructions || loop.matrix < 0) abort();
  tg_assembly_read(&j->arena, j->text, &assembly);
  for (int i = 0; i < assembly.nentries; i++)
    if (assembly.entries[i].registers < -1 || assembly.entries[i].spilled_bytes < -1) abort();
  if (!*tg_assembly_complaint(&j->arena, j->text, (tg_bytes){(void *)(uintptr_t)j->text, j->size})) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static tg_context *ctx;
  if (!ctx && tg_context_new(NULL, &ctx)) abort();
  char *text = calloc(size + 1, 1);
  memcpy(text, data, size);
  job j = {.text = text, .size = size};
  tg_arena_init(&j.arena, ctx);
  tg_protect(ctx, body, &j);
  tg_arena_free(&j.arena);
  free(text);
  return 0;
}
