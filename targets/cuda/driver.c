// Devices "cuda:N": NVIDIA GPUs through the driver that is installed. One stream of each open device; every call is checked.
//
// The device's primary context is used, as by CUDA's runtime and so by torch, and stays current in the calling thread.
#include <stdlib.h>

#include "targets/cuda/cuda.h"
#include "targets/nvptx/assemble.h"

// ---- errors

// After these the context is of no use (cuda.h: "the process must be terminated and relaunched").
static bool ends_context(int result) {
  static const int ends[] = {CUDA_ERROR_ECC_UNCORRECTABLE,
                             CUDA_ERROR_ILLEGAL_ADDRESS,
                             CUDA_ERROR_LAUNCH_TIMEOUT,
                             CUDA_ERROR_CONTEXT_IS_DESTROYED,
                             CUDA_ERROR_ASSERT,
                             CUDA_ERROR_HARDWARE_STACK_ERROR,
                             CUDA_ERROR_ILLEGAL_INSTRUCTION,
                             CUDA_ERROR_MISALIGNED_ADDRESS,
                             CUDA_ERROR_INVALID_ADDRESS_SPACE,
                             CUDA_ERROR_INVALID_PC,
                             CUDA_ERROR_LAUNCH_FAILED,
                             CUDA_ERROR_UNKNOWN};
  for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
    if (result == ends[i]) return true;
  return false;
}

_Noreturn static void throw_lost(cuda_device *d) {
  tg_throw(d->device->ctx, TG_FAILED, "device '%s' cannot be used any more by this process: %s", d->device->name, d->lost);
}

static void note_lost(cuda_device *d, const char *doing, int result) {
  const char *text = cuda_result_text(d->lib, &d->arena, result);
  d->lost = *d->running ? tg_arena_printf(&d->arena, "kernel %s ended with %s", d->running, text)
                        : tg_arena_printf(&d->arena, "%s: %s, left by an earlier kernel of this process", doing, text);
}

void cuda_check(cuda_device *d, int result, const char *doing, ...) {
  if (!result) return;
  char what[512];
  va_list args;
  va_start(args, doing);
  vsnprintf(what, sizeof what, doing, args);
  va_end(args);
  tg_context *ctx = d->device->ctx;
  if (ends_context(result)) {
    note_lost(d, what, result);
    throw_lost(d);
  }
  tg_throw(ctx, result == CUDA_ERROR_OUT_OF_MEMORY ? TG_NO_MEMORY : TG_FAILED, "%s: %s: %s", d->device->name, what,
           cuda_result_text(d->lib, &ctx->arena, result));
}

cuda_device *cuda_use(tg_device *device) {
  cuda_device *d = device->state;
  if (d->lost) throw_lost(d);
  cuda_check(d, d->lib->context_set(d->context), "making the context current (cuCtxSetCurrent)");
  return d;
}

bool cuda_use_quietly(cuda_device *d) { return !d->lost && d->lib->context_set(d->context) == CUDA_SUCCESS; }

void cuda_warn(cuda_device *d, int result, const char *doing) {
  const char *name = NULL;
  if (!result || ends_context(result)) return;
  if (d->lib->get_error_name(result, &name)) name = NULL;
  tg_log(d->device->ctx, TG_LOG_WARNING, "%s: %s: %s", d->device->name, doing, name ? name : "an error without a name");
}

// ---- opening and closing

static void cuda_close(tg_device *device) {
  cuda_device *d = device->state;
  if (!d) return;
  if (d->context && cuda_use_quietly(d)) {
    if (d->flush_memory) cuda_warn(d, d->lib->memory_free(d->flush_memory), "freeing memory (cuMemFree)");
    if (d->start) cuda_warn(d, d->lib->event_destroy(d->start), "letting go of an event (cuEventDestroy)");
    if (d->end) cuda_warn(d, d->lib->event_destroy(d->end), "letting go of an event (cuEventDestroy)");
    if (d->stream) cuda_warn(d, d->lib->stream_destroy(d->stream), "letting go of the stream (cuStreamDestroy)");
  }
  if (d->context) cuda_warn(d, d->lib->context_release(d->handle), "releasing the context (cuDevicePrimaryCtxRelease)");
  tg_arena_free(&d->arena);
  tg_realloc(device->ctx, d, 0);
  device->state = NULL;
}

