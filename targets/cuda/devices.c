// What GPUs there are, what they are, and what is compiled for each.
#include <ctype.h>
#include <stdlib.h>

#include "targets/cuda/cuda.h"
#include "targets/machines.h"

// ---- from compute capability to target

static const struct {
  const char *arch, *target;
  int ptx;
} archs[] = {
#define ARCH(name, ptx, units, doc) {name, "nvptx:" name, ptx},
#include "targets/nvptx/archs.def"
#undef ARCH
};

// Does code for this arch run on the GPU? "sm_80" runs on everything later, since the driver compiles PTX; "sm_90a" on 9.0 alone; "sm_100f"
// on later ones of its generation (PTX ISA, ".target").
static bool runs_on(const char *arch, int major, int minor) {
  char *suffix;
  const int number = (int)strtol(arch + 3, &suffix, 10), here = 10 * major + minor;
  if (*suffix == 'a') return number == here;
  if (*suffix == 'f') return number / 10 == major && number <= here;
  return number <= here;
}

// The highest arch that runs there wins, of one number the one with a suffix, which has more. Sets `why` when there is none.
static void choose_target(tg_context *ctx, const cuda_library *lib, cuda_facts *facts) {
  const int driver = cuda_ptx_of(lib->version), cuda = lib->version;
  int best = -1, refused = 0;
  for (size_t i = 0; i < sizeof archs / sizeof *archs; i++) {
    if (!runs_on(archs[i].arch, facts->major, facts->minor)) continue;
    char *suffix;
    const int number = (int)strtol(archs[i].arch + 3, &suffix, 10), rank = 2 * number + (*suffix != 0);
    if (archs[i].ptx > driver) refused = archs[i].ptx > refused ? archs[i].ptx : refused;
    else if (rank > best) best = rank, facts->target = archs[i].target;
  }
  if (facts->target) return;
  tg_arena *arena = &ctx->arena;
  facts->why =
      refused ? tg_arena_printf(arena,
                                "its driver, for CUDA %d.%d, takes PTX up to %d.%d, and code for this GPU is PTX %d.%d: update the driver",
                                cuda / 1000, cuda % 1000 / 10, driver / 10, driver % 10, refused / 10, refused % 10)
              : tg_arena_printf(arena, "compute capability %d.%d is older than all that can be compiled for (8.0 and later)", facts->major,
                                facts->minor);
}

// ---- from the GPU's name to its description

// "NVIDIA GeForce RTX 4090" is called rtx4090, "NVIDIA A100-SXM4-40GB" a100: the longest name that some of its words make together.
static bool is_called(const char *device, const char *machine) {
  for (const char *start = device; *start; start++) {
    if (start > device && isalnum((unsigned char)start[-1])) continue;
    const char *d = start, *m = machine;
    while (*m) {
      while (*d && !isalnum((unsigned char)*d)) d++;
      while (*m && !isalnum((unsigned char)*m)) m++;
      if (!*m || tolower((unsigned char)*d) != tolower((unsigned char)*m)) break;
      d++, m++;
    }
    if (!*m && m > machine && !isalnum((unsigned char)*d)) return true;
  }
  return false;
}

const tg_machine *cuda_machine_of(tg_context *ctx, const char *name) {
  const tg_machine_state *state = tg_machine_list(ctx);
  const tg_machine *best = NULL;
  for (int i = 0; i < state->n; i++) {
    const tg_machine *machine = &state->rows[i]->machine;
    if (strncmp(machine->target, "nvptx:", 6) != 0 || !is_called(name, machine->name)) continue;
    if (!best || strlen(machine->name) > strlen(best->name)) best = machine;
  }
  return best;
}

// ---- facts

