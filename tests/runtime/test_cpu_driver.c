// The cpu driver with shared objects that the C compiler makes here: argument slots, blocks, scratch, threads, traps, modules side by side.
#include <math.h>
#include <stdint.h>
#include <unistd.h>

#include "targets/target.h"

#include "test.h"

static const char source[] =
    "#include <stdint.h>\n"
    "typedef struct { void *user; void (*print)(void *, const char *, const char *, const uint64_t *); } hooks;\n"
    "const char *fill(const uint64_t *args, const int64_t *grid, int64_t first, int64_t last, void *scratch, const hooks *h) {\n"
    "  int32_t *count = (int32_t *)args[0]; int64_t *seen = (int64_t *)args[1]; (void)h;\n"
    "  if ((uintptr_t)scratch % 4096) return \"scratch is not aligned\";\n"
    "  volatile int64_t *mine = scratch;\n"
    "  for (int64_t b = first; b < last; b++) {\n"
    "    mine[0] = mine[511] = b;\n" // another worker in the same scratch would be noticed below
    "    for (int i = 0; i < 200; i++) if (mine[0] != b || mine[511] != b) return \"scratch is shared\";\n"
    "    __atomic_fetch_add(&count[b], 1, __ATOMIC_RELAXED);\n"
    "  }\n"
    "  if (first == 0) { for (int i = 0; i < 4; i++) seen[i] = grid[i]; for (int i = 0; i < 6; i++) seen[4 + i] = args[2 + i]; }\n"
    "  return 0;\n"
    "}\n"
    "const char *trap(const uint64_t *args, const int64_t *grid, int64_t first, int64_t last, void *scratch, const hooks *h) {\n"
    "  (void)args; (void)grid; (void)scratch; uint64_t v[] = {0x3ff8000000000000, -2, 5, 0, 8};\n"
    "  if (first == 0) h->print(h->user, \"values\", \"f32, i8[2], range<8>\", v);\n"
    "  return last > 7 && first <= 7 ? \"block 7 says no\" : 0;\n"
    "}\n"
    "int tag(void) { return TAG; }\n"
    "const char *tagged(const uint64_t *args) { *(int32_t *)args[0] = TAG; return 0; }\n";

static char directory[] = "/tmp/tegula-test-XXXXXX";
static char printed[256];

static tg_bytes compile(int tag) {
  char path[256], command[1024];
  snprintf(path, sizeof path, "%s/k.c", directory);
  FILE *file = fopen(path, "w");
  fputs(source, file);
  fclose(file);
  snprintf(command, sizeof command, "cc -O1 -shared -fPIC -DTAG=%d -o %s/k.so %s", tag, directory, path);
  CHECK(system(command) == 0);
  snprintf(path, sizeof path, "%s/k.so", directory);
  file = fopen(path, "rb");
  tg_bytes bytes = {malloc(1 << 20), 0};
  bytes.size = fread(bytes.data, 1, 1 << 20, file);
  fclose(file);
  return bytes;
}

struct step {
  tg_device *device;
  const tg_record *record;
  tg_bytes object;
  void *module;
  const tg_dims *dims;
  int ntensors;
  const tg_tensor *tensors;
  int threads;
};
static bool scalar(void *user, const char *name, double *value) {
  (void)user;
  *value = strcmp(name, "eps") == 0 ? 0.1 : strcmp(name, "h") == 0 ? 1.5 : -3;
  return strcmp(name, "none") != 0;
}
static void load(void *arg) {
  struct step *s = arg;
  s->module = s->device->driver->load(s->device, s->record, s->object);
}
static void launch(void *arg) {
  struct step *s = arg;
  s->device->driver->launch(s->device, s->module, s->record, s->dims, s->ntensors, s->tensors, scalar, NULL, s->threads);
}

static const tg_expr *expr(tg_arena *arena, const char *text) {
  const char *stopped;
  return tg_e_parse(arena, text, text + strlen(text), &stopped);
}

static tg_record_arg arg_of(const char *name, tg_arg_kind kind, int dtype, const tg_expr *value) {
  return (tg_record_arg){name, kind, (uint8_t)dtype, value, NULL};
}

