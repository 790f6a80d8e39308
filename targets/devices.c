// Devices: what the drivers find, and opening one by name.
#include "targets/buffer.h"

const tg_driver *const tg_drivers[] = {&tg_driver_cpu, &tg_driver_interp, &tg_driver_sim, NULL};

enum { MAX_DEVICES = 64 };

typedef struct device_list {
  int n;
  tg_device_info at[MAX_DEVICES];
  const tg_driver *driver[MAX_DEVICES];
} device_list;

static device_list *list_devices(tg_context *ctx) {
  device_list *list = ctx->slots[TG_SLOT_DEVICES];
  if (list) return list;
  list = TG_NEW(&ctx->arena, device_list);
  for (int i = 0; tg_drivers[i]; i++) {
    int n = tg_drivers[i]->enumerate(ctx, list->at + list->n, MAX_DEVICES - list->n);
    for (int j = 0; j < n; j++) list->driver[list->n + j] = tg_drivers[i];
    list->n += n;
  }
  ctx->slots[TG_SLOT_DEVICES] = list;
  return list;
}

struct devices_call {
  tg_context *ctx;
  device_list *list;
};

static void devices_body(void *arg) {
  struct devices_call *call = arg;
  call->list = list_devices(call->ctx);
}

int tg_devices(tg_context *ctx, const tg_device_info **out) {
  struct devices_call call = {.ctx = ctx};
  if (tg_protect(ctx, devices_body, &call) != TG_OK) return 0;
  *out = call.list->at;
  return call.list->n;
}

struct open_call {
  tg_context *ctx;
  const char *name;
  tg_device *device;
};

static void open_body(void *arg) {
  struct open_call *call = arg;
  tg_context *ctx = call->ctx;
  device_list *list = list_devices(ctx);
  tg_text names = {.arena = &ctx->arena};
  for (int i = 0; i < list->n; i++) {
    tg_text_add(&names, "%s%s", i ? ", " : "", list->at[i].name);
    if (strcmp(list->at[i].name, call->name) != 0) continue;
    if (!list->at[i].available) tg_throw(ctx, TG_INVALID, "device '%s' is not available: %s", call->name, list->at[i].why);
    tg_device *device = tg_realloc(ctx, NULL, sizeof *device);
    *device = (tg_device){.ctx = ctx, .driver = list->driver[i], .name = list->at[i].name, .users = 1};
    call->device = device;
    device->driver->open(device, device->name);
    return;
  }
  tg_throw(ctx, TG_INVALID, "there is no device '%.100s'; devices here: %s", call->name, names.size ? names.data : "none");
}

tg_status tg_device_open(tg_context *ctx, const char *name, tg_device **out) {
  struct open_call call = {.ctx = ctx, .name = name};
  *out = NULL;
  tg_status status = tg_protect(ctx, open_body, &call);
  if (status == TG_OK) {
    *out = call.device;
  } else if (call.device) {
    tg_realloc(ctx, call.device, 0);
  }
  return status;
}

void tg_device_close(tg_device *device) {
  if (!device) return;
  device->closed = true;
  tg_device_drop(device);
}

const char *tg_device_name(const tg_device *device) { return device->name; }
