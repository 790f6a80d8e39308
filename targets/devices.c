// Devices: what the drivers find, and opening one by name.
#include "targets/buffer.h"

const tg_driver *const tg_drivers[] = {&tg_driver_cpu, &tg_driver_interp, &tg_driver_sim, &tg_driver_cuda, NULL};

enum { MAX_DEVICES = 64, NDRIVERS = sizeof tg_drivers / sizeof *tg_drivers - 1 };

// Drivers are asked when a device of theirs is named, or all are: asking a vendor's takes tenths of a second.
typedef struct device_list {
  struct found {
    bool asked;
    int n;
    tg_device_info *at;
  } of[NDRIVERS];
  int n; // of all, -1 = not gathered yet
  tg_device_info *all;
} device_list;

static device_list *list_of(tg_context *ctx) {
  device_list *list = ctx->slots[TG_SLOT_DEVICES];
  if (list) return list;
  list = TG_NEW(&ctx->arena, device_list);
  list->n = -1;
  ctx->slots[TG_SLOT_DEVICES] = list;
  return list;
}

static const struct found *ask(tg_context *ctx, int driver) {
  struct found *f = &list_of(ctx)->of[driver];
  if (f->asked) return f;
  tg_device_info *at = TG_NEWN(&ctx->arena, tg_device_info, MAX_DEVICES);
  *f = (struct found){true, tg_drivers[driver]->enumerate(ctx, at, MAX_DEVICES), at};
  return f;
}

static device_list *list_all(tg_context *ctx) {
  device_list *list = list_of(ctx);
  if (list->n >= 0) return list;
  int n = 0;
  for (int i = 0; i < NDRIVERS; i++) n += ask(ctx, i)->n;
  list->all = TG_NEWN(&ctx->arena, tg_device_info, n + 1);
  list->n = 0;
  for (int i = 0; i < NDRIVERS; i++)
    for (int j = 0; j < list->of[i].n; j++) list->all[list->n++] = list->of[i].at[j];
  return list;
}

struct devices_call {
  tg_context *ctx;
  device_list *list;
};

static void devices_body(void *arg) {
  struct devices_call *call = arg;
  call->list = list_all(call->ctx);
}

int tg_devices(tg_context *ctx, const tg_device_info **out) {
  struct devices_call call = {.ctx = ctx};
  if (tg_protect(ctx, devices_body, &call) != TG_OK) return 0;
  *out = call.list->all;
  return call.list->n;
}

static bool of_family(const char *name, const char *family) {
  const size_t n = strlen(family);
  return strncmp(name, family, n) == 0 && (name[n] == ':' || !name[n]);
}

const tg_device_info *tg_device_find(tg_context *ctx, const char *name, const tg_driver **driver) {
  for (int i = 0; i < NDRIVERS; i++) {
    if (!of_family(name, tg_drivers[i]->family)) continue;
    const struct found *f = ask(ctx, i);
    for (int j = 0; j < f->n; j++) {
      if (strcmp(f->at[j].name, name) != 0) continue;
      *driver = tg_drivers[i];
      return &f->at[j];
    }
  }
  const device_list *list = list_all(ctx);
  tg_text names = {.arena = &ctx->arena};
  for (int i = 0; i < list->n; i++)
    tg_text_add(&names, "%s%s%s", i ? ", " : "", list->all[i].name, list->all[i].available ? "" : " (not available)");
  tg_throw(ctx, TG_INVALID, "there is no device '%.100s'; devices here: %s", name, names.data);
}

struct open_call {
  tg_context *ctx;
  const char *name;
  tg_device *device;
};

static void open_body(void *arg) {
  struct open_call *call = arg;
  tg_context *ctx = call->ctx;
  const tg_driver *driver;
  const tg_device_info *info = tg_device_find(ctx, call->name, &driver);
  if (!info->available) tg_throw(ctx, TG_INVALID, "device '%s' is not available: %s", info->name, info->why);
  tg_device *device = tg_realloc(ctx, NULL, sizeof *device);
  *device = (tg_device){.ctx = ctx, .driver = driver, .name = info->name, .form = driver->form, .users = 1};
  call->device = device;
  driver->open(device, device->name);
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
