// Device cuda:N through a libcuda that keeps books: what a driver can answer at every call of every function, kernels that end the context,
// several devices, several threads. The library ends the program with an exit status of its own when anything is left or misused.
#include <pthread.h>

#include "cuda/use_fake.h"
#include "tegula/tegula.h"
#include "test.h"

enum { M = 5, N = 33, LAUNCHES = 2, SENTENCE = 4096 };
static const char script[] =
    "local tg <const> = require 'tegula'\n"
    "return tg.kernel('twice', function(k)\n"
    "  local M, N = k.dim 'M', k.dim 'N'\n"
    "  local X, O = k.input('X', tg.f32, M, N), k.output('O', tg.f32, M, N)\n"
    "  local a, S = k.scalar('a', tg.f32), k.workspace('S', tg.f32, M, { zero = true })\n"
    "  k.blocks(M:by(4), function(m)\n"
    "    S[{m}] = S[{m}] + N:by(16):fold(tg.zeros(tg.f32, 4, 1), function(s, n) return s + X[{m, n}]:rsum(2) end):reshape(4)\n"
    "  end)\n"
    "  k.blocks(M:by(4), N:by(16), function(m, n) O[{m, n}] = X[{m, n}] * a + S[{m}]:reshape(4, 1) end)\n"
    "end)\n";

static char directory[] = "/tmp/tegula-cuda-XXXXXX", file[64], database[64];

static void log_warning(void *user, tg_log_level level, const char *text) {
  (void)text;
  if (level == TG_LOG_WARNING) ++*(int *)user;
}

static tg_context *new_context(int *warnings) {
  tg_context *ctx;
  const tg_config config = {.root = ROOT_DIR,
                            .cache_dir = directory,
                            .database = database,
                            .worker = BUILD_DIR "/tegula-worker",
                            .log = log_warning,
                            .user = warnings};
  if (tg_context_new(&config, &ctx)) abort();
  return ctx;
}

typedef struct scene { // all that the driver does, with what is right
  tg_context *ctx;
  tg_source *source;
  tg_device *device;
  tg_buffer *x, *o;
  tg_array *in, *out;
  tg_launchable *l;
} scene;

static void fill(tg_array *in) {
  for (int i = 0; i < M * N; i++) tg_array_set(in, i, (i * 7) % 31 - 11);
}

static int wrong(const tg_array *in, const tg_array *out, double a) {
  int n = 0;
  for (int i = 0; i < M; i++) {
    double sum = 0;
    for (int j = 0; j < N; j++) sum += tg_array_get(in, i * N + j);
    for (int j = 0; j < N; j++) n += tg_array_get(out, i * N + j) != tg_array_get(in, i * N + j) * a + sum;
  }
  return n;
}

static tg_status play(scene *s, const char *name) {
  const int64_t dim[] = {M, N};
  const tg_dtype f32 = tg_dtype_find("f32");
  double seconds[LAUNCHES] = {-1, -1};
  tg_status status = tg_device_open(s->ctx, name, &s->device);
  if (!status) status = tg_source_load(s->ctx, file, &s->source);
  if (!status) status = tg_array_new(s->ctx, f32, 2, dim, &s->in);
  if (!status) status = tg_array_new(s->ctx, f32, 2, dim, &s->out);
  if (!status) fill(s->in);
  if (!status) status = tg_buffer_new(s->device, f32, 2, dim, &s->x);
  if (!status) status = tg_buffer_new(s->device, f32, 2, dim, &s->o);
  if (!status) status = tg_buffer_write(s->x, s->in);
  const tg_argument args[] = {{.name = "X", .buffer = s->x}, {.name = "a", .number = 3}, {.name = "O", .buffer = s->o}};
  if (!status) status = tg_prepare(s->device, s->source, &(tg_run_options){0}, 3, args, &s->l);
  if (!status) status = tg_launchable_run(s->l, LAUNCHES, seconds);
  if (!status) status = tg_launchable_run(s->l, 1, NULL);
  if (!status) status = tg_buffer_read(s->o, s->out);
  if (!status) CHECK(seconds[0] > 0 && seconds[1] > 0 && wrong(s->in, s->out, 3) == 0);
  return status;
}