// Every block once, whatever the grid and the number of threads; slots as the entry's contract has them.
static void blocks(tg_context *ctx, tg_device *device, tg_arena *arena, tg_bytes object) {
  tg_record_arg args[8] = {arg_of("count", TG_ARG_POINTER, TG_I64, NULL),
                           arg_of("seen", TG_ARG_POINTER, TG_I64, NULL),
                           arg_of("M", TG_ARG_SCALAR, TG_I64, expr(arena, "M * 4 - 1000")),
                           arg_of("eps", TG_ARG_SCALAR, TG_F32, NULL),
                           arg_of("i", TG_ARG_SCALAR, TG_I32, NULL),
                           arg_of("h", TG_ARG_SCALAR, TG_BF16, NULL),
                           arg_of("i", TG_ARG_SCALAR, TG_I64, NULL),
                           arg_of("eps", TG_ARG_SCALAR, TG_F64, NULL)};
  tg_record_launch launches[2] = {{.entry = "fill", .naxes = 2, .grid = {expr(arena, "M"), expr(arena, "N")}, .nargs = 8, .args = args},
                                  {.entry = "trap", .naxes = 1, .grid = {expr(arena, "0 * M")}, .nargs = 0}}; // skipped
  tg_record record = {.arena = arena, .kernel = "k", .nlaunches = 2, .launches = launches, .scratch_bytes = 4000};
  struct step s = {.device = device, .record = &record, .object = object};
  CHECKF(tg_protect(ctx, load, &s) == TG_OK, "%s", tg_error_message(ctx));
  static const int64_t sizes[][2] = {{0, 5}, {1, 1}, {3, 1}, {7, 11}, {1000, 13}};
  static const int threads[] = {1, 2, 3, 16, 0};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    for (size_t t = 0; t < sizeof threads / sizeof *threads; t++) {
      int64_t total = sizes[i][0] * sizes[i][1], wrong = 0, seen[10] = {0};
      int32_t *count = calloc((size_t)total + 1, sizeof *count);
      tg_dims dims = {.n = 2, .at = {{"M", sizes[i][0], ""}, {"N", sizes[i][1], ""}}};
      const tg_tensor tensors[] = {{.name = "seen", .data = seen}, {.name = "count", .data = count}};
      s.dims = &dims, s.ntensors = 2, s.tensors = tensors, s.threads = threads[t];
      CHECKF(tg_protect(ctx, launch, &s) == TG_OK, "%s", tg_error_message(ctx));
      for (int64_t b = 0; b < total; b++) wrong += count[b] != 1;
      CHECKF(wrong == 0, "%lld x %lld blocks, %d threads: %lld not run once", (long long)sizes[i][0], (long long)sizes[i][1], threads[t],
             (long long)wrong);
      if (total) {
        float f;
        double d;
        memcpy(&f, &seen[5], 4);
        memcpy(&d, &seen[9], 8);
        CHECK(seen[0] == sizes[i][0] && seen[1] == sizes[i][1] && seen[2] == 1 && seen[3] == 1);
        CHECK(seen[4] == 4 * sizes[i][0] - 1000 && f == 0.1f && seen[5] >> 32 == 0 && seen[6] == -3 && seen[7] == 0x3fc0 && seen[8] == -3 &&
              d == 0.1);
      }
      free(count);
    }
  }
  tg_dims dims = {.n = 2, .at = {{"M", 1, ""}, {"N", 1, ""}}};
  s.dims = &dims, s.ntensors = 0;
  CHECK(tg_protect(ctx, launch, &s) == TG_INVALID && strstr(tg_error_message(ctx), "'count'"));
  device->driver->unload(device, s.module);
}