static int read_facts(const cuda_library *lib, int ordinal, cuda_facts *f, const char **asked) {
  const struct {
    int attribute, *to;
  } wanted[] = {{CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, &f->major},
                {CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, &f->minor},
                {CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, &f->multiprocessors},
                {CU_DEVICE_ATTRIBUTE_CLOCK_RATE, &f->clock_khz},
                {CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE, &f->memory_clock_khz},
                {CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH, &f->bus_bits},
                {CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE, &f->l2_bytes},
                {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, &f->shared_bytes}};
  cu_device device;
  *asked = "cuDeviceGet";
  int result = lib->device_get(&device, ordinal);
  if (!result) *asked = "cuDeviceGetName", result = lib->device_name(f->name, sizeof f->name, device);
  if (!result) *asked = "cuDeviceTotalMem", result = lib->device_memory(&f->memory_bytes, device);
  for (size_t i = 0; !result && i < sizeof wanted / sizeof *wanted; i++)
    *asked = "cuDeviceGetAttribute", result = lib->device_attribute(wanted[i].to, wanted[i].attribute, device);
  f->name[sizeof f->name - 1] = 0;
  return result;
}

void cuda_facts_get(tg_context *ctx, const cuda_library *lib, int ordinal, cuda_facts *out) {
  const char *asked;
  *out = (cuda_facts){0};
  const int result = read_facts(lib, ordinal, out, &asked);
  if (result) out->why = tg_arena_printf(&ctx->arena, "%s: %s", asked, cuda_result_text(lib, &ctx->arena, result));
  else choose_target(ctx, lib, out);
}

static tg_bindings facts_list(tg_context *ctx, const cuda_library *lib, const cuda_facts *f) {
  tg_arena *arena = &ctx->arena;
  const struct {
    const char *name;
    long long value;
  } numbers[] = {{"multiprocessors", f->multiprocessors},
                 {"clock_khz", f->clock_khz},
                 {"memory_clock_khz", f->memory_clock_khz},
                 {"memory_bus_bits", f->bus_bits},
                 {"l2_bytes", f->l2_bytes},
                 {"shared_bytes", f->shared_bytes},
                 {"memory_bytes", (long long)f->memory_bytes}};
  enum { NUMBERS = sizeof numbers / sizeof *numbers };
  tg_binding *at = TG_NEWN(arena, tg_binding, NUMBERS + 2);
  at[0] = (tg_binding){"compute_capability", tg_arena_printf(arena, "%d.%d", f->major, f->minor)};
  at[1] = (tg_binding){"driver_cuda", tg_arena_printf(arena, "%d.%d", lib->version / 1000, lib->version % 1000 / 10)};
  for (int i = 0; i < NUMBERS; i++) at[i + 2] = (tg_binding){numbers[i].name, tg_arena_printf(arena, "%lld", numbers[i].value)};
  return (tg_bindings){NUMBERS + 2, at};
}

static tg_device_info describe(tg_context *ctx, const cuda_library *lib, int ordinal) {
  cuda_facts *f = TG_NEW(&ctx->arena, cuda_facts);
  cuda_facts_get(ctx, lib, ordinal, f);
  tg_device_info info = {.name = tg_arena_printf(&ctx->arena, "cuda:%d", ordinal),
                         .family = "cuda",
                         .target = f->target,
                         .available = f->target != NULL,
                         .why = f->why,
                         .model = f->name,
                         .facts = facts_list(ctx, lib, f)};
  info.description =
      tg_arena_printf(&ctx->arena, "%s, compute capability %d.%d, %d multiprocessors, %.1f GiB", *f->name ? f->name : "a GPU", f->major,
                      f->minor, f->multiprocessors, (double)f->memory_bytes / (1 << 30));
  return info;
}

// Without a driver or a GPU one device stands for all, with the reason.
int cuda_enumerate(tg_context *ctx, tg_device_info *out, int max) {
  if (max < 1) return 0;
  const cuda_library *lib = cuda_library_get(ctx);
  if (lib->problem) {
    out[0] = (tg_device_info){.name = "cuda:0", .family = "cuda", .description = "NVIDIA GPU", .why = lib->problem};
    return 1;
  }
  int n = 0;
  for (; n < lib->ndevices && n < max; n++) out[n] = describe(ctx, lib, n);
  return n;
}
