// label: long
// AArch64 objects under qemu-user, against the interpreter. Says so and passes where qemu-aarch64-static (or qemu-aarch64) or the cross
// compiler aarch64-linux-gnu-gcc is missing.
#include <fcntl.h>
#include <math.h>
#include <sys/mman.h>
#include <unistd.h>

#include "targets/finish.h"
#include "test.h"

static tg_context *ctx;
static char dir[] = "/tmp/tegula-aarch64-XXXXXX";
static const char *qemu;

typedef struct trial {
  const char *kernel;
  tg_binding shape[4]; // ends with a NULL name
  tg_arena arena;
  tg_record *record;
  tg_product product;
  tg_dims dims;
  int n;
  tg_tensor tensors[16];
  size_t offset[16];
  char *memory; // all tensors, in the file that the runner maps
  size_t bytes;
} trial;

static int shell(const char *format, ...) {
  char command[4096];
  va_list args;
  va_start(args, format);
  vsnprintf(command, sizeof command, format, args);
  va_end(args);
  return system(command);
}

static tg_bindings shape_of(const trial *t) {
  int n = 0;
  while (n < 4 && t->shape[n].name) n++;
  return (tg_bindings){n, t->shape};
}

// The first variant that these shapes admit.
static void compile(trial *t) {
  tg_source *source;
  tg_kernel *tile;
  const tg_bindings none = {0}, shape = shape_of(t);
  if (tg_source_load(ctx, t->kernel, &source)) tg_rethrow(ctx);
  const tg_status status = tg_source_trace(source, &none, &none, &tile);
  tg_source_free(source);
  if (status) tg_rethrow(ctx);
  tg_job job = {.target = "cpu:aarch64", .want = "obj"};
  job.ir = tg_print(&t->arena, tile, &job.ir_size);
  tg_kernel_free(tile);
  do {
    tg_compile_here(ctx, &job, &t->arena, &t->product);
    t->record = tg_record_from_json(ctx, &t->arena, t->product.record, t->product.record_size);
    tg_dims_solve(ctx, t->record, 0, NULL, &shape, &t->dims);
  } while (!tg_record_admits(t->record, &t->dims, 0, NULL) && ++job.variant < t->product.variants);
  char file[128];
  snprintf(file, sizeof file, "%s/kernel.so", dir);
  FILE *f = fopen(file, "wb");
  CHECK(f && fwrite(t->product.bytes.data, 1, t->product.bytes.size, f) == t->product.bytes.size && !fclose(f));
}

