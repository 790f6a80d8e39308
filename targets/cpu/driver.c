// The host as a device: shared objects through dlopen, blocks on OpenMP threads.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <math.h>
#include <omp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "targets/cpu/spread.h"
#include "targets/target.h"

enum { PAGE = 4096, HUGE = 2 << 20, MAX_THREADS = 1024 };
// Seconds of a launch below which its threads stay where the kernel wakes them: moving one costs tenths of a millisecond when it wakes a
// virtual CPU.
static const double SHORT = 5e-4;

typedef struct cpu_state {
  void *scratch; // one piece per worker, kept from launch to launch
  size_t scratch_size;
  bool spread; // may threads be moved?
} cpu_state;

typedef struct cpu_module {
  void *handle;
  int fd; // kept open: the loader tells objects apart by path, and the path of a closed descriptor would come again
  tg_cpu_entry **entries;
  uint64_t *args;  // slots of the launch at hand
  double *seconds; // that each launch took last, 0 = none yet
} cpu_module;

// ---- the device

static const char *processor_name(tg_context *ctx) {
#if defined(__x86_64__)
  unsigned words[12] = {0};
  bool known = true;
  for (unsigned i = 0; i < 3; i++)
    known &= __get_cpuid(0x80000002 + i, &words[4 * i], &words[4 * i + 1], &words[4 * i + 2], &words[4 * i + 3]) != 0;
  const char *name = tg_arena_strndup(&ctx->arena, (const char *)words, sizeof words);
  while (*name == ' ') name++;
  if (known && *name) return name;
#endif
  return tg_arena_strdup(&ctx->arena, "processor");
}

static int cpu_enumerate(tg_context *ctx, tg_device_info *out, int max) {
  if (max < 1) return 0;
  const char *text =
      tg_arena_printf(&ctx->arena, "%s, %d threads, %s", processor_name(ctx), omp_get_num_procs(), tg_machine_host(ctx)->name);
  out[0] = (tg_device_info){.name = "cpu", .family = "cpu", .target = "cpu", .description = text, .available = true};
  return 1;
}

static void cpu_open(tg_device *device, const char *name) {
  (void)name;
  device->target = "cpu";
  device->state = tg_realloc(device->ctx, NULL, sizeof(cpu_state));
  *(cpu_state *)device->state = (cpu_state){.spread = tg_spread_allowed()};
}

static void cpu_close(tg_device *device) {
  cpu_state *state = device->state;
  if (state->scratch) munmap(state->scratch, state->scratch_size);
  tg_realloc(device->ctx, state, 0);
}

static void *cpu_alloc(tg_device *device, size_t bytes) {
  void *memory;
  if (posix_memalign(&memory, bytes >= HUGE ? HUGE : 64, bytes ? bytes : 64) != 0) {
    tg_throw(device->ctx, TG_NO_MEMORY, "no memory for a tensor of %zu bytes", bytes);
  }
  if (bytes >= HUGE) madvise(memory, bytes / HUGE * HUGE, MADV_HUGEPAGE); // a hint: fewer misses of the address cache
  return memory;
}

static void cpu_free(tg_device *device, void *memory) {
  (void)device;
  free(memory);
}

static void cpu_copy(tg_device *device, void *to, const void *from, size_t bytes) {
  (void)device;
  if (bytes) memcpy(to, from, bytes);
}

static void cpu_zero(tg_device *device, void *memory, size_t bytes) {
  (void)device;
  if (bytes) memset(memory, 0, bytes);
}

static void cpu_sync(tg_device *device) { (void)device; }

// ---- modules

static bool write_all(int fd, tg_bytes object) {
  const char *at = object.data;
  for (size_t left = object.size; left;) {
    ssize_t n = write(fd, at, left);
    if (n <= 0) return false;
    at += n;
    left -= (size_t)n;
  }
  return true;
}

// The loader maps segments without looking at the file's size; a cut-off object would end the process with a bus error.
static bool is_whole(tg_bytes object) {
  ElfW(Ehdr) head;
  if (object.size < sizeof head) return false;
  memcpy(&head, object.data, sizeof head);
  if (memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 || head.e_phentsize != sizeof(ElfW(Phdr))) return false;
  if (head.e_phoff > object.size || head.e_phnum > (object.size - head.e_phoff) / sizeof(ElfW(Phdr))) return false;
  for (int i = 0; i < head.e_phnum; i++) {
    ElfW(Phdr) segment;
    memcpy(&segment, (const char *)object.data + head.e_phoff + (size_t)i * sizeof segment, sizeof segment);
    if (segment.p_offset > object.size || segment.p_filesz > object.size - segment.p_offset) return false;
  }
  return true;
}