static void leave(scene *s) {
  tg_launchable_free(s->l);
  tg_buffer_free(s->x), tg_buffer_free(s->o);
  tg_array_free(s->ctx, s->in), tg_array_free(s->ctx, s->out);
  tg_source_free(s->source);
  tg_device_close(s->device);
  tg_context_free(s->ctx);
}

// ---- every call of every function, told to fail

static bool gives_back(const char *function) {
  return strstr(function, "Free") || strstr(function, "Unload") || strstr(function, "Destroy") || strstr(function, "Release");
}

// The result is some error of the function's own, or one that ends the context. What is begun is let go of, what is said names the device
// or the library; letting go itself only warns.
static bool fails_at(const char *function, int call, int result) {
  char told[128];
  int warnings = 0;
  snprintf(told, sizeof told, "%s:%d:%d", function, call, result);
  setenv("FAKE_CUDA_FAIL", told, 1);
  scene s = {.ctx = new_context(&warnings)};
  const tg_status status = play(&s, "cuda:0");
  const char *said = status ? tg_error_message(s.ctx) : "";
  char sentence[SENTENCE];
  snprintf(sentence, sizeof sentence, "%s", said);
  leave(&s);
  unsetenv("FAKE_CUDA_FAIL");
  if (!status && !warnings) return false; // it was not called so often
  if (gives_back(function) && !status) return true;
  CHECKF(status && strstr(sentence, "cuda:0") && strstr(sentence, "CUDA_ERROR_"), "%s: status %d, '%s'", told, status, sentence);
  return true;
}

static void every_call(void) {
  static const char *const functions[] = {
#define FUNCTION(field, name, older, need, arguments) older ? older : name,
#include "targets/cuda/functions.def"
#undef FUNCTION
  };
  static const int results[] = {1, 700};
  int reached = 0;
  for (size_t f = 0; f < sizeof functions / sizeof *functions; f++) {
    const bool library = !strncmp(functions[f], "cuGetError", 10) || !strcmp(functions[f], "cuMemGetInfo_v2");
    for (int r = 0; r < 2 && !library; r++) {
      int call = 1;
      while (call < 60 && fails_at(functions[f], call, results[r])) call++;
      reached += call > 1;
      CHECKF(call < 60, "%s has no end", functions[f]);
    }
  }
  CHECKF(reached >= 46, "%d functions failed in turn", reached);
}

// ---- what ends the context

static void lost(void) {
  int warnings = 0;
  scene s = {.ctx = new_context(&warnings)};
  setenv("FAKE_CUDA_FAIL", "cuStreamSynchronize:2:700", 1); // the first is the input's copy
  CHECK(play(&s, "cuda:0") == TG_FAILED);
  const char *said = tg_error_message(s.ctx);
  CHECKF(strstr(said, "kernel 'twice' ended with CUDA_ERROR_ILLEGAL_ADDRESS (an illegal memory access was encountered)"), "%s", said);
  unsetenv("FAKE_CUDA_FAIL");
  CHECK(tg_launchable_run(s.l, 1, NULL) == TG_FAILED);
  said = tg_error_message(s.ctx);
  CHECKF(strstr(said, "device 'cuda:0' cannot be used any more by this process: kernel 'twice' ended with"), "%s", said);
  CHECK(tg_buffer_read(s.o, s.out) == TG_FAILED);
  leave(&s);
  CHECKF(warnings == 0, "%d warnings", warnings);
}

// Another open device of the process finds the context gone, and cannot know the kernel.
static void lost_by_another(void) {
  int warnings = 0;
  scene a = {.ctx = new_context(&warnings)}, b = {.ctx = new_context(&warnings)};
  CHECK(play(&b, "cuda:0") == TG_OK);
  setenv("FAKE_CUDA_FAIL", "cuStreamSynchronize:2:719", 1);
  CHECK(play(&a, "cuda:0") == TG_FAILED);
  unsetenv("FAKE_CUDA_FAIL");
  CHECK(tg_buffer_read(b.o, b.out) == TG_FAILED);
  const char *said = tg_error_message(b.ctx);
  CHECKF(strstr(said, "CUDA_ERROR_LAUNCH_FAILED (unspecified launch failure), left by an earlier kernel of this process"), "%s", said);
  leave(&a), leave(&b);
}

