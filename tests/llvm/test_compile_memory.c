// An allocator that refuses the n-th request, for many n, while a kernel is traced, simplified, lowered and compiled in this process: an
// error that says so or success, never a crash, and everything is given back (LLVM's own objects too: the sanitizer build looks for them).
#include "tegula/tegula.h"
#include "test.h"

typedef struct hostile {
  long requests, refuse_at; // 0 = never
  long live;
} hostile;

static void *allocate(void *user, void *ptr, size_t size) {
  hostile *h = user;
  if (size == 0) {
    if (ptr) h->live--;
    free(ptr);
    return NULL;
  }
  if (++h->requests == h->refuse_at) return NULL;
  void *p = realloc(ptr, size);
  if (p && !ptr) h->live++;
  return p;
}

typedef struct work {
  const char *kernel, *target, *form;
  int samples;
} work;

static tg_status compile(tg_context *ctx, const work *w) {
  tg_source *source = NULL;
  tg_artifact *artifact = NULL;
  const void *data;
  size_t size;
  const tg_compile_options options = {.target = w->target, .no_cache = true};
  tg_status status = tg_embed_llvm(ctx);
  if (status == TG_OK) status = tg_source_load(ctx, w->kernel, &source);
  if (status == TG_OK) status = tg_compile(ctx, source, &options, &artifact);
  if (status == TG_OK) status = tg_artifact_emit(artifact, w->form, NULL, &data, &size);
  tg_artifact_free(artifact);
  tg_source_free(source);
  return status;
}

static long attempt(const work *w, long refuse_at) {
  hostile h = {.refuse_at = refuse_at};
  tg_config config = {.root = ROOT_DIR, .cache_dir = "/proc/nowhere", .allocate = allocate, .user = &h};
  tg_context *ctx;
  if (tg_context_new(&config, &ctx) == TG_OK) {
    tg_status status = compile(ctx, w);
    const char *message = tg_error_message(ctx);
    if (!refuse_at) CHECKF(status == TG_OK, "%s on %s: %s", w->kernel, w->target, message);
    else if (status != TG_OK)
      CHECKF(status == TG_NO_MEMORY && strstr(message, "memory"), "%s on %s, request %ld refused: status %d, %s", w->kernel, w->target,
             refuse_at, status, message);
    tg_context_free(ctx);
  }
  CHECKF(h.live == 0, "%s on %s, request %ld refused: %ld blocks not given back", w->kernel, w->target, refuse_at, h.live);
  return h.requests;
}

int main(void) {
  // The last requests are those of passes, lowering and emitter: Lua makes most of them, and tests/lua/ looks at those.
  const work works[] = {{"rmsnorm", "cpu:avx2", "obj", 40},
                        {"gemm_fp8", "cpu:avx512", "lane", 40},
                        {"gemm_bf16", "cpu", "asm", 16},
                        {"gemm_bf16", "nvptx:sm_80", "asm", 16},
                        {"swiglu_quantize", "cpu", "llvm", 20}};
  for (size_t i = 0; i < sizeof works / sizeof *works; i++) {
    long all = attempt(&works[i], 0), step = all / (works[i].samples / 2) + 1, tail = all > 400 ? all - 400 : 1;
    for (long n = 1; n <= all; n += step) attempt(&works[i], n);
    for (long n = tail; n <= all; n += (all - tail) / (works[i].samples / 2) + 1) attempt(&works[i], n);
    for (long n = all; n > all - 8; n--) attempt(&works[i], n);
  }
  return test_done();
}