static void traps(tg_context *ctx, tg_device *device, tg_arena *arena, tg_bytes object) {
  tg_record_launch launches[1] = {{.entry = "trap", .naxes = 1, .grid = {expr(arena, "M")}}};
  tg_record record = {.arena = arena, .kernel = "k", .nlaunches = 1, .launches = launches};
  struct step s = {.device = device, .record = &record, .object = object};
  CHECK(tg_protect(ctx, load, &s) == TG_OK);
  for (int threads = 1; threads < 4; threads++) {
    s.threads = threads;
    s.dims = &(tg_dims){.n = 1, .at = {{"M", 100, ""}}};
    CHECK(tg_protect(ctx, launch, &s) == TG_FAILED && strstr(tg_error_message(ctx), "block 7 says no") &&
          strstr(tg_error_message(ctx), "'k'"));
    CHECK_STR(printed, "values f32 1.5 i8[2] -2 5 range 0…8");
    s.dims = &(tg_dims){.n = 1, .at = {{"M", 7, ""}}};
    CHECK(tg_protect(ctx, launch, &s) == TG_OK);
  }
  device->driver->unload(device, s.module);
}

static int tag_of(tg_context *ctx, struct step *s) {
  int32_t tag = 0;
  const tg_tensor tensors[] = {{.name = "T", .data = &tag}};
  s->dims = &(tg_dims){0}, s->ntensors = 1, s->tensors = tensors, s->threads = 1;
  CHECK(tg_protect(ctx, launch, s) == TG_OK);
  return tag;
}

// Objects with the same names stay apart, also when one goes and another comes.
static void modules(tg_context *ctx, tg_device *device, tg_arena *arena) {
  tg_record_arg args[1] = {arg_of("T", TG_ARG_POINTER, TG_I64, NULL)};
  tg_record_launch launches[1] = {{.entry = "tagged", .naxes = 1, .grid = {expr(arena, "1")}, .nargs = 1, .args = args}};
  tg_record record = {.arena = arena, .kernel = "k", .nlaunches = 1, .launches = launches};
  struct step s[3];
  tg_bytes objects[3];
  for (int i = 0; i < 3; i++) objects[i] = compile(10 + i), s[i] = (struct step){.device = device, .record = &record, .object = objects[i]};
  CHECK(tg_protect(ctx, load, &s[0]) == TG_OK && tg_protect(ctx, load, &s[1]) == TG_OK);
  CHECK(tag_of(ctx, &s[0]) == 10 && tag_of(ctx, &s[1]) == 11);
  device->driver->unload(device, s[0].module);
  CHECK(tg_protect(ctx, load, &s[2]) == TG_OK);
  CHECK(tag_of(ctx, &s[2]) == 12 && tag_of(ctx, &s[1]) == 11);
  device->driver->unload(device, s[1].module);
  device->driver->unload(device, s[2].module);

  launches[0].entry = "absent";
  CHECK(tg_protect(ctx, load, &s[0]) == TG_FAILED && strstr(tg_error_message(ctx), "'absent'"));
  s[0].object.size /= 2;
  CHECK(tg_protect(ctx, load, &s[0]) == TG_FAILED);
  for (int i = 0; i < 3; i++) free(objects[i].data);
}

static void log_line(void *user, tg_log_level level, const char *text) {
  (void)user, (void)level;
  snprintf(printed, sizeof printed, "%s", text);
}

int main(void) {
  tg_context *ctx;
  tg_device *device;
  if (tg_context_new(&(tg_config){.log = log_line}, &ctx) != TG_OK || !mkdtemp(directory)) return 1;
  CHECK(tg_device_open(ctx, "warp-drive", &device) == TG_INVALID && strstr(tg_error_message(ctx), "cpu, interp"));
  CHECKF(tg_device_open(ctx, "cpu", &device) == TG_OK, "%s", tg_error_message(ctx));
  tg_arena arena;
  tg_arena_init(&arena, ctx);
  tg_bytes object = compile(1);
  blocks(ctx, device, &arena, object);
  traps(ctx, device, &arena, object);
  modules(ctx, device, &arena);
  free(object.data);
  tg_arena_free(&arena);
  tg_device_close(device);
  tg_context_free(ctx);
  char command[64];
  snprintf(command, sizeof command, "rm -r %s", directory);
  CHECK(system(command) == 0);
  return test_done();
}
