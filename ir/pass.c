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
  tg_status status = tg_verify(kernel);
  if (status == TG_NO_MEMORY) tg_rethrow(kernel->ctx);
  if (status) tg_throw(kernel->ctx, TG_FAILED, "after pass %s: %s", pass, kernel->ctx->message);
#else
  (void)kernel, (void)pass;
#endif
}

static _Noreturn void unknown_pass(tg_kernel *kernel, const char *name, size_t length) {
  tg_text list = {.arena = &kernel->arena};
  for (const tg_pass *p = tg_passes; p->name; p++) tg_text_add(&list, "%s%s", p == tg_passes ? "" : ", ", p->name);
  tg_throw(kernel->ctx, TG_INVALID, "no pass '%.*s'; there are %s", (int)length, name, list.data);
}

// The pass that the list begins with; moves on to the next.
static const tg_pass *next_pass(tg_kernel *kernel, const char **names) {
  size_t length = strcspn(*names, ",");
  const tg_pass *pass = find_pass(*names, length);
  if (!pass) unknown_pass(kernel, *names, length);
  *names += length + ((*names)[length] == ',');
  return pass;
}

void tg_run_passes(tg_kernel *kernel, const char *names) {
  for (const char *at = names; *at;) next_pass(kernel, &at); // all names are looked at before anything is done
  while (*names) {
    const tg_pass *pass = next_pass(kernel, &names);
    pass->run(kernel);
    verify_after(kernel, pass->name);
    tg_dump(kernel, pass->name);
  }
}

typedef struct dump {
  tg_context *ctx;
  const tg_kernel *kernel; // NULL: data is what to write
  const char *name, *extension;
  const void *data;
  size_t size;
  tg_arena arena;
} dump;

static void write_dump(void *arg) {
  dump *d = arg;
  tg_context *ctx = d->ctx;
  if (d->kernel) {
    d->name = tg_arena_printf(&d->arena, "%s-%s", d->kernel->name, d->name);
    d->data = tg_print(&d->arena, d->kernel, &d->size);
  }
  char *path = tg_arena_printf(&d->arena, "%s/%03d-%s.%s", ctx->config.dump_dir, ctx->dump_count++, d->name, d->extension);
  mkdir(ctx->config.dump_dir, 0777);
  FILE *out = fopen(path, "wb");
  bool written = out && fwrite(d->data, 1, d->size, out) == d->size;
  if (out && fclose(out)) written = false;
  if (!written) tg_log(ctx, TG_LOG_WARNING, "%s: cannot write the dump: %s", path, strerror(errno));
}

static void run_dump(dump *d) {
  if (!d->ctx->config.dump_dir) return;
  tg_arena_init(&d->arena, d->ctx);
  tg_status status = tg_protect(d->ctx, write_dump, d);
  tg_arena_free(&d->arena);
  if (status) tg_rethrow(d->ctx);
}

void tg_dump_text(tg_context *ctx, const char *name, const char *extension, const void *data, size_t size) {
  run_dump(&(dump){.ctx = ctx, .name = name, .extension = extension, .data = data, .size = size});
}

void tg_dump(tg_kernel *kernel, const char *stage) {
  run_dump(&(dump){.ctx = kernel->ctx, .kernel = kernel, .name = stage, .extension = kernel->level == TG_LEVEL_TILE ? "tile" : "lane"});
}
