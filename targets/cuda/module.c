// Compiled kernels on the device, and their launches.
#include <stdlib.h>

#include "targets/cuda/cuda.h"

enum { STATIC_LIMIT = 48 << 10, PORTABLE_CLUSTER = 8 }; // CUDA programming guide: beyond these a function must be told

// ---- loading

typedef struct load_call {
  tg_device *device;
  const tg_record *record;
  tg_bytes object;
  cuda_module *module;
} load_call;

static bool is_elf(tg_bytes object) { return object.size >= 4 && memcmp(object.data, "\177ELF", 4) == 0; }

// "9.0" of ".version 9.0" as 90; 0: there is no such line.
static int ptx_version(const char *text) {
  const char *at = strstr(text, ".version ");
  int major, minor;
  return at && sscanf(at, ".version %d.%d", &major, &minor) == 2 ? 10 * major + minor : 0;
}

static void check_version(cuda_device *d, const load_call *call, const char *text) {
  const int wants = ptx_version(text), takes = cuda_ptx_of(d->lib->version);
  if (wants <= takes) return;
  tg_throw(d->device->ctx, TG_FAILED,
           "kernel '%s' for %s is PTX %d.%d, and this driver, for CUDA %d.%d, takes PTX up to %d.%d: update the driver",
           call->record->kernel, call->record->target, wants / 10, wants % 10, d->lib->version / 1000, d->lib->version % 1000 / 10,
           takes / 10, takes % 10);
}

static void load_image(cuda_device *d, const load_call *call) {
  enum { LOG = 8192, NOPTIONS = 2 };
  cuda_module *m = call->module;
  char *log = tg_arena_alloc(&m->arena, LOG), *text = tg_arena_strndup(&m->arena, call->object.data, call->object.size);
  const bool elf = is_elf(call->object);
  if (!elf) check_version(d, call, text);
  int options[NOPTIONS] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  void *values[NOPTIONS] = {log, (void *)(uintptr_t)(LOG - 1)};
  const int result = d->lib->module_load(&m->module, elf ? call->object.data : text, NOPTIONS, options, values);
  if (result && elf)
    cuda_check(d, result, "loading kernel '%s' as machine code for %s (cuModuleLoadDataEx); TEGULA_CUDA_CODE=ptx has the driver compile it",
               call->record->kernel, call->record->target);
  log[LOG - 1] = 0;
  cuda_check(d, result, "the driver's compiling of kernel '%s', PTX for %s (cuModuleLoadDataEx)%s%.300s", call->record->kernel,
             call->record->target, *log ? ": " : "", log);
}

// Above what every kernel may have, dynamic shared memory has to be allowed before the launch; so have clusters that not all GPUs take.
static void set_up_function(cuda_device *d, const tg_record_launch *launch, cu_function function) {
  const int64_t all = launch->shared_bytes + launch->static_shared_bytes;
  if (all > d->facts.shared_bytes)
    tg_throw(d->device->ctx, TG_INVALID, "the launch '%s' wants %lld bytes of shared memory; a block has at most %d on %s (%s)",
             launch->entry, (long long)all, d->facts.shared_bytes, d->device->name, d->facts.name);
  if (launch->shared_bytes > STATIC_LIMIT)
    cuda_check(d, d->lib->function_set(function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, (int)launch->shared_bytes),
               "allowing '%s' %lld bytes of shared memory (cuFuncSetAttribute)", launch->entry, (long long)launch->shared_bytes);
  if ((int64_t)launch->cluster[0] * launch->cluster[1] * launch->cluster[2] > PORTABLE_CLUSTER)
    cuda_check(d, d->lib->function_set(function, CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED, 1),
               "allowing '%s' clusters of more than %d blocks (cuFuncSetAttribute)", launch->entry, PORTABLE_CLUSTER);
}

static void load_body(void *arg) {
  load_call *call = arg;
  cuda_module *m = call->module;
  const tg_record *record = call->record;
  cuda_device *d = cuda_use(call->device);
  int most = 0;
  m->functions = TG_NEWN(&m->arena, cu_function, record->nlaunches + 1);
  if (record->nlaunches) load_image(d, call);
  for (int i = 0; i < record->nlaunches; i++) {
    const tg_record_launch *launch = &record->launches[i];
    cuda_check(d, d->lib->module_function(&m->functions[i], m->module, launch->entry),
               "looking for '%s' in kernel '%s' (cuModuleGetFunction)", launch->entry, record->kernel);
    set_up_function(d, launch, m->functions[i]);
    most = launch->nargs > most ? launch->nargs : most;
  }
  m->slots = TG_NEWN(&m->arena, uint64_t, most + 1);
  char *maps = tg_arena_alloc(&m->arena, sizeof *m->maps * (size_t)(most + 1)); // one more than there can be: room to align
  m->maps = (cu_tensor_map *)(void *)(maps + (sizeof *m->maps - (uintptr_t)maps % sizeof *m->maps) % sizeof *m->maps);
  m->arguments = TG_NEWN(&m->arena, void *, most + 1);
}

