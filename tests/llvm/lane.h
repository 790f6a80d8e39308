// Lane kernels from text, compiled and opened in this process, for the tests of the llvm emitter.
#ifndef TG_TEST_LANE_H
#define TG_TEST_LANE_H
#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

#include "targets/finish.h"
#include "test.h"

typedef struct lane_code {
  void *module;
  char *text; // "llvm" or "asm"
  size_t size;
} lane_code;

typedef struct lane_call {
  tg_context *ctx;
  const char *text, *target, *want;
  tg_arena *arena;
  tg_kernel *kernel;
  tg_bytes out;
} lane_call;

static void lane_compile_body(void *arg) {
  lane_call *call = arg;
  tg_kernel *kernel = call->kernel = tg_parse(call->ctx, call->text, strlen(call->text), "test.lane");
  if (tg_verify(kernel)) tg_rethrow(call->ctx);
  const tg_family *family;
  const tg_machine *machine = tg_target_find(call->ctx, call->target, &family);
  tg_record *record = tg_record_make(call->arena, kernel, call->target);
  call->out = tg_finish_cpu(kernel, machine, call->want, call->arena, record);
}

// Bytes of the wanted form; fails the test with the message when `complain`.
static bool lane_compile(tg_context *ctx, tg_arena *arena, const char *target, const char *want, const char *text, tg_bytes *out) {
  lane_call call = {.ctx = ctx, .text = text, .target = target, .want = want, .arena = arena};
  const tg_status status = tg_protect(ctx, lane_compile_body, &call);
  tg_kernel_free(call.kernel);
  *out = call.out;
  return status == TG_OK;
}

// dlopens the compiled kernel; NULL (and a failed check) when it does not compile.
static void *lane_open(tg_context *ctx, const char *target, const char *text) {
  tg_arena arena;
  tg_arena_init(&arena, ctx);
  tg_bytes object;
  void *module = NULL;
  if (!lane_compile(ctx, &arena, target, "obj", text, &object)) {
    CHECKF(false, "%s: %s", target, tg_error_message(ctx));
  } else {
    const int fd = memfd_create("test", MFD_CLOEXEC);
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    CHECK(write(fd, object.data, object.size) == (ssize_t)object.size);
    module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    CHECKF(module, "%s", dlerror());
    close(fd);
  }
  tg_arena_free(&arena);
  return module;
}

__attribute__((unused)) static tg_cpu_entry *lane_entry(void *module, const char *name) {
  tg_cpu_entry *entry = NULL;
  if (module) *(void **)&entry = dlsym(module, name);
  CHECKF(entry, "no entry %s", name);
  return entry;
}

// The targets whose code runs on this machine.
__attribute__((unused)) static int lane_targets(const char *out[4]) {
  int n = 0;
  out[n++] = "cpu:generic";
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) out[n++] = "cpu:avx2";
  if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
    out[n++] = "cpu:avx512";
  out[n++] = "cpu";
  return n;
}

#endif
