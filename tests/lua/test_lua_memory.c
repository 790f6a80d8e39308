// An allocator that refuses the n-th request, for many n: loading and tracing a kernel and running a script end in an error or in success,
// never in a crash, and everything is given back.
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
  // Every third request from then on fails, so that what Lua tries again after collecting garbage fails as well now and then.
  if (++h->requests >= h->refuse_at && h->refuse_at && (h->requests - h->refuse_at) % 3 == 0) return NULL;
  void *p = realloc(ptr, size);
  if (p && !ptr) h->live++;
  return p;
}

static tg_status load_and_trace(tg_context *ctx) {
  tg_source *source;
  tg_status status = tg_source_load(ctx, "rmsnorm", &source);
  if (status != TG_OK) return status;
  tg_kernel *kernel;
  status = tg_source_trace(source, NULL, NULL, &kernel);
  if (status == TG_OK) tg_kernel_free(kernel);
  tg_source_free(source);
  return status;
}

static tg_status script(tg_context *ctx) { return tg_script_run(ctx, TESTS_DIR "/lua/memory.lua", 0, NULL); }

static long attempt(tg_status (*work)(tg_context *ctx), long refuse_at) {
  hostile h = {.refuse_at = refuse_at};
  tg_config config = {.root = ROOT_DIR, .allocate = allocate, .user = &h};
  tg_context *ctx;
  if (tg_context_new(&config, &ctx) == TG_OK) {
    tg_status status = work(ctx);
    const char *message = tg_error_message(ctx);
    if (!refuse_at) CHECKF(status == TG_OK, "%s", message);
    if (status != TG_OK) CHECKF(strstr(message, "memory"), "request %ld refused: %s", refuse_at, message);
    tg_context_free(ctx);
  }
  CHECKF(h.live == 0, "request %ld refused: %ld blocks not given back", refuse_at, h.live);
  return h.requests;
}

int main(void) {
  tg_status (*const works[])(tg_context *) = {load_and_trace, script};
  for (size_t i = 0; i < 2; i++) {
    long all = attempt(works[i], 0);
    for (long n = 1; n < all; n += all / 80 + 1) attempt(works[i], n);
  }
  return test_done();
}