void *cuda_load(tg_device *device, const tg_record *record, tg_bytes object) {
  cuda_module *m = tg_realloc(device->ctx, NULL, sizeof *m);
  *m = (cuda_module){0};
  tg_arena_init(&m->arena, device->ctx);
  if (tg_protect(device->ctx, load_body, &(load_call){device, record, object, m}) != TG_OK) {
    cuda_unload(device, m);
    tg_rethrow(device->ctx);
  }
  return m;
}

void cuda_unload(tg_device *device, void *module) {
  cuda_module *m = module;
  cuda_device *d = device->state;
  if (m->module && cuda_use_quietly(d) && *d->running)
    cuda_warn(d, d->lib->stream_wait(d->stream), "waiting for a kernel (cuStreamSynchronize)");
  if (m->module && cuda_use_quietly(d)) cuda_warn(d, d->lib->module_unload(m->module), "letting go of a kernel (cuModuleUnload)");
  tg_arena_free(&m->arena);
  tg_realloc(device->ctx, m, 0);
}

// ---- launching

// Every argument in 8 bytes, of which the driver takes as many as the entry declares; tensor maps as the driver encodes them.
static void fill_arguments(cuda_device *d, cuda_module *m, const tg_record_launch *launch, const tg_record_values *values) {
  for (int i = 0; i < launch->nargs; i++) {
    const tg_record_arg *arg = &launch->args[i];
    if (arg->kind == TG_ARG_MAP) {
      cuda_encode_map(d, arg, values, &m->maps[i]);
      m->arguments[i] = &m->maps[i];
    } else {
      m->slots[i] = tg_record_slot(d->device->ctx, arg, values);
      m->arguments[i] = &m->slots[i];
    }
  }
}

static int start(cuda_device *d, cu_function function, cuda_module *m, const tg_record_launch *l, const unsigned grid[3]) {
  const unsigned block[3] = {(unsigned)l->block[0], (unsigned)l->block[1], (unsigned)l->block[2]}, shared = (unsigned)l->shared_bytes;
  if (l->cluster[0] * l->cluster[1] * l->cluster[2] <= 1)
    return d->lib->launch(function, grid[0], grid[1], grid[2], block[0], block[1], block[2], shared, d->stream, m->arguments, NULL);
  if (!d->lib->launch_ex)
    tg_throw(d->device->ctx, TG_FAILED,
             "the launch '%s' has clusters of blocks, and this driver, for CUDA %d.%d, has no cuLaunchKernelEx (CUDA 11.8)", l->entry,
             d->lib->version / 1000, d->lib->version % 1000 / 10);
  cu_launch_attribute cluster = {.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION};
  cluster.value.cluster.x = (unsigned)l->cluster[0], cluster.value.cluster.y = (unsigned)l->cluster[1],
  cluster.value.cluster.z = (unsigned)l->cluster[2];
  const cu_launch_config config = {.grid = {grid[0], grid[1], grid[2]},
                                   .block = {block[0], block[1], block[2]},
                                   .shared_bytes = shared,
                                   .stream = d->stream,
                                   .attributes = &cluster,
                                   .nattributes = 1};
  return d->lib->launch_ex(&config, function, m->arguments, NULL);
}

void cuda_launch(tg_device *device, void *module, const tg_record *record, const tg_dims *dims, int ntensors, const tg_tensor *tensors,
                 bool (*scalar)(void *user, const char *name, double *value), void *user, int threads) {
  (void)threads;
  tg_context *ctx = device->ctx;
  cuda_module *m = module;
  cuda_device *d = cuda_use(device);
  const tg_record_values values = {dims, ntensors, tensors, scalar, user};
  tg_record_check_views(ctx, record, dims);
  for (int i = 0; i < record->nlaunches; i++) {
    const tg_record_launch *l = &record->launches[i];
    int64_t grid[4];
    if (tg_record_grid(ctx, l, dims, grid) == 0) continue;
    const unsigned blocks[3] = {(unsigned)grid[0], (unsigned)grid[1], (unsigned)grid[2]};
    fill_arguments(d, m, l, &values);
    if (!*d->running) snprintf(d->running, sizeof d->running, "'%.150s'", record->kernel);
    cuda_check(d, start(d, m->functions[i], m, l, blocks),
               "launching '%s' of kernel '%s': %u x %u x %u blocks of %d threads, %lld bytes of shared memory (cuLaunchKernel)", l->entry,
               record->kernel, blocks[0], blocks[1], blocks[2], l->block[0] * l->block[1] * l->block[2],
               (long long)(l->shared_bytes + l->static_shared_bytes));
  }
}