static void no_memory(void) {
  int warnings = 0;
  scene s = {.ctx = new_context(&warnings)};
  CHECK(tg_device_open(s.ctx, "cuda:0", &s.device) == TG_OK);
  CHECK(tg_buffer_new(s.device, tg_dtype_find("f32"), 1, (int64_t[]){(int64_t)1 << 40}, &s.x) == TG_NO_MEMORY);
  const char *said = tg_error_message(s.ctx);
  CHECKF(strstr(said, "cuda:0 has no memory for a tensor of 4398046511104 bytes: 8589934592 of 8589934592 bytes are free"), "%s", said);
  CHECK(tg_buffer_new(s.device, tg_dtype_find("f32"), 1, (int64_t[]){0}, &s.x) == TG_OK); // nothing is something to hold
  leave(&s);
}

// ---- several

static void two_devices(void) {
  int warnings = 0;
  scene a = {.ctx = new_context(&warnings)}, b = {.ctx = new_context(&warnings)};
  CHECKF(play(&a, "cuda:0") == TG_OK, "%s", tg_error_message(a.ctx));
  CHECKF(play(&b, "cuda:1") == TG_OK, "%s", tg_error_message(b.ctx));
  CHECKF(tg_launchable_run(a.l, 1, NULL) == TG_OK, "%s", tg_error_message(a.ctx)); // the other's context was current
  CHECKF(tg_buffer_read(a.o, a.out) == TG_OK && wrong(a.in, a.out, 3) == 0, "%s", tg_error_message(a.ctx));
  tg_device *other;
  CHECK(tg_device_open(a.ctx, "cuda:1", &other) == TG_OK);
  tg_argument args[] = {{.name = "X", .buffer = a.x}, {.name = "a", .number = 3}, {.name = "O", .array = a.out}};
  CHECK(tg_run(other, a.source, &(tg_run_options){0}, 3, args, false) == TG_INVALID);
  CHECKF(strstr(tg_error_message(a.ctx), "is a buffer of another device ('cuda:0', the kernel runs on 'cuda:1')"), "%s",
         tg_error_message(a.ctx));
  tg_device_close(other);
  leave(&a), leave(&b);
}

static void *one_thread(void *name) {
  int warnings = 0;
  for (int i = 0; i < 4; i++) {
    scene s = {.ctx = new_context(&warnings)};
    const tg_status status = play(&s, name);
    if (status) fprintf(stderr, "%s\n", tg_error_message(s.ctx));
    leave(&s);
    if (status) return name;
  }
  return NULL;
}

static void several_threads(void) {
  static const char *const devices[] = {"cuda:0", "cuda:1", "cuda:0"};
  pthread_t threads[3];
  for (int i = 0; i < 3; i++) CHECK(pthread_create(&threads[i], NULL, one_thread, (void *)(uintptr_t)devices[i]) == 0);
  for (int i = 0; i < 3; i++) {
    void *failed;
    CHECK(pthread_join(threads[i], &failed) == 0 && !failed);
  }
}

int main(void) {
  use_fake();
  setenv("FAKE_CUDA_DEVICES", "NVIDIA A100-SXM4-40GB:8.0,NVIDIA A100-SXM4-40GB:8.0", 1);
  if (!mkdtemp(directory)) return 1;
  snprintf(file, sizeof file, "%s/twice.lua", directory);
  snprintf(database, sizeof database, "%s/db.jsonl", directory);
  FILE *f = fopen(file, "wb");
  fputs(script, f);
  fclose(f);
  every_call();
  lost(), lost_by_another(), no_memory();
  two_devices(), several_threads();
  char command[64];
  snprintf(command, sizeof command, "rm -rf %s", directory);
  CHECK(system(command) == 0);
  return test_done();
}
