// Device "interp": the reference interpreter behind the driver interface. It has no target: what is loaded is the tile kernel's text.
#include <stdlib.h>

#include "targets/target.h"

static int interp_enumerate(tg_context *ctx, tg_device_info *out, int max) {
  (void)ctx;
  if (max < 1) return 0;
  out[0] = (tg_device_info){.name = "interp",
                            .family = "interp",
                            .target = NULL,
                            .available = true,
                            .description = "reference interpreter: the meaning of tile IR, one thread, every access and promise checked"};
  return 1;
}

static void interp_open(tg_device *device, const char *name) {
  (void)name;
  device->target = NULL;
}

static void interp_close(tg_device *device) { (void)device; }

static void *interp_alloc(tg_device *device, size_t bytes) {
  void *memory;
  if (posix_memalign(&memory, 64, bytes ? bytes : 64) != 0)
    tg_throw(device->ctx, TG_NO_MEMORY, "no memory for a tensor of %zu bytes", bytes);
  return memory;
}

static void interp_free(tg_device *device, void *memory) {
  (void)device;
  free(memory);
}

static void interp_copy(tg_device *device, void *to, const void *from, size_t bytes) {
  (void)device;
  if (bytes) memcpy(to, from, bytes);
}

static void interp_zero(tg_device *device, void *memory, size_t bytes) {
  (void)device;
  if (bytes) memset(memory, 0, bytes);
}

static void interp_sync(tg_device *device) { (void)device; }

static void *interp_load(tg_device *device, const tg_record *record, tg_bytes object) {
  return tg_parse(device->ctx, object.data, object.size, record->kernel);
}

static void interp_unload(tg_device *device, void *module) {
  (void)device;
  tg_kernel_free(module);
}

static void interp_launch(tg_device *device, void *module, const tg_record *record, const tg_dims *dims, int ntensors,
                          const tg_tensor *tensors, bool (*scalar)(void *user, const char *name, double *value), void *user, int threads) {
  (void)device, (void)record, (void)threads;
  tg_interp_options options = {.only_launch = -1};
  tg_dims known = *dims;
  tg_interpret(module, ntensors, tensors, tg_dims_lookup, &known, scalar, user, &options);
}

const tg_driver tg_driver_interp = {
    .family = "interp",
    .doc = "reference interpreter",
    .form = "obj",
    .enumerate = interp_enumerate,
    .open = interp_open,
    .close = interp_close,
    .alloc = interp_alloc,
    .free = interp_free,
    .copy_in = interp_copy,
    .copy_out = interp_copy,
    .zero = interp_zero,
    .load = interp_load,
    .unload = interp_unload,
    .launch = interp_launch,
    .sync = interp_sync,
};