static void open_body(void *arg) {
  cuda_device *d = arg;
  const cuda_library *lib = d->lib;
  cuda_facts_get(d->device->ctx, lib, d->ordinal, &d->facts);
  if (!d->facts.target) tg_throw(d->device->ctx, TG_INVALID, "device '%s' is not available: %s", d->device->name, d->facts.why);
  cuda_check(d, lib->device_get(&d->handle, d->ordinal), "opening the device (cuDeviceGet)");
  cuda_check(d, lib->context_retain(&d->context, d->handle), "opening the device's context (cuDevicePrimaryCtxRetain)");
  cuda_use(d->device);
  cuda_check(d, lib->stream_create(&d->stream, CU_STREAM_NON_BLOCKING), "making a stream (cuStreamCreate)");
  cuda_check(d, lib->event_create(&d->start, CU_EVENT_DEFAULT), "making an event (cuEventCreate)");
  cuda_check(d, lib->event_create(&d->end, CU_EVENT_DEFAULT), "making an event (cuEventCreate)");
}

// PTX, which the driver compiles, or what NVIDIA's assembler makes of it, where one is found and its code runs on this GPU: on the same
// major revision.
static const char *form_for(const cuda_device *d) {
  tg_context *ctx = d->device->ctx;
  const char *asked = getenv("TEGULA_CUDA_CODE");
  if (asked && *asked && strcmp(asked, "ptx") != 0 && strcmp(asked, "cubin") != 0)
    tg_throw(ctx, TG_INVALID,
             "TEGULA_CUDA_CODE=%.40s: it can be ptx or cubin; without it the device takes a cubin where an assembler is found", asked);
  if (asked && *asked) return strcmp(asked, "ptx") ? "obj" : "asm";
  if (!tg_can_compile(ctx)) return "asm"; // what packs have
  const int number = atoi(strchr(d->facts.target, '_') + 1);
  return number / 10 == d->facts.major && tg_assembler_find(&ctx->arena) ? "obj" : "asm";
}

static void open_and_choose(void *arg) {
  cuda_device *d = arg;
  open_body(d);
  d->device->target = d->facts.target;
  d->device->form = form_for(d);
}

static void cuda_open(tg_device *device, const char *name) {
  tg_context *ctx = device->ctx;
  cuda_device *d = tg_realloc(ctx, NULL, sizeof *d);
  *d = (cuda_device){.device = device, .lib = cuda_library_get(ctx), .ordinal = atoi(strchr(name, ':') + 1)};
  device->state = d;
  tg_arena_init(&d->arena, ctx);
  if (tg_protect(ctx, open_and_choose, d) == TG_OK) return;
  cuda_close(device);
  tg_rethrow(ctx);
}

// ---- memory

static void wait(cuda_device *d, const char *doing) {
  cuda_check(d, d->lib->stream_wait(d->stream), "%s (cuStreamSynchronize)", doing);
  *d->running = 0;
}

static void *cuda_alloc(tg_device *device, size_t bytes) {
  cuda_device *d = cuda_use(device);
  cu_pointer memory = 0;
  int result = d->lib->memory_alloc(&memory, bytes ? bytes : 1);
  if (result == CUDA_ERROR_OUT_OF_MEMORY) {
    size_t unused = 0, total = 0;
    if (d->lib->memory_info(&unused, &total)) unused = total = 0;
    tg_throw(device->ctx, TG_NO_MEMORY, "%s has no memory for a tensor of %zu bytes: %zu of %zu bytes are free", device->name, bytes,
             unused, total);
  }
  cuda_check(d, result, "making room for %zu bytes (cuMemAlloc)", bytes);
  return (void *)(uintptr_t)memory;
}

static void cuda_free(tg_device *device, void *memory) {
  cuda_device *d = device->state;
  if (cuda_use_quietly(d)) cuda_warn(d, d->lib->memory_free((cu_pointer)(uintptr_t)memory), "freeing memory (cuMemFree)");
}

