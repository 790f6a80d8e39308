// Modules: PTX taken by the simulator's parser; launches run by the simulator.
#include <stdlib.h>

#include "fake.h"

enum { UNTOLD_SHARED = 48 << 10, MAX_PARAMS = 4352 };

// ---- loading

typedef struct load_call {
  fake_object *module;
  const char *text;
} load_call;

static void parse(void *arg) {
  load_call *call = arg;
  call->module->module = sim_load(fake_ctx, &call->module->arena, "module", call->text, strlen(call->text));
}

// PTX versions by the CUDA that brought them, as tools of NVIDIA's print them for a driver that is too old.
static int newest_ptx(void) {
  const int major = fake_version / 1000, minor = fake_version % 1000 / 10;
  if (major == 11) return 70 + minor;
  return major == 12 ? 80 + (minor > 5 ? minor - 1 : minor) : 90 + minor;
}

static int arch_of(const char *target) { return (int)strtol(target + 3, NULL, 10); }

static int check_module(const fake_device *d, const ptx_module *m, char *log, size_t size) {
  if (m->version > newest_ptx()) {
    snprintf(log, size, "ptxas fatal: Unsupported .version %d.%d", m->version / 10, m->version % 10);
    return CUDA_ERROR_UNSUPPORTED_PTX_VERSION;
  }
  const int here = 10 * d->major + d->minor, arch = arch_of(m->target);
  const bool exact = m->target[strlen(m->target) - 1] == 'a';
  if (exact ? arch == here : arch <= here) return 0;
  snprintf(log, size, "SM version specified by .target is higher than default SM version assumed");
  return CUDA_ERROR_NO_BINARY_FOR_GPU;
}

EXPORT int cuModuleLoadDataEx(cu_module *module, const void *image, unsigned n, int *options, void **values) {
  ENTER_CONTEXT("cuModuleLoadDataEx");
  char *log = NULL;
  size_t size = 0;
  for (unsigned i = 0; i < n; i++) {
    if (options[i] == CU_JIT_ERROR_LOG_BUFFER) log = values[i];
    if (options[i] == CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES) size = (size_t)(uintptr_t)values[i];
  }
  if (!memcmp(image, "\177ELF", 4)) return CUDA_ERROR_NO_BINARY_FOR_GPU;
  fake_object *m = fake_object_new(current, FAKE_MODULE);
  tg_arena_init(&m->arena, fake_ctx);
  char ignored[256];
  int result = 0;
  if (tg_protect(fake_ctx, parse, &(load_call){m, image}) != TG_OK) {
    snprintf(log ? log : ignored, log ? size : sizeof ignored, "%s", tg_error_message(fake_ctx));
    result = CUDA_ERROR_INVALID_PTX;
  } else {
    result = check_module(current, m->module, log ? log : ignored, log ? size : sizeof ignored);
  }
  if (result) fake_object_drop(current, m);
  else *module = (cu_module)m;
  return result;
}

EXPORT int cuModuleUnload(cu_module module) {
  ENTER_CONTEXT("cuModuleUnload");
  fake_object *m = fake_object_find(current, FAKE_MODULE, module);
  if (!m) return INVALID_HANDLE;
  for (const fake_object *o = current->objects; o; o = o->next)
    for (const fake_op *op = o->first; op; op = op->next)
      if (op->kind == OP_LAUNCH && op->code->module == m->module) fake_complain("a module is unloaded while a launch of it is queued");
  fake_object_drop(current, m);
  return 0;
}

typedef struct decode_call {
  fake_object *module;
  const char *name;
  const sim_code *code;
} decode_call;

static void decode(void *arg) {
  decode_call *call = arg;
  fake_object *m = call->module;
  call->code = sim_decode(fake_ctx, &m->arena, m->module, ptx_entry_find(fake_ctx, m->module, call->name));
}

EXPORT int cuModuleGetFunction(cu_function *function, cu_module module, const char *name) {
  ENTER_CONTEXT("cuModuleGetFunction");
  fake_object *m = fake_object_find(current, FAKE_MODULE, module);
  if (!m) return INVALID_HANDLE;
  decode_call call = {.module = m, .name = name};
  if (tg_protect(fake_ctx, decode, &call) != TG_OK) {
    fprintf(stderr, "fake libcuda: %s\n", tg_error_message(fake_ctx));
    return NOT_FOUND;
  }
  fake_function *f = calloc(1, sizeof *f);
  *f = (fake_function){.next = m->functions, .module = m, .name = call.code->entry->name, .code = call.code};
  m->functions = f;
  *function = (cu_function)f;
  return 0;
}

