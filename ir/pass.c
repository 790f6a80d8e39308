// The list of passes, the runner, and the numbered dump files.
#include "ir/ir.h"

#include <errno.h>
#include <sys/stat.h>

const tg_pass tg_passes[] = {
    {"canonicalise", tg_pass_canonicalise, "fold constants, apply exact algebra, inline constant branches"},
    {"cse", tg_pass_cse, "merge pure ops that compute the same value"},
    {"dce", tg_pass_dce, "remove pure ops and carried values that nobody uses"},
    {"licm", tg_pass_licm, "move pure ops out of loops that do not change them"},
    {0},
};

static const tg_pass *find_pass(const char *name, size_t length) {
  for (const tg_pass *p = tg_passes; p->name; p++)
    if (strlen(p->name) == length && !strncmp(p->name, name, length)) return p;
  return NULL;
}

static void verify_after(tg_kernel *kernel, const char *pass) {
#ifdef TG_DEBUG
  if (tg_verify(kernel)) tg_throw(kernel->ctx, TG_FAILED, "after pass %s: %s", pass, kernel->ctx->message);
#else
  (void)kernel, (void)pass;
#endif
}

void tg_run_passes(tg_kernel *kernel, const char *names) {
  for (const char *at = names; *at;) {
    size_t length = strcspn(at, ",");
    const tg_pass *pass = find_pass(at, length);
    if (!pass) {
      tg_text list = {.arena = &kernel->arena};
      for (const tg_pass *p = tg_passes; p->name; p++) tg_text_add(&list, "%s%s", p == tg_passes ? "" : ", ", p->name);
      tg_throw(kernel->ctx, TG_INVALID, "no pass '%.*s'; there are %s", (int)length, at, list.data);
    }
    pass->run(kernel);
    verify_after(kernel, pass->name);
    tg_dump(kernel, pass->name);
    at += length;
    if (*at == ',') at++;
  }
}

void tg_dump_text(tg_context *ctx, const char *name, const char *extension, const void *data, size_t size) {
  if (!ctx->config.dump_dir) return;
  tg_arena arena;
  tg_arena_init(&arena, ctx);
  mkdir(ctx->config.dump_dir, 0777);
  char *path = tg_arena_printf(&arena, "%s/%03d-%s.%s", ctx->config.dump_dir, ctx->dump_count++, name, extension);
  FILE *out = fopen(path, "wb");
  if (!out || fwrite(data, 1, size, out) != size) tg_log(ctx, TG_LOG_WARNING, "%s: cannot write the dump: %s", path, strerror(errno));
  if (out) fclose(out);
  tg_arena_free(&arena);
}

void tg_dump(tg_kernel *kernel, const char *stage) {
  if (!kernel->ctx->config.dump_dir) return;
  tg_arena arena;
  tg_arena_init(&arena, kernel->ctx);
  size_t size;
  const char *text = tg_print(&arena, kernel, &size);
  tg_dump_text(kernel->ctx, tg_arena_printf(&arena, "%s-%s", kernel->name, stage), kernel->level == TG_LEVEL_TILE ? "tile" : "lane", text, size);
  tg_arena_free(&arena);
}
