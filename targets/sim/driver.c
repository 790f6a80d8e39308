// Devices "sim:sm_XX": what the compiler made for such a GPU, its PTX text, executed on the host.
#include <stdlib.h>

#include "targets/machines.h"
#include "targets/sim/sim.h"
#include "targets/target.h"

static const struct {
  const char *name, *target, *description;
} devices[] = {
    {"sim:sm_80", "nvptx:sm_80",
     "functional simulator of PTX for sm_80: every access, race, barrier and copy checked; says nothing of speed"},
    {"sim:sm_89", "nvptx:sm_89", "the same for sm_89, with products of 8-bit floats"},
    {"sim:sm_90a", "nvptx:sm_90a", "the same for sm_90a, with tensor copies, wgmma and clusters"},
    {"sim:sm_100a", "nvptx:sm_100a", "the same for sm_100a, with tensor copies and products into tensor memory (tcgen05)"},
};
enum { NDEVICES = sizeof devices / sizeof *devices, ALIGN = 256, MOST_SHOWN = 8 };
// Room after each array, so that what runs over its end meets no other.
enum { APART = 4096 };
static const uint64_t max_steps = (uint64_t)1 << 32;

static int sim_enumerate(tg_context *ctx, tg_device_info *out, int max) {
  (void)ctx;
  int n = 0;
  for (; n < NDEVICES && n < max; n++)
    out[n] = (tg_device_info){
        .name = devices[n].name, .family = "sim", .target = devices[n].target, .description = devices[n].description, .available = true};
  return n;
}

static void sim_open(tg_device *device, const char *name) {
  for (int i = 0; i < NDEVICES; i++)
    if (!strcmp(devices[i].name, name)) device->target = devices[i].target;
}

static void sim_close(tg_device *device) { (void)device; }

static void *sim_alloc(tg_device *device, size_t bytes) {
  void *memory;
  if (bytes > PTRDIFF_MAX - APART || posix_memalign(&memory, ALIGN, bytes + APART) != 0)
    tg_throw(device->ctx, TG_NO_MEMORY, "no memory for a tensor of %zu bytes", bytes);
  return memory;
}

static void sim_free(tg_device *device, void *memory) {
  (void)device;
  free(memory);
}

static void sim_copy(tg_device *device, void *to, const void *from, size_t bytes) {
  (void)device;
  if (bytes) memcpy(to, from, bytes);
}

static void sim_zero(tg_device *device, void *memory, size_t bytes) {
  (void)device;
  if (bytes) memset(memory, 0, bytes);
}

static void sim_sync(tg_device *device) { (void)device; }

// ---- modules

typedef struct sim_loaded {
  tg_arena arena;
  const ptx_module *module;
  sim_code **codes; // of each launch
} sim_loaded;

struct load_call {
  tg_device *device;
  const tg_record *record;
  tg_bytes text;
  sim_loaded *loaded;
};

static void load_body(void *arg) {
  struct load_call *call = arg;
  sim_loaded *m = call->loaded;
  const tg_record *record = call->record;
  tg_context *ctx = call->device->ctx;
  const char *file = tg_arena_printf(&m->arena, "%s.ptx", record->kernel);
  m->module = sim_load(ctx, &m->arena, file, call->text.data, call->text.size);
  m->codes = TG_NEWN(&m->arena, sim_code *, record->nlaunches + 1);
  for (int i = 0; i < record->nlaunches; i++) {
    const ptx_entry *entry = ptx_entry_find(ctx, m->module, record->launches[i].entry);
    if (entry->nparams != record->launches[i].nargs)
      tg_throw(ctx, TG_FAILED, "entry '%s' takes %d parameters, its launch gives %d", entry->name, entry->nparams,
               record->launches[i].nargs);
    m->codes[i] = sim_decode(ctx, &m->arena, m->module, entry);
  }
}

static void sim_unload(tg_device *device, void *module) {
  sim_loaded *m = module;
  tg_arena_free(&m->arena);
  tg_realloc(device->ctx, m, 0);
}

static void *sim_load_module(tg_device *device, const tg_record *record, tg_bytes text) {
  sim_loaded *m = tg_realloc(device->ctx, NULL, sizeof *m);
  *m = (sim_loaded){0};
  tg_arena_init(&m->arena, device->ctx);
  if (tg_protect(device->ctx, load_body, &(struct load_call){device, record, text, m}) != TG_OK) {
    sim_unload(device, m);
    tg_rethrow(device->ctx);
  }
  return m;
}

// ---- launches

typedef struct launch_call {
  tg_device *device;
  const sim_loaded *loaded;
  const tg_record *record;
  const tg_record_values *values;
  tg_arena arena;
  int threads;
} launch_call;

// What the kernel may read before it wrote it: not its outputs, nor a workspace that nobody zeroed.
static void add_tensors(launch_call *call, sim_launch *launch) {
  for (int i = 0; i < call->values->ntensors; i++) {
    const tg_tensor *t = &call->values->tensors[i];
    const tg_record_param *p = tg_record_param_find(call->record, t->name);
    const bool starts_empty = (p->kind == TG_OUTPUT || p->kind == TG_WORKSPACE) && !(p->flags & TG_PARAM_ZERO);
    launch->buffers[launch->nbuffers++] = (sim_buffer){.name = t->name,
                                                       .base = t->data,
                                                       .bytes = t->bytes,
                                                       .read_only = p->kind == TG_INPUT,
                                                       .written = starts_empty ? tg_arena_alloc(&call->arena, t->bytes / 8 + 1) : NULL};
  }
}

