// libFuzzer: any bytes as PTX text; what is accepted is decoded, and run for a little while by two blocks of 128 threads on
// two small arrays; parameters of 128 bytes are tensor maps of one of them.
#include <stdint.h>
#include <stdlib.h>

#include "targets/sim/sim.h"

typedef struct job {
  tg_context *ctx;
  tg_arena arena;
  const char *text;
  size_t size;
} job;

static void body(void *arg) {
  job *j = arg;
  static _Alignas(64) char a[4096], b[4096];
  const ptx_module *m = sim_load(j->ctx, &j->arena, "fuzz.ptx", j->text, j->size);
  for (int i = 0; i < m->nentries; i++) {
    const ptx_entry *e = m->entries[i];
    sim_launch launch = {.code = sim_decode(j->ctx, &j->arena, m, e),
                         .grid = {2, 1, 1},
                         .block = {128, 1, 1},
                         .dynamic_shared = 12288,
                         .max_shared = 1 << 16,
                         .threads = 1,
                         .max_steps = 1 << 14};
    if (launch.code->reg_bytes > 1 << 22 || launch.code->local_bytes > 1 << 16) continue;
    char *params = tg_arena_alloc(&j->arena, e->param_bytes + 8);
    for (int k = 0; k < e->nparams; k++) {
      if (e->params[k]->bytes == SIM_MAP_BYTES) {
        const sim_tensor map = {.base = k % 2 ? b : a,
                                .type = PTX_bf16,
                                .rank = 2,
                                .swizzle = 128,
                                .dims = {64, 32},
                                .strides = {0, 128},
                                .box = {64, 8},
                                .step = {1, 1}};
        if (sim_tensor_encode(&map, params + e->params[k]->offset)) abort();
        continue;
      }
      const uint64_t value = e->params[k]->bytes == 8 ? (uint64_t)(uintptr_t)(k % 2 ? b : a) : 64;
      memcpy(params + e->params[k]->offset, &value, e->params[k]->bytes < 8 ? e->params[k]->bytes : 8);
    }
    launch.params = params;
    launch.buffers = TG_NEWN(&j->arena, sim_buffer, m->nvars + 2);
    launch.buffers[launch.nbuffers++] = (sim_buffer){.name = "a", .base = a, .bytes = sizeof a};
    launch.buffers[launch.nbuffers++] =
        (sim_buffer){.name = "b", .base = b, .bytes = sizeof b, .written = tg_arena_alloc(&j->arena, sizeof b / 8)};
    sim_add_variables(m, &launch);
    sim_result *result = TG_NEW(&j->arena, sim_result);
    sim_run(j->ctx, &launch, result);
    if (!sim_findings_text(&j->arena, launch.code, result, 100)) abort();
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static tg_context *ctx;
  if (!ctx && tg_context_new(NULL, &ctx)) abort();
  job j = {.ctx = ctx, .text = (const char *)data, .size = size};
  tg_arena_init(&j.arena, ctx);
  tg_protect(ctx, body, &j);
  tg_arena_free(&j.arena);
  return 0;
}
