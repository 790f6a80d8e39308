// Small PTX texts run on the simulator. Arguments are arrays (by pointer) or numbers; the results are the arrays and the findings.
#ifndef TG_TEST_PTX_H
#define TG_TEST_PTX_H
#include <math.h>
#include <stdint.h>

#include "targets/sim/sim.h"
#include "test.h"

#define PTX_HEAD ".version 8.0\n.target sm_90\n.address_size 64\n"

typedef struct ptx_arg {
  const char *name; // of an array; NULL: a number
  void *data;
  size_t bytes;
  bool empty; // nothing is in it yet
  uint64_t value;
  sim_tensor *map; // of the array, by value; its base is filled in
} ptx_arg;

typedef struct ptx_call {
  const char *text, *entry;
  uint32_t grid[3], block[3], cluster[3];
  uint64_t shared;
  int threads, nargs;
  ptx_arg args[20];
  uint64_t max_steps;
} ptx_call;

static tg_context *ptx_ctx;
static sim_result ptx_result;
static char ptx_said[8192]; // findings, one a line

static inline void ptx_open(void) {
  if (!ptx_ctx && tg_context_new(NULL, &ptx_ctx)) abort();
}

typedef struct ptx_job {
  const ptx_call *call;
  tg_arena arena;
} ptx_job;

static inline void ptx_body(void *arg) {
  ptx_job *job = arg;
  const ptx_call *c = job->call;
  const ptx_module *m = sim_load(ptx_ctx, &job->arena, "t.ptx", c->text, strlen(c->text));
  sim_buffer buffers[32];
  sim_launch launch = {.code = sim_decode(ptx_ctx, &job->arena, m, ptx_entry_find(ptx_ctx, m, c->entry)), .buffers = buffers};
  _Alignas(64) char params[4096] = {0};
  for (int i = 0; i < 3; i++) launch.grid[i] = c->grid[i] ? c->grid[i] : 1, launch.block[i] = c->block[i] ? c->block[i] : 1;
  const ptx_entry *e = launch.code->entry;
  if (e->nparams != c->nargs) tg_throw(ptx_ctx, TG_INVALID, "%d arguments for %d parameters", c->nargs, e->nparams);
  for (int i = 0; i < c->nargs; i++) {
    const ptx_arg *a = &c->args[i];
    const uint64_t value = a->name ? (uint64_t)(uintptr_t)a->data : a->value;
    memcpy(params + e->params[i]->offset, &value, e->params[i]->bytes < 8 ? e->params[i]->bytes : 8);
    if (a->map) {
      a->map->base = a->map->base ? a->map->base : a->data;
      const char *why = sim_tensor_encode(a->map, params + e->params[i]->offset);
      if (why) tg_throw(ptx_ctx, TG_INVALID, "%s", why);
    }
    bool again = !a->name; // one array for several
    for (int k = 0; k < launch.nbuffers; k++) again |= buffers[k].base == a->data;
    if (again) continue;
    uint8_t *written = a->empty ? tg_arena_alloc(&job->arena, a->bytes / 8 + 1) : NULL;
    buffers[launch.nbuffers++] = (sim_buffer){.name = a->name, .base = a->data, .bytes = a->bytes, .written = written};
  }
  sim_add_variables(m, &launch);
  launch.params = params, launch.dynamic_shared = c->shared, launch.max_shared = 232448;
  for (int i = 0; i < 3; i++) launch.cluster[i] = c->cluster[0] ? c->cluster[i] ? c->cluster[i] : 1 : 0;
  launch.threads = c->threads ? c->threads : 1;
  launch.max_steps = c->max_steps ? c->max_steps : 1 << 24;
  sim_run(ptx_ctx, &launch, &ptx_result);
  snprintf(ptx_said, sizeof ptx_said, "%s", sim_findings_text(&job->arena, launch.code, &ptx_result, 20));
}

// The status; its message, or the findings, in ptx_said.
static inline tg_status ptx_run(const ptx_call *call) {
  ptx_open();
  ptx_job job = {.call = call};
  tg_arena_init(&job.arena, ptx_ctx);
  memset(&ptx_result, 0, sizeof ptx_result);
  const tg_status status = tg_protect(ptx_ctx, ptx_body, &job);
  if (status) snprintf(ptx_said, sizeof ptx_said, "%s", tg_error_message(ptx_ctx));
  tg_arena_free(&job.arena);
  return status;
}

// Runs without a fault.
#define PTX_CLEAN(call)                                                                                                                    \
  do {                                                                                                                                     \
    const tg_status status_ = ptx_run(call);                                                                                               \
    CHECKF(status_ == TG_OK && ptx_result.nfindings == 0, "%s", ptx_said);                                                                 \
  } while (0)
// Runs and finds this, among the words of its findings.
#define PTX_FINDS(call, words)                                                                                                             \
  do {                                                                                                                                     \
    const tg_status status_ = ptx_run(call);                                                                                               \
    CHECKF(status_ == TG_OK && ptx_result.nfindings > 0 && strstr(ptx_said, words), "want '%s', got: %s", words, ptx_said);                \
  } while (0)
// Is refused in these words.
#define PTX_REFUSES(call, words)                                                                                                           \
  do {                                                                                                                                     \
    const tg_status status_ = ptx_run(call);                                                                                               \
    CHECKF(status_ == TG_INVALID && strstr(ptx_said, words), "want '%s', got (%d): %s", words, status_, ptx_said);                         \
  } while (0)

#endif