static void encode_map(tg_context *ctx, const tg_record_arg *arg, const tg_record_values *values, const ptx_var *param, char *params) {
  tg_tensor_map map;
  tg_record_tensor_map(ctx, arg, values, &map);
  sim_tensor t = {.base = (char *)(uintptr_t)map.address,
                  .rank = (uint8_t)map.rank,
                  .swizzle = (uint8_t)map.swizzle,
                  .nan_fill = map.fill == TG_FILL_NAN};
  for (int i = 0; i < map.rank; i++) {
    t.dims[i] = map.dims[i], t.box[i] = map.box[i], t.step[i] = map.element_strides[i];
    if (i) t.strides[i] = map.strides_bytes[i - 1];
  }
  const char *why = param->bytes != SIM_MAP_BYTES     ? "its parameter has no 128 bytes"
                    : !sim_tensor_type(map.dtype, &t) ? "its elements have no 8 to 64 bits"
                                                      : sim_tensor_encode(&t, params + param->offset);
  if (why) tg_throw(ctx, TG_FAILED, "tensor map '%s': %s", arg->name, why);
}

static void fill_params(tg_context *ctx, const tg_record_launch *l, const ptx_entry *entry, const tg_record_values *values, char *params) {
  for (int j = 0; j < l->nargs; j++) {
    const ptx_var *param = entry->params[j];
    if (l->args[j].kind == TG_ARG_MAP) {
      encode_map(ctx, &l->args[j], values, param, params);
      continue;
    }
    const uint64_t slot = tg_record_slot(ctx, &l->args[j], values);
    memcpy(params + param->offset, &slot, param->bytes < 8 ? param->bytes : 8);
  }
}

static void launch_body(void *arg) {
  launch_call *call = arg;
  tg_context *ctx = call->device->ctx;
  const tg_record *record = call->record;
  const tg_family *family;
  const ptx_module *module = call->loaded->module;
  sim_launch launch = {.threads = call->threads, .max_steps = max_steps};
  launch.max_shared = (uint64_t)tg_target_find(ctx, call->device->target, &family)->shared_bytes;
  launch.buffers = TG_NEWN(&call->arena, sim_buffer, call->values->ntensors + module->nvars + 1);
  add_tensors(call, &launch);
  sim_add_variables(module, &launch);
  sim_result *result = TG_NEW(&call->arena, sim_result);
  for (int i = 0; i < record->nlaunches; i++) {
    const tg_record_launch *l = &record->launches[i];
    int64_t grid[4];
    if (tg_record_grid(ctx, l, call->values->dims, grid) == 0) continue;
    launch.code = call->loaded->codes[i];
    const ptx_entry *entry = launch.code->entry;
    char *params = tg_arena_alloc(&call->arena, entry->param_bytes + 8);
    fill_params(ctx, l, entry, call->values, params);
    launch.params = params;
    launch.dynamic_shared = (uint64_t)l->shared_bytes;
    for (int k = 0; k < 3; k++) {
      launch.grid[k] = (uint32_t)grid[k], launch.block[k] = (uint32_t)l->block[k];
      launch.cluster[k] = l->cluster[k] > 0 ? (uint32_t)l->cluster[k] : 1;
    }
    sim_run(ctx, &launch, result);
    if (result->nfindings)
      tg_throw(ctx, TG_FAILED, "kernel '%s', launch %d on %s: %s", record->kernel, i, call->device->name,
               sim_findings_text(&call->arena, launch.code, result, MOST_SHOWN));
  }
}

static void sim_launch_all(tg_device *device, void *module, const tg_record *record, const tg_dims *dims, int ntensors,
                           const tg_tensor *tensors, bool (*scalar)(void *user, const char *name, double *value), void *user, int threads) {
  const tg_record_values values = {dims, ntensors, tensors, scalar, user};
  launch_call call = {.device = device, .loaded = module, .record = record, .values = &values, .threads = threads};
  tg_record_check_views(device->ctx, record, dims);
  tg_arena_init(&call.arena, device->ctx);
  const tg_status status = tg_protect(device->ctx, launch_body, &call);
  tg_arena_free(&call.arena);
  if (status != TG_OK) tg_rethrow(device->ctx);
}

const tg_driver tg_driver_sim = {
    .family = "sim",
    .doc = "functional simulator of GPU code",
    .form = "asm",
    .enumerate = sim_enumerate,
    .open = sim_open,
    .close = sim_close,
    .alloc = sim_alloc,
    .free = sim_free,
    .copy_in = sim_copy,
    .copy_out = sim_copy,
    .zero = sim_zero,
    .load = sim_load_module,
    .unload = sim_unload,
    .launch = sim_launch_all,
    .sync = sim_sync,
};
