// A loaded text: its variables in memory.
#include "targets/sim/sim.h"

ptx_module *sim_load(tg_context *ctx, tg_arena *arena, const char *file, const char *text, size_t size) {
  ptx_module *m = ptx_parse(ctx, arena, file, text, size);
  for (int i = 0; i < m->nvars; i++) {
    ptx_var *v = m->vars[i];
    if (v->space != PTX_GLOBAL && v->space != PTX_CONST) continue;
    // Memory on its own, aligned as the text asks.
    char *memory = tg_arena_alloc(arena, v->bytes + v->align + 64);
    v->memory = memory + (v->align - (uintptr_t)memory % v->align) % v->align;
    if (v->data) memcpy(v->memory, v->data, v->bytes);
  }
  return m;
}

void sim_add_variables(const ptx_module *m, sim_launch *launch) {
  for (int i = 0; i < m->nvars; i++) {
    const ptx_var *v = m->vars[i];
    if (v->memory && v->bytes)
      launch->buffers[launch->nbuffers++] =
          (sim_buffer){.name = v->name, .base = v->memory, .bytes = v->bytes, .read_only = v->space == PTX_CONST};
  }
}