// Places every tensor in the file, 64-byte aligned; inputs get numbers, outputs and workspaces zeros.
static void place(trial *t) {
  const tg_record *r = t->record;
  for (int i = 0; i < r->nparams; i++) {
    const tg_record_param *p = &r->params[i];
    if (p->kind == TG_SCALAR_PARAM) continue;
    tg_tensor *x = &t->tensors[t->n];
    *x = (tg_tensor){.name = p->name, .dtype = p->dtype, .rank = p->rank};
    x->bytes = tg_record_bytes(ctx, p, &t->dims, x->dim);
    t->offset[t->n++] = t->bytes;
    t->bytes += (x->bytes + 127) / 64 * 64;
  }
  char file[128];
  snprintf(file, sizeof file, "%s/memory", dir);
  const int fd = open(file, O_RDWR | O_CREAT | O_TRUNC, 0600);
  CHECK(fd >= 0 && ftruncate(fd, (off_t)t->bytes) == 0);
  t->memory = mmap(NULL, t->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  CHECK(t->memory != MAP_FAILED);
  close(fd);
  for (int i = 0; i < t->n; i++) t->tensors[i].data = t->memory + t->offset[i];
}

static bool is_input(const trial *t, int i) { return tg_record_param_find(t->record, t->tensors[i].name)->kind == TG_INPUT; }

static void launch(const trial *t, const tg_record_launch *launch) {
  char args[4096] = "";
  size_t used = 0;
  int64_t grid[4] = {1, 1, 1, 1};
  const int64_t blocks = tg_record_grid(ctx, launch, &t->dims, grid);
  for (int i = 0; i < launch->nargs; i++) {
    const tg_record_arg *a = &launch->args[i];
    uint64_t value = 0;
    if (a->kind == TG_ARG_POINTER) {
      for (int k = 0; k < t->n; k++)
        if (!strcmp(t->tensors[k].name, a->name)) value = t->offset[k];
    } else {
      value = a->value ? (uint64_t)tg_record_eval(ctx, a->value, &t->dims, a->name) : tg_encode(a->dtype, 1e-6, TG_ROUND_IEEE);
    }
    used += (size_t)snprintf(args + used, sizeof args - used, " %c%llu", a->kind == TG_ARG_POINTER ? 'p' : 's', (unsigned long long)value);
  }
  CHECK(shell("%s -L /usr/aarch64-linux-gnu %s/run %s/kernel.so %s %s/memory %lld %lld %lld %lld %lld %lld%s", qemu, dir, dir,
              launch->entry, dir, (long long)blocks, (long long)t->record->scratch_bytes, (long long)grid[0], (long long)grid[1],
              (long long)grid[2], (long long)grid[3], args) == 0);
}

// The same call on the interpreter; every element within one step of the dtype, or 2^-16 of the largest for sums in another order.
static void compare(const trial *t) {
  tg_array *arrays[16];
  tg_argument args[17];
  int n = 0;
  for (int i = 0; i < t->n; i++) {
    const tg_tensor *x = &t->tensors[i];
    if (tg_record_param_find(t->record, x->name)->kind == TG_WORKSPACE) continue;
    if (tg_array_new(ctx, x->dtype, x->rank, x->dim, &arrays[n])) tg_rethrow(ctx);
    if (is_input(t, i)) memcpy(arrays[n]->data, x->data, x->bytes);
    args[n] = (tg_argument){.name = x->name, .array = arrays[n]};
    n++;
  }
  const int tensors = n;
  for (int i = 0; i < t->record->nparams; i++)
    if (t->record->params[i].kind == TG_SCALAR_PARAM) args[n++] = (tg_argument){.name = t->record->params[i].name, .number = 1e-6};
  tg_device *device;
  tg_source *source;
  if (tg_device_open(ctx, "interp", &device) || tg_source_load(ctx, t->kernel, &source)) tg_rethrow(ctx);
  CHECKF(tg_run(device, source, &(tg_run_options){0}, n, args, false) == TG_OK, "%s: %s", t->kernel, tg_error_message(ctx));
  for (int k = 0, at = 0; k < t->n && at < tensors; k++) {
    const tg_tensor *x = &t->tensors[k];
    if (strcmp(x->name, args[at].name)) continue;
    tg_array *want = arrays[at++], got = *want;
    if (is_input(t, k)) continue;
    got.data = x->data;
    const double step = ldexp(1, -tg_dtypes[x->dtype].man);
    double top = 0;
    int64_t elements = 1, bad = 0;
    for (int d = 0; d < x->rank; d++) elements *= x->dim[d];
    for (int64_t i = 0; i < elements; i++) top = fmax(top, fabs(tg_array_get(want, i)));
    for (int64_t i = 0; i < elements; i++) {
      const double a = tg_array_get(&got, i), b = tg_array_get(want, i);
      bad += !(fabs(a - b) <= step * fabs(b) + ldexp(top, -16));
    }
    CHECKF(bad == 0 && top > 0, "%s: %lld of %lld elements of %s differ", t->kernel, (long long)bad, (long long)elements, x->name);
  }
  for (int i = 0; i < tensors; i++) tg_array_free(ctx, arrays[i]);
  tg_source_free(source);
  tg_device_close(device);
}

static void trial_body(void *arg) {
  trial *t = arg;
  compile(t);
  place(t);
  for (int i = 0; i < t->n; i++) {
    tg_tensor *x = &t->tensors[i];
    if (!is_input(t, i)) continue;
    tg_array a = {.dtype = x->dtype, .rank = x->rank, .data = x->data};
    int64_t elements = 1;
    for (int d = 0; d < x->rank; d++) elements *= x->dim[d];
    for (int64_t k = 0; k < elements; k++) tg_array_set(&a, k, (double)((k * 7919 + i * 104729) % 2003) / 1001.5 - 1 + 1e-3);
  }
  for (int i = 0; i < t->record->nlaunches; i++) launch(t, &t->record->launches[i]);
  compare(t);
}

static bool has_tools(void) {
  const char *names[] = {"qemu-aarch64-static", "qemu-aarch64"};
  for (int i = 0; i < 2 && !qemu; i++)
    if (shell("command -v %s >/dev/null", names[i]) == 0) qemu = names[i];
  return qemu && shell("aarch64-linux-gnu-gcc -O1 -o %s/run '%s/llvm/aarch64_run.c' -ldl 2>/dev/null", dir, TESTS_DIR) == 0;
}

int main(void) {
  if (!mkdtemp(dir) || tg_context_new(&(tg_config){.root = ROOT_DIR, .cache_dir = dir}, &ctx) != TG_OK) return 1;
  static trial trials[] = {
      {.kernel = "rmsnorm", .shape = {{"T", "17"}, {"H", "300"}}},
      {.kernel = "swiglu", .shape = {{"T", "5"}, {"I", "129"}}},
      {.kernel = "gemm_f32", .shape = {{"M", "33"}, {"N", "65"}, {"K", "70"}}},
      {.kernel = "gemm_f32", .shape = {{"M", "128"}, {"N", "128"}, {"K", "64"}}},
      {.kernel = "gemm_bf16", .shape = {{"M", "33"}, {"N", "65"}, {"K", "70"}}},
      {.kernel = "gemm_fp8", .shape = {{"M", "17"}, {"N", "129"}, {"K", "256"}}},
      {.kernel = "gemm_fp8", .shape = {{"M", "1"}, {"N", "128"}, {"K", "128"}}},
      {.kernel = "quantize_rows", .shape = {{"M", "17"}, {"K", "256"}}},
      {.kernel = "swiglu_quantize", .shape = {{"T", "17"}, {"I", "256"}}},
  };
  const bool tools = has_tools();
  if (!tools) printf("skipped: qemu-aarch64-static or aarch64-linux-gnu-gcc is missing\n");
  for (size_t i = 0; tools && i < sizeof trials / sizeof *trials; i++) {
    trial *t = &trials[i];
    tg_arena_init(&t->arena, ctx);
    CHECKF(tg_protect(ctx, trial_body, t) == TG_OK, "%s: %s", t->kernel, tg_error_message(ctx));
    if (t->memory) munmap(t->memory, t->bytes);
    tg_arena_free(&t->arena);
  }
  tg_context_free(ctx);
  CHECK(shell("rm -rf %s", dir) == 0);
  return test_done();
}