// An anonymous file where the system has them and lets them be executed, else a file in the cache directory that is unlinked once loaded.
static bool load_anonymous(cpu_module *module, tg_bytes object) {
  module->fd = memfd_create("tegula", MFD_CLOEXEC);
  if (module->fd < 0) return false;
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", module->fd);
  if (write_all(module->fd, object)) module->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (module->handle) return true;
  close(module->fd);
  module->fd = -1;
  return false;
}

static void load_file(tg_context *ctx, cpu_module *module, tg_bytes object) {
  char path[4096];
  snprintf(path, sizeof path, "%s/module-XXXXXX", ctx->config.cache_dir ? ctx->config.cache_dir : "/tmp");
  module->fd = mkostemp(path, O_CLOEXEC);
  if (module->fd < 0) {
    snprintf(path, sizeof path, "/tmp/tegula-module-XXXXXX");
    module->fd = mkostemp(path, O_CLOEXEC);
  }
  if (module->fd < 0) tg_throw(ctx, TG_FAILED, "cannot make a file to load the compiled kernel from, neither in memory nor in /tmp: %m");
  bool written = write_all(module->fd, object);
  if (written) module->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  int problem = errno;
  unlink(path);
  if (!written) tg_throw(ctx, TG_FAILED, "cannot write the compiled kernel to %s: %s", path, strerror(problem));
  if (!module->handle) tg_throw(ctx, TG_FAILED, "cannot load the compiled kernel: %s", dlerror());
}

struct load_call {
  tg_context *ctx;
  const tg_record *record;
  tg_bytes object;
  cpu_module *module;
};

static void load_body(void *arg) {
  struct load_call *call = arg;
  cpu_module *module = call->module;
  const tg_record *record = call->record;
  int nargs = 0;
  for (int i = 0; i < record->nlaunches; i++) nargs = record->launches[i].nargs > nargs ? record->launches[i].nargs : nargs;
  module->entries = tg_realloc(call->ctx, NULL, sizeof *module->entries * (size_t)(record->nlaunches + 1));
  module->args = tg_realloc(call->ctx, NULL, sizeof *module->args * (size_t)(nargs + 1));
  module->seconds = tg_realloc(call->ctx, NULL, sizeof *module->seconds * (size_t)(record->nlaunches + 1));
  for (int i = 0; i < record->nlaunches; i++) module->seconds[i] = 0;
  if (!is_whole(call->object)) tg_throw(call->ctx, TG_FAILED, "the compiled kernel '%s' is not a whole shared object", record->kernel);
  if (!load_anonymous(module, call->object)) load_file(call->ctx, module, call->object);
  for (int i = 0; i < record->nlaunches; i++) {
    void *entry = dlsym(module->handle, record->launches[i].entry);
    if (!entry) tg_throw(call->ctx, TG_FAILED, "the compiled kernel '%s' has no entry '%s'", record->kernel, record->launches[i].entry);
    memcpy(&module->entries[i], &entry, sizeof entry);
  }
}

static void cpu_unload(tg_device *device, void *code) {
  cpu_module *module = code;
  if (module->handle) dlclose(module->handle);
  if (module->fd >= 0) close(module->fd);
  tg_realloc(device->ctx, module->entries, 0);
  tg_realloc(device->ctx, module->args, 0);
  tg_realloc(device->ctx, module->seconds, 0);
  tg_realloc(device->ctx, module, 0);
}

static void *cpu_load(tg_device *device, const tg_record *record, tg_bytes object) {
  cpu_module *module = tg_realloc(device->ctx, NULL, sizeof *module);
  *module = (cpu_module){.fd = -1};
  struct load_call call = {device->ctx, record, object, module};
  if (tg_protect(device->ctx, load_body, &call) != TG_OK) {
    cpu_unload(device, module);
    tg_rethrow(device->ctx);
  }
  return module;
}

// ---- launching