// Copies go through the stream, in order with the launches; pageable memory of the host may be reused once they are waited for.
static void cuda_copy_in(tg_device *device, void *to, const void *from, size_t bytes) {
  if (!bytes) return;
  cuda_device *d = cuda_use(device);
  cuda_check(d, d->lib->copy_in((cu_pointer)(uintptr_t)to, from, bytes, d->stream), "copying %zu bytes to the device (cuMemcpyHtoDAsync)",
             bytes);
  wait(d, "copying to the device");
}

static void cuda_copy_out(tg_device *device, void *to, const void *from, size_t bytes) {
  if (!bytes) return;
  cuda_device *d = cuda_use(device);
  cuda_check(d, d->lib->copy_out(to, (cu_pointer)(uintptr_t)from, bytes, d->stream),
             "copying %zu bytes from the device (cuMemcpyDtoHAsync)", bytes);
  wait(d, "copying from the device");
}

static void cuda_zero(tg_device *device, void *memory, size_t bytes) {
  if (!bytes) return;
  cuda_device *d = cuda_use(device);
  cuda_check(d, d->lib->set_bytes((cu_pointer)(uintptr_t)memory, 0, bytes, d->stream), "zeroing %zu bytes (cuMemsetD8Async)", bytes);
}

static void cuda_sync(tg_device *device) { wait(cuda_use(device), "waiting for the device"); }

// ---- time

// What is written last is what the caches hold: zeros, of twice the size of the L2 cache.
static void cuda_flush(tg_device *device) {
  cuda_device *d = cuda_use(device);
  if (!d->flush_memory) {
    d->flush_bytes = 2 * (size_t)d->facts.l2_bytes;
    if (!d->flush_bytes) return;
    cuda_check(d, d->lib->memory_alloc(&d->flush_memory, d->flush_bytes), "making room for %zu bytes to empty the caches with (cuMemAlloc)",
               d->flush_bytes);
  }
  cuda_check(d, d->lib->set_bytes(d->flush_memory, 0, d->flush_bytes, d->stream), "emptying the caches (cuMemsetD8Async)");
}

static void cuda_time_begin(tg_device *device) {
  cuda_device *d = cuda_use(device);
  cuda_check(d, d->lib->event_record(d->start, d->stream), "taking the time (cuEventRecord)");
}

static double cuda_time_end(tg_device *device) {
  cuda_device *d = cuda_use(device);
  float milliseconds;
  cuda_check(d, d->lib->event_record(d->end, d->stream), "taking the time (cuEventRecord)");
  wait(d, "waiting for the device");
  cuda_check(d, d->lib->event_elapsed(&milliseconds, d->start, d->end), "taking the time (cuEventElapsedTime)");
  return 1e-3 * (double)milliseconds;
}

// What its makers say of it, as far as there is a description.
static tg_limits cuda_limits(tg_device *device) {
  const cuda_device *d = device->state;
  const tg_machine *m = cuda_machine_of(device->ctx, d->facts.name);
  if (!m) return (tg_limits){0};
  return (tg_limits){
      .peak_gflops = m->peak_f32, .bf16_peak_gflops = m->peak_bf16, .fp8_peak_gflops = m->peak_fp8, .stream_gbs = m->bandwidth};
}

const tg_driver tg_driver_cuda = {
    .family = "cuda",
    .doc = "NVIDIA GPUs through their driver",
    .form = "asm",
    .enumerate = cuda_enumerate,
    .open = cuda_open,
    .close = cuda_close,
    .alloc = cuda_alloc,
    .free = cuda_free,
    .copy_in = cuda_copy_in,
    .copy_out = cuda_copy_out,
    .zero = cuda_zero,
    .load = cuda_load,
    .unload = cuda_unload,
    .launch = cuda_launch,
    .sync = cuda_sync,
    .flush = cuda_flush,
    .time_begin = cuda_time_begin,
    .time_end = cuda_time_end,
    .limits = cuda_limits,
};
