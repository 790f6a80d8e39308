// tg_simulate: PTX of any origin, with its arguments in order.
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdlib.h>

#include "targets/sim/sim.h"

typedef struct simulate_call {
  tg_context *ctx;
  tg_arena arena;
  const char *file, *text;
  size_t size;
  const tg_ptx_launch *launch;
  char **json;
  cJSON *document;
} simulate_call;

// Shared memory that a block can have (CUDA programming guide, technical specifications by compute capability).
static uint64_t most_shared(const char *target) {
  static const struct {
    const char *target;
    int kilobytes;
  } rows[] = {{"sm_75", 64}, {"sm_70", 96}, {"sm_80", 163}, {"sm_87", 163}, {"sm_86", 99},
              {"sm_89", 99}, {"sm_12", 99}, {"sm_9", 227},  {"sm_10", 227}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    if (!strncmp(target, rows[i].target, strlen(rows[i].target))) return (uint64_t)rows[i].kilobytes * 1024;
  return 48 * 1024;
}

// A number by the parameter's type; with a point or an exponent the bits of a float of the parameter's size.
static uint64_t number_of(simulate_call *call, const ptx_var *p, int index, const char *text) {
  const bool real = ptx_types[p->type].cls == 'f' || (strpbrk(text, ".eE") && strncmp(text, "0x", 2) != 0);
  char *end;
  errno = 0;
  uint64_t bits = 0;
  if (p->bytes > 8)
    tg_throw(call->ctx, TG_INVALID, "parameter %d, '%s', has %llu bytes: no number fills them", index + 1, p->name,
             (unsigned long long)p->bytes);
  if (real) {
    const double d = strtod(text, &end);
    const float f = (float)d;
    if (p->bytes == 4) memcpy(&bits, &f, sizeof f);
    else memcpy(&bits, &d, sizeof d);
    if (p->bytes < 4) end = (char *)(uintptr_t)text;
  } else {
    bits = text[0] == '-' ? (uint64_t)strtoll(text, &end, 0) : strtoull(text, &end, 0);
  }
  if (end == text || *end || errno == ERANGE)
    tg_throw(call->ctx, TG_INVALID, "argument %d, '%.100s', is no number of .%s, as parameter '%s' is", index + 1, text,
             ptx_types[p->type].name, p->name);
  return bits;
}

static void encode_map(simulate_call *call, int index, const tg_ptx_argument *a, char *out) {
  const tg_ptx_tensor_map *m = a->map;
  sim_tensor t = {.base = m->address ? m->address : a->array->data, .swizzle = (uint8_t)m->swizzle, .nan_fill = m->nan_fill};
  const char *why = sim_tensor_type(m->dtype, &t) ? NULL : "its elements have no 8 to 64 bits";
  if (m->swizzle < 0 || m->swizzle > 128) why = "its swizzle is not 0, 32, 64 or 128 bytes";
  if (m->rank < 1 || m->rank > 5) why = "its rank is not 1 to 5";
  t.rank = (uint8_t)m->rank;
  for (int i = 0; i < m->rank && !why; i++) {
    t.dims[i] = m->dims[i], t.strides[i] = m->strides[i], t.box[i] = m->box[i];
    t.step[i] = m->element_strides[i] ? m->element_strides[i] : 1;
  }
  if (!why) why = sim_tensor_encode(&t, out);
  if (why) tg_throw(call->ctx, TG_INVALID, "argument %d, a tensor map: %s", index + 1, why);
}

// The map itself where the parameter has its size, else a pointer to it.
static void bind_map(simulate_call *call, const ptx_var *p, int index, sim_launch *out, char *params) {
  const tg_ptx_argument *a = &call->launch->args[index];
  if (p->bytes == SIM_MAP_BYTES) {
    encode_map(call, index, a, params + p->offset);
    return;
  }
  if (p->bytes != 8)
    tg_throw(call->ctx, TG_INVALID, "argument %d is a tensor map, but parameter '%s' has neither 128 bytes nor is it a pointer", index + 1,
             p->name);
  char *memory = tg_arena_alloc(&call->arena, 2 * SIM_MAP_BYTES);
  memory += (64 - (uintptr_t)memory % 64) % 64;
  encode_map(call, index, a, memory);
  const uint64_t value = (uint64_t)(uintptr_t)memory;
  memcpy(params + p->offset, &value, sizeof value);
  out->buffers[out->nbuffers++] = (sim_buffer){.name = tg_arena_printf(&call->arena, "the tensor map of argument %d", index + 1),
                                               .base = memory,
                                               .bytes = SIM_MAP_BYTES,
                                               .read_only = true};
}

static void bind(simulate_call *call, const ptx_entry *e, sim_launch *out, char *params) {
  const tg_ptx_launch *launch = call->launch;
  if (launch->nargs != e->nparams)
    tg_throw(call->ctx, TG_INVALID, "entry '%s' has %d parameters, %d arguments are given", e->name, e->nparams, launch->nargs);
  for (int i = 0; i < launch->nargs; i++) {
    const tg_ptx_argument *a = &launch->args[i];
    const ptx_var *p = e->params[i];
    uint64_t value = (uint64_t)(uintptr_t)(a->array ? a->array->data : NULL);
    if (!a->array) value = number_of(call, p, i, a->number);
    else if (a->map) bind_map(call, p, i, out, params);
    else if (p->bytes != 8) tg_throw(call->ctx, TG_INVALID, "argument %d is an array, but parameter '%s' is no pointer", i + 1, p->name);
    if (!a->map) memcpy(params + p->offset, &value, p->bytes < 8 ? p->bytes : 8);
    bool again = false; // one array for several parameters
    for (int k = 0; k < i; k++) again |= a->array && launch->args[k].array == a->array;
    if (!a->array || again) continue;
    out->buffers[out->nbuffers++] = (sim_buffer){.name = tg_arena_printf(&call->arena, "argument %d ('%s')", i + 1, p->name),
                                                 .base = a->array->data,
                                                 .bytes = a->array->bytes,
                                                 .written = a->empty ? tg_arena_alloc(&call->arena, a->array->bytes / 8 + 1) : NULL};
  }
}

static void add_three(cJSON *object, const char *name, const uint32_t *v) {
  cJSON *list = cJSON_AddArrayToObject(object, name);
  for (int i = 0; i < 3; i++) cJSON_AddItemToArray(list, cJSON_CreateNumber(v[i]));
}

static void write_document(simulate_call *call, const sim_launch *launch, const sim_result *r) {
  cJSON *d = call->document = cJSON_CreateObject();
  cJSON_AddStringToObject(d, "entry", launch->code->entry->name);
  add_three(d, "grid", launch->grid);
  add_three(d, "block", launch->block);
  cJSON_AddNumberToObject(d, "shared_bytes", (double)(launch->code->shared_bytes + launch->dynamic_shared));
  cJSON *counts = cJSON_AddObjectToObject(d, "instructions");
  for (int i = 0; i < SIM_NCLASSES; i++) cJSON_AddNumberToObject(counts, sim_class_names[i], (double)r->counts.instrs[i]);
  cJSON *shared = cJSON_AddObjectToObject(d, "shared");
  cJSON_AddNumberToObject(shared, "accesses", (double)r->counts.shared_accesses);
  cJSON_AddNumberToObject(shared, "wavefronts", (double)r->counts.shared_wavefronts);
  cJSON_AddNumberToObject(shared, "conflicts", (double)(r->counts.shared_wavefronts - r->counts.shared_ideal));
  cJSON *faults = cJSON_AddArrayToObject(d, "faults");
  for (int i = 0; i < r->nfindings; i++) {
    const sim_finding *f = &r->findings[i];
    cJSON *fault = cJSON_CreateObject();
    cJSON_AddItemToArray(faults, fault);
    cJSON_AddStringToObject(fault, "fault", sim_fault_names[f->fault]);
    cJSON_AddNumberToObject(fault, "line", launch->code->instrs[f->pc].line);
    cJSON_AddNumberToObject(fault, "count", (double)f->count);
    cJSON_AddStringToObject(fault, "text", f->text);
  }
  char *text = cJSON_Print(d);
  if (!text) tg_throw(call->ctx, TG_NO_MEMORY, "out of memory");
  const size_t n = strlen(text) + 1;
  char *copy = tg_realloc(call->ctx, NULL, n);
  memcpy(copy, text, n);
  cJSON_free(text);
  *call->json = copy;
}

static void simulate_body(void *arg) {
  simulate_call *call = arg;
  const tg_ptx_launch *asked = call->launch;
  const ptx_module *m = sim_load(call->ctx, &call->arena, call->file, call->text, call->size);
  const ptx_entry *e = ptx_entry_find(call->ctx, m, asked->entry);
  sim_launch launch = {.threads = asked->threads, .max_steps = (uint64_t)1 << 32, .max_shared = most_shared(m->target)};
  for (int i = 0; i < 3; i++) {
    if (asked->grid[i] < 0 || asked->block[i] < 0 || asked->cluster[i] < 0)
      tg_throw(call->ctx, TG_INVALID, "a grid, block or cluster of less than nothing");
    launch.grid[i] = (uint32_t)asked->grid[i], launch.block[i] = (uint32_t)asked->block[i];
    launch.cluster[i] = (uint32_t)(asked->cluster[0] && !asked->cluster[i] ? 1 : asked->cluster[i]);
  }
  if (asked->shared_bytes < 0) tg_throw(call->ctx, TG_INVALID, "less than no shared memory");
  launch.dynamic_shared = (uint64_t)asked->shared_bytes;
  launch.buffers = TG_NEWN(&call->arena, sim_buffer, 2 * asked->nargs + m->nvars + 1);
  char *params = tg_arena_alloc(&call->arena, e->param_bytes + 8);
  bind(call, e, &launch, params);
  sim_add_variables(m, &launch);
  launch.params = params;
  launch.code = sim_decode(call->ctx, &call->arena, m, e);
  sim_result *result = TG_NEW(&call->arena, sim_result);
  sim_run(call->ctx, &launch, result);
  if (call->json) write_document(call, &launch, result);
  if (result->nfindings) tg_throw(call->ctx, TG_FAILED, "%s: %s", call->file, sim_findings_text(&call->arena, launch.code, result, 16));
}

tg_status tg_simulate(tg_context *ctx, const char *file, const char *text, size_t size, const tg_ptx_launch *launch, char **json) {
  simulate_call call = {.ctx = ctx, .file = file, .text = text, .size = size, .launch = launch, .json = json};
  if (json) *json = NULL;
  tg_arena_init(&call.arena, ctx);
  const tg_status status = tg_protect(ctx, simulate_body, &call);
  cJSON_Delete(call.document);
  tg_arena_free(&call.arena);
  return status;
}