// Scratch of `threads` workers, `stride` bytes apart. Huge pages: scratch holds packed operands that are swept over and over.
static char *scratch(tg_device *device, int threads, size_t stride) {
  cpu_state *state = device->state;
  size_t need = stride * (size_t)threads + HUGE;
  if (state->scratch_size < need) {
    if (state->scratch) munmap(state->scratch, state->scratch_size);
    *state = (cpu_state){.spread = state->spread};
    void *memory = mmap(NULL, need, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
      tg_throw(device->ctx, TG_NO_MEMORY, "no memory for %zu bytes of scratch for each of %d threads", stride, threads);
    state->scratch = memory;
    state->scratch_size = need;
    madvise(memory, need, MADV_HUGEPAGE);
  }
  return (char *)(((uintptr_t)state->scratch + HUGE - 1) / HUGE * HUGE);
}

typedef struct sweep { // one launch over its blocks
  tg_context *ctx;
  tg_cpu_entry *entry;
  const uint64_t *args;
  const int64_t *grid;
  int64_t blocks;
  int threads;
  char *scratch;
  size_t stride;
  _Atomic int64_t next;
  _Atomic(const char *) trap;
  tg_spread spread;
} sweep;

static void print(void *user, const char *text, const char *types, const uint64_t *slots) {
  sweep *s = user;
  char line[2048];
  size_t used = (size_t)snprintf(line, sizeof line, "%s", text);
  if (used >= sizeof line) used = sizeof line - 1;
  const char *end = types + strlen(types);
  for (tg_type type; types < end && tg_type_parse(&types, end, &type); types += types < end ? 2 : 0) { // ", "
    used = tg_print_value(line, used, sizeof line, type, slots);
    slots += tg_printed_slots(type);
  }
#pragma omp critical(tegula_print)
  tg_log(s->ctx, TG_LOG_INFO, "%s", line);
}

// Takes runs of consecutive blocks off the front, half of an even share of what is left: long runs reuse what the kernel packed for the
// last block, short last runs even out the finish. Which worker runs a block never changes its result.
static void work(sweep *s, int worker) {
  const tg_cpu_hooks hooks = {s, print};
  int home = -1;
  int64_t first = atomic_load(&s->next);
  while (first < s->blocks && !atomic_load(&s->trap)) {
    int64_t run = (s->blocks - first) / (2 * s->threads);
    if (run < 1) run = 1;
    tg_spread_here(&s->spread, &home);
    if (!atomic_compare_exchange_weak(&s->next, &first, first + run)) continue;
    const char *text = s->entry(s->args, s->grid, first, first + run, s->scratch + s->stride * (size_t)worker, &hooks);
    const char *none = NULL;
    if (text) atomic_compare_exchange_strong(&s->trap, &none, text);
    first = atomic_load(&s->next);
  }
}

static void run(sweep *s) {
  if (s->threads > 1) {
#pragma omp parallel num_threads(s->threads)
    work(s, omp_get_thread_num());
  } else {
    const tg_cpu_hooks hooks = {s, print};
    s->trap = s->entry(s->args, s->grid, 0, s->blocks, s->scratch, &hooks);
  }
}

static void cpu_launch(tg_device *device, void *code, const tg_record *record, const tg_dims *dims, int ntensors, const tg_tensor *tensors,
                       bool (*scalar)(void *user, const char *name, double *value), void *user, int threads) {
  cpu_module *module = code;
  tg_context *ctx = device->ctx;
  if (threads <= 0) threads = omp_get_max_threads();
  if (threads > MAX_THREADS) threads = MAX_THREADS;
  tg_record_check_views(ctx, record, dims);
  size_t stride = ((size_t)record->scratch_bytes + PAGE - 1) / PAGE * PAGE;
  for (int i = 0; i < record->nlaunches; i++) {
    const tg_record_launch *launch = &record->launches[i];
    int64_t grid[4];
    sweep s = {.ctx = ctx, .entry = module->entries[i], .args = module->args, .grid = grid, .stride = stride};
    s.blocks = tg_record_grid(ctx, launch, dims, grid);
    if (s.blocks == 0) continue;
    s.threads = s.blocks < threads ? (int)s.blocks : threads;
    s.scratch = scratch(device, s.threads, stride);
    const tg_record_values values = {dims, ntensors, tensors, scalar, user};
    for (int j = 0; j < launch->nargs; j++) module->args[j] = tg_record_slot(ctx, &launch->args[j], &values);
    bool brief = module->seconds[i] > 0 && module->seconds[i] < SHORT;
    if (((cpu_state *)device->state)->spread && !brief) s.spread.threads = s.threads;
    double start = tg_seconds();
    run(&s);
    module->seconds[i] = tg_seconds() - start;
    if (s.trap) tg_throw(ctx, TG_FAILED, "kernel '%s', launch %d ('%s') stopped: %s", record->kernel, i, launch->entry, s.trap);
  }
}

const tg_driver tg_driver_cpu = {
    .family = "cpu",
    .doc = "this machine's processor",
    .form = "obj",
    .enumerate = cpu_enumerate,
    .open = cpu_open,
    .close = cpu_close,
    .alloc = cpu_alloc,
    .free = cpu_free,
    .copy_in = cpu_copy,
    .copy_out = cpu_copy,
    .zero = cpu_zero,
    .load = cpu_load,
    .unload = cpu_unload,
    .launch = cpu_launch,
    .sync = cpu_sync,
};
