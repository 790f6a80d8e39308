// libcuda.so.1: opened when it is first asked for, its functions found by name, its errors put into words.
#include <dlfcn.h>
#include <stdlib.h>

#include "targets/cuda/cuda.h"

enum { OLDEST = 11000 }; // CUDA 11.0 came with sm_80

static void *find(void *handle, const char *name, const char *older) {
  void *symbol = dlsym(handle, name);
  return symbol || !older ? symbol : dlsym(handle, older);
}

// Names the first function that is not there.
static const char *find_all(cuda_library *lib, void *handle) {
#define FUNCTION(field, name, older, need, arguments)                                                                                      \
  {                                                                                                                                        \
    void *symbol = find(handle, name, older);                                                                                              \
    memcpy(&lib->field, &symbol, sizeof symbol);                                                                                           \
    if (!symbol && need) return name;                                                                                                      \
  }
#include "targets/cuda/functions.def"
#undef FUNCTION
  return NULL;
}

static const char *open_library(tg_context *ctx, cuda_library *lib) {
  tg_arena *arena = &ctx->arena;
  const char *named = getenv("TEGULA_LIBCUDA");
  lib->file = tg_arena_strdup(arena, named && *named ? named : "libcuda.so.1");
  void *handle = dlopen(lib->file, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (!handle)
    return tg_arena_printf(arena, "the NVIDIA driver's library was not found (%s)%s", dlerror(),
                           named && *named ? "; TEGULA_LIBCUDA names this file"
                                           : "; if it lies where the loader does not look, name it in TEGULA_LIBCUDA");
  const char *absent = find_all(lib, handle);
  if (absent) return tg_arena_printf(arena, "%s has no function %s: the driver is too old, or this is not libcuda", lib->file, absent);
  int result = lib->driver_version(&lib->version);
  if (result) return tg_arena_printf(arena, "%s: cuDriverGetVersion: %s", lib->file, cuda_result_text(lib, arena, result));
  if (lib->version < OLDEST)
    return tg_arena_printf(arena, "the NVIDIA driver is for CUDA %d.%d; CUDA 11.0 (driver 450) or newer is needed", lib->version / 1000,
                           lib->version % 1000 / 10);
  result = lib->init(0);
  if (!result) result = lib->device_count(&lib->ndevices);
  if (result == CUDA_ERROR_NO_DEVICE || (!result && lib->ndevices == 0))
    return "the NVIDIA driver is there, but it finds no GPU (is CUDA_VISIBLE_DEVICES set, is the GPU passed on to this container?)";
  if (result) return tg_arena_printf(arena, "%s: cuInit: %s", lib->file, cuda_result_text(lib, arena, result));
  return NULL;
}

const cuda_library *cuda_library_get(tg_context *ctx) {
  cuda_library *lib = ctx->slots[TG_SLOT_CUDA];
  if (lib) return lib;
  lib = TG_NEW(&ctx->arena, cuda_library);
  lib->problem = open_library(ctx, lib);
  ctx->slots[TG_SLOT_CUDA] = lib;
  return lib;
}

const char *cuda_result_text(const cuda_library *lib, tg_arena *arena, int result) {
  const char *name = NULL, *text = NULL;
  if (lib->get_error_name(result, &name) || !name) return tg_arena_printf(arena, "error %d, which the driver has no name for", result);
  if (lib->get_error_string(result, &text) || !text) return tg_arena_strdup(arena, name);
  return tg_arena_printf(arena, "%s (%s)", name, text);
}

// PTX ISA, "Release Notes": the driver that each version came with.
int cuda_ptx_of(int cuda_version) {
  static const struct {
    int cuda, ptx;
  } rows[] = {{13010, 91}, {13000, 90}, {12090, 88}, {12080, 87}, {12070, 86}, {12050, 85}, {12040, 84},
              {12030, 83}, {12020, 82}, {12010, 81}, {12000, 80}, {11080, 78}, {11070, 77}, {11060, 76},
              {11050, 75}, {11040, 74}, {11030, 73}, {11020, 72}, {11010, 71}, {11000, 70}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    if (cuda_version >= rows[i].cuda) return rows[i].ptx;
  return 0;
}