static fake_function *function_of(fake_device *d, const void *handle) {
  for (const fake_object *o = d->objects; o; o = o->next)
    for (fake_function *f = o->functions; f; f = f->next)
      if (f == handle) return f;
  fake_complain("a function of no module that is loaded");
  return NULL;
}

EXPORT int cuFuncSetAttribute(cu_function function, int attribute, int value) {
  ENTER_CONTEXT("cuFuncSetAttribute");
  fake_function *f = function_of(current, function);
  if (!f) return INVALID_HANDLE;
  if (attribute == CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED) return 0;
  if (attribute != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES) return INVALID_VALUE;
  if (value < 0 || value + (int64_t)f->code->shared_bytes > SHARED_OPTIN) return INVALID_VALUE;
  f->dynamic_shared = value;
  return 0;
}

// ---- launching

// Where a pointer among the parameters leads, the kernel may go.
static void add_memory(fake_device *d, const ptx_entry *e, const char *params, sim_launch *launch) {
  for (int i = 0; i < e->nparams; i++) {
    const char *address;
    sim_tensor map;
    if (e->params[i]->bytes == SIM_MAP_BYTES && sim_tensor_decode(params + e->params[i]->offset, &map)) address = map.base;
    else if (e->params[i]->bytes == sizeof address) memcpy(&address, params + e->params[i]->offset, sizeof address);
    else continue;
    const fake_memory *m = fake_memory_of(d, address);
    bool there = !m;
    for (int k = 0; k < launch->nbuffers && !there; k++) there = launch->buffers[k].base == m->base;
    if (!there)
      launch->buffers[launch->nbuffers++] =
          (sim_buffer){.name = e->params[i]->name, .base = m->base, .bytes = m->bytes, .written = m->written};
  }
}

typedef struct run_call {
  fake_device *device;
  const fake_op *op;
  tg_arena arena;
  sim_result result;
} run_call;

static void run(void *arg) {
  run_call *call = arg;
  const fake_op *op = call->op;
  const ptx_module *m = op->code->module;
  sim_launch launch = {.code = op->code,
                       .params = op->params,
                       .dynamic_shared = op->shared,
                       .max_shared = SHARED_OPTIN,
                       .max_steps = (uint64_t)1 << 32,
                       .buffers = TG_NEWN(&call->arena, sim_buffer, op->code->entry->nparams + m->nvars + 1)};
  for (int i = 0; i < 3; i++) launch.grid[i] = op->grid[i], launch.block[i] = op->block[i], launch.cluster[i] = op->cluster[i];
  add_memory(call->device, op->code->entry, op->params, &launch);
  sim_add_variables(m, &launch);
  sim_run(fake_ctx, &launch, &call->result);
  if (call->result.nfindings) fprintf(stderr, "fake libcuda: %s\n", sim_findings_text(&call->arena, op->code, &call->result, 4));
}

// What a GPU notices ends the context; the rest is a mistake that it would not have noticed, which the fake complains of.
int fake_execute(fake_device *d, const fake_op *op) {
  run_call *call = calloc(1, sizeof *call);
  *call = (run_call){.device = d, .op = op};
  tg_arena_init(&call->arena, fake_ctx);
  int error = 0;
  if (tg_protect(fake_ctx, run, call) != TG_OK) {
    fake_complain("a launch that cannot be: %s", tg_error_message(fake_ctx));
    error = CUDA_ERROR_LAUNCH_FAILED;
  } else if (call->result.nfindings) {
    const sim_fault fault = call->result.findings[0].fault;
    error = fault == SIM_FAULT_OUT_OF_BOUNDS ? CUDA_ERROR_ILLEGAL_ADDRESS
            : fault == SIM_FAULT_MISALIGNED  ? CUDA_ERROR_MISALIGNED_ADDRESS
                                             : CUDA_ERROR_LAUNCH_FAILED;
    if (error == CUDA_ERROR_LAUNCH_FAILED && fault != SIM_FAULT_TRAP) fake_complain("a fault that a GPU would not have shown");
  }
  tg_arena_free(&call->arena);
  free(call);
  return error;
}

static int launch(fake_device *d, const void *function, const cu_launch_config *c, void **arguments) {
  fake_function *f = function_of(d, function);
  fake_object *s = fake_object_find(d, FAKE_STREAM, c->stream);
  uint32_t asked[3] = {1, 1, 1};
  if (!f || !s) return INVALID_HANDLE;
  for (unsigned i = 0; i < c->nattributes; i++) {
    if (c->attributes[i].id != CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION) return INVALID_VALUE;
    asked[0] = c->attributes[i].value.cluster.x, asked[1] = c->attributes[i].value.cluster.y, asked[2] = c->attributes[i].value.cluster.z;
  }
  const ptx_entry *e = f->code->entry;
  const uint64_t threads = (uint64_t)c->block[0] * c->block[1] * c->block[2];
  if (!c->grid[0] || !c->grid[1] || !c->grid[2] || c->grid[0] > INT32_MAX || c->grid[1] > 65535 || c->grid[2] > 65535 || !threads ||
      threads > 1024) {
    fake_complain("'%s': a grid of %u x %u x %u blocks of %llu threads", f->name, c->grid[0], c->grid[1], c->grid[2],
                  (unsigned long long)threads);
    return INVALID_VALUE;
  }
  const uint64_t cluster = (uint64_t)asked[0] * asked[1] * asked[2];
  if (!cluster || cluster > 8 || d->major < 9 * (cluster > 1) || c->grid[0] % asked[0] || c->grid[1] % asked[1] || c->grid[2] % asked[2]) {
    fake_complain("'%s': clusters of %u x %u x %u", f->name, asked[0], asked[1], asked[2]);
    return INVALID_VALUE;
  }
  const int most = f->dynamic_shared > UNTOLD_SHARED ? f->dynamic_shared : UNTOLD_SHARED;
  if (c->shared_bytes > (unsigned)most) {
    fake_complain("'%s': %u bytes of dynamic shared memory, %d are allowed", f->name, c->shared_bytes, most);
    return INVALID_VALUE;
  }
  if (e->param_bytes > MAX_PARAMS || (e->nparams && !arguments)) return INVALID_VALUE;
  fake_op op = {.kind = OP_LAUNCH, .code = f->code, .shared = c->shared_bytes, .params = calloc(1, e->param_bytes + 8)};
  for (int i = 0; i < 3; i++) op.grid[i] = c->grid[i], op.block[i] = c->block[i], op.cluster[i] = asked[i];
  for (int i = 0; i < e->nparams; i++) memcpy(op.params + e->params[i]->offset, arguments[i], e->params[i]->bytes);
  fake_queue(s, op);
  return 0;
}

EXPORT int cuLaunchKernel(cu_function function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,
                          unsigned block_z, unsigned shared_bytes, cu_stream stream, void **arguments, void **extra) {
  ENTER_CONTEXT("cuLaunchKernel");
  if (extra) return INVALID_VALUE;
  const cu_launch_config c = {
      .grid = {grid_x, grid_y, grid_z}, .block = {block_x, block_y, block_z}, .shared_bytes = shared_bytes, .stream = stream};
  return launch(current, function, &c, arguments);
}

EXPORT int cuLaunchKernelEx(const cu_launch_config *config, cu_function function, void **arguments, void **extra) {
  ENTER_CONTEXT("cuLaunchKernelEx");
  return extra ? INVALID_VALUE : launch(current, function, config, arguments);
}

EXPORT int cuTensorMapEncodeTiled(cu_tensor_map *map, int type, uint32_t rank, void *address, const uint64_t *dims, const uint64_t *strides,
                                  const uint32_t *box, const uint32_t *element_strides, int interleave, int swizzle, int promotion,
                                  int fill) {
  ENTER_CONTEXT("cuTensorMapEncodeTiled");
  // By CUtensorMapDataType.
  static const uint8_t types[] = {PTX_u8, PTX_u16, PTX_u32, PTX_s32, PTX_u64, PTX_s64, PTX_f16, PTX_f32, PTX_f64, PTX_bf16};
  if ((uintptr_t)map % 64 || type < 0 || type >= (int)sizeof types || interleave || swizzle < 0 || swizzle > 3 || promotion < 0 ||
      promotion > 3 || fill < 0 || fill > 1 || !rank || rank > 5)
    return INVALID_VALUE;
  sim_tensor t = {
      .base = address, .type = types[type], .rank = (uint8_t)rank, .swizzle = (uint8_t)(swizzle ? 16 << swizzle : 0), .nan_fill = fill};
  for (uint32_t i = 0; i < rank; i++) {
    t.dims[i] = dims[i], t.box[i] = box[i], t.step[i] = element_strides[i];
    if (i) t.strides[i] = strides[i - 1];
  }
  const uint64_t bytes = rank > 1 ? t.strides[rank - 1] * dims[rank - 1] : dims[0];
  if (!fake_reach(current, address, bytes)) return INVALID_VALUE;
  const char *wrong = sim_tensor_encode(&t, (char *)map);
  if (wrong) fprintf(stderr, "fake libcuda: cuTensorMapEncodeTiled: %s\n", wrong);
  return wrong ? INVALID_VALUE : 0;
}
